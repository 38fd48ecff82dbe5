"""The arithmetic of positions: value, profit of linear and inverse contracts, average entry, the rounding rule.

Pure functions and one value. The rule is the venues' wallets': values in base coin and shares of cost are rounded at 8
decimals, half to even, and the last close takes what is left of the cost, so that rounding never accumulates.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import OrderFilled

MONEY_QUANTUM = Decimal("0.00000001")
ZERO = Decimal(0)


def money(amount: Decimal) -> Decimal:
    """``amount`` rounded to 8 decimals, half to even."""
    return amount.quantize(MONEY_QUANTUM, rounding=ROUND_HALF_EVEN)


def linear_pnl(qty: Decimal, entry_px: Decimal, exit_px: Decimal, multiplier: Decimal) -> Decimal:
    """Profit in quote of closing ``qty`` (positive was long): exact."""
    return qty * multiplier * (exit_px - entry_px)


def inverse_pnl(qty: Decimal, entry_px: Decimal, exit_px: Decimal, multiplier: Decimal) -> Decimal:
    """Profit in base coin of closing ``qty`` contracts: qty*mult/entry - qty*mult/exit, each value rounded."""
    return money(qty * multiplier / entry_px) - money(qty * multiplier / exit_px)


def value_of(instrument: Instrument, qty: Decimal, px: Decimal) -> Decimal:
    """``qty`` at ``px``, signed like ``qty``: exact in quote (spot, linear), rounded in base coin (inverse)."""
    if instrument.kind is InstrumentKind.INVERSE:
        return money(qty * instrument.multiplier / px)
    return qty * px * instrument.multiplier


def pnl_asset(instrument: Instrument) -> str:
    """What profit is paid in: the settlement asset of a contract, the quote of a spot pair."""
    return instrument.quote if instrument.kind is InstrumentKind.SPOT else instrument.settle


def apportion(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split ``amount`` by ``weights`` at 8 decimals; exact in sum, the heaviest (the first of them) takes the rest."""
    total = sum(weights, ZERO)
    if not total:
        raise ValueError(f"weights sum to zero: {list(weights)}")
    parts = [money(amount * weight / total) for weight in weights]
    heaviest = max(range(len(parts)), key=lambda i: (abs(weights[i]), -i))
    parts[heaviest] += amount - sum(parts, ZERO)
    return parts


def eaten(m: OrderFilled, instrument: Instrument) -> Decimal:
    """What the fee of an execution takes out of the holding itself: spot buys pay in the coin they buy."""
    return m.fee if instrument.kind is InstrumentKind.SPOT and m.fee_asset == instrument.base else ZERO


def moves(m: OrderFilled, instrument: Instrument) -> list[Decimal]:
    """What each leg's holding changes by, signed, in the order of the legs; their sum is the desk's change."""
    changes = [m.side.sign * leg.qty for leg in m.legs]
    fee = eaten(m, instrument)
    if not fee:
        return changes
    return [c - part for c, part in zip(changes, apportion(fee, [leg.qty for leg in m.legs]), strict=True)]


class Holding(msgspec.Struct, kw_only=True):
    """A signed quantity and what it cost (`value_of`, signed like it), by the average entry price method."""

    qty: Decimal = ZERO
    cost: Decimal = ZERO

    def entry_px(self, instrument: Instrument) -> Decimal | None:
        """The average entry price, for display; None when flat."""
        if not self.qty or not self.cost:
            return None
        size = self.qty * instrument.multiplier
        return size / self.cost if instrument.kind is InstrumentKind.INVERSE else self.cost / size

    def trade(self, qty: Decimal, px: Decimal, instrument: Instrument) -> Decimal:
        """Add a signed execution; the profit it realises, in `pnl_asset`."""
        if not self.qty or (self.qty > 0) == (qty > 0):
            self.qty += qty
            self.cost += value_of(instrument, qty, px)
            return ZERO
        if abs(qty) < abs(self.qty):
            share = money(self.cost * abs(qty) / abs(self.qty))
            self.qty += qty
            self.cost -= share
            return _realized(instrument, share, value_of(instrument, qty, px))
        realized = _realized(instrument, self.cost, value_of(instrument, -self.qty, px))
        self.qty += qty
        self.cost = value_of(instrument, self.qty, px) if self.qty else ZERO
        return realized

    def consume(self, qty: Decimal, px: Decimal, instrument: Instrument) -> Decimal:
        """Take out what a fee in base took, at cost; what that cost was. Out of nothing it is bought at ``px``."""
        share = money(self.cost * qty / self.qty) if self.qty else value_of(instrument, qty, px)
        self.qty -= qty
        self.cost -= share
        return share

    def unrealized(self, mark: Decimal, instrument: Instrument) -> Decimal:
        """Profit if closed at ``mark``, in `pnl_asset`."""
        return _realized(instrument, self.cost, value_of(instrument, -self.qty, mark)) if self.qty else ZERO


def _realized(instrument: Instrument, cost: Decimal, exit_value: Decimal) -> Decimal:
    # Both have opposite signs: their sum is the difference, for long and for short.
    return cost + exit_value if instrument.kind is InstrumentKind.INVERSE else -(cost + exit_value)
