"""Stops at the venue: one for each position, following it, known again, asked for ever more patiently when refused."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.trading.protection.conftest import INSTRUMENTS, MS, PERP, SPOT
from trading.orders.journal_rows import JournalKind, PlaceBody, RowDraft, encode_body, numbered
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    OrderDenied,
    OrderUpdated,
    OrdStatus,
    OrdType,
    Side,
    TriggerPriceType,
)
from trading.protection.held import RETRY_NS, CancelExit, ExitNotHeld, PlaceExit, VenueExits, is_guard
from trading.protection.leg import ExitStatus
from trading.protection.levels import ExitReason
from trading.protection.policy import AtVenue, ExitPolicy, Watched

POLICIES = {"m1": ExitPolicy(watched=Watched.MARK), "m2": ExitPolicy(watched=Watched.TOUCH)}


PAIRED = {name: msgspec.structs.replace(policy, at_venue=AtVenue.OCO) for name, policy in POLICIES.items()}


class Stops:
    """The planner beside a protection core."""

    def __init__(self, bench, epoch=1, policies=POLICIES):
        self.bench = bench
        self.core = VenueExits(INSTRUMENTS, policies, epoch)
        self.core.on_open_orders(())

    def plan(self):
        return self.core.plan(self.bench.core.legs(), self.bench.now)

    def placed(self):
        """The one order that is wanted now."""
        (effect,) = self.plan()
        assert isinstance(effect, PlaceExit)
        return effect.order

    def told(self, order, ord_status):
        update = OrderUpdated(
            order.venue,
            order.instrument_id,
            order.cl_ord_id,
            order.side,
            order.ord_type,
            order.time_in_force,
            ord_status,
            order.order_qty,
            order.price,
            Decimal(0),
            order.order_qty,
            Decimal(0),
            order.reduce_only,
            order.legs,
            "",
            "",
            self.bench.now,
        )
        return self.core.on_order(update, self.bench.now)

    def denied(self, order):
        denied = OrderDenied(
            cl_ord_id=order.cl_ord_id,
            venue=order.venue,
            instrument_id=order.instrument_id,
            reason=DenyReason.PERMIT_MODE,
            text="HOLD",
            legs=order.legs,
            cause="",
            ts_init_ns=self.bench.now,
        )
        return self.core.on_denied(denied, self.bench.now)


@pytest.fixture
def stops(bench):
    return Stops(bench)


@pytest.fixture
def pairs(bench):
    """The planner where the take-profit is held at the venue as well."""
    return Stops(bench, policies=PAIRED)


@pytest.fixture
def pair(pairs, bench):
    """A long position of 0.010 at 50000, and its stop and take-profit at the venue."""
    bench.enter()
    orders = [effect.order for effect in pairs.plan()]
    for order in orders:
        pairs.told(order, OrdStatus.PENDING_TRIGGER)
    return orders


@pytest.fixture
def held(stops, bench):
    """A long position of 0.010 at 50000, and its stop at the venue."""
    bench.enter()
    order = stops.placed()
    stops.told(order, OrdStatus.PENDING_TRIGGER)
    return order


@pytest.mark.req("C-RISK-7", "P-ORD-10")
def test_a_position_gets_one_stop_of_all_of_it_bound_to_closing(stops, bench):
    assert stops.plan() == []
    bench.enter()
    order = stops.placed()
    assert (order.side, order.order_qty, order.ord_type) == (Side.SELL, Decimal("0.010"), OrdType.STOP)
    assert (order.reduce_only, order.trigger.close_on_trigger, is_guard(order)) == (True, True, True)
    assert order.trigger.trigger_price == bench.leg().levels.stop_loss == Decimal(49_000)
    assert order.trigger.trigger_price_type is TriggerPriceType.MARK
    assert stops.plan() == []  # it was asked for


def test_a_short_position_is_closed_above_and_a_touch_is_watched_as_the_last_price(stops, bench):
    bench.wants(-10, strategy="m2")
    bench.commit()
    bench.fill(Side.SELL, "0.010", "50000", strategy="m2")
    bench.commit()
    order = stops.placed()
    assert (order.side, order.trigger.trigger_price) == (Side.BUY, Decimal(51_000))
    assert order.trigger.trigger_price_type is TriggerPriceType.LAST


def test_nothing_is_held_on_spot_and_nothing_before_the_open_orders_are_known(bench):
    early = VenueExits(INSTRUMENTS, POLICIES, 1)
    bench.enter()
    assert early.plan(bench.core.legs(), bench.now) == []
    bench.wants(10, instrument_id=SPOT)
    bench.commit()
    bench.fill(Side.BUY, "0.010", "50000", instrument_id=SPOT)
    bench.commit()
    early.on_open_orders(())
    assert [effect.order.instrument_id for effect in early.plan(bench.core.legs(), bench.now)] == [PERP]


def test_it_follows_its_position_and_goes_with_it(stops, bench, held):
    bench.fill(Side.BUY, "0.010", "51000")
    bench.commit()
    assert stops.plan() == []  # not at once: entries come in pieces
    bench.later(1_100)
    (gone,) = stops.plan()
    assert isinstance(gone, CancelExit)
    assert gone.cancel.cl_ord_id == held.cl_ord_id
    assert stops.plan() == []  # the old one goes before the new one comes
    stops.told(held, OrdStatus.CANCELED)
    larger = stops.placed()
    assert (larger.order_qty, larger.trigger.trigger_price) == (Decimal("0.020"), bench.leg().levels.stop_loss)
    assert larger.cl_ord_id != held.cl_ord_id
    stops.told(larger, OrdStatus.PENDING_TRIGGER)
    bench.fill(Side.SELL, "0.020", "50500")
    bench.commit()
    (gone,) = stops.plan()
    assert gone.cancel.cl_ord_id == larger.cl_ord_id


def test_a_refused_cancel_is_said_again(stops, bench, held):
    bench.fill(Side.SELL, "0.010", "50500")
    bench.commit()
    assert len(stops.plan()) == 1
    stops.told(held, OrdStatus.PENDING_CANCEL)
    assert stops.plan() == []
    stops.told(held, OrdStatus.PENDING_TRIGGER)
    assert [type(effect) for effect in stops.plan()] == [CancelExit]


@pytest.mark.req("C-RISK-7")
def test_its_trigger_is_told_once_and_starts_the_exit_of_its_leg(stops, bench, held):
    fired = stops.told(held, OrdStatus.NEW)
    assert fired.key == ("m1", PERP)
    assert stops.told(held, OrdStatus.PARTIALLY_FILLED) is None
    assert stops.core.fired_by(held.cl_ord_id) is None
    bench.take(bench.core.on_venue_exit(*fired.key, fired.reason, held.cl_ord_id, bench.now))
    bench.take(bench.core.on_venue_exit(*fired.key, fired.reason, held.cl_ord_id, bench.now))
    assert bench.leg().status is ExitStatus.TRIGGERING
    bench.fill(Side.SELL, "0.010", "48990")
    bench.commit()
    assert (bench.leg().status, bench.core.exits) == (ExitStatus.COOLING, 1)
    stops.told(held, OrdStatus.FILLED)
    assert stops.plan() == []


def test_an_execution_that_overtakes_the_word_of_the_trigger_is_as_good(stops, held):
    assert stops.core.fired_by(held.cl_ord_id).key == ("m1", PERP)
    assert stops.told(held, OrdStatus.FILLED) is None


def test_while_the_desk_closes_the_stop_stays_below_it_and_none_is_placed(stops, bench, held):
    bench.mark(48_900)
    bench.commit()
    bench.later(1_500)
    assert (bench.leg().status, stops.plan()) == (ExitStatus.EXITING, [])
    stops.told(held, OrdStatus.CANCELED)
    assert stops.plan() == []


def test_a_refused_stop_is_told_and_asked_for_ever_more_patiently(stops, bench):
    bench.enter()
    for wait_ns in (*RETRY_NS, RETRY_NS[-1]):
        (told,) = stops.denied(stops.placed())
        assert isinstance(told, ExitNotHeld)
        assert "permit_mode: HOLD" in told.text
        assert stops.core.next_due_ns() == bench.now + wait_ns
        bench.later(wait_ns / MS - 1)
        assert stops.plan() == []
        bench.later(2)
    order = stops.placed()
    stops.told(order, OrdStatus.PENDING_NEW)
    assert stops.told(order, OrdStatus.REJECTED) is None
    (told,) = stops.plan()
    assert f"({order.cl_ord_id}): rejected" in told.text
    assert stops.plan() == []


def test_strategies_that_hold_against_each_other_have_no_stop(stops, bench, held):
    bench.wants(-4, strategy="m2")
    bench.commit()
    bench.fill(Side.SELL, "0.004", "50000", strategy="m2")
    bench.commit()
    bench.later(1_100)
    (gone,) = stops.plan()
    assert gone.cancel.cl_ord_id == held.cl_ord_id
    stops.told(held, OrdStatus.CANCELED)
    assert stops.plan() == []


@pytest.mark.req("C-RISK-7", "P-ORD-3")
@pytest.mark.parametrize("there", [True, False])
def test_after_a_restart_it_is_known_by_journal_and_open_orders(bench, stops, held, there):
    body = PlaceBody(ApprovedOrder(order=held, epoch=1, checks={}, ts_init_ns=bench.now))
    draft = RowDraft(bench.now, JournalKind.PLACE, held.venue, held.cl_ord_id, None, "", 1, encode_body(body))
    again = Stops(bench, epoch=2)
    again.core = VenueExits(INSTRUMENTS, POLICIES, 2)
    again.core.restore(numbered(1, (draft,), bytes(32), bytes(32)))
    assert again.plan() == []
    open_orders = []
    if there:
        held_update = OrderUpdated(
            held.venue, held.instrument_id, held.cl_ord_id, held.side, held.ord_type, held.time_in_force,
            OrdStatus.PENDING_TRIGGER, held.order_qty, None, Decimal(0), held.order_qty, Decimal(0), True, held.legs,
            "", "", bench.now,
        )  # fmt: skip
        open_orders = [held_update, msgspec.structs.replace(held_update, cl_ord_id="pd1-a-1")]
    again.core.on_open_orders(open_orders)
    planned = again.plan()
    assert planned == [] if there else [effect.order.cl_ord_id for effect in planned] == ["pd2-g1"]


@pytest.mark.req("C-RISK-7")
def test_stop_and_take_profit_are_one_list_of_the_same_quantity(pairs, bench, pair):
    stop, take = pair
    assert (stop.ord_type, take.ord_type) == (OrdType.STOP, OrdType.TAKE_PROFIT)
    assert (stop.trigger.trigger_price, take.trigger.trigger_price) == (Decimal(49_000), Decimal(52_000))
    assert stop.order_qty == take.order_qty == Decimal("0.010")
    assert stop.contingency == take.contingency is not None
    assert all(order.reduce_only and order.trigger.close_on_trigger and is_guard(order) for order in pair)
    assert pairs.plan() == []
    assert pairs.core.counts() == {ExitReason.STOP_LOSS: 1, ExitReason.TAKE_PROFIT: 1}


def test_a_stop_alone_is_of_no_list(held):
    assert held.contingency is None


@pytest.mark.req("C-RISK-7")
@pytest.mark.parametrize("reason", list(ExitReason))
def test_whichever_is_triggered_starts_the_exit_with_its_true_reason(pairs, bench, pair, reason):
    order, twin = pair if reason is ExitReason.STOP_LOSS else reversed(pair)
    fired = pairs.told(order, OrdStatus.NEW)
    assert (fired.key, fired.reason) == (("m1", PERP), reason)
    bench.take(bench.core.on_venue_exit(*fired.key, fired.reason, order.cl_ord_id, bench.now))
    assert bench.leg().reason is reason
    assert f"{reason.value}: the venue's price" in bench.leg().why
    assert pairs.plan() == []  # the other is canceled by the order core, which knows of both
    assert pairs.told(twin, OrdStatus.PENDING_CANCEL) is None
    assert pairs.told(twin, OrdStatus.CANCELED) is None
    bench.fill(Side.SELL, "0.010", "52000")
    bench.commit()
    pairs.told(order, OrdStatus.FILLED)
    assert (bench.leg().status, bench.core.exits, pairs.plan()) == (ExitStatus.COOLING, 1, [])
    assert pairs.core.view() == {}


def test_a_position_that_grows_has_both_replaced_and_one_that_is_gone_has_neither(pairs, bench, pair):
    bench.fill(Side.BUY, "0.010", "51000")
    bench.commit()
    bench.later(1_100)
    gone = pairs.plan()
    assert [effect.cancel.cl_ord_id for effect in gone] == [order.cl_ord_id for order in pair]
    pairs.told(pair[0], OrdStatus.CANCELED)
    (stop,) = [effect.order for effect in pairs.plan()]  # the position is not bare for as long as the other takes
    pairs.told(pair[1], OrdStatus.CANCELED)
    (take,) = [effect.order for effect in pairs.plan()]
    assert stop.contingency == take.contingency != pair[0].contingency
    levels = bench.leg().levels
    assert (stop.trigger.trigger_price, take.trigger.trigger_price) == (levels.stop_loss, levels.take_profit)
    assert stop.order_qty == take.order_qty == Decimal("0.020")
    for order in (stop, take):
        pairs.told(order, OrdStatus.PENDING_TRIGGER)
    bench.fill(Side.SELL, "0.020", "50500")
    bench.commit()
    assert [effect.cancel.cl_ord_id for effect in pairs.plan()] == [stop.cl_ord_id, take.cl_ord_id]


@pytest.mark.req("C-RISK-7")
def test_a_take_profit_that_is_refused_leaves_the_stop_and_is_told_and_asked_for_into_its_list(pairs, bench):
    bench.enter()
    stop, take = [effect.order for effect in pairs.plan()]
    pairs.told(stop, OrdStatus.PENDING_TRIGGER)
    (told,) = pairs.denied(take)
    assert isinstance(told, ExitNotHeld)
    assert "no take-profit at the venue for now" in told.text
    assert pairs.plan() == []
    bench.later(RETRY_NS[0] / MS + 1)
    again = pairs.placed()
    assert (again.ord_type, again.contingency) == (OrdType.TAKE_PROFIT, stop.contingency)
    assert set(pairs.core.view().values()) == {"held", "asked"}


@pytest.mark.req("C-RISK-7")
def test_a_leg_that_another_hand_cancels_is_told_and_placed_again_and_the_other_stays(pairs, bench, pair):
    bench.later(1_100)
    pairs.told(pair[1], OrdStatus.CANCELED)
    told, placed = pairs.plan()
    assert f"no take-profit at the venue for now ({pair[1].cl_ord_id}): canceled" in told.text
    assert (placed.order.ord_type, placed.order.contingency) == (OrdType.TAKE_PROFIT, pair[0].contingency)
    assert pairs.core.view()[pair[0].cl_ord_id] == "held"


def test_a_stop_of_a_time_before_lists_makes_way_for_a_pair(bench, stops, held):
    body = PlaceBody(ApprovedOrder(order=held, epoch=1, checks={}, ts_init_ns=bench.now))
    draft = RowDraft(bench.now, JournalKind.PLACE, held.venue, held.cl_ord_id, None, "", 1, encode_body(body))
    again = Stops(bench, epoch=2, policies=PAIRED)
    again.core = VenueExits(INSTRUMENTS, PAIRED, 2)
    again.core.restore(numbered(1, (draft,), bytes(32), bytes(32)))
    again.core.on_open_orders([_update(held, bench)])
    gone, take = again.plan()
    assert (gone.cancel.cl_ord_id, take.order.ord_type) == (held.cl_ord_id, OrdType.TAKE_PROFIT)
    again.told(held, OrdStatus.CANCELED)
    stop = again.placed()
    assert (stop.ord_type, stop.contingency) == (OrdType.STOP, take.order.contingency)


@pytest.mark.req("C-RISK-7", "P-ORD-3")
def test_after_a_restart_both_are_known_with_their_list(bench, pairs, pair):
    rows = [
        RowDraft(
            bench.now, JournalKind.PLACE, one.venue, one.cl_ord_id, None, "", 1,
            encode_body(PlaceBody(ApprovedOrder(order=one, epoch=1, checks={}, ts_init_ns=bench.now))),
        )
        for one in pair
    ]  # fmt: skip
    again = Stops(bench, epoch=2, policies=PAIRED)
    again.core = VenueExits(INSTRUMENTS, PAIRED, 2)
    again.core.restore(numbered(1, rows, bytes(32), bytes(32)))
    again.core.on_open_orders([_update(pair[0], bench)])  # the take-profit was gone
    take = again.placed()
    assert (take.ord_type, take.contingency) == (OrdType.TAKE_PROFIT, pair[0].contingency)


def _update(order, bench):
    return OrderUpdated(
        order.venue, order.instrument_id, order.cl_ord_id, order.side, order.ord_type, order.time_in_force,
        OrdStatus.PENDING_TRIGGER, order.order_qty, None, Decimal(0), order.order_qty, Decimal(0), True, order.legs,
        "", "", bench.now,
    )  # fmt: skip
