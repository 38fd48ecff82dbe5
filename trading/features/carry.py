"""What holding costs: basis of a perpetual and of a dated future, funding a year, time to the next funding.

Rates and basis are fractions, paid by longs when positive; nothing here is booked, so they are floats.
"""

from __future__ import annotations

from trading.features.windows import figure, number, positive
from trading.market.events import FundingRate, MarkPrice

YEAR_NS = 365 * 86_400 * 1_000_000_000
HOUR_NS = 3_600 * 1_000_000_000


class FundingBasis:
    """Basis and funding of one perpetual, from what its venue says of it; ``value`` is the basis.

    The basis is mark / index - 1. A year's funding is the forming rate times the settlements of a 365-day year,
    not compounded; the interval is ``interval_ns`` (8 h at most venues) until the venue states its own.
    """

    __slots__ = ("_basis", "_next_ns", "_rate", "interval_ns")

    def __init__(self, interval_ns: int = 8 * HOUR_NS) -> None:
        self.interval_ns = interval_ns
        self._basis: float | None = None
        self._rate: float | None = None
        self._next_ns: int | None = None

    def update(self, event: MarkPrice | FundingRate) -> None:
        """Take a mark price or a funding rate; what an event does not say stays as it was."""
        if event.funding_rate is not None:
            number("funding rate", figure("funding rate", event.funding_rate))
        match event:
            case MarkPrice():
                if event.index_price is not None:
                    mark = figure("mark price", event.mark_price)
                    index = figure("index price", event.index_price)
                    positive("mark price", mark)
                    positive("index price", index)
                    self._basis = mark / index - 1.0
                if event.next_funding_ns is not None:
                    self._next_ns = event.next_funding_ns
            case FundingRate():
                self._next_ns = event.funding_ns
                if event.next_funding_ns is not None and event.next_funding_ns > event.funding_ns:
                    self.interval_ns = event.next_funding_ns - event.funding_ns
        if event.funding_rate is not None:
            self._rate = float(event.funding_rate)

    @property
    def value(self) -> float | None:
        """The basis, a fraction; None before both prices were told."""
        return self._basis

    @property
    def funding_a_year(self) -> float | None:
        """The forming rate over 365 days, or None before one was told."""
        return None if self._rate is None else self._rate * (YEAR_NS / self.interval_ns)

    def to_funding_s(self, now_ns: int) -> float | None:
        """Seconds to the next settlement at ``now_ns`` (UTC); None when it is not known or has passed."""
        if self._next_ns is None or self._next_ns < now_ns:
            return None
        return (self._next_ns - now_ns) / 1e9


class DatedBasis:
    """Annualised basis of a future that expires at ``expiry_ns`` (UTC): (future / spot - 1) * year / time left.

    Simple interest over a 365-day year, as a fraction. Prices in any one unit, above 0.
    """

    __slots__ = ("_expiry_ns", "value")

    def __init__(self, expiry_ns: int) -> None:
        self._expiry_ns = expiry_ns
        self.value: float | None = None
        """The basis a year; None before the first prices and from the expiry on."""

    def update(self, future: float, spot: float, now_ns: int) -> None:
        """Take both prices as they are at ``now_ns``."""
        positive("future price", future)
        positive("spot price", spot)
        left_ns = self._expiry_ns - now_ns
        self.value = (future / spot - 1.0) * (YEAR_NS / left_ns) if left_ns > 0 else None
