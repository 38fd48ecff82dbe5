"""What a case of the order matrix is, and what its cases are made of: paths, topics, orders by hand."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from supervision.conformance.markets import VENUES
from supervision.conformance.order_rig import FILL, OrderRig
from supervision.conformance.order_trial import OrderStrike
from trading.orders.messages import Side, TimeInForce

USER = ("user:*",)
"""Every frame of a private stream."""
FILLS = ("user:fill:*",)

CHANGES = {
    "binance": ("/api/v3/order", "/api/v3/order/cancelReplace"),
    "binanceusdm": ("/fapi/v1/order",),
    "binancecoinm": ("/dapi/v1/order",),
    "okx": ("/api/v5/trade/order", "/api/v5/trade/cancel-order", "/api/v5/trade/amend-order"),
    "bybit": ("/v5/order/create", "/v5/order/cancel", "/v5/order/amend"),
}
"""Where single orders are placed, canceled and replaced; on Binance they are asked about there too."""
PLACES = {
    "binance": ("/api/v3/order",),
    "binanceusdm": ("/fapi/v1/order",),
    "binancecoinm": ("/dapi/v1/order",),
    "okx": ("/api/v5/trade/order",),
    "bybit": ("/v5/order/create",),
}
CANCELS = {**PLACES, "okx": ("/api/v5/trade/cancel-order",), "bybit": ("/v5/order/cancel",)}
READS = {
    "binance": ("/api/v3/account",),
    "binanceusdm": ("/fapi/v*/account",),
    "binancecoinm": ("/dapi/v1/positionRisk",),
    "okx": ("/api/v5/account/positions",),
    "bybit": ("/v5/position/list",),
}
"""Where positions, or on spot balances, are asked for."""
CONTRACTS = tuple(venue for venue in VENUES if venue != "binance")
AWAY_BPS = 20


class OrderMutant(msgspec.Struct, frozen=True):
    """A desk without one of its guards: the case must turn red on it.

    ``spared`` are venues at which something else stands in its place, and what that is: there it is not tried.
    """

    name: str
    alter: Callable[[OrderRig], None]
    spared: tuple[tuple[str, str], ...] = ()

    def but(self, **spared: str) -> OrderMutant:
        """The same, spared at some venues."""
        return msgspec.structs.replace(self, spared=tuple(spared.items()))

    @property
    def words(self) -> str:
        """Its name, and where it is not tried."""
        return self.name + "".join(f" (not on {venue}: {why})" for venue, why in self.spared)

    def tried_on(self, venue: str) -> bool:
        """Whether the case rests on the guard there."""
        return venue not in dict(self.spared)


class OrderCase(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of the matrix on every venue in ``venues``. ``faults`` are ids of known incidents, ``spec`` of rows.

    ``kept``: the account outlives its server. ``beside``: the desk trades a second instrument, which the fault is not
    about; ``stranger``: the venue has it, the desk does not. ``protected``: positions are closed by themselves.
    ``audit_ms`` is how often the account is read to see whether something was missed: so seldom, unless it is what the
    case is about, that no audit helps by chance.
    """

    id: str
    title: str
    faults: tuple[str, ...]
    spec: tuple[str, ...]
    expects: str
    strike: OrderStrike
    venues: tuple[str, ...] = VENUES
    kept: bool = False
    beside: bool = False
    stranger: bool = False
    protected: bool = False
    audit_ms: int = 60_000
    mutants: tuple[OrderMutant, ...] = ()


# --- Orders by hand ------------------------------------------------------------------------------------------------


def rest(
    rig: OrderRig, side: Side = Side.BUY, usd: float = 260.0, replaces: str | None = None, bps: int = AWAY_BPS
) -> str:
    """An order that rests well away from the market; its ClOrdID."""
    ticks = rig.top().bids[0][0] * bps // 10_000
    return rig.place(side, away_ticks=ticks, lots=rig.lots(usd), replaces=replaces)


def take(rig: OrderRig, side: Side = Side.BUY, usd: float = 260.0, *, reduce_only: bool = False) -> str:
    """An order that takes at once; its ClOrdID."""
    ticks = rig.top().bids[0][0] * 5 // 10_000
    return rig.place(
        side, away_ticks=-ticks, lots=rig.lots(usd), time_in_force=TimeInForce.IOC, reduce_only=reduce_only
    )


async def resting(rig: OrderRig, side: Side = Side.BUY, usd: float = 260.0, bps: int = AWAY_BPS) -> str:
    """The same as `rest`, once the desk knows that it stands."""
    name = rest(rig, side, usd, bps=bps)
    await rig.until(lambda: has(rig, name, "new"), f"{name} on the book", 5.0)
    return name


def has(rig: OrderRig, cl_ord_id: str, *statuses: str) -> bool:
    """Whether the desk ever said that this order is in one of the states."""
    return any(w.cl_ord_id == cl_ord_id and w.ord_status in statuses for w in rig.words)


def status(rig: OrderRig, cl_ord_id: str) -> str:
    """The last that the desk said of an order."""
    words = reversed(rig.words)
    return next((w.ord_status for w in words if w.cl_ord_id == cl_ord_id and w.ord_status != FILL), "")


def privates(rig: OrderRig) -> tuple[int, ...]:
    """The server's ids of the connections that are told of orders; there is one, or the link would not be live."""
    connections = rig.server.hub.connections.values()
    found = tuple(c.id for c in connections if any(t.startswith("user:") for t in c.topics))
    assert found  # none named would mean all
    return found
