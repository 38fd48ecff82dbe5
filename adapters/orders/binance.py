"""Binance spot, USD-M and COIN-M: orders and account over signed REST, the user stream.

Sources: binance-spot-api-docs rest-api.md, web-socket-api.md, errors.md; developers.binance.com derivatives "New
Order", "Modify Order", "Auto-Cancel All Open Orders", "Place Multiple Orders", "User Data Streams" (read 2026-11):

- Signature: HMAC SHA256 over query and body together, hex, as the last parameter; ``X-MBX-APIKEY`` has the key.
- Spot has no listen keys any more (retired 2026-02): ``userDataStream.subscribe.signature`` on the WebSocket API.
  Futures have; a POST gives the account's one key again, so nobody here ever deletes it. A key lives 60 minutes.
- A client order id is unique among open orders only: a placement that may have been executed is never sent again.
- Spot has neither batches nor a countdown. Futures amend in place and keep the client order id.
- Self-trade prevention EXPIRE_TAKER (the newest order gives way), which futures take with GTC and IOC only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.binance.orders_codec import (
    ENDPOINTS,
    RequestKind,
    encode_cancel,
    encode_new_order,
    encode_replace,
    encode_status,
)
from adapters.orders import binance_algo as algo
from adapters.orders import binance_batch as batch
from adapters.orders.account import AccountCursor, AccountPart, AccountRead, KnownOrders, Parts, Reading, Unreadable
from adapters.orders.binance_account import BinanceAccount
from adapters.orders.binance_answers import reply_to, trouble_of
from adapters.orders.binance_read import decode_user
from adapters.orders.binance_stops import encode_spot_stop
from adapters.orders.dialect import BatchCommand, StreamPlan
from adapters.orders.digests import hmac_hex
from adapters.orders.news import UserEvent
from adapters.orders.terms import plain_terms, set_apart
from adapters.orders.wire import (
    SECOND_NS,
    CancelAll,
    Countdown,
    Credentials,
    Host,
    HttpAnswer,
    KeyQuery,
    LeverageQuery,
    ListenKeyRequest,
    ListenKeyVerb,
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
from trading.instruments import Instrument
from trading.orders import stp
from trading.orders.messages import (
    AccountStateRequest,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    TimeInForce,
)

_WALLET = "https://api.binance.com"
REAL = {
    SPOT: OrderEndpoints(rest="https://api.binance.com", ws="wss://ws-api.binance.com", wallet=_WALLET),
    USDM: OrderEndpoints(
        rest="https://fapi.binance.com",
        ws="wss://fstream.binance.com",
        wallet=_WALLET,
        entry="wss://ws-fapi.binance.com",
    ),
    COINM: OrderEndpoints(
        rest="https://dapi.binance.com",
        ws="wss://dstream.binance.com",
        wallet=_WALLET,
        entry="wss://ws-dapi.binance.com",
    ),
}
TESTNET = {
    SPOT: OrderEndpoints(rest="https://testnet.binance.vision", ws="wss://ws-api.testnet.binance.vision", demo=True),
    USDM: OrderEndpoints(
        rest="https://demo-fapi.binance.com",
        ws="wss://fstream.binancefuture.com",
        demo=True,
        entry="wss://testnet.binancefuture.com",
    ),
    COINM: OrderEndpoints(
        rest="https://demo-dapi.binance.com",
        ws="wss://dstream.binancefuture.com",
        demo=True,
        entry="wss://testnet.binancefuture.com",
    ),
}
"""The venue's test networks. They have no ``/sapi``: what a key may do is not told there."""

_MINUTE_NS = 60 * SECOND_NS
_PREFIX = {SPOT: "/api/v3", USDM: "/fapi/v1", COINM: "/dapi/v1"}
_STATUS_WEIGHT = {SPOT: 4, USDM: 1, COINM: 1}
# What futures count by order they do not weigh; COIN-M weighs an amendment.
_NEW_WEIGHT = {SPOT: 1, USDM: 0, COINM: 0}
_AMEND_WEIGHT = {SPOT: 1, USDM: 0, COINM: 1}
_FUTURES_STP = frozenset({TimeInForce.GTC, TimeInForce.IOC})


class BinanceOrders:
    """One account at one of `adapters.binance.instruments.VENUES`."""

    family = "binance"

    def __init__(
        self,
        venue: str,
        instruments: Sequence[Instrument],
        endpoints: OrderEndpoints | None = None,
        *,
        testnet: bool = False,
    ) -> None:
        """``endpoints`` overrides the real venue's and its testnet's."""
        if venue not in _PREFIX:
            raise ValueError(f"venue: {venue!r} is not one of {', '.join(_PREFIX)}")
        self.venue = venue
        self.endpoints = endpoints or (TESTNET if testnet else REAL)[venue]
        self.instruments = {i.instrument_id: i for i in instruments if i.venue == venue}
        self._by_symbol = {i.symbol: i for i in self.instruments.values()}
        self._account = BinanceAccount(venue, self.instruments)
        self._spot = venue == SPOT
        self.amends_in_place = not self._spot
        self.cancels_all = True
        self.stream = StreamPlan(
            listen_key=not self._spot,
            login=False,
            channels=("userDataStream",) if self._spot else (),
            ping=b"",
            ping_every_ns=60 * SECOND_NS,
            life_ns=23 * 3600 * SECOND_NS,
            keep_ns=0 if self._spot else 20 * _MINUTE_NS,
        )

    # --- Out -------------------------------------------------------------------------------------------

    def encode(self, command: WireCommand, now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        del now_ms
        match command:
            case NewOrderSingle() if command.trigger is not None and not self._spot:
                mode = stp.word(self.venue, command.stp)
                return algo.place(command, self._instrument(command.instrument_id), _PREFIX[self.venue], mode)
            case NewOrderSingle() if command.trigger is not None:
                instrument = self._instrument(command.instrument_id)
                words = encode_spot_stop(command, instrument) + self._extras(command)
                return self._order(RequestKind.NEW, words, WireKind.PLACE, orders=1)
            case NewOrderSingle():
                instrument = self._instrument(command.instrument_id)
                words = encode_new_order(plain_terms(command), instrument) + self._extras(command)
                weight = _NEW_WEIGHT[self.venue]
                reduces = command.reduce_only
                return self._order(RequestKind.NEW, words, WireKind.PLACE, weight=weight, orders=1, reduces=reduces)
            case OrderCancelReplaceRequest():
                instrument = self._instrument(command.instrument_id)
                words = encode_replace(plain_terms(command), instrument)
                words += self._extras(command) if self._spot else b""
                return self._order(
                    RequestKind.REPLACE, words, WireKind.AMEND, weight=_AMEND_WEIGHT[self.venue], orders=1
                )
            case OrderCancelRequest() if command.waits and not self._spot:
                return algo.cancel(command, _PREFIX[self.venue])
            case OrderCancelRequest():
                words = encode_cancel(command, self._instrument(command.instrument_id), self._become(command))
                return self._order(RequestKind.CANCEL, words, WireKind.CANCEL)
            case OrderStatusRequest() if command.waits and not self._spot:
                return algo.ask(command, _PREFIX[self.venue])
            case OrderStatusRequest():
                words = encode_status(command, self._instrument(command.instrument_id), self._become(command))
                return self._order(RequestKind.STATUS, words, WireKind.QUERY, weight=_STATUS_WEIGHT[self.venue])
            case AccountStateRequest():
                raise ValueError("an account is read by several requests: account_requests")
            case _:
                return self._setting(command)

    def _order(
        self,
        what: RequestKind,
        words: bytes,
        kind: WireKind,
        *,
        weight: int = 1,
        orders: int = 0,
        reduces: bool = False,
    ) -> WireRequest:
        method, path = ENDPOINTS[self.venue, what]
        in_query = method in {"GET", "DELETE"}
        query, body = (words.decode(), b"") if in_query else ("", words)
        return wire_request(method, path, kind, query=query, body=body, weight=weight, orders=orders, reduces=reduces)

    def _become(self, command: OrderCancelRequest | OrderStatusRequest) -> str:
        """The number of what a triggered order of the algo service became; "" for all others."""
        return command.order_id if not self._spot and command.order_id.isdigit() else ""

    def _extras(self, command: NewOrderSingle | OrderCancelReplaceRequest) -> bytes:
        """Spot tells executions with the ack; both keep us from trading with ourselves."""
        words = "&newOrderRespType=FULL" if self._spot else ""
        mode = stp.word(self.venue, command.stp)
        if mode is not None and (self._spot or command.time_in_force in _FUTURES_STP):
            words += f"&{mode[0]}={mode[1]}"
        return words.encode()

    def _setting(self, command: WireCommand) -> WireRequest:
        prefix = _PREFIX[self.venue]
        match command:
            case CancelAll():
                path = f"{prefix}/openOrders" if self._spot else f"{prefix}/allOpenOrders"
                query: dict[str, str | int] = {"symbol": self._instrument(command.instrument_id).symbol}
                return self._ask("DELETE", path, query, kind=WireKind.CANCEL_ALL)
            case Countdown():
                if self._spot:
                    raise ValueError("Countdown: Binance spot has no timer that cancels orders")
                symbol = self._instrument(command.instrument_id).symbol
                body: dict[str, str | int] = {"symbol": symbol, "countdownTime": max(0, command.timeout_ms)}
                return self._ask("POST", f"{prefix}/countdownCancelAll", body, weight=10, kind=WireKind.SETTING)
            case KeyQuery():
                if not self.endpoints.wallet:
                    raise ValueError("KeyQuery: this network does not say what a key may do")
                return self._ask("GET", "/sapi/v1/account/apiRestrictions", {}, host=Host.WALLET)
            case ModeQuery():
                if self._spot:
                    raise ValueError("ModeQuery: spot has no positions")
                return self._ask("GET", f"{prefix}/positionSide/dual", {}, weight=30)
            case LeverageQuery():
                if self._spot:
                    raise ValueError("LeverageQuery: spot has no leverage")
                symbol = self._instrument(command.instrument_id).symbol
                if self.venue == USDM:
                    return self._ask("GET", f"{prefix}/symbolConfig", {"symbol": symbol}, weight=5)
                return self._ask("GET", f"{prefix}/positionRisk", {"pair": symbol.partition("_")[0]})
            case TimeQuery():
                return self._ask("GET", f"{prefix}/time", {}, signing=Signing.NONE)
            case ListenKeyRequest():
                if self._spot:
                    raise ValueError("ListenKeyRequest: spot subscribes by signature")
                method = "POST" if command.verb is ListenKeyVerb.OPEN else "PUT"
                return self._ask(method, f"{prefix}/listenKey", {}, kind=WireKind.SETTING, signing=Signing.KEY)
            case _:
                raise ValueError(f"{type(command).__name__} is not said by a setting")

    def _ask(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str | int],
        *,
        weight: int = 1,
        kind: WireKind = WireKind.QUERY,
        host: Host = Host.REST,
        signing: Signing = Signing.SIGNED,
    ) -> WireRequest:
        in_query = method in {"GET", "DELETE"}
        words = urlencode(fields)
        query, body = (words, b"") if in_query else ("", words.encode())
        return wire_request(method, path, kind, query=query, body=body, host=host, signing=signing, weight=weight)

    def sign(self, request: WireRequest, credentials: Credentials, ts_ms: int) -> SignedRequest:
        """See `OrderDialect`."""
        base = self.endpoints.wallet if request.host is Host.WALLET else self.endpoints.rest
        query, body = request.query, request.body.decode()
        headers: dict[str, str] = {}
        if request.signing is not Signing.NONE:
            headers["X-MBX-APIKEY"] = credentials.api_key
        if request.signing is Signing.SIGNED:
            stamp = f"timestamp={ts_ms}&recvWindow={request.recv_window_ms}"
            if request.method in {"GET", "DELETE"}:
                query = f"{query}&{stamp}" if query else stamp
            else:
                body = f"{body}&{stamp}" if body else stamp
            signature = hmac_hex(credentials.secret, query + body)
            if body:
                body += f"&signature={signature}"
            else:
                query += f"&signature={signature}"
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = f"{base}{request.path}" + (f"?{query}" if query else "")
        return SignedRequest(method=request.method, url=url, path=request.path, headers=headers, body=body.encode())

    # --- In --------------------------------------------------------------------------------------------

    def decode_reply(self, command: WireCommand, answer: HttpAnswer) -> Reply:
        """See `OrderDialect`."""
        return reply_to(command, self.venue, self.instruments, answer)

    def decode_user(self, payload: bytes, ts_ns: int) -> tuple[UserEvent, ...]:
        """See `OrderDialect`."""
        return decode_user(payload, self.venue, self._by_symbol.get, ts_ns)

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
        if part.status == 200:
            return None
        command = AccountStateRequest(venue=self.venue, since_exec_seq=0, cause="", ts_init_ns=0)
        reply = trouble_of(command, self.venue, part.answer)
        gone = part.read.key.startswith("order:") and b'"code"' in part.body and part.status == 400
        return None if gone else reply

    # --- The stream ------------------------------------------------------------------------------------

    def stream_url(self, listen_key: str) -> str:
        """See `OrderDialect`. USD-M has split its routes: private streams are at ``/private`` since 2026-04."""
        if self._spot:
            return f"{self.endpoints.ws}/ws-api/v3"
        if self.venue == USDM:
            return f"{self.endpoints.ws}/private/ws?listenKey={quote(listen_key)}"
        return f"{self.endpoints.ws}/ws/{quote(listen_key)}"

    def stream_login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """Spot: a signed subscription is login and channel at once."""
        if not self._spot:
            return b""
        params = {"apiKey": credentials.api_key, "timestamp": ts_ms}
        words = "&".join(f"{name}={params[name]}" for name in sorted(params))
        frame = {
            "id": "user",
            "method": "userDataStream.subscribe.signature",
            "params": {**params, "signature": hmac_hex(credentials.secret, words)},
        }
        return msgspec.json.encode(frame)

    def stream_subscribe(self) -> tuple[bytes, ...]:
        """Nothing more: futures' streams begin with their address."""
        return ()

    # --- Many at once ----------------------------------------------------------------------------------

    def batch_limit(self, command: BatchCommand) -> int:
        """Five placements or amendments, ten cancels; spot takes single ones only."""
        return 1 if self._spot or set_apart(command) else batch.limit(command)

    def encode_batch(self, commands: Sequence[BatchCommand], now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        del now_ms
        if self._spot:
            raise ValueError("batch: Binance spot takes one order at a time")
        if any(set_apart(command) for command in commands):
            raise ValueError("batch: orders that wait for a trigger go one at a time")
        instruments = [self._instrument(command.instrument_id) for command in commands]
        return batch.encode(commands, instruments, _PREFIX[self.venue], self._extras)

    def decode_batch(self, commands: Sequence[BatchCommand], answer: HttpAnswer) -> tuple[Reply, ...]:
        """See `OrderDialect`."""
        return batch.decode(commands, self.venue, self.instruments, answer)

    def _instrument(self, instrument_id: str) -> Instrument:
        instrument = self.instruments.get(instrument_id)
        if instrument is None:
            raise ValueError(f"instrument_id: {instrument_id!r} is not traded on {self.venue}")
        return instrument
