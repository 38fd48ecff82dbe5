"""Routes that reject, and the lifecycle report: what was refused, where, how often and why."""

from __future__ import annotations

import pytest

from trading.orders.messages import DenyReason, ExecType, OrdStatus
from trading.telemetry.book import TraceBook
from trading.telemetry.ids import trace_id_of
from trading.telemetry.lifecycle import Lifecycle
from trading.telemetry.routes import ERRORS_MIN, WINDOW_NS, worded

MARKET = "OKX:PERP:BTC-USDT:LINEAR"


def refused(desk, cl_ord_id, text="51008 insufficient margin 12.5"):
    desk.place(cl_ord_id)
    desk.later(20)
    desk.reject(cl_ord_id, text)


def routes_of(desk):
    book = TraceBook()
    for traced in desk.rows:
        book.take(traced)
    return book.routes


def report_of(desk):
    lifecycle = Lifecycle()
    for traced in desk.rows:
        lifecycle.take(traced)
    return lifecycle.report()


@pytest.mark.req("P-ORD-12")
def test_a_route_that_rejects_is_named_with_its_reason_and_newest_order(desk):
    desk.place("pd7-0")
    desk.ack("pd7-0")
    for number in range(1, ERRORS_MIN + 1):
        refused(desk, f"pd7-{number}", f"51008 insufficient margin {number}.5")
    routes = routes_of(desk)
    (route,) = routes.health(desk.now)
    assert (route.venue, route.instrument_id, route.placed, route.refused) == ("okx", MARKET, 4, 3)
    assert route.rejecting
    assert route.reason == "51008 insufficient margin #"
    assert (route.cl_ord_id, route.trace_id) == ("pd7-3", trace_id_of("pd7-3"))
    assert routes.health(desk.now + WINDOW_NS + 1) == []


def test_a_few_refusals_among_many_orders_make_no_rejecting_route(desk):
    for number in range(10):
        desk.place(f"pd7-{number}")
        desk.later(1)
        desk.ack(f"pd7-{number}")
    for number in range(10, 14):
        refused(desk, f"pd7-{number}")
    (route,) = routes_of(desk).health(desk.now)
    assert (route.placed, route.refused, route.rejecting) == (14, 4, False)


@pytest.mark.req("P-ORD-12")
def test_what_stays_unanswered_and_what_could_not_be_sent_are_errors_of_the_route(desk):
    desk.place("pd7-1")
    desk.wait(450)
    desk.place("pd7-2")
    desk.deny("pd7-2", DenyReason.VENUE_AWAY, "socket closed")
    desk.place("pd7-3")
    desk.deny("pd7-3", DenyReason.PERMIT_MODE, "mode PAUSE lets only reduce-only orders through")
    (route,) = routes_of(desk).health(desk.now)
    assert (route.placed, route.refused, route.unanswered) == (3, 1, 1)


@pytest.mark.req("P-ORD-11")
def test_the_report_times_placing_canceling_and_amending(desk):
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    desk.place("pd7-2", replaces="pd7-1")
    desk.later(25)
    desk.hear("pd7-2", ExecType.REPLACED, OrdStatus.NEW, orig="pd7-1")
    desk.cancel("pd7-2")
    desk.later(18)
    desk.hear("pd7-2", ExecType.CANCELED, OrdStatus.CANCELED)
    venue = report_of(desk).venues["okx"]
    assert {stage: facts["p50_us"] for stage, facts in venue.latency.items()} == {
        "place": 19_300,
        "cancel": 17_700,
        "replace": 24_300,
    }
    assert (venue.placed, venue.amended, venue.canceled_by_us, venue.open) == (2, 1, 1, 0)
    assert venue.ends == {"canceled": 1, "replaced": 1}
    assert venue.error_share == 0


@pytest.mark.req("P-ORD-11")
def test_the_report_times_an_amendment_in_place_by_the_words_that_prove_it(in_place):
    venue = report_of(in_place).venues["okx"]
    assert venue.latency["replace"]["p50_us"] == 24_300
    assert (venue.placed, venue.amended, venue.open) == (2, 1, 1)
    assert venue.ends == {"replaced": 1}


@pytest.mark.req("P-ORD-12")
def test_the_report_counts_refusals_by_reason(desk):
    for number in range(3):
        refused(desk, f"pd7-{number}")
    refused(desk, "pd7-9", "51020 below minimum")
    desk.place("pd7-10")
    venue = report_of(desk).venues["okx"]
    assert [(one.kind, one.reason, one.count, one.instrument_id) for one in venue.refusals] == [
        ("refused", "51008 insufficient margin #", 3, MARKET),
        ("refused", "51020 below minimum", 1, MARKET),
    ]
    assert venue.refusals[0].cl_ord_id == "pd7-2"
    assert (venue.error_share, venue.open, venue.ends) == (0.8, 1, {"rejected": 4})


def test_reasons_of_every_spelling_stay_within_a_bound(desk):
    for number in range(100):
        refused(desk, f"pd7-{number}", f"no {chr(0x4E00 + number)}")
    venue = report_of(desk).venues["okx"]
    assert len(venue.refusals) == 10
    assert venue.refusals[0].reason == "other reasons"
    assert venue.refusals[0].count == 36


def test_numbers_in_a_reason_do_not_make_it_another():
    assert worded("-5022: post only at 50,123.4") == "-5022: post only at #"
    assert worded("price 50,123.4 is above 49,000") == worded("price 7 is above 9.1") == "price # is above #"


def test_an_empty_journal_has_an_empty_report():
    report = Lifecycle().report()
    assert (report.rows, report.venues) == (0, {})
