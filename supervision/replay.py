"""A whole desk in virtual time: the daemon's own actors and wiring on a `LoopBase` whose clock is the recording's.

Owns feeding and reporting. Decides nothing: what happens is what the same actors would do live.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import RawFrame, SnapshotFrame, StartActor
from adapters.clock import VirtualClock
from adapters.config import DeskConfig
from adapters.synthetic.generator import SyntheticSession
from adapters.synthetic.params import GeneratorSpec
from adapters.wirelog import Session, SessionFacts, WireLine, is_snapshot
from supervision.bases.loop import LoopBase
from supervision.bases.scheduler import SeededScheduler
from supervision.cell import calm_gc
from supervision.desk_plan import INSTRUMENTS
from supervision.plan import paths_of
from supervision.supervisor import Supervisor, SupervisorSetup
from supervision.wiring import Wiring
from trading.market.events import BookState, WireRejected
from trading.operators import Published, Topic

SYNTHETIC_EPOCH_NS = 1_723_161_254_000_000_000
_BOOT_NS = 200_000_000
_SETTLE_NS = 2_000_000_000


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of any session: ``symbol`` only for a snapshot."""

    ts_recv_ns: int
    venue: str
    payload: bytes
    symbol: str | None


class ReplayResult(msgspec.Struct, kw_only=True):
    """What a replay did. Money in USD; ``books`` by instrument."""

    session: str
    synthetic: bool
    events: int
    intents: int
    orders: int
    fills: int
    denied: dict[str, int]
    conflicts: int
    crosses: int
    pnl: float
    pnl_detail: dict[str, Any]
    ledger_residual: float
    intents_sha256: str
    journal_rows: int
    journal_head: str
    books: dict[str, dict[str, Any]]
    venues: dict[str, dict[str, Any]]
    funding: list[dict[str, Any]]
    brakes: list[dict[str, Any]]
    notices: list[str]
    left_out: list[str]
    session_s: float
    wall_s: float
    times_real_time: float
    rejected_lines: int
    strategies: dict[str, int]
    unknown_messages: int


def recorded_lines(session: Session) -> Iterator[Line | WireRejected]:
    """The lines of a recording."""
    for line in session:
        if isinstance(line, WireLine):
            yield Line(line.ts_recv_ns, line.venue, line.payload, line.symbol if is_snapshot(line.payload) else None)
        else:
            yield line


def synthetic_lines(config: DeskConfig, duration_s: float) -> Iterator[Line]:
    """The lines of the market generator: equal seeds, equal bytes."""
    symbols: dict[str, list[str]] = {v: [] for v in config.venues}
    names = tuple(i for v in config.venues.values() for i in v.instruments)
    for name in names:
        symbols[INSTRUMENTS[name].venue].append(INSTRUMENTS[name].symbol)
    spec = GeneratorSpec(
        seed=config.generator.seed,
        epoch_ns=SYNTHETIC_EPOCH_NS,
        instruments=names,
        activity=config.generator.activity,
        volatility=config.generator.volatility,
        basis=config.generator.basis,
        funding_interval_s=config.generator.funding_interval_s,
    )
    # Snapshots come first and in the order of a venue's markets.
    waiting = {v: sorted(s) for v, s in symbols.items()}
    for ts, venue, payload in SyntheticSession(spec, tuple(config.venues), duration_s):
        symbol = waiting[venue].pop(0) if waiting[venue] and is_snapshot(payload) else None
        yield Line(ts, venue, payload, symbol)


class Replay:
    """One desk, one session, virtual time."""

    def __init__(
        self,
        config: DeskConfig,
        facts: SessionFacts,
        *,
        directory: Path,
        schedule_seed: int | None = None,
        hashing: bool = True,
        alter: Callable[[Wiring, SupervisorSetup], SupervisorSetup] | None = None,
    ) -> None:
        self._alter = alter
        self._config = config
        self._wiring = Wiring(config, paths_of(directory), facts=facts, replay=True, hashing=hashing)
        self._schedule_seed = schedule_seed
        self._notices: list[str] = []
        self._fundings: list[dict[str, Any]] = []
        self.base: LoopBase
        self._clock: VirtualClock

    def boot(self, wall_ns: int) -> None:
        """Bring the desk up shortly before the session's first line."""
        self._clock = VirtualClock(wall_ns - _BOOT_NS, 1_000_000_000)
        scheduler = SeededScheduler(self._schedule_seed) if self._schedule_seed is not None else None
        self.base = base = LoopBase.standalone(name="replay", clock=self._clock, scheduler=scheduler)
        base.set_router(self._sink)
        wiring = self._wiring
        tops: list[tuple[str, object]] = [("core", self._core(wiring))]
        tops.append(("strategies", wiring.strategies_tree("replay")))
        tops.extend((f"venue.{v}", wiring.venue_tree(v, "replay")) for v in wiring.venues)
        for name, setup in tops:
            address = base.create_root(Supervisor, {"propdesk.name": name})
            base.inject(address, StartActor(name=name, supervisor=None, setup=setup))
        base.run_until_idle()
        base.advance_to(self._clock.mono_ns() + _BOOT_NS)

    def _core(self, wiring: Wiring) -> SupervisorSetup:
        table = wiring.core_tree("replay")
        return table if self._alter is None else self._alter(wiring, table)

    def _sink(self, to: str, _sender: object, msg: object) -> bool:
        """Facts for operators end here; notices are kept for the report."""
        if type(msg) is Published and msg.topic is Topic.EVENT:
            code = msg.body.get("code")
            if len(self._notices) < 200:
                self._notices.append(f"{code}: {msg.body.get('text')}")
            if code == "FUNDING":
                self._fundings.append({"text": msg.body["text"], "ts_ns": msg.ts_ns})
        return to == "ops" or to.startswith("status.")

    def feed(self, lines: Iterable[Line | WireRejected], progress: Callable[[int, int], None] | None = None) -> int:
        """Feed a session; returns how many lines could not be read."""
        base = self.base
        clock = self._clock
        names = {venue: f"connector.{venue}" for venue in self._wiring.venues}
        offset = clock.wall_ns() - clock.mono_ns()
        rejected = 0
        count = 0
        deliver_at = base.deliver_at
        for line in lines:
            if isinstance(line, WireRejected):
                rejected += 1
                self._notices.append(f"WIRE_LOG: {line.reason}: {line.excerpt}")
                continue
            ts = line.ts_recv_ns
            name = names.get(line.venue)
            if name is None:
                continue
            if line.symbol is None:
                deliver_at(ts - offset, name, RawFrame(line.payload, ts))
            else:
                deliver_at(ts - offset, name, SnapshotFrame(line.symbol, line.payload, ts))
            count += 1
            if progress is not None and count % 20_000 == 0:
                progress(count, ts)
        return rejected

    def settle(self) -> None:
        """Let what is under way arrive: no market any more, only time."""
        self.base.advance_to(self._clock.mono_ns() + _SETTLE_NS)

    def report(self, session: str, left_out: list[str], rejected: int, session_ns: int, wall_s: float) -> ReplayResult:
        """What happened, from the actors themselves."""
        base = self.base
        arbiter, orders = base.actor("arbiter"), base.actor("orders")
        governor, portfolio, journal = base.actor("governor"), base.actor("portfolio"), base.actor("journal")
        books: dict[str, dict[str, Any]] = {}
        venues: dict[str, dict[str, Any]] = {}
        events = 0
        for venue in self._wiring.venues:
            connector = base.actor(f"connector.{venue}")
            events += connector.frames
            skew = connector.skew_ms
            state = connector.sim.state_now(0, "report", self._clock.wall_ns())
            venues[venue] = {
                "frames": connector.frames,
                "rejected": connector.rejected,
                "clock_skew_ms": None if skew is None else round(skew, 1),
                "executions": len(state.executions),
                "fundings": len(state.fundings),
                "open_orders": len(state.open_orders),
                "positions": {k: str(v) for k, v in state.positions.items()},
                "balances": {k: str(v) for k, v in state.balances.items()},
                "ledger_difference": _difference(portfolio.core.balances_by_venue().get(venue, {}), state.balances),
            }
            for instrument_id, market in connector.markets.items():
                books[instrument_id] = _book_row(market)
        portfolio.mark_to_mid()
        pnl = portfolio.pnl_body()
        head = journal.head()
        names = [view.name for view in base.tree()]
        return ReplayResult(
            session=session,
            synthetic=self._wiring.synthetic,
            events=events,
            intents=arbiter.intents,
            orders=orders.orders,
            fills=orders.fills,
            denied=dict(sorted(governor.denied.items())),
            conflicts=arbiter.conflicts,
            crosses=arbiter.crosses,
            pnl=float(pnl["total_usd"]),
            pnl_detail=pnl,
            ledger_residual=float(pnl["ledger_residual"]),
            intents_sha256=arbiter.intents_sha256,
            journal_rows=head[0],
            journal_head=head[1],
            books=books,
            venues=venues,
            funding=self._fundings,
            brakes=[
                {"code": b.code, "scope": b.scope, "level": b.level.name, "cause": b.cause} for b in governor.brakes
            ],
            notices=self._notices[:50],
            left_out=left_out,
            session_s=round(session_ns / 1e9, 3),
            wall_s=round(wall_s, 3),
            times_real_time=round(session_ns / 1e9 / wall_s, 1) if wall_s > 0 else 0.0,
            rejected_lines=rejected,
            strategies=dict(sorted(portfolio.fills_by_strategy.items())),
            unknown_messages=sum(getattr(base.actor(name), "unknown_messages", 0) for name in names),
        )


def _difference(ours: dict[str, Decimal], theirs: dict[str, Decimal]) -> str:
    """How far the ledger's cash is from the venue's own balances, summed over assets; 0."""
    assets = ours.keys() | theirs.keys()
    return str(sum((abs(ours.get(a, Decimal(0)) - theirs.get(a, Decimal(0))) for a in assets), Decimal(0)))


def _book_row(market: Any) -> dict[str, Any]:
    sync = market.sync
    counters = sync.counters
    bid, ask = sync.book.best_bid(), sync.book.best_ask()
    instrument = market.instrument
    return {
        "state": sync.state.value,
        "bbo_only": sync.mode == "bbo",
        "reason": "" if sync.state is BookState.SYNCED else sync.reason,
        "bid": None if bid is None else str(instrument.price(bid[0])),
        "ask": None if ask is None else str(instrument.price(ask[0])),
        "update_id": sync.book.update_id,
        "messages": counters.messages,
        "applied": counters.applied,
        "gaps": counters.gaps,
        "resyncs": counters.resyncs,
        "compared_with_ticker": counters.audited,
        "mismatches": counters.mismatches,
        "trades": market.trades,
        "depth_sha256": sync.book.depth_hash(50),
    }


def replay(
    config: DeskConfig,
    facts: SessionFacts,
    lines: Iterable[Line | WireRejected],
    *,
    name: str,
    left_out: list[str],
    progress: Callable[[int, int], None] | None = None,
    schedule_seed: int | None = None,
) -> ReplayResult:
    """Replay a session from its first line to its last."""
    with tempfile.TemporaryDirectory(prefix="propdesk-replay-") as directory:
        runner = Replay(config, facts, directory=Path(directory), schedule_seed=schedule_seed)
        iterator = iter(lines)
        first = next((line for line in iterator if type(line) is Line), None)
        if first is None:
            raise ValueError(f"session {name} holds no readable message")
        runner.boot(first.ts_recv_ns)
        thresholds = gc.get_threshold()
        calm_gc()
        try:
            started = time.perf_counter()
            last = [first.ts_recv_ns]
            rejected = runner.feed(_watched(first, iterator, last), progress)
            runner.settle()
            wall_s = time.perf_counter() - started
        finally:
            gc.unfreeze()
            gc.set_threshold(*thresholds)
        return runner.report(name, left_out, rejected, last[0] - first.ts_recv_ns, wall_s)


def _watched(first: Line, rest: Iterator[Line | WireRejected], last: list[int]) -> Iterator[Line | WireRejected]:
    yield first
    for line in rest:
        if type(line) is Line:
            last[0] = line.ts_recv_ns
        yield line


def explain(result: ReplayResult) -> str:
    """The result for people."""
    total = Decimal(result.pnl_detail["total_usd"])
    flag = "  [SYNTHETIC market]" if result.synthetic else ""
    digest = result.intents_sha256[:16]
    rows = [
        (
            f"session {result.session}{flag}: {result.session_s:.1f} s in {result.wall_s:.1f} s "
            f"({result.times_real_time:.0f}x real time)"
        ),
        f"events {result.events}  intents {result.intents}  orders {result.orders}  fills {result.fills}",
        f"pnl {total:+.4f} USD  ledger residual {result.ledger_residual:g}  intents sha256 {digest}…",
    ]
    rows.extend(
        f"  {i}: {b['state']}, {b['gaps']} gaps, {b['compared_with_ticker']} compared with the venue's ticker, "
        f"{b['mismatches']} different"
        for i, b in result.books.items()
    )
    rows.extend(f"  {notice}" for notice in result.notices[:12])
    return "\n".join(rows)
