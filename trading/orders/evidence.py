"""What a venue's words prove about an order: executions, acks, ends, refusals, answers to queries.

A status is never an execution, a refusal never an end, silence never a rejection.
"""

from __future__ import annotations

from decimal import Decimal

from trading.orders.contingency import decides, legs_of
from trading.orders.effects import Emit, SendToVenue
from trading.orders.fsm import OrderEvent
from trading.orders.inplace import Chains, is_unchanged
from trading.orders.journal_rows import (
    AmendedBody,
    FundingBody,
    JournalKind,
    NoteBody,
    ReportBody,
    event_id,
)
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    Leg,
    OrderCancelReject,
    OrderStatusReport,
    OrdStatus,
    VenueEvent,
)
from trading.orders.order import EXTERNAL, Order, filled
from trading.orders.reduce_only import surplus
from trading.orders.state import MS, refused
from trading.orders.turn import Turn

TERMINAL_EVENT = {
    OrdStatus.CANCELED: OrderEvent.CANCELED,
    OrdStatus.EXPIRED: OrderEvent.EXPIRED,
    OrdStatus.REJECTED: OrderEvent.REJECTED,
    OrdStatus.REPLACED: OrderEvent.REPLACED,
}


ZERO = Decimal(0)
_SECOND_NS = 1_000 * MS
_ON_BOOK = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})
_TRIGGERED = _ON_BOOK | {OrdStatus.FILLED}


class Evidence(Chains):
    """The order core's judgement of single messages; see `OrderCore`."""

    def _execution(self, m: ExecutionReport, turn: Turn) -> None:
        if m.exec_type is ExecType.ORDER_STATUS:
            order = self._meant(m.venue, m.cl_ord_id)
            if order is not None:
                self._status(order, m, turn)
            return
        if (self._standing or m.exec_type is ExecType.REPLACED) and self._told_amended(m, turn):
            return
        counts = m.exec_type is ExecType.TRADE
        inbox = self._account(m.venue).inbox
        if not inbox.first_time(m.exec_id, m.exec_seq, turn.now, counts=counts, event_ns=m.ts_event_ns):
            return
        order = self._meant(m.venue, m.cl_ord_id)
        if order is None and m.orig_cl_ord_id is not None:
            order = self._meant(m.venue, m.orig_cl_ord_id)
        if order is None:
            self._foreign(m, turn)
            return
        self._report(order, m, turn)

    def _malformed(self, m: VenueEvent, text: str, turn: Turn) -> None:
        """What cannot be reckoned with is counted, written down once a second, and asked for again: never booked."""
        self.malformed += 1
        cl_ord_id = m.cl_ord_id if isinstance(m, ExecutionReport | OrderStatusReport) else ""
        if turn.now - self._malformed_ns.get(m.venue, 0) >= _SECOND_NS:
            self._malformed_ns[m.venue] = turn.now
            note = NoteBody(text=f"malformed {type(m).__name__}: {text}")
            self._row(turn, JournalKind.NOTE, None, note, venue=m.venue, ref=cl_ord_id)
        order = self._meant(m.venue, cl_ord_id) if cl_ord_id else None
        if order is not None and order.is_open and order.next_query_ns is None:
            self._query(order, turn)
        if isinstance(m, FundingPayment) or (isinstance(m, ExecutionReport) and m.exec_type is ExecType.TRADE):
            self._ask_account(m.venue, "gap", turn)

    def _told_amended(self, m: ExecutionReport, turn: Turn) -> bool:
        """See to what ``m`` says of an amendment in place, before anybody asks whether its id came before.

        Venues may say an amended order anew under the id of its first ack. Whether that is all that it says.
        """
        self._see_amended(m, turn)
        if m.exec_type is not ExecType.REPLACED or m.venue not in self._config.amends_in_place:
            return False
        self._account(m.venue).inbox.first_time(m.exec_id, m.exec_seq, turn.now, counts=False)
        order = self._meant(m.venue, m.cl_ord_id)
        if order is not None and m.ord_status in TERMINAL_EVENT:
            self._status(order, m, turn)
        return True

    def _see_amended(self, m: ExecutionReport, turn: Turn, *, from_status: bool = False) -> None:
        if self._restoring or not self._standing:
            return
        proved = self._proved_by(m)
        if proved is not None:
            original, amendment = proved
            body = AmendedBody(report=m, sent_ns=amendment.sent_ns, from_status=from_status)
            self._row(turn, JournalKind.ACK, amendment, body)
            if amendment.venue in self._paces and amendment.sent_ns:
                self._paces[amendment.venue].amended(turn.now - amendment.sent_ns)
            self._amended(amendment, original, m, turn)

    def _amended(self, amendment: Order, original: Order | None, m: ExecutionReport, turn: Turn) -> None:
        """The amendment took effect: from here on the order at the venue is this one."""
        self.amends_in_place += 1
        amendment.terms_ns = m.ts_event_ns
        self._standing[amendment.venue, amendment.wire_id] = amendment.cl_ord_id
        if original is None:
            self._acked(amendment, turn)
            return
        amendment.order_id = original.order_id
        amendment.prior_qty = original.prior_qty + original.cum_qty
        if original.replaced_by != amendment.cl_ord_id:
            # Given up too early, and another was asked for since: that one amends what this one made.
            amendment.replaced_by = original.replaced_by
        original.replaced_by, original.lost_amend, original.lost_qty = amendment.cl_ord_id, "", ZERO
        # Whatever made it end here, the refusal of the venue too: it lives.
        amendment.never_found = amendment.ord_status is OrdStatus.REJECTED
        counted = original.prior_qty + original.venue_cum_qty - amendment.prior_qty
        amendment.venue_cum_qty = max(amendment.venue_cum_qty, counted)
        awaited, original.awaited = original.awaited, None
        self._acked(amendment, turn)
        self._apply(original, OrderEvent.REPLACED, turn, amendment.cl_ord_id)
        if awaited is not None:
            amendment.awaited, amendment.next_query_ns = awaited, None
        elif amendment.is_open and not amendment.leaves_qty:
            self._apply(amendment, OrderEvent.CANCELED, turn, "executed before it was amended to less")

    def _report(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
        _numbered(order, m)
        match m.exec_type:
            case ExecType.TRADE:
                self._trade(order, m, turn)
            case ExecType.NEW:
                if order.venue in self._paces and order.sent_ns and not order.acked:
                    self._paces[order.venue].placed(turn.now - order.sent_ns)
                self._record(JournalKind.ACK, order, m, turn)
                self._acked(order, turn, m.ord_status)
            case ExecType.TRIGGERED:
                self._record(JournalKind.ACK, order, m, turn)
                self._triggered(order, turn)
            case ExecType.REPLACED:
                mine = order.cl_ord_id == m.cl_ord_id
                self._record(JournalKind.ACK if mine else JournalKind.CANCELED, order, m, turn)
                self._replaced(order, m, turn)
            case ExecType.REJECTED:
                if is_duplicate(m.text):
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
                if order.venue in self._paces and order.cancel_sent_ns and order.is_open:
                    self._paces[order.venue].canceled(turn.now - order.cancel_sent_ns)
                self._record(JournalKind.CANCELED, order, m, turn)
                self._ended(order, event, m, turn)
            case ExecType.ORDER_STATUS:
                self._status(order, m, turn)

    def _record(
        self,
        kind: JournalKind,
        order: Order,
        m: ExecutionReport,
        turn: Turn,
        legs: tuple[Leg, ...] = (),
        *,
        from_status: bool = False,
    ) -> None:
        body = ReportBody(report=m, legs=legs, sent_ns=order.sent_ns, from_status=from_status)
        self._row(turn, kind, order, body, exec_id="" if from_status else m.exec_id)

    @staticmethod
    def _proved(order: Order, turn: Turn) -> None:
        """It lives. What was asked before the first proof of that proves nothing, however late the answers come."""
        if not order.acked:
            order.acked = True
            order.early_queries, order.proved_ns = order.queries, turn.now
        order.absent = False

    def _decides(self, order: Order, turn: Turn) -> None:
        """A leg of a list was triggered or executed: the other goes. One that goes itself decides nothing."""
        if order.yields_to:
            return
        for twin in legs_of(order.proposed, self._open.values()):
            if not twin.yields_to:
                twin.yields_to = order.cl_ord_id
                self.twins_canceled += not self._restoring
            if not self._restoring:
                self._yield(twin, turn)

    def _triggered(self, order: Order, turn: Turn) -> None:
        order.held = False
        if order.acked and not order.never_found:
            self._apply(order, OrderEvent.TRIGGERED, turn)
            if order.proposed.contingency is not None and order.is_open:
                self._decides(order, turn)
        else:
            self._acked(order, turn)

    def _became(self, order: Order, turn: Turn) -> None:
        """That it was triggered was found out by asking: what it became may be told elsewhere, and may be over."""
        if order.is_open and not self._restoring:
            self._query(order, turn)

    def _acked(self, order: Order, turn: Turn, ord_status: OrdStatus = OrdStatus.NEW) -> None:
        if ord_status is OrdStatus.PENDING_TRIGGER and _unproved(order):
            self._proved(order, turn)
            order.held = True
            order.next_query_ns = None
            self._apply(order, OrderEvent.HELD, turn)
            if order.is_open and order.cancel_id and order.cancel_sent_ns:
                self._apply(order, OrderEvent.CANCEL_SENT, turn, order.cancel_id)
            return
        if order.ord_status is OrdStatus.UNKNOWN:
            order.held = False
        self._proved(order, turn)
        order.next_query_ns = None
        self._apply(order, OrderEvent.FOUND if order.never_found else OrderEvent.ACKED, turn)
        if order.is_open and order.never_found:
            # Its strategies were told it was rejected and have decided anew: nobody wants it.
            order.never_found = False
            if not self._restoring:
                self._cancel_again(order, "found after it was given up", turn)
        elif order.is_open and order.cancel_id and order.cancel_sent_ns:
            self._apply(order, OrderEvent.CANCEL_SENT, turn, order.cancel_id)
        if order.proposed.contingency is not None and ord_status in _TRIGGERED and decides(order):
            self._decides(order, turn)

    def _replaced(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
        """The report of a replacement is the ack of the new leg and the end of the old one."""
        original = self.order(m.venue, m.orig_cl_ord_id or "")
        if order.proposed.replaces is not None and order.cl_ord_id == m.cl_ord_id:
            self._acked(order, turn, m.ord_status)
            if original is not None:
                self._apply(original, OrderEvent.REPLACED, turn, order.cl_ord_id)
        else:
            self._apply(order, OrderEvent.REPLACED, turn, m.text)

    def _trade(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
        o = order.proposed
        legs = order.share(m.last_qty, self._instruments[o.instrument_id].lot_size)
        order.cum_qty += m.last_qty
        order.cum_cost += m.last_qty * m.last_px
        if not order.acked:
            self._proved(order, turn)
        order.absent = order.held = False
        room = o.order_qty if order.in_place is None else order.room_qty
        # Without its terms an execution of all that was ordered is no end: an amendment given up asked for more.
        may_have_more = bool(order.lost_qty and order.late_qty) and m.order_qty != order.total_qty
        whole = order.cum_qty >= room and not may_have_more
        self._record(JournalKind.FILL if whole else JournalKind.PARTIAL, order, m, turn, legs)
        self._moved(m, turn)
        turn.held.append(Emit(message=filled(m, legs, order.cl_ord_id)))
        if order.cum_qty > room:
            text = f"{order.cl_ord_id} executed {order.cum_qty} of {room}"
            self._judged(order.venue, turn, ok=False, text=text)
        self._apply(order, OrderEvent.FILL if whole else OrderEvent.PARTIAL, turn)
        if order.is_open:
            order.next_query_ns = None
            order.never_found = False
            if may_have_more and not order.leaves_qty:
                self._query(order, turn)
            if order.awaited is not None and order.cum_qty >= order.venue_cum_qty:
                self._apply(order, order.awaited, turn)
            elif order.cancel_id and order.cancel_sent_ns and order.ord_status is OrdStatus.PARTIALLY_FILLED:
                self._apply(order, OrderEvent.CANCEL_SENT, turn, order.cancel_id)
        if o.contingency is not None:
            self._decides(order, turn)
        if self._closing:
            self._trim(m, turn)

    def _trim(self, m: ExecutionReport, turn: Turn) -> None:
        """A reduce-only order for which no position is left must not wait for one: it would open the next."""
        if self._restoring:
            return
        mine = [self._open[key] for key in self._closing if key in self._open and key[0] == m.venue]
        mine = [order for order in mine if order.proposed.instrument_id == m.instrument_id]
        for order in surplus(self._account(m.venue).net.get(m.instrument_id, ZERO), mine):
            if not order.cancel_id:
                self._cancel_again(order, "reduce-only: no position is left for it", turn)

    def _moved(self, m: ExecutionReport, turn: Turn) -> None:
        account = self._account(m.venue)
        account.move(m.instrument_id, m.side.sign * m.last_qty, turn.now)
        if not self._restoring and account.next_audit_ns is None:
            account.next_audit_ns = turn.now + self._config.audit_ms * MS

    def _foreign(self, m: ExecutionReport, turn: Turn) -> None:
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
        if self._closing:
            self._trim(m, turn)
        text = f"execution {m.exec_id} of {m.cl_ord_id or 'no order'}, which is not ours: {m.text}"
        self._judged(m.venue, turn, ok=False, text=text)

    def _ended(self, order: Order, event: OrderEvent, m: ExecutionReport, turn: Turn) -> None:
        """Terminal only when the venue says so and every execution it counted has come in."""
        order.venue_cum_qty = max(order.venue_cum_qty, m.cum_qty - order.prior_qty)
        order.acked = order.acked or event is not OrderEvent.REJECTED
        if order.proposed.contingency is not None and order.venue_cum_qty:
            self._decides(order, turn)
        if order.is_open and order.venue_cum_qty > order.cum_qty:
            order.awaited = event
            order.next_query_ns = None
            self._ask_account(order.venue, "gap", turn)
            return
        self._apply(order, event, turn, m.text)
        if event is OrderEvent.REJECTED:
            self._reopen_original(order, turn, m.text)

    def _funding(self, m: FundingPayment, turn: Turn) -> None:
        exec_id = event_id(m)
        inbox = self._account(m.venue).inbox
        if not inbox.first_time(exec_id, m.exec_seq, turn.now, counts=True, event_ns=m.ts_event_ns):
            return
        self._row(turn, JournalKind.FUNDING, None, FundingBody(funding=m), exec_id=exec_id, venue=m.venue)
        turn.held.append(Emit(message=m))

    def _status_answer(self, m: OrderStatusReport, turn: Turn) -> None:
        order = self._meant(m.venue, m.cl_ord_id)
        if order is None:
            return
        if m.report is not None:
            self._status(order, m.report, turn)
        for amendment in self._amendments_of(order):
            self._not_amended(amendment, m, turn)
        if m.report is not None:
            return
        too_early = self._too_early(order, m)
        if not order.is_open or too_early:
            return
        if order.ord_status is OrdStatus.UNKNOWN and not order.acked:
            note = NoteBody(text="not found at venue", facts={"event": OrderEvent.NOT_FOUND.value})
            self._noted(JournalKind.REJECT, order, note, turn)
        elif order.acked and order.absent and order.cum_qty >= order.venue_cum_qty:
            # Neither among the open orders nor in the record, and every execution up to then has been applied.
            note = NoteBody(text="gone from the venue", facts={"event": OrderEvent.CANCELED.value})
            self._noted(JournalKind.CANCELED, order, note, turn)

    def _too_early(self, order: Order, m: OrderStatusReport) -> bool:
        """Queries of the time when it may have been invisible prove nothing, however late their answers come."""
        order.not_found += 1
        if not m.asked_ns:
            return order.not_found <= order.early_queries
        seen_by_ns = order.sent_ns + self._config.visibility_ms * MS
        return not order.sent_ns or m.asked_ns < max(seen_by_ns, order.proved_ns)

    def _not_amended(self, amendment: Order, m: OrderStatusReport, turn: Turn) -> None:
        """The venue's record does not show the amendment: proof enough where it was asked late enough, or is final."""
        if m.report is not None and m.report.ord_status is OrdStatus.FILLED and m.report.order_qty:
            text = f"the order was executed as it was, {m.report.order_qty} in all"
            note = NoteBody(text=text, facts={"event": OrderEvent.REJECTED.value})
            self._noted(JournalKind.REJECT, amendment, note, turn)
        elif not self._too_early(amendment, m) and amendment.ord_status is OrdStatus.UNKNOWN:
            note = NoteBody(text="not amended at the venue", facts={"event": OrderEvent.NOT_FOUND.value})
            self._noted(JournalKind.REJECT, amendment, note, turn)

    def _status(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
        """The venue's record of an order. It proves life, death and totals; it is never an execution."""
        if self._standing and not self._restoring:
            self._see_amended(m, turn, from_status=True)
            order = self._meant(m.venue, m.cl_ord_id) or order
        _numbered(order, m)
        order.venue_cum_qty = max(order.venue_cum_qty, m.cum_qty - order.prior_qty)
        event = TERMINAL_EVENT.get(m.ord_status)
        if event is not None:
            if order.is_open and order.awaited is None:
                kind = JournalKind.REJECT if event is OrderEvent.REJECTED else JournalKind.CANCELED
                self._record(kind, order, m, turn, from_status=True)
                self._ended(order, event, m, turn)
            return
        if m.ord_status is OrdStatus.FILLED and order.is_open and ZERO < m.order_qty < order.total_qty:
            # An amendment to less that was given up took effect after all: the rest is not there any more.
            if order.awaited is None:
                self._record(JournalKind.CANCELED, order, m, turn, from_status=True)
                self._ended(order, OrderEvent.CANCELED, m, turn)
            return
        executed = order.prior_qty + order.cum_qty
        if m.ord_status is OrdStatus.FILLED and order.late_qty and m.order_qty == order.total_qty == executed:
            note = NoteBody(text="executed as it was", facts={"event": OrderEvent.FILL.value})
            self._noted(JournalKind.NOTE, order, note, turn)
            return
        order.absent = False
        unconfirmed = order.is_open and (not order.acked or order.ord_status is OrdStatus.UNKNOWN)
        if unconfirmed or (order.never_found and not order.is_open):
            waited = order.waits
            self._record(JournalKind.ACK, order, m, turn, from_status=True)
            self._acked(order, turn, m.ord_status)
            if waited and m.ord_status in _ON_BOOK:
                self._became(order, turn)
        elif order.is_open:
            order.next_query_ns = None
            if order.held and m.ord_status in _ON_BOOK:
                self._record(JournalKind.ACK, order, m, turn, from_status=True)
                self._triggered(order, turn)
                self._became(order, turn)
        if order.venue_cum_qty > order.cum_qty:
            self._ask_account(order.venue, "gap", turn)

    def _cancel_reject(self, m: OrderCancelReject, turn: Turn) -> None:
        replacement = self.order(m.venue, m.cl_ord_id)
        ours = replacement is not None and m.orig_cl_ord_id in _replaces(replacement)
        given_up = replacement is not None and replacement.never_found and replacement.in_place is not None
        if replacement is not None and ours and (replacement.is_open or given_up) and not replacement.acked:
            # That it is so already may be the doing of this very request: the record tells.
            unsure = is_duplicate(m.text) or is_unchanged(m.text)
            event = OrderEvent.UNANSWERED if unsure else OrderEvent.REJECTED
            kind = JournalKind.UNKNOWN if event is OrderEvent.UNANSWERED else JournalKind.REJECT
            if not unsure:
                self._learn_amends(m)
            if not (unsure and given_up):
                self._noted(kind, replacement, NoteBody(text=m.text, facts={"event": event.value}), turn)
        original = self._meant(m.venue, m.orig_cl_ord_id)
        if original is None or not original.is_open:
            return
        # Of an order that was never confirmed "unknown" proves nothing: the cancel stands and is said again.
        if original.cancel_id and original.cancel_id == m.cl_ord_id and original.acked:
            facts = {"event": refused(original).value, "cancel_id": m.cl_ord_id}
            self._noted(JournalKind.NOTE, original, NoteBody(text=m.text, facts=facts), turn)
        # Why it was refused (filled? canceled? unknown?) only the venue's record can tell; the words are no evidence.
        self._query(original, turn)

    def _learn_amends(self, m: OrderCancelReject) -> None:
        """What a refusal says of amending itself: this order will not be amended, or no order at this venue."""
        words = m.text.lower()
        original = self._meant(m.venue, m.orig_cl_ord_id)
        if any(word in words for word in NEVER_AMENDS):
            self._no_amend.add(m.venue)
        elif original is not None and any(word in words for word in WILL_NOT_AMEND):
            original.no_amend = True

    def _check_deadlines(self, order: Order, turn: Turn) -> None:
        if order.cancel_wish is not None and not order.cancel_id and turn.now >= order.cancel_after_ns:
            self._cancel(order, order.cancel_wish, turn)
        waited_ns = turn.now - order.sent_ns
        pending = order.ord_status in {OrdStatus.PENDING_NEW, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE}
        if pending and not order.acked and order.sent_ns and waited_ns > self._config.place_deadline_ms * MS:
            text = f"no answer in {waited_ns // MS} ms"
            self._noted(JournalKind.UNKNOWN, order, NoteBody(text=text, facts={"event": "unanswered"}), turn)
            self._query(order, turn)
        elif order.waits_for and order.ord_status is OrdStatus.JOURNALED:
            if turn.now - order.approved.ts_init_ns > self._config.amend_wait_ms * MS:
                self._give_up(order, f"{order.waits_for} is still not gone", turn)
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


NEVER_AMENDS = ("not support", "unsupported")
"""A refusal with these words is of amending as such: a venue, or an account's mode, that has no such request."""
WILL_NOT_AMEND = ("modif", "amend")
"""A refusal with these is of amending one order: Binance -5026 "Exceed maximum modify order limit" and its kind."""


def _numbered(order: Order, m: ExecutionReport) -> None:
    """The venue's id of it; a late word of the time before a trigger has the id of that time."""
    if m.order_id and (m.ord_status is not OrdStatus.PENDING_TRIGGER or not order.acked):
        order.order_id = m.order_id


def _unproved(order: Order) -> bool:
    """Whether its life is not proved yet: a late word of an earlier state must not put a live order back there."""
    return not order.never_found and (not order.acked or order.ord_status is OrdStatus.UNKNOWN)


def _replaces(order: Order) -> tuple[str | None, ...]:
    """By which ids a venue may name what an order is to replace."""
    replaces = order.proposed.replaces
    return (replaces,) if order.in_place is None else (replaces, order.wire_id)


def is_duplicate(text: str) -> bool:
    """Whether a refusal says that the venue has the id already."""
    # Binance -4116 "ClientOrderId is duplicated", -2010 "Duplicate order sent"; OKX 51016 "Client order ID exists" and
    # Bybit 110072 "OrderLinkedID is duplicate" (the venues' documents, 2026-11).
    words = text.lower()
    return "duplicat" in words or "order id exists" in words
