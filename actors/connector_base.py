"""What a connector is built from and remembers, and how it speaks of gates and events.

Owns the state; what is done with it is the connector's own, its gates' and its reports'.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from actors.messages import BrakeCleared, BrakeSet, VenueUp
from actors.shell import Shell
from actors.venue_market import VenueMarket
from adapters.ccxt_venues.spec import PROOF_MS
from adapters.listing_reader import ListingReader
from adapters.paper_store import PaperStore, restore
from adapters.recorder.drive import Kept
from adapters.recorder.events import RecorderLimits
from adapters.recorder.wire import WireRecorder
from adapters.sources import PushedSource, Source, SourceSpec
from adapters.venue_codecs import open_codec, open_sync
from trading.brakes import Level
from trading.instruments import Instrument
from trading.market.clock_offset import ClockOffset
from trading.market.events import DepthUpdate
from trading.market.gate_levels import BRAKE_LEVELS
from trading.market.gates import GateCleared, GateCode, GateEvent, GateLevel, GateLimits, GateTripped, VenueGates
from trading.market.stitch import SyncResult
from trading.market_report.feeds import ClockCourse
from trading.market_report.quality import ClosedGates
from trading.operators import Published, Topic
from trading.sim.config import SimConfig
from trading.sim.venue import SimVenue
from trading.universe.listing import VenueListing

if TYPE_CHECKING:
    from adapters.streams.report import FeedReport

_MILLISECOND_NS = 1_000_000
_MAX_EVENTS_PER_S = 5
_CALM_NS = 100_000_000  # how often a closed gate is looked at


class TapeSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything inbound is recorded as it arrived."""

    wire: Path
    software: str
    limits: RecorderLimits = RecorderLimits()


class ConnectorSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector is built from. ``source`` None: frames are injected (virtual time).

    ``takes_orders`` False: orders go over the gateway's own wire, nothing is simulated here, and the gateway says when
    the venue can be asked. ``backend`` and ``backend_reason`` tell operators who fills them and why.
    """

    venue: str
    instruments: dict[str, Instrument]
    sim: SimConfig
    sim_seed: int
    paper_dir: Path | None
    source: SourceSpec | None
    bbo_only: tuple[str, ...] = ()
    synthetic: bool = False
    incarnation: int = 0
    poll_ns: int = 5_000_000
    gates_ns: int = 500_000_000
    publish_ns: int = 250_000_000
    gates: GateLimits = GateLimits()
    top_levels: int = 5
    audit_ns: int = 60_000_000_000
    report_ns: int = 1_000_000_000
    market: str = "market"
    tape: TapeSetup | None = None
    watchers: tuple[str, ...] = ()
    gateway: str = ""
    orders: str = "orders"
    governor: str = "governor"
    universe: str = "universe"
    ops: str = "ops"
    takes_orders: bool = True
    backend: str = ""
    backend_reason: str = ""


class ConnectorBase(Shell):
    """The state of one venue's connector, and its voice."""

    # What every message looks at: a place in the object is nearer than one in a dict of sixty.
    __slots__ = (
        "_catching_up",
        "_codec",
        "_gates",
        "_gates_ns",
        "_market",
        "_markets",
        "_offset_ns",
        "_sim",
        "_sim_due",
        "_synthetic",
        "_take_depth",
        "_take_frame",
        "_tell_top",
        "_top_levels",
        "_watchers",
        "frames",
    )

    def start(self, setup: ConnectorSetup) -> None:
        """Build codec, books and, where it takes the orders, the simulated venue with its account; open the source."""
        self._setup = setup
        self._top_levels, self._synthetic, self._market = setup.top_levels, setup.synthetic, setup.market
        self._watchers = setup.watchers
        # Bound once: to find a method of an object with many attributes costs as much as a short method.
        self._take_frame, self._take_depth, self._tell_top = self._frame, self._depth, self._publish_top
        self._gateway = setup.gateway or f"gateway.{setup.venue}"
        self._clock_offset = ClockOffset(setup.venue)
        self._closed_gates = ClosedGates()
        self._course = ClockCourse()
        self._feed: PushedSource | None = None
        self._feed_report: FeedReport | None = None
        self._tape: WireRecorder | None = None
        self._taped = Kept()
        self._instruments = tuple(setup.instruments.values())
        self._listings = ListingReader(setup.venue, self._instruments)
        self._by_symbol = {x.symbol: i for i, x in setup.instruments.items()}
        self._codec = codec = open_codec(setup.venue, self._instruments)
        proof_ms = PROOF_MS if setup.source is None else setup.source.ccxt.proof_ms
        self._gates = VenueGates(setup.venue, setup.gates)
        self._sim: SimVenue | None = None
        if setup.takes_orders:
            self._sim = SimVenue(setup.venue, list(setup.instruments.values()), setup.sim, setup.sim_seed)
        self._markets = {
            i: VenueMarket(
                x,
                open_sync(codec, x, bbo_only=i in setup.bbo_only, proof_ms=proof_ms),
                setup.gates,
                None if self._sim is None else self._sim.market(i),
            )
            for i, x in setup.instruments.items()
        }
        self._store: PaperStore | None = None
        if setup.paper_dir is not None and self._sim is not None:
            self._store = PaperStore(setup.paper_dir / f"{setup.venue}.wal")
            restore(self._sim, self._store)
        self._source: Source | None = None
        self._offset_ns = 0
        self._sim_due: int | None = None
        self._armed_ns: int | None = None
        self._catching_up = False
        self._maintenance = ""
        self._listing: VenueListing | None = None
        self.frames = 0
        self.rejected = 0
        self._events_ns, self._events_left = self.mono_ns(), _MAX_EVENTS_PER_S
        self._last_frames = 0
        if setup.source is not None:
            self._open(setup.source)
        self._gates_ns = 0
        self._looked_ns = 0
        self._incarnation = 0
        self._fresh_ns = setup.gates.book_freshness_ms * _MILLISECOND_NS
        self.wake_after(_CALM_NS, "gates")
        self.wake_after(setup.publish_ns, "publish")
        self.wake_after(setup.report_ns, "report")
        self._say_up()

    def _say_up(self) -> None:
        """The desk reconciles with us anew whenever it, we or the link between us began again.

        What it believes about our books may be of another life, so they are told at once, proved or not.
        """
        self._incarnation = self._setup.incarnation or self.mono_ns()
        self._still_up()
        for market in self._markets.values():
            market.last_top = market.proved = None
            self._publish_top(market)

    def _still_up(self) -> None:
        """Say it again, for as long as it is so: the word may have been lost, or its hearer have begun anew."""
        setup = self._setup
        if setup.takes_orders:
            self.tell(setup.governor, VenueUp(venue=setup.venue, incarnation=self._incarnation))

    @property
    def markets(self) -> dict[str, VenueMarket]:
        """For the replay's report."""
        return self._markets

    @property
    def skew_ms(self) -> float | None:
        """Our clock against the venue's; negative when ours is behind."""
        return self._gates.stream.skew_ms

    @property
    def sim(self) -> SimVenue:
        """For the replay's report: the venue's own account of us."""
        assert self._sim is not None, "orders go over a wire: the account is at its other end"
        return self._sim

    def _brake(self, code: str, cause: str) -> None:
        scope = f"venue:{self._setup.venue}"
        self.tell(self._setup.governor, self._held(code, scope, int(Level.HOLD), cause))

    def _held(self, code: str, scope: str, level: int, cause: str) -> BrakeSet:
        """A brake of ours."""
        return BrakeSet(code=code, scope=scope, level=level, cause=cause, release="auto", owner=self.name)

    def _gate(self, change: GateEvent) -> None:
        self._closed_gates.take(change)
        if change.code is GateCode.BOOK_STALE and type(change) is GateTripped:
            self._markets[change.target].misses += 1
        code = change.code.value.upper()
        scope = f"{change.scope.value}:{change.target}"
        if type(change) is GateCleared:
            self.tell(self._setup.governor, BrakeCleared(code=code, scope=scope))
        elif type(change) is GateTripped:
            if change.level is GateLevel.NOTICE:
                self._event("warning", code, change.cause)
                return
            self.tell(self._setup.governor, self._held(code, scope, BRAKE_LEVELS[change.level], change.cause))

    def _event(self, level: str, code: str, text: str) -> None:
        now = self.now_ns()
        body: dict[str, object] = {
            "level": level,
            "code": code,
            "text": text,
            "ts_ns": now,
            "cell": f"venue.{self._setup.venue}",
        }
        self.tell(
            self._setup.ops,
            Published(topic=Topic.EVENT, key=f"{self._setup.venue}:{now}:{self.frames}", body=body, ts_ns=now),
        )

    # What the layers above bring.

    def _open(self, spec: SourceSpec) -> None:
        """Open the source."""
        raise NotImplementedError

    def _frame(self, payload: bytes, ts_recv_ns: int) -> None:
        """Bytes of the venue."""
        raise NotImplementedError

    def _depth(self, event: DepthUpdate, ts_recv_ns: int, now: int) -> None:
        """A diff of a book."""
        raise NotImplementedError

    def _publish_top(self, market: VenueMarket) -> None:
        """Tell the desk of a book."""
        raise NotImplementedError

    def _synced(self, market: VenueMarket, result: SyncResult, now: int) -> None:
        """A message went through a book's proof."""
        raise NotImplementedError

    def _want_snapshot(self, market: VenueMarket) -> None:
        """Ask for a book."""
        raise NotImplementedError
