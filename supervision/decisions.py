"""What the configuration means to those who decide: limits, the arbiter's budgets, protective exits, reconciliation.

Owns the translation only: who is started with it is `supervision.wiring`'s, what the keys are is the configuration's.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from adapters.config import DeskConfig
from adapters.config_orders import ReconcileConfig
from trading.arbiter.config import ArbiterConfig, StrategyBudget
from trading.instruments import Instrument
from trading.protection.policy import AtVenue, ExitPolicy, Watched, preset
from trading.recon.config import ReconConfig
from trading.risk.limits import InstrumentLimits, RiskLimits


def limits_of(config: DeskConfig, instruments: Mapping[str, Instrument]) -> RiskLimits:
    """The governor's limits."""
    risk = config.risk
    caps = risk.notional_caps
    return RiskLimits(
        max_order_notional_usd=risk.per_order_notional_cap,
        max_position_notional_usd=caps.per_symbol["default"],
        max_venue_notional_usd=caps.per_venue["default"],
        max_global_notional_usd=caps.gross,
        max_long_notional_usd=caps.gross,
        max_short_notional_usd=caps.gross,
        max_inflight_orders=risk.max_inflight_orders,
        price_band_bps=risk.price_band_bps,
        max_slippage_bps=risk.max_slippage_bps,
        orders_per_sec=risk.throttle_orders_per_sec,
        orders_per_symbol_per_min=config.execution.pace.orders_per_symbol_per_min,
        daily_loss_cap_usd=risk.daily_loss_cap_usd,
        # The drawdown that holds (2.5 % of capital) is the daily cap again, from the day's best and not from its start.
        capital_usd=risk.daily_loss_cap_usd * 40,
        stale_book_ms=risk.stale_ms,
        post_only_staleness_ms=config.execution.post_only.staleness_ms,
        by_instrument={i: InstrumentLimits(max_position_notional_usd=caps.symbol(i)) for i in instruments},
        by_venue_notional_usd={v: caps.venue(v) for v in config.venues},
    )


def exit_policy(config: DeskConfig) -> ExitPolicy:
    """What protective exits are to be."""
    exits = config.risk.protective_exits
    policy = ExitPolicy(
        stop_loss_pct=exits.stop_loss_pct,
        take_profit_pct=exits.take_profit_pct,
        watched=Watched(exits.watched),
        at_venue=AtVenue(exits.at_venue),
        cooldown_ms=exits.cooldown_s * 1_000,
        stuck_ms=exits.stuck_s * 1_000,
    )
    return policy if exits.policy == "percent" else preset(exits.policy, policy)


def recon_config(told: ReconcileConfig) -> ReconConfig:
    """How accounts are compared while the desk runs."""
    return ReconConfig(
        interval_ms=told.interval_sec * 1_000,
        lookback_ms=told.lookback_hours * 3_600_000,
        executions_max=told.executions_max,
        late_ms=told.late_s * 1_000,
        visible_ms=told.visible_s * 1_000,
        brake_ms=told.brake_s * 1_000,
        dust_usd=told.dust_usd,
    )


def arbiter_config(config: DeskConfig, instruments: Mapping[str, Instrument]) -> ArbiterConfig:
    """Budgets, priorities and pace of the arbiter; it keeps a little inside the governor's limits."""
    caps = config.risk.notional_caps
    return ArbiterConfig(
        budgets={
            s: StrategyBudget(priority=c.priority, max_notional_usd=c.budget_usd) for s, c in config.strategies.items()
        },
        max_position_notional_usd=caps.per_symbol["default"],
        by_instrument_notional_usd={i: caps.symbol(i) for i in instruments},
        max_order_notional_usd=config.risk.per_order_notional_cap * Decimal("0.9"),
        stale_book_ms=config.risk.stale_ms,
        post_only_staleness_ms=int(config.execution.post_only.staleness_ms * 0.9),
        max_orders_per_sec=config.risk.throttle_orders_per_sec,
        orders_per_symbol_per_min=int(config.execution.pace.orders_per_symbol_per_min * 0.96),
        min_order_interval_ms=config.execution.pace.min_order_interval_ms,
        min_quote_interval_ms=config.execution.pace.min_quote_interval_ms,
    )
