"""Cases of the order matrix: amendments in place, what is executed meanwhile, and what nobody answers.

The venue's order keeps the client order id that it was placed with; each amendment is an order of the desk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from supervision.conformance import order_amend_guards as g
from supervision.conformance.order_case import AWAY_BPS, CONTRACTS, USER, OrderCase, has, rest, resting, status
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike
from trading.orders.messages import Side
from trading.sim.state import SimOrder

AMENDS = {
    "binanceusdm": ("/fapi/v1/order",),
    "binancecoinm": ("/dapi/v1/order",),
    "okx": ("/api/v5/trade/amend-order",),
    "bybit": ("/v5/order/amend",),
}
"""Where an order is amended in place."""
MANY = 1_000_000
USD = 900.0
SMALLER_USD = 600.0
LARGER_USD = 1_200.0
UNKNOWN = f"{ORDER}unknown"
RESOLVED_MS = 5_000
"""What an amendment that never arrived takes to be told from one that is late: the order shows up as it was."""
_NOT_MODIFIED = {
    "binanceusdm": (-5026, "Exceed maximum modify order limit."),
    "binancecoinm": (-5026, "Exceed maximum modify order limit."),
    "okx": (51508, "Orders are not allowed to be modified during the call auction."),
    "bybit": (10001, "The order can not be modified in its current state."),
}
_SAYS_NOTHING = {"binanceusdm": 404, "binancecoinm": 404, "okx": 503, "bybit": 503}
"""Binance's 503 says that the request was not read."""
_ENDS = frozenset({"canceled", "expired", "rejected", "replaced", "denied", "filled"})


# --- Hands ---------------------------------------------------------------------------------------------------------


async def _stand(rig: OrderRig) -> None:
    rig.noted_name = await resting(rig, Side.BUY, USD)


def _amend(rig: OrderRig, usd: float = USD, bps: int = AWAY_BPS, of: str = "") -> str:
    rig.successor = rest(rig, Side.BUY, usd, replaces=of or rig.noted_name, bps=bps)
    return rig.successor


async def _amended(rig: OrderRig, usd: float = USD, bps: int = AWAY_BPS, of: str = "") -> str:
    """The same, once the desk knows that it took effect."""
    name = _amend(rig, usd, bps, of)
    await rig.until(lambda: has(rig, name, "new", "partially_filled"), f"{name} in effect", 5.0)
    return name


def _at_venue(rig: OrderRig, name: str) -> SimOrder | None:
    orders = rig.server.account.exchange.open.values()
    return next((order for order in orders if rig.spelled(order.cl_ord_id) == name), None)


def _third(rig: OrderRig) -> int:
    return max(1, rig.lots(USD) // 3)


def _amending(usd: float = USD, bps: int = AWAY_BPS) -> Callable[[OrderRig], Awaitable[int | None]]:
    async def act(rig: OrderRig) -> int | None:
        acted = rig.clock.mono_ns()
        _amend(rig, usd, bps)
        return acted

    return act


# --- What has to be true of it all -----------------------------------------------------------------------------------


def _one_order(rig: OrderRig) -> str:
    """Whether all of the chain was one order at the venue, under its first id."""
    order = rig.truth.orders.get(rig.noted_name)
    if order is None or len(order.numbers) != 1:
        return f"{rig.noted_name} is not one order at the venue"
    if rig.successor in rig.truth.orders:
        return f"{rig.successor} was placed as an order of its own"
    return "" if has(rig, rig.noted_name, "replaced") else f"{rig.noted_name} is {status(rig, rig.noted_name)}"


def _took_effect(rig: OrderRig, _began_ns: int) -> str:
    return _one_order(rig)


def _refused_and_stands(rig: OrderRig, _began_ns: int) -> str:
    """The old terms stood until the case was over; the amendment never came to be."""
    said = status(rig, rig.successor)
    if said not in {"rejected", "denied"} or rig.successor in rig.truth.orders:
        return f"{rig.successor} is {said}"
    return "" if not has(rig, rig.noted_name, "replaced") else f"{rig.noted_name} was replaced by nothing"


def _both_ended(rig: OrderRig, _began_ns: int) -> str:
    legs = {name: status(rig, name) for name in (rig.noted_name, rig.successor)}
    return "; ".join(f"{name} is {said}" for name, said in legs.items() if said not in _ENDS)


# --- Acts ------------------------------------------------------------------------------------------------------------


async def _every_way(rig: OrderRig) -> int | None:
    """Price up, price down, less and more: one order all the time, and its place in the queue as the venue has it."""
    acted = rig.clock.mono_ns()
    name = await _amended(rig, bps=AWAY_BPS - 5)
    name = await _amended(rig, bps=AWAY_BPS, of=name)
    order = _at_venue(rig, rig.noted_name)
    assert order is not None
    assert order.price_ticks is not None
    # A second order at the same price stands behind the first until that asks for more.
    ticks = rig.top().bids[0][0] - order.price_ticks
    behind = rig.place(Side.BUY, away_ticks=ticks, lots=rig.lots())
    await rig.until(lambda: has(rig, behind, "new"), f"{behind} on the book", 5.0)
    name = rig.successor = rig.place(Side.BUY, away_ticks=_away(rig, order), lots=rig.lots(SMALLER_USD), replaces=name)
    await rig.until(lambda: has(rig, name, "new"), f"{name} in effect", 5.0)
    kept = _places(rig)
    name = rig.successor = rig.place(Side.BUY, away_ticks=_away(rig, order), lots=rig.lots(LARGER_USD), replaces=name)
    await rig.until(lambda: has(rig, name, "new"), f"{name} in effect", 5.0)
    rig.places = (kept, _places(rig))
    return acted


def _away(rig: OrderRig, order: SimOrder) -> int:
    assert order.price_ticks is not None
    return rig.top().bids[0][0] - order.price_ticks


def _places(rig: OrderRig) -> int:
    """How many of our orders stand before the one that the case is about."""
    orders = rig.server.account.exchange.markets[rig.instrument.instrument_id].orders
    return [rig.spelled(order.cl_ord_id) for order in orders].index(rig.noted_name)


def _queued(rig: OrderRig, _began_ns: int) -> str:
    if rig.places != (0, 1):
        return f"the order had {rig.places[0]} before it after it asked for less and {rig.places[1]} after more"
    return _one_order(rig)


async def _part_then_amend(rig: OrderRig) -> int | None:
    """Executed in part, then amended, then executed to its end."""
    acted = rig.clock.mono_ns()
    rig.trade_at(rig.noted_name, _third(rig))
    await rig.until(lambda: has(rig, rig.noted_name, "partially_filled"), "a part", 5.0)
    await _amended(rig, SMALLER_USD)
    rig.trade_at(rig.noted_name, MANY)
    await rig.until(lambda: has(rig, rig.successor, "filled"), "the rest", 5.0)
    return acted


def _executed_as_wanted(rig: OrderRig, _began_ns: int) -> str:
    wanted = rig.instrument.qty(_third(rig) + rig.lots(SMALLER_USD))
    found = rig.truth.orders[rig.noted_name].filled
    # Lots are counted in dollars, whose price moves a little meanwhile.
    most = rig.instrument.qty(2 + rig.lots(SMALLER_USD) // 100)
    return _one_order(rig) if abs(found - wanted) <= most else f"executed {found}, wanted {wanted}"


async def _fill_on_the_way(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    _amend(rig, SMALLER_USD)
    rig.wanted_lots = rig.lots(SMALLER_USD)
    await asyncio.sleep(0.1)
    rig.trade_at(rig.noted_name, _third(rig))
    return acted


def _no_more_than_wanted(rig: OrderRig, began_ns: int) -> str:
    """What was executed meanwhile is part of what was wanted: the total is not raised by it."""
    order = next((one for one in _finished(rig) if rig.spelled(one.cl_ord_id) == rig.noted_name), None)
    if order is None:
        return f"{rig.noted_name} is not remembered by the venue"
    most = rig.wanted_lots + 2 + rig.wanted_lots // 100
    if order.order_lots > most:
        return f"the venue was asked for {order.order_lots} lots in all, wanted were {rig.wanted_lots}"
    return _one_order(rig) or _both_ended(rig, began_ns)


def _finished(rig: OrderRig) -> list[SimOrder]:
    exchange = rig.server.account.exchange
    return [*exchange.open.values(), *exchange.finished.values()]


async def _less_than_executed(rig: OrderRig) -> int | None:
    """By the time it arrives more has been executed than it leaves."""
    acted = rig.clock.mono_ns()
    rig.successor = rig.place(
        Side.BUY, away_ticks=rig.top().bids[0][0] * AWAY_BPS // 10_000, lots=_fewest(rig), replaces=rig.noted_name
    )
    await asyncio.sleep(0.1)
    rig.trade_at(rig.noted_name, max(_third(rig), _fewest(rig) + 1))
    return acted


def _fewest(rig: OrderRig) -> int:
    return rig.lots(0.0)


def _never_amended(rig: OrderRig, began_ns: int) -> str:
    if rig.successor in rig.truth.orders:
        return f"{rig.successor} was placed as an order of its own"
    return _both_ended(rig, began_ns)


async def _crossing(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    _amend(rig, USD, -AWAY_BPS)
    await rig.until(lambda: has(rig, rig.successor, "filled"), "it takes", 5.0)
    return acted


async def _gone_unheard(rig: OrderRig) -> int | None:
    """Canceled at the venue while the stream is silent, then amended."""
    acted = rig.clock.mono_ns()
    order = _at_venue(rig, rig.noted_name)
    assert order is not None
    rig.server.account.cancel(order)
    _amend(rig, SMALLER_USD)
    return acted


async def _refused_then_anew(rig: OrderRig) -> int | None:
    """Refused once; what replaces it next is a cancel and a new order."""
    acted = rig.clock.mono_ns()
    first = _amend(rig, SMALLER_USD)
    await rig.until(lambda: has(rig, first, "rejected"), f"{first} is refused", 5.0)
    await rig.until(lambda: status(rig, rig.noted_name) == "new", f"{rig.noted_name} stands", 5.0)
    second = _amend(rig, SMALLER_USD)
    await rig.until(lambda: has(rig, second, "new"), f"{second} on the book", 5.0)
    return acted


def _by_cancel(rig: OrderRig, began_ns: int) -> str:
    if rig.successor not in rig.truth.orders:
        return f"{rig.successor} was not placed anew"
    core = rig.core
    assert core is not None
    if not core.amends_by_cancel:
        return "nothing was replaced by cancel"
    return _both_ended(rig, began_ns)


async def _killed_between(rig: OrderRig) -> int | None:
    """The order core dies between its word and the venue's."""
    acted = rig.clock.mono_ns()
    _amend(rig, SMALLER_USD)
    await asyncio.sleep(0.15)
    rig.drill("orders")
    rig.ask_again()
    return acted


async def _chain(rig: OrderRig) -> int | None:
    """Amended there and back again and again while it is executed bit by bit."""
    acted = rig.clock.mono_ns()
    name = rig.noted_name
    for turn in range(6):
        name = await _amended(rig, (SMALLER_USD, USD)[turn % 2], of=name)
        if turn % 2:
            rig.trade_at(rig.noted_name, max(1, rig.lots(USD) // 12))
    return acted


async def _given_up_then_made(rig: OrderRig) -> int | None:
    """Given up because the record shows the old terms; then the venue makes it, and all of it is executed."""
    name = _amend(rig, LARGER_USD)
    await rig.until(lambda: has(rig, name, "rejected"), f"{name} is given up", 8.0)
    core, order = rig.core, _at_venue(rig, rig.noted_name)
    given_up = None if core is None else core.order(rig.venue, name)
    assert core is not None
    assert order is not None
    assert order.price_ticks is not None
    assert given_up is not None
    rig.wanted_lots = int(given_up.total_qty / rig.instrument.lot_size)
    rig.noted_count = int(core.exposure()[rig.instrument.instrument_id].buy_leaves / rig.instrument.lot_size)
    acted = rig.clock.mono_ns()
    price = given_up.proposed.price or rig.instrument.price(order.price_ticks)
    refusal = rig.server.account.amend(order, given_up.total_qty, price)
    assert not refusal, refusal
    rig.trade_at(rig.noted_name, MANY)
    return acted


def _counted_and_booked(rig: OrderRig, _began_ns: int) -> str:
    """What it could do was in exposure while nobody knew, and all that it did is the amendment's."""
    if rig.noted_count < rig.wanted_lots:
        return f"{rig.noted_count} lots were in exposure, {rig.wanted_lots} could be executed"
    found = rig.truth.orders[rig.noted_name].filled
    if found != rig.instrument.qty(rig.wanted_lots):
        return f"executed {found}, the amendment asked for {rig.wanted_lots} lots"
    return _one_order(rig)


def _silent(venue: str) -> f.Gap:
    del venue
    return f.Gap(messages=MANY, topics=USER)


def _case(
    number: int,
    title: str,
    expects: str,
    strike: OrderStrike,
    *mutants: g.OrderMutant,
    faults: tuple[str, ...] = ("F24",),
    spec: tuple[str, ...] = ("P-ORD-11", "P-VEN-3"),
    venues: tuple[str, ...] = CONTRACTS,
) -> OrderCase:
    return OrderCase(
        id=f"ORD-M-{number:02}",
        title=title,
        faults=faults,
        spec=spec,
        expects=expects,
        strike=strike,
        venues=venues,
        mutants=mutants,
    )


CASES = (
    _case(
        1,
        "an order is amended in price, up and down, and in quantity, down and up",
        "one order at the venue under its first id; less keeps its place in the queue, more and another price lose it",
        OrderStrike(quiet=True, before=_stand, act=_every_way, never=(UNKNOWN,), resolve_ms=1_000, after=_queued),
    ),
    _case(
        2,
        "an order that is executed in part is amended, and then executed to its end",
        "the new total has what was executed in it: as much more is executed as was wanted, each execution once",
        OrderStrike(
            quiet=True,
            before=_stand,
            act=_part_then_amend,
            signs=(f"{ORDER}filled",),
            within_ms=6_000,
            resolve_ms=1_000,
            after=_executed_as_wanted,
        ),
        g.TOTAL_FORGETS,
    ),
    _case(
        3,
        "an order is executed in part while its amendment to less is on the way",
        "the execution belongs to the order as it was, and what is left afterwards is less by it",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [f.RestSlow(delay_ms=300, topics=AMENDS[v])],
            act=_fill_on_the_way,
            acts="rest_slow",
            signs=(f"{ORDER}fill",),
            within_ms=500,
            hold_ms=1_200,
            resolve_ms=2_000,
            after=_no_more_than_wanted,
        ),
        g.CARRIES_NOTHING,
        faults=("F14", "F24"),
    ),
    _case(
        4,
        "an order is amended to less than is executed by the time the amendment arrives",
        "the venue cancels it or refuses: what was executed stays, nothing more, no second order",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [f.RestSlow(delay_ms=300, topics=AMENDS[v])],
            act=_less_than_executed,
            acts="rest_slow",
            signs=(f"{ORDER}fill",),
            within_ms=500,
            hold_ms=1_200,
            resolve_ms=1_000,
            after=_never_amended,
        ),
        g.OUTLIVES.but(okx="the venue refuses such an amendment, and the order stands"),
        faults=("F14", "F24"),
    ),
    _case(
        5,
        "an order is amended to a price at which it takes",
        "it is executed under its first id and booked to the amendment",
        OrderStrike(
            quiet=True,
            before=_stand,
            act=_crossing,
            signs=(f"{ORDER}filled",),
            within_ms=2_000,
            resolve_ms=1_000,
            after=_took_effect,
        ),
        g.CHAIN_UNFOLLOWED,
    ),
    _case(
        6,
        "an order ends at the venue, nobody tells, and it is amended",
        "refused as unknown, which proves no end: the venue's record does, and neither is live any more",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [_silent(v)],
            act=_gone_unheard,
            acts="gap",
            signs=(f"{ORDER}rejected", f"{ORDER}canceled"),
            within_ms=1_500,
            hold_ms=1_500,
            resolve_ms=3_000,
            after=_never_amended,
        ),
        faults=("F12", "F24"),
    ),
    _case(
        7,
        "the venue will not amend this order any more",
        "the old terms stand; the next replacement cancels it and places anew when its end is proved",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [o.RefuseAmend(amends=1, code=_NOT_MODIFIED[v][0], msg=_NOT_MODIFIED[v][1])],
            act=_refused_then_anew,
            acts="refuse_amend",
            signs=(f"{ORDER}rejected",),
            within_ms=500,
            resolve_ms=2_000,
            after=_by_cancel,
        ),
        g.NEVER_LEARNS,
    ),
    _case(
        8,
        "an amendment is made, its answer is lost, and the stream is silent",
        "UNKNOWN after 400 ms; the venue's record shows the new terms: it took effect, and is not said again",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [_silent(v), o.AcceptThen(requests=1, outcome="drop", topics=AMENDS[v])],
            act=_amending(SMALLER_USD),
            acts="accept_then",
            signs=(UNKNOWN,),
            within_ms=900,
            hold_ms=1_500,
            resolve_ms=3_000,
            after=_took_effect,
        ),
        g.TERMS_UNSEEN,
        faults=("F01", "F24"),
        spec=("P-ORD-11", "P-ORD-2", "P-ORD-13", "P-VEN-3"),
    ),
    _case(
        9,
        "an amendment is answered with an error that says nothing, and was not made",
        "UNKNOWN; only a record that was asked for late enough and shows the old terms says so, and they stand",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [f.RestStatus(requests=1, status=_SAYS_NOTHING[v], topics=AMENDS[v])],
            act=_amending(SMALLER_USD),
            acts="rest_status",
            signs=(UNKNOWN,),
            within_ms=900,
            hold_ms=4_000,
            resolve_ms=RESOLVED_MS,
            after=_refused_and_stands,
        ),
        faults=("F02", "F24"),
        spec=("P-ORD-11", "P-ORD-13", "P-VEN-3"),
    ),
    _case(
        10,
        "an amendment arrives three quarters of a second late, and its answer too",
        "the record with the old terms is of too early a time: UNKNOWN until it shows the new ones",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [_silent(v), f.RestSlow(delay_ms=750, topics=AMENDS[v])],
            act=_amending(SMALLER_USD),
            acts="rest_slow",
            signs=(UNKNOWN,),
            within_ms=900,
            hold_ms=2_500,
            never=(f"{ORDER}rejected",),
            resolve_ms=3_000,
            after=_took_effect,
        ),
        g.OLD_TERMS_AT_ONCE,
        faults=("F09", "F24"),
        spec=("P-ORD-11", "P-ORD-13", "P-VEN-3"),
        venues=("okx", "bybit"),  # Binance amends where it is asked: the question would be as late as the amendment
    ),
    _case(
        11,
        "the order core dies while an amendment is on its way",
        "the journal knows what it amends: resolved by the venue's record, never said again, one order to cancel",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [f.RestSlow(delay_ms=400, topics=AMENDS[v])],
            act=_killed_between,
            acts="rest_slow",
            hold_ms=1_500,
            resolve_ms=8_000,
            after=_never_amended,
        ),
        faults=("F05", "F24"),
        spec=("P-ORD-11", "P-ORD-1", "P-VEN-3"),
    ),
    _case(
        12,
        "an order is amended there and back again and again while it is executed bit by bit, every frame twice",
        "terms that come again are told apart by the venue's time: each execution once, one order",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda _v: [f.Duplicate(messages=MANY, topics=USER)],
            act=_chain,
            acts="duplicate",
            signs=(f"{ORDER}partially_filled",),
            within_ms=8_000,
            hold_ms=500,
            resolve_ms=2_000,
            after=_took_effect,
        ),
        faults=("F17", "F24"),
    ),
    _case(
        13,
        "an amendment to more is given up because the record shows the old terms, and the venue makes it later",
        "the larger of the two stays in exposure; what is executed past the old quantity is the amendment's, no alarm",
        OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [f.RestStatus(requests=1, status=_SAYS_NOTHING[v], topics=AMENDS[v])],
            act=_given_up_then_made,
            must_act=("rest_status",),
            signs=(f"{ORDER}filled",),
            within_ms=2_000,
            hold_ms=500,
            never=(UNKNOWN,),
            resolve_ms=1_000,
            after=_counted_and_booked,
        ),
        g.GIVEN_UP_IS_GONE,
        faults=("F09", "F24"),
        spec=("P-ORD-11", "P-ORD-13", "P-VEN-3"),
    ),
)
