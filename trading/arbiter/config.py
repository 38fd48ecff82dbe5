"""What the arbiter is allowed and what it reports besides orders. Owns numbers and words, no behaviour."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.orders.messages import InternalCross, ProposedCancel, ProposedOrder


class StrategyBudget(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy's place: a lower ``priority`` is served first, ``max_notional_usd`` caps each instrument."""

    priority: int
    max_notional_usd: Decimal


class ArbiterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and pace of the arbiter; 0 allows nothing.

    ``max_position_notional_usd`` caps the combination of all strategies per instrument, worst case of resting quotes
    included; ``by_instrument_notional_usd`` replaces it where named. A strategy without a budget may do nothing.
    At SAFE quotes shrink by ``safe_size_factor``. A flattening waits ``flatten_wait_ms`` for cancels, reaches further
    into the book with every try that fails, ``flatten_slippage_bps`` at most, and ends after ``flatten_tries_max`` of
    them without a fill. At venues ``amends_in_place`` a replaced order and its replacement are never both live.
    """

    budgets: dict[str, StrategyBudget]
    max_position_notional_usd: Decimal = Decimal(4000)
    by_instrument_notional_usd: dict[str, Decimal] = {}
    max_order_notional_usd: Decimal = Decimal(900)
    aggressive_slippage_bps: float = 2.0
    stale_book_ms: int = 1200
    post_only_staleness_ms: int = 450
    quote_hysteresis_ticks: int = 1
    min_order_interval_ms: int = 250
    min_quote_interval_ms: int = 400
    max_orders_per_sec: int = 5
    orders_per_symbol_per_min: int = 230
    cool_off_after_errors: int = 3
    cool_off_on_errors_ms: int = 5000
    retry_ms: int = 250
    cancel_retry_ms: int = 2000
    safe_size_factor: Decimal = Decimal("0.5")
    flatten_slippage_bps: float = 15.0
    flatten_wait_ms: int = 2000
    flatten_tries_max: int = 60
    amends_in_place: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            if isinstance(value, Decimal | int | float) and not (Decimal(value).is_finite() and value >= 0):
                raise ValueError(f"{field.name}: {value} must be a finite number, not negative; 0 allows nothing")
        for strategy_id, budget in self.budgets.items():
            if not (budget.max_notional_usd.is_finite() and budget.max_notional_usd >= 0):
                raise ValueError(f"budgets.{strategy_id}.max_notional_usd: {budget.max_notional_usd} must be >= 0")
        if self.cool_off_after_errors < 1:
            raise ValueError("cool_off_after_errors: must be at least 1")


class ConflictResolved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A strategy got less than it asked for. ``rule`` is budget, priority, cross, self_trade or no_budget."""

    instrument_id: str
    strategy_id: str
    intent_id: str
    rule: str
    wanted_lots: int
    got_lots: int
    text: str
    ts_init_ns: int


class FlattenTold(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How the flattening of an instrument stands, once per outcome: ``done``, or given up, in words."""

    instrument_id: str
    done: bool
    text: str
    ts_init_ns: int


ArbiterOut = ProposedOrder | ProposedCancel | InternalCross | ConflictResolved | FlattenTold
