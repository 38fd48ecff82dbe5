"""Moments and regressions against exact fractions over the window."""

from fractions import Fraction
from itertools import pairwise
from math import log, sqrt
from statistics import correlation, fmean, linear_regression, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.returns import RealisedMoments, RollingMoments, RollingRegression
from trading.features.windows import BadSampleError


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60), st.integers(2, 15))
def test_realised_moments_are_sums_of_powers_of_the_last_returns(prices, window):
    feature = RealisedMoments(window)
    for price in prices:
        feature.update(price)
    returns = [log(b / a) for a, b in pairwise(prices)][-window:]
    if len(returns) < window:
        assert (feature.value, feature.skewness, feature.kurtosis) == (None, None, None)
        return
    two, three, four = (float(sum(Fraction(r) ** k for r in returns)) for k in (2, 3, 4))
    assert feature.value == pytest.approx(sqrt(two), rel=1e-12)
    if two > 1e-20:
        assert feature.skewness == pytest.approx(sqrt(window) * three / two**1.5, rel=1e-9, abs=1e-9)
        assert feature.kurtosis == pytest.approx(window * four / two**2, rel=1e-9)
        assert 1 - 1e-9 <= feature.kurtosis <= window * (1 + 1e-9)


@settings(deadline=None)
@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=60),
    st.integers(2, 15),
    st.sampled_from([0, 1000, 10_000_000]),
)
def test_central_moments_survive_an_offset_that_dwarfs_the_spread(samples, window, offset):
    feature = RollingMoments(window)
    for sample in samples:
        feature.update(sample + offset)
    held = [Fraction(x + offset) for x in samples[-window:]]
    if len(held) < window:
        assert feature.value is None
        return
    mean = sum(held) / window
    m2, m3, m4 = (sum((x - mean) ** k for x in held) / window for k in (2, 3, 4))
    assert feature.value[:2] == pytest.approx((float(mean), sqrt(m2)), rel=1e-7, abs=1e-6)
    if m2:
        skewness, kurtosis = float(m3) / float(m2) ** 1.5, float(m4 / m2**2) - 3
        assert feature.value[2:] == pytest.approx((skewness, kurtosis), rel=1e-5, abs=1e-5)
    else:
        assert feature.value[2:] == (None, None)


def test_an_outlier_that_has_left_leaves_no_error_behind():
    feature = RollingMoments(4)
    for sample in (1e15, -1e15, 1.0, 2.0, 3.0, 4.0):
        feature.update(sample)
    assert feature.value == (2.5, pytest.approx(pstdev([1, 2, 3, 4]), rel=1e-15), 0.0, pytest.approx(-1.36, rel=1e-12))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(-99, 99)), min_size=1, max_size=50), st.integers(2, 12))
def test_a_regression_is_that_of_the_last_pairs(pairs, window):
    feature = RollingRegression(window)
    for x, y in pairs:
        feature.update(x, y)
    xs, ys = [x for x, _ in pairs[-window:]], [y for _, y in pairs[-window:]]
    if len(xs) < window or len(set(xs)) == 1:
        assert feature.value is None
        return
    assert feature.value == pytest.approx(linear_regression(xs, ys).slope, rel=1e-9, abs=1e-9)
    if len(set(ys)) == 1:
        assert feature.correlation is None
    else:
        assert feature.correlation == pytest.approx(correlation(xs, ys), rel=1e-9, abs=1e-9)


def test_prices_that_stand_still_have_no_volatility_and_no_shape():
    feature, moments = RealisedMoments(5), RollingMoments(5)
    for _ in range(9):
        feature.update(0.1)
        moments.update(0.1)
    assert (feature.value, feature.skewness, feature.kurtosis) == (0.0, None, None)
    assert moments.value == (0.1, 0.0, None, None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_price_that_cannot_be_is_refused_and_changes_nothing(bad):
    spoilt, clean = RealisedMoments(3), RealisedMoments(3)
    for price in (1.0, 2.0, 1.5, 1.7, 1.6):
        with pytest.raises(BadSampleError, match="price cannot be"):
            spoilt.update(bad)
        spoilt.update(price)
        clean.update(price)
    assert spoilt.value == clean.value
    assert clean.value == pytest.approx(sqrt(fmean([log(0.75) ** 2, log(17 / 15) ** 2, log(16 / 17) ** 2]) * 3))


def test_nan_in_either_of_a_pair_is_refused():
    feature = RollingRegression(2)
    for pair in ((float("nan"), 1.0), (1.0, float("nan"))):
        with pytest.raises(BadSampleError):
            feature.update(*pair)
    with pytest.raises(BadSampleError):
        RollingMoments(2).update(float("inf"))
