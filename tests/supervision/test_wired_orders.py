"""Orders over sockets: a whole desk, its signed requests, and the loopback server that stands for the venue."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest

from actors.messages import BrakeSet
from adapters.journal.store import open_reader, read_rows
from adapters.orders.okx_read import id_in
from supervision.conformance.rig import Rig
from trading.orders.journal_rows import JournalKind, ReportBody, decode_body

VENUES = ("binance", "binanceusdm", "binancecoinm", "okx", "bybit")
FILLS = frozenset({JournalKind.FILL, JournalKind.PARTIAL})


def booked(rig):
    """What the journal holds of executions: quantity by order."""
    sums = defaultdict(Decimal)
    db = open_reader(rig._paths.journal)
    try:
        for row in read_rows(db):
            if row.kind in FILLS:
                body = decode_body(row.body)
                assert isinstance(body, ReportBody)
                sums[row.cl_ord_id] += body.report.last_qty
    finally:
        db.close()
    return dict(sums)


def executed(rig):
    """What the venue executed: quantity by order."""
    sums = defaultdict(Decimal)
    for fill in rig.server.account.fills:
        told = fill.report.cl_ord_id
        sums[id_in(told) if rig.venue == "okx" else told] += fill.report.last_qty
    return dict(sums)


@pytest.mark.req("P-ORD-1", "P-ORD-2", "P-VEN-3")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_desk_trades_over_the_venues_own_wire_and_agrees_with_its_account(venue, tmp_path):
    rig = Rig(venue, tmp_path, orders="wire")
    try:
        await rig.start()
        await rig.until_trading()
        orders = rig.base.actor("orders")
        await rig.until(lambda: orders.fills >= 5 and orders.orders >= 20, "fills", 30.0)
        assert rig.trouble_inside() == []
        hold = BrakeSet(code="TEST", scope="global", level=3, cause="enough", release="operator")
        rig.base.inject("governor", hold)
        held_ns = rig.clock.mono_ns()
        await rig.until(lambda: not orders.core.open_orders(), "an end of every order", 15.0)
        await rig.until(lambda: booked(rig) == executed(rig), "agreement with the venue", 5.0)
        assert rig.server.account.sim.open_ids() == ()
        assert orders.core.unknown_orders() == []
        assert rig.oracle.orders_between(held_ns + 50_000_000, rig.clock.mono_ns()) == 0
    finally:
        await rig.close()
