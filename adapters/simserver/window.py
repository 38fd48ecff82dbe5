"""The best levels of a book as a subscriber of limited depth knows them: what changed since it was last told.

A level that falls out of the window is told as removed, one that comes into it as changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from trading.market.book import PyBook
from trading.market.events import Level

Sides = tuple[Sequence[Level], Sequence[Level]]


class DepthWindow:
    """The best ``depth`` levels of each side at the last `changes`. ``seq`` numbers them, ``sent_ns`` is when."""

    __slots__ = ("_asks", "_bids", "depth", "sent_ns", "seq", "u")

    def __init__(self, book: PyBook, depth: int, u: int = 0) -> None:
        self.depth = depth
        self.u = u
        self.seq = book.update_id
        self.sent_ns = 0
        bids, asks = book.top(depth)
        self._bids, self._asks = dict(bids), dict(asks)

    def sides(self) -> Sides:
        """What a subscriber knows, best first."""
        return sorted(self._bids.items(), reverse=True), sorted(self._asks.items())

    def changes(self, book: PyBook) -> Sides:
        """What a subscriber has to be told for it to know the book as it is; the window is then that."""
        bids, asks = book.top(self.depth)
        new_bids, new_asks = dict(bids), dict(asks)
        told = _difference(self._bids, new_bids), _difference(self._asks, new_asks)
        self._bids, self._asks, self.seq = new_bids, new_asks, book.update_id
        return told


def _difference(old: dict[int, int], new: dict[int, int]) -> list[Level]:
    changed = [level for level in new.items() if old.get(level[0]) != level[1]]
    return changed + [(ticks, 0) for ticks in old if ticks not in new]
