"""Orders that wait for a trigger over every venue's wire: held, triggered, filled, found, refused, canceled."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from adapters.orders.user_stream import CaughtUp
from adapters.orders.wire import Events
from tests.adapters.orders.commands import cancel, place, status
from tests.adapters.orders.test_against_servers import Desk, desk, eventually
from tests.adapters.simserver.trading.conftest import ALL, Bench
from trading.orders.messages import (
    Contingency,
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReject,
    OrderStatusReport,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.triggers import PRICED, SUPPORT, rises

HELD = [
    (venue, symbol)
    for venue, symbol in ALL
    if (venue, symbol) != ("bybit", "BTC/USDT")  # no direction can be said there: nothing is held
]
CONTRACTS = [one for one in HELD if ":" in one[1]]
EVERY = (OrdType.STOP, OrdType.STOP_LIMIT, OrdType.TAKE_PROFIT, OrdType.TAKE_PROFIT_LIMIT)
L = TriggerPriceType.LAST


def waiting(
    d: Desk,
    bench: Bench,
    ord_type: OrdType = OrdType.STOP,
    side: Side = Side.SELL,
    *,
    cl_ord_id: str = "pd1-s-1",
    far_bps: int = 300,
    kind: TriggerPriceType = L,
    reduce_only: bool = False,
) -> NewOrderSingle:
    """An order whose trigger is so far away from the market; its limit is beyond the market, so that it fills."""
    rising = 1 if rises(ord_type, side) else -1
    at = bench.price_at(-rising * far_bps)
    beyond = bench.price_at(-100 if side is Side.BUY else 100)
    order = place(d.market, cl_ord_id, side=side, qty=str(bench.qty), price=str(beyond), reduce_only=reduce_only)
    priced = ord_type in PRICED
    return msgspec.structs.replace(
        order,
        ord_type=ord_type,
        time_in_force=TimeInForce.GTC if priced else TimeInForce.IOC,
        price=order.price if priced else None,
        trigger=TriggeringInstructions(at, kind, reduce_only),
    )


async def hold(d: Desk, order: NewOrderSingle) -> ExecutionReport:
    """Place it, and see it held."""
    outcome = await d.carried(order)
    assert isinstance(outcome.reply, Events), outcome.reply
    await eventually(lambda: d.reports(ExecType.NEW, order.cl_ord_id))
    held = d.reports(ExecType.NEW, order.cl_ord_id)
    assert {report.ord_status for report in held} == {OrdStatus.PENDING_TRIGGER}
    return held[0]


async def own(d: Desk, bench: Bench) -> None:
    """Something to sell."""
    if not bench.spot:
        bought = place(
            d.market,
            "pd1-b-7",
            qty=str(bench.qty),
            price=str(bench.price_at(-50)),
            time_in_force=TimeInForce.IOC,
        )
        await d.carried(bought)
        await eventually(lambda: filled(d, "pd1-b-7") == bench.qty)


def filled(d: Desk, cl_ord_id: str) -> Decimal:
    return sum((t.last_qty for t in d.reports(ExecType.TRADE, cl_ord_id)), Decimal(0))


def price_comes(d: Desk, bench: Bench, price: Decimal, kind: TriggerPriceType = L) -> None:
    """The venue sees a price."""
    bench.server.account.on_price(d.market.instrument_id, kind, price)


async def asked(d: Desk, cl_ord_id: str, *, waits: bool, order_id: str = "") -> ExecutionReport | None:
    question = msgspec.structs.replace(status(d.market, cl_ord_id), waits=waits, order_id=order_id)
    outcome = await d.carried(question)
    assert isinstance(outcome.reply, Events), outcome.reply
    (answer,) = outcome.reply.events
    assert isinstance(answer, OrderStatusReport)
    return answer.report


@pytest.mark.req("P-ORD-10", "P-VEN-1")
@pytest.mark.parametrize("ord_type", EVERY, ids=[kind.value for kind in EVERY])
@pytest.mark.parametrize(("venue", "symbol"), HELD)
async def test_it_is_held_until_its_price_comes_and_its_fills_are_of_our_id(
    venue: str, symbol: str, ord_type: OrdType
) -> None:
    async with desk(venue, symbol) as (d, bench):
        await own(d, bench)
        order = waiting(d, bench, ord_type, reduce_only=not bench.spot)
        assert order.trigger is not None
        at = order.trigger.trigger_price
        await hold(d, order)
        price_comes(d, bench, at + (1 if at < bench.price_at(0) else -1) * d.market.tick_size)
        found = await asked(d, order.cl_ord_id, waits=True)
        assert found is not None
        assert found.ord_status is OrdStatus.PENDING_TRIGGER
        price_comes(d, bench, at)
        await eventually(lambda: filled(d, order.cl_ord_id) == order.order_qty)
        assert len(d.reports(ExecType.TRIGGERED, order.cl_ord_id)) == 1
        # What it became is found by what the trigger said of it.
        (told,) = d.reports(ExecType.TRIGGERED, order.cl_ord_id)
        found = await asked(d, order.cl_ord_id, waits=False, order_id=told.order_id)
        assert found is not None
        assert (found.ord_status, found.cum_qty) == (OrdStatus.FILLED, order.order_qty)
        if not bench.spot:
            assert not bench.server.account.exchange.account.position(d.market.instrument_id).qty


@pytest.mark.req("P-ORD-10", "P-VEN-1")
@pytest.mark.parametrize(("venue", "symbol"), HELD)
async def test_a_trigger_that_the_price_has_passed_is_refused(venue: str, symbol: str) -> None:
    async with desk(venue, symbol) as (d, bench):
        await own(d, bench)
        for number, (ord_type, side) in enumerate(
            [(kind, way) for kind in (OrdType.STOP, OrdType.TAKE_PROFIT) for way in (Side.SELL, Side.BUY)]
        ):
            order = waiting(d, bench, ord_type, side, cl_ord_id=f"pd1-s-{number}", far_bps=-300)
            outcome = await d.carried(order)
            (rejected,) = outcome.reply.events
            assert isinstance(rejected, ExecutionReport)
            assert (rejected.exec_type, rejected.cl_ord_id) == (ExecType.REJECTED, order.cl_ord_id)
        assert bench.server.account.working() == []


@pytest.mark.req("P-ORD-10", "P-VEN-1")
@pytest.mark.parametrize(("venue", "symbol"), HELD)
async def test_a_waiting_order_is_in_the_account_is_canceled_and_is_gone(venue: str, symbol: str) -> None:
    async with desk(venue, symbol) as (d, bench):
        await own(d, bench)
        order = waiting(d, bench, reduce_only=not bench.spot)
        await hold(d, order)
        before = d.stream.counters.readings
        d.stream.want_reading()
        await eventually(lambda: d.stream.counters.readings > before)
        read = [i for i in d.told if isinstance(i, CaughtUp)][-1].state
        (listed,) = [one for one in read.open_orders if one.cl_ord_id == order.cl_ord_id]
        assert listed.ord_status is OrdStatus.PENDING_TRIGGER
        assert (listed.order_qty, listed.side) == (order.order_qty, order.side)
        request = msgspec.structs.replace(cancel(d.market, order.cl_ord_id), waits=True)
        gone = await d.carried(request)
        assert isinstance(gone.reply, Events), gone.reply
        assert bench.server.account.working() == []
        found = await asked(d, order.cl_ord_id, waits=True)
        assert found is not None
        assert found.ord_status is OrdStatus.CANCELED
        price_comes(d, bench, order.trigger.trigger_price if order.trigger else Decimal(1))
        again = await d.carried(msgspec.structs.replace(request, cl_ord_id="pd1-s-1-c2"))
        (refused,) = again.reply.events
        assert isinstance(refused, OrderCancelReject)
        assert filled(d, order.cl_ord_id) == 0


@pytest.mark.req("P-ORD-10")
@pytest.mark.parametrize(("venue", "symbol"), CONTRACTS)
async def test_what_may_only_close_ends_when_nothing_is_left_to_close(venue: str, symbol: str) -> None:
    async with desk(venue, symbol) as (d, bench):
        await own(d, bench)
        order = waiting(d, bench, reduce_only=True)
        assert order.trigger is not None
        await hold(d, order)
        closing = place(
            d.market,
            "pd1-b-8",
            side=Side.SELL,
            qty=str(bench.qty),
            price=str(bench.price_at(-50, "sell")),
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
        )
        await d.carried(closing)
        await eventually(lambda: filled(d, "pd1-b-8") == bench.qty)
        price_comes(d, bench, order.trigger.trigger_price)
        found = await asked(d, order.cl_ord_id, waits=True)
        assert found is not None
        assert found.ord_status in {OrdStatus.REJECTED, OrdStatus.EXPIRED, OrdStatus.CANCELED}
        assert filled(d, order.cl_ord_id) == 0
        assert not bench.server.account.exchange.account.position(d.market.instrument_id).qty


@pytest.mark.req("P-ORD-10")
@pytest.mark.parametrize(("venue", "symbol"), HELD)
async def test_each_source_of_prices_is_watched_by_itself(venue: str, symbol: str) -> None:
    async with desk(venue, symbol) as (d, bench):
        await own(d, bench)
        sources = sorted(SUPPORT[venue, d.market.kind].sources, key=lambda one: one.value)
        for kind in TriggerPriceType:
            order = waiting(d, bench, kind=kind, cl_ord_id=f"pd1-s-{kind.value}", reduce_only=not bench.spot)
            if kind not in sources:
                refused = d.client.submit(order)
                assert refused is not None
                assert "does not watch" in refused.reason
                d.said.remove(refused)
        kind = sources[-1]
        order = waiting(d, bench, kind=kind, reduce_only=not bench.spot)
        assert order.trigger is not None
        await hold(d, order)
        for other in TriggerPriceType:
            if other is not kind:
                price_comes(d, bench, order.trigger.trigger_price, other)
        assert [one.cl_ord_id for one in bench.server.account.working() if one.waits]
        price_comes(d, bench, order.trigger.trigger_price, kind)
        await eventually(lambda: filled(d, order.cl_ord_id) == order.order_qty)


@pytest.mark.req("P-ORD-10", "P-VEN-1")
@pytest.mark.parametrize("first", [OrdType.STOP, OrdType.TAKE_PROFIT], ids=["stop", "take_profit"])
@pytest.mark.parametrize(("venue", "symbol"), CONTRACTS)
async def test_a_venue_holds_both_legs_and_what_comes_second_closes_nothing_more(
    venue: str, symbol: str, first: OrdType
) -> None:
    """Both triggered in one race: the first closes what is held, the other ends with nothing executed."""
    async with desk(venue, symbol) as (d, bench):
        await own(d, bench)
        both = {
            kind: msgspec.structs.replace(
                waiting(d, bench, kind, cl_ord_id=f"pd1-{kind.value[0]}-1", reduce_only=True),
                contingency=Contingency("pd1-l1"),
            )
            for kind in (OrdType.STOP, OrdType.TAKE_PROFIT)
        }
        for order in both.values():
            await hold(d, order)
        second = next(kind for kind in both if kind is not first)
        for kind in (first, second):
            trigger = both[kind].trigger
            assert trigger is not None
            price_comes(d, bench, trigger.trigger_price)
        await eventually(lambda: filled(d, both[first].cl_ord_id) == bench.qty)
        found = await asked(d, both[second].cl_ord_id, waits=True)
        assert found is None or (found.ord_status is not OrdStatus.PENDING_TRIGGER and not found.cum_qty)
        assert filled(d, both[second].cl_ord_id) == 0
        assert not bench.server.account.exchange.account.position(d.market.instrument_id).qty
