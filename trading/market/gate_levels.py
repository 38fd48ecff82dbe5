"""Which level of brake a gate's word asks for. NOTICE only tells, and has none."""

from __future__ import annotations

from typing import Final

from trading.brakes import Level
from trading.market.gate_rules import GateLevel

BRAKE_LEVELS: Final = {
    GateLevel.SAFE: int(Level.SAFE),
    GateLevel.PAUSE: int(Level.PAUSE),
    GateLevel.HOLD: int(Level.HOLD),
}
