"""What a feed's word about itself means for whoever trades on its data: what operators read, and which books are lost.

Pure. Owns no brake and no book.
"""

from __future__ import annotations

import msgspec

from adapters.streams.events import (
    Disconnected,
    FeedEvent,
    FetchFailed,
    MaintenanceBegan,
    MaintenanceEnded,
    Overflowed,
    Rotated,
    TopicLost,
    TopicRefused,
    ViewChanged,
)

_BOOK = "book"


class FeedNews(msgspec.Struct, frozen=True):
    """``level``, ``code`` and ``text`` are for operators; books of the symbols in ``lost`` prove nothing any more."""

    level: str
    code: str
    text: str
    lost: tuple[str, ...] = ()


def news_of(event: FeedEvent) -> FeedNews | None:
    """None for what only the connector acts upon."""
    match event:
        case Disconnected():
            lost = () if event.covered else event.symbols
            return FeedNews("warning", "DISCONNECTED", f"{event.view} {event.line}: {event.reason}", lost)
        case TopicLost():
            lost = (event.symbol,) if event.kind == _BOOK and not event.covered else ()
            return FeedNews("warning", "TOPIC_LOST", f"{event.view} {event.topic}: {event.reason}", lost)
        case TopicRefused():
            lost = (event.symbol,) if event.kind == _BOOK and not event.covered else ()
            return FeedNews("error", "TOPIC_REFUSED", f"{event.view} {event.topic}: {event.reason}", lost)
        case Overflowed():
            text = f"{event.dropped} messages of {', '.join(event.topics)} were dropped"
            return FeedNews("error", "FEED_OVERFLOW", text, event.symbols)
        case FetchFailed():
            return FeedNews("warning", "FETCH_FAILED", f"{event.channel} {event.symbol}: {event.reason}")
        case MaintenanceBegan():
            return FeedNews("warning", "MAINTENANCE", f"the venue is in maintenance: {event.reason}")
        case MaintenanceEnded():
            return FeedNews("info", "MAINTENANCE_OVER", "the venue's data flows again")
        case ViewChanged() if event.failover_ms is not None:
            return FeedNews("warning", "FAILED_OVER", f"{event.view} {event.line}: {event.reason}")
        case Rotated() | ViewChanged():
            return FeedNews("info", type(event).__name__.upper(), f"{event.view} {event.line}: {event.reason}")
        case _:
            return None
