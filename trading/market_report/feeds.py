"""Feeds, quorum and clocks as operators see them: bodies of FEED, QUORUM and CLOCK.

Owns the shapes and the bounded course of a clock's offset. Measures nothing: streams, views and gates do.
"""

from __future__ import annotations

from typing import Final

import msgspec

CHANNELS_SHOWN: Final = 128
COURSE_POINTS: Final = 120
COURSE_STEP_NS: Final = 5_000_000_000


class ChannelBody(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription of a connection.

    ``state`` is the ack ledger's word (sent, acked, refused, unacked, mute). ``age_ms`` is the age of the newest data,
    None before any.
    """

    channel: str
    state: str
    age_ms: float | None
    messages: int
    reason: str = ""


class FeedBody(msgspec.Struct, frozen=True, kw_only=True):
    """FEED, key ``venue/view``: one connection of a venue.

    ``state`` is the connection machine's word (connecting, subscribing, live, degraded, rotating, backoff, maintenance,
    closed, ...). ``role`` is leader, spare or quarantined. ``reserve`` flags a feed that stands in for the native one.
    ``age_ms`` is the age of the newest data, None before any. Counts are since the process began.
    """

    venue: str
    view: str
    region: str
    url: str
    state: str
    role: str
    reason: str
    age_ms: float | None
    since_ns: int
    reconnects: int
    messages: int
    messages_per_s: float
    bytes: int
    dropped: int
    duplicates: int
    rejected: int
    channels: tuple[ChannelBody, ...]
    channels_hidden: int = 0
    reserve: bool = False
    synthetic: bool = False


class ViewBody(msgspec.Struct, frozen=True, kw_only=True):
    """One voter: how far it lags behind the median of its peers, and what the vote made of it."""

    view: str
    region: str
    role: str
    fresh: bool
    lag_ms: float | None
    reason: str = ""


class QuorumBody(msgspec.Struct, frozen=True, kw_only=True):
    """QUORUM, key venue: whether enough views are fresh. ``state`` is met, thin (just enough) or lost.

    ``failover_ms`` is how long the last change of the leader took, from its last good frame; None when there was none.
    """

    venue: str
    state: str
    fresh: int
    needed: int
    leader: str
    views: tuple[ViewBody, ...]
    failovers: int
    failover_ms: float | None
    quarantines: int
    synthetic: bool = False


class ClockBody(msgspec.Struct, frozen=True, kw_only=True):
    """CLOCK, key venue: our clock less the venue's, in ms, positive when ours is ahead; None before an estimate.

    ``course`` are (UTC ns, ms) every five seconds of the last ten minutes, oldest first. ``state`` is ok, notice,
    skewed or stepped.
    """

    venue: str
    skew_ms: float | None
    state: str
    limit_ms: int
    notice_ms: int
    steps: int
    course: tuple[tuple[int, float], ...]
    synthetic: bool = False


def ranked(feed: FeedBody) -> FeedBody:
    """The feed with its worst 128 channels, what is silent or refused first; the rest is counted."""
    order = sorted(feed.channels, key=lambda one: (one.state == "acked", -(one.age_ms or 0.0), one.channel))
    hidden = feed.channels_hidden + max(0, len(order) - CHANNELS_SHOWN)
    return msgspec.structs.replace(feed, channels=tuple(order[:CHANNELS_SHOWN]), channels_hidden=hidden)


class ClockCourse:
    """Keeps the course of one venue's offset: 120 points, one every five seconds."""

    __slots__ = ("_points", "_step", "steps")

    def __init__(self) -> None:
        self.steps = 0
        """How often a clock stepped."""
        self._points: list[tuple[int, float]] = []
        self._step = False

    def take(self, skew_ms: float | None, is_stepped: bool, now_ns: int) -> None:
        """The estimate as it is at ``now_ns`` (UTC), as often as one likes."""
        if is_stepped and not self._step:
            self.steps += 1
        self._step = is_stepped
        if skew_ms is None:
            return
        points = self._points
        if not points or now_ns - points[-1][0] >= COURSE_STEP_NS:
            points.append((now_ns, round(skew_ms, 3)))
            del points[:-COURSE_POINTS]

    def body(
        self, venue: str, skew_ms: float | None, *, notice_ms: int, limit_ms: int, synthetic: bool = False
    ) -> ClockBody:
        """The body of CLOCK as of the last `take`."""
        size = abs(skew_ms) if skew_ms is not None else 0.0
        state = "stepped" if self._step else "skewed" if size > limit_ms else "notice" if size >= notice_ms else "ok"
        return ClockBody(
            venue=venue,
            skew_ms=None if skew_ms is None else round(skew_ms, 3),
            state="unknown" if skew_ms is None and not self._step else state,
            limit_ms=limit_ms,
            notice_ms=notice_ms,
            steps=self.steps,
            course=tuple(self._points),
            synthetic=synthetic,
        )
