"""The queue of orders in flight: what was written down or sent and is not answered yet, as operators see it.

Owns the view and no order: the queue is the order core's own. Its journal is the order journal, its key the ClOrdID: a
placement is said once and never again, what is repeated is the question (by `OrderCoreConfig.query_ladder_ms`) and the
cancel, under the id that it had.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trading.orders.messages import OrdStatus
from trading.orders.order import Order

IN_FLIGHT = (
    OrdStatus.JOURNALED,
    OrdStatus.PENDING_NEW,
    OrdStatus.PENDING_CANCEL,
    OrdStatus.PENDING_REPLACE,
    OrdStatus.UNKNOWN,
)
"""States in which the venue owes us an answer, or we owe it the order."""


class Inflight(msgspec.Struct, frozen=True, kw_only=True):
    """Orders by state, each of `IN_FLIGHT` named; how long the oldest waits, and the most questions about one."""

    by_state: dict[OrdStatus, int]
    oldest_ns: int
    queries_max: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_state.values())


def inflight(open_orders: Iterable[Order], now_ns: int) -> Inflight:
    """The queue as it is at ``now_ns`` (UTC); orders that rest answered are not in it."""
    counts = dict.fromkeys(IN_FLIGHT, 0)
    oldest_ns = queries = 0
    for order in open_orders:
        if order.ord_status in counts:
            counts[order.ord_status] += 1
            asked_ns = order.cancel_sent_ns or order.sent_ns or order.approved.ts_init_ns
            oldest_ns = max(oldest_ns, now_ns - asked_ns)
            queries = max(queries, order.queries)
    return Inflight(by_state=counts, oldest_ns=oldest_ns, queries_max=queries)
