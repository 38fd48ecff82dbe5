"""Orders too small for a venue are made as large as they must be, never larger than they may be."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.desk_plan import INSTRUMENTS
from trading.market.events import BookState, BookTop
from trading.orders.messages import QuoteIntent, TargetIntent, Urgency
from trading.strategies.base import LotValue
from trading.strategies.minimum import OrderMinimum

SPOT = "BINANCE:SPOT:BTC-USDT"
USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
COINM = "BINANCECOINM:PERP:BTC-USD:INVERSE"
PRICE = 60_000


def minimum(instrument_id=SPOT, *, floor=11, most=500, price=PRICE):
    spec = INSTRUMENTS[instrument_id]
    made = OrderMinimum({instrument_id: spec}, Decimal(floor), {instrument_id: Decimal(most)})
    if price:
        bid = int(price / float(spec.tick_size))
        top = BookTop(
            instrument_id=instrument_id,
            state=BookState.SYNCED,
            update_id=1,
            bids=((bid, 1),),
            asks=((bid, 1),),
            ts_event_ns=1,
            ts_recv_ns=1,
        )
        made.on_top(top)
    return made


def target(lots, instrument_id=SPOT):
    return TargetIntent("i", "s", instrument_id, lots, Urgency.AGGRESSIVE, None, 1.0, 1, (), "a test", 1)


def quote(bid_lots, ask_lots, instrument_id=SPOT):
    ticks = int(PRICE / float(INSTRUMENTS[instrument_id].tick_size))
    return QuoteIntent("i", "s", instrument_id, ticks, bid_lots, ticks, ask_lots, 1.0, 1, (), "a test", 1)


def usd(lots, instrument_id=SPOT):
    spec = INSTRUMENTS[instrument_id]
    return abs(lots) * LotValue(spec).usd(PRICE / float(spec.tick_size))


def lots_of(worth, instrument_id=SPOT):
    spec = INSTRUMENTS[instrument_id]
    return LotValue(spec).lots(worth, PRICE / float(spec.tick_size))


@pytest.mark.req("L-EXEC-5")
@pytest.mark.parametrize("sign", [1, -1])
def test_an_order_of_five_dollars_becomes_one_of_eleven(sign):
    made = minimum()
    intent = target(sign * lots_of(5))
    raised = made.apply(intent, 0)
    assert 11 <= usd(raised.target_lots) < 11 + usd(1)
    assert raised.target_lots * sign > 0
    assert (made.raised, made.refused) == (1, 0)
    # Nothing else of it has changed.
    assert msgspec.structs.replace(raised, target_lots=intent.target_lots) == intent


@pytest.mark.req("L-EXEC-5")
def test_where_the_venue_asks_for_more_it_is_the_venues_minimum():
    spec = msgspec.structs.replace(INSTRUMENTS[USDM], min_notional=Decimal(100))
    made = OrderMinimum({USDM: spec}, Decimal(11), {USDM: Decimal(500)})
    made._markets[USDM].mid_ticks = PRICE / float(spec.tick_size)
    assert usd(made.apply(target(1, USDM), 0).target_lots, USDM) >= 100


def test_a_contract_that_is_worth_more_by_itself_stays_one():
    assert minimum(COINM).apply(target(1, COINM), 0).target_lots == 1


@pytest.mark.req("L-EXEC-5")
def test_beyond_what_an_order_may_be_worth_it_stays_as_it_was_and_says_why():
    made = minimum(most=8)
    intent = target(lots_of(5))
    assert made.apply(intent, 0) is intent
    assert (made.raised, made.refused) == (0, 1)
    assert "too small" in made.words
    assert "limit of 8.00 USD" in made.words


@pytest.mark.parametrize(
    ("lots", "held"),
    [
        (0, 7),  # it closes
        (3, 20_000),  # it only reduces
        (20_003, 20_000),  # what stands is changed by little
        (0, 0),
        (50_000, 0),  # large enough
        (-50, 40_000),  # closing and opening together is large
    ],
)
def test_what_opens_nothing_small_is_left_alone(lots, held):
    made = minimum()
    intent = target(lots)
    assert made.apply(intent, held) is intent
    assert made.raised == 0


def test_without_a_price_nothing_is_made_larger():
    intent = target(lots_of(5))
    assert minimum(price=0).apply(intent, 0) is intent


@pytest.mark.req("L-EXEC-5")
def test_a_side_of_a_quote_is_raised_and_one_that_reduces_never_past_the_position():
    made = minimum()
    small, least = lots_of(5), made._markets[SPOT].least(PRICE / float(INSTRUMENTS[SPOT].tick_size))
    both = made.apply(quote(small, small), 0)
    assert (both.bid_lots, both.ask_lots) == (least, least)
    # Long by less than the least order: selling that would end short.
    assert made.apply(quote(0, small), least - 1).ask_lots == small
    assert made.apply(quote(0, small), least).ask_lots == least
    assert made.apply(quote(0, 0), 0) == quote(0, 0)


@pytest.mark.req("L-EXEC-5")
@given(
    lots=st.integers(-100_000, 100_000),
    held=st.integers(-100_000, 100_000),
    floor=st.integers(0, 200),
    most=st.integers(1, 1_000),
)
def test_whatever_is_wanted_the_order_is_no_smaller_and_no_larger_than_it_may_be(lots, held, floor, most):
    made = minimum(floor=floor, most=most)
    raised = made.apply(target(lots), held).target_lots
    order, wanted = raised - held, lots - held
    if raised == lots:
        return
    assert usd(order) >= max(floor, float(INSTRUMENTS[SPOT].min_notional))
    assert usd(order) <= most
    assert abs(order) > abs(wanted)
    assert order * wanted > 0
    # Made larger once, it is large enough for whoever looks again.
    assert made.apply(target(raised), held).target_lots == raised
