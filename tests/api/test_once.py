"""What is asked with a key is carried out once: at the same time, again, and after a crash."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from adapters.clock import VirtualClock
from adapters.idempotency import IdempotencyStore
from api.control import CommandPort, Fate
from api.http import start_http
from api.metrics import OpsCounters
from api.projection import Projection
from trading.operators import CommandKind
from trading.orders.idempotency import order_key
from trading.orders.messages import Side

KEY = "BTC/USDT:buy:0.01:29833333:9f1c2ab8"


@pytest.fixture
def store(tmp_path):
    made = IdempotencyStore(tmp_path / "operations.db")
    yield made
    made.close()


@pytest.fixture
def port(bus: Any, clock: VirtualClock, store: IdempotencyStore) -> CommandPort:
    return CommandPort(bus, clock, OpsCounters(), 5.0, store)


def ask(port: CommandPort, kind: CommandKind = CommandKind.KILL, key: str = KEY, scope: str = "global") -> Any:
    return port.ask(kind, scope=scope, actor="alice", cause="a test", key=key)


@pytest.mark.req("C-EXEC-8")
async def test_the_same_request_by_ten_callers_at_once_reaches_the_desk_once(bus: Any, port: CommandPort) -> None:
    outcomes = await asyncio.gather(*(ask(port) for _ in range(10)))
    assert len(bus.commands) == 1
    assert {outcome.command_id for outcome in outcomes} == {bus.commands[0].command_id}
    assert sorted(outcome.repeated for outcome in outcomes) == [False] + [True] * 9
    assert {outcome.fate for outcome in outcomes} == {Fate.DONE}


@pytest.mark.req("C-EXEC-8")
async def test_after_a_restart_the_first_answer_is_told_again_and_nothing_is_done(
    bus: Any, port: CommandPort, clock: VirtualClock, store: IdempotencyStore
) -> None:
    first = await ask(port)
    second = await ask(CommandPort(bus, clock, OpsCounters(), 5.0, store))
    assert len(bus.commands) == 1
    assert (second.repeated, second.text, second.command_id) == (True, first.text, first.command_id)


@pytest.mark.req("C-EXEC-8")
async def test_one_that_was_begun_by_a_process_that_died_is_not_begun_again(
    bus: Any, clock: VirtualClock, store: IdempotencyStore
) -> None:
    bus.mode = "silent"
    dying = CommandPort(bus, clock, OpsCounters(), 60.0, store)
    asked = asyncio.ensure_future(ask(dying))
    await bus.received.get()
    asked.cancel()
    await asyncio.wait([asked])
    bus.mode = "done"
    outcome = await ask(CommandPort(bus, clock, OpsCounters(), 5.0, store))
    assert len(bus.commands) == 1
    assert (outcome.fate, "no answer came" in outcome.text) == (Fate.UNANSWERED, True)


async def test_what_never_reached_the_desk_may_be_asked_again_under_its_key(bus: Any, port: CommandPort) -> None:
    bus.mode = "broken"
    assert (await ask(port)).fate is Fate.UNREACHABLE
    bus.mode = "done"
    outcome = await ask(port)
    assert (outcome.fate, outcome.repeated) == (Fate.DONE, False)


async def test_one_key_for_two_requests_is_refused(bus: Any, port: CommandPort) -> None:
    assert (await ask(port, CommandKind.RESUME, scope="venue:okx")).fate is Fate.DONE
    other = await ask(port, CommandKind.RESUME, scope="venue:bybit")
    assert (other.fate, "another request" in other.text) == (Fate.REFUSED, True)
    at_once = await asyncio.gather(
        ask(port, CommandKind.RESUME, "k", "venue:okx"), ask(port, CommandKind.CANCEL_ALL, "k", "venue:okx")
    )
    assert [outcome.fate for outcome in at_once] == [Fate.DONE, Fate.REFUSED]
    assert len(bus.commands) == 2


@pytest.mark.req("P-SAFE-4")
async def test_holding_is_never_kept_from_anybody(bus: Any, port: CommandPort, store: IdempotencyStore) -> None:
    for _ in range(2):
        assert (await ask(port, CommandKind.HOLD)).fate is Fate.DONE
    assert len(bus.commands) == 2
    store.close()
    store._path.mkdir()  # what cannot be kept any more keeps nobody from going safer, and promises nothing else
    assert (await ask(port, CommandKind.KILL)).fate is Fate.DONE
    refused = await ask(port, CommandKind.RESUME)
    assert (refused.fate, "nothing was done" in refused.text) == (Fate.REFUSED, True)
    assert len(bus.commands) == 3


@pytest.mark.req("C-EXEC-8")
async def test_over_http_the_key_is_a_header_and_two_requests_at_once_are_one_command(
    bus: Any, clock: VirtualClock, projection: Projection, store: IdempotencyStore
) -> None:
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock, once=store)
    key = order_key("btcusdt", Side.SELL, Decimal("0.010"), clock.wall_ns(), "9f1c2ab8-77aa")

    async def post(client: aiohttp.ClientSession, header: str) -> tuple[int, Any]:
        wanted = {"action": "cancel_all", "cause": "a test"}
        async with client.post("/api/control", json=wanted, headers={"Idempotency-Key": header}) as answer:
            return answer.status, await answer.json()

    try:
        async with aiohttp.ClientSession(base_url=server.url) as client:
            answers = await asyncio.gather(*(post(client, key) for _ in range(4)))
            assert [status for status, _ in answers] == [200] * 4
            assert sum(1 for _, body in answers if not body.get("repeated")) == 1
            assert len(bus.commands) == 1
            status, refused = await post(client, "x" * 129)
            assert (status, refused["error"]["field"]) == (400, "Idempotency-Key")
    finally:
        await server.close()
