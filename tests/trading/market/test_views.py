"""Several views of one venue: who is believed, who leads, and that nothing is delivered twice or out of order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.market.stitch import BookSync, SequenceRule
from trading.market.view_topics import TopicRule, Verdict
from trading.market.views import (
    FailedOver,
    HoleGivenUp,
    LeaderLost,
    QuorumChanged,
    QuorumState,
    ViewLimits,
    ViewQuarantined,
    ViewReturned,
    ViewState,
    ViewVote,
)

MS = 1_000_000
NOW = 1_700_000_000_000 * MS
TICK = 100 * MS


class Desk:
    """A driver as it should be: delivers what the vote says, in the order in which it says it."""

    def __init__(self, views=("a", "b", "c"), limits=None, up=True, **options):
        self.vote = ViewVote(views, limits, **options)
        self.delivered: dict[str, list[int]] = {}
        self.payloads: list[object] = []
        self.events: list[object] = []
        self.now = NOW
        if up:
            for view in views:
                self.take(self.vote.on_up(view, self.now))

    def frame(self, view, seq, topic="book", delay_ms=5, at=None):
        recv = self.now if at is None else at
        verdict = self.vote.on_frame(view, topic, seq, recv - delay_ms * MS, recv, payload=(topic, seq))
        if verdict is Verdict.LEAD:
            self._deliver(topic, seq, (topic, seq))
        self._ready()
        return verdict

    def tick(self, count=1):
        found = []
        for _ in range(count):
            self.now += TICK
            found += self.take(self.vote.on_tick(self.now))
        return found

    def down(self, view, reason="closed"):
        return self.take(self.vote.on_down(view, reason, self.now))

    def take(self, events):
        for event in events:
            if isinstance(event, FailedOver):
                for spare in event.replay:
                    self._deliver(spare.topic, spare.seq, spare.payload)
        self._ready()
        self.events += events
        return events

    def _ready(self):
        if self.vote.ready:
            for spare in self.vote.take_ready():
                self._deliver(spare.topic, spare.seq, spare.payload)
        assert self.vote.ready == []

    def _deliver(self, topic, seq, payload):
        assert payload == (topic, seq)
        self.delivered.setdefault(topic, []).append(seq)


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


# --- Who leads ----------------------------------------------------------------------------------------


def test_the_first_view_that_speaks_leads_and_the_others_copies_wait_or_are_dropped():
    desk = Desk()
    assert desk.vote.leader is None
    assert desk.frame("b", 1) is Verdict.LEAD
    assert desk.frame("a", 1) is Verdict.DUPLICATE
    assert desk.frame("a", 2) is Verdict.SPARE
    assert desk.frame("b", 2) is Verdict.LEAD
    assert desk.frame("c", 2) is Verdict.DUPLICATE
    assert desk.vote.leader == "b"
    assert desk.delivered == {"book": [1, 2]}
    first = of(FailedOver, desk.tick())[0]
    assert (first.old, first.new, first.failover_time_ms, first.replay) == (None, "b", 0.0, ())


@pytest.mark.req("P-MD-4")
def test_a_leader_that_goes_down_is_replaced_at_once_and_the_ring_of_the_new_one_is_replayed():
    desk = Desk()
    for seq in (1, 2, 3):
        desk.frame("a", seq)
        desk.frame("b", seq)
    desk.now += 30 * MS
    for seq in (4, 5):
        desk.frame("b", seq)
    desk.now += 20 * MS
    events = desk.down("a")
    failover = of(FailedOver, events)[-1]
    assert (failover.old, failover.new) == ("a", "b")
    assert [spare.seq for spare in failover.replay] == [4, 5]
    assert failover.failover_time_ms == pytest.approx(50.0)
    assert "a is down: closed" in failover.reason
    assert desk.frame("b", 6) is Verdict.LEAD
    assert desk.frame("b", 5) is Verdict.DUPLICATE
    assert desk.delivered == {"book": [1, 2, 3, 4, 5, 6]}
    assert desk.vote.failovers == 1


def test_a_replay_keeps_the_order_of_each_topic_and_of_arrival():
    desk = Desk(("a", "b"))
    desk.frame("a", 1, "x")
    desk.frame("a", 1, "y")
    for seq, topic, at in ((2, "x", 10), (2, "y", 20), (3, "x", 5), (3, "y", 30)):
        desk.frame("b", seq, topic, at=NOW + at)
    replay = of(FailedOver, desk.down("a"))[-1].replay
    assert [(spare.topic, spare.seq) for spare in replay] == [("x", 2), ("x", 3), ("y", 2), ("y", 3)]


def test_a_ring_holds_each_number_once_and_none_that_was_delivered():
    desk = Desk(("a", "b"))
    desk.frame("a", 1)
    assert desk.frame("b", 2) is Verdict.SPARE
    assert desk.frame("b", 2) is Verdict.DUPLICATE
    assert desk.frame("b", 3) is Verdict.SPARE
    assert desk.frame("a", 2) is Verdict.LEAD
    assert [spare.seq for spare in of(FailedOver, desk.down("a"))[-1].replay] == [3]
    assert desk.delivered == {"book": [1, 2, 3]}


def test_the_view_with_the_least_lag_leads_next():
    desk = Desk()
    stream(desk, {"a": 5, "b": 200, "c": 5}, 3)
    assert of(FailedOver, desk.down("a"))[-1].new == "c"


def test_frames_of_a_connection_that_is_gone_count_as_strays():
    desk = Desk()
    desk.frame("a", 1)
    desk.down("b")
    assert desk.frame("b", 2) is Verdict.DUPLICATE
    assert desk.vote.strays == 1
    assert desk.down("b") == []
    assert desk.delivered == {"book": [1]}


def test_a_view_that_went_down_brings_nothing_of_its_old_connection():
    desk = Desk(("a", "b"))
    desk.frame("a", 1)
    desk.frame("b", 2)
    desk.down("b")
    desk.take(desk.vote.on_up("b", desk.now))
    desk.frame("b", 5)
    failover = of(FailedOver, desk.down("a"))[-1]
    assert [spare.seq for spare in failover.replay] == [5]


def test_without_any_view_the_leader_is_lost_and_the_next_that_speaks_leads():
    desk = Desk(("a", "b"))
    desk.frame("a", 1)
    desk.frame("b", 1)
    desk.tick()
    assert desk.down("b") != []
    lost = of(LeaderLost, desk.down("a"))[0]
    assert lost.view == "a"
    assert desk.vote.leader is None
    desk.now += 2000 * MS
    desk.take(desk.vote.on_up("b", desk.now))
    assert desk.frame("b", 2) is Verdict.LEAD
    failover = of(FailedOver, desk.tick())[-1]
    assert (failover.old, failover.new) == ("a", "b")
    assert failover.failover_time_ms == pytest.approx(2100.0)


# --- Who is believed -----------------------------------------------------------------------------------


def stream(desk, delays, ticks, start=1, step_ms=20):
    """Every view brings one number each 20 ms, late by its delay; None is silence."""
    seq, found = start, []
    for _ in range(ticks):
        for _ in range(100 // step_ms):
            desk.now += step_ms * MS
            for view, delay in delays.items():
                if delay is not None:
                    desk.frame(view, seq, delay_ms=delay)
            seq += 1
        found += desk.take(desk.vote.on_tick(desk.now))
    return seq, found


@pytest.mark.req("P-MD-4")
@pytest.mark.parametrize(("delay", "quarantined"), [(255, False), (256, True)])
def test_a_view_more_than_250_ms_behind_the_median_of_its_peers_for_three_votes_is_quarantined(delay, quarantined):
    desk = Desk()
    _, events = stream(desk, {"a": 5, "b": 5, "c": delay}, 2)
    assert of(ViewQuarantined, events) == []
    _, events = stream(desk, {"a": 5, "b": 5, "c": delay}, 1, start=11)
    found = of(ViewQuarantined, events)
    assert [(event.view, event.votes) for event in found] == ([("c", 3)] if quarantined else [])
    if quarantined:
        assert found[0].lag_ms == pytest.approx(251.0)


def test_one_good_vote_begins_the_count_anew():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 900}, 2)
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 1, seq)
    _, events = stream(desk, {"a": 5, "b": 5, "c": 900}, 2, seq)
    assert of(ViewQuarantined, events) == []


def test_a_clock_that_is_off_is_off_for_all_views_and_quarantines_none():
    desk = Desk()
    _, events = stream(desk, {"a": 5005, "b": 5003, "c": 5001}, 30)
    assert of(ViewQuarantined, events) == []


def test_a_view_whose_venue_times_are_nonsense_is_not_ahead_of_the_others():
    desk = Desk()
    _, events = stream(desk, {"a": -(10**13), "b": 5, "c": 5}, 10)
    assert of(ViewQuarantined, events) == []


def test_a_mute_leader_is_found_within_a_second_and_what_it_missed_is_replayed():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 5)
    assert desk.vote.leader == "a"
    began = desk.now
    found = []
    while not of(FailedOver, found):
        seq, found = stream(desk, {"a": None, "b": 5, "c": 5}, 1, seq)
        assert desk.now - began < 1000 * MS
    failover = of(FailedOver, found)[0]
    assert failover.old == "a"
    assert failover.failover_time_ms == pytest.approx((desk.now - began) / MS, abs=0.001)
    assert len(failover.replay) == (desk.now - began) // (20 * MS)
    assert desk.delivered["book"] == list(range(1, seq))


@pytest.mark.req("P-MD-5")
def test_a_leader_that_fell_behind_counts_its_failover_from_its_last_good_frame():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 5)
    good = desk.now
    _, events = stream(desk, {"a": 800, "b": 5, "c": 5}, 3, seq)
    assert of(FailedOver, events)[-1].failover_time_ms == pytest.approx((desk.now - good) / MS)


def test_a_leader_that_lost_the_last_message_before_a_pause_is_replaced():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 3)
    desk.frame("b", seq)
    desk.frame("c", seq)
    events = desk.tick(6)
    assert of(FailedOver, events)[-1].old == "a"
    assert desk.delivered["book"][-1] == seq


def test_a_leader_that_never_brings_one_topic_is_replaced_though_it_brings_the_others():
    desk = Desk()
    events = []
    for seq in range(1, 8):
        desk.now += TICK
        for view in "abc":
            desk.frame(view, seq, "x")
        desk.frame("b", seq, "y")
        desk.frame("c", seq, "y")
        events += desk.take(desk.vote.on_tick(desk.now))
    failover = of(FailedOver, events)[-1]
    assert (failover.old, {spare.topic for spare in failover.replay}) == ("a", {"y"})
    assert desk.delivered["y"] == list(range(1, 8))
    assert [event.view for event in of(ViewQuarantined, events)] == ["a"]


def test_a_view_that_missed_the_last_message_before_a_pause_is_behind_until_it_speaks():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 3)
    desk.frame("a", seq)
    desk.frame("b", seq)
    assert [event.view for event in of(ViewQuarantined, desk.tick(6))] == ["c"]


def test_when_both_of_two_views_are_behind_in_their_own_way_one_of_them_is_kept():
    desk = Desk(("a", "b"))
    desk.frame("a", 1, "y")
    desk.frame("b", 2, "y", delay_ms=900)  # a lost it, and b brings everything late
    desk.now += 300 * MS
    _, events = stream(desk, {"a": 5, "b": 900}, 10)
    assert len(of(ViewQuarantined, events)) == 1
    assert desk.vote.leader is not None


def test_a_leader_that_breaks_while_it_is_behind_counts_from_its_last_good_frame():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 5)
    good = desk.now
    stream(desk, {"a": 800, "b": 5, "c": 5}, 2, seq)
    assert of(FailedOver, desk.down("a"))[-1].failover_time_ms == pytest.approx((desk.now - good) / MS)


def test_a_quiet_market_quarantines_nobody():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 3)
    assert of(ViewQuarantined, desk.tick(100)) == []
    for view in "abc":
        desk.frame(view, seq)
        assert of(ViewQuarantined, desk.tick()) == []  # each of them brings it one vote later than the one before


@pytest.mark.req("P-MD-4")
def test_a_quarantined_view_returns_after_five_seconds_of_calm_and_does_not_take_the_lead_back():
    desk = Desk()
    seq, _ = stream(desk, {"a": 900, "b": 5, "c": 5}, 5)
    leader = desk.vote.leader
    assert leader in {"b", "c"}
    seq, events = stream(desk, {"a": 5, "b": 5, "c": 5}, 49, seq)
    assert of(ViewReturned, events) == []
    seq, events = stream(desk, {"a": 5, "b": 5, "c": 5}, 1, seq)
    assert [event.view for event in of(ViewReturned, events)] == ["a"]
    assert desk.vote.leader == leader
    assert desk.vote.status(desk.now)[0].state is ViewState.ACTIVE


def test_calm_begins_anew_when_a_quarantined_view_lags_again_and_silence_is_no_calm():
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 900}, 4)
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 5}, 40, seq)
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": 900}, 1, seq)
    seq, events = stream(desk, {"a": 5, "b": 5, "c": 5}, 49, seq)
    assert of(ViewReturned, events) == []
    desk = Desk()
    seq, _ = stream(desk, {"a": 5, "b": 5, "c": None}, 8)
    seq, events = stream(desk, {"a": 5, "b": 5, "c": 900}, 5, seq)
    assert [event.view for event in of(ViewQuarantined, events)] == ["c"]
    assert of(ViewReturned, desk.tick(100)) == []


def test_the_last_active_view_is_never_quarantined_and_one_that_is_left_alone_is_believed_without_a_quorum():
    desk = Desk(("a", "b"))
    seq, _ = stream(desk, {"a": 5, "b": 900}, 5)
    seq, events = stream(desk, {"a": None, "b": 900}, 2, seq)
    assert of(ViewQuarantined, events) == []
    assert desk.vote.status(desk.now)[1].state is ViewState.QUARANTINED
    events = desk.down("a")
    assert desk.vote.leader == "b"
    assert [event.view for event in of(ViewReturned, events)] == ["b"]
    assert of(QuorumChanged, events) == []
    assert desk.vote.quorum(desk.now).state is QuorumState.LOST
    assert desk.delivered["book"] == list(range(1, seq))


def test_a_view_that_never_speaks_neither_votes_nor_counts():
    desk = Desk()
    _, events = stream(desk, {"a": 5, "b": 5}, 20)
    assert of(ViewQuarantined, events) == []
    assert desk.vote.status(desk.now)[2].state is ViewState.JOINING
    assert desk.vote.quorum(desk.now).fresh == 2


# --- The quorum ----------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-4")
def test_the_quorum_is_more_than_half_of_the_views_that_spoke_within_1200_ms():
    desk = Desk()
    assert desk.vote.quorum(desk.now).state is QuorumState.LOST
    for view in "abc":
        desk.frame(view, 1)
    whole = desk.vote.quorum(desk.now + 1200 * MS)
    assert (whole.fresh, whole.needed, whole.state) == (3, 2, QuorumState.FULL)
    assert desk.vote.quorum(desk.now + 1201 * MS).state is QuorumState.LOST
    desk.down("c")
    assert desk.vote.quorum(desk.now).state is QuorumState.MET
    desk.down("b")
    assert desk.vote.quorum(desk.now).state is QuorumState.LOST
    told = [event.state for event in of(QuorumChanged, desk.events)]
    assert told == [QuorumState.MET, QuorumState.LOST]


def test_a_quorum_can_be_set_and_one_view_is_a_quorum_of_one():
    alone = Desk(("a",))
    alone.frame("a", 1)
    assert alone.vote.quorum(alone.now).state is QuorumState.FULL
    strict = Desk(limits=ViewLimits(quorum_min=3))
    strict.frame("a", 1)
    strict.frame("b", 1)
    assert strict.vote.quorum(strict.now).state is QuorumState.LOST


# --- What is delivered ---------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [(), ("a", "a")])
def test_views_need_names_of_their_own(views):
    with pytest.raises(ValueError, match="names of their own"):
        ViewVote(views)


def test_what_only_the_newest_counts_of_comes_from_whoever_is_first():
    desk = Desk(rules={"ticker": TopicRule.NEWEST})
    assert desk.frame("a", 1, "ticker") is Verdict.LEAD
    assert desk.frame("b", 4, "ticker") is Verdict.LEAD
    assert desk.frame("a", 3, "ticker") is Verdict.DUPLICATE
    assert desk.frame("a", 4, "ticker") is Verdict.DUPLICATE
    assert desk.delivered == {"ticker": [1, 4]}


def test_one_views_loss_is_mended_by_another_before_anything_later_is_delivered():
    desk = Desk(rules={"trades": TopicRule.EVERY})
    desk.frame("a", 1, "trades")
    assert desk.frame("a", 3, "trades") is Verdict.SPARE
    assert desk.frame("b", 3, "trades") is Verdict.DUPLICATE
    assert desk.frame("a", 4, "trades") is Verdict.SPARE
    assert desk.frame("b", 2, "trades") is Verdict.LEAD
    assert desk.delivered == {"trades": [1, 2, 3, 4]}
    assert desk.vote.counters.lost == 0


def test_what_no_view_brings_is_given_up_after_100_ms_and_counted_exactly():
    desk = Desk(rules={"trades": TopicRule.EVERY})
    desk.frame("a", 1, "trades")
    desk.frame("a", 4, "trades")
    desk.frame("a", 6, "trades", at=desk.now + 50 * MS)
    assert of(HoleGivenUp, desk.take(desk.vote.on_tick(desk.now + 99 * MS))) == []
    hole = of(HoleGivenUp, desk.take(desk.vote.on_tick(desk.now + 100 * MS)))[0]
    assert (hole.topic, hole.first_seq, hole.last_seq) == ("trades", 2, 3)
    assert desk.delivered == {"trades": [1, 4]}
    hole = of(HoleGivenUp, desk.take(desk.vote.on_tick(desk.now + 150 * MS)))[0]
    assert (hole.first_seq, hole.last_seq) == (5, 5)
    assert desk.delivered == {"trades": [1, 4, 6]}
    assert (desk.vote.counters.holes, desk.vote.counters.lost) == (2, 3)
    assert desk.frame("b", 2, "trades") is Verdict.DUPLICATE


def test_the_wait_for_a_hole_is_counted_from_the_first_frame_that_it_holds_up():
    desk = Desk(rules={"trades": TopicRule.EVERY})
    begin = desk.now
    desk.frame("a", 1, "trades")
    for seq, at in ((3, 0), (7, 80), (6, 50)):
        desk.frame("a", seq, "trades", at=begin + at * MS)
    desk.frame("b", 2, "trades", at=begin + 90 * MS)
    assert desk.delivered == {"trades": [1, 2, 3]}
    assert of(HoleGivenUp, desk.take(desk.vote.on_tick(begin + 149 * MS))) == []
    assert len(of(HoleGivenUp, desk.take(desk.vote.on_tick(begin + 150 * MS)))) == 1
    assert desk.delivered == {"trades": [1, 2, 3, 6, 7]}


def test_a_view_alone_waits_for_nobody():
    desk = Desk(("a",), rules={"trades": TopicRule.EVERY})
    desk.frame("a", 1, "trades")
    desk.frame("a", 3, "trades")
    assert desk.delivered == {"trades": [1, 3]}
    assert desk.vote.counters.lost == 1


def test_a_venue_that_numbers_anew_is_followed_and_a_late_copy_is_not_taken_for_that():
    for rule in TopicRule:
        desk = Desk(default_rule=rule)
        desk.frame("a", 1_000_000)
        desk.now += 900 * MS
        assert desk.frame("b", 999_999, delay_ms=905) is Verdict.DUPLICATE
        desk.now += 101 * MS
        assert desk.frame("a", 1) is Verdict.LEAD
        assert desk.frame("a", 2) is Verdict.LEAD
        assert desk.delivered == {"book": [1_000_000, 1, 2]}
        assert desk.vote.counters.renumbered == 1


def test_only_the_leader_can_number_a_chain_anew_and_nonsense_times_number_nothing():
    desk = Desk()
    desk.frame("a", 1_000_000)
    desk.now += 2000 * MS
    assert desk.frame("b", 1) is Verdict.DUPLICATE
    assert desk.frame("a", 2, delay_ms=-(10**13)) is Verdict.DUPLICATE
    assert desk.frame("a", 1_000_001) is Verdict.LEAD
    assert desk.vote.counters.renumbered == 0


def test_the_driver_can_say_that_a_topic_is_numbered_anew():
    desk = Desk()
    desk.frame("a", 70)
    desk.vote.restart("book")
    desk.vote.restart("a topic that was never seen")
    assert desk.frame("a", 1) is Verdict.LEAD


def test_a_frame_without_a_number_is_the_leaders_or_nobodys():
    desk = Desk()
    assert desk.frame("a", -1) is Verdict.LEAD
    assert desk.frame("b", -1) is Verdict.DUPLICATE


def test_what_waits_is_bounded_and_what_was_pushed_out_is_counted():
    limits = ViewLimits(frames_max=8, topics_max=2)
    desk = Desk(("a", "b"), limits, rules={"trades": TopicRule.EVERY})
    desk.frame("a", 1)
    desk.frame("a", 1, "trades")
    for seq in range(2, 100):
        desk.frame("b", seq)
        desk.frame("b", 2 * seq, "trades")
        assert desk.vote.kept() <= 8 + 9
    assert desk.vote.counters.overflows == 98 - 8
    assert desk.delivered["trades"] == sorted(desk.delivered["trades"])
    assert [spare.seq for spare in of(FailedOver, desk.down("a"))[-1].replay if spare.topic == "book"] == [
        *range(92, 100)
    ]
    assert desk.frame("b", 1, "third") is Verdict.LEAD
    assert desk.vote.topics_refused == 1


def test_events_that_nobody_reads_do_not_pile_up():
    desk = Desk(("a",), rules={"trades": TopicRule.EVERY})
    for seq in range(1, 2000, 2):
        desk.frame("a", seq, "trades")
    assert len(desk.vote.on_tick(desk.now)) <= 258
    assert desk.vote.overflowed_events == 999 - 255


# --- Whatever comes ------------------------------------------------------------------------------------

COPIES = st.integers(2, 4).flatmap(
    lambda k: st.lists(st.sets(st.integers(0, k - 1), min_size=1), min_size=1, max_size=30).map(
        lambda seen: [[n + 1 for n, views in enumerate(seen) if view in views] for view in range(k)]
    )
)
"""k views and which numbers each of them brings: every number is brought by one of them at least."""


def interleaved(data, copies):
    """The frames of all views in any order that keeps each view's own; some are sent twice."""
    left = [list(copy) for copy in copies]
    while any(left):
        view = data.draw(st.sampled_from([n for n, copy in enumerate(left) if copy]))
        seq = left[view].pop(0)
        for _ in range(data.draw(st.sampled_from([1, 1, 1, 2]))):
            yield f"v{view}", seq


@pytest.mark.req("P-MD-5")
@given(copies=COPIES, data=st.data())
def test_numbered_messages_are_delivered_once_in_order_and_all_of_them_whatever_each_view_loses(copies, data):
    desk = Desk([f"v{n}" for n in range(len(copies))], default_rule=TopicRule.EVERY)
    for view in list(desk.vote.status(NOW)):
        desk.frame(view.view, 0)
    for view, seq in interleaved(data, copies):
        desk.frame(view, seq)
    newest = max(max(copy, default=0) for copy in copies)
    assert desk.delivered["book"] == list(range(newest + 1))
    assert desk.vote.counters.delivered == newest + 1
    assert desk.vote.counters.lost == 0
    assert desk.vote.kept() == 0


@pytest.mark.req("P-MD-5")
@given(copies=COPIES, data=st.data(), rule=st.sampled_from(TopicRule))
def test_nothing_is_delivered_twice_or_out_of_order_whatever_breaks(copies, data, rule):
    views = [f"v{n}" for n in range(len(copies))]
    desk = Desk(views, ViewLimits(frames_max=4), default_rule=rule)
    for view, seq in interleaved(data, copies):
        what = data.draw(st.sampled_from(["frame"] * 6 + ["down", "up", "tick"]))
        if what == "down":
            desk.down(data.draw(st.sampled_from(views)))
        elif what == "up":
            desk.take(desk.vote.on_up(data.draw(st.sampled_from(views)), desk.now))
        elif what == "tick":
            desk.tick()
        desk.frame(view, seq)
    delivered = desk.delivered.get("book", [])
    assert delivered == sorted(set(delivered))
    assert desk.vote.counters.delivered == len(delivered)
    assert sum(status.frames for status in desk.vote.status(desk.now)) + desk.vote.strays >= len(delivered)


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20), st.data())
def test_a_chain_loses_nothing_when_its_leader_dies_and_another_view_has_the_rest(before, unheard, after, data):
    desk = Desk(("a", "b"))
    desk.frame("a", 0)
    behind = data.draw(st.integers(0, before))
    for seq in range(1, before + 1):
        desk.frame("a", seq)
        if seq - behind > 0:
            desk.frame("b", seq - behind)
    for seq in range(max(1, before - behind + 1), before + unheard + 1):
        desk.frame("b", seq)
    desk.down("a")
    for seq in range(before + unheard + 1, before + unheard + after + 1):
        desk.frame("b", seq)
    if unheard or after or before > behind:
        assert desk.delivered["book"] == list(range(before + unheard + after + 1))


def test_regions_are_views_of_views_and_losing_one_delivers_everything_once():
    regions = {name: Desk(("1", "2")) for name in ("tokyo", "frankfurt")}
    world = Desk(tuple(regions))
    for seq in range(1, 61):
        for name, region in regions.items():
            if name == "tokyo" and seq > 30:
                continue
            for connection in ("1", "2"):
                if (name, connection) == ("frankfurt", "1") and seq > 20:
                    region.down("1")
                    continue
                region.frame(connection, seq)
            for inner in region.delivered.pop("book", []):
                world.frame(name, inner)
        if seq == 40:
            failover = of(FailedOver, world.down("tokyo", "region lost"))[-1]
            assert (failover.old, failover.new, len(failover.replay)) == ("tokyo", "frankfurt", 10)
    assert world.delivered["book"] == list(range(1, 61))


# --- With a book behind it -------------------------------------------------------------------------------


def diff(seq):
    """Binance spot's shape: each diff moves the best bid's quantity."""
    return DepthUpdate(
        instrument_id="BINANCE:SPOT:BTC-USDT",
        first_update_id=seq,
        final_update_id=seq,
        prev_final_update_id=-1,
        bids=[(100, seq)],
        asks=[],
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )


def synced_book():
    sync = BookSync("BINANCE:SPOT:BTC-USDT", SequenceRule.SPOT)
    sync.on_snapshot(
        DepthSnapshot(
            instrument_id="BINANCE:SPOT:BTC-USDT",
            last_update_id=0,
            bids=[(100, 1)],
            asks=[(101, 1)],
            ts_event_ns=NOW,
            ts_recv_ns=NOW,
        )
    )
    return sync


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 8), st.integers(1, 40))
def test_a_book_stays_proved_over_a_failover_unless_the_ring_was_too_small(before, unheard, behind, ring):
    vote = ViewVote(("a", "b"), ViewLimits(frames_max=ring))
    sync = synced_book()
    for view in "ab":
        vote.on_up(view, NOW)
    end = before + unheard

    def bring(view, seq):
        if seq > 0 and vote.on_frame(view, "book", seq, NOW, NOW, payload=diff(seq)) is Verdict.LEAD:
            sync.on_update(diff(seq))

    for seq in range(1, before + 1):
        bring("a", seq)
        bring("b", seq - behind)
    for seq in range(before - behind + 1, end - behind + 1):
        bring("b", seq)
    failovers = of(FailedOver, vote.on_down("a", "reset", NOW))
    for spare in failovers[-1].replay:
        sync.on_update(spare.payload)
    for seq in range(end - behind + 1, end + 3):
        bring("b", seq)
    if unheard - behind <= ring:
        assert sync.state is BookState.SYNCED
        assert (sync.counters.gaps, sync.counters.dropped_old) == (0, 0)
        assert sync.book.update_id == end + 2
        assert sync.book.best_bid() == (100, end + 2)
    else:
        # What was pushed out of the ring is a gap that the book itself finds.
        assert sync.state is BookState.SUSPECT
        assert sync.counters.gaps == 1
        assert vote.counters.overflows == unheard - behind - ring
