"""Orders, executions, positions and coins as Bybit v5 spells them, in replies and on private topics alike.

"Get Open & Closed Orders", "Get Trade History", "Get Position Info", "Get Wallet Balance" and the private topics,
bybit-exchange.github.io/docs/v5 (read 2026-11). Ids are texts: numbers on spot, the shape of a UUID elsewhere.
"""

from __future__ import annotations

from decimal import Decimal

from adapters.simserver.feed import Market
from adapters.simserver.trading.account import Fill, TradingAccount
from adapters.simserver.trading.binance_rows import shown_id
from adapters.simserver.trading.holdings import Balance, Holding, mark_price
from adapters.simserver.trading.refusals import Refusal, refusal_of
from trading.orders.messages import ExecutionReport, FundingPayment, Liquidity, OrdStatus, TriggerPriceType
from trading.orders.triggers import PRICED, rises
from trading.sim.fees import value_of
from trading.sim.state import SimOrder

Row = dict[str, object]
_BY = {
    TriggerPriceType.LAST: "LastPrice",
    TriggerPriceType.MARK: "MarkPrice",
    TriggerPriceType.INDEX: "IndexPrice",
}
_IN_FORCE = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "GTX": "PostOnly"}
_REASONS = {Refusal.POST_ONLY: "EC_PostOnlyWillTakeLiquidity", Refusal.REDUCE_ONLY: "EC_ReduceOnlyRejected"}


def order_id(order_no: int, *, spot: bool) -> str:
    """The venue's id of an order."""
    return str(order_no) if spot else f"{order_no:08x}-0000-4000-8000-{order_no:012x}"


def exec_id(trade_id: int, *, spot: bool) -> str:
    """The venue's id of an execution."""
    return str(2_200_000_000_000_000_000 + trade_id) if spot else f"{trade_id:08x}-0000-5000-8000-{trade_id:012x}"


def number_of(text: str) -> int:
    """The number of an order's id; 0 for what is none."""
    if text.isdigit() and len(text) < 19:
        return int(text)
    tail = text.rpartition("-")[2]
    try:
        return int(tail, 16) if len(text) == 36 else 0
    except ValueError:
        return 0


def plain(value: Decimal) -> str:
    """All digits, no exponent, no needless zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Rows:
    """The rows of one account."""

    def __init__(self, account: TradingAccount) -> None:
        self._account = account

    def market_of(self, what: SimOrder | ExecutionReport | FundingPayment) -> Market:
        """Where it trades."""
        return self._account.markets[self._account.key_of[what.instrument_id]]

    def order(self, order: SimOrder, report: ExecutionReport | None = None) -> Row:
        """An order as it is, or as a report told it."""
        market = self.market_of(order)
        category, _, symbol = market.key.partition(":")
        one, spot = market.instrument, category == "spot"
        facts = self._account.facts.get(order.order_no)
        cum = one.qty(order.cum_lots) if report is None else report.cum_qty
        status = order.status if report is None else report.ord_status
        average = order.cum_value / one.qty(order.cum_lots) if report is None and order.cum_lots else Decimal(0)
        if report is not None:
            average = report.avg_px
        leaves = one.qty(order.open_lots) if order.is_open else Decimal(0)
        if report is not None:
            leaves = report.leaves_qty
        price = Decimal(0) if order.price_ticks is None else one.price(order.price_ticks)
        reason = "EC_NoError"
        if status in {OrdStatus.CANCELED, OrdStatus.EXPIRED}:
            said = "" if facts is None else facts.text
            reason = _REASONS.get(refusal_of(said), "EC_NoImmediateQtyToFill") if said else "EC_PerCancelRequest"
        updated_ns = (order.updated_ns or order.ts_ns) if report is None else report.ts_event_ns
        fees = {} if facts is None or not facts.fee_asset else {facts.fee_asset: plain(facts.fee)}
        row: Row = {
            "symbol": symbol,
            "orderId": order_id(order.order_no, spot=spot),
            "orderLinkId": shown_id(order.cl_ord_id),
            "side": order.side.value.capitalize(),
            "orderType": "Market" if order.price_ticks is None else "Limit",
            "cancelType": "CancelByUser" if status is OrdStatus.CANCELED else "UNKNOWN",
            "price": plain(price),
            "qty": plain(one.qty(order.order_lots)),
            "timeInForce": _IN_FORCE[order.time_in_force.name],
            "orderStatus": _status(order, status, cum, spot=spot),
            "reduceOnly": order.reduce_only,
            "closeOnTrigger": order.trigger is not None and order.trigger.close_on_trigger,
            "leavesQty": plain(leaves),
            "leavesValue": plain(value_of(one, leaves, price)) if price else "0",
            "cumExecQty": plain(cum),
            "cumExecValue": plain(value_of(one, cum, average)) if average else "0",
            "cumExecFee": "0" if facts is None else plain(facts.fee),
            "cumFeeDetail": fees,
            "avgPrice": plain(average) if average else "",
            "positionIdx": 0,
            "rejectReason": reason,
            "createdTime": str(self._account.wire_ms(order.ts_ns)),
            "updatedTime": str(self._account.wire_ms(updated_ns)),
            "createType": "CreateByUser",
            "stopOrderType": "" if order.trigger is None else "Stop",
            "triggerPrice": "" if order.trigger is None else plain(order.trigger.trigger_price),
            "triggerDirection": 0 if spot else _direction(order),
            "triggerBy": "" if order.trigger is None else _BY[order.trigger.trigger_price_type],
            "takeProfit": "",
            "stopLoss": "",
            "smpType": "CancelTaker",
            "smpGroup": 0,
            "isLeverage": "0",
            "blockTradeId": "",
        }
        if spot:
            row["marketUnit"] = "baseCoin"
        else:
            row["tpslMode"] = "UNKNOWN"
        return row

    def execution(self, fill: Fill) -> Row:
        """One trade."""
        report = fill.report
        market = self.market_of(report)
        category, _, symbol = market.key.partition(":")
        one, spot = market.instrument, category == "spot"
        number = int(report.order_id)
        maker = report.liquidity is Liquidity.MAKER
        closed = report.last_qty if fill.pnl else Decimal(0)
        liquidation = report.cl_ord_id.startswith("autoclose-")
        adl = report.cl_ord_id.startswith("adl_autoclose")
        return {
            "category": category,
            "symbol": symbol,
            "orderId": order_id(number, spot=spot),
            "orderLinkId": shown_id(report.cl_ord_id),
            "side": report.side.value.capitalize(),
            "orderPrice": plain(report.price or Decimal(0)),
            "orderQty": plain(report.order_qty),
            "leavesQty": plain(report.leaves_qty),
            "orderType": "Limit" if report.ord_type in PRICED else "Market",
            "stopOrderType": "UNKNOWN" if report.trigger is None else "Stop",
            "execId": exec_id(fill.trade_id, spot=spot),
            "execPrice": plain(report.last_px),
            "execQty": plain(report.last_qty),
            "execValue": plain(value_of(one, report.last_qty, report.last_px)),
            "execFee": plain(report.fee),
            "feeCurrency": report.fee_asset if spot else "",
            "feeRate": plain(one.maker_fee if maker else one.taker_fee),
            "execType": "BustTrade" if liquidation else "AdlTrade" if adl else "Trade",
            "execTime": str(self._account.wire_ms(report.ts_event_ns)),
            "isMaker": maker,
            "closedSize": plain(closed),
            "execPnl": plain(fill.pnl),
            "markPrice": plain(mark_price(self._account, market.key)),
            "isLeverage": "0",
            "blockTradeId": "",
            "createType": "CreateByUser",
            "marketUnit": "",
            "seq": report.exec_seq,
        }

    def funding(self, paid: FundingPayment) -> Row:
        """Funding is an execution here: the fee is what was paid."""
        market = self.market_of(paid)
        category, _, symbol = market.key.partition(":")
        qty = abs(paid.position_qty)
        return {
            "category": category,
            "symbol": symbol,
            "orderId": order_id(paid.exec_seq, spot=False),
            "orderLinkId": "",
            "side": "Buy" if paid.position_qty > 0 else "Sell",
            "execId": exec_id(paid.exec_seq, spot=False),
            "execPrice": plain(paid.mark_price),
            "execQty": plain(qty),
            "execValue": plain(value_of(market.instrument, qty, paid.mark_price)),
            "execFee": plain(-paid.amount),
            "feeRate": plain(paid.rate),
            "execType": "Funding",
            "execTime": str(self._account.wire_ms(paid.ts_event_ns)),
            "isMaker": False,
            "seq": paid.exec_seq,
        }

    def position(self, held: Holding) -> Row:
        """One position; a flat one has side ""."""
        category, _, symbol = held.key.partition(":")
        pnl = sum(
            (
                f.pnl - f.report.fee
                for f in self._account.fills
                if f.report.instrument_id == held.instrument.instrument_id
            ),
            Decimal(0),
        )
        updated = str(self._account.wire_ms(held.updated_ns)) if held.updated_ns else ""
        return {
            "category": category,
            "positionIdx": 0,
            "tradeMode": 0,
            "riskId": 1,
            "riskLimitValue": "2000000",
            "symbol": symbol,
            "side": "" if not held.qty else "Buy" if held.qty > 0 else "Sell",
            "size": plain(abs(held.qty)),
            "avgPrice": plain(held.entry.quantize(Decimal("0.00000001"))),
            "entryPrice": plain(held.entry.quantize(Decimal("0.00000001"))),
            "positionValue": plain(abs(held.value)),
            "autoAddMargin": 0,
            "positionStatus": "Normal",
            "leverage": plain(held.leverage),
            "markPrice": plain(held.mark),
            "liqPrice": "",
            "bustPrice": "",
            "positionIM": plain(held.initial),
            "positionMM": plain(held.maintenance),
            "unrealisedPnl": plain(held.pnl),
            "curRealisedPnl": plain(pnl),
            "cumRealisedPnl": plain(pnl),
            "adlRankIndicator": 2 if held.qty else 0,
            "isReduceOnly": False,
            "tpslMode": "Full",
            "takeProfit": "",
            "stopLoss": "",
            "trailingStop": "0",
            "createdTime": updated,
            "updatedTime": updated,
            "seq": self._account.exchange.exec_seq,
        }

    def wallet(self, owned: list[Balance]) -> Row:
        """The unified account; totals are in USD, a coin's worth by its last price."""
        coins: list[Row] = []
        total = Decimal(0)
        for one in owned:
            worth = one.margin * self._usd(one.asset)
            total += worth
            coins.append(
                {
                    "coin": one.asset,
                    "equity": plain(one.margin),
                    "usdValue": f"{worth:.8f}",
                    "walletBalance": plain(one.wallet),
                    "locked": plain(one.locked),
                    "spotHedgingQty": "0",
                    "borrowAmount": "0",
                    "accruedInterest": "0",
                    "totalOrderIM": "0",
                    "totalPositionIM": plain(one.initial),
                    "totalPositionMM": plain(one.maintenance),
                    "unrealisedPnl": plain(one.pnl),
                    "cumRealisedPnl": "0",
                    "bonus": "0",
                    "collateralSwitch": True,
                    "marginCollateral": True,
                    "availableToWithdraw": "",
                }
            )
        totals = ("totalEquity", "totalWalletBalance", "totalMarginBalance", "totalAvailableBalance")
        row: Row = {"accountType": "UNIFIED", **dict.fromkeys(totals, f"{total:.8f}")}
        zero = ("totalPerpUPL", "totalInitialMargin", "totalMaintenanceMargin", "accountIMRate", "accountMMRate")
        return row | dict.fromkeys((*zero, "accountLTV"), "0") | {"coin": coins}

    def _usd(self, asset: str) -> Decimal:
        if asset in {"USDT", "USDC", "USD"}:
            return Decimal(1)
        found = [market for market in self._account.markets.values() if market.instrument.base == asset]
        return found[0].instrument.price(found[0].last_ticks) if found else Decimal(0)


def _direction(order: SimOrder) -> int:
    """1: the price rises to the trigger, 2: it falls, 0: there is none."""
    if order.trigger is None:
        return 0
    return 1 if rises(order.ord_type, order.side) else 2


def _status(order: SimOrder, status: OrdStatus, cum: Decimal, *, spot: bool) -> str:
    if order.trigger is not None and not order.triggered_ns and status is OrdStatus.CANCELED:
        return "Deactivated"
    match status:
        case OrdStatus.PENDING_TRIGGER:
            return "Untriggered"
        case OrdStatus.NEW:
            return "New"
        case OrdStatus.PARTIALLY_FILLED:
            return "PartiallyFilled"
        case OrdStatus.FILLED:
            return "Filled"
        case OrdStatus.REJECTED:
            return "Rejected"
        case _:
            return "PartiallyFilledCanceled" if cum and spot else "Cancelled"
