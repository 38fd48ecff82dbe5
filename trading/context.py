"""Market context from outside the venues: what to fetch when, what is still good, and when to leave a source alone.

Pure: a cache with a time to live and a circuit breaker for each source, and one budget of calls an hour for all of
them. Fetching and parsing is `adapters.context`. Nothing in the desk waits for these: a missing figure is None.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

HOUR_NS = 3_600_000_000_000


class Source(Enum):
    """Where figures come from, one call each."""

    BTC_DOMINANCE = "btc_dominance"
    FEAR_GREED = "fear_greed"
    DXY = "dxy"


class FearGreed(msgspec.Struct, frozen=True, kw_only=True):
    """The Crypto Fear & Greed index, 0 (extreme fear) to 100 (extreme greed), and the source's own word for it."""

    value: int
    value_class: str


Figure = float | FearGreed
"""BTC dominance in percent, the dollar index in points, or the fear and greed index."""


class BreakerState(Enum):
    """CLOSED: calls go through. OPEN: none does. HALF_OPEN: one does, and decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerEvent(Enum):
    """What moves a breaker."""

    ANSWERED = "answered"
    FAILED = "failed"
    TRIPPED = "tripped"
    COOLED = "cooled"


_NEXT = {
    (BreakerState.CLOSED, BreakerEvent.ANSWERED): BreakerState.CLOSED,
    (BreakerState.CLOSED, BreakerEvent.FAILED): BreakerState.CLOSED,
    (BreakerState.CLOSED, BreakerEvent.TRIPPED): BreakerState.OPEN,
    (BreakerState.OPEN, BreakerEvent.COOLED): BreakerState.HALF_OPEN,
    (BreakerState.OPEN, BreakerEvent.ANSWERED): BreakerState.CLOSED,  # an answer to a call from before it opened
    (BreakerState.OPEN, BreakerEvent.FAILED): BreakerState.OPEN,  # as above
    (BreakerState.OPEN, BreakerEvent.TRIPPED): BreakerState.OPEN,  # as above
    (BreakerState.HALF_OPEN, BreakerEvent.ANSWERED): BreakerState.CLOSED,
    (BreakerState.HALF_OPEN, BreakerEvent.FAILED): BreakerState.OPEN,
    (BreakerState.HALF_OPEN, BreakerEvent.TRIPPED): BreakerState.OPEN,
}


class Breaker:
    """Opens after ``failures_max`` failures in a row, for ``cooldown_ns``; then one call tries. Monotonic ns."""

    def __init__(self, failures_max: int, cooldown_ns: int) -> None:
        self.state = BreakerState.CLOSED
        self.failures = 0
        self.opened = 0
        self._failures_max = failures_max
        self._cooldown_ns = cooldown_ns
        self._opened_ns = 0

    def allows(self, now_ns: int) -> bool:
        """Whether a call may go through now; an open breaker that has cooled lets one."""
        if self.state is BreakerState.OPEN and now_ns - self._opened_ns >= self._cooldown_ns:
            self._apply(BreakerEvent.COOLED, now_ns)
        return self.state is not BreakerState.OPEN

    def on_answer(self, now_ns: int) -> None:
        """A call was answered."""
        self.failures = 0
        self._apply(BreakerEvent.ANSWERED, now_ns)

    def on_failure(self, now_ns: int) -> None:
        """A call failed."""
        self.failures += 1
        tripped = self.failures >= self._failures_max
        self._apply(BreakerEvent.TRIPPED if tripped else BreakerEvent.FAILED, now_ns)

    def _apply(self, event: BreakerEvent, now_ns: int) -> None:
        following = _NEXT.get((self.state, event), self.state)
        if following is BreakerState.OPEN and self.state is not BreakerState.OPEN:
            self._opened_ns = now_ns
            self.opened += 1
        self.state = following


class CallBudget:
    """At most ``limit`` calls in any hour; it remembers the time of each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: deque[int] = deque()

    def used(self, now_ns: int) -> int:
        """Calls of the hour that ends now."""
        while self._calls and now_ns - self._calls[0] >= HOUR_NS:
            self._calls.popleft()
        return len(self._calls)

    def take(self, now_ns: int) -> bool:
        """Take one call, or False when the hour has none left."""
        if self.used(now_ns) >= self._limit:
            return False
        self._calls.append(now_ns)
        return True


class MarketContext(msgspec.Struct, frozen=True, kw_only=True):
    """What is known now; None: never known, source down, or switched off.

    ``breakers`` and ``age_s`` (of the figures that are shown) are by source, ``errors`` says what the last failure of
    a source was. ``limited`` names sources whose figure is served beyond its time to live, because the hour's calls are
    used up.
    """

    enabled: bool
    btc_dominance_pct: float | None = None
    fear_greed: int | None = None
    fear_greed_class: str | None = None
    dxy: float | None = None
    breakers: dict[str, BreakerState] = {}
    age_s: dict[str, float] = {}
    errors: dict[str, str] = {}
    limited: tuple[str, ...] = ()
    calls_last_hour: int = 0
    calls_refused: int = 0


class _Entry:
    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.figure: Figure | None = None
        self.known_ns = 0
        self.not_before_ns = 0
        self.in_flight = False
        self.limited = False
        self.error = ""


class ContextCache:
    """The figures of some sources. Times are monotonic ns, the caller's.

    A figure is served for ``ttl_ns``. Then its source is asked again; when that fails the figure is gone and the next
    try is ``retry_ns`` later, and when the hour's calls are used up the old one is served on, marked as limited.
    """

    def __init__(
        self,
        sources: tuple[Source, ...],
        *,
        ttl_ns: int,
        calls_per_hour: int,
        failures_max: int = 3,
        cooldown_ns: int = 300_000_000_000,
        retry_ns: int = 15_000_000_000,
    ) -> None:
        self._ttl_ns = ttl_ns
        self._retry_ns = retry_ns
        self._budget = CallBudget(calls_per_hour)
        self._entries = {source: _Entry(Breaker(failures_max, cooldown_ns)) for source in sources}
        self.refused = 0

    def due(self, now_ns: int) -> tuple[Source, ...]:
        """The sources to call now; each counts as called until it is answered or has failed."""
        found = []
        for source, entry in self._entries.items():
            if entry.in_flight or self._is_fresh(entry, now_ns) or now_ns < entry.not_before_ns:
                continue
            if not entry.breaker.allows(now_ns):
                continue
            if not self._budget.take(now_ns):
                self.refused += 1
                entry.limited = entry.figure is not None
                continue
            entry.in_flight = True
            found.append(source)
        return tuple(found)

    def on_answer(self, source: Source, figure: Figure, now_ns: int) -> None:
        """A source was called and said this."""
        entry = self._entries[source]
        entry.figure, entry.known_ns = figure, now_ns
        entry.in_flight = entry.limited = False
        entry.error = ""
        entry.breaker.on_answer(now_ns)

    def on_failure(self, source: Source, error: str, now_ns: int) -> None:
        """A source was called and could not be had, or could not be believed."""
        entry = self._entries[source]
        entry.in_flight = entry.limited = False
        entry.error = error[:200]
        entry.figure = None
        entry.not_before_ns = now_ns + self._retry_ns
        entry.breaker.on_failure(now_ns)

    def _is_fresh(self, entry: _Entry, now_ns: int) -> bool:
        return entry.figure is not None and now_ns - entry.known_ns < self._ttl_ns

    def view(self, now_ns: int) -> MarketContext:
        """What is known now; asks nobody."""
        shown: dict[Source, Figure] = {}
        for source, entry in self._entries.items():
            # What is being asked for again is shown until the answer is there.
            if entry.figure is not None and (self._is_fresh(entry, now_ns) or entry.limited or entry.in_flight):
                shown[source] = entry.figure
        dominance, mood, dxy = (shown.get(source) for source in Source)
        return MarketContext(
            enabled=True,
            btc_dominance_pct=dominance if isinstance(dominance, float) else None,
            fear_greed=mood.value if isinstance(mood, FearGreed) else None,
            fear_greed_class=mood.value_class if isinstance(mood, FearGreed) else None,
            dxy=dxy if isinstance(dxy, float) else None,
            breakers={source.value: entry.breaker.state for source, entry in self._entries.items()},
            age_s={source.value: (now_ns - self._entries[source].known_ns) / 1e9 for source in shown},
            errors={source.value: entry.error for source, entry in self._entries.items() if entry.error},
            limited=tuple(source.value for source, entry in self._entries.items() if entry.limited),
            calls_last_hour=self._budget.used(now_ns),
            calls_refused=self.refused,
        )
