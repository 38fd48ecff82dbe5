"""Who is hung and who was only kept from running: silence, less the time in which nobody could have spoken.

Owns the three excuses. A checker that was itself late saw nothing in that time; a process that waited for a processor
is starved and not hung; one that waits for its disk could not even be killed. A loop that is blocked, stopped or busy
with itself has none. Linux; elsewhere only the first counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from adapters.heartbeat_board import Beat

_SLACK_NS: Final = 10_000_000
_LATE_MAX: Final = 256
_STARVED_TIMES: Final = 5
_BOOTS_MAX: Final = 8
_EXIT_TOLD_NS: Final = 500_000_000
_KILLED_NS: Final = 2_000_000_000


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


class _Suspect(msgspec.Struct):
    """A process that has been silent for a while, since ``beat_ns``; how it stood when that was noticed."""

    beat_ns: int
    delays: dict[int, int]
    looked_ns: int
    on_disk_ns: int = 0


class HangWatch:
    """Judges processes by their beats: `silent` answers how long one was silent beyond ``hang_ns``, or None.

    From a third of ``hang_ns`` on a process is suspect, and the time for which it waits for a processor or is found
    waiting for a disk from there is excused too, up to five times ``hang_ns``.
    """

    __slots__ = ("_hang_ns", "_patience", "_suspects")

    def __init__(self, hang_ns: int, patience: Patience) -> None:
        self._hang_ns = hang_ns
        self._patience = patience
        self._suspects: dict[int, _Suspect] = {}

    def silent(self, pid: int, beat_ns: int, now_ns: int) -> int | None:
        """Nanoseconds of silence of a process that hangs; None while it does not."""
        silence_ns = self._patience.silence_ns(beat_ns, now_ns)
        if silence_ns <= self._hang_ns // 3:
            self._suspects.pop(pid, None)
            return None
        known = self._suspects.get(pid)
        if known is None or known.beat_ns != beat_ns:
            known = self._suspects[pid] = _Suspect(beat_ns, run_delays(pid), now_ns)
        if waits_for_disk(pid):
            known.on_disk_ns += now_ns - known.looked_ns
        known.looked_ns = now_ns
        if silence_ns <= self._hang_ns:
            return None
        excused_ns = waited_ns(known.delays, run_delays(pid)) + known.on_disk_ns
        if silence_ns - min(excused_ns, _STARVED_TIMES * self._hang_ns) <= self._hang_ns:
            return None
        del self._suspects[pid]
        return now_ns - beat_ns


class Overdue(msgspec.Struct, frozen=True):
    """A process that hangs, or never came up: end it. ``pid`` 0 is not known."""

    pid: int
    why: str


class Exited(msgspec.Struct, frozen=True):
    """A process that is gone, without anybody having been told so."""

    pid: int


class CellWatch:
    """What the root makes of its cells' beats and processes: who is overdue, and who is gone unnoticed.

    The process of a cell is the one that was forked for it, not the one that beat last: a cell that never claimed its
    place on the board has left an older life's number there.

    A cell has ``boot_ms`` to come up, besides the time in which it waited for a processor, and after each time that
    was not enough twice as much, up to eight times: on a slow machine a restart that is never given its time would
    go on for ever.
    """

    __slots__ = (
        "_allowed_ms",
        "_boot_ms",
        "_gone_ns",
        "_hangs",
        "_killed_ns",
        "_patience",
        "_pids",
        "_started_ns",
        "_unborn",
    )

    def __init__(self, hangs: HangWatch, patience: Patience, *, boot_ms: int) -> None:
        self._hangs = hangs
        self._patience = patience
        self._boot_ms = boot_ms
        self._pids: dict[str, int] = {}
        self._started_ns: dict[str, int] = {}
        self._gone_ns: dict[str, int] = {}
        self._killed_ns: dict[str, int] = {}
        self._allowed_ms: dict[str, int] = {}
        self._unborn: set[str] = set()

    def started(self, cell: str, pid: int, now_ns: int) -> None:
        """A process was forked for ``cell``; 0 when its number is not known."""
        if cell in self._unborn:
            self._unborn.discard(cell)
            known_ms = self._allowed_ms.get(cell, self._boot_ms)
            self._allowed_ms[cell] = min(2 * known_ms, _BOOTS_MAX * self._boot_ms)
        self.ended(cell)
        self._pids[cell], self._started_ns[cell] = pid, now_ns

    def ended(self, cell: str) -> None:
        """It is known to be gone."""
        for table in (self._pids, self._started_ns, self._gone_ns, self._killed_ns):
            table.pop(cell, None)

    def judge(
        self, cell: str, beat: Beat | None, now_ns: int, is_alive: Callable[[int], bool]
    ) -> Overdue | Exited | None:
        """One look at one cell that was started and has not ended."""
        started_ns = self._started_ns[cell]
        beaten = beat if beat is not None and beat.mono_ns >= started_ns else None
        pid = self._pids[cell] or (beaten.pid if beaten is not None else 0)
        if pid and not is_alive(pid):
            gone_ns = self._gone_ns.setdefault(cell, now_ns)
            return Exited(pid) if self._patience.silence_ns(gone_ns, now_ns) > _EXIT_TOLD_NS else None
        killed_ns = self._killed_ns.get(cell)
        if killed_ns is not None and (not pid or now_ns - killed_ns < _KILLED_NS):
            return None
        why = self._not_up(cell, pid, now_ns) if beaten is None else self._silent(cell, beaten, now_ns)
        if why:
            if beaten is None:
                self._unborn.add(cell)
            self._killed_ns[cell] = now_ns
            return Overdue(pid, why)
        return None

    def _not_up(self, cell: str, pid: int, now_ns: int) -> str:
        allowed_ms = self._allowed_ms.get(cell, self._boot_ms)
        late_ns = self._patience.silence_ns(self._started_ns[cell], now_ns) - allowed_ms * 1_000_000
        if late_ns <= 0:
            return ""
        starved_ns = max(run_delays(pid).values(), default=0) if pid else 0
        if late_ns <= min(starved_ns, _STARVED_TIMES * allowed_ms * 1_000_000):
            return ""
        return f"did not come up within {allowed_ms} ms"

    def _silent(self, cell: str, beat: Beat, now_ns: int) -> str:
        self._allowed_ms.pop(cell, None)
        silent_ns = self._hangs.silent(beat.pid, beat.mono_ns, now_ns)
        return "" if silent_ns is None else f"silent for {silent_ns / 1e6:.0f} ms"


def run_delays(pid: int) -> dict[int, int]:
    """By thread, the nanoseconds that it was ready and had no processor (``/proc/<pid>/task/<tid>/schedstat``)."""
    found: dict[int, int] = {}
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[int(task.name)] = int((task / "schedstat").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        pass  # gone, or a kernel that does not say: then nothing is excused
    return found


def waits_for_disk(pid: int) -> bool:
    """Whether one of its threads is in a sleep that no signal ends, as in a sync of a busy disk."""
    try:
        return any(
            (task / "stat").read_bytes().rpartition(b")")[2].split(None, 1)[0] == b"D"
            for task in Path(f"/proc/{pid}/task").iterdir()
        )
    except (OSError, IndexError):
        return False


def waited_ns(before: dict[int, int], after: dict[int, int]) -> int:
    """The longest that one thread waited for a processor between two looks."""
    return max((after[tid] - before[tid] for tid in before.keys() & after.keys()), default=0)
