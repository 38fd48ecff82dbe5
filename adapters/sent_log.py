"""The log of what left for a venue: one line an order, monotonic nanoseconds and ClOrdID, bounded by rotation.

Evidence for drills and operators that is independent of the journal; not the journal.
"""

from __future__ import annotations

import os
from pathlib import Path

_LIMIT_BYTES = 16 * 1024 * 1024


class SentLog:
    """Appends survive a killed process; at the size limit the file becomes ``.1`` and a new one begins."""

    def __init__(self, path: Path, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = self._open()
        self._size = path.stat().st_size

    def _open(self) -> int:
        return os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def append(self, mono_ns: int, cl_ord_id: str) -> None:
        """One order that is about to be written to the wire."""
        line = f"{mono_ns} {cl_ord_id}\n".encode()
        os.write(self._fd, line)
        self._size += len(line)
        if self._size >= self._limit:
            os.close(self._fd)
            self._path.replace(self._path.with_suffix(self._path.suffix + ".1"))
            self._fd = self._open()
            self._size = 0

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def read_sent(path: Path) -> list[tuple[int, str]]:
    """All ``(mono_ns, cl_ord_id)`` of a log, the rotated part first; a torn last line is left out."""
    rows: list[tuple[int, str]] = []
    for part in (path.with_suffix(path.suffix + ".1"), path):
        if not part.exists():
            continue
        text = part.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():
            stamp, _, cl_ord_id = line.partition(" ")
            if stamp.isdigit() and cl_ord_id:
                rows.append((int(stamp), cl_ord_id))
    return rows
