"""Binance's public REST replies, made from the server's own state. Shapes only: faults and HTTP are the server's.

binance-spot-api-docs/rest-api.md and developers.binance.com derivatives, market data endpoints (read 2026-11), checked
against replies of 2019 to 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.simserver.binance_streams import texts
from adapters.simserver.byte_edits import finer_prices
from adapters.simserver.dialect import Query, RestHandler, RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import LateSnapshot, MergedSnapshot, UnbridgedSnapshot
from adapters.simserver.feed import Market, MarketFeed
from adapters.synthetic.steps import StepText, places
from trading.market.book import PyBook
from trading.market.events import Aggressor, MarkPrice, Trade

MS = 1_000_000
FORGOTTEN_IDS = 1 << 24
PERIOD_MS = {"5m": 300_000, "15m": 900_000, "30m": 1_800_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}

_PREFIX = {SPOT: "/api/v3/", USDM: "/fapi/v1/", COINM: "/dapi/v1/"}
_LIMITS = {SPOT: range(1, 5001), USDM: (5, 10, 20, 50, 100, 500, 1000), COINM: (5, 10, 20, 50, 100, 500, 1000)}
_WEIGHT = {SPOT: 6000, USDM: 2400, COINM: 2400}
_FUTURES_ORDERS: list[dict[str, object]] = [
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
]
SPOT_WAITING = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
FUTURES_WAITING = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
ORDER_LIMITS: dict[str, list[dict[str, object]]] = {
    SPOT: [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
    ],
    USDM: _FUTURES_ORDERS,
    COINM: _FUTURES_ORDERS,
}
"""Orders an account may send, as exchangeInfo states it and the trading side counts it."""

_encode = msgspec.json.encode
Reply = dict[str, object]


class BinanceRest:
    """The replies of one venue."""

    def __init__(self, venue: str, feed: MarketFeed, faults: Faults, wall_ns: Callable[[], int]) -> None:
        self._venue = venue
        self._feed = feed
        self._faults = faults
        self._wall_ns = wall_ns
        self._marks: dict[str, MarkPrice] = {}
        self._tickers: dict[str, bytes] = {}
        self._since_ms = wall_ns() // MS

    def paths(self) -> dict[str, RestHandler]:
        """GET paths of this venue."""
        prefix = _PREFIX[self._venue]
        found: dict[str, RestHandler] = {
            "ping": lambda _: b"{}",
            "time": lambda _: _encode({"serverTime": self._now_ms()}),
            "exchangeInfo": self._exchange_info,
            "depth": self._depth,
            "trades": self._trades,
            "aggTrades": self._agg_trades,
            "ticker/bookTicker": self._book_ticker,
            "ticker/24hr": self._ticker,
            "ticker/price": self._price,
        }
        if self._venue != SPOT:
            found |= {
                "premiumIndex": self._premium_index,
                "fundingRate": self._funding_rates,
                "fundingInfo": self._funding_info,
                "openInterest": self._open_interest,
            }
        routes = {prefix + name: handler for name, handler in found.items()}
        if self._venue != SPOT:
            routes["/futures/data/globalLongShortAccountRatio"] = self._ratios
        return routes

    def on_ticker(self, key: str, payload: bytes) -> None:
        """The source's best bid and ask."""
        self._tickers[key] = payload

    def on_mark(self, key: str, mark: MarkPrice) -> None:
        """The source's mark price."""
        self._marks[key] = mark

    # --- General -------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._wall_ns() // MS

    def _market(self, query: Query) -> Market:
        symbol = query.get("symbol", "")
        if not symbol:
            text = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            raise RestRefused(400, _encode({"code": -1102, "msg": text}))
        market = self._feed.markets.get(symbol)
        if market is None:
            raise RestRefused(400, _encode({"code": -1121, "msg": "Invalid symbol."}))
        return market

    def _limit(self, query: Query, default: int, most: int) -> int:
        text = query.get("limit", str(default))
        if not text.isdigit() or not int(text) > 0:
            text = "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'."
            raise RestRefused(400, _encode({"code": -1100, "msg": text}))
        return min(int(text), most)

    def _chosen(self, query: Query, one: Callable[[Market], Reply], *, always_list: bool = False) -> bytes:
        """A reply of one symbol, or of all where none is named."""
        if query.get("symbol"):
            found = one(self._market(query))
            return _encode([found] if always_list else found)
        named = query.get("symbols", "")
        keys = [key for key in self._feed.markets if not named or f'"{key}"' in named]
        return _encode([one(self._feed.markets[key]) for key in keys])

    def _priced(self, body: bytes, market: Market) -> bytes:
        if not self._faults.finer:
            return body
        return finer_prices(body, places(market.instrument.tick_size), plain=False)

    def _exchange_info(self, query: Query) -> bytes:
        named = query.get("symbol", "") + query.get("symbols", "")
        symbols = [self._rules(market) for key, market in self._feed.markets.items() if not named or key in named]
        limit = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": _WEIGHT[self._venue],
        }
        limits = [limit, *({**one} for one in ORDER_LIMITS[self._venue])]
        body: Reply = {"timezone": "UTC", "serverTime": self._now_ms(), "rateLimits": limits, "exchangeFilters": []}
        if self._venue == USDM:
            body["assets"] = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
        return _encode(body | {"symbols": symbols})

    def _rules(self, market: Market) -> Reply:
        instrument, spot = market.instrument, self._venue == SPOT
        tick = instrument.tick_size / 10 if self._faults.finer else instrument.tick_size
        price_filter = {"filterType": "PRICE_FILTER", "minPrice": f"{tick:f}", "maxPrice": "10000000"}
        price_filter["tickSize"] = f"{tick:f}"
        lots = {"minQty": f"{instrument.min_qty:f}", "maxQty": f"{instrument.max_qty:f}"}
        lots["stepSize"] = f"{instrument.lot_size:f}"
        filters: list[Reply] = [
            {**price_filter},
            {"filterType": "LOT_SIZE", **lots},
            {"filterType": "MARKET_LOT_SIZE", **lots},
        ]
        if spot:
            least = f"{instrument.min_notional:f}"
            filters.append(
                {
                    "filterType": "NOTIONAL",
                    "minNotional": least,
                    "applyMinToMarket": True,
                    "maxNotional": "9000000.00000000",
                    "applyMaxToMarket": False,
                    "avgPriceMins": 5,
                }
            )
        elif self._venue == USDM:
            filters.append({"filterType": "MIN_NOTIONAL", "notional": f"{instrument.min_notional:f}"})
        body: Reply = {"symbol": market.key}
        if spot:
            body |= {
                "status": "TRADING",
                "baseAsset": instrument.base,
                "baseAssetPrecision": 8,
                "quoteAsset": instrument.quote,
                "quotePrecision": 8,
                "quoteAssetPrecision": 8,
                "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", *SPOT_WAITING],
                "icebergAllowed": True,
                "ocoAllowed": True,
                "isSpotTradingAllowed": True,
                "isMarginTradingAllowed": False,
                "filters": filters,
                "permissions": [],
                "permissionSets": [["SPOT"]],
                "defaultSelfTradePreventionMode": "EXPIRE_TAKER",
                "allowedSelfTradePreventionModes": ["EXPIRE_TAKER"],
            }
            return body
        pair = market.key.removesuffix("_PERP")
        status = {"contractStatus": "TRADING", "contractSize": int(instrument.multiplier)}
        body |= {
            "pair": pair,
            "contractType": "PERPETUAL",
            "deliveryDate": 4133404800000,
            "onboardDate": 1569398400000,
            **(status if self._venue == COINM else {"status": "TRADING"}),
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": instrument.base,
            "quoteAsset": instrument.quote,
            "marginAsset": instrument.settle,
            "pricePrecision": places(instrument.tick_size) + (self._venue == USDM) + self._faults.finer,
            "quantityPrecision": places(instrument.lot_size),
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "marketTakeBound": "0.05",
            "filters": filters,
            "orderTypes": ["LIMIT", "MARKET", *FUTURES_WAITING],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }
        return body

    # --- The book and the tape -----------------------------------------------------------------------

    def _depth(self, query: Query) -> bytes:
        market = self._market(query)
        limit = self._limit(query, 100 if self._venue == SPOT else 500, 5000)
        if limit not in _LIMITS[self._venue]:
            raise RestRefused(400, _encode({"code": -4021, "msg": f"Invalid depth limit: {limit}."}))
        book, update_id = self._snapshot_of(market)
        price, qty = texts(market)
        bids, asks = book.top(limit)
        head: Reply = {"lastUpdateId": update_id}
        if self._venue != SPOT:
            stated_ms = market.ts_event_ns // MS + self._faults.offset_ns // MS
            head |= {"E": stated_ms, "T": stated_ms}
        if self._venue == COINM:
            head |= {"symbol": market.key, "pair": market.key.removesuffix("_PERP")}
        head |= {
            "bids": [(price(ticks), qty(lots)) for ticks, lots in bids],
            "asks": [(price(ticks), qty(lots)) for ticks, lots in asks],
        }
        return self._priced(_encode(head), market)

    def _snapshot_of(self, market: Market) -> tuple[PyBook, int]:
        """The book that is told, and the number that it is told under."""
        topic = f"snapshot:{market.key}"
        if self._faults.take(UnbridgedSnapshot, topic):
            return market.late, max(1, market.late.update_id - FORGOTTEN_IDS)
        if self._faults.take(LateSnapshot, topic):
            return market.late, market.late.update_id
        if self._faults.take(MergedSnapshot, topic):
            return market.book, market.late.update_id
        return market.book, market.book.update_id

    def _trades(self, query: Query) -> bytes:
        market = self._market(query)
        found = list(market.trades)[-self._limit(query, 500, 1000) :]
        return self._priced(_encode([self._trade(market, trade) for trade in found]), market)

    def _trade(self, market: Market, trade: Trade) -> Reply:
        price, qty = texts(market)
        body: Reply = {
            "id": trade.trade_id,
            "price": price(trade.price_ticks),
            "qty": qty(trade.qty_lots),
            "baseQty" if self._venue == COINM else "quoteQty": f"{self._value(market, trade):f}",
            "time": trade.ts_event_ns // MS,
            "isBuyerMaker": trade.aggressor is Aggressor.SELL,
        }
        return body | ({"isBestMatch": True} if self._venue == SPOT else {})

    def _value(self, market: Market, trade: Trade) -> Decimal:
        instrument = market.instrument
        at, qty = instrument.price(trade.price_ticks), instrument.qty(trade.qty_lots)
        value = qty * instrument.multiplier / at if self._venue == COINM else qty * at
        return value.quantize(Decimal("0.00000001"))

    def _agg_trades(self, query: Query) -> bytes:
        market = self._market(query)
        price, qty = texts(market)
        rows: list[Reply] = []
        for trade in list(market.trades)[-self._limit(query, 500, 1000) :]:
            row: Reply = {
                "a": trade.trade_id,
                "p": price(trade.price_ticks),
                "q": qty(trade.qty_lots),
                "f": trade.trade_id,
                "l": trade.trade_id,
                "T": trade.ts_event_ns // MS,
                "m": trade.aggressor is Aggressor.SELL,
            }
            rows.append(row | ({"M": True} if self._venue == SPOT else {}))
        return self._priced(_encode(rows), market)

    def _touch(self, market: Market) -> tuple[Reply, int]:
        price, qty = texts(market)
        (bids, asks), body = market.book.top(1), Reply()
        if bids and asks:
            body = {"bidPrice": price(bids[0][0]), "bidQty": qty(bids[0][1])}
            body |= {"askPrice": price(asks[0][0]), "askQty": qty(asks[0][1])}
        return body, market.book.update_id

    def _book_ticker(self, query: Query) -> bytes:
        def one(market: Market) -> Reply:
            touch, update_id = self._touch(market)
            if self._venue == SPOT:
                return {"symbol": market.key} | touch
            head: Reply = {"lastUpdateId": update_id, "symbol": market.key}
            return head | self._pair(market) | touch | {"time": self._now_ms()}

        return self._reply(query, one)

    def _pair(self, market: Market) -> Reply:
        return {"pair": market.key.removesuffix("_PERP")} if self._venue == COINM else {}

    def _reply(self, query: Query, one: Callable[[Market], Reply]) -> bytes:
        """COIN-M answers with a list even of one symbol."""
        body = self._chosen(query, one, always_list=self._venue == COINM)
        market = self._feed.markets.get(query.get("symbol", ""))
        return body if market is None else self._priced(body, market)

    def day(self, market: Market) -> Reply:
        """The day's figures; the day began when the server did."""
        price, qty = texts(market)
        last, opened = market.last_ticks, market.open_ticks or market.last_ticks
        volume = market.volume_lots
        mean = market.turnover // volume if volume else last
        instrument = market.instrument
        at = instrument.price(mean)
        base = instrument.qty(volume)
        quote = base * instrument.multiplier / at if self._venue == COINM and at else base * at
        now_ms = self._now_ms()
        change = last - opened
        body: Reply = {
            "symbol": market.key,
            **self._pair(market),
            "priceChange": ("-" if change < 0 else "") + price(abs(change)),
            "priceChangePercent": f"{100.0 * change / opened if opened else 0.0:.3f}",
            "weightedAvgPrice": price(mean),
            "lastPrice": price(last),
            "lastQty": qty(market.trades[-1].qty_lots if market.trades else 0),
            "openPrice": price(opened),
            "highPrice": price(market.high_ticks or last),
            "lowPrice": price(market.low_ticks or last),
            "volume": qty(volume),
            "baseVolume" if self._venue == COINM else "quoteVolume": f"{quote:.8f}",
            "openTime": self._since_ms,
            "closeTime": now_ms,
            "firstId": market.first_trade_id,
            "lastId": market.trades[-1].trade_id if market.trades else 0,
            "count": market.trade_count,
        }
        if self._venue == SPOT:
            body |= self._touch(market)[0] | {"prevClosePrice": price(opened)}
        return body

    def _ticker(self, query: Query) -> bytes:
        return self._reply(query, self.day)

    def _price(self, query: Query) -> bytes:
        def one(market: Market) -> Reply:
            return {"symbol": market.key, "price": texts(market)[0](market.last_ticks), "time": self._now_ms()}

        return self._reply(query, one)

    # --- Derivatives ---------------------------------------------------------------------------------

    def _premium(self, market: Market) -> Reply:
        mark = self._marks.get(market.key)
        if mark is None:
            found = self._feed.prices(market.key, self._wall_ns())
            index, at = found or (0.0, 0.0)
            rate, next_ms = self._feed.funding(market.key, self._wall_ns()) or (0.0, 0)
            texts_of = f"{at:.8f}", f"{index:.8f}", f"{rate:.8f}", next_ms
        else:
            next_ms = (mark.next_funding_ns or 0) // MS
            texts_of = f"{mark.mark_price:f}", f"{mark.index_price or 0:f}", f"{mark.funding_rate or 0:f}", next_ms
        return {
            "symbol": market.key,
            **self._pair(market),
            "markPrice": texts_of[0],
            "indexPrice": texts_of[1],
            "estimatedSettlePrice": texts_of[1],
            "lastFundingRate": texts_of[2],
            "interestRate": "0.00010000",
            "nextFundingTime": texts_of[3],
            "time": self._now_ms(),
        }

    def _premium_index(self, query: Query) -> bytes:
        return self._chosen(query, self._premium, always_list=self._venue == COINM)

    def _funding_rates(self, query: Query) -> bytes:
        market = self._market(query)
        settled = self._feed.settlements(market.key, self._wall_ns(), self._limit(query, 100, 1000))
        rows = [
            {"symbol": market.key, "fundingTime": at_ms, "fundingRate": f"{rate:.8f}", "markPrice": f"{mark:.8f}"}
            for at_ms, rate, mark in settled
        ]
        return _encode(rows)

    def _funding_info(self, query: Query) -> bytes:
        def one(market: Market) -> Reply:
            return {
                "symbol": market.key,
                "adjustedFundingRateCap": "0.00300000",
                "adjustedFundingRateFloor": "-0.00300000",
                "fundingIntervalHours": max(1, self._feed.interval_ms(market.key, self._wall_ns()) // 3_600_000),
                "disclaimer": False,
            }

        return self._chosen({}, one)

    def _open_interest(self, query: Query) -> bytes:
        market = self._market(query)
        qty = StepText(market.instrument.lot_size)
        body: Reply = {"symbol": market.key, **self._pair(market), "openInterest": qty(market.open_interest_lots)}
        if self._venue == COINM:
            body["contractType"] = "PERPETUAL"
        return _encode(body | {"time": self._now_ms()})

    def _ratios(self, query: Query) -> bytes:
        wanted = query.get("symbol") or query.get("pair", "")
        found = [m for key, m in self._feed.markets.items() if wanted in {key, key.removesuffix("_PERP")}]
        period_ms = PERIOD_MS.get(query.get("period", ""))
        if not found or period_ms is None:
            raise RestRefused(400, _encode({"code": -1130, "msg": "parameter 'period' is invalid."}))
        long = found[0].buyers_share
        row: Reply = {"pair" if self._venue == COINM else "symbol": wanted}
        row |= {"longShortRatio": f"{long / (1 - long):.4f}"}
        row |= {"longAccount": f"{long:.4f}", "shortAccount": f"{1 - long:.4f}"}
        return _encode([row | {"timestamp": self._now_ms() // period_ms * period_ms}])
