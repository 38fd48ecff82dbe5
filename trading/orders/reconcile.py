"""The desk's account against the venue's: missing executions are taken in, then orders and positions are compared.

A mismatch becomes a verdict, never an invented fill; nothing is closed by inference. What differs is also told
one by one, with its class, to whoever follows it (`trading.recon`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.orders.effects import Effect, Emit, SendToVenue
from trading.orders.evidence import Evidence
from trading.orders.inbox import VenueAccount
from trading.orders.journal_rows import (
    JournalKind,
    NoteBody,
    ReconcileBody,
)
from trading.orders.messages import (
    AccountState,
    ExecType,
    ExecutionReport,
    OrderCancelRequest,
    OrdStatus,
)
from trading.orders.state import MS
from trading.orders.turn import Turn
from trading.recon.difference import AccountCompared, DiffClass, Difference, Subject


class Reconciliation(Evidence):
    """The order core's judgement of whole accounts; see `OrderCore`."""

    def _account_state(self, m: AccountState, turn: Turn) -> None:
        account = self._account(m.venue)
        compared = account.reconciling
        if account.reconciling and not account.has_baseline and not self._knows(m.venue):
            self._baseline(m, turn)
        taken = [d for d in [self._taken(r, turn) for r in _in_order(m.executions)] if d is not None]
        for funding in sorted(m.fundings, key=lambda f: (f.exec_seq, f.ts_event_ns)):
            self._funding(funding, turn)
        account.inbox.covered(m.exec_seq)
        wanted_ns = account.wanted_since_ns
        complete = m.exec_seq >= account.inbox.newest if m.numbered else wanted_ns is None or m.asked_ns >= wanted_ns
        if m.numbered or complete:
            account.wanted_since_ns = None
        found = self._open_orders_compared(m, turn, complete=complete)
        if not m.numbered:
            found += positions_never_held(m, account, self._instruments)
        elif complete:
            found += position_mismatches(m, account.net, self._instruments)
        if not any(d.subject is Subject.POSITION and d.instrument_id not in self._instruments for d in found):
            # Else something was executed that the desk cannot read yet: it stays in reach until it can.
            account.listed_ns = max(account.listed_ns, m.asked_ns)
        if compared or not account.reconciling:
            self._verdict(m, account, found, turn, stale=m.numbered and not complete and account.reconciling)
        # Else something in it was not as it must be: what is said of that stands until the next comparison.
        if taken or found or account.differed:
            account.differed = bool(found)
            turn.held.append(
                Emit(
                    message=AccountCompared(
                        venue=m.venue, standing=tuple(found), taken=tuple(taken), ts_init_ns=turn.now
                    )
                )
            )

    def look_back(
        self, venue: str, cause: str, now_ns: int, *, since_ns: int = 0, since_exec_seq: int | None = None
    ) -> list[Effect]:
        """Have the account read from an earlier point on, never from a later one than the core itself needs.

        Nothing while the account is being reconciled: that reads it already.
        """
        account = self._account(venue)
        if account.reconciling or not account.has_baseline:
            return []
        turn = Turn(now_ns)
        request = self._account_request(venue, cause, turn)
        earliest = request.since_exec_seq if since_exec_seq is None else min(request.since_exec_seq, since_exec_seq)
        since = min(request.since_ns, since_ns) if since_ns and request.since_ns else request.since_ns
        request = msgspec.structs.replace(request, since_exec_seq=max(earliest, account.inbox.floor), since_ns=since)
        turn.said.append(SendToVenue(command=request))
        return self._close(turn)

    def _taken(self, m: ExecutionReport, turn: Turn) -> Difference | None:
        """Take a listed execution in; what was missing, if it was one of ours and had not come before."""
        inbox = self._account(m.venue).inbox
        before = inbox.duplicates
        self._execution(m, turn)
        order = self._meant(m.venue, m.cl_ord_id)
        if m.exec_type is not ExecType.TRADE or inbox.duplicates != before or order is None:
            return None
        what = f"{m.exec_id} {m.side.value} {m.last_qty} {m.instrument_id} at {m.last_px} of {m.cl_ord_id}"
        return Difference(
            diff_class=DiffClass.MISSING_FILL,
            subject=Subject.EXECUTION,
            venue=m.venue,
            ref=m.exec_id,
            instrument_id=m.instrument_id,
            theirs=what,
            text=f"executed, and first heard of from the venue's own list: {what}",
            evidence=(f"the venue lists {what}",),
            since_ns=m.ts_event_ns,
        )

    def _knows(self, venue: str) -> bool:
        account = self._account(venue)
        inbox = account.inbox
        return bool(account.net or inbox.newest or inbox.newest_ns) or any(
            key[0] == venue for key in (*self._open, *self._done)
        )

    def _baseline(self, m: AccountState, turn: Turn) -> None:
        """The journal knows nothing of this venue: what is there now is what the desk opens with."""
        body = ReconcileBody(
            ok=True,
            text="baseline",
            exec_seq=m.exec_seq,
            baseline=True,
            positions={k: str(v) for k, v in m.positions.items()},
            balances={k: str(v) for k, v in m.balances.items()},
            exec_ids=() if m.numbered else tuple(report.exec_id for report in m.executions),
            floor_ns=0 if m.numbered else max((report.ts_event_ns for report in m.executions), default=0),
            asked_ns=m.asked_ns,
        )
        self._row(turn, JournalKind.RECONCILE, None, body, venue=m.venue)
        self._rebase(m.venue, body)

    def _rebase(self, venue: str, body: ReconcileBody) -> None:
        account = self._account(venue)
        account.has_baseline = True
        account.net = {k: Decimal(v) for k, v in body.positions.items()}
        account.inbox.floor = body.exec_seq
        account.inbox.covered(body.exec_seq)
        account.inbox.before_us(body.exec_ids, body.floor_ns)

    def _open_orders_compared(self, m: AccountState, turn: Turn, *, complete: bool) -> list[Difference]:
        """``complete``: every execution up to the snapshot is applied."""
        found: list[Difference] = []
        listed = set()
        for report in m.open_orders:
            listed.add(report.cl_ord_id)
            order = self._meant(m.venue, report.cl_ord_id)
            if order is not None:
                self._status(order, report, turn)
                order = self._meant(m.venue, report.cl_ord_id) or order
                ended_before = complete if m.numbered else order.moved_ns < m.asked_ns
                if not order.is_open and not order.never_found and ended_before:
                    here = order.ord_status.value
                    text = f"{report.cl_ord_id} is open at the venue, here {here}"
                    found.append(_order_difference(report, DiffClass.VENUE_LATE, text, here))
            else:
                ours = self._cancel_unjournalled(report, turn)
                text = f"open order {report.cl_ord_id} is not in the journal"
                found.append(_order_difference(report, DiffClass.FOREIGN_ORDER, text, "", ours_mark=ours))
        for order in self.open_orders():
            if order.venue != m.venue or order.wire_id in listed:
                continue
            if order.awaited is not None:
                if complete:
                    # The sum of what was executed still is not what the venue counted.
                    text = f"{order.cl_ord_id}: venue counted {order.venue_cum_qty}, executions give {order.cum_qty}"
                    self._judged(m.venue, turn, ok=False, text=text)
                    note = NoteBody(text=text, facts={"event": order.awaited.value})
                    self._noted(JournalKind.CANCELED, order, note, turn)
            elif order.acked and order.sent_ns < (m.asked_ns or self._account(m.venue).asked_ns):
                order.absent = True
                if order.next_query_ns is None:
                    self._query(order, turn)
        return found

    def _cancel_unjournalled(self, m: ExecutionReport, turn: Turn) -> bool:
        """An order with our mark that no journal of ours knows must not stay live; others' are not ours to touch.

        Whether it has our mark.
        """
        if not self._config.id_prefix or not m.cl_ord_id.startswith(self._config.id_prefix):
            return False
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
        return True

    def _verdict(
        self, m: AccountState, account: VenueAccount, found: list[Difference], turn: Turn, *, stale: bool
    ) -> None:
        troubles = [difference.text for difference in found]
        # As narrow as what differs: every instrument of it, or the venue where it concerns more than instruments.
        scopes = tuple(dict.fromkeys(difference.instrument_id for difference in found))
        scopes = () if "" in scopes else scopes
        if not account.reconciling:
            # One miss may be an event in flight; the same again at the next audit is a fact.
            account.audit_misses = account.audit_misses + 1 if troubles else 0
            if account.audit_misses == 2:
                account.held = list(scopes)
                self._judge(m, ok=False, text="; ".join(troubles), turn=turn, instrument_ids=scopes)
            return
        if account.held and troubles and not (scopes and set(scopes) <= set(account.held)):
            # It concerns more than was held for it.
            account.held = [*account.held, *(s for s in scopes if s not in account.held)] if scopes else []
            self._judge(m, ok=False, text="; ".join(troubles), turn=turn, instrument_ids=tuple(account.held))
        if stale:
            troubles.append("the snapshot is older than what was applied")
        for order in self.open_orders():
            of_older_epoch = order.approved.epoch < self._epoch and not order.guards
            if order.venue != m.venue or not (of_older_epoch or order.ord_status is OrdStatus.UNKNOWN):
                continue
            troubles.append(f"{order.cl_ord_id} is {order.ord_status.value}")
            if of_older_epoch and not order.cancel_id:
                self._cancel_again(order, "stale: of an older epoch", turn)
        if not troubles:
            account.reconciling, account.next_ask_ns, account.audit_misses = False, None, 0
            account.held = []
            self._judge(m, ok=True, text=f"clean at {m.exec_seq} in round {account.round + 1}", turn=turn)
            return
        ladder = self._config.reconcile_ladder_ms
        account.next_ask_ns = turn.now + ladder[min(account.round, len(ladder) - 1)] * MS
        account.round += 1
        if account.round >= self._config.reconcile_rounds_max and not account.refused:
            account.refused = True
            self._judge(m, ok=False, text="; ".join(troubles), turn=turn)

    def _judge(self, m: AccountState, *, ok: bool, text: str, turn: Turn, instrument_ids: tuple[str, ...] = ()) -> None:
        body = ReconcileBody(
            ok=ok,
            text=text,
            exec_seq=m.exec_seq,
            baseline=False,
            positions={k: str(v) for k, v in m.positions.items()},
            balances={k: str(v) for k, v in m.balances.items()},
            asked_ns=self._account(m.venue).listed_ns,
        )
        self._row(turn, JournalKind.RECONCILE, None, body, venue=m.venue)
        self._judged(m.venue, turn, ok=ok, text=text, instrument_ids=instrument_ids)


def _in_order(executions: Iterable[ExecutionReport]) -> list[ExecutionReport]:
    return sorted(executions, key=lambda r: (r.exec_seq, r.ts_event_ns, r.trade_seq))


def _order_difference(
    m: ExecutionReport, diff_class: DiffClass, text: str, ours: str, *, ours_mark: bool = False
) -> Difference:
    theirs = f"{m.ord_status.value} {m.side.value} {m.order_qty} at {m.price}, executed {m.cum_qty}"
    return Difference(
        diff_class=diff_class,
        subject=Subject.ORDER,
        venue=m.venue,
        ref=m.cl_ord_id,
        instrument_id=m.instrument_id,
        ours=ours,
        theirs=theirs,
        text=text,
        evidence=(f"the venue lists {m.cl_ord_id} as {theirs}",),
        since_ns=m.ts_event_ns,
        ours_mark=ours_mark,
    )


def _position_difference(venue: str, instrument_id: str, theirs: Decimal, ours: Decimal) -> Difference:
    return Difference(
        diff_class=DiffClass.UNEXPLAINED,
        subject=Subject.POSITION,
        venue=venue,
        ref=instrument_id,
        instrument_id=instrument_id,
        ours=str(ours),
        theirs=str(theirs),
        text=f"{instrument_id}: venue {theirs}, ours {ours}",
    )


def position_mismatches(
    state: AccountState, net: Mapping[str, Decimal], instruments: Mapping[str, Instrument]
) -> list[Difference]:
    """Where the venue's positions are not ours. Spot is compared by balances, in the ledger's terms."""
    found = []
    for instrument_id in sorted(set(state.positions) | set(net)):
        instrument = instruments.get(instrument_id)
        if instrument is not None and instrument.kind is InstrumentKind.SPOT:
            continue
        ours = net.get(instrument_id, Decimal(0))
        theirs = state.positions.get(instrument_id, Decimal(0))
        if ours != theirs:
            found.append(_position_difference(state.venue, instrument_id, theirs, ours))
    return found


def positions_never_held(
    state: AccountState, account: VenueAccount, instruments: Mapping[str, Instrument]
) -> list[Difference]:
    """Where a venue that does not number its events names a position that was not ours at any time since the question.

    Executions may come in between the question and the answer; a position that we passed through is no difference.
    """
    found = []
    for instrument_id in sorted(set(state.positions) | set(account.net)):
        instrument = instruments.get(instrument_id)
        if instrument is not None and instrument.kind is InstrumentKind.SPOT:
            continue
        theirs = state.positions.get(instrument_id, Decimal(0))
        if theirs not in account.held_since(instrument_id, state.asked_ns):
            ours = account.net.get(instrument_id, Decimal(0))
            found.append(_position_difference(state.venue, instrument_id, theirs, ours))
    return found
