"""The words of a vote on views: states, thresholds, what changes and what can be asked.

Owns no decision: that is `trading.market.views`.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from trading.market.view_topics import Spare


class ViewState(Enum):
    """A view is ACTIVE, or it neither leads nor counts.

    JOINING: connected, nothing heard yet. QUARANTINED: behind its peers; it returns after calm.
    """

    DOWN = "down"
    JOINING = "joining"
    ACTIVE = "active"
    QUARANTINED = "quarantined"


class QuorumState(Enum):
    """FULL: every view is fresh. MET: enough are. LOST: too few to believe any of them."""

    FULL = "full"
    MET = "met"
    LOST = "lost"


class ViewLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds. One vote is taken per `ViewVote.on_tick`, which is meant to come every 100 ms.

    A view is behind by more than ``lag_ms_max`` in ``votes`` votes in a row: quarantine, until ``calm_ms`` without.
    Fresh is what spoke within ``stale_ms``; ``quorum_min`` 0 asks for more than half of the views. A hole between
    numbers waits ``hold_ms`` for the other views.
    """

    lag_ms_max: int = 250
    votes: int = 3
    calm_ms: int = 5000
    stale_ms: int = 1200
    quorum_min: int = 0
    hold_ms: int = 100
    renumber_ms: int = 1000
    frames_max: int = 256
    topics_max: int = 4096


class ViewQuarantined(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A view was behind its peers ``votes`` times in a row, at last by ``lag_ms``."""

    view: str
    lag_ms: float
    votes: int
    ts_ns: int


class ViewReturned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A quarantined view may be believed again."""

    view: str
    quarantined_ms: float
    ts_ns: int


class FailedOver(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Another view leads; ``replay`` is to be delivered before anything else, in this order.

    ``old`` is None for the first leader. ``failover_time_ms`` is from the last good frame of the old leader (the last
    before it fell behind or broke) to this event; 0 for the first leader.
    """

    old: str | None
    new: str
    reason: str
    failover_time_ms: float
    replay: tuple[Spare, ...]
    ts_ns: int


class LeaderLost(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """No view is left to lead."""

    view: str
    reason: str
    ts_ns: int


class HoleGivenUp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """No view brought these numbers in time."""

    topic: str
    first_seq: int
    last_seq: int
    ts_ns: int


class QuorumChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The quorum of fresh views changed."""

    state: QuorumState
    fresh: int
    needed: int
    ts_ns: int


ViewEvent = ViewQuarantined | ViewReturned | FailedOver | LeaderLost | HoleGivenUp | QuorumChanged


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """How many views are fresh, and how many it takes."""

    fresh: int
    needed: int
    state: QuorumState


class ViewStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One view for the operators; ``age_ms`` is None before the first frame, ``lag_ms`` is that of the last vote."""

    view: str
    state: ViewState
    leads: bool
    age_ms: float | None
    lag_ms: float
    frames: int
    delivered: int
    quarantines: int
    reason: str
