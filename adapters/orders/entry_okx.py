"""OKX v5: orders as operations on the private WebSocket.

Sources: okx.com/docs-v5 "Order Book Trading / Trade / WS / Place order", "Place multiple orders", "Cancel order",
"Cancel multiple orders", "Amend order", "Amend multiple orders", "WebSocket / Login", "Error Code / WebSocket", and the
changelog of 2026-02 (read 2026-11):

- ``id`` (letters and digits, at most 32) comes back with the answer, whose ``code`` and ``data`` are those of REST.
- Instruments are named by ``instIdCode``, a number of the instruments list; ``instId`` is not taken any more.
- ``expTime`` drops a placement or amendment that arrives late. Limits are shared with REST.
- A connection on which nothing is said for 30 s is cut; the client says ``ping``. ``notice`` 64008 comes before a
  maintenance cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from adapters.okx.instruments import OKX, type_of
from adapters.orders import reading as r
from adapters.orders.entry import (
    EntryAlive,
    EntryAnswered,
    EntryClosing,
    EntryGranted,
    EntryPlan,
    EntryRefused,
    EntryUnread,
    EntryWord,
)
from adapters.orders.logins import okx_login
from adapters.orders.okx_codes import verdict_of
from adapters.orders.replies import Verdict, said
from adapters.orders.wire import (
    ENTRIES,
    SECOND_NS,
    Credentials,
    HttpAnswer,
    Signing,
    WireKind,
    WireRequest,
    wire_request,
)
from trading.instruments import Instrument

OPS = {
    "/api/v5/trade/order": "order",
    "/api/v5/trade/cancel-order": "cancel-order",
    "/api/v5/trade/amend-order": "amend-order",
    "/api/v5/trade/batch-orders": "batch-orders",
    "/api/v5/trade/cancel-batch-orders": "batch-cancel-orders",
    "/api/v5/trade/amend-batch-orders": "batch-amend-orders",
}
"""Operation by the path of the same request over REST."""
_NOT_LOGGED_IN = "60011"
_MOVING = "64008"
_body = msgspec.json.Decoder(dict[str, Any] | list[dict[str, Any]]).decode


class OkxEntry:
    """The entry codec of one account."""

    venue = OKX
    plan = EntryPlan(
        path="/ws/v5/private",
        login=True,
        ping=b"ping",
        ping_every_ns=15 * SECOND_NS,
        life_ns=23 * 3600 * SECOND_NS,
    )

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(one for one in instruments if one.venue == OKX)
        self._codes: dict[str, int] = {}

    def preparation(self) -> tuple[WireRequest, ...]:
        """The list of each type of instrument that we trade: there their codes are."""
        types = dict.fromkeys(type_of(one) for one in self._instruments)
        return tuple(
            wire_request(
                "GET",
                "/api/v5/public/instruments",
                WireKind.ACCOUNT,
                query=urlencode({"instType": kind}),
                signing=Signing.NONE,
            )
            for kind in types
        )

    def prepare(self, answer: HttpAnswer) -> str:
        """Keep the codes of our instruments."""
        wanted = {one.symbol for one in self._instruments}
        try:
            rows = r.rows(r.row(r.parse(answer.body)).get("data"), "data")
            for row in rows:
                name, code = r.text_or(row, "instId"), str(row.get("instIdCode", ""))
                if name in wanted and code.isascii() and code.isdigit():
                    self._codes[name] = int(code)
        except r.BadReply as bad:
            return f"HTTP {answer.status}, but {bad}"
        return "" if rows else f"HTTP {answer.status} without instruments"

    def login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """Seconds, method and path of the login, signed."""
        return okx_login(credentials, ts_ms)

    def frame(self, request: WireRequest, request_id: str, credentials: Credentials, ts_ms: int) -> bytes:
        """See `EntryDialect`; b"" too for an instrument whose code is not known."""
        del credentials
        op = OPS.get(request.path) if request.method == "POST" else None
        if op is None:
            return b""
        fields = _body(request.body)
        args = []
        for row in fields if isinstance(fields, list) else [fields]:
            code = self._codes.get(row.pop("instId", ""))
            if code is None:
                return b""
            args.append({"instIdCode": code, **row})
        frame: dict[str, Any] = {"id": request_id, "op": op, "args": args}
        if request.kind in ENTRIES:
            frame["expTime"] = str(ts_ms + request.recv_window_ms)
        return msgspec.json.encode(frame)

    def read(self, payload: bytes, ts_ns: int) -> tuple[EntryWord, ...]:
        """See `EntryDialect`."""
        if payload == b"pong":
            return (EntryAlive(),)
        try:
            return self._read(r.row(r.parse(payload)), payload, ts_ns)
        except r.BadReply:
            return (EntryAlive(),)

    def _read(self, source: r.Row, payload: bytes, ts_ns: int) -> tuple[EntryWord, ...]:
        request_id, code = r.text_or(source, "id"), r.text_or(source, "code")
        text = said(code, r.text_or(source, "msg"))
        match source.get("event"):
            case "login":
                return (EntryGranted(),) if code == "0" else (EntryRefused(text=text),)
            case "error" if not request_id:
                return (EntryRefused(text=text),)
            case "notice":
                return (EntryClosing(text=text),) if code == _MOVING else (EntryAlive(),)
            case _:
                pass
        if not request_id:
            return (EntryAlive(),)
        if code == _NOT_LOGGED_IN or verdict_of(code) is Verdict.AUTH:
            # Whether it is the key or only this login, REST will tell.
            return (EntryUnread(request_id=request_id, reason=text, over=True),)
        return (EntryAnswered(request_id, HttpAnswer(status=200, body=payload, ts_ns=ts_ns)),)
