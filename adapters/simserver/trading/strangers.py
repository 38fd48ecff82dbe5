"""What others do to the account: foreign orders, a hand on the screen, liquidation, auto-deleveraging."""

from __future__ import annotations

import fnmatch
from itertools import cycle, islice

from adapters.simserver.feed import Market
from adapters.simserver.knob import Knob
from adapters.simserver.order_faults import ExternalFill, ForeignOrder, Liquidation
from adapters.simserver.trading.account import TradingAccount
from trading.instruments import InstrumentKind
from trading.orders.messages import OrdType, Side, TimeInForce


def act_on(account: TradingAccount, fault: Knob) -> None:
    """Let a fault that came into force do what it says, and be over; others change nothing."""
    markets = [
        market
        for key, market in account.markets.items()
        if not fault.topics or any(fnmatch.fnmatchcase(key, glob) for glob in fault.topics)
    ]
    match fault:
        case ForeignOrder():
            for market in islice(cycle(markets), fault.orders if markets else 0):
                _foreign(account, market, fault)
                account.faults.note(fault, market.key)
        case ExternalFill():
            for market in islice(cycle(markets), fault.orders if markets else 0):
                account.force_fill(market, Side(fault.side), fault.lots, account.new_id("web_"))
                account.faults.note(fault, market.key)
        case Liquidation():
            for market in [one for one in markets if _held(account, one)][: fault.positions]:
                _liquidate(account, market, fault)
                account.faults.note(fault, market.key)
        case _:
            return
    account.faults.end(fault)


def _held(account: TradingAccount, market: Market) -> int:
    """Signed lots of a contract; 0 on spot."""
    instrument = market.instrument
    if instrument.kind is InstrumentKind.SPOT:
        return 0
    return instrument.lots_floor(account.exchange.account.position(instrument.instrument_id).qty)


def _foreign(account: TradingAccount, market: Market, fault: ForeignOrder) -> None:
    side, instrument = Side(fault.side), market.instrument
    bids, asks = market.book.top(1)
    levels = bids if side is Side.BUY else asks
    best = levels[0][0] if levels else market.last_ticks
    account.place(
        market,
        side=side,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        qty=instrument.qty(fault.lots),
        price=instrument.price(best * (10_000 - side.sign * fault.away_bps) // 10_000),
        cl_ord_id=account.new_id("web_"),
    )


def _liquidate(account: TradingAccount, market: Market, fault: Liquidation) -> None:
    lots = _held(account, market)
    closed = max(1, round(abs(lots) * fault.share))
    prefix = "autoclose-" if fault.how == "liquidation" else "adl_autoclose~"
    account.force_fill(market, Side.SELL if lots > 0 else Side.BUY, closed, account.new_id(prefix))
