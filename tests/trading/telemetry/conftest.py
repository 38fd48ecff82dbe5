"""A desk whose orders are told by rows of the real order core."""

from __future__ import annotations

import pytest

from tests.trading.telemetry.order_rows import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
