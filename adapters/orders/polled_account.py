"""An account whose venue pushes nothing: read again and again, LIVE as long as the newest reading is fresh.

Takes the place of `adapters.orders.user_stream`. An execution is told when a reading lists it first. An order that was
open and is no more is asked about by its client order id: what a reading leaves out is no proof of anything. When no
whole reading has come for ``stale_ms`` it is not LIVE any more, and the desk holds the venue.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from adapters.clock import Clock
from adapters.orders.account import AccountCursor, Reading
from adapters.orders.client import OrderClient
from adapters.orders.news import UserEvent
from adapters.orders.user_stream import CaughtUp, Pushed, StreamChanged, StreamCounters, StreamItem, StreamStatus
from adapters.orders.wire import MS_NS, Events
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    VenueEvent,
)

_TOLD_MAX = 20_000
_LIVE_MAX = 2_000
_ASKED_MAX = 32
_OVER = frozenset({OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.REJECTED, OrdStatus.FILLED})


class PollLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``soon_ms`` after something was placed or canceled the account is read; ``again_ms`` after a reading failed.

    An order that the venue does not know yet is asked about after every reading, until ``forgotten_ms`` after its ack.
    """

    soon_ms: int = 150
    again_ms: int = 500
    stale_ms: int = 10_000
    forgotten_ms: int = 30_000


class PolledAccount:
    """One account. Call from one loop only; ``close`` ends it."""

    def __init__(
        self,
        client: OrderClient,
        clock: Clock,
        *,
        put: Callable[[StreamItem], None],
        cursor: AccountCursor,
        limits: PollLimits | None = None,
    ) -> None:
        """``put`` takes what is told, in the loop's turn; ``cursor`` is where the account was read to."""
        self.cursor = cursor
        self.counters = StreamCounters()
        self.status = StreamStatus.IDLE
        self.reason = ""
        self.limits = limits or PollLimits()
        self.faults: list[BaseException] = []
        self._client = client
        self._clock = clock
        self._put = put
        self._poll_ns = client.dialect.stream.poll_ns
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._anew = True
        self._unlocked = asyncio.Event()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._live: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._read_ns = 0

    # --- Outside ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read, on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._failed)

    def unlock(self) -> None:
        """A person has mended the key."""
        self._unlocked.set()

    def want_reading(self) -> None:
        """Read anew as soon as it may be: something was missed, or a person has mended something."""
        self._anew = True
        self._wanted.set()

    def heard(self, events: Iterable[VenueEvent]) -> None:
        """What the answers to commands said of orders: those that live are followed, and whatever changed is read."""
        changed = False
        for event in events:
            report = event.report if isinstance(event, OrderStatusReport) else event
            if isinstance(report, ExecutionReport):
                self._follow(report)
                changed = True
        if changed:
            self._wanted.set()

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2)
        self._change(StreamStatus.CLOSED, "closed")

    # --- Reading ---------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            if self._anew:
                self._anew = False
                self._change(StreamStatus.CATCHING_UP, "")
            began_ns = self._clock.mono_ns()
            cause = "poll" if self.status is StreamStatus.LIVE else "catch_up"
            reading = await self._client.read_account(self.cursor, cause)
            locked = self._client.status().locked
            if locked:
                await self._wait_for_a_person(locked)
                continue
            if isinstance(reading, Reading):
                self._read_ns = began_ns
                await self._take(reading, began_ns)
                self._change(StreamStatus.LIVE, f"no private stream: read every {self._poll_ns // MS_NS} ms")
                await self._pause(began_ns + self._poll_ns)
                continue
            self.counters.unreadable += 1
            if self.status is not StreamStatus.LIVE or self._is_stale():
                self._change(StreamStatus.CATCHING_UP, reading.reason or "unreadable")
            await asyncio.sleep(self.limits.again_ms / 1_000)

    def _is_stale(self) -> bool:
        return self._clock.mono_ns() - self._read_ns > self.limits.stale_ms * MS_NS

    async def _wait_for_a_person(self, why: str) -> None:
        self._unlocked.clear()
        self._change(StreamStatus.LOCKED, why)
        await self._unlocked.wait()
        self._change(StreamStatus.CATCHING_UP, "unlocked")

    async def _pause(self, until_ns: int) -> None:
        """Until the next reading is due, or is wanted; several wishes within a short time are one reading."""
        left_s = max(0.0, (until_ns - self._clock.mono_ns()) / 1e9)
        try:
            async with asyncio.timeout(left_s):
                await self._wanted.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(self.limits.soon_ms / 1_000, left_s))

    async def _take(self, reading: Reading, began_ns: int) -> None:
        """Tell what is new of a reading, and ask about the orders that it does not show any more."""
        self.counters.readings += 1
        self.cursor = reading.cursor
        state = reading.state
        fresh = tuple(one for one in state.executions if one.exec_id not in self._told)
        for one in fresh:
            self._told[one.exec_id] = None
            if len(self._told) > _TOLD_MAX:
                self._told.popitem(last=False)
        self._put(CaughtUp(state=msgspec.structs.replace(state, executions=fresh), cursor=reading.cursor))
        shown = {one.cl_ord_id for one in state.open_orders}
        gone = [
            (cl_ord_id, instrument_id)
            for cl_ord_id, (instrument_id, since_ns) in self._live.items()
            if cl_ord_id not in shown and since_ns < began_ns
        ]
        for one in state.open_orders:
            self._follow(one)
        for cl_ord_id, instrument_id in gone[:_ASKED_MAX]:
            await self._ask_about(cl_ord_id, instrument_id)

    async def _ask_about(self, cl_ord_id: str, instrument_id: str) -> None:
        question = OrderStatusRequest(
            venue=self._client.dialect.venue,
            instrument_id=instrument_id,
            cl_ord_id=cl_ord_id,
            cause="gone",
            ts_init_ns=self._clock.wall_ns(),
        )
        reply = await self._client.ask(question)
        if not isinstance(reply, Events):
            return  # it is asked again after the next reading
        for event in reply.events:
            if isinstance(event, OrderStatusReport):
                over = self._is_old(cl_ord_id) if event.report is None else event.report.ord_status in _OVER
                if over:
                    self._live.pop(cl_ord_id, None)
                self._push(event)

    def _is_old(self, cl_ord_id: str) -> bool:
        """Whether an order lives for so long that a venue that does not know it has forgotten it."""
        followed = self._live.get(cl_ord_id)
        return followed is None or self._clock.mono_ns() - followed[1] > self.limits.forgotten_ms * MS_NS

    # --- Telling ---------------------------------------------------------------------------------------

    def _follow(self, report: ExecutionReport) -> None:
        """An order lives from its first proof on until the venue says that it is over."""
        if not report.cl_ord_id or report.exec_type is ExecType.TRADE:
            return
        if report.ord_status in _OVER:
            self._live.pop(report.cl_ord_id, None)
        elif report.cl_ord_id not in self._live:
            self._live[report.cl_ord_id] = (report.instrument_id, self._clock.mono_ns())
            if len(self._live) > _LIVE_MAX:
                self._live.popitem(last=False)

    def _push(self, event: UserEvent) -> None:
        self._put(Pushed(event=event, ts_ns=self._clock.wall_ns()))

    def _change(self, status: StreamStatus, reason: str) -> None:
        if (status, reason) != (self.status, self.reason):
            self.status, self.reason = status, reason
            self._put(StreamChanged(status=status, reason=reason))

    def _failed(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A bug of ours: nothing is read any more, and it is said.
            self.faults.append(error)
            self._change(StreamStatus.CLOSED, f"internal: {error!r}"[:200])
