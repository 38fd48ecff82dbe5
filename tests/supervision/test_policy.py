"""The supervisor's decisions: OTP's meaning of OTP's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervision.policy import (
    Beyond,
    ChildSpec,
    ChildState,
    Escalate,
    HoldScope,
    Restart,
    StartChild,
    StopChild,
    Strategy,
    SupervisorCore,
    SupervisorSpec,
)


def _core(strategy: Strategy, **kw: object) -> SupervisorCore:
    children = kw.pop("children", None) or tuple(ChildSpec(id=i) for i in ("a", "b", "c"))
    core = SupervisorCore(SupervisorSpec(id="s", strategy=strategy, children=children, **kw))
    for effect in core.start():
        assert isinstance(effect, StartChild)
        core.started(effect.id)
    return core


def _fail(core: SupervisorCore, child: str, now_ms: int = 0) -> list[object]:
    return list(core.exited(child, now_ms, normal=False, cause="bug"))


def test_children_start_left_to_right_and_stop_right_to_left() -> None:
    core = SupervisorCore(
        SupervisorSpec(id="s", strategy=Strategy.ONE_FOR_ONE, children=tuple(ChildSpec(id=i) for i in "abc"))
    )
    assert [e.id for e in core.start()] == ["a", "b", "c"]
    for child in "abc":
        core.started(child)
    assert [e.id for e in core.stop()] == ["c", "b", "a"]


def test_one_for_one_restarts_only_the_failed_child() -> None:
    core = _core(Strategy.ONE_FOR_ONE)
    (start,) = _fail(core, "b")
    assert isinstance(start, StartChild)
    assert start.id == "b"


def test_rest_for_one_stops_those_started_later_first_and_restarts_in_order() -> None:
    core = _core(Strategy.REST_FOR_ONE)
    effects = _fail(core, "b")
    assert effects == [StopChild(id="c", shutdown_ms=2_000)]
    restarted = core.exited("c", 1, normal=True, cause="asked")
    assert [e.id for e in restarted] == ["b", "c"]


def test_one_for_all_waits_until_everybody_is_down() -> None:
    core = _core(Strategy.ONE_FOR_ALL)
    assert [e.id for e in _fail(core, "a")] == ["c", "b"]
    assert core.exited("c", 1, normal=True, cause="asked") == []
    assert [e.id for e in core.exited("b", 2, normal=True, cause="asked")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("restart", "normal", "restarted"),
    [
        (Restart.PERMANENT, True, True),
        (Restart.PERMANENT, False, True),
        (Restart.TRANSIENT, True, False),
        (Restart.TRANSIENT, False, True),
        (Restart.TEMPORARY, True, False),
        (Restart.TEMPORARY, False, False),
    ],
)
def test_restart_types_mean_what_otp_means(restart: Restart, normal: bool, restarted: bool) -> None:
    core = _core(Strategy.ONE_FOR_ONE, children=(ChildSpec(id="a", restart=restart),))
    assert bool(core.exited("a", 0, normal=normal, cause="x")) is restarted


@pytest.mark.req("P-SAFE-4")
def test_beyond_the_intensity_the_supervisor_gives_up() -> None:
    core = _core(Strategy.ONE_FOR_ONE, intensity=2, period_ms=1_000)
    for now in (0, 10):
        (start,) = _fail(core, "a", now)
        assert isinstance(start, StartChild)
        core.started("a")
    (last,) = _fail(core, "a", 20)
    assert isinstance(last, Escalate)
    assert core.gave_up


def test_failures_further_apart_than_the_period_never_escalate() -> None:
    core = _core(Strategy.ONE_FOR_ONE, intensity=1, period_ms=100)
    for n in range(20):
        (start,) = _fail(core, "a", n * 1_000)
        assert isinstance(start, StartChild)
        core.started("a")


@pytest.mark.req("P-SAFE-4")
def test_a_strategy_beyond_its_intensity_stays_stopped_under_hold_until_resumed() -> None:
    child = ChildSpec(id="strategy.x", scope="strategy:x")
    core = _core(Strategy.ONE_FOR_ONE, children=(child,), intensity=1, beyond=Beyond.HOLD_CHILD)
    first = _fail(core, "strategy.x", 0)
    assert isinstance(first[0], HoldScope)
    assert first[0].release == "auto"
    core.started("strategy.x")
    (hold,) = _fail(core, "strategy.x", 1)
    assert isinstance(hold, HoldScope)
    assert (hold.scope, hold.release) == ("strategy:x", "operator")
    assert core.view()[0]["state"] == ChildState.HELD.value
    assert core.resume("strategy.x") == [StartChild(id="strategy.x", delay_ms=0)]


def test_backoff_grows_is_capped_and_starts_anew_once_the_child_is_whole() -> None:
    core = _core(Strategy.ONE_FOR_ONE, intensity=100, backoff_ms_min=100, backoff_ms_max=1_000)
    delays = []
    for n in range(8):
        (start,) = _fail(core, "a", n)
        delays.append(start.delay_ms)
        core.started("a")
    assert all(75 <= d <= 1_000 * 1.25 for d in delays)
    assert delays[3] > delays[0]
    core.ready("a")
    (start,) = _fail(core, "a", 99)
    assert start.delay_ms <= 125


@given(
    strategy=st.sampled_from(Strategy),
    failures=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 500)), max_size=40),
)
def test_whatever_fails_every_child_is_running_again_or_the_supervisor_gave_up(
    strategy: Strategy, failures: list[tuple[str, int]]
) -> None:
    core = _core(strategy, intensity=5, period_ms=1_000)
    now = 0
    for child, gap in failures:
        now += gap
        todo: list[object] = _fail(core, child, now)
        while todo:
            effect = todo.pop(0)
            match effect:
                case StopChild():
                    todo.extend(core.exited(effect.id, now, normal=True, cause="asked"))
                case StartChild():
                    core.started(effect.id)
                case Escalate():
                    assert core.gave_up
                    return
                case _:
                    pytest.fail(f"unexpected {effect}")
        assert {row["state"] for row in core.view()} == {ChildState.RUNNING.value}


def test_a_table_that_names_a_child_twice_is_refused() -> None:
    spec = SupervisorSpec(id="s", strategy=Strategy.ONE_FOR_ONE, children=(ChildSpec(id="a"), ChildSpec(id="a")))
    with pytest.raises(ValueError, match="twice"):
        SupervisorCore(spec)
