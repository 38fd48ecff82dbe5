"""What a simulated venue trades: the market generator or a recording, and the server's own book of each instrument.

Owns the truth that oracles ask for: the book after the last diff that was released. Does not know topics or clients.
Recordings are Binance's, with their times moved to the present; the generator speaks for every venue.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from adapters.simserver.byte_edits import shifted_times
from adapters.sources import Frame, RecordingSource, SourceSpec
from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.latent import LatentMarket
from adapters.synthetic.params import MARKETS, GeneratorSpec
from trading.instruments import Instrument
from trading.market.book import Book, PyBook
from trading.market.events import DepthSnapshot, DepthUpdate, Level, Trade

BOOK_LEVELS = 12_000
LAG_NS = 2_000_000_000
TRADES_KEPT = 1_000
LAG_UPDATES_MAX = 4_096
EIGHT_HOURS_MS = 28_800_000
MS = 1_000_000


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's own book: levels in ticks and lots of the rules that hold now, after ``update_id``."""

    symbol: str
    update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Watcher(Protocol):
    """Who wants to know at once what happens on the market."""

    def on_book(self, market: Market) -> None:
        """The book changed."""
        ...

    def on_trade(self, trade: Trade) -> None:
        """A trade happened."""
        ...


class Market:
    """One instrument: its book, the same book two seconds ago, its last trades, and what was traded since the start."""

    def __init__(self, key: str, instrument: Instrument) -> None:
        self.key = key
        self.instrument = instrument
        self.book: PyBook = Book(instrument.instrument_id, BOOK_LEVELS)
        self.late: PyBook = Book(instrument.instrument_id, BOOK_LEVELS)
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self.diffs = 0
        self.ts_event_ns = 0
        self.open_ticks = self.high_ticks = self.low_ticks = 0
        self.volume_lots = 0
        self.bought_lots = 0
        self.turnover = 0  # ticks * lots
        self.first_trade_id = 0
        self.trade_count = 0
        self.watcher: Watcher | None = None
        self._pending: deque[tuple[int, DepthUpdate]] = deque()

    def on_snapshot(self, snapshot: DepthSnapshot) -> None:
        """The book begins anew."""
        self.book.apply_snapshot(snapshot)
        self.late.apply_snapshot(snapshot)
        self._pending.clear()
        self.ts_event_ns = snapshot.ts_event_ns or self.ts_event_ns
        if self.watcher is not None:
            self.watcher.on_book(self)

    def on_update(self, update: DepthUpdate, now_ns: int) -> None:
        """A released diff; one that the snapshot has already is left out."""
        if update.final_update_id <= self.book.update_id:
            return
        self.book.apply(update)
        self.diffs += 1
        self.ts_event_ns = update.ts_event_ns
        pending = self._pending
        pending.append((now_ns, update))
        while pending and (pending[0][0] < now_ns - LAG_NS or len(pending) > LAG_UPDATES_MAX):
            self.late.apply(pending.popleft()[1])
        if self.watcher is not None:
            self.watcher.on_book(self)

    def on_trade(self, trade: Trade) -> None:
        """A released trade."""
        self.trades.append(trade)
        ticks, lots = trade.price_ticks, trade.qty_lots
        if not self.trade_count:
            self.open_ticks = self.high_ticks = self.low_ticks = ticks
            self.first_trade_id = trade.trade_id
        self.trade_count += 1
        self.high_ticks = max(self.high_ticks, ticks)
        self.low_ticks = min(self.low_ticks, ticks)
        self.volume_lots += lots
        self.turnover += ticks * lots
        self.bought_lots += lots if trade.aggressor.value == "buy" else 0
        if self.watcher is not None:
            self.watcher.on_trade(trade)

    @property
    def last_ticks(self) -> int:
        """The last trade's price, the middle of the book before there is any."""
        if self.trades:
            return self.trades[-1].price_ticks
        bid, ask = self.book.best_bid(), self.book.best_ask()
        return (bid[0] + ask[0]) // 2 if bid and ask else 0

    @property
    def buyers_share(self) -> float:
        """The share of the traded volume that takers bought, drawn towards one half: whom the ratio endpoints count."""
        return (self.bought_lots + 1_000) / (self.volume_lots + 2_000)

    @property
    def open_interest_lots(self) -> int:
        """Open interest: what the day began with, and a tenth of the net taker flow since."""
        begun = 1_000_000 + 40 * max(1, self.open_ticks)
        return max(1, begun + (2 * self.bought_lots - self.volume_lots) // 10)


Released = tuple[int, str, bytes]
"""(receipt time in the source's ns, market key, payload)."""


class MarketFeed:
    """The traffic of one venue's instruments in the venue's bytes. ``keys`` are by instrument_id, unique per venue."""

    def __init__(
        self, source: SourceSpec, venue: str, instruments: Sequence[Instrument], keys: dict[str, str], now_ns: int
    ) -> None:
        self.synthetic = source.session is None
        self.venue = venue
        self.markets = {keys[one.instrument_id]: Market(keys[one.instrument_id], one) for one in instruments}
        self.latent: LatentMarket | None = None
        self._generators: dict[str, MarketGenerator] = {}
        self._recording: RecordingSource | None = None
        if self.synthetic:
            for one in instruments:
                world = GeneratorSpec(
                    seed=source.seed,
                    epoch_ns=source.anchor_ns,
                    instruments=(one.instrument_id,),
                    funding_interval_s=source.funding_interval_s,
                )
                generator = MarketGenerator(world, venue, now_ns)
                self._generators[keys[one.instrument_id]] = generator
                self.latent = self.latent or generator.latent
        else:
            self._recording = RecordingSource(source, venue, now_ns)
        self.frames = 0
        self.refused = 0

    def find(self, name: str) -> Market:
        """A market by its key or by its instrument_id; ``KeyError`` when there is none."""
        by_id = {market.instrument.instrument_id: market for market in self.markets.values()}
        return self.markets.get(name) or by_id[name]

    def open(self, on_snapshot: Callable[[str, Frame], None]) -> None:
        """Tell the book of each generated market as it begins."""
        for key, generator in self._generators.items():
            ts_ns, symbol, body = generator.snapshot()
            on_snapshot(key, Frame(body, ts_ns, symbol))

    def poll(self, now_ns: int, on_snapshot: Callable[[str, Frame], None]) -> list[Released]:
        """What is due; a recording's snapshots go to ``on_snapshot`` and are not released."""
        if self._recording is not None:
            return self._recorded(self._recording, now_ns, on_snapshot)
        batches = [
            [(ts, key, payload) for ts, payload in generator.next_batch(now_ns)]
            for key, generator in self._generators.items()
        ]
        released = batches[0] if len(batches) == 1 else list(heapq.merge(*batches, key=lambda one: one[0]))
        self.frames += len(released)
        return released

    def _recorded(
        self, recording: RecordingSource, now_ns: int, on_snapshot: Callable[[str, Frame], None]
    ) -> list[Released]:
        released: list[Released] = []
        by_stream = {key.lower(): key for key in self.markets}
        for line in recording.poll(now_ns):
            if not isinstance(line, Frame):
                self.refused += 1
            elif line.symbol is not None:
                if line.symbol in self.markets:
                    on_snapshot(line.symbol, line)
            else:
                stream = line.payload[11 : line.payload.find(b"@", 11, 80)].decode("ascii", "replace")
                key = by_stream.get(stream)
                if key is None:
                    self.refused += 1
                else:
                    released.append((line.ts_recv_ns, key, shifted_times(line.payload, recording.offset_ns // MS)))
        self.frames += len(released)
        return released

    def funding(self, key: str, t_ns: int) -> tuple[float, int] | None:
        """(rate, settlement time in UTC ms) that forms at a time; None where the source has no such model."""
        if self.latent is None:
            return None
        found = self.latent.funding(MARKETS[self.markets[key].instrument.instrument_id], t_ns)
        return found.rate, found.next_funding_ms

    def prices(self, key: str, t_ns: int) -> tuple[float, float] | None:
        """(index price, mark price) at a time; None where the source has no such model."""
        if self.latent is None:
            return None
        index = self.latent.price(t_ns)
        return index, index * self.latent.premium(MARKETS[self.markets[key].instrument.instrument_id], t_ns)

    def interval_ms(self, key: str, now_ns: int) -> int:
        """Time between settlements."""
        found = self.funding(key, now_ns)
        after = None if found is None else self.funding(key, (found[1] + 1_000) * MS)
        return EIGHT_HOURS_MS if found is None or after is None else after[1] - found[1]

    def settlements(self, key: str, now_ns: int, rows: int) -> list[tuple[int, float, float]]:
        """The last settlements, oldest first: (UTC ms, rate, mark price); none where the source has no such model."""
        found = self.funding(key, now_ns)
        if found is None:
            return []
        step_ms = self.interval_ms(key, now_ns)
        settled: list[tuple[int, float, float]] = []
        for k in range(rows, 0, -1):
            at_ms = found[1] - k * step_ms
            rate, prices = self.funding(key, at_ms * MS), self.prices(key, at_ms * MS)
            if rate is not None and prices is not None:
                settled.append((at_ms, rate[0], prices[1]))
        return settled

    def close(self) -> None:
        """Let go of files."""
        if self._recording is not None:
            self._recording.close()
