"""Each knob does to a client what its name says, is counted, and ends."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import aiohttp
import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.exchange_info import decode_exchange_info
from adapters.binance.instruments import instruments_of
from adapters.clock import SystemClock
from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.simserver import faults as knobs
from adapters.simserver.byte_edits import finer_digit
from adapters.simserver.connection import Life
from adapters.simserver.fault_plane import Faults
from adapters.simserver.server import SimServer
from adapters.simserver.venues import keys_of
from tests.adapters.simserver.conftest import INSTRUMENTS, Client, running, spec_of, wait_for
from tests.waiting import PATIENCE_S, breath
from trading.market.events import BookState, DepthSnapshot, WireRejected
from trading.market.stitch import BookSync, SequenceRule, SyncResult
from trading.market.stream_stitch import StreamSync

USDM = instruments_of("binanceusdm")[0]
STREAM = "btcusdt@depth@0ms"
DEPTH = {
    "binance": ("/stream?streams=btcusdt@depth@100ms", None),
    "binanceusdm": (f"/public/stream?streams={STREAM}", None),
    "binancecoinm": ("/stream?streams=btcusd_perp@depth@0ms", None),
    "okx": ("/ws/v5/public", {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT-SWAP"}]}),
    "bybit": ("/v5/public/linear", {"op": "subscribe", "req_id": "1", "args": ["orderbook.50.BTCUSDT"]}),
}
VENUES = tuple(DEPTH)


def is_depth(payload):
    return b"depthUpdate" in payload or b'"action":"update"' in payload or b'"type":"delta"' in payload


async def listening(http, server):
    path, request = DEPTH[server.spec.venue]
    socket = await http.ws_connect(server.base_ws + path)
    client = Client(socket)
    if request is not None:
        await client.say(json.dumps(request))
    await client.until(is_depth)
    client.seen.clear()
    return client


def number(payload):
    """(the diff that came before, this one)."""
    message = json.loads(payload)
    if "stream" in message:
        data = message["data"]
        return data.get("pu", data["U"] - 1), data["u"]
    if "arg" in message:
        return message["data"][0]["prevSeqId"], message["data"][0]["seqId"]
    return message["data"]["u"] - 1, message["data"]["u"]


async def up_to_now(client, venue):
    """Read what was said before this moment: answers come in their turn."""
    request, answer = {
        "okx": ("ping", lambda payload: payload == b"pong"),
        "bybit": ('{"op":"ping","req_id":"77"}', lambda payload: b'"77"' in payload),
    }.get(venue, ('{"method":"LIST_SUBSCRIPTIONS","id":77}', lambda payload: b'"id":77' in payload))
    await client.say(request)
    await client.until(answer)


async def take(client, count):
    return [await client.until(is_depth) for _ in range(count)]


@pytest.mark.parametrize("venue", VENUES)
async def test_a_gap_is_one_message_that_never_comes(http, venue):
    async with running(spec_of(venue)) as server:
        client = await listening(http, server)
        last = number((await take(client, 1))[0])[1]
        server.faults.set(knobs.Gap())
        broken = after = 0
        while after < 4:
            before, this = number((await take(client, 1))[0])
            broken += before != last
            after += bool(broken)
            last = this
        assert broken == 1
        assert server.faults.counts["gap"] == 1
        assert server.faults.active() == []


@pytest.mark.parametrize("venue", VENUES)
async def test_duplicates_and_swaps_keep_every_message(http, venue):
    async with running(spec_of(venue)) as server:
        client = await listening(http, server)
        server.faults.set(knobs.Duplicate())
        await wait_for(lambda: server.faults.counts["duplicate"])
        server.faults.set(knobs.Reorder())
        await wait_for(lambda: server.faults.counts["reorder"])
        ids = [number(payload)[1] for payload in await take(client, 8)]
        while ids == sorted(ids):
            ids.append(number((await take(client, 1))[0])[1])
        assert len(ids) - len(set(ids)) == 1
        swaps = [k for k in range(1, len(ids)) if ids[k] < ids[k - 1]]
        assert len(swaps) == 1


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    ("fault", "trace"),
    [
        (knobs.BadPrice(), b'["0.00"'),
        (knobs.BadPrice(price="nan"), b'["NaN"'),
    ],
)
async def test_bad_prices_are_in_the_bytes(http, venue, fault, trace):
    async with running(spec_of(venue)) as server:
        client = await listening(http, server)
        server.faults.set(fault)
        await client.until(lambda payload: trace in payload)
        assert server.faults.counts["bad_price"] == 1


@pytest.mark.parametrize("venue", VENUES)
async def test_another_unit_of_time_and_a_skewed_clock_move_the_times_alone(http, venue):
    keys = {"okx": ("ts",), "bybit": ("ts", "cts")}.get(venue, ("E",))

    def times(payload):
        message = json.loads(payload)
        where = message.get("data") if "stream" in message else message
        where = message["data"][0] if "arg" in message else where
        return [int(where[key]) for key in keys]

    async with running(spec_of(venue)) as server:
        client = await listening(http, server)
        honest = times((await take(client, 1))[0])
        fault = server.faults.set(knobs.TimeUnit(unit="us"))
        payload = await client.until(lambda p: is_depth(p) and times(p)[0] > 10**15)
        assert all(10**15 < one < 10**16 for one in times(payload))
        server.faults.clear(fault)
        fault = server.faults.set(knobs.ClockSkew(skew_ms=60_000))
        await client.until(lambda p: is_depth(p) and 60_000 <= times(p)[0] - honest[0] < 10**9)
        server.faults.set(knobs.ClockStep(step_ms=-120_000))
        await client.until(lambda p: is_depth(p) and times(p)[0] < honest[0])
        server.faults.clear()
        await client.until(lambda p: is_depth(p) and 0 <= times(p)[0] - honest[0] < 30_000)


async def test_server_time_is_skewed_with_the_stream(http):
    paths = {"binance": "/api/v3/time", "okx": "/api/v5/public/time", "bybit": "/v5/market/time"}
    for venue, path in paths.items():
        async with running(spec_of(venue)) as server:

            async def stated(path=path, server=server):
                async with http.get(server.base_http + path) as reply:
                    body = await reply.json()
                if "serverTime" in body:
                    return body["serverTime"]
                return int(body["data"][0]["ts"]) if "data" in body else int(body["result"]["timeNano"]) // 10**6

            honest = await stated()
            server.faults.set(knobs.ClockSkew(skew_ms=-5_000, for_ms=60_000))
            assert -5_000 <= await stated() - honest < -3_000


async def test_a_frozen_side_changes_no_more(http):
    async with running(spec_of("binanceusdm")) as server:
        client = await listening(http, server)
        server.faults.set(knobs.FrozenSide(side="ask"))
        await up_to_now(client, "binanceusdm")
        found = [json.loads(payload)["data"] for payload in await take(client, 10)]
        assert all(not data["a"] for data in found)
        assert any(data["b"] for data in found)


async def test_one_digit_is_changed_and_the_book_is_then_another(http):
    async with running(spec_of("binanceusdm")) as server:
        client, other = await listening(http, server), await listening(http, server)
        server.faults.set(knobs.Corrupt(connections=(1,)))
        ids = []
        while not ids:
            mine, theirs = (await take(client, 1))[0], (await take(other, 1))[0]
            while number(mine)[1] < number(theirs)[1]:
                (mine,) = await take(client, 1)
            while number(theirs)[1] < number(mine)[1]:
                (theirs,) = await take(other, 1)
            if mine != theirs:
                assert len(mine) == len(theirs)
                assert sum(one != two for one, two in zip(mine, theirs, strict=True)) == 1
                ids.append(number(mine))
        assert server.faults.counts["corrupt"] == 1


@pytest.mark.parametrize("venue", VENUES)
async def test_a_mute_stream_answers_pings(http, venue):
    async with running(spec_of(venue)) as server:
        client = await listening(http, server)
        server.faults.set(knobs.Mute())
        await wait_for(lambda: server.faults.counts["mute"] > 0)
        socket = client.socket
        await socket.ping(b"there?")
        sent = server.hub.messages_sent
        await wait_for(lambda: server.hub.messages_sent > sent)  # the pong, and nothing else
        if venue == "okx":
            await client.say("ping")
            await client.until(lambda payload: payload == b"pong")
        muted = server.faults.counts["mute"]
        await wait_for(lambda: server.faults.counts["mute"] > muted + 1)
        server.faults.clear()
        await client.until(is_depth)


async def test_a_half_open_connection_neither_speaks_nor_ends(http):
    async with running(spec_of("binanceusdm")) as server:
        client = await listening(http, server)
        server.faults.set(knobs.HalfOpen(connections=(1,)))
        sent = server.hub.messages_sent
        async with http.ws_connect(f"{server.base_ws}/public/stream?streams={STREAM}") as socket:
            await Client(socket).until(is_depth)  # others live
            await client.socket.ping(b"there?")
            with pytest.raises(TimeoutError):
                await client.until(lambda payload: b'"id"' in payload, deadline_s=0.5)
            assert not client.socket.closed
            (mine,) = (one for one in server.state().clients if one.id == 1)
            assert mine.life == "half_open"
            assert mine.messages <= sent
        server.faults.clear()
        assert await client.closed() == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_a_delayed_view_lags_and_keeps_its_order(http):
    async with running(spec_of("binanceusdm")) as server:
        late, prompt = await listening(http, server), await listening(http, server)
        server.faults.set(knobs.Delay(delay_ms=400, connections=(1,)))
        await wait_for(lambda: server.faults.counts["delay"] > 20)
        late.seen.clear()
        lags, last = [], 0
        for _ in range(10):
            (payload,) = await take(late, 1)
            assert number(payload)[1] > last
            last = number(payload)[1]
            lags.append(server.venue_ns() // 10**6 - json.loads(payload)["data"]["E"])
        assert max(lags) >= 380
        await prompt.until(lambda p: is_depth(p) and number(p)[1] > last)  # the other view is ahead


@pytest.mark.parametrize("venue", ["okx", "binanceusdm", "bybit"])
async def test_topics_can_be_refused_unanswered_or_silent(http, venue):
    path = {"okx": "/ws/v5/public", "binanceusdm": "/public/ws", "bybit": "/v5/public/linear"}[venue]
    topics = {
        "okx": ("bbo-tbt:BTC-USDT", "trades:BTC-USDT", "books:BTC-USDT"),
        "binanceusdm": ("btcusdt@bookTicker", "btcusdt@trade", "btcusdt@depth@0ms"),
        "bybit": ("linear.orderbook.1.BTCUSDT", "linear.publicTrade.BTCUSDT", "linear.orderbook.50.BTCUSDT"),
    }[venue]

    def request(topic):
        if venue == "okx":
            channel, _, symbol = topic.partition(":")
            return {"op": "subscribe", "args": [{"channel": channel, "instId": symbol}]}
        if venue == "bybit":
            return {"op": "subscribe", "req_id": topic, "args": [topic.removeprefix("linear.")]}
        return {"method": "SUBSCRIBE", "params": [topic], "id": 1}

    async with running(spec_of(venue)) as server, http.ws_connect(server.base_ws + path) as socket:
        client = Client(socket)
        refused, unanswered, silent = topics
        server.faults.set(knobs.SubscribeError(topics=(refused,)))
        server.faults.set(knobs.NoAck(topics=(unanswered,)))
        server.faults.set(knobs.SilentTopic(topics=(silent,)))
        await client.say(json.dumps(request(refused)))
        answer = await client.until(lambda _: True)
        assert b"rror" in answer or b'"code"' in answer
        await client.say(json.dumps(request(unanswered)))
        await wait_for(lambda: server.faults.counts["no_ack"] == 1)
        await client.say(json.dumps(request(silent)))
        granted = json.loads(await client.until(lambda _: True))  # the next answer is to the third request
        assert granted.get("event") == "subscribe" or granted.get("success") or granted.get("result", 0) is None
        (state,) = server.state().clients
        assert state.topics == [silent]
        with pytest.raises(TimeoutError):
            await client.until(lambda _: True, deadline_s=0.5)


@pytest.mark.parametrize("code", [1006, 1000, 1012])
async def test_connections_are_cut_with_the_code_that_was_asked_for(http, code):
    async with running(spec_of("binanceusdm")) as server:
        client = await listening(http, server)
        server.faults.set(knobs.Disconnect(code=code))
        assert await client.closed() == code
        await wait_for(lambda: not server.hub.connections)


async def test_rotation_ends_each_connection_at_its_age(http):
    async with running(spec_of("binanceusdm")) as server:
        client = await listening(http, server)
        server.faults.set(knobs.Rotate(every_ms=300))
        assert await client.closed() == 1000


async def test_a_nightly_reset_closes_and_refuses_for_its_time(http):
    async with running(spec_of("okx")) as server:
        client = await listening(http, server)
        server.faults.set(knobs.NightlyReset(down_ms=300))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{server.base_ws}/ws/v5/public")
        assert refused.value.status == 503
        assert await client.closed() == 1012
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with http.ws_connect(f"{server.base_ws}/ws/v5/public"):
                        break
                except aiohttp.WSServerHandshakeError:
                    await breath(0.02)


async def test_maintenance_is_announced_before_it_comes(http):
    for venue, words in {"okx": b"64008", "binance": b"serverShutdown"}.items():
        async with running(spec_of(venue)) as server:
            client = await listening(http, server)
            server.faults.set(knobs.Maintenance(notice_ms=200))
            await client.until(lambda payload, words=words: words in payload)
            assert await client.closed() == 1001


async def test_a_refusing_server_refuses_in_the_kernel_and_still_answers_its_controls(http):
    async with running(spec_of("binance")) as server:
        client = await listening(http, server)
        async with http.get(f"{server.base_http}/api/v3/ping") as reply:
            assert reply.status == 200  # this connection is kept for later
        server.faults.set(knobs.RefuseConnections())

        async def refuses():
            try:
                async with aiohttp.ClientSession() as fresh, fresh.get(f"{server.base_http}/api/v3/ping"):
                    return False
            except aiohttp.ClientConnectorError:
                return True

        async with asyncio.timeout(PATIENCE_S):
            while not await refuses():
                await breath(0.01)
        with pytest.raises(aiohttp.ClientError):
            await http.get(f"{server.base_http}/api/v3/ping")
        await client.until(is_depth)  # who is there may stay
        async with http.post(f"{server.control_http}/_sim/faults", json={"clear": "all"}) as reply:
            assert (await reply.json())["active"] == []
        async with asyncio.timeout(PATIENCE_S):
            while await refuses():
                await breath(0.01)


async def test_a_quota_and_handshake_errors_refuse_connections(http):
    async with running(spec_of("bybit")) as server:
        first = await listening(http, server)
        fault = server.faults.set(knobs.Quota(connections_max=1))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{server.base_ws}/v5/public/linear")
        assert refused.value.status == 429
        server.faults.clear(fault)
        server.faults.set(knobs.HandshakeStatus(status=503, handshakes=1))
        with pytest.raises(aiohttp.WSServerHandshakeError) as unavailable:
            await http.ws_connect(f"{server.base_ws}/v5/public/linear")
        assert unavailable.value.status == 503
        async with http.ws_connect(f"{server.base_ws}/v5/public/linear"):
            assert server.state().refused_connections == 2
        await first.until(is_depth)
        await first.socket.close()


async def test_rest_says_too_many_with_and_without_when_to_come_back(http):
    async with running(spec_of("binanceusdm")) as server:
        url = f"{server.base_http}/fapi/v1/ping"
        server.faults.set(knobs.RestStatus(status=429, retry_after_s=7, topics=("/fapi/*",)))
        async with http.get(url) as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
            assert (await reply.json())["code"] == -1003
        server.faults.set(knobs.RestStatus(status=418))
        async with http.get(url) as reply:
            assert (reply.status, "Retry-After" in reply.headers) == (418, False)
        server.faults.set(knobs.RestError())
        async with http.get(url) as reply:
            assert (reply.status, (await reply.json())["code"]) == (400, -1000)
        server.faults.set(knobs.RestSlow(delay_ms=200, for_ms=60_000))
        begun = asyncio.get_running_loop().time()
        async with http.get(url) as reply:
            assert reply.status == 200
        assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_snapshots_can_be_late_and_never_bridge(http):
    async with running(spec_of("binanceusdm")) as server:
        client = await listening(http, server)
        codec, sync = BinanceCodec("binanceusdm", [USDM]), BookSync(USDM.instrument_id, SequenceRule.FUTURES)

        async def snapshot():
            url = f"{server.base_http}/fapi/v1/depth"
            async with http.get(url, params={"symbol": "BTCUSDT", "limit": 1000}) as reply:
                found = codec.decode_snapshot(await reply.read(), USDM.instrument_id, 1)
            assert isinstance(found, DepthSnapshot)
            return found

        for payload in await take(client, 3):
            sync.on_update(codec.decode(payload, 1))
        server.faults.set(knobs.UnbridgedSnapshot(snapshots=2))
        for _ in range(2):
            sync.on_snapshot(await snapshot())
            for payload in await take(client, 2):
                sync.on_update(codec.decode(payload, 1))
            assert sync.book.state is not BookState.SYNCED
        # Two seconds ago is before this client's first diff.
        server.faults.set(knobs.LateSnapshot())
        late = await snapshot()
        assert late.last_update_id < server.truth("BTCUSDT").update_id
        sync.on_snapshot(await snapshot())
        while sync.book.state is not BookState.SYNCED:
            sync.on_update(codec.decode(await client.until(is_depth), 1))
        assert server.faults.counts["unbridged_snapshot"] == 2


@pytest.mark.parametrize("fault", [knobs.UnbridgedSnapshot(), knobs.LateSnapshot(), knobs.MergedSnapshot()])
async def test_a_wrong_snapshot_in_the_stream_does_not_bridge_and_the_next_one_does(http, fault):
    (swap,) = (one for one in OKX_INSTRUMENTS if one.symbol == "BTC-USDT-SWAP")
    request = {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT-SWAP"}]}
    async with running(spec_of("okx")) as server, http.ws_connect(f"{server.base_ws}/ws/v5/public") as socket:
        await wait_for(lambda: server.feed.find("BTC-USDT-SWAP").diffs > 30)  # the book of two seconds ago is another
        client, codec = Client(socket), OkxCodec([swap])
        sync = StreamSync(swap.instrument_id, SequenceRule.OKX)
        server.faults.set(fault)
        for expected in (False, True):
            await client.say(json.dumps(request))
            (snapshot,) = codec.decode(await client.until(lambda payload: b'"snapshot"' in payload), 1)
            sync.on_snapshot(snapshot)
            for _ in range(3):
                (event,) = codec.decode(await client.until(is_depth), 1)
                sync.on_update(event)
            assert (sync.book.state is BookState.SYNCED) is expected
            await client.say(json.dumps(request | {"op": "unsubscribe"}))
            await client.until(lambda payload: b'"unsubscribe"' in payload)
        assert server.faults.counts[fault.knob] == 1


@pytest.mark.parametrize("venue", VENUES)
async def test_no_text_of_a_client_ends_the_server_or_the_connection(http, venue):
    async with running(spec_of(venue)) as server:
        client = await listening(http, server)
        for text in (
            "",
            "{",
            "[]",
            "null",
            '{"op":1}',
            '{"op":"subscribe","args":[1]}',
            '{"op":"subscribe","args":[{"channel":1}]}',
            '{"op":"subscribe","args":["orderbook.x.BTCUSDT"]}',
            '{"method":"SUBSCRIBE","params":[1],"id":1}',
            '{"method":"SUBSCRIBE","params":{},"id":1}',
            "[" * 5_000,
        ):
            await client.say(text)
        await client.until(is_depth)
        await client.until(is_depth)
        assert server.state().failure == ""
        for path in ("/api/v3/depth?symbol=BTCUSDT&limit=x", "/api/v5/public/funding-rate-history?before=x"):
            async with http.get(server.base_http + path) as reply:
                assert reply.status in {200, 400, 404}


async def test_a_failure_of_the_market_ends_every_connection_and_is_told(http):
    async with running(spec_of("binance")) as server:
        client = await listening(http, server)
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        server.feed.markets.clear()  # what follows is a bug: a frame of a market that is not there
        assert await client.closed() == 1011
        assert "KeyError" in server.state().failure
        assert told == [server.failure]


async def test_a_wrong_checksum_is_found_at_once(http):
    (swap,) = (one for one in OKX_INSTRUMENTS if one.symbol == "BTC-USDT-SWAP")
    async with running(spec_of("okx")) as server:
        server.faults.set(knobs.RealChecksum())
        client = await listening(http, server)
        await client.say('{"op":"unsubscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}')
        await client.until(lambda payload: b"unsubscribe" in payload)
        await client.say('{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}')
        codec = OkxCodec([swap])
        sync = StreamSync(swap.instrument_id, SequenceRule.OKX, checksum_of=codec.checksum_of(swap.instrument_id))
        for event in codec.decode(await client.until(lambda payload: b'"snapshot"' in payload), 1):
            assert sync.on_snapshot(event) in {SyncResult.APPLIED, SyncResult.BRIDGED}
        server.faults.set(knobs.WrongChecksum())
        while sync.counters.checksums_failed == 0:
            (event,) = codec.decode(await client.until(is_depth), 1)
            before = server.faults.counts["wrong_checksum"]
            sync.on_update(event)
        assert before == 1
        assert sync.book.state is not BookState.SYNCED


@pytest.mark.parametrize("venue", VENUES)
async def test_a_changed_tick_is_in_the_rules_in_every_price_and_in_the_truth(http, venue):
    async with running(spec_of(venue)) as server:
        client = await listening(http, server)
        server.faults.set(knobs.TickChange())
        await up_to_now(client, venue)
        seen = await take(client, 4)
        key = {"okx": "BTC-USDT-SWAP", "bybit": "linear:BTCUSDT"}.get(venue, "BTCUSDT")
        key = "BTCUSD_PERP" if venue == "binancecoinm" else key
        instrument = server.feed.markets[key].instrument
        step = instrument.tick_size
        for payload in seen:
            message = json.loads(payload)
            data = message["data"][0] if "arg" in message else message["data"]
            for price, *_ in [*data.get("b", []), *data.get("a", []), *data.get("bids", []), *data.get("asks", [])]:
                ticks = int(Decimal(price) / step)
                assert Decimal(price) == ticks * step + finer_digit(ticks) * step / 10
        truth = server.truth(key, 50)
        assert all(finer_digit(ticks // 10) == ticks % 10 for ticks, _ in truth.bids + truth.asks)
        assert truth.bids[0][0] < truth.asks[0][0]
        if venue == "binanceusdm":
            async with http.get(f"{server.base_http}/fapi/v1/exchangeInfo") as reply:
                listing = decode_exchange_info(await reply.read(), venue)
            assert listing.instruments[0].tick_size == step / 10
            codec = BinanceCodec(venue, [USDM])
            assert any(isinstance(codec.decode(payload, 1), WireRejected) for payload in seen)


async def test_a_client_that_never_answers_pings_is_cut(http):
    class Ahead(SystemClock):
        lead_ns = 0

        def mono_ns(self):
            return SystemClock.mono_ns() + self.lead_ns

    clock = Ahead()
    server = SimServer(spec_of("binance"), clock)
    await server.start()
    try:
        client = await listening(http, server)
        pinged = server.hub.connections[1].pinged_ns
        clock.lead_ns = 30 * 10**9
        await wait_for(lambda: server.hub.connections[1].pinged_ns > pinged)
        heard = server.hub.connections[1].heard_ns
        while server.hub.connections[1].heard_ns == heard:
            await client.until(is_depth)  # reading answers the ping
        clock.lead_ns += 50 * 10**9
        await client.until(is_depth)
        await client.until(is_depth)
        clock.lead_ns += 61 * 10**9
        # Who reads now may find a ping that waits, and answers it in time.
        await wait_for(lambda: 1 not in server.hub.connections or server.hub.connections[1].life is not Life.OPEN)
        assert await client.closed() == 4004
    finally:
        await server.close()


async def test_a_client_that_does_not_read_is_cut_and_counted(http):
    async with running(spec_of("binance")) as server:
        socket = await http.ws_connect(f"{server.base_ws}/ws")
        await socket.send_str('{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}')
        await wait_for(lambda: server.hub.connections)
        (connection,) = server.hub.connections.values()
        while connection.life is Life.OPEN:
            connection.push(b"x" * 65_536)
            await asyncio.sleep(0)
        await wait_for(lambda: not server.hub.connections)
        assert server.state().slow_clients == 1
        await socket.close()


async def test_faults_are_set_shown_and_refused_over_http(http):
    async with running(spec_of("binance")) as server:
        url = f"{server.base_http}/_sim/faults"
        body = {"set": [{"knob": "gap", "messages": 3, "topics": ["nothing"]}]}
        async with http.post(url, json=body) as reply:
            (fault_id,) = (await reply.json())["set"]
        async with http.get(url) as reply:
            (shown,) = (await reply.json())["active"]
        assert (shown["id"], shown["knob"], shown["left"], shown["topics"]) == (fault_id, "gap", 3, ["nothing"])
        for wrong in (
            {"set": [{"knob": "gap", "mesages": 3}]},
            {"set": [{"knob": "dance"}]},
            {"set": [{"knob": "gap", "messages": 0}]},
            {"clear": ["f99"]},
            {"nonsense": 1},
        ):
            async with http.post(url, json=wrong) as reply:
                assert reply.status == 400
                assert isinstance((await reply.json())["error"], str)
        async with http.post(url, json={"clear": [fault_id]}) as reply:
            assert (await reply.json())["active"] == []


@pytest.mark.parametrize("venue", ["okx", "bybit"])
async def test_faults_are_the_same_for_the_same_seed(venue):
    payload = b'{"topic":"orderbook.50.BTCUSDT","data":{"b":[["61234.10","1.234"],["61233.10","5.5"]],"a":[]}}'

    def run(seed):
        plane = Faults(seed, lambda: 0)
        plane.set(knobs.Corrupt(messages=20))
        return [plane.shape("t", 1, payload) for _ in range(20)]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_instruments_of_other_venues_are_refused():
    with pytest.raises(ValueError, match="okx"):
        keys_of("okx", INSTRUMENTS["binance"])
