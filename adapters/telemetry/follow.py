"""Follows the order journal beside its writer, and reads all of one order, with the commit that every row came in.

Reads in small steps, each a short statement of its own, so that no reader stands in the way of the writer's
checkpoints. Everything here may block: it is for worker threads and commands.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from adapters.journal.reader import JournalReader, chained_seq, open_journal
from trading.orders.journal_rows import GENESIS_HASH, decode_body, decode_group, numbered
from trading.telemetry.order_trace import TracedRow

GROUPS_A_STEP = 200


class JournalFollower:
    """Rows after the last one that it gave. One thread uses it; ``OSError`` or ``sqlite3.Error`` when it cannot read.

    ``back_rows``: how far before the newest row it begins at most; ``day_hour`` is the first hour (from 1970) that is
    wanted at all. ``lives`` counts how often it began.
    """

    def __init__(self, where: Path | str, *, back_rows: int = 20_000, day_hour: int = 0) -> None:
        self._where = where
        self._back_rows = back_rows
        self._day_hour = day_hour
        self._journal: JournalReader | None = None
        self._next = 0
        self.seq = 0
        self.newest = 0
        self.lives = 0

    def step(self) -> list[TracedRow]:
        """The next rows, at most those of 200 commits; none when there is nothing new, or no journal yet."""
        journal = self._opened()
        if journal is None:
            return []
        self.newest = journal.last_seq()
        if self.newest < self.seq:
            # Another file lies there now: a backup was restored.
            self.close()
            return []
        if self.newest == self.seq:
            return []
        rows = list(_traced(itertools.islice(journal.groups(self._next), GROUPS_A_STEP)))
        if rows:
            self.seq = rows[-1].row.seq
            self._next = self.seq + 1
        return rows

    @property
    def behind(self) -> int:
        """How many rows were there and not read at the last step."""
        return max(0, self.newest - self.seq)

    def order(self, cl_ord_id: str, venue: str | None = None) -> list[TracedRow]:
        """Every row of one order up to the last one given, in order."""
        journal = self._opened()
        if journal is None:
            return []
        return [traced for traced in rows_of_order(journal, cl_ord_id, venue) if traced.row.seq <= self.seq]

    def close(self) -> None:
        """Let go; the next step begins anew."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self._next, self.seq, self.newest = None, 0, 0, 0

    def _opened(self) -> JournalReader | None:
        if self._journal is None:
            try:
                self._journal = open_journal(self._where)
            except FileNotFoundError:
                return None
            self._begin(self._journal)
        return self._journal

    def _begin(self, journal: JournalReader) -> None:
        newest = journal.last_seq()
        first = max(1, newest - self._back_rows + 1)
        before = [hour.last_seq + 1 for hour in journal.hours() if hour.hour < self._day_hour]
        first = max(first, *before[-1:], 1)
        # A row in the middle of a commit is given with the commit after it.
        self._next, self.seq = first, first - 1
        self.lives += 1


def rows_of_order(journal: JournalReader, cl_ord_id: str, venue: str | None = None) -> Iterator[TracedRow]:
    """Every row of one order, in order: by the index, then from the tail that is not indexed yet."""

    def wanted(traced: TracedRow) -> bool:
        return traced.row.cl_ord_id == cl_ord_id and venue in {None, traced.row.venue}

    for first, _ in journal.ranges_of(cl_ord_id):
        yield from filter(wanted, list(_traced(itertools.islice(journal.groups(first), 1))))
    yield from filter(wanted, list(_traced(journal.groups(chained_seq(journal) + 1))))


def all_rows(journal: JournalReader, from_seq: int = 1) -> Iterator[TracedRow]:
    """Every row from ``from_seq`` on; one that lies within a commit begins with the next."""
    yield from _traced(journal.groups(from_seq))


def _traced(groups: Iterator[tuple[int, int, bytes]]) -> Iterator[TracedRow]:
    for first, _, group in groups:
        for row in numbered(first, decode_group(group), GENESIS_HASH, GENESIS_HASH):
            yield TracedRow(row, decode_body(row.body), first)
