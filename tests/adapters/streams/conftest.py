"""A small venue on loopback that speaks like Binance spot and can be made to misbehave in every way a socket can."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import WSMsgType, web

from adapters.binance.instruments import SPOT, instruments_of
from adapters.clock import SystemClock
from adapters.sources import Frame
from adapters.streams import events as e
from adapters.streams.dialects.base import Endpoints
from adapters.streams.feed import Feed, FeedSpec
from adapters.streams.topics import TopicKind
from tests.waiting import PATIENCE_S, breath, free_port

BTC = next(i for i in instruments_of(SPOT) if i.symbol == "BTCUSDT")
KINDS = frozenset({TopicKind.BOOK, TopicKind.BBO, TopicKind.TRADES})
DEPTH, BBO, TRADE = "btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade"


class Client:
    """One WebSocket of the venue."""

    def __init__(self, number: int, ws: web.WebSocketResponse) -> None:
        self.number = number
        self.ws = ws
        self.topics: set[str] = set()
        self.speaking = True
        self.requests: list[dict] = []


class Venue:
    """Numbers every diff; ``silent`` topics are granted and not served, ``unacked`` ones are not even answered."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.number = 1000
        self.silent: set[str] = set()
        self.unacked: set[str] = set()
        self.refused: set[str] = set()
        self.handshake_status = 0
        self.headers: dict[str, str] = {}
        self.rest: Callable[[web.Request], web.Response | None] = lambda request: None
        self.requests: Counter[str] = Counter()
        self.handshakes = 0
        self.frozen = asyncio.Event()
        self.frozen.set()
        self._runner: web.AppRunner | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(ws=f"ws://127.0.0.1:{self.port}", rest=f"http://127.0.0.1:{self.port}")

    @property
    def open(self) -> list[Client]:
        return [client for client in self.clients if not client.ws.closed]

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/api/v3/{path:.*}", self._rest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._pump_task = asyncio.get_running_loop().create_task(self._pump())

    async def close(self) -> None:
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.wait([self._pump_task])
        self.frozen.set()
        for client in self.open:
            self.drop(client)
        if self._runner is not None:
            await self._runner.cleanup()

    def drop(self, client: Client) -> None:
        """Reset the connection, without a close frame."""
        transport = client.ws._req.transport if client.ws._req is not None else None
        if transport is not None:
            transport.abort()

    def depth(self) -> bytes:
        first, self.number = self.number + 1, self.number + 3
        data = {"e": "depthUpdate", "E": 1700000000000, "s": "BTCUSDT", "U": first, "u": self.number,
                "b": [["100.00", "1.00000"]], "a": [["101.00", "1.00000"]]}  # fmt: skip
        return json.dumps({"stream": DEPTH, "data": data}, separators=(",", ":")).encode()

    def bbo(self) -> bytes:
        data = {"u": self.number, "s": "BTCUSDT", "b": "100.00", "B": "1.00000", "a": "101.00", "A": "1.00000"}
        return json.dumps({"stream": BBO, "data": data}, separators=(",", ":")).encode()

    async def say(self, topic: str, payload: bytes) -> None:
        for client in self.open:
            if client.speaking and topic in client.topics and topic not in self.silent:
                try:
                    await client.ws.send_str(payload.decode())
                except (ConnectionError, RuntimeError):
                    continue

    async def _pump(self) -> None:
        while True:
            await breath(0.02)
            await self.say(DEPTH, self.depth())
            await self.say(BBO, self.bbo())

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.handshakes += 1
        if self.handshake_status:
            return web.Response(status=self.handshake_status, headers=self.headers, text="no")
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        client = Client(len(self.clients), ws)
        self.clients.append(client)
        async for message in ws:
            await self.frozen.wait()
            if message.type is WSMsgType.TEXT:
                await self._answer(client, json.loads(message.data))
        return ws

    async def _answer(self, client: Client, request: dict) -> None:
        client.requests.append(request)
        topics = set(request["params"])
        if request["method"] == "UNSUBSCRIBE":
            client.topics -= topics
        elif topics & self.unacked:
            client.topics |= topics - self.unacked
            return
        elif topics & self.refused:
            error = {"code": 2, "msg": "Invalid request: unknown stream"}
            await client.ws.send_str(json.dumps({"error": error, "id": request["id"]}))
            return
        else:
            client.topics |= topics
        await client.ws.send_str(json.dumps({"result": None, "id": request["id"]}))

    async def _rest(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.requests[path] += 1
        await self.frozen.wait()
        told = self.rest(request)
        if told is not None:
            return told
        if path == "time":
            return web.json_response({"serverTime": SystemClock().wall_ns() // 1_000_000})
        if path == "depth":
            body = {"lastUpdateId": self.number, "bids": [["100.00", "1.00000"]], "asks": [["101.00", "1.00000"]]}
            return web.json_response(body)
        return web.json_response({"symbols": []})


class Desk:
    """Who reads a feed: everything it said, in order."""

    def __init__(self, feed: Feed, woken: asyncio.Event) -> None:
        self.feed = feed
        self.woken = woken
        self.items: list[Frame | e.FeedEvent] = []

    def take(self) -> None:
        self.woken.clear()
        self.items += self.feed.drain()

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        """Read until ``condition`` holds; fails when it does not in time."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    try:
                        async with asyncio.timeout(0.05):
                            await self.woken.wait()
                    except TimeoutError:
                        pass
                    self.take()
        except TimeoutError:
            pytest.fail(f"not in {seconds} s; said: {[x for x in self.items if not isinstance(x, Frame)]}")

    def of(self, kind: type) -> list:
        return [item for item in self.items if type(item) is kind]

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    def numbers(self) -> list[int]:
        """``u`` of all diffs, in order."""
        return [json.loads(frame.payload)["data"]["u"] for frame in self.frames if DEPTH.encode() in frame.payload[:60]]


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    venue = Venue()
    await venue.start()
    yield venue
    await venue.close()


@pytest.fixture
async def open_desk() -> AsyncIterator[Callable[..., Desk]]:
    feeds: list[Feed] = []

    def open_one(venue: Venue, *, budget=None, **changes) -> Desk:
        woken = asyncio.Event()
        spec = FeedSpec(
            **({"venue": SPOT, "instruments": (BTC,), "endpoints": venue.endpoints, "topics": KINDS} | changes)
        )
        feed = Feed(spec, SystemClock(), woken.set, budget)
        feeds.append(feed)
        feed.start()
        return Desk(feed, woken)

    yield open_one
    for feed in feeds:
        await feed.close()


@pytest.fixture(name="free_port")
def _free_port() -> int:
    return free_port()
