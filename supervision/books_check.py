"""Are the books of a recording right: every message by the venue's own rules, checksums and best prices compared.

Owns the two passes over the files and the verdict on each book. Reading is `adapters.recordings`' and the venues'
readers'; the rules are those of `trading.market.stitch` and `stream_stitch`, the same that the desk trades by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from adapters.binance.grid import RejectReason
from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.bybit.instruments import BYBIT
from adapters.okx.instruments import OKX
from adapters.recorded_binance import BinanceRecorded
from adapters.recorded_bybit import BybitRecorded
from adapters.recorded_okx import OkxRecorded
from adapters.recorded_venue import RecordedVenue, Survey
from adapters.recordings import Kind, Recorded, Unreadable, read_recordings
from trading.instruments import Instrument
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate, VenueEvent, WireRejected
from trading.market.stitch import BookSync

VENUES: dict[str, Callable[[], RecordedVenue]] = {
    SPOT: lambda: BinanceRecorded(SPOT),
    USDM: lambda: BinanceRecorded(USDM),
    COINM: lambda: BinanceRecorded(COINM),
    OKX: OkxRecorded,
    BYBIT: BybitRecorded,
}
MAX_ERRORS = 20
PROGRESS_LINES = 100_000

_NOT_ABOUT_BOOKS = {RejectReason.UNKNOWN_EVENT.value, RejectReason.UNKNOWN_SYMBOL.value}

Progress = Callable[[str, int], None]
"""Told the pass and how many lines it has read."""


class BookVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one book. Prices and quantities as the venue spells them, without trailing zeros.

    ``mode`` depth: proved by snapshot and diffs; bbo: there is no snapshot, and the book is the ticker's best bid and
    ask. ``gaps`` counts diffs that do not follow, in both. ``compared`` is how often book and ticker stated the same
    update; ``top50`` is `Book.depth_hash` in units of ``tick`` and ``lot``.
    """

    symbol: str
    instrument_id: str
    channel: str
    grid: str
    tick: str
    lot: str
    mode: str
    messages: int
    applied: int
    dropped_old: int
    gaps: int
    resyncs: int
    snapshots: int
    resets: int
    checksums_ok: int
    checksums_failed: int
    compared: int
    mismatches: int
    finer_quantities: int
    state: str
    why: str
    update_id: int
    best_bid: tuple[str, str] | None
    best_ask: tuple[str, str] | None
    levels: tuple[int, int]
    top50: str

    @property
    def proved(self) -> bool:
        """Whether it ended SYNCED and never differed from what the venue stated."""
        return self.state == BookState.SYNCED.value and not self.checksums_failed and not self.mismatches


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a recording; ``errors`` names file and line, at most `MAX_ERRORS` of ``unreadable``."""

    venue: str
    files: tuple[str, ...]
    lines: int
    other: int
    venue_errors: int
    unreadable: int
    errors: tuple[str, ...]
    books: tuple[BookVerdict, ...]

    @property
    def right(self) -> bool:
        """Whether there are books, each of them proved, and everything could be read."""
        return bool(self.books) and not self.unreadable and all(book.proved for book in self.books)


def check_books(paths: Sequence[Path], venue: str, progress: Progress | None = None) -> CheckReport:
    """Read the files twice, first for symbols and grids, then message by message through the books."""
    check = survey_books(_told(read_recordings(paths), "first pass", progress), venue)
    for item in _told(read_recordings(paths), "second pass", progress):
        check.take(item)
    return check.report(paths)


def survey_books(items: Iterable[Recorded | Unreadable], venue: str) -> BooksCheck:
    """The first pass: the check of what these lines hold, ready for the second."""
    return BooksCheck(*surveyed(items, venue))


def surveyed(items: Iterable[Recorded | Unreadable], venue: str) -> tuple[RecordedVenue, Survey]:
    """What a check is made of: each takes a pair of its own."""
    reader = VENUES[venue]()
    survey = Survey()
    for item in items:
        if isinstance(item, Recorded):
            reader.survey(item, survey)
    survey.settle()
    return reader, survey


def _told(
    items: Iterable[Recorded | Unreadable], which: str, progress: Progress | None
) -> Iterator[Recorded | Unreadable]:
    for number, item in enumerate(items, 1):
        yield item
        if progress is not None and number % PROGRESS_LINES == 0:
            progress(which, number)


class KeptBook:
    """One book under proof, and the chain of its diffs where no snapshot lets it apply them."""

    def __init__(self, sync: BookSync, instrument: Instrument, grid: str, label: str) -> None:
        self.sync = sync
        self.instrument = instrument
        self.grid = grid
        self.label = label
        self._last = -1
        self._left = -1
        self.chain_gaps = 0

    def take(self, event: VenueEvent) -> None:
        """One event of this book."""
        match event:
            case DepthUpdate():
                if self.sync.mode == "bbo":
                    self._follow(event)
                self.sync.on_update(event)
            case DepthSnapshot():
                self.sync.on_snapshot(event)
            case BookTicker():
                self.sync.on_ticker(event)
            case _:
                pass

    def disconnected(self, now_ns: int) -> None:
        """The connection broke."""
        self._last = -1
        self.sync.on_disconnected(now_ns)

    def _follow(self, update: DepthUpdate) -> None:
        left = update.prev_final_update_id + 1 if update.prev_final_update_id >= 0 else update.first_update_id
        if self._last < 0 or left == self._last + 1:
            pass
        elif update.final_update_id <= self._last and left <= self._left:
            return
        else:
            self.chain_gaps += 1
        self._last, self._left = update.final_update_id, left

    def verdict(self, finer: int) -> BookVerdict:
        """What became of it; ``finer`` quantities were finer than the lot."""
        sync, one = self.sync, self.instrument
        counters, book = sync.counters, sync.book

        def spelt(level: tuple[int, int] | None) -> tuple[str, str] | None:
            return None if level is None else (_plain(one, level[0], True), _plain(one, level[1], False))

        return BookVerdict(
            symbol=one.symbol,
            instrument_id=one.instrument_id,
            channel=self.label,
            grid=self.grid,
            tick=f"{one.tick_size.normalize():f}",
            lot=f"{one.lot_size.normalize():f}",
            mode=sync.mode,
            messages=counters.messages,
            applied=counters.applied,
            dropped_old=counters.dropped_old,
            gaps=counters.gaps + self.chain_gaps,
            resyncs=counters.resyncs,
            snapshots=counters.snapshots,
            resets=counters.resets,
            checksums_ok=counters.checksums_ok,
            checksums_failed=counters.checksums_failed,
            compared=counters.audited,
            mismatches=counters.mismatches,
            finer_quantities=finer,
            state=sync.state.value,
            why=sync.reason or "no snapshot in the recording",
            update_id=book.update_id,
            best_bid=spelt(book.best_bid()),
            best_ask=spelt(book.best_ask()),
            levels=book.levels(),
            top50=book.depth_hash(50),
        )


class BooksCheck:
    """The second pass, line by line. ``books`` is by instrument and channel."""

    def __init__(self, reader: RecordedVenue, survey: Survey) -> None:
        self._reader = reader
        self.books: dict[str, dict[str, KeptBook]] = {}
        self._errors: list[str] = []
        self._lines = 0
        self._counts: Counter[str] = Counter()
        self._connected: set[tuple[Path, str]] = set()
        chosen: list[tuple[Instrument, str]] = []
        for symbol in sorted(survey.facts):
            if symbol in survey.refused:
                self._error(f"{symbol}: its metadata cannot be read: {survey.refused[symbol]}")
            else:
                chosen.append(survey.grid(symbol, reader.known(), reader.venue))
        reader.prepare([one for one, _ in chosen])
        for one, grid in chosen:
            books = reader.books(one, survey.facts[one.symbol])
            self.books[one.instrument_id] = {
                label: KeptBook(sync, one, grid, label) for label, sync in sorted(books.items())
            }

    def take(self, item: Recorded | Unreadable) -> None:
        """One line."""
        self._lines += 1
        if isinstance(item, Unreadable):
            self._error(f"{item.where}: {item.reason}: {item.excerpt}")
        elif item.kind is Kind.CONNECTED:
            self._on_connected(item)
        else:
            for label, event in self._reader.events(item):
                self._take(item, label, event)

    def report(self, paths: Sequence[Path]) -> CheckReport:
        """The verdicts so far."""
        finer = self._reader.finer_quantities()
        return CheckReport(
            venue=self._reader.venue,
            files=tuple(path.name for path in paths),
            lines=self._lines,
            other=self._counts["other"],
            venue_errors=self._counts["venue_error"],
            unreadable=self._counts["unreadable"],
            errors=tuple(self._errors),
            books=tuple(
                kept.verdict(finer.get(name, 0)) for name, books in self.books.items() for kept in books.values()
            ),
        )

    def _take(self, item: Recorded, label: str, event: VenueEvent) -> None:
        if isinstance(event, WireRejected):
            if event.reason in _NOT_ABOUT_BOOKS:
                self._counts["other"] += 1
            elif event.reason == RejectReason.VENUE_ERROR.value:
                self._counts["venue_error"] += 1
            else:
                self._error(f"{item.where}: {event.reason}: {event.excerpt}")
            return
        if not isinstance(event, DepthUpdate | DepthSnapshot | BookTicker):
            return
        books = self.books.get(event.instrument_id, {})
        if label:
            books = {label: kept} if (kept := books.get(label)) is not None else {}
        for kept in books.values():
            kept.take(event)

    def _on_connected(self, item: Recorded) -> None:
        """A connection that is made again: what came before proves nothing of what comes now."""
        connection = (item.path, item.url)
        if connection in self._connected:
            for books in self.books.values():
                for kept in books.values():
                    kept.disconnected(item.ts_ns)
            self._reader.on_connected()
        self._connected.add(connection)

    def _error(self, text: str) -> None:
        self._counts["unreadable"] += 1
        if len(self._errors) < MAX_ERRORS:
            self._errors.append(text)


def _plain(instrument: Instrument, units: int, is_price: bool) -> str:
    value = instrument.price(units) if is_price else instrument.qty(units)
    return f"{value.normalize():f}"
