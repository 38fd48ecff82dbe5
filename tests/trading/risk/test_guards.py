"""Stops that venues hold, before the governor."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.trading.risk.conftest import NOW, PERP
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    OrderDenied,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

D = Decimal


@pytest.mark.req("P-ORD-10", "P-ORD-9")
def test_of_orders_that_wait_only_those_bound_to_closing_what_is_held_pass_and_they_count_for_nothing(kit):
    desk = kit.desk()
    closes = TriggeringInstructions(D(49_000), TriggerPriceType.MARK, close_on_trigger=True)
    opens = TriggeringInstructions(D(49_000), TriggerPriceType.MARK)

    def stop(qty, trigger, *, reduce_only=True):
        order = desk.order(side=Side.SELL, qty=qty, reduce_only=reduce_only, tif=TimeInForce.IOC)
        return msgspec.structs.replace(order, ord_type=OrdType.STOP, price=None, trigger=trigger)

    desk.top(PERP)
    desk.governor.restore({PERP: D("0.004")})
    refused = [desk.governor.decide(one, NOW) for one in (stop("0.004", opens), stop("0.005", closes))]
    assert [one.reason for one in refused] == [DenyReason.TRIGGER, DenyReason.REDUCE_ONLY]
    assert type(desk.governor.decide(stop("0.004", closes), NOW)) is ApprovedOrder
    # What it may close is not taken from an order that closes now.
    exit_ = desk.order(side=Side.SELL, qty="0.004", price="49990", reduce_only=True, tif=TimeInForce.IOC)
    assert type(desk.governor.decide(exit_, NOW)) is ApprovedOrder
    guard = stop("0.002", closes)
    assert type(desk.governor.decide(guard, NOW)) is ApprovedOrder
    assert desk.exposure()["position"] == "0.004"
    desk.update(guard, OrdStatus.UNKNOWN)
    late = desk.order(side=Side.SELL, qty="0.001", price="49990", reduce_only=True, tif=TimeInForce.IOC)
    assert type(desk.governor.decide(late, NOW)) is OrderDenied  # of the exit above nothing has come back
