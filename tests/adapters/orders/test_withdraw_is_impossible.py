"""A venue that would accept a withdrawal is there, the code is made to ask for one, and nothing arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

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
from adapters.orders.link import OrderLinkSpec, open_dialect
from adapters.orders.sanitiser import ForbiddenRequestError
from adapters.orders.wire import WireKind, WireRequest, wire_request
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

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        return web.json_response({"code": "0", "retCode": 0, "id": "withdrawn", "data": [{"wdId": "1"}]})


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
