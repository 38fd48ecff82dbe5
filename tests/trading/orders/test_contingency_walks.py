"""Lists against the simulated venue, over a network that loses, repeats and reorders, and through deaths of the core.

At no moment is the position turned round; when the network heals, no leg is open beside one that was executed.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.trading.orders.test_order_walks import BTC, MID, MS, VENUE, Walk
from trading.orders.core import OrderCore, OrderCoreConfig
from trading.orders.journal_rows import JournalKind, decode_body, numbered
from trading.orders.messages import (
    ApprovedOrder,
    Contingency,
    Leg,
    OrdType,
    ProposedOrder,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

LOTS = 6
FAR = 20
LAST = TriggerPriceType.LAST


class ListWalk(Walk):
    """Buys when nothing is held, has a stop and a take-profit hold what it bought, and dies now and then."""

    def __init__(self, seed: int) -> None:
        self.rows = []
        self.epoch = 1
        self.lists: dict[str, list[str]] = {}
        self.deaths = 0
        super().__init__(seed, amends=False, holds_triggers=True)

    @property
    def held(self) -> Decimal:
        return self.state().positions.get(BTC.instrument_id, Decimal(0))

    def commit(self) -> None:
        self.rows += numbered(len(self.rows) + 1, self.pending[0].rows, bytes(32), bytes(32))
        super().commit()

    def say(self, side: Side, qty: Decimal, **fields) -> str:
        cl_ord_id = f"pd1-{len(self.intent_of) + 1}"
        self.intent_of[cl_ord_id] = f"i{cl_ord_id}"
        price = BTC.price(MID + 40)
        proposed = ProposedOrder(
            cl_ord_id=cl_ord_id,
            venue=VENUE,
            instrument_id=BTC.instrument_id,
            side=side,
            order_qty=qty,
            legs=(Leg("m", f"i{cl_ord_id}", qty),),
            replaces=None,
            ref_price=price,
            book_update_id=1,
            book_ts_recv_ns=self.now,
            story={},
            cause="walk",
            ts_init_ns=self.now,
            **({"ord_type": OrdType.LIMIT, "price": price, "reduce_only": False} | fields),
            time_in_force=TimeInForce.IOC,
        )
        self.perform(self.core.on_approved(ApprovedOrder(proposed, self.epoch, {}, self.now), self.now))
        return cl_ord_id

    def leg(self, ord_type: OrdType, qty: Decimal, list_id: str) -> None:
        at = BTC.price(MID + (FAR if ord_type is OrdType.TAKE_PROFIT else -FAR))
        name = self.say(
            Side.SELL,
            qty,
            ord_type=ord_type,
            price=None,
            reduce_only=True,
            trigger=TriggeringInstructions(at, LAST, True),
            contingency=Contingency(list_id),
        )
        self.lists.setdefault(list_id, []).append(name)

    def see(self, shift: int) -> None:
        self.venue.in_place(self.now).see_price(BTC.instrument_id, LAST, BTC.price(MID + shift), self.now)

    def die(self) -> None:
        """What was not on the disk is lost, and nothing that waited for it was said."""
        self.deaths += 1
        self.epoch += 1
        self.pending.clear()
        self.core = OrderCore({BTC.instrument_id: BTC}, self.epoch, OrderCoreConfig(amend_unsupported=(VENUE,)))
        self.core.restore(self.rows)
        self.perform(self.core.begin_reconcile(VENUE, self.now))

    def pair(self, position: Decimal) -> None:
        list_id = f"l{len(self.lists) + 1}"
        self.leg(OrdType.STOP, position, list_id)
        self.leg(OrdType.TAKE_PROFIT, position, list_id)

    def last_list(self) -> list[str]:
        """A list that the venue holds whole, and nothing else is open or on its way."""
        self.heal()
        self.see(0)
        for order in self.core.open_orders():
            self.cancel(order.cl_ord_id)
        self.heal()
        if not self.held:
            self.say(Side.BUY, BTC.qty(LOTS))
            self.heal()
        self.pair(self.held)
        self.heal()
        names = self.lists[f"l{len(self.lists)}"]
        assert {order.cl_ord_id for order in self.core.open_orders()} == set(names)
        return names

    def step(self, *, prices: bool = True) -> None:
        pick = self.random
        self.now += pick.choice([1, 5, 40, 120]) * MS
        self.heard += self.venue.poll(self.now)
        mine = self.core.exposure().get(BTC.instrument_id)
        position = Decimal(0) if mine is None else mine.position
        kind = pick.random()
        if kind < 0.06 and not position and not self.core.open_orders():
            self.say(Side.BUY, BTC.qty(LOTS))
        elif kind < 0.20 and position > 0 and not any(o.proposed.contingency for o in self.core.open_orders()):
            self.pair(position)
        elif kind < 0.26 and prices:
            self.see(pick.choice([-FAR, FAR, -FAR - 9, FAR + 9, 0, 3]))
        elif kind < 0.28 and prices:
            self.see(-FAR)
            self.see(FAR)
        elif kind < 0.50 and self.pending:
            self.commit()
        elif kind < 0.68 and self.wire:
            self.deliver(lossy=True)
        elif kind < 0.86 and self.heard:
            self.hear(lossy=True)
        elif kind < 0.92:
            self.move(pick.randint(-8, 8))
        elif kind < 0.93:
            self.die()
        else:
            self.perform(self.core.on_timer(self.now))
        self.check()
        assert self.held >= 0, "the position was turned round"

    def executed(self) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = {}
        for report in self.state().executions:
            sums[report.cl_ord_id] = sums.get(report.cl_ord_id, Decimal(0)) + report.last_qty
        return sums


@pytest.mark.req("P-ORD-3", "P-ORD-10")
@pytest.mark.parametrize("seed", range(16))
def test_after_any_walk_no_leg_is_open_beside_one_that_was_executed(seed):
    walk = ListWalk(seed)
    for _ in range(500):
        walk.step()
    names = walk.last_list()
    walk.see(walk.random.choice([-FAR, FAR]))
    for _ in range(40):
        walk.step(prices=False)
    walk.heal()
    executed = walk.executed()
    assert sum(name in executed for name in names) == 1, "the price was that of one leg"
    open_there = {report.cl_ord_id for report in walk.state().open_orders}
    assert open_there == {order.cl_ord_id for order in walk.core.open_orders()}
    for names in walk.lists.values():
        decided = any(executed.get(name) for name in names)
        assert not (decided and open_there & set(names)), f"{names}: executed {executed}, open {open_there}"
    mine = walk.core.exposure().get(BTC.instrument_id)
    assert walk.held == (Decimal(0) if mine is None else mine.position)


def test_the_walks_decide_lists_by_either_leg_and_die_between():
    decided, canceled, deaths = {OrdType.STOP: 0, OrdType.TAKE_PROFIT: 0}, 0, 0
    for seed in range(8):
        walk = ListWalk(seed)
        for _ in range(500):
            walk.step()
        walk.heal()
        for name in walk.executed():
            order = walk.core.order(VENUE, name)
            if order is not None and order.proposed.contingency is not None:
                decided[order.proposed.ord_type] += 1
        bodies = [decode_body(row.body) for row in walk.rows if row.kind is JournalKind.CANCEL]
        canceled += sum("one cancels the other" in body.cancel.reason for body in bodies)
        deaths += walk.deaths
    assert min(decided.values()) > 4
    assert canceled > 8
    assert deaths > 8
