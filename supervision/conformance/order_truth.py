"""What became of every order at the venue's own account: the truth that the order matrix holds the desk against.

Told by the loopback server's account itself, before any fault that hides or delays it. Owns recording; judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec

from adapters.simserver.trading.account import TradingAccount
from trading.orders.messages import ExecType, ExecutionReport, VenueEvent

ORDERS_MAX = 20_000
OURS = "pd"
"""How the desk's own ids begin, as every venue spells them."""


class VenueOrder(msgspec.Struct, kw_only=True):
    """One client order id at the venue; times are monotonic ns, ``ended_ns`` None while it may trade.

    ``numbers`` are the venue's own of the orders placed under the id: more than one is an order that was placed twice.
    """

    cl_ord_id: str
    instrument_id: str
    began_ns: int
    numbers: set[str]
    filled: Decimal = Decimal(0)
    fills: int = 0
    ended_ns: int | None = None
    end: ExecType | None = None

    @property
    def ours(self) -> bool:
        """Whether the desk gave it its id."""
        return self.cl_ord_id.startswith(OURS)


class Truth:
    """All orders of an account since it was first watched, by the desk's spelling of their ids."""

    def __init__(self, mono_ns: Callable[[], int], *, spelled_with: str = "-") -> None:
        """``spelled_with`` is what the venue's ids have for the desk's "-"."""
        self.orders: dict[str, VenueOrder] = {}
        self.executed: dict[str, Decimal] = {}
        """Signed sums of all executions by instrument, whosever they are."""
        self.on_placed: Callable[[VenueOrder], None] = _nothing
        self._by_number: dict[str, VenueOrder] = {}
        self._mono_ns = mono_ns
        self._dash = spelled_with

    def watch(self, account: TradingAccount) -> None:
        """Be told by an account; after a restart of its server by the one that took its place."""
        account.listeners.insert(0, self._on_event)

    def ours(self) -> list[VenueOrder]:
        """The desk's orders, oldest first."""
        return [order for order in self.orders.values() if order.ours]

    def _on_event(self, event: VenueEvent) -> None:
        if not isinstance(event, ExecutionReport):
            return
        cl_ord_id = event.cl_ord_id
        if self._dash != "-" and cl_ord_id.startswith(OURS):
            cl_ord_id = cl_ord_id.replace(self._dash, "-")
        match event.exec_type:
            case ExecType.NEW:
                self._placed(cl_ord_id, event)
            case ExecType.TRADE:
                self._filled(cl_ord_id, event)
            case ExecType.CANCELED | ExecType.EXPIRED | ExecType.REJECTED:
                self._ended(self._by_number.get(event.order_id), event.exec_type)
            case ExecType.REPLACED | ExecType.TRIGGERED | ExecType.ORDER_STATUS:
                pass  # nothing begins and nothing ends by these: the legs of a replacement are told one by one

    def _placed(self, cl_ord_id: str, event: ExecutionReport) -> None:
        if event.order_id in self._by_number:
            return  # told after its executions
        order = self.orders.get(cl_ord_id)
        if order is None:
            if len(self.orders) >= ORDERS_MAX:
                raise RuntimeError(f"more than {ORDERS_MAX} orders in one case")
            order = VenueOrder(
                cl_ord_id=cl_ord_id, instrument_id=event.instrument_id, began_ns=self._mono_ns(), numbers=set()
            )
            self.orders[cl_ord_id] = order
        order.numbers.add(event.order_id)
        self._by_number[event.order_id] = order
        order.ended_ns, order.end = None, None
        self.on_placed(order)

    def _filled(self, cl_ord_id: str, event: ExecutionReport) -> None:
        signed = event.side.sign * event.last_qty
        self.executed[event.instrument_id] = self.executed.get(event.instrument_id, Decimal(0)) + signed
        self._placed(cl_ord_id, event)
        order = self._by_number[event.order_id]
        order.filled += event.last_qty
        order.fills += 1
        if event.leaves_qty == 0:
            self._ended(order, ExecType.TRADE)

    def _ended(self, order: VenueOrder | None, end: ExecType) -> None:
        if order is not None and order.ended_ns is None:
            order.ended_ns, order.end = self._mono_ns(), end


def _nothing(_order: VenueOrder) -> None:
    return None
