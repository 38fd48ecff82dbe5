"""Amending: in place where the venue can, else cancel and new, and one order's worth is executed either way."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.orders.core import Emit, OrderCore, OrderCoreConfig, SendToVenue
from trading.orders.messages import (
    ExecType,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderDenied,
    OrdStatus,
)

VENUE = "BINANCEUSDM"
INSTRUMENT_ID = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
NEVER = OrderCoreConfig(amend_unsupported=(VENUE,))


def commands(said):
    return [e.command for e in said if isinstance(e, SendToVenue)]


def denials(said):
    return [e.message for e in said if isinstance(e, Emit) and isinstance(e.message, OrderDenied)]


@pytest.fixture
def working(new_desk, approved, report):
    """A desk with one order on the book; where the venue does not amend unless told otherwise."""

    def make(config=NEVER):
        desk = new_desk(config=config)
        desk.place(approved("pd1-1"))
        desk.venue(report("pd1-1", ExecType.NEW, "e1"))
        return desk

    return make


def refusal(text):
    return OrderCancelReject(
        venue=VENUE,
        instrument_id=INSTRUMENT_ID,
        cl_ord_id="pd1-2",
        orig_cl_ord_id="pd1-1",
        ord_status=OrdStatus.NEW,
        text=text,
        ts_event_ns=0,
        ts_init_ns=0,
    )


def ended(report, name, exec_type=ExecType.CANCELED, **fields):
    return report(f"{name}-c1", exec_type, f"end-{name}", orig_cl_ord_id=name, **fields)


@pytest.mark.req("P-ORD-11")
def test_the_new_order_goes_out_when_the_end_of_the_old_one_is_proved(working, approved, report):
    desk = working()
    (cancel,) = commands(desk.place(approved("pd1-2", replaces="pd1-1")))
    assert isinstance(cancel, OrderCancelRequest)
    assert desk.status("pd1-2") is OrdStatus.JOURNALED
    (new,) = commands(desk.venue(ended(report, "pd1-1")))
    assert isinstance(new, NewOrderSingle)
    assert (new.cl_ord_id, new.order_qty) == ("pd1-2", Decimal("0.010"))
    assert (desk.status("pd1-1"), desk.status("pd1-2")) == (OrdStatus.CANCELED, OrdStatus.PENDING_NEW)
    assert desk.core.amends_by_cancel == 1


@pytest.mark.req("P-ORD-11")
def test_nothing_goes_out_where_the_old_order_executed_meanwhile(working, approved, report):
    desk = working()
    desk.place(approved("pd1-2", replaces="pd1-1"))
    desk.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.010", last_px="1", cum_qty="0.010"))
    assert desk.status("pd1-2") is OrdStatus.DENIED
    assert desk.status("pd1-1") is OrdStatus.FILLED


def test_a_part_executed_meanwhile_leaves_the_rest_to_whoever_wanted_it(working, approved, report):
    desk = working()
    desk.place(approved("pd1-2", replaces="pd1-1"))
    desk.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.004", last_px="1", cum_qty="0.004"))
    said = desk.venue(ended(report, "pd1-1", cum_qty="0.004"))
    assert commands(said) == []
    (denied,) = denials(said)
    assert "executed 0.004 meanwhile" in denied.text


def test_a_cancel_that_is_refused_gives_the_new_order_up(working, approved):
    desk = working()
    desk.place(approved("pd1-2", replaces="pd1-1"))
    refused = refusal("busy")
    said = desk.venue(
        type(refused)(**{f: getattr(refused, f) for f in refused.__struct_fields__} | {"cl_ord_id": "pd1-1-c1"})
    )
    assert len(denials(said)) == 1
    assert (desk.status("pd1-1"), desk.status("pd1-2")) == (OrdStatus.NEW, OrdStatus.DENIED)


def test_silence_gives_the_new_order_up_in_time_and_the_cancel_stands(working, approved, report):
    desk = working()
    desk.place(approved("pd1-2", replaces="pd1-1"))
    said = [e for _ in range(9) for e in desk.later(250)]
    assert len(denials(said)) == 1
    assert not any(isinstance(c, NewOrderSingle) for c in commands(said))
    assert commands(desk.venue(ended(report, "pd1-1"))) == []
    assert desk.core.open_orders() == []


@pytest.mark.req("P-ORD-11")
@pytest.mark.parametrize(
    ("text", "by_cancel"),
    [("-5026 Exceed maximum modify order limit.", True), ("This endpoint is not supported.", True), ("busy", False)],
)
def test_a_refused_amend_teaches_the_way_of_the_next(working, approved, report, text, by_cancel):
    desk = working(OrderCoreConfig())
    (amend,) = commands(desk.place(approved("pd1-2", replaces="pd1-1")))
    assert isinstance(amend, OrderCancelReplaceRequest)
    desk.venue(refusal(text))
    assert (desk.status("pd1-1"), desk.status("pd1-2")) == (OrdStatus.NEW, OrdStatus.REJECTED)
    (again,) = commands(desk.place(approved("pd1-3", replaces="pd1-1")))
    assert isinstance(again, OrderCancelRequest if by_cancel else OrderCancelReplaceRequest)


def test_after_a_restart_a_new_order_that_waited_is_proved_not_to_exist(working, approved, instrument):
    desk = working()
    desk.place(approved("pd1-2", replaces="pd1-1"))
    again = OrderCore({instrument.instrument_id: instrument}, 2, NEVER)
    again.restore(desk.rows)
    assert again.order(VENUE, "pd1-2").ord_status is OrdStatus.UNKNOWN
    assert again.order(VENUE, "pd1-1").is_open
