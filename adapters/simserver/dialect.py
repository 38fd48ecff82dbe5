"""What every venue's dialect offers to the server that carries it: paths, replies, answers, and how it says errors.

Owns the seam only. One file per venue fills it; orders and accounts are `trading`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from adapters.simserver.connection import Connection
from adapters.simserver.feed import Market
from adapters.sources import Frame

Query = Mapping[str, str]
RestHandler = Callable[[Query], bytes]
"""Answers one GET; raises `RestRefused` in the venue's words."""


class RestRefused(Exception):  # noqa: N818 - the venue's answer, not a bug of ours
    """The venue's refusal of one request."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Dialect(Protocol):
    """One venue's protocol over one feed."""

    ws_paths: tuple[str, ...]
    """aiohttp route patterns of WebSocket endpoints."""

    ping_every_ns: int
    """How often the server pings (WebSocket control frames); 0: the client has to."""

    pong_within_ns: int
    """A client that has said nothing for so long, not even a pong, is cut; 0: it is not."""

    idle_cut_ns: int
    """A connection on which nobody says anything for so long is cut; 0: it is not."""

    markets: dict[str, Market]

    def rest(self) -> dict[str, RestHandler]:
        """GET paths."""
        ...

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """A client connected; ``tail`` is the rest of the path."""
        ...

    def on_close(self, connection: Connection) -> None:
        """A client is gone."""
        ...

    def on_text(self, connection: Connection, text: str) -> None:
        """A client said something."""
        ...

    def on_snapshot(self, key: str, frame: Frame) -> None:
        """The source's book of one market begins anew."""
        ...

    def on_frame(self, key: str, payload: bytes, ts_ns: int) -> None:
        """The source released a message."""
        ...

    def on_batch(self) -> None:
        """All that was due is released."""
        ...

    def on_second(self) -> None:
        """A second of the venue's clock has passed."""
        ...

    def on_rules_changed(self) -> None:
        """The instruments' rules are others now."""
        ...

    def wrap(self, connection: Connection, topic: str, payload: bytes) -> bytes:
        """A data message as this connection gets it."""
        ...

    def notice(self, connection: Connection) -> bytes | None:
        """The announcement that the connection will be closed, where the venue makes one."""
        ...

    def refusal(self, status: int) -> bytes:
        """The body of an HTTP error."""
        ...

    def error(self) -> RestRefused:
        """A failure inside the venue, in its own words."""
        ...
