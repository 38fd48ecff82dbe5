"""ccxt.pro as a source: unmodified, against simulated venues and against what Gate.io sent in 2023."""

from __future__ import annotations

import asyncio
import json
import lzma
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from adapters.clock import SystemClock
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.recordings import Kind, Recorded, read_recordings
from adapters.simserver.faults import Mute
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.sources import SourceSpec
from adapters.streams import events as e
from adapters.streams.budget import ConnectionBudget, ConnectionLimits
from adapters.streams.dialects.base import Endpoints
from adapters.streams.fallback import Fallback, FallbackBegan, FallbackEnded
from adapters.streams.feed import Feed, FeedSpec
from adapters.streams.reserve import Reserve, ReserveSaid, ReserveSpec
from adapters.streams.reserve_events import instruments_of
from adapters.streams.state import ConnectionRules
from adapters.streams.topics import MS_NS
from tests.waiting import PATIENCE_S, breath
from trading.market.events import DepthSnapshot, MarkPrice, Ticker, Trade, WireRejected

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
CLOCK = SystemClock()
MANY = ConnectionLimits(per_5_min=1000, per_min=1000, at_once=10)

pytestmark = [
    # ccxt's own coroutines and parsers warn on this Python; what they warn of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Listener:
    """Who reads a reserve."""

    def __init__(self, spec: ReserveSpec) -> None:
        self.woken = asyncio.Event()
        self.reserve = Reserve(spec, CLOCK, self.woken.set)
        self.items: list[ReserveSaid | e.FeedEvent] = []
        self.reserve.start()

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    try:
                        async with asyncio.timeout(0.05):
                            await self.woken.wait()
                    except TimeoutError:
                        pass
                    self.woken.clear()
                    self.items += self.reserve.drain()
        except TimeoutError:
            pytest.fail(f"not in {seconds} s: {self.reserve.status()} {self.items[-5:]}")

    def said(self, kind: type) -> list[ReserveSaid]:
        return [item for item in self.items if isinstance(item, ReserveSaid) and type(item.event) is kind]

    def told(self, kind: type) -> list:
        return [item for item in self.items if type(item) is kind]


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[ReserveSpec], Listener]]:
    listeners: list[Listener] = []

    def begin(spec: ReserveSpec) -> Listener:
        listeners.append(Listener(spec))
        return listeners[-1]

    yield begin
    for listener in listeners:
        await listener.reserve.close()


@pytest.fixture
async def okx() -> AsyncIterator[SimServer]:
    names = ("OKX:SPOT:BTC-USDT", "OKX:PERP:BTC-USDT:LINEAR", "OKX:PERP:BTC-USD:INVERSE")
    source = SourceSpec(anchor_ns=CLOCK.wall_ns(), instruments=names)
    server = SimServer(SimServerSpec(venue="okx", source=source, instruments=names), CLOCK)
    await server.start()
    yield server
    await server.close()


def okx_spec(server: SimServer, **changes: object) -> ReserveSpec:
    swap = next(one for one in OKX_INSTRUMENTS if one.instrument_id == "OKX:PERP:BTC-USDT:LINEAR")
    ws = f"{server.base_ws}/ws/v5"
    api = {"rest": server.base_http, "ws": ws}
    fields = {"venue": "okx", "instruments": (swap,), "api": api, "audit_every_ms": 300, "marks_every_ms": 300}
    return ReserveSpec(**(fields | changes))  # type: ignore[arg-type]


async def test_a_native_venue_is_read_through_ccxt_and_its_book_proved_at_a_common_number(okx, listen) -> None:
    listener = listen(okx_spec(okx))
    await listener.until(lambda: listener.said(DepthSnapshot) and listener.said(Trade) and listener.said(Ticker))
    await listener.until(lambda: listener.said(MarkPrice))
    assert not listener.said(DepthSnapshot)[0].proved  # nothing is believed before it was compared
    await listener.until(lambda: any(item.proved for item in listener.said(DepthSnapshot)))
    assert not [
        item for item in listener.items if isinstance(item, ReserveSaid) and isinstance(item.event, WireRejected)
    ]
    assert not any(item.proved for kind in (Trade, Ticker, MarkPrice) for item in listener.said(kind))
    book = listener.said(DepthSnapshot)[-1].event
    assert isinstance(book, DepthSnapshot)
    assert book.bids[0][0] < book.asks[0][0]
    assert listener.reserve.status().state == "live"


async def test_a_mute_book_breaks_the_reserve_and_it_comes_back_unproved(okx, listen) -> None:
    listener = listen(okx_spec(okx, mute_ms=800))
    await listener.until(lambda: any(item.proved for item in listener.said(DepthSnapshot)))
    okx.faults.set(Mute(for_ms=1500))
    await listener.until(lambda: listener.told(e.Disconnected))
    assert "mute" in listener.told(e.Disconnected)[0].reason
    listener.items.clear()
    await listener.until(lambda: listener.said(DepthSnapshot))
    assert not listener.said(DepthSnapshot)[0].proved
    assert listener.reserve.status().restarts >= 1


async def test_a_venue_that_ccxt_does_not_know_is_a_state_and_not_an_exception(listen) -> None:
    listener = listen(ReserveSpec(venue="nosuchvenue", symbols=("BTC/USDT",)))
    await listener.until(lambda: listener.reserve.status().state == "backoff")
    assert "nosuchvenue" in listener.reserve.status().reason


@pytest.mark.req("P-MD-1", "P-VEN-13")
@pytest.mark.req("P-VEN-13")
async def test_the_loss_of_the_native_streams_falls_back_flagged_and_ends_when_they_are_back(okx, free_port) -> None:
    swap = okx_spec(okx).instruments[0]
    woken = asyncio.Event()
    quick = ConnectionRules(jitter_min_ns=10 * MS_NS, jitter_max_ns=20 * MS_NS, backoff_max_ns=300 * MS_NS)
    endpoints = Endpoints(ws=f"ws://127.0.0.1:{free_port}", rest=f"http://127.0.0.1:{free_port}")
    spec = FeedSpec(venue="okx", instruments=(swap,), endpoints=endpoints, rules=quick)
    feed = Feed(spec, CLOCK, woken.set, ConnectionBudget({"okx": MANY}))
    fallback = Fallback(feed, okx_spec(okx), CLOCK, woken.set, after_ns=500 * MS_NS, calm_ns=300 * MS_NS)
    source = SourceSpec(anchor_ns=CLOCK.wall_ns(), instruments=(swap.instrument_id,))
    native = SimServer(
        SimServerSpec(venue="okx", source=source, instruments=(swap.instrument_id,), port=free_port), CLOCK
    )
    feed.start()
    fallback.start()
    items: list = []

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await breath(0.02)
                feed.drain(10_000)
                items.extend(fallback.drain())

    try:
        await until(lambda: any(isinstance(item, FallbackBegan) for item in items))
        assert feed.blind()
        await until(lambda: any(isinstance(item, ReserveSaid) and type(item.event) is DepthSnapshot for item in items))
        await native.start()
        await until(lambda: any(isinstance(item, FallbackEnded) for item in items))
        assert not feed.blind()
        assert not fallback.active
        kinds = [type(item) for item in items if isinstance(item, FallbackBegan | FallbackEnded)]
        assert kinds == [FallbackBegan, FallbackEnded]
        assert isinstance(items[0], FallbackBegan)
    finally:
        await fallback.close()
        await feed.close()
        await native.close()


# --- Gate.io, by name, as recorded -----------------------------------------------------------------------


class Gate:
    """What Gate.io's futures sent on 2023-05-24: its contracts, its books by REST and its diffs, to who subscribes."""

    def __init__(self) -> None:
        folder = DATA / "gateio" / "cryptofeed_raw"
        self.contracts = b"[]"
        self.books: dict[str, bytes] = {}
        self.frames: dict[str, list[bytes]] = defaultdict(list)
        for item in read_recordings(sorted(folder.glob("*.txt.xz"))):
            if not isinstance(item, Recorded):
                continue
            if item.kind is Kind.FETCHED and item.url.endswith("/contracts"):
                self.contracts = item.payload
            elif item.kind is Kind.FETCHED and "order_book" in item.url:
                self.books.setdefault(item.url.partition("contract=")[2].partition("&")[0], item.payload)
            elif item.kind is Kind.RECEIVED and b'"futures.order_book_update"' in item.payload:
                message = json.loads(item.payload)
                if message["event"] == "update":
                    self.frames[message["result"]["s"]].append(item.payload)
        self.port = 0
        self.played: dict[str, int] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/futures/usdt/contracts", lambda request: self._json(self.contracts))
        app.router.add_get("/futures/usdt/order_book", self._book)
        app.router.add_get("/v4/ws/usdt", self._stream)
        app.router.add_get("/{path:.*}", lambda request: self._json(b"[]"))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _json(self, body: bytes) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async def _book(self, request: web.Request) -> web.Response:
        return await self._json(self.books.get(request.query["contract"], b"{}"))

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        players: list[asyncio.Task[None]] = []
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                break
            asked = json.loads(message.data)
            answer = asked | {"error": None, "result": {"status": "success"}}
            await ws.send_json(answer)
            if asked.get("channel") == "futures.order_book_update" and asked.get("event") == "subscribe":
                players.append(asyncio.ensure_future(self._play(ws, asked["payload"][0])))
        for player in players:
            player.cancel()
        return ws

    async def _play(self, ws: web.WebSocketResponse, contract: str) -> None:
        for frame in self.frames[contract]:
            await breath(0.02)
            await ws.send_str(frame.decode())
            self.played[contract] = json.loads(frame)["result"]["u"]


@pytest.mark.recording
@pytest.mark.skipif(not (DATA / "gateio").is_dir(), reason=f"no recordings at {DATA}")
async def test_gate_is_a_source_by_name_on_what_it_really_sent(listen) -> None:
    gate = Gate()
    await gate.start()
    try:
        base = f"http://127.0.0.1:{gate.port}"
        api = {
            "rest": {"public": dict.fromkeys(("futures", "spot", "margin", "delivery", "wallet", "options"), base)},
            "ws": {},
            "public": dict.fromkeys(("futures", "spot", "margin", "delivery", "wallet", "options"), base),
            "swap": {"usdt": f"ws://127.0.0.1:{gate.port}/v4/ws/usdt"},
        }
        contract = max((name for name in gate.frames if name in gate.books), key=lambda name: len(gate.frames[name]))
        symbol = f"{contract.partition('_')[0]}/USDT:USDT"
        listener = listen(
            ReserveSpec(
                venue="gateio",
                symbols=(symbol,),
                api=api,
                topics=frozenset({kind for kind in ReserveSpec(venue="x").topics if kind.value == "book"}),
                options={"fetchMarkets": {"types": ["swap"]}},
                mute_ms=5000,
                audit_every_ms=500,
            )
        )
        await listener.until(lambda: len(listener.said(DepthSnapshot)) > 20)
        books = [item.event for item in listener.said(DepthSnapshot)]
        numbers = [book.last_update_id for book in books]  # type: ignore[union-attr]
        assert numbers == sorted(numbers)
        assert set(numbers) & {json.loads(frame)["result"]["u"] for frame in gate.frames[contract]}
        assert all(book.bids[0][0] < book.asks[0][0] for book in books)  # type: ignore[union-attr]
        assert not listener.said(WireRejected)
        assert {book.instrument_id for book in books} == {f"GATEIO:PERP:{contract.partition('_')[0]}-USDT:LINEAR"}  # type: ignore[union-attr]
    finally:
        await gate.close()


@pytest.mark.recording
@pytest.mark.skipif(not (DATA / "ccxt_static").is_dir(), reason=f"no recordings at {DATA}")
@pytest.mark.parametrize(("name", "venue"), [("gate", "gateio"), ("mexc", "mexc"), ("okx", "okx"), ("bybit", "bybit")])
def test_ccxts_markets_are_instruments_or_are_refused_by_name(name, venue) -> None:
    with lzma.open(DATA / "ccxt_static" / "markets" / f"{name}.json.xz") as file:
        markets = json.load(file)
    listing = instruments_of(venue, markets)
    wanted = {symbol for symbol, market in markets.items() if market["type"] in {"spot", "swap"}}
    assert set(listing.instruments) | set(listing.refused) == wanted
    assert len(listing.instruments) >= 8
    for symbol, instrument in listing.instruments.items():
        assert instrument.venue == venue
        assert instrument.tick_size > 0
        assert instrument.lot_size > 0
        assert instrument.min_qty >= instrument.lot_size
        assert symbol.startswith(f"{instrument.base}/{instrument.quote}")


# --- MEXC, by name -----------------------------------------------------------------------------------------


class Mexc:
    """MEXC's contracts: a book that changes by one level a diff, and deals and tickers as they were collected."""

    def __init__(self) -> None:
        self.version = 96801926
        self.bids = {6857.5: 4, 6857.0: 9}
        self.asks = {6860.5: 2, 6861.0: 8}
        self.lose = 0
        self.port = 0
        self.pushes: dict[str, list[dict]] = defaultdict(list)
        with lzma.open(DATA / "mexc" / "fixtures" / "tardis_messages_mexc.jsonl.xz", "rt") as file:
            for line in file:
                message = json.loads(line)["message"]
                if str(message.get("channel", "")).startswith("push."):
                    self.pushes[message["channel"]].append(message)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/depth/{symbol}", self._depth)
        app.router.add_get("/edge", self._edge)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _depth(self, request: web.Request) -> web.Response:
        bids = [[price, qty, 1] for price, qty in sorted(self.bids.items(), reverse=True)]
        asks = [[price, qty, 1] for price, qty in sorted(self.asks.items())]
        data = {"asks": asks, "bids": bids, "version": self.version, "timestamp": CLOCK.wall_ns() // MS_NS}
        return web.json_response({"success": True, "code": 0, "data": data})

    async def _edge(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        players: list[asyncio.Task[None]] = []
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                break
            asked = json.loads(message.data)
            method = asked.get("method", "")
            if method == "ping":
                await ws.send_json({"channel": "pong", "data": CLOCK.wall_ns() // MS_NS})
                continue
            await ws.send_json({"channel": f"rs.{method}", "data": "success", "ts": CLOCK.wall_ns() // MS_NS})
            if method == "sub.depth":
                players.append(asyncio.ensure_future(self._diffs(ws)))
            else:
                for push in self.pushes[method.replace("sub.", "push.")]:
                    await ws.send_json(push)
        for player in players:
            player.cancel()
        return ws

    async def _diffs(self, ws: web.WebSocketResponse) -> None:
        """In the shape that was collected: ``{"channel":"push.depth","data":{"asks":[[..]],..,"version":..}}``."""
        while True:
            await breath(0.02)
            self.version += 1
            price, qty = 6850.0 + self.version % 7, self.version % 50 + 1
            self.bids[price] = qty
            if self.lose:
                self.lose -= 1
                continue
            data = {"asks": [], "bids": [[price, qty, 1]], "version": self.version}
            await ws.send_json(self.pushes["push.depth"][0] | {"data": data})


@pytest.mark.recording
@pytest.mark.skipif(not (DATA / "mexc").is_dir(), reason=f"no recordings at {DATA}")
async def test_mexc_is_a_source_by_name_and_only_the_proof_notices_a_lost_diff(listen) -> None:
    """ccxt's MEXC applies diffs without looking for holes: only the comparison at a common number tells."""
    with lzma.open(DATA / "ccxt_static" / "markets" / "mexc.json.xz") as file:
        markets = json.load(file)
    mexc = Mexc()
    await mexc.start()
    try:
        api = {
            "contract": {"public": f"http://127.0.0.1:{mexc.port}"},
            "ws": {"swap": f"ws://127.0.0.1:{mexc.port}/edge"},
        }
        kinds = ReserveSpec(venue="x").topics
        spec = ReserveSpec(
            venue="mexc",
            symbols=("BTC/USDT:USDT",),
            api=api,
            markets=markets,
            topics=frozenset(kind for kind in kinds if kind.value in {"book", "trades"}),
            audit_every_ms=100,
            levels=20,
        )
        listener = listen(spec)
        await listener.until(lambda: listener.said(Trade) and any(x.proved for x in listener.said(DepthSnapshot)))
        trade = listener.said(Trade)[0].event
        assert isinstance(trade, Trade)
        assert trade.instrument_id == "MEXC:PERP:BTC-USDT:LINEAR"
        mexc.lose = 3
        await listener.until(lambda: "different" in str(listener.reserve.status().proofs))
        listener.items.clear()
        await listener.until(lambda: listener.said(DepthSnapshot))
        assert not listener.said(DepthSnapshot)[0].proved
        assert "differs from REST at" in listener.said(DepthSnapshot)[0].reason
    finally:
        await mexc.close()
