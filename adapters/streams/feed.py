"""One venue's live market data: its connections, its REST, one bounded queue of frames and events.

Owns what is fetched when (snapshots after a book's first diff, what has no stream, the venue's clock) and which view's
frames go on. Does not decode, prove or judge: frames carry the venue's own bytes.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping

import aiohttp
import msgspec

from adapters.clock import Clock
from adapters.sources import Frame
from adapters.streams import events as e
from adapters.streams.budget import ConnectionBudget
from adapters.streams.connection import Connection, ConnectionStatus, Deliver
from adapters.streams.dialects import dialect_of
from adapters.streams.dialects.base import Dialect, Endpoints, LineSpec
from adapters.streams.fetching import Fetching
from adapters.streams.rest import RestClient, RestLimits, RestStatus
from adapters.streams.state import ConnectionRules, News, Phase
from adapters.streams.topics import MS_NS, Pulse, TopicKind, TopicSpec
from adapters.streams.view_line import ViewLine
from trading.instruments import Instrument
from trading.market.views import ViewLimits, ViewStatus

DEFAULT_KINDS = frozenset(TopicKind)
EVENTS_MAX = 10_000
_VOTE_S = 0.1


class FeedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed is built from.

    ``endpoints`` None is the real venue; ``view_endpoints`` says where a view of another name goes. ``mute_ms``
    overrides the age at which data counts as mute, by kind (``book``) or by kind and symbol (``book:NEXOUSDT``); 0 is
    never. ``depth`` chooses the book's topic: Binance's speed (``depth@0ms``), OKX's channel, Bybit's depth; "" is the
    venue's usual.
    """

    venue: str
    instruments: tuple[Instrument, ...]
    endpoints: Endpoints | None = None
    view_endpoints: Mapping[str, Endpoints] = {}
    views: tuple[str, ...] = ("a",)
    topics: frozenset[TopicKind] = DEFAULT_KINDS
    depth: str = ""
    mute_ms: Mapping[str, int] = {}
    rules: ConnectionRules = ConnectionRules()
    rest: RestLimits = RestLimits()
    view_limits: ViewLimits = ViewLimits()
    queue_max: int = 50_000


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """For operators. ``dropped`` counts frames that found the queue full, ``faults`` bugs of ours."""

    venue: str
    connections: tuple[ConnectionStatus, ...]
    views: Mapping[str, tuple[ViewStatus, ...]]
    rest: RestStatus | None
    queued: int
    delivered: int
    dropped: int
    snapshots_wanted: tuple[str, ...]
    faults: int = 0


class _Overflow:
    """What was dropped between two places of the queue."""

    __slots__ = ("dropped", "symbols", "topics")

    def __init__(self) -> None:
        self.dropped = 0
        self.topics: dict[str, None] = {}
        self.symbols: dict[str, None] = {}


class Feed:
    """Everything inbound of one venue. Call from one loop only; nothing but bad arguments raises."""

    def __init__(
        self, spec: FeedSpec, clock: Clock, wake: Callable[[], None], budget: ConnectionBudget | None = None
    ) -> None:
        """``wake`` is called when the queue goes from empty to non-empty, and again while `drain` leaves some."""
        if not spec.views or len(set(spec.views)) != len(spec.views):
            raise ValueError(f"a feed needs views with names of their own, not {list(spec.views)}")
        self.spec = spec
        self._clock = clock
        self._wake = wake
        self._budget = budget or ConnectionBudget()
        self._dialects: dict[str, Dialect] = {
            view: dialect_of(spec.venue, spec.instruments, spec.view_endpoints.get(view, spec.endpoints), spec.depth)
            for view in spec.views
        }
        self._dialect = self._dialects[spec.views[0]]
        self._queue: deque[Frame | e.FeedEvent | _Overflow] = deque()
        self._asleep = True
        self._delivered = 0
        self._dropped = 0
        self._faults = 0
        self._connections: list[Connection] = []
        self._lines: dict[str, ViewLine] = {}
        self._symbols = frozenset(instrument.symbol for instrument in spec.instruments)
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._rest: RestClient | None = None
        self._fetching: Fetching | None = None
        self._awaited: Mapping[str, object] = {}

    @property
    def rest_snapshots(self) -> bool:
        """Whether `want_snapshot` asks REST and leaves the stream alone."""
        return self._dialect.rest_snapshots

    # --- Outside ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, on the running loop."""
        if self._session is not None:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "propdesk"},
        )
        self._rest = RestClient(self._dialect.pools, self._session, self._clock, self.spec.rest)
        self._fetching = Fetching(
            self._dialect, self._rest, self._clock, put=self._put, spawn=self._spawn, renew=self._renew
        )
        self._awaited = self._fetching.awaited
        for view in self.spec.views:
            for line in self._dialects[view].lines(self.spec.topics):
                self._connect(view, self._adjusted(line))
        if len(self.spec.views) > 1:
            self._spawn(self._vote())
        for connection in self._connections:
            connection.start()
        self._fetching.start(self.spec.topics)

    def drain(self, max_frames: int = 1000) -> list[Frame | e.FeedEvent]:
        """What has arrived, in order, at most so much of it."""
        queue = self._queue
        out: list[Frame | e.FeedEvent] = []
        while queue and len(out) < max_frames:
            item = queue.popleft()
            out.append(self._overflowed(item) if type(item) is _Overflow else item)  # type: ignore[arg-type]
        if not queue:
            self._asleep = True
        else:
            asyncio.get_running_loop().call_soon(self._wake)
        return out

    def want_snapshot(self, symbol: str) -> None:
        """See that a book of ``symbol`` can begin anew. Asking again before it has come changes nothing.

        The answer is a `Frame` with its ``symbol``, or, where books begin in the stream, a snapshot in the stream.
        """
        if symbol in self._symbols and self._fetching is not None:
            self._fetching.want(symbol)

    def audit(self, symbol: str) -> None:
        """Fetch one REST book of ``symbol`` to compare with the live one; it comes as a `Frame` with its ``symbol``."""
        if symbol in self._symbols and self._fetching is not None:
            self._fetching.audit(symbol)

    def status(self) -> FeedStatus:
        """As it is now."""
        now = self._clock.wall_ns()
        return FeedStatus(
            venue=self.spec.venue,
            connections=tuple(connection.status() for connection in self._connections),
            views={name: tuple(line.vote.status(now)) for name, line in self._lines.items()},
            rest=self._rest.status() if self._rest is not None else None,
            queued=len(self._queue),
            delivered=self._delivered,
            dropped=self._dropped,
            snapshots_wanted=self._fetching.wanted() if self._fetching is not None else (),
            faults=self._faults,
        )

    def blind(self) -> str:
        """Why no connection brings a book; "" while one does."""
        reason = "not started"
        for connection in self._connections:
            state = connection.state
            books = [key for key, topic in state.topics.items() if topic.kind is TopicKind.BOOK]
            if books:
                if state.main is not None and any(state.main.topics[key].phase is Phase.ALIVE for key in books):
                    return ""
                reason = f"{connection.line.name} is {state.status.value}: {state.reason}"
        return reason

    async def close(self) -> None:
        """End all connections and tasks; what is queued can still be drained."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*(connection.close() for connection in self._connections))
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=2)
        if self._session is not None:
            await self._session.close()

    # --- Connections -----------------------------------------------------------------------------------

    def _connect(self, view: str, line: LineSpec) -> None:
        assert self._session is not None
        dialect = self._dialects[view]
        deliver: Deliver = self._deliver
        if len(self.spec.views) > 1:
            shared = self._lines.get(line.name)
            if shared is None:
                shared = ViewLine(
                    views=self.spec.views,
                    line=line,
                    dialect=dialect,
                    limits=self.spec.view_limits,
                    clock=self._clock,
                    deliver=self._deliver,
                    changed=self._changed,
                )
                self._lines[line.name] = shared
            deliver = shared.deliverer(view)

        def announce(news: News, key: str, reason: str) -> None:
            self._announce(view, line, news, key, reason)

        self._connections.append(
            Connection(
                view=view,
                line=line,
                dialect=dialect,
                rules=msgspec.structs.replace(self.spec.rules, life_ns=min(self.spec.rules.life_ns, dialect.life_ns)),
                session=self._session,
                clock=self._clock,
                budget=self._budget,
                dice=random.getrandbits(63),
                deliver=deliver,
                announce=announce,
            )
        )

    def _adjusted(self, line: LineSpec) -> LineSpec:
        """The line with the limits of the configuration."""
        topics = []
        for topic in line.topics:
            kind = topic.kind.value
            mute_ms = self.spec.mute_ms.get(f"{kind}:{topic.symbol}", self.spec.mute_ms.get(kind))
            if mute_ms is not None:
                mute_ns = mute_ms * MS_NS
                first_ns = max(topic.first_ns, mute_ns) if mute_ns else 0
                topic = msgspec.structs.replace(topic, mute_ns=mute_ns, first_ns=first_ns)  # noqa: PLW2901 - the same
            topics.append(topic)
        return msgspec.structs.replace(line, topics=tuple(topics))

    def _announce(self, view: str, line: LineSpec, news: News, key: str, reason: str) -> None:
        assert self._fetching is not None
        shared = self._lines.get(line.name)
        now = self._clock.wall_ns()
        topic = next((topic for topic in line.topics if topic.key == key), None)
        match news:
            case News.CONNECTED:
                if shared is not None:
                    shared.up(view)
                if not self._brought(view, line, _book_keys(line)):
                    self._fetching.on_connected(_books(line))
                self._tell(e.Connected(view=view, line=line.name, ts_ns=now, symbols=_books(line)))
            case News.DISCONNECTED:
                self._fetching.on_disconnected(_books(line))
                if shared is not None:
                    shared.down(view, reason)
                covered = self._brought(view, line, _book_keys(line))
                self._tell(
                    e.Disconnected(
                        view=view, line=line.name, ts_ns=now, reason=reason, symbols=_books(line), covered=covered
                    )
                )
            case News.ROTATED:
                self._tell(e.Rotated(view=view, line=line.name, ts_ns=now, reason=reason))
            case News.MAINTENANCE_BEGAN:
                self._tell(e.MaintenanceBegan(view=view, line=line.name, ts_ns=now, reason=reason))
            case News.MAINTENANCE_ENDED:
                self._tell(e.MaintenanceEnded(view=view, line=line.name, ts_ns=now))
            case News.TOPIC_LOST | News.TOPIC_REFUSED | News.TOPIC_ALIVE:
                if topic is not None:
                    self._tell_topic(view, line, news, topic, reason)

    def _tell_topic(self, view: str, line: LineSpec, news: News, topic: TopicSpec, reason: str) -> None:
        now, kind = self._clock.wall_ns(), topic.kind.value
        if news is News.TOPIC_ALIVE:
            self._tell(
                e.TopicAlive(view=view, line=line.name, ts_ns=now, topic=topic.key, kind=kind, symbol=topic.symbol)
            )
            if topic.kind is TopicKind.BOOK and self._fetching is not None:
                self._fetching.on_first_diff(topic.symbol)
            return
        told = e.TopicLost if news is News.TOPIC_LOST else e.TopicRefused
        self._tell(
            told(
                view=view,
                line=line.name,
                ts_ns=now,
                topic=topic.key,
                kind=kind,
                symbol=topic.symbol,
                reason=reason,
                covered=self._brought(view, line, (topic.key,)),
            )
        )

    def _brought(self, view: str, line: LineSpec, keys: tuple[str, ...]) -> bool:
        """Whether these topics of a line go on without ``view``: another view leads, and has all of them alive."""
        shared = self._lines.get(line.name)
        leader = None if shared is None else shared.vote.leader
        if leader is None or leader == view:
            return False
        mains = (one.state.main for one in self._connections if (one.view, one.line.name) == (leader, line.name))
        main = next(mains, None)
        return main is not None and all(main.topics[key].phase is Phase.ALIVE for key in keys)

    # --- The queue -------------------------------------------------------------------------------------

    def _deliver(self, payload: bytes, ts_recv_ns: int, pulse: Pulse | None) -> None:
        queue = self._queue
        if len(queue) >= self.spec.queue_max:
            self._drop(pulse)
            return
        if self._awaited and pulse is not None and pulse.spec.key in self._awaited and self._fetching is not None:
            self._fetching.on_book(payload, pulse.spec.key)
        queue.append(Frame(payload, ts_recv_ns))
        self._delivered += 1
        if self._asleep:
            self._asleep = False
            self._wake()

    def _drop(self, pulse: Pulse | None) -> None:
        self._dropped += 1
        last = self._queue[-1] if self._queue else None
        if type(last) is not _Overflow:
            last = _Overflow()
            self._put(last)
        last.dropped += 1
        if pulse is not None:
            last.topics[pulse.spec.key] = None
            if pulse.spec.kind is TopicKind.BOOK:
                last.symbols[pulse.spec.symbol] = None

    def _overflowed(self, overflow: _Overflow) -> e.FeedEvent:
        return e.Overflowed(
            view="",
            line="",
            ts_ns=self._clock.wall_ns(),
            topics=tuple(overflow.topics),
            symbols=tuple(overflow.symbols),
            dropped=overflow.dropped,
        )

    def _tell(self, event: e.FeedEvent) -> None:
        self._put(event)

    def _put(self, item: Frame | e.FeedEvent | _Overflow) -> None:
        """Events have room of their own beyond the frames'; the machine's pace bounds how fast they come."""
        if len(self._queue) >= self.spec.queue_max + EVENTS_MAX:
            self._dropped += 1
            return
        self._queue.append(item)
        if self._asleep:
            self._asleep = False
            self._wake()

    # --- Views -----------------------------------------------------------------------------------------

    def _changed(self, line: str, view: str, what: str, failover_ms: float | None) -> None:
        now = self._clock.wall_ns()
        self._tell(e.ViewChanged(view=view, line=line, ts_ns=now, reason=what, failover_ms=failover_ms))

    async def _vote(self) -> None:
        while True:
            await asyncio.sleep(_VOTE_S)
            for line in self._lines.values():
                line.tick()

    # --- Beside the streams ----------------------------------------------------------------------------

    def _renew(self, key: str) -> None:
        for connection in self._connections:
            if key in connection.state.topics:
                connection.renew(key)

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A bug of ours ends one task and is told; the streams go on.
            self._faults += 1
            now, reason = self._clock.wall_ns(), f"internal: {error!r}"[:200]
            self._tell(e.FetchFailed(view="", line="rest", ts_ns=now, channel="internal", symbol="", reason=reason))


def _book_keys(line: LineSpec) -> tuple[str, ...]:
    return tuple(topic.key for topic in line.topics if topic.kind is TopicKind.BOOK)


def _books(line: LineSpec) -> tuple[str, ...]:
    return tuple(topic.symbol for topic in line.topics if topic.kind is TopicKind.BOOK)
