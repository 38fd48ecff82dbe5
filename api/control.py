"""The one way out of the operators' surfaces: a command is sent, and its single answer awaited for a bounded time.

HTTP and Telegram are faces of this. It authorises nobody: the desk journals and decides.
"""

from __future__ import annotations

import asyncio
import uuid
from enum import Enum
from typing import Protocol

import msgspec

from adapters.clock import Clock
from api.metrics import OpsCounters
from trading.operators import CommandAnswered, CommandKind, OperatorCommand

ANSWER_TIMEOUT_S = 2.0

# Questions wait in a short line; what makes the desk safer is let through when nothing else is.
_PENDING_MAX = {CommandKind.WHY: 8, CommandKind.RESUME: 16}
_PENDING_MAX_SAFER = 128


class CommandBus(Protocol):
    """The link to the desk. ``send`` raises ``OSError`` when the desk cannot be reached."""

    async def send(self, command: OperatorCommand) -> CommandAnswered:
        """Deliver one command and return its answer."""
        ...


class Fate(Enum):
    """What became of a command."""

    DONE = "done"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    UNREACHABLE = "unreachable"
    BUSY = "busy"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A command's fate; ``text`` and ``body`` are the desk's words, empty where it said nothing."""

    command_id: str
    fate: Fate
    text: str = ""
    body: dict[str, object] = {}


class CommandPort:
    """Sends commands with ids of their own, and never waits longer than ``timeout_s``."""

    def __init__(
        self, bus: CommandBus, clock: Clock, counters: OpsCounters, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._timeout_s = timeout_s
        self._pending = dict.fromkeys(CommandKind, 0)
        self._counters = counters

    async def ask(
        self, kind: CommandKind, *, scope: str = "global", actor: str, cause: str, argument: str = ""
    ) -> Outcome:
        """Send one command as ``actor`` and say what became of it. Never raises for the outside's failures."""
        command_id = f"ops-{uuid.uuid4().hex}"
        if self._pending[kind] >= _PENDING_MAX.get(kind, _PENDING_MAX_SAFER):
            return self._count(Outcome(command_id=command_id, fate=Fate.BUSY))
        command = OperatorCommand(
            command_id=command_id,
            kind=kind,
            scope=scope,
            actor=actor,
            cause=cause,
            argument=argument,
            ts_ns=self._clock.wall_ns(),
        )
        self._pending[kind] += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._bus.send(command)
        except TimeoutError:
            return self._count(Outcome(command_id=command_id, fate=Fate.UNANSWERED))
        except OSError as trouble:
            return self._count(Outcome(command_id=command_id, fate=Fate.UNREACHABLE, text=str(trouble)))
        finally:
            self._pending[kind] -= 1
        fate = Fate.DONE if answer.done else Fate.REFUSED
        return self._count(Outcome(command_id=command_id, fate=fate, text=answer.text, body=answer.body))

    def _count(self, outcome: Outcome) -> Outcome:
        fates = self._counters.commands
        fates[outcome.fate.value] = fates.get(outcome.fate.value, 0) + 1
        return outcome
