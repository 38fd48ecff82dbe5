"""Ten times what the venue allows, beside another client of the same address, in virtual time."""

from __future__ import annotations

import heapq
import random

import pytest

from supervision.bench_rate_storm import LOADS, OTHER_SHARE
from supervision.storm_venue import Shape, StormVenue
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Go, Priority
from trading.limits.spec import MS_NS, SECOND_NS
from trading.limits.waiting import WaitingRoom

SHAPE = Shape(weight=300, orders=120, window_ns=5 * SECOND_NS)
SECONDS = 30
START = 1_000 * SECOND_NS + 777 * MS_NS


def arrivals(dice, times):
    """Everything that anybody wants, in order: (when, load or ``None`` for the other client)."""
    rate = times * SHAPE.weight * SECOND_NS / SHAPE.window_ns
    costs = SHAPE.limits().costs
    found = []
    lanes = [(load, load.share * rate / costs[load.endpoint].weight) for load in LOADS]
    for load, per_s in [*lanes, (None, OTHER_SHARE * rate / times)]:
        at = START
        while (at := at + round(dice.expovariate(per_s) * SECOND_NS)) < START + SECONDS * SECOND_NS:
            found.append((at, load))
    return sorted(found, key=lambda entry: entry[0])


class Storm:
    """Requests travel 5 to 60 ms to the venue and back."""

    def __init__(self, seed, times, *, guarded=True):
        self.dice = random.Random(seed)
        self.spec, self.venue = SHAPE.limits(), StormVenue(SHAPE)
        self.governor, self.room = LimitGovernor(self.spec, seed=seed), WaitingRoom()
        self.guarded, self.events, self.count = guarded, [], 0
        self.cancel_delays, self.sent, self.refused = [], dict.fromkeys(Priority, 0), 0
        for at, load in arrivals(self.dice, times):
            self.at(at, self.asked if load else self.other, load)

    def at(self, when, what, *given):
        self.count += 1
        heapq.heappush(self.events, (when, self.count, what, given))

    def run(self):
        while self.events:
            now, _, what, given = heapq.heappop(self.events)
            what(now, *given)
            if self.guarded:
                self.pump(now)
        return self

    def asked(self, now, load):
        request = self.spec.ask(load.endpoint, load.priority, now + load.within_ms * MS_NS)
        if self.guarded:
            self.refused += self.room.enter(request, now).answer is not None
        else:
            self.send(now, request)

    def pump(self, now):
        went, again = self.room.pump(self.governor, now)
        for ticket in went:
            if isinstance(ticket.answer, Go):
                self.send(now, ticket.request)
            else:
                self.refused += 1
            if ticket.request.priority is Priority.CANCEL:
                self.cancel_delays.append(now - ticket.since_ns)
        if again is not None and (not self.events or again < self.events[0][0]):
            self.at(again, lambda _: None)

    def send(self, now, request):
        self.sent[request.priority] += 1
        self.at(now + self.dice.randint(2, 30) * MS_NS, self.arrived, request)

    def arrived(self, now, request):
        status, headers = self.venue.answer("us", request.weight, request.orders, now)
        self.at(now + self.dice.randint(2, 30) * MS_NS, self.told, request, status, headers)

    def told(self, now, request, status, headers):
        self.governor.told(request.endpoint, status, headers, now, request=request)

    def other(self, now, _):
        self.venue.answer("other", 1, 0, now)


@pytest.mark.req("P-VEN-4")
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_times_the_allowance_beside_another_client_ends_without_a_ban_and_cancels_hardly_wait(seed):
    storm = Storm(seed, 10.0).run()
    assert storm.venue.bans == 0
    assert storm.venue.limited.get("us", 0) <= 3
    delays = sorted(storm.cancel_delays)
    assert len(delays) > 100
    assert delays[int(len(delays) * 0.99)] <= 250 * MS_NS
    allowance = SHAPE.weight * SECONDS * SECOND_NS / SHAPE.window_ns
    assert sum(storm.venue.served.values()) >= 0.6 * allowance
    assert all(storm.sent[priority] > 0 for priority in Priority)
    assert storm.refused > 1_000
    assert len(storm.room) == 0


def test_without_the_governor_the_same_storm_is_a_ban():
    storm = Storm(1, 10.0, guarded=False).run()
    assert storm.venue.bans > 0


def test_the_allowance_itself_goes_through():
    storm = Storm(1, 0.5).run()
    assert storm.venue.bans == 0
    assert storm.venue.limited == {}
    assert storm.refused <= 0.1 * sum(storm.sent.values())
