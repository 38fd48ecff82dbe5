"""What the client makes of a venue that is slow, lost, limited, or answers twice: a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from aiohttp import web

from adapters.binance.instruments import SPOT, USDM
from adapters.clock import SystemClock
from adapters.limits.limiter import Limiter
from adapters.orders.binance import BinanceOrders
from adapters.orders.client import ClientItem, ClientLimits, NotSent, OrderClient, Outcome
from adapters.orders.exchange import ClockMoved
from adapters.orders.outbox import Outbox
from adapters.orders.sanitiser import ForbiddenRequestError
from adapters.orders.wire import (
    Ambiguous,
    AuthFailed,
    ClockSkewed,
    Credentials,
    Events,
    Exists,
    Limited,
    OrderEndpoints,
    Refused,
    WireRequest,
)
from tests.adapters.orders.commands import BTC, INSTRUMENTS, KEY, cancel, place, replace, status
from tests.waiting import PATIENCE_S, breath, free_port, stopwatch, until
from trading.limits.venues import limits_of
from trading.orders.messages import ExecType, ExecutionReport

MARKET = BTC[USDM]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def order(cl_ord_id: str = "pd1-b-1", **more: Any) -> dict[str, Any]:
    return {
        "clientOrderId": cl_ord_id, "executedQty": "0", "orderId": 7, "avgPrice": "0.0", "origQty": "2",
        "price": "60000", "side": "BUY", "positionSide": "BOTH", "status": "NEW", "symbol": "BTCUSDT",
        "timeInForce": "GTC", "type": "LIMIT", "updateTime": 1566818724722,
    } | more  # fmt: skip


def refusal(code: int, http: int = 400, msg: str = "words", **headers: str) -> web.Response:
    return web.json_response({"code": code, "msg": msg}, status=http, headers=headers)


class Venue:
    """A venue that does what the test says, and remembers what reached it."""

    def __init__(self) -> None:
        self.handler: Handler = self.accept
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.placed: list[str] = []
        self.server_ms: Callable[[], int] = lambda: SystemClock().wall_ns() // 1_000_000
        self.release = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        words = request.query_string + (await request.text())
        self.seen.append((request.method, request.path, dict(parse_qsl(words))))
        if request.path == "/fapi/v1/time":
            return web.json_response({"serverTime": self.server_ms()})
        return await self.handler(request)

    async def accept(self, request: web.Request) -> web.StreamResponse:
        said = self.seen[-1][2]
        if request.method == "DELETE":
            return web.json_response(order(said["origClientOrderId"], status="CANCELED"))
        self.placed.append(said["newClientOrderId"])
        return web.json_response(order(said["newClientOrderId"]))

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Take the order, and answer when the test lets it."""
        cl_ord_id = self.seen[-1][2].get("newClientOrderId", "")
        self.placed.append(cl_ord_id)
        await self.release.wait()
        if request.method == "DELETE":
            return web.json_response(order(self.seen[-1][2]["origClientOrderId"], status="CANCELED"))
        return web.json_response(order(cl_ord_id))


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    stand_in = Venue()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", stand_in.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    stand_in.url = f"http://127.0.0.1:{port}"
    yield stand_in
    stand_in.release.set()
    await runner.cleanup()


class Rig:
    """A client and what it told."""

    def __init__(self, url: str, limits: ClientLimits | None = None) -> None:
        endpoints = OrderEndpoints(rest=url, ws=url, wallet=url)
        self.outbox: Outbox[ClientItem] = Outbox(lambda: None)
        self.told: list[ClientItem] = []
        self.limiter = Limiter(limits_of(USDM), SystemClock())
        self.client = OrderClient(
            BinanceOrders(USDM, INSTRUMENTS[USDM], endpoints),
            KEY,
            SystemClock(),
            self.limiter,
            put=self.outbox.put,
            limits=limits,
        )
        self.client.start()

    async def until(self, count: int) -> list[ClientItem]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.told) < count:
                self.told += self.outbox.drain()
                await breath(0.005)
        return self.told


@pytest.fixture
async def rig(venue: Venue) -> AsyncIterator[Rig]:
    made = Rig(venue.url)
    yield made
    await made.client.close()
    assert not made.client.faults


def outcome(item: ClientItem) -> Outcome:
    assert isinstance(item, Outcome), item
    return item


async def test_a_placement_is_signed_sent_once_and_acked(venue: Venue, rig: Rig) -> None:
    assert rig.client.submit(place(MARKET)) is None
    (told,) = await rig.until(1)
    reply = outcome(told).reply
    assert isinstance(reply, Events)
    assert isinstance(reply.events[0], ExecutionReport)
    assert (outcome(told).final, outcome(told).late, outcome(told).attempt) == (True, False, 1)
    ((method, path, said),) = venue.seen
    assert (method, path) == ("POST", "/fapi/v1/order")
    assert len(said["signature"]) == 64
    assert said["recvWindow"] == "1000"


@pytest.mark.req("P-ORD-13", "P-ORD-2")
async def test_silence_is_unknown_after_400_ms_and_the_late_answer_is_evidence(venue: Venue, rig: Rig) -> None:
    venue.handler = venue.hang
    async with stopwatch() as took:
        rig.client.submit(place(MARKET))
        (first,) = await rig.until(1)
    waited_ms = (outcome(first).recv_ns - outcome(first).sent_ns) / 1e6
    assert isinstance(outcome(first).reply, Ambiguous)
    assert (outcome(first).late, waited_ms > 390, took.seconds < 0.7) == (False, True, True)
    assert rig.client.status().in_flight == 1
    venue.release.set()
    _, late = await rig.until(2)
    assert outcome(late).late
    assert isinstance(outcome(late).reply, Events)
    # Nobody asked twice.
    assert venue.placed == ["pd1-b-1"]
    await until(lambda: rig.client.status().in_flight == 0)


@pytest.mark.parametrize("http", [500, 502, 503, 504])
async def test_a_failing_venue_proves_nothing_and_is_not_asked_again(venue: Venue, rig: Rig, http: int) -> None:
    async def fail(request: web.Request) -> web.StreamResponse:
        venue.placed.append(venue.seen[-1][2]["newClientOrderId"])
        return web.Response(status=http, text="oops")

    venue.handler = fail
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    assert isinstance(outcome(told).reply, Ambiguous)
    assert outcome(told).final
    assert venue.placed == ["pd1-b-1"]


async def test_a_venue_that_nobody_reached_has_counted_nothing() -> None:
    rig = Rig(f"http://127.0.0.1:{free_port()}")
    try:
        for number in range(3):
            rig.client.submit(cancel(MARKET, f"pd1-b-{number}"))
        told = await rig.until(3)
        assert all(isinstance(outcome(one).reply, Ambiguous) for one in told)
        view = rig.limiter.view()
        assert [pool.used for pool in view.limits.pools] == [0]
        assert [freeze.scope for freeze in view.limits.freezes] == ["endpoint|DELETE /fapi/v1/order"]
    finally:
        await rig.client.close()


async def test_a_connection_that_breaks_after_the_order_was_taken_proves_nothing(venue: Venue, rig: Rig) -> None:
    async def reset(request: web.Request) -> web.StreamResponse:
        venue.placed.append(venue.seen[-1][2]["newClientOrderId"])
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    venue.handler = reset
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    assert isinstance(outcome(told).reply, Ambiguous)
    assert venue.placed == ["pd1-b-1"]


async def test_half_an_answer_proves_nothing(venue: Venue, rig: Rig) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"clientOrderId": "pd1-b-1"')
        assert request.transport is not None
        request.transport.close()
        return response

    venue.handler = half
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    assert isinstance(outcome(told).reply, Ambiguous)


async def test_nobody_listening_is_unknown_too() -> None:
    rig = Rig("http://127.0.0.1:9")
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    assert isinstance(outcome(told).reply, Ambiguous)
    await rig.client.close()


@pytest.mark.req("P-ORD-2")
async def test_the_same_client_order_id_is_never_placed_twice(venue: Venue, rig: Rig) -> None:
    venue.handler = venue.hang
    assert rig.client.submit(place(MARKET)) is None
    for _ in range(3):
        again = rig.client.submit(place(MARKET))
        assert again is not None
        assert again.duplicate
    await rig.until(4)
    assert venue.placed == ["pd1-b-1"]


async def test_a_duplicate_id_is_told_as_evidence(venue: Venue, rig: Rig) -> None:
    async def exists(request: web.Request) -> web.StreamResponse:
        return refusal(-4116, msg="ClientOrderId is duplicated.")

    venue.handler = exists
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    assert isinstance(outcome(told).reply, Exists)


@pytest.mark.req("P-VEN-4")
async def test_a_429_stops_placements_for_as_long_as_it_says_and_lets_cancels_go(venue: Venue, rig: Rig) -> None:
    async def limited(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            return await venue.accept(request)
        return refusal(-1003, 429, **{"Retry-After": "30"})

    venue.handler = limited
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    reply = outcome(told).reply
    assert isinstance(reply, Limited)
    assert reply.retry_ns == 30_000_000_000
    assert [e.exec_type for e in reply.events if isinstance(e, ExecutionReport)] == [ExecType.REJECTED]
    for number in range(5):
        rig.client.submit(place(MARKET, f"pd1-b-9{number}"))
    rig.client.submit(cancel(MARKET))
    told_all = await rig.until(7)
    assert sum(isinstance(item, NotSent) for item in told_all) == 5
    assert [m for m, _, _ in venue.seen] == ["POST", "DELETE"]


async def test_what_was_turned_away_may_be_said_again_with_the_same_id(venue: Venue, rig: Rig) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return refusal(-1008, 503)

    venue.handler = busy
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    assert isinstance(outcome(told).reply, Limited)
    again = rig.client.submit(place(MARKET))
    assert again is None or not again.duplicate


@pytest.mark.req("P-ORD-13")
async def test_a_slow_cancel_is_said_again_after_300_ms(venue: Venue, rig: Rig) -> None:
    first = asyncio.Event()

    async def slow_once(request: web.Request) -> web.StreamResponse:
        if not first.is_set():
            first.set()
            await venue.release.wait()
        return await venue.accept(request)

    venue.handler = slow_once
    async with stopwatch() as took:
        rig.client.submit(cancel(MARKET))
        await rig.until(1)
    one, two = await rig.until(2)
    assert isinstance(outcome(one).reply, Ambiguous)
    assert (outcome(one).final, outcome(two).final, outcome(two).attempt) == (False, True, 2)
    assert took.seconds < 0.6
    assert isinstance(outcome(two).reply, Events)


async def test_cancels_have_room_when_placements_fill_it(venue: Venue) -> None:
    rig = Rig(venue.url, ClientLimits(in_flight_max=6, reserve=3))
    venue.handler = venue.hang
    refused = [rig.client.submit(place(MARKET, f"pd1-b-{n}")) for n in range(5)]
    assert [r is not None for r in refused] == [False, False, False, True, True]
    assert refused[-1] is not None
    assert "in flight" in refused[-1].reason
    assert [rig.client.submit(cancel(MARKET, f"pd1-b-{n}")) for n in range(3)] == [None, None, None]
    assert rig.client.submit(cancel(MARKET, "pd1-b-3")) is not None
    await rig.client.close()


async def test_a_clock_that_is_off_is_measured_and_the_order_said_again(venue: Venue, rig: Rig) -> None:
    away_ms = 1_500
    venue.server_ms = lambda: SystemClock().wall_ns() // 1_000_000 + away_ms

    async def strict(request: web.Request) -> web.StreamResponse:
        if abs(int(venue.seen[-1][2]["timestamp"]) - venue.server_ms()) > 1_000:
            return refusal(-1021, msg="Timestamp for this request is outside of the recvWindow.")
        return await venue.accept(request)

    venue.handler = strict
    began_ns = SystemClock.mono_ns()
    rig.client.submit(place(MARKET))
    first, moved, done = await rig.until(3)
    took_ms = (SystemClock.mono_ns() - began_ns) / 1e6
    assert isinstance(outcome(first).reply, ClockSkewed)
    assert (outcome(first).final, outcome(first).reply.events) == (False, ())
    assert isinstance(moved, ClockMoved)
    assert abs(moved.offset_ms - away_ms) <= took_ms / 2 + 1  # what is not known is which way took longer
    assert isinstance(outcome(done).reply, Events)
    assert venue.placed == ["pd1-b-1"]


async def test_beyond_the_window_nothing_is_placed_and_cancels_go(venue: Venue, rig: Rig) -> None:
    venue.server_ms = lambda: SystemClock().wall_ns() // 1_000_000 + 60_000
    began_ns = SystemClock.mono_ns()
    measured = await rig.client.sync_clock()
    took_ms = (SystemClock.mono_ns() - began_ns) / 1e6
    assert measured is not None
    assert abs(measured - 60_000) <= took_ms / 2 + 1  # what is not known is which way took longer
    refused = rig.client.submit(place(MARKET))
    assert refused is not None
    assert f"{measured} ms away" in refused.reason
    assert rig.client.submit(cancel(MARKET)) is None
    told = await rig.until(3)
    assert isinstance(told[0], ClockMoved)
    assert told[0].outside


async def test_a_refused_key_locks_placements_until_a_person_unlocks(venue: Venue, rig: Rig) -> None:
    async def bad_key(request: web.Request) -> web.StreamResponse:
        return refusal(-2015, 401, msg="Invalid API-key, IP, or permissions for action.")

    venue.handler = bad_key
    rig.client.submit(place(MARKET))
    (told,) = await rig.until(1)
    assert isinstance(outcome(told).reply, AuthFailed)
    locked = [rig.client.submit(place(MARKET, f"pd1-b-{n}")) for n in range(2, 12)]
    assert all(refused is not None and "key" in refused.reason for refused in locked)
    assert len(venue.seen) == 1
    rig.client.unlock()
    assert rig.client.status().locked == ""


async def test_an_order_that_cannot_be_said_is_refused_by_name_and_not_sent(venue: Venue, rig: Rig) -> None:
    refused = rig.client.submit(place(MARKET, price="60000.01"))
    assert refused is not None
    assert "multiple" in refused.reason
    assert not venue.seen


async def test_a_forbidden_request_raises_before_a_socket(venue: Venue, rig: Rig) -> None:
    class Turned(BinanceOrders):
        def encode(self, command: Any, now_ms: int) -> WireRequest:
            return msgspec.structs.replace(super().encode(command, now_ms), path="/fapi/v1/leverage")

    rig.client.dialect = Turned(USDM, INSTRUMENTS[USDM], rig.client.dialect.endpoints)
    with pytest.raises(ForbiddenRequestError):
        rig.client.submit(place(MARKET))
    assert not venue.seen


@pytest.mark.req("P-VEN-6")
async def test_a_batch_has_an_outcome_for_each_and_one_request_for_all(venue: Venue, rig: Rig) -> None:
    async def batch(request: web.Request) -> web.StreamResponse:
        items = json.loads(venue.seen[-1][2]["batchOrders"])
        answers = [order(item["newClientOrderId"]) for item in items]
        answers[1] = {"code": -2022, "msg": "ReduceOnly Order is rejected."}
        answers[2] = {"code": -4116, "msg": "ClientOrderId is duplicated."}
        return web.json_response(answers)

    venue.handler = batch
    assert rig.client.submit_batch([place(MARKET, f"pd1-b-{n}") for n in range(5)]) == []
    told = [outcome(item) for item in await rig.until(5)]
    assert [type(o.reply) for o in told] == [Events, Refused, Exists, Events, Events]
    assert [o.command.cl_ord_id for o in told if not isinstance(o.command, NotSent)] == [f"pd1-b-{n}" for n in range(5)]  # type: ignore[union-attr]
    assert [(m, p) for m, p, _ in venue.seen] == [("POST", "/fapi/v1/batchOrders")]


@pytest.mark.req("P-VEN-6")
async def test_what_a_batch_of_cancels_leaves_open_is_said_singly(venue: Venue, rig: Rig) -> None:
    async def broken_batch(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("batchOrders"):
            return web.Response(status=502)
        return await venue.accept(request)

    venue.handler = broken_batch
    rig.client.submit_batch([cancel(MARKET, f"pd1-b-{n}") for n in range(3)])
    told = [outcome(item) for item in await rig.until(6)]
    assert [o.final for o in told[:3]] == [False] * 3
    assert all(isinstance(o.reply, Events) for o in told[3:])
    assert [p for _, p, _ in venue.seen].count("/fapi/v1/order") == 3


@pytest.mark.req("P-VEN-6")
async def test_a_batch_of_placements_that_is_not_answered_is_not_said_again(venue: Venue, rig: Rig) -> None:
    async def broken_batch(request: web.Request) -> web.StreamResponse:
        return web.Response(status=502)

    venue.handler = broken_batch
    rig.client.submit_batch([place(MARKET, f"pd1-b-{n}") for n in range(3)])
    told = [outcome(item) for item in await rig.until(3)]
    assert all(isinstance(o.reply, Ambiguous) and o.final for o in told)
    await breath(0.1)
    assert len(venue.seen) == 1


async def test_where_a_venue_takes_no_batches_they_go_singly(venue: Venue) -> None:
    spot = BTC[SPOT]
    endpoints = OrderEndpoints(rest=venue.url, ws=venue.url)
    outbox: Outbox[ClientItem] = Outbox(lambda: None)
    client = OrderClient(
        BinanceOrders(SPOT, INSTRUMENTS[SPOT], endpoints),
        KEY,
        SystemClock(),
        Limiter(limits_of(SPOT), SystemClock()),
        put=outbox.put,
    )
    client.start()
    client.submit_batch([place(spot, f"pd1-b-{n}", qty="0.002") for n in range(3)])
    await until(lambda: len(venue.seen) >= 3)
    assert {p for _, p, _ in venue.seen} == {"/api/v3/order"}
    await client.close()


async def test_an_amendment_that_keeps_the_old_id_is_refused_to_who_does_not_follow_it(venue: Venue, rig: Rig) -> None:
    refused = rig.client.submit(replace(MARKET))
    assert refused is not None
    assert "not supported" in refused.reason  # the order core's word for "replace by cancel from now on"
    assert len(rig.client.submit_batch([replace(MARKET), replace(MARKET, "pd1-b-7", "pd1-b-8")])) == 2
    assert not venue.seen


async def test_an_amendment_is_sent_once_like_a_placement(venue: Venue) -> None:
    rig = Rig(venue.url, ClientLimits(amend_in_place=True))

    async def fail(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    venue.handler = fail
    rig.client.submit(replace(MARKET))
    (told,) = await rig.until(1)
    assert (outcome(told).final, len(venue.seen)) == (True, 1)
    await rig.client.close()


async def test_a_question_is_asked_again_until_it_is_answered(venue: Venue, rig: Rig) -> None:
    tries = 0

    async def third_time(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        tries += 1
        return web.json_response(order()) if tries == 3 else web.Response(status=502)

    venue.handler = third_time
    rig.client.submit(status(MARKET))
    told = [outcome(item) for item in await rig.until(3)]
    assert [o.final for o in told] == [False, False, True]
    assert isinstance(told[-1].reply, Events)


def test_the_outbox_wakes_once_keeps_order_and_counts_what_it_lost() -> None:
    wakes: list[int] = []
    outbox: Outbox[int] = Outbox(lambda: wakes.append(1), items_max=3)
    for number in range(5):
        outbox.put(number)
    assert (len(wakes), outbox.dropped) == (1, 2)
    assert outbox.drain() == [0, 1, 2]
    outbox.put(9)
    assert len(wakes) == 2


def test_credentials_are_compared_and_not_shown() -> None:
    assert "s3cr3t" not in repr([Credentials(api_key="k", secret="s3cr3t")])
