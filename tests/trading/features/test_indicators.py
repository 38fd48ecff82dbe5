"""Indicators against published figures, and against the plain computation over all that was seen."""

from itertools import pairwise
from math import sqrt
from statistics import fmean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.indicators import Atr, Bollinger, Ema, Macd, Rsi, ZScore
from trading.features.windows import BadSampleError

PRICES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=120)
NAN = float("nan")


def fed(feature, samples):
    for sample in samples:
        feature.update(sample)
    return feature.value


def smoothed(samples, period, alpha):
    """The whole recursion, from its closed form: the seed decayed, and every later sample with its own weight."""
    if len(samples) < period:
        return None
    later = samples[period:]
    weights = [alpha * (1 - alpha) ** k for k in range(len(later))][::-1]
    seed = (1 - alpha) ** len(later)
    return seed * fmean(samples[:period]) + sum(w * x for w, x in zip(weights, later, strict=True))


def near(x):
    return None if x is None else pytest.approx(x, rel=1e-9, abs=1e-7)


@pytest.mark.req("C-AI-1")
def test_ema_of_the_published_example():
    """StockCharts ChartSchool, Moving Averages: 10-day EMA of INTC, printed to cents."""
    closes = [22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29]
    later = [22.15, 22.39, 22.38, 22.61, 23.36, 24.05, 23.75, 23.83, 23.95, 23.63]
    ema = Ema(10)
    assert fed(ema, closes[:-1]) is None
    assert fed(ema, closes[-1:]) == pytest.approx(22.22, abs=0.006)
    found = [fed(ema, [close]) for close in later]
    assert found == pytest.approx([22.21, 22.24, 22.27, 22.33, 22.52, 22.80, 22.97, 23.13, 23.28, 23.34], abs=0.006)


@pytest.mark.req("C-AI-1")
def test_rsi_of_the_published_example():
    """StockCharts ChartSchool, RSI: 14-day RSI of QQQQ."""
    closes = [44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245]
    closes += [45.8433, 46.0826, 45.8931, 46.0328, 45.6140, 46.2820, 46.2820]
    rsi = Rsi(14)
    assert fed(rsi, closes[:-1]) is None
    assert fed(rsi, [46.2820]) == pytest.approx(70.53, abs=0.01)
    found = [fed(rsi, [close]) for close in (46.0028, 46.0328, 46.4116, 46.2222, 45.6439)]
    assert found == pytest.approx([66.32, 66.55, 69.41, 66.36, 57.97], abs=0.01)


@pytest.mark.req("C-AI-1")
@settings(deadline=None)
@given(PRICES, st.integers(1, 20))
def test_ema_and_rsi_are_the_closed_form_of_their_recursion(prices, period):
    assert fed(Ema(period), prices) == near(smoothed(prices, period, 2 / (period + 1)))
    moves = [b - a for a, b in pairwise(prices)]
    gain = smoothed([max(m, 0.0) for m in moves], period, 1 / period)
    loss = smoothed([max(-m, 0.0) for m in moves], period, 1 / period)
    found = fed(Rsi(period), prices)
    if gain is None or loss is None:
        assert found is None
    elif gain + loss > 1e-6:
        assert found == pytest.approx(100 - 100 / (1 + gain / loss) if loss else 100.0, abs=1e-6)
    else:
        assert 0 <= found <= 100


@pytest.mark.req("C-AI-1")
@settings(deadline=None)
@given(PRICES, st.integers(1, 8), st.integers(1, 8), st.integers(1, 6))
def test_macd_is_two_averages_and_the_average_of_their_difference(prices, fast, more, signal):
    slow = fast + more
    lines = [
        smoothed(prices[:n], fast, 2 / (fast + 1)) - smoothed(prices[:n], slow, 2 / (slow + 1))
        for n in range(slow, len(prices) + 1)
    ]
    expected = smoothed(lines, signal, 2 / (signal + 1))
    found = fed(Macd(fast, slow, signal), prices)
    if expected is None:
        assert found is None
        assert len(prices) < slow + signal - 1
    else:
        assert found == near((lines[-1], expected, lines[-1] - expected))


@pytest.mark.req("C-AI-1")
@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(1, 1e5)] * 3), min_size=1, max_size=60), st.integers(1, 15))
def test_atr_is_wilders_average_of_the_greatest_of_three_ranges(figures, period):
    bars = [tuple(sorted(figure)) for figure in figures]
    atr = Atr(period)
    ranges = []
    for n, (low, close, high) in enumerate(bars):
        atr.update(high, low, close)
        before = bars[n - 1][1] if n else close
        ranges.append(max(high - low, abs(high - before), abs(low - before)))
    assert atr.value == near(smoothed(ranges, period, 1 / period))


@pytest.mark.req("C-AI-1")
@settings(deadline=None)
@given(PRICES, st.integers(2, 20), st.floats(0.5, 3))
def test_bollinger_and_z_score_are_those_of_the_last_window(prices, window, width):
    bands, z = fed(Bollinger(window, width), prices), fed(ZScore(window), prices)
    if len(prices) < window:
        assert bands is None
        assert z is None
        return
    held = prices[-window:]
    mean, sigma = fmean(held), pstdev(held)
    assert bands[:3] == pytest.approx((mean - width * sigma, mean, mean + width * sigma), rel=1e-9, abs=1e-9 * mean)
    if sigma > 1e-6 * mean:
        assert z == pytest.approx((prices[-1] - mean) / sigma, rel=1e-6, abs=1e-6)
        assert bands.percent_b == pytest.approx((z / width + 1) / 2, rel=1e-6, abs=1e-6)
        assert abs(z) <= sqrt(window - 1) * (1 + 1e-9)


@settings(deadline=None)
@given(st.floats(0.01, 1e6))
def test_prices_that_stand_still_have_no_spread_and_no_direction(price):
    still = [price] * 70
    assert fed(Ema(20), still) == price
    assert fed(Rsi(14), still) == 50.0
    assert fed(Macd(), still) == (0.0, 0.0, 0.0)
    assert fed(ZScore(30), still) == 0.0
    assert fed(Bollinger(), still) == (price, price, price, 0.5)
    atr = Atr(3)
    for _ in still:
        atr.update(price, price, price)
    assert atr.value == 0.0


def test_without_losses_rsi_is_100_and_without_gains_0():
    assert fed(Rsi(5), range(1, 10)) == 100.0
    assert fed(Rsi(5), range(10, 1, -1)) == 0.0


@pytest.mark.parametrize("make", [Rsi, Macd, Bollinger, lambda: Ema(3), lambda: ZScore(3)])
def test_a_bad_sample_is_refused_and_changes_nothing(make):
    spoilt, clean = make(), make()
    for n in range(60):
        price = 100.0 + (n * 7) % 11
        with pytest.raises(BadSampleError):
            spoilt.update(NAN)
        spoilt.update(price)
        clean.update(price)
        assert spoilt.value == clean.value
    assert clean.value is not None


@pytest.mark.parametrize("bar", [(NAN, 1.0, 1.0), (2.0, NAN, 1.0), (2.0, 1.0, NAN), (1.0, 2.0, 1.5)])
def test_a_bar_that_cannot_be_is_refused(bar):
    atr = Atr(1)
    with pytest.raises(BadSampleError):
        atr.update(*bar)
    assert atr.value is None


@pytest.mark.parametrize("make", [lambda: Ema(0), lambda: ZScore(1), lambda: Macd(26, 26), lambda: Bollinger(1)])
def test_a_period_that_is_too_short_is_refused(make):
    with pytest.raises(ValueError, match="at least"):
        make()
