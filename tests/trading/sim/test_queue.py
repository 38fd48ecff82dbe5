"""Resting orders: where they stand in the queue, and what trades and books do to them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.market.events import Aggressor
from trading.orders.messages import ExecType, Liquidity, OrdStatus, Side, TimeInForce

BIDS = [(9_999, 1_000), (9_998, 5_000)]
ASKS = [(10_001, 1_000), (10_002, 5_000)]


def fills(events):
    return [(e.cl_ord_id, e.last_qty, e.last_px, e.liquidity) for e in events if e.exec_type is ExecType.TRADE]


@pytest.fixture
def resting(bench):
    """A bid of 1 (1000 lots) at 99.99 behind 1000 lots."""
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    assert bench.venue.queue_of("o1") == (1_000, 1_000)
    return bench


def test_trades_at_the_price_serve_those_ahead_first(resting):
    resting.trade(resting.linear, 9_999, 700, Aggressor.SELL)
    assert fills(resting.go()) == []
    assert resting.venue.queue_of("o1") == (300, 1_000)
    resting.trade(resting.linear, 9_999, 700, Aggressor.SELL)
    assert fills(resting.go()) == [("o1", Decimal("0.4"), Decimal("99.99"), Liquidity.MAKER)]
    resting.trade(resting.linear, 9_999, 700, Aggressor.SELL)
    assert fills(resting.go()) == [("o1", Decimal("0.6"), Decimal("99.99"), Liquidity.MAKER)]


def test_trades_of_the_other_side_or_worse_prices_do_not_concern_us(resting):
    resting.trade(resting.linear, 9_999, 5_000, Aggressor.BUY)
    resting.trade(resting.linear, 10_000, 5_000, Aggressor.SELL)
    assert resting.go() == []
    assert resting.venue.queue_of("o1") == (1_000, 1_000)


def test_a_trade_through_the_price_fills_whole(resting):
    resting.trade(resting.linear, 9_998, 1, Aggressor.SELL)
    (report,) = resting.go()
    assert (report.last_qty, report.last_px, report.ord_status) == (1, Decimal("99.99"), OrdStatus.FILLED)


def test_a_decrease_that_trades_explain_is_not_counted_twice(resting):
    resting.trade(resting.linear, 9_999, 400, Aggressor.SELL)
    resting.depth(resting.linear, [(9_999, 600)], [])
    assert resting.venue.queue_of("o1") == (600, 600)


@pytest.mark.parametrize(("share", "ahead"), [("0", 600), ("0.5", 600), ("1", 600)])
def test_nobody_can_stand_ahead_who_is_not_displayed(make_bench, share, ahead):
    bench = make_bench(queue_cancel_ahead=Decimal(share))
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    bench.depth(bench.linear, [(9_999, 600)], [])
    assert bench.venue.queue_of("o1") == (ahead, 600)


@pytest.mark.parametrize(("share", "ahead"), [("0", 1_000), ("0.5", 800), ("1", 600)])
def test_cancellations_are_shared_between_those_ahead_and_behind(make_bench, share, ahead):
    bench = make_bench(queue_cancel_ahead=Decimal(share))
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    bench.depth(bench.linear, [(9_999, 3_000)], [])
    assert bench.venue.queue_of("o1") == (1_000, 3_000)
    bench.depth(bench.linear, [(9_999, 2_600)], [])
    assert bench.venue.queue_of("o1") == (ahead, 2_600)


def test_an_opposite_best_that_reaches_us_fills_what_it_brings(resting):
    resting.depth(resting.linear, [(9_999, 0)], [(9_998, 300), (9_999, 200)])
    events = resting.go()
    assert fills(events) == [
        ("o1", Decimal("0.3"), Decimal("99.99"), Liquidity.MAKER),
        ("o1", Decimal("0.2"), Decimal("99.99"), Liquidity.MAKER),
    ]
    resting.depth(resting.linear, [(9_990, 1)], [])
    assert resting.go() == []
    resting.depth(resting.linear, [], [(9_999, 100)])
    assert fills(resting.go()) == [("o1", Decimal("0.1"), Decimal("99.99"), Liquidity.MAKER)]


def test_two_of_our_orders_share_one_trade(resting):
    resting.rest("o2", resting.linear, Side.BUY, "1", "99.99")
    resting.trade(resting.linear, 9_999, 2_500, Aggressor.SELL)
    assert [(c, q) for c, q, _, _ in fills(resting.go())] == [("o1", 1), ("o2", Decimal("0.5"))]


def test_a_smaller_replacement_keeps_its_place_and_any_other_goes_to_the_back(resting):
    resting.trade(resting.linear, 9_999, 700, Aggressor.SELL)
    resting.go(resting.replace("o1", resting.order("o2", resting.linear, Side.BUY, "0.5", "99.99")))
    assert resting.venue.queue_of("o2") == (300, 1_000)
    resting.go(resting.replace("o2", resting.order("o3", resting.linear, Side.BUY, "0.6", "99.99")))
    assert resting.venue.queue_of("o3") == (1_000, 1_000)
    resting.go(resting.replace("o3", resting.order("o4", resting.linear, Side.BUY, "0.6", "99.98")))
    assert resting.venue.queue_of("o4") == (5_000, 5_000)
    assert resting.venue.queue_of("o1") is None


def test_a_lost_book_sends_us_to_the_back(resting):
    resting.trade(resting.linear, 9_999, 700, Aggressor.SELL)
    resting.venue.on_book_lost(resting.linear.instrument_id)
    assert resting.venue.queue_of("o1") is None
    resting.trade(resting.linear, 9_999, 5_000, Aggressor.SELL)
    assert resting.go() == []
    resting.depth(resting.linear, [(9_999, 800)], [])
    assert resting.venue.queue_of("o1") == (800, 800)


def test_with_best_prices_only_a_deeper_queue_is_unknown_until_it_is_seen(bench):
    venue, instrument = bench.venue, bench.linear

    def ticker(bid, bid_lots, ask, ask_lots):
        venue.on_ticker(bid, bid_lots, ask, ask_lots, instrument.instrument_id, bench.now_ns)

    ticker(9_999, 500, 10_001, 500)
    bench.rest("deep", instrument, Side.BUY, "1", "99.98")
    bench.rest("best", instrument, Side.BUY, "1", "99.99")
    bench.rest("inside", instrument, Side.BUY, "1", "100.00")
    assert [venue.queue_of(c) for c in ("deep", "best", "inside")] == [None, (500, 500), (0, 0)]
    bench.trade(instrument, 9_998, 100, Aggressor.SELL)
    assert [c for c, *_ in fills(bench.go())] == ["best", "inside"]
    ticker(9_998, 700, 10_001, 500)
    assert venue.queue_of("deep") == (700, 700)
    ticker(9_999, 1, 10_001, 500)
    assert venue.queue_of("deep") == (700, 700)
    ticker(9_996, 1, 9_997, 400)
    assert fills(bench.go()) == [("deep", Decimal("0.4"), Decimal("99.98"), Liquidity.MAKER)]


@pytest.mark.req("P-ORD-8")
def test_a_thousand_post_only_orders_never_take_and_never_slip(make_bench):
    bench = make_bench(initial_balances={"USDT": Decimal(10**9), "BTC": Decimal(0)}, latency_jitter_ns=3_000_000)
    mid, filled, refused, orders = 10_000, 0, 0, {}
    for n in range(1_200):
        mid += (n * 7919) % 5 - 2
        bench.book(bench.linear, [(mid - 1 - k, 50) for k in range(5)], [(mid + 1 + k, 50) for k in range(5)])
        side = Side.BUY if n % 2 else Side.SELL
        tick = mid - side.sign * ((n * 31) % 4 - 1)
        order = bench.order(f"o{n}", bench.linear, side, "0.06", bench.linear.price(tick), TimeInForce.GTX)
        orders[order.cl_ord_id] = order
        events = bench.go(order)
        bench.trade(bench.linear, mid - 1, 80, Aggressor.SELL)
        bench.trade(bench.linear, mid + 1, 80, Aggressor.BUY)
        events += bench.go(bench.cancel(f"c{n}", f"o{n}", bench.linear))
        for event in events:
            if getattr(event, "exec_type", None) is ExecType.TRADE:
                filled += 1
                assert event.liquidity is Liquidity.MAKER
                assert event.last_px == orders[event.cl_ord_id].price
            elif getattr(event, "exec_type", None) is ExecType.REJECTED:
                refused += 1
                assert event.text.startswith("-5022")
    assert filled > 100
    assert refused > 100
