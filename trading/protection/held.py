"""Exits that the venue holds below the desk's own watch: one stop for each position, bound to closing, never more.

Owns which exits there have to be and which there are. Does not decide exits: the desk watches every level itself, and
an exit of the venue that was triggered is a level that was reached. Where both act, both may only close: what is left
is never turned round. Take-profits protect nothing that is lost when the desk is gone, and stay the desk's unless a
policy asks for both: then they are a list of which one cancels the other (`trading.orders.contingency`).
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
    Contingency,
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
from trading.protection.levels import WORDS, ExitReason
from trading.protection.policy import AtVenue, ExitPolicy, Watched

MS = 1_000_000
REPLACE_NS = 1_000 * MS
"""An exit follows its position at most so often."""
RETRY_NS = (1_000 * MS, 2_000 * MS, 5_000 * MS, 15_000 * MS, 60_000 * MS)
"""How long an exit that was refused is not asked for again, by how often it was."""
_SOURCES = {
    Watched.MARK: TriggerPriceType.MARK,
    Watched.LAST: TriggerPriceType.LAST,
    Watched.INDEX: TriggerPriceType.INDEX,
    Watched.TOUCH: TriggerPriceType.LAST,
}
_CLOSING = frozenset({ExitStatus.TRIGGERING, ExitStatus.EXITING})
_FIRED = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED, OrdStatus.FILLED})

_TYPES = {ExitReason.STOP_LOSS: OrdType.STOP, ExitReason.TAKE_PROFIT: OrdType.TAKE_PROFIT}
_REASONS = {ord_type: reason for reason, ord_type in _TYPES.items()}

_Key = tuple[str, str]
_Slot = tuple[str, str, ExitReason]
_Terms = tuple[Side, int, Decimal]
"""Side, lots and price."""


class HeldStatus(Enum):
    """Where an exit is."""

    ASKED = "asked"  # proposed, nothing was heard of it
    HELD = "held"  # the venue holds it
    FIRED = "fired"  # its price came: it is an order like any other
    LEAVING = "leaving"  # we want it gone


_THERE = frozenset({HeldStatus.ASKED, HeldStatus.HELD})
"""Where nobody here wants it gone, and its price has not come."""


class HeldExit(msgspec.Struct, kw_only=True):
    """One exit, of one strategy in one instrument; ``side`` is the side on which it closes.

    ``list_id`` names the list that it is a leg of, "" where it is of none.
    """

    cl_ord_id: str
    key: _Key
    reason: ExitReason
    side: Side
    lots: int
    price: Decimal
    list_id: str = ""
    status: HeldStatus = HeldStatus.ASKED

    @property
    def slot(self) -> _Slot:
        """Of each there is one."""
        return (*self.key, self.reason)


class PlaceExit(msgspec.Struct, frozen=True):
    """Have the governor look at an exit, as at any order."""

    order: ProposedOrder


class CancelExit(msgspec.Struct, frozen=True):
    """Have an exit canceled."""

    cancel: ProposedCancel


class ExitNotHeld(msgspec.Struct, frozen=True, kw_only=True):
    """An exit was refused, or ended of itself: the desk's own watch is all there is of it, until it is asked for again.

    The other leg of its list stays.
    """

    instrument_id: str
    text: str


HeldEffect = PlaceExit | CancelExit | ExitNotHeld


class VenueExits:
    """The exits of all legs. Pure.

    The shell's duties: 1. `restore` from the journal; 2. `on_open_orders`, before which nothing is placed; 3. bring it
    every word on orders that wait, every execution and every denial; 4. `plan` after whatever changed a leg, and by
    `next_due_ns`.
    """

    def __init__(self, instruments: Mapping[str, Instrument], policies: Mapping[str, ExitPolicy], epoch: int) -> None:
        self._instruments = {i: x for i, x in instruments.items() if _support(x) is not None}
        self._policies = policies
        self._epoch = epoch
        self._exits: dict[str, HeldExit] = {}
        self._of: dict[_Slot, str] = {}
        self._next_ns: dict[_Slot, int] = {}
        self._refused: dict[_Slot, int] = {}
        self._lost: dict[_Slot, str] = {}
        self._ready = False
        self._number = 0

    def restore(self, rows: Iterable[JournalRow]) -> None:
        """Every exit that was ever journalled; which of them there still are, the open orders tell."""
        for row in rows:
            if _GUARD not in row.cl_ord_id:
                continue
            body = decode_body(row.body)
            if isinstance(body, PlaceBody) and is_guard(body.approved.order):
                self._know(body.approved.order)

    def on_open_orders(self, open_orders: Iterable[OrderUpdated]) -> None:
        """What there is after a start."""
        listed = {update.cl_ord_id: update for update in open_orders}
        for name in [name for name in self._exits if name not in listed]:
            self._forget(self._exits[name])
        for name in self._exits:
            self.on_order(listed[name], 0)
        self._ready = True

    def on_order(self, update: OrderUpdated, now_ns: int) -> HeldExit | None:
        """A word on an order; the exit whose price has come, once."""
        held = self._exits.get(update.cl_ord_id)
        if held is None:
            return None
        fired = update.ord_status in _FIRED and held.status is not HeldStatus.FIRED
        if fired:
            held.status = HeldStatus.FIRED
        elif update.ord_status is OrdStatus.PENDING_TRIGGER and held.status is not HeldStatus.FIRED:
            # Where it was to leave, its cancel was refused: it is there, and has to go still.
            held.status = HeldStatus.HELD
            self._refused.pop(held.slot, None)
        elif update.ord_status in TERMINAL and held.status is HeldStatus.ASKED:
            self._put_off(held.slot, now_ns)
        if update.ord_status in TERMINAL:
            if held.status in _THERE:
                self._lost[held.slot] = _not_held(held, f"{update.ord_status.value}: {update.text}")
            self._forget(held)
        return held if fired else None

    def fired_by(self, cl_ord_id: str) -> HeldExit | None:
        """An execution: the exit that it is of, where that was not known to be triggered."""
        held = self._exits.get(cl_ord_id)
        if held is None or held.status is HeldStatus.FIRED:
            return None
        held.status = HeldStatus.FIRED
        return held

    def on_denied(self, denied: OrderDenied, now_ns: int) -> list[HeldEffect]:
        """Governor, order core or gateway refused it: it does not exist."""
        held = self._exits.get(denied.cl_ord_id)
        if held is None:
            return []
        self._forget(held)
        self._put_off(held.slot, now_ns)
        text = _not_held(held, f"{denied.reason.value}: {denied.text}")
        return [ExitNotHeld(instrument_id=denied.instrument_id, text=text)]

    def plan(self, legs: Iterable[ProtectedLeg], now_ns: int) -> list[HeldEffect]:
        """What has to be placed or to go, so that each position has its exits and no other."""
        if not self._ready:
            return []
        out: list[HeldEffect] = []
        mine = [leg for leg in legs if leg.instrument_id in self._instruments]
        for leg in mine:
            if leg.status in _CLOSING:
                continue
            wanted = self._wanted(leg, mine)
            stays = self._going(leg, wanted, out, now_ns)
            if leg.status is ExitStatus.ARMED:
                self._coming(leg, wanted, stays, out, now_ns)
        self._lost.clear()
        return out

    def next_due_ns(self) -> int | None:
        """When `plan` may have something to do that was put off."""
        return min(self._next_ns.values(), default=None)

    def passed(self, now_ns: int) -> None:
        """Forget times that have come."""
        self._next_ns = {slot: at for slot, at in self._next_ns.items() if at > now_ns}

    def view(self) -> dict[str, str]:
        """Each exit and where it is, for operators."""
        return {held.cl_ord_id: held.status.value for held in self._exits.values()}

    def counts(self) -> dict[ExitReason, int]:
        """How many of each kind venues hold, or held until their price came."""
        there = [held.reason for held in self._exits.values() if held.status is not HeldStatus.ASKED]
        return {reason: there.count(reason) for reason in ExitReason}

    # --- Inside ----------------------------------------------------------------------------------------

    def _wanted(self, leg: ProtectedLeg, legs: Iterable[ProtectedLeg]) -> dict[ExitReason, _Terms]:
        """The exits that a position has to have; none where it can have none."""
        at = leg.levels
        if at is None or not leg.holding.qty:
            return {}
        long = leg.holding.qty > 0
        others = [other.holding.qty for other in legs if other.instrument_id == leg.instrument_id]
        if any(qty and (qty > 0) is not long for qty in others):
            return {}  # at the venue the two are one position, and what closes this one could open that
        lots = self._instruments[leg.instrument_id].lots_floor(abs(leg.holding.qty))
        prices = {ExitReason.STOP_LOSS: at.stop_loss}
        if self._policies[leg.strategy_id].at_venue is AtVenue.OCO:
            prices[ExitReason.TAKE_PROFIT] = at.take_profit
        side = Side.SELL if long else Side.BUY
        return {reason: (side, lots, price) for reason, price in prices.items() if price is not None and lots}

    def _going(
        self, leg: ProtectedLeg, wanted: Mapping[ExitReason, _Terms], out: list[HeldEffect], now_ns: int
    ) -> list[HeldExit]:
        """Cancel what is not wanted any more; the exits of a leg that stay."""
        stays: list[HeldExit] = []
        for reason in ExitReason:
            slot = (leg.strategy_id, leg.instrument_id, reason)
            held = self._exits.get(self._of.get(slot, ""))
            if held is None:
                continue
            terms = wanted.get(reason)
            alone = len(wanted) > 1 and not held.list_id
            if held.status is HeldStatus.LEAVING:
                continue
            if terms == (held.side, held.lots, held.price) and not alone:
                stays.append(held)
            elif held.status is HeldStatus.HELD and (terms is None or now_ns >= self._next_ns.get(slot, 0)):
                held.status = HeldStatus.LEAVING
                why = "its position is gone" if terms is None else "its position or its level changed"
                out.append(CancelExit(self._cancel(held, why, now_ns)))
        return stays

    def _coming(
        self,
        leg: ProtectedLeg,
        wanted: Mapping[ExitReason, _Terms],
        stays: list[HeldExit],
        out: list[HeldEffect],
        now_ns: int,
    ) -> None:
        """Place what is missing, into the list of what stays; the stop first."""
        list_id = next((held.list_id for held in stays), "")
        for reason, terms in wanted.items():
            slot = (leg.strategy_id, leg.instrument_id, reason)
            if slot in self._lost:
                out.append(ExitNotHeld(instrument_id=leg.instrument_id, text=self._lost[slot]))
            if slot in self._of or now_ns < self._next_ns.get(slot, 0):
                continue
            self._number += 1
            if len(wanted) > 1 and not list_id:
                list_id = f"pd{self._epoch:x}-l{self._number}"
            out.append(PlaceExit(self._place(leg, reason, terms, list_id if len(wanted) > 1 else "", now_ns)))

    def _place(self, leg: ProtectedLeg, reason: ExitReason, terms: _Terms, list_id: str, now_ns: int) -> ProposedOrder:
        side, lots, price = terms
        one = self._instruments[leg.instrument_id]
        support = _support(one)
        assert support is not None
        asked = _SOURCES[self._policies[leg.strategy_id].watched]
        source = asked if asked in support else TriggerPriceType.LAST
        what = reason.value.replace("_", " ")
        intent_id = f"{leg.strategy_id}:{WORDS[reason]}:{self._epoch}:{self._number}"
        order = ProposedOrder(
            cl_ord_id=f"pd{self._epoch:x}{_GUARD}{self._number}",
            venue=one.venue,
            instrument_id=one.instrument_id,
            side=side,
            ord_type=_TYPES[reason],
            time_in_force=TimeInForce.IOC,
            order_qty=one.qty(lots),
            price=None,
            reduce_only=True,
            legs=(Leg(leg.strategy_id, intent_id, one.qty(lots)),),
            replaces=None,
            ref_price=price,
            book_update_id=0,
            book_ts_recv_ns=now_ns,
            story={"why": f"{what} of {leg.name} at the venue, {leg.holding.qty} held"},
            cause=intent_id,
            ts_init_ns=now_ns,
            trigger=TriggeringInstructions(price, source, close_on_trigger=True),
            contingency=Contingency(list_id) if list_id else None,
        )
        self._know(order)
        self._next_ns[(leg.strategy_id, leg.instrument_id, reason)] = now_ns + REPLACE_NS
        return order

    def _cancel(self, held: HeldExit, why: str, now_ns: int) -> ProposedCancel:
        one = self._instruments[held.key[1]]
        return ProposedCancel(
            cl_ord_id=held.cl_ord_id,
            venue=one.venue,
            instrument_id=one.instrument_id,
            reason=why,
            cause=held.cl_ord_id,
            ts_init_ns=now_ns,
        )

    def _know(self, order: ProposedOrder) -> None:
        one, trigger, reason = self._instruments.get(order.instrument_id), order.trigger, _REASONS.get(order.ord_type)
        if one is None or trigger is None or reason is None:
            return
        held = HeldExit(
            cl_ord_id=order.cl_ord_id,
            key=(order.legs[0].strategy_id, order.instrument_id),
            reason=reason,
            side=order.side,
            lots=one.lots_floor(order.order_qty),
            price=trigger.trigger_price,
            list_id="" if order.contingency is None else order.contingency.list_id,
        )
        before = self._of.get(held.slot)
        if before is not None:
            self._exits.pop(before, None)
        self._exits[order.cl_ord_id], self._of[held.slot] = held, order.cl_ord_id

    def _forget(self, held: HeldExit) -> None:
        self._exits.pop(held.cl_ord_id, None)
        if self._of.get(held.slot) == held.cl_ord_id:
            del self._of[held.slot]

    def _put_off(self, slot: _Slot, now_ns: int) -> None:
        often = self._refused[slot] = self._refused.get(slot, 0) + 1
        self._next_ns[slot] = now_ns + RETRY_NS[min(often, len(RETRY_NS)) - 1]


def _not_held(held: HeldExit, why: str) -> str:
    return f"{held.key[0]}: no {WORDS[held.reason]} at the venue for now ({held.cl_ord_id}): {why}"


_GUARD = "-g"
"""What the ids of these orders have that no other order's has: the arbiter's have a code in its place."""


def is_guard(order: ProposedOrder) -> bool:
    """Whether an order is an exit of this module."""
    return order.trigger is not None and order.trigger.close_on_trigger and _GUARD in order.cl_ord_id


def _support(instrument: Instrument) -> frozenset[TriggerPriceType] | None:
    support = SUPPORT.get((instrument.venue, instrument.kind))
    return support.sources if support is not None and support.close_on_trigger else None
