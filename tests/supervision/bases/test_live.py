"""LoopBase in a running event loop: batches, timers, other threads, stopping."""

from __future__ import annotations

import asyncio
import threading

import pytest
from thespian.actors import Actor, ActorAddress, ActorExitRequest, WakeupMessage

from adapters.clock import SystemClock
from supervision.bases.loop import BATCH, LATER_MAX, LoopBase
from tests.waiting import PATIENCE_S


class Collector(Actor):
    """Sets its event once it has as many messages as it was told to wait for."""

    def receiveMessage(self, msg, sender):
        match msg:
            case (int(wanted), asyncio.Event() as event, list() as into):
                self.wanted, self.event, self.into = wanted, event, into
            case ActorExitRequest():
                pass
            case _:
                self.into.append(msg)
                if len(self.into) == self.wanted:
                    self.event.set()


@pytest.fixture
async def live():
    base = LoopBase.standalone(name="live", clock=SystemClock())
    base.attach(asyncio.get_running_loop())
    yield base
    await base.stop(1)


def collector(base, wanted):
    event, into = asyncio.Event(), []
    base.create_root(Collector, {"propdesk.name": "collector"})
    base.inject("collector", (wanted, event, into))
    return event, into


async def test_injected_messages_are_delivered_by_the_loop(live):
    event, into = collector(live, 3)
    for n in range(3):
        live.inject("collector", n)
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    assert into == [0, 1, 2]
    assert live.stats()["waiting"] == 0


async def test_an_actor_may_send_from_a_callback_of_the_loop(live, doer, named):
    event, into = collector(live, 1)
    kept = []
    live.create_root(doer, named("a"))
    live.inject("a", lambda me, _: (kept.append(me), live.inject("collector", "awake")))
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    event.clear()
    into.clear()
    asyncio.get_running_loop().call_soon(lambda: kept[0].send(ActorAddress("collector"), "from outside a handler"))
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    assert into == ["from outside a handler"]


async def test_what_is_sent_later_comes_behind_all_that_the_message_sets_off_and_in_its_order(live, doer, named):
    event, into = collector(live, 4)
    for name in "abc":
        live.create_root(doer, named(name))

    def pass_on(to, then):
        return lambda me, _: me.send(ActorAddress(to), then)

    def begin(me, _):
        later = me._myRef.later()
        later("collector", "first of those who look on")
        me.send(ActorAddress("b"), pass_on("c", pass_on("collector", "act")))
        later("collector", "second of those who look on")
        me.send(ActorAddress("collector"), "at once")

    live.inject("a", begin)
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    assert into == ["at once", "act", "first of those who look on", "second of those who look on"]


async def test_what_is_sent_later_beyond_the_limit_is_sent_at_once(live, doer, named):
    event, into = collector(live, LATER_MAX + 2)
    live.create_root(doer, named("a"))

    def flood(me, _):
        later = me._myRef.later()
        for n in range(LATER_MAX + 2):
            later("collector", n)

    live.inject("a", flood)
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    assert into == [LATER_MAX, LATER_MAX + 1, *range(LATER_MAX)]


async def test_what_is_still_to_be_sent_later_when_the_loop_is_left_waits_with_the_rest(live, doer, named):
    _, into = collector(live, 2)
    kept = []
    live.create_root(doer, named("a"))
    live.inject("a", lambda me, _: kept.append(me._myRef.later()))
    live.run_until_idle()
    kept[0]("collector", "before")
    live.detach()
    live.run_until_idle()
    assert into == ["before"]
    live.attach(asyncio.get_running_loop())
    event = asyncio.Event()
    live.inject("collector", (2, event, into))
    live.inject("a", lambda *_: kept[0]("collector", "after"))
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    assert into == ["before", "after"]


async def test_a_backlog_does_not_starve_the_loop(live):
    event, into = collector(live, BATCH * 10)
    for n in range(BATCH * 10):
        live.inject("collector", n)
    turns = 0
    while not event.is_set():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 10
    assert len(into) == BATCH * 10


async def test_messages_of_other_threads_arrive_in_their_order(live):
    event, into = collector(live, 4_000)

    def shout(who):
        for n in range(1_000):
            live.inject_threadsafe("collector", (who, str(n)))

    threads = [threading.Thread(target=shout, args=(str(who),)) for who in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    for thread in threads:
        thread.join()
    for who in "0123":
        assert [msg for msg in into if msg[0] == who] == [(who, str(n)) for n in range(1_000)]


async def test_wakeups_come_in_order_and_never_early(live, named):
    done = asyncio.Event()
    clock = live.clock
    woken = []

    class Sleeper(Actor):
        def receiveMessage(self, msg, sender):
            if isinstance(msg, WakeupMessage):
                woken.append((msg.payload, clock.mono_ns() - self.start_ns))
                if msg.payload == 0.03:
                    done.set()
            elif msg == "go":
                self.start_ns = clock.mono_ns()
                for seconds in (0.03, 0.0005, 0.01):
                    self.wakeupAfter(seconds, seconds)

    live.create_root(Sleeper, named("s"))
    live.inject("s", "go")
    await asyncio.wait_for(done.wait(), PATIENCE_S)
    assert [payload for payload, _ in woken] == [0.0005, 0.01, 0.03]
    assert all(elapsed_ns >= payload * 1e9 for payload, elapsed_ns in woken)


async def test_an_error_in_an_observer_does_not_stop_the_base(live):
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context["exception"]))

    class Fragile(Actor):
        def receiveMessage(self, msg, sender):
            raise ValueError(msg)

    def broken(_address, _msg, _exc):
        raise KeyError("observer")

    event, into = collector(live, 1)
    live.set_observer(on_failure=broken)
    live.create_root(Fragile, {"propdesk.name": "fragile"})
    live.inject("fragile", "x")
    live.inject("collector", 1)
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    live.set_observer()
    assert into == [1]
    assert [type(error) for error in errors] == [KeyError]


async def test_run_stays_until_stop_and_stop_waits_for_everyone(doer, named, heard):
    base = LoopBase.standalone(name="live", clock=SystemClock())
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: me.createActor(doer, named("kid")))
    running = asyncio.ensure_future(base.run())
    await asyncio.sleep(0)
    assert await base.stop(PATIENCE_S)
    await asyncio.wait_for(running, PATIENCE_S)
    assert [name for name, _ in heard] == ["a", "kid", "a"]
    assert base.tree() == []


async def test_who_does_not_exit_in_time_is_dropped(doer, named):
    base = LoopBase.standalone(name="live", clock=SystemClock())
    base.attach(asyncio.get_running_loop())
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: me.createActor(doer, named("kid")))

    def forever(me, _sender):
        if me._myRef.alive:
            base.inject("flood", forever)

    base.create_root(doer, named("flood"))
    hosted = base._actors["flood"]
    hosted.children["ghost"] = hosted  # a child that will never report its exit
    assert not await base.stop(0.05)
    assert base.tree() == []


async def test_detached_messages_wait_for_the_next_drive(doer, named):
    base = LoopBase.standalone(name="live", clock=SystemClock())
    done = []
    base.create_root(doer, named("a"))
    base.attach(asyncio.get_running_loop())
    with pytest.raises(RuntimeError):
        base.attach(asyncio.get_running_loop())
    base.detach()
    base.inject_threadsafe("a", lambda _me, _sender: done.append(1))
    await asyncio.sleep(0)
    assert done == []
    base.run_until_idle()
    assert done == [1]
    base.shutdown()


def test_the_same_actors_run_on_uvloop(doer, named):
    uvloop = pytest.importorskip("uvloop")
    done = []

    async def main():
        base = LoopBase.standalone(name="live", clock=SystemClock())
        finished = asyncio.Event()
        base.create_root(doer, named("a"))
        base.attach(asyncio.get_running_loop())
        base.inject("a", lambda me, _: me.wakeupAfter(0.005))
        base.inject("a", lambda _me, _sender: (done.append(1), finished.set()))
        await finished.wait()
        await base.stop(1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert done == [1]
