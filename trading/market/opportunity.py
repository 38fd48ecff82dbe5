"""How good a market is for us just now: opportunities per second, spread, depth and how toxic its flow is.

Owns the figures and the event when there is nothing to trade on; does not own what an opportunity is to a strategy,
nor what is done about it. Prices in ticks, quantities in lots; times are ours unless said otherwise.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

from trading.features.windows import TimeWindow, add
from trading.market.events import Aggressor, BookState, BookTop, Trade

_S = 1_000_000_000


class OpportunityLimits(msgspec.Struct, frozen=True, kw_only=True):
    """An opportunity is a proved book no wider than ``spread_bps_max`` with ``depth_lots_min`` on both sides' best.

    Each begins when that becomes so, or when the touch moves while it is so. After ``drought_s`` without one the market
    is dry. Flow is judged over the last ``buckets`` volumes of ``bucket_lots`` each; None: what ``bucket_trades``
    prints of the size of the first 200 hold. It is toxic from ``toxic_vpin`` on, for ``toxic_s`` at least, until it is
    below ``calm_vpin``. The window of the rest is ``window_s``.

    The defaults are from recorded prints of BTC at Binance (2023-04-05, 2024-08-08): a market order is many prints of
    one side, so that in buckets of 10 prints VPIN stands at 0.9, in buckets of 100 at 0.56 on the quiet day and at 0.77
    on the wild one, with 0.9 as its highest.
    """

    spread_bps_max: float = 10.0
    depth_lots_min: int = 1
    drought_s: int = 60
    window_s: int = 60
    bucket_lots: int | None = None
    bucket_trades: int = 100
    buckets: int = 50
    toxic_vpin: float = 0.9
    calm_vpin: float = 0.8
    toxic_s: int = 60


class OpportunityCode(Enum):
    """What is told, a closed set: each begins and ends."""

    DRY = "opportunities_dry"
    TOXIC = "flow_toxic"


class OpportunityChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A market became (``begins``) or ceased to be dry or toxic."""

    code: OpportunityCode
    instrument_id: str
    begins: bool
    cause: str
    ts_ns: int


class OpportunityQuality(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The figures at one moment; None where not enough was seen.

    ``spread_bps`` and ``depth_lots`` (of the thinner side's best) are means over the tops of the window; ``vpin`` is
    between 0 and 1.
    """

    instrument_id: str
    opps_per_sec: float
    spread_bps: float | None
    depth_lots: float | None
    vpin: float | None
    is_dry: bool
    is_toxic: bool
    ts_ns: int


class Vpin:
    """Volume-synchronised probability of informed trading: mean imbalance of the last ``buckets`` equal volumes.

    Easley, Lopez de Prado, O'Hara: Review of Financial Studies 25(5), 2012; the sides are the venue's own aggressors
    instead of bulk classification. A trade that does not fit into a bucket is split.
    """

    __slots__ = ("_bought", "_bucket_lots", "_filled", "_imbalances", "_sum")

    def __init__(self, bucket_lots: int, buckets: int) -> None:
        if bucket_lots < 1 or buckets < 1:
            raise ValueError(f"VPIN needs buckets of a lot at least, not {buckets} of {bucket_lots}")
        self._bucket_lots = bucket_lots
        self._imbalances: deque[int] = deque(maxlen=buckets)
        self._sum = 0
        self._filled = 0
        self._bought = 0

    def update(self, trade: Trade) -> None:
        """Take one trade; one larger than all buckets together costs no more than filling them."""
        size, left = self._bucket_lots, trade.qty_lots
        buys = trade.aggressor is Aggressor.BUY
        capacity = self._imbalances.maxlen or 1
        if left > size * (capacity + 1):
            # It fills every bucket by itself; how often is no matter.
            left = size * (capacity + 1) + (left - size * (capacity + 1)) % size
        while left > 0:
            taken = min(left, size - self._filled)
            left -= taken
            self._filled += taken
            if buys:
                self._bought += taken
            if self._filled == size:
                self._close()

    def _close(self) -> None:
        imbalance = abs(2 * self._bought - self._bucket_lots)
        imbalances = self._imbalances
        if len(imbalances) == imbalances.maxlen:
            self._sum -= imbalances[0]
        imbalances.append(imbalance)
        self._sum += imbalance
        self._filled = self._bought = 0

    @property
    def value(self) -> float | None:
        """The mean imbalance as a fraction of volume; None before all buckets were filled."""
        count = len(self._imbalances)
        return self._sum / (count * self._bucket_lots) if count == self._imbalances.maxlen else None


Sums = tuple[int, float, int]
"""(tops, sum of spreads in bps, sum of lots)."""
_SIZED_BY = 200


class Opportunity:
    """The telemetry of one instrument."""

    __slots__ = ("_begun_ns", "_dry", "_first", "_is_open", "_last_ns", "_opportunities", "_tops", "_touch", "_toxic",
                 "_toxic_ns", "instrument_id", "limits", "opportunities", "vpin")  # fmt: skip

    def __init__(self, instrument_id: str, limits: OpportunityLimits | None = None) -> None:
        self.instrument_id = instrument_id
        self.limits = limits or OpportunityLimits()
        self.opportunities = 0
        """How many there were since the beginning."""
        lots = self.limits.bucket_lots
        self.vpin = None if lots is None else Vpin(lots, self.limits.buckets)
        """None until the first prints told how large a bucket is."""
        self._first: list[Trade] = []
        window_ns = self.limits.window_s * _S
        self._opportunities: TimeWindow[int] = TimeWindow(add, window_ns, 60)
        self._tops: TimeWindow[Sums] = TimeWindow(_merge_sums, window_ns, 60)
        self._touch: tuple[int, int] | None = None
        self._is_open = False
        self._begun_ns = 0
        self._last_ns = 0
        self._dry = False
        self._toxic = False
        self._toxic_ns = 0

    def on_top(self, top: BookTop, now_ns: int) -> list[OpportunityChanged]:
        """A new top of book, proved or not."""
        self._begun_ns = self._begun_ns or now_ns
        bids, asks = top.bids, top.asks
        if top.state is not BookState.SYNCED or not bids or not asks or not 0 < bids[0][0] < asks[0][0]:
            self._is_open = False
            return self.on_time(now_ns)
        bid, ask = bids[0][0], asks[0][0]
        spread = (ask - bid) / (ask + bid) * 20_000
        depth = min(bids[0][1], asks[0][1])
        self._tops.push((1, spread, depth), now_ns)
        limits = self.limits
        good = spread <= limits.spread_bps_max and depth >= limits.depth_lots_min
        if good and (not self._is_open or (bid, ask) != self._touch):
            self.opportunities += 1
            self._opportunities.push(1, now_ns)
            self._last_ns = now_ns
        self._is_open = good
        self._touch = (bid, ask)
        return self.on_time(now_ns)

    def on_trade(self, trade: Trade, now_ns: int) -> list[OpportunityChanged]:
        """A print: what it says of the flow."""
        vpin = self.vpin
        if vpin is None:
            self._first.append(trade)
            if len(self._first) < _SIZED_BY:
                return []
            vpin = self.vpin = self._sized()
        else:
            vpin.update(trade)
        return self._on_flow(vpin.value, now_ns)

    def _sized(self) -> Vpin:
        """VPIN in buckets of the size of the first prints, which it is told."""
        lots = sum(trade.qty_lots for trade in self._first) * self.limits.bucket_trades // len(self._first)
        vpin = Vpin(max(1, lots), self.limits.buckets)
        for trade in self._first:
            vpin.update(trade)
        self._first.clear()
        return vpin

    def _on_flow(self, vpin: float | None, now_ns: int) -> list[OpportunityChanged]:
        if vpin is None:
            return []
        limits = self.limits
        if self._toxic:
            if vpin >= limits.calm_vpin or now_ns - self._toxic_ns < limits.toxic_s * _S:
                return []
            cause = f"VPIN {vpin:.2f}, calm below {limits.calm_vpin:g}"
        else:
            if vpin < limits.toxic_vpin:
                return []
            self._toxic_ns = now_ns
            cause = f"VPIN {vpin:.2f}, toxic from {limits.toxic_vpin:g}"
        self._toxic = not self._toxic
        return [self._changed(OpportunityCode.TOXIC, self._toxic, cause, now_ns)]

    def on_time(self, now_ns: int) -> list[OpportunityChanged]:
        """Whether the market is dry; to be called every now and then. A market that never had a book is dry too."""
        self._begun_ns = self._begun_ns or now_ns
        since = self._last_ns or self._begun_ns
        dry = now_ns - since >= self.limits.drought_s * _S
        if dry is self._dry:
            return []
        self._dry = dry
        cause = f"no opportunity for {(now_ns - since) // _S} s" if dry else "an opportunity again"
        return [self._changed(OpportunityCode.DRY, dry, cause, now_ns)]

    def quality(self, now_ns: int) -> OpportunityQuality:
        """The figures as they are."""
        self._opportunities.advance(now_ns)
        self._tops.advance(now_ns)
        tops = self._tops.total
        seen_s = min(self.limits.window_s, (now_ns - self._begun_ns) / _S) if self._begun_ns else 0.0
        count = self._opportunities.total or 0
        return OpportunityQuality(
            instrument_id=self.instrument_id,
            opps_per_sec=count / seen_s if seen_s >= 1.0 else float(count),
            spread_bps=None if tops is None else tops[1] / tops[0],
            depth_lots=None if tops is None else tops[2] / tops[0],
            vpin=None if self.vpin is None else self.vpin.value,
            is_dry=self._dry,
            is_toxic=self._toxic,
            ts_ns=now_ns,
        )

    def _changed(self, code: OpportunityCode, begins: bool, cause: str, now_ns: int) -> OpportunityChanged:
        return OpportunityChanged(code=code, instrument_id=self.instrument_id, begins=begins, cause=cause, ts_ns=now_ns)


def _merge_sums(a: Sums, b: Sums) -> Sums:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
