"""Positions, profit and the double-entry ledger, against hand-made sums, each other and the simulated venue."""

from __future__ import annotations

import pickle
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import Holding, apportion, inverse_pnl, linear_pnl
from trading.ledger.ledger import Account, Book, Ledger, UnbalancedEntry
from trading.ledger.portfolio import DAY_NS, Portfolio
from trading.orders.journal_rows import JournalKind, JournalRow, ReconcileBody, ReportBody, encode_body
from trading.orders.messages import (
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
from trading.sim.account import Account as VenueAccount
from trading.sim.fees import fee_of


def make(
    kind: InstrumentKind, instrument_id: str, settle: str, lot: str = "0.001", multiplier: str = "1"
) -> Instrument:
    return Instrument(
        instrument_id=instrument_id,
        venue=instrument_id.split(":", maxsplit=1)[0],
        symbol="X",
        kind=kind,
        base="BTC",
        quote="USD" if kind is InstrumentKind.INVERSE else "USDT",
        settle=settle,
        tick_size=Decimal("0.1"),
        lot_size=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(1000),
        min_notional=Decimal(1),
        multiplier=Decimal(multiplier),
    )


SPOT = make(InstrumentKind.SPOT, "BINANCE:SPOT:BTC-USDT", "USDT")
LINEAR = make(InstrumentKind.LINEAR, "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "USDT")
INVERSE = make(InstrumentKind.INVERSE, "BINANCECOINM:PERP:BTC-USD:INVERSE", "BTC", "1", "100")
ALL = {i.instrument_id: i for i in (SPOT, LINEAR, INVERSE)}
NUMBERS = count(1)


def filled(
    instrument: Instrument, side: Side, qty: str, px: str, fee: str = "0", fee_asset: str = "", *, legs=None, ts=0
):
    number = next(NUMBERS)
    return OrderFilled(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id="pd1-1",
        exec_id=f"x{number}",
        exec_seq=number,
        side=side,
        last_qty=Decimal(qty),
        last_px=Decimal(px),
        liquidity=Liquidity.MAKER,
        fee=Decimal(fee),
        fee_asset=fee_asset or instrument.settle,
        legs=tuple(Leg(strategy_id=s, intent_id="i", qty=Decimal(q)) for s, q in (legs or (("a", qty),))),
        ts_event_ns=ts,
        ts_init_ns=ts,
    )


@pytest.fixture
def portfolio():
    books = Portfolio(ALL)
    yield books
    view = books.pnl_view()
    assert view["ledger_residual"] == 0
    assert view["total"] == view["realized"] + view["unrealized"]
    assert books.ledger.residual() == {}


def test_a_linear_round_trip_pays_the_difference_less_fees(portfolio) -> None:
    portfolio.opening(LINEAR.venue, {"USDT": Decimal(1000)})
    portfolio.apply_fill(filled(LINEAR, Side.BUY, "0.010", "50000", "0.1"))
    portfolio.mark(LINEAR.instrument_id, Decimal(51000))
    assert portfolio.pnl_view()["unrealized"] == Decimal(10)
    portfolio.apply_fill(filled(LINEAR, Side.SELL, "0.010", "51000", "0.1"))
    assert portfolio.positions() == {}
    assert portfolio.pnl_view()["total"] == Decimal("9.8")
    assert portfolio.balances_by_venue() == {LINEAR.venue: {"USDT": Decimal("1009.8")}}


def test_an_inverse_profit_is_paid_in_coin(portfolio) -> None:
    portfolio.apply_fill(filled(INVERSE, Side.BUY, "10", "50000"))
    portfolio.apply_fill(filled(INVERSE, Side.SELL, "10", "40000"))
    paid = portfolio.balances_by_venue()[INVERSE.venue]["BTC"]
    assert paid == inverse_pnl(Decimal(10), Decimal(50000), Decimal(40000), Decimal(100)) == Decimal("-0.005")
    portfolio.mark(INVERSE.instrument_id, Decimal(40000))
    assert portfolio.pnl_view()["total"] == Decimal(-200)


def test_a_short_earns_when_the_price_falls() -> None:
    assert linear_pnl(Decimal(-2), Decimal(100), Decimal(90), Decimal(1)) == Decimal(20)
    assert inverse_pnl(Decimal(-1), Decimal(100), Decimal(50), Decimal(100)) == Decimal(1)


def test_spot_moves_two_assets_and_a_fee_in_base_is_not_there_to_be_sold(portfolio) -> None:
    portfolio.opening(SPOT.venue, {"USDT": Decimal(10000)})
    portfolio.apply_fill(filled(SPOT, Side.BUY, "0.100", "50000", "0.0001", "BTC"))
    assert portfolio.balances_by_venue()[SPOT.venue] == {"USDT": Decimal(5000), "BTC": Decimal("0.0999")}
    assert portfolio.positions()[SPOT.instrument_id].qty == Decimal("0.0999")
    assert portfolio.pnl_view()["fees"] == Decimal(5)
    assert portfolio.pnl_view()["total"] == Decimal(-5)
    portfolio.apply_fill(filled(SPOT, Side.SELL, "0.0999", "60000"))
    assert portfolio.positions() == {}
    assert portfolio.pnl_view()["total"] == Decimal(994)


def test_a_fee_in_base_that_finds_no_inventory_is_owed(portfolio) -> None:
    portfolio.apply_fill(filled(SPOT, Side.SELL, "0.100", "50000"))
    portfolio.apply_fill(filled(SPOT, Side.BUY, "0.100", "50000", "0.0001", "BTC"))
    assert portfolio.positions()[SPOT.instrument_id].qty == Decimal("-0.0001")


def test_an_internal_cross_moves_strategies_and_not_the_desk(portfolio) -> None:
    portfolio.apply_fill(filled(LINEAR, Side.BUY, "0.010", "50000"))
    portfolio.mark(LINEAR.instrument_id, Decimal(52000))
    before = portfolio.pnl_view()["total"]
    portfolio.apply_cross(
        InternalCross(
            cross_id="c1",
            instrument_id=LINEAR.instrument_id,
            buyer_id="b",
            seller_id="a",
            qty=Decimal("0.010"),
            price=Decimal(51000),
            cause="",
            ts_init_ns=0,
        )
    )
    view = portfolio.pnl_view()
    assert view["total"] == before == Decimal(20)
    assert view["by_strategy"]["a"]["realized"] == Decimal(10)
    assert view["by_strategy"]["b"]["unrealized"] == Decimal(10)
    assert list(portfolio.positions_by_strategy()) == ["b"]


def test_funding_is_shared_by_what_is_held(portfolio) -> None:
    legs = (("a", "0.003"), ("b", "0.001"))
    portfolio.apply_fill(filled(LINEAR, Side.BUY, "0.004", "50000", legs=legs))
    portfolio.apply_funding(
        FundingPayment(
            venue=LINEAR.venue,
            instrument_id=LINEAR.instrument_id,
            funding_id="f1",
            exec_seq=1,
            rate=Decimal("0.0001"),
            position_qty=Decimal("0.004"),
            mark_price=Decimal(50000),
            amount=Decimal("-0.02"),
            asset="USDT",
            ts_event_ns=0,
            ts_init_ns=0,
        )
    )
    view = portfolio.pnl_view()
    assert view["funding"] == view["total"] == Decimal("-0.02")
    assert view["by_strategy"]["a"]["total"] == Decimal("-0.015")


def test_the_day_begins_at_midnight_utc(portfolio) -> None:
    portfolio.roll(5 * DAY_NS)
    portfolio.apply_fill(filled(LINEAR, Side.BUY, "0.010", "50000", ts=5 * DAY_NS))
    portfolio.mark(LINEAR.instrument_id, Decimal(50100))
    assert portfolio.pnl_view()["day"] == Decimal(1)
    portfolio.roll(6 * DAY_NS)
    assert portfolio.pnl_view()["day"] == 0
    portfolio.mark(LINEAR.instrument_id, Decimal(50300))
    assert portfolio.pnl_view()["day"] == Decimal(2)


@pytest.mark.parametrize("price", ["0", "-1", "NaN"])
def test_a_price_that_is_none_is_refused(portfolio, price) -> None:
    with pytest.raises(ValueError, match="mark of"):
        portfolio.mark(LINEAR.instrument_id, Decimal(price))


def test_an_asset_without_a_price_is_named(portfolio) -> None:
    portfolio.apply_fill(filled(LINEAR, Side.BUY, "0.010", "50000", "0.001", "BNB"))
    assert portfolio.pnl_view()["unvalued"] == ["BNB"]


def test_an_entry_that_does_not_balance_is_a_bug_and_books_nothing() -> None:
    ledger = Ledger()
    cash = Account(owner="X", asset="USDT", book=Book.CASH)
    with pytest.raises(UnbalancedEntry) as caught:
        ledger.post("x1", "", {cash: Decimal(1)}, 0)
    assert ledger.balance("X", "USDT", Book.CASH) == 0
    assert pickle.loads(pickle.dumps(caught.value)).residual == 1


def test_the_ledger_explains_an_instrument_and_an_execution(portfolio) -> None:
    fill = filled(LINEAR, Side.BUY, "0.010", "50000", "0.1")
    portfolio.apply_fill(fill)
    portfolio.apply_fill(filled(INVERSE, Side.BUY, "1", "50000"))
    assert [e.ref for e in portfolio.ledger.explain(LINEAR.instrument_id)] == [f"{LINEAR.venue}:{fill.exec_id}"]
    assert portfolio.ledger.explain(f"{LINEAR.venue}:{fill.exec_id}")[0].memo == "buy 0.010 at 50000 for pd1-1"


@given(st.decimals("-10", "10", places=8), st.lists(st.integers(1, 1000), min_size=1, max_size=6))
def test_apportioning_is_exact(amount: Decimal, weights: list[int]) -> None:
    assert sum(apportion(amount, [Decimal(w) for w in weights])) == amount


@pytest.mark.req("P-PNL-9")
@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((SPOT, LINEAR, INVERSE)),
            st.sampled_from(Side),
            st.integers(1, 40),
            st.integers(300_000, 700_000),
            st.integers(0, 40),
            st.booleans(),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_books_ledger_and_venue_agree_to_the_last_unit(trades) -> None:
    portfolio = Portfolio(ALL)
    wallets = {i.venue: VenueAccount({"USDT": Decimal(1000), "BTC": Decimal(1)}) for i in ALL.values()}
    for venue, wallet in wallets.items():
        portfolio.opening(venue, wallet.balances)
    for instrument, side, lots, ticks, share, maker in trades:
        qty, px = instrument.qty(lots), instrument.price(ticks)
        liquidity = Liquidity.MAKER if maker else Liquidity.TAKER
        fee, fee_asset = fee_of(instrument, side, qty, px, liquidity)
        first = instrument.qty(min(share, lots))
        legs = tuple((s, str(q)) for s, q in (("a", first), ("b", qty - first)) if q)
        wallets[instrument.venue].fill(instrument, side, qty, px, fee=fee, fee_asset=fee_asset)
        portfolio.apply_fill(filled(instrument, side, str(qty), str(px), str(fee), fee_asset, legs=legs))
    for venue, wallet in wallets.items():
        assert portfolio.balances_by_venue()[venue] == wallet.balances
        for instrument_id, position in wallet.positions.items():
            held = portfolio.positions().get(instrument_id)
            assert (held.qty if held else 0) == position.qty
    view = portfolio.pnl_view()
    assert view["ledger_residual"] == 0
    assert view["total"] == view["realized"] + view["unrealized"]
    by_strategy = sum(line["total"] for line in view["by_strategy"].values())
    assert abs(by_strategy - view["total"]) < Decimal("0.01")
    for instrument_id in ALL:
        parts = [p[instrument_id].qty for p in portfolio.positions_by_strategy().values() if instrument_id in p]
        held = portfolio.positions().get(instrument_id)
        assert sum(parts) == (held.qty if held else 0)


@given(
    st.lists(st.tuples(st.integers(-30, 30).filter(bool), st.integers(300_000, 700_000)), min_size=1, max_size=40),
    st.sampled_from((LINEAR, INVERSE)),
)
def test_a_flat_holding_has_no_cost_left(trades, instrument) -> None:
    holding = Holding()
    for lots, ticks in trades:
        holding.trade(instrument.qty(lots), instrument.price(ticks), instrument)
        assert (holding.qty == 0) == (holding.cost == 0)
    if holding.qty:
        holding.trade(-holding.qty, Decimal(50000), instrument)
    assert holding.cost == 0


def test_the_books_are_rebuilt_from_the_journal() -> None:
    fill = filled(LINEAR, Side.BUY, "0.010", "50000", "0.1", legs=(("a", "0.004"), ("b", "0.006")))
    report = ExecutionReport(
        venue=fill.venue,
        instrument_id=fill.instrument_id,
        cl_ord_id=fill.cl_ord_id,
        orig_cl_ord_id=None,
        order_id="V1",
        exec_id=fill.exec_id,
        exec_seq=fill.exec_seq,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED,
        side=fill.side,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
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
        ts_event_ns=0,
        ts_init_ns=0,
    )
    baseline = ReconcileBody(
        ok=True, text="baseline", exec_seq=0, baseline=True, positions={}, balances={"USDT": "1000"}
    )
    bodies = [(JournalKind.RECONCILE, baseline), (JournalKind.FILL, ReportBody(report=report, legs=fill.legs))]
    rows = [
        JournalRow(
            seq=seq,
            ts_ns=0,
            kind=kind,
            venue=LINEAR.venue,
            cl_ord_id="",
            exec_id=None,
            parent_id="",
            epoch=1,
            body=encode_body(body),
        )
        for seq, (kind, body) in enumerate(bodies, 1)
    ]
    live, rebuilt = Portfolio(ALL), Portfolio(ALL)
    live.opening(LINEAR.venue, {"USDT": Decimal(1000)})
    live.apply_fill(fill)
    assert rebuilt.rebuild(rows) == 2
    assert rebuilt.pnl_view() == live.pnl_view()
    assert rebuilt.balances_by_venue() == live.balances_by_venue()
    assert rebuilt.positions_by_strategy() == live.positions_by_strategy()
