"""Orders by WebSocket and by REST against the loopback servers: which road, and what a lost one leaves behind."""

from __future__ import annotations

import pytest

from adapters.orders.client import ClientLimits, NotSent, Outcome
from adapters.orders.entry import EntryMode
from adapters.orders.entry_road import EntryChanged, EntryRoute
from adapters.orders.entry_session import EntryLimits
from adapters.orders.wire import Ambiguous, Events, Limited, Refused
from adapters.simserver.faults import Disconnect, HandshakeStatus, RestSlow, RestStatus
from adapters.simserver.order_faults import AcceptThen, AckDelay, AuthFailure, BadBody, OrderStorm, RejectNext
from tests.adapters.orders.commands import cancel, place, replace
from tests.adapters.orders.test_link import VENUES, wired
from trading.instruments import InstrumentKind
from trading.orders.messages import ExecType, ExecutionReport, OrdStatus

PATHS = {
    "binance": ("/api/v3/order", "/api/v3/order"),
    "binanceusdm": ("/fapi/v1/order", "/fapi/v1/order"),
    "binancecoinm": ("/dapi/v1/order", "/dapi/v1/order"),
    "okx": ("/api/v5/trade/order", "/api/v5/trade/cancel-order"),
    "bybit": ("/v5/order/create", "/v5/order/cancel"),
}
"""Where each venue's REST places and cancels; the knobs of both roads are named by it."""
SOCKETS = {
    "binance": "/ws-api/v3",
    "binanceusdm": "/ws-fapi/v1",
    "binancecoinm": "/ws-dapi/v1",
    "okx": "/ws/v5/private",
    "bybit": "/v5/trade",
}
MANY = 1_000


def road(wire):
    return wire.link._client._exchange.road


def outcomes(wire, cl_ord_id):
    return [item for item in wire.of(Outcome) if item.command.cl_ord_id == cl_ord_id]


def order(wire, cl_ord_id, **more):
    """An order that rests well below the market."""
    one = wire.market
    best = next(iter(wire.server.feed.markets.values())).book.best_bid()
    price = one.price(best[0] * 97 // 100)
    qty = one.min_qty * 10 if one.kind is not InstrumentKind.SPOT else max(one.min_qty, one.lot_size) * 100
    return place(one, cl_ord_id, **({"qty": f"{qty:f}", "price": f"{price:f}"} | more))


def venue_has(wire, cl_ord_id):
    spelled = cl_ord_id.replace("-", "Z") if wire.server.spec.venue == "okx" else cl_ord_id
    return wire.server.account.order(cl_ord_id=spelled)


def entry_ids(wire):
    """The server's connections that orders come on."""
    path = SOCKETS[wire.server.spec.venue]
    return [
        c.id
        for c in wire.server.hub.connections.values()
        if c.path == path and not any(t.startswith("user:") for t in c.topics)
    ]


async def by_socket(wire):
    """Live, and orders go by WebSocket."""
    await wire.until_live()
    await wire.until(lambda: road(wire).route is EntryRoute.WS)
    await wire.until(lambda: [i.route for i in wire.of(EntryChanged)][-1:] == [EntryRoute.WS])


async def placed(wire, cl_ord_id, **more):
    """An order whose answer has come."""
    assert wire.link.submit(order(wire, cl_ord_id, **more)) is None
    await wire.until(lambda: outcomes(wire, cl_ord_id))
    return outcomes(wire, cl_ord_id)[0].reply


@pytest.mark.req("P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_an_order_is_placed_and_canceled_by_websocket_with_the_answers_of_rest(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        reply = await placed(wire, "pd1-b-1")
        assert isinstance(reply, Events)
        (ack,) = reply.events
        assert isinstance(ack, ExecutionReport)
        assert (ack.cl_ord_id, ack.exec_type, ack.ord_status) == ("pd1-b-1", ExecType.NEW, OrdStatus.NEW)
        assert wire.link.submit(cancel(wire.market)) is None
        await wire.until(lambda: outcomes(wire, "pd1-b-1-c1"))
        await wire.until(lambda: not venue_has(wire, "pd1-b-1").is_open)
        assert isinstance(outcomes(wire, "pd1-b-1-c1")[0].reply, Events)
        status = wire.link.status()
        assert (status.route, status.by_socket, status.failovers) == ("ws", 2, 0)
        assert road(wire).counters.strays == 0


@pytest.mark.req("P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_an_amendment_goes_by_websocket_too(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        wire.link._client.limits = ClientLimits(amend_in_place=True)
        await by_socket(wire)
        first = order(wire, "pd1-b-1")
        await placed(wire, "pd1-b-1")
        lower = first.price - wire.market.tick_size * 10
        assert wire.link.submit(replace(wire.market, qty=f"{first.order_qty:f}", price=f"{lower:f}")) is None
        await wire.until(lambda: outcomes(wire, "pd1-b-2"))
        assert isinstance(outcomes(wire, "pd1-b-2")[0].reply, Events), outcomes(wire, "pd1-b-2")
        changed = venue_has(wire, "pd1-b-2") if venue == "binance" else venue_has(wire, "pd1-b-1")
        assert changed is not None
        assert changed.is_open
        assert wire.market.price(changed.price_ticks) == lower
        assert wire.link.status().by_socket == 2


@pytest.mark.req("P-VEN-13")
@pytest.mark.parametrize("venue", ["okx", "bybit"])
async def test_batches_go_by_websocket_where_the_venue_takes_them_there(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        names = ["pd1-b-1", "pd1-b-2", "pd1-b-3"]
        assert wire.link._client.submit_batch([order(wire, name) for name in names]) == []
        await wire.until(lambda: all(outcomes(wire, name) for name in names))
        assert {type(outcomes(wire, name)[0].reply) for name in names} == {Events}
        assert wire.link._client.submit_batch([cancel(wire.market, name) for name in names]) == []
        await wire.until(lambda: not wire.server.account.exchange.open)
        await wire.until(lambda: all(outcomes(wire, f"{name}-c1") for name in names))
        assert wire.link.status().by_socket == 2


@pytest.mark.req("P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_refusal_by_websocket_is_the_refusal_of_rest(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        code = {"okx": 51008, "bybit": 110007, "binance": -2010}.get(venue, -2019)
        wire.server.faults.set(RejectNext(orders=1, code=code, msg="Account has insufficient balance."))
        reply = await placed(wire, "pd1-b-1")
        assert isinstance(reply, Refused)
        assert reply.code == str(code)
        assert wire.link.status().by_socket == 1


@pytest.mark.req("P-VEN-13", "P-ORD-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_lost_answer_is_unknown_after_its_deadline_and_is_said_on_no_other_road(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        wire.server.faults.set(AcceptThen(requests=1, outcome="timeout", topics=(f"ws:{PATHS[venue][0]}",)))
        before = wire.server._rest.requests
        reply = await placed(wire, "pd1-b-1")
        assert isinstance(reply, Ambiguous)
        assert reply.reason == "no answer in 400 ms"
        assert outcomes(wire, "pd1-b-1")[0].final
        assert venue_has(wire, "pd1-b-1").is_open
        assert wire.link.submit(order(wire, "pd1-b-1")).duplicate
        await wire.until(lambda: road(wire).route is EntryRoute.WS)  # its pong has come: it is trusted again
        assert await placed(wire, "pd1-b-2")
        asked = wire.server._rest.requests - before
        assert asked <= 8, "only the account was read"
        assert len(wire.server.account.exchange.open) == 2


@pytest.mark.req("P-VEN-13", "P-ORD-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_cut_with_orders_in_flight_leaves_them_unknown_and_the_next_go_by_rest(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        wire.server.faults.set(AckDelay(requests=MANY, delay_ms=60_000, topics=(f"ws:{PATHS[venue][0]}",)))
        wire.server.faults.set(HandshakeStatus(status=503, topics=(SOCKETS[venue],)))
        names = [f"pd1-b-{n}" for n in range(1, 4)]
        for name in names:
            assert wire.link.submit(order(wire, name)) is None
        await wire.until(lambda: all(venue_has(wire, name) for name in names))
        for one in entry_ids(wire):
            wire.server.hub.connections[one].end(1006)
        await wire.until(lambda: all(outcomes(wire, name) for name in names))
        assert {type(outcomes(wire, name)[0].reply) for name in names} == {Ambiguous}
        await wire.until(lambda: wire.of(EntryChanged)[-1].route is EntryRoute.REST)
        assert wire.link.status().failovers == 1
        assert isinstance(await placed(wire, "pd1-b-4"), Events)
        assert len(wire.server.account.exchange.open) == 4, "none doubled, none lost"
        wire.server.faults.clear()
        await wire.until(lambda: road(wire).route is EntryRoute.WS)
        assert isinstance(await placed(wire, "pd1-b-5"), Events)
        assert wire.link.status().by_socket == 4


@pytest.mark.req("P-VEN-13", "P-ORD-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_cancel_whose_road_was_cut_is_said_again_by_the_other(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        await placed(wire, "pd1-b-1")
        wire.server.faults.set(HandshakeStatus(status=503, topics=(SOCKETS[venue],)))
        wire.server.faults.set(RestSlow(delay_ms=5_000, topics=(f"ws:{PATHS[venue][1]}",)))
        wire.link.submit(cancel(wire.market))
        await wire.until(lambda: road(wire)._line is not None and road(wire)._line.session.in_flight)
        for one in entry_ids(wire):
            wire.server.hub.connections[one].end(1006)
        await wire.until(lambda: not venue_has(wire, "pd1-b-1").is_open)
        said = outcomes(wire, "pd1-b-1-c1")
        assert isinstance(said[0].reply, Ambiguous)
        assert not said[0].final


@pytest.mark.req("P-ORD-12", "P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_refused_login_leaves_rest_and_its_reason_is_told(venue):
    refusing = HandshakeStatus(status=403, topics=(SOCKETS[venue],))
    if venue in {"okx", "bybit"}:
        refusing = AuthFailure(topics=(SOCKETS[venue],))
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        road(wire).limits = EntryLimits(refused_ms=200, refused_max_ms=200)
        await by_socket(wire)
        wire.server.faults.set(refusing)
        for one in entry_ids(wire):
            wire.server.hub.connections[one].end(1006)
        word = "login refused" if venue in {"okx", "bybit"} else "403"
        await wire.until(lambda: word in road(wire).reason)
        assert isinstance(await placed(wire, "pd1-b-1"), Events)
        status = wire.link.status()
        assert (status.route, status.by_socket, status.failovers) == ("rest", 0, 1)
        assert word in status.route_reason
        assert not wire.link.locked
        wire.server.faults.clear()
        await wire.until(lambda: road(wire).route is EntryRoute.WS)


@pytest.mark.req("P-ORD-12", "P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_key_that_is_refused_for_orders_by_websocket_alone_sends_them_by_rest(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        road(wire).limits = EntryLimits(refused_ms=60_000, refused_max_ms=60_000)
        wire.server.faults.set(AuthFailure(topics=(f"ws:{PATHS[venue][0]}",)))
        assert isinstance(await placed(wire, "pd1-b-1"), Events)
        assert venue_has(wire, "pd1-b-1").is_open
        assert road(wire).counters.unread == 1
        assert not wire.link.locked
        if venue not in {"okx", "bybit"}:
            # There is no login to try again: nothing goes that way for a while.
            await wire.until(lambda: wire.of(EntryChanged)[-1].route is EntryRoute.REST)
            assert isinstance(await placed(wire, "pd1-b-2"), Events)
            assert road(wire).counters.unread == 1


@pytest.mark.req("P-VEN-4", "P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_limit_said_by_websocket_is_heard_as_one_said_by_rest(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        wire.server.faults.set(RestStatus(requests=1, status=429, retry_after_s=3, topics=(f"ws:{PATHS[venue][0]}",)))
        reply = await placed(wire, "pd1-b-1")
        assert isinstance(reply, Limited)
        assert not reply.banned
        assert reply.retry_ns >= (2_000_000_000 if venue.startswith("binance") else 1)
        assert venue_has(wire, "pd1-b-1") is None or venue == "bybit"


@pytest.mark.req("P-VEN-13")
async def test_another_clients_orders_use_up_the_limit_of_both_roads():
    async with wired("okx", entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        wire.server.faults.set(OrderStorm(orders=MANY))
        assert isinstance(await placed(wire, "pd1-b-1"), Limited)
        assert wire.link.status().by_socket >= 1


@pytest.mark.req("P-VEN-13", "P-ORD-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_answers_out_of_order_late_and_broken_find_their_orders(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        topics = (f"ws:{PATHS[venue][0]}",)
        wire.server.faults.set(AckDelay(requests=1, delay_ms=900, topics=topics))
        assert wire.link.submit(order(wire, "pd1-b-1")) is None
        await wire.until(lambda: venue_has(wire, "pd1-b-1"))
        assert isinstance(await placed(wire, "pd1-b-2"), Events)
        await wire.until(lambda: len(outcomes(wire, "pd1-b-1")) == 2)
        first, late = outcomes(wire, "pd1-b-1")
        assert isinstance(first.reply, Ambiguous)
        assert late.late
        assert isinstance(late.reply, Events)
        wire.server.faults.set(BadBody(requests=1, body="html", topics=topics))
        assert isinstance(await placed(wire, "pd1-b-3"), Ambiguous)
        assert venue_has(wire, "pd1-b-3").is_open


@pytest.mark.req("P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_half_open_connection_is_doubted_and_orders_take_the_other_road(venue):
    async with wired(venue, entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        wire.server.faults.set(HandshakeStatus(status=503, topics=(SOCKETS[venue],)))
        for one in entry_ids(wire):
            wire.server.hub.connections[one].hang()
        assert isinstance(await placed(wire, "pd1-b-1"), Ambiguous)
        await wire.until(lambda: road(wire).route is EntryRoute.REST)
        assert isinstance(await placed(wire, "pd1-b-2"), Events)
        await wire.until(lambda: "nothing else is heard" in road(wire).reason)
        wire.server.faults.clear()
        await wire.until(lambda: road(wire).route is EntryRoute.WS)
        assert isinstance(await placed(wire, "pd1-b-3"), Events)
        assert venue_has(wire, "pd1-b-1") is None
        assert venue_has(wire, "pd1-b-2").is_open


@pytest.mark.req("P-VEN-13")
async def test_a_line_is_replaced_before_its_time_is_over_and_still_brings_its_answers():
    async with wired("bybit", entry=EntryMode.AUTO) as wire:
        await by_socket(wire)
        old = road(wire)._line
        wire.server.faults.set(AckDelay(requests=1, delay_ms=300, topics=(f"ws:{PATHS['bybit'][0]}",)))
        assert wire.link.submit(order(wire, "pd1-b-1")) is None
        await wire.until(lambda: venue_has(wire, "pd1-b-1"))
        old.leave("its time is nearly over")
        await wire.until(lambda: outcomes(wire, "pd1-b-1"))
        assert isinstance(outcomes(wire, "pd1-b-1")[0].reply, Events)
        await wire.until(lambda: road(wire).route is EntryRoute.WS and road(wire)._line is not old)
        await wire.until(lambda: len(entry_ids(wire)) == 1)
        assert road(wire).counters.replaced == 1


@pytest.mark.req("P-ORD-12")
async def test_with_the_websocket_only_nothing_is_placed_without_it_and_cancels_go_by_rest():
    async with wired("okx", entry=EntryMode.WS) as wire:
        await by_socket(wire)
        await placed(wire, "pd1-b-1")
        wire.server.faults.set(HandshakeStatus(status=503, topics=(SOCKETS["okx"],)))
        wire.server.faults.set(Disconnect(connections=tuple(entry_ids(wire))))
        await wire.until(lambda: road(wire).route is EntryRoute.CLOSED)
        wire.link.submit(order(wire, "pd1-b-2"))
        await wire.until(lambda: wire.of(NotSent))
        assert "execution.entry: ws" in wire.of(NotSent)[0].reason
        wire.link.submit(cancel(wire.market))
        await wire.until(lambda: not venue_has(wire, "pd1-b-1").is_open)
        assert venue_has(wire, "pd1-b-2") is None


@pytest.mark.parametrize("venue", VENUES)
async def test_with_rest_only_no_websocket_is_opened_for_orders(venue):
    async with wired(venue, entry=EntryMode.REST) as wire:
        await wire.until_live()
        assert isinstance(await placed(wire, "pd1-b-1"), Events)
        assert entry_ids(wire) == []
        assert wire.link.status().route == "rest"
