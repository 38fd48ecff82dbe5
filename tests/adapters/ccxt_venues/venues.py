"""Gate.io's and MEXC's public spot market on loopback, as far as ccxt asks for it, moved by the market generator.

Owns what the venues would say; ccxt connects to it by its URLs alone. Gate.io v4: "Spot WebSocket v4", channels
``spot.obu`` (50 levels), ``spot.trades``, ``spot.tickers``, and REST ``/spot/currency_pairs``, ``/spot/order_book``,
``/spot/time`` (gate.com/docs/developers/apiv4). MEXC spot v3: REST only, its streams are protobuf (mexc.com/api-docs/
spot-v3). Read 2026-11. The order flow is that of another venue's BTC-USDT, whose grid is Gate.io's and fits MEXC's.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from aiohttp import WSMsgType, web

from adapters.bybit.codec import BybitCodec
from adapters.clock import SystemClock
from adapters.simserver.feed import Market
from adapters.simserver.window import DepthWindow
from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.params import GeneratorSpec
from adapters.venue_codecs import KNOWN
from tests.waiting import breath
from trading.market.events import Aggressor, DepthUpdate, Trade

FLOW = "BYBIT:SPOT:BTC-USDT"
PUMP_S = 0.02
MS = 1_000_000
encode = msgspec.json.encode


class Venue:
    """A market that moves, REST over it, and switches for what can go wrong."""

    def __init__(self, *, seed=5):
        self.clock = SystemClock()
        self.instrument = KNOWN[FLOW]
        self.market = Market("BTC", self.instrument)
        # A calm market: a level that a test spoils stays among those that are compared.
        world = GeneratorSpec(
            seed=seed, epoch_ns=self.clock.wall_ns() - 60_000 * MS, instruments=(FLOW,), volatility=0.05
        )
        self._generator = MarketGenerator(world, "bybit", self.clock.wall_ns())
        self._codec = BybitCodec([self.instrument], book_depth=1_000)
        self.asked = []
        """Paths of REST requests."""
        self.rest_down = False
        self.lies_in_rest = 0
        """Lots that REST adds to every level."""
        self._runner = None
        self._tasks = []
        self.port = 0

    async def start(self):
        app = web.Application(middlewares=[self._switch])
        for path, handler in self.routes().items():
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.market.on_snapshot(self._codec.decode_snapshot(self._generator.snapshot()[2], self.clock.wall_ns()))
        self._tasks = [asyncio.get_running_loop().create_task(self._pump())]
        return self

    async def close(self):
        for task in self._tasks:
            task.cancel()
        await self._runner.cleanup()

    @property
    def hosts(self):
        """For the configuration."""
        return {"rest": f"http://127.0.0.1:{self.port}", "ws": f"ws://127.0.0.1:{self.port}"}

    @web.middleware
    async def _switch(self, request, handler):
        if request.headers.get("Upgrade", "").lower() != "websocket":
            self.asked.append(request.path)
            if self.rest_down:
                return web.Response(status=503, text="down")
        return await handler(request)

    async def _pump(self):
        while True:
            await breath(PUMP_S)
            self._turn()
            self.push()

    def _turn(self):
        now = self.clock.wall_ns()
        for _, payload in self._generator.next_batch(now):
            for event in self._codec.decode(payload, now):
                match event:
                    case DepthUpdate():
                        self.market.on_update(event, now)
                    case Trade():
                        self.market.on_trade(event)

    def push(self):
        """What streams say of it."""

    def rows(self, side, extra=0):
        one = self.instrument
        return [[str(one.price(tick)), str(one.qty(lots + extra))] for tick, lots in side if lots]

    def now_ms(self):
        return self.clock.wall_ns() // MS

    @property
    def last(self):
        return str(self.instrument.price(self.market.last_ticks))


def answer(body):
    return web.Response(body=encode(body), content_type="application/json")


class Gate(Venue):
    """Gate.io. Its book's stream lags behind the market by up to 100 ms, so that REST is often ahead of it."""

    def __init__(self, **how):
        super().__init__(**how)
        self.precision = 1
        self.sockets = []
        self._topics = {}
        self._window = None
        self._pushed_ms = 0
        self._told_trades = 0
        self.mute = False
        self.corrupted = {}
        """Levels that the stream misstates, by ticks: the lots it says."""

    def routes(self):
        api = "/api/v4"
        return {
            f"{api}/spot/currency_pairs": self._pairs,
            f"{api}/margin/currency_pairs": self._margin,
            f"{api}/spot/order_book": self._book,
            f"{api}/spot/time": self._time,
            "/ws/v4/": self._stream,
        }

    async def _pairs(self, _request):
        pair = {
            "id": "BTC_USDT",
            "base": "BTC",
            "quote": "USDT",
            "fee": "0.2",
            "min_base_amount": "0.000001",
            "min_quote_amount": "3",
            "max_quote_amount": "5000000",
            "amount_precision": 6,
            "precision": self.precision,
            "trade_status": "tradable",
            "sell_start": 0,
            "buy_start": 0,
            "type": "normal",
        }
        return answer([pair, pair | {"id": "DOGE_USDT", "base": "DOGE", "precision": 5, "amount_precision": 2}])

    async def _margin(self, _request):
        return answer([])

    async def _time(self, _request):
        return answer({"server_time": self.now_ms()})

    async def _book(self, request):
        assert request.query["currency_pair"] == "BTC_USDT"
        bids, asks = self.market.book.top(int(request.query.get("limit", "10")))
        return answer(
            {
                "id": self.market.book.update_id,
                "current": self.now_ms(),
                "update": self.now_ms(),
                "asks": self.rows(asks, self.lies_in_rest),
                "bids": self.rows(bids, self.lies_in_rest),
            }
        )

    async def _stream(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._on_request(socket, message.json())
        finally:
            self.sockets.remove(socket)
            self._topics.pop(socket, None)
        return socket

    async def _on_request(self, socket, request):
        assert request["event"] == "subscribe", request
        channel, payload = request["channel"], request["payload"]
        self._topics.setdefault(socket, set()).add(channel)
        await socket.send_json(
            {"id": request["id"], "time": request["time"], "channel": channel, "event": "subscribe",
             "payload": payload, "result": {"status": "success"}}
        )  # fmt: skip
        if channel == "spot.obu":
            assert payload == ["ob.BTC_USDT.50"]
            # All subscribers share the window: what is due to those before is told first.
            self._push_book(force=True)
            self._window = DepthWindow(self.market.book, 50)
            bids, asks = self._window.sides()
            await socket.send_json(self._obu(self._window.seq, bids, asks, full=True))

    def push(self):
        if self.mute:
            return
        self._push_book(force=False)
        trades = [trade for trade in self.market.trades if trade.trade_id > self._told_trades]
        for trade in trades:
            self._told_trades = trade.trade_id
            self._send("spot.trades", self._trade(trade))
        if trades:
            self._send(
                "spot.tickers",
                {"currency_pair": "BTC_USDT", "last": self.last, "lowest_ask": self.last, "highest_bid": self.last,
                 "change_percentage": "0.1", "base_volume": "10.5", "quote_volume": "649000",
                 "high_24h": self.last, "low_24h": self.last},
            )  # fmt: skip

    def _push_book(self, *, force):
        now = self.now_ms()
        if self._window is None or (not force and now - self._pushed_ms < 100):
            return
        self._pushed_ms = now
        before = self._window.seq
        bids, asks = self._window.changes(self.market.book)
        if self._window.seq == before:
            return
        self._send_text("spot.obu", self._obu(self._window.seq, bids, asks, first=before + 1))

    def _obu(self, number, bids, asks, *, full=False, first=0):
        def said(side):
            one, wrong = self.instrument, self.corrupted
            return [[str(one.price(tick)), str(one.qty(wrong.get(tick, lots)))] for tick, lots in side]

        result = {"t": self.now_ms(), "s": "ob.BTC_USDT.50", "u": number, "b": said(bids), "a": said(asks)}
        result |= {"full": True} if full else {"U": first}
        return {"channel": "spot.obu", "result": result, "time_ms": self.now_ms(), "event": "update"}

    def corrupt(self, rank=8):
        """The stream says too much of a resting bid, now and whenever that level is told again."""
        tick, lots = self.market.book.top(rank)[0][-1]
        self.corrupted = {tick: lots + 1_000_000}
        self._say_once([(tick, lots)])

    def lose(self, rank=12):
        """A resting bid goes, and the message that says so is lost: the next number comes without it."""
        tick, _ = self.market.book.top(rank)[0][-1]
        self._say_once([], gone=tick)

    def _say_once(self, bids, gone=None):
        """Tell ``bids`` under a number of their own, as any change is told, whatever the market did meanwhile."""
        self._push_book(force=True)
        book, number = self.market.book, self._window.seq + 1
        book.apply(
            DepthUpdate(
                instrument_id=FLOW,
                first_update_id=number,
                final_update_id=number,
                prev_final_update_id=number - 1,
                bids=[] if gone is None else [(gone, 0)],
                asks=[],
                ts_event_ns=0,
                ts_recv_ns=0,
            )
        )
        self._window.changes(book)
        self._send_text("spot.obu", self._obu(number, bids, [], first=number))

    def _trade(self, trade):
        one = self.instrument
        return {
            "id": trade.trade_id,
            "create_time": self.now_ms() // 1000,
            "create_time_ms": f"{trade.ts_event_ns // MS}.0",
            "side": "buy" if trade.aggressor is Aggressor.BUY else "sell",
            "currency_pair": "BTC_USDT",
            "amount": str(one.qty(trade.qty_lots)),
            "price": str(one.price(trade.price_ticks)),
        }

    def _send(self, channel, result):
        now = self.now_ms()
        self._send_text(
            channel, {"time": now // 1000, "time_ms": now, "channel": channel, "event": "update", "result": result}
        )

    def _send_text(self, channel, body):
        for socket, topics in list(self._topics.items()):
            if channel in topics and not socket.closed:
                task = asyncio.get_running_loop().create_task(self._deliver(socket, body))
                self._tasks.append(task)
                task.add_done_callback(self._tasks.remove)

    async def _deliver(self, socket, body):
        with contextlib.suppress(ConnectionError, RuntimeError):
            await socket.send_json(body)

    async def cut(self):
        """End every connection."""
        for socket in list(self.sockets):
            await socket.close(code=1012)


class Mexc(Venue):
    """MEXC by REST. A node of it may lag behind: ``lags`` replies are of an old book."""

    def __init__(self, **how):
        super().__init__(**how)
        self.lags = 0

    def routes(self):
        return {
            "/api/v3/exchangeInfo": self._info,
            "/api/v1/contract/detail": self._contracts,
            "/api/v3/depth": self._book,
            "/api/v3/aggTrades": self._trades,
            "/api/v3/ticker/24hr": self._ticker,
            "/api/v3/time": self._time,
        }

    async def _info(self, _request):
        symbol = {
            "symbol": "BTCUSDT",
            "status": "1",
            "baseAsset": "BTC",
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quotePrecision": 2,
            "quoteAssetPrecision": 2,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "quoteAmountPrecision": "1",
            "baseSizePrecision": "0.000001",
            "permissions": ["SPOT"],
            "filters": [],
            "maxQuoteAmount": "4000000",
            "makerCommission": "0",
            "takerCommission": "0.0005",
        }
        return answer({"timezone": "CST", "serverTime": self.now_ms(), "symbols": [symbol]})

    async def _contracts(self, _request):
        return answer({"success": True, "code": 0, "data": []})

    async def _book(self, request):
        book = self.market.book
        if self.lags:
            self.lags -= 1
            book = self.market.late
        bids, asks = book.top(int(request.query["limit"]))
        return answer(
            {
                "lastUpdateId": book.update_id,
                "bids": self.rows(bids, self.lies_in_rest),
                "asks": self.rows(asks, self.lies_in_rest),
                "timestamp": self.now_ms(),
            }
        )

    async def _trades(self, request):
        one = self.instrument
        rows = [
            {"a": None, "f": None, "l": None, "p": str(one.price(trade.price_ticks)), "q": str(one.qty(trade.qty_lots)),
             "T": trade.ts_event_ns // MS, "m": trade.aggressor is Aggressor.SELL, "M": True}
            for trade in list(self.market.trades)[-int(request.query["limit"]) :]
        ]  # fmt: skip
        return answer(rows)

    async def _ticker(self, _request):
        body = {"symbol": "BTCUSDT", "lastPrice": self.last, "bidPrice": self.last, "askPrice": self.last,
                "openPrice": self.last, "highPrice": self.last, "lowPrice": self.last, "volume": "10.5",
                "quoteVolume": "649000", "openTime": self.now_ms(), "closeTime": self.now_ms()}  # fmt: skip
        return answer(body)

    async def _time(self, _request):
        return answer({"serverTime": self.now_ms()})


@contextlib.asynccontextmanager
async def running(venue):
    await venue.start()
    try:
        yield venue
    finally:
        await venue.close()
