"""A backup under load restores to an equal ledger, between stores too; what is not as it was saved is refused."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from adapters.dropcopy.store import DropCopyStore, Entry
from adapters.idempotency import IdempotencyStore
from adapters.journal import store
from adapters.journal.backup import JOURNAL, MANIFEST, BackupRefused, backup, check, restore
from adapters.journal.pour import into_database
from adapters.journal.reader import open_journal, read_rows
from adapters.journal.verify import verify
from adapters.journal.writer import JournalWriter
from supervision.desk_plan import INSTRUMENTS
from tests.trading.dropcopy.test_core import fill
from tests.waiting import PATIENCE_S
from trading.dropcopy.core import Turn
from trading.ledger.portfolio import Portfolio
from trading.orders.core import OrderCore, OrderCoreConfig
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body

NOW_NS = 1_790_000_000_000_000_000


def draft(row):
    return RowDraft(row.ts_ns, row.kind, row.venue, row.cl_ord_id, row.exec_id, row.parent_id, row.epoch, row.body)


def note(number):
    body = encode_body(NoteBody(text="load"))
    return RowDraft(number, JournalKind.NOTE, "binance", f"note-{number}", None, "", 1, body)


def saved(place, data, target):
    return backup(place, data, target, software="test", config_digest="abc", now_ns=NOW_NS)


def ledger_of(place, rows=None):
    """Balances, positions and profit as the desk works them out from a journal."""
    with closing(open_journal(place)) as journal:
        history = [row for row in read_rows(journal) if rows is None or row.seq <= rows]
    portfolio = Portfolio(INSTRUMENTS)
    portfolio.rebuild(history)
    return portfolio.balances_by_venue(), portfolio.positions(), portfolio.pnl_view()


@pytest.fixture
def traded(traded_journal):
    with closing(store.open_reader(traded_journal)) as db:
        return [draft(row) for row in store.read_rows(db)]


@pytest.mark.req("P-ORD-3")
@pytest.mark.req("P-ORD-14")
def test_a_backup_under_load_restores_to_an_equal_ledger(place, open_store, traded, tmp_path):
    """The writer goes on while it is copied: what is restored is the journal of one moment, and its ledger is equal."""
    stop = threading.Event()
    half = len(traded) // 2
    committed = threading.Semaphore(0)
    writer = JournalWriter(open_store(place), lambda ids, _last: committed.release(len(ids)), lambda error: None)
    for number, row in enumerate(traded[:half]):
        writer.submit(number, [row])
    for _ in range(half):
        assert committed.acquire(timeout=PATIENCE_S)

    def load():
        number = 0
        while not stop.is_set():
            number += 1
            writer.submit(1_000_000 + number, [note(number)])
            stop.wait(0.0005)
        for number, row in enumerate(traded[half:]):
            writer.submit(2_000_000 + number, [row])

    loader = threading.Thread(target=load)
    loader.start()
    try:
        for _ in range(50):
            assert committed.acquire(timeout=PATIENCE_S)
        manifest = saved(place, tmp_path, tmp_path / "saved")
    finally:
        stop.set()
        loader.join()
        writer.close()
    rows = manifest.journal.rows
    assert half < rows
    assert verify(place).rows > rows, "the load went on"
    assert check(tmp_path / "saved", "abc") == manifest
    restore(tmp_path / "saved", tmp_path / "new", manifest)
    report = verify(tmp_path / "new" / JOURNAL)
    assert (report.ok, report.head_hash.hex()) == (True, manifest.journal.head_hash)
    assert ledger_of(tmp_path / "new" / JOURNAL) == ledger_of(place, rows)
    with open_store(tmp_path / "new" / JOURNAL) as again:
        assert again.head().seq == rows


@pytest.mark.req("P-ORD-5")
def test_a_kept_checkpoint_and_the_tail_are_the_whole_history(place, open_store, traded):
    """The order core's own state, through the store: what it says of every order is the same."""
    journal = open_store(place)
    half = len(traded) // 2
    for row in traded:
        journal.append([row])
    while journal.tend(idle=True):
        pass
    rows = list(journal.read())
    at_half = OrderCore(INSTRUMENTS, 1, OrderCoreConfig())
    at_half.restore(rows[:half])
    assert journal.save_checkpoint("orders", half, at_half.checkpoint(half), NOW_NS)
    kept = journal.newest_checkpoint("orders")
    whole, continued = (OrderCore(INSTRUMENTS, 1, OrderCoreConfig()) for _ in range(2))
    whole.restore(rows)
    applied = continued.restore(list(journal.read(kept.seq + 1)), kept.blob)
    assert applied == len(rows) - half

    def told(core):
        return sorted((o.venue, o.cl_ord_id, o.ord_status, o.cum_qty) for o in core.open_orders())

    assert told(continued) == told(whole)


@pytest.fixture
def source(tmp_path, open_store, row):
    data = tmp_path / "data"
    (data / "universe").mkdir(parents=True)
    (data / "brakes.msgpack").write_bytes(b"brakes")
    (data / "universe" / "list.json").write_text("{}")
    with open_store(data / JOURNAL) as journal:
        for number in range(1, 30):
            journal.append([row(number, ts_ns=number * 400_000_000_000)])
    return data


def test_what_stands_beside_the_journal_comes_along(source, tmp_path):
    manifest = saved(source / JOURNAL, source, tmp_path / "saved")
    assert set(manifest.files) == {JOURNAL, "brakes.msgpack", "universe/list.json"}
    assert manifest.journal.hours == 3
    restore(tmp_path / "saved", tmp_path / "new", check(tmp_path / "saved"))
    assert (tmp_path / "new" / "brakes.msgpack").read_bytes() == b"brakes"
    with pytest.raises(BackupRefused, match="is there already"):
        restore(tmp_path / "saved", tmp_path / "new", manifest)
    with pytest.raises(BackupRefused, match="is not empty"):
        saved(source / JOURNAL, source, tmp_path / "saved")


@pytest.mark.req("P-ORD-14")
def test_the_venues_records_come_along_while_they_are_written(source, tmp_path):
    """What is committed and not yet in the file proper is saved too, and never more of the journal than it has."""
    execution = fill("x-1", ts_event_ns=NOW_NS)
    live = DropCopyStore(source / "dropcopy" / "binance.db")
    try:
        live.keep(
            Entry(turn=Turn(listed=[execution]), from_ns=1, until_ns=NOW_NS, journal_seq=29, before_ns=0, at_ns=NOW_NS)
        )
        live.accept("x-1", "alice", "the venue broke the trade", NOW_NS)
        assert (source / "dropcopy" / "binance.db-wal").stat().st_size > 0
        manifest = saved(source / JOURNAL, source, tmp_path / "saved")
    finally:
        live.close()
    assert {name for name in manifest.files if name.startswith("dropcopy")} == {"dropcopy/binance.db"}
    restore(tmp_path / "saved", tmp_path / "new", check(tmp_path / "saved"))
    with closing(DropCopyStore(tmp_path / "new" / "dropcopy" / "binance.db")) as back:
        kept = back.load()
        assert (kept.listed, back.accepted()) == ((execution,), {"x-1": "alice"})
        assert kept.journal_seq <= manifest.journal.rows


@pytest.mark.req("P-ORD-14")
def test_what_was_asked_once_is_not_done_again_by_the_desk_that_was_restored(source, tmp_path):
    with closing(IdempotencyStore(source / "operations.db")) as live:
        assert live.check_and_store("flatten-1", now_ns=NOW_NS, digest="d") is None
        live.keep_answer("flatten-1", b"flattened")
        saved(source / JOURNAL, source, tmp_path / "saved")
    restore(tmp_path / "saved", tmp_path / "new", check(tmp_path / "saved"))
    with closing(IdempotencyStore(tmp_path / "new" / "operations.db")) as back:
        asked = back.check_and_store("flatten-1", now_ns=NOW_NS + 1, digest="d")
        assert asked is not None
        assert asked.answer == b"flattened"


@pytest.mark.req("P-ORD-14")
@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (lambda d: (d / MANIFEST).unlink(), "no backup"),
        (lambda d: (d / MANIFEST).write_text("{"), "damaged"),
        (lambda d: (d / "brakes.msgpack").write_bytes(b"brakez"), "brakes.msgpack is not the file"),
        (lambda d: (d / "brakes.msgpack").unlink(), "brakes.msgpack is missing"),
        (lambda d: (d / "more").write_text("x"), "more is not in the manifest"),
        (lambda d: (d / JOURNAL).write_bytes((d / JOURNAL).read_bytes()[:-4096]), "journal.db is not the file"),
    ],
)
def test_a_backup_that_is_not_as_it_was_saved_is_refused(source, tmp_path, hurt, words):
    saved(source / JOURNAL, source, tmp_path / "saved")
    hurt(tmp_path / "saved")
    with pytest.raises(BackupRefused, match=words):
        check(tmp_path / "saved")


def test_a_manifest_of_another_journal_is_refused(source, tmp_path, row, open_store):
    saved(source / JOURNAL, source, tmp_path / "one")
    with open_store(source / JOURNAL) as journal:
        journal.append([row(99)])
    two = saved(source / JOURNAL, source, tmp_path / "two")
    text = (tmp_path / "two" / MANIFEST).read_text()
    one = check(tmp_path / "one")
    (tmp_path / "two" / MANIFEST).write_text(text.replace(two.journal.head_hash, one.journal.head_hash))
    with pytest.raises(BackupRefused, match="not the one that the manifest names"):
        check(tmp_path / "two")
    with pytest.raises(BackupRefused, match="another configuration"):
        check(tmp_path / "one", "other")


def test_a_broken_journal_is_not_saved_as_if_it_were_whole(source, tmp_path):
    raw = bytearray((source / JOURNAL).read_bytes())
    at = raw.index(b"row 7")
    raw[at : at + 5] = b"row 8"
    (source / JOURNAL).write_bytes(raw)
    with pytest.raises(BackupRefused, match="broken"):
        saved(source / JOURNAL, source, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.req("P-ORD-14")
def test_a_journal_moves_from_the_file_to_postgresql_and_back_with_every_hash(source, tmp_path, database, open_store):
    manifest = saved(source / JOURNAL, source, tmp_path / "saved")
    with closing(open_journal(tmp_path / "saved" / JOURNAL)) as journal, journal.snapshot():
        into_database(journal, database)
    report = verify(database)
    assert (report.ok, report.rows, report.hours) == (True, 29, 3)
    back = saved(database, tmp_path / "none", tmp_path / "back")
    assert back.journal == manifest.journal
    assert back.source == "postgresql"
    with open_store(database) as journal:
        assert journal.head().seq == 29
    with (
        closing(open_journal(source / JOURNAL)) as journal,
        pytest.raises(Exception, match="holds a journal of 29 rows"),
    ):
        into_database(journal, database)
