"""A desk whose orders are told by rows of the real order core."""

from __future__ import annotations

import pytest

from tests.trading.telemetry.order_rows import VENUE, Desk
from trading.orders.core import OrderCoreConfig
from trading.orders.messages import ExecType, OrdStatus


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def in_place() -> Desk:
    """A desk whose venue has amended its one order in place, and said so under the order's first id."""
    desk = Desk(OrderCoreConfig(amends_in_place=(VENUE,)))
    desk.place("pd7-1")
    desk.later(20)
    desk.ack("pd7-1")
    desk.place("pd7-2", replaces="pd7-1")
    desk.later(25)
    desk.hear("pd7-1", ExecType.REPLACED, OrdStatus.NEW, orig="pd7-1")
    return desk
