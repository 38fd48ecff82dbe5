"""What is too little to sell, and what becomes of half an entry."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.instruments import Instrument, InstrumentKind
from trading.protection.remainder import EntryPolicy, Remainder, dust, minimum, on_partial, ordered_for, sellable

D = Decimal


def make(kind):
    return Instrument(
        instrument_id="X",
        venue="binance",
        symbol="BTCUSDT",
        kind=kind,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=D("0.01"),
        lot_size=D("0.00001"),
        min_qty=D("0.00001"),
        max_qty=D(100),
        min_notional=D(5),
        taker_fee=D("0.001"),
    )


SPOT, PERP = make(InstrumentKind.SPOT), make(InstrumentKind.LINEAR)


def test_spot_below_the_minimum_notional_cannot_be_sold_and_a_contract_can():
    assert minimum(SPOT, D(50_000)) == D("0.00010")
    assert sellable(SPOT, D("0.00009"), D(50_000)) == 0
    assert sellable(PERP, D("0.00009"), D(50_000)) == D("0.00009")


@given(
    qty=st.decimals(D("-1"), D("1"), places=8),
    price=st.decimals(D("0.5"), D("90000"), places=2),
    instrument=st.sampled_from([SPOT, PERP]),
)
def test_what_can_be_sold_and_the_dust_are_all_there_is(qty, price, instrument):
    whole = sellable(instrument, qty, price)
    assert whole % instrument.lot_size == 0
    assert whole == 0 or whole >= minimum(instrument, price)
    assert (whole if qty > 0 else -whole) + dust(instrument, qty, price) == qty


@given(qty=st.integers(1, 10_000))
def test_a_buy_that_pays_its_fee_in_the_coin_leaves_what_was_wanted(qty):
    wanted = SPOT.lot_size * qty
    ordered = ordered_for(SPOT, wanted)
    assert ordered - ordered * SPOT.taker_fee >= wanted
    assert ordered - SPOT.lot_size < wanted / (1 - SPOT.taker_fee)
    assert ordered_for(PERP, wanted) == wanted


@pytest.mark.parametrize(
    ("cum", "age_ms", "then", "close"),
    [
        ("0.010", 0, Remainder.KEEP, "0"),
        ("0.004", 29_999, Remainder.KEEP, "0"),
        ("0.004", 30_000, Remainder.CANCEL, "0"),
        ("0", 30_000, Remainder.CANCEL, "0"),
        ("0.001", 30_000, Remainder.UNWIND, "0.001"),
        ("0.00002", 30_000, Remainder.CANCEL, "0"),  # not worth holding, and too little to sell
    ],
)
def test_half_an_entry_is_given_time_then_cut_or_undone(cum, age_ms, then, close):
    policy = EntryPolicy(worth_share=D("0.25"))
    decided = on_partial(policy, SPOT, order_qty=D("0.010"), cum_qty=D(cum), price=D(50_000), age_ms=age_ms)
    assert (decided.remainder, decided.close_qty) == (then, D(close))


def test_a_share_beyond_the_whole_is_refused_by_name():
    with pytest.raises(ValueError, match="worth_share: 2 is a share"):
        EntryPolicy(worth_share=D(2))
