"""ccxt, unmodified but for its URLs, has stops on every venue's server: held, listed, canceled, triggered, refused."""

from __future__ import annotations

import ccxt
import pytest

from tests.adapters.simserver.trading.conftest import ALL, Bench, exchange_of, trading
from trading.orders.messages import TriggerPriceType

pytestmark = [
    # ccxt's own coroutines and parsers warn on this Python; what they warn of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
CONTRACTS = [(venue, symbol) for venue, symbol in ALL if ":" in symbol]


async def stop(exchange, bench, *, far_bps=300):
    """A stop that sells at market, as ccxt says it: reduce-only on contracts."""
    at = float(bench.price_at(far_bps))
    if bench.spot:
        if exchange.id == "okx":
            params = {"stopLossPrice": at, "tgtCcy": "base_ccy", "tdMode": "cash"}
        else:
            params = {"stopPrice" if exchange.id == "binance" else "triggerPrice": at}
        # Binance has stops at market on spot; ccxt says them by their own type.
        kind = "STOP_LOSS" if exchange.id == "binance" else "market"
        return await exchange.create_order(bench.symbol, kind, "sell", float(bench.qty), None, params)
    params = {"stopLossPrice": at, "reduceOnly": True}
    return await exchange.create_order(bench.symbol, "market", "sell", float(bench.qty), None, params)


def waiting(server):
    return [order for order in server.account.working() if order.waits]


def falls(server, bench):
    server.account.on_price(bench.instrument.instrument_id, TriggerPriceType.LAST, bench.price_at(400))


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_ccxt_places_a_stop_that_waits_and_then_closes(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        if not bench.spot:
            await bench.at_market(exchange)
        placed = await stop(exchange, bench)
        assert placed["id"]
        (order,) = waiting(server)
        assert (order.side.value, bench.instrument.qty(order.order_lots)) == ("sell", bench.qty)
        assert order.reduce_only is not bench.spot
        before = server.account.exchange.account.balance(bench.instrument.base)
        falls(server, bench)
        assert waiting(server) == []
        if bench.spot:
            assert server.account.exchange.account.balance(bench.instrument.base) == before - bench.qty
        else:
            assert [one for one in await exchange.fetch_positions([symbol]) if one["contracts"]] == []
        trades = await exchange.fetch_my_trades(symbol)
        assert trades[-1]["side"] == "sell"


@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_ccxt_lists_and_cancels_a_stop(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        if not bench.spot:
            await bench.at_market(exchange)
        placed = await stop(exchange, bench)
        apart = {} if venue == "binance" else {"trigger": True}
        if venue == "okx":
            apart["ordType"] = "conditional"
        (listed,) = await exchange.fetch_open_orders(symbol, params=apart)
        assert listed["id"] == placed["id"]
        assert float(listed["triggerPrice"] or listed["stopLossPrice"]) == float(bench.price_at(300))
        apart.pop("ordType", None)
        await exchange.cancel_order(placed["id"], symbol, apart)
        assert server.account.working() == []
        falls(server, bench)
        with pytest.raises((ccxt.OrderNotFound, ccxt.InvalidOrder, ccxt.ExchangeError)):
            await exchange.cancel_order(placed["id"], symbol, apart)


@pytest.mark.parametrize(("venue", "symbol"), CONTRACTS)
async def test_ccxt_hears_that_a_stop_would_trigger_at_once(venue, symbol):
    # The venues' own codes: ccxt knows them all but Binance's by name.
    said = {"binanceusdm": "-2021", "binancecoinm": "-2021", "okx": "51280", "bybit": "110093"}
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        await bench.at_market(exchange)
        with pytest.raises(ccxt.ExchangeError, match=said[venue]):
            await stop(exchange, bench, far_bps=-300)
        assert waiting(server) == []


@pytest.mark.parametrize("venue", ["binanceusdm", "binancecoinm"])
async def test_binance_takes_no_stop_at_the_endpoint_of_orders_and_its_countdown_leaves_stops_alone(venue):
    async with trading(venue) as server, exchange_of(server) as exchange:
        symbol = next(name for place, name in ALL if place == venue)
        bench = Bench(server, symbol)
        await bench.at_market(exchange)
        await stop(exchange, bench)
        request = {"symbol": bench.market.key, "side": "SELL", "type": "STOP_MARKET", "quantity": str(bench.qty)}
        prefix = "fapi" if venue == "binanceusdm" else "dapi"
        with pytest.raises(ccxt.ExchangeError, match="-4120"):
            await getattr(exchange, f"{prefix}PrivatePostOrder")(request | {"stopPrice": str(bench.price_at(300))})
        await bench.limit(exchange)
        await exchange.cancel_all_orders(symbol)
        assert [order.waits for order in server.account.working()] == [True]
