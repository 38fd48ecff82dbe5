"""Sliding windows over a count of samples or a span of time, and the statistics that they keep.

Nothing is ever subtracted from a float: a window is two stacks of partial aggregates that are only merged
(Tangwongsan, Hirzel, Schneider: General Incremental Sliding-Window Aggregation, VLDB 8(7), 2015). So an outlier that
has left a window leaves no error behind, however long the desk runs. A sample costs O(1) amortised: one in ``window``
of them turns the stack over, which costs O(window).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from math import inf, nan
from typing import Generic, TypeVar

A = TypeVar("A")

LIMIT = 1e60
"""Samples lie inside +-LIMIT, so that their fourth powers and sums of those stay finite."""


class BadSampleError(ValueError):
    """A feature was given what is not a sample: NaN, an infinity, or a figure outside of its domain.

    The feature is as it was before; ``name`` and ``sample`` say what was wrong.
    """

    def __init__(self, name: str, sample: float) -> None:
        super().__init__(name, sample)
        self.name = name
        self.sample = sample

    def __str__(self) -> str:
        return f"{self.name} cannot be {self.sample!r}"


def number(name: str, x: float) -> None:
    """Raise `BadSampleError` unless ``x`` is a number within +-`LIMIT`."""
    if not -LIMIT < x < LIMIT:
        raise BadSampleError(name, x)


def positive(name: str, x: float) -> None:
    """Raise `BadSampleError` unless ``x`` is above 0 and below `LIMIT`."""
    if not 0.0 < x < LIMIT:
        raise BadSampleError(name, x)


def not_negative(name: str, x: float) -> None:
    """Raise `BadSampleError` unless ``x`` is at least 0 and below `LIMIT`."""
    if not 0.0 <= x < LIMIT:
        raise BadSampleError(name, x)


def figure(name: str, x: Decimal) -> float:
    """A decimal as a float; raise `BadSampleError` when it is no number, not even one that is too large."""
    if not x.is_finite():
        raise BadSampleError(name, nan if x.is_nan() else inf)
    return float(x)


def at_least(name: str, least: int, x: int) -> int:
    """Return ``x``, or raise ValueError when a window or period is shorter than ``least``."""
    if x < least:
        raise ValueError(f"{name} is {x}, but at least {least} is needed")
    return x


class CountWindow(Generic[A]):
    """The aggregate of the last ``window`` samples under an associative ``merge``; ``total`` is None while empty."""

    __slots__ = ("_back", "_back_total", "_front", "_merge", "window")

    def __init__(self, merge: Callable[[A, A], A], window: int) -> None:
        self.window = at_least("window", 1, window)
        self._merge = merge
        self._front: list[A] = []  # the older half: aggregates of the rest of it, the oldest sample's last
        self._back: list[A] = []  # the newer half: samples as they came
        self._back_total: A | None = None

    def __len__(self) -> int:
        return len(self._front) + len(self._back)

    @property
    def full(self) -> bool:
        """Whether ``window`` samples are held."""
        return len(self._front) + len(self._back) == self.window

    def push(self, x: A) -> None:
        """Take a sample; the oldest leaves when there is no room."""
        if len(self._front) + len(self._back) == self.window:
            self.pop()
        self._back.append(x)
        self._back_total = x if self._back_total is None else self._merge(self._back_total, x)

    def pop(self) -> None:
        """Let the oldest sample go; there must be one."""
        front = self._front
        if not front:
            merge, back = self._merge, self._back
            total = back.pop()
            front.append(total)
            while back:
                total = merge(back.pop(), total)
                front.append(total)
            self._back_total = None
        front.pop()

    @property
    def total(self) -> A | None:
        """The aggregate of what is held, oldest first."""
        if not self._front:
            return self._back_total
        if self._back_total is None:
            return self._front[-1]
        return self._merge(self._front[-1], self._back_total)


class TimeWindow(Generic[A]):
    """The aggregate of the last ``window_ns``, kept as ``buckets`` equal spans aligned to UTC.

    Memory is O(buckets) at any rate of samples; in return the window's older edge moves a bucket at a time: it covers
    between ``window_ns - window_ns / buckets`` and ``window_ns``. Warm when every bucket but the open one was seen
    from its beginning. A time before the newest counts as the newest: time does not go back.
    """

    __slots__ = ("_bucket", "_bucket_ns", "_buckets", "_closed", "_ends", "_first", "_merge", "_open")

    def __init__(self, merge: Callable[[A, A], A], window_ns: int, buckets: int) -> None:
        self._buckets = at_least("buckets", 1, buckets)
        self._bucket_ns = at_least("window_ns", buckets, window_ns) // buckets
        self._merge = merge
        self.clear()

    def clear(self) -> None:
        """Forget every sample and every time."""
        self._closed: CountWindow[A] = CountWindow(self._merge, self._buckets)
        self._ends: deque[int] = deque()
        self._open: A | None = None
        self._bucket = self._first = -1

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns`` (UTC): what is too old leaves."""
        bucket = ts_ns // self._bucket_ns
        if bucket <= self._bucket:
            return
        if self._first < 0:
            self._first = bucket
        if self._open is not None:
            self._closed.push(self._open)
            self._ends.append(self._bucket)
            self._open = None
        self._bucket = bucket
        while self._ends and self._ends[0] <= bucket - self._buckets:
            self._ends.popleft()
            self._closed.pop()

    def push(self, x: A, ts_ns: int) -> None:
        """Take a sample of ``ts_ns``."""
        if ts_ns // self._bucket_ns > self._bucket:
            self.advance(ts_ns)
        self._open = x if self._open is None else self._merge(self._open, x)

    @property
    def warm(self) -> bool:
        """Whether a whole window has been seen."""
        return self._first >= 0 and self._bucket - self._first >= self._buckets

    @property
    def total(self) -> A | None:
        """The aggregate of the window; None when nothing is in it."""
        closed = self._closed.total
        if closed is None:
            return self._open
        return closed if self._open is None else self._merge(closed, self._open)


Moments2 = tuple[int, float, float]
"""(count, mean, sum of squared deviations)."""
Moments4 = tuple[int, float, float, float, float]
"""(count, mean, sums of squared, cubed and fourth-power deviations)."""
Joint = tuple[int, float, float, float, float, float]
"""(count, mean of x, mean of y, sum of squared deviations of x, of y, sum of their products)."""
Weighted = tuple[float, float]
"""(weight, weighted mean)."""


def merge_moments2(a: Moments2, b: Moments2) -> Moments2:
    """Both samples together (Chan, Golub, LeVeque: The American Statistician 37(3), 1983)."""
    na, mean, m2 = a
    nb, mean_b, m2_b = b
    n = na + nb
    delta = mean_b - mean
    step = delta * nb / n
    return n, mean + step, m2 + m2_b + na * delta * step


def merge_moments4(a: Moments4, b: Moments4) -> Moments4:
    """Both samples together (Pebay: Sandia report SAND2008-6212, 2008)."""
    na, mean, a2, a3, a4 = a
    nb, mean_b, b2, b3, b4 = b
    n = na + nb
    delta = mean_b - mean
    d = delta / n
    product = na * nb * delta * d
    return (
        n,
        mean + nb * d,
        a2 + b2 + product,
        a3 + b3 + product * d * (na - nb) + 3.0 * d * (na * b2 - nb * a2),
        a4
        + b4
        + product * d * d * (na * na - na * nb + nb * nb)
        + 6.0 * d * d * (na * na * b2 + nb * nb * a2)
        + 4.0 * d * (na * b3 - nb * a3),
    )


def merge_joint(a: Joint, b: Joint) -> Joint:
    """Both samples of pairs together (Chan, Golub, LeVeque, as above)."""
    na, x, y, xx, yy, xy = a
    nb, x_b, y_b, xx_b, yy_b, xy_b = b
    n = na + nb
    dx, dy = x_b - x, y_b - y
    share = nb / n
    step = na * share * dx
    return (
        n,
        x + dx * share,
        y + dy * share,
        xx + xx_b + step * dx,
        yy + yy_b + na * share * dy * dy,
        xy + xy_b + step * dy,
    )


def merge_weighted(a: Weighted, b: Weighted) -> Weighted:
    """Both weighted means together; equal means stay exactly what they are."""
    weight, mean = a
    weight_b, mean_b = b
    both = weight + weight_b
    return (both, mean + (mean_b - mean) * (weight_b / both)) if both else a


def add(a: int, b: int) -> int:
    """The sum of exact counts (lots)."""
    return a + b
