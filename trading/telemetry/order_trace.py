"""One order's trace: fed with its journal rows, it times the stages as they end and tells its spans at any time.

A pure function of the rows, so that the same journal gives the same trace, in whichever process and however often.
"""

from __future__ import annotations

from typing import Final

import msgspec

from trading.orders.fsm import OrderEvent
from trading.orders.journal_rows import (
    AmendedBody,
    CancelBody,
    DeniedBody,
    JournalKind,
    JournalRow,
    NoteBody,
    PlaceBody,
    ReportBody,
    RowBody,
)
from trading.orders.messages import ExecType
from trading.telemetry.ids import ROOT, span_id_of, trace_id_of
from trading.telemetry.stages import decision_of

FILLS_KEPT: Final = 64
CANCELS_KEPT: Final = 8
DOUBTS_KEPT: Final = 8
_TEXT_MAX = 160
Value = str | int | bool
Sample = tuple[str, int]
"""A stage that ended, and how long it took, nanoseconds."""

_NOTED_ENDS: Final = {
    OrderEvent.CANCELED.value: "canceled",
    OrderEvent.EXPIRED.value: "expired",
    OrderEvent.REJECTED.value: "rejected",
    OrderEvent.NOT_FOUND.value: "rejected",
}


class TracedRow(msgspec.Struct, frozen=True):
    """A journal row with its body and the place of its commit: ``outbox_id`` is the first row of the transaction."""

    row: JournalRow
    body: RowBody
    outbox_id: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a trace (UTC ns). ``journal_id`` is the row that tells of it, 0 where no row does."""

    name: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    journal_id: int
    outbox_id: int
    attributes: dict[str, Value] = {}
    error: str = ""

    @property
    def duration_ns(self) -> int:
        """How long it took; 0 where clocks stepped back."""
        return max(0, self.end_ns - self.start_ns)


class Mark(msgspec.Struct, frozen=True):
    """A moment that a row tells of. ``heard_ns``: when the venue's word reached us; ``venue_ns``: by its own clock."""

    seq: int
    outbox_id: int
    epoch: int
    at_ns: int
    heard_ns: int = 0
    venue_ns: int = 0
    text: str = ""
    by_query: bool = False

    @property
    def known_ns(self) -> int:
        """When we first knew."""
        return self.heard_ns or self.at_ns


_NOWHERE = Mark(0, 0, 0, 0)


class OrderTrace(msgspec.Struct, kw_only=True):
    """What is known of one order's course. Times are UTC nanoseconds, 0 not known."""

    cl_ord_id: str
    venue: str
    instrument_id: str = ""
    strategies: tuple[str, ...] = ()
    side: str = ""
    order_qty: str = ""
    replaces: str = ""
    cause: str = ""
    fencing_token: int = 0
    book_ns: int = 0
    decided_ns: int = 0
    answers_book: bool = False
    proposed_ns: int = 0
    approved_ns: int = 0
    sent_ns: int = 0
    place: Mark | None = None
    ack: Mark | None = None
    fills: list[Mark] = []
    fills_count: int = 0
    cancels: list[Mark] = []
    doubts: list[tuple[Mark, Mark | None]] = []
    end: Mark | None = None
    status: str = ""
    recon: Mark | None = None
    recon_ok: bool = True
    last_seq: int = 0

    @property
    def trace_id(self) -> str:
        """Of all its spans."""
        return trace_id_of(self.cl_ord_id)

    @property
    def troubled(self) -> bool:
        """Whether it is worth a look whatever share of traces is kept: refused, in doubt, or not reconciled."""
        return bool(self.doubts) or self.status in {"rejected", "denied"} or not self.recon_ok

    def take(self, traced: TracedRow) -> list[Sample]:
        """The next row of the order; the stages that it ends."""
        body = traced.body
        self.last_seq = traced.row.seq
        match body:
            case PlaceBody():
                return self._placed(traced, body)
            case CancelBody():
                if len(self.cancels) < CANCELS_KEPT:
                    self.cancels.append(_mark(traced, text=body.cancel.reason))
                return []
            case ReportBody():
                return self._reported(traced, body)
            case AmendedBody():
                return self._amended(traced, body)
            case DeniedBody():
                self.instrument_id = self.instrument_id or body.denied.instrument_id
                self.strategies = self.strategies or tuple(leg.strategy_id for leg in body.denied.legs)
                return self._ended(_mark(traced, text=f"{body.denied.reason.value}: {body.denied.text}"), "denied")
            case NoteBody():
                return self._noted(traced, body)
            case _:
                return []

    def doubted(self, traced: TracedRow, text: str) -> None:
        """Its outcome is in doubt from here on, until evidence."""
        if self.end is None and len(self.doubts) < DOUBTS_KEPT and not (self.doubts and self.doubts[-1][1] is None):
            self.doubts.append((_mark(traced, text=text), None))

    def replaced(self, traced: TracedRow, body: ReportBody | AmendedBody) -> list[Sample]:
        """The row of its replacement's ack, which is its end."""
        self.last_seq = traced.row.seq
        return self._ended(_heard(traced, body, text=f"by {traced.row.cl_ord_id}"), "replaced")

    def reconciled(self, mark: Mark, *, ok: bool) -> list[Sample]:
        """The venue's account was compared after its end."""
        if self.recon is not None or self.end is None:
            return []
        self.recon, self.recon_ok = mark, ok
        return [("recon", mark.at_ns - self.end.at_ns)] if mark.at_ns >= self.end.at_ns and ok else []

    # What rows say

    def _placed(self, traced: TracedRow, body: PlaceBody) -> list[Sample]:
        order = body.approved.order
        self.instrument_id = order.instrument_id
        self.strategies = tuple(leg.strategy_id for leg in order.legs)
        self.side, self.order_qty = order.side.value, str(order.order_qty)
        self.replaces, self.cause = order.replaces or "", order.cause
        self.fencing_token = body.approved.epoch
        self.book_ns, self.proposed_ns = order.book_ts_recv_ns, order.ts_init_ns
        self.approved_ns = body.approved.ts_init_ns
        self.decided_ns, self.answers_book = decision_of(order)
        self.place = _mark(traced)
        samples = [("book_age", self.proposed_ns - self.book_ns)]
        if self.answers_book:
            samples.append(("ingest", self.decided_ns - self.book_ns))
        samples += [("signal", self.proposed_ns - self.decided_ns), ("route", self.approved_ns - self.proposed_ns)]
        return _sane(samples)

    def _amended(self, traced: TracedRow, body: AmendedBody) -> list[Sample]:
        """It took effect in place: its ack."""
        mark = _heard(traced, body, text=f"in place, order id {body.report.order_id}")
        samples = self._settled(mark)
        if self.ack is None:
            self.ack = mark
            self.sent_ns = self.sent_ns or body.sent_ns
            if self.sent_ns and not mark.by_query:
                samples += [("replace", mark.known_ns - self.sent_ns), ("ack", mark.at_ns - mark.known_ns)]
        return _sane(samples)

    def _reported(self, traced: TracedRow, body: ReportBody) -> list[Sample]:
        report = body.report
        mark = _heard(traced, body, text=report.text)
        samples = self._settled(mark)
        here = self.place is not None and self.place.epoch == traced.row.epoch
        if body.sent_ns and not self.sent_ns and here:
            # Of an order of an earlier life it only says when that life was taken over.
            self.sent_ns = body.sent_ns
            samples.append(("journal", self.sent_ns - self.approved_ns))
        if self.ack is None:
            self.ack = mark
            if not mark.by_query:
                stage = "replace" if report.exec_type is ExecType.REPLACED else "place"
                if self.sent_ns:
                    samples.append((stage, mark.known_ns - self.sent_ns))
                samples.append(("ack", mark.at_ns - mark.known_ns))
        if body.executed:
            self.fills_count += 1
            if len(self.fills) < FILLS_KEPT:
                words = f"{report.last_qty} at {report.last_px}, execution {report.exec_id}"
                self.fills.append(msgspec.structs.replace(mark, text=words))
            samples.append(("fill", mark.at_ns - mark.known_ns))
            if traced.row.kind is JournalKind.FILL:
                samples += self._ended(mark, "filled")
        elif traced.row.kind in {JournalKind.CANCELED, JournalKind.REJECT}:
            samples += self._ended(mark, report.ord_status.value)
        return _sane(samples)

    def _noted(self, traced: TracedRow, body: NoteBody) -> list[Sample]:
        event = body.facts.get("event", "")
        if event == OrderEvent.UNANSWERED.value:
            self.doubted(traced, body.text)
            return []
        status = _NOTED_ENDS.get(event)
        if status is None:
            return []
        mark = _mark(traced, text=body.text)
        return _sane([*self._settled(mark), *self._ended(mark, status)])

    def _settled(self, mark: Mark) -> list[Sample]:
        if not self.doubts or self.doubts[-1][1] is not None:
            return []
        since = self.doubts[-1][0]
        self.doubts[-1] = (since, mark)
        return [("unknown", mark.at_ns - since.at_ns)]

    def _ended(self, mark: Mark, status: str) -> list[Sample]:
        if self.end is not None:
            return []
        self.end, self.status = mark, status
        if status not in {"canceled", "expired"} or not self.cancels or mark.by_query:
            return []
        return _sane([("cancel", mark.known_ns - self.cancels[-1].at_ns)])

    # What it tells

    def spans(self) -> tuple[Span, ...]:
        """All that is known, the root first. Of an order that is still open the root ends with its newest step."""
        place, end = self.place, self.end
        steps: list[Span] = []

        def step(name: str, start_ns: int, end_ns: int, mark: Mark, **more: Value) -> None:
            error = str(more.pop("error", ""))
            steps.append(
                Span(
                    name=name,
                    span_id=span_id_of(self.cl_ord_id, name, mark.seq),
                    parent_id=span_id_of(self.cl_ord_id),
                    start_ns=start_ns,
                    end_ns=max(start_ns, end_ns),
                    journal_id=mark.seq,
                    outbox_id=mark.outbox_id,
                    attributes={**self._identity(mark), **more},
                    error=error[:_TEXT_MAX],
                )
            )

        if place is not None:
            step("ingest", self.book_ns, self.decided_ns, place, answers_book=self.answers_book, cause=self.cause)
            step("signal", self.decided_ns, self.proposed_ns, place)
            step("route", self.proposed_ns, self.approved_ns, place, route=self.venue)
            step("journal", self.approved_ns, self.sent_ns or place.at_ns, place)
        if self.ack is not None:
            if self.sent_ns:
                name = "replace" if self.replaces else "place"
                step(name, self.sent_ns, self.ack.known_ns, self.ack, **_venue_time(self.ack))
            step("ack", self.ack.known_ns, self.ack.at_ns, self.ack, by_query=self.ack.by_query)
            last = end or (self.fills[-1] if self.fills else None)
            if last is not None and last.seq != self.ack.seq:
                step("rest", self.ack.known_ns, last.known_ns, last)
        for fill in self.fills:
            step("fill", fill.known_ns, fill.at_ns, fill, execution=fill.text, **_venue_time(fill))
        for number, cancel in enumerate(self.cancels):
            until = self.cancels[number + 1].at_ns if number + 1 < len(self.cancels) else end.known_ns if end else 0
            step("cancel", cancel.at_ns, until or cancel.at_ns, cancel, reason=cancel.text)
        for since, proof in self.doubts:
            step("unknown", since.at_ns, proof.at_ns if proof else since.at_ns, since, error=since.text or "unanswered")
        if end is not None and self.status in {"rejected", "denied"}:
            step(self.status, end.known_ns, end.at_ns, end, error=end.text or self.status)
        if end is not None and self.recon is not None:
            error = "" if self.recon_ok else self.recon.text
            step("recon", end.at_ns, self.recon.at_ns, self.recon, text=self.recon.text, error=error)
        return (self._root(steps), *steps)

    def _root(self, steps: list[Span]) -> Span:
        starts = [step.start_ns for step in steps if step.start_ns]
        ends = [step.end_ns for step in steps]
        if self.end is not None:
            starts.append(self.end.at_ns)
            ends.append(self.end.at_ns)
        mark = self.place or self.end or self.ack or _NOWHERE
        failed = self.end is not None and self.status in {"rejected", "denied"}
        return Span(
            name=ROOT,
            span_id=span_id_of(self.cl_ord_id),
            parent_id="",
            start_ns=min(starts, default=0),
            end_ns=max(ends, default=0),
            journal_id=mark.seq,
            outbox_id=mark.outbox_id,
            attributes={
                **self._identity(mark),
                "side": self.side,
                "order_qty": self.order_qty,
                "status": self.status or "open",
                "executions": self.fills_count,
                **({"replaces": self.replaces, "replaces_trace": trace_id_of(self.replaces)} if self.replaces else {}),
            },
            error=(self.end.text or self.status)[:_TEXT_MAX] if failed and self.end is not None else "",
        )

    def _identity(self, mark: Mark) -> dict[str, Value]:
        return {
            "cl_ord_id": self.cl_ord_id,
            "venue": self.venue,
            "instrument_id": self.instrument_id,
            "strategy": ",".join(dict.fromkeys(self.strategies)),
            "journal_id": mark.seq,
            "outbox_id": mark.outbox_id,
            "epoch": mark.epoch,
            "fencing_token": self.fencing_token,
        }


def traced_order(rows: list[TracedRow]) -> OrderTrace | None:
    """The trace of one order from all its rows; None without rows."""
    if not rows:
        return None
    first = rows[0].row
    trace = OrderTrace(cl_ord_id=first.cl_ord_id, venue=first.venue)
    for traced in rows:
        trace.take(traced)
    return trace


def _mark(traced: TracedRow, *, text: str = "") -> Mark:
    row = traced.row
    return Mark(row.seq, traced.outbox_id, row.epoch, row.ts_ns, text=text[:_TEXT_MAX])


def _heard(traced: TracedRow, body: ReportBody | AmendedBody, *, text: str) -> Mark:
    row, report = traced.row, body.report
    return Mark(
        row.seq,
        traced.outbox_id,
        row.epoch,
        row.ts_ns,
        heard_ns=min(report.ts_init_ns, row.ts_ns),
        venue_ns=report.ts_event_ns,
        text=text[:_TEXT_MAX],
        by_query=body.from_status,
    )


def _venue_time(mark: Mark) -> dict[str, Value]:
    """The venue's own time: by its clock, which is not ours."""
    return {"venue_ts_ns": mark.venue_ns} if mark.venue_ns else {}


def _sane(samples: list[Sample]) -> list[Sample]:
    """Without those of a clock that stepped back between two stamps."""
    return [sample for sample in samples if sample[1] >= 0]
