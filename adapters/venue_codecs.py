"""Which codec reads a venue's market data and which proof its books follow: the choice, in one place.

Owns no format and no rule: those are the codecs' (`adapters.binance`, `adapters.okx`, `adapters.bybit`) and the
stitchers' (`trading.market.stitch`, `trading.market.stream_stitch`); venues that are read through ccxt have one codec
and one proof for all (`adapters.ccxt_venues`). Owns what the desk asks of any venue's REST reply: that it speaks of
what was asked for, and that a listing's filters are told for the instruments that are followed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from adapters.binance.codec import BinanceCodec
from adapters.binance.grid import RejectReason, WireFault
from adapters.binance.instruments import INSTRUMENTS as BINANCE_INSTRUMENTS
from adapters.binance.replies import EXCERPT_CHARS, Replies, as_refused, rejected
from adapters.bybit import instruments as bybit_rules
from adapters.bybit import replies as bybit_replies
from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import BYBIT
from adapters.bybit.instruments import INSTRUMENTS as BYBIT_INSTRUMENTS
from adapters.ccxt_venues.codec import CcxtCodec
from adapters.ccxt_venues.frames import read_listing
from adapters.ccxt_venues.instruments import INSTRUMENTS as CCXT_INSTRUMENTS
from adapters.ccxt_venues.instruments import VENUES as CCXT_VENUES
from adapters.ccxt_venues.proof import ShadowedSync
from adapters.ccxt_venues.spec import PROOF_MS
from adapters.okx import instruments as okx_rules
from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.okx.instruments import OKX, type_of
from adapters.universe_listings import binance_listing
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import DepthSnapshot, InstrumentStatus, VenueEvent, WireRejected
from trading.market.stitch import BookSync, SequenceRule
from trading.market.stream_stitch import ChecksumOf, StreamSync

KNOWN: dict[str, Instrument] = {
    one.instrument_id: one
    for one in (
        *BINANCE_INSTRUMENTS,
        *OKX_INSTRUMENTS,
        *(each for category in BYBIT_INSTRUMENTS.values() for each in category),
        *CCXT_INSTRUMENTS,
    )
}
"""Every instrument that propdesk describes itself, by canonical id."""

MAX_REPLY_BYTES = 32 << 20
"""A futures exchangeInfo or a spot listing in full is several MB."""

_WITHOUT_EVENTS = frozenset({"funding_info"})
_OKX_ROWS = {
    "open_interest": "open-interest",
    "funding_rate": "funding-rate",
    "mark_price": "mark-price",
    "index_tickers": "index-tickers",
    "ticker": "tickers",
}
"""The desk's words for what OKX's codec reads as rows of a channel."""


class VenueCodec(Protocol):
    """A venue's market data: bytes to events. Pure, and no input makes it raise."""

    def decode(self, payload: bytes, ts_recv_ns: int) -> VenueEvent | Sequence[VenueEvent] | None:
        """The event or events of one message of the stream; None or nothing for what says nothing of a market."""
        ...

    def decode_snapshot(self, payload: bytes, instrument_id: str, ts_recv_ns: int) -> DepthSnapshot | WireRejected:
        """A REST reply with a book, which need not name its instrument."""
        ...

    def decode_polled(self, channel: str, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """The events of another REST reply; ``channel`` is the dialect's word for what was asked.

        ``instrument_id`` is what it was asked of, "" where it was asked of all. What cannot be read, and what says
        nothing of what was asked, is a `WireRejected` whose excerpt begins with the channel.
        """
        ...

    def checksum_of(self, instrument_id: str) -> ChecksumOf | None:
        """What makes the venue's checksum of a book; None where it has none."""
        ...

    def on_connected(self) -> None:
        """A connection was made anew: forget what its messages add to."""
        ...


class _Rules(msgspec.Struct, frozen=True, gc=False):
    """One market of a listing, in words that all venues share."""

    instrument: Instrument
    status: str
    tradable: bool


class _Listed(msgspec.Struct, frozen=True, gc=False):
    """A listing: what could be read, by symbol why the rest could not, and whose absence from it says something."""

    markets: Sequence[_Rules]
    refused: Mapping[str, str]
    covers: Callable[[Instrument], bool]


class _BinanceList(msgspec.Struct, gc=False):
    symbols: list[msgspec.Raw]


class _BinanceName(msgspec.Struct, gc=False):
    symbol: str


class _OkxList(msgspec.Struct, gc=False):
    data: list[msgspec.Raw]
    code: str = "0"
    msg: str = ""


class _OkxName(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    inst_type: str


_binance_list = msgspec.json.Decoder(_BinanceList).decode
_binance_name = msgspec.json.Decoder(_BinanceName).decode
_okx_list = msgspec.json.Decoder(_OkxList).decode
_okx_name = msgspec.json.Decoder(_OkxName).decode
_FAULTS = (WireFault, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


class _Polled:
    """What is common to the replies of all venues; a venue's ``listed`` and ``reply`` read them. Does not raise."""

    def __init__(
        self,
        venue: str,
        instruments: Sequence[Instrument],
        listed: Callable[[bytes], _Listed],
        reply: Callable[[str, bytes, str, int], Sequence[VenueEvent]],
    ) -> None:
        self._venue = venue
        self._instruments = tuple(instruments)
        self._by_id = {instrument.instrument_id: instrument for instrument in instruments}
        self._listed = listed
        self._reply = reply

    def decode(self, channel: str, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """See `VenueCodec.decode_polled`."""
        try:
            if instrument_id and instrument_id not in self._by_id:
                raise WireFault(RejectReason.UNKNOWN_SYMBOL, instrument_id)
            if len(payload) > MAX_REPLY_BYTES:
                raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
            if channel == "instruments":
                return self._statuses(self._listed(payload), instrument_id, ts_recv_ns)
            found = self._of(instrument_id, self._reply(channel, payload, instrument_id, ts_recv_ns))
            if not found and channel not in _WITHOUT_EVENTS:
                raise WireFault(RejectReason.UNKNOWN_SYMBOL, f"says nothing of {instrument_id or 'any instrument'}")
        except _FAULTS as fault:
            return (rejected(self._venue, channel, fault, payload, ts_recv_ns),)
        return [self._named(event, channel) if type(event) is WireRejected else event for event in found]

    def _of(self, instrument_id: str, events: Sequence[VenueEvent]) -> Sequence[VenueEvent]:
        """The events without those of other instruments than the one that was asked for."""
        if not instrument_id:
            return events
        others = self._by_id.keys() - {instrument_id}
        return [event for event in events if getattr(event, "instrument_id", "") not in others]

    def _named(self, event: WireRejected, channel: str) -> WireRejected:
        if event.excerpt.startswith(f"{channel[:40]}: "):
            return event
        return msgspec.structs.replace(event, excerpt=f"{channel[:40]}: {event.excerpt}"[:EXCERPT_CHARS])

    def _statuses(self, listed: _Listed, instrument_id: str, ts_recv_ns: int) -> list[VenueEvent]:
        """The rules of what was asked for; a `WireRejected` for each instrument whose rules are not to be had."""
        asked = self._by_id.get(instrument_id)
        wanted = [i for i in self._instruments if (asked is None or i is asked) and listed.covers(i)]
        if not wanted:
            raise WireFault(RejectReason.UNKNOWN_SYMBOL, f"says nothing of {instrument_id or 'any instrument'}")
        found = {market.instrument.symbol: market for market in listed.markets}
        events: list[VenueEvent] = []
        for instrument in wanted:
            market, why = found.get(instrument.symbol), listed.refused.get(instrument.symbol)
            if market is not None and market.instrument.instrument_id == instrument.instrument_id:
                events.append(
                    InstrumentStatus(
                        instrument_id=instrument.instrument_id,
                        symbol=instrument.symbol,
                        status=market.status[:EXCERPT_CHARS],
                        tradable=market.tradable,
                        rules_version=market.instrument.rules_version,
                        ts_recv_ns=ts_recv_ns,
                    )
                )
                continue
            if market is not None:
                # The name has come to mean another market: what it states is no rule of ours.
                other = market.instrument.instrument_id
                fault = WireFault(RejectReason.SYMBOL_MISMATCH, f"{instrument.symbol} is {other}")
            elif why is not None:
                fault = WireFault(RejectReason.MALFORMED, f"{instrument.symbol}: {why}")
            else:
                fault = WireFault(RejectReason.UNKNOWN_SYMBOL, f"says nothing of {instrument.symbol}")
            events.append(rejected(self._venue, "instruments", fault, b"", ts_recv_ns))
        return events


class _Binance:
    """Binance, spot or futures."""

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        codec = BinanceCodec(venue, list(instruments))
        self.decode = codec.decode
        self.decode_snapshot = codec.decode_snapshot
        self._venue = venue
        self._symbols = frozenset(instrument.symbol for instrument in instruments)
        self._replies = Replies(venue, instruments)
        self.decode_polled = _Polled(venue, instruments, self._listed, self._reply).decode

    def _listed(self, payload: bytes) -> _Listed:
        """An exchangeInfo. Futures state every symbol of the venue: filters are read of those that are followed."""
        try:
            stated = _binance_list(payload).symbols
        except _FAULTS as fault:
            raise as_refused(fault, payload) from fault
        mine = [raw for raw in stated if _binance_symbol(raw) in self._symbols]
        listing = binance_listing(self._venue, msgspec.json.encode({"symbols": mine}), 0)
        if listing is None:
            raise WireFault(RejectReason.MALFORMED, "not an exchangeInfo")
        markets = [_Rules(m.instrument, m.status, m.tradable) for m in listing.markets.values()]
        return _Listed(markets, listing.refused, lambda _: True)

    def _reply(self, channel: str, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        found = self._replies.decode(channel, payload, instrument_id, ts_recv_ns)
        return found[-1:] if channel == "long_short_ratio" and instrument_id else found

    def checksum_of(self, instrument_id: str) -> ChecksumOf | None:
        return None

    def on_connected(self) -> None:
        """Its messages add to nothing."""


class _Okx:
    def __init__(self, instruments: Sequence[Instrument]) -> None:
        codec = OkxCodec(instruments)
        self.decode = codec.decode
        self.decode_snapshot = codec.decode_snapshot
        self.checksum_of = codec.checksum_of
        self._codec = codec
        self._symbols = frozenset(instrument.symbol for instrument in instruments)
        self.decode_polled = _Polled(OKX, instruments, self._listed, self._reply).decode

    def _listed(self, payload: bytes) -> _Listed:
        """Instruments of one type, or of several; those of another type are not missing from it."""
        reply = _okx_list(payload)
        if reply.code != "0":
            raise WireFault(RejectReason.VENUE_ERROR, f"{reply.code} {reply.msg}")
        names = [(_okx_name(raw), raw) for raw in reply.data]
        types = {name.inst_type for name, _ in names}
        mine = [raw for name, raw in names if name.inst_id in self._symbols]
        listing = okx_rules.decode_listing(msgspec.json.encode({"code": "0", "data": mine}))
        if listing is None:
            raise WireFault(RejectReason.MALFORMED, "not a listing")
        markets = [_Rules(m.instrument, m.state, m.tradable) for m in listing.instruments]
        return _Listed(markets, listing.refused, lambda instrument: type_of(instrument) in types)

    def _reply(self, channel: str, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        if channel == "long_short_ratio":
            return self._codec.decode_ratios(payload, instrument_id, ts_recv_ns)[-1:]
        found = self._codec.decode_reply(_OKX_ROWS.get(channel, channel), payload, ts_recv_ns)
        # The history is told newest first; here, as of all venues, the oldest comes first.
        return found[::-1] if channel == "funding_rate" else found

    def on_connected(self) -> None:
        """Its messages add to nothing."""


class _Bybit:
    def __init__(self, instruments: Sequence[Instrument]) -> None:
        codec = BybitCodec(instruments)
        self.decode = codec.decode
        self.on_connected = codec.on_connected
        self._codec = codec
        self._replies = bybit_replies.Replies(instruments)
        self.decode_polled = _Polled(BYBIT, instruments, self._listed, self._reply).decode

    def decode_snapshot(self, payload: bytes, instrument_id: str, ts_recv_ns: int) -> DepthSnapshot | WireRejected:
        return self._codec.decode_snapshot(payload, ts_recv_ns)

    def _listed(self, payload: bytes) -> _Listed:
        """A page of a category; those of another category are not missing from it, nor those of a later page."""
        bybit_replies.granted(payload)
        page = bybit_rules.decode_listing(payload)
        if page is None:
            raise WireFault(RejectReason.MALFORMED, "not a listing")
        kind = bybit_rules.KINDS[page.category]
        markets = [_Rules(m.instrument, m.status, m.tradable) for m in page.instruments]
        return _Listed(markets, page.refused, lambda instrument: instrument.kind is kind)

    def _reply(self, channel: str, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        if channel == "long_short_ratio":
            bybit_replies.granted(payload)
            return self._codec.decode_ratios(payload, ts_recv_ns)[-1:]
        return self._replies.decode(channel, payload, ts_recv_ns)

    def checksum_of(self, instrument_id: str) -> ChecksumOf | None:
        return None


class _Ccxt:
    """A venue through ccxt: nothing but its listing is polled, for the rest are frames."""

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        codec = CcxtCodec(venue, instruments)
        self.decode = codec.decode
        self.decode_snapshot = codec.decode_snapshot
        self.on_connected = codec.on_connected
        self._venue = venue
        self.decode_polled = _Polled(venue, instruments, self._listed, self._reply).decode

    def _listed(self, payload: bytes) -> _Listed:
        """The markets that are followed; one that is missing is not listed any more."""
        listing = read_listing(self._venue, payload, 0)
        if listing is None:
            raise WireFault(RejectReason.MALFORMED, "not a listing")
        markets = [_Rules(m.instrument, m.status, m.tradable) for m in listing.markets.values()]
        return _Listed(markets, listing.refused, lambda _: True)

    def _reply(self, channel: str, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        raise WireFault(RejectReason.MALFORMED, f"{channel} is not polled here")

    def checksum_of(self, instrument_id: str) -> ChecksumOf | None:
        return None


def _binance_symbol(raw: msgspec.Raw) -> str:
    """A symbol's name; "" where there is none: whoever follows it misses it."""
    try:
        return _binance_name(raw).symbol
    except _FAULTS:
        return ""


def open_codec(venue: str, instruments: Sequence[Instrument]) -> VenueCodec:
    """The codec of a venue for these instruments."""
    if venue == OKX:
        return _Okx(instruments)
    if venue == BYBIT:
        return _Bybit(instruments)
    if venue in CCXT_VENUES:
        return _Ccxt(venue, instruments)
    return _Binance(venue, instruments)


def open_sync(
    codec: VenueCodec, instrument: Instrument, *, bbo_only: bool = False, proof_ms: int = PROOF_MS
) -> BookSync:
    """The machine that vouches for the book of an instrument; ``bbo_only`` where there is no snapshot to begin with.

    ``proof_ms`` is how long a proof by comparison lasts, where there is no other.
    """
    if instrument.venue in CCXT_VENUES:
        return ShadowedSync(instrument.instrument_id, proof_ms=proof_ms)
    name, mode = instrument.instrument_id, "bbo" if bbo_only else "depth"
    if instrument.venue == OKX:
        return StreamSync(name, SequenceRule.OKX, mode=mode, checksum_of=codec.checksum_of(name))  # type: ignore[arg-type]
    if instrument.venue == BYBIT:
        return StreamSync(name, SequenceRule.BYBIT, mode=mode)  # type: ignore[arg-type]
    rule = SequenceRule.SPOT if instrument.kind is InstrumentKind.SPOT else SequenceRule.FUTURES
    return BookSync(name, rule, mode=mode)  # type: ignore[arg-type]
