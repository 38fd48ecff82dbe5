"""What recorded data promises, checked: ranges, order, uniqueness, totals against the wire logs, digests of files.

Owns the contracts and the verdict on each. Repairs nothing: a breach is for people, and `propdesk data build` and
`backfill` are theirs to start.
"""
# ruff: noqa: S608 - every statement here is made of names of this module's own.

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from adapters.recorder.build import build_history
from adapters.recorder.catalog import PARQUET, WIRE, Built, Catalog
from adapters.recorder.history import QueryRefused, open_history
from adapters.recorder.manifest import SessionManifest, WireFile, is_live, read_manifest, sessions_of, sha256_of
from adapters.wirelog import WireLine, log_file, read_lines

EXAMPLES_MAX = 5
_LAG_NS_MAX = 86_400_000_000_000
_TOUCH_BAD = "bid_ticks <= 0 OR ask_ticks <= 0 OR bid_lots <= 0 OR ask_lots <= 0"

CONTRACTS: Final[Mapping[str, str]] = {
    "trade.range": f"""
        SELECT session, source, line FROM raw_trade
        WHERE price_ticks <= 0 OR qty_lots <= 0 OR side NOT IN ('buy', 'sell')
           OR abs(ts_recv_ns - ts_event_ns) > {_LAG_NS_MAX}""",
    "trade.one_id_one_trade": """
        SELECT any_value(session), any_value(source), max(line) FROM raw_trade
        GROUP BY instrument_id, world, trade_id
        HAVING count(DISTINCT (price_ticks, qty_lots, side, ts_event_ns)) > 1""",
    "trade.unique": """
        SELECT any_value(session), any_value(source), max(line) FROM trades
        GROUP BY instrument_id, world, trade_id HAVING count(*) > 1""",
    "depth.levels": """
        SELECT session, source, line FROM raw_depth
        WHERE len(bid_ticks) <> len(bid_lots) OR len(ask_ticks) <> len(ask_lots)
           OR list_min(bid_ticks) <= 0 OR list_min(bid_lots) < 0
           OR list_min(ask_ticks) <= 0 OR list_min(ask_lots) < 0""",
    "depth.sequence": """
        SELECT session, source, line FROM (
            SELECT *, lag(final_id) OVER (
                PARTITION BY session, instrument_id, proof ORDER BY ts_recv_ns, source, line
            ) AS last_id
            FROM (
                SELECT *, count_if(snapshot OR result <> 'applied') OVER (
                    PARTITION BY session, instrument_id ORDER BY ts_recv_ns, source, line ROWS UNBOUNDED PRECEDING
                ) AS proof
                FROM raw_depth
            ) WHERE result = 'applied'
        ) WHERE final_id >= 0 AND final_id < last_id""",
    "bbo.proved": f"""
        SELECT session, source, line FROM raw_bbo
        WHERE (state = 'synced' AND (bid_ticks >= ask_ticks OR {_TOUCH_BAD}))
           OR (state <> 'synced' AND (bid_ticks IS NOT NULL OR ask_ticks IS NOT NULL))""",
    "quote.range": f"SELECT session, source, line FROM raw_quote WHERE bid_ticks >= ask_ticks OR {_TOUCH_BAD}",
    "mark.range": """
        SELECT session, source, line FROM raw_mark
        WHERE mark_price <= 0 OR index_price <= 0 OR abs(funding_rate) > 0.1""",
    "funding.range": "SELECT session, source, line FROM raw_funding WHERE abs(funding_rate) > 0.1 OR funding_ns <= 0",
    "oi.range": "SELECT session, source, line FROM raw_oi WHERE qty < 0 OR base_qty < 0 OR notional < 0",
    "liquidation.range": "SELECT session, source, line FROM raw_liquidation WHERE price <= 0 OR qty <= 0",
    "quote.order": """
        SELECT session, source, line FROM (
            SELECT *, lag(ts_recv_ns) OVER (PARTITION BY session, source ORDER BY line) AS last_ns FROM raw_quote
        ) WHERE ts_recv_ns < last_ns""",
}
"""By name: a query whose rows break the contract."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One contract: how many rows or files break it, and the first of them."""

    contract: str
    checked: int
    breaches: int
    examples: tuple[str, ...] = ()


class CheckedHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a history. ``notes`` are what is no breach and worth knowing."""

    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether nothing breaks a contract."""
        return not any(verdict.breaches for verdict in self.verdicts)


def check_history(history: Path, *, deep: bool = False) -> CheckedHistory:
    """Check everything; ``deep`` builds it all again beside and compares bytes."""
    notes: list[str] = []
    built = list(Catalog(history).all())
    verdicts = [_verdict("wire.sha256", _wire_digests(history, notes))]
    verdicts.append(_verdict("wire.totals", _wire_totals(history, built)))
    verdicts.append(_verdict("parquet.sha256", _outputs(history, built)))
    try:
        with open_history(history, spill=True) as connection:
            verdicts.extend(_of_rows(connection, built, notes))
    except (QueryRefused, duckdb.Error) as error:
        verdicts.append(_verdict("parquet.readable", [str(error)]))
    if deep:
        verdicts.append(_verdict("parquet.same_when_built_again", _again(history, built)))
    return CheckedHistory(verdicts=tuple(verdicts), notes=tuple(notes))


def _of_rows(connection: duckdb.DuckDBPyConnection, built: Iterable[Built], notes: list[str]) -> Iterator[Verdict]:
    yield _verdict("parquet.totals", _row_totals(connection, built))
    for name, query in CONTRACTS.items():
        yield _ask(connection, name, query)
    notes.extend(_notes(connection))


Finding = str | None
"""What is wrong with one thing that was looked at; None when nothing is."""


def _verdict(contract: str, findings: Iterable[Finding]) -> Verdict:
    checked = breaches = 0
    examples: list[str] = []
    for finding in findings:
        checked += 1
        if finding is not None:
            breaches += 1
            if len(examples) < EXAMPLES_MAX:
                examples.append(finding)
    return Verdict(contract=contract, checked=checked, breaches=breaches, examples=tuple(examples))


def _ask(connection: duckdb.DuckDBPyConnection, contract: str, query: str) -> Verdict:
    kind = contract.partition(".")[0]
    rows = connection.execute(f"SELECT count(*) FROM raw_{kind}").fetchone()
    found = connection.execute(f"SELECT * FROM ({query})").fetchmany(EXAMPLES_MAX)
    count = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    assert rows is not None
    assert count is not None
    return Verdict(
        contract=contract,
        checked=int(rows[0]),
        breaches=int(count[0]),
        examples=tuple(f"{row[0]}/{row[1]}:{row[2]}" for row in found),
    )


def _manifests(history: Path) -> Iterator[tuple[Path, SessionManifest]]:
    for session in sessions_of(history / WIRE):
        try:
            yield session, read_manifest(session)
        except ValueError:
            continue


def _closed(history: Path) -> Iterator[tuple[Path, WireFile]]:
    """The closed logs that were not deleted to make room."""
    for session, manifest in _manifests(history):
        for file in manifest.files:
            if file.name not in manifest.deleted:
                yield session, file


def _wire_digests(history: Path, notes: list[str]) -> Iterator[Finding]:
    for session, file in _closed(history):
        path = session / file.name
        if not path.is_file():
            yield f"{session.name}/{file.name} is not there"
        elif sha256_of(path) != file.sha256:
            yield f"{session.name}/{file.name} is not what its recorder wrote"
        else:
            yield None
    for session, manifest in _manifests(history):
        if manifest.dropped_lines:
            notes.append(f"{session.name}: {manifest.dropped_lines} lines were dropped while recording")
        if manifest.ended_ns is None and not is_live(session):
            notes.append(f"{session.name}: its recorder was killed")


def _wire_totals(history: Path, built: Iterable[Built]) -> Iterator[Finding]:
    """Lines of the wire logs as they are read now, as their recorder counted them, and as they were built."""
    by_name = {(one.session, one.source): one for one in built}
    for session, file in _closed(history):
        try:
            lines = sum(isinstance(item, WireLine) for item in read_lines(log_file(session / file.name)))
        except ValueError as error:
            yield str(error)
            continue
        one = by_name.get((session.name, file.name))
        counted = {lines, file.lines} | ({one.lines - one.unreadable} if one is not None else set())
        yield None if len(counted) == 1 else f"{session.name}/{file.name}: {sorted(counted)} lines"


def _outputs(history: Path, built: Iterable[Built]) -> Iterator[Finding]:
    for one in built:
        for output in one.outputs:
            path = history / PARQUET / output.path
            if not path.is_file():
                yield f"{output.path} is not there"
            else:
                yield None if sha256_of(path) == output.sha256 else f"{output.path} was changed"


def _row_totals(connection: duckdb.DuckDBPyConnection, built: Iterable[Built]) -> Iterator[Finding]:
    """Rows of every partition as DuckDB counts them, and as the wire logs gave them."""
    stated: dict[tuple[str, str, str, str], int] = {}
    for one in built:
        for output in one.outputs:
            key = output.dt, output.venue, output.symbol, output.kind
            stated[key] = stated.get(key, 0) + output.rows
    kinds = {key[3] for key in stated}
    found: dict[tuple[str, str, str, str], int] = {}
    for kind in sorted(kinds):
        rows = connection.execute(
            f"SELECT dt::VARCHAR, venue, symbol, count(*) FROM raw_{kind} WHERE session <> 'fill' GROUP BY ALL"
        ).fetchall()
        found.update({(dt, venue, symbol.replace("/", "%2F"), kind): int(count) for dt, venue, symbol, count in rows})
    for key, count in sorted(stated.items()):
        there = found.get(key, 0)
        yield None if there == count else f"{'/'.join(key)}: {there} rows, {count} in the wire logs"


def _again(history: Path, built: Iterable[Built]) -> Iterator[Finding]:
    """Everything whose wire logs are still there, built again in another folder."""
    other = Path(tempfile.mkdtemp(prefix=".check.", dir=history))
    try:
        build_history(other, sessions_of(history / WIRE))
        same = Catalog(other)
        for one in built:
            again = same.find(one.session, one.source)
            if again is None:
                continue
            yield None if again == one else f"{one.session}/{one.source}"
    finally:
        shutil.rmtree(other, ignore_errors=True)


def _notes(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for name, query in {
        "trades were recorded again": "SELECT (SELECT count(*) FROM raw_trade) - (SELECT count(*) FROM trades)",
        "trades came late": "SELECT count(*) FROM trades WHERE lateness IN ('late', 'too_late')",
        "lines were rejected": "SELECT count(*) FROM raw_reject",
        "gaps, or books that were not believed": "SELECT count(*) FROM raw_gap",
    }.items():
        found = connection.execute(query).fetchone()
        if found is not None and found[0]:
            yield f"{found[0]} {name}"
