"""What is particular to each venue, behind one protocol; nothing here opens a connection."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.binance import instruments as binance_instruments
from adapters.bybit.instruments import BYBIT
from adapters.okx.instruments import OKX
from adapters.streams.dialects.base import Dialect, Endpoints
from adapters.streams.dialects.binance import BinanceDialect
from adapters.streams.dialects.bybit import BOOK_DEPTH, BybitDialect
from adapters.streams.dialects.okx import OkxDialect
from trading.instruments import Instrument

VENUES = (*binance_instruments.VENUES, OKX, BYBIT)


def dialect_of(venue: str, instruments: Sequence[Instrument], endpoints: Endpoints | None, depth: str = "") -> Dialect:
    """The dialect of a native venue; ``ValueError`` for any other."""
    if venue in binance_instruments.VENUES:
        return BinanceDialect(venue, instruments, endpoints, depth=depth or "depth@100ms")
    if venue == OKX:
        return OkxDialect(instruments, endpoints, channel=depth or "books")
    if venue == BYBIT:
        return BybitDialect(instruments, endpoints, book_depth=int(depth or BOOK_DEPTH))
    raise ValueError(f"no native streams for {venue!r}; there are {', '.join(VENUES)}")
