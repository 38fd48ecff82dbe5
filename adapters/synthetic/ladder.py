"""One synthetic order book: two sides of price levels, what changed since the last diff, and its deep stationary noise.

Deep levels live by one rule: a random place is looked at; where it is emptier than the market's density an order
arrives, where it is not one is removed or resized. That keeps density, sizes and the share of removals at their
calibrated values whatever price does. Does not own time, trades or wire formats.
"""

from __future__ import annotations

import bisect
import math
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


class DeepNoise:
    """Orders away from the touch: fills a fresh book and keeps it alive."""

    def __init__(self, market: MarketParams, base_ticks: int, rng: Random) -> None:
        self._rng = rng
        self._market = market
        self._tick_per_bps = base_ticks * 1e-4
        self._far = int(CHANGE_BANDS_BPS[-1] * self._tick_per_bps)
        # Calibrated distances are ticks at a price near 61800; at other prices the same shape is stretched in bps.
        stretch = base_ticks / (61800 * market.ticks_per_unit)
        self._occupancy = tuple((x * stretch, min(0.9, y / min(1.0, max(stretch, 0.05)))) for x, y in market.occupancy)
        self._lots = tuple((x * stretch, y) for x, y in market.level_lots)
        normal = NormalDist()
        sigma = market.level_sigma
        sizes = [math.exp(sigma * normal.inv_cdf((i + 0.5) / _SIZES)) for i in range(_SIZES)]
        mean = sum(sizes) / _SIZES
        self._sizes = [size / mean for size in sizes]
        distances = self._distances()
        self._distance = distances
        self._spread = [max(1, b - a) for a, b in zip(distances, [*distances[1:], self._far], strict=True)]
        self._mean_lots = [interpolate(self._lots, d) for d in distances]
        self._reach = [math.log(market.zero_share) / math.log(1.0 - interpolate(self._occupancy, d)) for d in distances]
        self._remove = market.zero_share / (1.0 - market.zero_share)

    def _distances(self) -> list[int]:
        """Equally likely distances: log-uniform inside the calibrated bands, but for the innermost."""
        total = sum(self._market.change_weights)
        edges = [edge * self._tick_per_bps for edge in CHANGE_BANDS_BPS]
        cumulative, found = 0.0, list[int]()
        for weight, low, high in zip(self._market.change_weights, edges, edges[1:], strict=False):
            slots = round((cumulative + weight) / total * _SLOTS) - len(found)
            for k in range(slots):
                x = (k + 0.5) / slots
                found.append(max(1, int(low + (high - low) * x if low == 0.0 else low * (high / low) ** x)))
            cumulative += weight
        return found

    def lots(self, distance: int) -> int:
        """A random size of an order at ``distance`` ticks."""
        size = self._sizes[self._rng.getrandbits(11)] * interpolate(self._lots, distance)
        return round_lots(size, self._rng.getrandbits(3))

    def fill(self, side: Side) -> None:
        """Populate a side whose best is set, out to the far end."""
        rnd, distance = self._rng.random, 0
        while True:
            density = interpolate(self._occupancy, distance + 1)
            distance += 1 + int(math.log(1.0 - rnd()) / math.log(1.0 - density))
            if distance > self._far:
                return
            side.put(side.best + side.out * distance, self.lots(distance))

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
        distances, spreads, reaches, means, sizes = (
            self._distance,
            self._spread,
            self._reach,
            self._mean_lots,
            self._sizes,
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
            for ticks in [t for t in side.levels if (t - side.best) * side.out > self._far]:
                side.drop(ticks)


def round_lots(size: float, draw: int) -> int:
    """Whole lots, at least one; one order in eight has a round number of two leading digits or fewer."""
    lots = int(size) or 1
    if draw & 7 == 0 and lots > 20:
        unit = 5 * 10 ** (len(str(lots)) - 2)
        lots = max(unit, lots // unit * unit)
    return lots
