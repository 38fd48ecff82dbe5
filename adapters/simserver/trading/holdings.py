"""Positions and balances of an account as numbers, for every venue's rows: entry, mark, PnL, margins, what is free.

Pure reading of one exchange. Maintenance margin is a flat share of the position's value; there are no brackets.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from adapters.simserver.trading.account import TradingAccount
from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import Side
from trading.sim.account import Position, initial_margin, unrealised
from trading.sim.fees import money, value_of
from trading.sim.funds import free_balance, free_margin_after
from trading.sim.inplace import InPlaceExchange

ZERO = Decimal(0)
MAINTENANCE = Decimal("0.004")


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One position. ``qty`` is signed, in the venue's quantity unit; ``value`` is signed, in the settlement asset."""

    instrument: Instrument
    key: str
    qty: Decimal
    entry: Decimal
    mark: Decimal
    pnl: Decimal
    value: Decimal
    leverage: Decimal
    initial: Decimal
    maintenance: Decimal
    updated_ns: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One asset. ``wallet`` is the total; ``locked`` is what open spot orders hold; ``free`` is what may be used."""

    asset: str
    wallet: Decimal
    locked: Decimal
    free: Decimal
    pnl: Decimal = ZERO
    initial: Decimal = ZERO
    maintenance: Decimal = ZERO

    @property
    def margin(self) -> Decimal:
        """Wallet and unrealised PnL."""
        return self.wallet + self.pnl


def holdings(account: TradingAccount) -> list[Holding]:
    """Every contract of the venue, flat ones among them."""
    exchange = account.exchange
    return [
        _holding(account, exchange, market.instrument, key)
        for key, market in account.markets.items()
        if market.instrument.kind is not InstrumentKind.SPOT
    ]


def _holding(account: TradingAccount, exchange: InPlaceExchange, instrument: Instrument, key: str) -> Holding:
    position = exchange.account.position(instrument.instrument_id)
    mark = mark_price(account, key)
    leverage = account.leverage_of(account.markets[key])
    value = value_of(instrument, position.qty, mark) if position.qty and mark else ZERO
    buys = instrument.qty(_leaves(exchange, instrument, Side.BUY))
    sells = instrument.qty(_leaves(exchange, instrument, Side.SELL))
    initial = (
        initial_margin(
            instrument, position_qty=position.qty, buy_leaves=buys, sell_leaves=sells, px=mark, leverage=leverage
        )
        if mark
        else ZERO
    )
    return Holding(
        instrument=instrument,
        key=key,
        qty=position.qty,
        entry=entry_price(instrument, position),
        mark=mark,
        pnl=unrealised(position, instrument, mark) if position.qty and mark else ZERO,
        value=value,
        leverage=leverage,
        initial=initial,
        maintenance=money(abs(value) * MAINTENANCE),
        updated_ns=account.touched_ns.get(instrument.instrument_id, 0),
    )


def _leaves(exchange: InPlaceExchange, instrument: Instrument, side: Side) -> int:
    return sum(
        order.open_lots
        for order in exchange.markets[instrument.instrument_id].orders
        if order.side is side and not order.reduce_only
    )


def entry_price(instrument: Instrument, position: Position) -> Decimal:
    """The average price at which a position was opened; 0 when flat."""
    if not position.qty or not position.cost:
        return ZERO
    if instrument.kind is InstrumentKind.INVERSE:
        return position.qty * instrument.multiplier / position.cost
    return position.cost / (position.qty * instrument.multiplier)


def mark_price(account: TradingAccount, key: str) -> Decimal:
    """The mark, else the last price."""
    market = account.markets[key]
    mark = account.exchange.marks.get(market.instrument.instrument_id)
    return market.instrument.price(market.last_ticks) if mark is None else mark.mark_price


def balances(account: TradingAccount) -> list[Balance]:
    """Every asset that the account has or its contracts settle in."""
    exchange = account.exchange
    held = holdings(account)
    assets = dict.fromkeys([*exchange.account.balances, *(one.instrument.settle for one in held)])
    return [_balance(account, exchange, asset, [h for h in held if h.instrument.settle == asset]) for asset in assets]


def _balance(account: TradingAccount, exchange: InPlaceExchange, asset: str, held: list[Holding]) -> Balance:
    wallet = exchange.account.balance(asset)
    open_orders = list(exchange.open.values())
    unlocked = free_balance(exchange, asset, open_orders)
    free = unlocked
    if held:
        place = exchange.markets[held[0].instrument.instrument_id]
        margin = free_margin_after(exchange, place, open_orders, Side.BUY, ZERO, price=None)
        free = min(free, margin)
    return Balance(
        asset=asset,
        wallet=wallet,
        locked=wallet - unlocked,
        free=max(ZERO, free),
        pnl=sum((one.pnl for one in held), ZERO),
        initial=sum((one.initial for one in held), ZERO),
        maintenance=sum((one.maintenance for one in held), ZERO),
    )
