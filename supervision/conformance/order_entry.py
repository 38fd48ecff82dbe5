"""Cases of the order matrix: orders by WebSocket, that road lost, and REST in its place."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.orders.entry_road import EntryRoad, EntryRoute
from adapters.simserver import faults as f
from adapters.simserver import order_faults as o
from adapters.simserver.connection import DROPPED
from supervision.conformance import order_guards as g
from supervision.conformance import order_life_guards as life
from supervision.conformance.order_case import CANCELS, PLACES, USER, OrderCase, has, rest, resting, status, take
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_trial import ORDER, OrderStrike

UNKNOWN = f"{ORDER}unknown"
REJECTED = f"{ORDER}rejected"
ENTRY = "ORDER_ENTRY"
MANY = 1_000_000
AGAIN_MS = 300
"""How soon a login that was refused is tried again in these cases; the desk's own pause begins at five seconds."""
SOCKETS = {
    "binance": "/ws-api/v3",
    "binanceusdm": "/ws-fapi/v1",
    "binancecoinm": "/ws-dapi/v1",
    "okx": "/ws/v5/private",
    "bybit": "/v5/trade",
}
"""Where each venue takes orders by WebSocket."""


def _road(rig: OrderRig) -> EntryRoad:
    road = rig.exchange.road
    assert road is not None, "this desk has no WebSocket for orders"
    return road


def _by_socket(paths: Mapping[str, tuple[str, ...]], venue: str) -> tuple[str, ...]:
    """A path's topics for requests that come by WebSocket, and for those alone."""
    return tuple(f"ws:{path}" for path in paths[venue])


async def _on_the_road(rig: OrderRig) -> None:
    """Orders go by WebSocket; how many did is noted."""
    road = _road(rig)
    await rig.until(lambda: road.route is EntryRoute.WS, "orders by WebSocket", 10.0)
    rig.noted_count = road.counters.by_socket


async def _rests_on_the_road(rig: OrderRig) -> None:
    await _on_the_road(rig)
    rig.noted_name = await resting(rig)


def _cut(rig: OrderRig) -> None:
    """Drop the connections that orders come on, and no others."""
    for connection in tuple(rig.server.hub.connections.values()):
        told = any(topic.startswith("user:") for topic in connection.topics)
        if connection.path == SOCKETS[rig.name] and not told:
            connection.end(DROPPED)


def _went_by_socket(least: int) -> str:
    return f"fewer than {least} requests went by WebSocket"


# --- Acts -----------------------------------------------------------------------------------------------------------


async def _place_amend_cancel(rig: OrderRig) -> int | None:
    acted = rig.clock.mono_ns()
    take(rig)
    name = await resting(rig)
    successor = rest(rig, replaces=name, bps=30)
    await rig.until(lambda: status(rig, successor) in {"new", "replaced"}, f"{successor} in the place of {name}", 6.0)
    rig.cancel(successor)
    await rig.until(lambda: has(rig, successor, "canceled"), "the cancel", 5.0)
    return acted


async def _two(rig: OrderRig) -> int | None:
    take(rig)
    rest(rig)
    return None


async def _two_and_cut(rig: OrderRig) -> int | None:
    """One order that takes and one that rests, both done at the venue, and the connection drops before it says so."""
    names = [take(rig), rest(rig)]
    await rig.until(lambda: all(name in rig.truth.orders for name in names), "both at the venue", 5.0)
    acted = rig.clock.mono_ns()
    _cut(rig)
    return acted


async def _unread_and_cut(rig: OrderRig) -> int | None:
    """The connection drops while two orders are on their way: the venue never reads them."""
    road = _road(rig)
    names = [take(rig), rest(rig)]
    await rig.until(lambda: road._line is not None and road._line.session.in_flight == 2, "two in flight", 5.0)  # noqa: SLF001
    acted = rig.clock.mono_ns()
    _cut(rig)
    rig.noted_name = names[1]
    return acted


async def _cancel_and_cut(rig: OrderRig) -> int | None:
    road, name = _road(rig), rig.noted_name
    acted = rig.clock.mono_ns()
    rig.cancel(name)
    await rig.until(lambda: road._line is not None and road._line.session.in_flight == 1, "the cancel in flight", 5.0)  # noqa: SLF001
    _cut(rig)
    return acted


async def _refuse_and_cut(rig: OrderRig) -> int | None:
    road = _road(rig)
    await rig.until(lambda: road.route is EntryRoute.WS, "orders by WebSocket", 10.0)
    road.limits = msgspec.structs.replace(road.limits, refused_ms=AGAIN_MS, refused_max_ms=AGAIN_MS)
    acted = rig.clock.mono_ns()
    _cut(rig)
    await rig.until(lambda: road.route is not EntryRoute.WS and _refusal(rig) in road.reason, "the refusal", 5.0)
    placed = len(rig.truth.ours())
    await rig.until(lambda: len(rig.truth.ours()) > placed, "an order by REST", 10.0)
    return acted


async def _cut_while_trading(rig: OrderRig) -> int | None:
    await _on_the_road(rig)
    road = _road(rig)
    await rig.until(lambda: road.counters.by_socket > rig.noted_count, "an order by WebSocket", 10.0)
    acted = rig.clock.mono_ns()
    _cut(rig)
    return acted


async def _hang(rig: OrderRig) -> int | None:
    """The connection stays and says nothing more, and nobody reads what comes on it."""
    await _on_the_road(rig)
    acted = rig.clock.mono_ns()
    for connection in rig.server.hub.connections.values():
        if connection.path == SOCKETS[rig.name] and not any(t.startswith("user:") for t in connection.topics):
            connection.hang()
    return acted


# --- Looks ----------------------------------------------------------------------------------------------------------


def _all_by_socket(rig: OrderRig, _began_ns: int) -> str:
    road = _road(rig)
    if road.counters.failovers:
        return f"the road was left {road.counters.failovers} times"
    return "" if road.counters.by_socket - rig.noted_count >= 4 else _went_by_socket(4)


def _some_by_socket(rig: OrderRig, _began_ns: int) -> str:
    return "" if _road(rig).counters.by_socket - rig.noted_count >= 2 else _went_by_socket(2)


def _left_the_road(rig: OrderRig, _began_ns: int) -> str:
    return "" if _road(rig).counters.failovers else "the road was never left: nothing was tried"


def _never_read(rig: OrderRig, began_ns: int) -> str:
    if rig.noted_name in rig.truth.orders:
        return f"{rig.noted_name} was placed after all"
    return _left_the_road(rig, began_ns)


def _canceled(rig: OrderRig, began_ns: int) -> str:
    said = status(rig, rig.noted_name)
    return _left_the_road(rig, began_ns) if said == "canceled" else f"{rig.noted_name} is {said}"


def _refusal(rig: OrderRig) -> str:
    return "login refused" if rig.venue in {"okx", "bybit"} else "403"


def _told(rig: OrderRig, began_ns: int) -> str:
    told = [n.text for n in rig.oracle.notices_since(began_ns) if n.code == ENTRY]
    return "" if any("go by rest" in text for text in told) else f"the road was not told: {told}"


def _came_back(rig: OrderRig, began_ns: int) -> str:
    told = [n.text for n in rig.oracle.notices_since(began_ns) if n.code == ENTRY]
    if not any("go by ws" in text for text in told):
        return f"it was not said that orders go by WebSocket again: {told}"
    return (
        _left_the_road(rig, began_ns) if _road(rig).route is EntryRoute.WS else f"it is not back: {_road(rig).reason}"
    )


def _no_ban(rig: OrderRig, began_ns: int) -> str:
    banned = [n.text for n in rig.oracle.notices_since(began_ns) if n.code == "BRAKE:VENUE_BANNED"]
    return f"banned: {banned[0]}" if banned else ""


def _refused_login(venue: str) -> f.Fault:
    """Logins are refused; where requests are signed one by one, the handshake is."""
    if venue in {"okx", "bybit"}:
        return o.AuthFailure(topics=(SOCKETS[venue],))
    return f.HandshakeStatus(status=403, topics=(SOCKETS[venue],))


_USED = "the venue refuses an id that was used, and the desk asks what became of that"

CASES = (
    OrderCase(
        id="ORD-W-01",
        title="orders are placed, replaced and canceled by WebSocket",
        faults=("F16",),
        spec=("P-VEN-13", "P-ORD-13", "P-VEN-3"),
        expects="all of it goes that way, with the answers that REST gives, and the road is never left",
        strike=OrderStrike(
            quiet=True,
            before=_on_the_road,
            act=_place_amend_cancel,
            signs=(f"{ORDER}canceled",),
            within_ms=4_000,
            hold_ms=100,
            never=(REJECTED, UNKNOWN),
            resolve_ms=1_000,
            after=_all_by_socket,
        ),
        mutants=(g.REST_ONLY,),
    ),
    OrderCase(
        id="ORD-W-02",
        title="a placement by WebSocket is accepted; neither its answer nor the stream ever tell",
        faults=("F01", "F02", "F09"),
        spec=("P-VEN-13", "P-ORD-2", "P-ORD-13"),
        expects="UNKNOWN after 400 ms and asked about by REST: found, with its fills; placed once",
        strike=OrderStrike(
            quiet=True,
            before=_on_the_road,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.AcceptThen(requests=2, outcome="timeout", topics=_by_socket(PLACES, v)),
            ],
            acts="accept_then",
            act=_two,
            signs=(UNKNOWN,),
            within_ms=1_000,
            hold_ms=1_500,
            never=(REJECTED,),
            resolve_ms=3_000,
            after=_some_by_socket,
        ),
        mutants=(g.NEW_ID, g.NO_IS_AN_ANSWER, g.NO_DEADLINE),
    ),
    OrderCase(
        id="ORD-W-03",
        title="the connection drops with two orders in flight that the venue has executed; the stream is silent",
        faults=("F01", "F02", "F04", "F09"),
        spec=("P-VEN-13", "P-ORD-2", "P-ORD-13"),
        expects="UNKNOWN at once and asked about; said again by neither road: none doubled, none lost",
        strike=OrderStrike(
            quiet=True,
            before=_on_the_road,
            faults=lambda v: [
                f.Gap(messages=MANY, topics=USER),
                o.AckDelay(requests=2, delay_ms=60_000, topics=_by_socket(PLACES, v)),
            ],
            act=_two_and_cut,
            signs=(UNKNOWN,),
            within_ms=1_000,
            hold_ms=1_000,
            never=(REJECTED,),
            resolve_ms=3_000,
            after=_left_the_road,
        ),
        mutants=(g.SAID_AGAIN.but(okx=_USED, bybit=_USED),),
    ),
    OrderCase(
        id="ORD-W-04",
        title="the connection drops with two orders in flight that the venue never read",
        faults=("F02", "F11", "F39"),
        spec=("P-VEN-13", "P-ORD-2", "P-ORD-13"),
        expects="UNKNOWN, and given up only when they can no longer show up; said again by neither road",
        strike=OrderStrike(
            quiet=True,
            before=_on_the_road,
            faults=lambda v: [f.RestSlow(delay_ms=5_000, topics=_by_socket(PLACES, v))],
            act=_unread_and_cut,
            signs=(UNKNOWN,),
            within_ms=1_000,
            resolve_ms=5_500,
            after=_never_read,
        ),
        mutants=(g.SAID_AGAIN,),
    ),
    OrderCase(
        id="ORD-W-05",
        title="the login for orders is refused while the desk trades",
        faults=("F74",),
        spec=("P-VEN-13", "P-ORD-12"),
        expects="REST in its place, and the reason told; no lock, and the WebSocket again once it is mended",
        strike=OrderStrike(
            faults=lambda v: [_refused_login(v)],
            act=_refuse_and_cut,
            signs=(ENTRY,),
            within_ms=1_000,
            hold_ms=1_500,
            never=("BRAKE:ORDER_LINK",),
            resolve_ms=5_000,
            after=_told,
        ),
        mutants=(g.WEBSOCKET_ONLY,),
    ),
    OrderCase(
        id="ORD-W-06",
        title="orders by WebSocket are refused for the venue's limit, and to be said again after a second",
        faults=("F69", "F71"),
        spec=("P-VEN-13", "P-VEN-4"),
        expects="nothing is placed until then, on either road; every refused order is told; no ban",
        strike=OrderStrike(
            faults=lambda v: [f.RestStatus(requests=MANY, status=429, retry_after_s=1, topics=_by_socket(PLACES, v))],
            acts="rest_status",
            signs=(REJECTED, f"{ORDER}denied"),
            within_ms=800,
            hold_ms=1_500,
            entries_max=4,
            resolve_ms=8_000,
            after=_no_ban,
        ),
        mutants=(g.NO_LIMITS,),
    ),
    OrderCase(
        id="ORD-W-07",
        title="the connection for orders is cut while the desk trades",
        faults=("F01", "F04"),
        spec=("P-VEN-13", "P-ORD-12"),
        expects="REST in its place at once, and the WebSocket again as soon as it is there",
        strike=OrderStrike(
            act=_cut_while_trading,
            signs=(ENTRY,),
            within_ms=1_000,
            hold_ms=2_000,
            resolve_ms=6_000,
            after=_came_back,
        ),
        mutants=(g.NO_WAY_BACK,),
    ),
    OrderCase(
        id="ORD-W-08",
        title="the connection for orders stays open and says nothing more while the desk trades",
        faults=("F01", "F11"),
        spec=("P-VEN-13", "P-ORD-12", "P-ORD-13"),
        expects="one order is UNKNOWN, the next go by REST; the connection is given up and made anew",
        strike=OrderStrike(
            act=_hang,
            signs=(ENTRY,),
            within_ms=2_500,
            hold_ms=3_000,
            resolve_ms=6_000,
            after=_came_back,
        ),
        mutants=(g.NO_WAY_BACK,),
    ),
    OrderCase(
        id="ORD-W-09",
        title="the connection drops with a cancel in flight that the venue never read",
        faults=("F12", "F26"),
        spec=("P-VEN-13", "P-ORD-13"),
        expects="the cancel is said by REST at once: it can be said twice",
        strike=OrderStrike(
            quiet=True,
            before=_rests_on_the_road,
            faults=lambda v: [f.RestSlow(delay_ms=5_000, topics=_by_socket(CANCELS, v))],
            act=_cancel_and_cut,
            signs=(f"{ORDER}canceled",),
            within_ms=1_000,
            resolve_ms=1_500,
            after=_canceled,
        ),
        mutants=(life.CANCEL_FORGOTTEN,),
    ),
)
