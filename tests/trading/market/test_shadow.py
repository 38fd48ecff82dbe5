"""A snapshot beside a live book: compared at one update id, wherever it falls among the diffs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.market.shadow import ShadowAudit, ShadowVerdict
from trading.market.stitch import BookSync, SequenceRule, SyncResult
from trading.market.stream_stitch import StreamSync

ID = "BINANCE:SPOT:BTC-USDT"
MS = 1_000_000


class Venue:
    """The truth: levels after each update id, and the diffs between them."""

    def __init__(self, rule, changes):
        """``changes``: one list of (side, tick, lots) per diff; each diff spans two ids, as a venue's batches do."""
        self.rule = rule
        self.books = {10: ({100: 5, 99: 4, 98: 3}, {101: 5, 102: 4, 103: 3})}
        self.diffs = []
        bids, asks = (dict(side) for side in self.books[10])
        last = 10
        for change in changes:
            for n, (side, tick, lots) in enumerate(change):
                (bids if side == "bid" else asks)[tick] = lots
                self.books[last + 1 + n] = (dict(bids), dict(asks))
            final = last + max(1, len(change))
            self.books.setdefault(final, (dict(bids), dict(asks)))
            self.diffs.append(
                DepthUpdate(
                    instrument_id=ID,
                    first_update_id=last + 1,
                    final_update_id=final,
                    prev_final_update_id=last,
                    bids=[(t, q) for s, t, q in change if s == "bid"],
                    asks=[(t, q) for s, t, q in change if s == "ask"],
                    ts_event_ns=final,
                    ts_recv_ns=final * MS,
                )
            )
            last = final
        self.last = last

    def snapshot(self, at, depth=1000):
        bids, asks = self.books[at]
        return DepthSnapshot(
            instrument_id=ID,
            last_update_id=at,
            bids=sorted(((t, q) for t, q in bids.items() if q), reverse=True)[:depth],
            asks=sorted((t, q) for t, q in asks.items() if q)[:depth],
            ts_event_ns=at,
            ts_recv_ns=at * MS,
        )

    def live(self):
        """A book that is SYNCED by the venue's first diff."""
        sync = (StreamSync if self.rule in StreamSync.RULES else BookSync)(ID, self.rule)
        sync.on_snapshot(self.snapshot(11 if self.rule is SequenceRule.FUTURES else 10))
        assert sync.on_update(self.diffs[0]) is SyncResult.BRIDGED
        return sync


CHANGES = [
    [("bid", 100, 6), ("ask", 101, 1)],
    [("bid", 97, 2), ("ask", 104, 2)],
    [("bid", 99, 0), ("ask", 102, 9)],
    [("bid", 100, 0), ("bid", 96, 7)],
    [("ask", 101, 0), ("ask", 105, 1)],
]
RULES = [SequenceRule.SPOT, SequenceRule.FUTURES, SequenceRule.OKX]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("at", range(11, 21))
@pytest.mark.parametrize("when", range(1, 6))
def test_the_books_are_equal_wherever_the_snapshot_lies_and_whenever_it_comes(rule, at, when):
    venue = Venue(rule, CHANGES)
    sync = venue.live()
    audit = ShadowAudit(sync.book, rule)
    audit.begin(0)
    results = []
    for n, diff in enumerate(venue.diffs[1:], 1):
        if n == when:
            results.append(audit.on_snapshot(venue.snapshot(at)))
        assert sync.on_update(diff) is SyncResult.APPLIED
        results.append(audit.on_update(diff))
    if when == 5:
        results.append(audit.on_snapshot(venue.snapshot(at)))
    result = next(result for result in results if result is not None)
    if at == 11:
        # It is older than the first diff that was kept: nothing proves what lies between.
        assert result.verdict is ShadowVerdict.NO_POINT
    else:
        assert (result.verdict, result.differing, result.first) == (ShadowVerdict.EQUAL, 0, None)
        assert result.compared >= 6
        assert result.snapshot_id == at
    assert not audit.running
    assert sync.state is BookState.SYNCED


def test_a_difference_is_named_counted_and_condemned_by_the_books_own_audit():
    venue = Venue(SequenceRule.SPOT, CHANGES)
    sync = venue.live()
    audit = ShadowAudit(sync.book, SequenceRule.SPOT)
    audit.begin(0)
    for diff in venue.diffs[1:3]:
        sync.on_update(diff)
        assert audit.on_update(diff) is None
    # A quantity changed inside a well-numbered diff: no rule of the venue can show it.
    sync.book.apply(
        DepthUpdate(
            instrument_id=ID,
            first_update_id=16,
            final_update_id=16,
            prev_final_update_id=16,
            bids=[(98, 33), (97, 44)],
            asks=[],
            ts_event_ns=16,
            ts_recv_ns=16 * MS,
        )
    )
    result = audit.on_snapshot(venue.snapshot(14))
    assert result.verdict is ShadowVerdict.DIFFERENT
    assert (result.update_id, result.differing, result.compared) == (16, 2, 7)
    first = result.first
    assert (first.side, first.depth, first.price_ticks, first.live_lots, first.shadow_lots) == ("bid", 2, 98, 33, 3)
    assert "2 of 7 levels differ" in result.reason
    assert sync.on_snapshot(result.evidence) is SyncResult.MISMATCH
    assert sync.state is BookState.SUSPECT
    assert audit.counters.different == 1


def test_levels_beyond_what_either_book_knows_are_not_compared():
    venue = Venue(SequenceRule.SPOT, CHANGES)
    sync = venue.live()
    audit = ShadowAudit(sync.book, SequenceRule.SPOT, snapshot_depth=2)
    audit.begin(0)
    sync.on_update(venue.diffs[1])
    audit.on_update(venue.diffs[1])
    result = audit.on_snapshot(venue.snapshot(13, depth=2))
    # The shadow reaches down to 99 and up to 102 only; what the live book holds beyond them is nobody's error.
    assert (result.verdict, result.compared) == (ShadowVerdict.EQUAL, 4)
    audit = ShadowAudit(sync.book, SequenceRule.SPOT, levels=1)
    audit.begin(0)
    assert audit.on_snapshot(venue.snapshot(14)).compared == 2


def test_a_missing_level_does_not_make_those_below_it_differ():
    venue = Venue(SequenceRule.SPOT, CHANGES)
    sync = venue.live()
    audit = ShadowAudit(sync.book, SequenceRule.SPOT, levels=2)
    audit.begin(0)
    snapshot = venue.snapshot(12)
    snapshot.bids.remove((99, 4))
    snapshot.asks.remove((102, 4))
    result = audit.on_snapshot(snapshot)
    # 99 and 102 are missing from one book, and 98 and 103 are only in the best two of the other for it.
    assert (result.verdict, result.differing, result.compared) == (ShadowVerdict.DIFFERENT, 2, 4)


def test_futures_join_by_the_number_of_the_diff_before_where_ids_belong_to_many_symbols():
    def futures(first, final, prev):
        return DepthUpdate(
            instrument_id=ID,
            first_update_id=first,
            final_update_id=final,
            prev_final_update_id=prev,
            bids=[(100, final)],
            asks=[],
            ts_event_ns=final,
            ts_recv_ns=final * MS,
        )

    sync = BookSync(ID, SequenceRule.FUTURES)
    sync.on_snapshot(Venue(SequenceRule.FUTURES, []).snapshot(10))
    sync.on_update(futures(9, 12, 7))
    for last, verdict in ((15, ShadowVerdict.EQUAL), (11, ShadowVerdict.NO_POINT)):
        audit = ShadowAudit(sync.book, SequenceRule.FUTURES)
        audit.begin(0)
        before = sync.book.update_id
        sync.on_update(futures(before + 20, before + 25, before))
        audit.on_update(futures(before + 20, before + 25, before))
        snapshot = DepthSnapshot(
            instrument_id=ID,
            last_update_id=last,
            bids=[(100, 1), (99, 4), (98, 3)],
            asks=[(101, 5), (102, 4), (103, 3)],
            ts_event_ns=0,
            ts_recv_ns=0,
        )
        assert audit.on_snapshot(snapshot).verdict is verdict


def test_a_book_that_lost_its_proof_is_not_compared():
    venue = Venue(SequenceRule.SPOT, CHANGES)
    for when in ("update", "snapshot"):
        sync = venue.live()
        audit = ShadowAudit(sync.book, SequenceRule.SPOT)
        audit.begin(0)
        sync.on_update(venue.diffs[2])  # a gap
        ended = audit.on_update(venue.diffs[2]) if when == "update" else audit.on_snapshot(venue.snapshot(12))
        assert ended.verdict is ShadowVerdict.ABANDONED
        assert "suspect" in ended.reason
        assert audit.counters.abandoned == 1


def test_an_audit_ends_without_a_verdict_when_nothing_comes_or_nothing_fits():
    venue = Venue(SequenceRule.SPOT, CHANGES)
    sync = venue.live()
    audit = ShadowAudit(sync.book, SequenceRule.SPOT, diffs_max=2)
    assert audit.on_tick(10**12) is None
    audit.begin(0)
    assert audit.on_snapshot(venue.snapshot(20)) is None  # the live book is at 12
    assert audit.on_tick(9999 * MS) is None
    assert audit.on_tick(10_000 * MS).verdict is ShadowVerdict.NO_POINT
    audit.begin(0)
    assert audit.on_snapshot_failed("HTTP 503", 5).reason == "HTTP 503"
    audit.begin(0)
    unnumbered = DepthSnapshot(instrument_id=ID, last_update_id=-1, bids=[], asks=[], ts_event_ns=0, ts_recv_ns=0)
    assert audit.on_snapshot(unnumbered).verdict is ShadowVerdict.NO_POINT
    audit.begin(0)
    for diff in venue.diffs[1:]:
        sync.on_update(diff)
        audit.on_update(diff)
    assert audit.on_snapshot(venue.snapshot(14)).verdict is ShadowVerdict.NO_POINT  # the first diffs were pushed out
    assert audit.counters.no_point == 4
    assert audit.on_snapshot(venue.snapshot(14)) is None
    assert audit.on_update(venue.diffs[1]) is None
    assert audit.on_snapshot_failed("late", 6) is None


SIDES = st.one_of(
    st.tuples(st.just("bid"), st.integers(80, 100), st.integers(0, 9)),
    st.tuples(st.just("ask"), st.integers(101, 120), st.integers(0, 9)),
)


@given(
    changes=st.lists(st.lists(SIDES, min_size=1, max_size=4), min_size=3, max_size=20),
    rule=st.sampled_from(RULES),
    data=st.data(),
)
def test_a_right_book_is_equal_and_one_wrong_level_is_found(changes, rule, data):
    venue = Venue(rule, [[("bid", 100, 6)], *changes])
    sync = venue.live()
    audit = ShadowAudit(sync.book, rule)
    audit.begin(0)
    begin = data.draw(st.integers(0, len(changes) - 1))
    at = data.draw(st.integers(11, venue.last))
    wrong = data.draw(st.booleans())
    result, spoilt = None, False
    for n, diff in enumerate(venue.diffs[1:]):
        if n == begin:
            snapshot = venue.snapshot(at)
            if wrong and snapshot.bids:
                tick, lots = snapshot.bids[0]
                touched = [t for d in venue.diffs if d.final_update_id > at for t, _ in d.bids]
                spoilt = tick not in touched
                snapshot.bids[0] = (tick, lots + 1)
            result = result or audit.on_snapshot(snapshot)
        sync.on_update(diff)
        if sync.state is not BookState.SYNCED:
            return  # the drawn book is empty on one side or crossed: not what is looked at here
        result = result or audit.on_update(diff)
    assert result is not None
    if result.verdict is ShadowVerdict.NO_POINT:
        assert at < venue.diffs[1].first_update_id - 1
    elif wrong:
        assert (result.verdict is ShadowVerdict.DIFFERENT) or not spoilt
    else:
        assert result.verdict is ShadowVerdict.EQUAL
