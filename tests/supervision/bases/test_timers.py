"""Virtual time and the wake-ups in it: the C and the Python way do the same, to the nanosecond."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thespian.actors import Actor, ActorExitRequest, WakeupMessage

import native
from adapters.clock import PyVirtualClock
from supervision.bases.loop import LoopBase
from supervision.bases.timers import NEVER_NS, PyTimers

pytestmark = pytest.mark.skipif(native.actors is None, reason=f"not built: {native.why_not}")

WALL_NS = 1_700_000_000_000_000_000


class Sleeper:
    """As much of an actor as timers look at."""

    def __init__(self):
        self.alive, self.exiting = True, False


class Kit:
    """One way to keep timers, with sleepers of its own, and all that was told."""

    def __init__(self, timers):
        self.timers = timers()
        self.sleepers = {name: Sleeper() for name in "abc"}
        self.told = []
        self.waits = []

    def early_ns(self):
        self.told.append("asked")
        return self.waits.pop() if self.waits else 0

    def do(self, step):
        match step:
            case ("push", due_ns, name, msg, waits):
                patient = () if waits is None else (self.early_ns,)
                self.waits.extend(waits or ())
                self.timers.push(due_ns, self.sleepers[name], msg, *patient)
            case ("take", now_ns):
                found = self.timers.take(now_ns)
                self.told.append(found if found is None else (self.name_of(found[0]), found[1]))
            case ("leave", name):
                self.sleepers[name].exiting = True
            case ("die", name):
                self.sleepers[name].alive = False
            case ("next",):
                self.told.append(self.timers.next_ns())
            case _:
                self.timers.clear()
        pending = [(due_ns, number, self.name_of(target)) for due_ns, number, target in self.timers.pending()]
        return len(self.timers), pending, self.told

    def name_of(self, sleeper):
        return next(name for name, one in self.sleepers.items() if one is sleeper)


NAMES = st.sampled_from("abc")
TIMES = st.one_of(st.integers(0, 50), st.sampled_from([NEVER_NS - 1, NEVER_NS, NEVER_NS + 5]))
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("push"),
            TIMES,
            NAMES,
            st.integers(0, 9),
            st.one_of(st.none(), st.lists(st.sampled_from([-1, 0, 1, 7, NEVER_NS]), max_size=3)),
        ),
        st.tuples(st.just("take"), st.integers(0, 60)),
        st.tuples(st.just("next")),
        st.tuples(st.sampled_from(["leave", "die"]), NAMES),
        st.tuples(st.just("clear")),
    ),
    max_size=60,
)


@given(STEPS)
def test_both_ways_keep_the_same_wakeups_and_ask_the_patient_ones_at_the_same_moments(steps):
    ours, theirs = Kit(PyTimers), Kit(native.actors.Timers)
    for step in steps:
        assert ours.do(step) == theirs.do(step)


def test_a_thousand_wakeups_come_by_time_and_then_in_the_order_they_were_asked_for():
    kit = Kit(native.actors.Timers)
    for n in range(1_000):
        kit.timers.push((n * 7919) % 97, kit.sleepers["a"], n)
    taken = []
    while (found := kit.timers.take(1_000)) is not None:
        taken.append(found[1])
    assert taken == sorted(range(1_000), key=lambda n: ((n * 7919) % 97, n))


def test_wakeups_that_hold_themselves_are_garbage_and_a_raising_hint_is_heard():
    timers = native.actors.Timers()
    sleeper = Sleeper()
    sleeper.timers = timers
    timers.push(1, sleeper, "m", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        timers.take(1)
    timers.push(1, sleeper, "m", lambda: "soon")
    with pytest.raises(TypeError):
        timers.take(1)
    assert len(timers) == 0
    timers.push(1, sleeper, "m", lambda: 1)
    ref = weakref.ref(sleeper)
    del timers, sleeper
    gc.collect()
    assert ref() is None


MOVES = st.lists(
    st.tuples(st.sampled_from(["advance_to_mono", "advance_to_wall"]), st.integers(-100, 10**19)), max_size=8
)


@given(st.integers(-(10**18), 10**18), st.integers(0, 10**18), MOVES)
def test_both_clocks_show_the_same_and_neither_goes_back(wall_ns, mono_ns, moves):
    ours, theirs = PyVirtualClock(wall_ns, mono_ns), native.actors.VirtualClock(wall_ns, mono_ns)
    for move, to_ns in moves:
        if to_ns > NEVER_NS - abs(wall_ns) - abs(mono_ns):
            with pytest.raises(OverflowError):  # beyond 292 years, where the Python one goes on
                getattr(theirs, move)(10**20)
            continue
        answers = []
        for clock in (ours, theirs):
            try:
                answers.append(getattr(clock, move)(to_ns))
            except ValueError as error:
                answers.append(str(error))
        assert answers[0] == answers[1]
        assert (ours.wall_ns(), ours.mono_ns()) == (theirs.wall_ns(), theirs.mono_ns())


class Talker(Actor):
    """Does as it is told, and writes down when."""

    def receiveMessage(self, msg, sender):
        base = self._myRef.base
        log = base.log
        said = repr(msg) if type(msg) is tuple else type(msg).__name__
        log.append((self.myAddress.actorAddressString, base.clock.mono_ns(), base.clock.wall_ns(), said))
        match msg:
            case ("tell", name, more):
                self.send(base.lookup(name) or self.myAddress, more)
            case ("wake", delay_ns, more):
                self._myRef.waker()(delay_ns, more)
            case ("patient", delay_ns, more):
                heard = len(log)
                self._myRef.waker()(delay_ns, more, lambda: 3 if len(log) < heard + 3 and len(log) % 2 else 0)
            case ("other thread", name, more):
                base.inject_threadsafe(name, more)
            case ("raise",):
                raise ArithmeticError
            case WakeupMessage():
                self.receiveMessage(msg.payload, sender)
            case _:
                pass


WHO = st.sampled_from(["a", "b", "nobody"])
WORDS = st.recursive(
    st.sampled_from([("raise",), ("hello",), 1]),
    lambda more: st.one_of(
        st.tuples(st.just("tell"), WHO, more),
        st.tuples(st.sampled_from(["wake", "patient"]), st.integers(0, 30), more),
        st.tuples(st.just("other thread"), WHO, more),
    ),
    max_leaves=4,
)
DAYS = st.lists(st.tuples(st.integers(-2, 25), WHO, st.one_of(WORDS, st.just("leave"))), max_size=25)


def _live_through(clock, days):
    base = LoopBase.standalone(name="cell", clock=clock)
    base.log, lost = [], []
    base.set_observer(on_dead_letter=lambda to, msg: lost.append((to.actorAddressString, msg)))
    for name in "ab":
        base.create_root(Talker, {"propdesk.name": name})
    now = 0
    for step_ns, to, msg in days:
        now += step_ns
        base.deliver_at(now, to, ActorExitRequest() if msg == "leave" and to != "nobody" else msg)
        base.log.append(("after", base.clock.mono_ns(), base.next_timer_ns(), base.stats()))
    base.advance_to(now + 1_000)
    base.log.append(base.stats())
    quick = base.deliver_at
    log = list(base.log)
    base.shutdown()
    return log, lost, type(quick).__name__


@settings(max_examples=200, deadline=None)
@given(DAYS)
def test_a_message_at_its_time_does_the_same_in_c_and_in_python(days):
    slow_log, slow_lost, slow = _live_through(PyVirtualClock(WALL_NS), days)
    quick_log, quick_lost, quick = _live_through(native.actors.VirtualClock(WALL_NS), days)
    assert (slow, quick) == ("method", "Drive")
    assert slow_log == quick_log
    assert slow_lost == quick_lost
