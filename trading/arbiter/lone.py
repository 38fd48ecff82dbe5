"""The usual round that makes an order: one strategy's target, and nothing beside it on the instrument.

Owns no rule of its own. It says what `trading.arbiter.round.Round` would, with fewer steps, or leaves the round to it
before anything was changed. A test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable

import native
from trading.arbiter.config import ArbiterOut
from trading.arbiter.desk import Flattening, InstrumentDesk
from trading.arbiter.round import Shared
from trading.arbiter.slots import NET_OWNER, Slot, WorkingOrder
from trading.instruments import Instrument
from trading.market.events import BookTop
from trading.orders.messages import (
    Leg,
    OrderStory,
    OrdType,
    ProposedOrder,
    Side,
    TargetIntent,
    TimeInForce,
    Urgency,
)
from trading.risk.limits import OPERATOR
from trading.risk.rate import RateWindow

_BUY, _SELL = Side.BUY, Side.SELL  # see `trading.arbiter.round`
_IOC, _LIMIT = TimeInForce.IOC, OrdType.LIMIT
_AGGRESSIVE = Urgency.AGGRESSIVE
_NET_BUY, _NET_SELL = (NET_OWNER, True), (NET_OWNER, False)


def lone_round_in_python(
    shared: Shared, desk: InstrumentDesk, target: TargetIntent, now_ns: int
) -> list[ArbiterOut] | None:
    """What follows from ``target``, which its desk has just been given; None, and nothing changed, for `Round` to say.

    Limits are compared as products: so many lots at the mid are within an amount when it divides to as many or more.
    """
    if (
        desk.orders
        or desk.quotes
        or len(desk.targets) > 1
        or desk.level
        or shared.levels
        or desk.flattening.asked
        or target.urgency is not _AGGRESSIVE
        or target.limit_ticks is not None
        or not desk.tradable
        or desk.position_lots.get(OPERATOR)
    ):
        return None
    top, strategy_id, wanted = desk.top, target.strategy_id, target.target_lots
    assert top is not None
    until_ns = target.ts_init_ns + target.ttl_ns
    reach = desk.lot_reach
    if (
        now_ns >= until_ns
        or not 0 < shared.stale_ns >= now_ns - top.ts_recv_ns
        or (wanted if wanted > 0 else -wanted) * reach > desk.budget_reach[strategy_id]
    ):
        return None
    lots = wanted - desk.position_lots.get(strategy_id, 0)
    net = desk.net_lots
    bid, ask = desk.bid, desk.ask
    slip = int(shared.slippage * (bid + ask) * 0.5)
    if lots > 0:
        size, side, limit, slot, closing = lots, _BUY, ask + slip, desk.slots.get(_NET_BUY), -net
    else:
        size, side, limit, slot, closing = -lots, _SELL, bid - slip, desk.slots.get(_NET_SELL), net
    if (
        not size
        or (size + (net if net > 0 else -net)) * reach > desk.cap_reach
        or size * reach > desk.order_reach
        or size > desk.max_lots
        or slot is None
        or now_ns < slot.next_ns
        or now_ns < desk.next_aggressive_ns
        or not desk.large_enough(size)
        or now_ns < shared.rate.full_until_ns
        or now_ns < desk.rate.full_until_ns
    ):
        return None
    desk.dirty = desk.follows_touch = False
    desk.wake_ns = until_ns
    desk.next_aggressive_ns = now_ns + shared.min_order_interval_ns
    shared.rate.add(now_ns)
    desk.rate.add(now_ns)
    shared.orders += 1
    cl_ord_id = f"{desk.id_prefix}{shared.orders:x}"
    desk.orders[cl_ord_id] = slot.current = WorkingOrder(cl_ord_id, NET_OWNER, side, limit, size, None, (strategy_id,))
    instrument = desk.instrument
    qty = instrument.lot_size * size
    return [
        ProposedOrder(
            cl_ord_id,
            instrument.venue,
            instrument.instrument_id,
            side,
            _LIMIT,
            _IOC,
            qty,
            instrument.tick_size * limit,
            net != 0 and size <= closing,
            (Leg(strategy_id, target.intent_id, qty),),
            None,
            desk.mid(),
            top.update_id,
            top.ts_recv_ns,
            OrderStory(
                desk.tick_word, desk.lot_word, top.bids[0], top.asks[0], top.synthetic, desk.held, (target,), ""
            ),
            target.cause,
            now_ns,
        )
    ]


LoneRound = Callable[[Shared, InstrumentDesk, TargetIntent, int], list[ArbiterOut] | None]

_READ = (Shared, InstrumentDesk, Flattening, Slot, TargetIntent, BookTop, Instrument, RateWindow)
_MADE = (WorkingOrder, Leg, OrderStory, ProposedOrder)
_WORDS = (_BUY, _SELL, _LIMIT, _IOC, _AGGRESSIVE, NET_OWNER, OPERATOR)

lone_round: LoneRound = (
    lone_round_in_python if native.orders is None else native.orders.LoneRound(*_READ, *_MADE, *_WORDS)
)
"""`lone_round_in_python`; in C, where that was built, which leaves more to `Round` and says the same otherwise."""
