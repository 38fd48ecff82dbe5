"""Cases of the order matrix: what the desk remembers - its journal, its exits, its operators' word - and can lose.

The journal is locked, full or fails to reach the disk; the whole desk begins anew while its venue goes on. Cases of the
account's own books are `order_books`'.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from adapters.journal.base import JournalFailed, JournalFailure
from adapters.permit_layout import OPERATOR_CODE
from supervision.conformance import order_state_guards as g
from supervision.conformance.order_case import OrderCase, has, rest, take
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import OrderStrike
from trading.market.events import MarkPrice
from trading.operators import CommandKind, OperatorCommand
from trading.orders.messages import Side, TriggerPriceType

LOCKED_MS = 1_000
"""Shorter than the journal waits for another's lock."""
FAILED = "JOURNAL_FAILED"
_FAILURES = ("could not commit", "JournalFailed", "dead letter")
_ORDERS = 16
"""At once: their rows need more pages than the file has."""
_SLOW_S = 0.3
"""So long the disk takes, which is time enough to send what should have waited for it."""
_TRIES = 4
_ENDS = ("filled", "canceled", "expired", "rejected", "denied")
_FALL = 10
"""Per cent; the stop is two below the entry."""


# --- The journal's disk --------------------------------------------------------------------------------------------


def _store(rig: OrderRig) -> Any:
    return rig.base.actor("journal")._writer._store  # noqa: SLF001 - what fails is what is patched


def _lock(rig: OrderRig) -> None:
    """Another process writes to the journal's file."""
    rig.held_open = sqlite3.connect(rig.journal, isolation_level=None, timeout=0.5)
    rig.held_open.execute("BEGIN IMMEDIATE")


def _release(rig: OrderRig) -> None:
    rig.held_open.execute("ROLLBACK")
    rig.held_open.close()


async def _locked(rig: OrderRig) -> int | None:
    _lock(rig)
    await asyncio.sleep(0.05)  # what was durable already leaves
    rig.remembered = (take(rig), rest(rig))
    return rig.clock.mono_ns()


def _unlock(rig: OrderRig) -> None:
    core = rig.core
    rig.noted_count = 0 if core is None else core.waiting_commits()
    rig.places = (rig.clock.mono_ns(), 0)
    _release(rig)


def _waited(rig: OrderRig, _began_ns: int) -> str:
    """The orders' rows waited for the lock, and the orders for their rows."""
    orders = [rig.truth.orders[name] for name in rig.remembered if name in rig.truth.orders]
    early = [order.cl_ord_id for order in orders if order.began_ns < rig.places[0]]
    if early:
        return f"{', '.join(early)} went out while the journal was locked"
    return "" if rig.noted_count else "no row waited for the lock: nothing was tried"


async def _full(rig: OrderRig) -> int | None:
    """The file may not grow any more: SQLite itself says that the disk is full."""
    rig.bound_to_fail = _FAILURES
    acted = rig.clock.mono_ns()
    _store(rig)._db.execute("PRAGMA max_page_count=1").fetchall()  # noqa: SLF001
    _lock(rig)
    for number in range(_ORDERS):
        rest(rig, Side.BUY if number % 2 else Side.SELL, bps=20 + number)
    await asyncio.sleep(_SLOW_S)
    _release(rig)
    return acted


async def _unsynced(rig: OrderRig) -> int | None:
    """The rows are in the file, and that they reached the disk nobody can say."""
    rig.bound_to_fail = _FAILURES
    acted = rig.clock.mono_ns()
    store = _store(rig)
    commit = store.commit

    def torn(batches: Any) -> Any:
        commit(batches)
        raise JournalFailed(JournalFailure.IO, "fsync: Input/output error")

    store.commit = torn
    _lock(rig)
    rig.remembered = (take(rig), rest(rig))
    await asyncio.sleep(_SLOW_S)
    _release(rig)
    return acted


def _began_anew(rig: OrderRig, began_ns: int) -> str:
    """It was the journal that failed, and the desk came back to read it."""
    failed = [n for n in rig.oracle.notices_since(began_ns) if n.code == f"BRAKE:{FAILED}"]
    return "" if failed and rig.core is not None else "the journal did not fail: nothing was tried"


def _never_sent(rig: OrderRig, began_ns: int) -> str:
    """Nobody knew that the rows were durable, so the venue has heard of neither order."""
    sent = [name for name in rig.remembered if name in rig.truth.orders]
    return (
        f"{', '.join(sent)} went out, and its row was not known to be durable" if sent else _began_anew(rig, began_ns)
    )


# --- The whole desk ------------------------------------------------------------------------------------------------


def _say(rig: OrderRig, kind: CommandKind, scope: str) -> None:
    command = OperatorCommand(
        command_id=f"case-{kind.value}-{scope}",
        kind=kind,
        scope=scope,
        actor="alice",
        cause="the case wants it so",
        argument="",
        ts_ns=rig.clock.wall_ns(),
    )
    rig.base.inject("governor", command)


def _words(rig: OrderRig) -> tuple[str, ...]:
    """What operators said and has not been taken back."""
    found = [b for b in rig.brakes() if b.code == OPERATOR_CODE]
    return tuple(sorted(f"{b.scope} {b.level.name} since {b.since_ns} by {b.set_by}: {b.cause}" for b in found))


async def _restarted_in_hold(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    _say(rig, CommandKind.HOLD, "global")
    _say(rig, CommandKind.PAUSE, "strategy:taker")
    await rig.until(lambda: len(_words(rig)) == 2, "the operator's word", 3.0)
    rig.remembered = _words(rig)
    await rig.restart_desk()
    await rig.until(lambda: all(b.code != "RECON" for b in rig.brakes()), "a clean reconciliation", 15.0)
    return acted


def _still_said(rig: OrderRig, _began_ns: int) -> str:
    found = _words(rig)
    return "" if found == rig.remembered else f"the operators' word was {rig.remembered}, now it is {found}"


def _held(rig: OrderRig) -> dict[tuple[str, str], tuple[str, str, str]]:
    """By leg: what is held and where it will be closed, as the desk's own watch has it."""
    actor = rig.base.actor("protection")
    core = None if actor is None else actor.core
    legs = [] if core is None else [leg for leg in core.legs() if leg.holding.qty and leg.levels is not None]
    return {
        (leg.strategy_id, leg.instrument_id): (
            str(leg.holding.qty),
            str(leg.levels.stop_loss),
            str(leg.levels.take_profit),
        )
        for leg in legs
    }


def _stops(rig: OrderRig) -> list[tuple[str, int, str]]:
    """What waits at the venue: side, lots and trigger price."""
    waiting = [order for order in rig.server.account.working() if order.trigger is not None and order.waits]
    return sorted((o.side.value, o.open_lots, str(o.trigger.trigger_price)) for o in waiting if o.trigger is not None)


def _contract(rig: OrderRig) -> bool:
    return rig.venue != "binance"


def _guarded(rig: OrderRig) -> bool:
    """Whether each leg has its levels, and on contracts its stop at the venue."""
    held = _held(rig)
    return ("quoter", rig.instrument.instrument_id) in held and (not _contract(rig) or len(_stops(rig)) == len(held))


async def _protected(rig: OrderRig) -> None:
    """The desk holds something, and all that will close it is in place."""
    for _ in range(_TRIES):
        await rig.until(rig.is_sure, "a desk that may trade", 10.0)
        name = take(rig, Side.BUY, 900.0)
        await rig.until(lambda name=name: has(rig, name, *_ENDS), "a position", 10.0)  # type: ignore[misc]
        if Decimal(_held(rig).get(("quoter", rig.instrument.instrument_id), ("0", "", ""))[0]) > 0:
            break
    await rig.until(lambda: _guarded(rig), "a protected position", 8.0)
    await asyncio.sleep(1.2)  # a stop follows its position once a second: it has come to rest


async def _restarted_with_a_position(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    rig.remembered = (_held(rig), _stops(rig))
    await rig.restart_desk()
    # The strategies have become whole this moment: what protects has to be there already.
    rig.found = _held(rig)
    await rig.until(rig.is_sure, "certainty", 20.0)
    if rig.found != rig.remembered[0]:
        return acted
    await rig.until(lambda: (_held(rig), _stops(rig)) == rig.remembered, "the stops of before", 8.0)
    _price_falls(rig)
    await rig.until(lambda: not _held(rig), "the end of the position", 15.0)
    return acted


def _price_falls(rig: OrderRig) -> None:
    """Below every stop: at the venue where it holds one, else as the desk's own watch is told."""
    one = rig.instrument
    price = one.price(rig.top().bids[0][0] * (100 - _FALL) // 100)
    if _contract(rig):
        for source in (TriggerPriceType.MARK, TriggerPriceType.LAST):
            rig.server.account.on_price(one.instrument_id, source, price)
        return
    now = rig.clock.wall_ns()
    mark = MarkPrice(
        instrument_id=one.instrument_id,
        mark_price=price,
        index_price=price,
        funding_rate=None,
        next_funding_ns=None,
        ts_event_ns=now,
        ts_recv_ns=now,
    )
    rig.base.inject("protection", mark)


def _closed(rig: OrderRig, _began_ns: int) -> str:
    if rig.found != rig.remembered[0]:
        return f"what was protected by {rig.remembered[0]} was protected by {rig.found} after the restart"
    left = rig.server.account.exchange.account.position(rig.instrument.instrument_id).qty if _contract(rig) else 0
    if left:
        return f"{left} is held: what protected it did not close it, or turned it round"
    return f"{_stops(rig)} still waits, with nothing to close" if _stops(rig) else ""


def _case(
    number: int,
    words: tuple[str, str],
    about: tuple[tuple[str, ...], tuple[str, ...]],
    strike: OrderStrike,
    **rest_of: Any,
) -> OrderCase:
    return OrderCase(
        id=f"ORD-H-{number:02}",
        title=words[0],
        faults=about[0],
        spec=about[1],
        expects=words[1],
        strike=strike,
        **rest_of,
    )


def _disk(
    number: int,
    title: str,
    act: Callable[[OrderRig], Any],
    expects: str,
    after: Callable[[OrderRig, int], str] = _began_anew,
) -> OrderCase:
    return _case(
        number,
        (title, expects),
        (("F81",), ("P-ORD-1", "P-ORD-14")),
        OrderStrike(
            quiet=True,
            act=act,
            signs=(f"BRAKE:{FAILED}",),
            within_ms=1_500,
            hold_ms=1_500,
            entries_max=0,
            ends_held=(FAILED,),
            after=after,
        ),
        mutants=(g.NOT_DURABLE, g.FAILS_IN_SILENCE),
    )


CASES = (
    _case(
        1,
        (
            "another process keeps the order journal's file locked for a second",
            "nothing is sent whose row is not durable; what waited goes out or is refused, and the desk trades on",
        ),
        (("F81",), ("P-ORD-1",)),
        OrderStrike(
            quiet=True, act=_locked, hold_ms=LOCKED_MS, entries_max=0, mend=_unlock, resolve_ms=4_000, after=_waited
        ),
        mutants=(g.NOT_DURABLE,),
    ),
    _disk(
        2,
        "the disk is full while orders are placed",
        _full,
        "no order is sent whose row was not written; HOLD until an operator lets go, and nothing is lost",
    ),
    _disk(
        3,
        "the journal's sync fails: rows may be on the disk, and nobody was told so",
        _unsynced,
        "not sent; the next life finds the rows, asks the venue, and gives up what is not there; HOLD",
        _never_sent,
    ),
    _case(
        4,
        (
            "the whole desk begins anew while it holds a position under protection",
            "levels and the venue's stops are those of before, ahead of the strategies; the price comes: closed once",
        ),
        (("F41",), ("P-ORD-10", "V-RISK-1")),
        OrderStrike(
            quiet=True,
            before=_protected,
            act=_restarted_with_a_position,
            hold_ms=300,
            resolve_ms=8_000,
            after=_closed,
        ),
        protected=True,
        mutants=(g.EXITS_FORGOTTEN,),
    ),
    _case(
        5,
        (
            "an operator holds the desk and pauses a strategy, and the whole desk begins anew",
            "both words stand, with whose and since when they are; nothing is placed until they are taken back",
        ),
        (("F89",), ("P-ORD-3", "P-HA-6")),
        OrderStrike(
            act=_restarted_in_hold,
            signs=(f"BRAKE:{OPERATOR_CODE}",),
            within_ms=500,
            hold_ms=500,
            entries_max=0,
            ends_held=(OPERATOR_CODE,),
            after=_still_said,
        ),
        mutants=(g.WORD_FORGOTTEN,),
    ),
)
