"""The writer thread: group commit, order, failure, and a process that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from adapters.journal import writer as writer_module
from adapters.journal.store import JournalFailed, JournalFailure, SqliteJournal
from adapters.journal.verify import verify
from adapters.journal.writer import JournalWriter
from tests.waiting import PATIENCE_S
from trading.orders.journal_rows import JournalKind

ROOT = Path(__file__).resolve().parents[3]


class Heard:
    """What the writer said, from its thread."""

    def __init__(self) -> None:
        self.committed: list[int] = []
        self.groups: list[list[int]] = []
        self.failed: list[JournalFailed] = []
        self._changed = threading.Condition()

    def on_committed(self, ids: list[int], last_seq: int) -> None:
        with self._changed:
            self.last_seq = last_seq
            self.groups.append(ids)
            self.committed += ids
            self._changed.notify_all()

    def on_failed(self, error: JournalFailed) -> None:
        with self._changed:
            self.failed.append(error)
            self._changed.notify_all()

    def wait(self, condition) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), PATIENCE_S)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def writer(tmp_path, heard):
    writer = JournalWriter(SqliteJournal(tmp_path / "journal.db"), heard.on_committed, heard.on_failed)
    yield writer
    writer.close()


def test_batches_are_committed_in_order_and_grouped(writer, heard, row, tmp_path) -> None:
    for number in range(300):
        writer.submit(number, [row(2 * number), row(2 * number + 1)])
    heard.wait(lambda h: len(h.committed) == 300)
    assert heard.committed == list(range(300))
    assert len(heard.groups) < 300
    writer.close()
    assert verify(tmp_path / "journal.db").rows == 600


def test_no_batch_is_overslept_when_it_comes_as_an_idle_moment_ends(writer, heard, row, monkeypatch) -> None:
    monkeypatch.setattr(writer_module, "IDLE_S", 0.0001)
    for number in range(300):
        writer.submit(number, [row(number)])
        heard.wait(lambda h, number=number: h.committed[-1:] == [number])
    assert heard.committed == list(range(300))


def test_a_repetition_fails_alone(writer, heard, row) -> None:
    writer.submit(1, [row(1)])
    heard.wait(lambda h: h.committed == [1])
    for number, rows in ((2, [row(2)]), (3, [row(1)]), (4, [row(4)])):
        writer.submit(number, rows)
    heard.wait(lambda h: h.committed == [1, 2, 4] and h.failed)
    assert [(e.reason, e.batch_ids) for e in heard.failed] == [(JournalFailure.DUPLICATE, (3,))]


def test_after_trouble_with_the_disk_nothing_overtakes_what_was_lost(tmp_path, heard, row) -> None:
    store = SqliteJournal(tmp_path / "journal.db")
    store._db.execute("PRAGMA max_page_count = 1")
    writer = JournalWriter(store, heard.on_committed, heard.on_failed)
    writer.submit(1, [row(i) for i in range(900)])
    heard.wait(lambda h: h.failed)
    assert heard.failed[0].reason is JournalFailure.DISK_FULL
    assert 1 in heard.failed[0].batch_ids
    with pytest.raises(JournalFailed) as caught:
        writer.submit(2, [row(5_000)])
    assert caught.value.batch_ids == (2,)
    assert writer.failed is not None
    writer.close()
    assert heard.committed == []


def test_a_closed_writer_takes_nothing(tmp_path, heard, row) -> None:
    writer = JournalWriter(SqliteJournal(tmp_path / "journal.db"), heard.on_committed, heard.on_failed)
    writer.submit(1, [row(1)])
    writer.close()
    assert heard.committed == [1]
    with pytest.raises(JournalFailed) as caught:
        writer.submit(2, [row(2)])
    assert caught.value.reason is JournalFailure.CLOSED


def test_every_batch_is_answered_once_when_closed_without_draining(tmp_path, heard, row) -> None:
    writer = JournalWriter(SqliteJournal(tmp_path / "journal.db"), heard.on_committed, heard.on_failed)
    for number in range(500):
        writer.submit(number, [row(number)])
    writer.close(drain=False)
    answered = Counter(heard.committed) + Counter(i for e in heard.failed for i in e.batch_ids)
    assert answered == Counter(range(500))


KILLED = """
import sys, threading
from pathlib import Path
from adapters.journal.store import SqliteJournal
from adapters.journal.writer import JournalWriter
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body

def row(n):
    kind = JournalKind.PLACE if n % 2 else JournalKind.FILL
    return RowDraft(n, kind, "V", f"pd1-{n}", None if n % 2 else f"x{n}", "i", 1, encode_body(NoteBody(text=str(n))))

def said(ids, *_):
    sys.stdout.write("".join(f"{i}\\n" for i in ids))
    sys.stdout.flush()

writer = JournalWriter(SqliteJournal(Path(sys.argv[1])), said, lambda error: None)
n = int(sys.argv[2])
while True:
    try:
        writer.submit(n, [row(n)])
        n += 1
    except Exception:
        threading.Event().wait(0.001)  # too many wait for the disk
"""


@pytest.mark.process
@pytest.mark.req("P-ORD-1")
@pytest.mark.req("P-ORD-3")
def test_what_was_acknowledged_before_kill_9_is_there_afterwards(tmp_path) -> None:
    path = tmp_path / "journal.db"
    following = 1
    for lines in (1, 40, 400):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(following)], stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        assert process.stdout is not None
        hung = threading.Timer(PATIENCE_S, process.kill)
        hung.start()
        acknowledged = [int(process.stdout.readline()) for _ in range(lines)]
        hung.cancel()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        acknowledged += [int(line) for line in rest[:-1]]
        process.stdout.close()
        process.wait()
        with SqliteJournal(path) as store:
            rows = list(store.read())
            assert store.integrity_check() == "ok"
        numbers = [int(row.cl_ord_id.removeprefix("pd1-")) for row in rows]
        assert numbers == list(range(1, len(numbers) + 1))
        assert set(acknowledged) <= set(numbers)
        report = verify(path)
        assert (report.ok, report.rows) == (True, len(rows))
        following = len(rows) + 1


def test_the_store_refuses_what_a_killed_writer_had_placed(tmp_path, heard, row) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as store:
        store.append([row(1), row(2, JournalKind.FILL, "x1")])
    writer = JournalWriter(SqliteJournal(path), heard.on_committed, heard.on_failed)
    writer.submit(1, [row(1)])
    writer.submit(2, [row(3, JournalKind.PARTIAL, "x1")])
    heard.wait(lambda h: len(h.failed) == 2)
    writer.close()
    assert {e.reason for e in heard.failed} == {JournalFailure.DUPLICATE}
