"""The schema by versions: the hand-written one is the migrations' own, older files are lifted, the way back is open."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from adapters.journal.migrate import migrate_file
from adapters.journal.postgres import PostgresJournal, migrate_database
from adapters.journal.postgres_reader import journal_url
from adapters.journal.schema import metadata
from adapters.journal.store import JournalFailed, SqliteJournal
from adapters.journal.verify import verify

HOUR_NS = 3_600_000_000_000


def schema_of(path):
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: re.sub(r"\s+", "", sql).replace("IFNOTEXISTS", "") for name, sql in rows}


@pytest.mark.req("P-ORD-14")
def test_a_new_file_has_the_schema_that_the_migrations_make(tmp_path):
    SqliteJournal(tmp_path / "new.db").close()
    migrate_file(tmp_path / "migrated.db")
    made, migrated = schema_of(tmp_path / "new.db"), schema_of(tmp_path / "migrated.db")
    for schema in (made, migrated):
        schema.pop("alembic_version")
    assert made == migrated
    with SqliteJournal(tmp_path / "migrated.db") as store:
        assert store.head().seq == 0


@pytest.mark.req("P-ORD-14")
def test_the_schema_goes_down_and_up_and_no_row_is_lost(place, open_store, row):
    with open_store(place) as store:
        for number in range(1, 6):
            store.append([row(number, ts_ns=number * HOUR_NS)])
    before = verify(place)
    (migrate_database if isinstance(place, str) else migrate_file)(place, 1)
    below = verify(place)
    assert (below.ok, below.rows, below.hours, below.head_hash) == (True, 5, 0, before.head_hash)
    with open_store(place) as store:
        store.append([row(6, ts_ns=6 * HOUR_NS)])
    after = verify(place)
    assert (after.ok, after.rows, after.hours) == (True, 6, 5)


def test_a_file_of_before_the_migrations_is_lifted_when_it_is_opened(tmp_path, row):
    """Version 1 knew no alembic: it only said 1."""
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as store:
        store.append([row(1), row(2)])
    migrate_file(path, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TABLE alembic_version")
        assert db.execute("SELECT max(version) FROM schema_version").fetchone() == (1,)
    with SqliteJournal(path) as store:
        store.append([row(3)])
    report = verify(path)
    assert (report.ok, report.rows) == (True, 3)
    assert not {"journal_hour", "alembic_version"} - set(schema_of(path))


def test_the_tables_of_postgresql_are_those_that_the_statements_know(database, row):
    PostgresJournal(database).close()
    engine = create_engine(journal_url(database), poolclass=NullPool)
    found = inspect(engine)
    for table in metadata.tables.values():
        columns = {c["name"]: (str(c["type"]), c["nullable"]) for c in found.get_columns(table.name)}
        assert columns == {c.name: (str(c.type.compile(engine.dialect)), c.nullable) for c in table.columns}
        assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
    engine.dispose()


def test_a_database_in_use_is_not_migrated(database, open_store):
    open_store(database)
    with pytest.raises(JournalFailed, match="has a writer"):
        migrate_database(database, 1)
