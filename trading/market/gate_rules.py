"""What a gate is: the closed set of them, what each suggests, its thresholds, and when one speaks.

Owns the calm-down and the words of a gate's events; does not own the conditions (`trading.market.gates`).
"""

from __future__ import annotations

from enum import Enum

import msgspec

MS = 1_000_000


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
    INDEX_DIVERGENCE = "index_divergence"
    SECOND_SOURCE = "second_source"
    OUTLIER_PRINT = "outlier_print"
    FUNDING_ROLL = "funding_roll"
    FROZEN_SIDE = "frozen_side"
    TIME_UNIT = "time_unit"
    RULES_CHANGED = "rules_changed"


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
    GateCode.INDEX_DIVERGENCE: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 1000),
    GateCode.SECOND_SOURCE: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 1000),
    GateCode.OUTLIER_PRINT: GateRule(GateScope.SYMBOL, GateLevel.SAFE, 500),
    GateCode.FUNDING_ROLL: GateRule(GateScope.SYMBOL, GateLevel.PAUSE, 0),
    GateCode.FROZEN_SIDE: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 0),  # a side that moves again is not frozen
    GateCode.TIME_UNIT: GateRule(GateScope.VENUE, GateLevel.HOLD, 10_000),
    GateCode.RULES_CHANGED: GateRule(GateScope.SYMBOL, GateLevel.HOLD, 0),  # until the book is rebuilt on them
}


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
    """Thresholds; the defaults are the guardrail table's where it has a row. Basis points are 1/10,000.

    An index is made of spot prices: its limit is that of the basis. Two venues are held to the limit of the anchors,
    beyond a usual distance of at most ``second_source_usual_bps_max``.
    """

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
    index_divergence_bps: int = 100
    second_source_bps: int = 10
    second_source_usual_bps_max: int = 50
    outlier_bps: int = 50
    outlier_mads: int = 10
    outlier_confirms: int = 3
    outlier_doubt_ms: int = 5000
    funding_before_ms: int = 30_000
    funding_after_ms: int = 15_000
    frozen_moves: int = 200
    frozen_trades: int = 3
    frozen_patience_ms: int = 1000
    unit_slips: int = 3
    unit_slip_window_ms: int = 10_000
