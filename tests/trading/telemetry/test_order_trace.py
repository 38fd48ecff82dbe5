"""One order's trace, made of the rows that the real order core writes."""

from __future__ import annotations

import hashlib

import pytest

from trading.orders.messages import DenyReason, ExecType, OrdStatus
from trading.telemetry.ids import sampled, span_id_of, trace_id_of
from trading.telemetry.order_trace import OrderTrace, traced_order

US, MS = 1_000, 1_000_000


def trace_of(desk, cl_ord_id="pd7-1") -> OrderTrace:
    trace = traced_order([traced for traced in desk.rows if traced.row.cl_ord_id == cl_ord_id])
    assert trace is not None
    return trace


def steps_of(trace):
    return [(step.name, step.duration_ns // US) for step in trace.spans()[1:]]


@pytest.fixture
def filled(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    desk.later(500)
    desk.fill("pd7-1")
    return desk


@pytest.mark.req("P-OBS-1")
@pytest.mark.req("P-ORD-15")
def test_a_filled_order_is_one_trace_from_the_book_to_the_journalled_fill(filled):
    trace = trace_of(filled)
    assert steps_of(trace) == [
        ("ingest", 1_000),
        ("signal", 500),
        ("route", 500),
        ("journal", 1_400),
        ("place", 19_300),
        ("ack", 300),
        ("rest", 500_000),
        ("fill", 300),
    ]
    root, *steps = trace.spans()
    assert root.name == "order"
    assert (root.attributes["status"], root.attributes["executions"], root.error) == ("filled", 1, "")
    assert {step.parent_id for step in steps} == {root.span_id}
    assert len({span.span_id for span in trace.spans()}) == len(steps) + 1
    assert root.start_ns == min(step.start_ns for step in steps)
    assert root.end_ns == max(step.end_ns for step in steps)


@pytest.mark.req("P-ORD-15")
def test_every_span_leads_to_its_row_commit_epoch_and_fencing_token(filled):
    rows = {traced.row.seq: traced for traced in filled.rows}
    for span in trace_of(filled).spans():
        assert span.attributes["journal_id"] == span.journal_id
        assert rows[span.journal_id].row.cl_ord_id == "pd7-1"
        assert span.outbox_id == rows[span.journal_id].outbox_id
        asked = ("outbox_id", "epoch", "fencing_token", "cl_ord_id", "venue", "strategy")
        assert [span.attributes[name] for name in asked] == [span.outbox_id, 7, 7, "pd7-1", "okx", "maker"]


@pytest.mark.req("P-OBS-1")
def test_ids_follow_from_the_order_alone(filled):
    assert trace_of(filled).trace_id == hashlib.sha256(b"pd7-1").digest()[:16].hex()
    assert trace_of(filled).spans() == trace_of(filled).spans()
    assert len(span_id_of("pd7-1")) == 16


def test_a_decision_that_does_not_answer_the_book_gives_no_time_of_ingestion(desk):
    desk.place("pd7-1", answers=False)
    trace = OrderTrace(cl_ord_id="pd7-1", venue="okx")
    assert dict(trace.take(desk.rows[0])) == {"book_age": 1_500 * US, "signal": 500 * US, "route": 500 * US}
    desk.place("pd7-2")
    trace = OrderTrace(cl_ord_id="pd7-2", venue="okx")
    assert dict(trace.take(desk.rows[-1]))["ingest"] == MS


def test_a_cancel_is_timed_to_the_word_that_it_is_done(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    desk.later(5)
    desk.cancel("pd7-1")
    desk.later(18)
    desk.hear("pd7-1", ExecType.CANCELED, OrdStatus.CANCELED)
    trace = trace_of(desk)
    assert ("cancel", 17_700) in steps_of(trace)
    assert trace.status == "canceled"
    assert not trace.troubled


def test_a_rejection_is_an_error_with_the_venues_words(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.reject("pd7-1")
    trace = trace_of(desk)
    root, *_, last = trace.spans()
    assert (last.name, last.error, root.error) == ("rejected", *["51008 insufficient margin 12.5"] * 2)
    assert trace.troubled


def test_an_order_that_the_gateway_refused_ends_there(desk):
    desk.place("pd7-1")
    desk.deny("pd7-1", DenyReason.RATE_BUDGET, "no room")
    trace = trace_of(desk)
    assert trace.status == "denied"
    assert trace.spans()[-1].error == f"{DenyReason.RATE_BUDGET.value}: no room"


def test_a_doubt_lasts_until_evidence(desk):
    desk.place("pd7-1")
    desk.wait(450)
    desk.later(300)
    desk.ack("pd7-1")
    trace = trace_of(desk)
    assert ("unknown", 300_000) in steps_of(trace)
    assert trace.troubled


@pytest.mark.req("P-ORD-15")
def test_an_amendment_is_timed_and_leads_to_what_it_amended(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    desk.place("pd7-2", replaces="pd7-1")
    desk.later(25)
    desk.hear("pd7-2", ExecType.REPLACED, OrdStatus.NEW, orig="pd7-1")
    trace = trace_of(desk, "pd7-2")
    assert ("replace", 24_300) in steps_of(trace)
    attributes = trace.spans()[0].attributes
    assert (attributes["replaces"], attributes["replaces_trace"]) == ("pd7-1", trace_id_of("pd7-1"))


@pytest.mark.req("P-ORD-15")
def test_an_amendment_in_place_is_timed_by_the_words_that_prove_it(in_place):
    trace = trace_of(in_place, "pd7-2")
    assert ("replace", 24_300) in steps_of(trace)
    assert trace.spans()[0].attributes["replaces"] == "pd7-1"


def test_after_a_restart_the_trace_goes_on_and_no_time_is_made_up(desk):
    desk.place("pd7-1")
    before = trace_of(desk).spans()
    desk.later(60_000)
    desk.begin(8)
    desk.carry(desk.core.begin_reconcile("okx", desk.now))
    desk.later(50)
    desk.ack("pd7-1")
    trace = trace_of(desk)
    after = trace.spans()
    assert [span.span_id for span in after[: len(before)]] == [span.span_id for span in before]
    assert "place" not in dict(steps_of(trace))
    assert [span.attributes["epoch"] for span in after if span.name in {"route", "ack"}] == [7, 8]


def test_a_share_of_traces_is_the_same_share_for_everybody():
    ids = [trace_id_of(f"pd7-{n}") for n in range(2_000)]
    assert [sampled(i, 1.0) for i in ids] == [True] * 2_000
    assert not any(sampled(i, 0.0) for i in ids)
    few = {i for i in ids if sampled(i, 0.1)}
    assert 120 < len(few) < 280
    assert few <= {i for i in ids if sampled(i, 0.3)}
