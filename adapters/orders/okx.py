"""OKX v5: orders over signed REST, the private stream, batches, cancel-all-after.

Sources: okx.com/docs-v5 "REST Authentication", "Place order", "Amend order", "Cancel order", "Place multiple orders",
"Cancel All After", "Get account configuration", "WebSocket: Login" (read 2026-11):

- Signature: HMAC SHA256, base64, over ISO time stamp, method, path with query, and body; demo trading is a header.
- ``expTime`` drops a placement or amendment that arrives late. Answers to cancels and amendments say that the request
  was taken; what became of it the order channel says.
- Amending keeps ``clOrdId``; ``reqId`` names the amendment. There is no cancel-all: orders are canceled by id.
- Contracts are traded in cross margin and net mode; on spot ``sz`` of a market order is said to be base currency.
- The dead man's switch covers the account, 10 to 120 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from adapters.okx.instruments import OKX, type_of
from adapters.orders import okx_algo as algo
from adapters.orders import reading as r
from adapters.orders.account import AccountCursor, AccountPart, AccountRead, KnownOrders, Parts, Reading, Unreadable
from adapters.orders.dialect import BatchCommand, StreamPlan
from adapters.orders.digests import hmac_base64
from adapters.orders.logins import okx_login
from adapters.orders.news import UserEvent
from adapters.orders.okx_account import OkxAccount
from adapters.orders.okx_answers import batch_replies, reply_to, trouble_of
from adapters.orders.okx_read import decode_user, id_out
from adapters.orders.terms import plain_terms, set_apart
from adapters.orders.wire import (
    ENTRIES,
    SECOND_NS,
    CancelAll,
    Countdown,
    Credentials,
    HttpAnswer,
    KeyQuery,
    LeverageQuery,
    ListenKeyRequest,
    ModeQuery,
    OrderEndpoints,
    Reply,
    SignedRequest,
    Signing,
    TimeQuery,
    WireCommand,
    WireKind,
    WireRequest,
    wire_request,
)
from trading.instruments import Instrument, InstrumentKind
from trading.orders import stp
from trading.orders.messages import (
    AccountStateRequest,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
)

REAL = OrderEndpoints(rest="https://www.okx.com", ws="wss://ws.okx.com:8443")
TESTNET = OrderEndpoints(rest="https://www.okx.com", ws="wss://wspap.okx.com:8443", demo=True)

_TYPES = {
    TimeInForce.GTC: "limit",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.GTX: "post_only",
}
_TIMER_S = (10, 120)
_BATCH_MAX = 20
_BATCH_PATHS = {
    NewOrderSingle: ("/api/v5/trade/batch-orders", WireKind.PLACE),
    OrderCancelReplaceRequest: ("/api/v5/trade/amend-batch-orders", WireKind.AMEND),
    OrderCancelRequest: ("/api/v5/trade/cancel-batch-orders", WireKind.CANCEL),
}


class OkxOrders:
    """One account. ``td_mode`` is how contracts are margined."""

    venue = OKX
    family = "okx"
    amends_in_place = True
    cancels_all = False
    stream = StreamPlan(
        listen_key=False,
        login=True,
        channels=("orders", "account", "positions"),
        ping=b"ping",
        ping_every_ns=20 * SECOND_NS,
        life_ns=23 * 3600 * SECOND_NS,
    )

    def __init__(
        self,
        instruments: Sequence[Instrument],
        endpoints: OrderEndpoints | None = None,
        *,
        testnet: bool = False,
        td_mode: str = "cross",
    ) -> None:
        """``endpoints`` overrides the real venue's and its demo's."""
        self.endpoints = endpoints or (TESTNET if testnet else REAL)
        self.instruments = {i.instrument_id: i for i in instruments if i.venue == OKX}
        self._by_symbol = {i.symbol: i for i in self.instruments.values()}
        self._td_mode = td_mode
        types = tuple(dict.fromkeys(type_of(i) for i in self.instruments.values()))
        self._account = OkxAccount(OKX, types, self._by_symbol.get)

    # --- Out -------------------------------------------------------------------------------------------

    def encode(self, command: WireCommand, now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        del now_ms
        match command:
            case NewOrderSingle() if command.trigger is not None:
                instrument = self._instrument(command.instrument_id)
                fields = algo.placement(command, instrument, id_out(command.cl_ord_id), self._td_mode)
                return self._post(algo.PLACE, fields, WireKind.PLACE, orders=1, reduces=command.reduce_only)
            case NewOrderSingle():
                fields = self._placement(command)
                return self._post("/api/v5/trade/order", fields, WireKind.PLACE, orders=1, reduces=command.reduce_only)
            case OrderCancelReplaceRequest():
                return self._post("/api/v5/trade/amend-order", self._amendment(command), WireKind.AMEND, orders=1)
            case OrderCancelRequest() if command.waits:
                symbol = self._instrument(command.instrument_id).symbol
                body = msgspec.json.encode([{"instId": symbol, "algoClOrdId": id_out(command.orig_cl_ord_id)}])
                return wire_request("POST", algo.CANCEL, WireKind.CANCEL, body=body, instrument=symbol)
            case OrderCancelRequest():
                return self._post("/api/v5/trade/cancel-order", self._cancel(command), WireKind.CANCEL)
            case OrderStatusRequest() if command.waits:
                symbol = self._instrument(command.instrument_id).symbol
                return self._get(algo.ASK, {"algoClOrdId": id_out(command.cl_ord_id)}, symbol)
            case OrderStatusRequest():
                symbol = self._instrument(command.instrument_id).symbol
                named = _named(command.order_id, command.cl_ord_id)
                return self._get("/api/v5/trade/order", {"instId": symbol, **named}, symbol)
            case AccountStateRequest():
                raise ValueError("an account is read by several requests: account_requests")
            case _:
                return self._setting(command)

    def _setting(self, command: WireCommand) -> WireRequest:
        match command:
            case CancelAll():
                raise ValueError("CancelAll: OKX has no such request for these accounts; cancel orders by id")
            case Countdown():
                seconds = (
                    min(max(-(-command.timeout_ms // 1_000), _TIMER_S[0]), _TIMER_S[1]) if command.timeout_ms else 0
                )
                return self._post("/api/v5/trade/cancel-all-after", {"timeOut": str(seconds)}, WireKind.SETTING)
            case KeyQuery() | ModeQuery():
                return self._get("/api/v5/account/config", {})
            case LeverageQuery():
                instrument = self._instrument(command.instrument_id)
                if instrument.kind is InstrumentKind.SPOT:
                    raise ValueError("LeverageQuery: spot has no leverage")
                query = {"instId": instrument.symbol, "mgnMode": self._td_mode}
                return self._get("/api/v5/account/leverage-info", query)
            case TimeQuery():
                return wire_request("GET", "/api/v5/public/time", WireKind.QUERY, signing=Signing.NONE)
            case ListenKeyRequest():
                raise ValueError("ListenKeyRequest: OKX logs in by signature")
            case _:
                raise ValueError(f"{type(command).__name__} is not said by a setting")

    def _placement(self, command: NewOrderSingle) -> dict[str, Any]:
        instrument = self._instrument(plain_terms(command).instrument_id)
        limit = command.ord_type is OrdType.LIMIT
        if limit != (command.price is not None) or (command.time_in_force is TimeInForce.GTX and not limit):
            raise ValueError(f"{command.cl_ord_id}: a limit order has a price, a market order has none")
        instrument.lots(command.order_qty)
        spot = instrument.kind is InstrumentKind.SPOT
        fields: dict[str, Any] = {
            "instId": instrument.symbol,
            "tdMode": "cash" if spot else self._td_mode,
            "clOrdId": id_out(command.cl_ord_id),
            "side": "buy" if command.side is Side.BUY else "sell",
            "ordType": _TYPES[command.time_in_force] if limit else "market",
            "sz": r.plain(command.order_qty),
        }
        if command.price is not None:
            instrument.ticks(command.price)
            fields["px"] = r.plain(command.price)
        if spot and not limit:
            fields["tgtCcy"] = "base_ccy"
        if not spot and command.reduce_only:
            fields["reduceOnly"] = "true"
        mode = stp.word(OKX, command.stp)
        if mode is not None:
            fields[mode[0]] = mode[1]
        return fields

    def _amendment(self, command: OrderCancelReplaceRequest) -> dict[str, Any]:
        instrument = self._instrument(plain_terms(command).instrument_id)
        if command.ord_type is not OrdType.LIMIT or command.price is None:
            raise ValueError(f"{command.cl_ord_id}: limit orders only can be amended")
        instrument.lots(command.order_qty)
        instrument.ticks(command.price)
        return {
            "instId": instrument.symbol,
            "clOrdId": id_out(command.orig_cl_ord_id),
            "reqId": id_out(command.cl_ord_id),
            "newSz": r.plain(command.order_qty),
            "newPx": r.plain(command.price),
            "cxlOnFail": False,
        }

    def _cancel(self, command: OrderCancelRequest) -> dict[str, Any]:
        symbol = self._instrument(command.instrument_id).symbol
        return {"instId": symbol, **_named(command.order_id, command.orig_cl_ord_id)}

    def _post(
        self, path: str, fields: Mapping[str, Any], kind: WireKind, *, orders: int = 0, reduces: bool = False
    ) -> WireRequest:
        body, symbol = msgspec.json.encode(fields), str(fields.get("instId", ""))
        return wire_request("POST", path, kind, body=body, orders=orders, instrument=symbol, reduces=reduces)

    def _get(self, path: str, query: Mapping[str, str], symbol: str = "") -> WireRequest:
        return wire_request("GET", path, WireKind.QUERY, query=urlencode(query), instrument=symbol)

    def sign(self, request: WireRequest, credentials: Credentials, ts_ms: int) -> SignedRequest:
        """See `OrderDialect`."""
        target = request.path + (f"?{request.query}" if request.query else "")
        headers: dict[str, str] = {"Content-Type": "application/json"} if request.body else {}
        if self.endpoints.demo:
            headers["x-simulated-trading"] = "1"
        if request.kind in ENTRIES:
            headers["expTime"] = str(ts_ms + request.recv_window_ms)
        if request.signing is not Signing.NONE:
            stamp = iso(ts_ms)
            headers |= {
                "OK-ACCESS-KEY": credentials.api_key,
                "OK-ACCESS-PASSPHRASE": credentials.passphrase,
                "OK-ACCESS-TIMESTAMP": stamp,
                "OK-ACCESS-SIGN": hmac_base64(
                    credentials.secret, f"{stamp}{request.method}{target}{request.body.decode()}"
                ),
            }
        url = f"{self.endpoints.rest}{target}"
        return SignedRequest(method=request.method, url=url, path=request.path, headers=headers, body=request.body)

    # --- In --------------------------------------------------------------------------------------------

    def decode_reply(self, command: WireCommand, answer: HttpAnswer) -> Reply:
        """See `OrderDialect`."""
        return reply_to(command, self.instruments, answer)

    def decode_user(self, payload: bytes, ts_ns: int) -> tuple[UserEvent, ...]:
        """See `OrderDialect`."""
        return decode_user(payload, OKX, self._by_symbol.get, ts_ns)

    # --- The account -----------------------------------------------------------------------------------

    def account_requests(self, cursor: AccountCursor) -> tuple[AccountRead, ...]:
        """See `OrderDialect`."""
        return self._account.first(cursor)

    def account_more(self, cursor: AccountCursor, parts: Parts, known: KnownOrders) -> tuple[AccountRead, ...]:
        """See `OrderDialect`."""
        del cursor
        return self._account.more(parts, known)

    def assemble(
        self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int
    ) -> Reading | Unreadable:
        """See `OrderDialect`."""
        return self._account.assemble(cursor, parts, known, cause, ts_ns)

    def read_problem(self, part: AccountPart) -> Reply | None:
        """See `OrderDialect`."""
        if part.read.key.startswith("order|") and b'"51603"' in part.body:
            return None  # forgotten: an execution without a name
        return trouble_of(AccountStateRequest(venue=OKX, since_exec_seq=0, cause="", ts_init_ns=0), part.answer)

    # --- The stream ------------------------------------------------------------------------------------

    def stream_url(self, listen_key: str) -> str:
        """See `OrderDialect`."""
        del listen_key
        return f"{self.endpoints.ws}/ws/v5/private"

    def stream_login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """Seconds, method and path of the login, signed."""
        return okx_login(credentials, ts_ms)

    def stream_subscribe(self) -> tuple[bytes, ...]:
        """All orders, the balances, all positions."""
        args = [
            {"channel": "orders", "instType": "ANY"},
            {"channel": "account"},
            {"channel": "positions", "instType": "ANY"},
        ]
        return (msgspec.json.encode({"op": "subscribe", "args": args}),)

    # --- Many at once ----------------------------------------------------------------------------------

    def batch_limit(self, command: BatchCommand) -> int:
        """Twenty of any kind."""
        return 1 if set_apart(command) else _BATCH_MAX

    def encode_batch(self, commands: Sequence[BatchCommand], now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        del now_ms
        kinds = {type(command) for command in commands}
        if len(kinds) != 1 or len(commands) > _BATCH_MAX:
            raise ValueError(f"batch: {len(commands)} commands of {len(kinds)} kinds do not go together")
        if any(set_apart(command) for command in commands):
            raise ValueError("batch: orders that wait for a trigger go one at a time")
        path, kind = _BATCH_PATHS[kinds.pop()]
        items = [self._item(command) for command in commands]
        orders = len(items) if kind in ENTRIES else 0
        return wire_request(
            "POST", path, kind, body=msgspec.json.encode(items), orders=orders, instrument=items[0]["instId"]
        )

    def _item(self, command: BatchCommand) -> dict[str, Any]:
        match command:
            case NewOrderSingle():
                return self._placement(command)
            case OrderCancelReplaceRequest():
                return self._amendment(command)
            case OrderCancelRequest():
                return self._cancel(command)

    def decode_batch(self, commands: Sequence[BatchCommand], answer: HttpAnswer) -> tuple[Reply, ...]:
        """See `OrderDialect`."""
        return batch_replies(commands, self.instruments, answer)

    def _instrument(self, instrument_id: str) -> Instrument:
        instrument = self.instruments.get(instrument_id)
        if instrument is None:
            raise ValueError(f"instrument_id: {instrument_id!r} is not traded on {self.venue}")
        return instrument


def _named(order_id: str, cl_ord_id: str) -> dict[str, str]:
    """By which id an order is meant: what a triggered algo order became has no client id."""
    return {"ordId": order_id} if order_id.isdigit() else {"clOrdId": id_out(cl_ord_id)}


def iso(ts_ms: int) -> str:
    """UTC with milliseconds, as OKX signs it."""
    seconds, ms = divmod(ts_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
