"""What a protective exit is to be: distances, pauses, whose price is watched. Numbers and their checks only."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum

import msgspec

_HUNDRED = Decimal(100)


class Watched(Enum):
    """Whose price the desk watches; TOUCH is the best price at which the position could be closed now.

    The others give way to TOUCH where they are older than `ExitPolicy.stale_ms`: a mute stream protects nobody.
    """

    MARK = "mark"
    LAST = "last"
    INDEX = "index"
    TOUCH = "touch"


class AtVenue(Enum):
    """What a venue holds of a position's exits, where it is asked to hold any."""

    STOP_LOSS = "stop_loss"
    OCO = "oco"  # the take-profit too: one cancels the other


class ExitPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How far from the average entry a position is closed; 0 leaves that side out.

    ``*_pct`` are per cent of the entry; ``*_atr`` are average true ranges of one-minute bars and, once these are known,
    take the place of the per cent. After an exit nothing is opened for ``cooldown_ms``; an exit that is not done within
    ``stuck_ms`` is told and stops new risk on its instrument.
    """

    stop_loss_pct: Decimal = Decimal(2)
    take_profit_pct: Decimal = Decimal(4)
    stop_loss_atr: Decimal = Decimal(0)
    take_profit_atr: Decimal = Decimal(0)
    watched: Watched = Watched.MARK
    at_venue: AtVenue = AtVenue.STOP_LOSS
    stale_ms: int = 5_000
    cooldown_ms: int = 30_000
    stuck_ms: int = 300_000

    def __post_init__(self) -> None:
        for name in ("stop_loss_pct", "take_profit_pct", "stop_loss_atr", "take_profit_atr"):
            value = getattr(self, name)
            if not (value.is_finite() and value >= 0):
                raise ValueError(f"{name}: {value} must be a finite number, not negative; 0 leaves it out")
        for name in ("stop_loss_pct", "take_profit_pct"):
            if getattr(self, name) >= _HUNDRED:
                raise ValueError(f"{name}: {getattr(self, name)} must be below 100 per cent")
        if not (self.stop_loss_pct or self.take_profit_pct):
            raise ValueError("stop_loss_pct: it and take_profit_pct are both 0, which protects nothing; name one")
        for name in ("stale_ms", "cooldown_ms", "stuck_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")


class AtrPreset(msgspec.Struct, frozen=True):
    """Distances in average true ranges and the pause after an exit."""

    stop_loss_atr: Decimal
    take_profit_atr: Decimal
    cooldown_ms: int


PRESETS: Mapping[str, AtrPreset] = {
    "conservative": AtrPreset(Decimal(2), Decimal(1), 45_000),
    "moderate": AtrPreset(Decimal("1.5"), Decimal("1.5"), 30_000),
    "aggressive": AtrPreset(Decimal(1), Decimal(2), 20_000),
}
"""The named policies of the specification (V-RISK-1)."""


def preset(name: str, base: ExitPolicy) -> ExitPolicy:
    """``base`` with the distances and the pause of a named policy; ``ValueError`` for a name that is none."""
    chosen = PRESETS.get(name)
    if chosen is None:
        raise ValueError(f"policy: {name!r} is none of {', '.join(sorted(PRESETS))}")
    return msgspec.structs.replace(
        base,
        stop_loss_atr=chosen.stop_loss_atr,
        take_profit_atr=chosen.take_profit_atr,
        cooldown_ms=chosen.cooldown_ms,
    )
