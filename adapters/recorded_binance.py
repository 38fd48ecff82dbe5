"""Binance traffic as it was recorded: what a line is about, before and after the grid of its symbol is known.

Owns the shapes of recorded lines of spot, USD-M and COIN-M, REST replies among them; decoding is
`adapters.binance.codec`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec

from adapters.binance.codec import BinanceCodec
from adapters.binance.exchange_info import decode_exchange_info
from adapters.binance.instruments import SPOT, instruments_of
from adapters.recorded_venue import Facts, Survey
from adapters.recordings import Kind, Recorded
from adapters.wirelog import log_file
from trading.instruments import Instrument
from trading.market.events import VenueEvent
from trading.market.stitch import BookSync, SequenceRule

SNAPSHOT_LIMITS = (5, 10, 20, 50, 100, 500, 1000, 5000)
"""Depths that a REST book may be asked for: one with exactly so many levels was cut off there."""

Pairs = list[tuple[str, str]]


class _Message(msgspec.Struct, gc=False):
    e: str = ""
    s: str = ""
    b: str | Pairs = ""
    B: object = ""
    a: str | int | Pairs = ""
    A: object = ""
    p: str = ""
    q: str = ""
    u: int = -1


class _Frame(msgspec.Struct, gc=False):
    data: _Message


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: int  # noqa: N815 - the venue's name
    bids: Pairs
    asks: Pairs
    symbol: str = ""


_frame = msgspec.json.Decoder(_Frame).decode
_message = msgspec.json.Decoder(_Message).decode
_snapshot = msgspec.json.Decoder(_Snapshot).decode


class BinanceRecorded:
    """The reader of one of Binance's three venues."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self._codec = BinanceCodec(venue, ())
        self._ids: dict[str, str] = {}

    def survey(self, item: Recorded, survey: Survey) -> None:
        """Note symbols, numbers and metadata of one line; what cannot be read here is found by `events`."""
        if item.kind is Kind.FETCHED and "exchangeInfo" in item.url:
            listing = decode_exchange_info(item.payload, self.venue)
            if listing is not None:
                survey.listed(listing.instruments, listing.refused)
            return
        if not carries_market(item):
            return
        try:
            if is_snapshot(item.payload):
                book = _snapshot(item.payload)
                facts = survey.of(book.symbol or symbol_of(item))
                facts.snapshots += 1
                facts.snapshot_levels = max(facts.snapshot_levels, len(book.bids), len(book.asks))
                facts.levels(book.bids)
                facts.levels(book.asks)
                return
            bare = item.payload[:10] != b'{"stream":'
            message = _message(item.payload) if bare else _frame(item.payload).data
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if message.s:
            _note(message, survey.of(message.s))

    def prepare(self, instruments: Sequence[Instrument]) -> None:
        """Decode with these grids from now on."""
        self._codec = BinanceCodec(self.venue, instruments)
        self._ids = {one.symbol: one.instrument_id for one in instruments}

    def known(self) -> Sequence[Instrument]:
        """The instruments of propdesk's own table."""
        return instruments_of(self.venue)

    def books(self, instrument: Instrument, facts: Facts) -> dict[str, BookSync]:
        """The books of one symbol by label; the one of a recording without snapshots holds the ticker's touch."""
        rule = SequenceRule.SPOT if self.venue == SPOT else SequenceRule.FUTURES
        if not facts.snapshots and not facts.updates and not facts.tickers:
            return {}
        cut_off = facts.snapshot_levels if facts.snapshot_levels in SNAPSHOT_LIMITS else 0
        mode = "bbo" if not facts.snapshots and facts.tickers else "depth"
        return {"": BookSync(instrument.instrument_id, rule, mode=mode, snapshot_depth=cut_off)}  # type: ignore[arg-type]

    def events(self, item: Recorded) -> Iterator[tuple[str, VenueEvent]]:
        """The events of one line, each with the label of the book that it is for ("" is the only one)."""
        if not carries_market(item):
            return
        event: VenueEvent | None
        if is_snapshot(item.payload):
            event = self._snapshot_event(item)
        else:
            event = self._codec.decode(item.payload, item.ts_ns)
        if event is not None:
            yield "", event

    def _snapshot_event(self, item: Recorded) -> VenueEvent | None:
        try:
            symbol = _snapshot(item.payload).symbol or symbol_of(item)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            symbol = ""
        if not symbol and len(self._ids) == 1:
            (symbol,) = self._ids
        if not symbol:
            return self._codec.decode(item.payload, item.ts_ns)  # says what is wrong with it
        return self._codec.decode_snapshot(item.payload, self._ids.get(symbol, symbol), item.ts_ns)

    def on_connected(self) -> None:
        """Binance's messages add to nothing that the codec remembers."""

    def finer_quantities(self) -> dict[str, int]:
        """By instrument_id: how many quantities were finer than the lot."""
        return self._codec.finer_quantities()


def carries_market(item: Recorded) -> bool:
    """Whether a line can say something of a market."""
    return item.kind is Kind.RECEIVED or (item.kind is Kind.FETCHED and "/depth" in item.url)


def is_snapshot(payload: bytes) -> bool:
    """Whether this is a REST book: those name no stream and no event."""
    return payload[:15] == b'{"lastUpdateId"' or (b'"lastUpdateId"' in payload[:100] and b'"e"' not in payload[:60])


def symbol_of(item: Recorded) -> str:
    """The symbol of a REST book: its URL's, else that of ``<market>_<symbol>_<day>``, else empty."""
    if item.url:
        return parse_qs(urlsplit(item.url).query).get("symbol", [""])[0].upper()
    try:
        return log_file(item.path).symbol
    except ValueError:
        return ""


def _note(message: _Message, facts: Facts) -> None:
    if isinstance(message.b, list) and isinstance(message.a, list):
        facts.updates += 1
        facts.levels(message.b)
        facts.levels(message.a)
    elif isinstance(message.b, str) and message.b and isinstance(message.a, str):
        facts.tickers += 1
        facts.levels([(message.b, str(message.B)), (message.a, str(message.A))])
    elif message.p and message.q and message.e in {"trade", "aggTrade"}:
        facts.levels([(message.p, message.q)])
