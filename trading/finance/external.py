"""What came to an account or left it without us, as reconciliation classified it: a balance that differs, and why.

The desk moves no funds: a deposit, a withdrawal or a transfer is a difference that stays, and is told beside the ledger
until an operator says what it was; then it is booked as paid in or taken out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from trading.finance.statement import Line, Statement
from trading.ledger.accounts import ZERO
from trading.orders.journal_rows import JournalKind, JournalRow, NoteBody
from trading.recon.core import FACT
from trading.recon.difference import DiffClass, DiffState, Subject

ENDED_MAX = 1_000
BOOKED = "booked"


class External(msgspec.Struct, frozen=True, kw_only=True):
    """One movement that is not ours. ``amount`` is the venue's balance less the ledger's; ``state`` as of the journal.

    A healed one has gone: what differed is equal again. A booked one was adopted by an operator.
    """

    venue: str
    asset: str
    amount: Decimal
    diff_class: str
    state: str
    since_ns: int
    until_ns: int
    text: str


class Externals:
    """Follows the journal's rows about balances. ``open`` by (venue, asset), ``ended`` the newest that have gone."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], External] = {}
        self.ended: deque[External] = deque(maxlen=ENDED_MAX)

    def note(self, row: JournalRow, body: NoteBody, statement: Statement) -> Iterator[Line]:
        """One note; the line of the statement that it makes, if any: together they are what differs now."""
        prefix = f"{row.venue}:{Subject.BALANCE.value}:"
        key = body.facts.get(FACT, "")
        if row.kind is not JournalKind.RECONCILE or not key.startswith(prefix):
            return
        if body.facts.get("class") == DiffClass.DUST.value:
            return
        asset, state = key.removeprefix(prefix), body.facts.get("state", "")
        found = self.open.get((row.venue, asset))
        before = found.amount if found is not None else ZERO
        theirs, ours = (Decimal(body.facts.get(name) or "0") for name in ("theirs", "ours"))
        gone = state == DiffState.HEALED.value
        if gone and found is None:
            return  # it was adopted
        now = External(
            venue=row.venue,
            asset=asset,
            amount=before if gone else theirs - ours,
            diff_class=body.facts.get("class", ""),
            state=state,
            since_ns=found.since_ns if found is not None else row.ts_ns,
            until_ns=row.ts_ns,
            text=body.text,
        )
        if gone:
            self.open.pop((row.venue, asset), None)
            self.ended.append(now)
        else:
            self.open[row.venue, asset] = now
        change = (ZERO if gone else now.amount) - before
        if change:
            text = f"no longer: {body.text}" if gone else body.text
            yield statement.external(row, asset, change, ref=key, text=text)

    def adopted(self, row: JournalRow, asset: str, statement: Statement) -> Iterator[Line]:
        """An operator said what it was: it is no longer external."""
        found = self.open.pop((row.venue, asset), None)
        if found is not None:
            self.ended.append(msgspec.structs.replace(found, state=BOOKED, until_ns=row.ts_ns))
            yield statement.external(
                row, asset, -found.amount, ref=f"{row.venue}:transfer", text=f"booked: {found.text}"
            )
