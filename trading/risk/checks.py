"""Words for operators: which limits an approved order was measured against, and how much of each it used."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trading.orders.messages import ApprovedOrder, Side, TimeInForce

LIMITS = (
    "daily_loss_usd",
    "book_age_ms",
    "price_band_bps",
    "slippage_bps",
    "position_usd",
    "venue_usd",
    "global_usd",
    "long_usd",
    "short_usd",
    "inflight",
    "open_orders",
)
"""What the ``limits`` of `RiskChecks` are, in this order."""

_MS = 1_000_000
_BPS = Decimal(10_000)


def pack_limits(limits: Mapping[str, object]) -> msgspec.Raw:
    """The limits of one instrument as they stand in every `RiskChecks` of it."""
    return msgspec.Raw(msgspec.msgpack.encode([str(limits[name]) for name in LIMITS]))


def tell_checks(approved: ApprovedOrder) -> dict[str, str]:
    """Each limit that was checked, as "use/limit"."""
    used, order = approved.checks, approved.order
    if isinstance(used, dict):
        return used
    limit = dict(zip(LIMITS, msgspec.msgpack.decode(used.limits, type=tuple[str, ...]), strict=True))
    words = {
        "daily_loss_usd": used.loss,
        "book_age_ms": f"{used.book_age_ns / _MS:.0f}",
    }
    if used.reducible is not None:
        words["reduce_only_qty"] = str(order.order_qty)
        limit["reduce_only_qty"] = str(used.reducible)
    words["order_notional_usd"] = f"{used.notional:.2f}"
    limit["order_notional_usd"] = used.order_limit
    away_bps = _BPS * 0 if order.price is None else (order.price - used.mid) / used.mid * _BPS
    words["price_band_bps"] = f"{away_bps:.2f}"
    if order.time_in_force is not TimeInForce.GTX:
        words["slippage_bps"] = f"{away_bps * order.side.sign:.2f}"
    if used.worst is not None:
        side = "long_usd" if order.side is Side.BUY else "short_usd"
        words["position_usd"] = f"{used.worst:.2f}"
        for name, sum_usd in (("venue_usd", used.venue), ("global_usd", used.total), ("side_usd", used.side)):
            words[name] = f"{used.worst if sum_usd is None else sum_usd:.2f}"
        limit["side_usd"] = limit[side]
    words["inflight"] = str(used.inflight)
    words["open_orders"] = str(used.open_orders)
    return {name: f"{use}/{limit[name]}" for name, use in words.items()}
