"""The books against the flows of the same facts: sound ones never violate anything, and no tampering goes unseen."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.ledger.ledger import Account, Book
from trading.orders.messages import InternalCross, Liquidity, Side
from trading.recon.books import Books
from trading.recon.invariants import Invariant
from trading.sim.fees import fee_of

from .conftest import ALL, INVERSE, LINEAR, SPOT, fill, funding


def sound():
    books = Books(ALL)
    books.opening(LINEAR.venue, {"USDT": Decimal(1_000)}, 0)
    books.fold(fill(LINEAR, legs=(("a", "0.004"), ("b", "0.006"))))
    books.fold(fill(LINEAR, Side.SELL, "0.004", "51000", legs=(("a", "0.004"),)))
    books.fold(fill(SPOT, qty="0.100", px="50000", fee="0.0001", fee_asset="BTC"))
    books.fold(fill(INVERSE, qty="3", px="50000", fee="0.00001"))
    books.fold(funding())
    books.portfolio.mark(LINEAR.instrument_id, Decimal(49_000))
    return books


@pytest.mark.req("P-PNL-9")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((SPOT, LINEAR, INVERSE)),
            st.sampled_from(Side),
            st.integers(1, 40),
            st.integers(300_000, 700_000),
            st.integers(0, 40),
            st.sampled_from(("own", "other", "rebate")),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(300_000, 700_000),
)
def test_nothing_that_can_be_traded_violates_sound_books(trades, mark):
    books = Books(ALL)
    for one in ALL.values():
        books.opening(one.venue, {"USDT": Decimal(1_000), "BTC": Decimal(1)}, 0)
    for one, side, lots, ticks, share, paid in trades:
        qty, px = one.qty(lots), one.price(ticks)
        fee, asset = fee_of(one, side, qty, px, Liquidity.TAKER)
        if paid == "other":
            fee, asset = Decimal("0.00012345"), "BNB"
        elif paid == "rebate":
            fee = -fee
        first = one.qty(min(share, lots))
        legs = tuple((s, str(q)) for s, q in (("a", first), ("b", qty - first)) if q)
        books.fold(fill(one, side, str(qty), str(px), str(fee), asset, legs=legs))
        books.portfolio.mark(one.instrument_id, one.price(mark))
        assert books.violations() == []


@pytest.mark.req("P-PNL-9")
def test_a_cross_inside_the_desk_moves_shares_and_nothing_else():
    books = sound()
    books.fold(
        InternalCross(
            cross_id="c1",
            instrument_id=LINEAR.instrument_id,
            buyer_id="c",
            seller_id="b",
            qty=Decimal("0.003"),
            price=Decimal(50_500),
            cause="a test",
            ts_init_ns=0,
        )
    )
    assert books.violations() == []


def _line(books):
    return books.portfolio.lines()[LINEAR.instrument_id]


def _position(books):
    _line(books).holding.qty += 1


def _cash(books):
    ledger = books.portfolio.ledger
    cash = Account(owner=LINEAR.venue, asset="USDT", book=Book.CASH)
    opening = Account(owner=LINEAR.venue, asset="USDT", book=Book.OPENING)
    ledger.post("x", "balanced, and of no fact", {cash: Decimal(5), opening: Decimal(-5)}, 0)


def _profit(books):
    _line(books).realized["USDT"] += Decimal("0.00000001")


def _doubled_funding(books):
    _line(books).funding["USDT"] *= 2


def _share(books):
    books.portfolio.lines_by_strategy()["b", LINEAR.instrument_id].holding.qty -= Decimal("0.001")


def _lost(books):
    del books.portfolio.lines()[LINEAR.instrument_id]


@pytest.mark.req("P-PNL-9")
@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (_position, {Invariant.POSITION, Invariant.SHARES, Invariant.LEDGER, Invariant.PNL}),
        (_cash, {Invariant.CASH}),
        (_profit, {Invariant.PNL, Invariant.LEDGER}),
        (_doubled_funding, {Invariant.PNL, Invariant.LEDGER}),
        (_share, {Invariant.SHARES}),
        (_lost, {Invariant.POSITION, Invariant.LEDGER, Invariant.CASH}),
    ],
)
def test_whatever_is_changed_in_the_books_is_seen(tamper, found):
    books = sound()
    assert books.violations() == []
    tamper(books)
    assert {v.invariant for v in books.violations()} == found


def test_a_violation_names_its_scope_and_what_was_seen():
    books = sound()
    _share(books)
    (violation,) = books.violations()
    assert violation.scope == f"symbol:{LINEAR.instrument_id}"
    assert str(violation) == f"shares of {LINEAR.instrument_id}: 0.006, from the facts 0.005"
