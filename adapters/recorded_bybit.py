"""Bybit v5 traffic as it was recorded: what a line is about, before and after the grid of its symbol is known.

Each depth of a symbol is a book of its own, with a codec of its own. Owns the shapes of recorded lines; decoding is
`adapters.bybit.codec`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import BYBIT, decode_listing
from adapters.recorded_venue import Facts, Survey
from adapters.recordings import Kind, Recorded
from trading.instruments import Instrument
from trading.market.events import BookTicker, VenueEvent
from trading.market.stitch import BookSync, SequenceRule
from trading.market.stream_stitch import StreamSync


class _Trade(msgspec.Struct, gc=False):
    s: str = ""
    p: str = ""
    v: str = ""


class _Depth(msgspec.Struct, gc=False):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Frame(msgspec.Struct, gc=False):
    topic: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_frame = msgspec.json.Decoder(_Frame).decode
_depth = msgspec.json.Decoder(_Depth).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode


class BybitRecorded:
    """The reader of Bybit v5; spot, linear and inverse are told apart by metadata only."""

    def __init__(self) -> None:
        self.venue = BYBIT
        self._codecs: dict[int, BybitCodec] = {}
        self._depths: set[int] = set()

    def survey(self, item: Recorded, survey: Survey) -> None:
        """Note symbols, depths, numbers and metadata of one line."""
        if item.kind is Kind.FETCHED and "instruments-info" in item.url:
            listing = decode_listing(item.payload)
            if listing is not None:
                survey.listed([one.instrument for one in listing.instruments], listing.refused)
            return
        if item.kind is not Kind.RECEIVED:
            return
        try:
            frame = _frame(item.payload)
            kind, _, rest = frame.topic.partition(".")
            if kind == "orderbook":
                depth = _depth(frame.data)
                facts = survey.of(depth.s)
                facts.levels(depth.b)
                facts.levels(depth.a)
                self._note(int(rest.partition(".")[0]), facts)
            elif kind == "publicTrade":
                for trade in _trades(frame.data):
                    survey.of(trade.s).levels([(trade.p, trade.v)])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return

    def known(self) -> Sequence[Instrument]:
        """None: the same symbol is two instruments on spot and linear, and a line does not say which."""
        return ()

    def prepare(self, instruments: Sequence[Instrument]) -> None:
        """Decode with these grids from now on."""
        self._codecs = {depth: BybitCodec(instruments, book_depth=depth) for depth in sorted(self._depths or {50})}

    def books(self, instrument: Instrument, facts: Facts) -> dict[str, BookSync]:
        """The books of one symbol, one for each recorded depth."""
        depths = sorted(facts.depths)
        if not depths and facts.tickers:
            return {"": StreamSync(instrument.instrument_id, SequenceRule.BYBIT, mode="bbo")}
        return {f"orderbook.{depth}": StreamSync(instrument.instrument_id, SequenceRule.BYBIT) for depth in depths}

    def events(self, item: Recorded) -> Iterator[tuple[str, VenueEvent]]:
        """The events of one line; those of a book go to the book of their depth, a best bid and ask to all."""
        if item.kind is not Kind.RECEIVED:
            return
        depth = self._depth_of(item.payload)
        codec = self._codecs.get(depth) or next(iter(self._codecs.values()))
        for event in codec.decode(item.payload, item.ts_ns):
            yield ("" if depth <= 1 or isinstance(event, BookTicker) else f"orderbook.{depth}"), event

    def on_connected(self) -> None:
        """Forget what deltas add to."""
        for codec in self._codecs.values():
            codec.on_connected()

    def finer_quantities(self) -> dict[str, int]:
        """By instrument_id: how many quantities were finer than the lot, at all depths."""
        found: dict[str, int] = {}
        for codec in self._codecs.values():
            for name, count in codec.finer_quantities().items():
                found[name] = found.get(name, 0) + count
        return found

    def _note(self, depth: int, facts: Facts) -> None:
        if depth > 1:
            facts.depths.add(depth)
            self._depths.add(depth)
        else:
            facts.tickers += 1

    @staticmethod
    def _depth_of(payload: bytes) -> int:
        """The depth of an ``orderbook`` message, 0 of any other."""
        at = payload.find(b'"orderbook.', 0, 200)
        number = payload[at + 11 : at + 15].partition(b".")[0]
        return int(number) if at >= 0 and number.isdigit() else 0
