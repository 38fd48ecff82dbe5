"""Intents of many strategies become few orders: exact legs, internal crosses, caps, priorities, timers."""

from collections import deque
from decimal import Decimal
from itertools import pairwise

import pytest

from trading.arbiter.config import ArbiterConfig, ConflictResolved, StrategyBudget
from trading.arbiter.core import Arbiter
from trading.arbiter.story import tell_story
from trading.market.events import BookState
from trading.orders.journal_rows import PlaceBody, decode_body, encode_body
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    InternalCross,
    OrderDenied,
    OrdStatus,
    ProposedCancel,
    ProposedOrder,
    QuoteIntent,
    Side,
    TargetIntent,
    TimeInForce,
    Urgency,
)
from trading.risk.limits import RiskLimits

D = Decimal
NOW = 1_700_000_000_000_000_000
MS = 1_000_000
SECOND = 1000 * MS
BID, ASK = 500_000, 500_001


class Said:
    """Intents on the linear perpetual."""

    def __init__(self, instrument_id):
        self.instrument_id = instrument_id
        self.n = 0

    def _id(self, strategy_id):
        self.n += 1
        return f"{strategy_id}:7:{self.n}"

    def target(self, strategy_id, lots, now_ns=NOW, *, urgency=Urgency.AGGRESSIVE, limit=None, ttl_ns=30 * SECOND):
        return TargetIntent(
            intent_id=self._id(strategy_id),
            strategy_id=strategy_id,
            instrument_id=self.instrument_id,
            target_lots=lots,
            urgency=urgency,
            limit_ticks=limit,
            confidence=0.7,
            ttl_ns=ttl_ns,
            reasons=("because",),
            cause=f"{self.instrument_id}@1",
            ts_init_ns=now_ns,
        )

    def quote(self, strategy_id, bid, ask, now_ns=NOW, *, lots=4, bid_lots=None, ask_lots=None, ttl_ns=30 * SECOND):
        return QuoteIntent(
            intent_id=self._id(strategy_id),
            strategy_id=strategy_id,
            instrument_id=self.instrument_id,
            bid_ticks=bid,
            bid_lots=lots if bid_lots is None else bid_lots,
            ask_ticks=ask,
            ask_lots=lots if ask_lots is None else ask_lots,
            confidence=0.5,
            ttl_ns=ttl_ns,
            reasons=("because",),
            cause=f"{self.instrument_id}@1",
            ts_init_ns=now_ns,
        )


@pytest.fixture
def said(kit):
    return Said(kit.PERP)


@pytest.fixture
def desk(kit):
    made = kit.desk()
    made.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    return made


def orders(desk):
    return desk.of(ProposedOrder)


def rules(desk):
    return [(c.rule, c.strategy_id) for c in desk.of(ConflictResolved)]


def test_two_targets_of_one_sign_become_one_order_with_exact_legs(desk, said):
    desk.ack = False
    desk.intent(said.target("basis", 6), NOW)
    assert len(orders(desk)) == 1
    desk.intent(said.target("momentum", 9), NOW)
    assert len(orders(desk)) == 1, "one aggressive order at a time"


def test_strategies_that_agree_share_an_order(kit, desk, said):
    desk.arbiter.on_top(kit.top(kit.PERP, BID, ASK, NOW, state=BookState.SUSPECT), NOW)
    desk.intent(said.target("basis", 6), NOW)
    desk.intent(said.target("momentum", 9), NOW)
    assert orders(desk) == []
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    (order,) = orders(desk)
    assert (order.side, order.order_qty, order.time_in_force) == (Side.BUY, D("0.015"), TimeInForce.IOC)
    assert [(leg.strategy_id, leg.qty) for leg in order.legs] == [("momentum", D("0.009")), ("basis", D("0.006"))]
    assert order.price >= D("50000.1")
    assert order.price <= D("50010.2"), "no further than the slippage allows"
    assert "momentum" in tell_story(order)["netting"]
    assert "because" in tell_story(order)["intent basis"]
    journalled = decode_body(encode_body(PlaceBody(ApprovedOrder(order, 1, {}, NOW))))
    assert isinstance(journalled, PlaceBody)
    assert tell_story(journalled.approved.order) == tell_story(order)
    desk.check()


@pytest.mark.req("P-EXE-9")
def test_opposing_targets_meet_inside_the_desk_at_the_mid(kit, desk, said):
    desk.arbiter.on_top(kit.top(kit.PERP, BID, ASK, NOW, state=BookState.RESYNC), NOW)
    desk.intent(said.target("basis", -6), NOW)
    desk.intent(said.target("momentum", 9), NOW)
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    (cross,) = desk.of(InternalCross)
    assert (cross.buyer_id, cross.seller_id, cross.qty, cross.price) == ("momentum", "basis", D("0.006"), D("50000.05"))
    (order,) = orders(desk)
    assert (order.side, order.order_qty) == (Side.BUY, D("0.003"))
    assert "momentum bought 6 lots from basis" in tell_story(order)["crossing"]
    assert desk.position[kit.PERP] == D("0.003")
    assert ("cross", "momentum") in rules(desk)
    desk.check()


def test_a_need_that_is_met_or_on_its_way_is_not_asked_for_again(desk, said):
    desk.intent(said.target("momentum", 9), NOW)
    desk.intent(said.target("momentum", 9), NOW + SECOND)
    desk.timer(NOW + SECOND)
    assert len(orders(desk)) == 1


@pytest.mark.req("P-EXE-9")
def test_priority_decides_who_is_cut_when_the_combination_would_exceed_the_limit(kit, said):
    desk = kit.desk(max_position_notional_usd=D(1000), max_order_notional_usd=D(2000))
    desk.book(kit.top(kit.PERP, BID, ASK, NOW, state=BookState.SUSPECT), NOW)
    desk.intent(said.target("basis", 12), NOW)
    desk.intent(said.target("momentum", 14), NOW)
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    # 1000 USD at 50,000.05 are 19 lots.
    assert desk.arbiter.position_lots(kit.PERP) == {"momentum": 14, "basis": 5}
    assert ("priority", "basis") in rules(desk)
    assert ("priority", "momentum") not in rules(desk)
    assert desk.arbiter.conflicts_resolved >= 1
    desk.check()


@pytest.mark.req("P-EXE-9")
def test_resting_quotes_count_towards_the_combined_limit(kit, said):
    desk = kit.desk(max_position_notional_usd=D(1000))
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    desk.intent(said.quote("maker", BID - 50, ASK + 50, lots=10), NOW)
    desk.intent(said.target("momentum", 15, NOW + SECOND), NOW + SECOND)
    worst = desk.position[kit.PERP] + sum(h.order.order_qty for h in desk.live.values() if h.order.side is Side.BUY)
    assert worst <= D("0.019")
    for n in range(1, 6):
        now = NOW + n * SECOND
        desk.book(kit.top(kit.PERP, BID, ASK, now), now)
    assert desk.arbiter.position_lots(kit.PERP)["momentum"] == 15, "the lower priority made room"


@pytest.mark.req("P-EXE-9")
def test_a_quote_whose_cancel_is_still_on_its_way_keeps_its_room(kit, said):
    desk = kit.desk(max_position_notional_usd=D(1000))
    desk.wire = deque()
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    desk.intent(said.quote("maker", BID - 50, ASK + 50, lots=10), NOW)
    desk.deliver(9, NOW)
    desk.intent(said.target("momentum", 15, NOW + SECOND), NOW + SECOND)
    assert orders(desk)[-1].order_qty == D("0.009"), "19 lots are allowed and 10 may still fill"
    assert desk.worst(kit.PERP, Side.BUY) == D("0.019")


@pytest.mark.parametrize("aggressor", [Side.BUY, Side.SELL])
def test_no_quote_is_placed_where_an_order_on_its_way_would_meet_it(kit, said, aggressor):
    desk = kit.desk()
    desk.wire = deque()
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    desk.intent(said.target("momentum", 5 * aggressor.sign), NOW)
    desk.intent(said.quote("maker", BID - 1, ASK + 1), NOW)
    assert {o.side for o in orders(desk)} == {aggressor}
    desk.deliver(9, NOW)
    assert {o.side for o in orders(desk)} == set(Side), "and when it is over, the quote follows"
    assert desk.of(OrderDenied) == []


def test_the_order_waits_until_the_quote_in_its_way_is_gone(kit, said):
    desk = kit.desk()
    desk.wire = deque()
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    desk.intent(said.quote("maker", BID - 30, ASK), NOW)
    desk.deliver(9, NOW)
    desk.intent(said.target("momentum", 5, NOW + SECOND), NOW + SECOND)
    assert not [o for o in orders(desk) if o.time_in_force is TimeInForce.IOC]
    desk.deliver(1, NOW + SECOND)
    assert [o.order_qty for o in orders(desk) if o.time_in_force is TimeInForce.IOC] == [D("0.005")]


def test_quotes_of_two_strategies_do_not_meet(kit, said):
    desk = kit.desk()
    desk.book(kit.top(kit.PERP, BID, BID + 40, NOW), NOW)
    desk.intent(said.quote("maker", BID - 40, BID + 10), NOW)
    desk.intent(said.quote("basis", BID + 20, BID + 60), NOW)
    bids = [o for o in orders(desk) if o.legs[0].strategy_id == "basis" and o.side is Side.BUY]
    assert [o.price for o in bids] == [D("50000.9")]
    assert desk.of(OrderDenied) == []


def test_a_budget_caps_its_strategy_and_a_missing_one_allows_nothing(kit, said):
    desk = kit.desk(budgets={"basis": StrategyBudget(priority=1, max_notional_usd=D(300))})
    desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    desk.intent(said.target("basis", 50), NOW)
    desk.intent(said.target("stranger", 5), NOW)
    assert desk.arbiter.position_lots(kit.PERP) == {"basis": 5}
    assert rules(desk) == [("budget", "basis"), ("no_budget", "stranger")]


def test_an_expired_target_changes_nothing_and_an_expired_quote_is_pulled(kit, desk, said):
    desk.intent(said.target("momentum", 9, ttl_ns=SECOND), NOW)
    desk.intent(said.quote("maker", BID - 9, ASK + 9, ttl_ns=2 * SECOND), NOW)
    assert len(desk.live) == 2
    desk.timer(NOW + 3 * SECOND)
    assert desk.arbiter.position_lots(kit.PERP) == {"momentum": 9}
    assert desk.live == {}


def test_a_quote_rests_post_only_on_both_sides_and_moves_by_replacement(kit, desk, said):
    desk.intent(said.quote("maker", BID - 9, ASK + 9), NOW)
    assert [(o.side, o.time_in_force, o.price, o.replaces) for o in orders(desk)] == [
        (Side.BUY, TimeInForce.GTX, D("49999.1"), None),
        (Side.SELL, TimeInForce.GTX, D("50001.0"), None),
    ]
    desk.intent(said.quote("maker", BID - 9, ASK + 10, NOW + SECOND), NOW + SECOND)
    assert len(orders(desk)) == 2, "within the hysteresis"
    desk.book(kit.top(kit.PERP, BID, ASK, NOW + 2 * SECOND), NOW + 2 * SECOND)
    desk.intent(said.quote("maker", BID - 9, ASK + 20, NOW + 2 * SECOND), NOW + 2 * SECOND)
    assert orders(desk)[-1].replaces == orders(desk)[1].cl_ord_id
    assert len(desk.live) == 2
    desk.intent(said.quote("maker", 0, 0, NOW + 3 * SECOND, lots=0), NOW + 3 * SECOND)
    assert desk.live == {}


@pytest.mark.req("P-ORD-8")
def test_a_quote_never_crosses_the_book(kit, desk, said):
    desk.intent(said.quote("maker", ASK + 5, ASK + 9), NOW)
    assert orders(desk)[0].price == D("50000.0")
    assert not [u for u in desk.log if getattr(u, "ord_status", None) is OrdStatus.EXPIRED]


@pytest.mark.req("P-MD-3")
@pytest.mark.parametrize("state", [BookState.SUSPECT, BookState.RESYNC, BookState.HALT])
def test_a_book_that_is_not_proved_pulls_quotes_and_proposes_nothing(kit, desk, said, state):
    desk.intent(said.quote("maker", BID - 9, ASK + 9), NOW)
    desk.book(kit.top(kit.PERP, BID, ASK, NOW + SECOND, state=state), NOW + SECOND)
    assert desk.live == {}
    before = len(orders(desk))
    desk.intent(said.quote("maker", BID - 9, ASK + 9, NOW + SECOND), NOW + SECOND)
    desk.intent(said.target("momentum", 5, NOW + SECOND), NOW + SECOND)
    desk.intent(said.target("basis", -5, NOW + SECOND), NOW + SECOND)
    assert len(orders(desk)) == before
    assert desk.of(InternalCross) == []


@pytest.mark.req("P-MD-3")
def test_a_stale_book_cannot_produce_an_order(kit, desk, said):
    desk.intent(said.quote("maker", BID - 9, ASK + 9), NOW)
    late = NOW + 1201 * MS
    desk.intent(said.target("momentum", 5, late), late)
    assert len(orders(desk)) == 2
    assert desk.live == {}, "and pulls what rests on it"


def test_an_unknown_order_blocks_its_instrument_and_no_other(kit, said):
    desk = kit.desk()
    for i in (kit.PERP, kit.COIN):
        desk.book(kit.top(i, BID, ASK, NOW), NOW)
    desk.ack = False
    desk.intent(said.target("momentum", 9), NOW)
    for n in range(1, 30):
        now = NOW + n * SECOND
        for i in (kit.PERP, kit.COIN):
            desk.book(kit.top(i, BID, ASK, now), now)
        desk.timer(now)
    desk.intent(said.target("momentum", -9, now), now)
    assert len(orders(desk)) == 1
    desk.intent(Said(kit.COIN).target("momentum", 5, now), now)
    assert len(orders(desk)) == 2
    desk.ack = True
    desk._update(orders(desk)[0], OrdStatus.REJECTED, now)
    desk._drain(now)
    desk.timer(now + SECOND)
    desk.book(kit.top(kit.PERP, BID, ASK, now + SECOND), now + SECOND)
    assert orders(desk)[-1].side is Side.SELL


def test_the_terminal_word_does_not_free_an_order_before_its_fills_are_seen(kit, said):
    arbiter = Arbiter(
        {kit.PERP: kit.instruments[kit.PERP]},
        ArbiterConfig(budgets={"momentum": StrategyBudget(priority=1, max_notional_usd=D(1000))}),
        1,
    )
    arbiter.on_top(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    (order,) = arbiter.on_intent(said.target("momentum", 9), NOW)
    paper = kit.desk()
    paper.tops[kit.PERP] = kit.top(kit.PERP, BID, ASK, NOW)
    paper._fill(order, D("0.009"), D(50000), NOW, None)
    fill, filled = paper._inbox
    assert arbiter.on_order(filled, NOW + SECOND) == []
    assert arbiter.on_timer(NOW + SECOND) == []
    assert not arbiter.on_top(kit.top(kit.PERP, BID + 1, ASK + 1, NOW + SECOND), NOW + SECOND)
    assert arbiter.on_fill(fill, NOW + SECOND) == []
    assert arbiter.position_lots(kit.PERP) == {"momentum": 9}


@pytest.mark.req("P-EXE-23")
def test_errors_in_a_row_cool_the_side_off(kit, desk, said):
    sent = []
    desk.arbiter.on_intent(said.target("basis", 1), NOW)
    arbiter = Arbiter(desk.instruments, desk.arbiter.config, 9)
    arbiter.on_top(kit.top(kit.PERP, BID, ASK, NOW), NOW)
    outs = arbiter.on_intent(said.target("momentum", 9, ttl_ns=60 * SECOND), NOW)
    for step in range(2000):
        now = NOW + step * 10 * MS
        outs = outs or arbiter.on_top(kit.top(kit.PERP, BID, ASK, now), now)
        for order in outs:
            sent.append(step * 10)
            denied = OrderDenied(
                cl_ord_id=order.cl_ord_id,
                venue=order.venue,
                instrument_id=kit.PERP,
                reason=DenyReason.MAX_POSITION,
                text="",
                legs=order.legs,
                cause="",
                ts_init_ns=now,
            )
            assert arbiter.on_denied(denied, now) == []
        outs = []
    assert sent[:3] == [0, 250, 750], "each error doubles the wait"
    assert all(later - earlier >= 5000 for earlier, later in pairwise(sent[2:]))
    assert len(sent) <= 7


def test_a_brake_is_not_knocked_at(kit, said):
    desk = kit.desk()
    desk.governor.set_modes({"global": 3})
    for step in range(100):
        now = NOW + step * 100 * MS
        desk.book(kit.top(kit.PERP, BID, ASK, now), now)
        if step == 0:
            desk.intent(said.target("momentum", 9), now)
            desk.intent(said.quote("maker", BID - 9, ASK + 9), now)
    assert {d.reason for d in desk.of(OrderDenied)} == {DenyReason.BRAKE}
    assert len(orders(desk)) <= 6


def test_our_own_quote_leaves_before_an_aggressive_order_could_meet_it(kit, desk, said):
    desk.intent(said.quote("maker", BID - 30, ASK), NOW)
    desk.intent(said.target("momentum", 5, NOW + SECOND), NOW + SECOND)
    log = [x for x in desk.log if isinstance(x, ProposedOrder | ProposedCancel)]
    cancel = next(n for n, x in enumerate(log) if isinstance(x, ProposedCancel))
    taker = next(n for n, x in enumerate(log) if isinstance(x, ProposedOrder) and x.time_in_force is TimeInForce.IOC)
    assert cancel < taker
    assert "self-trade" in log[cancel].reason
    assert ("self_trade", "maker") in rules(desk)


def test_a_quote_deeper_in_the_book_only_shortens_the_reach(kit, desk, said):
    desk.intent(said.quote("maker", BID - 30, ASK + 3), NOW)
    desk.intent(said.target("momentum", 5, NOW + SECOND), NOW + SECOND)
    assert desk.of(ProposedCancel) == []
    assert orders(desk)[-1].price == D("50000.3")


def test_a_limit_that_the_market_does_not_meet_waits_for_it(kit, desk, said):
    desk.intent(said.target("momentum", 5, limit=ASK - 20), NOW)
    assert orders(desk) == []
    desk.book(kit.top(kit.PERP, BID - 20, ASK - 20, NOW + SECOND), NOW + SECOND)
    assert orders(desk)[0].price == D("49998.1")


def test_a_passive_target_rests_at_the_touch_and_follows_it(kit, desk, said):
    desk.intent(said.target("momentum", 5, urgency=Urgency.PASSIVE), NOW)
    (order,) = orders(desk)
    assert (order.time_in_force, order.price, order.legs[0].strategy_id) == (TimeInForce.GTX, D("50000.0"), "momentum")
    desk.book(kit.top(kit.PERP, BID + 9, ASK + 9, NOW + SECOND), NOW + SECOND)
    assert orders(desk)[-1].price == D("50000.9")
    assert orders(desk)[-1].replaces == order.cl_ord_id
    desk.intent(said.target("momentum", 0, NOW + 2 * SECOND), NOW + 2 * SECOND)
    assert desk.live == {}


def test_an_aggressive_order_that_only_closes_is_reduce_only(kit, desk, said):
    desk.intent(said.target("momentum", 5), NOW)
    desk.intent(said.target("momentum", 0, NOW + SECOND), NOW + SECOND)
    assert [o.reduce_only for o in orders(desk)] == [False, True]
    desk.book(kit.top(kit.PERP, BID, ASK, NOW + 2 * SECOND), NOW + 2 * SECOND)
    desk.intent(said.target("momentum", 5, NOW + 2 * SECOND), NOW + 2 * SECOND)
    desk.book(kit.top(kit.PERP, BID, ASK, NOW + 3 * SECOND), NOW + 3 * SECOND)
    desk.intent(said.target("momentum", -5, NOW + 3 * SECOND), NOW + 3 * SECOND)
    assert orders(desk)[-1].order_qty == D("0.010")
    assert not orders(desk)[-1].reduce_only


def test_ids_are_the_same_in_a_replay_and_fit_every_venue(kit, said):
    def run():
        desk = kit.desk(epoch=2**32 - 1)
        said = Said(kit.PERP)
        desk.book(kit.top(kit.PERP, BID, ASK, NOW), NOW)
        desk.intent(said.quote("maker", BID - 9, ASK + 9), NOW)
        desk.intent(said.target("momentum", 5, NOW + SECOND), NOW + SECOND)
        return [o.cl_ord_id for o in orders(desk)]

    ids = run()
    assert ids == run()
    assert ids[0] == "pdffffffff-btcusdtl-1"
    assert all(len(i) <= 36 and i.replace("-", "").replace("_", "").isalnum() for i in ids)


def test_orders_of_an_earlier_life_are_canceled_and_count_until_then(kit, desk, said):
    desk.ack = False
    desk.intent(said.target("momentum", 5), NOW)
    restored = [u for u in desk.log if getattr(u, "ord_status", None) is OrdStatus.UNKNOWN]
    arbiter = Arbiter(desk.instruments, desk.arbiter.config, 8)
    arbiter.restore({"momentum": {kit.PERP: D("0.004")}}, restored)
    (cancel,) = arbiter.on_timer(NOW + SECOND)
    assert cancel.cl_ord_id == restored[0].cl_ord_id
    assert arbiter.position_lots(kit.PERP) == {"momentum": 4}
    assert arbiter.on_timer(NOW + 2 * SECOND) == []
    assert len(arbiter.on_timer(NOW + 4 * SECOND)) == 1, "a cancel without an answer is asked for again"


def test_the_order_rate_stays_below_the_governors(kit, said):
    desk = kit.desk(limits=RiskLimits(orders_per_sec=5))
    for step in range(100):
        now = NOW + step * 50 * MS
        for i in (kit.PERP, kit.COIN, kit.SPOT):
            desk.book(kit.top(i, BID + 20 * step, ASK + 20 * step, now), now)
            desk.intent(Said(i).quote("maker", BID + 20 * step - 90, ASK + 20 * step + 90, now), now)
    assert not [d for d in desk.of(OrderDenied) if d.reason is DenyReason.ORDER_RATE]
    assert len(orders(desk)) >= 15
    desk.check()


def test_a_configuration_names_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="max_order_notional_usd"):
        ArbiterConfig(budgets={}, max_order_notional_usd=D(-1))
    with pytest.raises(ValueError, match=r"budgets\.m"):
        ArbiterConfig(budgets={"m": StrategyBudget(priority=1, max_notional_usd=D("NaN"))})
