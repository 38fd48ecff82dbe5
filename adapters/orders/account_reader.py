"""Reading a whole account over REST: page after page, with the venue's limits in mind, or not at all."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from adapters.orders.account import OVERLAP_MS, AccountCursor, AccountPart, AccountRead, Reading, Unreadable
from adapters.orders.exchange import Exchange, jittered, words_of
from adapters.orders.wire import MS_NS, AuthFailed, ClockSkewed
from trading.limits.messages import Priority
from trading.orders.messages import ExecType, ExecutionReport

URGENT = frozenset({"catch_up", "reconcile"})
"""Causes of readings until whose end a venue is held: polls give way to them, as to hedges."""
_KNOWN_MAX = 20_000
_ROUNDS_MAX = 50
_WAIT_MS = 10_000
_STATES = ("account", "balance", "open", "positions", "wallet")
_HOUR_MS = 3_600_000
_SETTLED_MS = 120_000
"""So long after it was paid a funding may not be listed yet."""
_INCOME_MS = 300_000
"""Funding is asked for at least so often, whatever the hour and whatever the stream said."""


def in_order(reads: Sequence[AccountRead]) -> tuple[tuple[AccountRead, ...], ...]:
    """What is first, then what happened: no position is then newer than the executions it is compared with."""
    states = tuple(read for read in reads if read.key.startswith(_STATES))
    events = tuple(read for read in reads if not read.key.startswith(_STATES))
    return tuple(turn for turn in (states, events) if turn)


class IncomeAsked:
    """When readings ask for funding: around the hours at which it is paid, and seldom else. Times are the venue's, ms.

    It is the dearest of all questions, and is asked in the first reading of a life, in one that reaches back further
    than any before, until a funding of which the stream told is surely listed, and at least every five minutes. Pure.
    """

    def __init__(self) -> None:
        self._asked_ms = 0
        self._paid_ms = 0
        self._from_ms = 0

    def paid(self, now_ms: int) -> None:
        """The stream told of a funding."""
        self._paid_ms = now_ms

    def wanted(self, cursor: AccountCursor, now_ms: int) -> AccountCursor:
        """The cursor of a reading that begins now; what none asked for since the last that did is in the next."""
        asked_ms = self._asked_ms
        if not asked_ms:
            return cursor
        if cursor.since_ms < self._from_ms:
            # A stream's first reading begins with the stream; what was paid before it, the desk's own has to list.
            return msgspec.structs.replace(cursor, income_ms=cursor.since_ms)
        paid_ms = max(self._paid_ms, now_ms // _HOUR_MS * _HOUR_MS)
        if asked_ms >= paid_ms + _SETTLED_MS and now_ms - asked_ms < _INCOME_MS:
            return msgspec.structs.replace(cursor, income_ms=None)
        return msgspec.structs.replace(cursor, income_ms=min(cursor.since_ms, asked_ms - OVERLAP_MS))

    def listed(self, cursor: AccountCursor, began_ms: int) -> None:
        """A reading that began then with ``cursor`` was whole."""
        if cursor.income_ms is not None:
            from_ms = cursor.income_ms or cursor.since_ms
            self._from_ms = min(self._from_ms, from_ms) if self._asked_ms else from_ms
            self._asked_ms = began_ms


class AccountReader:
    """Readings of one account, and whose orders the venue's order ids are."""

    def __init__(self, exchange: Exchange, backoff_ms: tuple[int, ...]) -> None:
        self._exchange = exchange
        self._backoff_ms = backoff_ms
        self._known: OrderedDict[str, str] = OrderedDict()
        self._income = IncomeAsked()

    def paid(self) -> None:
        """The stream told of a funding."""
        self._income.paid(self._exchange.venue_ms)

    def learn(self, report: ExecutionReport) -> None:
        """Remember whose order a venue's order id is."""
        instrument = self._exchange.dialect.instruments.get(report.instrument_id)
        if instrument is None or not report.order_id or not report.cl_ord_id:
            return
        name = report.cl_ord_id
        if report.exec_type is ExecType.REPLACED and self._exchange.dialect.amends_in_place:
            name = report.orig_cl_ord_id or name  # the amendment's id is ours alone
        self._known[f"{instrument.symbol}:{report.order_id}"] = name
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    async def read(self, cursor: AccountCursor, cause: str) -> Reading | Unreadable:
        """The whole account, page by page; `Unreadable` for anything that is not all of it."""
        dialect = self._exchange.dialect
        urgent = cause in URGENT
        began_ms = self._exchange.venue_ms
        cursor = self._income.wanted(cursor, began_ms)
        parts: dict[str, AccountPart] = {}
        reads: tuple[AccountRead, ...] = dialect.account_requests(cursor)
        for _ in range(_ROUNDS_MAX):
            for turn in in_order(reads):
                for result in await asyncio.gather(*(self._part(read, urgent=urgent) for read in turn)):
                    if isinstance(result, Unreadable):
                        return result
                    parts[result.read.key] = result
            reads = dialect.account_more(cursor, parts, self._known)
            if not reads:
                reading = dialect.assemble(cursor, parts, self._known, cause, self._exchange.clock.wall_ns())
                if isinstance(reading, Reading):
                    self._income.listed(cursor, began_ms)
                    for report in reading.state.open_orders:
                        self.learn(report)
                return reading
        return Unreadable(f"more than {_ROUNDS_MAX} rounds of pages")

    async def _part(self, read: AccountRead, *, urgent: bool) -> AccountPart | Unreadable:
        if urgent:
            read = msgspec.structs.replace(read, request=msgspec.structs.replace(read.request, priority=Priority.HEDGE))
        deadline = self._exchange.clock.mono_ns() + read.request.deadline_ms * MS_NS * 3
        for backoff_ms in (*self._backoff_ms, 0):
            refused = await self._exchange.admit(read.request, _WAIT_MS)
            if refused is not None:
                return Unreadable(f"{read.key}: {words_of(refused)}")
            answer = await self._exchange.within(read.request)
            if isinstance(answer, str):
                trouble: str = answer
            else:
                part = AccountPart(read=read, answer=answer)
                problem = self._exchange.dialect.read_problem(part)
                if problem is None:
                    return part
                self._exchange.note(read.request, problem)
                trouble = str(problem)[:160]
                if isinstance(problem, AuthFailed):
                    return Unreadable(f"{read.key}: {trouble}")
                if isinstance(problem, ClockSkewed):
                    await self._exchange.sync_clock()
            if not backoff_ms or self._exchange.clock.mono_ns() > deadline:
                return Unreadable(f"{read.key}: {trouble}")
            await asyncio.sleep(jittered(backoff_ms))
        return Unreadable(f"{read.key}: no room in our share of the venue's limits")
