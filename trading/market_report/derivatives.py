"""Derivatives as operators see them: prices, funding live and past, open interest, ratio; and liquidations.

Owns the bodies of DERIVATIVES and LIQUIDATIONS, kept event by event in bounded memory. Prices, rates and open interest
are decimal strings as the venue stated them; sums and shares are floats, because nothing of this is booked.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final

import msgspec

from trading.features.carry import FundingBasis
from trading.features.windows import BadSampleError, TimeWindow, not_negative, positive
from trading.instruments import Instrument
from trading.market.events import (
    FundingRate,
    IndexPrice,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Ticker,
)

FUNDINGS_KEPT: Final = 90
LIQUIDATIONS_KEPT: Final = 50
WINDOWS_S: Final = (60, 300, 3_600, 86_400)
_NS: Final = 1_000_000_000

DerivativeEvent = MarkPrice | FundingRate | OpenInterest | LongShortRatio | Ticker | IndexPrice


class SettledFunding(msgspec.Struct, frozen=True, kw_only=True):
    """A rate that was paid, a fraction of notional, and when (UTC ns)."""

    funding_ns: int
    rate: str


class DerivativesBody(msgspec.Struct, frozen=True, kw_only=True):
    """DERIVATIVES, key instrument_id.

    ``mark``, ``index`` and ``last`` are three prices that are never mixed. ``funding_rate`` is forming, for the
    settlement at ``next_funding_ns``, every ``interval_min``; ``funding_a_year`` and ``basis`` (mark / index - 1) are
    fractions; positive funding is paid by longs. ``open_interest`` is in the venue's quantity unit;
    ``long_short_ratio`` is accounts long per account short. None: the venue has not said. ``history`` are the newest 90
    settlements, oldest first.
    """

    instrument_id: str
    venue: str
    mark: str | None
    index: str | None
    last: str | None
    basis: float | None
    funding_rate: str | None
    funding_a_year: float | None
    next_funding_ns: int | None
    interval_min: int
    history: tuple[SettledFunding, ...]
    open_interest: str | None
    open_interest_usd: str | None
    long_short_ratio: str | None
    ts_ns: int
    synthetic: bool = False


class DerivativesReport:
    """Follows one instrument's derivatives data; a sample that is no number is counted and left out."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.refused = 0
        self._carry = FundingBasis()
        self._mark: Decimal | None = None
        self._index: Decimal | None = None
        self._last: Decimal | None = None
        self._rate: Decimal | None = None
        self._next_ns: int | None = None
        self._open: Decimal | None = None
        self._open_notional: Decimal | None = None
        self._ratio: Decimal | None = None
        self._settled: deque[SettledFunding] = deque(maxlen=FUNDINGS_KEPT)
        self._ts_ns = 0

    def take(self, event: DerivativeEvent) -> None:
        """Take one event of this instrument, or of its index."""
        try:
            self._take(event)
        except BadSampleError:
            self.refused += 1
            return
        self._ts_ns = max(self._ts_ns, event.ts_recv_ns)

    def _take(self, event: DerivativeEvent) -> None:
        match event:
            case MarkPrice():
                positive("mark price", float(event.mark_price))
                self._carry.update(event)
                self._mark = event.mark_price
                self._index = event.index_price if event.index_price is not None else self._index
                self._next(event.next_funding_ns)
                self._rate = event.funding_rate if event.funding_rate is not None else self._rate
            case FundingRate():
                self._carry.update(event)
                if event.settled_rate is not None and event.next_funding_ns is not None:
                    self.settle(2 * event.funding_ns - event.next_funding_ns, event.settled_rate)
                self._next(event.funding_ns)
                self._rate = event.funding_rate
            case OpenInterest():
                not_negative("open interest", float(event.qty))
                self._open, self._open_notional = event.qty, event.notional
            case LongShortRatio():
                not_negative("long/short ratio", float(event.ratio))
                self._ratio = event.ratio
            case Ticker():
                positive("last price", float(event.last_price))
                self._last = event.last_price
            case IndexPrice():
                positive("index price", float(event.index_price))
                self._index = event.index_price

    def settle(self, funding_ns: int, rate: Decimal) -> None:
        """A rate that the venue states as paid at ``funding_ns``, oldest first.

        What was inferred for the same settlement is replaced; what is older than the newest is left out.
        """
        if self._settled and funding_ns < self._settled[-1].funding_ns:
            return
        if self._settled and funding_ns == self._settled[-1].funding_ns:
            self._settled.pop()
        self._settled.append(SettledFunding(funding_ns=funding_ns, rate=f"{rate:f}"))

    def _next(self, funding_ns: int | None) -> None:
        """When the settlement moves on, what was forming is taken as paid, until the venue says what was."""
        if funding_ns is None:
            return
        before, paid_ns = self._next_ns, self._settled[-1].funding_ns if self._settled else 0
        if before is not None and paid_ns < before < funding_ns and self._rate is not None:
            self.settle(before, self._rate)
        self._next_ns = funding_ns

    def body(self, *, synthetic: bool = False) -> DerivativesBody:
        """The body of DERIVATIVES."""
        open_usd = self._open_notional
        if open_usd is None and self._open is not None and self._mark is not None:
            open_usd = self.instrument.notional(self._open, self._mark)
        return DerivativesBody(
            instrument_id=self.instrument.instrument_id,
            venue=self.instrument.venue,
            mark=_text(self._mark),
            index=_text(self._index),
            last=_text(self._last),
            basis=self._carry.value,
            funding_rate=_text(self._rate),
            funding_a_year=self._carry.funding_a_year,
            next_funding_ns=self._next_ns,
            interval_min=self._carry.interval_ns // (60 * _NS),
            history=tuple(self._settled),
            open_interest=_text(self._open),
            open_interest_usd=_text(open_usd),
            long_short_ratio=_text(self._ratio),
            ts_ns=self._ts_ns,
            synthetic=synthetic,
        )


class LiquidationBody(msgspec.Struct, frozen=True, kw_only=True):
    """One position that the venue took over: its side, the bankruptcy price, quantity, value in quote currency."""

    side: str
    price: str
    qty: str
    notional_usd: float
    ts_ns: int


class LiquidationSums(msgspec.Struct, frozen=True, kw_only=True):
    """What was liquidated within ``window_s`` seconds, by the side of the position; USD-like quote currency."""

    window_s: int
    longs: int
    shorts: int
    long_usd: float
    short_usd: float


class LiquidationsBody(msgspec.Struct, frozen=True, kw_only=True):
    """LIQUIDATIONS, key instrument_id: the newest 50, newest first, and sums over a minute, five, an hour, a day.

    Venues state some of these events, not all: sums are what was stated.
    """

    instrument_id: str
    venue: str
    newest: tuple[LiquidationBody, ...]
    windows: tuple[LiquidationSums, ...]
    total: int
    synthetic: bool = False


_Sums = tuple[int, int, float, float]


def _add(a: _Sums, b: _Sums) -> _Sums:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


class LiquidationsReport:
    """Follows one instrument's liquidations."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.total = 0
        self._newest: deque[LiquidationBody] = deque(maxlen=LIQUIDATIONS_KEPT)
        self._windows = {seconds: TimeWindow(_add, seconds * _NS, 60) for seconds in WINDOWS_S}

    def take(self, event: Liquidation) -> None:
        """Take one liquidation."""
        notional = float(self.instrument.notional(event.qty, event.price))
        is_long = event.side is PositionSide.LONG
        sums = (1, 0, notional, 0.0) if is_long else (0, 1, 0.0, notional)
        for window in self._windows.values():
            window.push(sums, event.ts_event_ns)
        self.total += 1
        self._newest.appendleft(
            LiquidationBody(
                side=event.side.value,
                price=f"{event.price:f}",
                qty=f"{event.qty:f}",
                notional_usd=round(notional, 2),
                ts_ns=event.ts_event_ns,
            )
        )

    def body(self, now_ns: int, *, synthetic: bool = False) -> LiquidationsBody:
        """The body of LIQUIDATIONS at ``now_ns`` (UTC): what is too old has left the sums."""
        sums = []
        for seconds, window in self._windows.items():
            window.advance(now_ns)
            longs, shorts, long_usd, short_usd = window.total or (0, 0, 0.0, 0.0)
            sums.append(
                LiquidationSums(
                    window_s=seconds,
                    longs=longs,
                    shorts=shorts,
                    long_usd=round(long_usd, 2),
                    short_usd=round(short_usd, 2),
                )
            )
        return LiquidationsBody(
            instrument_id=self.instrument.instrument_id,
            venue=self.instrument.venue,
            newest=tuple(self._newest),
            windows=tuple(sums),
            total=self.total,
            synthetic=synthetic,
        )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
