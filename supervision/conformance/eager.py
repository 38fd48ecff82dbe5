"""Two strategies without any caution: a quoter that always wants quotes and a taker that always wants to trade.

They look at no book's state and at no age: whatever keeps the desk from trading on a bad book is the desk itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trading.instruments import Instrument
from trading.market.events import BookTop
from trading.orders.messages import Intent, QuoteIntent, Urgency
from trading.strategies.base import NOTHING, LotValue, Strategy

_NOTIONAL_USD = 260.0
_TTL_NS = 2_000_000_000
_DISTANCE_BPS = 1.0


class _Eager(Strategy):
    """What both share: the last book of each instrument, proved or not."""

    def __init__(self, strategy_id: str, instruments: Mapping[str, Instrument], epoch: int) -> None:
        super().__init__(strategy_id, instruments, epoch)
        self._tops: dict[str, BookTop] = {}
        self._phase = 0
        self.paused = False
        """It wants no order any more: no quote, and to hold what it holds."""

    def on_book(self, top: BookTop, now_ns: int) -> Sequence[Intent]:
        """Remember where prices are; a book that lost its levels moves nothing."""
        if top.bids and top.asks:
            self._tops[top.instrument_id] = top
        return NOTHING

    def on_timer(self, now_ns: int) -> Sequence[Intent]:
        """Want something, again and again."""
        self._phase += 1
        return [self._want(top, self._size(top), now_ns) for top in self._tops.values()]

    def signal(self) -> dict[str, object]:
        """Nothing is calculated."""
        return {}

    def _size(self, top: BookTop) -> int:
        spec = self.specs[top.instrument_id]
        mid = (top.bids[0][0] + top.asks[0][0]) / 2
        return max(LotValue(spec).lots(_NOTIONAL_USD, mid), -int(-spec.min_qty // spec.lot_size))

    def _want(self, top: BookTop, lots: int, now_ns: int) -> Intent:
        raise NotImplementedError


class EagerQuoter(_Eager):
    """Quotes beside the last touch that it heard of, nearer and farther in turn, so that there is always an order."""

    def _want(self, top: BookTop, lots: int, now_ns: int) -> Intent:
        away = max(2, int(top.bids[0][0] * _DISTANCE_BPS / 10_000)) + 2 * (self._phase % 2)
        return QuoteIntent(
            self.next_intent_id(),
            self.strategy_id,
            top.instrument_id,
            top.bids[0][0] - away,
            0 if self.paused else lots,
            top.asks[0][0] + away,
            0 if self.paused else lots,
            1.0,
            _TTL_NS,
            ("always",),
            f"{top.instrument_id}@{top.update_id}",
            now_ns,
        )


class EagerTaker(_Eager):
    """Wants to hold, then not to hold, and so on; each change is a taker's order."""

    def _want(self, top: BookTop, lots: int, now_ns: int) -> Intent:
        held = self.position_lots[top.instrument_id]
        return self.target(
            top.instrument_id,
            target_lots=held if self.paused else 0 if held >= lots else lots,
            confidence=1.0,
            ttl_ms=_TTL_NS // 1_000_000,
            reasons=("always",),
            cause=f"{top.instrument_id}@{top.update_id}",
            now_ns=now_ns,
            urgency=Urgency.AGGRESSIVE,
        )
