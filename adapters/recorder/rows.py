"""From recorded lines to rows: the real codecs and the real proof of the books, one wire log after the other.

Owns what has to be remembered between lines (books, trade ids, how far event time has come). Writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.recorder import tables
from adapters.recorder.notes import ConnectedNote, DisconnectedNote, PolledNote, read_note
from adapters.recorder.tables import Kind
from adapters.venue_codecs import open_codec, open_sync
from adapters.wirelog import NOTE_HEAD, WireLine, is_snapshot
from trading.instruments import Instrument
from trading.market.events import (
    BookState,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    Level,
    Trade,
    VenueEvent,
    WireRejected,
)
from trading.market.stitch import BookSync, SyncResult
from trading.market.watermarks import StreamKey, Watermarks

NO_SYMBOL = "none"
EXCERPT_CHARS = 200

_DOUBTS = frozenset(
    {
        SyncResult.GAP,
        SyncResult.CROSSED,
        SyncResult.MISMATCH,
        SyncResult.HORIZON,
        SyncResult.CHECKSUM,
        SyncResult.RESET,
        SyncResult.SNAPSHOT_TOO_OLD,
    }
)

Emit = Callable[[str, Kind, int, bytes], None]
"""Told the instrument, the kind, the receive time and the row."""

_Shown = tuple[BookState, Level | None, Level | None]


class RowMaker:
    """Reads the lines of one chain of wire logs (one venue, one symbol) in order and emits rows.

    A book's top is emitted at each change of its touch or state; it is null while the book is not proved.
    """

    def __init__(self, venue: str, instruments: Sequence[Instrument], emit: Emit) -> None:
        self.venue = venue
        self.emit = emit
        self._codec = open_codec(venue, instruments)
        self._instruments = {one.instrument_id: one for one in instruments}
        self._ids = {one.symbol: one.instrument_id for one in instruments}
        self._books: dict[str, BookSync] = {}
        self._shown: dict[str, _Shown] = {}
        self._watermarks = Watermarks()
        self._trade_id: dict[str, int] = {}
        # Binance numbers its trades without holes (recordings of 2023 and 2024); OKX and Bybit do not.
        self._numbered = venue in BINANCE_VENUES

    @property
    def proved(self) -> bool:
        """Whether books and trades were met, and every book is SYNCED: what came earlier changes nothing any more."""
        return bool(self._books and self._trade_id) and all(
            sync.state is BookState.SYNCED for sync in self._books.values()
        )

    def begin_log(self, emit: Emit) -> None:
        """Another log begins. Lateness is told within one log: its rows do not depend on where reading began."""
        self.emit = emit
        self._watermarks = Watermarks()

    def take(self, item: WireLine | WireRejected, line: int) -> int:
        """One line, as its file's ``line``th; how many events it was."""
        if isinstance(item, WireRejected):
            self._reject(item, line)
            return 1
        if item.payload.startswith(NOTE_HEAD):
            return self._note(item, line)
        if is_snapshot(item.payload):
            name = self._ids.get(item.symbol, item.symbol)
            events: Sequence[VenueEvent] = (self._codec.decode_snapshot(item.payload, name, item.ts_recv_ns),)
        else:
            decoded = self._codec.decode(item.payload, item.ts_recv_ns)
            if decoded is None:
                return 0
            events = decoded if isinstance(decoded, Sequence) else (decoded,)
        return self._take_all(events, line, item.ts_recv_ns)

    def _take_all(self, events: Sequence[VenueEvent], line: int, ts_ns: int) -> int:
        for event in events:
            self._take(event, line, ts_ns)
        return len(events)

    def _note(self, item: WireLine, line: int) -> int:
        """What the recorder knew beside the bytes: replies to requests, and seams between connections."""
        note = read_note(item.payload)
        name = self._ids.get(item.symbol, item.symbol)
        match note:
            case PolledNote():
                events = self._codec.decode_polled(note.channel, bytes(note.body), name, item.ts_recv_ns)
                return self._take_all(events, line, item.ts_recv_ns)
            case ConnectedNote():
                self._codec.on_connected()
                return 0
            case DisconnectedNote():
                sync = self._books.get(name)
                self.emit(name, Kind.GAP, item.ts_recv_ns, _seam(line, item.ts_recv_ns, note.reason))
                if sync is not None:
                    sync.on_disconnected(item.ts_recv_ns)
                    self._show(sync, name, line, (0, item.ts_recv_ns))
                return 1
            case None:
                shown = item.payload[:EXCERPT_CHARS].decode("utf-8", "replace")
                rejected = WireRejected(
                    venue=self.venue, reason="unknown_note", excerpt=shown, ts_recv_ns=item.ts_recv_ns
                )
                self._reject(rejected, line)
                return 1

    def _take(self, event: VenueEvent, line: int, ts_ns: int) -> None:
        match event:
            case DepthUpdate() | DepthSnapshot():
                self._depth(event, line)
            case BookTicker():
                self.emit(event.instrument_id, Kind.QUOTE, ts_ns, tables.quote_row(event, line))
                sync = self._books.get(event.instrument_id)
                if sync is not None:
                    self._judge(sync, sync.on_ticker(event), event, line, event.update_id)
            case Trade():
                self._trade(event, line)
            case WireRejected():
                self._reject(event, line)
            case _:
                name = getattr(event, "instrument_id", NO_SYMBOL)
                self.emit(name, tables.kind_of(event), ts_ns, tables.other_row(event, line))

    def _reject(self, event: WireRejected, line: int) -> None:
        self.emit(NO_SYMBOL, Kind.REJECT, event.ts_recv_ns, tables.other_row(event, line))

    def _depth(self, event: DepthUpdate | DepthSnapshot, line: int) -> None:
        name = event.instrument_id
        sync = self._books.get(name)
        if sync is None:
            sync = self._books[name] = open_sync(self._codec, self._instruments[name])
        if isinstance(event, DepthSnapshot):
            first = event.last_update_id
            result = sync.on_snapshot(event)
        else:
            first = event.first_update_id
            result = sync.on_update(event)
        self.emit(name, Kind.DEPTH, event.ts_recv_ns, tables.depth_row(event, line, result.value))
        self._judge(sync, result, event, line, first)

    def _judge(
        self, sync: BookSync, result: SyncResult, event: DepthUpdate | DepthSnapshot | BookTicker, line: int, first: int
    ) -> None:
        """Say what the message made of the book."""
        name, book = event.instrument_id, sync.book
        if result in _DOUBTS:
            row = tables.gap_row(line, event.ts_recv_ns, result.value, sync.reason, (book.update_id + 1, first - 1))
            self.emit(name, Kind.GAP, event.ts_recv_ns, row)
        self._show(sync, name, line, (event.ts_event_ns, event.ts_recv_ns))

    def _show(self, sync: BookSync, name: str, line: int, times_ns: tuple[int, int]) -> None:
        """Emit the touch and the state when they changed."""
        book, state = sync.book, sync.state
        proved = state is BookState.SYNCED
        bid, ask = (book.best_bid(), book.best_ask()) if proved else (None, None)
        shown = (state, bid, ask)
        if self._shown.get(name) != shown:
            self._shown[name] = shown
            row = tables.bbo_row(line, times_ns, state.value, book.update_id if proved else -1, (bid, ask))
            self.emit(name, Kind.BBO, times_ns[1], row)

    def _trade(self, event: Trade, line: int) -> None:
        name = event.instrument_id
        key = StreamKey(self.venue, name, Kind.TRADE.value)
        lateness = self._watermarks.on_message(key, event.trade_id, event.ts_event_ns, event.ts_recv_ns)
        last = self._trade_id.get(name, -1)
        if event.trade_id > last:
            self._trade_id[name] = event.trade_id
            if self._numbered and last >= 0 and event.trade_id != last + 1:
                text = f"{event.trade_id - last - 1} trades between {last} and {event.trade_id}"
                row = tables.gap_row(line, event.ts_recv_ns, "trades", text, (last + 1, event.trade_id - 1))
                self.emit(name, Kind.GAP, event.ts_recv_ns, row)
        self.emit(name, Kind.TRADE, event.ts_recv_ns, tables.trade_row(event, line, lateness))


def _seam(line: int, ts_ns: int, reason: str) -> bytes:
    return tables.gap_row(line, ts_ns, "disconnected", reason, (-1, -1))


def symbol_folder(instrument_id: str, instruments: dict[str, Instrument]) -> str:
    """The partition's word for an instrument: the venue's symbol; for indices and the like the end of their id."""
    one = instruments.get(instrument_id)
    text = one.symbol if one is not None else "-".join(instrument_id.split(":")[1:]) or instrument_id
    return quote(text, safe="")
