"""The signals of strategies, as laws: half-lives, variances, imbalances, order flow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.strategies.signals import Ewma, EwmaVariance, Imbalance, OrderFlowImbalance, Volatility

SECOND = 1_000_000_000


def test_a_mean_forgets_half_in_a_half_life_however_many_samples_there_were():
    few, many = Ewma(2.0), Ewma(2.0)
    few.update(0.0, 1)
    few.update(1.0, 1 + 2 * SECOND)
    many.update(0.0, 1)
    for n in range(1, 21):
        many.update(1.0, 1 + n * SECOND // 10)
    assert few.value == pytest.approx(0.5)
    assert many.value == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 10 * SECOND)), min_size=1, max_size=50))
def test_a_variance_is_never_negative_and_the_mean_stays_within_the_samples(samples):
    stats, now = EwmaVariance(1.0), 1
    for x, wait in samples:
        now += wait
        stats.update(x, now)
    assert stats.variance >= 0
    low, high = min(x for x, _ in samples), max(x for x, _ in samples)
    assert low - 1e-6 <= stats.mean <= high + 1e-6


def test_volatility_of_a_steady_zigzag_is_its_step():
    vol = Volatility(5.0, 1000)
    for n in range(100):
        vol.update(100.0 + 3.0 * (n % 2), 1 + n * SECOND)
    assert vol.over(1.0) == pytest.approx(3.0)
    assert vol.over(4.0) == pytest.approx(6.0)


@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(0, SECOND)), max_size=50))
def test_an_imbalance_stays_between_minus_one_and_one(flows):
    imbalance, now = Imbalance(1.0), 0
    for flow, wait in flows:
        now += wait
        imbalance.add(flow, now)
    assert -1.0 - 1e-9 <= imbalance.ratio <= 1.0 + 1e-9


def test_order_flow_is_bought_when_the_bid_steps_up_and_the_ask_is_eaten():
    ofi = OrderFlowImbalance(1.0)
    ofi.update(100, 5, 101, 5, 1)
    assert ofi.flow.ratio == 0.0
    ofi.update(100, 5, 101, 2, 2)
    assert ofi.flow.signed == pytest.approx(3)
    ofi.update(101, 4, 102, 6, 3)
    assert ofi.flow.signed == pytest.approx(3 + 4 + 2)
    ofi.reset()
    ofi.update(50, 5, 51, 5, 4)
    assert ofi.flow.signed == pytest.approx(9)
