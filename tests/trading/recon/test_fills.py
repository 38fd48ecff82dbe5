"""Executions are matched one by one: what is told differently, what is remembered, what was confirmed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.orders.messages import Side
from trading.recon.fills import Bookings, differing, execution_of

from .conftest import T0, fill, report


@pytest.mark.req("P-PNL-7")
@pytest.mark.parametrize(
    ("field", "told"),
    [
        ({"last_qty": Decimal(1)}, "qty"),
        ({"last_px": Decimal(1)}, "px"),
        ({"fee": Decimal(0)}, "fee"),
        ({"side": Side.SELL}, "side"),
    ],
)
def test_the_same_id_with_other_words_is_a_difference(field, told):
    one = fill()
    assert differing(execution_of(one), execution_of(report(one))) == ()
    assert differing(execution_of(one), execution_of(report(one, **field))) == (told,)


def test_a_fee_that_one_side_does_not_tell_is_no_difference():
    one = fill()
    assert differing(execution_of(one), execution_of(report(one, fee=Decimal(0), fee_asset=""))) == ()


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
