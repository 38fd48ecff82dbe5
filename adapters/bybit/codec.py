"""Bybit v5 public market data: bytes to events, for spot, linear and inverse. Pure, and no input makes it raise.

Does not prove books (`trading.market.stream_stitch` states and applies the rules of ``u`` and ``seq``) and does not
open connections. Deltas that are spelled as ever are read by the native parser, where there is one; all others are
read here. Formats: bybit-exchange.github.io/docs/v5/websocket/public/{orderbook,trade,ticker,all-liquidation} and
docs/v5/market/{orderbook,long-short-ratio} (read 2026-11), checked against a recording of 2024-12-01 and messages of
2023. The rules that matter here:

- ``orderbook.1`` is the best bid and ask, snapshots only (deltas too until 2023); its ``u`` counts its own messages,
  so that its event is numbered by ``seq``. Each depth (50, 200, 1000; 500 until 2025) has a ``u`` of its own: a codec
  makes the book of one.
- ``tickers`` of contracts are a snapshot and then deltas, in which a field that is missing has not changed. ``cs`` is
  the cross sequence: a message below the last one is old.
- ``ts_event_ns`` is ``cts``, the matching engine's time, where it is stated; it relates to ``T`` of trades.
- Block trades (``BT``) do not happen in the book and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from adapters.binance.grid import Grid, RejectReason, WireFault
from adapters.bybit import wire
from adapters.bybit.instruments import BYBIT
from adapters.bybit.tickers import TickerState, decimal, time_ns
from adapters.rule_text import MS
from native import marketdata
from trading.instruments import Instrument
from trading.market.events import (
    Aggressor,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    Level,
    Liquidation,
    LongShortRatio,
    PositionSide,
    Trade,
    VenueEvent,
    WireRejected,
)

MAX_PAYLOAD_BYTES = 4 << 20
EXCERPT_CHARS = 200
TRADE_ID_END = 1 << 63
TEXTS = 2
"""Strings in a level: price, quantity."""

_Decode = Callable[[bytes, int], Sequence[VenueEvent]]
_NONE: Level = (0, 0)
_NOTHING: tuple[VenueEvent, ...] = ()
_FAULTS = (WireFault, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


class _Touch(NamedTuple):
    """``orderbook.1`` so far."""

    u: int
    bid: Level
    ask: Level


class BybitCodec:
    """The decoder of one category's public messages (`Category`: a symbol may exist in two of them).

    ``book_depth`` says which ``orderbook.{depth}`` makes the book. The codec remembers what deltas of ``tickers`` and
    ``orderbook.1`` add to; `on_connected` forgets it. `WireRejected.reason` is a value of `RejectReason`; its excerpt
    says what was wrong and shows the beginning of the message, in at most 200 characters.
    ``native`` False is for comparisons.
    """

    def __init__(self, instruments: Sequence[Instrument], *, book_depth: int = 50, native: bool = True) -> None:
        self.venue = BYBIT
        self._channels = {instrument.symbol: _Channel(instrument, native=native) for instrument in instruments}
        self._routes: dict[bytes, _Decode] = {}
        for channel in self._channels.values():
            self._routes.update(channel.routes(book_depth))

    def on_connected(self) -> None:
        """A new connection begins with snapshots: what deltas would add to is forgotten."""
        for channel in self._channels.values():
            channel.forget()

    def decode(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """The events of one message, in its order; one `WireRejected` when any of it cannot be believed.

        Empty for what says nothing of a market (answers to requests, pongs), for block trades and for old tickers.
        """
        try:
            # A message begins {"topic":"<topic>" and anything else finds no route by the bytes after the tenth.
            route = self._routes.get(payload[10 : payload.find(b'"', 10, 120)])
            if route is not None and len(payload) <= MAX_PAYLOAD_BYTES:
                return route(payload, ts_recv_ns)
            return self._decode_unusual(payload, ts_recv_ns)
        except _FAULTS as fault:
            return (self._rejected(fault, payload, ts_recv_ns),)

    def decode_snapshot(self, payload: bytes, ts_recv_ns: int) -> DepthSnapshot | WireRejected:
        """The reply of ``/v5/market/orderbook``.

        Its ``u`` is that of the deepest stream only (1000 levels; until 2025 500, spot 200): other depths cannot be
        bridged by it, and compare by ``seq``.
        """
        try:
            reply = wire.book_reply(_sized(payload))
            if reply.retCode or reply.result is None:
                raise WireFault(RejectReason.VENUE_ERROR, f"{reply.retCode} {reply.retMsg}")
            return self._channel(reply.result.s).rest_book(reply.result, ts_recv_ns)
        except _FAULTS as fault:
            return self._rejected(fault, payload, ts_recv_ns)

    def decode_ratios(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """The reply of ``/v5/market/account-ratio``, oldest first: holders of net long and short positions."""
        try:
            reply = wire.ratio_reply(_sized(payload))
            if reply.retCode or reply.result is None:
                raise WireFault(RejectReason.VENUE_ERROR, f"{reply.retCode} {reply.retMsg}")
            found = [self._channel(ratio.symbol).ratio(ratio, ts_recv_ns) for ratio in reply.result.ratios]
        except _FAULTS as fault:
            return (self._rejected(fault, payload, ts_recv_ns),)
        return sorted(found, key=lambda ratio: ratio.ts_event_ns)

    def finer_quantities(self) -> dict[str, int]:
        """By instrument_id: how many quantities were finer than the lot (see `Grid`)."""
        return {channel.instrument_id: channel.grid.finer_quantities for channel in self._channels.values()}

    def _channel(self, symbol: str) -> _Channel:
        channel = self._channels.get(symbol)
        if channel is None:
            raise WireFault(RejectReason.UNKNOWN_SYMBOL, symbol)
        return channel

    def _decode_unusual(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """Messages in another spelling, answers and strangers."""
        probe = wire.probe(_sized(payload))
        if probe.topic:
            route = self._routes.get(probe.topic.encode())
            if route is not None:
                return route(payload, ts_recv_ns)
            known = probe.topic.rpartition(".")[2] in self._channels
            raise WireFault(RejectReason.UNKNOWN_EVENT if known else RejectReason.UNKNOWN_SYMBOL, probe.topic)
        if probe.success is False or probe.ret_code:
            raise WireFault(RejectReason.VENUE_ERROR, f"{probe.ret_code or probe.op} {probe.ret_msg or probe.ret_text}")
        if probe.op or probe.success:
            return _NOTHING
        raise WireFault(RejectReason.UNKNOWN_EVENT, "neither topic nor answer")

    def _rejected(self, fault: Exception, payload: bytes, ts_recv_ns: int) -> WireRejected:
        reason = fault.reason if isinstance(fault, WireFault) else RejectReason.MALFORMED
        detail = fault.detail if isinstance(fault, WireFault) else str(fault)
        shown = bytes(payload[:EXCERPT_CHARS]).decode("utf-8", "replace")
        return WireRejected(
            venue=self.venue,
            reason=reason.value,
            excerpt=f"{detail[:100]} | {shown}"[:EXCERPT_CHARS],
            ts_recv_ns=ts_recv_ns,
        )


class _Channel:
    """Everything one symbol sends."""

    __slots__ = ("_parser", "_touch", "grid", "instrument_id", "symbol", "tickers")

    def __init__(self, instrument: Instrument, *, native: bool) -> None:
        self.grid = Grid(instrument)
        self._parser: marketdata.LevelsParser | None = None
        if native and marketdata is not None:
            self._parser = marketdata.LevelsParser(*self.grid.scales, TEXTS)
            self.grid.shared_with(self._parser)
        self.instrument_id = instrument.instrument_id
        self.symbol = instrument.symbol
        self.tickers = TickerState(instrument)
        self._touch: _Touch | None = None

    def forget(self) -> None:
        self.tickers.forget()
        self._touch = None

    def routes(self, book_depth: int) -> dict[bytes, _Decode]:
        """Topics to the decoders of their messages."""
        topics: dict[str, _Decode] = {
            f"orderbook.{book_depth}": self.depth,
            "orderbook.1": self.touch,
            "publicTrade": self.trades,
            "tickers": self.ticker,
            "allLiquidation": self.liquidations,
            "liquidation": self.old_liquidation,
        }
        return {f"{topic}.{self.symbol}".encode(): decode for topic, decode in topics.items()}

    def depth(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = wire.raw_depth_frame(payload)
        m = frame.data
        self._check(m.s)
        whole = frame.type == "snapshot"
        if self._parser is not None and not whole and m.u != 1:
            bids, asks = self._parser.levels(m.b), self._parser.levels(m.a)
            if bids is not None and asks is not None and max(len(bids), len(asks)) <= wire.LEVELS_MAX:
                return (self._update(frame, bids, asks, ts_recv_ns),)
        bids_read, asks_read = self.grid.sides(wire.levels(m.b), wire.levels(m.a), whole=whole or m.u == 1)
        if not whole:
            return (self._update(frame, bids_read, asks_read, ts_recv_ns),)
        snapshot = DepthSnapshot(
            instrument_id=self.instrument_id,
            last_update_id=m.u,
            bids=bids_read,
            asks=asks_read,
            ts_event_ns=(frame.ts if frame.cts == wire.UNSTATED_MS else frame.cts) * MS,
            ts_recv_ns=ts_recv_ns,
            seq=m.seq,
            in_stream=True,
        )
        return (snapshot,)

    def _update(
        self, frame: wire.RawDepthFrame, bids: Sequence[Level], asks: Sequence[Level], ts_recv_ns: int
    ) -> DepthUpdate:
        m = frame.data
        return DepthUpdate(
            instrument_id=self.instrument_id,
            first_update_id=m.u,
            final_update_id=m.u,
            prev_final_update_id=-1,
            bids=bids,
            asks=asks,
            ts_event_ns=(frame.ts if frame.cts == wire.UNSTATED_MS else frame.cts) * MS,
            ts_recv_ns=ts_recv_ns,
            seq=m.seq,
        )

    def touch(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """``orderbook.1``: the best bid and ask; a side without orders is (0, 0)."""
        frame = wire.depth_frame(payload)
        m = frame.data
        self._check(m.s)
        bids, asks = self.grid.levels(m.b), self.grid.levels(m.a)
        if frame.type == "snapshot" or m.u == 1:
            touch = _Touch(m.u, _best(bids, _NONE), _best(asks, _NONE))
        elif self._touch is None or m.u > self._touch.u + 1:
            self._touch = None
            raise WireFault(RejectReason.BAD_SEQUENCE, f"delta {m.u} follows nothing")
        elif m.u <= self._touch.u:
            return _NOTHING
        else:
            touch = _Touch(m.u, _best(bids, self._touch.bid), _best(asks, self._touch.ask))
        self._touch = touch
        return (
            BookTicker(
                instrument_id=self.instrument_id,
                update_id=m.seq,
                bid_ticks=touch.bid[0],
                bid_lots=touch.bid[1],
                ask_ticks=touch.ask[0],
                ask_lots=touch.ask[1],
                ts_event_ns=(frame.ts if frame.cts == wire.UNSTATED_MS else frame.cts) * MS,
                ts_recv_ns=ts_recv_ns,
            ),
        )

    def trades(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        return [self._trade(m, ts_recv_ns) for m in wire.trade_frame(payload).data if not m.BT]

    def _trade(self, m: wire.Trade, ts_recv_ns: int) -> Trade:
        self._check(m.s)
        qty_lots = self.grid.lots(m.v)
        if not qty_lots:
            raise WireFault(RejectReason.BAD_NUMBER, "a trade of nothing")
        return Trade(
            instrument_id=self.instrument_id,
            trade_id=_trade_id(m.i),
            price_ticks=self.grid.ticks(m.p),
            qty_lots=qty_lots,
            aggressor=Aggressor.BUY if m.S == "Buy" else Aggressor.SELL,
            ts_event_ns=m.T * MS,
            ts_recv_ns=ts_recv_ns,
        )

    def ticker(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = wire.ticker_frame(payload)
        self._check(frame.data.symbol)
        return self.tickers.take(frame.data, frame.type == "snapshot", frame.cs, frame.ts * MS, ts_recv_ns)

    def liquidations(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        found = wire.liquidation_frame(payload).data
        return [self._liquidation(wire.OldLiquidation(m.T, m.s, m.S, m.v, m.p), ts_recv_ns) for m in found]

    def old_liquidation(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        return (self._liquidation(wire.old_liquidation_frame(payload).data, ts_recv_ns),)

    def _liquidation(self, m: wire.OldLiquidation, ts_recv_ns: int) -> Liquidation:
        self._check(m.symbol)
        price, qty = decimal(m.price), decimal(m.size)
        if price <= 0 or qty <= 0:
            raise WireFault(RejectReason.BAD_NUMBER, f"a liquidation of {qty} at {price}")
        return Liquidation(
            instrument_id=self.instrument_id,
            side=PositionSide.LONG if m.side == "Buy" else PositionSide.SHORT,
            price=price,
            qty=qty,
            ts_event_ns=m.updated_time * MS,
            ts_recv_ns=ts_recv_ns,
        )

    def ratio(self, m: wire.Ratio, ts_recv_ns: int) -> LongShortRatio:
        long, short = decimal(m.buy_ratio), decimal(m.sell_ratio)
        if long < 0 or short <= 0:
            raise WireFault(RejectReason.BAD_NUMBER, f"{m.buy_ratio[:20]} to {m.sell_ratio[:20]}")
        return LongShortRatio(
            instrument_id=self.instrument_id,
            ratio=long / short,
            ts_event_ns=time_ns(m.timestamp, "timestamp"),
            ts_recv_ns=ts_recv_ns,
        )

    def rest_book(self, book: wire.RestBook, ts_recv_ns: int) -> DepthSnapshot:
        bids, asks = self.grid.sides(book.b, book.a, whole=True)
        return DepthSnapshot(
            instrument_id=self.instrument_id,
            last_update_id=book.u,
            bids=bids,
            asks=asks,
            ts_event_ns=(book.ts if book.cts == wire.UNSTATED_MS else book.cts) * MS,
            ts_recv_ns=ts_recv_ns,
            seq=book.seq,
        )

    def _check(self, symbol: str) -> None:
        if symbol != self.symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, symbol)


def _best(levels: list[Level], otherwise: Level) -> Level:
    """The touch that a side of ``orderbook.1`` states: a level of 0 lots is the one that left."""
    live = [level for level in levels if level[1]]
    if live:
        return live[0] if len(live) == 1 else _many(live)
    return _NONE if levels else otherwise


def _many(levels: list[Level]) -> Level:
    raise WireFault(RejectReason.MALFORMED, f"{len(levels)} best levels on one side")


def _sized(payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
    return payload


def _trade_id(text: str) -> int:
    """Spot numbers its trades; contracts name them by UUID, of which 60 bits (without the version's) are the id."""
    if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < TRADE_ID_END:
        return int(text)
    digits = text.replace("-", "")
    if len(digits) != 32 or not digits.isascii() or not digits.isalnum():
        raise WireFault(RejectReason.BAD_NUMBER, f"trade id {text[:40]!r}")
    return int(digits[:12] + digits[13:16], 16)
