"""Operators are told who fills each venue's orders, and why."""

from __future__ import annotations

import pytest

from api.views import control_state
from trading.operators import Topic


@pytest.mark.req("L-EXEC-3")
def test_the_state_of_the_desk_says_where_orders_go(projection, publish):
    told = {"backend": "testnet", "reason": "GATEIO_SANDBOX is true"}
    publish(projection, Topic.VENUE, "gateio", {"state": "synced", "orders": told})
    publish(projection, Topic.VENUE, "okx", {"state": "synced"})
    assert control_state(projection)["orders"] == {"gateio": told, "okx": {}}
