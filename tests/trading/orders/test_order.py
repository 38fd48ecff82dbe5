"""Sharing an execution between the strategies behind an order."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading.orders.order import EXTERNAL, Order, split

LOT = Decimal("0.001")


def test_the_largest_remainder_gets_the_odd_lot() -> None:
    assert split(Decimal("0.004"), [Decimal("0.003"), Decimal("0.003"), Decimal("0.003")], LOT) == [
        Decimal("0.002"),
        Decimal("0.001"),
        Decimal("0.001"),
    ]


def test_a_quantity_off_the_grid_is_split_more_finely(approved) -> None:
    order = Order(approved=approved("pd1-1", legs=(("a", "0.005"), ("b", "0.005"))))
    legs = order.share(Decimal("0.0015"), LOT)
    assert sum(leg.qty for leg in legs) == Decimal("0.0015")


def test_what_nobody_asked_for_goes_to_nobody(approved) -> None:
    order = Order(approved=approved("pd1-1", "0.010"))
    legs = order.share(Decimal("0.012"), LOT)
    assert [(leg.strategy_id, leg.qty) for leg in legs] == [("maker", Decimal("0.010")), (EXTERNAL, Decimal("0.002"))]


@given(
    legs=st.lists(st.integers(1, 50), min_size=1, max_size=5),
    fills=st.lists(st.integers(1, 30), min_size=1, max_size=12),
)
def test_shares_are_exact_and_no_leg_gets_more_than_it_asked_for(legs: list[int], fills: list[int]) -> None:
    lacking = [LOT * lots for lots in legs]
    for lots in fills:
        qty = min(LOT * lots, sum(lacking))
        shares = split(qty, lacking, LOT)
        assert sum(shares) == qty
        lacking = [left - share for left, share in zip(lacking, shares, strict=True)]
        assert min(lacking) >= 0
