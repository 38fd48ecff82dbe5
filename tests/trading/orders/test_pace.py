"""Which way of replacing an order is the faster."""

from __future__ import annotations

import pytest

from trading.orders.pace import Pace

MS = 1_000_000


def paced(amend_ms: int, cancel_ms: int, place_ms: int, times: int = 16) -> Pace:
    pace = Pace()
    for _ in range(times):
        pace.amended(amend_ms * MS)
        pace.canceled(cancel_ms * MS)
        pace.placed(place_ms * MS)
    return pace


@pytest.mark.req("P-ORD-11")
@pytest.mark.parametrize(
    ("pace", "anew"),
    [
        (paced(24, 5, 5), False),  # within its bound, however fast the others are
        (paced(60, 40, 30), False),  # slow, and still faster than two requests
        (paced(60, 20, 20), True),
        (paced(60, 20, 20, times=15), False),  # too few to judge by
    ],
)
def test_amending_gives_way_where_it_is_slow_and_slower_than_two_requests(pace, anew):
    assert pace.prefers_new(25 * MS) is anew


def test_where_it_gave_way_it_is_tried_again_now_and_then_and_comes_back_when_it_is_fast():
    pace = paced(60, 20, 20)
    tried = [pace.prefers_new(25 * MS) for _ in range(40)]
    assert tried.count(False) == 2
    for _ in range(60):
        pace.amended(10 * MS)
    assert not pace.prefers_new(25 * MS)
