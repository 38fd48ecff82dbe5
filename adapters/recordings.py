"""Recorded traffic of any venue as one stream: what was received, sent, fetched, and when.

Reads three spellings, line by line, plain or compressed (gzip, xz): wire logs and other ``<ns|us> <json>`` files; the
text form ``<url> <-> <s>`` (connected), ``<url> <- <s>: <json>`` (sent), ``<url> -> <s>: <json>`` (fetched) and
``<s>: <json>`` (received); and bare JSON lines, which have no time. Does not decode messages. What cannot be read is an
item of the stream that names file and line, never an exception out of it.
"""

from __future__ import annotations

import gzip
import heapq
import lzma
import zlib
from collections.abc import Iterator, Sequence
from enum import Enum
from io import BufferedReader
from pathlib import Path
from typing import IO, NamedTuple, cast

import zstandard

from adapters.wirelog import TIMES_END_NS, ZstdFrames, is_note

MAX_LINE_BYTES = 64 << 20
EXCERPT_CHARS = 120

_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)
_ARROWS = {b"<->", b"<-", b"->"}


class Kind(Enum):
    """How bytes came to be in a recording."""

    RECEIVED = "received"
    SENT = "sent"
    FETCHED = "fetched"
    CONNECTED = "connected"


class Recorded(NamedTuple):
    """One line. ``url`` is that of a request or connection, else empty; ``ts_ns`` is 0 where the line has no time."""

    ts_ns: int
    kind: Kind
    url: str
    payload: bytes
    path: Path
    line: int

    @property
    def where(self) -> str:
        """File and line, for people."""
        return f"{self.path.name}:{self.line}"


class Unreadable(NamedTuple):
    """A line, or the rest of a file, that could not be read."""

    ts_ns: int
    reason: str
    excerpt: str
    path: Path
    line: int

    @property
    def where(self) -> str:
        """File and line, for people."""
        return f"{self.path.name}:{self.line}"


def read_recordings(paths: Sequence[Path]) -> Iterator[Recorded | Unreadable]:
    """Some files as one stream in order of time (ties: in order of ``paths``); a file's own order is kept."""
    return heapq.merge(*(read_recording(path) for path in paths), key=lambda item: item.ts_ns)


def read_recording(path: Path) -> Iterator[Recorded | Unreadable]:
    """One file's lines in order. Lines without a time of their own have that of the line before."""
    number = 0
    ts_ns = 0
    try:
        with open_text(path) as stream:
            while raw := stream.readline(MAX_LINE_BYTES):
                number += 1
                if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    yield Unreadable(ts_ns, "line_too_long", _excerpt(raw), path, number)
                    _skip_line(stream)
                    continue
                line = raw.strip()
                if not line or line.startswith(b"configuration: "):
                    continue
                read = _read_line(line, ts_ns)
                if read is None:
                    yield Unreadable(ts_ns, "garbled_line", _excerpt(line), path, number)
                    continue
                ts_ns = read[0]
                if is_note(read[3]):
                    continue
                yield Recorded(*read, path, number)
    except _DAMAGE as damage:
        yield Unreadable(ts_ns, "file_ends_early", f"{type(damage).__name__}: {damage}", path, number + 1)


def open_text(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed by what its name says (``.xz``, ``.gz``)."""
    if path.suffix == ".xz":
        return cast("IO[bytes]", BufferedReader(lzma.LZMAFile(path), 1 << 16))
    if path.suffix == ".gz":
        return cast("IO[bytes]", BufferedReader(gzip.GzipFile(path), 1 << 16))
    if path.suffix == ".zst":
        return cast("IO[bytes]", BufferedReader(ZstdFrames(path), 1 << 16))
    return path.open("rb")


def _read_line(line: bytes, last_ns: int) -> tuple[int, Kind, str, bytes] | None:
    first = line[:1]
    if first in b"{[":
        return last_ns, Kind.RECEIVED, "", line
    word, _, rest = line.partition(b" ")
    if first.isdigit():
        ts_ns = _stamp_ns(word)
        payload = rest.strip()
        return None if ts_ns is None or not payload else (ts_ns, Kind.RECEIVED, "", payload)
    arrow, _, rest = rest.partition(b" ")
    if b"://" not in word or arrow not in _ARROWS:
        return None
    stamp, _, payload = rest.partition(b" ")
    ts_ns = _stamp_ns(stamp)
    if ts_ns is None or (arrow != b"<->" and not payload):
        return None
    kind = {b"<->": Kind.CONNECTED, b"<-": Kind.SENT, b"->": Kind.FETCHED}[arrow]
    return ts_ns, kind, word.decode("utf-8", "replace"), payload.strip()


def _stamp_ns(word: bytes) -> int | None:
    """Nanoseconds of ``<19 digits>``, ``<16 digits>`` (microseconds) or ``<10 digits>[.<fraction>][:]`` (seconds)."""
    if word.isdigit() and len(word) in {16, 19}:
        found = int(word) * (1 if len(word) == 19 else 1000)
        return found if found < TIMES_END_NS else None
    seconds, _, fraction = word.removesuffix(b":").partition(b".")
    if len(seconds) != 10 or not seconds.isdigit() or not (fraction or b"0").isdigit():
        return None
    found = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return found if found < TIMES_END_NS else None


def _excerpt(line: bytes) -> str:
    return line[:EXCERPT_CHARS].decode("utf-8", "replace").strip()


def _skip_line(stream: IO[bytes]) -> None:
    while (part := stream.readline(MAX_LINE_BYTES)) and not part.endswith(b"\n"):
        pass
