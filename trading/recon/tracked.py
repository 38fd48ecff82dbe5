"""A difference that is followed, and what following it asks of the shell."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.orders.journal_rows import RowDraft
from trading.recon.difference import TRANSITIONS, Difference, DiffEvent, DiffState


class WriteRows(msgspec.Struct, frozen=True):
    """Give the rows to the journal as one batch; answer with ``on_committed(commit_id)``."""

    commit_id: int
    rows: tuple[RowDraft, ...]


class AskAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Have the account read since then; ``since_exec_seq`` None: since what is known."""

    venue: str
    since_ns: int
    since_exec_seq: int | None


class Say(msgspec.Struct, frozen=True):
    """What operators should read."""

    level: str
    code: str
    text: str
    facts: dict[str, object]


class BookPaidIn(msgspec.Struct, frozen=True, kw_only=True):
    """Cash was paid in or taken out (negative), as an operator said: its row is durable, book it."""

    venue: str
    asset: str
    amount: Decimal
    ref: str


ReconEffect = WriteRows | AskAccount | Say | BookPaidIn


class Tracked(msgspec.Struct, kw_only=True):
    """A difference and how it stands.

    ``sightings`` counts comparisons that found it; ``adopted``: an operator has explained it as it is.
    """

    diff: Difference
    source: str
    state: DiffState
    opened_ns: int
    due_ns: int
    sightings: int = 1
    closed_ns: int = 0
    outcome: str = ""
    adopted: bool = False

    def apply(self, event: DiffEvent) -> None:
        """The table's move."""
        self.state = TRANSITIONS[self.state, event]

    def body(self) -> dict[str, object]:
        """For operators and reports."""
        d = self.diff
        return {
            "key": d.key,
            "class": d.diff_class.value,
            "state": self.state.value,
            "subject": d.subject.value,
            "action": d.action.value,
            "venue": d.venue,
            "instrument_id": d.instrument_id,
            "scope": d.scope,
            "ref": d.ref,
            "ours": d.ours,
            "theirs": d.theirs,
            "text": d.text,
            "evidence": list(d.evidence),
            "opened_ns": self.opened_ns,
            "due_ns": self.due_ns,
            "closed_ns": self.closed_ns,
            "outcome": self.outcome,
            "sightings": self.sightings,
        }
