"""Indicators against TA-Lib, which nobody here wrote, on recorded minutes and on bars built from recorded trades.

Where warm-up differs it is said beside the test; from then on the tolerance is that of floats. Closes are near 1e5, so
that 1e-9 of them is 0.0001 USD: tolerances are absolute in USD where figures may be near zero.
"""

from __future__ import annotations

import csv
import json
import lzma
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import talib

from trading.features.indicators import Atr, Bollinger, Ema, Macd, Rsi, ZScore
from trading.features.returns import RollingMoments, RollingRegression

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance"

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}"),
]


def recorded_minutes():
    """High, low, close of 1-minute bars of May 2025."""
    with lzma.open(DATA / "ohlcv" / "usdm_BTCUSDT_1m_2025-05_2025-06.csv.xz", "rt") as file:
        rows = list(islice(csv.DictReader(file), 6_000))
    keys = {key.lower(): key for key in rows[0]}
    return np.array([[float(row[keys[name]]) for name in ("high", "low", "close")] for row in rows])


def traded_bars():
    """High, low, close of quarter seconds of trades of 2024-08-08; those without a trade are left out."""
    bars = {}
    with lzma.open(DATA / "l2_raw" / "2024-08-08" / "usdm_btcusdt_20240808.dat.xz", "rt") as file:
        for line in file:
            if '@trade"' not in line:
                continue
            trade = json.loads(line.partition(" ")[2])["data"]
            bar = bars.setdefault(trade["T"] // 250, [-1.0, 1e18, 0.0])
            price = float(trade["p"])
            bar[:] = max(bar[0], price), min(bar[1], price), price
    return np.array([bars[number] for number in sorted(bars)])


@pytest.fixture(scope="module", params=[recorded_minutes, traded_bars], ids=["minutes", "trades"])
def bars(request):
    found = request.param()
    assert len(found) > 500
    return np.ascontiguousarray(found.T)


def told(feature, *series, pick=lambda value: value):
    """The feature's value after each sample, NaN where it has none, as TA-Lib writes it."""
    found = []
    for sample in zip(*series, strict=True):
        feature.update(*map(float, sample))
        value = feature.value
        found.append(np.nan if value is None else pick(value))
    return np.array(found, dtype=float)


def agree(ours, theirs, *, rel=0.0, abs_=0.0, first=0, warm=None):
    """Equal from sample ``first`` on; the first value is that of sample ``warm`` in both."""
    if warm is not None:
        assert int(np.argmax(~np.isnan(ours))) == warm
        assert int(np.argmax(~np.isnan(theirs))) == warm
    ours, theirs = ours[first:], theirs[first:]
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    assert both.sum() > 300
    np.testing.assert_allclose(ours[both], theirs[both], rtol=rel, atol=abs_)


@pytest.mark.req("C-AI-1")
@pytest.mark.parametrize("period", [2, 12, 26, 200])
def test_ema_equals_talibs_from_its_first_value_on(bars, period):
    """The same seed: the plain mean of the first ``period`` closes."""
    close = bars[2]
    agree(told(Ema(period), close), talib.EMA(close, period), rel=1e-12, warm=period - 1)


@pytest.mark.req("C-AI-1")
@pytest.mark.parametrize("period", [2, 14, 50])
def test_rsi_equals_talibs_from_its_first_value_on(bars, period):
    """The same seed: the plain means of the first ``period`` gains and losses."""
    close = bars[2]
    agree(told(Rsi(period), close), talib.RSI(close, period), rel=1e-9, abs_=1e-9, warm=period)


def test_rsi_of_prices_that_stand_still_differs_from_talibs_by_intent():
    still = np.full(40, 100.0)
    assert talib.RSI(still, 14)[-1] == 0.0
    assert told(Rsi(14), still)[-1] == 50.0


@pytest.mark.req("C-AI-1")
def test_macd_equals_talibs_once_its_fast_averages_seed_has_faded(bars):
    """TA-Lib seeds the fast average late, so that both averages begin with the same sample; ours begins at once.

    The seed's weight is (1 - 2/13)^n: below 1e-14 after 200 samples. Tolerance 1e-6 USD.
    """
    close = bars[2]
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    for pick, theirs in enumerate((line, signal, histogram)):
        agree(told(Macd(), close, pick=lambda value, pick=pick: value[pick]), theirs, abs_=1e-6, first=300)
    ours = told(Macd(), close, pick=lambda value: value.line)
    assert int(np.argmax(~np.isnan(ours))) == int(np.argmax(~np.isnan(line))) == 33
    # The line itself is the difference of two averages that TA-Lib agrees with from the first value on.
    agree(ours, talib.EMA(close, 12) - talib.EMA(close, 26), abs_=1e-8, first=33)


@pytest.mark.req("C-AI-1")
@pytest.mark.parametrize(("window", "width"), [(20, 2.0), (50, 1.5)])
def test_bollinger_bands_equal_talibs(bars, window, width):
    """Deviations are divided by n in both. TA-Lib's variance is a difference of running sums of 1e10: 0.01 USD."""
    close = bars[2]
    upper, middle, lower = talib.BBANDS(close, window, width, width, talib.MA_Type.SMA)
    for name, theirs, abs_ in (("lower", lower, 0.01), ("middle", middle, 1e-6), ("upper", upper, 0.01)):
        ours = told(Bollinger(window, width), close, pick=lambda value, name=name: getattr(value, name))
        agree(ours, theirs, abs_=abs_, warm=window - 1)
    exact = np.lib.stride_tricks.sliding_window_view(close, window)
    ours = told(Bollinger(window, width), close, pick=lambda value: value.upper)[window - 1 :]
    np.testing.assert_allclose(ours, exact.mean(axis=1) + width * exact.std(axis=1), rtol=1e-12)


@pytest.mark.req("C-AI-1", "V-AI-1")
def test_atr_equals_talibs_once_its_seed_has_faded(bars):
    """TA-Lib's first range needs a close before it, ours is high - low; the seed fades as (13/14)^n."""
    high, low, close = bars
    agree(told(Atr(14), high, low, close), talib.ATR(high, low, close, 14), rel=1e-9, abs_=1e-9, first=450)
    # With a period of 1 there is no seed: every true range from the second bar on.
    agree(told(Atr(1), high, low, close), talib.TRANGE(high, low, close), abs_=1e-9, first=1)


@pytest.mark.req("V-AI-1")
def test_z_score_is_talibs_mean_and_deviation_and_numpys(bars):
    """TA-Lib's deviation as for the bands; a deviation below 1 USD says nothing there, and numpy is asked instead."""
    close = bars[2]
    sigma = talib.STDDEV(close, 30, 1.0)
    theirs = (close - talib.SMA(close, 30)) / np.where(sigma > 1.0, sigma, np.nan)
    ours = told(ZScore(30), close)
    known = ~np.isnan(theirs)
    assert known.sum() > 300
    np.testing.assert_allclose(ours[known], theirs[known], atol=1e-3)
    exact = np.lib.stride_tricks.sliding_window_view(close, 30)
    spread = exact.std(axis=1)
    moving = spread > 1e-6
    expected = (close[29:] - exact.mean(axis=1))[moving] / spread[moving]
    np.testing.assert_allclose(ours[29:][moving], expected, rtol=1e-7, atol=1e-7)


@pytest.mark.req("P-POL-6")
def test_skewness_and_kurtosis_equal_numpys_formulas(bars):
    """Central moments of log returns divided by n, kurtosis in excess of the normal law's."""
    returns = np.diff(np.log(bars[2]))[:1_500] * 1e4
    held = np.lib.stride_tricks.sliding_window_view(returns, 120)
    centred = held - held.mean(axis=1, keepdims=True)
    m2, m3, m4 = ((centred**power).mean(axis=1) for power in (2, 3, 4))
    for pick, expected in ((0, held.mean(axis=1)), (1, np.sqrt(m2)), (2, m3 / m2**1.5), (3, m4 / m2**2 - 3.0)):
        ours = told(RollingMoments(120), returns, pick=lambda value, pick=pick: value[pick])[119:]
        np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


def test_regression_equals_talibs_correlation_and_numpys_least_squares(bars):
    """TA-Lib's correlation is of running sums; its inputs are centred first, and 1e-6 remains."""
    high, _, close = bars
    x, y = np.diff(close), np.diff(high)
    regression, ours, slopes = RollingRegression(60), [], []
    for a, b in zip(x, y, strict=True):
        regression.update(float(a), float(b))
        ours.append(np.nan if regression.correlation is None else regression.correlation)
        slopes.append(regression.value)
    agree(np.array(ours), talib.CORREL(x, y, 60), abs_=1e-6, first=59)
    for end in range(60, len(x), 97):
        slope, _ = np.polyfit(x[end - 60 : end], y[end - 60 : end], 1)
        assert slopes[end - 1] == pytest.approx(slope, rel=1e-8)
