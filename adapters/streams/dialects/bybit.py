"""Bybit v5, public data of one category: connection, topics, liveness and REST paths.

A symbol may exist in two categories (BTCUSDT spot and linear) and its messages do not say which: a feed speaks of one.
Sources: bybit-exchange.github.io/docs/v5, "Connect", "Orderbook", "Ticker", "All Liquidation" and "Rate limit" (read
2026-11):

- One endpoint for each category. At most 500 new connections in 5 minutes and domain; a ping every 20 s. No time limit
  is stated for public connections; without ping-pong and data they are cut after 10 minutes.
- orderbook.50: 20 ms; orderbook.200: 100 ms; orderbook.1: 10 ms, and again after 3 s without a change. A book begins
  with a snapshot in the stream; asking again brings another. tickers: 100 ms (spot 50 ms), on change; of contracts they
  hold mark and index price, funding and open interest, so that none of these needs asking for.
- REST: 600 requests in 5 s for one address, then 403 for ten minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from adapters.bybit.instruments import BYBIT, KINDS, Category
from adapters.bybit.subscriptions import Answer, SubscriptionLedger, TopicState, ping
from adapters.streams.dialects.base import (
    Endpoints,
    LineSpec,
    Notice,
    Poll,
    RestPool,
    RestRequest,
    Router,
    chunked,
    number_after,
    symbols_by_kind,
)
from adapters.streams.topics import MS_NS, SECOND_NS, Pulse, TopicAnswer, TopicKind, TopicSpec
from trading.instruments import Instrument

REAL = Endpoints(ws="wss://stream.bybit.com", rest="https://api.bybit.com")
TESTNET = Endpoints(ws="wss://stream-testnet.bybit.com", rest="https://api-testnet.bybit.com")
TOPICS_PER_LINE = 200
BOOK_DEPTH = 50

_IN_TICKERS = frozenset({TopicKind.TICKER, TopicKind.MARK, TopicKind.INDEX, TopicKind.FUNDING, TopicKind.OPEN_INTEREST})
_FOREVER = ("not found", "invalid", "error:handler")
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


class _Time(msgspec.Struct, gc=False):
    time: int


class _Probe(msgspec.Struct, gc=False):
    topic: str = ""


_time = msgspec.json.Decoder(_Time).decode
_probe = msgspec.json.Decoder(_Probe).decode


class _Ledger:
    """Bybit's ledger in the driver's words; what an answer leaves untold is asked for again."""

    def __init__(self) -> None:
        self._ledger = SubscriptionLedger()
        self._unsent: list[bytes] = []

    def unsent(self) -> list[bytes]:
        unsent, self._unsent = self._unsent, []
        return unsent

    def subscribe(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        return self._ledger.subscribe(keys)

    def again(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        leave = self._ledger.unsubscribe(keys)
        for key in keys:
            self._ledger.states.pop(key, None)
        return leave + self._ledger.subscribe(keys)

    def on_message(self, payload: bytes) -> Sequence[TopicAnswer] | None:
        answer = self._ledger.on_message(payload)
        if answer is None:
            return None
        if not isinstance(answer, Answer):
            return ()
        for key in answer.granted:
            # The answer to an unsubscribe may have come between: what is granted is there to be left again.
            self._ledger.states[key] = TopicState.GRANTED
        self._unsent.extend(self._ledger.subscribe(answer.untold))
        retry = not any(word in answer.error for word in _FOREVER)
        granted = [TopicAnswer(key=key, granted=True) for key in answer.granted]
        return granted + [TopicAnswer(key=key, text=answer.error, retry=retry) for key in answer.refused]


class BybitDialect:
    """One category; ``ValueError`` for instruments of several."""

    venue = BYBIT
    family = "bybit"
    ping: bytes | None = ping("ping")
    send_gap_ns = 50 * MS_NS
    life_ns = 7 * 24 * 3600 * SECOND_NS
    rest_snapshots = False
    trades_without_holes = False
    pools: tuple[RestPool, ...] = (RestPool(name="address", weight=600, window_ns=5 * SECOND_NS),)

    def __init__(
        self, instruments: Sequence[Instrument], endpoints: Endpoints | None = None, *, book_depth: int = BOOK_DEPTH
    ) -> None:
        kinds = {instrument.kind for instrument in instruments}
        if len(kinds) != 1:
            raise ValueError(f"a feed of bybit speaks of one category, not of {len(kinds)}")
        (kind,) = kinds
        self.category = next(category for category, its in KINDS.items() if its is kind)
        self._symbols = symbols_by_kind(instruments)
        self._endpoints = endpoints or REAL
        self._book_depth = book_depth

    # --- Streams ---------------------------------------------------------------------------------------

    def lines(self, kinds: frozenset[TopicKind]) -> tuple[LineSpec, ...]:
        """One connection of the category's endpoint."""
        topics = [topic for symbol in self._symbols for topic in self._topics(symbol, kinds)]
        url = f"{self._endpoints.ws}/v5/public/{self.category.value}"
        return tuple(chunked(self.category.value, url, topics, TOPICS_PER_LINE))

    def _topics(self, symbol: str, kinds: frozenset[TopicKind]) -> list[TopicSpec]:
        spot = self.category is Category.SPOT
        topics: list[TopicSpec] = []
        if TopicKind.BOOK in kinds:
            topics.append(
                TopicSpec(
                    key=self.book_topic(symbol),
                    kind=TopicKind.BOOK,
                    symbol=symbol,
                    mute_ns=1500 * MS_NS,
                    first_ns=3 * SECOND_NS,
                )
            )
        if TopicKind.BBO in kinds:
            key = f"orderbook.1.{symbol}"
            limit = 4 * SECOND_NS
            topics.append(
                TopicSpec(key=key, kind=TopicKind.BBO, symbol=symbol, mute_ns=limit, first_ns=limit, stretches=False)
            )
        if TopicKind.TRADES in kinds:
            topics.append(TopicSpec(key=f"publicTrade.{symbol}", kind=TopicKind.TRADES, symbol=symbol))
        wanted = kinds & (frozenset({TopicKind.TICKER}) if spot else _IN_TICKERS)
        if wanted:
            kind = TopicKind.TICKER if spot else TopicKind.MARK
            limit = 0 if spot else 12 * SECOND_NS
            topics.append(TopicSpec(key=f"tickers.{symbol}", kind=kind, symbol=symbol, mute_ns=limit, first_ns=limit))
        if TopicKind.LIQUIDATIONS in kinds and not spot:
            topics.append(TopicSpec(key=f"allLiquidation.{symbol}", kind=TopicKind.LIQUIDATIONS, symbol=symbol))
        return topics

    def book_topic(self, symbol: str) -> str:
        """The depth that makes books."""
        return f"orderbook.{self._book_depth}.{symbol}"

    def ledger(self) -> _Ledger:
        """A ledger for one new connection."""
        return _Ledger()

    def router(self, pulses: Mapping[str, Pulse]) -> Router:
        """By the topic in ``{"topic":"<name>"``, read where it always is; else by decoding the message."""
        find = {key.encode(): pulse for key, pulse in pulses.items()}.get

        def route(payload: bytes) -> Pulse | None:
            found = find(payload[10 : payload.find(b'"', 10, 120)])
            if found is not None or b'"topic"' not in payload[:300]:
                return found
            try:
                return pulses.get(_probe(payload).topic)
            except _FAULTS:
                return None

        return route

    def notice(self, payload: bytes) -> Notice | None:
        """Public connections are told nothing."""
        return None

    def order_of(self, payload: bytes) -> int:
        """``seq``, the one number that all depths and connections share."""
        return number_after(payload, b'"seq":')

    def is_snapshot(self, payload: bytes) -> bool:
        """``type`` says so."""
        return b'"snapshot"' in payload[:200]

    def trade_of(self, payload: bytes) -> int:
        """Contracts name trades by UUID, and one message holds several: they have no number."""
        return -1

    def time_of(self, payload: bytes) -> int:
        """``ts``."""
        return max(0, number_after(payload, b'"ts":')) * MS_NS

    # --- REST ------------------------------------------------------------------------------------------

    def snapshot(self, symbol: str) -> RestRequest | None:
        """As deep as REST goes, for audits."""
        limit = 200 if self.category is Category.SPOT else 500
        return self._get("depth", f"orderbook?{self._of(symbol)}&limit={limit}", symbol)

    def server_time(self) -> RestRequest:
        """``time`` of any reply, in ms."""
        return self._get("server_time", "time")

    def read_server_time(self, body: bytes) -> int:
        """UTC ns."""
        return _time(body).time * MS_NS

    def polls(self, kinds: frozenset[TopicKind]) -> tuple[Poll, ...]:
        """Filters every hour; of contracts the long/short ratio, which has no topic."""
        polls = [
            Poll(
                request=self._get("instruments", f"instruments-info?{self._of(symbol)}", symbol),
                every_ns=3600 * SECOND_NS,
                first_ns=SECOND_NS // 2,
            )
            for symbol in self._symbols
        ]
        if self.category is not Category.SPOT and TopicKind.OPEN_INTEREST in kinds:
            polls += [
                Poll(
                    request=self._get(
                        "long_short_ratio", f"account-ratio?{self._of(symbol)}&period=5min&limit=1", symbol
                    ),
                    every_ns=300 * SECOND_NS,
                    first_ns=5 * SECOND_NS,
                )
                for symbol in self._symbols
            ]
        return tuple(polls)

    def _of(self, symbol: str) -> str:
        return f"category={self.category.value}&symbol={quote(symbol)}"

    def _get(self, channel: str, path: str, symbol: str = "") -> RestRequest:
        url = f"{self._endpoints.rest}/v5/market/{path}"
        return RestRequest(channel=channel, url=url, pool="address", symbol=symbol)
