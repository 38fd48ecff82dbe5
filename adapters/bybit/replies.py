"""Bybit v5's REST replies about derivatives and the day, bytes to events. Pure, and no input makes it raise.

Does not ask (`adapters.streams.dialects.bybit` does) and reads no books, ratios (`codec`) and filters (`instruments`).
Documents: "Get Funding Rate History", "Get Open Interest" and "Get Tickers", bybit-exchange.github.io/docs/v5/market
(read 2026-11). Replies are newest first; open interest counts base currency on linear and contracts of 1 USD on
inverse; a row of tickers has the fields of the topic of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec

from adapters.binance.grid import RejectReason, WireFault
from adapters.bybit.codec import EXCERPT_CHARS, MAX_PAYLOAD_BYTES
from adapters.bybit.instruments import BYBIT
from adapters.bybit.tickers import MS, TickerFields, TickerState, decimal, time_ns
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import FundingRate, OpenInterest, VenueEvent, WireRejected

ROWS_MAX = 2_000

R = TypeVar("R")
"""The row of a `_Rows`."""

_Ms = Annotated[int, msgspec.Meta(ge=10**12, lt=4 * 10**12)]
_FAULTS = (WireFault, msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


class _Settlement(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    funding_rate: str
    funding_rate_timestamp: str


class _Interest(msgspec.Struct, gc=False, rename="camel"):
    open_interest: str
    timestamp: str


class _Rows(msgspec.Struct, Generic[R], gc=False):
    rows: Annotated[list[R], msgspec.Meta(max_length=ROWS_MAX)] = msgspec.field(name="list")
    symbol: str = ""


class _Reply(msgspec.Struct, Generic[R], gc=False):
    time: _Ms
    result: _Rows[R]


class _Head(msgspec.Struct, gc=False, rename="camel"):
    ret_code: int
    ret_msg: str = ""


_head = msgspec.json.Decoder(_Head).decode
_settlements = msgspec.json.Decoder(_Reply[_Settlement]).decode
_interests = msgspec.json.Decoder(_Reply[_Interest]).decode
_tickers = msgspec.json.Decoder(_Reply[TickerFields]).decode


class Replies:
    """The reader of one category's replies (a symbol may exist in two of them), by the desk's word for what was asked.

    Channels: funding_rate (what was settled) and open_interest, oldest first; ticker (all that tickers say).
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self._channels: dict[str, Callable[[bytes, int], Iterator[VenueEvent]]] = {
            "funding_rate": self._funding_rate,
            "open_interest": self._open_interest,
            "ticker": self._ticker,
        }

    def decode(self, channel: str, payload: bytes, ts_recv_ns: int) -> Sequence[VenueEvent]:
        """The events of a reply about the instruments that are followed, or one `WireRejected`. Does not raise."""
        try:
            read = self._channels.get(channel)
            if read is None:
                raise WireFault(RejectReason.UNKNOWN_EVENT, "no such channel")
            granted(payload)
            return list(read(payload, ts_recv_ns))
        except _FAULTS as fault:
            return (_rejected(fault, payload, ts_recv_ns),)

    def _funding_rate(self, payload: bytes, ts_recv_ns: int) -> Iterator[VenueEvent]:
        for row in reversed(_settlements(payload).result.rows):
            instrument = self._by_symbol.get(row.symbol)
            if instrument is None:
                continue
            rate, funding_ns = decimal(row.funding_rate), time_ns(row.funding_rate_timestamp, "fundingRateTimestamp")
            yield FundingRate(
                instrument_id=instrument.instrument_id,
                funding_rate=rate,
                funding_ns=funding_ns,
                settled_rate=rate,
                ts_event_ns=funding_ns,
                ts_recv_ns=ts_recv_ns,
            )

    def _open_interest(self, payload: bytes, ts_recv_ns: int) -> Iterator[VenueEvent]:
        result = _interests(payload).result
        instrument = self._by_symbol.get(result.symbol)
        if instrument is None:
            return
        inverse = instrument.kind is InstrumentKind.INVERSE
        for row in reversed(result.rows):
            qty = decimal(row.open_interest)
            if qty < 0:
                raise WireFault(RejectReason.BAD_NUMBER, f"openInterest {row.open_interest[:40]}")
            yield OpenInterest(
                instrument_id=instrument.instrument_id,
                qty=qty,
                base_qty=None if inverse else qty,
                notional=qty * instrument.multiplier if inverse else None,
                ts_event_ns=time_ns(row.timestamp, "timestamp"),
                ts_recv_ns=ts_recv_ns,
            )

    def _ticker(self, payload: bytes, ts_recv_ns: int) -> Iterator[VenueEvent]:
        reply = _tickers(payload)
        for row in reply.result.rows:
            instrument = self._by_symbol.get(row.symbol)
            if instrument is not None:
                yield from TickerState(instrument).take(row, True, 0, reply.time * MS, ts_recv_ns)


def granted(payload: bytes) -> None:
    """Raises `WireFault` with the venue's own words where it refused, and for what is too large to be a reply."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise WireFault(RejectReason.TOO_LARGE, f"{len(payload)} bytes")
    head = _head(payload)
    if head.ret_code:
        raise WireFault(RejectReason.VENUE_ERROR, f"{head.ret_code} {head.ret_msg}")


def _rejected(fault: Exception, payload: bytes, ts_recv_ns: int) -> WireRejected:
    reason = fault.reason if isinstance(fault, WireFault) else RejectReason.MALFORMED
    detail = fault.detail if isinstance(fault, WireFault) else str(fault)
    shown = bytes(payload[:EXCERPT_CHARS]).decode("utf-8", "replace")
    return WireRejected(
        venue=BYBIT, reason=reason.value, excerpt=f"{detail[:100]} | {shown}"[:EXCERPT_CHARS], ts_recv_ns=ts_recv_ns
    )
