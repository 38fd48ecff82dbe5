"""Frames of `frames` to the desk's events. Pure, and no input makes it raise.

ccxt hands over whole books. The first of a connection begins a book (`DepthSnapshot`, ``in_stream``), each later one is
told as what changed since (`DepthUpdate`, ``prev_final_update_id`` the number before), so that gates see which side
moved and a recording holds every book whole. A book by REST is a `DepthSnapshot` beside the stream. Equal numbers with
equal levels are a sign of life: an update of nothing whose numbers stand still.

A number that went back is a reply of a node that lags: it is left out, a few times in a row; then the venue numbers
anew, and the book begins again. A level off the instrument's grid, and a crossed book, refuse the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from adapters.ccxt_venues import frames
from adapters.streams import reserve_events as read
from trading.instruments import Instrument
from trading.market.events import DepthSnapshot, DepthUpdate, Level, VenueEvent, WireRejected

MAX_FRAME_BYTES: Final = 1 << 20
LEVELS_MAX: Final = 1_000
_OLD_IN_A_ROW = 5
_FAULTS = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


class _Head(msgspec.Struct, gc=False):
    ccxt: str


_head = msgspec.json.Decoder(_Head).decode
_book = msgspec.json.Decoder(frames.BookFrame).decode
_rows = msgspec.json.Decoder(frames.RowsFrame).decode


class _Told:
    """The newest book of an instrument, as it was told."""

    __slots__ = ("asks", "bids", "number", "old_left")

    def __init__(self, number: int, bids: dict[int, int], asks: dict[int, int]) -> None:
        self.number = number
        self.bids = bids
        self.asks = asks
        self.old_left = _OLD_IN_A_ROW


class CcxtCodec:
    """One venue's frames."""

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        self._venue = venue
        self._by_symbol = {one.symbol: one for one in instruments}
        self._by_id = {one.instrument_id: one for one in instruments}
        self._told: dict[str, _Told] = {}

    def on_connected(self) -> None:
        """A connection was made anew: every book begins again."""
        self._told.clear()

    def decode(self, payload: bytes, ts_recv_ns: int) -> VenueEvent | Sequence[VenueEvent] | None:
        """The event or events of one frame."""
        if len(payload) > MAX_FRAME_BYTES:
            return self._refused("too_large", f"{len(payload)} bytes", ts_recv_ns)
        try:
            kind, _, symbol = _head(payload).ccxt.partition(".")
            instrument = self._by_symbol.get(symbol)
            if instrument is None:
                return self._refused("unknown_symbol", payload, ts_recv_ns)
            match kind:
                case frames.BOOK:
                    return self._live(_depth(payload, instrument, ts_recv_ns))
                case frames.SHADOW:
                    return _depth(payload, instrument, ts_recv_ns)
                case frames.TRADES:
                    return read.trades_of(_rows(payload).rows, instrument, ts_recv_ns)
                case frames.TICKER:
                    (row,) = _rows(payload).rows
                    return read.ticker_of(row, instrument, ts_recv_ns)
                case _:
                    return self._refused("unknown_kind", payload, ts_recv_ns)
        except _FAULTS as fault:
            return self._refused("malformed", f"{fault}: {payload[:100]!r}", ts_recv_ns)

    def decode_snapshot(self, payload: bytes, instrument_id: str, ts_recv_ns: int) -> DepthSnapshot | WireRejected:
        """A frame that is a book by REST."""
        instrument = self._by_id.get(instrument_id)
        if instrument is None or len(payload) > MAX_FRAME_BYTES:
            return self._refused("unknown_symbol", instrument_id, ts_recv_ns)
        try:
            return _depth(payload, instrument, ts_recv_ns)
        except _FAULTS as fault:
            return self._refused("malformed", f"{fault}: {payload[:100]!r}", ts_recv_ns)

    def _live(self, book: DepthSnapshot | WireRejected) -> DepthSnapshot | DepthUpdate | WireRejected | None:
        if isinstance(book, WireRejected):
            return book
        number, bids, asks = book.last_update_id, dict(book.bids), dict(book.asks)
        told = self._told.get(book.instrument_id)
        if told is not None and 0 <= number < told.number and told.old_left:
            told.old_left -= 1
            return None
        if told is None or number < max(0, told.number):
            # Without a number every book is a beginning, and nothing can be proved of it.
            self._told[book.instrument_id] = _Told(number, bids, asks)
            return msgspec.structs.replace(book, in_stream=True)
        before, told.number, told.old_left = told.number, number, _OLD_IN_A_ROW
        changed_bids, changed_asks = _changes(told.bids, bids), _changes(told.asks, asks)
        told.bids, told.asks = bids, asks
        return DepthUpdate(
            instrument_id=book.instrument_id,
            first_update_id=min(before + 1, number),
            final_update_id=number,
            prev_final_update_id=before,
            bids=changed_bids,
            asks=changed_asks,
            ts_event_ns=book.ts_event_ns,
            ts_recv_ns=book.ts_recv_ns,
        )

    def _refused(self, reason: str, what: object, ts_recv_ns: int) -> WireRejected:
        return read.rejected(self._venue, reason, what, ts_recv_ns)


def _depth(payload: bytes, instrument: Instrument, ts_recv_ns: int) -> DepthSnapshot | WireRejected:
    frame = _book(payload)
    found: Mapping[str, Any] = {
        "bids": frame.bids,
        "asks": frame.asks,
        "nonce": frame.number,
        "timestamp": frame.timestamp,
    }
    return read.depth_of(found, instrument, ts_recv_ns, LEVELS_MAX)


def _changes(before: dict[int, int], after: dict[int, int]) -> list[Level]:
    """What has to be set in ``before`` to make it ``after``."""
    changed = [level for level in after.items() if before.get(level[0]) != level[1]]
    if len(after) != len(before) + len(changed) or changed:
        changed += [(tick, 0) for tick in before if tick not in after]
    return changed
