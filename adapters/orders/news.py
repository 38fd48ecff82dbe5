"""What a private stream says beyond orders: of itself, of balances and positions, and of what could not be read."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trading.orders.messages import VenueEvent


class LoggedIn(msgspec.Struct, frozen=True, tag=True):
    """The venue knows who listens."""


class Subscribed(msgspec.Struct, frozen=True, tag=True):
    """A channel was granted; ``channel`` is the venue's word."""

    channel: str


class StreamRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Login or channel refused. ``auth``: only a person can mend it, asking again makes it worse."""

    code: str
    text: str
    auth: bool


class StreamClosing(msgspec.Struct, frozen=True, tag=True):
    """The venue will end this stream, or says that its key is not good any more."""

    reason: str


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """An answer to a ping. It proves that somebody is there, not that all was said."""


class BalanceChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's balance of an asset after a change; ``total`` is free and locked together.

    ``funding``: the venue says that a funding was what changed it.
    """

    venue: str
    asset: str
    total: Decimal
    ts_event_ns: int
    funding: bool = False


class PositionChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's position after a change, signed."""

    venue: str
    instrument_id: str
    qty: Decimal
    ts_event_ns: int


class MarginCalled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue warns of a liquidation."""

    venue: str
    text: str


class Unread(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A message that could not be read, or is of an instrument that is not known: never dropped in silence."""

    reason: str
    payload: bytes


UserNews = (
    LoggedIn
    | Subscribed
    | StreamRefused
    | StreamClosing
    | Heartbeat
    | BalanceChanged
    | PositionChanged
    | MarginCalled
    | Unread
)
UserEvent = VenueEvent | UserNews
