"""The venue's refusals of an order's shape: tick, step, sizes, notional, with Binance's error codes.

Source: developers.binance.com "Error codes" of spot, USD-M and COIN-M. Texts begin with the code.
Does not own refusals that depend on the account (balances, positions, duplicates); their texts are here too.
"""

from __future__ import annotations

from decimal import Decimal

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import OrdType

INVALID_SYMBOL = "-1121 Invalid symbol."
INVALID_ORDER_TYPE = "-1116 Invalid orderType."
PRICE_MISSING = "-1102 Mandatory parameter 'price' was not sent, was empty/null, or malformed."
PRECISION = "-1111 Precision is over the maximum defined for this asset."
UNKNOWN_ORDER = "-2011 Unknown order sent."
NO_SUCH_ORDER = "-2013 Order does not exist."
INSUFFICIENT_BALANCE = "-2010 Account has insufficient balance for requested action."
INSUFFICIENT_MARGIN = "-2019 Margin is insufficient."
REDUCE_ONLY = "-2022 ReduceOnly Order is rejected."
AT_ONCE = "-2021 Order would immediately trigger."
WAITS = "-1013 An order that waits for its trigger is not replaced."


def duplicate_text(instrument: Instrument) -> str:
    """The answer to a client order id that is known: evidence that the order exists, not that it was refused."""
    spot = instrument.kind is InstrumentKind.SPOT
    return "-2010 Duplicate order sent." if spot else "-4116 ClientOrderId is duplicated."


def post_only_text(instrument: Instrument) -> str:
    """The answer to a post-only order that would take."""
    if instrument.kind is InstrumentKind.SPOT:
        return "-2010 Order would immediately match and take."
    return "-5022 Due to the order could not be executed as maker, the Post Only order will be rejected."


def too_many_orders_text(instrument: Instrument) -> str:
    """The answer above the limit of open orders."""
    spot = instrument.kind is InstrumentKind.SPOT
    return "-1013 Filter failure: MAX_NUM_ORDERS" if spot else "-2025 Reach max open order limit."


def shape_refusal(
    instrument: Instrument,
    ord_type: OrdType,
    qty: Decimal,
    price: Decimal | None,
    *,
    ref_price: Decimal | None,
    reduce_only: bool,
) -> str | None:
    """Why the venue refuses an order of this shape, or None. ``ref_price`` values a market order when known."""
    if ord_type is not OrdType.LIMIT and ord_type is not OrdType.MARKET:
        # It holds no orders that wait for a trigger; taken for something else they would trade at once.
        return INVALID_ORDER_TYPE
    refusal = _qty_refusal(instrument, qty)
    if refusal is not None:
        return refusal
    if ord_type is OrdType.LIMIT:
        if price is None:
            return PRICE_MISSING
        refusal = price_refusal(instrument, price)
        if refusal is not None:
            return refusal
        ref_price = price
    if ref_price is None:
        return None
    spot = instrument.kind is InstrumentKind.SPOT
    if instrument.notional(qty, ref_price) < instrument.min_notional and (spot or not reduce_only):
        return "-1013 Filter failure: NOTIONAL" if spot else "-4164 Order's notional is below the minimum."
    return None


def _qty_refusal(instrument: Instrument, qty: Decimal) -> str | None:
    spot = instrument.kind is InstrumentKind.SPOT
    if not qty.is_finite() or qty <= 0:
        return "-1013 Invalid quantity." if spot else "-4003 Quantity less than or equal to zero."
    if qty < instrument.min_qty:
        return "-1013 Filter failure: LOT_SIZE" if spot else "-4004 Quantity less than min quantity."
    if qty > instrument.max_qty:
        return "-1013 Filter failure: LOT_SIZE" if spot else "-4005 Quantity greater than max quantity."
    if qty % instrument.lot_size:
        if _is_finer(qty, instrument.lot_size):
            return PRECISION
        return "-1013 Filter failure: LOT_SIZE" if spot else "-4023 Quantity not increased by step size."
    return None


def price_refusal(instrument: Instrument, price: Decimal) -> str | None:
    """Why a price is not one of the instrument's, or None."""
    spot = instrument.kind is InstrumentKind.SPOT
    if not price.is_finite() or price <= 0:
        return "-1013 Invalid price." if spot else "-4001 Price less than 0."
    if price % instrument.tick_size:
        if _is_finer(price, instrument.tick_size):
            return PRECISION
        return "-1013 Filter failure: PRICE_FILTER" if spot else "-4014 Price not increased by tick size."
    return None


def _is_finer(value: Decimal, step: Decimal) -> bool:
    """Whether ``value`` has more decimals than ``step`` has."""
    return _exponent(value) < min(_exponent(step), 0)


def _exponent(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
