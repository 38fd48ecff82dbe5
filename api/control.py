"""The one way out of the operators' surfaces: a command is sent, and its single answer awaited for a bounded time.

HTTP and Telegram are faces of this. It authorises nobody: the desk journals and decides. What comes with a key is
carried out once: said again, at the same time or after a crash, it has the first one's answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from enum import Enum
from typing import Protocol

import msgspec

from adapters.clock import Clock
from adapters.idempotency import TROUBLE, IdempotencyStore
from api.metrics import OpsCounters
from trading.operators import CommandAnswered, CommandKind, OperatorCommand

ANSWER_TIMEOUT_S = 2.0
KEY_HEADER = "Idempotency-Key"
KEY_CHARS_MAX = 128

# Questions wait in a short line; what makes the desk safer is let through when nothing else is.
_PENDING_MAX = {CommandKind.WHY: 8, CommandKind.RESUME: 16}
_PENDING_MAX_SAFER = 128
_REPEATABLE = frozenset({CommandKind.HOLD, CommandKind.PAUSE, CommandKind.WHY})
"""Said again these do no harm, and going safer waits for no file."""
_WITHOUT_PROMISE = frozenset({CommandKind.KILL, CommandKind.CANCEL_ALL})
"""Carried out also where it cannot be kept that they were."""
_NOTHING_DONE = frozenset({"unreachable", "busy"})


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
    """A command's fate; ``text`` and ``body`` are the desk's words, empty where it said nothing.

    ``repeated``: nothing was done now, this is the answer of the first time. ``digest`` is of what was asked.
    """

    command_id: str
    fate: Fate
    text: str = ""
    body: dict[str, object] = {}
    repeated: bool = False
    digest: str = ""


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Outcome).decode


def _repeated(outcome: Outcome, digest: str) -> Outcome:
    """The first one's answer, where it was the same request."""
    if outcome.digest != digest:
        words = "this key was used for another request: a new request needs a new key"
        return Outcome(command_id="", fate=Fate.REFUSED, text=words, repeated=True, digest=digest)
    return msgspec.structs.replace(outcome, repeated=True)


class CommandPort:
    """Sends commands with ids of their own, and never waits longer than ``timeout_s``."""

    def __init__(
        self,
        bus: CommandBus,
        clock: Clock,
        counters: OpsCounters,
        timeout_s: float = ANSWER_TIMEOUT_S,
        once: IdempotencyStore | None = None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._timeout_s = timeout_s
        self._pending = dict.fromkeys(CommandKind, 0)
        self._counters = counters
        self._once = once or IdempotencyStore(None)
        self._running: dict[str, asyncio.Future[Outcome]] = {}

    async def ask(
        self, kind: CommandKind, *, scope: str = "global", actor: str, cause: str, argument: str = "", key: str = ""
    ) -> Outcome:
        """Send one command as ``actor`` and say what became of it. Never raises for the outside's failures.

        With a ``key`` it is carried out once within a day: the same key again has the first answer, and with another
        kind, scope or argument it is refused.
        """
        if not key or kind in _REPEATABLE:
            return await self._send(kind, scope, actor, cause, argument)
        digest = hashlib.sha256(f"{kind.value}\0{scope}\0{argument}".encode()).hexdigest()
        running = self._running.get(key)
        if running is not None:
            self._once.suppressed += 1
            return _repeated(await asyncio.shield(running), digest)
        mine = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            outcome = await self._first(kind, scope, actor, cause, argument, key, digest)
        except BaseException:
            # Whoever asked has left; others may wait for the same.
            mine.set_result(Outcome(command_id="", fate=Fate.UNANSWERED, digest=digest))
            raise
        finally:
            del self._running[key]
        mine.set_result(outcome)
        return outcome

    async def _first(  # noqa: PLR0917 - the command, and what it is known by
        self, kind: CommandKind, scope: str, actor: str, cause: str, argument: str, key: str, digest: str
    ) -> Outcome:
        try:
            before = await asyncio.to_thread(
                self._once.check_and_store, key, now_ns=self._clock.wall_ns(), digest=digest
            )
        except TROUBLE as trouble:
            if kind in _WITHOUT_PROMISE:
                return await self._send(kind, scope, actor, cause, argument)
            words = f"nothing was done: it cannot be kept that it was asked ({trouble})"
            return self._count(Outcome(command_id="", fate=Fate.REFUSED, text=words[:300], digest=digest))
        if before is not None:
            if before.digest != digest:
                return _repeated(Outcome(command_id="", fate=Fate.REFUSED, digest=before.digest), digest)
            if before.answer is not None:
                return msgspec.structs.replace(_DECODE(before.answer), repeated=True)
            words = "it was asked before, and no answer came: look at the events before asking under another key"
            return Outcome(command_id="", fate=Fate.UNANSWERED, text=words, repeated=True, digest=digest)
        outcome = await self._send(kind, scope, actor, cause, argument)
        outcome = msgspec.structs.replace(outcome, digest=digest)
        try:
            if outcome.fate.value in _NOTHING_DONE:
                await asyncio.to_thread(self._once.forget, key)
            else:
                await asyncio.to_thread(self._once.keep_answer, key, _ENCODE(outcome))
        except TROUBLE:
            return outcome  # the key is kept, its answer is not: who asks again is told so
        return outcome

    async def _send(self, kind: CommandKind, scope: str, actor: str, cause: str, argument: str) -> Outcome:
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
