"""Bounded mailboxes: what may be dropped, replaced or overtaken, and what never."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thespian.actors import ActorAddress, ActorExitRequest

from supervision.bases.mailbox import (
    BoundedMailbox,
    Classifier,
    MessageClass,
    OverflowPolicy,
    PolicyCounts,
)
from supervision.bases.scheduler import SeededScheduler


@dataclass(frozen=True)
class Quote:
    symbol: str
    price: int


@dataclass(frozen=True)
class Order:
    number: int


@dataclass(frozen=True)
class Hold:
    cause: str


@dataclass(frozen=True)
class Report:
    number: int


def classify(msg):
    match msg:
        case Quote(symbol=symbol):
            return MessageClass.MARKET, symbol
        case Hold():
            return MessageClass.CONTROL, None
        case Report():
            return MessageClass.REPORT, None
        case _:
            return MessageClass.ORDER, None


@pytest.fixture
def overflows():
    return []


@pytest.fixture
def policed(make_base, overflows):
    def make(scheduler=None, **limits):
        base = make_base(overflow=OverflowPolicy(classify=classify, **limits), scheduler=scheduler)
        base.set_observer(on_overflow=lambda address, cls: overflows.append((address.actorAddressString, cls)))
        return base

    return make


def deliver(base, recorder, named, heard, messages):
    base.create_root(recorder, named("a"))
    for msg in messages:
        base.inject("a", msg)
    base.run_until_idle()
    return [msg for _, msg in heard]


def test_a_newer_quote_takes_the_place_of_the_older_one_still_waiting(policed, recorder, named, heard):
    base = policed()
    sent = [Quote("BTC", 1), Order(1), Quote("ETH", 7), Quote("BTC", 2), Quote("BTC", 3)]
    assert deliver(base, recorder, named, heard, sent) == [Quote("BTC", 3), Order(1), Quote("ETH", 7)]
    assert base.stats()["conflated"] == 2
    base.inject("a", Quote("BTC", 4))
    base.run_until_idle()
    assert heard[-1] == ("a", Quote("BTC", 4))


def test_quotes_for_different_actors_are_not_conflated(policed, recorder, named, heard):
    base = policed()
    for name in ("a", "b"):
        base.create_root(recorder, named(name))
        base.inject(name, Quote("BTC", 1))
    base.run_until_idle()
    assert heard == [("a", Quote("BTC", 1)), ("b", Quote("BTC", 1))]


def test_control_overtakes_waiting_market_data_but_no_order(policed, recorder, named, heard):
    sent = [Quote("BTC", 1), Order(1), Quote("ETH", 1), Quote("SOL", 1), Hold("x"), Hold("y")]
    assert deliver(policed(), recorder, named, heard, sent) == [
        Quote("BTC", 1),
        Order(1),
        Hold("x"),
        Hold("y"),
        Quote("ETH", 1),
        Quote("SOL", 1),
    ]


def test_an_exit_request_overtakes_market_data_without_being_classified(policed, recorder, named, heard):
    base = policed()
    received = deliver(base, recorder, named, heard, [Quote("BTC", 1), ActorExitRequest()])
    assert received == [ActorExitRequest()]
    assert base.stats()["dead_letters"] == 1


def test_orders_beyond_the_hard_limit_are_reported_and_still_accepted(policed, recorder, named, heard, overflows):
    orders = [Order(n) for n in range(5)]
    base = policed(hard_limit=3)
    assert deliver(base, recorder, named, heard, orders) == orders
    assert overflows == [("a", MessageClass.ORDER)] * 2
    assert base.stats()["beyond_limit"] == 2


def test_reports_drop_their_oldest_with_a_count(policed, recorder, named, heard, overflows):
    base = policed(report_limit=2)
    sent = [Report(0), Order(0), Report(1), Report(2), Report(3)]
    assert deliver(base, recorder, named, heard, sent) == [Order(0), Report(2), Report(3)]
    assert overflows == [("a", MessageClass.REPORT)] * 2
    assert base.stats()["dropped"] == 2


def test_more_keys_than_the_market_limit_drop_the_oldest_quote(policed, recorder, named, heard, overflows):
    base = policed(market_limit=2)
    sent = [Quote(symbol, 1) for symbol in ("A", "B", "C")]
    assert deliver(base, recorder, named, heard, sent) == [Quote("B", 1), Quote("C", 1)]
    assert overflows == [("a", MessageClass.MARKET)]


def test_the_class_is_asked_for_once_per_type_and_the_key_every_time():
    asked = []

    def counting(msg):
        asked.append(msg)
        return classify(msg)

    classifier = Classifier(counting)
    for msg in (Order(1), Order(2), Quote("A", 1), Quote("B", 1)):
        classifier(msg)
    assert asked == [Order(1), Quote("A", 1), Quote("B", 1)]


def test_a_mailbox_that_nobody_empties_does_not_collect_what_it_dropped():
    counts = PolicyCounts()
    box = BoundedMailbox(
        ActorAddress("a"),
        OverflowPolicy(classify=classify, report_limit=10),
        Classifier(classify),
        counts,
        lambda _address, _cls: None,
    )
    for n in range(10_000):
        box.put(Report(n), ActorAddress("b"))
    assert len(box) == 10
    assert len(box._entries) < 200
    assert [box.take()[0] for _ in range(10)] == [Report(n) for n in range(9_990, 10_000)]


MESSAGES = st.lists(
    st.one_of(
        st.builds(Quote, st.sampled_from("ABC"), st.integers(0, 3)),
        st.builds(Order, st.integers(0, 99)),
        st.builds(Hold, st.just("x")),
        st.builds(Report, st.integers(0, 99)),
        st.just("take"),
    ),
    max_size=60,
)


@given(MESSAGES)
def test_orders_and_control_survive_in_order_whatever_else_happens(script):
    box = BoundedMailbox(
        ActorAddress("a"),
        OverflowPolicy(classify=classify, hard_limit=4, market_limit=2, report_limit=2),
        Classifier(classify),
        PolicyCounts(),
        lambda _address, _cls: None,
    )
    taken = []
    tokens = 0
    for step in script:
        if step == "take":
            if tokens:
                taken.append(box.take()[0])
                tokens -= 1
        else:
            tokens += box.put(step, ActorAddress("b"))
        assert len(box) == tokens
    taken += [box.take()[0] for _ in range(tokens)]
    assert len(box) == 0
    for kept in (Order, Hold):
        assert [msg for msg in taken if isinstance(msg, kept)] == [msg for msg in script if isinstance(msg, kept)]
    last = {msg.symbol: msg for msg in script if isinstance(msg, Quote)}
    for symbol in {msg.symbol for msg in taken if isinstance(msg, Quote)}:
        assert [msg for msg in taken if isinstance(msg, Quote) and msg.symbol == symbol][-1] in {
            msg for msg in script if isinstance(msg, Quote) and msg.symbol == symbol
        }
    assert len(last) <= 3


def test_the_policy_holds_under_a_seeded_scheduler_too(policed, recorder, named, heard):
    base = policed(scheduler=SeededScheduler(3), report_limit=1)
    sent = [Quote("BTC", 1), Quote("BTC", 2), Order(1), Report(1), Report(2)]
    assert deliver(base, recorder, named, heard, sent) == [Quote("BTC", 2), Order(1), Report(2)]
    assert base.stats()["waiting"] == 0
