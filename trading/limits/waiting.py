"""Who waits for the governor, in which order, and how many may.

Owns the queue: bounded for each priority apart, so that polls never keep a cancel out; first come, first served within
a priority; whoever does not get in, or waits beyond its deadline, is told so (nautilus_trader#4221 dropped them in
silence). Requests that differ in nothing that is counted stand in one lane, of which only the first is asked about.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final

import msgspec

from trading.limits.governor import LimitGovernor
from trading.limits.messages import Answer, Ask, Go, Priority, Refusal, Refused, Wait

LANES_MAX: Final = 256


class Ticket(msgspec.Struct, eq=False):
    """One waiting request. ``answer`` is set once it leaves the queue by the governor's word; it never changes."""

    seq: int
    request: Ask
    since_ns: int
    answer: Go | Refused | None = None
    gone: bool = False


_Key = tuple[Priority, str, str, str, int, int]


class _Lane(msgspec.Struct, eq=False):
    tickets: deque[Ticket]
    held_until_ns: int = 0
    held_pools: tuple[str, ...] = ()


class WaitingRoom:
    """The queue in front of one governor. ``queue_max`` may wait of each priority."""

    def __init__(self, queue_max: int = 256) -> None:
        if queue_max < 1:
            raise ValueError(f"queue_max: {queue_max} must be at least 1")
        self.queue_max = queue_max
        self._lanes: dict[_Key, _Lane] = {}
        self._deadlines: list[tuple[int, int, Ticket]] = []
        self._waiting = dict.fromkeys(Priority, 0)
        self._seq = 0
        self._pushed = 0

    def __len__(self) -> int:
        return sum(self._waiting.values())

    def waiting(self, priority: Priority) -> int:
        """How many of one priority wait."""
        return self._waiting[priority]

    def enter(self, request: Ask, now_ns: int) -> Ticket:
        """Join the queue; the ticket is answered at once when the queue is full."""
        self._seq += 1
        ticket = Ticket(self._seq, request, now_ns)
        key = _key(request)
        many = key not in self._lanes and len(self._lanes) >= LANES_MAX and request.priority is not Priority.CANCEL
        if many or self._waiting[request.priority] >= self.queue_max:
            ticket.answer, ticket.gone = Refused(reason=Refusal.QUEUE_FULL, pool=""), True
            return ticket
        self._waiting[request.priority] += 1
        self._lanes.setdefault(key, _Lane(deque())).tickets.append(ticket)
        self._due(ticket)
        return ticket

    def first_in_lane(self, ticket: Ticket) -> bool:
        """Whether nobody like it came before: only then is there anything to ask for it."""
        lane = self._lanes.get(_key(ticket.request))
        return lane is not None and lane.tickets[0] is ticket

    def leave(self, ticket: Ticket) -> None:
        """Nobody waits for this any more."""
        if not ticket.gone:
            ticket.gone = True
            self._waiting[ticket.request.priority] -= 1
            self._tidied()

    def hold(self, ticket: Ticket, until_ns: int, pools: tuple[str, ...]) -> Ticket:
        """Elsewhere there is no room for one that had its `Go`: it stands first again, and its lane waits."""
        again = Ticket(ticket.seq, ticket.request, ticket.since_ns)
        lane = self._lanes.setdefault(_key(ticket.request), _Lane(deque()))
        lane.tickets.appendleft(again)
        lane.held_until_ns, lane.held_pools = until_ns, pools
        self._waiting[ticket.request.priority] += 1
        self._due(again)
        return again

    def close(self) -> list[Ticket]:
        """Refuse everybody."""
        tickets = [ticket for lane in self._lanes.values() for ticket in lane.tickets if not ticket.gone]
        for ticket in tickets:
            self._answer(ticket, Refused(reason=Refusal.CLOSED, pool=""))
        self._lanes.clear()
        self._deadlines.clear()
        return tickets

    def pump(self, governor: LimitGovernor, now_ns: int) -> tuple[list[Ticket], int | None]:
        """Ask for everybody in order: those with an answer now, and when to come again (``None``: nobody waits)."""
        answered = self._expired(now_ns)
        self._tidied()
        heads = [(lane.tickets[0].request.priority, lane.tickets[0].seq, key) for key, lane in self._lanes.items()]
        heapq.heapify(heads)
        blocked: set[str] = set()
        again: int | None = None
        while heads:
            priority, _, key = heapq.heappop(heads)
            lane = self._lanes[key]
            ticket = lane.tickets[0]
            answer: Answer
            if lane.held_until_ns > now_ns:
                blocked.update(lane.held_pools)
                answer = Wait(wait_ns=lane.held_until_ns - now_ns, pool="")
            else:
                answer = governor.ask(ticket.request, now_ns, blocked)
            match answer:
                case Wait():
                    blocked.add(answer.pool)
                    come = now_ns + answer.wait_ns
                    again = come if again is None else min(again, come)
                case Go() | Refused():
                    self._answer(ticket, answer)
                    answered.append(ticket)
                    while lane.tickets and lane.tickets[0].gone:
                        lane.tickets.popleft()
                    if lane.tickets:
                        heapq.heappush(heads, (priority, lane.tickets[0].seq, key))
        self._tidied()
        if again is not None and self._deadlines:
            again = min(again, max(now_ns + 1, self._deadlines[0][0] + 1))
        return answered, again

    def _due(self, ticket: Ticket) -> None:
        self._pushed += 1
        heapq.heappush(self._deadlines, (ticket.request.deadline_ns, self._pushed, ticket))

    def _answer(self, ticket: Ticket, answer: Go | Refused) -> None:
        ticket.answer, ticket.gone = answer, True
        self._waiting[ticket.request.priority] -= 1

    def _expired(self, now_ns: int) -> list[Ticket]:
        late = []
        while self._deadlines and (self._deadlines[0][0] < now_ns or self._deadlines[0][2].gone):
            ticket = heapq.heappop(self._deadlines)[2]
            if not ticket.gone:
                self._answer(ticket, Refused(reason=Refusal.DEADLINE, pool=""))
                late.append(ticket)
        return late

    def _tidied(self) -> None:
        for key, lane in list(self._lanes.items()):
            while lane.tickets and lane.tickets[0].gone:
                lane.tickets.popleft()
            if not lane.tickets:
                del self._lanes[key]
        if len(self._deadlines) > 64 + 2 * len(self):
            self._deadlines = [entry for entry in self._deadlines if not entry[2].gone]
            heapq.heapify(self._deadlines)


def _key(request: Ask) -> _Key:
    return (
        request.priority,
        request.account,
        request.endpoint,
        request.instrument,
        request.weight,
        request.orders,
    )
