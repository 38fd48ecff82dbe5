"""Windows against the plain list of what they hold."""

import pickle
from fractions import Fraction
from statistics import fmean, pvariance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.windows import BadSampleError, CountWindow, TimeWindow, add, merge_moments2, number


@settings(deadline=None)
@given(st.lists(st.text(max_size=2), max_size=80), st.integers(1, 12))
def test_a_count_window_is_the_last_samples_in_order(samples, window):
    def join(a, b):
        return a + "," + b

    found = CountWindow(join, window)
    assert found.total is None
    for n, sample in enumerate(samples, 1):
        found.push(sample)
        assert found.total == ",".join(samples[max(0, n - window) : n])
        assert len(found) == min(n, window)
        assert found.full == (n >= window)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 40), st.integers(-50, 50)), max_size=80), st.integers(1, 6), st.integers(1, 9)
)
def test_a_time_window_is_the_sum_over_its_buckets(steps, buckets, bucket_ns):
    found = TimeWindow(add, buckets * bucket_ns, buckets)
    assert not found.warm
    start = now = 1_000
    held = []
    for wait, sample in steps:
        asked = now + wait
        now = max(now, asked // bucket_ns * bucket_ns) if held else asked
        start = start if held else now
        held.append((now // bucket_ns, sample))
        found.push(sample, asked)
        newest = now // bucket_ns
        assert found.total == sum(x for bucket, x in held if bucket > newest - buckets)
        assert found.warm == (newest - start // bucket_ns >= buckets)
    if held:
        found.advance(now + 2 * buckets * bucket_ns)
        assert found.total is None
        found.clear()
        assert not found.warm


def test_memory_does_not_grow_with_the_samples():
    found = TimeWindow(add, 1_000, 10)
    count = CountWindow(add, 10)
    for n in range(20_000):
        found.push(1, n)
        count.push(1)
    assert found.total == 1_000
    assert len(found._closed) <= 10
    assert len(found._ends) <= 10
    assert len(count._front) + len(count._back) == 10


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 20), st.floats(-1e12, 1e12))
def test_merged_moments_are_those_of_the_window_even_after_an_outlier(samples, window, outlier):
    found = CountWindow(merge_moments2, window)
    found.push((1, outlier, 0.0))
    for sample in samples:
        found.push((1, sample, 0.0))
    if len(samples) >= window:
        held = samples[-window:]
        n, mean, m2 = found.total
        scale = max(map(abs, held))
        assert n == window
        assert mean == pytest.approx(fmean(held), rel=1e-12, abs=1e-13 * scale)
        assert m2 == pytest.approx(float(pvariance(map(Fraction, held)) * n), rel=1e-9, abs=1e-13 * scale * scale)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e60])
def test_what_is_no_number_is_refused_by_one_error_that_names_it(bad):
    with pytest.raises(BadSampleError, match="the price cannot be") as caught:
        number("the price", bad)
    assert caught.value.name == "the price"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(("window_ns", "buckets"), [(0, 1), (5, 6), (5, 0)])
def test_a_window_without_room_is_refused(window_ns, buckets):
    with pytest.raises(ValueError, match="at least"):
        TimeWindow(add, window_ns, buckets)
