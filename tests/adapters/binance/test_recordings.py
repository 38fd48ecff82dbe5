"""The recorded days, from bytes to proven books: every claim here is counted on real messages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import INSTRUMENTS, SPOT, VENUES, instruments_of
from adapters.wirelog import WireLine, open_session
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate, MarkPrice, Trade, WireRejected
from trading.market.gates import GateCode, GateLevel, GateTripped, VenueGates
from trading.market.stitch import BookSync, SequenceRule

RECORDINGS = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance" / "l2_raw"
SPOT_BTC, USDM_BTC, COINM_BTC = (
    "BINANCE:SPOT:BTC-USDT",
    "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    "BINANCECOINM:PERP:BTC-USD:INVERSE",
)

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}"),
]


class Replay:
    """One recording through codec, books and venue gates."""

    def __init__(self, name, bbo=()):
        self.codecs = {venue: BinanceCodec(venue, instruments_of(venue)) for venue in VENUES}
        self.books = {
            i.instrument_id: BookSync(
                i.instrument_id,
                SequenceRule.SPOT if i.venue == SPOT else SequenceRule.FUTURES,
                mode="bbo" if i.instrument_id in bbo else "depth",
            )
            for i in INSTRUMENTS
        }
        self.gates = {venue: VenueGates(venue) for venue in VENUES}
        self.gate_events = []
        self.rejected = []
        self.kinds = Counter()
        self.fundings = []
        self.trade_ids = {}
        self.trade_gaps = 0
        for line in open_session(RECORDINGS / name):
            assert isinstance(line, WireLine)
            event = self.codecs[line.venue].decode_recorded(line.payload, line.symbol, line.ts_recv_ns)
            self.kinds[type(event).__name__] += 1
            self.take(line, event)

    def take(self, line, event):
        match event:
            case DepthUpdate():
                self.books[event.instrument_id].on_update(event)
            case DepthSnapshot():
                self.books[event.instrument_id].on_snapshot(event)
            case BookTicker():
                self.books[event.instrument_id].on_ticker(event)
            case Trade():
                last = self.trade_ids.get(event.instrument_id, event.trade_id - 1)
                self.trade_gaps += event.trade_id != last + 1
                self.trade_ids[event.instrument_id] = event.trade_id
            case MarkPrice():
                self.fundings.append((event.ts_recv_ns, event.next_funding_ns))
            case WireRejected():
                self.rejected.append(event)
        if event is not None and not isinstance(event, WireRejected):
            gates = self.gates[line.venue]
            gates.on_message(event.ts_event_ns, event.ts_recv_ns)
            if self.kinds.total() % 500 == 0:
                self.gate_events += gates.check(event.ts_recv_ns)


@pytest.fixture(scope="module")
def day_2024():
    return Replay("2024-08-08")


@pytest.fixture(scope="module")
def funding_2023():
    return Replay("2023-04-05_funding", bbo=(SPOT_BTC,))


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("instrument_id", "applied", "audited"), [(SPOT_BTC, 3449, 560), (USDM_BTC, 6547, 573), (COINM_BTC, 26824, 1124)]
)
def test_the_books_of_2024_08_08_are_proved_without_a_gap_and_equal_the_venues_ticker(
    day_2024, instrument_id, applied, audited
):
    sync = day_2024.books[instrument_id]
    counters = sync.counters
    assert sync.state is BookState.SYNCED
    assert (counters.gaps, counters.crossed, counters.mismatches, counters.resyncs) == (0, 0, 0, 0)
    assert counters.applied == applied
    assert counters.dropped_old + applied == counters.messages
    # Compared with bookTicker whenever the update ids were equal: each time the same.
    assert counters.audited == audited


def test_the_market_left_what_two_of_the_snapshots_covered_and_a_fresh_one_is_wanted(day_2024):
    assert {key for key, sync in day_2024.books.items() if sync.counters.horizon_exits} == {SPOT_BTC, USDM_BTC}
    assert all(day_2024.books[key].book.partial for key in (SPOT_BTC, USDM_BTC))
    assert day_2024.books[SPOT_BTC].wants_snapshot


def test_nothing_of_2024_08_08_is_rejected_and_no_trade_is_missing(day_2024):
    assert day_2024.rejected == []
    assert day_2024.trade_gaps == 0
    assert day_2024.kinds == {
        "BookTicker": 113265,
        "DepthUpdate": 36849,
        "Trade": 33356,
        "DepthSnapshot": 3,
    }
    assert day_2024.codecs[SPOT].finer_quantities()[SPOT_BTC] == 3


@pytest.mark.req("P-MD-7")
def test_a_receiver_1270_ms_behind_the_venue_is_noticed_and_not_yet_held(day_2024):
    for venue in VENUES:
        assert day_2024.gates[venue].stream.skew_ms == pytest.approx(-1270, abs=15)
        codes = {event.code for event in day_2024.gate_events if event.target == venue}
        assert GateCode.CLOCK_SKEW_NOTICE in codes
        assert GateCode.CLOCK_SKEW not in codes
    notice = next(e for e in day_2024.gate_events if e.code is GateCode.CLOCK_SKEW_NOTICE)
    assert isinstance(notice, GateTripped)
    assert notice.level is GateLevel.NOTICE
    assert "behind" in notice.cause


@pytest.mark.req("P-MD-2")
def test_the_book_of_2023_04_05_is_proved_over_midnight_and_equals_the_venues_ticker(funding_2023):
    sync = funding_2023.books[USDM_BTC]
    counters = sync.counters
    assert sync.state is BookState.SYNCED
    assert (counters.applied, counters.gaps, counters.crossed, counters.mismatches) == (16110, 0, 0, 0)
    assert counters.audited == 1565
    assert funding_2023.rejected == []


def test_the_funding_time_rolls_once_over_the_settlement(funding_2023):
    times = [next_ns for _, next_ns in funding_2023.fundings]
    assert list(dict.fromkeys(times)) == [1680652800000_000_000, 1680681600000_000_000]
    assert len(times) == 514


def test_a_market_without_a_snapshot_is_synced_as_best_bid_and_ask_only(funding_2023):
    sync = funding_2023.books[SPOT_BTC]
    assert sync.state is BookState.SYNCED
    assert sync.book.partial
    assert sync.counters.applied == 8015
    assert sync.counters.ignored == 3929
    assert sync.book.levels() == (1, 1)


def test_a_thin_book_stays_proved_for_a_whole_day():
    sync = Replay("2024-07-23_nexo_24h").books["BINANCE:SPOT:NEXO-USDT"]
    counters = sync.counters
    assert sync.state is BookState.SYNCED
    assert (counters.applied, counters.gaps, counters.crossed, counters.mismatches) == (68182, 0, 0, 0)
    assert counters.audited == 12197


def test_a_recorded_day_replays_to_the_same_books(funding_2023):
    again = Replay("2023-04-05_funding", bbo=(SPOT_BTC,))
    for key in (SPOT_BTC, USDM_BTC):
        assert again.books[key].book.depth_hash(1000) == funding_2023.books[key].book.depth_hash(1000)


@pytest.mark.req("P-MD-2")
def test_a_diff_lost_from_the_recording_is_noticed_at_the_next_one_and_a_snapshot_heals_it():
    codec = BinanceCodec("binanceusdm", instruments_of("binanceusdm"))
    sync = BookSync(USDM_BTC, SequenceRule.FUTURES, snapshot_depth=0)
    whole = BookSync(USDM_BTC, SequenceRule.FUTURES, snapshot_depth=0)
    seen = 0
    for line in open_session(RECORDINGS / "2023-04-05_funding" / "usdm_btcusdt_20230404.dat.xz"):
        assert isinstance(line, WireLine)
        event = codec.decode_recorded(line.payload, line.symbol, line.ts_recv_ns)
        if isinstance(event, DepthSnapshot):
            sync.on_snapshot(event)
            whole.on_snapshot(event)
        if not isinstance(event, DepthUpdate):
            continue
        seen += 1
        whole.on_update(event)
        if seen == 1000:
            continue
        sync.on_update(event)
        if seen == 1001:
            assert sync.state is BookState.SUSPECT
            sync.on_snapshot_requested(line.ts_recv_ns)
        if seen == 1050:
            bids, asks = whole.book.top(100_000)
            sync.on_snapshot(
                DepthSnapshot(
                    instrument_id=USDM_BTC,
                    last_update_id=whole.book.update_id,
                    bids=list(bids),
                    asks=list(asks),
                    ts_event_ns=0,
                    ts_recv_ns=line.ts_recv_ns,
                )
            )
    assert sync.state is BookState.SYNCED
    assert (sync.counters.gaps, sync.counters.resyncs) == (1, 1)
    assert sync.book.depth_hash(100_000) == whole.book.depth_hash(100_000)
