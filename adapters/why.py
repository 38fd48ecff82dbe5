"""Why did we do that? Reads the journal and tells one order's story, from the tick to the ledger entries.

Reads only; works beside a running writer. What the journal does not hold it does not tell.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from adapters.journal.reader import JournalReader, chained_seq, open_journal, read_rows, rows_of
from trading.arbiter.story import tell_story
from trading.orders.journal_rows import (
    AmendedBody,
    CancelBody,
    CrossBody,
    DeniedBody,
    FundingBody,
    InPlace,
    JournalKind,
    JournalRow,
    NoteBody,
    PlaceBody,
    ProtectBody,
    ReconcileBody,
    ReportBody,
    decode_body,
)
from trading.orders.messages import ApprovedOrder, ExecType, ExecutionReport
from trading.risk.checks import tell_checks
from trading.telemetry.ids import trace_id_of

NEAREST_IDS = 5
_NEWEST_ROWS = 4_000


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, when (UTC), and the journal row that proves it (None: told by another row)."""

    name: str
    ts_ns: int
    text: str
    seq: int | None = None


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """An order from tick to ledger. ``trace`` is the cause id that all its messages carry, ``trace_id`` its trace's."""

    cl_ord_id: str
    venue: str
    instrument_id: str
    trace: str
    trace_id: str
    epoch: int
    steps: tuple[Step, ...]

    def to_text(self) -> str:
        """The story in words, one line per step, with the time since the step before."""
        head = f"{self.cl_ord_id} on {self.venue}, {self.instrument_id}: epoch {self.epoch}, cause {self.trace}"
        lines = [f"{head}, trace {self.trace_id}"]
        previous: int | None = None
        for step in self.steps:
            took = "" if previous is None or step.ts_ns < previous else f"+{_duration(step.ts_ns - previous)}"
            row = f" [row {step.seq}]" if step.seq is not None else ""
            lines.append(f"  {took:>10}  {step.name}: {step.text}{row}")
            previous = step.ts_ns
        return "\n".join(lines)


class UnknownOrder(Exception):  # noqa: N818 - named for what happened
    """The journal has never heard of the order; ``nearest`` are ids that look like it."""

    def __init__(self, cl_ord_id: str, nearest: tuple[str, ...]) -> None:
        hint = f"; nearest: {', '.join(nearest)}" if nearest else "; the journal holds no orders"
        super().__init__(f"no order {cl_ord_id} in the journal{hint}")
        self.cl_ord_id = cl_ord_id
        self.nearest = nearest

    def __reduce__(self) -> tuple[type[UnknownOrder], tuple[str, tuple[str, ...]]]:
        """Survive pickling with the facts."""
        return (UnknownOrder, (self.cl_ord_id, self.nearest))


def why(where: Path | str, cl_ord_id: str) -> Story:
    """The story of an order. `UnknownOrder` when there is none, ``FileNotFoundError`` when there is no journal."""
    journal = open_journal(where)
    try:
        rows = rows_of(journal, cl_ord_id)
        if not rows:
            ids = sorted(_candidates(journal, cl_ord_id))
            raise UnknownOrder(cl_ord_id, tuple(difflib.get_close_matches(cl_ord_id, ids, NEAREST_IDS, 0.0)))
    finally:
        journal.close()
    return story_of(cl_ord_id, rows)


def _candidates(journal: JournalReader, cl_ord_id: str) -> set[str]:
    """Ids worth comparing: the neighbours by name and the newest; a year's journal is not compared whole."""
    ids = journal.ids_near(cl_ord_id, _NEWEST_ROWS)
    return ids | {row.cl_ord_id for row in read_rows(journal, chained_seq(journal) + 1) if row.cl_ord_id}


def story_of(cl_ord_id: str, rows: Iterable[JournalRow]) -> Story:
    """The story told by the rows of one order, in order; ``ValueError`` without rows."""
    rows = list(rows)
    if not rows:
        raise ValueError(f"no rows of {cl_ord_id}")
    steps: list[Step] = []
    instrument_id = trace = ""
    sent_told = False
    for row in rows:
        body = decode_body(row.body)
        if isinstance(body, PlaceBody):
            instrument_id, trace = body.approved.order.instrument_id, body.approved.order.cause
            steps += _before_the_journal(body.approved)
        if isinstance(body, ReportBody | AmendedBody) and body.sent_ns and not sent_told:
            sent_told = True
            steps.append(Step(name="sent", ts_ns=body.sent_ns, text="durable, released to the order gateway"))
        steps += _told(row)
    return Story(
        cl_ord_id=cl_ord_id,
        venue=rows[0].venue,
        instrument_id=instrument_id,
        trace=trace,
        trace_id=trace_id_of(cl_ord_id),
        epoch=rows[0].epoch,
        steps=tuple(steps),
    )


def _before_the_journal(approved: ApprovedOrder) -> list[Step]:
    o = approved.order
    legs = ", ".join(f"{leg.strategy_id} {leg.qty} ({leg.intent_id})" for leg in o.legs)
    told = "; ".join(f"{name}: {text}" for name, text in tell_story(o).items())
    checks = "; ".join(f"{name} {use}" for name, use in tell_checks(approved).items())
    price = "market" if o.price is None else f"at {o.price}"
    return [
        Step(name="tick", ts_ns=o.book_ts_recv_ns, text=f"book update {o.book_update_id}, reference {o.ref_price}"),
        Step(name="intents", ts_ns=o.ts_init_ns, text=legs),
        Step(
            name="netting",
            ts_ns=o.ts_init_ns,
            text=f"{o.side.value} {o.order_qty} {price} {o.time_in_force.value}" + (f"; {told}" if told else ""),
        ),
        Step(name="risk", ts_ns=approved.ts_init_ns, text=f"approved: {checks or 'no limits listed'}"),
    ]


def _told(row: JournalRow) -> list[Step]:
    body = decode_body(row.body)

    def step(name: str, text: str) -> Step:
        return Step(name=name, ts_ns=row.ts_ns, text=text, seq=row.seq)

    match body:
        case PlaceBody():
            replaced = body.approved.order.replaces
            words = f"in place of {replaced}" if replaced else "before anything was sent"
            if body.in_place is not None:
                words = _amends(body.in_place, replaced or "")
            elif (listed := body.approved.order.contingency) is not None:
                words += f", a leg of list {listed.list_id} ({listed.contingency_type.value.replace('_', ' ')})"
            return [step("journal", f"{row.kind.value}, {words}, fencing token {body.approved.epoch}")]
        case CancelBody():
            return [step("cancel", f"{body.cancel.reason} (as {body.cancel_id})")]
        case ReportBody():
            return _reported(body, row)
        case AmendedBody(report=m):
            source = " (answer to a query)" if body.from_status else ""
            words = f"amended in place: {m.order_qty} at {m.price}, {m.cum_qty} of it executed{source}"
            return [step(row.kind.value, f"{words}, order id {m.order_id}")]
        case DeniedBody():
            return [step("denied", f"{body.denied.reason.value}: {body.denied.text}")]
        case NoteBody():
            return [step("unknown" if row.kind is JournalKind.UNKNOWN else row.kind.value, body.text)]
        case FundingBody() | CrossBody() | ReconcileBody() | ProtectBody():
            return [step(row.kind.value, "")]


def _amends(found: InPlace, replaced: str) -> str:
    """What an amendment in place is of, as it was before."""
    was = f"{found.old_qty} at {found.old_price}, {found.base_qty} of it executed"
    return f"amends {replaced} in place, at the venue {found.wire_id}: {was}"


def _reported(body: ReportBody, row: JournalRow) -> list[Step]:
    report = body.report
    source = " (answer to a query)" if body.from_status else ""
    if report.exec_type is not ExecType.TRADE or body.from_status:
        words = f"{report.ord_status.value} {report.text}".rstrip() + source
        if report.order_id:
            words += f", order id {report.order_id}"
        return [Step(name=row.kind.value, ts_ns=row.ts_ns, text=words, seq=row.seq)]
    role = f" as {report.liquidity.value}" if report.liquidity is not None else ""
    legs = ", ".join(f"{leg.strategy_id} {leg.qty}" for leg in body.legs)
    return [
        Step(
            name=row.kind.value,
            ts_ns=row.ts_ns,
            text=f"{report.last_qty} at {report.last_px}{role}, execution {report.exec_id}, for {legs}",
            seq=row.seq,
        ),
        Step(name="fee", ts_ns=row.ts_ns, text=f"{report.fee:f} {report.fee_asset}"),
        Step(name="ledger", ts_ns=row.ts_ns, text=_entry(report)),
    ]


def _entry(m: ExecutionReport) -> str:
    return f"entry {m.venue}:{m.exec_id}, position {m.side.sign * m.last_qty:+} {m.instrument_id}"


def _duration(ns: int) -> str:
    if ns < 1_000_000:
        return f"{ns / 1e3:.0f}us"
    return f"{ns / 1e6:.1f}ms" if ns < 1_000_000_000 else f"{ns / 1e9:.2f}s"
