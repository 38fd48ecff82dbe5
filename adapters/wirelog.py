"""Wire logs: every inbound message as it arrived, one line ``<recv_ts> <json>`` each.

Reads recordings (plain, gzip, xz or zstd) in the order they were received, and writes such files; the recorder's own
files are in `adapters.recorder`. Does not decode the messages. A damaged log is an event in the stream, never an
exception out of it.
"""

from __future__ import annotations

import gzip
import heapq
import lzma
import re
import zlib
from collections.abc import Iterator, Sequence
from io import BufferedReader, RawIOBase
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self, cast
from urllib.parse import quote, unquote

import msgspec
import zstandard

from trading.market.events import WireRejected

MAX_LINE_BYTES = 64 << 20
EXCERPT_CHARS = 120
TIMES_END_NS = 4 * 10**18
"""Where times end: in 2096, as for the books."""

VENUE_OF_PREFIX = {"spot": "binance", "usdm": "binanceusdm", "coinm": "binancecoinm"}
"""What the first word of a recording's file name says: ``usdm_btcusdt_20240808.dat.xz``."""

ALL_SYMBOLS = "all"
"""What stands for the symbol in the name of a rotated log that holds what belongs to no one symbol."""

NOTE_HEAD = b'{"propdesk":'
"""How a line begins that the recorder wrote of itself: what bytes alone do not say (see `adapters.recorder.notes`)."""

_SUFFIXES = (".dat", ".dat.gz", ".dat.xz", ".dat.zst")
_ROTATED = re.compile(r"([a-z][a-z0-9]*)_(.+)_([0-9]{8}T[0-9]{6}(?:-[0-9]{2,})?)")
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)
_READ_BYTES = 1 << 17
_FRAME_BYTES_MAX = 32 << 20


class WireLine(NamedTuple):
    """One received message. ``symbol`` is the file's, upper case: a REST snapshot's only name; empty: of no symbol."""

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
        streams = (_read_chain(chain) for chain in chains_of(self.files))
        for item in heapq.merge(*streams, key=lambda line: line.ts_recv_ns):
            if isinstance(item, WireLine):
                self.lines += 1
            else:
                self.rejected += 1
            yield item


def open_session(path: Path) -> Session:
    """The recording at ``path``: one file, or a folder of ``<market>_<symbol>_<yyyymmdd>.dat[.gz|.xz|.zst]`` files.

    The recorder's names are ``<venue>_<symbol>_<yyyymmdd>T<hhmmss>[-<nn>]``: those of one symbol are read one after the
    other. A folder of the recorder's sessions is all of them, merged.

    Raises:
        ValueError: there is no such file, or a name does not say market and symbol.
    """
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    if path.is_dir() and not any(file.name.endswith(_SUFFIXES) for file in found):
        found = sorted(file for folder in found if (folder / "session.json").is_file() for file in folder.iterdir())
    files = tuple(_log_file(file) for file in found if file.name.endswith(_SUFFIXES) and file.is_file())
    if not files:
        raise ValueError(f"no wire log (*{', *'.join(_SUFFIXES)}) at {path}")
    return Session(files)


def rotated_name(venue: str, symbol: str, stamp: str) -> str:
    """The name of a rotated log; ``symbol`` "" is `ALL_SYMBOLS`. What a file name cannot hold is percent-encoded."""
    named = quote(symbol.lower(), safe="")
    if named == ALL_SYMBOLS:
        named = f"%{ord(named[0]):x}{named[1:]}"
    return f"{venue}_{named or ALL_SYMBOLS}_{stamp}.dat.zst"


def _log_file(path: Path) -> LogFile:
    rotated = _ROTATED.fullmatch(path.name.partition(".dat")[0])
    if rotated is not None:
        venue, symbol, _ = rotated.groups()
        venue = VENUE_OF_PREFIX.get(venue, venue)
        return LogFile(path, venue, "" if symbol == ALL_SYMBOLS else unquote(symbol).upper())
    market, _, rest = path.name.partition(".")[0].partition("_")
    symbol, _, day = rest.rpartition("_")
    if market not in VENUE_OF_PREFIX or not symbol or not day.isdigit():
        raise ValueError(f"{path.name} is not <{'|'.join(VENUE_OF_PREFIX)}>_<symbol>_<yyyymmdd>.dat[.gz|.xz|.zst]")
    return LogFile(path, VENUE_OF_PREFIX[market], symbol.upper())


def log_file(path: Path) -> LogFile:
    """What the name of one wire log says; ``ValueError`` when it says no market and symbol."""
    return _log_file(path)


def chains_of(files: Sequence[LogFile]) -> list[list[LogFile]]:
    """Files that are to be merged; rotated ones of the same symbol are one chain, in order of their names."""
    chains: list[list[LogFile]] = []
    rotated: dict[tuple[Path, str, str], list[tuple[str, LogFile]]] = {}
    for file in files:
        named = _ROTATED.fullmatch(file.path.name.partition(".dat")[0])
        if named is None:
            chains.append([file])
        else:
            rotated.setdefault((file.path.parent, file.venue, file.symbol), []).append((named[3], file))
    chains.extend([file for _, file in sorted(chain)] for chain in rotated.values())
    return chains


def _read_chain(files: Sequence[LogFile]) -> Iterator[WireLine | WireRejected]:
    for file in files:
        yield from read_log(file)


def read_log(file: LogFile) -> Iterator[WireLine | WireRejected]:
    """One file's messages in order. What cannot be read becomes one `WireRejected` naming file and line."""
    return (item for item in read_lines(file) if isinstance(item, WireRejected) or not is_note(item.payload))


def read_lines(file: LogFile) -> Iterator[WireLine | WireRejected]:
    """Like `read_log`, with the recorder's notes: the ``n``th item is the file's ``n``th line."""
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
    found = int(stamp) if len(stamp) == 19 else int(stamp) * 1000
    return found if found < TIMES_END_NS else None


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
    if path.suffix == ".zst":
        return cast("IO[bytes]", BufferedReader(ZstdFrames(path), 1 << 16))
    return path.open("rb")


class ZstdFrames(RawIOBase):
    """The text of a file of independent zstd frames, whole frames only: of a torn one nothing is handed out.

    Raises ``EOFError`` where the last frame is torn, ``zstandard.ZstdError`` where one is damaged. A frame of more than
    32 MiB is not the recorder's: it is handed out as it is read.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._rest = b""
        self._parts: list[bytes] = []
        self._held = 0
        self._text = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill ``buffer`` with what is left of the current frame, or of the next."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._text:
            if not self._next_frame():
                return 0
        count = min(len(view), len(self._text))
        view[:count] = self._text[:count]
        self._text = self._text[count:]
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _next_frame(self) -> bool:
        while True:
            chunk = self._rest or self._file.read(_READ_BYTES)
            self._rest = b""
            if not chunk:
                if self._frame is not None:
                    raise EOFError(f"a frame of which {self._held} bytes of text are there has no end")
                return False
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            part = self._frame.decompress(chunk)
            self._parts.append(part)
            self._held += len(part)
            ended = self._frame.eof
            if ended:
                self._rest = self._frame.unused_data
                self._frame = None
            if ended or self._held > _FRAME_BYTES_MAX:
                self._text = memoryview(b"".join(self._parts))
                self._parts.clear()
                self._held = 0
                return True


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


def is_note(payload: bytes) -> bool:
    """Whether a recorded line is a whole note of the recorder's; one that is cut is none, and is reported as unread."""
    return payload.startswith(NOTE_HEAD) and payload.endswith(b"}")


def is_snapshot(payload: bytes) -> bool:
    """Whether a recorded line is a REST depth body: those name no stream and no event.

    Binance's has ``lastUpdateId``; OKX's is ``{"code":"0",..,"data":[{"asks":..``, Bybit's ``{"retCode":0,..`` with
    ``"b"`` and ``"a"`` in its result.
    """
    if payload[:8] == b'{"code":':
        return b'"asks"' in payload[:120]
    if payload[:11] == b'{"retCode":':
        return b'"b":[' in payload[:200] or b'"a":[' in payload[:200]
    return b'"lastUpdateId"' in payload[:200] and b'"stream"' not in payload[:40]


class _Manifest(msgspec.Struct, frozen=True):
    synthetic: bool = False


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording holds: its span over all its files, its venues, and the symbols that have a snapshot.

    ``synthetic``: it was recorded from a market that was none.
    """

    first_ns: int = 0
    last_ns: int = 0
    lines: int = 0
    venues: tuple[str, ...] = ()
    symbols: tuple[tuple[str, str], ...] = ()
    with_snapshot: tuple[tuple[str, str], ...] = ()
    synthetic: bool = False


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
        symbols=tuple(sorted({(f.venue, f.symbol) for f in session.files if f.symbol})),
        with_snapshot=tuple(sorted(found)),
        synthetic=any(_is_synthetic(folder) for folder in {file.path.parent for file in session.files}),
    )


def _is_synthetic(folder: Path) -> bool:
    """Whether the recorder's manifest in ``folder`` says that no market spoke; False where there is none to read."""
    try:
        return msgspec.json.decode((folder / "session.json").read_bytes(), type=_Manifest).synthetic
    except (OSError, msgspec.MsgspecError):
        return False
