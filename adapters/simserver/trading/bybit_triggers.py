"""Bybit v5's orders that wait for a trigger: what a placement says of it, and how one from the wrong side is refused.

"Place Order" (triggerPrice, triggerDirection, triggerBy, orderFilter, closeOnTrigger) and "Error Codes",
bybit-exchange.github.io/docs/v5 (read 2026-11). A spot order says no direction: it is the side of the last price on
which the trigger lies.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from adapters.simserver.feed import Market
from adapters.simserver.trading.bybit_gate import BybitGate
from trading.instruments import InstrumentKind
from trading.orders.messages import OrdType, Side, TriggeringInstructions, TriggerPriceType
from trading.orders.triggers import rises, waiting_type

Fields = dict[str, object]
Waiting = tuple[OrdType, TriggeringInstructions]

_BY = {
    "": TriggerPriceType.LAST,
    "LastPrice": TriggerPriceType.LAST,
    "MarkPrice": TriggerPriceType.MARK,
    "IndexPrice": TriggerPriceType.INDEX,
}


def text_of(fields: Fields, name: str) -> str:
    """A field as text; "" where it is missing."""
    value = fields.get(name)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def closes(fields: Fields) -> bool:
    """Whether an order may only reduce: ``closeOnTrigger`` says so by itself."""
    return "true" in {text_of(fields, "reduceOnly"), text_of(fields, "closeOnTrigger")}


def waiting_of(gate: BybitGate, market: Market, fields: Fields, side: Side, *, limit: bool) -> Waiting | None:
    """What an order waits for, None for one that does not; `RestRefused` for a trigger that is none."""
    said = text_of(fields, "triggerPrice")
    if said in {"", "0"}:
        return None
    try:
        price = Decimal(said)
    except InvalidOperation:
        raise gate.refused(10001, "params error: triggerPrice invalid") from None
    spot = market.instrument.kind is InstrumentKind.SPOT
    kind = _BY.get(text_of(fields, "triggerBy"))
    direction = text_of(fields, "triggerDirection")
    if kind is None or (spot and kind is not TriggerPriceType.LAST):
        raise gate.refused(10001, "params error: triggerBy invalid")
    if spot:
        rising = price > market.instrument.price(market.last_ticks)
    elif direction in {"1", "2"}:
        rising = direction == "1"
    else:
        raise gate.refused(10001, "params error: TriggerDirection invalid")
    closing = text_of(fields, "closeOnTrigger") == "true"
    return waiting_type(side, rising=rising, priced=limit), TriggeringInstructions(price, kind, closing)


def wrong_side(side: Side, ord_type: OrdType, trigger: TriggeringInstructions) -> tuple[int, str]:
    """The refusal of a trigger that the price has passed already."""
    if rises(ord_type, side):
        return 110092, f"expect Rising, but trigger_price[{trigger.trigger_price}] <= current"
    return 110093, f"expect Falling, but trigger_price[{trigger.trigger_price}] >= current"
