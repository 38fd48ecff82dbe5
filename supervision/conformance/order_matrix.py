"""The order matrix: every case on every venue, on a desk of its own each time, and the verdict in one structure.

Owns the cases, what a trial of one is, when it is repeated, and the sums; `errands` works them off.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.clock import SystemClock
from supervision.conformance import (
    order_account,
    order_amends,
    order_books,
    order_entry,
    order_fills,
    order_kinds,
    order_limits,
    order_lists,
    order_state,
    order_stops,
    order_submit,
)
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
from supervision.conformance.markets import VENUES
from supervision.conformance.order_case import OrderCase, OrderMutant
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import OrderTrial, strike
from supervision.conformance.rig import NotInTimeError

CASES: tuple[OrderCase, ...] = (
    *order_kinds.CASES,
    *order_submit.CASES,
    *order_entry.CASES,
    *order_fills.CASES,
    *order_amends.CASES,
    *order_stops.CASES,
    *order_lists.CASES,
    *order_account.CASES,
    *order_limits.CASES,
    *order_state.CASES,
    *order_books.CASES,
)
REPEATS_MAX = 2
_STALL_MS = 100.0


class OrderOutcome(msgspec.Struct, kw_only=True):
    """What one errand measured. Times in ms; ``green`` of a mutant is that its case turned red.

    ``detected_ms``: from the fault's first act to the first sign of it; ``resolved_ms``: from the sign, or from the
    moment a lasting fault was taken back, to a desk that trades and knows of every order what became of it.
    ``unknown`` counts orders that were UNKNOWN at some time; all are resolved at the end. ``repeated`` trials were
    measured again because this process stood still in them.
    """

    case: str
    venue: str
    mutant: str = ""
    green: bool
    detected_ms: float | None
    resolved_ms: float | None
    sign: str
    unknown: int
    orders: int
    fills: int
    repeated: int
    stood_still_ms: float
    reason: str
    took_s: float


class OrderReport(msgspec.Struct, kw_only=True):
    """The matrix's answer; everything in it was measured on a synthetic market."""

    command: str = "conformance orders"
    synthetic: bool = True
    passed: bool
    took_s: float
    cases: int
    red: int
    orders: int
    fills: int
    unknown: int
    detected_ms_p99: float | None
    resolved_ms_p99: float | None
    results: list[OrderOutcome]
    mutants: list[OrderOutcome]


def by_id(case_id: str) -> OrderCase:
    """A case; ``ValueError`` names one that is not there."""
    return found_by_id(CASES, case_id)


def errands(venues: Sequence[str], case_ids: Sequence[str], *, mutate: bool) -> list[Errand]:
    """What there is to do, the longest first. ``ValueError`` names what is unknown."""
    known_venues(venues, VENUES)
    chosen = [by_id(case_id) for case_id in case_ids] or list(CASES)
    wanted = venues or VENUES
    found: list[tuple[OrderCase, Errand]] = []
    for case in chosen:
        there = [venue for venue in MUTATED_ON if venue in case.venues and venue in wanted]
        if mutate:
            found += [
                (case, Errand(case.id, venue, m.name)) for m in case.mutants for venue in there if m.tried_on(venue)
            ]
        else:
            found += [(case, Errand(case.id, venue)) for venue in there]
    return [errand for _, errand in sorted(found, key=lambda one: -one[0].strike.hold_ms - one[0].strike.resolve_ms)]


async def run_errand(errand: Errand) -> OrderOutcome:
    """One case on one venue. A trial in which the process stood still is repeated, unless what must never be was."""
    case = by_id(errand.case_id)
    mutant = next((one for one in case.mutants if one.name == errand.mutant), None)
    began = SystemClock.mono_ns()
    repeated = 0
    while True:
        trial = await _on_a_fresh_desk(case, errand.venue, mutant)
        stalled = (trial.late or trial.amiss) and not trial.reasons and trial.stood_still_ms >= _STALL_MS
        if not stalled or mutant is not None or repeated >= REPEATS_MAX:
            break
        repeated += 1
    return _outcome(errand, trial, repeated, (SystemClock.mono_ns() - began) / 1e9)


async def _on_a_fresh_desk(case: OrderCase, venue: str, mutant: OrderMutant | None) -> OrderTrial:
    with tempfile.TemporaryDirectory(prefix="propdesk-conformance-") as directory:
        rig = OrderRig(
            venue,
            Path(directory),
            alter=_altered_by(mutant),
            beside=case.beside,
            kept=case.kept,
            audit_ms=case.audit_ms,
            protected=case.protected,
            stranger=case.stranger,
        )
        try:
            try:
                await rig.start()
            except NotInTimeError as late:
                return OrderTrial(late=[str(late)], stood_still_ms=rig.stood_still_ns(0) / 1e6)
            return await strike(rig, case.strike)
        finally:
            await rig.close()


def _altered_by(mutant: OrderMutant | None) -> Any:
    return None if mutant is None else mutant.alter


def _outcome(errand: Errand, trial: OrderTrial, repeated: int, took_s: float) -> OrderOutcome:
    return OrderOutcome(
        case=errand.case_id,
        venue=errand.venue,
        mutant=errand.mutant,
        green=trial.passed is not bool(errand.mutant),
        detected_ms=trial.detected_ms,
        resolved_ms=trial.resolved_ms,
        sign=trial.sign,
        unknown=trial.unknown,
        orders=trial.orders,
        fills=trial.fills,
        repeated=repeated,
        stood_still_ms=trial.stood_still_ms,
        reason="; ".join([*trial.reasons, *trial.amiss, *trial.late])[:800],
        took_s=round(took_s, 1),
    )


def _broke_off(errand: Errand, reason: str) -> OrderOutcome:
    return _outcome(errand, OrderTrial(reasons=[reason]), 0, 0.0)


def _said(o: OrderOutcome) -> str:
    return f"noticed {o.detected_ms} ms, sure after {o.resolved_ms} ms"


def _process(share: list[Errand]) -> list[OrderOutcome]:
    return asyncio.run(run_share(share, run_errand, _broke_off, _said, to_stderr))


def run_matrix(todo: Sequence[Errand], *, jobs: int = 1) -> tuple[list[OrderOutcome], float]:
    """All errands over ``jobs`` processes; the outcomes in the cases' order and the seconds it took."""
    return over_processes(todo, _process, jobs=jobs, cases=CASES, venues=VENUES)


def report(results: Sequence[OrderOutcome], mutants: Sequence[OrderOutcome], took_s: float) -> OrderReport:
    """The sums; p99 over the cases."""
    red = sum(not outcome.green for outcome in (*results, *mutants))
    return OrderReport(
        passed=red == 0,
        took_s=round(took_s, 1),
        cases=len(results),
        red=red,
        orders=sum(o.orders for o in results),
        fills=sum(o.fills for o in results),
        unknown=sum(o.unknown for o in results),
        detected_ms_p99=percentile([o.detected_ms for o in results if o.detected_ms is not None], 0.99),
        resolved_ms_p99=percentile([o.resolved_ms for o in results if o.resolved_ms is not None], 0.99),
        results=list(results),
        mutants=list(mutants),
    )


def catalogue() -> list[list[str]]:
    """The cases for the runbook: id, what happens, what is expected, incidents and rows, venues, guards."""
    return [
        [
            case.id,
            case.title,
            case.expects,
            ", ".join((*case.faults, *case.spec)),
            "all" if set(case.venues) == set(VENUES) else ", ".join(case.venues),
            "; ".join(mutant.words for mutant in case.mutants) or "none",
        ]
        for case in CASES
    ]
