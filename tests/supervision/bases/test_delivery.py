"""The delivery of messages: the C and the Python way do the same, message for message."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thespian.actors import ActorAddress, WakeupMessage

import native
from supervision.bases import delivery

needs_native = pytest.mark.skipif(native.actors is None, reason=f"not built: {native.why_not}")


class Kit:
    """One way of delivery, with two parties that note what they get."""

    def __init__(self, party, ready, post):
        self.ready = ready()
        self.seen = []
        self.woken = 0
        self.lost = []
        self.retried = []
        self.special = {int: None, str: "special", float: None}
        self.actors = {}
        self._post = post
        for name in ("a", "b"):
            one = party()
            one.handled = 0
            one.receive = self.receiver(name)
            self.actors[name] = one

    def receiver(self, name):
        def receive(msg, sender):
            self.seen.append((name, msg, sender))
            if type(msg) is float:
                raise ArithmeticError(f"{msg}")
            if isinstance(msg, int) and msg > 3:
                self.send("b")(ActorAddress("a" if msg % 2 else "b"), msg // 2)

        return receive

    def wake(self):
        self.woken += 1
        self.ready.asleep = False

    def send(self, sender, by_name=False):
        return self._post(
            self.ready, self.actors, sender, self.wake, lambda to, msg: self.lost.append((to, msg)), by_name
        )

    def drain(self, limit):
        return self.ready.drain(
            limit,
            self.special,
            lambda target, msg, sender: self.seen.append(("special", msg, sender)),
            lambda target, msg, sender, exc: self.retried.append((msg, repr(exc))),
        )

    def told(self):
        handled = {name: one.handled for name, one in self.actors.items()}
        return self.seen, self.retried, self.woken, len(self.ready), handled, len(self.lost)


def python_kit():
    return Kit(delivery.PyParty, delivery.PyReady, delivery.py_post)


def native_kit():
    return Kit(native.actors.Party, native.actors.Ready, native.actors.Post)


MESSAGES = st.one_of(st.integers(0, 40), st.text(max_size=3), st.floats(allow_nan=False))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(["a", "b", "nobody"]), st.booleans(), MESSAGES),
        st.tuples(st.just("drain"), st.integers(0, 5)),
        st.tuples(st.just("sleep")),
    ),
    max_size=60,
)


@needs_native
@given(STEPS)
def test_both_ways_deliver_the_same_messages_in_the_same_order(steps):
    ours, theirs = python_kit(), native_kit()
    for step in steps:
        for kit in (ours, theirs):
            match step:
                case ("send", name, by_name, msg):
                    kit.send("x", by_name)(name if by_name else ActorAddress(name), msg)
                case ("drain", limit):
                    kit.drain(limit)
                case _:
                    kit.ready.asleep = True
        assert [entry[1:] for entry in ours.ready] == [entry[1:] for entry in theirs.ready]
    while len(ours.ready) or len(theirs.ready):
        assert ours.drain(7) == theirs.drain(7)
    assert ours.told() == theirs.told()


@needs_native
@pytest.mark.parametrize("to", [None, 3, "text", [], object()])
def test_what_is_no_address_goes_back_to_the_base(to):
    for kit in (python_kit(), native_kit()):
        kit.send("x")(to, 1)
        assert kit.lost == [(to, 1)]
        assert len(kit.ready) == 0


@needs_native
def test_what_is_special_is_so_by_the_table_of_the_day_however_many_types_there_are():
    kinds = [type(f"Kind{n}", (), {}) for n in range(60)]
    for kit in (python_kit(), native_kit()):
        for rare in (7, 3):
            kit.special = {kind: "special" if n % rare == 0 else None for n, kind in enumerate(kinds)}
            for _ in range(2):
                kit.seen.clear()
                for kind in kinds:
                    kit.send("x")(ActorAddress("a"), kind())
                kit.drain(100)
                found = [type(entry[1]) for entry in kit.seen if entry[0] == "special"]
                assert found == [kind for n, kind in enumerate(kinds) if n % rare == 0]


@needs_native
def test_rare_types_go_the_long_way_however_many_others_came_before():
    kinds = [type(f"Kind{n}", (), {}) for n in range(60)]
    long_way, usual = [], []

    class Receiver:
        def on(self, msg):
            usual.append(type(msg))

        def receiveMessage(self, msg, sender):
            long_way.append(type(msg))

    inbox = native.actors.Inbox(Receiver(), frozenset(kinds[::4]), {})
    for _ in range(3):
        for kind in kinds:
            inbox(kind(), "x")
    assert long_way == kinds[::4] * 3
    assert usual == [kind for n, kind in enumerate(kinds) if n % 4] * 3


@needs_native
def test_a_special_type_is_classified_once_and_what_nobody_may_catch_is_not_caught():
    class Learning(dict):
        asked = 0

        def __missing__(self, kind):
            self.asked += 1
            self[kind] = None

    class Stop(BaseException):
        pass

    for kit in (python_kit(), native_kit()):
        kit.special = Learning()
        kit.send("x")(ActorAddress("a"), 1)
        kit.send("x")(ActorAddress("a"), 2)
        kit.drain(9)
        assert kit.special.asked == 1

        def stop(_msg, _sender):
            raise Stop

        kit.actors["a"].receive = stop
        kit.send("x")(ActorAddress("a"), 1)
        kit.send("x")(ActorAddress("b"), 2)
        with pytest.raises(Stop):
            kit.drain(9)
        assert kit.retried == []
        assert kit.drain(9) == 1


@needs_native
def test_a_full_ring_grows_and_keeps_its_order():
    kit = native_kit()
    send = kit.send("x", by_name=True)
    for n in range(40):
        send("a", n / 1.0)
    kit.drain(37)
    for n in range(300):
        send("b", n % 4)
    kit.drain(1_000)
    assert [msg for name, msg, _ in kit.seen if name == "b"] == [n % 4 for n in range(300)]
    assert kit.actors["b"].handled == 300


@needs_native
def test_messages_that_are_gone_are_not_kept():
    class Big:
        pass

    kit = native_kit()
    kit.special[Big] = None
    kit.actors["a"].receive = lambda msg, sender: None
    held = []
    for _ in range(500):
        big = Big()
        held.append(weakref.ref(big))
        kit.send("x", by_name=True)("a", big)
    del big
    kit.drain(1_000)
    assert not [ref for ref in held if ref() is not None]
    # A ring that holds itself through a message is garbage like any other.
    loop = native.actors.Ready()
    party = native.actors.Party()
    party.receive = print
    big = Big()
    big.ready = loop
    ref = weakref.ref(big)
    loop.append(party, big, None)
    del loop, big
    gc.collect()
    assert ref() is None


class Actor:
    """As much of an actor as an inbox touches."""

    def __init__(self):
        self.got = []

    def on(self, msg):
        self.got.append(("on", msg))
        if msg == "bad":
            raise RuntimeError("bad")
        if msg == "leave":
            raise SystemExit

    def receiveMessage(self, msg, sender):
        self.got.append(("long", msg, sender))

    def _crash(self, msg, exc):
        self.got.append(("crash", msg, str(exc), exc.__traceback__ is not None))


@needs_native
def test_an_inbox_goes_straight_unless_something_is_unusual():
    actor = Actor()
    inbox = native.actors.Inbox(actor, frozenset({WakeupMessage, int}), {})
    inbox("fine", "s")
    inbox(7, "s")
    inbox("bad", "s")
    with pytest.raises(SystemExit):
        inbox("leave", "s")
    inbox.direct = False
    inbox("fine", "s")
    assert actor.got == [
        ("on", "fine"),
        ("long", 7, "s"),
        ("on", "bad"),
        ("crash", "bad", "bad", True),
        ("on", "leave"),
        ("long", "fine", "s"),
    ]
    with pytest.raises(TypeError):
        inbox("one")
    with pytest.raises(TypeError):
        native.actors.Ready().append("no party", 1, 2)


@needs_native
def test_a_type_with_a_route_comes_to_on_only_where_the_route_did_nothing():
    actor, routed = Actor(), []

    def route(msg):
        if msg == 3:
            raise ValueError("no three")
        routed.append(msg)
        return msg > 1

    routes = {}
    inbox = native.actors.Inbox(actor, frozenset({WakeupMessage}), routes)
    inbox(0, "s")
    routes[int] = route
    for msg in (1, 2, 3, "fine"):
        inbox(msg, "s")
    inbox.direct = False
    inbox(2, "s")
    assert routed == [1, 2]
    assert actor.got == [
        ("on", 0),
        ("on", 1),
        ("crash", 3, "no three", True),
        ("on", "fine"),
        ("long", 2, "s"),
    ]


def test_python_delivers_where_the_extension_is_not_wanted():
    code = (
        "from supervision.bases import delivery as d; import native; print(d.Ready.__name__, d.Inbox, native.why_not)"
    )
    env = {**os.environ, "PROPDESK_NATIVE": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["PyReady", "None", "PROPDESK_NATIVE=0"]


@needs_native
def test_an_extension_built_from_other_sources_is_not_used():
    # The package must not be imported before the extension is made old, so its module is loaded by its file.
    code = (
        "import importlib.util as u, sys\n"
        f"spec = u.spec_from_file_location('native._actors', {native.actors.__file__!r})\n"
        "old = u.module_from_spec(spec); spec.loader.exec_module(old); old.REVISION = 0\n"
        "sys.modules['native._actors'] = old\n"
        "import native\n"
        "print(native.actors, native.marketdata, native.why_not)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("None None native._actors was built from other sources")
