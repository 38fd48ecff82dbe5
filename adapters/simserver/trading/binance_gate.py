"""Who gets through to Binance's signed endpoints: key, signature, time window, weight and order counts, bans.

"Request security", "LIMITS" and "Error codes" of binance-spot-api-docs and developers.binance.com derivatives (read
2026-11). Weights are the documented ones of the endpoints that are served here; an unknown one weighs 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.simserver.binance_rest import ORDER_LIMITS
from adapters.simserver.dialect import RestRefused
from adapters.simserver.order_faults import AuthFailure, OrderStorm
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.keys import same, signed_part
from adapters.simserver.trading.limits import Ban, Window
from adapters.simserver.trading.wire import TradeRequest, pairs

RECV_WINDOW_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
AHEAD_MS = 1_000
WEIGHTS = {SPOT: 6_000, USDM: 2_400, COINM: 2_400}
_SECONDS = {"SECOND": 1, "MINUTE": 60, "DAY": 86_400}

_READS = {
    "order": {SPOT: 4},
    "openOrders": {SPOT: 6},
    "account": {SPOT: 20, USDM: 5, COINM: 5},
    "balance": {USDM: 5, COINM: 1},
    "positionRisk": {USDM: 5, COINM: 1},
    "myTrades": {SPOT: 20},
    "userTrades": {USDM: 5, COINM: 20},
    "allOrders": {SPOT: 20, USDM: 5, COINM: 20},
    "income": {USDM: 30, COINM: 20},
    "dual": {USDM: 30, COINM: 30},
    "symbolConfig": {USDM: 5},
}
_WRITES = {
    ("POST", "countdownCancelAll"): {USDM: 10, COINM: 10},
    ("POST", "batchOrders"): {USDM: 5, COINM: 5},
    ("PUT", "batchOrders"): {USDM: 5, COINM: 5},
    # What futures count by order they do not weigh.
    ("POST", "order"): {USDM: 0, COINM: 0},
    ("PUT", "order"): {USDM: 0},
    ("POST", "algoOrder"): {USDM: 0, COINM: 0},
}
_encode = msgspec.json.encode


def refused(code: int, msg: str, status: int = 400, headers: Mapping[str, str] | None = None) -> RestRefused:
    """An error in the venue's words."""
    return RestRefused(status, _encode({"code": code, "msg": msg}), headers)


class BinanceGate:
    """The gate of one server. There is one key, so limits of address and account are the same here."""

    def __init__(self, venue: str, account: TradingAccount) -> None:
        self.venue = venue
        self._account = account
        self._weight = Window("1M", 60, WEIGHTS[venue])
        self._orders = [_window(rule) for rule in ORDER_LIMITS[venue]]
        self._ban = Ban()

    @property
    def weight_limit(self) -> int:
        """Weight that a minute allows."""
        return self._weight.limit

    # --- Keys ----------------------------------------------------------------------------------------

    def known(self, request: TradeRequest) -> dict[str, str]:
        """Parameters of a request that needs a key and no signature."""
        self._count(request)
        self._check_key(request.headers.get("X-MBX-APIKEY", ""), request.path)
        return pairs(request.raw_query) | pairs(request.body.decode("utf-8", "replace"))

    def signed(self, request: TradeRequest) -> dict[str, str]:
        """Parameters of a signed request. Raises in the venue's words where it is not."""
        body = request.body.decode("utf-8", "replace")
        self._count(request)
        if request.spoken:
            fields = request.query
            self.prove_fields(fields, request.path)
            self._check_key(fields["apiKey"], f"ws:{request.path}")
            return fields
        self._check_key(request.headers.get("X-MBX-APIKEY", ""), request.path)
        query, in_query = signed_part(request.raw_query)
        form, in_body = signed_part(body)
        fields = pairs(form) | pairs(query)
        self._check_time(fields)
        self._check_signature(query + form, in_query or in_body)
        return fields

    def prove_fields(self, fields: Mapping[str, str], path: str = "/ws-api/v3") -> None:
        """The same for the WebSocket API: fields sorted by name are what is signed."""
        self._check_key(fields.get("apiKey", ""), path)
        self._check_time(fields)
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "signature")
        self._check_signature(text, fields.get("signature", ""))

    def _check_key(self, api_key: str, path: str) -> None:
        if not api_key:
            raise refused(-2014, "API-key format invalid.", 401)
        if api_key != self._account.credentials.api_key or self._account.faults.take(AuthFailure, path):
            raise refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)

    def _check_time(self, fields: Mapping[str, str]) -> None:
        stamp, window = fields.get("timestamp", ""), fields.get("recvWindow", str(RECV_WINDOW_MS))
        if not stamp.isdigit():
            text = "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."
            raise refused(-1102, text)
        if not window.isdigit() or int(window) > RECV_WINDOW_MAX_MS:
            raise refused(-1131, f"recvWindow must be less than {RECV_WINDOW_MAX_MS}")
        now_ms = self._account.venue_ms()
        if int(stamp) >= now_ms + AHEAD_MS:
            raise refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now_ms - int(stamp) > int(window):
            raise refused(-1021, "Timestamp for this request is outside of the recvWindow.")

    def _check_signature(self, text: str, signature: str) -> None:
        if not signature:
            raise refused(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
        if not same(self._account.credentials.hex_digest(text), signature):
            raise refused(-1022, "Signature for this request is not valid.")

    # --- Limits --------------------------------------------------------------------------------------

    def _count(self, request: TradeRequest) -> None:
        now_ns = self._account.now_ns()
        banned_s = self._ban.left_s(now_ns)
        if banned_s:
            raise self._banned(banned_s)
        if not self._weight.add(now_ns, self._weight_of(request)):
            self._violated(now_ns)
            text = f"Too many requests; current limit of IP(127.0.0.1) is {self._weight.limit} requests per minute."
            raise refused(-1003, text, 429, {"Retry-After": str(self._weight.ends_s(now_ns))})

    def _weight_of(self, request: TradeRequest) -> int:
        name = request.path.rpartition("/")[2]
        if request.method != "GET":
            return _WRITES.get((request.method, name), {}).get(self.venue, 1)
        if name in {"openOrders", "openAlgoOrders"} and "symbol=" not in request.raw_query:
            return 80 if self.venue == SPOT else 40
        return _READS.get(name, {}).get(self.venue, 1)

    def count_orders(self, path: str, orders: int = 1) -> None:
        """New orders against the limits of orders; another client may use them too."""
        now_ns = self._account.now_ns()
        storm = self._account.faults.find(OrderStorm, path)
        for window in self._orders:
            window.others = 0 if storm is None else storm.orders
        if storm is not None:
            self._account.faults.note(storm, path)
        over = [window for window in self._orders if not window.add(now_ns, orders)]
        if over:
            self._violated(now_ns)
            window = over[0]
            text = f"Too many new orders; current limit is {window.limit} orders per {window.name}."
            raise refused(-1015, text, 429, {"Retry-After": str(window.ends_s(now_ns))} | self.headers(orders=True))

    def _violated(self, now_ns: int) -> None:
        if self._ban.violated(now_ns):
            raise self._banned(self._ban.left_s(now_ns))

    def _banned(self, left_s: int) -> RestRefused:
        until_ms = self._account.venue_ms() + left_s * 1000
        text = f"Way too many requests; IP(127.0.0.1) banned until {until_ms}."
        return refused(-1003, text, 418, {"Retry-After": str(left_s)})

    def headers(self, *, orders: bool) -> dict[str, str]:
        """What is used of the limits, as every reply says it; replies to orders count orders too."""
        now_ns = self._account.now_ns()
        used = str(self._weight.used(now_ns))
        said = {"X-MBX-USED-WEIGHT-1M": used}
        if self.venue == SPOT:
            said["X-MBX-USED-WEIGHT"] = used
        if orders:
            said |= {f"X-MBX-ORDER-COUNT-{window.name}": str(window.used(now_ns)) for window in self._orders}
        return said

    def order_counts(self) -> list[dict[str, object]]:
        """``rateLimit/order``."""
        now_ns = self._account.now_ns()
        rules = zip(ORDER_LIMITS[self.venue], self._orders, strict=True)
        return [{**rule, "count": window.used(now_ns)} for rule, window in rules]


def _window(rule: Mapping[str, object]) -> Window:
    """A limit of exchangeInfo; the headers call it ``10S``, ``1M``, ``1D``."""
    interval, number = str(rule["interval"]), int(str(rule["intervalNum"]))
    return Window(f"{number}{interval[0]}", number * _SECONDS[interval], int(str(rule["limit"])))
