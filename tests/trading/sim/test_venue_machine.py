"""Any sequence of commands and market events: what must hold of every account, whatever happened.

Two venues with one seed run side by side; one of them is dumped and loaded now and then. They may never differ.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from trading.market.events import Aggressor
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    Liquidity,
    OrderCancelReject,
    Side,
    TimeInForce,
)
from trading.sim.fees import value_of
from trading.sim.venue import SimVenue

MID = {"spot": 10_000, "linear": 10_000, "inverse": 10_000}
UNIT = {"spot": Decimal("0.1"), "linear": Decimal("0.1"), "inverse": Decimal(1)}
KINDS = st.sampled_from(sorted(MID))
SIDES = st.sampled_from(list(Side))
OFFSETS = st.integers(-4, 4)
SIZES = st.integers(1, 30)


class VenueMachine(RuleBasedStateMachine):
    """Rules are everything that may reach a venue; teardown lets all reports arrive and validates."""

    def __init__(self, make_bench) -> None:
        super().__init__()
        self.one = make_bench(latency_jitter_ns=2_000_000, max_open_orders=12)
        self.two = make_bench(latency_jitter_ns=2_000_000, max_open_orders=12)
        self.benches = (self.one, self.two)
        self.asked = {}
        self.events = []
        self.kinds = {getattr(self.one, kind).instrument_id: kind for kind in MID}
        for kind in MID:
            self.set_book(kind, 0, [10, 10, 10], [10, 10, 10])

    def set_book(self, kind, shift, bids, asks):
        best = MID[kind] + shift
        for bench in self.benches:
            bench.book(
                getattr(bench, kind),
                [(best - 1 - n, lots * 100) for n, lots in enumerate(bids) if lots],
                [(best + 1 + n, lots * 100) for n, lots in enumerate(asks) if lots],
            )

    def send(self, command):
        for bench in self.benches:
            bench.venue.on_command(command, bench.now_ns)

    @rule(
        kind=KINDS,
        shift=OFFSETS,
        bids=st.lists(st.integers(0, 20), max_size=4),
        asks=st.lists(st.integers(0, 20), max_size=4),
    )
    def book_moves(self, kind, shift, bids, asks):
        self.set_book(kind, shift, bids, asks)

    @rule(kind=KINDS, tick=OFFSETS, lots=st.integers(1, 3_000), aggressor=st.sampled_from(list(Aggressor)))
    def somebody_trades(self, kind, tick, lots, aggressor):
        for bench in self.benches:
            bench.trade(getattr(bench, kind), MID[kind] + tick, lots, aggressor)

    @rule(
        kind=st.sampled_from(["linear", "inverse"]),
        price=st.integers(900, 1_100),
        rate=st.integers(-50, 50),
        hours=st.integers(0, 2),
    )
    def mark_moves(self, kind, price, rate, hours):
        for bench in self.benches:
            instrument = getattr(bench, kind)
            next_ns = (bench.now_ns // 10**8 + hours) * 10**8
            bench.mark(instrument, str(instrument.tick_size * price * 10), f"{rate}e-5", next_ns)

    @rule(kind=KINDS)
    def book_is_lost(self, kind):
        for bench in self.benches:
            bench.venue.on_book_lost(getattr(bench, kind).instrument_id)

    @rule(
        kind=KINDS, side=SIDES, size=SIZES, offset=st.one_of(st.none(), OFFSETS),
        tif=st.sampled_from(list(TimeInForce)), reduce_only=st.booleans(), replace=st.booleans(),
        pick=st.integers(0, 10**6),
    )  # fmt: skip
    def desk_orders(self, kind, side, size, offset, tif, reduce_only, replace, pick):
        instrument = getattr(self.one, kind)
        price = None if offset is None else instrument.price(MID[kind] + offset)
        order = self.one.order(
            f"o{len(self.asked)}", instrument, side, UNIT[kind] * size, price, tif, reduce_only=reduce_only
        )
        if replace and self.asked:
            order = self.one.replace(list(self.asked)[pick % len(self.asked)], order)
        self.asked[order.cl_ord_id] = order
        self.send(order)

    @precondition(lambda self: self.asked)
    @rule(pick=st.integers(0, 10**6), resend=st.booleans())
    def desk_cancels_or_repeats_itself(self, pick, resend):
        order = list(self.asked.values())[pick % len(self.asked)]
        instrument = getattr(self.one, self.kinds[order.instrument_id])
        self.send(order if resend else self.one.cancel(f"c{pick}", order.cl_ord_id, instrument))

    @rule(ns=st.integers(0, 10**8))
    def time_passes(self, ns):
        heard = []
        for bench in self.benches:
            bench.now_ns += ns
            heard.append(bench.venue.poll(bench.now_ns))
        assert heard[0] == heard[1]
        self.events += heard[0]
        self.one.venue.drain_log()

    @rule()
    def one_venue_is_dumped_and_loaded(self):
        blob = self.two.venue.dump()
        self.two.venue = SimVenue("SIM", [self.two.spot, self.two.linear, self.two.inverse], self.two.config, seed=999)
        self.two.venue.load(blob)
        assert self.two.venue.dump() == blob
        for kind in MID:
            for bench in self.benches:
                bench.venue.on_book(bench.books[getattr(bench, kind).instrument_id], bench.now_ns)

    def teardown(self):
        for _ in range(3):
            self.time_passes(10**8)
        assert self.one.venue.dump() == self.two.venue.dump()
        self.validate()

    def validate(self):
        state = self.one.state()
        trades = [e for e in self.events if isinstance(e, ExecutionReport) and e.exec_type is ExecType.TRADE]
        fundings = [e for e in self.events if isinstance(e, FundingPayment)]
        assert list(state.executions) == trades
        assert list(state.fundings) == fundings
        assert sorted(e.exec_seq for e in trades + fundings) == list(range(1, state.exec_seq + 1))
        ids = [e.exec_id for e in self.events if isinstance(e, ExecutionReport)]
        assert len(ids) == len(set(ids))
        self.validate_orders(trades)
        self.validate_positions(trades, state)
        self.validate_balances(trades, fundings, state)

    def validate_orders(self, trades):
        filled = defaultdict(Decimal)
        for trade in trades:
            order = self.asked[trade.cl_ord_id]
            filled[trade.cl_ord_id] += trade.last_qty
            assert trade.cum_qty == filled[trade.cl_ord_id] <= order.order_qty
            if order.price is not None:
                assert (order.price - trade.last_px) * trade.side.sign >= 0
            if order.time_in_force is TimeInForce.GTX and order.price is not None:
                assert trade.liquidity is Liquidity.MAKER
            if trade.liquidity is Liquidity.MAKER:
                assert trade.last_px == order.price
        exchange = self.one.venue._exchange
        for order in (*exchange.open.values(), *exchange.finished.values()):
            instrument = self.one.venue._markets[order.instrument_id].instrument
            assert instrument.qty(order.cum_lots) == filled[order.cl_ord_id]
            assert order.is_open == (order.cl_ord_id in exchange.open)
            if order.time_in_force is TimeInForce.FOK and order.price_ticks is not None and not order.reduce_only:
                assert order.cum_lots in (0, order.order_lots)
        working = [o for market in exchange.markets.values() for o in market.orders]
        assert sorted(o.order_no for o in working) == sorted(o.order_no for o in exchange.open.values())
        assert len(working) <= self.one.config.max_open_orders
        answered = {e.cl_ord_id for e in self.events if isinstance(e, ExecutionReport | OrderCancelReject)}
        assert set(self.asked) <= answered

    def validate_positions(self, trades, state):
        held = defaultdict(Decimal)
        for trade in trades:
            before = held[trade.instrument_id]
            after = held[trade.instrument_id] = before + trade.last_qty * trade.side.sign
            if self.asked[trade.cl_ord_id].reduce_only and self.kinds[trade.instrument_id] != "spot":
                assert abs(after) < abs(before)
                assert after * before >= 0
        assert state.positions == {i: held[i] for i, kind in self.kinds.items() if kind != "spot"}

    def validate_balances(self, trades, fundings, state):
        money = defaultdict(Decimal, self.one.config.initial_balances)
        for trade in trades:
            instrument = getattr(self.one, self.kinds[trade.instrument_id])
            value = value_of(instrument, trade.last_qty, trade.last_px) * trade.side.sign
            kind = self.kinds[trade.instrument_id]
            if kind == "spot":
                money["BTC"] += trade.last_qty * trade.side.sign
            money[instrument.settle] += value if kind == "inverse" else -value
            money[trade.fee_asset] -= trade.fee
        for funding in fundings:
            money[funding.asset] += funding.amount
        # What is still in open positions was not paid out: add their cost back.
        positions = self.one.venue._exchange.account.positions
        money["USDT"] += positions["SIM:LINEAR"].cost if "SIM:LINEAR" in positions else 0
        money["BTC"] -= positions["SIM:INVERSE"].cost if "SIM:INVERSE" in positions else 0
        flips = Decimal(len(trades)) * Decimal("0.00000001")
        assert state.balances["USDT"] == money["USDT"]
        assert abs(state.balances["BTC"] - money["BTC"]) <= flips


@pytest.mark.req("P-ORD-9")
def test_no_sequence_breaks_the_account(make_bench):
    run_state_machine_as_test(
        lambda: VenueMachine(make_bench),
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
