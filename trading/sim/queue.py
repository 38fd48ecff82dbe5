"""Where a resting order stands in the queue of its price level, in lots.

The estimate is the common one for level-2 data: displayed lots on arrival, less trades, less a share of the
cancellations (hftbacktest "queue position", https://hftbacktest.readthedocs.io/en/latest/order_fill.html, 2025).
Does not own what a fill does; it only says how many lots of a trade reach the order.
"""

from __future__ import annotations

from trading.sim.state import UNKNOWN_QUEUE, SimOrder


def join(order: SimOrder, displayed: int | None) -> None:
    """Stand behind the ``displayed`` lots of the level; None while the level cannot be seen."""
    order.queue_ahead = UNKNOWN_QUEUE if displayed is None else displayed
    order.displayed = displayed or 0
    order.traded = 0


def take_trade(order: SimOrder, traded: int, lots: int) -> int:
    """A trade at the order's price, of which ``lots`` are left for its queue: how many of them reach the order.

    ``traded`` is the whole trade, which the level will show as gone. An unknown queue lets nothing through.
    """
    order.traded += traded
    if order.queue_ahead == UNKNOWN_QUEUE:
        return 0
    ahead = order.queue_ahead
    order.queue_ahead = max(0, ahead - lots)
    return min(order.open_lots, max(0, lots - ahead))


def see_level(order: SimOrder, displayed: int, share: tuple[int, int]) -> None:
    """The level now shows ``displayed`` lots: what trades do not explain was cancelled, ``share`` of it ahead of us."""
    if order.queue_ahead == UNKNOWN_QUEUE:
        join(order, displayed)
        return
    canceled = order.displayed - displayed - order.traded
    if canceled > 0:
        order.queue_ahead -= canceled * share[0] // share[1]
    order.queue_ahead = max(0, min(order.queue_ahead, displayed))
    order.displayed = displayed
    order.traded = 0
