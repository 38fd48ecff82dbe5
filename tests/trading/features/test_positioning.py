"""Open interest, liquidations and accounts against sums over everything that was told."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.positioning import AccountRatio, LiquidationFlow, OpenInterestChange
from trading.features.windows import BadSampleError
from trading.market.events import Liquidation, LongShortRatio, OpenInterest, PositionSide

SECOND = 10**9
WINDOW, BUCKETS = 10 * SECOND, 5
BUCKET = WINDOW // BUCKETS
QTY = st.decimals(0, 10**9, places=6)


def interest(ts_ns, qty):
    return OpenInterest(instrument_id="x", qty=qty, ts_event_ns=ts_ns, ts_recv_ns=ts_ns)


def liquidation(ts_ns, side, price, qty):
    return Liquidation(instrument_id="x", side=side, price=price, qty=qty, ts_event_ns=ts_ns, ts_recv_ns=ts_ns)


@pytest.mark.req("P-POL-6")
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), QTY), max_size=40))
def test_the_change_of_open_interest_is_last_less_first_of_the_window(steps):
    feature, now, told = OpenInterestChange(WINDOW, BUCKETS), SECOND, []
    for step, qty in steps:
        now += step
        told.append((now // BUCKET, qty))
        feature.update(interest(now, qty))
    held = [qty for bucket, qty in told if bucket > told[-1][0] - BUCKETS]
    warm = bool(told) and told[-1][0] - told[0][0] >= BUCKETS
    assert feature.qty == (told[-1][1] if told else None)
    assert feature.value == (held[-1] - held[0] if warm else None)
    if warm and held[0]:
        assert feature.fraction == pytest.approx(float((held[-1] - held[0]) / held[0]), abs=1e-9)
    else:
        assert feature.fraction is None


@pytest.mark.req("P-POL-6")
@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5 * SECOND), st.sampled_from(PositionSide), st.decimals(1, 10**6, places=4), QTY),
        max_size=40,
    )
)
def test_liquidations_add_up_by_side_exactly(steps):
    feature, now, told = LiquidationFlow(WINDOW, BUCKETS), SECOND, []
    for step, side, price, qty in steps:
        now += step
        told.append((now // BUCKET, side, price, qty))
        feature.update(liquidation(now, side, price, qty))
    if not told or told[-1][0] - told[0][0] < BUCKETS:
        assert feature.value is None
        return
    held = [row[1:] for row in told if row[0] > told[-1][0] - BUCKETS]
    longs = [row for row in held if row[0] is PositionSide.LONG]
    shorts = [row for row in held if row[0] is PositionSide.SHORT]
    found = feature.value
    assert (found.longs, found.shorts) == (len(longs), len(shorts))
    assert found.long_qty == sum(qty for _, _, qty in longs)
    assert found.short_turnover == sum(price * qty for _, price, qty in shorts)
    both = found.long_qty + found.short_qty
    assert found.imbalance == (float((found.short_qty - found.long_qty) / both) if both else None)


def test_a_window_without_liquidations_says_zero_and_before_it_nothing():
    feature = LiquidationFlow(WINDOW, BUCKETS)
    assert feature.value is None
    feature.advance(SECOND)
    feature.advance(SECOND + WINDOW)
    assert (feature.value.longs, feature.value.short_qty, feature.value.imbalance) == (0, 0, None)


def test_accounts_are_a_ratio_and_a_share():
    feature = AccountRatio()
    assert feature.value is None
    feature.update(LongShortRatio(instrument_id="x", ratio=Decimal(3), ts_event_ns=1, ts_recv_ns=1))
    assert (feature.value, feature.share_long) == (3.0, 0.75)


@pytest.mark.parametrize("bad", [Decimal("NaN"), Decimal("Infinity"), Decimal(-1), Decimal(10) ** 30])
def test_a_figure_that_cannot_be_is_refused_and_changes_nothing(bad):
    change, flow, ratio = OpenInterestChange(WINDOW), LiquidationFlow(WINDOW), AccountRatio()
    with pytest.raises(BadSampleError):
        change.update(interest(1, bad))
    with pytest.raises(BadSampleError):
        flow.update(liquidation(1, PositionSide.LONG, Decimal(1), bad))
    with pytest.raises(BadSampleError):
        flow.update(liquidation(1, PositionSide.LONG, bad, Decimal(1)))
    with pytest.raises(BadSampleError):
        ratio.update(LongShortRatio(instrument_id="x", ratio=bad, ts_event_ns=1, ts_recv_ns=1))
    assert (change.qty, flow.value, ratio.value) == (None, None, None)
