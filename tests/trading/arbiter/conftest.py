"""A small paper venue and the whole decision path around it: strategies, arbiter, governor, fills."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from types import SimpleNamespace

import pytest

from trading.arbiter.config import ArbiterConfig, ConflictResolved, FlattenTold, StrategyBudget
from trading.arbiter.core import Arbiter
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop
from trading.orders.messages import (
    ApprovedOrder,
    InternalCross,
    Leg,
    Liquidity,
    OrderDenied,
    OrderFilled,
    OrderUpdated,
    OrdStatus,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
)
from trading.risk.exposure import TERMINAL
from trading.risk.governor import RiskGovernor
from trading.risk.limits import RiskLimits

D = Decimal
SPOT = "BINANCE:SPOT:BTC-USDT"
PERP = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
COIN = "BINANCECOINM:PERP:BTC-USD:INVERSE"


def _instruments() -> dict[str, Instrument]:
    common = {"base": "BTC", "max_qty": D(1000)}
    return {
        SPOT: Instrument(
            instrument_id=SPOT,
            venue="binance",
            symbol="BTCUSDT",
            kind=InstrumentKind.SPOT,
            quote="USDT",
            settle="USDT",
            tick_size=D("0.01"),
            lot_size=D("0.00001"),
            min_qty=D("0.00001"),
            min_notional=D(5),
            maker_fee=D("0.001"),
            taker_fee=D("0.001"),
            **common,
        ),
        PERP: Instrument(
            instrument_id=PERP,
            venue="binanceusdm",
            symbol="BTCUSDT",
            kind=InstrumentKind.LINEAR,
            quote="USDT",
            settle="USDT",
            tick_size=D("0.1"),
            lot_size=D("0.001"),
            min_qty=D("0.001"),
            min_notional=D(100),
            **common,
        ),
        COIN: Instrument(
            instrument_id=COIN,
            venue="binancecoinm",
            symbol="BTCUSD_PERP",
            kind=InstrumentKind.INVERSE,
            quote="USD",
            settle="BTC",
            tick_size=D("0.1"),
            lot_size=D(1),
            min_qty=D(1),
            min_notional=D(0),
            multiplier=D(100),
            **common,
        ),
    }


def _top(instrument_id, bid, ask, now_ns, *, bid_lots=50, ask_lots=50, update_id=1, state=BookState.SYNCED):
    return BookTop(
        instrument_id=instrument_id,
        state=state,
        update_id=update_id,
        bids=((bid, bid_lots),) if bid else (),
        asks=((ask, ask_lots),) if ask else (),
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
    )


class PaperDesk:
    """Drives the cores as the actors do, and checks at every step what must always hold.

    Orders rest behind the displayed quantity; IOC orders take the displayed touch only.
    """

    def __init__(self, instruments, arbiter, governor, strategies=()):
        self.instruments = instruments
        self.arbiter = arbiter
        self.governor = governor
        self.strategies = list(strategies)
        self.tops = {}
        self.live = {}
        self.queue = {}
        self.filled = {}
        self.position = dict.fromkeys(instruments, D(0))
        self.attributed = {}
        self.cash = D(0)
        self.fees = D(0)
        self.log = []
        self.orders = {}
        self._inbox = deque()
        self._seq = 0
        self.ack = True
        # With a wire, orders and cancels reach the venue when `deliver` lets them, oldest first.
        self.wire = None

    # --- driving

    def book(self, top, now_ns):
        # The venue fills first and the desk hears of the book later, so fills are met with the book before.
        self._cross_resting(top, now_ns)
        self.tops[top.instrument_id] = top
        self.governor.on_top(top)
        self._take(self.arbiter.on_top(top, now_ns), now_ns)
        for s in self.strategies:
            self._intents(s.on_book(top, now_ns), now_ns)

    def trade(self, trade, now_ns):
        for order in list(self.live.values()):
            p = order.order
            if p.instrument_id != trade.instrument_id or p.time_in_force is not TimeInForce.GTX:
                continue
            ticks = self.instruments[p.instrument_id].ticks(p.price)
            through = (ticks - trade.price_ticks) * p.side.sign
            hits = trade.aggressor.value != p.side.value
            if hits and through > 0:
                self._fill(p, self._left(p), p.price, now_ns, Liquidity.MAKER)
            elif hits and through == 0:
                self.queue[p.cl_ord_id] -= trade.qty_lots
                if self.queue[p.cl_ord_id] < 0:
                    lots = min(-self.queue[p.cl_ord_id], self.instruments[p.instrument_id].lots(self._left(p)))
                    self.queue[p.cl_ord_id] = 0
                    self._fill(p, self.instruments[p.instrument_id].qty(lots), p.price, now_ns, Liquidity.MAKER)
        self._drain(now_ns)
        for s in self.strategies:
            self._intents(s.on_trade(trade, now_ns), now_ns)

    def timer(self, now_ns):
        self._take(self.arbiter.on_timer(now_ns), now_ns)
        for s in self.strategies:
            self._intents(s.on_timer(now_ns), now_ns)

    def intent(self, intent, now_ns):
        self._intents((intent,), now_ns)

    def _intents(self, intents, now_ns):
        for intent in intents:
            self.log.append(intent)
            self._take(self.arbiter.on_intent(intent, now_ns), now_ns)

    # --- the path of one output

    def _take(self, outs, now_ns):
        self._inbox.extend(outs)
        self._drain(now_ns)

    def _drain(self, now_ns):
        while self._inbox:
            out = self._inbox.popleft()
            self.log.append(out)
            match out:
                case ProposedOrder():
                    self._decide(out, now_ns)
                case ProposedCancel():
                    if self.wire is not None:
                        self.wire.append(out)
                    elif out.cl_ord_id in self.live and self.ack:
                        self._update(self.live[out.cl_ord_id].order, OrdStatus.CANCELED, now_ns)
                case InternalCross():
                    self._check_cross(out)
                    self.governor.on_cross(out)
                    for sid, side in ((out.buyer_id, Side.BUY), (out.seller_id, Side.SELL)):
                        self._attribute(sid, out.instrument_id, side, out.qty, out.price, now_ns)
                case ConflictResolved() | FlattenTold():
                    pass
                case OrderUpdated():
                    self.governor.on_order(out)
                    self._inbox.extend(self.arbiter.on_order(out, now_ns))
                case OrderFilled():
                    self.governor.on_fill(out)
                    self._inbox.extend(self.arbiter.on_fill(out, now_ns))
                    for leg in out.legs:
                        self._attribute(leg.strategy_id, out.instrument_id, out.side, leg.qty, out.last_px, now_ns)
                case OrderDenied():
                    self._inbox.extend(self.arbiter.on_denied(out, now_ns))

    def _decide(self, order, now_ns):
        assert sum(leg.qty for leg in order.legs) == order.order_qty
        assert order.cl_ord_id not in self.orders
        assert len(order.cl_ord_id) <= 36
        self.orders[order.cl_ord_id] = order
        top = self.tops[order.instrument_id]
        assert top.state is BookState.SYNCED
        decided = self.governor.decide(order, now_ns)
        if isinstance(decided, OrderDenied):
            self._inbox.append(decided)
            return
        assert isinstance(decided, ApprovedOrder)
        if not self.ack:
            self.live[order.cl_ord_id] = SimpleNamespace(order=order)
            self.queue[order.cl_ord_id] = 0
            self._update(order, OrdStatus.UNKNOWN, now_ns)
            return
        if self.wire is not None:
            self._update(order, OrdStatus.JOURNALED, now_ns)
            self.wire.append(order)
            return
        self._arrive(order, now_ns)

    def deliver(self, count, now_ns):
        for _ in range(min(count, len(self.wire))):
            command = self.wire.popleft()
            if isinstance(command, ProposedOrder):
                self._arrive(command, now_ns)
            elif command.cl_ord_id in self.live:
                self._update(self.live[command.cl_ord_id].order, OrdStatus.CANCELED, now_ns)
            self._drain(now_ns)

    def worst(self, instrument_id, side):
        """Position if all open orders of a side filled, those on the wire included; positive towards the side."""
        open_orders = {h.order.cl_ord_id: h.order for h in self.live.values()}
        open_orders |= {o.cl_ord_id: o for o in self.wire or () if isinstance(o, ProposedOrder)}
        mine = (o for o in open_orders.values() if o.instrument_id == instrument_id and o.side is side)
        return side.sign * self.position[instrument_id] + sum((self._left(o) for o in mine), D(0))

    def _arrive(self, order, now_ns):
        top = self.tops[order.instrument_id]
        if order.replaces is not None:
            old = self.live.get(order.replaces)
            if old is None:
                self._update(order, OrdStatus.REJECTED, now_ns)
                return
            self._update(old.order, OrdStatus.REPLACED, now_ns)
        self._accept(order, top, now_ns)

    def _accept(self, order, top, now_ns):
        spec = self.instruments[order.instrument_id]
        ticks = spec.ticks(order.price)
        (bid, bid_lots), (ask, ask_lots) = top.bids[0], top.asks[0]
        touch, depth = (ask, ask_lots) if order.side is Side.BUY else (bid, bid_lots)
        crosses = (ticks - touch) * order.side.sign >= 0
        for other in self.live.values():
            if other.order.instrument_id == order.instrument_id and other.order.side is not order.side:
                assert (order.price - other.order.price) * order.side.sign < 0, "met our own order"
        if order.time_in_force is TimeInForce.GTX:
            if crosses:
                self._update(order, OrdStatus.EXPIRED, now_ns)
                return
            self.live[order.cl_ord_id] = SimpleNamespace(order=order)
            near, near_lots = (bid, bid_lots) if order.side is Side.BUY else (ask, ask_lots)
            self.queue[order.cl_ord_id] = (
                near_lots if ticks == near else (0 if (ticks - near) * order.side.sign > 0 else 20)
            )
            self._update(order, OrdStatus.NEW, now_ns)
            return
        self.live[order.cl_ord_id] = SimpleNamespace(order=order)
        self._update(order, OrdStatus.NEW, now_ns)
        if crosses:
            self._fill(order, min(order.order_qty, spec.qty(depth)), spec.price(touch), now_ns, Liquidity.TAKER)
        if order.cl_ord_id in self.live:
            self._update(order, OrdStatus.EXPIRED, now_ns)

    def _cross_resting(self, top, now_ns):
        if top.state is not BookState.SYNCED:
            return
        spec = self.instruments[top.instrument_id]
        for held in list(self.live.values()):
            p = held.order
            if p.instrument_id == top.instrument_id and p.time_in_force is TimeInForce.GTX:
                touch = top.asks[0][0] if p.side is Side.BUY else top.bids[0][0]
                if (spec.ticks(p.price) - touch) * p.side.sign >= 0:
                    self._fill(p, self._left(p), p.price, now_ns, Liquidity.MAKER)
        self._drain(now_ns)

    def _left(self, order):
        return order.order_qty - self.filled.get(order.cl_ord_id, D(0))

    def _fill(self, order, qty, price, now_ns, liquidity):
        if qty <= 0:
            return
        spec = self.instruments[order.instrument_id]
        before = self.filled.get(order.cl_ord_id, D(0))
        self.filled[order.cl_ord_id] = before + qty
        assert self.filled[order.cl_ord_id] <= order.order_qty
        legs, start = [], D(0)
        for leg in order.legs:
            part = min(start + leg.qty, before + qty) - max(start, before)
            if part > 0:
                legs.append(Leg(strategy_id=leg.strategy_id, intent_id=leg.intent_id, qty=part))
            start += leg.qty
        self._seq += 1
        self.position[order.instrument_id] += order.side.sign * qty
        fee_rate = spec.maker_fee if liquidity is Liquidity.MAKER else spec.taker_fee
        self.fees += fee_rate * spec.notional(qty, price)
        self._inbox.append(
            OrderFilled(
                venue=order.venue,
                instrument_id=order.instrument_id,
                cl_ord_id=order.cl_ord_id,
                exec_id=str(self._seq),
                exec_seq=self._seq,
                side=order.side,
                last_qty=qty,
                last_px=price,
                liquidity=liquidity,
                fee=D(0),
                fee_asset=spec.quote,
                legs=tuple(legs),
                ts_event_ns=now_ns,
                ts_init_ns=now_ns,
            )
        )
        done = self.filled[order.cl_ord_id] == order.order_qty
        self._update(order, OrdStatus.FILLED if done else OrdStatus.PARTIALLY_FILLED, now_ns)

    def _update(self, order, status, now_ns):
        if status in TERMINAL:
            self.live.pop(order.cl_ord_id, None)
        cum = self.filled.get(order.cl_ord_id, D(0))
        self._inbox.append(
            OrderUpdated(
                venue=order.venue,
                instrument_id=order.instrument_id,
                cl_ord_id=order.cl_ord_id,
                side=order.side,
                ord_type=order.ord_type,
                time_in_force=order.time_in_force,
                ord_status=status,
                order_qty=order.order_qty,
                price=order.price,
                cum_qty=cum,
                leaves_qty=D(0) if status in TERMINAL else order.order_qty - cum,
                avg_px=D(0),
                reduce_only=order.reduce_only,
                legs=order.legs,
                text="",
                cause=order.cause,
                ts_init_ns=now_ns,
            )
        )

    def _check_cross(self, cross):
        top = self.tops[cross.instrument_id]
        assert top.state is BookState.SYNCED
        spec = self.instruments[cross.instrument_id]
        assert cross.price == (top.bids[0][0] + top.asks[0][0]) * spec.tick_size / 2
        assert cross.buyer_id != cross.seller_id

    def _attribute(self, strategy_id, instrument_id, side, qty, price, now_ns):
        key = (strategy_id, instrument_id)
        self.attributed[key] = self.attributed.get(key, D(0)) + side.sign * qty
        for s in self.strategies:
            if s.strategy_id == strategy_id:
                self._intents(s.on_fill(instrument_id, side, qty, price, now_ns), now_ns)

    # --- what must hold whenever nothing is on its way

    def check(self):
        for instrument_id, position in self.position.items():
            shares = sum((q for (_, i), q in self.attributed.items() if i == instrument_id), D(0))
            assert shares == position
            spec = self.instruments[instrument_id]
            by_arbiter = sum(self.arbiter.position_lots(instrument_id).values())
            assert spec.qty(by_arbiter) == position
            shown = self.governor.view()["instruments"][instrument_id]
            assert D(shown["position"]) == position
        for s in self.strategies:
            for instrument_id, qty in s.position_qty.items():
                assert qty == self.attributed.get((s.strategy_id, instrument_id), D(0))

    def of(self, kind):
        return [x for x in self.log if isinstance(x, kind)]


@pytest.fixture
def kit():
    """Instruments, makers of messages and the paper desk."""
    instruments = _instruments()

    def desk(strategies=(), *, config=None, limits=None, only=None, epoch=7, **config_fields):
        specs = {i: s for i, s in instruments.items() if only is None or i in only}
        if config is None:
            budgets = config_fields.pop("budgets", None) or {
                "maker": StrategyBudget(priority=2, max_notional_usd=D(2000)),
                "momentum": StrategyBudget(priority=1, max_notional_usd=D(2000)),
                "basis": StrategyBudget(priority=3, max_notional_usd=D(2000)),
            }
            config = ArbiterConfig(budgets=budgets, **config_fields)
        return PaperDesk(
            specs, Arbiter(specs, config, epoch), RiskGovernor(specs, limits or RiskLimits(), epoch), strategies
        )

    return SimpleNamespace(
        SPOT=SPOT, PERP=PERP, COIN=COIN, instruments=instruments, top=_top, desk=desk, second=1_000_000_000
    )
