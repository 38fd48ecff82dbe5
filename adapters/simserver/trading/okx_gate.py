"""Who gets through to OKX's private endpoints: key, passphrase, signature, clock, and the limits by endpoint.

"REST Authentication", "Rate limits" and "Error Code", okx.com/docs-v5 (read 2026-11). A request is good for 30 seconds.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import msgspec

from adapters.okx.encode import refusal as said
from adapters.simserver.dialect import RestRefused
from adapters.simserver.order_faults import AuthFailure, OrderStorm
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.keys import same
from adapters.simserver.trading.limits import Window
from adapters.simserver.trading.wire import TradeReply, TradeRequest

GOOD_FOR_MS = 30_000
EVERY_S = 2
LIMITS = {
    "/api/v5/trade/order": 60,
    "/api/v5/trade/cancel-order": 60,
    "/api/v5/trade/amend-order": 60,
    "/api/v5/trade/batch-orders": 300,
    "/api/v5/trade/cancel-batch-orders": 300,
    "/api/v5/trade/amend-batch-orders": 300,
    "/api/v5/account/balance": 10,
    "/api/v5/account/positions": 10,
    "/api/v5/trade/fills-history": 10,
    "/api/v5/trade/orders-history-archive": 20,
}
"""Requests in two seconds; batches count each order. Everything else: 60."""
BY_INSTRUMENT = frozenset(path for path in LIMITS if path.startswith("/api/v5/trade/") and "history" not in path)
"""Counted by "User ID + Instrument ID" (docs-v5, the "Rate limit rule" of each endpoint, 2026-11)."""

_body = msgspec.json.Decoder(dict[str, object] | list[dict[str, object]]).decode
_encode = msgspec.json.encode


class OkxGate:
    """The gate of one server."""

    def __init__(self, account: TradingAccount) -> None:
        self._account = account
        self._windows: dict[str, Window] = {}

    def refused(self, code: str, msg: str, status: int = 200) -> RestRefused:
        """An error in the venue's words."""
        return RestRefused(status, said(code, msg))

    def signed(self, request: TradeRequest) -> dict[str, str] | list[dict[str, str]]:
        """Parameters of a signed request: of the query on GET; of the JSON body, which may be a list, on POST."""
        body = request.body.decode("utf-8", "replace")
        if request.spoken:
            self._check_fault(request.path)
            self._check_fault(f"ws:{request.path}")
        else:
            self._prove(request, body)
        if request.method == "GET":
            fields: dict[str, str] | list[dict[str, str]] = request.query
        else:
            try:
                decoded = _body(request.body or b"{}")
            except msgspec.MsgspecError:
                raise self.refused("50002", "JSON syntax error", 400) from None
            fields = [_texts(one) for one in decoded] if isinstance(decoded, list) else _texts(decoded)
        rows = fields if isinstance(fields, list) else [fields]
        by_instrument = request.path in BY_INSTRUMENT
        for instrument, amount in Counter(self._listed(row) if by_instrument else "" for row in rows).items():
            self._count(request.method, request.path, instrument, amount)
        return fields

    def _listed(self, row: dict[str, str]) -> str:
        """The instrument of a row; "" for one that is not listed here, so that nobody makes windows without end."""
        instrument = row.get("instId", "")
        return instrument if instrument in self._account.markets else ""

    def one(self, request: TradeRequest) -> dict[str, str]:
        """The same where a list makes no sense."""
        fields = self.signed(request)
        if isinstance(fields, list):
            raise self.refused("50002", "JSON syntax error", 400)
        return fields

    def _prove(self, request: TradeRequest, body: str) -> None:
        headers, credentials = request.headers, self._account.credentials
        names = ("OK-ACCESS-KEY", "OK-ACCESS-PASSPHRASE", "OK-ACCESS-SIGN", "OK-ACCESS-TIMESTAMP")
        api_key, passphrase, sign, stamp = (headers.get(name, "") for name in names)
        codes = dict(zip(names, ("50103", "50104", "50106", "50107"), strict=True))
        for name in names:
            if not headers.get(name):
                raise self.refused(codes[name], f"Request header {name} can not be empty.", 401)
        if api_key != credentials.api_key:
            raise self.refused("50111", "Invalid OK-ACCESS-KEY", 401)
        self._check_fault(request.path)
        if passphrase != credentials.passphrase:
            raise self.refused("50105", "Request header OK-ACCESS-PASSPHRASE incorrect.", 401)
        try:
            at_ms = round(datetime.fromisoformat(stamp).astimezone(UTC).timestamp() * 1000)
        except ValueError:
            raise self.refused("50112", "Invalid OK-ACCESS-TIMESTAMP", 401) from None
        if abs(self._account.venue_ms() - at_ms) > GOOD_FOR_MS:
            raise self.refused("50102", "Timestamp request expired", 401)
        if not same(credentials.base64_digest(stamp + request.method + request.target + body), sign):
            raise self.refused("50113", "Invalid Sign", 401)

    def _check_fault(self, path: str) -> None:
        if self._account.faults.take(AuthFailure, path):
            raise self.refused("50111", "Invalid OK-ACCESS-KEY", 401)

    def _count(self, method: str, path: str, instrument: str, amount: int) -> None:
        window = self._windows.setdefault(f"{method} {path} {instrument}", Window(path, EVERY_S, LIMITS.get(path, 60)))
        storm = self._account.faults.find(OrderStorm, path) if method == "POST" else None
        window.others = 0 if storm is None else storm.orders
        if storm is not None:
            self._account.faults.note(storm, path)
        if not window.add(self._account.now_ns(), amount):
            raise self.refused("50011", "Too Many Requests", 429)

    def rows(
        self, rows: list[dict[str, object]], *, code: str = "0", msg: str = "", accepted: bool = False
    ) -> TradeReply:
        """A good reply, or one whose rows say what failed."""
        now_us = self._account.venue_ms() * 1000
        body = {"code": code, "msg": msg, "data": rows}
        if accepted or code != "0":
            body |= {"inTime": str(now_us), "outTime": str(now_us)}
        return TradeReply(body=_encode(body), accepted=accepted)


def _texts(fields: dict[str, object]) -> dict[str, str]:
    """Values as texts; numbers and booleans are taken too, as the venue does."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in fields.items()
        if value is not None
    }
