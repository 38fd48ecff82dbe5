"""The table of a difference's life has every row, and what is braked leaves that only by evidence."""

from __future__ import annotations

import itertools

import pytest

from trading.recon.difference import (
    ACTIONS,
    TRANSITIONS,
    Action,
    DiffClass,
    Difference,
    DiffEvent,
    DiffState,
    Subject,
)


@pytest.mark.req("P-PNL-7")
def test_every_event_has_a_row_in_every_state_and_every_class_an_action():
    assert set(TRANSITIONS) == set(itertools.product(DiffState, DiffEvent))
    assert set(ACTIONS) == set(DiffClass)


def test_a_brake_goes_with_the_difference_and_never_with_time():
    after = {event: TRANSITIONS[DiffState.BRAKED, event] for event in DiffEvent}
    assert after[DiffEvent.SEEN] is after[DiffEvent.OVERDUE] is DiffState.BRAKED
    assert after[DiffEvent.GONE] is after[DiffEvent.ACCEPTED] is DiffState.HEALED


def test_a_scope_is_the_instrument_or_else_the_venue():
    found = {"diff_class": DiffClass.FOREIGN_ORDER, "subject": Subject.ORDER, "venue": "V", "ref": "web", "text": ""}
    assert Difference(**found).scope == "venue:V"
    assert Difference(**found, instrument_id="V:X").scope == "symbol:V:X"
    assert Difference(**found).action is Action.LEAVE
    assert Difference(**found, ours_mark=True).action is Action.CANCEL_ORPHAN
