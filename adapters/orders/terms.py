"""What of an order's terms a wire can carry: the check that nothing is left out on the way."""

from __future__ import annotations

from typing import TypeVar

from trading.orders.messages import NewOrderSingle, OrderCancelReplaceRequest, OrdType

Entry = TypeVar("Entry", NewOrderSingle, OrderCancelReplaceRequest)
_PLAIN = frozenset({OrdType.LIMIT, OrdType.MARKET})


def plain_terms(command: Entry) -> Entry:
    """The same order; ``ValueError`` for one that waits for a trigger, which would go out as what it is not."""
    if command.trigger is not None or command.ord_type not in _PLAIN:
        raise ValueError(
            f"trigger: {command.ord_type.value} orders are not sent to {command.venue}; watch the price here"
        )
    return command
