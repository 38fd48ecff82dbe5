"""The book in C against the book in Python: entry for entry the same, whatever comes; nothing leaks or is torn."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import weakref
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from native import marketdata
from trading.market.book import NativeBook, PyBook
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate

PROJECT = Path(__file__).resolve().parents[3]
ID = "BINANCE:SPOT:BTC-USDT"

pytestmark = [
    pytest.mark.req("P-EXE-17"),
    pytest.mark.skipif(NativeBook is None, reason="native/ is not built"),
]

SHAPES = [list, tuple] if marketdata is None else [list, tuple, marketdata.Levels]


def update(bids=(), asks=(), final=11, ts=3):
    return DepthUpdate(
        instrument_id=ID,
        first_update_id=final,
        final_update_id=final,
        prev_final_update_id=-1,
        bids=bids,
        asks=asks,
        ts_event_ns=ts,
        ts_recv_ns=ts + 1,
    )


def snapshot(bids=(), asks=(), last=10):
    return DepthSnapshot(
        instrument_id=ID, last_update_id=last, bids=list(bids), asks=list(asks), ts_event_ns=1, ts_recv_ns=2
    )


def ticker(bid, ask, number, ts=0):
    return BookTicker(
        instrument_id=ID,
        update_id=number,
        bid_ticks=bid[0],
        bid_lots=bid[1],
        ask_ticks=ask[0],
        ask_lots=ask[1],
        ts_event_ns=ts,
        ts_recv_ns=number,
    )


def everything(book):
    return {
        "top": book.top(1000),
        "few": [book.top(n) for n in range(4)],
        "levels": book.levels(),
        "entries": book.entries(),
        "best": (book.best_bid(), book.best_ask()),
        "touch": (book.crossed(), book.beyond_horizon()),
        "horizons": (book.bid_horizon, book.ask_horizon),
        "hash": (book.depth_hash(), book.depth_hash(3)),
        "told": [book.to_top(), book.to_top(20, synthetic=True, seen_ns=7), book.to_top(2), book.to_top(0)],
        "edge": (book.left_edge, book.followed),
        "ids": (book.update_id, book.ts_event_ns, book.ts_recv_ns, book.state, book.partial, book.instrument_id),
        "bid_lots": [book.bid_lots(tick) for tick in range(-1, 42)],
        "ask_lots": [book.ask_lots(tick) for tick in range(-1, 42)],
    }


LEVELS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=12)
ONE = st.tuples(st.integers(1, 40), st.integers(0, 3))


class BothBooks(RuleBasedStateMachine):
    """Every call goes to both books; levels come in any order and more than once."""

    @initialize(max_levels=st.integers(1, 9))
    def make(self, max_levels):
        self.books = [PyBook(ID, max_levels), NativeBook(ID, max_levels)]
        self.number = 10

    def both(self, call):
        answers = [call(book) for book in self.books]
        assert answers[0] == answers[1]

    @rule(bids=LEVELS, asks=LEVELS, limit=st.integers(0, 8))
    def snapshot(self, bids, asks, limit):
        self.number += 1
        if limit <= len(bids) and limit <= len(asks):
            self.both(lambda book: book.apply_snapshot(snapshot(bids, asks, self.number), limit))

    @rule(bids=LEVELS, asks=LEVELS, shape=st.sampled_from(SHAPES), ordered=st.booleans())
    def update(self, bids, asks, shape, ordered):
        self.number += 1
        if ordered:
            bids, asks = sorted(dict(bids).items(), reverse=True), sorted(dict(asks).items())
        self.both(lambda book: book.apply(update(shape(bids), shape(asks), self.number)))

    @rule(bids=LEVELS, asks=LEVELS, chained=st.booleans(), back=st.integers(-2, 2), width=st.integers(-1, 2))
    def follow(self, bids, asks, chained, back, width):
        last = self.books[0].update_id
        one = update(bids, asks, last + width)
        one = msgspec.structs.replace(one, prev_final_update_id=last + back, first_update_id=last + 1 + back)
        self.both(lambda book: book.follow(one, chained))

    @rule(
        noted=st.dictionaries(
            st.tuples(st.sampled_from(["bid", "ask"]), st.integers(0, 40)), st.tuples(*[st.integers(0, 3)] * 2)
        )
    )
    def drop_changed(self, noted):
        def left(book):
            levels = dict(noted)
            book.drop_changed(levels, "bid")
            return levels

        self.both(left)

    @rule()
    def owner_counts(self):
        for book in self.books:
            book.followed = 0

    @rule(bid=ONE, ask=ONE, ts=st.integers(0, 2))
    def ticker(self, bid, ask, ts):
        self.number += 1
        self.both(lambda book: book.apply_ticker(ticker(bid, ask, self.number, ts)))

    @rule()
    def clear(self):
        self.both(lambda book: book.clear())

    @rule(state=st.sampled_from(BookState), partial=st.booleans())
    def owner_writes(self, state, partial):
        for book in self.books:
            book.state, book.partial = state, partial

    @invariant()
    def they_are_the_same(self):
        assert everything(self.books[0]) == everything(self.books[1])


BothBooks.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestBothBooks = BothBooks.TestCase


def test_a_large_book_forgets_the_same_levels_at_the_same_moment():
    books = [PyBook(ID, 500), NativeBook(ID, 500)]
    for book in books:
        book.apply_snapshot(snapshot([(5000, 1)], [(5001, 1)]))
    for number in range(3000):
        far = (number * 7919) % 2000
        bids = [(5000 - far, number % 3), (4999 - far, 1)]
        asks = [(5001 + far, 1), (5002 + far, number % 3)]
        told = [book.apply(update(bids, asks, number)) for book in books]
        assert told[0] is told[1]
        assert books[0].entries() == books[1].entries()
    assert books[0].bid_horizon > 0
    assert everything(books[0]) == everything(books[1])


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([(100, 0), (99, 0), (90, 4)], []),
        ([], [(101, 0), (102, 0), (120, 4)]),
        ([(100, 0), (99, 0)], []),
        ([], [(101, 0), (102, 0)]),
        ([(101, 1)], []),
        ([(102, 1)], []),
        ([(100, 0)], [(101, 0)]),
    ],
)
def test_a_touch_is_sound_only_inside_of_both_horizons_and_uncrossed(bids, asks):
    books = [PyBook(ID), NativeBook(ID)]
    for book in books:
        book.apply_snapshot(snapshot([(100, 1), (99, 1)], [(101, 1), (102, 1)]), 2)
    told = [book.apply(update(bids, asks)) for book in books]
    assert told == [((100, 0) in bids) and ((101, 0) in asks)] * 2
    assert everything(books[0]) == everything(books[1])


class Plain:
    """A message that is no struct: its fields are attributes."""

    def __init__(self, of):
        for name in of.__struct_fields__:
            setattr(self, name, getattr(of, name))


class Counting(Plain):
    """One whose update id is worked out when it is asked for."""

    final_update_id = property(lambda self: 12, lambda self, _: None)


class Longer(DepthUpdate, frozen=True, kw_only=True):
    """A struct of another shape."""

    first: int = 0


def longer(of):
    return Longer(**{name: getattr(of, name) for name in of.__struct_fields__})


def test_messages_of_any_type_are_read_alike_in_turn():
    books = [PyBook(ID), NativeBook(ID)]
    kinds = [lambda one: one, Plain, longer, Counting, lambda one: one, Counting, Plain, longer]
    for n, kind in enumerate(kinds):
        for book in books:
            book.apply(kind(update([(100 + n, 1)], [(200 - n, 2)], 12, n)))
            if kind is not longer:
                book.apply_ticker((Plain if n % 2 else lambda one: one)(ticker((90 + n, n), (99, 1), n)))
        assert everything(books[0]) == everything(books[1])
    for lacking in (object(), ticker((1, 1), (2, 1), 1)):
        with pytest.raises(AttributeError):
            books[1].apply(lacking)


def test_a_type_that_changes_is_learned_anew():
    class Changing(msgspec.Struct):
        final_update_id: int
        bids: list[tuple[int, int]]
        asks: list[tuple[int, int]]
        ts_event_ns: int = 1
        ts_recv_ns: int = 2

    book, one = NativeBook(ID), Changing(5, [(1, 1)], [(2, 1)])
    book.apply(one)
    assert book.update_id == 5
    Changing.final_update_id = property(lambda self: 77)
    book.apply(one)
    assert book.update_id == 77


BAD = [
    ([(1, 2, 3)], TypeError),
    ([[1, 2]], TypeError),
    ([(1.0, 2)], TypeError),
    ([("1", 2)], TypeError),
    ([(1, None)], TypeError),
    ({1: 2}, TypeError),
    (None, TypeError),
    (iter([(1, 2)]), TypeError),
    ([(1 << 62, 2)], OverflowError),
    ([(1, 1 << 70)], OverflowError),
    ([(-(1 << 63), 2)], OverflowError),
]


@pytest.mark.parametrize(("levels", "error"), BAD, ids=range(len(BAD)))
def test_what_is_not_a_level_is_refused_and_leaves_the_book_as_it_was(levels, error):
    book = NativeBook(ID)
    book.apply_snapshot(snapshot([(100, 5)], [(101, 5)]))
    before = everything(book)
    with pytest.raises(error):
        book.apply(update([(100, 0)], levels))
    with pytest.raises(error):
        book.apply(update(levels, [(101, 0)]))
    assert everything(book) == before


@pytest.mark.parametrize("number", [1 << 62, 1 << 70, -(1 << 70)])
def test_a_diff_of_impossible_numbers_does_not_follow(number):
    for book in (PyBook(ID), NativeBook(ID)):
        book.apply_snapshot(snapshot([(100, 5)], [(101, 5)], 7))
        one = update([(100, 1)], [], 8)
        for wrong in ({"prev_final_update_id": number}, {"prev_final_update_id": 7, "final_update_id": -(1 << 70)}):
            assert book.follow(msgspec.structs.replace(one, **wrong), True) is None
        assert book.follow(msgspec.structs.replace(one, first_update_id=number), False) is None
        assert (book.update_id, book.followed, book.best_bid()) == (7, 0, (100, 5))


@pytest.mark.parametrize("gaps", [(1,), (1, 1, 1, 2), (1, 3, 5)])
def test_levels_are_found_in_dense_books_and_in_books_with_holes(gaps):
    ticks, tick = [], 1000
    for n in range(60):
        ticks.append(tick)
        tick += gaps[n % len(gaps)]
    books = [PyBook(ID), NativeBook(ID)]
    for book in books:
        book.apply_snapshot(snapshot([(one - 5000, 1) for one in ticks], [(one, 1) for one in ticks]))
    chance = random.Random(len(gaps))
    for number in range(300):
        n = chance.randint(1, 30)
        bids = [(one - 5000, chance.randint(0, 3)) for one in sorted(chance.sample(ticks, n), reverse=True)]
        asks = [(one + chance.randint(0, 1), chance.randint(0, 3)) for one in chance.sample(ticks, n)]
        told = [book.apply(update(bids, asks, number)) for book in books]
        assert told[0] is told[1]
        assert books[0].top(1000) == books[1].top(1000)


@pytest.mark.parametrize(
    "levels", [None, {1: (1, 0)}, {("bid",): (1, 0)}, {("bid", 1): ()}, {("bid", 1): [1, 0]}, {("bid", "1"): (1, 0)}]
)
def test_levels_of_another_shape_are_refused_whole(levels):
    noted = levels if levels is None else {("bid", 7): (9, 0)} | levels
    before = noted if noted is None else dict(noted)
    with pytest.raises(TypeError):
        NativeBook(ID, 5).drop_changed(noted, "bid")
    assert noted == before


def test_an_argument_that_it_does_not_know_is_refused():
    book = NativeBook(ID)
    for wrong in ({"m": 1}, {"n": "five"}, {"seen_ns": 1 << 70}):
        with pytest.raises((TypeError, OverflowError)):
            book.to_top(**wrong)
    with pytest.raises(TypeError):
        book.to_top(5, n=5)
    with pytest.raises(TypeError):
        book.to_top(5, False, 0, 1)
    with pytest.raises(ValueError, match="max_levels"):
        NativeBook(ID, 0)
    with pytest.raises(AttributeError):
        book.depth = 1


def test_what_is_told_again_is_not_made_again_and_what_was_told_stays():
    book = NativeBook(ID)
    book.apply_snapshot(snapshot([(tick, 1000 + tick) for tick in range(400, 300, -1)], [(500, 900), (501, 901)]))
    first = book.to_top(3)
    book.apply(update([(301, 7)], [(501, 902)], 11))
    second = book.to_top(3)
    assert second.bids is first.bids
    assert second.asks == ((500, 900), (501, 902))
    assert second.asks[0] is first.asks[0]
    assert second.asks[1][0] is first.asks[1][0]
    book.apply(update([(410, 5), (399, 0)], [], 12))
    third = book.to_top(3)
    assert third.bids == ((410, 5), (400, 1400), (398, 1398))
    assert third.bids[1] is first.bids[0]
    assert third.bids[2] is first.bids[2]
    assert third.asks is second.asks
    assert first.bids == ((400, 1400), (399, 1399), (398, 1398))
    assert first.asks == ((500, 900), (501, 901))
    wide = book.to_top(10)
    assert wide.bids[:3] == third.bids
    assert book.to_top(2).bids == third.bids[:2]
    book.clear()
    assert (book.to_top().bids, book.to_top().asks) == ((), ())


def test_a_book_keeps_no_more_of_what_it_told_than_ten_levels_a_side():
    book = NativeBook(ID)
    book.apply_snapshot(snapshot([(tick, tick + 1000) for tick in range(1300, 1200, -1)], [(2000, 999)]))
    bids = book.to_top(10).bids
    pair = bids[0]
    held = (sys.getrefcount(bids), sys.getrefcount(pair))
    book.apply(update([(tick, 1) for tick in range(1310, 1300, -1)], []))
    assert len(book.to_top(10).bids) == 10
    after = (sys.getrefcount(bids), sys.getrefcount(pair))
    assert (held, after) == ((3, 3), (2, 3))  # ours, the call's, and once the book's


@given(LEVELS)
def test_levels_look_like_a_list_of_pairs(pairs):
    levels = marketdata.Levels(pairs)
    assert levels == pairs
    assert pairs == levels
    assert levels == marketdata.Levels(tuple(pairs))
    assert levels != [*pairs, (1, 1)]
    assert levels != tuple(pairs)
    assert (levels != pairs) is False
    assert (len(levels), list(levels), repr(levels)) == (len(pairs), pairs, repr(pairs))
    assert levels[1:3] == pairs[1:3]
    assert bool(levels) is bool(pairs)
    for index, pair in enumerate(pairs):
        assert levels[index] == levels[index - len(pairs)] == pair
        assert pair in levels
    for index in (len(pairs), -len(pairs) - 1):
        with pytest.raises(IndexError):
            levels[index]
    with pytest.raises(TypeError):
        hash(levels)
    with pytest.raises(TypeError):
        levels[0] = (1, 1)


def test_an_update_read_from_msgpack_still_has_lists():
    wire = msgspec.msgpack.encode(update([(100, 5)], [(101, 5)]))
    assert type(msgspec.msgpack.decode(wire, type=DepthUpdate).bids) is list


def test_a_book_is_collected_with_what_it_holds():
    class State:
        pass

    book = NativeBook(ID)
    book.state = state = State()
    state.book = book
    gone = weakref.ref(state)
    del book, state
    gc.collect()
    assert gone() is None


def resident_bytes():
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_a_hundred_thousand_updates_leak_nothing():
    book = NativeBook(ID, 200)
    kept = update(((100, 5), (99, 0), (99, 2)), marketdata.Levels([(101, 5), (102, 0)]))
    torn = update([(100, 5), "x"], [])
    whole = snapshot([(100, 1), (99, 1), (99, 2)], [(101, 1)])
    wide = [update([(5000 - n % 700, 1 + n % 2)], [(5001 + n % 700, n % 2)], n) for n in range(2000)]

    def work(rounds):
        for number in range(rounds):
            book.apply(kept)
            book.apply(wide[number % 2000])
            book.to_top(5, synthetic=True, seen_ns=number)
            book.top(20)
            if number % 100 == 0:
                book.apply_snapshot(whole, 2)
                NativeBook("x").apply(kept)
                with pytest.raises(TypeError):
                    book.apply(torn)

    work(5_000)
    gc.collect()
    held = [sys.getrefcount(x) for x in (kept, kept.bids, kept.asks, ID, BookState.RESYNC, None)]
    before = resident_bytes()
    work(100_000)
    gc.collect()
    after = [sys.getrefcount(x) for x in (kept, kept.bids, kept.asks, ID, BookState.RESYNC, None)]
    assert [b - a for a, b in zip(held, after, strict=True)] == pytest.approx([0] * 6, abs=50)
    assert resident_bytes() - before < 2 << 20


@pytest.mark.parametrize(("value", "name"), [("0", "PyBook"), ("1", "_NativeBook"), ("", "_NativeBook")])
def test_the_environment_chooses(value, name):
    shown = subprocess.run(
        [sys.executable, "-c", "import trading.market.book as b, native; print(b.Book.__name__, native.why_not)"],
        env={**os.environ, "PROPDESK_NATIVE": value},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert shown.stdout.split() == [name, *(["PROPDESK_NATIVE=0"] if value == "0" else [])]
