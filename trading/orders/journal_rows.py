"""What the order journal holds: kinds of rows, their bodies and the canonical bytes the hash chain covers.

Owns the format only; storing, chaining and syncing belong to `adapters/journal`, deciding what to write to the order
core.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum

import msgspec

import native
from trading.orders.messages import (
    ApprovedOrder,
    ExecType,
    ExecutionReport,
    FundingPayment,
    InternalCross,
    Leg,
    OrderDenied,
    OrderFilled,
    OrderStory,
    ProposedCancel,
    ProposedOrder,
    RiskChecks,
    TargetIntent,
)

GENESIS_HASH = bytes(32)
"""The ``prev_hash`` of the first group of a journal."""


class JournalKind(Enum):
    """What a row records; the first block are the order's life, the second the desk's."""

    PLACE = "place"
    ACK = "ack"
    PARTIAL = "partial"
    FILL = "fill"
    CANCEL = "cancel"
    CANCELED = "canceled"
    REPLACE = "replace"
    REJECT = "reject"
    DENIED = "denied"
    UNKNOWN = "unknown"

    FUNDING = "funding"
    CROSS = "cross"
    EPOCH = "epoch"
    RECONCILE = "reconcile"
    BRAKE = "brake"
    NOTE = "note"
    PROTECT = "protect"


PLACING = frozenset({JournalKind.PLACE, JournalKind.REPLACE})
"""Kinds that bring a new ClOrdID into the world: one row each per (venue, cl_ord_id)."""


class RowDraft(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row as its author knows it, before the journal gives it a place.

    ``ts_ns`` is UTC, ``parent_id`` the first leg's intent.
    ``exec_id`` is set on rows that apply a venue event once: (venue, exec_id) occurs once in a journal.
    """

    ts_ns: int
    kind: JournalKind
    venue: str
    cl_ord_id: str
    exec_id: str | None
    parent_id: str
    epoch: int
    body: bytes


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it stands in the journal.

    ``hash`` chains commit groups: sha256(prev_hash + canonical bytes of the group); its rows share both hashes.
    """

    seq: int
    ts_ns: int
    kind: JournalKind
    venue: str
    cl_ord_id: str
    exec_id: str | None
    parent_id: str
    epoch: int
    body: bytes
    prev_hash: bytes = GENESIS_HASH
    hash: bytes = GENESIS_HASH


class InPlace(msgspec.Struct, frozen=True, array_like=True):
    """An amendment in place of the venue's order ``wire_id``: what that was, and what its total is to be.

    ``base_qty``: executed of the venue's order when this was decided. Its total was ``old_qty`` at ``old_price``; it is
    to be ``base_qty`` and the new order's quantity.
    """

    wire_id: str
    base_qty: Decimal
    old_qty: Decimal
    old_price: Decimal | None


class PlaceBody(msgspec.Struct, frozen=True, tag="place", omit_defaults=True):
    """An approved order on its way to the venue (kinds place and replace); ``in_place`` where it amends another."""

    approved: ApprovedOrder
    in_place: InPlace | None = None


class CancelBody(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """A cancel on its way; ``cancel_id`` is its own ClOrdID, the same on every repetition."""

    cancel: ProposedCancel
    cancel_id: str


class ReportBody(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """What the venue said.

    ``legs`` split ``last_qty`` of an execution; ``sent_ns`` is when the order went out (UTC, 0 unknown).
    """

    report: ExecutionReport
    legs: tuple[Leg, ...] = ()
    sent_ns: int = 0
    from_status: bool = False

    @property
    def executed(self) -> bool:
        """Whether it is an execution: what the venue's record of an order says of totals is none."""
        return self.report.exec_type is ExecType.TRADE and not self.from_status


class AmendedBody(msgspec.Struct, frozen=True, kw_only=True, tag="amended"):
    """Proof that an amendment in place took effect (kind ack): from here on the venue's order is this one.

    ``from_status``: the venue's record told it, not a word of its own; ``sent_ns`` as in `ReportBody`.
    """

    report: ExecutionReport
    sent_ns: int = 0
    from_status: bool = False


class DeniedBody(msgspec.Struct, frozen=True, kw_only=True, tag="denied"):
    """The gateway refused: the venue never saw the order."""

    denied: OrderDenied


class FundingBody(msgspec.Struct, frozen=True, kw_only=True, tag="funding"):
    """One funding settlement."""

    funding: FundingPayment


class CrossBody(msgspec.Struct, frozen=True, kw_only=True, tag="cross"):
    """One internal cross."""

    cross: InternalCross


class ReconcileBody(msgspec.Struct, frozen=True, kw_only=True, tag="reconcile"):
    """A comparison with the venue.

    ``baseline`` marks the first ever: its positions and balances are what the desk opened with. Of a venue that does
    not number its events ``exec_ids`` and ``floor_ns`` say what happened before; what was executed before ``asked_ns``
    was listed in what was compared.
    """

    ok: bool
    text: str
    exec_seq: int
    baseline: bool
    positions: dict[str, str]
    balances: dict[str, str]
    exec_ids: tuple[str, ...] = ()
    floor_ns: int = 0
    asked_ns: int = 0


class ProtectEvent(Enum):
    """What a row of kind protect records."""

    PLAN = "plan"
    LEVELS = "levels"
    TRIGGER = "trigger"


class ProtectBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="protect"):
    """The exits of one strategy's position in one instrument.

    A plan holds the distances that the levels of the next entry will have, in per cent or in price where ``*_atr`` is
    set; levels are prices; a trigger is the decision to close, ``serial`` names it.
    """

    event: ProtectEvent
    strategy_id: str
    instrument_id: str
    stop_loss_pct: Decimal = Decimal(0)
    take_profit_pct: Decimal = Decimal(0)
    stop_loss_atr: Decimal | None = None
    take_profit_atr: Decimal | None = None
    position: Decimal = Decimal(0)
    entry_px: Decimal = Decimal(0)
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    reason: str = ""
    text: str = ""
    serial: int = 0


class NoteBody(msgspec.Struct, frozen=True, kw_only=True, tag="note"):
    """Words and facts: kinds unknown, reject without a report, epoch, brake and note."""

    text: str
    facts: dict[str, str] = {}


RowBody = (
    PlaceBody
    | CancelBody
    | ReportBody
    | AmendedBody
    | DeniedBody
    | FundingBody
    | CrossBody
    | ReconcileBody
    | NoteBody
    | ProtectBody
)


def event_id(m: OrderFilled | InternalCross | FundingPayment) -> str:
    """The ``exec_id`` of the row that holds this event; "" for an execution that the venue gave none."""
    match m:
        case OrderFilled():
            return m.exec_id
        case InternalCross():
            return f"cross:{m.cross_id}"
        case FundingPayment():
            return f"funding:{m.funding_id}"


_ENCODE = msgspec.msgpack.Encoder().encode
_BODY: msgspec.msgpack.Decoder[RowBody] = msgspec.msgpack.Decoder(RowBody)
_GROUP = msgspec.msgpack.Decoder(list[RowDraft])


encode_body: Callable[[RowBody], bytes] = msgspec.msgpack.Encoder(order="deterministic").encode
"""Canonical msgpack: equal bodies are equal bytes."""


encode_body_into: Callable[[RowBody, bytearray], None] = msgspec.msgpack.Encoder(order="deterministic").encode_into
"""As `encode_body`, into a buffer that its one owner keeps: it need not grow, and is cut to the body's length."""


encode_place: Callable[[ApprovedOrder], bytes | None] = (
    (lambda _: None)
    if native.orders is None
    else native.orders.PlaceWords(ApprovedOrder, ProposedOrder, RiskChecks, OrderStory, Leg, TargetIntent, Decimal)
)
"""The bytes of `encode_body` for the `PlaceBody` of a usual order, or None: then they are to be had there."""


def decode_body(raw: bytes) -> RowBody:
    """The body again; ``msgspec.DecodeError`` when the bytes are none."""
    return _BODY.decode(raw)


def encode_group(rows: Sequence[RowDraft]) -> bytes:
    """The canonical bytes of one commit group: a msgpack array of rows."""
    return _ENCODE(rows)


def encode_rows(rows: Sequence[RowDraft]) -> bytes:
    """The canonical bytes of rows alone, to be joined by `join_group`."""
    if len(rows) == 1:
        return _ENCODE(rows[0])
    return _ENCODE(rows)[len(_group_header(len(rows))) :]


def join_group(count: int, parts: Sequence[bytes]) -> bytes:
    """One group of ``count`` rows from the parts of `encode_rows`: the bytes that `encode_group` gives for them all."""
    return b"".join((_group_header(count), *parts))


def _group_header(count: int) -> bytes:
    # The array family of the msgpack specification (github.com/msgpack/msgpack, spec.md, read 2026-11).
    if count < 16:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def decode_group(raw: bytes) -> list[RowDraft]:
    """The rows of one commit group; ``msgspec.DecodeError`` when the bytes are none."""
    return _GROUP.decode(raw)


def chain_hash(prev_hash: bytes, group: bytes) -> bytes:
    """The link of the chain after ``group``."""
    return hashlib.sha256(prev_hash + group).digest()


def numbered(first_seq: int, rows: Sequence[RowDraft], prev_hash: bytes, link: bytes) -> list[JournalRow]:
    """The rows of one group with their places and hashes."""
    return [
        JournalRow(
            seq=first_seq + offset,
            ts_ns=row.ts_ns,
            kind=row.kind,
            venue=row.venue,
            cl_ord_id=row.cl_ord_id,
            exec_id=row.exec_id,
            parent_id=row.parent_id,
            epoch=row.epoch,
            body=row.body,
            prev_hash=prev_hash,
            hash=link,
        )
        for offset, row in enumerate(rows)
    ]
