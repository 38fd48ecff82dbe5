"""The faults in force on one server: who is hit, how often yet, and what becomes of each data message.

Deterministic given the seed, the knobs and the order of messages. Times are monotonic ns, the caller's. Does not know
sockets: knobs that act on connections are taken by `server`.
"""

from __future__ import annotations

import fnmatch
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

import msgspec

from adapters.simserver import byte_edits
from adapters.simserver.faults import (
    BadPrice,
    ClockSkew,
    ClockStep,
    Corrupt,
    Delay,
    Duplicate,
    Fault,
    FrozenSide,
    Gap,
    Mute,
    Reorder,
    TickChange,
    TimeUnit,
    WrongChecksum,
)
from adapters.simserver.knob import Knob

MS = 1_000_000
APPLIED_MAX = 2_000
ACTIVE_MAX = 256
HELD_MAX = 256
USER = "user:"
"""How the topics of user streams begin; their frames are written by the venue's own clock already."""

K = TypeVar("K", bound=Knob)
_MESSAGE_KNOBS = (Gap, Duplicate, Reorder, Corrupt, WrongChecksum, BadPrice, FrozenSide, TimeUnit, Mute, Delay)

Shaped = Sequence[tuple[bytes, int]]
"""What is sent for one message: (bytes, delay in ms), in order."""


class Applied(msgspec.Struct, frozen=True):
    """One act of one fault; ``connection`` 0 is the whole server."""

    fault_id: str
    knob: str
    topic: str
    connection: int
    mono_ns: int


class Active:
    """A fault in force."""

    __slots__ = ("applied", "fault", "id", "left", "set_ns", "until_ns")

    def __init__(self, fault_id: str, fault: Knob, now_ns: int) -> None:
        self.id = fault_id
        self.fault = fault
        self.left: int | None = getattr(fault, fault.counted) if fault.counted else None
        self.set_ns = now_ns
        self.until_ns = None if fault.for_ms is None else now_ns + fault.for_ms * MS
        self.applied = 0

    def hits(self, topic: str, connection: int) -> bool:
        """Whether the scope has this topic and this connection."""
        fault = self.fault
        if fault.connections and connection not in fault.connections:
            return False
        return not fault.topics or any(fnmatch.fnmatchcase(topic, glob) for glob in fault.topics)


def knob_name(fault: Knob) -> str:
    """The knob's name in JSON."""
    return str(getattr(fault, "knob", ""))


class Faults:
    """All faults of one server. ``set`` and ``clear`` may be called at any time from the server's loop."""

    def __init__(self, seed: int, mono_ns: Callable[[], int]) -> None:
        self._rng = Random(seed)
        self._mono_ns = mono_ns
        self._active: dict[str, Active] = {}
        self._ids = 0
        self._held: dict[tuple[int, str], bytes] = {}
        self._listeners: list[Callable[[Knob, bool], None]] = []
        self.applied: deque[Applied] = deque(maxlen=APPLIED_MAX)
        self.counts: Counter[str] = Counter()
        self.quiet = True
        self.offset_ns = 0
        self.finer = False

    # --- Setting -------------------------------------------------------------------------------------

    def set(self, fault: Fault) -> str:
        """Put a fault in force; answers with its id. ``ValueError`` beyond `ACTIVE_MAX`."""
        if len(self._active) >= ACTIVE_MAX:
            raise ValueError(f"{ACTIVE_MAX} faults are in force already")
        self._ids += 1
        fault_id = f"f{self._ids}"
        self._active[fault_id] = Active(fault_id, fault, self._mono_ns())
        self._settle()
        self._tell(fault, in_force=True)
        return fault_id

    def clear(self, *fault_ids: str) -> None:
        """End faults by id; without any, all. ``ValueError`` names an id that is not in force, and nothing changed."""
        unknown = [fault_id for fault_id in fault_ids if fault_id not in self._active]
        if unknown:
            raise ValueError(f"no fault {', '.join(unknown)} is in force")
        ended = [self._active.pop(fault_id) for fault_id in fault_ids or tuple(self._active)]
        self._settle()
        for active in ended:
            self._tell(active.fault, in_force=False)

    def end(self, fault: Knob) -> None:
        """One fault has had its effect; nothing happens where it is not in force."""
        for active in self.active():
            if active.fault is fault:
                self.clear(active.id)

    def listen(self, on_change: Callable[[Knob, bool], None]) -> None:
        """Be told of each fault when it comes into force (True) and when it ends (False)."""
        self._listeners.append(on_change)

    def expire(self, now_ns: int) -> None:
        """End what has had its time."""
        if self._active:
            over = [a.id for a in self._active.values() if a.until_ns is not None and a.until_ns <= now_ns]
            if over:
                self.clear(*over)

    def active(self) -> list[Active]:
        """The faults in force, oldest first."""
        return list(self._active.values())

    # --- Asking --------------------------------------------------------------------------------------

    def find(self, kind: type[K], topic: str = "", connection: int = 0) -> K | None:
        """The first fault of a kind whose scope has this; it is not counted as applied."""
        for active in self._active.values():
            if isinstance(active.fault, kind) and active.hits(topic, connection):
                return active.fault
        return None

    def take(self, kind: type[K], topic: str = "", connection: int = 0) -> K | None:
        """The same, counted: it acts now."""
        for active in self._active.values():
            if isinstance(active.fault, kind) and active.hits(topic, connection):
                self._note(active, topic, connection)
                return active.fault
        return None

    def note(self, fault: Knob, topic: str = "", connection: int = 0) -> None:
        """A fault that acts by itself has acted."""
        for active in self._active.values():
            if active.fault is fault:
                self._note(active, topic, connection)
                return

    # --- Messages ------------------------------------------------------------------------------------

    def shape(self, topic: str, connection: int, payload: bytes) -> Shaped:
        """What one connection gets for one data message."""
        hitting = [
            active
            for active in self._active.values()
            if isinstance(active.fault, _MESSAGE_KNOBS) and active.hits(topic, connection)
        ]
        delay_ms, copies, after = 0, 1, b""
        for active in hitting:
            fault = active.fault
            match fault:
                case Mute() | Gap():
                    self._note(active, topic, connection)
                    return ()
                case Reorder():
                    if (connection, topic) not in self._held and len(self._held) < HELD_MAX:
                        self._held[connection, topic] = payload
                        self._note(active, topic, connection)
                        return ()
                case Duplicate():
                    copies = 2
                    self._note(active, topic, connection)
                case Delay():
                    delay_ms = max(delay_ms, fault.delay_ms)
                    self._note(active, topic, connection)
                case _:
                    edited = self._edited(fault, payload)
                    if edited != payload:
                        self._note(active, topic, connection)
                    payload = edited
        if self._held:
            after = self._held.pop((connection, topic), b"")
            self._settle()
        if self.offset_ns and not topic.startswith(USER):
            payload = byte_edits.shifted_times(payload, self.offset_ns // MS)
        sent = [(payload, delay_ms)] * copies
        return [*sent, (after, delay_ms)] if after else sent

    def forget(self, connection: int) -> None:
        """A connection is gone."""
        for key in [key for key in self._held if key[0] == connection]:
            del self._held[key]
        self._settle()

    def _edited(self, fault: Knob, payload: bytes) -> bytes:
        match fault:
            case Corrupt():
                return byte_edits.corrupt(payload, fault.number, self._rng)
            case BadPrice():
                return byte_edits.bad_price(payload, fault.price)
            case FrozenSide():
                return byte_edits.frozen_side(payload, fault.side)
            case TimeUnit():
                return byte_edits.time_unit(payload, fault.unit)
            case WrongChecksum():
                return byte_edits.wrong_checksum(payload)
            case _:
                return payload

    # --- Keeping -------------------------------------------------------------------------------------

    def _note(self, active: Active, topic: str, connection: int) -> None:
        active.applied += 1
        name = knob_name(active.fault)
        self.counts[name] += 1
        self.applied.append(Applied(active.id, name, topic, connection, self._mono_ns()))
        if active.left is not None:
            active.left -= 1
            if active.left <= 0:
                self._active.pop(active.id, None)
                self._settle()
                self._tell(active.fault, in_force=False)

    def _settle(self) -> None:
        faults = [active.fault for active in self._active.values()]
        skews: Iterable[int] = (f.skew_ms for f in faults if isinstance(f, ClockSkew))
        steps: Iterable[int] = (f.step_ms for f in faults if isinstance(f, ClockStep))
        self.offset_ns = (sum(skews) + sum(steps)) * MS
        self.finer = any(isinstance(fault, TickChange) for fault in faults)
        shaping = any(isinstance(fault, _MESSAGE_KNOBS) for fault in faults)
        self.quiet = not (shaping or self._held or self.offset_ns)

    def _tell(self, fault: Knob, *, in_force: bool) -> None:
        for on_change in self._listeners:
            on_change(fault, in_force)
