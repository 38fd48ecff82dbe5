"""Keys that may come once in a journal: placings' names and executions; the newest exactly, all others by a filter.

Owns memory only. What it suspects of older keys, the store's index decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import native

Key = tuple[str, str, bool]
"""(venue, cl_ord_id, True) of a placing, (venue, exec_id, False) of a venue event that was applied."""

_LINE_BYTES = 64
_LINES = 1 << 16
_BIT_POWER = 9
_BIT_MASK = (1 << _BIT_POWER) - 1
_BITS_A_KEY = 3


def describe(key: Key) -> str:
    """A key that came twice, in words."""
    venue, name, placed = key
    return f"{venue} {name} was placed before" if placed else f"{venue} execution {name} was journalled before"


class Keys:
    """The newest keys of a journal, in two generations of bounded size."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: set[Key] = set()
        self._old: set[Key] = set()
        self.complete = True
        """Whether nothing was forgotten."""

    def __contains__(self, key: Key) -> bool:
        return key in self._young or key in self._old

    def add(self, *fresh: frozenset[Key]) -> None:
        """Remember, and forget the oldest generation when the young one is full."""
        if len(self._young) + sum([len(keys) for keys in fresh]) > self._limit:
            self.complete = self.complete and not self._old
            self._old, self._young = self._young, set()
        self._young.update(*fresh)

    def take(self, fresh: frozenset[Key]) -> Key | None:
        """Remember them, unless one of them was there before: that one."""
        young = self._young
        if not (young.isdisjoint(fresh) and self._old.isdisjoint(fresh)):
            return next(key for key in fresh if key in self)
        if len(young) + len(fresh) > self._limit:
            self.add(fresh)
        else:
            young |= fresh
        return None

    def take_one(self, key: Key) -> Key | None:
        """As `take`, of one key."""
        young = self._young
        if key in young or key in self._old:
            return key
        if len(young) < self._limit:
            young.add(key)
        else:
            self.add(frozenset((key,)))
        return None


class KeyFilterInPython:
    """Of which keys it has not seen: a Bloom filter, three bits a key, all in one line of the processor's cache.

    4 MB where it is used; at a million keys 1 in 1,400 is taken for seen. In C (`native/key_filter.c`) where that was
    built: 100 questions in Python took a third of the processor's time of a commit.
    """

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits = bytearray(_LINES * _LINE_BYTES)

    def see(self, sets: Iterable[Iterable[Key]]) -> list[Key]:
        """See all keys, one after the other: those that it may have seen before, in order."""
        return [key for keys in sets for key in keys if self._seen(hash(key))]

    def _seen(self, h: int) -> bool:
        bits = self._bits
        line = (h >> _BITS_A_KEY * _BIT_POWER) % _LINES * _LINE_BYTES
        seen = True
        for _ in range(_BITS_A_KEY):
            at, bit = line + ((h & _BIT_MASK) >> 3), 1 << (h & 7)
            seen = seen and bits[at] & bit != 0
            bits[at] |= bit
            h >>= _BIT_POWER
        return seen


KeyFilter = KeyFilterInPython if native.orders is None else native.orders.KeyFilter


class JournalKeys:
    """Every key of a journal whose index is asked about those that memory has forgotten.

    The filter has seen them all and goes first: of nearly every group nothing else needs to be asked.
    """

    def __init__(self, limit: int, in_index: Callable[[Key], bool]) -> None:
        self._newest = Keys(limit)
        self._seen = KeyFilter()
        self._in_index = in_index

    def repeated(self, sets: Sequence[frozenset[Key]]) -> str | None:
        """Words about a key that the journal holds, or that two of the sets bring, if there is one.

        Keys that are asked about and then not written are suspected later, which costs a look and is no error.
        """
        for key in self._seen.see(sets):
            if key in self._newest or (not self._newest.complete and self._in_index(key)):
                return describe(key)
            if sum([key in keys for keys in sets]) > 1:
                return f"{describe(key)} in the same group"
        return None

    def add(self, sets: Sequence[frozenset[Key]]) -> None:
        """They are durable now. They were asked about before."""
        self._newest.add(*sets)

    def load(self, keys: frozenset[Key]) -> None:
        """They were durable before this store began."""
        self._seen.see((keys,))
        self._newest.add(keys)

    def load_line(self, kind: str, venue: str, cl_ord_id: str, exec_id: str | None) -> None:
        """As `load`, of one line of the index."""
        keys: list[Key] = []
        if kind in {"place", "replace"}:
            keys.append((venue, cl_ord_id, True))
        if exec_id is not None:
            keys.append((venue, exec_id, False))
        self.load(frozenset(keys))
