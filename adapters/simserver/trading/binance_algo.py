"""Binance futures' algo service: orders that wait for a trigger, apart from all others until it comes.

"New Algo Order", "Cancel Algo Order", "Cancel All Algo Open Orders", "Query Algo Order", "Current All Algo Open
Orders", "Event: Algo Order Update", developers.binance.com USD-M; COIN-M's are the same under ``/dapi`` (read 2026-11).
At its trigger an order becomes another one with a number of its own and the same client id.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from adapters.simserver.binance_streams import texts
from adapters.simserver.dialect import RestRefused
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_gate import refused
from adapters.simserver.trading.binance_rows import STP, Row, Rows, shown_id
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.triggers import PRICED
from trading.sim.state import SimOrder

ALGO_BASE = 4_000_000_000
"""Numbers of the service and of orders are of different sequences."""
TYPES = {
    "STOP_MARKET": OrdType.STOP,
    "STOP": OrdType.STOP_LIMIT,
    "TAKE_PROFIT_MARKET": OrdType.TAKE_PROFIT,
    "TAKE_PROFIT": OrdType.TAKE_PROFIT_LIMIT,
}
_NAMES = {ord_type: name for name, ord_type in TYPES.items()}
_WORKING = {"MARK_PRICE": TriggerPriceType.MARK, "CONTRACT_PRICE": TriggerPriceType.LAST}
_WORKING_NAMES = {kind: name for name, kind in _WORKING.items()}
_IN_FORCE = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
Fields = dict[str, str]


def terms_of(fields: Fields, price_of: Callable[[str], Decimal]) -> tuple[OrdType, TimeInForce, TriggeringInstructions]:
    """What an algo order is to be; `RestRefused` in the venue's words."""
    if fields.get("algoType") != "CONDITIONAL":
        raise refused(-1102, "Mandatory parameter 'algoType' was not sent, was empty/null, or malformed.")
    ord_type = TYPES.get(fields.get("type", ""))
    if ord_type is None:
        raise refused(-1116, "Invalid orderType.")
    in_force = _IN_FORCE.get(fields.get("timeInForce", "GTC"))
    if in_force is None:
        raise refused(-1115, "Invalid timeInForce.")
    working = _WORKING.get(fields.get("workingType", "CONTRACT_PRICE"))
    if working is None:
        raise refused(-1130, "Data sent for parameter 'workingType' is not valid.")
    close_all = fields.get("closePosition", "false").lower() == "true"
    reduces = fields.get("reduceOnly", "false").lower() == "true"
    if close_all and (fields.get("quantity") or reduces):
        name = "quantity" if fields.get("quantity") else "reduceonly"
        raise refused(-1106, f"Parameter '{name}' sent when not required.")
    if close_all and ord_type in PRICED:
        raise refused(-4136, "Target strategy invalid for orderType, closePosition.")
    how_long = in_force if ord_type in PRICED else TimeInForce.IOC
    return ord_type, how_long, TriggeringInstructions(price_of("triggerPrice"), working, close_all or reduces)


class AlgoOrders:
    """The rows of the service, and who of its orders is asked for."""

    def __init__(self, account: TradingAccount, rows: Rows) -> None:
        self._account = account
        self._rows = rows

    def find(self, fields: Fields) -> SimOrder:
        """By ``algoId`` or ``clientAlgoId``."""
        number, name = fields.get("algoId", ""), fields.get("clientAlgoId", "")
        if not number and not name:
            raise refused(-1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
        order = self._account.order(int(number) - ALGO_BASE if number.isdigit() else None, name)
        if order is None or order.trigger is None:
            raise RestRefused(400, refused(-2013, "Order does not exist.").body)
        return order

    def waiting(self, symbol: str) -> list[SimOrder]:
        """What still waits, of a symbol or of all."""
        return [
            order
            for order in self._account.working()
            if order.waits and symbol in {"", self._account.key_of[order.instrument_id]}
        ]

    def row(self, order: SimOrder) -> Row:
        """An order of the service as its answers show it."""
        market = self._rows.market_of(order)
        price, qty = texts(market)
        trigger = order.trigger
        assert trigger is not None
        made_ms, updated_ms = (self._account.wire_ms(at) for at in (order.ts_ns, order.updated_ns or order.ts_ns))
        return {
            "algoId": ALGO_BASE + order.order_no,
            "clientAlgoId": shown_id(order.cl_ord_id),
            "algoType": "CONDITIONAL",
            "orderType": _NAMES[order.ord_type],
            "symbol": market.key,
            "side": order.side.name,
            "positionSide": "BOTH",
            "timeInForce": order.time_in_force.name if order.price_ticks is not None else "GTC",
            "quantity": qty(order.order_lots),
            "algoStatus": _status(order),
            "actualOrderId": str(order.order_no) if order.triggered_ns else "",
            "actualPrice": "0.00000",
            "triggerPrice": f"{trigger.trigger_price:f}",
            "price": price(order.price_ticks or 0),
            "icebergQuantity": None,
            "tpTriggerPrice": "0.000",
            "tpPrice": "0.000",
            "slTriggerPrice": "0.000",
            "slPrice": "0.000",
            "tpOrderType": "",
            "selfTradePreventionMode": STP,
            "workingType": _WORKING_NAMES[trigger.trigger_price_type],
            "priceMatch": "NONE",
            "closePosition": False,
            "priceProtect": False,
            "reduceOnly": order.reduce_only,
            "createTime": made_ms,
            "updateTime": updated_ms,
            "triggerTime": self._account.wire_ms(order.triggered_ns) if order.triggered_ns else 0,
            "goodTillDate": 0,
        }

    def events(self, report: ExecutionReport) -> list[Row]:
        """``ALGO_UPDATE`` for what a report says of an order that waits or waited; none for others."""
        order = self._account.order(int(report.order_id)) if report.order_id else None
        if order is None or order.trigger is None:
            return []
        words: tuple[str, ...] = ()
        if report.exec_type is ExecType.TRIGGERED:
            words = ("TRIGGERING", "TRIGGERED")
        elif not order.triggered_ns:
            words = ("TRIGGERING", "REJECTED") if report.ord_status is OrdStatus.REJECTED else (_status(order),)
        elif not order.is_open and report.leaves_qty == 0:
            words = ("FINISHED",)
        return [self._event(order, report, word) for word in words]

    def _event(self, order: SimOrder, report: ExecutionReport, word: str) -> Row:
        row = self.row(order)
        at_ms = self._account.wire_ms(report.ts_event_ns)
        on_book = word in {"TRIGGERED", "FINISHED"}
        body: Row = {
            "caid": row["clientAlgoId"],
            "aid": row["algoId"],
            "at": "CONDITIONAL",
            "o": row["orderType"],
            "s": row["symbol"],
            "S": row["side"],
            "ps": "BOTH",
            "f": row["timeInForce"],
            "q": row["quantity"],
            "X": word,
            "ai": str(order.order_no) if on_book else "",
            "ap": f"{report.avg_px:.5f}" if on_book else "0.00000",
            "aq": f"{report.cum_qty:f}" if on_book else "0.00000",
            "act": ("MARKET" if order.price_ticks is None else "LIMIT") if on_book else "0",
            "tp": row["triggerPrice"],
            "p": row["price"],
            "V": STP,
            "wt": row["workingType"],
            "pm": "NONE",
            "cp": False,
            "pP": False,
            "R": order.reduce_only,
            "tt": row["triggerTime"],
            "gtd": 0,
        }
        if report.text:
            body["rm"] = report.text.partition(" ")[2]
        return {"e": "ALGO_UPDATE", "T": at_ms, "E": self._account.venue_ms(), "o": body}


def _status(order: SimOrder) -> str:
    if order.waits:
        return "NEW"
    if not order.triggered_ns:
        return order.status.name
    return "TRIGGERED" if order.is_open else "FINISHED"


def side_of(fields: Fields) -> Side:
    """BUY or SELL."""
    side = Side.__members__.get(fields.get("side", ""))
    if side is None:
        raise refused(-1117, "Invalid side.")
    return side
