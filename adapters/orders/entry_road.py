"""Which road an order takes, and the connection for orders: opened, replaced, given up, and come back to.

A request goes by WebSocket while a line is logged on and not doubted, and by REST otherwise. It is never said by the
other road while nothing is known of it: only what the venue certainly did not read is (`EntryUnread`), and what can be
repeated without harm, which is decided above. A line is replaced before the venue ends it; the old one still brings
the answers to what it took.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from enum import Enum

import aiohttp
import msgspec

from adapters.clock import Clock
from adapters.orders.entry import EntryDialect, EntryMode, EntryUnread
from adapters.orders.entry_line import EntryLine
from adapters.orders.entry_session import EntryLimits
from adapters.orders.waiting import Tasks, first
from adapters.orders.wire import ENTRIES, MS_NS, Credentials, HttpAnswer, OrderEndpoints, WireKind, WireRequest

_BY_SOCKET = ENTRIES | {WireKind.CANCEL}
Post = Callable[[WireRequest], Awaitable[HttpAnswer | str]]


class EntryRoute(Enum):
    """The road that orders take now. CLOSED: none, because the configuration allows the WebSocket only."""

    WS = "ws"
    REST = "rest"
    CLOSED = "closed"


class EntryChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Orders take another road from now on. ``lost`` requests were in flight on a connection that ended."""

    route: EntryRoute
    reason: str
    lost: int = 0


class EntryCounters(msgspec.Struct, kw_only=True):
    """Since the start. ``failovers``: how often a road that was in use was left for another."""

    connects: int = 0
    losses: int = 0
    replaced: int = 0
    failovers: int = 0
    by_socket: int = 0
    unread: int = 0
    strays: int = 0


class EntryRoad:
    """Call from one loop only: `start`, `takes` and `send`, `close`."""

    def __init__(
        self,
        dialect: EntryDialect,
        endpoints: OrderEndpoints,
        credentials: Credentials,
        clock: Clock,
        *,
        put: Callable[[EntryChanged], None],
        mode: EntryMode = EntryMode.AUTO,
        limits: EntryLimits | None = None,
    ) -> None:
        """``put`` hears of every change of the road, in the loop's turn. Mode REST needs no road: there is nothing."""
        self.mode = mode
        self.limits = limits or EntryLimits()
        self.counters = EntryCounters()
        self.route = self._other
        self.reason = "not connected yet"
        self._dialect = dialect
        self._endpoints = endpoints
        self._credentials = credentials
        self._clock = clock
        self._put = put
        self._lines: list[EntryLine] = []
        self._line: EntryLine | None = None
        self._tasks = Tasks(self._failed)
        self.faults = self._tasks.faults
        self._again = asyncio.Event()
        self._post: Post | None = None
        self._http: aiohttp.ClientSession | None = None
        self._venue_ms: Callable[[], int] = lambda: 0

    @property
    def _other(self) -> EntryRoute:
        return EntryRoute.CLOSED if self.mode is EntryMode.WS else EntryRoute.REST

    # --- Outside ---------------------------------------------------------------------------------------

    def start(self, http: aiohttp.ClientSession, post: Post, venue_ms: Callable[[], int]) -> None:
        """Begin to connect, on the running loop. ``post`` asks over REST what frames need to know."""
        if self._http is None:
            self._http, self._post, self._venue_ms = http, post, venue_ms
            self._tasks.spawn(self._run())

    async def close(self) -> None:
        """End all lines; of what is in flight nothing is known."""
        await self._tasks.close()
        for line in tuple(self._lines):
            await self._drop(line, "closed")

    def try_again(self) -> None:
        """A person has mended what stood in the way: connect now."""
        self._again.set()

    def closed_to(self, request: WireRequest) -> str:
        """Why this request may take no road now, or ""."""
        if self.mode is not EntryMode.WS or request.kind not in ENTRIES or self.route is EntryRoute.WS:
            return ""
        return f"order entry is by WebSocket only (execution.entry: ws), which is not there: {self.reason}"

    def takes(self, request: WireRequest) -> bool:
        """Whether this request goes by WebSocket now."""
        return request.kind in _BY_SOCKET and self._line is not None and self._line.takes_orders

    async def send(self, request: WireRequest) -> HttpAnswer | EntryUnread | str:
        """One request by WebSocket; see `EntryLine.send`."""
        line = self._line
        if line is None:
            return EntryUnread(reason=self.reason)
        self.counters.by_socket += 1
        outcome = await line.send(request)
        if isinstance(outcome, EntryUnread):
            self.counters.by_socket -= 1
            self.counters.unread += 1
        return outcome

    # --- One line after the other ----------------------------------------------------------------------

    async def _run(self) -> None:
        limits = self.limits
        delay_ms, refused_ms = limits.backoff_ms, limits.refused_ms
        while True:
            began = self._clock.mono_ns()
            refused = await self._life()
            self.counters.losses += 1
            if refused:
                wait_ms, refused_ms = refused_ms, min(refused_ms * 2, limits.refused_max_ms)
            else:
                if self._clock.mono_ns() - began > limits.stable_ms * MS_NS:
                    delay_ms = limits.backoff_ms
                wait_ms, delay_ms = delay_ms, min(delay_ms * 2, limits.backoff_max_ms)
            if await self._pause(wait_ms):
                delay_ms, refused_ms = limits.backoff_ms, limits.refused_ms

    async def _pause(self, wait_ms: int) -> bool:
        """Wait; whether somebody asked for another try."""
        self._again.clear()
        try:
            async with asyncio.timeout(random.uniform(0.5, 1.0) * wait_ms / 1_000):
                await self._again.wait()
        except TimeoutError:
            return False
        return True

    async def _life(self) -> bool:
        """From no line to none; whether the venue refused our login."""
        trouble = await self._prepared()
        if trouble:
            self._judge(trouble)
            return False
        line = await self._open()
        while not line.ended.is_set():
            before, self._line = self._line, line
            self._judge()
            if before is not None:
                self.counters.replaced += 1
                before.leave("replaced")
                self._tasks.spawn(self._drain(before))
            await first(line.ended, line.leaving)
            following = None if line.session.refused else await self._following(line)
            if following is None:
                break
            line = following
        self._line = None
        self._judge(line.end, line.lost_in_flight)
        await self._drain(line)
        return line.session.refused

    async def _following(self, line: EntryLine) -> EntryLine | None:
        """The line that takes the place of one that is left; None when that ended first, or a login was refused."""
        delay_ms = self.limits.backoff_ms
        while not line.ended.is_set():
            opened = await self._open()
            if not opened.ended.is_set():
                return opened
            if opened.session.refused:
                line.session.refused = True
                return None
            await first(line.ended, within_s=random.uniform(0.5, 1.0) * delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, self.limits.backoff_max_ms)
        return None

    async def _prepared(self) -> str:
        """Ask what frames need to know; "" or why it is not known."""
        assert self._post is not None
        for request in self._dialect.preparation():
            answer = await self._post(request)
            trouble = answer if isinstance(answer, str) else self._dialect.prepare(answer)
            if trouble:
                return f"{request.endpoint}: {trouble}"[:200]
        return ""

    async def _open(self) -> EntryLine:
        """A line that is ready, or one that has ended and says why."""
        assert self._http is not None
        line = EntryLine(
            self._dialect,
            self._endpoints,
            self._credentials,
            self._clock,
            self.limits,
            venue_ms=self._venue_ms,
            changed=self._judge,
        )
        self._lines.append(line)
        line.start(self._http)
        await first(line.ready, line.ended)
        if line.ended.is_set():
            await self._drop(line, line.end)
        else:
            self.counters.connects += 1
        return line

    async def _drain(self, line: EntryLine) -> None:
        """Let a line that was replaced bring its answers."""
        until_ns = self._clock.mono_ns() + self.limits.drain_ms * MS_NS
        while line.session.in_flight and not line.ended.is_set() and self._clock.mono_ns() < until_ns:
            await first(line.ended, within_s=0.05)
        await self._drop(line, "replaced")

    async def _drop(self, line: EntryLine, reason: str) -> None:
        if line in self._lines:
            self._lines.remove(line)
            await line.close(reason)
            self.counters.strays += line.session.strays

    # --- The choice ------------------------------------------------------------------------------------

    def _judge(self, reason: str = "", lost: int = 0) -> None:
        """Which road it is now, told when it is another."""
        line = self._line
        by_socket = line is not None and line.takes_orders
        route = EntryRoute.WS if by_socket else self._other
        if by_socket:
            reason = "logged on"
        elif not reason:
            reason = self.reason if line is None else line.end
        if (route, reason) == (self.route, self.reason):
            return
        changed = route is not self.route
        self.counters.failovers += changed and self.route is EntryRoute.WS
        self.route, self.reason = route, reason
        if changed or lost:
            self._put(EntryChanged(route=route, reason=reason, lost=lost))

    def _failed(self, error: BaseException) -> None:
        """A bug of ours: REST is left, and it is said."""
        self._line = None
        self._judge(f"internal: {error!r}"[:200])
