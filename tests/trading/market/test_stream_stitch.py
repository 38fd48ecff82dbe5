"""Books of OKX and Bybit: their snapshots come in the stream, and each has rules of its own."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate
from trading.market.stitch import TRANSITIONS, BookSync, SequenceRule, SyncEvent, SyncResult
from trading.market.stream_stitch import StreamSync

ID = "OKX:PERP:BTC-USDT:LINEAR"
BIDS, ASKS = ((100, 5), (99, 5)), ((101, 5), (102, 5))


def checksum_of(book):
    """Any function of the best levels will do: the venue's own is the codec's."""
    return zlib.crc32(repr(book.top(25)).encode()) or 1


def snapshot(last, bids=BIDS, asks=ASKS, *, seq=-1, checksum=0, in_stream=True):
    return DepthSnapshot(
        instrument_id=ID,
        last_update_id=last,
        bids=list(bids),
        asks=list(asks),
        ts_event_ns=0,
        ts_recv_ns=last,
        seq=seq,
        checksum=checksum,
        in_stream=in_stream,
    )


def okx_diff(prev, seq_id, bids=(), asks=(), *, checksum=0):
    return DepthUpdate(
        instrument_id=ID,
        first_update_id=prev + 1 if prev >= 0 else -1,
        final_update_id=seq_id,
        prev_final_update_id=prev,
        bids=list(bids),
        asks=list(asks),
        ts_event_ns=0,
        ts_recv_ns=seq_id,
        checksum=checksum,
    )


def delta(u, seq, bids=(), asks=()):
    return DepthUpdate(
        instrument_id=ID,
        first_update_id=u,
        final_update_id=u,
        prev_final_update_id=-1,
        bids=list(bids),
        asks=list(asks),
        ts_event_ns=0,
        ts_recv_ns=u,
        seq=seq,
    )


def ticker(update_id, bid=(100, 5), ask=(101, 5)):
    return BookTicker(
        instrument_id=ID,
        update_id=update_id,
        bid_ticks=bid[0],
        bid_lots=bid[1],
        ask_ticks=ask[0],
        ask_lots=ask[1],
        ts_event_ns=0,
        ts_recv_ns=update_id,
    )


def okx(**options):
    return StreamSync(ID, SequenceRule.OKX, checksum_of=checksum_of, **options)


def bybit(**options):
    return StreamSync(ID, SequenceRule.BYBIT, **options)


def synced_okx(last=10, **options):
    sync = okx(**options)
    assert sync.on_snapshot(snapshot(last)) is SyncResult.BRIDGED
    assert sync.state is BookState.SYNCED
    return sync


def synced_bybit(u=10, seq=1000):
    sync = bybit()
    assert sync.on_snapshot(snapshot(u, seq=seq)) is SyncResult.BRIDGED
    assert sync.state is BookState.SYNCED
    return sync


# --- Both ------------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("sync", [okx(), bybit()])
def test_a_snapshot_of_the_stream_is_the_book_at_once(sync):
    assert sync.wants_snapshot
    assert sync.on_snapshot(snapshot(10, seq=7)) is SyncResult.BRIDGED
    assert sync.state is BookState.SYNCED
    assert not sync.wants_snapshot
    assert sync.book.top(2) == (BIDS, ASKS)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("sync", [okx(), bybit()])
def test_a_second_snapshot_replaces_the_book_and_stays_proved(sync):
    sync.on_snapshot(snapshot(10, seq=7))
    assert sync.on_snapshot(snapshot(20, [(200, 1)], [(201, 1)], seq=8)) is SyncResult.APPLIED
    assert sync.state is BookState.SYNCED
    assert sync.book.top(2) == (((200, 1),), ((201, 1),))
    assert sync.book.update_id == 20


@pytest.mark.req("P-MD-2")
def test_a_crossed_snapshot_is_not_believed():
    sync = okx()
    assert sync.on_snapshot(snapshot(10, [(101, 1)], [(100, 1)])) is SyncResult.CROSSED
    assert sync.state is BookState.SUSPECT
    assert sync.wants_snapshot


def _okx_after_a_gap():
    sync = okx()
    sync.on_snapshot(snapshot(100))
    assert sync.on_update(okx_diff(104, 105)) is SyncResult.GAP
    return sync


def _bybit_after_a_gap():
    sync = bybit()
    sync.on_snapshot(snapshot(100, seq=1000))
    assert sync.on_update(delta(105, 1050)) is SyncResult.GAP
    return sync


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("sync", "old", "fresh"),
    [
        (_okx_after_a_gap(), snapshot(90), snapshot(110)),
        (_bybit_after_a_gap(), snapshot(105, seq=900), snapshot(106, seq=1060)),
    ],
)
def test_a_snapshot_of_the_stream_that_is_older_than_the_stream_is_not_believed(sync, old, fresh):
    assert sync.on_snapshot(old) is SyncResult.SNAPSHOT_TOO_OLD
    assert sync.state is not BookState.SYNCED
    assert sync.wants_snapshot
    assert sync.on_snapshot(fresh) is SyncResult.BRIDGED
    assert sync.counters.snapshots_too_old == 1


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("sync", "old"),
    [(_okx_after_a_gap(), snapshot(90)), (_bybit_after_a_gap(), snapshot(105, seq=900))],
)
def test_a_venue_that_numbers_anew_without_a_word_is_believed_at_last(sync, old):
    found = [sync.on_snapshot(old) for _ in range(4)]
    assert found == [SyncResult.SNAPSHOT_TOO_OLD] * 3 + [SyncResult.BRIDGED]


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("sync", [okx(), bybit()])
def test_a_disconnected_book_waits_for_the_next_snapshot(sync):
    sync.on_snapshot(snapshot(10, seq=7))
    sync.on_disconnected(now_ns=11)
    assert sync.state is BookState.SUSPECT
    assert sync.wants_snapshot
    sync.on_snapshot_requested(now_ns=12)
    assert sync.state is BookState.RESYNC
    assert sync.on_snapshot(snapshot(3, seq=2)) is SyncResult.BRIDGED
    assert sync.counters.resyncs == 1


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("sync", [okx(), bybit()])
def test_nothing_moves_a_halted_book(sync):
    sync.on_snapshot(snapshot(10, seq=7))
    sync.on_halt("maintenance", now_ns=11)
    assert sync.on_snapshot(snapshot(20, seq=8)) is SyncResult.IGNORED
    assert sync.on_update(okx_diff(20, 20)) is SyncResult.IGNORED
    assert sync.on_update(okx_diff(20, 3)) is SyncResult.IGNORED
    assert sync.state is BookState.HALT
    sync.on_resume(now_ns=12)
    assert sync.wants_snapshot
    assert sync.on_snapshot(snapshot(30, seq=9)) is SyncResult.BRIDGED


@pytest.mark.parametrize("stated", [SequenceRule.OKX, SequenceRule.BYBIT])
def test_a_book_of_rest_snapshots_refuses_the_rules_of_streams(stated):
    with pytest.raises(ValueError, match=stated.value):
        BookSync(ID, stated)


def test_a_book_of_stream_snapshots_refuses_the_rules_of_binance():
    with pytest.raises(ValueError, match="spot"):
        StreamSync(ID, SequenceRule.SPOT)


# --- OKX -------------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("prev", "seq_id", "result", "state"),
    [
        (10, 15, SyncResult.APPLIED, BookState.SYNCED),
        (10, 11, SyncResult.APPLIED, BookState.SYNCED),
        (10, 10, SyncResult.APPLIED, BookState.SYNCED),  # heartbeat: nothing for a minute
        (9, 9, SyncResult.DROPPED_OLD, BookState.SYNCED),
        (5, 8, SyncResult.DROPPED_OLD, BookState.SYNCED),
        (5, 10, SyncResult.DROPPED_OLD, BookState.SYNCED),
        (9, 15, SyncResult.GAP, BookState.SUSPECT),
        (11, 15, SyncResult.GAP, BookState.SUSPECT),
        (15, 15, SyncResult.GAP, BookState.SUSPECT),  # a heartbeat of diffs that never came
        (10, 3, SyncResult.RESET, BookState.SUSPECT),  # the venue numbers anew after maintenance
        (14, 3, SyncResult.RESET, BookState.SUSPECT),
    ],
)
def test_okx_diffs_chain_by_prev_seq_id(prev, seq_id, result, state):
    sync = synced_okx(10)
    assert sync.on_update(okx_diff(prev, seq_id)) is result
    assert sync.state is state
    assert sync.wants_snapshot is (state is BookState.SUSPECT)


@pytest.mark.req("P-MD-2")
def test_okx_heartbeat_keeps_the_book_fresh_and_changes_nothing():
    sync = synced_okx(10)
    before = sync.book.top(5)
    sync.on_update(okx_diff(10, 10))
    assert sync.book.top(5) == before
    assert sync.counters.heartbeats == 1
    assert sync.on_update(okx_diff(10, 12)) is SyncResult.APPLIED


@pytest.mark.req("P-MD-2")
def test_okx_heartbeat_that_carries_levels_is_a_contradiction():
    sync = synced_okx(10)
    assert sync.on_update(okx_diff(10, 10, [(100, 9)])) is SyncResult.GAP
    assert sync.state is BookState.SUSPECT


@pytest.mark.req("P-MD-2")
def test_okx_reset_is_whole_again_after_the_next_snapshot():
    sync = synced_okx(15)
    assert sync.on_update(okx_diff(15, 3)) is SyncResult.RESET
    assert (sync.counters.resets, sync.counters.gaps) == (1, 0)
    assert sync.on_update(okx_diff(3, 5)) is SyncResult.BUFFERED
    assert sync.on_snapshot(snapshot(5)) is SyncResult.BRIDGED
    assert sync.on_update(okx_diff(5, 6)) is SyncResult.APPLIED


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("last", "result"),
    [(9, SyncResult.SNAPSHOT_TOO_OLD), (10, SyncResult.BRIDGED), (14, SyncResult.BRIDGED), (20, SyncResult.BRIDGED)],
)
def test_okx_book_of_rest_is_bridged_where_the_stream_brings_no_snapshot(last, result):
    sync = okx()
    sync.on_update(okx_diff(10, 15, [(100, 7)]))
    sync.on_update(okx_diff(15, 21, [(99, 8)]))
    assert sync.on_snapshot(snapshot(last, in_stream=False)) is result
    if result is SyncResult.BRIDGED:
        assert sync.state is BookState.SYNCED
        assert sync.book.update_id == 21
        assert sync.book.bid_lots(99) == 8
        assert sync.on_update(okx_diff(21, 22)) is SyncResult.APPLIED


@pytest.mark.req("P-MD-2")
def test_okx_book_of_rest_is_not_proved_before_the_stream_reaches_it():
    sync = okx()
    assert sync.on_snapshot(snapshot(10, in_stream=False)) is SyncResult.BUFFERED
    assert sync.state is BookState.RESYNC
    assert sync.on_update(okx_diff(8, 12)) is SyncResult.BRIDGED


@pytest.mark.req("P-MD-2")
def test_okx_book_of_rest_without_a_number_belongs_nowhere():
    sync = okx()
    sync.on_update(okx_diff(8, 12))
    assert sync.on_snapshot(snapshot(-1, in_stream=False)) is SyncResult.IGNORED
    assert sync.wants_snapshot


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("sync", [okx(mode="bbo"), bybit(mode="bbo")])
def test_best_prices_alone_are_a_book_of_one_level(sync):
    assert sync.on_snapshot(snapshot(10, seq=10)) is SyncResult.IGNORED
    assert sync.on_ticker(ticker(11)) is SyncResult.APPLIED
    assert (sync.state, sync.book.partial) == (BookState.SYNCED, True)
    assert sync.on_ticker(ticker(11, bid=(1, 1))) is SyncResult.DROPPED_OLD
    assert sync.on_update(okx_diff(11, 11)) is SyncResult.IGNORED
    assert sync.book.best_bid() == (100, 5)


@pytest.mark.req("P-MD-2")
def test_okx_checksum_is_verified_where_the_venue_states_one():
    sync, venue = synced_okx(10), synced_okx(10)
    venue.on_update(okx_diff(10, 12, [(100, 6)]))
    honest = okx_diff(10, 12, [(100, 6)], checksum=checksum_of(venue.book))
    assert sync.on_update(honest) is SyncResult.APPLIED
    assert (sync.counters.checksums_ok, sync.counters.checksums_failed) == (1, 0)
    altered = okx_diff(12, 13, [(100, 7)], checksum=checksum_of(venue.book))
    assert sync.on_update(altered) is SyncResult.CHECKSUM
    assert sync.state is BookState.SUSPECT
    assert sync.counters.checksums_failed == 1


@pytest.mark.req("P-MD-2")
def test_okx_checksum_of_zero_leaves_the_proof_to_the_numbers():
    sync = synced_okx(10)
    assert sync.on_update(okx_diff(10, 12, [(100, 6)], checksum=0)) is SyncResult.APPLIED
    assert (sync.counters.checksums_ok, sync.counters.checksums_failed) == (0, 0)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("in_stream", [True, False])
def test_okx_snapshot_with_a_wrong_checksum_is_refused(in_stream):
    sync = okx()
    sync.on_update(okx_diff(8, 12, checksum=123))
    assert sync.on_snapshot(snapshot(10, checksum=123, in_stream=in_stream)) is SyncResult.CHECKSUM
    assert sync.state is BookState.SUSPECT


@pytest.mark.req("P-MD-2")
def test_okx_recordings_without_numbers_are_proved_by_checksum_alone():
    sync, venue = okx(), okx()
    venue.on_snapshot(snapshot(-1))
    assert sync.on_snapshot(snapshot(-1, checksum=checksum_of(venue.book))) is SyncResult.BRIDGED
    venue.book.apply(okx_diff(-1, -1, [(100, 6)]))
    assert sync.on_update(okx_diff(-1, -1, [(100, 6)], checksum=checksum_of(venue.book))) is SyncResult.APPLIED
    assert sync.on_update(okx_diff(-1, -1, [(99, 1)], checksum=checksum_of(venue.book))) is SyncResult.CHECKSUM
    assert sync.on_update(okx_diff(-1, -1, [(99, 1)], checksum=checksum_of(venue.book))) is SyncResult.IGNORED


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("last", [-1, 10])
def test_okx_diff_with_neither_number_nor_checksum_proves_nothing(last):
    sync = synced_okx(last)
    assert sync.on_update(okx_diff(-1, -1, [(100, 6)])) is SyncResult.GAP
    assert sync.state is BookState.SUSPECT


@pytest.mark.req("P-MD-2")
def test_okx_tickers_without_a_number_are_compared_with_nothing():
    sync = synced_okx(-1)
    assert sync.on_ticker(ticker(-1, bid=(1, 1))) is SyncResult.IGNORED
    assert sync.state is BookState.SYNCED


@pytest.mark.req("P-MD-2")
def test_okx_best_prices_of_the_same_number_must_agree():
    sync = synced_okx(10)
    assert sync.on_ticker(ticker(10)) is SyncResult.AUDITED
    sync.on_ticker(ticker(12, bid=(100, 5)))
    assert sync.on_update(okx_diff(10, 12, [(100, 6)])) is SyncResult.MISMATCH
    assert sync.state is BookState.SUSPECT


# --- Bybit -----------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("u", "seq", "result", "state"),
    [
        (11, 1001, SyncResult.APPLIED, BookState.SYNCED),
        (11, 1000, SyncResult.APPLIED, BookState.SYNCED),
        (11, 999, SyncResult.GAP, BookState.SUSPECT),  # the cross sequence never goes back
        (12, 1001, SyncResult.GAP, BookState.SUSPECT),
        (10, 1000, SyncResult.DROPPED_OLD, BookState.SYNCED),
        (9, 990, SyncResult.DROPPED_OLD, BookState.SYNCED),
        (1, 5, SyncResult.APPLIED, BookState.SYNCED),  # the service restarted: this is the whole book
    ],
)
def test_bybit_deltas_count_up_by_one(u, seq, result, state):
    sync = synced_bybit(10, 1000)
    assert sync.on_update(delta(u, seq, [(90, 1)], [(110, 1)])) is result
    assert sync.state is state


@pytest.mark.req("P-MD-2")
def test_bybit_update_one_replaces_everything():
    sync = synced_bybit(10, 1000)
    sync.on_update(delta(1, 5, [(90, 1)], [(110, 1)]))
    assert sync.book.top(5) == (((90, 1),), ((110, 1),))
    assert sync.on_update(delta(2, 6)) is SyncResult.APPLIED


@pytest.mark.req("P-MD-2")
def test_bybit_depth_one_repeats_its_snapshot_and_drops_an_older_one():
    sync = synced_bybit(10, 1000)
    assert sync.on_snapshot(snapshot(10, seq=1000)) is SyncResult.APPLIED
    assert sync.on_snapshot(snapshot(9, [(50, 1)], seq=999)) is SyncResult.DROPPED_OLD
    assert sync.book.best_bid() == (100, 5)
    assert sync.on_snapshot(snapshot(11, [(98, 1)], seq=1001)) is SyncResult.APPLIED
    assert sync.book.best_bid() == (98, 1)


@pytest.mark.req("P-MD-2")
def test_bybit_best_prices_are_compared_at_the_same_cross_sequence_only():
    sync = synced_bybit(10, 1000)
    assert sync.on_ticker(ticker(10, bid=(1, 1))) is SyncResult.IGNORED  # 10 is a u, not a seq
    assert sync.on_ticker(ticker(1000)) is SyncResult.AUDITED
    sync.on_ticker(ticker(1007, bid=(100, 5)))
    assert sync.on_update(delta(11, 1007, [(100, 6)])) is SyncResult.MISMATCH
    assert sync.state is BookState.SUSPECT


@pytest.mark.req("P-MD-2")
def test_bybit_empty_snapshot_of_a_delisted_symbol_leaves_no_prices():
    sync = synced_bybit(10, 1000)
    assert sync.on_update(delta(1, 1001)) is SyncResult.APPLIED
    assert sync.book.best_bid() is None
    assert sync.book.best_ask() is None


# --- The table and the machine -----------------------------------------------------------------------


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("state", list(BookState))
@pytest.mark.parametrize("event", [SyncEvent.CHECKSUM, SyncEvent.RESET])
def test_no_failed_proof_leads_to_a_book_that_may_be_used(state, event):
    assert TRANSITIONS.get((state, event)) is not BookState.SYNCED


class StreamFaults(RuleBasedStateMachine):
    """A venue whose truth is known, and a wire that loses, repeats, swaps and misnumbers its messages."""

    sequence = SequenceRule.OKX

    def __init__(self):
        super().__init__()
        self.sync = StreamSync(ID, self.sequence, checksum_of=checksum_of)
        self.truth = (dict.fromkeys(range(90, 100), 5), dict.fromkeys(range(101, 111), 5))
        self.last = 10
        self.history = []
        self.held = None
        self.delivered = -1
        self.faulty = False

    def _next(self, levels, width):
        for is_bid, offset, lots in levels:
            side, tick = (self.truth[0], 99 - offset) if is_bid else (self.truth[1], 101 + offset)
            if lots:
                side[tick] = lots
            else:
                side.pop(tick, None)
        bids = [(99 - o, q) for b, o, q in levels if b]
        asks = [(101 + o, q) for b, o, q in levels if not b]
        prev = self.last
        okx_rule = self.sequence is SequenceRule.OKX
        self.last = prev + 1 + (width if okx_rule else 0)
        self.history.append((dict(self.truth[0]), dict(self.truth[1])))
        message = okx_diff(prev, self.last, bids, asks) if okx_rule else delta(self.last, self.last, bids, asks)
        return len(self.history) - 1, message

    def _deliver(self, place, message):
        self.sync.on_update(message)
        self.delivered = max(self.delivered, place)

    levels = st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 4)), max_size=4)
    widths = st.integers(0, 3)

    @rule(levels=levels, width=widths)
    def deliver(self, levels, width):
        self._deliver(*self._next(levels, width))
        if self.held is not None:
            held, self.held = self.held, None
            self._deliver(*held)
        self.faulty = False

    @precondition(lambda self: not self.faulty)
    @rule(levels=levels, width=widths)
    def lose(self, levels, width):
        self._next(levels, width)
        self.faulty = True

    @precondition(lambda self: not self.faulty)
    @rule(levels=levels, width=widths)
    def repeat(self, levels, width):
        place, message = self._next(levels, width)
        self._deliver(place, message)
        self._deliver(place, message)

    @precondition(lambda self: not self.faulty)
    @rule(levels=levels, width=widths)
    def swap_with_the_next(self, levels, width):
        self.held = self._next(levels, width)
        self.faulty = True

    @precondition(lambda self: not self.faulty and self.sequence is SequenceRule.OKX)
    @rule(levels=levels, width=widths, by=st.sampled_from([-900, -2, -1, 1, 2, 900]))
    def misnumber_what_went_before(self, levels, width, by):
        place, message = self._next(levels, width)
        altered = okx_diff(
            max(0, message.prev_final_update_id + by), message.final_update_id, message.bids, message.asks
        )
        self._deliver(place, altered)
        self.faulty = True

    @precondition(lambda self: not self.faulty)
    @rule()
    def heartbeat(self):
        if self.sequence is SequenceRule.OKX:
            self.sync.on_update(okx_diff(self.last, self.last))

    @rule()
    def snapshot_when_wanted(self):
        if self.sync.wants_snapshot and self.held is None:
            self.sync.on_snapshot_requested(now_ns=0)
            self.sync.on_snapshot(snapshot(self.last, self.truth[0].items(), self.truth[1].items(), seq=self.last))
            self.history.append((dict(self.truth[0]), dict(self.truth[1])))
            self.delivered = len(self.history) - 1
            self.faulty = False

    @invariant()
    def a_synced_book_is_the_truth_of_the_newest_delivered_message(self):
        if self.sync.state is not BookState.SYNCED:
            return
        bids, asks = self.history[self.delivered]
        assert self.sync.book.top(1000) == (tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items())))

    def teardown(self):
        """Faults off: one snapshot makes the book whole, and diffs go on from it."""
        self.held = None
        self._deliver(*self._next([(True, 0, 3)], 0))
        self.snapshot_when_wanted()
        self._deliver(*self._next([(True, 0, 4)], 0))
        assert self.sync.state is BookState.SYNCED
        self.a_synced_book_is_the_truth_of_the_newest_delivered_message()


class BybitStreamFaults(StreamFaults):
    sequence = SequenceRule.BYBIT


StreamFaults.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
BybitStreamFaults.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestOkxNeverWrongWhileSynced = pytest.mark.req("P-MD-2")(StreamFaults.TestCase)
TestBybitNeverWrongWhileSynced = pytest.mark.req("P-MD-2")(BybitStreamFaults.TestCase)
