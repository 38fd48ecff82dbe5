"""MEXC's private spot REST over one account: who gets through, orders, executions, balances.

"SIGNED", "New Order", "Cancel Order", "Cancel all Open Orders on a Symbol", "Query Order", "Current Open Orders",
"Account Information", "Account Trade List" and "Error Code", mexc.com/api-docs/spot-v3 (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import msgspec

from adapters.simserver.dialect import RestRefused
from adapters.simserver.feed import Market
from adapters.simserver.gate_spot import Fields, Row, digits
from adapters.simserver.order_faults import AuthFailure, EmptyAccount, RejectNext
from adapters.simserver.trading.account import Fill, TradingAccount
from adapters.simserver.trading.holdings import balances
from adapters.simserver.trading.keys import same, signed_part
from adapters.simserver.trading.refusals import Refusal, refusal_of
from adapters.simserver.trading.wire import TradeHandler, TradeReply, TradeRequest, pairs
from trading.orders.messages import ExecType, Liquidity, OrdStatus, OrdType, Side, TimeInForce
from trading.sim.state import SimOrder

ROOT = "/api/v3"
TRADES_MAX = 100
_encode = msgspec.json.encode
_KINDS = {
    "LIMIT": (OrdType.LIMIT, TimeInForce.GTC),
    "LIMIT_MAKER": (OrdType.LIMIT, TimeInForce.GTX),
    "IMMEDIATE_OR_CANCEL": (OrdType.LIMIT, TimeInForce.IOC),
    "FILL_OR_KILL": (OrdType.LIMIT, TimeInForce.FOK),
    "MARKET": (OrdType.MARKET, TimeInForce.IOC),
}
_KIND_WORDS = {kind: word for word, kind in _KINDS.items()}
_CODES = {
    Refusal.BALANCE: (30004, "Insufficient position"),
    Refusal.POST_ONLY: (30041, "current order type can not place order"),
    Refusal.DUPLICATE: (-2010, "Duplicate order sent."),
    Refusal.STEP: (10096, "amount decimal places is too long"),
    Refusal.TICK: (30010, "no valid trade price"),
    Refusal.NOTIONAL: (30002, "The minimum transaction volume cannot be less than:1USDT"),
    Refusal.QTY_SMALL: (30002, "The minimum transaction volume cannot be less than the base size"),
    Refusal.QTY_LARGE: (30003, "The maximum transaction volume cannot be greater"),
    Refusal.TOO_MANY: (30029, "Cannot exceed the maximum order limit"),
}


def refused(code: int, msg: str, status: int = 400) -> RestRefused:
    """An error in the venue's words."""
    return RestRefused(status, _encode({"code": code, "msg": msg}))


class MexcSpot:
    """The words of one server."""

    def __init__(self, account: TradingAccount) -> None:
        self._account = account

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By method and path."""
        return {
            ("GET", f"{ROOT}/time"): self._time,
            ("POST", f"{ROOT}/order"): partial(self._done, self._place),
            ("DELETE", f"{ROOT}/order"): partial(self._done, self._cancel),
            ("DELETE", f"{ROOT}/openOrders"): partial(self._done, self._cancel_all),
            ("GET", f"{ROOT}/order"): partial(self._asked, self._order),
            ("GET", f"{ROOT}/openOrders"): partial(self._asked, self._open_orders),
            ("GET", f"{ROOT}/myTrades"): partial(self._asked, self._trades),
            ("GET", f"{ROOT}/account"): partial(self._asked, self._balances),
        }

    def refusal(self, status: int) -> bytes:
        """The body of an HTTP error."""
        return _encode({"code": status, "msg": f"HTTP {status}"})

    def error(self) -> RestRefused:
        """A failure inside the venue."""
        return refused(20002, "Internal system error please contact support", 500)

    def unknown_outcome(self) -> tuple[int, bytes]:
        """An internal error is all that is said."""
        return 500, _encode({"code": 20002, "msg": "Internal system error please contact support"})

    def take_hold_ms(self) -> int:
        """Answers wait where a fault says so."""
        held, self._account.hold_ms = self._account.hold_ms, 0
        return held

    # --- Who gets through ------------------------------------------------------------------------------

    def _done(self, work: Callable[[TradeRequest, Fields], object], request: TradeRequest) -> TradeReply:
        return TradeReply(body=_encode(work(request, self._signed(request))), accepted=True)

    def _asked(self, question: Callable[[TradeRequest, Fields], object], request: TradeRequest) -> TradeReply:
        return TradeReply(body=_encode(question(request, self._signed(request))))

    def _time(self, _request: TradeRequest) -> TradeReply:
        return TradeReply(body=_encode({"serverTime": self._account.venue_ms()}))

    def _signed(self, request: TradeRequest) -> Fields:
        query, signature = signed_part(request.raw_query)
        fields = pairs(query)
        key = request.headers.get("X-MEXC-APIKEY", "")
        if key != self._account.credentials.api_key or self._account.faults.take(AuthFailure, request.path):
            raise refused(10072, "Api key info invalid")
        stamp, window = fields.get("timestamp", ""), fields.get("recvWindow", "5000")
        if not stamp.isdigit():
            raise refused(700004, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
        if not window.isdigit() or int(window) > 60_000:
            raise refused(700005, "recvWindow must less than 60000")
        now_ms = self._account.venue_ms()
        if now_ms - int(stamp) > int(window) or int(stamp) > now_ms + 1_000:
            raise refused(700003, "Timestamp for this request is outside of the recvWindow.")
        if not same(self._account.credentials.hex_digest(query), signature):
            raise refused(700002, "Signature for this request is not valid.")
        return fields

    # --- Orders ----------------------------------------------------------------------------------------

    def _market(self, fields: Fields) -> Market:
        market = self._account.markets.get(fields.get("symbol", ""))
        if market is None:
            raise refused(10007, "bad symbol")
        return market

    def _place(self, _request: TradeRequest, fields: Fields) -> Row:
        market = self._market(fields)
        rejected = self._account.faults.take(RejectNext, market.key)
        if rejected is not None:
            raise refused(rejected.code, rejected.msg)
        side, kind = Side.__members__.get(fields.get("side", "")), _KINDS.get(fields.get("type", ""))
        if side is None or kind is None:
            raise refused(700008, "Illegal characters found in parameter 'side' or 'type'")
        report = self._account.place(
            market,
            side=side,
            ord_type=kind[0],
            time_in_force=kind[1],
            qty=Decimal(fields.get("quantity", "0")),
            price=Decimal(fields.get("price", "0")) if kind[0] is OrdType.LIMIT else None,
            cl_ord_id=fields.get("newClientOrderId") or self._account.new_id("~"),
        )
        if report.exec_type is ExecType.REJECTED:
            raise refused(*_CODES.get(refusal_of(report.text), (700004, report.text)))
        return {
            "symbol": market.key,
            "orderId": _order_id(int(report.order_id)),
            "orderListId": -1,
            "price": digits(report.price or Decimal(0)),
            "origQty": digits(report.order_qty),
            "type": fields["type"],
            "side": fields["side"],
            "transactTime": self._account.wire_ms(report.ts_event_ns),
        }

    def _find(self, fields: Fields) -> SimOrder | None:
        market = self._market(fields)
        number = fields.get("orderId", "").removeprefix(_PREFIX)
        cl_ord_id = fields.get("origClientOrderId", "")
        if not number and not cl_ord_id:
            raise refused(700004, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        order = self._account.order(int(number)) if number.isdigit() else self._account.order(cl_ord_id=cl_ord_id)
        return order if order is not None and order.instrument_id == market.instrument.instrument_id else None

    def _order(self, request: TradeRequest, fields: Fields) -> Row:
        order = self._find(fields)
        if order is None or not self._account.seen([order], request.path):
            raise refused(-2013, "Order does not exist.")
        return self._row(order)

    def _cancel(self, _request: TradeRequest, fields: Fields) -> Row:
        order = self._find(fields)
        if order is None or not order.is_open:
            raise refused(-2011, "Unknown order sent.")
        self._account.cancel(order)
        return self._row(order) | {"origClientOrderId": order.cl_ord_id}

    def _cancel_all(self, _request: TradeRequest, fields: Fields) -> list[Row]:
        return [self._row(order) for order in self._account.cancel_all({self._market(fields).key})]

    def _open_orders(self, request: TradeRequest, fields: Fields) -> list[Row]:
        market = self._market(fields)
        mine = [o for o in self._account.working() if o.instrument_id == market.instrument.instrument_id]
        return [self._row(order) for order in self._account.seen(mine, request.path)]

    # --- The account -----------------------------------------------------------------------------------

    def _trades(self, request: TradeRequest, fields: Fields) -> list[Row]:
        market = self._market(fields)
        begin, end = int(fields.get("startTime", "0")), int(fields.get("endTime", str(2**50)))
        limit = min(int(fields.get("limit", "100")), TRADES_MAX)
        found = [
            fill
            for fill in self._account.fills_seen(market, request.path)
            if begin <= self._account.wire_ms(fill.report.ts_event_ns) <= end
        ][::-1]
        return [self._trade(fill, market) for fill in found[:limit]]

    def _balances(self, request: TradeRequest, _fields: Fields) -> Row:
        held = [] if self._account.faults.take(EmptyAccount, request.path) else balances(self._account)
        rows = [
            {"asset": one.asset, "free": digits(one.wallet - one.locked), "locked": digits(one.locked)} for one in held
        ]
        return {
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "updateTime": None,
            "accountType": "SPOT",
            "balances": rows,
            "permissions": ["SPOT"],
        }

    def _row(self, order: SimOrder) -> Row:
        market = self._account.markets[self._account.key_of[order.instrument_id]]
        instrument = market.instrument
        made, changed = (self._account.wire_ms(at) for at in (order.ts_ns, order.updated_ns or order.ts_ns))
        return {
            "symbol": market.key,
            "orderId": _order_id(order.order_no),
            "orderListId": -1,
            "clientOrderId": order.cl_ord_id.partition("~")[0],
            "price": digits(instrument.price(order.price_ticks or 0)),
            "origQty": digits(instrument.qty(order.order_lots)),
            "executedQty": digits(instrument.qty(order.cum_lots)),
            "cummulativeQuoteQty": digits(order.cum_value),
            "status": _status(order),
            "timeInForce": None,
            "type": _KIND_WORDS[order.ord_type, order.time_in_force],
            "side": order.side.name,
            "stopPrice": None,
            "time": made,
            "updateTime": changed,
            "isWorking": True,
            "origQuoteOrderQty": None,
        }

    def _trade(self, fill: Fill, market: Market) -> Row:
        report = fill.report
        return {
            "symbol": market.key,
            "id": f"{fill.trade_id}X1",
            "orderId": _order_id(int(report.order_id)),
            "orderListId": -1,
            "price": digits(report.last_px),
            "qty": digits(report.last_qty),
            "quoteQty": digits(report.last_qty * report.last_px),
            "commission": digits(report.fee),
            "commissionAsset": report.fee_asset,
            "time": self._account.wire_ms(report.ts_event_ns),
            "isBuyer": report.side is Side.BUY,
            "isMaker": report.liquidity is Liquidity.MAKER,
            "isBestMatch": True,
            "isSelfTrade": False,
            # As the venue has it more often than not: whose order it was, the order itself tells.
            "clientOrderId": None,
        }


_PREFIX = "C02__"


def _order_id(number: int) -> str:
    return f"{_PREFIX}{number}"


def _status(order: SimOrder) -> str:
    if order.status in {OrdStatus.CANCELED, OrdStatus.EXPIRED}:
        return "PARTIALLY_CANCELED" if order.cum_lots else "CANCELED"
    return order.status.name
