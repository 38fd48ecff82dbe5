"""Short-term momentum: signed trade flow, order flow imbalance and a fast-slow mid, entered aggressively.

Owns the signal, holding time, stop and cool-off per instrument. Does not own execution or sizing against limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import tanh

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import Aggressor, BookState, BookTop, Trade
from trading.orders.messages import Intent, Side, Urgency
from trading.strategies.base import MS, NOTHING, LotValue, Strategy, require, usable
from trading.strategies.signals import Ewma, Imbalance, OrderFlowImbalance, Volatility


class MomentumParams(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of `Momentum`; amounts per instrument, the score runs from -1 to +1.

    ``fee_coverage`` is the share of a round trip's cost (the taker fee in, the fee of the way out and the spread) that
    the expected move must exceed: 1 enters only when it should pay, 0 does not ask and pays the fees for the exercise.
    The expected move is the score times one standard deviation over ``max_hold_s``. With ``passive_exit`` a position
    whose reason has gone is first offered post-only for ``exit_timeout_s``; a stop never waits.
    """

    position_notional_usd: Decimal = Decimal(600)
    fast_half_life_s: float = 1.0
    slow_half_life_s: float = 8.0
    flow_half_life_s: float = 2.0
    ofi_half_life_s: float = 1.0
    vol_half_life_s: float = 30.0
    weight_trend: float = 0.4
    weight_flow: float = 0.35
    weight_ofi: float = 0.25
    entry_score: float = 0.5
    exit_score: float = 0.0
    fee_coverage: float = 1.0
    min_hold_s: float = 2.0
    max_hold_s: float = 60.0
    passive_exit: bool = True
    exit_timeout_s: float = 10.0
    stop_bps: float = 8.0
    cool_off_s: float = 5.0
    warm_up_s: float = 10.0
    evaluate_ms: int = 50
    retry_ms: int = 1000
    ttl_ms: int = 3000
    stale_ms: int = 1200
    allow_short_spot: bool = False

    def __post_init__(self) -> None:
        require(self.position_notional_usd >= 0, "position_notional_usd", "must not be negative; 0 trades nothing")
        for field in ("fast_half_life_s", "slow_half_life_s", "flow_half_life_s", "ofi_half_life_s", "vol_half_life_s"):
            require(getattr(self, field) > 0, field, "must be positive")
        require(self.fast_half_life_s < self.slow_half_life_s, "fast_half_life_s", "must be below slow_half_life_s")
        for field in (
            "weight_trend",
            "weight_flow",
            "weight_ofi",
            "fee_coverage",
            "min_hold_s",
            "cool_off_s",
            "warm_up_s",
        ):
            require(getattr(self, field) >= 0, field, "must not be negative")
        weights = self.weight_trend + self.weight_flow + self.weight_ofi
        require(abs(weights - 1.0) < 1e-6, "weight_trend", "the three weights must sum to 1")
        require(0 < self.entry_score <= 1, "entry_score", "must be in (0, 1]")
        require(self.exit_score < self.entry_score, "exit_score", "must be below entry_score")
        require(self.max_hold_s > self.min_hold_s, "max_hold_s", "must be above min_hold_s")
        for field in ("stop_bps", "exit_timeout_s", "ttl_ms", "stale_ms", "retry_ms"):
            require(getattr(self, field) > 0, field, "must be positive")


class _Market:
    """What is known of one instrument, and the trade that is on."""

    __slots__ = (
        "cool_until_ns",
        "entry_mid",
        "entry_ns",
        "exit_ns",
        "fast",
        "first_ns",
        "flow",
        "lot",
        "next_eval_ns",
        "ofi",
        "said_ns",
        "score",
        "slow",
        "spec",
        "target_lots",
        "top",
        "urgency",
        "volatility",
    )

    def __init__(self, spec: Instrument, params: MomentumParams) -> None:
        self.spec = spec
        self.lot = LotValue(spec)
        self.fast = Ewma(params.fast_half_life_s)
        self.slow = Ewma(params.slow_half_life_s)
        self.flow = Imbalance(params.flow_half_life_s)
        self.ofi = OrderFlowImbalance(params.ofi_half_life_s)
        self.volatility = Volatility(params.vol_half_life_s, 100)
        self.top: BookTop | None = None
        self.first_ns = 0
        self.next_eval_ns = 0
        self.score = 0.0
        self.target_lots = 0
        self.entry_ns = 0
        self.exit_ns = 0
        self.urgency = Urgency.AGGRESSIVE
        self.entry_mid = 0.0
        self.cool_until_ns = 0
        self.said_ns = 0


class Momentum(Strategy):
    """Follows short bursts: enters on a strong score, leaves when it fades, by stop or by time, then rests."""

    kind = "momentum"

    def __init__(
        self, strategy_id: str, instruments: Mapping[str, Instrument], params: MomentumParams, epoch: int
    ) -> None:
        super().__init__(strategy_id, instruments, epoch)
        self.params = params
        self._markets = {i: _Market(spec, params) for i, spec in instruments.items()}
        self._evaluate_ns = params.evaluate_ms * MS
        self._stale_ns = params.stale_ms * MS

    def on_trade(self, trade: Trade, now_ns: int) -> Sequence[Intent]:
        """Signed volume; acting on it waits for the next book."""
        market = self._markets.get(trade.instrument_id)
        if market is not None:
            market.flow.add(trade.qty_lots if trade.aggressor is Aggressor.BUY else -trade.qty_lots, now_ns)
        return NOTHING

    def on_book(self, top: BookTop, now_ns: int) -> Sequence[Intent]:
        """Update the order flow on every book, decide no more often than ``evaluate_ms``."""
        market = self._markets.get(top.instrument_id)
        if market is None:
            return NOTHING
        market.top = top
        if top.state is not BookState.SYNCED or not top.bids or not top.asks:
            market.ofi.reset()
            return NOTHING
        bid, bid_lots = top.bids[0]
        ask, ask_lots = top.asks[0]
        market.ofi.update(bid, bid_lots, ask, ask_lots, now_ns)
        if now_ns < market.next_eval_ns:
            return NOTHING
        return self._evaluate(market, now_ns)

    def on_timer(self, now_ns: int) -> Sequence[Intent]:
        """Holding times pass in silence too."""
        out: list[Intent] = []
        for market in self._markets.values():
            if now_ns >= market.next_eval_ns:
                out.extend(self._evaluate(market, now_ns))
        return out

    def restore_position(self, positions: Mapping[str, Decimal], now_ns: int) -> None:
        """A position found after a restart is one whose holding time starts now and whose stop is at the next mid."""
        super().restore_position(positions, now_ns)
        for instrument_id, market in self._markets.items():
            market.target_lots = self.position_lots[instrument_id]
            market.entry_ns = now_ns
            market.entry_mid = 0.0

    def signal(self) -> dict[str, object]:
        """Score, its parts and the target by instrument."""
        return {
            i: {
                "score": round(m.score, 3),
                "flow": round(m.flow.ratio, 3),
                "ofi": round(m.ofi.flow.ratio, 3),
                "trend_ticks": round(m.fast.value - m.slow.value, 2),
                "target_lots": m.target_lots,
            }
            for i, m in self._markets.items()
        }

    def _evaluate(self, market: _Market, now_ns: int) -> Sequence[Intent]:
        top = market.top
        market.next_eval_ns = now_ns + self._evaluate_ns
        if top is None or not usable(top, now_ns, self._stale_ns):
            return NOTHING
        mid = (top.bids[0][0] + top.asks[0][0]) * 0.5
        if market.first_ns == 0:
            market.first_ns = now_ns
        trend = market.fast.update(mid, now_ns) - market.slow.update(mid, now_ns)
        market.volatility.update(mid, now_ns)
        p = self.params
        sigma = market.volatility.over(p.slow_half_life_s)
        market.score = score = (
            p.weight_trend * tanh(trend / sigma if sigma > 1e-9 else 0.0)
            + p.weight_flow * market.flow.ratio
            + p.weight_ofi * market.ofi.flow.ratio
        )
        if market.target_lots == 0:
            return self._maybe_enter(market, top, mid, score, now_ns) or self._chase(market, top, now_ns)
        return self._maybe_exit(market, top, mid, score, now_ns) or self._chase(market, top, now_ns)

    def _maybe_enter(self, market: _Market, top: BookTop, mid: float, score: float, now_ns: int) -> Sequence[Intent]:
        p, spec = self.params, market.spec
        if abs(score) < p.entry_score or now_ns < market.cool_until_ns:
            return NOTHING
        if now_ns - market.first_ns < p.warm_up_s * 1e9 or self.missing_lots(spec.instrument_id, 0, mid):
            return NOTHING
        if score < 0 and spec.kind is InstrumentKind.SPOT and not p.allow_short_spot:
            return NOTHING
        expected_bps = abs(score) * market.volatility.over(p.max_hold_s) / mid * 1e4
        way_out = spec.maker_fee if p.passive_exit else spec.taker_fee
        cost_bps = 1e4 * float(spec.taker_fee + way_out) + (top.asks[0][0] - top.bids[0][0]) / mid * 1e4
        if expected_bps < p.fee_coverage * cost_bps:
            return NOTHING
        lots = market.lot.lots(float(p.position_notional_usd), mid)
        if lots == 0:
            return NOTHING
        market.target_lots = lots if score > 0 else -lots
        market.entry_ns = now_ns
        market.entry_mid = mid
        market.urgency = Urgency.AGGRESSIVE
        parts = (
            f"score {score:+.2f}: trend {market.fast.value - market.slow.value:+.1f} ticks, "
            f"flow {market.flow.ratio:+.2f}, ofi {market.ofi.flow.ratio:+.2f}"
        )
        reasons = (parts, f"expected move {expected_bps:.2f} bps, round trip costs {cost_bps:.2f}")
        return self._say(market, top, abs(score), reasons, now_ns)

    def _maybe_exit(self, market: _Market, top: BookTop, mid: float, score: float, now_ns: int) -> Sequence[Intent]:
        p = self.params
        if market.entry_mid == 0.0:
            market.entry_mid = mid
        direction = 1 if market.target_lots > 0 else -1
        held_s = (now_ns - market.entry_ns) * 1e-9
        gain_bps = direction * (mid - market.entry_mid) / market.entry_mid * 1e4
        urgency = Urgency.PASSIVE if p.passive_exit else Urgency.AGGRESSIVE
        if gain_bps <= -p.stop_bps:
            urgency = Urgency.AGGRESSIVE
            reason = f"stop: {gain_bps:+.1f} bps"
        elif held_s >= p.max_hold_s:
            reason = f"held {held_s:.0f} s"
        elif held_s >= p.min_hold_s and direction * score <= p.exit_score:
            reason = f"score faded to {score:+.2f}"
        else:
            return NOTHING
        market.target_lots = 0
        market.exit_ns = now_ns
        market.urgency = urgency
        market.cool_until_ns = now_ns + int(p.cool_off_s * 1e9)
        return self._say(market, top, 1.0, (f"exit, {reason}, {gain_bps:+.1f} bps",), now_ns)

    def _chase(self, market: _Market, top: BookTop, now_ns: int) -> Sequence[Intent]:
        """Say an unreached target again, because an intent that expired is acted on no more."""
        position = self.position_lots[market.spec.instrument_id]
        mid = (top.bids[0][0] + top.asks[0][0]) * 0.5
        missing = self.missing_lots(market.spec.instrument_id, market.target_lots, mid)
        if not missing:
            return NOTHING
        waited_s = (now_ns - market.exit_ns) * 1e-9
        if market.urgency is Urgency.PASSIVE and waited_s >= self.params.exit_timeout_s:
            market.urgency = Urgency.AGGRESSIVE
        elif now_ns - market.said_ns < self.params.ttl_ms * MS * 9 // 10:
            # A little before the last word expires, so that a resting order keeps its place in the queue.
            return NOTHING
        if market.target_lots and now_ns - market.entry_ns > 2 * self.params.ttl_ms * MS:
            # An entry that nobody filled in time is old news: keep what there is.
            market.target_lots = position
            return NOTHING
        return self._say(market, top, 0.5, (f"still {position} of {market.target_lots} lots",), now_ns)

    def _say(
        self, market: _Market, top: BookTop, confidence: float, reasons: tuple[str, ...], now_ns: int
    ) -> Sequence[Intent]:
        market.said_ns = now_ns
        cause = f"{top.instrument_id}@{top.update_id}"
        intent = self.target(
            top.instrument_id,
            target_lots=market.target_lots,
            confidence=confidence,
            ttl_ms=self.params.ttl_ms,
            reasons=reasons,
            cause=cause,
            now_ns=now_ns,
            urgency=market.urgency,
        )
        return (intent,)

    def after_fill(self, instrument_id: str, side: Side, qty: Decimal, price: Decimal, now_ns: int) -> Sequence[Intent]:
        """The stop counts from what was paid, once something was."""
        market = self._markets[instrument_id]
        if market.target_lots and side.sign * market.target_lots > 0:
            market.entry_mid = float(price / market.spec.tick_size)
        return NOTHING
