"""Money: fees, positions, realised PnL, funding; and orders that may only reduce."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import ExecType, FundingPayment, Liquidity, OrdStatus, Side, TimeInForce
from trading.sim.account import FLAT, apply_fill, funding_amount, inverse_pnl, unrealised
from trading.sim.fees import fee_of

D = Decimal
BIDS = [(9_999, 50_000)]
ASKS = [(10_001, 50_000)]


@pytest.mark.parametrize(
    ("kind", "side", "liquidity", "fee", "asset"),
    [
        ("spot", Side.BUY, Liquidity.TAKER, "0.002", "BTC"),
        ("spot", Side.SELL, Liquidity.TAKER, "0.2", "USDT"),
        ("linear", Side.BUY, Liquidity.TAKER, "0.1", "USDT"),
        ("linear", Side.SELL, Liquidity.MAKER, "0.04", "USDT"),
        ("inverse", Side.BUY, Liquidity.TAKER, "0.001", "BTC"),
        ("inverse", Side.SELL, Liquidity.MAKER, "0.0004", "BTC"),
    ],
)
def test_a_fee_is_taken_in_the_asset_of_the_venue(bench, kind, side, liquidity, fee, asset):
    assert fee_of(getattr(bench, kind), side, D(2), D(100), liquidity) == (D(fee), asset)


def test_a_spot_buy_leaves_less_base_than_was_bought(bench):
    bench.book(bench.spot, BIDS, ASKS)
    (_, fill) = bench.go(bench.order("o1", bench.spot, Side.BUY, "1", None))
    assert (fill.fee, fill.fee_asset) == (D("0.001"), "BTC")
    assert bench.state().balances == {"USDT": D("99899.99"), "BTC": D("10.999")}
    bench.go(bench.order("o2", bench.spot, Side.SELL, "1", None))
    assert bench.state().balances == {"USDT": D("99899.99") + D("99.99") - D("0.09999"), "BTC": D("9.999")}


def test_a_contract_realises_in_its_settlement_asset(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.go(bench.order("o1", bench.linear, Side.BUY, "2", None))
    assert bench.state().positions["SIM:LINEAR"] == 2
    bench.go(bench.order("o2", bench.linear, Side.SELL, "3", None))
    fees = (D("200.02") + D("299.97")) * D("0.0005")
    assert bench.state().balances["USDT"] == D(100_000) - D("0.04") - fees
    assert bench.state().positions == {"SIM:LINEAR": D(-1), "SIM:INVERSE": D(0)}


def test_inverse_pnl_is_in_coin_and_rounded_per_value():
    assert inverse_pnl(D(1), D(100), D(50_000), D(60_000)) == D("0.002") - D("0.00166667")
    assert inverse_pnl(D(-1), D(100), D(50_000), D(60_000)) == -inverse_pnl(D(1), D(100), D(50_000), D(60_000))


PRICES = st.integers(1, 10**7).map(lambda n: D(n) / 10)
FILLS = st.lists(st.tuples(st.integers(-500, 500).filter(bool), PRICES), min_size=1, max_size=20)


@given(FILLS)
def test_linear_pnl_is_cash_flow_exactly(bench_fills):
    linear = Instrument(
        instrument_id="X", venue="V", symbol="X", kind=InstrumentKind.LINEAR, base="B", quote="Q", settle="Q",
        tick_size=D("0.1"), lot_size=D("0.001"), min_qty=D("0.001"), max_qty=D(1000), min_notional=D(0),
    )  # fmt: skip
    position, realised, cash, qty = FLAT, D(0), D(0), D(0)
    for lots, px in bench_fills:
        signed = linear.qty(lots)
        position, pnl = apply_fill(position, linear, signed, px)
        realised += pnl
        cash -= signed * px
        qty += signed
        assert position.qty == qty
        assert (position.cost > 0) == (qty > 0)
    assert realised - position.cost == cash
    assert realised + unrealised(position, linear, D(77)) == cash + qty * 77


@given(FILLS)
def test_inverse_pnl_is_the_formula_to_half_a_quantum_per_fill(bench_fills):
    inverse = Instrument(
        instrument_id="X", venue="V", symbol="X", kind=InstrumentKind.INVERSE, base="B", quote="Q", settle="B",
        tick_size=D("0.1"), lot_size=D(1), min_qty=D(1), max_qty=D(1000), min_notional=D(0), multiplier=D(100),
    )  # fmt: skip
    position, realised, exact = FLAT, D(0), Fraction(0)
    for qty, px in bench_fills:
        position, pnl = apply_fill(position, inverse, D(qty), px)
        realised += pnl
        exact += Fraction(qty * 100) / Fraction(px)
    quantum = Fraction(1, 10**8)
    assert abs(Fraction(realised + position.cost) - exact) <= quantum * len(bench_fills)
    assert position.qty == sum(qty for qty, _ in bench_fills)


# --- Funding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["passes", "rolls"])
def test_funding_settles_once_at_the_rate_and_mark_known_before(bench, how):
    bench.book(bench.linear, BIDS, ASKS)
    bench.go(bench.order("o1", bench.linear, Side.BUY, "2", None))
    settlement_ns = bench.now_ns + 60_000_000_000
    bench.mark(bench.linear, "101", "0.0001", settlement_ns)
    assert bench.venue.next_due_ns() == settlement_ns
    before = bench.state().balances["USDT"]
    if how == "passes":
        bench.now_ns = settlement_ns
        assert bench.go()[0].funding_id == f"SIM:LINEAR-{settlement_ns}"
        bench.mark(bench.linear, "150", "0.5", settlement_ns)
    bench.mark(bench.linear, "150", "0.5", settlement_ns + 1)
    bench.mark(bench.linear, "150", "0.5", settlement_ns + 1)
    if how == "rolls":
        assert bench.go()[0].funding_id == f"SIM:LINEAR-{settlement_ns}"
    (payment,) = bench.state(since_exec_seq=1).fundings
    assert (payment.amount, payment.asset, payment.position_qty) == (D("-0.0202"), "USDT", 2)
    assert (payment.exec_seq, payment.rate, payment.mark_price) == (2, D("0.0001"), 101)
    assert bench.state().balances["USDT"] == before - D("0.0202")


def test_a_short_receives_and_an_inverse_position_is_paid_in_coin(bench):
    assert funding_amount(bench.linear, D(-2), D(101), D("0.0001")) == D("0.0202")
    assert funding_amount(bench.inverse, D(5), D(50_000), D("0.0001")) == D("-0.000001")


def test_a_settlement_that_was_not_announced_in_time_or_meets_no_position_pays_nothing(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.mark(bench.linear, "100", "0.0001", bench.now_ns + 1)
    bench.go(bench.order("o1", bench.linear, Side.BUY, "2", None))
    bench.mark(bench.linear, "100", "0.0001", bench.now_ns - 5)
    bench.mark(bench.linear, "100", "0.0001", bench.now_ns)
    bench.mark(bench.linear, "100", None, bench.now_ns + 10)
    bench.now_ns += 1_000
    assert not any(isinstance(e, FundingPayment) for e in bench.go())
    assert bench.venue.next_due_ns() is None


# --- Reduce-only -----------------------------------------------------------------------------------


@pytest.mark.req("P-ORD-9")
def test_reduce_only_is_rejected_when_there_is_nothing_to_reduce(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.book(bench.spot, BIDS, ASKS)
    refused = [bench.order("o1", bench.linear, Side.SELL, "1", None, reduce_only=True)]
    refused += [bench.order("o2", bench.spot, Side.BUY, "1", None, reduce_only=True)]
    assert [r.text[:5] for r in bench.go(*refused)] == ["-2022", "-2022"]
    bench.go(bench.order("o3", bench.linear, Side.BUY, "1", None))
    (same_side,) = bench.go(bench.order("o4", bench.linear, Side.BUY, "1", None, reduce_only=True))
    assert same_side.text.startswith("-2022")


@pytest.mark.req("P-ORD-9")
@pytest.mark.parametrize("tif", [TimeInForce.GTC, TimeInForce.IOC])
@pytest.mark.parametrize("side", list(Side))
def test_a_reduce_only_taker_stops_at_flat(bench, side, tif):
    bench.book(bench.linear, BIDS, ASKS)
    bench.go(bench.order("o1", bench.linear, side, "1", None))
    price = "99.99" if side is Side.BUY else "100.01"
    events = bench.go(bench.order("o2", bench.linear, side.opposite, "3", price, tif, reduce_only=True))
    assert [e.exec_type for e in events] == [ExecType.NEW, ExecType.TRADE, ExecType.EXPIRED]
    assert (events[-1].cum_qty, events[-1].ord_status) == (1, OrdStatus.EXPIRED)
    assert bench.state().positions["SIM:LINEAR"] == 0


@pytest.mark.req("P-ORD-9")
def test_resting_reduce_only_orders_expire_when_something_else_closed_the_position(bench):
    bench.book(bench.linear, BIDS, ASKS)
    bench.go(bench.order("o1", bench.linear, Side.BUY, "1", None))
    bench.rest("tp1", bench.linear, Side.SELL, "1", "101", reduce_only=True)
    bench.rest("tp2", bench.linear, Side.SELL, "1", "102", reduce_only=True)
    events = bench.go(bench.order("o2", bench.linear, Side.SELL, "2", None))
    assert [(e.cl_ord_id, e.exec_type) for e in events[2:]] == [("tp1", ExecType.EXPIRED), ("tp2", ExecType.EXPIRED)]
    assert bench.state().positions["SIM:LINEAR"] == -1
    assert bench.state().open_orders == ()


def test_a_close_needs_no_free_margin(make_bench):
    bench = make_bench(initial_balances={"USDT": D(21)}, leverage=D(10))
    bench.book(bench.linear, BIDS, ASKS)
    bench.go(bench.order("o1", bench.linear, Side.BUY, "2", None))
    assert bench.go(bench.order("o2", bench.linear, Side.BUY, "1", None))[0].text.startswith("-2019")
    bench.mark(bench.linear, "90", None, None)
    assert bench.go(bench.order("o3", bench.linear, Side.SELL, "2", None))[-1].ord_status is OrdStatus.FILLED
