"""A feed's status as operators read it: bodies of FEED and QUORUM.

Owns the translation and the rates between two reports. Measures nothing: connections and votes do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adapters.streams.connection import ConnectionStatus, TopicStatus
from adapters.streams.feed import FeedStatus
from trading.market.views import ViewState, ViewStatus
from trading.market_report.feeds import ChannelBody, FeedBody, QuorumBody, ViewBody, ranked

_CHANNEL = {
    "waiting": "sent",
    "asked": "sent",
    "granted": "acked",
    "alive": "acked",
    "mute": "mute",
    "refused": "refused",
}
_ROLE = {ViewState.QUARANTINED: "quarantined"}
_LIVE = frozenset({"live", "rotating"})


class FeedReport:
    """The bodies of one venue's feed. ``regions`` names the region of a view; a view without one is its own."""

    def __init__(self, venue: str, *, synthetic: bool, regions: Mapping[str, str] | None = None) -> None:
        self._venue = venue
        self._synthetic = synthetic
        self._regions = dict(regions or {})
        self._messages: dict[str, int] = {}
        self._since: dict[str, tuple[str, int]] = {}
        self._told_ns = 0
        self.failovers = 0
        self.failover_ms: float | None = None

    def failed_over(self, took_ms: float) -> None:
        """Another view leads; it took so long from the old leader's last good frame."""
        self.failovers += 1
        self.failover_ms = took_ms

    def feeds(self, status: FeedStatus, rejected: int, now_ns: int) -> list[tuple[str, FeedBody]]:
        """(key, body) of every connection at ``now_ns`` (UTC)."""
        elapsed_s = (now_ns - self._told_ns) / 1e9 if self._told_ns else 0.0
        self._told_ns = now_ns
        several = len({connection.line for connection in status.connections}) > 1
        out: list[tuple[str, FeedBody]] = []
        for connection in status.connections:
            name = f"{connection.view}-{connection.line}" if several else connection.view
            votes = [vote for vote in status.views.get(connection.line, ()) if vote.view == connection.view]
            body = self._feed(name, connection, votes, elapsed_s, now_ns)
            body = msgspec.structs.replace(body, dropped=status.dropped, rejected=rejected)
            out.append((f"{self._venue}/{name}", body))
        return out

    def _feed(
        self,
        name: str,
        connection: ConnectionStatus,
        votes: Sequence[ViewStatus],
        elapsed_s: float,
        now_ns: int,
    ) -> FeedBody:
        before, since_ns = self._since.get(name, ("", now_ns))
        if before != connection.status:
            since_ns = now_ns
            self._since[name] = connection.status, now_ns
        gained = connection.messages - self._messages.get(name, connection.messages)
        self._messages[name] = connection.messages
        return ranked(
            FeedBody(
                venue=self._venue,
                view=name,
                region=self._regions.get(connection.view, connection.view),
                url=connection.url,
                state=connection.status,
                role=_role(votes),
                reason=connection.reason or (votes[0].reason if votes else ""),
                age_ms=connection.age_ms,
                since_ns=since_ns,
                reconnects=max(0, connection.counters.connects - 1),
                messages=connection.messages,
                messages_per_s=round(gained / elapsed_s, 1) if elapsed_s else 0.0,
                bytes=connection.bytes,
                dropped=0,
                duplicates=sum(vote.frames - vote.delivered for vote in votes),
                rejected=0,
                channels=tuple(_channel(topic) for topic in connection.topics),
                synthetic=self._synthetic,
            )
        )

    def quorum(self, status: FeedStatus) -> QuorumBody:
        """Whether enough views are fresh: a view is as fresh as the worst of its lines."""
        names = list(dict.fromkeys(connection.view for connection in status.connections))
        needed = len(names) // 2 + 1 if len(names) > 1 else 1
        votes = status.views
        bodies = [self._view(name, status, votes) for name in names]
        fresh = sum(body.fresh for body in bodies)
        state = "lost" if fresh < needed else "thin" if fresh == needed and len(names) > needed else "met"
        leaders = [body.view for body in bodies if body.role == "leader"]
        return QuorumBody(
            venue=self._venue,
            state=state,
            fresh=fresh,
            needed=needed,
            leader=leaders[0] if leaders else "",
            views=tuple(bodies),
            failovers=self.failovers,
            failover_ms=self.failover_ms,
            quarantines=sum(vote.quarantines for line in votes.values() for vote in line),
            synthetic=self._synthetic,
        )

    def _view(self, name: str, status: FeedStatus, votes: Mapping[str, Sequence[ViewStatus]]) -> ViewBody:
        mine = [connection for connection in status.connections if connection.view == name]
        cast = [vote for line in votes.values() for vote in line if vote.view == name]
        down = [connection for connection in mine if connection.status not in _LIVE]
        reasons = [connection.reason for connection in down] + [vote.reason for vote in cast]
        return ViewBody(
            view=name,
            region=self._regions.get(name, name),
            role=_role(cast),
            fresh=not down and all(vote.state is ViewState.ACTIVE for vote in cast),
            lag_ms=max((vote.lag_ms for vote in cast), default=None),
            reason=next((reason for reason in reasons if reason), ""),
        )


def _role(votes: Sequence[ViewStatus]) -> str:
    """A connection that nobody votes on leads by itself."""
    if not votes or any(vote.leads for vote in votes):
        return "leader"
    return next((_ROLE[vote.state] for vote in votes if vote.state in _ROLE), "spare")


def _channel(topic: TopicStatus) -> ChannelBody:
    state = _CHANNEL.get(topic.phase, topic.phase)
    return ChannelBody(
        channel=topic.key, state=state, age_ms=topic.age_ms, messages=topic.messages, reason=topic.reason
    )
