"""Finance for operators: GETs made of the journal. Owns these endpoints; what is read is `api.finance_desk`'s."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import web

from adapters.finance import cells_of
from api import finance_schemas as schemas
from api.finance_desk import Behind, Busy, Dropped, FinanceDesk, Unread
from api.openapi import Endpoint
from api.projection import Projection, decimal_of
from api.schemas import Trouble
from trading.finance.periods import Period, day_number
from trading.finance.prices import Mark
from trading.finance.report import Asked
from trading.finance.statement import Line, LineKind
from trading.ledger.portfolio import DAY_NS
from trading.operators import Topic

PERIODS_MAX: Final = 400
LINES_MAX: Final = 1_000
_RANGE = (
    ("from", "the first day, YYYY-MM-DD (UTC)", False),
    ("to", "the last day, YYYY-MM-DD (UTC)", False),
    ("venue", "only this venue, by its name in the journal", False),
)
_KIND = ("kind", f"only these, comma-separated: {', '.join(kind.value for kind in LineKind)}", False)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", "/api/ui/finance/summary", "finance_summary", "Balances, equity, PnL by period",
        schemas.FinanceSummaryAnswer,
        query=(*_RANGE, ("by", "day (unless told), week or month", False)), errors=(400, 503),
    ),
    Endpoint(
        "GET", "/api/ui/finance/statement", "finance_statement", "Every movement of cash", schemas.StatementAnswer,
        query=(*_RANGE, _KIND, ("limit", f"at most so many lines, {LINES_MAX} unless told", False)), errors=(400, 503),
    ),
    Endpoint(
        "GET", "/api/ui/finance/export", "finance_export", "The statement as a file",
        query=(*_RANGE, _KIND, ("format", "csv", False)), content_type="text/csv", errors=(400, 413, 503),
    ),
)  # fmt: skip

Refuse = Callable[[Trouble, int], web.Response]


class _Refused(Exception):  # noqa: N818 - named for what happened
    """What was asked for makes no sense."""

    def __init__(self, field: str, message: str, mend: str) -> None:
        super().__init__(message)
        self.trouble = Trouble(field=field, message=message, mend=mend)


class Finance:
    """The handlers, one for each row of ENDPOINTS, by name. ``answer`` and ``refuse`` are the face's own."""

    def __init__(
        self, projection: Projection, desk: FinanceDesk, answer: Callable[[object], web.Response], refuse: Refuse
    ) -> None:
        self._projection = projection
        self._desk = desk
        self._answer = answer
        self._refuse = refuse

    def handler(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The function of one row, with its refusals as answers."""
        serve: Callable[[web.Request], Awaitable[web.StreamResponse]] = getattr(self, name)

        async def refusing(request: web.Request) -> web.StreamResponse:
            try:
                return await serve(request)
            except _Refused as refused:
                return self._refuse(refused.trouble, 400)
            except Dropped as dropped:
                since = datetime.fromtimestamp(dropped.newest_ns / 1e9, UTC).isoformat(timespec="seconds")
                mend = f"ask from the day after {since}, or run: propdesk finance --export FILE.csv"
                return self._refuse(Trouble(field="from", message=str(dropped), mend=mend), 413)
            except (Behind, Busy, *Unread) as error:
                mend = "ask again in a second, or run: propdesk finance"
                return self._refuse(Trouble(field="journal", message=str(error)[:300], mend=mend), 503)

        return refusing

    async def finance_summary(self, request: web.Request) -> web.StreamResponse:
        """What the desk has and what it made."""
        asked = _asked(request)
        found = await self._desk.summary(asked, self._marks())
        periods = found["periods"]
        assert isinstance(periods, list)
        return self._answer(
            {
                **found,
                "periods": periods[-PERIODS_MAX:],
                "periods_left_out": max(0, len(periods) - PERIODS_MAX),
                "ts_ns": self._projection.clock.wall_ns(),
            }
        )

    async def finance_statement(self, request: web.Request) -> web.StreamResponse:
        """Every movement of cash, the newest first."""
        asked, kinds = _asked(request), _kinds(request)
        page = await self._desk.statement(_wanted(asked, kinds), _limit(request))
        return self._answer(
            {
                **msgspec.structs.asdict(page),
                "lines": [cells_of(line) for line in page.lines],
                "ts_ns": self._projection.clock.wall_ns(),
            }
        )

    async def finance_export(self, request: web.Request) -> web.StreamResponse:
        """The statement as CSV, the oldest line first."""
        if request.query.get("format", "csv") != "csv":
            raise _Refused("format", "only csv is made here", "for Parquet run: propdesk finance --export FILE.parquet")
        asked, kinds = _asked(request), _kinds(request)
        chunks = await self._desk.csv(_wanted(asked, kinds), asked.from_day)
        headers = {"Content-Disposition": 'attachment; filename="statement.csv"', "Cache-Control": "no-store"}
        response = web.StreamResponse(headers={**headers, "Content-Type": "text/csv; charset=utf-8"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    def _marks(self) -> dict[str, Mark]:
        """The middle of every book that is proved just now."""
        found = {}
        for entry in self._projection.facts(Topic.BOOK):
            bid, ask = decimal_of(entry.body.get("bid")), decimal_of(entry.body.get("ask"))
            if str(entry.body.get("state")) == "synced" and bid and ask and bid > 0:
                found[entry.key] = Mark(price=(bid + ask) / 2, source="book", ts_ns=entry.ts_ns)
        return found


def _asked(request: web.Request) -> Asked:
    query = request.query
    days: list[int | None] = []
    for name in ("from", "to"):
        try:
            days.append(day_number(query[name]) if query.get(name) else None)
        except ValueError as error:
            raise _Refused(name, str(error), "give a UTC day as YYYY-MM-DD") from None
    first, last = days
    if first is not None and last is not None and last < first:
        raise _Refused("to", "the last day is before the first", "exchange them")
    by = query.get("by", "day")
    if by not in {period.value for period in Period}:
        raise _Refused("by", f"{by[:20]!r} is no period", "use day, week or month")
    return Asked(by=Period(by), from_day=first, to_day=last, venue=query.get("venue", "")[:80])


def _kinds(request: web.Request) -> frozenset[str]:
    known = [kind.value for kind in LineKind]
    asked = frozenset(part for part in request.query.get("kind", "").split(",") if part)
    unknown = sorted(asked.difference(known))
    if unknown:
        raise _Refused("kind", f"{unknown[0][:20]!r} is no kind of line", f"use any of {', '.join(known)}")
    return asked


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LINES_MAX))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) >= 1):
        raise _Refused("limit", f"{text[:20]!r} is no count", f"give a number from 1 to {LINES_MAX}")
    return min(int(text), LINES_MAX)


def _wanted(asked: Asked, kinds: frozenset[str]) -> Callable[[Line], bool]:
    def wanted(line: Line) -> bool:
        return (
            asked.has(line.ts_ns // DAY_NS)
            and asked.venue in {"", line.venue}
            and (not kinds or line.kind.value in kinds)
        )

    return wanted
