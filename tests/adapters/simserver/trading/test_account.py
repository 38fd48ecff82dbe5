"""The account behind a server: it outlives the server, ends what its clients do not keep alive, and is one account."""

from __future__ import annotations

import contextlib
import json
import time

import aiohttp
import ccxt
import pytest

from adapters.paper_store import PaperStore
from adapters.simserver.server import SimServer
from adapters.simserver.trading.limits import Ban, Window
from tests.adapters.simserver.conftest import Client, wait_for
from tests.adapters.simserver.trading.conftest import KEYS, Bench, Dial, S, dialled, exchange_of, spec_of, trading
from tests.waiting import breath

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


async def die(server):
    """End a server as a kill does: nothing is written down on the way out."""
    store, server.account._store = server.account._store, None
    await server.close()
    store.close()


@pytest.mark.parametrize(("venue", "symbol"), [("binanceusdm", "BTC/USDT:USDT"), ("bybit", "BTC/USDT")])
async def test_orders_positions_fills_and_settings_outlive_a_killed_server(tmp_path, venue, symbol):
    server = SimServer(spec_of(venue, directory=tmp_path), Dial())
    await server.start()
    await wait_for(lambda: all(market.book.best_ask() for market in server.feed.markets.values()))
    server.pause()
    async with exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        resting = await bench.limit(exchange, clientOrderId="mine1")
        await bench.at_market(exchange)
        if not bench.spot:
            await exchange.set_leverage(9, symbol)
    before = server.account.exchange.account
    await die(server)

    async with trading(venue, directory=tmp_path) as again, exchange_of(again) as exchange:
        bench = Bench(again, symbol)
        after = again.account.exchange.account
        assert (after.balances, after.positions) == (before.balances, before.positions)
        (opened,) = await exchange.fetch_open_orders(symbol)
        assert (opened["id"], opened["clientOrderId"]) == (resting["id"], "mine1")
        (trade,) = await exchange.fetch_my_trades(symbol)
        assert again.account.leverage_of(bench.market) == (5 if bench.spot else 9)
        bought = await bench.at_market(exchange)
        trades = await exchange.fetch_my_trades(symbol)
        assert {one["order"] for one in trades} == {trade["order"], bought["id"]}
        await exchange.cancel_order(resting["id"], symbol)

    store = PaperStore(tmp_path)
    assert store.load() == []  # a server that ends in peace leaves one checkpoint
    assert store.load_checkpoint()
    store.close()


async def listening_for(seconds, server, dial, client):
    """Time passes, and the client answers pings."""
    (connection,) = server.hub.connections.values()
    for _ in range(0, seconds, 300):
        heard_ns = connection.heard_ns
        dial.ahead_ns += 300 * S
        await client.socket.pong()
        await wait_for(lambda heard_ns=heard_ns: connection.heard_ns >= heard_ns + 300 * S)


async def test_a_listen_key_that_nobody_keeps_alive_ends_after_an_hour(http):
    async with dialled("binanceusdm") as (server, dial):
        base = f"{server.base_http}/fapi/v1/listenKey"
        headers = {"X-MBX-APIKEY": KEYS.api_key}
        async with http.post(base, headers=headers) as reply:
            key = (await reply.json())["listenKey"]
        client = Client(await http.ws_connect(f"{server.base_ws}/private/ws?listenKey={key}"))
        await listening_for(3_000, server, dial, client)
        async with http.put(base, headers=headers) as reply:
            assert (await reply.json())["listenKey"] == key
        await listening_for(3_000, server, dial, client)
        async with http.post(base, headers=headers) as reply:
            assert (await reply.json())["listenKey"] == key
        await listening_for(3_300, server, dial, client)
        dial.ahead_ns += 301 * S
        assert json.loads(await client.until(lambda payload: b"Expired" in payload))["listenKey"] == key
        async with http.put(base, headers=headers) as reply:
            assert (await reply.json())["code"] == -1125
        async with http.post(base, headers=headers) as reply:
            assert (await reply.json())["listenKey"] != key


async def test_okx_cancels_all_when_nobody_renews_the_switch():
    async with dialled("okx") as (server, dial), exchange_of(server) as exchange:
        bench = Bench(server, "BTC/USDT:USDT")
        await bench.limit(exchange)
        await Bench(server, "BTC/USDT").limit(exchange)
        await exchange.cancel_all_orders_after(120_000)
        dial.ahead_ns += 50 * S
        await breath(0.1)
        assert len(server.account.working()) == 2
        dial.ahead_ns += 71 * S
        await wait_for(lambda: not server.account.working())


async def test_bybit_cancels_a_products_orders_when_its_clients_are_gone(http):
    async with dialled("bybit") as (server, dial), exchange_of(server) as exchange:
        await Bench(server, "BTC/USDT:USDT").limit(exchange)
        await Bench(server, "BTC/USDT").limit(exchange)
        await exchange.privatePostV5OrderDisconnectedCancelAll({"product": "DERIVATIVES", "timeWindow": 200})
        client = Client(await http.ws_connect(f"{server.base_ws}/v5/private"))
        expires = str(server.venue_ns() // 10**6 + 10_000)
        sign = KEYS.hex_digest(f"GET/realtime{expires}")
        await client.say(json.dumps({"op": "auth", "args": [KEYS.api_key, expires, sign]}))
        await client.until(lambda payload: b'"success":true' in payload)
        await client.say(json.dumps({"op": "subscribe", "args": ["dcp.future"]}))
        await client.until(lambda payload: b'"op":"subscribe"' in payload)
        dial.ahead_ns += 300 * S
        await breath(0.1)
        assert len(server.account.working()) == 2
        await client.socket.close()
        await wait_for(lambda: server.trading.listeners() == 0)
        dial.ahead_ns += 100 * S
        await breath(0.1)
        assert len(server.account.working()) == 2
        dial.ahead_ns += 101 * S
        await wait_for(lambda: len(server.account.working()) == 1)
        assert server.account.key_of[server.account.working()[0].instrument_id] == "spot:BTCUSDT"


async def test_a_resting_order_fills_when_the_market_comes_to_it():
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        bench = Bench(server, "BTC/USDT:USDT")
        for side in ("buy", "sell"):
            await bench.limit(exchange, side, bps=0)
        server.resume()
        await wait_for(lambda: any(order.cum_lots for order in server.account.exchange.orders()))
        trades = await exchange.fetch_my_trades(bench.symbol)
        assert {trade["takerOrMaker"] for trade in trades} == {"maker"}


async def test_market_data_and_orders_share_a_server_and_unknown_clients_hear_nothing(http):
    async with trading("okx") as server:
        client = Client(await http.ws_connect(f"{server.base_ws}/ws/v5/private"))
        await client.say(json.dumps({"op": "subscribe", "args": [{"channel": "orders", "instType": "ANY"}]}))
        assert b"60011" in await client.until(lambda payload: True)
        login = {
            "apiKey": KEYS.api_key,
            "passphrase": KEYS.passphrase,
            "timestamp": str(int(time.time())),
            "sign": "no",
        }
        await client.say(json.dumps({"op": "login", "args": [login]}))
        assert b"60007" in await client.until(lambda payload: True)
        assert server.trading.listeners() == 0
        assert isinstance(client.socket, aiohttp.ClientWebSocketResponse)


def test_a_window_of_a_limit_begins_anew_by_the_clock():
    window = Window("10S", 10, 3)
    assert [window.add(5 * S) for _ in range(4)] == [True, True, True, False]
    assert (window.left(9 * S), window.ends_s(9 * S)) == (0, 1)
    assert window.add(10 * S)
    window.others = 2
    assert not window.add(11 * S)
    assert window.left(20 * S) == 1


def test_who_does_not_stop_is_banned_for_a_while():
    ban = Ban()
    assert [ban.violated(S) for _ in range(10)] == [False] * 9 + [True]
    assert ban.left_s(S) == 120
    assert ban.left_s(121 * S) == 0


@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "okx", "bybit"])
async def test_an_order_that_is_sent_again_after_it_filled_trades_twice_on_binance_and_nowhere_else(venue):
    reused = venue.startswith("binance")
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, {"binance": "BTC/USDT"}.get(venue, "BTC/USDT:USDT"))
        await bench.limit(exchange, bps=-50, clientOrderId="mine1")
        with contextlib.nullcontext() if reused else pytest.raises(ccxt.ExchangeError):
            await bench.limit(exchange, bps=-50, clientOrderId="mine1")
        trades = await exchange.fetch_my_trades(bench.symbol)
        assert len({trade["order"] for trade in trades}) == 1 + reused


@pytest.mark.parametrize("venue", ["binanceusdm", "okx", "bybit"])
async def test_funding_is_paid_at_its_time_and_told_in_the_venues_words(venue):
    async with dialled(venue) as (server, dial), exchange_of(server) as exchange:
        bench = Bench(server, "BTC/USDT:USDT")
        await bench.at_market(exchange)
        server.account.on_second()
        assert await exchange.fetch_funding_history(bench.symbol) == []
        dial.ahead_ns += 9 * 3600 * S
        exchange.options["timeDifference"] = -9 * 3_600_000
        server.account.on_second()
        (paid,) = server.account.fundings()
        (told,) = await exchange.fetch_funding_history(bench.symbol)
        assert abs(told["amount"]) == pytest.approx(float(abs(paid.amount)))
        assert told["timestamp"] == paid.ts_event_ns // 10**6
