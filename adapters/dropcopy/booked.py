"""What the journal booked, read from its own rows beside its writer: nothing of it comes by way of the order path.

Owns the place up to which it was read. Blocks its caller for as long as a disk or a database takes: not for a loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from adapters.journal.reader import JournalReader, JournalUnavailable, open_journal
from trading.dropcopy.execution import Execution, execution_of, funding_of
from trading.orders.journal_rows import (
    FundingBody,
    JournalKind,
    ReconcileBody,
    ReportBody,
    RowDraft,
    decode_body,
    decode_group,
)

ROWS_A_LOOK = 20_000
TROUBLE = (OSError, sqlite3.Error, msgspec.DecodeError, JournalUnavailable)
_KINDS = frozenset({JournalKind.FILL, JournalKind.PARTIAL, JournalKind.FUNDING})


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What one venue's rows say since the last look.

    ``before_ns``: the first day there began at this time of the venue, 0 when that was not said now. ``behind``: there
    are more rows than one look takes. ``trouble`` says why nothing could be read.
    """

    executions: tuple[Execution, ...] = ()
    before_ns: int = 0
    seq: int = 0
    behind: bool = False
    trouble: str = ""


class JournalTail:
    """One venue's executions as they become durable. ``seq`` is the last row that was looked at."""

    def __init__(self, where: Path | str, venue: str, seq: int) -> None:
        self.seq = seq
        self._where = where
        self._venue = venue
        self._journal: JournalReader | None = None

    def end(self) -> int:
        """The journal's last row; 0 where there is no journal yet. One of `TROUBLE` where it cannot be read."""
        try:
            return self._opened().last_seq()
        except FileNotFoundError:
            return 0

    def look(self) -> Booked:
        """What is new. Never raises."""
        try:
            journal = self._opened()
            last = journal.last_seq()
            if last < self.seq:
                # Another journal lies there now: all of it is new.
                self.seq = 0
            return self._read(journal)
        except FileNotFoundError:
            return Booked(seq=self.seq)  # nothing was ever booked
        except TROUBLE as trouble:
            self.close()
            return Booked(seq=self.seq, trouble=f"{type(trouble).__name__}: {trouble}"[:200])

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _opened(self) -> JournalReader:
        if self._journal is None:
            self._journal = open_journal(self._where)
        return self._journal

    def _read(self, journal: JournalReader) -> Booked:
        executions: list[Execution] = []
        before_ns, first = 0, self.seq
        behind = False
        for begins, count, group in journal.groups(self.seq + 1):
            for one, first_day_ns in booked_in(decode_group(group), self._venue):
                before_ns = max(before_ns, first_day_ns)
                if one is not None:
                    executions.append(one)
            self.seq = begins + count - 1
            if self.seq - first >= ROWS_A_LOOK:
                behind = True
                break
        return Booked(executions=tuple(executions), before_ns=before_ns, seq=self.seq, behind=behind)


def booked_in(rows: Iterable[RowDraft], venue: str) -> Iterator[tuple[Execution | None, int]]:
    """Of a venue's rows each execution, and each beginning of a first day there (0: none)."""
    for row in rows:
        if row.venue != venue:
            continue
        if row.kind in _KINDS:
            for one in _execution(row.body):
                yield one, 0
        elif row.kind is JournalKind.RECONCILE and (before_ns := _first_day(row.body)):
            yield None, before_ns


def _execution(body: bytes) -> tuple[Execution, ...]:
    said = decode_body(body)
    if isinstance(said, FundingBody):
        one = funding_of(said.funding)
    else:
        one = execution_of(said.report) if isinstance(said, ReportBody) and not said.from_status else None
    return () if one is None else (one,)


def _first_day(body: bytes) -> int:
    said = decode_body(body)
    return max(said.floor_ns, said.asked_ns) if isinstance(said, ReconcileBody) and said.baseline else 0
