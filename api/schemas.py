"""The bodies of the HTTP API as pydantic models: requests strict, answers as documentation that tests hold true.

Money and quantities are JSON numbers or decimal strings (`Number`); times are UTC nanoseconds.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from trading.brakes import parse_scope

API_VERSION = "1.0.0"

Number = int | float | str | None
Body = dict[str, object]


def _scope(text: str) -> str:
    parse_scope(text)
    return text


class ControlRequest(BaseModel):
    """What an operator may ask for. ``cause`` is journalled; ``scope`` is a brake scope."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    action: Literal["hold", "pause", "resume", "kill", "cancel_all", "unlock", "adopt"]
    scope: Annotated[str, AfterValidator(_scope)] = "global"
    cause: Annotated[str, Field(min_length=3, max_length=500)]


class Answer(BaseModel):
    """Answers may grow fields within a major version; readers ignore what they do not know."""

    model_config = ConfigDict(extra="allow")


class Trouble(BaseModel):
    """What is wrong, where, and how to mend it."""

    field: str
    message: str
    mend: str


class ErrorAnswer(BaseModel):
    """Every answer that is not a success."""

    error: Trouble


class HealthAnswer(Answer):
    """The process answers. It says nothing of trading: that is /live-readiness."""

    status: Literal["ok"]
    version: str
    ts: str


class ContextAnswer(Answer):
    """Market context as it was known last; null: never known, its source is down, or it is switched off."""

    enabled: bool
    btc_dominance_pct: float | None
    fear_greed: int | None
    fear_greed_class: str | None
    dxy: float | None
    breakers: dict[str, str]
    age_s: dict[str, float]
    errors: dict[str, str]
    limited: list[str]


class ReasonAnswer(Answer):
    """One reason of /live-readiness."""

    code: str
    detail: str
    fatal: bool
    advice_ru: str
    advice_en: str


class ReadinessAnswer(Answer):
    """HTTP 200 also when not ready: probes read ``ok``. ``ready`` equals ``ok``."""

    ok: bool
    ready: bool
    status: Literal["ok", "degraded", "fail"]
    reasons: list[ReasonAnswer]
    advice_ru: str
    metrics: dict[str, float]
    leader: bool
    fencing_token: int
    venue_halt: list[str]
    data_quorum: Body
    synthetic: bool
    ts_ns: int


class PermitAnswer(Answer):
    """The permit as the ops process may vouch for it."""

    epoch: Number
    valid: bool
    expires_in_ms: int
    vouched_ms: int
    feed_age_ms: int | None


class ControlStateAnswer(Answer):
    """Mode, brakes, permit."""

    ts_ns: int
    version: str
    profile: str
    global_mode: str
    trading: bool
    modes: Body
    brakes: list[Body]
    permit: PermitAnswer
    synthetic: bool
    sources: dict[str, str]
    orders: dict[str, Body]
    readiness: Body
    uptime_s: int


class ControlAnswer(Answer):
    """The desk's answer to a command."""

    done: bool
    command_id: str
    text: str
    body: Body


class ExecutionAnswer(Answer):
    """Orders and fills, newest first; latency by path and stage."""

    orders: list[Body]
    fills: list[Body]
    latency: dict[str, Body]
    ts_ns: int


class PnlPointAnswer(Answer):
    """One sample of the chart."""

    ts_ns: int
    total_usd: str
    realized_usd: str
    unrealized_usd: str
    by_strategy: dict[str, str]


class PnlAnswer(Answer):
    """The desk's PnL and its history, oldest first."""

    pnl: Body | None
    history: list[PnlPointAnswer]
    ts_ns: int


class NetGross(Answer):
    """USD as decimal strings."""

    net_usd: str
    gross_usd: str


class ExposureAnswer(Answer):
    """Net and gross."""

    total: NetGross
    by_venue: dict[str, NetGross]
    by_symbol: dict[str, NetGross]
    positions: list[Body]
    ts_ns: int


class BooksAnswer(Answer):
    """Books by instrument_id, venues by name."""

    books: dict[str, Body]
    venues: dict[str, Body]
    synthetic: bool
    ts_ns: int


class TreeAnswer(Answer):
    """Supervision trees by cell."""

    cells: dict[str, Body]
    ts_ns: int


class WhyAnswer(Answer):
    """The story of one order: the journal's, or where the desk did not answer, what the projection knows."""

    cl_ord_id: str
    source: Literal["journal", "projection"]
    text: str
    story: Body


class EventsAnswer(Answer):
    """Newest first."""

    events: list[Body]
    ts_ns: int


class StrategiesAnswer(Answer):
    """Views by strategy_id."""

    strategies: dict[str, Body]
    ts_ns: int


def first_trouble(error: ValidationError, model: type[BaseModel]) -> Trouble:
    """The first thing wrong with a body: one error at a time, with the mend."""
    fault = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in fault["loc"]) or "body"
    allowed = list(model.model_fields)
    match fault["type"]:
        case "json_invalid":
            mend = 'send one JSON object, for example {"action": "hold", "scope": "global", "cause": "drill"}'
        case "missing":
            mend = f"add the key {field!r}"
        case "extra_forbidden":
            close = difflib.get_close_matches(field, allowed, n=1)
            mend = f"rename it to {close[0]!r}" if close else f"remove it; allowed keys: {', '.join(allowed)}"
        case "literal_error":
            mend = f"use one of {fault['ctx']['expected']}"
        case "value_error":
            mend = "use global, venue:<venue>, symbol:<instrument_id> or strategy:<id>"
        case "string_too_short" | "string_too_long":
            mend = f"write between 3 and 500 characters in {field!r}"
        case _:
            mend = f"send {field!r} as documented in /openapi.json"
    return Trouble(field=field, message=fault["msg"], mend=mend)
