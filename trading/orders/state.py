"""The memory of the order core and its plain motions: register, write, release, move, cancel, ask.

Owns no judgement of what a venue says; that is `evidence.py` and `reconcile.py`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument
from trading.orders.contingency import called_off, legs_of
from trading.orders.effects import Effect, Emit, Journal, Reconciled, SendToVenue
from trading.orders.fsm import OrderEvent
from trading.orders.inbox import Inbox, VenueAccount
from trading.orders.journal_rows import (
    CancelBody,
    DeniedBody,
    JournalKind,
    NoteBody,
    RowBody,
    RowDraft,
    encode_body,
)
from trading.orders.messages import (
    AccountStateRequest,
    ApprovedOrder,
    DenyReason,
    OrderDenied,
    OrdStatus,
    ProposedCancel,
    ProposedOrder,
    TimeInForce,
)
from trading.orders.order import Order
from trading.orders.pace import Pace
from trading.orders.turn import CancelHeld, Held, PlaceHeld, Turn

MS = 1_000_000
_BODY_BYTES = 4_096
_IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
CANCEL_REFUSALS = frozenset(
    {OrderEvent.CANCEL_REFUSED, OrderEvent.CANCEL_REFUSED_PARTIAL, OrderEvent.CANCEL_REFUSED_HELD}
)


class OrderCoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines in milliseconds.

    ``visibility_ms`` is how long an accepted order may stay invisible to the venue's queries.
    ``id_prefix`` marks our ClOrdIDs: an open order with it that the journal does not know is canceled, others are only
    reported; empty means none are ours. At venues ``amend_unsupported`` an order is replaced by its cancel and, when
    that is proved, a new one, if the proof comes within ``amend_wait_ms``. Venues ``amends_in_place`` keep the client
    order id of an amended order; what they cannot amend so is replaced by its cancel and a new one as well,
    and so is everything where amending takes longer than ``amend_latency_ms_max`` and than both together; 0 looks at no
    latency.
    """

    place_deadline_ms: int = 400
    cancel_deadline_ms: int = 400
    visibility_ms: int = 2_000
    query_ladder_ms: tuple[int, ...] = (100, 200, 500, 1_000, 2_000, 5_000)
    gap_ms: int = 200
    audit_ms: int = 5_000
    reconcile_ladder_ms: tuple[int, ...] = (100, 200, 250, 250, 500, 500, 1_000, 1_000, 2_000, 5_000)
    reconcile_retry_ms: int = 1_000
    reconcile_rounds_max: int = 12
    open_orders_max: int = 2_000
    terminal_orders_max: int = 1_000
    id_prefix: str = "pd"
    amend_unsupported: tuple[str, ...] = ()
    amends_in_place: tuple[str, ...] = ()
    amend_latency_ms_max: int = 0
    amend_wait_ms: int = 2_000


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What an instrument may become: signed position and what open and unknown orders could add, in its units."""

    position: Decimal
    buy_leaves: Decimal
    sell_leaves: Decimal
    unknown_leaves: Decimal


class CoreState:
    """What the order core remembers; see `OrderCore`."""

    # Where C finds what every order touches.
    __slots__ = (
        "_accounts",
        "_body",
        "_closing",
        "_commit_id",
        "_config",
        "_done",
        "_epoch",
        "_held",
        "_instruments",
        "_malformed_ns",
        "_no_amend",
        "_open",
        "_paces",
        "_restoring",
        "_standing",
        "amends_by_cancel",
        "amends_in_place",
        "duplicates_suppressed",
        "malformed",
        "twins_canceled",
    )

    def __init__(self, instruments: Mapping[str, Instrument], epoch: int, config: OrderCoreConfig) -> None:
        self._instruments = instruments
        self._epoch = epoch
        self._config = config
        self._open: dict[tuple[str, str], Order] = {}
        self._done: OrderedDict[tuple[str, str], Order] = OrderedDict()
        self._accounts: dict[str, VenueAccount] = {}
        self._held: deque[tuple[int, list[Held]]] = deque()
        self._commit_id = 0
        self._body = bytearray(_BODY_BYTES)
        self._restoring = False
        self._no_amend: set[str] = set(config.amend_unsupported)
        # Reduce-only orders that may rest, in the order they came: a shrinking position may leave them without cause.
        self._closing: dict[tuple[str, str], None] = {}
        self.duplicates_suppressed = 0
        self.malformed = 0
        # By venue when something malformed of it was last written down.
        self._malformed_ns: dict[str, int] = {}
        # By (venue, client order id there) the order that it is here, for orders that were ever amended in place.
        self._standing: dict[tuple[str, str], str] = {}
        looks = config.amend_latency_ms_max > 0
        self._paces: dict[str, Pace] = {venue: Pace() for venue in config.amends_in_place if looks}
        self.amends_by_cancel = 0
        self.amends_in_place = 0
        self.twins_canceled = 0

    @property
    def epoch(self) -> int:
        """The fencing token this core writes under."""
        return self._epoch

    def order(self, venue: str, cl_ord_id: str) -> Order | None:
        """An open order, or a finished one while it is remembered."""
        key = (venue, cl_ord_id)
        return self._open.get(key) or self._done.get(key)

    def open_orders(self) -> list[Order]:
        """Orders that may be live at a venue, oldest first."""
        return list(self._open.values())

    def unknown_orders(self) -> list[Order]:
        """Orders of which only evidence can tell whether they exist."""
        return [order for order in self._open.values() if order.ord_status is OrdStatus.UNKNOWN]

    def exposure(self) -> dict[str, Exposure]:
        """By instrument; UNKNOWN orders count as if they were live."""
        sums: dict[str, list[Decimal]] = {}
        for account in self._accounts.values():
            for instrument_id, net in account.net.items():
                sums.setdefault(instrument_id, [Decimal(0)] * 4)[0] += net
        for order in self._open.values():
            line = sums.setdefault(order.proposed.instrument_id, [Decimal(0)] * 4)
            line[1 if order.proposed.side.sign > 0 else 2] += order.most_qty
            if order.ord_status is OrdStatus.UNKNOWN:
                line[3] += order.most_qty
        return {
            key: Exposure(position=p, buy_leaves=b, sell_leaves=s, unknown_leaves=u)
            for key, (p, b, s, u) in sums.items()
        }

    def inbox(self, venue: str) -> Inbox:
        """What was taken in from a venue."""
        return self._account(venue).inbox

    def waiting_commits(self) -> int:
        """Batches handed out and not yet answered."""
        return len(self._held)

    def _row(
        self,
        turn: Turn,
        kind: JournalKind,
        order: Order | None,
        body: RowBody,
        *,
        exec_id: str = "",
        venue: str = "",
        ref: str = "",
    ) -> None:
        if self._restoring:
            return
        if order is not None:
            legs = order.proposed.legs
            venue, ref, parent = order.venue, order.cl_ord_id, legs[0].intent_id if legs else ""
        else:
            parent = ""
        turn.rows.append(RowDraft(turn.now, kind, venue, ref, exec_id or None, parent, self._epoch, encode_body(body)))

    def _judged(self, venue: str, turn: Turn, *, ok: bool, text: str, instrument_ids: tuple[str, ...] = ()) -> None:
        """A verdict on the life of the venue that was compared; it may be said only when another has begun.

        A bad one is not the last: the comparison goes on, slowly, until it is clean and that can be said. It is of the
        instruments that are named, or of the venue.
        """
        account = self._account(venue)
        if not instrument_ids:
            account.held = []
        if not ok and not account.reconciling and not self._restoring:
            account.reconciling, account.refused = True, True
            account.round = len(self._config.reconcile_ladder_ms)
            account.next_ask_ns = turn.now + self._config.reconcile_ladder_ms[-1] * MS
        turn.held.append(
            Reconciled(venue=venue, incarnation=account.incarnation, ok=ok, text=text, instrument_ids=instrument_ids)
        )

    def _close(self, turn: Turn) -> list[Effect]:
        if turn.rows:
            self._commit_id += 1
            self._held.append((self._commit_id, turn.held))
            return [Journal(self._commit_id, tuple(turn.rows)), *turn.said]
        if turn.held and self._held:
            # Nothing to write, but what it says rests on rows that are still on their way.
            self._held[-1][1].extend(turn.held)
        else:
            for held in turn.held:
                self._release(held, turn.said, turn.now)
        return turn.said

    def _release(self, held: Held, said: list[Effect], now: int) -> None:
        match held:
            case PlaceHeld():
                order = self._open.get(held.key)
                if order is None:
                    return
                order.apply(OrderEvent.RELEASED, now)
                order.sent_ns = now
                replaces = order.approved.order.replaces
                if replaces is not None and not order.as_new:
                    original = self._open.get((order.venue, replaces))
                    if original is not None:
                        original.apply(OrderEvent.REPLACE_SENT, now, order.cl_ord_id)
                said += (SendToVenue(order.command(now)), Emit(order.updated(now)))
            case CancelHeld(key=key, cancel_id=cancel_id):
                order = self._open.get(key)
                if order is None or order.cancel_id != cancel_id:
                    return
                order.apply(OrderEvent.CANCEL_SENT, now, cancel_id)
                order.cancel_sent_ns = now
                said += (SendToVenue(order.cancel_request(self._epoch, now)), Emit(order.updated(now)))
            case SendToVenue() | Emit() | Reconciled():
                said.append(held)

    def _account(self, venue: str) -> VenueAccount:
        account = self._accounts.get(venue)
        if account is None:
            account = self._accounts[venue] = VenueAccount()
        return account

    def _register(self, m: ApprovedOrder, key: tuple[str, str]) -> Order:
        o = m.order
        order = self._open[key] = Order(approved=m)
        if o.reduce_only and may_rest_closing(o):
            self._closing[key] = None
        if o.venue not in self._accounts:
            self._account(o.venue)
        if o.replaces is not None:
            original = self._open.get((o.venue, o.replaces))
            if original is not None:
                original.replaced_by = o.cl_ord_id
        return order

    def _apply(self, order: Order, event: OrderEvent, turn: Turn, text: str = "") -> None:
        """Move an order, keep the open and the finished apart, tell the desk once the rows are durable."""
        order.apply(event, turn.now, text)
        key = (order.venue, order.cl_ord_id)
        if order.is_open:
            if self._done.pop(key, None) is not None:
                self._open[key] = order
        elif self._open.pop(key, None) is not None:
            order.next_query_ns = None
            order.awaited = None
            _forget_words(order)
            self._done[key] = order
            if order.proposed.contingency is not None:
                self._leg_ended(order)
            if self._closing:
                self._closing.pop(key, None)
            if len(self._done) > self._config.terminal_orders_max:
                self._forget_oldest()
            if order.replaced_by and not self._restoring:
                turn.held.append(Emit(order.updated(turn.now, text)))
                self._gone(order, turn)
                return
        turn.held.append(Emit(order.updated(turn.now, text)))

    def _forget_oldest(self) -> None:
        name, order = self._done.popitem(last=False)
        if order.in_place is not None:
            standing = self._standing_of(order)
            if standing is not None and standing.lost_amend == order.cl_ord_id:
                # It may take effect yet, and who wanted it has to be known then.
                self._done[name] = order
                return
        key = (order.venue, order.wire_id)
        if self._standing and self._standing.get(key) == order.cl_ord_id:
            del self._standing[key]

    def _standing_of(self, amendment: Order) -> Order | None:
        """The open order that is what the amendment's order at the venue stands for."""
        return self._open.get((amendment.venue, self._standing.get((amendment.venue, amendment.wire_id), "")))

    def _noted(self, kind: JournalKind, order: Order, note: NoteBody, turn: Turn) -> None:
        """An event without a venue's report behind it: journalled with its words, replayed the same way."""
        event = OrderEvent(note.facts["event"])
        self._row(turn, kind, order, note)
        if event in CANCEL_REFUSALS:
            self._cancel_refused(order, turn)
        if event is OrderEvent.NOT_FOUND:
            order.never_found = True
            self._lose(order, turn)
        elif event is OrderEvent.REJECTED and order.never_found:
            self._excuse(order, turn)
        self._apply(order, event, turn, note.text)
        if event in CANCEL_REFUSALS and not self._restoring:
            if order.replaced_by:
                self._gone(order, turn)
            elif order.yields_to:
                self._yield(order, turn)
        if event in {OrderEvent.NOT_FOUND, OrderEvent.REJECTED}:
            self._reopen_original(order, turn, note.text)

    def _leg_ended(self, order: Order) -> None:
        """A leg that ends without an execution decides nothing any more: what is left of the other stays."""
        if order.cum_qty or order.venue_cum_qty:
            return
        for twin in legs_of(order.proposed, self._open.values()):
            if twin.yields_to == order.cl_ord_id:
                twin.yields_to, twin.cancel_wish = "", None

    def _yield(self, order: Order, turn: Turn) -> None:
        """Cancel a leg whose list another one decided, unless that is on its way; what was refused is tried again."""
        if order.is_open and not order.cancel_id:
            winner = self.order(order.venue, order.yields_to)
            reason = f"one cancels the other: {order.yields_to}" if winner is None else called_off(winner)
            self._cancel_again(order, reason, turn)

    def _cancel_refused(self, order: Order, turn: Turn) -> None:
        """What it was refused for only the venue's record can tell, and repeating it must not keep that from coming."""
        ladder = self._config.query_ladder_ms
        order.cancel_after_ns = turn.now + ladder[min(order.cancel_refusals, len(ladder) - 1)] * MS
        order.cancel_refusals += 1
        order.cancel_id = ""

    def _lose(self, amendment: Order, turn: Turn) -> None:
        """An amendment is given up on no word of the venue: what it may do yet counts before it stops counting here."""
        original = self._original(amendment)
        if amendment.in_place is None or original is None or original.replaced_by != amendment.cl_ord_id:
            return
        original.lost_amend, original.lost_qty = amendment.cl_ord_id, amendment.total_qty
        turn.held.append(Emit(original.updated(turn.now)))

    def _excuse(self, amendment: Order, turn: Turn) -> None:
        """The venue's own refusal of an amendment that was given up: it will not take effect any more."""
        amendment.never_found = False
        original = self._standing_of(amendment)
        if original is not None and original.lost_amend == amendment.cl_ord_id:
            original.lost_qty = Decimal(0)
            turn.held.append(Emit(original.updated(turn.now)))

    def _original(self, replacement: Order) -> Order | None:
        """What it was to replace, while that is open: of an amendment what its order at the venue stands for by now."""
        original = self._open.get((replacement.venue, replacement.proposed.replaces or ""))
        return self._standing_of(replacement) if original is None and replacement.in_place is not None else original

    def _reopen_original(self, replacement: Order, turn: Turn, text: str) -> None:
        """A replacement that never came to be leaves the original as it was."""
        original = self._original(replacement)
        if original is not None and original.replaced_by == replacement.cl_ord_id:
            original.replaced_by = ""
            refused_or_lost = replacement.ord_status is OrdStatus.REJECTED
            if replacement.in_place is not None and refused_or_lost and not original.lost_qty:
                original.lost_amend = replacement.cl_ord_id
            if original.ord_status is OrdStatus.PENDING_REPLACE:
                self._apply(original, refused(original), turn, text)

    def _gone(self, original: Order, turn: Turn) -> None:
        """The fate of an order whose successor may be waiting for it: the successor goes out, or is given up."""
        successor = self._open.get((original.venue, original.replaced_by))
        if successor is not None and successor.in_place is not None:
            self._nothing_to_amend(successor, original, turn)
            return
        if successor is None or successor.waits_for != original.cl_ord_id:
            return
        if successor.ord_status is not OrdStatus.JOURNALED:
            # Doubted meanwhile: that it was never sent, the venue's answer will prove.
            successor.waits_for = ""
        elif original.is_open:
            self._give_up(successor, f"{original.cl_ord_id} could not be canceled", turn)
        elif original.cum_qty != successor.cum_then:
            # What is still wanted only whoever wanted it can tell.
            self._give_up(successor, f"{original.cl_ord_id} executed {original.cum_qty} meanwhile", turn)
        else:
            successor.waits_for = ""
            turn.held.append(PlaceHeld((successor.venue, successor.cl_ord_id)))

    def _nothing_to_amend(self, amendment: Order, original: Order, turn: Turn) -> None:
        """The order that was to be amended has ended; what is not proved to have taken effect by then never will."""
        if amendment.acked or original.is_open:
            return
        text = f"{original.cl_ord_id}, which it amends, is {original.ord_status.value}"
        if amendment.ord_status is OrdStatus.JOURNALED:
            self._give_up(amendment, text, turn)
        elif original.ord_status is OrdStatus.FILLED:
            # All of the old quantity was executed: it may have been given more before.
            self._query(amendment, turn)
        else:
            note = NoteBody(text=text, facts={"event": OrderEvent.REJECTED.value})
            self._noted(JournalKind.REJECT, amendment, note, turn)

    def _give_up(self, order: Order, text: str, turn: Turn) -> None:
        """Deny an order that was never sent."""
        o = order.proposed
        order.waits_for = ""
        denied = OrderDenied(
            cl_ord_id=o.cl_ord_id,
            venue=o.venue,
            instrument_id=o.instrument_id,
            reason=DenyReason.DUPLICATE,
            text=text,
            legs=o.legs,
            cause=o.cause,
            ts_init_ns=turn.now,
        )
        self._denied(order, denied, turn)

    def _denied(self, order: Order, m: OrderDenied, turn: Turn) -> None:
        self._row(turn, JournalKind.DENIED, order, DeniedBody(denied=m))
        self._apply(order, OrderEvent.DENIED, turn, m.text)
        self._reopen_original(order, turn, m.text)
        turn.held.append(Emit(message=m))

    def _cancel(self, order: Order, m: ProposedCancel, turn: Turn) -> None:
        if order.waits_for and order.ord_status is OrdStatus.JOURNALED:
            self._give_up(order, m.reason, turn)
            return
        if turn.now < order.cancel_after_ns:
            order.cancel_wish = m
            return
        order.cancel_wish = None
        order.cancel_count += 1
        order.cancel_id = f"{order.cl_ord_id}-c{order.cancel_count}"
        self._row(turn, JournalKind.CANCEL, order, CancelBody(cancel=m, cancel_id=order.cancel_id))
        turn.held.append(CancelHeld((order.venue, order.cl_ord_id), order.cancel_id))

    def _cancel_again(self, order: Order, reason: str, turn: Turn) -> None:
        if order.cancel_id:
            turn.held.append(CancelHeld((order.venue, order.cl_ord_id), order.cancel_id))
            return
        o = order.proposed
        cancel = ProposedCancel(
            cl_ord_id=o.cl_ord_id,
            venue=o.venue,
            instrument_id=o.instrument_id,
            reason=reason,
            cause=o.cause,
            ts_init_ns=turn.now,
        )
        self._cancel(order, cancel, turn)

    def _query(self, order: Order, turn: Turn) -> None:
        ladder = self._config.query_ladder_ms
        order.next_query_ns = turn.now + ladder[min(order.queries, len(ladder) - 1)] * MS
        # The first query that can prove absence is not put off by the ladder.
        seen_by_ns = order.sent_ns + self._config.visibility_ms * MS
        if order.sent_ns and turn.now < seen_by_ns:
            order.next_query_ns = min(order.next_query_ns, seen_by_ns)
        order.queries += 1
        if order.sent_ns == 0 or turn.now - order.sent_ns < self._config.visibility_ms * MS:
            order.early_queries += 1
        if not self._restoring:
            turn.said.append(SendToVenue(command=order.status_request(turn.now)))

    def _account_request(self, venue: str, cause: str, turn: Turn) -> AccountStateRequest:
        account = self._account(venue)
        account.asked_ns = turn.now
        account.next_audit_ns = turn.now + self._config.audit_ms * MS
        if account.reconciling:
            # The answer may be lost, or nobody there yet to give it.
            account.next_ask_ns = turn.now + self._config.reconcile_retry_ms * MS
        return AccountStateRequest(
            venue=venue,
            since_exec_seq=account.inbox.watermark,
            cause=cause,
            ts_init_ns=turn.now,
            since_ns=account.listed_ns,
        )

    def _ask_account(self, venue: str, cause: str, turn: Turn) -> None:
        account = self._account(venue)
        if self._restoring:
            return
        if cause == "gap":
            # An answer that is on its way may predate what is missing: ask again unless one comes after this.
            account.wanted_since_ns = turn.now
            if account.asked_ns and turn.now - account.asked_ns < self._config.gap_ms * MS:
                return
        turn.said.append(SendToVenue(command=self._account_request(venue, cause, turn)))


def may_rest_closing(o: ProposedOrder) -> bool:
    """Whether a reduce-only order may outlive the position that it was to close."""
    return o.reduce_only and o.time_in_force not in _IMMEDIATE


def refused(order: Order) -> OrderEvent:
    """What it means for an order that a request about it was refused."""
    if not order.acked:
        # Our request may have overtaken the order itself: that it still stands is not known.
        return OrderEvent.UNANSWERED
    if order.held:
        return OrderEvent.CANCEL_REFUSED_HELD
    return OrderEvent.CANCEL_REFUSED_PARTIAL if order.cum_qty else OrderEvent.CANCEL_REFUSED


def _forget_words(order: Order) -> None:
    """A finished order keeps what a late fill needs; its story and checks are in the journal."""
    proposed = msgspec.structs.replace(order.approved.order, story={})
    order.approved = msgspec.structs.replace(order.approved, checks={}, order=proposed)
