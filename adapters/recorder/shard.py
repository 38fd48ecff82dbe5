"""One wire log under way: lines wait in a buffer, a frame of them is written whole or not at all.

Owns the file, its digest and its counts. Which line belongs here, and what to do when the disk refuses, is
`adapters.recorder.wire`'s.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import zstandard

from adapters.recorder.manifest import WireFile
from adapters.wirelog import rotated_name

HOUR_NS = 3_600_000_000_000
_SECOND_NS = 1_000_000_000


def stamp_of(ts_ns: int) -> str:
    """UTC time as names spell it: ``20261121T150000``."""
    return datetime.fromtimestamp(ts_ns // _SECOND_NS, UTC).strftime("%Y%m%dT%H%M%S")


class Shard:
    """The open log of one symbol of one venue. A call that raises ``OSError`` has lost the lines of the buffer only."""

    def __init__(self, session: Path, venue: str, symbol: str, first_ns: int, stamp: str) -> None:
        """``stamp`` ends the name. Raises ``OSError``, also where the file is there."""
        self.venue = venue
        self.symbol = symbol
        self.hour = first_ns // HOUR_NS
        self.first_ns = first_ns
        self.last_ns = first_ns
        self.lines = 0
        self.raw_bytes = 0
        self.disk_bytes = 0
        self.buffer: list[bytes] = []
        self.buffered_bytes = 0
        self.buffer_first_ns = 0
        self.buffer_last_ns = 0
        self._digest = hashlib.sha256()
        self.path = session / rotated_name(venue, symbol, stamp)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def add(self, ts_ns: int, payload: bytes) -> None:
        """One line, for the next frame."""
        line = b"%d %b\n" % (ts_ns, payload)
        if not self.buffer:
            self.buffer_first_ns = ts_ns
        self.buffer.append(line)
        self.buffered_bytes += len(line)
        self.buffer_last_ns = ts_ns

    def flush(self, compressor: zstandard.ZstdCompressor) -> int:
        """Write the buffer as one frame; the lines written."""
        if not self.buffer:
            return 0
        text = b"".join(self.buffer)
        frame = compressor.compress(text)
        left = memoryview(frame)
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError:
            # A part of a frame would make the rest of the file unreadable.
            os.ftruncate(self._handle, self.disk_bytes)
            os.lseek(self._handle, self.disk_bytes, os.SEEK_SET)
            raise
        self._digest.update(frame)
        lines = len(self.buffer)
        self.lines += lines
        self.raw_bytes += len(text)
        self.disk_bytes += len(frame)
        self.last_ns = max(self.last_ns, self.buffer_last_ns)
        self.discard()
        return lines

    def discard(self) -> int:
        """Forget the buffer; how many lines it held."""
        lines = len(self.buffer)
        self.buffer.clear()
        self.buffered_bytes = 0
        return lines

    def close(self) -> WireFile | None:
        """What was written, made durable; None (and no file) when that is nothing. Does not flush."""
        try:
            os.fsync(self._handle)
        finally:
            os.close(self._handle)
        if not self.lines:
            self.path.unlink(missing_ok=True)
            return None
        return self.facts()

    def facts(self) -> WireFile:
        """The file as it would be if it ended here."""
        return WireFile(
            name=self.path.name,
            venue=self.venue,
            symbol=self.symbol,
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            lines=self.lines,
            raw_bytes=self.raw_bytes,
            disk_bytes=self.disk_bytes,
            sha256=self._digest.hexdigest(),
        )
