"""OKX v5 public market data: bytes to events, for spot, swap and futures. Pure, and no input makes it raise.

Does not prove books (`trading.market.stream_stitch` states and applies the rules of seqId), does not open connections
and keeps no subscriptions (`adapters.okx.topics`). Formats: okx.com/docs-v5, "Public Channel" of order book trading
and of public data, and the REST endpoints of the same rows (read 2026-11), checked against recordings of 2022-05-13
and messages of 2021 to 2026. The rules that matter here:

- Numbers are texts, times are milliseconds in texts, "" is "none". A contract's sizes are contracts.
- ``prevSeqId`` is -1 in a snapshot of the stream; recordings of 2022 have no numbers at all.
- ``checksum`` 0 states none (always since 2026-06-23): see `adapters.okx.checksum`.
- One codec makes the book of one channel: each channel's ``prevSeqId`` names that channel's last message.
- liquidation-orders and instruments speak of a whole instrument type: rows of other instruments are passed over.
- index-tickers name the index (BTC-USDT), which several instruments follow: see `index_id`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from adapters.binance.grid import RejectReason, WireFault
from adapters.okx import frames
from adapters.okx.instruments import OKX, Listing, decode_listing, index_id
from adapters.okx.market import Market
from adapters.okx.numbers import optional, price_of, time_ns, unsigned
from trading.instruments import Instrument
from trading.market.book import PyBook
from trading.market.events import (
    DepthSnapshot,
    IndexPrice,
    InstrumentStatus,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    VenueEvent,
    VenueNotice,
    WireRejected,
)

MAX_PAYLOAD_BYTES = 4 << 20
EXCERPT_CHARS = 200
PONG = b"pong"
BOOK_CHANNELS = ("books", "books-l2-tbt", "books50-l2-tbt")

_Decode = Callable[[bytes, int], Sequence[VenueEvent]]
_NOTHING: tuple[VenueEvent, ...] = ()
_FAULTS = (WireFault, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
_QUIET_EVENTS = frozenset({"subscribe", "unsubscribe", "login", "channel-conn-count"})


class OkxCodec:
    """The decoder of public messages of any of ``instruments``.

    ``book_channel`` (one of `BOOK_CHANNELS`) is what makes the books. ``ts_event_ns`` is the venue's ``ts``, 0 where it
    states none. `WireRejected.reason` is a value of `RejectReason`; its excerpt says what was wrong and shows the
    beginning of the message, in at most 200 characters. A message of many rows is believed whole or not at all.
    ``native`` False is for comparisons.
    """

    def __init__(self, instruments: Sequence[Instrument], *, book_channel: str = "books", native: bool = True) -> None:
        self.venue = OKX
        self._markets = {instrument.symbol: Market(instrument, native=native) for instrument in instruments}
        self._by_id = {market.instrument_id: market for market in self._markets.values()}
        self._indices = {f"{i.base}-{i.quote}": index_id(i) for i in instruments}
        self._book_channel = book_channel
        # By channel: rows that name their own instrument.
        self._rows: dict[str, _Decode] = {
            "trades": self._trades,
            "trades-all": self._trades,
            "tickers": self._tickers,
            "mark-price": self._marks,
            "index-tickers": self._index_prices,
            "funding-rate": self._fundings,
            "open-interest": self._interests,
            "liquidation-orders": self._liquidations,
            "instruments": self._instruments,
            "status": self._statuses,
        }
        self._routes: dict[bytes, _Decode] = {}
        for symbol, market in self._markets.items():
            routes = {book_channel: market.depth, "bbo-tbt": market.best}
            for channel, decode in (routes | self._rows).items():
                self._routes[f'{{"arg":{{"channel":"{channel}","instId":"{symbol}"'.encode()] = decode

    # --- The stream ----------------------------------------------------------------------------------

    def decode(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """The events of one message, in its order; one `WireRejected` when any of it cannot be believed.

        Empty for what says nothing of a market: answers to requests, pongs, rows without a value.
        """
        try:
            # A push begins {"arg":{"channel":"..","instId":".."} and anything else finds no route by those bytes.
            route = self._routes.get(payload[: payload.find(b"}", 0, 160)])
            if route is not None and len(payload) <= MAX_PAYLOAD_BYTES:
                return route(payload, ts_recv_ns)
            return self._decode_unusual(payload, ts_recv_ns)
        except _FAULTS as fault:
            return (self._rejected(fault, payload, ts_recv_ns),)

    def checksum_of(self, instrument_id: str) -> Callable[[PyBook], int] | None:
        """What makes the venue's checksum of a book of this instrument, in the venue's spelling."""
        market = self._by_id.get(instrument_id)
        return None if market is None else market.spelling.checksum_of

    def finer_quantities(self) -> dict[str, int]:
        """By instrument_id: how many quantities were finer than the lot (see `Grid`)."""
        return {market.instrument_id: market.grid.finer_quantities for market in self._markets.values()}

    # --- REST ----------------------------------------------------------------------------------------

    def decode_snapshot(self, payload: bytes, instrument_id: str, ts_recv_ns: int) -> DepthSnapshot | WireRejected:
        """The reply of ``/api/v5/market/books``, which does not name its instrument."""
        try:
            market = self._by_id.get(instrument_id)
            if market is None:
                raise WireFault(RejectReason.UNKNOWN_SYMBOL, instrument_id)
            _granted(payload)
            return market.rest_book(payload, ts_recv_ns)
        except _FAULTS as fault:
            return self._rejected(fault, payload, ts_recv_ns)

    def decode_reply(self, channel: str, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """A REST reply whose rows are those of ``channel``, which is any but the books' and bbo-tbt.

        The history of funding rates is read as funding-rate: the rate is then the one that was paid.
        """
        try:
            _granted(payload)
            decode = self._rows.get(channel)
            if decode is None:
                raise WireFault(RejectReason.UNKNOWN_EVENT, channel)
            return decode(payload, ts_recv_ns)
        except _FAULTS as fault:
            return (self._rejected(fault, payload, ts_recv_ns),)

    def decode_ratios(self, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """The reply of ``/api/v5/rubik/stat/contracts/long-short-account-ratio`` or ``..-contract``, oldest first.

        It does not name the currency or the instrument that it speaks of.
        """
        try:
            _granted(payload)
            found = [
                LongShortRatio(
                    instrument_id=instrument_id, ratio=unsigned(ratio), ts_event_ns=time_ns(ts), ts_recv_ns=ts_recv_ns
                )
                for ts, ratio in frames.pairs(payload).data
            ]
        except _FAULTS as fault:
            return (self._rejected(fault, payload, ts_recv_ns),)
        return sorted(found, key=lambda ratio: ratio.ts_event_ns)

    # --- Rows ----------------------------------------------------------------------------------------

    def _trades(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = frames.trades(payload)
        return [self._market(row, frame.arg).trade(row, ts_recv_ns) for row in frame.data]

    def _tickers(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = frames.tickers(payload)
        return [self._market(row, frame.arg).ticker(row, ts_recv_ns) for row in frame.data if row.last]

    def _marks(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = frames.marks(payload)
        return [
            MarkPrice(
                instrument_id=self._market(row, frame.arg).instrument_id,
                mark_price=price_of(row.mark_px),
                index_price=None,
                funding_rate=None,
                next_funding_ns=None,
                ts_event_ns=time_ns(row.ts),
                ts_recv_ns=ts_recv_ns,
            )
            for row in frame.data
        ]

    def _index_prices(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = frames.indices(payload)
        events: list[VenueEvent] = []
        for row in frame.data:
            _check(row, frame.arg)
            index = self._indices.get(row.inst_id)
            if index is None:
                raise WireFault(RejectReason.UNKNOWN_SYMBOL, row.inst_id)
            price = price_of(row.idx_px)
            stated = time_ns(row.ts)
            events.append(IndexPrice(instrument_id=index, index_price=price, ts_event_ns=stated, ts_recv_ns=ts_recv_ns))
        return events

    def _fundings(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = frames.fundings(payload)
        return [
            self._market(row, frame.arg).funding(row, ts_recv_ns)
            for row in frame.data
            if row.realized_rate or row.funding_rate
        ]

    def _interests(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        frame = frames.interests(payload)
        return [
            OpenInterest(
                instrument_id=self._market(row, frame.arg).instrument_id,
                qty=unsigned(row.oi),
                base_qty=optional(row.oi_ccy),
                notional=optional(row.oi_usd),
                ts_event_ns=time_ns(row.ts),
                ts_recv_ns=ts_recv_ns,
            )
            for row in frame.data
        ]

    def _liquidations(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        return [
            Liquidation(
                instrument_id=market.instrument_id,
                side=_position_of(one),
                price=price_of(one.bk_px),
                qty=unsigned(one.sz),
                ts_event_ns=time_ns(one.ts),
                ts_recv_ns=ts_recv_ns,
            )
            for row in frames.taken(payload).data
            if (market := self._markets.get(row.inst_id)) is not None
            for one in row.details
        ]

    def _instruments(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        listing = decode_listing(payload)
        if listing is None:
            raise WireFault(RejectReason.MALFORMED, "not a listing")
        return [*_listed(listing, ts_recv_ns), *self._refused(listing, ts_recv_ns)]

    def _refused(self, listing: Listing, ts_recv_ns: int) -> list[WireRejected]:
        return [
            self._rejected(WireFault(RejectReason.MALFORMED, f"{symbol}: {why}"), b"", ts_recv_ns)
            for symbol, why in listing.refused.items()
        ]

    def _statuses(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        return [
            VenueNotice(
                venue=OKX,
                code=row.state[:EXCERPT_CHARS],
                text=row.title[:EXCERPT_CHARS],
                begin_ns=time_ns(row.begin) if row.begin else None,
                end_ns=time_ns(row.end) if row.end else None,
                ts_recv_ns=ts_recv_ns,
            )
            for row in frames.statuses(payload).data
        ]

    # --- What is rare --------------------------------------------------------------------------------

    def _market(self, row: frames.Row, arg: frames.Arg) -> Market:
        _check(row, arg)
        market = self._markets.get(row.inst_id)
        if market is None:
            raise WireFault(RejectReason.UNKNOWN_SYMBOL, row.inst_id)
        return market

    def _decode_unusual(self, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """Channels of a whole type, pushes in another spelling, answers and strangers."""
        if payload == PONG:
            return _NOTHING
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
        probe = frames.probe(payload)
        if probe.event == "notice":
            notice = VenueNotice(
                venue=OKX, code=probe.code[:EXCERPT_CHARS], text=probe.msg[:EXCERPT_CHARS], ts_recv_ns=ts_recv_ns
            )
            return (notice,)
        if probe.event in _QUIET_EVENTS and probe.code in {"", "0"}:
            return _NOTHING
        if probe.event or probe.code not in {"", "0"}:
            raise WireFault(RejectReason.VENUE_ERROR, f"{probe.event} {probe.code} {probe.msg} {probe.channel}")
        channel, symbol = probe.arg.channel, probe.arg.inst_id
        market = self._markets.get(symbol)
        if channel == self._book_channel and market is not None:
            return market.depth(payload, ts_recv_ns)
        if channel == "bbo-tbt" and market is not None:
            return market.best(payload, ts_recv_ns)
        decode = self._rows.get(channel)
        if decode is not None:
            return decode(payload, ts_recv_ns)
        unknown = market is None and (channel in BOOK_CHANNELS or channel == "bbo-tbt")
        raise WireFault(
            RejectReason.UNKNOWN_SYMBOL if unknown else RejectReason.UNKNOWN_EVENT, f"{channel} {symbol}".strip()
        )

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


def _listed(listing: Listing, ts_recv_ns: int) -> list[InstrumentStatus]:
    return [
        InstrumentStatus(
            instrument_id=listed.instrument.instrument_id,
            symbol=listed.instrument.symbol,
            status=listed.state,
            tradable=listed.tradable,
            rules_version=listed.instrument.rules_version,
            ts_recv_ns=ts_recv_ns,
        )
        for listed in listing.instruments
    ]


def _granted(payload: bytes) -> None:
    """Raises `WireFault` unless a REST reply has code 0."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
    probe = frames.probe(payload)
    if probe.code != "0":
        raise WireFault(RejectReason.VENUE_ERROR, f"{probe.code} {probe.msg}")


def _check(row: frames.Row, arg: frames.Arg) -> None:
    if arg.inst_id and row.inst_id != arg.inst_id:
        raise WireFault(RejectReason.SYMBOL_MISMATCH, f"{row.inst_id} under {arg.inst_id}")


def _position_of(one: frames.Taken) -> PositionSide:
    """A buy closes a short; the position's own side, where it is stated, says the same."""
    side = PositionSide.SHORT if one.side == "buy" else PositionSide.LONG
    if one.pos_side in {"long", "short"} and one.pos_side != side.value:
        raise WireFault(RejectReason.MALFORMED, f"a {one.side} that closes a {one.pos_side}")
    return side
