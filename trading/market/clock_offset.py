"""How far our clocks are from a venue's, from asking it for its time and from the times in its streams.

Owns the estimate, its bounds, drift and steps; does not own the gates on them (`trading.market.gates`), nor the asking.
The venue is measured against our monotonic clock, by which ages and deadlines go too: a step of our wall clock moves
no sample, and is seen at once.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from statistics import median

import msgspec

_MS = 1_000_000
_DRIFT_POINTS_MIN = 5


class SampleResult(Enum):
    """What became of one answer of the venue.

    DISPUTED: it contradicts all that is known, so that either it is garbled or a clock stepped. STEPPED: enough answers
    said so, and what was known before is forgotten.
    """

    USED = "used"
    DISPUTED = "disputed"
    STEPPED = "stepped"
    TOO_SLOW = "too_slow"
    IMPOSSIBLE = "impossible"


class ClockLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``resolution_ms`` is that of the venue's time; ``wander_ppm`` is what quartz may do between two samples.

    Of the last ``samples`` answers younger than ``age_ms_max`` the bounds are combined. A contradiction by more than
    ``step_ms`` is a step after ``confirms`` answers that agree with each other. A drift is told from points
    ``drift_point_ms`` apart, the last ``drift_points`` of them.
    """

    samples: int = 8
    age_ms_max: int = 600_000
    rtt_ms_max: int = 5000
    resolution_ms: int = 1
    wander_ppm: int = 50
    step_ms: int = 250
    step_told_ms: int = 2000
    confirms: int = 3
    drift_point_ms: int = 60_000
    drift_points: int = 60


class ClockVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Our wall clock against a venue's: ``skew_ms`` is positive when ours is ahead, and right within ``error_ms``.

    ``error_ms`` is None when only streams were heard: then the delay on the way is in ``skew_ms``, which is an upper
    bound. ``ts_ns`` is when the newest sample came (our wall clock as it is now).
    """

    skew_ms: float
    error_ms: float | None
    drift_ppm: float | None
    is_stepped: bool
    samples: int
    ts_ns: int


class _Sample(msgspec.Struct, frozen=True):
    """Bounds of (our monotonic clock - the venue's) at ``mono_ns``."""

    mono_ns: int
    least_ns: int
    most_ns: int


class ClockOffset:
    """The clock of one venue.

    An answer ``server_ns`` to a question sent at ``sent`` and answered at ``received`` was written in between, so
    ``sent - server - resolution <= offset <= received - server``: the quicker the answer, the narrower (the clock
    filter of NTP, RFC 5905, section 10). Bounds age by ``wander_ppm`` and are intersected (Marzullo, 1984). The lower
    envelope of a stream's ``received - event`` bounds from above too.
    """

    __slots__ = ("_bucket", "_bucket_best", "_disputed", "_envelope", "_points", "_samples", "_stepped_ns",
                 "_wall_less_mono", "disputed", "drift_ppm", "limits", "rejected", "steps", "venue")  # fmt: skip

    def __init__(self, venue: str, limits: ClockLimits | None = None) -> None:
        self.venue = venue
        self.limits = limits or ClockLimits()
        self.drift_ppm: float | None = None
        """How much faster our monotonic clock runs than the venue's, in parts per million; None until known."""
        self.steps = 0
        """Steps of either clock that were found."""
        self.rejected = 0
        self.disputed = 0
        self._samples: deque[_Sample] = deque(maxlen=self.limits.samples)
        self._disputed: deque[_Sample] = deque(maxlen=self.limits.confirms)
        self._envelope: _Sample | None = None
        self._points: deque[tuple[int, float]] = deque(maxlen=self.limits.drift_points)
        self._bucket = -1
        self._bucket_best: _Sample | None = None
        self._wall_less_mono: int | None = None
        self._stepped_ns: int | None = None

    def on_reply(self, sent_mono_ns: int, server_ns: int, received_mono_ns: int) -> SampleResult:
        """The venue's answer ``server_ns`` (UTC) to a question; the other two times are of our monotonic clock."""
        limits = self.limits
        rtt = received_mono_ns - sent_mono_ns
        if rtt < 0 or server_ns <= 0:
            self.rejected += 1
            return SampleResult.IMPOSSIBLE
        if rtt > limits.rtt_ms_max * _MS:
            self.rejected += 1
            return SampleResult.TOO_SLOW
        wander = rtt * limits.wander_ppm // 1_000_000 + 1
        sample = _Sample(
            received_mono_ns,
            sent_mono_ns - server_ns - limits.resolution_ms * _MS - wander,
            received_mono_ns - server_ns + wander,
        )
        self._forget_old(received_mono_ns)
        result = SampleResult.USED
        bounds = self._bounds(self._samples, received_mono_ns)
        if bounds is not None and _apart_ns(sample, bounds) > limits.step_ms * _MS:
            result = self._dispute(sample)
            if result is SampleResult.DISPUTED:
                return result
        else:
            self._disputed.clear()
            self._samples.append(sample)
        self._follow_drift(sample)
        return result

    def on_envelope(self, least_delay_ns: int, wall_ns: int, mono_ns: int) -> None:
        """The least ``received - event`` of a stream lately (`StreamWatch.skew_ms`), by our wall clock."""
        most = least_delay_ns - (wall_ns - mono_ns)
        self._envelope = _Sample(mono_ns, most, most)

    def on_clocks(self, wall_ns: int, mono_ns: int) -> bool:
        """Both our clocks, read together; whether the wall clock stepped since the last time. Call it every second."""
        difference = wall_ns - mono_ns
        before = self._wall_less_mono
        self._wall_less_mono = difference
        if before is None or abs(difference - before) <= self.limits.step_ms * _MS:
            return False
        self.steps += 1
        self._stepped_ns = mono_ns
        return True

    def verdict(self, wall_ns: int, mono_ns: int) -> ClockVerdict | None:
        """What is known when our clocks say this; None when the venue was not heard for ``age_ms_max``."""
        self.on_clocks(wall_ns, mono_ns)
        self._forget_old(mono_ns)
        stepped = bool(self._disputed) or (
            self._stepped_ns is not None and mono_ns - self._stepped_ns <= self.limits.step_told_ms * _MS
        )
        offset = self._offset(mono_ns)
        if offset is None:
            return None
        skew, error, newest = offset
        return ClockVerdict(
            skew_ms=(skew + wall_ns - mono_ns) / _MS,
            error_ms=None if error is None else error / _MS,
            drift_ppm=self.drift_ppm,
            is_stepped=stepped,
            samples=len(self._samples),
            ts_ns=newest + wall_ns - mono_ns,
        )

    def venue_now_ns(self, mono_ns: int) -> int | None:
        """What the venue's clock says (UTC ns), for requests that it judges by their time; None when not known."""
        self._forget_old(mono_ns)
        offset = self._offset(mono_ns)
        return None if offset is None else mono_ns - round(offset[0])

    # --- The estimate --------------------------------------------------------------------------------

    def _offset(self, mono_ns: int) -> tuple[float, float | None, int] | None:
        """(monotonic clock less venue's, half of the width of its bounds, when the newest sample came)."""
        bounds = self._bounds(self._samples, mono_ns)
        envelope = self._envelope
        if bounds is None:
            return None if envelope is None else (float(envelope.most_ns), None, envelope.mono_ns)
        least, most = bounds
        if envelope is not None and least <= envelope.most_ns < most:
            most = envelope.most_ns
        return (least + most) / 2, (most - least) / 2, self._samples[-1].mono_ns

    def _bounds(self, samples: deque[_Sample], mono_ns: int) -> tuple[int, int] | None:
        """What all samples allow; where they contradict each other a little, what the narrowest one does."""
        if not samples:
            return None
        wander = self.limits.wander_ppm
        aged = [
            (s.least_ns - (mono_ns - s.mono_ns) * wander // 1_000_000,
             s.most_ns + (mono_ns - s.mono_ns) * wander // 1_000_000)
            for s in samples
        ]  # fmt: skip
        least, most = max(a for a, _ in aged), min(b for _, b in aged)
        return (least, most) if least <= most else min(aged, key=lambda pair: pair[1] - pair[0])

    def _dispute(self, sample: _Sample) -> SampleResult:
        limits, disputed = self.limits, self._disputed
        self.disputed += 1
        others = self._bounds(disputed, sample.mono_ns)
        if others is not None and _apart_ns(sample, others) > limits.step_ms * _MS:
            disputed.clear()
        disputed.append(sample)
        if len(disputed) < limits.confirms:
            return SampleResult.DISPUTED
        self._samples.clear()
        self._samples.extend(disputed)
        disputed.clear()
        self._points.clear()
        self._bucket_best = self._envelope = self.drift_ppm = None
        self._stepped_ns = sample.mono_ns
        self.steps += 1
        return SampleResult.STEPPED

    def _forget_old(self, mono_ns: int) -> None:
        oldest = mono_ns - self.limits.age_ms_max * _MS
        samples = self._samples
        while samples and samples[0].mono_ns < oldest:
            samples.popleft()
        if self._envelope is not None and self._envelope.mono_ns < oldest:
            self._envelope = None

    def _follow_drift(self, sample: _Sample) -> None:
        """One point per span, of its quickest answer; the slope is the median of those of all pairs (Theil-Sen)."""
        bucket = sample.mono_ns // (self.limits.drift_point_ms * _MS)
        best = self._bucket_best
        if bucket == self._bucket and best is not None:
            if sample.most_ns - sample.least_ns < best.most_ns - best.least_ns:
                self._bucket_best = sample
            return
        self._bucket, self._bucket_best = bucket, sample
        if best is None:
            return
        points = self._points
        points.append((best.mono_ns, (best.least_ns + best.most_ns) / 2))
        if len(points) >= _DRIFT_POINTS_MIN:
            pairs = [(a, b) for i, a in enumerate(points) for b in list(points)[i + 1 :]]
            self.drift_ppm = median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs) * 1_000_000


def _apart_ns(sample: _Sample, bounds: tuple[int, int]) -> int:
    """How far the sample's bounds are from ``bounds``; 0 when they meet."""
    return max(0, sample.least_ns - bounds[1], bounds[0] - sample.most_ns)
