"""One call into the order core: the rows it writes, what it may say at once, what waits for the rows."""

from __future__ import annotations

import msgspec

from trading.orders.effects import Effect, Emit, Reconciled, SendToVenue
from trading.orders.journal_rows import (
    RowDraft,
)


class PlaceHeld(msgspec.Struct, frozen=True):
    """An order that goes out when its row is durable."""

    key: tuple[str, str]


class CancelHeld(msgspec.Struct, frozen=True):
    """A cancel that goes out when its row is durable, unless it has been settled by then."""

    key: tuple[str, str]
    cancel_id: str


Held = SendToVenue | Emit | Reconciled | PlaceHeld | CancelHeld


class Turn:
    """What one call decided."""

    __slots__ = ("held", "now", "rows", "said")

    def __init__(self, now_ns: int) -> None:
        self.now = now_ns
        self.rows: list[RowDraft] = []
        self.said: list[Effect] = []
        self.held: list[Held] = []
