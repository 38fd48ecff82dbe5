"""The markets of the matrix: which venue a rig speaks to, what it trades there, and what its topics are called.

A venue is itself one market, by its own name; further ones are categories whose protocol differs from the venue's
first: other endpoints, depths, paces, channels or sizes. Owns no fault and no desk.
"""

from __future__ import annotations

import dataclasses

import msgspec

from adapters.synthetic.params import MARKETS as SYNTHETIC
from trading.instruments import Instrument


class Market(msgspec.Struct, frozen=True):
    """A venue by the desk's name, the instrument that faults are about, and one beside it where there is one."""

    venue: str
    instrument: str
    beside: str = ""


MARKETS = {
    "binance": Market("binance", "BINANCE:SPOT:BTC-USDT"),
    "binanceusdm": Market("binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCEUSDM:PERP:ETH-USDT:LINEAR"),
    "binancecoinm": Market("binancecoinm", "BINANCECOINM:PERP:BTC-USD:INVERSE", "BINANCECOINM:PERP:ETH-USD:INVERSE"),
    "okx": Market("okx", "OKX:PERP:BTC-USDT:LINEAR", "OKX:PERP:ETH-USDT:LINEAR"),
    "bybit": Market("bybit", "BYBIT:PERP:BTC-USDT:LINEAR", "BYBIT:PERP:ETH-USDT:LINEAR"),
    "okx-spot": Market("okx", "OKX:SPOT:BTC-USDT"),
    "bybit-spot": Market("bybit", "BYBIT:SPOT:BTC-USDT"),
    "bybit-inverse": Market("bybit", "BYBIT:PERP:BTC-USD:INVERSE"),
}
"""By the name under which ``--venue`` chooses them."""
VENUES = ("binance", "binanceusdm", "binancecoinm", "okx", "bybit")
"""One market a venue: where a case is tried that says nothing else."""
CATEGORIES = tuple(name for name in MARKETS if name not in VENUES)
"""The further ones: where a case is tried whose course depends on the category."""
EVERYWHERE = (*VENUES, *CATEGORIES)

REST_BOOKS = ("binance", "binanceusdm", "binancecoinm")
"""Markets whose snapshots come by REST."""
STREAM_BOOKS = ("okx", "bybit", *CATEGORIES)


def generate(first: Instrument, beside: Instrument) -> None:
    """Let the market generator, which was calibrated on BTC only, speak for a second instrument of a venue too.

    It is BTC's market again, price and all, under another name and with a course of its own: what is asked of it is
    only that it has books, trades and marks.
    """
    like = SYNTHETIC[first.instrument_id]
    SYNTHETIC.setdefault(
        beside.instrument_id,
        dataclasses.replace(
            like,
            instrument_id=beside.instrument_id,
            symbol=beside.symbol,
            pair=like.pair.replace(first.base, beside.base),
            lot_decimals=max(0, -int(beside.lot_size.normalize().as_tuple().exponent)),
        ),
    )


_OKX_KINDS = {"book": "books:{}", "trades": "trades:{}", "marks": "mark-price:{}"}
_BYBIT_KINDS = {"book": "*orderbook.50.{}", "trades": "*publicTrade.{}", "marks": "*tickers.{}"}
_BINANCE_KINDS = {"book": "{}@depth*", "trades": "{}@trade", "marks": "{}@markPrice*"}
_KINDS = {"okx": _OKX_KINDS, "bybit": _BYBIT_KINDS}
_WITHOUT_MARKS = ("binance", "okx-spot", "bybit-spot")


def topics(market: str, kind: str, symbol: str = "*") -> tuple[str, ...]:
    """Globs over the server's topics of a kind (book, trades, marks), of one symbol or of all."""
    kinds = _KINDS.get(MARKETS[market].venue, _BINANCE_KINDS)
    return (kinds[kind].format(symbol.lower() if kinds is _BINANCE_KINDS else symbol),)


BOOK = {name: topics(name, "book") for name in MARKETS}
"""The topic that each market's books are made of."""
TRADES = {name: topics(name, "trades") for name in MARKETS}
MARKS = {name: topics(name, "marks") for name in VENUES if name not in _WITHOUT_MARKS}
