"""How instruments move together: correlations of returns and the clusters that they make. Names are the caller's.

Prices of all instruments are given at one time, as far as they are known; who samples them is the caller's choice and
part of the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import log

from trading.features.returns import RollingRegression
from trading.features.windows import at_least, positive

MAX_NAMES = 64
"""Pairs are 2016 then, and a sample costs about a microsecond a pair."""


class Comovement:
    """Pearson's correlations of the last ``window`` log returns of each pair, and clusters by single linkage.

    A pair counts the samples that state both of its prices twice in a row. Clusters join what correlates by at least
    ``threshold`` in absolute value, through others too (Mantegna: Hierarchical structure in financial markets, European
    Physical Journal B 11, 1999, cut at one distance).
    """

    __slots__ = ("_last", "_names", "_pairs", "_threshold")

    def __init__(self, names: Sequence[str], window: int = 300, threshold: float = 0.7) -> None:
        if not 0.0 < threshold <= 1.0:
            raise ValueError(f"the threshold is {threshold}, but it is above 0 and at most 1")
        if len(set(names)) != len(names) or len(names) > MAX_NAMES:
            raise ValueError(f"{len(names)} names, but at most {MAX_NAMES} different ones are compared")
        at_least("window", 2, window)
        self._names = tuple(names)
        self._threshold = threshold
        self._pairs = {pair: RollingRegression(window) for pair in combinations(self._names, 2)}
        self._last: dict[str, float] = {}

    def update(self, prices: Mapping[str, float]) -> None:
        """Take one sample: a price above 0 of each instrument that has one; others are left out of it."""
        known = {name: float(prices[name]) for name in self._names if name in prices}
        for name, price in known.items():
            positive(f"price of {name}", price)
        moves = {name: log(price / self._last[name]) for name, price in known.items() if name in self._last}
        for (one, other), regression in self._pairs.items():
            if one in moves and other in moves:
                regression.update(moves[one], moves[other])
        self._last = known

    @property
    def value(self) -> dict[tuple[str, str], float]:
        """The correlation, -1 to 1, of each pair that was seen for a whole window and moved."""
        found = {pair: regression.correlation for pair, regression in self._pairs.items()}
        return {pair: correlation for pair, correlation in found.items() if correlation is not None}

    @property
    def clusters(self) -> tuple[tuple[str, ...], ...]:
        """Every instrument in exactly one cluster, in the order of the names; alone when nothing moves with it."""
        parent = {name: name for name in self._names}

        def root(name: str) -> str:
            while parent[name] != name:
                parent[name] = parent[parent[name]]
                name = parent[name]
            return name

        for (one, other), correlation in self.value.items():
            if abs(correlation) >= self._threshold:
                parent[root(other)] = root(one)
        members: dict[str, list[str]] = {}
        for name in self._names:
            members.setdefault(root(name), []).append(name)
        return tuple(tuple(names) for names in members.values())
