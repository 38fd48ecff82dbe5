"""Binance spot, USD-M and COIN-M as a server: streams, subscriptions, and which route delivers what.

Frames of the source are passed on as they are; what the venue derives from them is `binance_streams`'s, replies are
`binance_rest`'s. "Web Socket Streams", binance-spot-api-docs, and "Important WebSocket Change Notice",
developers.binance.com derivatives/usds-margined-futures (read 2026-11): USD-M has `/public` (depth, bookTicker, trade)
and `/market` (all else); the old route still grants everything and delivers the public part. Unknown streams are
granted and stay silent, on all three venues.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.simserver.binance_rest import BinanceRest
from adapters.simserver.binance_streams import DerivedStreams
from adapters.simserver.byte_edits import finer_prices
from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query, RestHandler, RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import NoAck, SilentTopic, SubscribeError
from adapters.simserver.feed import MarketFeed
from adapters.simserver.hub import Hub
from adapters.sources import Frame
from adapters.synthetic.steps import places
from trading.market.events import DepthSnapshot, DepthUpdate, MarkPrice, Trade

_S = 1_000_000_000
_STREAMS_MAX = {SPOT: 1024, USDM: 200, COINM: 200}
_REQUESTS_PER_S = {SPOT: 5, USDM: 10, COINM: 10}
_PUBLIC = ("depth", "rpiDepth", "bookTicker", "trade")
POLICY = 1008


class Route(Enum):
    """Which of the venue's streams a connection is served."""

    ALL = "all"
    PUBLIC = "public"
    MARKET = "market"


class _Request(msgspec.Struct):
    method: str
    params: list[msgspec.Raw] = []
    id: int | str | None = None


_request = msgspec.json.Decoder(_Request).decode
_stream = msgspec.json.Decoder(str).decode
_encode = msgspec.json.encode


def is_public(stream: str) -> bool:
    """Whether USD-M's `/public` carries a stream."""
    return stream.partition("@")[2].startswith(_PUBLIC)


class BinanceDialect:
    """One of the three venues."""

    idle_cut_ns = 0

    def __init__(self, venue: str, feed: MarketFeed, hub: Hub, faults: Faults, wall_ns: Callable[[], int]) -> None:
        self.venue = venue
        self.markets = feed.markets
        self._feed = feed
        self._hub = hub
        self._faults = faults
        self._wall_ns = wall_ns
        self._codec = BinanceCodec(venue, [market.instrument for market in feed.markets.values()])
        self._streams = DerivedStreams(venue, hub, wall_ns)
        # What is streamed goes through the faults, which move its times; what is replied does not.
        self._rest = BinanceRest(venue, feed, faults, lambda: wall_ns() + faults.offset_ns)
        self._routes: dict[int, Route] = {}
        self.ping_every_ns = (20 if venue == SPOT else 180) * _S
        self.pong_within_ns = (60 if venue == SPOT else 600) * _S
        routed = ("/{route:public|market}/ws", "/{route:public|market}/ws/{tail:.+}", "/{route:public|market}/stream")
        plain = ("/ws", "/ws/{tail:.+}", "/stream")
        self.ws_paths = plain + (routed if venue == USDM else ())

    # --- The source ----------------------------------------------------------------------------------

    def on_snapshot(self, key: str, frame: Frame) -> None:
        """The book begins."""
        market = self.markets[key]
        event = self._codec.decode_snapshot(frame.payload, market.instrument.instrument_id, frame.ts_recv_ns)
        if isinstance(event, DepthSnapshot):
            market.on_snapshot(event)

    def on_frame(self, key: str, payload: bytes, ts_ns: int) -> None:
        """Keep the server's own state, then pass the frame on."""
        stream = payload[11 : payload.find(b'"', 11)].decode()
        market = self.markets[key]
        kind = stream.partition("@")[2]
        if kind == "bookTicker":
            self._rest.on_ticker(key, payload)
        else:
            event = self._codec.decode(payload, ts_ns)
            match event:
                case DepthUpdate():
                    market.on_update(event, ts_ns)
                    self._streams.on_depth(stream, payload)
                case Trade():
                    market.on_trade(event)
                    self._streams.on_trade(market, event)
                case MarkPrice():
                    self._rest.on_mark(key, event)
                    self._streams.on_mark(stream, payload)
                case _:
                    pass
        if self._faults.quiet and not self._hub.wanted(stream):
            return
        self._publish(stream, payload)

    def _publish(self, stream: str, payload: bytes) -> None:
        if self._faults.finer:
            market = self.markets.get(stream.partition("@")[0].upper())
            if market is not None:
                payload = finer_prices(payload, places(market.instrument.tick_size), plain=False)
        self._hub.publish(stream, payload)

    def on_batch(self) -> None:
        """Send what was merged."""
        for stream, payload in self._streams.due():
            self._publish(stream, payload)

    def on_second(self) -> None:
        """Send the day's figures."""
        for market in self.markets.values():
            for stream, payload in self._streams.day(market, self._rest.day(market)):
                self._publish(stream, payload)

    def on_rules_changed(self) -> None:
        """The venue says nothing: exchangeInfo has to be asked."""

    # --- Clients -------------------------------------------------------------------------------------

    def rest(self) -> dict[str, RestHandler]:
        """GET paths of this venue."""
        return self._rest.paths()

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """Streams named in the path or the query are subscribed to at once."""
        route = Route.ALL
        if self.venue == USDM:
            route = Route.MARKET if connection.path.startswith("/market") else Route.PUBLIC
        self._routes[connection.id] = route
        connection.combined = connection.path.endswith("/stream")
        streams = query.get("streams", "") if connection.combined else tail
        for stream in streams.split("/")[: _STREAMS_MAX[self.venue]]:
            if stream:
                self._join(connection, stream)

    def on_close(self, connection: Connection) -> None:
        """Forget the route."""
        self._routes.pop(connection.id, None)

    def on_text(self, connection: Connection, text: str) -> None:
        """One request: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY."""
        try:
            request = _request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            connection.push(self._error(3, "Invalid JSON: expected a request object", None))
            return
        recent = sum(1 for at_ns in connection.requests if at_ns > connection.heard_ns - _S)
        connection.requests.append(connection.heard_ns)
        if recent >= _REQUESTS_PER_S[self.venue]:
            connection.end(POLICY)
            return
        match request.method:
            case "SUBSCRIBE" | "UNSUBSCRIBE":
                self._subscription(connection, request)
            case "LIST_SUBSCRIPTIONS":
                self._answer(connection, request, list(connection.topics))
            case "SET_PROPERTY":
                if len(request.params) == 2 and bytes(request.params[0]) == b'"combined"':
                    connection.combined = bytes(request.params[1]) == b"true"
                self._answer(connection, request, None)
            case "GET_PROPERTY":
                self._answer(connection, request, connection.combined)
            case _:
                connection.push(self._error(2, f"Invalid request: unknown variant {request.method[:40]}", request.id))

    def _subscription(self, connection: Connection, request: _Request) -> None:
        try:
            streams = [_stream(param) for param in request.params]
        except (msgspec.MsgspecError, ValueError):
            connection.push(self._error(2, "Invalid request: params must be strings", request.id))
            return
        if request.method == "UNSUBSCRIBE":
            for stream in streams:
                self._hub.leave(connection, stream)
            self._answer(connection, request, None)
            return
        if len(connection.topics) + len(streams) > _STREAMS_MAX[self.venue]:
            connection.push(self._error(2, "Invalid request: too many streams", request.id))
            return
        if any(self._faults.take(NoAck, stream, connection.id) for stream in streams):
            return
        if any(self._faults.take(SubscribeError, stream, connection.id) for stream in streams):
            connection.push(self._error(2, "Invalid request: invalid stream", request.id))
            return
        for stream in streams:
            self._join(connection, stream)
        self._answer(connection, request, None)

    def _join(self, connection: Connection, stream: str) -> None:
        route = self._routes[connection.id]
        elsewhere = route is not Route.ALL and is_public(stream) is not (route is Route.PUBLIC)
        silent = elsewhere or self._faults.take(SilentTopic, stream, connection.id) is not None
        self._hub.join(connection, stream, silent=silent)

    def _answer(self, connection: Connection, request: _Request, result: object) -> None:
        connection.push(_encode({"result": result, "id": request.id}))

    def _error(self, code: int, msg: str, request_id: int | str | None) -> bytes:
        error = {"code": code, "msg": msg}
        return _encode({"error": error, "id": request_id} if self.venue == SPOT else {**error, "id": request_id})

    def wrap(self, connection: Connection, topic: str, payload: bytes) -> bytes:
        """Frames are kept as ``{"stream":..,"data":{..}}``; raw connections get what is in ``data``."""
        return payload if connection.combined else payload[20 + len(topic) : -1]

    # --- Trouble -------------------------------------------------------------------------------------

    def notice(self, connection: Connection) -> bytes | None:
        """``serverShutdown``; spot only."""
        if self.venue != SPOT:
            return None
        event = {"e": "serverShutdown", "E": (self._wall_ns() + self._faults.offset_ns) // 1_000_000}
        return _encode({"stream": "!serverShutdown", "data": event} if connection.combined else event)

    def refusal(self, status: int) -> bytes:
        """Binance's words for an HTTP status."""
        if status in {418, 429}:
            text = "Too many requests; current limit of IP(127.0.0.1) is 2400 requests per minute."
            return _encode({"code": -1003, "msg": text})
        return _encode({"code": -1000 if status < 500 else -1008, "msg": f"HTTP {status}"})

    def error(self) -> RestRefused:
        """An internal error."""
        text = "An unknown error occurred while processing the request."
        return RestRefused(400, _encode({"code": -1000, "msg": text}))
