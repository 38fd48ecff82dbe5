"""All traces of the desk as its journal grows: what is open, what waits for reconciliation, what was slow today.

Fed with rows in order, in bounded memory. Owns distributions by venue and stage, and the slowest steps of the UTC day;
exporting finished traces and reading the journal are others'.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Final

import msgspec

from trading.orders.journal_rows import AmendedBody, JournalKind, JournalRow, PlaceBody, ReconcileBody, ReportBody
from trading.orders.messages import ExecType
from trading.telemetry.histogram import LogHistogram
from trading.telemetry.ids import trace_id_of
from trading.telemetry.order_trace import Mark, OrderTrace, Sample, Span, TracedRow
from trading.telemetry.routes import Routes

DAY_NS: Final = 86_400_000_000_000
WAITS: Final = frozenset({"book_age", "signal", "recon"})
"""How long these last, the desk's own pace decides: they are slow steps only for who asks for them."""


class TraceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds; ``slow_max`` is by venue and stage.

    ``linger_ns``: how long a finished order waits for its account to be compared, which is done once a minute.
    """

    open_max: int = 4_096
    ended_max: int = 4_096
    finished_max: int = 256
    missing_max: int = 256
    slow_max: int = 16
    venues_max: int = 32
    linger_ns: int = 90_000_000_000


class SlowStep(msgspec.Struct, frozen=True, kw_only=True):
    """One of the slowest steps of the day, with the way to its trace and to the journal."""

    stage: str
    duration_us: float
    venue: str
    instrument_id: str
    cl_ord_id: str
    trace_id: str
    journal_id: int
    ts_ns: int


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a trace that is complete: how it ended and which step took longest."""

    cl_ord_id: str
    trace_id: str
    venue: str
    instrument_id: str
    status: str
    duration_us: float
    slowest_stage: str
    slowest_us: float
    troubled: bool
    ts_ns: int


class TraceBook:
    """Rows in, samples counted, complete traces out."""

    def __init__(self, limits: TraceLimits | None = None) -> None:
        self.limits = limits or TraceLimits()
        self._open: OrderedDict[tuple[str, str], OrderTrace] = OrderedDict()
        self._ended: OrderedDict[tuple[str, str], OrderTrace] = OrderedDict()
        self._compared: dict[str, tuple[int, Mark]] = {}
        self._stages: dict[str, dict[str, LogHistogram]] = {}
        self._slow: dict[tuple[str, str], list[tuple[int, int, SlowStep]]] = {}
        self._finished: deque[Finished] = deque(maxlen=self.limits.finished_max)
        self._missing: dict[tuple[str, str], None] = {}
        self._day = 0
        self._considered = 0
        self.routes = Routes()
        self.seq = 0
        self.rows = 0
        self.orders = 0
        self.evicted = 0

    # In

    def take(self, traced: TracedRow) -> None:
        """The next row of the journal; one that was taken before changes nothing."""
        row = traced.row
        if row.seq <= self.seq:
            return
        self.seq = row.seq
        self.rows += 1
        body = traced.body
        if isinstance(body, ReconcileBody):
            mark = Mark(row.seq, traced.outbox_id, row.epoch, row.ts_ns, text=body.text[:160])
            self._reconcile(row.venue, mark, ok=body.ok)
        elif row.kind is JournalKind.EPOCH:
            for trace in self._open.values():
                if trace.venue == row.venue and trace.ack is None:
                    trace.doubted(traced, "a restart")
        elif row.cl_ord_id:
            self._order(traced, row)

    def compared(self, venue: str, at_ns: int, text: str) -> None:
        """The desk compared the account of a venue with the venue's own as of ``at_ns``, and nothing was left open."""
        known = self._compared.get(venue)
        if known is None or known[0] < at_ns:
            self._compared[venue] = (at_ns, Mark(0, 0, 0, at_ns, text=text))

    def adopt(self, trace: OrderTrace) -> None:
        """An order that was placed before this book began, from its rows up to `seq`."""
        key = (trace.venue, trace.cl_ord_id)
        self._missing.pop(key, None)
        if key not in self._open and key not in self._ended:
            (self._open if trace.end is None else self._ended)[key] = trace
            self._bound()

    def missing(self) -> list[tuple[str, str]]:
        """(venue, cl_ord_id) of orders that rows spoke of and of which the book has no beginning; asked for once."""
        missing = list(self._missing)
        self._missing.clear()
        return missing

    def due(self, now_ns: int) -> list[OrderTrace]:
        """Traces that are complete: compared after their end, or waited for long enough. In the order of their ends."""
        due: list[OrderTrace] = []
        while self._ended:
            key, trace = next(iter(self._ended.items()))
            end = trace.end
            assert end is not None
            found = self._compared.get(trace.venue)
            if trace.recon is None and found is not None and found[0] >= end.at_ns:
                self._count(trace, trace.reconciled(found[1], ok=True))
            late = now_ns - end.at_ns >= self.limits.linger_ns or len(self._ended) > self.limits.ended_max
            if trace.recon is None and not late:
                break
            del self._ended[key]
            self._finished.append(_finished(trace))
            due.append(trace)
        return due

    # Out

    def get(self, cl_ord_id: str) -> OrderTrace | None:
        """A trace that is open or waits for reconciliation, whatever its venue."""
        for held in (self._open, self._ended):
            for (_, name), trace in held.items():
                if name == cl_ord_id:
                    return trace
        return None

    def get_of(self, venue: str, cl_ord_id: str) -> OrderTrace | None:
        """The same where the venue is known."""
        key = (venue, cl_ord_id)
        return self._open.get(key) or self._ended.get(key)

    def open_by_venue(self) -> dict[str, int]:
        """How many orders of each venue are open."""
        return dict(Counter(venue for venue, _ in self._open))

    def stages(self) -> dict[str, dict[str, LogHistogram]]:
        """Distributions by venue and stage."""
        return self._stages

    def slow(self, stage: str = "") -> list[SlowStep]:
        """The slowest steps of the UTC day, the slowest first; without a stage those of all that do not merely wait."""
        found = [
            entry
            for (_, name), heap in self._slow.items()
            if (name == stage if stage else name not in WAITS)
            for entry in heap
        ]
        return [step for _, _, step in sorted(found, key=lambda one: -one[0])]

    def finished(self) -> list[Finished]:
        """The newest complete traces, newest first."""
        return list(reversed(self._finished))

    def sizes(self) -> dict[str, int]:
        """How much is remembered."""
        return {"open": len(self._open), "ended": len(self._ended), "finished": len(self._finished)}

    # How

    def _order(self, traced: TracedRow, row: JournalRow) -> None:
        key = (row.venue, row.cl_ord_id)
        trace = self._open.get(key) or self._ended.get(key)
        if trace is None:
            placed = isinstance(traced.body, PlaceBody) or row.kind is JournalKind.DENIED
            if not placed:
                if len(self._missing) < self.limits.missing_max:
                    self._missing[key] = None
                return
            trace = self._open[key] = OrderTrace(cl_ord_id=row.cl_ord_id, venue=row.venue)
            self.orders += 1
            self._bound()
        self._count(trace, trace.take(traced), row)
        self.routes.take(traced, trace)
        self._replaced(traced, row)
        if trace.end is not None and key in self._open:
            self._ended[key] = self._open.pop(key)

    def _replaced(self, traced: TracedRow, row: JournalRow) -> None:
        """The ack of an amendment is the end of what it amended, which has no row of its own."""
        body = traced.body
        if isinstance(body, AmendedBody):
            amendment = self._open.get((row.venue, row.cl_ord_id))
            key = (row.venue, "" if amendment is None else amendment.replaces)
        elif isinstance(body, ReportBody) and body.report.exec_type is ExecType.REPLACED:
            key = (row.venue, body.report.orig_cl_ord_id or "")
        else:
            return
        original = self._open.get(key)
        if original is not None and original.cl_ord_id != row.cl_ord_id:
            self._count(original, original.replaced(traced, body), row)
            self._ended[key] = self._open.pop(key)

    def _reconcile(self, venue: str, mark: Mark, *, ok: bool) -> None:
        for trace in self._ended.values():
            if trace.venue == venue and trace.end is not None and trace.end.at_ns <= mark.at_ns:
                self._count(trace, trace.reconciled(mark, ok=ok))

    def _bound(self) -> None:
        while len(self._open) > self.limits.open_max:
            self._open.popitem(last=False)
            self.evicted += 1

    def _count(self, trace: OrderTrace, samples: Iterable[Sample], row: JournalRow | None = None) -> None:
        venue = trace.venue if trace.venue in self._stages or len(self._stages) < self.limits.venues_max else "others"
        stages = self._stages.setdefault(venue, {})
        for stage, ns in samples:
            stages.setdefault(stage, LogHistogram()).add(ns)
            if row is not None:
                self._consider(trace, venue, stage, ns, row)

    def _consider(self, trace: OrderTrace, venue: str, stage: str, ns: int, row: JournalRow) -> None:
        day = row.ts_ns // DAY_NS
        if day > self._day:
            self._day, self._slow = day, {}
        heap = self._slow.setdefault((venue, stage), [])
        if day < self._day or (len(heap) >= self.limits.slow_max and ns <= heap[0][0]):
            return
        step = SlowStep(
            stage=stage,
            duration_us=round(ns / 1e3, 1),
            venue=trace.venue,
            instrument_id=trace.instrument_id,
            cl_ord_id=trace.cl_ord_id,
            trace_id=trace_id_of(trace.cl_ord_id),
            journal_id=row.seq,
            ts_ns=row.ts_ns,
        )
        self._considered += 1
        entry = (ns, self._considered, step)
        if len(heap) < self.limits.slow_max:
            heapq.heappush(heap, entry)
        else:
            heapq.heapreplace(heap, entry)

    def merged(self, venues: Iterable[str] | None = None) -> dict[str, LogHistogram]:
        """Distributions by stage, of some venues or of all together."""
        wanted = None if venues is None else set(venues)
        merged: dict[str, LogHistogram] = {}
        for venue, stages in self._stages.items():
            if wanted is None or venue in wanted:
                for stage, histogram in stages.items():
                    merged.setdefault(stage, LogHistogram()).merge(histogram)
        return merged


def _finished(trace: OrderTrace) -> Finished:
    root, *steps = trace.spans()
    timed = [step for step in steps if step.name not in {"rest", "recon"}]
    slowest: Span = max(timed, key=lambda step: step.duration_ns, default=root)
    return Finished(
        cl_ord_id=trace.cl_ord_id,
        trace_id=trace.trace_id,
        venue=trace.venue,
        instrument_id=trace.instrument_id,
        status=trace.status,
        duration_us=round(root.duration_ns / 1e3, 1),
        slowest_stage=slowest.name,
        slowest_us=round(slowest.duration_ns / 1e3, 1),
        troubled=trace.troubled,
        ts_ns=root.end_ns,
    )
