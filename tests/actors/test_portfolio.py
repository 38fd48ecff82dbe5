"""The portfolio rebuilds itself first and folds what came too early after; who asks before that waits."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from actors.messages import AskPositions, DayPnl, JournalHistory, OwnFill, Positions, ReadJournal
from actors.portfolio import PortfolioActor, PortfolioSetup
from adapters.binance.instruments import INSTRUMENTS as LISTED
from trading.market.events import BookState, BookTop, MarkPrice
from trading.operators import Published, Topic
from trading.orders.journal_rows import JournalKind, JournalRow, ReconcileBody, ReportBody, encode_body
from trading.orders.messages import (
    AccountState,
    ExecType,
    ExecutionReport,
    FundingPayment,
    InternalCross,
    Leg,
    Liquidity,
    OrderFilled,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)

VENUE, USDM = "binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
DAY_NS = 86_400 * 1_000_000_000


def fill(bench, exec_id="e1", side=Side.BUY, legs=(("a", "0.003"), ("b", "0.001")), px="60000"):
    return OrderFilled(
        venue=VENUE,
        instrument_id=USDM,
        cl_ord_id=f"order-{exec_id}",
        exec_id=exec_id,
        exec_seq=int(exec_id[1:]),
        side=side,
        last_qty=sum((Decimal(q) for _, q in legs), Decimal(0)),
        last_px=Decimal(px),
        liquidity=Liquidity.MAKER,
        fee=Decimal("0.048"),
        fee_asset="USDT",
        legs=tuple(Leg(strategy_id=s, intent_id="i", qty=Decimal(q)) for s, q in legs),
        ts_event_ns=bench.clock.wall_ns(),
        ts_init_ns=bench.clock.wall_ns(),
    )


def account(bench, usdt="50000", venue=VENUE):
    return AccountState(
        venue=venue,
        exec_seq=0,
        open_orders=(),
        executions=(),
        fundings=(),
        positions={},
        balances={"USDT": Decimal(usdt)},
        cause="a test",
        ts_init_ns=bench.clock.wall_ns(),
    )


@pytest.fixture
def portfolio(bench, usdm):
    setup = PortfolioSetup(instruments={USDM: usdm}, strategies=("a", "b"))
    actor = bench.start("portfolio", PortfolioActor, setup)
    assert [m.reply_to for m in bench.take(ReadJournal, to="journal")] == ["portfolio"]
    return actor


@pytest.mark.req("P-PNL-9")
def test_what_came_before_the_journal_was_read_is_folded_after_it(bench, portfolio):
    bench.tell("portfolio", AskPositions(reply_to="arbiter"), account(bench), fill(bench))
    assert bench.take(Positions) == []
    assert portfolio.core.positions() == {}
    bench.tell("portfolio", JournalHistory(rows=[]))
    assert portfolio.core.positions()[USDM].qty == Decimal("0.004")
    assert portfolio.core.ledger_residual() == 0
    (answer,) = bench.take(Positions, to="arbiter")
    assert answer.by_instrument == {USDM: "0.004"}
    assert answer.by_strategy == {"a": {USDM: "0.003"}, "b": {USDM: "0.001"}}


@pytest.mark.req("P-ORD-3")
def test_strategies_that_outlived_it_are_told_what_they_hold(bench, portfolio):
    bench.tell("portfolio", fill(bench), JournalHistory(rows=[]))
    assert [m.by_strategy["a"][USDM] for m in bench.take(Positions, to="strategy.a")] == ["0.003"]
    assert len(bench.take(Positions, to="strategy.b")) == 1


@pytest.mark.req("P-PNL-9")
def test_a_venue_opens_once_whatever_it_says_later(bench, portfolio):
    bench.tell("portfolio", JournalHistory(rows=[]), account(bench, "50000"), account(bench, "49000"))
    assert portfolio.core.balances_by_venue() == {VENUE: {"USDT": Decimal(50_000)}}


@pytest.mark.req("P-PNL-9")
def test_each_strategy_hears_of_its_own_share(bench, portfolio):
    bench.tell("portfolio", JournalHistory(rows=[]))
    bench.take(Positions)
    cross = InternalCross(
        cross_id="x1",
        instrument_id=USDM,
        buyer_id="b",
        seller_id="a",
        qty=Decimal("0.002"),
        price=Decimal(60_010),
        cause="a test",
        ts_init_ns=bench.clock.wall_ns(),
    )
    bench.tell("portfolio", fill(bench), cross)
    assert [(m.buy, m.qty) for m in bench.take(OwnFill, to="strategy.a")] == [(True, "0.003"), (False, "0.002")]
    assert [(m.buy, m.qty) for m in bench.take(OwnFill, to="strategy.b")] == [(True, "0.001"), (True, "0.002")]
    held = portfolio.core.positions_by_strategy()
    assert (held["a"][USDM].qty, held["b"][USDM].qty) == (Decimal("0.001"), Decimal("0.003"))


@pytest.mark.req("P-PNL-9")
def test_funding_reaches_cash_and_the_views(bench, portfolio):
    payment = FundingPayment(
        venue=VENUE,
        instrument_id=USDM,
        funding_id="f1",
        exec_seq=2,
        rate=Decimal("0.0001"),
        position_qty=Decimal("0.004"),
        mark_price=Decimal(60_000),
        amount=Decimal("-0.024"),
        asset="USDT",
        ts_event_ns=bench.clock.wall_ns(),
        ts_init_ns=bench.clock.wall_ns(),
    )
    bench.tell("portfolio", JournalHistory(rows=[]), account(bench), fill(bench), payment)
    bench.after_ms(600)
    body = [m.body for m in bench.take(Published, to="ops") if m.topic is Topic.PNL][-1]
    assert Decimal(body["funding_usd"]) == Decimal("-0.024")
    assert Decimal(body["ledger_residual"]) == 0
    assert portfolio.core.balances_by_venue()[VENUE]["USDT"] == Decimal(50_000) - Decimal("0.048") - Decimal("0.024")


@pytest.mark.req("P-PNL-9", "P-RSK-17")
def test_the_governor_hears_the_days_profit_and_which_day_it_is(bench, portfolio):
    bench.tell("portfolio", JournalHistory(rows=[]), account(bench), fill(bench, side=Side.SELL))
    top = BookTop(
        instrument_id=USDM,
        state=BookState.SYNCED,
        update_id=1,
        bids=((610_000, 1),),
        asks=((610_002, 1),),
        ts_event_ns=1,
        ts_recv_ns=1,
    )
    bench.tell("portfolio", top)
    bench.after_ms(500)
    told = bench.take(DayPnl, to="governor")[-1]
    assert Decimal(told.day_usd) == Decimal("-0.004") * Decimal("1000.1") - Decimal("0.048")
    assert told.day == bench.clock.wall_ns() // DAY_NS
    left_ns = DAY_NS - bench.clock.wall_ns() % DAY_NS
    bench.after_ms(left_ns / 1e6 + 600)
    told = bench.take(DayPnl, to="governor")[-1]
    assert (told.day, Decimal(told.day_usd)) == (bench.clock.wall_ns() // DAY_NS, 0)


def test_an_unproved_book_values_nothing(bench, portfolio):
    bench.tell("portfolio", JournalHistory(rows=[]), account(bench), fill(bench))
    broken = BookTop(
        instrument_id=USDM,
        state=BookState.SUSPECT,
        update_id=1,
        bids=((1, 1),),
        asks=((2, 1),),
        ts_event_ns=1,
        ts_recv_ns=1,
    )
    mark = MarkPrice(
        instrument_id=USDM,
        mark_price=Decimal(60_100),
        index_price=None,
        funding_rate=None,
        next_funding_ns=None,
        ts_event_ns=1,
        ts_recv_ns=1,
    )
    bench.tell("portfolio", mark, broken)
    bench.after_ms(600)
    assert portfolio.core.positions()[USDM].mark_px == Decimal(60_100)


@pytest.mark.req("P-PNL-9")
def test_a_fee_taken_in_coins_is_nobodys_share_and_the_operator_is_nobodys_actor(bench):
    (spot,) = (i for i in LISTED if i.instrument_id == "BINANCE:SPOT:BTC-USDT")
    actor = bench.start("portfolio", PortfolioActor, PortfolioSetup(instruments={spot.instrument_id: spot}))
    bench.tell("portfolio", JournalHistory(rows=[]))
    bought = msgspec.structs.replace(
        fill(bench, legs=(("a", "0.003"), ("operator", "0.001"))),
        venue=spot.venue,
        instrument_id=spot.instrument_id,
        fee=Decimal("0.000004"),
        fee_asset="BTC",
    )
    bench.tell("portfolio", bought)
    assert [(m.buy, m.qty) for m in bench.take(OwnFill, to="strategy.a")] == [(True, "0.00299700")]
    assert bench.take(OwnFill) == []
    assert actor.core.positions()[spot.instrument_id].qty == Decimal("0.003996")


def row(told):
    """The journal's row of an execution."""
    report = ExecutionReport(
        venue=told.venue,
        instrument_id=told.instrument_id,
        cl_ord_id=told.cl_ord_id,
        orig_cl_ord_id=None,
        order_id="1",
        exec_id=told.exec_id,
        exec_seq=told.exec_seq,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED,
        side=told.side,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTX,
        order_qty=told.last_qty,
        price=told.last_px,
        last_qty=told.last_qty,
        last_px=told.last_px,
        cum_qty=told.last_qty,
        leaves_qty=Decimal(0),
        avg_px=told.last_px,
        liquidity=told.liquidity,
        fee=told.fee,
        fee_asset=told.fee_asset,
        text="",
        ts_event_ns=told.ts_event_ns,
        ts_init_ns=told.ts_init_ns,
    )
    return journalled(JournalKind.FILL, ReportBody(report=report, legs=told.legs), told.exec_id)


def journalled(kind, body, exec_id=None):
    return JournalRow(
        seq=1,
        ts_ns=0,
        kind=kind,
        venue=VENUE,
        cl_ord_id="",
        exec_id=exec_id,
        parent_id="",
        epoch=1,
        body=encode_body(body),
    )


@pytest.mark.req("P-PNL-9", "P-ORD-3")
def test_facts_that_are_too_many_to_wait_for_the_history_are_read_from_it_and_none_counts_twice(bench, usdm):
    setup = PortfolioSetup(instruments={USDM: usdm}, early_max=3)
    actor = bench.start("portfolio", PortfolioActor, setup)
    bench.take(ReadJournal)
    fills = [fill(bench, f"e{n}") for n in range(1, 9)]
    bench.tell("portfolio", account(bench), account(bench, "49000"), *fills[:5])
    assert len(actor._early) <= 3
    # The first history was read before it was known that facts would be dropped: it is asked for again.
    bench.tell("portfolio", JournalHistory(rows=[]))
    assert [m.reply_to for m in bench.take(ReadJournal, to="journal")] == ["portfolio"]
    assert actor.core.positions() == {}
    # The second holds what was dropped, and two that are told as well: one before it, one after.
    opened = ReconcileBody(ok=True, text="", exec_seq=0, baseline=True, positions={}, balances={"USDT": "50000"})
    rows = [journalled(JournalKind.RECONCILE, opened), *(row(f) for f in fills[:7])]
    bench.tell("portfolio", fills[5], JournalHistory(rows=rows), fills[6], fills[7])
    assert actor.core.positions()[USDM].qty == 8 * Decimal("0.004")
    assert actor.core.balances_by_venue()[VENUE]["USDT"] == Decimal(50_000) - 8 * Decimal("0.048")
    assert bench.take(ReadJournal) == []


@pytest.mark.req("P-PNL-9")
def test_who_asks_again_and_again_before_the_history_is_answered_once(bench, portfolio):
    bench.tell("portfolio", *[AskPositions(reply_to="arbiter")] * 50, JournalHistory(rows=[]))
    assert len(bench.take(Positions, to="arbiter")) == 1
