"""Binance spot, USD-M and COIN-M: routes, streams, liveness and REST paths.

Sources, read 2026-11: binance-spot-api-docs/web-socket-streams.md and rest-api.md; developers.binance.com futures
"websocket market streams" and market data endpoints; "Important WebSocket Change Notice" of 2026-03-06:

- USD-M has three routes since 2026-04-23. ``/public`` carries depth and bookTicker, ``/market`` aggTrade, markPrice,
  ticker, forceOrder and klines. ``trade`` is not in the notice: those who measured found it on ``/public`` (ccxt 4.5.68
  routes it there). The old root still opens and grants everything, and then delivers what is ``/public`` only: an
  answer is no evidence there, the first data is. Testnet and demo serve both routes.
- COIN-M kept its one route. Somebody reported in 2026-05 that it delivered no trades either, with ``/market/ws`` as the
  cure; neither the documents nor ccxt know of it. ``first_ns`` of the book and of the mark price would show it.
- Spot pings every 20 s and gives a minute for the pong, futures every 3 and 10 minutes. A connection lives for 24 h;
  ``serverShutdown`` announces its end on spot. 5 messages a second from us on spot, 10 on futures.
- Depth diffs come every 100 ms, mark prices every second, whatever happens; bookTicker when the best prices change.
- REST weights: depth of 1000 levels is 50 on spot (6000 a minute) and 20 on futures (2400). ``/futures/data`` has a
  limit of its own, 1000 requests in 5 minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.binance.topics import StreamLedger, StreamState
from adapters.streams.dialects.base import (
    Endpoints,
    LineSpec,
    Notice,
    NoticeKind,
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

REAL = {
    SPOT: Endpoints(ws="wss://stream.binance.com:9443", rest="https://api.binance.com"),
    USDM: Endpoints(ws="wss://fstream.binance.com", rest="https://fapi.binance.com"),
    COINM: Endpoints(ws="wss://dstream.binance.com", rest="https://dapi.binance.com"),
}
TESTNET = {
    SPOT: Endpoints(ws="wss://stream.testnet.binance.vision", rest="https://testnet.binance.vision"),
    USDM: Endpoints(ws="wss://fstream.binancefuture.com", rest="https://testnet.binancefuture.com"),
    COINM: Endpoints(ws="wss://dstream.binancefuture.com", rest="https://testnet.binancefuture.com"),
}
TOPICS_PER_LINE = 200

_API = {SPOT: "/api/v3", USDM: "/fapi/v1", COINM: "/dapi/v1"}
_STREAMS = {
    TopicKind.BOOK: "depth",
    TopicKind.BBO: "bookTicker",
    TopicKind.TRADES: "trade",
    TopicKind.MARK: "markPrice@1s",
    TopicKind.LIQUIDATIONS: "forceOrder",
    TopicKind.TICKER: "ticker",
}
_FUTURES_ONLY = frozenset({TopicKind.MARK, TopicKind.LIQUIDATIONS})
_PUBLIC_ROUTE = frozenset({TopicKind.BOOK, TopicKind.BBO, TopicKind.TRADES})
_ALWAYS = {
    # By kind: mute after, first data within, whether rare speech stretches the limit.
    TopicKind.BOOK: (1500 * MS_NS, 5 * SECOND_NS, True),
    TopicKind.BBO: (1500 * MS_NS, 30 * SECOND_NS, True),
    TopicKind.MARK: (3500 * MS_NS, 5 * SECOND_NS, False),
}
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


class _Time(msgspec.Struct, gc=False, rename="camel"):
    server_time: int


class _Probe(msgspec.Struct, gc=False):
    stream: str = ""
    e: str = ""


_time = msgspec.json.Decoder(_Time).decode
_probe = msgspec.json.Decoder(_Probe).decode


class _Ledger:
    """Binance's ledger in the driver's words."""

    def __init__(self) -> None:
        self._ledger = StreamLedger()
        self._unsent: list[bytes] = []

    def unsent(self) -> list[bytes]:
        unsent, self._unsent = self._unsent, []
        return unsent

    def subscribe(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        return self._ledger.subscribe(keys, now_ns)

    def again(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        return self._ledger.again(keys, now_ns)

    def on_message(self, payload: bytes) -> Sequence[TopicAnswer] | None:
        answer = self._ledger.on_message(payload)
        if answer is None:
            return None
        self._unsent.extend(answer.split)
        granted = not answer.code
        again = [TopicAnswer(key=key, asked=True) for key in answer.again]
        return again + [
            TopicAnswer(key=key, granted=granted, code=answer.code, text=answer.text, retry=answer.retry)
            for key in answer.streams
            if not granted or self._ledger.states.get(key) is StreamState.GRANTED
        ]


class BinanceDialect:
    """One of the three venues. ``depth`` is the diffs' speed: ``depth@100ms``, on futures ``depth@0ms`` too."""

    family = "binance"
    ping: bytes | None = None
    send_gap_ns = 250 * MS_NS
    life_ns = 23 * 3600 * SECOND_NS
    rest_snapshots = True
    trades_without_holes = True

    def __init__(
        self,
        venue: str,
        instruments: Sequence[Instrument],
        endpoints: Endpoints | None = None,
        *,
        depth: str = "depth@100ms",
    ) -> None:
        self.venue = venue
        self._endpoints = endpoints or REAL[venue]
        self._symbols = symbols_by_kind(instruments)
        self._depth = depth
        limit = 6000 if venue == SPOT else 2400
        self.pools: tuple[RestPool, ...] = (
            RestPool(name="weight", weight=limit, window_ns=60 * SECOND_NS, used_header="X-MBX-USED-WEIGHT-1M"),
            RestPool(name="futures_data", weight=1000, window_ns=300 * SECOND_NS),
        )

    # --- Streams ---------------------------------------------------------------------------------------

    def lines(self, kinds: frozenset[TopicKind]) -> tuple[LineSpec, ...]:
        """One connection, on USD-M one for each route."""
        wanted = [kind for kind in _STREAMS if kind in kinds and (self.venue != SPOT or kind not in _FUTURES_ONLY)]
        if self.venue != USDM:
            topics = [self._topic(symbol, kind) for symbol in self._symbols for kind in wanted]
            return tuple(chunked("stream", f"{self._endpoints.ws}/stream", topics, TOPICS_PER_LINE))
        lines: list[LineSpec] = []
        for route, is_public in (("public", True), ("market", False)):
            topics = [
                self._topic(symbol, kind)
                for symbol in self._symbols
                for kind in wanted
                if (kind in _PUBLIC_ROUTE) is is_public
            ]
            lines += chunked(route, f"{self._endpoints.ws}/{route}/stream", topics, TOPICS_PER_LINE)
        return tuple(lines)

    def _topic(self, symbol: str, kind: TopicKind) -> TopicSpec:
        mute_ns, first_ns, stretches = _ALWAYS.get(kind, (0, 0, True))
        return TopicSpec(
            key=self._key(symbol, kind),
            kind=kind,
            symbol=symbol,
            mute_ns=mute_ns,
            first_ns=first_ns,
            stretches=stretches,
        )

    def _key(self, symbol: str, kind: TopicKind) -> str:
        stream = self._depth if kind is TopicKind.BOOK else _STREAMS[kind]
        return f"{symbol.lower()}@{stream}"

    def book_topic(self, symbol: str) -> str:
        """The stream of diffs."""
        return self._key(symbol, TopicKind.BOOK)

    def ledger(self) -> _Ledger:
        """A ledger for one new connection."""
        return _Ledger()

    def router(self, pulses: Mapping[str, Pulse]) -> Router:
        """By the stream's name in ``{"stream":"<name>"``, read where it always is; else by decoding the message."""
        find = {key.encode(): pulse for key, pulse in pulses.items()}.get

        def route(payload: bytes) -> Pulse | None:
            found = find(payload[11 : payload.find(b'"', 11, 120)])
            if found is not None or payload[:1] != b"{" or b'"stream"' not in payload[:400]:
                return found
            try:
                return pulses.get(_probe(payload).stream)
            except _FAULTS:
                return None

        return route

    def notice(self, payload: bytes) -> Notice | None:
        """``serverShutdown``: a new connection is to be made at once."""
        if b"serverShutdown" not in payload[:400]:
            return None
        return Notice(kind=NoticeKind.RESET, text="serverShutdown")

    def order_of(self, payload: bytes) -> int:
        """``u`` of a diff or of a bookTicker."""
        return number_after(payload, b'"u":', 11)

    def is_snapshot(self, payload: bytes) -> bool:
        """Books begin by REST."""
        return False

    def trade_of(self, payload: bytes) -> int:
        """``t`` of a trade."""
        return number_after(payload, b'"t":', 11)

    def time_of(self, payload: bytes) -> int:
        """``E``; spot bookTicker has none."""
        return max(0, number_after(payload, b'"E":', 11)) * MS_NS

    # --- REST ------------------------------------------------------------------------------------------

    def snapshot(self, symbol: str) -> RestRequest | None:
        """A thousand levels."""
        return self._get("depth", f"depth?symbol={quote(symbol)}&limit=1000", 50 if self.venue == SPOT else 20, symbol)

    def server_time(self) -> RestRequest:
        """``serverTime``, in ms."""
        return self._get("server_time", "time", 1)

    def read_server_time(self, body: bytes) -> int:
        """UTC ns."""
        return _time(body).server_time * MS_NS

    def instruments(self) -> RestRequest:
        """The exchangeInfo of our symbols on spot, of all on futures, which know no filter."""
        names = quote("[" + ",".join(f'"{symbol}"' for symbol in self._symbols) + "]")
        path = f"exchangeInfo?symbols={names}" if self.venue == SPOT else "exchangeInfo"
        return self._get("instruments", path, 20 if self.venue == SPOT else 1)

    def polls(self, kinds: frozenset[TopicKind]) -> tuple[Poll, ...]:
        """Filters every hour; on futures open interest, premium index (funding) and the long/short ratio."""
        polls = [Poll(request=self.instruments(), every_ns=3600 * SECOND_NS, first_ns=SECOND_NS // 2)]
        if self.venue == SPOT:
            return tuple(polls)
        premium_weight = 1 if self.venue == USDM else 10
        if TopicKind.FUNDING in kinds:
            terms = self._get("funding_info", "fundingInfo", 1)
            polls.append(Poll(request=terms, every_ns=3600 * SECOND_NS, first_ns=SECOND_NS))
        for symbol in self._symbols:
            name = quote(symbol)
            if TopicKind.FUNDING in kinds:
                request = self._get("premium_index", f"premiumIndex?symbol={name}", premium_weight, symbol)
                polls.append(Poll(request=request, every_ns=60 * SECOND_NS, first_ns=2 * SECOND_NS))
            if TopicKind.OPEN_INTEREST in kinds:
                request = self._get("open_interest", f"openInterest?symbol={name}", 1, symbol)
                polls.append(Poll(request=request, every_ns=15 * SECOND_NS, first_ns=3 * SECOND_NS))
                which = f"symbol={name}" if self.venue == USDM else f"pair={quote(symbol.partition('_')[0])}"
                ratio = RestRequest(
                    channel="long_short_ratio",
                    url=f"{self._endpoints.rest}/futures/data/globalLongShortAccountRatio?{which}&period=5m&limit=1",
                    pool="futures_data",
                    symbol=symbol,
                )
                polls.append(Poll(request=ratio, every_ns=300 * SECOND_NS, first_ns=5 * SECOND_NS))
        return tuple(polls)

    def _get(self, channel: str, path: str, weight: int, symbol: str = "") -> RestRequest:
        url = f"{self._endpoints.rest}{_API[self.venue]}/{path}"
        return RestRequest(channel=channel, url=url, pool="weight", weight=weight, symbol=symbol)
