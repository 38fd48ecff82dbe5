"""What trading moves: the measured response of prices to flow, and the cost of sweeping the book. Ticks and lots.

Kyle's lambda, the straight line through the same measurements, is `trading.features.flow.KyleLambda`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from trading.features.flow import signed_lots
from trading.features.windows import CountWindow, Weighted, at_least, merge_weighted
from trading.market.events import BookState, Level, Trade


class ImpactPoint(NamedTuple):
    """Intervals whose net flow was at least ``lots`` (and below the next point's): how far the price went with it.

    ``ticks`` is the mean move in the direction of the flow; ``intervals`` is how many it is of.
    """

    lots: int
    ticks: float | None
    intervals: int


class ImpactCurve:
    """Mean price change, in the direction of the flow, by the size of the net flow: the curve that lambda straightens.

    Bouchaud, Farmer, Lillo: How markets slowly digest changes in supply and demand (2009), section 4. Intervals are
    those of `KyleLambda`; each size keeps its last ``window``. Memory is O(sizes * window).
    """

    __slots__ = ("_base_ticks", "_flow", "_interval", "_interval_ns", "_last_ticks", "_sizes", "_windows")

    def __init__(self, interval_ns: int, sizes: Sequence[int], window: int = 500) -> None:
        if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"sizes are lots from 1 up in rising order, not {sizes!r}")
        self._interval_ns = at_least("interval_ns", 1, interval_ns)
        self._sizes = tuple(sizes)
        self._windows: list[CountWindow[Weighted]] = [CountWindow(merge_weighted, window) for _ in sizes]
        self._interval = -1
        self._flow = self._last_ticks = 0
        self._base_ticks: int | None = None

    def update(self, trade: Trade) -> None:
        """Take one trade."""
        self.advance(trade.ts_event_ns)
        self._flow += signed_lots(trade)
        self._last_ticks = trade.price_ticks

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns``: an interval that is over is closed."""
        interval = ts_ns // self._interval_ns
        if interval <= self._interval:
            return
        if self._last_ticks:
            size = bisect_right(self._sizes, abs(self._flow)) - 1
            if self._base_ticks is not None and size >= 0:
                move = self._last_ticks - self._base_ticks
                self._windows[size].push((1.0, float(move if self._flow > 0 else -move)))
            self._base_ticks = self._last_ticks
        self._interval = interval
        self._flow = self._last_ticks = 0

    @property
    def value(self) -> tuple[ImpactPoint, ...]:
        """A point for each size, the smallest first; ``ticks`` is None where no interval was of that size."""
        points = []
        for lots, window in zip(self._sizes, self._windows, strict=True):
            total = window.total
            points.append(ImpactPoint(lots, None if total is None else total[1], len(window)))
        return tuple(points)


class SweepCost(NamedTuple):
    """Cost of taking ``lots`` at once against the mid, in basis points; None where the known levels hold less."""

    lots: int
    buy_bps: float | None
    sell_bps: float | None


class SweepCurve:
    """What each of ``sizes`` lots would pay beyond the mid if it took the book now, fees left out; O(levels given)."""

    __slots__ = ("_sizes", "value")

    def __init__(self, sizes: Sequence[int]) -> None:
        if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"sizes are lots from 1 up in rising order, not {sizes!r}")
        self._sizes = tuple(sizes)
        self.value: tuple[SweepCost, ...] | None = None
        """A point for each size; None without a proved book of two sides that has a price."""

    def update(self, state: BookState, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Take a book's state and its best levels, best first."""
        self.value = None
        if state is not BookState.SYNCED or not bids or not asks:
            return
        twice_mid = bids[0][0] + asks[0][0]
        if twice_mid <= 0:
            return
        found = []
        for lots in self._sizes:
            bought, sold = _paid(asks, lots), _paid(bids, lots)
            found.append(
                SweepCost(
                    lots,
                    None if bought is None else (2 * bought - lots * twice_mid) / (lots * twice_mid) * 1e4,
                    None if sold is None else (lots * twice_mid - 2 * sold) / (lots * twice_mid) * 1e4,
                )
            )
        self.value = tuple(found)


def _paid(levels: Sequence[Level], lots: int) -> int | None:
    """Ticks times lots for taking ``lots`` from the best level on; None when there is not as much."""
    paid = 0
    for ticks, there in levels:
        taken = min(lots, there)
        paid += taken * ticks
        lots -= taken
        if not lots:
            return paid
    return None
