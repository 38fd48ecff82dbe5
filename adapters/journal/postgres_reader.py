"""Reading the order journal of PostgreSQL, and what its writer shares: the URL, the engine, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, Select, Table, create_engine, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from adapters.journal.base import JournalFailed, JournalFailure
from adapters.journal.merkle import HourRoot
from adapters.journal.migrate import version_of
from adapters.journal.reader import NEAR_IDS, JournalUnavailable, Line
from adapters.journal.schema import (
    journal_chain,
    journal_checkpoint,
    journal_hour,
    journal_open_hour,
    order_journal,
    order_row,
)

PAGE_ROWS = 500
CONNECT_TIMEOUT_S = 3
LOCK_TIMEOUT_MS = 2_000

# SQLSTATE, PostgreSQL 15, appendix A (read 2026-11).
_REASONS = {
    "53100": JournalFailure.DISK_FULL,
    "23505": JournalFailure.DUPLICATE,
    "55P03": JournalFailure.BUSY,
    "57014": JournalFailure.BUSY,
    "40001": JournalFailure.BUSY,
    "40P01": JournalFailure.BUSY,
    "XX001": JournalFailure.CORRUPT,
    "XX002": JournalFailure.CORRUPT,
}


def journal_url(where: str) -> URL:
    """A ``postgresql`` URL with the driver that we have; ``ValueError`` in words when it is none."""
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise ValueError(f"{where!r} is not a URL like postgresql://user@host:5432/database") from error
    if url.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise ValueError(f"the journal's URL begins with postgresql, not {url.drivername!r}")
    return url.set(drivername="postgresql+psycopg")


def engine_of(where: str, *, readonly: bool) -> Engine:
    """An engine that pools nothing and commits each statement; ``ValueError`` when the URL is none."""
    options = f"-c synchronous_commit=on -c lock_timeout={LOCK_TIMEOUT_MS} -c search_path=public"
    if readonly:
        options += " -c default_transaction_read_only=on"
    try:
        return create_engine(
            journal_url(where),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "propdesk",
                "options": options,
                # A server that went away without a word is noticed within seconds.
                "keepalives_idle": 2,
                "keepalives_interval": 1,
                "keepalives_count": 3,
                "tcp_user_timeout": 5_000,
            },
        )
    except NoSuchModuleError as error:
        raise ValueError(str(error)) from error


def failure_of(error: SQLAlchemyError) -> JournalFailed:
    """What went wrong, in our words: by SQLSTATE, and without one the connection itself."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = origin.sqlstate if isinstance(origin, psycopg.Error) else None
    words = str(origin).strip().splitlines()
    return JournalFailed(_REASONS.get(state or "", JournalFailure.IO), f"PostgreSQL: {words[0] if words else error}")


class PostgresReader:
    """Reads beside the writer. Trouble outside is `JournalUnavailable` unless the connection is the writer's own."""

    def __init__(self, url: str, db: Connection | None = None) -> None:
        self.url = url
        self._own: Engine | None = None
        if db is not None:
            self._db = db
            return
        try:
            self._own = engine_of(url, readonly=True)
            self._db = self._own.connect()
            if version_of(self._db) < 1:
                self.close()
                raise FileNotFoundError(f"no journal at {self.where}")
        except ValueError as error:
            raise JournalUnavailable(str(error)) from error
        except SQLAlchemyError as error:
            raise JournalUnavailable(f"{self.where}: {failure_of(error).text}") from error

    @property
    def where(self) -> str:
        """The URL without a password."""
        return journal_url(self.url).render_as_string(hide_password=True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See `JournalReader`."""
        self._ask(text("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        try:
            yield
        finally:
            if not self._db.invalidated:
                self._ask(text("ROLLBACK"))

    def groups(self, from_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """See `JournalReader`."""
        return self._paged(order_journal, from_seq)

    def links(self, from_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """See `JournalReader`."""
        return self._paged(journal_chain, from_seq)

    def lines(self, from_seq: int) -> Iterator[Line]:
        """See `JournalReader`."""
        return self._paged(order_row, from_seq)

    def hours(self) -> Iterator[HourRoot]:
        """See `JournalReader`."""
        if self._knows("journal_hour"):
            for row in self._rows(select(journal_hour).order_by(journal_hour.c.first_seq)):
                yield HourRoot(*row)

    def open_hour(self) -> bytes | None:
        """See `JournalReader`."""
        if not self._knows("journal_hour"):
            return None
        found = self._rows(select(journal_open_hour.c.state))
        return bytes(found[0][0]) if found else b""

    def checkpoints(self, name: str) -> Iterator[tuple[int, bytes, bytes, bytes]]:
        """See `JournalReader`."""
        c = journal_checkpoint.c
        query = select(c.seq, c.hash, c.digest, c.blob).where(c.name == name).order_by(c.seq.desc())
        return iter([tuple(row) for row in self._rows(query)])

    def last_seq(self) -> int:
        """See `JournalReader`."""
        c = order_journal.c
        found = self._rows(select(c.first_seq + c.row_count - 1).order_by(c.first_seq.desc()).limit(1))
        return int(found[0][0]) if found else 0

    def link_before(self, seq: int) -> tuple[int, bytes] | None:
        """See `JournalReader`."""
        c = journal_chain.c
        query = select(c.last_seq, c.hash).where(c.first_seq < seq, c.last_seq < seq)
        found = self._rows(query.order_by(c.first_seq.desc()).limit(1))
        return (found[0][0], bytes(found[0][1])) if found else None

    def ranges_of(self, cl_ord_id: str) -> list[tuple[int, int]]:
        """See `JournalReader`."""
        c = journal_chain.c
        query = (
            select(c.first_seq, c.last_seq)
            .distinct()
            .join_from(order_row, journal_chain, order_row.c.first_seq == c.first_seq)
            .where(order_row.c.cl_ord_id == cl_ord_id)
            .order_by(c.first_seq)
        )
        return [(first, last) for first, last in self._rows(query)]

    def ids_near(self, cl_ord_id: str, newest_rows: int) -> set[str]:
        """See `JournalReader`."""
        c = order_row.c
        asked = (
            select(c.cl_ord_id).distinct().where(c.cl_ord_id >= cl_ord_id).order_by(c.cl_ord_id).limit(NEAR_IDS),
            select(c.cl_ord_id)
            .distinct()
            .where(c.cl_ord_id < cl_ord_id, c.cl_ord_id != "")
            .order_by(c.cl_ord_id.desc())
            .limit(NEAR_IDS),
            select(c.cl_ord_id).where(c.cl_ord_id != "").order_by(c.seq.desc()).limit(newest_rows),
        )
        return {row[0] for query in asked for row in self._rows(query)}

    def integrity(self) -> str:
        """PostgreSQL proves its own pages when it reads them (data checksums, where they are on)."""
        version = version_of(self._db)
        return "ok" if version < 2 or self._knows("journal_hour") else "the table of the hours' roots is gone"

    def close(self) -> None:
        """Close the connection if it is ours."""
        if self._own is not None:
            self._db.close()
            self._own.dispose()

    def _paged(self, table: Table, from_seq: int) -> Iterator[Any]:
        key = next(iter(table.primary_key.columns))
        after = from_seq - 1
        while True:
            page = self._rows(select(table).where(key > after).order_by(key).limit(PAGE_ROWS))
            yield from page
            if len(page) < PAGE_ROWS:
                return
            after = page[-1][0]

    def _knows(self, table: str) -> bool:
        return self._rows(select(func.to_regclass(table)))[0][0] is not None

    def _rows(self, query: Select[Any]) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._ask(query).all()]

    def _ask(self, statement: Any) -> Any:  # a select or a text
        try:
            return self._db.execute(statement)
        except SQLAlchemyError as error:
            if self._own is None:
                raise
            raise JournalUnavailable(f"{self.where}: {failure_of(error).text}") from error
