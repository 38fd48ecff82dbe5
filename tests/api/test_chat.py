"""What the Telegram commands ask of the desk and answer to the operator."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.clock import VirtualClock
from api.chat import COMMANDS, Chat
from api.control import CommandPort
from api.i18n import PHRASES
from api.metrics import OpsCounters
from api.projection import Projection
from trading.operators import CommandKind, Topic


@pytest.fixture
def chat(projection: Projection, bus: Any, clock: VirtualClock) -> Chat:
    return Chat(projection, CommandPort(bus, clock, OpsCounters(), timeout_s=0.05))


@pytest.mark.parametrize(
    ("text", "kind", "scope", "cause"),
    [
        ("/hold", CommandKind.HOLD, "global", PHRASES["no_cause"][0]),
        ("/hold exchange looks odd", CommandKind.HOLD, "global", "exchange looks odd"),
        ("/hold@desk_bot venue:OKX bad fills", CommandKind.HOLD, "venue:OKX", "bad fills"),
        ("/pause strategy:mm-1", CommandKind.PAUSE, "strategy:mm-1", PHRASES["no_cause"][0]),
        ("/kill fire", CommandKind.KILL, "global", "fire"),
        ("/resume venue:OKX", CommandKind.RESUME, "venue:OKX", "Telegram /resume"),
        ("/RESUME", CommandKind.RESUME, "global", "Telegram /resume"),
        ("/unlock okx new key", CommandKind.UNLOCK, "venue:okx", "new key"),
        ("/unlock venue:okx", CommandKind.UNLOCK, "venue:okx", "Telegram /unlock"),
    ],
)
async def test_a_command_becomes_one_operator_command(
    chat: Chat, bus: Any, text: str, kind: CommandKind, scope: str, cause: str
) -> None:
    answer = await chat.reply(1, "telegram:42", text, 0)
    (command,) = bus.commands
    assert (command.kind, command.scope, command.cause, command.actor) == (kind, scope, cause, "telegram:42")
    assert "Сделано" in answer


async def test_an_old_resume_is_not_carried_out_but_an_old_hold_is(chat: Chat, bus: Any) -> None:
    assert "устарела" in await chat.reply(1, "t", "/resume", 3_600)
    assert "устарела" in await chat.reply(1, "t", "/start", 3_600)
    assert "устарела" in await chat.reply(1, "t", "/unlock okx", 3_600)
    assert bus.commands == []
    await chat.reply(1, "t", "/hold", 3_600)
    assert [command.kind for command in bus.commands] == [CommandKind.HOLD]


async def test_start_needs_a_green_light(chat: Chat, bus: Any, projection: Projection, feed: Any, publish: Any) -> None:
    assert "DESK_SILENT" in await chat.reply(1, "t", "/start", 0)
    assert bus.commands == []
    feed(projection, steps=3)
    held = {"code": "operator", "scope": "global", "level": "HOLD", "cause": "lunch"}
    body = {"global_mode": "HOLD", "brakes": [held], "permit": {"valid": True, "epoch": 7}}
    publish(projection, Topic.BRAKES, "all", body)
    await chat.reply(1, "t", "/start", 0)
    assert [command.kind for command in bus.commands] == [CommandKind.RESUME]


@pytest.mark.parametrize("mode", ["silent", "broken", "refused"])
async def test_the_operator_learns_that_a_command_was_not_done(chat: Chat, bus: Any, mode: str) -> None:
    bus.mode = mode
    answer = await chat.reply(1, "t", "/hold", 0)
    assert ("propdesk hold" in answer) is (mode != "refused")
    assert ("Отказано" in answer) is (mode == "refused")


@pytest.mark.parametrize("command", ["status", "health", "positions", "pnl"])
async def test_reading_never_touches_the_desk_and_survives_an_empty_projection(
    chat: Chat, bus: Any, projection: Projection, feed: Any, command: str
) -> None:
    assert await chat.reply(1, "t", f"/{command}", 0)
    feed(projection, steps=40)
    answer = await chat.reply(1, "t", f"/{command}", 0)
    expected = {"status": "СИНТЕТИЧЕСКИЕ", "health": "BRAKE_WARMUP", "positions": "BTC-USDT", "pnl": "mm-btc"}
    assert expected[command] in answer
    assert bus.commands == []


async def test_unknown_text_gets_the_help(chat: Chat) -> None:
    for text in ("hello", "/frobnicate", "hold"):
        answer = await chat.reply(1, "t", text, 0)
        assert answer.startswith("Не понял")
        assert "/hold" in answer


async def test_a_chat_may_ask_for_english(chat: Chat) -> None:
    await chat.reply(1, "t", "/lang en", 0)
    assert "Positions" not in await chat.reply(2, "t", "/positions", 0)
    assert await chat.reply(1, "t", "/positions", 0) == "No positions"


async def test_alerts_are_switched_per_chat(chat: Chat) -> None:
    await chat.reply(1, "t", "/alerts off", 0)
    assert (chat.wants_alerts(1), chat.wants_alerts(2)) == (False, True)
    await chat.reply(1, "t", "/alerts on", 0)
    assert chat.wants_alerts(1)
    assert "/alerts" in await chat.reply(1, "t", "/alerts", 0)


async def test_why_tells_the_journals_story_or_what_is_known(
    chat: Chat, bus: Any, projection: Projection, feed: Any
) -> None:
    assert "/why" in await chat.reply(1, "t", "/why", 0)
    assert await chat.reply(1, "t", "/why o-1", 0) == "why global: done"
    assert bus.commands[-1].argument == "o-1"
    feed(projection, steps=10)
    bus.mode = "refused"
    answer = await chat.reply(1, "t", "/why pd-7-000009", 0)
    assert "ord_status: filled" in answer
    assert "fill 0.040" in answer


def test_the_help_lists_every_command_in_both_languages() -> None:
    for text in PHRASES["help"]:
        assert all(f"/{command}" in text for command in COMMANDS)
