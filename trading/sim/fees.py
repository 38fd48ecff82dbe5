"""Fees of one execution and the quantum of money: the numbers the ledger has to arrive at too."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import Liquidity, Side

MONEY_QUANTUM = Decimal("0.00000001")
"""Fees, funding and every value that needs a division are rounded to this (8 decimals, half to even)."""


def money(amount: Decimal) -> Decimal:
    """``amount`` rounded to `MONEY_QUANTUM`, half to even."""
    return amount.quantize(MONEY_QUANTUM, rounding=ROUND_HALF_EVEN)


def value_of(instrument: Instrument, qty: Decimal, px: Decimal) -> Decimal:
    """The value of ``qty`` at ``px`` in the asset that pays for it, with the sign of ``qty``.

    Quote currency for spot and linear (exact); base coin for inverse (``qty * multiplier / px``, see `money`).
    """
    if instrument.kind is InstrumentKind.INVERSE:
        return money(qty * instrument.multiplier / px)
    return qty * px * instrument.multiplier


def fee_of(instrument: Instrument, side: Side, qty: Decimal, px: Decimal, liquidity: Liquidity) -> tuple[Decimal, str]:
    """The fee (positive when paid) of one execution and its asset; ``qty`` is positive.

    As Binance without BNB: a spot buy pays in the base asset it receives, a spot sell in quote, a contract in its
    settlement asset.
    """
    rate = instrument.maker_fee if liquidity is Liquidity.MAKER else instrument.taker_fee
    if instrument.kind is InstrumentKind.SPOT:
        if side is Side.BUY:
            return money(qty * rate), instrument.base
        return money(qty * px * rate), instrument.quote
    if instrument.kind is InstrumentKind.INVERSE:
        return money(qty * instrument.multiplier * rate / px), instrument.settle
    return money(qty * px * instrument.multiplier * rate), instrument.settle
