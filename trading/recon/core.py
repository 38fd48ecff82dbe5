"""Differences followed from the moment they are found until they are gone, explained or braked.

Three sides are compared: what the journal booked, what each venue lists of orders and executions, and what it says of
balances. Owns classes, deadlines, evidence, counts and the scopes to hold; repairs nothing itself: an execution is
taken in by the order core from the venue's own report, which is its journal row. What is asked for is asked after the
row that says why is durable.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument
from trading.ledger.portfolio import PAID_IN
from trading.orders.journal_rows import JournalKind, NoteBody, ReconcileBody, RowDraft, encode_body
from trading.orders.messages import AccountState, ExecType, FundingPayment, OrderFilled
from trading.orders.order import EXTERNAL
from trading.recon.cash import balance_differences, users_of
from trading.recon.config import ReconConfig
from trading.recon.daily import VenueFigures
from trading.recon.difference import (
    EVIDENCE_MAX,
    LATE,
    AccountCompared,
    Action,
    DiffClass,
    Difference,
    DiffEvent,
    DiffState,
    Subject,
)
from trading.recon.fills import Execution, differing, execution_of
from trading.recon.tracked import AskAccount, BookPaidIn, ReconEffect, Say, Tracked, WriteRows
from trading.recon.venue import Reading, VenueRecon

MS = 1_000_000
CAUSE = "recon"
"""The cause of the readings that are asked for here."""
DIFFS_MAX = 256
CLOSED_MAX = 256
FUNDINGS_MAX = 512
FACT = "diff"
"""The key in a journal note's facts that names a difference."""
FACT_OF = "explains"
"""The key under which a transfer's row names the difference that it explains."""
ACCEPTED = "accepted"
"""The key under which a row names a difference that an operator accepted as it is."""
COMMIT_IDS_FROM = 1 << 61
_OUTCOMES = {
    "listed": "booked from the venue's own report",
    "unlike": "both say the same now",
    "ghosts": "the venue's own list shows it now",
    "external": "booked, and the venue's own list confirms it",
}
_COUNTED = frozenset({Action.TAKE_IN, Action.BOOK_EXTERNAL, Action.CANCEL_ORPHAN})
"""Actions after which a difference that is gone was repaired, and not only explained."""


class ReconCore:
    """Feed it every fact that is booked and every account that is read; call `on_timer` now and then.

    ``cash`` answers the ledger's cash of a venue, ``price`` an asset's price in USD or None. Times are UTC nanoseconds.
    """

    def __init__(
        self,
        config: ReconConfig,
        instruments: Mapping[str, Instrument],
        venues: Iterable[str],
        *,
        cash: Callable[[str], Mapping[str, Decimal]],
        price: Callable[[str], Decimal | None],
    ) -> None:
        self._config = config
        self._instruments = instruments
        self._cash = cash
        self._price = price
        self.venues = {venue: VenueRecon(venue, config) for venue in venues}
        self.tracked: dict[str, Tracked] = {}
        self.closed: deque[Tracked] = deque(maxlen=CLOSED_MAX)
        self.total: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self.accepted: OrderedDict[str, str] = OrderedDict()
        self.overflowed = 0
        self._commit_id = COMMIT_IDS_FROM
        self._after: dict[int, AskAccount | BookPaidIn] = {}

    # Facts

    def opened(self, m: AccountState, now_ns: int) -> None:
        """The venue's first account ever: what it lists happened before our first day."""
        v = self._venue(m.venue)
        v.opened_ns = m.asked_ns or now_ns
        newest = max((e.ts_event_ns for e in m.executions), default=0)
        v.bookings.open_at((e.exec_id for e in m.executions), m.exec_seq, newest)
        for one in m.fundings:
            self._fund(v, one.funding_id, one.amount, confirmed=True)

    def resumed(self, venue: str, opened_ns: int, exec_ids: Iterable[str], exec_seq: int, floor_ns: int) -> None:
        """The same, out of the journal's baseline."""
        v = self._venue(venue)
        v.opened_ns = opened_ns
        v.bookings.open_at(exec_ids, exec_seq, floor_ns)

    def forget_before(self, ts_ns: int) -> None:
        """What was executed before a moment (the venue's time) is not looked at."""
        for v in self.venues.values():
            v.bookings.open_at((), 0, ts_ns)

    def booked(self, m: OrderFilled, now_ns: int, *, restored: bool = False) -> list[ReconEffect]:
        """An execution is in the books."""
        v = self._venue(m.venue)
        one = execution_of(m)
        v.bookings.add(one, now_ns)
        v.listed.pop(m.exec_id, None)
        if not restored:
            self._prove(v)
        if restored or not any(leg.strategy_id == EXTERNAL for leg in m.legs):
            return []
        diff = Difference(
            diff_class=DiffClass.EXTERNAL_REDUCTION,
            subject=Subject.EXECUTION,
            venue=m.venue,
            ref=m.exec_id,
            instrument_id=m.instrument_id,
            theirs=str(one),
            text=f"executed by no order of ours: {one}",
            evidence=(f"execution {one}",),
            since_ns=m.ts_event_ns,
        )
        v.external[m.exec_id] = diff
        v.next_ask_ns = min(v.next_ask_ns, now_ns)
        return self._found(v, "external", v.external.values(), now_ns)

    def funded(self, m: FundingPayment) -> None:
        """A funding settlement is in the books."""
        v = self._venue(m.venue)
        v.unbooked_fundings.discard(m.funding_id)
        self._fund(v, m.funding_id, m.amount, confirmed=False)
        self._prove(v)

    def _fund(self, v: VenueRecon, funding_id: str, amount: Decimal, *, confirmed: bool) -> None:
        v.fundings.setdefault(funding_id, (amount, confirmed))
        if len(v.fundings) > FUNDINGS_MAX:
            v.fundings.popitem(last=False)

    def cash_moved(self, venue: str, asset: str, before: Decimal, now_ns: int) -> None:
        """The ledger's cash changed; what it was."""
        self._venue(venue).cash.moved(asset, before, now_ns)

    def on_account(self, m: AccountState, now_ns: int) -> None:
        """A venue's own account, as it was read. What it lists is matched now, its balances when they have settled."""
        v = self._venue(m.venue)
        v.readings += 1
        asked_ns = m.asked_ns or m.ts_init_ns
        v.reading = Reading(
            asked_ns=asked_ns,
            read_ns=now_ns,
            exec_seq=m.exec_seq,
            balances=dict(m.balances),
            positions=dict(m.positions),
            open_orders=len(m.open_orders),
        )
        # One at a time: readings that follow each other closely must not put the comparison off for ever.
        v.pending = v.pending or v.reading
        for report in m.executions:
            if report.exec_type is ExecType.TRADE:
                self._match(v, execution_of(report), now_ns)
        for funding in m.fundings:
            self._match_funding(v, funding)
        if m.cause == CAUSE and v.asked_ns:
            v.deep_readings += 1
            self._match_back(v, asked_ns)
            v.asked_ns = 0
        self._prove(v)

    def _prove(self, v: VenueRecon) -> None:
        """Compare balances for the first time as soon as everything is booked that was listed with them."""
        if v.proved or v.reading is None or v.listed or v.unbooked_fundings:
            return
        v.proved = all(d.diff_class is DiffClass.DUST for d in self._balances(v, v.reading))

    def _balances(self, v: VenueRecon, reading: Reading) -> list[Difference]:
        return balance_differences(
            v.venue,
            reading.balances,
            self._cash(v.venue),
            v.cash,
            reading.asked_ns,
            dust=self._dust,
            scope_of=lambda asset: users_of(asset, v.venue, self._instruments),
        )

    def _match(self, v: VenueRecon, theirs: Execution, now_ns: int) -> None:
        ours = v.bookings.get(theirs.exec_id)
        if ours is None:
            if theirs.exec_id not in v.listed and v.bookings.judges(theirs) and len(v.listed) < DIFFS_MAX:
                v.listed[theirs.exec_id] = (theirs, now_ns)
            return
        fields = differing(ours, theirs)
        if not fields:
            v.unlike.pop(theirs.exec_id, None)
            v.bookings.confirm(theirs.exec_id)
        elif len(v.unlike) < DIFFS_MAX:
            v.unlike[theirs.exec_id] = Difference(
                diff_class=DiffClass.UNEXPLAINED,
                subject=Subject.EXECUTION,
                venue=v.venue,
                ref=theirs.exec_id,
                instrument_id=ours.instrument_id,
                ours=str(ours),
                theirs=str(theirs),
                text=f"{theirs.exec_id} differs in {', '.join(fields)}: venue {theirs}; booked {ours}",
            )

    def _match_funding(self, v: VenueRecon, m: FundingPayment) -> None:
        known = v.fundings.get(m.funding_id)
        if known is None:
            # The order core books what it lists in the same turn.
            if len(v.unbooked_fundings) < FUNDINGS_MAX:
                v.unbooked_fundings.add(m.funding_id)
            return
        amount, _ = known
        v.fundings[m.funding_id] = (amount, amount == m.amount)
        ref = f"funding:{m.funding_id}"
        if amount == m.amount:
            v.unlike.pop(ref, None)
        elif len(v.unlike) < DIFFS_MAX:
            v.unlike[ref] = Difference(
                diff_class=DiffClass.UNEXPLAINED,
                subject=Subject.FUNDING,
                venue=v.venue,
                ref=m.funding_id,
                instrument_id=m.instrument_id,
                ours=str(amount),
                theirs=str(m.amount),
                text=f"funding {m.funding_id}: venue {m.amount} {m.asset}, booked {amount}",
            )

    def _match_back(self, v: VenueRecon, asked_ns: int) -> None:
        """Which of ours a list should have held and did not: what was booked just now it may not show yet."""
        v.ghosts = {}
        for one in v.bookings.doubtful(v.asked_from_ns, asked_ns - self._config.late_ms * MS):
            if len(v.ghosts) >= DIFFS_MAX:
                break
            v.ghosts[one.exec_id] = Difference(
                diff_class=DiffClass.VENUE_LATE,
                subject=Subject.EXECUTION,
                venue=v.venue,
                ref=one.exec_id,
                instrument_id=one.instrument_id,
                ours=str(one),
                text=f"booked, and not in the venue's own list: {one}",
                since_ns=one.ts_event_ns,
            )

    def on_compared(self, m: AccountCompared, now_ns: int) -> list[ReconEffect]:
        """What the order core found in an account: what stands, and what it has taken in from it."""
        v = self._venue(m.venue)
        effects: list[ReconEffect] = []
        for diff in m.taken:
            late = now_ns - diff.since_ns < self._config.late_ms * MS
            found = msgspec.structs.replace(diff, diff_class=DiffClass.OURS_LATE) if late else diff
            self.total[found.diff_class.value] += 1
            if found.diff_class in LATE or diff.key in self.tracked:
                continue  # what is followed already is closed when it is seen to be gone
            taken = Tracked(diff=found, source="taken", state=DiffState.OPEN, opened_ns=now_ns, due_ns=now_ns)
            effects += self._close(taken, DiffEvent.GONE, "taken in from the venue's own report", now_ns)
        return effects + self._found(v, "orders", m.standing, now_ns)

    def on_committed(self, commit_id: int) -> list[ReconEffect]:
        """Rows are durable: what waited for them may be asked."""
        asked = self._after.pop(commit_id, None)
        return [] if asked is None else [asked]

    def adopt(self, venue: str, actor: str, cause: str, now_ns: int) -> tuple[list[ReconEffect], list[str]]:
        """An operator explains what holds a venue: what was done about it, in words.

        Balances are booked as paid in or taken out, once that is on record; executions and fundings of which two things
        are said are accepted as they are booked. Orders and positions are not explained but mended, at the venue. What
        is not braked yet may still explain itself.
        """
        effects: list[ReconEffect] = []
        words = []
        for tracked in self.standing(venue):
            if tracked.state is not DiffState.BRAKED or tracked.adopted:
                continue
            match tracked.diff.subject:
                case Subject.BALANCE:
                    said, text = self._paid_in(tracked, actor, cause, now_ns)
                case Subject.EXECUTION | Subject.FUNDING:
                    said, text = self._accept(tracked, actor, cause, now_ns)
                case Subject.ORDER | Subject.POSITION:
                    continue
            effects += said
            words.append(text)
        return effects, words

    def _paid_in(self, tracked: Tracked, actor: str, cause: str, now_ns: int) -> tuple[list[ReconEffect], str]:
        diff = tracked.diff
        amount = Decimal(diff.theirs) - Decimal(diff.ours)
        facts = {PAID_IN: diff.ref, "amount": str(amount), "actor": actor, FACT_OF: diff.key}
        text = f"{amount:+} {diff.ref}"
        row = self._write(now_ns, diff.venue, NoteBody(text=f"{text} on {diff.venue}: {cause}", facts=facts))
        ref = f"{diff.venue}:paid_in:{row.commit_id}"
        self._after[row.commit_id] = BookPaidIn(venue=diff.venue, asset=diff.ref, amount=amount, ref=ref)
        tracked.adopted = True
        return [row], text

    def _accept(self, tracked: Tracked, actor: str, cause: str, now_ns: int) -> tuple[list[ReconEffect], str]:
        diff = tracked.diff
        self.accept(diff.key, diff.text)
        self._venue(diff.venue).bookings.confirm(diff.ref)
        facts = {ACCEPTED: diff.key, "actor": actor, "cause": cause}
        row = self._write(now_ns, diff.venue, NoteBody(text=diff.text, facts=facts))
        outcome = f"accepted by {actor}: {cause}"
        return [row, *self._close(tracked, DiffEvent.ACCEPTED, outcome, now_ns)], f"accepted: {diff.text}"

    def accept(self, key: str, text: str) -> None:
        """A difference that is as it was when somebody accepted it is none any more."""
        self.accepted[key] = text
        if len(self.accepted) > DIFFS_MAX:
            self.accepted.popitem(last=False)

    # Time

    def on_timer(self, now_ns: int) -> list[ReconEffect]:
        """Compare what has settled, see to what is overdue, ask for the next readings."""
        effects: list[ReconEffect] = []
        for v in self.venues.values():
            pending = v.pending
            if pending is not None and now_ns - pending.read_ns >= self._config.settle_ms * MS:
                v.pending = v.reading if v.reading is not pending else None
                effects += self._settled(v, pending, now_ns)
            if v.reading is None:
                continue
            # Half of the window is not confirmed, or the question was lost, or nobody asked: it is reconciled just now.
            soon = 2 * v.bookings.unconfirmed > self._config.executions_max or v.asked_ns
            if now_ns >= v.next_ask_ns or (soon and now_ns >= v.asked_last_ns + self._config.crowded_ms * MS):
                v.next_ask_ns = now_ns + self._config.interval_ms * MS
                effects.append(self._ask(v, now_ns))
        for tracked in [t for t in self.tracked.values() if t.state is DiffState.OPEN and now_ns >= t.due_ns]:
            effects += self._overdue(tracked, now_ns)
        return effects

    def _ask(self, v: VenueRecon, now_ns: int) -> AskAccount:
        from_ns = max(now_ns - self._config.lookback_ms * MS, v.opened_ns)
        since_ns, since_seq = v.bookings.since(from_ns)
        v.asked_ns = v.asked_last_ns = now_ns
        v.asked_from_ns = since_ns or now_ns
        return AskAccount(venue=v.venue, since_ns=since_ns, since_exec_seq=since_seq if since_ns else None)

    def _settled(self, v: VenueRecon, reading: Reading, now_ns: int) -> list[ReconEffect]:
        effects: list[ReconEffect] = []
        listed = [self._unbooked(v, one, at_ns, now_ns) for one, at_ns in v.listed.values()]
        effects += self._found(v, "listed", listed, now_ns)
        effects += self._found(v, "unlike", v.unlike.values(), now_ns)
        effects += self._found(v, "ghosts", [d for d in v.ghosts.values() if self._unconfirmed(v, d.ref)], now_ns)
        v.external = {ref: d for ref, d in v.external.items() if self._unconfirmed(v, ref)}
        effects += self._found(v, "external", v.external.values(), now_ns)
        balances = self._balances(v, reading)
        v.proved = v.proved or all(d.diff_class is DiffClass.DUST for d in balances)
        effects += self._found(v, "cash", balances, now_ns)
        clean = not any(t.diff.venue == v.venue and t.state is not DiffState.HEALED for t in self.tracked.values())
        if clean:
            v.clean_ns = now_ns
        if clean != v.stated_ok or now_ns - v.stated_ns >= self._config.statement_ms * MS:
            effects += self.state(v.venue, now_ns)
        return effects

    def state(self, venue: str, now_ns: int) -> list[ReconEffect]:
        """Have the journal say how the venue stands, with its own figures."""
        v = self._venue(venue)
        reading = v.reading
        if reading is None:
            return []
        standing = [t for t in self.tracked.values() if t.diff.venue == venue and t.state is not DiffState.HEALED]
        v.stated_ns, v.stated_ok = now_ns, not standing
        text = f"compared: {v.bookings.confirmed} of {v.bookings.booked} executions confirmed, {len(standing)} differ"
        body = ReconcileBody(
            ok=not standing,
            text=text,
            exec_seq=0,
            baseline=False,
            positions={k: str(q) for k, q in sorted(reading.positions.items())},
            balances={k: str(q) for k, q in sorted(reading.balances.items())},
        )
        return [self._write(now_ns, venue, body)]

    @staticmethod
    def _unconfirmed(v: VenueRecon, exec_id: str) -> bool:
        return v.bookings.is_unconfirmed(exec_id)

    def _unbooked(self, v: VenueRecon, one: Execution, first_ns: int, now_ns: int) -> Difference:
        late = now_ns - first_ns < self._config.late_ms * MS
        return Difference(
            diff_class=DiffClass.OURS_LATE if late else DiffClass.MISSING_FILL,
            subject=Subject.EXECUTION,
            venue=v.venue,
            ref=one.exec_id,
            instrument_id=one.instrument_id if one.instrument_id in self._instruments else "",
            theirs=str(one),
            text=f"executed at the venue, not booked: {one}",
            evidence=(f"the venue lists {one}",),
            since_ns=one.ts_event_ns,
        )

    def _dust(self, asset: str) -> Decimal:
        price = self._price(asset)
        return self._config.dust_usd / price if price else Decimal(0)

    # Following

    def _found(self, v: VenueRecon, source: str, found: Iterable[Difference], now_ns: int) -> list[ReconEffect]:
        """One comparison of one kind: everything it found; what it does not find any more is gone."""
        effects: list[ReconEffect] = []
        keys = set()
        for diff in found:
            if self.accepted.get(diff.key) == diff.text:
                continue
            keys.add(diff.key)
            effects += self._see(source, diff, now_ns)
        gone = [
            t
            for t in self.tracked.values()
            if t.source == source and t.diff.venue == v.venue and t.diff.key not in keys
        ]
        for tracked in gone:
            outcome = _OUTCOMES.get(source, "equal at the next comparison")
            effects += self._close(tracked, DiffEvent.GONE, outcome, now_ns)
        return effects

    def _see(self, source: str, diff: Difference, now_ns: int) -> list[ReconEffect]:
        tracked = self.tracked.get(diff.key)
        if tracked is None:
            return self._open(source, diff, now_ns)
        if tracked.diff.text != diff.text or tracked.diff.diff_class is not diff.diff_class:
            # It goes on as what it has become, and never back to being merely late.
            escalated = diff.diff_class in LATE and tracked.diff.diff_class not in LATE
            kept = tracked.diff.diff_class if escalated else diff.diff_class
            if kept is not tracked.diff.diff_class:
                return self._become(tracked, msgspec.structs.replace(diff, diff_class=kept), now_ns)
            tracked.diff = msgspec.structs.replace(diff, diff_class=kept)
            tracked.adopted = False
        tracked.sightings += 1
        if tracked.state is not DiffState.HEALED:
            tracked.apply(DiffEvent.SEEN)
        return []

    def _open(self, source: str, diff: Difference, now_ns: int) -> list[ReconEffect]:
        if len(self.tracked) >= DIFFS_MAX:
            self.overflowed += 1
            return []
        tracked = Tracked(
            diff=diff, source=source, state=DiffState.OPEN, opened_ns=now_ns, due_ns=now_ns + self._patience_ns(diff)
        )
        self.tracked[diff.key] = tracked
        self.total[diff.diff_class.value] += 1
        return self._begun(tracked, now_ns)

    def _become(self, tracked: Tracked, diff: Difference, now_ns: int) -> list[ReconEffect]:
        tracked.diff = diff
        tracked.sightings += 1
        tracked.due_ns = now_ns + self._patience_ns(diff)
        if tracked.state is DiffState.HEALED:
            tracked.apply(DiffEvent.SEEN)
        self.total[diff.diff_class.value] += 1
        return self._begun(tracked, now_ns)

    def _begun(self, tracked: Tracked, now_ns: int) -> list[ReconEffect]:
        """A class has begun for it: dust is accepted at once, what is late waits, of all else the journal is told."""
        diff = tracked.diff
        if diff.diff_class is DiffClass.DUST:
            tracked.apply(DiffEvent.ACCEPTED)
            tracked.outcome = "accepted: below what is worth asking about"
            return [self._row(tracked, now_ns)]
        if diff.diff_class in LATE:
            return []
        row = self._row(tracked, now_ns)
        v = self._venue(diff.venue)
        if diff.action in {Action.TAKE_IN, Action.ASK} and v.reading is not None:
            v.next_ask_ns = now_ns + self._config.interval_ms * MS
            self._after[row.commit_id] = self._ask(v, now_ns)
        said = Say("warning", "DIFF_OPEN", f"{diff.diff_class.value}: {diff.text}", tracked.body())
        return [row, said]

    def _overdue(self, tracked: Tracked, now_ns: int) -> list[ReconEffect]:
        diff = tracked.diff
        if diff.diff_class in LATE:
            unbooked = diff.diff_class is DiffClass.OURS_LATE and diff.subject is Subject.EXECUTION
            later = DiffClass.MISSING_FILL if unbooked else DiffClass.UNEXPLAINED
            return self._become(tracked, msgspec.structs.replace(diff, diff_class=later), now_ns)
        v = self._venue(diff.venue)
        if tracked.sightings < 2 and now_ns - tracked.opened_ns < 3 * self._patience_ns(diff) and v.reading is not None:
            # Nobody has looked again yet: one look may have been the wrong moment.
            tracked.due_ns = now_ns + self._patience_ns(diff)
            v.next_ask_ns = now_ns + self._config.interval_ms * MS
            return [self._ask(v, now_ns)]
        tracked.apply(DiffEvent.OVERDUE)
        text = f"{diff.scope} is held: {diff.diff_class.value}: {diff.text}"
        return [self._row(tracked, now_ns), Say("error", "DIFF_BRAKED", text, tracked.body())]

    def _close(self, tracked: Tracked, event: DiffEvent, outcome: str, now_ns: int) -> list[ReconEffect]:
        diff = tracked.diff
        self.tracked.pop(diff.key, None)
        if diff.diff_class is DiffClass.DUST:
            return []
        tracked.apply(event)
        tracked.closed_ns, tracked.outcome = now_ns, outcome
        if diff.diff_class in LATE:
            return []
        evidence = diff.evidence if outcome in diff.evidence else (*diff.evidence, outcome)
        tracked.diff = msgspec.structs.replace(diff, evidence=evidence[-EVIDENCE_MAX:])
        if diff.action in _COUNTED:
            self.repairs[diff.diff_class.value] += 1
        self.closed.append(tracked)
        text = f"{diff.diff_class.value}: {diff.text}: {outcome}"
        return [self._row(tracked, now_ns), Say("info", "DIFF_HEALED", text, tracked.body())]

    def _patience_ns(self, diff: Difference) -> int:
        return patience_ms(diff.diff_class, self._config) * MS

    def ask_now(self, now_ns: int) -> None:
        """Have every venue read at the next `on_timer`."""
        for v in self.venues.values():
            v.next_ask_ns = min(v.next_ask_ns, now_ns)

    # Views

    def figures(self, venue: str, since_ns: int = 0, *, settled: bool = True) -> VenueFigures | None:
        """What the venue said of itself when it was read after a moment; None when it was not, or has not settled."""
        v = self._venue(venue)
        reading = v.reading
        if reading is None or (settled and v.pending is not None) or reading.asked_ns < since_ns:
            return None
        booked = v.bookings.booked - v.bookings.forgotten
        deviations = {
            t.diff.ref: t.diff.text
            for t in self.standing(venue)
            if t.diff.subject in {Subject.BALANCE, Subject.POSITION}
        }
        return VenueFigures(
            read_ns=reading.read_ns,
            balances={k: str(q) for k, q in reading.balances.items()},
            positions={k: str(q) for k, q in reading.positions.items()},
            booked=booked,
            confirmed=booked - v.bookings.unconfirmed_before(reading.asked_ns - self._config.late_ms * MS),
            unlooked=v.bookings.forgotten,
            deviations=deviations,
        )

    def unproved(self) -> dict[str, str]:
        """The venues whose balances were not the ledger's yet since this life began: nothing is traded there before."""
        return {v.venue: "its balances were not compared yet" for v in self.venues.values() if not v.proved}

    def held(self) -> dict[str, str]:
        """The scopes that must be held, and why."""
        found: dict[str, str] = {}
        for tracked in self.tracked.values():
            if tracked.state is DiffState.BRAKED:
                diff = tracked.diff
                found.setdefault(diff.scope, f"{diff.diff_class.value}: {diff.text}"[:200])
        if self.overflowed and len(self.tracked) >= DIFFS_MAX:
            found.setdefault("global", f"more than {DIFFS_MAX} differences: they are not followed one by one any more")
        return found

    def standing(self, venue: str = "") -> list[Tracked]:
        """What is open or braked, the oldest first."""
        return [t for t in self.tracked.values() if t.state is not DiffState.HEALED and venue in {"", t.diff.venue}]

    # Inside

    def _venue(self, venue: str) -> VenueRecon:
        found = self.venues.get(venue)
        if found is None:
            found = self.venues[venue] = VenueRecon(venue, self._config)
        return found

    def _row(self, tracked: Tracked, now_ns: int) -> WriteRows:
        diff = tracked.diff
        facts = {
            FACT: diff.key,
            "class": diff.diff_class.value,
            "state": tracked.state.value,
            "action": diff.action.value,
            "scope": diff.scope,
            "ours": diff.ours,
            "theirs": diff.theirs,
            "evidence": "; ".join(diff.evidence),
        }
        return self._write(now_ns, diff.venue, NoteBody(text=diff.text, facts=facts))

    def _write(self, now_ns: int, venue: str, body: NoteBody | ReconcileBody) -> WriteRows:
        self._commit_id += 1
        row = RowDraft(now_ns, JournalKind.RECONCILE, venue, "", None, "", 0, encode_body(body))
        return WriteRows(self._commit_id, (row,))


def patience_ms(diff_class: DiffClass, config: ReconConfig) -> int:
    """How long a difference of a class may last before it is something worse, or holds its scope."""
    match diff_class:
        case DiffClass.OURS_LATE:
            return config.late_ms
        case DiffClass.VENUE_LATE | DiffClass.EXTERNAL_REDUCTION:
            return config.visible_ms
        case DiffClass.FOREIGN_ORDER | DiffClass.MISSING_FILL | DiffClass.DUST | DiffClass.UNEXPLAINED:
            return config.brake_ms
