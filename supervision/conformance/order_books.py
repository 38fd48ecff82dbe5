"""Cases of the order matrix: what an account's books can get wrong: strange instruments, phantoms, funding, profit.

Each has an oracle of its own beside the matrix's: the venue's rows of income, its realised profit, readings counted.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from typing import Any

from adapters.journal.store import open_reader, read_rows
from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from supervision.conformance import order_books_guards as g
from supervision.conformance import order_guards
from supervision.conformance.markets import MARKETS
from supervision.conformance.order_case import CONTRACTS, FILLS, USER, OrderCase, has, privates, take
from supervision.conformance.order_oracle import TOLERANCE
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike
from supervision.conformance.rig import MS, NotInTimeError
from trading.market.events import MarkPrice
from trading.operators import CommandKind, OperatorCommand
from trading.orders.journal_rows import JournalKind, ReportBody, decode_body
from trading.orders.messages import AccountState, AccountStateRequest, Side, TimeInForce

MANY = 1_000_000
AUDIT_MS = 1_000
RATE = Decimal("0.0007")
READINGS_MAX = 12
"""Of the account in six seconds of a reconciliation that cannot end: the pace grows from 0.1 to 5 s."""
STEEP = 3
PAUSE_MS = 200
"""From the fourth comparison on there is so much between an answer and the next question, or more."""
TRIES_MAX = 12
"""Orders of one flattening that are all refused."""
ENDS = ("filled", "canceled", "expired", "rejected", "denied")
REJECTED = f"{ORDER}rejected"
RECON = "BRAKE:RECON"
REFUSED = {
    "binanceusdm": (-2022, "ReduceOnly Order is rejected."),
    "binancecoinm": (-2022, "ReduceOnly Order is rejected."),
    "okx": (51169, "Order failed because you don't have any positions in this direction to reduce or close."),
    "bybit": (110017, "current position is zero, cannot fix reduce-only order qty"),
}
"""How venues refuse to reduce what is not there (their documents, 2026-11)."""
_TRIES = 4


# --- By hand -------------------------------------------------------------------------------------------------------


def _qty(rig: OrderRig) -> Decimal:
    """What the venue holds of the contract."""
    return rig.server.account.exchange.account.position(rig.instrument.instrument_id).qty


async def _position(rig: OrderRig) -> None:
    """A long position, and both sides know it."""
    for _ in range(_TRIES):
        await rig.until(rig.is_sure, "a desk that may trade", 10.0)
        name = take(rig, Side.BUY, 900.0)
        await rig.until(lambda name=name: has(rig, name, *ENDS), "a position", 10.0)  # type: ignore[misc]
        if has(rig, name, "filled") and (rig.venue == "binance" or _qty(rig) > 0):
            rig.noted_name = name
            rig.noted["readings"] = 0
            _count_readings(rig)
            return
    raise NotInTimeError(rig.name, "a position", 10.0, rig.state_in_words())


def _count_readings(rig: OrderRig) -> None:
    """When the core asks for the whole account, and when it is told, from here on: (monotonic ns, whether it is told).

    At the gateway that is there now.
    """
    gateway: Any = rig.gateway
    on, heard = gateway.on, gateway._heard  # noqa: SLF001
    rig.found = []

    def hear(msg: Any) -> None:
        if type(msg) is AccountStateRequest:
            rig.noted["readings"] += 1
            rig.found.append((rig.clock.mono_ns(), False))
        on(msg)

    def tell(item: Any) -> None:
        if type(item) is AccountState:
            rig.found.append((rig.clock.mono_ns(), True))
        heard(item)

    vars(gateway).update(on=hear, _heard=tell)


def _pauses_ms(rig: OrderRig, since_ns: int) -> list[float]:
    """How long before each question there was neither an answer nor a question."""
    seen = [one for one in rig.found if one[0] >= since_ns]
    return [(after[0] - before[0]) / MS for before, after in pairwise(seen) if not after[1]]


def _lots(rig: OrderRig) -> int:
    return rig.instrument.lots_floor(abs(_qty(rig)))


def _close(rig: OrderRig, lots: int) -> str:
    """Sell so many at once, bound to closing where the venue can bind it."""
    ticks = rig.top().bids[0][0] * 20 // 10_000
    return rig.place(
        Side.SELL,
        away_ticks=-ticks,
        lots=lots,
        time_in_force=TimeInForce.IOC,
        reduce_only=rig.venue != "binance",
    )


# --- Funding -------------------------------------------------------------------------------------------------------


def _paid(rig: OrderRig) -> None:
    """It is the hour: the venue settles funding of what is held."""
    account = rig.server.account
    now = account.now_ns()
    price = rig.instrument.price(rig.top().bids[0][0])
    mark = MarkPrice(
        instrument_id=rig.instrument.instrument_id,
        mark_price=price,
        index_price=price,
        funding_rate=RATE,
        next_funding_ns=now,
        ts_event_ns=now,
        ts_recv_ns=now,
    )
    account.exchange.settle(mark)
    account._leave(now)  # noqa: SLF001 - as the account does when a settlement is due


async def _funding_twice(rig: OrderRig) -> int | None:
    """Told by the stream, twice, and listed by every reading for minutes."""
    core = rig.core
    assert core is not None
    rig.noted_count = core.inbox(rig.venue).duplicates
    acted = rig.clock.mono_ns()
    for _ in range(2):
        _paid(rig)
        rig.link._client.reader.paid()  # noqa: SLF001 - readings list it because it is the hour
        await asyncio.sleep(0.05)
    return acted


async def _funding_unheard(rig: OrderRig) -> int | None:
    """Nobody tells of it, and the gateway that would have read of it at its time is gone."""
    acted = rig.clock.mono_ns()
    _paid(rig)
    rig.drill(f"gateway.{rig.venue}")
    rig.ask_again()
    return acted


def _matched(rig: OrderRig, _began_ns: int) -> str:
    """The desk's funding is the sum of the venue's rows, and the journal has a row for each, once."""
    rows = [p for p in rig.server.account.fundings() if p.instrument_id == rig.instrument.instrument_id]
    if not rows:
        return "no funding was paid: nothing was tried"
    theirs = sum((p.amount for p in rows), Decimal(0))
    line = rig.base.actor("portfolio").core.lines().get(rig.instrument.instrument_id)
    mine = Decimal(0) if line is None else sum(line.funding.values(), Decimal(0))
    with closing(open_reader(rig.journal)) as db:
        journalled = [row for row in read_rows(db) if row.kind is JournalKind.FUNDING]
    if len(journalled) != len(rows) or abs(mine - theirs) > TOLERANCE * len(rows):
        return f"the venue paid {theirs} in {len(rows)} rows, the ledger has {mine}, the journal {len(journalled)} rows"
    return ""


def _matched_and_listed_again(rig: OrderRig, began_ns: int) -> str:
    core = rig.core
    assert core is not None
    again = core.inbox(rig.venue).duplicates > rig.noted_count
    return _matched(rig, began_ns) if again else "no funding came twice: nothing was tried"


# --- Profit --------------------------------------------------------------------------------------------------------


async def _round_trip(rig: OrderRig) -> int | None:
    """Out of the position, while every execution is told twice; then the stream is cut, and readings list them all."""
    core = rig.core
    assert core is not None
    rig.noted_count = core.inbox(rig.venue).duplicates
    acted = rig.clock.mono_ns()
    lots = _lots(rig) if rig.venue != "binance" else rig.lots(900.0)
    name = _close(rig, lots)
    await rig.until(lambda: has(rig, name, *ENDS), "the way out", 5.0)
    await asyncio.sleep(0.1)
    rig.server.faults.set(f.Disconnect(connections=privates(rig)))
    return acted


def _profit_once(rig: OrderRig, _began_ns: int) -> str:
    """What was realised is what the venue says, the books balance, and everything did come twice."""
    core, portfolio = rig.core, rig.base.actor("portfolio").core
    assert core is not None
    if core.inbox(rig.venue).duplicates <= rig.noted_count:
        return "no execution came twice: nothing was tried"
    if residual := portfolio.ledger.residual():
        return f"the books do not balance: {residual}"
    one = rig.instrument
    line = portfolio.lines()[one.instrument_id]
    if rig.venue == "binance":
        return ""  # spot realises nothing at the venue: its balances are compared by the matrix's own oracle
    if _qty(rig):
        return f"{_qty(rig)} is held: nothing was tried"
    theirs = sum((fill.pnl for fill in rig.server.account.fills), Decimal(0))
    mine = sum(line.realized.values(), Decimal(0))
    count = len(rig.server.account.fills)
    return "" if abs(mine - theirs) <= TOLERANCE * count else f"the venue realised {theirs}, the desk {mine}"


# --- Phantoms ------------------------------------------------------------------------------------------------------


async def _closed_by_another_hand(rig: OrderRig) -> int | None:
    """The position is gone, nothing tells it, and what was to reduce it is refused."""
    acted = rig.clock.mono_ns()
    rig.noted["readings"] = 0
    market = rig.server.feed.find(rig.instrument.instrument_id)
    lots = _lots(rig)
    rig.server.account.force_fill(market, Side.SELL, lots, "web_flat")
    rig.successor = _close(rig, lots)
    await rig.until(lambda: has(rig, rig.successor, *ENDS), "the end of what was to reduce it", 6.0)
    return acted


def _converged(rig: OrderRig, _began_ns: int) -> str:
    order = rig.truth.orders.get(rig.successor)
    if order is not None and order.filled:
        return f"{rig.successor} was executed: nothing was tried"
    if _qty(rig):
        return f"{_qty(rig)} is held at the venue: the phantom was reduced into a position"
    return _few_readings(rig)


def _few_readings(rig: OrderRig) -> str:
    found = rig.noted["readings"]
    return "" if found <= 2 * READINGS_MAX else f"the account was asked for {found} times: a loop"


async def _never_there(rig: OrderRig) -> int | None:
    """Reconciled against an account that says it is flat, for as long as it says so."""
    acted = rig.clock.mono_ns()
    rig.successor = _close(rig, _lots(rig))
    await rig.until(lambda: has(rig, rig.successor, *ENDS), "the end of what was to reduce it", 6.0)
    asked = rig.clock.mono_ns()
    rig.ask_again()
    await asyncio.sleep(6.0)
    rig.remembered = _pauses_ms(rig, asked)
    return acted


def _held_and_paced(rig: OrderRig, _began_ns: int) -> str:
    core = rig.core
    held = None if core is None else core.exposure()[rig.instrument.instrument_id].position
    if held != _qty(rig) or not held:
        return f"the venue holds {_qty(rig)}, the desk {held}: closed by inference"
    pauses = rig.remembered
    if len(pauses) > READINGS_MAX or min(pauses[STEEP:], default=PAUSE_MS) < PAUSE_MS:
        return f"the account was compared {len(pauses)} times in six seconds, with pauses of {pauses[:8]} ms: a loop"
    return "" if len(pauses) > STEEP else f"the account was compared {len(pauses)} times: nothing was tried"


async def _flattened_in_vain(rig: OrderRig) -> int | None:
    """An operator has everything closed, and the venue says that there is nothing to close."""
    acted = rig.clock.mono_ns()
    rig.noted_count, rig.flattens = rig.entries, True
    command = OperatorCommand(
        command_id="case-kill",
        kind=CommandKind.KILL,
        scope="global",
        actor="alice",
        cause="the case wants it flat",
        argument="",
        ts_ns=rig.clock.wall_ns(),
    )
    rig.base.inject("governor", command)
    await rig.until(
        lambda: any(n.code == "FLATTEN_STUCK" for n in rig.oracle.notices_since(acted)),
        "the end of the flattening",
        30.0,
    )
    return acted


def _gave_up(rig: OrderRig, _began_ns: int) -> str:
    sent = rig.entries - rig.noted_count
    return "" if 1 <= sent <= TRIES_MAX + 2 else f"{sent} orders went out to reduce a phantom"


# --- A stranger ----------------------------------------------------------------------------------------------------


async def _fill_of_a_stranger(rig: OrderRig) -> int | None:
    """Somebody trades an instrument that the desk has never heard of; then the desk is told of it, and begins anew."""
    assert rig.beside is not None
    market = rig.server.feed.find(rig.beside.instrument_id)
    one = rig.beside
    lots = max(1, -int(-one.min_qty // one.lot_size))
    acted = rig.clock.mono_ns()
    rig.noted_count = rig.server.account.now_ns()
    rig.server.account.force_fill(market, Side.BUY, lots, "web_stranger")
    rig.wanted_lots = lots
    await rig.until(
        lambda: any(n.code == "USER_STREAM_UNREAD" for n in rig.oracle.notices_since(acted)), "a word of it", 3.0
    )
    await rig.until(lambda: any(b.code == "RECON" for b in rig.brakes()), "HOLD", 8.0)
    core = rig.core
    assert core is not None
    rig.found = core._account(rig.venue).listed_ns  # noqa: SLF001 - from when on the account is read
    await rig.restart_desk()
    await rig.until(rig.is_sure, "certainty", 25.0)
    return acted


def _booked(rig: OrderRig, _began_ns: int) -> str:
    """What the stranger executed is in the journal once, and was in reach for as long as it was not."""
    assert rig.beside is not None
    wanted = rig.beside.qty(rig.wanted_lots)
    found: list[Decimal] = []
    with closing(open_reader(rig.journal)) as db:
        for row in read_rows(db):
            body = decode_body(row.body)
            if isinstance(body, ReportBody) and body.executed and not row.cl_ord_id.startswith("pd"):
                found.append(body.report.last_qty)
    if found != [wanted]:
        return f"{rig.beside.instrument_id}: {wanted} was executed, the journal has {found}"
    return "what was not taken in was left behind by later readings" if rig.found > rig.noted_count else ""


def _case(
    number: int,
    words: tuple[str, str],
    fault: str,
    spec: tuple[str, ...],
    strike: OrderStrike,
    **others: Any,
) -> OrderCase:
    return OrderCase(
        id=f"ORD-H-{number:02}",
        title=words[0],
        faults=(fault,),
        spec=spec,
        expects=words[1],
        strike=strike,
        **others,
    )


def _refused(venue: str) -> o.RejectNext:
    code, msg = REFUSED[venue]
    return o.RejectNext(orders=MANY, code=code, msg=msg)


CASES = (
    _case(
        6,
        (
            "the account trades an instrument that the desk does not know",
            "said loudly and held, never dropped; once the desk has loaded the instrument, it is booked, once",
        ),
        "F29",
        ("P-ORD-4", "P-VEN-3"),
        OrderStrike(
            quiet=True,
            act=_fill_of_a_stranger,
            signs=("USER_STREAM_UNREAD",),
            within_ms=1_000,
            resolve_ms=30_000,
            after=_booked,
        ),
        venues=tuple(venue for venue in CONTRACTS if MARKETS[venue].beside),
        stranger=True,
        audit_ms=AUDIT_MS,
        mutants=(g.STRANGERS_DROPPED,),
    ),
    _case(
        7,
        (
            "a position is closed by another hand, nothing tells it, and the desk's reduce-only order is refused",
            "no second try on a phantom: the audit finds the execution, few readings, and both agree",
        ),
        "F36",
        ("P-ORD-4", "P-VEN-3"),
        OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda _v: [f.Gap(messages=MANY, topics=FILLS)],
            act=_closed_by_another_hand,
            signs=(RECON, REJECTED, f"{ORDER}expired", f"{ORDER}canceled"),
            within_ms=6_000,
            hold_ms=3_500,
            resolve_ms=9_000,
            after=_converged,
        ),
        venues=CONTRACTS,
        audit_ms=AUDIT_MS,
        mutants=(order_guards.NO_AUDIT,),
    ),
    _case(
        8,
        (
            "the account says that it is flat and refuses what reduces, for as long as it is reconciled",
            "HOLD, at a pace that grows: never a loop, and nothing is closed by inference",
        ),
        "F36",
        ("P-VEN-3",),
        OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda v: [o.EmptyAccount(requests=MANY), _refused(v)],
            act=_never_there,
            must_act=("empty_account",),
            signs=(RECON,),
            within_ms=8_000,
            entries_max=0,
            hold_ms=500,
            resolve_ms=9_000,
            after=_held_and_paced,
        ),
        venues=CONTRACTS,
        audit_ms=AUDIT_MS,
        mutants=(g.NO_PACE,),
    ),
    _case(
        9,
        (
            "an operator flattens, and the venue refuses every reduce-only order: nothing is there to reduce",
            "so many tries and no more: given up, said, and held",
        ),
        "F36",
        ("P-ORD-9", "P-VEN-3"),
        OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda v: [_refused(v)],
            act=_flattened_in_vain,
            acts="reject_next",
            signs=("FLATTEN_STUCK",),
            within_ms=40_000,
            hold_ms=1_500,
            entries_max=0,
            ends_held=("operator",),
            after=_gave_up,
        ),
        venues=CONTRACTS,
        mutants=(g.NEVER_GIVES_UP,),
    ),
    _case(
        10,
        (
            "funding is paid twice, every word of it comes twice, and every reading lists it again",
            "the ledger has the venue's rows of income, each once, with the venue's amounts",
        ),
        "F86",
        ("P-PNL-7", "P-VEN-3"),
        OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda _v: [f.Duplicate(messages=MANY, topics=USER)],
            act=_funding_twice,
            signs=("FUNDING",),
            within_ms=4_000,
            hold_ms=3_500,
            resolve_ms=4_000,
            after=_matched_and_listed_again,
        ),
        venues=CONTRACTS,
        audit_ms=AUDIT_MS,
        mutants=(g.FUNDED_AGAIN,),
    ),
    _case(
        11,
        (
            "funding is paid while the private stream is silent, and the gateway dies",
            "the venue's rows of income tell it: booked once, before the desk is let go",
        ),
        "F86",
        ("P-PNL-7", "P-VEN-3"),
        OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda _v: [f.Gap(messages=MANY, topics=USER)],
            act=_funding_unheard,
            signs=("FUNDING",),
            within_ms=8_000,
            hold_ms=500,
            resolve_ms=9_000,
            after=_matched,
        ),
        venues=CONTRACTS,
        mutants=(g.INCOME_UNREAD,),
    ),
    _case(
        12,
        (
            "a round trip whose executions come twice by the stream and again by the account's list",
            "realised once: the venue's profit, the venue's cash, and books that balance",
        ),
        "F87",
        ("P-ORD-4", "P-PNL-7", "P-VEN-3"),
        OrderStrike(
            quiet=True,
            before=_position,
            faults=lambda _v: [f.Duplicate(messages=MANY, topics=USER)],
            act=_round_trip,
            signs=("BRAKE:ORDER_LINK",),
            within_ms=2_000,
            hold_ms=500,
            resolve_ms=6_000,
            after=_profit_once,
        ),
        audit_ms=AUDIT_MS,
        mutants=(order_guards.NO_DEDUPE,),
    ),
)
