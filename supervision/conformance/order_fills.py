"""Cases of the order matrix: executions that come early, twice, late, out of order or not at all, and races."""

from __future__ import annotations

import asyncio

from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from supervision.conformance import order_guards as g
from supervision.conformance import order_life_guards as life
from supervision.conformance.order_case import (
    CANCELS,
    CHANGES,
    FILLS,
    USER,
    OrderCase,
    has,
    privates,
    rest,
    resting,
    status,
    take,
)
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike
from trading.orders.messages import AccountStateRequest, Side

MANY = 1_000_000
AUDIT_MS = 1_000
BIG_USD = 900.0
FILLED = f"{ORDER}filled"
REJECTED = f"{ORDER}rejected"


async def _take(rig: OrderRig) -> int | None:
    take(rig)
    return None


async def _stand(rig: OrderRig) -> None:
    rig.noted_name = await resting(rig, Side.BUY, BIG_USD)


async def _trade_all(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.trade_at(rig.noted_name, 1_000_000)
    return acted


def _filled(rig: OrderRig, _began_ns: int) -> str:
    said = status(rig, rig.noted_name)
    return "" if said == "filled" else f"{rig.noted_name} is {said}"


async def _by_both_ways(rig: OrderRig) -> int | None:
    """The account is read, from its beginning, while the stream tells of the same executions."""
    acted = rig.clock.mono_ns()
    for number in range(3):
        take(rig, Side.BUY if number % 2 else Side.SELL)
        ask = AccountStateRequest(
            venue=rig.venue, since_exec_seq=0, cause="case", ts_init_ns=rig.clock.wall_ns(), since_ns=rig.began_wall_ns
        )
        rig.base.inject(f"gateway.{rig.venue}", ask)
        await asyncio.sleep(0.25)
    rig.base.inject(f"gateway.{rig.venue}", ask)
    return acted


def _seen_twice(rig: OrderRig, _began_ns: int) -> str:
    core = rig.core
    assert core is not None
    return "" if core.inbox(rig.venue).duplicates else "no execution came twice: nothing was tried"


async def _race(rig: OrderRig) -> int | None:
    """It is executed while its cancel is on the way."""
    acted = rig.clock.mono_ns()
    rig.cancel(rig.noted_name)
    await asyncio.sleep(0.1)
    rig.trade_at(rig.noted_name, 1_000_000)
    return acted


async def _part_then_cancel(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.trade_at(rig.noted_name, max(1, rig.lots(BIG_USD) // 3))
    rig.cancel(rig.noted_name)
    await rig.until(lambda: has(rig, rig.noted_name, "canceled"), "the end of the order", 6.0)
    return acted


def _partly(rig: OrderRig, _began_ns: int) -> str:
    part = rig.instrument.qty(max(1, rig.lots(BIG_USD) // 3))
    said, found = status(rig, rig.noted_name), rig.truth.orders[rig.noted_name].filled
    return "" if said == "canceled" and found == part else f"{rig.noted_name} is {said} with {found}, not {part}"


async def _replace_while_it_fills(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.successor = rest(rig, Side.BUY, BIG_USD, replaces=rig.noted_name, bps=25)
    await asyncio.sleep(0.1)
    rig.trade_at(rig.noted_name, max(1, rig.lots(BIG_USD) // 3))
    return acted


async def _replace(rig: OrderRig) -> int | None:
    rig.successor = rest(rig, Side.BUY, BIG_USD, replaces=rig.noted_name, bps=25)
    return None


def _both_legs_ended(rig: OrderRig, _began_ns: int) -> str:
    legs = {name: status(rig, name) for name in (rig.noted_name, rig.successor)}
    open_ones = [
        f"{n} is {s}" for n, s in legs.items() if s not in {"canceled", "filled", "replaced", "denied", "rejected"}
    ]
    return "; ".join(open_ones)


def _no_more_than_wanted(rig: OrderRig, began_ns: int) -> str:
    """Spot's own cancel-replace is one request; where it is two, the second waits for what the first came to."""
    if rig.successor in rig.truth.orders and rig.name != "binance":
        return f"{rig.successor} was placed for all of it, though {rig.noted_name} was executed in part"
    return _both_legs_ended(rig, began_ns)


async def _cut_and_trade(rig: OrderRig) -> int | None:
    """The private stream is cut; what is executed before it is back, nobody tells."""
    acted = rig.clock.mono_ns()
    rig.server.faults.set(f.Disconnect(connections=privates(rig)))
    rig.trade_at(rig.noted_name, 1_000_000)
    return acted


def _no_order_before_it_was_caught_up(rig: OrderRig, began_ns: int) -> str:
    filled = rig.word_since(began_ns, "filled")
    back = next((n.mono_ns for n in rig.oracle.notices_since(began_ns) if n.code == "RELEASED:ORDER_LINK"), None)
    if filled is None or back is None:
        return "the stream never came back"
    return "the desk was let go before the fill was known" if filled.mono_ns > back else ""


async def _cut(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.server.faults.set(f.Disconnect(connections=privates(rig)))
    return acted


CASES = (
    OrderCase(
        id="ORD-B-01",
        title="an order is executed before it is told to be new, and its answer comes last",
        faults=("F16",),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="fill, then ack: the order is filled, never rejected, and nothing is asked for",
        strike=OrderStrike(
            quiet=True,
            faults=lambda _v: [o.FillBeforeAck(orders=1, delay_ms=300)],
            act=_take,
            acts="fill_before_ack",
            signs=(FILLED,),
            within_ms=250,
            hold_ms=500,
            never=(REJECTED, f"{ORDER}unknown"),
            resolve_ms=500,
        ),
    ),
    OrderCase(
        id="ORD-B-02",
        title="for two seconds of trading every frame of the private stream comes twice",
        faults=("F17", "F19"),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="each execution is applied once",
        strike=OrderStrike(
            faults=lambda _v: [f.Duplicate(messages=MANY, topics=USER)],
            acts="duplicate",
            hold_ms=2_000,
            resolve_ms=1_000,
            after=_seen_twice,
        ),
        mutants=(g.NO_DEDUPE,),
    ),
    OrderCase(
        id="ORD-B-03",
        title="executions are told by the stream and listed by the account's reading at the same time",
        faults=("F17", "F19"),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="one execution by two ways has one id: applied once",
        strike=OrderStrike(
            quiet=True, act=_by_both_ways, signs=(FILLED,), within_ms=400, resolve_ms=1_000, after=_seen_twice
        ),
        mutants=(g.NO_DEDUPE,),
    ),
    OrderCase(
        id="ORD-B-04",
        title="frames of executions are lost while everything else on the stream is well",
        faults=("F21", "F22", "F42"),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="a heartbeat is not completeness: the audit finds the fill (every second here, every 5 s in a desk)",
        strike=OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda _v: [f.Gap(messages=MANY, topics=FILLS)],
            act=_trade_all,
            signs=(FILLED,),
            within_ms=2_500,
            resolve_ms=2_000,
            after=_filled,
        ),
        audit_ms=AUDIT_MS,
        mutants=(g.NO_AUDIT,),
    ),
    OrderCase(
        id="ORD-B-05",
        title="the private stream is mute for two seconds of trading while its pings are answered",
        faults=("F22", "F42", "F47"),
        spec=("P-ORD-4", "P-ORD-13", "P-VEN-3"),
        expects="answers, questions and audits know everything in the end; nothing is lost, nothing is double",
        strike=OrderStrike(
            faults=lambda _v: [f.Mute(topics=USER)],
            acts="mute",
            hold_ms=2_000,
            resolve_ms=3_000,
        ),
        audit_ms=AUDIT_MS,
        mutants=(g.NO_AUDIT.but(binance="what is executed there meanwhile is told by answers"),),
    ),
    OrderCase(
        id="ORD-B-06",
        title="frames of the private stream change places for two seconds of trading",
        faults=("F24",),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="an order's end before its fills is waited for: the sums are the venue's",
        strike=OrderStrike(
            faults=lambda _v: [f.Reorder(messages=MANY, topics=USER)],
            acts="reorder",
            hold_ms=2_000,
            resolve_ms=3_000,
        ),
        audit_ms=AUDIT_MS,
    ),
    OrderCase(
        id="ORD-B-07",
        title="the private stream lags 0.8 s behind for two seconds of trading",
        faults=("F16", "F24"),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="answers come before the stream's words; each is taken once, in whatever order",
        strike=OrderStrike(
            faults=lambda _v: [f.Delay(delay_ms=800, topics=USER)],
            acts="delay",
            hold_ms=2_000,
            resolve_ms=3_000,
        ),
    ),
    OrderCase(
        id="ORD-B-08",
        title="an order is executed while its cancel is on the way",
        faults=("F12",),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="the refused cancel proves nothing, the execution does: filled, and followed to its end",
        strike=OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [f.RestSlow(delay_ms=350, topics=CANCELS[v])],
            act=_race,
            acts="rest_slow",
            signs=(FILLED,),
            within_ms=500,
            hold_ms=900,
            resolve_ms=1_000,
            after=_filled,
        ),
        mutants=(g.LAST_WORD,),
    ),
    OrderCase(
        id="ORD-B-09",
        title="an order is executed in part and canceled, and the cancel's answer is lost",
        faults=("F26", "F27"),
        spec=("P-ORD-4", "P-ORD-13", "P-VEN-3"),
        expects="position is the sum of executions, not of orders: canceled with what was executed",
        strike=OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [o.AcceptThen(requests=1, outcome="drop", topics=CHANGES[v])],
            act=_part_then_cancel,
            acts="accept_then",
            signs=(f"{ORDER}canceled",),
            within_ms=1_500,
            resolve_ms=1_500,
            after=_partly,
        ),
        mutants=(life.WHOLE_ORDERS,),
    ),
    OrderCase(
        id="ORD-B-10",
        title="an order is executed in part while it is being replaced",
        faults=("F24", "F14"),
        spec=("P-ORD-11", "P-VEN-3"),
        expects="both legs are followed to their ends, never live together; no more is executed than wanted",
        strike=OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [f.RestSlow(delay_ms=350, topics=CHANGES[v])],
            act=_replace_while_it_fills,
            acts="rest_slow",
            signs=(f"{ORDER}fill",),
            within_ms=500,
            hold_ms=1_200,
            resolve_ms=2_000,
            after=_no_more_than_wanted,
        ),
        mutants=(g.BLIND_AMENDS.but(binance="the venue itself cancels and places at once"),),
    ),
    OrderCase(
        id="ORD-B-11",
        title="an order is replaced, every answer is lost, and the stream is silent",
        faults=("F24", "F01"),
        spec=("P-ORD-11", "P-ORD-13", "P-VEN-3"),
        expects="both legs are asked about until each has ended; never live together",
        strike=OrderStrike(
            quiet=True,
            before=_stand,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.AcceptThen(requests=2, outcome="drop", topics=CHANGES[v]),
            ],
            act=_replace,
            acts="accept_then",
            hold_ms=2_500,
            resolve_ms=3_000,
            after=_both_legs_ended,
        ),
    ),
    OrderCase(
        id="ORD-B-12",
        title="the private stream is cut, and an order is executed before it is back",
        faults=("F21", "F47"),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="HOLD at once; the new stream is live only after the account was read: the fill first, then trading",
        strike=OrderStrike(
            quiet=True,
            before=_stand,
            act=_cut_and_trade,
            signs=("BRAKE:ORDER_LINK",),
            within_ms=300,
            also=(FILLED,),
            resolve_ms=4_000,
            after=_no_order_before_it_was_caught_up,
        ),
        mutants=(g.NO_CATCH_UP,),
    ),
    OrderCase(
        id="ORD-B-13",
        title="the private stream is cut while the desk trades",
        faults=("F06", "F21"),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="HOLD at once, no order until the account was read again; what rests is canceled meanwhile",
        strike=OrderStrike(
            act=_cut,
            signs=("BRAKE:ORDER_LINK",),
            within_ms=300,
            resolve_ms=4_000,
        ),
        mutants=(g.BRAKES,),
    ),
)
