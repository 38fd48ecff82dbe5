"""Many worlds, on all cores, until so many ambiguous submits have been seen.

Owns the sum and its verdict; a world is `ambiguous`'s. A world is named by its seed and is the same whenever it is run.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal

import msgspec

from adapters.binance.instruments import INSTRUMENTS
from adapters.clock import SystemClock
from supervision.parent import die_with_parent
from supervision.simulation.ambiguous import World, WorldResult, WorldSpec
from trading.instruments import Instrument

WORLD_INTENTS = 3_000
NUMBERED_EVERY = 8
"""One world in eight has a venue that numbers its account's events, as the simulated venue does by itself."""
FAILURES_KEPT = 20


class Campaign(msgspec.Struct, kw_only=True):
    """What was found in all worlds; ``failures`` are of the first worlds that were not clean."""

    command: str = "sim ambiguous"
    synthetic: bool = True
    passed: bool = False
    worlds: int = 0
    intents: int = 0
    submits: int = 0
    ambiguous: int = 0
    resubmits: int = 0
    unknowns: int = 0
    crashes: int = 0
    executions: int = 0
    duplicates: int = 0
    lost: int = 0
    invented: int = 0
    unknown_unresolved: int = 0
    not_at_rest: int = 0
    position_residual: str = "0"
    first_seed: int = 0
    took_s: float = 0.0
    failures: list[WorldResult] = []

    def take(self, result: WorldResult, intents: int) -> None:
        """Add a world."""
        self.worlds += 1
        self.intents += intents
        for name in (
            "submits",
            "ambiguous",
            "resubmits",
            "unknowns",
            "crashes",
            "executions",
            "duplicates",
            "lost",
            "invented",
            "unknown_unresolved",
            "not_at_rest",
        ):
            setattr(self, name, getattr(self, name) + getattr(result, name))
        residual = Decimal(self.position_residual) + abs(Decimal(result.position_residual))
        self.position_residual = str(residual.normalize())
        if not result.clean and len(self.failures) < FAILURES_KEPT:
            self.failures.append(result)


def spec_of(seed: int, intents: int = WORLD_INTENTS) -> WorldSpec:
    """The world of a seed."""
    return WorldSpec(seed=seed, intents=intents, numbered=seed % NUMBERED_EVERY == 0)


def traded() -> Instrument:
    """What all worlds trade."""
    return next(one for one in INSTRUMENTS if one.instrument_id == "BINANCEUSDM:PERP:BTC-USDT:LINEAR")


def run_world(seed: int, intents: int = WORLD_INTENTS) -> WorldResult:
    """One world, whole."""
    return World(spec_of(seed, intents), traded()).run()


def run_campaign(
    n: int, *, seed: int, jobs: int, say: Callable[[Campaign], None], intents: int = WORLD_INTENTS
) -> Campaign:
    """Worlds from ``seed`` on until ``n`` ambiguous submits were made; ``say`` is called after each world."""
    found = Campaign(first_seed=seed)
    clock = SystemClock()
    began_ns = clock.mono_ns()
    for result in _worlds(seed, jobs, intents):
        found.take(result, intents)
        found.took_s = round((clock.mono_ns() - began_ns) / 1e9, 1)
        say(found)
        if found.ambiguous >= n or len(found.failures) >= FAILURES_KEPT:
            break
    found.passed = not found.failures and found.ambiguous >= n
    return found


def _worlds(seed: int, jobs: int, intents: int) -> Iterator[WorldResult]:
    """Results in order of seeds, so that the same campaign is the same worlds on any number of cores."""
    if jobs == 1:
        while True:
            yield run_world(seed, intents)
            seed += 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=die_with_parent, initargs=(os.getpid(),)) as pool:
        waiting = deque(pool.submit(run_world, one, intents) for one in range(seed, seed + jobs * 2))
        seed += jobs * 2
        try:
            while True:
                yield waiting.popleft().result()
                waiting.append(pool.submit(run_world, seed, intents))
                seed += 1
        finally:
            pool.shutdown(cancel_futures=True)
