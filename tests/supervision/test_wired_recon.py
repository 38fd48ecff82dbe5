"""A whole desk over a venue's own wire: what is made to differ there is found, repaired or held, and counted."""

from __future__ import annotations

import msgspec
import pytest

from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from supervision.conformance.order_case import FILLS, has, take
from supervision.conformance.order_rig import OrderRig
from tests.waiting import PATIENCE_S
from trading.orders.messages import Side
from trading.recon.difference import DiffState

VENUE = "binanceusdm"
_FAST = {"interval_ms": 500, "settle_ms": 200, "brake_ms": 500, "late_ms": 1, "visible_ms": 60_000}


@pytest.fixture
async def rig(tmp_path):
    """A desk that trades, whose order core looks for what it missed once a minute only."""
    made = OrderRig(VENUE, tmp_path)
    try:
        await made.start()
        await made.until(lambda: made.base.actor("portfolio") is not None, "books", PATIENCE_S)
        core = made.base.actor("portfolio").recon.core
        core._config = msgspec.structs.replace(core._config, **_FAST)
        await made.until(lambda: made.core is not None, "orders", PATIENCE_S)
        made.core._config = msgspec.structs.replace(made.core._config, reconcile_ladder_ms=(100, 200))
        await made.until_trading()
        await made.settle()
        yield made
    finally:
        await made.close()


@pytest.mark.req("P-PNL-7", "P-PNL-9", "C-EXEC-9")
async def test_injected_mismatches_are_repaired_or_held_and_counted(rig):
    desk = rig.base.actor("portfolio").recon
    core, account = desk.core, rig.server.account
    before = core.repairs.copy()

    # Frames of executions are lost: the venue's own list brings them.
    rig.server.faults.set(f.Gap(messages=1_000_000, topics=FILLS))
    lost = take(rig, Side.BUY)
    await rig.until(lambda: has(rig, lost, "filled", "expired", "canceled"), "an end", PATIENCE_S)
    await rig.until(lambda: core.repairs["missing_fill"] > before["missing_fill"], "a fill taken in", PATIENCE_S)
    rig.server.faults.clear()

    # Somebody trades by hand: booked as nobody's, and repaired when the venue's own list has it.
    rig.server.faults.set(o.ExternalFill(orders=1, side="sell", lots=2))
    await rig.until(lambda: core.total["external_reduction"] > 0, "an execution of others", PATIENCE_S)
    await rig.until(lambda: core.repairs["external_reduction"] > 0, "its confirmation", PATIENCE_S)

    # Money is gone that no execution explains: its scope is held, and let go when it is back.
    balances = account.exchange.account.balances
    balances["USDT"] -= 500
    await rig.until(lambda: desk.core.held() != {}, "a hold", PATIENCE_S)
    (found,) = [t for t in core.standing() if t.state is DiffState.BRAKED]
    assert (found.diff.ref, found.diff.scope) == ("USDT", f"symbol:{rig.instrument.instrument_id}")
    brakes = rig.base.actor("governor")
    await rig.until(lambda: any(b.code == "ACCOUNT_DIFF" for b in brakes.brakes), "its brake", PATIENCE_S)
    balances["USDT"] += 500
    await rig.until(lambda: not any(b.code == "ACCOUNT_DIFF" for b in brakes.brakes), "its release", PATIENCE_S)

    assert core.standing() == []
    assert desk.violations_total == 0
    assert rig.trouble_inside() == []
