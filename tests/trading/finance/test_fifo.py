"""First in, first out, by hand: longs, shorts, flips, fees, contracts that are paid in coin; and against the ledger."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.finance import fifo
from trading.finance.fifo import Fifo
from trading.ledger.accounts import Holding

from .conftest import DAY, INVERSE, LINEAR, SPOT, T0

D = Decimal


@pytest.mark.req("C-RISK-8")
def test_long_only_the_oldest_lots_are_sold_first(journal) -> None:
    journal.buy(SPOT, "1", "100")
    journal.buy(SPOT, "1", "110", ts=T0 + 1)
    journal.buy(SPOT, "2", "130", ts=T0 + 2)
    journal.sell(SPOT, "1.5", "120", ts=T0 + DAY)
    journal.sell(SPOT, "2", "125", ts=T0 + 2 * DAY)
    trades = journal.read(long_only=True).trades
    # 1 x (120-100) + 0.5 x (120-110) = 25; 0.5 x (125-110) + 1.5 x (125-130) = 0
    assert trades.last_closed_pnls(5) == [D(25), D(0)]
    assert trades.last_closed_pnls(1) == [D(0)]
    assert trades.get_realized_pnl(1, T0 + 2 * DAY) == 0
    assert trades.get_realized_pnl(2, T0 + 2 * DAY) == 25
    assert trades.get_realized_pnl(3, T0 + 5 * DAY) == 0
    first, second = trades.closed()
    assert (first.qty, first.lots, first.opened_ns) == (D("1.5"), 2, T0)
    assert (second.qty, second.lots, second.opened_ns) == (D(2), 2, T0 + 1)
    assert [(lot.qty, lot.px) for lot in trades.lots(SPOT.instrument_id).lots] == [(D("0.5"), D(130))]


@pytest.mark.req("C-RISK-8")
def test_long_only_what_was_never_bought_closes_nothing(journal) -> None:
    journal.buy(SPOT, "1", "100")
    journal.sell(SPOT, "3", "120")
    journal.buy(SPOT, "1", "90")
    lots = (trades := journal.read(long_only=True).trades).lots(SPOT.instrument_id)
    assert trades.last_closed_pnls(5) == [D(20)]
    assert (lots.qty, lots.unmatched) == (D(1), D(2))


@pytest.mark.req("C-RISK-8")
def test_shorts_are_covered_oldest_first_and_a_flip_closes_before_it_opens(journal) -> None:
    journal.sell(LINEAR, "2", "100")
    journal.sell(LINEAR, "1", "90")
    journal.buy(LINEAR, "1", "80")
    journal.buy(LINEAR, "4", "95")
    journal.sell(LINEAR, "1", "97")
    trades = journal.read().trades
    # 1 x (100-80) = 20; 1 x (100-95) + 1 x (90-95) = 0, and 2 are long at 95; 1 x (97-95) = 2
    assert trades.last_closed_pnls(9) == [D(20), D(0), D(2)]
    assert [one.qty for one in trades.closed()] == [D(-1), D(-2), D(1)]
    assert trades.lots(LINEAR.instrument_id).qty == 1


@pytest.mark.req("C-RISK-8")
def test_fees_of_both_ends_are_taken_from_the_profit(journal) -> None:
    journal.buy(LINEAR, "2", "100", "0.4")
    journal.sell(LINEAR, "1", "110", "0.1")
    journal.sell(LINEAR, "3", "105", "0.9")
    trades = journal.read().trades
    # 10 - 0.1 - half of 0.4; 5 - a third of 0.9 - the other half; the rest of it is the fee of a short of 2
    assert trades.last_closed_pnls(2) == [D("9.7"), D("4.5")]
    assert [lot.fees for lot in trades.lots(LINEAR.instrument_id).lots] == [{"USDT": D("0.6")}]


def test_a_fee_in_the_coin_makes_the_lot_smaller_and_costs_what_it_cost(journal) -> None:
    journal.buy(SPOT, "1", "100", "0.01", "BTC")
    journal.sell(SPOT, "0.99", "110", "1.089", "USDT")
    (closed,) = (trades := journal.read().trades).closed()
    # 0.99 coins cost 99 and brought 108.9; the coin's fee cost 1, selling 1.089
    assert (closed.pnl, closed.fees) == (D("9.9"), {"USDT": D("2.089")})
    assert closed.net_usd == D("7.811")
    assert trades.lots(SPOT.instrument_id).qty == 0


@pytest.mark.req("C-RISK-8")
def test_an_inverse_contract_pays_in_its_coin_and_is_valued_at_the_moment(journal) -> None:
    journal.buy(INVERSE, "10", "40000")
    journal.buy(INVERSE, "10", "50000")
    journal.sell(INVERSE, "15", "50000")
    (closed,) = journal.read().trades.closed()
    # 10 x 100/40000 + 5 x 100/50000 - 15 x 100/50000 = 0.025 + 0.01 - 0.03 BTC
    assert (closed.pnl, closed.asset, closed.net_usd) == (D("0.005"), "BTC", D(250))


@pytest.mark.req("C-RISK-8")
def test_each_strategy_has_lots_of_its_own(journal) -> None:
    journal.buy(LINEAR, "2", "100", legs=(("a", "1"), ("b", "1")))
    journal.cross(LINEAR, "b", "a", "1", "105")
    journal.sell(LINEAR, "2", "110", legs=(("b", "2"),))
    trades = journal.read().trades
    assert trades.last_closed_pnls(9) == [D(20)]
    assert trades.last_closed_pnls(9, "a") == [D(5)]
    assert trades.last_closed_pnls(9, "b") == [D(15)]
    assert trades.get_realized_pnl(1, T0, "a") == 5


def test_too_many_lots_become_fewer_and_none_of_their_cost_is_lost(monkeypatch) -> None:
    monkeypatch.setattr(fifo, "LOTS_MAX", 3)
    lots = Fifo(LINEAR)
    for price in (1, 2, 3, 4, 5):
        lots.trade(D(1), D(price), T0 + price, fee=D(1), fee_asset="USDT")
    assert [(lot.qty, lot.cost) for lot in lots.lots] == [(3, 6), (1, 4), (1, 5)]
    assert (lots.merged, lots.lots[0].opened_ns, lots.lots[0].fees) == (2, T0 + 1, {"USDT": D(3)})


SIZES = st.integers(1, 400).map(lambda n: D(n) / 100)
PRICES = st.integers(1_000, 9_000_000).map(lambda n: D(n) / 100)
STEPS = st.lists(st.tuples(st.booleans(), SIZES, PRICES, st.booleans()), max_size=40)


@given(of=st.sampled_from((SPOT, LINEAR, INVERSE)), steps=STEPS)
def test_profit_less_cost_is_the_ledgers_after_every_execution(of, steps) -> None:
    """Both methods disagree about which coins are left, and about nothing else: flat, they agree to the last digit."""
    lots, holding = Fifo(of), Holding()
    made = by_lots = D(0)
    for buy, size, px, fee_in_coin in steps:
        qty = size if buy else -size
        made += holding.trade(qty, px, of)
        closed = lots.trade(qty, px, T0)
        by_lots += closed.pnl if closed is not None else 0
        if fee_in_coin and of is SPOT:
            made -= holding.consume(size / 1000, px, of)
            by_lots -= lots.consume(size / 1000, px, T0, bought=buy)
        assert lots.qty == holding.qty == sum(lot.qty for lot in lots.lots)
        sign = 1 if of is INVERSE else -1
        assert by_lots + sign * lots.cost == made + sign * holding.cost
    if holding.qty:
        made += holding.trade(-holding.qty, D(100), of)
        by_lots += lots.trade(-lots.qty, D(100), T0).pnl
    assert by_lots == made
    assert not lots.lots
