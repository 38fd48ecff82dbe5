"""Exposure of one instrument: what is held plus the worst that working orders can add.

An order counts with all that is not yet filled from the moment it is approved until the venue's terminal word and all
the fills that word speaks of; UNKNOWN is not a terminal word, and age frees nothing.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.instruments import Instrument
from trading.market.events import BookTop
from trading.orders.messages import OrdStatus, Side
from trading.risk.rate import RateWindow

TERMINAL = frozenset(
    {
        OrdStatus.FILLED,
        OrdStatus.CANCELED,
        OrdStatus.REPLACED,
        OrdStatus.REJECTED,
        OrdStatus.DENIED,
        OrdStatus.EXPIRED,
    }
)
UNANSWERED = frozenset({OrdStatus.JOURNALED, OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN})
ZERO = Decimal(0)
_BUY = Side.BUY


class Working(msgspec.Struct):
    """One order that can still fill."""

    cl_ord_id: str
    side: Side
    order_qty: Decimal
    price: Decimal | None
    filled: Decimal = ZERO
    ord_status: OrdStatus = OrdStatus.JOURNALED
    terminal_cum: Decimal | None = None
    unanswered: bool = True
    amends: str = ""
    """The order here that it becomes: until then it is only what it may have more than that."""
    amended_qty: Decimal = ZERO

    @property
    def open_qty(self) -> Decimal:
        """What can still change the position: unfilled, or reported as filled but not yet seen as a fill."""
        left = (self.order_qty if self.terminal_cum is None else self.terminal_cum) - self.filled
        return max(ZERO, left)


class Exposure:
    """Position, working orders, last proved top and order rate of one instrument."""

    __slots__ = (
        "_priced_at",
        "buys",
        "instrument",
        "mid",
        "mid_sum_ticks",
        "position",
        "rate",
        "scope",
        "sells",
        "top",
        "working",
    )

    def __init__(self, instrument: Instrument, orders_per_min: int) -> None:
        self.instrument = instrument
        self.scope = f"symbol:{instrument.instrument_id}"
        self.position = ZERO
        self.buys = ZERO
        self.sells = ZERO
        self.mid = ZERO
        self.mid_sum_ticks = 0
        self._priced_at = 0
        self.top: BookTop | None = None
        self.working: dict[str, Working] = {}
        self.rate = RateWindow(orders_per_min, 60_000_000_000)

    def price(self) -> Decimal:
        """The last proved mid; computed when asked for, because books change far more often than orders are made."""
        if self.mid_sum_ticks != self._priced_at:
            self._priced_at = self.mid_sum_ticks
            self.mid = self.mid_sum_ticks * self.instrument.tick_size / 2
        return self.mid

    def add(self, order: Working) -> None:
        """Count a new order."""
        self.working[order.cl_ord_id] = order
        open_qty = order.order_qty if order.filled is ZERO else order.open_qty
        if order.side is _BUY:
            self.buys += open_qty
        else:
            self.sells += open_qty

    def update(self, cl_ord_id: str, ord_status: OrdStatus, cum_qty: Decimal, leaves_qty: Decimal) -> None:
        """Take the order core's word on a known order; of an amendment it knows best what may still be executed."""
        order = self.working.get(cl_ord_id)
        if order is None:
            return
        order.ord_status = ord_status
        order.unanswered = ord_status in UNANSWERED
        order.terminal_cum = cum_qty if ord_status in TERMINAL else None
        if order.amends:
            order.order_qty = cum_qty + leaves_qty
        self._settle(order)

    def amend(self, order: Working, amends: str) -> None:
        """Count a new order that becomes ``amends``: both together are the larger of the two until it has."""
        order.amends, order.amended_qty = amends, order.order_qty
        order.order_qty = self.beyond(amends, order.order_qty)
        self.add(order)

    def beyond(self, replaces: str | None, qty: Decimal) -> Decimal:
        """What an order of ``qty`` may execute beyond the one that it amends: the larger of the two counts."""
        original = self.working.get(replaces or "")
        return qty if original is None else max(ZERO, qty - original.open_qty)

    def fill(self, cl_ord_id: str, side: Side, qty: Decimal, eaten: Decimal = ZERO) -> None:
        """A fill moves the position, whether or not the order is known; ``eaten`` is what its fee took out of it."""
        self.position += side.sign * qty - eaten
        order = self.working.get(cl_ord_id)
        if order is not None:
            order.filled += qty
            self._settle(order)

    def drop(self, cl_ord_id: str) -> None:
        """Forget an order that never left us."""
        if self.working.pop(cl_ord_id, None) is not None:
            self._recount()

    def _settle(self, order: Working) -> None:
        if order.terminal_cum is not None and order.open_qty == 0:
            del self.working[order.cl_ord_id]
            for other in self.working.values():
                if other.amends == order.cl_ord_id and other.unanswered:
                    # What was to be amended is gone: until it is told otherwise the new one is an order of its own.
                    other.order_qty = other.amended_qty
        self._recount()

    def _recount(self) -> None:
        buys = sells = ZERO
        for order in self.working.values():
            if order.side is _BUY:
                buys += order.open_qty
            else:
                sells += order.open_qty
        self.buys, self.sells = buys, sells

    def worst(self, side: Side, extra: Decimal = ZERO) -> Decimal:
        """The position towards ``side`` if all its orders and ``extra`` filled; positive or 0."""
        worst = self.position + self.buys + extra if side is _BUY else self.sells + extra - self.position
        return worst if worst > ZERO else ZERO  # noqa: FURB136  # max() costs a call, at every order

    def gross_notional(self, side: Side | None = None, extra: Decimal = ZERO) -> Decimal:
        """Value of the worst case of either direction, ``extra`` more of ``side`` included."""
        long = self.worst(_BUY, extra if side is _BUY else ZERO)
        short = self.worst(Side.SELL, extra if side is Side.SELL else ZERO)
        return self.value(max(long, short))

    def value(self, qty: Decimal) -> Decimal:
        """Value of a quantity at the last proved mid."""
        return self.instrument.notional(qty, self.price())

    def unanswered(self) -> int:
        """Orders that the venue has not answered."""
        return sum([o.unanswered for o in self.working.values()])

    def reducible(self, side: Side) -> Decimal:
        """How much an order of ``side`` may still close without flipping the position."""
        room = -self.position - self.buys if side is _BUY else self.position - self.sells
        return max(ZERO, room)
