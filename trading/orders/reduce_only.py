"""How much an order may close without ever turning a position round: reduce-only that needs no venue to be true.

Owns the arithmetic. Does not own the venue's flag, which is sent all the same: spot has none, and of two orders in
flight a venue judges each for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from trading.orders.messages import Side
from trading.orders.order import Order

_ZERO = Decimal(0)


def room(position: Decimal, side: Side, leaves: Decimal) -> Decimal:
    """What an order of ``side`` may still close of a signed ``position`` when ``leaves`` of that side may fill first.

    Orders in flight and UNKNOWN ones belong to ``leaves``: nobody knows that they do not exist.
    """
    held = -position if side is Side.BUY else position
    return max(_ZERO, held - leaves)


def leaves_of(orders: Iterable[Order], venue: str, instrument_id: str, side: Side) -> Decimal:
    """What open orders of one side could still execute on one instrument of a venue."""
    total = _ZERO
    for order in orders:
        o = order.approved.order
        if o.side is side and o.instrument_id == instrument_id and o.venue == venue:
            if o.trigger is not None and o.trigger.close_on_trigger:
                continue  # the venue lets it close what is left then, and not more
            total += order.most_qty
    return total


def fit(order_qty: Decimal, closable: Decimal, lot_size: Decimal) -> Decimal:
    """The part of ``order_qty`` that may go, in whole lots; 0 when not a lot may."""
    return min(order_qty, closable) // lot_size * lot_size


def surplus(position: Decimal, orders: Iterable[Order]) -> list[Order]:
    """Of the open reduce-only orders of one instrument, oldest first, those for which no position is left.

    Older orders keep their claim. An order that only partly fits is surplus too: the rest of it could turn the
    position round, and whoever wanted it decides anew.
    """
    claimed: dict[Side, Decimal] = {}
    over: list[Order] = []
    for order in orders:
        side = order.proposed.side
        taken = claimed.get(side, _ZERO)
        most = order.most_qty
        if most > room(position, side, taken):
            over.append(order)
        else:
            claimed[side] = taken + most
    return over
