"""What the simulated venue needs of an order book, and the smallest book there is: a best bid and ask.

Does not own how a real book is built or proved (trading/market).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trading.market.book import PyBook, SideT
from trading.market.events import Level


class BookView(Protocol):
    """Recorded liquidity of one instrument, in ticks and lots. A level that is not there has 0 lots."""

    @property
    def instrument_id(self) -> str:
        """Whose book this is."""
        ...

    @property
    def update_id(self) -> int:
        """The venue's number of the newest applied update."""
        ...

    @property
    def partial(self) -> bool:
        """Whether only the best levels are known; deeper levels then show 0 lots without being empty."""
        ...

    def best_bid(self) -> Level | None:
        """Highest bid, or None when there is none."""
        ...

    def best_ask(self) -> Level | None:
        """Lowest ask, or None when there is none."""
        ...

    def bid_lots(self, tick: int, /) -> int:
        """Lots displayed to buy at ``tick``."""
        ...

    def ask_lots(self, tick: int, /) -> int:
        """Lots displayed to sell at ``tick``."""
        ...

    def drop_changed(self, levels: dict[tuple[SideT, int], tuple[int, int]], bid: SideT, /) -> None:
        """Take out of ``levels``, (side, tick) -> (lots, ...), what shows other lots now; ``bid`` is the bids' side."""
        ...

    def top(self, n: int, /) -> tuple[Sequence[Level], Sequence[Level]]:
        """At most ``n`` bids and ``n`` asks, best first."""
        ...


class TickerBook:
    """A book of which only the best levels are known. ``update_id`` counts the tickers seen."""

    __slots__ = ("_ask", "_bid", "instrument_id", "partial", "update_id")

    def __init__(self, instrument_id: str) -> None:
        self.instrument_id = instrument_id
        self.update_id = 0
        self.partial = True
        self._bid: Level = (0, 0)
        self._ask: Level = (0, 0)

    def set(self, bid: Level, ask: Level) -> None:
        """Replace both levels; 0 lots means the side is empty."""
        self._bid = bid
        self._ask = ask
        self.update_id += 1

    def best_bid(self) -> Level | None:
        """The bid, or None when it has no lots."""
        return self._bid if self._bid[1] > 0 else None

    def best_ask(self) -> Level | None:
        """The ask, or None when it has no lots."""
        return self._ask if self._ask[1] > 0 else None

    def bid_lots(self, tick: int, /) -> int:
        """Lots at the bid when ``tick`` is the bid, else 0."""
        return self._bid[1] if tick == self._bid[0] else 0

    def ask_lots(self, tick: int, /) -> int:
        """Lots at the ask when ``tick`` is the ask, else 0."""
        return self._ask[1] if tick == self._ask[0] else 0

    drop_changed = PyBook.drop_changed

    def top(self, n: int, /) -> tuple[Sequence[Level], Sequence[Level]]:
        """The one bid and the one ask."""
        bids = [self._bid] if n > 0 and self._bid[1] > 0 else []
        asks = [self._ask] if n > 0 and self._ask[1] > 0 else []
        return bids, asks
