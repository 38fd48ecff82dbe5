"""What a market can say, after decoding: the vocabulary between codecs, books, the simulated venue and strategies.

Prices are integer ticks, quantities integer lots of the instrument. ``ts_event_ns`` is the venue's clock,
``ts_recv_ns`` ours, both UTC nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum

import msgspec

Level = tuple[int, int]
"""(price in ticks, quantity in lots); a quantity of 0 removes the level."""


class BookState(Enum):
    """A book is SYNCED, or it may not be used."""

    SYNCED = "synced"
    SUSPECT = "suspect"
    RESYNC = "resync"
    HALT = "halt"


class Aggressor(Enum):
    """The side that took liquidity."""

    BUY = "buy"
    SELL = "sell"


class DepthSnapshot(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """A whole book as the venue stated it at ``last_update_id`` (-1: the venue did not number it).

    ``in_stream``: it came among the diffs, so that the next of them follows it. ``seq`` and ``checksum`` as in
    `DepthUpdate`.
    """

    instrument_id: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    ts_event_ns: int
    ts_recv_ns: int
    seq: int = -1
    checksum: int = 0
    in_stream: bool = False


class DepthUpdate(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Changed levels of updates ``first_update_id``..``final_update_id``.

    ``prev_final_update_id`` is -1 where the venue has none. ``bids`` and ``asks`` are lists, or native `Levels` that
    equal them. ``seq`` is the venue's number across its channels (Bybit's cross sequence), -1 where it has none.
    ``checksum`` is the venue's own over the book that this makes, 0 where it states none.
    """

    instrument_id: str
    first_update_id: int
    final_update_id: int
    prev_final_update_id: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    ts_event_ns: int
    ts_recv_ns: int
    seq: int = -1
    checksum: int = 0


class BookTicker(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """The venue's own best bid and ask at ``update_id``."""

    instrument_id: str
    update_id: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    ts_event_ns: int
    ts_recv_ns: int


class Trade(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """One public execution."""

    instrument_id: str
    trade_id: int
    price_ticks: int
    qty_lots: int
    aggressor: Aggressor
    ts_event_ns: int
    ts_recv_ns: int


class MarkPrice(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mark and index price, the funding rate that is forming and when it settles (UTC ns)."""

    instrument_id: str
    mark_price: Decimal
    index_price: Decimal | None
    funding_rate: Decimal | None
    next_funding_ns: int | None
    ts_event_ns: int
    ts_recv_ns: int


class BookTop(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """What a book tells the desk: its best levels, proved or not.

    ``bids`` and ``asks`` hold at most 10 levels, best first.
    """

    instrument_id: str
    state: BookState
    update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    ts_event_ns: int
    ts_recv_ns: int
    synthetic: bool = False


class WireRejected(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Bytes that could not become an event: counted and recorded, never raised."""

    venue: str
    reason: str
    excerpt: str
    ts_recv_ns: int


MarketEvent = DepthSnapshot | DepthUpdate | BookTicker | Trade | MarkPrice | WireRejected
