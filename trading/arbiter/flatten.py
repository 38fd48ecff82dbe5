"""Bringing positions to nothing by the operator's word: reduce-only orders whose only leg is the operator.

Owns how a KILL flattens an instrument: wait for cancels, reduce, retry more patiently and deeper, then hand what the
strategies still hold on paper to the operator, inside the desk. Does not own brakes, nor what may leave at HOLD: the
governor and the gateway let exactly these orders through.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from trading.arbiter.config import FlattenTold
from trading.arbiter.desk import MS
from trading.arbiter.netting import Need
from trading.arbiter.slots import NET_OWNER
from trading.instruments import InstrumentKind
from trading.orders.messages import Side, TargetIntent, TimeInForce, Urgency
from trading.risk.limits import OPERATOR

if TYPE_CHECKING:
    from trading.arbiter.round import Round

_TTL_NS = 60_000 * MS


class Flatten:
    """One step of a flattening, within a round whose book is proved and fresh."""

    __slots__ = ("desk", "round")

    def __init__(self, the_round: Round) -> None:
        self.round = the_round
        self.desk = the_round.desk

    def run(self) -> None:
        """Reduce once, wait, or finish."""
        desk = self.desk
        held = self._held()
        lots = min(abs(held), abs(desk.net_lots)) if held * desk.net_lots > 0 else 0
        side = Side.SELL if held > 0 else Side.BUY
        if self._waits():
            return
        if lots and self._orderable(lots):
            self._reduce(side, lots)
        else:
            self._finish(lots)

    def _held(self) -> int:
        concerned = (q for s, q in self.desk.position_qty.items() if self.desk.flattening.concerns(s))
        return self.desk.instrument.lots_floor(sum(concerned, Decimal(0)))

    def _orderable(self, lots: int) -> bool:
        # Contracts are exempt from the minimum notional when they reduce; spot knows no exemption.
        if self.desk.instrument.kind is InstrumentKind.SPOT:
            return self.desk.large_enough(lots)
        return lots >= self.desk.min_lots

    def _waits(self) -> bool:
        """Whether an outcome is still open that decides how much there is to reduce."""
        desk, flattening, now_ns = self.desk, self.desk.flattening, self.round.now_ns
        if desk.net_order() is not None:
            return True
        until_ns = flattening.since_ns + self.round.shared.config.flatten_wait_ms * MS
        if now_ns >= until_ns:
            # A cancel that nobody answers must not keep the position: what reduces can never flip it.
            return False
        open_orders = [o for o in desk.orders.values() if o.open_lots]
        waits = any(flattening.everybody or any(flattening.concerns(s) for s in o.strategies) for o in open_orders)
        if waits:
            desk.wake_at(until_ns)
        return waits

    def _reduce(self, side: Side, lots: int) -> None:
        desk, flattening, config = self.desk, self.desk.flattening, self.round.shared.config
        if flattening.tries >= config.flatten_tries_max:
            self._tell(False, f"given up after {flattening.tries} orders without a fill: {lots} lots to {side.value}")
            return
        slot = desk.slot(NET_OWNER, side)
        ready_ns = max(slot.next_ns, desk.next_aggressive_ns)
        if self.round.now_ns < ready_ns:
            desk.wake_at(ready_ns)
            return
        reach_bps = min(config.flatten_slippage_bps, config.aggressive_slippage_bps * (1 + flattening.tries))
        room = min(lots, desk.reducible(side), desk.max_lots, desk.order_reach // desk.lot_reach)
        intent = self._intent(side, lots)
        need = Need(OPERATOR, intent.intent_id, 0, side.sign * room, None)
        limit = self.round.limit_ticks(side, [need], reach_bps)
        if self.round.make_way(side, limit) or not self._orderable(room) or not self.round.pace(0):
            return
        flattening.tries += 1
        desk.next_aggressive_ns = self.round.now_ns + config.min_order_interval_ms * MS
        self.round.propose(slot, limit, [need], TimeInForce.IOC, intents=[intent])

    def _intent(self, side: Side, lots: int) -> TargetIntent:
        desk, top, flattening = self.desk, self.desk.top, self.desk.flattening
        assert top is not None
        whose = "everything" if flattening.everybody else ", ".join(sorted(flattening.strategies)) or "what was left"
        return TargetIntent(
            intent_id=f"{OPERATOR}:{self.round.shared.epoch}:{self.round.shared.orders + 1}",
            strategy_id=OPERATOR,
            instrument_id=desk.instrument.instrument_id,
            target_lots=0,
            urgency=Urgency.AGGRESSIVE,
            limit_ticks=None,
            confidence=1.0,
            ttl_ns=_TTL_NS,
            reasons=(f"flatten {whose}: {lots} lots to {side.value}, try {flattening.tries + 1}",),
            cause=f"{desk.instrument.instrument_id}@{top.update_id}",
            ts_init_ns=self.round.now_ns,
        )

    def _finish(self, lots: int) -> None:
        """Nothing is left that an order could reduce: the strategies' shares cancel out, and go to the operator."""
        desk, flattening = self.desk, self.desk.flattening
        if not flattening.asked:
            return
        mid = desk.instrument.tick_size * (desk.bid + desk.ask) / 2
        for strategy_id, qty in sorted(desk.position_qty.items()):
            if strategy_id == OPERATOR or not qty or not flattening.concerns(strategy_id):
                continue
            buyer, seller = (OPERATOR, strategy_id) if qty > 0 else (strategy_id, OPERATOR)
            self.round.cross_inside(buyer, seller, abs(qty), mid)
        left = desk.position_qty.get(OPERATOR, Decimal(0))
        words = f"; {left} is left, too little for an order" if lots else ""
        if not lots and desk.net_lots:
            words = f"; {left} is left with the operator against what others hold"
        self._tell(True, f"flat{words}")

    def _tell(self, done: bool, text: str) -> None:
        if self.desk.flattening.told == text:
            return
        self.desk.flattening.told = text
        self.round.out.append(
            FlattenTold(
                instrument_id=self.desk.instrument.instrument_id,
                done=done,
                text=text,
                ts_init_ns=self.round.now_ns,
            )
        )
