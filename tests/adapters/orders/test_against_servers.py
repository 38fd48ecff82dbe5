"""Client and stream of every venue against the loopback servers' trading side: two readings of the same documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from adapters.clock import SystemClock
from adapters.limits.limiter import Limiter
from adapters.orders.account import AccountCursor
from adapters.orders.binance import BinanceOrders
from adapters.orders.bybit import BybitOrders
from adapters.orders.client import ClientItem, ClientLimits, NotSent, OrderClient, Outcome
from adapters.orders.dialect import OrderDialect
from adapters.orders.exchange import ClockMoved
from adapters.orders.news import Unread
from adapters.orders.okx import OkxOrders
from adapters.orders.user_stream import CaughtUp, Pushed, StreamItem, StreamStatus, UserStream
from adapters.orders.wire import (
    CancelAll,
    Credentials,
    Events,
    KeyPermissions,
    KeyQuery,
    ModeQuery,
    OrderEndpoints,
    Told,
    WireCommand,
)
from adapters.simserver.server import SimServer
from tests.adapters.orders.commands import cancel, place, replace, status
from tests.adapters.simserver.trading.conftest import ALL, KEYS, Bench, trading
from tests.waiting import until
from trading.instruments import Instrument
from trading.ledger.late import venue_order
from trading.limits.venues import limits_of
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    OrderStatusReport,
    OrdStatus,
    Side,
    TimeInForce,
)

KEY = Credentials(api_key=KEYS.api_key, secret=KEYS.secret, passphrase=KEYS.passphrase)


class Desk:
    """One market of one venue: commands out, everything told in."""

    def __init__(self, server: SimServer, market: Instrument) -> None:
        endpoints = OrderEndpoints(rest=server.base_http, ws=server.base_ws, wallet=server.base_http)
        dialect: OrderDialect
        match market.venue:
            case "okx":
                dialect = OkxOrders([market], endpoints)
            case "bybit":
                dialect = BybitOrders([market], endpoints)
            case venue:
                dialect = BinanceOrders(venue, [market], endpoints)
        clock = SystemClock()
        self.market = market
        self.said: list[ClientItem] = []
        self.told: list[StreamItem] = []
        self.client = OrderClient(dialect, KEY, clock, Limiter(limits_of(market.venue), clock), put=self.said.append)
        now_ms = clock.wall_ns() // 1_000_000
        cursor = AccountCursor.opening(market.venue, now_ms - 1_000)
        self.stream = UserStream(self.client, KEY, clock, put=self._hear, cursor=cursor)

    def _hear(self, item: StreamItem) -> None:
        self.told.append(item)
        if isinstance(item, Pushed) and isinstance(item.event, ExecutionReport):
            self.client.reader.learn(item.event)

    async def carried(self, command: WireCommand) -> Outcome:
        """The final word on one command."""
        refused = self.client.submit(command)
        assert refused is None, refused
        found: list[Outcome] = []

        def answered() -> bool:
            found[:] = [i for i in self.said if isinstance(i, Outcome) and i.command is command and i.final]
            return bool(found)

        await eventually(answered)
        return found[-1]

    def reports(self, kind: ExecType, cl_ord_id: str) -> list[ExecutionReport]:
        """What was told of an order, from everywhere, each once."""
        pushed = [i.event for i in self.told if isinstance(i, Pushed)]
        read = [e for i in self.told if isinstance(i, CaughtUp) for e in i.state.executions]
        answered = [e for i in self.said if isinstance(i, Outcome) for e in i.reply.events]
        every = {
            e.exec_id: e
            for e in (*pushed, *read, *answered)
            if isinstance(e, ExecutionReport) and e.exec_type is kind and e.cl_ord_id == cl_ord_id
        }
        return list(every.values())


@asynccontextmanager
async def desk(venue: str, symbol: str) -> AsyncIterator[tuple[Desk, Bench]]:
    async with trading(venue) as server:
        bench = Bench(server, symbol)
        made = Desk(server, bench.instrument)
        made.client.start()
        made.stream.start()
        try:
            await eventually(lambda: made.stream.status is StreamStatus.LIVE)
            yield made, bench
            unread = [i.event for i in made.told if isinstance(i, Pushed) and isinstance(i.event, Unread)]
            assert not unread
            assert not [i for i in made.said if isinstance(i, NotSent | ClockMoved)]
            assert not made.client.faults
            assert not made.stream.faults
        finally:
            await made.stream.close()
            await made.client.close()


async def eventually(true: Callable[[], object]) -> None:
    await until(true)


def weight_used(server: SimServer) -> int:
    """All that Binance's server has weighed so far; unlike its headers it does not begin anew with a minute."""
    total: int = server.trading._gate._weight.total  # type: ignore[attr-defined]
    return total


@pytest.mark.req("P-VEN-1")
@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_an_order_lives_is_found_and_ends_by_our_word(venue: str, symbol: str) -> None:
    async with desk(venue, symbol) as (d, bench):
        order = place(d.market, qty=str(bench.qty), price=str(bench.price_at(100)), time_in_force=TimeInForce.GTX)
        placed = await d.carried(order)
        assert isinstance(placed.reply, Events), placed.reply
        await eventually(lambda: d.reports(ExecType.NEW, order.cl_ord_id))
        asked = await d.carried(status(d.market))
        assert isinstance(asked.reply, Events), asked.reply
        (found,) = asked.reply.events
        assert isinstance(found, OrderStatusReport)
        assert found.report is not None
        assert (found.report.ord_status, found.report.leaves_qty) == (OrdStatus.NEW, order.order_qty)
        gone = await d.carried(cancel(d.market))
        assert isinstance(gone.reply, Events), gone.reply
        await eventually(lambda: d.reports(ExecType.CANCELED, order.cl_ord_id))
        never = await d.carried(status(d.market, "pd1-b-99"))
        assert isinstance(never.reply, Events), never.reply
        (unknown,) = never.reply.events
        assert isinstance(unknown, OrderStatusReport)
        assert unknown.report is None


@pytest.mark.req("P-ORD-4", "P-VEN-1")
@pytest.mark.parametrize(("venue", "symbol"), ALL)
async def test_an_execution_has_one_id_from_answer_stream_and_reading(venue: str, symbol: str) -> None:
    async with desk(venue, symbol) as (d, bench):
        price = bench.price_at(-50)
        order = place(d.market, qty=str(bench.qty), price=str(price), time_in_force=TimeInForce.IOC)
        placed = await d.carried(order)
        assert isinstance(placed.reply, Events), placed.reply

        def executed() -> bool:
            trades = d.reports(ExecType.TRADE, order.cl_ord_id)
            return sum((t.last_qty for t in trades), Decimal(0)) >= order.order_qty

        await eventually(executed)
        before = {(t.exec_id, *venue_order(t)) for t in d.reports(ExecType.TRADE, order.cl_ord_id)}
        assert all(number for *_, number in before)
        d.stream.want_reading()
        await eventually(lambda: d.stream.counters.readings == 2)
        read = [i for i in d.told if isinstance(i, CaughtUp)][-1].state
        mine = [e for e in read.executions if e.cl_ord_id == order.cl_ord_id]
        # What is read has the place among all executions that it had when it was heard.
        assert {(e.exec_id, *venue_order(e)) for e in mine} == before
        assert sum(e.last_qty for e in mine) == order.order_qty
        assert all(e.side is Side.BUY and e.last_px <= price for e in mine)
        if not bench.spot:
            assert read.positions[d.market.instrument_id] == order.order_qty
        assert read.balances


@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "binancecoinm", "okx", "bybit"])
async def test_the_account_says_what_its_key_may_do(venue: str) -> None:
    symbol = next(s for v, s in reversed(ALL) if v == venue)
    async with desk(venue, symbol) as (d, bench):
        key = await d.client.ask(KeyQuery(venue=venue))
        assert isinstance(key, Told), key
        assert isinstance(key.fact, KeyPermissions)
        assert key.fact.may_only_trade
        assert await d.client.sync_clock() is not None
        if not bench.spot:
            assert isinstance(await d.client.ask(ModeQuery(venue=venue)), Told)


@pytest.mark.req("P-VEN-4")
@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "binancecoinm"])
async def test_what_an_order_weighs_for_us_is_what_the_venue_counts(venue: str) -> None:
    symbol = next(s for v, s in ALL if v == venue)
    async with desk(venue, symbol) as (d, bench):
        order = place(d.market, qty=str(bench.qty), price=str(bench.price_at(100)), time_in_force=TimeInForce.GTX)
        dearer = replace(d.market, qty=str(bench.qty), price=str(bench.price_at(110)))
        last = cancel(d.market, order.cl_ord_id if d.client.dialect.amends_in_place else dearer.cl_ord_id)
        d.client.limits = ClientLimits(amend_in_place=True)
        ours, counted = [], []
        for command in (order, status(d.market), dearer, last):
            request = d.client.dialect.encode(command, SystemClock.wall_ns() // 1_000_000)
            ours.append((request.endpoint, request.weight))
            before = weight_used(bench.server)
            outcome = await d.carried(command)
            assert isinstance(outcome.reply, Events), outcome.reply
            counted.append((request.endpoint, weight_used(bench.server) - before))
        assert counted == ours
        costs = limits_of(venue).costs
        assert [(name, costs[name].weight) for name, _ in ours if name in costs] == [o for o in ours if o[0] in costs]


@pytest.mark.req("P-VEN-6")
@pytest.mark.parametrize("venue", ["binanceusdm", "okx", "bybit"])
async def test_batches_are_placed_and_canceled_with_an_outcome_each(venue: str) -> None:
    symbol = "BTC/USDT:USDT"
    async with desk(venue, symbol) as (d, bench):
        price = str(bench.price_at(100))
        orders = [place(d.market, f"pd1-b-{n}", qty=str(bench.qty), price=price) for n in range(3)]
        d.client.submit_batch(orders)
        await eventually(lambda: all(d.reports(ExecType.NEW, o.cl_ord_id) for o in orders))
        d.client.submit_batch([cancel(d.market, o.cl_ord_id) for o in orders])
        await eventually(lambda: all(d.reports(ExecType.CANCELED, o.cl_ord_id) for o in orders))


@pytest.mark.req("P-ORD-13")
@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "binancecoinm", "bybit"])
async def test_cancel_all_leaves_nothing_open(venue: str) -> None:
    symbol = next(s for v, s in ALL if v == venue)
    async with desk(venue, symbol) as (d, bench):
        order = place(d.market, qty=str(bench.qty), price=str(bench.price_at(100)))
        await d.carried(order)
        done = await d.carried(CancelAll(venue=venue, instrument_id=d.market.instrument_id, cause="t", ts_init_ns=0))
        assert isinstance(done.reply, Told), done.reply
        await eventually(lambda: d.reports(ExecType.CANCELED, order.cl_ord_id))
        d.stream.want_reading()
        await eventually(lambda: d.stream.counters.readings == 2)
        assert not [i for i in d.told if isinstance(i, CaughtUp)][-1].state.open_orders
