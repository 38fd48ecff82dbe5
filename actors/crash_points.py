"""Named moments of an order's life at which a drill ends a process with SIGKILL: a trap is laid in one actor and waits.

A trap is a `DrillFault` of kind ``crash:<boundary>``, so it reaches an actor only where drills are allowed, and only an
actor that has one looks at its messages: the shell hands every message of a drilled actor to the trap, before and after
it is handled, and the shell of any other actor has not one instruction more. Watching files and logs from outside would
cost nothing either, but what it sees has passed by the time that it acts: between "the row is durable" and "the request
is written" lie microseconds. Owns what each boundary means in messages; who is to die, and when, is the campaign's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from actors.messages import AppendRows, OrderSent, RowsCommitted, SaveCheckpoint, VenueReconciled
from trading.orders.journal_rows import PLACING
from trading.orders.messages import AccountState, ExecType, ExecutionReport, NewOrderSingle

CRASH: Final = "crash:"
_READY: Final = "OrdersReady"
"""By name: its module brings an HTTP client along, and only cells that send pay for one."""
_SEEN_MAX: Final = 10_000


class Boundary(Enum):
    """Where a process may be told to die."""

    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_SEND = "before_send"
    AFTER_SEND = "after_send"
    AFTER_ACK = "after_ack"
    AFTER_FILL = "after_fill"
    BEFORE_CLEAN = "before_clean"
    AFTER_CLEAN = "after_clean"
    BEFORE_CHECKPOINT = "before_checkpoint"
    AFTER_CHECKPOINT = "after_checkpoint"


class CrashTrap:
    """One trap. ``dies`` is what ends the process; it does not come back."""

    def __init__(self, kind: str, dies: Callable[[str], None] | None = None) -> None:
        self._boundary = Boundary(kind.removeprefix(CRASH))
        self._dies = dies or _die
        self._commits: set[int] = set()
        self._sent = False

    def around(self, msg: Any, handle: Callable[[Any], None]) -> None:
        """Let ``handle`` do its work, unless, or until, the moment has come."""
        if self._before(msg):
            self._dies(self._boundary.value)
        handle(msg)
        if self._after(msg):
            self._dies(self._boundary.value)

    def _before(self, msg: Any) -> bool:
        match self._boundary:
            case Boundary.BEFORE_COMMIT:  # in the journal: an order was decided, nothing of it is written
                return _places(msg)
            case Boundary.AFTER_COMMIT:  # in the journal: the order is durable, nobody was told and nothing has left
                return isinstance(msg, RowsCommitted) and not self._commits.isdisjoint(msg.commit_ids)
            case Boundary.BEFORE_SEND:  # in a gateway: the order is there, its permit is not read
                return isinstance(msg, NewOrderSingle)
            case Boundary.AFTER_SEND:  # in a gateway: the venue has spoken; in the order core: the order has left
                return isinstance(msg, OrderSent) or (self._sent and type(msg).__name__ == _READY)
            case Boundary.BEFORE_CLEAN:  # in the order core: the venue's account has come, it is not compared
                return isinstance(msg, AccountState) and msg.cause == "reconcile"
            case Boundary.BEFORE_CHECKPOINT:  # in the journal: a state was taken, nothing of it is kept
                return isinstance(msg, SaveCheckpoint)
            case Boundary.AFTER_ACK | Boundary.AFTER_FILL | Boundary.AFTER_CLEAN | Boundary.AFTER_CHECKPOINT:
                return False

    def _after(self, msg: Any) -> bool:
        match self._boundary:
            case Boundary.AFTER_COMMIT:
                if _places(msg) and len(self._commits) < _SEEN_MAX:
                    self._commits.add(msg.commit_id)
                return False
            case Boundary.AFTER_SEND:
                self._sent = self._sent or isinstance(msg, NewOrderSingle)
                return False
            case Boundary.AFTER_ACK:  # in the order core: the rows of an ACK are on their way to the disk
                return isinstance(msg, ExecutionReport) and msg.exec_type is ExecType.NEW
            case Boundary.AFTER_FILL:  # in the order core: the rows of an execution are
                return isinstance(msg, ExecutionReport) and msg.exec_type is ExecType.TRADE
            case Boundary.AFTER_CLEAN:  # in the governor: the venue was just found clean
                return isinstance(msg, VenueReconciled) and msg.ok
            case Boundary.AFTER_CHECKPOINT:  # in the journal: its writer has the state, and keeps it when idle
                return isinstance(msg, SaveCheckpoint)
            case Boundary.BEFORE_COMMIT | Boundary.BEFORE_SEND | Boundary.BEFORE_CLEAN | Boundary.BEFORE_CHECKPOINT:
                return False


def _places(msg: Any) -> bool:
    return isinstance(msg, AppendRows) and any(getattr(row, "kind", None) in PLACING for row in msg.rows)


def _die(boundary: str) -> None:
    os.write(2, f"drill: this process ends itself {boundary}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
