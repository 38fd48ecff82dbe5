"""Who is hung and who was only kept from running: silence, less the time in which nobody could have spoken.

Owns the two excuses. A checker that was itself late saw nothing in that time; a process that waited for a processor
is starved and not hung. A loop that is blocked, stopped or busy with itself has neither. Linux; elsewhere only the
first counts.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final

_SLACK_NS: Final = 10_000_000
_LATE_MAX: Final = 256
_STARVED_HANGS: Final = 5


class Patience:
    """A checker's own clockwork: it means to look every ``period_ns``, and knows when it could not."""

    __slots__ = ("_last_ns", "_late", "_period_ns")

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._last_ns: int | None = None
        self._late: deque[tuple[int, int]] = deque(maxlen=_LATE_MAX)

    def woke(self, now_ns: int) -> None:
        """The checker looks; what it is late by is excused from everybody's silence."""
        if self._last_ns is not None:
            due_ns = self._last_ns + self._period_ns
            if now_ns - due_ns > _SLACK_NS:
                self._late.append((due_ns, now_ns))
        self._last_ns = now_ns

    def silence_ns(self, since_ns: int, now_ns: int) -> int:
        """How long somebody has been silent while the checker was there to hear."""
        deaf = sum(max(0, min(to, now_ns) - max(start, since_ns)) for start, to in self._late)
        return now_ns - since_ns - deaf


class HangWatch:
    """Judges processes by their beats: `silent` answers how long one was silent beyond ``hang_ns``, or None.

    From half of ``hang_ns`` on a process is suspect, and the time it waits for a processor from there is excused too,
    up to five times ``hang_ns``.
    """

    __slots__ = ("_hang_ns", "_patience", "_suspects")

    def __init__(self, hang_ns: int, patience: Patience) -> None:
        self._hang_ns = hang_ns
        self._patience = patience
        self._suspects: dict[int, tuple[int, dict[int, int]]] = {}

    def silent(self, pid: int, beat_ns: int, now_ns: int) -> int | None:
        """Nanoseconds of silence of a process that hangs; None while it does not."""
        silence_ns = self._patience.silence_ns(beat_ns, now_ns)
        if silence_ns <= self._hang_ns // 2:
            self._suspects.pop(pid, None)
            return None
        known = self._suspects.get(pid)
        if known is None or known[0] != beat_ns:
            known = self._suspects[pid] = (beat_ns, run_delays(pid))
        if silence_ns <= self._hang_ns:
            return None
        excused_ns = min(waited_ns(known[1], run_delays(pid)), _STARVED_HANGS * self._hang_ns)
        if silence_ns - excused_ns <= self._hang_ns:
            return None
        del self._suspects[pid]
        return now_ns - beat_ns


def run_delays(pid: int) -> dict[int, int]:
    """By thread, the nanoseconds that it was ready and had no processor (``/proc/<pid>/task/<tid>/schedstat``)."""
    found: dict[int, int] = {}
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[int(task.name)] = int((task / "schedstat").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        pass  # gone, or a kernel that does not say: then nothing is excused
    return found


def waited_ns(before: dict[int, int], after: dict[int, int]) -> int:
    """The longest that one thread waited for a processor between two looks."""
    return max((after[tid] - before[tid] for tid in before.keys() & after.keys()), default=0)
