"""Binance's REST replies about derivatives and the day, bytes to events. Pure, and no input makes it raise.

Does not ask (`adapters.streams.dialects.binance` does), reads no books (`codec`) and no filters (`exchange_info`).
Documents: developers.binance.com, USD-M and COIN-M, "Mark Price" (premiumIndex), "Open Interest", "Long/Short Ratio",
"Get Funding Rate History", "Get Funding Rate Info", "24hr Ticker Price Change Statistics"; binance-spot-api-docs/
rest-api.md (read 2026-11):

- ``lastFundingRate`` of premiumIndex is the rate that settles at ``nextFundingTime``. Dated futures have neither.
- fundingInfo names only the symbols whose interval or caps were adjusted: all others settle every 8 hours.
- COIN-M's open interest is in contracts, and its long/short ratios are of a pair, which its contracts share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Protocol, TypeVar

import msgspec

from adapters.binance.grid import RejectReason, WireFault
from adapters.binance.instruments import COINM
from adapters.binance.market_facts import (
    END_MS,
    FIRST_MS,
    MS,
    Ms,
    RestDay,
    SymbolFacts,
    price_of,
    rate_of,
    unsigned,
)
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import (
    FundingRate,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    VenueEvent,
    WireRejected,
)

MAX_PAYLOAD_BYTES = 4 << 20
EXCERPT_CHARS = 200
HOUR_NS = 3_600_000_000_000
USUAL_INTERVAL_NS = 8 * HOUR_NS
ROWS_MAX = 5_000

_UNSTATED_MS = 10**12
_FAULTS = (WireFault, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


class _Premium(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    mark_price: str
    time: Ms
    index_price: str = ""
    last_funding_rate: str = ""
    next_funding_time: int = 0


class _Interest(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    open_interest: str
    time: Ms = _UNSTATED_MS  # Replies of 2019 had none.


class _Ratio(msgspec.Struct, gc=False, rename="camel"):
    """USD-M names the symbol and COIN-M the pair; the time is a text on one and a number on the other."""

    long_short_ratio: str
    timestamp: int | str
    symbol: str = ""
    pair: str = ""


class _Settlement(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    funding_time: Ms
    funding_rate: str


class _Terms(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    funding_interval_hours: Annotated[int, msgspec.Meta(ge=1, le=24)] = 8
    adjusted_funding_rate_cap: str = ""
    adjusted_funding_rate_floor: str = ""


class _Refusal(msgspec.Struct, gc=False):
    code: int
    msg: str = ""


class FundingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How a perpetual's funding settles: every ``interval_ns``, the rate within floor and cap (None: not stated)."""

    interval_ns: int = USUAL_INTERVAL_NS
    min_rate: Decimal | None = None
    max_rate: Decimal | None = None


class _Named(Protocol):
    @property
    def symbol(self) -> str: ...


N = TypeVar("N", bound=_Named)
T = TypeVar("T")


def _rows_of(decode: Callable[[bytes], list[T] | T], payload: bytes) -> list[T]:
    """Rows of a reply that is one object for a symbol or a list, as the venue or the question has it."""
    found = decode(payload)
    rows = found if isinstance(found, list) else [found]
    if len(rows) > ROWS_MAX:
        raise WireFault(RejectReason.TOO_LARGE, f"{len(rows)} rows")
    return rows


_days = msgspec.json.Decoder(list[RestDay] | RestDay).decode
_premiums = msgspec.json.Decoder(list[_Premium] | _Premium).decode
_interests = msgspec.json.Decoder(list[_Interest] | _Interest).decode
_ratios = msgspec.json.Decoder(list[_Ratio] | _Ratio).decode
_settlements = msgspec.json.Decoder(list[_Settlement] | _Settlement).decode
_terms = msgspec.json.Decoder(list[_Terms] | _Terms).decode
_refusal = msgspec.json.Decoder(_Refusal).decode


class Replies:
    """The reader of one venue's REST replies, by the dialect's word for what was asked.

    Channels: premium_index (mark price, and the funding that is forming), open_interest, long_short_ratio,
    funding_rate (what was settled, oldest first), funding_info, ticker. Remembers the terms of funding that
    funding_info stated, for the rates that come after it; that channel alone makes no events.
    """

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        self.venue = venue
        self.terms: dict[str, FundingTerms] = {}
        """By instrument_id, once a funding_info was read."""
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self._by_id = {instrument.instrument_id: instrument for instrument in instruments}
        self._days = {instrument.symbol: SymbolFacts(instrument) for instrument in instruments}
        self._channels: dict[str, Callable[[bytes, Instrument | None, int], Iterable[VenueEvent]]] = {
            "premium_index": self._premium_index,
            "open_interest": self._open_interest,
            "long_short_ratio": self._long_short_ratio,
            "funding_rate": self._funding_rate,
            "funding_info": self._funding_info,
            "ticker": self._ticker,
        }

    def decode(self, channel: str, payload: bytes, instrument_id: str, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """The events of a reply, or one `WireRejected` that names the channel and why. Does not raise.

        ``instrument_id`` is what was asked for; "" is every instrument. Rows of other instruments are passed over, and
        a reply that says nothing of what was asked for is refused.
        """
        try:
            asked = self._by_id.get(instrument_id)
            if instrument_id and asked is None:
                raise WireFault(RejectReason.UNKNOWN_SYMBOL, instrument_id)
            read = self._channels.get(channel)
            if read is None:
                raise WireFault(RejectReason.UNKNOWN_EVENT, "no such channel")
            if len(payload) > MAX_PAYLOAD_BYTES:
                raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
            return list(read(payload, asked, ts_recv_ns))
        except _FAULTS as fault:
            return (rejected(self.venue, channel, as_refused(fault, payload), payload, ts_recv_ns),)

    def _premium_index(self, payload: bytes, asked: Instrument | None, ts_recv_ns: int) -> Iterator[VenueEvent]:
        for instrument, row in self._followed(_rows_of(_premiums, payload), asked):
            name, rate = instrument.instrument_id, row.last_funding_rate
            funding_ns = _time_ns(row.next_funding_time) if row.next_funding_time else None
            yield MarkPrice(
                instrument_id=name,
                mark_price=price_of(row.mark_price),
                index_price=price_of(row.index_price) if row.index_price else None,
                funding_rate=rate_of(rate) if rate else None,
                next_funding_ns=funding_ns,
                ts_event_ns=row.time * MS,
                ts_recv_ns=ts_recv_ns,
            )
            if rate and funding_ns is not None:
                terms = self.terms.get(name)
                yield FundingRate(
                    instrument_id=name,
                    funding_rate=rate_of(rate),
                    funding_ns=funding_ns,
                    next_funding_ns=funding_ns + terms.interval_ns if terms else None,
                    min_rate=terms.min_rate if terms else None,
                    max_rate=terms.max_rate if terms else None,
                    ts_event_ns=row.time * MS,
                    ts_recv_ns=ts_recv_ns,
                )

    def _open_interest(self, payload: bytes, asked: Instrument | None, ts_recv_ns: int) -> Iterator[VenueEvent]:
        for instrument, row in self._followed(_rows_of(_interests, payload), asked):
            qty = unsigned(row.open_interest)
            yield OpenInterest(
                instrument_id=instrument.instrument_id,
                qty=qty,
                base_qty=qty if instrument.kind is InstrumentKind.LINEAR else None,
                ts_event_ns=0 if row.time == _UNSTATED_MS else row.time * MS,
                ts_recv_ns=ts_recv_ns,
            )

    def _long_short_ratio(self, payload: bytes, asked: Instrument | None, ts_recv_ns: int) -> Iterable[VenueEvent]:
        found: list[LongShortRatio] = []
        chosen = (asked,) if asked else self._by_symbol.values()
        for row in _rows_of(_ratios, payload):
            for instrument in chosen:
                symbol = instrument.symbol
                if (symbol.partition("_")[0] != row.pair) if self.venue == COINM else (symbol != row.symbol):
                    continue
                found.append(
                    LongShortRatio(
                        instrument_id=instrument.instrument_id,
                        ratio=unsigned(row.long_short_ratio),
                        ts_event_ns=_time_ns(row.timestamp),
                        ts_recv_ns=ts_recv_ns,
                    )
                )
        if not found:
            raise _silent(asked)
        return sorted(found, key=lambda ratio: ratio.ts_event_ns)

    def _funding_rate(self, payload: bytes, asked: Instrument | None, ts_recv_ns: int) -> Iterable[VenueEvent]:
        found = [
            FundingRate(
                instrument_id=instrument.instrument_id,
                funding_rate=(rate := rate_of(row.funding_rate)),
                funding_ns=row.funding_time * MS,
                settled_rate=rate,
                ts_event_ns=row.funding_time * MS,
                ts_recv_ns=ts_recv_ns,
            )
            for instrument, row in self._followed(_rows_of(_settlements, payload), asked)
        ]
        return sorted(found, key=lambda rate: rate.funding_ns)

    def _funding_info(self, payload: bytes, asked: Instrument | None, ts_recv_ns: int) -> Iterable[VenueEvent]:
        """Believed whole or not at all: what is not named in it has the usual terms."""
        stated: dict[str, FundingTerms] = {}
        for row in _rows_of(_terms, payload):
            instrument = self._by_symbol.get(row.symbol)
            if instrument is not None:
                cap, floor = row.adjusted_funding_rate_cap, row.adjusted_funding_rate_floor
                stated[instrument.instrument_id] = FundingTerms(
                    interval_ns=row.funding_interval_hours * HOUR_NS,
                    min_rate=rate_of(floor) if floor else None,
                    max_rate=rate_of(cap) if cap else None,
                )
        self.terms = {name: stated.get(name, FundingTerms()) for name in self._by_id}
        return ()

    def _ticker(self, payload: bytes, asked: Instrument | None, ts_recv_ns: int) -> Iterator[VenueEvent]:
        for instrument, row in self._followed(_rows_of(_days, payload), asked):
            yield self._days[instrument.symbol].day(row, ts_recv_ns)

    def _followed(self, rows: Iterable[N], asked: Instrument | None) -> Iterator[tuple[Instrument, N]]:
        """The rows of what was asked for; `WireFault` when there is none."""
        silent = True
        for row in rows:
            instrument = self._by_symbol.get(row.symbol)
            if instrument is not None and (asked is None or asked is instrument):
                silent = False
                yield instrument, row
        if silent:
            raise _silent(asked)


def rejected(venue: str, channel: str, fault: Exception, payload: bytes, ts_recv_ns: int) -> WireRejected:
    """A reply that cannot be believed: the excerpt names the channel and what was wrong, in at most 200 characters."""
    reason = fault.reason if isinstance(fault, WireFault) else RejectReason.MALFORMED
    detail = fault.detail if isinstance(fault, WireFault) else str(fault)
    shown = bytes(payload[:EXCERPT_CHARS]).decode("utf-8", "replace")
    return WireRejected(
        venue=venue,
        reason=reason.value,
        excerpt=f"{channel[:40]}: {detail[:100]} | {shown}"[:EXCERPT_CHARS],
        ts_recv_ns=ts_recv_ns,
    )


def as_refused(fault: Exception, payload: bytes) -> Exception:
    """The venue's own refusal in place of the complaint that it is not what was asked for."""
    if isinstance(fault, WireFault):
        return fault
    try:
        refusal = _refusal(payload)
    except _FAULTS:
        return fault
    return WireFault(RejectReason.VENUE_ERROR, f"{refusal.code} {refusal.msg}")


def _silent(asked: Instrument | None) -> WireFault:
    return WireFault(RejectReason.UNKNOWN_SYMBOL, f"says nothing of {asked.symbol if asked else 'any instrument'}")


def _time_ns(stated: int | str) -> int:
    """UTC ns of milliseconds, a number or a text."""
    if isinstance(stated, str) and not (len(stated) == 13 and stated.isascii() and stated.isdigit()):
        raise WireFault(RejectReason.BAD_NUMBER, f"{stated[:40]!r} is not a time in milliseconds")
    stamp = int(stated)
    if not FIRST_MS <= stamp < END_MS:
        raise WireFault(RejectReason.BAD_NUMBER, f"{stamp} is not a time in milliseconds")
    return stamp * MS
