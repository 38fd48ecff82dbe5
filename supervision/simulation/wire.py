"""The network between an order core and a simulated venue, as bad as the seed has it.

Owns what becomes of each request and each answer: lost, late, repeated, out of order. A signed request has a time after
which a venue refuses it (Binance recvWindow, Bybit X-BAPI-RECV-WINDOW, OKX expTime): that, and how long an accepted
order may stay invisible, is all that a desk may rely on.
"""

from __future__ import annotations

from enum import Enum
from random import Random

import msgspec

MS = 1_000_000


class Fate(Enum):
    """What becomes of a placement; the desk cannot tell them apart when they happen."""

    ANSWERED = "answered"
    LOST = "lost"  # it never reached the venue
    TOO_OLD = "too_old"  # it reached the venue after its window, which refused it; nobody heard
    TIMED_OUT = "timed_out"  # accepted, and the answer did not come
    SERVER_ERROR = "server_error"  # accepted, and the answer was a 5xx or -1007
    LATE = "late"  # accepted, and the answer came after the deadline


AMBIGUOUS = tuple(fate for fate in Fate if fate is not Fate.ANSWERED)


class WireRules(msgspec.Struct, frozen=True, kw_only=True):
    """How bad it is. Shares are of 0..1, times in milliseconds.

    ``ambiguous`` of the placements end in one of the ambiguous fates. ``stream_lost`` of what the venue says unasked
    is lost, ``stream_late`` of it comes up to ``late_ms`` later, ``repeated`` of everything comes twice.
    ``invisible_ms`` is the longest time for which queries do not know an accepted order.
    """

    ambiguous: float = 1.0
    stream_lost: float = 0.35
    stream_late: float = 0.15
    answers_lost: float = 0.15
    repeated: float = 0.05
    usual_ms: tuple[int, int] = (1, 40)
    late_ms: int = 8_000
    window_ms: int = 1_000
    invisible_ms: int = 800


class BadWire:
    """Draws fates and delays. Calls must come in one order, so that a seed says it all."""

    def __init__(self, random: Random, rules: WireRules) -> None:
        self._random = random
        self.rules = rules
        self.quiet = False
        """Faults are off: everything arrives, once, soon."""

    def fate(self) -> Fate:
        """Of the next placement."""
        if self.quiet or self._random.random() >= self.rules.ambiguous:
            return Fate.ANSWERED
        return self._random.choice(AMBIGUOUS)

    def usual_ns(self) -> int:
        """How long something usually travels."""
        return self._random.randint(*self.rules.usual_ms) * MS

    def late_ns(self) -> int:
        """How long it travels when it is late."""
        return self._random.randint(400, self.rules.late_ms) * MS

    def stream(self) -> tuple[int, ...]:
        """When what the venue says unasked arrives: not at all, once or twice."""
        return self._copies(self.rules.stream_lost, self.rules.stream_late)

    def answer(self) -> tuple[int, ...]:
        """When the answer to a query arrives."""
        return self._copies(self.rules.answers_lost, self.rules.stream_late)

    def invisible_ns(self) -> int:
        """For how long queries will not know an order that is accepted now."""
        return 0 if self.quiet else self._random.randint(0, self.rules.invisible_ms) * MS

    def _copies(self, lost: float, late: float) -> tuple[int, ...]:
        if self.quiet:
            return (self.usual_ns(),)
        draw = self._random.random()
        if draw < lost:
            return ()
        delay = self.late_ns() if draw < lost + late else self.usual_ns()
        if self._random.random() < self.rules.repeated:
            return delay, delay + self.late_ns()
        return (delay,)
