"""Which prints are believed: a lone price far from the others is doubted until others confirm it.

Owns the judgement on single prices, in bounded memory; does not own the gate on it (`trading.market.gates`).
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from statistics import median

_MS = 1_000_000
_RETURNS_MIN = 20
_MAD_TO_SIGMA = 1.4826


class Belief(Enum):
    """What one print is. BROKEN is no price at all: zero, negative, NaN, infinite."""

    BELIEVED = "believed"
    DOUBTED = "doubted"
    BROKEN = "broken"


class PrintFilter:
    """A print is wild when it is more than ``outlier_bps`` and more than ``mads`` deviations from the last believed.

    The deviation is the median absolute deviation of the last ``window`` returns between believed prints, scaled to a
    normal's sigma (Hampel: J. American Statistical Association 69(346), 1974); before 20 of them only the basis points
    count. A wild print is believed once ``confirms`` further wild prints in the same direction followed it, each at a
    later venue time: the fills of one order that swept the book do not confirm each other. A tame print, or
    ``doubt_ms`` without confirmation, dismisses it.
    """

    __slots__ = ("_bps", "_confirms", "_count", "_doubt_ms", "_mads", "_returns", "_sign", "_ts_event_ns", "_wild",
                 "broken", "dismissed", "doubted_px", "doubted_since_ns", "last_px")  # fmt: skip

    def __init__(
        self,
        *,
        window: int = 100,
        mads: float = 10.0,
        outlier_bps: float = 50.0,
        confirms: int = 3,
        doubt_ms: int = 5000,
    ) -> None:
        self.last_px: float | None = None
        """The last price that was believed."""
        self.doubted_px: float | None = None
        """The newest price that waits for confirmation."""
        self.doubted_since_ns = 0
        self.dismissed = 0
        """Wild prints that nothing confirmed."""
        self.broken = 0
        self._returns: deque[float] = deque(maxlen=window)
        self._mads = mads
        self._bps = outlier_bps
        self._confirms = confirms
        self._doubt_ms = doubt_ms
        self._sign = 0
        self._count = 0  # doubted prints at times of their own
        self._wild = 0  # all doubted prints
        self._ts_event_ns = 0

    def on_print(self, price: float, ts_event_ns: int, now_ns: int) -> Belief:
        """Judge one print; ``price`` in any one unit, ``now_ns`` ours."""
        if not 0.0 < price < float("inf"):
            self.broken += 1
            return Belief.BROKEN
        last = self.last_px
        if last is None:
            self.last_px = price
            return Belief.BELIEVED
        move = price / last - 1.0
        if abs(move) * 10_000 <= self._bps or not self._is_wild(move):
            self._dismiss()
            return self._believe(price, move)
        sign = 1 if move > 0 else -1
        if self.doubted_px is None or sign != self._sign:
            self._dismiss()
            self.doubted_since_ns = now_ns
            self._sign, self._count, self._wild = sign, 1, 0
        elif ts_event_ns > self._ts_event_ns:
            self._count += 1
        if self._count > self._confirms:
            self.doubted_px = None
            return self._believe(price, move)
        self.doubted_px = price
        self._wild += 1
        self._ts_event_ns = ts_event_ns
        return Belief.DOUBTED

    def is_doubting(self, now_ns: int) -> bool:
        """Whether a wild print still waits for confirmation."""
        if self.doubted_px is None:
            return False
        if now_ns - self.doubted_since_ns >= self._doubt_ms * _MS:
            self._dismiss()
            return False
        return True

    def _is_wild(self, move: float) -> bool:
        returns = self._returns
        if len(returns) < _RETURNS_MIN:
            return True
        middle = median(returns)
        deviation = median(abs(x - middle) for x in returns) * _MAD_TO_SIGMA
        return abs(move - middle) > self._mads * deviation

    def _believe(self, price: float, move: float) -> Belief:
        self._returns.append(move)
        self.last_px = price
        return Belief.BELIEVED

    def _dismiss(self) -> None:
        if self.doubted_px is not None:
            self.dismissed += self._wild
            self.doubted_px = None
