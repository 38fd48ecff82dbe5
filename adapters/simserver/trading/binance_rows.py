"""Orders, executions, positions and balances as Binance's signed endpoints and user streams spell them. Shapes only.

binance-spot-api-docs (rest-api.md, user-data-stream.md) and developers.binance.com derivatives, "Query Order", "Account
Trade List", "Account Information V3", "Position Information V3", "Event: Order Update", "Event: Balance and Position
Update" (read 2026-11). Self-trade prevention is always EXPIRE_TAKER; margin is always crossed, positions one-way.
"""

from __future__ import annotations

from decimal import Decimal

from adapters.binance.instruments import COINM, SPOT
from adapters.simserver.binance_streams import texts
from adapters.simserver.feed import Market
from adapters.simserver.trading.account import Fill, TradingAccount
from adapters.simserver.trading.holdings import Balance, Holding
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    Liquidity,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)
from trading.sim.fees import money
from trading.sim.state import SimOrder

Row = dict[str, object]
STP = "EXPIRE_TAKER"
_STATUS = {OrdStatus.REPLACED: "CANCELED", OrdStatus.PENDING_TRIGGER: "NEW"}
_EXECUTION = {ExecType.REPLACED: "AMENDMENT", ExecType.TRIGGERED: "NEW"}
SPOT_TYPES = {
    OrdType.STOP: "STOP_LOSS",
    OrdType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrdType.TAKE_PROFIT: "TAKE_PROFIT",
    OrdType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}


def text(amount: Decimal) -> str:
    """Eight decimals."""
    return f"{amount:.8f}"


def shown_id(cl_ord_id: str) -> str:
    """A client order id as clients see it: what follows "~" is ours."""
    return cl_ord_id.partition("~")[0]


def status_of(status: OrdStatus) -> str:
    """The venue's word."""
    return _STATUS.get(status, status.name)


def type_of(order: SimOrder, venue: str) -> str:
    """LIMIT, MARKET, or spot's LIMIT_MAKER and the kinds that wait; on futures those become what they are meant for."""
    if order.trigger is not None:
        return SPOT_TYPES[order.ord_type] if venue == SPOT else "MARKET" if order.price_ticks is None else "LIMIT"
    post_only = venue == SPOT and order.time_in_force is TimeInForce.GTX
    return "LIMIT_MAKER" if post_only else order.ord_type.name


def _in_force(order: SimOrder, venue: str) -> str:
    if order.price_ticks is None or (venue == SPOT and order.time_in_force is TimeInForce.GTX):
        return "GTC"
    return order.time_in_force.name


def _value(market: Market, order: SimOrder) -> Decimal:
    """What was traded, in quote currency; on COIN-M in base."""
    if market.instrument.venue != COINM:
        return order.cum_value
    qty = market.instrument.qty(order.cum_lots)
    return money(qty * qty * market.instrument.multiplier / order.cum_value) if order.cum_lots else Decimal(0)


class Rows:
    """The rows of one venue's account."""

    def __init__(self, venue: str, account: TradingAccount) -> None:
        self.venue = venue
        self._account = account

    def market_of(self, order: SimOrder | ExecutionReport) -> Market:
        """Where it trades."""
        return self._account.markets[self._account.key_of[order.instrument_id]]

    def order(self, order: SimOrder, *, fresh: bool = False) -> Row:
        """An order as a query tells it; ``fresh``: as it was when it was accepted."""
        market = self.market_of(order)
        price, qty = texts(market)
        cum = 0 if fresh else order.cum_lots
        row: Row = {
            "symbol": market.key,
            "orderId": order.order_no,
            "clientOrderId": shown_id(order.cl_ord_id),
            "price": price(order.price_ticks or 0),
            "origQty": qty(order.order_lots),
            "executedQty": qty(cum),
            "status": "NEW" if fresh else status_of(order.status),
            "timeInForce": _in_force(order, self.venue),
            "type": type_of(order, self.venue),
            "side": order.side.name,
            "selfTradePreventionMode": STP,
        }
        value = Decimal(0) if fresh else _value(market, order)
        made_ms, updated_ms = (self._account.wire_ms(at) for at in (order.ts_ns, order.updated_ns or order.ts_ns))
        if self.venue == SPOT:
            return row | {
                "orderListId": -1,
                "cummulativeQuoteQty": text(value),
                "stopPrice": text(Decimal(0) if order.trigger is None else order.trigger.trigger_price),
                "icebergQty": "0.00000000",
                "time": made_ms,
                "updateTime": updated_ms,
                "isWorking": order.was_on_book,
                "workingTime": self._working_ms(order),
                "origQuoteOrderQty": "0.00000000",
            }
        average = order.cum_value / market.instrument.qty(cum) if cum else Decimal(0)
        row |= {
            "avgPrice": f"{average:.5f}",
            "cumQty": qty(cum),
            "cumBase" if self.venue == COINM else "cumQuote": text(value),
            "reduceOnly": order.reduce_only,
            "closePosition": False,
            "positionSide": "BOTH",
            "stopPrice": "0",
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "origType": type_of(order, self.venue),
            "time": made_ms,
            "updateTime": updated_ms,
        }
        if self.venue == COINM:
            row["pair"] = market.key.removesuffix("_PERP")
        else:
            row |= {"priceMatch": "NONE", "goodTillDate": 0}
        return row

    def _working_ms(self, order: SimOrder) -> int:
        """When it came on the book; -1 while it waits."""
        return self._account.wire_ms(order.triggered_ns or order.ts_ns) if order.was_on_book else -1

    def spot_reply(self, order: SimOrder, kind: str) -> Row:
        """The answer to a new spot order: ACK, RESULT or FULL."""
        market = self.market_of(order)
        at_ms = self._account.wire_ms(order.ts_ns)
        ids = ("symbol", "orderId", "orderListId", "clientOrderId")
        row = self.order(order)
        head = {name: row[name] for name in ids} | {"transactTime": at_ms}
        if kind == "ACK":
            return head
        rest = {
            name: row[name]
            for name in row
            if name not in {"time", "updateTime", "isWorking", "stopPrice", "icebergQty"}
        }
        if kind == "RESULT":
            return head | rest
        fills = [
            self._own_fill(market, fill) for fill in self._account.fills if int(fill.report.order_id) == order.order_no
        ]
        return head | rest | {"fills": fills}

    def _own_fill(self, market: Market, fill: Fill) -> Row:
        price, qty = texts(market)
        report, one = fill.report, market.instrument
        return {
            "price": price(one.ticks(report.last_px)),
            "qty": qty(one.lots(report.last_qty)),
            "commission": text(report.fee),
            "commissionAsset": report.fee_asset,
            "tradeId": fill.trade_id,
        }

    def canceled(self, order: SimOrder, cancel_id: str) -> Row:
        """The answer to a spot cancel: the request has the new id."""
        row = self.order(order)
        row |= {"origClientOrderId": row["clientOrderId"], "clientOrderId": cancel_id}
        row["transactTime"] = row.pop("updateTime")
        for name in ("time", "isWorking", "workingTime", "stopPrice", "icebergQty"):
            row.pop(name)
        return row

    def trade(self, fill: Fill) -> Row:
        """An execution as ``myTrades`` and ``userTrades`` tell it."""
        report = fill.report
        market = self.market_of(report)
        maker, buyer = report.liquidity is Liquidity.MAKER, report.side is Side.BUY
        row = {"symbol": market.key, "id": fill.trade_id, "orderId": int(report.order_id), "side": report.side.name}
        row |= {name: value for name, value in self._own_fill(market, fill).items() if name != "tradeId"}
        row["time"] = self._account.wire_ms(report.ts_event_ns)
        if self.venue == SPOT:
            del row["side"]
            value = {"quoteQty": text(report.last_qty * report.last_px), "orderListId": -1}
            return row | value | {"isBuyer": buyer, "isMaker": maker, "isBestMatch": True}
        row |= {"realizedPnl": text(fill.pnl), "buyer": buyer, "maker": maker, "positionSide": "BOTH"}
        one = market.instrument
        if self.venue == COINM:
            base = money(report.last_qty * one.multiplier / report.last_px)
            return row | {"baseQty": text(base), "pair": market.key.removesuffix("_PERP"), "marginAsset": one.settle}
        return row | {"quoteQty": text(report.last_qty * report.last_px)}

    # --- Account -------------------------------------------------------------------------------------

    def asset(self, balance: Balance) -> Row:
        """One asset of a futures account."""
        updated_ms = max((self._account.wire_ms(at) for at in self._account.touched_ns.values()), default=0)
        return {
            "asset": balance.asset,
            "walletBalance": text(balance.wallet),
            "unrealizedProfit": text(balance.pnl),
            "marginBalance": text(balance.margin),
            "maintMargin": text(balance.maintenance),
            "initialMargin": text(balance.initial),
            "positionInitialMargin": text(balance.initial),
            "openOrderInitialMargin": "0.00000000",
            "maxWithdrawAmount": text(balance.free),
            "crossWalletBalance": text(balance.wallet),
            "crossUnPnl": text(balance.pnl),
            "availableBalance": text(balance.free),
            "marginAvailable": True,
            "updateTime": updated_ms,
        }

    def account_position(self, held: Holding, *, short: bool) -> Row:
        """One position in a futures account; V3 (short) leaves out leverage and what it was entered at."""
        row: Row = {
            "symbol": held.key,
            "initialMargin": text(held.initial),
            "maintMargin": text(held.maintenance),
            "unrealizedProfit": text(held.pnl),
            "positionSide": "BOTH",
            "positionAmt": f"{held.qty:f}",
            "isolatedMargin": "0",
            "isolatedWallet": "0",
            "updateTime": self._account.wire_ms(held.updated_ns) if held.updated_ns else 0,
            "notionalValue" if self.venue == COINM else "notional": text(held.value),
        }
        if short:
            return row
        return row | {
            "positionInitialMargin": text(held.initial),
            "openOrderInitialMargin": "0",
            "leverage": f"{held.leverage:f}",
            "isolated": False,
            "entryPrice": text(held.entry),
            "breakEvenPrice": text(held.entry),
        }

    def position_risk(self, held: Holding, *, short: bool) -> Row:
        """``positionRisk``; V3 (short) leaves leverage and margin type out."""
        row: Row = {
            "symbol": held.key,
            "positionAmt": f"{held.qty:f}",
            "entryPrice": text(held.entry),
            "breakEvenPrice": text(held.entry),
            "markPrice": text(held.mark),
            "unRealizedProfit": text(held.pnl),
            "liquidationPrice": "0",
            "positionSide": "BOTH",
            "isolatedMargin": "0",
            "isolatedWallet": "0",
            "updateTime": self._account.wire_ms(held.updated_ns) if held.updated_ns else 0,
            "notionalValue" if self.venue == COINM else "notional": text(held.value),
        }
        if short:
            margins = ("initialMargin", "maintMargin", "positionInitialMargin")
            row |= dict(zip(margins, (text(held.initial), text(held.maintenance), text(held.initial)), strict=True))
            return row | {"marginAsset": held.instrument.settle, "openOrderInitialMargin": "0", "adl": 1}
        return row | {
            "leverage": f"{held.leverage:f}",
            "marginType": "cross",
            "isAutoAddMargin": "false",
            "maxNotionalValue": "100000000",
        }

    def income(self, paid: FundingPayment | Fill) -> list[Row]:
        """Funding, or what an execution realised and cost."""
        if isinstance(paid, FundingPayment):
            key = self._account.key_of[paid.instrument_id]
            at_ms = self._account.wire_ms(paid.ts_event_ns)
            row: Row = {"symbol": key, "incomeType": "FUNDING_FEE", "income": text(paid.amount), "asset": paid.asset}
            return [row | {"info": "FUNDING_FEE", "time": at_ms, "tranId": paid.exec_seq, "tradeId": ""}]
        report = paid.report
        at_ms, key = self._account.wire_ms(report.ts_event_ns), self._account.key_of[report.instrument_id]
        tail: Row = {"time": at_ms, "tranId": paid.trade_id, "tradeId": str(paid.trade_id), "info": str(paid.trade_id)}
        settle = self.market_of(report).instrument.settle
        rows: list[Row] = [
            {"symbol": key, "incomeType": "COMMISSION", "income": text(-report.fee), "asset": report.fee_asset}
        ]
        if paid.pnl:
            rows.append({"symbol": key, "incomeType": "REALIZED_PNL", "income": text(paid.pnl), "asset": settle})
        return [row | tail for row in rows]

    # --- Events --------------------------------------------------------------------------------------

    def order_event(self, report: ExecutionReport, fill: Fill | None) -> Row:
        """``executionReport`` on spot, ``ORDER_TRADE_UPDATE`` on futures."""
        account = self._account
        order = account.order(int(report.order_id))
        market = self.market_of(report)
        one = market.instrument
        price, qty = texts(market)
        at_ms = account.wire_ms(report.ts_event_ns)
        liquidated = shown_id(report.cl_ord_id).startswith("autoclose-")
        execution = _EXECUTION.get(report.exec_type, report.exec_type.name)
        if liquidated and report.exec_type is ExecType.TRADE:
            execution = "CALCULATED"
        made_ms = at_ms if order is None else account.wire_ms(order.ts_ns)
        own_id = report.orig_cl_ord_id or report.cl_ord_id
        canceled = self.venue == SPOT and report.exec_type is ExecType.CANCELED
        common: Row = {
            "s": market.key,
            "c": shown_id(report.cl_ord_id if canceled else own_id),
            "S": report.side.name,
            "o": type_of(order, self.venue) if order else report.ord_type.name,
            "f": _in_force(order, self.venue) if order else report.time_in_force.name,
            "q": qty(one.lots(report.order_qty)),
            "p": price(0 if report.price is None else one.ticks(report.price)),
            "x": execution,
            "X": status_of(report.ord_status),
            "i": int(report.order_id),
            "l": qty(one.lots(report.last_qty)),
            "z": qty(one.lots(report.cum_qty)),
            "L": price(one.ticks(report.last_px) if report.last_px else 0),
            "n": text(report.fee) if fill else "0",
            "N": report.fee_asset or None,
            "T": at_ms,
            "t": fill.trade_id if fill else (-1 if self.venue == SPOT else 0),
            "m": report.liquidity is Liquidity.MAKER,
            "V": STP,
        }
        now_ms = account.venue_ms()
        if self.venue == SPOT:
            head: Row = {"e": "executionReport", "E": now_ms}
            return (
                head
                | common
                | {
                    "P": text(order.trigger.trigger_price if order and order.trigger else Decimal(0)),
                    "F": "0.00000000",
                    "g": -1,
                    "C": shown_id(own_id) if canceled else "",
                    "r": "NONE",
                    "I": report.exec_seq * 2 + 1,
                    "w": report.ord_status.name in {"NEW", "PARTIALLY_FILLED"},
                    "M": False,
                    "O": made_ms,
                    "Z": text(report.avg_px * report.cum_qty),
                    "Y": text(report.last_px * report.last_qty),
                    "Q": "0.00000000",
                    "W": self._working_ms(order) if order else made_ms,
                }
            )
        if fill is None:
            common.pop("N")
            common.pop("n")
        common |= {
            "ap": f"{report.avg_px:.5f}",
            "sp": "0",
            "b": "0",
            "a": "0",
            "R": bool(order and order.reduce_only),
            "wt": "CONTRACT_PRICE",
            "ot": type_of(order, self.venue) if order else report.ord_type.name,
            "ps": "BOTH",
            "cp": False,
            "rp": text(fill.pnl if fill else Decimal(0)),
            "pP": False,
            "si": 0,
            "ss": 0,
            "pm": "NONE",
            "gtd": 0,
        }
        if liquidated:
            common["o"] = "LIQUIDATION"
        if self.venue == COINM:
            common |= {"ma": one.settle}
        return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": at_ms, "o": common}

    def futures_account_event(
        self, reason: str, at_ns: int, balance: Balance, held: Holding | None, change: Decimal
    ) -> Row:
        """``ACCOUNT_UPDATE``: one asset, and the position that changed."""
        row = {"a": balance.asset, "wb": text(balance.wallet), "cw": text(balance.wallet), "bc": text(change)}
        positions: list[Row] = []
        if held is not None:
            pnl = sum(
                (f.pnl for f in self._account.fills if f.report.instrument_id == held.instrument.instrument_id),
                Decimal(0),
            )
            positions.append(
                {
                    "s": held.key,
                    "pa": f"{held.qty:f}",
                    "ep": text(held.entry),
                    "bep": text(held.entry),
                    "cr": text(pnl),
                    "up": text(held.pnl),
                    "mt": "cross",
                    "iw": "0",
                    "ps": "BOTH",
                    "ma": balance.asset,
                }
            )
        data: Row = {"m": reason, "B": [row], "P": positions}
        return {"e": "ACCOUNT_UPDATE", "E": self._account.venue_ms(), "T": self._account.wire_ms(at_ns), "a": data}

    def spot_account_event(self, at_ns: int, balances: list[Balance]) -> Row:
        """``outboundAccountPosition``: the assets that an order may have changed."""
        rows = [{"a": one.asset, "f": text(one.wallet - one.locked), "l": text(one.locked)} for one in balances]
        now_ms, at_ms = self._account.venue_ms(), self._account.wire_ms(at_ns)
        return {"e": "outboundAccountPosition", "E": now_ms, "u": at_ms, "U": at_ms, "B": rows}
