"""Gates on the use of market data: what must not be traded on, and how much safer the desk should become.

Owns the conditions and their calm-down; does not own brakes, their release or who is told. A gate speaks only when
its answer changes. Thresholds are those of the guardrail table (P-RSK-9) and of P-MD-3, P-MD-7, P-MD-8.
"""

from __future__ import annotations

from enum import Enum
from math import isfinite

import msgspec

from trading.market.events import BookTop
from trading.market.watches import StreamWatch, TouchWatch

MS = 1_000_000
_GAPS_KEPT = 200
_GAPS_MIN = 20
_SKEW_BUCKET_MS = 1000
_SKEW_BUCKETS = 15


class GateCode(Enum):
    """Every gate, a closed set."""

    # Members are looked up for every top of book: the hash of their identity costs no call.
    __hash__ = object.__hash__

    BOOK_STALE = "book_stale"
    STREAM_STALE = "stream_stale"
    WS_GAP = "ws_gap"
    BOOK_CROSSED = "book_crossed"
    FLIP_FLOP = "flip_flop"
    CLOCK_SKEW = "clock_skew"
    CLOCK_SKEW_NOTICE = "clock_skew_notice"
    CLOCK_STEP = "clock_step"
    ANCHOR_DIVERGENCE = "anchor_divergence"
    ZERO_PRICE = "zero_price"
    FUNDING_FORECAST = "funding_forecast"
    BASIS = "basis"


class GateScope(Enum):
    """What a gate is about."""

    SYMBOL = "symbol"
    VENUE = "venue"


class GateLevel(Enum):
    """How safe the desk should become; NOTICE only tells, the others are levels of brakes of the same name."""

    NOTICE = "notice"
    SAFE = "safe"
    PAUSE = "pause"
    HOLD = "hold"


class GateRule(msgspec.Struct, frozen=True):
    """What a gate suggests. It clears after ``calm_ms`` without its condition, so that it does not flutter."""

    scope: GateScope
    level: GateLevel
    calm_ms: int


RULES: dict[GateCode, GateRule] = {
    GateCode.BOOK_STALE: GateRule(GateScope.SYMBOL, GateLevel.PAUSE, 0),
    GateCode.STREAM_STALE: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 0),
    GateCode.WS_GAP: GateRule(GateScope.VENUE, GateLevel.SAFE, 1000),
    GateCode.BOOK_CROSSED: GateRule(GateScope.SYMBOL, GateLevel.SAFE, 500),  # SAFE is maker only: no taker
    GateCode.FLIP_FLOP: GateRule(GateScope.SYMBOL, GateLevel.SAFE, 500),
    GateCode.CLOCK_SKEW: GateRule(GateScope.VENUE, GateLevel.HOLD, 1000),
    GateCode.CLOCK_SKEW_NOTICE: GateRule(GateScope.VENUE, GateLevel.NOTICE, 1000),
    GateCode.CLOCK_STEP: GateRule(GateScope.VENUE, GateLevel.HOLD, 0),
    GateCode.ANCHOR_DIVERGENCE: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 1000),
    GateCode.ZERO_PRICE: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 1000),
    GateCode.FUNDING_FORECAST: GateRule(GateScope.SYMBOL, GateLevel.SAFE, 1000),
    GateCode.BASIS: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 1000),
}


_CROSSED, _ZERO_PRICE, _FLIP_FLOP = GateCode.BOOK_CROSSED, GateCode.ZERO_PRICE, GateCode.FLIP_FLOP


class GateTripped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A gate closed. ``target`` is an instrument_id or a venue, by ``scope``; ``cause`` is for people."""

    code: GateCode
    scope: GateScope
    target: str
    level: GateLevel
    cause: str
    ts_ns: int


class GateCleared(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A gate opened again."""

    code: GateCode
    scope: GateScope
    target: str
    ts_ns: int


GateEvent = GateTripped | GateCleared


class Gate:
    """One gate on one target: speaks when it closes and when it has been calm long enough to open."""

    __slots__ = ("_bad_ns", "_closed", "code", "is_tripped", "rule", "target")

    def __init__(self, code: GateCode, target: str, closed: list[int]) -> None:
        """``closed`` is how many gates of the group are closed, shared by the group."""
        self._closed = closed
        self.code = code
        self.target = target
        self.rule = RULES[code]
        self.is_tripped = False
        self._bad_ns = 0

    def judge(self, bad: bool, cause: str, now_ns: int) -> GateEvent | None:
        """The change of this gate, if any. ``cause`` is used only when it closes."""
        if bad:
            self._bad_ns = now_ns
            if self.is_tripped:
                return None
            self.is_tripped = True
            self._closed[0] += 1
            rule = self.rule
            return GateTripped(
                code=self.code, scope=rule.scope, target=self.target, level=rule.level, cause=cause, ts_ns=now_ns
            )
        if self.is_tripped and now_ns - self._bad_ns >= self.rule.calm_ms * MS:
            self.is_tripped = False
            self._closed[0] -= 1
            return GateCleared(code=self.code, scope=self.rule.scope, target=self.target, ts_ns=now_ns)
        return None


class GateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds; the defaults are the guardrail table's. Basis points are 1/10,000."""

    book_freshness_ms: int = 300
    stream_stale_ms: int = 1200
    ws_gap_p95_ms: int = 200
    max_clock_skew_ms: int = 2000
    notice_clock_skew_ms: int = 500
    clock_step_ms: int = 250
    anchor_divergence_bps: int = 10
    funding_forecast_bps: int = 50
    basis_bps: int = 100
    flip_flops: int = 6
    flip_flop_window_ms: int = 1000


class SymbolGates:
    """The gates of one instrument. Every method returns the gates that changed; all times are ours (``ts_recv``)."""

    __slots__ = ("_closed", "_gates", "_top_gates", "_touch", "instrument_id", "limits")

    def __init__(self, instrument_id: str, limits: GateLimits | None = None) -> None:
        self.instrument_id = instrument_id
        self.limits = limits or GateLimits()
        codes = [code for code, rule in RULES.items() if rule.scope is GateScope.SYMBOL]
        self._closed = [0]
        self._gates = {code: Gate(code, instrument_id, self._closed) for code in codes}
        self._top_gates = (self._gates[_CROSSED], self._gates[_ZERO_PRICE], self._gates[_FLIP_FLOP])
        self._touch = TouchWatch(self.limits.flip_flop_window_ms * MS, self.limits.flip_flops)

    @property
    def tripped(self) -> frozenset[GateCode]:
        """Which gates are closed."""
        return frozenset(code for code, gate in self._gates.items() if gate.is_tripped)

    def is_any_tripped(self) -> bool:
        """Whether a gate is closed."""
        return self._closed[0] > 0

    def on_age(self, last_recv_ns: int, now_ns: int) -> list[GateEvent]:
        """The age of the newest data. ``last_recv_ns`` 0 means that there never was any, which is stale."""
        limits = self.limits
        fresh = last_recv_ns and now_ns - last_recv_ns <= limits.book_freshness_ms * MS
        if fresh and not self._closed[0]:
            return []
        age_ms = (now_ns - last_recv_ns) / MS if last_recv_ns else float("inf")
        cause = f"newest book data is {age_ms:.0f} ms old" if last_recv_ns else "no book data yet"
        return self._judge(
            (GateCode.BOOK_STALE, age_ms > limits.book_freshness_ms, f"{cause}, limit {limits.book_freshness_ms} ms"),
            (GateCode.STREAM_STALE, age_ms > limits.stream_stale_ms, f"{cause}, limit {limits.stream_stale_ms} ms"),
            now_ns=now_ns,
        )

    def on_top(self, top: BookTop, now_ns: int) -> list[GateEvent]:
        """A new top of book: crossed or locked, a price that is not one, or a touch that jumps back and forth."""
        bids, asks = top.bids, top.asks
        if self._touch.is_calm(bids, asks, now_ns) and not self._closed[0]:
            return []
        if bids and asks:
            bid, ask = bids[0][0], asks[0][0]
            crossed = bid >= ask
            zero = bid <= 0 or ask <= 0
            flips = self._touch.flips
            jumpy = flips >= self.limits.flip_flops
            a, b, c = self._top_gates
            if crossed is a.is_tripped and zero is b.is_tripped and jumpy is c.is_tripped:
                # Nothing changes; what is closed stays so, and its calm has not begun.
                if crossed or zero or jumpy:
                    for gate in (a, b, c):
                        if gate.is_tripped:
                            gate.judge(True, "", now_ns)
                return []
        else:
            # One side alone can neither cross nor jump.
            bid, ask = bids[0][0] if bids else 1, asks[0][0] if asks else 1
            crossed, flips = False, 0
            zero = bid <= 0 or ask <= 0
        word = "locked" if bid == ask else "crossed"
        return self._judge(
            (GateCode.BOOK_CROSSED, crossed, f"{word} book: bid {bid}, ask {ask} ticks"),
            (GateCode.ZERO_PRICE, zero, f"bid {bid}, ask {ask} ticks"),
            (
                GateCode.FLIP_FLOP,
                flips >= self.limits.flip_flops,
                f"top of book came back {flips} times in {self.limits.flip_flop_window_ms} ms",
            ),
            now_ns=now_ns,
        )

    def on_anchors(self, mid: float, mark: float | None, last: float | None, now_ns: int) -> list[GateEvent]:
        """Mid against mark and last price (None: not known). A price of zero or less, or NaN, closes ZERO_PRICE."""
        if not self._closed[0]:
            a, b = mid if mark is None else mark, mid if last is None else last
            low, high = min(mid, a, b), max(mid, a, b)
            if low > 0 and isfinite(mid + a + b) and (high - low) / low * 10_000 <= self.limits.anchor_divergence_bps:
                return []
        known = {"mid": mid, "mark": mark, "last": last}
        prices = {name: price for name, price in known.items() if price is not None}
        broken = [name for name, price in prices.items() if not 0 < price < float("inf")]
        sound = {name: price for name, price in prices.items() if name not in broken}
        apart, text = 0.0, ""
        if len(sound) > 1:
            least, most = min(sound, key=sound.__getitem__), max(sound, key=sound.__getitem__)
            apart = divergence_bps(sound[least], sound[most])
            text = f"{most} {sound[most]} is {apart:.1f} bps from {least} {sound[least]}"
        limit = self.limits.anchor_divergence_bps
        return self._judge(
            (GateCode.ZERO_PRICE, bool(broken), f"not a price: {', '.join(f'{n} {prices[n]}' for n in broken)}"),
            (GateCode.ANCHOR_DIVERGENCE, apart > limit, f"{text}, limit {limit} bps"),
            now_ns=now_ns,
        )

    def on_funding(self, rate: float, interval_hours: float, now_ns: int) -> list[GateEvent]:
        """The forming funding rate (a fraction per ``interval_hours``), compared as basis points per 8 hours."""
        bps = abs(rate) * 10_000 * 8 / interval_hours
        limit = self.limits.funding_forecast_bps
        cause = f"funding forecast {bps:.1f} bps / 8 h, limit {limit}"
        return self._judge((GateCode.FUNDING_FORECAST, bps > limit, cause), now_ns=now_ns)

    def on_basis(self, perp: float, spot: float, now_ns: int) -> list[GateEvent]:
        """Perpetual against spot."""
        bps = divergence_bps(spot, perp)
        limit = self.limits.basis_bps
        return self._judge((GateCode.BASIS, bps > limit, f"basis {bps:.1f} bps, limit {limit}"), now_ns=now_ns)

    def _judge(self, *verdicts: tuple[GateCode, bool, str], now_ns: int) -> list[GateEvent]:
        changes = (self._gates[code].judge(bad, cause, now_ns) for code, bad, cause in verdicts)
        return [change for change in changes if change is not None]


def divergence_bps(a: float, b: float) -> float:
    """How far two prices are apart, in basis points of the lower one; infinite when one of them is not above zero."""
    low, high = min(a, b), max(a, b)
    return (high - low) / low * 10_000 if low > 0 else float("inf")


class VenueGates:
    """The gates of one venue: its clock against ours, and the holes in its stream."""

    __slots__ = ("_closed", "_gates", "_skew_ms", "limits", "on_message", "stream", "venue")

    def __init__(self, venue: str, limits: GateLimits | None = None) -> None:
        self.venue = venue
        self.limits = limits or GateLimits()
        self.stream = StreamWatch(
            self.limits.ws_gap_p95_ms * MS,
            self.limits.clock_step_ms * MS,
            _SKEW_BUCKET_MS * MS,
            _SKEW_BUCKETS,
            _GAPS_KEPT,
        )
        self.on_message = self.stream.on_message
        """(ts_event_ns, ts_recv_ns): any message of the venue, cheap enough for each; `check` draws the conclusions."""
        codes = [code for code, rule in RULES.items() if rule.scope is GateScope.VENUE]
        self._closed = [0]
        self._gates = {code: Gate(code, venue, self._closed) for code in codes}
        self._skew_ms = min(self.limits.notice_clock_skew_ms, self.limits.max_clock_skew_ms)

    @property
    def tripped(self) -> frozenset[GateCode]:
        """Which gates are closed."""
        return frozenset(code for code, gate in self._gates.items() if gate.is_tripped)

    def is_any_tripped(self) -> bool:
        """Whether a gate is closed."""
        return self._closed[0] > 0

    def check(self, now_ns: int) -> list[GateEvent]:
        """The gates that changed; to be called every now and then."""
        limits = self.limits
        stream = self.stream
        skew = stream.skew_ms
        size = abs(skew) if skew is not None else 0.0
        n = stream.gaps
        # The 95th percentile exceeds the limit when too few gaps are within it: no sorting needed.
        holey = n >= _GAPS_MIN and n - stream.wide <= n * 95 // 100
        gates = self._gates
        if not (holey or size >= self._skew_ms or stream.is_stepped) and not self._closed[0]:
            return []
        side = "behind" if skew is not None and skew < 0 else "ahead of"
        cause = f"our clock is {size:.0f} ms {side} {self.venue}'s"
        gap_text = f"p95 of gaps between messages is {self.ws_gap_p95_ms():.0f} ms"
        verdicts = (
            (GateCode.CLOCK_SKEW, size > limits.max_clock_skew_ms, f"{cause}, limit {limits.max_clock_skew_ms} ms"),
            (GateCode.CLOCK_SKEW_NOTICE, size >= limits.notice_clock_skew_ms, cause),
            (GateCode.CLOCK_STEP, stream.is_stepped, f"a clock stepped: {cause}"),
            (GateCode.WS_GAP, holey, gap_text),
        )
        changes = (gates[code].judge(bad, text, now_ns) for code, bad, text in verdicts)
        return [change for change in changes if change is not None]

    def ws_gap_p95_ms(self) -> float:
        """The 95th percentile of the time between the last 200 messages; 0 before twenty."""
        gaps = sorted(self.stream.gaps_ns())
        return gaps[len(gaps) * 95 // 100] / MS if len(gaps) >= _GAPS_MIN else 0.0
