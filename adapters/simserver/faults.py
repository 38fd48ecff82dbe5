"""The faults that a simulated venue can be asked for: one typed knob each, in words that also travel as JSON.

Owns names, parameters, bounds and scopes; those of orders and accounts are in `order_faults`. What a knob does to
messages is `fault_plane`'s and `byte_edits`'s; what it does to connections and replies is `server`'s.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from adapters.simserver.knob import Count, Knob, Millis, SignedMillis
from adapters.simserver.order_faults import (
    AcceptThen,
    AckDelay,
    AuthFailure,
    BadBody,
    EmptyAccount,
    ExternalFill,
    FillBeforeAck,
    ForeignOrder,
    Halted,
    KeyMayWithdraw,
    LateVisibility,
    Liquidation,
    ListenKeyLost,
    OrderStorm,
    RefuseAmend,
    RejectNext,
)

# --- Data messages -------------------------------------------------------------------------------


class Gap(Knob):
    """Swallow messages."""

    knob: Literal["gap"] = "gap"
    counted: ClassVar[str] = "messages"
    messages: Count = 1


class Duplicate(Knob):
    """Send messages twice."""

    knob: Literal["duplicate"] = "duplicate"
    counted: ClassVar[str] = "messages"
    messages: Count = 1


class Reorder(Knob):
    """Send a message after the next one of its topic."""

    knob: Literal["reorder"] = "reorder"
    counted: ClassVar[str] = "messages"
    messages: Count = 1


class Corrupt(Knob):
    """Change one digit of a price or a quantity of one level."""

    knob: Literal["corrupt"] = "corrupt"
    counted: ClassVar[str] = "messages"
    messages: Count = 1
    number: Literal["price", "qty"] = "qty"


class WrongChecksum(Knob):
    """State a checksum that is one off (OKX)."""

    knob: Literal["wrong_checksum"] = "wrong_checksum"
    counted: ClassVar[str] = "messages"
    messages: Count = 1


class RealChecksum(Knob):
    """State real checksums on OKX's books; without it they are 0, as since 2026-06-23."""

    knob: Literal["real_checksum"] = "real_checksum"


class BadPrice(Knob):
    """Make the first price of messages 0 or not a number."""

    knob: Literal["bad_price"] = "bad_price"
    counted: ClassVar[str] = "messages"
    messages: Count = 1
    price: Literal["zero", "nan"] = "zero"


class FrozenSide(Knob):
    """Leave the changes of one side out of book diffs."""

    knob: Literal["frozen_side"] = "frozen_side"
    side: Literal["bid", "ask"] = "bid"


class TimeUnit(Knob):
    """State times in another unit than milliseconds."""

    knob: Literal["time_unit"] = "time_unit"
    unit: Literal["s", "us", "ns"] = "us"


class Mute(Knob):
    """Send no data; pings are still answered."""

    knob: Literal["mute"] = "mute"


class Delay(Knob):
    """Hold data back: one view lags."""

    knob: Literal["delay"] = "delay"
    delay_ms: Annotated[int, Field(ge=1, le=60_000)]


# --- Snapshots and rules -------------------------------------------------------------------------


class LateSnapshot(Knob):
    """Answer with the book of two seconds ago: older than the diffs that a new subscriber has."""

    knob: Literal["late_snapshot"] = "late_snapshot"
    counted: ClassVar[str] = "snapshots"
    snapshots: Count = 1


class UnbridgedSnapshot(Knob):
    """Answer with a book so old that no diff follows it."""

    knob: Literal["unbridged_snapshot"] = "unbridged_snapshot"
    counted: ClassVar[str] = "snapshots"
    snapshots: Count = 1


class MergedSnapshot(Knob):
    """Answer with today's levels under the number of two seconds ago: plausible, and wrong until diffs overwrite it."""

    knob: Literal["merged_snapshot"] = "merged_snapshot"
    counted: ClassVar[str] = "snapshots"
    snapshots: Count = 1


class TickChange(Knob):
    """The venue makes its ticks ten times finer, in the rules and in every price; for the whole server."""

    knob: Literal["tick_change"] = "tick_change"


# --- Connections ---------------------------------------------------------------------------------


class HalfOpen(Knob):
    """Neither send nor read any more, and do not close."""

    knob: Literal["half_open"] = "half_open"


class Unponged(Knob):
    """Do not answer pings."""

    knob: Literal["unponged"] = "unponged"


class Disconnect(Knob):
    """Cut connections at once; ``code`` 1006 drops them without a close frame."""

    knob: Literal["disconnect"] = "disconnect"
    code: Annotated[int, Field(ge=1000, le=4999)] = 1006


class Rotate(Knob):
    """Cut each connection when it is so old: the venues' 24 hours, shortened."""

    knob: Literal["rotate"] = "rotate"
    every_ms: Millis


class Quota(Knob):
    """Admit no more connections than this at a time."""

    knob: Literal["quota"] = "quota"
    connections_max: Annotated[int, Field(ge=0, le=10_000)]


class RefuseConnections(Knob):
    """Close the listening port: every new connection is refused by the kernel."""

    knob: Literal["refuse_connections"] = "refuse_connections"


class NightlyReset(Knob):
    """Close all connections with 1012 and refuse new ones for ``down_ms``."""

    knob: Literal["nightly_reset"] = "nightly_reset"
    down_ms: Millis = 1000


class Maintenance(Knob):
    """Announce in the venue's words that connections will be closed, and close them after ``notice_ms``."""

    knob: Literal["maintenance"] = "maintenance"
    notice_ms: Millis = 1000


class HandshakeStatus(Knob):
    """Answer WebSocket handshakes with an HTTP status."""

    knob: Literal["handshake_status"] = "handshake_status"
    counted: ClassVar[str] = "handshakes"
    handshakes: Count = 1
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None


# --- Subscriptions -------------------------------------------------------------------------------


class NoAck(Knob):
    """Neither answer a subscription nor serve it."""

    knob: Literal["no_ack"] = "no_ack"


class SubscribeError(Knob):
    """Refuse a subscription in the venue's words."""

    knob: Literal["subscribe_error"] = "subscribe_error"


class SilentTopic(Knob):
    """Grant a subscription and send nothing for it."""

    knob: Literal["silent_topic"] = "silent_topic"


# --- REST and clock ------------------------------------------------------------------------------


class RestStatus(Knob):
    """Answer requests with an HTTP status; ``topics`` are globs over paths. 429 and 418 may say ``Retry-After``."""

    knob: Literal["rest_status"] = "rest_status"
    counted: ClassVar[str] = "requests"
    requests: Count = 1
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None


class RestError(Knob):
    """Answer requests with the venue's own error; ``topics`` are globs over paths."""

    knob: Literal["rest_error"] = "rest_error"
    counted: ClassVar[str] = "requests"
    requests: Count = 1


class RestSlow(Knob):
    """Answer requests late; ``topics`` are globs over paths."""

    knob: Literal["rest_slow"] = "rest_slow"
    delay_ms: Annotated[int, Field(ge=1, le=60_000)]


class ClockSkew(Knob):
    """The venue's clock is off by so much, in its server time and in what it sends; for the whole server."""

    knob: Literal["clock_skew"] = "clock_skew"
    skew_ms: SignedMillis


class ClockStep(Knob):
    """The venue's clock jumps by so much and stays there until this is cleared; steps add up."""

    knob: Literal["clock_step"] = "clock_step"
    step_ms: SignedMillis


Fault = Annotated[
    Gap
    | Duplicate
    | Reorder
    | Corrupt
    | WrongChecksum
    | RealChecksum
    | BadPrice
    | FrozenSide
    | TimeUnit
    | Mute
    | Delay
    | LateSnapshot
    | UnbridgedSnapshot
    | MergedSnapshot
    | TickChange
    | HalfOpen
    | Unponged
    | Disconnect
    | Rotate
    | Quota
    | RefuseConnections
    | NightlyReset
    | Maintenance
    | HandshakeStatus
    | NoAck
    | SubscribeError
    | SilentTopic
    | RestStatus
    | RestError
    | RestSlow
    | ClockSkew
    | ClockStep
    | AcceptThen
    | AckDelay
    | AuthFailure
    | KeyMayWithdraw
    | BadBody
    | EmptyAccount
    | ExternalFill
    | FillBeforeAck
    | ForeignOrder
    | Halted
    | LateVisibility
    | Liquidation
    | ListenKeyLost
    | OrderStorm
    | RefuseAmend
    | RejectNext,
    Field(discriminator="knob"),
]


class FaultsBody(BaseModel):
    """``POST /_sim/faults``: ids to clear (or "all"), then faults to set, in this order."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    clear: tuple[str, ...] | Literal["all"] = ()
    set: tuple[Fault, ...] = ()


FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)
