"""Who holds what and who is thrown out: open interest, liquidations, accounts long for each short. Venue units.

Quantities are the venue's own (`OpenInterest.qty`, `Liquidation.qty`) as decimals, so that sums are exact.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from trading.features.windows import BadSampleError, TimeWindow, figure
from trading.market.events import Liquidation, LongShortRatio, OpenInterest, PositionSide

LIMIT = Decimal(10) ** 24
"""Figures are below it: their sums and products stay exact in the 28 digits of a `Decimal`'s context, or near it."""


def _figure(name: str, x: Decimal) -> None:
    found = figure(name, x)
    if not 0 <= x < LIMIT:
        raise BadSampleError(name, found)


_Span = tuple[Decimal, Decimal]


def _spans(a: _Span, b: _Span) -> _Span:
    return a[0], b[1]


class OpenInterestChange:
    """Open interest and its change between the first and the last that a window holds; ``value`` is the change."""

    __slots__ = ("_window", "qty")

    def __init__(self, window_ns: int, buckets: int = 60) -> None:
        self._window: TimeWindow[_Span] = TimeWindow(_spans, window_ns, buckets)
        self.qty: Decimal | None = None
        """The last that the venue stated; None before any."""

    def update(self, event: OpenInterest) -> None:
        """Take what the venue states."""
        _figure("open interest", event.qty)
        self.qty = event.qty
        self._window.push((event.qty, event.qty), event.ts_event_ns)

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns`` and nothing was stated."""
        self._window.advance(ts_ns)

    @property
    def value(self) -> Decimal | None:
        """The change in the venue's quantity unit; None before a whole window and when nothing was stated in it."""
        total = self._window.total
        return None if total is None or not self._window.warm else total[1] - total[0]

    @property
    def fraction(self) -> float | None:
        """The change as a fraction of the first; None as `value`, and when the first was 0."""
        total = self._window.total
        if total is None or not self._window.warm or not total[0]:
            return None
        return float(total[1] / total[0]) - 1.0


class Liquidated(NamedTuple):
    """Liquidations of a window: how many positions, their quantities, and price times quantity, by side."""

    longs: int
    shorts: int
    long_qty: Decimal
    short_qty: Decimal
    long_turnover: Decimal
    short_turnover: Decimal

    @property
    def imbalance(self) -> float | None:
        """(shorts - longs) / (both) by quantity, -1 to 1: above 0 the forced orders buy. None without any."""
        both = self.long_qty + self.short_qty
        return float((self.short_qty - self.long_qty) / both) if both else None


_NONE = Liquidated(0, 0, Decimal(0), Decimal(0), Decimal(0), Decimal(0))


def _both(a: Liquidated, b: Liquidated) -> Liquidated:
    return Liquidated(a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5])


class LiquidationFlow:
    """Liquidations over a window. Venues state some of them, not all: a figure is a floor, not a total."""

    __slots__ = ("_window",)

    def __init__(self, window_ns: int, buckets: int = 60) -> None:
        self._window: TimeWindow[Liquidated] = TimeWindow(_both, window_ns, buckets)

    def update(self, event: Liquidation) -> None:
        """Take one liquidation."""
        _figure("liquidated quantity", event.qty)
        _figure("liquidation price", event.price)
        turnover = event.price * event.qty
        if event.side is PositionSide.LONG:
            one = Liquidated(1, 0, event.qty, Decimal(0), turnover, Decimal(0))
        else:
            one = Liquidated(0, 1, Decimal(0), event.qty, Decimal(0), turnover)
        self._window.push(one, event.ts_event_ns)

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns`` and nobody was liquidated."""
        self._window.advance(ts_ns)

    @property
    def value(self) -> Liquidated | None:
        """The sums, or None before a whole window was seen."""
        return (self._window.total or _NONE) if self._window.warm else None


class AccountRatio:
    """Accounts that are long for each that is short, as the venue last said; ``share_long`` is 0 to 1."""

    __slots__ = ("share_long", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self.share_long: float | None = None

    def update(self, event: LongShortRatio) -> None:
        """Take what the venue states."""
        _figure("long short ratio", event.ratio)
        self.value = float(event.ratio)
        self.share_long = float(event.ratio / (1 + event.ratio))
