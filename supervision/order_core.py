"""The order core's deadlines, and what a wire between it and the venue asks for beyond them. Owns these numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.bybit.instruments import BYBIT
from adapters.okx.instruments import OKX
from trading.orders.core import OrderCoreConfig

WIRE_AGE_MS: Final = 500
"""An order leaves its gateway so soon after its release, or not at all."""
WIRE_VISIBLE_MS: Final = 3_000
"""Only a "not found" that was asked for so long after the release means that an order does not exist: it may have left
its gateway `WIRE_AGE_MS` later, reached the venue at the end of its window of 1 s, and be unknown to queries for long.
"""

WIRE_LADDER_MS: Final = (150, 350, 700, 1_000, 1_000, 2_000, 5_000)
"""The waits between readings of an account that is not clean yet: one costs up to 100 of what a venue allows in a
minute, and before `WIRE_VISIBLE_MS` have passed a reading seldom tells more than the one before.
"""


IN_PLACE: Final = frozenset({USDM, COINM, OKX, BYBIT})
"""Venues whose codec amends in place: the order keeps the client order id that it was placed with."""


def amended_in_place(wired: Iterable[str]) -> tuple[str, ...]:
    """Of the venues to which orders travel those that amend in place."""
    return tuple(venue for venue in wired if venue in IN_PLACE)


def replacing(core: OrderCoreConfig, venues: Iterable[str], *, enabled: bool, max_latency_ms: int) -> OrderCoreConfig:
    """How orders at ``venues`` are replaced; not ``enabled`` by cancel and new order everywhere."""
    if not enabled:
        return msgspec.structs.replace(core, amends_in_place=(), amend_unsupported=tuple(venues))
    return msgspec.structs.replace(core, amend_latency_ms_max=max_latency_ms)


def order_core(place_ms: int, cancel_ms: int, wired: Iterable[str]) -> OrderCoreConfig:
    """Deadlines in milliseconds; ``wired`` are the venues to which orders travel over sockets.

    Binance spot cancels and places anew in one request; `IN_PLACE` amend the order that is there. Elsewhere a
    replacement is a cancel and, when that is proved, a new order.
    """
    venues = tuple(wired)
    plain = OrderCoreConfig(place_deadline_ms=place_ms, cancel_deadline_ms=cancel_ms)
    if not venues:
        return plain
    in_place = amended_in_place(venues)
    return msgspec.structs.replace(
        plain,
        visibility_ms=WIRE_VISIBLE_MS,
        reconcile_ladder_ms=WIRE_LADDER_MS,
        amends_in_place=in_place,
        amend_unsupported=tuple(venue for venue in venues if venue != SPOT and venue not in in_place),
    )
