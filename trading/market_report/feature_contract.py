"""The contract of the features that `trading.features.board` keeps: which there are and within what they must lie.

Owns the ranges; the rules are `trading.market.contracts`'s.
"""

from __future__ import annotations

from typing import Final

from trading.features.board import FeatureSpec
from trading.market.contracts import Contract
from trading.market.data_contracts import feature_contract

Range = tuple[float | None, float | None]

_ANY: Final[Range] = (None, None)
_POSITIVE: Final[Range] = (0.0, None)
_SHARE: Final[Range] = (0.0, 1.0)
_TILT: Final[Range] = (-1.0, 1.0)

RANGES: Final[dict[str, Range]] = {
    **dict.fromkeys(("mid", "microprice", "vwap", "ema", "profile_point", "profile_low", "profile_high"), _POSITIVE),
    **dict.fromkeys(("atr", "volatility", "open_interest", "liquidated_longs", "liquidated_shorts"), _POSITIVE),
    **dict.fromkeys(("queue_imbalance", "depth_imbalance", "liquidation_imbalance", "basis"), _TILT),
    "long_share": _SHARE,
    "rsi": (0.0, 100.0),
    "funding_a_year": (-1_000.0, 1_000.0),
    **dict.fromkeys(("ofi_lots", "cvd_lots", "volume_delta_lots", "open_interest_change", "kyle_lambda"), _ANY),
    **dict.fromkeys(("macd", "macd_signal", "macd_histogram", "bollinger_low", "bollinger_high"), _ANY),
    **dict.fromkeys(("bollinger_b", "z_score", "skewness", "kurtosis"), _ANY),
}
"""By name, (least, most); None: any finite number. Those of bands and sizes are named by `board_contract`."""


def board_contract(spec: FeatureSpec | None = None) -> Contract:
    """The contract "features" of a board of this spec."""
    wanted = spec or FeatureSpec()
    bands = {f"{side}_lots_{bps:g}bps": _POSITIVE for bps in wanted.bands_bps for side in ("bid", "ask")}
    sweeps = {f"{side}_{lots}_lots_bps": _ANY for lots in wanted.sizes_lots for side in ("buy", "sell")}
    impacts = {f"impact_{lots}_lots_ticks": _ANY for lots in wanted.sizes_lots}
    return feature_contract("features", {**RANGES, **bands, **sweeps, **impacts})
