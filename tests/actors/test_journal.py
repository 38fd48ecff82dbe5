"""The journal's actor on a real file: nothing is acknowledged before it is there, a failure is a HOLD and an end."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from actors.journal import Journal, JournalSetup
from actors.messages import (
    ActorFailed,
    AppendRows,
    BrakeSet,
    JournalFailed,
    JournalHistory,
    ReadJournal,
    RowsCommitted,
    SaveCheckpoint,
)
from adapters.journal.store import MemoryJournal, open_reader, read_rows
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body

MS = 1_000_000


def row(n):
    return RowDraft(n, JournalKind.NOTE, "binance", f"order-{n}", None, "", 1, encode_body(NoteBody(text=f"note {n}")))


def until(bench, condition):
    """The writer's thread answers in its own time; the loop is virtual."""
    pause = threading.Event()
    for _ in range(30_000):
        bench.base.run_until_idle()
        if condition():
            return
        pause.wait(0.002)
    raise AssertionError("it did not happen")


@pytest.mark.req("P-ORD-1")
def test_rows_are_on_the_disk_when_they_are_acknowledged(bench, tmp_path):
    path = tmp_path / "sub" / "journal.db"
    bench.start("journal", Journal, JournalSetup(path=path))
    for n in range(1, 6):
        bench.tell("journal", AppendRows(commit_id=n, rows=(row(n), row(n + 100)), reply_to="orders"))
    done = []

    def all_answered():
        for answer in bench.take(RowsCommitted, to="orders"):
            with closing(open_reader(path)) as db:
                there = {r.cl_ord_id for r in read_rows(db)}
            assert {f"order-{n}" for n in answer.commit_ids} <= there
            done.extend(answer.commit_ids)
        return len(done) == 5

    until(bench, all_answered)
    assert done == [1, 2, 3, 4, 5]


@pytest.mark.req("P-ORD-3")
def test_a_new_life_reads_every_row_of_the_last(bench, tmp_path):
    setup = JournalSetup(path=tmp_path / "journal.db")
    bench.start("journal", Journal, setup)
    bench.tell("journal", AppendRows(commit_id=1, rows=(row(1), row(2)), reply_to="orders"))
    until(bench, lambda: bench.take(RowsCommitted))
    bench.base.shutdown()
    bench.start("journal", Journal, setup)
    bench.tell("journal", ReadJournal(reply_to="portfolio"))
    (history,) = bench.take(JournalHistory, to="portfolio")
    assert [(r.seq, r.cl_ord_id) for r in history.rows] == [(1, "order-1"), (2, "order-2")]


@pytest.mark.req("P-ORD-5")
@pytest.mark.parametrize("memory", [False, True])
def test_who_kept_a_state_gets_it_back_with_the_rows_after_it(bench, tmp_path, memory):
    setup = JournalSetup(path=tmp_path / "journal.db", memory=MemoryJournal() if memory else None)
    bench.start("journal", Journal, setup)

    def appended(commit_id, *rows):
        bench.tell("journal", AppendRows(commit_id=commit_id, rows=rows, reply_to="orders"))
        answers = []
        if memory:
            bench.after_ms(1)
        until(bench, lambda: answers.extend(bench.take(RowsCommitted, to="orders")) or answers)
        return answers[-1].last_seq

    def history(name):
        bench.tell("journal", ReadJournal(reply_to="orders", checkpoint=name))
        (found,) = bench.take(JournalHistory, to="orders")
        return found.checkpoint, [r.seq for r in found.rows]

    assert appended(1, row(1), row(2)) == 2
    assert history("orders.1") == (None, [1, 2])
    bench.tell("journal", SaveCheckpoint("orders.1", 2, b"the state", 1))
    until(bench, lambda: history("orders.1")[0] is not None)
    assert appended(2, row(3)) == 3
    assert history("orders.1") == (b"the state", [3])
    assert history("orders.2") == (None, [1, 2, 3])
    assert history("") == (None, [1, 2, 3])


@pytest.mark.req("P-ORD-1")
def test_a_commit_that_fails_holds_the_desk_and_ends_the_actor(bench, tmp_path):
    bench.start("journal", Journal, JournalSetup(path=tmp_path / "journal.db"))
    bench.tell("journal", JournalFailed(text="disk full"))
    (brake,) = bench.take(BrakeSet, to="governor")
    assert (brake.code, brake.scope, brake.level, brake.release) == ("JOURNAL_FAILED", "global", 3, "operator")
    assert "disk full" in bench.take(ActorFailed)[0].error
    assert bench.base.actor("journal") is None


@pytest.mark.req("P-ORD-1")
def test_in_virtual_time_a_commit_takes_its_time(bench):
    memory = MemoryJournal()
    bench.start("journal", Journal, JournalSetup(path=None, memory=memory, memory_commit_ns=2 * MS))
    bench.tell("journal", AppendRows(commit_id=7, rows=(row(1),), reply_to="orders"))
    bench.after_ms(1.9)
    assert bench.take(RowsCommitted) == []
    bench.after_ms(0.2)
    assert [m.commit_ids for m in bench.take(RowsCommitted, to="orders")] == [(7,)]
    assert memory.head().seq == 1
