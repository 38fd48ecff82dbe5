"""The heartbeat board: who of the desk's processes is alive, in a memory-mapped file of 32 slots.

Owns claiming a slot, beating and reading. Does not decide who hangs: the supervisor compares the beats with its clock.
A slot is 64 bytes, little-endian: sequence u64 (odd while being claimed), beat CLOCK_MONOTONIC ns u64, incarnation
u64, pid u32, state u8, name of at most 32 bytes.
"""

from __future__ import annotations

import mmap
import os
import struct
from enum import IntEnum
from pathlib import Path
from typing import Final

import msgspec

from adapters.board_file import READ_TRIES, WORD, BoardDamagedError, create_file, locked, map_file, words_of

SLOTS_MAX: Final = 32
NAME_BYTES_MAX: Final = 32
_SLOT: Final = struct.Struct(f"<QQQIB{NAME_BYTES_MAX}s3x")
_REST: Final = struct.Struct(f"<QIB{NAME_BYTES_MAX}s3x")  # of a slot, after its two words
_HEADER: Final = struct.Struct("<8sII")
_MAGIC: Final = b"PDHEARTS"
_VERSION: Final = 1
_SLOTS_AT: Final = 64
SIZE: Final = _SLOTS_AT + SLOTS_MAX * _SLOT.size
_BEAT_AT: Final = 8
_STATE_AT: Final = 28
_CLAIM_WAIT_S: Final = 1.0


class BeatState(IntEnum):
    """What a process says of itself."""

    STARTING = 1
    RUNNING = 2
    HELD = 3
    STOPPING = 4


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """The last beat of one process. ``incarnation`` counts claims of the name; ``mono_ns`` is 0 at first."""

    name: str
    pid: int
    mono_ns: int
    state: BeatState
    incarnation: int


class Slot:
    """One process's place on the board."""

    __slots__ = ("_beat", "_map", "_state_at", "_words", "incarnation", "name")

    def __init__(self, mapped: mmap.mmap, at: int, name: str, incarnation: int) -> None:
        self._map = mapped
        self._words = words_of(mapped)
        self._beat = (at + _BEAT_AT) // WORD.size
        self._state_at = at + _STATE_AT
        self.name = name
        self.incarnation = incarnation

    def beat(self, mono_ns: int, state: BeatState = BeatState.RUNNING) -> None:
        """Say that we live: two stores, no lock, no system call."""
        self._map[self._state_at] = state
        self._words[self._beat] = mono_ns


class HeartbeatBoard:
    """All slots. A missing or foreign file is made anew: beats carry nothing that must survive."""

    __slots__ = ("_lock", "_map", "_path", "_words")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(path.name + ".lock")
        try:
            self._map = _mapped(path)
        except (FileNotFoundError, BoardDamagedError):
            with locked(self._lock, _CLAIM_WAIT_S):
                self._map = _made(path)
        self._words = words_of(self._map)

    def claim(self, name: str, pid: int) -> Slot:
        """The slot of ``name``, of which there is one: a restarted process takes its predecessor's place.

        ``ValueError`` for a name that is empty or longer than 32 bytes, ``BoardBusyError``, and ``RuntimeError`` when
        all slots belong to living processes.
        """
        raw = name.encode()
        if not raw or len(raw) > NAME_BYTES_MAX or b"\0" in raw:
            raise ValueError(f"{name!r} is not a name of 1 to {NAME_BYTES_MAX} bytes")
        with locked(self._lock, _CLAIM_WAIT_S):
            at = self._place(raw)
            word = at // WORD.size
            claiming = self._words[word] | 1
            (incarnation, *_) = _REST.unpack_from(self._map, at + 2 * WORD.size)
            self._words[word] = claiming
            self._words[word + 1] = 0
            _REST.pack_into(self._map, at + 2 * WORD.size, incarnation + 1, pid, BeatState.STARTING, raw)
            self._words[word] = claiming + 1
        return Slot(self._map, at, name, incarnation + 1)

    def read(self) -> list[Beat]:
        """Every claimed slot that is whole, by place; one whose claimer was killed half-way is left out."""
        beats = []
        for at in range(_SLOTS_AT, SIZE, _SLOT.size):
            for _ in range(READ_TRIES):
                word = at // WORD.size
                sequence, mono_ns = self._words[word], self._words[word + 1]
                if sequence == 0:
                    break
                incarnation, pid, state, raw = _REST.unpack_from(self._map, at + 2 * WORD.size)
                if sequence & 1 == 0 and self._words[word] == sequence:
                    name = raw.rstrip(b"\0").decode()
                    beats.append(
                        Beat(name=name, pid=pid, mono_ns=mono_ns, state=BeatState(state), incarnation=incarnation)
                    )
                    break
        return beats

    def _place(self, raw: bytes) -> int:
        places = range(_SLOTS_AT, SIZE, _SLOT.size)
        slots = {at: _SLOT.unpack_from(self._map, at) for at in places}
        for at, slot in slots.items():
            if slot[5].rstrip(b"\0") == raw:
                return at
        for at, slot in slots.items():
            if slot[0] == 0:
                return at
        for at, slot in slots.items():
            if not _alive(slot[3]):
                return at
        raise RuntimeError(f"all {SLOTS_MAX} slots of {self._path} belong to living processes")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _mapped(path: Path) -> mmap.mmap:
    mapped, _ = map_file(path, SIZE)
    if _HEADER.unpack_from(mapped, 0) != (_MAGIC, _VERSION, SIZE):
        raise BoardDamagedError(path, f"not a heartbeat board of version {_VERSION}")
    return mapped


def _made(path: Path) -> mmap.mmap:
    try:
        return _mapped(path)  # another process was quicker
    except (FileNotFoundError, BoardDamagedError):
        create_file(path, _HEADER.pack(_MAGIC, _VERSION, SIZE).ljust(SIZE, b"\0"))
        return _mapped(path)
