"""Reading a whole account over REST: page after page, with the venue's limits in mind, or not at all."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from adapters.orders.account import AccountCursor, AccountPart, AccountRead, Reading, Unreadable
from adapters.orders.exchange import Exchange, jittered, words_of
from adapters.orders.wire import MS_NS, AuthFailed, ClockSkewed
from trading.limits.messages import Priority
from trading.orders.messages import ExecutionReport

URGENT = frozenset({"catch_up", "reconcile"})
"""Causes of readings until whose end a venue is held: polls give way to them, as to hedges."""
_KNOWN_MAX = 20_000
_ROUNDS_MAX = 50
_WAIT_MS = 10_000
_STATES = ("balance", "open", "positions", "wallet")


def in_order(reads: Sequence[AccountRead]) -> tuple[tuple[AccountRead, ...], ...]:
    """What is first, then what happened: no position is then newer than the executions it is compared with."""
    states = tuple(read for read in reads if read.key.startswith(_STATES))
    events = tuple(read for read in reads if not read.key.startswith(_STATES))
    return tuple(turn for turn in (states, events) if turn)


class AccountReader:
    """Readings of one account, and whose orders the venue's order ids are."""

    def __init__(self, exchange: Exchange, backoff_ms: tuple[int, ...]) -> None:
        self._exchange = exchange
        self._backoff_ms = backoff_ms
        self._known: OrderedDict[str, str] = OrderedDict()

    def learn(self, report: ExecutionReport) -> None:
        """Remember whose order a venue's order id is."""
        instrument = self._exchange.dialect.instruments.get(report.instrument_id)
        if instrument is None or not report.order_id or not report.cl_ord_id:
            return
        self._known[f"{instrument.symbol}:{report.order_id}"] = report.cl_ord_id
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)

    async def read(self, cursor: AccountCursor, cause: str) -> Reading | Unreadable:
        """The whole account, page by page; `Unreadable` for anything that is not all of it."""
        dialect = self._exchange.dialect
        urgent = cause in URGENT
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
