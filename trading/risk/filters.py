"""The venue's filters: tick, lot, minimum and maximum quantity, minimum notional; exact, in Decimal.

Owns the check of one price and quantity and their quantisation. Does not own where filters come from.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from trading.instruments import Instrument
from trading.orders.messages import DenyReason, ProposedOrder, Side
from trading.orders.numbers import is_number, unsound_order

Refusal = tuple[DenyReason, str]
_UNSOUND = {
    "price": DenyReason.FILTER_TICK,
    "ref_price": DenyReason.PRICE_BAND,
    "trigger.trigger_price": DenyReason.TRIGGER,
}
"""Why an order is denied by the field that is no number; for quantities it is the lot."""


def check_filters(instrument: Instrument, qty: Decimal, price: Decimal, reduce_only: bool = False) -> Refusal | None:
    """The first filter that ``qty`` at ``price`` breaks, with the numbers, or None.

    A reduce-only order may be below the minimum notional (Binance USD-M exempts it, filter MIN_NOTIONAL, 2024-08).
    """
    refusal = check_grid(instrument, qty, price)
    if refusal is not None or reduce_only:
        return refusal
    return check_notional(instrument, instrument.notional(qty, price))


def check_numbers(order: ProposedOrder) -> Refusal | None:
    """The first field that holds what cannot be reckoned with, by its name; asked before anything is compared."""
    text = unsound_order(order)
    return (_UNSOUND.get(text.partition(":")[0], DenyReason.FILTER_LOT), text) if text else None


def check_grid(instrument: Instrument, qty: Decimal, price: Decimal) -> Refusal | None:
    """The filters that look at price and quantity each alone."""
    i = instrument
    # NaN cannot be compared, and the remainder of what is too long cannot be had: both are refused before.
    if not is_number(price) or price <= 0 or price % i.tick_size:
        return (
            DenyReason.FILTER_TICK,
            f"price {price} of {i.instrument_id} is not a positive multiple of tick {i.tick_size}",
        )
    if not is_number(qty) or qty <= 0 or qty % i.lot_size:
        return (
            DenyReason.FILTER_LOT,
            f"quantity {qty} of {i.instrument_id} is not a positive multiple of lot {i.lot_size}",
        )
    if qty < i.min_qty:
        return DenyReason.FILTER_MIN_QTY, f"quantity {qty} of {i.instrument_id} is below the minimum {i.min_qty}"
    if qty > i.max_qty:
        return DenyReason.MAX_ORDER_QTY, f"quantity {qty} of {i.instrument_id} is above the venue's maximum {i.max_qty}"
    return None


def check_notional(instrument: Instrument, notional: Decimal) -> Refusal | None:
    """The filter on the value of an order that does not only reduce."""
    if notional < instrument.min_notional:
        i = instrument
        text = f"notional {notional} {i.quote} of {i.instrument_id} is below the minimum {i.min_notional}"
        return DenyReason.FILTER_MIN_NOTIONAL, text
    return None


def quantise_price(instrument: Instrument, price: Decimal, side: Side) -> Decimal:
    """The nearest price on the grid that is not worse than ``price`` for us: down for a buy, up for a sell."""
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return (price / instrument.tick_size).to_integral_value(rounding=rounding) * instrument.tick_size


def quantise_qty(instrument: Instrument, qty: Decimal) -> Decimal:
    """The largest allowed quantity not above ``qty``; 0 when that would be below the minimum."""
    whole = min(instrument.qty(instrument.lots_floor(qty)), instrument.max_qty)
    return whole if whole >= instrument.min_qty else Decimal(0)
