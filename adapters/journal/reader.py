"""Reading a journal beside its writer, wherever it lies: rows, links, the index, hours, checkpoints.

Owns what reading means; `open_journal` finds the store. Writes nothing, blocks nobody.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from adapters.journal.base import Checkpoint, IndexLine
from adapters.journal.merkle import HourRoot
from adapters.journal.sqlite_schema import stated_version
from trading.orders.journal_rows import GENESIS_HASH, JournalRow, chain_hash, decode_group, numbered

NEAR_IDS = 50
Line = IndexLine


class JournalUnavailable(OSError):  # noqa: N818 - named for what happened
    """The store cannot be reached or read; its own words, with what to look at."""


class JournalReader(Protocol):
    """One open journal. ``OSError`` or ``sqlite3.Error`` when it cannot be read."""

    @property
    def where(self) -> str:
        """Its place, in words."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Inside it every question is answered from one and the same moment."""
        ...

    def groups(self, from_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """(first seq, rows, bytes) of the groups that begin at ``from_seq`` or later, in order."""
        ...

    def links(self, from_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """(first seq, last seq, hash), in order."""
        ...

    def lines(self, from_seq: int) -> Iterator[Line]:
        """The index, in order."""
        ...

    def hours(self) -> Iterator[HourRoot]:
        """Closed hours, in order of their rows; none where the journal is of an older schema."""
        ...

    def open_hour(self) -> bytes | None:
        """The state of the tree that still grows; empty before the first row, None in an older schema."""
        ...

    def checkpoints(self, name: str) -> Iterator[tuple[int, bytes, bytes, bytes]]:
        """(seq, chain hash there, digest of the state, state), the newest first."""
        ...

    def last_seq(self) -> int:
        """The last row's place; 0 when there is none."""
        ...

    def link_before(self, seq: int) -> tuple[int, bytes] | None:
        """(last seq, hash) of the last chained group that ends before ``seq``."""
        ...

    def ranges_of(self, cl_ord_id: str) -> list[tuple[int, int]]:
        """(first seq, last seq) of the indexed groups with a row of this order, in order."""
        ...

    def ids_near(self, cl_ord_id: str, newest_rows: int) -> set[str]:
        """Indexed ids beside this one by name, and those of the newest rows."""
        ...

    def integrity(self) -> str:
        """``ok``, or what the store itself says is wrong with it."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


def open_journal(where: Path | str) -> JournalReader:
    """A reader of the file at a path, or of the database at a ``postgresql`` URL.

    ``FileNotFoundError`` when there is no journal, `JournalUnavailable` when the database does not answer.
    """
    if is_url(where):
        from adapters.journal.postgres_reader import PostgresReader  # noqa: PLC0415 - a driver that most desks do not need

        return PostgresReader(str(where))
    path = Path(where)
    return SqliteReader(connect(path), path)


def is_url(where: Path | str) -> bool:
    """Whether this is a database's URL and not a path."""
    return isinstance(where, str) and where.startswith("postgresql")


def connect(path: Path) -> sqlite3.Connection:
    """A read-only connection to a journal's file; ``FileNotFoundError`` without one."""
    if not path.exists():
        raise FileNotFoundError(f"no journal at {path}")
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def read_rows(journal: JournalReader, from_seq: int = 1) -> Iterator[JournalRow]:
    """Rows from ``from_seq`` on, in order; links not written yet are worked out on the way."""
    link = GENESIS_HASH
    start = 1
    # Begin after the last group that is chained and lies wholly before what was asked for.
    known = journal.link_before(from_seq)
    if known is not None:
        start, link = known[0] + 1, known[1]
    for first, _, group in journal.groups(start):
        prev_hash, link = link, chain_hash(link, group)
        yield from (row for row in numbered(first, decode_group(group), prev_hash, link) if row.seq >= from_seq)


def rows_of(journal: JournalReader, cl_ord_id: str) -> list[JournalRow]:
    """Every row of one order, in order: by the index, and by reading the tail that is not indexed yet."""
    found: list[JournalRow] = []
    for first, last in journal.ranges_of(cl_ord_id):
        found += itertools.takewhile(lambda row, last=last: row.seq <= last, read_rows(journal, first))  # type: ignore[misc]
    found += read_rows(journal, chained_seq(journal) + 1)
    return [row for row in found if row.cl_ord_id == cl_ord_id]


def chained_seq(journal: JournalReader) -> int:
    """The last row that has its link and its line in the index."""
    known = journal.link_before(2**62)
    return 0 if known is None else known[0]


def newest_checkpoint(journal: JournalReader, name: str) -> Checkpoint | None:
    """The newest kept state that is whole and belongs to this history; None when there is none."""
    for seq, link, digest, blob in journal.checkpoints(name):
        known = journal.link_before(seq + 1)
        if known == (seq, link) and hashlib.sha256(blob).digest() == digest:
            return Checkpoint(name=name, seq=seq, hash=link, blob=blob)
    return None


class SqliteReader:
    """A journal's file through a connection that is given; `close` closes it."""

    def __init__(self, db: sqlite3.Connection, path: Path | None = None) -> None:
        self.db = db
        self.path = path

    @property
    def where(self) -> str:
        """Its path."""
        return str(self.path)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction: in WAL mode it blocks nobody."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    def groups(self, from_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """See `JournalReader`."""
        return self.db.execute(
            "SELECT first_seq, row_count, rows FROM order_journal WHERE first_seq >= ? ORDER BY first_seq", (from_seq,)
        )

    def links(self, from_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """See `JournalReader`."""
        return self.db.execute(
            "SELECT first_seq, last_seq, hash FROM journal_chain WHERE first_seq >= ? ORDER BY first_seq", (from_seq,)
        )

    def lines(self, from_seq: int) -> Iterator[Line]:
        """See `JournalReader`."""
        return self.db.execute(
            "SELECT seq, first_seq, ts_ns, kind, venue, cl_ord_id, exec_id, parent_id, epoch FROM order_row "
            "WHERE seq >= ? ORDER BY seq",
            (from_seq,),
        )

    def hours(self) -> Iterator[HourRoot]:
        """See `JournalReader`."""
        if self._knows("journal_hour"):
            for row in self.db.execute(
                "SELECT hour, first_seq, last_seq, root, link FROM journal_hour ORDER BY first_seq"
            ):
                yield HourRoot(*row)

    def open_hour(self) -> bytes | None:
        """See `JournalReader`."""
        if not self._knows("journal_hour"):
            return None
        found = self.db.execute("SELECT state FROM journal_open_hour").fetchone()
        return b"" if found is None else bytes(found[0])

    def checkpoints(self, name: str) -> Iterator[tuple[int, bytes, bytes, bytes]]:
        """See `JournalReader`."""
        return self.db.execute(
            "SELECT seq, hash, digest, blob FROM journal_checkpoint WHERE name = ? ORDER BY seq DESC", (name,)
        )

    def last_seq(self) -> int:
        """See `JournalReader`."""
        found = self.db.execute(
            "SELECT first_seq + row_count - 1 FROM order_journal ORDER BY first_seq DESC LIMIT 1"
        ).fetchone()
        return 0 if found is None else int(found[0])

    def link_before(self, seq: int) -> tuple[int, bytes] | None:
        """See `JournalReader`."""
        found: tuple[int, bytes] | None = self.db.execute(
            "SELECT last_seq, hash FROM journal_chain WHERE first_seq < ? AND last_seq < ? "
            "ORDER BY first_seq DESC LIMIT 1",
            (seq, seq),
        ).fetchone()
        return found

    def ranges_of(self, cl_ord_id: str) -> list[tuple[int, int]]:
        """See `JournalReader`."""
        return self.db.execute(
            "SELECT DISTINCT c.first_seq, c.last_seq FROM order_row r JOIN journal_chain c USING(first_seq) "
            "WHERE r.cl_ord_id = ? ORDER BY c.first_seq",
            (cl_ord_id,),
        ).fetchall()

    def ids_near(self, cl_ord_id: str, newest_rows: int) -> set[str]:
        """See `JournalReader`."""
        asked: tuple[tuple[str, tuple[object, ...]], ...] = (
            (
                "SELECT DISTINCT cl_ord_id FROM order_row WHERE cl_ord_id >= ? ORDER BY cl_ord_id LIMIT ?",
                (cl_ord_id, NEAR_IDS),
            ),
            (
                (
                    "SELECT DISTINCT cl_ord_id FROM order_row WHERE cl_ord_id < ? AND cl_ord_id <> '' "
                    "ORDER BY cl_ord_id DESC LIMIT ?"
                ),
                (cl_ord_id, NEAR_IDS),
            ),
            ("SELECT cl_ord_id FROM order_row WHERE cl_ord_id <> '' ORDER BY seq DESC LIMIT ?", (newest_rows,)),
        )
        return {row[0] for statement, values in asked for row in self.db.execute(statement, values)}

    def integrity(self) -> str:
        """SQLite's own check of the file."""
        words = str(self.db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if words != "ok":
            return f"SQLite: {words}"
        version = stated_version(self.db)
        if version is None:
            return "this is no journal: it states no schema"
        return "ok" if version < 2 or self._knows("journal_hour") else "the table of the hours' roots is gone"

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    def _knows(self, table: str) -> bool:
        return self.db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None
