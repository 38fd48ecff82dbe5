"""Bybit v5's order operations on the trade WebSocket, served as the same requests over REST are.

"Websocket Trade Guideline" and "Error Codes / WS OE General code", bybit-exchange.github.io/docs/v5 (read 2026-11).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.bybit_gate import BybitGate
from adapters.simserver.trading.wire import SocketAsk, TradeHandler, TradeReply, TradeRequest

PATHS = {
    "order.create": "/v5/order/create",
    "order.amend": "/v5/order/amend",
    "order.cancel": "/v5/order/cancel",
    "order.create-batch": "/v5/order/create-batch",
    "order.amend-batch": "/v5/order/amend-batch",
    "order.cancel-batch": "/v5/order/cancel-batch",
}
_BY_STATUS = {403: 10018, 429: 10429, 503: 10016}
_SHOWN = ("X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp")
IDS_MAX = 10_000
_encode = msgspec.json.encode


class _Request(msgspec.Struct, rename={"req_id": "reqId"}):
    op: str
    args: list[dict[str, Any]] = []
    header: dict[str, str] = {}
    req_id: str = ""


_request = msgspec.json.Decoder(_Request).decode


class BybitSocket:
    """The order operations of one server."""

    def __init__(
        self, account: TradingAccount, gate: BybitGate, routes: Mapping[tuple[str, str], TradeHandler]
    ) -> None:
        self._account = account
        self._gate = gate
        self._routes = routes
        self._ids: OrderedDict[str, None] = OrderedDict()

    def asked(self, text: str, *, logged_in: bool) -> SocketAsk | None:
        """The request that a frame stands for; None for a frame that is none of orders."""
        try:
            request = _request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        path = PATHS.get(request.op)
        if path is None:
            return None
        handler: TradeHandler = partial(self._serve, request, logged_in)
        asked = TradeRequest(method="POST", path=path, target=path, body=b"", headers=request.header, spoken=True)
        return SocketAsk(request=asked, handler=handler, frame=partial(self._frame, request, asked.path))

    def _serve(self, request: _Request, logged_in: bool, asked: TradeRequest) -> TradeReply:
        if not logged_in:
            raise self._gate.refused(10005, "Permission denied: the session is not authorized.")
        if len(request.args) != 1 or len(request.req_id) > 36:
            raise self._gate.refused(10001, "params error: args")
        if request.req_id in self._ids:
            raise self._gate.refused(20006, "reqId is duplicated")
        if request.req_id:
            self._ids[request.req_id] = None
            if len(self._ids) > IDS_MAX:
                self._ids.popitem(last=False)
        return self._routes["POST", asked.path](msgspec.structs.replace(asked, body=_encode(request.args[0])))

    def _frame(self, request: _Request, path: str, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
        said = msgspec.json.decode(body, type=dict[str, Any])
        code = said.get("retCode", _BY_STATUS.get(status, 10016))
        if status != 200:
            code = _BY_STATUS.get(status, 10016)
        header = {name: headers[name] for name in _SHOWN if name in headers}
        header |= {"Traceid": f"{len(self._ids):032x}", "Timenow": str(self._account.venue_ms())}
        answer: dict[str, Any] = {
            "reqId": request.req_id,
            "retCode": code,
            "retMsg": said.get("retMsg", ""),
            "op": request.op,
            "data": said.get("result", {}),
            "retExtInfo": said.get("retExtInfo", {}),
            "header": header,
            "connId": path,
        }
        return _encode(answer)
