"""The shapes of OKX v5's public messages, and their decoders. Shapes only: what they mean is the codec's.

A push is ``{"arg":{..},"action":..,"data":[..]}``; a REST reply carries the same rows as ``{"code","msg","data"}``, so
that one decoder reads both. Every number is a text; "" says that there is none.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

import msgspec

R = TypeVar("R")
"""The row of a `Frame`."""

LEVELS_MAX = 20_000
"""Levels of a side that are believed."""

Level = tuple[str, str, str, str]
"""Price, size, "0" (was: liquidated orders), number of orders."""

_Seq = Annotated[int, msgspec.Meta(ge=-1, lt=1 << 62)]
_Signed32 = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]
_One = Annotated[list[Level], msgspec.Meta(max_length=1)]
# The full REST book has three texts a level: price, size, orders.
_RestRows = Annotated[
    list[Annotated[list[str], msgspec.Meta(min_length=2, max_length=4)]], msgspec.Meta(max_length=5_000)
]


class Arg(msgspec.Struct, gc=False, rename="camel"):
    """What a push belongs to."""

    channel: str = ""
    inst_id: str = ""


class Depth(msgspec.Struct, gc=False, rename="camel"):
    """A book or a diff, whose sides are still JSON: see `levels`. Recordings of 2022 have no seqId."""

    bids: msgspec.Raw
    asks: msgspec.Raw
    ts: str
    seq_id: _Seq = -1
    prev_seq_id: _Seq = -1
    checksum: _Signed32 = 0


class DepthFrame(msgspec.Struct, gc=False):
    """Channels books, books-l2-tbt, books50-l2-tbt."""

    action: Literal["snapshot", "update"]
    data: tuple[Depth]


class Best(msgspec.Struct, gc=False, rename="camel"):
    """One level a side at most. ``ts`` is when it was pushed."""

    bids: _One
    asks: _One
    ts: str
    seq_id: _Seq = -1


class BestFrame(msgspec.Struct, gc=False):
    """Channel bbo-tbt."""

    data: tuple[Best]


class RestBook(msgspec.Struct, gc=False, rename="camel"):
    """Reply of ``/api/v5/market/books``."""

    bids: _RestRows
    asks: _RestRows
    ts: str
    seq_id: _Seq = -1


class RestBookFrame(msgspec.Struct, gc=False):
    """The envelope of a REST book."""

    data: tuple[RestBook]


class Row(msgspec.Struct, gc=False, rename="camel"):
    """What every row has that belongs to an instrument."""

    inst_id: str


class TradeRow(Row, gc=False, rename="camel"):
    """Channels trades (one row for the fills of one taker order at one price) and trades-all (one for each)."""

    trade_id: str
    px: str
    sz: str
    side: Literal["buy", "sell"]
    ts: str


class TickerRow(Row, gc=False, rename="camel"):
    """Channel tickers; ``vol_ccy24h`` of spot is in quote currency, of contracts in base currency."""

    last: str
    last_sz: str
    ask_px: str
    ask_sz: str
    bid_px: str
    bid_sz: str
    ts: str
    inst_type: str = ""
    open24h: str = ""
    high24h: str = ""
    low24h: str = ""
    vol24h: str = ""
    vol_ccy24h: str = msgspec.field(default="", name="volCcy24h")


class MarkRow(Row, gc=False, rename="camel"):
    """Channel mark-price."""

    mark_px: str
    ts: str


class IndexRow(Row, gc=False, rename="camel"):
    """Channel index-tickers; ``inst_id`` is the index, as BTC-USDT."""

    idx_px: str
    ts: str


class FundingRow(Row, gc=False, rename="camel"):
    """Channel funding-rate and ``/api/v5/public/funding-rate``; ``funding_rate`` is missing before the first period."""

    funding_time: str
    funding_rate: str = ""
    next_funding_rate: str = ""
    next_funding_time: str = ""
    min_funding_rate: str = ""
    max_funding_rate: str = ""
    sett_funding_rate: str = ""
    sett_state: str = ""
    realized_rate: str = ""
    ts: str = ""


class InterestRow(Row, gc=False, rename="camel"):
    """Channel open-interest: contracts, base currency, USD (not stated before 2024)."""

    oi: str
    oi_ccy: str
    ts: str
    oi_usd: str = ""


class Taken(msgspec.Struct, gc=False, rename="camel"):
    """One liquidation: the closing order's side, the position's (net: see ``side``), bankruptcy price, contracts."""

    side: Literal["buy", "sell"]
    bk_px: str
    sz: str
    ts: str
    pos_side: Literal["long", "short", "net", ""] = ""


class TakenRow(Row, gc=False, rename="camel"):
    """Channel liquidation-orders, of a whole instrument type."""

    details: list[Taken]


class StatusRow(msgspec.Struct, gc=False, rename="camel"):
    """Channel status: a maintenance window."""

    state: str
    begin: str
    end: str
    title: str = ""


class Frame(msgspec.Struct, Generic[R], gc=False):
    """A push of rows, or a reply with them."""

    data: Annotated[list[R], msgspec.Meta(max_length=5_000)]
    arg: Arg = msgspec.field(default_factory=Arg)


class Pairs(msgspec.Struct, gc=False):
    """Replies of ``/api/v5/rubik``: time and value."""

    data: Annotated[list[tuple[str, str]], msgspec.Meta(max_length=5_000)]


class Probe(msgspec.Struct, gc=False):
    """Just enough of a message to say what it is; ``channel`` is that of channel-conn-count events."""

    event: str = ""
    code: str = ""
    msg: str = ""
    channel: str = ""
    id: str = ""
    arg: Arg = msgspec.field(default_factory=Arg)


depth_frame = msgspec.json.Decoder(DepthFrame).decode
levels = msgspec.json.Decoder(Annotated[list[Level], msgspec.Meta(max_length=LEVELS_MAX)]).decode
"""One side of a book that the native parser did not read."""
best_frame = msgspec.json.Decoder(BestFrame).decode
rest_book_frame = msgspec.json.Decoder(RestBookFrame).decode
trades = msgspec.json.Decoder(Frame[TradeRow]).decode
tickers = msgspec.json.Decoder(Frame[TickerRow]).decode
marks = msgspec.json.Decoder(Frame[MarkRow]).decode
indices = msgspec.json.Decoder(Frame[IndexRow]).decode
fundings = msgspec.json.Decoder(Frame[FundingRow]).decode
interests = msgspec.json.Decoder(Frame[InterestRow]).decode
taken = msgspec.json.Decoder(Frame[TakenRow]).decode
statuses = msgspec.json.Decoder(Frame[StatusRow]).decode
pairs = msgspec.json.Decoder(Pairs).decode
probe = msgspec.json.Decoder(Probe).decode
