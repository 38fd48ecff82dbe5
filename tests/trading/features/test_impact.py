"""Impact measured from trades and swept from books, against brute force over the same events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.impact import ImpactCurve, ImpactPoint, SweepCurve
from trading.market.events import Aggressor, BookState, Trade

SIZES = (1, 10, 100)
SECOND = 10**9


def trade(ts_ns, price, lots):
    return Trade(
        instrument_id="x",
        trade_id=1,
        price_ticks=price,
        qty_lots=abs(lots),
        aggressor=Aggressor.BUY if lots > 0 else Aggressor.SELL,
        ts_event_ns=ts_ns,
        ts_recv_ns=ts_ns,
    )


TRADES = st.lists(
    st.tuples(st.integers(0, 3 * SECOND), st.integers(900, 1100), st.integers(-200, 200).filter(bool)), max_size=60
)


@pytest.mark.req("P-POL-6")
@settings(deadline=None)
@given(TRADES, st.integers(1, 6))
def test_the_curve_is_the_mean_move_with_the_flow_by_size(steps, window):
    curve, now, trades = ImpactCurve(SECOND, SIZES, window), SECOND, []
    for step, price, lots in steps:
        now += step
        trades.append((now // SECOND, price, lots))
        curve.update(trade(now, price, lots))
    curve.advance(now + SECOND)
    flows, closes = {}, {}
    for interval, price, lots in trades:
        flows[interval] = flows.get(interval, 0) + lots
        closes[interval] = price
    moves = {size: [] for size in SIZES}
    for before, after in pairwise(sorted(closes)):
        flow = flows[after]
        fitting = [size for size in SIZES if size <= abs(flow)]
        if fitting:
            moves[fitting[-1]].append((closes[after] - closes[before]) * (1 if flow > 0 else -1))
    for point, size in zip(curve.value, SIZES, strict=True):
        held = moves[size][-window:]
        assert (point.lots, point.intervals) == (size, len(held))
        assert point.ticks == (pytest.approx(sum(held) / len(held)) if held else None)


def test_nothing_is_known_of_sizes_that_never_came():
    curve = ImpactCurve(SECOND, SIZES)
    for n, (price, lots) in enumerate(((100, 5), (103, 20), (101, -20), (90, 3))):
        curve.update(trade(n * SECOND, price, lots))
    assert curve.value == (ImpactPoint(1, None, 0), ImpactPoint(10, 2.5, 2), ImpactPoint(100, None, 0))


SIDE = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 50)), min_size=1, max_size=8)


@pytest.mark.req("P-POL-6")
@settings(deadline=None)
@given(SIDE, SIDE)
def test_a_sweep_pays_lot_by_lot_what_the_levels_ask(below, above):
    bids, asks, price = [], [], 1000
    for step, lots in below:
        price -= step
        bids.append((price, lots))
    price = 1000
    for step, lots in above:
        price += step
        asks.append((price, lots))
    curve = SweepCurve(SIZES)
    curve.update(BookState.SYNCED, bids, asks)
    mid = (bids[0][0] + asks[0][0]) / 2
    for cost in curve.value:
        for found, side, sign in ((cost.buy_bps, asks, 1), (cost.sell_bps, bids, -1)):
            each = [tick for tick, lots in side for _ in range(lots)][: cost.lots]
            if len(each) < cost.lots:
                assert found is None
            else:
                assert found == pytest.approx(sign * (sum(each) / cost.lots / mid - 1) * 1e4, rel=1e-9)
                assert found >= 0
    curve.update(BookState.SUSPECT, bids, asks)
    assert curve.value is None
    curve.update(BookState.SYNCED, bids, [])
    assert curve.value is None
    curve.update(BookState.SYNCED, [(0, 5)], [(0, 5)])
    assert curve.value is None


@pytest.mark.parametrize("sizes", [(), (0, 1), (5, 1), (1, 1)])
def test_sizes_that_are_none_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes"):
        ImpactCurve(SECOND, sizes)
    with pytest.raises(ValueError, match="sizes"):
        SweepCurve(sizes)
