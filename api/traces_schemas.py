"""The bodies of latency and traces as pydantic models: documentation that tests hold true."""

from __future__ import annotations

from pydantic import BaseModel

from api.schemas import Answer, Body


class StageAnswer(BaseModel):
    """One stage: quantiles in microseconds (at most 1/32 off), the longest, how many."""

    p50_us: float
    p95_us: float
    p99_us: float
    p999_us: float
    max_us: float
    n: int


class LatencyAnswer(Answer):
    """Distributions of every stage of orders: of all venues together, by venue, and the desk's own path to the wire.

    ``means`` says from where to where each stage is timed. ``live`` are the order core's own facts, to the wire.
    """

    stages: dict[str, StageAnswer]
    venues: dict[str, dict[str, StageAnswer]]
    live: dict[str, Body]
    means: dict[str, str]
    orders: int
    rows: int
    behind: int
    trouble: str
    ts_ns: int


class SlowStepAnswer(BaseModel):
    """One of the slowest steps of the day."""

    stage: str
    duration_us: float
    venue: str
    instrument_id: str
    cl_ord_id: str
    trace_id: str
    journal_id: int
    ts_ns: int
    trace: str


class FinishedAnswer(BaseModel):
    """One finished trace in short."""

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
    trace: str


class RouteAnswer(BaseModel):
    """The last minute of one route."""

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


class TracesAnswer(Answer):
    """The slowest steps of the UTC day, finished traces (newest first), routes, and how the export fares."""

    slow: list[SlowStepAnswer]
    finished: list[FinishedAnswer]
    routes: list[RouteAnswer]
    open: int
    export: Body
    ts_ns: int


class SpanAnswer(BaseModel):
    """One step, UTC nanoseconds. ``error`` is empty where nothing went wrong."""

    name: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    duration_us: float
    journal_id: int
    outbox_id: int
    error: str
    attributes: dict[str, str | int | bool]


class TraceAnswer(Answer):
    """The trace of one order, its root first."""

    cl_ord_id: str
    trace_id: str
    venue: str
    instrument_id: str
    status: str
    spans: list[SpanAnswer]
    ts_ns: int
