"""Whose turn it is: which actor with waiting messages runs next.

Messages from one actor to another always stay in order; only the choice between actors is free.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Protocol

from supervision.bases.mailbox import Mailbox


class Scheduled(Protocol):
    """Something with a mailbox."""

    mailbox: Mailbox


class Scheduler(Protocol):
    """Chooses among actors with waiting messages."""

    def add(self, actor: Scheduled) -> None:
        """One more message waits for this actor."""
        ...

    def pick(self) -> Scheduled:
        """The actor whose next message runs now; ``IndexError`` when nothing waits."""
        ...

    def __len__(self) -> int: ...


class FifoScheduler:
    """Messages run in the order in which they were sent."""

    __slots__ = ("_turns", "add", "pick")

    def __init__(self) -> None:
        self._turns: deque[Scheduled] = deque()  # one turn per waiting message
        self.add = self._turns.append
        self.pick = self._turns.popleft

    def __len__(self) -> int:
        return len(self._turns)


class SeededScheduler:
    """A seeded generator of its own picks the next actor: the same seed gives the same order, another seed another.

    Args:
        seed: any integer; it is the whole of the state.
    """

    __slots__ = ("_ready", "_rng", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._rng = random.Random(seed)
        self._ready: list[Scheduled] = []

    def add(self, actor: Scheduled) -> None:
        """An actor becomes ready with its first waiting message."""
        if len(actor.mailbox) == 1:
            self._ready.append(actor)

    def pick(self) -> Scheduled:
        """A ready actor, chosen by the generator; it leaves the ready ones with its last message."""
        ready = self._ready
        if not ready:
            raise IndexError("nobody is ready")  # without a draw: asking an idle base must not change the story
        at = int(self._rng.random() * len(ready))
        actor = ready[at]
        if len(actor.mailbox) == 1:
            ready[at] = ready[-1]
            ready.pop()
        return actor

    def __len__(self) -> int:
        return len(self._ready)
