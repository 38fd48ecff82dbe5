"""Orders and account of a venue through ccxt, as an `OrderDialect`: pure, like the native ones.

`adapters.orders.client` carries what is written here with its own deadlines, limits, retries and list of allowed
requests, so an order at Gate.io is sent by the same rules as one at Binance. Neither venue has a private stream here
(MEXC's is protobuf; ccxt does not follow Gate.io's through a reconnection): the account is read again and again.

- Quantities and prices that are not on the instrument's grid are refused by name: ccxt would cut them to size.
- A placement carries its own end: Gate.io's ``x-gate-exptime``, MEXC's ``recvWindow``.
- No amendments: the desk cancels and places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adapters.ccxt_orders.account import CcxtAccount, CcxtRequest, with_call
from adapters.ccxt_orders.codes import label_of, reply_to
from adapters.ccxt_orders.reports import ENDED, Row, gate_permissions, order_report
from adapters.ccxt_orders.sansio import Call, Method, SansIo
from adapters.ccxt_orders.venues import client_id, venue_of
from adapters.ccxt_venues.instruments import GATEIO, MEXC
from adapters.orders.account import AccountCursor, AccountPart, AccountRead, KnownOrders, Parts, Reading, Unreadable
from adapters.orders.acks import ack
from adapters.orders.dialect import BatchCommand, StreamPlan
from adapters.orders.news import UserEvent
from adapters.orders.reading import BadReply, plain
from adapters.orders.replies import status_answer
from adapters.orders.terms import plain_terms
from adapters.orders.wire import (
    ENTRIES,
    MS_NS,
    AllCanceled,
    Ambiguous,
    CancelAll,
    Countdown,
    CountdownSet,
    Credentials,
    Events,
    HttpAnswer,
    KeyPermissions,
    KeyQuery,
    OrderEndpoints,
    Reply,
    SignedRequest,
    Signing,
    TimeQuery,
    Told,
    VenueTime,
    WireCommand,
    WireKind,
    WireRequest,
    wire_request,
)
from trading.instruments import Instrument
from trading.orders.messages import (
    AccountStateRequest,
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
    VenueEvent,
)

_KINDS = {
    Method.PLACE: WireKind.PLACE,
    Method.CANCEL: WireKind.CANCEL,
    Method.CANCEL_ALL: WireKind.CANCEL_ALL,
    Method.QUERY: WireKind.QUERY,
    Method.TIME: WireKind.QUERY,
    Method.KEYS: WireKind.QUERY,
    Method.TIMER: WireKind.SETTING,
    Method.OPENS: WireKind.ACCOUNT,
    Method.TRADES: WireKind.ACCOUNT,
    Method.BALANCE: WireKind.ACCOUNT,
}
_IN_FORCE = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK", TimeInForce.GTX: "PO"}
_WEIGHTS = {
    MEXC: {
        "GET /api/v3/order": 2,
        "GET /api/v3/openOrders": 3,
        "GET /api/v3/account": 10,
        "GET /api/v3/myTrades": 10,
    },
}
"""MEXC's own weights; Gate.io counts calls."""
_TIMER_MIN_S = 5
_NOT_SHOWN = "FORBIDDEN"


class CcxtOrders:
    """One account at one of `adapters.ccxt_orders.venues.VENUES`."""

    family = "ccxt"
    amends_in_place = False
    cancels_all = True

    def __init__(
        self,
        venue: str,
        instruments: Sequence[Instrument],
        endpoints: OrderEndpoints | None = None,
        *,
        testnet: bool = False,
    ) -> None:
        """``endpoints`` overrides the real venue's and its testnet's; ``ValueError`` where there is no testnet."""
        self._known = venue_of(venue)
        if testnet and endpoints is None and self._known.testnet is None:
            raise ValueError(f"testnet: {venue} has no test network; use its live one with care, or the simulation")
        self.venue = venue
        self.endpoints = endpoints or (self._known.testnet if testnet else None) or self._known.real
        self.instruments: Mapping[str, Instrument] = {
            one.instrument_id: one for one in instruments if one.venue == venue
        }
        self.stream = StreamPlan(
            listen_key=False,
            login=False,
            channels=(),
            ping=b"",
            ping_every_ns=0,
            life_ns=0,
            poll_ns=self._known.poll_ms * MS_NS,
        )
        self._io = SansIo(self._known, tuple(self.instruments.values()), self.endpoints.rest)
        self._account = CcxtAccount(self._io, self.instruments, self._request)
        self._key = ""

    # --- Out -------------------------------------------------------------------------------------------

    def encode(self, command: WireCommand, now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        del now_ms
        call = self._call(command)
        instrument = self.instruments.get(getattr(command, "instrument_id", ""))
        return self._request(call, instrument.symbol if instrument is not None else "")

    def _call(self, command: WireCommand) -> Call:
        match command:
            case NewOrderSingle():
                return self._place(plain_terms(command))
            case OrderCancelRequest():
                return self._by_client_id(Method.CANCEL, command.instrument_id, command.orig_cl_ord_id)
            case OrderStatusRequest():
                return self._by_client_id(Method.QUERY, command.instrument_id, command.cl_ord_id)
            case CancelAll():
                return Call(Method.CANCEL_ALL, (self._pair(command.instrument_id),))
            case OrderCancelReplaceRequest():
                raise ValueError(f"amend: not supported through ccxt at {self.venue}; cancel and place")
            case AccountStateRequest():
                raise ValueError("an account is read by several requests: account_requests")
            case TimeQuery():
                return Call(Method.TIME)
            case KeyQuery():
                # MEXC tells of no key what it may do: a reading proves that it works, and no more.
                return Call(Method.KEYS if self.venue == GATEIO else Method.BALANCE)
            case Countdown():
                return self._timer(command)
            case _:
                raise ValueError(f"{type(command).__name__}: {self.venue} has no such thing for spot")

    def _place(self, order: NewOrderSingle) -> Call:
        instrument, market = self._instrument(order.instrument_id), order.ord_type is OrdType.MARKET
        if market and order.side is Side.BUY and self.venue == GATEIO:
            raise ValueError(
                "ord_type: Gate.io takes market buys by value, not by quantity; send a limit order with IOC"
            )
        instrument.lots(order.order_qty)
        params: dict[str, str | bool] = {"clientOrderId": client_id(self._known, order.cl_ord_id)}
        price = None
        if not market:
            if order.price is None:
                raise ValueError("price: a limit order needs one")
            instrument.ticks(order.price)
            price = plain(order.price)
            if order.time_in_force is TimeInForce.GTX:
                params["postOnly"] = True
            elif order.time_in_force is not TimeInForce.GTC:
                params["timeInForce"] = _IN_FORCE[order.time_in_force]
        args = (
            self._pair(order.instrument_id),
            "market" if market else "limit",
            "buy" if order.side is Side.BUY else "sell",
            plain(order.order_qty),
            price,
        )
        return Call(Method.PLACE, args, params)

    def _by_client_id(self, method: Method, instrument_id: str, cl_ord_id: str) -> Call:
        said = client_id(self._known, cl_ord_id)
        if self.venue == GATEIO:
            # Its paths take a client order id in the place of its own.
            return Call(method, (said, self._pair(instrument_id)))
        return Call(method, ("", self._pair(instrument_id)), {"clientOrderId": said})

    def _timer(self, command: Countdown) -> Call:
        if not self._known.timer:
            raise ValueError(f"Countdown: {self.venue} has no timer that cancels orders")
        seconds = -(-max(0, command.timeout_ms) // 1_000)
        symbol = self._instrument(command.instrument_id).symbol
        timeout = max(seconds, _TIMER_MIN_S) if seconds else 0
        return Call(Method.TIMER, (), {"timeout": timeout, "currency_pair": symbol})

    def _request(self, call: Call, symbol: str = "") -> CcxtRequest:
        unsigned, kind = self._io.written(call), _KINDS[call.method]
        known, api = self._known, unsigned.api
        path = f"/{api[-1]}/{unsigned.path}" if known.venue == GATEIO else f"/api/v3/{unsigned.path}"
        method = unsigned.method
        made = wire_request(
            method,
            path,
            kind,
            signing=Signing.SIGNED if unsigned.private else Signing.NONE,
            weight=_WEIGHTS.get(known.venue, {}).get(f"{method} {path}", 1),
            orders=1 if call.method is Method.PLACE else 0,
            instrument=symbol,
        )
        return with_call(made, call, unsigned)

    def sign(self, request: WireRequest, credentials: Credentials, ts_ms: int) -> SignedRequest:
        """See `OrderDialect`."""
        if not isinstance(request, CcxtRequest):
            # Nobody here writes such a one; it is shown to the sanitiser as it is, which knows what to do with it.
            url = f"{self.endpoints.rest}{request.path}?{request.query}"
            return SignedRequest(method=request.method, url=url, path=request.path, headers={}, body=request.body)
        self._key = credentials.api_key
        signed = self._io.signed(request.unsigned, credentials, ts_ms, request.recv_window_ms)
        if self.venue == GATEIO and request.kind in ENTRIES:
            headers = {**signed.headers, "x-gate-exptime": str(ts_ms + request.recv_window_ms)}
            signed = msgspec.structs.replace(signed, headers=headers)
        return signed

    # --- In --------------------------------------------------------------------------------------------

    def decode_reply(self, command: WireCommand, answer: HttpAnswer) -> Reply:
        """See `OrderDialect`."""
        try:
            return self._read(command, self._io.read(self._call(command), answer), answer.ts_ns)
        except BadReply as trouble:
            return Ambiguous(f"HTTP {answer.status}, but {trouble}")
        except self._io.errors.BaseError as error:
            if isinstance(command, KeyQuery) and label_of(answer.body)[0] == _NOT_SHOWN:
                # The key is good, and is of a sub-account or may not look at the list of keys.
                text = f"{self.venue} does not show this key what it may do"
                return Told(
                    KeyPermissions(read=True, trade=True, withdraw=None, transfer=None, ip_bound=None, text=text)
                )
            return reply_to(self.venue, command, answer, error, self._io.errors)

    def _read(self, command: WireCommand, said: Row, ts_ns: int) -> Reply:
        match command:
            case NewOrderSingle():
                return Events(self._placed(command, said, ts_ns))
            case OrderCancelRequest():
                report = self._report(command.instrument_id, said, ts_ns, cl_ord_id=command.orig_cl_ord_id)
                # An answer that was written before the order's end says that the venue has listened.
                return Events((report,) if report.exec_type in ENDED.values() else ())
            case OrderStatusRequest():
                report = self._report(
                    command.instrument_id, said, ts_ns, exec_type=ExecType.ORDER_STATUS, cl_ord_id=command.cl_ord_id
                )
                return Events((status_answer(command, report, ts_ns),))
            case CancelAll():
                return Told(AllCanceled(instrument_id=command.instrument_id))
            case TimeQuery():
                return Told(VenueTime(server_ms=_ms(said)))
            case KeyQuery():
                return Told(self._permissions(said))
            case Countdown():
                return Told(CountdownSet(timeout_ms=max(0, command.timeout_ms)))
            case _:
                raise BadReply(f"no answer is known for {type(command).__name__}")

    def _placed(self, command: NewOrderSingle, said: Row, ts_ns: int) -> tuple[VenueEvent, ...]:
        """The ack, and what has become of the order since where the venue says so; executions are listed elsewhere."""
        instrument = self._instrument(command.instrument_id)
        info = said.get("info")
        order_id = said.get("id")
        if not isinstance(info, Mapping) or not order_id:
            raise BadReply("an answer to a placement without an order id")
        accepted = ack(command, instrument, str(order_id), event_ns=ts_ns, ts_ns=ts_ns)
        if "status" not in info:
            return (accepted,)
        given = str(said.get("clientOrderId") or "")
        if given != client_id(self._known, command.cl_ord_id):
            raise BadReply(f"the answer is of {given[:40]!r}")
        shown = self._report(command.instrument_id, said, ts_ns, cl_ord_id=command.cl_ord_id)
        accepted = msgspec.structs.replace(accepted, ts_event_ns=shown.ts_event_ns)
        changed = shown.exec_type in ENDED.values() or shown.cum_qty > 0
        return (accepted, shown) if changed else (accepted,)

    def _report(
        self, instrument_id: str, said: Row, ts_ns: int, *, cl_ord_id: str, exec_type: ExecType | None = None
    ) -> ExecutionReport:
        instrument = self._instrument(instrument_id)
        return order_report(self._known, said, instrument, ts_ns, exec_type=exec_type, cl_ord_id=cl_ord_id)

    def _permissions(self, said: object) -> KeyPermissions:
        if self.venue == GATEIO:
            return gate_permissions(said, self._key)
        text = f"{self.venue} does not say what a key may do"
        return KeyPermissions(read=True, trade=True, withdraw=None, transfer=None, ip_bound=None, text=text)

    def decode_user(self, payload: bytes, ts_ns: int) -> tuple[UserEvent, ...]:
        """There is no private stream."""
        del payload, ts_ns
        return ()

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
        request = part.read.request
        assert isinstance(request, CcxtRequest)
        command = AccountStateRequest(venue=self.venue, since_exec_seq=0, cause="", ts_init_ns=0)
        try:
            self._io.read(request.call, part.answer)
        except BadReply as trouble:
            return Ambiguous(str(trouble))
        except self._io.errors.BaseError as error:
            gone = part.read.key.startswith("order:") and isinstance(error, self._io.errors.OrderNotFound)
            return None if gone else reply_to(self.venue, command, part.answer, error, self._io.errors)
        return None

    # --- What there is not -----------------------------------------------------------------------------

    def stream_url(self, listen_key: str) -> str:
        """There is no private stream."""
        raise ValueError(f"{self.venue} has no private stream here")

    def stream_login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """There is no private stream."""
        del credentials, ts_ms
        return b""

    def stream_subscribe(self) -> tuple[bytes, ...]:
        """There is no private stream."""
        return ()

    def batch_limit(self, command: BatchCommand) -> int:
        """One at a time."""
        del command
        return 1

    def encode_batch(self, commands: Sequence[BatchCommand], now_ms: int) -> WireRequest:
        """See `OrderDialect`."""
        raise ValueError(f"batch: {self.venue} takes one order at a time through ccxt")

    def decode_batch(self, commands: Sequence[BatchCommand], answer: HttpAnswer) -> tuple[Reply, ...]:
        """See `OrderDialect`; none was sent."""
        return tuple(self.decode_reply(command, answer) for command in commands)

    def _instrument(self, instrument_id: str) -> Instrument:
        found = self.instruments.get(instrument_id)
        if found is None:
            raise ValueError(f"instrument_id: {instrument_id} is not traded at {self.venue}")
        return found

    def _pair(self, instrument_id: str) -> str:
        return self._io.symbols[self._instrument(instrument_id).instrument_id]


def _ms(said: object) -> int:
    if isinstance(said, str) and said.isascii() and said.isdigit():
        said = int(said)
    if not isinstance(said, int) or isinstance(said, bool) or said <= 0:
        raise BadReply(f"the venue's time is {str(said)[:40]!r}")
    return said
