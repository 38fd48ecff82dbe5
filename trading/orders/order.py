"""One order as the core remembers it, and how an execution is shared between the strategies behind it.

Owns no decisions: `core.py` decides, `fsm.py` says what may follow.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.orders import fsm
from trading.orders.journal_rows import InPlace
from trading.orders.messages import (
    ApprovedOrder,
    ExecutionReport,
    Leg,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderFilled,
    OrderStatusRequest,
    OrderUpdated,
    OrdStatus,
    ProposedCancel,
    ProposedOrder,
)

STORY_LINES = 48
_ZERO = Decimal(0)
MOVES = {
    (status, event): (after, event.value, status.value, after.value)
    for (status, event), after in fsm.TRANSITIONS.items()
}
"""A row of the table with its words: the value of an enum's member costs two calls, this one look-up."""
_TERMINAL = fsm.TERMINAL
EXTERNAL = "external"
"""The strategy that owns executions no strategy asked for: manual orders, liquidations, overfills."""


class Order(msgspec.Struct, kw_only=True):
    """All the core knows of one order. ``sent_ns`` is 0 until it went out in this process's lifetime.

    ``venue_cum_qty`` is the most the venue ever said was executed; ``awaited`` the terminal event that waits until the
    executions up to it have come in.
    ``held``: the venue keeps it until its trigger. ``as_new``: it takes the place of ``replaces`` as an order of its
    own, and ``waits_for`` that one's end, at which it must not have executed more than ``cum_then``. ``no_amend``: the
    venue will not amend it. ``proved_ns`` is when its life was first proved.

    ``in_place``: it amends ``replaces``, whose order at the venue it becomes when that is proved (``acked``);
    ``prior_qty`` is what that had executed by then, ``terms_ns`` the venue's time of its last word with these terms.
    ``lost_amend`` is the amendment of it that was given up, and ``lost_qty`` its total at the venue if that took effect
    after all: of one that the venue's record did not show; 0 where the venue itself refused.

    ``yields_to`` is the other leg of its list that was triggered or executed: this one is to be canceled.

    ``cancel_refusals`` cancels of it were refused; ``cancel_wish`` is asked for again from ``cancel_after_ns`` on.
    """

    approved: ApprovedOrder
    ord_status: OrdStatus = OrdStatus.JOURNALED
    order_id: str = ""
    cum_qty: Decimal = Decimal(0)
    cum_cost: Decimal = Decimal(0)
    leg_filled: list[Decimal] = []
    acked: bool = False
    sent_ns: int = 0
    cancel_id: str = ""
    cancel_count: int = 0
    cancel_sent_ns: int = 0
    cancel_refusals: int = 0
    cancel_after_ns: int = 0
    cancel_wish: ProposedCancel | None = None
    yields_to: str = ""
    replaced_by: str = ""
    held: bool = False
    as_new: bool = False
    waits_for: str = ""
    cum_then: Decimal = Decimal(0)
    no_amend: bool = False
    in_place: InPlace | None = None
    prior_qty: Decimal = Decimal(0)
    terms_ns: int = 0
    lost_amend: str = ""
    lost_qty: Decimal = Decimal(0)
    never_found: bool = False
    absent: bool = False
    venue_cum_qty: Decimal = Decimal(0)
    awaited: fsm.OrderEvent | None = None
    queries: int = 0
    early_queries: int = 0
    proved_ns: int = 0
    not_found: int = 0
    next_query_ns: int | None = None
    story: list[tuple[int, str, str, str, str]] = []

    @property
    def proposed(self) -> ProposedOrder:
        """What was asked for."""
        return self.approved.order

    @property
    def cl_ord_id(self) -> str:
        """FIX 11."""
        return self.approved.order.cl_ord_id

    @property
    def venue(self) -> str:
        """Where it goes."""
        return self.approved.order.venue

    @property
    def is_open(self) -> bool:
        """Whether anything of it may be live at the venue."""
        return self.ord_status not in fsm.TERMINAL

    @property
    def waits(self) -> bool:
        """Whether it waits for its trigger as far as is known: an order of which nothing was heard does."""
        return self.approved.order.trigger is not None and (self.held or not self.acked)

    @property
    def guards(self) -> bool:
        """Whether it waits to close what is held, as far as is known: taking it away leaves a position bare."""
        trigger = self.approved.order.trigger
        return trigger is not None and trigger.close_on_trigger and self.waits

    @property
    def leaves_qty(self) -> Decimal:
        """What may still be executed; 0 once terminal."""
        if self.ord_status in fsm.TERMINAL:
            return _ZERO
        if self.in_place is None:
            return max(self.approved.order.order_qty - self.cum_qty, _ZERO)
        if not self.acked:
            # What it amends counts until it has taken effect: both together are the larger of the two.
            return max(self.total_qty - self.in_place.old_qty, _ZERO)
        return max(self.room_qty - self.cum_qty, _ZERO)

    @property
    def late_qty(self) -> Decimal:
        """What may be executed beyond the leaves if an amendment that was given up takes effect after all."""
        if not self.lost_qty or self.ord_status in fsm.TERMINAL:
            return _ZERO
        return max(self.lost_qty - self.prior_qty - self.cum_qty - self.leaves_qty, _ZERO)

    @property
    def most_qty(self) -> Decimal:
        """What may be executed at worst, 0 once terminal: no end but the order's own ends an amendment given up."""
        return self.leaves_qty + self.late_qty if self.lost_qty else self.leaves_qty

    @property
    def room_qty(self) -> Decimal:
        """What can be executed of it in all: an amendment gets no more of what was executed while it was on its way."""
        qty = self.approved.order.order_qty
        return qty if self.in_place is None else qty - self.carried_qty

    @property
    def carried_qty(self) -> Decimal:
        """Executed of the order that it amends between the decision and its taking effect."""
        return _ZERO if self.in_place is None else max(self.prior_qty - self.in_place.base_qty, _ZERO)

    @property
    def total_qty(self) -> Decimal:
        """FIX 38 as the venue has it: what an amended order executed before is part of it."""
        qty = self.approved.order.order_qty
        return qty if self.in_place is None else qty + self.in_place.base_qty

    @property
    def wire_id(self) -> str:
        """The client order id under which the venue knows it: amended in place it keeps its first one."""
        return self.approved.order.cl_ord_id if self.in_place is None else self.in_place.wire_id

    def apply(self, event: fsm.OrderEvent, now_ns: int, text: str = "") -> None:
        """Move by the table; ``InvalidOrderTransition`` when it has no row."""
        move = MOVES.get((self.ord_status, event))
        if move is None:
            raise fsm.InvalidOrderTransition(self.cl_ord_id, self.ord_status, event, self.told())
        self.ord_status, what, before, after = move
        story = self.story
        story.append((now_ns, what, before, after, text))
        if len(story) > STORY_LINES:
            del story[:-STORY_LINES]

    @property
    def moved_ns(self) -> int:
        """When its status last changed, UTC; 0 when it never did."""
        return self.story[-1][0] if self.story else 0

    def told(self) -> tuple[str, ...]:
        """The story in lines: when, what happened, from which status to which, why."""
        lines = [f"{at} {what}: {old} -> {new} {text}" for at, what, old, new, text in self.story]
        return tuple([line.rstrip() for line in lines])

    def share(self, last_qty: Decimal, lot_size: Decimal) -> tuple[Leg, ...]:
        """Split an execution over the legs, exactly, by what each still lacks (largest remainder, then order of legs).

        No leg ever gets more than it asked for; what nobody asked for goes to EXTERNAL.
        """
        legs = self.approved.order.legs
        if len(legs) == 1 and last_qty:
            # Nearly every order is of one strategy, and needs no arithmetic of shares.
            leg, had = legs[0], self.leg_filled[0] if self.leg_filled else _ZERO
            if last_qty <= leg.qty - had:
                self.leg_filled = [had + last_qty]
                return (Leg(leg.strategy_id, leg.intent_id, last_qty),)
        if not self.leg_filled:
            self.leg_filled = [Decimal(0)] * len(legs)
        lacking = [leg.qty - filled for leg, filled in zip(legs, self.leg_filled, strict=True)]
        shares = split(min(last_qty, sum(lacking, Decimal(0))), lacking, lot_size)
        self.leg_filled = [filled + share for filled, share in zip(self.leg_filled, shares, strict=True)]
        shared = tuple(
            Leg(strategy_id=leg.strategy_id, intent_id=leg.intent_id, qty=share)
            for leg, share in zip(legs, shares, strict=True)
            if share
        )
        excess = last_qty - sum(shares, Decimal(0))
        return (*shared, Leg(strategy_id=EXTERNAL, intent_id="", qty=excess)) if excess else shared

    def updated(self, now_ns: int, text: str = "") -> OrderUpdated:
        """The order's state for the rest of the desk."""
        o, cum_qty = self.approved.order, self.cum_qty
        plain = not cum_qty and self.in_place is None and self.ord_status not in _TERMINAL
        leaves_qty = o.order_qty if plain else self.leaves_qty
        return OrderUpdated(
            o.venue,
            o.instrument_id,
            o.cl_ord_id,
            o.side,
            o.ord_type,
            o.time_in_force,
            self.ord_status,
            o.order_qty,
            o.price,
            cum_qty,
            leaves_qty,
            self.cum_cost / cum_qty if cum_qty else _ZERO,
            o.reduce_only,
            o.legs,
            text,
            o.cause,
            now_ns,
            self.late_qty if self.lost_qty else _ZERO,
        )

    def command(self, now_ns: int) -> NewOrderSingle | OrderCancelReplaceRequest:
        """The order on the wire; the same id whenever it is said."""
        o = self.approved.order
        legs = o.legs
        if len(legs) == 1:
            strategy_ids: tuple[str, ...] = (legs[0].strategy_id,)
        else:
            strategy_ids = tuple(dict.fromkeys([leg.strategy_id for leg in legs]))
        if o.replaces is not None and not self.as_new:
            return OrderCancelReplaceRequest(
                venue=o.venue,
                instrument_id=o.instrument_id,
                cl_ord_id=o.cl_ord_id,
                orig_cl_ord_id=o.replaces if self.in_place is None else self.in_place.wire_id,
                side=o.side,
                ord_type=o.ord_type,
                time_in_force=o.time_in_force,
                order_qty=self.total_qty,
                price=o.price,
                reduce_only=o.reduce_only,
                strategy_ids=strategy_ids,
                epoch=self.approved.epoch,
                cause=o.cause,
                ts_init_ns=now_ns,
                trigger=o.trigger,
                stp=o.stp,
            )
        return NewOrderSingle(
            o.venue,
            o.instrument_id,
            o.cl_ord_id,
            o.side,
            o.ord_type,
            o.time_in_force,
            o.order_qty,
            o.price,
            o.reduce_only,
            strategy_ids,
            self.approved.epoch,
            o.cause,
            now_ns,
            o.trigger,
            o.stp,
            o.contingency,
        )

    def cancel_request(self, epoch: int, now_ns: int) -> OrderCancelRequest:
        """The outstanding cancel on the wire; the same id whenever it is said."""
        o = self.approved.order
        return OrderCancelRequest(
            venue=o.venue,
            instrument_id=o.instrument_id,
            cl_ord_id=self.cancel_id,
            orig_cl_ord_id=self.wire_id,
            epoch=epoch,
            cause=o.cause,
            ts_init_ns=now_ns,
            waits=self.waits,
            order_id=self._become,
        )

    def status_request(self, now_ns: int) -> OrderStatusRequest:
        """What became of it?"""
        o = self.approved.order
        return OrderStatusRequest(
            venue=o.venue,
            instrument_id=o.instrument_id,
            cl_ord_id=self.wire_id,
            cause=o.cause,
            ts_init_ns=now_ns,
            waits=self.waits,
            order_id=self._become,
        )

    @property
    def _become(self) -> str:
        """The venue's id of what a triggered order became; "" for all others."""
        return "" if self.approved.order.trigger is None or self.waits else self.order_id


def split(qty: Decimal, weights: list[Decimal], lot_size: Decimal) -> list[Decimal]:
    """Split ``qty`` in proportion to ``weights`` in whole lots (or finer, where a quantity is off the grid).

    Exact: the parts sum to ``qty``, and no part exceeds its weight while ``qty`` does not exceed their sum.
    """
    total = sum(weights, Decimal(0))
    if not total or not qty:
        return [Decimal(0)] * len(weights)
    if len(weights) == 1:
        return [qty]
    unit = lot_size
    if any(value % unit for value in (qty, *weights)):
        unit = Decimal(1).scaleb(min(int(value.as_tuple().exponent) for value in (qty, *weights)))
    units = int(qty / unit)
    whole = [int(weight / unit) for weight in weights]
    parts, remainders = zip(*(divmod(units * w, sum(whole)) for w in whole), strict=True)
    shares = list(parts)
    left = units - sum(shares)
    for index in sorted(range(len(shares)), key=lambda i: (-remainders[i], i))[:left]:
        shares[index] += 1
    return [share * unit for share in shares]


def filled(report: ExecutionReport, legs: tuple[Leg, ...], cl_ord_id: str = "") -> OrderFilled:
    """One execution for the ledger and the strategies; ``cl_ord_id`` is the desk's where the venue's word differs."""
    return OrderFilled(
        venue=report.venue,
        instrument_id=report.instrument_id,
        cl_ord_id=cl_ord_id or report.cl_ord_id,
        exec_id=report.exec_id,
        exec_seq=report.exec_seq,
        side=report.side,
        last_qty=report.last_qty,
        last_px=report.last_px,
        liquidity=report.liquidity,
        fee=report.fee,
        fee_asset=report.fee_asset,
        legs=legs,
        ts_event_ns=report.ts_event_ns,
        ts_init_ns=report.ts_init_ns,
        trade_seq=report.trade_seq,
    )
