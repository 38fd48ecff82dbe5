"""The order core's shell: rows before words, venues before trade, cancels on HOLD, and an orderly end."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from actors.messages import (
    AccountWanted,
    ActorReady,
    AppendRows,
    AskEpoch,
    AskOpenOrders,
    DeskDrained,
    DrainDesk,
    Epoch,
    JournalHistory,
    ModesChanged,
    OpenOrders,
    ReadJournal,
    RowsCommitted,
    SaveCheckpoint,
    VenueReconciled,
    VenueUp,
)
from actors.orders import CHECKPOINT, Orders, OrdersSetup
from actors.shell import Shell
from trading.brakes import Level
from trading.orders.core import OrderCoreConfig
from trading.orders.journal_rows import JournalKind, numbered
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ApprovedOrder,
    NewOrderSingle,
    OrderCancelRequest,
    OrderUpdated,
)
from trading.recon.difference import AccountCompared

VENUE, USDM = "binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
GATEWAY = f"gateway.{VENUE}"
HELD = {"global": int(Level.HOLD)}


@pytest.fixture
def approved(bench, proposed):
    def make(name="pd1-a-1", epoch=1):
        order = proposed(name)
        return ApprovedOrder(order=order, epoch=epoch, checks={}, ts_init_ns=order.ts_init_ns)

    return make


def account(bench, cause="reconcile"):
    return AccountState(
        venue=VENUE,
        exec_seq=0,
        open_orders=(),
        executions=(),
        fundings=(),
        positions={},
        balances={"USDT": Decimal(50_000)},
        cause=cause,
        ts_init_ns=bench.clock.wall_ns(),
    )


@pytest.fixture
def orders(bench, usdm):
    setup = OrdersSetup(instruments={USDM: usdm}, venues=(VENUE,), config=OrderCoreConfig(), drain_ns=1_000_000_000)
    return bench.start("orders", Orders, setup)


def commit(bench):
    """Acknowledges every batch of rows that was handed out."""
    batches = bench.take(AppendRows, to="journal")
    bench.tell("orders", RowsCommitted(commit_ids=tuple(b.commit_id for b in batches)))
    return [r for b in batches for r in b.rows]


@pytest.fixture
def awake(bench, orders):
    """An order actor that is reconciled with its venue."""
    bench.tell("orders", Epoch(epoch=1, serial=1), JournalHistory(rows=[]))
    commit(bench)
    bench.tell("orders", account(bench))
    commit(bench)
    assert [r.ok for r in bench.take(VenueReconciled, to="governor")] == [True]
    bench.kept.clear()
    return orders


@pytest.mark.req("P-SAFE-2", "P-HA-6")
def test_it_is_silent_until_it_has_epoch_and_history_and_then_reconciles_first(bench, orders, approved):
    assert len(bench.take(AskEpoch, to="governor")) == len(bench.take(ReadJournal, to="journal")) == 1
    bench.tell("orders", approved(), Epoch(epoch=1, serial=1), approved("pd1-a-2"))
    assert bench.take(AppendRows, NewOrderSingle, ActorReady) == []
    bench.tell("orders", AskOpenOrders(reply_to="arbiter"), JournalHistory(rows=[]))
    assert len(bench.take(ActorReady, to="supervisor")) == 1
    assert [m.orders for m in bench.take(OpenOrders, to="arbiter")] == [()]
    assert bench.take(AccountStateRequest) == []
    assert [r.kind for r in commit(bench)] == [JournalKind.EPOCH]
    assert [m.cause for m in bench.take(AccountStateRequest, to=GATEWAY)] == ["reconcile"]
    assert orders.unapplied == 2


@pytest.mark.req("P-ORD-1")
def test_an_order_leaves_when_its_row_is_durable_and_not_before(bench, awake, approved):
    bench.tell("orders", approved())
    (batch,) = bench.take(AppendRows, to="journal")
    assert [(r.kind, r.cl_ord_id) for r in batch.rows] == [(JournalKind.PLACE, "pd1-a-1")]
    bench.after_ms(300)
    assert bench.take(NewOrderSingle) == []
    bench.tell("orders", RowsCommitted(commit_ids=(batch.commit_id,)))
    (sent,) = bench.take(NewOrderSingle, to=GATEWAY)
    # Its age counts from now: it waited for the disk, not for the wire.
    assert (sent.cl_ord_id, sent.epoch, sent.ts_init_ns) == ("pd1-a-1", 1, bench.clock.wall_ns())
    told = bench.take(OrderUpdated, to="arbiter")
    assert [u.cl_ord_id for u in told] == ["pd1-a-1"]


def test_an_order_is_at_its_gateway_before_anybody_is_told_of_it(bench, awake, approved):
    told_before = []

    class Gateway(Shell):
        def on(self, msg):
            told_before.append([to for to, m in bench.kept if isinstance(m, OrderUpdated)])

    bench.start(GATEWAY, Gateway, None)
    bench.tell("orders", approved())
    commit(bench)
    assert told_before == [[]]
    told = [to for to, m in bench.kept if isinstance(m, OrderUpdated)]
    assert told == ["governor", "arbiter"]


def test_what_waits_behind_an_order_is_told_before_what_comes_next(bench, awake, approved):
    bench.tell("orders", approved())
    (batch,) = bench.take(AppendRows, to="journal")
    bench.tell("orders", RowsCommitted(commit_ids=(batch.commit_id,)), AskOpenOrders(reply_to="arbiter"))
    updated, asked = bench.take(OrderUpdated, OpenOrders, to="arbiter")
    assert isinstance(updated, OrderUpdated)
    assert [o.cl_ord_id for o in asked.orders] == [updated.cl_ord_id]


@pytest.mark.req("P-ORD-2")
def test_the_same_approval_again_is_nothing_new(bench, awake, approved):
    bench.tell("orders", approved(), approved())
    commit(bench)
    bench.tell("orders", approved())
    commit(bench)
    assert len(bench.take(NewOrderSingle)) == 1
    assert awake.core.duplicates_suppressed == 2


@pytest.mark.req("P-SAFE-4")
def test_entering_hold_cancels_what_is_open_in_scope_once(bench, awake, approved):
    bench.tell("orders", approved())
    commit(bench)
    bench.tell("orders", ModesChanged(modes={"venue:okx": int(Level.HOLD)}))
    assert commit(bench) == []
    bench.tell("orders", ModesChanged(modes=HELD), ModesChanged(modes=HELD))
    assert [r.kind for r in commit(bench)] == [JournalKind.CANCEL]
    assert [c.orig_cl_ord_id for c in bench.take(OrderCancelRequest, to=GATEWAY)] == ["pd1-a-1"]


@pytest.mark.req("P-SAFE-4")
def test_an_order_that_waits_for_the_disk_when_hold_comes_is_canceled_too(bench, awake, approved):
    bench.tell("orders", approved(), ModesChanged(modes=HELD))
    commit(bench)
    sent = [m for to, m in bench.kept if to == GATEWAY]
    # It was promised to the venue before; the gateway's permit refuses it, and its cancel follows in any case.
    assert [type(m) for m in sent] == [NewOrderSingle, OrderCancelRequest]


@pytest.mark.req("P-SAFE-2")
def test_a_venue_that_comes_back_is_reconciled_anew(bench, awake):
    bench.tell("orders", VenueUp(venue=VENUE, incarnation=2))
    commit(bench)
    assert len(bench.take(AccountStateRequest, to=GATEWAY)) == 1
    assert bench.take(VenueReconciled) == []
    bench.tell("orders", account(bench))
    commit(bench)
    assert [(r.ok, r.incarnation) for r in bench.take(VenueReconciled)] == [(True, 2)]


@pytest.mark.req("P-SAFE-2", "P-SAFE-3")
def test_a_verdict_that_waits_for_the_disk_names_the_life_that_it_judged(bench, awake):
    bench.tell("orders", VenueUp(venue=VENUE, incarnation=2))
    commit(bench)
    bench.tell("orders", account(bench), VenueUp(venue=VENUE, incarnation=3))
    commit(bench)
    assert [(r.ok, r.incarnation) for r in bench.take(VenueReconciled)] == [(True, 2)]
    bench.tell("orders", account(bench))
    commit(bench)
    assert [(r.ok, r.incarnation) for r in bench.take(VenueReconciled)] == [(True, 3)]


@pytest.mark.req("P-SAFE-2")
def test_what_came_up_while_it_was_waking_is_what_it_reconciles_with(bench, orders):
    bench.tell("orders", VenueUp(venue=VENUE, incarnation=5), Epoch(epoch=1, serial=1), JournalHistory(rows=[]))
    commit(bench)
    bench.tell("orders", account(bench))
    commit(bench)
    assert [(r.ok, r.incarnation) for r in bench.take(VenueReconciled)] == [(True, 5)]


@pytest.mark.req("P-HA-10")
def test_a_drain_closes_the_intake_cancels_and_answers_when_nothing_is_open(bench, awake, approved):
    bench.tell("orders", DrainDesk(reply_to="drain.desk"))
    bench.after_ms(60)
    assert [m.open_orders for m in bench.take(DeskDrained, to="drain.desk")] == [0]
    bench.tell("orders", approved())
    assert bench.take(AppendRows) == []


@pytest.mark.req("P-HA-10", "P-ORD-3")
def test_a_drain_waits_for_an_order_core_that_is_waking(bench, awake, approved, usdm):
    bench.tell("orders", approved())
    (batch,) = bench.take(AppendRows)
    bench.tell("orders", RowsCommitted(commit_ids=(batch.commit_id,)))
    bench.kept.clear()
    setup = OrdersSetup(instruments={USDM: usdm}, venues=(VENUE,), config=OrderCoreConfig(), drain_ns=1_000_000_000)
    bench.start("orders-again", Orders, setup)
    bench.tell("orders-again", DrainDesk(reply_to="drain.desk"))
    bench.after_ms(500)
    assert bench.take(DeskDrained) == []
    rows = numbered(1, batch.rows, bytes(32), bytes(32))
    bench.tell("orders-again", Epoch(epoch=2, serial=1), JournalHistory(rows=list(rows)), approved("pd2-a-1", epoch=2))
    batches = bench.take(AppendRows)
    bench.tell("orders-again", RowsCommitted(commit_ids=tuple(b.commit_id for b in batches)))
    assert {c.orig_cl_ord_id for c in bench.take(OrderCancelRequest)} == {"pd1-a-1"}
    assert bench.take(NewOrderSingle, DeskDrained) == []
    # Its time runs from the asking.
    bench.after_ms(600)
    assert [m.open_orders for m in bench.take(DeskDrained, to="drain.desk")] == [1]


@pytest.mark.req("P-HA-10")
def test_a_drain_does_not_wait_for_ever(bench, awake, approved):
    bench.tell("orders", approved())
    commit(bench)
    bench.tell("orders", DrainDesk(reply_to="drain.desk"))
    commit(bench)
    assert len(bench.take(OrderCancelRequest)) == 1
    bench.after_ms(400)
    bench.take(OrderCancelRequest)
    # Who asks does so until there is an answer: that neither cancels again nor gives more time.
    bench.tell("orders", DrainDesk(reply_to="drain.desk"))
    assert bench.take(OrderCancelRequest) == []
    bench.after_ms(500)
    assert bench.take(DeskDrained) == []
    bench.after_ms(200)
    assert [m.open_orders for m in bench.take(DeskDrained)] == [1]


@pytest.mark.req("P-ORD-3", "P-HA-7")
def test_a_new_life_knows_the_open_orders_of_the_last_and_cancels_them(bench, awake, approved, usdm):
    bench.tell("orders", approved())
    (batch,) = bench.take(AppendRows)
    bench.tell("orders", RowsCommitted(commit_ids=(batch.commit_id,)))
    rows = numbered(1, batch.rows, bytes(32), bytes(32))
    bench.kept.clear()
    setup = OrdersSetup(instruments={USDM: usdm}, venues=(VENUE,), config=OrderCoreConfig())
    second = bench.start("orders-again", Orders, setup)
    bench.tell("orders-again", Epoch(epoch=2, serial=1), JournalHistory(rows=list(rows)))
    assert [o.cl_ord_id for o in second.core.open_orders()] == ["pd1-a-1"]
    bench.tell("orders-again", AskOpenOrders(reply_to="governor"))
    assert [o.cl_ord_id for o in bench.take(OpenOrders, to="governor")[0].orders] == ["pd1-a-1"]
    batches = bench.take(AppendRows)
    bench.tell("orders-again", RowsCommitted(commit_ids=tuple(b.commit_id for b in batches)))
    assert [c.orig_cl_ord_id for c in bench.take(OrderCancelRequest)] == ["pd1-a-1"]
    # It is never sent a second time.
    assert bench.take(NewOrderSingle) == []


def test_an_approval_under_an_old_epoch_is_refused(bench, awake, approved):
    bench.tell("orders", msgspec.structs.replace(approved(), epoch=0))
    assert [r.kind for r in commit(bench)] == [JournalKind.DENIED]
    assert bench.take(NewOrderSingle) == []


@pytest.mark.req("P-ORD-5")
def test_its_state_is_kept_after_durable_rows_only_and_a_start_from_it_needs_the_tail_alone(bench, approved, usdm):
    setup = OrdersSetup(instruments={USDM: usdm}, venues=(VENUE,), config=OrderCoreConfig(), checkpoint_ns=200_000_000)
    bench.start("orders", Orders, setup)
    assert [m.checkpoint for m in bench.take(ReadJournal)] == [CHECKPOINT]
    bench.tell("orders", Epoch(epoch=1, serial=1), JournalHistory(rows=[]))
    commit(bench)
    bench.tell("orders", account(bench))
    bench.tell("orders", approved())
    batches = bench.take(AppendRows)
    bench.after_ms(300)
    assert bench.take(SaveCheckpoint) == []
    bench.tell("orders", RowsCommitted(tuple(b.commit_id for b in batches), 7))
    (kept,) = bench.take(SaveCheckpoint, to="journal")
    assert (kept.name, kept.seq) == (CHECKPOINT, 7)
    bench.after_ms(300)
    assert bench.take(SaveCheckpoint) == []  # nothing is new
    bench.tell("orders", approved("pd1-a-2"))
    (batch,) = bench.take(AppendRows)
    bench.tell("orders", RowsCommitted((batch.commit_id,), 8))
    second = bench.start("orders-again", Orders, setup)
    tail = list(numbered(8, batch.rows, bytes(32), bytes(32)))
    bench.tell("orders-again", Epoch(epoch=2, serial=1), JournalHistory(rows=tail, checkpoint=kept.blob))
    assert [o.cl_ord_id for o in second.core.open_orders()] == ["pd1-a-1", "pd1-a-2"]
    cancels = bench.take(AppendRows)
    bench.tell("orders-again", RowsCommitted(tuple(b.commit_id for b in cancels), 12))
    assert {c.orig_cl_ord_id for c in bench.take(OrderCancelRequest)} == {"pd1-a-1", "pd1-a-2"}


@pytest.mark.req("P-ORD-5")
def test_a_kept_state_that_cannot_be_read_gives_way_to_the_whole_journal(bench, orders, approved):
    bench.take(ReadJournal)
    bench.tell("orders", Epoch(epoch=1, serial=1), JournalHistory(rows=[], checkpoint=b"of another version"))
    assert [m.checkpoint for m in bench.take(ReadJournal, to="journal")] == [""]
    assert bench.take(ActorReady) == []
    bench.tell("orders", JournalHistory(rows=[]))
    assert len(bench.take(ActorReady)) == 1
    assert orders.core is not None


@pytest.mark.req("C-EXEC-9")
def test_whoever_looks_on_has_the_account_read_and_hears_what_differs(bench, awake):
    bench.tell("orders", AccountWanted(venue=VENUE, cause="recon"))
    (request,) = bench.take(AccountStateRequest, to=GATEWAY)
    assert request.cause == "recon"
    wrong = msgspec.structs.replace(account(bench, "recon"), positions={USDM: Decimal(5)})
    bench.tell("orders", wrong)
    assert bench.take(AccountState, to="portfolio") == [wrong]
    (found,) = bench.take(AccountCompared, to="portfolio")
    assert [d.scope for d in found.standing] == [f"symbol:{USDM}"]
