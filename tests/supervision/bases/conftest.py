"""Actors and bases for the tests of LoopBase."""

from __future__ import annotations

from typing import ClassVar

import pytest
from thespian.actors import Actor

from adapters.clock import VirtualClock
from supervision.bases.loop import LoopBase

START_NS = 1_700_000_000_000_000_000


class Recorder(Actor):
    """Writes everything it gets into a shared list, as (own name, message)."""

    log: ClassVar[list] = []  # replaced per test by the `heard` fixture

    def receiveMessage(self, msg, sender):
        type(self).log.append((self.myAddress.actorAddressString, msg))


class Doer(Actor):
    """Does what it is sent: a function of the actor and the sender."""

    def receiveMessage(self, msg, sender):
        if callable(msg):
            msg(self, sender)
        else:
            Recorder.log.append((self.myAddress.actorAddressString, msg))


@pytest.fixture
def heard():
    Recorder.log = []
    return Recorder.log


@pytest.fixture
def recorder():
    return Recorder


@pytest.fixture
def doer():
    return Doer


@pytest.fixture
def clock():
    return VirtualClock(START_NS)


@pytest.fixture
def named():
    def requirement(name):
        return {"propdesk.name": name}

    return requirement


@pytest.fixture
def make_base(clock):
    made = []

    def make(**options):
        made.append(LoopBase.standalone(name="cell", clock=clock, **options))
        return made[-1]

    yield make
    for base in made:
        base.shutdown()


@pytest.fixture
def base(make_base):
    return make_base()
