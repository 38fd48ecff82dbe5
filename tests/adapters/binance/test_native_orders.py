"""The native words of an order: the same bytes as Python's, or none for whatever is not as usual."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.binance import orders_codec
from adapters.binance.instruments import SPOT, USDM
from adapters.binance.orders_codec import encode_new_order, encode_new_order_in_python
from native import orders
from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import (
    NewOrderSingle,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

pytestmark = pytest.mark.skipif(orders is None, reason="no native code was built")

STEPS = ["0.10", "0.001", "1", "0.5", "10", "1E+1", "0.00000100"]
IDS = st.one_of(st.from_regex(r"[A-Za-z0-9._-]{1,36}", fullmatch=True), st.text(max_size=40), st.just("a" * 37))


def instrument(venue, tick, lot):
    return Instrument(
        instrument_id="X",
        venue=venue,
        symbol="BTCUSDT",
        kind=InstrumentKind.LINEAR if venue == USDM else InstrumentKind.SPOT,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(1000),
        min_notional=Decimal(5),
    )


def order(cl_ord_id, qty, price, **fields):
    plain = {"side": Side.BUY, "ord_type": OrdType.LIMIT, "time_in_force": TimeInForce.IOC, "reduce_only": False}
    return NewOrderSingle(
        venue=USDM,
        instrument_id="X",
        cl_ord_id=cl_ord_id,
        order_qty=Decimal(qty),
        price=None if price is None else Decimal(price),
        strategy_ids=(),
        epoch=1,
        cause="test",
        ts_init_ns=0,
        **(plain | fields),
    )


TRIGGER = TriggeringInstructions(trigger_price=Decimal(49_000), trigger_price_type=TriggerPriceType.MARK)


def said(encode, *args):
    try:
        return encode(*args)
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        return type(error), str(error)


amounts = st.one_of(
    st.builds(lambda units, step: Decimal(step) * units, st.integers(-2, 10**7), st.sampled_from(STEPS)),
    st.decimals(allow_nan=True, allow_infinity=True),
)


@given(
    cl_ord_id=IDS,
    qty=amounts,
    price=st.one_of(st.none(), amounts),
    tick=st.sampled_from(STEPS),
    lot=st.sampled_from(STEPS),
    venue=st.sampled_from([SPOT, USDM]),
    side=st.sampled_from(Side),
    ord_type=st.sampled_from([OrdType.LIMIT, OrdType.MARKET]),
    time_in_force=st.sampled_from(TimeInForce),
    reduce_only=st.booleans(),
    trigger=st.sampled_from([None, None, None, TRIGGER]),
)
@example(
    cl_ord_id="\ud800",
    qty=Decimal("0.004"),
    price=Decimal("61812.40"),
    tick="0.10",
    lot="0.001",
    venue=USDM,
    side=Side.SELL,
    ord_type=OrdType.LIMIT,
    time_in_force=TimeInForce.GTC,
    reduce_only=False,
    trigger=None,
)
def test_an_order_is_said_in_the_same_bytes_or_refused_in_the_same_words(
    cl_ord_id, qty, price, tick, lot, venue, **fields
) -> None:
    command, traded = order(cl_ord_id, qty, price, **fields), instrument(venue, tick, lot)
    assert said(encode_new_order, command, traded) == said(encode_new_order_in_python, command, traded)


PLAIN = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "how": "LIMIT&timeInForce=IOC",
    "qty": Decimal("0.004"),
    "lot_size": Decimal("0.001"),
    "price": Decimal("61812.40"),
    "tick_size": Decimal("0.10"),
    "reduce_only": False,
    "cl_ord_id": "pd1-btcusdtl-c7",
}


def test_a_plain_order_is_said_without_python() -> None:
    assert orders.limit_order(*PLAIN.values()) == encode_new_order_in_python(
        order("pd1-btcusdtl-c7", "0.004", "61812.40"), instrument(USDM, "0.10", "0.001")
    )
    assert b"&reduceOnly=true&" in orders.limit_order(*(PLAIN | {"reduce_only": True}).values())


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("symbol", ""),
        ("symbol", "B" * 65),
        ("symbol", "ÄÖ"),
        ("symbol", b"BTCUSDT"),
        ("qty", Decimal(0)),
        ("qty", Decimal("-0.004")),
        ("qty", Decimal("0.0045")),
        ("qty", Decimal("NaN")),
        ("qty", Decimal("1E+1")),
        ("price", Decimal("61812.45")),
        ("price", Decimal("-0.10")),
        ("price", Decimal("0." + "0" * 60)),
        ("cl_ord_id", ""),
        ("cl_ord_id", "a" * 37),
        ("cl_ord_id", "a/b"),
        ("cl_ord_id", "ü"),
        ("cl_ord_id", 7),
    ],
)
def test_whatever_is_not_as_usual_is_left_to_python(what, value) -> None:
    assert orders.limit_order(*(PLAIN | {what: value}).values()) is None


@pytest.mark.parametrize("step", [Decimal(0), Decimal("-0.001"), Decimal("1E-9"), Decimal("NaN"), "0.001", None])
def test_a_step_that_is_not_as_usual_is_left_to_python(step) -> None:
    assert orders.limit_order(*(PLAIN | {"lot_size": step}).values()) is None


@pytest.mark.parametrize(
    ("qty", "step"),
    [
        ("123456789012345678", "1"),
        ("1234567890123456789", "1"),
        ("99999999999999999.9", "0.1"),
        ("99999999999999999.9", "0.01"),
        ("12345678901", "0.00000001"),
        ("0.004", "0.0000000000000000001"),
    ],
)
def test_a_number_of_many_digits_is_exact_or_left_to_python(qty, step) -> None:
    command, traded = order("a", qty, "61812.40"), instrument(USDM, "0.10", step)
    assert said(encode_new_order, command, traded) == said(encode_new_order_in_python, command, traded)


def test_each_step_is_its_own_however_many_there_were() -> None:
    steps = [Decimal(text) for text in ("0.001", "0.01", "0.1", "1") for _ in range(10)]
    for step in steps * 2:
        on_grid = orders.limit_order(*(PLAIN | {"qty": step * 3, "lot_size": step}).values())
        assert on_grid is not None
        assert f"&quantity={step * 3}&".encode() in on_grid
        assert orders.limit_order(*(PLAIN | {"qty": step * Decimal("3.5"), "lot_size": step}).values()) is None


def test_a_wrong_call_raises() -> None:
    with pytest.raises(TypeError):
        orders.limit_order("BTCUSDT")


@pytest.mark.parametrize("venue", [SPOT, USDM])
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("time_in_force", list(TimeInForce))
@pytest.mark.parametrize("reduce_only", [False, True])
def test_every_plain_order_is_said_from_its_fields(venue, side, time_in_force, reduce_only) -> None:
    command = order(
        "pd1-btcusdtl-c7", "0.004", "61812.40", side=side, time_in_force=time_in_force, reduce_only=reduce_only
    )
    traded = instrument(venue, "0.10", "0.001")
    assert orders_codec._plain_order(command, traded) == encode_new_order_in_python(command, traded)


class Contract(Instrument, frozen=True, kw_only=True):
    """An instrument of another class."""


@pytest.mark.parametrize(
    ("changes", "traded"),
    [
        ({"ord_type": OrdType.MARKET, "price": None}, {}),
        ({"ord_type": OrdType.MARKET}, {}),
        ({"price": None}, {}),
        ({"trigger": TRIGGER}, {}),
        ({"time_in_force": None}, {}),
        ({"time_in_force": []}, {}),
        ({"cl_ord_id": "a/b"}, {}),
        ({"order_qty": Decimal("0.0001")}, {}),
        ({"price": Decimal("61812.45")}, {}),
        ({}, {"symbol": "\u00c4"}),
        ({}, {"venue": None}),
    ],
)
def test_an_order_of_unusual_fields_is_left_to_python(changes, traded) -> None:
    command = msgspec.structs.replace(order("pd1-btcusdtl-c7", "0.004", "61812.40"), **changes)
    sold = msgspec.structs.replace(instrument(USDM, "0.10", "0.001"), **traded)
    assert orders_codec._plain_order(command, sold) is None
    assert said(encode_new_order, command, sold) == said(encode_new_order_in_python, command, sold)


def test_objects_of_other_classes_are_left_to_python() -> None:
    command, traded = order("pd1-btcusdtl-c7", "0.004", "61812.40"), instrument(USDM, "0.10", "0.001")
    contract = Contract(**msgspec.structs.asdict(traded))
    assert encode_new_order(command, contract) == encode_new_order(command, traded)
    for other in ((command, contract), (None, traded), (command, None), (traded, command)):
        assert orders_codec._plain_order(*other) is None


def test_plain_orders_are_made_of_what_they_read() -> None:
    for wrong in ((), (dict, Instrument, *orders_codec._WORDS), (*orders_codec._READ, *orders_codec._WORDS[:-1])):
        with pytest.raises((TypeError, AttributeError)):
            orders.PlainOrder(*wrong)
    with pytest.raises(TypeError):
        orders.PlainOrder(*orders_codec._READ, *reversed(orders_codec._WORDS))
    with pytest.raises(TypeError):
        orders_codec._plain_order(None)
