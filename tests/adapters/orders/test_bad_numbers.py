"""Numbers that are none on the wire: no dialect writes one, and what a venue says with one is unread or asked again.

Whatever word stands where a number should, nothing raises, and the order core books no execution of it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.ccxt_orders import reports
from adapters.orders.news import Unread
from adapters.orders.reading import BadReply, amount
from adapters.orders.rereading import EVERY_NS, Rereading
from tests.adapters.ccxt_orders.wires import dialect as ccxt_dialect
from tests.adapters.ccxt_orders.wires import of
from tests.adapters.orders.commands import BTC, TS_MS, TS_NS, instrument, place, replace
from tests.adapters.orders.test_accounts import dialect
from tests.adapters.orders.test_binance_replies import SPOT_EVENT, order_event
from tests.adapters.orders.test_bybit_wire import EXECUTION
from tests.adapters.orders.test_okx_wire import FILL, ORDER
from trading.orders.core import Emit, OrderCore, OrderCoreConfig
from trading.orders.messages import (
    ExecutionReport,
    OrderFilled,
    OrdType,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.numbers import is_number, unsound_event

NOT_NUMBERS = ("NaN", "sNaN", "-NaN", "Infinity", "-Infinity", "-0", "-0.000", "0", "-1", "1E+50", "9E+999999")
NATIVE = (SPOT, USDM, COINM, "okx", "bybit")
MARKETS = MappingProxyType(
    {**{venue: BTC[venue] for venue in NATIVE}, **{venue: of(venue)[0] for venue in ("gateio", "mexc")}}
)


def speaker(venue):
    return ccxt_dialect(venue) if venue in {"gateio", "mexc"} else dialect(venue)


@pytest.mark.req("P-RSK-3", "P-VEN-3")
@pytest.mark.parametrize("word", NOT_NUMBERS)
@pytest.mark.parametrize("field", ["order_qty", "price"])
@pytest.mark.parametrize("venue", MARKETS)
def test_no_dialect_writes_an_order_or_an_amendment_with_what_is_no_number(venue, field, word):
    wrong = {field: Decimal(word)}
    for command in (place(MARKETS[venue]), replace(MARKETS[venue])):
        with pytest.raises(ValueError, match=r"order_qty|price|amend"):
            speaker(venue).encode(msgspec.structs.replace(command, **wrong), TS_MS)


@pytest.mark.parametrize("word", NOT_NUMBERS)
@pytest.mark.parametrize("field", ["order_qty", "price", "trigger"])
@pytest.mark.parametrize("venue", NATIVE)
def test_nor_one_that_waits_for_a_trigger(venue, field, word):
    market = BTC[venue] if venue != "bybit" else instrument("BYBIT:PERP:BTC-USDT:LINEAR")
    source = TriggerPriceType.LAST
    level = Decimal(word) if field == "trigger" else Decimal(55_000)
    changes = {} if field == "trigger" else {field: Decimal(word)}
    waiting = msgspec.structs.replace(
        place(market), ord_type=OrdType.STOP_LIMIT, trigger=TriggeringInstructions(level, source), **changes
    )
    with pytest.raises(ValueError, match=r"order_qty|price|trigger"):
        speaker(venue).encode(waiting, TS_MS)


@pytest.mark.parametrize("venue", NATIVE)
def test_a_batch_with_such_a_number_is_not_written_either(venue):
    bad = msgspec.structs.replace(place(MARKETS[venue], "pd1-b-2"), order_qty=Decimal("sNaN"))
    with pytest.raises(ValueError, match=r"order_qty|quantity|one order at a time"):
        speaker(venue).encode_batch([place(MARKETS[venue]), bad], TS_MS)


def frames(venue, name, word):
    """A frame of the user stream with an execution of ours, and ``word`` in one of its numbers."""
    match venue:
        case "okx":
            row = ORDER | FILL | {name: word}
            return {"arg": {"channel": "orders", "instType": "ANY", "uid": "1"}, "data": [row]}
        case "bybit":
            return {"id": "1", "topic": "execution", "creationTime": TS_MS, "data": [EXECUTION | {name: word}]}
        case "binance":
            done = {
                "c": "pd1-b-1",
                "x": "TRADE",
                "X": "PARTIALLY_FILLED",
                "l": "0.5",
                "z": "0.5",
                "L": "60000",
                "t": 77,
            }
            return SPOT_EVENT | done | {"Z": "30000", "Y": "30000", "p": "60000"} | {name: word}
        case _:
            done = {"x": "TRADE", "X": "PARTIALLY_FILLED", "l": "0.5", "z": "0.5", "L": "60000", "t": 77}
            if venue == COINM:
                done |= {"s": "BTCUSD_PERP", "ma": "BTC"}
            return json.loads(order_event(**(done | {name: word})))


NUMBERS = {
    SPOT: ("q", "p", "l", "L", "z", "n", "Z"),
    USDM: ("q", "p", "l", "L", "z", "n", "ap"),
    COINM: ("q", "p", "l", "L", "z", "n", "ap"),
    "okx": ("sz", "px", "fillSz", "fillPx", "accFillSz", "fillFee", "avgPx"),
    "bybit": ("orderQty", "execQty", "execPrice", "leavesQty", "execFee"),
}
ODD = st.one_of(
    st.sampled_from([*NOT_NUMBERS, "", "1e3", "٣", "0x1", "1_000", "9" * 39, "0." + "0" * 35 + "1"]),
    st.sampled_from([None, True, 0.5, -1, 10**30, [], {}, "0.5"]),
    st.text(max_size=12),
    st.decimals(allow_nan=True).map(str),
)


def booked(venue, events):
    """What an order core makes of it all; it must not raise."""
    core = OrderCore({MARKETS[venue].instrument_id: MARKETS[venue]}, 1, OrderCoreConfig())
    said = []
    for event in events:
        if isinstance(event, ExecutionReport):
            for effect in core.on_venue(event, TS_NS):
                said += core.on_committed(effect.commit_id, TS_NS) if hasattr(effect, "commit_id") else [effect]
    said += core.on_timer(TS_NS + 5_000_000_000)
    return [e.message for e in said if isinstance(e, Emit) and isinstance(e.message, OrderFilled)]


@pytest.mark.req("P-VEN-3", "P-ORD-1")
@pytest.mark.parametrize("venue", NATIVE)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_whatever_stands_where_a_number_should_nothing_raises_and_nothing_unsound_is_booked(venue, data):
    name, word = data.draw(st.sampled_from(NUMBERS[venue])), data.draw(ODD)
    events = dialect(venue).decode_user(json.dumps(frames(venue, name, word)).encode(), TS_NS)
    assert events, "what is said is told, or told as unread"
    fills = booked(venue, events)
    sound = [e for e in events if isinstance(e, ExecutionReport) and not unsound_event(e)]
    assert len(fills) <= len(sound)
    assert all(is_number(fill.last_qty) and fill.last_qty > 0 and fill.last_px > 0 for fill in fills)


@pytest.mark.req("P-VEN-3")
@pytest.mark.parametrize("word", ["NaN", "sNaN", "Infinity", "-Infinity", "1e3", "", None, 0.5, True])
@pytest.mark.parametrize("venue", NATIVE)
def test_an_execution_whose_quantity_is_none_is_unread_and_not_zero(venue, word):
    name = {"okx": "fillSz", "bybit": "execQty"}.get(venue, "l")
    events = dialect(venue).decode_user(json.dumps(frames(venue, name, word)).encode(), TS_NS)
    assert booked(venue, events) == []
    if not (venue == "okx" and word in {"", None}):  # an order row without an execution
        assert isinstance(events[0], Unread)


@pytest.mark.parametrize("venue", NATIVE)
def test_the_same_execution_with_its_numbers_is_booked(venue):
    name, word = ("fillSz", "0.5") if venue == "okx" else ("execQty", "0.5") if venue == "bybit" else ("l", "0.5")
    events = dialect(venue).decode_user(json.dumps(frames(venue, name, word)).encode(), TS_NS)
    assert [fill.last_qty for fill in booked(venue, events)] == [Decimal("0.5")]


@given(ODD)
def test_a_number_is_read_out_of_a_text_or_not_at_all(word):
    for read in (amount, reports.amount):
        try:
            found = read({"x": word}, "x")
        except BadReply:
            continue
        assert found.is_finite()


def test_what_could_not_be_read_is_asked_for_at_once_and_seldom_while_it_goes_on():
    reread, now = Rereading(), 1
    assert not reread.due(now)
    assert [reread.wanted(now), reread.wanted(now + 1), reread.due(now + 2)] == [True, False, False]
    assert [reread.due(now + EVERY_NS), reread.due(now + 2 * EVERY_NS)] == [True, False]
