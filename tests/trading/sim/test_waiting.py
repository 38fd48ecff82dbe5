"""Orders that the simulated venue holds until a price is seen: taken, triggered, closed, kept over a restart."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

LAST, MARK = TriggerPriceType.LAST, TriggerPriceType.MARK


@pytest.fixture
def held(make_bench):
    """A venue that holds orders; 0.5 were bought at 100.00, and the book is deep at 99.00."""
    bench = make_bench(holds_triggers=True)
    bench.book(bench.linear, [(9_900, 10_000)], [(10_000, 10_000)])
    bench.go(bench.order("b1", bench.linear, Side.BUY, "0.5", "100", TimeInForce.IOC))
    return bench


def stop(bench, cl_ord_id="s1", qty="0.5", *, ord_type=OrdType.STOP, at="95", kind=LAST, **fields):
    order = bench.order(cl_ord_id, bench.linear, Side.SELL, qty, None, TimeInForce.IOC, reduce_only=True)
    trigger = TriggeringInstructions(Decimal(at), kind, close_on_trigger=True)
    return msgspec.structs.replace(order, ord_type=ord_type, trigger=trigger, **fields)


def see(bench, price, kind=LAST):
    bench.venue.in_place(bench.now_ns).see_price(bench.linear.instrument_id, kind, Decimal(price), bench.now_ns)
    return [(r.exec_type, r.ord_status) for r in bench.go() if isinstance(r, ExecutionReport)]


def position(bench):
    return bench.state().positions[bench.linear.instrument_id]


def test_it_waits_for_its_own_kind_of_price_and_is_then_an_order_like_any_other(held):
    (new,) = held.go(stop(held))
    assert (new.exec_type, new.ord_status, new.leaves_qty) == (ExecType.NEW, OrdStatus.PENDING_TRIGGER, Decimal("0.5"))
    assert see(held, "95", MARK) == see(held, "95.01") == []
    assert see(held, "94") == [(ExecType.TRIGGERED, OrdStatus.NEW), (ExecType.TRADE, OrdStatus.FILLED)]
    assert (position(held), see(held, "94")) == (0, [])


def test_what_would_trigger_at_once_is_refused_and_so_is_everything_where_nothing_is_held(held, bench):
    see(held, "95")
    (refused,) = held.go(stop(held))
    assert (refused.exec_type, refused.text) == (ExecType.REJECTED, "-2021 Order would immediately trigger.")
    bench.book(bench.linear, [(9_900, 10_000)], [(10_000, 10_000)])
    (unknown,) = bench.go(stop(bench))
    assert (unknown.exec_type, unknown.text[:5]) == (ExecType.REJECTED, "-1116")


@pytest.mark.req("P-ORD-9", "P-ORD-10")
def test_it_closes_what_is_left_and_ends_where_nothing_is(held):
    held.go(stop(held), stop(held, "s2", at="90"))
    held.go(held.order("c1", held.linear, Side.SELL, "0.3", "99", TimeInForce.IOC, reduce_only=True))
    kinds = see(held, "95")
    assert [kind for kind, _ in kinds] == [ExecType.TRIGGERED, ExecType.TRADE, ExecType.EXPIRED]
    assert position(held) == 0
    assert see(held, "90") == [(ExecType.REJECTED, OrdStatus.REJECTED)]
    assert position(held) == 0


def test_a_stop_with_a_limit_rests_on_the_book_and_is_canceled_there_or_before(held):
    order = stop(held, ord_type=OrdType.STOP_LIMIT, price=Decimal(105), time_in_force=TimeInForce.GTC)
    held.go(order)
    assert see(held, "95") == [(ExecType.TRIGGERED, OrdStatus.NEW)]
    (gone,) = held.go(held.cancel("c1", "s1", held.linear))
    assert gone.exec_type is ExecType.CANCELED
    held.go(stop(held, "s2", at="90"))
    (gone,) = held.go(held.cancel("c2", "s2", held.linear))
    assert (gone.exec_type, see(held, "90")) == (ExecType.CANCELED, [])


@pytest.mark.req("P-ORD-10")
def test_it_outlives_the_venues_process(held, make_bench):
    held.go(stop(held))
    for keep in ("dump", "log"):
        again = make_bench(holds_triggers=True)
        if keep == "dump":
            again.venue.load(held.venue.dump())
        else:
            again.venue.apply_log(held.venue.drain_log())
        again.now_ns = held.now_ns
        again.book(again.linear, [(9_900, 10_000)], [(10_000, 10_000)])
        assert again.state().open_orders[0].ord_status is OrdStatus.PENDING_TRIGGER
        assert [kind for kind, _ in see(again, "95")] == [ExecType.TRIGGERED, ExecType.TRADE]
        assert position(again) == 0


def test_margin_is_asked_for_at_the_trigger(make_bench):
    bench = make_bench(holds_triggers=True, leverage=Decimal("0.5"))
    bench.book(bench.linear, [(10_400, 10_000_000)], [(10_500, 10_000_000)])
    buy = stop(bench, qty="100", side=Side.BUY, reduce_only=False)
    buy = msgspec.structs.replace(buy, trigger=TriggeringInstructions(Decimal(105), LAST))
    bench.go(*(msgspec.structs.replace(buy, cl_ord_id=f"h{n}") for n in range(8)))
    assert len(bench.state().open_orders) == 8  # 21,000 of margin each, and 100,000 are there
    ends = see(bench, "105")
    assert [
        ends.count((kind, status))
        for kind, status in ((ExecType.TRADE, OrdStatus.FILLED), (ExecType.REJECTED, OrdStatus.REJECTED))
    ] == [4, 4]
