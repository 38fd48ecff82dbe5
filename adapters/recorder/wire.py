"""The recorder of wire logs: everything inbound as it arrived, in frames that outlive a kill.

Owns the queue, its one writer thread, the routing of lines to files and what is done when the disk is slow, full or
failing: lines are dropped with exact counts, the caller is never kept waiting. Reads no clock: a line's time is the one
that it came with. Reading is `adapters.wirelog`'s.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import zstandard

from adapters.recorder.events import (
    DropReason,
    LinesDropped,
    RecorderEvent,
    RecorderLimits,
    RecorderMoved,
    RecorderState,
    RecorderStats,
    WireFileClosed,
    WireFileDeleted,
)
from adapters.recorder.manifest import (
    DROPS_MAX,
    DroppedSpan,
    SessionManifest,
    WireFile,
    lock_session,
    venues_of,
    write_manifest,
)
from adapters.recorder.room import delete_oldest, free_bytes, held_bytes, oldest_closed
from adapters.recorder.shard import HOUR_NS, Shard, stamp_of
from adapters.wirelog import TIMES_END_NS
from trading.instruments import Instrument

EVENTS_MAX = 1000
IDLE_CLOSE_NS = 60_000_000_000
"""How long after its hour a file without lines is closed, by the newest line of any."""
DRAIN_MS = 20
"""How often lines are taken off the queue: a small batch holds the interpreter for a small while."""
RECOUNT_MS = 60_000
DELETIONS_A_TURN_MAX = 1000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NAMES_MAX = 1000


_Line = tuple[str, str | None, int, bytes]
"""venue, symbol, receive time, payload: a plain tuple costs the caller least."""


class WireRecorder:
    """Records one session into ``wire/<yyyymmdd>T<hhmmss>`` (UTC of ``started_ns``).

    `append` belongs to one thread and costs it well below a microsecond; all else happens in the recorder's own. Lines
    go to the file of ``symbol`` where it is given (REST bodies, whose bytes do not name it), else to that of the symbol
    in their bytes if it is one of ``instruments``, else to the venue's file of no symbol. One file's lines keep their
    order.
    """

    def __init__(
        self,
        wire: Path,
        *,
        started_ns: int,
        source: str,
        synthetic: bool,
        software: str,
        instruments: Sequence[Instrument],
        limits: RecorderLimits | None = None,
    ) -> None:
        """Make the session's folder and begin. Raises ``OSError`` when that cannot be done."""
        self.limits = limits or RecorderLimits()
        self._wire = wire
        self.session = _new_session(wire, stamp_of(started_ns))
        self._lock = lock_session(self.session)
        self.source = source
        self._facts = SessionManifest(
            name=self.session.name,
            started_ns=started_ns,
            software=software,
            source=source,
            synthetic=synthetic,
            venues=venues_of(instruments),
            instruments=tuple(instruments),
        )
        self._symbols = {(one.venue, one.symbol.encode()): one.symbol for one in instruments}
        self._compressor = zstandard.ZstdCompressor(level=self.limits.level, write_checksum=True)
        self._held_bytes = held_bytes(wire)
        # The caller's side.
        self._queue: deque[_Line | LinesDropped] = deque()
        self._lines_max = self.limits.queue_lines_max
        self._bytes_max = self.limits.queue_bytes_max
        self._appended = 0
        self._in_bytes = 0
        self._refused = Counter(dict.fromkeys(DropReason, 0))
        self._refused_bytes = 0
        self._missing: LinesDropped | None = None
        self._ended = False
        # The writer's side.
        self._out_bytes = 0
        self._shards: dict[tuple[str, str], Shard] = {}
        self._named: dict[tuple[str, str], tuple[str, int]] = {}
        self._files: list[WireFile] = []
        self._deleted: list[str] = []
        self._spans: deque[DroppedSpan] = deque(maxlen=DROPS_MAX)
        self._lost: dict[DropReason, LinesDropped] = {}
        self._dropped = Counter(dict.fromkeys(DropReason, 0))
        self._dropped_bytes = 0
        self._written = self._raw_bytes = self._disk_bytes = self._frames = self._reflowed = 0
        self._files_deleted = self._deleted_bytes = 0
        self._newest_ns = 0
        self._unsaved = False
        self._state = RecorderState.RECORDING
        self._events: deque[RecorderEvent] = deque(maxlen=EVENTS_MAX)
        try:
            write_manifest(self.session, self._facts)
        except OSError:
            os.close(self._lock)
            raise
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wire-recorder", daemon=True)
        self._thread.start()

    # --- The caller's side ---------------------------------------------------------------------------

    def append(self, venue: str, symbol: str | None, ts_recv_ns: int, payload: bytes) -> None:
        """Keep one message. Never waits and never raises: what cannot be taken is counted."""
        self._appended += 1
        queue = self._queue
        if len(queue) >= self._lines_max or self._in_bytes - self._out_bytes > self._bytes_max or self._ended:
            self._refuse(ts_recv_ns, payload)
            return
        if self._missing is not None:
            queue.append(self._missing)
            self._missing = None
        self._in_bytes += len(payload)
        queue.append((venue, symbol, ts_recv_ns, payload))

    def waiting(self) -> int:
        """How many messages are neither written nor dropped: of the counts the one that is asked for at each step."""
        return self._appended - self._written - self._dropped.total() - self._refused.total()

    def stats(self) -> RecorderStats:
        """Counts so far; see `RecorderStats`."""
        dropped = self._dropped + self._refused
        return RecorderStats(
            state=self._state,
            appended=self._appended,
            written=self._written,
            waiting=self.waiting(),
            dropped={reason.value: dropped[reason] for reason in DropReason if dropped[reason]},
            dropped_bytes=self._dropped_bytes + self._refused_bytes,
            raw_bytes=self._raw_bytes,
            disk_bytes=self._disk_bytes,
            frames=self._frames,
            files_open=len(self._shards),
            files_closed=len(self._files),
            files_deleted=self._files_deleted,
            deleted_bytes=self._deleted_bytes,
            reflowed=self._reflowed,
        )

    def symbols(self, venue: str) -> list[str]:
        """The symbols of a venue that this session is about."""
        return [one.symbol for one in self._facts.instruments if one.venue == venue]

    def poll_events(self) -> list[RecorderEvent]:
        """What happened since the last call; the newest `EVENTS_MAX` when nobody called."""
        found: list[RecorderEvent] = []
        while self._events:
            found.append(self._events.popleft())
        return found

    def close(self, timeout_s: float = 30.0) -> bool:
        """Write what waits, close all files and end; False when the disk did not let that happen in time."""
        self._ended = True
        if self._missing is not None:
            self._queue.append(self._missing)
            self._missing = None
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _refuse(self, ts_ns: int, payload: bytes) -> None:
        reason = DropReason.CLOSED if self._ended else DropReason.QUEUE_FULL
        self._refused[reason] += 1
        self._refused_bytes += len(payload)
        if not self._ended:
            self._missing = _merged(self._missing, _dropped(reason, 1, len(payload), ts_ns, ts_ns))

    # --- The writer's thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            every = max(1, self.limits.flush_ms // DRAIN_MS)
            count = 0
            while not self._stop.wait(DRAIN_MS / 1000):
                count += 1
                self._drain()
                if count % every == 0:
                    self._turn()
                if count % (RECOUNT_MS // DRAIN_MS) == 0:
                    self._recount()
            self._turn()
            self._finish()
        finally:
            self._state = RecorderState.CLOSED
            os.close(self._lock)

    def _turn(self) -> None:
        self._make_room()
        if self._state is not RecorderState.RECORDING:
            self._try_again()
        self._drain()
        if self._state is RecorderState.RECORDING:
            for key in list(self._shards):
                self._flush(key)
            self._close_idle()
        self._report()

    def _drain(self) -> None:
        """Take what waits now; what arrives meanwhile is for the next turn."""
        queue = self._queue
        for _ in range(len(queue)):
            item = queue.popleft()
            if isinstance(item, LinesDropped):
                self._span(item)
                continue
            venue, symbol, ts_ns, payload = item
            self._out_bytes += len(payload)
            if self._state is RecorderState.RECORDING:
                self._take(venue, symbol, ts_ns, payload)
            else:
                self._lose(_reason_of(self._state), 1, len(payload), ts_ns, ts_ns)

    def _take(self, venue: str, symbol: str | None, ts_ns: int, payload: bytes) -> None:
        if b"\n" in payload:
            payload = payload.replace(b"\n", b" ")
            self._reflowed += 1
        if not payload.strip() or not 10**18 <= ts_ns < TIMES_END_NS:
            self._lose(DropReason.UNREADABLE, 1, len(payload), ts_ns, ts_ns)
            return
        self._newest_ns = max(self._newest_ns, ts_ns)
        if symbol is None:
            symbol = self._symbols.get((venue, symbol_in(payload)), "")
        # Names of files do not tell cases apart.
        key = (venue, symbol.upper())
        shard = self._shards.get(key)
        if shard is not None and (ts_ns // HOUR_NS > shard.hour or shard.disk_bytes >= self.limits.file_bytes_max):
            self._close(key)
            shard = None
        if shard is None:
            shard = self._open(key, ts_ns)
            if shard is None:
                self._lose(_reason_of(self._state), 1, len(payload), ts_ns, ts_ns)
                return
        shard.add(ts_ns, payload)
        if shard.buffered_bytes >= self.limits.frame_bytes_max:
            self._flush(key)

    def _open(self, key: tuple[str, str], ts_ns: int) -> Shard | None:
        if len(self._shards) >= self.limits.files_open_max:
            self._close(min(self._shards, key=lambda one: self._shards[one].last_ns))
        try:
            shard = Shard(self.session, *key, ts_ns, self._next_stamp(key, ts_ns))
        except OSError as error:
            self._fail(error)
            return None
        self._shards[key] = shard
        return shard

    def _next_stamp(self, key: tuple[str, str], ts_ns: int) -> str:
        """A name that comes after all that this file had, though the time may stand still or go back."""
        last, number = self._named.get(key, ("", 0))
        stamp = stamp_of(ts_ns)
        if stamp > last:
            self._named[key] = stamp, 0
            return stamp
        self._named[key] = last, number + 1
        return f"{last}-{number + 1:04d}"

    def _flush(self, key: tuple[str, str]) -> None:
        shard = self._shards.get(key)
        if shard is None or not shard.buffer:
            return
        before, raw_before = shard.disk_bytes, shard.raw_bytes
        try:
            self._written += shard.flush(self._compressor)
        except OSError as error:
            self._lose_buffer(shard, _reason_of(_state_of(error)))
            self._fail(error)
            return
        self._frames += 1
        self._raw_bytes += shard.raw_bytes - raw_before
        self._disk_bytes += shard.disk_bytes - before
        self._held_bytes += shard.disk_bytes - before

    def _close(self, key: tuple[str, str]) -> None:
        self._flush(key)
        shard = self._shards.pop(key, None)
        if shard is None:
            return
        try:
            file = shard.close()
        except OSError as error:
            file = shard.facts() if shard.lines else None
            self._move(_state_of(error), f"{shard.path.name}: {error.strerror}")
        if file is not None:
            self._files.append(file)
            self._unsaved = True
            self._events.append(WireFileClosed(name=file.name, lines=file.lines, disk_bytes=file.disk_bytes))

    def _close_idle(self) -> None:
        """Close files whose hour is over for everybody."""
        for key, shard in list(self._shards.items()):
            if self._newest_ns >= (shard.hour + 1) * HOUR_NS + IDLE_CLOSE_NS:
                self._close(key)

    def _finish(self) -> None:
        for key in list(self._shards):
            self._close(key)
        self._facts = self._manifest(ended_ns=self._newest_ns or self._facts.started_ns)
        self._unsaved = True
        self._report()

    # --- Trouble -------------------------------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """The disk refused: end all files where they are whole, and wait for better times."""
        state = _state_of(error)
        self._move(state, f"{error.strerror or error}")
        for shard in self._shards.values():
            self._lose_buffer(shard, _reason_of(state))
        for key in list(self._shards):
            self._close(key)

    def _lose_buffer(self, shard: Shard, reason: DropReason) -> None:
        first, last, raw = shard.buffer_first_ns, shard.buffer_last_ns, shard.buffered_bytes
        lines = shard.discard()
        if lines:
            self._lose(reason, lines, raw, first, last)

    def _try_again(self) -> None:
        """A manifest that can be written is a disk that works."""
        try:
            if free_bytes(self._wire) < self.limits.free_bytes_min:
                return
            write_manifest(self.session, self._manifest())
        except OSError:
            return
        self._move(RecorderState.RECORDING, "the disk takes lines again")

    def _make_room(self) -> None:
        """Keep the cap by deleting the oldest. The floor stops the recorder: others may have filled the disk."""
        try:
            for _ in range(DELETIONS_A_TURN_MAX):
                if self._held_bytes <= self.limits.total_bytes_max:
                    break
                if self._delete_one():
                    continue
                if not self._shards:
                    break
                self._close(min(self._shards, key=lambda one: self._shards[one].first_ns))
            free = free_bytes(self._wire)
        except OSError as error:
            self._move(_state_of(error), f"{error.strerror or error}")
            return
        if free < self.limits.free_bytes_min:
            text = f"{free} bytes are free, {self.limits.free_bytes_min} are left to others"
            self._move(RecorderState.DISK_FULL, text)

    def _delete_one(self) -> bool:
        gone = delete_oldest(self._wire, self.session)
        if gone is None:
            path = oldest_closed(self.session, self._manifest())
            if path is None:
                return False
            gone = path, path.stat().st_size
            path.unlink(missing_ok=True)
            self._deleted.append(path.name)
            self._unsaved = True
        path, size = gone
        self._held_bytes -= size
        self._files_deleted += 1
        self._deleted_bytes += size
        self._events.append(WireFileDeleted(path=f"{path.parent.name}/{path.name}", disk_bytes=size))
        return True

    def _recount(self) -> None:
        """Several recorders share one folder: what the others wrote counts as well."""
        try:
            self._held_bytes = held_bytes(self._wire)
        except OSError as error:
            self._move(_state_of(error), f"{error.strerror or error}")

    def _move(self, state: RecorderState, text: str) -> None:
        if state is not self._state:
            self._state = state
            self._events.append(RecorderMoved(state=state, text=text))

    def _lose(self, reason: DropReason, lines: int, raw_bytes: int, first_ns: int, last_ns: int) -> None:
        self._dropped[reason] += lines
        self._dropped_bytes += raw_bytes
        lost = _dropped(reason, lines, raw_bytes, first_ns, last_ns)
        self._lost[reason] = _merged(self._lost.get(reason), lost)

    def _report(self) -> None:
        """Say what was lost in this turn, and save the manifest when it has something new."""
        for lost in self._lost.values():
            self._span(lost)
        self._lost.clear()
        if not self._unsaved:
            return
        try:
            write_manifest(self.session, self._manifest())
        except OSError as error:
            self._move(_state_of(error), f"manifest: {error.strerror or error}")
            return
        self._unsaved = False

    def _span(self, lost: LinesDropped) -> None:
        self._events.append(lost)
        self._unsaved = True
        last = self._spans[-1] if self._spans else None
        span = DroppedSpan(reason=lost.reason.value, lines=lost.lines, first_ns=lost.first_ns, last_ns=lost.last_ns)
        if last is not None and last.reason == span.reason and span.first_ns - last.last_ns < HOUR_NS // 60:
            self._spans[-1] = DroppedSpan(
                reason=span.reason,
                lines=last.lines + span.lines,
                first_ns=min(last.first_ns, span.first_ns),
                last_ns=max(last.last_ns, span.last_ns),
            )
        else:
            self._spans.append(span)

    def _manifest(self, ended_ns: int | None = None) -> SessionManifest:
        facts = self._facts
        return SessionManifest(
            name=facts.name,
            started_ns=facts.started_ns,
            software=facts.software,
            source=facts.source,
            synthetic=facts.synthetic,
            venues=facts.venues,
            instruments=facts.instruments,
            files=tuple(self._files),
            dropped=tuple(self._spans),
            dropped_lines=self._dropped.total() + self._refused[DropReason.QUEUE_FULL],
            deleted=tuple(self._deleted),
            ended_ns=ended_ns if ended_ns is not None else facts.ended_ns,
        )


def symbol_in(payload: bytes) -> bytes:
    """The venue's symbol that a message begins with, as bytes; empty where it names none in its first 256 bytes.

    Binance: the stream's name, or ``s``; Bybit: the end of the topic; OKX: ``instId``.
    """
    if payload[:11] == b'{"stream":"':
        return payload[11 : payload.find(b"@", 11, 96)].upper()
    if payload[:10] == b'{"topic":"':
        return payload[10 : payload.find(b'"', 10, 128)].rpartition(b".")[2]
    for key in (b'"instId":"', b'"s":"', b'"symbol":"'):
        at = payload.find(key, 0, 256)
        if at >= 0:
            at += len(key)
            return payload[at : payload.find(b'"', at, at + 64)]
    return b""


def _new_session(wire: Path, stamp: str) -> Path:
    for number in range(_NAMES_MAX):
        path = wire / (stamp if not number else f"{stamp}-{number:03d}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise OSError(f"{wire}: {_NAMES_MAX} sessions of {stamp}")


def _state_of(error: OSError) -> RecorderState:
    return RecorderState.DISK_FULL if error.errno in _FULL else RecorderState.DISK_FAILED


def _reason_of(state: RecorderState) -> DropReason:
    return DropReason.DISK_FULL if state is RecorderState.DISK_FULL else DropReason.DISK_FAILED


def _dropped(reason: DropReason, lines: int, raw_bytes: int, first_ns: int, last_ns: int) -> LinesDropped:
    return LinesDropped(reason=reason, lines=lines, raw_bytes=raw_bytes, first_ns=first_ns, last_ns=last_ns)


def _merged(one: LinesDropped | None, other: LinesDropped) -> LinesDropped:
    if one is None:
        return other
    return LinesDropped(
        reason=one.reason,
        lines=one.lines + other.lines,
        raw_bytes=one.raw_bytes + other.raw_bytes,
        first_ns=min(one.first_ns, other.first_ns),
        last_ns=max(one.last_ns, other.last_ns),
    )
