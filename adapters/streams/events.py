"""What a feed tells the desk beside the venue's own messages: facts about connections, topics and the venue's clock."""

from __future__ import annotations

import msgspec

from trading.market.events import VenueEvent


class _Told(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """``view`` and ``line`` name the connection; ``ts_ns`` is ours, UTC."""

    view: str
    line: str
    ts_ns: int


class Connected(_Told, frozen=True, kw_only=True, tag=True):
    """The connection is open and has asked for its topics; nothing of it is proved yet."""

    symbols: tuple[str, ...] = ()


class Disconnected(_Told, frozen=True, kw_only=True, tag=True):
    """The connection is gone: what is built from its topics has to be proved again before it is used.

    ``symbols`` are those whose book it carried. ``covered``: another view goes on, and the book's own numbers say
    whether the seam is whole.
    """

    reason: str
    symbols: tuple[str, ...] = ()
    covered: bool = False


class TopicLost(_Told, frozen=True, kw_only=True, tag=True):
    """A topic was not granted in time, or has said nothing for too long. ``symbol`` is empty for whole markets.

    ``covered``: another view leads and brings it, so that nothing of what goes on was lost.
    """

    topic: str
    kind: str
    symbol: str
    reason: str
    covered: bool = False


class TopicRefused(_Told, frozen=True, kw_only=True, tag=True):
    """The venue refuses a topic, and the same request would be refused again. ``covered`` is as of `TopicLost`."""

    topic: str
    kind: str
    symbol: str
    reason: str
    covered: bool = False


class TopicAlive(_Told, frozen=True, kw_only=True, tag=True):
    """The first message of a topic on this connection, or the first after it was lost."""

    topic: str
    kind: str
    symbol: str


class Rotated(_Told, frozen=True, kw_only=True, tag=True):
    """A second connection took over without a hole; ``reason`` says why the first had to go."""

    reason: str


class MaintenanceBegan(_Told, frozen=True, kw_only=True, tag=True):
    """The venue is down on purpose; connecting goes on, at a walk."""

    reason: str


class MaintenanceEnded(_Told, frozen=True, kw_only=True, tag=True):
    """Data flows again."""


class Overflowed(_Told, frozen=True, kw_only=True, tag=True):
    """The inbound queue was full: messages of these topics were dropped, so that their books prove nothing."""

    topics: tuple[str, ...]
    symbols: tuple[str, ...]
    dropped: int


class ServerTime(_Told, frozen=True, kw_only=True, tag=True):
    """One reading of the venue's clock. All UTC ns: ours when asked and when answered, the venue's between them."""

    sent_ns: int
    server_ns: int
    recv_ns: int

    @property
    def offset_ns(self) -> int:
        """The venue's clock minus ours, were both ways equally long."""
        return self.server_ns - (self.sent_ns + self.recv_ns) // 2


class Polled(_Told, frozen=True, kw_only=True, tag=True):
    """A REST reply that is no book: ``channel`` says which (open_interest, premium_index, ...). ``line`` is rest."""

    channel: str
    symbol: str
    payload: bytes


class FetchFailed(_Told, frozen=True, kw_only=True, tag=True):
    """A REST request of the feed has no answer; ``retry_ns`` is how long until it is asked again, 0 for never."""

    channel: str
    symbol: str
    reason: str
    retry_ns: int = 0


class ViewChanged(_Told, frozen=True, kw_only=True, tag=True):
    """What the vote about parallel views decided, in its own words.

    ``failover_ms`` is set when another view leads: how long it took from the last good frame of the one before.
    """

    reason: str
    failover_ms: float | None = None


class FallbackBegan(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The native streams of a venue are lost; what follows comes through ccxt."""

    venue: str
    reason: str
    ts_ns: int


class FallbackEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The native streams are back, and have been for a while."""

    venue: str
    took_ms: float
    ts_ns: int


class ReserveSaid(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An event of a market that came through ccxt. ``proved`` is of books only; all else is shown, never traded on."""

    event: VenueEvent
    proved: bool
    reason: str
    ts_ns: int


FeedEvent = (
    Connected
    | Disconnected
    | TopicLost
    | TopicRefused
    | TopicAlive
    | Rotated
    | MaintenanceBegan
    | MaintenanceEnded
    | Overflowed
    | ServerTime
    | Polled
    | FetchFailed
    | ViewChanged
)
