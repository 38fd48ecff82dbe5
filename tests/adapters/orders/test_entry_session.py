"""A connection for orders as a state machine: logins, doubts, and that each request is settled once."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adapters.orders.entry import EntryUnread
from adapters.orders.entry_bybit import BybitEntry
from adapters.orders.entry_session import (
    NEXT,
    UNANSWERED_MAX,
    EntryEvent,
    EntryLimits,
    EntrySession,
    EntryState,
)
from adapters.orders.wire import MS_NS, HttpAnswer, WireKind, WireRequest, wire_request
from tests.adapters.orders.commands import KEY, TS_MS, TS_NS

S = 1_000_000_000
LIMITS = EntryLimits(in_flight_max=4)


def request(kind: WireKind = WireKind.PLACE) -> WireRequest:
    return wire_request("POST", "/v5/order/create", kind, body=b'{"symbol":"BTCUSDT"}')


def answer(request_id: str, code: int = 0) -> bytes:
    return msgspec.json.encode({"reqId": request_id, "retCode": code, "retMsg": "", "op": "order.create", "data": {}})


GRANT = msgspec.json.encode({"op": "auth", "retCode": 0, "retMsg": "OK"})
PONG = msgspec.json.encode({"op": "pong", "retCode": 0, "retMsg": "OK"})


def session(*, ready: bool = True) -> EntrySession:
    made = EntrySession(BybitEntry(), KEY, LIMITS)
    assert made.connected(TS_MS, 0).startswith(b'{"op":"auth"')
    if ready:
        made.heard(GRANT, 0, TS_NS)
        assert made.state is EntryState.READY
    return made


def ask(one: EntrySession, now_ns: int = 0) -> str:
    asked = one.ask(request(), TS_MS, now_ns)
    assert asked is not None
    return asked[0]


def test_nothing_is_asked_before_the_login_is_granted() -> None:
    one = session(ready=False)
    assert one.state is EntryState.LOGGING_IN
    assert one.ask(request(), TS_MS, 0) is None
    one.heard(GRANT, 0, TS_NS)
    assert one.ask(request(), TS_MS, 0) is not None


def test_a_refused_login_ends_it_with_the_venues_words() -> None:
    one = session(ready=False)
    one.heard(msgspec.json.encode({"op": "auth", "retCode": 10004, "retMsg": "Error sign"}), 0, TS_NS)
    assert (one.state, one.refused, one.reason) == (EntryState.ENDED, True, "login refused: 10004 Error sign")


def test_answers_find_their_requests_in_any_order_and_once() -> None:
    one = session()
    first, second = ask(one), ask(one)
    (settled,) = one.heard(answer(second), 1, TS_NS)
    assert settled.request_id == second
    (settled,) = one.heard(answer(first), 2, TS_NS)
    assert settled.request_id == first
    assert one.heard(answer(first), 3, TS_NS) == []
    assert one.heard(answer("nobody"), 3, TS_NS) == []
    assert (one.strays, one.in_flight) == (2, 0)


def test_the_end_of_the_connection_settles_what_is_in_flight_with_words_that_prove_nothing() -> None:
    one = session()
    names = {ask(one), ask(one)}
    settled = one.lost("reset by peer")
    assert {each.request_id for each in settled} == names
    assert {each.outcome for each in settled} == {"the connection ended: reset by peer"}
    assert one.lost("again") == []
    assert one.ask(request(), TS_MS, 0) is None


def test_what_the_venue_did_not_read_is_told_apart_from_what_is_not_known() -> None:
    one = session()
    name = ask(one)
    (settled,) = one.heard(answer(name, 10019), 1, TS_NS)  # the service restarts
    assert isinstance(settled.outcome, EntryUnread)
    assert one.state is EntryState.LEAVING
    assert not one.takes_orders


def test_an_overdue_answer_makes_it_doubted_until_anything_is_heard() -> None:
    one = session()
    name = ask(one)
    assert one.overdue(name, 400 * MS_NS)
    assert one.state is EntryState.DOUBTED
    assert not one.takes_orders
    assert not one.overdue(name, 401 * MS_NS), "it is pinged once"
    one.heard(PONG, 450 * MS_NS, TS_NS)
    assert one.state is EntryState.READY
    (late,) = one.heard(answer(name), 900 * MS_NS, TS_NS)
    assert isinstance(late.outcome, HttpAnswer)


def test_a_doubted_connection_that_says_nothing_is_left_and_may_still_bring_its_answer() -> None:
    one = session()
    name = ask(one)
    one.overdue(name, 400 * MS_NS)
    assert one.due(1_000 * MS_NS).wait_ns == 400 * MS_NS
    assert one.state is EntryState.DOUBTED
    assert one.due(1_400 * MS_NS).end == ""
    assert (one.state, one.reason) == (EntryState.LEAVING, "an answer is overdue and nothing else is heard")
    assert [each.request_id for each in one.heard(answer(name), 1_500 * MS_NS, TS_NS)] == [name]
    assert one.state is EntryState.LEAVING


def test_a_connection_is_left_after_requests_in_a_row_without_an_answer_whatever_its_pongs_say() -> None:
    one = session()
    for turn in range(UNANSWERED_MAX):
        one.overdue(ask(one), turn)
        one.heard(PONG, turn, TS_NS)
    one.due(10)
    assert one.state is EntryState.LEAVING
    assert one.reason == f"{UNANSWERED_MAX} requests in a row were not answered"


def test_an_answer_between_them_begins_the_row_anew() -> None:
    one = session()
    for turn in range(UNANSWERED_MAX - 1):
        one.overdue(ask(one), turn)
        one.heard(PONG, turn, TS_NS)
    one.heard(answer(ask(one)), 5, TS_NS)
    one.overdue(ask(one), 6)
    one.due(10)
    assert one.state is EntryState.DOUBTED


def test_it_is_pinged_and_mute_it_ends() -> None:
    one = session()
    every = BybitEntry.plan.ping_every_ns
    assert not one.due(every - 1).ping
    assert one.due(every).ping
    assert not one.due(every + 1).ping
    assert one.due(2 * every + 1).end == "mute: nothing was heard, pongs neither"


def test_before_its_time_is_over_it_is_left_and_still_brings_answers() -> None:
    one = session()
    name = ask(one)
    life = BybitEntry.plan.life_ns
    one.touched(life - 1)
    one.due(life)
    assert one.state is EntryState.LEAVING
    assert one.ask(request(), TS_MS, life) is None
    assert [each.request_id for each in one.heard(answer(name), life, TS_NS)] == [name]


def test_no_more_is_in_flight_than_allowed() -> None:
    one = session()
    for _ in range(LIMITS.in_flight_max):
        ask(one)
    assert one.ask(request(), TS_MS, 0) is None


def test_ids_are_of_their_connection_so_that_no_venue_hears_one_twice() -> None:
    one, other = session(), EntrySession(BybitEntry(), KEY, LIMITS)
    other.connected(TS_MS + 1, 0)
    other.heard(GRANT, 0, TS_NS)
    names = {ask(each) for each in (one, one, other, other)}
    assert len(names) == 4
    assert all(name.isalnum() and len(name) <= 32 for name in names)


@pytest.mark.parametrize("state", EntryState)
def test_the_table_ends_every_state_and_leaves_the_end_by_nothing(state: EntryState) -> None:
    assert NEXT[state, EntryEvent.LOST] is EntryState.ENDED
    assert {NEXT.get((EntryState.ENDED, event), EntryState.ENDED) for event in EntryEvent} == {EntryState.ENDED}


class Connections(RuleBasedStateMachine):
    """Whatever comes in whatever order, each request is settled at most once, and none is asked for while doubted."""

    def __init__(self) -> None:
        super().__init__()
        self.one = EntrySession(BybitEntry(), KEY, LIMITS)
        self.now = 0
        self.asked: list[str] = []
        self.settled: list[str] = []

    @initialize(ready=st.booleans())
    def connect(self, ready: bool) -> None:
        self.one = session(ready=ready)

    @rule(ns=st.integers(0, 40 * S))
    def wait(self, ns: int) -> None:
        self.now += ns
        due = self.one.due(self.now)
        assert due.end or due.wait_ns >= MS_NS

    @rule()
    def place(self) -> None:
        was = self.one.state
        asked = self.one.ask(request(), TS_MS, self.now)
        assert asked is None or was is EntryState.READY
        if asked is not None:
            self.asked.append(asked[0])

    @rule(data=st.data(), code=st.sampled_from((0, 10001, 10006, 10019, 10003)))
    def answer(self, data: st.DataObject, code: int) -> None:
        if self.asked:
            name = data.draw(st.sampled_from(self.asked))
            self._take(self.one.heard(answer(name, code), self.now, TS_NS))

    @rule(data=st.data())
    def overdue(self, data: st.DataObject) -> None:
        if self.asked:
            self.one.overdue(data.draw(st.sampled_from(self.asked)), self.now)

    @rule(payload=st.sampled_from((GRANT, PONG, b"", b"null", b"{}", b"[1]", b'{"reqId":{}}', b'{"op":"auth"}')))
    def hear(self, payload: bytes) -> None:
        self._take(self.one.heard(payload, self.now, TS_NS))

    @rule()
    def lose(self) -> None:
        self._take(self.one.lost("reset"))

    def _take(self, settled: list) -> None:
        self.settled += [each.request_id for each in settled]

    @invariant()
    def each_request_is_settled_at_most_once(self) -> None:
        assert len(self.settled) == len(set(self.settled))
        assert set(self.settled) <= set(self.asked)
        assert self.one.in_flight == len(set(self.asked)) - len(self.settled)
        assert self.one.in_flight <= LIMITS.in_flight_max


Connections.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestConnections = Connections.TestCase
