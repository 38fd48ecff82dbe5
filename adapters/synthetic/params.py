"""What a synthetic market is made of: the spec of one run and the calibrated constants of each market.

Constants were fitted to the Binance recordings of 2024-08-08 23:54-24:00 UTC with ``research/calibration.py``; the
table is in ``runbooks/market-generator.md``. Does not own state, randomness or wire formats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum

Knots = tuple[tuple[float, float], ...]
"""A piecewise linear function: (x, y) with rising x, constant outside."""


class Dialect(Enum):
    """Which of Binance's three JSON dialects a market speaks."""

    SPOT = "spot"
    USDM = "usdm"
    COINM = "coinm"


@dataclass(frozen=True)
class GeneratorSpec:
    """One synthetic world; equal specs give equal bytes.

    ``epoch_ns`` is the UTC origin of the market. ``instruments`` are canonical ids out of ``MARKETS``. ``activity``
    multiplies all event rates, ``volatility`` the latent price's, ``basis`` the swings of the perpetuals' premium.
    ``funding_interval_s`` is 8 h at the venue; 300 lets a ten-minute session see funding roll.
    """

    seed: int
    epoch_ns: int
    instruments: tuple[str, ...] = (
        "BINANCE:SPOT:BTC-USDT",
        "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
        "BINANCECOINM:PERP:BTC-USD:INVERSE",
    )
    activity: float = 1.0
    volatility: float = 1.0
    basis: float = 1.0
    base_price: Decimal = Decimal(61800)
    funding_interval_s: int = 28800

    def __post_init__(self) -> None:
        unknown = [i for i in self.instruments if i not in MARKETS]
        if unknown:
            raise ValueError(f"no synthetic market for {unknown}; known: {sorted(MARKETS)}")
        if not (0.01 <= self.activity <= 20 and 0 <= self.volatility <= 20 and 0 <= self.basis <= 20):
            raise ValueError("activity must be in 0.01..20, volatility and basis in 0..20")
        if self.funding_interval_s < 10 or not Decimal(100) <= self.base_price <= Decimal(10_000_000):
            raise ValueError("funding_interval_s must be at least 10 and base_price in 100..10000000")


@dataclass(frozen=True)
class MarketParams:
    """The constants of one market. Sizes are lots, distances ticks unless named otherwise, rates per second.

    ``occupancy`` is the share of ticks that hold an order by distance from the touch, ``level_lots`` the mean size
    there.
    ``change_weights`` are shares of deep level changes in the distance bands of ``CHANGE_BANDS_BPS``.
    ``zero_share`` is the share of deep changes that remove a level. ``print_lots`` are quantiles of trade prints.
    ``branching`` is the mean number of events that one event excites (below 1), ``hold_bps`` the mean distance that
    the fair price goes before makers reprice, ``repair_ms`` how long a wide spread lasts, ``news_takers`` the share of
    repricing steps in which takers come first. ``dialect`` is None where the venue is not Binance.
    """

    instrument_id: str
    venue: str
    symbol: str
    pair: str
    dialect: Dialect | None
    ticks_per_unit: int
    lot_decimals: int
    flush_ms: float
    touch_rate: float
    market_rate: float
    prints_mean: float
    news_takers: float
    branching: float
    deep_median: float
    deep_sigma: float
    change_weights: tuple[float, ...]
    zero_share: float
    occupancy: Knots
    level_lots: Knots
    level_sigma: float
    near_gap: float
    touch_lots: float
    touch_sigma: float
    touch_order_share: float
    print_lots: Knots
    hold_bps: float
    repair_ms: float
    ids_per_change: int
    ids_per_s: int
    trades_per_s: int
    premium_bps: float
    basis_octaves: tuple[tuple[float, float], ...]

    @property
    def perpetual(self) -> bool:
        """True where funding is paid and mark prices are streamed."""
        return ":PERP:" in self.instrument_id

    @property
    def steady(self) -> bool:
        """True where diffs come by the clock, whatever happens; Binance's futures send them as they can."""
        return self.dialect not in {Dialect.USDM, Dialect.COINM}


CHANGE_BANDS_BPS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 120.0)

SPOT_BTC = MarketParams(
    instrument_id="BINANCE:SPOT:BTC-USDT",
    venue="binance",
    symbol="BTCUSDT",
    pair="BTCUSDT",
    dialect=Dialect.SPOT,
    ticks_per_unit=100,
    lot_decimals=5,
    flush_ms=100.0,
    touch_rate=66.0,
    market_rate=5.5,
    prints_mean=3.0,
    news_takers=0.7,
    branching=0.55,
    deep_median=14.5,
    deep_sigma=1.15,
    change_weights=(0.063, 0.048, 0.059, 0.129, 0.095, 0.241, 0.246, 0.08),
    zero_share=0.47,
    occupancy=(
        (1, 0.02),
        (60, 0.032),
        (1500, 0.034),
        (2800, 0.038),
        (9000, 0.036),
        (25000, 0.04),
        (32000, 0.004),
        (80000, 0.003),
    ),
    level_lots=((1, 12000), (600, 19000), (1000, 27000), (3000, 26000), (12000, 24000), (60000, 60000)),
    level_sigma=1.4,
    near_gap=44.0,
    touch_lots=150000.0,
    touch_sigma=0.85,
    touch_order_share=0.05,
    print_lots=(
        (0, 8),
        (0.1, 9),
        (0.25, 11),
        (0.5, 60),
        (0.75, 1329),
        (0.9, 5565),
        (0.99, 32416),
        (0.999, 76908),
        (1, 150000),
    ),
    hold_bps=0.35,
    repair_ms=40.0,
    ids_per_change=1,
    ids_per_s=2000,
    trades_per_s=200,
    premium_bps=0.0,
    basis_octaves=((20.0, 0.25),),
)

USDM_BTC = MarketParams(
    instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    venue="binanceusdm",
    symbol="BTCUSDT",
    pair="BTCUSDT",
    dialect=Dialect.USDM,
    ticks_per_unit=10,
    lot_decimals=3,
    flush_ms=52.6,
    touch_rate=170.0,
    market_rate=11.5,
    prints_mean=3.9,
    news_takers=0.7,
    branching=0.6,
    deep_median=33.0,
    deep_sigma=1.15,
    change_weights=(0.031, 0.037, 0.082, 0.228, 0.226, 0.152, 0.089, 0.119),
    zero_share=0.22,
    occupancy=(
        (1, 0.17),
        (12, 0.2),
        (40, 0.3),
        (75, 0.5),
        (130, 0.64),
        (300, 0.68),
        (700, 0.58),
        (1900, 0.5),
        (2300, 0.06),
        (8000, 0.03),
    ),
    level_lots=((1, 600), (50, 300), (80, 260), (130, 500), (200, 1100), (600, 900), (1300, 1000), (8000, 2500)),
    level_sigma=1.75,
    near_gap=6.5,
    touch_lots=3600.0,
    touch_sigma=0.75,
    touch_order_share=0.04,
    print_lots=((0, 2), (0.1, 2), (0.25, 3), (0.5, 16), (0.75, 81), (0.9, 265), (0.99, 1146), (0.999, 5904), (1, 9000)),
    hold_bps=0.25,
    repair_ms=6.0,
    ids_per_change=330,
    ids_per_s=200_000,
    trades_per_s=500,
    premium_bps=1.0,
    basis_octaves=((30.0, 0.8), (120.0, 1.8), (600.0, 3.5)),
)

COINM_BTC = MarketParams(
    instrument_id="BINANCECOINM:PERP:BTC-USD:INVERSE",
    venue="binancecoinm",
    symbol="BTCUSD_PERP",
    pair="BTCUSD",
    dialect=Dialect.COINM,
    ticks_per_unit=10,
    lot_decimals=0,
    flush_ms=12.6,
    touch_rate=50.0,
    market_rate=0.6,
    prints_mean=3.2,
    news_takers=0.4,
    branching=0.5,
    deep_median=5.9,
    deep_sigma=1.05,
    change_weights=(0.036, 0.053, 0.122, 0.303, 0.176, 0.112, 0.13, 0.06),
    zero_share=0.43,
    occupancy=(
        (1, 0.07),
        (20, 0.1),
        (70, 0.17),
        (120, 0.26),
        (220, 0.28),
        (430, 0.25),
        (1300, 0.22),
        (7500, 0.13),
        (9000, 0.02),
    ),
    level_lots=((1, 80), (60, 120), (100, 140), (150, 280), (250, 400), (600, 450), (1300, 400), (8000, 600)),
    level_sigma=1.35,
    near_gap=14.0,
    touch_lots=1250.0,
    touch_sigma=0.65,
    touch_order_share=0.05,
    print_lots=((0, 1), (0.1, 1), (0.25, 1), (0.5, 4), (0.75, 25), (0.9, 91), (0.99, 483), (0.999, 1279), (1, 2000)),
    hold_bps=0.45,
    repair_ms=15.0,
    ids_per_change=9,
    ids_per_s=40_000,
    trades_per_s=80,
    premium_bps=-0.5,
    basis_octaves=((30.0, 0.9), (120.0, 1.5), (600.0, 3.0)),
)


def _elsewhere(
    base: MarketParams, instrument_id: str, symbol: str, *, flush_ms: float, lots: float, lot_decimals: int, busy: float
) -> MarketParams:
    """The order flow of a Binance market with another venue's tick, lot and cadence.

    ``lots`` is how many of its lots make one of ``base``, ``busy`` its share of the events. No recording of these
    venues was fitted: shapes are Binance's.
    """
    venue = instrument_id.partition(":")[0].lower()
    spot = ":SPOT:" in instrument_id
    return replace(
        base,
        instrument_id=instrument_id,
        venue=venue,
        symbol=symbol,
        pair=symbol,
        dialect=None,
        lot_decimals=lot_decimals,
        flush_ms=flush_ms,
        touch_rate=base.touch_rate * busy,
        market_rate=base.market_rate * busy,
        deep_median=base.deep_median * busy * flush_ms / base.flush_ms,
        level_lots=tuple((x, y * lots) for x, y in base.level_lots),
        touch_lots=base.touch_lots * lots,
        print_lots=tuple((q, max(1.0, y * lots)) for q, y in base.print_lots),
        premium_bps=0.0 if spot else base.premium_bps,
        basis_octaves=((20.0, 0.3),) if spot else base.basis_octaves,
    )


OKX_MARKETS = (
    _elsewhere(USDM_BTC, "OKX:SPOT:BTC-USDT", "BTC-USDT", flush_ms=100.0, lots=1e5, lot_decimals=8, busy=0.4),
    _elsewhere(
        USDM_BTC, "OKX:PERP:BTC-USDT:LINEAR", "BTC-USDT-SWAP", flush_ms=100.0, lots=10.0, lot_decimals=2, busy=0.5
    ),
    _elsewhere(
        COINM_BTC, "OKX:PERP:BTC-USD:INVERSE", "BTC-USD-SWAP", flush_ms=100.0, lots=10.0, lot_decimals=1, busy=0.8
    ),
)
"""A contract of BTC-USDT-SWAP is 0.01 BTC, one of BTC-USD-SWAP 100 USD."""

BYBIT_MARKETS = (
    _elsewhere(USDM_BTC, "BYBIT:SPOT:BTC-USDT", "BTCUSDT", flush_ms=20.0, lots=1e3, lot_decimals=6, busy=0.3),
    _elsewhere(USDM_BTC, "BYBIT:PERP:BTC-USDT:LINEAR", "BTCUSDT", flush_ms=20.0, lots=1.0, lot_decimals=3, busy=0.5),
    _elsewhere(COINM_BTC, "BYBIT:PERP:BTC-USD:INVERSE", "BTCUSD", flush_ms=20.0, lots=100.0, lot_decimals=0, busy=0.8),
)

MARKETS: dict[str, MarketParams] = {
    m.instrument_id: m for m in (SPOT_BTC, USDM_BTC, COINM_BTC, *OKX_MARKETS, *BYBIT_MARKETS)
}
