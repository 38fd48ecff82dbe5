"""How prices move: realised volatility, skewness and kurtosis, moments of any series, regression of two."""

from __future__ import annotations

from math import log, sqrt

from trading.features.windows import CountWindow, at_least, merge_joint, merge_moments4, number, positive

_Powers = tuple[float, float, float]


def _add_powers(a: _Powers, b: _Powers) -> _Powers:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


class RealisedMoments:
    """Realised volatility, skewness and kurtosis of the last ``window`` log returns; prices in any unit, above 0.

    Volatility is the root of the sum of squared returns (Andersen, Bollerslev: International Economic Review 39(4),
    1998): a fraction over the window, not over a year. Skewness and kurtosis are those of Amaya, Christoffersen,
    Jacobs, Vasquez (J. Financial Economics 118(1), 2015); they have no unit, and kurtosis is 3 for a normal law.
    """

    __slots__ = ("_last", "_window")

    def __init__(self, window: int) -> None:
        self._window = CountWindow(_add_powers, at_least("window", 2, window))
        self._last = 0.0

    def update(self, price: float) -> None:
        """Take one price; how far apart they are is the caller's choice and is part of the figure."""
        positive("price", price)
        if self._last:
            r = log(price / self._last)
            square = r * r
            self._window.push((square, square * r, square * square))
        self._last = price

    def _sums(self) -> _Powers | None:
        return self._window.total if self._window.full else None

    @property
    def value(self) -> float | None:
        """The volatility over the window, or None before ``window`` returns."""
        sums = self._sums()
        return None if sums is None else sqrt(sums[0])

    @property
    def skewness(self) -> float | None:
        """Realised skewness; None before ``window`` returns and when no price moved."""
        sums = self._sums()
        if sums is None or not sums[2]:
            return None
        return sqrt(self._window.window) * sums[1] / (sums[0] * sqrt(sums[0]))

    @property
    def kurtosis(self) -> float | None:
        """Realised kurtosis; None before ``window`` returns and when no price moved."""
        sums = self._sums()
        if sums is None or not sums[2]:
            return None
        return self._window.window * sums[2] / (sums[0] * sums[0])


class RollingMoments:
    """Mean, deviation, skewness and excess kurtosis (all divided by n) of the last ``window`` samples of any unit."""

    __slots__ = ("_window",)

    def __init__(self, window: int) -> None:
        self._window = CountWindow(merge_moments4, at_least("window", 2, window))

    def update(self, x: float) -> None:
        """Take one sample."""
        number("sample", x)
        self._window.push((1, x, 0.0, 0.0, 0.0))

    @property
    def value(self) -> tuple[float, float, float | None, float | None] | None:
        """(mean, deviation, skewness, excess kurtosis), or None before ``window`` samples.

        The last two are None when the samples are equal.
        """
        total = self._window.total
        if total is None or not self._window.full:
            return None
        n, mean, m2, m3, m4 = total
        variance = m2 / n
        square = variance * variance
        if not square:
            return mean, sqrt(variance), None, None
        return mean, sqrt(variance), m3 / n / (variance * sqrt(variance)), m4 / n / square - 3.0


class RollingRegression:
    """Least squares y = intercept + slope * x over the last ``window`` pairs."""

    __slots__ = ("_window",)

    def __init__(self, window: int) -> None:
        self._window = CountWindow(merge_joint, at_least("window", 2, window))

    def update(self, x: float, y: float) -> None:
        """Take one pair."""
        number("x", x)
        number("y", y)
        self._window.push((1, x, y, 0.0, 0.0, 0.0))

    @property
    def value(self) -> float | None:
        """The slope, unit of y by unit of x; None before ``window`` pairs and when all x are equal."""
        total = self._window.total
        if total is None or not self._window.full or not total[3]:
            return None
        return total[5] / total[3]

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation, -1 to 1; None before ``window`` pairs and when x or y does not vary."""
        total = self._window.total
        if total is None or not self._window.full:
            return None
        scale = sqrt(total[3]) * sqrt(total[4])
        return max(-1.0, min(1.0, total[5] / scale)) if scale else None
