"""Which way of an order is being refused: the newest outcomes of each venue and instrument, and the reasons.

A route is a venue and an instrument. What the venue rejects, what could not be sent and what stays unanswered are its
errors; what the desk's own brakes and limits refuse is not.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, deque
from typing import Final

import msgspec

from trading.orders.journal_rows import DeniedBody, JournalKind, NoteBody, PlaceBody, ReportBody
from trading.orders.messages import DenyReason
from trading.telemetry.ids import trace_id_of
from trading.telemetry.order_trace import OrderTrace, TracedRow

WINDOW_NS: Final = 60_000_000_000
ERRORS_MIN: Final = 3
SHARE_MIN: Final = 0.5
_ROUTES_MAX: Final = 256
_OUTCOMES_MAX: Final = 256
_NOT_SENT: Final = frozenset({DenyReason.VENUE_AWAY, DenyReason.RATE_BUDGET})
_CODE: Final = re.compile(r"-?\d{2,8}(?=[\s:])")
_NUMBERS: Final = re.compile(r"\d[\d.,:]*")


class RouteHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The last minute of a route: orders placed, errors and their commonest reason, the newest order in error."""

    venue: str
    instrument_id: str
    placed: int
    refused: int
    unanswered: int
    rejecting: bool
    reason: str
    cl_ord_id: str
    trace_id: str
    ts_ns: int


class _Outcome(msgspec.Struct, frozen=True):
    at_ns: int
    kind: str
    reason: str
    cl_ord_id: str


class Routes:
    """Outcomes by route, the newest 256 of each."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[tuple[str, str], deque[_Outcome]] = OrderedDict()

    def take(self, traced: TracedRow, trace: OrderTrace) -> None:
        """A row of an order that was placed."""
        if trace.place is None:
            return
        error = error_of(traced)
        if error is None and not isinstance(traced.body, PlaceBody):
            return
        key = (trace.venue, trace.instrument_id)
        outcomes = self._outcomes.get(key)
        if outcomes is None:
            outcomes = self._outcomes[key] = deque(maxlen=_OUTCOMES_MAX)
            if len(self._outcomes) > _ROUTES_MAX:
                self._outcomes.popitem(last=False)
        kind, reason = error or ("placed", "")
        outcomes.append(_Outcome(traced.row.ts_ns, kind, reason, trace.cl_ord_id))

    def health(self, now_ns: int) -> list[RouteHealth]:
        """Every route with an order in the last minute; those that reject first."""
        found = [
            _health(key, recent)
            for key, outcomes in self._outcomes.items()
            if (recent := [one for one in outcomes if now_ns - one.at_ns <= WINDOW_NS])
        ]
        return sorted(found, key=lambda one: (not one.rejecting, -(one.refused + one.unanswered), one.instrument_id))


def _health(key: tuple[str, str], recent: list[_Outcome]) -> RouteHealth:
    errors = [one for one in recent if one.kind != "placed"]
    placed = sum(one.kind == "placed" for one in recent)
    reasons = Counter(one.reason for one in errors)
    newest = errors[-1] if errors else recent[-1]
    return RouteHealth(
        venue=key[0],
        instrument_id=key[1],
        placed=placed,
        refused=sum(one.kind == "refused" for one in errors),
        unanswered=sum(one.kind == "unanswered" for one in errors),
        rejecting=len(errors) >= ERRORS_MIN and len(errors) >= SHARE_MIN * max(placed, len(errors)),
        reason=reasons.most_common(1)[0][0] if errors else "",
        cl_ord_id=newest.cl_ord_id,
        trace_id=trace_id_of(newest.cl_ord_id),
        ts_ns=newest.at_ns,
    )


def error_of(traced: TracedRow) -> tuple[str, str] | None:
    """(refused or unanswered, reason) when a row tells of an error of the route."""
    kind, body = traced.row.kind, traced.body
    if isinstance(body, DeniedBody):
        denied = body.denied
        return ("refused", f"{denied.reason.value}: {worded(denied.text)}") if denied.reason in _NOT_SENT else None
    if kind is JournalKind.REJECT:
        if isinstance(body, ReportBody):
            return "refused", worded(body.report.text) or "without a reason"
        if isinstance(body, NoteBody):
            return "refused", worded(body.text)
    if kind is JournalKind.UNKNOWN and isinstance(body, NoteBody):
        return "unanswered", worded(body.text)
    return None


def worded(text: str) -> str:
    """A reason without its numbers, so that equal reasons are equal words; the venue's code in front of it stays."""
    text = text.strip()
    code = _CODE.match(text)
    start = code.end() if code is not None else 0
    return (text[:start] + _NUMBERS.sub("#", text[start:]))[:80]
