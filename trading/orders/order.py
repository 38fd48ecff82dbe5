"""One order as the core remembers it, and how an execution is shared between the strategies behind it.

Owns no decisions: `core.py` decides, `fsm.py` says what may follow.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.orders import fsm
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
    ProposedOrder,
)

STORY_LINES = 48
_ZERO = Decimal(0)
# The value of an enum's member costs two calls; these cost one look-up.
_WORD = {event: event.value for event in fsm.OrderEvent}
_STATUS = {status: status.value for status in OrdStatus}
EXTERNAL = "external"
"""The strategy that owns executions no strategy asked for: manual orders, liquidations, overfills."""


class Order(msgspec.Struct, kw_only=True):
    """All the core knows of one order. ``sent_ns`` is 0 until it went out in this process's lifetime.

    ``venue_cum_qty`` is the most the venue ever said was executed; ``awaited`` the terminal event that waits until the
    executions up to it have come in.
    ``held``: the venue keeps it until its trigger. ``as_new``: it takes the place of ``replaces`` as an order of its
    own, and ``waits_for`` that one's end, at which it must not have executed more than ``cum_then``. ``no_amend``: the
    venue will not amend it. ``proved_ns`` is when its life was first proved.
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
    replaced_by: str = ""
    held: bool = False
    as_new: bool = False
    waits_for: str = ""
    cum_then: Decimal = Decimal(0)
    no_amend: bool = False
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
    def leaves_qty(self) -> Decimal:
        """What may still be executed; 0 once terminal."""
        if self.ord_status in fsm.TERMINAL:
            return _ZERO
        return max(self.approved.order.order_qty - self.cum_qty, _ZERO)

    def apply(self, event: fsm.OrderEvent, now_ns: int, text: str = "") -> None:
        """Move by the table; ``InvalidOrderTransition`` when it has no row."""
        status = fsm.TRANSITIONS.get((self.ord_status, event))
        if status is None:
            raise fsm.InvalidOrderTransition(self.cl_ord_id, self.ord_status, event, self.told())
        story = self.story
        story.append((now_ns, _WORD[event], _STATUS[self.ord_status], _STATUS[status], text))
        if len(story) > STORY_LINES:
            del story[:-STORY_LINES]
        self.ord_status = status

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
        o = self.approved.order
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
            self.cum_qty,
            self.leaves_qty,
            self.cum_cost / self.cum_qty if self.cum_qty else _ZERO,
            o.reduce_only,
            o.legs,
            text,
            o.cause,
            now_ns,
        )

    def command(self, now_ns: int) -> NewOrderSingle | OrderCancelReplaceRequest:
        """The order on the wire; the same id whenever it is said."""
        o = self.approved.order
        strategy_ids = tuple([leg.strategy_id for leg in o.legs])
        if len(strategy_ids) > 1:
            strategy_ids = tuple(dict.fromkeys(strategy_ids))
        if o.replaces is not None and not self.as_new:
            return OrderCancelReplaceRequest(
                venue=o.venue,
                instrument_id=o.instrument_id,
                cl_ord_id=o.cl_ord_id,
                orig_cl_ord_id=o.replaces,
                side=o.side,
                ord_type=o.ord_type,
                time_in_force=o.time_in_force,
                order_qty=o.order_qty,
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
        )

    def cancel_request(self, epoch: int, now_ns: int) -> OrderCancelRequest:
        """The outstanding cancel on the wire; the same id whenever it is said."""
        o = self.approved.order
        return OrderCancelRequest(
            venue=o.venue,
            instrument_id=o.instrument_id,
            cl_ord_id=self.cancel_id,
            orig_cl_ord_id=o.cl_ord_id,
            epoch=epoch,
            cause=o.cause,
            ts_init_ns=now_ns,
        )

    def status_request(self, now_ns: int) -> OrderStatusRequest:
        """What became of it?"""
        o = self.approved.order
        return OrderStatusRequest(
            venue=o.venue, instrument_id=o.instrument_id, cl_ord_id=o.cl_ord_id, cause=o.cause, ts_init_ns=now_ns
        )


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


def filled(report: ExecutionReport, legs: tuple[Leg, ...]) -> OrderFilled:
    """One execution for the ledger and the strategies."""
    return OrderFilled(
        venue=report.venue,
        instrument_id=report.instrument_id,
        cl_ord_id=report.cl_ord_id,
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
    )
