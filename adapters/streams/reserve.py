"""ccxt.pro as a source: the only one for venues without a codec of ours, the flagged reserve for those with one.

Owns ccxt's objects, their restarts and the age of what they say; what is said is `reserve_events`'s. Everything is
flagged: `ReserveSaid.proved` is True for a book only while `ShadowProof` says so. ccxt is imported when the first
reserve starts, in a thread: it costs 60 MB and a second. No key is ever given to it.
"""

from __future__ import annotations

import asyncio
import importlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import msgspec

from adapters.clock import Clock
from adapters.streams import events as e
from adapters.streams import reserve_events as said
from adapters.streams.budget import ConnectionBudget
from adapters.streams.events import ReserveSaid
from adapters.streams.topics import SECOND_NS, TopicKind
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import DepthSnapshot, VenueEvent, WireRejected

EXCHANGES = {"gateio": "gate", "bybit": "bybit", "okx": "okx", "mexc": "mexc"}
"""propdesk's names of venues that ccxt names otherwise, or that are tried; any other is ccxt's own name."""

RESERVE_KINDS = frozenset({TopicKind.BOOK, TopicKind.TRADES, TopicKind.TICKER, TopicKind.MARK})
_QUEUE_MAX = 20_000
_LINE = "ccxt"
_DIFFERENT_MAX = 5
"""Comparisons in a row that differ before the book is built anew: ccxt does not look for holes everywhere."""


class ReserveSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which venue through ccxt.

    ``instruments`` empty: all that ccxt lists and that ``symbols`` (ccxt's words) names. ``api`` overrides parts of
    ccxt's ``urls['api']``; ``markets`` spares the request for them. ``mute_ms`` is for books.
    """

    venue: str
    instruments: tuple[Instrument, ...] = ()
    symbols: tuple[str, ...] = ()
    topics: frozenset[TopicKind] = RESERVE_KINDS
    api: Mapping[str, Any] = {}
    markets: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = {}
    testnet: bool = False
    levels: int = 50
    mute_ms: int = 10_000
    audit_every_ms: int = 15_000
    marks_every_ms: int = 30_000
    proof_ms: int = 45_000
    backoff_max_ms: int = 30_000


class ReserveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """For operators."""

    venue: str
    state: str
    reason: str
    age_ms: float | None
    events: int
    rejected: int
    restarts: int
    dropped: int
    proofs: Mapping[str, str]
    refused: Mapping[str, str]


class _BrokenError(Exception):
    """The exchange object has to be replaced."""


Item = ReserveSaid | e.FeedEvent


class Reserve:
    """One venue through ccxt.pro. Call from one loop only; what ccxt raises becomes events."""

    def __init__(
        self, spec: ReserveSpec, clock: Clock, wake: Callable[[], None], budget: ConnectionBudget | None = None
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._wake = wake
        self._budget = budget or ConnectionBudget()
        self._queue: deque[Item] = deque()
        self._asleep = True
        self._task: asyncio.Task[None] | None = None
        self._instruments: dict[str, Instrument] = {said.ccxt_symbol(one): one for one in spec.instruments}
        self._proofs: dict[str, said.ShadowProof] = {}
        self._refused: dict[str, str] = {}
        self._state, self._reason = "idle", ""
        self._last_ns = 0
        self._events = self._rejected = self._restarts = self._dropped = 0

    def start(self) -> None:
        """Connect, on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def drain(self, max_items: int = 1000) -> list[Item]:
        """What has arrived, in order."""
        queue = self._queue
        out = [queue.popleft() for _ in range(min(max_items, len(queue)))]
        if not queue:
            self._asleep = True
        else:
            asyncio.get_running_loop().call_soon(self._wake)
        return out

    def status(self) -> ReserveStatus:
        """As it is now."""
        now = self._clock.mono_ns()
        return ReserveStatus(
            venue=self.spec.venue,
            state=self._state,
            reason=self._reason,
            age_ms=(now - self._last_ns) / 1e6 if self._last_ns else None,
            events=self._events,
            rejected=self._rejected,
            restarts=self._restarts,
            dropped=self._dropped,
            proofs={name: f"{proof.state(now).value}: {proof.reason}" for name, proof in self._proofs.items()},
            refused=dict(self._refused),
        )

    async def close(self) -> None:
        """End everything; what is queued can still be drained."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=5)
        self._state = "closed"

    # --- Life ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """One exchange object after another, as far apart as a jittered backoff says."""
        delay_ms = 500
        family = EXCHANGES.get(self.spec.venue, self.spec.venue)
        while True:
            wait_ns = self._budget.try_open(family, self._clock.mono_ns())
            if wait_ns:
                await asyncio.sleep(wait_ns / 1e9)
                continue
            began = self._clock.mono_ns()
            try:
                await self._live_once()
            except Exception as trouble:  # noqa: BLE001 - a library of a hundred venues raises whatever it meets
                self._lost(trouble)
            finally:
                self._budget.on_closed(family)
            self._restarts += 1
            if self._clock.mono_ns() - began > 60 * SECOND_NS:
                delay_ms = 500
            await asyncio.sleep(random.uniform(delay_ms, 2 * delay_ms) / 1e3)
            delay_ms = min(2 * delay_ms, self.spec.backoff_max_ms)

    async def _live_once(self) -> None:
        """Until the first of its tasks fails."""
        self._state = "connecting"
        exchange = await self._exchange()
        try:
            await self._learn(exchange)
            for proof in self._proofs.values():
                proof.on_reset()
            self._tell(e.Connected(view="reserve", line=_LINE, ts_ns=self._clock.wall_ns(), symbols=self._symbols()))
            self._state, self._reason = "live", ""
            async with asyncio.TaskGroup() as group:
                for symbol, instrument in self._instruments.items():
                    for work in self._works(exchange, symbol, instrument):
                        group.create_task(work)
        finally:
            await self._close(exchange)

    async def _close(self, exchange: Any) -> None:
        try:
            async with asyncio.timeout(3):
                await exchange.close()
        except Exception as trouble:  # noqa: BLE001 - it is being thrown away
            self._reason = f"closing: {trouble!r}"[:200]

    def _lost(self, trouble: Exception) -> None:
        first: BaseException = trouble
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        was_live = self._state == "live"
        self._state, self._reason = "backoff", f"{type(first).__name__}: {first}"[:200]
        if was_live:
            self._tell(
                e.Disconnected(
                    view="reserve",
                    line=_LINE,
                    ts_ns=self._clock.wall_ns(),
                    reason=self._reason,
                    symbols=self._symbols(),
                )
            )

    async def _exchange(self) -> Any:
        """The venue's object of ccxt, for public data only."""
        pro = await asyncio.to_thread(importlib.import_module, "ccxt.pro")
        name = EXCHANGES.get(self.spec.venue, self.spec.venue)
        kind = getattr(pro, name, None)
        if kind is None or name not in pro.exchanges:
            raise ValueError(f"ccxt.pro knows no venue {name!r}")
        exchange = kind({"enableRateLimit": True, "newUpdates": True, "options": dict(self.spec.options)})
        if self.spec.testnet:
            exchange.set_sandbox_mode(True)
        exchange.urls["api"] = _merged(exchange.urls["api"], self.spec.api)
        return exchange

    async def _learn(self, exchange: Any) -> None:
        """Markets, and the instruments that were asked for by ccxt's names."""
        if self.spec.markets is not None:
            exchange.set_markets(self.spec.markets)
        else:
            await exchange.load_markets()
        listing = said.instruments_of(
            self.spec.venue, {name: exchange.markets[name] for name in self.spec.symbols if name in exchange.markets}
        )
        self._refused = dict(listing.refused)
        self._refused.update({name: "not listed" for name in self.spec.symbols if name not in exchange.markets})
        self._instruments |= listing.instruments
        for symbol in list(self._instruments):
            if symbol not in exchange.markets:
                self._refused[symbol] = "not listed"
                del self._instruments[symbol]
        if not self._instruments:
            raise _BrokenError(f"no instrument: {self._refused}")
        for instrument in self._instruments.values():
            name = instrument.instrument_id
            self._proofs.setdefault(name, said.ShadowProof(self.spec.proof_ms * 1_000_000))

    def _symbols(self) -> tuple[str, ...]:
        return tuple(instrument.symbol for instrument in self._instruments.values())

    # --- What is watched -------------------------------------------------------------------------------

    def _works(self, exchange: Any, symbol: str, instrument: Instrument) -> list[Coroutine[Any, Any, None]]:
        kinds, has = self.spec.topics, exchange.has
        works: list[Coroutine[Any, Any, None]] = []
        if TopicKind.BOOK in kinds:
            works.append(self._books(exchange, symbol, instrument))
            works.append(self._audits(exchange, symbol, instrument))
        if TopicKind.TRADES in kinds and has.get("watchTrades"):
            works.append(
                self._watch(
                    lambda: exchange.watch_trades(symbol), lambda rows, ts: said.trades_of(rows, instrument, ts)
                )
            )
        if TopicKind.TICKER in kinds and has.get("watchTicker"):
            works.append(
                self._watch(
                    lambda: exchange.watch_ticker(symbol), lambda row, ts: [said.ticker_of(row, instrument, ts)]
                )
            )
        if TopicKind.MARK in kinds and instrument.kind is not InstrumentKind.SPOT and has.get("fetchFundingRate"):
            works.append(self._marks(exchange, symbol, instrument))
        return works

    async def _watch(
        self,
        watch: Callable[[], Awaitable[Any]],
        read: Callable[[Any, int], list[Any]],
    ) -> None:
        """Topics that may be silent: what ccxt has to say, as it comes."""
        while True:
            rows = await watch()
            for event in read(rows, self._clock.wall_ns()):
                self._say(event, proved=False, reason="ccxt")

    async def _books(self, exchange: Any, symbol: str, instrument: Instrument) -> None:
        """Books have to speak: one that is mute breaks the exchange object."""
        proof = self._proofs[instrument.instrument_id]
        while True:
            try:
                async with asyncio.timeout(self.spec.mute_ms / 1e3):
                    book = await exchange.watch_order_book(symbol)
            except TimeoutError:
                raise _BrokenError(f"mute: no book of {symbol} for {self.spec.mute_ms} ms") from None
            event = said.depth_of(book, instrument, self._clock.wall_ns(), self.spec.levels)
            now = self._clock.mono_ns()
            if isinstance(event, DepthSnapshot):
                proof.on_live(event, now)
            self._say(event, proved=proof.state(now) is said.Proof.PROVED, reason=proof.reason)
            # ccxt hands over what is there without waiting: others must have their turn.
            await asyncio.sleep(0)

    async def _audits(self, exchange: Any, symbol: str, instrument: Instrument) -> None:
        """REST books, to compare with. A failure is no proof and no reason to break the stream."""
        proof = self._proofs[instrument.instrument_id]
        pause_s = min(2.0, self.spec.audit_every_ms / 1e3)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self.spec.audit_every_ms / 1e3
            try:
                async with asyncio.timeout(10):
                    book = await _rest_book(exchange, symbol, self.spec.levels)
            except Exception as trouble:  # noqa: BLE001 - see above
                self._failed("depth", instrument.symbol, trouble)
                continue
            event = said.depth_of(book, instrument, self._clock.wall_ns(), self.spec.levels)
            if isinstance(event, DepthSnapshot):
                proof.on_rest(event, self._clock.mono_ns())
                if proof.different_in_a_row >= _DIFFERENT_MAX:
                    raise _BrokenError(f"the book of {symbol} {proof.reason}")

    async def _marks(self, exchange: Any, symbol: str, instrument: Instrument) -> None:
        while True:
            try:
                async with asyncio.timeout(10):
                    row = await _mark(exchange, symbol)
            except Exception as trouble:  # noqa: BLE001 - see above
                self._failed("funding_rate", instrument.symbol, trouble)
            else:
                self._say(said.mark_of(row, instrument, self._clock.wall_ns()), proved=False, reason="ccxt")
            await asyncio.sleep(self.spec.marks_every_ms / 1e3)

    # --- The queue -------------------------------------------------------------------------------------

    def _say(self, event: VenueEvent, *, proved: bool, reason: str) -> None:
        if isinstance(event, WireRejected):
            self._rejected += 1
        else:
            self._events += 1
            self._last_ns = self._clock.mono_ns()
        self._tell(ReserveSaid(event=event, proved=proved, reason=reason, ts_ns=self._clock.wall_ns()))

    def _failed(self, channel: str, symbol: str, trouble: Exception) -> None:
        self._tell(
            e.FetchFailed(
                view="reserve",
                line=_LINE,
                ts_ns=self._clock.wall_ns(),
                channel=channel,
                symbol=symbol,
                reason=f"{type(trouble).__name__}: {trouble}"[:200],
            )
        )

    def _tell(self, item: Item) -> None:
        if len(self._queue) >= _QUEUE_MAX:
            # Its books are whole each time: the newest is worth more than the oldest.
            self._queue.popleft()
            self._dropped += 1
        self._queue.append(item)
        if self._asleep:
            self._asleep = False
            self._wake()


async def _rest_book(exchange: Any, symbol: str, levels: int) -> Any:
    """A REST book with its number; of OKX's, ccxt leaves ``seqId`` out."""
    if exchange.id != "okx":
        return await exchange.fetch_order_book(symbol, levels)
    reply = await exchange.public_get_market_books({"instId": exchange.market_id(symbol), "sz": str(levels)})
    (row,) = reply["data"]
    return exchange.parse_order_book(row, symbol, int(row["ts"])) | {"nonce": int(row["seqId"])}


async def _mark(exchange: Any, symbol: str) -> dict[str, Any]:
    """The funding rate and the mark price, which are two requests at some venues."""
    row = dict(await exchange.fetch_funding_rate(symbol))
    if row.get("markPrice") is None and exchange.has.get("fetchMarkPrice"):
        # OKX asks for the instrument's type, which ccxt leaves out.
        params = {"instType": "SWAP"} if exchange.id == "okx" else {}
        row["markPrice"] = (await exchange.fetch_mark_price(symbol, params)).get("markPrice")
    return row


def _merged(base: Any, changes: Mapping[str, Any]) -> Any:
    """Nested urls with some of them replaced."""
    if not isinstance(base, dict):
        return dict(changes) or base
    out = dict(base)
    for key, value in changes.items():
        out[key] = _merged(out.get(key), value) if isinstance(value, Mapping) else value
    return out
