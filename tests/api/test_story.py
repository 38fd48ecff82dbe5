"""WHY through the operators' faces: the journal's whole story over real HTTP, and Telegram's words for it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.clock import SystemClock, VirtualClock
from adapters.journal.store import open_reader
from api.http import start_http
from api.projection import Projection
from api.story import Storyteller
from trading.operators import CommandAnswered, CommandKind, OperatorCommand

ASKED = ("tick", "intents", "netting", "risk", "journal", "sent", "fee", "ledger")


class _StoryBus:
    """The ops cell's bus as far as WHY goes: the storyteller, and nobody behind it."""

    def __init__(self, stories: Storyteller) -> None:
        self._stories = stories

    async def send(self, command: OperatorCommand) -> CommandAnswered:
        assert command.kind is CommandKind.WHY
        return await self._stories.tell(command)


@pytest.fixture
def filled(traded_journal: Path) -> str:
    with closing(open_reader(traded_journal)) as db:
        row = db.execute("SELECT cl_ord_id FROM order_row WHERE kind = 'fill'").fetchone()
    return str(row[0])


async def _why(journal: Path, cl_ord_id: str, *, timeout_s: float = 5.0) -> tuple[int, dict[str, Any]]:
    clock = SystemClock()
    bus = _StoryBus(Storyteller(journal, clock, timeout_s))
    server = await start_http(
        Projection(clock), bus, "127.0.0.1", 0, version="1", clock=clock, answer_timeout_s=timeout_s + 5
    )
    try:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{server.url}api/ui/why", params={"cl_ord_id": cl_ord_id}) as answer,
        ):
            return answer.status, await answer.json()
    finally:
        await server.close()


@pytest.mark.req("P-ORD-15")
async def test_the_whole_story_comes_over_http(traded_journal: Path, filled: str) -> None:
    status, body = await _why(traded_journal, filled)
    assert (status, body["source"]) == (200, "journal")
    names = [step["name"] for step in body["story"]["steps"]]
    at = [names.index(name) for name in ASKED]
    assert at == sorted(at)
    assert filled in body["text"]
    assert body["story"]["trace"]


async def test_an_unknown_order_is_not_found_and_the_nearest_are_named(traded_journal: Path, filled: str) -> None:
    status, body = await _why(traded_journal, filled[:-1] + "zz")
    assert status == 404
    assert filled[:-2] in body["error"]["message"]


@pytest.mark.parametrize("content", [None, b"words" * 1000])
async def test_a_journal_that_cannot_be_read_is_an_answer_and_no_accident(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "journal.db").write_bytes(content)
    status, body = await _why(tmp_path / "journal.db", "pd1-x")
    assert status == 404
    assert "cannot be read" in body["error"]["message"]


async def test_a_journal_that_takes_too_long_is_given_up_and_readers_are_bounded(traded_journal: Path) -> None:
    clock = VirtualClock(1, 1)
    hasty = Storyteller(traded_journal, clock, timeout_s=0.0)
    asked = OperatorCommand(
        command_id="c", kind=CommandKind.WHY, scope="global", actor="a", cause="why", argument="pd1-x", ts_ns=1
    )
    answers = await asyncio.gather(*(hasty.tell(asked) for _ in range(6)))
    assert not any(answer.done for answer in answers)
    assert "not read within" in answers[0].text
    assert any("being read for others" in answer.text for answer in answers[4:])
