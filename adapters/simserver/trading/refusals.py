"""Why the simulated exchange refused something, as a closed set: its texts are Binance's, other venues have others."""

from __future__ import annotations

from enum import Enum

from trading.sim import filters


class Refusal(Enum):
    """What was wrong."""

    SYMBOL = "symbol"
    PRICE_MISSING = "price_missing"
    PRICE = "price"
    TICK = "tick"
    STEP = "step"
    QTY_SMALL = "qty_small"
    QTY_LARGE = "qty_large"
    NOTIONAL = "notional"
    DUPLICATE = "duplicate"
    POST_ONLY = "post_only"
    TOO_MANY = "too_many"
    BALANCE = "balance"
    MARGIN = "margin"
    REDUCE_ONLY = "reduce_only"
    AT_ONCE = "at_once"
    UNKNOWN_ORDER = "unknown_order"
    OTHER = "other"


_EXACT = {
    filters.INVALID_SYMBOL: Refusal.SYMBOL,
    filters.PRICE_MISSING: Refusal.PRICE_MISSING,
    filters.PRECISION: Refusal.STEP,
    filters.UNKNOWN_ORDER: Refusal.UNKNOWN_ORDER,
    filters.NO_SUCH_ORDER: Refusal.UNKNOWN_ORDER,
    filters.INSUFFICIENT_BALANCE: Refusal.BALANCE,
    filters.INSUFFICIENT_MARGIN: Refusal.MARGIN,
    filters.REDUCE_ONLY: Refusal.REDUCE_ONLY,
    filters.AT_ONCE: Refusal.AT_ONCE,
}
_WORDS = (
    ("uplicate", Refusal.DUPLICATE),
    ("immediately match", Refusal.POST_ONLY),
    ("Post Only", Refusal.POST_ONLY),
    ("MAX_NUM_ORDERS", Refusal.TOO_MANY),
    ("max open order", Refusal.TOO_MANY),
    ("otional", Refusal.NOTIONAL),
    ("NOTIONAL", Refusal.NOTIONAL),
    ("PRICE_FILTER", Refusal.TICK),
    ("tick size", Refusal.TICK),
    ("step size", Refusal.STEP),
    ("LOT_SIZE", Refusal.STEP),
    ("greater than max", Refusal.QTY_LARGE),
    ("Quantity less", Refusal.QTY_SMALL),
    ("Invalid quantity", Refusal.QTY_SMALL),
    ("price", Refusal.PRICE),
    ("Price", Refusal.PRICE),
)


def refusal_of(text: str) -> Refusal:
    """The kind of a refusal of `trading.sim`."""
    found = _EXACT.get(text)
    if found is not None:
        return found
    return next((kind for word, kind in _WORDS if word in text), Refusal.OTHER)
