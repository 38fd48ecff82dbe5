"""Bybit v5's order endpoints over one account of all categories: placing, amending, canceling, batches, DCP.

"Place Order", "Amend Order", "Cancel Order", "Batch Place Order", "Set DCP" and "Error Codes",
bybit-exchange.github.io/docs/v5 (read 2026-11). An answer says that a request was taken; what became of the order is
told on the private topics. Orders that wait for a trigger are `bybit_triggers`'.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query, RestRefused
from adapters.simserver.feed import Market
from adapters.simserver.hub import Hub
from adapters.simserver.knob import Knob
from adapters.simserver.order_faults import ListenKeyLost, RefuseAmend, RejectNext
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_rows import shown_id
from adapters.simserver.trading.bybit_account import BybitAccount
from adapters.simserver.trading.bybit_gate import BybitGate
from adapters.simserver.trading.bybit_private import TRADE_PATH, BybitPrivate
from adapters.simserver.trading.bybit_rows import Rows, number_of, order_id
from adapters.simserver.trading.bybit_socket import BybitSocket
from adapters.simserver.trading.bybit_triggers import Fields, closes, text_of, waiting_of, wrong_side
from adapters.simserver.trading.refusals import Refusal, refusal_of
from adapters.simserver.trading.strangers import act_on
from adapters.simserver.trading.wire import SocketAsk, TradeHandler, TradeReply, TradeRequest
from trading.instruments import InstrumentKind
from trading.orders.messages import ExecType, OrdStatus, OrdType, Side, TimeInForce
from trading.sim.state import SimOrder

BATCH_MAX = {"spot": 10, "linear": 20, "inverse": 20}
_LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_IN_FORCE = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK, "PostOnly": TimeInForce.GTX}

SPOT_CODES = {
    Refusal.SYMBOL: (170121, "Invalid symbol."),
    Refusal.PRICE_MISSING: (170105, "Parameter 'price' was empty."),
    Refusal.PRICE: (170132, "Order price too high."),
    Refusal.TICK: (170134, "Order price has too many decimals."),
    Refusal.STEP: (170137, "Order quantity has too many decimals."),
    Refusal.QTY_SMALL: (170136, "Order quantity exceeded lower limit."),
    Refusal.QTY_LARGE: (170135, "Order quantity exceeded upper limit."),
    Refusal.NOTIONAL: (170140, "Order value exceeded lower limit."),
    Refusal.DUPLICATE: (170141, "Duplicate clientOrderId"),
    Refusal.POST_ONLY: (170218, "The LIMIT-MAKER order is rejected due to invalid price."),
    Refusal.TOO_MANY: (170193, "Too many open orders."),
    Refusal.BALANCE: (170131, "Insufficient balance."),
    Refusal.MARGIN: (170131, "Insufficient balance."),
    Refusal.REDUCE_ONLY: (170210, "New order rejected."),
    Refusal.AT_ONCE: (170210, "New order rejected."),
    Refusal.UNKNOWN_ORDER: (170213, "Order does not exist."),
    Refusal.OTHER: (170210, "New order rejected."),
}
CONTRACT_CODES = {
    Refusal.SYMBOL: (10001, "params error: Symbol Is Invalid"),
    Refusal.PRICE_MISSING: (10001, "params error: price invalid"),
    Refusal.PRICE: (110003, "Order price exceeds the allowable range."),
    Refusal.TICK: (10001, "params error: price invalid"),
    Refusal.STEP: (10001, "Qty invalid"),
    Refusal.QTY_SMALL: (10001, "The number of contracts below minimum limit allowed"),
    Refusal.QTY_LARGE: (10001, "The number of contracts exceeds maximum limit allowed: too large"),
    Refusal.NOTIONAL: (110094, "Order does not meet minimum order value."),
    Refusal.DUPLICATE: (110072, "OrderLinkedID is duplicate"),
    Refusal.POST_ONLY: (110003, "Order price exceeds the allowable range."),
    Refusal.TOO_MANY: (110020, "Not allowed to have more than 500 active orders"),
    Refusal.BALANCE: (110007, "ab not enough for new order"),
    Refusal.MARGIN: (110007, "ab not enough for new order"),
    Refusal.REDUCE_ONLY: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Refusal.AT_ONCE: (110093, "expect Falling, but trigger_price > current"),
    Refusal.UNKNOWN_ORDER: (110001, "order not exists or too late to cancel"),
    Refusal.OTHER: (110013, "Order rejected"),
}

Work = Callable[[str, Fields], SimOrder]


class BybitTrading:
    """The trading side of Bybit."""

    def __init__(self, account: TradingAccount, hub: Hub) -> None:
        self._account = account
        self._gate = BybitGate(account)
        self._rows = Rows(account)
        self._private = BybitPrivate(account, hub, self._rows)
        self._queries = BybitAccount(account, self._rows, self._gate, self._private)
        self._socket = BybitSocket(account, self._gate, self.routes())
        self.ws_paths = self._private.ws_paths

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By (method, path)."""
        works: dict[str, Work] = {"create": self._create, "amend": self._amend, "cancel": self._cancel}
        found: dict[tuple[str, str], TradeHandler] = {
            ("POST", "/v5/order/cancel-all"): self._cancel_all,
            ("POST", "/v5/order/disconnected-cancel-all"): self._set_dcp,
        }
        for name, work in works.items():
            found["POST", f"/v5/order/{name}"] = partial(self._one, work)
            found["POST", f"/v5/order/{name}-batch"] = partial(self._each, work)
        return found | self._queries.routes()

    # --- One order -----------------------------------------------------------------------------------

    def _one(self, work: Work, request: TradeRequest) -> TradeReply:
        fields = self._gate.signed(request)
        category = self._category(fields)
        order = work(category, fields)
        return self._gate.answer(request.path, self._ids(category, order), accepted=True)

    def _ids(self, category: str, order: SimOrder) -> Fields:
        ids = order_id(order.order_no, spot=category == "spot")
        return {"orderId": ids, "orderLinkId": shown_id(order.cl_ord_id)}

    def _category(self, fields: Fields) -> str:
        category = text_of(fields, "category")
        if category not in BATCH_MAX:
            raise self._gate.refused(10001, "params error: Category is invalid")
        return category

    def _refusal(self, category: str, kind: Refusal) -> RestRefused:
        return self._gate.refused(*(SPOT_CODES if category == "spot" else CONTRACT_CODES)[kind])

    def _market(self, category: str, fields: Fields) -> Market:
        market = self._account.markets.get(f"{category}:{text_of(fields, 'symbol')}")
        if market is None:
            raise self._refusal(category, Refusal.SYMBOL)
        return market

    def _amount(self, category: str, fields: Fields, name: str) -> Decimal:
        value = text_of(fields, name)
        if not _NUMBER.fullmatch(value):
            raise self._gate.refused(10001, f"params error: {name} invalid")
        return Decimal(value)

    def _check(self, market: Market, fields: Fields) -> None:
        for name in ("takeProfit", "stopLoss", "bboSideType"):
            if text_of(fields, name) not in {"", "0"}:
                raise self._gate.refused(10001, f"params error: {name} is not supported")
        spot = market.instrument.kind is InstrumentKind.SPOT
        if not spot and (self._account.settings.hedge or text_of(fields, "positionIdx") not in {"", "0"}):
            raise self._gate.refused(10001, "position idx not match position mode")
        rejected = self._account.faults.take(RejectNext, market.key)
        if rejected is not None:
            raise self._gate.refused(rejected.code, rejected.msg)
        if self._account.halted(market):
            if spot:
                raise self._gate.refused(170151, "The trading pair is not open yet.")
            raise self._gate.refused(110074, "This contract is not live")

    def _create(self, category: str, fields: Fields) -> SimOrder:
        market = self._market(category, fields)
        side = {"Buy": Side.BUY, "Sell": Side.SELL}.get(text_of(fields, "side"))
        ord_type = {"Market": OrdType.MARKET, "Limit": OrdType.LIMIT}.get(text_of(fields, "orderType"))
        if side is None or ord_type is None:
            raise self._gate.refused(10001, "params error: side or orderType invalid")
        in_force = _IN_FORCE.get(text_of(fields, "timeInForce") or "GTC")
        if in_force is None:
            raise self._gate.refused(10001, "params error: timeInForce invalid")
        link_id = text_of(fields, "orderLinkId")
        if link_id and not _LINK_ID.fullmatch(link_id):
            raise self._gate.refused(10001, "params error: orderLinkId invalid")
        self._check(market, fields)
        qty = self._qty(category, market, fields, side, ord_type)
        cl_ord_id = link_id or self._account.new_id()
        limit = ord_type is OrdType.LIMIT
        waits = waiting_of(self._gate, market, fields, side, limit=limit)
        report = self._account.place(
            market,
            side=side,
            ord_type=ord_type if waits is None else waits[0],
            time_in_force=TimeInForce.IOC if ord_type is OrdType.MARKET else in_force,
            qty=qty,
            price=self._amount(category, fields, "price") if limit else None,
            cl_ord_id=cl_ord_id,
            reduce_only=category != "spot" and closes(fields),
            trigger=None if waits is None else waits[1],
        )
        if report.exec_type is ExecType.REJECTED:
            if waits is not None and refusal_of(report.text) is Refusal.AT_ONCE:
                raise self._gate.refused(*wrong_side(side, *waits))
            raise self._refusal(category, refusal_of(report.text))
        order = self._account.order(cl_ord_id=cl_ord_id)
        assert order is not None
        return order

    def _qty(self, category: str, market: Market, fields: Fields, side: Side, ord_type: OrdType) -> Decimal:
        """Spot market buys are in quote currency unless they say otherwise."""
        qty = self._amount(category, fields, "qty")
        unit = text_of(fields, "marketUnit") or ("quoteCoin" if side is Side.BUY else "baseCoin")
        if category != "spot" or ord_type is not OrdType.MARKET or unit != "quoteCoin":
            return qty
        return market.instrument.qty(self._account.lots_for(market, qty))

    def _find(self, category: str, fields: Fields) -> SimOrder:
        market = self._market(category, fields)
        ids, link_id = text_of(fields, "orderId"), text_of(fields, "orderLinkId")
        if not ids and not link_id:
            raise self._gate.refused(10001, "params error: orderId or orderLinkId is required")
        order = self._account.order(number_of(ids) if ids else None, link_id)
        if order is None or order.instrument_id != market.instrument.instrument_id:
            raise self._refusal(category, Refusal.UNKNOWN_ORDER)
        if not order.is_open:
            if category != "spot":
                raise self._refusal(category, Refusal.UNKNOWN_ORDER)
            filled = order.status is OrdStatus.FILLED
            raise self._gate.refused(
                *((170139, "Order has been filled.") if filled else (170142, "Order has been canceled"))
            )
        return order

    def _cancel(self, category: str, fields: Fields) -> SimOrder:
        order = self._find(category, fields)
        self._account.cancel(order)
        return order

    def _amend(self, category: str, fields: Fields) -> SimOrder:
        order = self._find(category, fields)
        market = self._market(category, fields)
        one = market.instrument
        barred = self._account.faults.take(RefuseAmend, market.key)
        if barred is not None:
            raise self._gate.refused(barred.code, barred.msg)
        qty = self._amount(category, fields, "qty") if text_of(fields, "qty") else one.qty(order.order_lots)
        if text_of(fields, "price"):
            price = self._amount(category, fields, "price")
        else:
            price = one.price(order.price_ticks or 0)
        if qty == one.qty(order.order_lots) and price == one.price(order.price_ticks or 0):
            raise self._gate.refused(
                10001, "The order remains unchanged as the parameters entered match the existing ones."
            )
        refusal = self._account.amend(order, qty, price)
        if refusal:
            raise self._refusal(category, refusal_of(refusal))
        return order

    # --- Many orders ---------------------------------------------------------------------------------

    def _each(self, work: Work, request: TradeRequest) -> TradeReply:
        """Items have outcomes of their own, in ``retExtInfo``; the whole is retCode 0."""
        fields = self._gate.signed(request)
        category = self._category(fields)
        items = fields.get("request")
        if not isinstance(items, list) or not 0 < len(items) <= BATCH_MAX[category]:
            raise self._gate.refused(10001, "params error: request size is invalid")
        rows: list[Fields] = []
        info: list[Fields] = []
        for item in items:
            one: Fields = item if isinstance(item, dict) else {}
            row: Fields = {"category": category, "symbol": text_of(one, "symbol")}
            try:
                order = work(category, one)
                rows.append(row | self._ids(category, order) | {"createAt": str(self._account.wire_ms(order.ts_ns))})
                info.append({"code": 0, "msg": "OK"})
            except RestRefused as refused:
                code, msg = self._queries.words_of(refused)
                rows.append(row | {"orderId": "", "orderLinkId": text_of(one, "orderLinkId"), "createAt": ""})
                info.append({"code": code, "msg": msg})
        done = any(not one["code"] for one in info)
        return self._gate.answer(request.path, {"list": rows}, accepted=done, info=info)

    def _cancel_all(self, request: TradeRequest) -> TradeReply:
        fields = self._gate.signed(request)
        category = self._category(fields)
        symbol, settle, base = (text_of(fields, name) for name in ("symbol", "settleCoin", "baseCoin"))
        if category != "spot" and not (symbol or settle or base):
            raise self._gate.refused(10001, "params error: symbol, baseCoin or settleCoin is required")
        if symbol:
            self._market(category, fields)
        keys = {
            key
            for key, market in self._account.markets.items()
            if key.startswith(f"{category}:")
            and symbol in {"", market.instrument.symbol}
            and settle in {"", market.instrument.settle}
            and base in {"", market.instrument.base}
        }
        canceled = self._account.cancel_all(keys)
        result: Fields = {"list": [self._ids(category, order) for order in canceled]}
        return self._gate.answer(request.path, result | {"success": "1"}, accepted=True)

    def _set_dcp(self, request: TradeRequest) -> TradeReply:
        fields = self._gate.signed(request)
        window = text_of(fields, "timeWindow")
        product = text_of(fields, "product") or "OPTIONS"
        if not window.isdigit() or not 3 <= int(window) <= 300 or product not in {"SPOT", "DERIVATIVES", "OPTIONS"}:
            raise self._gate.refused(10001, "params error: timeWindow must be in [3, 300]")
        self._private.arm(product, int(window))
        return self._gate.answer(request.path, {}, accepted=True)

    # --- The rest of a trading side ------------------------------------------------------------------

    def claims(self, connection_path: str, query: Query, tail: str) -> bool:
        """Whether a WebSocket is a private one."""
        return connection_path.startswith(("/v5/private", TRADE_PATH))

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """A private client."""
        self._private.on_open(connection)

    def on_close(self, connection: Connection) -> None:
        """It is gone."""
        self._private.on_close(connection)

    def on_text(self, connection: Connection, text: str) -> None:
        """A request on it."""
        self._private.on_text(connection, text)

    def asked(self, connection: Connection, text: str) -> SocketAsk | None:
        """An order on it."""
        if connection.path != TRADE_PATH:
            return None
        return self._socket.asked(text, logged_in=self._private.is_logged_in(connection))

    def listeners(self) -> int:
        """Topics of orders that are served."""
        return self._private.listeners()

    def on_turn(self) -> None:
        """Orders whose clients are gone too long."""
        self._private.on_turn()

    def on_second(self) -> None:
        """Sessions do not age."""

    def on_fault(self, fault: Knob) -> None:
        """Sessions that end; strangers on the account."""
        if isinstance(fault, ListenKeyLost):
            self._account.faults.note(fault)
            self._private.end_sessions(told=fault.how == "expired")
        else:
            act_on(self._account, fault)

    def unknown_outcome(self) -> tuple[int, bytes]:
        """Server timeout."""
        return 200, self._gate.refused(10000, "Server Timeout").body

    def take_hold_ms(self) -> int:
        """How long the fault wants the answer to wait."""
        hold_ms, self._account.hold_ms = self._account.hold_ms, 0
        return hold_ms

    def close(self) -> None:
        """Let go of files."""
        self._account.close()
