"""Resident memory of a whole running desk over time, and its slope.

The desk's processes are forks and share pages. What the tree holds is the sum of proportional set sizes, in which a
shared page counts once; the sum of resident set sizes, in which it counts in each process, is stated beside it.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from supervision.drill_desk import DrillDesk
from supervision.status import pss_mb, rss_mb


def run(minutes: float) -> dict[str, Any]:
    """Run a desk on the generator for ``minutes``; memory in MB, slope in MB an hour over the second half."""
    with tempfile.TemporaryDirectory(prefix="propdesk-memory-") as directory:
        desk = DrillDesk(Path(directory))
        desk.start()
        samples: list[tuple[float, float]] = []
        by_process: dict[str, float] = {}
        summed = 0.0
        try:
            desk.wait_trading(orders=1)
            began = desk.clock.mono_ns()
            pause = threading.Event()
            while (at := (desk.clock.mono_ns() - began) / 60e9) < minutes:
                pids = desk.pids()
                by_process = {name: round(pss_mb(pid), 1) for name, pid in pids.items()}
                summed = max(summed, sum(rss_mb(pid) for pid in pids.values()))
                samples.append((at, sum(by_process.values())))
                print(f"memory: {at:.1f} min {samples[-1][1]:.0f} MB", file=sys.stderr, flush=True)
                pause.wait(min(15.0, minutes * 60 / 20))
            orders = len(desk.sent())
        finally:
            stop_s = desk.stop()
    return {
        "minutes": minutes,
        "total_mb_max": round(max(mb for _, mb in samples), 1),
        "total_mb_last": round(samples[-1][1], 1),
        "rss_summed_mb_max": round(summed, 1),
        "by_process_mb": by_process,
        "slope_mb_per_hour": round(_slope(samples[len(samples) // 2 :]) * 60, 2),
        "orders": orders,
        "stop_s": round(stop_s, 2),
        "synthetic": True,
    }


def _slope(samples: list[tuple[float, float]]) -> float:
    """Least squares, MB a minute."""
    n = len(samples)
    if n < 2:
        return 0.0
    mean_t = sum(t for t, _ in samples) / n
    mean_m = sum(m for _, m in samples) / n
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return sum((t - mean_t) * (m - mean_m) for t, m in samples) / spread if spread else 0.0
