"""What can be traded: canonical ids, units and filters of one instrument.

Owns the conversion between the venue's decimal strings and the integer ticks and lots that books,
strategies and quoting loops use. Does not own fees schedules per account tier or delisting state.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from enum import Enum

import msgspec


class InstrumentKind(Enum):
    """How a contract's value depends on its price."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable thing on one venue.

    ``instrument_id`` is canonical: ``VENUE:TYPE:BASE-QUOTE[:KIND]``, for example
    ``BINANCE:SPOT:BTC-USDT`` or ``BINANCEUSDM:PERP:BTC-USDT:LINEAR``. The same ticker on two venues has two ids.
    ``symbol`` is the venue's own word. One lot is ``lot_size`` of the venue's quantity unit (base asset for
    spot and linear, contracts for inverse; contracts for linear too on OKX). ``multiplier`` is the value of one
    quantity unit: base units for spot and linear (1, or what a contract holds), quote currency per contract (100 USD
    for BTCUSD_PERP) for inverse.
    Fees are fractions of notional (0.0002 = 2 bps); negative is a rebate.
    """

    instrument_id: str
    venue: str
    symbol: str
    kind: InstrumentKind
    base: str
    quote: str
    settle: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    multiplier: Decimal = Decimal(1)
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    rules_version: str = "1"

    def ticks(self, price: Decimal | str) -> int:
        """The integer tick of ``price``; ``ValueError`` when it is off the grid."""
        return _units(Decimal(price), self.tick_size, "price", self.instrument_id)

    def lots(self, qty: Decimal | str) -> int:
        """The integer lots of ``qty``; ``ValueError`` when it is off the grid."""
        return _units(Decimal(qty), self.lot_size, "quantity", self.instrument_id)

    def price(self, ticks: int) -> Decimal:
        """The price of an integer tick, in quote currency."""
        return self.tick_size * ticks

    def qty(self, lots: int) -> Decimal:
        """The quantity of integer lots, in the venue's quantity unit."""
        return self.lot_size * lots

    def lots_floor(self, qty: Decimal) -> int:
        """Whole lots in ``qty``, rounded towards zero."""
        return int((qty / self.lot_size).to_integral_value(rounding=ROUND_DOWN))

    def notional(self, qty: Decimal, price: Decimal) -> Decimal:
        """The value of ``qty`` at ``price`` in quote currency (USD-like); inverse contracts are price-free."""
        if self.kind is InstrumentKind.INVERSE:
            return abs(qty) * self.multiplier
        return abs(qty) * price * self.multiplier


def _units(value: Decimal, step: Decimal, what: str, instrument_id: str) -> int:
    try:
        units = value / step
        whole = int(units)
    except (ArithmeticError, ValueError):
        raise ValueError(f"{what} {str(value)[:60]} of {instrument_id} is no number") from None
    if units != whole:
        raise ValueError(f"{what} {value} of {instrument_id} is not a multiple of {step}")
    return whole
