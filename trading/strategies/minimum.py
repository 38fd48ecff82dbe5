"""Orders too small for a venue: an opening that is below the least an order may be worth is made as large as that.

Owns the sizes of intents and nothing else. A change that only reduces is left alone, and so is a small change of a
position that stands: a target that moves by little would otherwise be traded in the least order each time. Never beyond
what an order may be worth; then the intent stays as it was, the words say why, and nobody sends it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument
from trading.market.events import BookTop
from trading.orders.messages import Intent, QuoteIntent, TargetIntent
from trading.strategies.base import LotValue

_MARGIN = 1.001
"""The price moves until the order is there."""


class _Market:
    __slots__ = ("least_usd", "lot", "mid_ticks", "min_lots", "most_usd", "spec")

    def __init__(self, spec: Instrument, floor_usd: Decimal, most_usd: Decimal) -> None:
        self.spec = spec
        self.lot = LotValue(spec)
        self.least_usd = max(float(floor_usd), float(spec.min_notional) * _MARGIN)
        self.most_usd = float(most_usd)
        self.min_lots = max(1, math.ceil(spec.min_qty / spec.lot_size))
        self.mid_ticks = 0.0

    def least(self, price_ticks: float) -> int:
        """Lots of the smallest order at a price; 0 where no price is known."""
        if price_ticks <= 0:
            return 0
        return max(self.min_lots, math.ceil(self.least_usd / self.lot.usd(price_ticks) - 1e-9))


class OrderMinimum:
    """The least order of a strategy's instruments, in USD: ``floor_usd`` or the venue's own minimum, the larger one.

    ``most_usd`` by instrument is what one order may be worth. ``raised`` and ``refused`` count intents, ``words`` is
    the newest refusal.
    """

    def __init__(
        self, instruments: Mapping[str, Instrument], floor_usd: Decimal, most_usd: Mapping[str, Decimal]
    ) -> None:
        self._markets = {i: _Market(spec, floor_usd, most_usd[i]) for i, spec in instruments.items()}
        self.raised = 0
        self.refused = 0
        self.words = ""

    def on_top(self, top: BookTop) -> None:
        """What a lot is worth."""
        if top.bids and top.asks:
            self._markets[top.instrument_id].mid_ticks = (top.bids[0][0] + top.asks[0][0]) / 2

    def apply(self, intent: Intent, position_lots: int) -> Intent:
        """The intent with sizes that a venue takes, or as it was. ``position_lots``: what the strategy has, signed."""
        market = self._markets[intent.instrument_id]
        if isinstance(intent, TargetIntent):
            lots = self._target(market, intent.target_lots, position_lots)
            return intent if lots == intent.target_lots else msgspec.structs.replace(intent, target_lots=lots)
        return self._quote(market, intent, position_lots)

    def _target(self, market: _Market, target: int, held: int) -> int:
        sign = 1 if target > 0 else -1
        if target == 0 or held * sign > 0:
            return target  # nothing is opened, or what stands is only changed
        least = market.least(market.mid_ticks)
        wanted = abs(target) - held * sign
        if wanted >= least or not self._may(market, least, wanted, market.mid_ticks):
            return target
        return held + sign * least

    def _quote(self, market: _Market, intent: QuoteIntent, held: int) -> QuoteIntent:
        bid = self._side(market, intent.bid_lots, intent.bid_ticks, max(0, -held))
        ask = self._side(market, intent.ask_lots, intent.ask_ticks, max(0, held))
        if (bid, ask) == (intent.bid_lots, intent.ask_lots):
            return intent
        return msgspec.structs.replace(intent, bid_lots=bid, ask_lots=ask)

    def _side(self, market: _Market, lots: int, price_ticks: int, reducible: int) -> int:
        least = market.least(price_ticks)
        if not 0 < lots < least or 0 < reducible < least or not self._may(market, least, lots, price_ticks):
            return lots
        return least

    def _may(self, market: _Market, least: int, lots: int, price_ticks: float) -> bool:
        worth = market.lot.usd(price_ticks)
        if least * worth <= market.most_usd and least * market.spec.lot_size <= market.spec.max_qty:
            self.raised += 1
            return True
        self.refused += 1
        self.words = (
            f"{market.spec.instrument_id}: an order of {lots * worth:.2f} USD is too small, the least one of "
            f"{least * worth:.2f} USD is above the limit of {market.most_usd:.2f} USD"
        )
        return False
