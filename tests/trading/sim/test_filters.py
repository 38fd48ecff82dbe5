"""What the venue refuses before it looks at the market, with the codes that adapters know."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.orders.messages import OrdStatus, OrdType, Side
from trading.sim.filters import shape_refusal

TABLE = [
    ("spot", "0.0015", "100.00", "-1111"),
    ("spot", "0.0005", "100.00", "-1013 Filter failure: LOT_SIZE"),
    ("spot", "101", "100.00", "-1013 Filter failure: LOT_SIZE"),
    ("spot", "0", "100.00", "-1013"),
    ("spot", "-1", "100.00", "-1013"),
    ("spot", "NaN", "100.00", "-1013"),
    ("spot", "1", "100.005", "-1111"),
    ("spot", "1", "0", "-1013"),
    ("spot", "1", "-3", "-1013"),
    ("spot", "0.001", "100.00", "-1013 Filter failure: NOTIONAL"),
    ("spot", "0.001", None, "-1013 Filter failure: NOTIONAL"),
    ("linear", "0.0015", "100.00", "-1111"),
    ("linear", "0.0001", "100.00", "-4004"),
    ("linear", "101", "100.00", "-4005"),
    ("linear", "0", "100.00", "-4003"),
    ("linear", "1", "100.005", "-1111"),
    ("linear", "1", "0", "-4001"),
    ("linear", "0.001", "100.00", "-4164"),
    ("inverse", "1.5", "100.0", "-1111"),
    ("inverse", "1", "100.05", "-1111"),
]


@pytest.mark.parametrize(("kind", "qty", "price", "code"), TABLE)
def test_an_order_off_the_filters_is_rejected_and_leaves_no_trace(bench, kind, qty, price, code):
    instrument = getattr(bench, kind)
    bench.book(instrument, [(9_999, 1_000)], [(10_000, 1_000)])
    (report,) = bench.go(bench.order("o1", instrument, Side.BUY, qty, price))
    assert report.ord_status is OrdStatus.REJECTED
    assert report.text.startswith(code)
    assert bench.go(bench.status("o1", instrument))[0].report is None


def test_a_coarse_step_is_told_from_a_fine_one(bench):
    coarse = msgspec.structs.replace(bench.linear, lot_size=Decimal("0.005"), tick_size=Decimal("0.5"))
    spot = msgspec.structs.replace(bench.spot, lot_size=Decimal("0.005"), tick_size=Decimal("0.5"))

    def refusal(instrument, qty, price):
        return shape_refusal(instrument, OrdType.LIMIT, Decimal(qty), Decimal(price), ref_price=None, reduce_only=False)

    assert refusal(coarse, "0.006", "1000").startswith("-4023")
    assert refusal(coarse, "0.01", "1000.2").startswith("-4014")
    assert refusal(spot, "0.006", "1000").endswith("LOT_SIZE")
    assert refusal(spot, "0.01", "1000.2").endswith("PRICE_FILTER")
    assert refusal(coarse, "0.01", "1000.5") is None


def test_money_that_is_not_there_is_refused(bench):
    for instrument in (bench.spot, bench.linear):
        bench.book(instrument, [(1_000_000, 100_000)], [(1_000_100, 100_000)])
    table = [
        (bench.order("s1", bench.spot, Side.BUY, "11", "9999"), "-2010"),
        (bench.order("s2", bench.spot, Side.BUY, "11", None), "-2010"),
        (bench.order("s3", bench.spot, Side.SELL, "10.001", "10500"), "-2010"),
        (bench.order("l1", bench.linear, Side.BUY, "51", "9999"), "-2019"),
        (bench.order("l2", bench.linear, Side.SELL, "51", None), "-2019"),
    ]
    for order, code in table:
        (report,) = bench.go(order)
        assert report.text.startswith(code), report.text


def test_what_an_order_locks_cannot_be_used_twice_and_comes_back(bench):
    bench.book(bench.spot, [(1_000_000, 100)], [(1_000_100, 100)])
    bench.rest("o1", bench.spot, Side.BUY, "6", "9999")
    assert bench.go(bench.order("o2", bench.spot, Side.BUY, "5", "9999"))[0].text.startswith("-2010")
    bench.go(bench.cancel("c1", "o1", bench.spot))
    bench.rest("o3", bench.spot, Side.BUY, "5", "9999")
    (replaced,) = bench.go(bench.replace("o3", bench.order("o4", bench.spot, Side.BUY, "10", "9999")))
    assert replaced.cl_ord_id == "o4"


def test_too_many_open_orders_are_refused_and_a_replacement_is_not_one_more(make_bench):
    bench = make_bench(max_open_orders=2)
    bench.book(bench.linear, [(9_999, 1_000)], [(10_000, 1_000)])
    bench.rest("o1", bench.linear, Side.BUY, "1", "99")
    bench.rest("o2", bench.linear, Side.BUY, "1", "99")
    assert bench.go(bench.order("o3", bench.linear, Side.BUY, "1", "99"))[0].text.startswith("-2025")
    assert bench.go(bench.replace("o2", bench.order("o4", bench.linear, Side.BUY, "1", "98")))[0].text == ""


def test_an_unknown_symbol_is_rejected(bench):
    order = msgspec.structs.replace(bench.order("o1", bench.linear, Side.BUY, "1", "99"), instrument_id="SIM:NOTHING")
    assert bench.go(order)[0].text.startswith("-1121")
