"""Cases of the order matrix: a stop and a take-profit of which one cancels the other, held by the venue.

Every pair closes a position that the case opened, both legs bound to closing; the prices are last prices that the venue
is told of. Spot binds no order to closing, and has no such pairs here.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from adapters.simserver import faults as f
from supervision.conformance import order_guards as g
from supervision.conformance.order_case import CONTRACTS, USER, OrderMutant, has, privates, status
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_stops import (
    AUDIT_MS,
    FAR_BPS,
    FILLED,
    GOES_IN_HOLD,
    HELD,
    MANY,
    NOT_CLOSING,
    ended,
    held,
    position,
    price_falls,
    waiting_case,
)
from supervision.conformance.order_trial import ORDER, OrderStrike
from trading.orders.contingency import legs_of
from trading.orders.messages import (
    Contingency,
    OrderCancelRequest,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

CANCELED = f"{ORDER}canceled"
WAITING_CANCELS = {
    "binanceusdm": ("/fapi/v1/algoOrder",),
    "binancecoinm": ("/dapi/v1/algoOrder",),
    "okx": ("/api/v5/trade/cancel-algos",),
    "bybit": ("/v5/order/cancel",),
}
"""Where orders that wait are canceled; Binance's futures place and show them there too."""


# --- By hand -------------------------------------------------------------------------------------------------------


def place_leg(rig: OrderRig, ord_type: OrdType, lots: int, bps: int = FAR_BPS) -> str:
    """A leg that sells when the last price has fallen so far (a stop), or risen (a take-profit); its ClOrdID."""
    core = rig.core
    assert core is not None
    top = rig.top().bids[0][0]
    far = top * bps // 10_000
    at = top - far if ord_type is OrdType.STOP else top + far
    return rig.place(
        Side.SELL,
        away_ticks=0,
        lots=lots,
        time_in_force=TimeInForce.IOC,
        reduce_only=True,
        ord_type=ord_type,
        trigger=TriggeringInstructions(rig.instrument.price(at), TriggerPriceType.LAST, close_on_trigger=True),
        contingency=Contingency(f"pd{core.epoch:x}-case"),
    )


def price_rises(rig: OrderRig) -> None:
    """The venue sees a last price above the take-profit."""
    price_falls(rig, -2 * FAR_BPS)


async def _pair(rig: OrderRig, lots: int = 0) -> None:
    await position(rig)
    rig.noted_name = place_leg(rig, OrdType.STOP, lots or rig.wanted_lots)
    rig.twin = place_leg(rig, OrdType.TAKE_PROFIT, lots or rig.wanted_lots)
    for name in (rig.noted_name, rig.twin):
        await rig.until(lambda name=name: has(rig, name, HELD), f"{name} held", 5.0)  # type: ignore[misc]


async def _paired(rig: OrderRig) -> None:
    """A position, and both legs at the venue that will close it."""
    await _pair(rig)


async def _paired_in_part(rig: OrderRig) -> None:
    """As before, each leg of two thirds of it: together they are of more than is held."""
    await position(rig)
    await _pair(rig, max(1, rig.wanted_lots * 2 // 3))


# --- What is done --------------------------------------------------------------------------------------------------


async def _over(rig: OrderRig, *twins: str) -> None:
    await ended(rig, rig.noted_name, "filled")
    await ended(rig, rig.twin, *(twins or ("canceled",)))


async def _falls(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    price_falls(rig)
    await _over(rig)
    price_rises(rig)
    return acted


async def _rises(rig: OrderRig) -> int | None:
    """The take-profit's price comes: it is the stop that has to go."""
    rig.noted_name, rig.twin = rig.twin, rig.noted_name
    acted = rig.clock.mono_ns()
    price_rises(rig)
    await _over(rig)
    price_falls(rig)
    return acted


def _lose_cancels(rig: OrderRig, count: int) -> asyncio.Event:
    """So many cancels of the twin do not reach the venue; set when the last of them is lost."""
    gateway: Any = rig.gateway
    on, lost, left = gateway.on, asyncio.Event(), [count]

    def hear(msg: Any) -> None:
        if type(msg) is OrderCancelRequest and msg.orig_cl_ord_id == rig.twin and left[0]:
            left[0] -= 1
            if not left[0]:
                lost.set()
            return
        on(msg)

    vars(gateway)["on"] = hear
    return lost


async def _cancel_lost(rig: OrderRig) -> int | None:
    lost = _lose_cancels(rig, 2)
    acted = await _falls(rig)
    assert lost.is_set()
    return acted


async def _dies_between(rig: OrderRig) -> int | None:
    """The order core dies when the execution and the cancel are on its disk, and nothing of that has left."""
    lost = _lose_cancels(rig, 1)
    acted = rig.clock.mono_ns()
    price_falls(rig)
    await asyncio.wait_for(lost.wait(), 5.0)
    rig.drill("orders")
    rig.ask_again()
    await _over(rig)
    price_rises(rig)
    return acted


async def _gone_meanwhile(rig: OrderRig) -> int | None:
    """The order core is gone when the price comes."""
    acted = rig.clock.mono_ns()
    rig.drill("orders")
    rig.ask_again()
    price_falls(rig)
    await _over(rig)
    price_rises(rig)
    return acted


async def _cut(rig: OrderRig) -> int | None:
    """The private stream is cut, and the price comes before it is back."""
    rig.server.faults.set(f.Disconnect(connections=privates(rig)))
    return await _falls(rig)


async def _both(rig: OrderRig) -> int | None:
    """Both prices come before anybody here has heard of the first."""
    acted = rig.clock.mono_ns()
    price_falls(rig)
    price_rises(rig)
    for name in (rig.noted_name, rig.twin):
        await rig.until(lambda name=name: rig.truth.orders[name].ended_ns is not None, f"the end of {name}", 5.0)  # type: ignore[misc]
        await ended(rig, name, "filled", "canceled", "expired", "rejected")
    return acted


async def _take_profit_too_late(rig: OrderRig) -> int | None:
    """The take-profit's level is passed before it is placed: the venue refuses it. Then the stop's price comes."""
    rig.noted_name = place_leg(rig, OrdType.STOP, rig.wanted_lots)
    await rig.until(lambda: has(rig, rig.noted_name, HELD), f"{rig.noted_name} held", 5.0)
    acted = rig.clock.mono_ns()
    rig.twin = place_leg(rig, OrdType.TAKE_PROFIT, rig.wanted_lots, -FAR_BPS)
    await ended(rig, rig.twin, "rejected")
    await asyncio.sleep(0.3)  # a stop that goes with it would be gone by then
    price_falls(rig)
    await ended(rig, rig.noted_name, "filled")
    return acted


async def _venue_restarts(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    await rig.restart_server(0.4)
    await rig.until(rig.is_sure, "certainty", 15.0)
    price_falls(rig)
    await _over(rig)
    price_rises(rig)
    return acted


# --- What has to be true at the end --------------------------------------------------------------------------------


def _one_closed(rig: OrderRig, _began_ns: int) -> str:
    """One leg was executed whole, the other not at all and by one cancel, and nothing is held."""
    order, twin = rig.truth.orders[rig.noted_name], rig.truth.orders[rig.twin]
    wanted = rig.instrument.qty(rig.wanted_lots)
    if order.filled != wanted or len(order.numbers) != 1:
        return f"{rig.noted_name} executed {order.filled} of {wanted}, {sorted(order.numbers)}"
    if twin.filled or status(rig, rig.twin) != "canceled":
        return f"{rig.twin} is {status(rig, rig.twin)}, executed {twin.filled}"
    core = rig.core
    known = None if core is None else core.order(rig.venue, rig.twin)
    if known is not None and known.cancel_count != 1:
        return f"{rig.twin} was canceled {known.cancel_count} times"
    return f"{held(rig)} is held" if held(rig) else ""


def _closed_by_cancels(rig: OrderRig, began_ns: int) -> str:
    """As before, by as many cancels as were needed."""
    reason = _one_closed(rig, began_ns)
    return "" if "times" in reason else reason


def _not_turned_round(rig: OrderRig, _began_ns: int) -> str:
    """Both legs went, each executed what was left to close, and nothing is held in the other direction."""
    order, twin = rig.truth.orders[rig.noted_name], rig.truth.orders[rig.twin]
    if not order.filled:
        return f"{rig.noted_name} was not executed: nothing was tried"
    left = rig.instrument.qty(rig.wanted_lots) - order.filled - twin.filled
    if held(rig) < 0 or left < 0:
        return f"{held(rig)} is held: the position was turned round"
    return "" if held(rig) == left else f"{held(rig)} is held, {left} ought to be"


def _stop_stayed(rig: OrderRig, _began_ns: int) -> str:
    order = rig.truth.orders[rig.noted_name]
    wanted = rig.instrument.qty(rig.wanted_lots)
    return "" if order.filled == wanted and not held(rig) else f"{rig.noted_name} executed {order.filled} of {wanted}"


# --- Without a guard -----------------------------------------------------------------------------------------------


def _nobody_cancels(rig: OrderRig) -> None:
    """A leg that goes is an order like any other."""
    core: Any = rig.core
    core._decides = lambda *_: None  # noqa: SLF001


def _ends_both(rig: OrderRig) -> None:
    """A leg that ends in whatever way takes its twin with it."""
    core: Any = rig.core
    leg_ended = core._leg_ended  # noqa: SLF001

    def take(order: Any) -> None:
        leg_ended(order)
        for twin in legs_of(order.proposed, core.open_orders()):
            rig.cancel(twin.cl_ord_id)

    core._leg_ended = take  # noqa: SLF001


def _forgets(rig: OrderRig) -> None:
    """A core that comes back knows of no decided list, and of none that is decided later."""
    first: Any = rig.core

    async def when_it_is_back() -> None:
        await rig.until(lambda: rig.core not in {None, first}, "a core that is back", 10.0)
        known: Any = rig.core
        known._decides = lambda *_: None  # noqa: SLF001
        for order in known.open_orders():
            if order.proposed.contingency is not None:
                order.yields_to = order.cancel_id = ""
                order.cancel_wish = None

    rig.chores.append(asyncio.get_running_loop().create_task(when_it_is_back()))


NOBODY_CANCELS = OrderMutant("nobody cancels the twin", _nobody_cancels)
ENDS_BOTH = OrderMutant("a leg that is refused takes its twin with it", _ends_both)
FORGETS = OrderMutant("a core that comes back has forgotten which leg decided", _forgets)


_case = partial(waiting_case, "O", 2, venues=CONTRACTS)


def _strike(act: Any, within_ms: float, *, after: Any = _one_closed, **more: Any) -> OrderStrike:
    words: dict[str, Any] = {
        "quiet": True,
        "before": _paired,
        "signs": (FILLED,),
        "hold_ms": 300,
        "resolve_ms": 6_000,
    } | more
    return OrderStrike(act=act, within_ms=within_ms, after=after, **words)


CASES = (
    _case(
        1,
        (
            "a stop of a list is triggered and filled",
            "its take-profit is canceled, once; its price changes nothing any more",
        ),
        _strike(_falls, 1_000, also=(CANCELED,)),
        mutants=(NOBODY_CANCELS,),
    ),
    _case(
        2,
        ("a take-profit of a list is triggered and filled", "its stop is canceled, once; nothing is held"),
        _strike(_rises, 1_000, also=(CANCELED,)),
        mutants=(NOBODY_CANCELS,),
    ),
    _case(
        3,
        (
            "the order core dies between a leg's execution and the cancel of its twin",
            "the core that comes back knows of both, and says the cancel again: gone, once",
        ),
        _strike(_dies_between, 1_000, resolve_ms=8_000),
        mutants=(FORGETS,),
    ),
    _case(
        4,
        (
            "the order core is gone when a leg is triggered",
            "the core that comes back finds out that it was executed, and cancels the twin",
        ),
        _strike(_gone_meanwhile, 6_000, resolve_ms=8_000),
        mutants=(FORGETS,),
    ),
    _case(
        5,
        ("the cancel of the twin is lost on its way, twice", "said again with the same id until the venue answers"),
        _strike(_cancel_lost, 1_000, resolve_ms=8_000),
        mutants=(g.NO_DEADLINE,),
    ),
    _case(
        6,
        ("the venue answers the cancels of the twin with errors", "said again until it is gone"),
        _strike(
            _falls,
            1_000,
            # More than the wire tries by itself.
            faults=lambda v: [f.RestError(requests=7, topics=WAITING_CANCELS[v])],
            must_act=("rest_error",),
            resolve_ms=8_000,
            after=_closed_by_cancels,
        ),
        mutants=(g.NO_DEADLINE,),
    ),
    _case(
        7,
        (
            "both legs are triggered before the desk has heard of the first",
            "both are booked, what they close together is what was held: the position is not turned round",
        ),
        _strike(_both, 2_000, before=_paired_in_part, after=_not_turned_round, resolve_ms=8_000),
        mutants=(NOT_CLOSING,),
    ),
    _case(
        8,
        (
            "a take-profit is refused because its price has passed, while its stop waits",
            "the stop stays, and closes the position when its price comes",
        ),
        _strike(_take_profit_too_late, 2_000, before=position, signs=(f"{ORDER}rejected",), after=_stop_stayed),
        mutants=(ENDS_BOTH,),
    ),
    _case(
        9,
        (
            "a leg is triggered and filled while the private stream tells nothing",
            "the next reading of the account finds it out, and the twin is canceled",
        ),
        _strike(_falls, 6_000, faults=lambda _v: [f.Gap(messages=MANY, topics=USER)], resolve_ms=8_000),
        audit_ms=AUDIT_MS,
        mutants=(g.NO_AUDIT,),
    ),
    _case(
        10,
        (
            "the private stream is cut, and a leg is triggered before it is back",
            "what was missed is caught up with, and the twin is canceled",
        ),
        _strike(_cut, 8_000, resolve_ms=8_000),
        mutants=(NOBODY_CANCELS,),
    ),
    _case(
        11,
        (
            "the venue restarts while it holds a list",
            "the desk holds and cancels what rests, but neither leg; then one closes the position and the other goes",
        ),
        _strike(_venue_restarts, 20_000),
        kept=True,
        mutants=(GOES_IN_HOLD.but(okx="its cancels find no room in their limit until the price has come"),),
    ),
)
