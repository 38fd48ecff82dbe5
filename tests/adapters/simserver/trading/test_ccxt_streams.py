"""ccxt.pro, unmodified but for its URLs, hears of its orders and trades on every venue's private streams."""

from __future__ import annotations

import asyncio

import ccxt.pro as ccxt_pro
import pytest

from tests.adapters.simserver.trading.conftest import ALL, Bench, exchange_of, trading

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


async def heard(watch, condition):
    """The first row of a stream for which a condition holds."""
    async with asyncio.timeout(15):
        while True:
            for row in await watch():
                if condition(row):
                    return row


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_ccxt_pro_watches_orders_and_trades(venue, symbol):
    async with trading(venue) as server, exchange_of(server, ccxt_pro) as exchange:
        bench = Bench(server, symbol)
        waiting = asyncio.ensure_future(
            heard(lambda: exchange.watch_orders(symbol), lambda row: row["status"] == "open")
        )
        trades = asyncio.ensure_future(heard(lambda: exchange.watch_my_trades(symbol), lambda row: row["amount"]))
        async with asyncio.timeout(10):
            while not server.trading.listeners():
                await asyncio.sleep(0)
        placed = await bench.limit(exchange)
        seen = await waiting
        assert (seen["id"], seen["amount"], seen["price"]) == (
            placed["id"],
            float(bench.qty),
            float(bench.price_at(100)),
        )

        price = float(bench.price_at(200))
        moved = asyncio.ensure_future(heard(lambda: exchange.watch_orders(symbol), lambda row: row["price"] == price))
        placed = await exchange.edit_order(placed["id"], symbol, "limit", "buy", float(bench.qty), price)
        assert (await moved)["id"] == placed["id"]

        gone = asyncio.ensure_future(
            heard(lambda: exchange.watch_orders(symbol), lambda row: row["status"] == "canceled")
        )
        await exchange.cancel_order(placed["id"], symbol)
        assert (await gone)["id"] == placed["id"]

        bought = await bench.at_market(exchange)
        trade = await trades
        assert (trade["order"], trade["side"]) == (bought["id"], "buy")
        own = await exchange.fetch_my_trades(symbol)
        assert trade["id"] in {one["id"] for one in own}
