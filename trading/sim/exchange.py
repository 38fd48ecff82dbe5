"""The exchange side of the simulation, without latency: order entry, matching, fills, funding, queries.

Every method takes the time at which the venue acts and emits its events in order. Owns orders and account; does
not own when commands arrive or reports are seen (`venue.SimVenue`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from trading.instruments import Instrument
from trading.market.events import Aggressor, MarkPrice, Trade
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ExecType,
    ExecutionReport,
    FundingPayment,
    Liquidity,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    VenueEvent,
)
from trading.orders.refusals import cancel_reject, rejected
from trading.orders.triggers import PRICED
from trading.sim import filters, queue
from trading.sim.account import Account, funding_amount
from trading.sim.config import SimConfig
from trading.sim.fees import fee_of, value_of
from trading.sim.funds import free_balance, free_margin_after, grows_exposure
from trading.sim.matching import Market
from trading.sim.reports import execution_report
from trading.sim.state import SimOrder

OrderEntry = NewOrderSingle | OrderCancelReplaceRequest

_Sequenced = TypeVar("_Sequenced", ExecutionReport, FundingPayment)

_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)


class Exchange:
    """One account at one venue. ``changed``, ``executed`` and ``paid`` collect what the write-ahead log needs."""

    def __init__(
        self, venue: str, instruments: Sequence[Instrument], config: SimConfig, emit: Callable[[VenueEvent], None]
    ) -> None:
        foreign = [i.instrument_id for i in instruments if i.venue != venue]
        if foreign:
            raise ValueError(f"instruments {foreign} are not of venue {venue}")
        self.venue = venue
        self.config = config
        self.account = Account(config.initial_balances)
        self.markets = {i.instrument_id: Market(i) for i in instruments}
        self.marks: dict[str, MarkPrice] = {}
        self.settled: dict[str, int] = {}
        self.open: dict[str, SimOrder] = {}
        self.finished: OrderedDict[str, SimOrder] = OrderedDict()
        self.executions: deque[ExecutionReport] = deque(maxlen=config.max_executions)
        self.fundings: deque[FundingPayment] = deque(maxlen=config.max_executions)
        self.exec_seq = 0
        self.next_order_no = 1
        self.leverage: dict[str, Decimal] = {}
        self.changed: dict[str, SimOrder] = {}
        self.executed: list[ExecutionReport] = []
        self.paid: list[FundingPayment] = []
        self._emit = emit
        self._cancel_share = config.queue_cancel_ahead.as_integer_ratio()

    # What the desk asks.

    def new_order(self, cmd: NewOrderSingle, ts_ns: int, refusal: str = "") -> None:
        """Accept and match, or reject with Binance's code; ``refusal`` rejects whatever comes (a fault)."""
        text = refusal or self._entry_refusal(cmd, None)
        if text:
            exec_id = f"R{self._order_no()}-1"
            self._emit(rejected(cmd, exec_id, self.exec_seq, text, ts_ns))
            return
        market = self.markets[cmd.instrument_id]
        order = self._create(cmd, market, None, ts_ns)
        self._report(order, ExecType.NEW, ts_ns)
        self._match(market, order, ts_ns)

    def cancel(self, cmd: OrderCancelRequest, ts_ns: int) -> None:
        """Cancel a working order; an order that is not working is answered with -2011 and its status."""
        order = self.open.get(cmd.orig_cl_ord_id)
        if order is None:
            self._emit(cancel_reject(cmd, self._status_of(cmd.orig_cl_ord_id), filters.UNKNOWN_ORDER, ts_ns))
            return
        self._finish(order, OrdStatus.CANCELED)
        self._report(order, ExecType.CANCELED, ts_ns, cl_ord_id=cmd.cl_ord_id, orig_cl_ord_id=order.cl_ord_id)

    def replace(self, cmd: OrderCancelReplaceRequest, ts_ns: int) -> None:
        """Put a new order in the place of a working one, or change nothing.

        The new order has its own ``order_qty`` and executions; those of the old one stay with the old id. It keeps
        the place in the queue when price and time in force stay and the quantity does not grow.
        """
        orig = self.open.get(cmd.orig_cl_ord_id)
        text = self._replace_refusal(cmd, orig)
        if orig is None or text:
            status = self._status_of(cmd.orig_cl_ord_id)
            self._emit(cancel_reject(cmd, status, text or filters.NO_SUCH_ORDER, ts_ns))
            return
        market = self.markets[cmd.instrument_id]
        index = market.orders.index(orig)
        self._finish(orig, OrdStatus.REPLACED)
        order = self._create(cmd, market, orig.cl_ord_id, ts_ns)
        self._report(order, ExecType.REPLACED, ts_ns, orig_cl_ord_id=orig.cl_ord_id)
        same_place = order.price_ticks == orig.price_ticks and order.time_in_force is orig.time_in_force
        if same_place and order.order_lots <= orig.open_lots:
            order.queue_ahead, order.displayed, order.traded = orig.queue_ahead, orig.displayed, orig.traded
            market.orders.insert(index, order)
            market.rest()
        else:
            self._match(market, order, ts_ns)

    def order_status(self, cmd: OrderStatusRequest, ts_ns: int) -> None:
        """Answer what became of an order; None for one that was never accepted or is forgotten."""
        order = self.open.get(cmd.cl_ord_id) or self.finished.get(cmd.cl_ord_id)
        report = None
        if order is not None:
            self._touch(order, order.updated_ns)
            exec_id = f"{order.order_id}-{order.reports}"
            instrument = self.markets[order.instrument_id].instrument
            report = execution_report(
                order, instrument, ExecType.ORDER_STATUS, exec_id=exec_id, exec_seq=self.exec_seq, ts_ns=ts_ns
            )
        self._emit(
            OrderStatusReport(
                venue=self.venue,
                instrument_id=cmd.instrument_id,
                cl_ord_id=cmd.cl_ord_id,
                report=report,
                ts_init_ns=ts_ns,
                asked_ns=cmd.ts_init_ns,
            )
        )

    def account_state(self, cmd: AccountStateRequest, ts_ns: int) -> None:
        """Answer with everything reconciliation needs."""
        self._emit(self.state_now(cmd.since_exec_seq, cmd.cause, ts_ns))

    def state_now(self, since_exec_seq: int, cause: str, ts_ns: int) -> AccountState:
        """The account as it now is; each contract is listed, flat ones with 0."""
        open_orders = tuple(
            execution_report(
                order,
                self.markets[order.instrument_id].instrument,
                ExecType.ORDER_STATUS,
                exec_id=f"{order.order_id}-{order.reports}",
                exec_seq=self.exec_seq,
                ts_ns=ts_ns,
            )
            for order in sorted(self.open.values(), key=lambda o: o.order_no)
        )
        return AccountState(
            venue=self.venue,
            exec_seq=self.exec_seq,
            open_orders=open_orders,
            executions=_since(self.executions, since_exec_seq),
            fundings=_since(self.fundings, since_exec_seq),
            positions={i: self.account.position(i).qty for i, market in self.markets.items() if market.is_contract},
            balances=dict(self.account.balances),
            cause=cause,
            ts_init_ns=ts_ns,
        )

    # What the market does.

    def book_changed(self, market: Market, ts_ns: int) -> None:
        """Move queues by what the book shows, then fill orders that the other side has reached."""
        market.refresh()
        if not market.orders:
            market.rest()
            return
        for order in market.orders:
            if order.price_ticks is not None:
                displayed = market.displayed_at(order.side, order.price_ticks)
                if displayed is not None:
                    queue.see_level(order, displayed, self._cancel_share)
        for order in _most_aggressive_first(market.orders):
            opposite = market.best_opposite(order.side)
            if order.price_ticks is None or opposite is None:
                continue
            if (opposite[0] - order.price_ticks) * order.side.sign <= 0:
                self._fill_by_cross(market, order, order.price_ticks, ts_ns)
        market.rest()

    def _fill_by_cross(self, market: Market, order: SimOrder, price_ticks: int, ts_ns: int) -> None:
        """The other side came to our price: it would have met us, so we are maker, at our price, for what it brings."""
        depth = self.config.taker_depth
        for tick, available in list(market.available(order.side, price_ticks, depth)):
            if not order.is_open:
                return
            lots = min(available, order.open_lots)
            filled = self._fill(market, order, price_ticks, lots, Liquidity.MAKER, ts_ns=ts_ns)
            if filled:
                market.consume(order.side, tick, filled)

    def traded(self, market: Market, trade: Trade, ts_ns: int) -> None:
        """A public trade: it fills what it went through, and reaches us at our price behind those ahead.

        Lots that fill one of our orders do not fill the next at the same price.
        """
        hit = Side.BUY if trade.aggressor is Aggressor.SELL else Side.SELL
        left = trade.qty_lots
        for order in list(market.orders):
            price_ticks = order.price_ticks
            if price_ticks is None or not order.is_open:
                continue
            beyond = (price_ticks - trade.price_ticks) * order.side.sign
            if beyond > 0:
                self._fill(market, order, price_ticks, order.open_lots, Liquidity.MAKER, ts_ns=ts_ns)
            elif beyond == 0 and order.side is hit:
                reached = queue.take_trade(order, trade.qty_lots, left)
                if reached > 0:
                    left -= self._fill(market, order, price_ticks, reached, Liquidity.MAKER, ts_ns=ts_ns)
        market.rest()

    def settle(self, mark: MarkPrice) -> None:
        """Pay or receive funding at the rate and mark last known, once per instrument and settlement time."""
        settlement_ns, rate = mark.next_funding_ns, mark.funding_rate
        market = self.markets[mark.instrument_id]
        if settlement_ns is None or self.settled.get(mark.instrument_id, 0) >= settlement_ns:
            return
        self.settled[mark.instrument_id] = settlement_ns
        qty = self.account.position(mark.instrument_id).qty
        if qty == 0 or rate is None or not market.is_contract:
            return
        amount = funding_amount(market.instrument, qty, mark.mark_price, rate)
        self.account.credit(market.instrument.settle, amount)
        self.exec_seq += 1
        payment = FundingPayment(
            venue=self.venue,
            instrument_id=mark.instrument_id,
            funding_id=f"{mark.instrument_id}-{settlement_ns}",
            exec_seq=self.exec_seq,
            rate=rate,
            position_qty=qty,
            mark_price=mark.mark_price,
            amount=amount,
            asset=market.instrument.settle,
            ts_event_ns=settlement_ns,
            ts_init_ns=settlement_ns,
        )
        self.fundings.append(payment)
        if self.config.write_ahead:
            self.paid.append(payment)
        self._emit(payment)

    # Refusals.

    def _replace_refusal(self, cmd: OrderCancelReplaceRequest, orig: SimOrder | None) -> str | None:
        if self._is_taken(cmd.cl_ord_id):
            return filters.duplicate_text(self.markets[self._known(cmd.cl_ord_id).instrument_id].instrument)
        if orig is None:
            return filters.NO_SUCH_ORDER
        if orig.waits:
            return filters.WAITS
        if orig.side is not cmd.side or orig.instrument_id != cmd.instrument_id:
            return "-1013 A replacement keeps instrument and side."
        return self._entry_refusal(cmd, orig)

    def _entry_refusal(self, cmd: OrderEntry, replaced: SimOrder | None) -> str | None:
        """Why the order is refused, in the venue's order of looking; ``replaced`` is on its way out."""
        market = self.markets.get(cmd.instrument_id)
        if market is None:
            return filters.INVALID_SYMBOL
        instrument = market.instrument
        if self._is_taken(cmd.cl_ord_id):
            return filters.duplicate_text(instrument)
        best = market.best_opposite(cmd.side)
        ref_price = None if best is None else instrument.price(best[0])
        reduces = cmd.reduce_only and market.is_contract
        text = filters.shape_refusal(
            instrument, cmd.ord_type, cmd.order_qty, cmd.price, ref_price=ref_price, reduce_only=reduces
        )
        if text:
            return text
        if replaced is None and len(self.open) >= self.config.max_open_orders:
            return filters.too_many_orders_text(instrument)
        lots = instrument.lots(cmd.order_qty)
        limit = instrument.ticks(cmd.price) if cmd.ord_type is OrdType.LIMIT and cmd.price is not None else None
        if cmd.reduce_only and self._reducible(market, cmd.side, lots) == 0:
            return filters.REDUCE_ONLY
        post_only = cmd.time_in_force is TimeInForce.GTX and not self.config.post_only_expires
        if post_only and limit is not None and would_take(market, cmd.side, limit):
            return filters.post_only_text(instrument)
        return self._funds_refusal(market, cmd, limit, lots, replaced)

    def _funds_refusal(
        self, market: Market, cmd: OrderEntry, limit: int | None, lots: int, replaced: SimOrder | None
    ) -> str | None:
        instrument = market.instrument
        orders = [order for order in self.open.values() if order is not replaced]
        if market.is_contract:
            if cmd.reduce_only:
                return None
            grown = grows_exposure(market, self.account, orders, cmd.side, cmd.order_qty)
            if not grown or free_margin_after(self, market, orders, cmd.side, cmd.order_qty, price=cmd.price) >= 0:
                return None
            return filters.INSUFFICIENT_MARGIN
        if cmd.side is Side.SELL:
            asset, need = instrument.base, cmd.order_qty
        elif limit is not None:
            asset, need = instrument.quote, value_of(instrument, cmd.order_qty, instrument.price(limit))
        else:
            takes, _ = market.plan(cmd.side, None, lots, self.config.taker_depth)
            asset = instrument.quote
            need = sum((value_of(instrument, instrument.qty(n), instrument.price(t)) for t, n in takes), Decimal(0))
        return filters.INSUFFICIENT_BALANCE if need > free_balance(self, asset, orders) else None

    # Matching.

    def _match(self, market: Market, order: SimOrder, ts_ns: int) -> None:
        """Take what the order may take now; then rest it, or expire what is left."""
        limit = order.price_ticks if order.time_in_force is TimeInForce.GTX else None
        if limit is not None and would_take(market, order.side, limit):
            self._expire(order, filters.post_only_text(market.instrument), ts_ns)
            return
        wanted = self._reducible(market, order.side, order.open_lots) if order.reduce_only else order.open_lots
        takes, met_own = market.plan(order.side, order.price_ticks, wanted, self.config.taker_depth)
        fill_or_kill = order.time_in_force is TimeInForce.FOK
        if not (fill_or_kill and sum(lots for _, lots in takes) < order.order_lots):
            for tick, lots in takes:
                filled = self._fill(market, order, tick, lots, Liquidity.TAKER, ts_ns=ts_ns)
                market.consume(order.side, tick, filled)
        if order.is_open:
            if order.price_ticks is None or order.time_in_force in _IMMEDIATE:
                self._expire(order, "no more liquidity at the limit", ts_ns)
            elif met_own:
                self._expire(order, "self-trade prevention: the newest is cancelled", ts_ns)
            elif order.reduce_only and self._reducible(market, order.side, order.open_lots) == 0:
                self._expire(order, filters.REDUCE_ONLY, ts_ns)
            elif order.price_ticks is not None:
                queue.join(order, market.displayed_at(order.side, order.price_ticks))
                market.orders.append(order)
        market.rest()

    def _fill(self, market: Market, order: SimOrder, tick: int, lots: int, liquidity: Liquidity, *, ts_ns: int) -> int:
        """Execute at most ``lots`` at ``tick``: what the order has open and, if it may only reduce, can reduce."""
        lots = min(lots, order.open_lots) if order.is_open else 0
        if order.reduce_only:
            lots = self._reducible(market, order.side, lots)
        if lots <= 0:
            return 0
        instrument = market.instrument
        qty, px = instrument.qty(lots), instrument.price(tick)
        fee, fee_asset = fee_of(instrument, order.side, qty, px, liquidity)
        self.account.fill(instrument, order.side, qty, px, fee=fee, fee_asset=fee_asset)
        order.cum_lots += lots
        order.cum_value += qty * px
        order.updated_ns = ts_ns
        order.status = OrdStatus.PARTIALLY_FILLED
        if order.open_lots == 0:
            self._finish(order, OrdStatus.FILLED)
        self.exec_seq += 1
        self._note(order)
        report = execution_report(
            order,
            instrument,
            ExecType.TRADE,
            exec_id=f"{self.venue}-{self.exec_seq}",
            exec_seq=self.exec_seq,
            ts_ns=ts_ns,
            last_qty=qty,
            last_px=px,
            liquidity=liquidity,
            fee=fee,
            fee_asset=fee_asset,
        )
        self.executions.append(report)
        if self.config.write_ahead:
            self.executed.append(report)
        self._emit(report)
        for other in list(market.orders):
            if other.reduce_only and other.is_open and self._reducible(market, other.side, 1) == 0:
                self._expire(other, filters.REDUCE_ONLY, ts_ns)
        return lots

    def _reducible(self, market: Market, side: Side, lots: int) -> int:
        """How many of ``lots`` an order of ``side`` may execute without opening anything.

        A spot account cannot go short, so its sells reduce by nature and its buys never do.
        """
        if not market.is_contract:
            return lots if side is Side.SELL else 0
        qty = self.account.position(market.instrument.instrument_id).qty * -side.sign
        return min(lots, market.instrument.lots_floor(qty)) if qty > 0 else 0

    # Book-keeping of orders.

    def _create(self, cmd: OrderEntry, market: Market, orig_cl_ord_id: str | None, ts_ns: int) -> SimOrder:
        instrument = market.instrument
        limit = cmd.price if cmd.ord_type in PRICED else None
        order = SimOrder(
            order_no=self._order_no(),
            cl_ord_id=cmd.cl_ord_id,
            orig_cl_ord_id=orig_cl_ord_id,
            instrument_id=cmd.instrument_id,
            side=cmd.side,
            ord_type=cmd.ord_type,
            time_in_force=cmd.time_in_force,
            order_lots=instrument.lots(cmd.order_qty),
            price_ticks=None if limit is None else instrument.ticks(limit),
            reduce_only=cmd.reduce_only,
            ts_ns=ts_ns,
        )
        self.open[order.cl_ord_id] = order
        return order

    def _order_no(self) -> int:
        number = self.next_order_no
        self.next_order_no += 1
        return number

    def _is_known(self, cl_ord_id: str) -> bool:
        return cl_ord_id in self.open or cl_ord_id in self.finished

    def _is_taken(self, cl_ord_id: str) -> bool:
        """Whether a new order cannot have this id."""
        return cl_ord_id in self.open or (cl_ord_id in self.finished and not self.config.reuse_closed_ids)

    def _known(self, cl_ord_id: str) -> SimOrder:
        return self.open[cl_ord_id] if cl_ord_id in self.open else self.finished[cl_ord_id]

    def _status_of(self, cl_ord_id: str) -> OrdStatus:
        return self._known(cl_ord_id).status if self._is_known(cl_ord_id) else OrdStatus.REJECTED

    def _expire(self, order: SimOrder, text: str, ts_ns: int) -> None:
        self._finish(order, OrdStatus.EXPIRED)
        self._report(order, ExecType.EXPIRED, ts_ns, text=text)

    def _finish(self, order: SimOrder, status: OrdStatus) -> None:
        order.status = status
        del self.open[order.cl_ord_id]
        market = self.markets[order.instrument_id]
        market.orders = [other for other in market.orders if other is not order]
        market.waiting = [other for other in market.waiting if other is not order]
        market.rest()
        self.finished[order.cl_ord_id] = order
        if len(self.finished) > self.config.max_finished_orders:
            self.finished.popitem(last=False)
        self._note(order)

    def _touch(self, order: SimOrder, ts_ns: int) -> None:
        """Number one more report of the order."""
        order.reports += 1
        order.updated_ns = ts_ns
        self._note(order)

    def _note(self, order: SimOrder) -> None:
        if self.config.write_ahead:
            self.changed[order.cl_ord_id] = order

    def _report(
        self,
        order: SimOrder,
        exec_type: ExecType,
        ts_ns: int,
        *,
        cl_ord_id: str | None = None,
        orig_cl_ord_id: str | None = None,
        text: str = "",
    ) -> None:
        self._touch(order, ts_ns)
        self._emit(
            execution_report(
                order,
                self.markets[order.instrument_id].instrument,
                exec_type,
                exec_id=f"{order.order_id}-{order.reports}",
                exec_seq=self.exec_seq,
                ts_ns=ts_ns,
                cl_ord_id=cl_ord_id,
                orig_cl_ord_id=orig_cl_ord_id,
                text=text,
            )
        )


def would_take(market: Market, side: Side, limit_ticks: int) -> bool:
    """Whether a limit would meet the displayed market or an order of our own."""
    best = market.best_opposite(side)
    own = market.own_best_opposite(side)
    return (best is not None and (limit_ticks - best[0]) * side.sign >= 0) or (
        own is not None and (limit_ticks - own) * side.sign >= 0
    )


def _most_aggressive_first(orders: Sequence[SimOrder]) -> list[SimOrder]:
    """Highest bid, lowest ask first; the earlier first at one price (the sort is stable)."""
    return sorted(orders, key=lambda order: -(order.price_ticks or 0) * order.side.sign)


def _since(history: deque[_Sequenced], exec_seq: int) -> tuple[_Sequenced, ...]:
    newest_first = []
    for event in reversed(history):
        if event.exec_seq <= exec_seq:
            break
        newest_first.append(event)
    return tuple(reversed(newest_first))
