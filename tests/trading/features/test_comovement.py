"""Correlations against numpy, clusters against a search over the same matrix."""

from __future__ import annotations

import csv
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.comovement import MAX_NAMES, Comovement
from trading.features.windows import BadSampleError

HISTORY = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "multi_venue"
NAMES = ("a", "b", "c", "d", "e")


def fed(feature, samples):
    for sample in samples:
        feature.update(sample)
    return feature


def searched(matrix, threshold):
    """Clusters by walking from each name to all that it is linked with."""
    left, found = list(range(len(matrix))), []
    while left:
        todo, cluster = [left[0]], set()
        while todo:
            at = todo.pop()
            if at not in cluster:
                cluster.add(at)
                todo += [n for n in left if n not in cluster and abs(matrix[at, n]) >= threshold]
        found.append(tuple(sorted(cluster)))
        left = [n for n in left if n not in cluster]
    return tuple(found)


@pytest.mark.req("P-POL-6")
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.integers(3, 40))
def test_correlations_and_clusters_equal_numpys(seed, threshold, window):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(len(NAMES), len(NAMES))) * rng.integers(0, 2, size=(len(NAMES), len(NAMES)))
    prices = 100 * np.exp(np.cumsum(rng.normal(size=(window + 20, len(NAMES))) @ mix * 1e-3, axis=0))
    feature = fed(Comovement(NAMES, window, threshold), [dict(zip(NAMES, row, strict=True)) for row in prices])
    returns = np.diff(np.log(prices), axis=0)[-window:]
    moving = [n for n in range(len(NAMES)) if returns[:, n].std() > 1e-9]
    expected = np.corrcoef(returns[:, moving], rowvar=False).reshape(len(moving), len(moving))
    for a, i in enumerate(moving):
        for b, j in list(enumerate(moving))[a + 1 :]:
            assert feature.value[NAMES[i], NAMES[j]] == pytest.approx(expected[a, b], abs=1e-6)
    whole = np.zeros((len(NAMES), len(NAMES)))
    for (one, other), correlation in feature.value.items():
        i, j = NAMES.index(one), NAMES.index(other)
        whole[i, j] = whole[j, i] = correlation
    clusters = tuple(tuple(NAMES.index(name) for name in cluster) for cluster in feature.clusters)
    assert clusters == searched(whole, threshold)


def test_opposite_moves_are_one_cluster_and_a_stranger_is_alone():
    feature = Comovement(("up", "down", "other"), 4, 0.9)
    for n, other in enumerate((5.0, 6.0, 5.0, 5.0, 6.0)):
        assert feature.value == {}
        assert feature.clusters == (("up",), ("down",), ("other",))
        up = 1.5 if n % 2 else 1.0
        feature.update({"up": up, "down": 1 / up, "other": other})
    assert feature.value["up", "down"] == pytest.approx(-1.0)
    assert feature.clusters == (("up", "down"), ("other",))


def test_a_price_that_is_missing_costs_its_pairs_two_returns_and_no_others():
    feature = Comovement(("a", "b", "c"), 4)
    prices = [{"a": 1.0 + n % 3, "b": 2.0 + n % 2, "c": 3.0 + n % 5} for n in range(5)]
    del prices[2]["c"]
    fed(feature, prices)
    assert set(feature.value) == {("a", "b")}
    fed(feature, [{"a": 2.0, "b": 3.0, "c": 4.0}, {"a": 1.0, "b": 2.0, "c": 4.5}])
    assert set(feature.value) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_a_price_that_cannot_be_is_refused_and_changes_nothing():
    feature = fed(Comovement(("a", "b"), 2), [{"a": 1.0 + n, "b": 2.0 + n * n} for n in range(4)])
    before = feature.value
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadSampleError):
            feature.update({"a": 1.0, "b": bad})
    assert feature.value == before
    for names in (("a", "a"), [str(n) for n in range(MAX_NAMES + 1)]):
        with pytest.raises(ValueError, match="names"):
            Comovement(names)
    with pytest.raises(ValueError, match="threshold"):
        Comovement(("a", "b"), threshold=0.0)


@pytest.mark.recording
@pytest.mark.req("P-POL-6")
@pytest.mark.skipif(not HISTORY.is_dir(), reason=f"no recordings at {HISTORY}")
def test_recorded_prices_cluster_by_coin_and_equal_numpys_correlations():
    with lzma.open(HISTORY / "ohlcv_funding_8h_binance_okx_bybit_2023.csv.xz", "rt") as file:
        samples = {}
        for row in csv.DictReader(file):
            samples.setdefault(row["time"], {})[f"{row['exchange']} {row['pair']}"] = float(row["close"])
    names = sorted(set.intersection(*(set(sample) for sample in samples.values())))
    assert len(names) >= 12
    window = 300
    feature = fed(Comovement(names, window, 0.97), list(samples.values())[: window + 50])
    closes = np.array([[sample[name] for name in names] for sample in list(samples.values())[: window + 50]])
    expected = np.corrcoef(np.diff(np.log(closes), axis=0)[-window:], rowvar=False)
    for (one, other), correlation in feature.value.items():
        assert correlation == pytest.approx(expected[names.index(one), names.index(other)], rel=1e-9)
    # The recording stamps Binance's bars apart from the others': at 0.4 they do not move together.
    found = {
        frozenset((name.split()[0] == "binance", "BTC" in name) for name in cluster) for cluster in feature.clusters
    }
    assert found == {frozenset([(binance, bitcoin)]) for binance in (True, False) for bitcoin in (True, False)}
    assert len(feature.clusters) == 4
