"""What a venue does to orders and positions without a new order of ours: amend in place, look up, take over, liquidate.

Owns the amendments of the venues whose orders keep their id (Binance futures, OKX, Bybit), queries of all orders, and
executions that nobody here ordered. Entry, matching and funds are `exchange.Exchange`'s.
"""

from __future__ import annotations

from decimal import Decimal

from trading.orders.messages import (
    ExecType,
    Liquidity,
    NewOrderSingle,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)
from trading.sim import filters
from trading.sim.exchange import would_take
from trading.sim.state import SimOrder
from trading.sim.waiting import WaitingExchange


class InPlaceExchange(WaitingExchange):
    """An exchange whose orders can be amended and whose account others can touch."""

    def find(self, cl_ord_id: str) -> SimOrder | None:
        """An order by client order id, open or finished; None for one that is unknown or forgotten."""
        return self.open.get(cl_ord_id) or self.finished.get(cl_ord_id)

    def orders(self) -> list[SimOrder]:
        """All orders that are remembered, oldest first."""
        return sorted([*self.finished.values(), *self.open.values()], key=lambda order: order.order_no)

    def amend(self, cl_ord_id: str, order_qty: Decimal, price: Decimal, ts_ns: int) -> str:
        """Change quantity and price of a working limit order; "" when done, else the refusal, and nothing changed.

        ``order_qty`` is the new total, executed lots among it. The order keeps its ids, and its place in the queue
        where the price stays and the quantity does not grow. It is canceled where nothing would be left of it, and
        expires where it is post-only and would take ("Modify Order", developers.binance.com derivatives, 2026-11).
        """
        order = self.open.get(cl_ord_id)
        if order is None:
            return filters.NO_SUCH_ORDER
        if order.ord_type is not OrdType.LIMIT:
            return "-1106 Parameter 'price' sent when not required."
        market = self.markets[order.instrument_id]
        refusal = self._amend_refusal(order, order_qty, price)
        if refusal:
            return refusal
        lots, ticks = market.instrument.lots(order_qty), market.instrument.ticks(price)
        if lots <= order.cum_lots:
            self._finish(order, OrdStatus.CANCELED)
            self._report(order, ExecType.CANCELED, ts_ns, orig_cl_ord_id=cl_ord_id)
            return ""
        if order.time_in_force is TimeInForce.GTX and would_take(market, order.side, ticks):
            self._expire(order, filters.post_only_text(market.instrument), ts_ns)
            return ""
        keeps_place = ticks == order.price_ticks and lots <= order.order_lots
        order.order_lots, order.price_ticks = lots, ticks
        self._report(order, ExecType.REPLACED, ts_ns, orig_cl_ord_id=cl_ord_id)
        if not keeps_place:
            market.orders.remove(order)
            self._match(market, order, ts_ns)
        return ""

    def _amend_refusal(self, order: SimOrder, order_qty: Decimal, price: Decimal) -> str:
        market = self.markets[order.instrument_id]
        instrument = market.instrument
        text = filters.shape_refusal(
            instrument, order.ord_type, order_qty, price, ref_price=price, reduce_only=order.reduce_only
        )
        if text:
            return text
        lots = max(0, instrument.lots(order_qty) - order.cum_lots)
        probe = NewOrderSingle(
            venue=self.venue,
            instrument_id=order.instrument_id,
            cl_ord_id="",
            side=order.side,
            ord_type=order.ord_type,
            time_in_force=order.time_in_force,
            order_qty=instrument.qty(lots),
            price=price,
            reduce_only=order.reduce_only,
            strategy_ids=(),
            epoch=0,
            cause="",
            ts_init_ns=0,
        )
        return self._funds_refusal(market, probe, instrument.ticks(price), lots, order) or ""

    def force_fill(
        self, instrument_id: str, side: Side, lots: int, price_ticks: int, *, cl_ord_id: str, ts_ns: int
    ) -> None:
        """An execution that was not ordered here, at a price of its own: liquidation, ADL, a hand on the screen.

        It is told as a market order of its own with the given id, which must be new; funds are not asked.
        """
        market = self.markets[instrument_id]
        order = SimOrder(
            order_no=self._order_no(),
            cl_ord_id=cl_ord_id,
            orig_cl_ord_id=None,
            instrument_id=instrument_id,
            side=side,
            ord_type=OrdType.MARKET,
            time_in_force=TimeInForce.IOC,
            order_lots=lots,
            price_ticks=None,
            reduce_only=False,
            ts_ns=ts_ns,
        )
        self.open[cl_ord_id] = order
        self._report(order, ExecType.NEW, ts_ns)
        self._fill(market, order, price_ticks, lots, Liquidity.TAKER, ts_ns=ts_ns)
