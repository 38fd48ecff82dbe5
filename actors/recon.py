"""Reconciliation beside the portfolio: follows what differs, checks the invariants, makes the day's statement.

A part of the portfolio's actor, because it compares what that actor booked: one mailbox, one order of facts. Owns the
differences, the brakes that they ask for, the reports and what operators are told. Books nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import AccountWanted, AppendRows, BrakeSet, BrakesStated
from adapters.reports import write_report
from trading.brakes import Level
from trading.ledger.portfolio import DAY_NS
from trading.operators import CommandAnswered, OperatorCommand, Published, Topic
from trading.orders.journal_rows import (
    FundingBody,
    JournalKind,
    JournalRow,
    NoteBody,
    ReconcileBody,
    ReportBody,
    RowBody,
    RowDraft,
    encode_body,
)
from trading.orders.messages import AccountState, InternalCross, OrderFilled
from trading.orders.order import filled
from trading.recon.books import Books, Fact, Snapshot
from trading.recon.config import ReconConfig
from trading.recon.core import ACCEPTED, CAUSE, ReconCore
from trading.recon.daily import DayStatement, VenueFigures, day_of, statement
from trading.recon.difference import AccountCompared, DiffClass, DiffState
from trading.recon.invariants import WORDS, Violation
from trading.recon.report import markdown
from trading.recon.tracked import AskAccount, BookPaidIn, ReconEffect, Say, Tracked, WriteRows

DIFF = "ACCOUNT_DIFF"
DAY = "DAY_DIFF"
INVARIANT = "INVARIANT"
START = "CASH_UNPROVED"
OWNER = "recon"
STATEMENT = "statement"
"""The key in a journal note's facts that names the day of a statement."""
_CHECK_NS = 1_000_000_000
_TELL_NS = 2_000_000_000
_HEAL_AGAIN_NS = 60_000_000_000
_EVENTS_A_TICK = 8
_SHOWN = 64
_VIOLATIONS_KEPT = 64
_STATEMENTS_KEPT = 7
INVARIANT_IDS_FROM = (1 << 61) + (1 << 60)
Tell = Callable[[str, object], None]


class ReconSetup(msgspec.Struct, frozen=True, kw_only=True):
    """``reports`` is the folder of the statements, None: nowhere. ``ops`` None: nobody looks."""

    config: ReconConfig
    venues: tuple[str, ...]
    reports: Path | None = None
    journal: str = "journal"
    orders: str = "orders"
    governor: str = "governor"
    ops: str | None = "ops"
    cell: str = "desk"


class Ended(msgspec.Struct, kw_only=True):
    """A day that is over, and whose statement waits for the venues, or for what deviates to be mended."""

    start: Snapshot
    end: Snapshot
    since_ns: int
    said: DayStatement | None = None
    figures: dict[str, VenueFigures] = {}


class ReconDesk:
    """One per portfolio. ``reread`` has the books rebuilt from the journal and comes back through `rebuilt`."""

    def __init__(
        self, setup: ReconSetup, books: Books, tell: Tell, *, name: str, reread: Callable[[], None], now_ns: int
    ) -> None:
        self._setup = setup
        self._books = books
        self._tell = tell
        self._name = name
        self._reread = reread
        self.core = ReconCore(
            setup.config,
            books.instruments,
            setup.venues,
            cash=self._cash,
            price=self._price,
        )
        self._day = now_ns // DAY_NS
        self._day_start = self._session_start = books.snapshot(now_ns)
        self._ended: deque[Ended] = deque(maxlen=_STATEMENTS_KEPT)
        self.statements: deque[DayStatement] = deque(maxlen=_STATEMENTS_KEPT)
        self._day_held: dict[str, str] = {}
        self.checks = 0
        self.violations_total = 0
        self.healed_total = 0
        self._standing: list[Violation] = []
        self._healing = False
        self._tried_ns = 0
        self._history: deque[dict[str, object]] = deque(maxlen=_VIOLATIONS_KEPT)
        self._checked_ns = 0
        self._told_ns = 0
        self._stated: tuple[BrakeSet, ...] | None = None
        self._events = 0
        self._said = 0
        self._commit_id = INVARIANT_IDS_FROM
        self._unproved: dict[str, str] = {}
        self._see_proved()

    # Life

    def begin(self, rows: Iterable[JournalRow], books: Books, now_ns: int) -> None:
        """Rebuild the books from the journal, and learn from it what is looked back on."""
        from_ns = now_ns - self._setup.config.lookback_ms * 1_000_000
        self.core.forget_before(from_ns)

        stated: set[str] = set()

        def seen(row: JournalRow, body: RowBody) -> None:
            if isinstance(body, NoteBody) and STATEMENT in body.facts:
                stated.add(body.facts[STATEMENT])
            elif isinstance(body, ReconcileBody) and body.baseline:
                self.core.resumed(row.venue, body.asked_ns or row.ts_ns, body.exec_ids, body.exec_seq, body.floor_ns)
            elif isinstance(body, NoteBody) and ACCEPTED in body.facts:
                self.core.accept(body.facts[ACCEPTED], body.text)
            elif row.ts_ns < from_ns:
                return
            elif isinstance(body, ReportBody) and body.executed:
                self.core.booked(filled(body.report, body.legs, row.cl_ord_id), row.ts_ns, restored=True)
            elif isinstance(body, FundingBody):
                self.core.funded(body.funding)

        self._books = books
        starts = books.rebuild(rows, seen)
        self._session_start = books.snapshot(now_ns)
        today = self._day = now_ns // DAY_NS
        self._day_start = starts.get(today) or books.snapshot(today * DAY_NS)
        for day, start in starts.items():
            # A day that ended while nobody ran is closed by whoever runs next.
            if day < today and day_of(start.ts_ns) not in stated and day == max(d for d in starts if d < today):
                end = msgspec.structs.replace(self._day_start, ts_ns=(day + 1) * DAY_NS)
                self._ended.append(Ended(start=start, end=end, since_ns=now_ns))

    def rebuilt(self, books: Books, now_ns: int) -> None:
        """The books are new: were they healed by that?"""
        self._books = books
        self._healing = False
        self._check(now_ns)

    # Facts

    def folded(self, fact: Fact, moved: Iterable[tuple[str, Decimal]], now_ns: int) -> None:
        """A fact was booked; the cash that it moved at its venue, and what that was before."""
        if isinstance(fact, InternalCross):
            return
        for asset, was in moved:
            self.core.cash_moved(fact.venue, asset, was, now_ns)
        if isinstance(fact, OrderFilled):
            self._perform(self.core.booked(fact, now_ns), now_ns)
        else:
            self.core.funded(fact)
        if self._unproved:
            self._see_proved()

    def account(self, m: AccountState, now_ns: int, *, first: bool) -> None:
        """A venue's own account; ``first``: the desk opens with it."""
        if first:
            self.core.opened(m, now_ns)
        self.core.on_account(m, now_ns)
        if self._unproved:
            self._see_proved()

    def _see_proved(self) -> None:
        """What balances prove at a start is said at once: a venue waits for nothing else."""
        found = self.core.unproved()
        if found != self._unproved:
            self._unproved = found
            self._state_brakes()

    def compared(self, m: AccountCompared, now_ns: int) -> None:
        """What the order core found in it."""
        self._perform(self.core.on_compared(m, now_ns), now_ns)

    def committed(self, commit_ids: Iterable[int], now_ns: int) -> None:
        """Rows are durable."""
        for commit_id in commit_ids:
            self._perform(self.core.on_committed(commit_id), now_ns)

    def adopt(self, m: OperatorCommand, now_ns: int) -> None:
        """An operator says what a venue's balances differ by: booked when that is on record."""
        effects, words = self.core.adopt(m.scope.removeprefix("venue:"), m.actor, m.cause, now_ns)
        self._perform(effects, now_ns)
        if words:
            text = f"{m.scope}: {'; '.join(words)}"
            self._event("warning", "RECON_ADOPTED", f"{m.actor}: {text}: {m.cause}", now_ns)
        else:
            text = f"nothing that could be explained holds {m.scope}; /api/ui/recon/diffs has what differs"
        answer = CommandAnswered(command_id=m.command_id, done=bool(words), text=text, body={}, ts_ns=now_ns)
        if self._setup.ops is not None:
            self._tell(self._setup.ops, answer)

    # Time

    def tick(self, now_ns: int) -> None:
        """Deadlines, invariants, the day, and what operators see."""
        self._events = 0
        self._perform(self.core.on_timer(now_ns), now_ns)
        self._unproved = self.core.unproved()
        if now_ns - self._checked_ns >= _CHECK_NS and not self._healing:
            self._checked_ns = now_ns
            self._check(now_ns)
        self._roll(now_ns)
        self._state_brakes()
        if now_ns - self._told_ns >= _TELL_NS:
            self._told_ns = now_ns
            self._stated = None  # said again and again: who hears it may be another by now
            self._publish(now_ns)

    def stop(self, now_ns: int) -> None:
        """The session ends: its statement is left behind, of what was read last."""
        figures = {venue: self.core.figures(venue, settled=False) for venue in self._setup.venues}
        if any(figures.values()):
            end = self._books.snapshot(now_ns)
            self._write(self._statement(self._session_start, end, figures, now_ns, kind="session"))

    # Invariants

    def _check(self, now_ns: int) -> None:
        self.checks += 1
        found = self._books.violations()
        if not found:
            if self._standing:
                self.healed_total += len(self._standing)
                self._note_violations("healed", self._standing, now_ns)
                self._standing = []
            return
        news = [v for v in found if str(v) not in {str(s) for s in self._standing}]
        if news:
            self.violations_total += len(news)
            self._note_violations("violated", news, now_ns)
        self._standing = found
        if now_ns - self._tried_ns >= _HEAL_AGAIN_NS or not self._tried_ns:
            # The journal is the truth, the books are only what was made of it: made anew, before anything is held.
            self._tried_ns = now_ns
            self._healing = True
            self._reread()

    def _note_violations(self, state: str, found: list[Violation], now_ns: int) -> None:
        rows = []
        for one in found:
            facts = {
                "invariant": one.invariant.value,
                "state": state,
                "subject": one.subject,
                "scope": one.scope,
                "seen": one.seen,
                "expected": one.expected,
            }
            text = f"{state}: {one}"
            venue = self._venue_of(one.scope)
            rows.append(
                RowDraft(
                    now_ns, JournalKind.RECONCILE, venue, "", None, "", 0, encode_body(NoteBody(text=text, facts=facts))
                )
            )
            self._history.append({**facts, "text": text, "ts_ns": now_ns})
        self._append(self._next_id(), tuple(rows))
        level = "info" if state == "healed" else "error"
        self._event(level, f"INVARIANT_{state.upper()}", "; ".join(str(v) for v in found)[:300], now_ns)

    def _venue_of(self, scope: str) -> str:
        kind, _, target = scope.partition(":")
        if kind == "symbol" and target in self._books.instruments:
            return self._books.instruments[target].venue
        return target if kind == "venue" else ""

    # The day

    def _roll(self, now_ns: int) -> None:
        day = now_ns // DAY_NS
        if day > self._day:
            end = self._books.snapshot(day * DAY_NS)
            self._ended.append(Ended(start=self._day_start, end=end, since_ns=now_ns))
            self._day, self._day_start = day, end
            self.core.ask_now(now_ns)
        for ended in self._ended:
            self._close_day(ended, now_ns)
        while self._ended and self._ended[0].said is not None and self._ended[0].said.clean:
            self._ended.popleft()

    def _close_day(self, ended: Ended, now_ns: int) -> None:
        """Made when every venue was read after midnight, or the wait is over; again when what deviated is mended."""
        if ended.said is not None and (ended.said.clean or self.core.standing() or self._standing):
            return
        for venue in self._setup.venues:
            # Each venue's first word after the end; they need not all be settled at one moment.
            told = None if venue in ended.figures else self.core.figures(venue, ended.end.ts_ns)
            if told is not None:
                ended.figures[venue] = told
        figures = {venue: ended.figures.get(venue) for venue in self._setup.venues}
        waited = now_ns - ended.since_ns >= self._setup.config.day_wait_ms * 1_000_000
        if None in figures.values() and not (waited and ended.said is None):
            return
        made = self._statement(ended.start, ended.end, figures, now_ns, kind="day")
        ended.figures = {}  # if it has to be made again, it is of what they say then
        if ended.said is not None and made.troubles == ended.said.troubles:
            return
        fixed = ended.said is not None
        ended.said = made
        self._settle_day(made, now_ns, fixed=fixed)

    def _settle_day(self, made: DayStatement, now_ns: int, *, fixed: bool) -> None:
        if made.clean:
            self._day_held.clear()
        else:
            venues = made.venues_in_trouble() or self._setup.venues
            self._day_held = dict.fromkeys(
                venues, f"the statement of {made.day} is not clean: {made.troubles[0]}"[:200]
            )
        self.statements = deque((s for s in self.statements if s.day != made.day), maxlen=_STATEMENTS_KEPT)
        self.statements.append(made)
        for venue in self._setup.venues:
            self._perform(self.core.state(venue, now_ns), now_ns)
        text = f"statement of {made.day}: {'clean' if made.clean else '; '.join(made.troubles)}"
        facts = {STATEMENT: made.day, "clean": "yes" if made.clean else "no"}
        row = RowDraft(
            now_ns, JournalKind.RECONCILE, "", "", None, "", 0, encode_body(NoteBody(text=text[:2_000], facts=facts))
        )
        self._append(self._next_id(), (row,))
        self._write(made)
        code = "RECON_DAY_CLEAN" if made.clean else "RECON_DAY_DEVIATION"
        self._event(
            "info" if made.clean else "error",
            code,
            f"{text}{' (mended)' if fixed and made.clean else ''}"[:300],
            now_ns,
        )

    def _statement(
        self, start: Snapshot, end: Snapshot, figures: Mapping[str, Any], now_ns: int, *, kind: str
    ) -> DayStatement:
        met = [t for t in (*self.core.closed, *self.core.standing()) if t.closed_ns >= start.ts_ns or not t.closed_ns]
        return statement(
            start,
            end,
            self._books.instruments,
            figures,
            made_ns=now_ns,
            kind=kind,
            differences=[t.body() for t in met[-_SHOWN:]],
            violations=len(self._standing),
        )

    def _write(self, made: DayStatement) -> None:
        folder = self._setup.reports
        if folder is None:
            return
        name = made.day if made.kind == "day" else f"{day_of(made.made_ns)}_{made.kind}"
        try:
            write_report(folder, "recon", name, markdown(made), msgspec.json.encode(made))
        except OSError as error:
            # The statement is in the journal and in the operators' view; a full disk is told by others too.
            self._event("error", "RECON_REPORT", f"the report could not be written: {error}", made.made_ns)

    # Doing

    def _perform(self, effects: Iterable[ReconEffect], now_ns: int) -> None:
        for effect in effects:
            match effect:
                case WriteRows():
                    self._append(effect.commit_id, effect.rows)
                case AskAccount():
                    wanted = AccountWanted(
                        venue=effect.venue,
                        cause=CAUSE,
                        since_ns=effect.since_ns,
                        since_exec_seq=effect.since_exec_seq,
                    )
                    self._tell(self._setup.orders, wanted)
                case BookPaidIn():
                    moved = self._books.paid_in(effect.venue, effect.asset, effect.amount, effect.ref, now_ns)
                    self.core.cash_moved(effect.venue, *moved, now_ns)
                    self.core.ask_now(now_ns)
                case Say():
                    self._event(effect.level, effect.code, effect.text, now_ns, effect.facts)

    def _append(self, commit_id: int, rows: tuple[RowDraft, ...]) -> None:
        self._tell(self._setup.journal, AppendRows(commit_id, rows, self._name))

    def _next_id(self) -> int:
        self._commit_id += 1
        return self._commit_id

    def _state_brakes(self) -> None:
        held = [(START, f"venue:{venue}", cause) for venue, cause in self._unproved.items()]
        held += [(DIFF, scope, cause) for scope, cause in self.core.held().items()]
        held += [(DAY, f"venue:{venue}", cause) for venue, cause in self._day_held.items()]
        if not self._healing:
            # Until the books were made anew nobody knows whether it is more than a slip of memory.
            held += [(INVARIANT, v.scope, str(v)[:200]) for v in self._standing]
        brakes = tuple(
            BrakeSet(code=code, scope=scope, level=int(Level.HOLD), cause=cause, release="auto", owner=OWNER)
            for code, scope, cause in dict.fromkeys(held)
        )
        if brakes != self._stated:
            self._stated = brakes
            self._tell(self._setup.governor, BrakesStated(owner=OWNER, brakes=brakes))

    # Telling

    def _event(self, level: str, code: str, text: str, now_ns: int, facts: Mapping[str, object] | None = None) -> None:
        if self._setup.ops is None or self._events >= _EVENTS_A_TICK:
            return
        self._events += 1
        self._said += 1
        body: dict[str, object] = {
            "level": level, "code": code, "text": text[:300], "ts_ns": now_ns, "cell": self._setup.cell
        }  # fmt: skip
        if facts is not None:
            body["difference"] = dict(facts)
        key = f"recon:{now_ns}:{self._said}"
        self._tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=now_ns))

    def _publish(self, now_ns: int) -> None:
        if self._setup.ops is None:
            return
        for key, body in (
            ("status", self.status_body(now_ns)),
            ("diffs", self.diffs_body()),
            ("daily", self.daily_body()),
            ("invariants", self.invariants_body()),
        ):
            self._tell(self._setup.ops, Published(topic=Topic.RECON, key=key, body=body, ts_ns=now_ns))
        body = {"series": self.series()}
        self._tell(self._setup.ops, Published(topic=Topic.METRICS, key="desk.recon", body=body, ts_ns=now_ns))

    def status_body(self, now_ns: int) -> dict[str, object]:
        """How every venue stands."""
        core, config = self.core, self._setup.config
        return {
            "venues": {
                venue: {
                    "read_ns": 0 if v.reading is None else v.reading.read_ns,
                    "readings": v.readings,
                    "deep_readings": v.deep_readings,
                    "clean_ns": v.clean_ns,
                    "open_orders": 0 if v.reading is None else v.reading.open_orders,
                    "booked": v.bookings.booked,
                    "confirmed": v.bookings.confirmed,
                    "unconfirmed": v.bookings.unconfirmed,
                    "open": sum(1 for t in core.standing(venue) if t.state is DiffState.OPEN),
                    "braked": sum(1 for t in core.standing(venue) if t.state is DiffState.BRAKED),
                }
                for venue, v in core.venues.items()
            },
            "open": len(core.standing()),
            "totals": {c.value: core.total[c.value] for c in DiffClass},
            "repairs": {c.value: core.repairs[c.value] for c in DiffClass},
            "held": {**core.held(), **{f"venue:{v}": text for v, text in self._day_held.items()}},
            "interval_s": config.interval_ms / 1_000,
            "lookback_h": config.lookback_ms / 3_600_000,
            "ts_ns": now_ns,
        }

    def diffs_body(self) -> dict[str, object]:
        """What is open, what is accepted as dust, and what was closed, the newest first."""
        core = self.core
        dust = [t for t in core.tracked.values() if t.state is DiffState.HEALED]

        def bodies(found: Iterable[Tracked]) -> list[dict[str, object]]:
            return [t.body() for t in list(found)[:_SHOWN]]

        return {"open": bodies(core.standing()), "dust": bodies(dust), "closed": bodies(reversed(core.closed))}

    def daily_body(self) -> dict[str, object]:
        """The newest statements; the last one whole."""
        last = self.statements[-1] if self.statements else None
        return {
            "statements": [
                {"day": s.day, "clean": s.clean, "troubles": list(s.troubles), "made_ns": s.made_ns}
                for s in reversed(self.statements)
            ],
            "last": None if last is None else msgspec.to_builtins(last),
        }

    def invariants_body(self) -> dict[str, object]:
        """What is checked, how often it was, and what was wrong."""
        return {
            "checks": self.checks,
            "violations_total": self.violations_total,
            "healed_total": self.healed_total,
            "invariants": {
                i.value: {"rule": words, "holds": not any(v.invariant is i for v in self._standing)}
                for i, words in WORDS.items()
            },
            "standing": [{"scope": v.scope, "text": str(v)} for v in self._standing[:_SHOWN]],
            "history": list(reversed(self._history)),
        }

    def series(self) -> list[list[object]]:
        """For Prometheus."""
        core = self.core
        by_class = {c.value: 0 for c in DiffClass}
        for tracked in core.standing():
            by_class[tracked.diff.diff_class.value] += 1
        series: list[list[object]] = [["recon_diffs_open", "gauge", {"class": c}, n] for c, n in by_class.items()]
        series += [["recon_diffs_total", "counter", {"class": c.value}, core.total[c.value]] for c in DiffClass]
        series += [["recon_repairs_total", "counter", {"class": c.value}, core.repairs[c.value]] for c in DiffClass]
        for venue, v in core.venues.items():
            series.append(["recon_readings_total", "counter", {"venue": venue}, v.readings])
            series.append(["recon_unlooked_total", "counter", {"venue": venue}, v.bookings.forgotten])
            series.append(["recon_unconfirmed", "gauge", {"venue": venue}, v.bookings.unconfirmed])
        series.append(["invariants_checks_total", "counter", {}, self.checks])
        series.append(["invariants_violations_total", "counter", {}, self.violations_total])
        series.append(["invariants_healed_total", "counter", {}, self.healed_total])
        return series

    def _price(self, asset: str) -> Decimal | None:
        return self._books.portfolio.price_of(asset)

    def _cash(self, venue: str) -> Mapping[str, Decimal]:
        return self._books.portfolio.balances_by_venue().get(venue, {})
