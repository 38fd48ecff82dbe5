"""What the protection asks its shell to do. The shell's duties are on `trading.protection.core.Protection`."""

from __future__ import annotations

import msgspec

from trading.orders.journal_rows import RowDraft
from trading.orders.messages import Intent


class WriteRows(msgspec.Struct, frozen=True):
    """Give the rows to the journal as one batch; answer with ``on_committed(commit_id)``."""

    commit_id: int
    rows: tuple[RowDraft, ...]


class Say(msgspec.Struct, frozen=True):
    """Hand an intent to the arbiter: the strategy's own, or the exit in its name."""

    intent: Intent


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What operators should read. ``code`` is PROTECTIVE_EXIT, PROTECTIVE_EXIT_DONE or PROTECTIVE_EXIT_STUCK."""

    code: str
    level: str
    instrument_id: str
    text: str
    ts_ns: int


class Stuck(msgspec.Struct, frozen=True, kw_only=True):
    """A brake on an instrument is wanted (``on``) or no longer: an exit there is not done in time."""

    instrument_id: str
    on: bool
    text: str


Effect = WriteRows | Say | Told | Stuck
"""In this order: rows before words."""
