"""The drop copy's own way to a venue: its own connections and clock, the shared limits, one whole reading at a time.

Owns asking and paging. Reads only: it has no way to say anything that would change an account. A reading is whole or
`Unreadable`, which says nothing about what it did not read. Venues whose pages are not in `adapters.dropcopy.record`
are read as the order path reads them.
"""

from __future__ import annotations

import asyncio

import msgspec

from adapters.clock import Clock
from adapters.dropcopy.record import Record, record_of
from adapters.limits.limiter import Limiter
from adapters.orders.account import AccountCursor, AccountPart, AccountRead, Unreadable
from adapters.orders.account_reader import AccountReader
from adapters.orders.exchange import Exchange, jittered, words_of
from adapters.orders.link import OrderLinkSpec, open_dialect
from adapters.orders.reading import BadReply
from adapters.orders.wire import MS_NS, SECOND_NS, AuthFailed, ClockSkewed
from trading.dropcopy.execution import Execution, execution_of, funding_of
from trading.limits.messages import Priority
from trading.limits.venues import limits_of
from trading.orders.messages import AccountState, ExecutionReport, FundingPayment

PAGES_MAX = 100
_BACKOFF_MS = (100, 300)
_ROOM_MS = 10_000
_OFFSET_MAX_MS = 2_000
_FUNDING_EVERY_NS = 60 * SECOND_NS
_FUNDING_BACK_NS = 600 * SECOND_NS
"""Funding is paid a few times a day and dear to ask for: seldom, and each time for the last ten minutes anew."""
_CLOCK_EVERY_NS = 60 * SECOND_NS
_PAGE_WEIGHT = 3
"""A page of rows weighs at least so much, where a venue counts requests and not their weight too."""
_WHOLE_WEIGHT = 5
"""What a request of a whole reading is taken to weigh: what it really does, only the limits' tables know."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue's record has of a span. Times of the span are the venue's, ``began_ns`` is ours, UTC.

    ``fundings_since_ns``: funding is in it from then on; None where this reading did not ask.
    """

    executions: tuple[Execution, ...]
    since_ns: int
    until_ns: int
    began_ns: int
    weight: int
    fundings_since_ns: int | None = None


class TooMany(msgspec.Struct, frozen=True, tag=True):
    """The span has more pages than one reading may have: ask for a shorter one."""

    pages: int


class RecordReader:
    """One account's record. Call from one loop only. ``limiter`` is closed with it."""

    def __init__(self, spec: OrderLinkSpec, clock: Clock, limiter: Limiter | None = None) -> None:
        self.record: Record | None = record_of(spec.venue, spec.instruments)
        self.weight = 0
        self._venue = spec.venue
        self._clock = clock
        self._limiter = limiter or Limiter(limits_of(spec.venue), clock)
        self._exchange = Exchange(
            open_dialect(spec),
            spec.credentials,
            clock,
            self._limiter,
            moved=lambda _: None,  # the order path speaks of clocks
            offset_max_ms=_OFFSET_MAX_MS,
            connections_max=4,
        )
        self._whole = AccountReader(self._exchange, _BACKOFF_MS)
        self._clock_ns = 0
        self._funded_ns: int | None = None

    def start(self) -> None:
        """Open the session, on the running loop."""
        self._exchange.start()

    async def close(self) -> None:
        """End the session and let go of the limits."""
        await self._exchange.close()
        await self._limiter.close()

    async def warm(self) -> None:
        """Keep a connection open and the clock measured, for whoever cannot wait for either."""
        if await self._exchange.sync_clock() is not None:
            self._clock_ns = self._clock.mono_ns()

    async def venue_ns(self) -> int | None:
        """The venue's time, UTC; None while it has never told it. Measured once a minute."""
        now = self._clock.mono_ns()
        if not self._clock_ns or now - self._clock_ns >= _CLOCK_EVERY_NS:
            if await self._exchange.sync_clock() is None:
                return None if not self._clock_ns else self._exchange.venue_ms * MS_NS
            self._clock_ns = now
        return self._exchange.venue_ms * MS_NS

    async def executions(self, since_ns: int, until_ns: int) -> Listed | TooMany | Unreadable:
        """What was executed in a span of the venue's time."""
        began = self._clock.wall_ns()
        since_ms, until_ms = since_ns // MS_NS, until_ns // MS_NS
        before = self.weight
        found: list[ExecutionReport | FundingPayment] | TooMany | Unreadable
        funded_ms: int | None = since_ms
        if self.record is None:
            state = await self._state(since_ms, "poll")
            found = state if isinstance(state, Unreadable) else [*state.executions, *state.fundings]
        else:
            back_ms = max(since_ms - _FUNDING_BACK_NS // MS_NS, 0)
            seldom = self.record.fundings(back_ms, until_ms)
            if seldom:
                due = self._funded_ns is None or self._clock.mono_ns() - self._funded_ns >= _FUNDING_EVERY_NS
                funded_ms, seldom = (back_ms, seldom) if due else (None, ())
            reads = (*self.record.executions(since_ms, until_ms), *seldom)
            found = await self._pages(self.record, reads, Priority.POLL)
            if isinstance(found, list) and seldom:
                self._funded_ns = self._clock.mono_ns()
        if not isinstance(found, list):
            return found
        kept = {one.exec_id: one for event in found if (one := _execution(event)) is not None}
        return Listed(
            executions=tuple(sorted(kept.values(), key=lambda one: one.ts_event_ns)),
            since_ns=since_ms * MS_NS,
            until_ns=(until_ms + 1) * MS_NS - 1,
            began_ns=began,
            weight=self.weight - before,
            fundings_since_ns=None if funded_ms is None else funded_ms * MS_NS,
        )

    async def open_orders(self) -> list[ExecutionReport] | TooMany | Unreadable:
        """What rests now, asked for with the urgency of what makes an account safer."""
        if self.record is None:
            state = await self._state(self._exchange.venue_ms, "reconcile")
            return state if isinstance(state, Unreadable) else [*state.open_orders]
        found = await self._pages(self.record, self.record.open_orders(), Priority.HEDGE)
        return [one for one in found if isinstance(one, ExecutionReport)] if isinstance(found, list) else found

    async def _state(self, since_ms: int, cause: str) -> AccountState | Unreadable:
        """The account as the order path reads it, over these connections: its executions begin at ``since_ms``."""
        sent = self._exchange.sent
        reading = await self._whole.read(AccountCursor(venue=self._venue, since_ms=since_ms), cause)
        self.weight += (self._exchange.sent - sent) * _WHOLE_WEIGHT
        return reading if isinstance(reading, Unreadable) else reading.state

    async def _pages(
        self, record: Record, reads: tuple[AccountRead, ...], priority: Priority
    ) -> list[ExecutionReport | FundingPayment] | TooMany | Unreadable:
        out: list[ExecutionReport | FundingPayment] = []
        pages = 0
        while reads:
            following: list[AccountRead] = []
            for part in await asyncio.gather(*(self._part(read, priority) for read in reads)):
                if isinstance(part, Unreadable):
                    return part
                pages += 1
                try:
                    out += record.rows(part)
                    further = record.following(part)
                except BadReply as trouble:
                    return Unreadable(str(trouble))
                if further is not None:
                    following.append(further)
            if following and pages >= PAGES_MAX:
                return TooMany(pages)
            reads = tuple(following)
        return out

    async def _part(self, read: AccountRead, priority: Priority) -> AccountPart | Unreadable:
        request = msgspec.structs.replace(read.request, priority=priority)
        name = read.key.partition("|")[0]
        trouble = ""
        for backoff_ms in (*_BACKOFF_MS, 0):
            refused = await self._exchange.admit(request, _ROOM_MS)
            if refused is not None:
                return Unreadable(f"{name}: {words_of(refused)}")
            self.weight += max(request.weight, _PAGE_WEIGHT)
            answer = await self._exchange.within(request)
            if isinstance(answer, str):
                trouble = answer
            else:
                part = AccountPart(read=read, answer=answer)
                problem = self._exchange.dialect.read_problem(part)
                if problem is None:
                    return part
                self._exchange.note(request, problem)
                trouble = str(problem)[:160]
                if isinstance(problem, AuthFailed):
                    break
                if isinstance(problem, ClockSkewed):
                    await self._exchange.sync_clock()
            if backoff_ms:
                await asyncio.sleep(jittered(backoff_ms))
        return Unreadable(f"{name}: {trouble}")


def _execution(event: ExecutionReport | FundingPayment) -> Execution | None:
    return funding_of(event) if isinstance(event, FundingPayment) else execution_of(event)
