"""Brakes as the arbiter obeys them: what SAFE and PAUSE leave, and how a KILL brings positions to nothing."""

from collections import deque
from decimal import Decimal
from itertools import pairwise

import pytest

from trading.arbiter.config import FlattenTold
from trading.arbiter.story import tell_story
from trading.brakes import Level
from trading.market.events import BookState
from trading.orders.messages import (
    InternalCross,
    OrderDenied,
    ProposedOrder,
    QuoteIntent,
    Side,
    TargetIntent,
    TimeInForce,
    Urgency,
)
from trading.risk.limits import OPERATOR

D = Decimal
NOW = 1_700_000_000_000_000_000
MS = 1_000_000
SECOND = 1000 * MS
BID, ASK = 500_000, 500_001


def target(strategy_id, lots, now_ns, *, instrument_id, urgency=Urgency.AGGRESSIVE):
    return TargetIntent(
        intent_id=f"{strategy_id}:7:{now_ns}",
        strategy_id=strategy_id,
        instrument_id=instrument_id,
        target_lots=lots,
        urgency=urgency,
        limit_ticks=None,
        confidence=0.7,
        ttl_ns=30 * SECOND,
        reasons=("because",),
        cause="c",
        ts_init_ns=now_ns,
    )


def quote(strategy_id, lots, now_ns, *, instrument_id):
    return QuoteIntent(
        intent_id=f"{strategy_id}:7:{now_ns}",
        strategy_id=strategy_id,
        instrument_id=instrument_id,
        bid_ticks=BID - 30,
        bid_lots=lots,
        ask_ticks=ASK + 30,
        ask_lots=lots,
        confidence=0.7,
        ttl_ns=30 * SECOND,
        reasons=("because",),
        cause="c",
        ts_init_ns=now_ns,
    )


class Stage:
    """A desk on one instrument whose time goes on in steps of 100 ms."""

    def __init__(self, kit, instrument_id=None, depth=50):
        self.kit = kit
        self.depth = depth
        self.id = instrument_id or kit.PERP
        self.desk = kit.desk()
        self.now = NOW
        self.step(1)

    def step(self, n=1, *, away=0, state=BookState.SYNCED):
        for _ in range(n):
            self.now += 100 * MS
            depth = {"bid_lots": self.depth, "ask_lots": self.depth}
            self.desk.book(self.kit.top(self.id, BID + away, ASK + away, self.now, state=state, **depth), self.now)
            self.desk.timer(self.now)

    def want(self, strategy_id, lots, **more):
        self.desk.intent(target(strategy_id, lots, self.now, instrument_id=self.id, **more), self.now)
        self.step(4)

    def brake(self, **modes):
        scopes = {scope.replace("_", ":", 1): int(level) for scope, level in modes.items()}
        self.desk.governor.set_modes(scopes)
        self.desk._take(self.desk.arbiter.set_modes(scopes, self.now), self.now)

    @property
    def orders(self):
        return self.desk.of(ProposedOrder)

    @property
    def lots(self):
        return {s: n for s, n in self.desk.arbiter.position_lots(self.id).items() if n}


@pytest.fixture
def stage(kit):
    return Stage(kit)


@pytest.mark.req("P-SAFE-6")
def test_a_kill_reduces_in_the_operators_name_and_leaves_every_strategy_flat(stage):
    stage.want("momentum", 9)
    stage.want("basis", -4)
    before = len(stage.orders)
    stage.brake(**{"global": Level.KILL})
    stage.step(10)
    (closing,) = stage.orders[before:]
    assert (closing.side, closing.order_qty, closing.reduce_only) == (Side.SELL, D("0.005"), True)
    assert [leg.strategy_id for leg in closing.legs] == [OPERATOR]
    assert closing.time_in_force is TimeInForce.IOC
    assert "flatten everything" in tell_story(closing)[f"intent {OPERATOR}"]
    assert stage.lots == {}
    assert {(c.buyer_id, c.seller_id) for c in stage.desk.of(InternalCross)[-2:]} == {
        (OPERATOR, "momentum"),
        ("basis", OPERATOR),
    }
    assert [told.done for told in stage.desk.of(FlattenTold)] == [True]
    stage.desk.check()


@pytest.mark.req("P-SAFE-6")
def test_resting_orders_go_first(stage):
    stage.want("momentum", 9)
    stage.desk.intent(quote("maker", 4, stage.now, instrument_id=stage.id), stage.now)
    stage.desk.wire = deque()
    before = len(stage.orders)
    stage.brake(**{"global": Level.KILL})
    stage.step(3)
    assert stage.orders[before:] == []
    stage.desk.deliver(9, stage.now)
    stage.step(1)
    assert [o.legs[0].strategy_id for o in stage.orders[before:]] == [OPERATOR]


@pytest.mark.req("P-SAFE-6")
def test_a_cancel_that_nobody_answers_does_not_keep_the_position(stage):
    stage.want("momentum", 9)
    stage.desk.intent(quote("maker", 4, stage.now, instrument_id=stage.id), stage.now)
    stage.desk.wire = deque()
    before = len(stage.orders)
    stage.brake(**{"global": Level.KILL})
    stage.step(21)
    (closing,) = stage.orders[before:]
    # The maker's own sale may still fill: both together must not turn the position round.
    assert closing.order_qty == D("0.005")


@pytest.mark.req("P-SAFE-6")
def test_what_meets_nobody_is_tried_again_deeper_slower_and_not_for_ever(stage):
    stage.want("momentum", 9)
    stage.desk.wire = deque()
    before = len(stage.orders)
    stage.brake(**{"global": Level.KILL})
    for n in range(4_000):
        # The market is gone from under every order by the time it arrives.
        stage.step(1, away=-400 * (n % 2))
        if stage.desk.wire:
            stage.desk.book(stage.kit.top(stage.id, BID - 4_000, ASK - 4_000, stage.now), stage.now)
            stage.desk.deliver(9, stage.now)
    tries = stage.orders[before:]
    assert len(tries) == 60
    gaps = [b.ts_init_ns - a.ts_init_ns for a, b in pairwise(tries)]
    assert gaps[0] < SECOND
    assert min(gaps[5:]) >= 5 * SECOND
    reach = [(o.ref_price - o.price) / o.ref_price * 10_000 for o in tries]
    assert reach[0] < 3 < 14 < max(reach) <= 16
    assert [(told.done, "given up" in told.text) for told in stage.desk.of(FlattenTold)] == [(False, True)]
    assert stage.desk.of(OrderDenied) == []


@pytest.mark.req("P-SAFE-6", "P-MD-3")
@pytest.mark.parametrize("state", [BookState.SUSPECT, BookState.RESYNC])
def test_without_a_proved_book_it_waits(stage, state):
    stage.want("momentum", 9)
    before = len(stage.orders)
    stage.step(1, state=state)
    stage.brake(**{"global": Level.KILL})
    stage.step(30, state=state)
    assert stage.orders[before:] == []
    stage.step(5)
    assert len(stage.orders[before:]) == 1
    assert stage.lots == {}


@pytest.mark.req("P-SAFE-6")
def test_an_unknown_order_may_still_fill_so_it_waits(stage):
    stage.desk.ack = False
    stage.desk.intent(target("momentum", 9, stage.now, instrument_id=stage.id), stage.now)
    before = len(stage.orders)
    stage.brake(**{"global": Level.KILL})
    stage.step(100)
    assert stage.orders[before:] == []
    assert stage.desk.of(FlattenTold) == []


@pytest.mark.req("P-SAFE-6")
def test_spot_is_sold_down_to_what_no_order_would_take(kit):
    stage = Stage(kit, kit.SPOT, depth=2_000)
    stage.want("momentum", 700)
    assert stage.lots == {"momentum": 700}
    before = len(stage.orders)
    stage.brake(venue_binance=Level.KILL)
    stage.step(30)
    assert {o.reduce_only for o in stage.orders[before:]} == {True}
    assert abs(stage.lots.get(OPERATOR, 0)) * 0.00001 * 5_000 < 5
    assert set(stage.lots) <= {OPERATOR}


@pytest.mark.req("P-SAFE-6")
def test_a_killed_strategy_goes_and_what_others_hold_against_it_stays_with_the_operator(stage):
    stage.want("momentum", 9)
    stage.want("basis", -4)
    stage.brake(strategy_momentum=Level.KILL)
    stage.step(10)
    assert stage.lots == {"basis": -4, OPERATOR: 4}
    # When the others go, so does the operator's share, brake or no brake.
    stage.brake()
    stage.want("basis", 0)
    stage.step(10)
    assert stage.lots == {}
    stage.desk.check()


def test_who_is_killed_is_not_heard(stage):
    stage.brake(strategy_momentum=Level.KILL)
    stage.want("momentum", 9)
    assert stage.orders == []
    stage.brake()
    stage.want("momentum", 9)
    assert len(stage.orders) == 1


@pytest.mark.req("P-SAFE-14")
def test_in_a_pause_positions_only_shrink(stage):
    stage.want("momentum", 6)
    stage.desk.intent(quote("maker", 4, stage.now, instrument_id=stage.id), stage.now)
    before = len(stage.orders)
    stage.brake(**{"global": Level.PAUSE})
    stage.step(5)
    assert stage.desk.live == {}, "quotes are pulled"
    stage.want("momentum", 12)
    stage.want("momentum", -12)
    (closing,) = stage.orders[before:]
    assert (closing.side, closing.order_qty, closing.reduce_only) == (Side.SELL, D("0.006"), True)
    assert stage.desk.of(OrderDenied) == []


@pytest.mark.req("P-SAFE-14")
def test_safe_halves_quotes_and_takes_nothing_new(stage):
    stage.brake(**{"global": Level.SAFE})
    stage.desk.intent(quote("maker", 8, stage.now, instrument_id=stage.id), stage.now)
    stage.want("momentum", 9)
    assert {(o.time_in_force, o.order_qty) for o in stage.orders} == {(TimeInForce.GTX, D("0.004"))}
    assert stage.desk.of(OrderDenied) == []
    stage.brake()
    stage.step(5)
    assert TimeInForce.IOC in {o.time_in_force for o in stage.orders}


@pytest.mark.req("P-SAFE-4")
def test_on_hold_nothing_is_even_proposed(stage):
    stage.brake(**{"symbol_" + stage.id: Level.HOLD})
    stage.desk.intent(quote("maker", 8, stage.now, instrument_id=stage.id), stage.now)
    stage.want("momentum", 9)
    stage.step(60)
    assert stage.orders == []
