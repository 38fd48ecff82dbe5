"""ccxt and ccxt.pro, unmodified but for their URLs, agree with each server."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

import ccxt.async_support as ccxt_rest
import ccxt.pro as ccxt_pro
import pytest

from tests.adapters.simserver.conftest import INSTRUMENTS, running, spec_of
from tests.waiting import PATIENCE_S, breath, until

pytestmark = [
    # ccxt's own coroutines and parsers warn on this Python; what they warn of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MARKETS = {
    "binance": {"BTC/USDT": "BTCUSDT"},
    "binanceusdm": {"BTC/USDT:USDT": "BTCUSDT"},
    "binancecoinm": {"BTC/USD:BTC": "BTCUSD_PERP"},
    "okx": {"BTC/USDT": "BTC-USDT", "BTC/USDT:USDT": "BTC-USDT-SWAP", "BTC/USD:BTC": "BTC-USD-SWAP"},
    "bybit": {"BTC/USDT": "spot:BTCUSDT", "BTC/USDT:USDT": "linear:BTCUSDT", "BTC/USD:BTC": "inverse:BTCUSD"},
}
TYPES = {"binance": "spot", "binanceusdm": "linear", "binancecoinm": "inverse"}


def pointed_at(module, server):
    """An exchange of ccxt whose URLs are this server's, which has no certificate: reading the authorities' is dear."""
    venue, http, ws = server.spec.venue, server.base_http, server.base_ws
    exchange = getattr(module, venue)({"enableRateLimit": False, "timeout": 60_000, "verify": False})
    api = exchange.urls["api"]
    if venue.startswith("binance"):
        exchange.options["fetchMarkets"] = {"types": [TYPES[venue]]}
        for name, path in (
            ("public", "/api/v3"),
            ("fapiPublic", "/fapi/v1"),
            ("fapiPublicV2", "/fapi/v2"),
            ("fapiData", "/futures/data"),
            ("dapiPublic", "/dapi/v1"),
            ("dapiData", "/futures/data"),
        ):
            api[name] = http + path
        if module is ccxt_pro:
            api["ws"] |= dict.fromkeys(("spot", "margin", "future", "delivery"), f"{ws}/ws")
    elif venue == "okx":
        api["rest"] = http
        if module is ccxt_pro:
            api["ws"] = f"{ws}/ws/v5"
    else:
        api |= dict.fromkeys(("spot", "futures", "v2", "public", "private"), http)
        if module is ccxt_pro:
            api["ws"]["public"] |= {name: f"{ws}/v5/public/{name}" for name in ("spot", "linear", "inverse")}
    return exchange


@contextlib.asynccontextmanager
async def exchange_of(module, server):
    exchange = pointed_at(module, server)
    try:
        yield exchange
    finally:
        await exchange.close()


def levels(instrument, side):
    """ccxt's floats in ticks and lots."""
    return [
        (round(Decimal(str(price)) / instrument.tick_size), round(Decimal(str(qty)) / instrument.lot_size))
        for price, qty, *_ in side
    ]


@pytest.mark.parametrize("venue", list(MARKETS))
async def test_ccxt_reads_markets_ticker_book_trades_and_funding(venue):
    async with running(spec_of(venue)) as server, exchange_of(ccxt_rest, server) as exchange:
        markets = await exchange.load_markets()
        assert {name for name, market in markets.items() if market["active"]} == set(MARKETS[venue])
        await until(lambda: all(market.trades for market in server.feed.markets.values()))
        server.pause()
        for symbol, key in MARKETS[venue].items():
            market = server.feed.find(key)
            instrument, truth = market.instrument, server.truth(key, 50)
            assert Decimal(str(markets[symbol]["precision"]["price"])) == instrument.tick_size
            assert Decimal(str(markets[symbol]["precision"]["amount"])) == instrument.lot_size

            book = await exchange.fetch_order_book(symbol, 50)
            assert levels(instrument, book["bids"]) == list(truth.bids)
            assert levels(instrument, book["asks"]) == list(truth.asks)

            ticker = await exchange.fetch_ticker(symbol)
            assert round(Decimal(str(ticker["last"])) / instrument.tick_size) == market.last_ticks

            trades = await exchange.fetch_trades(symbol)
            newest = max(trades, key=lambda trade: trade["timestamp"])
            assert newest["timestamp"] == market.trades[-1].ts_event_ns // 10**6
            assert len(trades) == min(len(market.trades), 100 if venue == "okx" else 500) or venue == "bybit"
            assert newest["side"] in {"buy", "sell"}

            if instrument.kind.value != "spot":
                rate, settles_ms = server.feed.funding(key, server.venue_ns())
                funding = await exchange.fetch_funding_rate(symbol)
                assert funding["fundingRate"] == pytest.approx(rate, abs=2e-6)
                assert funding["fundingTimestamp"] == settles_ms
                history = await exchange.fetch_funding_rate_history(symbol, limit=3)
                assert history[-1]["timestamp"] == settles_ms - server.feed.interval_ms(key, server.venue_ns())


@pytest.mark.parametrize("venue", list(MARKETS))
async def test_ccxt_pro_watches_ticker_book_and_trades(venue):
    async with running(spec_of(venue)) as server, exchange_of(ccxt_pro, server) as exchange:
        await exchange.load_markets()
        for symbol, key in MARKETS[venue].items():
            market = server.feed.find(key)
            instrument = market.instrument
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(5):
                    book = await exchange.watch_order_book(symbol)
                trades = await exchange.watch_trades(symbol)
                ticker = await exchange.watch_ticker(symbol)
                server.pause()
                truth = server.truth(key, 20)
                while [levels(instrument, book[side][:20]) for side in ("bids", "asks")] != [
                    list(truth.bids),
                    list(truth.asks),
                ]:
                    await breath(0.01)
                    book = exchange.orderbooks[symbol]
            assert trades[-1]["price"] > 0
            assert trades[-1]["timestamp"] <= market.trades[-1].ts_event_ns // 10**6
            assert ticker["last"] == pytest.approx(float(instrument.price(market.last_ticks)), rel=1e-3)
            server.resume()
        assert INSTRUMENTS[venue]
