"""Cases of the order matrix: stops that the venue holds, from their placement to what becomes of them.

Every one closes a position that the case opened, by a stop at market that is bound to closing; on spot, where nothing
binds so, by a stop with a limit that sells what was bought. The trigger is a last price that the venue is told of.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from adapters.simserver import faults as f
from supervision.conformance import order_guards as g
from supervision.conformance.markets import VENUES
from supervision.conformance.order_case import CONTRACTS, USER, OrderCase, OrderMutant, has, privates, status
from supervision.conformance.order_rig import FILL, OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike
from supervision.conformance.rig import NotInTimeError
from trading.orders.messages import OrdType, Side, TimeInForce, TriggeringInstructions, TriggerPriceType

MANY = 1_000_000
AUDIT_MS = 1_000
FAR_BPS = 200
USD = 520.0
HELD = "pending_trigger"
ENDS = ("filled", "canceled", "expired", "rejected", "denied")
_TRIES = 5
FILLED = f"{ORDER}filled"


# --- By hand -------------------------------------------------------------------------------------------------------


def _contract(rig: OrderRig) -> bool:
    return rig.venue != "binance"


def place_stop(rig: OrderRig, bps: int = FAR_BPS) -> str:
    """A stop that sells what is held when the last price has fallen so far; its ClOrdID."""
    top, contract = rig.top().bids[0][0], _contract(rig)
    far = top * bps // 10_000
    closes = TriggeringInstructions(rig.instrument.price(top - far), TriggerPriceType.LAST, contract)
    return rig.place(
        Side.SELL,
        away_ticks=-2 * far,
        lots=rig.wanted_lots,
        time_in_force=TimeInForce.IOC if contract else TimeInForce.GTC,
        reduce_only=contract,
        ord_type=OrdType.STOP if contract else OrdType.STOP_LIMIT,
        trigger=closes,
    )


def price_falls(rig: OrderRig, bps: int = 2 * FAR_BPS) -> None:
    """The venue sees a last price below the stop."""
    ticks = rig.top().bids[0][0] * (10_000 - bps) // 10_000
    one = rig.instrument
    rig.server.account.on_price(one.instrument_id, TriggerPriceType.LAST, one.price(ticks))


def held(rig: OrderRig) -> Decimal:
    """What the venue says is held of a contract."""
    return rig.server.account.exchange.account.position(rig.instrument.instrument_id).qty


async def position(rig: OrderRig) -> None:
    """What the stop is to close: what is held already is made long, and is part of it."""
    one = rig.instrument
    for _ in range(_TRIES):
        await rig.until(rig.is_sure, "a desk that may trade", 10.0)
        lots = rig.lots(USD)
        if _contract(rig):
            there = held(rig)
            lots -= one.lots_floor(there) if there > 0 else -one.lots_floor(-there)
        if lots > 0:
            ticks = rig.top().bids[0][0] * 50 // 10_000
            name = rig.place(Side.BUY, away_ticks=-ticks, lots=lots, time_in_force=TimeInForce.IOC)
            await rig.until(lambda name=name: has(rig, name, *ENDS), "a position", 10.0)  # type: ignore[misc]
            if not has(rig, name, "filled"):
                continue  # on a busy machine a permit may have run out
        rig.wanted_lots = one.lots_floor(held(rig)) if _contract(rig) else lots
        return
    raise NotInTimeError(rig.name, "a position", 10.0, rig.state_in_words())


async def _guarded(rig: OrderRig) -> None:
    """A position, and a stop at the venue that will close it."""
    await position(rig)
    rig.noted_name = place_stop(rig)
    await rig.until(lambda: has(rig, rig.noted_name, HELD), f"{rig.noted_name} held", 5.0)


async def ended(rig: OrderRig, name: str, *wanted: str) -> None:
    """Until the desk has said one of these of an order."""
    await rig.until(lambda: has(rig, name, *wanted), f"{name} {' or '.join(wanted)}", 8.0)


# --- What is done --------------------------------------------------------------------------------------------------


async def _fires(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    price_falls(rig)
    await ended(rig, rig.noted_name, "filled")
    return acted


async def _place_late(rig: OrderRig) -> int | None:
    """The level was passed before the stop was placed."""
    acted = rig.clock.mono_ns()
    rig.noted_name = place_stop(rig, -FAR_BPS)
    await ended(rig, rig.noted_name, "rejected")
    return acted


async def _cancel(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.cancel(rig.noted_name)
    await ended(rig, rig.noted_name, "canceled")
    price_falls(rig)
    return acted


async def _core_dies(rig: OrderRig) -> int | None:
    """The order core is gone when the price comes."""
    acted = rig.clock.mono_ns()
    rig.drill("orders")
    rig.ask_again()
    price_falls(rig)
    await ended(rig, rig.noted_name, "filled")
    return acted


async def _venue_restarts(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    await rig.restart_server(0.4)
    await rig.until(rig.is_sure, "certainty", 15.0)
    price_falls(rig)
    await ended(rig, rig.noted_name, "filled")
    return acted


async def _sell_half_first(rig: OrderRig) -> int | None:
    """Half of the position is closed by another hand before the stop's price comes."""
    acted = rig.clock.mono_ns()
    half = max(1, rig.instrument.lots_floor(held(rig)) // 2)
    rig.server.account.force_fill(rig.server.feed.find(rig.instrument.instrument_id), Side.SELL, half, "web_half")
    await asyncio.sleep(0.05)
    price_falls(rig)
    await rig.until(lambda: rig.truth.orders[rig.noted_name].ended_ns is not None, "the end of the stop", 5.0)
    return acted


async def _nobody_hears(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    price_falls(rig)
    await ended(rig, rig.noted_name, "filled")
    return acted


async def _cut(rig: OrderRig) -> int | None:
    """The private stream is cut, and the price comes before it is back."""
    acted = rig.clock.mono_ns()
    rig.server.faults.set(f.Disconnect(connections=privates(rig)))
    price_falls(rig)
    await ended(rig, rig.noted_name, "filled")
    return acted


async def _cancel_too_late(rig: OrderRig) -> int | None:
    """The price comes while the cancel is on its way, and the private stream is silent."""
    acted = rig.clock.mono_ns()
    price_falls(rig)
    rig.cancel(rig.noted_name)
    await ended(rig, rig.noted_name, "filled")
    return acted


# --- What has to be true at the end --------------------------------------------------------------------------------


def _closed_once(rig: OrderRig, _began_ns: int) -> str:
    """The stop was executed whole, by one order of the venue, and nothing is held."""
    order = rig.truth.orders[rig.noted_name]
    wanted = rig.instrument.qty(rig.wanted_lots)
    if order.filled != wanted or status(rig, rig.noted_name) != "filled" or len(order.numbers) != 1:
        return f"{rig.noted_name} is {status(rig, rig.noted_name)}, {order.filled} of {wanted}, {sorted(order.numbers)}"
    if _contract(rig) and held(rig):
        return f"{held(rig)} is held"
    return ""


def _never_held(rig: OrderRig, began_ns: int) -> str:
    if rig.noted_name in rig.truth.orders:
        return f"{rig.noted_name} is at the venue"
    unknown = [w for w in rig.words if w.mono_ns >= began_ns and w.ord_status == "unknown"]
    return f"{rig.noted_name} was UNKNOWN, which a plain refusal is not" if unknown else ""


def _did_nothing(rig: OrderRig, _began_ns: int) -> str:
    order = rig.truth.orders[rig.noted_name]
    said = status(rig, rig.noted_name)
    return "" if said == "canceled" and not order.filled else f"{rig.noted_name} is {said}, executed {order.filled}"


def _not_turned_round(rig: OrderRig, _began_ns: int) -> str:
    order = rig.truth.orders[rig.noted_name]
    if not order.filled:
        return f"{rig.noted_name} was not executed: nothing was tried"
    return f"{held(rig)} is held: the position was turned round" if held(rig) else ""


def _not_closing(rig: OrderRig) -> None:
    """The stop goes out as one that opens as well as it closes."""
    client: Any = rig.link._client  # noqa: SLF001
    encode = client.dialect.encode

    def bare(command: Any, now_ms: int) -> Any:
        request = encode(command, now_ms)
        body = request.body
        for flag in (b"&reduceOnly=true", b',"reduceOnly":true', b',"closeOnTrigger":true', b',"reduceOnly":"true"'):
            body = body.replace(flag, b"")
        return msgspec.structs.replace(request, body=body)

    vars(client.dialect)["encode"] = bare


def waiting_case(
    letter: str,
    plain: int,
    number: int,
    words: tuple[str, str],
    strike: OrderStrike,
    *,
    venues: tuple[str, ...] = VENUES,
    kept: bool = False,
    audit_ms: int = 60_000,
    mutants: tuple[OrderMutant, ...] = (),
) -> OrderCase:
    """A case of orders that wait: title and expectation are its ``words``; so many of its letter are ``plain``."""
    return OrderCase(
        id=f"ORD-{letter}-{number:02}",
        title=words[0],
        faults=("F12",) if number <= plain else ("F17", "F24"),
        spec=("P-ORD-10", "P-VEN-3"),
        expects=words[1],
        strike=strike,
        venues=venues,
        kept=kept,
        audit_ms=audit_ms,
        mutants=mutants,
    )


_case = partial(waiting_case, "S", 3)


def _goes_in_hold(rig: OrderRig) -> None:
    """A stop that guards a position is canceled with all the rest when the desk holds."""
    core: Any = rig.core
    cancel_all = core.cancel_all
    core.cancel_all = lambda *args, **scope: cancel_all(*args, **{**scope, "guards": True})


GOES_IN_HOLD = OrderMutant("a stop is canceled in HOLD like any other order", _goes_in_hold)
NOT_CLOSING = OrderMutant("a stop is not bound to closing", _not_closing)

CASES = (
    _case(
        1,
        ("a stop is held by the venue, and its price comes", "pending_trigger, then filled, and nothing is held"),
        OrderStrike(
            quiet=True,
            before=_guarded,
            act=_fires,
            signs=(FILLED,),
            within_ms=800,
            hold_ms=100,
            resolve_ms=1_000,
            after=_closed_once,
        ),
    ),
    _case(
        2,
        ("a stop is placed whose level the price has passed", "refused by the venue: it never is there"),
        OrderStrike(
            quiet=True,
            before=position,
            act=_place_late,
            signs=(f"{ORDER}rejected",),
            within_ms=800,
            hold_ms=100,
            resolve_ms=1_000,
            after=_never_held,
        ),
    ),
    _case(
        3,
        ("a stop is canceled before its price comes", "canceled, and the price changes nothing any more"),
        OrderStrike(
            quiet=True,
            before=_guarded,
            act=_cancel,
            signs=(f"{ORDER}canceled",),
            within_ms=2_000,
            hold_ms=300,
            resolve_ms=1_000,
            never=(f"{ORDER}{FILL}",),
            after=_did_nothing,
        ),
    ),
    _case(
        4,
        (
            "the order core dies while a stop waits, and the price comes before it is back",
            "the core that comes back knows the stop, finds out that it was executed, and the position is closed once",
        ),
        OrderStrike(
            quiet=True,
            before=_guarded,
            act=_core_dies,
            signs=(FILLED,),
            within_ms=6_000,
            hold_ms=500,
            resolve_ms=6_000,
            after=_closed_once,
        ),
    ),
    _case(
        5,
        (
            "the venue restarts while it holds a stop",
            "the desk holds and cancels what rests, but not the stop, which closes the position when its price comes",
        ),
        OrderStrike(
            quiet=True,
            before=_guarded,
            act=_venue_restarts,
            signs=(FILLED,),
            within_ms=20_000,
            hold_ms=300,
            resolve_ms=6_000,
            after=_closed_once,
        ),
        venues=CONTRACTS,
        kept=True,
        mutants=(GOES_IN_HOLD,),
    ),
    _case(
        6,
        (
            "half of a position is closed by another hand before the price of its stop comes",
            "the stop closes what is left and not more: the position is never turned round",
        ),
        OrderStrike(
            quiet=True,
            before=_guarded,
            act=_sell_half_first,
            signs=(f"{ORDER}expired", f"{ORDER}canceled", f"{ORDER}rejected"),
            within_ms=6_000,
            hold_ms=300,
            resolve_ms=20_000,
            after=_not_turned_round,
        ),
        venues=CONTRACTS,
        audit_ms=AUDIT_MS,
        mutants=(NOT_CLOSING,),
    ),
    _case(
        7,
        (
            "a stop is triggered and filled while the private stream tells nothing",
            "the next reading of the account finds it out: filled once, journalled, nothing is held",
        ),
        OrderStrike(
            quiet=True,
            before=_guarded,
            faults=lambda _v: [f.Gap(messages=MANY, topics=USER)],
            act=_nobody_hears,
            signs=(FILLED,),
            within_ms=6_000,
            hold_ms=300,
            resolve_ms=6_000,
            after=_closed_once,
        ),
        audit_ms=AUDIT_MS,
        mutants=(g.NO_AUDIT,),
    ),
    _case(
        8,
        (
            "the private stream is cut, and a stop is triggered before it is back",
            "what was missed is caught up with: filled once, nothing is held",
        ),
        OrderStrike(
            quiet=True,
            before=_guarded,
            act=_cut,
            signs=(FILLED,),
            within_ms=8_000,
            hold_ms=300,
            resolve_ms=8_000,
            after=_closed_once,
        ),
    ),
    _case(
        9,
        (
            "a stop is triggered while its cancel is on its way",
            "the cancel comes too late and is no end: the stop is filled once, and the desk knows it",
        ),
        OrderStrike(
            quiet=True,
            before=_guarded,
            act=_cancel_too_late,
            signs=(FILLED,),
            within_ms=4_000,
            hold_ms=300,
            resolve_ms=4_000,
            after=_closed_once,
        ),
    ),
)
