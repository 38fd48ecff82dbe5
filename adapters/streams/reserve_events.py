"""What ccxt says of a market, as the desk's own events on the instrument's grid; and the proof of a book through it.

Pure, and imports no ccxt: it reads ccxt's unified structures (docs.ccxt.com, "Order Book Structure", "Public Trades",
"Ticker Structure", "Market Structure", read 2026-11). ccxt makes floats of the venue's decimals; their shortest
spelling is the venue's number again, and one that is off the grid is refused, never rounded.

ccxt keeps a book by the venue's numbers, but what it does at a hole differs from venue to venue: its book is shown and
not traded on. It is proved for a while where a book fetched by REST is equal to it at the same number (`ShadowProof`).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import msgspec

from adapters.streams.topics import MS_NS
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import Aggressor, DepthSnapshot, Level, MarkPrice, Ticker, Trade, WireRejected

_FAULTS = (ValueError, TypeError, KeyError, IndexError, ArithmeticError, InvalidOperation, AttributeError)
_KINDS = {"spot": "SPOT", "swap": "PERP"}


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Instruments out of ccxt's markets, by ccxt's symbol; ``refused`` says why a market's rules could not be read."""

    instruments: Mapping[str, Instrument]
    refused: Mapping[str, str]


def instruments_of(venue: str, markets: Mapping[str, Mapping[str, Any]]) -> Listing:
    """Spot markets and perpetuals. A missing filter refuses the market, for a missing minimum is not zero."""
    found: dict[str, Instrument] = {}
    refused: dict[str, str] = {}
    for symbol, market in markets.items():
        try:
            if market["type"] in _KINDS:
                found[symbol] = _instrument(venue, market)
        except _FAULTS as fault:
            refused[symbol] = f"{type(fault).__name__}: {fault}"[:200]
    return Listing(instruments=found, refused=refused)


def _instrument(venue: str, market: Mapping[str, Any]) -> Instrument:
    swap = market["type"] == "swap"
    kind = InstrumentKind.SPOT
    if swap:
        kind = InstrumentKind.LINEAR if market["linear"] else InstrumentKind.INVERSE
    limits, precision = market["limits"], market["precision"]
    base, quote = str(market["base"]), str(market["quote"])
    lot = _positive(precision["amount"], "amount precision")
    cost = limits["cost"]["min"]
    suffix = f":{kind.value.upper()}" if swap else ""
    return Instrument(
        instrument_id=f"{venue.upper()}:{_KINDS[market['type']]}:{base}-{quote}{suffix}",
        venue=venue,
        symbol=str(market["id"]),
        kind=kind,
        base=base,
        quote=quote,
        settle=str(market["settle"] or quote),
        tick_size=_positive(precision["price"], "price precision"),
        lot_size=lot,
        min_qty=max(lot, _positive(limits["amount"]["min"] or lot, "minimum amount")),
        max_qty=_positive(limits["amount"]["max"], "maximum amount") if limits["amount"]["max"] else Decimal(10**12),
        # Contracts have no minimum of notional where ccxt states none; spot without one is refused.
        min_notional=Decimal(0) if swap and cost is None else _positive(cost, "minimum cost"),
        multiplier=_positive(market["contractSize"], "contract size") if swap else Decimal(1),
        maker_fee=decimal_of(market["maker"]),
        taker_fee=decimal_of(market["taker"]),
        rules_version=hashlib.sha256(repr((precision, limits)).encode()).hexdigest()[:12],
    )


def ccxt_symbol(instrument: Instrument) -> str:
    """What ccxt calls a spot market or a perpetual."""
    name = f"{instrument.base}/{instrument.quote}"
    return name if instrument.kind is InstrumentKind.SPOT else f"{name}:{instrument.settle}"


def decimal_of(value: object) -> Decimal:
    """A number of ccxt's; ``ValueError`` for anything that is none, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"{value!r} is not a number")  # noqa: TRY004 - the venue's value is wrong, not our type
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not finite")
    return number


def _positive(value: object, what: str) -> Decimal:
    number = decimal_of(value)
    if number <= 0:
        raise ValueError(f"{what} is {value!r}")
    return number


def _stated_ns(value: object) -> int:
    return int(value) * MS_NS if isinstance(value, int | float) and 10**12 <= value < 10**13 else 0


def rejected(venue: str, reason: str, what: object, ts_recv_ns: int) -> WireRejected:
    """Something that could not become an event."""
    return WireRejected(venue=venue, reason=reason, excerpt=str(what)[:200], ts_recv_ns=ts_recv_ns)


def depth_of(
    book: Mapping[str, Any], instrument: Instrument, ts_recv_ns: int, levels: int = 50
) -> DepthSnapshot | WireRejected:
    """The best ``levels`` of a side; ``last_update_id`` is ccxt's nonce, -1 without one."""
    try:
        bids = _levels(book["bids"], instrument, levels)
        asks = _levels(book["asks"], instrument, levels)
        if bids and asks and bids[0][0] >= asks[0][0]:
            raise ValueError(f"crossed: {bids[0][0]} >= {asks[0][0]}")
        nonce = book.get("nonce")
        return DepthSnapshot(
            instrument_id=instrument.instrument_id,
            last_update_id=nonce if isinstance(nonce, int) else -1,
            bids=bids,
            asks=asks,
            ts_event_ns=_stated_ns(book.get("timestamp")),
            ts_recv_ns=ts_recv_ns,
        )
    except _FAULTS as fault:
        return rejected(instrument.venue, "malformed", f"{instrument.symbol} book: {fault}", ts_recv_ns)


def _levels(rows: Sequence[Sequence[object]], instrument: Instrument, most: int) -> list[Level]:
    found = [
        (instrument.ticks(_positive(row[0], "a price")), instrument.lots(decimal_of(row[1]))) for row in rows[:most]
    ]
    return [level for level in found if level[1] > 0]


def trades_of(rows: Sequence[Mapping[str, Any]], instrument: Instrument, ts_recv_ns: int) -> list[Trade | WireRejected]:
    """Public trades, oldest first, as ccxt gives them."""
    events: list[Trade | WireRejected] = []
    for row in rows:
        try:
            lots = instrument.lots(_positive(row["amount"], "an amount"))
            events.append(
                Trade(
                    instrument_id=instrument.instrument_id,
                    trade_id=_trade_id(row["id"]),
                    price_ticks=instrument.ticks(_positive(row["price"], "a price")),
                    qty_lots=lots,
                    aggressor={"buy": Aggressor.BUY, "sell": Aggressor.SELL}[row["side"]],
                    ts_event_ns=_stated_ns(row["timestamp"]),
                    ts_recv_ns=ts_recv_ns,
                )
            )
        except _FAULTS as fault:
            events.append(rejected(instrument.venue, "malformed", f"{instrument.symbol} trade: {fault}", ts_recv_ns))
    return events


def _trade_id(name: object) -> int:
    """A number as it is; any other name as 56 bits of its hash."""
    text = str(name)
    if not text or name is None:
        raise ValueError("a trade without an id")
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())


def ticker_of(row: Mapping[str, Any], instrument: Instrument, ts_recv_ns: int) -> Ticker | WireRejected:
    """Last price and the day's figures."""

    def number(name: str) -> Decimal | None:
        value = row.get(name)
        return None if value is None else decimal_of(value)

    try:
        return Ticker(
            instrument_id=instrument.instrument_id,
            last_price=_positive(row["last"], "the last price"),
            bid_price=number("bid"),
            bid_qty=number("bidVolume"),
            ask_price=number("ask"),
            ask_qty=number("askVolume"),
            open_24h=number("open"),
            high_24h=number("high"),
            low_24h=number("low"),
            volume_24h=number("baseVolume"),
            turnover_24h=number("quoteVolume"),
            ts_event_ns=_stated_ns(row.get("timestamp")),
            ts_recv_ns=ts_recv_ns,
        )
    except _FAULTS as fault:
        return rejected(instrument.venue, "malformed", f"{instrument.symbol} ticker: {fault}", ts_recv_ns)


def mark_of(row: Mapping[str, Any], instrument: Instrument, ts_recv_ns: int) -> MarkPrice | WireRejected:
    """A funding rate structure: mark and index price, the rate that is forming and when it settles."""
    try:
        index, rate = row.get("indexPrice"), row.get("fundingRate")
        return MarkPrice(
            instrument_id=instrument.instrument_id,
            mark_price=_positive(row["markPrice"], "the mark price"),
            index_price=None if index is None else _positive(index, "the index price"),
            funding_rate=None if rate is None else decimal_of(rate),
            next_funding_ns=_stated_ns(row.get("fundingTimestamp")) or None,
            ts_event_ns=_stated_ns(row.get("timestamp")),
            ts_recv_ns=ts_recv_ns,
        )
    except _FAULTS as fault:
        return rejected(instrument.venue, "malformed", f"{instrument.symbol} mark: {fault}", ts_recv_ns)


class Proof(Enum):
    """What is known of a book of ccxt's."""

    UNPROVED = "unproved"
    PROVED = "proved"
    DIFFERENT = "different"


class ShadowProof:
    """Compares a live book with REST books at points where both have the same number.

    PROVED lasts for ``valid_ns`` after the last equal point. A REST book with a number that the live book has yet to
    reach waits for it; one that the live book jumps over compares with nothing.
    """

    def __init__(self, valid_ns: int, *, kept: int = 512, levels: int = 20) -> None:
        self.levels = levels
        self.compared = self.equal = self.different = self.missed = 0
        self.different_in_a_row = 0
        self.reason = "no REST book was compared yet"
        self._valid_ns = valid_ns
        self._kept = kept
        self._points: OrderedDict[int, tuple[tuple[Level, ...], tuple[Level, ...]]] = OrderedDict()
        self._waiting: DepthSnapshot | None = None
        self._equal_ns = 0
        self._differs = False

    def on_live(self, book: DepthSnapshot, now_ns: int) -> None:
        """The live book at its number."""
        number = book.last_update_id
        if number < 0:
            self.reason = "the stream's books have no number"
            return
        self._points[number] = self._sides(book)
        self._points.move_to_end(number)
        while len(self._points) > self._kept:
            self._points.popitem(last=False)
        waiting = self._waiting
        if waiting is not None and number >= waiting.last_update_id:
            self._waiting = None
            self._compare(waiting, now_ns)

    def on_rest(self, book: DepthSnapshot, now_ns: int) -> None:
        """A REST book."""
        if book.last_update_id < 0:
            self.missed += 1
            self.reason = "the REST book has no number"
            return
        newest = next(reversed(self._points), -1)
        if book.last_update_id > newest:
            self._waiting = book
            return
        self._compare(book, now_ns)

    def on_reset(self) -> None:
        """The stream began anew: nothing said before counts."""
        self._points.clear()
        self._waiting = None
        self._equal_ns = 0
        self._differs = False
        self.different_in_a_row = 0
        self.reason = "the stream began anew"

    def state(self, now_ns: int) -> Proof:
        """What may be said of the live book at this moment."""
        if self._differs:
            return Proof.DIFFERENT
        return Proof.PROVED if self._equal_ns and now_ns - self._equal_ns <= self._valid_ns else Proof.UNPROVED

    def _sides(self, book: DepthSnapshot) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        return tuple(book.bids[: self.levels]), tuple(book.asks[: self.levels])

    def _compare(self, rest: DepthSnapshot, now_ns: int) -> None:
        live = self._points.get(rest.last_update_id)
        if live is None:
            self.missed += 1
            self.reason = f"the stream has no book numbered {rest.last_update_id}"
            return
        self.compared += 1
        bids, asks = self._sides(rest)
        if all(a[: min(len(a), len(b))] == b[: min(len(a), len(b))] for a, b in ((live[0], bids), (live[1], asks))):
            self.equal += 1
            self.different_in_a_row = 0
            self._equal_ns, self._differs = now_ns, False
            self.reason = f"equal to REST at {rest.last_update_id}"
        else:
            self.different += 1
            self.different_in_a_row += 1
            self._equal_ns, self._differs = 0, True
            self.reason = f"differs from REST at {rest.last_update_id}"
