"""Thespian's synchronous face of the base: what `ActorSystem` and its private contexts call.

Owns who turns the crank for callers outside (whoever waits does, one at a time). Nothing here is on a trading path.
"""

from __future__ import annotations

import logging.config
import sys
import threading
from collections import deque
from datetime import timedelta
from typing import Any

from thespian.actors import Actor, ActorAddress, ThespianGeneration
from thespian.system import isInternalActorSystemMessage

from adapters.clock import Clock
from supervision.bases.core import ActorCore, period_ns
from supervision.bases.hosted import HostedActor
from supervision.bases.mailbox import OverflowPolicy
from supervision.bases.scheduler import Scheduler

RESPONSES_MAX = 100_000
_CHUNK = 10_000
_SHUTDOWN_ROUNDS = 100


class External:
    """A caller outside: a party that only collects what is sent to it."""

    __slots__ = ("hosted", "responses")

    def __init__(self, hosted: HostedActor) -> None:
        self.hosted = hosted
        self.responses: deque[Any] = deque(maxlen=RESPONSES_MAX)
        hosted.receive = hosted.handler = self._collect

    def _collect(self, msg: Any, _sender: ActorAddress) -> None:
        if not isInternalActorSystemMessage(msg):
            self.responses.append(msg)


class Facade(ActorCore):
    """The SystemBase protocol of Thespian 4.0 on top of the core."""

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        scheduler: Scheduler | None,
        overflow: OverflowPolicy | None,
        capabilities: dict[str, Any],
    ) -> None:
        super().__init__(name=name, clock=clock, scheduler=scheduler, overflow=overflow, capabilities=capabilities)
        self._turn = threading.Condition(threading.RLock())
        self._contexts = 0
        self._contexts_open = 0

    def _open_to_callers(self) -> None:
        self._caller = External(self._external)
        self.capabilities.update(
            {
                "Python Version": tuple(sys.version_info),
                "Thespian Generation": ThespianGeneration,
                "Thespian Version": "4.0.1",
                "Thespian ActorSystem Name": "loopBase",
                "Thespian ActorSystem Version": 1,
                "Thespian Watch Supported": False,
                "AllowRemoteActorSources": "No",
            }
        )

    # What ActorSystem calls.

    def newPrimaryActor(  # noqa: N802 - Thespian's name
        self,
        actor_class: type[Actor] | str,
        requirements: dict[str, Any] | None,
        global_name: str | None,
        source_hash: str | None = None,
    ) -> ActorAddress:
        """Create a root."""
        with self._turn:
            return self.create_child(self._system, actor_class, requirements, global_name, source_hash)

    def tell(self, to: ActorAddress, msg: Any) -> None:
        """Send, and let the actors run until they are idle."""
        self.tell_from(self._caller, to, msg)

    def ask(self, to: ActorAddress, msg: Any, timeout: timedelta | float | None) -> Any:
        """Send, and wait for the next message to the caller; None when none can come or the time is over."""
        return self.ask_from(self._caller, to, msg, timeout)

    def listen(self, timeout: timedelta | float | None) -> Any:
        """Wait for the next message to the caller; None when none can come or the time is over."""
        return self.listen_from(self._caller, timeout)

    def loadActorSource(self, source: Any) -> str:  # noqa: N802 - Thespian's name
        """Offer a zip of actor code to the source authority."""
        with self._turn:
            source_hash = self.sources.load(source)
            self._pump(None)
            return source_hash

    def unloadActorSource(self, source_hash: str) -> None:  # noqa: N802 - Thespian's name
        """Forget loaded actor code."""
        with self._turn:
            self.sources.unload(source_hash)
            self._pump(None)

    def external_clone(self) -> PrivateContext:
        """A caller of its own, for one thread."""
        with self._turn:
            self._contexts += 1
            self._contexts_open += 1
            return PrivateContext(
                self, External(self._internal(f"{self.name}/external/{self._contexts}", self._system))
            )

    def shutdown(self) -> None:
        """Ask every actor to exit and let them; whoever is left is dropped."""
        with self._turn:
            self.ask_everyone_to_exit()
            for _ in range(_SHUTDOWN_ROUNDS):
                if not self._drain(_CHUNK):
                    break
            self._abandon()
            self.sources.unload_all()

    # Shared with private contexts.

    def tell_from(self, caller: External, to: ActorAddress, msg: Any) -> None:
        """Send in the name of this caller, and let the actors run until they are idle."""
        with self._turn:
            self._fire_due(self.clock.mono_ns())  # what came due since the last call precedes this message
            caller.hosted.actor_send(to, msg)
            if not self._draining:
                self._pump(None)

    def ask_from(self, caller: External, to: ActorAddress, msg: Any, timeout: timedelta | float | None) -> Any:
        """Send in the name of this caller and wait for the next message to it."""
        with self._turn:
            self._fire_due(self.clock.mono_ns())  # as above
            caller.hosted.actor_send(to, msg)
            return self.listen_from(caller, timeout)

    def listen_from(self, caller: External, timeout: timedelta | float | None) -> Any:
        """Wait for the next message to this caller, turning the crank meanwhile."""
        deadline_ns = None if timeout is None else self.clock.mono_ns() + period_ns(timeout)
        with self._turn:
            while True:
                self._pump(caller)
                if caller.responses:
                    return caller.responses.popleft()
                now_ns = self.clock.mono_ns()
                if deadline_ns is not None and now_ns >= deadline_ns:
                    return None
                events = [at for at in (deadline_ns, self.next_timer_ns()) if at is not None]
                if self.next_timer_ns() is None and not self._contexts_open:
                    return None  # all is idle, and nobody is left who could change that
                self._turn.wait((min(events) - now_ns) / 1e9 if events else None)

    def close_context(self, caller: External) -> None:
        """A private context ends; what is still sent to it becomes dead letters."""
        with self._turn:
            self._contexts_open -= 1
            self._actors.pop(caller.hosted.name, None)
            self._turn.notify_all()

    def _pump(self, until: External | None) -> None:
        """Run what is due and waiting: until all is idle, or until this caller has something."""
        self._absorb()
        self._fire_due(self.clock.mono_ns())
        while self._drain(_CHUNK if until is None else 1):
            if until is not None and until.responses:
                break
            self._fire_due(self.clock.mono_ns())
        self._turn.notify_all()

    def _absorb(self) -> None:
        """Overridden by the loop: take over what other threads injected."""


class PrivateContext:
    """What `ActorSystem.private()` hands to one thread."""

    def __init__(self, base: Facade, caller: External) -> None:
        self._base = base
        self._caller = caller
        self.newPrimaryActor = base.newPrimaryActor

    def tell(self, to: ActorAddress, msg: Any) -> None:
        """Send in the name of this context."""
        self._base.tell_from(self._caller, to, msg)

    def ask(self, to: ActorAddress, msg: Any, timeout: timedelta | float | None) -> Any:
        """Send and wait for the next message to this context."""
        return self._base.ask_from(self._caller, to, msg, timeout)

    def listen(self, timeout: timedelta | float | None) -> Any:
        """Wait for the next message to this context."""
        return self._base.listen_from(self._caller, timeout)

    def exit_context(self) -> None:
        """The thread is done with it."""
        self._base.close_context(self._caller)


def apply_logging(log_defs: Any) -> None:
    """Thespian's logDefs: a dictionary configures logging, False or None leaves it to the process."""
    if log_defs:
        logging.config.dictConfig(log_defs)
