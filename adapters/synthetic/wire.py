"""Binance's bytes: how each of the three dialects writes depth, tickers, trades, mark prices and REST snapshots.

Key order, number formats and level order are those of the recordings of 2023-04-05 and 2024-08-08. Owns text only: no
book, no time, no randomness.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapters.synthetic.params import Dialect, MarketParams

_PRICES_MAX = 8192


class Wire:
    """Formats one market's messages. Prices come as integer ticks, quantities as integer lots, times as UTC ms."""

    def __init__(self, market: MarketParams) -> None:
        if market.dialect is None:
            raise ValueError(f"{market.instrument_id} is not Binance's")
        self._market = market
        self._dialect = market.dialect
        stream, self._symbol = market.symbol.lower(), market.symbol
        self._prices: dict[int, str] = {}
        self._ps = f'"ps":"{market.pair}",' if market.dialect is Dialect.COINM else ""
        depth = "100ms" if market.dialect is Dialect.SPOT else "0ms"
        self._depth_head = f'{{"stream":"{stream}@depth@{depth}","data":{{"e":"depthUpdate","E":'
        self._ticker_head = f'{{"stream":"{stream}@bookTicker","data":{{'
        self._trade_head = f'{{"stream":"{stream}@trade","data":{{"e":"trade","E":'
        self._mark_head = f'{{"stream":"{stream}@markPrice@1s","data":{{"e":"markPriceUpdate","E":'

    def price(self, ticks: int) -> str:
        """Ticks in the venue's decimals."""
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) >= _PRICES_MAX:
                self._prices.clear()
            match self._dialect:
                case Dialect.SPOT:
                    text = f"{ticks // 100}.{ticks % 100:02d}000000"
                case Dialect.USDM:
                    text = f"{ticks // 10}.{ticks % 10}0"
                case Dialect.COINM:
                    text = f"{ticks // 10}.{ticks % 10}"
            self._prices[ticks] = text
        return text

    def qty(self, lots: int) -> str:
        """Lots in the venue's decimals."""
        match self._dialect:
            case Dialect.SPOT:
                return f"{lots // 100000}.{lots % 100000:05d}000"
            case Dialect.USDM:
                return f"{lots // 1000}.{lots % 1000:03d}"
            case Dialect.COINM:
                return str(lots)

    def levels(self, levels: Iterable[tuple[int, int]]) -> str:
        """A JSON array of [price, quantity] pairs."""
        price, qty = self.price, self.qty
        return "[" + ",".join([f'["{price(ticks)}","{qty(lots)}"]' for ticks, lots in levels]) + "]"

    def depth(
        self, event_ms: int, sent_ms: int, ids: tuple[int, int, int], bids: dict[int, int], asks: dict[int, int]
    ) -> bytes:
        """A diff with ``ids`` (first, final, previous final); spot writes the best bid first, futures the lowest."""
        first, final, previous = ids
        spot = self._dialect is Dialect.SPOT
        b, a = self.levels(sorted(bids.items(), reverse=spot)), self.levels(sorted(asks.items()))
        if spot:
            text = f'{sent_ms},"s":"{self._symbol}","U":{first},"u":{final},"b":{b},"a":{a}}}}}'
        else:
            text = (
                f'{sent_ms},"T":{event_ms},"s":"{self._symbol}",{self._ps}"U":{first},"u":{final},"pu":{previous},'
                f'"b":{b},"a":{a}}}}}'
            )
        return (self._depth_head + text).encode()

    def book_ticker(self, event_ms: int, sent_ms: int, update_id: int, top: tuple[int, int, int, int]) -> bytes:
        """``top`` (bid, bid lots, ask, ask lots) after ``update_id``."""
        bid, bid_lots, ask, ask_lots = top
        quote = f'"b":"{self.price(bid)}","B":"{self.qty(bid_lots)}","a":"{self.price(ask)}","A":"{self.qty(ask_lots)}"'
        match self._dialect:
            case Dialect.SPOT:
                text = f'"u":{update_id},"s":"{self._symbol}",{quote}}}}}'
            case Dialect.USDM:
                text = f'"e":"bookTicker","u":{update_id},"s":"{self._symbol}",{quote},"T":{event_ms},"E":{sent_ms}}}}}'
            case Dialect.COINM:
                text = (
                    f'"u":{update_id},"e":"bookTicker","s":"{self._symbol}",{self._ps}{quote},'
                    f'"T":{event_ms},"E":{sent_ms}}}}}'
                )
        return (self._ticker_head + text).encode()

    def trade(
        self, event_ms: int, sent_ms: int, trade_id: int, ticks: int, lots: int, *, buyer_is_maker: bool
    ) -> bytes:
        """One print."""
        maker = "true" if buyer_is_maker else "false"
        what = f'"t":{trade_id},"p":"{self.price(ticks)}","q":"{self.qty(lots)}"'
        if self._dialect is Dialect.SPOT:
            text = f'{sent_ms},"s":"{self._symbol}",{what},"T":{event_ms},"m":{maker},"M":true}}}}'
        else:
            text = f'{sent_ms},"T":{event_ms},"s":"{self._symbol}",{what},"X":"MARKET","m":{maker}}}}}'
        return (self._trade_head + text).encode()

    def mark_price(self, sent_ms: int, mark: float, index: float, rate: float, next_funding_ms: int) -> bytes:
        """Mark and index price, the forming funding rate and its settlement time; perpetuals only."""
        text = (
            f'{sent_ms},"s":"{self._symbol}","p":"{mark:.8f}","P":"{index:.8f}","i":"{index:.8f}",'
            f'"r":"{rate:.8f}","T":{next_funding_ms}}}}}'
        )
        return (self._mark_head + text).encode()

    def snapshot(
        self, event_ms: int, update_id: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]
    ) -> bytes:
        """The REST depth body; levels come best first."""
        head = f'{{"lastUpdateId":{update_id},'
        if self._dialect is not Dialect.SPOT:
            head += f'"E":{event_ms},"T":{event_ms},'
        if self._dialect is Dialect.COINM:
            head += f'"symbol":"{self._symbol}","pair":"{self._market.pair}",'
        return f'{head}"bids":{self.levels(bids)},"asks":{self.levels(asks)}}}'.encode()
