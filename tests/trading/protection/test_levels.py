"""Exit levels from the average entry: on the grid, on the right side, never later than asked for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import Side
from trading.protection.levels import Distances, ExitReason, Levels, distances, due, levels
from trading.protection.policy import PRESETS, ExitPolicy, preset

D = Decimal
BTC = Instrument(
    instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    venue="binanceusdm",
    symbol="BTCUSDT",
    kind=InstrumentKind.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=D("0.1"),
    lot_size=D("0.001"),
    min_qty=D("0.001"),
    max_qty=D(100),
    min_notional=D(5),
)


@pytest.mark.req("C-RISK-6")
@pytest.mark.parametrize(
    ("side", "stop", "take"),
    [(Side.BUY, D("49000.0"), D("52000.0")), (Side.SELL, D("51000.0"), D("48000.0"))],
)
def test_levels_lie_the_configured_per_cent_from_the_entry(side, stop, take):
    assert levels(BTC, side, D(50_000), distances(ExitPolicy(), None)) == Levels(D(50_000), stop, take)


@given(
    entry=st.decimals(D("1"), D("90000"), places=6),
    stop=st.decimals(D("0.01"), D("50"), places=2),
    take=st.decimals(D("0.01"), D("50"), places=2),
    side=st.sampled_from(Side),
)
def test_levels_are_on_the_grid_and_round_towards_the_entry(entry, stop, take, side):
    at = levels(BTC, side, entry, Distances(stop, take))
    for level, pct, sign in ((at.stop_loss, stop, -side.sign), (at.take_profit, take, side.sign)):
        if level is None:
            continue
        exact = entry * (1 + sign * pct / 100)
        assert level % BTC.tick_size == 0
        assert abs(level - exact) < BTC.tick_size
        assert (exact - level) * sign >= 0, "an exit must not come later than was asked for"


@pytest.mark.parametrize("side", list(Side))
def test_a_gap_through_a_level_sets_it_off_as_a_touch_does(side):
    at = levels(BTC, side, D(50_000), Distances(D(2), D(4)))
    for price, reason in (
        (at.stop_loss, ExitReason.STOP_LOSS),
        (at.stop_loss - side.sign * 9_000, ExitReason.STOP_LOSS),
        (at.take_profit, ExitReason.TAKE_PROFIT),
        (at.take_profit + side.sign * 9_000, ExitReason.TAKE_PROFIT),
        (at.stop_loss + side.sign * BTC.tick_size, None),
        (at.take_profit - side.sign * BTC.tick_size, None),
    ):
        assert due(at, side, price) is reason


@pytest.mark.req("V-RISK-1")
@pytest.mark.parametrize(
    ("name", "stop", "take", "cooldown_s"),
    [("conservative", "2.0", "1.0", 45), ("moderate", "1.5", "1.5", 30), ("aggressive", "1.0", "2.0", 20)],
)
def test_a_named_policy_measures_in_true_ranges_and_has_its_own_pause(name, stop, take, cooldown_s):
    policy = preset(name, ExitPolicy())
    assert policy.cooldown_ms == cooldown_s * 1_000
    at = levels(BTC, Side.BUY, D(50_000), distances(policy, D(100)))
    assert at.stop_loss == 50_000 - D(stop) * 100
    assert at.take_profit == 50_000 + D(take) * 100
    assert set(PRESETS) == {"conservative", "moderate", "aggressive"}


def test_until_the_range_is_known_a_named_policy_protects_by_per_cent():
    policy = preset("moderate", ExitPolicy(stop_loss_pct=D(3)))
    assert levels(BTC, Side.BUY, D(50_000), distances(policy, None)).stop_loss == D(48_500)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"stop_loss_pct": D(-1)}, "stop_loss_pct: -1"),
        ({"take_profit_pct": D(100)}, "take_profit_pct: 100 must be below"),
        ({"stop_loss_pct": D(0), "take_profit_pct": D(0)}, "both 0"),
        ({"cooldown_ms": 0}, "cooldown_ms: 0"),
    ],
)
def test_a_policy_that_cannot_be_names_its_field(fields, names):
    with pytest.raises(ValueError, match=names):
        ExitPolicy(**fields)


def test_an_unknown_policy_is_told_the_known_ones():
    with pytest.raises(ValueError, match="aggressive, conservative, moderate"):
        preset("reckless", ExitPolicy())
