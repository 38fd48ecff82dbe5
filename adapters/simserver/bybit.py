"""Bybit v5 as a server: one public stream a category, subscriptions, and the pace of each topic.

Replies are `bybit_rest`'s, spelling is `adapters.bybit.encode`'s. "Connect" and the public topics,
bybit-exchange.github.io/docs/v5/ws (read 2026-11): one answer is for a whole request and one topic that is not there
refuses all of it; a book is a snapshot and then deltas whose ``u`` counts; ``orderbook.1`` is snapshots only and is
repeated after 3 s without a change; tickers of contracts are a snapshot and then what has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from adapters.bybit.codec import BybitCodec
from adapters.bybit.encode import BybitEncoder
from adapters.bybit.encode import refusal as said
from adapters.simserver.bybit_rest import BybitRest
from adapters.simserver.byte_edits import finer_prices
from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query, RestHandler, RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import (
    LateSnapshot,
    MergedSnapshot,
    NoAck,
    SilentTopic,
    SubscribeError,
    UnbridgedSnapshot,
    Unponged,
)
from adapters.simserver.feed import Market, MarketFeed
from adapters.simserver.hub import Hub
from adapters.simserver.liquidations import is_liquidation
from adapters.simserver.window import DepthWindow, Sides
from adapters.sources import Frame
from adapters.synthetic.steps import places
from trading.instruments import InstrumentKind
from trading.market.events import Aggressor, BookTicker, DepthSnapshot, DepthUpdate, Trade, VenueEvent

MS = 1_000_000
SPOT_ARGS_MAX = 10
TOPICS_MAX = 1_000
FORGOTTEN_IDS = 1 << 20
DEEPEST = 1000
TICKERS_EVERY_NS = 100 * MS
LIQUIDATIONS_EVERY_NS = 500 * MS
REPEAT_NS = 3_000 * MS

CONTRACT_PACE_MS = {50: 20, 200: 100, 500: 100, 1000: 200}
SPOT_PACE_MS = {50: 20, 200: 200, 1000: 200}
"""Milliseconds between messages of each depth."""

_encode = msgspec.json.encode


class _Request(msgspec.Struct):
    op: str
    args: list[str] = []
    req_id: str | int = ""


_request = msgspec.json.Decoder(_Request).decode


class BybitDialect:
    """The public endpoints of all categories over one feed. Topics of the server are ``<category>.<topic>``."""

    ws_paths: tuple[str, ...] = ("/v5/public/{tail:spot|linear|inverse}",)
    ping_every_ns = pong_within_ns = 0
    idle_cut_ns = 600_000 * MS

    def __init__(self, feed: MarketFeed, hub: Hub, faults: Faults, wall_ns: Callable[[], int]) -> None:
        self.markets = feed.markets
        self._feed = feed
        self._hub = hub
        self._faults = faults
        self._wall_ns = wall_ns
        self._codecs: dict[str, BybitCodec] = {}
        self._encoders: dict[str, BybitEncoder] = {}
        for key, market in feed.markets.items():
            one = market.instrument
            self._codecs[key] = BybitCodec([one], book_depth=DEEPEST)
            spot, inverse = one.kind is InstrumentKind.SPOT, one.kind is InstrumentKind.INVERSE
            self._encoders[key] = BybitEncoder(one.symbol, one.tick_size, one.lot_size, spot=spot, inverse=inverse)
        self._rows = BybitRest(feed, self._encoders, faults, wall_ns, skewed=False)
        self._rest = BybitRest(feed, self._encoders, faults, wall_ns, skewed=True)
        self._windows: dict[str, tuple[Market, DepthWindow]] = {}
        self._best: dict[str, tuple[bytes, int]] = {}
        self._told: dict[str, dict[str, str]] = {}
        self._taken: dict[str, list[tuple[int, int, int, bool]]] = {}
        self._tickers_ns = self._taken_ns = 0
        self._u = wall_ns() // 1_000_000_000

    # --- The source ----------------------------------------------------------------------------------

    def on_snapshot(self, key: str, frame: Frame) -> None:
        """The book begins."""
        event = self._codecs[key].decode_snapshot(frame.payload, frame.ts_recv_ns)
        if isinstance(event, DepthSnapshot):
            # Other numbers than the deepest stream's are compared by seq: it numbers the server's own book.
            self.markets[key].on_snapshot(msgspec.structs.replace(event, last_update_id=event.seq))
            self._rest.deepest_u[key] = event.last_update_id

    def on_frame(self, key: str, payload: bytes, ts_ns: int) -> None:
        """Keep the server's own state, and send what is due."""
        for event in self._codecs[key].decode(payload, ts_ns):
            self._on_event(self.markets[key], event, payload, ts_ns)

    def _on_event(self, market: Market, event: VenueEvent, payload: bytes, ts_ns: int) -> None:
        category, _, symbol = market.key.partition(":")
        match event:
            case DepthUpdate():
                self._rest.deepest_u[market.key] = event.final_update_id
                numbered = msgspec.structs.replace(event, first_update_id=event.seq, final_update_id=event.seq)
                market.on_update(numbered, ts_ns)
            case BookTicker():
                self._best[market.key] = payload, self._wall_ns()
                self._publish(market, f"{category}.orderbook.1.{symbol}", payload)
            case Trade():
                market.on_trade(event)
                begin = payload.find(b'"i":"') + 5
                self._rest.on_trade(market.key, payload[begin : payload.find(b'"', begin)].decode())
                self._publish(market, f"{category}.publicTrade.{symbol}", payload)
                if category != "spot" and is_liquidation(event.trade_id):
                    long = event.aggressor is Aggressor.SELL
                    taken = self._taken.setdefault(market.key, [])
                    taken.append((event.ts_event_ns // MS, event.price_ticks, event.qty_lots, long))
            case _:
                pass

    def on_batch(self) -> None:
        """Books, tickers and liquidations, each at its pace."""
        now_ns = self._wall_ns()
        for topic, (market, window) in list(self._windows.items()):
            if not self._hub.wanted(topic):
                del self._windows[topic]
            elif window.seq != market.book.update_id and now_ns - window.sent_ns >= self._pace_ns(market, window.depth):
                window.sent_ns = now_ns
                sides = window.changes(market.book)
                if sides[0] or sides[1]:
                    window.u += 1
                    self._publish(market, topic, self._book(market, window, "delta", sides))
        if now_ns - self._tickers_ns >= TICKERS_EVERY_NS:
            self._tickers_ns = now_ns
            for market in self.markets.values():
                self._push_ticker(market)
        if now_ns - self._taken_ns >= LIQUIDATIONS_EVERY_NS:
            self._taken_ns = now_ns
            self._push_liquidations(now_ns)

    def _pace_ns(self, market: Market, depth: int) -> int:
        paces = SPOT_PACE_MS if market.key.startswith("spot") else CONTRACT_PACE_MS
        return paces[depth] * MS

    def _book(self, market: Market, window: DepthWindow, kind: str, told: Sides) -> bytes:
        event_ms = market.ts_event_ns // MS
        return self._encoders[market.key].book(
            window.depth, kind, told, u=window.u, seq=window.seq, event_ms=event_ms, sent_ms=self._wall_ns() // MS
        )

    def _push_ticker(self, market: Market) -> None:
        category, _, symbol = market.key.partition(":")
        topic = f"{category}.tickers.{symbol}"
        if not self._hub.wanted(topic):
            self._told.pop(market.key, None)
            return
        fields = self._rows.ticker_fields(market)
        before = self._told.get(market.key, {})
        changed = {name: text for name, text in fields.items() if before.get(name) != text}
        if changed:
            self._told[market.key] = fields
            spot = category == "spot"
            self._publish(
                market, topic, self._ticker(market, "snapshot" if spot else "delta", fields if spot else changed)
            )

    def _ticker(self, market: Market, kind: str, fields: Mapping[str, str]) -> bytes:
        return self._encoders[market.key].ticker(kind, fields, market.book.update_id, self._wall_ns() // MS)

    def _push_liquidations(self, now_ns: int) -> None:
        for key, taken in self._taken.items():
            category, _, symbol = key.partition(":")
            topic = f"{category}.allLiquidation.{symbol}"
            if taken and self._hub.wanted(topic):
                payload = self._encoders[key].liquidations(taken, now_ns // MS)
                self._publish(self.markets[key], topic, payload)
        self._taken.clear()

    def on_second(self) -> None:
        """``orderbook.1`` is repeated when nothing has changed for 3 s."""
        now_ns = self._wall_ns()
        for key, (payload, told_ns) in list(self._best.items()):
            if now_ns - told_ns >= REPEAT_NS:
                category, _, symbol = key.partition(":")
                self._best[key] = payload, now_ns
                self._publish(self.markets[key], f"{category}.orderbook.1.{symbol}", payload)

    def on_rules_changed(self) -> None:
        """The venue says nothing: instruments-info has to be asked."""

    def _priced(self, market: Market, payload: bytes) -> bytes:
        if not self._faults.finer:
            return payload
        plain = market.instrument.kind is InstrumentKind.SPOT
        return finer_prices(payload, places(market.instrument.tick_size), plain=plain)

    def _publish(self, market: Market, topic: str, payload: bytes) -> None:
        if self._hub.wanted(topic):
            self._hub.publish(topic, self._priced(market, payload))

    # --- Clients -------------------------------------------------------------------------------------

    def rest(self) -> dict[str, RestHandler]:
        """GET paths."""
        return self._rest.paths()

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """Nothing is said first."""

    def on_close(self, connection: Connection) -> None:
        """Nothing is kept of a client."""

    def on_text(self, connection: Connection, text: str) -> None:
        """``ping``, ``subscribe``, ``unsubscribe``."""
        category = connection.path.rpartition("/")[2]
        try:
            request = _request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._answer(connection, "", "", "error:json decode failed")
            return
        match request.op:
            case "ping":
                if self._faults.take(Unponged, "", connection.id) is None:
                    self._answer(connection, request.req_id, "ping", "", ok_text="pong")
            case "subscribe":
                self._subscribe(connection, request, category)
            case "unsubscribe":
                for topic in request.args:
                    self._hub.leave(connection, f"{category}.{topic}")
                self._answer(connection, request.req_id, "unsubscribe", "")
            case _:
                self._answer(connection, request.req_id, request.op, "error:request not supported")

    def _subscribe(self, connection: Connection, request: _Request, category: str) -> None:
        if not request.args or (category == "spot" and len(request.args) > SPOT_ARGS_MAX):
            self._answer(connection, request.req_id, "subscribe", f"error:args size >{SPOT_ARGS_MAX}")
            return
        topics = {topic: f"{category}.{topic}" for topic in request.args}
        if any(self._faults.take(NoAck, topic, connection.id) for topic in topics.values()):
            return
        for asked, topic in topics.items():
            refused = self._faults.take(SubscribeError, topic, connection.id) is not None
            if refused or not self._exists(category, asked) or len(connection.topics) >= TOPICS_MAX:
                self._answer(connection, request.req_id, "subscribe", f"error:handler not found,topic:{asked}")
                return
            if topic in connection.topics:
                self._answer(connection, request.req_id, "subscribe", f"error:already subscribed,topic:{asked}")
                return
        self._answer(connection, request.req_id, "subscribe", "", ok_text="subscribe" if category == "spot" else "")
        for asked, topic in topics.items():
            silent = self._faults.take(SilentTopic, topic, connection.id) is not None
            self._hub.join(connection, topic, silent=silent)
            if not silent:
                self._begin(connection, category, asked, topic)

    def _exists(self, category: str, asked: str) -> bool:
        name, _, symbol = asked.rpartition(".")
        if f"{category}:{symbol}" not in self.markets:
            return False
        if name.startswith("orderbook."):
            depth = name.removeprefix("orderbook.")
            paces = SPOT_PACE_MS if category == "spot" else CONTRACT_PACE_MS
            return depth == "1" or (depth.isdigit() and int(depth) in paces)
        return name in {"publicTrade", "tickers"} or (name == "allLiquidation" and category != "spot")

    def _begin(self, connection: Connection, category: str, asked: str, topic: str) -> None:
        """What a topic sends at once."""
        name, _, symbol = asked.rpartition(".")
        market = self.markets[f"{category}:{symbol}"]
        payload: bytes | None = None
        if name == "orderbook.1":
            payload = self._best.get(market.key, (None, 0))[0]
        elif name.startswith("orderbook."):
            payload = self._snapshot(market, topic, int(name.removeprefix("orderbook.")))
        elif name == "tickers":
            fields = self._rows.ticker_fields(market)
            self._told.setdefault(market.key, fields)
            payload = self._ticker(market, "snapshot", fields)
        if payload is not None:
            self._hub.deliver(connection, topic, self._priced(market, payload))

    def _snapshot(self, market: Market, topic: str, depth: int) -> bytes:
        """The book as the topic has it; all who are subscribed share one window."""
        found = self._windows.get(topic)
        if found is None:
            self._u += 1_000
            found = self._windows[topic] = market, DepthWindow(market.book, depth, self._u)
        window = found[1]
        told, late = window.sides(), market.late
        u, seq = window.u, window.seq
        if self._faults.take(UnbridgedSnapshot, topic):
            told, u, seq = late.top(depth), max(2, window.u - FORGOTTEN_IDS), late.update_id
        elif self._faults.take(LateSnapshot, topic):
            told, seq = late.top(depth), late.update_id
        elif self._faults.take(MergedSnapshot, topic):
            u, seq = u - 1, late.update_id
        event_ms = market.ts_event_ns // MS
        return self._encoders[market.key].book(
            depth, "snapshot", told, u=u, seq=seq, event_ms=event_ms, sent_ms=self._wall_ns() // MS
        )

    def _answer(self, connection: Connection, request_id: str | int, op: str, error: str, ok_text: str = "") -> None:
        body: dict[str, object] = {"success": not error, "ret_msg": error or ok_text}
        body |= {"conn_id": f"{connection.id:08x}-0000-4000-8000-000000000000", "req_id": str(request_id), "op": op}
        connection.push(_encode(body))

    def wrap(self, connection: Connection, topic: str, payload: bytes) -> bytes:
        """All connections get the same bytes."""
        return payload

    # --- Trouble -------------------------------------------------------------------------------------

    def notice(self, connection: Connection) -> bytes | None:
        """The public streams announce nothing."""
        return None

    def refusal(self, status: int) -> bytes:
        """Bybit's words for an HTTP status."""
        now_ms = (self._wall_ns() + self._faults.offset_ns) // MS
        if status in {403, 429}:
            return said(10006, "Too many visits. Exceeded the API Rate Limit.", now_ms)
        return said(10016 if status >= 500 else 10001, f"HTTP {status}", now_ms)

    def error(self) -> RestRefused:
        """An internal error."""
        now_ms = (self._wall_ns() + self._faults.offset_ns) // MS
        return RestRefused(200, said(10016, "Internal server error.", now_ms))
