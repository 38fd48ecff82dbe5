"""The price that a protective exit watches, and the range that its distances are measured in.

Owns what was last seen of one instrument. Owns no decision.
"""

from __future__ import annotations

from decimal import Decimal

from trading.features.indicators import Atr
from trading.instruments import Instrument
from trading.market.events import BookState, BookTop, MarkPrice, Trade
from trading.orders.messages import Side
from trading.protection.policy import Watched

MS = 1_000_000
BAR_NS = 60_000 * MS


class WatchedPrices:
    """The newest prices of one instrument, each with when it was received (UTC ns), and its one-minute bars of mids."""

    __slots__ = ("_at", "_atr", "_high", "_last", "_low", "_open_ns", "_px", "_touch", "instrument")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._px: dict[Watched, Decimal] = {}
        self._at: dict[Watched, int] = {}
        self._touch: tuple[Decimal, Decimal] | None = None
        self._atr = Atr()
        self._open_ns = 0
        self._high = self._low = self._last = 0.0

    def on_top(self, top: BookTop) -> None:
        """A book; one that is not proved or has one side only is not a price."""
        if top.state is not BookState.SYNCED or not top.bids or not top.asks:
            self._touch = None
            return
        bid, ask = top.bids[0][0], top.asks[0][0]
        tick = self.instrument.tick_size
        self._touch = (tick * bid, tick * ask)
        self._at[Watched.TOUCH] = top.ts_recv_ns
        self._range(float(tick) * (bid + ask) / 2, top.ts_recv_ns)

    def on_mark(self, mark: MarkPrice) -> None:
        """Mark and index."""
        self._px[Watched.MARK], self._at[Watched.MARK] = mark.mark_price, mark.ts_recv_ns
        if mark.index_price is not None:
            self._px[Watched.INDEX], self._at[Watched.INDEX] = mark.index_price, mark.ts_recv_ns

    def on_trade(self, trade: Trade) -> None:
        """A public execution."""
        self._px[Watched.LAST] = self.instrument.price(trade.price_ticks)
        self._at[Watched.LAST] = trade.ts_recv_ns

    def seen(self, watched: Watched, held: Side, now_ns: int, stale_ns: int) -> tuple[Decimal, Watched] | None:
        """The price to compare for a position opened by ``held``, and whose it is; None while nobody has a fresh one.

        The touch is the side at which the position could be closed.
        """
        for source in (watched, Watched.TOUCH):
            at_ns = self._at.get(source)
            if at_ns is None or now_ns - at_ns > stale_ns:
                continue
            if source is not Watched.TOUCH:
                return self._px[source], source
            if self._touch is not None:
                return self._touch[0 if held is Side.BUY else 1], source
        return None

    @property
    def atr(self) -> Decimal | None:
        """The average true range of closed one-minute bars, in price; None before 14 of them."""
        value = self._atr.value
        return None if value is None else Decimal(repr(value))

    def _range(self, mid: float, ts_ns: int) -> None:
        start_ns = ts_ns - ts_ns % BAR_NS
        if start_ns != self._open_ns:
            if self._open_ns:
                self._atr.update(self._high, self._low, self._last)
            self._open_ns, self._high, self._low = start_ns, mid, mid
        elif mid > self._high:
            self._high = mid
        elif mid < self._low:
            self._low = mid
        self._last = mid
