"""Virtual time and seeded order: the same seed tells the same story."""

from __future__ import annotations

from typing import ClassVar

import pytest
from thespian.actors import Actor, ActorAddress, ActorExitRequest, WakeupMessage

from adapters.clock import SystemClock
from supervision.bases.loop import LoopBase
from supervision.bases.scheduler import FifoScheduler, SeededScheduler

SECOND_NS = 1_000_000_000


class Gossip(Actor):
    """Passes a number on to two others until it is used up."""

    story: ClassVar[list] = []

    def receiveMessage(self, msg, sender):
        if isinstance(msg, tuple):
            number, hops = msg
            type(self).story.append((self.myAddress.actorAddressString, sender.actorAddressString, number))
            me = int(self.myAddress.actorAddressString[1:])
            for step in (1, 2) if hops else ():
                self.send(ActorAddress(f"g{(me + step) % 5}"), (number * 10 + step, hops - 1))


@pytest.fixture
def tell_story(make_base, named):
    def tell(scheduler):
        Gossip.story = []
        base = make_base(scheduler=scheduler)
        for n in range(5):
            base.create_root(Gossip, named(f"g{n}"))
        for n in range(5):
            base.inject(f"g{n}", (n, 4))
        base.run_until_idle()
        base.shutdown()
        return Gossip.story

    return tell


def test_the_same_seed_gives_the_same_order_and_another_seed_another(tell_story):
    first = tell_story(SeededScheduler(1))
    assert tell_story(SeededScheduler(1)) == first
    other = tell_story(SeededScheduler(2))
    assert other != first
    assert sorted(other) == sorted(first)
    assert len(first) == 5 * 31


def test_asking_an_idle_base_does_not_change_the_story(make_base, named):
    stories = []
    for asked in (0, 3):
        Gossip.story = []
        base = make_base(scheduler=SeededScheduler(7))
        for n in range(5):
            base.create_root(Gossip, named(f"g{n}"))
        for _ in range(asked):
            base.run_until_idle()
        for n in range(5):
            base.inject(f"g{n}", (n, 3))
        base.run_until_idle()
        base.shutdown()
        stories.append(Gossip.story)
    assert stories[0] == stories[1]


def test_first_in_first_out_is_the_same_with_and_without_mailboxes(tell_story):
    class Fifo:
        """Not a FifoScheduler by type, hence with mailboxes."""

        def __init__(self):
            inner = FifoScheduler()
            self.add, self.pick = inner.add, inner.pick
            self.size = inner.__len__

        def __len__(self):
            return self.size()

    assert tell_story(None) == tell_story(FifoScheduler()) == tell_story(Fifo())


@pytest.mark.parametrize("seed", range(10))
def test_messages_from_one_actor_to_another_stay_in_order_under_any_seed(make_base, named, recorder, doer, heard, seed):
    base = make_base(scheduler=SeededScheduler(seed))
    base.create_root(recorder, named("sink"))
    for name in "abc":
        base.create_root(doer, named(name))
        for n in range(10):
            base.inject(name, lambda me, _, n=n: me.send(ActorAddress("sink"), (me.myAddress.actorAddressString, n)))
    base.run_until_idle()
    for name in "abc":
        assert [n for _, (who, n) in heard if who == name] == list(range(10))


def test_time_stands_at_every_wakeup_exactly_when_it_is_due(base, clock, named):
    woken = []

    class Sleeper(Actor):
        def receiveMessage(self, msg, sender):
            if isinstance(msg, WakeupMessage):
                woken.append((clock.mono_ns(), msg.payload))
                if msg.payload == "again":
                    self.wakeupAfter(0.25, "last")
            elif isinstance(msg, list):
                for seconds, payload in msg:
                    self.wakeupAfter(seconds, payload)

    base.create_root(Sleeper, named("s"))
    assert base.next_timer_ns() is None
    base.inject("s", [(2, "late"), (1, "again"), (1, "same time"), (9, "never")])
    base.run_until_idle()
    assert base.next_timer_ns() == SECOND_NS
    base.advance_to(3 * SECOND_NS)
    assert woken == [
        (SECOND_NS, "again"),
        (SECOND_NS, "same time"),
        (SECOND_NS + SECOND_NS // 4, "last"),
        (2 * SECOND_NS, "late"),
    ]
    assert clock.mono_ns() == 3 * SECOND_NS
    assert base.next_timer_ns() == 9 * SECOND_NS


def test_wakeups_of_the_dead_are_forgotten(base, doer, named):
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: me.wakeupAfter(1))
    base.inject("a", ActorExitRequest())
    base.run_until_idle()
    assert base.next_timer_ns() is None
    base.advance_to(2 * SECOND_NS)
    assert base.stats()["dead_letters"] == 0
    assert base.stats()["wakeups"] == 0


def test_two_bases_may_share_one_virtual_clock(clock, doer, named, heard):
    bases = [LoopBase.standalone(name=name, clock=clock) for name in ("x", "y")]
    for base in bases:
        base.create_root(doer, named(f"{base.name}-a"))
        base.inject(f"{base.name}-a", lambda me, _: me.wakeupAfter(1))
    for base in bases:
        base.run_until_idle()
    for base in bases:
        base.advance_to(2 * SECOND_NS)
    assert [name for name, _ in heard] == ["x-a", "y-a"]
    assert clock.mono_ns() == 2 * SECOND_NS


def test_real_time_cannot_be_moved():
    with pytest.raises(TypeError):
        LoopBase.standalone(name="cell", clock=SystemClock()).advance_to(1)


def test_a_patient_wakeup_comes_when_it_is_no_longer_early_and_troubles_nobody_before(base, clock, named):
    woken, last_heard = [], [0]

    class Watcher(Actor):
        def receiveMessage(self, msg, sender):
            if isinstance(msg, WakeupMessage):
                woken.append((clock.mono_ns(), msg.payload))
            elif msg == "watch":
                silence_ns = 3 * SECOND_NS
                early_ns = lambda: last_heard[0] + silence_ns - clock.mono_ns()  # noqa: E731
                self._myRef.waker()(silence_ns, "silent", early_ns)

    base.create_root(Watcher, named("w"))
    base.inject("w", "watch")
    base.run_until_idle()
    handled = base.advance_to(2 * SECOND_NS)
    last_heard[0] = 2 * SECOND_NS
    assert (handled, base.advance_to(5 * SECOND_NS - 1), woken) == (0, 0, [])
    assert base.next_timer_ns() == 5 * SECOND_NS
    base.advance_to(60 * SECOND_NS)
    assert woken == [(5 * SECOND_NS, "silent")]
    assert base.next_timer_ns() is None
