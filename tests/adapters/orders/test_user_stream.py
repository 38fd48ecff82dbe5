"""The private stream against servers on loopback: logins, listen keys, losses, rotation, and reading before LIVE."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from adapters.binance.instruments import USDM
from adapters.clock import SystemClock
from adapters.limits.limiter import Limiter
from adapters.orders.account import AccountCursor
from adapters.orders.binance import BinanceOrders
from adapters.orders.bybit import BybitOrders
from adapters.orders.client import OrderClient
from adapters.orders.dialect import OrderDialect
from adapters.orders.okx import OkxOrders
from adapters.orders.user_stream import (
    CaughtUp,
    Pushed,
    StreamChanged,
    StreamItem,
    StreamLimits,
    StreamStatus,
    UserStream,
)
from adapters.orders.wire import OrderEndpoints
from tests.adapters.orders.commands import INSTRUMENTS, KEY, TS_MS
from tests.adapters.orders.test_binance_replies import order_event
from tests.waiting import PATIENCE_S, breath, until
from trading.limits.venues import limits_of
from trading.orders.messages import ExecutionReport

LIVE = StreamStatus.LIVE
QUICK = StreamLimits(step_ms=2_000, backoff_ms=20, backoff_max_ms=100, read_again_ms=20, keep_again_ms=50)


class Server:
    """REST for listen keys and the account, and a private WebSocket, as the test wants them."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[tuple[str, str]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.keys: list[str] = []
        self.key_is_known = True
        self.trades: list[dict[str, Any]] = []
        self.account_is_garbled = False
        self.login_ok = True
        self.accepts = True
        self.answers: Callable[[str], list[str]] = lambda _: []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.socket(request)
        return self.rest(request)

    def rest(self, request: web.Request) -> web.Response:
        path = request.path
        if path.endswith("/listenKey"):
            if request.method == "PUT":
                return web.json_response({}) if self.key_is_known else listen_key_gone()
            self.key_is_known = True
            self.keys.append(f"key{len(self.keys) + 1}")
            return web.json_response({"listenKey": self.keys[-1]})
        if self.account_is_garbled:
            return web.json_response({})
        if path.startswith("/v5/"):
            result = {"list": [{"coin": []}] if "wallet" in path else [], "nextPageCursor": ""}
            return web.json_response({"retCode": 0, "retMsg": "OK", "result": result, "time": TS_MS})
        if path.startswith("/api/v5/"):
            data = [{"details": []}] if path.endswith("/balance") else []
            return web.json_response({"code": "0", "msg": "", "data": data})
        if path == "/fapi/v3/account":
            return web.json_response({"assets": [], "positions": []})
        return web.json_response(self.trades if path.endswith("/userTrades") else [])

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if not self.accepts:
            return web.Response(status=503)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.sockets.append(ws)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                for said in self.answers(message.data):
                    await ws.send_str(said)
        return ws

    def open_sockets(self) -> list[web.WebSocketResponse]:
        return [ws for ws in self.sockets if not ws.closed]


def listen_key_gone() -> web.Response:
    return web.json_response({"code": -1125, "msg": "This listenKey does not exist."}, status=400)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"127.0.0.1:{runner.addresses[0][1]}"
    yield made
    for ws in made.open_sockets():
        await ws.close()
    await runner.cleanup()


class Rig:
    """A stream over a client, and what it told."""

    def __init__(self, server: Server, venue: str = USDM, limits: StreamLimits = QUICK) -> None:
        endpoints = OrderEndpoints(rest=f"http://{server.url}", ws=f"ws://{server.url}")
        dialects: dict[str, Callable[[], OrderDialect]] = {
            USDM: lambda: BinanceOrders(USDM, INSTRUMENTS[USDM][:1], endpoints),
            "bybit": lambda: BybitOrders(INSTRUMENTS["bybit"], endpoints),
            "okx": lambda: OkxOrders(INSTRUMENTS["okx"], endpoints),
        }
        clock = SystemClock()
        governor = Limiter(limits_of(venue), SystemClock())
        self.client = OrderClient(dialects[venue](), KEY, clock, governor, put=lambda _: None)
        self.told: list[StreamItem] = []
        now_ms = clock.wall_ns() // 1_000_000
        cursor = AccountCursor.opening(venue, now_ms)
        self.stream = UserStream(self.client, KEY, clock, put=self.told.append, cursor=cursor, limits=limits)
        self.client.start()
        self.stream.start()

    def statuses(self) -> list[StreamStatus]:
        return [item.status for item in self.told if isinstance(item, StreamChanged)]

    def executions(self) -> list[ExecutionReport]:
        pushed = [item.event for item in self.told if isinstance(item, Pushed)]
        read = [e for item in self.told if isinstance(item, CaughtUp) for e in item.state.executions]
        return [e for e in (*pushed, *read) if isinstance(e, ExecutionReport)]

    async def close(self) -> None:
        await self.stream.close()
        await self.client.close()
        assert not self.stream.faults
        assert not self.client.faults


Make = Callable[..., Rig]


@pytest.fixture
async def make(server: Server) -> AsyncIterator[Make]:
    made: list[Rig] = []

    def one(venue: str = USDM, limits: StreamLimits = QUICK) -> Rig:
        made.append(Rig(server, venue, limits))
        return made[-1]

    yield one
    for rig in made:
        await rig.close()


async def eventually(true: Callable[[], object]) -> None:
    await until(true)


TRADE = {
    "buyer": True, "commission": "0.07", "commissionAsset": "USDT", "id": 77, "maker": False, "orderId": 8886774,
    "price": "60000", "qty": "0.5", "quoteQty": "1", "realizedPnl": "0", "side": "BUY", "positionSide": "BOTH",
    "symbol": "BTCUSDT", "time": 1763000000000,
}  # fmt: skip
FILLED = order_event(x="TRADE", X="PARTIALLY_FILLED", l="0.5", z="0.5", L="60000", t=77, n="0.07").decode()


async def test_it_is_live_only_after_the_account_was_read(server: Server, make: Make) -> None:
    server.account_is_garbled = True
    rig = make()
    await eventually(lambda: rig.stream.counters.unreadable >= 3)
    assert LIVE not in rig.statuses()
    server.account_is_garbled = False
    await eventually(lambda: rig.stream.status is LIVE)
    kinds = [type(item).__name__ for item in rig.told]
    assert kinds.index("CaughtUp") < len(kinds) - 1
    assert rig.statuses()[-1] is LIVE


@pytest.mark.req("P-VEN-13")
async def test_what_executed_while_the_stream_was_away_is_read_before_live(server: Server, make: Make) -> None:
    rig = make()
    await eventually(lambda: rig.stream.status is LIVE)
    await server.open_sockets()[0].send_str(order_event(c="pd1-b-1", i=8886774).decode())
    await eventually(rig.executions)
    event = rig.executions()[0]
    rig.client.reader.learn(event)  # as the gateway does with every report
    server.accepts = False
    await server.open_sockets()[0].close()
    await eventually(lambda: StreamStatus.BACKOFF in rig.statuses())
    server.trades = [TRADE]
    server.accepts = True
    await eventually(lambda: rig.statuses()[-1] is LIVE and rig.stream.counters.connects == 2)
    assert [(e.exec_id, e.cl_ord_id) for e in rig.executions()[1:]] == [("BTCUSDT:77:8886774", "pd1-b-1")]


async def test_an_execution_on_the_stream_and_in_the_reading_has_one_id(server: Server, make: Make) -> None:
    server.trades = [TRADE]
    rig = make()
    await eventually(server.open_sockets)
    # A trade whose order nobody knows is asked about; the stand-in knows no orders, so learn it first.
    await server.open_sockets()[0].send_str(FILLED)
    await eventually(rig.executions)
    rig.client.reader.learn(rig.executions()[0])
    await eventually(lambda: rig.stream.status is LIVE)
    assert {e.exec_id for e in rig.executions()} == {"BTCUSDT:77:8886774"}
    assert len(rig.executions()) >= 2


@pytest.mark.req("P-VEN-13")
async def test_a_session_is_replaced_before_its_end_without_a_moment_alone(server: Server, make: Make) -> None:
    rig = make(limits=StreamLimits(life_ms=300, backoff_ms=20, read_again_ms=20))
    await eventually(lambda: rig.stream.status is LIVE)
    fewest = 9
    async with asyncio.timeout(PATIENCE_S):
        while rig.stream.counters.replaced < 2:
            fewest = min(fewest, len(server.open_sockets()))
            await breath(0.005)
    assert fewest >= 1
    assert StreamStatus.BACKOFF not in rig.statuses()
    assert not any(method == "DELETE" for method, _ in server.calls)


async def test_a_forgotten_listen_key_is_opened_anew_with_a_session_of_its_own(server: Server, make: Make) -> None:
    rig = make()
    await eventually(lambda: rig.stream.status is LIVE)
    server.key_is_known = False
    rig.stream._kept_ns = 0  # the next keep-alive is due now
    rig.stream.want_reading()
    await eventually(lambda: rig.stream.counters.replaced == 1 and rig.stream.status is LIVE)
    assert server.keys == ["key1", "key2"]
    assert StreamStatus.BACKOFF not in rig.statuses()
    assert not any(method == "DELETE" for method, _ in server.calls)


async def test_the_venues_word_that_a_key_expired_replaces_the_session(server: Server, make: Make) -> None:
    rig = make()
    await eventually(lambda: rig.stream.status is LIVE)
    await server.open_sockets()[0].send_str('{"e": "listenKeyExpired", "E": 1763000000000, "listenKey": "key1"}')
    await eventually(lambda: rig.stream.counters.replaced == 1 and rig.stream.status is LIVE)


def bybit_answers(server: Server) -> Callable[[str], list[str]]:
    def answers(said: str) -> list[str]:
        frame = json.loads(said)
        match frame["op"]:
            case "auth":
                ok = json.dumps({"success": server.login_ok, "ret_msg": "x", "op": "auth", "conn_id": "c"})
                return [ok]
            case "subscribe":
                return ['{"success":true,"ret_msg":"subscribe","conn_id":"c","op":"subscribe"}']
            case _:
                return ['{"op":"pong","args":["1"],"conn_id":"c"}']

    return answers


def okx_answers(said: str) -> list[str]:
    if said == "ping":
        return ["pong"]
    frame = json.loads(said)
    if frame["op"] == "login":
        return ['{"event":"login","code":"0","msg":"","connId":"a"}']
    return [
        json.dumps({"event": "subscribe", "arg": arg, "connId": "a"})
        for arg in frame["args"]
        if arg["channel"] != "orders"
    ]


async def test_bybit_logs_in_subscribes_and_goes_live(server: Server, make: Make) -> None:
    server.answers = bybit_answers(server)
    rig = make("bybit")
    await eventually(lambda: rig.stream.status is LIVE)
    assert ("GET", "/v5/private") in server.calls


@pytest.mark.req("P-VEN-13")
async def test_a_refused_login_is_told_once_and_waits_for_a_person(server: Server, make: Make) -> None:
    server.answers = bybit_answers(server)
    server.login_ok = False
    rig = make("bybit")
    await eventually(lambda: rig.stream.status is StreamStatus.LOCKED)
    tried = len(server.sockets)
    await breath(0.3)
    assert len(server.sockets) == tried == 1
    server.login_ok = True
    rig.stream.unlock()
    await eventually(lambda: rig.stream.status is LIVE)


async def test_a_channel_that_is_not_granted_is_a_failure_and_never_live(server: Server, make: Make) -> None:
    server.answers = okx_answers
    rig = make("okx", StreamLimits(step_ms=100, backoff_ms=10, backoff_max_ms=20))
    await eventually(lambda: rig.stream.counters.losses >= 2)
    assert LIVE not in rig.statuses()
    reasons = [item.reason for item in rig.told if isinstance(item, StreamChanged)]
    assert any("not granted: orders" in reason for reason in reasons)


async def test_reconnects_wait_ever_longer(server: Server, make: Make) -> None:
    server.accepts = False
    began_ns = SystemClock.mono_ns()
    make(limits=StreamLimits(backoff_ms=20, backoff_max_ms=10_000))

    def tried() -> int:
        return sum(method == "GET" and path.endswith("/ws") for method, path in server.calls)

    await eventually(lambda: tried() >= 5)
    assert SystemClock.mono_ns() - began_ns >= (20 + 40 + 80 + 160) / 2 * 1_000_000  # half of each is chance


async def test_it_reads_again_when_something_was_missed(server: Server, make: Make) -> None:
    rig = make()
    await eventually(lambda: rig.stream.status is LIVE)
    rig.stream.want_reading()
    await eventually(lambda: rig.stream.counters.readings == 2 and rig.stream.status is LIVE)
    assert len(server.sockets) == 1
