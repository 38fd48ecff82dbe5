"""A full disk, a failed sync, a lock, a server that goes away: no new risk, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from actors.journal import Journal, JournalSetup
from actors.messages import ActorFailed, AppendRows, BrakeSet, RowsCommitted, StartActor
from adapters.clock import SystemClock, VirtualClock
from adapters.journal import postgres_reader
from adapters.journal.base import JournalFailed, JournalFailure
from adapters.journal.store import SqliteJournal, open_reader, read_rows
from adapters.journal.verify import verify
from adapters.journal.writer import JournalWriter
from supervision.bases.loop import LoopBase
from tests.waiting import PATIENCE_S
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body

ROOT = Path(__file__).resolve().parents[3]


def big(number, size=20_000):
    body = encode_body(NoteBody(text="x" * size))
    return RowDraft(number, JournalKind.NOTE, "BINANCE", f"pd1-{number}", None, "", 1, body)


@pytest.fixture
def small_disk(tmp_path):
    """A real filesystem of 64 MB, most of it taken; the file that takes it can be removed."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no right to mount a small disk: {done.stderr.decode().strip()}")
    try:
        (mount / "ballast").write_bytes(bytes(40 << 20))
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


def placed(path):
    with closing(open_reader(path)) as db:
        return {row.cl_ord_id for row in read_rows(db)}


class Heard:
    """Answers of a writer, from its thread."""

    def __init__(self):
        self.committed, self.failed, self.changed = [], [], threading.Condition()

    def on_committed(self, ids, _last_seq):
        with self.changed:
            self.committed += ids
            self.changed.notify_all()

    def on_failed(self, error):
        with self.changed:
            self.failed.append(error)
            self.changed.notify_all()

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), PATIENCE_S)


@pytest.mark.req("P-ORD-1")
@pytest.mark.req("P-ORD-14")
def test_on_a_full_disk_every_row_is_either_there_or_said_to_be_lost(small_disk):
    path = small_disk / "journal.db"
    heard = Heard()
    writer = JournalWriter(SqliteJournal(path), heard.on_committed, heard.on_failed)
    sent = 0
    while writer.failed is None and sent < 3_000:
        try:
            writer.submit(sent, [big(sent)])
        except JournalFailed:
            break
        sent += 1
        if sent % 20 == 0:
            heard.wait(lambda h: h.failed or len(h.committed) >= sent)  # noqa: B023 - waited for here
    heard.wait(lambda h: h.failed)
    with pytest.raises(JournalFailed):
        writer.submit(9_999, [big(9_999)])
    writer.close()
    assert heard.failed[0].reason is JournalFailure.DISK_FULL
    lost = {i for error in heard.failed for i in error.batch_ids}
    assert set(range(sent)) - lost == set(heard.committed)
    (small_disk / "ballast").unlink()
    with SqliteJournal(path) as store:
        store.append([big(10_000)])
    assert placed(path) == {f"pd1-{i}" for i in [*heard.committed, 10_000]}
    assert verify(path).ok


@pytest.mark.req("P-ORD-1")
def test_a_full_disk_holds_the_desk_and_ends_the_journal(small_disk):
    base = LoopBase.standalone(name="desk", clock=VirtualClock(1_790_000_000_000_000_000, 1))
    kept = []
    base.set_router(lambda to, _sender, msg: kept.append((to, msg)) or True)
    address = base.create_root(Journal, {"propdesk.name": "journal"})
    setup = JournalSetup(path=small_disk / "journal.db")
    base.inject(address, StartActor(name="journal", supervisor="supervisor", setup=setup))
    base.run_until_idle()
    pause = threading.Event()
    ends_ns = SystemClock.mono_ns() + PATIENCE_S * 1e9
    number = 0
    while base.actor("journal") is not None and SystemClock.mono_ns() < ends_ns:
        if number < 2_000:
            base.inject("journal", AppendRows(commit_id=number, rows=(big(number),), reply_to="orders"))
            number += 1
        base.run_until_idle()
        pause.wait(0.001)
    brakes = [msg for to, msg in kept if type(msg) is BrakeSet and to == "governor"]
    assert {(b.code, b.scope, b.level, b.release) for b in brakes} == {("JOURNAL_FAILED", "global", 3, "operator")}
    assert any(type(msg) is ActorFailed for _, msg in kept)
    acknowledged = {f"pd1-{i}" for _, msg in kept if type(msg) is RowsCommitted for i in msg.commit_ids}
    base.shutdown()
    assert acknowledged
    assert acknowledged <= placed(small_disk / "journal.db")


CHILD = """
import os, resource, signal, sys, threading
from pathlib import Path
from adapters.journal.store import SqliteJournal
from adapters.journal.writer import JournalWriter
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body

path, how, flag = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])

def row(n):
    return RowDraft(n, JournalKind.NOTE, "V", f"pd1-{n}", None, "i", 1, encode_body(NoteBody(text="x" * 20_000)))

first = threading.Event()

def said(ids, *_):
    if 19 in ids:
        first.set()
    os.write(1, "".join(f"{i}\\n" for i in ids).encode())

def failed(error):
    os.write(2, f"{error.reason.value} {' '.join(map(str, error.batch_ids))}\\n".encode())

writer = JournalWriter(SqliteJournal(path), said, failed)
for n in range(20):
    writer.submit(n, [row(n)])
assert first.wait(60)
if how == "size":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9 << 20, 9 << 20))
else:
    flag.touch()
try:
    for n in range(20, 2_000):
        writer.submit(n, [row(n)])
except Exception:
    pass
writer.close()
os._exit(0)
"""

FAILING_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) { const char *flag = getenv("BREAK_SYNC"); return flag && access(flag, F_OK) == 0; }
int fsync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


def run_child(tmp_path, how, env=None):
    path, flag = tmp_path / "journal.db", tmp_path / "broken"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), how, str(flag)],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **(env or {}), "BREAK_SYNC": str(flag)},
        timeout=2 * PATIENCE_S,
        check=True,
    )
    committed = [int(line) for line in done.stdout.decode().split()]
    failures = [line.split() for line in done.stderr.decode().splitlines() if line]
    return path, committed, failures


@pytest.mark.process
@pytest.mark.req("P-ORD-1")
def test_a_file_that_may_not_grow_loses_nothing_that_was_acknowledged(tmp_path):
    path, committed, failures = run_child(tmp_path, "size")
    assert failures[0][0] in {"disk_full", "io"}
    assert len(committed) >= 20
    assert not {int(i) for words in failures for i in words[1:]} & set(committed)
    SqliteJournal(path).close()
    assert {f"pd1-{i}" for i in committed} <= placed(path)
    assert verify(path).ok


@pytest.mark.process
@pytest.mark.req("P-ORD-1")
def test_after_a_failed_sync_nothing_is_acknowledged_and_nothing_is_lost(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: a sync that fails is made in C")
    source, library = tmp_path / "sync.c", tmp_path / "sync.so"
    source.write_text(FAILING_SYNC)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    path, committed, failures = run_child(tmp_path, "sync", {"LD_PRELOAD": str(library)})
    assert failures[0][0] == "io"
    assert set(range(20)) <= set(committed)
    assert len(committed) < 100, "what came after the broken sync was acknowledged"
    SqliteJournal(path).close()
    assert {f"pd1-{i}" for i in committed} <= placed(path)
    assert verify(path).ok


@pytest.mark.req("P-ORD-14")
def test_somebody_elses_lock_stops_new_rows_and_loses_none(tmp_path, row):
    """F81: the row is not written, so its order is not sent; what was written stays."""
    path, heard = tmp_path / "journal.db", Heard()
    writer = JournalWriter(SqliteJournal(path, busy_timeout_ms=50), heard.on_committed, heard.on_failed)
    writer.submit(1, [row(1)])
    heard.wait(lambda h: h.committed == [1])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        writer.submit(2, [row(2)])
        heard.wait(lambda h: h.failed)
        db.execute("ROLLBACK")
    writer.close()
    assert (heard.failed[0].reason, heard.failed[0].batch_ids) == (JournalFailure.BUSY, (2,))
    with SqliteJournal(path) as store:
        assert [r.cl_ord_id for r in store.read()] == ["pd1-1"]
        store.append([row(2)])


def test_a_lock_in_an_idle_moment_is_waited_out(tmp_path, row):
    """Chain and index can wait: no row was refused, so the desk goes on."""
    with (
        SqliteJournal(tmp_path / "journal.db", busy_timeout_ms=1) as store,
        closing(sqlite3.connect(store.path, isolation_level=None)) as db,
    ):
        store.append([row(1)])
        db.execute("BEGIN IMMEDIATE")
        assert store.tend(idle=True) is False
        db.execute("ROLLBACK")
        store.tend(idle=True)
        assert verify(store.path).text.startswith("1 rows, chain whole, 0 closed hours")


@pytest.mark.req("P-ORD-14")
def test_a_server_that_ends_the_connection_ends_the_writer_and_nothing_acknowledged_is_lost(database, open_store, row):
    heard = Heard()
    store = open_store(database)
    writer = JournalWriter(store, heard.on_committed, heard.on_failed)
    writer.submit(1, [row(1)])
    heard.wait(lambda h: h.committed == [1])
    with closing(psycopg.connect(database, autocommit=True)) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'propdesk'"
        )
    writer.submit(2, [row(2)])
    heard.wait(lambda h: h.failed)
    assert heard.failed[0].reason is JournalFailure.IO
    with pytest.raises(JournalFailed):
        writer.submit(3, [row(3)])
    writer.close()
    with open_store(database) as again:
        assert [r.cl_ord_id for r in again.read()] == ["pd1-1"]


def test_a_locked_table_is_busy_and_nothing_is_written(database, open_store, row, monkeypatch):
    monkeypatch.setattr(postgres_reader, "LOCK_TIMEOUT_MS", 50)
    store = open_store(database)
    with closing(psycopg.connect(database)) as db:
        db.execute("LOCK TABLE order_journal IN EXCLUSIVE MODE")
        with pytest.raises(JournalFailed) as caught:
            store.append([row(1)])
        assert caught.value.reason is JournalFailure.BUSY
        db.rollback()
    assert store.append([row(1)]) == (1, 1)


def test_a_server_that_does_not_answer_is_said_so(tmp_path, open_store):
    with pytest.raises(JournalFailed, match="PostgreSQL") as caught:
        open_store("postgresql://nobody@127.0.0.1:1/none")
    assert caught.value.reason is JournalFailure.IO
