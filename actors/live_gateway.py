"""The order gateway of a venue at the other end of a network: the last gate, and then signed requests.

What `actors.gateway` refuses never gets here. Owns what follows from the venue's answers: which are events for the
order core, which are brakes, and when the venue may be reconciled with at all. The network is `adapters.orders.link`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from actors.gateway import Gateway, GatewaySetup
from actors.messages import AccountWanted, BrakeSet, BrakesStated, LinkUp, ReconcileWanted, VenueUp
from adapters.clock import Clock
from adapters.limits.limiter import Limiter
from adapters.orders.client import NotSent, Outcome
from adapters.orders.entry_road import EntryChanged, EntryRoute
from adapters.orders.exchange import ClockMoved
from adapters.orders.link import (
    AccountUnread,
    LinkState,
    LinkStated,
    OrderLink,
    OrderLinkSpec,
    OrdersReady,
    TimerFailed,
)
from adapters.orders.news import MarginCalled, Unread
from adapters.orders.rereading import Rereading
from adapters.orders.user_stream import CaughtUp, Pushed
from adapters.orders.wire import Ambiguous, Limited, WireCommand
from trading.brakes import Level
from trading.instruments import Instrument
from trading.operators import OperatorCommand, Published, Topic
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    DenyReason,
    ExecutionReport,
    FundingPayment,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderDenied,
    OrderStatusReport,
    OrderStatusRequest,
)

LINK_DOWN = "ORDER_LINK"
BANNED = "VENUE_BANNED"
CLOCK = "ORDER_CLOCK"
ENTRY = "ORDER_ENTRY"
_EVENTS = frozenset({ExecutionReport, OrderCancelReject, OrderStatusReport, FundingPayment})
_EVENTS_A_SECOND = 5


class LiveGatewaySetup(msgspec.Struct, frozen=True, kw_only=True):
    """The last gate's setup, and the account behind it. ``limiter`` makes what keeps the venue's limits."""

    gate: GatewaySetup
    link: OrderLinkSpec
    limiter: Callable[[Clock], Limiter] | None = None
    governor: str = "governor"


class LiveGateway(Gateway):
    """Permit, book, age, notional, rate, and then the venue's own words over its own wire."""

    def start(self, setup: LiveGatewaySetup) -> None:  # type: ignore[override]
        """Open the gate, then the link; until the link is live the venue is held."""
        self._governor = setup.governor
        self._brakes: dict[str, str] = {}
        self._banned_until_ns = 0
        self._incarnation = 0
        self._up = False
        self._said = 0
        self._rereading = Rereading()
        self.ambiguous = 0
        self.unread = 0
        self._closing: asyncio.Task[None] | None = None
        super().start(setup.gate)
        inject, name = self.loop_tell(), self.name
        limiter = setup.limiter(self.clock) if setup.limiter is not None else None
        self._link = OrderLink(
            setup.link,
            self.clock,
            lambda: inject(name, OrdersReady()),
            self._is_vouched_for,
            limiter,
            barred=self._barred,
        )
        self._brake(LINK_DOWN, "the account was not reached yet")
        self._link.start()

    @property
    def link(self) -> OrderLink:
        """For tests and the conformance matrix."""
        return self._link

    def on(self, msg: Any) -> None:
        """A command for the venue, or word from it."""
        kind = type(msg)
        if kind is OrdersReady:
            for item in self._link.drain():
                self._heard(item)
        elif kind is AccountStateRequest:
            if self._link.state is not LinkState.CHECKING:
                self._link.read(msg)
        elif kind is ReconcileWanted:
            self._say_up()
        elif kind is LinkUp:
            # The desk began anew, or lost sight of us: what it believes of this venue is of another life.
            self._say_up()
        elif kind is OperatorCommand:
            self._unlock(msg)
        else:
            super().on(msg)

    def _encode(self, msg: Any, instrument: Instrument) -> bytes:
        """The venue's dialect does that, with its signature."""
        return b""

    def _encode_other(self, msg: Any) -> bytes:
        return b""

    def _write(self, payload: bytes, msg: Any) -> None:
        if self._link.state is LinkState.CHECKING and type(msg) is OrderStatusRequest:
            return  # nobody there has answered anything yet; all is asked again when the venue is up
        self._link.submit(msg)

    def _is_vouched_for(self) -> bool:
        lease = self._reader.lease()
        return lease is not None and lease.expires_mono_ns > self.mono_ns()

    def _barred(self, command: WireCommand) -> str:
        """Why an order that passed the gate may not leave any more: HOLD may have come while it waited."""
        if not isinstance(command, NewOrderSingle | OrderCancelReplaceRequest):
            return ""
        refusal = self._permit_refusal(command)
        return "" if refusal is None else f"while it waited: {refusal[1]}"

    # --- What the venue says ---------------------------------------------------------------------------

    def _heard(self, item: Any) -> None:
        match item:
            case Outcome():
                self._outcome(item)
            case Pushed():
                self._pushed(item.event)
            case AccountState():
                self.tell(self._setup.orders, item)
            case CaughtUp():
                # Only what was executed: what the desk asks for itself is asked for from where it left off.
                for event in (*item.state.executions, *item.state.fundings):
                    self.tell(self._setup.orders, event)
            case NotSent():
                self._not_sent(item)
            case LinkStated():
                self._linked(item)
            case ClockMoved():
                outside = f"the venue's clock is {item.offset_ms} ms away from ours"
                self._brake(CLOCK, outside if item.outside else "")
            case EntryChanged():
                self._entry_changed(item)
            case AccountUnread():
                self._event("warning", "ACCOUNT_UNREAD", f"{item.cause}: {item.reason}")
            case TimerFailed():
                self._event("warning", "VENUE_TIMER", f"{item.instrument_id}: not armed: {item.reason}")
            case _:
                pass  # how the stream stands is told by the link's own state

    def _entry_changed(self, item: EntryChanged) -> None:
        """The road of orders, and why it is another now."""
        level = "info" if item.route is EntryRoute.WS else "warning"
        lost = f"; {item.lost} requests were in flight, each is asked about" if item.lost else ""
        text = f"orders of {self._setup.venue} go by {item.route.value}: {item.reason}{lost}"
        self._event(level, ENTRY, text)

    def _outcome(self, item: Outcome) -> None:
        for event in item.reply.events:
            self.tell(self._setup.orders, event)
        if isinstance(item.reply, Ambiguous):
            self.ambiguous += 1
        elif isinstance(item.reply, Limited) and item.reply.banned:
            self._banned_until_ns = max(self._banned_until_ns, self.mono_ns() + item.reply.retry_ns)
            self._brake(BANNED, f"the venue banned us: {item.reply.text}"[:200])

    def _pushed(self, event: Any) -> None:
        if type(event) in _EVENTS:
            self.tell(self._setup.orders, event)
        elif type(event) is Unread:
            self.unread += 1
            if self._rereading.wanted(self.mono_ns()):
                self._read_anew()
            self._event("error", "USER_STREAM_UNREAD", f"{event.reason}: {event.payload[:160]!r}")
        elif type(event) is MarginCalled:
            self._event("error", "MARGIN_CALL", event.text)

    def _read_anew(self) -> None:
        """It may have been an execution: what was executed the account lists too."""
        self.tell(self._setup.orders, AccountWanted(venue=self._setup.venue, cause="unread"))

    def _not_sent(self, item: NotSent) -> None:
        """Nothing of it reached the venue. A cancel is said again by the order core, a duplicate stands already."""
        command = item.command
        if item.duplicate or not isinstance(command, NewOrderSingle | OrderCancelReplaceRequest):
            return
        self.denied += 1
        denied = OrderDenied(
            cl_ord_id=command.cl_ord_id,
            venue=command.venue,
            instrument_id=command.instrument_id,
            reason=DenyReason.RATE_BUDGET if item.retry_ns else DenyReason.VENUE_AWAY,
            text=item.reason[:200],
            legs=(),
            cause=command.cause,
            ts_init_ns=self.now_ns(),
        )
        self.tell(self._setup.orders, denied)

    def _linked(self, item: LinkStated) -> None:
        if item.state is LinkState.LIVE:
            self._brake(LINK_DOWN, "")
            self._say_up()
        else:
            self._up = False
            self._brake(LINK_DOWN, f"{item.state.value}: {item.reason}"[:200])

    def _say_up(self) -> None:
        """The desk reconciles anew with every life of the link; while it has none there is nothing to compare with."""
        if self._link.state is LinkState.LIVE:
            self._incarnation = max(self._incarnation + 1, self.mono_ns())
            self._up = True
            self._still_up()

    def _still_up(self) -> None:
        """Say it again, for as long as it is so: the word may have been lost, or its hearer have begun anew."""
        if self._up and self._link.state is LinkState.LIVE:
            self.tell(self._governor, VenueUp(venue=self._setup.venue, incarnation=self._incarnation))

    def _unlock(self, msg: OperatorCommand) -> None:
        """A person says that key or account are mended: all is asked again before anything is sent."""
        venue, link = self._setup.venue, self._link
        if link.faults:
            text = f"a part of the link to {venue} has failed ({link.faults[-1]!r}): its cell has to begin anew"
            self._answer(msg, False, text[:300])
        elif link.locked:
            was = link.locked
            link.unlock()
            self._answer(msg, True, f"the link to {venue} is unlocked and is checked again; it was locked: {was}"[:300])
        else:
            text = f"the link to {venue} is not locked; it is {link.state.value}: {link.reason}"
            self._answer(msg, False, text[:300])

    # --- Brakes and facts ------------------------------------------------------------------------------

    def _brake(self, code: str, cause: str) -> None:
        """Hold the venue for a reason, or no longer; stated as a whole, so that nothing of an earlier life stays."""
        if self._brakes.get(code, "") == cause:
            return
        if cause:
            self._brakes[code] = cause
        else:
            self._brakes.pop(code, None)
        self._state_brakes()

    def _state_brakes(self) -> None:
        scope = f"venue:{self._setup.venue}"
        held = tuple(
            BrakeSet(code=code, scope=scope, level=int(Level.HOLD), cause=cause, release="auto", owner=self.name)
            for code, cause in self._brakes.items()
        )
        self.tell(self._governor, BrakesStated(owner=self.name, brakes=held))

    def _event(self, level: str, code: str, text: str) -> None:
        """What operators should read, at most five a second."""
        self._said += 1
        if self._said > _EVENTS_A_SECOND:
            return
        now = self.now_ns()
        venue = self._setup.venue
        body: dict[str, object] = {"level": level, "code": code, "text": text[:300], "ts_ns": now, "cell": venue}
        key = f"gateway.{venue}:{now}:{self._said}"
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=now))

    def on_tick(self, tag: str) -> None:
        """Counters for the operators, and the brakes that hold."""
        super().on_tick(tag)
        self._said = 0
        if self._banned_until_ns and self.mono_ns() >= self._banned_until_ns:
            self._banned_until_ns = 0
            self._brake(BANNED, "")
        self._state_brakes()
        self._still_up()
        if self._rereading.due(self.mono_ns()):
            self._read_anew()
        status, labels = self._link.status(), {"venue": self._setup.venue}
        series: list[list[object]] = [
            ["order_requests_in_flight", "gauge", labels, status.in_flight],
            ["order_requests_total", "counter", labels, status.sent],
            ["order_requests_timed_out_total", "counter", labels, status.timeouts],
            ["order_answers_late_total", "counter", labels, status.late],
            ["order_answers_ambiguous_total", "counter", labels, self.ambiguous],
            ["order_requests_not_sent_total", "counter", labels, status.not_sent],
            ["venue_clock_offset_ms", "gauge", labels, status.offset_ms],
            ["user_stream_unread_total", "counter", labels, self.unread],
            ["venue_timers_armed_total", "counter", labels, self._link.timers_armed],
            ["order_entry_by_websocket", "gauge", labels, int(status.route == EntryRoute.WS.value)],
            ["order_requests_by_websocket_total", "counter", labels, status.by_socket],
            ["protocol_failover_total", "counter", labels, status.failovers],
        ]
        body: dict[str, object] = {"series": series}
        key = f"gateway.{self._setup.venue}.link"
        self.tell(self._setup.ops, Published(topic=Topic.METRICS, key=key, body=body, ts_ns=self.now_ns()))

    def stop(self) -> None:
        """Close the log and the link; the venue's timer takes what is left open."""
        super().stop()
        self._closing = asyncio.get_running_loop().create_task(self._link.close(), name=f"{self.name} close")
