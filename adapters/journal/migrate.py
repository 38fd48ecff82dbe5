"""Moves a journal's schema from version to version with Alembic, in SQLite and PostgreSQL, each step in a transaction.

Owns how the migrations are run. Nobody may write the journal meanwhile: the store's lock is the caller's duty.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool

from adapters.journal.base import SCHEMA_VERSION
from adapters.journal.sqlite_schema import stated_version


def migrate_file(path: Path, to: int = SCHEMA_VERSION) -> None:
    """A file's schema to version ``to``, up or down. ``sqlite3.Error`` or SQLAlchemy's: it is as before."""
    _stamp_first_version(path)
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path, isolation_level=None), poolclass=NullPool)
    # Python's driver begins no transaction for a CREATE; a step must be whole or not at all.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        migrate(connection, to)


def migrate(connection: Connection, to: int = SCHEMA_VERSION) -> None:
    """The schema behind a connection to version ``to``, in the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    now = version_of(connection)
    if to > now:
        command.upgrade(config, f"{to:04d}")
    elif to < now:
        command.downgrade(config, f"{to:04d}")


def version_of(connection: Connection) -> int:
    """The version that the database states; 0 for an empty one."""
    return int(MigrationContext.configure(connection).get_current_revision() or 0)


def _stamp_first_version(path: Path) -> None:
    """Files of version 1 are older than the migrations and do not name theirs."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        if stated_version(db) == 1:
            db.execute("BEGIN IMMEDIATE")
            db.execute("CREATE TABLE IF NOT EXISTS alembic_version(version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            db.execute("INSERT OR IGNORE INTO alembic_version VALUES('0001')")
            db.execute("COMMIT")
    finally:
        db.close()
