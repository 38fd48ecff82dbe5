"""Stops that wait at the venue to close what is held: what a restart, a HOLD and a late word do to them."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.instruments import InstrumentKind
from trading.orders import triggers
from trading.orders.core import Emit, OrderCore, OrderCoreConfig, SendToVenue
from trading.orders.messages import (
    AccountState,
    DenyReason,
    ExecType,
    OrderCancelRequest,
    OrderDenied,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

VENUE = "BINANCEUSDM"
INSTRUMENT_ID = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
CLOSES = TriggeringInstructions(Decimal(49_000), TriggerPriceType.MARK, close_on_trigger=True)


@pytest.fixture(autouse=True)
def _holds(monkeypatch):
    monkeypatch.setitem(
        triggers.SUPPORT, (VENUE, InstrumentKind.LINEAR), triggers.SUPPORT["binanceusdm", InstrumentKind.LINEAR]
    )


@pytest.fixture
def stop(approved):
    """A stop at market that sells what was bought; ``fields`` make another order of it."""

    def build(cl_ord_id="pd1-g1", **fields):
        given = {
            "ord_type": OrdType.STOP,
            "price": None,
            "side": Side.SELL,
            "reduce_only": True,
            "time_in_force": TimeInForce.IOC,
            "trigger": CLOSES,
            **fields,
        }
        order = approved(cl_ord_id)
        return msgspec.structs.replace(order, order=msgspec.structs.replace(order.order, **given))

    return build


@pytest.fixture
def guarded(desk, approved, stop, report):
    """A desk that bought 0.010 and whose venue holds a stop of that."""
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.010", last_px="50000", cum_qty="0.010"))
    desk.place(stop())
    desk.venue(report("pd1-g1", ExecType.NEW, "e1", ord_status=OrdStatus.PENDING_TRIGGER, order_id="a7"))
    assert desk.status("pd1-g1") is OrdStatus.PENDING_TRIGGER
    return desk


def sent(desk, kind):
    return [one.command for one in desk.said if isinstance(one, SendToVenue) and isinstance(one.command, kind)]


def held_at_venue(report):
    return report("pd1-g1", ExecType.ORDER_STATUS, ord_status=OrdStatus.PENDING_TRIGGER, order_id="a7")


def account(open_orders, qty):
    return AccountState(
        venue=VENUE,
        exec_seq=1,
        open_orders=open_orders,
        executions=(),
        fundings=(),
        positions={INSTRUMENT_ID: Decimal(qty)},
        balances={},
        cause="reconcile",
        ts_init_ns=0,
    )


@pytest.mark.req("P-ORD-10", "C-RISK-7")
def test_a_new_epoch_cancels_what_rested_and_leaves_what_guards(guarded, approved, report, instrument):
    guarded.place(approved("pd1-2"))
    guarded.venue(report("pd1-2", ExecType.NEW, "e2"))
    again = OrderCore({instrument.instrument_id: instrument}, 2, OrderCoreConfig())
    again.restore(guarded.rows)
    guarded.core, guarded.waiting, guarded.said = again, [], []
    guarded.do(again.begin_reconcile(VENUE, guarded.now))
    assert {request.orig_cl_ord_id for request in sent(guarded, OrderCancelRequest)} == {"pd1-2"}
    guarded.venue(report("pd1-2", ExecType.CANCELED, "e3"))
    guarded.said.clear()
    guarded.venue(account((held_at_venue(report),), "0.010"))
    verdicts = [one for one in guarded.said if type(one).__name__ == "Reconciled"]
    assert [(one.ok, one.text[:5]) for one in verdicts] == [(True, "clean")]
    assert guarded.status("pd1-g1") is OrdStatus.PENDING_TRIGGER


@pytest.mark.req("P-ORD-10", "P-ORD-3")
def test_a_guard_whose_ack_was_not_heard_before_a_restart_is_asked_about_and_not_canceled(guarded, stop, report):
    guarded.venue(report("pd1-g1", ExecType.CANCELED, "e2"))
    guarded.place(stop("pd1-g2"))
    again = OrderCore(guarded.core._instruments, 2, OrderCoreConfig())
    again.restore(guarded.rows)
    guarded.core, guarded.waiting, guarded.said = again, [], []
    guarded.do(again.begin_reconcile(VENUE, guarded.now))
    assert guarded.status("pd1-g2") is OrdStatus.UNKNOWN
    assert sent(guarded, OrderCancelRequest) == []
    assert [request.cl_ord_id for request in sent(guarded, OrderStatusRequest)] == ["pd1-g2"]


@pytest.mark.parametrize(("guards", "gone"), [(False, {"pd1-2"}), (True, {"pd1-2", "pd1-g1"})])
def test_cancel_all_spares_guards_only_where_it_is_told_to(guarded, approved, report, guards, gone):
    guarded.place(approved("pd1-2"))
    guarded.venue(report("pd1-2", ExecType.NEW, "e2"))
    guarded.said.clear()
    guarded.do(guarded.core.cancel_all(guarded.now, reason="a test", guards=guards))
    assert {request.orig_cl_ord_id for request in sent(guarded, OrderCancelRequest)} == gone


def test_a_triggered_guard_is_an_order_like_any_other(guarded, report):
    guarded.venue(report("pd1-g1", ExecType.TRIGGERED, "e4", order_id="99"))
    guarded.said.clear()
    guarded.do(guarded.core.cancel_all(guarded.now, reason="a test", guards=False))
    (request,) = sent(guarded, OrderCancelRequest)
    # What it became is told by the venue's number of it.
    assert (request.orig_cl_ord_id, request.waits, request.order_id) == ("pd1-g1", False, "99")


def test_questions_and_cancels_say_that_it_waits(guarded):
    guarded.said.clear()
    guarded.do(guarded.core.cancel_all(guarded.now, reason="a test"))
    (request,) = sent(guarded, OrderCancelRequest)
    assert (request.waits, request.order_id) == (True, "")


def test_an_unanswered_guard_is_asked_about_where_waiting_orders_are(desk, approved, stop, report):
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.010", last_px="50000", cum_qty="0.010"))
    desk.place(stop())
    desk.said.clear()
    desk.later(500)
    assert desk.status("pd1-g1") is OrdStatus.UNKNOWN
    assert {request.waits for request in sent(desk, OrderStatusRequest)} == {True}


@pytest.mark.req("P-ORD-10")
def test_that_it_was_triggered_is_found_by_asking_and_what_it_became_is_asked_about_at_once(guarded, report):
    guarded.said.clear()
    found = report("pd1-g1", ExecType.ORDER_STATUS, ord_status=OrdStatus.NEW, order_id="99")
    answer = OrderStatusReport(
        venue=VENUE, instrument_id=INSTRUMENT_ID, cl_ord_id="pd1-g1", report=found, ts_init_ns=guarded.now
    )
    guarded.venue(answer)
    assert guarded.status("pd1-g1") is OrdStatus.NEW
    (question,) = sent(guarded, OrderStatusRequest)
    assert (question.waits, question.order_id) == (False, "99")


def test_a_late_word_of_the_time_before_does_not_take_its_number_back(guarded, report):
    guarded.venue(report("pd1-g1", ExecType.TRIGGERED, "e4", order_id="99"))
    guarded.venue(report("pd1-g1", ExecType.NEW, "e5", ord_status=OrdStatus.PENDING_TRIGGER, order_id="a7"))
    order = guarded.core.order(VENUE, "pd1-g1")
    assert (order.order_id, order.ord_status) == ("99", OrdStatus.NEW)


@pytest.mark.req("P-ORD-9", "P-ORD-10")
def test_a_guard_takes_nothing_from_orders_that_close_and_closes_no_more_than_is_held(guarded, approved, stop):
    closing = msgspec.structs.replace(approved("pd1-3").order, side=Side.SELL, reduce_only=True)
    guarded.said.clear()
    guarded.place(msgspec.structs.replace(approved("pd1-3"), order=closing))
    assert guarded.status("pd1-3") is OrdStatus.PENDING_NEW
    legs = tuple(msgspec.structs.replace(leg, qty=Decimal("0.011")) for leg in closing.legs)
    guarded.place(stop("pd1-g2", order_qty=Decimal("0.011"), legs=legs))
    denied = [one.message for one in guarded.said if isinstance(one, Emit) and isinstance(one.message, OrderDenied)]
    assert [one.reason for one in denied] == [DenyReason.REDUCE_ONLY]
