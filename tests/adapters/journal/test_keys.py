"""Keys that may come once: one at a time and in sets they are remembered, and forgotten, alike."""

from __future__ import annotations

import random

import pytest

from adapters.journal.base import JournalFailed, JournalFailure, Prepared
from adapters.journal.keys import JournalKeys, Key, KeyFilter, KeyFilterInPython, Keys
from adapters.journal.memory import MemoryJournal
from adapters.journal.store import SqliteJournal
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


def _keys(dice: random.Random, count: int) -> list[Key]:
    return [
        (dice.choice(("BINANCE", "OKX")), f"{dice.randrange(1 << 40):x}", dice.random() < 0.5) for _ in range(count)
    ]


@pytest.mark.parametrize("kind", dict.fromkeys((KeyFilter, KeyFilterInPython)))
def test_the_filter_tells_every_key_that_it_has_seen_and_few_others(kind) -> None:
    dice = random.Random(5)
    seen, keys = _keys(dice, 20_000), kind()
    assert len(keys.see([frozenset(seen[:9_990]), frozenset(), frozenset(seen[9_990:])])) < 20
    assert keys.see([[key] for key in seen]) == seen
    assert len(keys.see([frozenset(_keys(dice, 20_000)) - set(seen)])) < 20
    # Also one that came twice in one question.
    assert keys.see([[("a", "b", True)], [("a", "b", True)]]) == [("a", "b", True)]


@pytest.mark.skipif(KeyFilter is KeyFilterInPython, reason="no native code was built")
@pytest.mark.parametrize("seed", range(3))
def test_the_filter_in_c_takes_for_seen_what_python_does(seed) -> None:
    dice = random.Random(seed)
    in_c, in_python = KeyFilter(), KeyFilterInPython()
    # Sixteen lines a quarter full: there it is often wrong, and both have to be wrong about the same keys.
    dense = [name + (line << 27) for name in range(1 << 27, (1 << 27) + 65_536, 512) for line in range(16)]
    numbers = [dice.randrange(1 << 32) for _ in range(20_000)]
    asked = [dense, _keys(dice, 50_000), [], numbers, [dice.randrange(1 << 61) for _ in range(5_000)], [-7]]
    told = in_python.see(asked)
    assert in_c.see(asked) == told
    assert any(number in told for number in numbers)


@pytest.mark.parametrize("kind", dict.fromkeys((KeyFilter, KeyFilterInPython)))
@pytest.mark.parametrize("asked", [[[("a", "b", True), []]], [[("a", "b", True)], 7], 7, [[]] * 40 + [[[]]]])
def test_what_is_no_key_is_an_error(kind, asked) -> None:
    keys = kind()
    with pytest.raises(TypeError):
        keys.see(asked)
    assert keys.see([[("c", "d", True)]]) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_journal_knows_each_of_its_keys_for_ever(seed) -> None:
    dice = random.Random(seed)
    durable: set[Key] = set()
    looked: list[Key] = []

    def in_index(key: Key) -> bool:
        looked.append(key)
        return key in durable

    keys = JournalKeys(dice.choice((0, 3, 50)), in_index)
    for _ in range(300):
        sets = [frozenset(("v", f"{dice.randrange(400)}", True) for _ in range(dice.randrange(3))) for _ in range(3)]
        every = [key for group in sets for key in group]
        repeats = len(set(every)) < len(every) or not durable.isdisjoint(every)
        assert (keys.repeated(sets) is not None) == repeats
        if not repeats and dice.random() < 0.8:
            keys.add(sets)
            durable.update(every)
    assert looked


@pytest.mark.parametrize("name", ["o7", "e7"])
def test_a_group_whose_batches_repeat_each_other_is_refused_whole(tmp_path, name) -> None:
    placed, executed = _row(JournalKind.PLACE, "o7", None), _row(JournalKind.FILL, "x", "e7")
    again = _row(JournalKind.REPLACE, "o7", None) if name == "o7" else _row(JournalKind.FILL, "y", "e7")
    with SqliteJournal(tmp_path / "j.db") as store:
        with pytest.raises(JournalFailed, match=rf"{name}.* in the same group") as refused:
            store.commit([Prepared([row]) for row in (placed, executed, again)])
        assert refused.value.reason is JournalFailure.DUPLICATE
        assert store.commit([Prepared([row]) for row in (placed, executed)]) == (1, 2)
        with pytest.raises(JournalFailed, match=f"{name} was"):
            store.commit([Prepared([_row(JournalKind.NOTE, "n", None)]), Prepared([again])])
        assert store.head().seq == 2
