"""Executions that are heard late, booked where the venue booked them.

What a close realises depends on what was held before it, so an execution that a reading of the account brings after a
newer one was heard on the stream belongs before that one: a wallet that was kept in the venue's order and one in the
order of hearing are not equal. Owns the order (`venue_order`) and one owner's holding of one instrument with its newest
executions, which can be undone and booked again (`Course`). Owns no account: what changes by it is told, as a sum.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Protocol, TypeVar

import msgspec

from trading.instruments import Instrument
from trading.ledger.accounts import ZERO, Holding
from trading.orders.messages import ExecutionReport, OrderFilled

LATE_MAX = 1_024
"""So many newer executions of the same holding may have been booked before a late one."""

Order = tuple[int, int]


def venue_order(m: OrderFilled | ExecutionReport) -> Order:
    """Where an execution stands among those of its instrument: the venue's time, then its number of that moment."""
    return m.ts_event_ns, m.trade_seq or m.exec_seq


class Placed(Protocol):
    """Something that was booked and knows its place."""

    @property
    def at(self) -> Order:
        """Where it stands among those of its instrument."""
        ...


T = TypeVar("T", bound=Placed)


def take_newer(steps: deque[T], at: Order) -> list[T]:
    """Take what was booked after ``at`` out of ``steps``; newest first, so the last of it says what was before all."""
    newer: list[T] = []
    while steps and steps[-1].at > at:
        newer.append(steps.pop())
    return newer


class Step(msgspec.Struct, frozen=True, gc=False):
    """One execution as it was booked: ``held`` and ``cost`` before it, ``eaten`` what its fee took of the holding."""

    at: Order
    qty: Decimal
    px: Decimal
    eaten: Decimal
    held: Decimal
    cost: Decimal
    realized: Decimal
    consumed: Decimal


class Booked(msgspec.Struct, frozen=True, gc=False):
    """What an execution changed: the profit it realised and the cost of what its fee ate.

    Both with what it changed of the ``restated`` newer executions.
    """

    realized: Decimal
    consumed: Decimal
    restated: int = 0


class Course:
    """A holding and how it came to be. Whatever the order of booking, it ends as in the venue's order."""

    __slots__ = ("_steps", "holding")

    def __init__(self) -> None:
        self.holding = Holding()
        self._steps: deque[Step] = deque(maxlen=LATE_MAX)

    def trade(
        self, at: Order | None, qty: Decimal, px: Decimal, instrument: Instrument, *, eaten: Decimal = ZERO
    ) -> Booked:
        """Book a signed execution at its place; without ``at`` after all others.

        One that is older than all that are remembered is booked before the oldest of these.
        """
        steps = self._steps
        if at is None:
            at = steps[-1].at if steps else (0, 0)
        if not steps or steps[-1].at <= at:
            step = self._step(at, qty, px, eaten, instrument)
            return Booked(step.realized, step.consumed)
        newer = take_newer(steps, at)
        self.holding.qty, self.holding.cost = newer[-1].held, newer[-1].cost
        step = self._step(at, qty, px, eaten, instrument)
        realized, consumed = step.realized, step.consumed
        for old in reversed(newer):
            new = self._step(old.at, old.qty, old.px, old.eaten, instrument)
            realized += new.realized - old.realized
            consumed += new.consumed - old.consumed
        return Booked(realized, consumed, len(newer))

    def _step(self, at: Order, qty: Decimal, px: Decimal, eaten: Decimal, instrument: Instrument) -> Step:
        holding = self.holding
        held, cost = holding.qty, holding.cost
        realized = holding.trade(qty, px, instrument)
        consumed = holding.consume(eaten, px, instrument) if eaten else ZERO
        step = Step(at, qty, px, eaten, held, cost, realized, consumed)
        self._steps.append(step)
        return step
