"""Cases of the order matrix without any fault: each kind of order is taken as it is meant and ends as it should."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from supervision.conformance.markets import VENUES
from supervision.conformance.order_case import AWAY_BPS, CONTRACTS, OrderCase, has, status, take
from supervision.conformance.order_oracle import story_of
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike
from trading.orders.messages import Side, TimeInForce

Act = Callable[[OrderRig], Awaitable[int | None]]
Before = Callable[[OrderRig], Awaitable[None]]
After = Callable[[OrderRig, int], str]
ENDS = ("filled", "canceled", "expired", "rejected", "denied")


async def _ended(rig: OrderRig, name: str) -> None:
    await rig.until(lambda: has(rig, name, *ENDS), f"the end of {name}", 5.0)


async def _rest_and_cancel(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.noted_name = rig.place(Side.SELL, away_ticks=rig.top().bids[0][0] * AWAY_BPS // 10_000)
    await rig.until(lambda: has(rig, rig.noted_name, "new"), "an order on the book", 5.0)
    rig.cancel(rig.noted_name)
    await _ended(rig, rig.noted_name)
    return acted


async def _cross(rig: OrderRig, time_in_force: TimeInForce, side: Side = Side.BUY) -> int | None:
    acted = rig.clock.mono_ns()
    ticks = rig.top().bids[0][0] * 5 // 10_000
    rig.noted_name = rig.place(side, away_ticks=-ticks, time_in_force=time_in_force)
    await _ended(rig, rig.noted_name)
    return acted


async def _nothing_to_take(rig: OrderRig, time_in_force: TimeInForce) -> int | None:
    acted = rig.clock.mono_ns()
    rig.noted_name = rig.place(
        Side.BUY, away_ticks=rig.top().bids[0][0] * AWAY_BPS // 10_000, time_in_force=time_in_force
    )
    await _ended(rig, rig.noted_name)
    return acted


async def _post(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    ticks = rig.top().bids[0][0] * AWAY_BPS // 10_000
    rig.noted_name = rig.place(Side.BUY, away_ticks=ticks, time_in_force=TimeInForce.GTX)
    await rig.until(lambda: has(rig, rig.noted_name, "new"), "an order on the book", 5.0)
    rig.cancel(rig.noted_name)
    await _ended(rig, rig.noted_name)
    return acted


async def _close(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    held = rig.instrument.lots_floor(rig.server.account.exchange.account.position(rig.instrument.instrument_id).qty)
    ticks = rig.top().bids[0][0] * 5 // 10_000
    rig.noted_name = rig.place(
        Side.SELL if held > 0 else Side.BUY,
        away_ticks=-ticks,
        lots=abs(held),
        time_in_force=TimeInForce.IOC,
        reduce_only=True,
    )
    await _ended(rig, rig.noted_name)
    return acted


async def _hold_something(rig: OrderRig) -> None:
    name = take(rig, Side.BUY, 520.0)
    await _ended(rig, name)
    iid = rig.instrument.instrument_id
    if not rig.server.account.exchange.account.position(iid).qty:
        await _ended(rig, take(rig, Side.BUY, 260.0))


async def _flip(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.noted_name = take(rig, Side.SELL, 1_500.0, reduce_only=True)
    await rig.until(lambda: rig.noted_name in story_of(rig).gone, "the refusal in the journal", 5.0)
    return acted


def _never_left(rig: OrderRig, _began_ns: int) -> str:
    return f"{rig.noted_name} is at the venue" if rig.noted_name in rig.truth.orders else ""


def _is(*wanted: str, executed: bool | None = None) -> After:
    """The order is in one of the states at the end, and was executed at the venue, or was not."""

    def after(rig: OrderRig, _began_ns: int) -> str:
        said, order = status(rig, rig.noted_name), rig.truth.orders.get(rig.noted_name)
        filled = order is not None and order.filled > 0
        if said in wanted and executed in {None, filled}:
            return ""
        text = next((w.text for w in reversed(rig.words) if w.cl_ord_id == rig.noted_name), "")
        return f"{rig.noted_name} is {said} ({text}), {'executed' if filled else 'not executed'}"

    return after


def _kind(
    number: int,
    words: tuple[str, str],
    act: Act,
    after: After,
    *,
    before: Before | None = None,
    venues: tuple[str, ...] = VENUES,
    spec: tuple[str, ...] = ("P-VEN-3",),
) -> OrderCase:
    return OrderCase(
        id=f"ORD-T-{number:02}",
        title=words[0],
        faults=("F12",),
        spec=spec,
        expects=words[1],
        strike=OrderStrike(
            quiet=True,
            before=before,
            act=act,
            after=after,
            signs=tuple(f"{ORDER}{end}" for end in ENDS) if act is not _flip else (),
            within_ms=800,
            hold_ms=100,
            resolve_ms=1_000,
        ),
        venues=venues,
    )


GTC, IOC, FOK, GTX = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTX
NOT_TAKEN = ("canceled", "expired", "rejected")

CASES = (
    _kind(
        1,
        ("a limit order that rests (GTC) and is canceled", "new, then canceled, without an execution"),
        _rest_and_cancel,
        _is("canceled", executed=False),
    ),
    _kind(
        2,
        ("a limit order that crosses (GTC)", "taken at once: filled"),
        lambda rig: _cross(rig, GTC),
        _is("filled", executed=True),
    ),
    _kind(
        3,
        ("immediate or cancel that crosses", "taken at once: filled"),
        lambda rig: _cross(rig, IOC, Side.SELL),
        _is("filled", executed=True),
    ),
    _kind(
        4,
        ("immediate or cancel with nothing to take", "ended by the venue without an execution, and never on the book"),
        lambda rig: _nothing_to_take(rig, IOC),
        _is(*NOT_TAKEN, executed=False),
    ),
    _kind(
        5,
        ("fill or kill that can be filled", "filled as a whole"),
        lambda rig: _cross(rig, FOK),
        _is("filled", executed=True),
    ),
    _kind(
        6,
        ("fill or kill that cannot be filled", "ended by the venue without an execution"),
        lambda rig: _nothing_to_take(rig, FOK),
        _is(*NOT_TAKEN, executed=False),
    ),
    _kind(
        7,
        ("a post-only order that rests and is canceled", "new, then canceled, without an execution"),
        _post,
        _is("canceled", executed=False),
        spec=("P-ORD-8", "P-VEN-3"),
    ),
    _kind(
        8,
        (
            "a post-only order that would take",
            "never takes: refused by Binance, taken and ended a moment later by OKX and Bybit",
        ),
        lambda rig: _cross(rig, GTX),
        _is(*NOT_TAKEN, executed=False),
        spec=("P-ORD-8", "P-VEN-3"),
    ),
    _kind(
        9,
        ("a reduce-only order of the whole position", "filled, and the position is closed"),
        _close,
        _is("filled", executed=True),
        before=_hold_something,
        venues=CONTRACTS,
        spec=("P-ORD-9", "P-VEN-3"),
    ),
    _kind(
        10,
        ("a reduce-only order that would turn the position round", "denied by ourselves: it never leaves"),
        _flip,
        _never_left,
        before=_hold_something,
        venues=CONTRACTS,
        spec=("P-ORD-9", "P-VEN-3"),
    ),
)
