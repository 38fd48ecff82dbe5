"""The trading side of each venue that can be simulated."""

from __future__ import annotations

from adapters.simserver.hub import Hub
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_orders import BinanceTrading
from adapters.simserver.trading.bybit_orders import BybitTrading
from adapters.simserver.trading.okx_orders import OkxTrading
from adapters.simserver.trading.wire import TradingSide


def open_trading(venue: str, account: TradingAccount, hub: Hub) -> TradingSide:
    """The orders and the account of one venue in its own words."""
    match venue:
        case "okx":
            return OkxTrading(account, hub)
        case "bybit":
            return BybitTrading(account, hub)
        case _:
            return BinanceTrading(venue, account, hub)
