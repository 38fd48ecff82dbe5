"""The order journal on disk: SQLite in WAL mode, synchronous=FULL, append-only, hash-chained.

One SQLite row holds one commit group, packed: a commit then costs the disk and not the B-trees (the naive table with
its indexes ran at a third of the disk's rate for groups of 100). The hash chain, the hours' roots and the relational
index of all rows, `order_row`, are written off the order path; uniqueness is checked before each commit and again by
the index. Owns no thread and decides nothing. What every store shares is `base.py`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from adapters.clock import SystemClock
from adapters.journal import reader
from adapters.journal.base import (
    CHECKPOINTS_KEPT,
    KEYS_IN_MEMORY,
    SCHEMA_VERSION,
    UNINDEXED_FORCED_ROWS,
    Checkpoint,
    Following,
    Head,
    JournalFailed,
    JournalFailure,
    JournalStore,
    Prepared,
    joined,
    keys_of,
)
from adapters.journal.headfile import HeadFile
from adapters.journal.keys import JournalKeys, Key
from adapters.journal.memory import MemoryJournal
from adapters.journal.merkle import HourTree, OpenHour, decode_open, encode_open
from adapters.journal.sqlite_schema import PAGE_BYTES, schema, stamp, stated_version
from trading.orders.journal_rows import GENESIS_HASH, JournalRow, RowDraft, chain_hash, decode_group

__all__ = [
    "Head",
    "JournalFailed",
    "JournalFailure",
    "JournalStore",
    "MemoryJournal",
    "Prepared",
    "SqliteJournal",
    "lock",
    "open_reader",
    "read_rows",
    "rows_of",
]

WAL_PREALLOCATED_BYTES = 8 << 20
WAL_CHECKPOINT_BYTES = 4 << 20
WAL_FORCED_BYTES = 64 << 20
ANALYZE_EVERY_ROWS = 200_000
VACUUM_FREE_PAGES = 2_048
VACUUM_FREE_SHARE = 4
VACUUM_BYTES_MAX = 256 << 20

_WALL_NS = SystemClock().wall_ns
_PLACED_BEFORE = "SELECT 1 FROM order_row WHERE venue=? AND cl_ord_id=? AND kind IN ('place', 'replace')"
_GROUPS_AFTER = "SELECT rows FROM order_journal WHERE first_seq > ? ORDER BY first_seq"
_EXECUTED_BEFORE = "SELECT 1 FROM order_row WHERE venue=? AND exec_id=?"
_FORGET_CHECKPOINTS = (
    "DELETE FROM journal_checkpoint WHERE name = ? AND seq NOT IN "
    "(SELECT seq FROM journal_checkpoint WHERE name = ? ORDER BY seq DESC LIMIT ?)"
)


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

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_ms: int = 2_000,
        keys_in_memory: int = KEYS_IN_MEMORY,
        wall_ns: Callable[[], int] = _WALL_NS,
    ) -> None:
        self.path = path
        self._lock_fd = _lock(path)
        self._wall_ns = wall_ns
        self._last_seq = 0
        self._indexed_seq = 0
        self._indexed_hash = GENESIS_HASH
        self._tree = HourTree()
        self._wal_bytes = 0
        self._unanalyzed_rows = 0
        self._known = JournalKeys(keys_in_memory, self._in_index)
        self._closed = False
        try:
            self._db = _connect(path, busy_timeout_ms)
            self._head_file = HeadFile(path)
            self._load()
        except sqlite3.Error as error:
            os.close(self._lock_fd)
            raise _failure(error) from error
        except OSError as error:
            os.close(self._lock_fd)
            raise _os_failure(error) from error
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
        keys = [batch.keys for batch in batches]
        repeated = self._known.repeated(keys)
        if repeated is not None:
            raise JournalFailed(JournalFailure.DUPLICATE, repeated)
        count, group = joined(batches)
        first = self._last_seq + 1
        try:
            self._db.execute("INSERT INTO order_journal VALUES(?,?,?)", (first, count, group))
        except sqlite3.Error as error:
            raise _failure(error) from error
        self._wal_bytes += len(group) + 2 * PAGE_BYTES
        self._last_seq += count
        self._known.add(keys)
        return first, self._last_seq

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
        """Off the order path: chain and index a slice, checkpoint, or tidy. True while there is more to do.

        When not idle it acts only to keep the backlog of index and WAL bounded; when idle another's lock is waited out
        another time.
        """
        behind = self._last_seq - self._indexed_seq
        try:
            if self._wal_bytes > (WAL_CHECKPOINT_BYTES if idle else WAL_FORCED_BYTES):
                self._checkpoint()
            elif behind > (0 if idle else UNINDEXED_FORCED_ROWS):
                # Not idle it must outrun the largest groups.
                self._index(limit_rows=500 if idle else 500 + behind - UNINDEXED_FORCED_ROWS)
            elif idle:
                self._tidy()
        except sqlite3.Error as error:
            failed = _failure(error)
            if idle and failed.reason is JournalFailure.BUSY and behind <= UNINDEXED_FORCED_ROWS:
                return False
            raise failed from error
        except OSError as error:
            raise _os_failure(error) from error
        return idle and (self._last_seq > self._indexed_seq or self._wal_bytes > WAL_CHECKPOINT_BYTES)

    def save_checkpoint(self, name: str, seq: int, blob: bytes, taken_ns: int) -> bool:
        """Keep a state after row ``seq``; of each name the newest three stay. False while that row is not chained."""
        try:
            link = reader.SqliteReader(self._db).link_before(seq + 1)
            if link is None or link[0] != seq:
                return False
            digest = hashlib.sha256(blob).digest()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                row = (name, seq, link[1], taken_ns, digest, blob)
                self._db.execute("INSERT OR REPLACE INTO journal_checkpoint VALUES(?,?,?,?,?,?)", row)
                self._db.execute(_FORGET_CHECKPOINTS, (name, name, CHECKPOINTS_KEPT))
                self._db.execute("COMMIT")
            except sqlite3.Error:
                _roll_back(self._db)
                raise
        except sqlite3.Error as error:
            raise _failure(error) from error
        self._wal_bytes += len(blob) + 4 * PAGE_BYTES
        return True

    def newest_checkpoint(self, name: str) -> Checkpoint | None:
        """The newest kept state that is whole and belongs to this very history; None: replay from the first row."""
        return reader.newest_checkpoint(reader.SqliteReader(self._db, self.path), name)

    def integrity_check(self) -> str:
        """``ok`` or SQLite's own words about the file."""
        return str(self._db.execute("PRAGMA integrity_check").fetchone()[0])

    def vacuum(self) -> tuple[int, int]:
        """Give free pages back to the disk: (bytes before, bytes after). Blocks the writer."""
        try:
            before = self._pages() * PAGE_BYTES
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return before, self._pages() * PAGE_BYTES
        except sqlite3.Error as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Chain and index what is left, checkpoint, give free pages back if they are many, let go of the file."""
        if self._closed:
            return
        self._closed = True
        try:
            while self._last_seq > self._indexed_seq:
                self._index(limit_rows=5_000)
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._db.execute("PRAGMA optimize").fetchall()
            free = int(self._db.execute("PRAGMA freelist_count").fetchone()[0])
            pages = self._pages()
            if free > max(VACUUM_FREE_PAGES, pages // VACUUM_FREE_SHARE) and pages * PAGE_BYTES <= VACUUM_BYTES_MAX:
                self.vacuum()
        except sqlite3.Error as error:
            raise _failure(error) from error
        except OSError as error:
            raise _os_failure(error) from error
        finally:
            self._db.close()
            self._head_file.close()
            os.close(self._lock_fd)

    def _pages(self) -> int:
        return int(self._db.execute("PRAGMA page_count").fetchone()[0])

    def _in_index(self, key: Key) -> bool:
        venue, name, placed = key
        try:
            found = self._db.execute(_PLACED_BEFORE if placed else _EXECUTED_BEFORE, (venue, name)).fetchone()
        except sqlite3.Error as error:
            raise _failure(error) from error
        return found is not None

    def _load(self) -> None:
        link = self._db.execute("SELECT last_seq, hash FROM journal_chain ORDER BY first_seq DESC LIMIT 1").fetchone()
        if link is not None:
            self._indexed_seq, self._indexed_hash = link
        for line in self._db.execute("SELECT kind, venue, cl_ord_id, exec_id FROM order_row ORDER BY seq"):
            self._known.load_line(*line)
        for _, group in _groups(self._db, self._indexed_seq + 1):
            self._known.load(keys_of(decode_group(group)))
        last = self._db.execute("SELECT first_seq + row_count - 1 FROM order_journal ORDER BY first_seq DESC LIMIT 1")
        self._last_seq = (last.fetchone() or (0,))[0]
        if self._last_seq < self._indexed_seq:
            text = f"ends at row {self._last_seq}, but row {self._indexed_seq} was journalled before"
            raise JournalFailed(JournalFailure.CORRUPT, text)
        self._load_hours()

    def _load_hours(self) -> None:
        state = self._db.execute("SELECT state FROM journal_open_hour").fetchone()
        try:
            self._tree = HourTree(decode_open(state[0]) if state is not None else OpenHour())
        except msgspec.DecodeError as error:
            raise JournalFailed(JournalFailure.CORRUPT, f"the open hour is unreadable: {error}") from error
        # A file of an older schema has no hours: they are worked out once.
        following = Following(done=self._tree.state.next_seq - 1, link=GENESIS_HASH)
        for first_seq, group in _groups(self._db, following.done + 1):
            if first_seq > self._indexed_seq:
                break
            following.take(self._tree, first_seq, group)
            following.lines.clear()
        if self._tree.state.next_seq != self._indexed_seq + 1:
            text = f"its hours end at row {self._tree.state.next_seq - 1}, its chain at row {self._indexed_seq}"
            raise JournalFailed(JournalFailure.CORRUPT, text)
        if following.links:
            following.links.clear()
            self._write(following)

    def _index(self, limit_rows: int) -> None:
        following = Following(done=self._indexed_seq, link=self._indexed_hash)
        before = encode_open(self._tree.state)
        for first_seq, group in _groups(self._db, self._indexed_seq + 1):
            following.take(self._tree, first_seq, group)
            if len(following.lines) >= limit_rows:
                break
        self._follow(following, before)

    def _tidy(self) -> None:
        if self._tree.state.hour >= 0:
            following = Following(done=self._indexed_seq, link=self._indexed_hash)
            before = encode_open(self._tree.state)
            closed = self._tree.seal(self._wall_ns())
            if closed is not None:
                following.roots.append(closed)
                self._follow(following, before)
        if self._unanalyzed_rows >= ANALYZE_EVERY_ROWS:
            self._unanalyzed_rows = 0
            # A sample of each index is enough for the planner, and takes milliseconds.
            self._db.execute("PRAGMA analysis_limit=1000").fetchall()
            self._db.execute("ANALYZE").fetchall()

    def _follow(self, following: Following, before: bytes) -> None:
        try:
            self._write(following)
        except sqlite3.Error:
            self._tree = HourTree(decode_open(before))
            raise
        self._indexed_seq, self._indexed_hash = following.done, following.link
        self._head_file.write(self._indexed_seq, self._indexed_hash)
        self._unanalyzed_rows += len(following.lines)
        # An upper estimate of the pages a slice touches in the tables and their indexes.
        self._wal_bytes += (len(following.lines) + 16) * PAGE_BYTES // 2

    def _write(self, following: Following) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT INTO order_row VALUES(?,?,?,?,?,?,?,?,?)", following.lines)
            self._db.executemany("INSERT INTO journal_chain VALUES(?,?,?)", following.links)
            roots = [(r.hour, r.first_seq, r.last_seq, r.root, r.link) for r in following.roots]
            self._db.executemany("INSERT INTO journal_hour VALUES(?,?,?,?,?)", roots)
            self._db.execute("INSERT OR REPLACE INTO journal_open_hour VALUES(1, ?)", (encode_open(self._tree.state),))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            _roll_back(self._db)
            raise

    def _checkpoint(self) -> None:
        _busy, frames, moved = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # Once everything is moved the next commit starts the WAL file over, on blocks the disk already has.
        self._wal_bytes = max(0, frames - moved) * PAGE_BYTES
        if self._wal_bytes:
            # A reader holds an old snapshot; asking again before more has been written would only burn the disk.
            self._wal_bytes = min(self._wal_bytes, WAL_CHECKPOINT_BYTES)


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection; works beside the writer and never blocks it.

    ``FileNotFoundError`` when there is no journal.
    """
    return reader.connect(path)


def read_rows(db: sqlite3.Connection, from_seq: int = 1) -> Iterator[JournalRow]:
    """Rows from ``from_seq`` on, in order; links not written yet are worked out on the way."""
    return reader.read_rows(reader.SqliteReader(db), from_seq)


def rows_of(db: sqlite3.Connection, cl_ord_id: str) -> list[JournalRow]:
    """Every row of one order, in order: by the index, and by reading the tail that is not indexed yet."""
    return reader.rows_of(reader.SqliteReader(db), cl_ord_id)


def _groups(db: sqlite3.Connection, from_seq: int) -> Iterator[tuple[int, bytes]]:
    yield from db.execute(
        "SELECT first_seq, rows FROM order_journal WHERE first_seq >= ? ORDER BY first_seq", (from_seq,)
    )


def _connect(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    db = _open(path, busy_timeout_ms)
    version = stated_version(db)
    if version is not None and version < SCHEMA_VERSION:
        db.close()
        from adapters.journal.migrate import migrate_file  # noqa: PLC0415 - a tool that most starts do not need

        migrate_file(path)
        db = _open(path, busy_timeout_ms)
        version = stated_version(db)
    if version not in {None, SCHEMA_VERSION}:
        db.close()
        raise JournalFailed(JournalFailure.CORRUPT, f"schema {version}, this code writes {SCHEMA_VERSION}")
    if version is None:
        db.execute("BEGIN IMMEDIATE")
        for statement in schema():
            db.execute(statement)
        stamp(db)
        db.execute("COMMIT")
    _preallocate_wal(db)
    db.execute("PRAGMA cache_size=-4096")
    return db


def _open(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=busy_timeout_ms / 1000)
    db.execute(f"PRAGMA page_size={PAGE_BYTES}")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", "temp_store=MEMORY"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    return db


def _roll_back(db: sqlite3.Connection) -> None:
    # A full disk may have rolled it back already (https://sqlite.org/lang_transaction.html, read 2026-11).
    if db.in_transaction:
        db.execute("ROLLBACK")


def _os_failure(error: OSError) -> JournalFailed:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return JournalFailed(JournalFailure.DISK_FULL if full else JournalFailure.IO, str(error))


def _preallocate_wal(db: sqlite3.Connection) -> None:
    # A transaction that outgrows the cache spills into the WAL and is rolled back: the file keeps its blocks, so that
    # later syncs need not allocate (about a quarter of the time of a small commit).
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    db.execute("PRAGMA cache_size=-64")
    db.execute("BEGIN IMMEDIATE")
    db.execute("CREATE TABLE preallocated(bytes BLOB)")
    db.execute("INSERT INTO preallocated VALUES(zeroblob(?))", (WAL_PREALLOCATED_BYTES,))
    db.execute("ROLLBACK")


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of a journal's one writer; ``JournalFailed`` (BUSY) when somebody has it."""
    fd = _lock(path)
    try:
        yield
    finally:
        os.close(fd)


def _lock(path: Path) -> int:
    fd = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise JournalFailed(JournalFailure.BUSY, f"{path} already has a writer") from error
    return fd
