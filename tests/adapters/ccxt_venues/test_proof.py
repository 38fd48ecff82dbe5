"""When a book through ccxt may be traded on: what proves it, for how long, and what breaks the proof."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ccxt_venues.proof import AGREEING, ShadowedSync
from trading.market.book import Book
from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.market.stitch import SyncResult

NAME = "GATEIO:SPOT:BTC-USDT"
S = 1_000_000_000
T0 = 1_795_000_000 * S
SYNCED, SUSPECT, RESYNC = BookState.SYNCED, BookState.SUSPECT, BookState.RESYNC
DEEP = {"bids": [(1000 - i, 10 + i) for i in range(50)], "asks": [(1001 + i, 20 + i) for i in range(50)]}


class Live:
    """A book as its venue has it, and the sync that is told of it."""

    def __init__(self, proof_s=45):
        self.sync = ShadowedSync(NAME, proof_ms=proof_s * 1000)
        self.venue = Book(NAME)
        self.number = 100
        self.now = T0
        self.venue.apply_snapshot(self.rest(DEEP))

    def rest(self, sides=None, number=None, in_stream=False):
        bids, asks = self.venue.top(100)
        return DepthSnapshot(
            instrument_id=NAME,
            last_update_id=self.number if number is None else number,
            bids=list(sides["bids"] if sides else bids),
            asks=list(sides["asks"] if sides else asks),
            ts_event_ns=0,
            ts_recv_ns=self.now,
            in_stream=in_stream,
        )

    def begin(self):
        return self.sync.on_snapshot(self.rest(in_stream=True))

    def update(self, bids=(), asks=(), step=1, said_bids=None):
        """The venue's book changes; the sync is told, or is told ``said_bids`` instead."""
        before, self.number = self.number, self.number + step

        def made(levels):
            return DepthUpdate(
                instrument_id=NAME,
                first_update_id=before + 1,
                final_update_id=self.number,
                prev_final_update_id=before,
                bids=list(levels),
                asks=list(asks),
                ts_event_ns=0,
                ts_recv_ns=self.now,
            )

        self.venue.apply(made(bids))
        return self.sync.on_update(made(bids if said_bids is None else said_bids))

    def shadow(self, **how):
        return self.sync.on_snapshot(self.rest(**how))

    def later(self, seconds):
        self.now += int(seconds * S)
        return self

    def proved(self):
        self.begin()
        for _ in range(AGREEING):
            self.later(1).update([(1000, self.number)])
            self.shadow()
        assert self.sync.state is SYNCED
        return self


def test_a_book_that_nothing_was_compared_with_is_shown_and_not_believed():
    live = Live()
    assert live.begin() is SyncResult.BUFFERED
    for lots in (5, 6, 7):
        assert live.update([(1000, lots)]) is SyncResult.BUFFERED
    assert live.sync.state is RESYNC
    assert live.sync.book.top(1) == (((1000, 7),), ((1001, 20),))
    assert live.sync.wants_snapshot


def test_two_snapshots_in_a_row_that_agree_prove_it_and_one_does_not():
    live = Live()
    live.begin()
    assert live.shadow() is SyncResult.BUFFERED
    assert live.sync.state is RESYNC
    assert (live.sync.wants_snapshot, live.sync.reason) == (True, "1 of 2 snapshots agree: 80 levels agree at 100")
    live.later(1).update([(1000, 3)])
    assert live.shadow() is SyncResult.BRIDGED
    assert (live.sync.state, live.sync.wants_snapshot) == (SYNCED, False)
    assert live.update([(1000, 4)]) is SyncResult.APPLIED


def test_a_reply_that_says_again_what_was_compared_already_is_no_second_snapshot():
    live = Live()
    live.begin()
    live.shadow()
    kept = live.rest()
    live.update([(1000, 3)])
    assert live.sync.on_snapshot(kept) is SyncResult.IGNORED  # a cache answered
    assert live.sync.state is RESYNC
    assert live.shadow() is SyncResult.BRIDGED
    # A market where nothing happens says something new each time: that it still stands there.
    assert live.later(10).shadow() is SyncResult.AUDITED


def test_a_snapshot_ahead_of_the_stream_waits_for_it_and_one_between_two_messages_is_brought_to_the_later():
    live = Live().proved()
    ahead = live.rest(number=live.number + 5)
    ahead = DepthSnapshot(**{name: getattr(ahead, name) for name in ahead.__struct_fields__} | {
        "bids": [(1000, 77), *ahead.bids[1:]]
    })  # fmt: skip
    audited = live.sync.counters.audited
    assert live.sync.on_snapshot(ahead) is SyncResult.BUFFERED
    assert live.update([(1000, 76)], step=3) is SyncResult.APPLIED
    assert live.sync.counters.audited == audited
    assert live.update([(1000, 78)], step=4) is SyncResult.APPLIED
    assert (live.sync.counters.audited, live.sync.state) == (audited + 1, SYNCED)


@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("depth", [0, 7, 39])
def test_a_snapshot_that_differs_by_a_lot_makes_it_suspect_at_once(side, depth):
    live = Live().proved()
    bids, asks = (list(levels) for levels in live.venue.top(50))
    wrong = {"bids": bids, "asks": asks}
    tick, lots = wrong[side][depth]
    wrong[side][depth] = (tick, lots + 1)
    assert live.later(1).shadow(sides=wrong) is SyncResult.MISMATCH
    assert (live.sync.state, live.sync.wants_snapshot) == (SUSPECT, True)
    assert f"first {side[:-1]} {depth + 1}" in live.sync.reason
    # And then two are needed again.
    assert live.later(1).shadow() is SyncResult.BUFFERED
    assert live.sync.state is SUSPECT
    live.update([(1000, 9)])
    assert live.shadow() is SyncResult.BRIDGED


def test_a_diff_that_ccxt_took_although_one_before_it_was_lost_shows_in_the_next_snapshot():
    live = Live().proved()
    live.update([(995, 1234)], said_bids=[])  # the number moved, the level did not come
    assert live.sync.state is SYNCED
    live.later(5).update([(1000, 9)])
    assert live.shadow() is SyncResult.MISMATCH
    assert "1234" in live.sync.reason


def test_a_proof_runs_out_with_the_next_message_and_each_agreeing_snapshot_renews_it():
    live = Live(proof_s=45).proved()
    assert live.later(45).update([(1000, 1)]) is SyncResult.APPLIED
    assert live.shadow() is SyncResult.AUDITED
    assert live.later(45).update([(1000, 2)]) is SyncResult.APPLIED
    assert live.later(1).update([(1000, 3)]) is SyncResult.MISMATCH
    assert (live.sync.state, live.sync.wants_snapshot) == (SUSPECT, True)
    assert live.sync.reason == "no snapshot agreed for 46.0 s"
    assert live.update([(1000, 4)]) is SyncResult.BUFFERED


def test_snapshots_that_cannot_be_compared_renew_nothing():
    live = Live(proof_s=45).proved()
    for _ in range(8):
        assert live.later(5).shadow(number=3) is SyncResult.IGNORED
        live.update([(1000, live.number)])
    assert live.sync.state is SYNCED
    assert live.later(10).shadow(number=-1) is SyncResult.MISMATCH  # it is too late, whatever comes now
    assert live.sync.state is SUSPECT


def test_two_snapshots_that_are_too_far_apart_are_not_two_in_a_row():
    live = Live(proof_s=45)
    live.begin()
    live.shadow()
    live.later(50).update([(1000, 3)])
    assert live.shadow() is SyncResult.BUFFERED
    assert live.later(1).shadow() is SyncResult.BRIDGED


@pytest.mark.req("P-VEN-13")
def test_a_lost_connection_makes_it_suspect_and_the_next_begins_unproved():
    live = Live().proved()
    live.sync.on_disconnected(live.now)
    assert (live.sync.state, live.sync.wants_snapshot) == (SUSPECT, True)
    live.sync.on_snapshot_requested(live.now)
    assert live.begin() is SyncResult.BUFFERED
    assert live.sync.state is RESYNC
    live.shadow()
    live.update([(1000, 3)])
    assert live.shadow() is SyncResult.BRIDGED
    assert live.sync.counters.resyncs == 1


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda live: live.begin(), "the book began anew"),
        (lambda live: live.sync.on_update(_update(live, live.number, live.number, [(1000, 1)])), "two books"),
        (lambda live: live.sync.on_update(_update(live, live.number + 3, live.number + 4, [])), "does not follow"),
        (lambda live: live.sync.on_update(_update(live, live.number, live.number - 1, [])), "does not follow"),
        (lambda live: live.update([(1002, 5)]), "crossed"),
    ],
)
def test_what_no_sound_stream_says_breaks_the_proof(broken, said):
    live = Live().proved()
    broken(live)
    assert live.sync.state is SUSPECT
    assert said in live.sync.reason
    assert live.sync.wants_snapshot


def test_a_book_without_numbers_is_never_proved():
    live = Live()
    for _ in range(5):
        live.sync.on_snapshot(live.rest(number=-1, in_stream=True))
        live.later(1).shadow()
        live.shadow(number=-1)
    assert live.sync.state is RESYNC
    assert "no number" in live.sync.reason


def test_a_sign_of_life_is_applied_and_changes_nothing():
    live = Live().proved()
    top = live.sync.book.top(50)
    still = _update(live.later(1), live.number, live.number, [])
    assert live.sync.on_update(still) is SyncResult.APPLIED
    assert (live.sync.book.top(50), live.sync.counters.heartbeats) == (top, 1)


def _update(live, before, number, bids):
    return DepthUpdate(
        instrument_id=NAME,
        first_update_id=before + 1,
        final_update_id=number,
        prev_final_update_id=before,
        bids=bids,
        asks=[],
        ts_event_ns=0,
        ts_recv_ns=live.now,
    )


steps = st.lists(
    st.tuples(
        st.sampled_from(["update", "lost", "shadow", "late_shadow", "wait", "disconnect"]),
        st.integers(0, 20),
        st.integers(1, 9),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_a_book_is_synced_only_while_what_it_says_was_agreed_with_not_long_ago(drawn):
    """Whatever comes in whatever order: a proof needs two agreeing snapshots since the last doubt."""
    live = Live(proof_s=10)
    live.begin()
    wrong: set[int] = set()
    agreed = 0
    agreed_ns = 0
    for kind, rank, lots in drawn:
        tick = 1000 - rank
        if kind == "update":
            live.update([(tick, lots)])
            wrong.discard(tick)
        elif kind == "lost":
            live.update([(tick, 50_000 + lots)], said_bids=[])
            wrong.add(tick)
        elif kind in {"shadow", "late_shadow"}:
            if kind == "late_shadow":
                live.later(rank)
            if live.now - agreed_ns > 10 * S:
                agreed = 0
            live.shadow()
            agreed = 0 if wrong else agreed + 1
            agreed_ns = live.now
        elif kind == "wait":
            live.later(lots)
        else:
            live.sync.on_disconnected(live.now)
            agreed = 0
        if live.sync.state is SYNCED and kind in {"shadow", "late_shadow"}:
            assert agreed >= AGREEING
            assert not wrong
            assert live.sync.book.top(40) == live.venue.top(40)
        if agreed >= AGREEING and live.now - agreed_ns <= 10 * S:
            assert live.sync.state is SYNCED
