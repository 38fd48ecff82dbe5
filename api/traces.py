"""Latency and traces for operators: GETs made of the book of traces, or of the journal where that forgot an order.

Owns these endpoints. What is followed and remembered is `api.traces_desk`'s.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from api import traces_schemas as schemas
from api.correlation import trace_path
from api.openapi import Endpoint
from api.projection import Projection
from api.schemas import Trouble
from api.traces_desk import TraceDesk, Unread
from trading.operators import Topic
from trading.telemetry.histogram import LogHistogram
from trading.telemetry.order_trace import OrderTrace
from trading.telemetry.stages import STAGES

SHOWN_MAX: Final = 256
_CL_ORD_ID: Final = re.compile(r"^[A-Za-z0-9_.:-]{1,80}$")
_VENUE = ("venue", "only this venue, by its name in the journal", False)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", "/api/ui/ops/latency", "latency", "Latency by stage and venue", schemas.LatencyAnswer, query=(_VENUE,),
    ),
    Endpoint(
        "GET", "/api/ui/ops/traces", "traces", "Slow steps of the day, finished traces", schemas.TracesAnswer,
        query=(
            _VENUE, ("stage", "only slow steps of this stage", False),
            ("limit", f"at most so many of each, {SHOWN_MAX} unless told", False),
        ),
        errors=(400,),
    ),
    Endpoint(
        "GET", "/api/ui/ops/trace/{cl_ord_id}", "trace", "The trace of one order", schemas.TraceAnswer,
        query=(("cl_ord_id", "the order's ClOrdID", True),), errors=(400, 404, 503),
    ),
)  # fmt: skip

Refuse = Callable[[Trouble, int], web.Response]


class Traces:
    """The handlers, one for each row of ENDPOINTS, by name. ``answer`` and ``refuse`` are the face's own."""

    def __init__(
        self, projection: Projection, desk: TraceDesk, answer: Callable[[object], web.Response], refuse: Refuse
    ) -> None:
        self._projection = projection
        self._desk = desk
        self._answer = answer
        self._refuse = refuse

    def handler(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The function of one row."""
        serve: Callable[[web.Request], Awaitable[web.Response]] = getattr(self, name)
        return serve

    async def latency(self, request: web.Request) -> web.Response:
        """Distributions of every stage."""
        book = self._desk.book
        venue = request.query.get("venue", "")
        by_venue = {name: stages for name, stages in book.stages().items() if venue in {"", name}}
        return self._answer(
            {
                "stages": _facts(book.merged(by_venue)),
                "venues": {name: _facts(stages) for name, stages in sorted(by_venue.items())},
                "live": {entry.key: entry.body for entry in self._projection.facts(Topic.LATENCY)},
                "means": STAGES,
                "orders": book.orders,
                "rows": book.rows,
                "behind": self._desk.behind,
                "trouble": self._desk.trouble,
                "ts_ns": self._projection.clock.wall_ns(),
            }
        )

    async def traces(self, request: web.Request) -> web.Response:
        """What was slow, what finished, which routes reject."""
        book = self._desk.book
        venue, stage = request.query.get("venue", ""), request.query.get("stage", "")
        if stage and stage not in STAGES:
            return self._refuse(
                Trouble(field="stage", message=f"no stage {stage[:40]!r}", mend=f"use one of {', '.join(STAGES)}"), 400
            )
        text = request.query.get("limit", str(SHOWN_MAX))
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) >= 1):
            mend = f"give a number from 1 to {SHOWN_MAX}"
            return self._refuse(Trouble(field="limit", message=f"{text[:20]!r} is no count", mend=mend), 400)
        limit = min(int(text), SHOWN_MAX)
        now_ns = self._projection.clock.wall_ns()
        slow = [one for one in book.slow(stage) if venue in {"", one.venue}]
        finished = [one for one in book.finished() if venue in {"", one.venue}]
        exporter = self._desk.exporter
        return self._answer(
            {
                "slow": [_linked(one) for one in slow[:limit]],
                "finished": [_linked(one) for one in finished[:limit]],
                "routes": [one for one in book.routes.health(now_ns) if venue in {"", one.venue}][:limit],
                "open": book.sizes()["open"],
                "export": {"on": False} if exporter is None else {"on": True, **msgspec.to_builtins(exporter.counts)},
                "ts_ns": now_ns,
            }
        )

    async def trace(self, request: web.Request) -> web.Response:
        """One order, whole."""
        cl_ord_id = request.match_info["cl_ord_id"]
        if not _CL_ORD_ID.match(cl_ord_id):
            mend = "ask /api/ui/ops/trace/<id from /api/ui/execution>"
            return self._refuse(Trouble(field="cl_ord_id", message="not a ClOrdID", mend=mend), 400)
        try:
            trace = await self._desk.trace(cl_ord_id)
        except (TimeoutError, *Unread) as error:
            mend = "ask again in a second, or run: propdesk why"
            return self._refuse(Trouble(field="journal", message=str(error)[:300], mend=mend), 503)
        if trace is None:
            mend = "check the id; `propdesk why` names the nearest ones"
            return self._refuse(
                Trouble(field="cl_ord_id", message=f"no order {cl_ord_id} in the journal", mend=mend), 404
            )
        return self._answer(trace_body(trace, self._projection.clock.wall_ns()))


def trace_body(trace: OrderTrace, now_ns: int) -> dict[str, object]:
    """A trace as it is answered."""
    return {
        "cl_ord_id": trace.cl_ord_id,
        "trace_id": trace.trace_id,
        "venue": trace.venue,
        "instrument_id": trace.instrument_id,
        "status": trace.status or "open",
        "spans": [
            {**msgspec.structs.asdict(span), "duration_us": round(span.duration_ns / 1e3, 1)} for span in trace.spans()
        ],
        "ts_ns": now_ns,
    }


def _facts(stages: dict[str, LogHistogram]) -> dict[str, dict[str, float]]:
    return {stage: stages[stage].facts() for stage in STAGES if stage in stages}


def _linked(one: msgspec.Struct) -> dict[str, object]:
    body: dict[str, object] = msgspec.structs.asdict(one)
    return {**body, "trace": trace_path(str(body["cl_ord_id"]))}
