"""The latent market is a pure function of time: random access, sane for days, with trends and swings to trade on."""

from __future__ import annotations

import random
import statistics
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.synthetic.latent import LatentMarket, Regime
from adapters.synthetic.params import COINM_BTC, SPOT_BTC, USDM_BTC, GeneratorSpec

S = 1_000_000_000
EPOCH = 1_760_000_000 * S


def world(seed=7, **changes):
    return LatentMarket(GeneratorSpec(seed=seed, epoch_ns=EPOCH, **changes))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.integers(-86_400 * S, 30 * 86_400 * S), min_size=2, max_size=6))
def test_the_order_of_questions_does_not_change_the_answers(times):
    forward, backward = world(), world()

    def answers(latent, at):
        return (
            latent.price(at),
            latent.held(at),
            latent.basis_bps(USDM_BTC, at),
            latent.funding(USDM_BTC, at),
            latent.intensity(at),
        )

    assert [answers(forward, t) for t in times] == [answers(backward, t) for t in reversed(times)][::-1]


def test_prices_stay_sane_for_a_month():
    prices = [world().price(EPOCH + hour * 3600 * S) for hour in range(0, 24 * 30, 3)]
    assert all(0.9 < p / 61800 < 1.1 for p in prices)
    assert statistics.pstdev(prices) > 100


def test_the_price_is_continuous():
    latent = world()
    for start_s in (0, 3600, 104_857, 86_400 * 5):
        prices = [latent.price(EPOCH + start_s * S + k * 50_000_000) for k in range(400)]
        assert max(abs(b / a - 1) for a, b in pairwise(prices)) * 1e4 < 3


def test_held_prices_are_past_or_present_latent_prices_and_say_how_long_they_hold():
    latent, t_ns = world(), EPOCH
    changes = 0
    for _ in range(2000):
        price, until_ns = latent.held(t_ns)
        assert t_ns < until_ns <= t_ns + 100_000_000
        assert latent.held(until_ns - 1)[0] == price
        changes += latent.held(until_ns)[0] != price
        t_ns = until_ns
    assert 40 < changes < 600


def test_basis_swings_by_several_bps_and_reverts():
    for market in (USDM_BTC, COINM_BTC):
        values = [world().basis_bps(market, EPOCH + k * 20 * S) for k in range(2000)]
        assert 1.5 < statistics.pstdev(values) < 6
        assert abs(statistics.fmean(values) - market.premium_bps) < 1.5
    assert abs(world().basis_bps(SPOT_BTC, EPOCH)) < 2


def test_momentum_leads_the_price():
    latent, rng = world(), random.Random(1)
    pressed = []
    for _ in range(4000):
        t_ns = EPOCH + rng.randrange(86_400 * S)
        pressure = latent.pressure_bps(t_ns)
        if abs(pressure) > 0.4:
            move = (latent.price(t_ns + 5 * S) / latent.price(t_ns) - 1) * 1e4
            pressed.append(move * (1 if pressure > 0 else -1))
    assert len(pressed) > 50
    assert statistics.fmean(pressed) > 0.5


def test_all_regimes_occur_and_volatility_clusters():
    latent = world()
    assert {latent.regime(EPOCH + k * 103 * S) for k in range(100)} == set(Regime)
    busy = [latent.intensity(EPOCH + k * S) for k in range(3600)]
    assert 0.7 < statistics.fmean(busy) < 1.6
    assert statistics.correlation(busy[:-5], busy[5:]) > 0.5


def test_funding_follows_the_premium():
    latent = world(funding_interval_s=300)
    settled = [latent.funding(USDM_BTC, EPOCH + k * 300 * S) for k in range(1, 200)]
    assert len({f.rate for f in settled}) > 20
    assert all(abs(f.rate) <= 0.003 for f in settled)
    assert all(b.next_funding_ms - a.next_funding_ms == 300_000 for a, b in pairwise(settled))
    assert world(basis=0.0).funding(USDM_BTC, EPOCH + S).rate == 0.0001
