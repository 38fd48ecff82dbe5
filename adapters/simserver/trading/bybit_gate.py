"""Who gets through to Bybit's signed endpoints: key, signature, time window, and the rate limits by endpoint.

"Authentication" and "Rate Limit Rules", bybit-exchange.github.io/docs/v5/guide (read 2026-11). Refusals are HTTP 200
with a retCode; only the limit of an address is HTTP 403.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.bybit.encode import refusal as said
from adapters.bybit.encode import reply
from adapters.simserver.dialect import RestRefused
from adapters.simserver.order_faults import AuthFailure, OrderStorm
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.keys import same
from adapters.simserver.trading.limits import Window
from adapters.simserver.trading.wire import TradeReply, TradeRequest

AHEAD_MS = 1_000
RECV_WINDOW_MS = 5_000
ADDRESS_LIMIT = 600
ADDRESS_EVERY_S = 5
LIMITS = {
    "/v5/order/create": 20,
    "/v5/order/amend": 20,
    "/v5/order/cancel": 20,
    "/v5/order/cancel-all": 20,
    "/v5/order/create-batch": 20,
    "/v5/order/amend-batch": 20,
    "/v5/order/cancel-batch": 20,
}
"""Requests a second; batches count each order. Everything else: 50."""

_fields = msgspec.json.Decoder(dict[str, object]).decode


class BybitGate:
    """The gate of one server."""

    def __init__(self, account: TradingAccount) -> None:
        self._account = account
        self._windows: dict[str, Window] = {}
        self._address = Window("5s", ADDRESS_EVERY_S, ADDRESS_LIMIT)

    def refused(self, code: int, msg: str) -> RestRefused:
        """An error in the venue's words."""
        return RestRefused(200, said(code, msg, self._account.venue_ms()))

    def signed(self, request: TradeRequest) -> dict[str, object]:
        """Parameters of a signed request: of the query on GET, of the JSON body on POST."""
        now_ns = self._account.now_ns()
        if not self._address.add(now_ns):
            raise RestRefused(403, said(10018, "access too frequent", self._account.venue_ms()))
        post = request.method == "POST"
        payload = request.body.decode("utf-8", "replace") if post else request.raw_query
        if request.spoken:
            self._check_window(request.headers)
            for topic in (request.path, f"ws:{request.path}"):
                self.check_key(self._account.credentials.api_key, topic)
        else:
            self._prove(request, payload)
        if not post:
            fields: dict[str, object] = dict(request.query)
        else:
            try:
                fields = _fields(request.body)
            except msgspec.MsgspecError:
                raise self.refused(10001, "params error: request body is not JSON") from None
        orders = fields.get("request")
        self._count(request.path, len(orders) if isinstance(orders, list) else 1)
        return fields

    def _prove(self, request: TradeRequest, payload: str) -> None:
        headers, credentials = request.headers, self._account.credentials
        api_key, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
        window = headers.get("X-BAPI-RECV-WINDOW", str(RECV_WINDOW_MS))
        if not stamp.isdigit() or not window.isdigit():
            raise self.refused(10001, "params error: X-BAPI-TIMESTAMP is not a number")
        self.check_key(api_key, request.path)
        self._check_window(headers)
        origin = stamp + api_key + window + payload
        if not same(credentials.hex_digest(origin), headers.get("X-BAPI-SIGN", "")):
            raise self.refused(10004, f"error sign! origin_string[{origin[:200]}]")

    def _check_window(self, headers: Mapping[str, str]) -> None:
        stamp, window = headers.get("X-BAPI-TIMESTAMP", ""), headers.get("X-BAPI-RECV-WINDOW", str(RECV_WINDOW_MS))
        if not stamp.isdigit() or not window.isdigit():
            raise self.refused(10001, "params error: X-BAPI-TIMESTAMP is not a number")
        now_ms = self._account.venue_ms()
        if not now_ms - int(window) <= int(stamp) < now_ms + AHEAD_MS:
            text = "invalid request, please check your server timestamp or recv_window param. "
            text += f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]"
            raise self.refused(10002, text)

    def check_key(self, api_key: str, path: str) -> None:
        """Whether the key is the account's, and is not refused by a fault."""
        if api_key != self._account.credentials.api_key or self._account.faults.take(AuthFailure, path):
            raise self.refused(10003, "API key is invalid.")

    def _window(self, path: str) -> Window:
        return self._windows.setdefault(path, Window(path, 1, LIMITS.get(path, 50)))

    def _count(self, path: str, amount: int) -> None:
        window = self._window(path)
        storm = self._account.faults.find(OrderStorm, path) if path in LIMITS else None
        window.others = 0 if storm is None else storm.orders
        if storm is not None:
            self._account.faults.note(storm, path)
        if not window.add(self._account.now_ns(), amount):
            body = said(10006, "Too many visits. Exceeded the API Rate Limit.", self._account.venue_ms())
            raise RestRefused(200, body, self.headers(path))

    def headers(self, path: str) -> dict[str, str]:
        """What is left of the endpoint's limit."""
        window, now_ns = self._window(path), self._account.now_ns()
        return {
            "X-Bapi-Limit": str(window.limit),
            "X-Bapi-Limit-Status": str(window.left(now_ns)),
            "X-Bapi-Limit-Reset-Timestamp": str(self._account.wire_ms(window.ends_ms(now_ns) * 1_000_000)),
        }

    def answer(self, path: str, result: object, *, accepted: bool = False, info: object = None) -> TradeReply:
        """A good reply; ``info`` is what batches say of each item."""
        body = reply(result, self._account.venue_ms())
        if info is not None:
            whole = _fields(body)
            whole["retExtInfo"] = {"list": info}
            body = msgspec.json.encode(whole)
        return TradeReply(body=body, headers=self.headers(path), accepted=accepted)
