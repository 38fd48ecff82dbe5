"""A venue that would accept a withdrawal is there, the code is made to ask for one, and nothing arrives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import web

from adapters.binance.instruments import USDM
from adapters.bybit.instruments import BYBIT
from adapters.clock import SystemClock
from adapters.limits.limiter import Limiter
from adapters.okx.instruments import OKX
from adapters.orders.client import OrderClient
from adapters.orders.dialect import OrderDialect
from adapters.orders.entry import EntryDialect
from adapters.orders.entry_road import EntryRoad, EntryRoute
from adapters.orders.entry_venues import open_entry
from adapters.orders.link import OrderLinkSpec, open_dialect
from adapters.orders.sanitiser import ForbiddenRequestError
from adapters.orders.wire import Credentials, HttpAnswer, WireKind, WireRequest, wire_request
from tests.adapters.orders.commands import INSTRUMENTS, KEY, place
from tests.adapters.orders.test_sanitiser import MOVING
from tests.waiting import until
from trading.limits.venues import limits_of

VENUES = (USDM, OKX, BYBIT)


@dataclass
class Willing:
    """A server that says yes to everything, and remembers what it was asked."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade") == "websocket":
            return await self.listen(request)
        self.asked.append(f"{request.method} {request.path}")
        return web.json_response({"code": "0", "retCode": 0, "id": "withdrawn", "data": [{"wdId": "1"}]})

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        """A WebSocket that grants every login and takes whatever it is told."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            said = json.loads(message.data)
            self.frames.append(said)
            if said.get("op") in {"login", "auth"}:
                await socket.send_json({"event": "login", "code": "0", "op": said["op"], "retCode": 0, "retMsg": "OK"})
        return socket


@pytest.fixture
async def willing() -> AsyncIterator[Willing]:
    server = Willing()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def dialect(venue: str, url: str) -> OrderDialect:
    ws = url.replace("http", "ws")
    return open_dialect(
        OrderLinkSpec(venue=venue, instruments=tuple(INSTRUMENTS[venue]), credentials=KEY, rest=url, ws=ws)
    )


def client(spoken: OrderDialect) -> OrderClient:
    clock = SystemClock()
    made = OrderClient(spoken, KEY, clock, Limiter(limits_of(spoken.venue), clock), put=lambda item: None)
    made.start()
    return made


@pytest.mark.req("P-SEC-11")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_dialect_that_was_turned_into_a_thief_sends_nothing(willing, venue, monkeypatch):
    spoken = dialect(venue, willing.url)
    desk = client(spoken)
    order = place(next(iter(INSTRUMENTS[venue])), qty="1", price="60000")
    try:
        for method, path in MOVING[venue]:
            stolen: WireRequest = wire_request(method, path, WireKind.PLACE, query="amount=1&address=x")
            monkeypatch.setattr(type(spoken), "encode", lambda self, command, now_ms, stolen=stolen: stolen)
            with pytest.raises(ForbiddenRequestError, match="was not sent"):
                desk.submit(msgspec.structs.replace(order, cl_ord_id=f"pd1-{path.rpartition('/')[2][:20]}"))
            with pytest.raises(ForbiddenRequestError):
                await desk._exchange.send(stolen)
            with pytest.raises(ForbiddenRequestError):
                await desk.ask(order)
    finally:
        await desk.close()
    assert willing.asked == []


class Thief:
    """An entry codec whose every frame asks for a withdrawal, in the words of its venue."""

    def __init__(self, honest: EntryDialect, frame: bytes) -> None:
        self.venue, self.plan = honest.venue, honest.plan
        self.login, self.read = honest.login, honest.read
        self._frame = frame

    def preparation(self) -> tuple[WireRequest, ...]:
        return ()

    def prepare(self, answer: HttpAnswer) -> str:
        return ""

    def frame(self, request: WireRequest, request_id: str, credentials: Credentials, ts_ms: int) -> bytes:
        return self._frame


@pytest.mark.req("P-SEC-11")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_codec_of_frames_that_was_turned_into_a_thief_sends_nothing(willing, venue):
    spoken = dialect(venue, willing.url)
    honest = open_entry(venue, INSTRUMENTS[venue], spoken.endpoints)
    assert honest is not None
    for words in (
        b'{"id":"1","op":"withdrawal","args":[{"ccy":"BTC","amt":"1","toAddr":"x"}]}',
        b'{"reqId":"1","op":"asset.withdraw","args":[{"coin":"BTC"}]}',
        b'{"id":"1","method":"capital.withdraw","params":{"coin":"BTC"}}',
        b'{"id":"1","op":"order","method":"capital.withdraw"}',
    ):
        clock = SystemClock()
        road = EntryRoad(Thief(honest, words), spoken.endpoints, KEY, clock, put=lambda item: None)
        limiter = Limiter(limits_of(venue), clock)
        desk = OrderClient(spoken, KEY, clock, limiter, put=lambda item: None, road=road)
        desk.start()
        desk.open_road()
        try:
            await until(lambda road=road: road.route is EntryRoute.WS)
            request = spoken.encode(place(next(iter(INSTRUMENTS[venue])), qty="1", price="60000"), 0)
            with pytest.raises(ForbiddenRequestError, match="was not sent"):
                await desk._exchange.send(request)
            with pytest.raises(ForbiddenRequestError):
                await road.send(request)
        finally:
            await desk.close()
    assert {said.get("op") for said in willing.frames} <= {"login", "auth"}
    assert willing.asked == []


@pytest.mark.req("P-SEC-11")
async def test_the_same_server_gets_an_order(willing):
    """What is refused is refused for what it asks, not because nothing could be sent."""
    desk = client(dialect(USDM, willing.url))
    try:
        assert desk.submit(place(next(iter(INSTRUMENTS[USDM])), qty="0.010", price="60000")) is None
        await until(lambda: willing.asked)
    finally:
        await desk.close()
    assert willing.asked == ["POST /fapi/v1/order"]
