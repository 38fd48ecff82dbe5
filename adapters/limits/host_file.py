"""The governor's state in a memory-mapped file: all processes of a host count together.

Owns bytes, lock and clock. A state is written into the slot that is not valid and then made valid (`board_file.Cell`),
so that a process killed at any point leaves the state before or after, never half of one; the kernel drops a killed
holder's lock. A file of another boot is translated to this boot's clock, since bans outlive a reboot. Does not decide.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from adapters.board_file import WORD, BoardDamagedError, Cell, boot_hash, create_file, locked, map_file, words_of
from adapters.clock import Clock
from trading.limits.governor import GovernorState, LimitGovernor
from trading.limits.spec import MINUTE_NS, SECOND_NS

CAPACITY: Final = 256 * 1024
"""Bytes of one state: 256 pools of about 500 bytes at most, twice over."""
_HEADER: Final = struct.Struct("<8sII")
_MAGIC: Final = b"PDLIMITS"
_VERSION: Final = 1
_WORD_AT: Final = 64
_CELL_AT: Final = 128
SIZE: Final = _CELL_AT + Cell.size(CAPACITY)
_AHEAD_MAX_NS: Final = 5 * SECOND_NS
_MAKE_WAIT_S: Final = 0.5

_encode = msgspec.msgpack.Encoder().encode


class Found(Enum):
    """What was in the file when it was opened."""

    NEW = "new"
    GOOD = "good"
    DAMAGED = "damaged"


class _Kept(msgspec.Struct, array_like=True):
    """What the file holds: the state, and both clocks when it was written, to translate between boots."""

    boot: bytes
    mono_ns: int
    wall_ns: int
    state: GovernorState


_decode = msgspec.msgpack.Decoder(_Kept).decode


class HostFile:
    """One venue's shared state. Use it as ``if file.lock(): try: file.load(...); ...; file.save(...) finally: unlock``.

    A file that cannot be used is set aside as ``<name>.damaged`` and made anew; what was spent is unknown then, and
    only cancels may go for a minute.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._boot = boot_hash()
        self._lock_path = path.with_name(path.name + ".lock")
        self._fd = -1
        self._pid = 0
        self._seen = 0
        self._map: mmap.mmap
        self.found = self._open()

    def lock(self) -> bool:
        """Take the lock if nobody has it; never waits. Every `lock` that was true needs its `unlock`."""
        if self._pid != os.getpid():  # a fork shares its parent's lock: it needs one of its own
            self._fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._pid = os.getpid()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let others in."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def load(self, governor: LimitGovernor) -> None:
        """Bring ``governor`` to what the file says, under the lock; nothing happens when it is there already."""
        if self._replaced():
            self._seen = 0
            self.found = self._open_locked()
        word = self._words[_WORD_AT // WORD.size]
        if word == self._seen and word:
            return
        self._seen = word
        if not word:
            if self.found is Found.DAMAGED:
                governor.presume(MINUTE_NS, self._clock.mono_ns())
            return
        kept = self._read(governor.spec.venue)
        if kept is None:
            self._words[_WORD_AT // WORD.size] = 0
            self.found = Found.DAMAGED
            governor.presume(MINUTE_NS, self._clock.mono_ns())
            return
        governor.adopt(kept.state)

    def save(self, governor: LimitGovernor) -> None:
        """Write ``governor``'s state, under the lock."""
        payload = _encode(_Kept(self._boot, self._clock.mono_ns(), self._clock.wall_ns(), governor.state))
        self._cell.write(payload)
        self._seen = self._words[_WORD_AT // WORD.size]

    def forget(self) -> None:
        """What this process counted without the lock is not the file's: the next `load` reads it again."""
        self._seen = 0

    def close(self) -> None:
        """Give up the lock's file; the map goes with the object."""
        if self._fd >= 0 and self._pid == os.getpid():
            os.close(self._fd)
        self._fd, self._pid = -1, 0

    def _read(self, venue: str) -> _Kept | None:
        """What the file holds, in this boot's time; ``None`` when it is no use."""
        payload = self._cell.read()
        if payload is None:
            return None
        try:
            kept = _decode(payload)
        except (msgspec.DecodeError, ValueError):
            return None
        if kept.state.venue != venue:
            return None
        mono, wall = self._clock.mono_ns(), self._clock.wall_ns()
        if kept.boot != self._boot:
            gone_ns = max(0, wall - kept.wall_ns)
            kept.state.shift(mono - gone_ns - kept.mono_ns)
        return kept if kept.state.now_ns <= mono + _AHEAD_MAX_NS else None

    def _replaced(self) -> bool:
        """Whether the path leads to another file than ours by now."""
        try:
            return self.path.stat().st_ino != self._inode
        except FileNotFoundError:
            return True

    def _open(self) -> Found:
        try:
            mapped, inode = _mapped(self.path)
        except (FileNotFoundError, BoardDamagedError):
            with locked(self._lock_path, _MAKE_WAIT_S):
                return self._open_locked()
        self._use(mapped, inode)
        return Found.GOOD

    def _open_locked(self) -> Found:
        found = Found.GOOD
        try:
            mapped, inode = _mapped(self.path)  # it may be there: another process was quicker
        except (FileNotFoundError, BoardDamagedError) as trouble:
            found = Found.NEW
            if isinstance(trouble, BoardDamagedError):
                self.path.replace(self.path.with_name(self.path.name + ".damaged"))
                found = Found.DAMAGED
            create_file(self.path, _HEADER.pack(_MAGIC, _VERSION, SIZE).ljust(SIZE, b"\0"))
            mapped, inode = _mapped(self.path)
        self._use(mapped, inode)
        return found

    def _use(self, mapped: mmap.mmap, inode: int) -> None:
        self._map, self._inode = mapped, inode
        self._words = words_of(mapped)
        self._cell = Cell(mapped, _WORD_AT, _CELL_AT, CAPACITY)


def _mapped(path: Path) -> tuple[mmap.mmap, int]:
    mapped, inode = map_file(path, SIZE)
    if _HEADER.unpack_from(mapped, 0) != (_MAGIC, _VERSION, SIZE):
        raise BoardDamagedError(path, f"not a file of limits of version {_VERSION}")
    return mapped, inode
