"""Is the journal the one that was written? Reads it without trusting it; repairs nothing.

Proves rows, the chain over them, the index and the hours' roots, and says which row and which hour is not as it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from adapters.journal.headfile import read_head
from adapters.journal.merkle import HOUR_NS, HourRoot, HourTree, OpenHour, decode_open, hour_link, hour_name
from adapters.journal.reader import JournalReader, Line, is_url, open_journal
from trading.orders.journal_rows import GENESIS_HASH, RowDraft, chain_hash, decode_body, decode_group

PROGRESS_ROWS = 50_000
Progress = Callable[[int, int], None]
"""Called with (rows proved, rows in all) every 50,000 rows."""


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """``rows`` that were proved, and the first that was not.

    ``head_hash`` is worth keeping elsewhere: pass it back as ``expect``.
    ``first_bad_seq`` is the first row of the first bad commit group, or the place where missing rows should begin;
    ``bad_hour`` the UTC hour it belongs to, where that is known. ``hours`` closed hours were proved, ``root_link`` is
    the last one's.
    """

    rows: int
    ok: bool
    first_bad_seq: int | None
    text: str
    head_hash: bytes = GENESIS_HASH
    hours: int = 0
    root_link: bytes = GENESIS_HASH
    bad_hour: str | None = None


class _Bad(Exception):  # noqa: N818 - a finding
    """Where the journal is not as it was written."""

    def __init__(self, seq: int, text: str, hour: int | None = None) -> None:
        super().__init__(text)
        self.seq = seq
        self.hour = hour


def verify(
    where: Path | str, expect: tuple[int, bytes] | None = None, progress: Progress | None = None
) -> VerifyReport:
    """Prove order, completeness and content of every row; ``expect`` is a (seq, hash) known from elsewhere.

    An end cut off together with its links and everything that knows of it can only be seen with ``expect``; what the
    head file beside a journal's file says is expected too. ``FileNotFoundError`` without a journal.
    """
    beside = None
    if not is_url(where):
        try:
            beside = read_head(Path(where))
        except ValueError as error:
            return VerifyReport(rows=0, ok=False, first_bad_seq=1, text=str(error))
    journal = open_journal(where)
    try:
        return verify_journal(journal, tuple(head for head in (expect, beside) if head is not None), progress)
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        # Damage may also give a value of another kind, or letters that are none.
        return VerifyReport(rows=0, ok=False, first_bad_seq=1, text=f"unreadable: {error}")
    finally:
        journal.close()


def verify_journal(
    journal: JournalReader, expect: tuple[tuple[int, bytes], ...] = (), progress: Progress | None = None
) -> VerifyReport:
    """Like `verify`, of an open journal."""
    words = journal.integrity()
    if words != "ok":
        return VerifyReport(rows=0, ok=False, first_bad_seq=1, text=words)
    with journal.snapshot():
        walk = _Walk(journal, expect, progress)
        try:
            walk.run()
        except _Bad as bad:
            hour = bad.hour if bad.hour is not None else walk.hour_at(bad.seq)
            return VerifyReport(
                rows=walk.seq,
                ok=False,
                first_bad_seq=bad.seq,
                text=str(bad),
                head_hash=walk.link,
                hours=walk.hours_proved,
                root_link=walk.root_link,
                bad_hour=None if hour is None else hour_name(hour),
            )
    text = f"{walk.seq} rows, chain whole, {walk.hours_proved} closed hours"
    text += f", the last {walk.unchained} rows not chained yet" if walk.unchained else ""
    return VerifyReport(
        rows=walk.seq,
        ok=True,
        first_bad_seq=None,
        text=text,
        head_hash=walk.link,
        hours=walk.hours_proved,
        root_link=walk.root_link,
    )


class _Walk:
    """One pass over groups, links, index and hours, side by side."""

    def __init__(
        self, journal: JournalReader, expect: tuple[tuple[int, bytes], ...], progress: Progress | None
    ) -> None:
        self._journal = journal
        self._links = journal.links(0)
        self._lines = journal.lines(-(2**62))
        self._hours: list[HourRoot] = []
        self._tree = HourTree()
        self._tree_ends: int | None = None
        self._expected = {seq: link for seq, link in expect if seq > 0}
        self._contradicted = len(self._expected) < len({head for head in expect if head[0] > 0})
        self._progress = progress
        self.seq = 0
        self.link = GENESIS_HASH
        self.unchained = 0
        self.hours_proved = 0
        self.root_link = GENESIS_HASH
        self._last_hour: int | None = None

    def run(self) -> None:
        """Raises `_Bad` at the first thing that is not as it was."""
        self._read_hours()
        total = self._journal.last_seq() if self._progress is not None else 0
        told = 0
        for first, count, group in self._journal.groups(-(2**62)):
            self._group(first, count, group)
            if self._progress is not None and self.seq - told >= PROGRESS_ROWS:
                told = self.seq
                self._progress(self.seq, total)
        self._end()

    def hour_at(self, seq: int) -> int | None:
        """The hour in which a row lies: by the roots, else that of the row before."""
        closed = next((h.hour for h in self._hours if h.first_seq <= seq <= h.last_seq), None)
        return closed if closed is not None else self._last_hour

    def _read_hours(self) -> None:
        try:
            self._hours = list(self._journal.hours())
            raw = self._journal.open_hour()
            self._open = None if raw is None else decode_open(raw) if raw else OpenHour()
        except (msgspec.DecodeError, TypeError) as error:
            raise _Bad(1, f"the hours are unreadable: {error}") from error
        before, seq, link = -1, 0, GENESIS_HASH
        for root in self._hours:
            if root.first_seq != seq + 1 or root.last_seq < root.first_seq or root.hour <= before:
                text = f"the root of rows {root.first_seq}..{root.last_seq} does not follow row {seq}"
                raise _Bad(seq + 1, text, root.hour)
            link = hour_link(link, root.hour, root.first_seq, root.last_seq, root.root)
            if root.link != link:
                raise _Bad(root.first_seq, "the root of this hour, or one before it, was changed", root.hour)
            before, seq = root.hour, root.last_seq
        if self._open is not None and (self._open.link != link or self._open.first_seq != seq + 1):
            raise _Bad(seq + 1, "a root of an hour is missing, or the open hour was changed")

    def _group(self, first: int, count: int, group: bytes) -> None:
        if first != self.seq + 1 or count < 1:
            # The bad place is where the missing row should be.
            raise _Bad(self.seq + 1, f"row {first} follows row {self.seq}")
        self.link = chain_hash(self.link, group)
        last = self.seq + count
        written = next(self._links, None)
        if written is None:
            self.unchained += count
        elif tuple(written) != (first, last, self.link):
            raise _Bad(first, f"rows {first}..{last} are not those that were chained")
        elif self.unchained:
            raise _Bad(first, f"rows {first}..{last} are chained, those before them are not")
        rows = _content(first, count, group)
        if written is not None:
            if not _index_agrees(self._lines, first, rows):
                raise _Bad(first, f"the index of rows {first}..{last} was changed")
            self._hour(first, count, rows[0].ts_ns, group)
        expected = self._expected.pop(last, None)
        if expected is not None and expected != self.link:
            raise _Bad(first, "not the expected hash")
        self._last_hour = rows[0].ts_ns // HOUR_NS
        self.seq = last

    def _hour(self, first: int, count: int, ts_ns: int, group: bytes) -> None:
        """Grow the tree; where a root ends, the tree's must be the same."""
        if self._open is None:
            return
        closed = self._tree.add(first, count, ts_ns, group)
        due = self._hours[self.hours_proved] if self.hours_proved < len(self._hours) else None
        if closed is not None:
            raise _Bad(closed.first_seq, "the root of this hour is missing", closed.hour)
        if due is None or first + count - 1 < due.last_seq:
            return
        # The clock closed this hour, or a later row did: that row comes next, so the tree is asked to close here.
        made = self._tree.seal(2**62)
        if made != due:
            raise _Bad(due.first_seq, f"rows {due.first_seq}..{due.last_seq} do not give this hour's root", due.hour)
        self.hours_proved += 1
        self.root_link = due.link

    def _end(self) -> None:
        cut = next(self._links, None) is not None or next(self._lines, None) is not None
        proved = self.hours_proved == len(self._hours)
        if cut or self._expected or not proved:
            raise _Bad(self.seq + 1, f"the journal ends at row {self.seq}, but more was written")
        if self._contradicted:
            raise _Bad(self.seq + 1, "the expected head and the one beside the journal contradict each other")
        if self._open is not None and self._tree.state != self._open:
            raise _Bad(self._tree.state.first_seq, "the rows of the open hour do not give its tree")


def _content(first: int, count: int, group: bytes) -> list[RowDraft]:
    try:
        rows = decode_group(group)
        for row in rows:
            decode_body(row.body)
    except msgspec.DecodeError as error:
        raise _Bad(first, f"rows from {first} on are unreadable: {error}") from error
    if len(rows) != count:
        raise _Bad(first, f"{len(rows)} rows where {count} were written")
    return rows


def _index_agrees(lines: Iterator[Line], first: int, rows: list[RowDraft]) -> bool:
    found = list(islice(lines, len(rows)))
    return found == [
        (first + i, first, r.ts_ns, r.kind.value, r.venue, r.cl_ord_id, r.exec_id, r.parent_id, r.epoch)
        for i, r in enumerate(rows)
    ]
