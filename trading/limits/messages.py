"""What is asked of the rate-limit governor, what it answers, and what operators see of it.

Owns the words only; deciding is `governor.py`. All times are monotonic nanoseconds.
"""

from __future__ import annotations

from enum import Enum, IntEnum

import msgspec


class Priority(IntEnum):
    """Who goes first. What takes risk away comes before what keeps it, that before what adds it."""

    CANCEL = 0
    HEDGE = 1
    REPLACE = 2
    PLACE = 3
    POLL = 4


class Refusal(Enum):
    """Why a request may not be sent. Nothing is ever dropped without one of these."""

    DEADLINE = "deadline"
    """No room before the request's deadline."""
    LIMITED = "limited"
    """The venue said 429, and its pause outlasts the deadline."""
    BANNED = "banned"
    """The venue banned us, and the ban outlasts the deadline."""
    AUTH_FAILED = "auth_failed"
    """The venue refused the key; asking again and again makes it worse."""
    PENALISED = "penalised"
    """The endpoint failed time after time, and its pause outlasts the deadline."""
    TOO_DEAR = "too_dear"
    """Heavier than this priority may ever spend in one window."""
    QUEUE_FULL = "queue_full"
    """As many requests wait already as may."""
    POOLS_FULL = "pools_full"
    """More different accounts and instruments at once than are counted."""
    CLOSED = "closed"
    """The limiter is closing."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request that wants to be sent.

    ``endpoint`` is the name of the venue's table, such as ``POST /fapi/v1/order``; ``weight`` the venue's request
    weight, ``orders`` how many orders it counts as. ``deadline_ns`` is when it is of no more use. ``instrument`` and
    ``account`` matter where the venue counts by them. ``signed``: sent with our key (all but polls always are).
    """

    endpoint: str
    weight: int = 1
    orders: int = 0
    priority: Priority
    deadline_ns: int
    instrument: str = ""
    account: str = ""
    signed: bool = False

    def __post_init__(self) -> None:
        if not self.endpoint:
            raise ValueError("endpoint: empty; give the endpoint's name")
        if self.weight < 0 or self.orders < 0:
            raise ValueError(f"{self.endpoint}: weight {self.weight} and orders {self.orders} must not be negative")

    @property
    def private(self) -> bool:
        """Whether the venue sees our key on it."""
        return self.priority is not Priority.POLL or self.signed or self.orders > 0


class Go(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send it now: it is counted. ``at_ns`` is when."""

    at_ns: int


class Wait(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing is counted: ask again after ``wait_ns`` (at least 1). ``pool`` names what is full or frozen."""

    wait_ns: int
    pool: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Do not send it. Before ``retry_ns`` have passed the answer would be the same; 0: nothing is known."""

    reason: Refusal
    pool: str
    retry_ns: int = 0


Answer = Go | Wait | Refused


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """One budget in its window. ``used`` is our count, ``venue_used`` the venue's own, others included, if it told.

    ``others`` is what other clients spend within one window, as far as it can be seen.
    """

    pool: str
    scope: str
    unit: str
    limit: int
    usable: int
    used: int
    venue_used: int | None
    others: int
    window_ms: int
    waiting_long: tuple[str, ...]
    """Priorities that waited beyond patience, for which room is being made."""


class FreezeView(msgspec.Struct, frozen=True, kw_only=True):
    """A pause that the venue imposed, or an endpoint's penalty."""

    scope: str
    kind: str
    left_ms: float
    strikes: int


class PriorityView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one priority's asks in this process; ``refused`` by reason."""

    priority: str
    gone: int
    waited: int
    refused: dict[str, int]


class LimitView(msgspec.Struct, frozen=True, kw_only=True):
    """The Rate-Limit Monitor's facts of one venue."""

    venue: str
    source: str
    at_ns: int
    pools: tuple[PoolView, ...]
    freezes: tuple[FreezeView, ...]
    priorities: tuple[PriorityView, ...]
    statuses: dict[str, int]
    """How often the venue answered with each of the statuses that mean "too much" or "not you"."""
    recovering: bool
    """Shortly after a pause: only half of the room is used."""
