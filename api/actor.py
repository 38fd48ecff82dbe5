"""The ops cell's actor: takes in what the desk publishes, carries operators' commands to it. Holds no trading state."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from actors.ops import OpsSetup
from actors.shell import Shell
from adapters.context_model import ContextConfig
from api.ops import OpsConfig, OpsHandles, run_ops
from api.projection import Projection
from api.story import Storyteller
from trading.operators import CommandAnswered, CommandKind, OperatorCommand, Published

_COMMAND_TIMEOUT_S = 2.0
_MAX_WAITING = 100


class _Bus:
    """Sends commands through the actor and waits for their one answer. WHY is answered here, from the journal."""

    def __init__(self, actor: OpsActor, stories: Storyteller) -> None:
        self._actor = actor
        self._stories = stories
        self.waiting: dict[str, asyncio.Future[CommandAnswered]] = {}

    async def send(self, cmd: OperatorCommand) -> CommandAnswered:
        """``TimeoutError`` when the desk does not answer in time; the command may still have been carried out."""
        if cmd.kind is CommandKind.WHY:
            return await self._stories.tell(cmd)
        if len(self.waiting) >= _MAX_WAITING:
            raise TimeoutError("too many commands wait for the desk")
        future: asyncio.Future[CommandAnswered] = asyncio.get_running_loop().create_future()
        self.waiting[cmd.command_id] = future
        try:
            self._actor.forward(cmd)
            return await asyncio.wait_for(future, _COMMAND_TIMEOUT_S)
        finally:
            self.waiting.pop(cmd.command_id, None)


class OpsActor(Shell):
    """One projection, all faces."""

    def start(self, setup: OpsSetup) -> None:
        """Serve."""
        self._setup = setup
        self._projection = Projection()
        self._bus = _Bus(self, Storyteller(setup.journal, self.clock))
        self._handles: OpsHandles | None = None
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._serve(), name="ops")

    async def _serve(self) -> None:
        try:
            setup = self._setup
            config = OpsConfig(
                host=setup.host,
                port=setup.port,
                telegram_token=setup.telegram_token,
                allowed_chat_ids=setup.allowed_chat_ids,
                version=setup.version,
                profile=setup.profile,
                context=ContextConfig.model_validate_json(setup.context),
                journal=setup.journal,
                traces=setup.traces,
                operations=setup.operations,
                trades=setup.trades,
                quote=setup.quote,
                redis_url=setup.redis_url,
                redis_password=setup.redis_password,
            )
            self._handles = await run_ops(self._projection, self._bus, config, self.clock)
        except Exception as error:  # noqa: BLE001 - becomes the actor's own message, so the shell reports it
            self.threadsafe_tell()(self.name, ServeFailed(text=str(error)))

    def on(self, msg: Any) -> None:
        """A fact or an answer."""
        kind = type(msg)
        if kind is Published:
            self._projection.apply(msg)
        elif kind is CommandAnswered:
            future = self._bus.waiting.get(msg.command_id)
            if future is not None and not future.done():
                future.set_result(msg)
        elif kind is ServeFailed:
            raise OSError(f"the operators' surfaces could not start: {msg.text}")
        else:
            self.unknown(msg)

    def forward(self, cmd: OperatorCommand) -> None:
        """Carry a command to whoever answers it."""
        setup = self._setup
        self.tell(setup.universe if cmd.kind is CommandKind.UNIVERSE else setup.governor, cmd)

    def stop(self) -> None:
        """Stop serving."""
        handles, self._handles = self._handles, None
        if handles is not None:
            self._closing = asyncio.get_running_loop().create_task(handles.close(), name="ops close")
        else:
            self._task.cancel()


class ServeFailed(msgspec.Struct, frozen=True):
    """The server could not start."""

    text: str
