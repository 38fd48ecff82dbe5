"""What is asked of ccxt for one market, without end: its book, snapshots beside it, trades and a ticker, as frames.

Owns the pace of each. What ccxt raises ends the task it was raised in, and with it the connection (`reader`); only a
REST request that nothing depends on may fail, and is told. Where the venue is polled its book is asked for by REST as
fast as ``poll_ms`` says, with trades every second and the ticker every five.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from adapters.ccxt_venues import frames
from adapters.ccxt_venues.spec import CcxtSpec
from adapters.clock import Clock
from adapters.streams.reserve_events import ccxt_symbol
from trading.instruments import Instrument

SHADOW_LEVELS = 100
SHADOWS_IN_A_ROW = 12
"""Snapshots that were wanted one after another, because none could prove the book: it is built anew after that."""

_REQUEST_S = 5.0
_TRADES_EVERY_S = 1.0
_TICKER_EVERY_S = 5.0
_TRADES_ASKED = 100
_TRADES_REMEMBERED = 1_000

Say = Callable[[str, str, bytes], None]
"""Told the kind of a frame, the venue's symbol, and the frame."""
Failed = Callable[[str, str, Exception], None]
"""Told what was asked, of which symbol, and why there is no answer."""


class BrokenError(Exception):
    """The exchange object has to be replaced."""


class MarketWatch:
    """One market through one exchange object of ccxt, for as long as that lives."""

    def __init__(
        self, exchange: Any, instrument: Instrument, terms: CcxtSpec, clock: Clock, *, say: Say, failed: Failed
    ) -> None:
        self.instrument = instrument
        self.wanted = asyncio.Event()
        """Set by whoever wants a snapshot now."""
        self._exchange = exchange
        self._name = ccxt_symbol(instrument)
        self._terms = terms
        self._clock = clock
        self._say = say
        self._failed = failed
        self._begun = asyncio.Event()
        self._known: OrderedDict[str, None] = OrderedDict()

    def works(self, *, polled: bool) -> list[Coroutine[Any, Any, None]]:
        """Everything that has to run, each until it raises."""
        if polled:
            return [self._polled_books(), self._shadows(), self._polled_trades(), self._polled_tickers()]
        return [self._books(), self._shadows(), self._trades(), self._tickers()]

    # --- Books ---------------------------------------------------------------------------------------

    async def _books(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._terms.mute_ms / 1e3):
                    book = await self._exchange.watch_order_book(self._name)
            except TimeoutError:
                raise self._mute() from None
            self._tell_book(book)
            # What has come in already is handed over without waiting: others must have their turn.
            await asyncio.sleep(0)

    async def _polled_books(self) -> None:
        pace_s, heard = self._terms.poll_ms / 1e3, self._clock.mono_ns()
        wait_s = pace_s
        while True:
            began = self._clock.mono_ns()
            try:
                book = await self._asked(self._exchange.fetch_order_book(self._name, self._terms.levels))
            except Exception as trouble:
                self._failed("depth", self.instrument.symbol, trouble)
                if self._clock.mono_ns() - heard > self._terms.mute_ms * 1_000_000:
                    raise self._mute() from trouble
                wait_s = min(2 * wait_s, _REQUEST_S)
            else:
                heard, wait_s = self._clock.mono_ns(), pace_s
                self._tell_book(book)
            await asyncio.sleep(max(0.0, wait_s - (self._clock.mono_ns() - began) / 1e9))

    async def _shadows(self) -> None:
        """Books by REST to compare with: in their own time, and sooner while they are wanted."""
        every_s = self._terms.audit_every_ms / 1e3
        gap_s = min(self._terms.audit_gap_ms / 1e3, every_s)
        await self._begun.wait()
        in_a_row = 0
        while True:
            try:
                async with asyncio.timeout(every_s - gap_s):
                    await self.wanted.wait()
                in_a_row += 1
            except TimeoutError:
                in_a_row = 0
            self.wanted.clear()
            if in_a_row > SHADOWS_IN_A_ROW:
                raise BrokenError(f"no proof of the book of {self._name} in {SHADOWS_IN_A_ROW} snapshots in a row")
            try:
                book = await self._asked(self._exchange.fetch_order_book(self._name, SHADOW_LEVELS))
            except Exception as trouble:  # noqa: BLE001 - as above; the stream goes on
                self._failed("shadow", self.instrument.symbol, trouble)
            else:
                self._tell(frames.SHADOW, frames.book_frame(frames.SHADOW, self.instrument.symbol, book, SHADOW_LEVELS))
            await asyncio.sleep(gap_s)

    def _mute(self) -> BrokenError:
        return BrokenError(f"mute: no book of {self._name} for {self._terms.mute_ms} ms")

    def _tell_book(self, book: Mapping[str, Any]) -> None:
        self._begun.set()
        self._tell(frames.BOOK, frames.book_frame(frames.BOOK, self.instrument.symbol, book, self._terms.levels))

    # --- What may be silent --------------------------------------------------------------------------

    async def _trades(self) -> None:
        while True:
            self._tell_trades(await self._exchange.watch_trades(self._name))

    async def _tickers(self) -> None:
        while True:
            self._tell_ticker(await self._exchange.watch_ticker(self._name))

    async def _polled_trades(self) -> None:
        """Trades that were not seen before; what was traded before the first look is not ours to tell."""
        first = True
        while True:
            rows = await self._or_none("trades", self._exchange.fetch_trades(self._name, None, _TRADES_ASKED))
            if rows is not None:
                fresh = [row for row in rows if self._is_new(str(row.get("id")))]
                if fresh and not first:
                    self._tell_trades(fresh)
                first = False
            await asyncio.sleep(_TRADES_EVERY_S)

    async def _polled_tickers(self) -> None:
        while True:
            row = await self._or_none("ticker", self._exchange.fetch_ticker(self._name))
            if row is not None:
                self._tell_ticker(row)
            await asyncio.sleep(_TICKER_EVERY_S)

    def _is_new(self, trade_id: str) -> bool:
        if trade_id in self._known:
            return False
        self._known[trade_id] = None
        if len(self._known) > _TRADES_REMEMBERED:
            self._known.popitem(last=False)
        return True

    def _tell_trades(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._tell(frames.TRADES, frames.trades_frame(self.instrument.symbol, rows))

    def _tell_ticker(self, row: Mapping[str, Any]) -> None:
        self._tell(frames.TICKER, frames.ticker_frame(self.instrument.symbol, row))

    # --- Requests ------------------------------------------------------------------------------------

    def _tell(self, kind: str, frame: bytes) -> None:
        self._say(kind, self.instrument.symbol, frame)

    async def _asked(self, request: Coroutine[Any, Any, Any]) -> Any:
        async with asyncio.timeout(_REQUEST_S):
            return await request

    async def _or_none(self, channel: str, request: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await self._asked(request)
        except Exception as trouble:  # noqa: BLE001 - as above; the book goes on
            self._failed(channel, self.instrument.symbol, trouble)
            return None
