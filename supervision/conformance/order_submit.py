"""Cases of the order matrix: what became of a placement or a cancel is not told, told late, or told wrong."""

from __future__ import annotations

import asyncio

from adapters.orders.wire import HttpAnswer, WireKind, WireRequest
from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from supervision.conformance import order_guards as g
from supervision.conformance import order_life_guards as life
from supervision.conformance.order_case import CHANGES, PLACES, USER, OrderCase, has, rest, status, take
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike

UNKNOWN = f"{ORDER}unknown"
REJECTED = f"{ORDER}rejected"
MANY = 1_000_000
UNKNOWN_MS = 1_000
"""UNKNOWN is said 400 ms after an order went out; what a busy loop may add to it is in here."""
VISIBLE_S = 3.0
STORM_MS = 1_500
CANCELS_MAX = 6
"""At once, then after 0.1, 0.2, 0.5 and 1 s; one more may be under way."""
_NO_FUNDS = {"binance": -2010, "binanceusdm": -2019, "binancecoinm": -2019, "okx": 51008, "bybit": 110007}


async def _two(rig: OrderRig) -> int | None:
    """One order that takes and one that rests."""
    take(rig)
    rest(rig)
    return None


def _hidden(*faults: f.Fault, title: str, number: int, expects: str = "") -> OrderCase:
    """The change is made, its answer says nothing of it, and the private stream is silent too."""
    return OrderCase(
        id=f"ORD-A-{number:02}",
        title=title,
        faults=("F01", "F02", "F09"),
        spec=("P-ORD-2", "P-ORD-13", "P-VEN-3"),
        expects=expects or "UNKNOWN after 400 ms, in exposure, and asked about: found, with its fills; placed once",
        strike=OrderStrike(
            quiet=True,
            faults=lambda venue: [
                f.Gap(messages=MANY, topics=USER),
                *(fault.model_copy(update={"topics": PLACES[venue]}) for fault in faults),
            ],
            act=_two,
            signs=(UNKNOWN,),
            within_ms=UNKNOWN_MS,
            hold_ms=1_500,
            never=(REJECTED,),
            resolve_ms=3_000,
        ),
        mutants=(g.NEW_ID, g.NO_IS_AN_ANSWER, g.NO_DEADLINE) if number == 2 else (g.NO_IS_AN_ANSWER,),
    )


async def _twice(rig: OrderRig) -> int | None:
    """The answer is lost, and a careless transport sends the very placement again."""
    name = rest(rig)
    await rig.until(lambda: name in rig.truth.orders, "the placement", 3.0)
    await asyncio.sleep(0.05)
    acted = rig.clock.mono_ns()
    rig.resend(name)
    return acted


def _stands(rig: OrderRig, began_ns: int) -> str:
    words = [w for w in rig.words if w.mono_ns >= began_ns and w.ord_status == "rejected"]
    return f"{words[0].cl_ord_id} was called rejected: {words[0].text}" if words else ""


async def _one(rig: OrderRig) -> int | None:
    take(rig)
    return None


def _never_there(rig: OrderRig, began_ns: int) -> str:
    """The order was given up, and not before the time in which it could still have shown up."""
    word = rig.word_since(began_ns, "rejected", "denied")
    if word is None:
        return "the lost order was never given up"
    if word.ord_status == "rejected" and word.mono_ns - began_ns < (VISIBLE_S - 0.2) * 1e9:
        return f"given up after {(word.mono_ns - began_ns) / 1e6:.0f} ms, when it could still have shown up"
    return "the venue has it" if word.cl_ord_id in rig.truth.orders else ""


_REFUSAL = "Account has insufficient balance."


def _refused_once(rig: OrderRig, began_ns: int) -> str:
    refusals = [w for w in rig.words if w.mono_ns >= began_ns and w.ord_status == "rejected"]
    names = {w.cl_ord_id for w in refusals if _REFUSAL in w.text}
    unknown = {w.cl_ord_id for w in rig.words if w.mono_ns >= began_ns and w.ord_status == "unknown"}
    return f"{', '.join(sorted(names & unknown))}: a plain refusal was called UNKNOWN" if names & unknown else ""


async def _cancel_lost(rig: OrderRig) -> int | None:
    name = rig.noted_name
    acted = rig.clock.mono_ns()
    rig.cancel(name)
    await rig.until(lambda: has(rig, name, "canceled"), "the cancel", 6.0)
    return acted


async def _resting(rig: OrderRig) -> None:
    rig.noted_name = rest(rig)
    await rig.until(lambda: has(rig, rig.noted_name, "new"), "a resting order", 5.0)


def _canceled(rig: OrderRig, _began_ns: int) -> str:
    said = status(rig, rig.noted_name)
    return "" if said == "canceled" else f"{rig.noted_name} is {said}"


async def _wanted_gone(rig: OrderRig) -> int | None:
    """It is canceled where the desk does not see it, questions are lost, and whoever may asks for its cancel again."""
    # Some venues take ten cancels a second: those of before are not to hold back the storm that the case is about.
    await asyncio.sleep(1.1)
    send, acted = rig.exchange.send, rig.clock.mono_ns()
    until_ns = acted + int(STORM_MS * 1e6)

    async def lost(request: WireRequest) -> HttpAnswer | str:
        asks = request.kind is WireKind.QUERY and rig.clock.mono_ns() < until_ns
        return "lost on the way" if asks else await send(request)

    vars(rig.exchange)["send"] = lost
    rig.server.account.cancel_all()
    while rig.clock.mono_ns() < until_ns:
        rig.cancel(rig.noted_name)
        await asyncio.sleep(0.01)
    vars(rig.exchange)["send"] = send
    return acted


def _few_cancels(rig: OrderRig, began_ns: int) -> str:
    order = rig.core.order(rig.venue, rig.noted_name) if rig.core is not None else None
    if order is None or order.cancel_count > CANCELS_MAX:
        return f"{rig.noted_name} was canceled {order.cancel_count if order is not None else '?'} times"
    return _canceled(rig, began_ns)


CASES = (
    OrderCase(
        id="ORD-A-01",
        title="a placement is accepted and its answer never comes; the private stream tells of it",
        faults=("F01", "F04", "F16"),
        spec=("P-ORD-2", "P-ORD-13", "P-VEN-3"),
        expects="the stream's word is evidence enough: no UNKNOWN that lasts, one order",
        strike=OrderStrike(
            quiet=True,
            faults=lambda v: [o.AcceptThen(requests=2, outcome="timeout", hold_ms=2_000, topics=PLACES[v])],
            acts="accept_then",
            act=_two,
            signs=(f"{ORDER}filled", f"{ORDER}new"),
            within_ms=400,
            hold_ms=800,
            never=(REJECTED,),
            resolve_ms=1_000,
        ),
        mutants=(g.NEW_ID,),
    ),
    _hidden(
        o.AcceptThen(requests=2, outcome="timeout", hold_ms=5_000),
        title="a placement is accepted; neither answer nor stream ever tell",
        number=2,
    ),
    _hidden(
        o.AcceptThen(requests=2, outcome="status", status=503),
        title="a placement is accepted and answered with HTTP 503; the stream is silent",
        number=3,
    ),
    _hidden(
        o.AcceptThen(requests=2, outcome="drop"),
        title="a placement is accepted and its connection drops; the stream is silent",
        number=4,
    ),
    _hidden(
        o.AcceptThen(requests=2, outcome="unknown"),
        title='a placement is accepted and answered "execution status unknown" (-1007 and its kind)',
        number=5,
    ),
    _hidden(
        o.BadBody(requests=2, body="empty"),
        title="a placement is accepted and answered 200 with nothing in it",
        number=6,
    ),
    _hidden(
        o.BadBody(requests=2, body="null"),
        title="a placement is accepted and answered 200 with null where the id should be",
        number=7,
    ),
    _hidden(
        o.BadBody(requests=2, body="html"),
        title="a placement is accepted and answered 200 with a gateway's HTML page",
        number=8,
    ),
    OrderCase(
        id="ORD-A-09",
        title="a placement's answer comes two seconds late; the stream is silent",
        faults=("F01", "F09"),
        spec=("P-ORD-13", "P-VEN-3"),
        expects="UNKNOWN after 400 ms, resolved by asking; the late answer changes nothing",
        strike=OrderStrike(
            quiet=True,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.AckDelay(requests=2, delay_ms=2_000, topics=PLACES[v]),
            ],
            acts="ack_delay",
            act=_two,
            signs=(UNKNOWN,),
            within_ms=UNKNOWN_MS,
            hold_ms=2_500,
            never=(REJECTED,),
            resolve_ms=2_000,
        ),
        mutants=(g.NO_DEADLINE,),
    ),
    OrderCase(
        id="ORD-A-10",
        title="a placement is accepted, its connection drops, and queries do not know it for 1.5 s",
        faults=("F09", "F11", "F39"),
        spec=("P-ORD-2", "P-ORD-13", "P-VEN-3"),
        expects='"not found" of a young order proves nothing: UNKNOWN until it shows up, never placed again',
        strike=OrderStrike(
            quiet=True,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.LateVisibility(delay_ms=1_500),
                o.AcceptThen(requests=2, outcome="drop", topics=PLACES[v]),
            ],
            acts="accept_then",
            must_act=("late_visibility",),
            act=_two,
            signs=(UNKNOWN,),
            within_ms=UNKNOWN_MS,
            hold_ms=2_500,
            never=(REJECTED,),
            resolve_ms=3_000,
        ),
        mutants=(g.NOT_FOUND_AT_ONCE,),
    ),
    OrderCase(
        id="ORD-A-11",
        title="a placement whose answer was lost is sent once more, and the venue says that it has the id",
        faults=("F01", "F04"),
        spec=("P-ORD-2", "P-VEN-3"),
        expects="a duplicate id is evidence that the order exists: asked about, found; never called rejected",
        strike=OrderStrike(
            quiet=True,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                # Nobody has asked after the order before it is sent again.
                o.LateVisibility(delay_ms=400),
                o.AcceptThen(requests=1, outcome="drop", topics=PLACES[v]),
            ],
            act=_twice,
            signs=(f"{ORDER}new",),
            within_ms=1_500,
            hold_ms=1_600,
            resolve_ms=2_000,
            after=_stands,
        ),
        mutants=(g.DUPLICATE_IS_NO,),
    ),
    OrderCase(
        id="ORD-A-12",
        title="a placement is lost before the venue's engine read it: an internal error, and no order",
        faults=("F02", "F11", "F39"),
        spec=("P-ORD-2", "P-ORD-13", "P-VEN-3"),
        expects="UNKNOWN, and given up only when it can no longer show up; never sent again under that id",
        strike=OrderStrike(
            quiet=True,
            faults=lambda v: [f.RestError(requests=1, topics=PLACES[v])],
            acts="rest_error",
            act=_one,
            signs=(UNKNOWN,),
            within_ms=UNKNOWN_MS,
            resolve_ms=5_000,
            after=_never_there,
        ),
        mutants=(g.NOT_FOUND_AT_ONCE, g.NO_DEADLINE),
    ),
    OrderCase(
        id="ORD-A-13",
        title="placements are refused by the engine while the desk trades",
        faults=("F16",),
        spec=("P-ORD-12", "P-VEN-3"),
        expects="a plain refusal is an end, not an UNKNOWN; trading goes on",
        strike=OrderStrike(
            faults=lambda v: [o.RejectNext(orders=3, code=_NO_FUNDS[v], msg=_REFUSAL)],
            acts="reject_next",
            signs=(REJECTED,),
            within_ms=300,
            hold_ms=1_500,
            resolve_ms=2_000,
            after=_refused_once,
        ),
    ),
    OrderCase(
        id="ORD-A-14",
        title="a cancel is done, its answer is lost and the stream is silent",
        faults=("F12", "F26"),
        spec=("P-ORD-13", "P-VEN-3"),
        expects="the cancel is said again or asked about until there is proof of the end; canceled once",
        strike=OrderStrike(
            quiet=True,
            before=_resting,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.AcceptThen(requests=1, outcome="drop", topics=CHANGES[v]),
            ],
            acts="accept_then",
            act=_cancel_lost,
            signs=(f"{ORDER}canceled",),
            within_ms=2_500,
            resolve_ms=1_000,
            after=_canceled,
        ),
        mutants=(life.CANCEL_FORGOTTEN.but(binance="a stream that is opened anew reads the account"),),
    ),
    OrderCase(
        id="ORD-A-15",
        title="a storm: for a second the desk trades, every change is made and every answer is dropped",
        faults=("F01", "F02", "F04", "F09"),
        spec=("P-ORD-2", "P-ORD-13", "P-VEN-3"),
        expects="each order is known in the end; at most one order of each intent; nothing is placed twice",
        strike=OrderStrike(
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.AcceptThen(requests=MANY, outcome="drop", topics=CHANGES[v]),
            ],
            acts="accept_then",
            signs=(UNKNOWN,),
            within_ms=1_200,
            hold_ms=1_500,
            resolve_ms=6_000,
        ),
        mutants=(g.NO_IS_AN_ANSWER,),
    ),
    OrderCase(
        id="ORD-A-16",
        title="an order is canceled behind the desk's back; stream and questions are lost; everybody wants it gone",
        faults=("F12", "F31", "F69"),
        spec=("P-ORD-2", "P-VEN-4"),
        expects="refused cancels are repeated ever more slowly, so that the venue can be asked; the record ends it",
        strike=OrderStrike(
            quiet=True,
            before=_resting,
            faults=lambda _: [f.Gap(messages=MANY, topics=USER)],
            act=_wanted_gone,
            signs=(f"{ORDER}canceled",),
            within_ms=5_000,
            hold_ms=1_600,
            resolve_ms=3_000,
            after=_few_cancels,
        ),
        mutants=(g.CANCEL_STORM,),
    ),
)
