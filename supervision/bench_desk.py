"""Tick to order by stage, with the commit and without, beside one durable commit and the peer. Measures, never asserts.

Every number is a median of rounds in one run; goals are ratios.
"""

from __future__ import annotations

import asyncio
import gc
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import AppendRows, RawFrame, RowsCommitted, SnapshotFrame, StartActor
from adapters.clock import SystemClock
from adapters.doctor import this_build
from adapters.journal.store import SqliteJournal
from adapters.journal.writer import JournalWriter
from adapters.wirelog import SessionFacts
from supervision.bases.loop import LoopBase
from supervision.bench_rig import (
    SYMBOL,
    FlipStrategy,
    SilentDesk,
    bench_config,
    depth_frame,
    peer_results,
    row,
    snapshot_body,
    wall_ns,
    without_pauses,
)
from supervision.cell import calm_gc, new_loop
from supervision.plan import paths_of
from supervision.supervisor import ChildStart, Supervisor
from supervision.wiring import Wiring
from trading.orders.journal_rows import JournalKind, RowDraft
from trading.orders.messages import NewOrderSingle

_COMMIT_NS = 450_000
_TICK_NS = 30_450_000
_PEER_ROW = "tick->order at exec client (Python strategy, market order)"


class _Marks:
    """The moment each stage of one tick was left, nanoseconds of the performance counter."""

    def __init__(self) -> None:
        self.at: dict[str, int] = {}
        self.armed = False

    def begin(self, stage: str, call: Callable[..., Any], kind: type[Any]) -> Callable[..., Any]:
        """``call`` with the beginning of its first call with a ``kind`` after arming noted."""
        at, clock = self.at, time.perf_counter_ns

        def timed(message: Any, *more: Any) -> Any:
            if self.armed and type(message) is kind and stage not in at:
                at[stage] = clock()
            return call(message, *more)

        return timed

    def wrap(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call`` with its first return after arming noted."""
        at, clock = self.at, time.perf_counter_ns

        def timed(*args: Any, **kw: Any) -> Any:
            out = call(*args, **kw)
            if self.armed and stage not in at:
                at[stage] = clock()
            return out

        return timed


STAGES = ("decode", "book", "strategy", "arbiter", "governor", "journal", "commit", "release", "permit", "encode")
"""Where a tick is. "journal" ends when the journal has the row, "commit" when it hears that the disk has it."""


def tick_to_order(*, quick: bool, peers_python: str | None, peers_dir: Path | None) -> dict[str, Any]:
    """Bytes in to bytes out with the journal on this disk, by stage, beside one durable commit of the same thread."""
    rounds = 300 if quick else 2_000
    with tempfile.TemporaryDirectory(prefix="propdesk-bench-") as directory:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            out = runner.run(_tick_to_order(Path(directory), rounds))
        # The marks of ten stages cost microseconds of their own: the whole is measured without them, then its parts.
        out.update(_beside_the_peer(Path(directory), rounds, 1 if quick else 5, peers_python, peers_dir))
        out["without_commit"]["stages"] = _hot(Path(directory) / "stages", rounds, staged=True)["stages"]
    out["python"] = f"{platform.python_version()}, {this_build().text}"
    return out


def _beside_the_peer(
    directory: Path, rounds: int, repeats: int, peers_python: str | None, peers_dir: Path | None
) -> dict[str, Any]:
    """Tick to order without the commit, ours and the peer's in turn: the run with the median of each, and of ratios."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for number in range(repeats):
        ours.append(_hot(directory / f"whole-{number}", rounds, staged=False))
        if peers_python and peers_dir is not None:
            peer = peer_results(peers_python, peers_dir / "nautilus_bt.py", "latency").get(_PEER_ROW)
            if peer:
                theirs.append(peer)
    out: dict[str, Any] = {"without_commit": _median_run(ours)}
    if theirs:
        out["nautilus"] = {_PEER_ROW: _median_run(theirs)}
        ratios = [us["p50_us"] / them["p50_us"] for us, them in zip(ours, theirs, strict=False)]
        out["without_commit_vs_nautilus_p50"] = round(statistics.median(ratios), 3)
    return out


def _median_run(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run in the middle, and what the others came to."""
    ordered = sorted(runs, key=lambda run: run["p50_us"])
    return {**ordered[len(ordered) // 2], "runs_p50_us": [run["p50_us"] for run in runs]}


async def _tick_to_order(directory: Path, rounds: int) -> dict[str, Any]:
    config = bench_config(directory / "data")
    (directory / "data").mkdir()
    wiring = Wiring(config, paths_of(directory / "data"))
    clock = SystemClock()
    base = LoopBase.standalone(name="bench", clock=clock)
    base.set_router(lambda to, _sender, _msg: to == "ops" or to.startswith("status."))
    base.attach(asyncio.get_running_loop())
    venue = wiring.venue_tree("binanceusdm", "bench")
    # The bench is the source: frames are injected, everything else is the daemon's.
    setup = wiring.connector("binanceusdm")
    venue.starts["connector.binanceusdm"] = ChildStart(
        venue.starts["connector.binanceusdm"].actor_class, lambda: _without_source(setup)
    )
    gateway = wiring.gateway("binanceusdm")
    venue.starts["gateway.binanceusdm"] = ChildStart(
        venue.starts["gateway.binanceusdm"].actor_class,
        lambda: msgspec.structs.replace(gateway, orders_per_sec=100_000),
    )
    for name, table in (
        ("core", without_pauses(wiring, wiring.core_tree("bench"))),
        ("strategies", wiring.strategies_tree("bench")),
        ("venue.binanceusdm", venue),
    ):
        base.inject(
            base.create_root(Supervisor, {"propdesk.name": name}), StartActor(name=name, supervisor=None, setup=table)
        )
    await _until(lambda: base.actor("strategy.flip") is not None and base.actor("strategy.flip")._whole)  # noqa: SLF001
    await _until(lambda: not any("RECON" in b.code for b in base.actor("governor").brakes))
    marks = _Marks()
    flip = FlipStrategy()
    sent = asyncio.Event()
    _instrument(base, marks, flip, sent)
    base.inject("connector.binanceusdm", SnapshotFrame(SYMBOL, snapshot_body(), wall_ns()))
    arbiter = base.actor("arbiter")
    n = await _warm_up(base, flip)
    writer = _commit_writer(directory)
    calm_gc()
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    totals: list[float] = []
    free: list[float] = []
    commits: list[float] = []
    for _ in range(rounds):
        commits.append(await _one_commit(writer))
        marks.at.clear()
        sent.clear()
        frame = depth_frame(n, wall_ns())
        n += 1
        try:
            async with asyncio.timeout(0.5):  # the bench's own guard: made before its clock starts
                marks.armed = True
                started = time.perf_counter_ns()
                base.inject("connector.binanceusdm", RawFrame(frame, wall_ns()))
                await sent.wait()
        except TimeoutError:
            continue
        finally:
            marks.armed = False
        last = started
        for stage in STAGES:
            at = marks.at.get(stage, last)
            stages[stage].append((at - last) / 1e3)
            last = at
        total = (marks.at["encode"] - started) / 1e3
        totals.append(total)
        free.append(total - stages["commit"][-1])  # the wait for the disk and the ways to its thread and back
        await _until(lambda: _settled(arbiter))
    writer[0].close(drain=True)
    base.detach()
    base.shutdown()

    gc.unfreeze()
    commit, total_row = row(commits), row(totals)
    return {
        "total": total_row,
        "stages": {stage: row(values) for stage, values in stages.items()},
        "without_commit_cold": row(free),
        "one_durable_commit": commit,
        "ratio_p50": round(total_row["p50_us"] / commit["p50_us"], 3),
        "ratio_p99": round(total_row["p99_us"] / commit["p99_us"], 3),
    }


def _hot(directory: Path, rounds: int, *, staged: bool) -> dict[str, Any]:
    """Tick to order without the commit, tick after tick without a pause, as the peer's harness runs its own.

    Virtual time: the commit is a moment of the clock that costs nothing; bytes in until the journal has the row, and
    from the journal's word that it is durable to the bytes out, are both counted.
    """
    desk = SilentDesk(directory, SessionFacts(), unpaced=True)
    base, clock = desk.base, desk.clock
    marks = _Marks()
    if staged:
        _mark_stages(base, marks, desk.flip)
    else:
        _mark_commit(base, marks)
    _mark_bytes(base, marks, asyncio.Event())
    base.inject("connector.binanceusdm", SnapshotFrame(SYMBOL, snapshot_body(), clock.wall_ns()))
    base.run_until_idle()
    out: list[float] = []
    stages: dict[str, list[float]] = {}
    # Made before, as the peer's quotes are: to make one is no work of a desk, and takes longer than what is measured.
    times = range(clock.wall_ns(), clock.wall_ns() + (rounds + 200) * _TICK_NS, _TICK_NS)
    frames = [RawFrame(depth_frame(n, now), now) for n, now in enumerate(times, 1)]
    calm_gc()
    for n, frame in enumerate(frames, 1):
        desk.flip.every = 1 if n > 200 else 0
        marks.at.clear()
        marks.armed = True
        started = time.perf_counter_ns()
        base.deliver_at(clock.mono_ns(), "connector.binanceusdm", frame)
        base.advance_to(clock.mono_ns() + _COMMIT_NS)
        marks.armed = False
        at = marks.at
        if "encode" in at:
            out.append((at["encode"] - started - (at["commit"] - at["journal"])) / 1e3)
            if staged:
                _add_stages(stages, marks, started)
        base.advance_to(clock.mono_ns() + _TICK_NS - _COMMIT_NS)
    gc.unfreeze()
    return {**row(out), "stages": {stage: row(values) for stage, values in stages.items()}}


def _add_stages(stages: dict[str, list[float]], marks: _Marks, started: int) -> None:
    """Microseconds by stage of one tick, the commit left out."""
    last = started
    for stage in STAGES:
        at = marks.at[stage]
        if stage != "commit":
            stages.setdefault(stage, []).append((at - last) / 1e3)
        last = at


def _without_source(setup: Any) -> Any:
    return msgspec.structs.replace(setup, source=None, paper_dir=None, publish_ns=10_000_000_000)


async def _warm_up(base: LoopBase, flip: FlipStrategy) -> int:
    """Frames without orders until no gate holds the fresh book; returns the next frame's number."""
    flip.every = 0
    n = 1
    while n < 20 or base.actor("governor").brakes:
        base.inject("connector.binanceusdm", RawFrame(depth_frame(n, wall_ns()), wall_ns()))
        n += 1
        await asyncio.sleep(0.02)
        if n > 500:
            raise RuntimeError(f"the bench desk does not come up: {base.actor('governor').brakes}")
    flip.every = 1
    return n


def _settled(arbiter: Any) -> bool:
    return not any(desk.orders for desk in arbiter._core._desks.values())  # noqa: SLF001


async def _until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the desk under measurement is not changed to tell
            await asyncio.sleep(0.0005)


def _instrument(base: LoopBase, marks: _Marks, flip: FlipStrategy, sent: asyncio.Event) -> None:
    """Put marks around the cores' calls; nothing else is changed."""
    _mark_stages(base, marks, flip)
    _mark_bytes(base, marks, sent)


def _mark_stages(base: LoopBase, marks: _Marks, flip: FlipStrategy) -> None:
    connector, strategy = base.actor("connector.binanceusdm"), base.actor("strategy.flip")
    arbiter, governor = base.actor("arbiter"), base.actor("governor")
    orders, gateway = base.actor("orders"), base.actor("gateway.binanceusdm")
    connector._codec.decode = marks.wrap("decode", connector._codec.decode)  # noqa: SLF001
    connector._synced = marks.wrap("book", connector._synced)  # noqa: SLF001
    flip.on_book = marks.wrap("strategy", flip.on_book)  # type: ignore[method-assign]
    strategy._core = flip  # noqa: SLF001
    arbiter._core.on_intent = marks.wrap("arbiter", arbiter._core.on_intent)  # noqa: SLF001
    governor._core.decide = marks.wrap("governor", governor._core.decide)  # noqa: SLF001
    _mark_commit(base, marks)
    core_released = orders._core.release_alone  # noqa: SLF001
    orders._core.release_alone = marks.wrap("release", core_released)  # noqa: SLF001
    gateway._refusal = marks.wrap("permit", gateway._refusal)  # noqa: SLF001


def _mark_commit(base: LoopBase, marks: _Marks) -> None:
    journal = base.actor("journal")
    journal.on = marks.wrap("journal", journal.on)
    if journal._memory is None:  # noqa: SLF001
        journal.on = marks.begin("commit", journal.on, RowsCommitted)
    else:
        journal._durable = marks.begin("commit", journal._durable, AppendRows)  # noqa: SLF001


def _mark_bytes(base: LoopBase, marks: _Marks, sent: asyncio.Event) -> None:
    gateway = base.actor("gateway.binanceusdm")
    write = gateway._write  # noqa: SLF001

    def timed_write(payload: bytes, msg: Any) -> None:
        if marks.armed and type(msg) is NewOrderSingle:
            marks.at.setdefault("encode", time.perf_counter_ns())
            sent.set()
        write(payload, msg)

    gateway._write = timed_write  # noqa: SLF001


def _commit_writer(directory: Path) -> tuple[JournalWriter, dict[int, asyncio.Future[None]], list[int]]:
    loop = asyncio.get_running_loop()
    waiting: dict[int, asyncio.Future[None]] = {}

    def committed(ids: Any, _last_seq: int) -> None:
        def done() -> None:
            for i in ids:
                waiting.pop(i).set_result(None)

        loop.call_soon_threadsafe(done)

    writer = JournalWriter(SqliteJournal(directory / "reference.db"), committed, print)
    return writer, waiting, [0]


async def _one_commit(held: tuple[JournalWriter, dict[int, asyncio.Future[None]], list[int]]) -> float:
    """One durable commit of one order-sized row through the writer thread, microseconds."""
    writer, waiting, count = held
    count[0] += 1
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting[count[0]] = future
    row = _reference_row(count[0])
    started = time.perf_counter_ns()
    writer.submit(count[0], (row,))
    await future
    return (time.perf_counter_ns() - started) / 1e3


def _reference_row(n: int) -> RowDraft:
    return RowDraft(
        ts_ns=wall_ns(),
        kind=JournalKind.PLACE,
        venue="binanceusdm",
        cl_ord_id=f"ref-{n}",
        exec_id=None,
        parent_id="bench",
        epoch=1,
        body=b"x" * 900,
    )
