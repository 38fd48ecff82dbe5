"""Amendments in place, message by message: one order at the venue under its first id, a chain of orders here."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.orders.core import Emit, OrderCore, OrderCoreConfig, SendToVenue
from trading.orders.inplace import UNCHANGED
from trading.orders.journal_rows import AmendedBody, JournalKind, PlaceBody, decode_body
from trading.orders.messages import (
    AccountState,
    ExecType,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderFilled,
    OrderStatusReport,
    OrderStatusRequest,
    OrderUpdated,
    OrdStatus,
    TimeInForce,
)

VENUE = "BINANCEUSDM"
INSTRUMENT_ID = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
IN_PLACE = OrderCoreConfig(amends_in_place=(VENUE,))
MS = 1_000_000
ONE, TWO, THREE = "pd1-1", "pd1-2", "pd1-3"


def commands(said):
    return [e.command for e in said if isinstance(e, SendToVenue)]


def messages(said, kind):
    return [e.message for e in said if isinstance(e, Emit) and isinstance(e.message, kind)]


@pytest.fixture
def desk(new_desk, approved, report):
    """A desk at a venue that amends in place, with one order of 0.010 on the book."""
    desk = new_desk(config=IN_PLACE)
    desk.place(approved(ONE))
    desk.venue(report(ONE, ExecType.NEW, "e1"))
    return desk


def trade(shown, exec_id, last_qty, cum, **fields):
    return shown(ExecType.TRADE, exec_id=exec_id, last_qty=last_qty, last_px="50000", cum=cum, **fields)


def answer(desk, report):
    return OrderStatusReport(
        venue=VENUE,
        instrument_id=INSTRUMENT_ID,
        cl_ord_id=ONE,
        report=report,
        ts_init_ns=desk.now,
        asked_ns=desk.now,
    )


def refusal(text, name=TWO):
    return OrderCancelReject(
        venue=VENUE,
        instrument_id=INSTRUMENT_ID,
        cl_ord_id=name,
        orig_cl_ord_id=ONE,
        ord_status=OrdStatus.UNKNOWN,
        text=text,
        ts_event_ns=0,
        ts_init_ns=0,
    )


def leaves(desk):
    found = desk.core.exposure().get(INSTRUMENT_ID)
    return Decimal(0) if found is None else found.buy_leaves


@pytest.mark.req("P-ORD-11", "P-ORD-2")
def test_an_amendment_is_journalled_with_what_it_amends_before_it_is_said_under_an_id_of_its_own(desk, amend):
    (said,) = amend(qty="0.006", price="49999.9")
    assert isinstance(said, OrderCancelReplaceRequest)
    assert (said.cl_ord_id, said.orig_cl_ord_id) == (TWO, ONE)
    assert (said.order_qty, said.price) == (Decimal("0.006"), Decimal("49999.9"))
    row = desk.rows[-1]
    body = decode_body(row.body)
    assert (row.kind, row.cl_ord_id) == (JournalKind.REPLACE, TWO)
    assert isinstance(body, PlaceBody)
    assert body.in_place is not None
    assert (body.in_place.wire_id, body.in_place.old_qty) == (ONE, Decimal("0.010"))
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.PENDING_REPLACE, OrdStatus.PENDING_NEW)


@pytest.mark.req("P-ORD-11")
def test_the_record_with_the_new_terms_proves_it_and_the_old_order_is_replaced(desk, amend, shown):
    amend()
    said = desk.venue(shown())
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.REPLACED, OrdStatus.NEW)
    assert isinstance(decode_body(desk.rows[-1].body), AmendedBody)
    assert [m.ord_status for m in messages(said, OrderUpdated)] == [OrdStatus.NEW, OrdStatus.REPLACED]
    assert desk.core.amends_in_place == 1


def test_the_venues_own_word_of_it_proves_it_even_where_the_terms_are_another_amendments(desk, amend, shown):
    amend()
    done = msgspec.structs.replace(
        shown(ExecType.REPLACED, exec_id="r1"), cl_ord_id=TWO, orig_cl_ord_id=ONE, ts_event_ns=0
    )
    desk.venue(done)
    desk.venue(done)
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.REPLACED, OrdStatus.NEW)
    assert desk.core.amends_in_place == 1


@pytest.mark.req("P-ORD-11")
def test_an_amended_order_said_anew_under_the_id_of_its_first_ack_is_heard(desk, amend, shown):
    amend()
    desk.venue(shown(ExecType.NEW, exec_id="e1"))
    assert desk.status(TWO) is OrdStatus.NEW


@pytest.mark.req("P-ORD-11")
def test_what_was_executed_is_in_the_new_total_and_each_part_is_booked_to_the_order_of_its_time(desk, amend, shown):
    desk.venue(trade(shown, "x1", "0.004", "0.004", qty="0.010"))
    (said,) = amend(qty="0.005")
    assert said.order_qty == Decimal("0.009")
    desk.venue(trade(shown, "x2", "0.001", "0.005", qty="0.010", ts=11))
    desk.venue(refusal("busy"))
    assert desk.status(ONE) is OrdStatus.PARTIALLY_FILLED
    (said,) = amend(THREE, qty="0.003")
    assert said.order_qty == Decimal("0.008")
    desk.venue(shown(qty="0.008", cum="0.005", ts=12))
    fills = messages(desk.venue(trade(shown, "x3", "0.003", "0.008", qty="0.008", ts=13)), OrderFilled)
    assert [fill.cl_ord_id for fill in fills] == [THREE]
    assert desk.status(THREE) is OrdStatus.FILLED
    assert desk.core.order(VENUE, ONE).cum_qty == Decimal("0.005")


@pytest.mark.req("P-ORD-11")
def test_what_is_executed_on_the_way_is_taken_off_what_the_amendment_may_execute(desk, amend, shown):
    amend(qty="0.006")
    desk.venue(trade(shown, "x1", "0.002", "0.002", qty="0.010"))
    desk.venue(shown(cum="0.002", ts=11))
    assert desk.core.order(VENUE, ONE).cum_qty == Decimal("0.002")
    assert leaves(desk) == Decimal("0.004")
    desk.venue(trade(shown, "x2", "0.004", "0.006", ts=12))
    order = desk.core.order(VENUE, TWO)
    assert (order.ord_status, order.cum_qty) == (OrdStatus.FILLED, Decimal("0.004"))
    assert not desk.core.open_orders()


def test_the_first_execution_with_the_new_terms_is_the_amendments_own(desk, amend, shown):
    amend(qty="0.006")
    said = desk.venue(trade(shown, "x1", "0.001", "0.001", ts=11))
    assert [fill.cl_ord_id for fill in messages(said, OrderFilled)] == [TWO]
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.REPLACED, OrdStatus.PARTIALLY_FILLED)


def test_an_execution_beyond_the_old_quantity_without_terms_proves_that_more_was_given(desk, amend, shown):
    amend(qty="0.020")
    bare = msgspec.structs.replace(trade(shown, "x1", "0.012", "0.012", ts=11), order_qty=Decimal(0), price=None)
    said = desk.venue(bare)
    assert [fill.cl_ord_id for fill in messages(said, OrderFilled)] == [TWO]
    assert leaves(desk) == Decimal("0.008")


@pytest.mark.req("P-ORD-11")
@pytest.mark.parametrize(("qty", "most"), [("0.006", "0.010"), ("0.010", "0.010"), ("0.025", "0.025")])
def test_until_it_is_proved_the_larger_of_old_and_new_is_exposure(desk, amend, shown, qty, most):
    amend(qty=qty)
    assert leaves(desk) == Decimal(most)
    desk.venue(trade(shown, "x1", "0.003", "0.003", qty="0.010"))
    assert leaves(desk) == Decimal(most) - Decimal("0.003")
    desk.venue(shown(qty=qty, cum="0.003", ts=12))
    assert leaves(desk) == Decimal(qty) - Decimal("0.003")


@pytest.mark.req("P-ORD-11")
def test_a_refused_amendment_leaves_the_order_as_it_was(desk, amend, shown):
    amend()
    said = desk.venue(refusal("-4004 Quantity less than or equal to zero."))
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.NEW, OrdStatus.REJECTED)
    assert leaves(desk) == Decimal("0.010")
    (question,) = commands(said)
    assert isinstance(question, OrderStatusRequest)
    (again,) = amend(THREE)
    assert isinstance(again, OrderCancelReplaceRequest)


@pytest.mark.req("P-ORD-11")
def test_what_the_venue_will_not_amend_is_replaced_by_its_cancel_and_a_new_order(desk, amend, report):
    amend()
    desk.venue(refusal("-5026 Exceed maximum modify order limit."))
    (cancel,) = amend(THREE)
    assert isinstance(cancel, OrderCancelRequest)
    assert leaves(desk) >= Decimal("0.010")
    (new,) = commands(desk.venue(report(ONE, ExecType.CANCELED, "c1")))
    assert isinstance(new, NewOrderSingle)
    assert (new.cl_ord_id, new.order_qty) == (THREE, Decimal("0.006"))


@pytest.mark.parametrize(
    "changes", [{"time_in_force": TimeInForce.GTX}, {"reduce_only": True}], ids=["time in force", "reduce-only"]
)
def test_what_an_amendment_cannot_change_needs_an_order_of_its_own(desk, amend, shown, changes):
    desk.core._account(VENUE).net[INSTRUMENT_ID] = Decimal(-1)
    (cancel,) = amend(**changes)
    assert isinstance(cancel, OrderCancelRequest)
    assert desk.status(TWO) is OrdStatus.JOURNALED


@pytest.mark.req("P-ORD-11", "P-ORD-13")
def test_an_unanswered_amendment_is_unknown_until_the_record_was_asked_late_enough(desk, amend, shown):
    amend()
    said = desk.later(401)
    assert desk.status(TWO) is OrdStatus.UNKNOWN
    assert {c.cl_ord_id for c in commands(said) if isinstance(c, OrderStatusRequest)} == {ONE}
    desk.venue(answer(desk, shown(qty="0.010")))
    assert desk.status(TWO) is OrdStatus.UNKNOWN
    desk.now += 2_000 * MS
    desk.venue(answer(desk, shown(qty="0.010")))
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.NEW, OrdStatus.REJECTED)
    assert leaves(desk) == Decimal("0.010")


@pytest.mark.req("P-ORD-11")
def test_an_amendment_that_was_given_up_and_shows_up_is_followed_and_canceled(desk, amend, shown):
    amend()
    desk.later(2_500)
    desk.venue(answer(desk, shown(qty="0.010")))
    assert desk.status(TWO) is OrdStatus.REJECTED
    said = desk.venue(shown(ts=3_000))
    (cancel,) = commands(said)
    assert isinstance(cancel, OrderCancelRequest)
    assert (cancel.orig_cl_ord_id, desk.status(ONE)) == (ONE, OrdStatus.REPLACED)
    assert desk.core.order(VENUE, TWO).is_open


@pytest.mark.req("P-ORD-11", "P-ORD-2")
def test_that_it_is_so_already_may_be_our_own_doing_and_the_record_tells(desk, amend, shown):
    amend()
    said = desk.venue(refusal(f"{UNCHANGED}-5027 No need to modify the order."))
    assert desk.status(TWO) is OrdStatus.UNKNOWN
    assert any(isinstance(c, OrderStatusRequest) for c in commands(said))
    desk.venue(answer(desk, shown()))
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.REPLACED, OrdStatus.NEW)
    (third,) = amend(THREE, TWO, qty="0.005")
    assert isinstance(third, OrderCancelReplaceRequest)
    assert (third.orig_cl_ord_id, third.order_qty) == (ONE, Decimal("0.005"))


@pytest.mark.req("P-ORD-11")
def test_an_old_word_with_terms_that_come_again_proves_nothing(desk, amend, shown):
    first = shown(qty="0.010", ts=10)
    desk.venue(first)
    amend(TWO, qty="0.006")
    desk.venue(shown(qty="0.006", ts=20))
    amend(THREE, TWO, qty="0.010")
    desk.venue(msgspec.structs.replace(first, exec_id="again"))
    assert desk.status(THREE) is OrdStatus.PENDING_NEW
    desk.venue(shown(qty="0.010", ts=30))
    assert (desk.status(TWO), desk.status(THREE)) == (OrdStatus.REPLACED, OrdStatus.NEW)


@pytest.mark.req("P-ORD-11")
def test_an_order_that_ends_takes_the_amendment_on_its_way_with_it(desk, amend, shown):
    amend()
    desk.venue(shown(ExecType.CANCELED, qty="0.010", exec_id="c1"))
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.CANCELED, OrdStatus.REJECTED)
    assert leaves(desk) == 0


def test_an_order_executed_as_it_was_ends_the_amendment_that_came_too_late(desk, amend, shown):
    amend(qty="0.020")
    desk.venue(trade(shown, "x1", "0.010", "0.010", qty="0.010", ts=11))
    assert desk.status(ONE) is OrdStatus.FILLED
    assert leaves(desk) == Decimal("0.010")
    desk.venue(answer(desk, shown(qty="0.010", cum="0.010", ts=12, ord_status=OrdStatus.FILLED)))
    assert desk.status(TWO) is OrdStatus.REJECTED
    assert leaves(desk) == 0


def test_an_amendment_that_was_not_sent_is_denied_when_its_order_ends(desk, approved, shown):
    desk.take(desk.core.on_approved(approved(TWO, "0.006", replaces=ONE), desk.now))
    desk.take(desk.core.on_venue(shown(ExecType.CANCELED, qty="0.010", exec_id="c1"), desk.now))
    said = desk.commit()
    assert not any(isinstance(c, OrderCancelReplaceRequest) for c in commands(said))
    assert desk.status(TWO) is OrdStatus.DENIED


@pytest.mark.req("P-ORD-11")
def test_the_amended_order_is_canceled_and_ends_under_its_first_id(desk, amend, shown):
    amend()
    desk.venue(shown())
    (cancel,) = commands(desk.do(desk.core.cancel_all(desk.now, reason="all")))
    assert (cancel.cl_ord_id, cancel.orig_cl_ord_id) == (f"{TWO}-c1", ONE)
    desk.venue(shown(ExecType.CANCELED, exec_id="c1", ts=20))
    assert desk.status(TWO) is OrdStatus.CANCELED
    assert not desk.core.open_orders()


@pytest.mark.req("P-ORD-11", "P-ORD-1")
@pytest.mark.parametrize("proved", [True, False], ids=["after its proof", "before its proof"])
def test_after_a_restart_the_chain_stands_as_it_was_and_nothing_is_said_again(desk, amend, shown, instrument, proved):
    desk.venue(trade(shown, "x1", "0.004", "0.004", qty="0.010"))
    amend(qty="0.003")
    if proved:
        desk.venue(shown(qty="0.007", cum="0.004", ts=20))
    again = OrderCore({instrument.instrument_id: instrument}, 1, IN_PLACE)
    again.restore(desk.rows)
    mine, theirs = again.order(VENUE, TWO), desk.core.order(VENUE, TWO)
    assert mine.ord_status is (OrdStatus.NEW if proved else OrdStatus.UNKNOWN)
    assert (mine.wire_id, mine.total_qty, mine.leaves_qty) == (ONE, Decimal("0.007"), theirs.leaves_qty)
    kept = OrderCore({instrument.instrument_id: instrument}, 1, IN_PLACE)
    kept.restore([], desk.core.checkpoint(len(desk.rows)))
    assert kept.order(VENUE, TWO).in_place == mine.in_place
    for core in (again, kept):
        said = commands(core.begin_reconcile(VENUE, desk.now))
        assert not any(isinstance(c, OrderCancelReplaceRequest | NewOrderSingle) for c in said)
        core.on_venue(trade(shown, "x2", "0.003", "0.007", qty="0.007", ts=30), desk.now)
        assert core.order(VENUE, TWO).ord_status is OrdStatus.FILLED


def test_the_venues_open_order_is_the_amendment_and_no_stranger(desk, amend, shown):
    amend()
    desk.venue(shown())
    desk.do(desk.core.begin_reconcile(VENUE, desk.now))
    listed = shown(ts=20)
    state = AccountState(
        venue=VENUE,
        exec_seq=0,
        open_orders=(listed,),
        executions=(),
        fundings=(),
        positions={},
        balances={},
        cause="reconcile",
        ts_init_ns=desk.now,
    )
    said = desk.venue(state)
    assert not [c for c in commands(said) if isinstance(c, OrderCancelRequest)]
    assert desk.status(TWO) is OrdStatus.NEW


@pytest.mark.req("P-ORD-11")
def test_where_amending_is_the_slower_way_an_order_is_canceled_and_placed_anew(new_desk, approved, report):
    config = OrderCoreConfig(amends_in_place=(VENUE,), amend_latency_ms_max=25)
    desk = new_desk(config=config)
    for number in range(16):
        name, new = f"pd1-a{number}", f"pd1-b{number}"
        desk.place(approved(name))
        desk.venue(report(name, ExecType.NEW, f"n{number}"))
        order = approved(new, "0.005", replaces=name)
        (said,) = commands(desk.place(order))
        assert isinstance(said, OrderCancelReplaceRequest)
        desk.now += 100 * MS
        desk.venue(report(name, ExecType.ORDER_STATUS, order_qty="0.005"))
        desk.do(desk.core.cancel_all(desk.now, reason="all"))
        desk.venue(report(name, ExecType.CANCELED, f"c{number}"))
    desk.place(approved(ONE))
    desk.venue(report(ONE, ExecType.NEW, "e1"))
    (said,) = commands(desk.place(approved(TWO, "0.005", replaces=ONE)))
    assert isinstance(said, OrderCancelRequest)
