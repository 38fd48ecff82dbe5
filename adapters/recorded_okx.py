"""OKX v5 traffic as it was recorded: what a line is about, before and after the grid of its symbol is known.

Each channel of books of a symbol is a book of its own, with a codec of its own. Owns the shapes of recorded lines;
decoding is `adapters.okx.codec`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.okx.codec import BOOK_CHANNELS, OkxCodec
from adapters.okx.instruments import INSTRUMENTS, OKX, decode_listing
from adapters.recorded_venue import Facts, Survey
from adapters.recordings import Kind, Recorded
from trading.instruments import Instrument
from trading.market.events import DepthSnapshot, DepthUpdate, VenueEvent
from trading.market.stitch import BookSync, SequenceRule
from trading.market.stream_stitch import StreamSync


class _Arg(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    channel: str = ""
    inst_id: str = ""


class _Row(msgspec.Struct, gc=False):
    asks: list[list[str]] = []
    bids: list[list[str]] = []
    px: str = ""
    sz: str = ""


class _Frame(msgspec.Struct, gc=False):
    arg: _Arg
    data: list[_Row] = []


class _Named(msgspec.Struct, gc=False):
    arg: _Arg = _Arg()


_frame = msgspec.json.Decoder(_Frame).decode
_named = msgspec.json.Decoder(_Named).decode
_FAULTS = (msgspec.MsgspecError, ValueError, IndexError, RecursionError)


class OkxRecorded:
    """The reader of OKX v5: spot, swap and futures."""

    def __init__(self) -> None:
        self.venue = OKX
        self._codecs: dict[str, OkxCodec] = {}
        self._channels: dict[str, set[str]] = {}
        self._ids: dict[str, str] = {}

    def survey(self, item: Recorded, survey: Survey) -> None:
        """Note symbols, channels, numbers and metadata of one line."""
        if item.kind is Kind.FETCHED and "/public/instruments" in item.url:
            listing = decode_listing(item.payload)
            if listing is not None:
                survey.listed([one.instrument for one in listing.instruments], listing.refused)
            return
        if item.kind is not Kind.RECEIVED:
            return
        try:
            frame = _frame(item.payload)
            symbol, channel = frame.arg.inst_id, frame.arg.channel
            if not frame.data or not symbol or channel not in {*BOOK_CHANNELS, "bbo-tbt", "trades"}:
                return
            facts = survey.of(symbol)
            if channel in BOOK_CHANNELS:
                self._channels.setdefault(symbol, set()).add(channel)
            facts.tickers += channel == "bbo-tbt"
            for row in frame.data:
                facts.levels(row.asks)
                facts.levels(row.bids)
                if row.px and row.sz:
                    facts.levels([(row.px, row.sz)])
        except _FAULTS:
            return

    def known(self) -> Sequence[Instrument]:
        """The instruments of propdesk's own table."""
        return INSTRUMENTS

    def prepare(self, instruments: Sequence[Instrument]) -> None:
        """Decode with these grids from now on."""
        wanted = {channel for channels in self._channels.values() for channel in channels} or {BOOK_CHANNELS[0]}
        self._codecs.update({name: OkxCodec(instruments, book_channel=name) for name in sorted(wanted)})
        self._ids = {one.symbol: one.instrument_id for one in instruments}

    def books(self, instrument: Instrument, facts: Facts) -> dict[str, BookSync]:
        """The books of one symbol, one for each recorded channel."""
        name = instrument.instrument_id
        channels = sorted(self._channels.get(facts.symbol, ()))
        if not channels and facts.tickers:
            return {"bbo-tbt": StreamSync(name, SequenceRule.OKX, mode="bbo")}
        return {
            channel: StreamSync(name, SequenceRule.OKX, checksum_of=self._codecs[channel].checksum_of(name))
            for channel in channels
        }

    def events(self, item: Recorded) -> Iterator[tuple[str, VenueEvent]]:
        """The events of one line; those of a book go to the book of their channel, a best bid and ask to all."""
        if item.kind is Kind.FETCHED and "/market/books" in item.url:
            symbol = parse_qs(urlsplit(item.url).query).get("instId", [""])[0]
            codec = next(iter(self._codecs.values()))
            yield "", codec.decode_snapshot(item.payload, self._ids.get(symbol, symbol), item.ts_ns)
            return
        if item.kind is not Kind.RECEIVED:
            return
        channel = self._channel_of(item.payload)
        codec = self._codecs.get(channel) or next(iter(self._codecs.values()))
        for event in codec.decode(item.payload, item.ts_ns):
            yield (channel if isinstance(event, DepthUpdate | DepthSnapshot) else ""), event

    def on_connected(self) -> None:
        """OKX's messages add to nothing that the codec remembers."""

    def finer_quantities(self) -> dict[str, int]:
        """By instrument_id: how many quantities were finer than the lot, in all channels."""
        found: dict[str, int] = {}
        for codec in self._codecs.values():
            for name, count in codec.finer_quantities().items():
                found[name] = found.get(name, 0) + count
        return found

    @staticmethod
    def _channel_of(payload: bytes) -> str:
        """The channel of a push; empty for anything else."""
        if payload[:19] == b'{"arg":{"channel":"':
            return payload[19 : payload.find(b'"', 19, 80)].decode("utf-8", "replace")
        try:
            return _named(payload).arg.channel
        except _FAULTS:
            return ""
