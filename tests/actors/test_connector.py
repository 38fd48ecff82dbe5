"""The connector's shell in virtual time: what the venue says comes when it is due, and rubbish is told in measure."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.connector import Connector, ConnectorSetup
from actors.messages import BookProof, BrakeSet, BrakesStated, LinkUp, RawFrame, SnapshotFrame, VenueUp, WireOut
from adapters.binance.orders_codec import encode_new_order
from supervision.bench_rig import LOW, SYMBOL, depth_frame, snapshot_body
from trading.market.events import BookState, BookTop
from trading.operators import Published, Topic
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrdType,
    Side,
    TimeInForce,
)
from trading.sim.config import SimConfig

VENUE, USDM = "binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
NEVER_NS = 10**15


@pytest.fixture
def connector(bench, usdm):
    """A connector with a proved book; a report takes exactly 5 ms, an order as long."""
    setup = ConnectorSetup(
        venue=VENUE,
        instruments={USDM: usdm},
        sim=SimConfig(initial_balances={"USDT": Decimal(50_000)}, latency_jitter_ns=0),
        sim_seed=1,
        paper_dir=None,
        source=None,
        # As in a replay: nobody looks.
        publish_ns=NEVER_NS,
        report_ns=NEVER_NS,
    )
    actor = bench.start("connector", Connector, setup)
    bench.tell("connector", SnapshotFrame(SYMBOL, snapshot_body(), bench.clock.wall_ns()))
    frame(bench, depth_frame(1, bench.clock.wall_ns()))
    return actor


def frame(bench, payload):
    bench.tell("connector", RawFrame(payload, bench.clock.wall_ns()))


def sell_through(bench, ticks):
    now = bench.clock.wall_ns() // 1_000_000
    frame(
        bench,
        (
            f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{now},"T":{now},"s":"{SYMBOL}","t":1,'
            f'"p":"{ticks / 10:.1f}","q":"5","m":true}}}}'
        ).encode(),
    )


def reports(bench, exec_type):
    return [r for r in bench.take(ExecutionReport, to="orders") if r.exec_type is exec_type]


def test_a_fill_between_two_frames_is_told_when_it_is_due_and_not_with_the_next_frame(bench, connector, usdm):
    order = NewOrderSingle(
        venue=VENUE,
        instrument_id=USDM,
        cl_ord_id="pd1-a-1",
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTX,
        order_qty=Decimal("0.004"),
        price=Decimal(LOW) / 10,
        reduce_only=False,
        strategy_ids=("a",),
        epoch=1,
        cause="a test",
        ts_init_ns=bench.clock.wall_ns(),
    )
    payload = encode_new_order(order, usdm)
    bench.tell("connector", WireOut(payload=payload, command=order, ts_sent_ns=bench.clock.wall_ns()))
    bench.after_ms(11)
    assert [r.cl_ord_id for r in reports(bench, ExecType.NEW)] == ["pd1-a-1"]
    sell_through(bench, LOW - 5)
    bench.after_ms(4)
    assert reports(bench, ExecType.TRADE) == []
    bench.after_ms(1.5)
    assert [r.last_qty for r in reports(bench, ExecType.TRADE)] == [Decimal("0.004")]


def test_who_looks_on_hears_every_book_that_the_desk_hears_in_its_order_after_the_desk(bench, usdm):
    setup = ConnectorSetup(
        venue=VENUE,
        instruments={USDM: usdm},
        sim=SimConfig(initial_balances={"USDT": Decimal(50_000)}),
        sim_seed=1,
        paper_dir=None,
        source=None,
        publish_ns=NEVER_NS,
        report_ns=NEVER_NS,
        watchers=("features.a", "reporter.a"),
    )
    bench.start("connector", Connector, setup)
    bench.tell("connector", SnapshotFrame(SYMBOL, snapshot_body(), bench.clock.wall_ns()))
    for n in range(1, 6):
        frame(bench, depth_frame(n, bench.clock.wall_ns()))
    told = [(to, msg.update_id) for to, msg in bench.kept if type(msg) is BookTop]
    tops = [update_id for to, update_id in told if to == "market"]
    assert len(tops) > 5
    assert told == [(to, update_id) for update_id in tops for to in ("market", "features.a", "reporter.a")]


def test_rubbish_is_counted_always_and_told_five_times_a_second(bench, connector):
    def told():
        return sum(m.topic is Topic.EVENT for m in bench.take(Published, to="ops"))

    for _ in range(20):
        frame(bench, b"junk")
    assert (connector.rejected, told()) == (20, 5)
    bench.after_ms(990)
    frame(bench, b"junk")
    assert told() == 0
    bench.after_ms(20)
    for _ in range(20):
        frame(bench, b"junk")
    assert (connector.rejected, told()) == (41, 5)


@pytest.mark.req("P-MD-3", "P-SAFE-4")
def test_a_gate_that_is_closed_is_told_again_for_a_governor_that_began_anew(bench, usdm):
    setup = ConnectorSetup(
        venue=VENUE,
        instruments={USDM: usdm},
        sim=SimConfig(initial_balances={"USDT": Decimal(50_000)}, latency_jitter_ns=0),
        sim_seed=1,
        paper_dir=None,
        source=None,
        publish_ns=NEVER_NS,
    )
    bench.start("connector", Connector, setup)
    bench.tell("connector", SnapshotFrame(SYMBOL, snapshot_body(), bench.clock.wall_ns()))
    frame(bench, depth_frame(1, bench.clock.wall_ns()))
    bench.after_ms(2_000)
    set_first = bench.take(BrakeSet, to="governor")
    bench.take(BrakesStated)
    bench.after_ms(3_000)
    again = bench.take(BrakesStated, to="governor")
    assert [{brake.code for brake in said.brakes} for said in again] == [{"BOOK_STALE", "STREAM_STALE"}] * 3
    assert {said.owner for said in again} == {brake.owner for brake in set_first} == {"connector"}
    for number in range(2, 22):
        frame(bench, depth_frame(number, bench.clock.wall_ns()))
        bench.after_ms(100)
    assert bench.take(BrakeSet) == []
    assert bench.take(BrakesStated)[-1].brakes == ()


@pytest.mark.req("P-MD-2", "P-SAFE-4")
def test_the_gateway_hears_of_a_lost_book_before_the_desk_does(bench, connector):
    bench.take(BookProof, BookTop)
    frame(bench, depth_frame(9, bench.clock.wall_ns()))
    told = bench.take(BookProof, BookTop)
    assert [type(message) for message in told] == [BookProof, BookTop]
    assert not told[0].proved
    assert told[1].state is BookState.SUSPECT


def test_best_prices_that_the_book_does_not_hold_say_nothing_of_its_age(bench, connector):
    bench.after_ms(250)
    now = bench.clock.wall_ns() // 1_000_000
    for update_id in (10**9, 10**9 + 1):
        frame(
            bench,
            (
                f'{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{update_id},"s":"{SYMBOL}","b":"61800.1",'
                f'"B":"1.000","a":"61800.2","A":"1.000","T":{now},"E":{now}}}}}'
            ).encode(),
        )
    bench.take(BrakeSet)
    bench.after_ms(100)
    assert {brake.code for brake in bench.take(BrakeSet)} == {"BOOK_STALE"}


@pytest.mark.parametrize("takes_orders", [True, False])
def test_that_the_venue_is_up_is_said_for_as_long_as_it_is(bench, usdm, takes_orders):
    (bench.directory / "paper").mkdir()
    setup = ConnectorSetup(
        venue=VENUE,
        instruments={USDM: usdm},
        sim=SimConfig(initial_balances={"USDT": Decimal(50_000)}, latency_jitter_ns=0),
        sim_seed=1,
        paper_dir=bench.directory / "paper",
        source=None,
        takes_orders=takes_orders,
    )
    bench.start("connector", Connector, setup)
    # Where the account is at the other end of a wire, there is none here, and no file of one.
    assert any((bench.directory / "paper").iterdir()) is takes_orders
    bench.after_ms(3_500)
    said = [up.incarnation for up in bench.take(VenueUp, to="governor")]
    # Where orders go over a wire of their own, only their gateway knows whether they can.
    assert said == ([said[0]] * 4 if takes_orders else [])
    bench.tell("connector", LinkUp(cell="desk"))
    (anew,) = [up.incarnation for up in bench.take(VenueUp, to="governor")] or [None]
    assert (anew is not None and anew > said[0]) if takes_orders else anew is None
