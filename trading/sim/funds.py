"""Whether an account can pay for one more order: free balances of spot, free margin of contracts.

What open orders lock is computed from the orders each time, so it cannot drift from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from trading.instruments import Instrument
from trading.market.events import MarkPrice
from trading.orders.messages import Side
from trading.sim.account import ZERO, Account, initial_margin, unrealised
from trading.sim.config import SimConfig
from trading.sim.fees import value_of
from trading.sim.matching import Market
from trading.sim.state import SimOrder


class Purse(Protocol):
    """What has to be known of an exchange to judge its account's funds."""

    account: Account
    config: SimConfig
    markets: dict[str, Market]
    marks: dict[str, MarkPrice]
    leverage: dict[str, Decimal]
    """By instrument, where it is not the configured one."""


def free_balance(purse: Purse, asset: str, orders: Iterable[SimOrder]) -> Decimal:
    """The balance of ``asset`` less what ``orders`` of spot instruments lock: quote for buys, base for sells."""
    locked = ZERO
    for order in orders:
        market = purse.markets[order.instrument_id]
        if not market.is_contract and (not order.waits or purse.config.waiting_locks):
            locked += _locked(market.instrument, order, asset)
    return purse.account.balance(asset) - locked


def _locked(instrument: Instrument, order: SimOrder, asset: str) -> Decimal:
    qty = instrument.qty(order.open_lots)
    if order.side is Side.SELL:
        return qty if asset == instrument.base else ZERO
    if order.price_ticks is None or asset != instrument.quote:
        return ZERO
    return value_of(instrument, qty, instrument.price(order.price_ticks))


def grows_exposure(market: Market, account: Account, orders: Iterable[SimOrder], side: Side, qty: Decimal) -> bool:
    """Whether one more order lets the position become larger, in either direction, than it already may."""
    held = account.position(market.instrument.instrument_id).qty
    buys, sells = _leaves(market.instrument, orders)
    before = max(abs(held), held + buys, sells - held)
    after = held + buys + qty if side is Side.BUY else sells + qty - held
    return after > before


def free_margin_after(
    purse: Purse, market: Market, orders: Iterable[SimOrder], side: Side, qty: Decimal, *, price: Decimal | None
) -> Decimal:
    """Wallet and unrealised PnL of the settlement asset less all initial margin, with one more order in place."""
    settle = market.instrument.settle
    orders = list(orders)
    free = purse.account.balance(settle)
    for other in purse.markets.values():
        instrument = other.instrument
        if not other.is_contract or instrument.settle != settle:
            continue
        position = purse.account.position(instrument.instrument_id)
        buys, sells = _leaves(instrument, orders)
        if other is market:
            buys += qty if side is Side.BUY else ZERO
            sells += qty if side is Side.SELL else ZERO
        if position.qty == 0 and buys == 0 and sells == 0:
            continue
        px = _margin_price(purse, other, orders, price if other is market else None)
        if px is None:
            continue
        free -= initial_margin(
            instrument,
            position_qty=position.qty,
            buy_leaves=buys,
            sell_leaves=sells,
            px=px,
            leverage=purse.leverage.get(instrument.instrument_id, purse.config.leverage),
        )
        free += unrealised(position, instrument, px) if instrument.instrument_id in purse.marks else ZERO
    return free


def _margin_price(purse: Purse, market: Market, orders: Iterable[SimOrder], price: Decimal | None) -> Decimal | None:
    """The mark, else the order's price, else the best price displayed, else that of an open order."""
    mark = purse.marks.get(market.instrument.instrument_id)
    if mark is not None:
        return mark.mark_price
    if price is not None:
        return price
    best = market.best_opposite(Side.BUY) or market.best_opposite(Side.SELL)
    if best is not None:
        return market.instrument.price(best[0])
    for order in orders:
        if order.instrument_id == market.instrument.instrument_id and order.price_ticks is not None:
            return market.instrument.price(order.price_ticks)
    return None


def _leaves(instrument: Instrument, orders: Iterable[SimOrder]) -> tuple[Decimal, Decimal]:
    """Open quantities to buy and to sell; reduce-only orders cannot add exposure and do not count.

    Nor do those that wait for a trigger: their margin is asked for when it comes.
    """
    lots = {Side.BUY: 0, Side.SELL: 0}
    for order in orders:
        if order.instrument_id == instrument.instrument_id and not order.reduce_only and not order.waits:
            lots[order.side] += order.open_lots
    return instrument.qty(lots[Side.BUY]), instrument.qty(lots[Side.SELL])
