"""The schema of a new journal in SQLite, by hand: a desk that starts does not wait for a migration tool.

It is what the migrations make of an empty file (a test compares); they are needed for older files and for the way back.
"""

from __future__ import annotations

import sqlite3

from adapters.journal.base import SCHEMA_VERSION

PAGE_BYTES = 4096
APPEND_ONLY = ("order_journal", "order_row", "journal_chain", "journal_hour")

_TABLES = (
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
    # Closed hours, and the tree of the one that is open: it grows in the transaction that writes the chain.
    """CREATE TABLE IF NOT EXISTS journal_hour(
        hour INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, root BLOB NOT NULL,
        link BLOB NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS journal_open_hour(id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS journal_checkpoint(
        name TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, taken_ns INTEGER NOT NULL, digest BLOB NOT NULL,
        blob BLOB NOT NULL, PRIMARY KEY (name, seq))""",
    "CREATE TABLE IF NOT EXISTS alembic_version(version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
)


def schema() -> tuple[str, ...]:
    """Every statement; each may be said again."""
    return (
        *_TABLES,
        *(
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for table in APPEND_ONLY
            for verb in ("UPDATE", "DELETE")
        ),
    )


def stated_version(db: sqlite3.Connection) -> int | None:
    """The schema's version that the file states; None for a new file."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone() is None:
        return None
    version: int | None = db.execute("SELECT max(version) FROM schema_version").fetchone()[0]
    return version


def stamp(db: sqlite3.Connection) -> None:
    """State this code's version in a new file, for stores and for the migrations."""
    db.executemany("INSERT INTO schema_version VALUES(?)", [(version,) for version in range(1, SCHEMA_VERSION + 1)])
    db.execute("INSERT INTO alembic_version VALUES(?)", (f"{SCHEMA_VERSION:04d}",))
