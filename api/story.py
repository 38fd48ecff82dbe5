"""The story of an order for operators, read from the journal file beside its writer. Asks no trading cell."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec

from adapters.clock import Clock
from adapters.why import UnknownOrder, why
from trading.operators import CommandAnswered, OperatorCommand

STORY_TIMEOUT_S = 1.5
_READERS_MAX = 4


class Storyteller:
    """Answers WHY in worker threads, at most four at a time: a thread that was given up on still reads."""

    def __init__(self, journal: Path | str, clock: Clock, timeout_s: float = STORY_TIMEOUT_S) -> None:
        self._journal = journal
        self._clock = clock
        self._timeout_s = timeout_s
        self._reading: set[asyncio.Task[tuple[bool, str, dict[str, object]]]] = set()

    async def tell(self, command: OperatorCommand) -> CommandAnswered:
        """The story, or in words why there is none; never raises for what is wrong with the journal."""
        if len(self._reading) >= _READERS_MAX:
            return self._answer(command, False, "the journal is being read for others; ask again in a second", {})
        reading = asyncio.to_thread(_read, self._journal, command.argument)
        task = asyncio.create_task(reading, name="why")  # noqa: TID251 - kept in the set below
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        if not done:
            words = f"the journal was not read within {self._timeout_s:g} s; `propdesk why` waits as long as it takes"
            return self._answer(command, False, words, {})
        return self._answer(command, *task.result())

    def _answer(self, command: OperatorCommand, done: bool, text: str, body: dict[str, object]) -> CommandAnswered:
        return CommandAnswered(
            command_id=command.command_id, done=done, text=text, body=body, ts_ns=self._clock.wall_ns()
        )


def _read(journal: Path | str, cl_ord_id: str) -> tuple[bool, str, dict[str, object]]:
    try:
        story = why(journal, cl_ord_id)
    except UnknownOrder as unknown:
        return False, str(unknown), {"nearest": list(unknown.nearest)}
    except (OSError, sqlite3.Error, msgspec.DecodeError) as error:
        return False, f"the journal cannot be read: {error}", {}
    return True, story.to_text(), msgspec.to_builtins(story)
