"""Small memory-mapped files that several processes share: cells of two slots, locks, the boot's identity.

Owns how bytes get into such a file so that a reader never sees half of them, whoever was killed. Does not own what
they mean: that is `permit_board.py` and `heartbeat_board.py`.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

WORD: Final = struct.Struct("<Q")
_SLOT: Final = struct.Struct("<QII")  # generation, length, CRC-32 of the payload started with the generation
READ_TRIES: Final = 64
_LOCK_TRY_S: Final = 0.01


class BoardDamagedError(Exception):
    """The file is short, foreign, of another version, or fails its checksums."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why

    def __reduce__(self) -> tuple[type[BoardDamagedError], tuple[Path, str]]:
        """Exceptions cross process boundaries."""
        return type(self), (self.path, self.why)


class BoardBusyError(Exception):
    """Another process kept the lock for longer than we may wait."""


def words_of(mapped: mmap.mmap | bytes) -> memoryview:
    """The aligned 8-byte words of a mapped file, by number (offset / 8); each is read and stored at once.

    `struct` fills its target with zeros and then writes byte by byte, and another process may read in between: a
    heartbeat of 0 was seen once in twenty reads beside a writer in a tight loop. An element of a memoryview is one
    machine word.
    """
    return memoryview(mapped)[: len(mapped) & ~7].cast("Q")


class Cell:
    """One value of at most ``capacity`` bytes in two slots, of which a generation word names the valid one.

    A writer fills the other slot and then stores the word: 8 aligned bytes, so readers see the old value or the
    new one. A writer killed half-way leaves the old one, and the next writer fills that slot again. Writers exclude
    each other by a lock that the caller holds.
    """

    __slots__ = ("_at", "_capacity", "_map", "_word", "_words")

    def __init__(self, mapped: mmap.mmap, word_at: int, at: int, capacity: int) -> None:
        self._map = mapped
        self._words = words_of(mapped)
        self._word = word_at // WORD.size
        self._at = at
        self._capacity = capacity

    @staticmethod
    def size(capacity: int) -> int:
        """Bytes that both slots of a cell take."""
        return 2 * (_SLOT.size + capacity)

    def write(self, payload: bytes, *, durable: bool = False) -> None:
        """Replace the value; ``durable`` waits until it would survive the loss of power."""
        if len(payload) > self._capacity:
            raise ValueError(f"{len(payload)} bytes do not fit a cell of {self._capacity}")
        generation = self._words[self._word] + 1
        at = self._slot(generation)
        start = at + _SLOT.size
        self._map[start : start + len(payload)] = payload
        _SLOT.pack_into(self._map, at, generation, len(payload), _checksum(generation, payload))
        if durable:
            self._map.flush()
        self._words[self._word] = generation
        if durable:
            self._map.flush()

    def read(self) -> bytes | None:
        """The value, or ``None`` when no try of a bounded number found a whole one."""
        for _ in range(READ_TRIES):
            word = self._words[self._word]
            at = self._slot(word)
            generation, length, checksum = _SLOT.unpack_from(self._map, at)
            if word == 0 or generation != word or length > self._capacity:
                continue
            start = at + _SLOT.size
            payload: bytes = self._map[start : start + length]
            if _checksum(word, payload) == checksum:
                return payload
        return None

    def _slot(self, generation: int) -> int:
        return self._at + (generation & 1) * (_SLOT.size + self._capacity)


def map_file(path: Path, size: int) -> tuple[mmap.mmap, int]:
    """All of ``path`` mapped read-write, and its inode; ``FileNotFoundError``, or ``BoardDamagedError`` by size."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        stat = os.fstat(fd)
        if stat.st_size != size:
            raise BoardDamagedError(path, f"{stat.st_size} bytes instead of {size}: not a board of this version")
        return mmap.mmap(fd, size), stat.st_ino
    finally:
        os.close(fd)


def create_file(path: Path, content: bytes) -> None:
    """Make ``path`` appear at once with ``content``, mode 0600, durable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def locked(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the exclusive lock file ``path``; ``BoardBusyError`` when another holder keeps it longer than ``wait_s``.

    The kernel drops the lock with its holder, so a killed process never blocks anybody; a stopped one may.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(max(1, round(wait_s / _LOCK_TRY_S))):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_TRY_S)
            else:
                break
        else:
            raise BoardBusyError(f"{path} is locked by another process")
        yield
    finally:
        os.close(fd)


def boot_hash() -> bytes:
    """Eight bytes that name this boot: monotonic times of another boot mean nothing."""
    source = Path("/proc/sys/kernel/random/boot_id")
    try:
        return hashlib.sha256(source.read_bytes()).digest()[:8]
    except OSError:
        return b"no boot!"  # the reader's bound on the remaining time is then the only guard


def _checksum(generation: int, payload: bytes) -> int:
    return zlib.crc32(payload, generation & 0xFFFFFFFF)
