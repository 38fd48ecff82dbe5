"""What reconciliation remembers of one venue: its last reading, our executions there, what does not fit yet."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal

import msgspec

from trading.recon.cash import CashHistory
from trading.recon.config import ReconConfig
from trading.recon.difference import Difference
from trading.recon.fills import Bookings, Execution


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue said of itself: asked, and here, by our clock."""

    asked_ns: int
    read_ns: int
    exec_seq: int
    balances: dict[str, Decimal]
    positions: dict[str, Decimal]
    open_orders: int


class VenueRecon:
    """What is remembered of one venue."""

    def __init__(self, venue: str, config: ReconConfig) -> None:
        self.venue = venue
        self.bookings = Bookings(config.executions_max)
        self.fundings: OrderedDict[str, tuple[Decimal, bool]] = OrderedDict()
        self.cash = CashHistory()
        self.reading: Reading | None = None
        self.pending: Reading | None = None
        self.listed: dict[str, tuple[Execution, int]] = {}
        """Executions of the venue that are not booked here, and when they were first listed."""
        self.unlike: dict[str, Difference] = {}
        self.ghosts: dict[str, Difference] = {}
        self.external: dict[str, Difference] = {}
        self.unbooked_fundings: set[str] = set()
        self.proved = False
        """Whether cash was compared with balances since this life began, and was the same."""
        self.opened_ns = 0
        self.next_ask_ns = 0
        self.asked_ns = 0
        self.asked_last_ns = 0
        self.asked_from_ns = 0
        self.readings = 0
        self.deep_readings = 0
        self.clean_ns = 0
        self.stated_ns = 0
        self.stated_ok: bool | None = None
