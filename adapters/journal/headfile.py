"""The head of a journal in a small file beside it: a journal that was cut off, or replaced by an older one, is seen.

Written off the order path after the rows it speaks of are durable, so the journal is never behind it. It is no evidence
against somebody who may write both files: keep a head elsewhere for that.
"""

from __future__ import annotations

import os
from pathlib import Path


def head_path(journal: Path) -> Path:
    """Where the head of a journal lies."""
    return journal.with_name(journal.name + ".head")


class HeadFile:
    """Writes the head; ``OSError`` as it comes."""

    def __init__(self, journal: Path) -> None:
        self._fd = os.open(head_path(journal), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, seq: int, link: bytes) -> None:
        """One line of a fixed length, in one write."""
        os.pwrite(self._fd, f"{seq:020d} {link.hex()}\n".encode(), 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def read_head(journal: Path) -> tuple[int, bytes] | None:
    """(seq, hash) that the journal had at least; None or None without the file; ``ValueError`` when it is damaged."""
    try:
        text = head_path(journal).read_bytes()
    except FileNotFoundError:
        return None
    if not text:
        return None
    seq, _, link = text.decode("ascii", "replace").strip().partition(" ")
    if not seq.isdecimal() or len(link) != 64:
        raise ValueError(f"{head_path(journal)} is damaged: {text[:90]!r}")
    return int(seq), bytes.fromhex(link)
