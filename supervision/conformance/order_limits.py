"""Cases of the order matrix: limits, clocks, keys, and symbols whose rules change or that are halted."""

from __future__ import annotations

import asyncio

import msgspec

from adapters.orders.user_stream import UserStream
from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from supervision.conformance import order_guards as g
from supervision.conformance import order_life_guards as life
from supervision.conformance.order_case import (
    AWAY_BPS,
    CONTRACTS,
    PLACES,
    OrderCase,
    resting,
    take,
)
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike
from trading.instruments import InstrumentKind
from trading.operators import CommandKind, OperatorCommand
from trading.orders.messages import Side

MANY = 1_000_000
_BAN_S = 1
REJECTED = f"{ORDER}rejected"
BINANCE = ("binance", "binanceusdm", "binancecoinm")
STORM = {"binance": 200_000, "binanceusdm": 100_000, "binancecoinm": 100_000, "okx": 1_000, "bybit": 1_000}
_FILTER = {"binance": -1013, "binanceusdm": -4014, "binancecoinm": -4014, "okx": 51006, "bybit": 10001}


def _unlock(rig: OrderRig) -> None:
    """A person mends the key at the venue, and says so as `propdesk unlock` does."""
    scope = f"venue:{rig.venue}"
    said = OperatorCommand(
        command_id="unlock",
        kind=CommandKind.UNLOCK,
        scope=scope,
        actor="alice",
        cause="a new key",
        argument="",
        ts_ns=rig.clock.wall_ns(),
    )
    rig.base.inject("governor", said)


async def _sync(rig: OrderRig) -> int | None:
    """The desk measures the venue's clock now, as it does every 30 s."""
    acted = rig.clock.mono_ns()
    await rig.link._client.sync_clock()  # noqa: SLF001 - the next half minute is not waited for
    return acted


def _sync_again(rig: OrderRig) -> None:
    rig.chores.append(asyncio.get_running_loop().create_task(rig.link._client.sync_clock()))  # noqa: SLF001


async def _keep_now(rig: OrderRig) -> int | None:
    """The listen key is kept alive now, as it is every half hour."""
    acted = rig.clock.mono_ns()
    stream = rig.link._stream  # noqa: SLF001 - the next half hour is not waited for
    rig.connects = stream.counters.connects
    assert isinstance(stream, UserStream)
    stream._kept_ns = 0  # noqa: SLF001
    stream.want_reading()
    return acted


async def _lose_the_key(rig: OrderRig) -> int | None:
    rig.connects = rig.link._stream.counters.connects  # noqa: SLF001 - looking inside is what a matrix is for
    acted = rig.clock.mono_ns()
    rig.server.faults.set(o.ListenKeyLost(keys=1, how="expired"))
    return acted


def _listened_anew(rig: OrderRig, _began_ns: int) -> str:
    stream = rig.link._stream  # noqa: SLF001 - as above
    return "" if stream.counters.connects > rig.connects else "no new session was opened"


async def _take_and_want(rig: OrderRig) -> int | None:
    """The order that is refused; then the strategies want more of them."""
    acted = rig.clock.mono_ns()
    take(rig)
    await rig.until(lambda: any(b.code == "VENUE_BANNED" for b in rig.brakes()), "the ban", 3.0)
    await asyncio.sleep(_BAN_S + 0.2)  # the venue would take orders again, and the brake holds for a minute at least
    rig.want(orders=True)
    return acted


async def _bought(rig: OrderRig) -> int | None:
    """A purchase whose fee is taken out of what was bought, and the sale of what is left of it."""
    acted = rig.clock.mono_ns()
    take(rig, Side.BUY, 500.0)
    await rig.until(lambda: rig.word_since(acted, "filled", "canceled", "expired") is not None, "the purchase", 5.0)
    again = rig.clock.mono_ns()
    take(rig, Side.SELL, 400.0)
    await rig.until(lambda: rig.word_since(again, "filled", "canceled", "expired") is not None, "the sale", 5.0)
    return acted


def _fee_in_base(rig: OrderRig, _began_ns: int) -> str:
    fees = {fill.report.fee_asset for fill in rig.server.account.fills}
    spot = rig.instrument.kind is InstrumentKind.SPOT
    return "" if spot and rig.instrument.base in fees else f"fees were taken in {sorted(fees)}: nothing was tried"


async def _rests(rig: OrderRig) -> None:
    rig.noted_name = await resting(rig)


async def _cancel_under_limit(rig: OrderRig) -> int | None:
    """Orders are refused; the cancel of what rests goes through."""
    acted = rig.clock.mono_ns()
    take(rig)
    rig.cancel(rig.noted_name)
    return acted


def _no_ban(rig: OrderRig, began_ns: int) -> str:
    banned = [n.text for n in rig.oracle.notices_since(began_ns) if n.code == "BRAKE:VENUE_BANNED"]
    return f"banned: {banned[0]}" if banned else ""


async def _off_the_grid(rig: OrderRig) -> int | None:
    """An order of half a lot, as a strategy might ask for whose filters are of yesterday."""
    acted = rig.clock.mono_ns()
    order = rig.order(Side.BUY, away_ticks=rig.top().bids[0][0] * AWAY_BPS // 10_000)
    rig.noted_name, rig.noted_count = order.cl_ord_id, rig.entries
    qty = order.order_qty + rig.instrument.lot_size / 2
    (leg,) = order.legs
    legs = (msgspec.structs.replace(leg, qty=qty),)
    rig.base.inject("governor", msgspec.structs.replace(order, order_qty=qty, legs=legs))
    return acted


def _refused_here(rig: OrderRig, _began_ns: int) -> str:
    words = [w for w in rig.words if w.cl_ord_id == rig.noted_name]
    if rig.entries != rig.noted_count or [w.ord_status for w in words] != ["denied"]:
        return f"{rig.entries - rig.noted_count} requests left; of the order was told {[w.ord_status for w in words]}"
    return "" if words[0].text.startswith("filter_lot") else f"it was denied for {words[0].text}"


def _went_on_beside(rig: OrderRig, began_ns: int) -> str:
    assert rig.beside is not None
    orders = [o for o in rig.truth.ours() if o.instrument_id == rig.beside.instrument_id and o.began_ns >= began_ns]
    return "" if orders else f"no order of {rig.beside.instrument_id} left while the other was halted"


CASES = (
    OrderCase(
        id="ORD-F-01",
        title="orders are refused with 429 and Retry-After of one second while the desk trades",
        faults=("F69", "F71"),
        spec=("P-VEN-4", "P-VEN-3"),
        expects="nothing is placed until then; every refused order is told; no ban, and trading goes on",
        strike=OrderStrike(
            faults=lambda v: [f.RestStatus(requests=MANY, status=429, retry_after_s=1, topics=PLACES[v])],
            acts="rest_status",
            signs=(REJECTED, f"{ORDER}denied"),
            within_ms=800,
            hold_ms=1_500,
            entries_max=4,
            resolve_ms=4_000,
            after=_no_ban,
        ),
        mutants=(g.NO_LIMITS,),
    ),
    OrderCase(
        id="ORD-F-02",
        title="orders are refused with 429 and no word on when",
        faults=("F69",),
        spec=("P-VEN-4", "P-VEN-3"),
        expects="a pause of our own, then one try; no storm",
        strike=OrderStrike(
            faults=lambda v: [f.RestStatus(requests=MANY, status=429, topics=PLACES[v])],
            acts="rest_status",
            signs=(REJECTED, f"{ORDER}denied"),
            within_ms=800,
            hold_ms=1_500,
            entries_max=12,
            resolve_ms=12_000,
            after=_no_ban,
        ),
    ),
    OrderCase(
        id="ORD-F-03",
        title="a ban: requests are refused with 418 and Retry-After of a second",
        faults=("F69",),
        spec=("P-VEN-4", "P-VEN-3"),
        expects="HOLD with a brake of its own for a minute at least; not one order meanwhile, whatever is wanted",
        strike=OrderStrike(
            quiet=True,
            faults=lambda v: [f.RestStatus(requests=1, status=418, retry_after_s=_BAN_S, topics=PLACES[v])],
            acts="rest_status",
            act=_take_and_want,
            signs=("BRAKE:VENUE_BANNED",),
            within_ms=500,
            hold_ms=2_400,
            entries_max=0,
            ends_held=("VENUE_BANNED",),
        ),
        venues=BINANCE,
        mutants=(g.BANS_UNHEARD,),
    ),
    OrderCase(
        id="ORD-F-04",
        title="another client uses up the account's limit of orders",
        faults=("F69", "F71"),
        spec=("P-VEN-4", "P-VEN-2", "P-VEN-3"),
        expects="the venue's word counts: a pause, every refused order is told, no ban; trading goes on after it",
        strike=OrderStrike(
            faults=lambda v: [o.OrderStorm(orders=STORM[v])],
            acts="order_storm",
            signs=(REJECTED, f"{ORDER}denied"),
            within_ms=800,
            hold_ms=1_000,
            entries_max=12,
            resolve_ms=15_000,
            after=_no_ban,
        ),
    ),
    OrderCase(
        id="ORD-F-05",
        title="the venue's clock is five seconds ahead",
        faults=("F72",),
        spec=("P-VEN-3", "P-MD-7"),
        expects="measured, HOLD while it is outside the window; nothing is placed with a time that is not the venue's",
        strike=OrderStrike(
            faults=lambda _v: [f.ClockSkew(skew_ms=5_000)],
            act=_sync,
            signs=("BRAKE:ORDER_CLOCK", "BRAKE:CLOCK_SKEW"),
            within_ms=1_500,
            also=("BRAKE:ORDER_CLOCK",),
            hold_ms=1_500,
            mend=_sync_again,
            entries_max=0,
            resolve_ms=9_000,
        ),
        mutants=(g.BRAKES,),
    ),
    OrderCase(
        id="ORD-F-06",
        title="the venue's clock is five seconds behind",
        faults=("F72",),
        spec=("P-VEN-3", "P-MD-7"),
        expects="as before",
        strike=OrderStrike(
            faults=lambda _v: [f.ClockSkew(skew_ms=-5_000)],
            act=_sync,
            signs=("BRAKE:ORDER_CLOCK", "BRAKE:CLOCK_SKEW"),
            within_ms=1_500,
            also=("BRAKE:ORDER_CLOCK",),
            hold_ms=1_500,
            mend=_sync_again,
            entries_max=0,
            resolve_ms=9_000,
        ),
    ),
    OrderCase(
        id="ORD-F-07",
        title="the venue's clock is 200 ms ahead of ours",
        faults=("F72",),
        spec=("P-VEN-3",),
        expects="within the window: measured, signed with the venue's time, and the order flow goes on",
        strike=OrderStrike(
            faults=lambda _v: [f.ClockSkew(skew_ms=200)],
            act=_sync,
            hold_ms=1_000,
            never=("BRAKE:ORDER_CLOCK",),
            resolve_ms=4_000,
        ),
    ),
    OrderCase(
        id="ORD-F-08",
        title="the key is refused in the middle of trading",
        faults=("F74",),
        spec=("P-VEN-3",),
        expects="HOLD of the venue, and not one more order with it, until a person has mended it",
        strike=OrderStrike(
            faults=lambda _v: [o.AuthFailure()],
            acts="auth_failure",
            signs=("BRAKE:ORDER_LINK",),
            within_ms=500,
            hold_ms=1_500,
            mend=_unlock,
            entries_max=1,
            resolve_ms=6_000,
        ),
        mutants=(g.NO_LOCK,),
    ),
    OrderCase(
        id="ORD-F-09",
        title="the listen key, or the session, expires and the venue says so",
        faults=("F66",),
        spec=("P-VEN-3",),
        expects="a new key with a session of its own, and the account read, before the desk trades on",
        strike=OrderStrike(
            act=_lose_the_key,
            hold_ms=1_500,
            resolve_ms=5_000,
            after=_listened_anew,
        ),
        mutants=(life.ONE_SESSION,),
    ),
    OrderCase(
        id="ORD-F-10",
        title="another client deletes the listen key: the stream stays open and says nothing more",
        faults=("F66",),
        spec=("P-VEN-3",),
        expects="audits keep the account right; keeping the key alive shows that it is gone; replaced before broken",
        strike=OrderStrike(
            faults=lambda _v: [o.ListenKeyLost(keys=1, how="deleted")],
            act=_keep_now,
            hold_ms=1_500,
            resolve_ms=4_000,
            after=_listened_anew,
        ),
        venues=("binanceusdm", "binancecoinm"),
        audit_ms=1_500,
        mutants=(life.KEY_IS_GOOD,),
    ),
    OrderCase(
        id="ORD-F-11",
        title="orders are refused with 429, and an order rests that has to go",
        faults=("F69",),
        spec=("P-VEN-4", "P-VEN-3"),
        expects="what frees the account is not held back by what holds back orders: canceled under the limit",
        strike=OrderStrike(
            quiet=True,
            before=_rests,
            faults=lambda v: [o.OrderStorm(orders=STORM[v], topics=PLACES[v])],
            act=_cancel_under_limit,
            signs=(f"{ORDER}canceled",),
            within_ms=500,
            resolve_ms=15_000,
        ),
        venues=("binance", "binanceusdm", "binancecoinm", "okx"),
    ),
    OrderCase(
        id="ORD-G-01",
        title="one symbol is halted: it takes no orders; another is traded beside it",
        faults=("F79", "F11"),
        spec=("P-ORD-12", "P-VEN-3"),
        expects="refusals of that symbol are ends; orders of the other go on; trading resumes by itself",
        strike=OrderStrike(
            faults=lambda _v: [o.Halted(topics=("*BTC*",))],
            acts="halted",
            signs=(REJECTED,),
            within_ms=500,
            hold_ms=2_000,
            resolve_ms=4_000,
            after=_went_on_beside,
        ),
        venues=CONTRACTS,
        beside=True,
        mutants=(life.STOP_AT_REFUSALS,),
    ),
    OrderCase(
        id="ORD-G-02",
        title="a filter was changed: orders are refused for their price steps",
        faults=("F56", "F77"),
        spec=("P-ORD-12", "P-VEN-3"),
        expects="each refusal is an end with the venue's words; no retry of the same order",
        strike=OrderStrike(
            faults=lambda v: [o.RejectNext(orders=4, code=_FILTER[v], msg="Price not increased by tick size.")],
            acts="reject_next",
            signs=(REJECTED,),
            within_ms=300,
            hold_ms=1_500,
            resolve_ms=2_000,
        ),
    ),
    OrderCase(
        id="ORD-G-03",
        title="a purchase on spot pays its fee out of what was bought",
        faults=("F76",),
        spec=("P-VEN-3", "P-ORD-4"),
        expects="the ledger holds what the account holds, dust and all; what is sold is there",
        strike=OrderStrike(
            quiet=True, act=_bought, signs=(f"{ORDER}filled",), within_ms=500, resolve_ms=1_500, after=_fee_in_base
        ),
        venues=("binance",),
        mutants=(life.FEE_ASIDE,),
    ),
    OrderCase(
        id="ORD-G-04",
        title="an order breaks a filter of its instrument: half a lot too much",
        faults=("F77",),
        spec=("P-VEN-3",),
        expects="denied here, and the filter is named; the venue hears nothing of it",
        strike=OrderStrike(
            quiet=True,
            act=_off_the_grid,
            signs=(f"{ORDER}denied",),
            within_ms=300,
            entries_max=0,
            resolve_ms=1_000,
            after=_refused_here,
        ),
        mutants=(life.FILTERS_OFF,),
    ),
)
