"""Executions heard in any order make the same books as in the venue's, and both are the venue's to the last unit."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.ledger.late import LATE_MAX, Course
from trading.ledger.ledger import Book
from trading.orders.messages import InternalCross, Liquidity, Side
from trading.recon.books import Books
from trading.sim.account import Account as VenueAccount
from trading.sim.fees import fee_of

from .conftest import ALL, INVERSE, LINEAR, MS, SPOT, T0, fill

OPENING = {"USDT": Decimal(1_000), "BTC": Decimal(1)}
TRADES = st.lists(
    st.tuples(
        st.sampled_from((SPOT, LINEAR, INVERSE)),
        st.sampled_from(Side),
        st.integers(1, 40),
        st.integers(300_000, 700_000),
        st.integers(0, 40),
        st.booleans(),
    ),
    min_size=2,
    max_size=40,
)


def books_of(fills):
    books = Books(ALL)
    for one in ALL.values():
        books.opening(one.venue, OPENING, 0)
    for m in fills:
        books.fold(m)
        for one in ALL.values():
            books.portfolio.mark(one.instrument_id, Decimal(50_000))
    return books


def moved(amounts):
    return {asset: amount for asset, amount in amounts.items() if amount}


@pytest.mark.req("P-PNL-9", "P-ORD-4")
@settings(max_examples=150, deadline=None)
@given(TRADES, st.data())
def test_any_order_of_hearing_makes_the_venues_books(trades, data):
    wallets = {one.venue: VenueAccount(dict(OPENING)) for one in ALL.values()}
    fills = []
    for number, (one, side, lots, ticks, share, foreign) in enumerate(trades):
        qty, px = one.qty(lots), one.price(ticks)
        fee, asset = (Decimal("0.00012"), "BNB") if foreign else fee_of(one, side, qty, px, Liquidity.TAKER)
        first = one.qty(min(share, lots))
        legs = tuple((s, str(q)) for s, q in (("a", first), ("b", qty - first)) if q)
        wallets[one.venue].fill(one, side, qty, px, fee=fee, fee_asset=asset)
        # Three of one moment: then the venue's number of the trade says which was first.
        told = fill(one, side, str(qty), str(px), str(fee), asset, legs=legs, ts=T0 + number // 3 * MS)
        fills.append(msgspec.structs.replace(told, exec_seq=0, trade_seq=number + 1))
    heard = books_of(data.draw(st.permutations(fills)))
    assert heard.violations() == []
    assert heard.portfolio.ledger_residual() == 0
    for venue, wallet in wallets.items():
        assert moved(heard.portfolio.balances_by_venue()[venue]) == moved(wallet.balances)
    in_order = books_of(fills).portfolio
    for instrument_id, line in in_order.lines().items():
        late = heard.portfolio.lines()[instrument_id]
        assert late.holding == line.holding
        assert moved(late.realized) == moved(line.realized)
        assert moved(late.fees) == moved(line.fees)
    for key, line in in_order.lines_by_strategy().items():
        assert heard.portfolio.lines_by_strategy()[key].holding == line.holding


def test_two_profits_that_only_the_order_tells_apart():
    buys = [fill(qty="0.010", px=px, fee="0", ts=T0 + ts) for px, ts in (("50000", 1), ("51000", 3))]
    close = fill(side=Side.SELL, qty="0.010", px="52000", fee="0", ts=T0 + 2)
    late = books_of([buys[0], buys[1], close])
    assert late.portfolio.lines()[LINEAR.instrument_id].realized == {"USDT": Decimal(20)}
    assert late.portfolio.lines()[LINEAR.instrument_id].holding.cost == Decimal(510)
    entry = late.portfolio.ledger.explain(f"{LINEAR.venue}:{close.exec_id}")[0]
    assert entry.memo.endswith("heard late: 1 newer booked again")
    assert {p.account.book: p.amount for p in entry.postings}[Book.CASH] == 20


def test_a_cross_keeps_its_place_among_what_was_known_of():
    """It is ours and not the venue's: what is heard after it and older is booked before it."""
    cross = InternalCross(
        cross_id="c1",
        instrument_id=LINEAR.instrument_id,
        buyer_id="b",
        seller_id="a",
        qty=Decimal("0.010"),
        price=Decimal(50_500),
        cause="a test",
        ts_init_ns=0,
    )
    newer = fill(qty="0.010", px="50000", fee="0", ts=T0 + 2)
    older = fill(qty="0.010", px="49000", fee="0", ts=T0 + 1)
    books = books_of([newer, cross, older])
    mine = books.portfolio.lines_by_strategy()["a", LINEAR.instrument_id]
    assert mine.realized == {"USDT": Decimal(10)}  # of 49,500 on the average
    assert books.violations() == []


def test_what_can_be_restated_is_limited():
    course = Course()
    for number in range(LATE_MAX + 10):
        course.trade((number + 10, 0), Decimal(1), Decimal(100), LINEAR)
    booked = course.trade((5, 0), Decimal(-1), Decimal(101), LINEAR)
    assert booked.restated == LATE_MAX
    assert course.holding.qty == LATE_MAX + 9
    # The oldest ten are past changing: the close takes from these.
    assert booked.realized == 1
