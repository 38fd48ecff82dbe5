"""What is said again, from one table for all venues; and an endpoint's breaker, which opens, tries and closes."""

from __future__ import annotations

import pytest

from adapters.orders.client import _repeatable
from adapters.orders.wire import (
    SECOND_NS,
    Ambiguous,
    AuthFailed,
    ClockSkewed,
    Events,
    Exists,
    Limited,
    Refused,
    WireKind,
    wire_request,
)
from tests.trading.limits.conftest import CANCEL, PLACE, START, ask
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Go, Wait
from trading.limits.venues import BINANCE

ENTRIES = (WireKind.PLACE, WireKind.AMEND)
OTHERS = tuple(kind for kind in WireKind if kind not in ENTRIES)
SOON, LATE = Limited(retry_ns=SECOND_NS // 4, banned=False, text=""), Limited(retry_ns=SECOND_NS, banned=False, text="")
NEVER = (
    Events(()),
    Refused(code="-2010", text="no"),
    Exists(reason="have it"),
    AuthFailed(text="no such key"),
    Limited(retry_ns=0, banned=True, text="banned"),
    LATE,
)


@pytest.mark.req("C-EXEC-11")
@pytest.mark.parametrize("kind", WireKind)
def test_what_was_answered_for_good_is_never_said_again(kind):
    for reply in NEVER:
        assert not _repeatable(wire_request("GET", "/x", kind), reply), reply


@pytest.mark.req("C-EXEC-11")
@pytest.mark.parametrize("kind", WireKind)
def test_what_was_certainly_not_read_is_said_again_whatever_it_is(kind):
    for reply in (SOON, ClockSkewed(text="too early")):
        assert _repeatable(wire_request("GET", "/x", kind), reply)


@pytest.mark.req("C-EXEC-11", "P-ORD-2")
def test_a_passing_error_is_tried_again_but_never_with_what_could_be_done_twice():
    lost = Ambiguous("HTTP 503")
    assert not any(_repeatable(wire_request("POST", "/x", kind), lost) for kind in ENTRIES)
    assert all(_repeatable(wire_request("GET", "/x", kind), lost) for kind in OTHERS)


@pytest.mark.req("C-EXEC-10")
def test_an_endpoint_that_fails_is_left_alone_then_tried_once_and_trusted_again_when_it_answers():
    governor = LimitGovernor(BINANCE)
    path = "POST /api/v3/order"
    assert isinstance(governor.ask(ask(PLACE, endpoint=path), START), Go)
    governor.told(path, 503, {}, START)
    opened = governor.ask(ask(PLACE, endpoint=path, now=START), START)
    assert isinstance(opened, Wait)
    # Another endpoint and a cancel pass: an order that rests must not be kept by it.
    assert isinstance(governor.ask(ask(PLACE, endpoint="GET /api/v3/order"), START), Go)
    assert isinstance(governor.ask(ask(CANCEL, endpoint="DELETE /api/v3/order"), START), Go)
    half = START + opened.wait_ns
    assert isinstance(governor.ask(ask(PLACE, endpoint=path, now=half), half), Go)
    governor.told(path, 503, {}, half)
    again = governor.ask(ask(PLACE, endpoint=path, now=half), half)
    assert isinstance(again, Wait)
    closed = half + again.wait_ns
    assert isinstance(governor.ask(ask(PLACE, endpoint=path, now=closed), closed), Go)
    governor.told(path, 200, {}, closed)
    assert isinstance(governor.ask(ask(PLACE, endpoint=path, now=closed), closed), Go)
