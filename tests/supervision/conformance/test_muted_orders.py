"""Market data that falls silent takes its orders along: at every native venue, over the wire, out of its book."""

from __future__ import annotations

import pytest

from adapters.journal.store import open_reader, read_rows
from adapters.simserver import faults as f
from supervision.conformance.markets import BOOK
from supervision.conformance.order_rig import OrderRig
from tests.waiting import PATIENCE_S
from trading.brakes import Level
from trading.orders.journal_rows import CancelBody, JournalKind, decode_body
from trading.orders.messages import OrdStatus, Side

VENUES = ("binance", "binanceusdm", "binancecoinm", "okx", "bybit")


def canceled_for(rig, cl_ord_id):
    """Why the desk said cancel, as the journal has it."""
    db = open_reader(rig.journal)
    try:
        bodies = [
            decode_body(row.body)
            for row in read_rows(db)
            if row.kind is JournalKind.CANCEL and row.cl_ord_id == cl_ord_id
        ]
    finally:
        db.close()
    assert all(isinstance(body, CancelBody) for body in bodies)
    return [body.cancel.reason for body in bodies]


def held(rig):
    """Scopes of the rig's market that are in HOLD."""
    scopes = {f"symbol:{rig.instrument.instrument_id}", f"venue:{rig.venue}"}
    return {brake.scope for brake in rig.brakes() if brake.level >= Level.HOLD} & scopes


@pytest.mark.req("P-VEN-9", "P-MD-3")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_market_that_falls_silent_is_held_and_nothing_of_ours_rests_there_any_more(venue, tmp_path):
    rig = OrderRig(venue, tmp_path)
    try:
        await rig.start()
        await rig.until_trading(PATIENCE_S)
        await rig.settle(PATIENCE_S)
        name = rig.place(Side.BUY, away_ticks=rig.top().bids[0][0] // 100)  # too far away to be filled meanwhile

        def status():
            order = rig.core.order(rig.venue, name)
            return None if order is None else order.ord_status

        resting = rig.server.account.sim.open_ids
        await rig.until(lambda: status() is OrdStatus.NEW and len(resting()) == 1, "an order that rests", PATIENCE_S)
        assert held(rig) == set()
        rig.server.faults.set(f.Mute(topics=BOOK[venue]))
        await rig.until(lambda: held(rig), "HOLD", PATIENCE_S)
        await rig.until(lambda: resting() == (), "an empty book at the venue", PATIENCE_S)
        await rig.until(lambda: status() is OrdStatus.CANCELED, "its end here", PATIENCE_S)
        (reason,) = canceled_for(rig, name)
        assert reason in {f"{scope} is in HOLD" for scope in (*held(rig), f"symbol:{rig.instrument.instrument_id}")}
        rig.server.faults.clear()
        rig.want(orders=True)
        await rig.until_trading(PATIENCE_S)
        assert rig.breaches == []
        assert rig.core.unknown_orders() == []
        assert rig.trouble_inside() == []
    finally:
        await rig.close()
