"""Executions are matched one by one: what is missing, what is a ghost, what is told differently."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.orders.messages import Side
from trading.recon.fills import Bookings, execution_of, match

from .conftest import T0, fill, report


def executions(*fills):
    return [execution_of(one) for one in fills]


@pytest.mark.req("P-PNL-7")
def test_two_equal_lists_agree_whatever_their_order():
    a, b = fill(), fill(side=Side.SELL)
    found = match(executions(a, b), executions(report(b), report(a)))
    assert found.clean
    assert set(found.agreed) == {a.exec_id, b.exec_id}


@pytest.mark.req("P-PNL-7")
def test_what_only_one_side_has_is_named_by_side():
    a, b, c = fill(), fill(), fill()
    found = match(executions(a, b), executions(report(b), report(c)))
    assert [one.exec_id for one in found.missing] == [c.exec_id]
    assert [one.exec_id for one in found.ghosts] == [a.exec_id]


def test_a_list_that_does_not_reach_back_makes_no_ghosts():
    old, new = fill(ts=T0), fill(ts=T0 + 10)
    assert match(executions(old, new), [], covered_from_ns=T0 + 1).ghosts == tuple(executions(new))
    assert match(executions(old, new), [], covered_to_ns=T0 + 1).ghosts == tuple(executions(old))


@pytest.mark.req("P-PNL-7")
@pytest.mark.parametrize(
    "field", [("last_qty", Decimal(1)), ("last_px", Decimal(1)), ("fee", Decimal(0)), ("side", Side.SELL)]
)
def test_the_same_id_with_other_words_is_a_difference(field):
    one = fill()
    found = match(executions(one), executions(report(one, **dict([field]))))
    assert len(found.unlike) == 1
    assert not found.clean
    assert not found.agreed


def test_a_fee_that_one_side_does_not_tell_is_no_difference():
    one = fill()
    assert match(executions(one), executions(report(one, fee=Decimal(0), fee_asset=""))).clean


def test_one_list_may_repeat_itself_and_must_not_contradict_itself():
    one = fill()
    found = match(executions(one), executions(report(one), report(one), report(one, last_qty=Decimal(9))))
    assert found.repeated == (one.exec_id,)
    assert [unlike.fields for unlike in found.unlike] == [("qty",)]


def test_what_falls_out_of_the_window_is_not_missed_afterwards():
    bookings = Bookings(2)
    fills = [fill(ts=T0 + n) for n in range(3)]
    for one in fills:
        bookings.add(execution_of(one), T0)
    assert len(bookings) == 2
    assert bookings.forgotten == 1
    assert not bookings.judges(execution_of(fills[0]))
    assert bookings.judges(execution_of(fill(ts=T0 + 99)))


def test_only_the_first_confirmation_counts():
    bookings, one = Bookings(9), fill()
    bookings.add(execution_of(one), T0)
    assert [bookings.confirm(one.exec_id), bookings.confirm(one.exec_id)] == [True, False]
    assert (bookings.booked, bookings.confirmed, bookings.unconfirmed) == (1, 1, 0)
