"""The order journal on disk: SQLite in WAL mode, synchronous=FULL, append-only, hash-chained.

One SQLite row holds one commit group, packed: a commit then costs the disk and not the B-trees (the naive table with
its indexes ran at a third of the disk's rate for groups of 100). The hash chain and the relational index of all rows,
`order_row`, are written off the order path; uniqueness is checked before each commit and again by the index. Owns no
thread and decides nothing.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol, Self

from trading.orders.journal_rows import (
    GENESIS_HASH,
    JournalKind,
    JournalRow,
    RowDraft,
    chain_hash,
    decode_group,
    encode_group,
    encode_rows,
    join_group,
    numbered,
)

SCHEMA_VERSION = 1
PAGE_BYTES = 4096
WAL_PREALLOCATED_BYTES = 8 << 20
WAL_CHECKPOINT_BYTES = 4 << 20
WAL_FORCED_BYTES = 64 << 20
UNINDEXED_FORCED_ROWS = 50_000
KEYS_IN_MEMORY = 20_000

_PLACED_BEFORE = "SELECT 1 FROM order_row WHERE venue=? AND cl_ord_id=? AND kind IN ('place', 'replace')"
_GROUPS_AFTER = "SELECT rows FROM order_journal WHERE first_seq > ? ORDER BY first_seq"
_EXECUTED_BEFORE = "SELECT 1 FROM order_row WHERE venue=? AND exec_id=?"

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS schema_version(version INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS order_journal(
        first_seq INTEGER PRIMARY KEY, row_count INTEGER NOT NULL, rows BLOB NOT NULL)""",
    # What operators may query with SQL; follows order_journal by at most UNINDEXED_FORCED_ROWS.
    """CREATE TABLE IF NOT EXISTS order_row(
        seq INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, ts_ns INTEGER NOT NULL, kind TEXT NOT NULL,
        venue TEXT NOT NULL, cl_ord_id TEXT NOT NULL, exec_id TEXT, parent_id TEXT NOT NULL, epoch INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS order_row_by_cl_ord_id ON order_row(venue, cl_ord_id)",
    "CREATE INDEX IF NOT EXISTS order_row_by_id_alone ON order_row(cl_ord_id)",
    "CREATE INDEX IF NOT EXISTS order_row_by_parent ON order_row(parent_id, ts_ns)",
    """CREATE UNIQUE INDEX IF NOT EXISTS order_row_one_place ON order_row(venue, cl_ord_id)
        WHERE kind IN ('place', 'replace')""",
    "CREATE UNIQUE INDEX IF NOT EXISTS order_row_one_execution ON order_row(venue, exec_id) WHERE exec_id IS NOT NULL",
    # One link per group, written moments later: hashing 100 rows takes as long as syncing them.
    """CREATE TABLE IF NOT EXISTS journal_chain(
        first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, hash BLOB NOT NULL)""",
    *(
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in ("order_journal", "order_row", "journal_chain")
        for verb in ("UPDATE", "DELETE")
    ),
)


class JournalFailure(Enum):
    """Why a row is not durable. BUSY is intermittent; the rest end the writer."""

    BUSY = "busy"
    DISK_FULL = "disk_full"
    IO = "io"
    CORRUPT = "corrupt"
    DUPLICATE = "duplicate"
    CLOSED = "closed"


class JournalFailed(Exception):  # noqa: N818 - an event's name: it is handed on as one
    """Rows that were not journalled. ``batch_ids`` are the writer's batches that must be taken as never written."""

    def __init__(self, reason: JournalFailure, text: str, batch_ids: tuple[int, ...] = ()) -> None:
        super().__init__(f"journal failed ({reason.value}): {text}")
        self.reason = reason
        self.text = text
        self.batch_ids = batch_ids

    def __reduce__(self) -> tuple[type[JournalFailed], tuple[JournalFailure, str, tuple[int, ...]]]:
        """Survive pickling with the facts."""
        return (JournalFailed, (self.reason, self.text, self.batch_ids))


Key = tuple[str, str, bool]
"""(venue, cl_ord_id, True) of a placing, (venue, exec_id, False) of a venue event that was applied."""


class Head(tuple[int, bytes]):
    """(seq of the last row, chain hash there)."""

    __slots__ = ()

    @property
    def seq(self) -> int:
        """0 when the journal is empty."""
        return self[0]

    @property
    def hash(self) -> bytes:
        """GENESIS_HASH when the journal is empty."""
        return self[1]


class JournalStore(Protocol):
    """What replay and recovery need of a journal, wherever it lives."""

    def append(self, rows: Sequence[RowDraft]) -> tuple[int, int]:
        """Make the rows durable as one group; (first seq, last seq)."""
        ...

    def read(self, from_seq: int = 1) -> Iterator[JournalRow]:
        """Rows from ``from_seq`` on, in order."""
        ...

    def head(self) -> Head:
        """The last row's place and the chain's hash there."""
        ...

    def close(self) -> None:
        """Give everything back; further calls are errors."""
        ...


class _Keys:
    """The newest keys of the journal, in two generations of bounded size; older ones are looked up in the index."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: set[Key] = set()
        self._old: set[Key] = set()
        self.complete = True

    def hit(self, fresh: frozenset[Key]) -> Key | None:
        if self._young.isdisjoint(fresh) and self._old.isdisjoint(fresh):
            return None
        return next(key for key in fresh if key in self._young or key in self._old)

    def add(self, fresh: frozenset[Key]) -> None:
        if len(self._young) + len(fresh) > self._limit:
            self.complete = self.complete and not self._old
            self._old, self._young = self._young, set()
        self._young.update(fresh)


class Prepared:
    """Rows made ready for a commit by whoever has the time: encoded, their keys taken. The order path then only syncs.

    Raises ``JournalFailed`` (DUPLICATE) when the rows repeat each other.
    """

    __slots__ = ("count", "keys", "payload")

    def __init__(self, rows: Sequence[RowDraft]) -> None:
        self.count = len(rows)
        self.keys = _keys(rows)
        self.payload = encode_rows(rows)


def _keys(rows: Sequence[RowDraft]) -> frozenset[Key]:
    # `is` and not a set: an enum's hash is Python code, and this runs on the order path for every row.
    keys: list[Key] = []
    for row in rows:
        kind = row.kind
        if kind is JournalKind.PLACE or kind is JournalKind.REPLACE:
            keys.append((row.venue, row.cl_ord_id, True))
        if row.exec_id is not None:
            keys.append((row.venue, row.exec_id, False))
    fresh = frozenset(keys)
    if len(fresh) != len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise JournalFailed(JournalFailure.DUPLICATE, f"{_describe(repeated)} in the same batch")
    return fresh


def _describe(key: Key) -> str:
    venue, name, placed = key
    return f"{venue} {name} was placed before" if placed else f"{venue} execution {name} was journalled before"


def _failure(error: sqlite3.Error) -> JournalFailed:
    # The low byte is the primary code; extended codes keep it (https://sqlite.org/rescode.html, read 2026-11).
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    reason = {
        sqlite3.SQLITE_BUSY: JournalFailure.BUSY,
        sqlite3.SQLITE_LOCKED: JournalFailure.BUSY,
        sqlite3.SQLITE_FULL: JournalFailure.DISK_FULL,
        sqlite3.SQLITE_CORRUPT: JournalFailure.CORRUPT,
        sqlite3.SQLITE_NOTADB: JournalFailure.CORRUPT,
        sqlite3.SQLITE_CONSTRAINT: JournalFailure.DUPLICATE,
    }.get(code, JournalFailure.IO)
    return JournalFailed(reason, f"{type(error).__name__}: {error}")


class SqliteJournal:
    """The durable store. One instance writes a file (a lock file sees to that); any number of others may read it.

    Not thread-safe: the writer thread owns it. Raises ``JournalFailed`` and nothing else for trouble outside.
    """

    def __init__(self, path: Path, *, busy_timeout_ms: int = 2_000, keys_in_memory: int = KEYS_IN_MEMORY) -> None:
        self.path = path
        self._lock_fd = _lock(path)
        self._last_seq = 0
        self._indexed_seq = 0
        self._indexed_hash = GENESIS_HASH
        self._wal_bytes = 0
        self._known = _Keys(keys_in_memory)
        self._closed = False
        try:
            self._db = _connect(path, busy_timeout_ms)
            self._load()
        except sqlite3.Error as error:
            os.close(self._lock_fd)
            raise _failure(error) from error
        except BaseException:
            os.close(self._lock_fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def append(self, rows: Sequence[RowDraft]) -> tuple[int, int]:
        """One group, one transaction, one sync; (first seq, last seq). Nothing is written when it raises."""
        return self.commit((Prepared(rows),))

    def commit(self, batches: Sequence[Prepared]) -> tuple[int, int]:
        """All batches as one group, one transaction, one sync; (first seq, last seq).

        Nothing is written when it raises.
        """
        for index, batch in enumerate(batches):
            duplicate = self.duplicate_in(batch)
            if duplicate is None:
                duplicate = next((_describe(k) for b in batches[:index] for k in b.keys & batch.keys), None)
            if duplicate is not None:
                raise JournalFailed(JournalFailure.DUPLICATE, duplicate)
        count = sum(batch.count for batch in batches)
        group = join_group(count, [batch.payload for batch in batches])
        first = self._last_seq + 1
        try:
            self._db.execute("INSERT INTO order_journal VALUES(?,?,?)", (first, count, group))
        except sqlite3.Error as error:
            raise _failure(error) from error
        self._wal_bytes += len(group) + 2 * PAGE_BYTES
        self._last_seq += count
        for batch in batches:
            self._known.add(batch.keys)
        return first, self._last_seq

    def duplicate_in(self, batch: Prepared) -> str | None:
        """Words about a placing or an execution that the journal already holds, if any."""
        key = self._known.hit(batch.keys) or self._older_hit(batch.keys)
        return None if key is None else _describe(key)

    def read(self, from_seq: int = 1) -> Iterator[JournalRow]:
        """Rows from ``from_seq`` on, in order."""
        return read_rows(self._db, from_seq)

    def rows_of(self, cl_ord_id: str) -> list[JournalRow]:
        """Every row of one order, in order."""
        return rows_of(self._db, cl_ord_id)

    def head(self) -> Head:
        """The last row's place and the chain's hash there."""
        link = self._indexed_hash
        for (group,) in self._db.execute(_GROUPS_AFTER, (self._indexed_seq,)):
            link = chain_hash(link, group)
        return Head((self._last_seq, link))

    def tend(self, *, idle: bool) -> bool:
        """Off the order path: chain and index a slice, or checkpoint. True while there is more to do.

        When not idle it acts only to keep the backlog of index and WAL bounded.
        """
        behind = self._last_seq - self._indexed_seq
        try:
            if self._wal_bytes > (WAL_CHECKPOINT_BYTES if idle else WAL_FORCED_BYTES):
                self._checkpoint()
            elif behind > (0 if idle else UNINDEXED_FORCED_ROWS):
                # Not idle it must outrun the largest groups: what memory forgets has to be in the index by then.
                self._index(limit_rows=500 if idle else 2_000)
        except sqlite3.Error as error:
            raise _failure(error) from error
        return idle and (self._last_seq > self._indexed_seq or self._wal_bytes > WAL_CHECKPOINT_BYTES)

    def integrity_check(self) -> str:
        """``ok`` or SQLite's own words about the file."""
        return str(self._db.execute("PRAGMA integrity_check").fetchone()[0])

    def close(self) -> None:
        """Chain and index what is left, checkpoint, let go of the file."""
        if self._closed:
            return
        self._closed = True
        try:
            while self._last_seq > self._indexed_seq:
                self._index(limit_rows=5_000)
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._db.execute("PRAGMA optimize").fetchall()
        except sqlite3.Error as error:
            raise _failure(error) from error
        finally:
            self._db.close()
            os.close(self._lock_fd)

    def _older_hit(self, keys: frozenset[Key]) -> Key | None:
        if self._known.complete:
            return None
        for key in keys:
            venue, name, placed = key
            query = _PLACED_BEFORE if placed else _EXECUTED_BEFORE
            if self._db.execute(query, (venue, name)).fetchone() is not None:
                return key
        return None

    def _load(self) -> None:
        version = self._db.execute("SELECT max(version) FROM schema_version").fetchone()[0]
        if version is not None and version != SCHEMA_VERSION:
            raise JournalFailed(JournalFailure.CORRUPT, f"schema {version}, this code writes {SCHEMA_VERSION}")
        if version is None:
            self._db.execute("INSERT INTO schema_version VALUES(?)", (SCHEMA_VERSION,))
        link = self._db.execute("SELECT last_seq, hash FROM journal_chain ORDER BY first_seq DESC LIMIT 1").fetchone()
        if link is not None:
            self._indexed_seq, self._indexed_hash = link
        for kind, venue, cl_ord_id, exec_id in self._db.execute(
            "SELECT kind, venue, cl_ord_id, exec_id FROM order_row ORDER BY seq"
        ):
            if kind in {"place", "replace"}:
                self._known.add(frozenset(((venue, cl_ord_id, True),)))
            if exec_id is not None:
                self._known.add(frozenset(((venue, exec_id, False),)))
        for _, group in _groups(self._db, self._indexed_seq + 1):
            self._known.add(_keys(decode_group(group)))
        last = self._db.execute("SELECT first_seq + row_count - 1 FROM order_journal ORDER BY first_seq DESC LIMIT 1")
        self._last_seq = (last.fetchone() or (0,))[0]
        if self._last_seq < self._indexed_seq:
            text = f"ends at row {self._last_seq}, but row {self._indexed_seq} was journalled before"
            raise JournalFailed(JournalFailure.CORRUPT, text)

    def _index(self, limit_rows: int) -> None:
        done, link = self._indexed_seq, self._indexed_hash
        lines: list[tuple[object, ...]] = []
        links: list[tuple[int, int, bytes]] = []
        for first_seq, group in _groups(self._db, done + 1):
            rows = decode_group(group)
            lines += [
                (first_seq + i, first_seq, r.ts_ns, r.kind.value, r.venue, r.cl_ord_id, r.exec_id, r.parent_id, r.epoch)
                for i, r in enumerate(rows)
            ]
            link = chain_hash(link, group)
            done = first_seq + len(rows) - 1
            links.append((first_seq, done, link))
            if len(lines) >= limit_rows:
                break
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT INTO order_row VALUES(?,?,?,?,?,?,?,?,?)", lines)
            self._db.executemany("INSERT INTO journal_chain VALUES(?,?,?)", links)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise
        self._indexed_seq, self._indexed_hash = done, link
        # An upper estimate of the pages a slice touches in the tables and their indexes.
        self._wal_bytes += (len(lines) + 16) * PAGE_BYTES // 2

    def _checkpoint(self) -> None:
        _busy, frames, moved = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # Once everything is moved the next commit starts the WAL file over, on blocks the disk already has.
        self._wal_bytes = max(0, frames - moved) * PAGE_BYTES
        if self._wal_bytes:
            # A reader holds an old snapshot; asking again before more has been written would only burn the disk.
            self._wal_bytes = min(self._wal_bytes, WAL_CHECKPOINT_BYTES)


class MemoryJournal:
    """The same journal without a disk, for virtual time.

    ``hashed=False`` skips the chain where a replay wants speed.
    """

    def __init__(self, *, hashed: bool = True) -> None:
        self._hashed = hashed
        self._groups: list[tuple[int, Sequence[RowDraft]]] = []
        # As on disk, the chain is written off the order path: the link before each group that has one, and the last.
        self._links: list[bytes] = [GENESIS_HASH]
        self._known = _Keys(KEYS_IN_MEMORY)
        self._last_seq = 0

    def append(self, rows: Sequence[RowDraft]) -> tuple[int, int]:
        """One group; (first seq, last seq)."""
        keys = _keys(rows)
        duplicate = self._known.hit(keys)
        if duplicate is not None:
            raise JournalFailed(JournalFailure.DUPLICATE, _describe(duplicate))
        first = self._last_seq + 1
        self._groups.append((first, tuple(rows)))
        self._last_seq += len(rows)
        self._known.add(keys)
        return first, self._last_seq

    def read(self, from_seq: int = 1) -> Iterator[JournalRow]:
        """Rows from ``from_seq`` on, in order."""
        links = self._chain()
        for index, (first, rows) in enumerate(self._groups):
            if first + len(rows) <= from_seq:
                continue
            prev_hash, link = (links[index], links[index + 1]) if self._hashed else (GENESIS_HASH, GENESIS_HASH)
            yield from (row for row in numbered(first, rows, prev_hash, link) if row.seq >= from_seq)

    def rows_of(self, cl_ord_id: str) -> list[JournalRow]:
        """Every row of one order, in order."""
        return [row for row in self.read() if row.cl_ord_id == cl_ord_id]

    def head(self) -> Head:
        """The last row's place and the chain's hash there."""
        return Head((self._last_seq, self._chain()[-1]))

    def _chain(self) -> list[bytes]:
        links = self._links
        if self._hashed:
            for _, rows in self._groups[len(links) - 1 :]:
                links.append(chain_hash(links[-1], encode_group(rows)))
        return links

    def close(self) -> None:
        """Nothing to give back."""


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection; works beside the writer and never blocks it.

    ``FileNotFoundError`` when there is no journal.
    """
    if not path.exists():
        raise FileNotFoundError(f"no journal at {path}")
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def read_rows(db: sqlite3.Connection, from_seq: int = 1) -> Iterator[JournalRow]:
    """Rows from ``from_seq`` on, in order; links not written yet are worked out on the way."""
    link = GENESIS_HASH
    start = 1
    # Begin after the last group that is chained and lies wholly before what was asked for.
    known = db.execute(
        "SELECT last_seq, hash FROM journal_chain WHERE last_seq < ? ORDER BY first_seq DESC LIMIT 1", (from_seq,)
    ).fetchone()
    if known is not None:
        start, link = known[0] + 1, known[1]
    for first, group in _groups(db, start):
        prev_hash, link = link, chain_hash(link, group)
        yield from (row for row in numbered(first, decode_group(group), prev_hash, link) if row.seq >= from_seq)


def rows_of(db: sqlite3.Connection, cl_ord_id: str) -> list[JournalRow]:
    """Every row of one order, in order: by the index, and by reading the tail that is not indexed yet."""
    found: list[JournalRow] = []
    for first, last in db.execute(
        "SELECT DISTINCT c.first_seq, c.last_seq FROM order_row r JOIN journal_chain c USING(first_seq) "
        "WHERE r.cl_ord_id = ? ORDER BY c.first_seq",
        (cl_ord_id,),
    ).fetchall():
        found += itertools.takewhile(lambda row, last=last: row.seq <= last, read_rows(db, first))  # type: ignore[misc]
    indexed = db.execute("SELECT coalesce(max(last_seq), 0) FROM journal_chain").fetchone()[0]
    found += read_rows(db, indexed + 1)
    return [row for row in found if row.cl_ord_id == cl_ord_id]


def _groups(db: sqlite3.Connection, from_seq: int) -> Iterator[tuple[int, bytes]]:
    yield from db.execute(
        "SELECT first_seq, rows FROM order_journal WHERE first_seq >= ? ORDER BY first_seq", (from_seq,)
    )


def _connect(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=busy_timeout_ms / 1000)
    db.execute(f"PRAGMA page_size={PAGE_BYTES}")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", "temp_store=MEMORY"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    for statement in _SCHEMA:
        db.execute(statement)
    _preallocate_wal(db)
    db.execute("PRAGMA cache_size=-4096")
    return db


def _preallocate_wal(db: sqlite3.Connection) -> None:
    # A transaction that outgrows the cache spills into the WAL and is rolled back: the file keeps its blocks, so that
    # later syncs need not allocate (about a quarter of the time of a small commit).
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    db.execute("PRAGMA cache_size=-64")
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TABLE preallocated(bytes BLOB)")
    db.execute("INSERT INTO preallocated VALUES(zeroblob(?))", (WAL_PREALLOCATED_BYTES,))
    db.execute("ROLLBACK")


def _lock(path: Path) -> int:
    fd = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise JournalFailed(JournalFailure.BUSY, f"{path} already has a writer") from error
    return fd
