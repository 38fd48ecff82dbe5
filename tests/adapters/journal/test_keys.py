"""Keys that may come once: one at a time and in sets they are remembered, and forgotten, alike."""

from __future__ import annotations

import random

import pytest

from adapters.journal.base import JournalFailed, JournalFailure, Keys
from adapters.journal.memory import MemoryJournal
from trading.orders.journal_rows import JournalKind, RowDraft


@pytest.mark.parametrize("seed", range(40))
def test_a_key_alone_is_taken_as_a_set_of_one(seed) -> None:
    dice = random.Random(seed)
    alone, in_sets = Keys(dice.choice((0, 1, 2, 7))), Keys(0)
    in_sets._limit = alone._limit
    for _ in range(200):
        key = ("venue", f"o{dice.randrange(20)}", True)
        assert alone.take_one(key) == in_sets.take(frozenset((key,)))
        assert (alone._young, alone._old, alone.complete) == (in_sets._young, in_sets._old, in_sets.complete)


def _row(kind: JournalKind, cl_ord_id: str, exec_id: str | None) -> RowDraft:
    return RowDraft(1, kind, "venue", cl_ord_id, exec_id, "", 1, b"\x80")


@pytest.mark.parametrize("kinds", [(JournalKind.PLACE, JournalKind.PLACE), (JournalKind.PLACE, JournalKind.REPLACE)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_name_is_placed_once_in_whatever_group_it_comes(kinds, turned) -> None:
    journal = MemoryJournal()
    groups = [(_row(kinds[0], "a", None),), (_row(kinds[1], "a", None), _row(JournalKind.ACK, "a", "e1"))]
    first, second = reversed(groups) if turned else groups
    assert journal.append(first) == (1, len(first))
    with pytest.raises(JournalFailed) as refused:
        journal.append(second)
    assert refused.value.reason is JournalFailure.DUPLICATE
    assert journal.head().seq == len(first)


def test_a_placing_with_an_execution_brings_both() -> None:
    journal = MemoryJournal()
    journal.append((_row(JournalKind.PLACE, "a", "e1"),))
    for again in (_row(JournalKind.PLACE, "a", None), _row(JournalKind.FILL, "b", "e1")):
        with pytest.raises(JournalFailed):
            journal.append((again,))
