"""How far a venue may be relied on, as one number from what happened lately: streams, requests, losses, slippage.

Owns the score and the verdict with its hysteresis. What the verdict does is `trading.universe.registry`.
"""

from __future__ import annotations

from enum import Enum
from math import exp2, log
from typing import Final

import msgspec

HALF_LIFE_S: Final = 300.0
GAP_COST: Final = 1000
REQUESTS_PRIOR: Final = 10
UP_PRIOR_S: Final = 60.0
SLIPPAGE_BPS: Final = 10.0
_NS: Final = 1e9


class Verdict(Enum):
    """What the score means."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    QUARANTINE = "quarantine"


class HealthLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Scores at which a verdict worsens, and above which it may mend after ``calm_s`` seconds there."""

    degraded_below: float = 70.0
    healthy_above: float = 80.0
    quarantine_below: float = 30.0
    calm_s: float = 60.0


class HealthParts(msgspec.Struct, frozen=True, kw_only=True):
    """The four factors, each 0 to 1, and their product times 100."""

    score: float
    connected: float
    requests: float
    delivery: float
    slippage: float


class VenueHealth:
    """``score = 100 * U * R * D * S`` over an exponentially fading past (half-life 5 minutes).

    U: (seconds its streams were connected + 60) / (seconds + 60). R: (requests answered + 10) / (requests + 10).
    D: (messages delivered + 1000) / (delivered + dropped + 1000 * gaps + 1000): a gap costs a thousand lost messages.
    S: 1 / (1 + m / 10 bps) with m = adverse slippage beyond the expected, summed, / (fills + 1). Each is 1 before there
    is evidence, and returns there as the evidence fades. Times are monotonic ns.
    """

    __slots__ = (
        "_answered", "_asked", "_calm_ns", "_connected", "_delivered", "_down_s", "_half_life_s", "_last_ns", "_lost",
        "_slip_bps", "_slips", "_up_s", "limits", "verdict",
    )  # fmt: skip

    def __init__(self, now_ns: int, limits: HealthLimits | None = None, half_life_s: float = HALF_LIFE_S) -> None:
        self.limits = limits or HealthLimits()
        self.verdict = Verdict.HEALTHY
        self._half_life_s = half_life_s
        self._last_ns = now_ns
        self._calm_ns = now_ns
        self._connected = True
        self._up_s = self._down_s = 0.0
        self._asked = self._answered = 0.0
        self._delivered = self._lost = 0.0
        self._slips = self._slip_bps = 0.0

    def on_connection(self, connected: bool, now_ns: int) -> None:
        """Whether at least one view of the venue is connected, from now on."""
        self._fade(now_ns)
        self._connected = connected

    def on_messages(self, delivered: int, dropped: int, gaps: int, now_ns: int) -> None:
        """Counts since the last call: messages taken, messages lost, holes in sequences."""
        self._fade(now_ns)
        self._delivered += delivered
        self._lost += dropped + GAP_COST * gaps

    def on_request(self, answered: bool, now_ns: int) -> None:
        """One REST request: answered usefully, or timed out, refused for load (429, 418, 5xx) or broken."""
        self._fade(now_ns)
        self._asked += 1
        self._answered += answered

    def on_slippage(self, excess_bps: float, now_ns: int) -> None:
        """One fill: how much worse than expected it was; less than zero counts as zero."""
        self._fade(now_ns)
        self._slips += 1
        self._slip_bps += max(0.0, excess_bps)

    def parts(self, now_ns: int) -> HealthParts:
        """The score and what it is made of."""
        self._fade(now_ns)
        connected = (self._up_s + UP_PRIOR_S) / (self._up_s + self._down_s + UP_PRIOR_S)
        requests = (self._answered + REQUESTS_PRIOR) / (self._asked + REQUESTS_PRIOR)
        delivery = (self._delivered + GAP_COST) / (self._delivered + self._lost + GAP_COST)
        slippage = 1 / (1 + self._slip_bps / (self._slips + 1) / SLIPPAGE_BPS)
        score = 100 * connected * requests * delivery * slippage
        return HealthParts(
            score=round(score, 2),
            connected=round(connected, 4),
            requests=round(requests, 4),
            delivery=round(delivery, 4),
            slippage=round(slippage, 4),
        )

    def judge(self, now_ns: int) -> Verdict:
        """The verdict: worse at once, better one step at a time after ``calm_s`` above the mark. Ask every second."""
        score, limits = self.parts(now_ns).score, self.limits
        if score < limits.quarantine_below:
            self.verdict = Verdict.QUARANTINE
        elif score < limits.degraded_below and self.verdict is Verdict.HEALTHY:
            self.verdict = Verdict.DEGRADED
        if score <= limits.healthy_above:
            self._calm_ns = now_ns
        elif self.verdict is not Verdict.HEALTHY and now_ns - self._calm_ns >= limits.calm_s * _NS:
            self.verdict = Verdict.DEGRADED if self.verdict is Verdict.QUARANTINE else Verdict.HEALTHY
            self._calm_ns = now_ns
        return self.verdict

    def _fade(self, now_ns: int) -> None:
        passed_s = max(0, now_ns - self._last_ns) / _NS
        if not passed_s:
            return
        self._last_ns = now_ns
        left = exp2(-passed_s / self._half_life_s)
        self._up_s *= left
        self._down_s *= left
        self._asked *= left
        self._answered *= left
        self._delivered *= left
        self._lost *= left
        self._slips *= left
        self._slip_bps *= left
        # What has just passed has faded too: the integral of the fading over it.
        weight_s = (1 - left) * self._half_life_s / log(2)
        if self._connected:
            self._up_s += weight_s
        else:
            self._down_s += weight_s
