"""What the recorder says of itself: its state, its limits, its exact counts, and what happened to it.

Owns words only; `adapters.recorder.wire` does the work.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class RecorderState(Enum):
    """Whether what arrives is kept."""

    RECORDING = "recording"
    DISK_FULL = "disk_full"
    DISK_FAILED = "disk_failed"
    CLOSED = "closed"


class DropReason(Enum):
    """Why a line was not kept."""

    QUEUE_FULL = "queue_full"
    DISK_FULL = "disk_full"
    DISK_FAILED = "disk_failed"
    UNREADABLE = "unreadable"
    CLOSED = "closed"


class RecorderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one recorder. A file is rotated when its UTC hour ends or it holds ``file_bytes_max`` on disk.

    ``queue_*``: what may wait for the disk. ``flush_ms``: how old a line gets before it is in a whole frame of the
    file; at most a second. ``free_bytes_min`` of the disk are left to others, and all sessions together hold at most
    ``total_bytes_max``: the oldest closed files go first.
    """

    queue_lines_max: int = 200_000
    queue_bytes_max: int = 256 << 20
    flush_ms: int = 500
    frame_bytes_max: int = 1 << 20
    file_bytes_max: int = 256 << 20
    files_open_max: int = 256
    free_bytes_min: int = 2 << 30
    total_bytes_max: int = 50 << 30
    level: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.flush_ms <= 1000:
            raise ValueError(f"flush_ms {self.flush_ms}: a kill may lose what waits, so it is in 1..1000")
        for name in ("queue_lines_max", "queue_bytes_max", "frame_bytes_max", "file_bytes_max", "files_open_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive")
        if self.free_bytes_min < 0 or self.total_bytes_max < self.file_bytes_max:
            raise ValueError("free_bytes_min must not be negative, total_bytes_max holds at least one file")


class RecorderStats(msgspec.Struct, frozen=True, kw_only=True):
    """Exact counts. ``appended == written + waiting + sum(dropped.values())`` at any moment of the caller's thread.

    ``raw_bytes`` are those of the lines written, ``disk_bytes`` those of their frames. ``reflowed`` lines held line
    breaks, which JSON has between its tokens only: they were written as spaces.
    """

    state: RecorderState
    appended: int
    written: int
    waiting: int
    dropped: dict[str, int]
    dropped_bytes: int
    raw_bytes: int
    disk_bytes: int
    frames: int
    files_open: int
    files_closed: int
    files_deleted: int
    deleted_bytes: int
    reflowed: int


class LinesDropped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Lines that arrived from ``first_ns`` to ``last_ns`` (receive times) and were not kept."""

    reason: DropReason
    lines: int
    raw_bytes: int
    first_ns: int
    last_ns: int


class RecorderMoved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The recorder is in another state than before."""

    state: RecorderState
    text: str


class WireFileClosed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A file is whole and will not change."""

    name: str
    lines: int
    disk_bytes: int


class WireFileDeleted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An old file made room; its lines exist in Parquet only, if that was built."""

    path: str
    disk_bytes: int


RecorderEvent = LinesDropped | RecorderMoved | WireFileClosed | WireFileDeleted
