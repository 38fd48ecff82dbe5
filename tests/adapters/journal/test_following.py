"""A journal is followed beside its writer, and an order read whole, wherever the journal lies."""

from __future__ import annotations

from contextlib import closing

import pytest

from adapters.journal.reader import open_journal
from adapters.telemetry.follow import JournalFollower, rows_of_order
from trading.orders.journal_rows import JournalKind


@pytest.mark.req("P-ORD-15")
def test_a_follower_sees_every_row_with_its_commit(place, open_store, row):
    store = open_store(place)
    store.append([row(1), row(2)])
    follower = JournalFollower(place)
    assert [(t.row.seq, t.outbox_id) for t in follower.step()] == [(1, 1), (2, 1)]
    assert follower.step() == []
    store.append([row(2, JournalKind.ACK), row(3)])
    while store.tend(idle=True):
        pass
    store.append([row(2, JournalKind.NOTE)])
    assert [(t.row.seq, t.outbox_id) for t in follower.step()] == [(3, 3), (4, 3), (5, 5)]
    assert [t.row.seq for t in follower.order("pd1-2", "BINANCE")] == [2, 3, 5]
    follower.close()
    with closing(open_journal(place)) as journal:
        assert [(t.row.seq, t.outbox_id) for t in rows_of_order(journal, "pd1-2")] == [(2, 1), (3, 3), (5, 5)]
        assert list(rows_of_order(journal, "pd1-9")) == []
