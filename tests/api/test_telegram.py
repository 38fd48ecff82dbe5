"""The Telegram face against a Bot API of our own on loopback: strangers, floods, conflicts, secrets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from adapters.clock import VirtualClock
from adapters.idempotency import IdempotencyStore
from api.metrics import OpsCounters
from api.projection import Projection
from api.telegram import TelegramFace
from tests.waiting import PATIENCE_S
from trading.operators import CommandKind, Topic

TOKEN = "123456:SECRET-token_abc"
OPERATOR, STRANGER = 42, 666


class BotApi:
    """getUpdates and sendMessage; replies queued in ``faults`` come first, by method."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._updates: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._last = 100
        self.sent: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.faults: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.offsets: list[int] = []
        self.url = ""
        self.asked_to_send = asyncio.Event()
        self.refused = asyncio.Event()

    def write(self, text: str, chat_id: int = OPERATOR, age_s: int = 0) -> None:
        """A person writes to the bot."""
        self._last += 1
        message = {
            "message_id": self._last,
            "date": self._clock.wall_ns() // 1_000_000_000 - age_s,
            "chat": {"id": chat_id, "type": "private"},
            "from": {"id": chat_id + 1, "is_bot": False, "first_name": "A"},
            "text": text,
        }
        self._updates.append({"update_id": self._last, "message": message})
        self._news.set()

    async def serve(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        form = dict(await request.post())
        if method == "sendMessage":
            self.asked_to_send.set()
        if self.faults.get(method):
            status, body = self.faults[method].pop(0)
            return web.json_response(body, status=status)
        if request.match_info["token"] != TOKEN:
            self.refused.set()
            return web.json_response({"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401)
        result: Any = True
        if method == "getUpdates":
            offset = int(str(form.get("offset", 0)))
            self.offsets.append(offset)
            self._updates = [update for update in self._updates if update["update_id"] >= offset]
            if not self._updates:
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), 1)
                except TimeoutError:
                    pass
            result = self._updates
        elif method == "sendMessage":
            chat_id, text = int(str(form["chat_id"])), str(form["text"])
            self.sent.put_nowait((chat_id, text))
            result = {"message_id": 1, "date": 1, "chat": {"id": chat_id, "type": "private"}, "text": text}
        return web.json_response({"ok": True, "result": result})

    async def next(self) -> tuple[int, str]:
        """The next message that reaches a person."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.sent.get()


@pytest.fixture
async def api(clock: VirtualClock) -> AsyncIterator[BotApi]:
    stub = BotApi(clock)
    app = web.Application()
    app.router.add_post("/bot{token:[^/]+}/{method}", stub.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}/bot"
    yield stub
    await runner.cleanup()


Launch = Callable[..., TelegramFace]


@pytest.fixture
async def launch(api: BotApi, projection: Projection, bus: Any, clock: VirtualClock) -> AsyncIterator[Launch]:
    started: list[TelegramFace] = []

    def _launch(
        counters: OpsCounters | None = None, token: str = TOKEN, once: IdempotencyStore | None = None
    ) -> TelegramFace:
        face = TelegramFace(
            projection,
            bus,
            token,
            [OPERATOR],
            clock,
            base_url=api.url,
            counters=counters,
            tick_s=0.02,
            backoff_s=0.01,
            poll_s=1,
            once=once,
        )
        face.start()
        started.append(face)
        return face

    yield _launch
    for face in started:
        await face.close()


@pytest.mark.req("C-EXEC-8")
async def test_an_update_that_telegram_delivers_again_after_a_crash_kills_once(
    api: BotApi, bus: Any, launch: Launch, tmp_path: Path
) -> None:
    once = IdempotencyStore(tmp_path / "operations.db")
    first = launch(once=once)
    api.write("/kill enough")
    update = api._updates[0]
    _, answer = await api.next()
    await first.close()
    api._updates = [update]  # it was not confirmed: the process died before
    api._news.set()
    launch(once=once)
    assert (await api.next())[1] == answer
    assert [command.kind.value for command in bus.commands] == ["kill"]
    once.close()


async def test_an_operator_holds_the_desk_from_a_chat(api: BotApi, bus: Any, launch: Launch) -> None:
    launch()
    api.write("/hold venue:OKX odd fills")
    chat_id, text = await api.next()
    assert chat_id == OPERATOR
    assert "hold venue:OKX: done" in text
    (command,) = bus.commands
    assert (command.kind, command.actor, command.cause) == (CommandKind.HOLD, "telegram:43", "odd fills")


async def test_each_update_is_answered_once(api: BotApi, bus: Any, launch: Launch) -> None:
    launch()
    api.write("/hold one")
    await api.next()
    api.write("/hold two")
    await api.next()
    assert [command.cause for command in bus.commands] == ["one", "two"]
    assert 102 in api.offsets


async def test_strangers_are_ignored_counted_and_reported_once(
    api: BotApi, bus: Any, projection: Projection, launch: Launch
) -> None:
    counters = OpsCounters()
    launch(counters)
    for _ in range(3):
        api.write("/kill", chat_id=STRANGER)
    api.write("/help")
    chat_id, _ = await api.next()
    assert chat_id == OPERATOR
    assert counters.telegram_ignored == 3
    assert bus.commands == []
    events = [entry.body["code"] for entry in projection.facts(Topic.EVENT)]
    assert events == ["telegram_stranger"]


async def test_a_brake_and_its_release_are_pushed(
    api: BotApi, projection: Projection, publish: Any, launch: Launch
) -> None:
    launch()
    brake = {"code": "daily_loss", "scope": "global", "level": "HOLD", "cause": "-2 %", "release": "two-man"}
    publish(projection, Topic.BRAKES, "all", {"brakes": [brake]})
    _, text = await api.next()
    assert "daily_loss" in text
    assert "two-man" in text
    publish(projection, Topic.BRAKES, "all", {"brakes": []})
    _, text = await api.next()
    assert "Тормоз снят: daily_loss global" in text


async def test_an_error_event_is_pushed_and_an_info_is_not(
    api: BotApi, projection: Projection, publish: Any, launch: Launch
) -> None:
    launch()
    publish(projection, Topic.EVENT, "1", {"level": "info", "code": "noise", "text": "x"})
    publish(projection, Topic.EVENT, "2", {"level": "error", "code": "recon_mismatch", "text": "0.1 BTC"})
    _, text = await api.next()
    assert text == "❗ recon_mismatch: 0.1 BTC"


async def test_a_flood_limit_is_waited_out_while_alerts_merge(
    api: BotApi, projection: Projection, publish: Any, launch: Launch
) -> None:
    flood = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 1}}
    api.faults["sendMessage"] = [(429, flood)]
    face = launch()
    api.write("/help")
    await asyncio.wait_for(api.asked_to_send.wait(), PATIENCE_S)
    for number in range(500):
        publish(projection, Topic.EVENT, str(number), {"level": "error", "code": "storm", "text": str(number)})
        face.look()
        assert len(face.outbox) <= 2
    _, text = await api.next()
    assert "/help" in text
    _, text = await api.next()
    assert text == "❗ storm: 499"


async def test_a_conflict_and_an_outage_are_survived_and_said_once(
    api: BotApi, projection: Projection, launch: Launch
) -> None:
    conflict = {"ok": False, "error_code": 409, "description": "Conflict: terminated by other getUpdates request"}
    outage = {"ok": False, "error_code": 502, "description": "Bad Gateway"}
    api.faults["getUpdates"] = [(409, conflict), (409, conflict), (502, outage)]
    launch()
    api.write("/help")
    assert "/hold" in (await api.next())[1]
    events = [entry.body["code"] for entry in projection.facts(Topic.EVENT)]
    assert events == ["telegram_poll"]


async def test_a_refused_message_is_dropped_and_the_next_one_goes_out(api: BotApi, launch: Launch) -> None:
    api.faults["sendMessage"] = [(403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked"})]
    counters = OpsCounters()
    launch(counters)
    api.write("/help")
    api.write("/positions")
    assert (await api.next())[1] == "Позиций нет"
    assert counters.telegram_dropped == 1


async def test_the_token_is_in_no_log_record_whoever_writes_it(
    api: BotApi, projection: Projection, launch: Launch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "999:WRONG-secret"
    launch(token=wrong)
    await asyncio.wait_for(api.refused.wait(), PATIENCE_S)
    try:
        raise RuntimeError(f"https://example/bot{wrong}/getMe")
    except RuntimeError:
        logging.getLogger("somebody.else").exception("failed at %s", wrong)
    assert caplog.records
    assert wrong not in caplog.text
    assert "***" in caplog.text
    assert all(wrong not in str(entry.body) for entry in projection.facts(Topic.EVENT))
