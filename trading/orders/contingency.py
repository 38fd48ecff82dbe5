"""Lists of orders of which one cancels the other (FIX OCO): what is a list, and when it is decided.

Owns the rules alone; the order core applies them. The first leg that is triggered or executed decides its list, and
the other is canceled. A leg that ends before that decides nothing: a stop is never taken away because a take-profit
was refused. Every leg is bound to closing, so that both executing in a race closes once and turns nothing round.

Whose work it is: of the derivative venues here only OKX has such orders (``ordType=oco``, okx.com/docs-v5 "Place algo
order", read 2026-11), two triggers under one ``algoClOrdId``; a leg here has a ClOrdID and a fate of its own, so there,
as at Binance's futures and Bybit, the legs are two orders of the venue, and it is the desk that links them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from trading.orders.messages import NewOrderSingle, ProposedOrder
from trading.orders.order import Order

LEGS_MAX = 2
"""Open legs of a list."""
_LIST_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


def legs_of(order: ProposedOrder, orders: Iterable[Order]) -> list[Order]:
    """The orders of an order's list but itself."""
    mine = order.contingency
    if mine is None:
        return []
    return [
        one
        for one in orders
        if (theirs := one.approved.order.contingency) is not None
        and theirs.list_id == mine.list_id
        and one.venue == order.venue
        and one.cl_ord_id != order.cl_ord_id
    ]


def decides(order: Order) -> bool:
    """Whether a leg was triggered or executed: its list is decided."""
    return order.cum_qty > 0 or order.venue_cum_qty > 0 or (order.is_open and order.acked and not order.waits)


def unbound(order: ProposedOrder | NewOrderSingle) -> str | None:
    """Why an order cannot be a leg of any list: it could execute beside the other; None when it can, or is of none."""
    contingency, trigger = order.contingency, order.trigger
    if contingency is None or (trigger is not None and trigger.close_on_trigger and order.reduce_only):
        return None
    words = "has to wait for its trigger, bound to closing: both could execute"
    return f"contingency: a leg of {contingency.list_id} {words}"


def refusal(order: ProposedOrder, others: Iterable[Order]) -> str | None:
    """Why an order cannot be a leg of its list beside ``others``; None when it can, or is of no list."""
    contingency = order.contingency
    if contingency is None:
        return None
    list_id, others = contingency.list_id, list(others)
    if _LIST_ID.fullmatch(list_id) is None:
        return f"contingency.list_id: {list_id[:40]!r} is not 1 to 32 letters, digits, - and _"
    text = unbound(order)
    if text is not None:
        return text
    if order.replaces is not None:
        return f"contingency: a leg of {list_id} replaces nothing; cancel the other order and place this one"
    for other in others:
        theirs = other.proposed
        if (theirs.instrument_id, theirs.side) != (order.instrument_id, order.side):
            return f"contingency: {other.cl_ord_id} of {list_id} is of another instrument or side"
        if decides(other):
            return f"contingency: {list_id} is decided, {other.cl_ord_id} was triggered or executed"
    open_legs = sum(other.is_open for other in others)
    return f"contingency: {list_id} has {open_legs} open legs already" if open_legs >= LEGS_MAX else None


def called_off(winner: Order) -> str:
    """Why the other leg is canceled, in words."""
    contingency = winner.proposed.contingency
    list_id = "" if contingency is None else contingency.list_id
    what = "executed" if winner.cum_qty or winner.venue_cum_qty else "triggered"
    return f"one cancels the other: {winner.cl_ord_id} of list {list_id} was {what}"
