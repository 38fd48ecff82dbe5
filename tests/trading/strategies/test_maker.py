"""The maker: width, skew, inventory, and quotes that are pulled at once."""

from decimal import Decimal

import pytest

from trading.market.events import BookState
from trading.orders.messages import QuoteIntent, Side
from trading.strategies.base import build_strategy

D = Decimal
BID, ASK = 500_000, 500_001
MS = 1_000_000


@pytest.fixture
def make(kit):
    def build(*specs, **params):
        return build_strategy("maker", "m", kit.some(*(specs or (kit.perp,))), params, 4)

    return build


def first_quote(kit, maker, **fields):
    (intent,) = maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, kit.now, **fields), kit.now)
    return intent


def test_it_quotes_both_sides_wide_enough_to_earn_its_fee(kit, make):
    intent = first_quote(kit, make(fee_coverage=1.0))
    assert isinstance(intent, QuoteIntent)
    assert intent.intent_id == "m:4:1"
    assert intent.cause == f"{kit.perp.instrument_id}@1"
    fee_ticks = 0.0002 * BID
    assert intent.ask_ticks - intent.bid_ticks >= 2 * fee_ticks
    assert intent.bid_lots == intent.ask_lots == 5


@pytest.mark.req("P-ORD-8")
def test_it_never_quotes_through_the_other_side(kit, make):
    intent = first_quote(kit, make(fee_coverage=0.0), bid_lots=1000, ask_lots=1)
    assert intent.bid_ticks < ASK
    assert intent.ask_ticks > BID


def test_inventory_skews_the_quote_against_itself(kit, make):
    def center(qty):
        maker = make(vol_half_life_s=5.0, min_requote_ms=0)
        maker.restore_position({kit.perp.instrument_id: D(qty)}, kit.now)
        intents = []
        for n in range(50):
            now = kit.now + n * 200 * MS
            intents += maker.on_book(kit.top(kit.perp.instrument_id, BID + 20 * (n % 2), ASK + 20 * (n % 2), now), now)
        return maker.signal()[kit.perp.instrument_id]["reservation_ticks"]

    assert center("0.020") < center("0") < center("-0.020")


def test_a_full_inventory_quotes_one_side_only(kit, make):
    maker = make(max_inventory_usd=D(500))
    maker.restore_position({kit.perp.instrument_id: D("0.010")}, kit.now)
    intent = first_quote(kit, maker)
    assert intent.bid_lots == 0
    assert intent.ask_lots > 0


def test_spot_is_sold_only_from_inventory(kit, make):
    maker = make(kit.spot)
    (intent,) = maker.on_book(kit.top(kit.spot.instrument_id, 5_000_000, 5_000_001, kit.now), kit.now)
    assert (intent.bid_lots > 0, intent.ask_lots) == (True, 0)


def test_small_moves_and_quick_ones_do_not_requote(kit, make):
    maker = make()
    first_quote(kit, maker)
    count = 0
    for n in range(1, 400):
        now = kit.now + n * 10 * MS
        count += len(maker.on_book(kit.top(kit.perp.instrument_id, BID + n, ASK + n, now), now))
    assert 2 <= count <= 5, "four seconds of steady moves are at most about one requote a second"
    still = kit.now + 5 * kit.second
    maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, still), still)
    later = still + kit.second
    assert len(maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, later), later)) <= 1
    assert (
        maker.on_book(kit.top(kit.perp.instrument_id, BID + 1, ASK + 1, later + kit.second), later + kit.second) == ()
    )


@pytest.mark.req("P-MD-3")
@pytest.mark.parametrize("state", [BookState.SUSPECT, BookState.RESYNC, BookState.HALT])
def test_it_pulls_at_once_when_the_book_is_not_proved_and_once_only(kit, make, state):
    maker = make()
    first_quote(kit, maker)
    soon = kit.now + MS
    (pull,) = maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, soon, state=state), soon)
    assert (pull.bid_lots, pull.ask_lots) == (0, 0)
    assert state.value in pull.reasons[0]
    assert maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, soon + MS, state=state), soon + MS) == ()


@pytest.mark.req("P-MD-3")
def test_silence_pulls_the_quote(kit, make):
    maker = make()
    first_quote(kit, maker)
    assert maker.on_timer(kit.now + 1000 * MS) == []
    (pull,) = maker.on_timer(kit.now + 1300 * MS)
    assert (pull.bid_lots, pull.ask_lots) == (0, 0)


def test_a_fill_is_answered_at_the_next_turn(kit, make):
    maker = make()
    intent = first_quote(kit, maker)
    maker.on_fill(kit.perp.instrument_id, Side.BUY, D("0.005"), kit.perp.price(intent.bid_ticks), kit.now + MS)
    later = kit.now + kit.second
    assert len(maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, later), later)) == 1


def test_zero_notional_quotes_nothing(kit, make):
    maker = make(quote_notional_usd=0)
    assert maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, kit.now), kit.now) == ()


def test_around_a_slow_fair_price_an_excursion_beyond_the_fee_is_quoted_at_the_touch(kit, make):
    maker = make(fair_half_life_s=120.0, min_requote_ms=0, fee_coverage=1.0)
    for n in range(100):
        now = kit.now + n * 100 * MS
        maker.on_book(kit.top(kit.perp.instrument_id, BID, ASK, now), now)
    low = BID - round(BID * 10e-4)
    now += 100 * MS
    (quote,) = maker.on_book(kit.top(kit.perp.instrument_id, low, low + 1, now), now)
    assert quote.bid_ticks == low, "it joins the bid, and does not cross"
    assert quote.ask_ticks > BID, "it sells no cheaper than its own idea of the price, and the fee"
    nimble = make(min_requote_ms=0, fee_coverage=1.0)
    (plain,) = nimble.on_book(kit.top(kit.perp.instrument_id, low, low + 1, now), now)
    assert plain.bid_ticks < low < plain.ask_ticks < BID


def test_it_may_sell_of_its_own_coins_what_it_was_given_and_no_more(kit, make):
    def ask_lots(**params):
        maker = make(kit.spot, **params)
        bid = 5_000_000
        (quote,) = maker.on_book(kit.top(kit.spot.instrument_id, bid, bid + 1, kit.now), kit.now) or (None,)
        return quote.ask_lots

    assert ask_lots() == 0
    lots = ask_lots(own_inventory_usd=D(200))
    assert 0 < lots * D("0.00001") * 50_000 <= 200
    with pytest.raises(ValueError, match="own_inventory_usd"):
        make(own_inventory_usd=D(-1))
