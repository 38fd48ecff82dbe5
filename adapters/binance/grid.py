"""From the venue's decimal strings to integer ticks and lots, exactly and fast.

Each distinct string is checked and converted once, with integers only, and then remembered: of the recorded depth
levels 75-96 % of prices and 87-98 % of quantities repeat. Owns those two bounded memories; knows nothing of JSON. What
the native parser converts itself never comes here: it is only counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Protocol

from trading.instruments import Instrument
from trading.market.events import Level

MEMORY_ENTRIES = 1 << 13
MAX_DIGITS = 24
UNITS_END = 1 << 62
FREE_FINER_QUANTITIES = 64
FINER_WINDOW = 1 << 16
STRAYS_BELOW = 20
MAX_STRAYS = 512


class RejectReason(Enum):
    """Why bytes could not become an event; the value is `WireRejected.reason`."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_SYMBOL = "unknown_symbol"
    SYMBOL_MISMATCH = "symbol_mismatch"
    SNAPSHOT_WITHOUT_SYMBOL = "snapshot_without_symbol"
    VENUE_ERROR = "venue_error"
    BAD_NUMBER = "bad_number"
    BAD_SEQUENCE = "bad_sequence"
    ZERO_PRICE = "zero_price"
    OFF_GRID_PRICE = "off_grid_price"
    OFF_GRID_QTY = "off_grid_qty"


class WireFault(Exception):  # noqa: N818 - it is what is wrong with the wire, not a bug of ours
    """One message cannot be believed. Never leaves the codec: it becomes `WireRejected`."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


_Pairs = Sequence[tuple[str, str]]


class Converter(Protocol):
    """Whoever else converts quantities of this grid, none of them finer than the lot."""

    @property
    def quantities(self) -> int:
        """How many so far."""
        ...


class _Memory(dict[str, int]):
    """Venue number to units of one step. A number met for the first time is checked and converted by `__missing__`."""

    __slots__ = ("_recent_finer", "_recent_from", "_scale", "_step", "_zero_is_fine", "finer", "met", "other")

    def __init__(self, step: Decimal, *, zero_is_fine: bool) -> None:
        super().__init__()
        numerator, denominator = step.as_integer_ratio()
        # By number of decimals d: units = digits * denominator / (numerator * 10**d).
        self._scale: list[tuple[int, int]] = [
            (denominator, numerator * int(10**decimals)) for decimals in range(MAX_DIGITS + 1)
        ]
        self._step = step
        self._zero_is_fine = zero_is_fine
        self._recent_from = 0
        self._recent_finer = 0
        self.finer = 0
        self.met = 0
        self.other: Converter | None = None

    def __missing__(self, text: str) -> int:
        plain = text.replace(".", "", 1)
        if not plain.isdigit() or len(plain) > MAX_DIGITS or not plain.isascii():
            raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]!r} is not a plain decimal number")
        dot = text.find(".")
        multiplier, divisor = self._scale[len(plain) - dot if dot >= 0 else 0]
        value = int(plain) * multiplier
        units = value // divisor
        if units >= UNITS_END:
            raise WireFault(RejectReason.BAD_NUMBER, f"{text} is too large")
        if units * divisor != value:
            return self._finer_than_step(units, text)
        if not units and not self._zero_is_fine:
            raise WireFault(RejectReason.ZERO_PRICE, f"price {text}")
        if len(self) >= MEMORY_ENTRIES:
            self.clear()
        self[text] = units
        return units

    def counted(self) -> tuple[int, int, int]:
        """How many were finer, for `recount`."""
        return self.finer, self._recent_from, self._recent_finer

    def recount(self, counted: tuple[int, int, int]) -> None:
        """Forget what was counted since: the same numbers come again."""
        self.finer, self._recent_from, self._recent_finer = counted

    def _finer_than_step(self, units: int, text: str) -> int:
        # These are few and are not remembered, so that each one is counted.
        if not self._zero_is_fine:
            raise WireFault(RejectReason.OFF_GRID_PRICE, f"price {text} is off the {self._step} grid")
        self.finer += 1
        met = self.met + (self.other.quantities if self.other else 0)
        if met - self._recent_from > FINER_WINDOW:
            self._recent_from = met - FINER_WINDOW // 2
            self._recent_finer //= 2
        self._recent_finer += 1
        if self._recent_finer > FREE_FINER_QUANTITIES and self._recent_finer * 20 > met - self._recent_from:
            raise WireFault(RejectReason.OFF_GRID_QTY, f"quantity {text}, step {self._step}")
        return units or 1


class Grid:
    """The tick and lot grid of one instrument.

    A price off the grid is refused. A *quantity* finer than the lot is real: Binance spot keeps resting orders from
    before a change of stepSize (recorded 2024-08-08: 25.426189 BTC at 200000, step 0.00001). It is rounded down to
    whole lots, but to no less than one, so that a level never vanishes and liquidity is never overstated by a lot;
    ``finer_quantities`` counts them, and when there are more than `FREE_FINER_QUANTITIES` and more than one in twenty
    among the latest (`FINER_WINDOW` at most) the instrument's rules are out of date and they are refused.

    A *stray* is an order that rests off a tick that became coarser after it was placed (recorded 2021-07-22: 131 of
    CTKUSDT's 1229 levels, the nearest 370 levels from the touch). No new order can join it. A whole book may have
    `MAX_STRAYS` of them, each behind `STRAYS_BELOW` levels of its side: each becomes a level of 0 lots, so that a side
    still tells how many levels the venue stated, and what later diffs say of them is left out.
    """

    __slots__ = ("_lots", "_strays", "_ticks", "scales")

    def __init__(self, instrument: Instrument) -> None:
        self.scales = (_scale(instrument.tick_size), _scale(instrument.lot_size))
        self._ticks = _Memory(instrument.tick_size, zero_is_fine=False)
        self._lots = _Memory(instrument.lot_size, zero_is_fine=True)
        self._strays: frozenset[str] = frozenset()

    @property
    def finer_quantities(self) -> int:
        """How many quantities were finer than the lot."""
        return self._lots.finer

    def shared_with(self, other: Converter) -> None:
        """``other`` converts quantities too: they count among those of which few may be finer."""
        self._lots.other = other

    def meet(self, quantities: int) -> None:
        """So many quantities of depth messages are about to be converted."""
        self._lots.met += quantities

    def memories(self) -> tuple[dict[str, int], dict[str, int]]:
        """Price to ticks and quantity to lots, for loops that cannot afford a call per number; subscript them only."""
        return self._ticks, self._lots

    def sides(self, bids: _Pairs, asks: _Pairs, *, whole: bool = False) -> tuple[list[Level], list[Level]]:
        """Both sides of a book, best first when it is ``whole``, or what a diff changes, in ticks and lots."""
        ticks, lots = self._ticks, self._lots
        lots.met += len(bids) + len(asks)
        counted = lots.counted()
        try:
            found = (
                [(ticks[price], lots[qty]) for price, qty in bids],
                [(ticks[price], lots[qty]) for price, qty in asks],
            )
        except WireFault as fault:
            if fault.reason is not RejectReason.OFF_GRID_PRICE:
                raise
            lots.recount(counted)
        else:
            if whole:
                self._strays = frozenset()
            return found
        return self._whole_sides(bids, asks) if whole else (self._changes(bids), self._changes(asks))

    def _whole_sides(self, bids: _Pairs, asks: _Pairs) -> tuple[list[Level], list[Level]]:
        strays: set[str] = set()
        sides: list[list[Level]] = []
        for pairs in (bids, asks):
            side: list[Level] = []
            for price, qty in pairs:
                units = self._lots[qty]
                try:
                    side.append((self._ticks[price], units))
                except WireFault as fault:
                    near, many = len(side) < STRAYS_BELOW, len(strays) >= MAX_STRAYS
                    if fault.reason is not RejectReason.OFF_GRID_PRICE or near or many:
                        raise
                    strays.add(price)
                    side.append((0, 0))
            sides.append(side)
        self._strays = frozenset(strays)
        return sides[0], sides[1]

    def _changes(self, pairs: _Pairs) -> list[Level]:
        found: list[Level] = []
        for price, qty in pairs:
            units = self._lots[qty]
            try:
                found.append((self._ticks[price], units))
            except WireFault as fault:
                # A level that this grid cannot hold may go away: it was never held.
                if fault.reason is not RejectReason.OFF_GRID_PRICE or (units and price not in self._strays):
                    raise
        return found

    def levels(self, pairs: list[tuple[str, str]]) -> list[Level]:
        """``[(price, quantity)]`` in ticks and lots."""
        ticks, lots = self._ticks, self._lots
        lots.met += len(pairs)
        return [(ticks[price], lots[qty]) for price, qty in pairs]

    def ticks(self, price: str) -> int:
        """Ticks of a price above zero that lies on the grid."""
        return self._ticks[price]

    def lots(self, qty: str) -> int:
        """Lots of a quantity of zero or more."""
        return self._lots[qty]


def _scale(step: Decimal) -> tuple[int, int]:
    """The step as (decimals, multiple): 0.5 is (1, 5), 10 is (0, 10)."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # a step is finite
    decimals = max(0, -exponent)
    return decimals, int(step * 10**decimals)
