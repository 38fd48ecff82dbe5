"""The last gate before a socket: what a key of this desk may be used for, request by request and frame by frame.

An allow-list of method and path per venue, and one of operations for frames of order entry. Nothing that moves funds
(withdrawals, transfers between accounts, sub-accounts, loans, conversions), makes keys or changes an account's margin
has an entry, so nothing of it can be sent, whatever a bug above does. Checked on the very URL, and the very bytes, that
the socket gets.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.bybit.instruments import BYBIT
from adapters.ccxt_venues.instruments import GATEIO, MEXC
from adapters.okx.instruments import OKX
from adapters.orders.wire import OrderEndpoints, SignedRequest


def _futures(prefix: str, *account: str) -> frozenset[tuple[str, str]]:
    return frozenset(
        {
            ("POST", f"{prefix}/order"),
            ("PUT", f"{prefix}/order"),
            ("DELETE", f"{prefix}/order"),
            ("GET", f"{prefix}/order"),
            ("POST", f"{prefix}/batchOrders"),
            ("PUT", f"{prefix}/batchOrders"),
            ("DELETE", f"{prefix}/batchOrders"),
            ("DELETE", f"{prefix}/allOpenOrders"),
            ("POST", f"{prefix}/algoOrder"),
            ("DELETE", f"{prefix}/algoOrder"),
            ("GET", f"{prefix}/algoOrder"),
            ("GET", f"{prefix}/openAlgoOrders"),
            ("POST", f"{prefix}/countdownCancelAll"),
            ("GET", f"{prefix}/openOrders"),
            ("GET", f"{prefix}/userTrades"),
            ("GET", f"{prefix}/income"),
            ("GET", f"{prefix}/positionSide/dual"),
            ("GET", f"{prefix}/symbolConfig"),
            ("GET", f"{prefix}/time"),
            ("POST", f"{prefix}/listenKey"),
            ("PUT", f"{prefix}/listenKey"),
            ("GET", "/sapi/v1/account/apiRestrictions"),
            *(("GET", path) for path in account),
        }
    )


ALLOWED: dict[str, frozenset[tuple[str, str]]] = {
    SPOT: frozenset(
        {
            ("POST", "/api/v3/order"),
            ("DELETE", "/api/v3/order"),
            ("GET", "/api/v3/order"),
            ("POST", "/api/v3/order/cancelReplace"),
            ("DELETE", "/api/v3/openOrders"),
            ("GET", "/api/v3/openOrders"),
            ("GET", "/api/v3/myTrades"),
            ("GET", "/api/v3/account"),
            ("GET", "/api/v3/time"),
            ("GET", "/sapi/v1/account/apiRestrictions"),
        }
    ),
    USDM: _futures("/fapi/v1", "/fapi/v3/account"),
    COINM: _futures("/dapi/v1", "/dapi/v1/balance", "/dapi/v1/positionRisk"),
    OKX: frozenset(
        {
            ("POST", "/api/v5/trade/order"),
            ("POST", "/api/v5/trade/cancel-order"),
            ("POST", "/api/v5/trade/amend-order"),
            ("POST", "/api/v5/trade/batch-orders"),
            ("POST", "/api/v5/trade/cancel-batch-orders"),
            ("POST", "/api/v5/trade/amend-batch-orders"),
            ("POST", "/api/v5/trade/cancel-all-after"),
            ("POST", "/api/v5/trade/order-algo"),
            ("POST", "/api/v5/trade/cancel-algos"),
            ("GET", "/api/v5/trade/order-algo"),
            ("GET", "/api/v5/trade/orders-algo-pending"),
            ("GET", "/api/v5/trade/order"),
            ("GET", "/api/v5/trade/orders-pending"),
            ("GET", "/api/v5/trade/fills-history"),
            ("GET", "/api/v5/account/balance"),
            ("GET", "/api/v5/account/positions"),
            ("GET", "/api/v5/account/bills"),
            ("GET", "/api/v5/account/config"),
            ("GET", "/api/v5/account/leverage-info"),
            ("GET", "/api/v5/public/time"),
            ("GET", "/api/v5/public/instruments"),
        }
    ),
    BYBIT: frozenset(
        {
            ("POST", "/v5/order/create"),
            ("POST", "/v5/order/cancel"),
            ("POST", "/v5/order/amend"),
            ("POST", "/v5/order/cancel-all"),
            ("POST", "/v5/order/create-batch"),
            ("POST", "/v5/order/cancel-batch"),
            ("POST", "/v5/order/amend-batch"),
            ("POST", "/v5/order/disconnected-cancel-all"),
            ("GET", "/v5/order/realtime"),
            ("GET", "/v5/execution/list"),
            ("GET", "/v5/position/list"),
            ("GET", "/v5/account/wallet-balance"),
            ("GET", "/v5/account/info"),
            ("GET", "/v5/user/query-api"),
            ("GET", "/v5/market/time"),
        }
    ),
    GATEIO: frozenset(
        {
            ("POST", "/api/v4/spot/orders"),
            ("DELETE", "/api/v4/spot/orders"),
            ("DELETE", "/api/v4/spot/orders/{id}"),
            ("GET", "/api/v4/spot/orders/{id}"),
            ("POST", "/api/v4/spot/countdown_cancel_all"),
            ("GET", "/api/v4/spot/open_orders"),
            ("GET", "/api/v4/spot/my_trades"),
            ("GET", "/api/v4/spot/accounts"),
            ("GET", "/api/v4/spot/time"),
            ("GET", "/api/v4/account/main_keys"),
        }
    ),
    MEXC: frozenset(
        {
            ("POST", "/api/v3/order"),
            ("DELETE", "/api/v3/order"),
            ("GET", "/api/v3/order"),
            ("DELETE", "/api/v3/openOrders"),
            ("GET", "/api/v3/openOrders"),
            ("GET", "/api/v3/myTrades"),
            ("GET", "/api/v3/account"),
            ("GET", "/api/v3/time"),
        }
    ),
}
"""What each venue may be asked, and nothing else; ``{id}`` is the id of one order."""

_FUTURES_OPS = frozenset({"order.place", "order.modify", "order.cancel"})
ALLOWED_OPS: dict[str, tuple[str, frozenset[str]]] = {
    SPOT: ("/ws-api/v3", frozenset({"order.place", "order.cancel", "order.cancelReplace"})),
    USDM: ("/ws-fapi/v1", _FUTURES_OPS),
    COINM: ("/ws-dapi/v1", _FUTURES_OPS),
    OKX: (
        "/ws/v5/private",
        frozenset(
            {
                "login",
                "order",
                "cancel-order",
                "amend-order",
                "batch-orders",
                "batch-cancel-orders",
                "batch-amend-orders",
            }
        ),
    ),
    BYBIT: (
        "/v5/trade",
        frozenset(
            {
                "auth",
                "order.create",
                "order.cancel",
                "order.amend",
                "order.create-batch",
                "order.cancel-batch",
                "order.amend-batch",
            }
        ),
    ),
}
"""Where each venue takes orders by WebSocket, and the operations that may be asked for there, and nothing else."""

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,47}")


class ForbiddenRequestError(RuntimeError):
    """Our bug: a request that this desk may never make. It did not reach a socket."""

    def __init__(self, venue: str, method: str, path: str) -> None:
        super().__init__(venue, method, path)
        self.venue = venue
        self.method = method
        self.path = path

    def __str__(self) -> str:
        return f"{self.method} {self.path} is not on the list of requests to {self.venue}: it was not sent"


def check(venue: str, endpoints: OrderEndpoints, request: SignedRequest) -> None:
    """`ForbiddenRequestError` unless ``request`` is on the venue's list and goes to one of its own hosts."""
    parts = urlsplit(request.url)
    base = f"{parts.scheme}://{parts.netloc}"
    hosts = {endpoints.rest, endpoints.wallet} - {""}
    # The path is compared as it stands: an encoded or doubled slash is not the path that was allowed.
    known = _is_listed(ALLOWED.get(venue, frozenset()), request.method, parts.path)
    if not known or base not in hosts or parts.path != request.path or "@" in parts.netloc:
        raise ForbiddenRequestError(venue, request.method, f"{base}{parts.path}")


def check_frame(venue: str, endpoints: OrderEndpoints, url: str, frame: bytes) -> None:
    """`ForbiddenRequestError` unless ``frame`` asks for an operation on the venue's list, at its own address."""
    path, ops = ALLOWED_OPS.get(venue, ("", frozenset[str]()))
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}"
    known = parts.path == path and not parts.query and base == (endpoints.entry or endpoints.ws)
    op = _op_of(frame)
    if not path or not known or op not in ops or "@" in parts.netloc:
        raise ForbiddenRequestError(venue, "WebSocket", f"{base}{parts.path} {op[:40]}")


def _op_of(frame: bytes) -> str:
    """The operation of a frame; "" for one that names none, or several."""
    try:
        fields = _fields(frame)
    except msgspec.MsgspecError:
        return ""
    named = [fields[name] for name in ("op", "method") if name in fields]
    return named[0] if len(named) == 1 and isinstance(named[0], str) else ""


_fields = msgspec.json.Decoder(dict[str, Any]).decode


def _is_listed(allowed: frozenset[tuple[str, str]], method: str, path: str) -> bool:
    if (method, path) in allowed:
        return "{" not in path
    above, _, last = path.rpartition("/")
    return (method, f"{above}/{{id}}") in allowed and _ID.fullmatch(last) is not None
