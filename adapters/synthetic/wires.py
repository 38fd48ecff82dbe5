"""The bytes of a synthetic market by venue: Binance's three dialects, OKX and Bybit behind one interface.

Owns which messages each venue sends for a diff, a touch, a print and a mark price. How they are spelled is
`wire.Wire`'s and the venues' encoders'.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from adapters.bybit.encode import BybitEncoder
from adapters.okx.encode import OkxEncoder
from adapters.synthetic.params import MarketParams
from adapters.synthetic.wire import Wire

Levels = Iterable[tuple[int, int]]

BYBIT_DEEPEST = 1000
BYBIT_REST_LEVELS = 2000


class MarketWire(Protocol):
    """Formats one market's messages. Prices come as integer ticks, quantities as integer lots, times as UTC ms."""

    def depth(
        self, event_ms: int, sent_ms: int, ids: tuple[int, int, int], bids: dict[int, int], asks: dict[int, int]
    ) -> bytes:
        """A diff with ``ids`` (first, final, previous final)."""
        ...

    def book_ticker(self, event_ms: int, sent_ms: int, update_id: int, top: tuple[int, int, int, int]) -> bytes:
        """``top`` (bid, bid lots, ask, ask lots) after ``update_id``."""
        ...

    def trade(
        self, event_ms: int, sent_ms: int, trade_id: int, ticks: int, lots: int, *, buyer_is_maker: bool
    ) -> bytes:
        """One print."""
        ...

    def mark_price(self, sent_ms: int, mark: float, index: float, rate: float, next_funding_ms: int) -> bytes:
        """Mark and index price, the forming funding rate and its settlement time; perpetuals only."""
        ...

    def snapshot(self, event_ms: int, update_id: int, bids: Levels, asks: Levels) -> bytes:
        """The REST depth body; levels come best first."""
        ...


class OkxWire:
    """``books`` of all levels, ``bbo-tbt``, ``trades``, ``mark-price``."""

    def __init__(self, market: MarketParams) -> None:
        self._encoder = OkxEncoder(market.symbol, *_steps(market))

    def depth(
        self, event_ms: int, sent_ms: int, ids: tuple[int, int, int], bids: dict[int, int], asks: dict[int, int]
    ) -> bytes:
        """An update of ``books``."""
        _, seq_id, prev_seq_id = ids
        levels = sorted(bids.items(), reverse=True), sorted(asks.items())
        return self._encoder.books("books", levels, event_ms, seq_id, prev_seq_id)

    def book_ticker(self, event_ms: int, sent_ms: int, update_id: int, top: tuple[int, int, int, int]) -> bytes:
        """``bbo-tbt``."""
        return self._encoder.best([top[:2]], [top[2:]], sent_ms, update_id)

    def trade(
        self, event_ms: int, sent_ms: int, trade_id: int, ticks: int, lots: int, *, buyer_is_maker: bool
    ) -> bytes:
        """``trades``."""
        return self._encoder.trade(trade_id, ticks, lots, event_ms, buy=not buyer_is_maker)

    def mark_price(self, sent_ms: int, mark: float, index: float, rate: float, next_funding_ms: int) -> bytes:
        """``mark-price``; the funding rate is another channel's."""
        return self._encoder.mark(mark, sent_ms)

    def snapshot(self, event_ms: int, update_id: int, bids: Levels, asks: Levels) -> bytes:
        """The reply of ``/api/v5/market/books``."""
        return self._encoder.rest_book(list(bids), list(asks), event_ms, update_id)


class BybitWire:
    """``orderbook.1000``, ``orderbook.1``, ``publicTrade``, ``tickers``; ``u`` counts each depth's own messages."""

    def __init__(self, market: MarketParams, start_ns: int) -> None:
        spot = not market.perpetual
        self._encoder = BybitEncoder(market.symbol, *_steps(market), spot=spot, inverse=market.lot_decimals == 0)
        self._deep_u = self._best_u = start_ns // 1_000_000
        self._seq = 0

    def depth(
        self, event_ms: int, sent_ms: int, ids: tuple[int, int, int], bids: dict[int, int], asks: dict[int, int]
    ) -> bytes:
        """A delta of the deepest book."""
        self._deep_u += 1
        self._seq = ids[1]
        levels = sorted(bids.items(), reverse=True), sorted(asks.items())
        return self._encoder.book(
            BYBIT_DEEPEST, "delta", levels, u=self._deep_u, seq=ids[1], event_ms=event_ms, sent_ms=sent_ms
        )

    def book_ticker(self, event_ms: int, sent_ms: int, update_id: int, top: tuple[int, int, int, int]) -> bytes:
        """``orderbook.1``."""
        self._best_u += 1
        self._seq = update_id
        sides = [top[:2]], [top[2:]]
        return self._encoder.book(
            1, "snapshot", sides, u=self._best_u, seq=update_id, event_ms=event_ms, sent_ms=sent_ms
        )

    def trade(
        self, event_ms: int, sent_ms: int, trade_id: int, ticks: int, lots: int, *, buyer_is_maker: bool
    ) -> bytes:
        """``publicTrade``."""
        return self._encoder.trade(
            trade_id, ticks, lots, event_ms=event_ms, sent_ms=sent_ms, seq=self._seq, buy=not buyer_is_maker
        )

    def mark_price(self, sent_ms: int, mark: float, index: float, rate: float, next_funding_ms: int) -> bytes:
        """``tickers``, no more than what makes a mark price."""
        fields = {
            "markPrice": f"{mark:.2f}",
            "indexPrice": f"{index:.2f}",
            "fundingRate": f"{rate:.8f}",
            "nextFundingTime": str(next_funding_ms),
        }
        return self._encoder.ticker("snapshot", fields, self._seq, sent_ms)

    def snapshot(self, event_ms: int, update_id: int, bids: Levels, asks: Levels) -> bytes:
        """The reply of ``/v5/market/orderbook``."""
        levels = list(bids)[:BYBIT_REST_LEVELS], list(asks)[:BYBIT_REST_LEVELS]
        return self._encoder.rest_book(levels, u=self._deep_u, seq=update_id, event_ms=event_ms, sent_ms=event_ms)


def wire_of(market: MarketParams, start_ns: int) -> MarketWire:
    """The bytes of a market's venue."""
    match market.venue:
        case "okx":
            return OkxWire(market)
        case "bybit":
            return BybitWire(market, start_ns)
        case _:
            return Wire(market)


def _steps(market: MarketParams) -> tuple[Decimal, Decimal]:
    return Decimal(1) / market.ticks_per_unit, Decimal(1).scaleb(-market.lot_decimals)
