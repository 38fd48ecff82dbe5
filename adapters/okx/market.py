"""Everything that one OKX symbol sends, from decoded rows to events: its grid, its spelling, its ids."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.binance.grid import Grid, RejectReason, WireFault
from adapters.okx import frames
from adapters.okx.checksum import Spelling
from adapters.okx.numbers import id_of, optional, price_of, signed, time_ns
from native import marketdata
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import (
    Aggressor,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    Level,
    Ticker,
    Trade,
    VenueEvent,
)

TEXTS = 4
"""Strings in a level: price, size, "0", number of orders."""


class Market:
    """Everything one symbol sends."""

    __slots__ = ("_contracts", "_lots", "_parser", "_ticks", "grid", "instrument_id", "spelling")

    def __init__(self, instrument: Instrument, *, native: bool) -> None:
        self.grid = Grid(instrument)
        self._parser: marketdata.LevelsParser | None = None
        if native and marketdata is not None:
            self._parser = marketdata.LevelsParser(*self.grid.scales, TEXTS)
            self.grid.shared_with(self._parser)
        self.spelling = Spelling(instrument)
        self._ticks, self._lots = self.grid.memories()
        self.instrument_id = instrument.instrument_id
        self._contracts = instrument.kind is not InstrumentKind.SPOT

    def depth(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """A push of the book's channel: a snapshot or a diff."""
        frame = frames.depth_frame(payload)
        (m,) = frame.data
        whole = frame.action == "snapshot"
        # Where a checksum is stated, the venue's own spelling of every level is needed.
        if self._parser is not None and not whole and not m.checksum:
            bids, asks = self._parser.levels(m.bids), self._parser.levels(m.asks)
            if bids is not None and asks is not None and max(len(bids), len(asks)) <= frames.LEVELS_MAX:
                return (self._update(m, bids, asks, ts_recv_ns),)
        bid_texts, ask_texts = frames.levels(m.bids), frames.levels(m.asks)
        bids_read, asks_read = self.grid.sides(_pairs(bid_texts), _pairs(ask_texts), whole=whole)
        if m.checksum:
            self._meet(bid_texts)
            self._meet(ask_texts)
        if not whole:
            return (self._update(m, bids_read, asks_read, ts_recv_ns),)
        snapshot = DepthSnapshot(
            instrument_id=self.instrument_id,
            last_update_id=m.seq_id,
            bids=bids_read,
            asks=asks_read,
            ts_event_ns=time_ns(m.ts),
            ts_recv_ns=ts_recv_ns,
            checksum=m.checksum,
            in_stream=True,
        )
        return (snapshot,)

    def _update(self, m: frames.Depth, bids: Sequence[Level], asks: Sequence[Level], ts_recv_ns: int) -> DepthUpdate:
        if (m.seq_id < 0) is not (m.prev_seq_id < 0):
            raise WireFault(RejectReason.BAD_SEQUENCE, f"seqId {m.seq_id} prevSeqId {m.prev_seq_id}")
        return DepthUpdate(
            instrument_id=self.instrument_id,
            first_update_id=m.prev_seq_id + 1 if m.prev_seq_id >= 0 else -1,
            final_update_id=m.seq_id,
            prev_final_update_id=m.prev_seq_id,
            bids=bids,
            asks=asks,
            ts_event_ns=time_ns(m.ts),
            ts_recv_ns=ts_recv_ns,
            checksum=m.checksum,
        )

    def _meet(self, side: Sequence[frames.Level]) -> None:
        ticks, lots = self._ticks, self._lots
        for price, size, _, _ in side:
            try:
                level = ticks[price], lots[size]
            except WireFault:
                continue  # What rests off today's tick is in no book of ours, so that nothing asks for its spelling.
            self.spelling.meet(level, price, size)

    def best(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """A push of bbo-tbt: one ticker; a side without orders is (0, 0)."""
        (m,) = frames.best_frame(payload).data
        grid = self.grid
        bid, ask = [(grid.ticks(side[0][0]), grid.lots(side[0][1])) if side else (0, 0) for side in (m.bids, m.asks)]
        ticker = BookTicker(
            instrument_id=self.instrument_id,
            update_id=m.seq_id,
            bid_ticks=bid[0],
            bid_lots=bid[1],
            ask_ticks=ask[0],
            ask_lots=ask[1],
            ts_event_ns=time_ns(m.ts),
            ts_recv_ns=ts_recv_ns,
        )
        return (ticker,)

    def rest_book(self, payload: bytes, ts_recv_ns: int) -> DepthSnapshot:
        """The reply of ``/api/v5/market/books``; ``last_update_id`` is -1 where it states no seqId."""
        (m,) = frames.rest_book_frame(payload).data
        bids, asks = self.grid.sides(_pairs(m.bids), _pairs(m.asks), whole=True)
        return DepthSnapshot(
            instrument_id=self.instrument_id,
            last_update_id=m.seq_id,
            bids=bids,
            asks=asks,
            ts_event_ns=time_ns(m.ts),
            ts_recv_ns=ts_recv_ns,
        )

    def trade(self, row: frames.TradeRow, ts_recv_ns: int) -> Trade:
        """A row of trades or trades-all."""
        qty_lots = self.grid.lots(row.sz)
        if not qty_lots:
            raise WireFault(RejectReason.BAD_NUMBER, "a trade of nothing")
        return Trade(
            instrument_id=self.instrument_id,
            trade_id=id_of(row.trade_id),
            price_ticks=self.grid.ticks(row.px),
            qty_lots=qty_lots,
            aggressor=Aggressor.BUY if row.side == "buy" else Aggressor.SELL,
            ts_event_ns=time_ns(row.ts),
            ts_recv_ns=ts_recv_ns,
        )

    def ticker(self, row: frames.TickerRow, ts_recv_ns: int) -> Ticker:
        """A row of tickers that has a last price."""
        return Ticker(
            instrument_id=self.instrument_id,
            last_price=price_of(row.last),
            last_qty=optional(row.last_sz),
            bid_price=optional(row.bid_px) or None,
            bid_qty=optional(row.bid_sz),
            ask_price=optional(row.ask_px) or None,
            ask_qty=optional(row.ask_sz),
            open_24h=optional(row.open24h),
            high_24h=optional(row.high24h),
            low_24h=optional(row.low24h),
            volume_24h=optional(row.vol24h),
            # Of contracts it is in base currency, which is not what this field says.
            turnover_24h=None if self._contracts else optional(row.vol_ccy24h),
            ts_event_ns=time_ns(row.ts),
            ts_recv_ns=ts_recv_ns,
        )

    def funding(self, row: frames.FundingRow, ts_recv_ns: int) -> FundingRate:
        """A row of funding-rate that has a rate."""
        settled = row.sett_state == "settled"
        return FundingRate(
            instrument_id=self.instrument_id,
            # A row of the history: what was paid, where it differs from what was announced.
            funding_rate=signed(row.realized_rate or row.funding_rate),
            funding_ns=time_ns(row.funding_time),
            next_funding_rate=signed(row.next_funding_rate) if row.next_funding_rate else None,
            next_funding_ns=time_ns(row.next_funding_time) if row.next_funding_time else None,
            settled_rate=signed(row.sett_funding_rate) if settled and row.sett_funding_rate else None,
            min_rate=signed(row.min_funding_rate) if row.min_funding_rate else None,
            max_rate=signed(row.max_funding_rate) if row.max_funding_rate else None,
            ts_event_ns=time_ns(row.ts) if row.ts else 0,
            ts_recv_ns=ts_recv_ns,
        )


def _pairs(rows: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Price and size of each level."""
    return [(row[0], row[1]) for row in rows]
