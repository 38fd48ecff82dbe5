"""One instrument's limits as a decision needs them: its own or the general ones, joined where several bound the same.

Owns what can be said before an order is seen. Refuses nothing: who is not plainly within is checked limit by limit.
"""

from __future__ import annotations

from decimal import Decimal

from trading.instruments import Instrument, InstrumentKind
from trading.risk.checks import pack_limits
from trading.risk.limits import InstrumentLimits, RiskLimits

_MS = 1_000_000
_BPS = Decimal(10_000)
_ONE = Decimal(1).as_tuple()
_NOTHING = Decimal(-1)
_NO_AGE_NS = -(1 << 63)
_NO_OWN_LIMITS = InstrumentLimits()


class Bounds:
    """The limits of one instrument, and the same as words, see `RiskChecks`."""

    __slots__ = (
        "age_ns",
        "band",
        "growth_long",
        "growth_short",
        "least_qty",
        "most_qty",
        "of_order",
        "order_notional",
        "order_qty",
        "plain",
        "position",
        "post_only_age_ns",
        "slip",
        "venue",
        "words",
    )

    def __init__(self, limits: RiskLimits, instrument: Instrument) -> None:
        own = own_limits(limits, instrument.instrument_id)
        self.order_qty = own.max_order_qty
        self.order_notional = pick(own.max_order_notional_usd, limits.max_order_notional_usd)
        self.position = pick(own.max_position_notional_usd, limits.max_position_notional_usd)
        self.band = pick(own.price_band_bps, limits.price_band_bps)
        self.slip = pick(own.max_slippage_bps, limits.max_slippage_bps)
        self.venue = limits.by_venue_notional_usd.get(instrument.venue, limits.max_venue_notional_usd)
        self.of_order = str(self.order_notional)
        numbers = {
            "daily_loss_usd": limits.daily_loss_cap_usd,
            "book_age_ms": limits.stale_book_ms,
            "price_band_bps": self.band,
            "slippage_bps": self.slip,
            "position_usd": self.position,
            "venue_usd": self.venue,
            "global_usd": limits.max_global_notional_usd,
            "long_usd": limits.max_long_notional_usd,
            "short_usd": limits.max_short_notional_usd,
            "inflight": limits.max_inflight_orders,
            "open_orders": limits.max_open_orders,
        }
        self.words = pack_limits(numbers)
        self.age_ns = limits.stale_book_ms * _MS or _NO_AGE_NS
        self.post_only_age_ns = min(self.age_ns, limits.post_only_staleness_ms * _MS or _NO_AGE_NS)
        # A positive multiple of the lot is a lot at least.
        self.least_qty = max(instrument.min_qty, instrument.lot_size)
        self.most_qty = instrument.max_qty if self.order_qty is None else min(instrument.max_qty, self.order_qty)
        # Of the only instrument with exposure the position, the venue, the whole and the side are one sum.
        growth = min(self.position, self.venue, limits.max_global_notional_usd)
        if limits.max_concurrent_positions < 1:
            growth = _NOTHING
        self.growth_long = min(growth, limits.max_long_notional_usd)
        self.growth_short = min(growth, limits.max_short_notional_usd)
        # Of these quantity times price is the notional, digit for digit.
        self.plain = instrument.kind is not InstrumentKind.INVERSE and instrument.multiplier.as_tuple() == _ONE


class Corridor:
    """Prices that are within the band, and the slippage of takers, at every mid from ``first`` to ``last``.

    Mids are sums of best bid and best ask in ticks. The limits at the mid itself reach a little further: a corridor
    that is narrower by a tenth at either end outlives most moves of the book.
    """

    __slots__ = ("buy_high", "first", "high", "last", "low", "sell_low")

    def __init__(self, bounds: Bounds, instrument: Instrument, mid_sum_ticks: int) -> None:
        band, slip, tick = bounds.band, min(bounds.band, bounds.slip), instrument.tick_size
        spread = int(mid_sum_ticks * slip / _BPS / 10)
        self.first = mid_sum_ticks - spread
        self.last = mid_sum_ticks + spread
        lowest, highest = self.first * tick / 2, self.last * tick / 2
        # A positive multiple of the tick is a tick at least, however wide the band.
        self.low = max(tick, highest - highest * band / _BPS)
        self.high = lowest + lowest * band / _BPS
        self.sell_low = max(tick, highest - highest * slip / _BPS)
        self.buy_high = lowest + lowest * slip / _BPS


def own_limits(limits: RiskLimits, instrument_id: str) -> InstrumentLimits:
    """What an instrument has of its own; nothing, mostly."""
    return limits.by_instrument.get(instrument_id, _NO_OWN_LIMITS)


def pick(own: Decimal | None, general: Decimal) -> Decimal:
    """The instrument's own limit where it has one."""
    return general if own is None else own
