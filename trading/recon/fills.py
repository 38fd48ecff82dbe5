"""Executions matched one by one: ours against a venue's own list, by exec_id.

`differing` compares two words of one execution, `Bookings` remembers ours for the time that is looked back. Owns no
judgement: what is missing, a ghost or told otherwise is `trading.recon.core`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from trading.orders.messages import ExecutionReport, OrderFilled, Side

COMPARED = ("instrument_id", "side", "qty", "px", "fee", "fee_asset")
"""The fields in which two words of one execution must agree."""


class Execution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One execution in the words that both sides have. ``fee`` is positive when paid; times are the venue's, UTC."""

    venue: str
    instrument_id: str
    exec_id: str
    cl_ord_id: str
    side: Side
    qty: Decimal
    px: Decimal
    fee: Decimal
    fee_asset: str
    ts_event_ns: int
    exec_seq: int = 0

    def __str__(self) -> str:
        return (
            f"{self.exec_id} {self.side.value} {self.qty} {self.instrument_id} at {self.px}, fee {self.fee} "
            f"{self.fee_asset}, order {self.cl_ord_id or 'none'}"
        )


def execution_of(m: ExecutionReport | OrderFilled) -> Execution:
    """An execution from a venue's report or from our own book."""
    return Execution(
        venue=m.venue,
        instrument_id=m.instrument_id,
        exec_id=m.exec_id,
        cl_ord_id=m.cl_ord_id,
        side=m.side,
        qty=m.last_qty,
        px=m.last_px,
        fee=m.fee,
        fee_asset=m.fee_asset,
        ts_event_ns=m.ts_event_ns,
        exec_seq=m.exec_seq,
    )


def differing(ours: Execution, theirs: Execution) -> tuple[str, ...]:
    """The fields in which two words of one execution differ; what one of them leaves empty says nothing."""
    found = []
    for field in COMPARED:
        mine, their = getattr(ours, field), getattr(theirs, field)
        if mine == their or (field == "fee_asset" and not (mine and their)):
            continue
        if field == "fee" and not (ours.fee_asset and theirs.fee_asset):
            continue
        found.append(field)
    return tuple(found)


class Bookings:
    """Our executions at one venue, the newest ``most`` of them; and which of them the venue's own lists confirmed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, Execution] = {}
        self._unconfirmed: dict[str, int] = {}
        self._before_us: frozenset[str] = frozenset()
        self._floor_seq = 0
        self._floor_ns = 0
        self.booked = 0
        self.confirmed = 0
        self.forgotten = 0
        """Executions that left the window before any list of the venue confirmed them."""

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, exec_id: str) -> bool:
        return exec_id in self._known

    def get(self, exec_id: str) -> Execution | None:
        """One of ours, or None."""
        return self._known.get(exec_id)

    def add(self, one: Execution, now_ns: int, *, confirmed: bool = False) -> None:
        """Booked now. ``confirmed``: an earlier life of ours had it confirmed, as far as can be told."""
        if one.exec_id in self._known:
            return
        self._known[one.exec_id] = one
        self.booked += 1
        if confirmed:
            self.confirmed += 1
        else:
            self._unconfirmed[one.exec_id] = now_ns
        if len(self._known) > self._most:
            oldest = self._known.pop(next(iter(self._known)))
            self.open_at((), oldest.exec_seq, oldest.ts_event_ns)
            if self._unconfirmed.pop(oldest.exec_id, None) is not None:
                self.forgotten += 1

    def open_at(self, exec_ids: Iterable[str], exec_seq: int, floor_ns: int) -> None:
        """What the venue did before our first day, or before the time that is looked back: not ours to miss."""
        self._before_us = self._before_us | frozenset(exec_ids)
        self._floor_seq, self._floor_ns = max(self._floor_seq, exec_seq), max(self._floor_ns, floor_ns)

    def judges(self, one: Execution) -> bool:
        """Whether an execution that is not among ours ought to be: it is no older than what is remembered."""
        if one.exec_id in self._before_us:
            return False
        return one.exec_seq > self._floor_seq if one.exec_seq else one.ts_event_ns > self._floor_ns

    def confirm(self, exec_id: str) -> bool:
        """A list of the venue has it, in the same words; whether that is news."""
        if self._unconfirmed.pop(exec_id, None) is None:
            return False
        self.confirmed += 1
        return True

    def is_unconfirmed(self, exec_id: str) -> bool:
        """Whether it is ours and no list has confirmed it yet."""
        return exec_id in self._unconfirmed

    @property
    def unconfirmed(self) -> int:
        """How many no list of the venue has confirmed yet."""
        return len(self._unconfirmed)

    def unconfirmed_before(self, booked_before_ns: int) -> int:
        """How many of them were booked before a moment of ours."""
        return sum(1 for at_ns in self._unconfirmed.values() if at_ns < booked_before_ns)

    def doubtful(self, from_ns: int, booked_before_ns: int) -> Iterator[Execution]:
        """Unconfirmed ones that a list since ``from_ns`` (venue's time) should hold, booked before a moment of ours."""
        for exec_id, at_ns in self._unconfirmed.items():
            one = self._known[exec_id]
            if at_ns < booked_before_ns and one.ts_event_ns >= from_ns:
                yield one

    def since(self, from_ns: int) -> tuple[int, int]:
        """Where a list must begin to hold all of ours since ``from_ns``: the venue's time (ns), and exec_seq before it.

        (0, 0) when there are none.
        """
        first = next((one for one in self._known.values() if one.ts_event_ns >= from_ns), None)
        return (0, 0) if first is None else (first.ts_event_ns, max(0, first.exec_seq - 1))
