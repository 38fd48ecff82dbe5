"""Cases of the order matrix: restarts on either side, strangers on the account, and accounts that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors.messages import DrainDesk
from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from supervision.conformance import order_guards as g
from supervision.conformance import order_life_guards as life
from supervision.conformance.order_case import (
    CONTRACTS,
    PLACES,
    READS,
    USER,
    OrderCase,
    has,
    rest,
    resting,
    status,
    take,
)
from supervision.conformance.order_rig import FILL, OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike
from supervision.conformance.rig import NotInTimeError
from trading.orders.messages import Side

MANY = 1_000_000
AUDIT_MS = 1_000
RECON = "BRAKE:RECON"
_LOTS = {"binance": 500, "binanceusdm": 5, "binancecoinm": 2, "okx": 50, "bybit": 5}


def _kills(*actors: str) -> Callable[[OrderRig], Awaitable[int | None]]:
    async def act(rig: OrderRig) -> int | None:
        acted = rig.clock.mono_ns()
        for actor in actors:
            rig.drill(f"{actor}.{rig.venue}" if actor == "gateway" else actor)
        rig.ask_again()
        return acted

    return act


async def _some_rest(rig: OrderRig) -> None:
    await resting(rig, Side.BUY)
    await resting(rig, Side.SELL)


async def _unknown_then_kill(rig: OrderRig) -> int | None:
    """Two orders of which nobody knows what became of them, and the core that knows of them is gone."""
    acted = rig.clock.mono_ns()
    take(rig)
    rest(rig)
    await rig.until(lambda: rig.word_since(acted, "unknown") is not None, "an UNKNOWN", 3.0)
    rig.drill("orders")
    return acted


async def _venue_away(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    await rig.restart_server(0.4)
    return acted


async def _both_away(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.drill("orders")
    await rig.restart_server(0.4)
    return acted


async def _position(rig: OrderRig) -> None:
    """The desk holds something, and the private stream has told of it."""
    name = take(rig, Side.BUY, 900.0)
    await rig.until(lambda: has(rig, name, "filled", "expired", "canceled"), "a position", 5.0)
    if not rig.truth.orders[name].filled:
        raise NotInTimeError(rig.name, "a position", 5.0, status(rig, name))


def _remove_foreign(rig: OrderRig) -> None:
    """Whoever placed it takes it away."""
    account = rig.server.account
    for order in account.working():
        if not order.cl_ord_id.startswith("pd"):
            account.cancel(order)


def _untouched(rig: OrderRig, _began_ns: int) -> str:
    theirs = [o for o in rig.truth.orders.values() if o.cl_ord_id.startswith("web_")]
    return "" if theirs else "there was no order of others: nothing was tried"


def _owned(rig: OrderRig, began_ns: int) -> str:
    fills = [
        w for w in rig.words if w.mono_ns >= began_ns and w.ord_status == FILL and not w.cl_ord_id.startswith("pd")
    ]
    return "" if fills else "no execution of others was told: nothing was tried"


async def _read_now(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    await asyncio.sleep(0.02)
    rig.ask_again()
    return acted


def _nothing_invented(rig: OrderRig, began_ns: int) -> str:
    """What was held is held, and nothing was closed by inference."""
    core = rig.core
    held = next(iter(core.exposure().values())).position if core is not None else None
    return "" if held else f"the position is {held}"


async def _shut_down(rig: OrderRig) -> int | None:
    """As Ctrl-C does, while strategies go on wanting."""
    await rig.until(lambda: len(rig.truth.ours()) > 2, "orders at the venue", 5.0)
    acted = rig.clock.mono_ns()
    rig.base.inject("orders", DrainDesk(reply_to="oracle"))
    # What had left before is heard by the venue a moment later.
    await rig.until(rig.is_settled, "nothing open", 5.0)
    rig.noted_count = len(rig.truth.ours())
    return acted


def _next_life(rig: OrderRig) -> None:
    """Only a new life of the core takes orders again."""
    rig.noted_count = len(rig.truth.ours()) - rig.noted_count
    rig.drill("orders")


def _closed_first(rig: OrderRig, _began_ns: int) -> str:
    return "" if not rig.noted_count else f"{rig.noted_count} orders were placed after the intake was closed"


CASES = (
    OrderCase(
        id="ORD-C-01",
        title="the order gateway dies while orders rest",
        faults=("F06", "F17"),
        spec=("P-ORD-2", "P-ORD-3", "P-VEN-3"),
        expects="HOLD until the account was read and compared; nothing is placed twice, nothing is forgotten",
        strike=OrderStrike(
            quiet=True,
            before=_some_rest,
            act=_kills("gateway"),
            signs=("ACTOR_FAILED",),
            within_ms=300,
            also=(RECON,),
            resolve_ms=5_000,
        ),
    ),
    OrderCase(
        id="ORD-C-02",
        title="the order gateway dies while the desk trades",
        faults=("F06", "F17"),
        spec=("P-ORD-2", "P-ORD-3", "P-VEN-3"),
        expects="what was on its way is UNKNOWN until there is evidence; HOLD until the account was compared",
        strike=OrderStrike(
            act=_kills("gateway"), signs=("ACTOR_FAILED",), within_ms=500, also=(RECON,), resolve_ms=6_000
        ),
    ),
    OrderCase(
        id="ORD-C-03",
        title="the desk's core dies (one for all) while orders rest",
        faults=("F17", "F32", "F49"),
        spec=("P-ORD-1", "P-ORD-3", "P-VEN-3"),
        expects="the journal is replayed, older orders are canceled, the account is compared, then trading",
        strike=OrderStrike(
            quiet=True,
            before=_some_rest,
            act=_kills("orders"),
            signs=("ACTOR_FAILED",),
            within_ms=300,
            resolve_ms=6_000,
        ),
    ),
    OrderCase(
        id="ORD-C-04",
        title="the desk's core dies while the desk trades",
        faults=("F17", "F32", "F34"),
        spec=("P-ORD-1", "P-ORD-3", "P-VEN-3"),
        expects="as before; what was executed meanwhile is taken in once",
        strike=OrderStrike(act=_kills("orders"), signs=("ACTOR_FAILED",), within_ms=500, resolve_ms=6_000),
    ),
    OrderCase(
        id="ORD-C-05",
        title="the core dies with orders in UNKNOWN: answers lost, the stream silent",
        faults=("F01", "F17", "F34"),
        spec=("P-ORD-1", "P-ORD-2", "P-ORD-3", "P-VEN-3"),
        expects="the next life knows from the journal what to ask about; found, with their fills; placed once",
        strike=OrderStrike(
            quiet=True,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.LateVisibility(delay_ms=900),
                o.AcceptThen(requests=2, outcome="drop", topics=PLACES[v]),
            ],
            act=_unknown_then_kill,
            acts="accept_then",
            signs=(f"{ORDER}unknown",),
            within_ms=1_000,
            also=("ACTOR_FAILED",),
            hold_ms=1_500,
            resolve_ms=8_000,
        ),
        mutants=(life.NO_MEMORY,),
    ),
    OrderCase(
        id="ORD-C-06",
        title="the venue's server goes away with orders on its book, and comes back with the account",
        faults=("F21", "F42", "F67"),
        spec=("P-ORD-13", "P-VEN-3"),
        expects="HOLD at once; on return the account is read before anything is placed",
        strike=OrderStrike(
            act=_venue_away, signs=("BRAKE:ORDER_LINK", "DISCONNECTED"), within_ms=500, resolve_ms=9_000
        ),
        kept=True,
        mutants=(life.ONE_SESSION,),
    ),
    OrderCase(
        id="ORD-C-07",
        title="the venue's server and the desk's core go away together",
        faults=("F17", "F21", "F32"),
        spec=("P-ORD-1", "P-ORD-3", "P-VEN-3"),
        expects="journal and account tell the same story in the end",
        strike=OrderStrike(act=_both_away, signs=("ACTOR_FAILED",), within_ms=500, resolve_ms=9_000),
        kept=True,
    ),
    OrderCase(
        id="ORD-C-08",
        title="somebody else rests an order on the account",
        faults=("F47", "F49"),
        spec=("P-VEN-3",),
        expects="HOLD by the second audit; the order is not ours and is not touched; released when it is gone",
        strike=OrderStrike(
            faults=lambda _v: [o.ForeignOrder(orders=1, side="buy", lots=_LOTS[_v])],
            acts="foreign_order",
            signs=(RECON,),
            within_ms=3_500,
            hold_ms=3_000,
            mend=_remove_foreign,
            entries_max=0,
            resolve_ms=7_000,
            after=_untouched,
        ),
        audit_ms=AUDIT_MS,
        mutants=(g.BRAKES, g.NO_AUDIT),
    ),
    OrderCase(
        id="ORD-C-09",
        title="somebody else trades on the account, by a hand on the screen",
        faults=("F37", "F44"),
        spec=("P-ORD-4", "P-VEN-3"),
        expects="ours to own and no strategy's: in journal and ledger at once, HOLD, compared, let go",
        strike=OrderStrike(
            faults=lambda v: [o.ExternalFill(orders=1, side="buy", lots=_LOTS[v])],
            acts="external_fill",
            signs=(RECON,),
            within_ms=500,
            resolve_ms=7_000,
            after=_owned,
        ),
        mutants=(g.NOT_OURS,),
    ),
    OrderCase(
        id="ORD-C-10",
        title="half of the position is liquidated while the desk trades",
        faults=("F44",),
        spec=("P-ORD-4", "P-VEN-2", "P-VEN-3"),
        expects="what nobody ordered is a fact like any other: in the ledger at once, HOLD, compared, let go",
        strike=OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda _v: [o.Liquidation(positions=1, share=0.5, how="liquidation")],
            acts="liquidation",
            signs=(RECON,),
            within_ms=500,
            resolve_ms=7_000,
            after=_owned,
        ),
        venues=CONTRACTS,
        mutants=(g.NOT_OURS,),
    ),
    OrderCase(
        id="ORD-C-11",
        title="half of the position is closed by auto-deleveraging",
        faults=("F44",),
        spec=("P-ORD-4", "P-VEN-2", "P-VEN-3"),
        expects="as a liquidation",
        strike=OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda _v: [o.Liquidation(positions=1, share=0.5, how="adl")],
            acts="liquidation",
            signs=(RECON,),
            within_ms=500,
            resolve_ms=7_000,
            after=_owned,
        ),
        venues=CONTRACTS,
    ),
    OrderCase(
        id="ORD-C-12",
        title="positions or balances are answered with half of a body while the account is reconciled",
        faults=("F46",),
        spec=("P-VEN-3",),
        expects="what cannot be read is not zero: said, asked again, HOLD until then; nothing is closed by inference",
        strike=OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda v: [o.BadBody(requests=MANY, body="truncated", topics=READS[v])],
            act=_read_now,
            acts="bad_body",
            signs=("ACCOUNT_UNREAD", RECON),
            within_ms=1_500,
            hold_ms=1_000,
            entries_max=0,
            resolve_ms=6_000,
            after=_nothing_invented,
        ),
    ),
    OrderCase(
        id="ORD-C-13",
        title="positions are answered well-formed and without a row while the desk holds one",
        faults=("F32", "F46"),
        spec=("P-VEN-3",),
        expects="a difference is HOLD, never an execution that nobody saw: released when the venue tells the position",
        strike=OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda _v: [o.EmptyAccount(requests=MANY)],
            acts="empty_account",
            signs=(RECON, "ACCOUNT_UNREAD"),
            within_ms=3_500,
            hold_ms=3_500,
            entries_max=0,
            resolve_ms=7_000,
            after=_nothing_invented,
        ),
        venues=CONTRACTS,
        audit_ms=AUDIT_MS,
        mutants=(g.FLAT_IS_FLAT.but(bybit="a reading without a row of each symbol is no reading"),),
    ),
    OrderCase(
        id="ORD-C-14",
        title="the desk is told to shut down while it trades",
        faults=("F07",),
        spec=("P-ORD-1", "P-VEN-3"),
        expects="intake is closed first, then what is open is canceled; nothing that was decided meanwhile leaves",
        strike=OrderStrike(
            act=_shut_down,
            hold_ms=1_500,
            mend=_next_life,
            resolve_ms=6_000,
            after=_closed_first,
        ),
        mutants=(life.INTAKE_OPEN,),
    ),
)
