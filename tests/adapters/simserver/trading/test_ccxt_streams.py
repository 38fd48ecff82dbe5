"""ccxt.pro, unmodified but for its URLs, hears of its orders and trades on every venue's private streams."""

from __future__ import annotations

import asyncio

import ccxt.pro as ccxt_pro
import pytest

from tests.adapters.simserver.trading.conftest import ALL, Bench, S, dialled, exchange_of, trading
from tests.waiting import until

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Watching:
    """Watches orders and trades of a symbol, as a desk does, for as long as the test needs.

    What comes between two calls of ``watch_..`` is kept by ccxt and not told by itself: it is looked up there.
    """

    def __init__(self, exchange, symbol):
        self.exchange = exchange
        self.symbol = symbol
        self.orders = []
        self.trades = []
        self.tasks = [
            asyncio.ensure_future(self._watch(exchange.watch_orders, self.orders)),
            asyncio.ensure_future(self._watch(exchange.watch_my_trades, self.trades)),
        ]

    async def _watch(self, watch, into):
        while True:
            into += await watch(self.symbol)

    async def order(self, condition):
        return await self._found(condition, lambda: [*self.orders, *(self.exchange.orders or ())])

    async def trade(self, condition):
        return await self._found(condition, lambda: [*self.trades, *(self.exchange.myTrades or ())])

    async def _found(self, condition, rows):
        await until(lambda: any(map(condition, rows())) or self._failed())
        return next(filter(condition, rows()))

    def _failed(self):
        return [task.result() for task in self.tasks if task.done()]

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_ccxt_pro_watches_orders_and_trades(venue, symbol):
    async with trading(venue) as server, exchange_of(server, ccxt_pro) as exchange:
        bench = Bench(server, symbol)
        watching = Watching(exchange, symbol)
        try:
            await until(server.trading.listeners)
            placed = await bench.limit(exchange)
            seen = await watching.order(lambda row: row["status"] == "open")
            assert (seen["id"], seen["amount"], seen["price"]) == (
                placed["id"],
                float(bench.qty),
                float(bench.price_at(100)),
            )

            price = float(bench.price_at(200))
            placed = await exchange.edit_order(placed["id"], symbol, "limit", "buy", float(bench.qty), price)
            assert (await watching.order(lambda row: row["price"] == price))["id"] == placed["id"]

            await exchange.cancel_order(placed["id"], symbol)
            await watching.order(lambda row: (row["id"], row["status"]) == (placed["id"], "canceled"))

            bought = await bench.at_market(exchange)
            trade = await watching.trade(lambda row: row["amount"])
            assert (trade["order"], trade["side"]) == (bought["id"], "buy")
            own = await exchange.fetch_my_trades(symbol)
            assert trade["id"] in {one["id"] for one in own}
            await until(lambda: watching.orders and watching.trades)  # told, and not only looked up
        finally:
            await watching.end()


@pytest.mark.parametrize("venue", ["binanceusdm", "okx", "bybit"])
async def test_funding_that_is_paid_while_somebody_watches_positions_ends_no_stream(venue):
    async with dialled(venue) as (server, dial), exchange_of(server, ccxt_pro) as exchange:
        bench = Bench(server, "BTC/USDT:USDT")
        watching = Watching(exchange, bench.symbol)
        positions = asyncio.ensure_future(exchange.watch_positions())
        try:
            await until(server.trading.listeners)
            await bench.at_market(exchange)
            await watching.trade(lambda row: row["side"] == "buy")
            server.account.on_second()
            dial.ahead_ns += 9 * 3600 * S
            server.account.on_second()
            assert len(server.account.fundings()) == 1
            await until(positions.done)
        finally:
            positions.cancel()
            await watching.end()
