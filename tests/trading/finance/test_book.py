"""The folded journal against hand-made sums, the ledger itself, and a second bookkeeping that knows no average cost."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.finance.book import FinanceBook, UnknownInstrument
from trading.finance.external import External
from trading.finance.periods import Period, day_number
from trading.finance.prices import Mark
from trading.finance.report import Asked, summary
from trading.finance.statement import LineKind
from trading.ledger.ledger import Book
from trading.ledger.portfolio import Portfolio
from trading.orders.messages import Side
from trading.recon.books import Books

from .conftest import ALL, DAY, INVERSE, LINEAR, SECOND, SPOT, T0, Journal

D = Decimal


def ledger_flows(book):
    """Profit, fees and funding by (instrument, asset), as the ledger has them."""
    return {
        (name, *key): sign * amount
        for name, kind, sign in (("realized", Book.REALIZED, -1), ("paid", Book.FEES, 1), ("funding", Book.FUNDING, -1))
        for key, amount in book.ledger.balances(kind).items()
        if amount
    }


def added_flows(book):
    """The same, added up from the days."""
    found = defaultdict(D)
    for (_, instrument_id), bucket in book.by_instrument.items():
        for asset, flow in bucket.assets.items():
            found["realized", instrument_id, asset] += flow.realized
            found["paid", instrument_id, asset] += flow.fees - flow.rebates
            found["funding", instrument_id, asset] += flow.funding
    return {key: amount for key, amount in found.items() if amount}


def added_lines(lines):
    """Cash by (venue, asset), added up from the lines."""
    cash = defaultdict(D)
    for line in lines:
        if line.booked:
            cash[line.venue, line.asset] += line.amount
            assert line.balance == cash[line.venue, line.asset]
    return {key: amount for key, amount in cash.items() if amount}


def reconciles(book, rows):
    """Finance, the ledger made anew of the same rows, and the flows of facts: all the same, to the last digit."""
    ledger = Portfolio(ALL)
    ledger.rebuild(rows)
    assert book.ledger.balances(Book.CASH) == ledger.ledger.balances(Book.CASH)
    cash = {key: amount for key, amount in ledger.ledger.balances(Book.CASH).items() if amount}
    assert added_lines(book.lines) == cash
    assert added_flows(book) == ledger_flows(ledger)
    second = Books(ALL)
    second.rebuild(rows)
    by_asset = defaultdict(D)
    for line in book.lines:
        by_asset[line.venue, line.asset, line.kind] += line.amount
    for (venue, asset), flow in second.flows.assets.items():
        came = (LineKind.OPENING, LineKind.DEPOSIT, LineKind.WITHDRAWAL)
        assert sum(by_asset[venue, asset, kind] for kind in came) == flow.opening
        assert -by_asset[venue, asset, LineKind.FEE] == flow.fees
        assert by_asset[venue, asset, LineKind.REBATE] == flow.rebates
        assert by_asset[venue, asset, LineKind.FUNDING] == flow.funding
    told = summary(book, Asked(by=Period.WEEK))
    assert told.totals.ledger_residual == 0
    assert told.totals.ledger_realized_usd == told.flows.net_usd + told.totals.revaluation_usd
    for rows_of in (told.periods, told.by_venue, told.by_instrument):
        for name in ("realized_usd", "fees_usd", "rebates_usd", "funding_usd", "net_usd", "turnover_usd", "fills"):
            assert sum(getattr(row.flows, name) for row in rows_of) == getattr(told.flows, name)
        for asset, flow in told.flows.assets.items():
            for name, amount in flow.items():
                assert sum(row.flows.assets.get(asset, {}).get(name, D(0)) for row in rows_of) == amount


@pytest.mark.req("P-PNL-6")
def test_a_month_of_three_venues_by_hand(journal) -> None:
    journal.opening("l", USDT="10000")
    journal.opening("i", BTC="1")
    journal.opening("s", USDT="5000", BTC="0.5")
    journal.buy(LINEAR, "1", "50000", "10")
    journal.buy(INVERSE, "100", "50000", "0.0001")
    journal.buy(SPOT, "0.01", "50000", "0.00001", "BTC")
    journal.funding(LINEAR, "-5", "50100", ts=T0 + 8 * 3600 * SECOND)
    journal.sell(LINEAR, "0.5", "51000", "-2", ts=T0 + 3 * DAY)
    journal.sell(INVERSE, "100", "40000", "0.0002", ts=T0 + 30 * DAY)
    book = journal.read()
    told = summary(book, Asked(by=Period.WEEK))
    # 2024-10-04 is a Friday: the sale three days later is of the next week.
    assert [row.label for row in told.periods] == ["2024-W40", "2024-W41", "2024-W44"]
    first, second, third = (row.flows for row in told.periods)
    assert (first.realized_usd, first.funding_usd, first.fills) == (0, -5, 3)
    assert first.fees_usd == 10 + D("0.0001") * 50000 + D("0.00001") * 50000
    assert (second.realized_usd, second.rebates_usd, second.net_usd) == (500, 2, 502)
    # 100 x 100/50000 - 100 x 100/40000 = -0.05 BTC, at 40000
    assert (third.realized_usd, third.assets["BTC"]["realized"]) == (-2000, D("-0.05"))
    linear, spot = (next(v for v in told.venues if v.venue == name) for name in "ls")
    assert {row.asset: row.amount for row in linear.balances} == {"USDT": D(10487)}
    assert (linear.unrealized_usd, linear.equity_usd) == (500, 10987)
    assert (linear.positions[0].notional_usd, linear.margin_usd) == (D(25500), D(5100))
    # Spot coins are cash, and cost no margin.
    assert {row.asset: row.amount for row in spot.balances} == {"USDT": D(4500), "BTC": D("0.50999")}
    assert (spot.unrealized_usd, spot.margin_usd) == (0, 0)
    assert told.totals.equity_usd == sum(v.equity_usd for v in told.venues)
    # The fee of the coin venue was paid at 50000 a coin; at the ledger's mark (the last linear price) it is another.
    months = summary(book, Asked(by=Period.MONTH)).periods
    assert [(row.label, row.flows.fills) for row in months] == [("2024-10", 4), ("2024-11", 1)]
    reconciles(book, journal.rows)


def test_marks_that_are_given_win_and_a_range_leaves_the_rest_out(journal) -> None:
    journal.opening("l", USDT="1000")
    journal.buy(LINEAR, "1", "100", "1")
    journal.sell(LINEAR, "0.5", "110", "1", ts=T0 + DAY)
    mark = Mark(price=D(200), source="book", ts_ns=1)
    asked = Asked(from_day=T0 // DAY + 1, to_day=T0 // DAY + 1)
    told = summary(journal.read(), asked, {LINEAR.instrument_id: mark, "nobody's": mark})
    assert (told.flows.realized_usd, told.flows.fees_usd, told.flows.fills) == (5, 1, 1)
    assert (told.totals.unrealized_usd, told.totals.equity_usd) == (50, 1053)
    assert told.marks == {LINEAR.instrument_id: mark}
    until = summary(journal.read(until_ns=T0 + DAY), Asked())
    assert (until.flows.fees_usd, until.totals.cash_usd) == (1, 999)
    assert summary(journal.read(), Asked(venue="s")).flows.fills == 0


def test_spot_coins_are_cash_and_their_open_profit_is_not_counted_twice(journal) -> None:
    journal.opening("s", USDT="1000")
    journal.buy(SPOT, "1", "100")
    told = summary(journal.read(), Asked(), {SPOT.instrument_id: Mark(price=D(150), source="given", ts_ns=0)})
    (venue,) = told.venues
    assert (venue.cash_usd, venue.unrealized_usd, venue.equity_usd, venue.margin_usd) == (1050, 0, 1050, 0)
    assert (venue.positions[0].unrealized_usd, told.totals.pnl_usd) == (50, 50)


def test_a_day_is_as_the_venue_has_it_and_begins_at_midnight(journal) -> None:
    journal.buy(LINEAR, "1", "100", ts=T0 - 1)
    journal.buy(LINEAR, "1", "100", ts=T0)
    told = summary(journal.read(), Asked())
    assert [(row.label, row.from_ns, row.to_ns) for row in told.periods] == [
        ("2024-10-03", T0 - DAY, T0),
        ("2024-10-04", T0, T0 + DAY),
    ]
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        day_number("4.10.2024")


def test_an_asset_without_a_price_is_named_and_valued_at_nothing(journal) -> None:
    journal.opening("l", USDT="10", BNB="3")
    journal.buy(LINEAR, "1", "100", "0.01", "BNB")
    told = summary(journal.read(), Asked())
    assert (told.unvalued, told.flows.unvalued, told.flows.assets["BNB"]["fees"]) == (("BNB",), 1, D("0.01"))
    assert (told.totals.cash_usd, told.flows.fees_usd) == (10, 0)


def test_strategies_have_their_shares_and_an_internal_cross_moves_no_cash(journal) -> None:
    journal.buy(LINEAR, "2", "100", "0.2", legs=(("a", "1"), ("b", "1")))
    journal.cross(LINEAR, "b", "a", "1", "105")
    journal.funding(LINEAR, "-1", "110")
    journal.sell(LINEAR, "2", "110", "0.3", legs=(("b", "2"),))
    book = journal.read()
    told = {row.name: row.flows for row in summary(book, Asked()).by_strategy}
    assert (told["a"].realized_usd, told["a"].fees_usd, told["a"].funding_usd) == (5, D("0.1"), 0)
    assert (told["b"].realized_usd, told["b"].fees_usd, told["b"].funding_usd) == (15, D("0.4"), -1)
    (crossed,) = (line for line in book.lines if line.kind is LineKind.CROSS)
    assert (crossed.amount, crossed.text) == (0, "b bought of a")


@pytest.mark.req("P-PNL-6")
def test_a_deposit_is_told_beside_the_ledger_until_it_is_gone(journal) -> None:
    journal.opening("l", USDT="1000")
    journal.difference("l", "USDT", "1000", "1500")
    journal.difference("l", "USDT", "1000", "1500", state="braked", ts=T0 + 1)
    journal.difference("l", "BTC", "0", "0.00000001", state="healed", of_class="dust", ts=T0 + 1)
    book = journal.read()
    (seen,) = summary(book, Asked()).external
    assert seen == External(
        venue="l",
        asset="USDT",
        amount=D(500),
        diff_class="unexplained",
        state="braked",
        since_ns=T0,
        until_ns=T0 + 1,
        text="USDT on l",
    )
    assert [(x.kind, x.amount, x.balance, x.booked) for x in book.lines][1:] == [(LineKind.EXTERNAL, 500, 1000, False)]
    assert summary(book, Asked()).totals.cash_usd == 1000
    journal.difference("l", "USDT", "1000", "1000", state="healed", ts=T0 + 2)
    book = journal.read()
    assert [one.state for one in summary(book, Asked()).external] == ["healed"]
    assert sum(x.amount for x in book.lines if not x.booked) == 0
    assert not book.externals.open


@pytest.mark.req("P-PNL-6")
def test_a_deposit_that_an_operator_adopts_is_booked_and_no_profit(journal) -> None:
    journal.opening("l", USDT="1000")
    journal.buy(LINEAR, "1", "100", "1")
    journal.difference("l", "USDT", "999", "1499", state="braked")
    journal.adopted("l", "USDT", "500", ts=T0 + 1)
    journal.difference("l", "USDT", "1499", "1499", state="healed", ts=T0 + 2)
    journal.adopted("l", "USDT", "-99", ts=T0 + DAY)
    book = journal.read()
    told = summary(book, Asked())
    assert [(x.kind, x.amount, x.balance) for x in book.lines][-4:] == [
        (LineKind.EXTERNAL, 500, 999),
        (LineKind.EXTERNAL, -500, 999),
        (LineKind.DEPOSIT, 500, 1499),
        (LineKind.WITHDRAWAL, -99, 1400),
    ]
    assert ([one.state for one in told.external], told.flows.net_usd, told.totals.pnl_usd) == (["booked"], -1, -1)
    assert [(row.asset, row.amount, row.usd) for row in told.paid_in] == [("USDT", 401, 401)]
    assert summary(book, Asked(to_day=T0 // DAY)).paid_in[0].amount == 500
    reconciles(book, journal.rows)


def test_an_instrument_that_nobody_described_is_named(journal) -> None:
    journal.buy(LINEAR, "1", "100")
    with pytest.raises(UnknownInstrument, match=f"row 1 is of {LINEAR.instrument_id}"):
        FinanceBook({}).rebuild(journal.rows)


def test_the_newest_lines_are_kept_and_the_rest_is_counted(journal) -> None:
    for second in range(5):
        journal.buy(LINEAR, "1", "100", ts=T0 + second)
    book = journal.read(lines_max=2)
    assert ([line.seq for line in book.lines], book.dropped, book.dropped_ns) == ([4, 5], 3, T0 + 2)


AMOUNTS = st.integers(1, 5_000).map(lambda n: D(n) / 1_000)
PRICES = st.integers(10_000, 9_000_000).map(lambda n: D(n) / 100)
FEES = st.integers(-30, 100).map(lambda n: D(n) / 10_000)
FACTS = st.lists(
    st.tuples(
        st.sampled_from(("fill", "fill", "fill", "cross", "funding")),
        st.sampled_from(("S", "L", "I")),
        st.sampled_from(list(Side)),
        AMOUNTS,
        PRICES,
        FEES,
        st.sampled_from(("", "BTC", "USDT")),
        st.integers(0, 40 * 24),
    ),
    max_size=30,
)


@pytest.mark.req("P-PNL-6")
@settings(max_examples=60)
@given(facts=FACTS)
def test_whatever_is_traded_finance_equals_the_ledger_to_the_last_digit(facts) -> None:
    journal = Journal()
    for name in ("s", "l", "i"):
        journal.opening(name, USDT="100000", BTC="3")
    of_name = {"S": SPOT, "L": LINEAR, "I": INVERSE}
    for what, name, side, qty, px, fee, fee_asset, hours in sorted(facts, key=lambda fact: fact[-1]):
        of, ts = of_name[name], T0 + hours * 3600 * SECOND
        if what == "cross":
            journal.cross(of, "a", "b", qty, px, ts=ts)
        elif what == "funding" and of is not SPOT:
            journal.funding(of, fee, px, ts=ts)
        else:
            half = qty / 2
            legs = (("a", half), ("b", qty - half))
            journal.fill(of, side, qty, px, fee, fee_asset, legs=legs, ts=ts)
    reconciles(journal.read(), journal.rows)
