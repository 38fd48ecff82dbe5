"""The order core: exactly-once order flow as a pure state machine. Persist, then speak.

Owns orders from approval to their end: ids, states, inbox, UNKNOWNs and their resolution by evidence, reconciliation.
Does not
own risk, permits, positions' value, the journal's storage or any clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument
from trading.orders.effects import Effect, Emit, Journal, Reconciled, SendToVenue
from trading.orders.fsm import OrderEvent
from trading.orders.journal_rows import (
    CancelBody,
    CrossBody,
    DeniedBody,
    FundingBody,
    JournalKind,
    JournalRow,
    NoteBody,
    PlaceBody,
    ReconcileBody,
    ReportBody,
    RowBody,
    RowDraft,
    decode_body,
    encode_body,
)
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ApprovedOrder,
    DenyReason,
    ExecType,
    ExecutionReport,
    FundingPayment,
    InternalCross,
    Leg,
    OrderCancelReject,
    OrderCancelRequest,
    OrderDenied,
    OrderStatusReport,
    OrdStatus,
    ProposedCancel,
    VenueEvent,
)
from trading.orders.order import EXTERNAL, Order, filled
from trading.orders.reconcile import Inbox, VenueAccount, position_mismatches

__all__ = ["Effect", "Emit", "Exposure", "Journal", "OrderCore", "OrderCoreConfig", "Reconciled", "SendToVenue"]

MS = 1_000_000
_TERMINAL_EVENT = {
    OrdStatus.CANCELED: OrderEvent.CANCELED,
    OrdStatus.EXPIRED: OrderEvent.EXPIRED,
    OrdStatus.REJECTED: OrderEvent.REJECTED,
    OrdStatus.REPLACED: OrderEvent.REPLACED,
}
_REPLACEABLE = frozenset({OrdStatus.PENDING_NEW, OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})


class OrderCoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Deadlines in milliseconds.

    ``visibility_ms`` is how long an accepted order may stay invisible to the venue's queries.
    ``id_prefix`` marks our ClOrdIDs: an open order with it that the journal does not know is canceled, others are only
    reported; empty means none are ours.
    """

    place_deadline_ms: int = 400
    cancel_deadline_ms: int = 400
    visibility_ms: int = 2_000
    query_ladder_ms: tuple[int, ...] = (100, 200, 500, 1_000, 2_000, 5_000)
    gap_ms: int = 200
    audit_ms: int = 5_000
    reconcile_ladder_ms: tuple[int, ...] = (100, 200, 250, 250, 500, 500, 1_000, 1_000, 2_000, 5_000)
    reconcile_rounds_max: int = 12
    open_orders_max: int = 2_000
    terminal_orders_max: int = 5_000
    id_prefix: str = "pd"


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What an instrument may become: signed position and what open and unknown orders could add, in its units."""

    position: Decimal
    buy_leaves: Decimal
    sell_leaves: Decimal
    unknown_leaves: Decimal


class _Place(msgspec.Struct, frozen=True):
    key: tuple[str, str]


class _Cancel(msgspec.Struct, frozen=True):
    key: tuple[str, str]
    cancel_id: str


_Held = SendToVenue | Emit | Reconciled | _Place | _Cancel


class _Turn:
    """What one call decided: rows to write, what may be said at once, what waits for the rows."""

    __slots__ = ("held", "now", "rows", "said")

    def __init__(self, now_ns: int) -> None:
        self.now = now_ns
        self.rows: list[RowDraft] = []
        self.said: list[Effect] = []
        self.held: list[_Held] = []


class OrderCore:
    """Orders from approval to their end; ``now_ns`` is UTC nanoseconds.

    The shell's duties: 1. write the rows of every `Journal` as one batch, in order of ``commit_id``; 2. when they are
    durable call `on_committed`; when they never will be, stop; 3. act on the other effects as they come; 4. call
    `on_timer` at least every 50 ms; 5. after a start: `restore`, then `begin_reconcile` for each venue, and no permit
    before ``Reconciled(ok=True)``.
    """

    def __init__(self, instruments: Mapping[str, Instrument], epoch: int, config: OrderCoreConfig) -> None:
        self._instruments = instruments
        self._epoch = epoch
        self._config = config
        self._open: dict[tuple[str, str], Order] = {}
        self._done: OrderedDict[tuple[str, str], Order] = OrderedDict()
        self._accounts: dict[str, VenueAccount] = {}
        self._held: deque[tuple[int, list[_Held]]] = deque()
        self._commit_id = 0
        self._restoring = False
        self.duplicates_suppressed = 0

    # What others may see

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
            line[1 if order.proposed.side.sign > 0 else 2] += order.leaves_qty
            if order.ord_status is OrdStatus.UNKNOWN:
                line[3] += order.leaves_qty
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

    # Commands

    def on_approved(self, m: ApprovedOrder, now_ns: int) -> list[Effect]:
        """Journal the order; it goes out when the row is durable.

        ``ValueError`` when its legs are not the whole of it.
        """
        turn = _Turn(now_ns)
        key = (m.order.venue, m.order.cl_ord_id)
        if key in self._open or key in self._done:
            # The same intent again, after a replay or from a new leader: its order exists already.
            self.duplicates_suppressed += 1
            return []
        if sum((leg.qty for leg in m.order.legs), Decimal(0)) != m.order.order_qty:
            raise ValueError(f"legs of {m.order.cl_ord_id} do not sum to {m.order.order_qty}: {m.order.legs}")
        refusal = self._refusal(m)
        if refusal is not None:
            self._deny(m, *refusal, turn)
            return self._close(turn)
        order = self._register(m)
        order.story.append(f"{now_ns} approved, epoch {m.epoch}")
        kind = JournalKind.REPLACE if m.order.replaces else JournalKind.PLACE
        self._row(turn, kind, order, PlaceBody(approved=m))
        turn.held.append(_Place(key))
        return self._close(turn)

    def on_cancel(self, m: ProposedCancel, now_ns: int) -> list[Effect]:
        """Journal the cancel and send it; nothing when the order is gone or its cancel is on the way."""
        turn = _Turn(now_ns)
        order = self._open.get((m.venue, m.cl_ord_id))
        if order is None or order.cancel_id:
            self.duplicates_suppressed += 1
            return []
        self._cancel(order, m, turn)
        return self._close(turn)

    def cancel_all(
        self,
        now_ns: int,
        *,
        reason: str,
        venue: str | None = None,
        instrument_id: str | None = None,
        strategy_id: str | None = None,
    ) -> list[Effect]:
        """Cancel every open order in scope; a cancel that is on the way already is said again with the same id."""
        turn = _Turn(now_ns)
        for order in self.open_orders():
            o = order.proposed
            in_place = venue in {None, o.venue} and instrument_id in {None, o.instrument_id}
            if in_place and (strategy_id is None or any(leg.strategy_id == strategy_id for leg in o.legs)):
                self._cancel_again(order, reason, turn)
        return self._close(turn)

    def on_cross(self, m: InternalCross, now_ns: int) -> list[Effect]:
        """Journal an internal cross, then hand it to the portfolio."""
        turn = _Turn(now_ns)
        exec_id = f"cross:{m.cross_id}"
        instrument = self._instruments.get(m.instrument_id)
        venue = instrument.venue if instrument is not None else ""
        if not self._account(venue).inbox.first_time(exec_id, 0, now_ns, counts=False):
            self.duplicates_suppressed += 1
            return []
        self._row(turn, JournalKind.CROSS, None, CrossBody(cross=m), exec_id=exec_id, venue=venue)
        turn.held.append(Emit(message=m))
        return self._close(turn)

    # What comes back

    def on_committed(self, commit_id: int, now_ns: int) -> list[Effect]:
        """The rows up to ``commit_id`` are durable: what waited for them is released, in order."""
        turn = _Turn(now_ns)
        while self._held and self._held[0][0] <= commit_id:
            for held in self._held.popleft()[1]:
                self._release(held, turn)
        return turn.said

    def on_gateway_denied(self, m: OrderDenied, now_ns: int) -> list[Effect]:
        """The gateway wrote nothing to the venue: the order does not exist, unless the venue has said otherwise."""
        turn = _Turn(now_ns)
        order = self._open.get((m.venue, m.cl_ord_id))
        if order is None or order.acked:
            return []
        self._denied(order, m, turn)
        return self._close(turn)

    def on_venue(self, m: VenueEvent, now_ns: int) -> list[Effect]:
        """Anything a venue said, from whichever source, in any order, any number of times."""
        turn = _Turn(now_ns)
        match m:
            case ExecutionReport():
                self._execution(m, turn)
            case OrderStatusReport():
                self._status_answer(m, turn)
            case OrderCancelReject():
                self._cancel_reject(m, turn)
            case FundingPayment():
                self._funding(m, turn)
            case AccountState():
                self._account_state(m, turn)
        return self._close(turn)

    def on_timer(self, now_ns: int) -> list[Effect]:
        """Deadlines: unanswered orders become UNKNOWN and are asked about, ever more patiently, until evidence."""
        turn = _Turn(now_ns)
        for order in self.open_orders():
            self._check_deadlines(order, turn)
        for venue, account in self._accounts.items():
            gap = account.inbox.gap_since_ns or account.wanted_since_ns
            if gap is not None and now_ns - max(gap, account.asked_ns) >= self._config.gap_ms * MS:
                self._ask_account(venue, "gap", turn)
            elif account.next_ask_ns is not None and now_ns >= account.next_ask_ns:
                account.next_ask_ns = None
                self._ask_account(venue, "reconcile", turn)
            elif account.next_audit_ns is not None and now_ns >= account.next_audit_ns:
                # Heartbeats do not prove completeness: fill frames can be lost while everything looks green.
                self._ask_account(venue, "audit", turn)
        return self._close(turn)

    # Restart

    def restore(self, rows: Iterable[JournalRow], checkpoint: bytes | None = None) -> int:
        """Replay the journal, its tail after ``checkpoint``; returns how many rows were applied. Says nothing.

        The same rows give the same state. Orders that no evidence confirms become UNKNOWN; `begin_reconcile` asks.
        """
        applied_to = self._load(checkpoint) if checkpoint is not None else 0
        count = 0
        self._restoring = True
        for row in rows:
            if row.seq > applied_to:
                self._replay(row)
                count += 1
        self._restoring = False
        for venue in self._accounts:
            self._doubt(venue, 0)
        return count

    def checkpoint(self, seq: int) -> bytes | None:
        """The state after journal row ``seq``, for `restore`; None while rows are on their way to the disk."""
        if self._held:
            return None
        return _CHECKPOINT_ENCODE(
            _Checkpoint(
                seq=seq, open=list(self._open.values()), done=list(self._done.values()), accounts=dict(self._accounts)
            )
        )

    def begin_reconcile(self, venue: str, now_ns: int) -> list[Effect]:
        """Fail-safe start: cancel what older epochs left open, ask for the account, apply what was missed, compare.

        Ends in ``Reconciled``; after a refusal it goes on comparing, slowly, and says so when it is clean.
        """
        turn = _Turn(now_ns)
        account = self._account(venue)
        account.reconciling, account.round, account.refused = True, 0, False
        # The row makes the doubt part of the journal: a later replay must not believe in orders more than we did.
        start = NoteBody(text="start", facts={"epoch": str(self._epoch)})
        self._row(turn, JournalKind.EPOCH, None, start, venue=venue)
        self._doubt(venue, now_ns)
        for order in self.open_orders():
            if order.venue != venue:
                continue
            if order.sent_ns == 0:
                # When it went out is not known: the window of late visibility begins now.
                order.sent_ns = now_ns
            # Queries of the session that ended are not answered any more, so their answers are not waited for.
            order.queries = order.early_queries = order.not_found = 0
            if order.approved.epoch < self._epoch:
                self._cancel_again(order, "stale: of an older epoch", turn)
            if order.ord_status is OrdStatus.UNKNOWN:
                self._query(order, turn)
        request = self._account_request(venue, "reconcile", turn)
        turn.held.append(SendToVenue(command=request))
        return self._close(turn)

    def _doubt(self, venue: str, now_ns: int) -> None:
        """After a start only evidence tells whether an unconfirmed order exists."""
        for order in self.open_orders():
            if order.venue == venue and not order.acked:
                order.apply(OrderEvent.UNANSWERED, now_ns, "start")

    # Rows and turns

    def _row(
        self,
        turn: _Turn,
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

    def _close(self, turn: _Turn) -> list[Effect]:
        if turn.rows:
            self._commit_id += 1
            self._held.append((self._commit_id, turn.held))
            return [Journal(commit_id=self._commit_id, rows=tuple(turn.rows)), *turn.said]
        if turn.held and self._held:
            # Nothing to write, but what it says rests on rows that are still on their way.
            self._held[-1][1].extend(turn.held)
        else:
            for held in turn.held:
                self._release(held, turn)
        return turn.said

    def _release(self, held: _Held, turn: _Turn) -> None:
        match held:
            case _Place(key=key):
                order = self._open.get(key)
                if order is None:
                    return
                order.apply(OrderEvent.RELEASED, turn.now)
                order.sent_ns = turn.now
                original = self._open.get((order.venue, order.proposed.replaces or ""))
                if original is not None:
                    original.apply(OrderEvent.REPLACE_SENT, turn.now, order.cl_ord_id)
                turn.said.append(SendToVenue(command=order.command(turn.now)))
                turn.said.append(Emit(message=order.updated(turn.now)))
            case _Cancel(key=key, cancel_id=cancel_id):
                order = self._open.get(key)
                if order is None or order.cancel_id != cancel_id:
                    return
                order.apply(OrderEvent.CANCEL_SENT, turn.now, cancel_id)
                order.cancel_sent_ns = turn.now
                turn.said.append(SendToVenue(command=order.cancel_request(self._epoch, turn.now)))
                turn.said.append(Emit(message=order.updated(turn.now)))
            case SendToVenue() | Emit() | Reconciled():
                turn.said.append(held)

    def _account(self, venue: str) -> VenueAccount:
        account = self._accounts.get(venue)
        if account is None:
            account = self._accounts[venue] = VenueAccount()
        return account

    def _register(self, m: ApprovedOrder) -> Order:
        order = Order(approved=m)
        self._open[m.order.venue, m.order.cl_ord_id] = order
        self._account(m.order.venue)
        original = self._open.get((m.order.venue, m.order.replaces or ""))
        if original is not None:
            original.replaced_by = m.order.cl_ord_id
        return order

    def _apply(self, order: Order, event: OrderEvent, turn: _Turn, text: str = "") -> None:
        """Move an order, keep the open and the finished apart, tell the desk once the rows are durable."""
        order.apply(event, turn.now, text)
        key = (order.venue, order.cl_ord_id)
        if order.is_open:
            if self._done.pop(key, None) is not None:
                self._open[key] = order
        elif self._open.pop(key, None) is not None:
            order.next_query_ns = None
            order.awaited = None
            self._done[key] = order
            if len(self._done) > self._config.terminal_orders_max:
                self._done.popitem(last=False)
        turn.held.append(Emit(message=order.updated(turn.now, text)))

    # Refusals

    def _refusal(self, m: ApprovedOrder) -> tuple[DenyReason, str] | None:
        if m.order.instrument_id not in self._instruments:
            return DenyReason.UNKNOWN_INSTRUMENT, m.order.instrument_id
        if m.epoch < self._epoch:
            return DenyReason.PERMIT_EPOCH, f"approved under epoch {m.epoch}, now {self._epoch}"
        if len(self._open) >= self._config.open_orders_max:
            return DenyReason.MAX_INFLIGHT, f"{len(self._open)} orders are open"
        if m.order.replaces is not None:
            original = self._open.get((m.order.venue, m.order.replaces))
            ready = original is not None and original.ord_status in _REPLACEABLE
            if original is None or not ready or original.cancel_id or original.replaced_by:
                # Placing it anyway could execute one intent twice.
                return DenyReason.DUPLICATE, f"{m.order.replaces} cannot be replaced any more"
        return None

    def _deny(self, m: ApprovedOrder, reason: DenyReason, text: str, turn: _Turn) -> None:
        o = m.order
        denied = OrderDenied(
            cl_ord_id=o.cl_ord_id,
            venue=o.venue,
            instrument_id=o.instrument_id,
            reason=reason,
            text=text,
            legs=o.legs,
            cause=o.cause,
            ts_init_ns=turn.now,
        )
        self._row(turn, JournalKind.DENIED, None, DeniedBody(denied=denied), venue=o.venue, ref=o.cl_ord_id)
        turn.held.append(Emit(message=denied))

    def _denied(self, order: Order, m: OrderDenied, turn: _Turn) -> None:
        self._row(turn, JournalKind.DENIED, order, DeniedBody(denied=m))
        self._apply(order, OrderEvent.DENIED, turn, m.text)
        self._reopen_original(order, turn, m.text)
        turn.held.append(Emit(message=m))

    def _reopen_original(self, replacement: Order, turn: _Turn, text: str) -> None:
        """A replacement that never came to be leaves the original as it was."""
        original = self._open.get((replacement.venue, replacement.proposed.replaces or ""))
        if original is not None and original.replaced_by == replacement.cl_ord_id:
            original.replaced_by = ""
            if original.ord_status is OrdStatus.PENDING_REPLACE:
                self._apply(original, _refused(original), turn, text)

    # Cancels

    def _cancel(self, order: Order, m: ProposedCancel, turn: _Turn) -> None:
        order.cancel_count += 1
        order.cancel_id = f"{order.cl_ord_id}-c{order.cancel_count}"
        self._row(turn, JournalKind.CANCEL, order, CancelBody(cancel=m, cancel_id=order.cancel_id))
        turn.held.append(_Cancel((order.venue, order.cl_ord_id), order.cancel_id))

    def _cancel_again(self, order: Order, reason: str, turn: _Turn) -> None:
        if order.cancel_id:
            turn.held.append(_Cancel((order.venue, order.cl_ord_id), order.cancel_id))
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

    def _cancel_reject(self, m: OrderCancelReject, turn: _Turn) -> None:
        replacement = self.order(m.venue, m.cl_ord_id)
        ours = replacement is not None and replacement.proposed.replaces == m.orig_cl_ord_id
        if replacement is not None and ours and replacement.is_open and not replacement.acked:
            event = OrderEvent.UNANSWERED if _is_duplicate(m.text) else OrderEvent.REJECTED
            kind = JournalKind.UNKNOWN if event is OrderEvent.UNANSWERED else JournalKind.REJECT
            self._noted(kind, replacement, NoteBody(text=m.text, facts={"event": event.value}), turn)
        original = self.order(m.venue, m.orig_cl_ord_id)
        if original is None or not original.is_open:
            return
        # Of an order that was never confirmed "unknown" proves nothing: the cancel stands and is said again.
        if original.cancel_id and original.cancel_id == m.cl_ord_id and original.acked:
            facts = {"event": _refused(original).value, "cancel_id": m.cl_ord_id}
            self._noted(JournalKind.NOTE, original, NoteBody(text=m.text, facts=facts), turn)
        # Why it was refused (filled? canceled? unknown?) only the venue's record can tell; the words are no evidence.
        self._query(original, turn)

    def _noted(self, kind: JournalKind, order: Order, note: NoteBody, turn: _Turn) -> None:
        """An event without a venue's report behind it: journalled with its words, replayed the same way."""
        event = OrderEvent(note.facts["event"])
        self._row(turn, kind, order, note)
        if event in {OrderEvent.CANCEL_REFUSED, OrderEvent.CANCEL_REFUSED_PARTIAL}:
            order.cancel_id = ""
        if event is OrderEvent.NOT_FOUND:
            order.never_found = True
        self._apply(order, event, turn, note.text)
        if event in {OrderEvent.NOT_FOUND, OrderEvent.REJECTED}:
            self._reopen_original(order, turn, note.text)

    # Executions

    def _execution(self, m: ExecutionReport, turn: _Turn) -> None:
        if m.exec_type is ExecType.ORDER_STATUS:
            order = self.order(m.venue, m.cl_ord_id)
            if order is not None:
                self._status(order, m, turn)
            return
        counts = m.exec_type is ExecType.TRADE
        if not self._account(m.venue).inbox.first_time(m.exec_id, m.exec_seq, turn.now, counts=counts):
            return
        order = self.order(m.venue, m.cl_ord_id)
        if order is None and m.orig_cl_ord_id is not None:
            order = self.order(m.venue, m.orig_cl_ord_id)
        if order is None:
            self._foreign(m, turn)
            return
        self._report(order, m, turn)

    def _report(self, order: Order, m: ExecutionReport, turn: _Turn) -> None:
        order.order_id = m.order_id or order.order_id
        match m.exec_type:
            case ExecType.TRADE:
                self._trade(order, m, turn)
            case ExecType.NEW:
                self._record(JournalKind.ACK, order, m, turn)
                self._acked(order, turn)
            case ExecType.REPLACED:
                mine = order.cl_ord_id == m.cl_ord_id
                self._record(JournalKind.ACK if mine else JournalKind.CANCELED, order, m, turn)
                self._replaced(order, m, turn)
            case ExecType.REJECTED:
                if _is_duplicate(m.text):
                    # The venue has this id already: evidence that the order exists, never a rejection of it.
                    note = NoteBody(text=m.text, facts={"event": OrderEvent.UNANSWERED.value})
                    if order.is_open and not order.acked:
                        self._noted(JournalKind.UNKNOWN, order, note, turn)
                        self._query(order, turn)
                    return
                self._record(JournalKind.REJECT, order, m, turn)
                self._ended(order, OrderEvent.REJECTED, m, turn)
            case ExecType.CANCELED | ExecType.EXPIRED:
                event = OrderEvent.CANCELED if m.exec_type is ExecType.CANCELED else OrderEvent.EXPIRED
                self._record(JournalKind.CANCELED, order, m, turn)
                self._ended(order, event, m, turn)
            case ExecType.ORDER_STATUS:
                self._status(order, m, turn)

    def _record(
        self,
        kind: JournalKind,
        order: Order,
        m: ExecutionReport,
        turn: _Turn,
        legs: tuple[Leg, ...] = (),
        *,
        from_status: bool = False,
    ) -> None:
        body = ReportBody(report=m, legs=legs, sent_ns=order.sent_ns, from_status=from_status)
        self._row(turn, kind, order, body, exec_id="" if from_status else m.exec_id)

    def _acked(self, order: Order, turn: _Turn) -> None:
        order.acked = True
        order.next_query_ns = None
        order.absent = False
        self._apply(order, OrderEvent.FOUND if order.never_found else OrderEvent.ACKED, turn)
        if order.is_open and order.never_found:
            # Its strategies were told it was rejected and have decided anew: nobody wants it.
            order.never_found = False
            if not self._restoring:
                self._cancel_again(order, "found after it was given up", turn)
        elif order.is_open and order.cancel_id and order.cancel_sent_ns:
            self._apply(order, OrderEvent.CANCEL_SENT, turn, order.cancel_id)

    def _replaced(self, order: Order, m: ExecutionReport, turn: _Turn) -> None:
        """The report of a replacement is the ack of the new leg and the end of the old one."""
        original = self.order(m.venue, m.orig_cl_ord_id or "")
        if order.proposed.replaces is not None and order.cl_ord_id == m.cl_ord_id:
            self._acked(order, turn)
            if original is not None:
                self._apply(original, OrderEvent.REPLACED, turn, order.cl_ord_id)
        else:
            self._apply(order, OrderEvent.REPLACED, turn, m.text)

    def _trade(self, order: Order, m: ExecutionReport, turn: _Turn) -> None:
        o = order.proposed
        legs = order.share(m.last_qty, self._instruments[o.instrument_id].lot_size)
        order.cum_qty += m.last_qty
        order.cum_cost += m.last_qty * m.last_px
        order.acked = True
        order.absent = False
        whole = order.cum_qty >= o.order_qty
        self._record(JournalKind.FILL if whole else JournalKind.PARTIAL, order, m, turn, legs)
        self._moved(m, turn)
        turn.held.append(Emit(message=filled(m, legs)))
        if order.cum_qty > o.order_qty:
            text = f"{order.cl_ord_id} executed {order.cum_qty} of {o.order_qty}"
            turn.held.append(Reconciled(venue=order.venue, ok=False, text=text))
        self._apply(order, OrderEvent.FILL if whole else OrderEvent.PARTIAL, turn)
        if order.is_open:
            order.next_query_ns = None
            order.never_found = False
            if order.awaited is not None and order.cum_qty >= order.venue_cum_qty:
                self._apply(order, order.awaited, turn)
            elif order.cancel_id and order.cancel_sent_ns and order.ord_status is OrdStatus.PARTIALLY_FILLED:
                self._apply(order, OrderEvent.CANCEL_SENT, turn, order.cancel_id)

    def _moved(self, m: ExecutionReport, turn: _Turn) -> None:
        net = self._account(m.venue).net
        net[m.instrument_id] = net.get(m.instrument_id, Decimal(0)) + m.side.sign * m.last_qty
        if not self._restoring and self._account(m.venue).next_audit_ns is None:
            self._account(m.venue).next_audit_ns = turn.now + self._config.audit_ms * MS

    def _foreign(self, m: ExecutionReport, turn: _Turn) -> None:
        """An execution of no order of ours: a liquidation, a manual order.

        It is ours to own and somebody's to explain.
        """
        if m.exec_type is not ExecType.TRADE:
            return
        legs = (Leg(strategy_id=EXTERNAL, intent_id="", qty=m.last_qty),)
        body = ReportBody(report=m, legs=legs)
        self._row(turn, JournalKind.FILL, None, body, exec_id=m.exec_id, venue=m.venue, ref=m.cl_ord_id)
        self._moved(m, turn)
        turn.held.append(Emit(message=filled(m, legs)))
        text = f"execution {m.exec_id} of {m.cl_ord_id or 'no order'}, which is not ours: {m.text}"
        turn.held.append(Reconciled(venue=m.venue, ok=False, text=text))

    def _ended(self, order: Order, event: OrderEvent, m: ExecutionReport, turn: _Turn) -> None:
        """Terminal only when the venue says so and every execution it counted has come in."""
        order.venue_cum_qty = max(order.venue_cum_qty, m.cum_qty)
        order.acked = order.acked or event is not OrderEvent.REJECTED
        if order.is_open and order.venue_cum_qty > order.cum_qty:
            order.awaited = event
            order.next_query_ns = None
            self._ask_account(order.venue, "gap", turn)
            return
        self._apply(order, event, turn, m.text)
        if event is OrderEvent.REJECTED:
            self._reopen_original(order, turn, m.text)

    def _funding(self, m: FundingPayment, turn: _Turn) -> None:
        exec_id = f"funding:{m.funding_id}"
        if not self._account(m.venue).inbox.first_time(exec_id, m.exec_seq, turn.now, counts=True):
            return
        self._row(turn, JournalKind.FUNDING, None, FundingBody(funding=m), exec_id=exec_id, venue=m.venue)
        turn.held.append(Emit(message=m))

    # Evidence

    def _status_answer(self, m: OrderStatusReport, turn: _Turn) -> None:
        order = self.order(m.venue, m.cl_ord_id)
        if order is None:
            return
        if m.report is not None:
            self._status(order, m.report, turn)
            return
        # Queries of the time when the order may have been invisible prove nothing, however late their answers come.
        order.not_found += 1
        if not order.is_open or order.not_found <= order.early_queries:
            return
        if order.ord_status is OrdStatus.UNKNOWN and not order.acked:
            note = NoteBody(text="not found at venue", facts={"event": OrderEvent.NOT_FOUND.value})
            self._noted(JournalKind.REJECT, order, note, turn)
        elif order.acked and order.absent and order.cum_qty >= order.venue_cum_qty:
            # Neither among the open orders nor in the record, and every execution up to then has been applied.
            note = NoteBody(text="gone from the venue", facts={"event": OrderEvent.CANCELED.value})
            self._noted(JournalKind.CANCELED, order, note, turn)

    def _status(self, order: Order, m: ExecutionReport, turn: _Turn) -> None:
        """The venue's record of an order. It proves life, death and totals; it is never an execution."""
        order.order_id = m.order_id or order.order_id
        order.venue_cum_qty = max(order.venue_cum_qty, m.cum_qty)
        event = _TERMINAL_EVENT.get(m.ord_status)
        if event is not None:
            if order.is_open and order.awaited is None:
                kind = JournalKind.REJECT if event is OrderEvent.REJECTED else JournalKind.CANCELED
                self._record(kind, order, m, turn, from_status=True)
                self._ended(order, event, m, turn)
            return
        order.absent = False
        unconfirmed = order.is_open and (not order.acked or order.ord_status is OrdStatus.UNKNOWN)
        if unconfirmed or (order.never_found and not order.is_open):
            self._record(JournalKind.ACK, order, m, turn, from_status=True)
            self._acked(order, turn)
        elif order.is_open:
            order.next_query_ns = None
        if order.venue_cum_qty > order.cum_qty:
            self._ask_account(order.venue, "gap", turn)

    def _query(self, order: Order, turn: _Turn) -> None:
        ladder = self._config.query_ladder_ms
        order.next_query_ns = turn.now + ladder[min(order.queries, len(ladder) - 1)] * MS
        order.queries += 1
        if order.sent_ns == 0 or turn.now - order.sent_ns < self._config.visibility_ms * MS:
            order.early_queries += 1
        if not self._restoring:
            turn.said.append(SendToVenue(command=order.status_request(turn.now)))

    def _check_deadlines(self, order: Order, turn: _Turn) -> None:
        waited_ns = turn.now - order.sent_ns
        pending = order.ord_status in {OrdStatus.PENDING_NEW, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE}
        if pending and not order.acked and order.sent_ns and waited_ns > self._config.place_deadline_ms * MS:
            text = f"no answer in {waited_ns // MS} ms"
            self._noted(JournalKind.UNKNOWN, order, NoteBody(text=text, facts={"event": "unanswered"}), turn)
            self._query(order, turn)
        elif order.next_query_ns is not None:
            if turn.now >= order.next_query_ns:
                self._query(order, turn)
        elif order.ord_status is OrdStatus.UNKNOWN:
            self._query(order, turn)
        elif order.cancel_id and order.cancel_sent_ns:
            if turn.now - order.cancel_sent_ns > self._config.cancel_deadline_ms * MS and order.awaited is None:
                order.cancel_sent_ns = turn.now
                turn.said.append(SendToVenue(command=order.cancel_request(self._epoch, turn.now)))
                self._query(order, turn)
        elif order.ord_status is OrdStatus.PENDING_REPLACE:
            replacement = self._open.get((order.venue, order.replaced_by))
            if replacement is None or replacement.acked:
                # The new leg is settled, the word about the old one is missing.
                self._query(order, turn)

    # The account

    def _account_request(self, venue: str, cause: str, turn: _Turn) -> AccountStateRequest:
        account = self._account(venue)
        account.asked_ns = turn.now
        account.next_audit_ns = turn.now + self._config.audit_ms * MS
        return AccountStateRequest(
            venue=venue, since_exec_seq=account.inbox.watermark, cause=cause, ts_init_ns=turn.now
        )

    def _ask_account(self, venue: str, cause: str, turn: _Turn) -> None:
        account = self._account(venue)
        if self._restoring:
            return
        if cause == "gap":
            # An answer that is on its way may predate what is missing: ask again unless one comes after this.
            account.wanted_since_ns = turn.now
            if account.asked_ns and turn.now - account.asked_ns < self._config.gap_ms * MS:
                return
        turn.said.append(SendToVenue(command=self._account_request(venue, cause, turn)))

    def _account_state(self, m: AccountState, turn: _Turn) -> None:
        account = self._account(m.venue)
        if account.reconciling and not account.has_baseline and not self._knows(m.venue):
            self._baseline(m, turn)
        for report in sorted(m.executions, key=lambda r: r.exec_seq):
            self._execution(report, turn)
        for funding in sorted(m.fundings, key=lambda f: f.exec_seq):
            self._funding(funding, turn)
        account.inbox.covered(m.exec_seq)
        account.wanted_since_ns = None
        troubles = self._open_orders_compared(m, turn)
        if account.inbox.newest <= m.exec_seq:
            troubles += position_mismatches(m, account.net, self._instruments)
        elif account.reconciling:
            troubles.append("the snapshot is older than what was applied")
        self._verdict(m, account, troubles, turn)

    def _knows(self, venue: str) -> bool:
        account = self._account(venue)
        return bool(account.net or account.inbox.newest) or any(key[0] == venue for key in (*self._open, *self._done))

    def _baseline(self, m: AccountState, turn: _Turn) -> None:
        """The journal knows nothing of this venue: what is there now is what the desk opens with."""
        body = ReconcileBody(
            ok=True,
            text="baseline",
            exec_seq=m.exec_seq,
            baseline=True,
            positions={k: str(v) for k, v in m.positions.items()},
            balances={k: str(v) for k, v in m.balances.items()},
        )
        self._row(turn, JournalKind.RECONCILE, None, body, venue=m.venue)
        self._rebase(m.venue, body)

    def _rebase(self, venue: str, body: ReconcileBody) -> None:
        account = self._account(venue)
        account.has_baseline = True
        account.net = {k: Decimal(v) for k, v in body.positions.items()}
        account.inbox.floor = body.exec_seq
        account.inbox.covered(body.exec_seq)

    def _open_orders_compared(self, m: AccountState, turn: _Turn) -> list[str]:
        troubles: list[str] = []
        listed = set()
        for report in m.open_orders:
            listed.add(report.cl_ord_id)
            order = self.order(m.venue, report.cl_ord_id)
            if order is not None:
                self._status(order, report, turn)
                if not order.is_open and not order.never_found and m.exec_seq >= self._account(m.venue).inbox.newest:
                    troubles.append(f"{report.cl_ord_id} is open at the venue, here {order.ord_status.value}")
            else:
                troubles.append(f"open order {report.cl_ord_id} is not in the journal")
                self._cancel_unjournalled(report, turn)
        for order in self.open_orders():
            if order.venue != m.venue or order.cl_ord_id in listed:
                continue
            if order.awaited is not None:
                if m.exec_seq >= self._account(m.venue).inbox.newest:
                    # Every execution up to the snapshot is applied and the sum still is not what the venue counted.
                    text = f"{order.cl_ord_id}: venue counted {order.venue_cum_qty}, executions give {order.cum_qty}"
                    turn.held.append(Reconciled(venue=m.venue, ok=False, text=text))
                    note = NoteBody(text=text, facts={"event": order.awaited.value})
                    self._noted(JournalKind.CANCELED, order, note, turn)
            elif order.acked and order.sent_ns < self._account(m.venue).asked_ns:
                order.absent = True
                if order.next_query_ns is None:
                    self._query(order, turn)
        return troubles

    def _cancel_unjournalled(self, m: ExecutionReport, turn: _Turn) -> None:
        """An order with our mark that no journal of ours knows must not stay live; others' are not ours to touch."""
        if not self._config.id_prefix or not m.cl_ord_id.startswith(self._config.id_prefix):
            return
        request = OrderCancelRequest(
            venue=m.venue,
            instrument_id=m.instrument_id,
            cl_ord_id=f"{m.cl_ord_id}-c0",
            orig_cl_ord_id=m.cl_ord_id,
            epoch=self._epoch,
            cause="not in the journal",
            ts_init_ns=turn.now,
        )
        note = NoteBody(text="open at the venue, not in the journal: canceled")
        self._row(turn, JournalKind.NOTE, None, note, venue=m.venue, ref=m.cl_ord_id)
        turn.held.append(SendToVenue(command=request))

    def _verdict(self, m: AccountState, account: VenueAccount, troubles: list[str], turn: _Turn) -> None:
        if not account.reconciling:
            # One miss may be an event in flight; the same again at the next audit is a fact.
            account.audit_misses = account.audit_misses + 1 if troubles else 0
            if account.audit_misses == 2:
                self._judge(m, ok=False, text="; ".join(troubles), turn=turn)
            return
        for order in self.open_orders():
            stale = order.approved.epoch < self._epoch
            if order.venue != m.venue or not (stale or order.ord_status is OrdStatus.UNKNOWN):
                continue
            troubles.append(f"{order.cl_ord_id} is {order.ord_status.value}")
            if stale and not order.cancel_id:
                self._cancel_again(order, "stale: of an older epoch", turn)
        if not troubles:
            account.reconciling, account.next_ask_ns = False, None
            self._judge(m, ok=True, text=f"clean at {m.exec_seq} in round {account.round + 1}", turn=turn)
            return
        ladder = self._config.reconcile_ladder_ms
        account.next_ask_ns = turn.now + ladder[min(account.round, len(ladder) - 1)] * MS
        account.round += 1
        if account.round >= self._config.reconcile_rounds_max and not account.refused:
            account.refused = True
            self._judge(m, ok=False, text="; ".join(troubles), turn=turn)

    def _judge(self, m: AccountState, *, ok: bool, text: str, turn: _Turn) -> None:
        body = ReconcileBody(
            ok=ok,
            text=text,
            exec_seq=m.exec_seq,
            baseline=False,
            positions={k: str(v) for k, v in m.positions.items()},
            balances={k: str(v) for k, v in m.balances.items()},
        )
        self._row(turn, JournalKind.RECONCILE, None, body, venue=m.venue)
        turn.held.append(Reconciled(venue=m.venue, ok=ok, text=text))

    # Replay

    def _replay(self, row: JournalRow) -> None:
        turn = _Turn(row.ts_ns)
        body = decode_body(row.body)
        order = self.order(row.venue, row.cl_ord_id)
        if order is not None and order.ord_status is OrdStatus.JOURNALED:
            # Its release is not written down, but what follows it is.
            order.apply(OrderEvent.RELEASED, row.ts_ns)
        match body:
            case PlaceBody():
                self._replay_place(body.approved, row)
            case CancelBody():
                if order is not None:
                    order.cancel_count += 1
                    order.cancel_id = body.cancel_id
                    order.cancel_sent_ns = row.ts_ns
                    order.apply(OrderEvent.CANCEL_SENT, row.ts_ns, body.cancel_id)
            case ReportBody():
                if not body.from_status:
                    self._execution(body.report, turn)
                elif order is not None:
                    self._status(order, body.report, turn)
            case DeniedBody():
                if order is not None and order.is_open:
                    self._denied(order, body.denied, turn)
            case FundingBody():
                self._funding(body.funding, turn)
            case CrossBody():
                self._account(row.venue).inbox.first_time(f"cross:{body.cross.cross_id}", 0, row.ts_ns, counts=False)
            case ReconcileBody():
                if body.baseline:
                    self._rebase(row.venue, body)
                else:
                    self._account(row.venue).inbox.covered(body.exec_seq)
            case NoteBody():
                if row.kind is JournalKind.EPOCH:
                    self._doubt(row.venue, row.ts_ns)
                elif order is not None and "event" in body.facts:
                    self._noted(row.kind, order, body, turn)

    def _replay_place(self, approved: ApprovedOrder, row: JournalRow) -> None:
        self._register(approved)
        original = self._open.get((row.venue, approved.order.replaces or ""))
        if original is not None:
            if original.ord_status is OrdStatus.JOURNALED:
                original.apply(OrderEvent.RELEASED, row.ts_ns)
            original.apply(OrderEvent.REPLACE_SENT, row.ts_ns)

    def _load(self, checkpoint: bytes) -> int:
        state = _CHECKPOINT_DECODE(checkpoint)
        self._open = {(order.venue, order.cl_ord_id): order for order in state.open}
        self._done = OrderedDict(((order.venue, order.cl_ord_id), order) for order in state.done)
        self._accounts = state.accounts
        return state.seq


class _Checkpoint(msgspec.Struct, kw_only=True):
    seq: int
    open: list[Order]
    done: list[Order]
    accounts: dict[str, VenueAccount]


_CHECKPOINT_ENCODE: Callable[[_Checkpoint], bytes] = msgspec.msgpack.Encoder().encode
_CHECKPOINT_DECODE: Callable[[bytes], _Checkpoint] = msgspec.msgpack.Decoder(_Checkpoint).decode


def _is_duplicate(text: str) -> bool:
    # Binance -4116 "ClientOrderId is duplicated", -2010 "Duplicate order sent"; OKX 51016 "Client order ID exists" and
    # Bybit 110072 "OrderLinkedID is duplicate" (the venues' documents, 2026-11).
    words = text.lower()
    return "duplicat" in words or "order id exists" in words


def _refused(order: Order) -> OrderEvent:
    if not order.acked:
        # Our request may have overtaken the order itself: that it still stands is not known.
        return OrderEvent.UNANSWERED
    return OrderEvent.CANCEL_REFUSED_PARTIAL if order.cum_qty else OrderEvent.CANCEL_REFUSED
