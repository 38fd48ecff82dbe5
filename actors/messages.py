"""What the actors say to each other beside the trading vocabulary: life cycle, raw frames, brakes, commits.

Everything that may cross a link between cells is a tagged struct and stands in `LinkMessage`.
"""

from __future__ import annotations

import msgspec

from trading.market.events import BookTop, MarkPrice, Trade, VenueNotice
from trading.operators import CommandAnswered, OperatorCommand, Published
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ExecutionReport,
    FundingPayment,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderDenied,
    OrderStatusReport,
    OrderStatusRequest,
    OrderUpdated,
    QuoteIntent,
    TargetIntent,
)
from trading.universe.listing import VenueListing


class StartActor(msgspec.Struct, frozen=True, kw_only=True):
    """The first message of every actor: its name, its supervisor, what it is built from. Never leaves the process."""

    name: str
    supervisor: str | None
    setup: object


class ActorFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An actor met a bug of ours, reported it once and left. ``effects_done`` says whether it had acted."""

    name: str
    message_type: str
    error: str
    story: str
    ts_ns: int


class ActorReady(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A restarted actor is whole again (state rebuilt, peers reconciled)."""

    name: str


class ResumeChild(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An operator released the brake of a child that was held beyond its restarts: its supervisor may try again."""

    name: str


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A wake-up of the actor's own; a stale ``generation`` is ignored because wake-ups cannot be cancelled."""

    tag: str
    generation: int


class RawFrame(msgspec.Struct, frozen=True, gc=False):
    """Bytes as they came from a venue and when (UTC ns)."""

    payload: bytes
    ts_recv_ns: int


class SnapshotFrame(msgspec.Struct, frozen=True, gc=False):
    """A REST depth body of ``symbol``."""

    symbol: str
    payload: bytes
    ts_recv_ns: int


class WireOut(msgspec.Struct, frozen=True, tag=True):
    """Bytes for the venue, already permitted, with the command they encode."""

    payload: bytes
    command: NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest | OrderStatusRequest | AccountStateRequest
    ts_sent_ns: int


class BookProof(msgspec.Struct, frozen=True):
    """Connector to gateway, inside their cell: whether a book may be traded on, told whenever that changes."""

    instrument_id: str
    proved: bool


class OrderSent(msgspec.Struct, frozen=True, tag=True):
    """The gateway wrote an order to the wire; the durations are of its own stages."""

    venue: str
    cl_ord_id: str
    ts_sent_ns: int
    permit_ns: int
    encode_ns: int


class VenueUp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A venue cell can take requests; ``incarnation`` changes with every start, so the desk reconciles anew."""

    venue: str
    incarnation: int


class VenueDown(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The link to a venue's cell is gone."""

    venue: str


class BrakeSet(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Somebody has a reason not to trade. ``level`` and ``release`` are those of trading.brakes.

    ``owner`` is who sets it and states with `BrakesStated` which of its brakes still hold; ``desk`` states nothing.
    """

    code: str
    scope: str
    level: int
    cause: str
    release: str
    owner: str = "desk"


class BrakeCleared(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The setter of an automatic brake no longer has its reason."""

    code: str
    scope: str


class BrakesStated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """All brakes that ``owner`` has a reason for, said again and again.

    What is set for it and is not among them is the word of an earlier life of it, which can no longer take it back.
    """

    owner: str
    brakes: tuple[BrakeSet, ...]


class ModesChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The worst brake level by scope, from the governor."""

    modes: dict[str, int]


class DayPnl(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Profit of the UTC day and equity, in USD, from the portfolio to the governor; ``day`` counts from 1970."""

    day: int
    day_usd: str
    equity_usd: str


class Positions(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Positions rebuilt from the journal: desk by instrument and strategy by instrument (decimal strings)."""

    by_instrument: dict[str, str]
    by_strategy: dict[str, dict[str, str]]


class ReconcileWanted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Somebody who looks on found what the desk and a venue do not agree on: compare the account anew."""

    venue: str
    cause: str


class VenueReconciled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The desk's account of a venue equals the venue's own, or not and why.

    ``incarnation``: of the `VenueUp` that the comparison answers; 0 when the venue had not said it yet. A difference
    that concerns nothing but ``instrument_ids`` holds those, and not the venue.
    """

    venue: str
    incarnation: int
    ok: bool
    text: str
    instrument_ids: tuple[str, ...] = ()


class Flood(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A drill's ballast: takes a mailbox slot and means nothing."""

    n: int


class DrillFault(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A drill asks an actor to fail: ``raise`` at its next message or ``raise_after_effect``; refused outside paper.

    ``crash:<boundary>`` ends its process at a moment that `actors.crash_points` names.
    """

    kind: str
    target: str


class ListingRead(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everything that a venue lists, as its connector read it."""

    listing: VenueListing


class ListingWanted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Whoever keeps the universe has no listing of ``venue``: the connector says the one that it read last again."""

    venue: str


class VenuePulse(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How a venue's data and requests fare, from its connector. Counts are since the connector began."""

    venue: str
    connected: bool
    messages: int
    dropped: int
    gaps: int
    requests: int
    requests_failed: int


LinkMessage = (
    BookTop
    | Trade
    | MarkPrice
    | TargetIntent
    | QuoteIntent
    | NewOrderSingle
    | OrderCancelRequest
    | OrderCancelReplaceRequest
    | OrderStatusRequest
    | AccountStateRequest
    | ExecutionReport
    | OrderCancelReject
    | OrderStatusReport
    | FundingPayment
    | AccountState
    | OrderDenied
    | OrderSent
    | VenueUp
    | VenueDown
    | ReconcileWanted
    | BrakeSet
    | BrakeCleared
    | BrakesStated
    | ResumeChild
    | ListingRead
    | ListingWanted
    | VenuePulse
    | VenueNotice
    | ModesChanged
    | Published
    | OperatorCommand
    | CommandAnswered
    | ActorFailed
    | Flood
    | DrillFault
)


# --- Inside the desk's cell only ------------------------------------------------------------------


class AskEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the governor for the fencing token it works under; answered by `Epoch`."""

    reply_to: str


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """The fencing token, and a serial that no other asker of this epoch got."""

    epoch: int
    serial: int


class ReadJournal(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the journal actor for all rows, or for those after the newest checkpoint of a name; see `JournalHistory`."""

    reply_to: str
    checkpoint: str = ""


class JournalHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of the order journal, oldest first: every one, or those after ``checkpoint`` where that is given."""

    rows: object
    checkpoint: bytes | None = None


class SaveCheckpoint(msgspec.Struct, frozen=True):
    """A state after row ``seq``, which is durable: kept when the disk is idle, the newest three of a name."""

    name: str
    seq: int
    blob: bytes
    taken_ns: int


class AppendRows(msgspec.Struct, frozen=True):
    """Make rows durable, then say `RowsCommitted` to ``reply_to``."""

    commit_id: int
    rows: tuple[object, ...]
    reply_to: str


class RowsCommitted(msgspec.Struct, frozen=True):
    """The rows of these commits are on disk, and ``last_seq`` is the last row of their group."""

    commit_ids: tuple[int, ...]
    last_seq: int = 0


class JournalFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The journal could not make rows durable: the desk holds."""

    text: str


class AskPositions(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the portfolio for what the journal says we hold; answered by `Positions`."""

    reply_to: str


class AskOpenOrders(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the order core for every order that may still execute; answered by `OpenOrders`."""

    reply_to: str


class AccountWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Asks the order core to have an account read and compared; the `AccountState` that comes bears ``cause``.

    ``since_ns`` (UTC, the venue's time) or ``since_exec_seq`` may reach further back than the core itself would.
    """

    venue: str
    cause: str
    since_ns: int = 0
    since_exec_seq: int | None = None


class OpenOrders(msgspec.Struct, frozen=True, kw_only=True):
    """Every order that may still execute, as it now is."""

    orders: tuple[OrderUpdated, ...]


class OwnFill(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's own share of a fill or an internal cross."""

    instrument_id: str
    buy: bool
    qty: str
    price: str


class DrainDesk(msgspec.Struct, frozen=True, kw_only=True):
    """Close intake, cancel everything, say `DeskDrained` when nothing is open."""

    reply_to: str


class DeskDrained(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is open, or the time is up and ``open_orders`` still were."""

    open_orders: int


class LinkUp(msgspec.Struct, frozen=True, kw_only=True):
    """The link to another cell is open (again)."""

    cell: str
