"""One instrument as the arbiter sees it: intents, attributed positions and order slots.

Owns the state and its bookkeeping. Does not decide: `trading.arbiter.core` does.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from trading.arbiter.slots import NET_OWNER, Slot, WorkingOrder
from trading.brakes import Level
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop
from trading.orders.messages import QuoteIntent, Side, TargetIntent
from trading.risk.limits import OPERATOR
from trading.risk.rate import RateWindow

MS = 1_000_000
FAR_FUTURE_NS = 2**63 - 1
_SYNCED = BookState.SYNCED
_BUY, _SELL = Side.BUY, Side.SELL  # see `trading.arbiter.round`


class Flattening:
    """What is to be brought to nothing on an instrument: all of it (``everybody``) or some ``strategies``.

    What the operator's own orders leave behind is always brought to nothing, whatever the brakes are by then.
    """

    __slots__ = ("asked", "everybody", "since_ns", "strategies", "told", "tries")

    def __init__(self) -> None:
        self.asked = False
        """Whether a brake asks for it."""
        self.everybody = False
        self.strategies: frozenset[str] = frozenset()
        self.since_ns = 0
        self.tries = 0
        self.told = ""

    def ask(self, everybody: bool, strategies: frozenset[str], now_ns: int) -> None:
        """Take what the brakes ask for; a change begins anew."""
        if (everybody, strategies) != (self.everybody, self.strategies):
            self.everybody, self.strategies = everybody, strategies
            self.asked = everybody or bool(strategies)
            self.since_ns = now_ns
            self.tries = 0
            self.told = ""

    def concerns(self, strategy_id: str) -> bool:
        """Whether a strategy's position is to go; the operator's always is."""
        return self.everybody or strategy_id in self.strategies or strategy_id == OPERATOR


class InstrumentDesk:
    """State of one instrument. ``dirty`` asks for an evaluation now, ``wake_ns`` at a time.

    An amount of money, made a `reach`, divided by ``lot_reach`` and rounded down is the whole lots worth at most that
    amount at the mid; exact, because it guards limits.
    """

    __slots__ = (
        "_half_lot",
        "_half_tick",
        "_inverse",
        "_least_usd",
        "_tick",
        "ask",
        "bid",
        "budget_reach",
        "cap_reach",
        "code",
        "dirty",
        "flattening",
        "follows_touch",
        "held",
        "id_prefix",
        "instrument",
        "level",
        "lot_reach",
        "lot_word",
        "max_lots",
        "min_lots",
        "net_lots",
        "next_aggressive_ns",
        "order_reach",
        "orders",
        "orphans",
        "position_lots",
        "position_qty",
        "quotes",
        "rate",
        "slots",
        "targets",
        "tick_word",
        "told",
        "top",
        "tradable",
        "wake_ns",
    )

    def __init__(self, instrument: Instrument, code: str, orders_per_min: int) -> None:
        self.instrument = instrument
        self.code = code
        self.id_prefix = ""
        self.tick_word = str(instrument.tick_size)
        self.lot_word = str(instrument.lot_size)
        self.top: BookTop | None = None
        self.bid = 0
        self.ask = 0
        self.tradable = False
        self.targets: dict[str, TargetIntent] = {}
        self.quotes: dict[str, QuoteIntent] = {}
        self.position_qty: dict[str, Decimal] = {}
        self.position_lots: dict[str, int] = {}
        self.held: tuple[tuple[str, int], ...] = ()
        """The same as orders tell it."""
        self.net_lots = 0
        self.slots: dict[tuple[str, bool], Slot] = {}
        self.orders: dict[str, WorkingOrder] = {}
        self.orphans: set[str] = set()
        self.dirty = False
        self.follows_touch = False
        self.wake_ns = FAR_FUTURE_NS
        self.next_aggressive_ns = 0
        self.rate = RateWindow(orders_per_min, 60_000 * MS)
        self.told: dict[tuple[str, str], str] = {}
        self.level = Level.RUN
        self.flattening = Flattening()
        i = instrument
        self._inverse = i.kind is InstrumentKind.INVERSE
        # The value of a lot is these and `lot_reach` multiplied; the half is exact, in floats as in the mid.
        lot_value = float(i.lot_size * i.multiplier)
        self._half_lot, self._tick = (lot_value, 1.0) if self._inverse else (lot_value * 0.5, float(i.tick_size))
        self._half_tick = i.tick_size / 2
        # What limits of the configuration come to, see `reach`; set once by whoever knows them.
        self.lot_reach = 1
        self.budget_reach: dict[str, int] = {}
        self.cap_reach = 0
        self.order_reach = 0
        self.min_lots = max(1, -int(-i.min_qty // i.lot_size))
        self.max_lots = int(i.max_qty // i.lot_size)
        self._least_usd = float(i.min_notional) * 1.0005

    def set_top(self, top: BookTop) -> bool:
        """Take a book; True when it became usable or unusable, or the touch moved and somebody follows it."""
        self.top = top
        bids, asks = top.bids, top.asks
        if not (bids and asks and top.state is _SYNCED):
            changed = self.tradable
            self.tradable = False
            return changed
        bid, ask = bids[0][0], asks[0][0]
        if not self.tradable:
            self.tradable = changed = True
        elif bid == self.bid and ask == self.ask:
            return False
        else:
            changed = self.follows_touch
        self.bid, self.ask = bid, ask
        if not self._inverse:
            self.lot_reach = bid + ask
        return changed

    def reach(self, notional_usd: Decimal) -> int:
        """An amount as lots times doubled mid ticks, or as lots where the price has no part.

        Rounded down once here; dividing it by whole ticks then rounds as the exact amount would.
        """
        i = self.instrument
        lot = Fraction(i.lot_size) * Fraction(i.multiplier)
        return int(Fraction(notional_usd) / (lot if self._inverse else lot * Fraction(i.tick_size) / 2))

    def reducible(self, side: Side) -> int:
        """Lots that an order of ``side`` may close even if all that works on its side fills first."""
        lots = self.net_lots if side is _SELL else -self.net_lots
        if lots > 0 and self.orders:
            lots -= self.open_lots(side)
        return lots if lots > 0 else 0  # noqa: FURB136  # max() costs a call, at every order

    def large_enough(self, lots: int) -> bool:
        """Whether the venue would take an order of this size at the mid."""
        return lots >= self.min_lots and lots * (self._half_lot * self.lot_reach * self._tick) >= self._least_usd

    def mid(self) -> Decimal:
        """The price between the touch, with no more digits than it needs beyond the tick's own."""
        doubled = self.bid + self.ask
        return self._half_tick * doubled if doubled & 1 else self.instrument.tick_size * (doubled >> 1)

    def slot(self, owner: str, side: Side) -> Slot:
        """The slot of an owner and side, made when first asked for."""
        # The key is a truth value because hashing an enum member costs more than finding the slot.
        key = (owner, side is _BUY)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = Slot(owner, side)
        return slot

    def move(self, strategy_id: str, change: Decimal) -> None:
        """Attribute a signed quantity to a strategy."""
        self.set_position(strategy_id, self.position_qty.get(strategy_id, Decimal(0)) + change)

    def set_position(self, strategy_id: str, qty: Decimal) -> None:
        """Set a strategy's signed quantity; lots are rounded towards zero, so that dust is never sold twice."""
        self.position_qty[strategy_id] = qty
        self.position_lots[strategy_id] = self.instrument.lots_floor(qty)
        self.held = tuple(self.position_lots.items())
        self.net_lots = self.instrument.lots_floor(sum(self.position_qty.values(), Decimal(0)))

    def open_lots(self, side: Side) -> int:
        """Worst case of all working orders of a side."""
        return sum([order.open_lots for order in self.orders.values() if order.side is side]) if self.orders else 0

    def owned_open_lots(self, owner: str, side: Side) -> int:
        """Worst case of one owner's working orders of a side."""
        if not self.orders:
            return 0
        return sum([o.open_lots for o in self.orders.values() if o.owner == owner and o.side is side])

    def own_best(self, side: Side) -> int | None:
        """The price in ticks of our own most aggressive resting order of ``side``; orders in flight to take are not."""
        if not self.orders:
            return None
        prices = [
            o.price_ticks for o in self.orders.values() if o.side is side and o.open_lots and o.owner != NET_OWNER
        ]
        if not prices:
            return None
        return max(prices) if side is _BUY else min(prices)

    def net_order(self) -> WorkingOrder | None:
        """The aggressive order in flight, if any; UNKNOWN is in flight."""
        for order in self.orders.values():
            if order.owner == NET_OWNER:
                return order
        return None

    def remove(self, order: WorkingOrder) -> None:
        """Forget an order that is over; its slot returns to what it was to replace, if that still lives."""
        self.orders.pop(order.cl_ord_id, None)
        self.orphans.discard(order.cl_ord_id)
        if order.owner is None:
            return
        slot = self.slot(order.owner, order.side)
        if slot.current is order:
            slot.current = self.orders.get(order.replaces) if order.replaces else None
            if slot.current is not None:
                slot.current.replaced_by = None

    def wake_at(self, at_ns: int) -> None:
        """Ask for an evaluation at or after a time."""
        self.wake_ns = min(self.wake_ns, at_ns)
