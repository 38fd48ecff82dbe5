"""How many orders and how much weight a client may send in a window of time, as the venues count it.

Windows are aligned to the clock, as Binance's are. Owns counting and bans; what is said to whom is the venue's module.
"""

from __future__ import annotations

S = 1_000_000_000
VIOLATIONS_BEFORE_BAN = 10
BAN_S = 120


class Window:
    """One limit: at most ``limit`` in each ``every_s`` seconds.

    ``others`` is what other clients use of each window, ``total`` what was counted in all of them.
    """

    def __init__(self, name: str, every_s: int, limit: int) -> None:
        self.name = name
        self.every_s = every_s
        self.limit = limit
        self.others = 0
        self.total = 0
        self._used = 0
        self._window = -1

    def used(self, now_ns: int) -> int:
        """How much of the window that is now is gone."""
        window = now_ns // (self.every_s * S)
        if window != self._window:
            self._window, self._used = window, 0
        return self._used + self.others

    def left(self, now_ns: int) -> int:
        """How much is left; never below 0."""
        return max(0, self.limit - self.used(now_ns))

    def add(self, now_ns: int, amount: int = 1) -> bool:
        """Count it; False when the limit is exceeded by it."""
        over = self.used(now_ns) + amount > self.limit
        self._used += amount
        self.total += amount
        return not over

    def ends_s(self, now_ns: int) -> int:
        """Whole seconds until a new window, at least 1."""
        return max(1, -(-((self._window + 1) * self.every_s * S - now_ns) // S))

    def ends_ms(self, now_ns: int) -> int:
        """When the window that is now ends, in ms of the clock that was given."""
        return (now_ns // (self.every_s * S) + 1) * self.every_s * 1000


class Ban:
    """A client that does not stop at 429 is banned for a while: 418."""

    def __init__(self) -> None:
        self.violations = 0
        self.until_ns = 0

    def violated(self, now_ns: int) -> bool:
        """One more request beyond a limit; True when the client is banned by it."""
        self.violations += 1
        if self.violations >= VIOLATIONS_BEFORE_BAN:
            self.violations = 0
            self.until_ns = now_ns + BAN_S * S
            return True
        return False

    def left_s(self, now_ns: int) -> int:
        """Seconds left of a ban; 0: there is none."""
        return max(0, -(-(self.until_ns - now_ns) // S))
