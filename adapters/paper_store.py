"""Where a simulated account survives its process: an append-only log of state changes and checkpoints of the whole.

Owns files and frames. What a record means is trading/sim. The page cache outlives a killed process, so an append
is not synced by default: it survives ``kill -9`` and not a power cut (``sync=True`` survives both).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from trading.sim.state import LogRecord
from trading.sim.venue import SimVenue

_FRAME = struct.Struct("<II")
_GENERATION = struct.Struct("<Q")
MAX_FRAME_BYTES = 64 * 1024 * 1024


class PaperStoreCorruptError(Exception):
    """A checkpoint, or a frame that is not the last, fails its checksum: no torn write, so nothing is guessed."""

    def __init__(self, path: Path, offset: int) -> None:
        super().__init__(path, offset)
        self.path = path
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.path} is corrupt at byte {self.offset}"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What `restore` found."""

    had_checkpoint: bool
    records: int
    truncated_bytes: int


class PaperStore:
    """The directory ``path`` of one simulated venue: ``checkpoint`` and the log that continues it.

    One process at a time. The log's name carries the generation of the checkpoint that it continues, so a crash
    between a checkpoint and the removal of the old log replays nothing twice. ``truncated_bytes`` is how long the
    torn tail was that the last `load` removed.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self.path = path
        self.truncated_bytes = 0
        self._sync = sync
        path.mkdir(parents=True, exist_ok=True)
        self._checkpoint_path = path / "checkpoint"
        self._generation = self._read_checkpoint()[0]
        self._fd = self._open_log()
        self._remove_old_logs()

    @property
    def log_path(self) -> Path:
        """The log being appended to."""
        return self.path / f"log-{self._generation:08d}"

    def append(self, records: Sequence[LogRecord]) -> None:
        """Add one batch, whole or not at all. ``OSError`` when the disk refuses; the log is then as it was before."""
        if not records:
            return
        payload = msgspec.msgpack.encode(list(records))
        frame = memoryview(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        start = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            while frame:
                frame = frame[os.write(self._fd, frame) :]
            if self._sync:
                os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)
            raise

    def load(self) -> list[LogRecord]:
        """Every record appended since the checkpoint, in order; a torn tail is cut off and counted.

        Raises `PaperStoreCorruptError` when a frame with others behind it is damaged.
        """
        data = self.log_path.read_bytes()
        records: list[LogRecord] = []
        offset = 0
        while (payload := self._frame(data, offset)) is not None:
            records += msgspec.msgpack.decode(payload, type=list[LogRecord])
            offset += _FRAME.size + len(payload)
        self.truncated_bytes = len(data) - offset
        if self.truncated_bytes:
            os.ftruncate(self._fd, offset)
        return records

    def load_checkpoint(self) -> bytes | None:
        """The newest checkpoint, or None when there has been none."""
        return self._read_checkpoint()[1]

    def checkpoint(self, blob: bytes) -> None:
        """Replace the checkpoint atomically by ``blob`` (a dump taken after the last append) and start an empty log."""
        payload = _GENERATION.pack(self._generation + 1) + blob
        temporary = self.path / "checkpoint.tmp"
        with temporary.open("wb") as file:
            file.write(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._checkpoint_path)
        self._sync_directory()
        os.close(self._fd)
        self._generation += 1
        self._fd = self._open_log()
        self._remove_old_logs()

    def close(self) -> None:
        """Give the file back; nothing is pending."""
        os.close(self._fd)

    def _frame(self, data: bytes, offset: int) -> bytes | None:
        """The payload at ``offset``; None at the end or where a torn tail begins."""
        if offset + _FRAME.size > len(data):
            return None
        length, crc = _FRAME.unpack_from(data, offset)
        end = offset + _FRAME.size + length
        if length > MAX_FRAME_BYTES:
            raise PaperStoreCorruptError(self.log_path, offset)
        if end > len(data):
            return None
        payload = data[offset + _FRAME.size : end]
        if zlib.crc32(payload) == crc:
            return payload
        if end < len(data):
            raise PaperStoreCorruptError(self.log_path, offset)
        return None

    def _read_checkpoint(self) -> tuple[int, bytes | None]:
        if not self._checkpoint_path.exists():
            return 0, None
        data = self._checkpoint_path.read_bytes()
        if len(data) < _FRAME.size + _GENERATION.size:
            raise PaperStoreCorruptError(self._checkpoint_path, 0)
        length, crc = _FRAME.unpack_from(data)
        payload = data[_FRAME.size :]
        if len(payload) != length or zlib.crc32(payload) != crc:
            raise PaperStoreCorruptError(self._checkpoint_path, 0)
        return _GENERATION.unpack_from(payload)[0], payload[_GENERATION.size :]

    def _open_log(self) -> int:
        return os.open(self.log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _remove_old_logs(self) -> None:
        for log in self.path.glob("log-*"):
            if log != self.log_path:
                log.unlink()

    def _sync_directory(self) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def restore(sim: SimVenue, store: PaperStore) -> Restored:
    """Bring a new venue to the last appended state. Commands and reports that were under way are lost."""
    blob = store.load_checkpoint()
    if blob is not None:
        sim.load(blob)
    records = store.load()
    sim.apply_log(records)
    sim.forget_in_flight()
    return Restored(had_checkpoint=blob is not None, records=len(records), truncated_bytes=store.truncated_bytes)
