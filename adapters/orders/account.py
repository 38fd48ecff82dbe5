"""Reading an account: the cursor of what was read, the requests it takes, and what they add up to.

Real venues have no account-wide sequence of executions, so what is new is told by trade ids or times per instrument.
**Only what REST listed moves the cursor**: a stream can drop a frame and deliver the next, and a cursor moved by the
next would never ask for the dropped one. Pure; `adapters.orders.client` asks, the gateway stores the cursor.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.orders.wire import HttpAnswer, WireRequest
from trading.orders.messages import AccountState

OVERLAP_MS = 60_000
"""Executions become visible to queries late: each reading begins this long before the end of the one before."""


class TradeMark(msgspec.Struct, frozen=True, kw_only=True):
    """The newest execution of an instrument that REST listed: the venue's trade id, and its time (UTC ms)."""

    trade_id: str
    ts_ms: int


class AccountCursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far an account was read. JSON-able by msgspec; instruments without a mark are read from ``since_ms`` on.

    ``marks`` is by instrument_id, ``funding_ms`` the time of the newest funding that was listed. ``income_ms`` is of
    one reading: from when on funding is asked for where that is dear, 0: as everything else; None: not this time.
    """

    venue: str
    since_ms: int
    marks: dict[str, TradeMark] = {}
    funding_ms: int = 0
    income_ms: int | None = 0

    @classmethod
    def opening(cls, venue: str, now_ms: int) -> AccountCursor:
        """The cursor of a desk that never read this account: what happened before it was not the desk's."""
        return cls(venue=venue, since_ms=now_ms)

    def begin_ms(self, instrument_id: str) -> int:
        """From when on executions of an instrument are asked for; what is older was listed."""
        mark = self.marks.get(instrument_id)
        return max(self.since_ms, mark.ts_ms - OVERLAP_MS) if mark is not None else self.since_ms

    def moved(self, seen: Mapping[str, TradeMark], funding_ms: int, read_ms: int) -> AccountCursor:
        """The cursor after a whole reading that began at ``read_ms`` and listed ``seen``; it never goes back."""
        marks = dict(self.marks)
        for instrument_id, mark in seen.items():
            known = marks.get(instrument_id)
            if known is None or mark.ts_ms >= known.ts_ms:
                marks[instrument_id] = mark
        since_ms, funding_ms = max(self.since_ms, read_ms - OVERLAP_MS), max(self.funding_ms, funding_ms)
        return msgspec.structs.replace(self, marks=marks, funding_ms=funding_ms, since_ms=since_ms, income_ms=0)


class AccountRead(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a reading. ``key`` names it within the reading: what, of which instrument, which page."""

    key: str
    request: WireRequest
    instrument_id: str = ""


class AccountPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one of them brought."""

    read: AccountRead
    answer: HttpAnswer

    @property
    def status(self) -> int:
        """HTTP's."""
        return self.answer.status

    @property
    def body(self) -> bytes:
        """The answer's."""
        return self.answer.body

    @property
    def ts_ns(self) -> int:
        """When it was here."""
        return self.answer.ts_ns


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """The account could not be read, which says nothing about it: no data is never zero."""

    reason: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A whole account, and where the next reading begins."""

    state: AccountState
    cursor: AccountCursor


Parts = Mapping[str, AccountPart]
"""The parts of one reading by key."""

KnownOrders = Mapping[str, str]
"""Client order ids by ``<symbol>:<venue order id>``: for venues whose lists of executions leave them out."""
