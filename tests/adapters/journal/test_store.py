"""The journal on disk: append-only, unique, chained, readable beside its writer."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing

import pytest

from adapters.journal.store import (
    JournalFailed,
    JournalFailure,
    MemoryJournal,
    SqliteJournal,
    open_reader,
    read_rows,
    rows_of,
)
from adapters.journal.verify import verify
from trading.orders.journal_rows import JournalKind, encode_group, encode_rows, join_group


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.mark.parametrize("make", [SqliteJournal, lambda _: MemoryJournal()])
def test_rows_come_back_in_order_and_chained(make, path, row) -> None:
    store = make(path)
    assert store.append([row(1), row(2)]) == (1, 2)
    assert store.append([row(3)]) == (3, 3)
    rows = list(store.read())
    assert [r.seq for r in rows] == [1, 2, 3]
    assert rows[2].prev_hash == rows[1].hash
    assert store.head() == (3, rows[2].hash)
    assert [r.seq for r in store.read(2)] == [2, 3]
    assert [r.cl_ord_id for r in store.rows_of("pd1-2")] == ["pd1-2"]
    store.close()


def test_both_stores_give_the_same_hashes(path, row) -> None:
    with SqliteJournal(path) as disk:
        memory = MemoryJournal()
        for store in (disk, memory):
            for start in (1, 40, 400):
                store.append([row(start + i) for i in range(30)])
        assert disk.head() == memory.head()


@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
def test_parts_join_to_the_canonical_bytes(row, count) -> None:
    rows = [row(i) for i in range(3)] * (count // 3 + 1)
    rows = rows[:count]
    halves = (rows[: count // 2], rows[count // 2 :])
    parts = [encode_rows(half) for half in halves]
    assert join_group(count, parts) == encode_group(rows)


@pytest.mark.req("P-ORD-2")
@pytest.mark.parametrize(
    ("indexed", "reopened", "remembered"),
    [(False, False, 500_000), (True, False, 500_000), (False, True, 500_000), (True, False, 2), (True, True, 2)],
)
def test_a_second_place_or_execution_is_refused_and_nothing_is_written(
    path, row, indexed, reopened, remembered
) -> None:
    store = SqliteJournal(path, keys_in_memory=remembered)
    store.append([row(1), row(2, JournalKind.FILL, "x1")])
    store.append([row(number) for number in range(10, 13)])
    store.append([row(number) for number in range(20, 23)])
    while indexed and store.tend(idle=True):
        pass
    if reopened:
        store.close()
        store = SqliteJournal(path, keys_in_memory=remembered)
    for repeated in (row(1), row(1, JournalKind.REPLACE), row(9, JournalKind.PARTIAL, "x1")):
        with pytest.raises(JournalFailed) as caught:
            store.append([row(5), repeated])
        assert caught.value.reason is JournalFailure.DUPLICATE
    with pytest.raises(JournalFailed, match="same batch"):
        store.append([row(6), row(6)])
    assert store.head().seq == 8
    store.append([row(5), row(6)])
    store.close()


def test_rows_cannot_be_changed_or_deleted(path, row) -> None:
    with SqliteJournal(path) as store:
        store.append([row(1)])
        while store.tend(idle=True):
            pass
    with closing(sqlite3.connect(path)) as db:
        for statement in (
            "UPDATE order_journal SET rows = x'00'",
            "DELETE FROM order_journal",
            "UPDATE order_row SET kind = 'fill'",
            "DELETE FROM journal_chain",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)


def test_a_journal_has_one_writer_and_any_number_of_readers(path, row) -> None:
    with SqliteJournal(path) as store:
        store.append([row(1)])
        with pytest.raises(JournalFailed, match="already has a writer"):
            SqliteJournal(path)
        with closing(open_reader(path)) as reader:
            assert [r.seq for r in read_rows(reader)] == [1]
            store.append([row(2)])
            assert [r.seq for r in read_rows(reader)] == [1, 2]
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.execute("DELETE FROM order_journal")


def test_an_order_is_found_before_and_after_indexing(path, row) -> None:
    with SqliteJournal(path) as store:
        store.append([row(1), row(2)])
        while store.tend(idle=True):
            pass
        store.append([row(3), row(1, JournalKind.ACK)])
        with closing(open_reader(path)) as reader:
            assert [(r.seq, r.kind) for r in rows_of(reader, "pd1-1")] == [
                (1, JournalKind.PLACE),
                (4, JournalKind.ACK),
            ]
            indexed = reader.execute("SELECT seq FROM order_row WHERE venue = 'BINANCE' AND cl_ord_id = 'pd1-2'")
            assert indexed.fetchall() == [(2,)]


def test_checkpoints_keep_the_wal_bounded_and_lose_nothing(path, row) -> None:
    with SqliteJournal(path) as store:
        for start in range(0, 40_000, 1_000):
            store.append([row(start + i) for i in range(1_000)])
            while store.tend(idle=True):
                pass
        assert path.with_name(path.name + "-wal").stat().st_size < 16 << 20
        assert store.integrity_check() == "ok"
    assert verify(path).rows == 40_000


def test_trouble_with_the_disk_is_told_and_nothing_is_half_written(path, row) -> None:
    with SqliteJournal(path) as store:
        store.append([row(1)])
        store._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(JournalFailed) as caught:
            store.append([row(i) for i in range(2, 2_000)])
        assert caught.value.reason is JournalFailure.DISK_FULL
        store._db.execute("PRAGMA max_page_count = 1000000")
        assert store.append([row(2)]) == (2, 2)
    assert verify(path).ok


def test_another_lock_on_the_file_is_busy(path, row) -> None:
    with SqliteJournal(path, busy_timeout_ms=1) as store, closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFailed) as caught:
            store.append([row(1)])
        assert caught.value.reason is JournalFailure.BUSY
        db.execute("ROLLBACK")
        store.append([row(1)])


def test_a_file_of_another_schema_is_refused(path) -> None:
    SqliteJournal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO schema_version VALUES (99)")
    with pytest.raises(JournalFailed, match="schema 99"):
        SqliteJournal(path)


def test_a_file_that_is_no_database_is_corrupt(path) -> None:
    path.write_bytes(b"no journal" * 1000)
    with pytest.raises(JournalFailed) as caught:
        SqliteJournal(path)
    assert caught.value.reason is JournalFailure.CORRUPT


def test_the_failure_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(JournalFailed(JournalFailure.IO, "disk gone", (3, 4))))
    assert (error.reason, error.text, error.batch_ids) == (JournalFailure.IO, "disk gone", (3, 4))
