"""What is done with the rest: of an entry that filled in part, of a position too small to sell.

Pure functions of a policy that is data. Who applies them: `trading.protection.core` for dust (an exit whose rest no
venue takes is done), whoever works an entry for what is left of it.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from enum import Enum

import msgspec

from trading.instruments import Instrument, InstrumentKind

_ZERO = Decimal(0)


class Remainder(Enum):
    """What becomes of the unfilled part of an entry."""

    KEEP = "keep"  # it goes on working
    CANCEL = "cancel"  # what was got is the position
    UNWIND = "unwind"  # what was got is too little to be worth holding: cancel, and close it


class EntryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a partly filled entry is left alone, cut or undone.

    It works for ``patience_ms``; then its rest is canceled. Less than ``worth_share`` of what was wanted (0..1) is
    closed again, unless it cannot be sold.
    """

    patience_ms: int = 30_000
    worth_share: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if self.patience_ms < 0:
            raise ValueError(f"patience_ms: {self.patience_ms} must not be negative")
        if not 0 <= self.worth_share <= 1:
            raise ValueError(f"worth_share: {self.worth_share} is a share, 0 to 1")


class RestDecision(msgspec.Struct, frozen=True):
    """What to do, how much of it is to be closed, why."""

    remainder: Remainder
    close_qty: Decimal
    text: str


def on_partial(
    policy: EntryPolicy, instrument: Instrument, *, order_qty: Decimal, cum_qty: Decimal, price: Decimal, age_ms: int
) -> RestDecision:
    """What to do with an entry of ``order_qty`` that has executed ``cum_qty`` after ``age_ms``."""
    if cum_qty >= order_qty:
        return RestDecision(Remainder.KEEP, _ZERO, "filled")
    if age_ms < policy.patience_ms:
        return RestDecision(Remainder.KEEP, _ZERO, f"{cum_qty} of {order_qty} after {age_ms} ms, it may have more time")
    if not cum_qty or cum_qty >= policy.worth_share * order_qty:
        return RestDecision(Remainder.CANCEL, _ZERO, f"{cum_qty} of {order_qty} is what there was")
    closable = sellable(instrument, cum_qty, price)
    if not closable:
        return RestDecision(Remainder.CANCEL, _ZERO, f"{cum_qty} is not worth holding and too little to close")
    return RestDecision(Remainder.UNWIND, closable, f"{cum_qty} of {order_qty} is less than {policy.worth_share} of it")


def minimum(instrument: Instrument, price: Decimal) -> Decimal:
    """The least quantity that the venue takes of an order that closes, in whole lots.

    Contracts are exempt from the minimum notional when they reduce; spot knows no exemption.
    """
    least = max(instrument.min_qty, instrument.lot_size)
    if instrument.kind is InstrumentKind.SPOT and price > 0:
        least = max(least, instrument.min_notional / (price * instrument.multiplier))
    lots = (least / instrument.lot_size).to_integral_value(rounding=ROUND_CEILING)
    return lots * instrument.lot_size


def sellable(instrument: Instrument, qty: Decimal, price: Decimal) -> Decimal:
    """How much of a holding (its size, positive) an order can close: whole lots, 0 when that is below the minimum.

    A fee taken in the coin that was bought leaves less than was ordered, mostly not in whole lots: what is over stays
    as dust until the next buy.
    """
    whole = abs(qty) // instrument.lot_size * instrument.lot_size
    return whole if whole >= minimum(instrument, price) else _ZERO


def dust(instrument: Instrument, qty: Decimal, price: Decimal) -> Decimal:
    """What of a signed holding no order can close, signed like it."""
    rest = abs(qty) - sellable(instrument, qty, price)
    return rest if qty > 0 else -rest


def ordered_for(instrument: Instrument, qty: Decimal, *, maker: bool = False) -> Decimal:
    """How much of a spot coin to buy so that ``qty`` is left after a fee taken in that coin, in whole lots."""
    if instrument.kind is not InstrumentKind.SPOT:
        return qty
    fee = instrument.maker_fee if maker else instrument.taker_fee
    if fee <= 0:
        return qty
    lots = (qty / (1 - fee) / instrument.lot_size).to_integral_value(rounding=ROUND_CEILING)
    return lots * instrument.lot_size
