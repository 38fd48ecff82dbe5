"""A supervisor inside a cell: carries out what `supervision.policy` decides.

Tells the governor which scope to hold while a child is not whole, and the cell's status actor how the tree looks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
from thespian.actors import Actor, ActorAddress, ActorExitRequest

from actors.messages import ActorFailed, ActorReady, BrakeCleared, BrakeSet, BrakesStated, ResumeChild, StartActor
from actors.shell import Shell
from supervision.policy import (
    Escalate,
    HoldScope,
    StartChild,
    StopChild,
    SupervisorCore,
    SupervisorEffect,
    SupervisorSpec,
)
from trading.operators import Published, Topic

HOLD_LEVEL = 3
_STORIES_MAX = 20
_STORIES_NS = 60_000_000_000


class ChildStart(msgspec.Struct, frozen=True):
    """How a child is made: its class (or its dotted name) and a function that builds a fresh setup for every start."""

    actor_class: type[Actor] | str
    setup: Callable[[], object]


class SupervisorSetup(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's table and how its children are made; names of the governor and the status actor."""

    spec: SupervisorSpec
    starts: dict[str, ChildStart]
    governor: str = "governor"
    status: str = "ops"
    cell: str = ""


class SupervisorView(msgspec.Struct, frozen=True):
    """For the cell's status actor: the supervisor's rows."""

    id: str
    parent: str | None
    strategy: str
    children: list[dict[str, object]]


class Supervisor(Shell):
    """Starts children left to right, stops them right to left, restarts by the table."""

    def start(self, setup: SupervisorSetup) -> None:
        """Start the children."""
        self._setup = setup
        self._core = SupervisorCore(setup.spec)
        self._by_address: dict[str, str] = {}
        self._cause: dict[str, str] = {}
        self._held: set[str] = set()
        self._events = 0
        self._stories_ns, self._stories = 0, 0
        if setup.governor not in setup.starts:
            # A child that was being restarted when an earlier life of ours ended is started by us, and held by nobody.
            self.tell(setup.governor, BrakesStated(owner=self.name, brakes=()))
        self._perform(self._core.start())

    def on(self, msg: Any) -> None:
        """Failures, readiness and resumption of children."""
        match msg:
            case ActorFailed():
                self._cause[msg.name] = f"{msg.error} (on {msg.message_type})"
                text = f"{msg.name}: {msg.error} on {msg.message_type}"
                self._tell_operators("error", "ACTOR_FAILED", text, msg.story)
                self._log(f"{text}\n{msg.story}".rstrip())
            case ActorReady():
                self._core.ready(msg.name)
                if msg.name in self._held:
                    self._held.discard(msg.name)
                    scope = next((c.scope for c in self._setup.spec.children if c.id == msg.name), None)
                    if scope is not None:
                        self.tell(self._setup.governor, BrakeCleared(code=f"RESTART:{msg.name}", scope=scope))
                self._view()
            case ResumeChild():
                self._perform(self._core.resume(msg.name))
            case _:
                self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """A backed-off child is due, or a stop took too long."""
        kind, _, child_id = tag.partition(":")
        if kind == "start":
            for one in child_id.split(","):
                self._start_child(one)

    def on_child_exited(self, address: ActorAddress) -> None:
        """Decide by the table."""
        child_id = self._by_address.pop(str(address), None)
        if child_id is None:
            return
        cause = self._cause.pop(child_id, "exited")
        self._perform(self._core.exited(child_id, self.mono_ns() // 1_000_000, normal=cause == "exited", cause=cause))

    def _perform(self, effects: list[SupervisorEffect]) -> None:
        # Children that start together are made together: they send to each other in their first message.
        together: dict[int, list[str]] = {}
        for effect in effects:
            match effect:
                case StartChild():
                    together.setdefault(effect.delay_ms, []).append(effect.id)
                case StopChild():
                    self.send(ActorAddress(effect.id), ActorExitRequest())
                case HoldScope():
                    self._hold(effect)
                case Escalate():
                    self._tell_operators("error", "ESCALATION", effect.cause, "")
                    self._log(f"gives up: {effect.cause}")
                    self.tell(
                        self._setup.governor,
                        BrakeSet(
                            code=f"ESCALATION:{self.name}",
                            scope="global",
                            level=HOLD_LEVEL,
                            cause=effect.cause,
                            release="operator",
                        ),
                    )
                    self.send(self.myAddress, ActorExitRequest())
        for delay_ms, ids in together.items():
            if delay_ms:
                self.wake_after(delay_ms * 1_000_000, f"start:{','.join(ids)}")
            else:
                for child_id in ids:
                    self._start_child(child_id)
        self._view()

    def _hold(self, effect: HoldScope) -> None:
        self._held.add(effect.id)
        self.tell(
            self._setup.governor,
            BrakeSet(
                code=f"RESTART:{effect.id}",
                scope=effect.scope,
                level=HOLD_LEVEL,
                cause=effect.cause,
                release=effect.release,
                owner=self.name,
            ),
        )

    def _start_child(self, child_id: str) -> None:
        start = self._setup.starts[child_id]
        address = self.createActor(start.actor_class, targetActorRequirements={"propdesk.name": child_id})
        self._by_address[str(address)] = child_id
        self._core.started(child_id)
        self.send(address, StartActor(name=child_id, supervisor=self.name, setup=start.setup()))

    def _view(self) -> None:
        self.tell(
            f"status.{self._setup.cell}",
            SupervisorView(
                id=self.name,
                parent=self._supervisor,
                strategy=self._setup.spec.strategy.value,
                children=[dict(row) for row in self._core.view()],
            ),
        )

    def _log(self, text: str) -> None:
        """Into the cell's log too, which is there when the page is not: at most 20 a minute, and how many were not."""
        now = self.mono_ns()
        if now - self._stories_ns >= _STORIES_NS:
            if self._stories > _STORIES_MAX:
                self._print(f"{self._stories - _STORIES_MAX} more failures in the minute before")
            self._stories_ns, self._stories = now, 0
        self._stories += 1
        if self._stories <= _STORIES_MAX:
            self._print(text)

    def _print(self, text: str) -> None:
        print(f"{self._setup.cell or 'cell'}: {self.name}: {text}", file=sys.stderr, flush=True)

    def _tell_operators(self, level: str, code: str, text: str, story: str) -> None:
        self._events += 1
        now = self.now_ns()
        body: dict[str, object] = {
            "level": level,
            "code": code,
            "text": text,
            "story": story,
            "cell": self._setup.cell,
            "ts_ns": now,
        }
        self.tell(
            self._setup.status,
            Published(topic=Topic.EVENT, key=f"{self.name}:{now}:{self._events}", body=body, ts_ns=now),
        )
