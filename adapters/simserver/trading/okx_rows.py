"""Orders, fills, positions and balances as OKX v5 spells them, in replies and on private channels alike.

"Order Book Trading / Trade" and "Trading Account", okx.com/docs-v5 (read 2026-11). Everything is a text; fees are
negative when paid; contracts are crossed, spot is cash, positions are net.
"""

from __future__ import annotations

from decimal import Decimal

from adapters.okx.encode import instrument_type
from adapters.simserver.feed import Market
from adapters.simserver.trading.account import Fill, TradingAccount
from adapters.simserver.trading.binance_rows import shown_id
from adapters.simserver.trading.bybit_rows import plain
from adapters.simserver.trading.holdings import Balance, Holding, mark_price
from adapters.simserver.trading.refusals import Refusal, refusal_of
from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    Liquidity,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading.sim.fees import value_of
from trading.sim.state import SimOrder

Row = dict[str, object]
ZERO = Decimal(0)
ALGO_BASE = 7_000_000_000_000
"""Numbers of algo orders and of orders are of different sequences."""
_STATES = {
    OrdStatus.NEW: "live",
    OrdStatus.PARTIALLY_FILLED: "partially_filled",
    OrdStatus.FILLED: "filled",
}
_TYPES = {TimeInForce.GTC: "limit", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok", TimeInForce.GTX: "post_only"}
_CLOSING = {"autoclose-": "partial_liquidation", "adl_autoclose": "adl"}


def _category(cl_ord_id: str) -> str:
    return next((word for prefix, word in _CLOSING.items() if cl_ord_id.startswith(prefix)), "normal")


class Rows:
    """The rows of one account."""

    def __init__(self, account: TradingAccount) -> None:
        self._account = account

    def market_of(self, what: SimOrder | ExecutionReport | FundingPayment) -> Market:
        """Where it trades."""
        return self._account.markets[self._account.key_of[what.instrument_id]]

    def usd(self, one: Instrument, qty: Decimal, price: Decimal) -> str:
        """The value of a quantity in USD."""
        return f"{one.notional(qty, price):.8f}" if price else ""

    def order(self, order: SimOrder, report: ExecutionReport | None = None, fill: Fill | None = None) -> Row:
        """An order as it is; with a report, as the channel pushes that report."""
        market = self.market_of(order)
        one = market.instrument
        spot = one.kind is InstrumentKind.SPOT
        facts = self._account.facts.get(order.order_no)
        last = fill if report is not None else None if facts is None else facts.last
        cum = one.qty(order.cum_lots) if report is None else report.cum_qty
        average = order.cum_value / one.qty(order.cum_lots) if order.cum_lots else ZERO
        if report is not None:
            average = report.avg_px
        status = order.status if report is None else report.ord_status
        updated_ns = (order.updated_ns or order.ts_ns) if report is None else report.ts_event_ns
        fee_asset = facts.fee_asset if facts is not None and facts.fee_asset else one.settle
        row: Row = dict.fromkeys(
            (
                *("algoId", "algoClOrdId", "ccy", "pxType", "pxUsd", "pxVol", "quickMgnType", "slOrdPx", "slTriggerPx"),
                *("slTriggerPxType", "source", "stpId", "tag", "tpOrdPx", "tpTriggerPx", "tpTriggerPxType"),
            ),
            "",
        )
        row |= {
            "instId": market.key,
            "instType": instrument_type(market.key),
            "ordId": str(order.order_no),
            "clOrdId": shown_id(order.cl_ord_id) if order.trigger is None else "",
            "algoClOrdId": "" if order.trigger is None else shown_id(order.cl_ord_id),
            "algoId": "" if order.trigger is None else str(ALGO_BASE + order.order_no),
            "side": order.side.value,
            "posSide": "" if spot else "net",
            "tdMode": "cash" if spot else "cross",
            "ordType": "market" if order.price_ticks is None else _TYPES[order.time_in_force],
            "px": "" if order.price_ticks is None else plain(one.price(order.price_ticks)),
            "sz": plain(one.qty(order.order_lots)),
            "tgtCcy": "base_ccy" if spot and order.price_ticks is None else "",
            "state": _STATES.get(status, "canceled"),
            "accFillSz": plain(cum),
            "avgPx": plain(average.quantize(Decimal("0.0000000001"))) if average else "",
            "fee": "0" if facts is None else plain(-facts.fee),
            "feeCcy": fee_asset,
            "pnl": "0" if facts is None else plain(facts.pnl),
            "rebate": "0",
            "rebateCcy": one.quote if spot else one.settle,
            "lever": "" if spot else plain(self._account.leverage_of(market)),
            "reduceOnly": "true" if order.reduce_only else "false",
            "category": _category(order.cl_ord_id),
            "cancelSource": self._cancel_source(order, status),
            "stpMode": "cancel_taker",
            "isTpLimit": "false",
            "cTime": str(self._account.wire_ms(order.ts_ns)),
            "uTime": str(self._account.wire_ms(updated_ns)),
        }
        row |= self._last_fill(one, last)
        return row if report is None else row | self._pushed(market, order, report, fill)

    def _cancel_source(self, order: SimOrder, status: OrdStatus) -> str:
        if status not in {OrdStatus.CANCELED, OrdStatus.EXPIRED}:
            return ""
        facts = self._account.facts.get(order.order_no)
        said = "" if facts is None else facts.text
        if not said:
            return "1"
        if refusal_of(said) is Refusal.POST_ONLY:
            return "31"
        return "32" if "self-trade" in said else "13" if order.time_in_force is TimeInForce.FOK else "14"

    def _last_fill(self, one: Instrument, fill: Fill | None) -> Row:
        if fill is None:
            return {"fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": ""}
        return {
            "fillPx": plain(fill.report.last_px),
            "fillSz": plain(fill.report.last_qty),
            "fillTime": str(self._account.wire_ms(fill.report.ts_event_ns)),
            "tradeId": str(fill.trade_id),
        }

    def _pushed(self, market: Market, order: SimOrder, report: ExecutionReport, fill: Fill | None) -> Row:
        """Fields that only the channel has."""
        one = market.instrument
        price = one.price(order.price_ticks) if order.price_ticks else mark_price(self._account, market.key)
        amended = report.exec_type is ExecType.REPLACED
        row: Row = {
            "amendResult": "0" if amended else "",
            "amendSource": "1" if amended else "",
            "reqId": "",
            "code": "0",
            "msg": "",
            "execType": "",
            "fillFee": "0",
            "fillFeeCcy": "",
            "fillPnl": "0",
            "fillNotionalUsd": "",
            "notionalUsd": self.usd(one, one.qty(order.order_lots), price),
            "lastPx": plain(one.price(market.last_ticks)),
        }
        if fill is not None:
            row |= {
                "execType": "M" if report.liquidity is Liquidity.MAKER else "T",
                "fillFee": plain(-report.fee),
                "fillFeeCcy": report.fee_asset,
                "fillPnl": plain(fill.pnl),
                "fillNotionalUsd": self.usd(one, report.last_qty, report.last_px),
            }
        return row

    def fill(self, fill: Fill) -> Row:
        """One execution."""
        report = fill.report
        market = self.market_of(report)
        at = str(self._account.wire_ms(report.ts_event_ns))
        return {
            "instType": instrument_type(market.key),
            "instId": market.key,
            "tradeId": str(fill.trade_id),
            "ordId": report.order_id,
            "clOrdId": shown_id(report.cl_ord_id) if report.trigger is None else "",
            "billId": str(1_000_000_000 + fill.trade_id),
            "subType": "1" if report.side is Side.BUY else "2",
            "tag": "",
            "fillPx": plain(report.last_px),
            "fillSz": plain(report.last_qty),
            "fillPnl": plain(fill.pnl),
            "fillMarkPx": plain(mark_price(self._account, market.key)),
            "fillTime": at,
            "side": report.side.value,
            "posSide": "net",
            "execType": "M" if report.liquidity is Liquidity.MAKER else "T",
            "fee": plain(-report.fee),
            "feeCcy": report.fee_asset,
            "ts": at,
        }

    def position(self, held: Holding) -> Row:
        """One position."""
        one = held.instrument
        updated = str(self._account.wire_ms(held.updated_ns)) if held.updated_ns else ""
        mine = [f for f in self._account.fills if f.report.instrument_id == one.instrument_id]
        fees = sum((f.report.fee for f in mine), ZERO)
        pnl = sum((f.pnl for f in mine), ZERO)
        blank = ("liab", "liabCcy", "liqPx", "margin", "mgnRatio", "optVal", "posCcy", "availPos", "interest")
        return {
            **dict.fromkeys(blank, ""),
            "adl": "1",
            "instType": instrument_type(held.key),
            "instId": held.key,
            "posId": str(1 + list(self._account.markets).index(held.key)),
            "posSide": "net",
            "mgnMode": "cross",
            "pos": plain(held.qty),
            "avgPx": plain(held.entry.quantize(Decimal("0.0000000001"))) if held.qty else "",
            "markPx": plain(held.mark),
            "last": plain(one.price(self._account.markets[held.key].last_ticks)),
            "upl": plain(held.pnl),
            "uplRatio": "",
            "lever": plain(held.leverage),
            "imr": plain(held.initial),
            "mmr": plain(held.maintenance),
            "notionalUsd": self.usd(one, held.qty, held.mark),
            "ccy": one.settle,
            "pnl": plain(pnl),
            "fee": plain(-fees),
            "fundingFee": "0",
            "realizedPnl": plain(pnl - fees),
            "tradeId": str(mine[-1].trade_id) if mine else "",
            "cTime": updated,
            "uTime": updated,
        }

    def account(self, owned: list[Balance]) -> Row:
        """The trading account."""
        now = str(self._account.venue_ms())
        total, details = ZERO, []
        for one in owned:
            worth = one.margin * self._price_of(one.asset)
            total += worth
            blank = (
                "crossLiab",
                "interest",
                "isoLiab",
                "liab",
                "maxLoan",
                "mgnRatio",
                "notionalLever",
                "uplLiab",
                "twap",
            )
            details.append(
                {
                    **dict.fromkeys(blank, ""),
                    "ccy": one.asset,
                    "cashBal": plain(one.wallet),
                    "eq": plain(one.margin),
                    "availEq": plain(one.free),
                    "availBal": plain(one.free),
                    "frozenBal": plain(one.margin - one.free),
                    "ordFrozen": plain(one.locked),
                    "upl": plain(one.pnl),
                    "imr": plain(one.initial),
                    "mmr": plain(one.maintenance),
                    "isoEq": "0",
                    "disEq": f"{worth:.8f}",
                    "eqUsd": f"{worth:.8f}",
                    "uTime": now,
                }
            )
        unsaid = ("adjEq", "imr", "mmr", "mgnRatio", "notionalUsd", "ordFroz", "borrowFroz", "upl")
        return {**dict.fromkeys(unsaid, ""), "isoEq": "0", "totalEq": f"{total:.8f}", "uTime": now, "details": details}

    def _price_of(self, asset: str) -> Decimal:
        if asset in {"USDT", "USDC", "USD"}:
            return Decimal(1)
        found = [market for market in self._account.markets.values() if market.instrument.base == asset]
        return found[0].instrument.price(found[0].last_ticks) if found else ZERO

    def bill(self, paid: FundingPayment) -> Row:
        """Funding as the bills tell it: type 8, paid 173, received 174."""
        market = self.market_of(paid)
        return {
            "instType": instrument_type(market.key),
            "instId": market.key,
            "billId": str(2_000_000_000 + paid.exec_seq),
            "type": "8",
            "subType": "173" if paid.amount < 0 else "174",
            "ccy": paid.asset,
            "balChg": plain(paid.amount),
            "pnl": plain(paid.amount),
            "px": plain(paid.mark_price),
            "sz": plain(abs(value_of(market.instrument, paid.position_qty, paid.mark_price))),
            "fee": "0",
            "mgnMode": "cross",
            "ts": str(self._account.wire_ms(paid.ts_event_ns)),
        }
