"""Orders that wait for a price: what makes one well formed, when its price has come, what each venue can hold.

Owns the rules and the table of venues. Does not own who watches: a venue that holds the order, or the desk.

Sources: developers.binance.com USD-M and COIN-M "New Algo Order" and "New Order" (workingType, closePosition) and spot
"New order" (STOP_LOSS, STOP_LOSS_LIMIT, TAKE_PROFIT, TAKE_PROFIT_LIMIT), okx.com/docs-v5 "Place algo order"
(triggerPxType last, index, mark; closeFraction), bybit-exchange.github.io/docs/v5/order/create-order (triggerBy,
triggerDirection, closeOnTrigger); read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trading.instruments import InstrumentKind
from trading.orders.messages import OrdType, ProposedOrder, Side, TriggerPriceType

STOPS = frozenset({OrdType.STOP, OrdType.STOP_LIMIT})
TAKES = frozenset({OrdType.TAKE_PROFIT, OrdType.TAKE_PROFIT_LIMIT})
WAITING = STOPS | TAKES
"""Order types that need a trigger."""
PRICED = frozenset({OrdType.LIMIT, OrdType.STOP_LIMIT, OrdType.TAKE_PROFIT_LIMIT})
"""Order types that need a price of their own."""

P = TriggerPriceType


class TriggerSupport(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue holds for us: whose prices it watches, and whether it can bind an order to closing."""

    sources: frozenset[TriggerPriceType]
    close_on_trigger: bool


_SPOT = TriggerSupport(sources=frozenset({P.LAST}), close_on_trigger=False)
_BINANCE_CONTRACTS = TriggerSupport(sources=frozenset({P.MARK, P.LAST}), close_on_trigger=True)
_ALL = TriggerSupport(sources=frozenset(P), close_on_trigger=True)

SUPPORT: Mapping[tuple[str, InstrumentKind], TriggerSupport] = {
    ("binance", InstrumentKind.SPOT): _SPOT,
    ("binanceusdm", InstrumentKind.LINEAR): _BINANCE_CONTRACTS,
    ("binancecoinm", InstrumentKind.INVERSE): _BINANCE_CONTRACTS,
    ("okx", InstrumentKind.SPOT): TriggerSupport(sources=frozenset(P), close_on_trigger=False),
    ("okx", InstrumentKind.LINEAR): _ALL,
    ("okx", InstrumentKind.INVERSE): _ALL,
    ("bybit", InstrumentKind.SPOT): _SPOT,
    ("bybit", InstrumentKind.LINEAR): _ALL,
    ("bybit", InstrumentKind.INVERSE): _ALL,
}


def refusal(order: ProposedOrder, kind: InstrumentKind) -> str | None:
    """Why an order with or without a trigger is not well formed, or not for its venue; None when it is."""
    trigger, name = order.trigger, order.ord_type.value
    if order.ord_type not in WAITING:
        return None if trigger is None else f"trigger: a {name} order waits for nothing; leave it out"
    if trigger is None:
        return f"trigger: a {name} order needs a trigger price and whose price that is"
    if (order.price is None) is (order.ord_type in PRICED):
        return f"price: a {name} order {'needs one' if order.price is None else 'has none; leave it out'}"
    if not (trigger.trigger_price.is_finite() and trigger.trigger_price > 0):
        return f"trigger.trigger_price: {trigger.trigger_price} must be a positive price"
    support = SUPPORT.get((order.venue, kind))
    if support is None:
        return f"trigger: {order.venue} holds no such orders for {kind.value}; watch the price here"
    if trigger.trigger_price_type not in support.sources:
        known = ", ".join(sorted(s.value for s in support.sources))
        return (
            f"trigger.trigger_price_type: {order.venue} does not watch {trigger.trigger_price_type.value} but {known}"
        )
    if trigger.close_on_trigger and not support.close_on_trigger:
        return f"trigger.close_on_trigger: {order.venue} does not have it for {kind.value}"
    if trigger.close_on_trigger and not order.reduce_only:
        return "trigger.close_on_trigger: only an order that is reduce_only may say so"
    return None


def reached(ord_type: OrdType, side: Side, trigger_price: Decimal, price: Decimal) -> bool:
    """Whether ``price`` sets off a waiting order. At or beyond counts: a gap goes through a level without touching it.

    A stop goes with the market (a sell when the price falls to it), a take-profit against it.
    """
    falling = (side is Side.SELL) is (ord_type in STOPS)
    return price <= trigger_price if falling else price >= trigger_price
