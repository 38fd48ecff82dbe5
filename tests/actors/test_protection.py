"""The protective exits' shell: silent until it knows the journal, rows before words, brakes and words for people."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.messages import (
    ActorReady,
    AppendRows,
    AskEpoch,
    BrakeCleared,
    BrakeSet,
    Epoch,
    JournalHistory,
    ReadJournal,
    RowsCommitted,
)
from actors.protection import STUCK, ProtectionActor, ProtectionSetup
from trading.brakes import Level
from trading.market.events import MarkPrice
from trading.operators import Published, Topic
from trading.orders.journal_rows import JournalKind, ReportBody, RowDraft, encode_body, numbered
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Leg,
    Liquidity,
    OrderFilled,
    OrdStatus,
    OrdType,
    Side,
    TargetIntent,
    TimeInForce,
    Urgency,
)
from trading.protection.core import COMMIT_IDS_FROM
from trading.protection.leg import ExitStatus
from trading.protection.policy import ExitPolicy

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"


@pytest.fixture
def protection(bench, usdm):
    policy = ExitPolicy(stuck_ms=2_000)
    return bench.start(
        "protection", ProtectionActor, ProtectionSetup(instruments={USDM: usdm}, policies={"m1": policy})
    )


@pytest.fixture
def wanted(bench):
    def make(lots=4, number=1):
        return TargetIntent(
            intent_id=f"m1:{number}",
            strategy_id="m1",
            instrument_id=USDM,
            target_lots=lots,
            urgency=Urgency.AGGRESSIVE,
            limit_ticks=None,
            confidence=1.0,
            ttl_ns=10**12,
            reasons=(),
            cause="a test",
            ts_init_ns=bench.clock.wall_ns(),
        )

    return make


@pytest.fixture
def fill(bench):
    def make(exec_id="x1", side=Side.BUY, qty="0.004", px="60000"):
        return OrderFilled(
            venue="binanceusdm",
            instrument_id=USDM,
            cl_ord_id="pd1-1",
            exec_id=exec_id,
            exec_seq=1,
            side=side,
            last_qty=Decimal(qty),
            last_px=Decimal(px),
            liquidity=Liquidity.TAKER,
            fee=Decimal(0),
            fee_asset="USDT",
            legs=(Leg("m1", "m1:1", Decimal(qty)),),
            ts_event_ns=bench.clock.wall_ns(),
            ts_init_ns=bench.clock.wall_ns(),
        )

    return make


def row_of(fill):
    """The journal's row of an execution."""
    report = ExecutionReport(
        venue=fill.venue,
        instrument_id=fill.instrument_id,
        cl_ord_id=fill.cl_ord_id,
        orig_cl_ord_id=None,
        order_id="1",
        exec_id=fill.exec_id,
        exec_seq=fill.exec_seq,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED,
        side=fill.side,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.IOC,
        order_qty=fill.last_qty,
        price=fill.last_px,
        last_qty=fill.last_qty,
        last_px=fill.last_px,
        cum_qty=fill.last_qty,
        leaves_qty=Decimal(0),
        avg_px=fill.last_px,
        liquidity=fill.liquidity,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        text="",
        ts_event_ns=fill.ts_event_ns,
        ts_init_ns=fill.ts_init_ns,
    )
    body = encode_body(ReportBody(report=report, legs=fill.legs))
    draft = RowDraft(fill.ts_init_ns, JournalKind.FILL, fill.venue, fill.cl_ord_id, fill.exec_id, "", 1, body)
    return numbered(1, [draft], bytes(32), bytes(32))


def wake(bench, rows=()):
    bench.tell("protection", JournalHistory(rows=list(rows)), Epoch(epoch=1, serial=1))


def commit(bench):
    batches = bench.take(AppendRows, to="journal")
    bench.tell("protection", RowsCommitted(commit_ids=tuple(b.commit_id for b in batches)))
    return batches


def mark(bench, price):
    now = bench.clock.wall_ns()
    return MarkPrice(
        instrument_id=USDM,
        mark_price=Decimal(price),
        index_price=None,
        funding_rate=None,
        next_funding_ns=None,
        ts_event_ns=now,
        ts_recv_ns=now,
    )


@pytest.mark.req("C-RISK-7")
def test_nothing_passes_before_the_journal_was_read_and_of_what_was_wanted_the_newest_goes_on(
    bench, protection, wanted
):
    assert [type(m) for m in bench.take(AskEpoch, ReadJournal)] == [AskEpoch, ReadJournal]
    bench.tell("protection", wanted(1, 1), wanted(2, 2))
    assert bench.take(TargetIntent) == []
    wake(bench)
    assert len(bench.take(ActorReady)) == 1
    assert bench.take(TargetIntent) == []
    (batch,) = commit(bench)
    assert batch.commit_id > COMMIT_IDS_FROM, "the order core numbers its batches from 1"
    assert [m.intent_id for m in bench.take(TargetIntent, to="arbiter")] == ["m1:2"]


def test_a_fill_that_is_in_the_history_and_told_as_well_counts_once(bench, protection, fill):
    bench.tell("protection", fill())
    wake(bench, row_of(fill()))
    bench.tell("protection", fill())
    (leg,) = protection.core.legs()
    assert leg.holding.qty == Decimal("0.004")
    bench.tell("protection", fill("x2"))
    assert leg.holding.qty == Decimal("0.008")


@pytest.mark.req("C-RISK-7")
def test_an_exit_is_told_to_the_arbiter_and_to_people_and_one_that_is_stuck_holds_new_risk(
    bench, protection, wanted, fill
):
    wake(bench)
    bench.tell("protection", wanted())
    commit(bench)
    bench.tell("protection", fill())
    commit(bench)
    bench.take(TargetIntent, Published)
    bench.tell("protection", mark(bench, 58_000))
    assert bench.take(TargetIntent) == []
    commit(bench)
    (exit_,) = bench.take(TargetIntent, to="arbiter")
    assert (exit_.target_lots, exit_.strategy_id) == (0, "m1")
    told = [m for m in bench.take(Published, to="ops") if m.topic is Topic.EVENT]
    assert [m.body["code"] for m in told] == ["PROTECTIVE_EXIT"]

    bench.after_ms(2_100)
    assert bench.take(TargetIntent, to="arbiter")
    (brake,) = bench.take(BrakeSet, to="governor")
    assert (brake.code, brake.scope, brake.level) == (STUCK, f"symbol:{USDM}", Level.PAUSE)
    bench.tell("protection", fill("x2", Side.SELL))
    (cleared,) = bench.take(BrakeCleared, to="governor")
    assert (cleared.code, cleared.scope) == (STUCK, f"symbol:{USDM}")
    codes = [m.body["code"] for m in bench.take(Published) if m.topic is Topic.EVENT]
    assert codes == ["PROTECTIVE_EXIT_STUCK", "PROTECTIVE_EXIT_DONE"]
    assert protection.core.legs()[0].status is ExitStatus.COOLING
    assert protection.unknown_messages == 0
