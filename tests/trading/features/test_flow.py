"""Features of trades against the plain computation over the trades of the window."""

from collections import Counter
from statistics import linear_regression

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.flow import KyleLambda, Profile, VolumeDelta, VolumeProfile, Vwap
from trading.features.windows import BadSampleError
from trading.market.events import Aggressor, Trade

START = 1_700_000_000_000_000_000
BUCKET = 10
TRADES = st.lists(
    st.tuples(st.integers(0, 25), st.integers(990, 1010), st.integers(0, 9), st.sampled_from(Aggressor)),
    min_size=1,
    max_size=70,
)


def made(steps):
    now, trades = START, []
    for n, (wait, price, lots, aggressor) in enumerate(steps):
        now += wait
        trades.append(
            Trade(
                instrument_id="BINANCE:SPOT:BTC-USDT",
                trade_id=n,
                price_ticks=price,
                qty_lots=lots,
                aggressor=aggressor,
                ts_event_ns=now,
                ts_recv_ns=now,
            )
        )
    return trades


def trade(price, lots, ns, aggressor=Aggressor.BUY):
    return made([(ns, price, lots, aggressor)])[0]


def held(trades, buckets):
    """What a window of ``buckets`` holds after the last trade, and whether a whole one has passed."""
    newest = trades[-1].ts_event_ns // BUCKET
    inside = [t for t in trades if t.ts_event_ns // BUCKET > newest - buckets]
    return inside, newest - trades[0].ts_event_ns // BUCKET >= buckets


def signed(t):
    return t.qty_lots * (1 if t.aggressor is Aggressor.BUY else -1)


@settings(deadline=None)
@given(TRADES, st.integers(1, 6))
def test_volume_delta_and_vwap_are_those_of_the_trades_inside(steps, buckets):
    delta, vwap = VolumeDelta(buckets * BUCKET, buckets), Vwap(buckets * BUCKET, buckets)
    trades = made(steps)
    for t in trades:
        delta.update(t)
        vwap.update(t.price_ticks, t.qty_lots, t.ts_event_ns)
    inside, warm = held(trades, buckets)
    lots = sum(t.qty_lots for t in inside)
    assert delta.cumulative == sum(map(signed, trades))
    assert delta.value == (sum(map(signed, inside)) if warm else None)
    if warm and lots:
        assert vwap.value == pytest.approx(sum(t.price_ticks * t.qty_lots for t in inside) / lots, rel=1e-12)
    else:
        assert vwap.value is None


def naive_profile(trades, bin_ticks, area):
    bins = Counter()
    for t in trades:
        bins[t.price_ticks // bin_ticks] += t.qty_lots
    rows = sorted((price, lots) for price, lots in bins.items() if lots)
    if not rows:
        return None
    total = sum(lots for _, lots in rows)
    peak = min(rows, key=lambda row: (-row[1], row[0]))
    inside, below, above = [peak], [r for r in rows if r < peak], [r for r in rows if r > peak]
    while sum(lots for _, lots in inside) < area * total and (below or above):
        up = above and (not below or above[0][1] >= below[-1][1])
        inside.append(above.pop(0) if up else below.pop())
    prices = [price * bin_ticks for price, _ in inside]
    return Profile(peak[0] * bin_ticks, min(prices), max(prices), sum(lots for _, lots in inside), total, bin_ticks)


@settings(deadline=None)
@given(TRADES, st.integers(1, 6), st.integers(1, 5), st.sampled_from([0.5, 0.7, 1.0]))
def test_the_volume_profile_is_that_of_the_trades_inside(steps, buckets, bin_ticks, area):
    profile = VolumeProfile(buckets * BUCKET, bin_ticks, buckets, area=area)
    trades = made(steps)
    for t in trades:
        profile.update(t)
    inside, warm = held(trades, buckets)
    assert profile.value == (naive_profile(inside, bin_ticks, area) if warm else None)


@settings(deadline=None)
@given(TRADES)
def test_a_profile_that_needs_more_bins_widens_them_and_loses_no_volume(steps):
    profile = VolumeProfile(6 * BUCKET, bin_ticks=1, buckets=6, max_bins=3)
    trades = made(steps)
    for t in trades:
        profile.update(t)
        assert len(profile._bins) <= 3
        assert all(len(part) <= 3 for _, part in profile._parts)
    inside, warm = held(trades, 6)
    assert profile.value == (naive_profile(inside, profile.bin_ticks, 0.7) if warm else None)


def test_the_profile_of_a_day_by_hand():
    profile = VolumeProfile(10, buckets=1)
    profile.update(trade(100, 1, 0))
    for price, lots in {100: 5, 101: 30, 102: 50, 103: 20, 104: 10}.items():
        profile.update(trade(price, lots, 10))
    # 70 % of 115 lots are 80.5: 50 and 30 are not enough, so the 20 above join.
    assert profile.value == Profile(102, 101, 103, 100, 115, 1)
    profile.advance(START + 20)
    assert profile.value is None


@settings(deadline=None)
@given(TRADES, st.integers(2, 6))
def test_kyles_lambda_is_the_regression_of_the_last_intervals(steps, window):
    feature = KyleLambda(BUCKET, window)
    trades = made(steps)
    for t in trades:
        feature.update(t)
    feature.advance(trades[-1].ts_event_ns + BUCKET)
    closed = {}
    for t in trades:
        closed.setdefault(t.ts_event_ns // BUCKET, []).append(t)
    groups = list(closed.values())
    flows = [sum(map(signed, group)) for group in groups][1:][-window:]
    last = [group[-1].price_ticks for group in groups]
    moves = [last[n] - last[n - 1] for n in range(1, len(last))][-window:]
    if len(flows) < window or len(set(flows)) == 1:
        assert feature.value is None
    else:
        assert feature.value == pytest.approx(linear_regression(flows, moves).slope, rel=1e-9, abs=1e-9)


def test_kyles_lambda_finds_the_impact_that_made_the_prices():
    feature, price = KyleLambda(BUCKET, 20), 50_000
    for n in range(40):
        lots = (n * 7) % 13 + 1
        side = Aggressor.BUY if n % 3 else Aggressor.SELL
        price += 2 * (lots if side is Aggressor.BUY else -lots)
        feature.update(trade(price, lots, n * BUCKET, side))
    assert feature.value == pytest.approx(2.0, rel=1e-12)


def test_zero_volume_moves_no_figure():
    vwap, delta, profile = Vwap(10, 1), VolumeDelta(10, 1), VolumeProfile(10, buckets=1)
    for ns in (0, 10, 11):
        vwap.update(100.0, 0.0, START + ns)
        delta.update(trade(100, 0, ns))
        profile.update(trade(100, 0, ns))
    assert (vwap.value, delta.value, profile.value) == (None, 0, None)


def test_silence_empties_a_window():
    vwap, delta = Vwap(10, 1), VolumeDelta(10, 1)
    for ns in (0, 10):
        vwap.update(0.1, 0.3, START + ns)
        delta.update(trade(100, 4, ns))
    assert (vwap.value, delta.value) == (0.1, 4)
    vwap.advance(START + 20)
    delta.advance(START + 20)
    assert (vwap.value, delta.value, delta.cumulative) == (None, 0, 8)


@pytest.mark.parametrize(
    "bad", [(float("nan"), 1.0), (0.0, 1.0), (1.0, float("nan")), (1.0, -1.0), (float("inf"), 1.0)]
)
def test_a_price_or_volume_that_cannot_be_is_refused(bad):
    vwap = Vwap(10, 1)
    with pytest.raises(BadSampleError, match="VWAP"):
        vwap.update(*bad, START)
    assert vwap.value is None


@pytest.mark.parametrize("area", [0.0, 1.1, float("nan")])
def test_a_value_area_that_is_no_fraction_is_refused(area):
    with pytest.raises(ValueError, match="fraction"):
        VolumeProfile(10, buckets=1, area=area)
