"""A drill, whole: its own process tree, hurt and audited."""

from __future__ import annotations

import pytest

from supervision import drill_backlog
from supervision.drills import run_drill
from tests.effort import effort


@pytest.mark.req("P-SAFE-4")
def test_no_order_leaves_after_hold_however_much_waits_in_the_desk(monkeypatch):
    monkeypatch.setattr(drill_backlog, "_FLOW", 2)  # as many orders as a busy machine lets leave within 50 ms
    said = []
    for _ in range(4):
        result = run_drill("backlog-hold", said.append, trials=effort(2, 10))
        detail = result.detail
        assert detail["last_order_after_hold_ms_max"] <= 50
        assert (result.orders_after_hold, result.duplicated_orders, result.lost_fills, result.orphans) == (0, 0, 0, 0)
        assert result.orders_total > 50
        assert said
        under_way = detail["orders_in_the_50_ms_before_hold"]
        if under_way and all(detail["orders_in_the_150_ms_after_the_same_backlog_without_hold"]):
            return
        # A desk that was kept from running had nothing on its way: its silence proves nothing.
    pytest.fail(f"nothing was ever under way at HOLD: {detail}")
