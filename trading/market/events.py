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


class Ticker(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Last price and the day's figures; best prices as the venue repeats them here, without an update id.

    ``last_price`` is not the mark nor the index. Quantities and ``volume_24h`` are in the venue's quantity unit;
    ``turnover_24h`` is in quote currency. None: the venue does not say.
    """

    instrument_id: str
    last_price: Decimal
    last_qty: Decimal | None = None
    bid_price: Decimal | None = None
    bid_qty: Decimal | None = None
    ask_price: Decimal | None = None
    ask_qty: Decimal | None = None
    open_24h: Decimal | None = None
    high_24h: Decimal | None = None
    low_24h: Decimal | None = None
    volume_24h: Decimal | None = None
    turnover_24h: Decimal | None = None
    ts_event_ns: int
    ts_recv_ns: int


class IndexPrice(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The price of an index that belongs to no one instrument; the id is ``VENUE:INDEX:BASE-QUOTE``."""

    instrument_id: str
    index_price: Decimal
    ts_event_ns: int
    ts_recv_ns: int


class FundingRate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The rate that settles at ``funding_ns``, and what is known of the settlement after it and the one before.

    Rates are fractions of notional, paid by longs when positive. ``next_funding_ns - funding_ns`` is the interval.
    """

    instrument_id: str
    funding_rate: Decimal
    funding_ns: int
    next_funding_rate: Decimal | None = None
    next_funding_ns: int | None = None
    settled_rate: Decimal | None = None
    min_rate: Decimal | None = None
    max_rate: Decimal | None = None
    ts_event_ns: int
    ts_recv_ns: int


class OpenInterest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Open positions: in the venue's quantity unit, and in base currency and quote currency where it says so."""

    instrument_id: str
    qty: Decimal
    base_qty: Decimal | None = None
    notional: Decimal | None = None
    ts_event_ns: int
    ts_recv_ns: int


class PositionSide(Enum):
    """Which way a position was held."""

    LONG = "long"
    SHORT = "short"


class Liquidation(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A position that the venue took over; ``side`` is the position's, not the order's that closes it.

    ``price`` need not lie on the grid: it is the bankruptcy price, or what the market paid where the venue states that.
    Venues state some of these events, not all.
    """

    instrument_id: str
    side: PositionSide
    price: Decimal
    qty: Decimal
    ts_event_ns: int
    ts_recv_ns: int


class LongShortRatio(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Accounts that are long for each account that is short; ``instrument_id`` may name a currency's family."""

    instrument_id: str
    ratio: Decimal
    ts_event_ns: int
    ts_recv_ns: int


class VenueNotice(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue speaks of itself: an upgrade, a maintenance window (UTC ns), a limit. ``code`` is its own word."""

    venue: str
    code: str
    text: str
    begin_ns: int | None = None
    end_ns: int | None = None
    ts_recv_ns: int


class InstrumentStatus(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue spoke of an instrument's rules: its own word for the state, and which version of the rules holds."""

    instrument_id: str
    symbol: str
    status: str
    tradable: bool
    rules_version: str
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

VenueEvent = (
    MarketEvent
    | Ticker
    | IndexPrice
    | FundingRate
    | OpenInterest
    | Liquidation
    | LongShortRatio
    | VenueNotice
    | InstrumentStatus
)
"""Everything that codecs make. One message of OKX or Bybit can be several events: their codecs answer with lists."""
