"""The gates, watermarks and contracts on recorded days: they close where something happened, and hardly elsewhere."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import INSTRUMENTS, SPOT
from adapters.wirelog import open_session
from trading.market.contracts import BreachCode, ContractCheck
from trading.market.data_contracts import CONTRACTS, event_row
from trading.market.events import (
    Aggressor,
    BookState,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    MarkPrice,
    Trade,
    WireRejected,
)
from trading.market.gates import GateCleared, GateCode, GateTripped, SymbolGates, VenueGates
from trading.market.stitch import BookSync, SequenceRule
from trading.market.watermarks import Lateness, StreamKey, Watermarks

RECORDINGS = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance" / "l2_raw"
USDM_BTC = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
NEXO = "BINANCE:SPOT:NEXO-USDT"
S = 1_000_000_000
MIDNIGHT_NS = 1_680_652_800 * S

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}"),
]


class Day:
    """One recording of one instrument through its gates, watermarks and contracts."""

    def __init__(self, name, instrument):
        codec = BinanceCodec(instrument.venue, [instrument])
        rule = SequenceRule.SPOT if instrument.venue == SPOT else SequenceRule.FUTURES
        self.sync = BookSync(instrument.instrument_id, rule)
        self.gates = SymbolGates(instrument.instrument_id)
        self.changes = []
        self.judged = Counter()
        self.contracts = {name: ContractCheck(contract) for name, contract in CONTRACTS.items()}
        venue, watermarks = VenueGates(instrument.venue), Watermarks()
        for line in open_session(RECORDINGS / name):
            if line.venue != instrument.venue:
                continue
            event = codec.decode_recorded(line.payload, line.symbol, line.ts_recv_ns)
            if event is None or isinstance(event, WireRejected):
                continue
            now = event.ts_recv_ns
            self.changes += venue.on_event_time(type(event).__name__, event.ts_event_ns, now)
            self.changes += self.gates.on_time(now)
            if isinstance(event, Trade):
                key = StreamKey(instrument.venue, instrument.symbol, "trade")
                self.judged[watermarks.on_message(key, event.trade_id, event.ts_event_ns, now)] += 1
            row = event_row(event)
            if row is not None:
                self.contracts[row[0]].on_row(row[1])
                if row[0] == "trade":
                    self.contracts["trade_numbered"].on_row(row[1])
            self.changes += self.look(event, now)

    def look(self, event, now):
        book = self.sync.book
        match event:
            case DepthUpdate():
                before = book.top(5)
                self.sync.on_update(event)
                after = book.top(5)
                if book.state is BookState.SYNCED and before != after:
                    return self.gates.on_moved(before[0] != after[0], before[1] != after[1], now)
            case DepthSnapshot():
                self.sync.on_snapshot(event)
            case BookTicker():
                self.sync.on_ticker(event)
            case Trade():
                best = book.best_ask() if event.aggressor is Aggressor.BUY else book.best_bid()
                changes = self.gates.on_print(float(event.price_ticks), event.ts_event_ns, now)
                if best is not None and book.state is BookState.SYNCED:
                    changes += self.gates.on_trade_through(event.aggressor, event.price_ticks, best[0], now)
                return changes
            case MarkPrice():
                changes = self.gates.on_price("mark", float(event.mark_price), now)
                return changes + self.gates.on_funding_time(event.next_funding_ns, now)
        return []


@pytest.fixture(scope="module")
def funding():
    return Day("2023-04-05_funding", next(i for i in INSTRUMENTS if i.instrument_id == USDM_BTC))


@pytest.fixture(scope="module")
def thin():
    like = next(i for i in INSTRUMENTS if i.venue == SPOT)
    grid = {"tick_size": Decimal("0.0001"), "lot_size": Decimal("0.01")}
    return Day(
        "2024-07-23_nexo_24h",
        msgspec.structs.replace(like, instrument_id=NEXO, symbol="NEXOUSDT", base="NEXO", **grid),
    )


@pytest.mark.req("P-MD-8")
def test_around_a_recorded_settlement_of_funding_only_its_own_gate_closes(funding):
    assert [(type(change), change.code) for change in funding.changes] == [
        (GateTripped, GateCode.FUNDING_ROLL),
        (GateCleared, GateCode.FUNDING_ROLL),
    ]
    tripped, cleared = (change.ts_ns for change in funding.changes)
    assert 0 <= tripped - (MIDNIGHT_NS - 30 * S) < S
    assert 0 <= cleared - (MIDNIGHT_NS + 15 * S) < S


def test_recorded_trades_are_on_time_and_none_comes_twice(funding, thin):
    for day in (funding, thin):
        assert set(day.judged) == {Lateness.ON_TIME}
        assert day.judged.total() > 12_000


def test_recorded_days_keep_their_contracts(funding, thin):
    broken = {
        (name, breaches.code, breaches.count)
        for day in (funding, thin)
        for name, checked in day.contracts.items()
        for breaches in checked.report().breaches
    }
    # One of USD-M's trades was the insurance fund's: its number is missing among the market's prints.
    assert broken == {("trade_numbered", BreachCode.HOLE, 1)}
    assert funding.contracts["depth"].rows > 16_000
    assert thin.contracts["depth"].rows == 68_182


@pytest.mark.req("P-MD-8")
def test_in_a_day_of_a_thin_market_no_side_seems_frozen_and_few_prints_are_doubted(thin):
    codes = Counter(change.code for change in thin.changes if isinstance(change, GateTripped))
    assert set(codes) == {GateCode.OUTLIER_PRINT}
    assert codes[GateCode.OUTLIER_PRINT] <= 6
    assert thin.gates.prints.dismissed <= 10
    assert thin.gates.tripped == frozenset()
