"""Order entry over WebSocket in words: what a venue's frames say, and what its codec has to answer.

An entry codec turns a request that the order dialect has made into a frame with a correlation id, and what comes back
into the answer that the same request gets over HTTP: error tables, limits and deadlines are one for both roads. Pure;
the state of a connection is `adapters.orders.entry_session`'s, the socket `adapters.orders.entry_line`'s, and which
road a request takes `adapters.orders.entry_road`'s.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec

from adapters.orders.wire import Credentials, HttpAnswer, WireRequest


class EntryMode(Enum):
    """Which road orders take. AUTO: the WebSocket while it is logged on and healthy, REST otherwise.

    WS: nothing is placed or amended by REST; cancels may be. REST: no WebSocket is opened for orders.
    """

    AUTO = "auto"
    WS = "ws"
    REST = "rest"


class EntryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection for orders is held.

    ``path`` is its address without the host. ``login``: nothing is taken before a login is granted; else each request
    is signed for itself. ``ping`` is a text, b"" a WebSocket ping. ``life_ns`` is shorter than the venue's own limit.
    """

    path: str
    login: bool
    ping: bytes
    ping_every_ns: int
    life_ns: int


# --- What a frame of the venue says ------------------------------------------------------------------------


class EntryGranted(msgspec.Struct, frozen=True, tag=True):
    """The login is granted."""


class EntryAnswered(msgspec.Struct, frozen=True, tag=True):
    """The answer to one request, as HTTP would have brought it."""

    request_id: str
    answer: HttpAnswer


class EntryUnread(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue turned a request away without having executed it, for a reason of the connection or its login.

    It may be said by the other road at once. ``over``: the connection is of no use any more.
    """

    request_id: str = ""
    reason: str
    over: bool = False


class EntryRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The login is refused, in the venue's words."""

    text: str


class EntryClosing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue will end the connection soon; what is in flight is still answered."""

    text: str


class EntryAlive(msgspec.Struct, frozen=True, tag=True):
    """A pong, or a message that says nothing of orders."""


EntryWord = EntryGranted | EntryAnswered | EntryUnread | EntryRefused | EntryClosing | EntryAlive


class EntryDialect(Protocol):
    """One venue's frames. Nothing here raises."""

    venue: str
    plan: EntryPlan

    def preparation(self) -> tuple[WireRequest, ...]:
        """What has to be asked over REST before frames can be written; none at most venues."""
        ...

    def prepare(self, answer: HttpAnswer) -> str:
        """Take in the answer to one of them; "" or what is wrong with it."""
        ...

    def login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """The signed frame that comes first; b"" where requests are signed for themselves."""
        ...

    def frame(self, request: WireRequest, request_id: str, credentials: Credentials, ts_ms: int) -> bytes:
        """The frame of a request; b"" when it is not said by WebSocket. ``ts_ms`` is the venue's time."""
        ...

    def read(self, payload: bytes, ts_ns: int) -> tuple[EntryWord, ...]:
        """What a frame of the venue says; ``ts_ns`` is when it was here, UTC."""
        ...


class NothingToAsk:
    """The part of an `EntryDialect` that needs nothing from REST before its first frame."""

    def preparation(self) -> tuple[WireRequest, ...]:
        """Nothing."""
        return ()

    def prepare(self, answer: HttpAnswer) -> str:
        """Nothing is asked."""
        del answer
        return ""
