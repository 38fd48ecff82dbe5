"""The outbox never grows, merges what piles up, and puts answers first (F84)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.outbox import ALERTS_MAX, ANSWERS_MAX, TEXT_MAX, Outbox


def test_answers_go_before_alerts() -> None:
    outbox = Outbox()
    outbox.alert(1, "a", "alert")
    outbox.answer(1, "answer")
    assert [outbox.take(), outbox.take(), outbox.take()] == [(1, "answer"), (1, "alert"), None]


def test_an_unsent_alert_is_replaced_by_its_successor() -> None:
    outbox = Outbox()
    outbox.alert(1, "hold", "on")
    outbox.alert(1, "other", "x")
    outbox.alert(1, "hold", "off")
    assert outbox.take() == (1, "x\noff")
    assert outbox.coalesced == 1


def test_alerts_of_one_chat_leave_in_one_message_and_other_chats_wait() -> None:
    outbox = Outbox()
    for number in range(3):
        outbox.alert(1, str(number), f"one {number}")
        outbox.alert(2, str(number), f"two {number}")
    assert outbox.take() == (1, "one 0\none 1\none 2")
    assert outbox.take() == (2, "two 0\ntwo 1\ntwo 2")


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 200), st.integers(0, 9_000)),
        min_size=1,
        max_size=400,
    )
)
def test_whatever_happens_it_stays_bounded_and_empties(events: list[tuple[bool, int, int, int]]) -> None:
    outbox = Outbox()
    for is_answer, chat_id, key, size in events:
        if is_answer:
            outbox.answer(chat_id, "a" * size)
        else:
            outbox.alert(chat_id, str(key), "b" * size)
        assert len(outbox) <= ANSWERS_MAX + ALERTS_MAX
    while (message := outbox.take()) is not None:
        assert len(message[1]) <= TEXT_MAX
    assert len(outbox) == 0
