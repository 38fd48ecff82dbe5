"""The arithmetic of positions: profit of linear and inverse contracts, average entry, the rounding rule.

Pure functions and one value, shared by the ledger and whoever must agree with it. Rule: entry cost is exact
(`fractions.Fraction`); only what is posted to cash is rounded, to 8 decimals, half to even.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import msgspec

from trading.instruments import Instrument, InstrumentKind

CASH_QUANTUM = Decimal("1e-8")
_DENOMINATOR_MAX = 10**60
_COST_SCALE = 10**30


def to_cash(amount: Fraction) -> Decimal:
    """What is posted: ``amount`` rounded half to even at 8 decimals."""
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(amount.numerator) / Decimal(amount.denominator)
        return exact.quantize(CASH_QUANTUM, rounding=ROUND_HALF_EVEN)


def linear_pnl(qty: Decimal, entry: Fraction, exit_px: Decimal, multiplier: Decimal) -> Fraction:
    """Profit in quote of closing ``qty`` (signed: positive was long) from ``entry`` at ``exit_px``."""
    return Fraction(qty) * Fraction(multiplier) * (Fraction(exit_px) - entry)


def inverse_pnl(qty: Decimal, entry: Fraction, exit_px: Decimal, multiplier: Decimal) -> Fraction:
    """Profit in base coin of closing ``qty`` contracts of ``multiplier`` quote each: qty*mult*(1/entry - 1/exit)."""
    return Fraction(qty) * Fraction(multiplier) * (1 / entry - 1 / Fraction(exit_px))


class Holding(msgspec.Struct, kw_only=True):
    """A signed quantity and what it cost, by the average entry price method.

    ``cost`` is signed like ``qty``: sum of qty*px*mult in quote for spot and linear; for inverse contracts the sum of
    qty*mult/px in base coin. Should its denominator outgrow 60 digits it is rounded at 30 decimals, far below cash.
    """

    qty: Decimal = Decimal(0)
    cost: Fraction = Fraction(0)

    def entry(self, instrument: Instrument) -> Fraction | None:
        """The average entry price; None when flat."""
        if not self.qty or not self.cost:
            return None
        size = Fraction(self.qty) * Fraction(instrument.multiplier)
        return size / self.cost if instrument.kind is InstrumentKind.INVERSE else self.cost / size

    def trade(self, qty: Decimal, px: Decimal, instrument: Instrument) -> Fraction:
        """Add a signed execution; the profit it realises, exact, in quote (linear, spot) or base coin (inverse)."""
        realized = Fraction(0)
        closing = Decimal(0)
        if self.qty and (self.qty > 0) != (qty > 0):
            closing = min(abs(qty), abs(self.qty)) * (1 if self.qty > 0 else -1)
            entry = self.entry(instrument)
            part = self.cost * Fraction(closing) / Fraction(self.qty)
            if entry is not None:
                pnl = inverse_pnl if instrument.kind is InstrumentKind.INVERSE else linear_pnl
                realized = pnl(closing, entry, px, instrument.multiplier)
            self.cost -= part
            self.qty -= closing
        opening = qty + closing
        if opening:
            self.qty += opening
            self.cost += _value(opening, px, instrument)
        if self.cost.denominator > _DENOMINATOR_MAX:
            self.cost = Fraction(round(self.cost * _COST_SCALE), _COST_SCALE)
        return realized

    def consume(self, qty: Decimal) -> Fraction:
        """Take ``qty`` (signed like the holding) out at cost, as a fee in base does; its cost."""
        if not self.qty:
            return Fraction(0)
        part = self.cost * Fraction(qty) / Fraction(self.qty)
        self.cost -= part
        self.qty -= qty
        return part

    def unrealized(self, mark: Decimal, instrument: Instrument) -> Fraction:
        """Profit if closed at ``mark``, in quote (linear, spot) or base coin (inverse)."""
        if not self.qty:
            return Fraction(0)
        if instrument.kind is InstrumentKind.INVERSE:
            return self.cost - _value(self.qty, mark, instrument)
        return _value(self.qty, mark, instrument) - self.cost


def _value(qty: Decimal, px: Decimal, instrument: Instrument) -> Fraction:
    size = Fraction(qty) * Fraction(instrument.multiplier)
    return size / Fraction(px) if instrument.kind is InstrumentKind.INVERSE else size * Fraction(px)
