"""What a venue's dialect answers: which connections carry which topics, how bytes are told apart, what REST offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from adapters.streams.topics import Ledger, Pulse, TopicKind, TopicSpec
from trading.instruments import Instrument

Router = Callable[[bytes], Pulse | None]
"""The pulse of the topic whose data a payload is, by its first bytes; None for anything else."""


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue is: bases without a path, like ``wss://stream.bybit.com`` and ``https://api.bybit.com``."""

    ws: str
    rest: str


class LineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One connection: its name within the feed, where it goes, what it carries."""

    name: str
    url: str
    topics: tuple[TopicSpec, ...]


class NoticeKind(Enum):
    """What a venue says of its own service."""

    RESET = "reset"
    MAINTENANCE = "maintenance"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """The venue will close this connection soon, or is in maintenance until ``until_ns`` (UTC; 0: it does not say)."""

    kind: NoticeKind
    text: str
    until_ns: int = 0


class RestPool(msgspec.Struct, frozen=True, kw_only=True):
    """One of the venue's request limits, of which this process takes ``share``; ``used_header`` repeats its count."""

    name: str
    weight: int
    window_ns: int
    share: float = 0.5
    used_header: str = ""


class RestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One GET. ``channel`` says what the reply is; ``url`` has the query in it."""

    channel: str
    url: str
    pool: str
    weight: int = 1
    symbol: str = ""


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """What has no stream: ask every ``every_ns``, the first time ``first_ns`` after the start."""

    request: RestRequest
    every_ns: int
    first_ns: int = 0


class Dialect(Protocol):
    """One venue. ``family`` shares a connection budget; ``ping`` None is a WebSocket ping frame."""

    venue: str
    family: str
    ping: bytes | None
    send_gap_ns: int
    life_ns: int
    pools: tuple[RestPool, ...]
    rest_snapshots: bool
    trades_without_holes: bool

    def lines(self, kinds: frozenset[TopicKind]) -> tuple[LineSpec, ...]:
        """The connections for topics of these kinds."""
        ...

    def ledger(self) -> Ledger:
        """A ledger for one new connection."""
        ...

    def router(self, pulses: Mapping[str, Pulse]) -> Router:
        """How payloads find the pulses of one connection."""
        ...

    def notice(self, payload: bytes) -> Notice | None:
        """What the venue says of its own service; asked for payloads without a route only. Does not raise."""
        ...

    def order_of(self, payload: bytes) -> int:
        """The venue's number of a book's or best prices' message, the same on all connections; -1 without one."""
        ...

    def is_snapshot(self, payload: bytes) -> bool:
        """Whether a book's message is a whole book; False where books do not begin in the stream."""
        ...

    def time_of(self, payload: bytes) -> int:
        """The venue's time of a message, UTC ns; 0 without one. For votes between views."""
        ...

    def trade_of(self, payload: bytes) -> int:
        """The venue's number of a trade message, the same on all connections; -1 without one."""
        ...

    def snapshot(self, symbol: str) -> RestRequest | None:
        """The REST depth of one instrument; None where books begin in the stream."""
        ...

    def book_topic(self, symbol: str) -> str:
        """The key of the topic that makes the book of ``symbol``."""
        ...

    def server_time(self) -> RestRequest:
        """The venue's clock."""
        ...

    def read_server_time(self, body: bytes) -> int:
        """UTC ns out of the reply; ``ValueError`` when it says none."""
        ...

    def polls(self, kinds: frozenset[TopicKind]) -> tuple[Poll, ...]:
        """What has to be asked for again and again."""
        ...


def number_after(payload: bytes, mark: bytes, begin: int = 0) -> int:
    """The digits after the first ``mark``; -1 without them. Does not raise."""
    at = payload.find(mark, begin)
    if at < 0:
        return -1
    at += len(mark)
    end = at
    # An int of a venue has 19 digits at most.
    while end < at + 19 and payload[end : end + 1].isdigit():
        end += 1
    return int(payload[at:end]) if end > at else -1


def chunked(name: str, url: str, topics: Sequence[TopicSpec], most: int) -> list[LineSpec]:
    """Lines of at most ``most`` topics each."""
    parts = [tuple(topics[begin : begin + most]) for begin in range(0, len(topics), most)]
    names = [name] if len(parts) == 1 else [f"{name}{number}" for number in range(1, len(parts) + 1)]
    return [LineSpec(name=each, url=url, topics=part) for each, part in zip(names, parts, strict=True)]


def symbols_by_kind(instruments: Sequence[Instrument]) -> tuple[str, ...]:
    """The venue's names of instruments, each once, in order."""
    return tuple(dict.fromkeys(instrument.symbol for instrument in instruments))
