"""The short way of a data contract: rows that are plainly sound, and what is remembered of the rows before.

It may say of a sound row that it cannot tell, never of a broken one that it passes; a row that passes is remembered
just as the long way does. The rules, and the long way that names what a row breaks, are `trading.market.contracts`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

Row = Mapping[str, Any]


class Seen:
    """The newest ``most`` keys."""

    __slots__ = ("_keys", "_most", "_order")

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: set[Any] = set()
        self._order: deque[Any] = deque()

    def __contains__(self, key: Any) -> bool:
        return key in self._keys

    def add(self, key: Any) -> None:
        """Remember a key that is new."""
        self._keys.add(key)
        self._order.append(key)
        if len(self._order) > self._most:
            self._keys.discard(self._order.popleft())


class Series:
    """What is known of the rows of one series: the highest of a column, and the keys of a rule by its number."""

    __slots__ = ("last", "seen")

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}
        self.seen: dict[int, Seen] = {}


class SoundRows:
    """Whole numbers within their bounds and in their order, which may not have holes.

    ``ranges`` are (column, least, most, unset), ``growing`` (column, slack, strictly, restart), ``ordered`` (low, high,
    strictly), ``unique`` (number of the rule, columns); the words are those of the rules.
    """

    __slots__ = ("_growing", "_members", "_ordered", "_present", "_ranges", "_unique")

    def __init__(
        self,
        *,
        ranges: tuple[tuple[str, int, int, int | None], ...],
        present: tuple[str, ...],
        members: tuple[tuple[str, frozenset[str | int]], ...],
        ordered: tuple[tuple[str, str, bool], ...],
        growing: tuple[tuple[str, int, bool, int | None], ...],
        unique: tuple[tuple[int, tuple[str, ...]], ...],
    ) -> None:
        self._ranges, self._present, self._members = ranges, present, members
        self._ordered, self._growing, self._unique = ordered, growing, unique

    def passes(self, row: Row, series: Series) -> bool:
        """Whether the row is plainly sound; nothing is remembered of one that is not."""
        try:
            for column, least, most, unset in self._ranges:
                value = row[column]
                if type(value) is not int or not (least <= value <= most or value == unset):
                    return False
            for column in self._present:
                if row[column] is None:
                    return False
            for column, members in self._members:
                value = row[column]
                if type(value) is not str or value not in members:
                    return False
            for low, high, strictly in self._ordered:
                below, above = row[low], row[high]
                if type(below) is not int or type(above) is not int or below > above or (strictly and below == above):
                    return False
            last = series.last
            for column, slack, strictly, restart in self._growing:
                value, before = row[column], last[column]
                if type(value) is not int or type(before) is not int or value == restart:
                    return False
                if value < before - slack or (strictly and value == before):
                    return False
            if self._unique and not self._is_new(row, series):
                return False
        except KeyError:
            return False
        for column, _, _, _ in self._growing:
            value = row[column]
            if value > last[column]:  # noqa: PLR1730 - max() costs more than all the rest of this loop
                last[column] = value
        return True

    def _is_new(self, row: Row, series: Series) -> bool:
        """Whether it repeats none; if so it is remembered."""
        new = []
        for number, columns in self._unique:
            key, seen = key_of(columns, row), series.seen[number]
            if key in seen:
                return False
            new.append((seen, key))
        for seen, key in new:
            seen.add(key)
        return True


def key_of(columns: tuple[str, ...], row: Row) -> Any:
    """The row's values in ``columns`` as one key of a set."""
    if len(columns) == 1:
        return hashable(row.get(columns[0]))
    return tuple([hashable(row.get(column)) for column in columns])


def hashable(value: Any) -> Any:
    """The value, or its words where it cannot be a key or does not equal itself."""
    if type(value) is int or type(value) is str:
        return value
    return value if value is None or isinstance(value, (str, bytes)) or is_number(value) else repr(value)


def is_number(value: Any) -> bool:
    """Whether it is a finite number; True and False are none."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return True
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, Decimal) and value.is_finite()
