"""One book: levels come, change and go; what it forgot is behind a horizon and never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.market.book import NO_CEILING, NativeBook, PyBook
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate

ID = "BINANCE:SPOT:BTC-USDT"


@pytest.fixture(
    scope="module",
    params=[
        PyBook,
        pytest.param(NativeBook, marks=pytest.mark.skipif(NativeBook is None, reason="native/ is not built")),
    ],
    ids=["python", "native"],
)
def new_book(request):
    return request.param


def snapshot(bids, asks, last=10):
    return DepthSnapshot(
        instrument_id=ID, last_update_id=last, bids=list(bids), asks=list(asks), ts_event_ns=1, ts_recv_ns=2
    )


def update(bids=(), asks=(), final=11):
    return DepthUpdate(
        instrument_id=ID,
        first_update_id=final,
        final_update_id=final,
        prev_final_update_id=-1,
        bids=list(bids),
        asks=list(asks),
        ts_event_ns=3,
        ts_recv_ns=4,
    )


def test_a_snapshot_is_the_whole_book_in_any_order(new_book):
    book = new_book(ID)
    book.apply_snapshot(snapshot([(98, 1), (100, 5), (99, 0)], [(103, 7), (101, 2)]))
    assert book.best_bid() == (100, 5)
    assert book.best_ask() == (101, 2)
    assert book.top(5) == (((100, 5), (98, 1)), ((101, 2), (103, 7)))
    assert (book.update_id, book.ts_event_ns, book.ts_recv_ns) == (10, 1, 2)


def test_levels_come_change_and_go(new_book):
    book = new_book(ID)
    book.apply_snapshot(snapshot([(100, 5)], [(101, 2)]))
    assert book.apply(update([(100, 0), (99, 3), (42, 0)], [(101, 9)], final=12))
    assert book.best_bid() == (99, 3)
    assert book.best_ask() == (101, 9)
    assert (book.bid_lots(100), book.bid_lots(99), book.ask_lots(101), book.ask_lots(1)) == (0, 3, 9, 0)
    assert book.update_id == 12


def test_an_empty_side_has_no_best_price(new_book):
    book = new_book(ID)
    assert book.best_bid() is None
    assert book.best_ask() is None
    assert book.top(3) == ((), ())
    assert not book.crossed()
    book.apply_snapshot(snapshot([(100, 5)], []))
    assert not book.apply(update([(100, 0)]))
    assert book.best_bid() is None


@pytest.mark.parametrize(("bid", "ask", "crossed"), [(100, 101, False), (101, 101, True), (102, 101, True)])
def test_locked_counts_as_crossed(new_book, bid, ask, crossed):
    book = new_book(ID)
    book.apply_snapshot(snapshot([(bid, 1)], [(ask, 1)]))
    assert book.crossed() is crossed


def test_far_levels_are_dropped_above_the_limit_and_leave_a_horizon(new_book):
    book = new_book(ID, max_levels=4)
    book.apply_snapshot(snapshot([(100, 1)], [(200, 1)]))
    for step in range(1, 40):
        book.apply(update([(100 - step, 1)], [(200 + step, 1)], final=10 + step))
        assert max(book.entries()) <= 8
    assert book.top(4)[0] == ((100, 1), (99, 1), (98, 1), (97, 1))
    assert book.bid_horizon == 97
    assert book.ask_horizon == 203
    assert not book.beyond_horizon()
    book.apply(update([(tick, 0) for tick in range(97, 101)], [], final=99))
    assert book.beyond_horizon()


def test_removed_levels_are_forgotten_by_compaction_without_a_horizon(new_book):
    book = new_book(ID, max_levels=4)
    book.apply_snapshot(snapshot([(100, 1)], [(200, 1)]))
    for step in range(1, 40):
        book.apply(update([(100 - step, 1)], final=10 + 2 * step))
        book.apply(update([(100 - step, 0)], final=11 + 2 * step))
        assert max(book.entries()) <= 8
    assert book.levels() == (1, 1)
    assert book.bid_horizon == 0


def test_a_snapshot_is_cut_off_by_what_it_states_levels_of_nothing_included(new_book):
    book = new_book("X")
    book.apply_snapshot(snapshot([(100, 1), (99, 1), (0, 0)], [(101, 1), (0, 0)]), depth_limit=3)
    assert book.levels() == (2, 1)
    assert (book.bid_horizon, book.ask_horizon) == (99, NO_CEILING)


def test_a_cut_off_snapshot_has_a_horizon(new_book):
    book = new_book(ID)
    book.apply_snapshot(snapshot([(100, 1), (99, 1)], [(101, 1)]), depth_limit=2)
    assert book.bid_horizon == 99
    assert not book.beyond_horizon()
    book.apply(update([(100, 0), (99, 0), (90, 4)]))
    assert book.beyond_horizon()


def test_equal_books_have_equal_hashes_whatever_their_history(new_book):
    one, other = new_book(ID), new_book(ID)
    one.apply_snapshot(snapshot([(100, 5), (99, 1)], [(101, 2)], last=12))
    other.apply_snapshot(snapshot([(97, 5)], [(101, 7)], last=11))
    other.apply(update([(97, 0), (99, 1), (100, 5)], [(101, 2)], final=12))
    assert one.depth_hash() == other.depth_hash()
    assert len(one.depth_hash()) == 32
    other.apply(update([(99, 2)], final=13))
    assert one.depth_hash() != other.depth_hash()


def test_the_top_tells_state_and_at_most_ten_levels(new_book):
    book = new_book(ID)
    book.apply_snapshot(snapshot([(100 - i, 1) for i in range(20)], [(101 + i, 1) for i in range(20)]))
    book.state = BookState.SYNCED
    top = book.to_top(50, synthetic=True)
    assert (len(top.bids), len(top.asks), top.state, top.synthetic) == (10, 10, BookState.SYNCED, True)
    assert top.update_id == 10


def test_a_ticker_book_is_partial_and_keeps_the_last_known_venue_time(new_book):
    book = new_book(ID)
    book.ts_event_ns = 7
    book.apply_ticker(
        BookTicker(
            instrument_id=ID,
            update_id=5,
            bid_ticks=10,
            bid_lots=1,
            ask_ticks=11,
            ask_lots=2,
            ts_event_ns=0,
            ts_recv_ns=9,
        )
    )
    assert book.partial
    assert book.top(5) == (((10, 1),), ((11, 2),))
    assert (book.ts_event_ns, book.ts_recv_ns) == (7, 9)


_levels = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=6)


@given(st.lists(st.tuples(_levels, _levels), max_size=30))
def test_the_book_equals_a_plain_dictionary_after_any_updates(new_book, messages):
    book = new_book(ID, max_levels=100)
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    book.apply_snapshot(snapshot([], []))
    for number, (new_bids, new_asks) in enumerate(messages):
        sound = book.apply(update(new_bids, new_asks, final=11 + number))
        for side, levels in ((bids, new_bids), (asks, new_asks)):
            for tick, lots in levels:
                side[tick] = lots
        live_bids = sorted(((t, q) for t, q in bids.items() if q), reverse=True)
        live_asks = sorted((t, q) for t, q in asks.items() if q)
        assert book.top(100) == (tuple(live_bids), tuple(live_asks))
        assert book.levels() == (len(live_bids), len(live_asks))
        assert sound is bool(live_bids and live_asks and live_bids[0][0] < live_asks[0][0])
