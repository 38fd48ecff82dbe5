"""One signed request and its reply as the trading side sees them, and what every venue's trading side offers.

Owns shapes and the reading of parameters. HTTP is `rest_side`'s, words and codes are the venues' modules'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec

from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query
from adapters.simserver.knob import Knob

FIELDS_MAX = 64


class MalformedError(Exception):
    """A parameter that is not the number it has to be."""


class TradeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it arrived; ``target`` is path and query in the sender's own spelling, which is what was signed.

    ``spoken``: it came over a WebSocket, where the login stands for the signature, or the fields themselves are signed.
    """

    method: str
    path: str
    target: str
    body: bytes
    headers: Mapping[str, str]
    spoken: bool = False

    @property
    def raw_query(self) -> str:
        """What stands after the question mark."""
        return self.target.partition("?")[2]

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded. ``ValueError`` for more than `FIELDS_MAX` fields."""
        return pairs(self.raw_query)


class TradeReply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. ``accepted``: something was changed on the account, so faults that hide it may act."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = {}
    accepted: bool = False


TradeHandler = Callable[[TradeRequest], TradeReply]
"""Answers one signed request; raises `RestRefused` in the venue's words."""


class SocketAsk(msgspec.Struct, frozen=True, kw_only=True):
    """An order frame: the request that it stands for, who serves it, and how HTTP's answer is said as a frame."""

    request: TradeRequest
    handler: TradeHandler
    frame: Callable[[int, bytes, Mapping[str, str]], bytes]


class TradingSide(Protocol):
    """One venue's orders and account, behind its keys."""

    ws_paths: tuple[str, ...]
    """Route patterns of private WebSocket endpoints that are not the market data's."""

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By (method, path)."""
        ...

    def claims(self, connection_path: str, query: Query, tail: str) -> bool:
        """Whether a new WebSocket is a private one."""
        ...

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """A private client connected."""
        ...

    def on_close(self, connection: Connection) -> None:
        """It is gone."""
        ...

    def on_text(self, connection: Connection, text: str) -> None:
        """It said something."""
        ...

    def asked(self, connection: Connection, text: str) -> SocketAsk | None:
        """The order that a client's message asks for; None where it is something else, which `on_text` gets."""
        ...

    def listeners(self) -> int:
        """How many private connections are told of orders now."""
        ...

    def on_turn(self) -> None:
        """A turn of the pump: timers that are due."""
        ...

    def on_second(self) -> None:
        """Keys and sessions grow older."""
        ...

    def on_fault(self, fault: Knob) -> None:
        """A fault that acts at once came into force."""
        ...

    def unknown_outcome(self) -> tuple[int, bytes]:
        """Status and body in which the venue says that it does not know what became of a request."""
        ...

    def take_hold_ms(self) -> int:
        """How long the answer of the request just served has to wait (ms); asked once a request."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


def whole(text: str) -> int:
    """A whole number of at most 19 digits; `MalformedError` for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise MalformedError(text[:40])
    return int(text)


def pairs(text: str) -> dict[str, str]:
    """Fields of a query or a form; of a repeated one the first counts."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX):
        found.setdefault(name, value)
    return found
