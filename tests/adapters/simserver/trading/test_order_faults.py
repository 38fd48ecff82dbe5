"""What goes wrong between an order, its answer, its events and its account goes wrong on request."""

from __future__ import annotations

import asyncio
import contextlib
import json

import ccxt
import pytest

from adapters.simserver import faults as knobs
from tests.adapters.simserver.conftest import Client, wait_for
from tests.adapters.simserver.trading.conftest import Bench, S, dialled, exchange_of, trading
from tests.waiting import passed

pytestmark = [
    pytest.mark.req("P-SIM-7"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PERPETUALS = [("binanceusdm", "BTC/USDT:USDT"), ("okx", "BTC/USDT:USDT"), ("bybit", "BTC/USDT:USDT")]
USDM = PERPETUALS[0]


async def user_stream(http, server, exchange):
    """A raw client of the USD-M user stream."""
    key = (await exchange.fapiPrivatePostListenKey())["listenKey"]
    client = Client(await http.ws_connect(f"{server.base_ws}/private/ws?listenKey={key}"))
    await wait_for(server.trading.listeners)
    return client


def is_order(payload, status=""):
    message = json.loads(payload)
    return message["e"] == "ORDER_TRADE_UPDATE" and status in {"", message["o"]["X"]}


@pytest.mark.parametrize(("venue", "symbol"), PERPETUALS)
@pytest.mark.parametrize("outcome", ["status", "unknown", "drop", "timeout"])
async def test_an_order_is_accepted_and_its_answer_hides_it(venue, symbol, outcome):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        server.faults.set(knobs.AcceptThen(outcome=outcome, hold_ms=30))
        with pytest.raises((ccxt.NetworkError, ccxt.ExchangeError)):
            await bench.limit(exchange, clientOrderId="mine7")
        assert server.faults.counts["accept_then"] == 1
        (opened,) = await exchange.fetch_open_orders(symbol)
        assert opened["clientOrderId"] == "mine7"
        with pytest.raises(ccxt.ExchangeError, match=r"(?i)duplicate|exist"):
            await bench.limit(exchange, clientOrderId="mine7")
        assert len(server.account.working()) == 1


async def test_a_late_answer_comes_after_the_stream_has_told(http):
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        bench = Bench(server, USDM[1])
        client = await user_stream(http, server, exchange)
        server.faults.set(knobs.AckDelay(delay_ms=150))
        placing = asyncio.ensure_future(bench.limit(exchange))
        told = json.loads(await client.until(is_order))
        assert not placing.done()
        assert (await placing)["id"] == str(told["o"]["i"])


async def test_fills_are_told_before_the_order_is_new(http):
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        bench = Bench(server, USDM[1])
        client = await user_stream(http, server, exchange)
        server.faults.set(knobs.FillBeforeAck(delay_ms=30))
        await bench.at_market(exchange)
        await client.until(lambda payload: is_order(payload, "NEW"))
        steps = [json.loads(one)["o"]["x"] for one in client.seen if is_order(one)]
        assert steps == ["TRADE", "NEW"]


@pytest.mark.parametrize(("venue", "symbol"), PERPETUALS)
async def test_young_orders_and_fills_are_not_visible_yet(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        server.faults.set(knobs.LateVisibility(delay_ms=60_000))
        placed = await bench.limit(exchange)
        await bench.at_market(exchange)
        assert await exchange.fetch_open_orders(symbol) == []
        assert await exchange.fetch_my_trades(symbol) == []
        server.faults.clear()
        assert [one["id"] for one in await exchange.fetch_open_orders(symbol)] == [placed["id"]]
        assert len(await exchange.fetch_my_trades(symbol)) == 1


@pytest.mark.parametrize(("venue", "symbol"), PERPETUALS)
async def test_an_order_is_refused_on_request_and_a_halted_symbol_takes_none(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        resting = await bench.limit(exchange)
        server.faults.set(knobs.RejectNext(code=51_999 if venue == "okx" else -2_010, msg="not today"))
        with pytest.raises(ccxt.ExchangeError, match="not today"):
            await bench.limit(exchange)
        server.faults.set(knobs.Halted(topics=(bench.market.key,)))
        with pytest.raises((ccxt.ExchangeError, ccxt.NetworkError)):
            await bench.limit(exchange)
        await exchange.cancel_order(resting["id"], symbol)
        server.faults.clear()
        await bench.limit(exchange)
        assert len(server.account.working()) == 1


@pytest.mark.parametrize(("venue", "symbol"), PERPETUALS)
async def test_an_amendment_is_refused_on_request_and_the_order_stays_as_it_was(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        resting = await bench.limit(exchange)
        (before,) = server.account.working()
        terms = (before.order_lots, before.price_ticks)
        server.faults.set(knobs.RefuseAmend(code=51_508 if venue == "okx" else -5_026, msg="not to be modified"))
        price = float(bench.market.instrument.price(before.price_ticks - 1))
        changed = (resting["id"], symbol, "limit", "buy", resting["amount"], price)
        with pytest.raises(ccxt.ExchangeError, match="not to be modified"):
            await exchange.edit_order(*changed)
        assert [(order.order_lots, order.price_ticks) for order in server.account.working()] == [terms]
        await exchange.edit_order(*changed)
        assert [order.price_ticks for order in server.account.working()] == [terms[1] - 1]


@pytest.mark.parametrize(("venue", "symbol"), PERPETUALS)
async def test_an_account_that_cannot_be_read_is_malformed_or_empty(venue, symbol):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        await bench.at_market(exchange)
        await exchange.fetch_positions([symbol])
        bodies = []
        for body in ("empty", "null", "html", "truncated"):
            server.faults.set(knobs.BadBody(body=body))
            with contextlib.suppress(Exception):  # ccxt stumbles over some of them, and reads a null as "no position"
                await exchange.fetch_positions([symbol])
            bodies.append(exchange.last_http_response)
        assert bodies[:2] == ["", "null"]
        assert bodies[2].startswith("<html>")
        with pytest.raises(json.JSONDecodeError):
            json.loads(bodies[3])
        server.faults.set(knobs.EmptyAccount())
        assert [one for one in await exchange.fetch_positions([symbol]) if one["contracts"]] == []
        assert [one for one in await exchange.fetch_positions([symbol]) if one["contracts"]] != []


async def test_frames_of_fills_are_lost_while_the_rest_goes_on(http):
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        bench = Bench(server, USDM[1])
        client = await user_stream(http, server, exchange)
        server.faults.set(knobs.Mute(topics=("user:fill:*",)))
        await bench.at_market(exchange)
        await bench.limit(exchange)
        await client.until(lambda payload: is_order(payload, "NEW") and b'"LIMIT"' in payload)
        steps = [json.loads(one)["o"]["x"] for one in client.seen if is_order(one)]
        assert steps == ["NEW", "NEW"]
        assert len(await exchange.fetch_my_trades(bench.symbol)) == 1

        server.faults.clear()
        server.faults.set(knobs.Duplicate(topics=("user:fill:*",)))
        await bench.at_market(exchange)
        await bench.limit(exchange, side="sell")
        await client.until(lambda payload: is_order(payload, "NEW") and b'"SELL"' in payload)
        trades = [json.loads(one)["o"]["t"] for one in client.seen if is_order(one, "FILLED")]
        assert len(trades) == 2
        assert len(set(trades)) == 1


async def test_two_fills_change_places(http):
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        bench = Bench(server, USDM[1])
        client = await user_stream(http, server, exchange)
        server.faults.set(knobs.Reorder(topics=("user:fill:*",)))
        for _ in range(2):
            await bench.at_market(exchange)
        await wait_for(lambda: server.faults.counts["reorder"])
        trades = []
        while len(trades) < 2:
            trades.append(json.loads(await client.until(lambda payload: is_order(payload, "FILLED")))["o"]["t"])
        assert trades == sorted(trades, reverse=True)


async def test_a_listen_key_ends_aloud_or_silently_and_cannot_be_kept_alive(http):
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        bench = Bench(server, USDM[1])
        client = await user_stream(http, server, exchange)
        server.faults.set(knobs.ListenKeyLost(how="expired"))
        ended = json.loads(await client.until(lambda payload: b"listenKeyExpired" in payload))
        assert ended["listenKey"]
        with pytest.raises(ccxt.ExchangeError, match="-1125"):
            await exchange.fapiPrivatePutListenKey()

        second = await user_stream(http, server, exchange)
        await exchange.fapiPrivateDeleteListenKey()  # another client of the same account
        assert server.trading.listeners() == 0
        await bench.limit(exchange)
        third = await user_stream(http, server, exchange)
        await bench.limit(exchange)
        await third.until(is_order)
        assert second.seen == []


@pytest.mark.parametrize("how", ["liquidation", "adl"])
@pytest.mark.parametrize(("venue", "symbol"), PERPETUALS)
async def test_the_venue_closes_a_part_of_the_position(venue, symbol, how):
    async with trading(venue) as server, exchange_of(server) as exchange:
        bench = Bench(server, symbol)
        await bench.at_market(exchange, qty=bench.qty * 2)
        server.faults.set(knobs.Liquidation(share=0.5, how=how, topics=(bench.market.key,)))
        assert server.faults.counts["liquidation"] == 1
        (held,) = [one for one in await exchange.fetch_positions([symbol]) if one["contracts"]]
        assert held["contracts"] == pytest.approx(float(bench.qty))
        if venue == "bybit":  # ccxt asks for execType Trade only, and so does not see what the venue closed
            rows = (await exchange.privateGetV5ExecutionList({"category": "linear"}))["result"]["list"]
            assert [row["execType"] for row in rows] == ["BustTrade" if how == "liquidation" else "AdlTrade", "Trade"]
            return
        trades = await exchange.fetch_my_trades(symbol)
        assert [trade["side"] for trade in sorted(trades, key=lambda one: one["id"])] == ["buy", "sell"]


async def test_strangers_order_and_trade_on_the_account():
    async with trading("binanceusdm") as server, exchange_of(server) as exchange:
        symbol = USDM[1]
        server.faults.set(knobs.ForeignOrder(side="sell", lots=5, away_bps=200))
        server.faults.set(knobs.ExternalFill(side="buy", lots=7))
        (foreign,) = await exchange.fetch_open_orders(symbol)
        assert (foreign["side"], foreign["clientOrderId"][:4]) == ("sell", "web_")
        (trade,) = await exchange.fetch_my_trades(symbol)
        assert trade["amount"] == pytest.approx(0.007)
        assert server.faults.counts["foreign_order"] == server.faults.counts["external_fill"] == 1


async def test_a_countdown_cancels_what_nobody_renews():
    async with dialled("binanceusdm") as (server, dial), exchange_of(server) as exchange:
        bench = Bench(server, USDM[1])
        await bench.limit(exchange)
        await exchange.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 60_000})
        assert len(server.account.working()) == 1
        await exchange.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 60})
        await wait_for(lambda: not server.account.working())
        await bench.limit(exchange)
        await exchange.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 60_000})
        await exchange.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 0})
        dial.ahead_ns += 120 * S
        await passed(0.12)
        assert len(server.account.working()) == 1
