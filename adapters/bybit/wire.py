"""Bybit v5's public messages as msgspec structs: only what the desk reads, with the bounds that it believes.

Documents: see `adapters.bybit.codec`. Fields keep the venue's names.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from adapters.bybit.tickers import TickerFields

UNSTATED_MS = 10**12
"""A time that no message states: what ``cts`` is where there is none."""

LEVELS_MAX = 2_000
"""Levels of a side; the deepest stream has 1000."""

# Milliseconds since 1970 between 2001 and 2096: a stream that changes its unit is refused, not believed.
# In ns it is below 2**62, as every number of a book is.
_Ms = Annotated[int, msgspec.Meta(ge=10**12, lt=4 * 10**12)]
_Id = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Pairs = Annotated[list[tuple[str, str]], msgspec.Meta(max_length=LEVELS_MAX)]


class Depth(msgspec.Struct, gc=False):
    """A book, or its changes: ``u`` numbers the messages of one depth, ``seq`` is common to all depths."""

    s: str
    b: _Pairs
    a: _Pairs
    u: _Id
    seq: _Id = 0


class DepthFrame(msgspec.Struct, gc=False):
    """``orderbook.{depth}.{symbol}``; ``ts`` is the sender's time, ``cts`` the matching engine's."""

    type: Literal["snapshot", "delta"]
    ts: _Ms
    data: Depth
    cts: _Ms = UNSTATED_MS


class RawDepth(msgspec.Struct, gc=False):
    """`Depth` whose sides are still JSON: see `levels`."""

    s: str
    b: msgspec.Raw
    a: msgspec.Raw
    u: _Id
    seq: _Id = 0


class RawDepthFrame(msgspec.Struct, gc=False):
    """`DepthFrame` with such sides."""

    type: Literal["snapshot", "delta"]
    ts: _Ms
    data: RawDepth
    cts: _Ms = UNSTATED_MS


class Trade(msgspec.Struct, gc=False):
    """One execution: ``S`` is the taker's side, ``BT`` a block trade."""

    T: _Ms
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str
    i: str
    BT: bool = False


class TradeFrame(msgspec.Struct, gc=False):
    """``publicTrade.{symbol}``: at most 1024 trades a message."""

    data: Annotated[list[Trade], msgspec.Meta(max_length=4_096)]


class TickerFrame(msgspec.Struct, gc=False):
    """``tickers.{symbol}``; ``cs`` is the cross sequence."""

    type: Literal["snapshot", "delta"]
    ts: _Ms
    data: TickerFields
    cs: _Id = 0


class Liquidation(msgspec.Struct, gc=False):
    """``allLiquidation``: ``S`` Buy is a long position that was liquidated; ``p`` is the bankruptcy price."""

    T: _Ms
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str


class LiquidationFrame(msgspec.Struct, gc=False):
    """``allLiquidation.{symbol}``, every 500 ms."""

    data: Annotated[list[Liquidation], msgspec.Meta(max_length=4_096)]


class OldLiquidation(msgspec.Struct, gc=False, rename="camel"):
    """``liquidation`` until 2025: the same facts, one at a time, at most one a second."""

    updated_time: _Ms
    symbol: str
    side: Literal["Buy", "Sell"]
    size: str
    price: str


class OldLiquidationFrame(msgspec.Struct, gc=False):
    """``liquidation.{symbol}``."""

    data: OldLiquidation


class RestBook(msgspec.Struct, gc=False):
    """The book in a reply of ``/v5/market/orderbook``."""

    s: str
    b: _Pairs
    a: _Pairs
    u: _Id
    ts: _Ms
    seq: _Id = 0
    cts: _Ms = UNSTATED_MS


class BookReply(msgspec.Struct, gc=False):
    """The reply of ``/v5/market/orderbook``."""

    retCode: int  # noqa: N815 - the venue's name
    result: RestBook | None = None
    retMsg: str = ""  # noqa: N815


class Ratio(msgspec.Struct, gc=False, rename="camel"):
    """The share of holders that were net long and net short at a time (text of ms)."""

    symbol: str
    buy_ratio: str
    sell_ratio: str
    timestamp: str


class RatioList(msgspec.Struct, gc=False):
    """Ratios, newest first."""

    ratios: Annotated[list[Ratio], msgspec.Meta(max_length=1_000)] = msgspec.field(name="list")


class RatioReply(msgspec.Struct, gc=False):
    """The reply of ``/v5/market/account-ratio``."""

    retCode: int  # noqa: N815 - the venue's name
    result: RatioList | None = None
    retMsg: str = ""  # noqa: N815


class Probe(msgspec.Struct, gc=False):
    """Just enough of an unexpected message to say what it is."""

    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    ret_code: int = msgspec.field(default=0, name="retCode")
    ret_text: str = msgspec.field(default="", name="retMsg")


raw_depth_frame = msgspec.json.Decoder(RawDepthFrame).decode
levels = msgspec.json.Decoder(_Pairs).decode
"""One side of a book that the native parser did not read."""

depth_frame = msgspec.json.Decoder(DepthFrame).decode
trade_frame = msgspec.json.Decoder(TradeFrame).decode
ticker_frame = msgspec.json.Decoder(TickerFrame).decode
liquidation_frame = msgspec.json.Decoder(LiquidationFrame).decode
old_liquidation_frame = msgspec.json.Decoder(OldLiquidationFrame).decode
book_reply = msgspec.json.Decoder(BookReply).decode
ratio_reply = msgspec.json.Decoder(RatioReply).decode
probe = msgspec.json.Decoder(Probe).decode
