"""ccxt, unmodified but for its URLs, trades on every venue's server."""

from __future__ import annotations

from decimal import Decimal

import ccxt
import pytest

from tests.adapters.simserver.trading.conftest import ALL, MARKETS, Bench, exchange_of, trading

pytestmark = [
    # ccxt's own coroutines and parsers warn on this Python; what they warn of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


POOR = {
    "binance": "insufficient balance",
    "binanceusdm": "-2019",
    "binancecoinm": "-2019",
    "okx": "51008",
    "bybit": "110007|170131",
}
"""How a venue says that the money does not suffice."""


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_ccxt_places_amends_finds_and_cancels_a_resting_order(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        placed = await bench.limit(exchange)
        found = await exchange.fetch_order(placed["id"], symbol) if venue != "bybit" else None
        opened = await exchange.fetch_open_orders(symbol)
        assert [one["id"] for one in opened] == [placed["id"]]
        one = found or opened[0]
        assert (one["status"], one["filled"], one["remaining"]) == ("open", 0, float(bench.qty))
        assert one["price"] == float(bench.price_at(100))

        amended = await exchange.edit_order(
            placed["id"], symbol, "limit", "buy", float(bench.qty), float(bench.price_at(200))
        )
        (still,) = await exchange.fetch_open_orders(symbol)
        assert still["price"] == float(bench.price_at(200))
        assert still["id"] == amended["id"]
        assert (amended["id"] == placed["id"]) is (venue != "binance")

        await exchange.cancel_order(amended["id"], symbol)
        assert await exchange.fetch_open_orders(symbol) == []
        with pytest.raises((ccxt.OrderNotFound, ccxt.InvalidOrder)):
            await exchange.cancel_order(amended["id"], symbol)


def wanting(side, qty):
    """A signed amount."""
    return qty if side == "buy" else -qty


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_ccxt_takes_the_book_and_the_account_shows_it(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        before = server.account.exchange.account.balance(bench.instrument.base)
        bought = await bench.at_market(exchange)
        taken = await bench.limit(exchange, bps=-50, timeInForce="IOC")
        orders = {one["id"]: one for one in await exchange.fetch_closed_orders(symbol)} if venue != "okx" else {}
        for one in (bought, taken):
            if orders:
                assert orders[one["id"]]["status"] == "closed"
                # Spot market orders of Bybit are in quote currency: what they buy depends on the book.
                assert orders[one["id"]]["filled"] == pytest.approx(float(bench.qty), rel=2e-3)
        trades = await exchange.fetch_my_trades(symbol)
        assert {trade["order"] for trade in trades} == {bought["id"], taken["id"]}
        assert sum(trade["amount"] for trade in trades) == pytest.approx(float(2 * bench.qty), rel=2e-3)
        assert {trade["takerOrMaker"] for trade in trades} == {"taker"}
        assert all(trade["fee"]["cost"] > 0 for trade in trades)

        balance = await exchange.fetch_balance()
        account = server.account.exchange.account
        if bench.spot:
            assert account.balance(bench.instrument.base) > before
            assert balance[bench.instrument.base]["total"] == pytest.approx(float(account.balance("BTC")))
            return
        (position,) = [one for one in await exchange.fetch_positions([symbol]) if one["contracts"]]
        assert (position["side"], position["contracts"]) == ("long", float(2 * bench.qty))
        at = float(bench.price_at(0))
        assert position["entryPrice"] == pytest.approx(at, rel=1e-3)
        closed = await bench.at_market(exchange, "sell", 2 * bench.qty, reduceOnly=True)
        assert closed["id"] not in {bought["id"], taken["id"]}
        assert [one for one in await exchange.fetch_positions([symbol]) if one["contracts"]] == []


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_post_only_never_takes_and_what_rests_is_canceled_at_once(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        resting = [await bench.limit(exchange, bps=bps, postOnly=True) for bps in (100, 150, 200)]
        try:
            crossing = await bench.limit(exchange, bps=-10, postOnly=True)
        except ccxt.ExchangeError:
            crossing = None
        opened = await exchange.fetch_open_orders(symbol)
        assert {one["id"] for one in opened} == {one["id"] for one in resting}
        assert crossing is None or crossing["id"] not in {one["id"] for one in opened}
        assert await exchange.fetch_my_trades(symbol) == []
        if venue == "okx":
            await exchange.cancel_orders([one["id"] for one in resting], symbol)
        else:
            await exchange.cancel_all_orders(symbol)
        assert await exchange.fetch_open_orders(symbol) == []
        assert server.account.working() == []


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_a_refusal_is_in_the_words_that_ccxt_knows(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        server.account.exchange.account.balances.update(dict.fromkeys(("USDT", "BTC"), Decimal(0)))
        with pytest.raises(ccxt.ExchangeError, match=POOR[venue]):
            await bench.limit(exchange)
        server.account.exchange.account.balances.update(dict.fromkeys(("USDT", "BTC"), Decimal(100_000)))
        one = await bench.limit(exchange, clientOrderId="mine1")
        with pytest.raises(ccxt.ExchangeError, match=r"(?i)duplicate|exist"):
            await bench.limit(exchange, clientOrderId="mine1")
        assert [order["id"] for order in await exchange.fetch_open_orders(symbol)] == [one["id"]]
        if not bench.spot:
            with pytest.raises((ccxt.InvalidOrder, ccxt.ExchangeError)):
                await bench.at_market(exchange, "sell", reduceOnly=True)


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_several_orders_go_and_come_back_in_one_request(venue, symbol):
    if (venue, symbol) in {("binance", "BTC/USDT"), ("bybit", "BTC/USD:BTC")}:
        pytest.skip("no batches there, or ccxt has none")
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        wanted = [
            {
                "symbol": symbol,
                "type": "limit",
                "side": "buy",
                "amount": float(bench.qty),
                "price": float(bench.price_at(bps)),
            }
            for bps in (100, 120, 140)
        ]
        placed = await exchange.create_orders(wanted)
        assert len({one["id"] for one in placed}) == 3
        await exchange.cancel_orders([one["id"] for one in placed[:2]], symbol)
        assert [one["id"] for one in await exchange.fetch_open_orders(symbol)] == [placed[2]["id"]]


@pytest.mark.parametrize("venue", ["binanceusdm", "binancecoinm", "okx", "bybit"])
async def test_leverage_and_position_mode_are_asked_and_set(venue):
    async with trading(venue) as server, exchange_of(server) as exchange:
        symbol = next(name for name in reversed(MARKETS[venue]) if ":" in name)
        market = Bench(server, symbol).market
        await exchange.set_leverage(7, symbol, {"mgnMode": "cross"} if venue == "okx" else {})
        assert server.account.leverage_of(market) == 7
        if venue != "bybit":
            assert (await exchange.fetch_position_mode(symbol))["hedged"] is False
