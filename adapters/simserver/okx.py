"""OKX v5 as a server: channels, subscriptions, and what each channel pushes first and then.

Replies are `okx_rest`'s, spelling is `adapters.okx.encode`'s. "WebSocket" and "Public Channel", okx.com/docs-v5 (read
2026-11): each topic is answered by itself; ``books`` is a snapshot and then changes of the best 400 levels every
100 ms; the text ``ping`` is answered by ``pong``; 30 s of silence end the connection; tick-by-tick books need a login.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from adapters.okx.codec import OkxCodec
from adapters.okx.encode import OkxEncoder, instrument_type, push
from adapters.okx.encode import refusal as said
from adapters.simserver.byte_edits import finer_prices
from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query, RestHandler, RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import (
    LateSnapshot,
    MergedSnapshot,
    NoAck,
    RealChecksum,
    SilentTopic,
    SubscribeError,
    UnbridgedSnapshot,
    Unponged,
)
from adapters.simserver.feed import Market, MarketFeed
from adapters.simserver.hub import Hub
from adapters.simserver.liquidations import is_liquidation
from adapters.simserver.okx_rest import OkxRest
from adapters.simserver.window import DepthWindow
from adapters.sources import Frame
from adapters.synthetic.steps import places
from trading.market.book import PyBook
from trading.market.events import Aggressor, BookTicker, DepthSnapshot, DepthUpdate, MarkPrice, Trade, VenueEvent

MS = 1_000_000
WINDOW = 400
TOPICS_MAX = 480
REQUESTS_PER_HOUR = 480
FORGOTTEN_IDS = 1 << 24
TICKERS_EVERY_NS = 100 * MS
INTEREST_EVERY_S = 3
FUNDING_EVERY_S = 30

_BY_INSTRUMENT = frozenset(
    {"books", "books5", "bbo-tbt", "trades", "tickers", "mark-price", "funding-rate", "open-interest"}
)
_BY_TYPE = frozenset({"liquidation-orders", "instruments"})
_LOGIN = frozenset({"books-l2-tbt", "books50-l2-tbt"})
_PRICED = frozenset({"books", "books5", "bbo-tbt", "trades", "trades-all", "tickers"})
_PERPETUAL = frozenset({"funding-rate", "open-interest"})
_REFER = "Please use the correct URL, channel and parameters referring to API document."
_encode = msgspec.json.encode


class _Request(msgspec.Struct):
    op: str
    args: list[dict[str, str]] = []
    id: str = ""


_request = msgspec.json.Decoder(_Request).decode


class OkxDialect:
    """OKX's public and business endpoints over one feed."""

    ws_paths: tuple[str, ...] = ("/ws/v5/{tail:public|business}",)
    ping_every_ns = pong_within_ns = 0
    idle_cut_ns = 30_000 * MS

    def __init__(self, feed: MarketFeed, hub: Hub, faults: Faults, wall_ns: Callable[[], int]) -> None:
        self.markets = feed.markets
        self._feed = feed
        self._hub = hub
        self._faults = faults
        self._wall_ns = wall_ns
        self._codec = OkxCodec([market.instrument for market in feed.markets.values()])
        self._encoders = {
            key: OkxEncoder(key, market.instrument.tick_size, market.instrument.lot_size)
            for key, market in feed.markets.items()
        }
        # What is pushed goes through the faults, which move its times; what is replied does not.
        self._rows = OkxRest(feed, self._encoders, faults, wall_ns, skewed=False)
        self._rest = OkxRest(feed, self._encoders, faults, wall_ns, skewed=True)
        self._windows: dict[str, DepthWindow] = {}
        self._marks: dict[str, bytes] = {}
        self._best: dict[str, bytes] = {}
        self._told: dict[str, tuple[int, int]] = {}
        self._asked: dict[int, int] = {}
        self._tickers_ns = 0
        self._seconds = 0

    # --- The source ----------------------------------------------------------------------------------

    def on_snapshot(self, key: str, frame: Frame) -> None:
        """The book begins."""
        market = self.markets[key]
        event = self._codec.decode_snapshot(frame.payload, market.instrument.instrument_id, frame.ts_recv_ns)
        if isinstance(event, DepthSnapshot):
            market.on_snapshot(event)

    def on_frame(self, key: str, payload: bytes, ts_ns: int) -> None:
        """Keep the server's own state, and push what is due."""
        market = self.markets[key]
        for event in self._codec.decode(payload, ts_ns):
            self._on_event(market, event, payload, ts_ns)

    def _on_event(self, market: Market, event: VenueEvent, payload: bytes, ts_ns: int) -> None:
        key = market.key
        match event:
            case DepthUpdate():
                market.on_update(event, ts_ns)
                self._push_books(market)
            case BookTicker():
                self._best[key] = payload
                self._publish(f"bbo-tbt:{key}", payload)
            case Trade():
                market.on_trade(event)
                self._publish(f"trades:{key}", payload)
                topic = f"trades-all:{key}"
                if self._hub.wanted(topic):
                    self._publish(topic, payload.replace(b'"channel":"trades"', b'"channel":"trades-all"', 1))
                if market.instrument.multiplier != 1 and is_liquidation(event.trade_id):
                    self._push_liquidation(market, event)
            case MarkPrice():
                self._marks[key] = payload
                self._publish(f"mark-price:{key}", payload)
            case _:
                pass

    def _push_books(self, market: Market) -> None:
        key = market.key
        topic = f"books:{key}"
        window = self._windows.get(key)
        if window is not None and not self._hub.wanted(topic):
            del self._windows[key]
        elif window is not None:
            prev_seq_id = window.seq
            sides = window.changes(market.book)
            checksum = self._checksum(market, topic)
            encoder = self._encoders[key]
            ts_ms = market.ts_event_ns // MS
            self._publish(topic, encoder.books("books", sides, ts_ms, window.seq, prev_seq_id, checksum=checksum))
        topic = f"books5:{key}"
        if self._hub.wanted(topic):
            five = self._encoders[key].five(market.book.top(5), market.ts_event_ns // MS, market.book.update_id)
            self._publish(topic, five)

    def _checksum(self, market: Market, topic: str) -> int:
        if self._faults.finer or self._faults.find(RealChecksum, topic) is None:
            return 0
        return self._encoders[market.key].checksum(market.book.top(WINDOW))

    def _push_liquidation(self, market: Market, trade: Trade) -> None:
        kind = instrument_type(market.key)
        topic = f"liquidation-orders:{kind}"
        if not self._hub.wanted(topic):
            return
        encoder = self._encoders[market.key]
        buy = trade.aggressor is Aggressor.BUY
        details = {
            "bkLoss": "0",
            "bkPx": encoder.price(trade.price_ticks),
            "ccy": "",
            "posSide": "short" if buy else "long",
            "side": "buy" if buy else "sell",
            "sz": encoder.qty(trade.qty_lots),
            "ts": str(trade.ts_event_ns // MS),
        }
        family = market.key.removesuffix("-SWAP")
        row = {"details": [details], "instFamily": family, "instId": market.key, "instType": kind, "uly": family}
        self._hub.publish(topic, push("liquidation-orders", {"instType": kind}, [row]))

    def on_batch(self) -> None:
        """Tickers, where last price or book have changed."""
        now_ns = self._wall_ns()
        if now_ns - self._tickers_ns < TICKERS_EVERY_NS:
            return
        self._tickers_ns = now_ns
        for key, market in self.markets.items():
            topic = f"tickers:{key}"
            state = market.trade_count, market.book.update_id
            if self._hub.wanted(topic) and self._told.get(key) != state:
                self._told[key] = state
                self._publish(topic, self._ticker(market))

    def on_second(self) -> None:
        """Index prices; and, more rarely, open interest and funding."""
        self._seconds += 1
        for index in sorted({self._rows.index_of(market) for market in self.markets.values()}):
            self._publish_rows("index-tickers", index, self._rows.index_rows(index))
        for key, market in self.markets.items():
            if instrument_type(key) == "SPOT":
                continue
            if self._seconds % INTEREST_EVERY_S == 0:
                self._publish_rows("open-interest", key, [self._rows.interest_row(market)])
            if self._seconds % FUNDING_EVERY_S == 0:
                self._publish_rows("funding-rate", key, self._rows.funding_rows(market))

    def on_rules_changed(self) -> None:
        """The channel instruments says so."""
        for kind in sorted({instrument_type(key) for key in self.markets}):
            rows = self._rows.instrument_rows(kind)
            self._hub.publish(f"instruments:{kind}", push("instruments", {"instType": kind}, rows))

    def _publish_rows(self, channel: str, subject: str, rows: Sequence[Mapping[str, object]]) -> None:
        topic = f"{channel}:{subject}"
        if rows and self._hub.wanted(topic):
            self._publish(topic, push(channel, {"instId": subject}, rows))

    def _ticker(self, market: Market) -> bytes:
        return push("tickers", {"instId": market.key}, [self._rows.ticker_row(market)])

    def _priced(self, topic: str, payload: bytes) -> bytes:
        channel, _, key = topic.partition(":")
        if not self._faults.finer or channel not in _PRICED:
            return payload
        return finer_prices(payload, places(self.markets[key].instrument.tick_size), plain=True)

    def _publish(self, topic: str, payload: bytes) -> None:
        if self._hub.wanted(topic):
            self._hub.publish(topic, self._priced(topic, payload))

    # --- Clients -------------------------------------------------------------------------------------

    def rest(self) -> dict[str, RestHandler]:
        """GET paths."""
        return self._rest.paths()

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """Nothing is said first."""
        self._asked[connection.id] = 0

    def on_close(self, connection: Connection) -> None:
        """Forget how often it asked."""
        self._asked.pop(connection.id, None)

    def on_text(self, connection: Connection, text: str) -> None:
        """``ping``, or one request."""
        if text == "ping":
            if self._faults.take(Unponged, "", connection.id) is None:
                connection.push(b"pong")
            return
        try:
            request = _request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._error(connection, "60012", f"Invalid request: {text[:120]}", "")
            return
        self._asked[connection.id] += 1
        if request.op not in {"subscribe", "unsubscribe"}:
            self._error(connection, "60012", f"Invalid request: {text[:120]}", request.id)
        elif self._asked[connection.id] > REQUESTS_PER_HOUR:
            self._error(connection, "60014", "Requests too frequent", request.id)
        else:
            for arg in request.args:
                self._topic(connection, request, arg)

    def _topic(self, connection: Connection, request: _Request, arg: dict[str, str]) -> None:
        channel = arg.get("channel", "")
        subject = arg.get("instId", "") or arg.get("instType", "")
        topic = f"{channel}:{subject}" if subject else channel
        if channel in _LOGIN:
            self._error(connection, "60011", "Please log in", request.id)
        elif not self._exists(connection, channel, subject, arg):
            named = f"channel:{channel},{'instId' if 'instId' in arg else 'instType'}:{subject} doesn't exist"
            text = (
                f"Wrong URL or {named}. Please use the correct URL, channel and parameters referring to API document."
            )
            self._error(connection, "60018", text, request.id)
        elif request.op == "unsubscribe":
            self._hub.leave(connection, topic)
            self._answer(connection, request, arg)
        elif len(connection.topics) >= TOPICS_MAX:
            self._error(connection, "60020", "Subscription amount exceeds the limit", request.id)
        elif self._faults.take(NoAck, topic, connection.id):
            return
        elif self._faults.take(SubscribeError, topic, connection.id):
            text = f"Wrong URL or channel:{channel},instId:{subject} doesn't exist."
            self._error(connection, "60018", text, request.id)
        else:
            self._answer(connection, request, arg)
            silent = self._faults.take(SilentTopic, topic, connection.id) is not None
            self._hub.join(connection, topic, silent=silent)
            if not silent:
                self._begin(connection, topic, channel, subject)

    def _exists(self, connection: Connection, channel: str, subject: str, arg: dict[str, str]) -> bool:
        business = connection.path.endswith("business")
        if channel == "trades-all":
            return business and subject in self.markets
        if business:
            return False
        if channel in _PERPETUAL:
            return subject in self.markets and instrument_type(subject) != "SPOT"
        if channel in _BY_INSTRUMENT:
            return subject in self.markets
        if channel in _BY_TYPE:
            return arg.get("instType", "") in {"SPOT", "SWAP", "FUTURES"}
        if channel == "index-tickers":
            return subject in {self._rows.index_of(market) for market in self.markets.values()}
        return channel == "status"

    def _begin(self, connection: Connection, topic: str, channel: str, subject: str) -> None:
        """What a channel pushes at once."""
        market = self.markets.get(subject)
        match channel:
            case "books" if market is not None:
                payload: bytes | None = self._snapshot(market, topic)
            case "bbo-tbt":
                payload = self._best.get(subject)
            case "tickers" if market is not None:
                payload = self._ticker(market)
            case "mark-price":
                payload = self._marks.get(subject)
            case "funding-rate" if market is not None:
                payload = push(channel, {"instId": subject}, self._rows.funding_rows(market))
            case "open-interest" if market is not None:
                payload = push(channel, {"instId": subject}, [self._rows.interest_row(market)])
            case "index-tickers":
                payload = push(channel, {"instId": subject}, self._rows.index_rows(subject))
            case "instruments":
                payload = push(channel, {"instType": subject}, self._rows.instrument_rows(subject))
            case _:
                payload = None
        if payload is not None:
            self._hub.deliver(connection, topic, self._priced(topic, payload))

    def _snapshot(self, market: Market, topic: str) -> bytes:
        """The book as the channel has it; all who are subscribed share one window."""
        window = self._windows.get(market.key)
        if window is None:
            window = self._windows[market.key] = DepthWindow(market.book, WINDOW)
        sides, seq_id = window.sides(), window.seq
        late: PyBook = market.late
        if self._faults.take(UnbridgedSnapshot, topic):
            sides, seq_id = late.top(WINDOW), max(1, late.update_id - FORGOTTEN_IDS)
        elif self._faults.take(LateSnapshot, topic):
            sides, seq_id = late.top(WINDOW), late.update_id
        elif self._faults.take(MergedSnapshot, topic):
            seq_id = late.update_id
        encoder = self._encoders[market.key]
        real = not self._faults.finer and self._faults.find(RealChecksum, topic) is not None
        checksum = encoder.checksum(sides) if real else 0
        ts_ms = market.ts_event_ns // MS
        return encoder.books("books", sides, ts_ms, seq_id, -1, action="snapshot", checksum=checksum)

    def _answer(self, connection: Connection, request: _Request, arg: dict[str, str]) -> None:
        body: dict[str, object] = {"id": request.id} if request.id else {}
        connection.push(_encode(body | {"event": request.op, "arg": arg, "connId": f"{connection.id:08x}"}))

    def _error(self, connection: Connection, code: str, msg: str, request_id: str) -> None:
        body: dict[str, object] = {"id": request_id} if request_id else {}
        body |= {"event": "error", "code": code, "msg": msg, "connId": f"{connection.id:08x}"}
        connection.push(_encode(body))

    def wrap(self, connection: Connection, topic: str, payload: bytes) -> bytes:
        """All connections get the same bytes."""
        return payload

    # --- Trouble -------------------------------------------------------------------------------------

    def notice(self, connection: Connection) -> bytes | None:
        """The notice of a service upgrade, and the channel status for those who have it."""
        if "status" in connection.topics:
            now_ms = self._wall_ns() // MS
            row = {
                "title": "WebSocket maintenance",
                "state": "ongoing",
                "begin": str(now_ms),
                "end": str(now_ms + 60_000),
            }
            self._hub.deliver(connection, "status", push("status", {}, [row]))
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return _encode({"event": "notice", "code": "64008", "msg": text, "connId": f"{connection.id:08x}"})

    def refusal(self, status: int) -> bytes:
        """OKX's words for an HTTP status."""
        if status == 429:
            return said("50011", "Too Many Requests")
        if status >= 500:
            return said("50001", "Service temporarily unavailable. Try again later")
        return said("50000" if status == 400 else "404", "Body for POST request cannot be empty.")

    def error(self) -> RestRefused:
        """An internal error."""
        return RestRefused(200, said("50026", "System error. Try again later"))
