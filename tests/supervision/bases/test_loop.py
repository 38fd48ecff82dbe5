"""LoopBase: order, names, deaths, failures, dead letters, and what the integrator sees."""

from __future__ import annotations

import sys

import pytest
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ActorSystem,
    ChildActorExited,
    DeadEnvelope,
    InvalidActorAddress,
    NoCompatibleSystemForActor,
    PoisonMessage,
    Thespian_ActorStatus,
    Thespian_StatusReq,
)

from supervision.bases import core, loop, thespian_suite
from supervision.bases.core import BaseFullError
from supervision.bases.loop import LoopBase


class Fragile(Actor):
    """Raises on every string, and counts how often it was asked."""

    calls = 0

    def receiveMessage(self, msg, sender):
        if isinstance(msg, str):
            type(self).calls += 1
            raise ValueError(msg)  # noqa: TRY004 - any error would do


class NonStarter(Actor):
    def __init__(self):
        raise RuntimeError("no")


class NeedsVenue(Actor):
    @staticmethod
    def actorSystemCapabilityCheck(capabilities, requirements):
        return capabilities.get("venue") == requirements.get("venue", "binance")

    def receiveMessage(self, msg, sender):
        pass


def kinds(heard):
    return [(name, type(msg).__name__) for name, msg in heard]


def test_messages_arrive_in_the_order_in_which_they_were_sent(base, recorder, doer, named, heard):
    base.create_root(recorder, named("sink"))
    for name in ("a", "b"):
        base.create_root(doer, named(name))
        base.inject(name, lambda me, _: [me.send(ActorAddress("sink"), (str(me.myAddress), n)) for n in range(3)])
    base.run_until_idle()
    assert [msg for _, msg in heard] == [(f"ActorAddr-{name}", n) for name in ("a", "b") for n in range(3)]


def test_an_address_made_by_anyone_from_the_name_reaches_the_actor(base, recorder, named, heard):
    address = base.create_root(recorder, named("orders"))
    assert address == ActorAddress("orders")
    assert base.lookup("orders") == address
    assert base.lookup("nobody") is None
    base.inject(ActorAddress("orders"), 1)
    base.inject("orders", 2)
    base.run_until_idle()
    assert heard == [("orders", 1), ("orders", 2)]


def test_the_reference_of_an_actor_exposes_the_clock_and_the_base(base, doer, named, clock):
    seen = []
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: seen.append((me._myRef.clock, me._myRef.base)))
    base.run_until_idle()
    assert seen == [(clock, base)]


def test_a_name_works_again_after_death_and_messages_in_between_are_dead_letters(base, doer, recorder, named, heard):
    dead = []
    base.set_observer(on_dead_letter=lambda to, msg: dead.append((to.actorAddressString, msg)))
    base.create_root(doer, named("parent"))

    def create(me, _):
        me.createActor(recorder, targetActorRequirements=named("orders"))

    base.inject("parent", create)
    base.inject("orders", "too early")
    base.run_until_idle()
    base.inject("orders", "first life")
    base.inject("orders", ActorExitRequest())
    base.inject("orders", "sent before the exit was handled")
    base.run_until_idle()
    base.inject("orders", "in between")
    base.inject("parent", create)
    base.run_until_idle()
    base.inject("orders", "second life")
    base.run_until_idle()
    assert [msg for name, msg in heard if name == "orders" and isinstance(msg, str)] == ["first life", "second life"]
    assert dead == [("orders", msg) for msg in ("too early", "sent before the exit was handled", "in between")]
    assert base.stats()["dead_letters"] == 3


def test_a_parent_may_create_a_child_again_under_its_name_when_told_of_its_death(base, recorder, named, heard):
    class Keeper(Actor):
        def receiveMessage(self, msg, sender):
            if msg == "go" or isinstance(msg, ChildActorExited):
                self.createActor(recorder, targetActorRequirements=named("kept"))

    base.create_root(Keeper, named("keeper"))
    base.inject("keeper", "go")
    for _ in range(3):
        base.run_until_idle()
        base.inject("kept", ActorExitRequest())
    base.run_until_idle()
    assert [view.name for view in base.children("keeper")] == ["kept"]
    base.inject("keeper", ActorExitRequest())
    base.run_until_idle()
    assert base.tree() == []


def test_the_name_of_a_living_actor_is_refused(base, recorder, named):
    base.create_root(recorder, named("orders"))
    with pytest.raises(InvalidActorAddress):
        base.create_root(recorder, named("orders"))


def test_an_address_without_a_name_is_never_used_twice(base, doer, named):
    seen = []
    for _ in range(2):
        base.create_root(doer, named("parent"))
        base.inject("parent", lambda me, _: seen.append(me.createActor(doer).actorAddressString))
        base.inject("parent", ActorExitRequest())
        base.run_until_idle()
    assert len(set(seen)) == 2


def test_children_exit_before_their_parent_and_the_parent_is_told(base, doer, named, heard):
    base.create_root(doer, named("top"))

    def family(me, _):
        for name in ("left", "right"):
            me.send(me.createActor(doer, named(name)), lambda me, _: me.createActor(doer, named(f"{me.name_of()}-kid")))

    doer.name_of = lambda self: self.myAddress.actorAddressString
    base.inject("top", family)
    base.run_until_idle()
    assert [view.name for view in base.tree()] == ["top", "left", "left-kid", "right", "right-kid"]
    gone = []
    base.set_observer(on_root_exit=lambda address: gone.append((address.actorAddressString, len(heard))))
    base.inject("top", ActorExitRequest())
    base.run_until_idle()
    exited = [(name, msg.childAddress.actorAddressString) for name, msg in heard if isinstance(msg, ChildActorExited)]
    assert exited == [("left", "left-kid"), ("right", "right-kid"), ("top", "left"), ("top", "right")]
    assert gone == [("top", len(heard))]
    assert base.stats()["actors"] == 0
    assert base.stats()["dead_letters"] == 0


def test_an_exit_that_is_not_recursive_leaves_orphans_and_shutdown_finds_them(base, doer, named):
    base.create_root(doer, named("top"))
    base.inject("top", lambda me, _: me.createActor(doer, named("kid")))
    base.inject("top", ActorExitRequest(recursive=False))
    base.run_until_idle()
    assert [(view.name, view.parent) for view in base.tree()] == [("kid", "top")]
    base.shutdown()
    assert base.tree() == []


def test_an_exiting_actor_hears_only_of_its_children(base, doer, named, heard):
    base.create_root(doer, named("top"))
    base.inject("top", lambda me, _: me.createActor(doer, named("kid")))
    base.inject("top", ActorExitRequest())
    base.inject("top", "too late")
    base.run_until_idle()
    assert kinds(heard) == [("top", "ActorExitRequest"), ("kid", "ActorExitRequest"), ("top", "ChildActorExited")]
    assert base.stats()["dead_letters"] == 1


def test_a_dead_actor_can_no_longer_send(base, doer, recorder, named, heard):
    kept = []
    base.create_root(recorder, named("sink"))
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: kept.extend([me, me._myRef]))
    base.inject("a", ActorExitRequest())
    base.run_until_idle()
    actor, reference = kept
    actor.send(ActorAddress("sink"), "ghost")
    reference.actor_send(ActorAddress("sink"), "ghost")
    base.run_until_idle()
    assert [msg for name, msg in heard if name == "sink"] == []
    assert base.stats()["sent_by_dead"] == 2


@pytest.mark.parametrize("victim", ["self", "other"])
def test_sys_exit_in_a_handler_ends_that_actor_and_nobody_else(base, doer, named, victim):
    base.create_root(doer, named("self"))
    base.create_root(doer, named("other"))
    base.inject(victim, lambda _me, _sender: sys.exit(0))
    base.run_until_idle()
    assert {view.name for view in base.tree()} == {"self", "other"} - {victim}


def test_a_handler_that_raises_runs_once_more_and_the_sender_gets_poison(base, doer, named, heard):
    failures = []
    base.set_observer(on_failure=lambda address, msg, exc: failures.append((str(address), msg, str(exc))))
    Fragile.calls = 0
    base.create_root(Fragile, named("fragile"))
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: me.send(ActorAddress("fragile"), "boo"))
    base.run_until_idle()
    assert Fragile.calls == 2
    assert failures == [("ActorAddr-fragile", "boo", "boo")] * 2
    [(name, poison)] = heard
    assert (name, type(poison), poison.poisonMessage) == ("a", PoisonMessage, "boo")
    assert "ValueError: boo" in poison.details
    assert base.lookup("fragile") is not None


def test_poison_that_poisons_ends_there(base, named):
    class Sore(Actor):
        def receiveMessage(self, msg, sender):
            if msg == "go":
                self.send(ActorAddress("fragile"), "boo")
            else:
                raise ValueError("even this")

    base.create_root(Fragile, named("fragile"))
    base.create_root(Sore, named("sore"))
    base.inject("sore", "go")
    base.run_until_idle()
    assert base.stats()["poisoned"] == 1
    assert base.stats()["failures"] == 4


def test_a_child_whose_constructor_raises_is_told_to_its_parent_and_a_roots_is_raised(base, doer, named, heard):
    with pytest.raises(RuntimeError):
        base.create_root(NonStarter)
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: me.createActor(NonStarter, named("kid")))
    base.run_until_idle()
    [(_, msg)] = heard
    assert msg == ChildActorExited(ActorAddress("kid"))
    assert base.children("a") == []
    base.inject("a", ActorExitRequest())
    base.run_until_idle()
    assert base.tree() == []


def test_dead_letters_go_to_the_actor_that_handles_them(base, doer, named, heard):
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: me.handleDeadLetters())
    base.inject("nobody", "x")
    base.run_until_idle()
    base.inject("nobody", "y")
    base.run_until_idle()
    assert heard == [("a", DeadEnvelope(ActorAddress("nobody"), "y"))]
    base.inject("a", ActorExitRequest())
    base.inject("nobody", "z")
    base.run_until_idle()
    assert base.stats()["dead_letters"] == 3


def test_the_router_is_asked_for_names_that_are_not_here(base, doer, named):
    routed = []

    def router(to, sender, msg):
        routed.append((to, sender.actorAddressString, msg))
        return to.startswith("venue")

    base.set_router(router)
    base.create_root(doer, named("a"))
    base.inject("a", lambda me, _: [me.send(ActorAddress(to), 1) for to in ("venue-1", "nobody")])
    base.run_until_idle()
    assert routed == [("venue-1", "a", 1), ("nobody", "a", 1)]
    assert base.stats()["routed"] == 1
    assert base.stats()["dead_letters"] == 1


def test_a_capability_is_checked_at_creation_and_when_it_changes(make_base, named):
    base = make_base(capabilities={"venue": "binance"})
    base.create_root(NeedsVenue, named("gateway"))
    with pytest.raises(NoCompatibleSystemForActor):
        base.create_root(NeedsVenue, {"venue": "okx"})
    base.updateCapability("venue", "okx")
    base.run_until_idle()
    assert base.lookup("gateway") is None


def test_a_constructor_may_ask_for_capabilities_and_requirements(make_base):
    seen = []

    class Curious(Actor):
        def __init__(self, capabilities, requirements):
            seen.append((capabilities["tier"], requirements["shard"]))

    make_base(capabilities={"tier": 1}).create_root(Curious, {"shard": 7})
    assert seen == [(1, 7)]


def test_an_actor_answers_a_status_request_without_being_bothered(base, doer, named, heard):
    for name in ("a", "b"):
        base.create_root(doer, named(name))
    base.inject("a", lambda me, _: (me.createActor(doer, named("kid")), me.wakeupAfter(5)))
    base.inject("b", lambda me, _: me.send(ActorAddress("a"), Thespian_StatusReq()))
    base.run_until_idle()
    [(name, status)] = heard
    assert (name, type(status)) == ("b", Thespian_ActorStatus)
    assert status.childActors == [ActorAddress("kid")]
    assert len(status.pendingWakeups) == 1


def test_a_global_name_is_one_actor_until_it_dies(base, doer, named):
    seen = []

    def one(me, _):
        seen.append(me.createActor(doer, globalName="one"))

    base.create_root(doer, named("a"))
    base.inject("a", one)
    base.inject("a", one)
    base.run_until_idle()
    assert seen[0] == seen[1]
    base.inject(seen[0], ActorExitRequest())
    base.inject("a", one)
    base.run_until_idle()
    assert seen[0] != seen[2]


def test_a_view_of_the_tree_tells_depth_and_work_done(base, recorder, named, heard):
    base.create_root(recorder, named("sink"))
    base.inject("sink", 1)
    base.run_until_idle()
    base.inject("sink", 2)
    base.inject("sink", 3)
    [view] = base.tree()
    assert (view.name, view.class_name, view.parent, view.depth, view.handled) == ("sink", "Recorder", None, 2, 1)
    assert base.children() == [view]
    assert base.children("nobody") == []
    assert base.stats()["waiting"] == 2
    base.run_until_idle()
    assert base.stats()["handled"] == 3


@pytest.mark.parametrize("target", ["Audience", None, 7])
def test_only_addresses_can_be_sent_to(base, doer, named, target):
    raised = []

    def try_it(me, _):
        with pytest.raises(InvalidActorAddress) as caught:
            me.send(target, "hello")
        raised.append(caught.type)

    base.create_root(doer, named("a"))
    base.inject("a", try_it)
    base.run_until_idle()
    assert raised == [InvalidActorAddress]


def test_an_actor_with_its_own_send_keeps_it(base, recorder, named, heard):
    class Careful(Actor):
        def send(self, target, msg):
            super().send(target, ("checked", msg))

        def receiveMessage(self, msg, sender):
            if isinstance(msg, str):
                self.send(ActorAddress("sink"), msg)

    base.create_root(recorder, named("sink"))
    base.create_root(Careful, named("careful"))
    base.inject("careful", "x")
    base.run_until_idle()
    assert heard == [("sink", ("checked", "x"))]


def test_actors_that_talk_without_end_are_noticed(base, named):
    class Echo(Actor):
        def receiveMessage(self, msg, sender):
            self.send(self.myAddress, msg)

    base.create_root(Echo, named("echo"))
    base.inject("echo", "again")
    with pytest.raises(RuntimeError, match="not idle after 1000 messages"):
        base.run_until_idle(limit=1_000)


def test_limits_on_actors_timers_and_other_threads_are_errors_of_their_own(base, doer, named, monkeypatch):
    errors = []

    def ask_too_much(me, _):
        with pytest.raises(BaseFullError) as caught:
            [me.wakeupAfter(1) for _ in range(4)]
        errors.append(str(caught.value))

    monkeypatch.setattr(core, "TIMERS_MAX", 3)
    monkeypatch.setattr(core, "ACTORS_MAX", 6)
    monkeypatch.setattr(loop, "INBOX_MAX", 2)
    base.create_root(doer, named("a"))
    base.inject("a", ask_too_much)
    base.run_until_idle()
    assert errors == ["cell holds 3 pending wake-ups"]
    with pytest.raises(BaseFullError):
        [base.create_root(doer) for _ in range(7)]
    with pytest.raises(BaseFullError):
        [base.inject_threadsafe("a", n) for n in range(3)]


def test_it_serves_an_actor_system_as_an_object_and_by_name(doer, recorder, heard):
    for system_base in (LoopBase(), thespian_suite.register()):
        system = ActorSystem(system_base, logDefs=False, transientUnique=True)
        actor = system.createActor(doer)
        assert system.ask(actor, lambda me, sender: me.send(sender, "hi"), 1) == "hi"
        assert system.listen(0) is None
        with system.private() as mine:
            assert mine.ask(actor, lambda me, sender: me.send(sender, "you"), 1) == "you"
        system.shutdown()
