"""The last gate before the wire: what passes, what does not, and that cancels always do."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from actors.gateway import Gateway, GatewaySetup
from actors.messages import ActorFailed, BookProof, OrderSent, WireOut
from adapters.permit_board import OperatorBoard
from adapters.sent_log import read_sent
from trading.brakes import Level
from trading.orders.messages import (
    AccountStateRequest,
    DenyReason,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderDenied,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

VENUE = "binanceusdm"
USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
MS = 1_000_000


@pytest.fixture
def setup(board, usdm, tmp_path):
    return GatewaySetup(
        venue=VENUE,
        instruments={usdm.instrument_id: usdm},
        board=board,
        sent_log=tmp_path / "sent.log",
        max_order_notional_usd=Decimal(1_000),
        orders_per_sec=3,
    )


@pytest.fixture
def order(bench):
    def make(name="pd1-a-1", **changes):
        plain = NewOrderSingle(
            venue=VENUE,
            instrument_id=USDM,
            cl_ord_id=name,
            side=Side.BUY,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTX,
            order_qty=Decimal("0.004"),
            price=Decimal("61000.0"),
            reduce_only=False,
            strategy_ids=("maker",),
            epoch=1,
            cause="a test",
            ts_init_ns=bench.clock.wall_ns(),
        )
        return msgspec.structs.replace(plain, **changes)

    return make


def taker(**more):
    return {"time_in_force": TimeInForce.IOC, **more}


@pytest.mark.req("P-SAFE-4", "P-RSK-1")
@pytest.mark.parametrize(
    ("modes", "changes", "refusal"),
    [
        ({}, {}, None),
        ({}, taker(), None),
        ({"global": Level.SAFE}, {}, None),
        ({"global": Level.SAFE}, taker(), DenyReason.PERMIT_MODE),
        ({"global": Level.SAFE}, taker(reduce_only=True), None),
        ({"global": Level.PAUSE}, {}, DenyReason.PERMIT_MODE),
        ({"global": Level.PAUSE}, {"reduce_only": True}, None),
        ({"global": Level.HOLD}, {}, DenyReason.PERMIT_MODE),
        ({"global": Level.HOLD}, {"reduce_only": True}, DenyReason.PERMIT_MODE),
        ({"global": Level.KILL}, {"reduce_only": True}, DenyReason.PERMIT_MODE),
        ({f"venue:{VENUE}": Level.HOLD}, {}, DenyReason.PERMIT_MODE),
        ({"venue:okx": Level.HOLD}, {}, None),
        ({f"symbol:{USDM}": Level.HOLD}, {}, DenyReason.PERMIT_MODE),
        ({"strategy:maker": Level.HOLD}, {}, DenyReason.PERMIT_MODE),
        ({"strategy:other": Level.HOLD}, {}, None),
        ({"strategy:other": Level.HOLD}, {"strategy_ids": ("maker", "other")}, DenyReason.PERMIT_MODE),
        ({}, {"epoch": 0}, DenyReason.PERMIT_EPOCH),
        ({}, {"epoch": 2}, DenyReason.PERMIT_EPOCH),
        ({}, {"order_qty": Decimal("0.017")}, DenyReason.FAT_FINGER),
        ({}, {"order_qty": Decimal("0.016")}, None),
        ({}, {"ord_type": OrdType.MARKET, "price": None}, DenyReason.FAT_FINGER),
        ({}, {"instrument_id": "BINANCEUSDM:PERP:ETH-USDT:LINEAR"}, DenyReason.UNKNOWN_INSTRUMENT),
    ],
)
def test_what_the_permit_and_the_limits_let_through(bench, setup, permit, order, modes, changes, refusal):
    permit(modes)
    gateway = bench.start(f"gateway.{VENUE}", Gateway, setup)
    bench.tell(f"gateway.{VENUE}", order(**changes))
    denied, sent = bench.take(OrderDenied, to="orders"), bench.take(OrderSent, to="orders")
    wire = bench.take(WireOut, to=f"connector.{VENUE}")
    assert [d.reason for d in denied] == ([] if refusal is None else [refusal])
    assert len(wire) == len(sent) == len(read_sent(setup.sent_log)) == (1 if refusal is None else 0)
    assert (gateway.sent, gateway.denied) == ((1, 0) if refusal is None else (0, 1))
    assert all(d.text for d in denied)
    if refusal is None:
        assert b"pd1-a-1" in wire[0].payload


@pytest.mark.req("P-SAFE-4", "P-HA-1")
def test_without_a_board_nothing_leaves(bench, setup, order):
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    bench.tell(f"gateway.{VENUE}", order())
    assert [d.reason for d in bench.take(OrderDenied)] == [DenyReason.PERMIT_EXPIRED]
    assert bench.take(WireOut) == []


@pytest.mark.req("P-SAFE-4")
def test_a_permit_that_nobody_renews_runs_out(bench, setup, permit, order):
    permit(ms=500)
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    bench.tell(f"gateway.{VENUE}", order("pd1-a-1"))
    bench.after_ms(501)
    bench.tell(f"gateway.{VENUE}", order("pd1-a-2"))
    assert [d.reason for d in bench.take(OrderDenied)] == [DenyReason.PERMIT_EXPIRED]
    permit(ms=500)
    bench.tell(f"gateway.{VENUE}", order("pd1-a-3"))
    assert [name for _, name in read_sent(setup.sent_log)] == ["pd1-a-1", "pd1-a-3"]


@pytest.mark.req("P-HA-1")
def test_a_new_epoch_on_the_board_fences_the_orders_of_the_old_one(bench, setup, permit, order):
    writer = permit()
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    writer.next_epoch()
    bench.tell(f"gateway.{VENUE}", order())
    assert [d.reason for d in bench.take(OrderDenied)] == [DenyReason.PERMIT_EPOCH]


@pytest.mark.req("P-SAFE-4")
def test_an_operators_brake_on_the_board_is_obeyed_by_the_very_next_order(bench, setup, permit, order, board):
    permit()
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    bench.tell(f"gateway.{VENUE}", order("pd1-a-1"))
    OperatorBoard(board).set("global", Level.HOLD, "enough", "alice", bench.clock.wall_ns())
    bench.tell(f"gateway.{VENUE}", order("pd1-a-2"))
    assert [(d.cl_ord_id, d.reason) for d in bench.take(OrderDenied)] == [("pd1-a-2", DenyReason.PERMIT_MODE)]
    OperatorBoard(board).clear("global", "alice", None, bench.clock.wall_ns())
    bench.tell(f"gateway.{VENUE}", order("pd1-a-3"))
    assert [name for _, name in read_sent(setup.sent_log)] == ["pd1-a-1", "pd1-a-3"]


@pytest.mark.req("P-EXE-19")
def test_a_command_that_waited_too_long_was_meant_for_another_market(bench, setup, permit, order):
    permit()
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    late = order(ts_init_ns=bench.clock.wall_ns() - 1_001 * MS)
    bench.tell(f"gateway.{VENUE}", late)
    (denied,) = bench.take(OrderDenied)
    assert "1001 ms old" in denied.text


@pytest.mark.req("P-RSK-1")
def test_the_rate_is_that_of_a_sliding_second_and_a_refused_order_costs_nothing_of_it(bench, setup, permit, order):
    permit(ms=5_000)
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    for n in range(4):
        bench.tell(f"gateway.{VENUE}", order(f"pd1-a-{n}"))
        bench.after_ms(100)
    assert [(d.cl_ord_id, d.reason) for d in bench.take(OrderDenied)] == [("pd1-a-3", DenyReason.RATE_BUDGET)]
    bench.after_ms(600)
    bench.tell(f"gateway.{VENUE}", order("pd1-a-4"), order("pd1-a-5"))
    assert [d.cl_ord_id for d in bench.take(OrderDenied)] == ["pd1-a-5"]


@pytest.mark.req("P-SAFE-4")
@pytest.mark.parametrize("situation", ["no board", "expired", "killed", "rate used up"])
def test_cancels_and_queries_always_pass(bench, setup, permit, order, situation):
    if situation != "no board":
        permit({"global": Level.KILL} if situation == "killed" else {})
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    if situation == "expired":
        bench.after_ms(10_000)
    if situation == "rate used up":
        bench.tell(f"gateway.{VENUE}", *(order(f"pd1-b-{n}") for n in range(9)))
        bench.take(OrderDenied, WireOut)
    now = bench.clock.wall_ns()
    commands = [
        OrderCancelRequest(
            venue=VENUE,
            instrument_id=USDM,
            cl_ord_id="pd1-a-1-c1",
            orig_cl_ord_id="pd1-a-1",
            epoch=0,
            cause="x",
            ts_init_ns=now - 60_000 * MS,
        ),
        OrderStatusRequest(venue=VENUE, instrument_id=USDM, cl_ord_id="pd1-a-1", cause="x", ts_init_ns=now),
        AccountStateRequest(venue=VENUE, since_exec_seq=0, cause="x", ts_init_ns=now),
    ]
    bench.tell(f"gateway.{VENUE}", *commands)
    assert [w.command for w in bench.take(WireOut)] == commands
    assert bench.take(OrderDenied) == []


@pytest.mark.req("P-SAFE-4", "P-RSK-1")
def test_a_replacement_is_an_order_and_passes_the_same_gate(bench, setup, permit, order):
    permit({"global": Level.HOLD})
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    plain = msgspec.structs.asdict(order("pd1-a-2"))
    del plain["contingency"]  # a leg of a list is not replaced
    bench.tell(f"gateway.{VENUE}", OrderCancelReplaceRequest(orig_cl_ord_id="pd1-a-1", **plain))
    assert [(d.cl_ord_id, d.reason) for d in bench.take(OrderDenied)] == [("pd1-a-2", DenyReason.PERMIT_MODE)]
    permit()
    bench.tell(f"gateway.{VENUE}", OrderCancelReplaceRequest(orig_cl_ord_id="pd1-a-1", **plain))
    assert len(bench.take(WireOut)) == 1


@pytest.mark.req("P-MD-2", "P-SAFE-4")
def test_an_order_whose_book_was_lost_on_the_way_here_does_not_leave_and_its_cancel_does(bench, setup, permit, order):
    permit(ms=5_000)
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    cancel = OrderCancelRequest(
        venue=VENUE,
        instrument_id=USDM,
        cl_ord_id="pd1-a-0-c1",
        orig_cl_ord_id="pd1-a-0",
        epoch=1,
        cause="x",
        ts_init_ns=bench.clock.wall_ns(),
    )
    bench.tell(f"gateway.{VENUE}", BookProof(USDM, proved=False), order("pd1-a-1"), cancel)
    assert [(d.cl_ord_id, d.reason) for d in bench.take(OrderDenied)] == [("pd1-a-1", DenyReason.BOOK_NOT_SYNCED)]
    assert [w.command for w in bench.take(WireOut)] == [cancel]
    bench.tell(f"gateway.{VENUE}", BookProof("BINANCEUSDM:PERP:ETH-USDT:LINEAR", proved=False))
    bench.tell(f"gateway.{VENUE}", BookProof(USDM, proved=True), order("pd1-a-2"))
    assert [name for _, name in read_sent(setup.sent_log)] == ["pd1-a-2"]


def test_a_message_that_is_no_command_is_reported(bench, setup, permit):
    permit()
    gateway = bench.start(f"gateway.{VENUE}", Gateway, setup)
    bench.tell(f"gateway.{VENUE}", "buy!")
    assert gateway.unknown_messages == 1
    assert [f.message_type for f in bench.take(ActorFailed, to="supervisor")] == ["str"]


@pytest.mark.req("P-SAFE-6")
@pytest.mark.parametrize("level", [Level.HOLD, Level.KILL])
def test_an_operators_own_reduction_passes_hold_and_kill_and_nothing_else_of_his(bench, setup, permit, order, level):
    permit({"global": level})
    bench.start(f"gateway.{VENUE}", Gateway, setup)
    closing = taker(reduce_only=True, strategy_ids=("operator",))
    bench.tell(
        f"gateway.{VENUE}",
        order("pd1-a-1", **closing),
        order("pd1-a-2", **{**closing, "reduce_only": False}),
        order("pd1-a-3", **{**closing, "strategy_ids": ("operator", "maker")}),
        order("pd1-a-4", **{**closing, "epoch": 0}),
    )
    assert [name for _, name in read_sent(setup.sent_log)] == ["pd1-a-1"]
    reasons = [d.reason for d in bench.take(OrderDenied)]
    assert reasons == [DenyReason.PERMIT_MODE, DenyReason.PERMIT_MODE, DenyReason.PERMIT_EPOCH]


@pytest.mark.req("P-RSK-1", "P-SAFE-4")
@pytest.mark.parametrize("word", ["NaN", "sNaN", "Infinity", "-Infinity", "-0", "-1", "0", "1E+50", "0.0001"])
@pytest.mark.parametrize("field", ["order_qty", "price", "trigger"])
def test_an_order_with_what_is_no_number_is_denied_and_the_gate_stays_open(bench, setup, permit, order, field, word):
    permit()
    gateway = bench.start(f"gateway.{VENUE}", Gateway, msgspec.structs.replace(setup, max_order_notional_usd=10**9))
    if field == "trigger":
        trigger = TriggeringInstructions(Decimal(word), TriggerPriceType.MARK, True)
        bad = {"ord_type": OrdType.STOP, "price": None, "reduce_only": True, "trigger": trigger}
    else:
        bad = {field: Decimal(word)}
    bench.tell(f"gateway.{VENUE}", order("pd1-a-1", **bad), order("pd1-a-2"))
    assert [(d.cl_ord_id, bool(d.text)) for d in bench.take(OrderDenied)] == [("pd1-a-1", True)]
    assert [w.command.cl_ord_id for w in bench.take(WireOut)] == ["pd1-a-2"]
    assert (gateway.sent, gateway.denied) == (1, 1)
    assert bench.take(ActorFailed) == []
