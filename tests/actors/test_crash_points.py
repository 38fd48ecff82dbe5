"""A trap lets everything pass until its moment, and then handles nothing more."""

from __future__ import annotations

import msgspec
import pytest

from actors.crash_points import CRASH, Boundary, CrashTrap
from actors.messages import AppendRows, OrderSent, RowsCommitted, SaveCheckpoint, VenueReconciled
from adapters.orders.link import OrdersReady
from trading.orders.journal_rows import JournalKind, RowDraft
from trading.orders.messages import AccountState, ExecType, NewOrderSingle
from trading.orders.messages import ExecutionReport as Report


class Died(BaseException):
    """In a test nobody dies."""


def rows(commit_id, kind):
    row = RowDraft(1, kind, "okx", "pd1-a-1", None, "i", 1, b"")
    return AppendRows(commit_id=commit_id, rows=(row,), reply_to="orders")


def bare(kind, **fields):
    """A message of which only a few fields matter."""
    needed = {field.name for field in msgspec.structs.fields(kind) if field.required}
    return kind(**(dict.fromkeys(needed) | fields))


PLACE, ACK = rows(1, JournalKind.PLACE), rows(2, JournalKind.ACK)
DONE = [RowsCommitted(commit_ids=(2,)), RowsCommitted(commit_ids=(1,))]
ORDER, READY = bare(NewOrderSingle), OrdersReady()
NEW, TRADE = bare(Report, exec_type=ExecType.NEW), bare(Report, exec_type=ExecType.TRADE)
AUDIT, RECONCILE = bare(AccountState, cause="audit"), bare(AccountState, cause="reconcile")
DIRTY, CLEAN = (VenueReconciled(venue="okx", incarnation=1, ok=ok, text="") for ok in (False, True))

KEEP = SaveCheckpoint("orders.1", 7, b"", 1)

TABLE = [
    (Boundary.BEFORE_COMMIT, [ACK, PLACE], 1),
    (Boundary.AFTER_COMMIT, [ACK, PLACE, *DONE], 3),
    (Boundary.BEFORE_SEND, [READY, ORDER], 1),
    (Boundary.AFTER_SEND, [READY, ORDER, READY], 2),
    (Boundary.AFTER_SEND, [OrderSent("okx", "pd1-a-1", 1, 1, 1)], 0),
    (Boundary.AFTER_ACK, [TRADE, NEW], 2),
    (Boundary.AFTER_FILL, [NEW, TRADE], 2),
    (Boundary.BEFORE_CLEAN, [AUDIT, RECONCILE], 1),
    (Boundary.AFTER_CLEAN, [DIRTY, CLEAN], 2),
    (Boundary.BEFORE_CHECKPOINT, [PLACE, KEEP], 1),
    (Boundary.AFTER_CHECKPOINT, [PLACE, KEEP], 2),
]


@pytest.mark.parametrize(("boundary", "messages", "handled_before"), TABLE)
def test_a_trap_ends_the_process_at_its_boundary_and_not_before(boundary, messages, handled_before):
    handled = []

    def dies(_):
        raise Died

    trap = CrashTrap(f"{CRASH}{boundary.value}", dies)
    for message in messages[:-1]:
        trap.around(message, handled.append)
    with pytest.raises(Died):
        trap.around(messages[-1], handled.append)
    assert len(handled) == handled_before


def test_every_boundary_has_a_row_in_this_table():
    assert {boundary for boundary, _, _ in TABLE} == set(Boundary)
