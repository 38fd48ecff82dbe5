"""The order core: exactly-once order flow as a pure state machine. Persist, then speak.

Owns orders from approval to their end: ids, states, inbox, UNKNOWNs and their resolution by evidence, reconciliation.
Does not own risk, permits, positions' value, the journal's storage or any clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MethodType

import msgspec

import native
from trading.instruments import Instrument, InstrumentKind
from trading.orders import contingency, stp, triggers
from trading.orders.effects import Effect, Emit, Journal, Reconciled, SendToVenue
from trading.orders.fsm import OrderEvent
from trading.orders.inbox import VenueAccount
from trading.orders.journal_rows import (
    AmendedBody,
    CancelBody,
    CrossBody,
    DeniedBody,
    FundingBody,
    JournalKind,
    JournalRow,
    NoteBody,
    PlaceBody,
    ProtectBody,
    ReconcileBody,
    ReportBody,
    RowDraft,
    decode_body,
    encode_body_into,
    encode_place,
    event_id,
)
from trading.orders.messages import (
    AccountState,
    ApprovedOrder,
    DenyReason,
    ExecutionReport,
    FundingPayment,
    InternalCross,
    Leg,
    NewOrderSingle,
    OrderCancelReject,
    OrderDenied,
    OrderStatusReport,
    OrdStatus,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
    VenueCommand,
    VenueEvent,
)
from trading.orders.numbers import LEAST, MOST, is_number, unsound_event, unsound_order
from trading.orders.order import MOVES, STORY_LINES, Order
from trading.orders.reconcile import Reconciliation
from trading.orders.reduce_only import leaves_of, room
from trading.orders.state import MS, CoreState, Exposure, OrderCoreConfig, may_rest_closing
from trading.orders.triggers import WAITING
from trading.orders.turn import PlaceHeld, Turn

__all__ = ["Effect", "Emit", "Exposure", "Journal", "OrderCore", "OrderCoreConfig", "Reconciled", "SendToVenue"]

_ZERO = Decimal(0)
# Members of enums that the order path names for every order: a look at their class is a call.
_PLACE, _RELEASED, _SPOT, _SELL = JournalKind.PLACE, OrderEvent.RELEASED, InstrumentKind.SPOT, Side.SELL
_JOURNALED = OrdStatus.JOURNALED
# What a story begins with, after its time.
_APPROVED_LINE = ("approved", "proposed", "journaled", "")
# What the short ways in C read and make, and their words; see `native.orders`.
_READ_TO_ADMIT = (CoreState, OrderCoreConfig, Instrument, VenueAccount, ApprovedOrder, ProposedOrder, Leg, Order)
_MADE_TO_ADMIT = (RowDraft, PlaceHeld, Journal)
_TERMS = (OrdType.LIMIT, OrdType.MARKET, _SELL, _SPOT, TimeInForce.IOC, TimeInForce.FOK)
_ADMISSION = (
    *_READ_TO_ADMIT,
    *_MADE_TO_ADMIT,
    Decimal,
    _PLACE,
    *_TERMS,
    LEAST,
    MOST,
    _ZERO,
    encode_place,
    _APPROVED_LINE,
)
_READ_TO_RELEASE = (CoreState, PlaceHeld, Order, ApprovedOrder, ProposedOrder, Leg)
_RELEASE = (*_READ_TO_RELEASE, NewOrderSingle, _JOURNALED, MOVES[_JOURNALED, _RELEASED], STORY_LINES)
REPLACEABLE = frozenset({OrdStatus.PENDING_NEW, OrdStatus.PENDING_TRIGGER, OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})


def _in_python(_m: ApprovedOrder, _now_ns: int) -> None:
    """No order is taken in at once: `OrderCore.on_approved` is to."""


class OrderCore(Reconciliation):
    """Orders from approval to their end; ``now_ns`` is UTC nanoseconds.

    The shell's duties: 1. write the rows of every `Journal` as one batch, in order of ``commit_id``; 2. when they are
    durable call `on_committed`; when they never will be, stop; 3. act on the other effects as they come; 4. call
    `on_timer` at least every 50 ms; 5. after a start: `restore`, then `begin_reconcile` for each venue, and no permit
    before ``Reconciled(ok=True)``.
    """

    # A usual new order's admission and its release, where C was built: None leaves it to the Python below.
    _admit: Callable[..., Journal | None] | None = (
        None if native.orders is None else native.orders.PlainAdmission(*_ADMISSION)
    )
    _let_go: Callable[..., tuple[Order, VenueCommand] | None] | None = (
        None if native.orders is None else native.orders.PlainRelease(*_RELEASE)
    )

    def __init__(self, instruments: Mapping[str, Instrument], epoch: int, config: OrderCoreConfig) -> None:
        """With nothing that happened yet; see `restore`."""
        super().__init__(instruments, epoch, config)
        # All that `on_approved` would say of a usual new order; None, with nothing changed, of any other.
        self.admit: Callable[[ApprovedOrder, int], Journal | None] = (
            _in_python if self._admit is None else MethodType(self._admit, self)
        )
        # As `on_committed` where a new order is all that waited; None, with nothing changed, where it is not. In place
        # of the effects the caller sends the command and tells the order's `updated(now_ns)`, both before it calls the
        # core again.
        self.release_alone: Callable[[int, int], tuple[Order, VenueCommand] | None] = (
            self._release_alone if self._let_go is None else MethodType(self._let_go, self)
        )

    # Commands

    def on_approved(self, m: ApprovedOrder, now_ns: int) -> list[Effect]:
        """Journal the order; it goes out when the row is durable.

        Denied when it holds what is no number; ``ValueError`` when its legs are not the whole of it.
        """
        written = self.admit(m, now_ns)
        if written is not None:
            return [written]
        o = m.order
        key = (o.venue, o.cl_ord_id)
        if key in self._open or key in self._done:
            # The same intent again, after a replay or from a new leader: its order exists already.
            self.duplicates_suppressed += 1
            return []
        legs = o.legs
        refusal = self._unsound(o)
        if refusal is None:
            if (legs[0].qty if len(legs) == 1 else sum([leg.qty for leg in legs], _ZERO)) != o.order_qty:
                raise ValueError(f"legs of {o.cl_ord_id} do not sum to {o.order_qty}: {legs}")
            refusal = self._refusal(m)
        if refusal is not None:
            turn = Turn(now_ns)
            self._deny(m, *refusal, turn)
            return self._close(turn)
        order = self._register(m, key)
        order.story.append((now_ns, *_APPROVED_LINE))
        if o.replaces is None:
            # What `_row` and `_close` would do with nothing else to say: nearly every order comes this way.
            parent, body = legs[0].intent_id if legs else "", encode_place(m)
            if body is None:
                encode_body_into(PlaceBody(m), self._body)
                body = bytes(self._body)
            row = RowDraft(now_ns, _PLACE, o.venue, o.cl_ord_id, None, parent, self._epoch, body)
            self._commit_id = commit_id = self._commit_id + 1
            self._held.append((commit_id, [PlaceHeld(key)]))
            return [Journal(commit_id, (row,))]
        turn = Turn(now_ns)
        in_place = self._amended_in_place(o)
        if in_place is not None:
            self._follow(order, in_place)
        self._row(turn, JournalKind.REPLACE, order, PlaceBody(m, in_place))
        if in_place is None and self._by_cancel(order, o.replaces, turn):
            return self._close(turn)
        turn.held.append(PlaceHeld(key))
        return self._close(turn)

    def _by_cancel(self, order: Order, replaces: str, turn: Turn) -> bool:
        """Where the venue does not amend: cancel the original now; the new order waits for the proof of its end."""
        original = self._open[order.venue, replaces]
        in_place = order.venue in self._config.amends_in_place
        if not (in_place or original.no_amend or order.venue in self._no_amend):
            return False
        order.as_new, order.waits_for, order.cum_then = True, replaces, original.cum_qty
        self.amends_by_cancel += 1
        self._cancel_again(original, f"replaced by {order.cl_ord_id}: the venue does not amend", turn)
        return True

    def on_cancel(self, m: ProposedCancel, now_ns: int) -> list[Effect]:
        """Journal the cancel and send it; nothing when the order is gone or its cancel is on the way."""
        turn = Turn(now_ns)
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
        guards: bool = True,
    ) -> list[Effect]:
        """Cancel every open order in scope; a cancel that is on the way already is said again with the same id.

        Without ``guards`` what waits at the venue to close what is held stays.
        """
        turn = Turn(now_ns)
        for order in self.open_orders():
            o = order.proposed
            if order.guards and not guards:
                continue
            in_place = venue in {None, o.venue} and instrument_id in {None, o.instrument_id}
            if in_place and (strategy_id is None or any(leg.strategy_id == strategy_id for leg in o.legs)):
                self._cancel_again(order, reason, turn)
        return self._close(turn)

    def on_cross(self, m: InternalCross, now_ns: int) -> list[Effect]:
        """Journal an internal cross, then hand it to the portfolio."""
        turn = Turn(now_ns)
        exec_id = event_id(m)
        instrument = self._instruments.get(m.instrument_id)
        venue = instrument.venue if instrument is not None else ""
        if not self._account(venue).inbox.first_time(exec_id, 0, now_ns, counts=False):
            self.duplicates_suppressed += 1
            return []
        self._row(turn, JournalKind.CROSS, None, CrossBody(cross=m), exec_id=exec_id, venue=venue)
        turn.held.append(Emit(message=m))
        return self._close(turn)

    # What comes back

    def _release_alone(self, commit_id: int, now_ns: int) -> tuple[Order, VenueCommand] | None:
        waiting = self._held
        if waiting:
            first_id, first = waiting[0]
            if first_id == commit_id and len(first) == 1 and type(place := first[0]) is PlaceHeld:
                order = self._open.get(place.key)
                if order is not None and order.approved.order.replaces is None:
                    waiting.popleft()
                    order.apply(_RELEASED, now_ns)
                    order.sent_ns = now_ns
                    return order, order.command(now_ns)
        return None

    def on_committed(self, commit_id: int, now_ns: int) -> list[Effect]:
        """The rows up to ``commit_id`` are durable: what waited for them is released, in order."""
        waiting = self._held
        said: list[Effect] = []
        while waiting and waiting[0][0] <= commit_id:
            for held in waiting.popleft()[1]:
                self._release(held, said, now_ns)
        return said

    def on_gateway_denied(self, m: OrderDenied, now_ns: int) -> list[Effect]:
        """The gateway wrote nothing to the venue: the order does not exist, unless the venue has said otherwise."""
        turn = Turn(now_ns)
        order = self._open.get((m.venue, m.cl_ord_id))
        if order is None or order.acked:
            return []
        self._denied(order, m, turn)
        return self._close(turn)

    def on_venue(self, m: VenueEvent, now_ns: int) -> list[Effect]:
        """Anything a venue said, from whichever source, in any order, any number of times."""
        turn = Turn(now_ns)
        unsound = unsound_event(m)
        if unsound:
            self._malformed(m, unsound, turn)
            return self._close(turn)
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
        turn = Turn(now_ns)
        for order in self.open_orders():
            self._check_deadlines(order, turn)
        for venue, account in self._accounts.items():
            gap = account.inbox.gap_since_ns or account.wanted_since_ns
            if gap is not None and now_ns - max(gap, account.asked_ns) >= self._config.gap_ms * MS:
                self._ask_account(venue, "gap", turn)
            elif account.next_ask_ns is not None and now_ns >= account.next_ask_ns:
                self._ask_account(venue, "reconcile", turn)
            elif account.next_audit_ns is not None and now_ns >= account.next_audit_ns:
                # Heartbeats do not prove completeness: fill frames can be lost while everything looks green.
                self._ask_account(venue, "audit", turn)
        return self._close(turn)

    def next_due_ns(self, soon_ns: int) -> int | None:
        """When `on_timer` may next have something to say: ``soon_ns`` while orders are open, else by deadline."""
        due = soon_ns if self._open else None
        for account in self._accounts.values():
            gap = account.inbox.gap_since_ns or account.wanted_since_ns
            times = (
                None if gap is None else max(gap, account.asked_ns) + self._config.gap_ms * MS,
                account.next_ask_ns,
                account.next_audit_ns,
            )
            for at_ns in times:
                if at_ns is not None and (due is None or at_ns < due):
                    due = at_ns
        return due

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
                seq=seq,
                open=list(self._open.values()),
                done=list(self._done.values()),
                accounts=dict(self._accounts),
                standing=[(venue, wire_id, name) for (venue, wire_id), name in self._standing.items()],
            )
        )

    def begin_reconcile(self, venue: str, now_ns: int, incarnation: int = 0) -> list[Effect]:
        """Fail-safe start: cancel what older epochs left open, ask for the account, apply what was missed, compare.

        What waits at the venue to close what is held stays: without it the position would be bare.

        Ends in ``Reconciled``; after a refusal it goes on comparing, slowly, and says so when it is clean.
        ``incarnation`` is the venue's life, 0 when it never said; the verdict carries it.
        """
        turn = Turn(now_ns)
        account = self._account(venue)
        account.incarnation = incarnation
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
            if order.yields_to:
                self._yield(order, turn)
            if order.approved.epoch < self._epoch and not order.guards:
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

    def _load(self, checkpoint: bytes) -> int:
        state = _CHECKPOINT_DECODE(checkpoint)
        self._open = {(order.venue, order.cl_ord_id): order for order in state.open}
        self._done = OrderedDict(((order.venue, order.cl_ord_id), order) for order in state.done)
        self._accounts = state.accounts
        self._standing = {(venue, wire_id): name for venue, wire_id, name in state.standing}
        self._closing = {key: None for key, order in self._open.items() if may_rest_closing(order.proposed)}
        return state.seq

    def _replay(self, row: JournalRow) -> None:
        turn = Turn(row.ts_ns)
        body = decode_body(row.body)
        order = self.order(row.venue, row.cl_ord_id)
        if order is not None and order.ord_status is OrdStatus.JOURNALED:
            # Its release is not written down, but what follows it is.
            order.apply(OrderEvent.RELEASED, row.ts_ns)
        match body:
            case PlaceBody():
                self._replay_place(body, row)
            case AmendedBody():
                if order is not None:
                    original = self.order(row.venue, order.proposed.replaces or "")
                    self._amended(order, original, body.report, turn)
            case CancelBody():
                if order is not None:
                    order.cancel_count += 1
                    order.cancel_id = body.cancel_id
                    order.cancel_sent_ns = row.ts_ns
                    order.apply(OrderEvent.CANCEL_SENT, row.ts_ns, body.cancel_id)
            case ReportBody():
                self._replay_report(order, body, turn)
            case DeniedBody():
                if order is not None and order.is_open:
                    self._denied(order, body.denied, turn)
            case FundingBody():
                self._funding(body.funding, turn)
            case CrossBody():
                self._account(row.venue).inbox.first_time(f"cross:{body.cross.cross_id}", 0, row.ts_ns, counts=False)
            case ReconcileBody():
                self._account(row.venue).listed_ns = max(self._account(row.venue).listed_ns, body.asked_ns)
                if body.baseline:
                    self._rebase(row.venue, body)
                else:
                    self._account(row.venue).inbox.covered(body.exec_seq)
            case NoteBody():
                if row.kind is JournalKind.EPOCH:
                    self._doubt(row.venue, row.ts_ns)
                elif order is not None and "event" in body.facts:
                    self._noted(row.kind, order, body, turn)
            case ProtectBody():
                pass  # the exits' own: trading.protection rebuilds itself from it

    def _replay_report(self, order: Order | None, body: ReportBody, turn: Turn) -> None:
        if not body.from_status:
            self._execution(body.report, turn)
        elif order is not None:
            self._status(order, body.report, turn)

    def _replay_place(self, body: PlaceBody, row: JournalRow) -> None:
        approved = body.approved
        order = self._register(approved, (approved.order.venue, approved.order.cl_ord_id))
        if body.in_place is not None:
            self._follow(order, body.in_place)
        original = self._open.get((row.venue, approved.order.replaces or ""))
        if original is not None:
            if original.ord_status is OrdStatus.JOURNALED:
                original.apply(OrderEvent.RELEASED, row.ts_ns)
            original.apply(OrderEvent.REPLACE_SENT, row.ts_ns)

    # Refusals

    def _unsound(self, o: ProposedOrder) -> tuple[DenyReason, str] | None:
        """Why an order cannot be reckoned with; no such one is approved, so it says that something else failed."""
        legs, qty, price = o.legs, o.order_qty, o.price
        numbers = qty and is_number(qty) and (price is None or (price and is_number(price))) and o.ref_price.is_finite()
        if numbers and len(legs) == 1 and legs[0].qty is qty and o.trigger is None:
            return None
        text = unsound_order(o)
        return (DenyReason.FILTER_LOT, text) if text else None

    def _refusal(self, m: ApprovedOrder) -> tuple[DenyReason, str] | None:
        o = m.order
        instrument = self._instruments.get(o.instrument_id)
        if instrument is None:
            return DenyReason.UNKNOWN_INSTRUMENT, o.instrument_id
        if m.epoch < self._epoch:
            return DenyReason.PERMIT_EPOCH, f"approved under epoch {m.epoch}, now {self._epoch}"
        if len(self._open) >= self._config.open_orders_max:
            return DenyReason.MAX_INFLIGHT, f"{len(self._open)} orders are open"
        if o.trigger is not None or o.ord_type in WAITING:
            text = triggers.refusal(o, instrument.kind)
            if text is not None:
                return DenyReason.TRIGGER, text
        if o.stp is not None:
            text = stp.refusal(o.venue, o.stp)
            if text is not None:
                return DenyReason.STP_MODE, text
        if o.contingency is not None:
            text = contingency.refusal(o, contingency.legs_of(o, [*self._open.values(), *self._done.values()]))
            if text is not None:
                return DenyReason.CONTINGENCY, text
        if o.reduce_only:
            text = None if instrument.kind is _SPOT else self._flips(o)
            if text is not None:
                return DenyReason.REDUCE_ONLY, text
        if o.replaces is not None:
            original = self._open.get((o.venue, o.replaces))
            ready = original is not None and original.ord_status in REPLACEABLE
            if original is None or not ready or original.cancel_id or original.replaced_by:
                # Placing it anyway could execute one intent twice.
                return DenyReason.DUPLICATE, f"{o.replaces} cannot be replaced any more"
            if original.proposed.contingency is not None:
                return DenyReason.CONTINGENCY, f"{o.replaces} is a leg of a list: it is canceled and not replaced"
        return None

    def _flips(self, o: ProposedOrder) -> str | None:
        """Why a reduce-only order could turn the position round if all that is on its way executed first.

        The governor asks the same of what it was told; here are the executions and ends that are not told yet. Not for
        spot: such an account cannot be turned round, and what it held before us is not known here.
        """
        position = self._account(o.venue).net.get(o.instrument_id, _ZERO)
        leaves = leaves_of(self._open.values(), o.venue, o.instrument_id, o.side) if self._open else _ZERO
        if o.replaces is not None:
            leaves -= self._leaves_besides(o)
        if o.order_qty <= (position if o.side is _SELL else -position) - leaves:
            return None
        closable = room(position, o.side, leaves)
        return f"{o.side.value} {o.order_qty} could flip {position}: {leaves} are on their way, {closable} may go"

    def _deny(self, m: ApprovedOrder, reason: DenyReason, text: str, turn: Turn) -> None:
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


class _Checkpoint(msgspec.Struct, kw_only=True):
    seq: int
    open: list[Order]
    done: list[Order]
    accounts: dict[str, VenueAccount]
    standing: list[tuple[str, str, str]] = []


_CHECKPOINT_ENCODE: Callable[[_Checkpoint], bytes] = msgspec.msgpack.Encoder().encode
_CHECKPOINT_DECODE: Callable[[bytes], _Checkpoint] = msgspec.msgpack.Decoder(_Checkpoint).decode
