"""Exposure of one instrument: what is held plus the worst that working orders can add.

An order counts with all that is not yet filled from the moment it is approved until the venue's terminal word and all
the fills that word speaks of; UNKNOWN is not a terminal word, and age frees nothing.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from trading.instruments import Instrument
from trading.market.events import BookTop
from trading.orders.messages import OrdStatus, Side
from trading.risk.bounds import Bounds, Corridor
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
    told_qty: bool = False
    """Whether what it may execute is the order core's word: of an amendment, and of one that may be amended late."""

    @property
    def open_qty(self) -> Decimal:
        """What can still change the position: unfilled, or reported as filled but not yet seen as a fill."""
        left = (self.order_qty if self.terminal_cum is None else self.terminal_cum) - self.filled
        return max(ZERO, left)


class Exposure:
    """Position, working orders, newest and last proved top and order rate of one instrument.

    ``long`` and ``short`` are the position towards either side if all orders of that side filled, negative where it
    stays on the other; they are counted anew whenever position or orders change.
    """

    __slots__ = (
        "_half_tick",
        "_lot",
        "_mid_sum_ticks",
        "_sound_qty",
        "_tick",
        "bounds",
        "corridor",
        "instrument",
        "long",
        "mid",
        "others",
        "position",
        "proved",
        "rate",
        "scope",
        "short",
        "top",
        "venue",
        "working",
    )

    def __init__(self, instrument: Instrument, bounds: Bounds, orders_per_min: int) -> None:
        self.instrument = instrument
        self.venue = instrument.venue
        self.scope = f"symbol:{instrument.instrument_id}"
        self.bounds = bounds
        self.position = ZERO
        self.long = ZERO
        self.short = ZERO
        self.mid = ZERO
        self.corridor = Corridor(bounds, instrument, 0)
        self.others: tuple[Exposure, ...] = ()
        """The exposures of all other instruments."""
        self._mid_sum_ticks = 0
        self._tick = instrument.tick_size
        self._half_tick = instrument.tick_size / 2
        self._lot = instrument.lot_size
        self._sound_qty: Decimal | None = None
        self.top: BookTop | None = None
        self.proved: BookTop | None = None
        self.working: dict[str, Working] = {}
        self.rate = RateWindow(orders_per_min, 60_000_000_000)

    def price(self) -> Decimal:
        """The last proved mid; computed when asked for, because books change far more often than orders are made.

        ``corridor`` is of this price from then on.
        """
        proved = self.proved
        if proved is not None:
            ticks = proved.bids[0][0] + proved.asks[0][0]
            if ticks != self._mid_sum_ticks:
                self._mid_sum_ticks = ticks
                # As many digits as half the sum has, and a division saved.
                self.mid = ticks * self._half_tick if ticks & 1 else (ticks >> 1) * self._tick
                if not self.corridor.first <= ticks <= self.corridor.last:
                    self.corridor = Corridor(self.bounds, self.instrument, ticks)
        return self.mid

    def is_sound(self, price: Decimal, qty: Decimal, low: Decimal, high: Decimal) -> bool:
        """Whether ``price`` is on the grid from ``low`` to ``high``, ``qty`` of whole lots and within its limits.

        True, for a positive ``low``, leaves nothing to check of each alone.
        """
        try:
            if not low <= price <= high or price % self._tick:
                return False
            # What bounds a quantity alone never changes, and the next one is mostly the same.
            if qty != self._sound_qty:
                if not self.bounds.least_qty <= qty <= self.bounds.most_qty or qty % self._lot:
                    return False
                self._sound_qty = qty
        except InvalidOperation:  # not a number
            return False
        return True

    def hold(self, position: Decimal) -> None:
        """Take a position as known from elsewhere."""
        self.position = position
        self._recount()

    def add(self, order: Working) -> None:
        """Count a new order."""
        self.working[order.cl_ord_id] = order
        open_qty = order.order_qty if order.filled is ZERO else order.open_qty
        if order.side is _BUY:
            self.long += open_qty
        else:
            self.short += open_qty

    def update(
        self, cl_ord_id: str, ord_status: OrdStatus, cum_qty: Decimal, leaves_qty: Decimal, late_qty: Decimal = ZERO
    ) -> None:
        """Take the order core's word on a known order; of an amendment it knows best what may still be executed.

        So it does where an amendment that was given up may yet add ``late_qty``.
        """
        order = self.working.get(cl_ord_id)
        if order is None:
            return
        order.ord_status = ord_status
        order.unanswered = ord_status in UNANSWERED
        order.terminal_cum = cum_qty if ord_status in TERMINAL else None
        if late_qty or order.told_qty:
            order.told_qty = True
            order.order_qty = cum_qty + leaves_qty + late_qty
        self._settle(order)

    def amend(self, order: Working, amends: str) -> None:
        """Count a new order that becomes ``amends``: both together are the larger of the two until it has."""
        order.amends, order.amended_qty, order.told_qty = amends, order.order_qty, True
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
        else:
            self._recount()

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
        buys, sells = self.open_qtys()
        self.long, self.short = self.position + buys, sells - self.position

    def open_qtys(self) -> tuple[Decimal, Decimal]:
        """What working orders may still buy, and sell."""
        buys = sells = ZERO
        for order in self.working.values():
            if order.side is _BUY:
                buys += order.open_qty
            else:
                sells += order.open_qty
        return buys, sells

    def worst(self, side: Side, extra: Decimal = ZERO) -> Decimal:
        """The position towards ``side`` if all its orders and ``extra`` filled; positive or 0."""
        worst = (self.long if side is _BUY else self.short) + extra
        return worst if worst > ZERO else ZERO  # noqa: FURB136  # max() costs a call, at every order

    def gross_notional(self) -> Decimal:
        """Value of the worst case of either direction."""
        return self.value(max(ZERO, self.long, self.short))

    def value(self, qty: Decimal) -> Decimal:
        """Value of a quantity at the last proved mid."""
        return self.instrument.notional(qty, self.price())

    def unanswered(self) -> int:
        """Orders that the venue has not answered."""
        return sum([o.unanswered for o in self.working.values()])

    def reducible(self, side: Side) -> Decimal:
        """How much an order of ``side`` may still close without flipping the position."""
        return max(ZERO, -(self.long if side is _BUY else self.short))
