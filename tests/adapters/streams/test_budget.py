"""The connection budget: never more attempts than the venue allows, and never a wait without end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.streams.budget import ConnectionBudget, ConnectionLimits
from adapters.streams.topics import MS_NS, SECOND_NS

T0 = 10**12
FEW = ConnectionLimits(per_5_min=6, per_min=3, at_once=2, gap_ns=100 * MS_NS)
MANY = ConnectionLimits(per_5_min=1000, per_min=1000, at_once=1000)


def test_a_place_is_free_again_when_it_was_given_back() -> None:
    budget = ConnectionBudget({"x": FEW}, process=MANY)
    assert budget.try_open("x", T0) == 0
    assert budget.try_open("x", T0 + SECOND_NS) == 0
    assert budget.try_open("x", T0 + 2 * SECOND_NS) == SECOND_NS
    budget.on_closed("x")
    assert budget.try_open("x", T0 + 3 * SECOND_NS) == 0
    assert budget.refused == 1


def test_attempts_keep_their_distance() -> None:
    budget = ConnectionBudget({"x": FEW}, process=MANY)
    budget.try_open("x", T0)
    assert budget.try_open("x", T0 + 30 * MS_NS) == 70 * MS_NS


def test_all_feeds_together_have_a_limit_too() -> None:
    budget = ConnectionBudget({"x": MANY, "y": MANY}, process=ConnectionLimits(per_5_min=2, per_min=2, at_once=9))
    assert budget.try_open("x", T0) == 0
    assert budget.try_open("y", T0) == 0
    assert budget.try_open("y", T0) == 60 * SECOND_NS or budget.try_open("y", T0) == 300 * SECOND_NS


def test_venues_nobody_thought_of_have_limits_and_share_them_beyond_a_bound() -> None:
    budget = ConnectionBudget({}, other=FEW, process=MANY)
    for number in range(200):
        budget.try_open(f"v{number}", T0)
    assert len(budget._purses) <= 65
    assert budget.open_of("v199") == FEW.at_once or budget.open_of("v199") == 1


@given(st.lists(st.tuples(st.integers(0, 90), st.booleans()), max_size=200))
def test_no_window_holds_more_attempts_than_allowed_and_waiting_helps(steps: list[tuple[int, bool]]) -> None:
    budget = ConnectionBudget({"x": FEW}, process=MANY)
    now, granted, open_now = T0, [], 0
    for seconds, close in steps:
        now += seconds * SECOND_NS
        if close and open_now:
            budget.on_closed("x")
            open_now -= 1
        wait = budget.try_open("x", now)
        if not wait:
            granted.append(now)
            open_now += 1
        assert 0 <= wait <= 300 * SECOND_NS
    for at in granted:
        assert sum(at <= other < at + 60 * SECOND_NS for other in granted) <= FEW.per_min
        assert sum(at <= other < at + 300 * SECOND_NS for other in granted) <= FEW.per_5_min
    assert open_now <= FEW.at_once
