"""What the gates count, in C against Python: the same numbers after every message, whatever comes."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from native import marketdata
from trading.market.watches import PyStreamWatch, PyTouchWatch

MS = 1_000_000
NOW = 1_700_000_000_000 * MS
FAR = (1 << 62) - 1

pytestmark = pytest.mark.req("P-EXE-17")
native = pytest.mark.skipif(marketdata is None, reason="native/ is not built")

SIDE = st.sampled_from([(), ((-1, 1),), ((0, 1),), ((9, 1),), ((10, 2), (9, 1)), ((11, 1),), ((FAR, FAR),)])
TOPS = st.lists(st.tuples(SIDE, SIDE, st.integers(-5, 40)), max_size=60)


@native
@given(window=st.integers(0, 60), limit=st.integers(0, 5), tops=TOPS)
@example(window=10, limit=2, tops=[(((-1, 1),), ((-1, 1),), 1), (((9, 1),), ((10, 1),), 1)] * 4)
def test_both_watches_of_a_touch_count_the_same(window, limit, tops):
    watches = [PyTouchWatch(window, limit), marketdata.TouchWatch(window, limit)]
    now = NOW
    for bids, asks, passed in tops:
        now += passed
        calm = [watch.is_calm(bids, asks, now) for watch in watches]
        assert calm[0] is calm[1]
        assert watches[0].flips == watches[1].flips


def kinds():
    return [PyTouchWatch] if marketdata is None else [PyTouchWatch, marketdata.TouchWatch]


@pytest.mark.parametrize("kind", kinds())
def test_a_touch_that_comes_back_too_often_within_the_window_is_not_calm(kind):
    watch = kind(100, 3)
    here, there, ask = ((10, 1),), ((11, 1),), ((12, 1),)
    calm = [watch.is_calm(bids, ask, NOW + n) for n, bids in enumerate([here, there, here, there, here])]
    assert (calm, watch.flips) == ([True, True, True, True, False], 3)
    assert not watch.is_calm(there, ask, NOW + 5)
    assert watch.flips == 3  # it counts no further than its limit
    assert not watch.is_calm((), ask, NOW + 500)
    assert watch.flips == 3  # a side alone is not counted
    assert watch.is_calm(there, ask, NOW + 106)
    assert watch.flips == 0
    for bids, asks in ((ask, ask), (((13, 1),), ask), (((0, 1),), ask), (((-2, 1),), ((-1, 1),))):
        assert not watch.is_calm(bids, asks, NOW + 1000)


STEP = st.sampled_from([0, 1, 40 * MS, 200 * MS, 201 * MS, 999 * MS, 1000 * MS, 5000 * MS, -300 * MS])
LAG = st.one_of(st.integers(-3 * MS, 3 * MS), st.sampled_from([400 * MS, -900_000 * MS, 30 * 86_400_000 * MS, NOW]))
SHAPES = st.tuples(
    st.sampled_from([0, 200 * MS]),
    st.sampled_from([0, 1 * MS, 250 * MS]),
    st.sampled_from([1, 7, 50 * MS, 1000 * MS]),
    st.integers(1, 6),
    st.integers(1, 30),
)


def counted(watch):
    return watch.skew_ms, watch.is_stepped, watch.gaps, watch.wide, watch.gaps_ns()


@native
@given(shape=SHAPES, start=st.sampled_from([NOW, 0, -5000 * MS, FAR - NOW]), steps=st.lists(st.tuples(STEP, LAG)))
@example(shape=(200 * MS, 250 * MS, 1, 15, 200), start=NOW, steps=[(0, n) for n in range(60)] + [(1, 400 * MS)] * 9)
def test_both_watches_of_a_stream_count_the_same(shape, start, steps):
    watches = [PyStreamWatch(*shape), marketdata.StreamWatch(*shape)]
    recv = start
    for step, lag in steps:
        recv += step
        for watch in watches:
            watch.on_message(recv - lag, recv)
        assert counted(watches[0]) == counted(watches[1])
    assert repr(counted(watches[0])) == repr(counted(watches[1]))


@native
@given(st.lists(st.integers(0, 20), min_size=40, max_size=80), st.integers(1, 6))
def test_both_judge_a_step_of_the_clock_alike(seconds, buckets):
    shape = (200 * MS, 250 * MS, 1000 * MS, buckets, 200)
    watches = [PyStreamWatch(*shape), marketdata.StreamWatch(*shape)]
    stepped = []
    for second, lag in enumerate(seconds):
        recv = NOW + second * 1000 * MS
        for watch in watches:
            watch.on_message(recv - lag * 50 * MS, recv)
            watch.on_message(recv - lag * 50 * MS, recv)
        assert counted(watches[0]) == counted(watches[1])
        stepped.append(watches[1].is_stepped)
    assert stepped[:4] == [False] * 4  # no median of three before that


@native
def test_what_is_not_a_number_is_refused_and_counts_nothing():
    touch, stream = marketdata.TouchWatch(100, 3), marketdata.StreamWatch(1, 1, 1, 3, 3)
    good = ((10, 1),)
    wrong = [([(10, 1)], TypeError), (((10,),), TypeError), ((10,), TypeError), ((("10", 1),), TypeError)]
    for side, error in [*wrong, (((1 << 62, 1),), OverflowError)]:
        for sides in ((side, good), (good, side)):
            with pytest.raises(error):
                touch.is_calm(*sides, NOW)
    for now, error in ((None, TypeError), (1.0, TypeError), (1 << 70, OverflowError)):
        with pytest.raises(error):
            touch.is_calm(good, ((11, 1),), now)
        for times in ((now, NOW), (NOW, now)):
            with pytest.raises(error):
                stream.on_message(*times)
    for call in (touch.is_calm, stream.on_message):
        with pytest.raises(TypeError):
            call(1)
    assert (touch.flips, *counted(stream)) == (0, None, False, 0, 0, [])
    assert touch.is_calm(good, ((11, 1),), NOW)


@native
@pytest.mark.parametrize("shape", [(1, 1, 0, 3, 3), (1, 1, 1, 0, 3), (1, 1, 1, 3, 0), (1, 1, 1, 3, 1 << 40)])
def test_a_watch_that_could_keep_nothing_is_not_made(shape):
    with pytest.raises(ValueError, match=r"keeps|lasts"):
        marketdata.StreamWatch(*shape)
    with pytest.raises(ValueError, match="keeps"):
        marketdata.TouchWatch(1, -1)


@native
def test_a_watch_that_was_not_begun_refuses_to_count():
    touch = marketdata.TouchWatch.__new__(marketdata.TouchWatch)
    stream = marketdata.StreamWatch.__new__(marketdata.StreamWatch)
    with pytest.raises(AttributeError):
        touch.is_calm(((1, 1),), ((2, 1),), NOW)
    with pytest.raises(AttributeError):
        stream.on_message(NOW, NOW)
    assert counted(stream) == (None, False, 0, 0, [])


@native
def test_watches_hold_on_to_none_of_what_they_saw():
    touch, stream = marketdata.TouchWatch(100, 3), marketdata.StreamWatch(1, 1, 1, 3, 3)
    bids, asks, recv = ((1000, 1),), ((1001, 1),), NOW + 12_345
    held = [sys.getrefcount(x) for x in (bids, bids[0], bids[0][0], asks, recv)]
    for n in range(1000):
        touch.is_calm(bids, asks, recv)
        stream.on_message(recv, recv)
        stream.on_message(recv, NOW + n)
        touch.__init__(100, 3)
        stream.__init__(1, 1, 1, 3, 3)
    assert [sys.getrefcount(x) for x in (bids, bids[0], bids[0][0], asks, recv)] == held
