"""Finished traces on their way out of the process: one thread, a bounded queue, and how far the journal was exported.

Never stands in anybody's way: what a full queue or a dead collector costs is traces, and it is counted. The order of
the journal is kept, so one number, the row at which the newest exported order ended, says what is done; a restart goes
on after it. What was on its way when the process died is sent again, with the same ids.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from adapters.telemetry.otlp_json import Resource
from adapters.telemetry.trace_file import TraceFile
from trading.telemetry.ids import sampled
from trading.telemetry.order_trace import OrderTrace, Span

QUEUE_TRACES_MAX = 2_048
BATCH_TRACES_MAX = 128
_END = None
Batch = list[tuple[str, tuple[Span, ...]]]


class TraceExport(msgspec.Struct, frozen=True, kw_only=True):
    """Where traces go; all empty: nowhere. ``share`` of them by their ids, and whatever went wrong.

    ``otlp`` is a collector's base address, ``file`` a path, which rotates at ``file_bytes_max`` and keeps
    ``files_max``. ``cursor`` remembers how far the export is; ``timeout_s`` is the collector's, retries included.
    """

    otlp: str = ""
    file: str = ""
    file_bytes_max: int = 16 << 20
    files_max: int = 4
    share: float = 1.0
    cursor: str = ""
    timeout_s: float = 5.0

    @property
    def wanted(self) -> bool:
        """Whether anything goes anywhere."""
        return bool(self.otlp or self.file)


class Sink(Protocol):
    """One destination. ``OSError`` when it did not take the traces."""

    def export(self, traces: Batch) -> None:
        """Take them, whole."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class ExportCounts(msgspec.Struct):
    """What became of traces. ``skipped``: not among the share that is exported."""

    exported: int = 0
    spans: int = 0
    skipped: int = 0
    dropped: int = 0
    failed: int = 0
    trouble: str = ""


class TraceExporter:
    """`offer` from the loop; a thread of its own does the rest. The SDK is imported in that thread, if at all."""

    def __init__(self, export: TraceExport, resource: Resource) -> None:
        self._export = export
        self._resource = resource
        self._queue: queue.Queue[OrderTrace | None] = queue.Queue(QUEUE_TRACES_MAX)
        self._stopping = threading.Event()
        self.counts = ExportCounts()
        self.done_seq = read_cursor(export.cursor)
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def offer(self, trace: OrderTrace, *, kept: bool = False) -> None:
        """A finished trace. ``kept``: whatever the share; so is one in which something went wrong."""
        if trace.last_seq <= self.done_seq:
            return
        if not (kept or trace.troubled or sampled(trace.trace_id, self._export.share)):
            self.counts.skipped += 1
            return
        try:
            self._queue.put_nowait(trace)
        except queue.Full:
            self.counts.dropped += 1

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what is queued, within the time; what is left is sent after the next start."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(_END)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._stopping.set()

    def _run(self) -> None:
        sinks = self._sinks()
        while not self._stopping.is_set():
            batch, last = self._take()
            if batch and not self._stopping.is_set():
                self._send(sinks, batch)
            if last:
                break
        for _, sink in sinks:
            sink.close()

    def _take(self) -> tuple[list[OrderTrace], bool]:
        first = self._queue.get()
        if first is _END:
            return [], True
        batch = [first]
        while len(batch) < BATCH_TRACES_MAX:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is _END:
                return batch, True
            batch.append(more)
        return batch, False

    def _send(self, sinks: list[tuple[str, Sink]], batch: list[OrderTrace]) -> None:
        traces = [(trace.cl_ord_id, trace.spans()) for trace in batch]
        trouble = ""
        for name, sink in sinks:
            try:
                sink.export(traces)
            except OSError as error:
                trouble = f"{name}: {error}"
        counts = self.counts
        if trouble:
            counts.failed += len(batch)
        else:
            counts.exported += len(batch)
            counts.spans += sum(len(spans) for _, spans in traces)
        counts.trouble = trouble[:300]
        # Also of what failed: a collector that was away for an hour must not keep the desk from going on.
        self.done_seq = max(self.done_seq, *(trace.end.seq for trace in batch if trace.end is not None))
        write_cursor(self._export.cursor, self.done_seq)

    def _sinks(self) -> list[tuple[str, Sink]]:
        export = self._export
        makers: list[tuple[str, Callable[[], Sink]]] = []
        if export.file:
            makers.append(("file", self._file))
        if export.otlp:
            makers.append(("otlp", self._collector))
        return [(name, make()) for name, make in makers]

    def _file(self) -> Sink:
        export = self._export
        return TraceFile(Path(export.file), self._resource, bytes_max=export.file_bytes_max, files_max=export.files_max)

    def _collector(self) -> Sink:
        from adapters.telemetry.otlp_http import OtlpHttp  # noqa: PLC0415 - ten megabytes that most desks do not pay

        return OtlpHttp(self._export.otlp, self._resource, self._export.timeout_s)


def read_cursor(path: str) -> int:
    """The row up to which ended orders were exported; 0 when nobody knows."""
    if not path:
        return 0
    try:
        text = Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    return int(text) if text.isdigit() else 0


def write_cursor(path: str, seq: int) -> None:
    """Remember it; a disk that fails costs traces that are sent twice, with the same ids."""
    if not path:
        return
    part = Path(f"{path}.part")
    with contextlib.suppress(OSError):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(str(seq), "ascii")
        part.replace(path)
