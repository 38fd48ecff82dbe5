"""What all strategies share: parameters refused by name, inventory from fills, the value of a lot."""

from decimal import Decimal

import pytest

from trading.orders.messages import Side
from trading.strategies.base import LotValue, build_strategy

D = Decimal


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("maker", {"quote_notional_usd": -1}, "quote_notional_usd"),
        ("maker", {"horizon_s": 0}, "horizon_s"),
        ("maker", {"unheard_of": 1}, "unheard_of"),
        ("momentum", {"weight_flow": 0.9}, "weight"),
        ("momentum", {"entry_score": 0.1, "exit_score": 0.2}, "exit_score"),
        ("momentum", {"max_hold_s": "soon"}, "max_hold_s"),
        ("basis", {"entry_z": 0.1}, "entry_z"),
        ("guess", {}, "kind"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(kit, kind, params, field):
    with pytest.raises(ValueError, match=field):
        build_strategy(kind, "s", kit.some(kit.spot, kit.perp), params, 1)


def test_a_configurations_decimals_are_as_good_as_integers_when_they_are_whole(kit):
    def build(value):
        return build_strategy("maker", "s", kit.some(kit.perp), {"min_requote_ms": value}, 1)

    assert build(D(500)).params.min_requote_ms == 500
    for wrong in (D("500.5"), D("NaN"), D("Infinity")):
        with pytest.raises(ValueError, match="min_requote_ms"):
            build(wrong)


def test_basis_needs_two_instruments_the_second_a_perpetual(kit):
    with pytest.raises(ValueError, match="exactly two"):
        build_strategy("basis", "s", kit.some(kit.perp), {}, 1)
    with pytest.raises(ValueError, match="spot"):
        build_strategy("basis", "s", kit.some(kit.perp, kit.spot), {}, 1)
    with pytest.raises(ValueError, match="instruments"):
        build_strategy("maker", "s", {}, {}, 1)


@pytest.mark.parametrize("kind", ["maker", "momentum", "basis"])
def test_fills_and_restored_positions_are_the_inventory(kit, kind):
    strategy = build_strategy(kind, "s", kit.some(kit.spot, kit.perp), {}, 1)
    perp = kit.perp.instrument_id
    strategy.restore_position({perp: D("0.010"), "other": D(5)}, kit.now)
    strategy.on_fill(perp, Side.SELL, D("0.004"), D(50000), kit.now)
    strategy.on_fill("other", Side.SELL, D("0.004"), D(50000), kit.now)
    assert strategy.position_lots[perp] == 6
    view = strategy.view()
    assert view["inventory"][perp] == "0.006"
    assert view["kind"] == kind


def test_a_lot_of_an_inverse_contract_has_the_same_value_at_any_price(kit):
    assert LotValue(kit.coin).usd(10) == LotValue(kit.coin).usd(10**6) == 100.0
    assert LotValue(kit.perp).usd(500_000) == pytest.approx(50.0)
    assert LotValue(kit.perp).lots(249.9, 500_000) == 4
