"""The classical indicators: EMA, RSI, MACD, ATR, Bollinger bands, z-score. A sample is a price in any unit, or a bar.

Each says None until it is warm. What a bar is, and when it closes, is the caller's.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from trading.features.windows import BadSampleError, CountWindow, at_least, merge_moments2, number


class _SeededMean:
    """A recursive mean with weight ``alpha``, seeded with the plain mean of its first ``period`` samples."""

    __slots__ = ("_alpha", "_period", "_seen", "mean")

    def __init__(self, period: int, alpha: float) -> None:
        self._period = at_least("period", 1, period)
        self._alpha = alpha
        self._seen = 0
        self.mean = 0.0

    def take(self, x: float) -> None:
        if self._seen < self._period:
            self._seen += 1
            self.mean += (x - self.mean) / self._seen
        else:
            self.mean += self._alpha * (x - self.mean)

    @property
    def warm(self) -> bool:
        return self._seen == self._period


class Ema:
    """Exponential moving average in the unit of its samples; weight 2 / (period + 1), seeded with the plain mean.

    The seed is that of most charting tools and of TA-Lib: the first value is the mean of the first ``period`` samples.
    """

    __slots__ = ("_mean",)

    def __init__(self, period: int) -> None:
        self._mean = _SeededMean(period, 2.0 / (period + 1))

    def update(self, x: float) -> None:
        """Take one sample."""
        number("EMA sample", x)
        self._mean.take(x)

    @property
    def value(self) -> float | None:
        """The average, or None before ``period`` samples."""
        return self._mean.mean if self._mean.warm else None


class Rsi:
    """Relative strength index, 0 to 100 (Wilder: New Concepts in Technical Trading Systems, 1978), period 14.

    Average gains and losses are Wilder's (weight 1 / period). Without losses it is 100, without any move 50.
    """

    __slots__ = ("_gain", "_last", "_loss")

    def __init__(self, period: int = 14) -> None:
        self._gain = _SeededMean(period, 1.0 / period)
        self._loss = _SeededMean(period, 1.0 / period)
        self._last: float | None = None

    def update(self, price: float) -> None:
        """Take one close."""
        number("RSI price", price)
        if self._last is not None:
            move = price - self._last
            self._gain.take(max(move, 0.0))
            self._loss.take(max(-move, 0.0))
        self._last = price

    @property
    def value(self) -> float | None:
        """The index, or None before ``period`` changes."""
        if not self._gain.warm:
            return None
        gain = self._gain.mean
        both = gain + self._loss.mean
        return 100.0 * gain / both if both else 50.0


class MacdValue(NamedTuple):
    """Fast less slow average, its own average, and the difference of these; in the unit of the prices."""

    line: float
    signal: float
    histogram: float


class Macd:
    """Moving average convergence divergence (Appel, 1979): EMA(fast) - EMA(slow) and its EMA(signal)."""

    __slots__ = ("_fast", "_signal", "_slow")

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        at_least("slow", fast + 1, slow)
        self._fast, self._slow, self._signal = Ema(fast), Ema(slow), Ema(signal)

    def update(self, price: float) -> None:
        """Take one close."""
        number("MACD price", price)
        self._fast.update(price)
        self._slow.update(price)
        fast, slow = self._fast.value, self._slow.value
        if fast is not None and slow is not None:
            self._signal.update(fast - slow)

    @property
    def value(self) -> MacdValue | None:
        """The three figures, or None before ``slow + signal - 1`` samples."""
        fast, slow, signal = self._fast.value, self._slow.value, self._signal.value
        if fast is None or slow is None or signal is None:
            return None
        return MacdValue(fast - slow, signal, fast - slow - signal)


class Atr:
    """Average true range in the unit of the prices (Wilder, 1978), period 14; the first bar's range is high - low."""

    __slots__ = ("_close", "_mean")

    def __init__(self, period: int = 14) -> None:
        self._mean = _SeededMean(period, 1.0 / period)
        self._close: float | None = None

    def update(self, high: float, low: float, close: float) -> None:
        """Take one closed bar."""
        number("ATR high", high)
        number("ATR low", low)
        number("ATR close", close)
        if high < low:
            raise BadSampleError("ATR range", high - low)
        if self._close is None:
            self._mean.take(high - low)
        else:
            self._mean.take(max(high, self._close) - min(low, self._close))
        self._close = close

    @property
    def value(self) -> float | None:
        """The average, or None before ``period`` bars."""
        return self._mean.mean if self._mean.warm else None


class RollingDeviation:
    """Mean and standard deviation (divided by n) of the last ``window`` samples, in their unit."""

    __slots__ = ("_window", "last")

    def __init__(self, window: int) -> None:
        self._window = CountWindow(merge_moments2, at_least("window", 2, window))
        self.last = 0.0

    def update(self, x: float) -> None:
        """Take one sample."""
        number("sample", x)
        self._window.push((1, x, 0.0))
        self.last = x

    @property
    def value(self) -> tuple[float, float] | None:
        """(mean, standard deviation), or None before ``window`` samples."""
        total = self._window.total
        if total is None or not self._window.full:
            return None
        n, mean, m2 = total
        return mean, sqrt(m2 / n)


class ZScore:
    """How many standard deviations (divided by n) the newest sample is from the mean of the last ``window``.

    The newest is one of these. 0 when all of them are equal.
    """

    __slots__ = ("_deviation",)

    def __init__(self, window: int) -> None:
        self._deviation = RollingDeviation(window)

    def update(self, x: float) -> None:
        """Take one sample."""
        self._deviation.update(x)

    @property
    def value(self) -> float | None:
        """The score, or None before ``window`` samples."""
        found = self._deviation.value
        if found is None:
            return None
        mean, sigma = found
        return (self._deviation.last - mean) / sigma if sigma else 0.0


class BollingerBands(NamedTuple):
    """Bands in the unit of the prices; ``percent_b`` is 0 at the lower, 1 at the upper, 0.5 when they coincide."""

    lower: float
    middle: float
    upper: float
    percent_b: float


class Bollinger:
    """Bollinger's bands: mean of ``window`` closes and ``width`` standard deviations (divided by n) to either side."""

    __slots__ = ("_deviation", "_width")

    def __init__(self, window: int = 20, width: float = 2.0) -> None:
        self._deviation = RollingDeviation(window)
        self._width = width

    def update(self, price: float) -> None:
        """Take one close."""
        self._deviation.update(price)

    @property
    def value(self) -> BollingerBands | None:
        """The bands, or None before ``window`` samples."""
        found = self._deviation.value
        if found is None:
            return None
        mean, sigma = found
        reach = self._width * sigma
        percent_b = (self._deviation.last - mean + reach) / (2.0 * reach) if reach else 0.5
        return BollingerBands(mean - reach, mean, mean + reach, percent_b)
