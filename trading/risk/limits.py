"""The numbers of risk: limits with their units, and the request for a brake that their breach makes.

0 always means that nothing is allowed and never that nothing is limited; there is no value for "unlimited".
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.brakes import Level, Release

OPERATOR = "operator"
"""Strategy id of the legs of orders that an operator asked for, such as a flattening."""


class InstrumentLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one instrument where they differ from the general ones; None takes the general one."""

    max_order_notional_usd: Decimal | None = None
    max_order_qty: Decimal | None = None
    max_position_notional_usd: Decimal | None = None
    price_band_bps: Decimal | None = None
    max_slippage_bps: Decimal | None = None
    orders_per_min: int | None = None


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit of the risk governor.

    Amounts are in USD-like quote currency. Order: notional and quantity of one order. Position: worst case of one
    instrument, all working, in-flight and UNKNOWN orders filled. Venue and global: sums of worst cases. Side caps: sum
    of long, or short, worst cases. ``price_band_bps`` bounds any price around the proved mid, ``max_slippage_bps`` an
    aggressive one beyond it. Drawdown is in percent of ``capital_usd`` from the day's best equity.
    """

    max_order_notional_usd: Decimal = Decimal(1000)
    max_position_notional_usd: Decimal = Decimal(5000)
    max_venue_notional_usd: Decimal = Decimal(10000)
    max_global_notional_usd: Decimal = Decimal(20000)
    max_long_notional_usd: Decimal = Decimal(15000)
    max_short_notional_usd: Decimal = Decimal(15000)
    max_concurrent_positions: int = 20
    max_open_orders: int = 50
    max_inflight_orders: int = 20
    price_band_bps: Decimal = Decimal(100)
    max_slippage_bps: Decimal = Decimal(20)
    orders_per_sec: int = 5
    orders_per_symbol_per_min: int = 240
    capital_usd: Decimal = Decimal(10000)
    daily_loss_cap_usd: Decimal = Decimal(250)
    drawdown_safe_pct: Decimal = Decimal("2.0")
    drawdown_hold_pct: Decimal = Decimal("2.5")
    stale_book_ms: int = 1200
    post_only_staleness_ms: int = 500
    safe_size_factor: Decimal = Decimal("0.5")
    by_instrument: dict[str, InstrumentLimits] = {}
    by_venue_notional_usd: dict[str, Decimal] = {}

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            if isinstance(value, Decimal | int) and not (Decimal(value).is_finite() and value >= 0):
                raise ValueError(f"{field.name}: {value} must be a finite number, not negative; 0 allows nothing")
        for venue, amount in self.by_venue_notional_usd.items():
            if not (amount.is_finite() and amount >= 0):
                raise ValueError(f"by_venue_notional_usd.{venue}: {amount} must be finite and not negative")
        for instrument_id, own in self.by_instrument.items():
            for field in msgspec.structs.fields(type(own)):
                value = getattr(own, field.name)
                if value is not None and not (Decimal(value).is_finite() and value >= 0):
                    raise ValueError(
                        f"by_instrument.{instrument_id}.{field.name}: {value} must be finite, not negative"
                    )
        if self.safe_size_factor > 1:
            raise ValueError(f"safe_size_factor: {self.safe_size_factor} must be between 0 and 1")

    def zeros(self) -> list[str]:
        """Names of the limits that are 0 and so forbid all trading; a live configuration refuses them."""
        return [f.name for f in msgspec.structs.fields(type(self)) if getattr(self, f.name) == 0]


class BrakeRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The governor asks for a brake; whoever keeps the brakes sets it."""

    code: str
    scope: str
    level: Level
    cause: str
    release: Release
    ts_init_ns: int
