"""Flow and depth as operators see them: order flow and queue imbalance, volume delta by timeframe, depth by distance.

Owns the bodies of FLOW and LIQUIDITY, kept event by event by `trading.features`. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from trading.features.depth import LiquidityMap, Microprice, OrderFlowImbalance, QueueImbalance
from trading.features.flow import VolumeDelta
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop, Level, Trade
from trading.universe.symbols import timeframe_s

TIMEFRAMES: Final = ("1m", "5m", "15m", "1h")
OFI_WINDOWS_S: Final = (10, 60)
BANDS_BPS: Final = (1.0, 5.0, 10.0, 25.0, 50.0)
_NS: Final = 1_000_000_000


class VolumeDeltaBody(msgspec.Struct, frozen=True, kw_only=True):
    """Bought less sold by takers over one timeframe, in the venue's quantity unit; None before a whole window."""

    timeframe: str
    qty: float | None


class FlowImbalanceBody(msgspec.Struct, frozen=True, kw_only=True):
    """Order flow imbalance of the best level over ``window_s``, in the venue's quantity unit; None while warming."""

    window_s: int
    qty: float | None


class FlowBody(msgspec.Struct, frozen=True, kw_only=True):
    """FLOW, key instrument_id.

    ``imbalance_1`` and ``imbalance_5`` are (bid - ask) / (bid + ask) of the best and the best five levels, -1 to 1.
    ``microprice`` is in quote currency. ``cvd`` is since the process began, ``delta`` by timeframe. None: the book is
    not proved.
    """

    instrument_id: str
    venue: str
    imbalance_1: float | None
    imbalance_5: float | None
    microprice: float | None
    ofi: tuple[FlowImbalanceBody, ...]
    delta: tuple[VolumeDeltaBody, ...]
    cvd: float
    trades: int
    ts_ns: int
    synthetic: bool = False


class FlowReport:
    """Follows one instrument's top of book and trades; an update is O(1)."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.trades = 0
        self._lot = float(instrument.lot_size)
        self._top: BookTop | None = None
        self._ofi = {seconds: OrderFlowImbalance(seconds * _NS) for seconds in OFI_WINDOWS_S}
        self._deltas = {name: VolumeDelta(timeframe_s(name) * _NS) for name in TIMEFRAMES}

    def take_top(self, top: BookTop) -> None:
        """The next state of the book."""
        for flow in self._ofi.values():
            flow.update(top)
        self._top = top

    def take_trade(self, trade: Trade) -> None:
        """The next trade."""
        for delta in self._deltas.values():
            delta.update(trade)
        self.trades += 1

    def body(self, now_ns: int, *, synthetic: bool = False) -> FlowBody:
        """The body of FLOW at ``now_ns``, by the venue's clock (UTC): windows go on without events."""
        for flow in self._ofi.values():
            flow.advance(now_ns)
        for delta in self._deltas.values():
            delta.advance(now_ns)
        best, five, microprice = QueueImbalance(1), QueueImbalance(5), Microprice()
        if self._top is not None:
            best.update(self._top)
            five.update(self._top)
            microprice.update(self._top)
        micro = microprice.value
        return FlowBody(
            instrument_id=self.instrument.instrument_id,
            venue=self.instrument.venue,
            imbalance_1=best.value,
            imbalance_5=five.value,
            microprice=None if micro is None else micro * float(self.instrument.tick_size),
            ofi=tuple(
                FlowImbalanceBody(window_s=seconds, qty=self._qty(flow.value[0] if flow.value else None))
                for seconds, flow in self._ofi.items()
            ),
            delta=tuple(
                VolumeDeltaBody(timeframe=name, qty=self._qty(delta.value)) for name, delta in self._deltas.items()
            ),
            cvd=self._qty(self._deltas[TIMEFRAMES[0]].cumulative) or 0.0,
            trades=self.trades,
            ts_ns=self._top.ts_recv_ns if self._top is not None else 0,
            synthetic=synthetic,
        )

    def _qty(self, lots: int | None) -> float | None:
        return None if lots is None else float(f"{lots * self._lot:.12g}")


class DepthBody(msgspec.Struct, frozen=True, kw_only=True):
    """Value within ``bps`` of the mid on each side, in quote currency; None where the known levels end before it."""

    bps: float
    bid_usd: float | None
    ask_usd: float | None


class LiquidityBody(msgspec.Struct, frozen=True, kw_only=True):
    """LIQUIDITY, key instrument_id: depth by distance from the mid, nearer bands included. Empty: no proved book."""

    instrument_id: str
    venue: str
    state: str
    mid: float | None
    spread_bps: float | None
    bands: tuple[DepthBody, ...]
    levels: int
    ts_ns: int
    synthetic: bool = False


def liquidity_body(
    instrument: Instrument,
    state: BookState,
    bids: Sequence[Level],
    asks: Sequence[Level],
    ts_ns: int,
    *,
    synthetic: bool = False,
) -> LiquidityBody:
    """The body of LIQUIDITY from a book's levels, best first; the more levels, the farther the bands reach.

    Lots are valued at the mid. O(levels): for a timer, not for every change.
    """
    bands = LiquidityMap(BANDS_BPS)
    bands.update(state, bids, asks)
    found: tuple[DepthBody, ...] = ()
    mid = spread_bps = None
    if bands.value is not None:
        mid_ticks = (bids[0][0] + asks[0][0]) / 2.0
        mid = mid_ticks * float(instrument.tick_size)
        spread_bps = round((asks[0][0] - bids[0][0]) / mid_ticks * 1e4, 4) if mid_ticks else None
        lot_usd = float(instrument.lot_size * instrument.multiplier)
        lot_usd *= 1.0 if instrument.kind is InstrumentKind.INVERSE else mid
        found = tuple(
            DepthBody(bps=band.bps, bid_usd=_usd(band.bid_lots, lot_usd), ask_usd=_usd(band.ask_lots, lot_usd))
            for band in bands.value
        )
    return LiquidityBody(
        instrument_id=instrument.instrument_id,
        venue=instrument.venue,
        state=state.value,
        mid=mid,
        spread_bps=spread_bps,
        bands=found,
        levels=len(bids) + len(asks),
        ts_ns=ts_ns,
        synthetic=synthetic,
    )


def _usd(lots: int | None, lot_usd: float) -> float | None:
    return None if lots is None else round(lots * lot_usd, 2)
