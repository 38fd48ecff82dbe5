"""What the gates count for every message: how a touch jumps, how far a venue's clock is from ours, holes in a stream.

Owns the counting, in bounded memory; does not own the verdicts (`trading.market.gates`). `PyTouchWatch` and
`PyStreamWatch` say what is counted; `TouchWatch` and `StreamWatch`, the ones that are used, are the same in C where
that was built.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

from native import marketdata
from trading.market.events import Level

_MS = 1_000_000
_NO_TOP = (-1, -1)


class PyTouchWatch:
    """How often the touch of one book came back to where it was before its last move."""

    __slots__ = ("_flips", "_limit", "_seen", "_window_ns")

    def __init__(self, window_ns: int, limit: int) -> None:
        """Flips older than ``window_ns`` are forgotten; more than ``limit`` are not counted."""
        self._window_ns = window_ns
        self._limit = limit
        self._seen: tuple[tuple[int, int], tuple[int, int]] = (_NO_TOP, _NO_TOP)  # the last two
        self._flips: deque[int] = deque(maxlen=limit)  # when it came back

    @property
    def flips(self) -> int:
        """How often the touch came back within the window, when the last two-sided top came."""
        return len(self._flips)

    def is_calm(self, bids: tuple[Level, ...], asks: tuple[Level, ...], now_ns: int) -> bool:
        """Count a top of book; whether it is two-sided, uncrossed, above zero and below the limit of flips.

        A side alone is not counted.
        """
        if not bids or not asks:
            return False
        bid, ask = bids[0][0], asks[0][0]
        flips = self._flips
        last, before = self._seen
        if bid != last[0] or ask != last[1]:
            if bid == before[0] and ask == before[1]:
                flips.append(now_ns)
            self._seen = ((bid, ask), last)
        while flips and now_ns - flips[0] > self._window_ns:
            flips.popleft()
        return 0 < bid < ask and len(flips) < self._limit


class PyStreamWatch:
    """How far our clock is from a venue's, and the gaps between its messages, from ordinary messages.

    The difference ``recv - event`` is the offset of the clocks plus the delay on the way, so its minimum is the best
    guess. Per bucket of ``bucket_ns`` the second smallest difference is kept (one garbled time must not decide), and
    the estimate is the median of the last ``buckets`` of them. A negative skew means that our clock is behind.
    """

    __slots__ = (
        "_bucket",
        "_bucket_ns",
        "_first",
        "_gap_ns",
        "_gaps_kept",
        "_gaps_ns",
        "_last_ns",
        "_median_ms",
        "_minima",
        "_second",
        "_step_ns",
        "is_stepped",
        "wide",
    )

    def __init__(self, gap_ns: int, step_ns: int, bucket_ns: int, buckets: int, gaps_kept: int) -> None:
        self.is_stepped = False
        """Whether the newest bucket is more than ``step_ns`` from the median of those before it."""
        self.wide = 0
        """How many of the kept gaps exceed ``gap_ns``."""
        self._gap_ns = gap_ns
        self._step_ns = step_ns
        self._bucket_ns = bucket_ns
        self._gaps_kept = gaps_kept
        self._minima: deque[int] = deque(maxlen=buckets)
        self._median_ms: float | None = None
        self._bucket = -1
        self._first: int | None = None
        self._second: int | None = None
        self._gaps_ns: deque[int] = deque(maxlen=gaps_kept)
        self._last_ns = 0

    @property
    def skew_ms(self) -> float | None:
        """The estimate, positive when our clock is ahead; None before two messages."""
        if self._median_ms is not None:
            return self._median_ms
        return None if self._second is None else self._second / _MS

    @property
    def gaps(self) -> int:
        """How many gaps are kept."""
        return len(self._gaps_ns)

    def gaps_ns(self) -> list[int]:
        """The kept gaps, oldest first."""
        return list(self._gaps_ns)

    def on_message(self, ts_event_ns: int, ts_recv_ns: int) -> None:
        """Any message. One without a venue time (0) says nothing of clocks."""
        if ts_event_ns > 0:
            self._time(ts_event_ns, ts_recv_ns)
        if self._last_ns:
            gaps = self._gaps_ns
            if len(gaps) == self._gaps_kept and gaps[0] > self._gap_ns:
                self.wide -= 1
            gap = ts_recv_ns - self._last_ns
            gaps.append(gap)  # the oldest leaves by itself
            if gap > self._gap_ns:
                self.wide += 1
        self._last_ns = ts_recv_ns

    def _time(self, ts_event_ns: int, ts_recv_ns: int) -> None:
        bucket = ts_recv_ns // self._bucket_ns
        if bucket != self._bucket:
            self._close_bucket()
            self._bucket = bucket
        difference = ts_recv_ns - ts_event_ns
        if self._first is None or difference < self._first:
            self._second = self._first
            self._first = difference
        elif self._second is None or difference < self._second:
            self._second = difference

    def _close_bucket(self) -> None:
        newest = self._second
        self._first = self._second = None
        if newest is None:
            return
        self.is_stepped = len(self._minima) >= 3 and abs(newest - median(self._minima)) > self._step_ns
        self._minima.append(newest)
        self._median_ms = median(self._minima) / _MS


TouchWatch = PyTouchWatch if TYPE_CHECKING or marketdata is None else marketdata.TouchWatch
StreamWatch = PyStreamWatch if TYPE_CHECKING or marketdata is None else marketdata.StreamWatch
