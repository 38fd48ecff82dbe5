"""The lifecycle report: how orders fared at each venue, how long the venue took, what it refused and why.

Made from journal rows in one pass, in bounded memory.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from trading.orders.journal_rows import JournalKind, PlaceBody, ReportBody
from trading.telemetry.book import TraceBook
from trading.telemetry.ids import trace_id_of
from trading.telemetry.order_trace import TracedRow
from trading.telemetry.routes import error_of

TIMED: Final = {"place": "place -> ack", "cancel": "cancel -> canceled", "replace": "replace -> replaced"}
REASONS_MAX: Final = 64
REASONS_SHOWN: Final = 10
_OTHERS: Final = "other reasons"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of one route, how often, and the newest order that it hit."""

    kind: str
    reason: str
    instrument_id: str
    count: int
    cl_ord_id: str
    trace_id: str
    ts_ns: int


class VenueLifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """One venue. ``latency``: by stage, quantiles in microseconds; ``ends``: by final status."""

    placed: int
    amended: int
    executions: int
    canceled_by_us: int
    unanswered: int
    open: int
    ends: dict[str, int]
    latency: dict[str, dict[str, float]]
    error_share: float
    refusals: list[Refusal]


class LifecycleReport(msgspec.Struct, frozen=True, kw_only=True):
    """All venues, from the first row to the last (UTC ns)."""

    rows: int
    first_ns: int
    last_ns: int
    venues: dict[str, VenueLifecycle]


class _Counts(msgspec.Struct):
    placed: int = 0
    amended: int = 0
    executions: int = 0
    cancels: int = 0
    unanswered: int = 0
    errors: int = 0
    ends: Counter[str] = msgspec.field(default_factory=Counter)
    refusals: dict[tuple[str, str, str], tuple[int, str, int]] = {}


class Lifecycle:
    """Feed it every row in order, then ask for the report."""

    def __init__(self) -> None:
        self._book = TraceBook()
        self._venues: dict[str, _Counts] = {}
        self._first_ns = 0
        self._last_ns = 0

    def take(self, traced: TracedRow) -> None:
        """The next row."""
        row, body = traced.row, traced.body
        self._first_ns = self._first_ns or row.ts_ns
        self._last_ns = max(self._last_ns, row.ts_ns)
        self._book.take(traced)
        self._book.missing()
        self._closed(row.ts_ns)
        if not row.cl_ord_id:
            return
        counts = self._venues.setdefault(row.venue, _Counts())
        if isinstance(body, PlaceBody):
            counts.placed += 1
            counts.amended += row.kind is JournalKind.REPLACE
        elif row.kind is JournalKind.CANCEL:
            counts.cancels += 1
        elif isinstance(body, ReportBody) and body.executed:
            counts.executions += 1
        self._refused(traced, counts)

    def _refused(self, traced: TracedRow, counts: _Counts) -> None:
        error = error_of(traced)
        if error is None:
            return
        row = traced.row
        trace = self._book.get_of(row.venue, row.cl_ord_id)
        if trace is not None and trace.place is None:
            return
        kind, reason = error
        counts.errors += 1
        counts.unanswered += kind == "unanswered"
        key = (kind, reason, trace.instrument_id if trace is not None else "")
        if key not in counts.refusals and len(counts.refusals) >= REASONS_MAX:
            key = (kind, _OTHERS, "")
        count = counts.refusals.get(key, (0, "", 0))[0]
        counts.refusals[key] = (count + 1, row.cl_ord_id, row.ts_ns)

    def _closed(self, now_ns: int) -> None:
        for trace in self._book.due(now_ns):
            self._venues.setdefault(trace.venue, _Counts()).ends[trace.status] += 1

    def report(self) -> LifecycleReport:
        """What was seen so far."""
        self._closed(1 << 62)
        stages = self._book.stages()
        still = self._book.open_by_venue()
        return LifecycleReport(
            rows=self._book.rows,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
            venues={
                venue: VenueLifecycle(
                    placed=counts.placed,
                    amended=counts.amended,
                    executions=counts.executions,
                    canceled_by_us=counts.cancels,
                    unanswered=counts.unanswered,
                    open=still.get(venue, 0),
                    ends=dict(sorted(counts.ends.items())),
                    latency={
                        stage: histogram.facts()
                        for stage in TIMED
                        if (histogram := stages.get(venue, {}).get(stage)) is not None
                    },
                    error_share=round(counts.errors / counts.placed, 4) if counts.placed else 0.0,
                    refusals=_refusals(counts),
                )
                for venue, counts in sorted(self._venues.items())
            },
        )


def _refusals(counts: _Counts) -> list[Refusal]:
    found = [
        Refusal(
            kind=kind,
            reason=reason,
            instrument_id=instrument_id,
            count=count,
            cl_ord_id=cl_ord_id,
            trace_id=trace_id_of(cl_ord_id),
            ts_ns=ts_ns,
        )
        for (kind, reason, instrument_id), (count, cl_ord_id, ts_ns) in counts.refusals.items()
    ]
    return sorted(found, key=lambda one: -one.count)[:REASONS_SHOWN]
