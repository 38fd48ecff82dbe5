"""A journal from one store into another, empty one: the same groups, links, index and hours, byte for byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from adapters.journal.base import JournalFailed, JournalFailure
from adapters.journal.postgres import PostgresJournal
from adapters.journal.postgres_reader import failure_of
from adapters.journal.reader import JournalReader
from adapters.journal.schema import metadata
from adapters.journal.sqlite_schema import schema, stamp

BATCH_ROWS = 1_000
Insert = Callable[[str, list[tuple[object, ...]]], None]


def into_file(journal: JournalReader, path: Path, progress: Callable[[int], None] | None = None) -> None:
    """Into a new file at ``path``. ``sqlite3.Error`` or ``OSError`` when it does not end whole: remove it then."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous=OFF").fetchall()  # whoever asked syncs it when it is whole
        db.execute("BEGIN IMMEDIATE")
        for statement in schema():
            db.execute(statement)
        stamp(db)

        def put(table: str, rows: list[tuple[object, ...]]) -> None:
            places = ",".join("?" * len(rows[0]))
            db.executemany(f"INSERT INTO {table} VALUES({places})", rows)

        _pour(journal, put, progress)
        db.execute("COMMIT")
    finally:
        db.close()


def into_database(journal: JournalReader, url: str, progress: Callable[[int], None] | None = None) -> None:
    """Into an empty database; ``JournalFailed`` when it is not empty or does not take it: it is as before then."""
    with PostgresJournal(url) as store:
        if store.head().seq:
            raise JournalFailed(JournalFailure.DUPLICATE, f"the database holds a journal of {store.head().seq} rows")

        def put(table: str, rows: list[tuple[object, ...]]) -> None:
            made = metadata.tables[table]
            names = made.columns.keys()
            store.connection.execute(insert(made), [dict(zip(names, row, strict=True)) for row in rows])

        try:
            with store.transaction():
                _pour(journal, put, progress)
        except SQLAlchemyError as error:
            raise failure_of(error) from error


def _pour(journal: JournalReader, put: Insert, progress: Callable[[int], None] | None) -> None:
    done = 0
    for rows in _batches(journal.groups(1)):
        put("order_journal", rows)
        last = rows[-1]
        if progress is not None and isinstance(last[0], int) and last[0] - done >= 50 * BATCH_ROWS:
            done = last[0]
            progress(done)
    for table, source in (("journal_chain", journal.links(1)), ("order_row", journal.lines(1))):
        for rows in _batches(source):
            put(table, rows)
    for rows in _batches((h.hour, h.first_seq, h.last_seq, h.root, h.link) for h in journal.hours()):
        put("journal_hour", rows)
    state = journal.open_hour()
    if state:
        put("journal_open_hour", [(1, state)])


def _batches(rows: Iterable[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH_ROWS)):
        yield batch
