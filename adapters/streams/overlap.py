"""Two sockets with the same topics for a while: what the second has brought that the first has not delivered.

Pure, in bounded memory. While both live, the first's messages are delivered and noted, the second's wait. Books and
best prices are joined by the venue's own number, all others by being the same bytes; a message that both sockets
brought goes on once. A ring that overflows leaves a hole in a book's numbers, which its proof finds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from adapters.streams.topics import ORDERED_KINDS, Pulse

RING_FRAMES = 20_000

Message = tuple[bytes, int, Pulse | None]
"""Payload, receive time (UTC ns), and the pulse of its topic."""


class Overlap:
    """Of one connection; not active most of the time."""

    __slots__ = ("_last", "_order_of", "_ring", "_told", "active")

    def __init__(self, order_of: Callable[[bytes], int]) -> None:
        self.active = False
        self._order_of = order_of
        self._ring: deque[Message] = deque(maxlen=RING_FRAMES)
        self._last: dict[str, bytes] = {}
        self._told: dict[bytes, None] = {}

    def begin(self) -> None:
        """A second socket is being opened."""
        self.end()
        self.active = True

    def end(self) -> None:
        """There is one socket."""
        self.active = False
        self._ring.clear()
        self._last.clear()
        self._told.clear()

    def on_first(self, payload: bytes, pulse: Pulse | None) -> None:
        """The first socket's message, which is delivered."""
        if pulse is None:
            return
        if pulse.spec.kind in ORDERED_KINDS:
            self._last[pulse.spec.key] = payload
            return
        self._told[payload] = None
        if len(self._told) > RING_FRAMES:
            del self._told[next(iter(self._told))]

    def on_second(self, message: Message) -> None:
        """The second socket's message, which waits."""
        self._ring.append(message)

    def hand_over(self, *, joined: bool) -> list[Message]:
        """What is to be delivered of the second socket now that it takes over, in order; the overlap is at its end.

        ``joined`` False: the first broke, so that nothing of it continues and all of the second is wanted.
        """
        waiting = list(self._ring)
        if joined:
            last = {key: self._order_of(payload) for key, payload in self._last.items()}
            waiting = [each for each in waiting if each[2] is None or self._follows(each[0], each[2], last)]
        self.end()
        return waiting

    def _follows(self, payload: bytes, pulse: Pulse, last: dict[str, int]) -> bool:
        before = last.get(pulse.spec.key, -1)
        if before >= 0:
            return self._order_of(payload) > before
        return payload not in self._told
