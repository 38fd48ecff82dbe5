"""Venues that do not number their events: completeness by time and ids, positions by what we passed through."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.orders import inbox as inbox_module
from trading.orders.core import Reconciled, SendToVenue
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ExecType,
    OrderStatusRequest,
    OrdStatus,
)

VENUE = "BINANCEUSDM"
BTC = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
MS = 1_000_000


def asked(effects):
    (request,) = [
        e.command for e in effects if isinstance(e, SendToVenue) and isinstance(e.command, AccountStateRequest)
    ]
    return request


def verdicts(effects):
    return [effect.ok for effect in effects if isinstance(effect, Reconciled)]


def account(asked_ns, positions=None, executions=(), open_orders=()):
    return AccountState(
        venue=VENUE,
        exec_seq=0,
        open_orders=tuple(open_orders),
        executions=tuple(executions),
        fundings=(),
        positions={name: Decimal(qty) for name, qty in (positions or {}).items()},
        balances={},
        cause="test",
        ts_init_ns=asked_ns,
        numbered=False,
        asked_ns=asked_ns,
    )


@pytest.fixture
def fill(report, desk):
    def build(cl_ord_id, number, qty, cum, **fields):
        ids = {"exec_seq": 0, "ts_event_ns": desk.now, "last_px": "50000.0", **fields}
        return report(cl_ord_id, ExecType.TRADE, f"{VENUE}:{number}", last_qty=qty, cum_qty=cum, **ids)

    return build


@pytest.fixture
def trading(desk, approved, report):
    """A desk that was reconciled with an empty account, and has an order at the venue."""
    request = asked(desk.do(desk.core.begin_reconcile(VENUE, desk.now)))
    assert verdicts(desk.venue(account(request.ts_init_ns))) == [True]
    desk.now += 1_000 * MS
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW))
    return desk


def audit(desk, wait_ms=5_000):
    return asked(desk.later(wait_ms))


@pytest.mark.req("P-ORD-4")
def test_an_execution_is_applied_once_from_stream_and_from_history(trading, fill):
    first = fill("pd1-1", 1, "0.004", "0.004")
    trading.venue(first)
    request = audit(trading)
    assert 0 < request.since_ns < first.ts_event_ns  # what the stream told moves nothing: it may have told it in part
    second = fill("pd1-1", 2, "0.003", "0.007")
    trading.venue(account(request.ts_init_ns, {BTC: "0.007"}, (second, first)))
    assert trading.core.order(VENUE, "pd1-1").cum_qty == Decimal("0.007")
    assert trading.core.exposure()[BTC].position == Decimal("0.007")


def test_what_was_executed_before_the_first_day_is_never_applied(desk, fill):
    old = fill("somebody", 1, "1", "1")
    request = asked(desk.do(desk.core.begin_reconcile(VENUE, desk.now)))
    assert verdicts(desk.venue(account(request.ts_init_ns, {BTC: "2"}, (old,)))) == [True]
    desk.now += 60_000 * MS
    assert verdicts(desk.venue(account(desk.now, {BTC: "2"}, (old, fill("x", 0, "1", "1", ts_event_ns=1))))) == []
    assert desk.core.exposure()[BTC].position == 2


def test_what_was_executed_before_the_first_day_is_known_after_a_restart(desk, new_desk, fill):
    old = fill("somebody", 1, "1", "1")
    request = asked(desk.do(desk.core.begin_reconcile(VENUE, desk.now)))
    desk.venue(account(request.ts_init_ns, {BTC: "2"}, (old,)))
    again = new_desk(epoch=2)
    again.core.restore(desk.rows)
    again.now = desk.now + 5_000 * MS
    request = asked(again.do(again.core.begin_reconcile(VENUE, again.now)))
    assert request.since_ns == desk.now
    assert verdicts(again.venue(account(request.ts_init_ns, {BTC: "2"}, (old,)))) == [True]
    assert again.core.exposure()[BTC].position == 2


@pytest.mark.req("P-ORD-4")
def test_what_was_executed_in_an_instrument_that_is_not_known_stays_in_reach_until_it_is(trading, new_desk):
    before = audit(trading).since_ns
    held = {"BINANCEUSDM/ETHUSDT": "1"}
    trading.venue(account(trading.now, held))
    verdict = verdicts(trading.venue(account(audit(trading).ts_init_ns, held)))
    assert verdict == [False]
    trading.now += 600_000 * MS
    assert audit(trading).since_ns == before
    again = new_desk(epoch=2)
    again.core.restore(trading.rows)
    assert asked(again.do(again.core.begin_reconcile(VENUE, trading.now))).since_ns == before
    trading.venue(account(trading.now))
    assert audit(trading).since_ns > before


@pytest.mark.req("P-PNL-7")
def test_a_position_that_we_passed_through_since_the_question_is_no_difference(trading, fill):
    trading.venue(fill("pd1-1", 1, "0.004", "0.004"))
    request = audit(trading)
    trading.now += 50 * MS
    trading.venue(fill("pd1-1", 2, "0.003", "0.007"))
    for position in ("0.004", "0.007"):
        assert verdicts(trading.venue(account(request.ts_init_ns, {BTC: position}))) == []
    assert trading.core._accounts[VENUE].audit_misses == 0


@pytest.mark.req("P-PNL-7")
@pytest.mark.parametrize("position", ["0.003", "-0.004", "0"])
def test_a_position_that_we_never_had_is_a_difference_at_the_second_look(trading, fill, position):
    trading.venue(fill("pd1-1", 1, "0.004", "0.004"))
    trading.now += 1
    said = []
    for _ in range(2):
        request = audit(trading, 6_000)
        said += verdicts(trading.venue(account(request.ts_init_ns, {BTC: position})))
    assert said == [False]


@pytest.mark.req("P-PNL-7")
def test_a_difference_that_an_audit_found_is_let_go_when_a_later_comparison_is_clean(trading, fill):
    trading.venue(fill("pd1-1", 1, "0.004", "0.004"))
    trading.now += 1
    for _ in range(2):
        request = audit(trading, 6_000)
        said = verdicts(trading.venue(account(request.ts_init_ns, {BTC: "1"})))
    assert said == [False]
    request = asked(trading.later(6_000))
    assert request.cause == "reconcile"
    assert verdicts(trading.venue(account(request.ts_init_ns, {BTC: "1"}))) == []  # it is known to be wrong
    request = asked(trading.later(6_000))
    assert verdicts(trading.venue(account(request.ts_init_ns, {BTC: "0.004"}))) == [True]
    assert audit(trading, 6_000).cause == "audit"


@pytest.mark.req("P-PNL-7")
def test_an_execution_of_a_stranger_is_ours_to_own_and_a_clean_comparison_after_it_lets_go(trading, fill):
    stranger = fill("web_1", 9, "0.5", "0.5")
    assert verdicts(trading.venue(stranger)) == [False]
    request = asked(trading.later(6_000))
    assert verdicts(trading.venue(account(request.ts_init_ns, {BTC: "0.5"}, (stranger,)))) == [True]
    another = fill("web_2", 10, "0.5", "0.5")
    request = audit(trading, 6_000)
    assert verdicts(trading.venue(account(request.ts_init_ns, {BTC: "1"}, (stranger, another)))) == [False]
    request = asked(trading.later(6_000))
    assert verdicts(trading.venue(account(request.ts_init_ns, {BTC: "1"}, (stranger, another)))) == [True]
    assert trading.core.exposure()[BTC].position == 1


def test_an_order_that_ended_after_the_question_may_still_be_listed(trading, report):
    request = audit(trading)
    trading.now += 20 * MS
    listed = report("pd1-1", ExecType.ORDER_STATUS)
    trading.venue(report("pd1-1", ExecType.CANCELED))
    trading.venue(account(request.ts_init_ns, open_orders=(listed,)))
    assert trading.core._accounts[VENUE].audit_misses == 0
    request = audit(trading, 6_000)
    trading.venue(account(request.ts_init_ns, open_orders=(listed,)))
    assert trading.core._accounts[VENUE].audit_misses == 1


@pytest.mark.req("P-ORD-1")
def test_an_end_waits_for_executions_from_an_answer_that_was_asked_for_after_it(trading, report, fill):
    early = audit(trading)
    trading.now += 20 * MS
    trading.venue(report("pd1-1", ExecType.CANCELED, cum_qty="0.004"))
    assert trading.status("pd1-1") is OrdStatus.NEW
    # This answer may have been given before the execution: it says nothing of what is missing.
    assert verdicts(trading.venue(account(early.ts_init_ns))) == []
    assert trading.status("pd1-1") is OrdStatus.NEW
    late = asked(trading.later(300))
    trading.venue(account(late.ts_init_ns, {BTC: "0.004"}, (fill("pd1-1", 1, "0.004", "0.004"),)))
    assert trading.status("pd1-1") is OrdStatus.CANCELED
    assert trading.core.exposure()[BTC].position == Decimal("0.004")


def test_an_order_that_is_gone_from_the_list_is_asked_for_by_id(trading):
    request = audit(trading)
    said = trading.venue(account(request.ts_init_ns))
    assert [e.command.cl_ord_id for e in said if isinstance(e, SendToVenue)] == ["pd1-1"]
    assert isinstance(said[0].command, OrderStatusRequest)


def test_executions_that_were_forgotten_for_their_number_are_not_applied_again(trading, fill, monkeypatch):
    monkeypatch.setattr(inbox_module, "INBOX_MAX", 3)
    fills = [fill("foreign", n, "1", "1", ts_event_ns=trading.now + n) for n in range(1, 6)]
    for one in fills:
        trading.venue(one)
    assert trading.core.exposure()[BTC].position == 5
    for one in fills:
        assert trading.venue(one) == []
    assert trading.core.exposure()[BTC].position == 5
