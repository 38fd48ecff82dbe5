"""The feed on real sockets: what the desk is told when the other end is silent, gone, full, down or lying."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from adapters.clock import SystemClock
from adapters.sources import Frame
from adapters.streams import events as e
from adapters.streams.budget import ConnectionBudget, ConnectionLimits
from adapters.streams.dialects.base import Endpoints
from adapters.streams.feed import Feed, FeedSpec
from adapters.streams.news import news_of
from adapters.streams.state import ConnectionRules
from adapters.streams.topics import MS_NS, SECOND_NS, TopicKind
from tests.adapters.streams.conftest import BBO, BTC, DEPTH, TRADE, Desk
from tests.waiting import stopwatch, until

QUICK = ConnectionRules(
    ack_ns=800 * MS_NS,
    jitter_min_ns=20 * MS_NS,
    jitter_max_ns=50 * MS_NS,
    backoff_max_ns=400 * MS_NS,
    maintenance_max_ns=400 * MS_NS,
    stable_ns=SECOND_NS,
)
MUTE = {"book": 600, "bbo": 600}


def alive(desk: Desk) -> bool:
    return {event.topic for event in desk.of(e.TopicAlive)} >= {DEPTH, BBO}


def states(desk: Desk) -> list[str]:
    return [connection.status for connection in desk.feed.status().connections]


@pytest.mark.req("P-MD-15")
async def test_frames_come_in_order_and_a_snapshot_after_the_first_diff(venue, open_desk) -> None:
    desk = open_desk(venue)
    await desk.until(lambda: any(frame.symbol for frame in desk.frames) and len(desk.numbers()) > 5)
    numbers = desk.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 3, 3))
    snapshot = next(frame for frame in desk.frames if frame.symbol)
    assert snapshot.symbol == "BTCUSDT"
    assert json.loads(snapshot.payload)["lastUpdateId"] >= numbers[0]
    assert type(desk.items[0]) in {e.Connected, e.ServerTime}
    assert states(desk) == ["live"]
    time = desk.of(e.ServerTime)[0]
    assert time.sent_ns - MS_NS <= time.server_ns <= time.recv_ns  # the same clock, to the millisecond


async def test_a_mute_stream_that_still_pongs_is_found_within_two_seconds(venue, open_desk) -> None:
    desk = open_desk(venue)
    await desk.until(lambda: alive(desk) and len(desk.numbers()) > 20)
    async with stopwatch() as took:
        venue.clients[0].speaking = False
        await desk.until(lambda: desk.of(e.Disconnected))
    assert took.seconds < 2
    assert "mute" in desk.of(e.Disconnected)[0].reason
    assert desk.of(e.Disconnected)[0].symbols == ("BTCUSDT",)
    await desk.until(lambda: len(desk.of(e.Connected)) == 2 and states(desk) == ["live"])


async def test_one_mute_topic_is_asked_for_again_and_comes_back(venue, open_desk) -> None:
    desk = open_desk(venue, rules=QUICK, mute_ms=MUTE)
    await desk.until(lambda: alive(desk))
    venue.silent.add(DEPTH)
    await desk.until(lambda: desk.of(e.TopicLost))
    lost = desk.of(e.TopicLost)[0]
    assert (lost.topic, lost.symbol, lost.kind) == (DEPTH, "BTCUSDT", "book")
    venue.silent.clear()
    await desk.until(lambda: [event.topic for event in desk.of(e.TopicAlive)].count(DEPTH) == 2)
    assert desk.of(e.Disconnected) == []
    again = [request["method"] for request in venue.clients[0].requests if request["params"] == [DEPTH]]
    assert again == ["UNSUBSCRIBE", "SUBSCRIBE"]


async def test_a_topic_that_the_route_grants_and_never_serves_is_noticed(venue, open_desk) -> None:
    venue.silent.add(DEPTH)
    desk = open_desk(venue, rules=QUICK)
    await desk.until(lambda: desk.of(e.TopicLost))  # after the five seconds that first diffs are given
    assert "silent" in desk.of(e.TopicLost)[0].reason
    await desk.until(lambda: len(venue.clients) > 1)  # another connection is tried beside the first


async def test_an_unanswered_subscription_is_a_failure(venue, open_desk) -> None:
    venue.unacked.add(TRADE)
    venue.silent |= {DEPTH, BBO}
    desk = open_desk(venue, rules=QUICK)
    await desk.until(lambda: desk.of(e.TopicLost))
    assert {event.topic for event in desk.of(e.TopicLost)} == {DEPTH, BBO, TRADE}
    assert all("unacked" in event.reason for event in desk.of(e.TopicLost))
    await desk.until(lambda: len(venue.clients) >= 2)


async def test_what_is_refused_together_is_asked_for_by_halves(venue, open_desk) -> None:
    venue.refused.add(TRADE)
    desk = open_desk(venue)
    await desk.until(lambda: alive(desk) and desk.of(e.TopicRefused))
    assert [event.topic for event in desk.of(e.TopicRefused)] == [TRADE]
    assert len(venue.clients) == 1
    assert states(desk) == ["degraded"]


async def test_a_half_open_connection_is_found_without_data_to_miss(venue, open_desk) -> None:
    rules = ConnectionRules(
        ping_every_ns=300 * MS_NS, pong_ns=300 * MS_NS, jitter_min_ns=MS_NS, jitter_max_ns=2 * MS_NS
    )
    desk = open_desk(venue, rules=rules, topics=frozenset({TopicKind.TRADES}))
    await desk.until(lambda: states(desk) == ["live"])
    transport = venue.clients[0].ws._req.transport
    transport.pause_reading()  # the other end is there for TCP and for nobody else
    await desk.until(lambda: desk.of(e.Disconnected))
    assert "half open" in desk.of(e.Disconnected)[0].reason
    await desk.until(lambda: len(desk.of(e.Connected)) == 2)


@pytest.mark.req("P-VEN-13")
async def test_a_reset_is_followed_by_a_new_connection_and_a_new_snapshot(venue, open_desk) -> None:
    desk = open_desk(venue, rules=QUICK)
    await desk.until(lambda: alive(desk) and any(frame.symbol for frame in desk.frames))
    desk.items.clear()
    venue.drop(venue.clients[0])
    await desk.until(lambda: alive(desk) and any(frame.symbol for frame in desk.frames))
    kinds = [type(item) for item in desk.items if not isinstance(item, Frame)]
    assert kinds.index(e.Disconnected) < kinds.index(e.Connected) < kinds.index(e.TopicAlive)
    assert desk.feed.status().connections[0].counters.disconnects == 1


async def test_no_port_no_storm(open_desk, free_port) -> None:
    endpoints = Endpoints(ws=f"ws://127.0.0.1:{free_port}", rest=f"http://127.0.0.1:{free_port}")
    woken = asyncio.Event()
    feed = Feed(FeedSpec(venue="binance", instruments=(BTC,), endpoints=endpoints), SystemClock(), woken.set)
    feed.start()
    desk = Desk(feed, woken)
    try:
        await desk.until(lambda: feed.status().connections[0].counters.backoffs >= 1)
        status = feed.status().connections[0]
        assert status.status == "backoff"
        assert status.reason
        await desk.until(lambda: desk.of(e.FetchFailed))
    finally:
        await feed.close()


@pytest.mark.parametrize("how", ["handshake", "close"])
async def test_maintenance_is_a_state_with_a_beginning_and_an_end(venue, open_desk, how) -> None:
    desk = open_desk(venue, rules=QUICK)
    await desk.until(lambda: alive(desk))
    venue.handshake_status = 503
    if how == "close":
        await venue.clients[0].ws.close(code=1012, message=b"service restart")
    else:
        venue.drop(venue.clients[0])
    await desk.until(lambda: desk.of(e.MaintenanceBegan) and states(desk) == ["maintenance"])
    before = venue.handshakes
    await desk.until(lambda: venue.handshakes >= before + 2)
    assert states(desk) == ["maintenance"]
    venue.handshake_status = 0
    await desk.until(lambda: desk.of(e.MaintenanceEnded) and states(desk) == ["live"])
    assert len(desk.of(e.MaintenanceBegan)) == len(desk.of(e.MaintenanceEnded)) == 1


async def test_a_handshake_that_is_answered_by_429_is_not_repeated_before_its_time(venue, open_desk) -> None:
    venue.handshake_status, venue.headers = 429, {"Retry-After": "1"}
    began = SystemClock.mono_ns()
    desk = open_desk(venue, rules=QUICK)
    await desk.until(lambda: venue.handshakes == 1)
    venue.handshake_status = 0
    await desk.until(lambda: alive(desk))
    assert SystemClock.mono_ns() - began > 900 * MS_NS
    assert venue.handshakes == 2


async def test_feeds_share_one_budget_of_connections(venue, open_desk) -> None:
    tight = ConnectionLimits(per_5_min=100, per_min=100, at_once=1)
    budget = ConnectionBudget({"binance": tight})
    first = open_desk(venue, budget=budget)
    await first.until(lambda: alive(first))
    second = open_desk(venue, budget=budget)
    await second.until(lambda: states(second) == ["backoff"])
    assert "budget" in second.feed.status().connections[0].reason
    assert len(venue.clients) == 1
    await first.feed.close()
    await second.until(lambda: alive(second))
    assert budget.open_of("binance") == 1


async def test_a_rotation_loses_nothing_and_repeats_nothing(venue, open_desk) -> None:
    desk = open_desk(venue)
    await desk.until(lambda: len(desk.numbers()) > 10)
    await venue.clients[0].ws.send_str('{"e":"serverShutdown","E":1700000000000}')
    await desk.until(lambda: desk.of(e.Rotated))
    seen = len(desk.numbers())
    await desk.until(lambda: len(desk.numbers()) > seen + 20)
    numbers = desk.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 3, 3))
    assert desk.of(e.Disconnected) == []
    await desk.until(lambda: len(venue.open) == 1)
    assert venue.open[0].number == 1
    assert states(desk) == ["live"]


@pytest.mark.parametrize(
    "payload", ["", "{", "[]", "null", '{"stream":5}', '{"id":1e999}', '{"stream":"x"', "[" * 5000, '{"id":"é"}']
)
async def test_nonsense_goes_on_to_the_codec_and_ends_nothing(venue, open_desk, payload) -> None:
    desk = open_desk(venue)
    await desk.until(lambda: alive(desk))
    await venue.clients[0].ws.send_str(payload)
    await venue.clients[0].ws.send_bytes(payload.encode() or b"\xff\xfe")
    wanted = {payload.encode(), payload.encode() or b"\xff\xfe"}
    await desk.until(lambda: wanted <= {frame.payload for frame in desk.frames})
    assert desk.of(e.Disconnected) == []
    assert desk.feed._connections[0].faults == 0


async def test_a_message_beyond_all_bounds_costs_the_connection_and_nothing_else(venue, open_desk) -> None:
    desk = open_desk(venue, rules=QUICK)
    await desk.until(lambda: alive(desk))
    with contextlib.suppress(ConnectionError):
        await venue.clients[0].ws.send_str("x" * (9 << 20))
    await desk.until(lambda: desk.of(e.Disconnected))
    await desk.until(lambda: len(desk.of(e.Connected)) == 2)


async def test_a_full_queue_drops_frames_and_names_their_topics(venue, open_desk) -> None:
    desk = open_desk(venue, queue_max=20)
    await until(lambda: desk.feed.status().dropped >= 5)
    assert desk.feed.status().queued < 60
    desk.take()
    (overflow,) = desk.of(e.Overflowed)
    assert overflow.dropped >= 5
    assert overflow.symbols == ("BTCUSDT",)
    assert set(overflow.topics) <= {DEPTH, BBO}
    await desk.until(lambda: isinstance(desk.items[-1], Frame))  # what comes afterwards comes again


async def test_a_snapshot_that_is_wanted_many_times_is_fetched_once(venue, open_desk) -> None:
    desk = open_desk(venue)
    await desk.until(lambda: any(frame.symbol for frame in desk.frames))
    before = venue.requests["depth"]
    for _ in range(50):
        desk.feed.want_snapshot("BTCUSDT")
    desk.feed.want_snapshot("NOSUCH")
    desk.items.clear()
    await desk.until(lambda: any(frame.symbol for frame in desk.frames))
    assert venue.requests["depth"] == before + 1


async def test_a_snapshot_is_asked_for_until_it_comes(venue, open_desk) -> None:
    failures = iter([500, 500, 500, 500])

    def rest(request: web.Request) -> web.Response | None:
        status = next(failures, 0) if request.path.endswith("depth") else 0
        return web.Response(status=status) if status else None

    venue.rest = rest
    desk = open_desk(venue)
    await desk.until(lambda: any(frame.symbol for frame in desk.frames))
    failed = [event for event in desk.of(e.FetchFailed) if event.channel == "depth"]
    assert failed
    assert failed[0].retry_ns > 0


async def test_what_is_asked_for_once_an_hour_is_asked_again_at_once_when_it_failed(venue, open_desk) -> None:
    failures = iter([500] * 4)  # the tries of one request and the first of the next

    def rest(request: web.Request) -> web.Response | None:
        status = next(failures, 0) if request.path.endswith("exchangeInfo") else 0
        return web.Response(status=status) if status else None

    venue.rest = rest
    desk = open_desk(venue)
    await desk.until(lambda: any(polled.channel == "instruments" for polled in desk.of(e.Polled)))
    assert [event.retry_ns for event in desk.of(e.FetchFailed) if event.channel == "instruments"] == [1_000_000_000]


async def test_wake_is_called_once_from_empty_to_non_empty(venue) -> None:
    calls = 0

    def wake() -> None:
        nonlocal calls
        calls += 1

    feed = Feed(FeedSpec(venue="binance", instruments=(BTC,), endpoints=venue.endpoints), SystemClock(), wake)
    feed.start()
    try:
        await until(lambda: feed.status().queued >= 30)
        assert calls == 1
        assert len(feed.drain(10)) == 10
        await asyncio.sleep(0)
        assert calls == 2  # some was left
        while feed.drain():
            pass
        await until(lambda: calls >= 3)
    finally:
        await feed.close()


async def test_closing_leaves_no_task_and_no_connection(venue, open_desk) -> None:
    before = len(asyncio.all_tasks())
    desk = open_desk(venue)
    await desk.until(lambda: alive(desk))
    await desk.feed.close()
    await until(lambda: not venue.open)
    ours = [task for task in asyncio.all_tasks() if "adapters/streams" in repr(task.get_coro())]
    assert ours == []
    assert len(asyncio.all_tasks()) <= before + 2
    assert states(desk) == ["closed"]


@pytest.mark.req("P-MD-4")
async def test_two_views_deliver_every_diff_once_while_one_of_them_breaks(venue, open_desk) -> None:
    desk = open_desk(venue, views=("a", "b"), rules=QUICK)
    await desk.until(lambda: len(venue.open) == 2 and len(desk.numbers()) > 20)
    seen = len(desk.numbers())
    leads = next(view.view for view in desk.feed.status().views["stream"] if view.leads)
    index = 0 if desk.of(e.Connected)[0].view == leads else 1
    venue.drop(venue.clients[index])
    await desk.until(lambda: desk.of(e.Disconnected) and len(desk.numbers()) > seen + 30)
    (lost,) = desk.of(e.Disconnected)
    assert lost.view == leads
    assert lost.covered
    numbers = desk.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 3, 3))
    await desk.until(lambda: len(venue.open) == 2)
    assert any("leads after" in event.reason for event in desk.of(e.ViewChanged))


@pytest.mark.req("P-MD-4")
async def test_a_book_that_only_the_leading_view_no_longer_brings_goes_on_through_the_other(venue, open_desk) -> None:
    desk = open_desk(venue, views=("a", "b"), rules=QUICK, mute_ms={"book": 1200})
    await desk.until(lambda: states(desk) == ["live", "live"] and len(desk.numbers()) > 20)
    leads = next(view.view for view in desk.feed.status().views["stream"] if view.leads)
    index = 0 if desk.of(e.Connected)[0].view == leads else 1
    venue.clients[index].topics.discard(DEPTH)
    await desk.until(lambda: desk.of(e.TopicLost))
    lost = desk.of(e.TopicLost)[0]
    assert (lost.view, lost.topic) == (leads, DEPTH)
    assert lost.covered
    assert news_of(lost).lost == ()
    numbers = desk.numbers()
    assert numbers == list(range(numbers[0], numbers[-1] + 3, 3))


@pytest.mark.req("P-MD-3", "P-MD-4")
async def test_a_book_that_no_view_brings_any_more_is_lost(venue, open_desk) -> None:
    desk = open_desk(venue, views=("a", "b"), rules=QUICK, mute_ms={"book": 400})
    await desk.until(lambda: states(desk) == ["live", "live"] and len(desk.numbers()) > 20)
    venue.silent.add(DEPTH)
    await desk.until(lambda: [lost for lost in desk.of(e.TopicLost) if not lost.covered])
    lost = next(lost for lost in desk.of(e.TopicLost) if not lost.covered)
    assert news_of(lost).lost == ("BTCUSDT",)
