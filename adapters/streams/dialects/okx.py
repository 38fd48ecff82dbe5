"""OKX v5, public data: connections, channels, liveness and REST paths.

Sources: okx.com/docs-v5, "WebSocket", the public channels of order book trading and of public data, and "Rate Limits"
(read 2026-11):

- trades-all is at ``/ws/v5/business``, every other channel used here at ``/ws/v5/public``. Three connections a second,
  480 requests an hour and connection; nothing to say for 30 s and the connection is cut, so the text ``ping`` is sent.
- No time limit is stated; ``notice`` 64008 announces a restart half a minute or a minute before it. Channel status
  tells maintenance windows.
- books: 100 ms, and a message at least every minute; bbo-tbt: 10 ms, on change. mark-price: 200 ms on change, else
  every 10 s. index-tickers: 100 ms on change, else every minute. funding-rate: 30 to 90 s. open-interest: 3 s.
- A book begins with a snapshot in the stream; asking again brings another. The REST book serves audits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from adapters.okx import frames
from adapters.okx.instruments import OKX
from adapters.okx.numbers import time_ns
from adapters.okx.topics import BUSINESS_PATH, PING, PUBLIC_PATH, Topic, TopicLedger, topic_of
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
from trading.instruments import Instrument, InstrumentKind

REAL = Endpoints(ws="wss://ws.okx.com:8443", rest="https://www.okx.com")
TESTNET = Endpoints(ws="wss://wspap.okx.com:8443", rest="https://www.okx.com")
TOPICS_PER_LINE = 200
RESTART_NOTICE = "64008"

_CHANNELS = {
    TopicKind.BOOK: "books",
    TopicKind.BBO: "bbo-tbt",
    TopicKind.TRADES: "trades",
    TopicKind.TICKER: "tickers",
    TopicKind.MARK: "mark-price",
    TopicKind.FUNDING: "funding-rate",
    TopicKind.OPEN_INTEREST: "open-interest",
}
_CONTRACTS_ONLY = frozenset({TopicKind.MARK, TopicKind.FUNDING, TopicKind.OPEN_INTEREST})
_ALWAYS = {
    # By kind: mute after, first data within, whether rare speech stretches the limit.
    TopicKind.BOOK: (1500 * MS_NS, 3 * SECOND_NS, True),
    TopicKind.BBO: (1500 * MS_NS, 30 * SECOND_NS, True),
    TopicKind.MARK: (12 * SECOND_NS, 12 * SECOND_NS, False),
}
_DOWN = frozenset({"ongoing", "scheduled", "pre_open"})
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError, ArithmeticError)


class _TimeRow(msgspec.Struct, gc=False):
    ts: str


class _Time(msgspec.Struct, gc=False):
    data: list[_TimeRow]


_time = msgspec.json.Decoder(_Time).decode


def _key(topic: Topic) -> str:
    return f"{topic.channel}:{topic.inst_id or topic.inst_type}"


class _Ledger:
    """OKX's ledger in the driver's words."""

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._topics = topics
        self._ledger = TopicLedger()

    def unsent(self) -> list[bytes]:
        return []

    def subscribe(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        return self._ledger.subscribe([self._topics[key] for key in keys], now_ns)

    def again(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        return [request for key in keys for request in self._ledger.again(self._topics[key], now_ns)]

    def on_message(self, payload: bytes) -> Sequence[TopicAnswer] | None:
        answer = self._ledger.on_message(payload)
        if answer is None:
            return None
        granted = not answer.code
        return [
            TopicAnswer(key=_key(topic), granted=granted, code=answer.code, text=answer.text, retry=answer.retry)
            for topic in answer.topics
            # An unsubscribe's answer says nothing of what is asked for.
            if not granted or self._ledger.state(topic) is not None
        ]


class OkxDialect:
    """OKX's instruments of any type. ``channel`` is what makes the books (`adapters.okx.codec.BOOK_CHANNELS`)."""

    venue = OKX
    family = "okx"
    ping: bytes | None = PING
    send_gap_ns = 100 * MS_NS
    life_ns = 7 * 24 * 3600 * SECOND_NS
    rest_snapshots = False
    trades_without_holes = False
    pools: tuple[RestPool, ...] = (
        RestPool(name="books", weight=40, window_ns=2 * SECOND_NS),
        RestPool(name="public", weight=10, window_ns=2 * SECOND_NS),
        RestPool(name="rubik", weight=5, window_ns=2 * SECOND_NS),
    )

    def __init__(
        self, instruments: Sequence[Instrument], endpoints: Endpoints | None = None, *, channel: str = "books"
    ) -> None:
        self._instruments = tuple(instruments)
        self._endpoints = endpoints or REAL
        self._channel = channel
        self._topics: dict[str, Topic] = {}

    # --- Streams ---------------------------------------------------------------------------------------

    def lines(self, kinds: frozenset[TopicKind]) -> tuple[LineSpec, ...]:
        """One connection, and another for channels of the business endpoint."""
        specs: dict[str, TopicSpec] = {}
        for instrument in self._instruments:
            for kind, usual in _CHANNELS.items():
                if kind in kinds and not (instrument.kind is InstrumentKind.SPOT and kind in _CONTRACTS_ONLY):
                    channel = self._channel if kind is TopicKind.BOOK else usual
                    self._add(specs, Topic(channel, instrument.symbol), kind, instrument.symbol)
            if TopicKind.INDEX in kinds:
                self._add(specs, Topic("index-tickers", f"{instrument.base}-{instrument.quote}"), TopicKind.INDEX, "")
            if TopicKind.LIQUIDATIONS in kinds and instrument.kind is not InstrumentKind.SPOT:
                topic = Topic("liquidation-orders", inst_type=_type_of(instrument))
                self._add(specs, topic, TopicKind.LIQUIDATIONS, "")
        if TopicKind.STATUS in kinds:
            self._add(specs, Topic("status"), TopicKind.STATUS, "")
        lines: list[LineSpec] = []
        for name, path in (("public", PUBLIC_PATH), ("business", BUSINESS_PATH)):
            mine = [spec for key, spec in specs.items() if self._topics[key].path == path]
            lines += chunked(name, f"{self._endpoints.ws}{path}", mine, TOPICS_PER_LINE)
        return tuple(lines)

    def _add(self, specs: dict[str, TopicSpec], topic: Topic, kind: TopicKind, symbol: str) -> None:
        key = _key(topic)
        mute_ns, first_ns, stretches = _ALWAYS.get(kind, (0, 0, True))
        self._topics[key] = topic
        specs.setdefault(
            key,
            TopicSpec(key=key, kind=kind, symbol=symbol, mute_ns=mute_ns, first_ns=first_ns, stretches=stretches),
        )

    def book_topic(self, symbol: str) -> str:
        """The channel that makes books."""
        return f"{self._channel}:{symbol}"

    def ledger(self) -> _Ledger:
        """A ledger for one new connection."""
        return _Ledger(self._topics)

    def router(self, pulses: Mapping[str, Pulse]) -> Router:
        """By the bytes up to the end of ``arg``, read where it always is; else by decoding the message.

        Channel status finds no route: it is read as a `notice`.
        """
        known = {key: pulse for key, pulse in pulses.items() if pulse.spec.kind is not TopicKind.STATUS}
        find = {_beginning(self._topics[key]): pulse for key, pulse in known.items()}.get

        def route(payload: bytes) -> Pulse | None:
            found = find(payload[: payload.find(b"}", 0, 160)])
            if found is not None or b'"data"' not in payload[:300]:
                return found
            topic = topic_of(payload)
            return None if topic is None else known.get(_key(topic))

        return route

    def notice(self, payload: bytes) -> Notice | None:
        """Event notice 64008, and windows of channel status that are not over."""
        if b'"notice"' in payload[:200]:
            if RESTART_NOTICE.encode() not in payload[:400]:
                return None
            return Notice(kind=NoticeKind.RESET, text=f"notice {RESTART_NOTICE}: service upgrade")
        if b'"status"' not in payload[:100]:
            return None
        try:
            rows = [row for row in frames.statuses(payload).data if row.state in _DOWN and row.end]
            ends = [(time_ns(row.end), row.title) for row in rows if row.state == "ongoing"]
        except _FAULTS:
            return None
        if not ends:
            return None
        until, title = max(ends)
        return Notice(kind=NoticeKind.MAINTENANCE, text=title[:160], until_ns=until)

    def order_of(self, payload: bytes) -> int:
        """``seqId``."""
        return number_after(payload, b'"seqId":')

    def is_snapshot(self, payload: bytes) -> bool:
        """``action`` says so."""
        return b'"snapshot"' in payload[:200]

    def trade_of(self, payload: bytes) -> int:
        """``tradeId`` of a message's first row; several matches are one message, so the numbers have holes."""
        return number_after(payload, b'"tradeId":"')

    def time_of(self, payload: bytes) -> int:
        """``ts`` of a message's first row."""
        return max(0, number_after(payload, b'"ts":"')) * MS_NS

    # --- REST ------------------------------------------------------------------------------------------

    def snapshot(self, symbol: str) -> RestRequest | None:
        """400 levels, for audits."""
        return self._get("depth", f"market/books?instId={quote(symbol)}&sz=400", "books", symbol)

    def server_time(self) -> RestRequest:
        """``ts``, in ms."""
        return self._get("server_time", "public/time", "public")

    def read_server_time(self, body: bytes) -> int:
        """UTC ns."""
        rows = _time(body).data
        if not rows:
            raise ValueError("no time in the reply")
        return time_ns(rows[0].ts)

    def polls(self, kinds: frozenset[TopicKind]) -> tuple[Poll, ...]:
        """Filters every hour; of contracts the long/short ratio, which has no channel."""
        types = dict.fromkeys(_type_of(instrument) for instrument in self._instruments)
        polls = [
            Poll(
                request=self._get("instruments", f"public/instruments?instType={kind}", "public"),
                every_ns=3600 * SECOND_NS,
                first_ns=SECOND_NS // 2,
            )
            for kind in types
        ]
        contracts = symbols_by_kind([i for i in self._instruments if i.kind is not InstrumentKind.SPOT])
        if TopicKind.OPEN_INTEREST in kinds:
            path = "rubik/stat/contracts/long-short-account-ratio-contract?period=5m&limit=1&instId="
            polls += [
                Poll(
                    request=self._get("long_short_ratio", path + quote(symbol), "rubik", symbol),
                    every_ns=300 * SECOND_NS,
                    first_ns=5 * SECOND_NS,
                )
                for symbol in contracts
            ]
        return tuple(polls)

    def _get(self, channel: str, path: str, pool: str, symbol: str = "") -> RestRequest:
        return RestRequest(channel=channel, url=f"{self._endpoints.rest}/api/v5/{path}", pool=pool, symbol=symbol)


def _beginning(topic: Topic) -> bytes:
    """How a push of ``topic`` begins, up to the brace that ends ``arg``."""
    if topic.inst_id:
        return f'{{"arg":{{"channel":"{topic.channel}","instId":"{topic.inst_id}"'.encode()
    return f'{{"arg":{{"channel":"{topic.channel}","instType":"{topic.inst_type}"'.encode()


def _type_of(instrument: Instrument) -> str:
    """OKX's instrument type: a swap is named so, a dated future ends in its day."""
    if instrument.kind is InstrumentKind.SPOT:
        return "SPOT"
    return "SWAP" if instrument.symbol.endswith("-SWAP") else "FUTURES"
