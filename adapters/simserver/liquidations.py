"""Which prints of a perpetual's tape were liquidations: a fixed share, chosen by the trade's id alone."""

from __future__ import annotations

from adapters.synthetic.latent import mix

ONE_IN = 64


def is_liquidation(trade_id: int) -> bool:
    """Whether the taker of this trade was liquidated."""
    return mix(trade_id) % ONE_IN == 0
