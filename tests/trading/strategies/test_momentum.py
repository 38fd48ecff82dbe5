"""Momentum: when a burst is followed, and each way out of it."""

from decimal import Decimal
from itertools import pairwise

import pytest

from trading.market.events import BookState
from trading.orders.messages import Side, TargetIntent, Urgency
from trading.strategies.base import build_strategy

D = Decimal
BID = 500_000
MS = 1_000_000


class Market:
    """A market that moves by so many ticks a step of 100 ms, with trades in the direction of the move."""

    def __init__(self, kit, strategy, spec):
        self.kit, self.strategy, self.id = kit, strategy, spec.instrument_id
        self.now, self.bid, self.said = kit.now, BID, []

    def run(self, steps, move, fill=True):
        said = []
        for n in range(steps):
            self.now += 100 * MS
            # Without drift it still trembles, so that volatility is not zero.
            self.bid += move or (1 if n % 2 else -1)
            lots = 5 if move > 0 else -5 if move < 0 else (1 if n % 2 else -1)
            said += self.strategy.on_trade(self.kit.trade(self.id, self.bid, lots, self.now), self.now)
            said += self.strategy.on_book(self.kit.top(self.id, self.bid, self.bid + 1, self.now), self.now)
            if fill:
                self.fill(said)
        self.said += said
        return said

    def fill(self, said):
        if said:
            held = self.strategy.position_lots[self.id]
            gap = said[-1].target_lots - held
            if gap:
                spec = self.strategy.specs[self.id]
                side = Side.BUY if gap > 0 else Side.SELL
                self.strategy.on_fill(self.id, side, spec.qty(abs(gap)), spec.price(self.bid), self.now)


@pytest.fixture
def make(kit):
    def build(spec=None, **params):
        spec = spec or kit.perp
        # What is tested here is the machinery: takers, and nobody asks what it costs.
        params = {"fee_coverage": 0.0, "passive_exit": False, "max_hold_s": 20.0, **params}
        return Market(kit, build_strategy("momentum", "mo", kit.some(spec), params, 4), spec)

    return build


@pytest.mark.parametrize("direction", [1, -1])
def test_a_burst_is_followed_aggressively_and_left_when_it_fades(make, direction):
    market = make()
    assert market.run(150, 0) == []
    (entry,) = market.run(20, 3 * direction)
    assert isinstance(entry, TargetIntent)
    assert entry.urgency is Urgency.AGGRESSIVE
    assert entry.target_lots * direction in (11, 12), "600 USD at just above or below 50,000"
    assert entry.intent_id == "mo:4:1"
    assert "score" in entry.reasons[0]
    exits = market.run(80, -2 * direction)
    assert exits[0].target_lots == 0
    assert exits[0].reasons[0].startswith("exit")


def test_it_warms_up_before_it_acts(make):
    assert make().run(60, 3) == []


def test_it_leaves_by_time_even_when_the_move_goes_on(make):
    market = make(max_hold_s=3.0)
    market.run(150, 0)
    said = market.run(60, 3)
    assert [i.target_lots for i in said][:2] == [11, 0]
    assert "held 3 s" in said[1].reasons[0]


def test_the_stop_is_measured_from_the_price_paid(make):
    market = make(stop_bps=1.0, min_hold_s=10.0, exit_score=-1.0)
    market.run(150, 0)
    market.run(20, 3)
    said = market.run(30, -5)
    assert "stop" in said[0].reasons[0]


def test_after_an_exit_it_rests(make):
    market = make(max_hold_s=3.0, cool_off_s=30.0)
    market.run(150, 0)
    assert len(market.run(200, 3)) == 2


def test_spot_is_not_sold_short(make, kit):
    market = make(kit.spot)
    market.run(150, 0)
    assert market.run(40, -30) == []
    assert make(kit.spot, allow_short_spot=True).run(150, -30) != []


def test_full_fee_coverage_refuses_a_move_that_does_not_pay(make):
    market = make(fee_coverage=1.0)
    market.run(150, 0)
    assert market.run(40, 1) == []


def test_an_unfilled_entry_is_said_again_and_then_given_up(make):
    market = make(exit_score=-1.0, stop_bps=500.0, ttl_ms=2000)
    market.run(150, 0)
    said = market.run(120, 3, fill=False)
    assert [i.target_lots for i in said[:2]] == [11, 11]
    assert "still 0 of 11" in said[1].reasons[0]
    assert len(said) < 8


@pytest.mark.req("P-MD-3")
def test_an_unproved_or_silent_book_says_nothing(kit, make):
    market = make()
    market.run(150, 0)
    top = kit.top(market.id, BID + 500, BID + 501, market.now, state=BookState.SUSPECT)
    assert market.strategy.on_book(top, market.now) == ()
    assert market.strategy.on_timer(market.now + 5 * kit.second) == []


def test_a_restored_position_is_left_in_time(kit, make):
    market = make(max_hold_s=3.0)
    market.strategy.restore_position({market.id: D("0.005")}, kit.now)
    said = market.run(40, 0)
    assert said[0].target_lots == 0


def test_zero_notional_trades_nothing(make):
    market = make(position_notional_usd=0)
    market.run(150, 0)
    assert market.run(40, 3) == []


def test_by_default_it_enters_only_when_the_move_pays_for_the_way_in_and_out(make, kit):
    plain = {"fee_coverage": 1.0, "passive_exit": True, "max_hold_s": 60.0}
    timid, bold = make(**plain), make(**plain)
    for market, step in ((timid, 1), (bold, 150)):
        market.run(150, 0)
        market.run(40, step)
    assert timid.said == []
    cost_bps = 1e4 * float(kit.perp.taker_fee + kit.perp.maker_fee)
    words = bold.said[0].reasons[1].split()
    assert float(words[2]) >= float(words[-1]) > cost_bps


def test_a_reason_that_has_gone_is_left_at_the_makers_price_first(make):
    market = make(passive_exit=True, exit_timeout_s=5.0, stop_bps=500.0)
    market.run(150, 0)
    market.run(20, 3)
    said = market.run(120, -1, fill=False)
    exits = [i for i in said if i.target_lots == 0]
    assert [i.urgency for i in exits[:2]] == [Urgency.PASSIVE, Urgency.PASSIVE]
    hurried = next(i for i in exits if i.urgency is Urgency.AGGRESSIVE)
    assert 5 * 10**9 <= hurried.ts_init_ns - exits[0].ts_init_ns < 6 * 10**9
    gaps = [b.ts_init_ns - a.ts_init_ns for a, b in pairwise(exits)]
    assert all(gap < i.ttl_ns for gap, i in zip(gaps, exits, strict=False)), "a resting exit never expires in between"


def test_a_stop_does_not_wait_for_a_maker(make):
    market = make(passive_exit=True, stop_bps=1.0, min_hold_s=10.0, exit_score=-1.0)
    market.run(150, 0)
    market.run(20, 3)
    (exit_intent,) = market.run(5, -20)
    assert "stop" in exit_intent.reasons[0]
    assert exit_intent.urgency is Urgency.AGGRESSIVE


def test_what_is_too_little_for_an_order_on_spot_is_not_chased(make, kit):
    market = make(kit.spot)
    market.run(150, 0)
    (entry,) = market.run(30, 30, fill=False)[:1]
    # The fee of a spot purchase is taken out of the coins that were bought.
    spec = kit.spot
    market.strategy.on_fill(market.id, Side.BUY, spec.qty(entry.target_lots) * D("0.999"), D(50000), market.now)
    assert market.strategy.position_lots[market.id] < entry.target_lots
    assert not any(i.target_lots for i in market.run(60, 30, fill=False))
