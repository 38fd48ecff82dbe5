"""A venue's filters: what it would refuse we refuse, and rounding never works against us."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import DenyReason, Side
from trading.risk.filters import check_filters, quantise_price, quantise_qty

D = Decimal
INSTRUMENT = Instrument(
    instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    venue="binanceusdm",
    symbol="BTCUSDT",
    kind=InstrumentKind.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=D("0.1"),
    lot_size=D("0.001"),
    min_qty=D("0.002"),
    max_qty=D(10),
    min_notional=D(100),
)


@pytest.mark.req("P-RSK-3")
@pytest.mark.parametrize(
    ("qty", "price", "reason"),
    [
        ("0.002", "50000", None),
        ("0.002", "50000.05", DenyReason.FILTER_TICK),
        ("0.002", "0", DenyReason.FILTER_TICK),
        ("0.002", "-50000", DenyReason.FILTER_TICK),
        ("0.002", "NaN", DenyReason.FILTER_TICK),
        ("0.0025", "50000", DenyReason.FILTER_LOT),
        ("0", "50000", DenyReason.FILTER_LOT),
        ("NaN", "50000", DenyReason.FILTER_LOT),
        ("0.001", "500000", DenyReason.FILTER_MIN_QTY),
        ("10.001", "50000", DenyReason.MAX_ORDER_QTY),
        ("0.002", "49999.9", DenyReason.FILTER_MIN_NOTIONAL),
    ],
)
def test_each_filter_refuses_what_the_venue_would_refuse(qty, price, reason):
    refusal = check_filters(INSTRUMENT, D(qty), D(price))
    assert (None if refusal is None else refusal[0]) == reason


def test_a_reduce_only_order_may_be_below_the_minimum_notional():
    assert check_filters(INSTRUMENT, D("0.002"), D(100), reduce_only=True) is None


@pytest.mark.req("P-RSK-3")
@given(
    st.decimals(min_value="0.1", max_value=10**6, places=4),
    st.decimals(min_value=0, max_value=20, places=6),
    st.sampled_from(Side),
)
def test_quantised_values_are_on_the_grid_and_never_worse_for_us(price, qty, side):
    on_grid = quantise_price(INSTRUMENT, price, side)
    assert on_grid % INSTRUMENT.tick_size == 0
    assert 0 <= (price - on_grid) * side.sign < INSTRUMENT.tick_size
    whole = quantise_qty(INSTRUMENT, qty)
    assert whole == 0 or INSTRUMENT.min_qty <= whole <= min(qty, INSTRUMENT.max_qty)
    assert whole % INSTRUMENT.lot_size == 0
