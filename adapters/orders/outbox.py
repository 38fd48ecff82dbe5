"""One queue from the network's loop to the gateway's turn: bounded, in order, and it says when it lost something."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
ITEMS_MAX = 100_000


class Outbox(Generic[Item]):
    """Call from one loop only. ``dropped`` counts what found it full: the account has to be read again then."""

    def __init__(self, wake: Callable[[], None], items_max: int = ITEMS_MAX) -> None:
        """``wake`` is called when it goes from empty to non-empty, and again while `drain` leaves some."""
        self._wake = wake
        self._items: deque[Item] = deque()
        self._items_max = items_max
        self._asleep = True
        self.dropped = 0

    def put(self, item: Item) -> None:
        """Add one."""
        if len(self._items) >= self._items_max:
            self.dropped += 1
            return
        self._items.append(item)
        if self._asleep:
            self._asleep = False
            self._wake()

    def drain(self, most: int = 1_000) -> list[Item]:
        """What has come, in order, at most so much of it."""
        out: list[Item] = []
        while self._items and len(out) < most:
            out.append(self._items.popleft())
        if self._items:
            asyncio.get_running_loop().call_soon(self._wake)
        else:
            self._asleep = True
        return out
