"""What holds for every sequence of asks and answers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trading.limits.conftest import CANCEL, HEDGE, PLACE, POLL, REPLACE, START, ask, gone, venue
from trading.limits.governor import GovernorState, LimitGovernor
from trading.limits.messages import Go, Priority, Refused
from trading.limits.spec import MS_NS, ORDERS_ONLY, SECOND_NS, Budget, Policy, Scope, Unit, VenueLimits
from trading.limits.waiting import WaitingRoom

LIGHT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STEP = st.tuples(
    st.integers(0, 400),  # ms since the last one
    st.sampled_from(Priority),
    st.integers(1, 6),  # weight
    st.integers(0, 1),  # orders
    st.sampled_from(["GET /a", "POST /b"]),
)


def spec(limit, orders):
    budgets = (
        Budget(name="weight", scope=Scope.IP, unit=Unit.WEIGHT, limit=limit, window_ns=SECOND_NS),
        Budget(name="long", scope=Scope.IP, unit=Unit.WEIGHT, limit=3 * limit, window_ns=10 * SECOND_NS),
        Budget(
            name="orders",
            scope=Scope.ACCOUNT,
            unit=Unit.ORDERS,
            limit=orders,
            window_ns=2 * SECOND_NS,
            shares=ORDERS_ONLY,
        ),
    )
    return VenueLimits(venue="v", source="a test", budgets=budgets, rules=venue().rules)


def most_in_a_window(spent, window_ns):
    """The most that was spent within any window: one that begins with a request is the fullest."""
    return max(
        (sum(amount for at, amount in spent if start <= at < start + window_ns) for start, _ in spent), default=0
    )


@pytest.mark.req("P-VEN-4", "P-VEN-5")
@LIGHT
@given(limit=st.integers(1, 40), orders=st.integers(1, 20), steps=st.lists(STEP, max_size=150), data=st.data())
def test_no_window_ever_holds_more_than_its_share_whatever_is_asked_and_answered(limit, orders, steps, data):
    governor = LimitGovernor(spec(limit, orders))
    now, sent = START, []
    for after_ms, priority, weight, count, endpoint in steps:
        now += after_ms * MS_NS
        request = ask(priority, endpoint=endpoint, weight=weight, orders=count, now=now)
        if isinstance(governor.ask(request, now), Go):
            sent.append((now, request))
            if data.draw(st.booleans()):
                status = data.draw(st.sampled_from([200, 200, 200, 200, 429, 503, 0]))
                governor.told(endpoint, status, {}, now, request=request)
    for budget in governor.spec.budgets:
        usable = governor.policy.usable(budget.limit)
        spent = [(at, budget.amount(request)) for at, request in sent]
        assert most_in_a_window(spent, budget.window_ns) <= usable
        others = [(at, budget.amount(request)) for at, request in sent if request.priority is not CANCEL]
        ceiling = governor.policy.ceiling(budget, budget.limit, HEDGE)
        assert most_in_a_window(others, budget.window_ns) <= ceiling


@pytest.mark.req("P-VEN-4")
@LIGHT
@given(limit=st.integers(20, 400), steps=st.lists(STEP, max_size=150))
def test_a_cancel_goes_at_once_after_anything_but_cancels(limit, steps):
    governor = LimitGovernor(spec(limit, 20))
    now = START
    for after_ms, priority, weight, count, endpoint in steps:
        now += after_ms * MS_NS
        if priority is not CANCEL:
            governor.ask(ask(priority, endpoint=endpoint, weight=weight, orders=count, now=now), now)
    kept = min(
        governor.policy.usable(budget.limit) - governor.policy.ceiling(budget, budget.limit, HEDGE)
        for budget in governor.spec.budgets[:2]
    )
    assert kept >= 1
    assert gone(governor, ask(CANCEL, endpoint="DELETE /c", now=now), now) >= kept


@LIGHT
@given(
    limit=st.integers(4, 100),
    weight=st.integers(1, 100),
    starved=st.sampled_from([POLL, PLACE, REPLACE]),
    step_ms=st.integers(20, 90),
)
def test_nobody_starves_for_ever(limit, weight, starved, step_ms):
    governor = LimitGovernor(venue(limit=limit, window_ns=SECOND_NS))
    budget = governor.spec.budgets[0]
    weight = min(weight, governor.policy.ceiling(budget, limit, HEDGE))
    greedy = [priority for priority in (HEDGE, REPLACE, PLACE) if priority < starved]
    for at in range(START, START + 8 * SECOND_NS, step_ms * MS_NS):
        for priority in greedy:
            gone(governor, ask(priority, now=at), at)
        if isinstance(governor.ask(ask(starved, weight=weight, now=at), at), Go):
            assert at - START <= 7 * SECOND_NS  # patience, and a window for each that is late too
            return
    raise AssertionError(f"{starved.name} of weight {weight} never went")


@LIGHT
@given(st.lists(st.tuples(st.integers(-3_000, 1_000), st.sampled_from(Priority), st.integers(1, 5)), max_size=100))
def test_a_clock_that_jumps_back_never_lets_more_through(jumps):
    governor, latest, sent, now = LimitGovernor(spec(20, 20)), START, [], START
    for by_ms, priority, weight in jumps:
        now = max(0, now + by_ms * MS_NS)
        latest = max(latest, now) if sent else now
        answer = governor.ask(ask(priority, weight=weight, now=START * 10), now)
        if isinstance(answer, Go):
            assert answer.at_ns >= max((at for at, _ in sent), default=0)
            sent.append((answer.at_ns, weight))
    assert most_in_a_window(sent, SECOND_NS) <= 19


@LIGHT
@given(steps=st.lists(STEP, max_size=80), cut=st.integers(0, 80), by=st.integers(-900, 10**7))
def test_a_governor_that_goes_on_from_bytes_and_another_clock_answers_the_same(steps, cut, by):
    one, other = LimitGovernor(spec(20, 5)), None
    slots = 10 * SECOND_NS * 9 // 8
    shift = by * slots
    now = START + 1_000 * slots
    for number, (after_ms, priority, weight, count, endpoint) in enumerate(steps):
        if number == cut:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(one.state), type=GovernorState)
            other = LimitGovernor(spec(20, 5), state=state)
        now += after_ms * MS_NS
        request = ask(priority, endpoint=endpoint, weight=weight, orders=count, now=now)
        answer = one.ask(request, now)
        if other is not None:
            assert other.ask(request, now) == answer
    moved = msgspec.msgpack.decode(msgspec.msgpack.encode(one.state), type=GovernorState)
    moved.shift(shift)
    there = LimitGovernor(spec(20, 5), state=moved)
    # Whole slots are shifted: nothing is forgotten sooner, and nothing later than by one slot.
    used = [pool.used for pool in one.view(now).pools]
    assert all(a <= b for a, b in zip(used, [pool.used for pool in there.view(now + shift).pools], strict=True))
    later = [pool.used for pool in there.view(now + shift + 10 * SECOND_NS // 50).pools]
    assert all(a >= b for a, b in zip(used, later, strict=True))


@LIGHT
@given(
    steps=st.lists(st.tuples(STEP, st.integers(0, 3_000), st.booleans()), max_size=120),
    queue_max=st.integers(1, 20),
)
def test_everybody_in_the_queue_gets_one_answer_and_none_is_lost(steps, queue_max):
    governor, room = LimitGovernor(spec(20, 5)), WaitingRoom(queue_max)
    now, entered, left, found = START, 0, 0, []
    for (after_ms, priority, weight, count, endpoint), within_ms, leaves in steps:
        now += after_ms * MS_NS
        request = ask(priority, endpoint=endpoint, weight=weight, orders=count, now=now, within_ns=within_ms * MS_NS)
        ticket = room.enter(request, now)
        entered += 1
        if ticket.answer is not None:
            found.append(ticket)
        elif leaves:
            room.leave(ticket)
            left += 1
        assert all(room.waiting(p) <= queue_max for p in Priority)
        found += room.pump(governor, now)[0]
    for _ in range(10_000):
        went, again = room.pump(governor, now)
        found += went
        if again is None:
            break
        now = max(now + 1, again)
    assert len(room) == 0
    assert len(found) == len({ticket.seq for ticket in found}) == entered - left
    assert all(isinstance(ticket.answer, Go | Refused) for ticket in found)


@LIGHT
@given(share=st.floats(0.01, 1), limit=st.integers(1, 10_000))
def test_shares_of_any_limit_fall_with_priority_and_are_never_nothing(share, limit):
    policy, budget = Policy(share=share), venue().budgets[0]
    ceilings = [policy.ceiling(budget, limit, priority) for priority in Priority]
    assert ceilings == sorted(ceilings, reverse=True)
    assert 1 <= ceilings[-1] <= ceilings[0] <= limit
    assert limit < 3 or share < 1 or ceilings[1] < ceilings[0]
