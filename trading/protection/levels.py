"""Where a position is to be closed: prices from its real average entry, and whether one has come.

Pure arithmetic. Prices lie on the instrument's grid, rounded towards the entry: an exit comes a tick too early rather
than too late.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum

import msgspec

from trading.instruments import Instrument
from trading.orders.messages import OrdType, Side
from trading.orders.triggers import reached
from trading.protection.policy import ExitPolicy

_HUNDRED = Decimal(100)


class ExitReason(Enum):
    """Which level was reached."""

    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"


WORDS = {ExitReason.STOP_LOSS: "stop", ExitReason.TAKE_PROFIT: "take-profit"}
"""What an order that closes at such a level is called."""


class Distances(msgspec.Struct, frozen=True):
    """How far the levels are from the entry: a price where ``*_atr`` is not None, else per cent; 0 is no level.

    Fixed when the entry is planned, so that a restart finds the same levels whatever the market did since.
    """

    stop_loss_pct: Decimal
    take_profit_pct: Decimal
    stop_loss_atr: Decimal | None = None
    take_profit_atr: Decimal | None = None


class Levels(msgspec.Struct, frozen=True):
    """Both exits of one position; None where there is none."""

    entry_px: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None


def distances(policy: ExitPolicy, atr: Decimal | None) -> Distances:
    """What a policy comes to now; ``atr`` is the average true range in price, None while it is not known."""
    stop_atr = policy.stop_loss_atr * atr if atr and policy.stop_loss_atr else None
    take_atr = policy.take_profit_atr * atr if atr and policy.take_profit_atr else None
    return Distances(policy.stop_loss_pct, policy.take_profit_pct, stop_atr, take_atr)


def levels(instrument: Instrument, side: Side, entry_px: Decimal, far: Distances) -> Levels:
    """The exits of a position that was opened by ``side`` at an average of ``entry_px``."""
    stop = entry_px * far.stop_loss_pct / _HUNDRED if far.stop_loss_atr is None else far.stop_loss_atr
    take = entry_px * far.take_profit_pct / _HUNDRED if far.take_profit_atr is None else far.take_profit_atr
    return Levels(
        entry_px,
        _on_grid(instrument, entry_px - side.sign * stop, up=side is Side.BUY) if stop else None,
        _on_grid(instrument, entry_px + side.sign * take, up=side is Side.SELL) if take else None,
    )


def due(at: Levels, side: Side, price: Decimal) -> ExitReason | None:
    """Which exit of a position that was opened by ``side`` a price sets off; the stop goes first."""
    if at.stop_loss is not None and reached(OrdType.STOP, side.opposite, at.stop_loss, price):
        return ExitReason.STOP_LOSS
    if at.take_profit is not None and reached(OrdType.TAKE_PROFIT, side.opposite, at.take_profit, price):
        return ExitReason.TAKE_PROFIT
    return None


def _on_grid(instrument: Instrument, price: Decimal, *, up: bool) -> Decimal | None:
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    ticks = (price / instrument.tick_size).to_integral_value(rounding=rounding)
    return ticks * instrument.tick_size if ticks > 0 else None
