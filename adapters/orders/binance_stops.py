"""Orders that wait on Binance spot: orders like others, which are not on the book until the last price reaches them.

Sources: "New order" and "Query order", binance-spot-api-docs/rest-api.md, "Order update", user-data-stream.md (read
2026-11): ``isWorking`` and ``workingTime`` say whether an order is on the book, ``w`` in the stream. One id, before and
after; what it would need is locked while it waits.
"""

from __future__ import annotations

from urllib.parse import urlencode

from adapters.orders import reading as r
from adapters.orders.terms import waiting
from trading.instruments import Instrument
from trading.orders.messages import NewOrderSingle, OrdType, TimeInForce

TYPES = {
    OrdType.STOP: "STOP_LOSS",
    OrdType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrdType.TAKE_PROFIT: "TAKE_PROFIT",
    OrdType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}
WAITING = frozenset(TYPES.values())


def encode_spot_stop(command: NewOrderSingle, instrument: Instrument) -> bytes:
    """A new order with a trigger; ``ValueError`` names what it cannot carry."""
    trigger, price = waiting(command, instrument)
    fields = {
        "symbol": instrument.symbol,
        "side": command.side.name,
        "type": TYPES[command.ord_type],
        "quantity": r.plain(command.order_qty),
        "stopPrice": r.plain(trigger.trigger_price),
        "newClientOrderId": command.cl_ord_id,
    }
    if price is not None:
        if command.time_in_force is TimeInForce.GTX:
            raise ValueError(f"{command.cl_ord_id}: an order that waits is GTC, IOC or FOK here")
        fields |= {"price": r.plain(price), "timeInForce": command.time_in_force.name}
    return urlencode(fields).encode("ascii")


def waits(source: r.Row) -> bool:
    """Whether an order's row says that it is not on the book yet."""
    if r.text_or(source, "type") not in WAITING or r.text_or(source, "status") != "NEW":
        return False
    return source.get("isWorking") is False or r.text_or(source, "workingTime") == "-1"
