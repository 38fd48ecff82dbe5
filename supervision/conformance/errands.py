"""How a matrix is worked off: errands over processes, several rigs at once in each, and no case that stops another.

Owns the concurrency and the words on stderr as it goes. Owns no case and no verdict: `matrix` has those of market data,
`order_matrix` those of orders.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Protocol, TypeVar

import msgspec

from adapters.clock import SystemClock
from supervision.parent import die_with_parent

RIGS_AT_ONCE = 6
"""In one loop: a desk and its venue wait most of the time."""
MUTATED_ON = ("binanceusdm", "okx", "bybit", "binance", "binancecoinm")
"""Guards are taken out on the first of these that a case has."""

Say = Callable[[str], None]


class Errand(msgspec.Struct, frozen=True):
    """One case on one venue, with the named guard taken out of the desk or with all of them."""

    case_id: str
    venue: str
    mutant: str = ""


class Named(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """As the runbook has it."""


class Told(Protocol):
    """What an outcome has that the words and the order of outcomes are made of."""

    @property
    def case(self) -> str:
        """The case's id."""

    @property
    def venue(self) -> str:
        """Where it ran."""

    @property
    def mutant(self) -> str:
        """The guard that was taken out, or nothing."""

    @property
    def green(self) -> bool:
        """Whether it is as it should be."""

    @property
    def reason(self) -> str:
        """Why not."""

    @property
    def took_s(self) -> float:
        """Seconds."""


C = TypeVar("C", bound=Named)
O = TypeVar("O", bound=Told)  # noqa: E741 - an outcome


def found_by_id(cases: Iterable[C], case_id: str) -> C:
    """A case; ``ValueError`` names one that is not there."""
    there = {case.id: case for case in cases}
    if case_id not in there:
        raise ValueError(f"no case {case_id!r}; cases: {', '.join(there)}")
    return there[case_id]


def known_venues(venues: Sequence[str], known: Iterable[str]) -> None:
    """``ValueError`` names a venue that is not among ``known``."""
    names = list(known)
    for venue in venues:
        if venue not in names:
            raise ValueError(f"no venue {venue!r}; venues: {', '.join(names)}")


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of all do not exceed; None without values."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)] if ordered else None


async def run_share(
    share: Sequence[Errand],
    run: Callable[[Errand], Awaitable[O]],
    broke_off: Callable[[Errand, str], O],
    said: Callable[[O], str],
    say: Say,
) -> list[O]:
    """The errands of one process. ``broke_off`` is the outcome of one that raised: red, with what it raised."""
    gate = asyncio.Semaphore(RIGS_AT_ONCE)

    async def one(errand: Errand) -> O:
        async with gate:
            try:
                outcome = await run(errand)
            except Exception as error:  # noqa: BLE001 - one case that cannot be tried is red and stops no other
                outcome = broke_off(errand, f"the case broke off: {type(error).__name__}: {error}")
        say(_line(outcome, said))
        return outcome

    return await asyncio.gather(*(one(errand) for errand in share))


def _line(o: O, said: Callable[[O], str]) -> str:
    word = "ok " if o.green else "RED"
    what = f"without: {o.mutant}" if o.mutant else said(o)
    return f"{word} {o.case} {o.venue}: {what} ({o.took_s} s){'' if o.green else ': ' + (o.reason or 'stayed green')}"


def to_stderr(text: str) -> None:
    """The words of a process that is one of several."""
    print(f"conformance: {text}", file=sys.stderr, flush=True)


def over_processes(
    todo: Sequence[Errand],
    work: Callable[[list[Errand]], list[O]],
    *,
    jobs: int,
    cases: Iterable[Named],
    venues: Sequence[str],
) -> tuple[list[O], float]:
    """All errands over ``jobs`` processes (``work`` is called in each, by its name); the outcomes and the seconds.

    The outcomes come in the order of ``cases`` and ``venues``.
    """
    began = SystemClock.mono_ns()
    shares = [share for share in (list(todo[number::jobs]) for number in range(jobs)) if share]
    if jobs == 1:
        outcomes = [outcome for share in shares for outcome in work(share)]
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            jobs, mp_context=context, initializer=die_with_parent, initargs=(os.getpid(),)
        ) as pool:
            futures = [pool.submit(work, share) for share in shares]
            outcomes = [outcome for future in futures for outcome in future.result()]
    places = {case.id: number for number, case in enumerate(cases)}
    outcomes.sort(key=lambda o: (places[o.case], o.mutant, venues.index(o.venue)))
    return outcomes, (SystemClock.mono_ns() - began) / 1e9
