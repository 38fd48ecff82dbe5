"""The drop copy's judgement of one venue: what its record and our journal do not agree on, since when, what follows.

Owns waiting (either side may be behind the other for a while), differences and their ends. Reads nothing, repairs
nothing: what is missing is booked by the order core on its own evidence, and heals here when both sides agree.
``now_ns`` and ``since_ns`` of a difference are ours, UTC; the times of executions are the venue's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from trading.brakes import Level
from trading.dropcopy.execution import DifferenceKind, Execution, absent_kind, difference, told

SECOND_NS: Final = 1_000_000_000
_RECENT: Final = 2_000

LEVELS: Final[Mapping[DifferenceKind, Level]] = {
    DifferenceKind.UNBOOKED: Level.HOLD,
    DifferenceKind.GHOST: Level.HOLD,
    DifferenceKind.DUPLICATE: Level.HOLD,
    DifferenceKind.QTY: Level.HOLD,
    DifferenceKind.PRICE: Level.PAUSE,
    DifferenceKind.FEE: Level.PAUSE,
}
"""What a lasting difference does to its venue: where the position is in doubt nothing leaves, where only money is,
nothing new is risked. A funding payment is only money."""

HEALS: Final = frozenset({DifferenceKind.UNBOOKED, DifferenceKind.GHOST, DifferenceKind.DUPLICATE})
"""What the slower side can still mend; what both sides have said for good only a person can accept."""


class DropCopyRules(msgspec.Struct, frozen=True, kw_only=True):
    """How patient it is.

    ``grace_ns``: the journal may be so far behind the record, ``funding_grace_ns`` where it is about funding, for which
    the order path asks less often. ``late_ns``: the record may be so far behind the journal.
    A difference that lasts ``lasting_ns`` brakes, and the order core is asked to reconcile every ``again_ns`` until it
    ends. ``rewind_ns``: the record is read again from so long ago at most, for what it did not have. At most
    ``waiting_max`` executions wait for the other side, and ``open_max`` differences are told apart.
    """

    grace_ns: int = 2 * SECOND_NS
    funding_grace_ns: int = 60 * SECOND_NS
    late_ns: int = 30 * SECOND_NS
    lasting_ns: int = 10 * SECOND_NS
    again_ns: int = 30 * SECOND_NS
    rewind_ns: int = 600 * SECOND_NS
    waiting_max: int = 20_000
    matched_max: int = 20_000
    open_max: int = 1_000


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One execution on which the two sides do not agree; ``accepted_by`` names who looked at it and lives with it."""

    kind: DifferenceKind
    exec_id: str
    listed: Execution | None
    booked: Execution | None
    since_ns: int
    accepted_by: str = ""

    @property
    def text(self) -> str:
        """In words."""
        return told(self.kind, self.listed, self.booked)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One whole reading of the record, of executions from ``since_ns`` to ``until_ns`` (venue), and when it began.

    ``fundings_since_ns``: funding was read too, from then on; None where this reading has none.
    """

    since_ns: int
    until_ns: int
    began_ns: int
    fundings_since_ns: int | None = None

    def covers(self, one: Execution) -> bool:
        """Whether the record would have shown it."""
        since_ns = self.fundings_since_ns if one.is_funding else self.since_ns
        return since_ns is not None and since_ns <= one.ts_event_ns <= self.until_ns


class Turn(msgspec.Struct, kw_only=True):
    """What one message changed, for the store and for operators.

    ``listed`` waits to be booked, ``booked`` waits to be listed, ``gone`` waits no longer (by exec_id).
    """

    matched: list[Execution] = []
    listed: list[Execution] = []
    booked: list[Execution] = []
    gone: list[str] = []
    opened: list[Difference] = []
    healed: list[Difference] = []


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    execution: Execution
    seen_ns: int


class DropCopyCore:
    """One venue's comparison. ``from_ns`` (venue) is where the copy begins: what was before it is not compared."""

    def __init__(self, rules: DropCopyRules, from_ns: int) -> None:
        self.rules = rules
        self.from_ns = from_ns
        self.before_ns = 0
        """Executions up to this venue's time were before the desk's first day there, and need not be booked."""
        self._listed: OrderedDict[str, _Waiting] = OrderedDict()
        self._booked: OrderedDict[str, _Waiting] = OrderedDict()
        self._matched: OrderedDict[str, None] = OrderedDict()
        self._recent: deque[Execution] = deque(maxlen=_RECENT)
        self._open: dict[str, Difference] = {}
        self._asked_ns = 0
        self.listed = 0
        self.matched = 0
        self.asked = 0
        self.found: dict[DifferenceKind, int] = dict.fromkeys(DifferenceKind, 0)
        self.overflowed = 0

    def restore(
        self, listed: Iterable[Execution], booked: Iterable[Execution], open_: Iterable[Difference], now_ns: int
    ) -> None:
        """What an earlier life left waiting and open. Waiting begins anew: nobody looked meanwhile."""
        for one in listed:
            self._listed[one.exec_id] = _Waiting(one, now_ns)
        for one in booked:
            self._booked[one.exec_id] = _Waiting(one, now_ns)
        for each in open_:
            self._open[each.exec_id] = each

    # --- What is told -----------------------------------------------------------------------------------

    def on_listed(self, executions: Iterable[Execution], span: Span, now_ns: int) -> Turn:
        """A whole reading of the venue's record. What it has been told before changes nothing."""
        turn = Turn()
        for one in executions:
            self._take_listed(one, now_ns, turn)
        for exec_id, waiting in tuple(self._booked.items()):
            one = waiting.execution
            if span.covers(one) and span.began_ns >= waiting.seen_ns + self.rules.late_ns and exec_id not in self._open:
                kind = absent_kind(one, (*self._recent, *(w.execution for w in self._listed.values())))
                self._opened(kind, None, one, now_ns, turn)
        return turn

    def on_booked(self, executions: Iterable[Execution], now_ns: int) -> Turn:
        """What the journal holds since it was last looked at."""
        turn = Turn()
        for one in executions:
            waiting = self._listed.pop(one.exec_id, None)
            if waiting is not None:
                self._both(waiting.execution, one, now_ns, turn)
            elif one.ts_event_ns < self.from_ns or one.exec_id in self._matched or one.exec_id in self._booked:
                continue
            elif len(self._booked) >= self.rules.waiting_max:
                self.overflowed += 1
            else:
                self._booked[one.exec_id] = _Waiting(one, now_ns)
                turn.booked.append(one)
        return turn

    def on_before(self, before_ns: int) -> Turn:
        """The desk's first day began at this venue's time: what was executed before is not the desk's."""
        turn = Turn()
        self.before_ns = max(self.before_ns, before_ns)
        for exec_id, waiting in tuple(self._listed.items()):
            if waiting.execution.ts_event_ns <= self.before_ns:
                del self._listed[exec_id]
                turn.matched.append(waiting.execution)
                self._ended(exec_id, turn)
        return turn

    def on_time(self, now_ns: int) -> Turn:
        """What waited for the journal too long is a difference. To be called when the journal was read to its end."""
        turn = Turn()
        for exec_id, waiting in self._listed.items():
            waits_ns = now_ns - waiting.seen_ns
            if waits_ns < self.rules.grace_ns:
                break  # in the order in which they came
            patient = waiting.execution.is_funding and waits_ns < self.rules.funding_grace_ns
            if exec_id not in self._open and not patient:
                self._opened(DifferenceKind.UNBOOKED, waiting.execution, None, now_ns, turn)
        return turn

    def accept(self, exec_id: str, by: str) -> Turn:
        """A person has looked at a difference and lives with it: it holds nothing any more."""
        turn = Turn()
        known = self._open.pop(exec_id, None)
        if known is not None:
            waiting = self._listed.pop(exec_id, None)
            if waiting is not None:
                turn.matched.append(waiting.execution)
            if self._booked.pop(exec_id, None) is not None:
                turn.gone.append(exec_id)
            self._remember(exec_id)
            turn.healed.append(msgspec.structs.replace(known, accepted_by=by))
        return turn

    # --- What follows -----------------------------------------------------------------------------------

    @property
    def gap(self) -> int:
        """How many executions the two sides do not agree on; 0 is what it has to be."""
        return len(self._open)

    @property
    def waiting(self) -> tuple[int, int]:
        """How many wait to be booked, and to be listed."""
        return len(self._listed), len(self._booked)

    def open(self) -> tuple[Difference, ...]:
        """Differences that have not ended, oldest first."""
        return tuple(sorted(self._open.values(), key=lambda one: one.since_ns))

    def lasting(self, now_ns: int) -> tuple[Difference, ...]:
        """Those that have lasted so long that the venue may not be traded on as if nothing were."""
        return tuple(one for one in self.open() if now_ns - one.since_ns >= self.rules.lasting_ns)

    def brake(self, now_ns: int) -> tuple[Level, str] | None:
        """How far the venue has to be braked, and what is missing in words; None while it need not be."""
        lasting = self.lasting(now_ns)
        if not lasting:
            return None
        more = f" and {len(lasting) - 3} more" if len(lasting) > 3 else ""
        words = "; ".join(one.text for one in lasting[:3])
        return max(_level(one) for one in lasting), f"{words}{more}"

    def wants_reconciliation(self, now_ns: int) -> bool:
        """Whether the order core should be asked now: what it can mend lasts, and it was not asked just now."""
        if not any(one.kind in HEALS for one in self.lasting(now_ns)):
            return False
        if self._asked_ns and now_ns - self._asked_ns < self.rules.again_ns:
            return False
        self._asked_ns = now_ns
        self.asked += 1
        return True

    def since_ns(self, usual_ns: int) -> int:
        """From when on the record is to be read: as usual, or earlier where it did not have what was booked."""
        floor = max(self.from_ns, usual_ns - self.rules.rewind_ns)
        waiting = [w.execution.ts_event_ns for w in self._booked.values()]
        if len(self._listed) >= self.rules.waiting_max:
            # Some of what was listed found no room here: it has to be listed again.
            waiting += [w.execution.ts_event_ns for w in self._listed.values()]
        return max(floor, min(usual_ns, min(waiting, default=usual_ns) - SECOND_NS))

    # --- Inside -----------------------------------------------------------------------------------------

    def _take_listed(self, one: Execution, now_ns: int, turn: Turn) -> None:
        if one.exec_id in self._matched or one.exec_id in self._listed or one.ts_event_ns < self.from_ns:
            return
        waiting = self._booked.get(one.exec_id)
        if waiting is None and len(self._listed) >= self.rules.waiting_max:
            self.overflowed += 1  # it is listed again as long as nothing moves on
            return
        self.listed += 1
        if waiting is not None:
            del self._booked[one.exec_id]
            turn.gone.append(one.exec_id)
            self._both(one, waiting.execution, now_ns, turn)
        elif one.ts_event_ns <= self.before_ns:
            self._remember(one.exec_id)
            turn.matched.append(one)
        else:
            self._listed[one.exec_id] = _Waiting(one, now_ns)
            turn.listed.append(one)

    def _both(self, listed: Execution, booked: Execution, now_ns: int, turn: Turn) -> None:
        """Both sides have it: the waiting is over, and they agree or they do not."""
        self._remember(listed.exec_id)
        self._recent.append(listed)
        self.matched += 1
        turn.matched.append(listed)
        self._ended(listed.exec_id, turn)
        kind = difference(listed, booked)
        if kind is not None:
            self._opened(kind, listed, booked, now_ns, turn)

    def _opened(
        self, kind: DifferenceKind, listed: Execution | None, booked: Execution | None, now_ns: int, turn: Turn
    ) -> None:
        one = listed or booked
        assert one is not None
        if len(self._open) >= self.rules.open_max:
            self.overflowed += 1
            return
        self.found[kind] += 1
        made = Difference(kind=kind, exec_id=one.exec_id, listed=listed, booked=booked, since_ns=now_ns)
        self._open[one.exec_id] = made
        turn.opened.append(made)

    def _ended(self, exec_id: str, turn: Turn) -> None:
        known = self._open.pop(exec_id, None)
        if known is not None:
            turn.healed.append(known)

    def _remember(self, exec_id: str) -> None:
        self._matched[exec_id] = None
        if len(self._matched) > self.rules.matched_max:
            self._matched.popitem(last=False)


def _level(one: Difference) -> Level:
    told_of = one.listed or one.booked
    return Level.PAUSE if told_of is not None and told_of.is_funding else LEVELS[one.kind]
