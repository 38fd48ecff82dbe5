"""What Bybit's ``tickers`` topic has said of one instrument so far: deltas name only what changed.

"Ticker", bybit-exchange.github.io/docs/v5/websocket/public/ticker (read 2026-11): a field that is not in a message has
not changed; spot sends snapshots only. An empty text says that there is no such value (a dated future has no funding
rate). ``openInterest`` is in base currency on linear and in contracts on inverse, ``openInterestValue`` in quote
currency on linear and in base currency on inverse; ``fundingCap`` bounds the rate on both sides.
"""

from __future__ import annotations

from collections.abc import KeysView, Sequence
from decimal import Decimal

import msgspec

from adapters.binance.grid import RejectReason, WireFault
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import FundingRate, IndexPrice, MarkPrice, OpenInterest, Ticker, VenueEvent

MS = 1_000_000
HOUR_NS = 3_600_000_000_000
MAX_DIGITS = 24
INTERVAL_HOURS_MAX = 168


class TickerFields(msgspec.Struct, gc=False, rename="camel", omit_defaults=True):
    """One message's fields; None: not named, so unchanged."""

    symbol: str
    last_price: str | None = None
    mark_price: str | None = None
    index_price: str | None = None
    usd_index_price: str | None = None
    funding_rate: str | None = None
    next_funding_time: str | None = None
    funding_interval_hour: str | None = None
    funding_cap: str | None = None
    open_interest: str | None = None
    open_interest_value: str | None = None
    bid1_price: str | None = msgspec.field(default=None, name="bid1Price")
    bid1_size: str | None = msgspec.field(default=None, name="bid1Size")
    ask1_price: str | None = msgspec.field(default=None, name="ask1Price")
    ask1_size: str | None = msgspec.field(default=None, name="ask1Size")
    prev_price24h: str | None = msgspec.field(default=None, name="prevPrice24h")
    high_price24h: str | None = msgspec.field(default=None, name="highPrice24h")
    low_price24h: str | None = msgspec.field(default=None, name="lowPrice24h")
    volume24h: str | None = msgspec.field(default=None, name="volume24h")
    turnover24h: str | None = msgspec.field(default=None, name="turnover24h")


_FIELDS = tuple(name for name in TickerFields.__struct_fields__ if name != "symbol")
_MARK = {"mark_price", "index_price", "funding_rate", "next_funding_time"}
_FUNDING = {"funding_rate", "next_funding_time", "funding_interval_hour", "funding_cap"}
_INTEREST = {"open_interest", "open_interest_value"}
_TICKER = set(_FIELDS) - _MARK - _FUNDING - _INTEREST - {"usd_index_price"}


class TickerState:
    """The fields of one instrument, and the events that a message makes of them."""

    __slots__ = ("_cs", "_instrument", "_known")

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._known: dict[str, str] | None = None
        self._cs = -1

    def forget(self) -> None:
        """Wait for a snapshot."""
        self._known = None
        self._cs = -1

    def take(
        self, fields: TickerFields, snapshot: bool, cs: int, ts_event_ns: int, ts_recv_ns: int
    ) -> Sequence[VenueEvent]:
        """The events of one message: of the kinds of which it names a field, with all that is known.

        Raises:
            WireFault: a number cannot be believed, or a delta comes before any snapshot. Nothing was changed then.
        """
        named = {name: text for name in _FIELDS if (text := getattr(fields, name)) is not None}
        if snapshot:
            merged = named
        elif self._known is None:
            raise WireFault(RejectReason.BAD_SEQUENCE, "ticker delta before a snapshot")
        elif cs < self._cs:
            return ()
        else:
            merged = {**self._known, **named}
        events = self._events(named.keys(), merged, ts_event_ns, ts_recv_ns)
        self._known, self._cs = merged, cs
        return events

    def _events(
        self, named: KeysView[str], known: dict[str, str], ts_event_ns: int, ts_recv_ns: int
    ) -> list[VenueEvent]:
        name, inverse = self._instrument.instrument_id, self._instrument.kind is InstrumentKind.INVERSE
        mark, index = price(known, "mark_price"), price(known, "index_price")
        rate, funding_ns = number(known, "funding_rate"), _time(known, "next_funding_time")
        events: list[VenueEvent] = []
        if mark is not None and named & _MARK:
            events.append(
                MarkPrice(
                    instrument_id=name,
                    mark_price=mark,
                    index_price=index,
                    funding_rate=rate,
                    next_funding_ns=funding_ns,
                    ts_event_ns=ts_event_ns,
                    ts_recv_ns=ts_recv_ns,
                )
            )
        if rate is not None and funding_ns is not None and named & _FUNDING:
            hours, cap = number(known, "funding_interval_hour"), number(known, "funding_cap")
            if hours is not None and not 0 <= hours <= INTERVAL_HOURS_MAX:
                raise WireFault(RejectReason.BAD_NUMBER, f"a funding interval of {hours} h")
            events.append(
                FundingRate(
                    instrument_id=name,
                    funding_rate=rate,
                    funding_ns=funding_ns,
                    next_funding_ns=None if not hours else funding_ns + int(hours * HOUR_NS),
                    min_rate=None if cap is None else -cap,
                    max_rate=cap,
                    ts_event_ns=ts_event_ns,
                    ts_recv_ns=ts_recv_ns,
                )
            )
        interest, value = unsigned(known, "open_interest"), unsigned(known, "open_interest_value")
        if interest is not None and named & _INTEREST:
            events.append(
                OpenInterest(
                    instrument_id=name,
                    qty=interest,
                    base_qty=value if inverse else interest,
                    notional=interest * self._instrument.multiplier if inverse else value,
                    ts_event_ns=ts_event_ns,
                    ts_recv_ns=ts_recv_ns,
                )
            )
        usd_index = price(known, "usd_index_price")
        if usd_index is not None and "usd_index_price" in named:
            events.append(
                IndexPrice(
                    instrument_id=f"BYBIT:INDEX:{self._instrument.base}-USD",
                    index_price=usd_index,
                    ts_event_ns=ts_event_ns,
                    ts_recv_ns=ts_recv_ns,
                )
            )
        last = price(known, "last_price")
        if last is not None and named & _TICKER:
            events.append(self._ticker(last, known, ts_event_ns, ts_recv_ns))
        return events

    def _ticker(self, last: Decimal, known: dict[str, str], ts_event_ns: int, ts_recv_ns: int) -> Ticker:
        inverse = self._instrument.kind is InstrumentKind.INVERSE
        bid, ask = unsigned(known, "bid1_price"), unsigned(known, "ask1_price")
        return Ticker(
            instrument_id=self._instrument.instrument_id,
            last_price=last,
            bid_price=bid or None,
            bid_qty=unsigned(known, "bid1_size") if bid else None,
            ask_price=ask or None,
            ask_qty=unsigned(known, "ask1_size") if ask else None,
            open_24h=unsigned(known, "prev_price24h"),
            high_24h=unsigned(known, "high_price24h"),
            low_24h=unsigned(known, "low_price24h"),
            volume_24h=unsigned(known, "volume24h"),
            turnover_24h=None if inverse else unsigned(known, "turnover24h"),  # inverse: in base currency
            ts_event_ns=ts_event_ns,
            ts_recv_ns=ts_recv_ns,
        )


def number(known: dict[str, str], name: str) -> Decimal | None:
    """A plain decimal number; None when it was never stated, or stated as empty."""
    text = known.get(name)
    return decimal(text) if text else None


def unsigned(known: dict[str, str], name: str) -> Decimal | None:
    """A number of zero or more."""
    found = number(known, name)
    if found is not None and found < 0:
        raise WireFault(RejectReason.BAD_NUMBER, f"{name} {known[name][:40]}")
    return found


def price(known: dict[str, str], name: str) -> Decimal | None:
    """A number above zero: a price of zero is the mark of a delisting, not a price."""
    found = number(known, name)
    if found is not None and found <= 0:
        raise WireFault(RejectReason.ZERO_PRICE, f"{name} {known[name][:40]}")
    return found


def decimal(text: str) -> Decimal:
    """A plain decimal number, with or without a sign, of at most `MAX_DIGITS` digits."""
    plain = text.removeprefix("-").replace(".", "", 1)
    if not (plain.isdigit() and plain.isascii()) or len(plain) > MAX_DIGITS:
        raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]!r} is not a plain decimal number")
    return Decimal(text)


def _time(known: dict[str, str], name: str) -> int | None:
    """UTC ns of a text of milliseconds; None for empty and for 0."""
    text = known.get(name)
    return None if not text or text == "0" else time_ns(text, name)


def time_ns(text: str, name: str) -> int:
    """Milliseconds between 2001 and 2096 as ns: a stream that changes its unit is refused, not believed."""
    if not (text.isascii() and text.isdigit() and len(text) == 13 and "1" <= text[0] < "4"):
        raise WireFault(RejectReason.BAD_NUMBER, f"{name} {text[:40]!r}")
    return int(text) * MS
