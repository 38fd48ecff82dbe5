"""The stream on a real socket: snapshot, then only what changed; a slow reader costs nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from adapters.clock import VirtualClock
from api.http import HttpServer, start_http
from api.metrics import OpsCounters
from api.projection import Projection
from api.stream import ALIASES, CLIENTS_MAX, NAMES, StreamHub, parse_topics
from tests.waiting import PATIENCE_S
from trading.operators import Topic


@pytest.fixture
def hub(projection: Projection) -> StreamHub:
    return StreamHub(projection, OpsCounters(), {"version": "1", "profile": "paper"}, 4)


def decode(hub: StreamHub, topics: str, cursor: int) -> tuple[dict[str, Any], int]:
    payload, following = hub.frame(parse_topics(topics), cursor)
    return json.loads(payload), following


@pytest.mark.req("P-EVT-1")
def test_the_first_frame_is_a_snapshot_and_the_next_only_what_changed(
    hub: StreamHub, projection: Projection, publish: Any
) -> None:
    publish(projection, Topic.BOOK, "a", {"bid": 1})
    publish(projection, Topic.BOOK, "b", {"bid": 1})
    frame, cursor = decode(hub, "book", 0)
    assert frame["type"] == "snapshot"
    assert set(frame["facts"]["book"]) == {"a", "b"}
    publish(projection, Topic.BOOK, "b", {"bid": 2})
    publish(projection, Topic.BOOK, "b", {"bid": 3})
    publish(projection, Topic.PNL, "desk", {"total_usd": 1})
    frame, cursor = decode(hub, "book", cursor)
    assert frame["type"] == "update"
    assert frame["facts"] == {"book": {"b": {"bid": 3}}}
    frame, _ = decode(hub, "book", cursor)
    assert frame["facts"] == {}


def test_a_frame_is_bounded_however_far_the_reader_is_behind(
    hub: StreamHub, projection: Projection, publish: Any
) -> None:
    for number in range(1_500):
        publish(projection, Topic.ORDER, str(number), {"n": number})
    frame, _ = decode(hub, "order", 0)
    keys = list(frame["facts"]["order"])
    assert len(keys) == 300
    assert keys[-1] == "1499"


@pytest.mark.req("P-EVT-1")
def test_topics_are_chosen_by_our_names_and_by_the_specifications() -> None:
    assert parse_topics("book, PNL") == {"book", "pnl"}
    assert parse_topics("execution") == {"order", "fill"}
    assert {"control", "book", "event"} <= parse_topics(None)
    assert all(name in NAMES for names in ALIASES.values() for name in names)
    with pytest.raises(ValueError, match="weather"):
        parse_topics("book,weather")


def test_every_frame_says_whether_the_desk_may_be_believed(hub: StreamHub) -> None:
    frame, _ = decode(hub, "control", 0)
    assert frame["control"]["permit"]["valid"] is False
    assert frame["control"]["readiness"]["status"] == "fail"


@pytest.mark.req("P-API-27")
async def test_a_websocket_gets_a_snapshot_then_updates(
    server: HttpServer, projection: Projection, publish: Any, feed: Any
) -> None:
    feed(projection, steps=3)
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{server.url}api/ui/stream") as socket:
        first = await socket.receive_json(timeout=PATIENCE_S)
        assert first["type"] == "snapshot"
        assert first["control"]["version"] == "0.1.0"
        assert len(first["facts"]["book"]) == 4
        publish(projection, Topic.EVENT, "e", {"level": "info", "text": "hello"})
        while "event" not in (frame := await socket.receive_json(timeout=PATIENCE_S))["facts"]:
            pass
        assert frame["facts"]["event"]["e"]["text"] == "hello"


@pytest.mark.parametrize("path", ["api/ui/stream?topics=quotes", "api/ui/stream-sse?topics=quotes"])
@pytest.mark.req("P-API-27")
async def test_the_same_path_speaks_sse_and_resumes_from_the_last_event(
    server: HttpServer, projection: Projection, publish: Any, path: str
) -> None:
    publish(projection, Topic.BOOK, "a", {"bid": 1})
    async with aiohttp.ClientSession() as client:
        async with client.get(server.url + path, headers={"Accept": "text/event-stream"}) as answer:
            assert answer.content_type == "text/event-stream"
            event = (await answer.content.readuntil(b"\n\n")).decode()
        lines = dict(line.split(": ", 1) for line in event.strip().splitlines())
        assert json.loads(lines["data"])["facts"] == {"book": {"a": {"bid": 1}}}
        publish(projection, Topic.BOOK, "b", {"bid": 2})
        async with client.get(server.url + path, headers={"Last-Event-ID": lines["id"]}) as answer:
            event = (await answer.content.readuntil(b"\n\n")).decode()
        data = json.loads(event.split("data: ", 1)[1])
        assert data["facts"] == {"book": {"b": {"bid": 2}}}


async def test_an_unknown_topic_is_refused_with_the_known_ones(server: HttpServer) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}api/ui/stream?topics=weather") as answer:
        assert answer.status == 400
        assert "book" in (await answer.json())["error"]["mend"]


async def test_a_foreign_page_cannot_open_the_websocket(server: HttpServer) -> None:
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await client.ws_connect(f"{server.url}api/ui/stream", origin="http://evil.example")


async def test_readers_beyond_the_bound_are_refused(projection: Projection, bus: Any, clock: VirtualClock) -> None:
    counters = OpsCounters()
    counters.stream_clients = CLIENTS_MAX
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock, counters=counters)
    try:
        async with aiohttp.ClientSession() as client, client.get(f"{server.url}api/ui/stream") as answer:
            assert answer.status == 503
    finally:
        await server.close()


async def test_a_reader_that_stands_still_is_closed_and_holds_no_memory(
    projection: Projection, bus: Any, clock: VirtualClock, publish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stream.SLOW_CLOSE_S", 0.2)
    counters = OpsCounters()
    server = await start_http(
        projection, bus, "127.0.0.1", 0, version="1", clock=clock, counters=counters, stream_hz=200
    )
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    try:
        writer.write(f"GET /api/ui/stream?topics=event HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            number = 0
            while not counters.stream_slow_closed:
                number += 1
                publish(projection, Topic.EVENT, str(number), {"text": "x" * 200_000})
                await asyncio.sleep(0)
        assert counters.stream_clients == 0
    finally:
        writer.close()
        await server.close()


async def test_closing_the_server_ends_the_streams(projection: Projection, bus: Any, clock: VirtualClock) -> None:
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock)
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{server.url}api/ui/stream") as socket:
        await socket.receive_json(timeout=PATIENCE_S)
        await asyncio.gather(server.close(), _until_closed(socket))
    assert socket.closed


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass
