"""OKX v5's public REST replies, and the rows that channels share with them, made from the server's own state.

"Public Data", "Market Data" and "Trading Statistics", okx.com/docs-v5 (read 2026-11), checked against replies of 2022
to 2026. Refusals are HTTP 200 with a code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adapters.okx.encode import OkxEncoder, instrument_code, instrument_type, refusal, reply
from adapters.simserver.byte_edits import finer_prices
from adapters.simserver.dialect import Query, RestHandler, RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import LateSnapshot, MergedSnapshot, UnbridgedSnapshot
from adapters.simserver.feed import Market, MarketFeed
from adapters.synthetic.steps import places
from trading.instruments import InstrumentKind
from trading.market.events import Aggressor

MS = 1_000_000
FORGOTTEN_IDS = 1 << 24
PERIOD_MS = {"5m": 300_000, "1H": 3_600_000, "1D": 86_400_000}

Row = dict[str, object]


class OkxRest:
    """The replies and rows of one server."""

    def __init__(
        self,
        feed: MarketFeed,
        encoders: dict[str, OkxEncoder],
        faults: Faults,
        wall_ns: Callable[[], int],
        *,
        skewed: bool,
    ) -> None:
        self._feed = feed
        self._encoders = encoders
        self._faults = faults
        self._wall_ns = wall_ns
        self._skewed = skewed

    def paths(self) -> dict[str, RestHandler]:
        """GET paths."""
        ratio = "/api/v5/rubik/stat/contracts/long-short-account-ratio"
        return {
            "/api/v5/public/time": lambda _: reply([{"ts": str(self._now_ms())}]),
            "/api/v5/public/instruments": lambda query: reply(self.instrument_rows(self._type(query), query)),
            "/api/v5/public/mark-price": lambda query: reply([self.mark_row(m) for m in self._of_type(query)]),
            "/api/v5/public/funding-rate": lambda query: reply(self.funding_rows(self._one(query))),
            "/api/v5/public/funding-rate-history": self._funding_history,
            "/api/v5/public/open-interest": lambda query: reply([self.interest_row(m) for m in self._of_type(query)]),
            "/api/v5/market/books": self._books,
            "/api/v5/market/tickers": self._tickers,
            "/api/v5/market/ticker": self._ticker,
            "/api/v5/market/trades": self._trades,
            "/api/v5/market/index-tickers": self._index_tickers,
            "/api/v5/system/status": lambda _: reply([]),
            ratio: self._ratio_of_currency,
            f"{ratio}-contract": self._ratio_of_contract,
        }

    # --- Asking --------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._wall_ns() // MS + self._skew_ms()

    def _skew_ms(self) -> int:
        return self._faults.offset_ns // MS if self._skewed else 0

    def _type(self, query: Query) -> str:
        kind = query.get("instType", "")
        if kind not in {"SPOT", "SWAP", "FUTURES", "OPTION", "MARGIN"}:
            raise RestRefused(400, refusal("50014", "Parameter instType can not be empty."))
        return kind

    def _one(self, query: Query) -> Market:
        market = self._feed.markets.get(query.get("instId", ""))
        if market is None:
            raise RestRefused(200, refusal("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist."))
        return market

    def _of_type(self, query: Query) -> list[Market]:
        kind, wanted = self._type(query), query.get("instId", "")
        perpetual = [m for m in self._feed.markets.values() if instrument_type(m.key) == kind]
        return [market for market in perpetual if wanted in {"", market.key}]

    def _rows(self, query: Query, default: int, most: int) -> int:
        text = query.get("limit") or query.get("sz") or str(default)
        if not text.isdigit() or not int(text):
            raise RestRefused(200, refusal("51000", "Parameter limit error"))
        return min(int(text), most)

    def _priced(self, body: bytes, market: Market) -> bytes:
        if not self._faults.finer:
            return body
        return finer_prices(body, places(market.instrument.tick_size), plain=True)

    # --- Rows ----------------------------------------------------------------------------------------

    @staticmethod
    def index_of(market: Market) -> str:
        """The index that an instrument follows."""
        return f"{market.instrument.base}-{market.instrument.quote}"

    def instrument_rows(self, kind: str, query: Query | None = None) -> list[Row]:
        """Rules of all instruments of a type, or of those that a query names."""
        wanted = (query or {}).get("instId", "")
        markets = [m for m in self._feed.markets.values() if instrument_type(m.key) == kind]
        return [self._rules(market) for market in markets if wanted in {"", market.key}]

    def _rules(self, market: Market) -> Row:
        instrument = market.instrument
        spot = instrument.kind is InstrumentKind.SPOT
        inverse = instrument.kind is InstrumentKind.INVERSE
        tick = instrument.tick_size / 10 if self._faults.finer else instrument.tick_size
        pair = self.index_of(market)
        row: Row = dict.fromkeys(("alias", "auctionEndTime", "contTdSwTime", "expTime", "optType", "stk"), "")
        row |= {
            "instId": market.key,
            "instIdCode": instrument_code(market.key),
            "instType": instrument_type(market.key),
            "category": "1",
            "baseCcy": instrument.base if spot else "",
            "quoteCcy": instrument.quote if spot else "",
            "settleCcy": "" if spot else instrument.settle,
            "uly": "" if spot else pair,
            "instFamily": "" if spot else pair,
            "ctMult": "" if spot else "1",
            "ctType": "" if spot else "inverse" if inverse else "linear",
            "ctVal": "" if spot else f"{instrument.multiplier:f}",
            "ctValCcy": "" if spot else instrument.quote if inverse else instrument.base,
            "lever": "10" if spot else "100",
            "listTime": "1611907686000",
            "tickSz": f"{tick:f}",
            "lotSz": f"{instrument.lot_size:f}",
            "minSz": f"{instrument.min_qty:f}",
            "maxLmtSz": f"{instrument.max_qty:f}",
            "maxMktSz": "1000000" if spot else "35000",
            "maxLmtAmt": "20000000",
            "maxMktAmt": "1000000" if spot else "",
            "ruleType": "normal",
            "state": "live",
            "upcChg": [],
        }
        return row

    def mark_row(self, market: Market) -> Row:
        """The mark price now."""
        found = self._feed.prices(market.key, self._wall_ns())
        price = found[1] if found else float(market.instrument.price(market.last_ticks))
        return {**self._encoders[market.key].mark_row(price, self._now_ms())}

    def ticker_row(self, market: Market) -> Row:
        """The day's figures; the day began when the server did."""
        encoder, instrument = self._encoders[market.key], market.instrument
        price, qty = encoder.price, encoder.qty
        bids, asks = market.book.top(1)
        opened = market.open_ticks or market.last_ticks
        at = instrument.price(market.turnover // market.volume_lots if market.volume_lots else market.last_ticks)
        volume = instrument.qty(market.volume_lots)
        match instrument.kind:
            case InstrumentKind.SPOT:
                in_currency = volume * at
            case InstrumentKind.LINEAR:
                in_currency = volume * instrument.multiplier
            case InstrumentKind.INVERSE:
                in_currency = volume * instrument.multiplier / at if at else volume
        return {
            "instType": instrument_type(market.key),
            "instId": market.key,
            "last": price(market.last_ticks),
            "lastSz": qty(market.trades[-1].qty_lots if market.trades else 0),
            "askPx": price(asks[0][0]) if asks else "",
            "askSz": qty(asks[0][1]) if asks else "",
            "bidPx": price(bids[0][0]) if bids else "",
            "bidSz": qty(bids[0][1]) if bids else "",
            "open24h": price(opened),
            "high24h": price(market.high_ticks or opened),
            "low24h": price(market.low_ticks or opened),
            "sodUtc0": price(opened),
            "sodUtc8": price(opened),
            "volCcy24h": f"{in_currency:.4f}",
            "vol24h": qty(market.volume_lots),
            "ts": str(market.ts_event_ns // MS + self._skew_ms()),
        }

    def index_rows(self, index: str) -> list[Row]:
        """The price of an index now."""
        for market in self._feed.markets.values():
            found = self._feed.prices(market.key, self._wall_ns())
            if self.index_of(market) == index and found:
                at = f"{found[0]:.1f}"
                row: Row = dict.fromkeys(("idxPx", "open24h", "high24h", "low24h", "sodUtc0", "sodUtc8"), at)
                return [{"instId": index, **row, "ts": str(self._now_ms())}]
        return []

    def funding_rows(self, market: Market) -> list[Row]:
        """The rate that forms now, and what was settled last."""
        if instrument_type(market.key) == "SPOT":
            raise RestRefused(200, refusal("51001", "Instrument ID does not exist."))
        now_ns = self._wall_ns()
        found = self._feed.funding(market.key, now_ns)
        if found is None:
            return []
        rate, at_ms = found
        settled = self._feed.settlements(market.key, now_ns, 1)
        row: Row = {
            "formulaType": "withRate",
            "fundingRate": f"{rate:.10f}",
            "fundingTime": str(at_ms),
            "instId": market.key,
            "instType": "SWAP",
            "interestRate": "0.0001",
            "maxFundingRate": "0.003",
            "method": "current_period",
            "minFundingRate": "-0.003",
            "nextFundingRate": "",
            "nextFundingTime": str(at_ms + self._feed.interval_ms(market.key, now_ns)),
            "premium": f"{rate:.10f}",
            "settFundingRate": f"{settled[-1][1]:.10f}",
            "settState": "settled",
            "ts": str(self._now_ms()),
        }
        return [row]

    def interest_row(self, market: Market) -> Row:
        """Open interest in contracts, base currency and USD."""
        instrument = market.instrument
        contracts = instrument.qty(market.open_interest_lots)
        at = instrument.price(max(1, market.last_ticks))
        usd = instrument.notional(contracts, at)
        return {
            "instId": market.key,
            "instType": instrument_type(market.key),
            "oi": f"{contracts:f}",
            "oiCcy": f"{usd / at:.8f}",
            "oiUsd": f"{usd:.2f}",
            "ts": str(self._now_ms()),
        }

    # --- Replies -------------------------------------------------------------------------------------

    def _books(self, query: Query) -> bytes:
        market = self._one(query)
        depth = self._rows(query, 1, 400)
        topic = f"snapshot:{market.key}"
        book, seq_id = market.book, market.book.update_id
        if self._faults.take(UnbridgedSnapshot, topic):
            book, seq_id = market.late, max(1, market.late.update_id - FORGOTTEN_IDS)
        elif self._faults.take(LateSnapshot, topic):
            book, seq_id = market.late, market.late.update_id
        elif self._faults.take(MergedSnapshot, topic):
            seq_id = market.late.update_id
        bids, asks = book.top(depth)
        ts_ms = market.ts_event_ns // MS + self._skew_ms()
        return self._priced(self._encoders[market.key].rest_book(bids, asks, ts_ms, seq_id), market)

    def _tickers(self, query: Query) -> bytes:
        return self._ticker_reply(self._of_type(query))

    def _ticker(self, query: Query) -> bytes:
        return self._ticker_reply([self._one(query)])

    def _ticker_reply(self, markets: Sequence[Market]) -> bytes:
        body = reply([self.ticker_row(market) for market in markets])
        return self._priced(body, markets[0]) if markets else body

    def _trades(self, query: Query) -> bytes:
        market = self._one(query)
        encoder = self._encoders[market.key]
        found = list(market.trades)[-self._rows(query, 100, 500) :]
        rows = [
            encoder.trade_row(
                t.trade_id, t.price_ticks, t.qty_lots, t.ts_event_ns // MS, buy=t.aggressor is Aggressor.BUY
            )
            for t in reversed(found)
        ]
        return self._priced(reply(rows), market)

    def _index_tickers(self, query: Query) -> bytes:
        index, quote = query.get("instId", ""), query.get("quoteCcy", "")
        known = sorted({self.index_of(market) for market in self._feed.markets.values()})
        found = [one for one in known if one == index or (quote and one.endswith(f"-{quote}"))]
        return reply([row for one in found for row in self.index_rows(one)])

    def _funding_history(self, query: Query) -> bytes:
        market = self._one(query)
        settled = self._feed.settlements(market.key, self._wall_ns(), self._rows(query, 100, 400))
        before, after = query.get("before", "0"), query.get("after", str(1 << 62))
        rows = [
            {
                "fundingRate": f"{rate:.10f}",
                "fundingTime": str(at_ms),
                "instId": market.key,
                "instType": "SWAP",
                "method": "current_period",
                "realizedRate": f"{rate:.10f}",
                "formulaType": "withRate",
            }
            for at_ms, rate, _ in reversed(settled)
            if int(before) < at_ms < int(after)
        ]
        return reply(rows)

    def _ratio_of_currency(self, query: Query) -> bytes:
        currency = query.get("ccy", "")
        found = [m for m in self._feed.markets.values() if m.instrument.base == currency]
        return self._ratios(found, query)

    def _ratio_of_contract(self, query: Query) -> bytes:
        return self._ratios([self._one(query)], query)

    def _ratios(self, markets: Sequence[Market], query: Query) -> bytes:
        period_ms = PERIOD_MS.get(query.get("period", "5m"))
        if not markets or period_ms is None:
            raise RestRefused(200, refusal("51000", "Parameter period or ccy error"))
        long = sum(market.buyers_share for market in markets) / len(markets)
        newest_ms = self._now_ms() // period_ms * period_ms
        return reply([[str(newest_ms), f"{long / (1 - long):.4f}"]])
