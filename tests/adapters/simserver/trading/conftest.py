"""Clients that trade on loopback servers: ccxt, unmodified but for its URLs."""

from __future__ import annotations

import contextlib
import warnings
from decimal import Decimal

import ccxt.async_support as ccxt_rest
import ccxt.pro as ccxt_pro

from adapters.clock import SystemClock
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.simserver.trading.account import AccountSpec
from adapters.simserver.trading.keys import Credentials
from adapters.sources import SourceSpec
from tests.adapters.simserver.conftest import INSTRUMENTS
from tests.waiting import until

KEYS = Credentials()
S = 1_000_000_000
TYPES = {"binance": "spot", "binanceusdm": "linear", "binancecoinm": "inverse"}
MARKETS = {
    "binance": {"BTC/USDT": "BTCUSDT"},
    "binanceusdm": {"BTC/USDT:USDT": "BTCUSDT"},
    "binancecoinm": {"BTC/USD:BTC": "BTCUSD_PERP"},
    "okx": {"BTC/USDT": "BTC-USDT", "BTC/USDT:USDT": "BTC-USDT-SWAP", "BTC/USD:BTC": "BTC-USD-SWAP"},
    "bybit": {"BTC/USDT": "spot:BTCUSDT", "BTC/USDT:USDT": "linear:BTCUSDT", "BTC/USD:BTC": "inverse:BTCUSD"},
}
ALL = [(venue, symbol) for venue, markets in MARKETS.items() for symbol in markets]


def spec_of(venue, **account):
    source = SourceSpec(anchor_ns=SystemClock.wall_ns(), seed=11)
    return SimServerSpec(venue=venue, source=source, instruments=INSTRUMENTS[venue], account=AccountSpec(**account))


@contextlib.asynccontextmanager
async def trading(venue, **account):
    """A server whose books stand still unless `resume` is called, so that what fills is known."""
    server = SimServer(spec_of(venue, **account), SystemClock())
    await server.start()
    try:
        await until(lambda: all(m.book.best_bid() and m.book.best_ask() for m in server.feed.markets.values()))
        server.pause()
        yield server
    finally:
        await server.close()


class Dial:
    """The machine's clocks with a hand on them."""

    def __init__(self):
        self.ahead_ns = 0

    def wall_ns(self):
        return SystemClock.wall_ns() + self.ahead_ns

    def mono_ns(self):
        return SystemClock.mono_ns() + self.ahead_ns


@contextlib.asynccontextmanager
async def dialled(venue):
    """A server with a clock that can be put forward."""
    dial = Dial()
    server = SimServer(spec_of(venue), dial)
    await server.start()
    try:
        await until(lambda: all(market.book.best_ask() for market in server.feed.markets.values()))
        server.pause()
        yield server, dial
    finally:
        await server.close()


def pointed_at(module, server, keys=KEYS):
    """An exchange of ccxt whose URLs are this server's, which has no certificate: reading the authorities' is dear."""
    venue, http, ws = server.spec.venue, server.base_http, server.base_ws
    options = {"enableRateLimit": False, "timeout": 60_000, "verify": False}
    options |= {"apiKey": keys.api_key, "secret": keys.secret}
    if venue == "okx":
        options["password"] = keys.passphrase
    exchange = getattr(module, venue)(options)
    api = exchange.urls["api"]
    if venue.startswith("binance"):
        exchange.options["fetchMarkets"] = {"types": [TYPES[venue]]}
        for name, path in (
            ("public", "/api/v3"),
            ("private", "/api/v3"),
            ("sapi", "/sapi/v1"),
            ("fapiPublic", "/fapi/v1"),
            ("fapiPrivate", "/fapi/v1"),
            ("fapiPrivateV2", "/fapi/v2"),
            ("fapiPrivateV3", "/fapi/v3"),
            ("dapiPublic", "/dapi/v1"),
            ("dapiPrivate", "/dapi/v1"),
            ("dapiPrivateV2", "/dapi/v2"),
        ):
            api[name] = http + path
        if module is ccxt_pro:
            api["ws"] |= dict.fromkeys(("spot", "margin", "future", "delivery"), f"{ws}/ws")
            api["ws"]["ws-api"]["spot"] = f"{ws}/ws-api/v3"
    elif venue == "okx":
        api["rest"] = http
        if module is ccxt_pro:
            api["ws"] = f"{ws}/ws/v5"
    else:
        api |= dict.fromkeys(("spot", "futures", "v2", "public", "private"), http)
        if module is ccxt_pro:
            public = {name: f"{ws}/v5/public/{name}" for name in ("spot", "linear", "inverse")}
            api["ws"]["public"] |= public
            api["ws"]["private"] |= {
                "spot": {"unified": f"{ws}/v5/private"},
                "contract": f"{ws}/v5/private",
                "usdc": f"{ws}/v5/private",
                "trade": f"{ws}/v5/trade",
            }
    return exchange


@contextlib.asynccontextmanager
async def exchange_of(server, module=ccxt_rest, keys=KEYS):
    exchange = pointed_at(module, server, keys)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            await exchange.load_markets()
            yield exchange
    finally:
        await exchange.close()


class Bench:
    """One market of a server in ccxt's words: prices around its book, quantities that its filters allow."""

    def __init__(self, server, symbol):
        self.server = server
        self.symbol = symbol
        self.market = server.feed.find(MARKETS[server.spec.venue][symbol])
        self.instrument = self.market.instrument
        self.spot = self.instrument.kind.value == "spot"

    @property
    def qty(self):
        """An amount worth some hundred units of quote currency, on the grid."""
        if self.instrument.kind.value == "inverse":
            return Decimal(100) if self.instrument.multiplier > 1 else Decimal(10_000)
        wanted = Decimal(400) / self.price_at(0) / self.instrument.multiplier
        lots = max(self.instrument.lots_floor(wanted), self.instrument.lots_floor(self.instrument.min_qty))
        return self.instrument.qty(lots)

    def price_at(self, bps, side="buy"):
        """The best price of a side's own book, so far away from the other side; below 0 it crosses."""
        bid, ask = self.market.book.best_bid(), self.market.book.best_ask()
        sign = 1 if side == "buy" else -1
        best = (bid if side == "buy" else ask)[0]
        return self.instrument.price(best * (10_000 - sign * bps) // 10_000)

    async def limit(self, exchange, side="buy", bps=100, qty=None, **params):
        return await exchange.create_order(
            self.symbol, "limit", side, float(qty or self.qty), float(self.price_at(bps, side)), params
        )

    async def at_market(self, exchange, side="buy", qty=None, **params):
        price = float(self.price_at(0)) if exchange.id in {"okx", "bybit"} and self.spot else None
        return await exchange.create_order(self.symbol, "market", side, float(qty or self.qty), price, params)
