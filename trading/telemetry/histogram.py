"""Distributions of durations in bounded memory: counts by logarithmic buckets, which can be merged.

Sixteen buckets to an octave (the layout of HdrHistogram, hdrhistogram.org, read 2026-11): a quantile is at most
1/32 off, whatever the scale.
"""

from __future__ import annotations

from collections.abc import Iterable

_SUBS = 16
NS_MAX = (1 << 47) - 1
"""39 hours: what took longer counts as that long."""
ERROR_MAX = 1 / 32
"""How far a quantile may be from the true one, as a part of it."""
QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999))


def bucket_of(ns: int) -> int:
    """The bucket of a duration; what is negative counts as 0."""
    if ns < _SUBS:
        return max(ns, 0)
    ns = min(ns, NS_MAX)
    shift = ns.bit_length() - 5
    return shift * _SUBS + (ns >> shift)


def middle_of(bucket: int) -> int:
    """The middle of a bucket, nanoseconds."""
    if bucket < 2 * _SUBS:
        return bucket
    shift = bucket // _SUBS - 1
    lower = (bucket - shift * _SUBS) << shift
    return lower + (1 << shift) // 2


class LogHistogram:
    """How often which duration occurred. At most 720 buckets, and only those that were met cost anything."""

    __slots__ = ("_buckets", "count", "max_ns", "min_ns", "total_ns")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.total_ns = 0
        self.min_ns = 0
        self.max_ns = 0

    def add(self, ns: int) -> None:
        """One more."""
        ns = max(ns, 0)
        bucket = bucket_of(ns)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.max_ns = max(self.max_ns, ns)
        if not self.count or ns < self.min_ns:
            self.min_ns = ns
        self.count += 1
        self.total_ns += ns

    def merge(self, other: LogHistogram) -> None:
        """Take in all that another has counted."""
        if not other.count:
            return
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.min_ns = min(self.min_ns, other.min_ns) if self.count else other.min_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        self.count += other.count
        self.total_ns += other.total_ns

    def quantile(self, share: float) -> int:
        """The smallest duration that ``share`` of all do not exceed, by nearest rank; 0 when there are none."""
        return self.quantiles((share,))[0]

    def quantiles(self, shares: Iterable[float]) -> list[int]:
        """As `quantile`, for several in one walk."""
        ordered = sorted(self._buckets.items())
        found: list[int] = []
        for share in shares:
            rank = max(1, -int(-share * self.count // 1))
            seen = value = 0
            for bucket, count in ordered:
                seen += count
                value = middle_of(bucket)
                if seen >= rank:
                    break
            found.append(min(max(value, self.min_ns), self.max_ns))
        return found

    def up_to(self, ns: int) -> int:
        """How many did not exceed a duration; those of its own bucket count as such."""
        last = bucket_of(ns)
        return sum(count for bucket, count in self._buckets.items() if bucket <= last)

    def facts(self) -> dict[str, float]:
        """Quantiles and the longest in microseconds, and how many there were."""
        values = self.quantiles([share for _, share in QUANTILES])
        facts: dict[str, float] = {
            f"{name}_us": round(ns / 1e3, 1) for (name, _), ns in zip(QUANTILES, values, strict=True)
        }
        return {**facts, "max_us": round(self.max_ns / 1e3, 1), "n": self.count}


class RollingHistogram:
    """The newest durations, ``size`` to twice that many: two histograms, of which the older is given up in time."""

    __slots__ = ("_old", "_size", "_young")

    def __init__(self, size: int = 4_000) -> None:
        self._size = size
        self._young = LogHistogram()
        self._old = LogHistogram()

    def add(self, ns: int) -> None:
        """One more."""
        if self._young.count >= self._size:
            self._old, self._young = self._young, LogHistogram()
        self._young.add(ns)

    def facts(self) -> dict[str, float]:
        """As those of `LogHistogram`."""
        both = LogHistogram()
        both.merge(self._old)
        both.merge(self._young)
        return both.facts()
