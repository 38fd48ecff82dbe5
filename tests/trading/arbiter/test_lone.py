"""A lone target's round against the whole one: the same words and the same state, or nothing touched."""

import random
from decimal import Decimal

import msgspec
import pytest

import native
from tests.effort import effort
from trading.arbiter import core
from trading.arbiter.config import StrategyBudget
from trading.arbiter.core import Arbiter
from trading.arbiter.lone import lone_round, lone_round_in_python
from trading.arbiter.round import Round
from trading.arbiter.slots import NET_OWNER
from trading.brakes import Level
from trading.market.events import BookState
from trading.orders.messages import QuoteIntent, Side, TargetIntent, Urgency
from trading.risk.limits import OPERATOR, RiskLimits

D = Decimal
NOW = 1_700_000_000_000_000_000
MS = 1_000_000
NAMES = ("momentum", "maker", "basis")
WAYS = [
    lone_round_in_python,
    pytest.param(lone_round, marks=pytest.mark.skipif(native.orders is None, reason="was not built")),
]


class WholeArbiter(Arbiter):
    """Makes a whole round of every intent."""

    def on_intent(self, intent, now_ns):
        desk = self._desks[intent.instrument_id]
        if desk.flattening.asked:
            return super().on_intent(intent, now_ns)
        book = desk.targets if type(intent) is TargetIntent else desk.quotes
        book[intent.strategy_id] = intent
        return Round(self._shared, desk, now_ns).run()


def _plain(value):
    """A value as something that can be compared: windows by their times, slots and the like by their fields."""
    if type(value).__module__.startswith("trading.") and hasattr(value, "__slots__"):
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.asdict(value)
        return {name: _plain(getattr(value, name)) for name in value.__slots__ if name not in ("add", "_by_scope")}
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if type(value).__name__ == "deque" else value


def _state(arbiter):
    return _plain(arbiter._shared), {i: _plain(desk) for i, desk in arbiter._desks.items()}


def _intent(dice, name, instrument_id, bid, scale, n, now_ns):
    head = (f"i{n}", name, instrument_id)
    tail = (0.5, dice.choice([30, 100, 400]) * MS, ("because",), f"{instrument_id}@{n}", now_ns)
    if dice.random() < 0.03:
        return QuoteIntent(*head, bid - dice.randrange(3), 4, bid + 1 + dice.randrange(3), 4, *tail)
    urgency = Urgency.PASSIVE if dice.random() < 0.04 else Urgency.AGGRESSIVE
    limit = bid + dice.randrange(-3, 4) if dice.random() < 0.04 else None
    return TargetIntent(*head, scale * dice.choice([-60, -9, -4, -3, 0, 2, 4, 9, 60]), urgency, limit, *tail)


@pytest.mark.parametrize("one_round", WAYS)
@pytest.mark.parametrize("seed", range(effort(2, 6)))
def test_a_lone_round_says_and_leaves_behind_what_a_whole_one_does(kit, monkeypatch, seed, one_round):
    dice = random.Random(seed)
    lone = {"said": 0, "left": 0}

    def watched(shared, desk, target, now_ns):
        before = _plain(shared), _plain(desk)
        outs = one_round(shared, desk, target, now_ns)
        lone["left" if outs is None else "said"] += 1
        assert outs is not None or (_plain(shared), _plain(desk)) == before
        return outs

    monkeypatch.setattr(core, "lone_round", watched)
    roomy = seed % 2 == 0
    fields = {
        "budgets": {s: StrategyBudget(priority=p, max_notional_usd=D(2000)) for p, s in enumerate(NAMES)},
        "max_position_notional_usd": D(4000 if roomy else dice.choice([700, 2500])),
        "max_order_notional_usd": D(900 if roomy else dice.choice([450, 3000])),
        "min_order_interval_ms": 0 if roomy else 60,
        "max_orders_per_sec": 1000 if roomy else dice.choice([4, 20]),
        "orders_per_symbol_per_min": 10_000 if roomy else dice.choice([0, 40, 400]),
        "aggressive_slippage_bps": dice.choice([0.0, 2.0, 3.7]),
        "limits": RiskLimits(orders_per_sec=1000, orders_per_symbol_per_min=10_000),
    }
    only = (kit.PERP, kit.SPOT, kit.COIN)
    desks = fast, whole = [kit.desk(only=only, **fields) for _ in range(2)]
    whole.arbiter = WholeArbiter(whole.instruments, whole.arbiter.config, 7)
    held = {"momentum": {kit.PERP: D("0.003")}, OPERATOR: {kit.COIN: D(dice.choice([0, 3]))}}
    for desk in desks:
        desk.arbiter.restore(held, ())
    bids, now, alone = dict.fromkeys(only, 500_000), NOW, dice.choice(NAMES)
    for n in range(600):
        now += dice.choice([1, 20, 90, 700] if n % 50 else [2500]) * MS
        instrument_id, what = dice.choice(only), dice.random()
        told, is_compared = len(whole.log), False
        if what < 0.45:
            bid = bids[instrument_id] = bids[instrument_id] + dice.choice([-2, -1, 0, 1, 2])
            ask = bid + dice.choice([1, 1, 2, 5])
            state = BookState.SUSPECT if dice.random() < 0.03 else BookState.SYNCED
            ask_lots = dice.choice([2, 50]) * (100 if instrument_id == kit.SPOT else 1)  # targets are in such lots too
            top = kit.top(instrument_id, bid, ask, now, ask_lots=ask_lots, update_id=n, state=state)
            for desk in desks:
                desk.book(top, now)
        elif what < 0.86:
            name = alone if dice.random() < 0.96 else dice.choice(NAMES)
            scale = 100 if instrument_id == kit.SPOT else 1
            intent = _intent(dice, name, instrument_id, bids[instrument_id], scale, n, now)
            said = [desk.arbiter.on_intent(intent, now) for desk in desks]
            assert repr(said[0]) == repr(said[1])
            assert _state(fast.arbiter) == _state(whole.arbiter)
            is_compared = not said[0]  # then nothing is done with it
            for desk, outs in zip(desks, said, strict=True):
                desk._take(outs, now)
        elif what < 0.98:
            for desk in desks:
                desk.timer(now)
        else:
            scope = dice.choice(["global", "strategy:maker", f"symbol:{instrument_id}", "venue:binance"])
            modes = {scope: dice.choice([Level.SAFE, Level.PAUSE, Level.KILL])} if dice.random() < 0.15 else {}
            for desk in desks:
                desk._take(desk.arbiter.set_modes(modes, now), now)
        assert repr(fast.log[told:]) == repr(whole.log[told:])
        assert is_compared or _state(fast.arbiter) == _state(whole.arbiter)
    assert repr(fast.log) == repr(whole.log)
    assert lone["left"] > 100
    assert lone["said"] > 10 or not roomy


@pytest.mark.parametrize("one_round", WAYS)
@pytest.mark.parametrize("operator_lots", [0, 3])
def test_what_the_operator_left_is_for_a_whole_round(kit, operator_lots, one_round):
    arbiter = kit.desk(only=(kit.PERP,)).arbiter
    arbiter.restore({OPERATOR: {kit.PERP: D("0.001") * operator_lots}}, ())
    desk = arbiter._desks[kit.PERP]
    desk.set_top(kit.top(kit.PERP, 500_000, 500_001, NOW))
    desk.slot(NET_OWNER, Side.BUY)
    target = TargetIntent(
        "i1", "momentum", kit.PERP, 4, Urgency.AGGRESSIVE, None, 0.5, 400 * MS, ("because",), "book", NOW
    )
    desk.targets["momentum"] = target
    assert (one_round(arbiter._shared, desk, target, NOW) is None) is (operator_lots != 0)
