"""A venue's limits and bans as the other end of a storm: it counts like Binance and punishes like Binance.

Owns counting, and nothing else of a venue. Intervals are aligned to its clock and everybody behind one address is
counted together. Beyond the limit it says 429 with Retry-After; who goes on is banned with 418, longer each time
("LIMITS", binance-spot-api-docs/rest-api, 2026-11).
"""

from __future__ import annotations

from typing import Final

import msgspec

from trading.limits.spec import (
    ORDERS_ONLY,
    SECOND_NS,
    Budget,
    Cost,
    Reach,
    Scope,
    StatusRule,
    Unit,
    VenueLimits,
    Verdict,
)

OFFENCES_MAX: Final = 3
"""So many 429 within one interval, and the next request over the limit is a ban."""
_BAN_INTERVALS: Final = 12


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the storm: weight by address and orders by account within one interval."""

    weight: int
    orders: int
    window_ns: int

    def limits(self) -> VenueLimits:
        """The same as a table for the governor."""
        return VenueLimits(
            venue="storm",
            source="supervision/storm_venue.py",
            budgets=(
                Budget(
                    name="weight",
                    scope=Scope.IP,
                    unit=Unit.WEIGHT,
                    limit=self.weight,
                    window_ns=self.window_ns,
                    aligned=True,
                    used_header="X-MBX-USED-WEIGHT-1M",
                ),
                Budget(
                    name="orders",
                    scope=Scope.ACCOUNT,
                    unit=Unit.ORDERS,
                    limit=self.orders,
                    window_ns=self.window_ns,
                    aligned=True,
                    used_header="X-MBX-ORDER-COUNT-10S",
                    shares=ORDERS_ONLY,
                ),
            ),
            rules=tuple(
                StatusRule(
                    status=status,
                    verdict=verdict,
                    reach=Reach.VENUE,
                    pause_ns=self.window_ns,
                    pause_max_ns=100 * self.window_ns,
                )
                for status, verdict in ((429, Verdict.LIMITED), (418, Verdict.BANNED))
            ),
            costs={
                "DELETE /order": Cost(),
                "POST /order": Cost(orders=1),
                "PUT /order": Cost(orders=1),
                "GET /depth": Cost(weight=5),
            },
        )


class StormVenue:
    """Counts requests; pure. ``answer`` gives status and headers."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.bans = 0
        self.limited: dict[str, int] = {}
        self.served: dict[str, int] = {}
        self.fullest = 0.0
        self.first_ns = self.last_ns = 0
        self._interval = -1
        self._weight = self._orders = self._offences = 0
        self._banned_until_ns = 0

    def answer(self, client: str, weight: int, orders: int, now_ns: int) -> tuple[int, dict[str, str]]:
        """One request of ``client``."""
        self.first_ns, self.last_ns = self.first_ns or now_ns, now_ns
        interval = now_ns // self.shape.window_ns
        if interval != self._interval:
            self._interval, self._weight, self._orders, self._offences = interval, 0, 0, 0
        self._weight += weight
        self._orders += orders
        headers = {"X-MBX-USED-WEIGHT-1M": str(self._weight)}
        if orders:
            headers["X-MBX-ORDER-COUNT-10S"] = str(self._orders)
        if now_ns < self._banned_until_ns:
            return 418, {**headers, "Retry-After": _seconds(self._banned_until_ns - now_ns)}
        if self._weight <= self.shape.weight and (not orders or self._orders <= self.shape.orders):
            self.served[client] = self.served.get(client, 0) + weight
            self.fullest = max(self.fullest, self._weight / self.shape.weight)
            return 200, headers
        self.limited[client] = self.limited.get(client, 0) + 1
        self._offences += 1
        if self._offences > OFFENCES_MAX:
            self.bans += 1
            self._banned_until_ns = now_ns + self.bans * _BAN_INTERVALS * self.shape.window_ns
            return 418, {**headers, "Retry-After": _seconds(self._banned_until_ns - now_ns)}
        return 429, {**headers, "Retry-After": _seconds((interval + 1) * self.shape.window_ns - now_ns)}


def _seconds(length_ns: int) -> str:
    return str(-(-length_ns // SECOND_NS))
