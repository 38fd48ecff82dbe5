"""The arithmetic of netting, as laws: lots are moved and cut by priority, never made or lost."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.arbiter.netting import Need, allocate, by_priority, clip, cross

NEEDS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-50, 50).filter(bool), st.none() | st.integers(95, 105)), max_size=6
).map(lambda rows: [Need(f"s{n}", f"i{n}", p, lots, limit) for n, (p, lots, limit) in enumerate(rows)])


@given(NEEDS, st.integers(195, 205))
def test_crossing_moves_lots_between_strategies_and_loses_none(needs, doubled_mid):
    crossed, left = cross(needs, doubled_mid)
    assert sum(n.lots for n in left) == sum(n.lots for n in needs)
    after = {n.strategy_id: n.lots for n in needs}
    for pair in crossed:
        assert pair.lots > 0
        assert pair.buyer.limit_ticks is None or 2 * pair.buyer.limit_ticks >= doubled_mid
        assert pair.seller.limit_ticks is None or 2 * pair.seller.limit_ticks <= doubled_mid
        after[pair.buyer.strategy_id] -= pair.lots
        after[pair.seller.strategy_id] += pair.lots
    assert {n.strategy_id: n.lots for n in left} == {s: lots for s, lots in after.items() if lots}
    for before in needs:
        assert 0 <= after[before.strategy_id] * (1 if before.lots > 0 else -1) <= abs(before.lots)


@given(NEEDS)
def test_without_limits_one_sign_is_left(needs):
    _, left = cross([msgspec.structs.replace(n, limit_ticks=None) for n in needs], 200)
    assert len({n.lots > 0 for n in left}) <= 1


@pytest.mark.req("P-EXE-9")
@given(NEEDS, st.integers(-100, 100), st.integers(0, 80))
def test_no_combination_of_fills_exceeds_the_cap(needs, net, cap):
    got = allocate(by_priority(needs), net, cap)
    most, least = net, net
    for need in got:
        most += max(need.lots, 0)
        least += min(need.lots, 0)
    assert most <= max(cap, net)
    assert least >= min(-cap, net)


@pytest.mark.req("P-EXE-9")
@given(NEEDS, st.integers(-20, 20), st.integers(0, 80))
def test_nobody_is_cut_before_those_of_lower_priority_got_nothing(needs, net, cap):
    served = by_priority(needs)
    for sign in (1, -1):
        pairs = [(b, a) for b, a in zip(served, allocate(served, net, cap), strict=True) if b.lots * sign > 0]
        first_cut = next((i for i, (b, a) in enumerate(pairs) if a.lots != b.lots), len(pairs))
        assert all(a.lots == 0 for _, a in pairs[first_cut + 1 :])


@given(NEEDS, st.integers(0, 100))
def test_a_clipped_order_is_exactly_as_large_as_its_legs(needs, room):
    buys = [n for n in needs if n.lots > 0]
    legs = clip(buys, room)
    assert sum(n.lots for n in legs) == min(room, sum(n.lots for n in buys))
    assert all(n.lots > 0 for n in legs)
