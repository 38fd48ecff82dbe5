"""Snapshot and diffs are stitched by proof; a state machine looks for a book that is SYNCED and wrong."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate
from trading.market.stitch import TRANSITIONS, BookSync, SequenceRule, SyncEvent, SyncResult

ID = "BINANCE:SPOT:BTC-USDT"


def snapshot(last, bids=((100, 5),), asks=((101, 5),), ts=0):
    return DepthSnapshot(
        instrument_id=ID, last_update_id=last, bids=list(bids), asks=list(asks), ts_event_ns=0, ts_recv_ns=ts
    )


def diff(first, final, prev=-1, bids=(), asks=()):
    return DepthUpdate(
        instrument_id=ID,
        first_update_id=first,
        final_update_id=final,
        prev_final_update_id=prev,
        bids=list(bids),
        asks=list(asks),
        ts_event_ns=0,
        ts_recv_ns=final,
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


def spot(**options):
    return BookSync(ID, SequenceRule.SPOT, **options)


def futures(**options):
    return BookSync(ID, SequenceRule.FUTURES, **options)


def synced_spot(**options):
    sync = spot(**options)
    sync.on_snapshot(snapshot(10))
    assert sync.on_update(diff(11, 12)) is SyncResult.BRIDGED
    assert sync.state is BookState.SYNCED
    return sync


# --- The venue's rules, as tables ------------------------------------------------------------------


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("first", "final", "result"),
    [
        (8, 9, SyncResult.DROPPED_OLD),
        (8, 10, SyncResult.DROPPED_OLD),  # u <= lastUpdateId
        (8, 11, SyncResult.BRIDGED),
        (10, 15, SyncResult.BRIDGED),
        (11, 15, SyncResult.BRIDGED),  # U == lastUpdateId + 1
        (12, 15, SyncResult.SNAPSHOT_TOO_OLD),
    ],
)
def test_the_first_spot_diff_must_cover_the_update_after_the_snapshot(first, final, result):
    sync = spot()
    sync.on_snapshot(snapshot(10))
    assert sync.on_update(diff(first, final)) is result
    assert (sync.state is BookState.SYNCED) is (result is SyncResult.BRIDGED)
    assert sync.wants_snapshot is (result is SyncResult.SNAPSHOT_TOO_OLD)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("first", "final", "result"),
    [
        (5, 9, SyncResult.DROPPED_OLD),  # u < lastUpdateId
        (5, 10, SyncResult.BRIDGED),  # u == lastUpdateId is applied, unlike on spot
        (10, 15, SyncResult.BRIDGED),
        (11, 15, SyncResult.SNAPSHOT_TOO_OLD),  # U <= lastUpdateId is asked for, unlike on spot
    ],
)
def test_the_first_futures_diff_must_contain_the_snapshot(first, final, result):
    sync = futures()
    sync.on_snapshot(snapshot(10))
    assert sync.on_update(diff(first, final, prev=4)) is result
    assert (sync.state is BookState.SYNCED) is (result is SyncResult.BRIDGED)


@pytest.mark.req("P-MD-2")
def test_spot_diffs_follow_without_a_hole():
    sync = synced_spot()
    assert sync.on_update(diff(13, 15, bids=[(99, 1)])) is SyncResult.APPLIED
    assert sync.on_update(diff(17, 18)) is SyncResult.GAP
    assert sync.state is BookState.SUSPECT
    assert sync.wants_snapshot
    assert sync.counters.gaps == 1
    assert "17..18" in sync.reason


@pytest.mark.req("P-MD-2")
def test_futures_diffs_follow_by_their_previous_id_and_may_skip_numbers():
    sync = futures()
    sync.on_snapshot(snapshot(10))
    sync.on_update(diff(9, 12, prev=8))
    assert sync.on_update(diff(20, 25, prev=12)) is SyncResult.APPLIED
    assert sync.on_update(diff(26, 30, prev=24)) is SyncResult.GAP
    assert sync.state is BookState.SUSPECT


@pytest.mark.req("P-MD-2")
def test_after_a_gap_a_fresh_snapshot_and_the_diffs_since_make_the_book_whole_again():
    sync = synced_spot()
    sync.on_update(diff(15, 16, bids=[(98, 7)]))
    assert sync.state is BookState.SUSPECT
    sync.on_snapshot_requested(now_ns=1)
    assert sync.state is BookState.RESYNC
    assert not sync.wants_snapshot
    sync.on_update(diff(17, 18, bids=[(97, 3)]))
    assert sync.on_snapshot(snapshot(16, bids=[(100, 5), (98, 7)])) is SyncResult.BRIDGED
    assert sync.state is BookState.SYNCED
    assert sync.book.top(5)[0] == ((100, 5), (98, 7), (97, 3))
    assert sync.counters.resyncs == 1
    assert [reason.state for reason in sync.reasons] == [
        BookState.SYNCED,
        BookState.SUSPECT,
        BookState.RESYNC,
        BookState.SYNCED,
    ]


@pytest.mark.req("P-MD-2")
def test_a_snapshot_older_than_the_buffered_diffs_is_asked_for_again():
    sync = spot()
    sync.on_update(diff(20, 21))
    assert sync.on_snapshot(snapshot(10)) is SyncResult.SNAPSHOT_TOO_OLD
    assert sync.wants_snapshot
    assert sync.state is BookState.RESYNC
    assert sync.on_snapshot(snapshot(20)) is SyncResult.BRIDGED


def test_a_failed_snapshot_request_is_wanted_again():
    sync = spot()
    sync.on_snapshot_requested(now_ns=1)
    assert not sync.wants_snapshot
    sync.on_snapshot_failed()
    assert sync.wants_snapshot
    sync.on_snapshot(snapshot(5))
    sync.on_snapshot_failed()
    assert not sync.wants_snapshot


def test_a_hole_among_buffered_diffs_starts_the_buffer_anew():
    sync = spot()
    sync.on_update(diff(1, 2))
    assert sync.on_update(diff(5, 6)) is SyncResult.GAP
    assert sync.on_update(diff(3, 4)) is SyncResult.DROPPED_OLD
    assert sync.on_update(diff(5, 6)) is SyncResult.DROPPED_OLD
    assert sync.on_snapshot(snapshot(2)) is SyncResult.SNAPSHOT_TOO_OLD
    assert sync.on_snapshot(snapshot(4)) is SyncResult.BRIDGED


def test_the_buffer_is_bounded_and_keeps_the_newest():
    sync = spot(max_buffer=3)
    for number in range(1, 10):
        sync.on_update(diff(number, number))
    assert sync.counters.buffer_overflows == 6
    assert sync.on_snapshot(snapshot(6)) is SyncResult.BRIDGED
    assert sync.book.update_id == 9


def test_a_resent_diff_changes_nothing():
    sync = synced_spot()
    message = diff(13, 14, bids=[(99, 4)])
    sync.on_update(message)
    before = sync.book.depth_hash()
    assert sync.on_update(message) is SyncResult.DROPPED_OLD
    assert sync.on_update(diff(11, 12)) is SyncResult.DROPPED_OLD
    assert sync.book.depth_hash() == before
    assert sync.state is BookState.SYNCED


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("make", [spot, futures])
def test_a_diff_whose_last_id_lies_ahead_cannot_freeze_the_book(make):
    sync = make()
    sync.on_snapshot(snapshot(10))
    sync.on_update(diff(10, 12, prev=9))
    assert sync.on_update(diff(13, 9000, prev=12)) is SyncResult.APPLIED
    assert sync.on_update(diff(15, 16, prev=14)) is SyncResult.GAP
    assert sync.state is BookState.SUSPECT


@pytest.mark.req("P-MD-8", "P-RSK-9")
def test_a_crossed_or_locked_book_is_suspect():
    for bid in (101, 102):
        sync = synced_spot()
        assert sync.on_update(diff(13, 13, bids=[(bid, 1)])) is SyncResult.CROSSED
        assert sync.state is BookState.SUSPECT
        assert sync.wants_snapshot
        assert sync.counters.crossed == 1


def test_a_crossed_snapshot_never_becomes_a_book():
    sync = spot()
    sync.on_snapshot(snapshot(10, bids=[(105, 1)]))
    assert sync.on_update(diff(11, 11)) is SyncResult.CROSSED
    assert sync.state is BookState.SUSPECT


# --- What the numbers cannot prove: the venue's ticker ---------------------------------------------


@pytest.mark.req("P-MD-2", "P-MD-8")
def test_a_ticker_of_the_same_update_must_agree_with_the_book():
    sync = synced_spot()
    assert sync.on_ticker(ticker(12)) is SyncResult.AUDITED
    assert sync.on_ticker(ticker(11, bid=(1, 1))) is SyncResult.IGNORED
    assert sync.on_ticker(ticker(12, bid=(100, 6))) is SyncResult.MISMATCH
    assert sync.state is BookState.SUSPECT
    assert (sync.counters.audited, sync.counters.mismatches) == (2, 1)


def test_a_ticker_that_came_first_audits_the_diff_that_reaches_it():
    sync = synced_spot()
    assert sync.on_ticker(ticker(14, bid=(100, 9))) is SyncResult.IGNORED
    assert sync.on_update(diff(13, 14, bids=[(100, 8)])) is SyncResult.MISMATCH
    assert sync.state is BookState.SUSPECT


def test_a_snapshot_audits_a_synced_book_and_does_not_replace_it():
    sync = synced_spot()
    assert sync.on_snapshot(snapshot(500)) is SyncResult.IGNORED
    assert sync.on_snapshot(snapshot(12)) is SyncResult.AUDITED
    assert sync.on_snapshot(snapshot(12, bids=[(100, 6)])) is SyncResult.MISMATCH
    assert sync.state is BookState.SUSPECT


# --- The horizon of a cut-off snapshot -------------------------------------------------------------


def beyond_horizon(**options):
    sync = synced_spot(snapshot_depth=1, **options)
    assert sync.book.bid_horizon == 100
    result = sync.on_update(diff(13, 13, bids=[(100, 0), (90, 4)]))
    return sync, result


def test_a_touch_beyond_the_snapshot_is_suspect_when_no_ticker_vouches_for_it():
    sync, result = beyond_horizon()
    assert result is SyncResult.HORIZON
    assert sync.state is BookState.SUSPECT


def test_a_touch_beyond_the_snapshot_is_used_while_the_ticker_vouches_and_a_fresh_snapshot_is_wanted():
    sync = synced_spot(snapshot_depth=1, max_unaudited=3)
    sync.on_ticker(ticker(12))
    assert sync.on_update(diff(13, 13, bids=[(100, 0), (90, 4)])) is SyncResult.APPLIED
    assert sync.state is BookState.SYNCED
    assert sync.book.partial
    assert sync.wants_snapshot
    assert sync.on_update(diff(14, 14)) is SyncResult.APPLIED
    assert sync.on_snapshot(snapshot(13, bids=[(95, 1), (90, 4)])) is SyncResult.BRIDGED
    assert sync.state is BookState.SYNCED
    assert sync.book.best_bid() == (95, 1)
    assert not sync.book.partial
    assert sync.counters.horizon_exits == 1


def test_a_ticker_that_falls_silent_no_longer_vouches():
    sync = synced_spot(snapshot_depth=1, max_unaudited=3)
    sync.on_ticker(ticker(12))
    results = [sync.on_update(diff(n, n, bids=[(100, 0), (90, 4)])) for n in range(13, 17)]
    assert results == [SyncResult.APPLIED] * 3 + [SyncResult.HORIZON]
    assert sync.state is BookState.SUSPECT


# --- Halts, disconnects, and books without snapshots ------------------------------------------------


def test_a_halt_stops_the_book_until_the_venue_resumes():
    sync = synced_spot()
    sync.on_halt("maintenance", now_ns=5)
    assert sync.state is BookState.HALT
    assert not sync.wants_snapshot
    assert sync.on_update(diff(13, 13)) is SyncResult.IGNORED
    assert sync.on_snapshot(snapshot(20)) is SyncResult.IGNORED
    sync.on_resume(now_ns=6)
    assert sync.state is BookState.RESYNC
    assert sync.wants_snapshot
    assert sync.book.best_bid() is None
    sync.on_resume(now_ns=7)
    assert sync.state is BookState.RESYNC


def test_a_broken_stream_makes_the_book_suspect():
    sync = synced_spot()
    sync.on_disconnected(now_ns=9)
    assert sync.state is BookState.SUSPECT
    assert sync.wants_snapshot


def test_without_a_snapshot_a_book_stays_in_resync():
    sync = spot()
    for number in range(1, 50):
        sync.on_update(diff(number, number))
    assert sync.state is BookState.RESYNC


def test_a_ticker_book_is_synced_as_best_bid_and_ask_only():
    sync = spot(mode="bbo")
    assert not sync.wants_snapshot
    assert sync.on_update(diff(1, 2)) is SyncResult.IGNORED
    assert sync.state is BookState.RESYNC
    assert sync.on_ticker(ticker(5)) is SyncResult.APPLIED
    assert sync.state is BookState.SYNCED
    assert sync.book.partial
    assert sync.on_ticker(ticker(5, bid=(99, 1))) is SyncResult.DROPPED_OLD
    assert sync.on_ticker(ticker(4, bid=(99, 1))) is SyncResult.DROPPED_OLD
    assert sync.on_ticker(ticker(6, bid=(101, 1))) is SyncResult.CROSSED
    assert sync.state is BookState.SUSPECT
    assert sync.on_ticker(ticker(7)) is SyncResult.APPLIED
    assert sync.state is BookState.SYNCED
    sync.on_disconnected(now_ns=8)
    assert sync.state is BookState.SUSPECT
    sync.on_halt("x", now_ns=8)
    assert sync.on_ticker(ticker(9)) is SyncResult.IGNORED


def test_every_transition_leads_to_synced_by_proof_only():
    proofs = {SyncEvent.BRIDGED, SyncEvent.TICKED}
    assert all(event in proofs for (_, event), state in TRANSITIONS.items() if state is BookState.SYNCED)
    assert all(state is not BookState.HALT for state, event in TRANSITIONS if event in proofs)


def test_the_reasons_are_bounded():
    sync = synced_spot()
    for number in itertools.islice(itertools.count(100, 10), 100):
        sync.on_update(diff(number, number))
    assert len(sync.reasons) == 32


# --- Never wrong while SYNCED ------------------------------------------------------------------------


class WireFaults(RuleBasedStateMachine):
    """A venue whose truth is known, and a wire that loses, repeats, swaps and alters its messages.

    After a faulty message the next one is honest: two faults in a row (one lost, the next forged to cover the hole)
    can imitate an honest stream, and no rule of the venue could tell.
    """

    sequence = SequenceRule.SPOT

    def __init__(self):
        super().__init__()
        self.sync = BookSync(ID, self.sequence, max_buffer=8, snapshot_depth=0)
        self.truth = (dict.fromkeys(range(90, 100), 5), dict.fromkeys(range(101, 111), 5))
        self.update_id = 10
        self.next_id = 11
        self.history = []  # the truth after each diff, by the diff's place
        self.held = None
        self.delivered = -1
        self.faulty = False

    def _change(self, levels):
        for is_bid, offset, lots in levels:
            side, tick = (self.truth[0], 99 - offset) if is_bid else (self.truth[1], 101 + offset)
            if lots:
                side[tick] = lots
            else:
                side.pop(tick, None)
        bids = [(99 - o, q) for b, o, q in levels if b]
        asks = [(101 + o, q) for b, o, q in levels if not b]
        return bids, asks

    def _next_diff(self, levels, width, skip):
        bids, asks = self._change(levels)
        prev = self.update_id
        first = prev + 1 + (skip if self.sequence is SequenceRule.FUTURES else 0)
        self.update_id = first + width
        self.history.append((dict(self.truth[0]), dict(self.truth[1])))
        pu = prev if self.sequence is SequenceRule.FUTURES else -1
        return len(self.history) - 1, diff(first, self.update_id, pu, bids, asks)

    def _deliver(self, place, message):
        self.sync.on_update(message)
        self.delivered = max(self.delivered, place)

    levels = st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 4)), max_size=4)

    @rule(levels=levels, width=st.integers(0, 3), skip=st.integers(0, 2))
    def deliver(self, levels, width, skip):
        self._deliver(*self._next_diff(levels, width, skip))
        if self.held is not None:
            held, self.held = self.held, None
            self._deliver(*held)
        self.faulty = False

    @precondition(lambda self: not self.faulty)
    @rule(levels=levels, width=st.integers(0, 3), skip=st.integers(0, 2))
    def lose(self, levels, width, skip):
        self._next_diff(levels, width, skip)
        self.faulty = True

    @precondition(lambda self: not self.faulty)
    @rule(levels=levels, width=st.integers(0, 3), skip=st.integers(0, 2))
    def repeat(self, levels, width, skip):
        place, message = self._next_diff(levels, width, skip)
        self._deliver(place, message)
        self._deliver(place, message)
        self.faulty = self.held is not None

    @precondition(lambda self: not self.faulty)
    @rule(levels=levels, width=st.integers(0, 3), skip=st.integers(0, 2))
    def swap_with_the_next(self, levels, width, skip):
        self.held = self._next_diff(levels, width, skip)
        self.faulty = True

    @precondition(lambda self: not self.faulty)
    @rule(levels=levels, width=st.integers(0, 3), skip=st.integers(0, 2), by=st.sampled_from([-900, -2, -1, 1, 2, 900]))
    def alter_the_left_edge(self, levels, width, skip, by):
        place, message = self._next_diff(levels, width, skip)
        if self.sequence is SequenceRule.SPOT:
            altered = diff(message.first_update_id + by, message.final_update_id, -1, message.bids, message.asks)
        else:
            altered = diff(
                message.first_update_id,
                message.final_update_id,
                message.prev_final_update_id + by,
                message.bids,
                message.asks,
            )
        self._deliver(place, altered)
        self.faulty = True

    @precondition(lambda self: self.sync.state is BookState.SYNCED and not self.faulty)
    @rule(levels=levels, width=st.integers(0, 3), skip=st.integers(0, 2), by=st.sampled_from([1, 2, 900]))
    def alter_the_last_id(self, levels, width, skip, by):
        place, message = self._next_diff(levels, width, skip)
        prev, final = message.prev_final_update_id, message.final_update_id + by
        self._deliver(place, diff(message.first_update_id, final, prev, message.bids, message.asks))
        self.faulty = True

    @rule()
    def snapshot_when_wanted(self):
        if self.sync.wants_snapshot:
            self.sync.on_snapshot_requested(now_ns=0)
            self.sync.on_snapshot(snapshot(self.update_id, self.truth[0].items(), self.truth[1].items()))

    @invariant()
    def a_synced_book_is_the_truth_of_the_newest_delivered_diff(self):
        if self.sync.state is not BookState.SYNCED:
            return
        assert self.delivered >= 0
        bids, asks = self.history[self.delivered]
        book = self.sync.book.top(1000)
        assert book == (tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items())))

    def teardown(self):
        """Faults off: a snapshot and honest diffs make the book whole within a few messages."""
        for _ in range(6):
            self.snapshot_when_wanted()
            self._deliver(*self._next_diff([(True, 0, 3)], 0, 0))
        assert self.sync.state is BookState.SYNCED
        self.a_synced_book_is_the_truth_of_the_newest_delivered_diff()


class SpotWireFaults(WireFaults):
    sequence = SequenceRule.SPOT


class FuturesWireFaults(WireFaults):
    sequence = SequenceRule.FUTURES


SpotWireFaults.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
FuturesWireFaults.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestSpotNeverWrongWhileSynced = pytest.mark.req("P-MD-2")(SpotWireFaults.TestCase)
TestFuturesNeverWrongWhileSynced = pytest.mark.req("P-MD-2")(FuturesWireFaults.TestCase)


def test_what_the_book_has_followed_is_in_the_counters_whenever_they_are_read():
    sync = synced_spot()
    known = (sync.counters.messages, sync.counters.applied)
    last = sync.book.update_id
    for number in range(last + 1, last + 4):
        assert sync.on_update(diff(number, number, bids=[(99, number)])) is SyncResult.APPLIED
    assert (sync.counters.messages, sync.counters.applied) == (known[0] + 3, known[1] + 3)
    assert sync.on_update(diff(last + 3, last + 3)) is SyncResult.DROPPED_OLD
    assert sync.on_update(diff(last + 4, last + 4, bids=[(102, 1)])) is SyncResult.CROSSED
    counters = sync.counters
    assert (counters.messages, counters.applied, counters.dropped_old) == (known[0] + 5, known[1] + 4, 1)
    assert (sync.book.followed, sync.book.left_edge) == (0, last + 4)
