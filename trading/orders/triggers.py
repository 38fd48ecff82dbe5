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
from trading.orders.messages import NewOrderSingle, OrderUpdated, OrdType, ProposedOrder, Side, TriggerPriceType

STOPS = frozenset({OrdType.STOP, OrdType.STOP_LIMIT})
TAKES = frozenset({OrdType.TAKE_PROFIT, OrdType.TAKE_PROFIT_LIMIT})
WAITING = STOPS | TAKES
"""Order types that need a trigger."""
PRICED = frozenset({OrdType.LIMIT, OrdType.STOP_LIMIT, OrdType.TAKE_PROFIT_LIMIT})
"""Order types that need a price of their own."""

P = TriggerPriceType


class TriggerSupport(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue holds for us: whose prices it watches, and how it binds an order to closing.

    ``closes_by`` is what is sent for ``close_on_trigger``, "" where there is no such thing. ``outlives_us``: what
    cancels our orders when we are gone (countdown, disconnect protection) leaves these alone. Where a venue and kind
    are not in `SUPPORT`, and for whatever a row leaves out, the desk watches the price itself (`trading.protection`).
    """

    sources: frozenset[TriggerPriceType]
    closes_by: str = ""
    outlives_us: bool = False

    @property
    def close_on_trigger(self) -> bool:
        """Whether an order can be bound to closing what is held."""
        return bool(self.closes_by)


_SPOT = TriggerSupport(sources=frozenset({P.LAST}))
# Conditional orders are the algo service's: the countdown of the order endpoints names open orders of these only.
_BINANCE_CONTRACTS = TriggerSupport(sources=frozenset({P.MARK, P.LAST}), closes_by="reduceOnly", outlives_us=True)
_OKX_CONTRACTS = TriggerSupport(sources=frozenset(P), closes_by="reduceOnly", outlives_us=True)
# "All active orders": whether those that wait are among them is not said, so they are taken to be.
_BYBIT_CONTRACTS = TriggerSupport(sources=frozenset(P), closes_by="closeOnTrigger, reduceOnly")

SUPPORT: Mapping[tuple[str, InstrumentKind], TriggerSupport] = {
    ("binance", InstrumentKind.SPOT): _SPOT,
    ("binanceusdm", InstrumentKind.LINEAR): _BINANCE_CONTRACTS,
    ("binancecoinm", InstrumentKind.INVERSE): _BINANCE_CONTRACTS,
    ("okx", InstrumentKind.SPOT): TriggerSupport(sources=frozenset({P.LAST}), outlives_us=True),
    ("okx", InstrumentKind.LINEAR): _OKX_CONTRACTS,
    ("okx", InstrumentKind.INVERSE): _OKX_CONTRACTS,
    ("bybit", InstrumentKind.LINEAR): _BYBIT_CONTRACTS,
    ("bybit", InstrumentKind.INVERSE): _BYBIT_CONTRACTS,
}
"""Bybit's spot is left out: its orders cannot say from which side the price has to come, so one that comes late is held
as the opposite of what it was meant to be."""


def refusal(order: ProposedOrder | NewOrderSingle, kind: InstrumentKind) -> str | None:
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
    return price >= trigger_price if rises(ord_type, side) else price <= trigger_price


def rises(ord_type: OrdType, side: Side) -> bool:
    """Whether a waiting order is set off by a price that rises to its level; else by one that falls to it."""
    return (side is Side.BUY) is (ord_type in STOPS)


def waiting_type(side: Side, *, rising: bool, priced: bool) -> OrdType:
    """What a waiting order is whose venue says the direction and not the kind."""
    if (side is Side.BUY) is rising:
        return OrdType.STOP_LIMIT if priced else OrdType.STOP
    return OrdType.TAKE_PROFIT_LIMIT if priced else OrdType.TAKE_PROFIT


def guards(update: OrderUpdated) -> bool:
    """Whether an order waits, or waited, at the venue to close what is held.

    It adds to no exposure, takes from no other order what that may close, and is nobody's way to a target.
    """
    return update.reduce_only and update.ord_type in WAITING
