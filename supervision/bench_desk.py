"""Benchmarks of the desk itself: tick to order by stage, and replay; peers run in their own environment beside it.

Every number is a median of interleaved rounds in one run; goals are ratios. Measures, never asserts.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import RawFrame, SnapshotFrame, StartActor
from adapters.clock import SystemClock, VirtualClock
from adapters.config import DeskConfig, load_config
from adapters.journal.store import SqliteJournal
from adapters.journal.writer import JournalWriter
from adapters.wirelog import SessionFacts, inspect_session, open_session
from supervision.bases.loop import LoopBase
from supervision.cell import calm_gc, new_loop
from supervision.plan import paths_of
from supervision.replay import Replay, recorded_lines, replay
from supervision.supervisor import ChildStart, Supervisor
from supervision.wiring import INSTRUMENTS, Wiring, restrict
from trading.market.events import BookTicker, BookTop, DepthSnapshot, DepthUpdate
from trading.orders.journal_rows import JournalKind, RowDraft
from trading.orders.messages import Intent, NewOrderSingle, TargetIntent, Urgency

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
_SYMBOL = "BTCUSDT"
_LOW = 618_000
_wall_ns = SystemClock.wall_ns
_COMMIT_NS = 450_000


def percentile(values: list[float], share: float) -> float:
    """A percentile of a list, 0 when empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def row(values: list[float]) -> dict[str, float]:
    """Median and 99th percentile of microseconds."""
    return {"p50_us": round(percentile(values, 0.5), 1), "p99_us": round(percentile(values, 0.99), 1), "n": len(values)}


class FlipStrategy:
    """The peers' benchmark strategy: an order on every tick (or none); buys and sells alternate."""

    strategy_id = "flip"

    def __init__(self, every: int = 1) -> None:
        self.instruments = (USDM,)
        self.every = every
        self.n = 0
        self.target = 0

    def on_book(self, top: BookTop, now_ns: int) -> list[Intent]:
        """Flip the target at every ``every``-th tick."""
        self.n += 1
        if not self.every or self.n % self.every:
            return []
        self.target = 0 if self.target else 4
        return [
            TargetIntent(
                intent_id=f"flip:{self.n}",
                strategy_id="flip",
                instrument_id=USDM,
                target_lots=self.target,
                urgency=Urgency.AGGRESSIVE,
                limit_ticks=None,
                confidence=1.0,
                ttl_ns=60_000_000_000,
                reasons=("bench",),
                cause=f"{USDM}@{top.update_id}",
                ts_init_ns=now_ns,
            )
        ]

    def on_trade(self, *_: object) -> list[Intent]:
        """Nothing."""
        return []

    on_mark = on_trade
    on_fill = on_trade
    on_timer = on_trade

    def restore_position(self, *_: object) -> None:
        """Nothing to remember."""

    def view(self) -> dict[str, object]:
        """For operators."""
        return {"n": self.n}


def bench_config(data: Path) -> DeskConfig:
    """One venue, one strategy, limits out of the way, no simulated latency."""
    return load_config(
        None,
        overrides={
            "data_dir": str(data),
            "venues": {
                "binanceusdm": {
                    "instruments": [USDM],
                    "sim": {
                        "order_latency_ms": 0,
                        "report_latency_ms": 0,
                        "jitter_ms": 0,
                        "initial_balances": {"USDT": Decimal(10_000_000)},
                    },
                }
            },
            "strategies": {"flip": {"kind": "maker", "instruments": [USDM], "budget_usd": Decimal(100_000)}},
            "placement": {"all": ["desk", "venue:binanceusdm", "ops"]},
            "risk": {
                "throttle_orders_per_sec": 1000,
                "daily_loss_cap_usd": Decimal(1_000_000),
                "stale_ms": 3_600_000,
                "max_inflight_orders": 1000,
            },
        },
    )


def depth_frame(n: int, now_ns: int) -> bytes:
    """A USD-M depth diff, 10 levels a side; the touch moves through three ticks in turn (two would be a flip-flop)."""
    bid = _LOW + n % 3
    gone_asks = [f'["{t / 10:.2f}","0.000"]' for t in range(_LOW + 1, bid + 1)]
    gone_bids = [f'["{t / 10:.2f}","0.000"]' for t in range(bid + 1, _LOW + 3)]
    bids = ",".join(gone_bids + [f'["{(bid - i) / 10:.2f}","{2 + i % 5}.000"]' for i in range(10)])
    asks = ",".join(gone_asks + [f'["{(bid + 1 + i) / 10:.2f}","{3 + i % 5}.000"]' for i in range(10)])
    now = now_ns // 1_000_000
    return (
        f'{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":{now},"T":{now},"s":"{_SYMBOL}",'
        f'"U":{n * 10 + 1},"u":{n * 10 + 10},"pu":{n * 10},"b":[{bids}],"a":[{asks}]}}}}'
    ).encode()


def _snapshot() -> bytes:
    bids = ",".join(f'["{(618_000 - i) / 10:.2f}","5.000"]' for i in range(200))
    asks = ",".join(f'["{(618_001 + i) / 10:.2f}","5.000"]' for i in range(200))
    now = _wall_ns() // 1_000_000
    return f'{{"lastUpdateId":12,"E":{now},"T":{now},"bids":[{bids}],"asks":[{asks}]}}'.encode()


class _Marks:
    """The moment each stage of one tick was left, nanoseconds of the performance counter."""

    def __init__(self) -> None:
        self.at: dict[str, int] = {}
        self.armed = False

    def wrap(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call`` with its first return after arming noted."""
        at, clock = self.at, time.perf_counter_ns

        def timed(*args: Any, **kw: Any) -> Any:
            out = call(*args, **kw)
            if self.armed and stage not in at:
                at[stage] = clock()
            return out

        return timed


STAGES = ("decode", "book", "strategy", "arbiter", "governor", "commit", "permit", "encode")


def tick_to_order(*, quick: bool, peers_python: str | None, peers_dir: Path | None) -> dict[str, Any]:
    """Bytes in to bytes out with the journal on this disk, by stage, beside one durable commit of the same thread."""
    rounds = 300 if quick else 2_000
    with tempfile.TemporaryDirectory(prefix="propdesk-bench-") as directory:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            out = runner.run(_tick_to_order(Path(directory), rounds))
        out["without_commit"] = _hot(Path(directory), rounds)
    if peers_python and peers_dir is not None:
        out["nautilus"] = _peer(peers_python, peers_dir / "nautilus_bt.py", "latency")
        peer = out["nautilus"].get("tick->order at exec client (Python strategy, market order)")
        if peer:
            out["without_commit_vs_nautilus_p50"] = round(out["without_commit"]["p50_us"] / peer["p50_us"], 3)
    return out


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
        ("core", _unpaced(wiring, wiring.core_tree("bench"))),
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
    base.inject("connector.binanceusdm", SnapshotFrame(_SYMBOL, _snapshot(), _wall_ns()))
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
        frame = depth_frame(n, _wall_ns())
        n += 1
        marks.armed = True
        started = time.perf_counter_ns()
        base.inject("connector.binanceusdm", RawFrame(frame, _wall_ns()))
        try:
            async with asyncio.timeout(0.5):
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
        free.append(total - stages["commit"][-1])
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
        "goal": {"ratio_p50": 2.0, "ratio_p99": 4.0},
    }


def _hot(directory: Path, rounds: int) -> dict[str, Any]:
    """Tick to order without the commit, tick after tick without a pause, as the peer's harness runs its own.

    Virtual time: the commit is a moment of the clock that costs nothing; bytes in until it is asked for, and from
    there to the bytes out, are both counted.
    """
    desk = _Silent(directory / "hot", SessionFacts(), unpaced=True)
    base, clock = desk.base, desk.clock
    marks = _Marks()
    _instrument(base, marks, desk.flip, asyncio.Event())
    base.inject("connector.binanceusdm", SnapshotFrame(_SYMBOL, _snapshot(), clock.wall_ns()))
    base.run_until_idle()
    out: list[float] = []
    stages: dict[str, list[float]] = {}
    calm_gc()
    for n in range(1, rounds + 200):
        frame = RawFrame(depth_frame(n, clock.wall_ns()), clock.wall_ns())
        desk.flip.every = 1 if n > 200 else 0
        marks.at.clear()
        marks.armed = True
        started = time.perf_counter_ns()
        base.inject("connector.binanceusdm", frame)
        base.run_until_idle()
        asked = time.perf_counter_ns()
        base.advance_to(clock.mono_ns() + _COMMIT_NS)
        marks.armed = False
        if "encode" in marks.at:
            _add_stages(stages, marks, started, asked)
            out.append((asked - started + marks.at["encode"] - marks.at["commit"]) / 1e3)
        base.advance_to(clock.mono_ns() + 30_000_000)
    gc.unfreeze()
    return {**row(out), "stages": {stage: row(values) for stage, values in stages.items()}}


def _add_stages(stages: dict[str, list[float]], marks: _Marks, started: int, asked: int) -> None:
    """Stages of one tick without the commit; "journal" is what follows approval until the commit is asked for."""
    last = started
    for stage in ("decode", "book", "strategy", "arbiter", "governor"):
        stages.setdefault(stage, []).append((marks.at[stage] - last) / 1e3)
        last = marks.at[stage]
    stages.setdefault("journal", []).append((asked - last) / 1e3)
    last = marks.at["commit"]
    for stage in ("permit", "encode"):
        stages.setdefault(stage, []).append((marks.at[stage] - last) / 1e3)
        last = marks.at[stage]


def _without_source(setup: Any) -> Any:
    return msgspec.structs.replace(setup, source=None, paper_dir=None, publish_ns=10_000_000_000)


async def _warm_up(base: LoopBase, flip: FlipStrategy) -> int:
    """Frames without orders until no gate holds the fresh book; returns the next frame's number."""
    flip.every = 0
    n = 1
    while n < 20 or base.actor("governor").brakes:
        base.inject("connector.binanceusdm", RawFrame(depth_frame(n, _wall_ns()), _wall_ns()))
        n += 1
        await asyncio.sleep(0.02)
        if n > 500:
            raise RuntimeError(f"the bench desk does not come up: {base.actor('governor').brakes}")
    flip.every = 1
    return n


def _unpaced(wiring: Wiring, table: Any) -> Any:
    """The core without its deliberate pauses between orders: the bench wants one at every tick."""
    governor, arbiter = wiring.governor(), wiring.arbiter()
    limits = msgspec.structs.replace(governor.limits, orders_per_sec=100_000, orders_per_symbol_per_min=1_000_000)
    config = msgspec.structs.replace(
        arbiter.config,
        min_order_interval_ms=0,
        max_orders_per_sec=100_000,
        orders_per_symbol_per_min=1_000_000,
        stale_book_ms=3_600_000,
    )
    starts = table.starts
    starts["governor"] = ChildStart(
        starts["governor"].actor_class, lambda: msgspec.structs.replace(governor, limits=limits)
    )
    starts["arbiter"] = ChildStart(
        starts["arbiter"].actor_class, lambda: msgspec.structs.replace(arbiter, config=config)
    )
    return table


def _settled(arbiter: Any) -> bool:
    return not any(desk.orders for desk in arbiter._core._desks.values())  # noqa: SLF001


async def _until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the desk under measurement is not changed to tell
            await asyncio.sleep(0.0005)


def _instrument(base: LoopBase, marks: _Marks, flip: FlipStrategy, sent: asyncio.Event) -> None:
    """Put marks around the cores' calls; nothing else is changed."""
    connector, strategy = base.actor("connector.binanceusdm"), base.actor("strategy.flip")
    arbiter, governor = base.actor("arbiter"), base.actor("governor")
    orders, gateway = base.actor("orders"), base.actor("gateway.binanceusdm")
    connector._codec.decode = marks.wrap("decode", connector._codec.decode)  # noqa: SLF001
    connector._synced = marks.wrap("book", connector._synced)  # noqa: SLF001
    flip.on_book = marks.wrap("strategy", flip.on_book)  # type: ignore[method-assign]
    strategy._core = flip  # noqa: SLF001
    arbiter._core.on_intent = marks.wrap("arbiter", arbiter._core.on_intent)  # noqa: SLF001
    governor._core.decide = marks.wrap("governor", governor._core.decide)  # noqa: SLF001
    core_committed = orders._core.on_committed  # noqa: SLF001
    orders._core.on_committed = marks.wrap("commit", core_committed)  # noqa: SLF001
    gateway._refusal = marks.wrap("permit", gateway._refusal)  # noqa: SLF001
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

    def committed(ids: Any) -> None:
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
        ts_ns=_wall_ns(),
        kind=JournalKind.PLACE,
        venue="binanceusdm",
        cl_ord_id=f"ref-{n}",
        exec_id=None,
        parent_id="bench",
        epoch=1,
        body=b"x" * 900,
    )


# --- Replay -------------------------------------------------------------------------------------------


def replay_bench(*, quick: bool, data: Path | None, peers_python: str | None, peers_dir: Path | None) -> dict[str, Any]:
    """The recordings through the whole path, then the peers' own events through ours and theirs, in turn."""
    out: dict[str, Any] = {"goal": {"times_real_time": 20, "quotes_vs_cython": 1.0, "depth_vs_cython": 2.0}}
    if data is not None and (data / "binance/l2_raw/2024-08-08").exists():
        path = data / "binance/l2_raw/2024-08-08"
        session = open_session(path)
        facts = inspect_session(session)
        config, left_out = restrict(load_config(None, overrides={"session": str(path)}), facts)
        runs = [
            replay(config, facts, recorded_lines(session), name=path.name, left_out=left_out)
            for _ in range(1 if quick else 3)
        ]
        out["recording"] = {
            "times_real_time": statistics.median(r.times_real_time for r in runs),
            "events_per_s": round(statistics.median(r.events / r.wall_s for r in runs)),
            "events": runs[0].events,
            "fills": runs[0].fills,
        }
    n = 100_000 if quick else 300_000
    quotes: list[float] = []
    depth: list[float] = []
    cython_q: list[float] = []
    cython_d: list[float] = []
    rust_q: list[float] = []
    rust_d: list[float] = []
    with_peers = peers_python is not None and peers_dir is not None
    for _ in range(1 if quick else 3):
        quotes.append(_our_quotes(n))
        if with_peers:
            assert peers_python is not None
            assert peers_dir is not None
            cython_q.append(_rate(_peer(peers_python, peers_dir / "nautilus_bt.py", "quotes", str(n))))
            rust_q.append(_rate(_peer(peers_python, peers_dir / "nautilus_rust_bt.py", "quotes", str(n))))
        depth.append(_our_depth(n, peers_python, peers_dir))
        if with_peers:
            assert peers_python is not None
            assert peers_dir is not None
            cython_d.append(_rate(_peer(peers_python, peers_dir / "nautilus_bt.py", "deltas", str(n))))
            rust_d.append(_rate(_peer(peers_python, peers_dir / "nautilus_rust_bt.py", "deltas", str(n))))
    out["quotes_per_s"] = round(statistics.median(quotes))
    out["depth_msgs_per_s"] = round(statistics.median(depth))
    if with_peers:
        out["nautilus_cython"] = {
            "quotes_per_s": round(statistics.median(cython_q)),
            "depth_msgs_per_s": round(statistics.median(cython_d)),
        }
        out["nautilus_rust"] = {
            "quotes_per_s": round(statistics.median(rust_q)),
            "depth_msgs_per_s": round(statistics.median(rust_d)),
        }
        out["quotes_vs_cython"] = round(statistics.median(a / b for a, b in zip(quotes, cython_q, strict=True)), 2)
        out["depth_vs_cython"] = round(statistics.median(a / b for a, b in zip(depth, cython_d, strict=True)), 2)
        out["quotes_vs_rust"] = round(statistics.median(a / b for a, b in zip(quotes, rust_q, strict=True)), 2)
        out["depth_vs_rust"] = round(statistics.median(a / b for a, b in zip(depth, rust_d, strict=True)), 2)
    return out


class _Silent:
    """A desk in virtual time with the peers' do-nothing strategy."""

    def __init__(self, directory: Path, facts: SessionFacts, *, unpaced: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = bench_config(directory)
        if facts.symbols:
            config = config.model_copy(update={"session": "bench"})
        self.runner = Replay(config, facts, directory=directory, alter=_unpaced if unpaced else None)
        self.runner.boot(1_700_000_000_000_000_000)
        self.base = self.runner.base
        self.flip = FlipStrategy(every=0)
        self.base.actor("strategy.flip")._core = self.flip  # noqa: SLF001
        self.clock: VirtualClock = self.runner._clock  # noqa: SLF001

    def run(self, events: list[Any], step_ns: int) -> float:
        """Events a second through connector, simulated venue, market, governor, arbiter, portfolio and strategy."""
        base, clock = self.base, self.clock
        connector = base.actor("connector.binanceusdm")
        inject, idle, advance, next_timer = base.inject, base.run_until_idle, base.advance_to, base.next_timer_ns
        start = clock.mono_ns()
        connector._codec.decode = lambda event, _ts: event  # noqa: SLF001 - prebuilt, as the peers' events are
        origin = clock.wall_ns()
        frames = [RawFrame(event, origin + i * step_ns) for i, event in enumerate(events)]
        began = time.perf_counter()
        mono = start
        for frame in frames:
            mono += step_ns
            due = next_timer()
            if due is not None and due <= mono:
                advance(mono)
            else:
                clock.advance_to_mono(mono)
            inject("connector.binanceusdm", frame)
            idle()
        return len(events) / (time.perf_counter() - began)


def _our_quotes(n: int) -> float:
    import random  # noqa: PLC0415

    rnd = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="propdesk-bench-") as directory:
        facts = SessionFacts(symbols=(("binanceusdm", _SYMBOL),), venues=("binanceusdm",))
        desk = _Silent(Path(directory), facts)
        mid = 650_000
        events: list[Any] = []
        origin = desk.clock.wall_ns()
        for i in range(n):
            mid += rnd.randint(-3, 3)
            ts = origin + i * 1_000_000
            events.append(
                BookTicker(
                    instrument_id=USDM,
                    update_id=i + 1,
                    bid_ticks=mid,
                    bid_lots=1_000,
                    ask_ticks=mid + 1,
                    ask_lots=1_000,
                    ts_event_ns=ts,
                    ts_recv_ns=ts,
                )
            )
        return desk.run(events, 1_000_000)


def _our_depth(n: int, peers_python: str | None, peers_dir: Path | None) -> float:
    """The peers' own stream (25 levels a message), made by their generator so that both see the same events."""
    if peers_python is None or peers_dir is None:
        return 0.0
    code = (
        f"import sys; sys.path.insert(0, {str(peers_dir)!r}); from _common import gen_stream; import json; "
        f"print(json.dumps(gen_stream({max(1000, n // 25)})))"
    )
    done = subprocess.run([peers_python, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    snap, msgs = json.loads(done.stdout)
    instrument = INSTRUMENTS[USDM]

    def levels(side: list[list[str]]) -> list[tuple[int, int]]:
        return [(instrument.ticks(px), instrument.lots(qty)) for px, qty in side]

    with tempfile.TemporaryDirectory(prefix="propdesk-bench-") as directory:
        desk = _Silent(Path(directory), SessionFacts())
        origin = desk.clock.wall_ns()
        events: list[Any] = [
            DepthSnapshot(
                instrument_id=USDM,
                last_update_id=1,
                bids=levels(snap[0]),
                asks=levels(snap[1]),
                ts_event_ns=origin,
                ts_recv_ns=origin,
            )
        ]
        for i, (bids, asks) in enumerate(msgs):
            ts = origin + i * 100_000_000
            events.append(
                DepthUpdate(
                    instrument_id=USDM,
                    first_update_id=i + 1,
                    final_update_id=i + 2,
                    prev_final_update_id=i + 1,
                    bids=levels(bids),
                    asks=levels(asks),
                    ts_event_ns=ts,
                    ts_recv_ns=ts,
                )
            )
        return desk.run(events, 100_000_000)


def _peer(python: str, script: Path, *args: str) -> dict[str, Any]:
    """One peer benchmark in its own environment; its results by name."""
    env = {**os.environ, "NREPS": "1"}
    done = subprocess.run(
        [python, str(script), *args], capture_output=True, text=True, env=env, check=False, timeout=300
    )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return dict(json.loads(line)["results"])
    raise RuntimeError(f"{script.name} {' '.join(args)} gave no result: {done.stderr[-500:]}")


def _rate(results: dict[str, Any]) -> float:
    return float(next(row["events_s"] for row in results.values() if isinstance(row, dict) and "events_s" in row))
