"""Each order type against a standing book: which reports it gets, in which order, at which prices."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.market.events import Aggressor
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Liquidity,
    OrderCancelReject,
    OrderStatusReport,
    OrdStatus,
    Side,
    TimeInForce,
)

GTC, IOC, FOK, GTX = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTX
BIDS = [(9_999, 5_000), (9_998, 5_000)]
ASKS = [(10_000, 1_000), (10_001, 2_000), (10_002, 3_000)]

# side, qty, price, time in force -> (exec type, last qty, last px) of every report, and the end.
TABLE = [
    ("a limit below the market rests", Side.BUY, "1", "99.99", GTC, ["new"], OrdStatus.NEW),
    ("a crossing limit takes one level", Side.BUY, "1", "100.00", GTC, ["new", "1@100.00"], OrdStatus.FILLED),
    (
        "a crossing limit walks, then rests what is left",
        Side.BUY,
        "4",
        "100.01",
        GTC,
        ["new", "1@100.00", "2@100.01"],
        OrdStatus.PARTIALLY_FILLED,
    ),
    ("a sell crosses the other way", Side.SELL, "6", "99.98", GTC, ["new", "5@99.99", "1@99.98"], OrdStatus.FILLED),
    (
        "an IOC expires what is left",
        Side.BUY,
        "4",
        "100.01",
        IOC,
        ["new", "1@100.00", "2@100.01", "expired"],
        OrdStatus.EXPIRED,
    ),
    ("an IOC that meets nobody expires", Side.BUY, "1", "99.99", IOC, ["new", "expired"], OrdStatus.EXPIRED),
    ("a FOK that cannot be whole does nothing", Side.BUY, "4", "100.01", FOK, ["new", "expired"], OrdStatus.EXPIRED),
    ("a FOK that can be whole is", Side.BUY, "3", "100.01", FOK, ["new", "1@100.00", "2@100.01"], OrdStatus.FILLED),
    ("a post-only that would not take rests", Side.BUY, "1", "99.99", GTX, ["new"], OrdStatus.NEW),
    ("a post-only that would take is rejected", Side.BUY, "1", "100.00", GTX, ["rejected"], OrdStatus.REJECTED),
    (
        "a market order walks the book",
        Side.BUY,
        "5",
        None,
        GTC,
        ["new", "1@100.00", "2@100.01", "2@100.02"],
        OrdStatus.FILLED,
    ),
    (
        "a market order larger than the book expires",
        Side.BUY,
        "7",
        None,
        GTC,
        ["new", "1@100.00", "2@100.01", "3@100.02", "expired"],
        OrdStatus.EXPIRED,
    ),
]


@pytest.mark.parametrize(
    ("side", "qty", "price", "tif", "expected", "end"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
@pytest.mark.parametrize("kind", ["spot", "linear"])
def test_an_order_gets_the_reports_of_its_type(bench, kind, side, qty, price, tif, expected, end):
    instrument = getattr(bench, kind)
    bench.book(instrument, BIDS, ASKS)
    reports = bench.go(bench.order("o1", instrument, side, qty, price, tif))
    said = [
        f"{r.last_qty.normalize():f}@{r.last_px:f}" if r.exec_type is ExecType.TRADE else r.exec_type.value
        for r in reports
    ]
    assert said == expected
    last = reports[-1]
    assert last.ord_status is end
    assert last.cum_qty == sum(r.last_qty for r in reports)
    closed = end in (OrdStatus.FILLED, OrdStatus.EXPIRED, OrdStatus.REJECTED)
    assert last.leaves_qty == (0 if closed else last.order_qty - last.cum_qty)
    assert all(r.liquidity is Liquidity.TAKER for r in reports if r.exec_type is ExecType.TRADE)


def test_a_taken_level_is_gone_until_it_changes(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.go(bench.order("o1", bench.linear, Side.BUY, "0.6", "100.00", IOC))
    reports = bench.go(bench.order("o2", bench.linear, Side.BUY, "0.6", "100.00", IOC))
    assert reports[-1].cum_qty == Decimal("0.4")
    bench.depth(bench.linear, [(9_997, 1)], [])
    assert bench.go(bench.order("o3", bench.linear, Side.BUY, "0.6", "100.00", IOC))[-1].cum_qty == 0
    bench.depth(bench.linear, [], [(10_000, 900)])
    assert bench.go(bench.order("o4", bench.linear, Side.BUY, "0.6", "100.00", IOC))[-1].cum_qty == Decimal("0.6")


def test_without_a_book_nothing_is_taken(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.venue.on_book_lost(bench.linear.instrument_id)
    assert [r.exec_type for r in bench.go(bench.order("o1", bench.linear, Side.BUY, "1", None))] == [
        ExecType.NEW,
        ExecType.EXPIRED,
    ]


def test_our_own_orders_never_meet(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("ask", bench.linear, Side.SELL, "1", "100.01")
    reports = bench.go(bench.order("bid", bench.linear, Side.BUY, "4", "100.02"))
    assert [(r.exec_type, r.last_px) for r in reports[1:-1]] == [(ExecType.TRADE, Decimal("100.00"))]
    assert reports[-1].exec_type is ExecType.EXPIRED
    assert "self-trade" in reports[-1].text
    (rejected,) = bench.go(bench.order("post", bench.linear, Side.BUY, "1", "100.01", GTX))
    assert rejected.text.startswith("-5022")


def test_a_cancel_answers_with_both_ids(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    (report,) = bench.go(bench.cancel("c1", "o1", bench.linear))
    assert (report.exec_type, report.ord_status) == (ExecType.CANCELED, OrdStatus.CANCELED)
    assert (report.cl_ord_id, report.orig_cl_ord_id, report.leaves_qty) == ("c1", "o1", 0)
    assert bench.state().open_orders == ()


def test_a_cancel_of_what_is_not_working_is_refused_with_its_status(bench):
    bench.book(bench.linear, BIDS, ASKS)
    (unknown,) = bench.go(bench.cancel("c1", "ghost", bench.linear))
    assert isinstance(unknown, OrderCancelReject)
    assert unknown.text.startswith("-2011")
    assert unknown.ord_status is OrdStatus.REJECTED
    bench.go(bench.order("o1", bench.linear, Side.BUY, "1", "100.00"))
    (late,) = bench.go(bench.cancel("c2", "o1", bench.linear))
    assert late.text.startswith("-2011")
    assert late.ord_status is OrdStatus.FILLED


def test_a_fill_on_the_way_of_a_cancel_wins(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    bench.venue.on_command(bench.cancel("c1", "o1", bench.linear), bench.now_ns)
    bench.trade(bench.linear, 9_998, 1, Aggressor.SELL)
    filled, refused = bench.go()
    assert filled.ord_status is OrdStatus.FILLED
    assert isinstance(refused, OrderCancelReject)


def test_a_replacement_takes_the_place_or_nothing_changes(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    (replaced,) = bench.go(bench.replace("o1", bench.order("o2", bench.linear, Side.BUY, "2", "99.98")))
    assert (replaced.exec_type, replaced.cl_ord_id, replaced.orig_cl_ord_id) == (ExecType.REPLACED, "o2", "o1")
    assert replaced.ord_status is OrdStatus.NEW
    crossing = bench.order("o3", bench.linear, Side.BUY, "2", "100.00", GTX)
    for refused_order, code in [
        (crossing, "-5022"),
        (bench.order("o3", bench.linear, Side.SELL, "2", "101"), "-1013"),
        (bench.order("o3", bench.linear, Side.BUY, "9000", "99.98"), "-4005"),
        (bench.order("o1", bench.linear, Side.BUY, "1", "99.98"), "-4116"),
    ]:
        (refused,) = bench.go(bench.replace("o2", refused_order))
        assert isinstance(refused, OrderCancelReject)
        assert refused.text.startswith(code)
        assert [o.cl_ord_id for o in bench.state().open_orders] == ["o2"]
    (gone,) = bench.go(bench.replace("o1", bench.order("o4", bench.linear, Side.BUY, "1", "99.98")))
    assert gone.text.startswith("-2013")
    assert gone.ord_status is OrdStatus.REPLACED
    (status,) = bench.go(bench.status("o1", bench.linear))
    assert isinstance(status, OrderStatusReport)
    assert status.report.ord_status is OrdStatus.REPLACED


def test_a_replacement_that_crosses_takes(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.rest("o1", bench.linear, Side.BUY, "1", "99.99")
    reports = bench.go(bench.replace("o1", bench.order("o2", bench.linear, Side.BUY, "1", "100.00")))
    assert [r.exec_type for r in reports] == [ExecType.REPLACED, ExecType.TRADE]
    assert reports[-1].ord_status is OrdStatus.FILLED


def test_a_known_client_id_is_answered_as_a_duplicate_even_after_the_order_ended(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.book(bench.spot, BIDS, ASKS)
    bench.go(
        bench.order("o1", bench.linear, Side.BUY, "1", "100.00"), bench.order("s1", bench.spot, Side.BUY, "1", "99.99")
    )
    (linear, spot) = bench.go(
        bench.order("o1", bench.linear, Side.BUY, "1", "100.00"), bench.order("s1", bench.spot, Side.BUY, "1", "99.99")
    )
    assert linear.text == "-4116 ClientOrderId is duplicated."
    assert spot.text == "-2010 Duplicate order sent."
    assert bench.state().exec_seq == 1


def test_an_unknown_order_is_none_and_every_exec_id_is_its_own(bench):
    bench.book(bench.linear, BIDS, ASKS)
    (nothing,) = bench.go(bench.status("o1", bench.linear))
    assert nothing.report is None
    events = bench.go(
        bench.order("o1", bench.linear, Side.BUY, "4", "100.01"),
        bench.status("o1", bench.linear),
        bench.status("o1", bench.linear),
        bench.order("o1", bench.linear, Side.BUY, "4", "100.01"),
        bench.order("o2", bench.linear, Side.BUY, "0", "100.01"),
        bench.cancel("c1", "o1", bench.linear),
    )
    reports = [e.report if isinstance(e, OrderStatusReport) else e for e in events]
    assert all(isinstance(r, ExecutionReport) for r in reports)
    assert len({r.exec_id for r in reports}) == len(reports) == 8
    trades = [r for r in reports if r.exec_type is ExecType.TRADE]
    assert [(r.exec_seq, r.exec_id) for r in trades] == [(1, "SIM-1"), (2, "SIM-2")]
    assert all(r.exec_seq == 2 for r in reports[3:])
    assert reports[3].avg_px == Decimal("100.0066666667")


def test_commands_and_reports_take_their_latency_and_keep_their_order(make_bench):
    bench = make_bench(latency_jitter_ns=900_000)
    bench.book(bench.linear, BIDS, ASKS)
    start = bench.now_ns
    for n in range(50):
        bench.venue.on_command(bench.order(f"o{n}", bench.linear, Side.BUY, "0.1", "99.00"), start + n)
    seen = []
    while (due := bench.venue.next_due_ns()) is not None:
        seen += [(due, e.cl_ord_id, e.ts_event_ns) for e in bench.venue.poll(due)]
    assert [cl_ord_id for _, cl_ord_id, _ in seen] == [f"o{n}" for n in range(50)]
    assert all(1_000_000 <= acted - start < 2_000_000 for _, _, acted in seen)
    assert all(2_000_000 <= due - start < 4_000_000 for due, _, _ in seen)
    assert len({due for due, _, _ in seen}) > 1
