"""Premium of a perpetual over its spot (or of an inverse over a linear perpetual), traded by z-score.

Owns the premium's estimate, entry and exit bands and the sizing of the two legs in the same base amount. Does not own
execution: both legs are targets, and the arbiter may net each with other strategies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import log

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop, MarkPrice
from trading.orders.messages import Intent, Urgency
from trading.strategies.base import MS, NOTHING, LotValue, Strategy, require, usable
from trading.strategies.signals import EwmaVariance


class BasisParams(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of `Basis`.

    ``fee_coverage`` is the share of both legs' round-trip cost that the distance of the premium from its mean must
    exceed before entry: 1 enters only when convergence should pay, 0 does not ask and pays the fees for the exercise.
    The cost is maker fees when ``passive``, taker fees and spreads otherwise. ``prior_mean_bps`` is where the mean
    starts; its memory is long, because a mean that follows the premium lets every trade converge at a loss.
    A passive pair whose legs have not both filled after ``leg_timeout_s`` is completed aggressively; an aggressive one
    is given up.
    """

    leg_notional_usd: Decimal = Decimal(400)
    mean_half_life_s: float = 600.0
    prior_mean_bps: float = 0.0
    entry_z: float = 0.5
    exit_z: float = 0.1
    fee_coverage: float = 1.0
    min_edge_bps: float = 0.15
    funding_z_penalty: float = 0.2
    max_hold_s: float = 600.0
    cool_off_s: float = 15.0
    warm_up_s: float = 15.0
    passive: bool = True
    leg_timeout_s: float = 15.0
    evaluate_ms: int = 100
    ttl_ms: int = 3000
    stale_ms: int = 1200
    allow_short_spot: bool = False

    def __post_init__(self) -> None:
        require(self.leg_notional_usd >= 0, "leg_notional_usd", "must not be negative; 0 trades nothing")
        for field in ("mean_half_life_s", "max_hold_s", "leg_timeout_s", "ttl_ms", "stale_ms"):
            require(getattr(self, field) > 0, field, "must be positive")
        for field in ("exit_z", "fee_coverage", "min_edge_bps", "funding_z_penalty", "cool_off_s", "warm_up_s"):
            require(getattr(self, field) >= 0, field, "must not be negative")
        require(self.entry_z > self.exit_z, "entry_z", "must be above exit_z")


class Basis(Strategy):
    """Two instruments in order: the reference (spot or linear) and the perpetual whose premium is traded.

    A position of +1 is long the premium (short the reference, long the perpetual), -1 is short the premium.
    """

    kind = "basis"
    exact = True  # one leg made larger would be no hedge

    def __init__(
        self, strategy_id: str, instruments: Mapping[str, Instrument], params: BasisParams, epoch: int
    ) -> None:
        super().__init__(strategy_id, instruments, epoch)
        if len(instruments) != 2:
            raise ValueError(f"instruments: basis {strategy_id} needs exactly two, the reference and the perpetual")
        self.params = params
        self.ref_id, self.perp_id = self.instruments
        if self.specs[self.perp_id].kind is InstrumentKind.SPOT:
            raise ValueError(f"instruments: {self.perp_id} is spot; the second instrument of basis must be a perpetual")
        self._lot = {i: LotValue(spec) for i, spec in instruments.items()}
        self._tops: dict[str, BookTop] = {}
        self._stats = EwmaVariance(params.mean_half_life_s, params.prior_mean_bps)
        self._stale_ns = params.stale_ms * MS
        self._next_eval_ns = 0
        self._first_ns = 0
        self._premium_bps = 0.0
        self._z = 0.0
        self._funding_rate = 0.0
        self._direction = 0
        self._targets: dict[str, int] = dict.fromkeys(self.instruments, 0)
        self._entry_ns = 0
        self._move_ns = 0
        self._urgency = Urgency.AGGRESSIVE
        self._said_ns = 0
        self._cool_until_ns = 0

    def on_book(self, top: BookTop, now_ns: int) -> Sequence[Intent]:
        """Measure the premium when both books are proved and fresh."""
        if top.instrument_id not in self._targets:
            return NOTHING
        self._tops[top.instrument_id] = top
        if now_ns < self._next_eval_ns or top.state is not BookState.SYNCED:
            return NOTHING
        return self._evaluate(now_ns)

    def on_mark(self, mark: MarkPrice, now_ns: int) -> Sequence[Intent]:
        """The funding rate that is forming; positive means that longs pay."""
        if mark.instrument_id == self.perp_id and mark.funding_rate is not None:
            self._funding_rate = float(mark.funding_rate)
        return NOTHING

    def on_timer(self, now_ns: int) -> Sequence[Intent]:
        """Holding times pass in silence too."""
        return self._evaluate(now_ns) if now_ns >= self._next_eval_ns else NOTHING

    def restore_position(self, positions: Mapping[str, Decimal], now_ns: int) -> None:
        """A restored position is held as it is until its exit; an unhedged one is evened out by the leg time-out."""
        super().restore_position(positions, now_ns)
        self._targets = dict(self.position_lots)
        perp = self.position_lots[self.perp_id]
        self._direction = (perp > 0) - (perp < 0) or -_sign(self.position_lots[self.ref_id])
        self._entry_ns = self._move_ns = now_ns

    def signal(self) -> dict[str, object]:
        """Premium and its mean (bps), z-score, funding rate, direction and targets."""
        return {
            "premium_bps": round(self._premium_bps, 3),
            "mean_bps": round(self._stats.mean, 3),
            "sigma_bps": round(self._stats.sigma, 3),
            "z": round(self._z, 2),
            "funding_rate": self._funding_rate,
            "direction": self._direction,
            "target_lots": dict(self._targets),
        }

    def _evaluate(self, now_ns: int) -> Sequence[Intent]:
        self._next_eval_ns = now_ns + self.params.evaluate_ms * MS
        ref, perp = self._tops.get(self.ref_id), self._tops.get(self.perp_id)
        if ref is None or perp is None:
            return NOTHING
        if not usable(ref, now_ns, self._stale_ns) or not usable(perp, now_ns, self._stale_ns):
            return NOTHING
        ref_mid = (ref.bids[0][0] + ref.asks[0][0]) * 0.5
        perp_mid = (perp.bids[0][0] + perp.asks[0][0]) * 0.5
        ref_price = ref_mid * float(self.specs[self.ref_id].tick_size)
        perp_price = perp_mid * float(self.specs[self.perp_id].tick_size)
        self._premium_bps = log(perp_price / ref_price) * 1e4
        if self._first_ns == 0:
            self._first_ns = now_ns
        sigma = self._stats.sigma
        self._z = (self._premium_bps - self._stats.mean) / sigma if sigma > 1e-9 else 0.0
        self._stats.update(self._premium_bps, now_ns)
        mids = {self.ref_id: ref_mid, self.perp_id: perp_mid}
        if self._direction:
            return self._maybe_exit(now_ns) or self._chase(mids, now_ns)
        return self._maybe_enter(ref, perp, mids, now_ns) or self._chase(mids, now_ns)

    def _maybe_enter(self, ref: BookTop, perp: BookTop, mids: dict[str, float], now_ns: int) -> Sequence[Intent]:
        p = self.params
        direction = -1 if self._z > 0 else 1
        # Funding paid by the perpetual leg asks for more premium; received, it asks for none extra.
        pays = direction * self._funding_rate > 0
        if abs(self._z) < p.entry_z + (p.funding_z_penalty if pays else 0.0):
            return NOTHING
        if (
            now_ns < self._cool_until_ns
            or now_ns - self._first_ns < p.warm_up_s * 1e9
            or any(self.missing_lots(i, 0, mid) for i, mid in mids.items())
        ):
            return NOTHING
        edge_bps = abs(self._premium_bps - self._stats.mean)
        cost_bps = sum(self._cost_bps(top, mids[top.instrument_id]) for top in (ref, perp))
        if edge_bps < p.min_edge_bps + p.fee_coverage * cost_bps:
            return NOTHING
        if direction > 0 and self.specs[self.ref_id].kind is InstrumentKind.SPOT and not p.allow_short_spot:
            return NOTHING
        legs = self._legs(mids[self.ref_id], mids[self.perp_id])
        if legs is None:
            return NOTHING
        self._direction = direction
        self._entry_ns = self._move_ns = now_ns
        self._urgency = Urgency.PASSIVE if p.passive else Urgency.AGGRESSIVE
        self._targets = {self.ref_id: -direction * legs[0], self.perp_id: direction * legs[1]}
        reasons = (
            f"premium {self._premium_bps:+.2f} bps, mean {self._stats.mean:+.2f}, z {self._z:+.2f}",
            f"round trip costs {cost_bps:.2f} bps x {p.fee_coverage:g}, funding {self._funding_rate:+.6f}",
        )
        return self._say(min(1.0, abs(self._z) / (2 * p.entry_z)), reasons, now_ns)

    def _cost_bps(self, top: BookTop, mid: float) -> float:
        """What one leg costs there and back, in bps of its value."""
        spec = self.specs[top.instrument_id]
        if self.params.passive:
            return 2e4 * float(spec.maker_fee)
        return 2e4 * float(spec.taker_fee) + (top.asks[0][0] - top.bids[0][0]) / mid * 1e4

    def _legs(self, ref_mid: float, perp_mid: float) -> tuple[int, int] | None:
        """Lots of both legs worth the same base amount, or None when that is less than a lot.

        The coarser leg is rounded first, because the finer one can follow it and not the other way round.
        """
        ref, perp = self._lot[self.ref_id], self._lot[self.perp_id]
        notional = float(self.params.leg_notional_usd)
        if perp.usd(perp_mid) >= ref.usd(ref_mid):
            perp_lots = perp.lots(notional, perp_mid)
            ref_lots = round(perp_lots * perp.usd(perp_mid) / ref.usd(ref_mid))
        else:
            ref_lots = ref.lots(notional, ref_mid)
            perp_lots = round(ref_lots * ref.usd(ref_mid) / perp.usd(perp_mid))
        return (ref_lots, perp_lots) if ref_lots and perp_lots else None

    def _maybe_exit(self, now_ns: int) -> Sequence[Intent]:
        p = self.params
        held_s = (now_ns - self._entry_ns) * 1e-9
        # Long the premium was entered at negative z, so its distance from the exit band is -z, and the reverse.
        if -self._direction * self._z <= p.exit_z:
            reason = f"z back at {self._z:+.2f}"
        elif held_s >= p.max_hold_s:
            reason = f"held {held_s:.0f} s at z {self._z:+.2f}"
        else:
            return NOTHING
        self._flatten(now_ns, Urgency.PASSIVE if p.passive else Urgency.AGGRESSIVE)
        return self._say(1.0, (f"exit, {reason}",), now_ns)

    def _flatten(self, now_ns: int, urgency: Urgency) -> None:
        self._direction = 0
        self._targets = dict.fromkeys(self.instruments, 0)
        self._move_ns = now_ns
        self._urgency = urgency
        self._cool_until_ns = now_ns + int(self.params.cool_off_s * 1e9)

    def _chase(self, mids: dict[str, float], now_ns: int) -> Sequence[Intent]:
        """Say unreached targets again; in the end both legs stand, or neither does."""
        missing = {i: self.missing_lots(i, self._targets[i], mid) for i, mid in mids.items()}
        late = now_ns - self._move_ns > self.params.leg_timeout_s * 1e9
        if not any(missing.values()):
            return NOTHING
        if late and self._urgency is Urgency.PASSIVE:
            return self._hurry(missing, now_ns)
        if late and self._direction:
            held = {i: round(abs(self.position_lots[i]) * self._lot[i].usd(mid)) for i, mid in mids.items()}
            self._flatten(now_ns, Urgency.AGGRESSIVE)
            exposed = held[self.ref_id] - held[self.perp_id]
            return self._say(1.0, (f"a leg stayed behind by {exposed} USD: flatten both",), now_ns)
        if now_ns - self._said_ns < self.params.ttl_ms * MS * 9 // 10:
            # A little before the last word expires, so that a resting leg keeps its place in the queue.
            return NOTHING
        return self._say(0.5, (f"still {self.position_lots} of {self._targets}",), now_ns)

    def _hurry(self, missing: dict[str, int], now_ns: int) -> Sequence[Intent]:
        """Patience is over: a pair of which nothing stands is given up, a half one is completed by taking."""
        if self._direction and not any(self.position_lots.values()):
            self._flatten(now_ns, Urgency.PASSIVE)
            return self._say(1.0, ("nobody took either leg: give up",), now_ns)
        self._urgency = Urgency.AGGRESSIVE
        self._move_ns = now_ns
        return self._say(1.0, (f"complete {missing} at the taker's price",), now_ns)

    def _say(self, confidence: float, reasons: tuple[str, ...], now_ns: int) -> Sequence[Intent]:
        self._said_ns = now_ns
        out: list[Intent] = []
        for instrument_id, lots in self._targets.items():
            top = self._tops[instrument_id]
            out.append(
                self.target(
                    instrument_id,
                    target_lots=lots,
                    confidence=confidence,
                    ttl_ms=self.params.ttl_ms,
                    reasons=reasons,
                    cause=f"{instrument_id}@{top.update_id}",
                    now_ns=now_ns,
                    urgency=self._urgency,
                )
            )
        return out


def _sign(x: int) -> int:
    return (x > 0) - (x < 0)
