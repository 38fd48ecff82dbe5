"""The queue: order, bounds, deadlines, and nobody forgotten."""

from __future__ import annotations

from tests.trading.limits.conftest import CANCEL, HEDGE, PLACE, POLL, START, WHOLE, ask, gone, venue
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Go, Priority, Refusal, Refused
from trading.limits.spec import MS_NS, SECOND_NS
from trading.limits.waiting import WaitingRoom


def answered(tickets):
    return [(ticket.request.priority, type(ticket.answer)) for ticket in tickets]


def test_whoever_takes_risk_away_goes_first_and_equals_go_in_the_order_they_came():
    governor, room = LimitGovernor(venue(limit=100), WHOLE), WaitingRoom()
    came = [room.enter(ask(priority), START) for priority in (POLL, PLACE, CANCEL, POLL, HEDGE, CANCEL)]
    went, again = room.pump(governor, START)
    assert [ticket.seq for ticket in went] == [came[i].seq for i in (2, 5, 4, 1, 0, 3)]
    assert again is None
    assert len(room) == 0


def test_a_later_request_of_the_same_priority_does_not_slip_past_a_heavier_one():
    governor, room = LimitGovernor(venue(limit=100, window_ns=SECOND_NS), WHOLE), WaitingRoom()
    gone(governor, ask(PLACE), START - SECOND_NS // 2, tries=5)  # free first, and enough for the light one
    gone(governor, ask(PLACE), START)
    heavy, light = room.enter(ask(PLACE, weight=10), START), room.enter(ask(PLACE, endpoint="GET /y"), START)
    now, order = START, []
    for _ in range(100):
        went, again = room.pump(governor, now)
        order += [ticket.seq for ticket in went]
        now = again or now
    assert order == [heavy.seq, light.seq]


def test_a_full_queue_refuses_out_loud_and_each_priority_has_its_own():
    governor, room = LimitGovernor(venue(limit=10), WHOLE), WaitingRoom(queue_max=3)
    gone(governor, ask(CANCEL), START)
    polls = [room.enter(ask(POLL), START) for _ in range(5)]
    assert [ticket.answer for ticket in polls[3:]] == [Refused(reason=Refusal.QUEUE_FULL, pool="")] * 2
    assert room.waiting(POLL) == 3
    assert room.enter(ask(CANCEL), START).answer is None


def test_who_waits_beyond_its_deadline_is_told_so_even_in_the_middle_of_the_queue():
    governor, room = LimitGovernor(venue(limit=10, window_ns=SECOND_NS), WHOLE), WaitingRoom()
    gone(governor, ask(CANCEL), START)
    for within in (5_000, 1_500, 5_000):
        room.enter(ask(CANCEL, weight=10, within_ns=within * MS_NS), START)
    now, found = START, []
    for _ in range(100):
        went, again = room.pump(governor, now)
        found += [(ticket.seq, type(ticket.answer)) for ticket in went]
        if again is None:
            break
        now = again
    assert sorted(found) == [(1, Go), (2, Refused), (3, Go)]


def test_a_request_that_is_given_up_leaves_its_place():
    governor, room = LimitGovernor(venue(limit=10), WHOLE), WaitingRoom()
    first, second = room.enter(ask(CANCEL), START), room.enter(ask(CANCEL), START)
    room.leave(first)
    room.leave(first)
    went, _ = room.pump(governor, START)
    assert went == [second]
    assert len(room) == 0


def test_one_that_has_no_room_elsewhere_stands_first_again():
    governor, room = LimitGovernor(venue(limit=10), WHOLE), WaitingRoom()
    first, second = room.enter(ask(PLACE), START), room.enter(ask(PLACE), START)
    (went, _), _ = room.pump(governor, START), None
    assert went == [first, second]
    again = room.hold(first, START + 5 * MS_NS, ("weight",))
    assert room.pump(governor, START + MS_NS) == ([], START + 5 * MS_NS)
    assert room.pump(governor, START + 5 * MS_NS)[0] == [again]


def test_closing_refuses_everybody():
    governor, room = LimitGovernor(venue(limit=10), WHOLE), WaitingRoom()
    gone(governor, ask(CANCEL), START)
    tickets = [room.enter(ask(priority), START) for priority in Priority]
    assert room.close() == tickets
    assert {ticket.answer for ticket in tickets} == {Refused(reason=Refusal.CLOSED, pool="")}
    assert len(room) == 0
