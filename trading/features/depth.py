"""What a book says: queue imbalance, microprice, order flow imbalance, the liquidity map. Ticks and lots.

A book that is not SYNCED says nothing: the features forget it and are None until the next that is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from trading.features.windows import TimeWindow, at_least
from trading.market.book import NO_CEILING
from trading.market.events import BookState, BookTop, Level


class QueueImbalance:
    """(bid lots - ask lots) / (their sum) over the best ``levels``: -1 to 1, no unit; O(levels).

    Gould, Bonart: Queue imbalance as a one-tick-ahead price predictor (Market Microstructure and Liquidity 2(2), 2016).
    """

    __slots__ = ("_levels", "value")

    def __init__(self, levels: int = 1) -> None:
        self._levels = at_least("levels", 1, levels)
        self.value: float | None = None
        """The imbalance; None without a proved book of two sides."""

    def update(self, top: BookTop) -> None:
        """Take the next state of the book."""
        self.value = None
        if top.state is BookState.SYNCED and top.bids and top.asks:
            bid = ask = 0
            for _, lots in top.bids[: self._levels]:
                bid += lots
            for _, lots in top.asks[: self._levels]:
                ask += lots
            if bid + ask:
                self.value = (bid - ask) / (bid + ask)


class Microprice:
    """The mid weighted by the opposite queues, (bid * ask lots + ask * bid lots) / (their sum), in ticks.

    Gatheral, Oomen: Zero-intelligence realized variance estimation (Finance and Stochastics 14(2), 2010). It is the
    weighted mid, not Stoikov's fitted micro-price (2018).
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float | None = None
        """The price in ticks; None without a proved book of two sides."""

    def update(self, top: BookTop) -> None:
        """Take the next state of the book."""
        self.value = None
        if top.state is BookState.SYNCED and top.bids and top.asks:
            bid, bid_lots = top.bids[0]
            ask, ask_lots = top.asks[0]
            if bid_lots + ask_lots:
                self.value = bid + (ask - bid) * bid_lots / (bid_lots + ask_lots)


_NO_BID: Level = (0, 0)
_NO_ASK: Level = (NO_CEILING, 0)


def level_flow(bid: Level, ask: Level, bid_before: Level, ask_before: Level) -> int:
    """Lots of net buying pressure that explain how one level of each side changed (Cont et al., equation 4)."""
    flow = 0
    if bid[0] >= bid_before[0]:
        flow += bid[1]
    if bid[0] <= bid_before[0]:
        flow -= bid_before[1]
    if ask[0] <= ask_before[0]:
        flow -= ask[1]
    if ask[0] >= ask_before[0]:
        flow += ask_before[1]
    return flow


def _add_flows(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(int.__add__, a, b))


class OrderFlowImbalance:
    """Order flow imbalance in lots over a window, one figure a level, best first; O(levels).

    Level 1: Cont, Kukanov, Stoikov (J. Financial Econometrics 12(1), 2014). Deeper: Xu, Gould, Howison, Multi-level
    order-flow imbalance (Market Microstructure and Liquidity 4, 2018), where a level that a side does not have is an
    empty one beyond its last. Time is `BookTop.ts_event_ns`.
    """

    __slots__ = ("_asks", "_bids", "_levels", "_window")

    def __init__(self, window_ns: int, levels: int = 1, buckets: int = 60) -> None:
        self._levels = at_least("levels", 1, levels)
        self._window = TimeWindow(_add_flows, window_ns, buckets)
        self._bids: tuple[Level, ...] = ()
        self._asks: tuple[Level, ...] = ()

    def update(self, top: BookTop) -> None:
        """Take the next state of the book. One that is not proved starts the window anew."""
        if top.state is not BookState.SYNCED:
            self.reset()
            return
        levels = self._levels
        bids, asks = top.bids[:levels], top.asks[:levels]
        if len(bids) < levels:
            bids += (_NO_BID,) * (levels - len(bids))
        if len(asks) < levels:
            asks += (_NO_ASK,) * (levels - len(asks))
        if self._bids:
            flows = tuple(map(level_flow, bids, asks, self._bids, self._asks))
            self._window.push(flows, top.ts_event_ns)
        else:
            self._window.advance(top.ts_event_ns)
        self._bids, self._asks = bids, asks

    def advance(self, ts_ns: int) -> None:
        """Say that it is ``ts_ns`` and the book did not change."""
        self._window.advance(ts_ns)

    def reset(self) -> None:
        """Forget everything, because the next book does not follow from the last."""
        self._window.clear()
        self._bids, self._asks = (), ()

    @property
    def value(self) -> tuple[int, ...] | None:
        """Lots for each level, or None before a whole window of proved books was seen."""
        if not self._window.warm:
            return None
        return self._window.total or (0,) * self._levels


class DepthBand(NamedTuple):
    """Lots within ``bps`` of the mid; None on a side whose known levels end inside the band."""

    bps: float
    bid_lots: int | None
    ask_lots: int | None


class LiquidityMap:
    """Depth by distance from the mid: lots within each of ``bands_bps`` on either side, the nearer bands included.

    Levels are best first, as `Book.top` gives them. The mid moves, so every map is made anew: O(levels given), for a
    timer and not for every change of the book.
    """

    __slots__ = ("_bands", "value")

    def __init__(self, bands_bps: Sequence[float] = (1.0, 5.0, 10.0, 25.0, 50.0)) -> None:
        if not bands_bps or min(bands_bps) <= 0 or list(bands_bps) != sorted(set(bands_bps)):
            raise ValueError(f"bands are distances above 0 in rising order, not {bands_bps!r}")
        self._bands = tuple(bands_bps)
        self.value: tuple[DepthBand, ...] | None = None
        """A band each, nearest first; None without a proved book of two sides."""

    def update(self, state: BookState, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Take a book's state and its best levels."""
        self.value = None
        if state is not BookState.SYNCED or not bids or not asks:
            return
        mid = (bids[0][0] + asks[0][0]) / 2.0
        bid_away = [mid - tick for tick, _ in bids]
        ask_away = [tick - mid for tick, _ in asks]
        bid_sums = list(accumulate((lots for _, lots in bids), initial=0))
        ask_sums = list(accumulate((lots for _, lots in asks), initial=0))
        found = []
        for bps in self._bands:
            reach = mid * bps / 1e4
            below, above = bisect_right(bid_away, reach), bisect_right(ask_away, reach)  # the edge is inside
            found.append(
                DepthBand(
                    bps,
                    bid_sums[below] if below < len(bids) else None,
                    ask_sums[above] if above < len(asks) else None,
                )
            )
        self.value = tuple(found)
