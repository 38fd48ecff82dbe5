"""Stops that the venue holds below the desk's own watch: one for each position, bound to closing, never more.

Owns which stop there has to be and which there is. Does not decide exits: the desk watches every level itself, and a
stop of the venue that was triggered is a level that was reached. Where both act, both may only close: what is left is
never turned round. Take-profits stay the desk's: they protect nothing that is lost when the desk is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum

import msgspec

from trading.instruments import Instrument
from trading.orders.fsm import TERMINAL
from trading.orders.journal_rows import JournalRow, PlaceBody, decode_body
from trading.orders.messages import (
    Leg,
    OrderDenied,
    OrderUpdated,
    OrdStatus,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.triggers import SUPPORT
from trading.protection.leg import ExitStatus, ProtectedLeg
from trading.protection.policy import ExitPolicy, Watched

MS = 1_000_000
REPLACE_NS = 1_000 * MS
"""A stop follows its position at most so often."""
RETRY_NS = (1_000 * MS, 2_000 * MS, 5_000 * MS, 15_000 * MS, 60_000 * MS)
"""How long a stop that was refused is not asked for again, by how often it was."""
_SOURCES = {
    Watched.MARK: TriggerPriceType.MARK,
    Watched.LAST: TriggerPriceType.LAST,
    Watched.INDEX: TriggerPriceType.INDEX,
    Watched.TOUCH: TriggerPriceType.LAST,
}
_CLOSING = frozenset({ExitStatus.TRIGGERING, ExitStatus.EXITING})
_FIRED = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED, OrdStatus.FILLED})

_Key = tuple[str, str]


class StopStatus(Enum):
    """Where a stop is."""

    ASKED = "asked"  # proposed, nothing was heard of it
    HELD = "held"  # the venue holds it
    FIRED = "fired"  # its price came: it is an order like any other
    LEAVING = "leaving"  # we want it gone


class HeldStop(msgspec.Struct, kw_only=True):
    """One stop, of one strategy in one instrument; ``side`` is the side on which it closes."""

    cl_ord_id: str
    key: _Key
    side: Side
    lots: int
    price: Decimal
    status: StopStatus = StopStatus.ASKED


class PlaceStop(msgspec.Struct, frozen=True):
    """Have the governor look at a stop, as at any order."""

    order: ProposedOrder


class CancelStop(msgspec.Struct, frozen=True):
    """Have a stop canceled."""

    cancel: ProposedCancel


class StopNotHeld(msgspec.Struct, frozen=True, kw_only=True):
    """A stop was refused: the desk's own watch is all that a position has, until it is asked for again."""

    instrument_id: str
    text: str


StopEffect = PlaceStop | CancelStop | StopNotHeld


class VenueStops:
    """The stops of all legs. Pure.

    The shell's duties: 1. `restore` from the journal; 2. `on_open_orders`, before which nothing is placed; 3. bring it
    every word on orders that wait, every execution and every denial; 4. `plan` after whatever changed a leg, and by
    `next_due_ns`.
    """

    def __init__(self, instruments: Mapping[str, Instrument], policies: Mapping[str, ExitPolicy], epoch: int) -> None:
        self._instruments = {i: x for i, x in instruments.items() if _support(x) is not None}
        self._policies = policies
        self._epoch = epoch
        self._stops: dict[str, HeldStop] = {}
        self._of: dict[_Key, str] = {}
        self._next_ns: dict[_Key, int] = {}
        self._refused: dict[_Key, int] = {}
        self._ready = False
        self._number = 0

    def restore(self, rows: Iterable[JournalRow]) -> None:
        """Every stop that was ever journalled; which of them there still are, the open orders tell."""
        for row in rows:
            if _GUARD not in row.cl_ord_id:
                continue
            body = decode_body(row.body)
            if isinstance(body, PlaceBody) and is_guard(body.approved.order):
                self._know(body.approved.order)

    def on_open_orders(self, open_orders: Iterable[OrderUpdated]) -> None:
        """What there is after a start."""
        listed = {update.cl_ord_id: update for update in open_orders}
        for name in [name for name in self._stops if name not in listed]:
            self._forget(self._stops[name])
        for name in self._stops:
            self.on_order(listed[name], 0)
        self._ready = True

    def on_order(self, update: OrderUpdated, now_ns: int) -> HeldStop | None:
        """A word on an order; the stop whose price has come, once."""
        stop = self._stops.get(update.cl_ord_id)
        if stop is None:
            return None
        fired = update.ord_status in _FIRED and stop.status is not StopStatus.FIRED
        if fired:
            stop.status = StopStatus.FIRED
        elif update.ord_status is OrdStatus.PENDING_TRIGGER and stop.status is not StopStatus.FIRED:
            # Where it was to leave, its cancel was refused: it is there, and has to go still.
            stop.status = StopStatus.HELD
            self._refused.pop(stop.key, None)
        elif update.ord_status in TERMINAL and stop.status is StopStatus.ASKED:
            self._put_off(stop.key, now_ns)
        if update.ord_status in TERMINAL:
            self._forget(stop)
        return stop if fired else None

    def fired_by(self, cl_ord_id: str) -> HeldStop | None:
        """An execution: the stop that it is of, where that was not known to be triggered."""
        stop = self._stops.get(cl_ord_id)
        if stop is None or stop.status is StopStatus.FIRED:
            return None
        stop.status = StopStatus.FIRED
        return stop

    def on_denied(self, denied: OrderDenied, now_ns: int) -> list[StopEffect]:
        """Governor, order core or gateway refused it: it does not exist."""
        stop = self._stops.get(denied.cl_ord_id)
        if stop is None:
            return []
        self._forget(stop)
        self._put_off(stop.key, now_ns)
        text = f"{stop.key[0]}: no stop at the venue for now: {denied.reason.value}: {denied.text}"
        return [StopNotHeld(instrument_id=denied.instrument_id, text=text)]

    def plan(self, legs: Iterable[ProtectedLeg], now_ns: int) -> list[StopEffect]:
        """What has to be placed or to go, so that each position has its stop and no other."""
        if not self._ready:
            return []
        out: list[StopEffect] = []
        mine = [leg for leg in legs if leg.instrument_id in self._instruments]
        for leg in mine:
            key = (leg.strategy_id, leg.instrument_id)
            stop = self._stops.get(self._of.get(key, ""))
            wanted = self._wanted(leg, mine)
            if stop is None:
                if wanted is not None and leg.status is ExitStatus.ARMED and now_ns >= self._next_ns.get(key, 0):
                    out.append(PlaceStop(self._place(leg, *wanted, now_ns)))
            elif stop.status is StopStatus.HELD and leg.status not in _CLOSING:
                same = wanted == (stop.side, stop.lots, stop.price)
                if not same and (wanted is None or now_ns >= self._next_ns.get(key, 0)):
                    stop.status = StopStatus.LEAVING
                    why = "its position is gone" if wanted is None else "its position or its level changed"
                    out.append(CancelStop(self._cancel(stop, why, now_ns)))
        return out

    def next_due_ns(self) -> int | None:
        """When `plan` may have something to do that was put off."""
        return min(self._next_ns.values(), default=None)

    def passed(self, now_ns: int) -> None:
        """Forget times that have come."""
        self._next_ns = {key: at for key, at in self._next_ns.items() if at > now_ns}

    def view(self) -> dict[str, str]:
        """Each stop and where it is, for operators."""
        return {stop.cl_ord_id: stop.status.value for stop in self._stops.values()}

    # --- Inside ----------------------------------------------------------------------------------------

    def _wanted(self, leg: ProtectedLeg, legs: Iterable[ProtectedLeg]) -> tuple[Side, int, Decimal] | None:
        """Side, lots and price of the stop that a position has to have; None where it can have none."""
        at = leg.levels
        if at is None or at.stop_loss is None or not leg.holding.qty:
            return None
        long = leg.holding.qty > 0
        others = [other.holding.qty for other in legs if other.instrument_id == leg.instrument_id]
        if any(qty and (qty > 0) is not long for qty in others):
            return None  # at the venue the two are one position, and what closes this one could open that
        lots = self._instruments[leg.instrument_id].lots_floor(abs(leg.holding.qty))
        return (Side.SELL if long else Side.BUY, lots, at.stop_loss) if lots else None

    def _place(self, leg: ProtectedLeg, side: Side, lots: int, price: Decimal, now_ns: int) -> ProposedOrder:
        one = self._instruments[leg.instrument_id]
        support = _support(one)
        assert support is not None
        asked = _SOURCES[self._policies[leg.strategy_id].watched]
        source = asked if asked in support else TriggerPriceType.LAST
        key = (leg.strategy_id, leg.instrument_id)
        self._number += 1
        intent_id = f"{leg.strategy_id}:stop:{self._epoch}:{self._number}"
        order = ProposedOrder(
            cl_ord_id=f"pd{self._epoch:x}{_GUARD}{self._number}",
            venue=one.venue,
            instrument_id=one.instrument_id,
            side=side,
            ord_type=OrdType.STOP,
            time_in_force=TimeInForce.IOC,
            order_qty=one.qty(lots),
            price=None,
            reduce_only=True,
            legs=(Leg(leg.strategy_id, intent_id, one.qty(lots)),),
            replaces=None,
            ref_price=price,
            book_update_id=0,
            book_ts_recv_ns=now_ns,
            story={"why": f"stop loss of {leg.name} at the venue, {leg.holding.qty} held"},
            cause=intent_id,
            ts_init_ns=now_ns,
            trigger=TriggeringInstructions(price, source, close_on_trigger=True),
        )
        self._know(order)
        self._next_ns[key] = now_ns + REPLACE_NS
        return order

    def _cancel(self, stop: HeldStop, why: str, now_ns: int) -> ProposedCancel:
        one = self._instruments[stop.key[1]]
        return ProposedCancel(
            cl_ord_id=stop.cl_ord_id,
            venue=one.venue,
            instrument_id=one.instrument_id,
            reason=why,
            cause=stop.cl_ord_id,
            ts_init_ns=now_ns,
        )

    def _know(self, order: ProposedOrder) -> None:
        one, trigger = self._instruments.get(order.instrument_id), order.trigger
        if one is None or trigger is None:
            return
        key = (order.legs[0].strategy_id, order.instrument_id)
        stop = HeldStop(
            cl_ord_id=order.cl_ord_id,
            key=key,
            side=order.side,
            lots=one.lots_floor(order.order_qty),
            price=trigger.trigger_price,
        )
        before = self._of.get(key)
        if before is not None:
            self._stops.pop(before, None)
        self._stops[order.cl_ord_id], self._of[key] = stop, order.cl_ord_id

    def _forget(self, stop: HeldStop) -> None:
        self._stops.pop(stop.cl_ord_id, None)
        if self._of.get(stop.key) == stop.cl_ord_id:
            del self._of[stop.key]

    def _put_off(self, key: _Key, now_ns: int) -> None:
        often = self._refused[key] = self._refused.get(key, 0) + 1
        self._next_ns[key] = now_ns + RETRY_NS[min(often, len(RETRY_NS)) - 1]


_GUARD = "-g"
"""What the ids of these stops have that no other order's has: the arbiter's have a code in its place."""


def is_guard(order: ProposedOrder) -> bool:
    """Whether an order is a stop of this module."""
    return order.trigger is not None and order.trigger.close_on_trigger and _GUARD in order.cl_ord_id


def _support(instrument: Instrument) -> frozenset[TriggerPriceType] | None:
    support = SUPPORT.get((instrument.venue, instrument.kind))
    return support.sources if support is not None and support.close_on_trigger else None
