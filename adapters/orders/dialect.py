"""What a venue's order dialect answers. Pure: bytes and commands in, bytes and events out; no socket, no clock.

One dialect is one account at one venue: its instruments, its endpoints. Times that it needs are given to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from adapters.orders.account import AccountCursor, AccountPart, AccountRead, KnownOrders, Parts, Reading, Unreadable
from adapters.orders.news import UserEvent
from adapters.orders.wire import (
    Credentials,
    HttpAnswer,
    OrderEndpoints,
    Reply,
    SignedRequest,
    WireCommand,
    WireRequest,
)
from trading.instruments import Instrument
from trading.orders.messages import NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest

BatchCommand = NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest


class StreamPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a private stream is held.

    ``listen_key``: its address has a key that REST gives and that is kept every ``keep_ns``. ``login``: a signed frame
    comes first. ``channels`` have to be granted before anything counts. ``ping`` is a text, b"" a WebSocket ping.
    ``poll_ns`` other than 0: there is no stream, and the account is read so often instead.
    """

    listen_key: bool
    login: bool
    channels: tuple[str, ...]
    ping: bytes
    ping_every_ns: int
    life_ns: int
    keep_ns: int = 0
    poll_ns: int = 0


class OrderDialect(Protocol):
    """One venue. Everything here answers without raising, except where it says ``ValueError``."""

    venue: str
    family: str
    endpoints: OrderEndpoints
    stream: StreamPlan
    amends_in_place: bool
    cancels_all: bool

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """By instrument_id."""
        ...

    def encode(self, command: WireCommand, now_ms: int) -> WireRequest:
        """The request of a command; ``ValueError`` names the field when it cannot be said at this venue."""
        ...

    def sign(self, request: WireRequest, credentials: Credentials, ts_ms: int) -> SignedRequest:
        """With time stamp and signature; ``ts_ms`` is the venue's time as far as we know it."""
        ...

    def decode_reply(self, command: WireCommand, answer: HttpAnswer) -> Reply:
        """What an HTTP answer proves."""
        ...

    def decode_user(self, payload: bytes, ts_ns: int) -> tuple[UserEvent, ...]:
        """What a message of the private stream says."""
        ...

    # Reading the account

    def account_requests(self, cursor: AccountCursor) -> tuple[AccountRead, ...]:
        """What to ask first."""
        ...

    def account_more(self, cursor: AccountCursor, parts: Parts, known: KnownOrders) -> tuple[AccountRead, ...]:
        """What else, after these parts: further pages, orders behind executions. Empty when it is whole or broken."""
        ...

    def assemble(
        self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int
    ) -> Reading | Unreadable:
        """The account, or why it cannot be told."""
        ...

    def read_problem(self, part: AccountPart) -> Reply | None:
        """What is wrong with an answer of a reading (limits, keys, clock); None when it is an answer."""
        ...

    # The private stream

    def stream_url(self, listen_key: str) -> str:
        """Where the stream is."""
        ...

    def stream_login(self, credentials: Credentials, ts_ms: int) -> bytes:
        """The signed frame that comes first; b"" where there is none."""
        ...

    def stream_subscribe(self) -> tuple[bytes, ...]:
        """The frames that ask for channels."""
        ...

    # Many at once

    def batch_limit(self, command: BatchCommand) -> int:
        """How many commands of this kind the venue takes in one request; 1 is none but single ones."""
        ...

    def encode_batch(self, commands: Sequence[BatchCommand], now_ms: int) -> WireRequest:
        """One request for commands of one kind (and of one market where the venue wants it); ``ValueError`` else."""
        ...

    def decode_batch(self, commands: Sequence[BatchCommand], answer: HttpAnswer) -> tuple[Reply, ...]:
        """One reply for each command, in their order."""
        ...
