"""Holes in recorded trades: detect, queue, fill, audit. The same data and the same answers give the same bytes.

A hole is a range of trade ids between two recorded trades of an instrument whose venue numbers trades without holes.
Owns the queue's records (``fills/``), the Parquet files of what was filled and the report. Asks a `TradesFetcher` for
trades; does not open connections. Bars are a view over trades, so that a filled trade is in its bar, once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import duckdb
import msgspec

from adapters.recorder import tables
from adapters.recorder.build import DAY_NS
from adapters.recorder.catalog import FILLS, PARQUET, Output, building
from adapters.recorder.history import QueryRefused, open_history
from adapters.recorder.instruments import known_instruments
from adapters.recorder.manifest import read_manifest, replace_file, sessions_of
from adapters.recorder.parquet import Key, Origin, Spool, open_writer, publish
from adapters.recorder.rows import symbol_folder
from adapters.recorder.tables import REAL, Kind
from trading.instruments import Instrument
from trading.market.events import Aggressor, Trade

FILL_SESSION = "fill"
HOLE_TRADES_MAX = 100_000
"""A longer hole is not one that a connection made: it is reported and left."""
HOLES_MAX = 10_000


class HoleState(Enum):
    """What is known of a hole. Only QUEUED and FAILED ones are asked for again."""

    QUEUED = "queued"
    FILLED = "filled"
    ABSENT = "absent"  # the venue answered, and there are no such trades
    PARTLY = "partly"  # the venue answered, and the rest of the ids does not exist
    FAILED = "failed"  # no answer, or one that cannot be believed
    TOO_LONG = "too_long"
    HEALED = "healed"  # another recording brought the trades


_ANSWERED = frozenset({HoleState.ABSENT, HoleState.PARTLY})
_OPEN = frozenset({HoleState.QUEUED, HoleState.FAILED, HoleState.TOO_LONG})


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """Trade ids ``from_id``..``to_id`` are missing between trades at ``before_ns`` and ``after_ns``, venue time."""

    instrument_id: str
    venue: str
    world: str
    from_id: int
    to_id: int
    before_ns: int
    after_ns: int

    @property
    def missing(self) -> int:
        """How many ids."""
        return self.to_id - self.from_id + 1

    @property
    def name(self) -> str:
        """As files spell it."""
        text = f"{self.world} {self.instrument_id} {self.from_id}-{self.to_id}"
        return "".join(one if one.isalnum() or one in "-_." else "_" for one in text)


class HoleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one hole: the queue's entry, its answer and its audit."""

    hole: Hole
    state: HoleState
    filled: int = 0
    absent: int = 0
    fetcher: str = ""
    reason: str = ""
    outputs: tuple[Output, ...] = ()


class FetchedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One historical trade as a venue states it; ``side`` is the taker's."""

    trade_id: int
    price: Decimal
    qty: Decimal
    side: Aggressor
    ts_event_ns: int


class FetchFailedError(Exception):
    """The fetcher has no answer now; the text says why."""


class TradesFetcher(Protocol):
    """Who knows historical trades: another recording, or a venue's REST behind its rate budget."""

    name: str

    def fetch(self, instrument: Instrument, from_id: int, to_id: int) -> Sequence[FetchedTrade]:
        """Every trade of the ids ``from_id``..``to_id``; ids that are not in the answer do not exist.

        Raises:
            FetchFailedError: there is no complete answer.
        """
        ...


class Backfilled(msgspec.Struct, kw_only=True):
    """What one backfill did; counts of holes by state, and of trades."""

    holes: int = 0
    states: dict[str, int] = {}
    trades_filled: int = 0
    trades_absent: int = 0
    still_missing: int = 0
    changed: bool = False


_HOLES = """
    SELECT instrument_id, venue, world, last_id + 1, trade_id - 1, last_ns, ts_event_ns FROM (
        SELECT instrument_id, venue, world, trade_id, ts_event_ns,
               lag(trade_id) OVER ids AS last_id, lag(ts_event_ns) OVER ids AS last_ns
        FROM trades WHERE starts_with(venue, 'binance')
        WINDOW ids AS (PARTITION BY instrument_id, world ORDER BY trade_id)
    ) WHERE trade_id > last_id + 1 ORDER BY 1, 3, 4 LIMIT ?
"""


def find_holes(connection: duckdb.DuckDBPyConnection) -> list[Hole]:
    """The holes of everything that is recorded and filled, in order of instrument and id; at most `HOLES_MAX`.

    What is synthetic is looked at by session: between two of them nothing happened. ``QueryRefused`` where the history
    cannot be read.
    """
    try:
        rows = connection.execute(_HOLES, [HOLES_MAX]).fetchall()
    except duckdb.Error as error:
        raise QueryRefused(str(error)) from error
    names = ("instrument_id", "venue", "world", "from_id", "to_id", "before_ns", "after_ns")
    return [Hole(**dict(zip(names, row, strict=True))) for row in rows]


def backfill(
    history: Path, fetcher: TradesFetcher | None, report_told: Callable[[str], None] | None = None
) -> Backfilled:
    """One round: holes that are there are queued, asked for, filled and looked at again.

    Without a fetcher the queue is written and nothing is asked for. Raises ``OSError`` where the disk refuses.
    """
    done = Backfilled()
    with building(history):
        queue = _Queue(history)
        with open_history(history, spill=True) as connection:
            holes = find_holes(connection)
        known = {record.hole.name: record for record in queue.all()}
        instruments = _instruments(history)
        answered_for = [record.hole for record in known.values() if record.state in _ANSWERED]
        for hole in holes:
            record = known.get(hole.name)
            if record is None and any(_within(hole, other) for other in answered_for):
                continue
            if record is None:
                record = HoleRecord(hole=hole, state=HoleState.QUEUED)
                queue.put(record)
                done.changed = True
            if record.state not in {HoleState.QUEUED, HoleState.FAILED} or fetcher is None:
                continue
            answered = _fill(history, record, fetcher, instruments.get(hole.instrument_id))
            if answered != record:
                queue.put(answered)
                done.changed = True
            if report_told is not None:
                report_told(f"{hole.instrument_id} {hole.from_id}-{hole.to_id}: {answered.state.value}")
        with open_history(history, spill=True) as connection:
            left = find_holes(connection)
        names = {hole.name for hole in left}
        for record in queue.all():
            if record.state in _OPEN and record.hole.name not in names:
                queue.put(HoleRecord(hole=record.hole, state=HoleState.HEALED, reason="the trades are there"))
                done.changed = True
        _audit(done, queue.all(), left)
    return done


def records_of(history: Path) -> list[HoleRecord]:
    """Every hole that was ever found, in a fixed order."""
    return _Queue(history).all()


def _within(hole: Hole, other: Hole) -> bool:
    same = (hole.instrument_id, hole.world) == (other.instrument_id, other.world)
    return same and other.from_id <= hole.from_id and hole.to_id <= other.to_id


def _audit(done: Backfilled, records: Sequence[HoleRecord], left: Iterable[Hole]) -> None:
    """Count what the data says after the round, beside what the records say."""
    states = Counter(record.state.value for record in records)
    done.holes = len(records)
    done.states = dict(sorted(states.items()))
    done.trades_filled = sum(record.filled for record in records)
    done.trades_absent = sum(record.absent for record in records)
    done.still_missing = sum(hole.missing for hole in left)


def _fill(history: Path, record: HoleRecord, fetcher: TradesFetcher, instrument: Instrument | None) -> HoleRecord:
    hole = record.hole

    def ended(state: HoleState, reason: str) -> HoleRecord:
        return HoleRecord(hole=hole, state=state, fetcher=fetcher.name, reason=reason)

    if hole.missing > HOLE_TRADES_MAX:
        return ended(HoleState.TOO_LONG, f"{hole.missing} trades")
    if instrument is None:
        return ended(HoleState.FAILED, "the instrument is not known")
    try:
        answer = sorted(fetcher.fetch(instrument, hole.from_id, hole.to_id), key=lambda trade: trade.trade_id)
        trades = [_believed(hole, instrument, trade) for trade in answer]
        if len({trade.trade_id for trade in trades}) != len(trades):
            raise ValueError("one trade id stands twice")
        if any(after.ts_event_ns < before.ts_event_ns for before, after in pairwise(trades)):
            raise ValueError("later ids have earlier times")
    except (FetchFailedError, ValueError) as error:
        return ended(HoleState.FAILED, str(error))
    if not trades:
        return HoleRecord(hole=hole, state=HoleState.ABSENT, absent=hole.missing, fetcher=fetcher.name)
    outputs = _publish(history, hole, instrument, trades, fetcher.name)
    absent = hole.missing - len(trades)
    state = HoleState.PARTLY if absent else HoleState.FILLED
    return HoleRecord(hole=hole, state=state, filled=len(trades), absent=absent, fetcher=fetcher.name, outputs=outputs)


def _believed(hole: Hole, instrument: Instrument, trade: FetchedTrade) -> Trade:
    """The trade in ticks and lots; ``ValueError`` when it cannot be one of the hole."""
    if not hole.from_id <= trade.trade_id <= hole.to_id:
        raise ValueError(f"trade {trade.trade_id} was not asked for")
    if not hole.before_ns <= trade.ts_event_ns <= hole.after_ns:
        raise ValueError(f"trade {trade.trade_id} is not between its neighbours in time")
    ticks, lots = instrument.ticks(trade.price), instrument.lots(trade.qty)
    if ticks <= 0 or lots <= 0:
        raise ValueError(f"trade {trade.trade_id} of {trade.qty} at {trade.price}")
    return Trade(
        instrument_id=instrument.instrument_id,
        trade_id=trade.trade_id,
        price_ticks=ticks,
        qty_lots=lots,
        aggressor=trade.side,
        ts_event_ns=trade.ts_event_ns,
        ts_recv_ns=trade.ts_event_ns,
    )


def _publish(
    history: Path, hole: Hole, instrument: Instrument, trades: Sequence[Trade], fetcher: str
) -> tuple[Output, ...]:
    temporary = history / f".fill.{os.getpid()}"
    spool = Spool(temporary)
    instruments = {instrument.instrument_id: instrument}
    try:
        for number, trade in enumerate(trades, 1):
            dt = datetime.fromtimestamp(trade.ts_event_ns // DAY_NS * 86_400, UTC).strftime("%Y-%m-%d")
            folder = symbol_folder(instrument.instrument_id, instruments)
            key = Key(dt, hole.venue, folder, Kind.TRADE, instrument.instrument_id)
            spool.add(key, number, tables.trade_row(trade, number, None))
        with open_writer(temporary) as connection:
            origin = Origin(hole.world, FILL_SESSION, f"{hole.name}.dat from {fetcher}")
            return publish(connection, spool, history / PARQUET, origin, instruments)
    finally:
        spool.remove()


def _instruments(history: Path) -> dict[str, Instrument]:
    """By id: the instruments of the newest session that names them, else of the desk's own tables."""
    found: dict[str, Instrument] = {}
    for venue in ("binance", "binanceusdm", "binancecoinm"):
        found.update((one.instrument_id, one) for one in known_instruments(venue))
    for session in sessions_of(history / "wire"):
        try:
            found.update((one.instrument_id, one) for one in read_manifest(session).instruments)
        except ValueError:
            continue
    return found


class _Queue:
    """The records under ``<history>/fills``, one file a hole."""

    def __init__(self, history: Path) -> None:
        self._folder = history / FILLS

    def all(self) -> list[HoleRecord]:
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=HoleRecord))
            except (OSError, msgspec.MsgspecError, ValueError):
                continue
        return sorted(found, key=lambda one: (one.hole.instrument_id, one.hole.world, one.hole.from_id))

    def put(self, record: HoleRecord) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        body = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
        replace_file(self._folder / f"{record.hole.name}.json", body)


__all__ = [
    "REAL",
    "Backfilled",
    "FetchFailedError",
    "FetchedTrade",
    "Hole",
    "HoleRecord",
    "HoleState",
    "TradesFetcher",
    "backfill",
    "find_holes",
    "records_of",
]
