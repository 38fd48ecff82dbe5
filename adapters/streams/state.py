"""The vocabulary of a connection's state machine: statuses, what can happen, what is to be done, and the table.

The rules are in `adapters.streams.machine`; who carries them out is `adapters.streams.connection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from adapters.streams.topics import MS_NS, SECOND_NS, Pulse, TopicSpec


class Status(Enum):
    """How a connection stands. One of a venue's lines is at times two sockets: see ROTATING."""

    IDLE = "idle"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    LIVE = "live"
    DEGRADED = "degraded"
    ROTATING = "rotating"
    BACKOFF = "backoff"
    MAINTENANCE = "maintenance"
    CLOSED = "closed"


class Turn(Enum):
    """What moves a connection from one status to another."""

    STARTED = "started"
    OPENED = "opened"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    ROTATION_BEGAN = "rotation_began"
    TAKEN_OVER = "taken_over"
    ROTATION_FAILED = "rotation_failed"
    PROMOTED = "promoted"
    PROMOTED_UNOPENED = "promoted_unopened"
    LOST = "lost"
    REPLACED = "replaced"
    DEFERRED = "deferred"
    DUE = "due"
    VENUE_DOWN = "venue_down"
    STOPPED = "stopped"


_S, _T = Status, Turn
TRANSITIONS: dict[tuple[Status, Turn], Status] = {
    (_S.IDLE, _T.STARTED): _S.CONNECTING,
    (_S.CONNECTING, _T.OPENED): _S.SUBSCRIBING,
    (_S.CONNECTING, _T.LOST): _S.BACKOFF,
    (_S.CONNECTING, _T.DEFERRED): _S.BACKOFF,
    (_S.CONNECTING, _T.VENUE_DOWN): _S.MAINTENANCE,
    (_S.SUBSCRIBING, _T.COMPLETE): _S.LIVE,
    (_S.SUBSCRIBING, _T.INCOMPLETE): _S.DEGRADED,
    (_S.SUBSCRIBING, _T.ROTATION_BEGAN): _S.ROTATING,  # the venue said that it will close before all was granted
    (_S.SUBSCRIBING, _T.LOST): _S.BACKOFF,
    (_S.SUBSCRIBING, _T.REPLACED): _S.CONNECTING,
    (_S.SUBSCRIBING, _T.VENUE_DOWN): _S.MAINTENANCE,
    (_S.LIVE, _T.INCOMPLETE): _S.DEGRADED,
    (_S.LIVE, _T.ROTATION_BEGAN): _S.ROTATING,
    (_S.LIVE, _T.LOST): _S.BACKOFF,
    (_S.LIVE, _T.REPLACED): _S.CONNECTING,
    (_S.LIVE, _T.VENUE_DOWN): _S.MAINTENANCE,
    (_S.DEGRADED, _T.COMPLETE): _S.LIVE,
    (_S.DEGRADED, _T.ROTATION_BEGAN): _S.ROTATING,
    (_S.DEGRADED, _T.LOST): _S.BACKOFF,
    (_S.DEGRADED, _T.REPLACED): _S.CONNECTING,
    (_S.DEGRADED, _T.VENUE_DOWN): _S.MAINTENANCE,
    (_S.ROTATING, _T.TAKEN_OVER): _S.LIVE,
    (_S.ROTATING, _T.ROTATION_FAILED): _S.LIVE,  # the first connection never stopped
    (_S.ROTATING, _T.PROMOTED): _S.SUBSCRIBING,  # the first broke before the second was whole
    (_S.ROTATING, _T.PROMOTED_UNOPENED): _S.CONNECTING,
    (_S.BACKOFF, _T.DUE): _S.CONNECTING,
    (_S.BACKOFF, _T.VENUE_DOWN): _S.MAINTENANCE,
    (_S.MAINTENANCE, _T.DUE): _S.MAINTENANCE,  # trying is not being back
    (_S.MAINTENANCE, _T.OPENED): _S.SUBSCRIBING,
    (_S.MAINTENANCE, _T.DEFERRED): _S.MAINTENANCE,
    (_S.MAINTENANCE, _T.VENUE_DOWN): _S.MAINTENANCE,
    **{(status, _T.STOPPED): _S.CLOSED for status in Status},
}


class ImpossibleTurnError(ValueError):
    """A turn that the table does not know: a bug of the machine."""

    def __init__(self, status: Status, turn: Turn) -> None:
        super().__init__(status, turn)
        self.status = status
        self.turn = turn

    def __str__(self) -> str:
        return f"a connection that is {self.status.value} cannot have {self.turn.value}"


class Phase(Enum):
    """How far one topic has come on one socket."""

    WAITING = "waiting"
    ASKED = "asked"
    GRANTED = "granted"
    ALIVE = "alive"
    MUTE = "mute"
    REFUSED = "refused"


class TopicState(msgspec.Struct, frozen=True, gc=False):
    """``tries`` counts how often it was asked for again; ``retry`` tells refusals that may end."""

    phase: Phase
    since_ns: int
    tries: int = 0
    reason: str = ""
    retry: bool = False


class SocketState(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket. Times are monotonic ns, 0 for what has not happened.

    ``wanted`` are topics that somebody needs from their beginning, ``renewed`` is when each last began anew for that;
    at ``renew_full_ns`` the connection affords its whole burst of renewals again.
    """

    number: int
    asked_ns: int
    opened_ns: int = 0
    pinged_ns: int = 0
    topics: Mapping[str, TopicState]
    wanted: frozenset[str] = frozenset()
    renewed: Mapping[str, int] = {}
    renew_full_ns: int = 0


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a connection since it was started."""

    connects: int = 0
    disconnects: int = 0
    mutes: int = 0
    unacked: int = 0
    refused: int = 0
    rotations: int = 0
    rotations_failed: int = 0
    backoffs: int = 0
    maintenances: int = 0


class ConnectionRules(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines and delays, ns. Delays double from a jittered first to their cap.

    ``life_ns`` is when a connection is rotated, before the venue ends it. ``stable_ns`` is how long all must have been
    well for the next loss to count as the first. ``renew_gap_ns`` is between two renewals of one topic; a connection
    affords ``renew_burst`` of them and gains one each ``renew_every_ns`` (OKX allows 480 requests an hour, and a
    renewal is two). ``stretch`` and ``stretch_max_ns`` let a topic that speaks rarely be
    silent for that many of its mean intervals.
    """

    connect_ns: int = 5 * SECOND_NS
    ack_ns: int = 2 * SECOND_NS
    ping_every_ns: int = 15 * SECOND_NS
    pong_ns: int = 5 * SECOND_NS
    jitter_min_ns: int = 500 * MS_NS
    jitter_max_ns: int = 2 * SECOND_NS
    backoff_max_ns: int = 30 * SECOND_NS
    maintenance_max_ns: int = 60 * SECOND_NS
    stable_ns: int = 30 * SECOND_NS
    life_ns: int = 23 * 3600 * SECOND_NS
    rotate_ns: int = 15 * SECOND_NS
    renew_gap_ns: int = 300 * MS_NS
    renew_every_ns: int = 20 * SECOND_NS
    renew_burst: int = 30
    refusal_retry_ns: int = 30 * SECOND_NS
    stretch: int = 8
    stretch_max_ns: int = 60 * SECOND_NS


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All of one connection. ``main`` carries the topics; ``spare`` is the second socket of a rotation.

    ``due_ns`` ends BACKOFF and MAINTENANCE, ``rotate_ns`` is when the next rotation is planned, and before
    ``replace_ns`` no failing topic replaces the connection. ``dice`` is the state of the jitter's generator.
    """

    topics: Mapping[str, TopicSpec]
    rules: ConnectionRules
    dice: int
    status: Status = Status.IDLE
    reason: str = ""
    main: SocketState | None = None
    spare: SocketState | None = None
    next_number: int = 1
    due_ns: int = 0
    attempt: int = 0
    live_since_ns: int = 0
    rotate_ns: int = 0
    rotate_reason: str = ""
    replace_ns: int = 0
    replace_attempt: int = 0
    in_maintenance: bool = False
    maintenance_until_ns: int = 0
    counters: Counters = Counters()


# --- What the shell reports ------------------------------------------------------------------------------


class Started(msgspec.Struct, frozen=True):
    """Begin."""


class Stopped(msgspec.Struct, frozen=True):
    """End, for good."""


class Opened(msgspec.Struct, frozen=True):
    """A socket's handshake is done."""

    number: int


class OpenFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A socket could not be opened. ``http_status`` is 0 when there was no answer; ``retry_after_ns`` what it asked."""

    number: int
    reason: str
    http_status: int = 0
    retry_after_ns: int = 0


class OpenDeferred(msgspec.Struct, frozen=True, kw_only=True):
    """The connection budget of this process is spent."""

    number: int
    wait_ns: int


class SocketLost(msgspec.Struct, frozen=True, kw_only=True):
    """An open socket is gone. ``code`` is the close code, 0 without one."""

    number: int
    reason: str
    code: int = 0


class Granted(msgspec.Struct, frozen=True):
    """The venue granted a topic."""

    number: int
    key: str


class Asked(msgspec.Struct, frozen=True):
    """A topic is asked for in another request: its time to be granted begins again."""

    number: int
    key: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The venue refused a topic."""

    number: int
    key: str
    reason: str
    retry: bool


class ResetAnnounced(msgspec.Struct, frozen=True, kw_only=True):
    """The venue says that it will close this socket soon."""

    number: int
    reason: str


class MaintenanceAnnounced(msgspec.Struct, frozen=True, kw_only=True):
    """Until ``until_ns`` (monotonic) a loss is the venue's maintenance."""

    until_ns: int
    reason: str


class Renewed(msgspec.Struct, frozen=True):
    """Somebody needs a topic from its beginning."""

    key: str


class SocketPulse(msgspec.Struct, frozen=True):
    """What a socket has heard: by topic, and of anything at all (pongs too)."""

    number: int
    pulses: Mapping[str, Pulse]
    heard_ns: int


class Ticked(msgspec.Struct, frozen=True):
    """Time has passed."""

    sockets: tuple[SocketPulse, ...] = ()


Event = (
    Started
    | Stopped
    | Opened
    | OpenFailed
    | OpenDeferred
    | SocketLost
    | Granted
    | Asked
    | Refused
    | ResetAnnounced
    | MaintenanceAnnounced
    | Renewed
    | Ticked
)


# --- What the shell has to do ----------------------------------------------------------------------------


class OpenSocket(msgspec.Struct, frozen=True):
    """Open a socket and report Opened, OpenFailed or OpenDeferred."""

    number: int


class CloseSocket(msgspec.Struct, frozen=True):
    """Close a socket, open or not, and report nothing more of it."""

    number: int
    reason: str


class Subscribe(msgspec.Struct, frozen=True):
    """Ask for topics."""

    number: int
    keys: tuple[str, ...]


class Resubscribe(msgspec.Struct, frozen=True):
    """Leave topics and ask for them again."""

    number: int
    keys: tuple[str, ...]


class SendPing(msgspec.Struct, frozen=True):
    """Ask whether the other end is there."""

    number: int


class TakeOver(msgspec.Struct, frozen=True):
    """From now on ``number`` is what is delivered. ``joined``: without a hole after what ``old`` delivered."""

    number: int
    old: int
    joined: bool


class News(Enum):
    """What the desk has to know."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    TOPIC_LOST = "topic_lost"
    TOPIC_REFUSED = "topic_refused"
    TOPIC_ALIVE = "topic_alive"
    ROTATED = "rotated"
    MAINTENANCE_BEGAN = "maintenance_began"
    MAINTENANCE_ENDED = "maintenance_ended"


class Tell(msgspec.Struct, frozen=True):
    """Tell the desk."""

    news: News
    key: str = ""
    reason: str = ""


Effect = OpenSocket | CloseSocket | Subscribe | Resubscribe | SendPing | TakeOver | Tell
