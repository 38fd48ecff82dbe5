"""Where a connector's bytes come from: a recording played at a speed, the market generator, or a venue's own streams.

All are opened at any moment of a run and continue where the market is then, so that a venue cell can die and come
back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

from adapters.ccxt_venues.instruments import VENUES as CCXT_VENUES
from adapters.ccxt_venues.spec import CcxtSpec
from adapters.clock import Clock
from adapters.streams.events import FeedEvent
from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.params import GeneratorSpec
from adapters.wirelog import Session, WireLine, inspect_session, is_snapshot, open_session
from trading.instruments import Instrument
from trading.market.events import WireRejected

if TYPE_CHECKING:
    from adapters.streams.budget import ConnectionBudget
    from adapters.streams.fallback import Fallback, FallbackItem
    from adapters.streams.feed import FeedStatus
    from adapters.streams.report import FeedReport


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One inbound message of a venue; ``symbol`` is set for REST depth bodies, whose bytes do not name it."""

    payload: bytes
    ts_recv_ns: int
    symbol: str | None = None


class FramesReady(msgspec.Struct, frozen=True):
    """A pushed source has something for its connector. Never leaves the process."""


class Awaited(Enum):
    """A snapshot was asked for and comes among the frames."""

    AWAITED = "awaited"


AWAITED = Awaited.AWAITED


class Origin(Enum):
    """Who speaks, where no recording does."""

    EMBEDDED = "embedded"  # the generator, in this process
    SIM = "sim"  # the generator, behind a loopback server that speaks the venue's protocol
    LIVE = "live"  # the venue


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which source, in words that can cross a process boundary. ``anchor_ns``: when the run's market began (UTC).

    ``session`` None is no recording but ``origin``. ``speed`` plays a recording faster or slower than it was received;
    ``first_ns`` and ``last_ns`` are its span where somebody has read it already. ``port`` is the loopback server's,
    ``views`` how many parallel connections a feed keeps; ``ccxt`` is for venues that are read through it.
    """

    anchor_ns: int
    session: str | None = None
    origin: Origin = Origin.EMBEDDED
    port: int = 0
    views: int = 1
    reserve: bool = False
    speed: float = 1.0
    seed: int = 7
    funding_interval_s: int = 28_800
    instruments: tuple[str, ...] = ()
    first_ns: int = 0
    last_ns: int = 0
    ccxt: CcxtSpec = CcxtSpec()


class Source(Protocol):
    """What a connector polls.

    Times given and returned are the source's own receive times; add ``offset_ns`` for ours.
    """

    name: str
    synthetic: bool
    has_snapshots: bool
    """Whether a book that was lost can be had again."""
    offset_ns: int

    def poll(self, now_ns: int) -> Sequence[Frame | WireRejected | FeedEvent]:
        """Everything received up to our time ``now_ns`` that was not returned before, in order."""
        ...

    def snapshot(self, symbol: str, now_ns: int) -> Frame | Awaited | None:
        """A REST depth body on demand, now or later; None where the source has no such service."""
        ...

    def progress(self) -> dict[str, object]:
        """For operators: how far, of how much."""
        ...

    def status(self) -> FeedStatus | None:
        """A feed's connections and topics; None where there are none."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class PushedSource(Source, Protocol):
    """A source that calls when something has come in."""

    @property
    def rest_snapshots(self) -> bool:
        """Whether `snapshot` asks REST and leaves the stream alone."""
        ...

    @property
    def on_reserve(self) -> bool:
        """Whether the reserve runs."""
        ...

    def reserve(self) -> Sequence[FallbackItem]:
        """What has come in through the reserve, while the venue's own streams are lost."""
        ...

    def report(self) -> FeedReport:
        """What words operators are told of it in."""
        ...


class GeneratorSource:
    """The market generator of one venue, from now on; always flagged synthetic."""

    synthetic = True
    has_snapshots = True
    offset_ns = 0

    def __init__(self, spec: SourceSpec, venue: str, now_ns: int) -> None:
        self.name = f"generator seed {spec.seed}"
        world = GeneratorSpec(
            seed=spec.seed,
            epoch_ns=spec.anchor_ns,
            instruments=spec.instruments,
            funding_interval_s=spec.funding_interval_s,
        )
        self._generator = MarketGenerator(world, venue, now_ns)
        self._first = True
        self._frames = 0

    def poll(self, now_ns: int) -> list[Frame | WireRejected]:
        """The traffic since the last poll; the first brings every market's snapshot."""
        out: list[Frame | WireRejected] = []
        if self._first:
            self._first = False
            for symbol in self._generator.flows:
                ts, name, body = self._generator.snapshot(symbol)
                out.append(Frame(body, ts, name))
        out.extend(Frame(payload, ts) for ts, payload in self._generator.next_batch(now_ns))
        self._frames += len(out)
        return out

    def snapshot(self, symbol: str, now_ns: int) -> Frame | None:
        """The book as it is."""
        ts, name, body = self._generator.snapshot(symbol)
        return Frame(body, ts, name)

    def progress(self) -> dict[str, object]:
        """The generator has no end."""
        return {"frames": self._frames}

    def status(self) -> None:
        """There are no connections."""

    def close(self) -> None:
        """Nothing to let go of."""


class RecordingSource:
    """A recording, anchored at ``anchor_ns`` of our clock; at its end it starts again from its first line."""

    synthetic = False
    has_snapshots = False

    def __init__(self, spec: SourceSpec, venue: str, now_ns: int) -> None:
        assert spec.session is not None
        path = Path(spec.session)
        whole = open_session(path)
        self._session = Session(tuple(f for f in whole.files if f.venue == venue))
        if not self._session.files:
            raise ValueError(f"the recording {path} has nothing of venue {venue}")
        self.name = f"recording {path.name}"
        self._speed = spec.speed
        self._anchor = spec.anchor_ns
        self._first_ns, self._last_ns = _span(spec, whole)
        self._laps = 0
        self.offset_ns = 0
        self._line: WireLine | WireRejected | None = None
        self._lines: Iterator[WireLine | WireRejected] = iter(())
        self._frames = 0
        self._rewind(now_ns)

    @property
    def _lap_ns(self) -> int:
        return int((self._last_ns - self._first_ns) / self._speed) + 1_000_000_000

    def _rewind(self, now_ns: int) -> None:
        self._laps = max(0, now_ns - self._anchor) // self._lap_ns
        self._lines = iter(self._session)
        self._line = next(self._lines, None)

    def _recorded_now(self, now_ns: int) -> int:
        """The recording's time that is played at our time; sets the offset between both."""
        began = self._anchor + self._laps * self._lap_ns
        recorded = self._first_ns + int((now_ns - began) * self._speed)
        self.offset_ns = now_ns - recorded
        return recorded

    def poll(self, now_ns: int) -> list[Frame | WireRejected]:
        """The recorded lines that are due."""
        out: list[Frame | WireRejected] = []
        if self._line is None and now_ns >= self._anchor + (self._laps + 1) * self._lap_ns:
            self._rewind(now_ns)
        recorded = self._recorded_now(now_ns)
        line = self._line
        while line is not None and line.ts_recv_ns <= recorded:
            if isinstance(line, WireRejected):
                out.append(line)
            else:
                symbol = line.symbol if is_snapshot(line.payload) else None
                out.append(Frame(line.payload, line.ts_recv_ns, symbol))
            line = next(self._lines, None)
        self._line = line
        self._frames += len(out)
        return out

    def snapshot(self, symbol: str, now_ns: int) -> Frame | None:
        """A recording answers no requests."""
        return None

    def progress(self) -> dict[str, object]:
        """Seconds played of the recording's length, and which time through it is."""
        total = (self._last_ns - self._first_ns) / 1e9
        at = total if self._line is None else (self._line.ts_recv_ns - self._first_ns) / 1e9
        return {"played_s": round(at, 1), "total_s": round(total, 1), "lap": self._laps + 1, "frames": self._frames}

    def status(self) -> None:
        """There are no connections."""

    def close(self) -> None:
        """Close the files."""
        close = getattr(self._lines, "close", None)
        if close is not None:
            close()


def _span(spec: SourceSpec, whole: Session) -> tuple[int, int]:
    if spec.last_ns:
        return spec.first_ns, spec.last_ns
    facts = inspect_session(whole)
    return facts.first_ns, facts.last_ns


class FeedSource:
    """The streams of a venue, or of the loopback server in its place; ``wake`` is called when something has come in.

    All feeds of a process share one budget of connections: venues count them by address, not by who asks.
    """

    has_snapshots = True
    offset_ns = 0
    _budget: ClassVar[ConnectionBudget | None] = None

    def __init__(
        self, spec: SourceSpec, venue: str, instruments: Sequence[Instrument], clock: Clock, wake: Callable[[], None]
    ) -> None:
        # Only cells that connect to a venue pay for an HTTP client.
        from adapters.streams.dialects.base import Endpoints  # noqa: PLC0415
        from adapters.streams.feed import Feed, FeedSpec  # noqa: PLC0415
        from adapters.streams.topics import TopicKind  # noqa: PLC0415

        self.synthetic = spec.origin is Origin.SIM
        endpoints = None
        self.name = f"{venue} live"
        if self.synthetic:
            self.name = f"generator seed {spec.seed} over loopback"
            endpoints = Endpoints(ws=f"ws://127.0.0.1:{spec.port}", rest=f"http://127.0.0.1:{spec.port}")
        views = tuple("abcd"[: spec.views])
        feed_spec = FeedSpec(
            venue=venue, instruments=tuple(instruments), endpoints=endpoints, views=views, topics=frozenset(TopicKind)
        )
        budget = FeedSource.budget()
        self._feed = Feed(feed_spec, clock, wake, budget)
        self._feed.start()
        self._fallback: Fallback | None = None
        if spec.reserve and spec.origin is Origin.LIVE:
            from adapters.streams.fallback import Fallback  # noqa: PLC0415 - as above
            from adapters.streams.reserve import ReserveSpec  # noqa: PLC0415

            reserve = ReserveSpec(venue=venue, instruments=tuple(instruments))
            self._fallback = Fallback(self._feed, reserve, clock, wake, budget=budget)
            self._fallback.start()
        self._frames = 0

    @classmethod
    def budget(cls) -> ConnectionBudget:
        """The process's."""
        from adapters.streams.budget import ConnectionBudget  # noqa: PLC0415 - as above

        if FeedSource._budget is None:
            FeedSource._budget = ConnectionBudget()
        return FeedSource._budget

    @property
    def rest_snapshots(self) -> bool:
        """Whether `snapshot` asks REST and leaves the stream alone."""
        return self._feed.rest_snapshots

    def poll(self, now_ns: int) -> Sequence[Frame | FeedEvent]:
        """What has come in."""
        found = self._feed.drain()
        self._frames += len(found)
        return found

    def reserve(self) -> Sequence[FallbackItem]:
        """What has come in through the reserve, while the venue's own streams are lost."""
        return () if self._fallback is None else self._fallback.drain()

    @property
    def on_reserve(self) -> bool:
        """Whether the reserve runs."""
        return self._fallback is not None and self._fallback.active

    def snapshot(self, symbol: str, now_ns: int) -> Awaited:
        """Ask for the book; it comes among the frames."""
        self._feed.want_snapshot(symbol)
        return AWAITED

    def progress(self) -> dict[str, object]:
        """How much has come in."""
        return {"frames": self._frames}

    def status(self) -> FeedStatus:
        """Every connection with its topics."""
        return self._feed.status()

    def report(self) -> FeedReport:
        """What words operators are told of it in."""
        from adapters.streams.report import FeedReport  # noqa: PLC0415 - as above

        return FeedReport(self._feed.spec.venue, synthetic=self.synthetic)

    def close(self) -> None:
        """Close the connections; nobody waits for it."""
        loop = asyncio.get_running_loop()
        self._closing = [loop.create_task(self._feed.close(), name="feed close")]
        if self._fallback is not None:
            self._closing.append(loop.create_task(self._fallback.close(), name="reserve close"))


def open_feed(
    spec: SourceSpec, venue: str, instruments: Sequence[Instrument], clock: Clock, wake: Callable[[], None]
) -> PushedSource:
    """The venue's streams: its own, or ccxt's where nobody here speaks its protocol."""
    if venue in CCXT_VENUES:
        from adapters.ccxt_venues.source import CcxtSource  # noqa: PLC0415 - as in `FeedSource`

        return CcxtSource(spec, venue, instruments, clock, wake=wake, budget=FeedSource.budget())
    return FeedSource(spec, venue, instruments, clock, wake)


def open_source(spec: SourceSpec, venue: str, now_ns: int) -> Source:
    """The recording or generator that a spec names; ``ValueError`` with the reason when it cannot be opened."""
    if spec.session is None:
        return GeneratorSource(spec, venue, now_ns)
    return RecordingSource(spec, venue, now_ns)
