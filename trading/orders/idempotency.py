"""The key of an order that somebody outside asks for: one decision, said again within its minute, has the same key.

Pure. ``symbol:side:size:timestamp_minute:decision_id_8``. The desk's own orders have their ClOrdID, which is a function
of the intent; this key is for callers who cannot know one.
"""

from __future__ import annotations

from decimal import Decimal

from trading.orders.messages import Side
from trading.universe.symbols import parse_pair

MINUTE_NS = 60_000_000_000
DECISION_CHARS = 8


def order_key(symbol: str, side: Side, size: Decimal, ts_ns: int, decision_id: str) -> str:
    """The key; every spelling of a pair, a size and a decision's id gives the same one.

    ``size`` in the instrument's units; ``ts_ns`` is when it was decided, UTC. ``ValueError`` for what is no pair, no
    positive size or a decision's id shorter than eight characters.
    """
    if not size.is_finite() or size <= 0:
        raise ValueError(f"size: {size} is not a positive number")
    if len(decision_id) < DECISION_CHARS or ":" in decision_id[:DECISION_CHARS]:
        raise ValueError(f"decision_id: {decision_id[:40]!r} has no {DECISION_CHARS} characters without a colon")
    exact = f"{size.normalize():f}"
    return f"{parse_pair(symbol)}:{side.value}:{exact}:{ts_ns // MINUTE_NS}:{decision_id[:DECISION_CHARS]}"
