"""What a feed asks for beside its streams: snapshots, audits, what has no stream, and the venue's clock.

Owns when each is asked for, and asked for again. How one request is made is `rest`'s; what comes is the feed's queue's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable

from adapters.clock import Clock
from adapters.sources import Frame
from adapters.streams import events as e
from adapters.streams.dialects.base import Dialect, Poll, RestRequest
from adapters.streams.rest import RestClient, RestReply
from adapters.streams.topics import MS_NS, SECOND_NS, TopicKind

_CLOCK_EVERY_NS = 10 * SECOND_NS
_FIRST_READINGS = 3
_POLL_RETRY_MIN_NS = SECOND_NS
_POLL_RETRY_MAX_NS = 60 * SECOND_NS
_RETRY_MIN_NS = 250 * MS_NS
_RETRY_MAX_NS = 10 * SECOND_NS
_FRESH_NS = SECOND_NS
_BEGIN_S = 2.0
_RENEWALS = 3
_REST_NS = 50 * MS_NS
_EVERY_NS = 6 * SECOND_NS
_BURST = 20
"""Snapshots of one book: a short rest after each, twenty in a row, and then one every six seconds."""

Put = Callable[[Frame | e.FeedEvent], None]
Spawn = Callable[[Coroutine[object, object, None]], asyncio.Task[None]]


class _Want:
    """A snapshot that is being fetched or waited for, or was; ``seen`` is set by one in the stream."""

    __slots__ = ("answered_ns", "full_ns", "seen", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.answered_ns = 0
        self.full_ns = 0
        self.seen = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether somebody is seeing to it. What has begun anew may be wanted again before its task has ended."""
        return self.task is not None and not self.task.done() and not self.seen.is_set()

    def take_turn(self, now_ns: int) -> int:
        """How long to wait before the next snapshot is asked for."""
        rest_ns = self.answered_ns + _REST_NS - now_ns if self.answered_ns else 0
        full_ns = max(now_ns, self.full_ns)
        wait_ns = max(0, rest_ns, full_ns - now_ns - (_BURST - 1) * _EVERY_NS)
        self.full_ns = full_ns + _EVERY_NS
        return wait_ns


class _Pause:
    """How long to wait between two requests of a kind: its rhythm, or less while there is no answer to go by."""

    __slots__ = ("_next_ns",)

    def __init__(self) -> None:
        self._next_ns = _POLL_RETRY_MIN_NS

    def answered(self, every_ns: int) -> int:
        """After an answer."""
        self._next_ns = _POLL_RETRY_MIN_NS
        return every_ns

    def failed(self, every_ns: int, least_ns: int) -> int:
        """After none: a second, then twice as long each time, up to a minute and never above the rhythm."""
        pause = min(self._next_ns, _POLL_RETRY_MAX_NS, every_ns)
        self._next_ns = min(self._next_ns * 2, _POLL_RETRY_MAX_NS)
        return max(pause, least_ns)


class Fetching:
    """The requests of one feed; ``renew`` subscribes a topic again, ``spawn`` keeps the tasks."""

    def __init__(
        self, dialect: Dialect, rest: RestClient, clock: Clock, *, put: Put, spawn: Spawn, renew: Callable[[str], None]
    ) -> None:
        self.awaited: dict[str, _Want] = {}
        """By topic: whose next snapshot in the stream somebody waits for."""
        self._dialect = dialect
        self._rest = rest
        self._clock = clock
        self._put = put
        self._spawn = spawn
        self._subscribe_again = renew
        self._wants: dict[str, _Want] = {}
        self._audits: dict[str, _Want] = {}

    def start(self, kinds: frozenset[TopicKind]) -> None:
        """Begin to poll, and to read the clock."""
        self._spawn(self._read_clock())
        for poll in self._dialect.polls(kinds):
            self._spawn(self._poll(poll))

    def wanted(self) -> tuple[str, ...]:
        """Symbols whose snapshot is on its way."""
        return tuple(symbol for symbol, want in self._wants.items() if want.is_open)

    def want(self, symbol: str) -> None:
        """See that a book can begin anew."""
        want = self._wants.setdefault(symbol, _Want())
        if want.is_open:
            return
        if self._dialect.rest_snapshots:
            want.task = self._spawn(self._fetch_snapshot(symbol, want))
        else:
            want.seen.clear()
            want.task = self._spawn(self._renew(symbol, want, at_once=True))

    def audit(self, symbol: str) -> None:
        """Fetch one REST book."""
        want = self._audits.setdefault(symbol, _Want())
        if not want.is_open:
            want.task = self._spawn(self._fetch_audit(symbol))

    def on_connected(self, symbols: Iterable[str]) -> None:
        """Where books begin in the stream: see that each of a new connection's does."""
        if self._dialect.rest_snapshots:
            return
        for symbol in symbols:
            want = self._wants.setdefault(symbol, _Want())
            if not want.is_open:
                want.seen.clear()
                want.task = self._spawn(self._renew(symbol, want, at_once=False))

    def on_disconnected(self, symbols: Iterable[str]) -> None:
        """What was fetched before bridges nothing that comes after."""
        for symbol in symbols:
            if symbol in self._wants:
                self._wants[symbol].answered_ns = 0

    def on_first_diff(self, symbol: str) -> None:
        """A book's first diff is here: a snapshot that is asked for from now on can be bridged."""
        if not self._dialect.rest_snapshots:
            return
        want = self._wants.get(symbol)
        if want is None or self._clock.mono_ns() - want.answered_ns > _FRESH_NS:
            self.want(symbol)

    def on_book(self, payload: bytes, key: str) -> None:
        """A message of an awaited topic."""
        if self._dialect.is_snapshot(payload):
            self.awaited.pop(key).seen.set()

    async def _renew(self, symbol: str, want: _Want, *, at_once: bool) -> None:
        """Subscribe a book again until it begins anew; where it will not, its REST book has to do."""
        key = self._dialect.book_topic(symbol)
        want.seen.clear()
        self.awaited[key] = want
        for turn in range(_RENEWALS + 1):
            if turn or at_once:
                self._subscribe_again(key)
            try:
                async with asyncio.timeout(_BEGIN_S):
                    await want.seen.wait()
            except TimeoutError:
                continue
            return
        self.awaited.pop(key, None)
        await self._fetch_snapshot(symbol, want)

    async def _fetch_snapshot(self, symbol: str, want: _Want) -> None:
        """Ask until there is an answer. A book that never holds does not use up the weight of all."""
        request = self._dialect.snapshot(symbol)
        if request is None:
            return
        wait_ns = want.take_turn(self._clock.mono_ns())
        if wait_ns:
            await asyncio.sleep(wait_ns / 1e9)
        delay = _RETRY_MIN_NS
        while True:
            reply = await self._rest.fetch(request)
            if isinstance(reply, RestReply):
                want.answered_ns = self._clock.mono_ns()
                self._put(Frame(reply.body, reply.recv_ns, symbol))
                return
            pause = max(reply.retry_ns, random.randint(delay // 2, delay))
            self._failed(request, reply.reason, pause)
            await asyncio.sleep(pause / 1e9)
            delay = min(delay * 2, _RETRY_MAX_NS)

    async def _fetch_audit(self, symbol: str) -> None:
        request = self._dialect.snapshot(symbol)
        if request is None:
            return
        reply = await self._rest.fetch(request)
        if isinstance(reply, RestReply):
            self._put(Frame(reply.body, reply.recv_ns, symbol))
        else:
            self._failed(request, reply.reason, 0)

    async def _poll(self, poll: Poll) -> None:
        await asyncio.sleep(poll.first_ns / 1e9)
        rhythm = _Pause()
        while True:
            request = poll.request
            reply = await self._rest.fetch(request)
            if isinstance(reply, RestReply):
                pause = rhythm.answered(poll.every_ns)
                self._put(
                    e.Polled(
                        view="",
                        line="rest",
                        ts_ns=reply.recv_ns,
                        channel=request.channel,
                        symbol=request.symbol,
                        payload=reply.body,
                    )
                )
            else:
                pause = rhythm.failed(poll.every_ns, reply.retry_ns)
                self._failed(request, reply.reason, pause)
            await asyncio.sleep(random.uniform(0.95, 1.05) * pause / 1e9)

    async def _read_clock(self) -> None:
        request = self._dialect.server_time()
        readings = 0
        rhythm = _Pause()
        while True:
            reply = await self._rest.fetch(request)
            if isinstance(reply, RestReply):
                readings += 1
                pause = rhythm.answered(_CLOCK_EVERY_NS if readings > _FIRST_READINGS else SECOND_NS)
                try:
                    server_ns = self._dialect.read_server_time(reply.body)
                except ValueError as fault:
                    self._failed(request, f"unreadable: {fault}", pause)
                else:
                    self._put(
                        e.ServerTime(
                            view="",
                            line="rest",
                            ts_ns=reply.recv_ns,
                            sent_ns=reply.sent_ns,
                            server_ns=server_ns,
                            recv_ns=reply.recv_ns,
                        )
                    )
            else:
                pause = rhythm.failed(_CLOCK_EVERY_NS, reply.retry_ns)
                self._failed(request, reply.reason, pause)
            await asyncio.sleep(pause / 1e9)

    def _failed(self, request: RestRequest, reason: str, retry_ns: int) -> None:
        self._put(
            e.FetchFailed(
                view="",
                line="rest",
                ts_ns=self._clock.wall_ns(),
                channel=request.channel,
                symbol=request.symbol,
                reason=reason[:200],
                retry_ns=retry_ns,
            )
        )
