"""The price that nobody sees: efficient price, volatility, momentum, premium, funding as functions of (spec, time).

Random access is the point: each venue's process restarts when it likes and still agrees with the others, because
nothing here is a running state. Node values come from hashed keys; the caches only save work. Does not own order books
or wire formats.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

from adapters.synthetic.params import GeneratorSpec, MarketParams

STEP_NS = 100_000_000
"""The grid of the latent price; between nodes it is linear."""

_TOP_LEVEL = 20  # 2**20 steps are 29 hours; longer than that the price is pulled back to its base.
_TOP_STD_BPS = 130.0
_SIGMA_BPS = 0.98  # per square root of a second, at volatility 1
_SLOW_VOL_SHIFT = 13
_FAST_VOL_SHIFT = 8
_REGIME_SHIFT = 10
_BURST_STEPS = 640
_BURST_LOOKBACK = 6
_BURST_FLAT = 600
_BURST_FADE = 2400
_HELD_STEPS_MAX = 50
_NEWS_SHARE = 0.05
_CACHE_MAX = 2048
_MASK = (1 << 64) - 1
_NORMAL = NormalDist()


def mix(*parts: int) -> int:
    """A 64-bit hash of integers (splitmix64, Steele et al. 2014): the same on every machine and in every process."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = ((state ^ (part & _MASK)) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def name_key(name: str) -> int:
    """An integer key of a name that does not depend on the interpreter's hash seed."""
    return zlib.crc32(name.encode())


def _uniform(*parts: int) -> float:
    return ((mix(*parts) >> 11) + 0.5) * 2.0**-53


def _normal(*parts: int) -> float:
    return _NORMAL.inv_cdf(_uniform(*parts))


class Regime(Enum):
    """How a block of about 100 s behaves beyond its volatility."""

    RANGING = "ranging"
    NORMAL = "normal"
    TRENDING = "trending"


@dataclass(frozen=True)
class Funding:
    """The funding rate that is forming and when it settles (UTC ms)."""

    rate: float
    next_funding_ms: int


class LatentMarket:
    """The world behind all venues of one spec. Times are UTC nanoseconds, prices quote currency as floats."""

    def __init__(self, spec: GeneratorSpec) -> None:
        self._spec = spec
        self._seed = mix(spec.seed, 0x1A7E)
        self._base = float(spec.base_price)
        self._nodes: dict[int, float] = {}
        self._vols: dict[int, float] = {}
        self._news_cache: dict[int, int] = {}
        self._burst_cache: dict[int, tuple[int, int, float]] = {}
        self._basis_nodes: dict[tuple[int, int, int], float] = {}

    def price(self, t_ns: int) -> float:
        """The efficient (index) price."""
        step, part = divmod(t_ns - self._spec.epoch_ns, STEP_NS)
        low = self._log_bps(step)
        return self._base * math.exp(1e-4 * (low + (self._log_bps(step + 1) - low) * part / STEP_NS))

    def basis_bps(self, market: MarketParams, t_ns: int) -> float:
        """The market's premium over the efficient price; mean-reverting, several time scales."""
        t_s = (t_ns - self._spec.epoch_ns) / 1e9
        key = name_key(market.instrument_id)
        total = market.premium_bps
        for period_s, std_bps in market.basis_octaves:
            cell = math.floor(t_s / period_s)
            x = t_s / period_s - cell
            octave = int(period_s * 1000)
            low, high = self._basis_node(key, octave, cell), self._basis_node(key, octave, cell + 1)
            total += std_bps * self._spec.basis * (low + (high - low) * x * x * (3.0 - 2.0 * x))
        return total

    def premium(self, market: MarketParams, t_ns: int) -> float:
        """The factor of ``basis_bps``."""
        return 1.0 + 1e-4 * self.basis_bps(market, t_ns)

    def held(self, t_ns: int) -> tuple[float, int]:
        """(the efficient price that makers of all venues agree on, UTC ns until which it holds, a step away at most).

        News comes at common random instants; between them makers everywhere leave their quotes. That is what makes the
        venues' jumps coincide, as they do in the recordings.
        """
        step = (t_ns - self._spec.epoch_ns) // STEP_NS
        begin_ns = self._spec.epoch_ns + step * STEP_NS
        news_ns = begin_ns + self._news(step)
        if news_ns <= t_ns:
            return self.price(begin_ns + STEP_NS), begin_ns + STEP_NS
        end_ns = min(news_ns, begin_ns + STEP_NS)
        for past in range(step - 1, step - _HELD_STEPS_MAX, -1):
            if self._news(past) < STEP_NS:
                return self.price(self._spec.epoch_ns + (past + 1) * STEP_NS), end_ns
        return self.price(self._spec.epoch_ns + (step - _HELD_STEPS_MAX) * STEP_NS), end_ns

    def _news(self, step: int) -> int:
        """Nanoseconds into the step when makers reprice; ``STEP_NS`` when they do not."""
        known = self._news_cache.get(step)
        if known is None:
            busy = self._volatility(step) * (1.0 + min(2.0, 2.0 * abs(self._bursts(step + 10) - self._bursts(step))))
            draw = _uniform(self._seed, 11, step) / (_NEWS_SHARE * busy)
            known = int(draw * STEP_NS) if draw < 1.0 else STEP_NS
            if len(self._news_cache) >= _CACHE_MAX:
                self._news_cache.clear()
            self._news_cache[step] = known
        return known

    def intensity(self, t_ns: int) -> float:
        """How busy markets are: 1 on average, rising with volatility and in momentum bursts."""
        step = (t_ns - self._spec.epoch_ns) // STEP_NS
        return min(4.0, math.pow(self._volatility(step), 0.8) * (1.0 + 0.5 * min(2.0, abs(self.pressure_bps(t_ns)))))

    def pressure_bps(self, t_ns: int) -> float:
        """Momentum: the part of the next second's move that is trend. Order flow leans on it before price does."""
        step = (t_ns - self._spec.epoch_ns) // STEP_NS
        return self._bursts(step + 10) - self._bursts(step)

    def regime(self, t_ns: int) -> Regime:
        """The regime of the block that holds ``t_ns``."""
        return self._regime((t_ns - self._spec.epoch_ns) // STEP_NS)

    def funding(self, market: MarketParams, t_ns: int) -> Funding:
        """Funding as Binance forms it: time-weighted premium plus interest, damped.

        The damping is 2 bps instead of the venue's 5, so that short sessions see rates move. As in the recording of
        2023-04-05, a settled time stays on the wire until the second after it.
        """
        interval_ms = self._spec.funding_interval_s * 1000
        t_ms = t_ns // 1_000_000
        next_ms = -(-(t_ms - 500) // interval_ms) * interval_ms
        start_ms = next_ms - interval_ms
        weighted = weights = 0.0
        for k in range(1, 17):
            at_ms = start_ms + interval_ms * k // 16
            at_ms = min(at_ms, t_ms)
            weighted += k * self.basis_bps(market, at_ms * 1_000_000) * 1e-4
            weights += k
            if at_ms == t_ms:
                break
        premium = weighted / weights
        rate = premium + min(0.0002, max(-0.0002, 0.0001 - premium))
        return Funding(min(0.003, max(-0.003, rate)), next_ms)

    def _log_bps(self, step: int) -> float:
        return self._bridge(step) * self._spec.volatility + self._bursts(step)

    def _bridge(self, step: int) -> float:
        """Midpoint displacement (Levy's construction of Brownian motion) below iid nodes every 2**20 steps."""
        known = self._nodes.get(step)
        if known is not None:
            return known
        if step & ((1 << _TOP_LEVEL) - 1) == 0:
            value = _TOP_STD_BPS * _normal(self._seed, 1, step)
        else:
            half = step & -step
            middle = (self._bridge(step - half) + self._bridge(step + half)) / 2.0
            span_s = 2.0 * half * STEP_NS / 1e9
            value = middle + self._sigma(step, half) * math.sqrt(span_s) / 2.0 * _normal(self._seed, 2, step)
        if len(self._nodes) >= _CACHE_MAX:
            self._nodes.clear()
        self._nodes[step] = value
        return value

    def _sigma(self, step: int, half: int) -> float:
        if half > 512:
            return _SIGMA_BPS
        sigma = _SIGMA_BPS * self._volatility(step)
        match self._regime(step):
            case Regime.RANGING:
                return sigma * (0.55 if half >= 64 else 1.15)
            case Regime.TRENDING:
                return sigma * (1.4 if half >= 64 else 0.85)
            case Regime.NORMAL:
                return sigma

    def _regime(self, step: int) -> Regime:
        draw = _uniform(self._seed, 3, step >> _REGIME_SHIFT)
        if draw < 0.3:
            return Regime.RANGING
        return Regime.TRENDING if draw > 0.75 else Regime.NORMAL

    def _volatility(self, step: int) -> float:
        block = step >> _FAST_VOL_SHIFT
        known = self._vols.get(block)
        if known is None:
            fast = 0.4 * _normal(self._seed, 4, block) - 0.08
            slow = 0.3 * _normal(self._seed, 5, step >> _SLOW_VOL_SHIFT) - 0.045
            known = math.exp(fast + slow)
            if len(self._vols) >= _CACHE_MAX:
                self._vols.clear()
            self._vols[block] = known
        return known

    def _bursts(self, step: int) -> float:
        """Momentum bursts: a ramp of 5 to 20 s, a plateau, and minutes of giving it back; zero after that."""
        block = step // _BURST_STEPS
        total = 0.0
        for past in range(block - _BURST_LOOKBACK + 1, block + 1):
            begin, ramp, height = self._burst(past)
            age = step - begin
            if height == 0.0 or age <= 0:
                continue
            if age < ramp:
                total += height * age / ramp
            elif age < ramp + _BURST_FLAT:
                total += height
            elif age < ramp + _BURST_FLAT + _BURST_FADE:
                total += height * (1.0 - (age - ramp - _BURST_FLAT) / _BURST_FADE)
        return total * self._spec.volatility

    def _burst(self, block: int) -> tuple[int, int, float]:
        """(first step, ramp in steps, height in bps) of the block's burst; most blocks have height 0."""
        known = self._burst_cache.get(block)
        if known is None:
            draw = _uniform(self._seed, 6, block)
            begin = block * _BURST_STEPS + int(_uniform(self._seed, 7, block) * (_BURST_STEPS - 200))
            ramp = 50 + int(_uniform(self._seed, 8, block) * 150)
            height = min(30.0, 5.0 - 5.0 * math.log(_uniform(self._seed, 9, block)))
            sign = 0.0 if draw > 0.35 else 1.0 if draw < 0.175 else -1.0
            if len(self._burst_cache) >= _CACHE_MAX:
                self._burst_cache.clear()
            known = self._burst_cache[block] = (begin, ramp, sign * height)
        return known

    def _basis_node(self, key: int, octave: int, cell: int) -> float:
        index = (key, octave, cell)
        known = self._basis_nodes.get(index)
        if known is None:
            if len(self._basis_nodes) >= _CACHE_MAX:
                self._basis_nodes.clear()
            known = self._basis_nodes[index] = _normal(self._seed, 10, key, octave, cell)
        return known
