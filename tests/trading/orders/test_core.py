"""The order core, message by message."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.orders.core import Emit, Journal, OrderCoreConfig, Reconciled, SendToVenue
from trading.orders.journal_rows import JournalKind
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    DenyReason,
    ExecType,
    FundingPayment,
    InternalCross,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderDenied,
    OrderFilled,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    ProposedCancel,
)
from trading.recon.difference import AccountCompared

VENUE = "BINANCEUSDM"
BTC = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"


def sent(effects: list[object], kind: type) -> list:
    return [e.command for e in effects if isinstance(e, SendToVenue) and isinstance(e.command, kind)]


def emitted(effects: list[object], kind: type) -> list:
    return [e.message for e in effects if isinstance(e, Emit) and isinstance(e.message, kind)]


def cancel(cl_ord_id: str) -> ProposedCancel:
    return ProposedCancel(
        cl_ord_id=cl_ord_id, venue=VENUE, instrument_id=BTC, reason="moved", cause="book:78", ts_init_ns=0
    )


def unknown_to_venue(cl_ord_id: str) -> OrderStatusReport:
    return OrderStatusReport(venue=VENUE, instrument_id=BTC, cl_ord_id=cl_ord_id, report=None, ts_init_ns=0)


def account(exec_seq: int = 0, positions=None, open_orders=(), executions=(), fundings=()) -> AccountState:
    return AccountState(
        venue=VENUE,
        exec_seq=exec_seq,
        open_orders=tuple(open_orders),
        executions=tuple(executions),
        fundings=tuple(fundings),
        positions=positions or {},
        balances={"USDT": Decimal(1000)},
        cause="test",
        ts_init_ns=0,
    )


def fill(report, cl_ord_id: str, number: int, qty: str, cum: str, **fields):
    return report(
        cl_ord_id,
        ExecType.TRADE,
        f"{VENUE}-{number}",
        exec_seq=number,
        last_qty=qty,
        cum_qty=cum,
        last_px="50000.0",
        **fields,
    )


@pytest.mark.req("P-ORD-1")
def test_nothing_is_sent_before_its_row_is_durable(desk, approved) -> None:
    effects = desk.take(desk.core.on_approved(approved("pd1-1"), desk.now))
    assert [type(e) for e in effects] == [Journal]
    assert [row.kind for row in effects[0].rows] == [JournalKind.PLACE]
    assert desk.status("pd1-1") is OrdStatus.JOURNALED
    released = desk.commit()
    assert [c.cl_ord_id for c in sent(released, NewOrderSingle)] == ["pd1-1"]
    assert desk.status("pd1-1") is OrdStatus.PENDING_NEW


@pytest.mark.req("P-ORD-1")
def test_a_cancel_waits_for_its_row_and_follows_its_order(desk, approved) -> None:
    desk.take(desk.core.on_approved(approved("pd1-1"), desk.now))
    effects = desk.take(desk.core.on_cancel(cancel("pd1-1"), desk.now))
    assert [type(e) for e in effects] == [Journal]
    commands = [e.command for e in desk.commit() if isinstance(e, SendToVenue)]
    assert [type(c) for c in commands] == [NewOrderSingle, OrderCancelRequest]
    assert commands[1].orig_cl_ord_id == "pd1-1"


@pytest.mark.req("P-ORD-2")
def test_the_same_intent_twice_is_one_order(desk, approved) -> None:
    desk.place(approved("pd1-1"))
    assert desk.place(approved("pd1-1")) == []
    assert desk.core.duplicates_suppressed == 1


@pytest.mark.req("P-ORD-2")
def test_a_cancel_asked_twice_is_sent_once_and_repeated_with_the_same_id(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    first = sent(desk.do(desk.core.on_cancel(cancel("pd1-1"), desk.now)), OrderCancelRequest)
    assert desk.do(desk.core.on_cancel(cancel("pd1-1"), desk.now)) == []
    again = desk.later(500)
    assert [c.cl_ord_id for c in sent(again, OrderCancelRequest)] == [first[0].cl_ord_id]
    assert sent(again, OrderStatusRequest)


@pytest.mark.req("P-ORD-4")
def test_a_resent_execution_changes_nothing(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    once = desk.venue(fill(report, "pd1-1", 1, "0.004", "0.004"))
    assert len(emitted(once, OrderFilled)) == 1
    assert desk.venue(fill(report, "pd1-1", 1, "0.004", "0.004")) == []
    assert desk.core.order(VENUE, "pd1-1").cum_qty == Decimal("0.004")
    assert desk.core.exposure()[BTC].position == Decimal("0.004")
    assert desk.core.inbox(VENUE).duplicates == 1


def test_a_fill_is_told_after_its_row_is_durable(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    effects = desk.take(desk.core.on_venue(fill(report, "pd1-1", 1, "0.010", "0.010"), desk.now))
    assert emitted(effects, OrderFilled) == []
    assert emitted(desk.commit(), OrderFilled)[0].exec_id == f"{VENUE}-1"
    assert desk.status("pd1-1") is OrdStatus.FILLED


def test_a_fill_may_overtake_its_ack(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    desk.venue(fill(report, "pd1-1", 1, "0.010", "0.010"))
    desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    assert desk.status("pd1-1") is OrdStatus.FILLED


def test_a_fill_after_the_cancel_is_counted(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    desk.do(desk.core.on_cancel(cancel("pd1-1"), desk.now))
    desk.venue(report("pd1-1-c1", ExecType.CANCELED, "a2", orig_cl_ord_id="pd1-1"))
    assert desk.status("pd1-1") is OrdStatus.CANCELED
    told = desk.venue(fill(report, "pd1-1", 1, "0.003", "0.003"))
    assert emitted(told, OrderFilled)[0].last_qty == Decimal("0.003")
    assert desk.core.exposure()[BTC].position == Decimal("0.003")


def test_a_cancel_that_counts_unseen_executions_waits_for_them(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    asked = desk.venue(report("pd1-1", ExecType.CANCELED, "a2", cum_qty="0.004", exec_seq=1))
    assert sent(asked, AccountStateRequest)
    assert desk.core.order(VENUE, "pd1-1").is_open
    desk.venue(fill(report, "pd1-1", 1, "0.004", "0.004"))
    assert desk.status("pd1-1") is OrdStatus.CANCELED


def test_an_unanswered_order_becomes_unknown_and_is_asked_about_ever_more_patiently(desk, approved) -> None:
    desk.place(approved("pd1-1"))
    asked = desk.later(401)
    assert desk.status("pd1-1") is OrdStatus.UNKNOWN
    assert len(sent(asked, OrderStatusRequest)) == 1
    assert desk.core.exposure()[BTC].unknown_leaves == Decimal("0.010")
    count = sum(len(sent(desk.later(50), OrderStatusRequest)) for _ in range(200))
    assert 4 <= count <= 8
    assert desk.status("pd1-1") is OrdStatus.UNKNOWN


def test_not_found_counts_only_when_asked_after_the_time_of_late_visibility(desk, approved) -> None:
    desk.place(approved("pd1-1"))
    early = sent(desk.later(401), OrderStatusRequest)
    desk.later(2000)
    # The answer to the early question comes late: it still proves nothing.
    for _ in early:
        desk.venue(unknown_to_venue("pd1-1"))
    assert desk.status("pd1-1") is OrdStatus.UNKNOWN
    while desk.core.order(VENUE, "pd1-1").queries <= desk.core.order(VENUE, "pd1-1").early_queries:
        desk.later(100)
    for _ in range(desk.core.order(VENUE, "pd1-1").queries):
        desk.venue(unknown_to_venue("pd1-1"))
    assert desk.status("pd1-1") is OrdStatus.REJECTED
    assert desk.rows[-1].kind is JournalKind.REJECT


def test_an_order_found_after_it_was_given_up_is_canceled(desk, approved, report) -> None:
    test_not_found_counts_only_when_asked_after_the_time_of_late_visibility(desk, approved)
    told = desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    assert [c.orig_cl_ord_id for c in sent(told, OrderCancelRequest)] == ["pd1-1"]
    assert desk.status("pd1-1") is OrdStatus.PENDING_CANCEL


def test_a_duplicate_id_reject_is_evidence_that_the_order_exists(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    told = desk.venue(report("pd1-1", ExecType.REJECTED, "r1", text="-4116 ClientOrderId is duplicated."))
    assert desk.status("pd1-1") is OrdStatus.UNKNOWN
    assert sent(told, OrderStatusRequest)
    answer = report("pd1-1", ExecType.ORDER_STATUS)
    desk.venue(OrderStatusReport(venue=VENUE, instrument_id=BTC, cl_ord_id="pd1-1", report=answer, ts_init_ns=0))
    assert desk.status("pd1-1") is OrdStatus.NEW


def test_a_refused_cancel_ends_nothing(desk, approved, report) -> None:
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW, "a1"))
    request = sent(desk.do(desk.core.on_cancel(cancel("pd1-1"), desk.now)), OrderCancelRequest)[0]
    refusal = OrderCancelReject(
        venue=VENUE,
        instrument_id=BTC,
        cl_ord_id=request.cl_ord_id,
        orig_cl_ord_id="pd1-1",
        ord_status=OrdStatus.REJECTED,
        text="-2011 Unknown order sent.",
        ts_event_ns=0,
        ts_init_ns=0,
    )
    told = desk.venue(refusal)
    assert desk.status("pd1-1") is OrdStatus.NEW
    assert sent(told, OrderStatusRequest)
    assert emitted(desk.venue(fill(report, "pd1-1", 1, "0.010", "0.010")), OrderFilled)
    assert desk.venue(refusal) == []


def test_a_denied_order_never_existed(desk, approved) -> None:
    desk.place(approved("pd1-1"))
    denied = OrderDenied(
        cl_ord_id="pd1-1",
        venue=VENUE,
        instrument_id=BTC,
        reason=DenyReason.PERMIT_EXPIRED,
        text="permit 12 ms over",
        legs=(),
        cause="book:77",
        ts_init_ns=0,
    )
    told = desk.do(desk.core.on_gateway_denied(denied, desk.now))
    assert desk.status("pd1-1") is OrdStatus.DENIED
    assert emitted(told, OrderDenied) == [denied]
    assert desk.core.exposure() == {}
    assert desk.rows[-1].kind is JournalKind.DENIED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instrument_id": "X"}, DenyReason.UNKNOWN_INSTRUMENT),
        ({"replaces": "pd1-0"}, DenyReason.DUPLICATE),
    ],
)
def test_orders_that_must_not_leave_are_denied_with_a_row(desk, approved, change, reason) -> None:
    m = approved("pd1-1")
    told = desk.place(msgspec.structs.replace(m, order=msgspec.structs.replace(m.order, **change)))
    assert [d.reason for d in emitted(told, OrderDenied)] == [reason]
    assert sent(told, NewOrderSingle) == []
    assert desk.rows[-1].kind is JournalKind.DENIED


def test_an_order_of_an_older_epoch_is_denied(new_desk, approved) -> None:
    desk = new_desk(epoch=2)
    assert emitted(desk.place(approved("pd1-1", epoch=1)), OrderDenied)[0].reason is DenyReason.PERMIT_EPOCH


def test_legs_that_are_not_the_whole_order_are_a_bug(desk, approved) -> None:
    with pytest.raises(ValueError, match="do not sum"):
        desk.core.on_approved(approved("pd1-1", "0.010", legs=(("a", "0.004"),)), desk.now)


def test_the_number_of_open_orders_is_limited(new_desk, approved) -> None:
    desk = new_desk(config=OrderCoreConfig(open_orders_max=1))
    desk.place(approved("pd1-1"))
    assert emitted(desk.place(approved("pd1-2")), OrderDenied)[0].reason is DenyReason.MAX_INFLIGHT


def test_finished_orders_are_remembered_up_to_a_limit(new_desk, approved, report) -> None:
    desk = new_desk(config=OrderCoreConfig(terminal_orders_max=2))
    for n in range(4):
        desk.place(approved(f"pd1-{n}"))
        desk.venue(report(f"pd1-{n}", ExecType.REJECTED, f"r{n}", text="-2019 Margin is insufficient."))
    assert [desk.core.order(VENUE, f"pd1-{n}") is None for n in range(4)] == [True, True, False, False]


class TestReplace:
    @pytest.fixture
    def replacing(self, desk, approved, report):
        desk.place(approved("pd1-1"))
        desk.venue(report("pd1-1", ExecType.NEW, "a1"))
        told = desk.place(approved("pd1-2", replaces="pd1-1"))
        assert [c.orig_cl_ord_id for c in sent(told, OrderCancelReplaceRequest)] == ["pd1-1"]
        return desk

    def test_both_legs_are_tracked_until_the_venue_has_spoken(self, replacing, report) -> None:
        assert replacing.status("pd1-1") is OrdStatus.PENDING_REPLACE
        assert replacing.status("pd1-2") is OrdStatus.PENDING_NEW
        replacing.venue(report("pd1-2", ExecType.REPLACED, "a2", orig_cl_ord_id="pd1-1"))
        assert replacing.status("pd1-1") is OrdStatus.REPLACED
        assert replacing.status("pd1-2") is OrdStatus.NEW

    def test_a_fill_of_the_old_leg_on_the_way_is_its_own(self, replacing, report) -> None:
        replacing.venue(report("pd1-2", ExecType.REPLACED, "a2", orig_cl_ord_id="pd1-1"))
        replacing.venue(fill(report, "pd1-1", 1, "0.003", "0.003"))
        assert replacing.core.order(VENUE, "pd1-1").cum_qty == Decimal("0.003")
        assert replacing.core.order(VENUE, "pd1-2").cum_qty == 0

    def test_a_refused_replacement_leaves_the_old_order_working(self, replacing) -> None:
        replacing.venue(
            OrderCancelReject(
                venue=VENUE,
                instrument_id=BTC,
                cl_ord_id="pd1-2",
                orig_cl_ord_id="pd1-1",
                ord_status=OrdStatus.NEW,
                text="-1013 Filter failure",
                ts_event_ns=0,
                ts_init_ns=0,
            )
        )
        assert replacing.status("pd1-1") is OrdStatus.NEW
        assert replacing.status("pd1-2") is OrdStatus.REJECTED

    def test_an_order_is_replaced_by_one_at_a_time(self, replacing, approved) -> None:
        assert emitted(replacing.place(approved("pd1-3", replaces="pd1-1")), OrderDenied)


class TestAccount:
    def test_a_gap_in_the_executions_is_asked_for(self, desk, approved, report) -> None:
        desk.place(approved("pd1-1"))
        desk.venue(fill(report, "pd1-1", 1, "0.001", "0.001"))
        desk.venue(fill(report, "pd1-1", 3, "0.001", "0.003"))
        requests = sent(desk.later(250), AccountStateRequest)
        assert [r.since_exec_seq for r in requests] == [1]
        missed = [fill(report, "pd1-1", 2, "0.001", "0.002"), fill(report, "pd1-1", 3, "0.001", "0.003")]
        told = desk.venue(account(3, {BTC: Decimal("0.003")}, executions=missed))
        assert [f.exec_seq for f in emitted(told, OrderFilled)] == [2]
        assert sent(desk.later(250), AccountStateRequest) == []

    def test_frames_lost_while_all_looks_green_are_found_by_the_audit(self, desk, approved, report) -> None:
        desk.place(approved("pd1-1"))
        desk.venue(fill(report, "pd1-1", 1, "0.001", "0.001"))
        assert sent(desk.later(5_001), AccountStateRequest)
        lost = fill(report, "pd1-1", 2, "0.009", "0.010")
        told = desk.venue(account(2, {BTC: Decimal("0.010")}, executions=[lost]))
        assert [f.exec_seq for f in emitted(told, OrderFilled)] == [2]

    def test_a_lasting_mismatch_is_a_verdict_and_never_a_fill(self, desk, approved, report) -> None:
        desk.place(approved("pd1-1"))
        desk.venue(fill(report, "pd1-1", 1, "0.010", "0.010"))
        wrong = account(1, {BTC: Decimal(5)})
        told = desk.venue(wrong)
        assert [d.text for d in emitted(told, AccountCompared)[0].standing] == [f"{BTC}: venue 5, ours 0.010"]
        assert [e for e in told if isinstance(e, Reconciled)] == []
        (verdict,) = [e for e in desk.venue(wrong) if isinstance(e, Reconciled)]
        assert not verdict.ok
        assert verdict.instrument_ids == (BTC,)
        assert desk.core.exposure()[BTC].position == Decimal("0.010")

    def test_an_execution_of_no_order_of_ours_is_owned_and_reported(self, desk, report) -> None:
        told = desk.venue(fill(report, "autoclose-1", 1, "0.010", "0.010", text="liquidation"))
        assert [leg.strategy_id for leg in emitted(told, OrderFilled)[0].legs] == ["external"]
        assert [e.ok for e in told if isinstance(e, Reconciled)] == [False]
        assert desk.core.exposure()[BTC].position == Decimal("0.010")

    def test_more_than_was_ordered_is_counted_and_reported(self, desk, approved, report) -> None:
        desk.place(approved("pd1-1"))
        told = desk.venue(fill(report, "pd1-1", 1, "0.012", "0.012"))
        assert [leg.strategy_id for leg in emitted(told, OrderFilled)[0].legs] == ["maker", "external"]
        assert [e.ok for e in told if isinstance(e, Reconciled)] == [False]

    def test_funding_and_crosses_are_booked_once(self, desk) -> None:
        funding = FundingPayment(
            venue=VENUE,
            instrument_id=BTC,
            funding_id="f1",
            exec_seq=1,
            rate=Decimal("0.0001"),
            position_qty=Decimal(1),
            mark_price=Decimal(50000),
            amount=Decimal(-5),
            asset="USDT",
            ts_event_ns=0,
            ts_init_ns=0,
        )
        assert emitted(desk.venue(funding), FundingPayment) == [funding]
        assert desk.venue(funding) == []
        cross = InternalCross(
            cross_id="c1",
            instrument_id=BTC,
            buyer_id="a",
            seller_id="b",
            qty=Decimal(1),
            price=Decimal(50000),
            cause="book:1",
            ts_init_ns=0,
        )
        assert emitted(desk.do(desk.core.on_cross(cross, desk.now)), InternalCross) == [cross]
        assert desk.do(desk.core.on_cross(cross, desk.now)) == []


class TestStart:
    @pytest.mark.req("P-SAFE-2")
    def test_a_start_cancels_then_loads_then_compares_and_only_then_is_clean(self, new_desk, approved, report) -> None:
        before = new_desk()
        before.place(approved("pd1-1"))
        before.venue(report("pd1-1", ExecType.NEW, "a1"))
        desk = new_desk(epoch=2)
        desk.core.restore(before.rows)
        desk.rows = list(before.rows)
        first = desk.take(desk.core.begin_reconcile(VENUE, desk.now))
        assert [type(e) for e in first] == [Journal]
        commands = [e.command for e in desk.commit() if isinstance(e, SendToVenue)]
        assert [type(c) for c in commands] == [OrderCancelRequest, AccountStateRequest]
        working = report("pd1-1", ExecType.ORDER_STATUS)
        assert not any(isinstance(e, Reconciled) for e in desk.venue(account(open_orders=[working])))
        desk.venue(fill(report, "pd1-1", 1, "0.002", "0.002"))
        desk.venue(report("pd1-1-c1", ExecType.CANCELED, "a2", orig_cl_ord_id="pd1-1", cum_qty="0.002", exec_seq=1))
        assert sent(desk.later(300), AccountStateRequest)
        verdict = [e for e in desk.venue(account(1, {BTC: Decimal("0.002")})) if isinstance(e, Reconciled)]
        assert [v.ok for v in verdict] == [True]

    @pytest.mark.req("P-SAFE-2")
    def test_a_mismatch_at_the_start_is_refused_in_bounded_rounds(self, new_desk, approved, report) -> None:
        before = new_desk()
        before.place(approved("pd1-1"))
        before.venue(fill(report, "pd1-1", 1, "0.010", "0.010"))
        desk = new_desk(epoch=2)
        desk.core.restore(before.rows)
        desk.do(desk.core.begin_reconcile(VENUE, desk.now))
        verdicts = []
        for _ in range(40):
            verdicts += [e for e in desk.venue(account(1, {})) if isinstance(e, Reconciled)]
            desk.later(1_000)
        assert [v.ok for v in verdicts] == [False]
        assert desk.core.exposure()[BTC].position == Decimal("0.010")

    def test_the_first_start_ever_takes_the_venue_as_it_is(self, new_desk, approved, report) -> None:
        desk = new_desk()
        desk.do(desk.core.begin_reconcile(VENUE, desk.now))
        old = fill(report, "someone", 4, "1.000", "1.000")
        told = desk.venue(account(4, {BTC: Decimal(1)}, executions=[old]))
        assert [e.ok for e in told if isinstance(e, Reconciled)] == [True]
        assert desk.core.exposure()[BTC].position == Decimal(1)
        desk.place(approved("pd1-1"))
        desk.venue(report("pd1-1", ExecType.NEW, "a1", exec_seq=4))
        assert desk.status("pd1-1") is OrdStatus.NEW

    def test_an_open_order_with_our_mark_that_no_journal_knows_is_canceled_and_others_are_left(
        self, desk, report
    ) -> None:
        desk.do(desk.core.begin_reconcile(VENUE, desk.now))
        lost = [report("pd0-9", ExecType.ORDER_STATUS), report("web-1", ExecType.ORDER_STATUS)]
        told = desk.venue(account(open_orders=lost))
        assert [c.orig_cl_ord_id for c in sent(told, OrderCancelRequest)] == ["pd0-9"]
        assert not any(isinstance(e, Reconciled) and e.ok for e in told)

    @pytest.mark.req("P-ORD-3")
    def test_an_order_whose_fate_the_crash_hid_is_unknown_until_there_is_evidence(self, new_desk, approved) -> None:
        before = new_desk()
        before.place(approved("pd1-1"))
        desk = new_desk(epoch=2)
        desk.core.restore(before.rows)
        assert desk.status("pd1-1") is OrdStatus.UNKNOWN
        told = desk.do(desk.core.begin_reconcile(VENUE, desk.now))
        assert [c.cl_ord_id for c in sent(told, OrderStatusRequest)] == ["pd1-1"]
        assert sent(told, NewOrderSingle) == []
        assert desk.place(approved("pd1-1", epoch=2)) == []

    @pytest.mark.req("P-ORD-3")
    def test_what_one_restart_found_out_the_next_replays(self, new_desk, approved, report) -> None:
        first = new_desk()
        first.place(approved("pd1-1"))
        first.do(first.core.on_cancel(cancel("pd1-1"), first.now))
        second = new_desk(epoch=2)
        second.core.restore(first.rows)
        second.rows = list(first.rows)
        second.do(second.core.begin_reconcile(VENUE, second.now))
        for _ in range(60):
            second.later(100)
        for _ in range(second.core.order(VENUE, "pd1-1").queries):
            second.venue(unknown_to_venue("pd1-1"))
        assert second.status("pd1-1") is OrdStatus.REJECTED
        third = new_desk(epoch=3)
        assert third.core.restore(second.rows) == len(second.rows)
        assert third.status("pd1-1") is OrdStatus.REJECTED
        again = new_desk(epoch=3)
        again.core.restore(second.rows)
        assert again.core.checkpoint(1) == third.core.checkpoint(1)

    @pytest.mark.req("P-ORD-5")
    def test_a_checkpoint_and_the_tail_equal_the_whole_journal(self, new_desk, approved, report) -> None:
        before = new_desk()
        before.place(approved("pd1-1", legs=(("a", "0.007"), ("b", "0.003"))))
        before.venue(fill(report, "pd1-1", 1, "0.004", "0.004"))
        checkpoint = before.core.checkpoint(len(before.rows))
        before.place(approved("pd1-2"))
        before.venue(fill(report, "pd1-1", 2, "0.006", "0.010"))
        before.venue(report("pd1-2", ExecType.NEW, "a1", exec_seq=2))
        whole, tail = new_desk(), new_desk()
        assert whole.core.restore(before.rows) == len(before.rows)
        assert tail.core.restore(before.rows, checkpoint) < len(before.rows)
        for restored in (whole, tail):
            assert restored.core.exposure() == before.core.exposure()
            assert restored.status("pd1-1") is OrdStatus.FILLED
            assert restored.status("pd1-2") is OrdStatus.NEW
            assert restored.core.order(VENUE, "pd1-1").leg_filled == before.core.order(VENUE, "pd1-1").leg_filled
            assert restored.venue(fill(report, "pd1-1", 2, "0.006", "0.010")) == []

    def test_no_checkpoint_is_taken_while_rows_are_on_their_way(self, desk, approved) -> None:
        desk.take(desk.core.on_approved(approved("pd1-1"), desk.now))
        assert desk.core.checkpoint(0) is None


def test_cancel_all_reaches_what_is_in_scope(desk, approved, report) -> None:
    desk.place(approved("pd1-1", legs=(("a", "0.010"),)))
    desk.place(approved("pd1-2", legs=(("b", "0.010"),)))
    told = desk.do(desk.core.cancel_all(desk.now, reason="quarantine", strategy_id="b"))
    assert [c.orig_cl_ord_id for c in sent(told, OrderCancelRequest)] == ["pd1-2"]
    told = desk.do(desk.core.cancel_all(desk.now, reason="kill", venue=VENUE))
    assert [c.orig_cl_ord_id for c in sent(told, OrderCancelRequest)] == ["pd1-1", "pd1-2"]
