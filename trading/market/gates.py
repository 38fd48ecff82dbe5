"""Gates on the use of market data: what must not be traded on, and how much safer the desk should become.

Owns the conditions; does not own what a gate suggests and when it calms down (`trading.market.gate_rules`), nor brakes,
their release or who is told. A gate speaks only when its answer changes. Thresholds are those of the guardrail table
(P-RSK-9) and of P-MD-3, P-MD-7, P-MD-8.
"""

from __future__ import annotations

from collections import deque
from math import inf, isfinite

from trading.market.clock_offset import ClockVerdict
from trading.market.events import Aggressor, BookTop
from trading.market.gate_rules import (
    MS,
    RULES,
    Gate,
    GateCleared,
    GateCode,
    GateEvent,
    GateLevel,
    GateLimits,
    GateRule,
    GateScope,
    GateTripped,
)
from trading.market.prints import Belief, PrintFilter
from trading.market.second_source import SecondSource
from trading.market.sides import SideWatch
from trading.market.watches import StreamWatch, TouchWatch

__all__ = [
    "RULES",
    "Gate",
    "GateCleared",
    "GateCode",
    "GateEvent",
    "GateLevel",
    "GateLimits",
    "GateRule",
    "GateScope",
    "GateTripped",
    "SymbolGates",
    "VenueGates",
    "divergence_bps",
    "time_unit",
]

_GAPS_KEPT = 200
_GAPS_MIN = 20
_SKEW_BUCKET_MS = 1000
_SKEW_BUCKETS = 15
_CLOCK_OLD_MS = 60_000
_PLAUSIBLE_NS = 3_600_000 * MS
_DAY_NS = 86_400_000 * MS
_SLIPS = tuple(
    (power, f"a unit {10 ** abs(power):,} times {'larger' if power > 0 else 'smaller'}")
    for power in (3, 6, 9, -3, -6, -9)
)
_CROSSED, _ZERO_PRICE, _FLIP_FLOP = GateCode.BOOK_CROSSED, GateCode.ZERO_PRICE, GateCode.FLIP_FLOP


class SymbolGates:
    """The gates of one instrument. Every method returns the gates that changed; all times are ours (``ts_recv``)."""

    __slots__ = ("_funding_ns", "_gates", "_settled_ns", "_top_gates", "_touch", "closed",
                 "instrument_id", "is_calm", "limits", "prints", "second", "sides")  # fmt: skip

    def __init__(self, instrument_id: str, limits: GateLimits | None = None) -> None:
        self.instrument_id = instrument_id
        self.limits = limits or GateLimits()
        codes = [code for code, rule in RULES.items() if rule.scope is GateScope.SYMBOL]
        self.closed = [0]
        """How many are closed, kept by the gates themselves."""
        self._gates = {code: Gate(code, instrument_id, self.closed) for code in codes}
        self._top_gates = (self._gates[_CROSSED], self._gates[_ZERO_PRICE], self._gates[_FLIP_FLOP])
        self._touch = TouchWatch(self.limits.flip_flop_window_ms * MS, self.limits.flip_flops)
        self.is_calm = self._touch.is_calm
        """(bids, asks, now_ns): count a new top of book; whether `judge_top` can be spared while no gate is closed."""
        of = self.limits
        self.prints = PrintFilter(
            mads=of.outlier_mads,
            outlier_bps=of.outlier_bps,
            confirms=of.outlier_confirms,
            doubt_ms=of.outlier_doubt_ms,
        )
        """What trades are believed; ``prints.last_px`` is the last price for `on_anchors`."""
        self.second = SecondSource(allowance_bps_max=of.second_source_usual_bps_max)
        self.sides = SideWatch(of.frozen_moves, of.frozen_trades, of.frozen_patience_ms)
        self._funding_ns = 0
        self._settled_ns = 0

    @property
    def tripped(self) -> frozenset[GateCode]:
        """Which gates are closed."""
        return frozenset(code for code, gate in self._gates.items() if gate.is_tripped)

    def is_any_tripped(self) -> bool:
        """Whether a gate is closed."""
        return self.closed[0] > 0

    def on_age(self, last_recv_ns: int, now_ns: int) -> list[GateEvent]:
        """The age of the newest data. ``last_recv_ns`` 0 means that there never was any, which is stale."""
        limits = self.limits
        fresh = last_recv_ns and now_ns - last_recv_ns <= limits.book_freshness_ms * MS
        if fresh and not self.closed[0]:
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
        if self.is_calm(top.bids, top.asks, now_ns) and not self.closed[0]:
            return []
        return self.judge_top(top, now_ns)

    def judge_top(self, top: BookTop, now_ns: int) -> list[GateEvent]:
        """`on_top` for a top that `is_calm` has counted: what it does not find calm, or any while a gate is closed."""
        bids, asks = top.bids, top.asks
        if bids and asks:
            bid, ask = bids[0][0], asks[0][0]
            flips = self._touch.flips
            jumpy = flips >= self.limits.flip_flops
            a, b, c = self._top_gates
            if jumpy and c.is_tripped and self.closed[0] == 1 and 0 < bid < ask:
                c.judge(True, "", now_ns)  # It jumps on, and nothing else is wrong.
                return []
            crossed = bid >= ask
            zero = bid <= 0 or ask <= 0
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
        if not self.closed[0]:
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

    def on_price(self, name: str, price: float, now_ns: int) -> list[GateEvent]:
        """Any price that the venue states (mark, index, last): zero, below, NaN or infinite closes ZERO_PRICE."""
        sound = 0.0 < price < inf
        if sound and not self.closed[0]:
            return []
        return self._judge((GateCode.ZERO_PRICE, not sound, f"not a price: {name} {price}"), now_ns=now_ns)

    def on_print(self, price: float, ts_event_ns: int, now_ns: int) -> list[GateEvent]:
        """A trade's price, in the unit of all the others: `prints` says afterwards which one is believed."""
        belief = self.prints.on_print(price, ts_event_ns, now_ns)
        if belief is Belief.BELIEVED and not self.closed[0]:
            return []
        broken = belief is Belief.BROKEN
        return self._judge(
            (GateCode.ZERO_PRICE, broken, f"not a price: trade at {price}"),
            (GateCode.OUTLIER_PRINT, self.prints.is_doubting(now_ns), self._doubt(price)),
            now_ns=now_ns,
        )

    def on_index(self, mid: float, index: float, now_ns: int) -> list[GateEvent]:
        """Mid against the venue's index price."""
        bps = divergence_bps(mid, index) if isfinite(mid + index) else inf
        limit = self.limits.index_divergence_bps
        if bps <= limit and not self.closed[0]:
            return []
        cause = f"mid {mid} is {bps:.1f} bps from index {index}, limit {limit} bps"
        return self._judge((GateCode.INDEX_DIVERGENCE, bps > limit, cause), now_ns=now_ns)

    def on_second(self, mid: float, other: float | None, source: str, now_ns: int) -> list[GateEvent]:
        """Mid against that of ``source``, another venue's book of the same base and quote.

        None (or what is no price) says that no such source is fresh: nothing is compared, and nothing held for it.
        """
        limit = self.limits.second_source_bps
        bps = 0.0
        if other is not None and 0.0 < other < inf:  # What is wrong with the other book is that book's matter.
            bps = abs(self.second.apart_bps(mid, other, now_ns))
        if bps <= limit and not self.closed[0]:
            return []
        cause = f"mid {mid} is {bps:.1f} bps from {other} of {source} beyond the usual, limit {limit} bps"
        return self._judge((GateCode.SECOND_SOURCE, bps > limit, cause), now_ns=now_ns)

    def on_moved(self, bids: bool, asks: bool, now_ns: int) -> list[GateEvent]:
        """The book changed: which of its sides did."""
        self.sides.on_moved(bids, asks)
        return self._judge_sides(now_ns)

    def on_trade_through(self, aggressor: Aggressor, price_ticks: int, best_ticks: int, now_ns: int) -> list[GateEvent]:
        """A trade while the side that the taker took from had ``best_ticks`` as its best."""
        self.sides.on_trade(aggressor, price_ticks, best_ticks, now_ns)
        return self._judge_sides(now_ns)

    def on_rules(self, told: str, built: str, now_ns: int) -> list[GateEvent]:
        """Which version of the instrument's rules the venue told and on which the book was built: held until equal."""
        if told == built and not self.closed[0]:
            return []
        cause = f"rules {told} hold, but the book was built on {built}"
        return self._judge((GateCode.RULES_CHANGED, told != built, cause), now_ns=now_ns)

    def on_funding_time(self, next_funding_ns: int, now_ns: int) -> list[GateEvent]:
        """When funding settles next (UTC ns); the settlement before it is remembered for its own window."""
        if next_funding_ns != self._funding_ns:
            before_ns = self.limits.funding_before_ms * MS
            if self._funding_ns and self._funding_ns <= now_ns + before_ns:
                self._settled_ns = self._funding_ns
            self._funding_ns = next_funding_ns
        return self.on_time(now_ns)

    def on_time(self, now_ns: int) -> list[GateEvent]:
        """What time alone changes: the window around a settlement of funding, and a doubt that nothing confirmed.

        To be called every now and then.
        """
        if not (self._funding_ns or self.closed[0]):
            return []  # Nothing that time could change.
        before_ns, after_ns = self.limits.funding_before_ms * MS, self.limits.funding_after_ms * MS
        rolling = any(ns - before_ns <= now_ns <= ns + after_ns for ns in (self._funding_ns, self._settled_ns) if ns)
        if not rolling and not self.closed[0]:
            return []
        left_s = (self._funding_ns - now_ns) / (1000 * MS)
        soon = 0 < left_s <= self.limits.funding_before_ms / 1000
        cause = f"funding settles in {left_s:.0f} s" if soon else "funding has just settled"
        return self._judge(
            (GateCode.FUNDING_ROLL, rolling, cause),
            (GateCode.OUTLIER_PRINT, self.prints.is_doubting(now_ns), self._doubt(self.prints.doubted_px)),
            now_ns=now_ns,
        )

    def _doubt(self, price: float | None) -> str:
        return f"a print at {price} is far from {self.prints.last_px} and not confirmed"

    def _judge_sides(self, now_ns: int) -> list[GateEvent]:
        frozen = self.sides.is_frozen
        if not frozen and not self.closed[0]:
            return []
        return self._judge((GateCode.FROZEN_SIDE, frozen, self.sides.frozen()), now_ns=now_ns)

    def _judge(self, *verdicts: tuple[GateCode, bool, str], now_ns: int) -> list[GateEvent]:
        changes = (self._gates[code].judge(bad, cause, now_ns) for code, bad, cause in verdicts)
        return [change for change in changes if change is not None]


def divergence_bps(a: float, b: float) -> float:
    """How far two prices are apart, in basis points of the lower one; infinite when one of them is not above zero."""
    low, high = min(a, b), max(a, b)
    return (high - low) / low * 10_000 if low > 0 else float("inf")


def time_unit(ts_event_ns: int, ts_recv_ns: int) -> str | None:
    """The unit that a time was really in when it was read as nanoseconds' worth of another; None when none fits.

    A venue that states milliseconds where microseconds were agreed is read as a time a thousand times too small. Units
    fit when the mended time is within a day of ours.
    """
    for power, text in _SLIPS:
        mended = ts_event_ns * 10**power if power > 0 else ts_event_ns // 10**-power
        if abs(mended - ts_recv_ns) < _DAY_NS:
            return text
    return None


class VenueGates:
    """The gates of one venue: its clock against ours, and the holes in its stream.

    Where somebody asked the venue for its time (`on_clock`), that answer counts for ``_CLOCK_OLD_MS``; otherwise
    the times of ordinary messages do, which hold the delay on the way too.
    """

    __slots__ = ("_clock", "_gates", "_skew_ms", "_slips_ns", "closed", "limits", "on_message", "stream", "venue")

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
        self.closed = [0]
        """How many are closed, kept by the gates themselves."""
        self._gates = {code: Gate(code, venue, self.closed) for code in codes}
        self._skew_ms = min(self.limits.notice_clock_skew_ms, self.limits.max_clock_skew_ms)
        self._clock: ClockVerdict | None = None
        self._slips_ns: deque[int] = deque(maxlen=self.limits.unit_slips)

    @property
    def tripped(self) -> frozenset[GateCode]:
        """Which gates are closed."""
        return frozenset(code for code, gate in self._gates.items() if gate.is_tripped)

    def is_any_tripped(self) -> bool:
        """Whether a gate is closed."""
        return self.closed[0] > 0

    def check(self, now_ns: int) -> list[GateEvent]:
        """The gates that changed; to be called every now and then."""
        limits = self.limits
        stream = self.stream
        skew, stepped = self._clock_says(now_ns)
        size = abs(skew) if skew is not None else 0.0
        n = stream.gaps
        # The 95th percentile exceeds the limit when too few gaps are within it: no sorting needed.
        holey = n >= _GAPS_MIN and n - stream.wide <= n * 95 // 100
        gates = self._gates
        if not (holey or size >= self._skew_ms or stepped) and not self.closed[0]:
            return []
        side = "behind" if skew is not None and skew < 0 else "ahead of"
        cause = f"our clock is {size:.0f} ms {side} {self.venue}'s"
        gap_text = f"p95 of gaps between messages is {self.ws_gap_p95_ms():.0f} ms"
        verdicts = (
            (GateCode.CLOCK_SKEW, size > limits.max_clock_skew_ms, f"{cause}, limit {limits.max_clock_skew_ms} ms"),
            (GateCode.CLOCK_SKEW_NOTICE, size >= limits.notice_clock_skew_ms, cause),
            (GateCode.CLOCK_STEP, stepped, f"a clock stepped: {cause}"),
            (GateCode.WS_GAP, holey, gap_text),
            (GateCode.TIME_UNIT, False, ""),
        )
        changes = (gates[code].judge(bad, text, now_ns) for code, bad, text in verdicts)
        return [change for change in changes if change is not None]

    def on_clock(self, verdict: ClockVerdict) -> None:
        """What asking the venue for its time showed; `check` draws the conclusions."""
        self._clock = verdict

    def on_event_time(self, what: str, ts_event_ns: int, ts_recv_ns: int) -> list[GateEvent]:
        """The venue's time of any message (0: it states none): one in a wrong unit is off by a thousand or more.

        Three of them within 10 s close TIME_UNIT; ``what`` names the topic or the instrument.
        """
        if -_PLAUSIBLE_NS < ts_recv_ns - ts_event_ns < _PLAUSIBLE_NS or ts_event_ns == 0:
            return []
        unit = time_unit(ts_event_ns, ts_recv_ns)
        if unit is None:
            return []  # A clock that is off, not a unit: the other gates measure it.
        slips, limits = self._slips_ns, self.limits
        slips.append(ts_recv_ns)
        bad = len(slips) == limits.unit_slips and ts_recv_ns - slips[0] <= limits.unit_slip_window_ms * MS
        cause = f"{self.venue} states times of {what} in {unit}, not in the unit that was agreed: {ts_event_ns} ns"
        change = self._gates[GateCode.TIME_UNIT].judge(bad, cause, ts_recv_ns) if bad else None
        return [] if change is None else [change]

    def _clock_says(self, now_ns: int) -> tuple[float | None, bool]:
        clock, stream = self._clock, self.stream
        if clock is None or now_ns - clock.ts_ns > _CLOCK_OLD_MS * MS:
            return stream.skew_ms, stream.is_stepped
        return clock.skew_ms, clock.is_stepped or stream.is_stepped

    def ws_gap_p95_ms(self) -> float:
        """The 95th percentile of the time between the last 200 messages; 0 before twenty."""
        gaps = sorted(self.stream.gaps_ns())
        return gaps[len(gaps) * 95 // 100] / MS if len(gaps) >= _GAPS_MIN else 0.0
