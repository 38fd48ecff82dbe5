"""What Binance's streams say of a market beside book and tape: liquidations and the day's figures. Pure.

`SymbolFacts` raises `WireFault` and what msgspec raises: its callers make `WireRejected` of that. Documents:
developers.binance.com, USD-M and COIN-M, "Liquidation Order Streams" and "Individual Symbol Ticker Streams", and
binance-spot-api-docs/web-socket-streams.md, "Individual Symbol Ticker Streams" (read 2026-11):

- A liquidation is an order: a SELL closes a long. Its price is ``ap``, the average at which it was filled, which is
  what the market paid; ``p``, its limit at about the bankruptcy price, where nothing was filled. Its quantity is the
  whole order's (``q``). Only the latest of each second is told.
- COIN-M counts in contracts, and states the day's turnover in the base currency.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from adapters.binance.grid import RejectReason, WireFault
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import Liquidation, PositionSide, Ticker

MAX_DIGITS = 24
MS = 1_000_000
FIRST_MS, END_MS = 10**12, 4 * 10**12
"""Milliseconds since 1970 between 2001 and 2096: who changes the unit is refused, not believed."""

Ms = Annotated[int, msgspec.Meta(ge=FIRST_MS, lt=END_MS)]
"""Such a time in a message."""


class _Order(msgspec.Struct, gc=False):
    s: str
    S: Literal["BUY", "SELL"]
    q: str
    p: str
    T: Ms
    ap: str = ""


class _Forced(msgspec.Struct, gc=False):
    e: Literal["forceOrder"]
    o: _Order


_DAY_SHORT = {
    "stamp": "E",
    "symbol": "s",
    "last": "c",
    "last_qty": "Q",
    "bid": "b",
    "bid_qty": "B",
    "ask": "a",
    "ask_qty": "A",
    "opened": "o",
    "high": "h",
    "low": "l",
    "volume": "v",
    "turnover": "q",
}


class _Day(msgspec.Struct, gc=False, rename=_DAY_SHORT):
    e: Literal["24hrTicker"]
    stamp: Ms
    symbol: str
    last: str
    last_qty: str = ""
    bid: str = ""
    bid_qty: str = ""
    ask: str = ""
    ask_qty: str = ""
    opened: str = ""
    high: str = ""
    low: str = ""
    volume: str = ""
    turnover: str = ""


_DAY_LONG = {
    "stamp": "closeTime",
    "last": "lastPrice",
    "last_qty": "lastQty",
    "bid": "bidPrice",
    "bid_qty": "bidQty",
    "ask": "askPrice",
    "ask_qty": "askQty",
    "opened": "openPrice",
    "high": "highPrice",
    "low": "lowPrice",
    "turnover": "quoteVolume",
}


class RestDay(msgspec.Struct, gc=False, rename=_DAY_LONG):
    """A row of ``ticker/24hr``: what the stream says, spelled out."""

    symbol: str
    stamp: Ms
    last: str
    last_qty: str = ""
    bid: str = ""
    bid_qty: str = ""
    ask: str = ""
    ask_qty: str = ""
    opened: str = ""
    high: str = ""
    low: str = ""
    volume: str = ""
    turnover: str = ""


class _ForcedFrame(msgspec.Struct, gc=False):
    data: _Forced


class _DayFrame(msgspec.Struct, gc=False):
    data: _Day


_forced_frame = msgspec.json.Decoder(_ForcedFrame).decode
_forced_bare = msgspec.json.Decoder(_Forced).decode
_day_frame = msgspec.json.Decoder(_DayFrame).decode
_day_bare = msgspec.json.Decoder(_Day).decode


class SymbolFacts:
    """What one symbol's streams say beside its book and its tape."""

    __slots__ = ("_instrument", "_symbol", "_turnover")

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._symbol = instrument.symbol
        self._turnover = instrument.kind is not InstrumentKind.INVERSE

    @property
    def has_liquidations(self) -> bool:
        """Whether there is a forceOrder stream: spot has none."""
        return self._instrument.kind is not InstrumentKind.SPOT

    def liquidation_frame(self, payload: bytes, ts_recv_ns: int) -> Liquidation:
        """``{"stream":"<symbol>@forceOrder","data":..}``."""
        return self._liquidation(_forced_frame(payload).data.o, ts_recv_ns)

    def liquidation_bare(self, payload: bytes, ts_recv_ns: int) -> Liquidation:
        """The same without a stream's name."""
        return self._liquidation(_forced_bare(payload).o, ts_recv_ns)

    def ticker_frame(self, payload: bytes, ts_recv_ns: int) -> Ticker:
        """``{"stream":"<symbol>@ticker","data":..}``."""
        return self.day(_day_frame(payload).data, ts_recv_ns)

    def ticker_bare(self, payload: bytes, ts_recv_ns: int) -> Ticker:
        """The same without a stream's name."""
        return self.day(_day_bare(payload), ts_recv_ns)

    def _liquidation(self, order: _Order, ts_recv_ns: int) -> Liquidation:
        if order.s != self._symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, order.s)
        qty = unsigned(order.q)
        if not qty:
            raise WireFault(RejectReason.BAD_NUMBER, "a liquidation of nothing")
        filled_at = unsigned(order.ap) if order.ap else Decimal(0)
        return Liquidation(
            instrument_id=self._instrument.instrument_id,
            side=PositionSide.LONG if order.S == "SELL" else PositionSide.SHORT,
            price=filled_at or price_of(order.p),
            qty=qty,
            ts_event_ns=order.T * MS,
            ts_recv_ns=ts_recv_ns,
        )

    def day(self, m: _Day | RestDay, ts_recv_ns: int) -> Ticker:
        """The last 24 hours, of the stream or of REST. Futures repeat no best prices here."""
        if m.symbol != self._symbol:
            raise WireFault(RejectReason.SYMBOL_MISMATCH, m.symbol)
        bid, ask = optional(m.bid) or None, optional(m.ask) or None
        return Ticker(
            instrument_id=self._instrument.instrument_id,
            last_price=price_of(m.last),
            last_qty=optional(m.last_qty),
            bid_price=bid,
            bid_qty=optional(m.bid_qty) if bid else None,
            ask_price=ask,
            ask_qty=optional(m.ask_qty) if ask else None,
            open_24h=optional(m.opened),
            high_24h=optional(m.high),
            low_24h=optional(m.low),
            volume_24h=optional(m.volume),
            turnover_24h=optional(m.turnover) if self._turnover else None,  # inverse: in the base currency
            ts_event_ns=m.stamp * MS,
            ts_recv_ns=ts_recv_ns,
        )


def liquidated_symbol(payload: bytes) -> str:
    """Whose liquidation a bare forceOrder is: the symbol stands within the order."""
    return _forced_bare(payload).o.s


def price_of(text: str) -> Decimal:
    """A plain decimal number above zero."""
    price = rate_of(text)
    if price <= 0:
        raise WireFault(RejectReason.ZERO_PRICE, f"price {text[:40]}")
    return price


def rate_of(text: str) -> Decimal:
    """A plain decimal number of either sign and of at most `MAX_DIGITS` digits."""
    plain = text.removeprefix("-").replace(".", "", 1)
    if not (plain.isdigit() and plain.isascii()) or len(plain) > MAX_DIGITS:
        raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]!r} is not a plain decimal number")
    return Decimal(text)


def unsigned(text: str) -> Decimal:
    """A plain decimal number of zero or more."""
    value = rate_of(text)
    if text.startswith("-"):
        raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]} is below zero")
    return value


def optional(text: str) -> Decimal | None:
    """A number of zero or more, None where the venue states none."""
    return unsigned(text) if text else None
