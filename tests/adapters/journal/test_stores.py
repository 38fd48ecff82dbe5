"""What holds for both stores, the file and PostgreSQL: one contract, the same bytes, the same hashes."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import psycopg
import pytest

from actors.journal import Journal
from actors.messages import AppendRows, JournalHistory, ReadJournal, RowsCommitted, StartActor
from adapters.clock import VirtualClock
from adapters.config import ConfigError, load_config
from adapters.journal.base import JournalFailed, JournalFailure
from adapters.journal.memory import MemoryJournal
from adapters.journal.merkle import HOUR_NS
from adapters.journal.reader import open_journal, read_rows, rows_of
from adapters.journal.verify import verify
from adapters.journal.writer import JournalWriter
from adapters.why import why
from supervision.bases.loop import LoopBase
from supervision.plan import paths_of
from supervision.wiring import Wiring
from trading.orders.journal_rows import JournalKind, RowDraft


def test_rows_come_back_in_order_and_chained(place, open_store, row):
    store = open_store(place)
    assert store.append([row(1), row(2)]) == (1, 2)
    assert store.append([row(3)]) == (3, 3)
    rows = list(store.read())
    assert [r.seq for r in rows] == [1, 2, 3]
    assert rows[2].prev_hash == rows[1].hash
    assert store.head() == (3, rows[2].hash)
    assert [r.seq for r in store.read(2)] == [2, 3]
    assert [r.cl_ord_id for r in store.rows_of("pd1-2")] == ["pd1-2"]


def test_every_store_gives_the_same_hashes_and_the_same_rows(place, open_store, row):
    store, memory = open_store(place), MemoryJournal()
    for start in (1, 40, 400):
        for journal in (store, memory):
            journal.append([row(start + i, ts_ns=start * HOUR_NS // 30) for i in range(30)])
    assert store.head() == memory.head()
    assert list(store.read()) == list(memory.read())
    store.close()
    report = verify(place)
    assert (report.ok, report.rows, report.hours, report.head_hash) == (True, 90, 2, memory.head().hash)


@pytest.mark.req("P-ORD-4")
@pytest.mark.parametrize(("reopened", "remembered"), [(False, 500_000), (True, 500_000), (False, 2), (True, 2)])
def test_a_second_place_or_execution_is_refused_and_nothing_is_written(place, open_store, row, reopened, remembered):
    store = open_store(place, keys_in_memory=remembered)
    store.append([row(1), row(2, JournalKind.FILL, "x1")])
    for start in (10, 20):
        store.append([row(start + i) for i in range(3)])
    while store.tend(idle=True):
        pass
    if reopened:
        store.close()
        store = open_store(place, keys_in_memory=remembered)
    for repeated in (row(1), row(1, JournalKind.REPLACE), row(9, JournalKind.PARTIAL, "x1")):
        with pytest.raises(JournalFailed) as caught:
            store.append([row(5), repeated])
        assert caught.value.reason is JournalFailure.DUPLICATE
    assert store.head().seq == 8
    store.append([row(5)])


def test_a_journal_has_one_writer_and_readers_see_every_commit(place, open_store, row):
    store = open_store(place)
    store.append([row(1)])
    with pytest.raises(JournalFailed, match="already has a writer") as caught:
        open_store(place)
    assert caught.value.reason is JournalFailure.BUSY
    with closing(open_journal(place)) as journal:
        assert [r.seq for r in read_rows(journal)] == [1]
        store.append([row(2)])
        assert [r.seq for r in read_rows(journal)] == [1, 2]


def test_an_order_is_found_before_and_after_indexing(place, open_store, row):
    store = open_store(place)
    store.append([row(1), row(2)])
    while store.tend(idle=True):
        pass
    store.append([row(3), row(1, JournalKind.ACK)])
    with closing(open_journal(place)) as journal:
        assert [(r.seq, r.kind) for r in rows_of(journal, "pd1-1")] == [(1, JournalKind.PLACE), (4, JournalKind.ACK)]
        assert journal.ids_near("pd1-2", 10) == {"pd1-1", "pd1-2"}


def test_a_new_life_goes_on_where_the_last_ended(place, open_store, row):
    for life in range(3):
        with open_store(place) as store:
            store.append([row(10 * life + i) for i in range(1, 4)])
            assert store.head().seq == 3 * (life + 1)
    report = verify(place)
    assert (report.ok, report.rows) == (True, 9)


def test_the_writer_thread_commits_in_order(place, open_store, row):
    committed: list[int] = []
    writer = JournalWriter(open_store(place), lambda ids, _last: committed.extend(ids), lambda error: None)
    for number in range(200):
        writer.submit(number, [row(2 * number), row(2 * number + 1)])
    writer.close()
    assert committed == list(range(200))
    assert verify(place).rows == 400


@pytest.mark.req("P-ORD-5")
def test_the_newest_three_checkpoints_of_a_name_stay_and_a_damaged_one_is_not_used(place, open_store, row):
    store = open_store(place)
    assert not store.save_checkpoint("orders", 1, b"too early", 0)
    for number in range(1, 6):
        store.append([row(number)])
        while store.tend(idle=True):
            pass
        assert store.save_checkpoint("orders", number, f"state {number}".encode(), number)
    store.save_checkpoint("portfolio", 2, b"other", 2)
    newest = store.newest_checkpoint("orders")
    assert (newest.seq, newest.blob) == (5, b"state 5")
    store.close()
    with closing(open_journal(place)) as journal:
        assert [seq for seq, *_ in journal.checkpoints("orders")] == [5, 4, 3]
        assert [seq for seq, *_ in journal.checkpoints("portfolio")] == [2]
    change(place, "UPDATE journal_checkpoint SET digest = hash WHERE seq = 5")
    change(place, "UPDATE journal_checkpoint SET hash = digest WHERE seq = 4")
    store = open_store(place)
    assert store.newest_checkpoint("orders").blob == b"state 3"


def change(place, statement):
    """What somebody with the right to write could do."""
    with closing(psycopg.connect(place, autocommit=True) if isinstance(place, str) else sqlite3.connect(place)) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.req("P-ORD-14")
def test_one_line_of_configuration_puts_the_desks_journal_into_postgresql(database, tmp_path, traded_journal):
    """The wiring, the actor, a second life, the story of an order: all of it from the database."""
    config = load_config(overrides={"journal.url": database, "data_dir": str(tmp_path)})
    setup = Wiring(config, paths_of(tmp_path)).journal()
    with closing(open_journal(traded_journal)) as journal:
        history = list(read_rows(journal))
    kept = []
    for commit_id, rows in enumerate((history[: len(history) // 2], history[len(history) // 2 :])):
        base = LoopBase.standalone(name="desk", clock=VirtualClock(1_790_000_000_000_000_000, 1))
        base.set_router(lambda to, _sender, msg: kept.append(msg) or True)
        address = base.create_root(Journal, {"propdesk.name": "journal"})
        base.inject(address, StartActor(name="journal", supervisor="supervisor", setup=setup))
        drafts = tuple(RowDraft(*(getattr(row, name) for name in RowDraft.__struct_fields__)) for row in rows)
        base.inject("journal", AppendRows(commit_id=commit_id, rows=drafts, reply_to="orders"))
        pause = threading.Event()
        for _ in range(12_000):
            base.run_until_idle()
            if any(type(msg) is RowsCommitted and commit_id in msg.commit_ids for msg in kept):
                break
            pause.wait(0.005)
        base.inject("journal", ReadJournal(reply_to="portfolio"))
        base.run_until_idle()
        base.shutdown()
    read = [msg.rows for msg in kept if type(msg) is JournalHistory][-1]
    assert [(r.seq, r.cl_ord_id, r.body) for r in read] == [(r.seq, r.cl_ord_id, r.body) for r in history]
    placed = next(row.cl_ord_id for row in history if row.kind is JournalKind.PLACE)
    assert why(database, placed) == why(traded_journal, placed)
    assert not (tmp_path / "journal.db").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [("mysql://host/db", "postgresql://"), ("journal.db", "postgresql://"), ("postgresql://me:pw@host/db", "pgpass")],
)
def test_a_url_that_is_none_or_carries_a_password_is_refused(url, words):
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(overrides={"journal.url": url})
    assert "journal.url" in str(caught.value)
