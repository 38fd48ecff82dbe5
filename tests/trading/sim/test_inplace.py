"""Amendments in place, executions that nobody here ordered, ids that may be used again, leverage by instrument."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.market.events import Aggressor
from trading.orders.messages import ExecType, OrdStatus, Side, TimeInForce
from trading.sim import filters

BIDS = [(9_999, 1_000), (9_998, 5_000)]
ASKS = [(10_001, 1_000), (10_002, 5_000)]


def amend(bench, cl_ord_id, qty, price):
    """The refusal, and what was told."""
    exchange = bench.venue.in_place(bench.now_ns)
    refusal = exchange.amend(cl_ord_id, Decimal(qty), Decimal(price), bench.now_ns)
    return refusal, [event.exec_type for event in bench.go()]


@pytest.fixture
def resting(bench):
    """A bid of 1 (1000 lots) at 99.99 behind 1000 lots."""
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    return bench


def test_a_smaller_order_keeps_its_ids_and_its_place(resting):
    before = resting.state().open_orders[0]
    assert amend(resting, "o1", "0.5", "99.99") == ("", [ExecType.REPLACED])
    (after,) = resting.state().open_orders
    assert (after.order_id, after.cl_ord_id, after.order_qty) == (before.order_id, "o1", Decimal("0.5"))
    assert resting.venue.queue_of("o1") == (1_000, 1_000)
    resting.trade(resting.linear, 9_999, 600, Aggressor.SELL)
    amend(resting, "o1", "0.4", "99.99")
    assert resting.venue.queue_of("o1") == (400, 1_000)


def test_a_larger_order_or_another_price_stands_at_the_back_again(resting):
    resting.trade(resting.linear, 9_999, 600, Aggressor.SELL)
    amend(resting, "o1", "2", "99.99")
    assert resting.venue.queue_of("o1") == (1_000, 1_000)
    amend(resting, "o1", "2", "99.98")
    assert resting.venue.queue_of("o1") == (5_000, 5_000)


def test_an_amended_price_that_crosses_takes(resting):
    assert amend(resting, "o1", "0.3", "100.01") == ("", [ExecType.REPLACED, ExecType.TRADE])
    assert resting.state().open_orders == ()
    assert resting.state().positions[resting.linear.instrument_id] == Decimal("0.3")


def test_an_amendment_below_what_has_filled_cancels(resting):
    resting.trade(resting.linear, 9_999, 1_400, Aggressor.SELL)
    resting.go()
    assert amend(resting, "o1", "0.4", "99.99") == ("", [ExecType.CANCELED])
    assert resting.venue.in_place(resting.now_ns).find("o1").status is OrdStatus.CANCELED


def test_a_post_only_order_that_would_take_by_its_amendment_expires_and_takes_nothing(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99", TimeInForce.GTX)
    assert amend(bench, "o1", "1", "100.01") == ("", [ExecType.EXPIRED])
    assert bench.state().executions == ()


@pytest.mark.parametrize(
    ("qty", "price", "code"),
    [("1", "99.995", "-1111"), ("0.0005", "99.99", "-4004"), ("99", "99.00", "-2019"), ("0.001", "0.01", "-4164")],
)
def test_a_refused_amendment_changes_nothing(make_bench, qty, price, code):
    bench = make_bench(initial_balances={"USDT": Decimal(100)})
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    before = bench.state().open_orders
    refusal, told = amend(bench, "o1", qty, price)
    assert (refusal.split()[0], told) == (code, [])
    after = bench.state().open_orders
    assert [(o.order_qty, o.price) for o in after] == [(o.order_qty, o.price) for o in before]
    assert amend(bench, "nobody", "1", "99.99")[0] == filters.NO_SUCH_ORDER


def test_an_execution_that_nobody_ordered_moves_the_account_and_is_told(bench):
    bench.book(bench.linear, BIDS, ASKS)
    exchange = bench.venue.in_place(bench.now_ns)
    exchange.force_fill(bench.linear.instrument_id, Side.SELL, 250, 9_999, cl_ord_id="autoclose-1", ts_ns=bench.now_ns)
    new, trade = bench.go()
    assert (new.exec_type, trade.exec_type, trade.ord_status) == (ExecType.NEW, ExecType.TRADE, OrdStatus.FILLED)
    assert bench.state().positions[bench.linear.instrument_id] == Decimal("-0.25")
    assert bench.state().executions == (trade,)


def test_where_post_only_expires_it_is_new_first_and_never_takes(make_bench):
    bench = make_bench(post_only_expires=True)
    bench.book(bench.linear, BIDS, ASKS)
    events = bench.go(bench.order("o1", bench.linear, Side.BUY, "1", "100.01", TimeInForce.GTX))
    assert [event.exec_type for event in events] == [ExecType.NEW, ExecType.EXPIRED]
    assert bench.state().executions == ()


def test_where_closed_ids_may_be_used_again_a_resent_order_trades_twice_and_outlives_the_log(make_bench):
    settings = {"reuse_closed_ids": True}
    bench = make_bench(**settings)
    bench.book(bench.linear, BIDS, ASKS)
    order = bench.order("o1", bench.linear, Side.BUY, "0.1", "100.01")
    resting = bench.order("o1", bench.linear, Side.BUY, "0.1", "99.00")
    bench.go(order)
    bench.go(resting)
    (refused,) = bench.go(resting)
    assert refused.exec_type is ExecType.REJECTED
    again = make_bench(**settings)
    again.venue.apply_log(bench.venue.drain_log())
    assert [o.order_id for o in again.state().open_orders] == [o.order_id for o in bench.state().open_orders]
    assert len(again.state().open_orders) == 1


def test_leverage_of_one_instrument_is_its_own(make_bench):
    bench = make_bench(initial_balances={"USDT": Decimal(100)})
    bench.book(bench.linear, BIDS, ASKS)
    bench.venue.in_place(bench.now_ns).leverage[bench.linear.instrument_id] = Decimal(1)
    (refused,) = bench.go(bench.order("o1", bench.linear, Side.BUY, "2", "99.99"))
    assert refused.text == filters.INSUFFICIENT_MARGIN
    bench.venue.in_place(bench.now_ns).leverage[bench.linear.instrument_id] = Decimal(5)
    bench.rest("o2", bench.linear, Side.BUY, "2", "99.99")


def test_orders_are_found_open_and_finished_in_order_of_arrival(resting):
    resting.go(resting.cancel("c1", "o1", resting.linear))
    resting.rest("o2", resting.linear, Side.BUY, "1", "99.00")
    exchange = resting.venue.in_place(resting.now_ns)
    assert [order.cl_ord_id for order in exchange.orders()] == ["o1", "o2"]
    assert exchange.find("o1").updated_ns > exchange.find("o1").ts_ns
