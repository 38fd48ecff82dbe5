"""Orders as methods of Binance's WebSocket APIs, served as the same requests over REST are: spot, USD-M, COIN-M.

binance-spot-api-docs/web-socket-api.md "Response format", "Rate limits", "Request security"; developers.binance.com
derivatives "Websocket API General Info" (read 2026-11). Each request is signed for itself; nobody logs on here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_gate import BinanceGate
from adapters.simserver.trading.wire import SocketAsk, TradeHandler, TradeReply, TradeRequest

ENTRY_PATHS = {SPOT: "/ws-api/v3", USDM: "/ws-fapi/v1", COINM: "/ws-dapi/v1"}
_FUTURES = {"order.place": "POST", "order.modify": "PUT", "order.cancel": "DELETE"}
METHODS: dict[str, dict[str, tuple[str, str]]] = {
    SPOT: {
        "order.place": ("POST", "/api/v3/order"),
        "order.cancel": ("DELETE", "/api/v3/order"),
        "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
    },
    USDM: {name: (method, "/fapi/v1/order") for name, method in _FUTURES.items()},
    COINM: {name: (method, "/dapi/v1/order") for name, method in _FUTURES.items()},
}
_encode = msgspec.json.encode


class SocketRequest(msgspec.Struct):
    """A frame of a client; ``id`` comes back in its answer."""

    method: str
    params: dict[str, str | int | float | bool | None] = {}
    id: str | int | None = None


read_request = msgspec.json.Decoder(SocketRequest).decode
"""``msgspec.MsgspecError``, ``ValueError`` or ``RecursionError`` for what is no request."""


class BinanceSocket:
    """The order methods of one server."""

    def __init__(
        self,
        venue: str,
        account: TradingAccount,
        gate: BinanceGate,
        routes: Mapping[tuple[str, str], TradeHandler],
    ) -> None:
        self._venue = venue
        self._account = account
        self._gate = gate
        self._routes = routes

    def asked(self, text: str) -> SocketAsk | None:
        """The request that a frame stands for; None for a frame that is none of orders."""
        try:
            request = read_request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        found = METHODS[self._venue].get(request.method)
        if found is None:
            return None
        method, path = found
        fields = urlencode({name: _plain(value) for name, value in request.params.items()})
        asked = TradeRequest(method=method, path=path, target=f"{path}?{fields}", body=b"", headers={}, spoken=True)
        return SocketAsk(request=asked, handler=self._serve, frame=partial(self._frame, request))

    def _serve(self, asked: TradeRequest) -> TradeReply:
        return self._routes[asked.method, asked.path](asked)

    def _frame(self, request: SocketRequest, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
        said: Any = msgspec.json.decode(body)
        answer: dict[str, Any] = {"id": request.id, "status": status, "rateLimits": self._limits(headers)}
        if status < 400:
            return _encode({**answer, "result": said})
        if status in {418, 429} and "Retry-After" in headers:
            now_ms = self._account.venue_ms()
            data = {"serverTime": now_ms, "retryAfter": now_ms + int(headers["Retry-After"]) * 1_000}
            said = {**said, "data": data}
        return _encode({**answer, "error": said})

    def _limits(self, headers: Mapping[str, str]) -> list[dict[str, object]]:
        """Orders where REST counts them, and the weight of this minute."""
        used = self._gate.headers(orders=False)["X-MBX-USED-WEIGHT-1M"]
        weight: dict[str, object] = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self._gate.weight_limit,
            "count": int(used),
        }
        counts = self._gate.order_counts() if any("ORDER-COUNT" in name for name in headers) else []
        return [*counts, weight]


def _plain(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
