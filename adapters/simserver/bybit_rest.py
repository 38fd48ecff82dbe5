"""Bybit v5's public REST replies, and the fields that tickers share with them, made from the server's own state.

bybit-exchange.github.io/docs/v5/market (read 2026-11), checked against replies of 2022 to 2026. Refusals are HTTP 200
with a retCode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

from adapters.bybit.encode import BybitEncoder, refusal, reply
from adapters.simserver.byte_edits import finer_prices
from adapters.simserver.dialect import Query, RestHandler, RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import LateSnapshot, MergedSnapshot, UnbridgedSnapshot
from adapters.simserver.feed import TRADES_KEPT, Market, MarketFeed
from adapters.synthetic.steps import StepText, places
from trading.instruments import InstrumentKind
from trading.market.events import Aggressor

MS = 1_000_000
FORGOTTEN_IDS = 1 << 20
PERIOD_MS = {
    "5min": 300_000,
    "15min": 900_000,
    "30min": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
CATEGORIES = frozenset({"spot", "linear", "inverse", "option"})

Row = dict[str, object]


class BybitRest:
    """The replies and rows of one server. ``deepest_u`` numbers the deepest stream, whose ``u`` REST states."""

    def __init__(
        self,
        feed: MarketFeed,
        encoders: dict[str, BybitEncoder],
        faults: Faults,
        wall_ns: Callable[[], int],
        *,
        skewed: bool,
    ) -> None:
        self.deepest_u: dict[str, int] = {}
        self._feed = feed
        self._encoders = encoders
        self._faults = faults
        self._wall_ns = wall_ns
        self._skewed = skewed
        self._exec_ids: dict[str, deque[str]] = {}

    def on_trade(self, key: str, exec_id: str) -> None:
        """What a trade of the tape is called; events keep a part of it only."""
        self._exec_ids.setdefault(key, deque(maxlen=TRADES_KEPT)).append(exec_id)

    def paths(self) -> dict[str, RestHandler]:
        """GET paths."""
        return {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/orderbook": self._orderbook,
            "/v5/market/recent-trade": self._trades,
            "/v5/market/tickers": self._tickers,
            "/v5/market/funding/history": self._funding_history,
            "/v5/market/open-interest": self._open_interest,
            "/v5/market/account-ratio": self._ratios,
        }

    # --- Asking --------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._wall_ns() // MS + self._skew_ms()

    def _skew_ms(self) -> int:
        return self._faults.offset_ns // MS if self._skewed else 0

    def _refused(self, text: str) -> RestRefused:
        return RestRefused(200, refusal(10001, text, self._now_ms()))

    def _category(self, query: Query) -> str:
        category = query.get("category", "")
        if category not in CATEGORIES:
            raise self._refused("params error: Category is invalid")
        return category

    def _listed(self, query: Query) -> list[Market]:
        category, symbol = self._category(query), query.get("symbol", "")
        found = [m for key, m in self._feed.markets.items() if key.startswith(f"{category}:")]
        if symbol:
            found = [market for market in found if market.instrument.symbol == symbol]
            if not found:
                raise self._refused("params error: Symbol Is Invalid")
        return found

    def _one(self, query: Query) -> Market:
        if not query.get("symbol"):
            raise self._refused("params error: Symbol Is Invalid")
        return self._listed(query)[0]

    def _rows(self, query: Query, default: int, most: int) -> int:
        text = query.get("limit", str(default))
        if not text.isdigit() or not int(text):
            raise self._refused("params error: limit is invalid")
        return min(int(text), most)

    def _priced(self, body: bytes, market: Market) -> bytes:
        if not self._faults.finer:
            return body
        plain = market.instrument.kind is InstrumentKind.SPOT
        return finer_prices(body, places(market.instrument.tick_size), plain=plain)

    # --- Replies -------------------------------------------------------------------------------------

    def _time(self, _query: Query) -> bytes:
        now_ms = self._now_ms()
        return reply({"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * MS)}, now_ms)

    def _instruments(self, query: Query) -> bytes:
        rows = [self._rules(market) for market in self._listed(query)]
        return reply({"category": query["category"], "list": rows, "nextPageCursor": ""}, self._now_ms())

    def _rules(self, market: Market) -> Row:
        instrument = market.instrument
        tick = instrument.tick_size / 10 if self._faults.finer else instrument.tick_size
        most = f"{instrument.max_qty:f}"
        row: Row = {"symbol": instrument.symbol}
        if instrument.kind is InstrumentKind.SPOT:
            lots: Row = {
                "basePrecision": f"{instrument.lot_size:f}",
                "quotePrecision": "0.0000001",
                "minOrderQty": f"{instrument.min_qty:f}",
                "maxOrderQty": most,
                "minOrderAmt": f"{instrument.min_notional:f}",
                "maxOrderAmt": "8000000",
                "maxLimitOrderQty": most,
                "maxMarketOrderQty": most,
                "postOnlyMaxLimitOrderSize": most,
            }
            row |= {"baseCoin": instrument.base, "quoteCoin": instrument.quote, "innovation": "0", "status": "Trading"}
            row |= {"marginTrading": "utaOnly", "lotSizeFilter": lots, "priceFilter": {"tickSize": f"{tick:f}"}}
            return row
        inverse = instrument.kind is InstrumentKind.INVERSE
        lots = {
            "maxOrderQty": most,
            "minOrderQty": f"{instrument.min_qty:f}",
            "qtyStep": f"{instrument.lot_size:f}",
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": most,
            "minNotionalValue": f"{instrument.min_notional:f}",
        }
        row |= {
            "contractType": "InversePerpetual" if inverse else "LinearPerpetual",
            "status": "Trading",
            "baseCoin": instrument.base,
            "quoteCoin": instrument.quote,
            "launchTime": "1584230400000",
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": "2",
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": f"{tick:f}", "maxPrice": "1999999.80", "tickSize": f"{tick:f}"},
            "lotSizeFilter": lots,
            "unifiedMarginTrade": True,
            "fundingInterval": max(1, self._feed.interval_ms(market.key, self._wall_ns()) // 60_000),
            "settleCoin": instrument.settle,
            "copyTrading": "none",
            "upperFundingRate": "0.003",
            "lowerFundingRate": "-0.003",
            "isPreListing": False,
            "preListingInfo": None,
        }
        return row

    def _orderbook(self, query: Query) -> bytes:
        market = self._one(query)
        depth = self._rows(query, 1 if market.key.startswith("spot") else 25, 1000)
        topic = f"snapshot:{market.key}"
        book, u, seq = market.book, self.deepest_u.get(market.key, 1), market.book.update_id
        if self._faults.take(UnbridgedSnapshot, topic):
            book, u, seq = market.late, max(2, u - FORGOTTEN_IDS), market.late.update_id
        elif self._faults.take(LateSnapshot, topic):
            book, u, seq = market.late, max(2, u - 100), market.late.update_id
        elif self._faults.take(MergedSnapshot, topic):
            u, seq = max(2, u - 100), market.late.update_id
        event_ms = market.ts_event_ns // MS + self._skew_ms()
        sides = book.top(depth)
        body = self._encoders[market.key].rest_book(sides, u=u, seq=seq, event_ms=event_ms, sent_ms=self._now_ms())
        return self._priced(body, market)

    def _trades(self, query: Query) -> bytes:
        market = self._one(query)
        encoder = self._encoders[market.key]
        found = list(zip(self._exec_ids.get(market.key, ()), market.trades, strict=True))
        found = found[-self._rows(query, 60 if market.key.startswith("spot") else 500, 1000) :]
        rows = [
            encoder.trade_row(exec_id, t.price_ticks, t.qty_lots, t.ts_event_ns // MS, buy=t.aggressor is Aggressor.BUY)
            for exec_id, t in reversed(found)
        ]
        return self._priced(reply({"category": query["category"], "list": rows}, self._now_ms()), market)

    def ticker_fields(self, market: Market) -> dict[str, str]:
        """All fields of ``tickers``; the day began when the server did."""
        encoder, instrument = self._encoders[market.key], market.instrument
        price, qty = encoder.price, encoder.qty
        bids, asks = market.book.top(1)
        last = market.last_ticks
        opened = market.open_ticks or last
        at = instrument.price(market.turnover // market.volume_lots if market.volume_lots else last)
        volume = instrument.qty(market.volume_lots)
        inverse = instrument.kind is InstrumentKind.INVERSE
        turnover = volume / at if inverse and at else volume * at
        fields = {
            "lastPrice": price(last),
            "prevPrice24h": price(opened),
            "price24hPcnt": f"{(last - opened) / opened if opened else 0.0:.6f}",
            "highPrice24h": price(market.high_ticks or last),
            "lowPrice24h": price(market.low_ticks or last),
            "turnover24h": f"{turnover:.4f}",
            "volume24h": qty(market.volume_lots),
            "bid1Price": price(bids[0][0]) if bids else "",
            "bid1Size": qty(bids[0][1]) if bids else "",
            "ask1Price": price(asks[0][0]) if asks else "",
            "ask1Size": qty(asks[0][1]) if asks else "",
        }
        found = self._feed.prices(market.key, self._wall_ns())
        if found is None:
            return fields
        if instrument.kind is InstrumentKind.SPOT:
            return fields | {"usdIndexPrice": f"{found[0]:.6f}"}
        rate, at_ms = self._feed.funding(market.key, self._wall_ns()) or (0.0, 0)
        interest = instrument.qty(market.open_interest_lots)
        worth = interest / instrument.price(max(1, last)) if inverse else interest * instrument.price(last)
        return fields | {
            "tickDirection": "PlusTick",
            "prevPrice1h": price(opened),
            "markPrice": f"{found[1]:.2f}",
            "indexPrice": f"{found[0]:.2f}",
            "openInterest": f"{interest:f}",
            "openInterestValue": f"{worth:.2f}",
            "nextFundingTime": str(at_ms),
            "fundingRate": f"{rate:.8f}",
            "fundingIntervalHour": f"{max(Decimal(1), Decimal(self._interval_ms(market)) / 3_600_000):.0f}",
            "fundingCap": "0.003",
        }

    def _interval_ms(self, market: Market) -> int:
        return self._feed.interval_ms(market.key, self._wall_ns())

    def _tickers(self, query: Query) -> bytes:
        markets = self._listed(query)
        rows = [{"symbol": market.instrument.symbol, **self.ticker_fields(market)} for market in markets]
        body = reply({"category": query["category"], "list": rows}, self._now_ms())
        return self._priced(body, markets[0]) if markets else body

    def _perpetual(self, query: Query) -> Market:
        market = self._one(query)
        if market.instrument.kind is InstrumentKind.SPOT:
            raise self._refused("params error: Category is invalid")
        return market

    def _funding_history(self, query: Query) -> bytes:
        market = self._perpetual(query)
        settled = self._feed.settlements(market.key, self._wall_ns(), self._rows(query, 200, 200))
        begin, end = int(query.get("startTime", "0")), int(query.get("endTime", str(1 << 62)))
        rows = [
            {"symbol": market.instrument.symbol, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(at_ms)}
            for at_ms, rate, _ in reversed(settled)
            if begin <= at_ms <= end
        ]
        return reply({"category": query["category"], "list": rows}, self._now_ms())

    def _open_interest(self, query: Query) -> bytes:
        market = self._perpetual(query)
        period_ms = self._period(query, "intervalTime")
        qty = StepText(market.instrument.lot_size)
        row = {
            "openInterest": qty(market.open_interest_lots),
            "timestamp": str(self._now_ms() // period_ms * period_ms),
        }
        body = {"symbol": market.instrument.symbol, "category": query["category"], "list": [row], "nextPageCursor": ""}
        return reply(body, self._now_ms())

    def _ratios(self, query: Query) -> bytes:
        market = self._perpetual(query)
        period_ms = self._period(query, "period")
        long = market.buyers_share
        row = {"symbol": market.instrument.symbol, "buyRatio": f"{long:.4f}", "sellRatio": f"{1 - long:.4f}"}
        row["timestamp"] = str(self._now_ms() // period_ms * period_ms)
        return reply({"list": [row], "nextPageCursor": ""}, self._now_ms())

    def _period(self, query: Query, name: str) -> int:
        period_ms = PERIOD_MS.get(query.get(name, ""))
        if period_ms is None:
            raise self._refused(f"params error: {name} is invalid")
        return period_ms
