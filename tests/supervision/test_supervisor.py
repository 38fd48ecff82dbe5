"""A supervisor inside a cell: what it says of failures, where the page can be asked and where it cannot."""

from __future__ import annotations

import pytest

from actors.messages import ActorFailed, BrakeSet, ResumeChild, StartActor
from actors.shell import Shell
from adapters.clock import VirtualClock
from supervision.bases.loop import LoopBase
from supervision.policy import Beyond, ChildSpec, Strategy, SupervisorSpec
from supervision.supervisor import ChildStart, Supervisor, SupervisorSetup
from trading.operators import Published, Topic

SECOND = 1_000_000_000


class Frail(Shell):
    """Raises at every word."""

    def on(self, msg):
        raise ValueError(f"cannot bear {msg}")


@pytest.fixture
def cell():
    """A supervisor with one frail child; what leaves the cell is kept."""
    base = LoopBase.standalone(name="cell", clock=VirtualClock(1_700_000_000 * SECOND, SECOND))
    base.kept = []
    base.set_router(lambda to, _sender, msg: base.kept.append((to, msg)) or True)
    spec = SupervisorSpec(
        id="top", strategy=Strategy.ONE_FOR_ONE, children=(ChildSpec(id="frail"),), intensity=100, period_ms=1_000
    )
    setup = SupervisorSetup(spec=spec, starts={"frail": ChildStart(Frail, lambda: None)}, cell="venue-okx")
    top = base.create_root(Supervisor, {"propdesk.name": "top"})
    base.inject(top, StartActor(name="top", supervisor=None, setup=setup))
    base.run_until_idle()
    yield base
    base.shutdown()


def fail(cell, n):
    for i in range(n):
        cell.inject("frail", f"word {i}")
        cell.run_until_idle()
        cell.advance_to(cell.clock.mono_ns() + 6 * SECOND // 1_000)


def test_a_failure_is_an_event_for_operators_and_a_story_in_the_log(cell, capsys):
    fail(cell, 1)
    (event,) = [m.body for to, m in cell.kept if to == "ops" and type(m) is Published and m.topic is Topic.EVENT]
    assert (event["code"], event["cell"]) == ("ACTOR_FAILED", "venue-okx")
    assert "cannot bear word 0" in event["text"]
    logged = capsys.readouterr().err
    assert "venue-okx: top: frail: ValueError: cannot bear word 0" in logged
    assert "raise ValueError" in logged


def test_an_actor_that_fails_again_and_again_fills_no_disk(cell, capsys):
    cell.inject("top", ActorFailed(name="frail", message_type="str", error="e", story="", ts_ns=0))
    for _ in range(99):
        cell.inject("top", ActorFailed(name="frail", message_type="str", error="e", story="", ts_ns=0))
    cell.run_until_idle()
    assert len(capsys.readouterr().err.splitlines()) == 20
    cell.advance_to(cell.clock.mono_ns() + 61 * SECOND)
    cell.inject("top", ActorFailed(name="frail", message_type="str", error="e", story="", ts_ns=0))
    cell.run_until_idle()
    assert "80 more failures in the minute before" in capsys.readouterr().err


def test_the_last_words_of_a_top_are_in_the_log(cell, capsys):
    cell.inject("top", "nonsense")
    cell.run_until_idle()
    assert "top: unknown message" in capsys.readouterr().err


@pytest.mark.req("P-HA-10")
def test_a_child_that_is_held_beyond_its_restarts_begins_again_when_an_operator_resumes_it():
    base = LoopBase.standalone(name="cell", clock=VirtualClock(1_700_000_000 * SECOND, SECOND))
    base.kept = []
    base.set_router(lambda to, _sender, msg: base.kept.append((to, msg)) or True)
    spec = SupervisorSpec(
        id="watch-top",
        strategy=Strategy.ONE_FOR_ONE,
        children=(ChildSpec(id="frail", scope="venue:okx"),),
        intensity=2,
        period_ms=60_000,
        beyond=Beyond.HOLD_CHILD,
    )
    setup = SupervisorSetup(spec=spec, starts={"frail": ChildStart(Frail, lambda: None)}, cell="ops")
    base.inject(
        base.create_root(Supervisor, {"propdesk.name": "watch-top"}),
        StartActor(name="watch-top", supervisor=None, setup=setup),
    )
    base.run_until_idle()
    try:
        for n in range(3):
            base.inject("frail", f"word {n}")
            base.advance_to(base.clock.mono_ns() + SECOND)
        held = [m for to, m in base.kept if to == "governor" and type(m) is BrakeSet][-1]
        assert (held.code, held.release, held.owner) == ("RESTART:frail", "operator", "watch-top")
        base.advance_to(base.clock.mono_ns() + 60 * SECOND)
        assert base.actor("frail") is None, "nobody starts it while it is held"
        base.inject("watch-top", ResumeChild(name="frail"))
        base.run_until_idle()
        assert base.actor("frail") is not None
    finally:
        base.shutdown()
