"""Is the journal on disk the one that was written? Reads it without trusting it; repairs nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from adapters.journal.store import open_reader
from trading.orders.journal_rows import GENESIS_HASH, RowDraft, chain_hash, decode_body, decode_group


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """``rows`` that were proved, and the first that was not.

    ``head_hash`` is worth keeping elsewhere: pass it back as ``expect``.
    ``first_bad_seq`` is the first row of the first bad commit group, or the place where missing rows should begin.
    """

    rows: int
    ok: bool
    first_bad_seq: int | None
    text: str
    head_hash: bytes = GENESIS_HASH


def verify(path: Path, expect: tuple[int, bytes] | None = None) -> VerifyReport:
    """Prove order, completeness and content of every row; ``expect`` is a (seq, hash) known from elsewhere.

    An end cut off together with its chain links can only be seen with ``expect``. ``FileNotFoundError`` without a
    journal.
    """
    db = open_reader(path)
    try:
        words = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if words != "ok":
            return VerifyReport(rows=0, ok=False, first_bad_seq=1, text=f"SQLite: {words}")
        return _walk(db, expect)
    except sqlite3.DatabaseError as error:
        return VerifyReport(rows=0, ok=False, first_bad_seq=1, text=f"unreadable: {error}")
    finally:
        db.close()


def _walk(db: sqlite3.Connection, expect: tuple[int, bytes] | None) -> VerifyReport:
    links = db.execute("SELECT first_seq, last_seq, hash FROM journal_chain ORDER BY first_seq")
    link = GENESIS_HASH
    seq = 0
    unchained = 0
    met_expected = expect is None or expect[0] == 0
    for first, count, group in db.execute("SELECT first_seq, row_count, rows FROM order_journal ORDER BY first_seq"):
        written = links.fetchone()
        trouble = None
        if first != seq + 1:
            trouble = f"row {first} follows row {seq}"
            first = seq + 1  # noqa: PLW2901 - the bad place is where the missing row should be
        else:
            link = chain_hash(link, group)
            if written is None:
                unchained += count
            elif written != (first, seq + count, link):
                trouble = f"rows {first}..{seq + count} are not those that were chained"
            trouble = trouble or _content(db, first, count, group, indexed=written is not None)
        if trouble is not None:
            return VerifyReport(rows=seq, ok=False, first_bad_seq=first, text=trouble, head_hash=link)
        seq += count
        if expect is not None and expect[0] == seq:
            if expect[1] != link:
                text = "not the expected hash"
                return VerifyReport(rows=seq, ok=False, first_bad_seq=first, text=text, head_hash=link)
            met_expected = True
    cut = links.fetchone()
    if cut is not None or not met_expected:
        text = f"the journal ends at row {seq}, but more was written"
        return VerifyReport(rows=seq, ok=False, first_bad_seq=seq + 1, text=text, head_hash=link)
    text = f"{seq} rows, chain whole" + (f", the last {unchained} not chained yet" if unchained else "")
    return VerifyReport(rows=seq, ok=True, first_bad_seq=None, text=text, head_hash=link)


def _content(db: sqlite3.Connection, first: int, count: int, group: bytes, *, indexed: bool) -> str | None:
    try:
        rows = decode_group(group)
        for row in rows:
            decode_body(row.body)
    except msgspec.DecodeError as error:
        return f"rows from {first} on are unreadable: {error}"
    if len(rows) != count:
        return f"{len(rows)} rows where {count} were written"
    if indexed and not _index_agrees(db, first, rows):
        return f"the index of rows {first}..{first + count - 1} was changed"
    return None


def _index_agrees(db: sqlite3.Connection, first: int, rows: list[RowDraft]) -> bool:
    lines = db.execute(
        "SELECT ts_ns, kind, venue, cl_ord_id, exec_id, parent_id, epoch FROM order_row "
        "WHERE seq BETWEEN ? AND ? ORDER BY seq",
        (first, first + len(rows) - 1),
    ).fetchall()
    return lines == [(r.ts_ns, r.kind.value, r.venue, r.cl_ord_id, r.exec_id, r.parent_id, r.epoch) for r in rows]
