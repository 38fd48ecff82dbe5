"""What the drop copy of one venue keeps: the record as it was read, what waits, differences, and how it was read.

A SQLite file of its own, so that it can be compared offline with a journal that may be damaged. Executions are kept for
so many days and at most so many; the oldest go first. Losing a moment of it in a power cut loses nothing: the record is
read again. Blocks its caller: not for a loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from trading.dropcopy.core import Difference, Turn
from trading.dropcopy.execution import DifferenceKind, Execution

DAY_NS = 86_400_000_000_000
SCHEMA = 1
_PRUNE_ROWS = 20_000
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS fact(name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    # booked: 0 waits for the journal, 1 was booked, or need not be.
    """CREATE TABLE IF NOT EXISTS execution(
        exec_id TEXT PRIMARY KEY, ts_event_ns INTEGER NOT NULL, booked INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS execution_by_time ON execution(ts_event_ns)",
    "CREATE INDEX IF NOT EXISTS execution_waiting ON execution(booked) WHERE booked = 0",
    # Booked, and not in the record (yet).
    "CREATE TABLE IF NOT EXISTS unlisted(exec_id TEXT PRIMARY KEY, body BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS difference(
        id INTEGER PRIMARY KEY, exec_id TEXT NOT NULL, kind TEXT NOT NULL, since_ns INTEGER NOT NULL,
        ended_ns INTEGER NOT NULL, accepted_by TEXT NOT NULL, listed BLOB, booked BLOB)""",
    "CREATE INDEX IF NOT EXISTS difference_open ON difference(ended_ns)",
    # What people accepted, for the desk that runs to take up.
    """CREATE TABLE IF NOT EXISTS accepted(
        exec_id TEXT PRIMARY KEY, accepted_by TEXT NOT NULL, why TEXT NOT NULL, ts_ns INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS day(
        day INTEGER PRIMARY KEY, readings INTEGER NOT NULL, failed INTEGER NOT NULL, blind_ns INTEGER NOT NULL)""",
)
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Execution).decode


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier life left. ``from_ns`` 0: there was none. ``until_ns`` (venue): the record was read so far."""

    from_ns: int = 0
    until_ns: int = 0
    journal_seq: int = 0
    before_ns: int = 0
    listed: tuple[Execution, ...] = ()
    booked: tuple[Execution, ...] = ()
    open: tuple[Difference, ...] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One look, as it is written down: what it changed, and how far both sides were read. Times are UTC ns."""

    turn: Turn
    from_ns: int
    until_ns: int
    journal_seq: int
    before_ns: int
    at_ns: int
    failed: bool = False
    blind_ns: int = 0


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that was told, and its end (0: it has none yet)."""

    difference: Difference
    ended_ns: int


class DayOfReadings(msgspec.Struct, frozen=True, kw_only=True):
    """How the record was read on one UTC day; ``blind_ns`` is how long it could not be read, or nobody was there."""

    day: int
    readings: int
    failed: int
    blind_ns: int


class DropCopyStore:
    """One venue's file. ``OSError`` or ``sqlite3.Error`` when it cannot be used; ``ValueError`` for a newer schema."""

    def __init__(self, path: Path, *, days: int = 8, rows_max: int = 1_000_000, readonly: bool = False) -> None:
        if readonly and not path.exists():
            raise FileNotFoundError(f"no drop copy at {path}")
        if not readonly:
            path.parent.mkdir(parents=True, exist_ok=True)
        mode = "ro" if readonly else "rwc"
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=2)
        self.path = path
        self._days = days
        self._rows_max = rows_max
        if not readonly:
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            for statement in _SCHEMA:
                self._db.execute(statement)
            self._db.execute("INSERT OR IGNORE INTO fact VALUES('schema', ?)", (SCHEMA,))
        version = self._fact("schema")
        if version > SCHEMA:
            raise ValueError(f"{path}: written by a newer propdesk (schema {version}, known: {SCHEMA}); move it away")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # --- For the desk that runs -------------------------------------------------------------------------

    def load(self) -> Kept:
        """What is there."""
        listed = self._db.execute("SELECT body FROM execution WHERE booked = 0 ORDER BY ts_event_ns")
        return Kept(
            from_ns=self._fact("from_ns"),
            until_ns=self._fact("until_ns"),
            journal_seq=self._fact("journal_seq"),
            before_ns=self._fact("before_ns"),
            listed=tuple(_DECODE(body) for (body,) in listed.fetchall()),
            booked=tuple(_DECODE(body) for (body,) in self._db.execute("SELECT body FROM unlisted").fetchall()),
            open=tuple(one.difference for one in self.differences() if not one.ended_ns),
        )

    def known(self, exec_ids: Iterable[str]) -> set[str]:
        """Those of these executions that need no booking any more."""
        found = set()
        for exec_id in exec_ids:
            row = self._db.execute("SELECT booked FROM execution WHERE exec_id = ?", (exec_id,)).fetchone()
            if row is not None and row[0]:
                found.add(exec_id)
        return found

    def accepted(self) -> dict[str, str]:
        """What people accepted, by exec_id: who."""
        return dict(self._db.execute("SELECT exec_id, accepted_by FROM accepted").fetchall())

    def keep(self, entry: Entry) -> None:
        """Write one look down, whole or not at all."""
        db, turn = self._db, entry.turn
        db.execute("BEGIN IMMEDIATE")
        try:
            for booked, some in ((0, turn.listed), (1, turn.matched)):
                db.executemany(
                    "INSERT INTO execution VALUES(?, ?, ?, ?) "
                    "ON CONFLICT(exec_id) DO UPDATE SET booked = excluded.booked",
                    [(one.exec_id, one.ts_event_ns, booked, _ENCODE(one)) for one in some],
                )
            db.executemany(
                "INSERT OR REPLACE INTO unlisted VALUES(?, ?)", [(one.exec_id, _ENCODE(one)) for one in turn.booked]
            )
            db.executemany("DELETE FROM unlisted WHERE exec_id = ?", [(exec_id,) for exec_id in turn.gone])
            for one in turn.healed:
                db.execute(
                    "UPDATE difference SET ended_ns = ?, accepted_by = ? "
                    "WHERE exec_id = ? AND kind = ? AND ended_ns = 0",
                    (entry.at_ns, one.accepted_by, one.exec_id, one.kind.value),
                )
            for one in turn.opened:
                db.execute(
                    "INSERT INTO difference VALUES(NULL, ?, ?, ?, 0, '', ?, ?)",
                    (one.exec_id, one.kind.value, one.since_ns, _blob(one.listed), _blob(one.booked)),
                )
            for name in ("from_ns", "until_ns", "journal_seq", "before_ns"):
                db.execute("INSERT OR REPLACE INTO fact VALUES(?, ?)", (name, getattr(entry, name)))
            db.execute(
                "INSERT INTO day VALUES(?, 1, ?, ?) ON CONFLICT(day) DO UPDATE SET readings = readings + 1, "
                "failed = failed + excluded.failed, blind_ns = blind_ns + excluded.blind_ns",
                (entry.at_ns // DAY_NS, int(entry.failed), entry.blind_ns),
            )
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def prune(self, now_ns: int) -> int:
        """Let the oldest go, some at a time; how many executions went."""
        before_ns = now_ns - self._days * DAY_NS
        surplus = self._count("SELECT count(*) FROM execution") - self._rows_max
        if surplus > 0:
            row = self._db.execute(
                "SELECT ts_event_ns FROM execution ORDER BY ts_event_ns LIMIT 1 OFFSET ?", (surplus,)
            ).fetchone()
            before_ns = max(before_ns, row[0] if row is not None else 0)
        gone = self._db.execute(
            "DELETE FROM execution WHERE rowid IN (SELECT rowid FROM execution WHERE ts_event_ns < ? AND booked = 1 "
            "ORDER BY ts_event_ns LIMIT ?)",
            (before_ns, _PRUNE_ROWS),
        ).rowcount
        self._db.execute("DELETE FROM difference WHERE ended_ns > 0 AND ended_ns < ?", (now_ns - self._days * DAY_NS,))
        self._db.execute("DELETE FROM accepted WHERE ts_ns < ?", (now_ns - 4 * self._days * DAY_NS,))
        self._db.execute("DELETE FROM day WHERE day < ?", (now_ns // DAY_NS - self._days,))
        if gone:
            self._db.execute("INSERT OR REPLACE INTO fact VALUES('kept_from_ns', ?)", (before_ns,))
            self._db.execute("PRAGMA incremental_vacuum")
        return gone

    # --- For people -------------------------------------------------------------------------------------

    def accept(self, exec_id: str, by: str, why: str, now_ns: int) -> None:
        """Say that a person has looked at a difference and lives with it; the desk takes it up when it looks next."""
        self._db.execute("INSERT OR REPLACE INTO accepted VALUES(?, ?, ?, ?)", (exec_id, by, why, now_ns))

    def span(self) -> tuple[int, int]:
        """From when to when (venue, UTC ns) the file holds the whole record; zeros when it never read it."""
        return max(self._fact("from_ns"), self._fact("kept_from_ns")), self._fact("until_ns")

    def before_ns(self) -> int:
        """Executions up to this venue's time need not be booked."""
        return self._fact("before_ns")

    def execution(self, exec_id: str) -> tuple[int, Execution] | None:
        """(row's number, execution) by its id."""
        row = self._db.execute("SELECT rowid, body FROM execution WHERE exec_id = ?", (exec_id,)).fetchone()
        return None if row is None else (int(row[0]), _DECODE(row[1]))

    def executions(self, since_ns: int, until_ns: int) -> Iterator[tuple[int, Execution]]:
        """(row's number, execution) of a span, both ends in it, oldest first."""
        for rowid, body in self._db.execute(
            "SELECT rowid, body FROM execution WHERE ts_event_ns BETWEEN ? AND ? ORDER BY ts_event_ns",
            (since_ns, until_ns),
        ):
            yield int(rowid), _DECODE(body)

    def differences(self, since_ns: int = 0) -> list[Past]:
        """Those that are open, or ended after ``since_ns`` (ours, UTC), oldest first."""
        found = self._db.execute(
            "SELECT exec_id, kind, since_ns, ended_ns, accepted_by, listed, booked FROM difference "
            "WHERE ended_ns = 0 OR ended_ns >= ? ORDER BY since_ns, id",
            (since_ns,),
        )
        return [
            Past(
                difference=Difference(
                    kind=DifferenceKind(kind),
                    exec_id=exec_id,
                    listed=None if listed is None else _DECODE(listed),
                    booked=None if booked is None else _DECODE(booked),
                    since_ns=began_ns,
                    accepted_by=by,
                ),
                ended_ns=ended_ns,
            )
            for exec_id, kind, began_ns, ended_ns, by, listed, booked in found.fetchall()
        ]

    def days(self, first_day: int) -> list[DayOfReadings]:
        """How the record was read, by UTC day since 1970."""
        found = self._db.execute("SELECT * FROM day WHERE day >= ? ORDER BY day", (first_day,))
        return [
            DayOfReadings(day=day, readings=readings, failed=failed, blind_ns=blind)
            for day, readings, failed, blind in found
        ]

    def _fact(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def _count(self, statement: str, *values: object) -> int:
        return int(self._db.execute(statement, values).fetchone()[0])


def _blob(one: Execution | None) -> bytes | None:
    return None if one is None else _ENCODE(one)
