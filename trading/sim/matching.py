"""Liquidity of one instrument that our orders may take: the recorded book less what we took of it already.

What was taken of a level is available again only when the level changes, so a still book is not an endless one.
Does not own orders' life cycles.
"""

from __future__ import annotations

from collections.abc import Iterator

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import Level
from trading.orders.messages import Side
from trading.sim.book_view import BookView, TickerBook
from trading.sim.state import ConsumedLevel, SimOrder

_FIRST_LEVELS = 16
_BUY = Side.BUY  # a member of an enum costs a search of its class at every look


class Market:
    """One instrument at the venue: its book, our open orders in order of arrival, and what we consumed.

    ``waiting`` are those beside the book: no order meets them before their trigger.
    """

    __slots__ = ("book", "busy", "consumed", "instrument", "orders", "ticker", "waiting")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book: BookView | None = None
        self.ticker = TickerBook(instrument.instrument_id)
        self.orders: list[SimOrder] = []
        self.waiting: list[SimOrder] = []
        self.consumed: dict[tuple[Side, int], tuple[int, int]] = {}
        self.busy = False

    @property
    def is_contract(self) -> bool:
        """Whether trading it makes a position and not a balance."""
        return self.instrument.kind is not InstrumentKind.SPOT

    def rest(self) -> None:
        """Note whether market events still concern us."""
        self.busy = bool(self.orders or self.consumed)

    def best_opposite(self, side: Side) -> Level | None:
        """The displayed level an order of ``side`` would meet first."""
        if self.book is None:
            return None
        return self.book.best_ask() if side is Side.BUY else self.book.best_bid()

    def displayed_at(self, side: Side, tick: int) -> int | None:
        """Market lots resting on ``side`` at ``tick``; None where the view does not reach that deep."""
        book = self.book
        if book is None:
            return None
        lots = book.bid_lots(tick) if side is Side.BUY else book.ask_lots(tick)
        if lots == 0 and book.partial:
            best = book.best_bid() if side is Side.BUY else book.best_ask()
            if best is None or (best[0] - tick) * side.sign > 0:
                return None
        return lots

    def own_best_opposite(self, side: Side) -> int | None:
        """The price of our own resting order that an order of ``side`` would meet first."""
        prices = [o.price_ticks for o in self.orders if o.side is not side and o.price_ticks is not None]
        if not prices:
            return None
        return min(prices) if side is Side.BUY else max(prices)

    def available(self, side: Side, limit_ticks: int | None, depth: int) -> Iterator[Level]:
        """Levels an order of ``side`` may take, best first, not beyond ``limit_ticks``."""
        if self.book is None:
            return
        source = side.opposite
        walked = 0
        # Few orders reach beyond the first levels: the book is asked for more only by those that do.
        for n in (min(_FIRST_LEVELS, depth), depth):
            bids, asks = self.book.top(n)
            levels = asks if side is Side.BUY else bids
            for tick, displayed in levels[walked:]:
                if limit_ticks is not None and (tick - limit_ticks) * side.sign > 0:
                    return
                seen, taken = self.consumed.get((source, tick), (displayed, 0))
                lots = displayed - taken if seen == displayed else displayed
                if lots > 0:
                    yield tick, lots
            walked = len(levels)
            if walked < n or n == depth:
                return

    def plan(self, side: Side, limit_ticks: int | None, lots: int, depth: int) -> tuple[list[Level], bool]:
        """What an order of ``side`` takes of the market now, and whether it stopped at an order of our own.

        Our orders never meet each other: the newer stops before the price of the older (Binance EXPIRE_TAKER, the
        CANCEL_NEWEST of the specification).
        """
        own = self.own_best_opposite(side)
        takes: list[Level] = []
        for tick, available in self.available(side, limit_ticks, depth):
            if lots == 0 or (own is not None and (tick - own) * side.sign >= 0):
                break
            taken = min(lots, available)
            takes.append((tick, taken))
            lots -= taken
        crosses_own = own is not None and (limit_ticks is None or (limit_ticks - own) * side.sign >= 0)
        return takes, lots > 0 and crosses_own

    def consume(self, side: Side, tick: int, lots: int) -> None:
        """Remember that an order of ``side`` took ``lots`` at ``tick``."""
        if lots == 0:
            return
        source = side.opposite
        displayed = self._lots_at(source, tick)
        seen, taken = self.consumed.get((source, tick), (displayed, 0))
        self.consumed[source, tick] = (displayed, taken + lots if seen == displayed else lots)

    def settle(self) -> None:
        """The book changed while none of our orders is in it."""
        self.refresh()
        self.busy = bool(self.consumed)

    def refresh(self) -> None:
        """Forget what we took of the levels that changed."""
        consumed = self.consumed
        if not consumed:
            return
        if self.book is not None:
            self.book.drop_changed(consumed, _BUY)
        else:
            self.consumed = {place: took for place, took in consumed.items() if took[0] == 0}

    def consumed_levels(self) -> list[ConsumedLevel]:
        """What we consumed, to be dumped."""
        return [
            ConsumedLevel(self.instrument.instrument_id, source, tick, seen, taken)
            for (source, tick), (seen, taken) in self.consumed.items()
        ]

    def _lots_at(self, source: Side, tick: int) -> int:
        if self.book is None:
            return 0
        return self.book.bid_lots(tick) if source is Side.BUY else self.book.ask_lots(tick)
