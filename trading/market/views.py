"""Several views of one venue (connections, endpoints, regions): which may be believed, which leads, what goes on.

Owns the vote on freshness, quarantine and return, the leader and its replacement, and the quorum. The numbering of
each topic is `trading.market.view_topics`'s. Does not open connections, decode or judge books. Regions are views like
any other: a vote over regions takes what the votes over each region's connections deliver, and nothing goes on twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, median_low

from trading.market.view_events import (
    FailedOver,
    HoleGivenUp,
    LeaderLost,
    Quorum,
    QuorumChanged,
    QuorumState,
    ViewEvent,
    ViewLimits,
    ViewQuarantined,
    ViewReturned,
    ViewState,
    ViewStatus,
)
from trading.market.view_topics import Hole, Spare, TopicCounters, TopicOrder, TopicRule, Verdict

__all__ = [
    "FailedOver",
    "HoleGivenUp",
    "LeaderLost",
    "Quorum",
    "QuorumChanged",
    "QuorumState",
    "ViewEvent",
    "ViewLimits",
    "ViewQuarantined",
    "ViewReturned",
    "ViewState",
    "ViewStatus",
    "ViewVote",
]

_MS = 1_000_000
_PLAUSIBLE_NS = 3_600_000 * _MS
_EVENTS_MAX = 256


class _View:
    """What the vote knows of one view."""

    __slots__ = ("calm_frames", "calm_ns", "delay_ns", "delivered", "frames", "good_ns", "lag_ns", "name",
                 "quarantined_ns", "quarantines", "reason", "recv_ns", "silent_ns", "since_vote", "state",
                 "votes")  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = ViewState.DOWN
        self.reason = "never connected"
        self.frames = self.delivered = self.quarantines = 0
        self.recv_ns = self.good_ns = self.quarantined_ns = 0
        self.reset()

    def reset(self) -> None:
        self.delay_ns: int | None = None  # the least of recv - event since the last vote
        self.since_vote = self.votes = self.lag_ns = 0
        self.silent_ns = self.calm_ns = self.calm_frames = 0


class ViewVote:
    """k views of the same topics; the driver delivers what is LEAD, what is `ready`, and each `FailedOver.replay`.

    After every call it delivers, in this order: the frame itself if LEAD, the replays of the events, what is `ready`.

    A view's lag is the larger of: its least delay since the last vote (``recv - event``, so a clock that is off is off
    for all) above the median of its active peers'; the time for which it was silent while most peers spoke; and, for
    the leader, the age of what most peers hold and it never brought. The last active view is never quarantined: there
    is nobody to compare it with. When only quarantined views are connected they are believed again, and the quorum
    says that it is lost.
    """

    __slots__ = ("_default", "_failed_ns", "_leader", "_order", "_quorum", "_rules", "_spoken", "_told", "_topics",
                 "_views", "counters", "failovers", "leader_changed_ns", "limits", "overflowed_events", "ready",
                 "strays", "topics_refused")  # fmt: skip

    def __init__(
        self,
        views: Sequence[str],
        limits: ViewLimits | None = None,
        *,
        rules: Mapping[str, TopicRule] | None = None,
        default_rule: TopicRule = TopicRule.CHAIN,
    ) -> None:
        """``rules`` says how a topic may be merged; topics that it does not name follow ``default_rule``."""
        if not views or len(set(views)) != len(views):
            raise ValueError(f"a vote needs views with names of their own, not {list(views)}")
        self.limits = limits or ViewLimits()
        self.counters = TopicCounters()
        self.failovers = 0
        self.strays = 0
        """Frames of views that are not connected."""
        self.topics_refused = 0
        """Frames of topics beyond ``topics_max``."""
        self.overflowed_events = 0
        self.ready: list[Spare] = []
        """What became deliverable with the last calls, in order; `take_ready` empties it."""
        self._views = {name: _View(name) for name in views}
        self._order = list(self._views.values())
        self._rules = dict(rules or {})
        self._default = default_rule
        self._topics: dict[str, TopicOrder] = {}
        self._leader: _View | None = None
        self._spoken: _View | None = None  # who led last
        self._failed_ns = 0
        self._told: list[ViewEvent] = []
        self._quorum = QuorumState.LOST

    @property
    def leader(self) -> str | None:
        """Which view leads; None when none can."""
        return None if self._leader is None else self._leader.name

    # --- What the driver says ------------------------------------------------------------------------

    def on_frame(
        self, view: str, topic: str, seq: int, ts_event_ns: int, ts_recv_ns: int, *, payload: object = None
    ) -> Verdict:
        """One frame of ``view``: deliver it, leave it to the vote, or drop it. Then deliver what is `ready`, if any.

        ``seq`` -1 and ``ts_event_ns`` 0 mean that the venue says none.
        """
        source = self._views[view]
        state = source.state
        if state is not ViewState.ACTIVE:
            if state is ViewState.DOWN:
                self.strays += 1
                return Verdict.DUPLICATE
            if state is ViewState.JOINING:
                source.state = ViewState.ACTIVE
                source.reason = ""
                if self._leader is None:
                    self._lead(source, "first to speak", ts_recv_ns)
        source.frames += 1
        source.since_vote += 1
        source.recv_ns = ts_recv_ns
        delay = ts_recv_ns - ts_event_ns
        if -_PLAUSIBLE_NS < delay < _PLAUSIBLE_NS:
            least = source.delay_ns
            if least is None or delay < least:
                source.delay_ns = delay
        else:
            ts_event_ns = 0
        order = self._topics.get(topic) or self._open(topic)
        leads = source is self._leader
        if order is None:
            self.topics_refused += 1
            return Verdict.LEAD if leads else Verdict.DUPLICATE
        verdict = order.offer(view, leads, seq, ts_event_ns, ts_recv_ns, payload=payload)
        if verdict is Verdict.LEAD:
            source.delivered += 1
        if order.is_waiting and verdict is not Verdict.DUPLICATE:
            self._release(order, ts_recv_ns)
        return verdict

    def on_tick(self, now_ns: int) -> list[ViewEvent]:
        """Take one vote; what changed since the last one."""
        active = [view for view in self._order if view.state is ViewState.ACTIVE]
        hold_ns = self.limits.hold_ms * _MS
        for order in self._topics.values():
            while order.is_waiting and now_ns - order.hole_ns >= hold_ns:
                self._give_up(order, now_ns)
        if not active:
            self._believe_again(now_ns)
        missed_ns = self._missed_ns(active, now_ns)
        lags = {view.name: self._lag_ns(view, active, missed_ns, now_ns) for view in self._order}
        for view in self._order:
            self._vote(view, lags[view.name], now_ns)
            view.delay_ns = None
            view.since_vote = 0
        self._tell_quorum(now_ns)
        told, self._told = self._told, []
        return told

    def on_down(self, view: str, reason: str, now_ns: int) -> list[ViewEvent]:
        """The connection of ``view`` is gone; if it led, another leads at once."""
        source = self._views[view]
        if source.state is ViewState.DOWN:
            return []
        if not source.votes:
            source.good_ns = source.recv_ns
        source.state = ViewState.DOWN
        source.reason = reason
        source.reset()
        for order in self._topics.values():
            order.forget(view)
        if source is self._leader:
            self._fail_over(f"{view} is down: {reason}", now_ns)
        self._tell_quorum(now_ns)
        told, self._told = self._told, []
        return told

    def on_up(self, view: str, now_ns: int) -> list[ViewEvent]:
        """``view`` is connected; it counts from its first frame on."""
        source = self._views[view]
        if source.state is not ViewState.DOWN:
            return []
        source.state = ViewState.JOINING
        source.reason = "nothing heard yet"
        source.reset()
        self._tell_quorum(now_ns)
        told, self._told = self._told, []
        return told

    def restart(self, topic: str) -> None:
        """The venue numbers ``topic`` anew (a snapshot inside the stream says so)."""
        order = self._topics.get(topic)
        if order is not None:
            order.restart()
            self.counters.renumbered += 1

    def take_ready(self) -> list[Spare]:
        """What became deliverable, in order; it is the caller's from here on."""
        ready, self.ready = self.ready, []
        return ready

    # --- What can be asked ---------------------------------------------------------------------------

    def quorum(self, now_ns: int) -> Quorum:
        """How many views are active and spoke within ``stale_ms``, against how many it takes."""
        stale_ns = self.limits.stale_ms * _MS
        fresh = sum(1 for v in self._order if v.state is ViewState.ACTIVE and now_ns - v.recv_ns <= stale_ns)
        total = len(self._order)
        needed = self.limits.quorum_min or total // 2 + 1
        state = QuorumState.LOST if fresh < needed else QuorumState.FULL if fresh == total else QuorumState.MET
        return Quorum(fresh=fresh, needed=needed, state=state)

    def status(self, now_ns: int) -> list[ViewStatus]:
        """Every view, in the order in which they were named."""
        return [
            ViewStatus(
                view=view.name,
                state=view.state,
                leads=view is self._leader,
                age_ms=(now_ns - view.recv_ns) / _MS if view.frames else None,
                lag_ms=view.lag_ns / _MS,
                frames=view.frames,
                delivered=view.delivered,
                quarantines=view.quarantines,
                reason=view.reason,
            )
            for view in self._order
        ]

    def kept(self) -> int:
        """How many frames wait, over all topics."""
        return sum(order.kept() for order in self._topics.values())

    # --- The vote ------------------------------------------------------------------------------------

    def _lag_ns(self, view: _View, active: list[_View], missed_ns: int, now_ns: int) -> int:
        peers = [peer for peer in active if peer is not view]
        if not peers or view.state in {ViewState.DOWN, ViewState.JOINING}:
            view.silent_ns = 0
            return 0
        lag = missed_ns if view is self._leader else 0
        if view.since_vote:
            view.silent_ns = 0
            delays = [peer.delay_ns for peer in peers if peer.delay_ns is not None]
            if delays and view.delay_ns is not None:
                lag = max(lag, round(view.delay_ns - median(delays)))
        elif view.silent_ns or median(peer.since_vote for peer in peers) > 0:
            # Silence lasts until the view speaks, even if its peers pause meanwhile.
            view.silent_ns = view.silent_ns or now_ns
            lag = max(lag, now_ns - view.silent_ns)
        return lag

    def _missed_ns(self, active: list[_View], now_ns: int) -> int:
        """The age of what most of the leader's peers hold and it never brought."""
        leader = self._leader
        peers = [view for view in active if view is not leader]
        if leader is None or not peers:
            return 0
        most = 0
        for order in self._topics.values():
            if order.rule is TopicRule.CHAIN and order.kept():
                since = [order.undelivered_since(peer.name) for peer in peers]
                most = max(most, median_low(now_ns - ns if ns else 0 for ns in since))
        return most

    def _vote(self, view: _View, lag_ns: int, now_ns: int) -> None:
        limits = self.limits
        view.lag_ns = lag_ns
        behind = lag_ns > limits.lag_ms_max * _MS
        if view.state is ViewState.ACTIVE:
            if not behind:
                view.votes = 0
                view.good_ns = view.recv_ns
                return
            view.votes += 1
            others = any(v.state is ViewState.ACTIVE for v in self._order if v is not view)
            if view.votes >= limits.votes and others:
                self._quarantine(view, now_ns)
        elif view.state is ViewState.QUARANTINED:
            if behind or not view.calm_ns:
                view.calm_ns, view.calm_frames = now_ns, view.frames
            elif now_ns - view.calm_ns >= limits.calm_ms * _MS and view.frames > view.calm_frames:
                self._return(view, now_ns)

    def _quarantine(self, view: _View, now_ns: int) -> None:
        view.state = ViewState.QUARANTINED
        view.reason = f"{view.lag_ns / _MS:.0f} ms behind its peers"
        view.quarantines += 1
        view.quarantined_ns = now_ns
        view.calm_ns = view.calm_frames = 0
        self._tell(ViewQuarantined(view=view.name, lag_ms=view.lag_ns / _MS, votes=view.votes, ts_ns=now_ns))
        if view is self._leader:
            self._fail_over(f"{view.name} is {view.reason}", now_ns)

    def _return(self, view: _View, now_ns: int) -> None:
        view.state = ViewState.ACTIVE
        view.reason = ""
        view.votes = 0
        self._tell(ViewReturned(view=view.name, quarantined_ms=(now_ns - view.quarantined_ns) / _MS, ts_ns=now_ns))

    def _believe_again(self, now_ns: int) -> None:
        for view in self._order:
            if view.state is ViewState.QUARANTINED:
                self._return(view, now_ns)
        if self._leader is None:
            self._fail_over("only views that were behind are left", now_ns)

    def _fail_over(self, reason: str, now_ns: int) -> None:
        old = self._leader
        candidates = [view for view in self._order if view.state is ViewState.ACTIVE and view is not old]
        if not candidates and old is not None:
            self._leader = None
            self._tell(LeaderLost(view=old.name, reason=reason, ts_ns=now_ns))
            if any(view.state is ViewState.QUARANTINED for view in self._order if view is not old):
                self._believe_again(now_ns)
        elif candidates:
            self._lead(min(candidates, key=lambda view: (view.lag_ns, -view.recv_ns)), reason, now_ns)

    def _lead(self, view: _View, reason: str, now_ns: int) -> None:
        old = self._spoken
        self._leader = self._spoken = view
        spares = _by_arrival([order.replay(view.name) for order in self._topics.values()])
        view.delivered += len(spares)
        good_ns = old.good_ns or old.recv_ns if old is not None else now_ns
        self.failovers += old is not None
        self._tell(
            FailedOver(
                old=None if old is None else old.name,
                new=view.name,
                reason=reason,
                failover_time_ms=(now_ns - good_ns) / _MS,
                replay=tuple(spares),
                ts_ns=now_ns,
            )
        )

    # --- Topics and events ---------------------------------------------------------------------------

    def _open(self, topic: str) -> TopicOrder | None:
        limits = self.limits
        if len(self._topics) >= limits.topics_max:
            return None
        order = self._topics[topic] = TopicOrder(
            topic,
            self._rules.get(topic, self._default),
            self.counters,
            frames_max=limits.frames_max,
            renumber_ms=limits.renumber_ms,
        )
        return order

    def _release(self, order: TopicOrder, now_ns: int) -> None:
        self.ready += order.released()
        connected = sum(1 for view in self._order if view.state is not ViewState.DOWN)
        while order.is_waiting and (connected < 2 or order.is_full):
            self._give_up(order, now_ns)

    def _give_up(self, order: TopicOrder, now_ns: int) -> None:
        hole: Hole = order.give_up()
        self.ready += order.released()
        self._tell(HoleGivenUp(topic=hole.topic, first_seq=hole.first_seq, last_seq=hole.last_seq, ts_ns=now_ns))

    def _tell(self, event: ViewEvent) -> None:
        if len(self._told) >= _EVENTS_MAX and isinstance(event, HoleGivenUp):
            self.overflowed_events += 1
            return
        self._told.append(event)

    def _tell_quorum(self, now_ns: int) -> None:
        quorum = self.quorum(now_ns)
        if quorum.state is not self._quorum:
            self._quorum = quorum.state
            self._tell(QuorumChanged(state=quorum.state, fresh=quorum.fresh, needed=quorum.needed, ts_ns=now_ns))


def _by_arrival(topics: list[list[Spare]]) -> list[Spare]:
    """All frames, by the time of their arrival; those of one topic stay in their order, whatever the clock did."""
    timed: list[tuple[int, Spare]] = []
    for spares in topics:
        latest = 0
        for spare in spares:
            latest = max(latest, spare.ts_recv_ns)
            timed.append((latest, spare))
    timed.sort(key=lambda pair: pair[0])
    return [spare for _, spare in timed]
