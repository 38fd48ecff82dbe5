"""What ccxt says, written as bytes of our own, so that it can be recorded, replayed and decoded like a venue's.

Owns this format and nothing that follows from it (`codec` makes events of it). A frame is one JSON object whose
``ccxt`` names what it is and of which symbol (the venue's): ``orderbook.BTC_USDT`` a whole book of the live stream,
``shadow.BTC_USDT`` a book by REST to compare it with, ``trades.``, ``ticker.``. Numbers are text: ccxt makes floats of
the venue's decimals, and their shortest spelling is the venue's number again.

Structures read: "Order Book Structure", "Public Trades", "Ticker Structure", "Market Structure", docs.ccxt.com
(2026-11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from adapters.universe_listings import ccxt_listing
from trading.universe.listing import VenueListing

BOOK: Final = "orderbook"
SHADOW: Final = "shadow"
TRADES: Final = "trades"
TICKER: Final = "ticker"

_TRADE = ("id", "timestamp", "side", "price", "amount")
_TICKER = ("timestamp", "last", "bid", "bidVolume", "ask", "askVolume", "open", "high", "low", "baseVolume",
           "quoteVolume")  # fmt: skip
_MARKET = ("id", "symbol", "base", "quote", "settle", "type", "spot", "option", "contract", "contractSize", "expiry",
           "active", "maker", "taker", "precision", "limits")  # fmt: skip
_encode = msgspec.json.Encoder().encode


class BookFrame(msgspec.Struct, frozen=True, gc=False):
    """A whole book, best first; ``number`` is the venue's, -1 where ccxt gives none; ``timestamp`` ms UTC."""

    ccxt: str
    number: int
    timestamp: int | None
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class RowsFrame(msgspec.Struct, frozen=True, gc=False):
    """Trades oldest first, or the one ticker."""

    ccxt: str
    rows: list[dict[str, str | int | None]]


class _Listing(msgspec.Struct, frozen=True):
    markets: list[dict[str, Any]]


_listing = msgspec.json.Decoder(_Listing).decode


def book_frame(kind: str, symbol: str, book: Mapping[str, Any], levels: int) -> bytes:
    """An order book, its best ``levels`` a side; ``kind`` is `BOOK` or `SHADOW`."""
    number = book.get("nonce")
    return _encode(
        BookFrame(
            f"{kind}.{symbol}",
            number if isinstance(number, int) else -1,
            book.get("timestamp"),
            [(plain(row[0]), plain(row[1])) for row in book["bids"][:levels]],
            [(plain(row[0]), plain(row[1])) for row in book["asks"][:levels]],
        )
    )


def trades_frame(symbol: str, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Public trades."""
    return _encode(RowsFrame(f"{TRADES}.{symbol}", [{key: _told(row.get(key)) for key in _TRADE} for row in rows]))


def ticker_frame(symbol: str, row: Mapping[str, Any]) -> bytes:
    """A ticker."""
    return _encode(RowsFrame(f"{TICKER}.{symbol}", [{key: _told(row.get(key)) for key in _TICKER}]))


def listing_reply(markets: Iterable[Mapping[str, Any]]) -> bytes:
    """Market structures as the payload of a polled ``instruments``."""
    return _encode({"markets": [{key: _deep(market.get(key)) for key in _MARKET} for market in markets]})


def read_listing(venue: str, payload: bytes, ts_ns: int) -> VenueListing | None:
    """The listing of `listing_reply`; None for other bytes."""
    try:
        markets: Sequence[Mapping[str, Any]] = _listing(payload).markets
    except (msgspec.MsgspecError, RecursionError):
        return None
    return ccxt_listing(venue, markets, ts_ns)


def plain(number: object) -> str:
    """A number of ccxt's in digits; anything else as it spells itself, which no codec takes for a number."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return str(number)
    text = repr(number)
    return f"{Decimal(text):f}" if "e" in text else text


def _told(value: object) -> str | int | None:
    return value if value is None or isinstance(value, int) else plain(value)


def _deep(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _deep(inner) for key, inner in value.items()}
    return plain(value) if isinstance(value, float) else value
