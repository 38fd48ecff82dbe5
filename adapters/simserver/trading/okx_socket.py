"""OKX v5's order operations on the private WebSocket, served as the same requests over REST are.

"WS / Place order" and its kind, "Error Code / WebSocket" and the changelog of 2026-02, okx.com/docs-v5 (read 2026-11):
``id`` comes back with the answer; instruments are named by ``instIdCode`` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from adapters.okx.encode import instrument_code
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.okx_gate import OkxGate
from adapters.simserver.trading.wire import SocketAsk, TradeHandler, TradeReply, TradeRequest

PATHS = {
    "order": "/api/v5/trade/order",
    "cancel-order": "/api/v5/trade/cancel-order",
    "amend-order": "/api/v5/trade/amend-order",
    "batch-orders": "/api/v5/trade/batch-orders",
    "batch-cancel-orders": "/api/v5/trade/cancel-batch-orders",
    "batch-amend-orders": "/api/v5/trade/amend-batch-orders",
}
_encode = msgspec.json.encode


class _Request(msgspec.Struct, rename={"exp_time": "expTime"}):
    op: str
    args: list[dict[str, Any]] = []
    id: str = ""
    exp_time: str = ""


_request = msgspec.json.Decoder(_Request).decode


class OkxSocket:
    """The order operations of one server."""

    def __init__(self, account: TradingAccount, gate: OkxGate, routes: Mapping[tuple[str, str], TradeHandler]) -> None:
        self._account = account
        self._gate = gate
        self._routes = routes

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
        asked = TradeRequest(method="POST", path=path, target=path, body=b"", headers={}, spoken=True)
        return SocketAsk(request=asked, handler=handler, frame=partial(self._frame, request))

    def _serve(self, request: _Request, logged_in: bool, asked: TradeRequest) -> TradeReply:
        if not logged_in:
            raise self._gate.refused("60011", "Please log in")
        if not request.args or not request.id.isalnum() or len(request.id) > 32:
            raise self._gate.refused("60013", "Invalid args")
        if request.exp_time and (not request.exp_time.isdigit() or int(request.exp_time) < self._account.venue_ms()):
            raise self._gate.refused("50036", "The expTime can't be earlier than the current system time.")
        names = {instrument_code(symbol): symbol for symbol in self._account.markets}
        rows = []
        for arg in request.args:
            if "instIdCode" not in arg:
                raise self._gate.refused("50014", "Parameter instIdCode can not be empty")
            rows.append({**arg, "instId": names.get(arg["instIdCode"], "")})
        body = rows if request.op.startswith("batch") else rows[0]
        return self._routes["POST", asked.path](msgspec.structs.replace(asked, body=_encode(body)))

    def _frame(self, request: _Request, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
        del status, headers
        now_us = str(self._account.venue_ms() * 1000)
        said = msgspec.json.decode(body, type=dict[str, Any])
        return _encode({"id": request.id, "op": request.op, **said, "inTime": now_us, "outTime": now_us})
