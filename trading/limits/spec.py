"""A venue's limits as data: budgets and their windows, what its statuses mean, what its requests cost.

Owns the shapes and how much of a budget each priority may use. The venues' own numbers are `venues.py`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from trading.limits.messages import Ask, Priority

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 24 * 60 * MINUTE_NS


class Scope(Enum):
    """Whom the venue counts: an address, an account."""

    IP = "ip"
    ACCOUNT = "account"


class Unit(Enum):
    """What it counts: weights, orders, or calls whatever they weigh."""

    WEIGHT = "weight"
    ORDERS = "orders"
    CALLS = "calls"


class Keyed(Enum):
    """Whether all requests of a scope share one window, or each endpoint, or instrument, has its own."""

    TOGETHER = "together"
    ENDPOINT = "endpoint"
    INSTRUMENT = "instrument"


class Verdict(Enum):
    """What a status tells."""

    LIMITED = "limited"
    BANNED = "banned"
    AUTH_FAILED = "auth_failed"


class Reach(Enum):
    """What a pause stops."""

    VENUE = "venue"
    ACCOUNT = "account"
    ENDPOINT = "endpoint"


MIXED = (1.0, 0.90, 0.85, 0.80, 0.50)
"""Shares by priority where cancels are counted too: a tenth is theirs alone, and polls get no more than half."""
ORDERS_ONLY = (1.0, 1.0, 0.95, 0.90, 0.90)
"""Where cancels are not counted: the last of the window is for hedges."""
ALONE = (1.0, 1.0, 1.0, 1.0, 1.0)
"""Where only one kind of request is counted."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``limit`` of ``unit`` within ``window_ns``.

    ``endpoints`` names what is counted, each a whole name or a beginning that ends with ``*``; ``aligned``: the venue
    counts from the full interval of its clock on and starts at zero then, otherwise within a window that slides.
    ``used_header`` carries the venue's count; ``limit_header`` and ``left_header`` together say the same. ``shares``
    are the parts of the budget up to which each priority, from CANCEL to POLL, may fill it.
    """

    name: str
    scope: Scope
    unit: Unit
    limit: int
    window_ns: int
    endpoints: tuple[str, ...] = ("*",)
    keyed: Keyed = Keyed.TOGETHER
    aligned: bool = False
    used_header: str = ""
    limit_header: str = ""
    left_header: str = ""
    shares: tuple[float, float, float, float, float] = MIXED

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_ns < MS_NS:
            raise ValueError(f"{self.name}: {self.limit} within {self.window_ns} ns is no budget")
        if any(not 0 < share <= 1 for share in self.shares) or list(self.shares) != sorted(self.shares, reverse=True):
            raise ValueError(f"{self.name}: shares {self.shares} must lie in (0, 1] and fall from CANCEL to POLL")

    def counts(self, endpoint: str) -> bool:
        """Whether requests to ``endpoint`` are counted here."""
        return any(
            endpoint.startswith(name[:-1]) if name.endswith("*") else endpoint == name for name in self.endpoints
        )

    def amount(self, ask: Ask) -> int:
        """How much of this budget ``ask`` takes."""
        match self.unit:
            case Unit.WEIGHT:
                return ask.weight
            case Unit.ORDERS:
                return ask.orders
            case Unit.CALLS:
                return 1

    def pool(self, ask: Ask) -> str:
        """The name of the window that ``ask`` is counted in."""
        parts = [self.name]
        if self.scope is Scope.ACCOUNT and ask.account:
            parts.append(ask.account)
        if self.keyed is not Keyed.TOGETHER:
            parts.append(ask.endpoint)
        if self.keyed is Keyed.INSTRUMENT:
            parts.append(ask.instrument)
        return "|".join(parts)


class StatusRule(msgspec.Struct, frozen=True, kw_only=True):
    """What an HTTP status of this venue means, and how long to pause when it does not say (doubled each time)."""

    status: int
    verdict: Verdict
    reach: Reach
    pause_ns: int
    pause_max_ns: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one request to an endpoint costs."""

    weight: int = 1
    orders: int = 0


_ONE: Final = Cost()
_OTHER: Final = Budget(
    name="other",
    scope=Scope.IP,
    unit=Unit.CALLS,
    limit=10,
    window_ns=2 * SECOND_NS,
    keyed=Keyed.ENDPOINT,
    shares=ALONE,
)


class VenueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one venue. ``source`` names its document and the month it was read."""

    venue: str
    source: str
    budgets: tuple[Budget, ...]
    rules: tuple[StatusRule, ...]
    costs: dict[str, Cost] = {}
    other: Budget = msgspec.field(default_factory=lambda: _OTHER)
    """What counts a request that no budget counts: nothing is free."""

    def __post_init__(self) -> None:
        names = [budget.name for budget in (*self.budgets, self.other)]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.venue}: two budgets have one name")
        if any("|" in name for name in names):
            raise ValueError(f"{self.venue}: a budget's name has a bar in it")

    def ask(
        self, endpoint: str, priority: Priority, deadline_ns: int, *, instrument: str = "", account: str = ""
    ) -> Ask:
        """The ask for one request at the table's cost; an endpoint that is not listed costs one and no order."""
        cost = self.costs.get(endpoint, _ONE)
        return Ask(
            endpoint=endpoint,
            weight=cost.weight,
            orders=cost.orders,
            priority=priority,
            deadline_ns=deadline_ns,
            instrument=instrument,
            account=account,
        )


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How we use what the venue allows.

    ``share`` of each limit is used at most: what other clients spend between two words of the venue has to fit into
    the rest. ``jitter_ns`` (at most an eighth of a window) is added to every window, because requests do not all take
    equally long to arrive. After ``patience_ns`` (or two windows, if that is less) room is made for whoever is starved.
    ``cancel_gap_ns`` is how far apart cancels follow each other while the venue says 429. For ``recover_ns`` after
    a pause everybody but cancels has half of the room. ``others_share`` of an interval is left to other clients until
    the venue's words show how much they really spend. A failing endpoint pauses ``penalty_ns``, doubled each time.
    """

    share: float = 0.95
    others_share: float = 0.25
    jitter_ns: int = 100 * MS_NS
    patience_ns: int = 20 * SECOND_NS
    cancel_gap_ns: int = 100 * MS_NS
    recover_ns: int = 10 * SECOND_NS
    penalty_ns: int = 100 * MS_NS
    penalty_max_ns: int = 10 * SECOND_NS
    pools_max: int = 256
    endpoints_max: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share: {self.share} must lie in (0, 1]")
        if not 0 <= self.others_share <= 0.5:
            raise ValueError(f"others_share: {self.others_share} must lie in [0, 0.5]")
        for field in ("jitter_ns", "cancel_gap_ns", "recover_ns"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field}: {getattr(self, field)} must not be negative")
        for field in ("patience_ns", "penalty_ns", "penalty_max_ns", "pools_max", "endpoints_max"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: {getattr(self, field)} must be at least 1")

    def patience(self, budget: Budget) -> int:
        """How long a priority waits for room in ``budget`` before room is made for it, ns."""
        return min(self.patience_ns, 2 * budget.window_ns)

    def span(self, budget: Budget) -> int:
        """How long what was spent counts, ns: the window and the jitter."""
        return budget.window_ns + min(self.jitter_ns, budget.window_ns // 8)

    def usable(self, limit: int) -> int:
        """How much of ``limit`` is used at most; never nothing."""
        return max(1, int(limit * self.share))

    def ceiling(self, budget: Budget, limit: int, priority: Priority) -> int:
        """Up to where ``priority`` may fill a window. Where more than one fits, the last one is the cancels'."""
        usable = self.usable(limit)
        share = budget.shares[priority]
        if share == 1.0:
            return usable
        return max(1, min(usable - 1, int(usable * share)))
