"""OKX v5's order endpoints over one account: placing, amending, canceling, batches, cancel-all-after.

"Place order", "Amend order", "Cancel order", "Place multiple orders", "Cancel All After" and "Error Code / Trade",
okx.com/docs-v5 (read 2026-11). A request with one row that fails has code 1, a batch of which some failed code 2; the
reason is the row's. Algo orders are `okx_algo`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from adapters.okx.encode import refusal as said
from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query
from adapters.simserver.fault_plane import MS
from adapters.simserver.feed import Market
from adapters.simserver.hub import Hub
from adapters.simserver.knob import Knob
from adapters.simserver.order_faults import ListenKeyLost, RefuseAmend, RejectNext
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_rows import shown_id
from adapters.simserver.trading.okx_account import OkxAccount
from adapters.simserver.trading.okx_algo import OkxAlgo
from adapters.simserver.trading.okx_gate import OkxGate
from adapters.simserver.trading.okx_private import OkxPrivate
from adapters.simserver.trading.okx_rows import Row, Rows
from adapters.simserver.trading.okx_socket import OkxSocket
from adapters.simserver.trading.refusals import Refusal, refusal_of
from adapters.simserver.trading.strangers import act_on
from adapters.simserver.trading.wire import SocketAsk, TradeHandler, TradeReply, TradeRequest
from trading.instruments import InstrumentKind
from trading.orders.messages import ExecType, OrdStatus, OrdType, Side, TimeInForce
from trading.sim.state import SimOrder

BATCH_MAX = 20
_CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_KINDS = {
    "market": (OrdType.MARKET, TimeInForce.IOC),
    "optimal_limit_ioc": (OrdType.MARKET, TimeInForce.IOC),
    "limit": (OrdType.LIMIT, TimeInForce.GTC),
    "ioc": (OrdType.LIMIT, TimeInForce.IOC),
    "fok": (OrdType.LIMIT, TimeInForce.FOK),
    "post_only": (OrdType.LIMIT, TimeInForce.GTX),
}
CODES = {
    Refusal.SYMBOL: ("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist."),
    Refusal.PRICE_MISSING: ("51000", "Parameter px error"),
    Refusal.PRICE: ("51006", "Order price is not within the price limit."),
    Refusal.TICK: ("51000", "Parameter px error"),
    Refusal.STEP: ("51121", "Order quantity must be a multiple of the lot size."),
    Refusal.QTY_SMALL: ("51020", "Your order should meet or exceed the minimum order amount."),
    Refusal.QTY_LARGE: ("51202", "Market order amount exceeds the maximum amount."),
    Refusal.NOTIONAL: ("51020", "Your order should meet or exceed the minimum order amount."),
    Refusal.DUPLICATE: ("51016", "Client order ID already exists."),
    Refusal.POST_ONLY: ("51826", "Order rejected as post only."),
    Refusal.TOO_MANY: ("51025", "Order count exceeds the limit."),
    Refusal.BALANCE: ("51008", "Order failed. Insufficient balance in account."),
    Refusal.MARGIN: ("51008", "Order failed. Insufficient margin in account."),
    Refusal.REDUCE_ONLY: ("51169", "Order failed because you don't have any positions in this direction to reduce."),
    Refusal.UNKNOWN_ORDER: ("51400", "Order cancellation failed as the order does not exist."),
    Refusal.AT_ONCE: ("at_once", "the algo order's kind and side have the words"),
    Refusal.OTHER: ("51000", "Parameter error"),
}

Fields = dict[str, str]


class _Failed(Exception):  # noqa: N818 - a row of the venue's answer
    def __init__(self, code: str, msg: str) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg


def _fail(kind: Refusal) -> _Failed:
    return _Failed(*CODES[kind])


def _explained(text: str) -> tuple[str, str]:
    return CODES[refusal_of(text)]


Work = Callable[[Fields], SimOrder]


class OkxTrading:
    """The trading side of OKX."""

    def __init__(self, account: TradingAccount, hub: Hub) -> None:
        self._account = account
        self._gate = OkxGate(account)
        self._rows = Rows(account)
        self._private = OkxPrivate(account, hub, self._rows)
        self._queries = OkxAccount(account, self._rows, self._gate)
        self._algo = OkxAlgo(account, self._rows, self._gate, _explained)
        self._socket = OkxSocket(account, self._gate, self.routes())
        self._cancel_after_ns = 0
        self.ws_paths = self._private.ws_paths

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By (method, path)."""
        works: dict[str, tuple[str, Work]] = {
            "order": ("batch-orders", self._place),
            "cancel-order": ("cancel-batch-orders", self._cancel),
            "amend-order": ("amend-batch-orders", self._amend),
        }
        found: dict[tuple[str, str], TradeHandler] = {
            ("POST", "/api/v5/trade/cancel-all-after"): self._cancel_all_after,
            ("POST", "/api/v5/trade/order-algo"): self._algo.place,
            ("POST", "/api/v5/trade/cancel-algos"): self._algo.cancel,
            ("GET", "/api/v5/trade/order-algo"): self._algo.ask,
            ("GET", "/api/v5/trade/orders-algo-pending"): self._algo.pending,
        }
        for single, (batch, work) in works.items():
            found["POST", f"/api/v5/trade/{single}"] = partial(self._do, work)
            found["POST", f"/api/v5/trade/{batch}"] = partial(self._do, work)
        return found | self._queries.routes()

    # --- Requests ------------------------------------------------------------------------------------

    def _do(self, work: Work, request: TradeRequest) -> TradeReply:
        fields = self._gate.signed(request)
        items = fields if isinstance(fields, list) else [fields]
        if not 0 < len(items) <= BATCH_MAX:
            raise self._gate.refused("50026" if not items else "51502", "Parameter error")
        rows = [self._row(work, item) for item in items]
        failed = sum(row["sCode"] != "0" for row in rows)
        code = "0" if not failed else "1" if failed == len(rows) else "2"
        msg = "" if code == "0" else "All operations failed" if code == "1" else "Bulk operation partially succeeded."
        return self._gate.rows(rows, code=code, msg=msg, accepted=failed < len(rows))

    def _row(self, work: Work, item: Fields) -> Row:
        now = str(self._account.venue_ms())
        row: Row = {"tag": item.get("tag", ""), "ts": now}
        if "reqId" in item:
            row["reqId"] = item["reqId"]
        try:
            order = work(item)
        except _Failed as failed:
            ids = {"clOrdId": item.get("clOrdId", ""), "ordId": item.get("ordId", "")}
            return row | ids | {"sCode": failed.code, "sMsg": failed.msg}
        named = "" if order.trigger is not None else shown_id(order.cl_ord_id)
        return row | {"clOrdId": named, "ordId": str(order.order_no), "sCode": "0", "sMsg": ""}

    def _market(self, fields: Fields) -> Market:
        market = self._account.markets.get(fields.get("instId", ""))
        if market is None:
            raise _fail(Refusal.SYMBOL)
        return market

    def _amount(self, fields: Fields, name: str) -> Decimal:
        value = fields.get(name, "")
        if not _NUMBER.fullmatch(value):
            raise _Failed("51000", f"Parameter {name} error")
        return Decimal(value)

    def _check(self, market: Market, fields: Fields) -> None:
        spot = market.instrument.kind is InstrumentKind.SPOT
        if fields.get("tdMode") not in ({"cash"} if spot else {"cross"}):
            raise _Failed("51000", "Parameter tdMode error")
        if fields.get("attachAlgoOrds") or fields.get("slTriggerPx") or fields.get("tpTriggerPx"):
            raise _Failed("51000", "Parameter attachAlgoOrds error")
        if not spot and (self._account.settings.hedge or fields.get("posSide", "net") not in {"net", ""}):
            raise _Failed("51000", "Parameter posSide error")
        rejected = self._account.faults.take(RejectNext, market.key)
        if rejected is not None:
            raise _Failed(str(rejected.code), rejected.msg)
        if self._account.halted(market):
            raise _Failed("51022", "Contract suspended.")

    def _place(self, fields: Fields) -> SimOrder:
        market = self._market(fields)
        side = {"buy": Side.BUY, "sell": Side.SELL}.get(fields.get("side", ""))
        kind = _KINDS.get(fields.get("ordType", ""))
        if side is None or kind is None:
            raise _Failed("51000", f"Parameter {'side' if side is None else 'ordType'} error")
        client_id = fields.get("clOrdId", "")
        if client_id and not _CLIENT_ID.fullmatch(client_id):
            raise _Failed("51000", "Parameter clOrdId error")
        self._check(market, fields)
        cl_ord_id = client_id or self._account.new_id()
        report = self._account.place(
            market,
            side=side,
            ord_type=kind[0],
            time_in_force=kind[1],
            qty=self._qty(market, fields, side, kind[0]),
            price=self._amount(fields, "px") if kind[0] is OrdType.LIMIT else None,
            cl_ord_id=cl_ord_id,
            reduce_only=fields.get("reduceOnly") == "true" and market.instrument.kind is not InstrumentKind.SPOT,
        )
        if report.exec_type is ExecType.REJECTED:
            raise _fail(refusal_of(report.text))
        order = self._account.order(cl_ord_id=cl_ord_id)
        assert order is not None
        return order

    def _qty(self, market: Market, fields: Fields, side: Side, ord_type: OrdType) -> Decimal:
        """Spot market buys are in quote currency unless they say otherwise."""
        qty = self._amount(fields, "sz")
        spot = market.instrument.kind is InstrumentKind.SPOT
        unit = fields.get("tgtCcy") or ("quote_ccy" if side is Side.BUY else "base_ccy")
        if not spot or ord_type is not OrdType.MARKET or unit != "quote_ccy":
            return qty
        return market.instrument.qty(self._account.lots_for(market, qty))

    def _find(self, fields: Fields) -> SimOrder:
        market = self._market(fields)
        number, client_id = fields.get("ordId", ""), fields.get("clOrdId", "")
        if not number and not client_id:
            raise _Failed("51003", "Either clOrdId or ordId is required.")
        order = self._account.order(int(number) if number.isdigit() else None, "" if number else client_id)
        nameless = order is not None and order.trigger is not None and (not number or not order.was_on_book)
        if order is None or nameless or order.instrument_id != market.instrument.instrument_id:
            raise _fail(Refusal.UNKNOWN_ORDER)
        return order

    def _cancel(self, fields: Fields) -> SimOrder:
        order = self._find(fields)
        if not order.is_open:
            if order.status is OrdStatus.FILLED:
                raise _Failed("51402", "Order cancellation failed as the order has been completed.")
            raise _Failed("51401", "Order cancellation failed as the order has already been canceled.")
        self._account.cancel(order)
        return order

    def _amend(self, fields: Fields) -> SimOrder:
        order = self._find(fields)
        if not order.is_open:
            raise _Failed("51503", "Your order has already been filled or canceled.")
        market = self._market(fields)
        one = market.instrument
        barred = self._account.faults.take(RefuseAmend, market.key)
        if barred is not None:
            raise _Failed(str(barred.code), barred.msg)
        qty = self._amount(fields, "newSz") if fields.get("newSz") else one.qty(order.order_lots)
        price = self._amount(fields, "newPx") if fields.get("newPx") else one.price(order.price_ticks or 0)
        if qty < one.qty(order.cum_lots):
            raise _Failed("51506", "Order modification unavailable for the amount already filled.")
        refusal = self._account.amend(order, qty, price)
        if refusal:
            raise _fail(refusal_of(refusal))
        return order

    def _cancel_all_after(self, request: TradeRequest) -> TradeReply:
        """A switch for dead clients: 0 takes it away, 10 to 120 seconds set it anew."""
        timeout = self._gate.one(request).get("timeOut", "")
        if not timeout.isdigit() or (int(timeout) and not 10 <= int(timeout) <= 120):
            raise self._gate.refused("51000", "Parameter timeOut error")
        now_ns = self._account.now_ns()
        self._cancel_after_ns = now_ns + int(timeout) * 1000 * MS if int(timeout) else 0
        trigger = str(self._account.wire_ms(self._cancel_after_ns)) if self._cancel_after_ns else "0"
        row: Row = {"triggerTime": trigger, "tag": "", "ts": str(self._account.wire_ms(now_ns))}
        return self._gate.rows([row], accepted=True)

    # --- The rest of a trading side ------------------------------------------------------------------

    def claims(self, connection_path: str, query: Query, tail: str) -> bool:
        """Whether a WebSocket is a private one."""
        return connection_path == "/ws/v5/private"

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
        return self._socket.asked(text, logged_in=self._private.is_logged_in(connection))

    def listeners(self) -> int:
        """Channels that are served."""
        return self._private.listeners()

    def on_turn(self) -> None:
        """The switch."""
        if self._cancel_after_ns and self._account.now_ns() >= self._cancel_after_ns:
            self._cancel_after_ns = 0
            self._account.cancel_all(waiting=False)

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
        """Endpoint request timeout."""
        text = "API endpoint request timeout (does not mean that the request was successful or failed, please check)."
        return 200, said("50004", text)

    def take_hold_ms(self) -> int:
        """How long the fault wants the answer to wait."""
        hold_ms, self._account.hold_ms = self._account.hold_ms, 0
        return hold_ms

    def close(self) -> None:
        """Let go of files."""
        self._account.close()
