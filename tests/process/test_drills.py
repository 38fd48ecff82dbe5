"""A drill, whole: its own process tree, hurt and audited."""

from __future__ import annotations

import pytest

from supervision.drills import run_drill


@pytest.mark.req("P-SAFE-4")
def test_no_order_leaves_after_hold_however_much_waits_in_the_desk():
    said = []
    result = run_drill("backlog-hold", said.append, trials=2)
    detail = result.detail
    assert detail["orders_in_the_50_ms_before_hold"] > 0
    assert all(n > 0 for n in detail["orders_in_the_150_ms_after_the_same_backlog_without_hold"])
    assert detail["last_order_after_hold_ms_max"] <= 50
    assert (result.orders_after_hold, result.duplicated_orders, result.lost_fills, result.orphans) == (0, 0, 0, 0)
    assert result.orders_total > 50
    assert said
