"""Wire logs: every inbound message as it arrived, one line ``<recv_ts> <json>`` each.

Reads recordings (plain, gzip or xz) in the order they were received, and writes such files. Does not decode the
messages. A damaged log is an event in the stream, never an exception out of it.
"""

from __future__ import annotations

import gzip
import heapq
import lzma
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self, cast

import msgspec

from trading.market.events import WireRejected

MAX_LINE_BYTES = 8 << 20
EXCERPT_CHARS = 120

VENUE_OF_PREFIX = {"spot": "binance", "usdm": "binanceusdm", "coinm": "binancecoinm"}
"""What the first word of a recording's file name says: ``usdm_btcusdt_20240808.dat.xz``."""

_SUFFIXES = (".dat", ".dat.gz", ".dat.xz")
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error)


class WireLine(NamedTuple):
    """One received message. ``symbol`` is the file's, upper case: a REST snapshot's only name."""

    ts_recv_ns: int
    venue: str
    symbol: str
    payload: bytes


class LogFile(NamedTuple):
    """One file of a session and what its name says."""

    path: Path
    venue: str
    symbol: str


class Session:
    """Some recorded files, read as one stream in order of reception (ties: in order of file name, then of line).

    Reading is streaming: one line per file is in memory. Each iteration starts anew and sets ``lines`` and
    ``rejected`` (how many lines could not be read, or files that ended early) from zero.
    """

    def __init__(self, files: tuple[LogFile, ...]) -> None:
        self.files = files
        self.lines = 0
        self.rejected = 0

    def __iter__(self) -> Iterator[WireLine | WireRejected]:
        self.lines = 0
        self.rejected = 0
        for item in heapq.merge(*(read_log(file) for file in self.files), key=lambda line: line.ts_recv_ns):
            if isinstance(item, WireLine):
                self.lines += 1
            else:
                self.rejected += 1
            yield item


def open_session(path: Path) -> Session:
    """The recording at ``path``: one file, or a folder of ``<market>_<symbol>_<yyyymmdd>.dat[.gz|.xz]`` files.

    Raises:
        ValueError: there is no such file, or a name does not say market and symbol.
    """
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    files = tuple(_log_file(file) for file in found if file.name.endswith(_SUFFIXES) and file.is_file())
    if not files:
        raise ValueError(f"no wire log (*{', *'.join(_SUFFIXES)}) at {path}")
    return Session(files)


def _log_file(path: Path) -> LogFile:
    market, _, rest = path.name.partition(".")[0].partition("_")
    symbol, _, day = rest.rpartition("_")
    if market not in VENUE_OF_PREFIX or not symbol or not day.isdigit():
        raise ValueError(f"{path.name} is not <{'|'.join(VENUE_OF_PREFIX)}>_<symbol>_<yyyymmdd>.dat[.gz|.xz]")
    return LogFile(path, VENUE_OF_PREFIX[market], symbol.upper())


def read_log(file: LogFile) -> Iterator[WireLine | WireRejected]:
    """One file's lines in order. What cannot be read becomes one `WireRejected` naming file and line."""
    path, venue, symbol = file
    number = 0
    ts_ns = 0
    try:
        with _open(path) as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                number += 1
                if not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
                    yield _rejected(file, number, ts_ns, "line_too_long", line)
                    _skip_line(stream)
                    continue
                stamp, _, payload = line.partition(b" ")
                read_ns = _timestamp_ns(stamp)
                payload = payload.strip()
                if read_ns is None or not payload:
                    yield _rejected(file, number, ts_ns, "garbled_line", line)
                    continue
                ts_ns = read_ns
                yield WireLine(ts_ns, venue, symbol, payload)
    except _DAMAGE as damage:
        text = f"{type(damage).__name__}: {damage}".encode()
        yield _rejected(file, number + 1, ts_ns, "log_ends_early", text)


def _timestamp_ns(stamp: bytes) -> int | None:
    """Recorders write nanoseconds (19 digits) or microseconds (16); anything else is not a timestamp."""
    if len(stamp) not in {16, 19} or not stamp.isdigit():
        return None
    return int(stamp) if len(stamp) == 19 else int(stamp) * 1000


def _rejected(file: LogFile, number: int, ts_ns: int, reason: str, excerpt: bytes) -> WireRejected:
    shown = excerpt[:EXCERPT_CHARS].decode("utf-8", "replace").strip()
    return WireRejected(
        venue=file.venue, reason=reason, excerpt=f"{file.path.name}:{number}: {shown}"[:200], ts_recv_ns=ts_ns
    )


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".xz":
        return cast("IO[bytes]", BufferedReader(lzma.LZMAFile(path), 1 << 16))
    if path.suffix == ".gz":
        return cast("IO[bytes]", BufferedReader(gzip.GzipFile(path), 1 << 16))
    return path.open("rb")


def _skip_line(stream: IO[bytes]) -> None:
    while (part := stream.readline(MAX_LINE_BYTES)) and not part.endswith(b"\n"):
        pass


class WireLogWriter:
    """Appends received messages to one gzip (or plain) wire log. Use as a context manager; not for two threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._stream = gzip.GzipFile(path, "ab") if path.suffix == ".gz" else path.open("ab")

    def append(self, ts_recv_ns: int, payload: bytes) -> None:
        """Write one message. ``ValueError`` when it holds a line break or the time is not in nanoseconds."""
        if b"\n" in payload or not payload:
            raise ValueError("a wire log holds one message per line")
        if not 10**18 <= ts_recv_ns < 10**19:
            raise ValueError(f"{ts_recv_ns} is not UTC nanoseconds")
        self._stream.write(b"%d %s\n" % (ts_recv_ns, payload))
        self.lines += 1

    def close(self) -> None:
        """Finish the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_snapshot(payload: bytes) -> bool:
    """Whether a recorded line is a REST depth body: those name no stream and no event."""
    return b'"lastUpdateId"' in payload[:200] and b'"stream"' not in payload[:40]


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording holds: its span over all its files, its venues, and the symbols that have a snapshot."""

    first_ns: int = 0
    last_ns: int = 0
    lines: int = 0
    venues: tuple[str, ...] = ()
    symbols: tuple[tuple[str, str], ...] = ()
    with_snapshot: tuple[tuple[str, str], ...] = ()


def inspect_session(session: Session) -> SessionFacts:
    """Read a recording once, so that venues stay aligned and a book without a snapshot is known as such."""
    first = last = 0
    found: set[tuple[str, str]] = set()
    for line in session:
        if isinstance(line, WireLine):
            first = first or line.ts_recv_ns
            last = line.ts_recv_ns
            if is_snapshot(line.payload):
                found.add((line.venue, line.symbol))
    return SessionFacts(
        first_ns=first,
        last_ns=last,
        lines=session.lines,
        venues=tuple(sorted({f.venue for f in session.files})),
        symbols=tuple(sorted({(f.venue, f.symbol) for f in session.files})),
        with_snapshot=tuple(sorted(found)),
    )
