"""The journal followed beside its writer: every row once, in order, with the commit that it came in."""

from __future__ import annotations

import itertools
from contextlib import closing

import pytest

from adapters.journal.reader import open_journal
from adapters.journal.store import SqliteJournal
from adapters.telemetry.follow import GROUPS_A_STEP, JournalFollower, all_rows, rows_of_order
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body
from trading.telemetry.order_trace import traced_order


def note(seq: int, cl_ord_id: str = "") -> RowDraft:
    return RowDraft(seq, JournalKind.NOTE, "okx", cl_ord_id, None, "", 1, encode_body(NoteBody(text=f"n{seq}")))


def test_rows_come_once_and_in_order_while_the_writer_goes_on(tmp_path):
    path = tmp_path / "journal.db"
    follower = JournalFollower(path)
    assert follower.step() == []
    with SqliteJournal(path) as journal:
        for seq in range(1, 2 * GROUPS_A_STEP + 2):
            journal.append([note(seq)])
        seen = [traced.row.seq for _ in range(2) for traced in follower.step()]
        assert follower.behind == 1
        journal.append([note(402), note(403)])
        last = follower.step()
        assert seen + [traced.row.seq for traced in last] == list(range(1, 404))
        assert [(traced.row.seq, traced.outbox_id) for traced in last] == [(401, 401), (402, 402), (403, 402)]
        assert follower.step() == []
        assert follower.behind == 0


def test_it_begins_with_the_newest_rows_of_a_long_journal(tmp_path):
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        for seq in range(1, 31):
            journal.append([note(seq)])
    follower = JournalFollower(path, back_rows=10)
    assert [traced.row.seq for traced in follower.step()] == list(range(21, 31))
    assert follower.lives == 1


def test_another_journal_in_its_place_is_another_life(tmp_path):
    path, other = tmp_path / "journal.db", tmp_path / "other.db"
    for where, rows in ((path, 9), (other, 3)):
        with SqliteJournal(where) as journal:
            for seq in range(1, rows + 1):
                journal.append([note(seq)])
    follower = JournalFollower(path)
    assert len(follower.step()) == 9
    follower.close()
    follower._where = other
    assert [traced.row.seq for traced in follower.step()] == [1, 2, 3]
    assert follower.lives == 2


@pytest.mark.req("P-ORD-15")
def test_all_rows_of_an_order_are_found_by_the_index_with_their_commits(traded_journal):
    with closing(open_journal(traded_journal)) as journal:
        everything = list(all_rows(journal))
        ids = {(t.row.venue, t.row.cl_ord_id) for t in everything if t.row.kind is JournalKind.PLACE}
        assert ids
        for venue, cl_ord_id in itertools.islice(sorted(ids), 20):
            mine = [t for t in everything if (t.row.venue, t.row.cl_ord_id) == (venue, cl_ord_id)]
            found = list(rows_of_order(journal, cl_ord_id, venue))
            assert [(t.row.seq, t.outbox_id, t.body) for t in found] == [(t.row.seq, t.outbox_id, t.body) for t in mine]
            trace = traced_order(found)
            assert trace is not None
            root, *steps = trace.spans()
            assert [step.name for step in steps][:4] == ["ingest", "signal", "route", "journal"]
            assert all(step.parent_id == root.span_id and step.start_ns <= step.end_ns for step in steps)
