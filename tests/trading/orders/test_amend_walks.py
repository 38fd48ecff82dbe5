"""Amendments in place against the simulated venue over a lossy wire, with restarts from the journal; seeded walks.

After every step at most one order of an intent is live and no execution is applied twice; at the end both sides agree
on every order, on its terms and on what each chain of ids executed.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from tests.trading.orders.test_order_walks import BTC, MID, MS, VENUE, Walk
from trading.orders import fsm
from trading.orders.core import REPLACEABLE, OrderCore, OrderCoreConfig
from trading.orders.journal_rows import numbered
from trading.orders.messages import (
    ApprovedOrder,
    Leg,
    OrderCancelReplaceRequest,
    OrdStatus,
    OrdType,
    ProposedOrder,
    Side,
    TimeInForce,
)
from trading.orders.refusals import cancel_reject

IN_PLACE = OrderCoreConfig(amends_in_place=(VENUE,))
LINK = bytes(32)


class InPlaceWalk(Walk):
    """A walk whose venue amends in place, and whose core may die at any moment."""

    def __init__(self, seed: int) -> None:
        self.rows = []
        self.lives = 0
        self.amended = 0
        super().__init__(seed, amends=True)
        self.rows.clear()
        self.restart()
        self.settle()

    def restart(self) -> None:
        """What was not durable is gone, and what was on its way to us; what was on its way to the venue arrives."""
        self.lives += 1
        self.pending.clear()
        self.core = OrderCore({BTC.instrument_id: BTC}, self.lives, IN_PLACE)
        self.core.restore(self.rows)
        self.perform(self.core.begin_reconcile(VENUE, self.now))

    def commit(self) -> None:
        self.rows += numbered(len(self.rows) + 1, self.pending[0].rows, LINK, LINK)
        super().commit()

    def deliver(self, *, lossy: bool) -> None:
        command = self.wire.pop(self.random.randrange(len(self.wire)) if lossy else 0)
        if lossy and self.random.random() < 0.12:
            return
        if not isinstance(command, OrderCancelReplaceRequest):
            self.venue.on_command(command, self.now)
            return
        exchange = self.venue.in_place(self.now)
        text = exchange.amend(command.orig_cl_ord_id, command.order_qty, command.price, self.now)
        self.amended += not text
        if text:
            self.heard.append(cancel_reject(command, OrdStatus.UNKNOWN, text, self.now))

    def order(self, replaces: str | None = None) -> None:
        pick = self.random
        cl_ord_id = f"pd{self.lives}-{len(self.intent_of) + 1}"
        original = None if replaces is None else self.core.order(VENUE, replaces)
        side = pick.choice(list(Side)) if original is None else original.proposed.side
        time_in_force = pick.choice([TimeInForce.GTC, TimeInForce.GTX])
        if original is not None and pick.random() < 0.9:
            time_in_force = original.proposed.time_in_force
        price = BTC.price(MID + 1 - side.sign * pick.randint(-1, 8))
        qty = BTC.qty(pick.randint(1, 20))
        intent = self.intent_of[replaces] if replaces is not None else f"i{cl_ord_id}"
        self.intent_of[cl_ord_id] = intent
        proposed = ProposedOrder(
            cl_ord_id=cl_ord_id,
            venue=VENUE,
            instrument_id=BTC.instrument_id,
            side=side,
            ord_type=OrdType.LIMIT,
            time_in_force=time_in_force,
            order_qty=qty,
            price=price,
            reduce_only=False,
            legs=(Leg("m", intent, qty),),
            replaces=replaces,
            ref_price=price,
            book_update_id=1,
            book_ts_recv_ns=self.now,
            story={},
            cause="walk",
            ts_init_ns=self.now,
        )
        self.perform(self.core.on_approved(ApprovedOrder(proposed, self.lives, {}, self.now), self.now))

    def step(self) -> None:
        pick = self.random
        self.now += pick.choice([1, 5, 40, 120]) * MS
        self.heard += self.venue.poll(self.now)
        live = self.core.open_orders()
        standing = [o.cl_ord_id for o in live if o.ord_status in REPLACEABLE and o.acked and not o.cancel_id]
        kind = pick.random()
        if kind < 0.002:
            self.restart()
        elif kind < 0.08 and len(live) < 5:
            self.order()
        elif kind < 0.20 and standing:
            self.order(pick.choice(standing))
        elif kind < 0.21 and standing:
            self.cancel(pick.choice(standing))
        elif kind < 0.45 and self.pending:
            self.commit()
        elif kind < 0.65 and self.wire:
            self.deliver(lossy=True)
        elif kind < 0.90 and self.heard:
            self.hear(lossy=True)
        elif kind < 0.95:
            self.move(pick.randint(-6, 6))
        else:
            self.perform(self.core.on_timer(self.now))
        self.check()

    def move(self, shift: int) -> None:
        bid = MID + shift
        self.book.set((bid, self.random.randint(1, 8)), (bid + 2, self.random.randint(1, 8)))
        self.venue.on_book(self.book, self.now)

    def check(self) -> None:
        state = self.state()
        live = [o.cl_ord_id for o in state.open_orders]
        intents = Counter(self.intent_of[name] for name in live)
        assert max(intents.values(), default=0) <= 1, f"two live orders of one intent: {live}"
        for name in live:
            order = self.core._meant(VENUE, name)
            assert order is not None
            assert order.is_open or order.never_found, f"{name} lives, here it is {order.told()}"
        assert max(self.told.values(), default=0) <= 1
        assert not self.told - Counter(e.exec_id for e in state.executions)
        for side in Side:
            most = sum((o.leaves_qty for o in state.open_orders if o.side is side), Decimal(0))
            mine = sum((o.most_qty for o in self.core.open_orders() if o.proposed.side is side), Decimal(0))
            missed = sum(
                (e.last_qty for e in state.executions if e.side is side and not self.told[e.exec_id]), Decimal(0)
            )
            # An order that was placed and given up; what an amendment that was given up may do is in exposure.
            given_up = [o for o in self.core._done.values() if o.never_found and o.proposed.side is side]
            never = [o for o in given_up if o.in_place is None]
            assert never or most <= mine + missed, f"{most} are live at the venue, {mine} in exposure"


def executed_by_wire(walk: InPlaceWalk) -> dict[str, Decimal]:
    """What each order of the venue executed, by the core's own sums over its chain of ids."""
    found: dict[str, Decimal] = {}
    for name in walk.intent_of:
        order = walk.core.order(VENUE, name)
        if order is not None and order.cum_qty:
            found[order.wire_id] = found.get(order.wire_id, Decimal(0)) + order.cum_qty
    return found


def walked(seed: int) -> InPlaceWalk:
    walk = InPlaceWalk(seed)
    for _ in range(500):
        walk.step()
    walk.heal()
    walk.check()
    return walk


@pytest.mark.req("P-ORD-11")
@pytest.mark.req("P-ORD-2")
@pytest.mark.parametrize("seed", range(20))
def test_core_and_venue_agree_after_any_walk_of_amendments_in_place(seed):
    walk = walked(seed)
    state = walk.state()
    mine = {o.wire_id: (o.total_qty, o.proposed.price, o.leaves_qty) for o in walk.core.open_orders()}
    assert mine == {o.cl_ord_id: (o.order_qty, o.price, o.leaves_qty) for o in state.open_orders}
    assert {o.ord_status for o in walk.core.open_orders()} <= {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}
    assert walk.position == state.positions.get(BTC.instrument_id, Decimal(0))
    executed: dict[str, Decimal] = {}
    for report in state.executions:
        executed[report.cl_ord_id] = executed.get(report.cl_ord_id, Decimal(0)) + report.last_qty
    assert executed_by_wire(walk) == executed
    finished = [o for o in (walk.core.order(VENUE, name) for name in walk.intent_of) if o is not None and not o.is_open]
    assert all(o.ord_status in fsm.TERMINAL for o in finished)


@pytest.mark.req("P-ORD-11")
def test_the_walks_amend_in_place_and_follow_what_is_executed_meanwhile():
    amended = followed = carried = 0
    for seed in range(8):
        walk = walked(seed)
        amended += walk.amended
        orders = [o for o in (walk.core.order(VENUE, name) for name in walk.intent_of) if o is not None]
        followed += sum(o.in_place is not None and o.acked for o in orders)
        carried += sum(bool(o.carried_qty) for o in orders)
    assert followed > 20
    assert amended >= followed
    assert carried
