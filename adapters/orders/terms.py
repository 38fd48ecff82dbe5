"""What of an order's terms a wire can carry: the check that nothing is left out on the way."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

from trading.instruments import Instrument, InstrumentKind
from trading.orders import contingency, triggers
from trading.orders.messages import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrdType,
    TriggeringInstructions,
)
from trading.orders.numbers import is_number, unsound_order

Entry = TypeVar("Entry", NewOrderSingle, OrderCancelReplaceRequest)
_PLAIN = frozenset({OrdType.LIMIT, OrdType.MARKET})


def plain_terms(command: Entry) -> Entry:
    """The same order; ``ValueError`` for one that waits for a trigger, which would go out as what it is not.

    So is one whose terms are no numbers above zero.
    """
    if command.trigger is not None or command.ord_type not in _PLAIN:
        raise ValueError(
            f"trigger: {command.ord_type.value} orders are not sent to {command.venue}; watch the price here"
        )
    numbered(command)
    return command


def numbered(command: NewOrderSingle | OrderCancelReplaceRequest) -> None:
    """``ValueError`` with the field's name where a term of an order is no number above zero: a venue would read one."""
    qty, price, trigger = command.order_qty, command.price, command.trigger
    if trigger is None and is_number(qty) and qty > 0 and (price is None or (is_number(price) and price > 0)):
        return
    unsound = unsound_order(command)
    if unsound:
        raise ValueError(unsound)
    for name, value in (
        ("order_qty", qty),
        ("price", price),
        ("trigger.trigger_price", None if trigger is None else trigger.trigger_price),
    ):
        if value is not None and value <= 0:
            raise ValueError(f"{name}: {value} is not above zero")


def set_apart(command: NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest) -> bool:
    """Whether a command is of an order that waits, or waited, for a trigger: such are not said in batches."""
    match command:
        case OrderCancelRequest():
            return command.waits or bool(command.order_id)
        case NewOrderSingle() | OrderCancelReplaceRequest():
            return command.trigger is not None


def limited(command: NewOrderSingle, kind: InstrumentKind) -> bool:
    """Whether the order is one with a limit, now or once it is triggered.

    ``ValueError`` for one that waits for what its venue does not hold, whose price does not go with its type, and for a
    leg of a list that nothing binds to closing: that is a list of the venue's own, which none of these wires says.
    """
    numbered(command)
    why = triggers.refusal(command, kind) or contingency.unbound(command)
    if why is not None:
        raise ValueError(why)
    priced = command.ord_type in triggers.PRICED
    if priced != (command.price is not None):
        raise ValueError(f"{command.cl_ord_id}: a limit order has a price, a market order has none")
    return priced


def waiting(command: NewOrderSingle, instrument: Instrument) -> tuple[TriggeringInstructions, Decimal | None]:
    """What an order waits for, and its limit from then on, None for a market order.

    ``ValueError`` for one that waits for nothing or for what its venue does not hold, and for what is off the grid.
    """
    priced, trigger = limited(command, instrument.kind), command.trigger
    if trigger is None:
        raise ValueError(f"{command.cl_ord_id}: it waits for nothing")
    instrument.lots(command.order_qty)
    instrument.ticks(trigger.trigger_price)
    if not priced or command.price is None:
        return trigger, None
    instrument.ticks(command.price)
    return trigger, command.price
