"""Orders in flight: in the queue until they are answered, asked about by the ladder, and never sent a second time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.trading.orders.conftest import MS, T0, VENUE, Desk
from tests.trading.orders.test_core import cancel, fill, sent
from trading.orders.core import OrderCoreConfig
from trading.orders.inflight import IN_FLIGHT, inflight
from trading.orders.messages import ExecType, NewOrderSingle, OrderCancelRequest, OrderStatusRequest, OrdStatus

LADDER = OrderCoreConfig().query_ladder_ms


def queue(desk):
    return inflight(desk.core.open_orders(), desk.now)


def states(desk):
    return {state.value: count for state, count in queue(desk).by_state.items() if count}


@pytest.mark.req("P-ORD-6")
def test_an_order_is_in_the_queue_from_its_row_to_its_answer(desk, approved, report):
    assert (queue(desk).total, set(queue(desk).by_state)) == (0, set(IN_FLIGHT))
    desk.take(desk.core.on_approved(approved("pd1-1"), desk.now))
    assert states(desk) == {"journaled": 1}
    desk.commit()
    assert states(desk) == {"pending_new": 1}
    desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    assert states(desk) == {}
    assert len(desk.core.open_orders()) == 1, "it rests"
    desk.do(desk.core.on_cancel(cancel("pd1-1"), desk.now))
    assert states(desk) == {"pending_cancel": 1}
    desk.venue(report("pd1-1", ExecType.CANCELED, "a2", leaves_qty="0"))
    assert queue(desk).total == 0


@pytest.mark.req("P-ORD-6", "P-ORD-2")
def test_a_venue_that_never_answers_is_asked_by_the_ladder_and_told_the_order_once(desk, approved):
    said = desk.place(approved("pd1-1"))
    asked_ms = []
    for _ in range(6_000):
        effects = desk.later(10)
        said += effects
        asked_ms += [(desk.now - T0) // MS for _ in sent(effects, OrderStatusRequest)]
    assert [c.cl_ord_id for c in sent(said, NewOrderSingle)] == ["pd1-1"]
    assert sent(said, OrderCancelRequest) == []
    assert states(desk) == {"unknown": 1}
    late = [after - before for before, after in pairwise(asked_ms) if before > sum(LADDER)]
    assert late
    assert min(late) >= LADDER[-1]
    assert len(asked_ms) <= len(LADDER) + 1 + 60_000 // LADDER[-1]
    assert queue(desk).queries_max == len(asked_ms)
    assert queue(desk).oldest_ns >= 60_000 * MS


@pytest.mark.req("P-ORD-6", "P-ORD-2")
def test_a_restart_keeps_the_queue_and_sends_nothing_of_it_again(desk, approved, report, instrument):
    desk.place(approved("pd1-1"))
    desk.place(approved("pd1-2"))
    desk.venue(report("pd1-2", ExecType.NEW, "a1"))
    desk.do(desk.core.on_cancel(cancel("pd1-2"), desk.now))
    second = Desk(instrument)
    second.now = desk.now
    second.core.restore(desk.rows)
    assert queue(second).total == 2
    said = second.do(second.core.begin_reconcile(VENUE, second.now))
    for _ in range(100):
        said += second.later(100)
    assert sent(said, NewOrderSingle) == []
    cancels = {c.cl_ord_id for c in sent(said, OrderCancelRequest)}
    assert cancels <= {"pd1-2-c1"}, "a cancel is repeated under the id that it had"
    # What was proposed before is known by its id.
    assert sent(second.place(approved("pd1-1")), NewOrderSingle) == []
    assert second.core.duplicates_suppressed == 1
    second.venue(fill(report, "pd1-1", 7, "0.010", "0.010", ord_status=OrdStatus.FILLED, leaves_qty="0"))
    assert "pd1-1" not in {o.cl_ord_id for o in second.core.open_orders()}
