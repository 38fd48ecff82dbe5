"""Binance public streams: bytes to events, for spot, USD-M and COIN-M. Pure, and no input makes it raise.

Does not look at sequence between messages (`trading.market.stitch` does), does not open connections, and leaves
liquidations and the day's figures to `market_facts` and REST replies beside books to `replies`. Depth diffs that are
spelled as ever are read by the native parser, where there is one; it leaves all others to this module.
Formats: binance-spot-api-docs/web-socket-streams.md and developers.binance.com "USDS-Margined Futures" and
"COIN-Margined Futures", websocket market streams (read 2026-11), checked against recordings of 2023 and 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

from adapters.binance.grid import Grid, RejectReason, WireFault
from adapters.binance.market_facts import SymbolFacts, liquidated_symbol, price_of, rate_of
from native import marketdata
from trading.instruments import Instrument
from trading.market.events import (
    Aggressor,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    MarkPrice,
    Trade,
    VenueEvent,
    WireRejected,
)

MAX_PAYLOAD_BYTES = 4 << 20
EXCERPT_CHARS = 200
MS = 1_000_000

# Milliseconds since 1970 between 2001 and 2096: a stream that changes its unit is refused, not believed.
# In ns it is below 2**62, as every number of a book is.
_FIRST_MS, _END_MS = 10**12, 4 * 10**12
_Ms = Annotated[int, msgspec.Meta(ge=_FIRST_MS, lt=_END_MS)]
_Id = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Pairs = Annotated[list[tuple[str, str]], msgspec.Meta(max_length=20_000)]


class _Depth(msgspec.Struct, gc=False):
    e: Literal["depthUpdate"]
    E: _Ms
    s: str
    U: _Id
    u: _Id
    b: _Pairs
    a: _Pairs
    T: _Ms = 10**12
    pu: Annotated[int, msgspec.Meta(ge=-1, lt=1 << 62)] = -1


class _Ticker(msgspec.Struct, gc=False):
    s: str
    u: _Id
    b: str
    B: str
    a: str
    A: str
    e: Literal["bookTicker", ""] = ""
    T: _Ms = 10**12


class _Trade(msgspec.Struct, gc=False):
    e: Literal["trade"]
    s: str
    t: _Id
    p: str
    q: str
    T: _Ms
    m: bool
    X: str = "MARKET"


class _AggTrade(msgspec.Struct, gc=False):
    e: Literal["aggTrade"]
    s: str
    a: _Id
    p: str
    q: str
    T: _Ms
    m: bool


class _Mark(msgspec.Struct, gc=False):
    e: Literal["markPriceUpdate"]
    E: _Ms
    s: str
    p: str
    i: str = ""
    r: str = ""
    T: int = 0


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: _Id  # noqa: N815 - the venue's name
    bids: _Pairs
    asks: _Pairs
    E: _Ms = 10**12
    T: _Ms = 10**12
    symbol: str = ""


class _DepthFrame(msgspec.Struct, gc=False):
    data: _Depth


class _TickerFrame(msgspec.Struct, gc=False):
    data: _Ticker


class _TradeFrame(msgspec.Struct, gc=False):
    data: _Trade


class _AggTradeFrame(msgspec.Struct, gc=False):
    data: _AggTrade


class _MarkFrame(msgspec.Struct, gc=False):
    data: _Mark


class _Probe(msgspec.Struct, gc=False):
    """Just enough of an unexpected message to say what it is."""

    stream: str = ""
    e: str = ""
    s: str = ""
    u: int = -1
    lastUpdateId: int = -1  # noqa: N815 - the venue's name
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    code: int = 0
    msg: str = ""


class SubscriptionAck(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's answer to one (UN)SUBSCRIBE; ``error`` is empty when it agreed."""

    request_id: int | str
    error: str


_Decode = Callable[[bytes, int], VenueEvent | None]
_UNSTATED_MS = 10**12
_FAULTS = (WireFault, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)

_depth_frame = msgspec.json.Decoder(_DepthFrame).decode
_ticker_frame = msgspec.json.Decoder(_TickerFrame).decode
_trade_frame = msgspec.json.Decoder(_TradeFrame).decode
_agg_trade_frame = msgspec.json.Decoder(_AggTradeFrame).decode
_mark_frame = msgspec.json.Decoder(_MarkFrame).decode
_depth_bare = msgspec.json.Decoder(_Depth).decode
_ticker_bare = msgspec.json.Decoder(_Ticker).decode
_trade_bare = msgspec.json.Decoder(_Trade).decode
_agg_trade_bare = msgspec.json.Decoder(_AggTrade).decode
_mark_bare = msgspec.json.Decoder(_Mark).decode
_snapshot_body = msgspec.json.Decoder(_Snapshot).decode
_probe = msgspec.json.Decoder(_Probe).decode


class BinanceCodec:
    """The decoder of one venue's public messages.

    Accepts combined-stream frames ``{"stream":..,"data":{..}}`` and bare messages. ``ts_event_ns`` is the matching
    engine's time (``T``) where the venue states it, else the event's (``E``), else 0 (spot bookTicker and spot
    snapshots carry no time). `WireRejected.reason` is a value of `RejectReason`; its excerpt says what was wrong and
    shows the beginning of the message, in at most 200 characters. ``native`` False is for comparisons.
    """

    def __init__(self, venue: str, instruments: Sequence[Instrument], *, native: bool = True) -> None:
        self.venue = venue
        self._channels = {instrument.symbol: _Channel(instrument, native=native) for instrument in instruments}
        self._bare_depths = {
            symbol.encode(): channel.parser.bare for symbol, channel in self._channels.items() if channel.parser
        }
        self._by_id = {channel.instrument_id: channel for channel in self._channels.values()}
        self._routes: dict[bytes, _Decode] = {}
        diffs: dict[bytes, marketdata.DepthParser[DepthUpdate]] = {}
        for channel in self._channels.values():
            self._routes.update(channel.routes())
            if channel.parser is not None:
                diffs.update(dict.fromkeys(channel.depth_streams(), channel.parser))
        if marketdata is not None and diffs:
            vars(self)["decode"] = marketdata.DepthRoutes(diffs, self.decode, MAX_PAYLOAD_BYTES)

    def decode(self, payload: bytes, ts_recv_ns: int) -> VenueEvent | None:
        """One message as an event, `WireRejected`, or None for what says nothing of a market.

        None: a granted subscription, and futures trades that did not happen in the book (``X`` is INSURANCE_FUND,
        ADL or NA).
        """
        try:
            # A frame begins {"stream":"<name>" and anything else finds no route by the bytes after the eleventh.
            route = self._routes.get(payload[11 : payload.find(b'"', 11, 120)])
            if route is not None and len(payload) <= MAX_PAYLOAD_BYTES:
                return route(payload, ts_recv_ns)
            return self._decode_unusual(payload, ts_recv_ns)
        except _FAULTS as fault:
            return self._rejected(fault, payload, ts_recv_ns)

    def decode_snapshot(self, payload: bytes, instrument_id: str, ts_recv_ns: int) -> DepthSnapshot | WireRejected:
        """A REST depth snapshot, whose symbol the venue does not always state."""
        try:
            channel = self._by_id.get(instrument_id)
            if channel is None:
                raise WireFault(RejectReason.UNKNOWN_SYMBOL, instrument_id)
            if len(payload) > MAX_PAYLOAD_BYTES:
                raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
            return channel.snapshot(payload, ts_recv_ns)
        except _FAULTS as fault:
            return self._rejected(fault, payload, ts_recv_ns)

    def decode_recorded(self, payload: bytes, symbol: str, ts_recv_ns: int) -> VenueEvent | None:
        """One line of a recording of ``symbol`` (any case): a frame, or a snapshot, whose symbol is the file's."""
        if payload[:15] == b'{"lastUpdateId"':
            channel = self._channels.get(symbol.upper())
            return self.decode_snapshot(payload, channel.instrument_id if channel else symbol, ts_recv_ns)
        return self.decode(payload, ts_recv_ns)

    def decode_ack(self, payload: bytes) -> SubscriptionAck | None:
        """The answer to a subscription request, or None when ``payload`` is anything else."""
        try:
            probe = _probe(payload)
        except _FAULTS:
            return None
        if probe.id is None or probe.stream or probe.e:
            return None
        error = bytes(probe.error).decode(errors="replace") if bytes(probe.error) else ""
        if probe.code or probe.msg:
            error = f"{probe.code} {probe.msg}"
        return SubscriptionAck(request_id=probe.id, error=error[:EXCERPT_CHARS])

    def finer_quantities(self) -> dict[str, int]:
        """By instrument_id: how many quantities were finer than the lot (see `Grid`)."""
        return {channel.instrument_id: channel.grid.finer_quantities for channel in self._channels.values()}

    def _decode_unusual(self, payload: bytes, ts_recv_ns: int) -> VenueEvent | None:
        """Bare messages, frames in another spelling, answers and strangers."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
        if payload[:18] == b'{"e":"depthUpdate"':
            begin = payload.find(b'"s":"', 18, 120) + 5
            parse = self._bare_depths.get(payload[begin : payload.find(b'"', begin, 120)])
            update = parse(payload, ts_recv_ns) if parse else None
            if update is not None:
                return update
        probe = _probe(payload)
        if probe.stream:
            route = self._routes.get(probe.stream.encode())
            if route is not None:
                return route(payload, ts_recv_ns)
            symbol = probe.stream.partition("@")[0].upper()
            known = symbol in self._channels
            raise WireFault(RejectReason.UNKNOWN_EVENT if known else RejectReason.UNKNOWN_SYMBOL, probe.stream)
        if probe.lastUpdateId >= 0:
            raise WireFault(RejectReason.SNAPSHOT_WITHOUT_SYMBOL, "use decode_snapshot")
        if bytes(probe.error) or probe.code or probe.msg:
            raise WireFault(RejectReason.VENUE_ERROR, f"{probe.code} {probe.msg}")
        if probe.id is not None and not probe.e:
            return None
        symbol = probe.s or (liquidated_symbol(payload) if probe.e == "forceOrder" else "")
        if not symbol or not (probe.e or probe.u >= 0):
            raise WireFault(RejectReason.UNKNOWN_EVENT, probe.e or "no event type")
        channel = self._channels.get(symbol)
        if channel is None:
            raise WireFault(RejectReason.UNKNOWN_SYMBOL, symbol)
        decode = channel.bare(probe.e)
        if decode is None:
            raise WireFault(RejectReason.UNKNOWN_EVENT, probe.e)
        return decode(payload, ts_recv_ns)

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

    __slots__ = ("facts", "grid", "instrument_id", "parser", "symbol")

    def __init__(self, instrument: Instrument, *, native: bool) -> None:
        self.grid = Grid(instrument)
        self.instrument_id = instrument.instrument_id
        self.symbol = instrument.symbol
        self.facts = SymbolFacts(instrument)
        self.parser: marketdata.DepthParser[DepthUpdate] | None = None
        if native and marketdata is not None:
            self.parser = marketdata.DepthParser(self.symbol, self.instrument_id, *self.grid.scales, DepthUpdate)
            self.grid.shared_with(self.parser)

    def routes(self) -> dict[bytes, _Decode]:
        """Combined-stream names to the decoders of their frames."""
        name = self.symbol.lower().encode()
        frames: dict[bytes, _Decode] = {
            b"bookTicker": lambda payload, ts: self.ticker(_ticker_frame(payload).data, ts),
            b"trade": lambda payload, ts: self.trade(_trade_frame(payload).data, ts),
            b"aggTrade": lambda payload, ts: self.agg_trade(_agg_trade_frame(payload).data, ts),
            b"markPrice": lambda payload, ts: self.mark(_mark_frame(payload).data, ts),
            b"markPrice@1s": lambda payload, ts: self.mark(_mark_frame(payload).data, ts),
            b"ticker": self.facts.ticker_frame,
        }
        if self.facts.has_liquidations:
            frames[b"forceOrder"] = self.facts.liquidation_frame
        depth = self.depth_frame if self.parser is None else _native_first(self.parser.frame, self.depth_frame)
        routes: dict[bytes, _Decode] = dict.fromkeys(self.depth_streams(), depth)
        return routes | {name + b"@" + stream: decode for stream, decode in frames.items()}

    def depth_streams(self) -> list[bytes]:
        """The combined-stream names of its diffs."""
        name = self.symbol.lower().encode()
        return [name + b"@depth" + speed for speed in (b"", b"@0ms", b"@100ms", b"@250ms", b"@500ms", b"@1000ms")]

    def bare(self, event: str) -> _Decode | None:
        """The decoder of a message that came without a stream name; a spot bookTicker has no event type."""
        match event:
            case "depthUpdate":
                return lambda payload, ts: self.depth(_depth_bare(payload), ts)
            case "bookTicker" | "":
                return lambda payload, ts: self.ticker(_ticker_bare(payload), ts)
            case "trade":
                return lambda payload, ts: self.trade(_trade_bare(payload), ts)
            case "aggTrade":
                return lambda payload, ts: self.agg_trade(_agg_trade_bare(payload), ts)
            case "markPriceUpdate":
                return lambda payload, ts: self.mark(_mark_bare(payload), ts)
            case "24hrTicker":
                return self.facts.ticker_bare
            case "forceOrder" if self.facts.has_liquidations:
                return self.facts.liquidation_bare
            case _:
                return None

    def depth_frame(self, payload: bytes, ts_recv_ns: int) -> DepthUpdate:
        return self.depth(_depth_frame(payload).data, ts_recv_ns)

    def depth(self, m: _Depth, ts_recv_ns: int) -> DepthUpdate:
        """A diff. Ids: spot has ``U``..``u`` without holes; futures chain by ``pu``, and ``U`` may leave holes."""
        if m.s != self.symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, m.s)
        if m.u < m.U or m.u <= m.pu:
            raise WireFault(RejectReason.BAD_SEQUENCE, f"U {m.U} u {m.u} pu {m.pu}")
        bids, asks = self.grid.sides(m.b, m.a)
        return DepthUpdate(
            instrument_id=self.instrument_id,
            first_update_id=m.U,
            final_update_id=m.u,
            prev_final_update_id=m.pu,
            bids=bids,
            asks=asks,
            ts_event_ns=(m.E if m.T == _UNSTATED_MS else m.T) * MS,
            ts_recv_ns=ts_recv_ns,
        )

    def ticker(self, m: _Ticker, ts_recv_ns: int) -> BookTicker:
        if m.s != self.symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, m.s)
        grid = self.grid
        return BookTicker(
            instrument_id=self.instrument_id,
            update_id=m.u,
            bid_ticks=grid.ticks(m.b),
            bid_lots=grid.lots(m.B),
            ask_ticks=grid.ticks(m.a),
            ask_lots=grid.lots(m.A),
            ts_event_ns=0 if m.T == _UNSTATED_MS else m.T * MS,
            ts_recv_ns=ts_recv_ns,
        )

    def trade(self, m: _Trade, ts_recv_ns: int) -> Trade | None:
        if m.X != "MARKET":
            return None
        return self._trade(m, m.t, ts_recv_ns)

    def agg_trade(self, m: _AggTrade, ts_recv_ns: int) -> Trade:
        return self._trade(m, m.a, ts_recv_ns)

    def _trade(self, m: _Trade | _AggTrade, trade_id: int, ts_recv_ns: int) -> Trade:
        if m.s != self.symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, m.s)
        qty_lots = self.grid.lots(m.q)
        if not qty_lots:
            raise WireFault(RejectReason.BAD_NUMBER, "a trade of nothing")
        return Trade(
            instrument_id=self.instrument_id,
            trade_id=trade_id,
            price_ticks=self.grid.ticks(m.p),
            qty_lots=qty_lots,
            aggressor=Aggressor.SELL if m.m else Aggressor.BUY,
            ts_event_ns=m.T * MS,
            ts_recv_ns=ts_recv_ns,
        )

    def mark(self, m: _Mark, ts_recv_ns: int) -> MarkPrice:
        """``T`` is the next funding time; COIN-M delivery contracts state neither rate nor time (empty, 0)."""
        if m.s != self.symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, m.s)
        if m.T and not _FIRST_MS <= m.T < _END_MS:
            raise WireFault(RejectReason.BAD_NUMBER, f"{m.T} is not a time in milliseconds")
        return MarkPrice(
            instrument_id=self.instrument_id,
            mark_price=price_of(m.p),
            index_price=price_of(m.i) if m.i else None,
            funding_rate=rate_of(m.r) if m.r else None,
            next_funding_ns=m.T * MS if m.T else None,
            ts_event_ns=m.E * MS,
            ts_recv_ns=ts_recv_ns,
        )

    def snapshot(self, payload: bytes, ts_recv_ns: int) -> DepthSnapshot:
        m = _snapshot_body(payload)
        if m.symbol and m.symbol != self.symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, m.symbol)
        stated = m.E if m.T == _UNSTATED_MS else m.T
        bids, asks = self.grid.sides(m.bids, m.asks, whole=True)
        return DepthSnapshot(
            instrument_id=self.instrument_id,
            last_update_id=m.lastUpdateId,
            bids=bids,
            asks=asks,
            ts_event_ns=0 if stated == _UNSTATED_MS else stated * MS,
            ts_recv_ns=ts_recv_ns,
        )


def _native_first(parse: Callable[[bytes, int], DepthUpdate | None], decode: _Decode) -> _Decode:
    def either(payload: bytes, ts_recv_ns: int) -> VenueEvent | None:
        update = parse(payload, ts_recv_ns)
        return decode(payload, ts_recv_ns) if update is None else update

    return either
