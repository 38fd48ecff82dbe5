"""How many connections this process may try and hold: one budget for all feeds, so that no fault becomes a storm.

Pure: times are monotonic ns, the caller's. Limits are half of what the venues state for one IP address, for the other
half may be somebody else's: Binance 300 attempts per 5 min ("WebSocket Limits", binance-spot-api-docs/
web-socket-streams.md), OKX 3 a second ("WebSocket", okx.com/docs-v5), Bybit 500 per 5 min and domain ("Connect",
bybit-exchange.github.io/docs/v5/ws/connect); all read 2026-11.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from adapters.streams.topics import MS_NS, SECOND_NS

_WINDOW_NS = 300 * SECOND_NS
_MINUTE_NS = 60 * SECOND_NS


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """For one venue, or for all together. ``gap_ns`` is the least time between two attempts."""

    per_5_min: int
    per_min: int
    at_once: int
    gap_ns: int = 0


VENUE_LIMITS: Mapping[str, ConnectionLimits] = {
    "binance": ConnectionLimits(per_5_min=150, per_min=40, at_once=50, gap_ns=50 * MS_NS),
    "okx": ConnectionLimits(per_5_min=150, per_min=40, at_once=30, gap_ns=700 * MS_NS),
    "bybit": ConnectionLimits(per_5_min=250, per_min=40, at_once=50, gap_ns=50 * MS_NS),
}
ANY_VENUE = ConnectionLimits(per_5_min=60, per_min=20, at_once=20, gap_ns=100 * MS_NS)
PROCESS = ConnectionLimits(per_5_min=400, per_min=120, at_once=150)


class _Purse:
    """Attempts and open connections under one limit."""

    __slots__ = ("attempts", "limits", "open")

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.attempts: deque[int] = deque(maxlen=limits.per_5_min)
        self.open = 0

    def wait_ns(self, now_ns: int) -> int:
        limits, attempts = self.limits, self.attempts
        while attempts and now_ns - attempts[0] >= _WINDOW_NS:
            attempts.popleft()
        if self.open >= limits.at_once:
            return SECOND_NS
        wait = 0
        if attempts:
            wait = attempts[-1] + limits.gap_ns - now_ns
            if len(attempts) >= limits.per_min:
                wait = max(wait, attempts[-limits.per_min] + _MINUTE_NS - now_ns)
            if len(attempts) >= limits.per_5_min:
                wait = max(wait, attempts[0] + _WINDOW_NS - now_ns)
        return max(0, wait)


class ConnectionBudget:
    """Shared by all feeds of a process; not for several threads.

    ``limits`` are by venue family (binance, okx, bybit, or any name); a family without its own has `ANY_VENUE`.
    """

    def __init__(
        self,
        limits: Mapping[str, ConnectionLimits] = VENUE_LIMITS,
        *,
        other: ConnectionLimits = ANY_VENUE,
        process: ConnectionLimits = PROCESS,
    ) -> None:
        self._purses = {family: _Purse(limit) for family, limit in limits.items()}
        self._other = other
        self._process = _Purse(process)
        self.refused = 0

    def try_open(self, family: str, now_ns: int) -> int:
        """Take a place for one attempt: 0 when it is granted, else how many ns to wait before asking again."""
        purse = self._purse(family)
        wait = max(purse.wait_ns(now_ns), self._process.wait_ns(now_ns))
        if wait:
            self.refused += 1
            return wait
        for each in (purse, self._process):
            each.attempts.append(now_ns)
            each.open += 1
        return 0

    def on_closed(self, family: str) -> None:
        """Give a place back; once for each that was granted."""
        for each in (self._purse(family), self._process):
            each.open = max(0, each.open - 1)

    def open_of(self, family: str) -> int:
        """Connections of one family that are open or being opened."""
        return self._purse(family).open

    def _purse(self, family: str) -> _Purse:
        purse = self._purses.get(family)
        if purse is None:
            # Venues are configured by name; beyond a bound all others share one purse.
            shared = family if len(self._purses) < 64 else "others"
            purse = self._purses.get(shared) or self._purses.setdefault(shared, _Purse(self._other))
        return purse
