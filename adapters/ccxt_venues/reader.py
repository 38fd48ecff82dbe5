"""One venue through ccxt: connected, lost, connected again; what it says waits here as frames, in order.

Owns the life of ccxt's objects, the venue's listing and clock, and the queue. What is asked of a market is `watch`'s.
Call from one loop only. Whatever ccxt raises becomes an event; nothing of it leaves this module.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from adapters.ccxt_venues import frames
from adapters.ccxt_venues.exchange import close_exchange, load_markets, open_exchange
from adapters.ccxt_venues.instruments import VENUES, difference
from adapters.ccxt_venues.spec import CcxtSpec
from adapters.ccxt_venues.watch import BrokenError, MarketWatch
from adapters.clock import Clock
from adapters.sources import Frame
from adapters.streams import events as e
from adapters.streams import state as s
from adapters.streams.budget import ConnectionBudget
from adapters.streams.connection import ConnectionStatus, TopicStatus
from adapters.streams.feed import FeedStatus
from adapters.streams.reserve_events import ccxt_symbol
from adapters.streams.rest import RestStatus
from adapters.streams.topics import SECOND_NS
from trading.instruments import Instrument

VIEW = LINE = "ccxt"
QUEUE_MAX = 20_000
LISTING_EVERY_S = 1_800.0
CLOCK_EVERY_S = 30.0
_BACKOFF_MS = 500
_STABLE_NS = 60 * SECOND_NS

Item = Frame | e.FeedEvent


class _Heard(msgspec.Struct):
    """One kind of frame of one symbol."""

    messages: int = 0
    last_ns: int = 0


class CcxtReader:
    """``wake`` is called when something waits and nobody was told yet."""

    def __init__(
        self,
        venue: str,
        instruments: Sequence[Instrument],
        terms: CcxtSpec,
        clock: Clock,
        *,
        wake: Callable[[], None],
        budget: ConnectionBudget,
    ) -> None:
        self._venue = VENUES[venue]
        self._instruments = tuple(instruments)
        self._terms = terms
        self._clock = clock
        self._wake = wake
        self._budget = budget
        self._queue: deque[Item] = deque()
        self._dropped: dict[str, int] = {}
        self._asleep = True
        self._task: asyncio.Task[None] | None = None
        self._watches: dict[str, MarketWatch] = {}
        self._refused: dict[str, str] = {}
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._state, self._reason = "idle", ""
        self._last_ns = 0
        self._messages = self._bytes = self._delivered = self._lost = 0
        self._replies = self._failures = self._connects = self._disconnects = 0

    def start(self) -> None:
        """Connect, on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"{self._venue.venue} ccxt")

    def drain(self, items_max: int = 1_000) -> list[Item]:
        """What has come in, in order."""
        queue = self._queue
        out = [queue.popleft() for _ in range(min(items_max, len(queue)))]
        self._delivered += len(out)
        if queue:
            asyncio.get_running_loop().call_soon(self._wake)
        else:
            self._asleep = True
            if self._dropped:
                out.append(self._overflowed())
        return out

    def want_snapshot(self, symbol: str) -> None:
        """A book by REST is wanted as soon as may be; it comes as a frame."""
        watch = self._watches.get(symbol)
        if watch is not None:
            watch.wanted.set()

    async def close(self) -> None:
        """End everything."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=5)
        self._state = "closed"

    def status(self) -> FeedStatus:
        """As it is now: one connection, with a topic for each kind of frame of each symbol."""
        now = self._clock.mono_ns()
        connection = ConnectionStatus(
            view=VIEW,
            line=LINE,
            url=f"ccxt:{self._venue.exchange}",
            status=self._state,
            reason=self._reason,
            age_ms=(now - self._last_ns) / 1e6 if self._last_ns else None,
            messages=self._messages,
            bytes=self._bytes,
            counters=s.Counters(connects=self._connects, disconnects=self._disconnects, refused=len(self._refused)),
            topics=tuple(self._topics(now)),
        )
        rest = RestStatus(
            requests=self._replies + self._failures,
            replies=self._replies,
            failures=self._failures,
            limited=0,
            refused_full=0,
            waiting=0,
            frozen_ms=0.0,
            used={},
        )
        return FeedStatus(
            venue=self._venue.venue,
            connections=(connection,),
            views={},
            rest=rest,
            queued=len(self._queue),
            delivered=self._delivered,
            dropped=self._lost,
            snapshots_wanted=tuple(name for name, watch in self._watches.items() if watch.wanted.is_set()),
        )

    def _topics(self, now_ns: int) -> Iterator[TopicStatus]:
        for (kind, symbol), heard in self._heard.items():
            yield TopicStatus(
                key=f"{kind}.{symbol}",
                kind=kind,
                symbol=symbol,
                phase="alive",
                age_ms=(now_ns - heard.last_ns) / 1e6,
                messages=heard.messages,
                reason="",
            )
        for symbol, why in self._refused.items():
            yield TopicStatus(
                key=f"{frames.BOOK}.{symbol}",
                kind=frames.BOOK,
                symbol=symbol,
                phase="refused",
                age_ms=None,
                messages=0,
                reason=why,
            )

    # --- Life ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """One exchange object after another, as far apart as a jittered backoff says."""
        delay_ms, family = _BACKOFF_MS, self._venue.venue
        while True:
            wait_ns = self._budget.try_open(family, self._clock.mono_ns())
            if wait_ns:
                await asyncio.sleep(wait_ns / 1e9)
                continue
            began = self._clock.mono_ns()
            try:
                await self._live_once()
            except Exception as trouble:  # noqa: BLE001 - a library of a hundred venues raises whatever it meets
                self._lose(trouble)
            finally:
                self._budget.on_closed(family)
            if self._clock.mono_ns() - began > _STABLE_NS:
                delay_ms = _BACKOFF_MS
            await asyncio.sleep(random.uniform(delay_ms, 2 * delay_ms) / 1e3)
            delay_ms = min(2 * delay_ms, self._terms.backoff_ms_max)

    async def _live_once(self) -> None:
        """Until the first of its tasks fails."""
        self._state = "connecting"
        listed = await load_markets(self._venue.venue, self._terms, [ccxt_symbol(one) for one in self._instruments])
        followed = self._follow(listed)
        exchange = await open_exchange(self._venue.venue, self._terms)
        try:
            exchange.set_markets(listed)
            self._watches = {
                one.symbol: MarketWatch(exchange, one, self._terms, self._clock, say=self._say, failed=self._failed)
                for one in followed
            }
            self._heard.clear()
            self._connects += 1
            self._state, self._reason = "live", ""
            self._tell(e.Connected(view=VIEW, line=LINE, ts_ns=self._clock.wall_ns(), symbols=self._symbols()))
            self._tell_listing(listed)
            async with asyncio.TaskGroup() as group:
                for watch in self._watches.values():
                    for work in watch.works(polled=self._venue.polled):
                        group.create_task(work)
                group.create_task(self._clocks(exchange))
                group.create_task(self._listings())
        finally:
            closing = await close_exchange(exchange)
            self._reason = closing or self._reason

    def _follow(self, listed: Sequence[dict[str, Any]]) -> list[Instrument]:
        """The instruments that are what the table says; of the others it is told why they are not followed."""
        now = self._clock.wall_ns()
        listing = frames.read_listing(self._venue.venue, frames.listing_reply(listed), now)
        followed, self._refused = [], {}
        for one in self._instruments:
            market = None if listing is None else listing.markets.get(one.instrument_id)
            unread = "not listed" if listing is None else listing.refused.get(one.symbol, "not listed")
            why = unread if market is None else difference(one, market.instrument)
            if not why:
                followed.append(one)
                continue
            self._refused[one.symbol] = why
            topic = f"{frames.BOOK}.{one.symbol}"
            self._tell(
                e.TopicRefused(view=VIEW, line=LINE, ts_ns=now, topic=topic, kind="book", symbol=one.symbol, reason=why)
            )
        if not followed:
            raise BrokenError(f"no instrument can be followed: {self._refused}")
        return followed

    def _lose(self, trouble: Exception) -> None:
        first: BaseException = trouble
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        was_live = self._state == "live"
        self._state, self._reason = "backoff", f"{type(first).__name__}: {first}"[:200]
        if was_live:
            self._disconnects += 1
            now, symbols = self._clock.wall_ns(), self._symbols()
            self._tell(e.Disconnected(view=VIEW, line=LINE, ts_ns=now, reason=self._reason, symbols=symbols))
        self._watches = {}

    def _symbols(self) -> tuple[str, ...]:
        return tuple(self._watches)

    # --- Of the whole venue ----------------------------------------------------------------------------

    async def _clocks(self, exchange: Any) -> None:
        """The venue's clock, where it says one."""
        while True:
            sent = self._clock.wall_ns()
            try:
                async with asyncio.timeout(5):
                    server_ms = await exchange.fetch_time()
            except Exception as trouble:  # noqa: BLE001 - as above; nothing depends on one reading
                self._failed("time", "", trouble)
            else:
                received = self._clock.wall_ns()
                self._replies += 1
                if isinstance(server_ms, int):
                    server_ns = server_ms * 1_000_000
                    self._tell(
                        e.ServerTime(
                            view=VIEW, line=LINE, ts_ns=received, sent_ns=sent, server_ns=server_ns, recv_ns=received
                        )
                    )
            await asyncio.sleep(CLOCK_EVERY_S)

    async def _listings(self) -> None:
        """The listing again, now and then: what changed is the universe's to judge, and the table's to fit."""
        while True:
            await asyncio.sleep(LISTING_EVERY_S)
            try:
                names = [ccxt_symbol(one) for one in self._instruments]
                listed = await load_markets(self._venue.venue, self._terms, names)
            except Exception as trouble:  # noqa: BLE001 - as above; the one before holds
                self._failed("instruments", "", trouble)
                continue
            self._tell_listing(listed)
            if {one.symbol for one in self._follow(listed)} != set(self._watches):
                raise BrokenError("what can be followed has changed")

    def _tell_listing(self, listed: Sequence[dict[str, Any]]) -> None:
        self._replies += 1
        payload, now = frames.listing_reply(listed), self._clock.wall_ns()
        self._tell(e.Polled(view=VIEW, line=LINE, ts_ns=now, channel="instruments", symbol="", payload=payload))

    # --- The queue -------------------------------------------------------------------------------------

    def _say(self, kind: str, symbol: str, payload: bytes) -> None:
        now = self._clock.mono_ns()
        heard = self._heard.setdefault((kind, symbol), _Heard())
        heard.messages += 1
        heard.last_ns = self._last_ns = now
        self._messages += 1
        self._bytes += len(payload)
        if kind == frames.SHADOW or self._venue.polled:
            self._replies += 1
        if len(self._queue) >= QUEUE_MAX:
            self._lost += 1
            self._dropped[symbol] = self._dropped.get(symbol, 0) + 1
            return
        self._tell(Frame(payload, self._clock.wall_ns()))

    def _overflowed(self) -> e.Overflowed:
        dropped, self._dropped = self._dropped, {}
        return e.Overflowed(
            view=VIEW,
            line=LINE,
            ts_ns=self._clock.wall_ns(),
            topics=tuple(f"{frames.BOOK}.{symbol}" for symbol in dropped),
            symbols=tuple(dropped),
            dropped=sum(dropped.values()),
        )

    def _failed(self, channel: str, symbol: str, trouble: Exception) -> None:
        self._failures += 1
        reason = f"{type(trouble).__name__}: {trouble}"[:200]
        now = self._clock.wall_ns()
        self._tell(e.FetchFailed(view=VIEW, line=LINE, ts_ns=now, channel=channel, symbol=symbol, reason=reason))

    def _tell(self, item: Item) -> None:
        self._queue.append(item)
        if self._asleep:
            self._asleep = False
            self._wake()
