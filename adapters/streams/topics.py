"""What a connection carries: topics, what is expected of each, and when each was last heard.

Pure. Owns no rule of any venue: dialects say which topics there are and how their bytes are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import msgspec

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000


class TopicKind(Enum):
    """What a topic speaks of."""

    BOOK = "book"
    BBO = "bbo"
    TRADES = "trades"
    MARK = "mark"
    INDEX = "index"
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"
    LIQUIDATIONS = "liquidations"
    TICKER = "ticker"
    STATUS = "status"


ORDERED_KINDS = frozenset({TopicKind.BOOK, TopicKind.BBO})
"""Kinds whose messages are numbered, so that two copies of a stream can be joined without a hole."""


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription.

    ``key`` is the venue's name of it, unique on a connection. ``symbol`` is empty for topics of a whole market.
    ``mute_ns`` is the age of data at which the topic counts as lost, and ``first_ns`` how long its first data may take
    after the venue has granted it; 0: silence says nothing.
    """

    key: str
    kind: TopicKind
    symbol: str = ""
    mute_ns: int = 0
    first_ns: int = 0
    stretches: bool = True


class Pulse:
    """When a topic was heard on one connection, and how much. Times are monotonic ns, 0 before the first message."""

    __slots__ = ("bytes", "count", "first_ns", "last_ns", "spec")

    def __init__(self, spec: TopicSpec) -> None:
        self.spec = spec
        self.count = 0
        self.bytes = 0
        self.first_ns = 0
        self.last_ns = 0


class TopicAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue answered for one topic. ``retry``: the same request may be granted later.

    ``asked``: nothing is settled, the topic is being asked for in another request.
    """

    key: str
    granted: bool = False
    asked: bool = False
    code: str = ""
    text: str = ""
    retry: bool = False


class Ledger(Protocol):
    """What one connection has asked for, and what each answer of the venue settles."""

    def subscribe(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        """The requests for these topics."""
        ...

    def again(self, keys: Sequence[str], now_ns: int) -> list[bytes]:
        """The requests that make the venue begin these topics anew."""
        ...

    def unsent(self) -> list[bytes]:
        """Requests that an answer has made necessary; each is given once."""
        ...

    def on_message(self, payload: bytes) -> Sequence[TopicAnswer] | None:
        """What an answer settles; None when ``payload`` is no answer. Does not raise."""
        ...
