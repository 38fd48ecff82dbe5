"""Balances and positions of one simulated account, exact to `fees.MONEY_QUANTUM`.

Owns what an execution, a fee and a funding settlement do to them. Does not own orders: what these lock is given as
an argument. No liquidation: a wallet may go below its maintenance margin.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import Side
from trading.sim.fees import money, value_of

ZERO = Decimal(0)


class Position(msgspec.Struct, frozen=True):
    """Signed ``qty`` and what it cost, with the same sign: in quote currency for linear, in base coin for inverse."""

    qty: Decimal = ZERO
    cost: Decimal = ZERO


FLAT = Position()


def inverse_pnl(signed_qty: Decimal, multiplier: Decimal, entry_px: Decimal, exit_px: Decimal) -> Decimal:
    """``qty * multiplier * (1/entry - 1/exit)`` in base coin, each of the two coin values rounded by `money`.

    Rounding the values and not their difference is what lets the sum over partial fills equal the whole.
    """
    return money(signed_qty * multiplier / entry_px) - money(signed_qty * multiplier / exit_px)


def apply_fill(
    position: Position, instrument: Instrument, signed_qty: Decimal, px: Decimal
) -> tuple[Position, Decimal]:
    """The position after a fill and the PnL it realised, in the settlement asset.

    A partial close takes its share of the cost, rounded by `money`; the last close takes what is left, so rounding
    never accumulates. A fill that flips the position closes all of it and opens the rest.
    """
    if position.qty == 0 or (position.qty > 0) == (signed_qty > 0):
        cost = position.cost + value_of(instrument, signed_qty, px)
        return Position(position.qty + signed_qty, cost), ZERO
    if abs(signed_qty) < abs(position.qty):
        cost_share = money(position.cost * abs(signed_qty) / abs(position.qty))
        left = Position(position.qty + signed_qty, position.cost - cost_share)
        return left, _realised(instrument, cost_share, value_of(instrument, signed_qty, px))
    opened = position.qty + signed_qty
    left = Position(opened, value_of(instrument, opened, px)) if opened else FLAT
    return left, _realised(instrument, position.cost, value_of(instrument, -position.qty, px))


def _realised(instrument: Instrument, cost: Decimal, exit_value: Decimal) -> Decimal:
    """``cost`` and ``exit_value`` have opposite signs, so their sum is the difference, for long and for short."""
    return cost + exit_value if instrument.kind is InstrumentKind.INVERSE else -(cost + exit_value)


def unrealised(position: Position, instrument: Instrument, mark: Decimal) -> Decimal:
    """What closing at ``mark`` would realise, before fees."""
    return _realised(instrument, position.cost, value_of(instrument, -position.qty, mark))


def funding_amount(instrument: Instrument, qty: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """What a position of signed ``qty`` receives (negative: pays) at a settlement: longs pay a positive rate."""
    return -money(value_of(instrument, qty, mark) * rate)


def initial_margin(
    instrument: Instrument,
    *,
    position_qty: Decimal,
    buy_leaves: Decimal,
    sell_leaves: Decimal,
    px: Decimal,
    leverage: Decimal,
) -> Decimal:
    """Margin for the larger of both exposures that position and open orders can grow to, in the settlement asset."""
    exposure = max(abs(position_qty), position_qty + buy_leaves, sell_leaves - position_qty)
    return money(value_of(instrument, exposure, px) / leverage)


class Account:
    """The mutable account: ``balances`` are totals (free and locked), contracts' PnL is in the settlement asset."""

    def __init__(self, balances: dict[str, Decimal]) -> None:
        self.balances = dict(balances)
        self.positions: dict[str, Position] = {}

    def balance(self, asset: str) -> Decimal:
        """The total of ``asset``; 0 for one never held."""
        return self.balances.get(asset, ZERO)

    def position(self, instrument_id: str) -> Position:
        """The position, flat when never held."""
        return self.positions.get(instrument_id, FLAT)

    def credit(self, asset: str, amount: Decimal) -> None:
        """Add ``amount`` (negative: take)."""
        self.balances[asset] = self.balance(asset) + amount

    def fill(
        self, instrument: Instrument, side: Side, qty: Decimal, px: Decimal, *, fee: Decimal, fee_asset: str
    ) -> None:
        """Book one execution and its fee."""
        if instrument.kind is InstrumentKind.SPOT:
            self.credit(instrument.base, qty * side.sign)
            self.credit(instrument.quote, -value_of(instrument, qty, px) * side.sign)
        else:
            position = self.position(instrument.instrument_id)
            self.positions[instrument.instrument_id], pnl = apply_fill(position, instrument, qty * side.sign, px)
            self.credit(instrument.settle, pnl)
        self.credit(fee_asset, -fee)
