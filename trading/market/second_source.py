"""Our price against that of another venue for the same base and quote, less what usually lies between them.

Owns the usual distance, in bounded memory; does not own the gate on it (`trading.market.gates`) nor who the second
source is.
"""

from __future__ import annotations

from collections import deque
from statistics import median

_MS = 1_000_000
_SAMPLES_MIN = 10


class SecondSource:
    """How far two prices of one thing are apart, in basis points, beyond the distance that is usual for them.

    Spot and perpetual, or two quote currencies, always lie somewhat apart. The usual distance is the median of the last
    ``samples`` samples, one per ``sample_ms``, and never more than ``allowance_bps_max``: so a price that wanders off
    slowly is found all the same. Before ten samples nothing is usual and the whole distance counts.
    """

    __slots__ = ("_allowance", "_allowance_max", "_next_ns", "_sample_ns", "_samples")

    def __init__(self, samples: int = 300, sample_ms: int = 1000, allowance_bps_max: float = 50.0) -> None:
        self._samples: deque[float] = deque(maxlen=samples)
        self._sample_ns = sample_ms * _MS
        self._allowance_max = allowance_bps_max
        self._allowance = 0.0
        self._next_ns = 0

    @property
    def usual_bps(self) -> float:
        """The distance that is allowed for, positive when ours is the higher price."""
        return self._allowance

    def apart_bps(self, ours: float, theirs: float, now_ns: int) -> float:
        """How far apart the prices are beyond the usual (signed); infinite when one of them is not a price."""
        if not (0.0 < ours < float("inf") and 0.0 < theirs < float("inf")):
            return float("inf")
        apart = (ours / theirs - 1.0) * 10_000
        excess = apart - self._allowance
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + self._sample_ns
            self._samples.append(apart)
            if len(self._samples) >= _SAMPLES_MIN:
                limit = self._allowance_max
                self._allowance = max(-limit, min(limit, median(self._samples)))
        return excess
