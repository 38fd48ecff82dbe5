"""The basis pair: which premium is traded, when it leaves, what silences it."""

from decimal import Decimal

import pytest

from trading.market.events import BookState
from trading.orders.messages import Side, Urgency
from trading.strategies.base import build_strategy

D = Decimal
MS = 1_000_000
SPOT, PERP = 5_000_000, 500_000  # both are 50,000.0


class Pair:
    def __init__(self, kit, first, second, **params):
        self.kit, self.a, self.b = kit, first, second
        self.strategy = build_strategy("basis", "ba", kit.some(first, second), params, 4)
        self.now = kit.now
        self.scale = 1 if first.tick_size == second.tick_size else 10

    def run(self, steps, premium_ticks, *, noise=2, fill=(0, 1)):
        said = []
        for n in range(steps):
            self.now += 100 * MS
            perp = PERP + premium_ticks + (noise if n % 2 else -noise)
            said += self.strategy.on_book(
                self.kit.top(self.a.instrument_id, PERP * self.scale, PERP * self.scale + 1, self.now), self.now
            )
            said += self.strategy.on_book(self.kit.top(self.b.instrument_id, perp, perp + 1, self.now), self.now)
            self.fill(said, fill)
        return said

    def fill(self, said, which):
        goals = {i.instrument_id: i.target_lots for i in said}
        for spec in [(self.a, self.b)[n] for n in which]:
            gap = goals.get(spec.instrument_id, self.strategy.position_lots[spec.instrument_id])
            gap -= self.strategy.position_lots[spec.instrument_id]
            if gap:
                side = Side.BUY if gap > 0 else Side.SELL
                self.strategy.on_fill(spec.instrument_id, side, spec.qty(abs(gap)), D(50000), self.now)


@pytest.fixture
def pair(kit):
    def build(*specs, **params):
        # What is tested here is the machinery: a short memory, takers, and nobody asks what it costs.
        exercise = {"fee_coverage": 0.0, "passive": False, "mean_half_life_s": 30.0, "entry_z": 2.0, "exit_z": 0.3}
        params = {**exercise, "leg_timeout_s": 6.0, "cool_off_s": 4.0, "max_hold_s": 60.0, **params}
        return Pair(kit, *(specs or (kit.spot, kit.perp)), **params)

    return build


def test_a_rich_premium_is_sold_against_spot_in_the_same_base_amount(kit, pair):
    p = pair()
    assert p.run(200, 0) == []
    ref, perp = p.run(3, 40)[:2]
    assert (ref.instrument_id, perp.instrument_id) == (kit.spot.instrument_id, kit.perp.instrument_id)
    assert ref.target_lots > 0 > perp.target_lots
    assert kit.spot.qty(ref.target_lots) == pytest.approx(-kit.perp.qty(perp.target_lots), rel=D("0.01"))
    assert "premium" in ref.reasons[0]
    exits = p.run(30, 0)
    assert [i.target_lots for i in exits[:2]] == [0, 0]
    assert not any(p.strategy.position_lots.values())


def test_a_cheap_premium_is_not_bought_with_spot_that_is_not_there(pair):
    p = pair()
    p.run(200, 0)
    assert p.run(5, -40) == []


def test_between_two_perpetuals_both_directions_trade_and_inverse_legs_are_contracts(kit, pair):
    p = pair(kit.perp, kit.coin)
    p.run(200, 0)
    ref, perp = p.run(3, -40)[:2]
    assert (ref.target_lots, perp.target_lots) == (-8, 4)


def test_full_fee_coverage_refuses_what_convergence_cannot_pay(pair):
    p = pair(fee_coverage=1.0)
    p.run(200, 0)
    assert p.run(5, 40) == []
    assert p.run(3, 4000) != []


def test_paying_funding_asks_for_more(kit, pair):
    def entries(rate):
        p = pair(kit.perp, kit.coin, funding_z_penalty=1e6)
        p.strategy.on_mark(kit.mark(kit.coin.instrument_id, rate, kit.now), kit.now)
        p.run(200, 0)
        return p.run(3, 40)

    assert entries("0.0001") != [], "short the perpetual receives positive funding"
    assert entries("-0.0001") == []


def test_a_leg_that_stays_behind_ends_the_pair(pair):
    p = pair(mean_half_life_s=1000.0)
    p.run(200, 0)
    said = p.run(120, 40, fill=(0,))
    assert "flatten both" in said[-1].reasons[0] or any("flatten both" in i.reasons[0] for i in said)
    assert p.strategy.position_lots[p.a.instrument_id] == 0


def test_it_does_not_hold_forever(pair):
    p = pair(max_hold_s=5.0, mean_half_life_s=1000.0)
    p.run(200, 0)
    said = p.run(70, 40)
    assert "held 5 s" in said[2].reasons[0]


@pytest.mark.req("P-MD-3")
def test_one_unproved_or_stale_book_silences_the_pair(kit, pair):
    p = pair()
    p.run(200, 0)
    bad = kit.top(kit.spot.instrument_id, SPOT, SPOT + 1, p.now, state=BookState.RESYNC)
    assert p.strategy.on_book(bad, p.now) == ()
    later = p.now + 200 * MS
    assert p.strategy.on_book(kit.top(kit.perp.instrument_id, PERP + 40, PERP + 41, later), later) == ()
    p = pair()
    p.run(200, 0)
    late = p.now + 1300 * MS
    assert p.strategy.on_book(kit.top(kit.perp.instrument_id, PERP + 40, PERP + 41, late), late) == ()


def test_a_restored_pair_is_brought_to_its_exit(kit, pair):
    p = pair()
    p.strategy.restore_position({kit.spot.instrument_id: D("0.008"), kit.perp.instrument_id: D("-0.008")}, kit.now)
    said = p.run(10, 0)
    assert {i.target_lots for i in said[:2]} == {0}


HONEST = {"fee_coverage": 1.0, "passive": True, "mean_half_life_s": 600.0, "entry_z": 0.5, "exit_z": 0.1}


def test_a_passive_pair_asks_for_makers_fees_and_a_taking_one_for_takers(kit, pair):
    maker_bps = 2e4 * float(kit.perp.maker_fee + kit.coin.maker_fee)
    taker_bps = 2e4 * float(kit.perp.taker_fee + kit.coin.taker_fee)
    for params, least_bps in ((HONEST, maker_bps), ({**HONEST, "passive": False}, taker_bps)):
        for share, enters in ((0.9, False), (1.1, True)):
            p = pair(kit.perp, kit.coin, **params)
            p.run(160, 0)
            ticks = round(PERP * least_bps * 1e-4 * share)
            assert bool(p.run(3, ticks)) is enters, (params, share)


def test_a_passive_pair_rests_both_legs_until_they_stand(kit, pair):
    p = pair(kit.perp, kit.coin, **HONEST)
    p.run(160, 0)
    entry = p.run(3, 1000)
    assert {i.urgency for i in entry} == {Urgency.PASSIVE}
    assert all(p.strategy.position_lots.values())


def test_a_leg_nobody_took_is_completed_by_taking_once_the_other_stands(kit, pair):
    p = pair(kit.perp, kit.coin, **{**HONEST, "leg_timeout_s": 5.0})
    p.run(160, 0)
    said = p.run(49, 1000, fill=(0,))
    assert {i.urgency for i in said} == {Urgency.PASSIVE}
    hurried = p.run(20, 1000, fill=(0,))
    assert any(i.urgency is Urgency.AGGRESSIVE and "complete" in i.reasons[0] for i in hurried)
    p.run(40, 1000)
    assert all(p.strategy.position_lots.values())


def test_a_pair_of_which_nothing_stands_is_given_up_without_an_order(kit, pair):
    p = pair(kit.perp, kit.coin, **{**HONEST, "leg_timeout_s": 5.0})
    p.run(160, 0)
    said = p.run(70, 1000, fill=())
    last = {i.instrument_id: i for i in said}.values()
    assert "nobody took" in next(i.reasons[0] for i in said if i.target_lots == 0)
    assert {(i.target_lots, i.urgency) for i in last} == {(0, Urgency.PASSIVE)}


def test_the_mean_starts_at_its_prior_and_not_at_what_happens_to_be(kit, pair):
    rich = pair(kit.perp, kit.coin, **HONEST)
    assert rich.run(160, 500) != [], "10 bps above the prior is rich from the first moment on"
    used_to_it = pair(kit.perp, kit.coin, prior_mean_bps=10.0, **HONEST)
    assert used_to_it.run(160, 500) == []
