"""Binance spot, USD-M and COIN-M: orders as methods of the WebSocket APIs.

Sources: binance-spot-api-docs/web-socket-api.md "Request format", "Response format", "Rate limits", "Request security",
"Trading requests"; developers.binance.com derivatives "Websocket API General Info", "New Order", "Modify Order",
"Cancel Order" of USD-M and COIN-M (read 2026-11):

- ``id`` comes back with the answer; ``status`` and ``result`` or ``error`` are those of REST, ``rateLimits`` its
  headers. Limits are shared with REST; 418 and 429 say ``retryAfter`` in the error's ``data``, UTC ms.
- Each request is signed: HMAC SHA256 over the parameters sorted by name, hex. Logging on once wants an Ed25519 key.
- A connection is cut after 24 hours; spot says ``serverShutdown`` before. The server pings every 20 s to 3 min.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.orders import reading as r
from adapters.orders.binance_codes import verdict_of
from adapters.orders.digests import hmac_hex
from adapters.orders.entry import (
    EntryAlive,
    EntryAnswered,
    EntryClosing,
    EntryPlan,
    EntryUnread,
    EntryWord,
    NothingToAsk,
)
from adapters.orders.replies import Verdict, said
from adapters.orders.wire import MS_NS, SECOND_NS, Credentials, HttpAnswer, WireRequest

_FUTURES = {"POST": "order.place", "PUT": "order.modify", "DELETE": "order.cancel"}
METHODS: dict[str, dict[tuple[str, str], str]] = {
    SPOT: {
        ("POST", "/api/v3/order"): "order.place",
        ("DELETE", "/api/v3/order"): "order.cancel",
        ("POST", "/api/v3/order/cancelReplace"): "order.cancelReplace",
    },
    USDM: {(method, "/fapi/v1/order"): name for method, name in _FUTURES.items()},
    COINM: {(method, "/dapi/v1/order"): name for method, name in _FUTURES.items()},
}
"""The WebSocket API's method by that and the path of the same request over REST."""
_PATHS = {SPOT: "/ws-api/v3", USDM: "/ws-fapi/v1", COINM: "/ws-dapi/v1"}
_INTERVALS = {"SECOND": "S", "MINUTE": "M", "HOUR": "H", "DAY": "D"}


class BinanceEntry(NothingToAsk):
    """The entry codec of one account at one of `adapters.binance.instruments.VENUES`."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.plan = EntryPlan(
            path=_PATHS[venue],
            login=False,
            ping=b"",
            ping_every_ns=20 * SECOND_NS,
            life_ns=23 * 3600 * SECOND_NS,
        )

    def login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """None: each request is signed."""
        del credentials, ts_ms
        return b""

    def frame(self, request: WireRequest, request_id: str, credentials: Credentials, ts_ms: int) -> bytes:
        """See `EntryDialect`."""
        method = METHODS[self.venue].get((request.method, request.path))
        if method is None:
            return b""
        params: dict[str, Any] = dict(parse_qsl(request.query or request.body.decode(), keep_blank_values=True))
        params |= {"apiKey": credentials.api_key, "recvWindow": request.recv_window_ms, "timestamp": ts_ms}
        words = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = hmac_hex(credentials.secret, words)
        return msgspec.json.encode({"id": request_id, "method": method, "params": params})

    def read(self, payload: bytes, ts_ns: int) -> tuple[EntryWord, ...]:
        """See `EntryDialect`."""
        try:
            return self._read(r.row(r.parse(payload)), ts_ns)
        except r.BadReply:
            return (EntryAlive(),)

    def _read(self, source: r.Row, ts_ns: int) -> tuple[EntryWord, ...]:
        event, request_id, status = source.get("event"), source.get("id"), source.get("status")
        if isinstance(event, dict) and event.get("e") == "serverShutdown":
            return (EntryClosing(text="serverShutdown"),)
        if not isinstance(request_id, str) or not isinstance(status, int):
            return (EntryAlive(),)
        error = source.get("error")
        code = error.get("code") if isinstance(error, dict) else 0
        if status < 500 and isinstance(code, int) and verdict_of(self.venue, code, "") is Verdict.AUTH:
            # Whether it is the key or only its use over WebSocket, REST will tell.
            text = said(str(code), r.text_or(r.row(error), "msg"))
            return (EntryUnread(request_id=request_id, reason=text, over=True),)
        body = source.get("result") if error is None else error
        answer = HttpAnswer(
            status=status, headers=_headers(source, error, ts_ns), body=msgspec.json.encode(body), ts_ns=ts_ns
        )
        return (EntryAnswered(request_id, answer),)


def _headers(source: r.Row, error: object, ts_ns: int) -> dict[str, str]:
    """What REST says of limits in headers: ``x-mbx-used-weight-1m``, ``x-mbx-order-count-10s``, ``retry-after``."""
    headers: dict[str, str] = {}
    rows = source.get("rateLimits")
    for row in rows if isinstance(rows, list) else []:
        unit = _INTERVALS.get(str(row.get("interval"))) if isinstance(row, dict) else None
        if unit is None or not isinstance(row.get("count"), int):
            continue
        name = "order-count" if row.get("rateLimitType") == "ORDERS" else "used-weight"
        headers[f"x-mbx-{name}-{row.get('intervalNum', 1)}{unit}".lower()] = str(row["count"])
    data = error.get("data") if isinstance(error, dict) else None
    until_ms = data.get("retryAfter") if isinstance(data, dict) else None
    if isinstance(until_ms, int):
        headers["retry-after"] = str(max(0, -(-(until_ms - ts_ns // MS_NS) // 1_000)))
    return headers
