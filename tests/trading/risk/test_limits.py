"""Limits: named when they are wrong, zero allows nothing, a rate holds in any period."""

from decimal import Decimal

import msgspec
import pytest

from trading.orders.messages import ApprovedOrder, DenyReason, OrderDenied, Side, TimeInForce
from trading.risk.limits import InstrumentLimits, RiskLimits
from trading.risk.rate import RateWindow

D = Decimal
AMOUNTS = [
    f.name for f in msgspec.structs.fields(RiskLimits) if isinstance(getattr(RiskLimits(), f.name), Decimal | int)
]


@pytest.mark.parametrize("field", AMOUNTS)
def test_a_negative_limit_is_refused_by_name(field):
    with pytest.raises(ValueError, match=field):
        RiskLimits(**{field: D(-1)})


def test_a_limit_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="daily_loss_cap_usd"):
        RiskLimits(daily_loss_cap_usd=D("NaN"))
    with pytest.raises(ValueError, match="max_order_qty"):
        RiskLimits(by_instrument={"i": InstrumentLimits(max_order_qty=D("Infinity"))})


@pytest.mark.req("P-RSK-2")
@pytest.mark.parametrize(
    "field",
    [f for f in AMOUNTS if f not in ("capital_usd", "drawdown_safe_pct", "drawdown_hold_pct", "safe_size_factor")],
)
def test_zero_allows_nothing_and_never_everything(kit, field):
    desk = kit.desk(**{field: type(getattr(RiskLimits(), field))(0)})
    # A short and a long, beyond the mid and inside the spread: whatever the limit is about, one of them uses it.
    orders = [
        desk.order(price="50000.1"),
        desk.order(side=Side.SELL, price="50000.1"),
        desk.order(price="50000.1", tif=TimeInForce.IOC),
    ]
    denied = [o for o in map(desk.decide, orders) if isinstance(o, OrderDenied)]
    assert denied, f"{field}=0 let everything pass"
    assert field in RiskLimits(**{field: type(getattr(RiskLimits(), field))(0)}).zeros()


@pytest.mark.req("P-RSK-2")
def test_a_zero_size_factor_allows_nothing_in_safe_mode(kit):
    desk = kit.desk(safe_size_factor=D(0))
    desk.governor.set_modes({"global": 1})
    assert desk.decide(desk.order()).reason is DenyReason.MAX_ORDER_NOTIONAL


@pytest.mark.req("P-UNI-2")
def test_the_same_ticker_on_two_venues_has_two_limits(kit):
    desk = kit.desk(by_instrument={kit.PERP: InstrumentLimits(max_position_notional_usd=D(150))})
    assert isinstance(desk.decide(desk.order(kit.PERP)), ApprovedOrder)
    assert desk.decide(desk.order(kit.PERP)).reason is DenyReason.MAX_POSITION
    for _ in range(3):
        assert isinstance(desk.decide(desk.order(kit.SPOT)), ApprovedOrder)


def test_a_rate_window_admits_its_limit_in_any_period():
    window = RateWindow(2, 100)
    assert window.allows(0)
    window.add(0)
    assert not window.allows(50, spare=1)
    window.add(50)
    assert not window.allows(99)
    assert window.used(99) == 2
    assert window.allows(100)
    assert not RateWindow(0, 100).allows(0)
