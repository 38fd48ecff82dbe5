"""A connection's decisions: what is dead, what is asked again, what is replaced, and how often at most."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adapters.streams import state as s
from adapters.streams.machine import decide
from adapters.streams.state import News, Phase, Status
from adapters.streams.topic_rules import mute_after_ns
from adapters.streams.topics import MS_NS, SECOND_NS, Pulse, TopicKind, TopicSpec

BOOK = TopicSpec(key="book", kind=TopicKind.BOOK, symbol="X", mute_ns=1500 * MS_NS, first_ns=3 * SECOND_NS)
BBO = TopicSpec(key="bbo", kind=TopicKind.BBO, symbol="X", mute_ns=1500 * MS_NS, first_ns=3 * SECOND_NS)
TRADES = TopicSpec(key="trades", kind=TopicKind.TRADES, symbol="X")
TICK_NS = 100 * MS_NS
T0 = 1_000 * SECOND_NS


class World:
    """The other end of a machine: what it opened, what was heard there, and time by hand."""

    def __init__(self, *topics: TopicSpec, rules: s.ConnectionRules | None = None) -> None:
        self.now = T0
        self.state = s.State(topics={topic.key: topic for topic in topics}, rules=rules or s.ConnectionRules(), dice=11)
        self.speaking = {topic.key for topic in topics}
        self.pulses: dict[int, dict[str, Pulse]] = {}
        self.opened: list[tuple[int, int]] = []
        self.closed: list[int] = []
        self.told: list[s.Tell] = []
        self.asked: list[s.Effect] = []
        self.effects: list[s.Effect] = []
        self.ponging = True
        self.heard: dict[int, int] = {}

    def on(self, event: s.Event) -> list[s.Effect]:
        self.state, effects = decide(self.state, event, self.now)
        for effect in effects:
            self.effects.append(effect)
            match effect:
                case s.OpenSocket():
                    self.opened.append((effect.number, self.now))
                case s.CloseSocket():
                    self.closed.append(effect.number)
                    self.pulses.pop(effect.number, None)
                case s.Subscribe() | s.Resubscribe():
                    self.asked.append(effect)
                case s.Tell():
                    self.told.append(effect)
                case s.SendPing():
                    if self.ponging:
                        self.heard[effect.number] = self.now + 1
                case s.TakeOver():
                    pass
        return effects

    def open(self, number: int | None = None) -> int:
        number = number or self.opened[-1][0]
        self.pulses[number] = {key: Pulse(spec) for key, spec in self.state.topics.items()}
        self.heard[number] = self.now
        self.on(s.Opened(number))
        return number

    def grant(self, number: int, *keys: str) -> None:
        for key in keys or tuple(self.state.topics):
            self.on(s.Granted(number, key))

    def speak(self, *keys: str) -> None:
        for pulses in self.pulses.values():
            for key in keys:
                pulse = pulses[key]
                pulse.first_ns = pulse.first_ns or self.now
                pulse.last_ns = self.now
                pulse.count += 1

    def tick(self) -> None:
        heard = tuple(
            s.SocketPulse(
                number, pulses, max(self.heard.get(number, 0), max((p.last_ns for p in pulses.values()), default=0))
            )
            for number, pulses in self.pulses.items()
        )
        self.on(s.Ticked(heard))

    def run(self, seconds: float) -> None:
        """Time goes on; what speaks does so every tick."""
        for _ in range(int(seconds * SECOND_NS) // TICK_NS):
            self.now += TICK_NS
            self.speak(*self.speaking)
            self.tick()

    def until(self, status: Status, seconds: float) -> None:
        end = self.now + int(seconds * SECOND_NS)
        while self.state.status is not status and self.now < end:
            self.run(TICK_NS / SECOND_NS)
        assert self.state.status is status, self.state

    def until_opening(self, seconds: float) -> None:
        end = self.now + int(seconds * SECOND_NS)
        while self.state.main is None and self.now < end:
            self.run(TICK_NS / SECOND_NS)
        assert self.state.main is not None, self.state

    def news(self) -> list[News]:
        return [tell.news for tell in self.told]

    def resubscribed(self) -> list[str]:
        return [key for each in self.asked if isinstance(each, s.Resubscribe) for key in each.keys]


def live(*topics: TopicSpec, rules: s.ConnectionRules | None = None) -> World:
    """A connection that has been well for a minute."""
    world = World(*topics, rules=rules)
    world.on(s.Started())
    world.grant(world.open())
    world.run(60)
    assert world.state.status is Status.LIVE
    world.told.clear()
    world.asked.clear()
    return world


def test_a_connection_is_live_when_all_its_topics_were_heard() -> None:
    world = World(BOOK, TRADES)
    world.speaking = set()
    world.on(s.Started())
    assert world.state.status is Status.CONNECTING
    number = world.open()
    assert world.state.status is Status.SUBSCRIBING
    assert world.asked == [s.Subscribe(number, ("book", "trades"))]
    world.grant(number)
    world.run(1)
    assert world.state.status is Status.SUBSCRIBING  # a granted book that has said nothing is not alive
    world.speak("book")
    world.tick()
    assert world.state.status is Status.LIVE  # trades may be silent for hours
    assert world.news() == [News.CONNECTED, News.TOPIC_ALIVE]


def test_data_is_evidence_of_a_subscription_that_was_never_answered() -> None:
    world = World(BOOK)
    world.on(s.Started())
    world.open()
    world.run(5)
    assert world.state.status is Status.LIVE
    assert world.state.counters.unacked == 0


def test_a_mute_stream_that_pongs_is_dead_within_two_seconds() -> None:
    world = live(BOOK, BBO)
    began = world.now
    world.speaking = set()
    world.until(Status.CONNECTING, 3)
    assert world.now - began <= 1_700 * MS_NS
    assert world.news() == [News.DISCONNECTED]
    assert "mute" in world.told[0].reason
    assert len(world.opened) == 2  # replaced at once: it had been well for long


def test_one_mute_topic_is_asked_again_once_and_then_the_connection_is_rotated_not_broken() -> None:
    world = live(BOOK, BBO)
    world.speaking = {"bbo"}
    world.run(1.8)
    assert world.state.status is Status.DEGRADED
    assert world.resubscribed() == ["book"]
    assert [(tell.news, tell.key) for tell in world.told] == [(News.TOPIC_LOST, "book")]
    world.until(Status.ROTATING, 3)
    assert world.resubscribed() == ["book"]
    assert News.DISCONNECTED not in world.news()  # the best prices go on
    old, new = world.state.main, world.open()
    world.grant(new)
    world.speaking = {"book", "bbo"}
    world.run(0.3)
    assert world.state.status is Status.LIVE
    assert old is not None
    assert old.number in world.closed
    assert s.TakeOver(new, old.number, True) in world.effects
    assert (News.TOPIC_ALIVE, "book") in [(tell.news, tell.key) for tell in world.told]
    assert News.DISCONNECTED not in world.news()


def test_a_topic_that_stays_mute_does_not_make_a_storm_of_rotations() -> None:
    world = live(BOOK, BBO)
    world.speaking = {"bbo"}
    before = len(world.opened)
    for _ in range(6000):  # ten minutes
        world.run(0.1)
        if world.state.spare is not None and not world.state.spare.opened_ns:
            world.grant(world.open())
    assert len(world.opened) - before <= 10 * 60 / 30 + 8
    assert world.state.main is not None
    assert world.state.main.topics["bbo"].phase is Phase.ALIVE


def test_a_topic_that_is_not_granted_is_asked_again_and_then_costs_the_connection_its_place() -> None:
    world = World(BOOK, TRADES)
    world.speaking = {"book"}
    world.on(s.Started())
    number = world.open()
    world.grant(number, "book")
    world.run(2.2)
    assert world.resubscribed() == ["trades"]
    assert world.state.status is Status.DEGRADED
    world.until(Status.ROTATING, 3)
    assert world.state.counters.unacked == 2
    assert "unacked" in world.state.reason


def test_a_granted_topic_without_first_data_is_lost() -> None:
    """The old USD-M route grants everything and delivers part of it."""
    world = World(BOOK, BBO)
    world.speaking = {"bbo"}
    world.on(s.Started())
    world.grant(world.open())
    world.run(3.3)
    assert [(tell.news, tell.key) for tell in world.told if tell.news is News.TOPIC_LOST] == [(News.TOPIC_LOST, "book")]
    assert "silent" in next(tell.reason for tell in world.told if tell.news is News.TOPIC_LOST)
    assert world.resubscribed() == ["book"]


def test_a_refusal_for_good_is_told_once_and_never_asked_again() -> None:
    world = live(BOOK, TRADES)
    number = world.state.main.number  # type: ignore[union-attr]
    world.on(s.Refused(number=number, key="trades", reason="no such stream", retry=False))
    world.run(300)
    assert world.news() == [News.TOPIC_REFUSED]
    assert world.resubscribed() == []
    assert len(world.opened) == 1
    assert world.state.status is Status.DEGRADED


def test_a_refusal_that_may_end_is_asked_again_after_half_a_minute() -> None:
    world = live(BOOK, TRADES)
    number = world.state.main.number  # type: ignore[union-attr]
    world.on(s.Refused(number=number, key="trades", reason="busy", retry=True))
    world.run(29)
    assert world.resubscribed() == []
    world.run(2)
    assert world.resubscribed() == ["trades"]
    world.grant(number, "trades")
    world.run(1)
    assert world.state.status is Status.LIVE


@pytest.mark.req("P-MD-15")
@pytest.mark.req("P-MD-15")
def test_reconnecting_is_jittered_doubles_and_is_capped() -> None:
    world = World(BOOK)
    world.on(s.Started())
    waits = []
    for _ in range(9):
        began = world.now
        world.on(s.OpenFailed(number=world.opened[-1][0], reason="refused"))
        assert world.state.status is Status.BACKOFF
        world.until(Status.CONNECTING, 40)
        waits.append((world.now - began) / SECOND_NS)
    assert 0.5 <= waits[0] <= 2.1
    assert 1.0 <= waits[1] <= 4.1
    assert waits[-1] <= 30.1
    assert waits[-1] > 10
    assert len(set(waits)) > 5


def test_the_delay_begins_small_again_after_half_a_minute_of_health() -> None:
    world = World(BOOK)
    world.on(s.Started())
    for _ in range(6):
        world.on(s.OpenFailed(number=world.opened[-1][0], reason="refused"))
        world.until(Status.CONNECTING, 40)
    world.grant(world.open())
    world.run(31)
    world.on(s.SocketLost(number=world.opened[-1][0], reason="reset by peer"))
    assert world.state.due_ns - world.now <= 2 * SECOND_NS


def test_a_server_that_asks_for_patience_gets_it() -> None:
    world = World(BOOK)
    world.on(s.Started())
    number = world.opened[-1][0]
    world.on(s.OpenFailed(number=number, reason="HTTP 429", http_status=429, retry_after_ns=45 * SECOND_NS))
    assert world.state.due_ns - world.now == 45 * SECOND_NS


@pytest.mark.parametrize(
    "event",
    [
        s.OpenFailed(number=1, reason="HTTP 503", http_status=503),
        s.SocketLost(number=1, reason="service restart", code=1012),
    ],
)
def test_a_venue_that_is_down_on_purpose_is_a_state_and_not_a_loop_of_errors(event: s.Event) -> None:
    world = World(BOOK)
    world.on(s.Started())
    if isinstance(event, s.SocketLost):
        world.grant(world.open())
        world.run(1)
    world.on(event)
    assert world.state.status is Status.MAINTENANCE
    for _ in range(5):
        world.until_opening(65)
        world.on(s.OpenFailed(number=world.opened[-1][0], reason="refused"))
        assert world.state.status is Status.MAINTENANCE
    world.until_opening(65)
    world.grant(world.open())
    world.run(1)
    assert world.state.status is Status.LIVE
    news = world.news()
    assert news.count(News.MAINTENANCE_BEGAN) == 1
    assert news.count(News.MAINTENANCE_ENDED) == 1


def test_a_loss_within_an_announced_window_is_maintenance() -> None:
    world = live(BOOK)
    world.on(s.MaintenanceAnnounced(until_ns=world.now + 600 * SECOND_NS, reason="upgrade"))
    world.run(10)
    assert world.state.status is Status.LIVE
    world.on(s.SocketLost(number=1, reason="reset"))
    assert world.state.status is Status.MAINTENANCE


def test_a_half_open_connection_without_talkative_topics_is_found_by_its_missing_pong() -> None:
    world = live(TRADES)
    world.ponging = False
    world.speaking = set()
    began = world.now
    world.until(Status.BACKOFF, 40)
    assert world.now - began <= 21 * SECOND_NS
    assert "half open" in world.state.reason


def test_a_missing_pong_means_nothing_while_data_comes() -> None:
    world = live(BOOK)
    world.ponging = False
    world.run(120)
    assert world.state.status is Status.LIVE


def test_the_second_connection_is_whole_before_the_first_is_closed() -> None:
    world = live(BOOK, TRADES)
    first = world.state.main.number  # type: ignore[union-attr]
    world.on(s.ResetAnnounced(number=first, reason="serverShutdown"))
    assert world.state.status is Status.ROTATING
    second = world.opened[-1][0]
    world.open(second)
    world.speaking = set()
    world.run(0.5)
    assert first not in world.closed
    world.grant(second)
    world.speaking = {"book", "trades"}
    world.run(0.2)
    assert first in world.closed
    assert world.state.status is Status.LIVE
    assert world.news() == [News.ROTATED]
    order = [effect for effect in world.effects if isinstance(effect, s.TakeOver | s.CloseSocket)]
    assert order[-2:] == [s.TakeOver(second, first, True), s.CloseSocket(first, "rotated")]


def test_a_connection_is_rotated_before_its_time_is_over() -> None:
    world = live(BOOK, rules=s.ConnectionRules(life_ns=100 * SECOND_NS))
    world.run(36)
    assert world.state.status is Status.LIVE
    world.until(Status.ROTATING, 6)
    assert "time limit" in world.state.reason


def test_a_rotation_that_fails_leaves_the_first_connection_alone() -> None:
    world = live(BOOK)
    world.on(s.ResetAnnounced(number=1, reason="serverShutdown"))
    world.on(s.OpenFailed(number=2, reason="refused"))
    assert world.state.status is Status.LIVE
    assert world.closed == [2]
    assert world.news() == []


def test_when_the_first_breaks_during_a_rotation_the_second_takes_its_place() -> None:
    world = live(BOOK)
    world.on(s.ResetAnnounced(number=1, reason="serverShutdown"))
    world.open(2)
    world.on(s.SocketLost(number=1, reason="closed"))
    assert world.state.status is Status.SUBSCRIBING
    assert world.news() == [News.DISCONNECTED, News.CONNECTED]
    assert s.TakeOver(2, 0, False) in world.effects
    world.grant(2)
    world.run(0.2)
    assert world.state.status is Status.LIVE


def test_a_spent_budget_is_waited_for_without_counting_as_a_failure_of_the_venue() -> None:
    world = World(BOOK)
    world.on(s.Started())
    world.on(s.OpenDeferred(number=1, wait_ns=10 * SECOND_NS))
    assert world.state.status is Status.BACKOFF
    assert world.state.counters.backoffs == 0
    world.until(Status.CONNECTING, 11)


def test_a_topic_is_renewed_at_once_and_again_after_a_short_rest() -> None:
    world = live(BOOK)
    world.on(s.Renewed("book"))
    world.run(0.1)
    world.on(s.Renewed("book"))
    world.on(s.Renewed("book"))
    assert world.resubscribed() == ["book"]
    world.run(0.3)  # what was wanted meanwhile is not forgotten
    assert world.resubscribed() == ["book", "book"]
    world.run(10)
    assert world.resubscribed() == ["book", "book"]


def test_a_book_that_never_holds_does_not_use_up_what_the_venue_allows() -> None:
    world = live(BOOK, rules=s.ConnectionRules(life_ns=10**15))
    for _ in range(3600 * 10):  # an hour
        world.on(s.Renewed("book"))
        world.run(0.1)
    assert len(world.opened) == 1
    renewals = len(world.resubscribed())
    assert 30 + 170 <= renewals <= 30 + 181


def test_wanting_a_granted_topic_anew_does_not_put_off_the_deadline_of_its_first_data() -> None:
    world = World(BOOK, TRADES)
    world.speaking = {TRADES.key}
    world.on(s.Started())
    world.grant(world.open())
    for _ in range(4):
        assert News.TOPIC_LOST not in world.news()[:-1]
        world.run(0.8)
        world.on(s.Renewed("book"))
    (lost,) = (told for told in world.told if told.news is News.TOPIC_LOST)
    assert (lost.key, "silent" in lost.reason) == ("book", True)


def test_a_slow_topic_does_not_vouch_for_a_connection_that_has_stopped() -> None:
    slow = TopicSpec(key="mark", kind=TopicKind.MARK, symbol="X", mute_ns=12 * SECOND_NS, stretches=False)
    world = live(BOOK, slow)
    began = world.now
    world.speaking = set()
    world.until(Status.CONNECTING, 3)
    assert world.now - began <= 1_700 * MS_NS


def test_a_topic_that_is_known_to_speak_rarely_is_given_more_time() -> None:
    pulse = Pulse(BOOK)
    rules = s.ConnectionRules()
    pulse.count, pulse.first_ns, pulse.last_ns = 11, T0, T0 + 10 * SECOND_NS
    assert mute_after_ns(BOOK, pulse, rules) == 8 * SECOND_NS
    assert mute_after_ns(msgspec.structs.replace(BOOK, stretches=False), pulse, rules) == BOOK.mute_ns
    pulse.last_ns = T0 + 1000 * SECOND_NS
    assert mute_after_ns(BOOK, pulse, rules) == rules.stretch_max_ns
    assert mute_after_ns(BOOK, None, rules) == BOOK.mute_ns
    assert mute_after_ns(TRADES, pulse, rules) == 0


def test_a_closed_connection_stays_closed_and_closes_what_still_opens() -> None:
    world = live(BOOK)
    world.on(s.Stopped())
    assert world.state.status is Status.CLOSED
    assert world.on(s.Opened(7)) == [s.CloseSocket(7, "closed")]
    assert world.on(s.Ticked()) == []
    assert world.on(s.Started()) == []


def test_every_turn_of_the_table_leads_out_of_a_status_that_something_leads_into() -> None:
    reached = {Status.IDLE} | set(s.TRANSITIONS.values())
    assert reached == set(Status)
    assert {status for status, _ in s.TRANSITIONS} == set(Status)


class Machine(RuleBasedStateMachine):
    """Any events in any order: no impossible turn, no lost socket, no storm; and LIVE again when the world is well."""

    @initialize(topics=st.sets(st.sampled_from([BOOK, BBO, TRADES]), min_size=1))
    def begin(self, topics: set[TopicSpec]) -> None:
        self.world = World(*sorted(topics, key=lambda topic: topic.key))
        self.world.on(s.Started())

    def numbers(self) -> list[int]:
        state = self.world.state
        return [socket.number for socket in (state.main, state.spare) if socket is not None]

    def any_number(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from([*self.numbers(), 999]))

    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        self.world.open(self.any_number(data))

    @rule(data=st.data(), status=st.sampled_from([0, 429, 503]))
    def fail(self, data: st.DataObject, status: int) -> None:
        self.world.on(s.OpenFailed(number=self.any_number(data), reason="no", http_status=status))

    @rule(data=st.data())
    def defer(self, data: st.DataObject) -> None:
        number = self.any_number(data)
        opened = [x.number for x in (self.world.state.main, self.world.state.spare) if x is not None and x.opened_ns]
        if number not in opened:
            self.world.on(s.OpenDeferred(number=number, wait_ns=SECOND_NS))

    @rule(data=st.data(), code=st.sampled_from([0, 1000, 1006, 1012]))
    def lose(self, data: st.DataObject, code: int) -> None:
        self.world.on(s.SocketLost(number=self.any_number(data), reason="gone", code=code))

    @rule(data=st.data(), granted=st.booleans(), retry=st.booleans())
    def answer(self, data: st.DataObject, granted: bool, retry: bool) -> None:
        number = self.any_number(data)
        key = data.draw(st.sampled_from([*self.world.state.topics, "stranger"]))
        if granted:
            self.world.on(s.Granted(number, key))
        else:
            self.world.on(s.Refused(number=number, key=key, reason="no", retry=retry))

    @rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        self.world.on(s.ResetAnnounced(number=self.any_number(data), reason="reset"))

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        self.world.on(s.Renewed(data.draw(st.sampled_from([*self.world.state.topics, "stranger"]))))

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 7.0, 40.0]), data=st.data())
    def wait(self, seconds: float, data: st.DataObject) -> None:
        self.world.speaking = data.draw(st.sets(st.sampled_from(sorted(self.world.state.topics))))
        self.world.run(seconds)

    @invariant()
    def sockets_are_accounted_for(self) -> None:
        if not hasattr(self, "world"):
            return
        opened = [number for number, _ in self.world.opened]
        assert len(opened) == len(set(opened))
        open_ones = set(opened) - set(self.world.closed)
        # What was deferred or failed was never open; nothing else may be forgotten.
        assert set(self.numbers()) <= set(opened)
        assert len(self.numbers()) <= 2
        assert set(self.numbers()) <= open_ones

    @invariant()
    def statuses_are_what_the_sockets_say(self) -> None:
        if not hasattr(self, "world"):
            return
        state = self.world.state
        is_open = state.main is not None and state.main.opened_ns > 0
        if state.status in {Status.SUBSCRIBING, Status.LIVE, Status.DEGRADED, Status.ROTATING}:
            assert is_open
        if state.status in {Status.CONNECTING, Status.BACKOFF, Status.MAINTENANCE}:
            assert not is_open
        assert (state.spare is not None) == (state.status is Status.ROTATING)

    @invariant()
    def attempts_are_not_a_storm(self) -> None:
        if not hasattr(self, "world"):
            return
        times = [at for _, at in self.world.opened]
        for begin in range(len(times)):
            within = [at for at in times[begin:] if at - times[begin] < 60 * SECOND_NS]
            # The venue's own resets are answered at once; all else is as far apart as the backoff says.
            resets = self.world.state.counters.rotations_failed + self.world.state.counters.rotations
            assert len(within) <= 60 + resets

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.speaking = set(world.state.topics)
        for _ in range(2000):
            world.run(0.1)
            for socket in (world.state.main, world.state.spare):
                if socket is not None and not socket.opened_ns:
                    world.open(socket.number)
                    world.grant(socket.number)
            refused = world.state.main is not None and any(
                topic.phase is Phase.REFUSED for topic in world.state.main.topics.values()
            )
            if world.state.status is Status.LIVE or refused:
                break
        assert world.state.status is Status.LIVE or refused
        world.on(s.Stopped())
        assert self.numbers() == []


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
