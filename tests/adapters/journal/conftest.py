"""Rows to write, and both stores to write them to: a file, and a database of the test's own on a real server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from sqlalchemy.engine import make_url

from adapters.journal.postgres import PostgresJournal
from adapters.journal.store import SqliteJournal
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body

SERVER = os.environ.get("PROPDESK_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
"""A server on which databases may be made and dropped."""


@pytest.fixture
def row() -> Callable[..., RowDraft]:
    def build(number: int, kind: JournalKind = JournalKind.PLACE, exec_id: str | None = None, ts_ns=None) -> RowDraft:
        body = encode_body(NoteBody(text=f"row {number}"))
        stamp = number if ts_ns is None else ts_ns
        return RowDraft(stamp, kind, "BINANCE", f"pd1-{number}", exec_id, f"intent-{number}", 1, body)

    return build


@pytest.fixture(scope="session")
def server():
    """The server's URL; without one the tests of PostgreSQL skip and say so."""
    try:
        psycopg.connect(SERVER, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {SERVER} (PROPDESK_TEST_POSTGRESQL names another): {str(error).splitlines()[0]}")
    return SERVER


@pytest.fixture
def database(server):
    """The URL of an empty database, dropped afterwards."""
    name = f"propdesk_test_{uuid.uuid4().hex[:12]}"
    with closing(psycopg.connect(server, autocommit=True)) as db:
        db.execute(f"CREATE DATABASE {name}")
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """Where a journal may lie: a path or a URL, each of the test's own."""
    return tmp_path / "journal.db" if request.param == "sqlite" else request.getfixturevalue("database")


@pytest.fixture
def open_store():
    """Opens a store at a place; what a test leaves open is closed."""
    opened = []

    def build(place, **options):
        store = PostgresJournal(place, **options) if isinstance(place, str) else SqliteJournal(place, **options)
        opened.append(store)
        return store

    yield build
    for store in opened:
        store.close()
