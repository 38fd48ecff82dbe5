"""Orders over sockets: a whole desk, its signed requests, and the loopback server that stands for the venue."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest

from actors.messages import BrakeSet, VenueDown
from adapters.dropcopy.booked import JournalTail
from adapters.dropcopy.reader import RecordReader
from adapters.journal.store import open_reader, read_rows
from adapters.orders.link import OrderLinkSpec
from adapters.orders.news import Unread
from adapters.orders.okx_read import id_in
from adapters.orders.user_stream import Pushed
from adapters.simserver.faults import Gap
from supervision.conformance.order_case import USER, has, resting
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.rig import Rig
from supervision.order_accounts import PAPER_KEYS
from tests.waiting import PATIENCE_S
from trading.dropcopy.execution import compare
from trading.orders.journal_rows import JournalKind, ReportBody, decode_body
from trading.orders.messages import Side

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


async def record(rig):
    """What the venue's own record says was executed, read beside the desk."""
    link = OrderLinkSpec(
        venue=rig.venue,
        instruments=tuple(rig.instruments.values()),
        credentials=PAPER_KEYS,
        rest=rig.server.base_http,
        ws=rig.server.base_ws,
    )
    reader = RecordReader(link, rig.clock)
    reader.start()
    try:
        now_ns = await reader.venue_ns()
        found = await reader.executions(now_ns - 3_600_000_000_000, now_ns + 1_000_000_000)
    finally:
        await reader.close()
    return {one.exec_id: one for one in found.executions}


def journalled(rig):
    """The same as the journal booked it."""
    tail = JournalTail(rig._paths.journal, rig.venue, 0)
    try:
        return {one.exec_id: one for one in tail.look().executions}
    finally:
        tail.close()


@pytest.mark.req("P-ORD-1", "P-ORD-2", "P-VEN-3", "P-VEN-10")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_desk_trades_over_the_venues_own_wire_and_agrees_with_its_account(venue, tmp_path):
    rig = Rig(venue, tmp_path, orders="wire")
    try:
        await rig.start()
        await rig.until_trading(PATIENCE_S)
        orders = rig.base.actor("orders")
        await rig.until(lambda: orders.fills >= 5 and orders.orders >= 20, "fills", PATIENCE_S)
        assert rig.trouble_inside() == []
        hold = BrakeSet(code="TEST", scope="global", level=3, cause="enough", release="operator")
        rig.base.inject("governor", hold)
        governor = rig.base.actor("governor")
        await rig.until(lambda: "TEST" in {brake.code for brake in governor.brakes}, "HOLD", PATIENCE_S)
        held_ns = rig.clock.mono_ns()
        await rig.until(lambda: not orders.core.open_orders(), "an end of every order", PATIENCE_S)
        await rig.until(lambda: booked(rig) == executed(rig), "agreement with the venue", PATIENCE_S)
        assert rig.server.account.sim.open_ids() == ()
        listed = await record(rig)
        assert len(listed) >= 5
        assert compare(listed, journalled(rig)) == []  # to the fee
        assert orders.core.unknown_orders() == []
        assert rig.oracle.orders_between(held_ns + 50_000_000, rig.clock.mono_ns()) == 0
    finally:
        await rig.close()


@pytest.mark.req("P-HA-6")
async def test_a_desk_that_lost_sight_of_a_venue_hears_again_that_it_is_up(tmp_path):
    rig = Rig("okx", tmp_path, orders="wire")
    try:
        await rig.start()
        await rig.until_trading(PATIENCE_S)
        governor = rig.base.actor("governor")
        scope = "venue:okx"
        # One direction of the link between them broke, so that only one side knows of it.
        rig.base.inject("governor", VenueDown(venue="okx"))
        await rig.until(
            lambda: ("VENUE_DOWN", scope) in {(b.code, b.scope) for b in governor.brakes}, "its hold", PATIENCE_S
        )
        await rig.until(lambda: scope not in {b.scope for b in governor.brakes}, "its return", PATIENCE_S)
        assert rig.trouble_inside() == []
    finally:
        await rig.close()


@pytest.mark.req("P-VEN-3", "P-ORD-4")
async def test_a_word_of_the_stream_that_cannot_be_read_has_the_account_read_for_what_it_may_have_been(tmp_path):
    rig = OrderRig("bybit", tmp_path)
    try:
        await rig.start()
        await rig.until_trading(PATIENCE_S)
        await rig.settle()
        name = await resting(rig, Side.BUY, 900.0)
        rig.server.faults.set(Gap(messages=1_000, topics=USER))
        rig.trade_at(name, 1)
        assert not has(rig, name, "partially_filled")
        rig.gateway._heard(Pushed(event=Unread(reason="execQty is 'NaN'", payload=b"{}"), ts_ns=0))
        await rig.until(lambda: has(rig, name, "partially_filled", "filled"), "the execution", PATIENCE_S)
        assert rig.gateway.unread == 1
        rig.server.faults.clear()
        assert rig.trouble_inside() == []
    finally:
        await rig.close()
