"""How good a market is just now, as operators see it: the body of OPPORTUNITY.

Owns the body, the gauges and the words of what begins and ends; the figures are `trading.market.opportunity`'s.
"""

from __future__ import annotations

import msgspec

from trading.instruments import Instrument
from trading.market.events import BookTop, Trade
from trading.market.opportunity import Opportunity, OpportunityChanged, OpportunityLimits


class OpportunityBody(msgspec.Struct, frozen=True, kw_only=True):
    """OPPORTUNITY, key instrument_id.

    ``opps_per_sec``, ``spread_bps`` and ``depth_lots`` (``depth_qty`` in the venue's unit; of the thinner side's best)
    are of the last ``window_s``; ``opportunities`` is since the process began. ``vpin`` is 0 to 1. None: not enough was
    seen. ``dry_since_ns`` and ``toxic_since_ns`` are UTC, None while it is not so. An opportunity is a proved book no
    wider than ``spread_bps_max``; flow is toxic from ``toxic_vpin`` on.
    """

    instrument_id: str
    venue: str
    opps_per_sec: float
    opportunities: int
    spread_bps: float | None
    depth_lots: float | None
    depth_qty: float | None
    vpin: float | None
    dry: bool
    toxic: bool
    dry_since_ns: int | None
    toxic_since_ns: int | None
    spread_bps_max: float
    toxic_vpin: float
    window_s: int
    ts_ns: int
    synthetic: bool = False


class OpportunityReport:
    """Follows one instrument's tops and trades. Times are ours (UTC ns)."""

    def __init__(self, instrument: Instrument, limits: OpportunityLimits | None = None) -> None:
        self.instrument = instrument
        self.opportunity = Opportunity(instrument.instrument_id, limits)
        self._since: dict[str, int] = {}

    def take_top(self, top: BookTop, now_ns: int) -> list[OpportunityChanged]:
        """The next state of the book; what began or ended with it."""
        changes = self.opportunity.on_top(top, now_ns)
        return self._noted(changes) if changes else changes

    def take_trade(self, trade: Trade, now_ns: int) -> list[OpportunityChanged]:
        """The next trade; what began or ended with it."""
        changes = self.opportunity.on_trade(trade, now_ns)
        return self._noted(changes) if changes else changes

    def take_time(self, now_ns: int) -> list[OpportunityChanged]:
        """It is ``now_ns``, whether anything came or not."""
        return self._noted(self.opportunity.on_time(now_ns))

    def body(self, now_ns: int, *, synthetic: bool = False) -> OpportunityBody:
        """The body of OPPORTUNITY at ``now_ns``."""
        quality, limits = self.opportunity.quality(now_ns), self.opportunity.limits
        lots = quality.depth_lots
        return OpportunityBody(
            instrument_id=self.instrument.instrument_id,
            venue=self.instrument.venue,
            opps_per_sec=round(quality.opps_per_sec, 4),
            opportunities=self.opportunity.opportunities,
            spread_bps=_rounded(quality.spread_bps),
            depth_lots=_rounded(lots),
            depth_qty=None if lots is None else float(f"{lots * float(self.instrument.lot_size):.6g}"),
            vpin=_rounded(quality.vpin),
            dry=quality.is_dry,
            toxic=quality.is_toxic,
            dry_since_ns=self._since.get("opportunities_dry"),
            toxic_since_ns=self._since.get("flow_toxic"),
            spread_bps_max=limits.spread_bps_max,
            toxic_vpin=limits.toxic_vpin,
            window_s=limits.window_s,
            ts_ns=now_ns,
            synthetic=synthetic,
        )

    def _noted(self, changes: list[OpportunityChanged]) -> list[OpportunityChanged]:
        for change in changes:
            if change.begins:
                self._since[change.code.value] = change.ts_ns
            else:
                self._since.pop(change.code.value, None)
        return changes


def opportunity_series(body: OpportunityBody) -> list[list[object]]:
    """METRICS rows of one market; a figure that is not known yet has none."""
    labels = {"venue": body.venue, "symbol": body.instrument_id}
    figures = {
        "opps_per_sec": body.opps_per_sec,
        "opportunity_spread_bps": body.spread_bps,
        "opportunity_depth_lots": body.depth_lots,
        "flow_toxicity_vpin": body.vpin,
    }
    return [[name, "gauge", labels, value] for name, value in figures.items() if value is not None]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
