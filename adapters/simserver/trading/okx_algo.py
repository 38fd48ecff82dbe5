"""OKX v5's algo orders over one account: conditional and trigger orders, apart from all others until their trigger.

"Place algo order", "Cancel algo order", "Get algo order details", "Get algo order list" and "Error Code / Trade",
okx.com/docs-v5 (read 2026-11). What an algo order becomes has a number of its own and no client id. The channel of algo
orders, on the business socket, is not served.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from adapters.okx.encode import instrument_type
from adapters.simserver.feed import Market
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_rows import shown_id
from adapters.simserver.trading.bybit_rows import plain
from adapters.simserver.trading.okx_gate import OkxGate
from adapters.simserver.trading.okx_rows import ALGO_BASE, Row, Rows
from adapters.simserver.trading.wire import TradeReply, TradeRequest
from trading.instruments import InstrumentKind
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
from trading.orders.triggers import PRICED, STOPS, waiting_type
from trading.sim.state import SimOrder

AT_ONCE = {
    (OrdType.TAKE_PROFIT, Side.BUY): ("51277", "TP trigger price cannot be higher than the last price"),
    (OrdType.STOP, Side.BUY): ("51278", "SL trigger price cannot be lower than the last price"),
    (OrdType.TAKE_PROFIT, Side.SELL): ("51279", "TP trigger price cannot be lower than the last price"),
    (OrdType.STOP, Side.SELL): ("51280", "SL trigger price cannot be higher than the last price"),
}
_SOURCES = {
    "": TriggerPriceType.LAST,
    "last": TriggerPriceType.LAST,
    "mark": TriggerPriceType.MARK,
    "index": TriggerPriceType.INDEX,
}
Fields = dict[str, str]


class AlgoFailed(Exception):  # noqa: N818 - a row of the venue's answer
    """Why an algo order is refused."""

    def __init__(self, code: str, msg: str) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg


class OkxAlgo:
    """The algo orders of one server. ``explain`` has the venue's words for a refusal of the exchange."""

    def __init__(
        self, account: TradingAccount, rows: Rows, gate: OkxGate, explain: Callable[[str], tuple[str, str]]
    ) -> None:
        self._account = account
        self._rows = rows
        self._gate = gate
        self._explain = explain

    def place(self, request: TradeRequest) -> TradeReply:
        """One algo order."""
        fields = self._gate.one(request)
        row: Row = {"tag": fields.get("tag", ""), "clOrdId": "", "algoClOrdId": fields.get("algoClOrdId", "")}
        try:
            order = self._placed(fields)
        except AlgoFailed as failed:
            row |= {"algoId": "", "sCode": failed.code, "sMsg": failed.msg}
            return self._gate.rows([row], code="1", msg="All operations failed")
        row |= {"algoId": str(ALGO_BASE + order.order_no), "sCode": "0", "sMsg": ""}
        return self._gate.rows([row], accepted=True)

    def _placed(self, fields: Fields) -> SimOrder:
        market = self._account.markets.get(fields.get("instId", ""))
        side = {"buy": Side.BUY, "sell": Side.SELL}.get(fields.get("side", ""))
        if market is None:
            raise AlgoFailed("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        spot = market.instrument.kind is InstrumentKind.SPOT
        if side is None or fields.get("tdMode") not in ({"cash"} if spot else {"cross"}):
            raise AlgoFailed("51000", f"Parameter {'side' if side is None else 'tdMode'} error")
        if self._account.halted(market):
            raise AlgoFailed("51022", "Contract suspended.")
        ord_type, trigger, price = self._terms(fields, market, side)
        reduces = not spot and fields.get("reduceOnly") == "true"
        cl_ord_id = fields.get("algoClOrdId") or self._account.new_id()
        report = self._account.place(
            market,
            side=side,
            ord_type=ord_type,
            time_in_force=TimeInForce.GTC if price is not None else TimeInForce.IOC,
            qty=_amount(fields, "sz"),
            price=price,
            cl_ord_id=cl_ord_id,
            reduce_only=reduces,
            trigger=TriggeringInstructions(trigger.trigger_price, trigger.trigger_price_type, reduces),
        )
        if report.exec_type is ExecType.REJECTED:
            code, msg = self._explain(report.text)
            if code == "at_once":
                kind = OrdType.STOP if ord_type in STOPS else OrdType.TAKE_PROFIT
                code, msg = AT_ONCE[kind, side]
            raise AlgoFailed(code, msg)
        order = self._account.order(cl_ord_id=cl_ord_id)
        assert order is not None
        return order

    def _terms(
        self, fields: Fields, market: Market, side: Side
    ) -> tuple[OrdType, TriggeringInstructions, Decimal | None]:
        """What kind it is, what it waits for, its price; ``trigger`` takes its direction from where the price is."""
        match fields.get("ordType", ""):
            case "conditional":
                named = [kind for kind in ("sl", "tp") if fields.get(f"{kind}TriggerPx")]
                if len(named) != 1:
                    raise AlgoFailed("51000", "Parameter slTriggerPx error")
                kind, at = named[0], _amount(fields, f"{named[0]}TriggerPx")
                source, said = fields.get(f"{kind}TriggerPxType", ""), fields.get(f"{kind}OrdPx", "")
                priced = said not in {"", "-1"}
                stop = OrdType.STOP_LIMIT if priced else OrdType.STOP
                take = OrdType.TAKE_PROFIT_LIMIT if priced else OrdType.TAKE_PROFIT
                ord_type = stop if kind == "sl" else take
            case "trigger":
                at, source = _amount(fields, "triggerPx"), fields.get("triggerPxType", "")
                said = fields.get("orderPx", fields.get("ordPx", ""))
                rising = at > market.instrument.price(market.last_ticks)
                ord_type = waiting_type(side, rising=rising, priced=said not in {"", "-1"})
            case _:
                raise AlgoFailed("51000", "Parameter ordType error")
        watched = _SOURCES.get(source)
        if watched is None:
            raise AlgoFailed("51000", "Parameter triggerPxType error")
        price = Decimal(said) if ord_type in PRICED else None
        return ord_type, TriggeringInstructions(at, watched), price

    def cancel(self, request: TradeRequest) -> TradeReply:
        """Up to ten algo orders."""
        items = self._gate.signed(request)
        if not isinstance(items, list) or not 0 < len(items) <= 10:
            raise self._gate.refused("51000", "Parameter error")
        rows: list[Row] = []
        for item in items:
            order = self._named(item)
            ids: Row = {"algoId": item.get("algoId", ""), "algoClOrdId": item.get("algoClOrdId", ""), "clOrdId": ""}
            if order is None or not order.waits:
                msg = "Order cancellation failed as the order has been filled, canceled or does not exist."
                rows.append(ids | {"sCode": "51400", "sMsg": msg})
                continue
            self._account.cancel(order)
            rows.append(ids | {"algoId": str(ALGO_BASE + order.order_no), "sCode": "0", "sMsg": ""})
        failed = sum(row["sCode"] != "0" for row in rows)
        code = "0" if not failed else "1" if failed == len(rows) else "2"
        return self._gate.rows(rows, code=code, msg="", accepted=failed < len(rows))

    def ask(self, request: TradeRequest) -> TradeReply:
        """One algo order."""
        order = self._named(self._gate.one(request))
        if order is None or not self._account.seen([order], request.path):
            raise self._gate.refused("51603", "Order does not exist")
        return self._gate.rows([self.row(order)])

    def pending(self, request: TradeRequest) -> TradeReply:
        """Those that wait, newest first."""
        fields = self._gate.one(request)
        kind, name = fields.get("instType", ""), fields.get("instId", "")
        if fields.get("ordType", "") not in {"conditional", "trigger", "oco"}:
            raise self._gate.refused("51000", "Parameter ordType error")
        if fields["ordType"] == "oco":
            return self._gate.rows([])
        found = [
            order
            for order in reversed(self._account.seen(self._account.working(), request.path))
            if order.waits
            and kind in {"", instrument_type(self._account.key_of[order.instrument_id])}
            and name in {"", self._account.key_of[order.instrument_id]}
        ]
        return self._gate.rows([self.row(order) for order in found[:100]])

    def _named(self, fields: Fields) -> SimOrder | None:
        number, name = fields.get("algoId", ""), fields.get("algoClOrdId", "")
        order = self._account.order(int(number) - ALGO_BASE if number.isdigit() else None, "" if number else name)
        return order if order is not None and order.trigger is not None else None

    def row(self, order: SimOrder) -> Row:
        """An algo order as its answers show it."""
        market = self._rows.market_of(order)
        one, trigger = market.instrument, order.trigger
        assert trigger is not None
        spot = one.kind is InstrumentKind.SPOT
        kind = "sl" if order.ord_type in STOPS else "tp"
        price = "-1" if order.price_ticks is None else plain(one.price(order.price_ticks))
        became = str(order.order_no) if order.triggered_ns else ""
        names = ("TriggerPx", "TriggerPxType", "OrdPx")
        row: Row = {f"{which}{name}": "" for which in ("sl", "tp") for name in names}
        said = (plain(trigger.trigger_price), trigger.trigger_price_type.value, price)
        row |= {f"{kind}{name}": value for name, value in zip(names, said, strict=True)}
        stamp = order.updated_ns or order.ts_ns
        return row | {
            "algoId": str(ALGO_BASE + order.order_no),
            "algoClOrdId": shown_id(order.cl_ord_id),
            "clOrdId": "",
            "ordId": became,
            "ordIdList": [became] if became else [],
            "instId": market.key,
            "instType": instrument_type(market.key),
            "ordType": "conditional",
            "side": order.side.value,
            "posSide": "" if spot else "net",
            "tdMode": "cash" if spot else "cross",
            "sz": plain(one.qty(order.order_lots)),
            "state": _state(order),
            "reduceOnly": "true" if order.reduce_only else "false",
            "closeFraction": "",
            "actualSz": plain(one.qty(order.cum_lots)),
            "actualPx": "",
            "actualSide": "" if not became else kind,
            "triggerPx": "",
            "triggerPxType": "",
            "ordPx": "",
            "triggerTime": str(self._account.wire_ms(order.triggered_ns)) if order.triggered_ns else "",
            "failCode": "51169" if order.status is OrdStatus.REJECTED else "",
            "lever": "",
            "tag": "",
            "last": plain(one.price(market.last_ticks)),
            "cTime": str(self._account.wire_ms(order.ts_ns)),
            "uTime": str(self._account.wire_ms(stamp)),
        }


def hidden(report: ExecutionReport, order: SimOrder | None) -> bool:
    """Whether the channel of orders says nothing of a report: its order is an algo order still."""
    return order is not None and not order.was_on_book and report.exec_type is not ExecType.TRIGGERED


def _amount(fields: Fields, name: str) -> Decimal:
    value = fields.get(name, "")
    if not value.replace(".", "", 1).isdigit():
        raise AlgoFailed("51000", f"Parameter {name} error")
    return Decimal(value)


def _state(order: SimOrder) -> str:
    if order.waits:
        return "live"
    if order.triggered_ns:
        return "effective"
    return "order_failed" if order.status is OrdStatus.REJECTED else "canceled"
