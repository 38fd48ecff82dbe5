"""The table of an order's life."""

from __future__ import annotations

import pickle

import pytest

from trading.orders import fsm
from trading.orders.fsm import OrderEvent
from trading.orders.messages import OrdStatus


def test_no_event_brings_a_dead_order_back_except_proof_of_life() -> None:
    revived = {
        (status, event)
        for (status, event), after in fsm.TRANSITIONS.items()
        if status in fsm.TERMINAL and after not in fsm.TERMINAL
    }
    assert revived == {
        (OrdStatus.REJECTED, OrderEvent.FOUND),
        (OrdStatus.REJECTED, OrderEvent.PARTIAL),
        (OrdStatus.DENIED, OrderEvent.PARTIAL),
    }


def test_an_unknown_order_ends_by_evidence_only() -> None:
    ending = {
        event
        for (status, event), after in fsm.TRANSITIONS.items()
        if status is OrdStatus.UNKNOWN and after in fsm.TERMINAL
    }
    assert OrderEvent.UNANSWERED not in ending
    assert OrderEvent.CANCEL_REFUSED not in ending
    assert OrderEvent.CANCEL_SENT not in ending


def test_whatever_a_venue_may_say_of_a_sent_order_has_a_row() -> None:
    said = {
        OrderEvent.ACKED,
        OrderEvent.PARTIAL,
        OrderEvent.FILL,
        OrderEvent.CANCELED,
        OrderEvent.EXPIRED,
        OrderEvent.REPLACED,
        OrderEvent.REJECTED,
        OrderEvent.FOUND,
    }
    sent = set(OrdStatus) - {OrdStatus.JOURNALED}
    assert [(s, e) for s in sent for e in said if (s, e) not in fsm.TRANSITIONS] == []


def test_the_error_tells_the_story_and_survives_pickling() -> None:
    with pytest.raises(fsm.InvalidOrderTransition) as caught:
        fsm.after(OrdStatus.JOURNALED, OrderEvent.FILL, "pd1-1", ("1 approved, epoch 1",))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert "pd1-1: fill while journaled" in str(again)
    assert again.story == ("1 approved, epoch 1",)
