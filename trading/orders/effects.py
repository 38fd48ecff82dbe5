"""What the order core asks its shell to do. The shell's duties are on `OrderCore`."""

from __future__ import annotations

import msgspec

from trading.orders.journal_rows import RowDraft
from trading.orders.messages import (
    FundingPayment,
    InternalCross,
    OrderDenied,
    OrderFilled,
    OrderUpdated,
    VenueCommand,
)
from trading.recon.difference import AccountCompared


class Journal(msgspec.Struct, frozen=True):
    """Give the rows to the journal as one batch; answer with ``on_committed(commit_id)``.

    What waits for it stays in the core.
    """

    commit_id: int
    rows: tuple[RowDraft, ...]


class SendToVenue(msgspec.Struct, frozen=True):
    """Hand the command to the venue's order gateway, now."""

    command: VenueCommand


class Emit(msgspec.Struct, frozen=True):
    """Tell the rest of the desk; the journal already holds it."""

    message: OrderUpdated | OrderFilled | OrderDenied | FundingPayment | InternalCross | AccountCompared


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of a comparison with the venue.

    ``ok=False`` wants a brake on the venue, or on ``instrument_ids`` where it names some, until an ``ok=True`` comes.
    ``incarnation``: of the venue that was compared.
    """

    venue: str
    incarnation: int
    ok: bool
    text: str
    instrument_ids: tuple[str, ...] = ()


Effect = Journal | SendToVenue | Emit | Reconciled
