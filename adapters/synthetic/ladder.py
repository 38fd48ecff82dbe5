"""One synthetic order book: two sides of price levels, what changed since the last diff, and its deep stationary noise.

Deep levels live by one rule: a random place is looked at; where it is emptier than the market's density an order
arrives, where it is not one is removed or resized. That keeps density, sizes and the share of removals at their
calibrated values whatever price does. Does not own time, trades or wire formats.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from functools import lru_cache
from random import Random
from statistics import NormalDist

from adapters.synthetic.params import CHANGE_BANDS_BPS, Knots, MarketParams

_SLOTS = 4096
_SIZES = 2048
_LEVELS_MAX = 12_000
_SCAN_MAX = 4000


def interpolate(knots: Knots, x: float) -> float:
    """The piecewise linear function through ``knots`` at ``x``."""
    at = bisect.bisect_right(knots, (x, math.inf))
    if at == 0:
        return knots[0][1]
    if at == len(knots):
        return knots[-1][1]
    (x0, y0), (x1, y1) = knots[at - 1], knots[at]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def rising(knots: Knots) -> Callable[[float], float]:
    """`interpolate`, to the last bit, for places that never go back: each knot is passed once."""
    ahead = iter((*knots, (math.inf, 0.0)))
    x0, (x1, y1) = 0.0, next(ahead)
    y0, dx, dy = y1, 1.0, 0.0

    def at(x: float) -> float:
        nonlocal x0, y0, x1, y1, dx, dy
        while x >= x1:
            x0, y0, (x1, y1) = x1, y1, next(ahead)
            dx, dy = (1.0, 0.0) if x1 == math.inf else (x1 - x0, y1 - y0)
        return y0 + dy * (x - x0) / dx

    return at


class Side:
    """The bids or the asks. ``out`` is the tick direction away from the touch: -1 for bids, +1 for asks."""

    __slots__ = ("best", "levels", "out", "pending")

    def __init__(self, out: int) -> None:
        self.out = out
        self.best = 0
        self.levels: dict[int, int] = {}
        self.pending: dict[int, int] = {}

    def put(self, ticks: int, lots: int) -> None:
        """Set a level; ``lots`` must be positive."""
        self.levels[ticks] = self.pending[ticks] = lots

    def drop(self, ticks: int) -> None:
        """Remove an existing level."""
        del self.levels[ticks]
        self.pending[ticks] = 0

    def advance(self) -> None:
        """Find the next best after the best level went."""
        ticks, out, levels = self.best, self.out, self.levels
        for _ in range(_SCAN_MAX):
            if ticks in levels:
                self.best = ticks
                return
            ticks += out
        self.best = min(levels) if out > 0 else max(levels)

    def sorted(self) -> list[tuple[int, int]]:
        """All levels, best first."""
        return sorted(self.levels.items(), reverse=self.out < 0)


class Shape:
    """What the depth of a market looks like at a price: the same for all its books there, changed by none."""

    __slots__ = ("distance", "far", "lots", "mean_lots", "occupancy", "reach", "sizes", "spread")

    def __init__(self, market: MarketParams, base_ticks: int) -> None:
        self.far = int(CHANGE_BANDS_BPS[-1] * (base_ticks * 1e-4))
        # Calibrated distances are ticks at a price near 61800; at other prices the same shape is stretched in bps.
        stretch = base_ticks / (61800 * market.ticks_per_unit)
        self.occupancy = tuple((x * stretch, min(0.9, y / min(1.0, max(stretch, 0.05)))) for x, y in market.occupancy)
        self.lots = tuple((x * stretch, y) for x, y in market.level_lots)
        self.sizes = _sizes(market.level_sigma)
        distances = _distances(market, base_ticks * 1e-4)
        density, mean = rising(self.occupancy), rising(self.lots)
        self.distance = distances
        self.spread = [max(1, b - a) for a, b in zip(distances, [*distances[1:], self.far], strict=True)]
        self.mean_lots = [mean(d) for d in distances]
        self.reach = [math.log(market.zero_share) / math.log(1.0 - density(d)) for d in distances]


@lru_cache(maxsize=64)
def _shape(market: MarketParams, base_ticks: int) -> Shape:
    return Shape(market, base_ticks)


@lru_cache(maxsize=64)
def _sizes(sigma: float) -> list[float]:
    """Equally likely sizes of orders about a mean of 1."""
    normal = NormalDist()
    sizes = [math.exp(sigma * normal.inv_cdf((i + 0.5) / _SIZES)) for i in range(_SIZES)]
    mean = sum(sizes) / _SIZES
    return [size / mean for size in sizes]


def _distances(market: MarketParams, ticks_per_bps: float) -> list[int]:
    """Equally likely distances, ascending: log-uniform inside the calibrated bands, but for the innermost."""
    total = sum(market.change_weights)
    edges = [edge * ticks_per_bps for edge in CHANGE_BANDS_BPS]
    cumulative, found = 0.0, list[int]()
    for weight, low, high in zip(market.change_weights, edges, edges[1:], strict=False):
        slots = round((cumulative + weight) / total * _SLOTS) - len(found)
        for k in range(slots):
            x = (k + 0.5) / slots
            found.append(max(1, int(low + (high - low) * x if low == 0.0 else low * (high / low) ** x)))
        cumulative += weight
    return found


class DeepNoise:
    """Orders away from the touch: fills a fresh book and keeps it alive."""

    def __init__(self, market: MarketParams, base_ticks: int, rng: Random) -> None:
        self._rng = rng
        self._market = market
        self._shape = _shape(market, base_ticks)
        self._remove = market.zero_share / (1.0 - market.zero_share)

    def lots(self, distance: int) -> int:
        """A random size of an order at ``distance`` ticks."""
        shape = self._shape
        size = shape.sizes[self._rng.getrandbits(11)] * interpolate(shape.lots, distance)
        return round_lots(size, self._rng.getrandbits(3))

    def fill(self, side: Side) -> None:
        """Populate a side whose best is set, out to the far end."""
        rnd, bits, sizes, far = self._rng.random, self._rng.getrandbits, self._shape.sizes, self._shape.far
        density, mean, log, distance = rising(self._shape.occupancy), rising(self._shape.lots), math.log, 0
        best, out, levels, pending = side.best, side.out, side.levels, side.pending
        while True:
            distance += 1 + int(log(1.0 - rnd()) / log(1.0 - density(distance + 1)))
            if distance > far:
                return
            ticks = best + out * distance
            levels[ticks] = pending[ticks] = round_lots(sizes[bits(11)] * mean(distance), bits(3))

    def fill_near(self, side: Side, distance_max: int) -> None:
        """Populate the ticks behind a touch that has just moved in front of empty ones."""
        rnd, gap, distance = self._rng.random, self._market.near_gap, 0
        while True:
            distance += 1 - int(math.log(1.0 - rnd()) * gap)
            if distance >= distance_max:
                return
            side.put(side.best + side.out * distance, self.lots(distance))

    def churn(self, bid: Side, ask: Side, changes: int) -> None:
        """Make up to ``changes`` changes behind both touches; the touches themselves are never changed."""
        bits, rnd = self._rng.getrandbits, self._rng.random
        shape = self._shape
        distances, spreads, reaches, means, sizes = (
            shape.distance,
            shape.spread,
            shape.reach,
            shape.mean_lots,
            shape.sizes,
        )
        remove = self._remove
        for _ in range(changes):
            draw = bits(48)
            slot = draw & 4095
            side = bid if draw & 4096 else ask
            levels, out = side.levels, side.out
            ticks = side.best + out * (distances[slot] + (draw >> 32) % spreads[slot])
            reach = int(reaches[slot] + rnd())
            probe = ticks
            while reach > 0 and probe not in levels:
                probe += out
                reach -= 1
            if probe not in levels:
                levels[ticks] = side.pending[ticks] = round_lots(means[slot] * sizes[(draw >> 13) & 2047], draw >> 24)
            elif rnd() < remove:
                del levels[probe]
                side.pending[probe] = 0
            else:
                levels[probe] = side.pending[probe] = round_lots(means[slot] * sizes[(draw >> 13) & 2047], draw >> 24)

    def cull(self, side: Side) -> None:
        """Keep a side bounded: drop what the price left far behind."""
        if len(side.levels) > _LEVELS_MAX:
            for ticks in [t for t in side.levels if (t - side.best) * side.out > self._shape.far]:
                side.drop(ticks)


def round_lots(size: float, draw: int) -> int:
    """Whole lots, at least one; one order in eight has a round number of two leading digits or fewer."""
    lots = int(size) or 1
    if draw & 7 == 0 and lots > 20:
        unit = 5 * 10 ** (len(str(lots)) - 2)
        lots = max(unit, lots // unit * unit)
    return lots
