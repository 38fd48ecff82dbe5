"""Injected faults: what the desk does not hear, hears twice, or hears as a refusal; and what a query then tells."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.orders.messages import ExecType, OrdStatus, Side
from trading.sim.config import SimConfig


@pytest.fixture
def market(bench):
    bench.book(bench.linear, [(9_999, 50_000)], [(10_001, 50_000)])
    return bench


def test_a_dropped_ack_hides_the_acceptance_and_not_the_fill(market):
    market.venue.faults.drop_acks = 1
    events = market.go(market.order("o1", market.linear, Side.BUY, "1", None))
    assert [e.exec_type for e in events] == [ExecType.TRADE]
    assert len(market.go(market.order("o2", market.linear, Side.BUY, "1", None))) == 2


def test_a_silenced_order_lives_and_only_a_query_tells(market):
    market.venue.faults.silence_orders = 1
    assert market.go(market.order("o1", market.linear, Side.BUY, "1", "99.00")) == []
    (duplicate,) = market.go(market.order("o1", market.linear, Side.BUY, "1", "99.00"))
    assert duplicate.text.startswith("-4116")
    (status,) = market.go(market.status("o1", market.linear))
    assert status.report.ord_status is OrdStatus.NEW
    (state,) = market.go(market.account_request())
    assert [o.cl_ord_id for o in state.open_orders] == ["o1"]
    assert market.go(market.cancel("c1", "o1", market.linear)) == []
    assert market.go(market.status("o1", market.linear))[0].report.ord_status is OrdStatus.CANCELED


def test_a_silenced_fill_is_in_the_history(market):
    market.venue.faults.silence_orders = 1
    assert market.go(market.order("o1", market.linear, Side.BUY, "1", None)) == []
    (state,) = market.go(market.account_request())
    assert [(e.cl_ord_id, e.exec_seq) for e in state.executions] == [("o1", 1)]


def test_a_lost_command_never_happened(market):
    market.venue.faults.lose_commands = 1
    assert market.go(market.order("o1", market.linear, Side.BUY, "1", None)) == []
    assert market.go(market.status("o1", market.linear))[0].report is None


def test_a_doubled_execution_is_the_same_execution(market):
    market.venue.faults.duplicate_exec_reports = 1
    _, first, second = market.go(market.order("o1", market.linear, Side.BUY, "1", None))
    assert first == second
    assert market.state().exec_seq == 1
    assert market.state().positions["SIM:LINEAR"] == 1


def test_an_injected_rejection_happens_once(market):
    market.venue.faults.reject_next = "-1001 Internal error; unable to process your request."
    (report,) = market.go(market.order("o1", market.linear, Side.BUY, "1", None))
    assert (report.ord_status, report.text[:5]) == (OrdStatus.REJECTED, "-1001")
    assert len(market.go(market.order("o1", market.linear, Side.BUY, "1", None))) == 2


def test_histories_are_bounded(make_bench):
    bench = make_bench(max_finished_orders=3, max_executions=4)
    bench.book(bench.linear, [(9_999, 50_000)], [(10_001, 50_000)])
    for n in range(6):
        bench.go(bench.order(f"o{n}", bench.linear, Side.BUY, "1", None))
    assert [e.exec_seq for e in bench.state().executions] == [3, 4, 5, 6]
    assert [e.exec_seq for e in bench.state(since_exec_seq=4).executions] == [5, 6]
    assert bench.go(bench.status("o2", bench.linear))[0].report is None
    assert bench.go(bench.status("o3", bench.linear))[0].report is not None


def test_a_log_that_nobody_drains_is_a_bug_that_is_told(make_bench, monkeypatch):
    monkeypatch.setattr("trading.sim.venue.MAX_UNDRAINED", 3)
    bench = make_bench()
    bench.book(bench.linear, [(9_999, 50_000)], [(10_001, 50_000)])
    bench.go(*[bench.order(f"o{n}", bench.linear, Side.BUY, "1", None) for n in range(4)])
    with pytest.raises(RuntimeError, match="not drained"):
        bench.venue.drain_log()
    backtest = make_bench(write_ahead=False)
    backtest.book(backtest.linear, [(9_999, 50_000)], [(10_001, 50_000)])
    backtest.go(*[backtest.order(f"o{n}", backtest.linear, Side.BUY, "1", None) for n in range(4)])
    assert backtest.venue.drain_log() == []


@pytest.mark.parametrize(
    "settings", [{"queue_cancel_ahead": Decimal(2)}, {"order_latency_ns": -1}, {"leverage": Decimal(0)}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError):
        SimConfig(initial_balances={}, **settings)


def test_a_dump_of_another_venue_is_refused(bench):
    blob = bench.venue.dump().replace(b"SIM", b"SAM", 1)
    with pytest.raises(ValueError, match="SAM"):
        bench.venue.load(blob)
