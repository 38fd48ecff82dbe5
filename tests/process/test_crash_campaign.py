"""The crash campaign, a short one: its own process tree, killed, and compared with what the venues say of it."""

from __future__ import annotations

import os

import pytest

from supervision.drill_campaign import run_campaign

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        os.environ.get("RUN_CRASH_CAMPAIGN") != "1",
        reason="a campaign takes a machine of its own: RUN_CRASH_CAMPAIGN=1, or propdesk drill crash-campaign",
    ),
]


@pytest.mark.req("P-ORD-1", "P-ORD-3")
def test_killed_while_it_trades_the_desk_doubles_no_order_and_loses_no_fill():
    said = []
    result = run_campaign(4, said.append, seed=6)
    found = (result.duplicates, result.lost_fills, result.invented_fills, result.unknown_unresolved, result.orphans)
    assert found == (0, 0, 0, 0, 0)
    assert result.ledger_residual == "0"
    assert result.kills >= 4
    assert set(result.kills_by_boundary) - {"random"}, "no process died at a named boundary"
    assert result.orders > 100
    assert result.fills > 0
    assert 0 < result.recovery_ms_p50 <= result.recovery_ms_p99
    assert (result.passed, result.synthetic, result.audits) == (True, True, 1)
    assert said
