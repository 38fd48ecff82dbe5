"""Small running estimators that strategies share: decayed means, variances, volatility and order flow.

Signals are floats (ticks, lots, basis points): they decide whether to trade, never what is booked. Time is given
in UTC nanoseconds by the caller and may stand still, it does not go back.
"""

from __future__ import annotations

from math import exp, sqrt

_LN2 = 0.6931471805599453


class Ewma:
    """A mean whose memory halves every ``half_life_s`` of elapsed time, not of samples."""

    __slots__ = ("_rate_per_ns", "_ts_ns", "value")

    def __init__(self, half_life_s: float) -> None:
        self._rate_per_ns = _LN2 / (half_life_s * 1e9)
        self._ts_ns = 0
        self.value = 0.0

    def update(self, x: float, now_ns: int) -> float:
        """Take one sample and return the mean."""
        if self._ts_ns == 0:
            self.value = x
        else:
            self.value += (1.0 - exp(-self._rate_per_ns * max(0, now_ns - self._ts_ns))) * (x - self.value)
        self._ts_ns = now_ns
        return self.value


class EwmaVariance:
    """Decayed mean and variance of a series, West's incremental form (CACM 22(9), 1979).

    With a ``prior_mean`` the mean starts there and the samples have to move it; without one it is the first sample.
    """

    __slots__ = ("_known", "_prior", "_rate_per_ns", "_ts_ns", "mean", "variance")

    def __init__(self, half_life_s: float, prior_mean: float | None = None) -> None:
        self._rate_per_ns = _LN2 / (half_life_s * 1e9)
        self._ts_ns = 0
        self._prior = prior_mean
        self._known = 0.0
        self.mean = prior_mean or 0.0
        self.variance = 0.0

    def update(self, x: float, now_ns: int) -> None:
        """Take one sample."""
        if self._ts_ns == 0:
            if self._prior is None:
                self.mean = x
        else:
            alpha = 1.0 - exp(-self._rate_per_ns * max(0, now_ns - self._ts_ns))
            diff = x - self.mean
            step = alpha * diff
            self.mean += step
            self.variance = (1.0 - alpha) * (self.variance + diff * step)
            self._known += alpha * (1.0 - self._known)
        self._ts_ns = now_ns

    @property
    def sigma(self) -> float:
        """The standard deviation, in the unit of the samples; a young estimate is scaled up to what it has seen."""
        return sqrt(self.variance / self._known) if self._known > 0.0 else 0.0


class Volatility:
    """Decayed volatility of a price, sampled no faster than ``sample_ms`` so that bid-ask bounce does not dominate."""

    __slots__ = ("_last_price", "_last_ts_ns", "_sample_ns", "_variance")

    def __init__(self, half_life_s: float, sample_ms: int) -> None:
        self._variance = Ewma(half_life_s)
        self._sample_ns = sample_ms * 1_000_000
        self._last_price = 0.0
        self._last_ts_ns = 0

    def update(self, price: float, now_ns: int) -> None:
        """Offer a price; it is taken as a sample when enough time has passed."""
        elapsed_ns = now_ns - self._last_ts_ns
        if elapsed_ns < self._sample_ns:
            return
        if self._last_ts_ns:
            move = price - self._last_price
            self._variance.update(move * move / (elapsed_ns * 1e-9), now_ns)
        self._last_price = price
        self._last_ts_ns = now_ns

    def over(self, horizon_s: float) -> float:
        """Standard deviation of the move over ``horizon_s``, in the unit of the prices."""
        return sqrt(self._variance.value * horizon_s)


class Imbalance:
    """Decayed signed flow over decayed absolute flow: from -1 (all selling) to +1 (all buying)."""

    __slots__ = ("_rate_per_ns", "_total", "_ts_ns", "signed")

    def __init__(self, half_life_s: float) -> None:
        self._rate_per_ns = _LN2 / (half_life_s * 1e9)
        self._ts_ns = 0
        self.signed = 0.0
        self._total = 0.0

    def add(self, flow: float, now_ns: int) -> None:
        """Add a signed flow that happened at ``now_ns``."""
        keep = exp(-self._rate_per_ns * max(0, now_ns - self._ts_ns))
        self.signed = self.signed * keep + flow
        self._total = self._total * keep + abs(flow)
        self._ts_ns = now_ns

    @property
    def ratio(self) -> float:
        """Signed over absolute flow; 0 before any flow."""
        return self.signed / self._total if self._total > 1e-12 else 0.0


class OrderFlowImbalance:
    """Best-level order flow imbalance of Cont, Kukanov and Stoikov (J. Financial Econometrics 12(1), 2014), decayed."""

    __slots__ = ("_ask", "_ask_lots", "_bid", "_bid_lots", "flow")

    def __init__(self, half_life_s: float) -> None:
        self.flow = Imbalance(half_life_s)
        self._bid = 0
        self._bid_lots = 0
        self._ask = 0
        self._ask_lots = 0

    def update(self, bid: int, bid_lots: int, ask: int, ask_lots: int, now_ns: int) -> None:
        """Take the next state of the best levels (ticks and lots)."""
        if self._ask:
            event = 0
            if bid >= self._bid:
                event += bid_lots
            if bid <= self._bid:
                event -= self._bid_lots
            if ask <= self._ask:
                event -= ask_lots
            if ask >= self._ask:
                event += self._ask_lots
            if event:
                self.flow.add(event, now_ns)
        self._bid, self._bid_lots, self._ask, self._ask_lots = bid, bid_lots, ask, ask_lots

    def reset(self) -> None:
        """Forget the last levels, because the next ones do not follow from them."""
        self._ask = 0
