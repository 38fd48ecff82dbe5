"""When an account is read anew because a word about it could not be read: at once, then at most every five seconds.

Pure; who reads it is the order core, which knows from where on.
"""

from __future__ import annotations

EVERY_NS = 5_000_000_000


class Rereading:
    """Of one account; times are monotonic."""

    def __init__(self) -> None:
        self._free_ns = 0
        self._wanted = False

    def wanted(self, now_ns: int) -> bool:
        """Something could not be read; whether the account is to be asked for now."""
        self._wanted = True
        return self.due(now_ns)

    def due(self, now_ns: int) -> bool:
        """Whether it is to be asked for now, for what came since it was the last time."""
        if not self._wanted or now_ns < self._free_ns:
            return False
        self._wanted, self._free_ns = False, now_ns + EVERY_NS
        return True
