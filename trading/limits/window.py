"""One budget's window: what we spent of it, what the venue says was spent, and who waits for room in it.

Owns the counting. Ours slides: nothing that was spent is forgotten before the window has passed, to a 64th of it. The
venue's own count, which includes what others behind our address or account spend, stands beside it until its interval
ends; the fuller of the two decides. Does not own what to do when there is no room: that is `governor.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from trading.limits.messages import Priority
from trading.limits.spec import Budget, Policy

SLOTS: Final = 64
_RING: Final = SLOTS + 1
_EDGE_OLD_NS: Final = 3_600 * 1_000_000_000
_EDGE_SLACK_NS: Final = 50_000_000
_NEVER: Final = -1
_PRIORITIES: Final = tuple(Priority)


class Waiting(msgspec.Struct, array_like=True):
    """One priority's waiting: since when, when it last asked, and for how much. ``since_ns`` -1: it does not wait."""

    since_ns: int = _NEVER
    seen_ns: int = _NEVER
    need: int = 0


def _nobody() -> list[Waiting]:
    return [Waiting() for _ in _PRIORITIES]


class Pool(msgspec.Struct, array_like=True):
    """The state of one window; plain numbers, so that it can be kept in a file. ``slot_ns`` is a 64th of the span."""

    slot_ns: int
    head: int = 0
    slots: list[int] = msgspec.field(default_factory=lambda: [0] * _RING)
    used: int = 0
    spent: int = 0
    in_flight: int = 0
    limit: int = 0
    """What the venue says that the limit is, where it is less than the table's; 0: it said nothing like that."""
    told_used: int = _NEVER
    told_mark: int = 0
    told_ns: int = 0
    told_until_ns: int = 0
    others: int = _NEVER
    """What other clients spend within one window, as the venue's words show it; -1: nothing is known yet."""
    seen_ns: int = 0
    seen_used: int = 0
    seen_settled: int = 0
    edge_ns: int = 0
    edge_width_ns: int = 0
    edge_seen_ns: int = 0
    waiting: list[Waiting] = msgspec.field(default_factory=_nobody)
    waiters: int = 0
    """How many priorities wait, or did when they were last heard of."""

    # --- Counting --------------------------------------------------------------------------------------

    def advance(self, now_ns: int) -> None:
        """Forget what was spent longer ago than the window."""
        slot = now_ns // self.slot_ns
        steps = slot - self.head
        if steps <= 0:
            return
        self.head = slot
        if steps >= _RING:
            self.used = 0
            self.slots = [0] * _RING
        elif self.used:
            slots = self.slots
            for at in range(slot - steps + 1, slot + 1):
                self.used -= slots[at % _RING]
                slots[at % _RING] = 0
        if not self.used:
            self.in_flight = 0

    def take(self, amount: int) -> None:
        """Spend ``amount`` now; call `advance` first."""
        self.slots[self.head % _RING] += amount
        self.used += amount
        self.spent += amount
        self.in_flight += amount

    def give_back(self, amount: int, at_ns: int) -> None:
        """Undo a `take` of ``at_ns`` that was never sent."""
        slot = at_ns // self.slot_ns
        if self.head - SLOTS <= slot <= self.head:
            amount = min(amount, self.slots[slot % _RING])
            self.slots[slot % _RING] -= amount
            self.used -= amount
            self.spent -= amount
            self.in_flight = max(0, self.in_flight - amount)

    def free_in(self, amount: int, ceiling: int, now_ns: int) -> int:
        """Nanoseconds until ``amount`` fits under ``ceiling`` by our count; 0 is now. It must fit an empty window."""
        over = self.used + amount - ceiling
        if over <= 0:
            return 0
        for at in range(self.head - SLOTS, self.head + 1):
            over -= self.slots[at % _RING]
            if over <= 0:
                return max(1, (at + _RING) * self.slot_ns - now_ns)
        raise ValueError(f"{amount} never fits under {ceiling}")

    # --- The venue's word ------------------------------------------------------------------------------

    def told(self, used: int, budget: Budget, policy: Policy, now_ns: int) -> None:
        """The venue says that ``used`` is spent. What we sent a moment ago may not be in it yet."""
        anew = self.told_used >= 10 and used * 2 < self.told_used
        if budget.aligned and anew:
            self._edge_between(self.told_ns, now_ns, budget.window_ns)
        if budget.aligned:
            self._watch_others(used, budget, policy, now_ns, anew=anew)
        recent = self.slots[self.head % _RING] + self.slots[(self.head - 1) % _RING]
        self.told_used = used + min(self.in_flight, recent)
        self.told_mark = self.spent
        self.told_ns = now_ns
        self.told_until_ns = self._interval_end(budget, now_ns) if budget.aligned else now_ns + policy.span(budget)

    def venue_used(self, now_ns: int) -> int | None:
        """The venue's count as it must stand now, others included; ``None`` when it said nothing lately."""
        if self.told_used < 0 or now_ns >= self.told_until_ns:
            return None
        return self.told_used + self.spent - self.told_mark

    def venue_free_in(self, amount: int, ceiling: int, now_ns: int) -> int:
        """Nanoseconds until ``amount`` surely fits by the venue's count; 0 is now."""
        used = self.venue_used(now_ns)
        return 0 if used is None or used + amount <= ceiling else self.told_until_ns - now_ns

    def others_to_come(self, budget: Budget, policy: Policy, now_ns: int) -> int:
        """How much others are going to spend before the venue's interval ends, at most half of the limit."""
        if not budget.aligned or not budget.used_header:
            return 0
        others = int(budget.limit * policy.others_share) if self.others < 0 else self.others
        left = budget.window_ns
        if self.told_used >= 0 and now_ns < self.told_until_ns:
            left = min(left, self.told_until_ns - now_ns)
        return min(others * left // budget.window_ns, budget.limit // 2)

    def _watch_others(self, used: int, budget: Budget, policy: Policy, now_ns: int, *, anew: bool) -> None:
        """Learn what others spend from two words of one interval that lie apart."""
        settled = self.spent - self.in_flight
        apart = now_ns - self.seen_ns
        if not anew and self.seen_ns and budget.window_ns // 16 <= apart <= budget.window_ns:
            theirs = (used - self.seen_used - (settled - self.seen_settled)) * budget.window_ns // apart
            known = int(budget.limit * policy.others_share) if self.others < 0 else self.others
            self.others = min(max(0, (3 * known + theirs) // 4), budget.limit)
        elif not anew and self.seen_ns and apart < budget.window_ns // 16:
            return
        self.seen_ns, self.seen_used, self.seen_settled = now_ns, used, settled

    def _edge_between(self, low_ns: int, high_ns: int, window_ns: int) -> None:
        """The venue's count began anew between two of its words: remember the closest such pair."""
        width = high_ns - low_ns
        old = high_ns - self.edge_seen_ns > _EDGE_OLD_NS
        if width < window_ns // 2 and (not self.edge_width_ns or width <= self.edge_width_ns or old):
            self.edge_ns, self.edge_width_ns, self.edge_seen_ns = high_ns, max(1, width), high_ns

    def _interval_end(self, budget: Budget, now_ns: int) -> int:
        """When the interval that ``now_ns`` lies in has surely ended."""
        window = budget.window_ns
        if not self.edge_width_ns:
            return now_ns + window + _EDGE_SLACK_NS
        end = now_ns + window - (now_ns - self.edge_ns) % window
        if end - now_ns <= self.edge_width_ns + _EDGE_SLACK_NS:
            end += window  # it may have ended already, and this word be of the next one
        return end + _EDGE_SLACK_NS

    # --- Who waits -------------------------------------------------------------------------------------

    @property
    def contended(self) -> bool:
        """Whether anybody may wait here."""
        return self.waiters > 0

    def wait_noted(self, priority: Priority, amount: int, patience_ns: int, now_ns: int) -> None:
        """``priority`` found no room for ``amount``."""
        entry = self.waiting[priority]
        if entry.since_ns < 0:
            self.waiters += 1
        if entry.since_ns < 0 or now_ns - entry.seen_ns > patience_ns:
            entry.since_ns = now_ns
            entry.need = 0
        entry.need = max(entry.need, amount)
        entry.seen_ns = now_ns

    def served(self, priority: Priority) -> None:
        """``priority`` found room: its waiting begins anew."""
        if self.waiters and self.waiting[priority].since_ns >= 0:
            self.waiting[priority].since_ns = _NEVER
            self.waiters -= 1

    def patient_until(self, priority: Priority, patience_ns: int, now_ns: int) -> int:
        """When ``priority`` has waited for too long, if it goes on waiting."""
        entry = self.waiting[priority]
        fresh = entry.since_ns >= 0 and now_ns - entry.seen_ns <= patience_ns
        return (entry.since_ns if fresh else now_ns) + patience_ns

    def claims(self, patience_ns: int, now_ns: int) -> Iterator[tuple[Priority, Waiting]]:
        """Priorities that waited for too long and still ask."""
        for priority in _PRIORITIES:
            entry = self.waiting[priority]
            if 0 <= entry.since_ns <= now_ns - patience_ns and now_ns - entry.seen_ns <= patience_ns:
                yield priority, entry

    def claimed(self, priority: Priority, patience_ns: int, now_ns: int) -> int:
        """The room that ``priority`` leaves to those who waited for too long, and for longer than it did itself."""
        own = self.waiting[priority]
        fresh = own.since_ns >= 0 and now_ns - own.seen_ns <= patience_ns
        place = (own.since_ns if fresh else now_ns, priority)
        return max(
            (
                entry.need
                for who, entry in self.claims(patience_ns, now_ns)
                if who is not priority and (entry.since_ns, who) < place
            ),
            default=0,
        )

    # --- Another clock ---------------------------------------------------------------------------------

    def shift(self, by_ns: int) -> None:
        """Move every time by ``by_ns``: what is kept in a file outlives the boot that its clock began with."""
        self.head += -(-by_ns // self.slot_ns)
        # Slots are found by their number: the ring turns with it.
        turn = -(-by_ns // self.slot_ns) % _RING
        self.slots = self.slots[-turn:] + self.slots[:-turn] if turn else self.slots
        self.told_ns += by_ns
        self.told_until_ns += by_ns
        self.seen_ns += by_ns
        self.edge_ns += by_ns
        self.edge_seen_ns += by_ns
        for entry in self.waiting:
            if entry.since_ns >= 0:
                entry.since_ns = max(0, entry.since_ns + by_ns)
                entry.seen_ns += by_ns
