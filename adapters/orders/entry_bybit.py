"""Bybit v5: orders as operations on the trade WebSocket.

Sources: bybit-exchange.github.io/docs/v5 "Websocket Trade Guideline", "Connect" and "Error Codes / WS OE General code"
(read 2026-11):

- ``reqId`` (at most 36 characters, never twice) comes back with the answer, which has REST's ``retCode`` and, in
  ``data``, REST's ``result``; the rate limit's headers are its ``header``. Limits are shared with REST.
- ``header`` has time stamp and window of each request; the login stands for the signature.
- 10019: the service restarts and takes nothing new, what is in process is answered. 10003 is "too many sessions" there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.bybit.instruments import BYBIT
from adapters.orders import reading as r
from adapters.orders.bybit_codes import verdict_of
from adapters.orders.entry import (
    EntryAlive,
    EntryAnswered,
    EntryGranted,
    EntryPlan,
    EntryRefused,
    EntryUnread,
    EntryWord,
    NothingToAsk,
)
from adapters.orders.logins import bybit_login
from adapters.orders.replies import Verdict, said
from adapters.orders.wire import MS_NS, SECOND_NS, Credentials, HttpAnswer, WireRequest

OPS = {
    "/v5/order/create": "order.create",
    "/v5/order/amend": "order.amend",
    "/v5/order/cancel": "order.cancel",
    "/v5/order/create-batch": "order.create-batch",
    "/v5/order/amend-batch": "order.amend-batch",
    "/v5/order/cancel-batch": "order.cancel-batch",
}
"""Operation by the path of the same request over REST."""
_RESTARTING = 10019


class BybitEntry(NothingToAsk):
    """The entry codec of one account."""

    venue = BYBIT
    plan = EntryPlan(
        path="/v5/trade",
        login=True,
        ping=b'{"op":"ping"}',
        ping_every_ns=20 * SECOND_NS,
        life_ns=23 * 3600 * SECOND_NS,
    )

    def login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """``GET/realtime`` and when it ends to be good, signed."""
        return bybit_login(credentials, ts_ms)

    def frame(self, request: WireRequest, request_id: str, credentials: Credentials, ts_ms: int) -> bytes:
        """See `EntryDialect`."""
        del credentials
        op = OPS.get(request.path) if request.method == "POST" else None
        if op is None:
            return b""
        header = {"X-BAPI-TIMESTAMP": str(ts_ms), "X-BAPI-RECV-WINDOW": str(request.recv_window_ms)}
        body = {"reqId": request_id, "header": header, "op": op, "args": [msgspec.Raw(request.body)]}
        return msgspec.json.encode(body)

    def read(self, payload: bytes, ts_ns: int) -> tuple[EntryWord, ...]:
        """See `EntryDialect`."""
        try:
            return self._read(r.row(r.parse(payload)), ts_ns)
        except r.BadReply:
            return (EntryAlive(),)

    def _read(self, source: r.Row, ts_ns: int) -> tuple[EntryWord, ...]:
        code, op = source.get("retCode"), source.get("op")
        text = said(str(code), r.text_or(source, "retMsg"))
        if op == "auth":
            return (EntryGranted(),) if code == 0 else (EntryRefused(text=text),)
        request_id = r.text_or(source, "reqId")
        if not request_id or op == "pong" or not isinstance(code, int):
            return (EntryAlive(),)
        if code == _RESTARTING or verdict_of(code) is Verdict.AUTH:
            # Whether it is the key or only this session, REST will tell.
            return (EntryUnread(request_id=request_id, reason=text, over=True),)
        return (EntryAnswered(request_id, _as_http(source, ts_ns)),)


def _as_http(source: r.Row, ts_ns: int) -> HttpAnswer:
    said_in_header = source.get("header")
    header: dict[str, Any] = said_in_header if isinstance(said_in_header, dict) else {}
    body = {
        "retCode": source.get("retCode"),
        "retMsg": source.get("retMsg", ""),
        "result": source.get("data", {}),
        "retExtInfo": source.get("retExtInfo", {}),
        "time": header.get("Timenow") or str(ts_ns // MS_NS),
    }
    headers = {str(name).lower(): str(value) for name, value in header.items()}
    return HttpAnswer(status=200, headers=headers, body=msgspec.json.encode(body), ts_ns=ts_ns)
