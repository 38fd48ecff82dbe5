"""Whether one side of a book stands still while the market moves: a stream that lost half of its changes looks so.

Owns the counting; does not own the gate on it (`trading.market.gates`) nor the book.
"""

from __future__ import annotations

from trading.market.events import Aggressor

_MS = 1_000_000


class SideWatch:
    """A side is frozen when the other moved ``moves`` times since it last did, or when trades go on through it.

    Trades through a side are takers' fills beyond its best price. A sweep prints some before the book follows, and
    makers may refill all of it within one diff: so it takes ``trades`` of them, the last ``patience_ms`` after the
    first, without a move of that side in between.
    """

    __slots__ = ("_moves", "_patience_ns", "_still", "_through", "_through_ns", "_trades", "is_frozen")

    def __init__(self, moves: int = 200, trades: int = 3, patience_ms: int = 1000) -> None:
        self._moves = moves
        self._trades = trades
        self._patience_ns = patience_ms * _MS
        self.clear()

    def clear(self) -> None:
        """Begin anew: the book was rebuilt, or both of its sides moved."""
        self._still = [0, 0]  # moves of the other side since this one moved: bids, asks
        self._through = [0, 0]
        self._through_ns = [(0, 0), (0, 0)]  # when the first and the last went through
        self.is_frozen = False

    def on_moved(self, bids: bool, asks: bool) -> None:
        """The book changed: which of its sides did."""
        if bids and asks:
            self.clear()
        elif bids or asks:
            moved = 0 if bids else 1
            self._still[moved] = self._through[moved] = 0
            self._still[1 - moved] += 1
            self.is_frozen = self._is_frozen(1 - moved)

    def on_trade(self, aggressor: Aggressor, price_ticks: int, best_ticks: int, now_ns: int) -> None:
        """A taker traded at ``price_ticks`` while the side that it took from had ``best_ticks`` as its best."""
        side = 1 if aggressor is Aggressor.BUY else 0
        if price_ticks > best_ticks if side else price_ticks < best_ticks:
            first = self._through_ns[side][0] if self._through[side] else now_ns
            self._through_ns[side] = (first, now_ns)
            self._through[side] += 1
            self.is_frozen = self.is_frozen or self._is_frozen(side)

    def frozen(self) -> str:
        """Which side is frozen and why; empty when none is."""
        for side, name, other in ((0, "bids", "asks"), (1, "asks", "bids")):
            if self._still[side] >= self._moves:
                return f"{name} have not changed while {other} moved {self._still[side]} times"
            if self._is_frozen(side):
                return f"{name} have not changed while {self._through[side]} trades went through them"
        return ""

    def _is_frozen(self, side: int) -> bool:
        if self._still[side] >= self._moves:
            return True
        first, last = self._through_ns[side]
        return self._through[side] >= self._trades and last - first >= self._patience_ns
