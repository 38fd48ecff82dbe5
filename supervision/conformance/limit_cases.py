"""Limits and clocks: 429, 418, errors and slowness of REST, and a venue whose clock is not ours (FAULTS F)."""

from __future__ import annotations

from adapters.simserver import faults as f
from supervision.conformance import guards as g
from supervision.conformance.case import Case
from supervision.conformance.markets import BOOK, REST_BOOKS
from supervision.conformance.rig import Rig
from supervision.conformance.trial import UNPROVED, Strike

_DEPTH = ("*/depth",)
_SKEWED = ("BRAKE:CLOCK_SKEW", "BRAKE:CLOCK_STEP")


def _limited(rig: Rig, _begun: int) -> str:
    """How often the venue had to say no: once, or the desk asked on while it was frozen."""
    offences = rig.server.faults.counts["rest_status"]
    return "" if offences <= 2 else f"asked {offences} times under a limit"


def _refused(status: int, retry_after_s: int | None, *, hold_ms: float = 0.0) -> Strike:
    """A gap while snapshots are limited."""
    return Strike(
        faults=lambda v: [
            f.RestStatus(status=status, retry_after_s=retry_after_s, requests=1_000 if hold_ms else 1, topics=_DEPTH),
            f.Gap(topics=BOOK[v]),
        ],
        acts="gap",
        must_act=("rest_status",),
        hold_ms=hold_ms,
        resync_ms=None,
        recover_s=40.0,
        books_only=True,  # a venue that refused so often is in quarantine for a while
        after=_limited,
    )


CASES = (
    Case(
        id="MD-F-01",
        title="snapshots are refused with 429 and Retry-After of two seconds",
        faults=("F69",),
        spec=("P-MD-2",),
        expects="nothing is asked until then; the book waits, unproved; whole afterwards, and no ban",
        strike=_refused(429, 2, hold_ms=3_500),
        venues=REST_BOOKS,
        mutants=(g.RETRY_AFTER,),
    ),
    Case(
        id="MD-F-02",
        title="snapshots are refused with 429 and no word on when",
        faults=("F69",),
        spec=("P-MD-2",),
        expects="ten seconds of silence towards the venue, then one try",
        strike=_refused(429, None),
        venues=REST_BOOKS,
    ),
    Case(
        id="MD-F-03",
        title="a ban: snapshots are refused with 418 and Retry-After of three seconds",
        faults=("F69",),
        spec=("P-MD-2",),
        expects="the ban is sat out; the desk survives its end",
        strike=_refused(418, 3),
        venues=REST_BOOKS,
    ),
    Case(
        id="MD-F-04",
        title="snapshots are answered with the venue's own error three times",
        faults=("F69", "F56"),
        spec=("P-MD-2",),
        expects="asked again, each time later; unproved until one comes",
        strike=Strike(
            faults=lambda v: [f.RestError(requests=3, topics=_DEPTH), f.Gap(topics=BOOK[v])],
            acts="gap",
            must_act=("rest_error",),
            resync_ms=None,
        ),
        venues=REST_BOOKS,
    ),
    Case(
        id="MD-F-05",
        title="snapshots take 1.5 s",
        faults=("F51",),
        spec=("P-MD-2",),
        expects="the diffs of the time between are kept and bridge the snapshot",
        strike=Strike(
            faults=lambda v: [f.RestSlow(delay_ms=1_500, topics=_DEPTH), f.Gap(topics=BOOK[v])],
            acts="gap",
            must_act=("rest_slow",),
            hold_ms=3_500,
            resync_ms=None,
        ),
        venues=REST_BOOKS,
    ),
    Case(
        id="MD-F-06",
        title="the venue's clock jumps five seconds ahead",
        faults=("F72",),
        spec=("P-MD-7",),
        expects="HOLD of the venue within 5 s, for as long as it lasts",
        strike=Strike(
            faults=lambda _v: [f.ClockStep(step_ms=5_000)],
            signs=_SKEWED,
            within_ms=5_000,
            hold_ms=11_000,
            resync_ms=None,
            recover_s=60.0,
        ),
        settle_ms=4_000,
        mutants=(g.CLOCK, g.BRAKES),
    ),
    Case(
        id="MD-F-07",
        title="the venue's clock jumps five seconds back",
        faults=("F72",),
        spec=("P-MD-7",),
        expects="HOLD of the venue within 5 s, for as long as it lasts",
        strike=Strike(
            faults=lambda _v: [f.ClockStep(step_ms=-5_000)],
            signs=_SKEWED,
            within_ms=5_000,
            hold_ms=11_000,
            resync_ms=None,
            recover_s=60.0,
        ),
        settle_ms=4_000,
        mutants=(g.CLOCK,),
    ),
    Case(
        id="MD-F-08",
        title="the venue's clock is 200 ms off",
        faults=("F72",),
        spec=("P-MD-7",),
        expects="within the window: measured, and trading goes on",
        strike=Strike(faults=lambda _v: [f.ClockSkew(skew_ms=200)], signs=(), hold_ms=4_000, resync_ms=None),
        settle_ms=4_000,
    ),
    Case(
        id="MD-F-09",
        title="the only view lags three seconds behind",
        faults=("F72", "F59"),
        spec=("P-MD-3", "P-MD-7"),
        expects="a silence first, then times that are not now: HOLD from 1.2 s of age on, for as long as it lasts",
        strike=Strike(
            faults=lambda _v: [f.Delay(delay_ms=3_000)],
            acts="delay",
            signs=(*_SKEWED, "BRAKE:STREAM_STALE", UNPROVED),
            within_ms=2_000,
            blind_ms=1_350,
            hold_ms=6_000,
            resync_ms=None,
            recover_s=60.0,
            attempts_max=6,
        ),
        settle_ms=4_000,
    ),
)
