"""What the desk's benchmarks stand on: a small desk, the peers' strategy, frames of real shape, the peers themselves.

Measures nothing.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import RawFrame
from adapters.clock import SystemClock, VirtualClock
from adapters.config import DeskConfig, load_config
from adapters.wirelog import SessionFacts
from supervision.cell import calm_gc
from supervision.replay import Replay
from supervision.supervisor import ChildStart
from supervision.wiring import Wiring
from trading.market.events import BookTop
from trading.orders.messages import Intent, TargetIntent, Urgency

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"

SYMBOL = "BTCUSDT"

LOW = 618_000

wall_ns = SystemClock.wall_ns


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
    has_timer = False

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
            # By position, as the desk's own strategies build theirs.
            TargetIntent(
                f"flip:{self.n}",
                "flip",
                USDM,
                self.target,
                Urgency.AGGRESSIVE,
                None,
                1.0,
                60_000_000_000,
                ("bench",),
                f"{USDM}@{top.update_id}",
                now_ns,
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
            "execution": {"orders": "simulated"},
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
    bid = LOW + n % 3
    gone_asks = [f'["{t / 10:.2f}","0.000"]' for t in range(LOW + 1, bid + 1)]
    gone_bids = [f'["{t / 10:.2f}","0.000"]' for t in range(bid + 1, LOW + 3)]
    bids = ",".join(gone_bids + [f'["{(bid - i) / 10:.2f}","{2 + i % 5}.000"]' for i in range(10)])
    asks = ",".join(gone_asks + [f'["{(bid + 1 + i) / 10:.2f}","{3 + i % 5}.000"]' for i in range(10)])
    now = now_ns // 1_000_000
    return (
        f'{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":{now},"T":{now},"s":"{SYMBOL}",'
        f'"U":{n * 10 + 1},"u":{n * 10 + 10},"pu":{n * 10},"b":[{bids}],"a":[{asks}]}}}}'
    ).encode()


def snapshot_body() -> bytes:
    """A USD-M REST depth body of 200 levels a side around `LOW`."""
    bids = ",".join(f'["{(618_000 - i) / 10:.2f}","5.000"]' for i in range(200))
    asks = ",".join(f'["{(618_001 + i) / 10:.2f}","5.000"]' for i in range(200))
    now = wall_ns() // 1_000_000
    return f'{{"lastUpdateId":12,"E":{now},"T":{now},"bids":[{bids}],"asks":[{asks}]}}'.encode()


def without_pauses(wiring: Wiring, table: Any) -> Any:
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


class SilentDesk:
    """A desk in virtual time with the peers' do-nothing strategy."""

    def __init__(self, directory: Path, facts: SessionFacts, *, unpaced: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = bench_config(directory)
        if facts.symbols:
            config = config.model_copy(update={"session": "bench"})
        self.runner = Replay(config, facts, directory=directory, alter=without_pauses if unpaced else None)
        self.runner.boot(1_700_000_000_000_000_000)
        self.base = self.runner.base
        self.flip = FlipStrategy(every=0)
        self.base.actor("strategy.flip")._core = self.flip  # noqa: SLF001
        self.clock: VirtualClock = self.runner._clock  # noqa: SLF001

    def run(self, events: list[Any], step_ns: int) -> float:
        """Events a second through connector, simulated venue, market, governor, arbiter, portfolio and strategy."""
        base, clock = self.base, self.clock
        connector = base.actor("connector.binanceusdm")
        connector._codec.decode = lambda event, _ts: event  # noqa: SLF001 - prebuilt, as the peers' events are
        mono, origin = clock.mono_ns(), clock.wall_ns()
        frames = [RawFrame(event, origin + i * step_ns) for i, event in enumerate(events)]
        deliver_at = base.deliver_at
        thresholds = gc.get_threshold()
        calm_gc()  # as the daemon and the replay do
        began = time.perf_counter()
        for frame in frames:
            deliver_at(mono, "connector.binanceusdm", frame)
            mono += step_ns
        took = time.perf_counter() - began
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        return len(events) / took


def peer_results(python: str, script: Path, *args: str) -> dict[str, Any]:
    """One peer benchmark in its own environment; its results by name."""
    env = {**os.environ, "NREPS": "1"}
    done = subprocess.run(
        [python, str(script), *args], capture_output=True, text=True, env=env, check=False, timeout=300
    )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return dict(json.loads(line)["results"])
    raise RuntimeError(f"{script.name} {' '.join(args)} gave no result: {done.stderr[-500:]}")
