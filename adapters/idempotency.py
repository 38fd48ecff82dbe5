"""What was asked from outside, by its key: said twice, it is done once, also across a crash in between.

Owns one small SQLite file, written by the operators' cell. Not the order journal, which has one writer in another
process and is not kept waiting; that an order goes out once is the journal's to prove. Blocks its caller.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final

import msgspec

DAY_NS: Final = 86_400_000_000_000
KEY_CHARS_MAX: Final = 200
TROUBLE: Final = (OSError, sqlite3.Error)
_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS asked(
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, first_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL, answer BLOB)"""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is there already: what it was for, since when (UTC ns), and the answer if one came."""

    key: str
    digest: str
    first_ns: int
    answer: bytes | None


class TooManyKeysError(OSError):
    """So many keys live that no further one can be kept; nothing is promised for one that is not."""


class IdempotencyStore:
    """At most ``keys_max`` living keys. Any number of threads, and of processes, may use one file at a time.

    ``path`` None keeps them in memory, for whoever has no data directory. Methods raise one of `TROUBLE`.
    """

    def __init__(self, path: Path | None, *, keys_max: int = 100_000, patience_s: float = 2.0) -> None:
        """``patience_s``: how long another user of the file is waited for."""
        self._path = path
        self._keys_max = keys_max
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self.suppressed = 0

    def check_and_store(self, key: str, *, now_ns: int, ttl_ns: int = DAY_NS, digest: str = "") -> Asked | None:
        """None: the key is new, durable from now on, and the caller's to carry out. Else who had it before."""
        if not 0 < len(key) <= KEY_CHARS_MAX:
            raise ValueError(f"a key has 1 to {KEY_CHARS_MAX} characters, not {len(key)}")
        with self._lock:
            db = self._opened()
            db.execute("BEGIN IMMEDIATE")
            try:
                found = db.execute(
                    "SELECT digest, first_ns, answer FROM asked WHERE key = ? AND until_ns > ?", (key, now_ns)
                ).fetchone()
                if found is None:
                    self._make_room(db, now_ns)
                    row = (key, digest, now_ns, now_ns + ttl_ns)
                    db.execute("INSERT OR REPLACE INTO asked VALUES(?, ?, ?, ?, NULL)", row)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        if found is None:
            return None
        self.suppressed += 1
        return Asked(key=key, digest=found[0], first_ns=found[1], answer=found[2])

    def keep_answer(self, key: str, answer: bytes) -> None:
        """What came of it, for whoever asks again."""
        with self._lock:
            self._opened().execute("UPDATE asked SET answer = ? WHERE key = ?", (answer, key))

    def forget(self, key: str) -> None:
        """It was not carried out: it may be asked anew."""
        with self._lock:
            self._opened().execute("DELETE FROM asked WHERE key = ?", (key,))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _make_room(self, db: sqlite3.Connection, now_ns: int) -> None:
        db.execute("DELETE FROM asked WHERE until_ns <= ?", (now_ns,))
        if db.execute("SELECT count(*) FROM asked").fetchone()[0] >= self._keys_max:
            raise TooManyKeysError(f"{self._keys_max} keys were used within their time: no further one can be kept")

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            # One lock guards every use, so that any thread may be the one. A rollback journal, not a write-ahead log:
            # turning that on does not wait for others who open the file at the same time.
            db = sqlite3.connect(
                self._path or ":memory:", isolation_level=None, timeout=self._patience_s, check_same_thread=False
            )
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            db.execute(_SCHEMA)
            db.execute("COMMIT")
            self._db = db
        return self._db
