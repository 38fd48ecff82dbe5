"""What a venue's words prove about an order: executions, acks, ends, refusals, answers to queries.

A status is never an execution, a refusal never an end, silence never a rejection.
"""

from __future__ import annotations

from decimal import Decimal

from trading.orders.effects import Emit, SendToVenue
from trading.orders.fsm import OrderEvent
from trading.orders.journal_rows import (
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
)
from trading.orders.order import EXTERNAL, Order, filled
from trading.orders.state import MS, CoreState, refused
from trading.orders.turn import Turn

TERMINAL_EVENT = {
    OrdStatus.CANCELED: OrderEvent.CANCELED,
    OrdStatus.EXPIRED: OrderEvent.EXPIRED,
    OrdStatus.REJECTED: OrderEvent.REJECTED,
    OrdStatus.REPLACED: OrderEvent.REPLACED,
}


class Evidence(CoreState):
    """The order core's judgement of single messages; see `OrderCore`."""

    def _execution(self, m: ExecutionReport, turn: Turn) -> None:
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

    def _report(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
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

    def _acked(self, order: Order, turn: Turn) -> None:
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

    def _replaced(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
        """The report of a replacement is the ack of the new leg and the end of the old one."""
        original = self.order(m.venue, m.orig_cl_ord_id or "")
        if order.proposed.replaces is not None and order.cl_ord_id == m.cl_ord_id:
            self._acked(order, turn)
            if original is not None:
                self._apply(original, OrderEvent.REPLACED, turn, order.cl_ord_id)
        else:
            self._apply(order, OrderEvent.REPLACED, turn, m.text)

    def _trade(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
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
            self._judged(order.venue, turn, ok=False, text=text)
        self._apply(order, OrderEvent.FILL if whole else OrderEvent.PARTIAL, turn)
        if order.is_open:
            order.next_query_ns = None
            order.never_found = False
            if order.awaited is not None and order.cum_qty >= order.venue_cum_qty:
                self._apply(order, order.awaited, turn)
            elif order.cancel_id and order.cancel_sent_ns and order.ord_status is OrdStatus.PARTIALLY_FILLED:
                self._apply(order, OrderEvent.CANCEL_SENT, turn, order.cancel_id)

    def _moved(self, m: ExecutionReport, turn: Turn) -> None:
        net = self._account(m.venue).net
        net[m.instrument_id] = net.get(m.instrument_id, Decimal(0)) + m.side.sign * m.last_qty
        if not self._restoring and self._account(m.venue).next_audit_ns is None:
            self._account(m.venue).next_audit_ns = turn.now + self._config.audit_ms * MS

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
        text = f"execution {m.exec_id} of {m.cl_ord_id or 'no order'}, which is not ours: {m.text}"
        self._judged(m.venue, turn, ok=False, text=text)

    def _ended(self, order: Order, event: OrderEvent, m: ExecutionReport, turn: Turn) -> None:
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

    def _funding(self, m: FundingPayment, turn: Turn) -> None:
        exec_id = event_id(m)
        if not self._account(m.venue).inbox.first_time(exec_id, m.exec_seq, turn.now, counts=True):
            return
        self._row(turn, JournalKind.FUNDING, None, FundingBody(funding=m), exec_id=exec_id, venue=m.venue)
        turn.held.append(Emit(message=m))

    def _status_answer(self, m: OrderStatusReport, turn: Turn) -> None:
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

    def _status(self, order: Order, m: ExecutionReport, turn: Turn) -> None:
        """The venue's record of an order. It proves life, death and totals; it is never an execution."""
        order.order_id = m.order_id or order.order_id
        order.venue_cum_qty = max(order.venue_cum_qty, m.cum_qty)
        event = TERMINAL_EVENT.get(m.ord_status)
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

    def _cancel_reject(self, m: OrderCancelReject, turn: Turn) -> None:
        replacement = self.order(m.venue, m.cl_ord_id)
        ours = replacement is not None and replacement.proposed.replaces == m.orig_cl_ord_id
        if replacement is not None and ours and replacement.is_open and not replacement.acked:
            event = OrderEvent.UNANSWERED if is_duplicate(m.text) else OrderEvent.REJECTED
            kind = JournalKind.UNKNOWN if event is OrderEvent.UNANSWERED else JournalKind.REJECT
            self._noted(kind, replacement, NoteBody(text=m.text, facts={"event": event.value}), turn)
        original = self.order(m.venue, m.orig_cl_ord_id)
        if original is None or not original.is_open:
            return
        # Of an order that was never confirmed "unknown" proves nothing: the cancel stands and is said again.
        if original.cancel_id and original.cancel_id == m.cl_ord_id and original.acked:
            facts = {"event": refused(original).value, "cancel_id": m.cl_ord_id}
            self._noted(JournalKind.NOTE, original, NoteBody(text=m.text, facts=facts), turn)
        # Why it was refused (filled? canceled? unknown?) only the venue's record can tell; the words are no evidence.
        self._query(original, turn)

    def _check_deadlines(self, order: Order, turn: Turn) -> None:
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


def is_duplicate(text: str) -> bool:
    """Whether a refusal says that the venue has the id already."""
    # Binance -4116 "ClientOrderId is duplicated", -2010 "Duplicate order sent"; OKX 51016 "Client order ID exists" and
    # Bybit 110072 "OrderLinkedID is duplicate" (the venues' documents, 2026-11).
    words = text.lower()
    return "duplicat" in words or "order id exists" in words
