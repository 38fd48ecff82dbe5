"""Bybit v5, unified account: orders over signed REST, the private stream, batches, disconnect protection.

Sources: bybit-exchange.github.io/docs/v5 "Integration Guidance", "Place Order", "Amend Order", "Cancel Order", "Cancel
All Orders", "Batch Place Order", "Set Disconnect Cancel All", "Get API Key Information", "Connect" (read 2026-11):

- Signature: HMAC SHA256, hex, over time stamp, key, receive window and query (GET) or body (POST), in ``X-BAPI-*``.
- Answers to placements, amendments and cancels say that the request was taken; what became of it the stream says.
- ``orderLinkId`` is unique for the account; amending keeps it.
- Disconnect protection cancels all when the private connection has been away for a window of 3 to 300 s. It has no
  off: 300 s is the weakest setting.
- An order with ``triggerPrice`` is the same order before and after its trigger: one id, and every list has it.
  ``triggerDirection`` says from which side the price comes; spot has none, so nothing is held for us there.
- Self-trade prevention needs a group of accounts; ``smpType`` is sent and has effect where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from adapters.bybit.instruments import BYBIT
from adapters.orders import reading as r
from adapters.orders.account import AccountCursor, AccountPart, AccountRead, KnownOrders, Parts, Reading, Unreadable
from adapters.orders.bybit_account import BybitAccount
from adapters.orders.bybit_answers import batch_replies, reply_to, trouble_of
from adapters.orders.bybit_read import CHANNELS, decode_user
from adapters.orders.dialect import BatchCommand, StreamPlan
from adapters.orders.digests import hmac_hex
from adapters.orders.logins import bybit_login
from adapters.orders.news import UserEvent
from adapters.orders.terms import limited, plain_terms
from adapters.orders.wire import (
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
from trading.orders import stp, triggers
from trading.orders.messages import (
    AccountStateRequest,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
    TriggerPriceType,
)

REAL = OrderEndpoints(rest="https://api.bybit.com", ws="wss://stream.bybit.com")
TESTNET = OrderEndpoints(rest="https://api-testnet.bybit.com", ws="wss://stream-testnet.bybit.com", demo=True)

_CATEGORY = {
    InstrumentKind.SPOT: "spot",
    InstrumentKind.LINEAR: "linear",
    InstrumentKind.INVERSE: "inverse",
}
_TIF = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.GTX: "PostOnly",
}
_TRIGGER_BY = {
    TriggerPriceType.LAST: "LastPrice",
    TriggerPriceType.MARK: "MarkPrice",
    TriggerPriceType.INDEX: "IndexPrice",
}
_ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_DCP_S = (3, 300)
_BATCH = {"spot": 10, "linear": 20, "inverse": 20}


class BybitOrders:
    """One unified account."""

    venue = BYBIT
    family = "bybit"
    amends_in_place = True
    cancels_all = True
    stream = StreamPlan(
        listen_key=False,
        login=True,
        channels=(CHANNELS,),
        ping=b'{"op":"ping"}',
        ping_every_ns=20 * SECOND_NS,
        life_ns=23 * 3600 * SECOND_NS,
    )

    def __init__(
        self, instruments: Sequence[Instrument], endpoints: OrderEndpoints | None = None, *, testnet: bool = False
    ) -> None:
        """``endpoints`` overrides the real venue's and its testnet's."""
        self.endpoints = endpoints or (TESTNET if testnet else REAL)
        self.instruments = {i.instrument_id: i for i in instruments if i.venue == BYBIT}
        self._by_symbol = {(_CATEGORY[i.kind], i.symbol): i for i in self.instruments.values()}
        categories = tuple(dict.fromkeys(_CATEGORY[i.kind] for i in self.instruments.values()))
        self._account = BybitAccount(BYBIT, categories, self._find)

    def _find(self, category: str, symbol: str) -> Instrument | None:
        return self._by_symbol.get((category, symbol))

    # --- Out -------------------------------------------------------------------------------------------

    def encode(self, command: WireCommand, now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        del now_ms
        match command:
            case NewOrderSingle():
                fields = self._placement(command)
                return self._post("/v5/order/create", fields, WireKind.PLACE, orders=1, reduces=command.reduce_only)
            case OrderCancelReplaceRequest():
                return self._post("/v5/order/amend", self._amendment(command), WireKind.AMEND, orders=1)
            case OrderCancelRequest():
                return self._post("/v5/order/cancel", self._cancel(command), WireKind.CANCEL)
            case OrderStatusRequest():
                instrument = self._instrument(command.instrument_id)
                query = {**_market(instrument), "orderLinkId": _id(command.cl_ord_id)}
                return self._get("/v5/order/realtime", query)
            case AccountStateRequest():
                raise ValueError("an account is read by several requests: account_requests")
            case _:
                return self._setting(command)

    def _setting(self, command: WireCommand) -> WireRequest:
        match command:
            case CancelAll():
                market = _market(self._instrument(command.instrument_id))
                return self._post("/v5/order/cancel-all", market, WireKind.CANCEL_ALL)
            case Countdown():
                seconds = min(max(-(-command.timeout_ms // 1_000), _DCP_S[0]), _DCP_S[1]) if command.timeout_ms else 300
                spot = self._instrument(command.instrument_id).kind is InstrumentKind.SPOT
                fields = {"product": "SPOT" if spot else "DERIVATIVES", "timeWindow": seconds}
                return self._post("/v5/order/disconnected-cancel-all", fields, WireKind.SETTING)
            case KeyQuery():
                return self._get("/v5/user/query-api", {})
            case ModeQuery():
                linear = next((i for i in self.instruments.values() if i.kind is not InstrumentKind.SPOT), None)
                if linear is None:
                    raise ValueError("ModeQuery: spot has no positions")
                return self._get("/v5/position/list", _market(linear))
            case LeverageQuery():
                instrument = self._instrument(command.instrument_id)
                if instrument.kind is InstrumentKind.SPOT:
                    raise ValueError("LeverageQuery: spot has no leverage")
                return self._get("/v5/position/list", _market(instrument))
            case TimeQuery():
                return wire_request("GET", "/v5/market/time", WireKind.QUERY, signing=Signing.NONE)
            case ListenKeyRequest():
                raise ValueError("ListenKeyRequest: Bybit logs in by signature")
            case _:
                raise ValueError(f"{type(command).__name__} is not said by a setting")

    def _placement(self, command: NewOrderSingle) -> dict[str, Any]:
        instrument = self._instrument(command.instrument_id)
        limit = limited(command, instrument.kind)
        if command.time_in_force is TimeInForce.GTX and not limit:
            raise ValueError(f"{command.cl_ord_id}: a market order does not rest")
        instrument.lots(command.order_qty)
        fields: dict[str, Any] = {
            **_market(instrument),
            "side": "Buy" if command.side is Side.BUY else "Sell",
            "orderType": "Limit" if limit else "Market",
            "qty": r.plain(command.order_qty),
            "timeInForce": _TIF[command.time_in_force],
            "orderLinkId": _id(command.cl_ord_id),
        }
        if command.price is not None:
            instrument.ticks(command.price)
            fields["price"] = r.plain(command.price)
        if instrument.kind is InstrumentKind.SPOT:
            if not limit:
                fields["marketUnit"] = "baseCoin"
        else:
            fields["reduceOnly"] = command.reduce_only
            fields["positionIdx"] = 0
        if command.trigger is not None:
            instrument.ticks(command.trigger.trigger_price)
            fields["triggerPrice"] = r.plain(command.trigger.trigger_price)
            fields["triggerDirection"] = 1 if triggers.rises(command.ord_type, command.side) else 2
            fields["triggerBy"] = _TRIGGER_BY[command.trigger.trigger_price_type]
            fields["closeOnTrigger"] = command.trigger.close_on_trigger
        mode = stp.word(BYBIT, command.stp)
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
            **_market(instrument),
            "orderLinkId": _id(command.orig_cl_ord_id),
            "qty": r.plain(command.order_qty),
            "price": r.plain(command.price),
        }

    def _cancel(self, command: OrderCancelRequest) -> dict[str, Any]:
        return {**_market(self._instrument(command.instrument_id)), "orderLinkId": _id(command.orig_cl_ord_id)}

    def _post(
        self, path: str, fields: Mapping[str, Any], kind: WireKind, *, orders: int = 0, reduces: bool = False
    ) -> WireRequest:
        return wire_request("POST", path, kind, body=msgspec.json.encode(fields), orders=orders, reduces=reduces)

    def _get(self, path: str, query: Mapping[str, str]) -> WireRequest:
        return wire_request("GET", path, WireKind.QUERY, query=urlencode(query))

    def sign(self, request: WireRequest, credentials: Credentials, ts_ms: int) -> SignedRequest:
        """See `OrderDialect`."""
        url = f"{self.endpoints.rest}{request.path}" + (f"?{request.query}" if request.query else "")
        headers: dict[str, str] = {"Content-Type": "application/json"} if request.body else {}
        if request.signing is not Signing.NONE:
            said = f"{ts_ms}{credentials.api_key}{request.recv_window_ms}{request.query or request.body.decode()}"
            headers |= {
                "X-BAPI-API-KEY": credentials.api_key,
                "X-BAPI-TIMESTAMP": str(ts_ms),
                "X-BAPI-RECV-WINDOW": str(request.recv_window_ms),
                "X-BAPI-SIGN": hmac_hex(credentials.secret, said),
            }
        return SignedRequest(method=request.method, url=url, path=request.path, headers=headers, body=request.body)

    # --- In --------------------------------------------------------------------------------------------

    def decode_reply(self, command: WireCommand, answer: HttpAnswer) -> Reply:
        """See `OrderDialect`."""
        return reply_to(command, self.instruments, answer)

    def decode_user(self, payload: bytes, ts_ns: int) -> tuple[UserEvent, ...]:
        """See `OrderDialect`."""
        return decode_user(payload, BYBIT, self._find, ts_ns)

    # --- The account -----------------------------------------------------------------------------------

    def account_requests(self, cursor: AccountCursor) -> tuple[AccountRead, ...]:
        """See `OrderDialect`."""
        return self._account.first(cursor)

    def account_more(self, cursor: AccountCursor, parts: Parts, known: KnownOrders) -> tuple[AccountRead, ...]:
        """See `OrderDialect`."""
        del cursor, known
        return self._account.more(parts)

    def assemble(
        self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int
    ) -> Reading | Unreadable:
        """See `OrderDialect`."""
        del known
        return self._account.assemble(cursor, parts, cause, ts_ns)

    def read_problem(self, part: AccountPart) -> Reply | None:
        """See `OrderDialect`."""
        return trouble_of(AccountStateRequest(venue=BYBIT, since_exec_seq=0, cause="", ts_init_ns=0), part.answer)

    # --- The stream ------------------------------------------------------------------------------------

    def stream_url(self, listen_key: str) -> str:
        """See `OrderDialect`."""
        del listen_key
        return f"{self.endpoints.ws}/v5/private"

    def stream_login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """``GET/realtime`` and when it ends to be good, signed."""
        return bybit_login(credentials, ts_ms)

    def stream_subscribe(self) -> tuple[bytes, ...]:
        """All channels in one request: it is granted whole or not."""
        return (msgspec.json.encode({"op": "subscribe", "args": CHANNELS.split(",")}),)

    # --- Many at once ----------------------------------------------------------------------------------

    def batch_limit(self, command: BatchCommand) -> int:
        """Ten on spot, twenty on contracts."""
        instrument = self.instruments.get(command.instrument_id)
        return 1 if instrument is None else _BATCH[_CATEGORY[instrument.kind]]

    def encode_batch(self, commands: Sequence[BatchCommand], now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        del now_ms
        markets = {_CATEGORY[self._instrument(command.instrument_id).kind] for command in commands}
        kinds = {type(command) for command in commands}
        if len(markets) != 1 or len(kinds) != 1 or len(commands) > self.batch_limit(commands[0]):
            raise ValueError(f"batch: {len(commands)} commands of {len(kinds)} kinds do not go together")
        items = [self._item(command) for command in commands]
        for item in items:
            del item["category"]
        fields = {"category": markets.pop(), "request": items}
        match commands[0]:
            case NewOrderSingle():
                return self._post("/v5/order/create-batch", fields, WireKind.PLACE, orders=len(commands))
            case OrderCancelReplaceRequest():
                return self._post("/v5/order/amend-batch", fields, WireKind.AMEND, orders=len(commands))
            case OrderCancelRequest():
                return self._post("/v5/order/cancel-batch", fields, WireKind.CANCEL)

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


def _market(instrument: Instrument) -> dict[str, str]:
    return {"category": _CATEGORY[instrument.kind], "symbol": instrument.symbol}


def _id(cl_ord_id: str) -> str:
    if not 0 < len(cl_ord_id) <= 36 or not _ID_LETTERS.issuperset(cl_ord_id):
        raise ValueError(f"orderLinkId {cl_ord_id!r} is not 1 to 36 of letters, digits, - and _")
    return cl_ord_id
