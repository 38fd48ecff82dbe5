"""The whole matrix: every case on every venue, on a desk of its own each time, and the verdict in one structure.

Owns the cases, what a trial of one is, when it is repeated, and the sums; `errands` works them off.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from adapters.clock import SystemClock
from supervision.conformance import book_cases, connection_cases, limit_cases, symbol_cases, view_cases
from supervision.conformance.case import Alter, Case
from supervision.conformance.errands import (
    MUTATED_ON,
    Errand,
    found_by_id,
    known_venues,
    over_processes,
    percentile,
    run_share,
    to_stderr,
)
from supervision.conformance.markets import EVERYWHERE, MARKETS, REST_BOOKS, STREAM_BOOKS, VENUES
from supervision.conformance.rig import NotInTimeError, Rig
from supervision.conformance.trial import Trial, strike

CASES: tuple[Case, ...] = (
    *book_cases.CASES,
    *connection_cases.CASES,
    *limit_cases.CASES,
    *view_cases.CASES,
    *symbol_cases.CASES,
)
REPEATS_MAX = 3
_STALL_MS = 100.0
FAILED_OVER = "FAILED_OVER"

N = TypeVar("N", int, float)


class Outcome(msgspec.Struct, kw_only=True):
    """What one errand measured. Times in ms; ``green`` of a mutant is that its case turned red.

    ``repeated`` trials were measured again because this process stood still in them; ``lies_within_bound`` are wrong
    tops from the time in which no rule of the venue could show them. ``orders_beside``, where a second instrument is
    traded: the fewest of its orders that left in one trial while the first had its fault.
    """

    case: str
    venue: str
    mutant: str = ""
    green: bool
    trials: int
    detected_ms_p50: float | None
    detected_ms_p99: float | None
    resync_ms_p50: float | None
    resync_ms_p99: float | None
    orders_on_unproved: int
    orders_beside: int | None
    quotes_on_unproved: int
    lies_within_bound: int
    reconnects: int
    repeated: int
    stood_still_ms: float
    sign: str
    reason: str
    took_s: float


class Report(msgspec.Struct, kw_only=True):
    """The matrix's answer; everything in it was measured on a synthetic market."""

    command: str = "conformance md"
    synthetic: bool = True
    passed: bool
    took_s: float
    cases: int
    red: int
    orders_on_unproved: int
    quotes_on_unproved: int
    sequence_resync_ms_p99: float | None
    mute_detected_ms_max: float | None
    failover_ms_max: float | None
    results: list[Outcome]
    mutants: list[Outcome]


def by_id(case_id: str) -> Case:
    """A case; ``ValueError`` names one that is not there."""
    return found_by_id(CASES, case_id)


def errands(venues: Sequence[str], case_ids: Sequence[str], *, mutate: bool) -> list[Errand]:
    """What there is to do, the longest first. ``ValueError`` names what is unknown."""
    known_venues(venues, MARKETS)
    chosen = [by_id(case_id) for case_id in case_ids] or list(CASES)
    wanted = venues or EVERYWHERE
    if not mutate:
        found = [(case, Errand(case.id, venue)) for case in chosen for venue in case.venues if venue in wanted]
    else:
        found = [
            (case, Errand(case.id, venue, mutant.name))
            for case in chosen
            for mutant in case.mutants
            for venue in _mutated_on(case, wanted)
        ]
    return [errand for _, errand in sorted(found, key=lambda one: -_length_s(one[0]))]


def _mutated_on(case: Case, wanted: Sequence[str]) -> list[str]:
    """One venue with snapshots by REST, one in the stream."""
    there = [venue for venue in MUTATED_ON if venue in case.venues and venue in wanted]
    rest = [venue for venue in there if venue in REST_BOOKS][:1]
    return rest + [venue for venue in there if venue in STREAM_BOOKS][:1]


def _length_s(case: Case) -> float:
    """About how long a case takes, for packing."""
    return case.trials * (1.5 + (case.strike.hold_ms + case.rest_ms) / 1e3) + case.settle_ms / 1e3


async def run_errand(errand: Errand, repeat: int = 1) -> Outcome:
    """One case on one venue. A trial in which the process stood still, and that kept only no bound, is repeated."""
    case = by_id(errand.case_id)
    alter = case.alter
    if errand.mutant:
        alter = next(mutant.alter for mutant in case.mutants if mutant.name == errand.mutant)
    began = SystemClock.mono_ns()
    trials: list[Trial] = []
    repeated = 0
    left = case.trials * repeat
    while left > 0:
        batch = await _on_a_fresh_desk(case, errand.venue, alter, min(left, case.trials))
        last = batch[-1]
        stalled = last.late and not last.reasons and last.stood_still_ms >= _STALL_MS
        if stalled and not errand.mutant and repeated < REPEATS_MAX:
            repeated += 1
            batch.pop()
        trials += batch
        left -= len(batch)
        if batch and not batch[-1].passed:
            break
    took_s = (SystemClock.mono_ns() - began) / 1e9
    return _outcome(errand, trials, repeated, took_s)


async def _on_a_fresh_desk(case: Case, venue: str, alter: Alter | None, trials: int) -> list[Trial]:
    """Trials on one desk, until one fails."""
    done: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="propdesk-conformance-") as directory:
        rig = Rig(venue, Path(directory), alter=alter, views=case.views, beside=case.beside)
        try:
            try:
                await rig.start()
                await asyncio.sleep(case.settle_ms / 1e3)
            except NotInTimeError as late:
                return [Trial(late=[str(late)], stood_still_ms=rig.stood_still_ns(0) / 1e6)]
            while len(done) < trials and (not done or done[-1].passed):
                if done:
                    await asyncio.sleep(case.rest_ms / 1e3)
                done.append(await strike(rig, case.strike))
        finally:
            await rig.close()
    return done


def _outcome(errand: Errand, trials: Sequence[Trial], repeated: int, took_s: float) -> Outcome:
    passed = bool(trials) and all(trial.passed for trial in trials)
    bad = next((trial for trial in trials if not trial.passed), None)
    detected = [trial.detected_ms for trial in trials if trial.detected_ms is not None]
    resync = [trial.resync_ms for trial in trials if trial.resync_ms is not None]
    return Outcome(
        case=errand.case_id,
        venue=errand.venue,
        mutant=errand.mutant,
        green=passed is not bool(errand.mutant),
        trials=len(trials),
        detected_ms_p50=percentile(detected, 0.5),
        detected_ms_p99=percentile(detected, 0.99),
        resync_ms_p50=percentile(resync, 0.5),
        resync_ms_p99=percentile(resync, 0.99),
        orders_on_unproved=sum(max(trial.orders_on_unproved, trial.blind_orders) for trial in trials),
        orders_beside=min(_values(trial.orders_beside for trial in trials), default=None),
        quotes_on_unproved=sum(trial.quotes_on_unproved for trial in trials),
        lies_within_bound=sum(trial.wrong_within_bound for trial in trials),
        reconnects=sum(trial.attempts for trial in trials),
        repeated=repeated,
        stood_still_ms=max((trial.stood_still_ms for trial in trials), default=0.0),
        sign=next((trial.sign for trial in trials if trial.sign), ""),
        reason="" if bad is None else "; ".join([*bad.reasons, *bad.late])[:800],
        took_s=round(took_s, 1),
    )


def _broke_off(errand: Errand, reason: str) -> Outcome:
    return _outcome(errand, [Trial(reasons=[reason])], 0, 0.0)


def _said(o: Outcome) -> str:
    return f"noticed {o.detected_ms_p99} ms, back {o.resync_ms_p99} ms"


def _process(share: list[Errand], repeat: int) -> list[Outcome]:
    return asyncio.run(run_share(share, partial(run_errand, repeat=repeat), _broke_off, _said, to_stderr))


def run_matrix(todo: Sequence[Errand], *, jobs: int = 1, repeat: int = 1) -> tuple[list[Outcome], float]:
    """All errands over ``jobs`` processes; the outcomes in the cases' order and the seconds it took."""
    return over_processes(todo, partial(_process, repeat=repeat), jobs=jobs, cases=CASES, venues=EVERYWHERE)


def report(results: Sequence[Outcome], mutants: Sequence[Outcome], took_s: float) -> Report:
    """The sums. p99 of the way back is over every trial's p99 of the cases that bound it."""
    bounded = {case.id for case in book_cases.CASES if case.strike.resync_ms is not None and case.strike.signs}
    red = sum(not outcome.green for outcome in (*results, *mutants))
    return Report(
        passed=red == 0,
        took_s=round(took_s, 1),
        cases=len(results),
        red=red,
        orders_on_unproved=sum(o.orders_on_unproved for o in results),
        quotes_on_unproved=sum(o.quotes_on_unproved for o in results),
        sequence_resync_ms_p99=percentile(_values(o.resync_ms_p99 for o in results if o.case in bounded), 0.99),
        mute_detected_ms_max=max(_values(o.detected_ms_p99 for o in results if o.case in _MUTE), default=None),
        failover_ms_max=max(_values(o.detected_ms_p99 for o in results if o.sign == FAILED_OVER), default=None),
        results=list(results),
        mutants=list(mutants),
    )


_MUTE = ("MD-E-01", "MD-E-02", "MD-E-03")


def _values(values: Iterable[N | None]) -> list[N]:
    return [value for value in values if value is not None]


def _where(venues: Sequence[str]) -> str:
    """The markets of a case in words."""
    if not set(venues) >= set(VENUES):
        return ", ".join(venues)
    return ", ".join(["all", *(name for name in venues if name not in VENUES)])


def catalogue() -> list[list[str]]:
    """The cases for the runbook: id, what happens, what is expected, incidents and rows, venues, guards."""
    return [
        [
            case.id,
            case.title,
            case.expects,
            ", ".join((*case.faults, *case.spec)),
            _where(case.venues),
            "; ".join(mutant.name for mutant in case.mutants) or "none",
        ]
        for case in CASES
    ]
