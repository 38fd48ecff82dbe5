"""Sliding windows that count orders. Owns nothing else; what to do when a window is full is the caller's decision."""

from __future__ import annotations

from collections import deque

_NEVER_NS = 1 << 63


class RateWindow:
    """At most ``limit`` events in any ``period_ns``; a limit of 0 allows none."""

    __slots__ = ("_at_ns", "full_until_ns", "limit", "period_ns")

    def __init__(self, limit: int, period_ns: int) -> None:
        if limit < 0 or period_ns <= 0:
            raise ValueError(f"rate window of {limit} per {period_ns} ns cannot be")
        self.limit = limit
        self.period_ns = period_ns
        self._at_ns: deque[int] = deque(maxlen=max(1, limit))
        self.full_until_ns = -_NEVER_NS if limit else _NEVER_NS
        """When one more event may happen, as `allows` would say."""

    def allows(self, now_ns: int, spare: int = 0) -> bool:
        """Whether one more event may happen now, leaving room for ``spare`` others."""
        limit, at = self.limit - spare, self._at_ns
        return len(at) < limit or (limit > 0 and now_ns - at[-limit] >= self.period_ns)

    def add(self, now_ns: int) -> None:
        """Count an event."""
        at = self._at_ns
        at.append(now_ns)
        if len(at) == self.limit:
            self.full_until_ns = at[0] + self.period_ns

    def used(self, now_ns: int) -> int:
        """Events within the last period."""
        return sum(1 for at in self._at_ns if now_ns - at < self.period_ns) if self.limit else 0
