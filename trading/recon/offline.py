"""A day's statement out of the journal alone, for whoever looks at it without the desk.

The books are folded anew from the rows, their invariants checked and their cash compared with the balances that the
venues told; what else the venues said, and what differed, is what the desk wrote down of it at the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument
from trading.ledger.portfolio import DAY_NS, PAID_IN
from trading.orders.journal_rows import (
    CrossBody,
    FundingBody,
    JournalRow,
    NoteBody,
    ReconcileBody,
    ReportBody,
    RowBody,
    decode_body,
)
from trading.orders.messages import FundingPayment, OrderFilled
from trading.orders.order import filled
from trading.recon.books import Books, Snapshot
from trading.recon.cash import CashHistory, balance_differences
from trading.recon.config import ReconConfig
from trading.recon.daily import DayStatement, VenueFigures, statement
from trading.recon.difference import DiffClass

AFTER_NS = 3_600_000_000_000
"""So long after its end a day may still be told what a venue said."""
FACT = "diff"
"""The key in a note's facts that names a difference."""
_FINAL = "healed"
_READ_NS = 60_000_000_000
"""A comparison is journalled so soon after its reading was asked for."""


class _Said(msgspec.Struct, kw_only=True):
    """What the journal holds of one venue's own words."""

    newest: ReconcileBody | None = None
    newest_ns: int = 0
    after_end: bool = False
    deviations: dict[str, str] = {}


class DayReader:
    """Feed it the journal's rows in order until it has enough; then ask for the statement of the day."""

    def __init__(self, instruments: Mapping[str, Instrument], start_ns: int) -> None:
        self._instruments = instruments
        self._start_ns, self._end_ns = start_ns, start_ns + DAY_NS
        self._books = Books(instruments)
        self._opened: set[str] = set()
        self._start: Snapshot | None = None
        self._end: Snapshot | None = None
        self._said: dict[str, _Said] = {}
        self._cash: dict[str, CashHistory] = {}
        self._met: dict[str, dict[str, object]] = {}
        self._violated: Counter[str] = Counter()
        self._fills: Counter[str] = Counter()
        self._last_ns = 0
        self.rows = 0
        """How many rows fell into the day."""

    @property
    def has_enough(self) -> bool:
        """Whether later rows can tell nothing more."""
        return self._last_ns >= self._end_ns + AFTER_NS

    def read(self, row: JournalRow) -> None:
        """One row."""
        self._last_ns = max(self._last_ns, row.ts_ns)
        if self._start is None and row.ts_ns >= self._start_ns:
            self._start = self._books.snapshot(self._start_ns)
        if self._end is None and row.ts_ns >= self._end_ns:
            self._end = self._books.snapshot(self._end_ns)
        body = decode_body(row.body)
        self._fold(row, body)
        self.rows += self._start_ns <= row.ts_ns < self._end_ns
        self._hear(row, body)

    def _fold(self, row: JournalRow, body: RowBody) -> None:
        match body:
            case ReportBody() if body.executed:
                self._book(filled(body.report, body.legs, row.cl_ord_id), row)
                self._fills[row.venue] += self._start_ns <= row.ts_ns < self._end_ns
            case FundingBody():
                self._book(body.funding, row)
            case CrossBody():
                self._books.fold(body.cross)
            case ReconcileBody() if body.baseline and row.venue not in self._opened:
                self._opened.add(row.venue)
                self._books.opening(row.venue, {a: Decimal(v) for a, v in body.balances.items()}, row.ts_ns)
            case NoteBody() if PAID_IN in body.facts:
                asset, amount = body.facts[PAID_IN], Decimal(body.facts["amount"])
                moved = self._books.paid_in(row.venue, asset, amount, f"paid_in:{row.seq}", row.ts_ns)
                self._cash.setdefault(row.venue, CashHistory()).moved(*moved, row.ts_ns)
            case _:
                pass

    def _book(self, fact: OrderFilled | FundingPayment, row: JournalRow) -> None:
        history = self._cash.setdefault(row.venue, CashHistory())
        for asset, was in self._books.fold_moving(fact):
            history.moved(asset, was, row.ts_ns)

    def _hear(self, row: JournalRow, body: RowBody) -> None:
        if isinstance(body, ReconcileBody) and row.ts_ns >= self._start_ns and row.venue:
            said = self._said.setdefault(row.venue, _Said())
            if not said.after_end:
                # The first word after the end is of the end; before that the newest is the best there is.
                said.newest, said.newest_ns = body, row.ts_ns
                said.after_end = row.ts_ns >= self._end_ns
                said.deviations = {} if body.baseline else self._balances_off(row, body)
        elif isinstance(body, NoteBody) and FACT in body.facts:
            self._differs(row, body)
        elif isinstance(body, NoteBody) and "invariant" in body.facts and row.ts_ns < self._end_ns + AFTER_NS:
            key = f"{body.facts['invariant']}:{body.facts['subject']}"
            self._violated[key] = 0 if body.facts["state"] == _FINAL else 1

    def _balances_off(self, row: JournalRow, body: ReconcileBody) -> dict[str, str]:
        """What the venue told against our cash of that time: it was read a little before the row was written."""
        found = balance_differences(
            row.venue,
            {asset: Decimal(amount) for asset, amount in body.balances.items()},
            self._books.portfolio.balances_by_venue().get(row.venue, {}),
            self._cash.setdefault(row.venue, CashHistory()),
            body.asked_ns or row.ts_ns - _READ_NS,
            dust=self._dust,
            scope_of=lambda _: "",
        )
        return {one.ref: one.text for one in found if one.diff_class is not DiffClass.DUST}

    def _dust(self, asset: str) -> Decimal:
        price = self._books.portfolio.price_of(asset)
        return ReconConfig().dust_usd / price if price else Decimal(0)

    def _differs(self, row: JournalRow, body: NoteBody) -> None:
        facts = body.facts
        known = self._met.get(facts[FACT])
        if row.ts_ns >= self._end_ns and known is None:
            return  # another day's
        if facts["state"] == _FINAL and row.ts_ns < self._start_ns:
            self._met.pop(facts[FACT], None)
            return
        self._met[facts[FACT]] = {
            "key": facts[FACT],
            "class": facts["class"],
            "state": facts["state"],
            "action": facts["action"],
            "scope": facts["scope"],
            "venue": row.venue,
            "ours": facts["ours"],
            "theirs": facts["theirs"],
            "text": body.text,
            "outcome": facts["evidence"],
            "opened_ns": row.ts_ns if known is None else known["opened_ns"],
        }

    def statement(self, now_ns: int) -> DayStatement:
        """What the rows say of the day. ``now_ns`` is when it is made."""
        end = self._end or self._books.snapshot(min(self._end_ns, max(now_ns, self._start_ns)))
        start = self._start or end
        violated = sum(self._violated.values()) + len(self._books.violations())
        return statement(
            start,
            end,
            self._instruments,
            # Of a day on which nothing happened at a venue nothing has to be said.
            {v: self._figures(v) for v in sorted(self._opened) if self._fills[v] or v in self._said},
            made_ns=now_ns,
            differences=self._met.values(),
            violations=violated,
        )

    def _figures(self, venue: str) -> VenueFigures | None:
        said = self._said.get(venue)
        fills = self._fills[venue]
        if said is None or said.newest is None:
            return None
        open_keys = [m for m in self._met.values() if m["venue"] == venue and m["state"] != _FINAL]
        unlisted = sum(1 for m in open_keys if str(m["key"]).startswith(f"{venue}:execution:"))
        return VenueFigures(
            read_ns=said.newest_ns,
            balances=said.newest.balances,
            positions=said.newest.positions,
            booked=fills,
            confirmed=max(0, fills - unlisted),
            deviations=said.deviations,
        )
