"""Orders that the simulated venue holds beside its book until a price is seen: stops and take-profits.

Owns their entry, the prices they watch and the moment of their trigger. Where prices come from is the caller's; what a
triggered order meets is `exchange.Exchange`'s. Margin is asked for at the trigger, as on the venues ("New Algo Order",
developers.binance.com USD-M; "Place Order", bybit-exchange.github.io/docs/v5; read 2026-11).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    NewOrderSingle,
    OrdStatus,
    OrdType,
    TriggeringInstructions,
    TriggerPriceType,
    VenueEvent,
)
from trading.orders.refusals import rejected
from trading.orders.triggers import PRICED, WAITING, reached
from trading.sim import filters
from trading.sim.config import SimConfig
from trading.sim.exchange import Exchange
from trading.sim.matching import Market
from trading.sim.state import SimOrder


class WaitingExchange(Exchange):
    """An exchange that holds orders for their trigger, where its configuration says so."""

    def __init__(
        self, venue: str, instruments: Sequence[Instrument], config: SimConfig, emit: Callable[[VenueEvent], None]
    ) -> None:
        super().__init__(venue, instruments, config, emit)
        self.seen: dict[tuple[str, TriggerPriceType], Decimal] = {}
        """The newest price of each instrument and kind that was told."""

    def new_order(self, cmd: NewOrderSingle, ts_ns: int, refusal: str = "") -> None:
        """As of every exchange; an order with a trigger is held, or refused where its price has come already."""
        trigger = cmd.trigger
        if trigger is None or cmd.ord_type not in WAITING or not self.config.holds_triggers:
            super().new_order(cmd, ts_ns, refusal)
            return
        text = refusal or self._held_refusal(cmd, trigger)
        if text:
            self._emit(rejected(cmd, f"R{self._order_no()}-1", self.exec_seq, text, ts_ns))
            return
        market = self.markets[cmd.instrument_id]
        order = self._create(cmd, market, None, ts_ns)
        order.trigger, order.status = trigger, OrdStatus.PENDING_TRIGGER
        market.waiting.append(order)
        self._report(order, ExecType.NEW, ts_ns)

    def see_price(self, instrument_id: str, kind: TriggerPriceType, price: Decimal, ts_ns: int) -> None:
        """A last, mark or index price: what it reaches is triggered, the oldest order first."""
        self.seen[instrument_id, kind] = price
        market = self.markets[instrument_id]
        for order in [one for one in market.waiting if one.trigger is not None]:
            trigger = order.trigger
            if trigger is None or trigger.trigger_price_type is not kind or not order.waits:
                continue
            if reached(order.ord_type, order.side, trigger.trigger_price, price):
                self._trigger(market, order, ts_ns)

    def _trigger(self, market: Market, order: SimOrder, ts_ns: int) -> None:
        """It goes on the book, or ends where nothing is left to close or nothing pays for it."""
        if order.reduce_only:
            text = "" if self._reducible(market, order.side, order.open_lots) else filters.REDUCE_ONLY
        else:
            text = self._unpaid(market, order)
        if text:
            self._finish(order, OrdStatus.REJECTED)
            self._report(order, ExecType.REJECTED, ts_ns, text=text)
            return
        market.waiting.remove(order)
        order.status, order.triggered_ns = OrdStatus.NEW, ts_ns
        self._report(order, ExecType.TRIGGERED, ts_ns)
        self._match(market, order, ts_ns)

    def _unpaid(self, market: Market, order: SimOrder) -> str:
        qty = market.instrument.qty(order.open_lots)
        price = None if order.price_ticks is None else market.instrument.price(order.price_ticks)
        probe = NewOrderSingle(
            self.venue,
            order.instrument_id,
            "",
            order.side,
            OrdType.MARKET if price is None else OrdType.LIMIT,
            order.time_in_force,
            qty,
            price,
            order.reduce_only,
            (),
            0,
            "",
            0,
        )
        return self._funds_refusal(market, probe, order.price_ticks, order.open_lots, order) or ""

    def _held_refusal(self, cmd: NewOrderSingle, trigger: TriggeringInstructions) -> str:
        market = self.markets.get(cmd.instrument_id)
        if market is None:
            return filters.INVALID_SYMBOL
        one = market.instrument
        if self._is_taken(cmd.cl_ord_id):
            return filters.duplicate_text(one)
        priced = cmd.ord_type in PRICED
        shape = OrdType.LIMIT if priced else OrdType.MARKET
        text = filters.shape_refusal(
            one, shape, cmd.order_qty, cmd.price, ref_price=trigger.trigger_price, reduce_only=cmd.reduce_only
        ) or filters.price_refusal(one, trigger.trigger_price)
        if text:
            return text
        if len(self.open) >= self.config.max_open_orders:
            return filters.too_many_orders_text(one)
        now = self.seen.get((cmd.instrument_id, trigger.trigger_price_type))
        if now is not None and reached(cmd.ord_type, cmd.side, trigger.trigger_price, now):
            return filters.AT_ONCE
        if self.config.waiting_locks and not market.is_contract:
            lots, limit = one.lots(cmd.order_qty), one.ticks(cmd.price) if priced and cmd.price is not None else None
            return self._funds_refusal(market, cmd, limit, lots, None) or ""
        return ""
