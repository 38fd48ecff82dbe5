"""Who is let through: keys, signatures, clocks, limits; and that nothing moves funds."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import ccxt
import pytest
from yarl import URL

from adapters.simserver import faults as knobs
from tests.adapters.simserver.trading.conftest import Bench, exchange_of, pointed_at, trading

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
READS = {
    "binance": ("account", "private"),
    "binanceusdm": ("account", "fapiPrivateV3"),
    "binancecoinm": ("account", "dapiPrivate"),
    "okx": ("account/balance", "private"),
    "bybit": ("v5/account/info", "private"),
}
KEY_HEADERS = {"okx": "OK-ACCESS-KEY", "bybit": "X-BAPI-API-KEY"}
CODES = {
    "binance": {"key": "-2015", "sign": "-1022", "time": "-1021"},
    "okx": {"key": "50111", "sign": "50113", "time": "50102"},
    "bybit": {"key": "10003", "sign": "10004", "time": "10002"},
}


async def asked(http, signed):
    """(HTTP status, code) of a request that ccxt signed."""
    url = URL(signed["url"], encoded=True)
    async with http.request(signed["method"], url, headers=signed["headers"], data=signed["body"]) as reply:
        body = json.loads(await reply.read())
        return reply.status, str(body.get("code", body.get("retCode", "0"))), reply.headers


@pytest.mark.parametrize("venue", list(READS))
async def test_a_wrong_key_signature_or_clock_is_refused_in_the_venues_words(http, venue):
    async with trading(venue) as server:
        exchange = pointed_at(ccxt, server)
        path, api = READS[venue]
        codes = CODES["binance" if venue.startswith("binance") else venue]

        good = exchange.sign(path, api)
        assert (await asked(http, good))[:2] == (200, "0")

        stranger = exchange.sign(path, api)
        stranger["headers"][KEY_HEADERS.get(venue, "X-MBX-APIKEY")] = "nobody"
        assert (await asked(http, stranger))[1] == codes["key"]

        exchange.secret = "another"
        assert (await asked(http, exchange.sign(path, api)))[1] == codes["sign"]
        exchange.secret = server.account.credentials.secret

        server.faults.set(knobs.ClockStep(step_ms=120_000))
        assert (await asked(http, exchange.sign(path, api)))[1] == codes["time"]
        server.faults.clear()

        server.faults.set(knobs.AuthFailure())
        assert (await asked(http, exchange.sign(path, api)))[1] == codes["key"]
        assert server.faults.counts["auth_failure"] == 1


@pytest.mark.parametrize(
    ("venue", "method", "path"),
    [
        ("binance", "POST", "/sapi/v1/capital/withdraw/apply"),
        ("binanceusdm", "POST", "/sapi/v1/futures/transfer"),
        ("okx", "POST", "/api/v5/asset/withdrawal"),
        ("okx", "POST", "/api/v5/asset/transfer"),
        ("bybit", "POST", "/v5/asset/withdraw/create"),
        ("bybit", "POST", "/v5/asset/transfer/inter-transfer"),
    ],
)
async def test_there_is_no_path_that_moves_funds(http, venue, method, path):
    async with trading(venue) as server:
        async with http.request(method, server.base_http + path, data=b"{}") as reply:
            assert reply.status == 404
        assert server.state().moves_refused == 1


async def test_orders_are_counted_in_headers_and_a_storm_of_another_client_ends_in_429_then_418(http):
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        bench = Bench(server, "BTC/USDT:USDT")
        order = await bench.limit(exchange)
        headers = exchange.last_response_headers
        counts = {name.upper(): value for name, value in headers.items()}
        assert counts["X-MBX-ORDER-COUNT-10S"] == "1"
        assert int(counts["X-MBX-USED-WEIGHT-1M"]) >= 1

        server.faults.set(knobs.OrderStorm(orders=5_000))
        with pytest.raises(ccxt.DDoSProtection, match="-1015"):
            await bench.limit(exchange)
        limited = {name.upper(): value for name, value in exchange.last_response_headers.items()}
        assert int(limited["RETRY-AFTER"]) >= 1
        await exchange.cancel_order(order["id"], bench.symbol)  # cancels are no orders
        assert server.account.working() == []

        for _ in range(20):
            with pytest.raises(ccxt.DDoSProtection) as refused:
                await bench.limit(exchange)
            if "418" in str(refused.value):
                break
        assert "banned until" in str(refused.value)
        with pytest.raises(ccxt.DDoSProtection, match="418"):
            await exchange.fetch_open_orders(bench.symbol)


@pytest.mark.parametrize(("venue", "symbol"), [("okx", "BTC/USDT:USDT"), ("bybit", "BTC/USDT:USDT")])
async def test_a_storm_uses_up_the_limit_of_an_endpoint(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        order = await bench.limit(exchange)
        path = "/api/v5/trade/batch-orders" if venue == "okx" else "/v5/order/create"
        server.faults.set(knobs.OrderStorm(orders=5_000, topics=(path,)))
        with pytest.raises((ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
            await bench.limit(exchange)
        await exchange.cancel_order(order["id"], symbol)
        assert server.account.working() == []


async def test_what_is_signed_is_what_was_sent(http):
    """The signature of a GET covers the query as it was spelled, percent signs and all."""
    async with trading("okx") as server:
        exchange = pointed_at(ccxt, server)
        signed = exchange.sign("trade/orders-pending", "private", "GET", {"instId": "BTC-USDT", "ordType": "limit,ioc"})
        assert "%2C" in urlsplit(signed["url"]).query
        assert (await asked(http, signed))[:2] == (200, "0")
