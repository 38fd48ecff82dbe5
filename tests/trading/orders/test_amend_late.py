"""Amendments that were given up and take effect after all: what they may do counts, and what they did is taken in.

The venue is asked late enough, shows the old terms, and makes the amendment all the same.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.trading.orders.test_amend_in_place import (
    IN_PLACE,
    INSTRUMENT_ID,
    ONE,
    THREE,
    TWO,
    VENUE,
    answer,
    commands,
    leaves,
    messages,
    refusal,
    trade,
)
from trading.brakes import Level
from trading.market.events import BookState, BookTop
from trading.orders.core import OrderCore, OrderCoreConfig, Reconciled
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    ExecType,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderDenied,
    OrderFilled,
    OrderStatusRequest,
    OrderUpdated,
    OrdStatus,
    Side,
)
from trading.orders.order import EXTERNAL
from trading.orders.reduce_only import leaves_of, surplus
from trading.risk.governor import RiskGovernor
from trading.risk.limits import RiskLimits

MORE = "0.030"
ALL, OLD = Decimal(MORE), Decimal("0.010")


@pytest.fixture
def desk(new_desk, approved, report):
    """A desk at a venue that amends in place, with one order of 0.010 on the book."""
    desk = new_desk(config=IN_PLACE)
    desk.place(approved(ONE))
    desk.venue(report(ONE, ExecType.NEW, "e1"))
    return desk


@pytest.fixture
def given_up(desk, amend, shown):
    """An amendment to 0.030 that the venue's record, asked late enough, does not show; what was said of it."""

    def give_up(qty=MORE, **terms):
        amend(qty=qty, **terms)
        desk.later(2_500)
        said = desk.venue(answer(desk, shown(qty="0.010")))
        assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.NEW, OrdStatus.REJECTED)
        return said

    return give_up


def verdicts(said):
    return [e for e in said if isinstance(e, Reconciled)]


@pytest.mark.req("P-ORD-11", "P-ORD-13")
def test_what_was_given_up_counts_until_its_order_ends(desk, given_up, shown):
    said = given_up()
    assert leaves(desk) == ALL
    worst = [(m.cl_ord_id, m.ord_status, m.leaves_qty, m.late_qty) for m in messages(said, OrderUpdated)]
    assert worst[0] == (ONE, OrdStatus.PENDING_REPLACE, OLD, Decimal("0.020")), "before the amendment counts no more"
    assert worst[1][:2] == (TWO, OrdStatus.REJECTED)
    desk.later(60_000)
    desk.venue(shown(qty="0.010", ts=60_000))
    assert leaves(desk) == ALL, "no age frees it"
    desk.venue(trade(shown, "x1", "0.004", "0.004", qty="0.010", ts=61_000))
    assert leaves(desk) == Decimal("0.026")
    desk.venue(shown(ExecType.CANCELED, qty="0.010", cum="0.004", exec_id="c1", ts=62_000))
    assert leaves(desk) == 0


def test_an_amendment_to_less_that_was_given_up_adds_nothing(desk, given_up):
    given_up("0.006")
    assert leaves(desk) == OLD


@pytest.mark.req("P-ORD-11")
def test_the_venues_own_refusal_that_comes_late_frees_it(desk, given_up):
    given_up()
    said = desk.venue(refusal("-1021 Timestamp for this request is outside of the recvWindow."))
    assert leaves(desk) == OLD
    assert [m.late_qty for m in messages(said, OrderUpdated) if m.cl_ord_id == ONE][-1] == 0


def test_a_refusal_that_may_be_our_own_doing_frees_nothing(desk, given_up):
    given_up()
    desk.venue(refusal("unchanged: -5027 No need to modify the order."))
    assert leaves(desk) == ALL


@pytest.mark.req("P-ORD-11")
@pytest.mark.parametrize("how", ["stream", "record", "execution", "execution without terms"])
def test_the_word_that_it_took_effect_is_taken_in(desk, given_up, shown, how):
    given_up()
    executed = Decimal(0)
    if how == "stream":
        said = desk.venue(shown(ExecType.NEW, exec_id="e2", qty=MORE, ts=3_000))
    elif how == "record":
        said = desk.venue(answer(desk, shown(qty=MORE, ts=3_000)))
    else:
        executed = Decimal("0.012")
        word = trade(shown, "x1", "0.012", "0.012", qty=MORE, ts=3_000)
        if how == "execution without terms":
            word = msgspec.structs.replace(word, order_qty=Decimal(0), price=None)
        said = desk.venue(word)
        (fill,) = messages(said, OrderFilled)
        assert (fill.cl_ord_id, [leg.strategy_id for leg in fill.legs]) == (TWO, ["maker"])
    order = desk.core.order(VENUE, TWO)
    assert (desk.status(ONE), order.is_open, order.total_qty) == (OrdStatus.REPLACED, True, ALL)
    assert order.leaves_qty == leaves(desk) == ALL - executed
    assert not verdicts(said)
    (cancel,) = [c for c in commands(said) if isinstance(c, OrderCancelRequest)]
    assert cancel.orig_cl_ord_id == ONE, "its strategies have decided anew"


@pytest.mark.req("P-ORD-11")
def test_executions_past_the_old_quantity_are_booked_whatever_the_parts_they_come_in(desk, given_up, shown):
    given_up()
    bare = {"order_qty": Decimal(0), "price": None}
    first = desk.venue(msgspec.structs.replace(trade(shown, "x1", "0.010", "0.010", ts=3_000), **bare))
    assert leaves(desk) == Decimal("0.020"), "all of the old quantity is no proof that it was all"
    assert [c.cl_ord_id for c in commands(first) if isinstance(c, OrderStatusRequest)] == [ONE]
    second = desk.venue(msgspec.structs.replace(trade(shown, "x2", "0.020", "0.030", ts=3_001), **bare))
    fills = messages([*first, *second], OrderFilled)
    assert [(f.cl_ord_id, f.last_qty, f.legs[0].strategy_id) for f in fills] == [
        (ONE, OLD, "maker"),
        (TWO, Decimal("0.020"), "maker"),
    ]
    assert not verdicts(first + second)
    assert EXTERNAL not in {leg.strategy_id for fill in fills for leg in fill.legs}
    desk.venue(shown(qty=MORE, cum="0.030", ts=3_002, ord_status=OrdStatus.FILLED))
    assert leaves(desk) == 0
    assert desk.core.exposure()[INSTRUMENT_ID].position == ALL


@pytest.mark.parametrize("told", ["by the execution itself", "by the record"])
def test_an_order_that_was_executed_as_it_was_has_ended(desk, given_up, shown, instrument, told):
    given_up()
    word = trade(shown, "x1", "0.010", "0.010", qty="0.010", ts=3_000)
    if told == "by the record":
        desk.venue(msgspec.structs.replace(word, order_qty=Decimal(0), price=None))
        assert desk.status(ONE) is OrdStatus.PARTIALLY_FILLED
        desk.venue(answer(desk, shown(qty="0.010", cum="0.010", ts=3_100, ord_status=OrdStatus.FILLED)))
    else:
        desk.venue(word)
    assert (desk.status(ONE), leaves(desk)) == (OrdStatus.FILLED, 0)
    again = OrderCore({instrument.instrument_id: instrument}, 2, IN_PLACE)
    again.restore(desk.rows)
    assert again.order(VENUE, ONE).ord_status is OrdStatus.FILLED


@pytest.mark.req("P-ORD-11", "P-ORD-1")
def test_a_restart_forgets_neither_what_may_come_nor_whose_it_is(desk, given_up, shown, instrument):
    given_up()
    again = OrderCore({instrument.instrument_id: instrument}, 2, IN_PLACE)
    again.restore(desk.rows)
    kept = OrderCore({instrument.instrument_id: instrument}, 2, IN_PLACE)
    kept.restore([], desk.core.checkpoint(len(desk.rows)))
    for core in (again, kept):
        assert core.exposure()[INSTRUMENT_ID].buy_leaves == ALL
        core.on_venue(trade(shown, "x1", "0.012", "0.012", qty=MORE, ts=3_000), desk.now)
        assert core.order(VENUE, TWO).cum_qty == Decimal("0.012")
        assert core.exposure()[INSTRUMENT_ID].buy_leaves == Decimal("0.018")


def test_it_is_remembered_however_many_orders_end_meanwhile(new_desk, approved, report, amend, shown):
    desk = new_desk(config=OrderCoreConfig(amends_in_place=(VENUE,), terminal_orders_max=2))
    desk.place(approved(ONE))
    desk.venue(report(ONE, ExecType.NEW, "e1"))
    desk.place(approved(TWO, MORE, replaces=ONE))
    desk.later(2_500)
    desk.venue(answer(desk, shown(qty="0.010")))
    for number in range(10, 16):
        desk.place(approved(f"pd1-{number}"))
        desk.venue(report(f"pd1-{number}", ExecType.CANCELED, f"c{number}"))
    desk.venue(shown(qty=MORE, ts=4_000))
    assert desk.core.order(VENUE, TWO).is_open
    assert len(desk.core._done) <= 3


@pytest.mark.req("P-ORD-11")
def test_what_replaces_an_order_of_which_an_amendment_was_given_up_waits_for_its_end(desk, given_up, amend, report):
    given_up()
    (cancel,) = amend(THREE, qty="0.020")
    assert isinstance(cancel, OrderCancelRequest)
    (new,) = commands(desk.venue(report(ONE, ExecType.CANCELED, "c1")))
    assert isinstance(new, NewOrderSingle)
    assert leaves(desk) == Decimal("0.020")


@pytest.mark.req("P-ORD-11")
def test_an_amendment_that_was_refused_and_made_all_the_same_is_followed_too(desk, amend, shown):
    amend(qty=MORE)
    desk.venue(refusal("-4004 Quantity less than or equal to zero."))
    assert leaves(desk) == OLD, "a refusal is the venue's own word"
    said = desk.venue(trade(shown, "x1", "0.025", "0.025", qty=MORE, ts=3_000))
    assert [fill.cl_ord_id for fill in messages(said, OrderFilled)] == [TWO]
    assert leaves(desk) == Decimal("0.005")
    assert not verdicts(said)


def test_a_refused_amendment_to_the_terms_there_are_is_not_proved_by_them(desk, amend, shown):
    amend(qty="0.010")
    desk.venue(refusal("busy"))
    desk.venue(shown(qty="0.010", ts=3_000))
    assert (desk.status(ONE), desk.status(TWO)) == (OrdStatus.NEW, OrdStatus.REJECTED)


def test_a_word_of_the_one_given_up_is_told_from_the_one_on_its_way(desk, amend, shown):
    amend(TWO, qty=MORE)
    desk.venue(refusal("busy"))
    (said,) = amend(THREE, qty="0.020")
    assert isinstance(said, OrderCancelReplaceRequest)
    desk.venue(shown(qty=MORE, ts=3_000))
    assert desk.core.order(VENUE, TWO).is_open
    desk.venue(shown(qty="0.020", ts=3_001))
    assert (desk.status(TWO), desk.core.order(VENUE, THREE).is_open) == (OrdStatus.REPLACED, True)
    assert leaves(desk) == Decimal("0.020")


def test_reduce_only_counts_what_may_come(desk, given_up):
    given_up()
    (order,) = desk.core.open_orders()
    assert leaves_of([order], VENUE, INSTRUMENT_ID, Side.BUY) == ALL
    assert surplus(Decimal("-0.020"), [order]) == [order]
    assert surplus(Decimal("-0.030"), [order]) == []


@pytest.mark.req("P-ORD-11", "P-RSK-2")
def test_the_governor_sees_it_until_the_order_ends(desk, amend, given_up, approved, shown, instrument):
    limits = RiskLimits(max_position_notional_usd=Decimal(1_750), max_order_notional_usd=Decimal(1_600))
    governor = RiskGovernor({INSTRUMENT_ID: instrument}, limits, 1, amends_in_place=[VENUE])

    def hear(said):
        for update in messages(said, OrderUpdated):
            governor.on_order(update)
        for fill in messages(said, OrderFilled):
            governor.on_fill(fill)

    def ask(name, qty):
        top = BookTop(
            instrument_id=INSTRUMENT_ID,
            bids=((500_000, 10),),
            asks=((500_001, 10),),
            state=BookState.SYNCED,
            update_id=1,
            ts_event_ns=desk.now,
            ts_recv_ns=desk.now,
        )
        governor.on_top(top)
        return governor.decide(approved(name, qty).order, desk.now)

    governor.set_modes({"global": Level.RUN})
    (one,) = desk.core.open_orders()
    governor.on_order(one.updated(desk.now))
    governor.decide(msgspec.structs.replace(approved(TWO, MORE).order, replaces=ONE), desk.now)
    hear(given_up())
    denied = ask("pd1-8", "0.006")
    assert isinstance(denied, OrderDenied)
    assert denied.reason is DenyReason.MAX_POSITION
    hear(desk.venue(trade(shown, "x1", "0.030", "0.030", qty=MORE, ts=3_000)))
    assert governor.view()["instruments"][INSTRUMENT_ID]["position"] == MORE
    assert governor.view()["instruments"][INSTRUMENT_ID]["open_buy_qty"] in {"0", "0.000"}
    assert isinstance(ask("pd1-9", "0.004"), ApprovedOrder)
