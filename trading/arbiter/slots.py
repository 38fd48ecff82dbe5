"""Order slots: what the arbiter has working, one order per slot and one slot per owner and side.

Owns the life of one order as the arbiter sees it, back-off after errors and the self-trade bounds. Does not own
order state itself: the order core's updates are the truth.
"""

from __future__ import annotations

import msgspec

from trading.orders.messages import OrdStatus, Side
from trading.risk.exposure import TERMINAL

NET_OWNER = ""
"""Owner of the slots of netted aggressive orders; quotes are owned by their strategy."""

_PEG = "~"


def pegged(strategy_id: str) -> str:
    """Owner of the slots of a strategy's passive targets, apart from its quotes."""
    return strategy_id + _PEG


def unpegged(owner: str) -> str:
    """The strategy behind an owner."""
    return owner.removesuffix(_PEG)


_ACCEPTED = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})


class WorkingOrder(msgspec.Struct):
    """One order that may still fill, in ticks and lots."""

    cl_ord_id: str
    owner: str | None
    side: Side
    price_ticks: int
    lots: int
    replaces: str | None
    strategies: tuple[str, ...] = ()
    replaced_by: str | None = None
    filled_lots: int = 0
    ord_status: OrdStatus = OrdStatus.JOURNALED
    terminal_lots: int | None = None
    canceled_ns: int = 0

    @property
    def open_lots(self) -> int:
        """What can still change the position, fills that were announced and not yet seen included."""
        return max(0, (self.lots if self.terminal_lots is None else self.terminal_lots) - self.filled_lots)

    @property
    def accepted(self) -> bool:
        """Whether the venue has it and nothing else is on its way."""
        return self.ord_status in _ACCEPTED

    @property
    def done(self) -> bool:
        """Terminal, and every fill that the terminal word speaks of was seen."""
        return self.terminal_lots is not None and self.filled_lots >= self.terminal_lots

    def update(self, ord_status: OrdStatus, cum_lots: int) -> None:
        """Take the order core's word."""
        if ord_status in _ACCEPTED and self.ord_status is OrdStatus.PENDING_CANCEL:
            # The cancel was refused: it may be asked for again without waiting.
            self.canceled_ns = 0
        self.ord_status = ord_status
        if ord_status in TERMINAL:
            self.terminal_lots = cum_lots


class Slot:
    """Place of at most one order of ``owner`` on ``side``, with its pace and errors."""

    __slots__ = ("current", "errors", "next_ns", "owner", "side")

    def __init__(self, owner: str, side: Side) -> None:
        self.owner = owner
        self.side = side
        self.current: WorkingOrder | None = None
        self.errors = 0
        self.next_ns = 0

    def failed(self, now_ns: int, retry_ns: int, cool_off_ns: int, after: int) -> None:
        """Wait longer after each error; after ``after`` of them in a row, for the whole cool-off each time."""
        self.errors += 1
        wait_ns = cool_off_ns if self.errors >= after else min(cool_off_ns, retry_ns << (self.errors - 1))
        self.next_ns = max(self.next_ns, now_ns + wait_ns)

    def succeeded(self) -> None:
        """An accepted or filled order ends the row of errors."""
        self.errors = 0
