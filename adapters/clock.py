"""The only place that reads a clock.

Facts carry UTC nanoseconds (`wall_ns`), timeouts use the monotonic clock (`mono_ns`), which all processes of a
host share. Virtual time is the same interface with a hand on the dial.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import native


class Clock(Protocol):
    """Two clocks: one for facts, one for deadlines. Both in nanoseconds."""

    def wall_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        ...

    def mono_ns(self) -> int:
        """CLOCK_MONOTONIC nanoseconds: never steps, shared by all processes of a host."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    wall_ns = staticmethod(time.time_ns)
    mono_ns = staticmethod(time.monotonic_ns)


class PyVirtualClock:
    """A clock that stands still until it is moved; wall and monotonic time move together."""

    __slots__ = ("_mono_ns", "_offset_ns")

    def __init__(self, wall_ns: int, mono_ns: int = 0) -> None:
        self._mono_ns = mono_ns
        self._offset_ns = wall_ns - mono_ns

    def wall_ns(self) -> int:
        """Virtual UTC nanoseconds."""
        return self._mono_ns + self._offset_ns

    def mono_ns(self) -> int:
        """Virtual monotonic nanoseconds."""
        return self._mono_ns

    def advance_to_mono(self, mono_ns: int) -> None:
        """Move forward; moving back is a bug and raises ``ValueError``."""
        if mono_ns < self._mono_ns:
            raise ValueError(f"virtual time cannot go back: {mono_ns} < {self._mono_ns}")
        self._mono_ns = mono_ns

    def advance_to_wall(self, wall_ns: int) -> None:
        """Move forward to a UTC time."""
        self.advance_to_mono(wall_ns - self._offset_ns)


if TYPE_CHECKING or native.actors is None:  # noqa: SIM108 - a ternary is no type
    VirtualClock = PyVirtualClock
else:
    VirtualClock = native.actors.VirtualClock
