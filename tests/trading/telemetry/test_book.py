"""The book of traces: fed with a growing journal, bounded, and complete when the account was compared."""

from __future__ import annotations

import msgspec
import pytest

from trading.orders.journal_rows import GENESIS_HASH, JournalKind, ReconcileBody, RowDraft, encode_body, numbered
from trading.orders.messages import ExecType, OrdStatus
from trading.telemetry.book import DAY_NS, TraceBook, TraceLimits
from trading.telemetry.order_trace import TracedRow, traced_order

MS = 1_000_000
LINGER_NS = TraceLimits().linger_ns


def fed(book, desk):
    for traced in desk.rows:
        book.take(traced)


def traded(desk, cl_ord_id, ms=20):
    desk.place(cl_ord_id)
    desk.later(ms)
    desk.ack(cl_ord_id)
    desk.later(5)
    desk.fill(cl_ord_id)


def statement(desk, *, ok=True, text="compared"):
    body = ReconcileBody(ok=ok, text=text, exec_seq=0, baseline=False, positions={}, balances={})
    draft = RowDraft(desk.now, JournalKind.RECONCILE, "okx", "", None, "", 7, encode_body(body))
    seq = len(desk.rows) + 1
    (row,) = numbered(seq, [draft], GENESIS_HASH, GENESIS_HASH)
    desk.rows.append(TracedRow(row, body, seq))


@pytest.mark.req("P-OBS-1")
@pytest.mark.req("P-ORD-15")
def test_a_trace_is_complete_when_its_account_was_compared(desk):
    traded(desk, "pd7-1")
    book = TraceBook()
    fed(book, desk)
    assert book.due(desk.now + 1_000 * MS) == []
    desk.later(2_000)
    statement(desk)
    fed(book, desk)
    (trace,) = book.due(desk.now)
    recon = trace.spans()[-1]
    assert (recon.name, recon.duration_ns, recon.journal_id, recon.error) == (
        "recon",
        2_000 * MS,
        desk.rows[-1].row.seq,
        "",
    )
    assert book.due(desk.now) == []


def test_a_difference_makes_the_trace_one_of_trouble(desk):
    traded(desk, "pd7-1")
    statement(desk, ok=False, text="1 differs")
    book = TraceBook()
    fed(book, desk)
    (trace,) = book.due(desk.now)
    assert trace.troubled
    assert trace.spans()[-1].error == "1 differs"


def test_what_the_desk_says_of_its_comparisons_completes_only_what_had_ended_before(desk):
    traded(desk, "pd7-1")
    book = TraceBook()
    fed(book, desk)
    ended_ns = desk.rows[-1].row.ts_ns
    book.compared("okx", ended_ns - 1, "clean")
    assert book.due(desk.now) == []
    book.compared("bybit", ended_ns + MS, "clean")
    assert book.due(desk.now) == []
    book.compared("okx", ended_ns + 3 * MS, "clean")
    (trace,) = book.due(desk.now)
    assert [(s.name, s.duration_ns) for s in trace.spans()][-1] == ("recon", 3 * MS)


def test_nobody_waits_for_a_comparison_for_ever(desk):
    traded(desk, "pd7-1")
    book = TraceBook()
    fed(book, desk)
    (trace,) = book.due(desk.rows[-1].row.ts_ns + LINGER_NS)
    assert "recon" not in {span.name for span in trace.spans()}


def test_rows_that_come_again_change_nothing(desk):
    traded(desk, "pd7-1")
    once, twice = TraceBook(), TraceBook()
    fed(once, desk)
    fed(twice, desk)
    fed(twice, desk)
    assert {s: h.facts() for s, h in twice.merged().items()} == {s: h.facts() for s, h in once.merged().items()}
    assert twice.slow() == once.slow()
    assert twice.orders == 1


def test_an_amended_order_ends_with_the_ack_of_its_successor(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    desk.place("pd7-2", replaces="pd7-1")
    desk.later(25)
    desk.hear("pd7-2", ExecType.REPLACED, OrdStatus.NEW, orig="pd7-1")
    book = TraceBook()
    fed(book, desk)
    (original,) = book.due(desk.now + LINGER_NS)
    assert (original.cl_ord_id, original.status) == ("pd7-1", "replaced")
    assert book.open_by_venue() == {"okx": 1}


def test_an_order_amended_in_place_ends_with_the_proof_and_the_amendment_goes_on(in_place):
    book = TraceBook()
    fed(book, in_place)
    (original,) = book.due(in_place.now + LINGER_NS)
    assert (original.cl_ord_id, original.status) == ("pd7-1", "replaced")
    assert book.open_by_venue() == {"okx": 1}


def test_a_word_about_an_order_that_was_placed_before_asks_for_its_rows(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    seen = len(desk.rows)
    desk.fill("pd7-1")
    book = TraceBook()
    for traced in desk.rows[1:]:
        book.take(traced)
    assert book.missing() == [("okx", "pd7-1")]
    assert book.missing() == []
    trace = traced_order(desk.rows[:seen])
    assert trace is not None
    book.adopt(trace)
    assert book.get("pd7-1") is trace
    assert book.get("pd7-9") is None


def test_an_execution_that_comes_after_its_trace_was_complete_makes_it_complete_anew(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    desk.cancel("pd7-1")
    desk.later(20)
    desk.hear("pd7-1", ExecType.CANCELED, OrdStatus.CANCELED)
    book = TraceBook()
    fed(book, desk)
    (first,) = book.due(desk.now + LINGER_NS)
    desk.later(200_000)
    desk.hear("pd7-1", ExecType.TRADE, OrdStatus.PARTIALLY_FILLED, last="0.002", cum="0.002")
    fed(book, desk)
    assert book.missing() == [("okx", "pd7-1")]
    again = traced_order([traced for traced in desk.rows if traced.row.cl_ord_id == "pd7-1"])
    assert again is not None
    book.adopt(again)
    (second,) = book.due(desk.now)
    assert second.last_seq > first.last_seq
    assert [span.span_id for span in first.spans()] == [span.span_id for span in second.spans() if span.name != "fill"]
    assert second.spans()[0].attributes["executions"] == 1


def test_the_book_is_bounded_whatever_the_journal_holds(desk):
    limits = TraceLimits(open_max=5, ended_max=5, finished_max=5, missing_max=3, slow_max=4)
    book = TraceBook(limits)
    for number in range(20):
        traded(desk, f"pd7-{number}", ms=20 + number)
    for number in range(20, 40):
        desk.place(f"pd7-{number}")
    fed(book, desk)
    due = book.due(desk.now)
    assert len(due) == 15
    assert [trace.cl_ord_id for trace in due] == [f"pd7-{n}" for n in range(15)]
    assert book.sizes() == {"open": 5, "ended": 5, "finished": 5}
    assert book.evicted == 15
    assert [round(step.duration_us) for step in book.slow("place")] == [38_300, 37_300, 36_300, 35_300]
    strangers = TraceBook(limits)
    for traced in desk.rows:
        if traced.row.kind is not JournalKind.PLACE:
            strangers.take(traced)
    assert len(strangers.missing()) == 3


@pytest.mark.req("P-OBS-1")
def test_the_slow_steps_are_those_of_the_day_and_lead_to_their_traces(desk):
    traded(desk, "pd7-1", ms=300)
    book = TraceBook()
    fed(book, desk)
    slowest = book.slow()[0]
    assert (slowest.stage, slowest.duration_us, slowest.cl_ord_id) == ("place", 299_300, "pd7-1")
    assert slowest.journal_id == desk.rows[1].row.seq
    desk.now += DAY_NS
    traded(desk, "pd7-2")
    fed(book, desk)
    assert {step.cl_ord_id for step in book.slow()} == {"pd7-2"}
    assert book.merged()["place"].count == 2


def test_distributions_are_kept_by_venue_and_merged_for_all(desk):
    traded(desk, "pd7-1")
    moved = []
    for traced in desk.rows:
        row = msgspec.structs.replace(traced.row, venue="bybit", seq=traced.row.seq + len(desk.rows))
        moved.append(TracedRow(row, traced.body, traced.outbox_id))
    book = TraceBook()
    for traced in (*desk.rows, *moved):
        book.take(traced)
    assert {venue: stages["place"].count for venue, stages in book.stages().items()} == {"okx": 1, "bybit": 1}
    assert book.merged()["place"].count == 2
    assert book.merged(["okx"])["place"].count == 1
