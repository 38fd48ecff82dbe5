"""The persistent shapes of a simulated venue: an order, the records of its write-ahead log, and a whole dump.

Log records are states, not differences, so applying one twice changes nothing.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.market.events import MarkPrice
from trading.orders.messages import (
    ExecutionReport,
    FundingPayment,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    VenueCommand,
    VenueEvent,
)
from trading.sim.account import Position

DUMP_VERSION = 1
UNKNOWN_QUEUE = -1


class SimOrder(msgspec.Struct, kw_only=True):
    """One order at the venue, in ticks and lots. ``price_ticks`` is None for a market order.

    ``queue_ahead`` is how many market lots stand before it (`UNKNOWN_QUEUE` until its level is seen);
    ``displayed`` the lots last displayed at its price, ``traded`` those traded there since. ``cum_value`` is the sum
    of quantity times price; ``reports`` numbers its own exec ids; ``updated_ns`` is when it last changed.
    ``trigger`` is what it waits for, or waited for until ``triggered_ns``.
    """

    order_no: int
    cl_ord_id: str
    orig_cl_ord_id: str | None
    instrument_id: str
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    order_lots: int
    price_ticks: int | None
    reduce_only: bool
    ts_ns: int
    status: OrdStatus = OrdStatus.NEW
    cum_lots: int = 0
    cum_value: Decimal = Decimal(0)
    reports: int = 0
    queue_ahead: int = UNKNOWN_QUEUE
    displayed: int = 0
    traded: int = 0
    updated_ns: int = 0
    trigger: TriggeringInstructions | None = None
    triggered_ns: int = 0

    @property
    def order_id(self) -> str:
        """The venue's own id."""
        return str(self.order_no)

    @property
    def open_lots(self) -> int:
        """Lots not executed yet, whatever the status."""
        return self.order_lots - self.cum_lots

    @property
    def is_open(self) -> bool:
        """Whether it can still execute, now or after its trigger."""
        return self.status in (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED, OrdStatus.PENDING_TRIGGER)

    @property
    def waits(self) -> bool:
        """Whether it is held beside the book until its trigger."""
        return self.status is OrdStatus.PENDING_TRIGGER

    @property
    def was_on_book(self) -> bool:
        """Whether it ever was an order like any other."""
        return self.trigger is None or self.triggered_ns > 0


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True, tag="order"):
    """An order as it now is."""

    order: SimOrder


class ExecutionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="execution"):
    """One execution; applied once by its exec_seq."""

    report: ExecutionReport


class FundingRecord(msgspec.Struct, frozen=True, kw_only=True, tag="funding"):
    """One funding payment; applied once by its exec_seq."""

    payment: FundingPayment


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True, tag="account"):
    """Money, positions and counters as they now are. ``settled`` maps an instrument to its newest settlement (ns)."""

    exec_seq: int
    next_order_no: int
    random_state: int
    balances: dict[str, Decimal]
    positions: dict[str, Position]
    settled: dict[str, int]


LogRecord = OrderRecord | ExecutionRecord | FundingRecord | AccountRecord


class ConsumedLevel(msgspec.Struct, frozen=True):
    """Lots we took of a level that showed ``displayed`` then."""

    instrument_id: str
    taken_from: Side
    tick: int
    displayed: int
    taken: int


class VenueDump(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a simulated venue knows except the books, which are given to it anew."""

    version: int
    venue: str
    account: AccountRecord
    open_orders: list[SimOrder]
    finished_orders: list[SimOrder]
    executions: list[ExecutionReport]
    fundings: list[FundingPayment]
    marks: list[MarkPrice]
    consumed: list[ConsumedLevel]
    commands: list[tuple[int, VenueCommand]]
    reports: list[tuple[int, VenueEvent]]
