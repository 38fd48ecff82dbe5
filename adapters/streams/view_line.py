"""One line of a feed seen through several views: every frame asks the vote whether it goes on.

The vote itself is `trading.market.views`; here it is given numbers and times, which are read out of the bytes, and
what it decides is carried out. A feed with one view has none of this.
"""

from __future__ import annotations

from collections.abc import Callable

from adapters.clock import Clock
from adapters.streams.connection import Deliver
from adapters.streams.dialects.base import Dialect, LineSpec
from adapters.streams.topics import Pulse, TopicKind
from trading.market.view_topics import Spare, TopicRule, Verdict
from trading.market.views import (
    FailedOver,
    QuorumChanged,
    ViewEvent,
    ViewLimits,
    ViewQuarantined,
    ViewReturned,
    ViewVote,
)

Changed = Callable[[str, str, str, float | None], None]
"""(line, view, words, how long a failover took in ms)"""


class ViewLine:
    """The vote over the connections of one line name."""

    def __init__(
        self,
        *,
        views: tuple[str, ...],
        line: LineSpec,
        dialect: Dialect,
        limits: ViewLimits,
        clock: Clock,
        deliver: Deliver,
        changed: Changed,
    ) -> None:
        self.name = line.name
        self._dialect = dialect
        self._wall_ns = clock.wall_ns
        self._deliver = deliver
        self._changed = changed
        rules = {topic.key: _rule_of(topic.kind, dialect) for topic in line.topics}
        self.vote = ViewVote(views, limits, rules=rules)

    def deliverer(self, view: str) -> Deliver:
        """What a connection of ``view`` hands its frames to."""

        def deliver(payload: bytes, ts_recv_ns: int, pulse: Pulse | None) -> None:
            if pulse is None:
                self._deliver(payload, ts_recv_ns, None)
                return
            kind = pulse.spec.kind
            if kind is TopicKind.BOOK and view == self.vote.leader and self._dialect.is_snapshot(payload):
                # The leader's book begins anew, at a number that may have been delivered before.
                self.vote.restart(pulse.spec.key)
            seq = self._number(payload, kind)
            event_ns = self._dialect.time_of(payload)
            verdict = self.vote.on_frame(
                view, pulse.spec.key, seq, event_ns, ts_recv_ns, payload=(payload, ts_recv_ns, pulse)
            )
            if verdict is Verdict.LEAD:
                self._deliver(payload, ts_recv_ns, pulse)
            if self.vote.ready:
                self._replay(self.vote.take_ready())

        return deliver

    def up(self, view: str) -> None:
        """The view's connection is open."""
        self._carry_out(self.vote.on_up(view, self._wall_ns()))

    def down(self, view: str, reason: str) -> None:
        """The view's connection is gone."""
        self._carry_out(self.vote.on_down(view, reason, self._wall_ns()))

    def tick(self) -> None:
        """Take one vote."""
        self._carry_out(self.vote.on_tick(self._wall_ns()))

    def _carry_out(self, events: list[ViewEvent]) -> None:
        for event in events:
            if isinstance(event, FailedOver):
                self._replay(list(event.replay))
        if self.vote.ready:
            self._replay(self.vote.take_ready())
        for event in events:
            self._say(event)

    def _replay(self, spares: list[Spare]) -> None:
        for spare in spares:
            if isinstance(spare.payload, tuple):
                self._deliver(*spare.payload)

    def _say(self, event: ViewEvent) -> None:
        match event:
            case FailedOver():
                said = f"leads after {event.old or 'nobody'}: {event.reason} ({event.failover_time_ms:.0f} ms)"
                self._changed(self.name, event.new, said, event.failover_time_ms if event.old else None)
            case ViewQuarantined():
                self._changed(self.name, event.view, f"quarantined: {event.lag_ms:.0f} ms behind its peers", None)
            case ViewReturned():
                self._changed(self.name, event.view, f"returned after {event.quarantined_ms:.0f} ms", None)
            case QuorumChanged():
                self._changed(
                    self.name, "", f"quorum {event.state.value}: {event.fresh} of {event.needed} needed", None
                )
            case _:
                self._changed(self.name, getattr(event, "view", ""), str(event)[:200], None)

    def _number(self, payload: bytes, kind: TopicKind) -> int:
        if kind in {TopicKind.BOOK, TopicKind.BBO}:
            return self._dialect.order_of(payload)
        return self._dialect.trade_of(payload) if kind is TopicKind.TRADES else -1


def _rule_of(kind: TopicKind, dialect: Dialect) -> TopicRule:
    if kind is TopicKind.BOOK:
        return TopicRule.CHAIN
    if kind is TopicKind.TRADES and dialect.trades_without_holes:
        return TopicRule.EVERY
    return TopicRule.NEWEST
