"""The desk's own order core over ccxt's words: answers that are lost or late, fills that nobody pushes, a restart."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from adapters.clock import SystemClock
from adapters.orders.client import NotSent, Outcome
from adapters.orders.link import LinkState
from adapters.orders.user_stream import CaughtUp, Pushed
from adapters.simserver.order_faults import AcceptThen, AckDelay, BadBody, LateVisibility
from supervision.order_core import order_core
from tests.adapters.ccxt_orders.wires import VENUES, Wire, server_of
from tests.waiting import PATIENCE_S, breath
from trading.orders.core import OrderCore
from trading.orders.effects import Emit, Journal, Reconciled, SendToVenue
from trading.orders.journal_rows import numbered
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ApprovedOrder,
    DenyReason,
    Leg,
    NewOrderSingle,
    OrderDenied,
    OrderFilled,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
)


class Desk:
    """An order core whose journal is a list, and the link that carries what it says."""

    def __init__(self, server, epoch=1, rows=()):
        self.clock = SystemClock()
        self.wire = Wire(server)
        self.venue, self.market = server.spec.venue, self.wire.btc
        instruments = {one.instrument_id: one for one in server.spec.instruments}
        self.core = OrderCore(instruments, epoch, order_core(400, 300, [self.venue]))
        self.rows = list(rows)
        self.core.restore(self.rows)
        self.filled = defaultdict(Decimal)
        self.verdicts = []
        self._seen = 0

    def act(self, effects):
        for effect in effects:
            match effect:
                case Journal():
                    self.rows += numbered(len(self.rows) + 1, effect.rows, bytes(32), bytes(32))
                    self.act(self.core.on_committed(effect.commit_id, self.clock.wall_ns()))
                case SendToVenue(command=AccountStateRequest() as request):
                    self.wire.link.read(request)
                case SendToVenue():
                    self.wire.link.submit(effect.command)
                case Emit(message=OrderFilled() as fill):
                    self.filled[fill.cl_ord_id] += fill.last_qty
                case Reconciled():
                    self.verdicts.append(effect.ok)
                case _:
                    pass

    def turn(self):
        """What the gateway and the shell do in a turn: hand on what has come, and let time pass."""
        now = self.clock.wall_ns()
        items, self._seen = self.wire.items[self._seen :], len(self.wire.items)
        for item in items:
            match item:
                case Outcome():
                    events = item.reply.events
                case Pushed():
                    events = (item.event,)
                case CaughtUp():
                    events = item.state.executions
                case AccountState():
                    events = (item,)
                case NotSent(command=NewOrderSingle() as order) if not item.duplicate:
                    self.act(self.core.on_gateway_denied(denied(order, item.reason), now))
                    events = ()
                case _:
                    events = ()
            for event in events:
                self.act(self.core.on_venue(event, now))
        self.act(self.core.on_timer(now))

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await breath(0.01)
                self.turn()

    async def live(self):
        self.wire.link.start()
        await self.until(lambda: self.wire.link.state is LinkState.LIVE)
        self.act(self.core.begin_reconcile(self.venue, self.clock.wall_ns(), 1))
        await self.until(lambda: self.verdicts and self.verdicts[-1])

    def place(self, name, side=Side.BUY, price="50000", qty="0.01", tif=TimeInForce.GTC):
        now, amount = self.clock.wall_ns(), Decimal(qty)
        order = ProposedOrder(
            cl_ord_id=f"pd{self.core.epoch:x}-{name}",
            venue=self.venue,
            instrument_id=self.market.instrument_id,
            side=side,
            ord_type=OrdType.LIMIT,
            time_in_force=tif,
            order_qty=amount,
            price=Decimal(price),
            reduce_only=False,
            legs=(Leg(strategy_id="maker", intent_id=name, qty=amount),),
            replaces=None,
            ref_price=Decimal(price),
            book_update_id=1,
            book_ts_recv_ns=now,
            story={},
            cause="test",
            ts_init_ns=now,
        )
        self.act(
            self.core.on_approved(ApprovedOrder(order=order, epoch=self.core.epoch, checks={}, ts_init_ns=now), now)
        )
        return order.cl_ord_id

    async def rest(self, server, name, **terms):
        """An order that rests at the venue; one that our own limits turned away is wanted again, under another id."""
        for attempt in range(100):
            made = self.place(f"{name}{attempt}", **terms)
            await self.until(lambda made=made: server.account.sim.open_ids() or not self.is_open(made))
            if self.is_open(made):
                return made
            await breath(0.1)
        raise AssertionError(f"{name} never rested")

    def is_open(self, cl_ord_id):
        return self.core.order(self.venue, cl_ord_id) in self.core.open_orders()

    def cancel_everything(self):
        for order in self.core.open_orders():
            cancel = ProposedCancel(
                cl_ord_id=order.cl_ord_id,
                venue=self.venue,
                instrument_id=self.market.instrument_id,
                reason="over",
                cause="test",
                ts_init_ns=self.clock.wall_ns(),
            )
            self.act(self.core.on_cancel(cancel, self.clock.wall_ns()))


def denied(order, text):
    return OrderDenied(
        cl_ord_id=order.cl_ord_id,
        venue=order.venue,
        instrument_id=order.instrument_id,
        reason=DenyReason.VENUE_AWAY,
        text=text,
        legs=(),
        cause="test",
        ts_init_ns=0,
    )


def executed(server):
    """What the venue executed, by our ids."""
    sums = defaultdict(Decimal)
    for fill in server.account.fills:
        sums[fill.report.cl_ord_id.removeprefix("t-")] += fill.report.last_qty
    return dict(sums)


@asynccontextmanager
async def desk_of(server, **how):
    desk = Desk(server, **how)
    try:
        await desk.live()
        yield desk
    finally:
        await desk.wire.link.close()
        assert not desk.wire.link.faults
        assert not desk.wire.link._stream.faults


SOON = [("hidden", AcceptThen(outcome="drop")), ("html", BadBody(body="html"))]
SLOW = [("late", AckDelay(delay_ms=600)), ("lost", AcceptThen(outcome="timeout", hold_ms=800))]


@pytest.mark.req("P-ORD-2", "P-ORD-13")
@pytest.mark.parametrize(("venue", "faults"), [("gateio", [*SOON, *SLOW]), ("mexc", SOON)])
async def test_whatever_becomes_of_the_answers_the_core_ends_with_the_venues_own_account(venue, faults):
    async with server_of(venue) as server, desk_of(server) as desk:
        path = "/api/v4/spot/orders" if venue == "gateio" else "/api/v3/order"
        for name, fault in faults:
            server.faults.set(fault.model_copy(update={"topics": (path,)}))
            taken = desk.place(name, price="60000.1", tif=TimeInForce.IOC)
            await desk.until(lambda taken=taken: not desk.is_open(taken))
            server.faults.clear()
        resting = await desk.rest(server, "rest", price="59000", qty="0.2")
        server.set_book(desk.market.symbol, [("58999.8", "1")], [("58999.9", "1")])
        await desk.until(lambda: desk.filled[resting] == Decimal("0.2"))
        await desk.rest(server, "away", price="50000")
        desk.cancel_everything()
        await desk.until(lambda: not desk.core.open_orders())
        assert dict(desk.filled) == executed(server)
        assert {"pd1-hidden", resting} <= set(executed(server))
        assert server.account.sim.open_ids() == ()
        assert desk.core.unknown_orders() == []


async def test_an_order_that_the_venue_does_not_show_yet_is_not_given_up():
    """What is accepted may be invisible to every question for a while: neither list nor "not found" is an end."""
    async with server_of("gateio") as server, desk_of(server) as desk:
        server.faults.set(LateVisibility(delay_ms=800))
        made = desk.place("hidden", price="50000")
        await desk.until(lambda: [one for one in desk.wire.of(Pushed) if one.event.report is None])
        assert made in desk.wire.link._stream._live
        server.faults.clear()
        readings = desk.wire.link._stream.counters.readings
        await desk.until(lambda: desk.wire.link._stream.counters.readings > readings)
        assert desk.is_open(made)
        assert made in desk.wire.link._stream._live
        assert len(server.account.sim.open_ids()) == 1


@pytest.mark.req("P-ORD-3")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_core_that_begins_anew_cancels_what_rests_and_books_what_filled_meanwhile(venue):
    async with server_of(venue) as server:
        async with desk_of(server) as desk:
            fills, rests = desk.place("fills", price="59000", qty="0.2"), desk.place("rests", price="40000")
            await desk.until(lambda: len(server.account.sim.open_ids()) == 2)
            await desk.until(lambda: all(desk.core.order(venue, one).acked for one in (fills, rests)))
            rows = list(desk.rows)
        server.set_book(desk.market.symbol, [("58999.8", "1")], [("58999.9", "1")])
        async with desk_of(server, epoch=2, rows=rows) as again:
            await again.until(lambda: not again.core.open_orders())
            assert dict(again.filled) == executed(server) == {fills: Decimal("0.2")}
            assert server.account.sim.open_ids() == ()
