"""Tops noted in C against the arbiter's and the governor's own way: the same state, or nothing touched."""

import random
from decimal import Decimal

import msgspec
import pytest

import native
from tests.trading.arbiter.test_lone import MS, NAMES, NOW, _intent, _state
from trading.arbiter.config import StrategyBudget
from trading.arbiter.core import QUIET
from trading.market.events import BookState
from trading.risk.governor import RiskGovernor
from trading.risk.limits import RiskLimits

D = Decimal
pytestmark = pytest.mark.skipif(native.orders is None, reason="no native code was built")


def _top(dice, kit, instrument_id, bid, now, n):
    ask = bid + dice.choice([1, 1, 1, 2])
    state = BookState.SUSPECT if dice.random() < 0.04 else BookState.SYNCED
    top = kit.top(instrument_id, bid, ask, now, ask_lots=dice.choice([2, 50]), update_id=n, state=state)
    chance = dice.random()
    if chance < 0.03:
        return msgspec.structs.replace(top, bids=())
    if chance < 0.06:
        return msgspec.structs.replace(top, asks=())
    return msgspec.structs.replace(top, instrument_id="nobody's") if chance < 0.08 else top


@pytest.mark.parametrize("seed", range(4))
def test_a_top_is_noted_as_the_arbiter_would_or_left_to_it(kit, seed):
    dice = random.Random(seed)
    only = (kit.PERP, kit.SPOT, kit.COIN)
    fields = {
        "budgets": {s: StrategyBudget(priority=p, max_notional_usd=D(2000)) for p, s in enumerate(NAMES)},
        "limits": RiskLimits(orders_per_sec=1000, orders_per_symbol_per_min=10_000),
    }
    desks = routed, plain = [kit.desk(only=only, **fields) for _ in range(2)]
    clock = [NOW]
    route = routed.arbiter.top_route(lambda: clock[0])
    bids, noted, left = dict.fromkeys(only, 500_000), 0, 0
    for n in range(900):
        clock[0] += dice.choice([1, 20, 90, 700]) * MS
        now, instrument_id = clock[0], dice.choice(only)
        if dice.random() < 0.8:
            bids[instrument_id] += dice.choice([-1, 0, 0, 1])
            top = _top(dice, kit, instrument_id, bids[instrument_id], now, n)
            for desk in desks:
                desk.tops[top.instrument_id] = top
            before = _state(routed.arbiter)
            done = route(top)
            assert done or _state(routed.arbiter) == before
            noted, left = noted + done, left + (not done)
            said = [QUIET if done else routed.arbiter.on_top(top, now), plain.arbiter.on_top(top, now)]
        else:
            scale = 100 if instrument_id == kit.SPOT else 1
            intent = _intent(dice, dice.choice(NAMES), instrument_id, bids[instrument_id], scale, n, now)
            said = [desk.arbiter.on_intent(intent, now) for desk in desks]
        assert repr(said[0]) == repr(said[1])
        assert _state(routed.arbiter) == _state(plain.arbiter)
        for desk, outs in zip(desks, said, strict=True):
            desk._take(outs, now)
        if dice.random() < 0.2:
            for desk in desks:
                desk.timer(now)
    assert noted > 100
    assert left > 50


def test_the_governor_refers_to_the_same_tops_either_way(kit):
    dice = random.Random(1)
    instruments = kit.desk(only=(kit.PERP, kit.SPOT)).instruments
    routed, plain = (RiskGovernor(instruments, RiskLimits(), 1) for _ in range(2))
    route = routed.top_route()
    for n in range(300):
        top = _top(dice, kit, dice.choice((kit.PERP, kit.SPOT)), 500_000 + dice.randrange(5), NOW + n, n)
        assert route(top) is True
        plain.on_top(top)
        for one, other in zip(routed._exposures.values(), plain._exposures.values(), strict=True):
            assert (one.top, one.proved) == (other.top, other.proved)
    assert route("no top") is False
    with pytest.raises(TypeError):
        route()


def test_a_state_that_cannot_be_kept_so_is_refused_when_the_route_is_made():
    with pytest.raises((TypeError, AttributeError)):
        native.orders.reference_route({}, dict, dict, BookState.SYNCED)
