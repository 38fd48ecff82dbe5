"""Tables: every event of the desk's vocabulary has one, with a column for each of its fields."""

from __future__ import annotations

import json
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import duckdb
import pytest

from adapters.recorder import tables
from adapters.recorder.tables import COLUMNS, Kind
from trading.market.events import Aggressor, BookTicker, DepthSnapshot, DepthUpdate, Trade, VenueEvent

from .conftest import T

SPELT = (Trade, DepthUpdate, DepthSnapshot, BookTicker)
OTHERS = [event for event in get_args(VenueEvent) if event not in SPELT]


def example(hint):
    """A value of a field's type."""
    if get_origin(hint) in {Union, UnionType}:
        hint = next(one for one in get_args(hint) if one is not type(None))
    if issubclass(hint, Enum):
        return next(iter(hint))
    return {str: 'a|b\n"c', int: T, bool: True, Decimal: Decimal("-0.000000000000000001")}[hint]


def read_back(tmp_path, kind, row):
    path = tmp_path / "row.ndjson"
    path.write_bytes(row)
    assert row.endswith(b"\n")
    columns = dict(COLUMNS[kind])
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT * FROM read_json(?, format = 'newline_delimited', columns = $c)".replace("$c", str(columns)),
            [str(path)],
        )
        names = [column[0] for column in found.description]
        return dict(zip(names, found.fetchone(), strict=True))


def test_every_event_has_a_table():
    kinds = {event: tables._KINDS[event] for event in get_args(VenueEvent)}
    assert set(kinds.values()) | {Kind.BBO, Kind.GAP} == set(Kind)


@pytest.mark.parametrize("event", OTHERS, ids=lambda event: event.__name__)
def test_every_field_of_an_event_is_in_its_row(tmp_path, event):
    hints = {name: hint for name, hint in get_type_hints(event).items() if name in event.__struct_fields__}
    values = {name: example(hint) for name, hint in hints.items()}
    made = event(**values)
    kind = tables.kind_of(made)
    row = read_back(tmp_path, kind, tables.other_row(made, 7))
    assert row.pop("line") == 7
    for name, value in values.items():
        if name in {"instrument_id", "venue", "symbol"}:
            continue  # the partition says it
        assert row[name] == (value.value if isinstance(value, Enum) else value), name


def test_trades_diffs_and_touches_are_spelt_as_they_are_read(tmp_path):
    times = {"ts_event_ns": T, "ts_recv_ns": T + 1, "instrument_id": "x"}
    trade = Trade(trade_id=9, price_ticks=5, qty_lots=6, aggressor=Aggressor.SELL, **times)
    assert read_back(tmp_path, Kind.TRADE, tables.trade_row(trade, 1, None)) == {
        "line": 1,
        "ts_event_ns": T,
        "ts_recv_ns": T + 1,
        "trade_id": 9,
        "price_ticks": 5,
        "qty_lots": 6,
        "side": "sell",
        "lateness": None,
    }
    diff = DepthUpdate(
        first_update_id=1, final_update_id=2, prev_final_update_id=-1, bids=[(5, 1), (4, 0)], asks=[], seq=8, **times
    )
    row = read_back(tmp_path, Kind.DEPTH, tables.depth_row(diff, 2, "applied"))
    assert (row["bid_ticks"], row["bid_lots"], row["ask_ticks"], row["ask_lots"]) == ([5, 4], [1, 0], [], [])
    assert (row["snapshot"], row["first_id"], row["final_id"], row["prev_id"], row["seq"]) == (False, 1, 2, -1, 8)
    book = DepthSnapshot(last_update_id=3, bids=[], asks=[(6, 2)], **times)
    row = read_back(tmp_path, Kind.DEPTH, tables.depth_row(book, 3, "bridged"))
    assert (row["snapshot"], row["final_id"], row["ask_ticks"], row["result"]) == (True, 3, [6], "bridged")
    touch = read_back(tmp_path, Kind.BBO, tables.bbo_row(4, (0, T), "suspect", -1, (None, (7, 8))))
    assert (touch["bid_ticks"], touch["bid_lots"], touch["ask_ticks"], touch["ask_lots"]) == (None, None, 7, 8)
    assert json.loads(tables.gap_row(5, T, "gap", 'a "text"', (1, 2)))["text"] == 'a "text"'
