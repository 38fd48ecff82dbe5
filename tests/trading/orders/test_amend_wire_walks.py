"""Amendments in place at a venue that numbers nothing, whose guard cancels behind the desk's back, over many restarts.

Beside `test_amend_walks`: account readings without a sequence, starts from a checkpoint, and words that are lost with
the process. At the end nothing of an earlier life is open, and the account is reconciled.
"""

from __future__ import annotations

import msgspec
import pytest

from tests.trading.orders.test_amend_walks import IN_PLACE, InPlaceWalk
from tests.trading.orders.test_order_walks import BTC, VENUE
from trading.orders.core import OrderCore
from trading.orders.messages import (
    AccountStateRequest,
    ExecutionReport,
    OrderCancelRequest,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
)


def unnumbered(event):
    """As a venue says it that has no sequence of account events."""
    if isinstance(event, ExecutionReport):
        return msgspec.structs.replace(event, exec_seq=0)
    if isinstance(event, OrderStatusReport) and event.report is not None:
        return msgspec.structs.replace(event, report=unnumbered(event.report))
    return event


class Unnumbered:
    """A simulated venue, heard over such a wire."""

    def __init__(self, venue) -> None:
        self._venue = venue

    def __getattr__(self, name):
        return getattr(self._venue, name)

    def poll(self, now):
        return [unnumbered(event) for event in self._venue.poll(now)]


class WireWalk(InPlaceWalk):
    """Restarts often, from the journal or from a checkpoint and its tail."""

    kept: tuple[int, bytes] | None = None

    def restart(self) -> None:
        if not isinstance(self.venue, Unnumbered):
            self.venue = Unnumbered(self.venue)
        self.lives += 1
        self.pending.clear()
        for lost in (self.heard, self.wire):
            if self.random.random() < 0.7:
                lost.clear()
        self.core = OrderCore({BTC.instrument_id: BTC}, self.lives, IN_PLACE)
        self.core.restore(self.rows, self.kept[1] if self.kept else None)
        if self.random.random() < 0.5 and self.lives > 1:
            self.guard()
        self.perform(self.core.begin_reconcile(VENUE, self.now))

    def guard(self) -> None:
        """Everything is canceled by somebody else while nobody listens, or while they do."""
        for order in self.state().open_orders:
            cancel = OrderCancelRequest(
                venue=VENUE,
                instrument_id=BTC.instrument_id,
                cl_ord_id=f"g-{order.cl_ord_id}",
                orig_cl_ord_id=order.cl_ord_id,
                epoch=1,
                cause="guard",
                ts_init_ns=self.now,
            )
            self.venue.on_command(cancel, self.now)
        said = self.venue.poll(self.now)
        if self.random.random() < 0.5:
            self.heard += said

    def deliver(self, *, lossy: bool) -> None:
        index = self.random.randrange(len(self.wire)) if lossy else 0
        command = self.wire[index]
        if not isinstance(command, AccountStateRequest | OrderStatusRequest):
            super().deliver(lossy=lossy)
            return
        self.wire.pop(index)
        if lossy and self.random.random() < 0.12:
            return
        if isinstance(command, OrderStatusRequest):
            self.venue.on_command(command, self.now)
            for event in self.venue.poll(self.now):
                answers = isinstance(event, OrderStatusReport)
                self.heard.append(msgspec.structs.replace(event, asked_ns=command.ts_init_ns) if answers else event)
            return
        state = self.state()
        self.heard.append(
            msgspec.structs.replace(
                state,
                exec_seq=0,
                open_orders=tuple(unnumbered(order) for order in state.open_orders),
                executions=tuple(unnumbered(e) for e in state.executions if e.ts_event_ns >= command.since_ns),
                numbered=False,
                asked_ns=command.ts_init_ns,
            )
        )

    def step(self) -> None:
        if self.random.random() < 0.01 and not self.pending:
            state = self.core.checkpoint(len(self.rows))
            if state is not None:
                self.kept = (len(self.rows), state)
        if self.random.random() < 0.012:
            self.restart()
        super().step()


@pytest.mark.req("P-ORD-11", "P-ORD-3")
# Of these, 3412 and 4632 find an amendment that was given up while another one is on its way; in 10867 one to less,
# given up as well, takes effect after another, and the order is executed whole with less than the desk knows of.
@pytest.mark.parametrize("seed", [*range(12), 3412, 4632, 10867])
def test_no_amendment_of_an_earlier_life_stays_open_and_the_account_is_reconciled(seed):
    walk = WireWalk(seed)
    for _ in range(500):
        walk.step()
    walk.heal()
    walk.check()
    left = [order for order in walk.core.open_orders() if order.approved.epoch < walk.lives]
    assert [(order.cl_ord_id, order.told()) for order in left] == []
    live = {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}
    assert {order.ord_status for order in walk.core.open_orders()} <= live
    assert not walk.core._account(VENUE).reconciling
    assert walk.lives > 1
