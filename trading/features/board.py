"""Every feature of every instrument, fed one event at a time, and read through a hot cache.

The same events in the same order give the same figures, bit for bit, live and in replay: time is the events' own. Owns
which features there are and with what windows (`FeatureSpec`); what each means is said where it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from trading.features.carry import FundingBasis
from trading.features.comovement import MAX_NAMES, Comovement
from trading.features.depth import LiquidityMap, Microprice, OrderFlowImbalance, QueueImbalance
from trading.features.flow import KyleLambda, VolumeDelta, VolumeProfile, Vwap
from trading.features.impact import ImpactCurve, SweepCurve
from trading.features.indicators import Atr, Bollinger, Ema, Macd, Rsi, ZScore
from trading.features.positioning import AccountRatio, LiquidationFlow, OpenInterestChange
from trading.features.returns import RealisedMoments
from trading.features.windows import BadSampleError
from trading.instruments import Instrument
from trading.market.events import (
    BookState,
    BookTop,
    FundingRate,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    Trade,
)

FeatureEvent = BookTop | Trade | MarkPrice | FundingRate | OpenInterest | Liquidation | LongShortRatio
"""What features are made of; `LongShortRatio` counts where it names an instrument."""

FEATURE_EVENTS = frozenset({BookTop, Trade, MarkPrice, FundingRate, OpenInterest, Liquidation, LongShortRatio})
"""The same, for a look-up by type."""

Values = Mapping[str, float | None]
"""By name; None before the feature is warm, or where there is nothing to say."""

_SECOND_NS = 1_000_000_000


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Windows and periods. Indicators are of bars of the proved mid; ``bar_ns`` says how long one is.

    ``flow_ns`` is the window of flows, ``interest_ns`` that of open interest and liquidations. ``sizes_lots`` are those
    of the impact and sweep curves. ``cache_ns``: how old, in time of reception, figures read from the cache may be.
    """

    bar_ns: int = _SECOND_NS
    flow_ns: int = 60 * _SECOND_NS
    interest_ns: int = 900 * _SECOND_NS
    impact_ns: int = _SECOND_NS
    sample_ns: int = 10 * _SECOND_NS
    cache_ns: int = 100_000_000
    buckets: int = 60
    levels: int = 5
    ema: int = 20
    rsi: int = 14
    atr: int = 14
    window: int = 60
    samples: int = 120
    profile_bin_ticks: int = 10
    sizes_lots: tuple[int, ...] = (1, 10, 100, 1_000)
    bands_bps: tuple[float, ...] = (1.0, 5.0, 10.0)
    cluster_threshold: float = 0.7


class _Bar:
    """Highest, lowest and last mid of the bar that is open, in ticks."""

    __slots__ = ("close", "high", "low", "number")

    def __init__(self, number: int, mid: float) -> None:
        self.number = number
        self.high = self.low = self.close = mid


class InstrumentFeatures:
    """All features of one instrument. Prices in quote currency, quantities in lots but for what venues state in units.

    An update of the book is O(``levels``), one of a trade O(1), amortised; `values` is O(levels and bins held).
    """

    def __init__(self, instrument: Instrument, spec: FeatureSpec) -> None:
        self.instrument = instrument
        self._spec = spec
        self._tick = float(instrument.tick_size)
        self._queues = QueueImbalance(1), QueueImbalance(spec.levels)
        self._micro = Microprice()
        self._flow = OrderFlowImbalance(spec.flow_ns, 1, spec.buckets)
        self._delta = VolumeDelta(spec.flow_ns, spec.buckets)
        self._vwap = Vwap(spec.flow_ns, spec.buckets)
        self._kyle = KyleLambda(spec.impact_ns, spec.window)
        self._impact = ImpactCurve(spec.impact_ns, spec.sizes_lots)
        self._profile = VolumeProfile(spec.flow_ns, spec.profile_bin_ticks, spec.buckets)
        self._depth = LiquidityMap(spec.bands_bps)
        self._sweep = SweepCurve(spec.sizes_lots)
        self._ema, self._rsi, self._macd, self._atr = Ema(spec.ema), Rsi(spec.rsi), Macd(), Atr(spec.atr)
        self._bands, self._score = Bollinger(spec.window), ZScore(spec.window)
        self._realised = RealisedMoments(spec.window)
        self._carry = FundingBasis()
        self._interest = OpenInterestChange(spec.interest_ns, spec.buckets)
        self._liquidations = LiquidationFlow(spec.interest_ns, spec.buckets)
        self._accounts = AccountRatio()
        self._bar: _Bar | None = None
        self._top: BookTop | None = None

    def update(self, event: FeatureEvent) -> None:
        """Take one event of this instrument; `BadSampleError` when it states what is no figure."""
        match event:
            case BookTop():
                self._on_top(event)
            case Trade():
                self._on_trade(event)
            case MarkPrice() | FundingRate():
                self._carry.update(event)
            case OpenInterest():
                self._interest.update(event)
                self._liquidations.advance(event.ts_event_ns)
            case Liquidation():
                self._liquidations.update(event)
            case LongShortRatio():
                self._accounts.update(event)

    def _on_top(self, top: BookTop) -> None:
        if not top.ts_event_ns:
            # Spot snapshots carry no time of the venue; a window that began in 1970 would be warm at once.
            top = msgspec.structs.replace(top, ts_event_ns=top.ts_recv_ns)
        self._top = top
        for queue in self._queues:
            queue.update(top)
        self._micro.update(top)
        self._flow.update(top)
        if top.state is BookState.SYNCED and top.bids and top.asks:
            self._on_mid((top.bids[0][0] + top.asks[0][0]) / 2.0, top.ts_event_ns)

    def _on_mid(self, mid: float, ts_ns: int) -> None:
        number, bar = ts_ns // self._spec.bar_ns, self._bar
        if bar is None or number > bar.number:
            if bar is not None:
                self._close(bar)
            self._bar = _Bar(number, mid)
            return
        bar.high = max(bar.high, mid)
        bar.low = min(bar.low, mid)
        bar.close = mid

    def _close(self, bar: _Bar) -> None:
        """A bar is over. Those in which the book was not proved are left out."""
        close = bar.close
        self._atr.update(bar.high, bar.low, close)
        self._ema.update(close)
        self._rsi.update(close)
        self._macd.update(close)
        self._bands.update(close)
        self._score.update(close)
        self._realised.update(close)

    def _on_trade(self, trade: Trade) -> None:
        self._delta.update(trade)
        self._vwap.update(trade.price_ticks, trade.qty_lots, trade.ts_event_ns)
        self._kyle.update(trade)
        self._impact.update(trade)
        self._profile.update(trade)

    @property
    def mid(self) -> float | None:
        """The proved mid in quote currency."""
        top = self._top
        if top is None or top.state is not BookState.SYNCED or not top.bids or not top.asks:
            return None
        return (top.bids[0][0] + top.asks[0][0]) / 2.0 * self._tick

    def values(self) -> dict[str, float | None]:
        """Every feature by name, computed from what was told so far."""
        return {**self._book_values(), **self._trade_values(), **self._bar_values(), **self._venue_values()}

    def _price(self, ticks: float | None) -> float | None:
        return None if ticks is None else ticks * self._tick

    def _book_values(self) -> dict[str, float | None]:
        flow = self._flow.value
        found: dict[str, float | None] = {
            "mid": self.mid,
            "microprice": self._price(self._micro.value),
            "queue_imbalance": self._queues[0].value,
            "depth_imbalance": self._queues[1].value,
            "ofi_lots": None if flow is None else float(flow[0]),
        }
        top = self._top
        if top is not None:
            self._depth.update(top.state, top.bids, top.asks)
            self._sweep.update(top.state, top.bids, top.asks)
        for band in self._depth.value or ():
            found[f"bid_lots_{band.bps:g}bps"] = band.bid_lots
            found[f"ask_lots_{band.bps:g}bps"] = band.ask_lots
        for cost in self._sweep.value or ():
            found[f"buy_{cost.lots}_lots_bps"] = cost.buy_bps
            found[f"sell_{cost.lots}_lots_bps"] = cost.sell_bps
        return found

    def _trade_values(self) -> dict[str, float | None]:
        profile, delta = self._profile.value, self._delta.value
        found: dict[str, float | None] = {
            "cvd_lots": float(self._delta.cumulative),
            "volume_delta_lots": None if delta is None else float(delta),
            "vwap": self._price(self._vwap.value),
            "kyle_lambda": self._kyle.value,
            "profile_point": None if profile is None else self._price(profile.point_of_control),
            "profile_low": None if profile is None else self._price(profile.area_low),
            "profile_high": None if profile is None else self._price(profile.area_high),
        }
        for point in self._impact.value:
            found[f"impact_{point.lots}_lots_ticks"] = point.ticks
        return found

    def _bar_values(self) -> dict[str, float | None]:
        macd, bands = self._macd.value, self._bands.value
        return {
            "ema": self._price(self._ema.value),
            "rsi": self._rsi.value,
            "macd": None if macd is None else self._price(macd.line),
            "macd_signal": None if macd is None else self._price(macd.signal),
            "macd_histogram": None if macd is None else self._price(macd.histogram),
            "atr": self._price(self._atr.value),
            "bollinger_low": None if bands is None else self._price(bands.lower),
            "bollinger_high": None if bands is None else self._price(bands.upper),
            "bollinger_b": None if bands is None else bands.percent_b,
            "z_score": self._score.value,
            "volatility": self._realised.value,
            "skewness": self._realised.skewness,
            "kurtosis": self._realised.kurtosis,
        }

    def _venue_values(self) -> dict[str, float | None]:
        interest, change, taken = self._interest.qty, self._interest.value, self._liquidations.value
        return {
            "basis": self._carry.value,
            "funding_a_year": self._carry.funding_a_year,
            "open_interest": None if interest is None else float(interest),
            "open_interest_change": None if change is None else float(change),
            "liquidated_longs": None if taken is None else float(taken.long_qty),
            "liquidated_shorts": None if taken is None else float(taken.short_qty),
            "liquidation_imbalance": None if taken is None else taken.imbalance,
            "long_share": self._accounts.share_long,
        }


class _Kept(NamedTuple):
    """What was computed when the newest event was received at ``ts_ns``."""

    ts_ns: int
    values: dict[str, float | None]


class FeatureBoard:
    """The features of some instruments, what they have in common, and the cache that readers share.

    ``events``, ``refused`` (figures that are none), ``strange`` (of instruments that are not on the board), ``hits``
    and ``misses`` of the cache are exact counts.
    """

    def __init__(self, instruments: Mapping[str, Instrument], spec: FeatureSpec | None = None) -> None:
        self.spec = spec or FeatureSpec()
        self.events = self.refused = self.strange = self.hits = self.misses = 0
        self._features = {name: InstrumentFeatures(one, self.spec) for name, one in instruments.items()}
        names = list(instruments)[:MAX_NAMES]
        self._together = Comovement(names, self.spec.samples, self.spec.cluster_threshold)
        self._sample = -1
        self._now_ns = 0
        self._cache: dict[str, _Kept] = {}

    def update(self, event: FeatureEvent) -> None:
        """Take one event of any instrument. Never raises for what it states: that is counted as refused."""
        features = self._features.get(event.instrument_id)
        if features is None:
            self.strange += 1
            return
        self.events += 1
        if event.ts_recv_ns > self._now_ns:
            self._now_ns = event.ts_recv_ns
            if self._now_ns // self.spec.sample_ns > self._sample:
                self._take_sample()
        try:
            features.update(event)
        except BadSampleError:
            self.refused += 1

    def _take_sample(self) -> None:
        """Prices as they were before the event that begins a new interval."""
        self._sample = self._now_ns // self.spec.sample_ns
        mids = {name: mid for name, one in self._features.items() if (mid := one.mid) is not None}
        try:
            self._together.update(mids)
        except BadSampleError:
            self.refused += 1

    def read(self, instrument_id: str) -> Values | None:
        """The instrument's features, from the cache while they are fresh; None for one that is not on the board."""
        features = self._features.get(instrument_id)
        if features is None:
            return None
        kept = self._cache.get(instrument_id)
        if kept is not None and self._now_ns - kept.ts_ns <= self.spec.cache_ns:
            self.hits += 1
            return kept.values
        self.misses += 1
        kept = self._cache[instrument_id] = _Kept(self._now_ns, features.values())
        return kept.values

    @property
    def correlations(self) -> dict[tuple[str, str], float]:
        """Correlation of returns of each pair of instruments that was sampled often enough."""
        return self._together.value

    @property
    def clusters(self) -> tuple[tuple[str, ...], ...]:
        """Instruments that move together."""
        return self._together.clusters

    def snapshot(self) -> dict[str, object]:
        """Every figure as it is now, past the cache: two boards that were told the same have equal snapshots."""
        return {
            "instruments": {name: one.values() for name, one in self._features.items()},
            "correlations": {f"{one} {other}": value for (one, other), value in self.correlations.items()},
            "clusters": [list(names) for names in self.clusters],
            "events": self.events,
            "refused": self.refused,
        }
