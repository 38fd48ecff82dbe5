"""Wake-ups that wait for their time: in C where it was built, else here. The Python of this module is the reference.

Owns their order and whether one is still wanted when it comes due. Moves no clock and delivers nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import native

NEVER_NS = (1 << 63) - 1
"""The latest time that there is; what is due later is due then."""


class PyTimers:
    """Wake-ups, by due time and then by the order in which they were asked for.

    A target has the attributes ``alive`` and ``exiting``: whoever left or leaves is not woken any more.
    """

    __slots__ = ("_heap", "_number")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Any, Any, Callable[[], int] | None]] = []
        self._number = 0

    def push(self, due_ns: int, target: Any, msg: Any, early_ns: Callable[[], int] | None = None) -> None:
        """Let ``msg`` wait. ``early_ns`` is asked, when it comes due, by how much that is early (0: not)."""
        self._number += 1
        heapq.heappush(self._heap, (min(due_ns, NEVER_NS), self._number, target, msg, early_ns))

    def next_ns(self) -> int | None:
        """When the next wake-up of somebody alive is due; None without one."""
        heap = self._heap
        while heap and not heap[0][2].alive:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now_ns: int) -> tuple[Any, Any] | None:
        """The next (target, msg) that is due by ``now_ns`` and wanted, or None. What is early waits on."""
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            _, _, target, msg, early_ns = heapq.heappop(heap)
            if not target.alive or target.exiting:
                continue
            wait_ns = 0 if early_ns is None else early_ns()
            if wait_ns <= 0:
                return target, msg
            self.push(now_ns + wait_ns, target, msg, early_ns)
        return None

    def pending(self) -> list[tuple[int, int, Any]]:
        """All that wait, as (due_ns, number, target), in order."""
        return sorted(timer[:3] for timer in self._heap)

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()

    def __len__(self) -> int:
        return len(self._heap)


Timers = PyTimers if TYPE_CHECKING or native.actors is None else native.actors.Timers
