"""The Binance servers, seen through our own codec and books."""

from __future__ import annotations

import json

import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.exchange_info import decode_exchange_info
from adapters.binance.instruments import instruments_of
from adapters.simserver.liquidations import is_liquidation
from tests.adapters.simserver.conftest import INSTRUMENTS, Client, running, spec_of, wait_for
from trading.market.events import BookState, DepthSnapshot, DepthUpdate, MarkPrice, Trade, WireRejected
from trading.market.stitch import BookSync, SequenceRule

VENUES = ("binance", "binanceusdm", "binancecoinm")
SYMBOL = {"binance": "BTCUSDT", "binanceusdm": "BTCUSDT", "binancecoinm": "BTCUSD_PERP"}
PREFIX = {"binance": "/api/v3", "binanceusdm": "/fapi/v1", "binancecoinm": "/dapi/v1"}
RULE = {
    "binance": SequenceRule.SPOT,
    "binanceusdm": SequenceRule.FUTURES,
    "binancecoinm": SequenceRule.FUTURES,
}
SPEEDS = [(venue, speed) for venue in VENUES for speed in ("100ms", "0ms") if (venue, speed) != ("binance", "0ms")]
PUBLIC = {"binance": "", "binanceusdm": "/public", "binancecoinm": ""}
KINDS = {
    ("binance", ""): ("depthUpdate", "trade"),
    ("binanceusdm", "/public"): ("depthUpdate", "trade"),
    ("binanceusdm", "/market"): ("markPriceUpdate",),
    ("binancecoinm", ""): ("depthUpdate", "aggTrade", "markPriceUpdate"),
}
"""What has to be heard on each route."""


class Desk:
    """One book by the venue's rules."""

    def __init__(self, venue):
        self.instrument = next(i for i in instruments_of(venue) if i.instrument_id in INSTRUMENTS[venue])
        self.codec = BinanceCodec(venue, [self.instrument])
        self.book = BookSync(self.instrument.instrument_id, RULE[venue])
        self.rejected = []
        self.events = []

    def hear(self, payload):
        event = self.codec.decode(payload, 1)
        self.events.append(event)
        if isinstance(event, WireRejected):
            self.rejected.append(event)
        elif isinstance(event, DepthUpdate):
            self.book.on_update(event)

    def snapshot(self, payload):
        event = self.codec.decode_snapshot(payload, self.instrument.instrument_id, 1)
        assert isinstance(event, DepthSnapshot), event
        self.book.on_snapshot(event)


async def get(http, server, path, **query):
    async with http.get(server.base_http + path, params=query) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.read()


async def synced(http, server, venue, desk, client, speed):
    stream = f"{SYMBOL[venue].lower()}@depth@{speed}"
    await client.say(json.dumps({"method": "SUBSCRIBE", "params": [stream], "id": 1}))
    await client.until(lambda p: b'"u":' in p)
    desk.snapshot(await get(http, server, f"{PREFIX[venue]}/depth", symbol=SYMBOL[venue], limit=1000))
    for payload in client.seen:
        desk.hear(payload)
    client.seen.clear()
    while desk.book.book.state is not BookState.SYNCED:
        desk.hear(await client.until(lambda p: b'"u":' in p))


@pytest.mark.parametrize(("venue", "speed"), SPEEDS)
async def test_a_book_built_from_stream_and_snapshot_is_the_servers_book(http, venue, speed):
    async with (
        running(spec_of(venue)) as server,
        http.ws_connect(f"{server.base_ws}{PUBLIC[venue]}/stream") as socket,
    ):
        client, desk = Client(socket), Desk(venue)
        await synced(http, server, venue, desk, client, speed)
        for _ in range(5):
            desk.hear(await client.until(lambda p: b'"u":' in p))
        server.pause()
        while desk.book.book.update_id < server.truth(SYMBOL[venue]).update_id:
            desk.hear(await client.until(lambda p: b'"u":' in p))
        truth = server.truth(SYMBOL[venue], 200)
        assert desk.book.book.update_id == truth.update_id
        assert desk.book.book.top(200) == (truth.bids, truth.asks)
        assert not desk.rejected
        assert desk.book.counters.gaps == 0


@pytest.mark.parametrize("venue", VENUES)
async def test_instrument_rules_are_those_of_the_desks_own_table(http, venue):
    async with running(spec_of(venue)) as server:
        listing = decode_exchange_info(await get(http, server, f"{PREFIX[venue]}/exchangeInfo"), venue)
        assert listing is not None
        assert listing.refused == {}
        (listed,) = listing.instruments
        (known,) = (i for i in instruments_of(venue) if i.instrument_id in INSTRUMENTS[venue])
        for field in ("instrument_id", "symbol", "kind", "tick_size", "lot_size", "min_qty", "min_notional", "settle"):
            assert getattr(listed, field) == getattr(known, field), field


async def test_the_old_route_grants_everything_and_delivers_the_public_part(http):
    async with running(spec_of("binanceusdm")) as server, http.ws_connect(f"{server.base_ws}/ws") as socket:
        client = Client(socket)
        wanted = ["btcusdt@markPrice@1s", "btcusdt@bookTicker", "btcusdt@depth@0ms", "btcusdt@trade"]
        await client.say(json.dumps({"method": "SUBSCRIBE", "params": wanted, "id": 5}))
        assert json.loads(await client.until(lambda p: b'"id"' in p)) == {"result": None, "id": 5}
        await client.say('{"method":"LIST_SUBSCRIPTIONS","id":6}')
        assert json.loads(await client.until(lambda p: b'"id":6' in p))["result"] == wanted
        async with http.ws_connect(f"{server.base_ws}/market/ws/btcusdt@markPrice@1s") as other:
            await Client(other).until(lambda p: b"markPriceUpdate" in p)
        for kind in (b'"bookTicker"', b'"depthUpdate"', b'"trade"'):
            await client.until(lambda p, kind=kind: kind in p)
        assert not any(b"markPrice" in payload for payload in client.seen if b'"id"' not in payload)


@pytest.mark.parametrize("venue", VENUES)
async def test_every_frame_and_every_reply_is_read_by_the_codec(http, venue):
    symbol = SYMBOL[venue]
    name = symbol.lower()
    streams = [f"{name}@{kind}" for kind in ("trade", "bookTicker", "depth", "aggTrade")]
    async with running(spec_of(venue)) as server:
        seen = set()
        for route, kinds in [(route, kinds) for (of, route), kinds in KINDS.items() if of == venue]:
            mark = [f"{name}@markPrice@1s"] if venue != "binance" else []
            query = "/".join([*streams, *mark])
            async with http.ws_connect(f"{server.base_ws}{route}/stream?streams={query}") as socket:
                client, desk = Client(socket), Desk(venue)
                for kind in kinds:
                    await client.until(lambda p, kind=kind: f'"e":"{kind}"'.encode() in p)
                for payload in client.seen:
                    desk.hear(payload)
                assert not desk.rejected
                seen |= {type(event) for event in desk.events}
        assert {DepthUpdate, Trade} <= seen
        assert (MarkPrice in seen) is (venue != "binance")


@pytest.mark.req("P-MD-10")
@pytest.mark.parametrize("venue", ["binanceusdm", "binancecoinm"])
async def test_liquidations_and_aggregated_trades_are_on_the_tape(http, venue):
    name = SYMBOL[venue].lower()
    route = "/market" if venue == "binanceusdm" else ""
    async with running(spec_of(venue)) as server:
        url = f"{server.base_ws}{route}/stream?streams={name}@forceOrder/{name}@aggTrade/{name}@ticker"
        async with http.ws_connect(url) as socket:
            client = Client(socket)
            day = json.loads(await client.until(lambda p: b"24hrTicker" in p))["data"]
            assert {"e", "E", "s", "c", "o", "h", "l", "v", "q", "n"} <= set(day)
            run = json.loads(await client.until(lambda p: b'"aggTrade"' in p))["data"]
            (market,) = server.feed.markets.values()
            parts = [one for one in market.trades if run["f"] <= one.trade_id <= run["l"]]
            assert sum(one.qty_lots for one in parts) == market.instrument.lots(run["q"])
            assert {one.price_ticks for one in parts} == {market.instrument.ticks(run["p"])}
            if venue == "binanceusdm":
                order = json.loads(await client.until(lambda p: b"forceOrder" in p and b'"o":{' in p))["data"]["o"]
                taken = [one for one in market.trades if is_liquidation(one.trade_id)]
                told = market.instrument.ticks(order["ap"]), market.instrument.lots(order["z"])
                assert told in [(one.price_ticks, one.qty_lots) for one in taken]


async def test_unknown_requests_are_refused_in_the_venues_words(http):
    async with running(spec_of("binance")) as server:
        async with http.get(f"{server.base_http}/api/v3/depth", params={"symbol": "NOSUCH"}) as reply:
            assert (reply.status, (await reply.json())["code"]) == (400, -1121)
        async with http.get(f"{server.base_http}/api/v3/margin") as reply:
            assert reply.status == 404
        async with http.ws_connect(f"{server.base_ws}/ws") as socket:
            client = Client(socket)
            await client.say("not json")
            assert json.loads(await client.until(lambda _: True))["error"]["code"] == 3
            await client.say('{"method":"DANCE","id":1}')
            assert json.loads(await client.until(lambda _: True))["error"]["code"] == 2


@pytest.mark.req("P-MD-10")
async def test_derivatives_replies_say_what_the_stream_says(http):
    async with running(spec_of("binanceusdm", funding_interval_s=300)) as server:
        async with http.ws_connect(f"{server.base_ws}/market/ws/btcusdt@markPrice@1s") as socket:
            mark = json.loads(await Client(socket).until(lambda p: b"markPriceUpdate" in p))
        premium = json.loads(await get(http, server, "/fapi/v1/premiumIndex", symbol="BTCUSDT"))
        assert premium["nextFundingTime"] == mark["T"]
        assert premium["markPrice"] == mark["p"]
        history = json.loads(await get(http, server, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=5))
        assert [row["fundingTime"] for row in history] == [mark["T"] - k * 300_000 for k in range(5, 0, -1)]
        interest = json.loads(await get(http, server, "/fapi/v1/openInterest", symbol="BTCUSDT"))
        assert float(interest["openInterest"]) > 0
        (ratio,) = json.loads(
            await get(http, server, "/futures/data/globalLongShortAccountRatio", symbol="BTCUSDT", period="5m")
        )
        assert float(ratio["longAccount"]) + float(ratio["shortAccount"]) == pytest.approx(1)


async def test_the_state_tells_who_is_connected_and_to_what(http):
    async with running(spec_of("binance")) as server:
        async with http.ws_connect(f"{server.base_ws}/stream?streams=btcusdt@trade") as socket:
            await Client(socket).until(lambda _: True)
            state = json.loads(await get(http, server, "/_sim/state"))
            assert [one["topics"] for one in state["clients"]] == [["btcusdt@trade"]]
            assert state["clients"][0]["messages"] >= 1
        await wait_for(lambda: not server.hub.connections)
