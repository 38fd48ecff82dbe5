"""Binance's signed order endpoints over one account: spot, USD-M, COIN-M.

"Trading endpoints", binance-spot-api-docs/rest-api.md; "New Order", "Modify Order", "Place Multiple Orders" and
"Auto-Cancel All Open Orders", developers.binance.com derivatives (read 2026-11). Owns placing, amending, canceling,
batches and the countdown; questions are `binance_account`'s. Orders that wait for a trigger are the algo service's on
futures (`binance_algo`); on spot they are orders like others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query, RestRefused
from adapters.simserver.fault_plane import MS
from adapters.simserver.feed import Market
from adapters.simserver.hub import Hub
from adapters.simserver.knob import Knob
from adapters.simserver.order_faults import ListenKeyLost, RefuseAmend, RejectNext
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_account import BinanceAccount
from adapters.simserver.trading.binance_algo import AlgoOrders, side_of, terms_of
from adapters.simserver.trading.binance_gate import BinanceGate, refused
from adapters.simserver.trading.binance_rows import SPOT_TYPES, STP, Row, Rows
from adapters.simserver.trading.binance_socket import ENTRY_PATHS, BinanceSocket
from adapters.simserver.trading.binance_user import UserStreams
from adapters.simserver.trading.strangers import act_on
from adapters.simserver.trading.wire import SocketAsk, TradeHandler, TradeReply, TradeRequest
from trading.orders.messages import ExecType, OrdType, Side, TimeInForce, TriggeringInstructions, TriggerPriceType
from trading.orders.triggers import PRICED, WAITING
from trading.sim import filters
from trading.sim.state import SimOrder

BATCH_MAX = 5
CANCEL_BATCH_MAX = 10
_PREFIX = {SPOT: "/api/v3/", USDM: "/fapi/v1/", COINM: "/dapi/v1/"}
_SPOT_WAITING = {name: ord_type for ord_type, name in SPOT_TYPES.items()}
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_encode = msgspec.json.encode
_batch = msgspec.json.Decoder(list[dict[str, str | int | float | bool]]).decode

Fields = dict[str, str]
Work = Callable[[Fields], object]
Answer = Callable[[Fields, str], object]


def missing(name: str) -> RestRefused:
    """A parameter that has to be there."""
    return refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


class BinanceTrading:
    """The trading side of one of the three venues."""

    def __init__(self, venue: str, account: TradingAccount, hub: Hub) -> None:
        self.venue = venue
        self._account = account
        self._gate = BinanceGate(venue, account)
        self._rows = Rows(venue, account)
        self._algo = AlgoOrders(account, self._rows)
        self._user = UserStreams(venue, account, hub, self._rows, self._gate)
        self._queries = BinanceAccount(venue, account, self._rows, self._gate, self._user)
        self._countdowns: dict[str, int] = {}
        self._socket = BinanceSocket(venue, account, self._gate, self.routes())
        self.ws_paths = self._user.ws_paths

    # --- Routes --------------------------------------------------------------------------------------

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By (method, path)."""
        prefix = _PREFIX[self.venue]
        found: dict[tuple[str, str], TradeHandler] = {
            ("POST", prefix + "order"): partial(self._done, self._new, orders=1),
            ("POST", prefix + "order/test"): partial(self._done, self._test),
            ("DELETE", prefix + "order"): partial(self._done, self._cancel),
        }
        if self.venue == SPOT:
            found |= {
                ("POST", prefix + "order/cancelReplace"): partial(self._done, self._cancel_replace, orders=1),
                ("DELETE", prefix + "openOrders"): partial(self._done, self._cancel_open),
            }
        else:
            found |= {
                ("PUT", prefix + "order"): partial(self._done, self._amend, orders=1),
                ("POST", prefix + "batchOrders"): self._batch_new,
                ("PUT", prefix + "batchOrders"): self._batch_amend,
                ("DELETE", prefix + "batchOrders"): partial(self._done, self._batch_cancel),
                ("DELETE", prefix + "allOpenOrders"): partial(self._done, self._cancel_open),
                ("POST", prefix + "countdownCancelAll"): partial(self._done, self._countdown),
                ("POST", prefix + "algoOrder"): partial(self._done, self._new_algo, orders=1),
                ("DELETE", prefix + "algoOrder"): partial(self._done, self._cancel_algo),
                ("DELETE", prefix + "algoOpenOrders"): partial(self._done, self._cancel_algos),
                ("GET", prefix + "algoOrder"): partial(self._told, self._ask_algo),
                ("GET", prefix + "openAlgoOrders"): partial(self._told, self._open_algos),
            }
        return found | self._queries.routes()

    def _done(self, work: Work, request: TradeRequest, orders: int = 0) -> TradeReply:
        """A change of the account that was signed for."""
        fields = self._gate.signed(request)
        if orders:
            self._gate.count_orders(request.path, orders)
        body = _encode(work(fields))
        return TradeReply(body=body, headers=self._gate.headers(orders=bool(orders)), accepted=True)

    def _told(self, question: Answer, request: TradeRequest) -> TradeReply:
        """A question that was signed for."""
        fields = self._gate.signed(request)
        body = _encode(question(fields, request.path))
        return TradeReply(body=body, headers=self._gate.headers(orders=False))

    # --- Orders that wait for a trigger --------------------------------------------------------------

    def _new_algo(self, fields: Fields) -> object:
        market = self._market(fields)
        side = side_of(fields)
        ord_type, in_force, trigger = terms_of(fields, partial(self._amount, fields))
        if self._account.settings.hedge or fields.get("positionSide", "BOTH") != "BOTH":
            raise refused(-4061, "Order's position side does not match user's setting.")
        close_all = fields.get("closePosition", "false").lower() == "true"
        held = self._account.exchange.account.position(market.instrument.instrument_id).qty
        qty = max(abs(held), market.instrument.min_qty) if close_all else self._amount(fields, "quantity")
        cl_ord_id = self._client_id(fields, "clientAlgoId" if "clientAlgoId" in fields else "newClientOrderId")
        self._check_market(market, reducing=trigger.close_on_trigger)
        report = self._account.place(
            market,
            side=side,
            ord_type=ord_type,
            time_in_force=in_force,
            qty=qty,
            price=self._amount(fields, "price") if ord_type in PRICED else None,
            cl_ord_id=cl_ord_id,
            reduce_only=trigger.close_on_trigger,
            trigger=trigger,
        )
        if report.exec_type is ExecType.REJECTED:
            raise refusal_of(report.text)
        order = self._account.order(cl_ord_id=cl_ord_id)
        assert order is not None
        return self._algo.row(order)

    def _cancel_algo(self, fields: Fields) -> object:
        try:
            order = self._algo.find(fields)
        except RestRefused:
            raise refused(-2011, "Unknown order sent.") from None
        if not order.waits:
            raise refused(-2011, "Unknown order sent.")
        self._account.cancel(order)
        row = self._algo.row(order)
        return {"algoId": row["algoId"], "clientAlgoId": row["clientAlgoId"], "code": "200", "msg": "success"}

    def _cancel_algos(self, fields: Fields) -> object:
        for order in self._algo.waiting(self._market(fields).key):
            self._account.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _ask_algo(self, fields: Fields, path: str) -> object:
        order = self._algo.find(fields)
        if not self._account.seen([order], path):
            raise refused(-2013, "Order does not exist.")
        return self._algo.row(order)

    def _open_algos(self, fields: Fields, path: str) -> object:
        found = self._account.seen(self._algo.waiting(fields.get("symbol", "")), path)
        return [self._algo.row(order) for order in found]

    # --- One order -----------------------------------------------------------------------------------

    def _market(self, fields: Fields) -> Market:
        symbol = fields.get("symbol", "")
        if not symbol:
            raise missing("symbol")
        market = self._account.markets.get(symbol)
        if market is None:
            raise refused(-1121, "Invalid symbol.")
        return market

    def _amount(self, fields: Fields, name: str) -> Decimal:
        value = fields.get(name, "")
        if not value:
            raise missing(name)
        if not _NUMBER.fullmatch(value):
            raise refused(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{_NUMBER.pattern}'.")
        return Decimal(value)

    def _client_id(self, fields: Fields, name: str = "newClientOrderId") -> str:
        value = fields.get(name, "")
        if not value:
            return self._account.new_id("auto")
        if not _CLIENT_ID.fullmatch(value):
            raise refused(-1100, f"Illegal characters found in parameter '{name}'.")
        return value

    def _kind(self, fields: Fields) -> tuple[Side, OrdType, TimeInForce]:
        side = Side.__members__.get(fields.get("side", ""))
        if side is None:
            raise refused(-1117, "Invalid side.")
        kind = fields.get("type", "")
        if kind == "MARKET":
            return side, OrdType.MARKET, TimeInForce.IOC
        if kind == "LIMIT_MAKER" and self.venue == SPOT:
            return side, OrdType.LIMIT, TimeInForce.GTX
        waits = _SPOT_WAITING.get(kind) if self.venue == SPOT else None
        if waits in {OrdType.STOP, OrdType.TAKE_PROFIT}:
            return side, waits, TimeInForce.IOC
        if kind != "LIMIT" and waits is None:
            if self.venue == SPOT:
                raise refused(-1116, "Invalid orderType.")
            text = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            raise refused(-4120, text)
        in_force = fields.get("timeInForce", "")
        if not in_force:
            raise missing("timeInForce")
        found = TimeInForce.__members__.get(in_force)
        if found is None or (found is TimeInForce.GTX and self.venue == SPOT):
            raise refused(-1115, "Invalid timeInForce.")
        return side, waits or OrdType.LIMIT, found

    def _check_extras(self, fields: Fields) -> None:
        if fields.get("selfTradePreventionMode", STP) not in {STP, "NONE"}:
            raise refused(-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
        waits = self.venue == SPOT and fields.get("type", "") in _SPOT_WAITING
        for name in ("stopPrice", "icebergQty", "priceMatch", "activationPrice", "callbackRate", "trailingDelta"):
            if fields.get(name) and not (waits and name == "stopPrice"):
                raise refused(-1106, f"Parameter '{name}' sent when not required.")
        if self.venue == SPOT:
            return
        hedged = self._account.settings.hedge or fields.get("positionSide", "BOTH") != "BOTH"
        if hedged:
            raise refused(-4061, "Order's position side does not match user's setting.")

    def _check_market(self, market: Market, *, reducing: bool) -> None:
        rejected = self._account.faults.take(RejectNext, market.key)
        if rejected is not None:
            raise refused(rejected.code, rejected.msg)
        if self._account.halted(market) and not reducing:
            if self.venue == SPOT:
                raise refused(-1013, "Market is closed.")
            raise refused(-4140, "Invalid symbol status for opening position.")

    def _qty(self, fields: Fields, market: Market, side: Side, ord_type: OrdType) -> Decimal:
        if self.venue == SPOT and ord_type is OrdType.MARKET and fields.get("quoteOrderQty"):
            quote = self._amount(fields, "quoteOrderQty")
            if side is Side.SELL:
                best = market.book.top(1)[0]
                return market.instrument.qty(market.instrument.lots_floor(quote / market.instrument.price(best[0][0])))
            return market.instrument.qty(self._account.lots_for(market, quote))
        return self._amount(fields, "quantity")

    def _place(self, fields: Fields) -> SimOrder:
        market = self._market(fields)
        side, ord_type, in_force = self._kind(fields)
        self._check_extras(fields)
        reduce_only = fields.get("reduceOnly", "false").lower() == "true"
        qty = self._qty(fields, market, side, ord_type)
        price = self._amount(fields, "price") if ord_type in PRICED else None
        trigger = None
        if ord_type in WAITING:
            trigger = TriggeringInstructions(self._amount(fields, "stopPrice"), TriggerPriceType.LAST)
        cl_ord_id = self._client_id(fields)
        self._check_market(market, reducing=reduce_only)
        report = self._account.place(
            market,
            side=side,
            ord_type=ord_type,
            time_in_force=in_force,
            qty=qty,
            price=price,
            cl_ord_id=cl_ord_id,
            reduce_only=reduce_only and self.venue != SPOT,
            trigger=trigger,
        )
        if report.exec_type is ExecType.REJECTED:
            raise refusal_of(report.text, spot=self.venue == SPOT)
        order = self._account.order(cl_ord_id=cl_ord_id)
        assert order is not None
        return order

    def _new(self, fields: Fields) -> object:
        order = self._place(fields)
        kind = fields.get("newOrderRespType", "")
        if self.venue == SPOT:
            return self._rows.spot_reply(order, kind or "FULL")
        resting = order.ord_type is OrdType.LIMIT and order.time_in_force in {TimeInForce.GTC, TimeInForce.GTX}
        return self._rows.order(order, fresh=kind != "RESULT" or resting)

    def _test(self, fields: Fields) -> object:
        self._market(fields)
        self._kind(fields)
        self._check_extras(fields)
        return {}

    def _find(
        self, fields: Fields, market: Market, names: tuple[str, str] = ("orderId", "origClientOrderId")
    ) -> SimOrder:
        number, cl_ord_id = fields.get(names[0], ""), fields.get(names[1], "")
        if not number and not cl_ord_id:
            raise missing(names[0])
        order = self._account.order(int(number) if number.isdigit() else None, cl_ord_id)
        hidden = order is not None and self.venue != SPOT and not order.was_on_book
        if order is None or hidden or order.instrument_id != market.instrument.instrument_id:
            raise refused(-2011, "Unknown order sent.")
        return order

    def _cancel(self, fields: Fields) -> object:
        market = self._market(fields)
        order = self._find(fields, market)
        if not order.is_open:
            raise refused(-2011, "Unknown order sent.")
        cancel_id = self._client_id(fields) if self.venue == SPOT else ""
        self._account.cancel(order, cancel_id)
        return self._rows.canceled(order, cancel_id) if self.venue == SPOT else self._rows.order(order)

    def _amend(self, fields: Fields) -> object:
        market = self._market(fields)
        order = self._find(fields, market)
        if not order.is_open:
            raise refused(-2013, "Order does not exist.")
        if Side.__members__.get(fields.get("side", order.side.name)) is not order.side:
            raise refused(-4062, "The side of an order cannot be changed.")
        barred = self._account.faults.take(RefuseAmend, market.key)
        if barred is not None:
            raise refused(barred.code, barred.msg)
        qty, price = self._amount(fields, "quantity"), self._amount(fields, "price")
        same_price = order.price_ticks is not None and price == market.instrument.price(order.price_ticks)
        if same_price and qty == market.instrument.qty(order.order_lots):
            raise refused(-5027, "No need to modify the order.")
        text = self._account.amend(order, qty, price)
        if text:
            raise refusal_of(text)
        return self._rows.order(order)

    def _cancel_open(self, fields: Fields) -> object:
        market = self._market(fields)
        canceled = self._account.cancel_all({market.key}, waiting=self.venue == SPOT)
        if self.venue != SPOT:
            return {"code": 200, "msg": "The operation of cancel all open order is done."}
        if not canceled:
            raise refused(-2011, "Unknown order sent.")
        return [self._rows.canceled(order, self._account.new_id("auto")) for order in canceled]

    def _cancel_replace(self, fields: Fields) -> object:
        """Spot: the old order goes, then the new one comes; each may fail."""
        market = self._market(fields)
        mode = fields.get("cancelReplaceMode", "")
        if mode not in {"STOP_ON_FAILURE", "ALLOW_FAILURE"}:
            raise missing("cancelReplaceMode")
        self._kind(fields)
        canceled, created = self._tried(self._cancel_old, fields, market), None
        if canceled[0] or mode == "ALLOW_FAILURE":
            created = self._tried(self._create_new, fields, market)
        data: Row = {
            "cancelResult": "SUCCESS" if canceled[0] else "FAILURE",
            "newOrderResult": "NOT_ATTEMPTED" if created is None else "SUCCESS" if created[0] else "FAILURE",
            "cancelResponse": canceled[1],
            "newOrderResponse": None if created is None else created[1],
        }
        if canceled[0] and created is not None and created[0]:
            return data
        partly = canceled[0] or (created is not None and created[0])
        code, text = (
            (-2021, "Order cancel-replace partially failed.") if partly else (-2022, "Order cancel-replace failed.")
        )
        raise RestRefused(409 if partly else 400, _encode({"code": code, "msg": text, "data": data}))

    def _cancel_old(self, fields: Fields, market: Market) -> object:
        order = self._find(fields, market, ("cancelOrderId", "cancelOrigClientOrderId"))
        if not order.is_open:
            raise refused(-2011, "Unknown order sent.")
        cancel_id = self._client_id(fields, "cancelNewClientOrderId")
        self._account.cancel(order, cancel_id)
        return self._rows.canceled(order, cancel_id)

    def _create_new(self, fields: Fields, _market: Market) -> object:
        return self._rows.spot_reply(self._place(fields), fields.get("newOrderRespType", "") or "FULL")

    def _tried(self, work: Callable[[Fields, Market], object], fields: Fields, market: Market) -> tuple[bool, object]:
        try:
            return True, work(fields, market)
        except RestRefused as refusal:
            return False, msgspec.json.decode(refusal.body)

    # --- Many orders ---------------------------------------------------------------------------------

    def _items(self, fields: Fields) -> list[Fields]:
        try:
            items = _batch(fields.get("batchOrders", ""))
        except msgspec.MsgspecError:
            raise missing("batchOrders") from None
        if not 0 < len(items) <= BATCH_MAX:
            raise refused(-4082, "Invalid number of batch place orders.")
        return [
            {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in item.items()}
            for item in items
        ]

    def _each(self, request: TradeRequest, work: Work) -> TradeReply:
        """Every item has an outcome of its own; the whole is 200."""
        items = self._items(self._gate.signed(request))
        self._gate.count_orders(request.path, len(items))
        outcomes: list[object] = []
        for item in items:
            try:
                outcomes.append(work(item))
            except RestRefused as refusal:
                outcomes.append(msgspec.Raw(refusal.body))
        done = any(not isinstance(outcome, msgspec.Raw) for outcome in outcomes)
        return TradeReply(body=_encode(outcomes), headers=self._gate.headers(orders=True), accepted=done)

    def _batch_new(self, request: TradeRequest) -> TradeReply:
        return self._each(request, self._new)

    def _batch_amend(self, request: TradeRequest) -> TradeReply:
        return self._each(request, self._amend)

    def _batch_cancel(self, fields: Fields) -> object:
        """By numbers, or by client order ids; ccxt writes the names small."""
        market = self._market(fields)
        numbers = fields.get("orderIdList") or fields.get("orderidlist") or "[]"
        names = fields.get("origClientOrderIdList") or fields.get("origclientorderidlist") or "[]"
        try:
            asked = [{"orderId": str(n)} for n in msgspec.json.decode(numbers, type=list[int])]
            asked += [{"origClientOrderId": n} for n in msgspec.json.decode(names, type=list[str])]
        except msgspec.MsgspecError:
            raise missing("orderIdList") from None
        if not 0 < len(asked) <= CANCEL_BATCH_MAX:
            raise refused(-4083, "Invalid number of batch cancel orders.")
        outcomes: list[object] = []
        for one in asked:
            try:
                outcomes.append(self._cancel({"symbol": market.key} | one))
            except RestRefused as refusal:
                outcomes.append(msgspec.Raw(refusal.body))
        return outcomes

    def _countdown(self, fields: Fields) -> object:
        """Orders of a symbol are canceled when nobody has renewed the countdown in time; 0 ends it."""
        market = self._market(fields)
        countdown = fields.get("countdownTime", "")
        if not countdown.isdigit():
            raise missing("countdownTime")
        if int(countdown):
            self._countdowns[market.key] = self._account.now_ns() + int(countdown) * MS
        else:
            self._countdowns.pop(market.key, None)
        return {"symbol": market.key, "countdownTime": countdown}

    # --- The rest of a trading side ------------------------------------------------------------------

    def claims(self, connection_path: str, query: Query, tail: str) -> bool:
        """Whether a WebSocket is a user stream."""
        return self._user.claims(connection_path, query, tail)

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """A user stream."""
        self._user.on_open(connection, query, tail)

    def on_close(self, connection: Connection) -> None:
        """It is gone."""
        self._user.on_close(connection)

    def on_text(self, connection: Connection, text: str) -> None:
        """A request on it."""
        self._user.on_text(connection, text)

    def asked(self, connection: Connection, text: str) -> SocketAsk | None:
        """An order on it."""
        return self._socket.asked(text) if connection.path == ENTRY_PATHS[self.venue] else None

    def listeners(self) -> int:
        """Streams that are told of orders."""
        return len(self._user.hearing())

    def on_turn(self) -> None:
        """Countdowns that ran out."""
        if not self._countdowns:
            return
        now_ns = self._account.now_ns()
        for key in [key for key, due_ns in self._countdowns.items() if due_ns <= now_ns]:
            del self._countdowns[key]
            self._account.cancel_all({key}, waiting=False)

    def on_second(self) -> None:
        """Listen keys."""
        self._user.on_second()

    def on_fault(self, fault: Knob) -> None:
        """Keys that end; strangers on the account."""
        if isinstance(fault, ListenKeyLost):
            self._account.faults.note(fault)
            self._user.expire(told=fault.how == "expired")
        else:
            act_on(self._account, fault)

    def unknown_outcome(self) -> tuple[int, bytes]:
        """-1007."""
        text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        return 408, _encode({"code": -1007, "msg": text})

    def take_hold_ms(self) -> int:
        """How long the fault wants the answer to wait."""
        hold_ms, self._account.hold_ms = self._account.hold_ms, 0
        return hold_ms

    def close(self) -> None:
        """Let go of files."""
        self._account.close()


def refusal_of(text: str, *, spot: bool = False) -> RestRefused:
    """The exchange's own words begin with the venue's code."""
    if spot and text == filters.AT_ONCE:
        return refused(-2010, "Order would trigger immediately.")
    code, _, msg = text.partition(" ")
    return refused(int(code), msg)
