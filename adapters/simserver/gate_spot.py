"""Gate.io's private spot REST over one account: who gets through, orders, executions, balances, the countdown.

"Signed request requirements", "Create an order", "Get a single order", "List all open orders", "Retrieve personal
trading records", "List spot trading accounts", "Countdown cancel orders" and "Query All Main Account Key Information",
gate.com/docs/developers/apiv4 (read 2026-11). What label a request gets that comes after its ``x-gate-exptime`` the
document does not say; that it is rejected, it does.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from urllib.parse import unquote

import msgspec

from adapters.simserver.dialect import RestRefused
from adapters.simserver.feed import Market
from adapters.simserver.order_faults import AuthFailure, EmptyAccount, KeyMayWithdraw, RejectNext
from adapters.simserver.trading.account import Fill, TradingAccount
from adapters.simserver.trading.holdings import balances
from adapters.simserver.trading.keys import same
from adapters.simserver.trading.limits import Window
from adapters.simserver.trading.refusals import Refusal, refusal_of
from adapters.simserver.trading.wire import TradeHandler, TradeReply, TradeRequest
from trading.orders.messages import ExecType, Liquidity, OrdStatus, OrdType, Side, TimeInForce
from trading.sim.fees import money
from trading.sim.state import SimOrder

ROOT = "/api/v4"
CALLS_MAX = 300
EXPIRES_S = 60
PAGE_MAX = 100
TRADES_MAX = 1_000
Row = dict[str, object]
Fields = dict[str, str]

_encode = msgspec.json.encode
_TIF = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK, "poc": TimeInForce.GTX}
_TIF_WORDS = {tif: word for word, tif in _TIF.items()}
_LABELS = {
    Refusal.BALANCE: ("BALANCE_NOT_ENOUGH", "Not enough balance"),
    Refusal.POST_ONLY: ("POC_FILL_IMMEDIATELY", "Order would match and take immediately so its cancelled"),
    Refusal.DUPLICATE: ("REPEATED_CREATION", "Repeated creation"),
    Refusal.SYMBOL: ("INVALID_CURRENCY_PAIR", "Invalid currency pair"),
    Refusal.STEP: ("INVALID_PRECISION", "Invalid amount precision"),
    Refusal.TICK: ("INVALID_PRECISION", "Invalid price precision"),
    Refusal.TOO_MANY: ("TOO_MANY_ORDERS", "Too many open orders"),
    Refusal.NOTIONAL: ("INVALID_PARAM_VALUE", "Your order size is too small. The minimum is 3 USDT"),
    Refusal.QTY_SMALL: ("AMOUNT_TOO_LITTLE", "Amount is too little"),
    Refusal.QTY_LARGE: ("AMOUNT_TOO_MUCH", "Amount is too much"),
}


def refused(label: str, message: str, status: int = 400, headers: dict[str, str] | None = None) -> RestRefused:
    """An error in the venue's words."""
    return RestRefused(status, _encode({"label": label, "message": message}), headers)


def digits(amount: Decimal) -> str:
    """All digits and no more."""
    words = f"{money(amount):f}"
    return (words.rstrip("0").rstrip(".") or "0") if "." in words else words


class GateSpot:
    """The words of one server."""

    def __init__(self, account: TradingAccount) -> None:
        self._account = account
        self._calls = Window("10S", 10, CALLS_MAX)
        self._until_ns: dict[str, int] = {}

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By method and aiohttp's route pattern."""
        spot = f"{ROOT}/spot"
        return {
            ("GET", f"{spot}/time"): self._time,
            ("POST", f"{spot}/orders"): partial(self._done, self._place),
            ("DELETE", f"{spot}/orders"): partial(self._done, self._cancel_all),
            ("DELETE", f"{spot}/orders/{{id}}"): partial(self._done, self._cancel),
            ("GET", f"{spot}/orders/{{id}}"): partial(self._asked, self._order),
            ("GET", f"{spot}/open_orders"): partial(self._asked, self._open_orders),
            ("GET", f"{spot}/my_trades"): partial(self._asked, self._trades),
            ("GET", f"{spot}/accounts"): partial(self._asked, self._accounts),
            ("POST", f"{spot}/countdown_cancel_all"): partial(self._done, self._countdown),
            ("GET", f"{ROOT}/account/main_keys"): partial(self._asked, self._keys),
        }

    def refusal(self, status: int) -> bytes:
        """The body of an HTTP error."""
        label = "TOO_MANY_REQUESTS" if status == 429 else "INTERNAL" if status >= 500 else "BAD_REQUEST"
        return _encode({"label": label, "message": f"HTTP {status}"})

    def error(self) -> RestRefused:
        """A failure inside the venue."""
        return refused("SERVER_ERROR", "Internal server error", 500)

    def unknown_outcome(self) -> tuple[int, bytes]:
        """It has no word for it: an internal error is all that is said."""
        return 500, _encode({"label": "SERVER_ERROR", "message": "Internal server error"})

    def take_hold_ms(self) -> int:
        """Answers wait where a fault says so."""
        held, self._account.hold_ms = self._account.hold_ms, 0
        return held

    # --- Who gets through ------------------------------------------------------------------------------

    def _done(self, work: Callable[[TradeRequest, Fields], object], request: TradeRequest) -> TradeReply:
        fields = self._signed(request)
        created = request.method == "POST" and request.path.endswith("/orders")
        return TradeReply(body=_encode(work(request, fields)), status=201 if created else 200, accepted=True)

    def _asked(self, question: Callable[[TradeRequest, Fields], object], request: TradeRequest) -> TradeReply:
        return TradeReply(body=_encode(question(request, self._signed(request))))

    def _time(self, _request: TradeRequest) -> TradeReply:
        self._count()
        return TradeReply(body=_encode({"server_time": self._account.venue_ms()}))

    def _count(self) -> None:
        now_ns = self._account.now_ns()
        self._expire(now_ns)
        if not self._calls.add(now_ns):
            reset = str(now_ns // 1_000_000_000 + self._calls.ends_s(now_ns))
            raise refused(
                "TOO_MANY_REQUESTS", "Request rate limit exceeded", 429, {"X-Gate-RateLimit-Reset-Timestamp": reset}
            )

    def _signed(self, request: TradeRequest) -> Fields:
        self._count()
        key, stamp = request.headers.get("KEY", ""), request.headers.get("Timestamp", "")
        if not key or not stamp:
            raise refused("MISSING_REQUIRED_HEADER", "Missing required header: KEY or Timestamp", 401)
        if key != self._account.credentials.api_key or self._account.faults.take(AuthFailure, request.path):
            raise refused("INVALID_KEY", "Invalid key provided", 401)
        now_ms = self._account.venue_ms()
        if not stamp.isdigit() or abs(now_ms // 1000 - int(stamp)) > EXPIRES_S:
            raise refused("REQUEST_EXPIRED", "gap between request Timestamp and server time exceeds 60", 403)
        path, _, query = request.target.partition("?")
        text = "\n".join((request.method, path, unquote(query), hashlib.sha512(request.body).hexdigest(), stamp))
        wanted = hmac.new(self._account.credentials.secret.encode(), text.encode(), hashlib.sha512).hexdigest()
        if not same(wanted, request.headers.get("SIGN", "")):
            raise refused("INVALID_SIGNATURE", "Signature mismatch", 401)
        until = request.headers.get("x-gate-exptime", "")
        if until and (not until.isdigit() or int(until) < now_ms):
            raise refused("REQUEST_EXPIRED", "the request arrived after its x-gate-exptime", 400)
        if request.body and request.method == "POST":
            given = msgspec.json.decode(request.body)
            return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
        return request.query

    # --- Orders ----------------------------------------------------------------------------------------

    def _market(self, fields: Fields) -> Market:
        market = self._account.markets.get(fields.get("currency_pair", ""))
        if market is None:
            raise refused("INVALID_CURRENCY_PAIR", "Invalid currency pair")
        return market

    def _place(self, _request: TradeRequest, fields: Fields) -> Row:
        market = self._market(fields)
        rejected = self._account.faults.take(RejectNext, market.key)
        if rejected is not None:
            raise refused("TRADE_RESTRICTED", rejected.msg)
        side, said = Side.__members__.get(fields.get("side", "").upper()), fields.get("text", "")
        limit = fields.get("type", "limit") == "limit"
        tif = _TIF.get(fields.get("time_in_force", "gtc"))
        if side is None or tif is None or fields.get("account", "spot") != "spot":
            raise refused("INVALID_PARAM_VALUE", "invalid argument: side, time_in_force or account")
        if said and not said.startswith("t-"):
            raise refused("INVALID_PARAM_VALUE", "invalid argument: text must begin with t-")
        if len(said) > 30:
            raise refused("INVALID_PARAM_VALUE", "invalid argument: text is too long")
        if not limit and tif not in {TimeInForce.IOC, TimeInForce.FOK}:
            raise refused("INVALID_PARAM_VALUE", "invalid argument: time_in_force of a market order")
        qty = Decimal(fields.get("amount", "0"))
        if not limit and side is Side.BUY:
            # The amount of a market buy is in the quote currency.
            qty = market.instrument.qty(self._account.lots_for(market, qty))
        report = self._account.place(
            market,
            side=side,
            ord_type=OrdType.LIMIT if limit else OrdType.MARKET,
            time_in_force=tif,
            qty=qty,
            price=Decimal(fields.get("price", "0")) if limit else None,
            cl_ord_id=said or self._account.new_id("apiv4-"),
        )
        if report.exec_type is ExecType.REJECTED:
            raise refused(*_LABELS.get(refusal_of(report.text), ("INVALID_PARAM_VALUE", report.text)))
        order = self._account.order(cl_ord_id=report.cl_ord_id)
        assert order is not None
        return self._row(order)

    def _find(self, request: TradeRequest, fields: Fields) -> SimOrder:
        market = self._market(fields)
        name = request.target.partition("?")[0].rpartition("/")[2]
        order = self._account.order(int(name)) if name.isdigit() else self._account.order(cl_ord_id=name)
        if order is None or order.instrument_id != market.instrument.instrument_id:
            raise refused("ORDER_NOT_FOUND", f"Order with ID {name} not found", 404)
        return order

    def _order(self, request: TradeRequest, fields: Fields) -> Row:
        order = self._find(request, fields)
        if not self._account.seen([order], request.path):
            raise refused("ORDER_NOT_FOUND", "Order not found", 404)
        return self._row(order)

    def _cancel(self, request: TradeRequest, fields: Fields) -> Row:
        order = self._find(request, fields)
        if not order.is_open:
            label = "ORDER_CANCELLED" if order.status is not OrdStatus.FILLED else "ORDER_CLOSED"
            raise refused(label, "Order has been closed or cancelled already")
        self._account.cancel(order)
        return self._row(order)

    def _cancel_all(self, _request: TradeRequest, fields: Fields) -> list[Row]:
        return [self._row(order) for order in self._account.cancel_all({self._market(fields).key})]

    def _open_orders(self, request: TradeRequest, fields: Fields) -> list[Row]:
        page, limit = int(fields.get("page", "1")), min(int(fields.get("limit", "100")), PAGE_MAX)
        out: list[Row] = []
        for key, market in self._account.markets.items():
            mine = [o for o in self._account.working() if o.instrument_id == market.instrument.instrument_id]
            mine = self._account.seen(mine, request.path)
            if mine:
                shown = [self._row(order) for order in mine[::-1][(page - 1) * limit : page * limit]]
                out.append({"currency_pair": key, "total": len(mine), "orders": shown})
        return out

    def _countdown(self, _request: TradeRequest, fields: Fields) -> Row:
        timeout = int(fields.get("timeout", "-1"))
        if timeout != 0 and timeout < 5:
            raise refused("INVALID_PARAM_VALUE", "invalid argument: timeout")
        pair = self._market(fields).key if fields.get("currency_pair") else ""
        now_ns = self._account.now_ns()
        self._until_ns.pop(pair, None)
        if timeout:
            self._until_ns[pair] = now_ns + timeout * 1_000_000_000
        return {"triggerTime": str(self._account.venue_ms() + timeout * 1000 if timeout else 0)}

    def _expire(self, now_ns: int) -> None:
        """Timers that have run down; looked at whenever anybody asks anything."""
        for pair in [pair for pair, until_ns in self._until_ns.items() if until_ns <= now_ns]:
            del self._until_ns[pair]
            self._account.cancel_all({pair} if pair else None)

    # --- The account -----------------------------------------------------------------------------------

    def _trades(self, request: TradeRequest, fields: Fields) -> list[Row]:
        market = self._market(fields)
        begin, end = int(fields.get("from", "0")), int(fields.get("to", str(2**40)))
        limit, page = min(int(fields.get("limit", "100")), TRADES_MAX), int(fields.get("page", "1"))
        found = [
            fill
            for fill in self._account.fills_seen(market, request.path)
            if begin <= self._account.wire_ms(fill.report.ts_event_ns) // 1000 <= end
        ][::-1]
        return [self._trade(fill, market) for fill in found[(page - 1) * limit : page * limit]]

    def _accounts(self, request: TradeRequest, _fields: Fields) -> list[Row]:
        if self._account.faults.take(EmptyAccount, request.path):
            return []
        return [
            {"currency": one.asset, "available": digits(one.wallet - one.locked), "locked": digits(one.locked)}
            for one in balances(self._account)
        ]

    def _keys(self, request: TradeRequest, _fields: Fields) -> list[Row]:
        perms = [{"name": "spot", "read_only": False}, {"name": "account", "read_only": True}]
        if self._account.faults.take(KeyMayWithdraw, request.path):
            perms.append({"name": "wallet", "read_only": False})
        shown = self._account.credentials.api_key[:8] + "*****"
        other: Row = {"state": 1, "mode": 1, "name": "other", "perms": [], "ip_whitelist": [], "key": "0f0f0f0f*****"}
        return [other, {"state": 1, "mode": 1, "name": "desk", "perms": perms, "ip_whitelist": [], "key": shown}]

    # --- Rows ------------------------------------------------------------------------------------------

    def _row(self, order: SimOrder) -> Row:
        market = self._account.markets[self._account.key_of[order.instrument_id]]
        instrument = market.instrument
        made, changed = (self._account.wire_ms(at) for at in (order.ts_ns, order.updated_ns or order.ts_ns))
        facts = self._account.facts.get(order.order_no)
        filled = instrument.qty(order.cum_lots)
        status, finish = _ended(order)
        return {
            "id": str(order.order_no),
            "text": order.cl_ord_id,
            "amend_text": "-",
            "create_time": str(made // 1000),
            "update_time": str(changed // 1000),
            "create_time_ms": made,
            "update_time_ms": changed,
            "status": status,
            "currency_pair": market.key,
            "type": order.ord_type.value,
            "account": "spot",
            "side": order.side.value,
            "amount": digits(instrument.qty(order.order_lots)),
            "price": digits(instrument.price(order.price_ticks or 0)),
            "time_in_force": _TIF_WORDS[order.time_in_force],
            "iceberg": "0",
            "left": digits(instrument.qty(order.open_lots)),
            "filled_amount": digits(filled),
            "fill_price": digits(order.cum_value),
            "filled_total": digits(order.cum_value),
            "avg_deal_price": digits(order.cum_value / filled) if filled else "",
            "fee": digits(facts.fee if facts is not None else Decimal(0)),
            "fee_currency": (facts.fee_asset if facts is not None else "") or instrument.base,
            "point_fee": "0",
            "gt_fee": "0",
            "gt_discount": False,
            "rebated_fee": "0",
            "rebated_fee_currency": instrument.quote,
            "finish_as": finish,
        }

    def _trade(self, fill: Fill, market: Market) -> Row:
        report = fill.report
        at_ms = self._account.wire_ms(report.ts_event_ns)
        return {
            "id": str(fill.trade_id),
            "create_time": str(at_ms // 1000),
            "create_time_ms": f"{at_ms}.000000",
            "currency_pair": market.key,
            "side": report.side.value,
            "role": "maker" if report.liquidity is Liquidity.MAKER else "taker",
            "amount": digits(report.last_qty),
            "price": digits(report.last_px),
            "order_id": report.order_id,
            "fee": digits(report.fee),
            "fee_currency": report.fee_asset,
            "point_fee": "0",
            "gt_fee": "0",
            "amend_text": "-",
            "text": report.cl_ord_id,
        }


def _ended(order: SimOrder) -> tuple[str, str]:
    """``status`` and ``finish_as``."""
    match order.status:
        case OrdStatus.FILLED:
            return "closed", "filled"
        case OrdStatus.CANCELED:
            return "cancelled", "cancelled"
        case OrdStatus.EXPIRED:
            return "cancelled", _TIF_WORDS[order.time_in_force]
        case _:
            return "open", "open"
