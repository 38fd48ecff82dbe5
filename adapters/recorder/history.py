"""Recorded history as SQL: DuckDB views over the Parquet partitions, read-only and shut in.

Owns the views and the bounds of a query. Nothing is written, and nothing outside of the history's Parquet is reached.
"""
# ruff: noqa: S608 - every statement here is made of names and paths of this module's own.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from adapters.duck_copy import quoted
from adapters.recorder.catalog import PARQUET
from adapters.recorder.tables import COLUMNS, CONSTANTS, REAL, Kind

MEMORY: Final = "2GB"
THREADS: Final = 2
SPILL: Final = ".duckdb"
_PARTITIONS: Final = {"dt": "DATE", "venue": "VARCHAR", "symbol": "VARCHAR", "kind": "VARCHAR"}
_WHERE: Final = "dt, venue, symbol, instrument_id, world"
_WHEN: Final = "make_timestamp(ts_recv_ns // 1000) AS ts_recv, ts_event_ns, ts_recv_ns"
_PRICE: Final = "{0}_ticks::DECIMAL(18,0) * tick_size AS {1}"
_QTY: Final = "{0}_lots::DECIMAL(18,0) * lot_size AS {1}"
_TOUCH: Final = ", ".join(
    [
        _PRICE.format("bid", "bid_price"),
        _QTY.format("bid", "bid_qty"),
        _PRICE.format("ask", "ask_price"),
        _QTY.format("ask", "ask_qty"),
        "bid_ticks, bid_lots, ask_ticks, ask_lots",
    ]
)

VIEWS: Final[Mapping[str, str]] = {
    "trades": f"""
        SELECT {_WHERE}, make_timestamp(ts_event_ns // 1000) AS ts_event, {_WHEN}, trade_id, side,
               {_PRICE.format("price", "price")}, {_QTY.format("qty", "qty")}, price_ticks, qty_lots, lateness,
               session = 'fill' AS filled, session, source, line
        FROM raw_trade
        QUALIFY row_number() OVER (
            PARTITION BY instrument_id, world, trade_id ORDER BY session = 'fill', ts_recv_ns, session, source, line
        ) = 1""",
    "depth": f"""
        SELECT {_WHERE}, {_WHEN}, snapshot, first_id, final_id, prev_id, seq, checksum, result, bid_ticks, bid_lots,
               ask_ticks, ask_lots, tick_size, lot_size, session, source, line
        FROM raw_depth""",
    "depth_levels": f"""
        SELECT {_WHERE}, {_WHEN}, final_id, snapshot, result, side, {_PRICE.format("level", "price")},
               {_QTY.format("level", "qty")}, session, source, line
        FROM (
            SELECT * EXCLUDE (bid_ticks, bid_lots, ask_ticks, ask_lots), 'bid' AS side,
                   unnest(bid_ticks) AS level_ticks, unnest(bid_lots) AS level_lots FROM raw_depth
            UNION ALL
            SELECT * EXCLUDE (bid_ticks, bid_lots, ask_ticks, ask_lots), 'ask' AS side,
                   unnest(ask_ticks) AS level_ticks, unnest(ask_lots) AS level_lots FROM raw_depth
        )""",
    "bbo": f"SELECT {_WHERE}, {_WHEN}, state, update_id, {_TOUCH}, session, source, line FROM raw_bbo",
    "quotes": f"SELECT {_WHERE}, {_WHEN}, update_id, {_TOUCH}, session, source, line FROM raw_quote",
    "marks": f"""
        SELECT {_WHERE}, {_WHEN}, mark_price, index_price, funding_rate, next_funding_ns, session, source, line
        FROM raw_mark""",
    "funding": f"""
        SELECT {_WHERE}, ts_recv, ts_event_ns, ts_recv_ns, funding_rate, funding_ns, stated_by, session, source, line
        FROM (
            SELECT *, make_timestamp(ts_recv_ns // 1000) AS ts_recv, 'funding' AS stated_by FROM raw_funding
            UNION ALL BY NAME
            SELECT * EXCLUDE (mark_price, index_price, next_funding_ns), next_funding_ns AS funding_ns,
                   make_timestamp(ts_recv_ns // 1000) AS ts_recv, 'mark' AS stated_by
            FROM raw_mark WHERE funding_rate IS NOT NULL
        )""",
    "bars_1m": """
        SELECT date_trunc('minute', ts_event)::DATE AS dt, venue, symbol, instrument_id, world,
               date_trunc('minute', ts_event) AS ts_open, arg_min(price, trade_id) AS open, max(price) AS high,
               min(price) AS low, arg_max(price, trade_id) AS close, sum(qty) AS volume,
               count(*) AS trades, count_if(filled) AS filled,
               max(trade_id) - min(trade_id) + 1 - count(*) AS missing
        FROM trades
        GROUP BY ALL""",
    **{
        f"{kind.value}s" if kind not in {Kind.OI, Kind.STATUS} else kind.value: (
            f"SELECT {_WHERE}, {_WHEN}, "
            + ", ".join(name for name in COLUMNS[kind] if name not in {"ts_event_ns", "ts_recv_ns", "line"})
            + f", session, source, line FROM raw_{kind.value}"
        )
        for kind in (
            Kind.TICKER,
            Kind.OI,
            Kind.LIQUIDATION,
            Kind.RATIO,
            Kind.STATUS,
            Kind.NOTICE,
            Kind.REJECT,
            Kind.GAP,
        )
    },
}
"""By name: the views of `propdesk data sql`. Behind each is a ``raw_<kind>`` with every column and every row.

``trades`` holds a trade once, whoever else recorded it; what was received goes before what was filled in later. A
filled trade was not received: its ``ts_recv_ns`` is its ``ts_event_ns``. ``missing`` of a bar counts trade ids that are
not there, and means something only where the venue numbers trades without holes.
"""


class QueryRefused(ValueError):  # noqa: N818 - it is an answer, not a fault
    """A statement that is not one query, or that the history cannot answer."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a query; ``truncated`` when there are more than were asked for."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    truncated: bool


def history_path(given: str | None, data_path: Path) -> Path:
    """Where history lies: what was given, else ``history`` of the data directory."""
    return Path(given).absolute() if given else data_path / "history"


def open_history(history: Path, *, spill: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection with the views and nothing else: no other files, no network, no settings, no writing of files.

    It spills nothing to disk (a temporary folder would be open to queries as well), so that a query that needs more
    than its memory is refused; ``spill`` is for queries of our own.

    Raises:
        QueryRefused: a file of the history cannot be read.
    """
    parquet = history / PARQUET
    spilled = str(history / SPILL) if spill else ""
    connection = duckdb.connect(
        ":memory:", config={"threads": str(THREADS), "memory_limit": MEMORY, "temp_directory": spilled}
    )
    try:
        _make_views(connection, parquet)
    except duckdb.Error as error:
        connection.close()
        raise QueryRefused(str(error)) from error
    return connection


def _make_views(connection: duckdb.DuckDBPyConnection, parquet: Path) -> None:
    connection.execute(f"SET allowed_directories = [{quoted(parquet)}]")
    connection.execute("SET enable_external_access = false")
    for kind in Kind:
        connection.execute(f"CREATE VIEW raw_{kind.value} AS {_raw(parquet, kind)}")
    for name, query in VIEWS.items():
        connection.execute(f"CREATE VIEW {name} AS {query}")
    connection.execute("SET lock_configuration = true")


def ask(connection: duckdb.DuckDBPyConnection, sql: str, limit: int) -> Answer:
    """The first ``limit`` rows of one SELECT.

    Raises:
        QueryRefused: it is not one SELECT, or DuckDB refuses it; the text says why.
    """
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryRefused("one SELECT is answered, nothing else")
        found = connection.execute(statements[0])
        rows = found.fetchmany(limit + 1)
        columns = tuple(column[0] for column in found.description or ())
    except duckdb.Error as error:
        raise QueryRefused(str(error)) from error
    return Answer(columns=columns, rows=rows[:limit], truncated=len(rows) > limit)


def _raw(parquet: Path, kind: Kind) -> str:
    pattern = f"dt=*/venue=*/symbol=*/kind={kind.value}/*.parquet"
    if next(parquet.glob(pattern), None) is None:
        columns = {**COLUMNS[kind], **CONSTANTS, **_PARTITIONS}
        nothing = ", ".join(f"NULL::{sql} AS {name}" for name, sql in columns.items())
        return f"SELECT {nothing} WHERE false"
    types = ", ".join(f"{name}: {sql}" for name, sql in _PARTITIONS.items())
    return (
        f"SELECT * FROM read_parquet({quoted(parquet / pattern)}, hive_partitioning = true, "
        f"hive_types = {{{types}}}, union_by_name = true)"
    )


__all__ = ["REAL", "VIEWS", "Answer", "QueryRefused", "ask", "history_path", "open_history"]
