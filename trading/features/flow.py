"""What trades say: cumulative volume delta, VWAP, Kyle's lambda, the volume profile. Prices in ticks, volumes in lots.

Sums of lots are integers, so they are exact. Windows are spans of the trades' own time (`Trade.ts_event_ns`).
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from trading.features.returns import RollingRegression
from trading.features.windows import TimeWindow, add, at_least, merge_weighted, not_negative, positive
from trading.market.events import Aggressor, Trade


def signed_lots(trade: Trade) -> int:
    """The trade's lots, positive when the buyer took liquidity."""
    return trade.qty_lots if trade.aggressor is Aggressor.BUY else -trade.qty_lots


class VolumeDelta:
    """Cumulative volume delta: lots bought less lots sold by takers, over a window and since the first trade."""

    __slots__ = ("_window", "cumulative")

    def __init__(self, window_ns: int, buckets: int = 60) -> None:
        self._window = TimeWindow(add, window_ns, buckets)
        self.cumulative = 0

    def update(self, trade: Trade) -> None:
        """Take one trade."""
        lots = signed_lots(trade)
        self.cumulative += lots
        self._window.push(lots, trade.ts_event_ns)

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns`` and nobody traded."""
        self._window.advance(ts_ns)

    @property
    def value(self) -> int | None:
        """Lots over the window, or None before a whole one was seen."""
        return (self._window.total or 0) if self._window.warm else None


class Vwap:
    """Volume weighted average price over a window: sum(price * volume) / sum(volume), in the unit of the prices."""

    __slots__ = ("_window",)

    def __init__(self, window_ns: int, buckets: int = 60) -> None:
        self._window = TimeWindow(merge_weighted, window_ns, buckets)

    def update(self, price: float, volume: float, ts_ns: int) -> None:
        """Take one trade or one bar (its typical price and volume)."""
        positive("VWAP price", price)
        not_negative("VWAP volume", volume)
        if volume:
            self._window.push((float(volume), float(price)), ts_ns)
        else:
            self._window.advance(ts_ns)

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns`` and nobody traded."""
        self._window.advance(ts_ns)

    @property
    def value(self) -> float | None:
        """The price; None before a whole window was seen and when nothing traded in it."""
        total = self._window.total
        return total[1] if total is not None and self._window.warm else None


class KyleLambda:
    """Kyle's lambda, ticks a lot: the slope of price change on signed volume over the last ``window`` intervals.

    The regression, with intercept, of Hasbrouck (J. Financial Economics 22(1), 1988) for the price impact of Kyle
    (Econometrica 53(6), 1985). Intervals are ``interval_ns`` long, aligned to UTC; the price change is between the last
    trades of this interval and of the one before it that traded. Intervals without a trade are left out.
    """

    __slots__ = ("_base_ticks", "_flow", "_interval", "_interval_ns", "_last_ticks", "_regression")

    def __init__(self, interval_ns: int, window: int) -> None:
        self._interval_ns = at_least("interval_ns", 1, interval_ns)
        self._regression = RollingRegression(window)
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
            if self._base_ticks is not None:
                self._regression.update(self._flow, self._last_ticks - self._base_ticks)
            self._base_ticks = self._last_ticks
        self._interval = interval
        self._flow = self._last_ticks = 0

    @property
    def value(self) -> float | None:
        """The slope; None before ``window`` closed intervals and when the flow was the same in all of them."""
        return self._regression.value


class Profile(NamedTuple):
    """Prices in ticks, each the lowest tick of its bin; volumes in lots; the area includes both of its ends."""

    point_of_control: int
    area_low: int
    area_high: int
    area_lots: int
    total_lots: int
    bin_ticks: int


class VolumeProfile:
    """Volume by price over a window, with the point of control and the value area (Steidlmayer's market profile).

    The point of control is the bin with most volume, the lower of equals. The area grows from it by the larger of
    the next bins that traded on either side, the upper of equals, until it holds ``area`` of the volume.

    An update is O(1) amortised, reading `value` O(bins). Memory is O(buckets * max_bins): when a window would need
    more bins, they become twice as wide (no volume is lost) and stay so; ``bin_ticks`` says how wide they are.
    """

    __slots__ = ("_area", "_bins", "_bucket", "_bucket_ns", "_buckets", "_first", "_max_bins", "_parts", "bin_ticks")

    def __init__(
        self, window_ns: int, bin_ticks: int = 1, buckets: int = 60, max_bins: int = 2000, area: float = 0.7
    ) -> None:
        if not 0.0 < area <= 1.0:
            raise ValueError(f"the value area is {area}, but it is a fraction above 0 and at most 1")
        self.bin_ticks = at_least("bin_ticks", 1, bin_ticks)
        self._buckets = at_least("buckets", 1, buckets)
        self._bucket_ns = at_least("window_ns", buckets, window_ns) // buckets
        self._max_bins = at_least("max_bins", 1, max_bins)
        self._area = area
        self._bins: Counter[int] = Counter()
        self._parts: deque[tuple[int, Counter[int]]] = deque()
        self._bucket = self._first = -1

    def update(self, trade: Trade) -> None:
        """Take one trade."""
        self.advance(trade.ts_event_ns)
        if not trade.qty_lots:
            return
        if not self._parts or self._parts[-1][0] != self._bucket:
            self._parts.append((self._bucket, Counter()))
        price_bin = trade.price_ticks // self.bin_ticks
        self._parts[-1][1][price_bin] += trade.qty_lots
        self._bins[price_bin] += trade.qty_lots
        while len(self._bins) > self._max_bins:
            self._widen()

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns``: what is too old leaves."""
        bucket = ts_ns // self._bucket_ns
        if bucket <= self._bucket:
            return
        if self._first < 0:
            self._first = bucket
        self._bucket = bucket
        bins = self._bins
        while self._parts and self._parts[0][0] <= bucket - self._buckets:
            for price_bin, lots in self._parts.popleft()[1].items():
                if bins[price_bin] == lots:
                    del bins[price_bin]
                else:
                    bins[price_bin] -= lots

    def _widen(self) -> None:
        self.bin_ticks *= 2
        self._bins = _halved(self._bins)
        self._parts = deque((bucket, _halved(part)) for bucket, part in self._parts)

    @property
    def value(self) -> Profile | None:
        """The profile; None before a whole window was seen and when nothing traded in it."""
        if not self._bins or self._bucket - self._first < self._buckets:
            return None
        prices = sorted(self._bins)
        lots = [self._bins[price] for price in prices]
        total = sum(lots)
        wanted = self._area * total
        peak = low = high = lots.index(max(lots))
        held = lots[peak]
        while held < wanted and (low > 0 or high < len(lots) - 1):
            below = lots[low - 1] if low > 0 else -1
            above = lots[high + 1] if high < len(lots) - 1 else -1
            if above >= below:
                high += 1
                held += above
            else:
                low -= 1
                held += below
        width = self.bin_ticks
        return Profile(prices[peak] * width, prices[low] * width, prices[high] * width, held, total, width)


def _halved(bins: Counter[int]) -> Counter[int]:
    wider: Counter[int] = Counter()
    for price_bin, lots in bins.items():
        wider[price_bin // 2] += lots
    return wider
