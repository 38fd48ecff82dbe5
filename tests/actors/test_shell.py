"""The shell base: one mailbox, one place where a bug is caught, nothing dropped in silence."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from thespian.actors import ActorSystem, ChildActorExited

from actors.messages import ActorFailed, DrillFault, StartActor
from actors.shell import Shell
from adapters.clock import VirtualClock
from supervision.bases.loop import LoopBase

EFFECTS: list[object] = []


class Greeting(msgspec.Struct, frozen=True):
    """Something to do."""

    text: str


class Worker(Shell):
    """Acts, and fails on demand."""

    def start(self, setup: Any) -> None:
        self.woken: list[str] = []
        if setup == "wake":
            self.wake_after(1_000_000, "first")
            self.wake_after(2_000_000, "first")
        if setup == "wake each":
            self.wake_each(1_000_000, "each")
            self.wake_each(2_000_000, "each")

    def on(self, msg: Any) -> None:
        if type(msg) is not Greeting:
            self.unknown(msg)
            return
        EFFECTS.append(msg.text)
        if msg.text == "raise after acting":
            raise RuntimeError("a bug")

    def on_tick(self, tag: str) -> None:
        EFFECTS.append(f"tick {tag} at {self.mono_ns()}")

    def stop(self) -> None:
        EFFECTS.append("stopped")


class Parent(Shell):
    """Keeps what it is told."""

    def start(self, setup: Any) -> None:
        self.heard: list[object] = []
        child = self.createActor(Worker, targetActorRequirements={"propdesk.name": "worker"})
        self.send(child, StartActor(name="worker", supervisor="parent", setup=setup))

    def on(self, msg: Any) -> None:
        self.heard.append(msg)

    def on_child_exited(self, address: Any) -> None:
        self.heard.append("child exited")


@pytest.fixture
def base() -> Iterator[LoopBase]:
    EFFECTS.clear()
    loop = LoopBase.standalone(name="t", clock=VirtualClock(1_700_000_000_000_000_000))
    parent = loop.create_root(Parent, {"propdesk.name": "parent"})
    loop.inject(parent, StartActor(name="parent", supervisor=None, setup=None))
    loop.run_until_idle()
    yield loop
    loop.shutdown()


def _heard(base: LoopBase) -> list[object]:
    base.run_until_idle()
    return list(base.actor("parent").heard)


def test_a_handler_that_raises_after_acting_acts_once_reports_once_and_leaves(base: LoopBase) -> None:
    base.inject("worker", Greeting("raise after acting"))
    heard = _heard(base)
    assert EFFECTS.count("raise after acting") == 1
    failures = [m for m in heard if isinstance(m, ActorFailed)]
    assert [(f.name, f.message_type) for f in failures] == [("worker", "Greeting")]
    assert "a bug" in failures[0].story
    assert "child exited" in heard
    assert base.lookup("worker") is None
    assert EFFECTS.count("stopped") == 1


def test_after_a_failure_no_message_is_handled_any_more(base: LoopBase) -> None:
    base.inject("worker", Greeting("raise after acting"))
    base.inject("worker", Greeting("too late"))
    base.run_until_idle()
    assert "too late" not in EFFECTS


def test_an_unknown_message_is_reported_and_the_actor_goes_on(base: LoopBase) -> None:
    base.inject("worker", {"what": "is this"})
    base.inject("worker", Greeting("still here"))
    heard = _heard(base)
    assert [m.error for m in heard if isinstance(m, ActorFailed)] == ["unknown message (reported, actor goes on)"]
    assert EFFECTS == ["still here"]


@pytest.mark.parametrize(("kind", "acted"), [("raise", False), ("raise_after_effect", True)])
def test_a_drill_can_make_an_actor_fail_before_or_after_its_effect(base: LoopBase, kind: str, acted: bool) -> None:
    base.inject("worker", DrillFault(kind=kind, target="worker"))
    base.inject("worker", Greeting("work"))
    heard = _heard(base)
    assert ("work" in EFFECTS) is acted
    assert any(isinstance(m, ActorFailed) for m in heard)


def test_a_wake_up_that_was_replaced_is_ignored_when_it_comes() -> None:
    EFFECTS.clear()
    loop = LoopBase.standalone(name="t", clock=VirtualClock(1_700_000_000_000_000_000))
    parent = loop.create_root(Parent, {"propdesk.name": "parent"})
    loop.inject(parent, StartActor(name="parent", supervisor=None, setup="wake"))
    loop.run_until_idle()
    loop.advance_to(5_000_000)
    assert EFFECTS == ["tick first at 2000000"]
    loop.shutdown()


def test_wake_ups_that_each_count_all_come() -> None:
    EFFECTS.clear()
    loop = LoopBase.standalone(name="t", clock=VirtualClock(1_700_000_000_000_000_000))
    parent = loop.create_root(Parent, {"propdesk.name": "parent"})
    loop.inject(parent, StartActor(name="parent", supervisor=None, setup="wake each"))
    loop.run_until_idle()
    loop.advance_to(5_000_000)
    assert EFFECTS == ["tick each at 1000000", "tick each at 2000000"]
    loop.shutdown()


def test_a_shell_runs_unchanged_on_thespians_simple_base() -> None:
    EFFECTS.clear()
    system = ActorSystem("simpleSystemBase", logDefs=False)
    try:
        worker = system.createActor(Worker)
        system.tell(worker, StartActor(name="worker", supervisor=None, setup=None))
        system.tell(worker, Greeting("hello"))
        system.tell(worker, Greeting("raise after acting"))
        assert EFFECTS.count("raise after acting") == 1
        assert EFFECTS[0] == "hello"
        assert ChildActorExited is not None
    finally:
        system.shutdown()
