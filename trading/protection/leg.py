"""One strategy's position in one instrument and the state of its exits: a table, and the one function that applies it.

One machine owns both exits, so that only one of them can ever be on its way. Owns no prices and says nothing.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from trading.ledger.accounts import Holding
from trading.orders.messages import Intent
from trading.protection.levels import Distances, ExitReason, Levels

STORY_LINES = 32


class ExitStatus(Enum):
    """Where the exits of a leg are."""

    __hash__ = object.__hash__

    UNPLANNED = "unplanned"  # nothing durable says how it would be closed: nothing is opened
    PLANNING = "planning"  # the plan is on its way to the disk
    READY = "ready"  # planned, nothing held
    ARMED = "armed"  # held, both levels are watched
    TRIGGERING = "triggering"  # a level was reached, the row that says so is on its way to the disk
    EXITING = "exiting"  # it is being closed, until nothing is left
    COOLING = "cooling"  # closed; nothing is opened for a while


class ExitEvent(Enum):
    """What can happen to a leg."""

    __hash__ = object.__hash__

    PLANNED = "planned"  # a plan was written
    PLAN_DURABLE = "plan_durable"
    ENTERED = "entered"  # something is held after an execution
    LEFT = "left"  # nothing is held that could be sold
    REACHED = "reached"
    TRIGGER_DURABLE = "trigger_durable"
    COOLED = "cooled"


S, E = ExitStatus, ExitEvent

TRANSITIONS: dict[tuple[ExitStatus, ExitEvent], ExitStatus] = {
    (S.UNPLANNED, E.PLANNED): S.PLANNING,
    (S.UNPLANNED, E.ENTERED): S.UNPLANNED,  # held from before anybody asked for protection
    (S.UNPLANNED, E.LEFT): S.UNPLANNED,
    (S.PLANNING, E.PLAN_DURABLE): S.READY,
    (S.PLANNING, E.ENTERED): S.PLANNING,  # as above, or a late fill of an earlier life
    (S.PLANNING, E.LEFT): S.PLANNING,
    (S.READY, E.PLANNED): S.PLANNING,  # a newer plan for the next entry
    (S.READY, E.ENTERED): S.ARMED,
    (S.READY, E.LEFT): S.READY,
    (S.ARMED, E.ENTERED): S.ARMED,  # it grew or shrank: the levels follow the new average
    (S.ARMED, E.LEFT): S.READY,  # the strategy closed it itself
    (S.ARMED, E.REACHED): S.TRIGGERING,
    (S.TRIGGERING, E.TRIGGER_DURABLE): S.EXITING,
    (S.TRIGGERING, E.ENTERED): S.TRIGGERING,
    (S.TRIGGERING, E.LEFT): S.TRIGGERING,  # closed by other hands meanwhile; the row is told to nobody yet
    (S.EXITING, E.ENTERED): S.EXITING,  # closed in part
    (S.EXITING, E.LEFT): S.COOLING,
    (S.COOLING, E.ENTERED): S.EXITING,  # a late fill of the entry: it goes the same way
    (S.COOLING, E.LEFT): S.COOLING,
    (S.COOLING, E.COOLED): S.READY,
}

BLOCKING = frozenset({S.TRIGGERING, S.EXITING, S.COOLING})
"""What the strategy wants waits."""


class InvalidExitTransition(Exception):  # noqa: N818 - named for what happened
    """Our bug: an event in a state that has no row for it. ``story`` is all the leg went through."""

    def __init__(self, leg: str, status: ExitStatus, event: ExitEvent, story: tuple[str, ...]) -> None:
        lines = "".join(f"\n  {line}" for line in story)
        super().__init__(f"{leg}: {event.value} while {status.value}; its story:{lines}")
        self.leg = leg
        self.status = status
        self.event = event
        self.story = story

    def __reduce__(self) -> tuple[type[InvalidExitTransition], tuple[str, ExitStatus, ExitEvent, tuple[str, ...]]]:
        """Survive pickling with the facts."""
        return (InvalidExitTransition, (self.leg, self.status, self.event, self.story))


class ProtectedLeg(msgspec.Struct, kw_only=True):
    """One strategy in one instrument. ``waiting`` is what it wanted last, by kind of intent, while it may not have it.

    ``serial`` numbers its exits and names them; ``since_ns`` is when the status began (UTC).
    """

    strategy_id: str
    instrument_id: str
    status: ExitStatus = ExitStatus.UNPLANNED
    holding: Holding = msgspec.field(default_factory=Holding)
    plan: Distances | None = None
    levels: Levels | None = None
    reason: ExitReason | None = None
    why: str = ""
    serial: int = 0
    since_ns: int = 0
    said_ns: int = 0
    stuck_told: bool = False
    quoted: bool = False
    blocked: int = 0
    waiting: dict[str, Intent] = {}
    story: list[tuple[int, str, str, str]] = []

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.strategy_id} in {self.instrument_id}"

    def apply(self, event: ExitEvent, now_ns: int) -> None:
        """Move by the table; ``InvalidExitTransition`` when it has no row."""
        status = TRANSITIONS.get((self.status, event))
        if status is None:
            told = tuple(f"{at} {what}: {old} -> {new}" for at, what, old, new in self.story)
            raise InvalidExitTransition(self.name, self.status, event, told)
        if status is not self.status:
            self.story.append((now_ns, event.value, self.status.value, status.value))
            if len(self.story) > STORY_LINES:
                del self.story[:-STORY_LINES]
            self.status = status
            self.since_ns = now_ns
