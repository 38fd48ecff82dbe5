"""Histograms of durations: right to 1/32 at every scale, bounded, and the same however they are merged."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.telemetry.histogram import ERROR_MAX, NS_MAX, LogHistogram, RollingHistogram, bucket_of, middle_of

DURATIONS = st.lists(st.integers(0, 10**13), min_size=1, max_size=300)


@given(DURATIONS, st.sampled_from([0.0, 0.25, 0.5, 0.95, 0.99, 0.999, 1.0]))
@pytest.mark.req("P-OBS-1")
def test_a_quantile_is_that_of_the_sorted_durations_to_within_its_bound(durations, share):
    histogram = LogHistogram()
    for ns in durations:
        histogram.add(ns)
    exact = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    assert abs(histogram.quantile(share) - exact) <= exact * ERROR_MAX
    assert (histogram.count, histogram.total_ns, histogram.max_ns) == (len(durations), sum(durations), max(durations))


@given(DURATIONS, DURATIONS)
def test_merged_histograms_are_those_of_all_durations(some, others):
    merged, other, whole = LogHistogram(), LogHistogram(), LogHistogram()
    for ns in some:
        merged.add(ns)
    for ns in others:
        other.add(ns)
    for ns in (*some, *others):
        whole.add(ns)
    merged.merge(other)
    assert merged.facts() == whole.facts()


@given(st.integers(0, NS_MAX))
def test_every_duration_lies_in_its_bucket(ns):
    assert abs(middle_of(bucket_of(ns)) - ns) <= ns * ERROR_MAX
    assert bucket_of(ns) <= bucket_of(ns + 1)


def test_there_are_never_more_than_720_buckets():
    assert bucket_of(NS_MAX) == bucket_of(10**30) < 720
    assert bucket_of(-5) == 0


def test_without_durations_everything_is_zero():
    assert LogHistogram().facts() == {"p50_us": 0, "p95_us": 0, "p99_us": 0, "p999_us": 0, "max_us": 0, "n": 0}


def test_what_does_not_exceed_a_bound_is_counted():
    histogram = LogHistogram()
    for ms in (1, 2, 50, 400):
        histogram.add(ms * 1_000_000)
    assert [histogram.up_to(ms * 1_000_000) for ms in (0, 1, 10, 50, 1_000)] == [0, 1, 2, 3, 4]


def test_a_rolling_histogram_forgets_what_is_old():
    rolling = RollingHistogram(10)
    for ns in [10**9] * 10 + [10**3] * 30:
        rolling.add(ns)
    assert rolling.facts()["max_us"] == 1
    assert rolling.facts()["n"] == 20
