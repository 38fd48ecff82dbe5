"""Cancels that the venue refuses, asked for again by everybody at every occasion: the venue is not stormed by them."""

from __future__ import annotations

import pytest

from tests.trading.orders.conftest import INSTRUMENT_ID as BTC
from tests.trading.orders.conftest import MS, VENUE
from trading.orders.effects import SendToVenue
from trading.orders.messages import (
    ExecType,
    OrderCancelReject,
    OrderCancelRequest,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    ProposedCancel,
)


def wish(desk, reason="no longer wanted"):
    return ProposedCancel(
        cl_ord_id="pd1-1", venue=VENUE, instrument_id=BTC, reason=reason, cause="book:78", ts_init_ns=desk.now
    )


def refusal(request):
    return OrderCancelReject(
        venue=VENUE,
        instrument_id=BTC,
        cl_ord_id=request.cl_ord_id,
        orig_cl_ord_id="pd1-1",
        ord_status=OrdStatus.UNKNOWN,
        text="-2011 Unknown order sent.",
        ts_event_ns=0,
        ts_init_ns=0,
    )


def commands(said, kind):
    return [e.command for e in said if isinstance(e, SendToVenue) and isinstance(e.command, kind)]


def stormed(desk, seconds):
    """Whoever may asks for the cancel every 10 ms, and the venue refuses each; (cancels, questions) that it saw."""
    cancels = questions = 0
    for _ in range(int(seconds * 100)):
        said = desk.later(10) + desk.do(desk.core.on_cancel(wish(desk), desk.now))
        while said:
            asked = commands(said, OrderCancelRequest)
            cancels, questions = cancels + len(asked), questions + len(commands(said, OrderStatusRequest))
            said = []
            for request in asked:
                said += desk.venue(refusal(request))
    return cancels, questions


@pytest.fixture
def working(desk, approved, report):
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    return desk


@pytest.mark.req("P-ORD-1", "P-ORD-2")
def test_a_cancel_that_is_refused_is_repeated_ever_more_slowly_and_the_venue_is_asked(working):
    cancels, questions = stormed(working, 30)
    assert 5 <= cancels <= 12
    assert cancels <= questions <= 30
    assert working.status("pd1-1") is OrdStatus.NEW


def test_what_was_wished_meanwhile_is_done_when_its_time_comes(working):
    request = commands(working.do(working.core.on_cancel(wish(working), working.now)), OrderCancelRequest)[0]
    working.venue(refusal(request))
    assert not commands(working.do(working.core.on_cancel(wish(working), working.now)), OrderCancelRequest)
    assert not commands(working.later(90), OrderCancelRequest)
    again = commands(working.later(20), OrderCancelRequest)
    assert [c.cl_ord_id for c in again] == ["pd1-1-c2"]
    assert working.status("pd1-1") is OrdStatus.PENDING_CANCEL


def test_nothing_is_canceled_again_that_nobody_wished_to(working):
    request = commands(working.do(working.core.on_cancel(wish(working), working.now)), OrderCancelRequest)[0]
    working.venue(refusal(request))
    assert not [c for _ in range(100) for c in commands(working.later(100), OrderCancelRequest)]


def test_a_hold_waits_with_the_others_and_is_done(working):
    request = commands(working.do(working.core.on_cancel(wish(working), working.now)), OrderCancelRequest)[0]
    working.venue(refusal(request))
    assert not commands(working.do(working.core.cancel_all(working.now, reason="HOLD")), OrderCancelRequest)
    assert commands(working.later(100), OrderCancelRequest)


def test_the_venues_record_ends_it(working, report):
    request = commands(working.do(working.core.on_cancel(wish(working), working.now)), OrderCancelRequest)[0]
    working.venue(refusal(request))
    working.do(working.core.on_cancel(wish(working), working.now))
    gone = report("pd1-1", ExecType.ORDER_STATUS, ord_status=OrdStatus.CANCELED)
    working.venue(OrderStatusReport(venue=VENUE, instrument_id=BTC, cl_ord_id="pd1-1", report=gone, ts_init_ns=0))
    assert working.status("pd1-1") is OrdStatus.CANCELED
    assert not commands(working.later(5_000), OrderCancelRequest)


def test_a_restart_does_not_begin_the_storm_anew(working, new_desk):
    stormed(working, 10)
    before = working.core.order(VENUE, "pd1-1")
    after = new_desk()
    after.core.restore(working.rows)
    restored = after.core.order(VENUE, "pd1-1")
    assert restored.cancel_refusals == before.cancel_refusals > 4
    assert restored.cancel_after_ns == before.cancel_after_ns
    after.now = working.now + MS
    assert not commands(after.do(after.core.on_cancel(wish(after), after.now)), OrderCancelRequest)
    assert commands(after.later(5_000), OrderCancelRequest)
