"""The HTTP face over a real socket: what it answers, what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel

from adapters.clock import VirtualClock
from api.http import ENDPOINTS, HttpServer, start_http
from api.projection import Projection
from api.schemas import API_VERSION
from trading.operators import CommandKind, Topic


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=server.url) as session:
        yield session


GETS: list[tuple[str, type[BaseModel]]] = [
    (endpoint.path, endpoint.answer)
    for endpoint in ENDPOINTS
    if endpoint.method == "GET" and endpoint.answer is not None and not endpoint.query
]


@pytest.mark.parametrize(("path", "model"), GETS)
@pytest.mark.parametrize("steps", [0, 20])
@pytest.mark.req("P-API-0")
async def test_each_get_answers_in_its_documented_shape_with_and_without_facts(
    client: aiohttp.ClientSession, projection: Projection, feed: Any, path: str, model: type[BaseModel], steps: int
) -> None:
    feed(projection, steps=steps)
    async with client.get(path) as answer:
        assert answer.status == 200
        assert answer.headers["X-API-Version"] == API_VERSION
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        model.model_validate_json(await answer.read())


@pytest.mark.req("P-API-1")
async def test_health_is_status_version_and_time(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/health") as answer:
        body = await answer.json()
    assert body["status"] == "ok"
    assert body["version"] == "0.1.0"
    assert body["ts"].startswith("2025-10-09T")


@pytest.mark.req("C-API-5")
async def test_context_that_is_switched_off_is_null(client: aiohttp.ClientSession) -> None:
    async with client.get("/context") as answer:
        body = await answer.json()
    assert body["enabled"] is False
    assert body["btc_dominance_pct"] is body["fear_greed"] is body["fear_greed_class"] is body["dxy"] is None


@pytest.mark.req("P-API-2")
async def test_readiness_is_a_superset_and_answers_200_when_red(client: aiohttp.ClientSession) -> None:
    async with client.get("/live-readiness") as answer:
        assert answer.status == 200
        body = await answer.json()
    assert body["ok"] is body["ready"] is False
    expected = {"ok", "ready", "status", "reasons", "metrics", "advice_ru", "leader", "fencing_token", "venue_halt"}
    assert expected | {"data_quorum"} <= set(body)
    assert {"code", "detail"} <= set(body["reasons"][0])


@pytest.mark.req("P-API-3")
async def test_control_state_shows_mode_permit_and_that_the_data_is_synthetic(
    client: aiohttp.ClientSession, projection: Projection, feed: Any
) -> None:
    feed(projection)
    async with client.get("/api/ui/control-state") as answer:
        body = await answer.json()
    assert body["global_mode"] == "run"
    assert body["trading"] is True
    assert body["permit"]["epoch"] == 7
    assert body["synthetic"] is True
    assert body["profile"] == "paper"


@pytest.mark.req("P-API-10")
async def test_exposure_is_net_and_gross_by_venue_and_symbol(
    client: aiohttp.ClientSession, projection: Projection, publish: Any
) -> None:
    for key, venue, qty, notional in [
        ("A:SPOT:BTC-USDT", "A", "0.5", "30000"),
        ("B:PERP:BTC-USDT:LINEAR", "B", "-0.4", "24000.5"),
        ("B:PERP:ETH-USDT:LINEAR", "B", "0", "0"),
    ]:
        publish(projection, Topic.POSITION, key, {"venue": venue, "qty": qty, "notional_usd": notional})
    async with client.get("/api/ui/exposure") as answer:
        body = await answer.json()
    assert body["total"] == {"net_usd": "5999.5", "gross_usd": "54000.5"}
    assert body["by_venue"]["B"] == {"net_usd": "-24000.5", "gross_usd": "24000.5"}
    assert body["by_symbol"] == {"BTC-USDT": {"net_usd": "5999.5", "gross_usd": "54000.5"}}


@pytest.mark.req("P-API-8")
async def test_pnl_has_its_history_oldest_first(
    client: aiohttp.ClientSession, projection: Projection, feed: Any
) -> None:
    feed(projection, steps=5)
    async with client.get("/api/ui/pnl") as answer:
        body = await answer.json()
    times = [point["ts_ns"] for point in body["history"]]
    assert len(times) == 5
    assert times == sorted(times)
    assert body["pnl"]["ledger_residual"] == "0"


@pytest.mark.req("P-API-7")
async def test_execution_lists_the_newest_order_first(
    client: aiohttp.ClientSession, projection: Projection, feed: Any
) -> None:
    feed(projection, steps=10)
    async with client.get("/api/ui/execution") as answer:
        body = await answer.json()
    assert body["orders"][0]["cl_ord_id"] == "pd-7-000009"
    assert body["latency"]["tick_to_order"]["stages"]["total"]["p99_us"] == 4200


@pytest.mark.req("P-API-4")
@pytest.mark.parametrize("action", ["hold", "pause", "resume", "kill", "cancel_all", "unlock", "adopt"])
async def test_a_command_reaches_the_desk_with_who_and_why(
    client: aiohttp.ClientSession, bus: Any, action: str
) -> None:
    body = {"action": action, "scope": "venue:BINANCE", "cause": "drill of the week"}
    async with client.post("/api/control", json=body) as answer:
        assert answer.status == 200
        said = await answer.json()
    assert said["done"] is True
    (command,) = bus.commands
    assert command.kind is CommandKind(action)
    assert (command.scope, command.cause, command.actor) == ("venue:BINANCE", "drill of the week", "http:127.0.0.1")
    assert said["command_id"] == command.command_id


@pytest.mark.parametrize(
    ("body", "field", "mend"),
    [
        (b"{not json", "body", "send one JSON object"),
        (b"[]", "body", "openapi"),
        (b"{}", "action", "add the key 'action'"),
        (b'{"action": "hold"}', "cause", "add the key 'cause'"),
        (b'{"action": "stop", "cause": "drill"}', "action", "'hold'"),
        (b'{"action": "hold", "cause": "x"}', "cause", "between 3 and 500"),
        (b'{"action": "hold", "cause": 17}', "cause", "openapi"),
        (b'{"action": "hold", "cause": "drill", "scpe": "global"}', "scpe", "rename it to 'scope'"),
        (b'{"action": "hold", "cause": "drill", "zzz": 1}', "zzz", "remove it"),
        (b'{"action": "hold", "cause": "drill", "scope": "all venues"}', "scope", "venue:<venue>"),
    ],
)
async def test_a_wrong_body_gets_one_error_that_names_the_field_and_the_mend(
    client: aiohttp.ClientSession, bus: Any, body: bytes, field: str, mend: str
) -> None:
    async with client.post("/api/control", data=body, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 400
        said = await answer.json()
    assert said["error"]["field"] == field
    assert mend in said["error"]["mend"]
    assert said["error"]["message"]
    assert bus.commands == []


@pytest.mark.parametrize(("mode", "status"), [("refused", 409), ("broken", 503)])
async def test_a_refusal_and_an_unreachable_desk_are_told_apart(
    client: aiohttp.ClientSession, bus: Any, mode: str, status: int
) -> None:
    bus.mode = mode
    async with client.post("/api/control", json={"action": "resume", "cause": "drill"}) as answer:
        assert answer.status == status
        said = await answer.json()
    assert said["done"] is False
    assert said["error"]["mend"]


async def test_a_desk_that_does_not_answer_is_a_504_with_the_way_out(
    clock: VirtualClock, projection: Projection, bus: Any
) -> None:
    bus.mode = "silent"
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock, answer_timeout_s=0.05)
    try:
        async with (
            aiohttp.ClientSession(base_url=server.url) as client,
            client.post("/api/control", json={"action": "hold", "cause": "drill"}) as answer,
        ):
            assert answer.status == 504
            assert "propdesk hold" in (await answer.json())["error"]["mend"]
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:8000"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({}, 200),
    ],
)
async def test_a_foreign_page_cannot_command_the_desk(
    client: aiohttp.ClientSession, bus: Any, headers: dict[str, str], status: int
) -> None:
    body = b'{"action": "resume", "cause": "drill"}'
    sent = {"Content-Type": "application/json", **headers}
    async with client.post("/api/control", data=body, headers=sent) as answer:
        assert answer.status == status
    assert len(bus.commands) == (status == 200)


async def test_dns_rebinding_reads_nothing(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/ui/pnl", headers={"Host": "rebound.example"}) as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["field"] == "Host"


async def test_the_pages_own_origin_is_welcome(client: aiohttp.ClientSession, server: HttpServer) -> None:
    origin = server.url.rstrip("/")
    body = {"action": "hold", "cause": "drill"}
    async with client.post("/api/control", json=body, headers={"Origin": origin}) as answer:
        assert answer.status == 200


async def test_a_huge_body_is_refused(client: aiohttp.ClientSession) -> None:
    body = b'{"action": "hold", "cause": "' + b"x" * 40_000 + b'"}'
    async with client.post("/api/control", data=body, headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/api/control", 405)])
async def test_what_is_not_served_is_said_in_json(
    client: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["mend"]
        assert answer.headers["X-API-Version"] == API_VERSION


async def test_why_prefers_the_journal_and_falls_back_to_the_projection(
    client: aiohttp.ClientSession, projection: Projection, bus: Any, feed: Any
) -> None:
    feed(projection, steps=10)
    bus.body = {"book": {"update_id": 5}}
    async with client.get("/api/ui/why", params={"cl_ord_id": "pd-7-000009"}) as answer:
        body = await answer.json()
    assert body["source"] == "journal"
    assert body["story"]["book"] == {"update_id": 5}
    assert body["story"]["projection"]["fills"][0]["cl_ord_id"] == "pd-7-000009"
    bus.mode = "broken"
    async with client.get("/api/ui/why", params={"cl_ord_id": "pd-7-000009"}) as answer:
        body = await answer.json()
    assert (answer.status, body["source"]) == (200, "projection")
    assert body["story"]["order"]["ord_status"] == "filled"
    async with client.get("/api/ui/why", params={"cl_ord_id": "nobody"}) as answer:
        assert answer.status == 404
    async with client.get("/api/ui/why", params={"cl_ord_id": "<script>"}) as answer:
        assert answer.status == 400


@pytest.mark.req("P-API-0")
async def test_openapi_describes_every_route_that_is_served(client: aiohttp.ClientSession, server: HttpServer) -> None:
    async with client.get("/openapi.json") as answer:
        document = await answer.json()
    described = {(method.upper(), path) for path, row in document["paths"].items() for method in row}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    control = document["paths"]["/api/control"]["post"]
    reference = control["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"action", "cause"}
    used = str(document)
    assert all(f"schemas/{name}" in used for name in ("ErrorAnswer", "PnlAnswer", "ReasonAnswer"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
async def test_it_binds_to_loopback_and_nothing_else(
    host: str, projection: Projection, bus: Any, clock: VirtualClock
) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        await start_http(projection, bus, host, 0, version="1", clock=clock)


async def test_a_busy_port_is_said_in_words(
    server: HttpServer, projection: Projection, bus: Any, clock: VirtualClock
) -> None:
    with pytest.raises(OSError, match=f"port {server.port} on 127.0.0.1 is taken"):
        await start_http(projection, bus, "127.0.0.1", server.port, version="1", clock=clock)


async def test_the_page_is_served_with_everything_that_it_imports(client: aiohttp.ClientSession) -> None:
    async with client.get("/") as answer:
        page = await answer.text()
        assert answer.content_type == "text/html"
    assert "http://" not in page
    assert "https://" not in page
    for name in ("app.js", "panels.js", "chart.js", "dom.js", "words.js", "style.css"):
        async with client.get(f"/ui/{name}") as answer:
            assert answer.status == 200
    async with client.get("/ui/..%2fhttp.py") as answer:
        assert answer.status == 404


async def test_a_flood_of_questions_is_refused_while_hold_goes_through(
    clock: VirtualClock, projection: Projection, bus: Any
) -> None:
    bus.mode = "silent"
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock, answer_timeout_s=0.3)
    try:
        async with aiohttp.ClientSession(base_url=server.url) as client:

            async def ask() -> int:
                async with client.get("/api/ui/why", params={"cl_ord_id": "x"}) as answer:
                    return answer.status

            asked = [asyncio.ensure_future(ask()) for _ in range(30)]
            for _ in range(8):
                await bus.received.get()
            async with client.post("/api/control", json={"action": "hold", "cause": "drill"}) as answer:
                assert answer.status == 504
            assert set(await asyncio.gather(*asked)) == {404}
        kinds = [command.kind for command in bus.commands]
        assert kinds.count(CommandKind.HOLD) == 1
        assert kinds.count(CommandKind.WHY) < 30
    finally:
        await server.close()
