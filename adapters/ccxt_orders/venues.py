"""What is peculiar to each venue whose orders go through ccxt: hosts, client order ids, how an order ended.

Sources: Gate.io API v4 "Create an order", "Get a single order", "Retrieve personal trading records", "Countdown cancel
orders", "Query All Main Account Key Information" (gate.com/docs/developers/apiv4, and its models in gateapi-python);
MEXC spot v3 "New Order", "Query Order", "Account Trade List" (mexc.com/api-docs/spot-v3). Read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from adapters.ccxt_venues.instruments import GATEIO, MEXC
from adapters.orders.reading import BadReply
from adapters.orders.wire import OrderEndpoints
from trading.orders.messages import OrdStatus


class CcxtOrderVenue(msgspec.Struct, frozen=True, kw_only=True):
    """One venue.

    ``root`` begins the paths of its requests and is not part of the names in the tables of limits. ``prefix`` is what
    the venue wants before every client order id. ``trades_max`` is the longest list of executions it answers with,
    ``trades_step_ms`` the grain of the times that it asks for them by. ``opens_page`` is a page of open orders over all
    pairs, 0: they are asked for pair by pair. ``poll_ms`` is how often an account without a private stream is read.
    """

    venue: str
    exchange: str
    real: OrderEndpoints
    testnet: OrderEndpoints | None
    root: str
    prefix: str
    trades_max: int
    trades_step_ms: int
    opens_page: int
    poll_ms: int
    timer: bool
    options: Mapping[str, Any]


VENUES: Final[Mapping[str, CcxtOrderVenue]] = {
    GATEIO: CcxtOrderVenue(
        venue=GATEIO,
        exchange="gate",
        real=OrderEndpoints(rest="https://api.gateio.ws", ws=""),
        testnet=OrderEndpoints(rest="https://api-testnet.gateapi.io", ws="", demo=True),
        root="/api/v4",
        prefix="t-",
        trades_max=1_000,
        trades_step_ms=1_000,
        opens_page=100,
        poll_ms=1_000,
        timer=True,
        # Said here, ccxt does not ask for it: a second request inside of every call.
        options={"defaultType": "spot", "unifiedAccount": False},
    ),
    MEXC: CcxtOrderVenue(
        venue=MEXC,
        exchange="mexc",
        real=OrderEndpoints(rest="https://api.mexc.com", ws=""),
        testnet=None,
        root="",
        prefix="",
        trades_max=100,
        trades_step_ms=1,
        opens_page=0,
        poll_ms=2_000,
        timer=False,
        options={"defaultType": "spot"},
    ),
}

_ID: Final = re.compile(r"[0-9A-SU-Za-su-z._-][0-9A-Za-z._-]{0,27}")
"""Gate.io's 28 characters are the least of all. ccxt takes an id that begins with t for one that has its prefix."""

_GATE_ENDS: Final[Mapping[str, OrdStatus]] = {
    "cancelled": OrdStatus.CANCELED,
    "liquidate_cancelled": OrdStatus.CANCELED,
    "small": OrdStatus.EXPIRED,
    "depth_not_enough": OrdStatus.EXPIRED,
    "trader_not_enough": OrdStatus.EXPIRED,
    "ioc": OrdStatus.EXPIRED,
    "poc": OrdStatus.EXPIRED,
    "fok": OrdStatus.EXPIRED,
    "stp": OrdStatus.EXPIRED,
    "price_protect_cancelled": OrdStatus.EXPIRED,
    "unknown": OrdStatus.CANCELED,  # that it is gone, its status says
    "": OrdStatus.CANCELED,
    "open": OrdStatus.CANCELED,  # an answer to a cancel that was written before its end was
}
"""Gate.io's ``finish_as`` of an order whose ``status`` is cancelled: by whom or by what it ended."""

_MEXC: Final[Mapping[str, OrdStatus]] = {
    "NEW": OrdStatus.NEW,
    "PARTIALLY_FILLED": OrdStatus.PARTIALLY_FILLED,
    "FILLED": OrdStatus.FILLED,
    "CANCELED": OrdStatus.CANCELED,
    "PARTIALLY_CANCELED": OrdStatus.CANCELED,
}


def venue_of(venue: str) -> CcxtOrderVenue:
    """``ValueError`` for a venue whose orders do not go through ccxt."""
    found = VENUES.get(venue)
    if found is None:
        raise ValueError(f"venue: orders of {venue!r} do not go through ccxt; those of {', '.join(VENUES)} do")
    return found


def client_id(known: CcxtOrderVenue, cl_ord_id: str) -> str:
    """Our id as the venue wants it; ``ValueError`` for one that it could not give back."""
    if not _ID.fullmatch(cl_ord_id):
        raise ValueError(
            f"cl_ord_id: {cl_ord_id!r} cannot be said at {known.venue}; at most 28 letters, digits, ._- , no t first"
        )
    return known.prefix + cl_ord_id


def our_id(known: CcxtOrderVenue, said: str) -> str:
    """The other way; what has no prefix of ours (``web``, ``apiv4``) stays as it is and is nobody's of ours."""
    return said.removeprefix(known.prefix) if known.prefix else said


def ord_status(known: CcxtOrderVenue, info: Mapping[str, Any], *, filled: bool) -> OrdStatus:
    """The status of an order in the venue's own row; ``filled``: something of it was executed. `BadReply` else."""
    said = str(info.get("status", ""))
    if known.venue == MEXC:
        status = _MEXC.get(said)
        if status is None:
            raise BadReply(f"status {said[:40]!r} is not known")
        return status
    match said:
        case "open":
            return OrdStatus.PARTIALLY_FILLED if filled else OrdStatus.NEW
        case "closed":
            return OrdStatus.FILLED
        case "cancelled":
            end = str(info.get("finish_as") or "")
            # By the document it is over whatever a new word for the reason is.
            return _GATE_ENDS.get(end, OrdStatus.CANCELED)
        case _:
            raise BadReply(f"status {said[:40]!r} is not known")
