"""One instrument as its connector sees it: book, gates, anchors, and what operators are shown of them.

Owns no decision: what follows from a book's state is the connector's.
"""

from __future__ import annotations

import msgspec

from adapters.streams.events import ReserveSaid
from trading.instruments import Instrument
from trading.market.events import BookTop, DepthSnapshot, FundingRate, MarkPrice
from trading.market.gates import GateLimits, SymbolGates
from trading.market.shadow import ShadowAudit
from trading.market.stitch import BookSync
from trading.market_report.flow import LiquidityBody, liquidity_body
from trading.market_report.quality import ClosedGate, DataCounts, QualityBody, quality_body
from trading.sim.matching import Market as MarketAtVenue

_MILLISECOND_NS = 1_000_000
_DEEP = 200


class VenueMarket:
    """One instrument's book, gates and counters. Times are the source's receive times, UTC ns."""

    __slots__ = (
        "anchors_ns",
        "asked_ns",
        "at_venue",
        "audit",
        "audit_ns",
        "book",
        "funding",
        "gates",
        "index_px",
        "instrument",
        "last_ns",
        "last_px",
        "last_top",
        "mark_px",
        "marks",
        "misses",
        "proved",
        "reserve",
        "rules_version",
        "sync",
        "told_ns",
        "trades",
        "uneven",
    )

    def __init__(
        self, instrument: Instrument, sync: BookSync, limits: GateLimits, at_venue: MarketAtVenue | None
    ) -> None:
        self.instrument = instrument
        self.at_venue = at_venue
        """Where the simulated venue matches it; None where orders go over a wire of their own."""
        self.sync = sync
        self.book = sync.book
        self.last_top: BookTop | None = None
        self.trades = 0
        self.marks = 0
        self.gates = SymbolGates(instrument.instrument_id, limits)
        self.last_ns = 0
        self.told_ns = 0
        self.anchors_ns = 0
        self.asked_ns = 0
        self.last_px: float | None = None
        self.mark_px: float | None = None
        self.index_px: float | None = None
        self.funding: FundingRate | None = None
        self.audit: ShadowAudit | None = None
        self.audit_ns = 0
        self.proved: bool | None = None
        """What the gateway was told last; None: nothing yet."""
        self.reserve: ReserveSaid | None = None
        """The newest book that came through the reserve, while it runs."""
        self.rules_version = ""
        """By which the venue traded it when it was first asked; empty before."""
        self.uneven = False
        """Whether one side of the book moved without the other, or was traded with, since both moved."""
        self.misses = 0
        """How often data became older than it may be."""

    def with_funding(self, event: MarkPrice) -> MarkPrice:
        """``event`` with the funding that the venue tells apart from its mark price, where it does."""
        funding = self.funding
        if event.funding_rate is not None or funding is None:
            return event
        return msgspec.structs.replace(event, funding_rate=funding.funding_rate, next_funding_ns=funding.funding_ns)


def book_body(market: VenueMarket, now_ns: int, offset_ns: int, *, levels: int, synthetic: bool) -> dict[str, object]:
    """A book for operators. ``now_ns`` is ours; ``offset_ns`` is what the source's times lie behind it."""
    sync = market.sync
    instrument = market.instrument
    top: BookTop = sync.book.to_top(levels, synthetic=synthetic)

    def side(found: tuple[tuple[int, int], ...]) -> list[list[str]]:
        return [[str(instrument.price(t)), str(instrument.qty(q))] for t, q in found]

    bids, asks = side(top.bids), side(top.asks)
    spread_bps = None
    if top.bids and top.asks:
        spread_bps = round((top.asks[0][0] - top.bids[0][0]) / ((top.asks[0][0] + top.bids[0][0]) / 2) * 1e4, 3)
    return {
        "instrument_id": instrument.instrument_id,
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "state": sync.state.value,
        "bid": bids[0][0] if bids else None,
        "ask": asks[0][0] if asks else None,
        "bid_qty": bids[0][1] if bids else None,
        "ask_qty": asks[0][1] if asks else None,
        "bids": bids,
        "asks": asks,
        "update_id": top.update_id,
        "ts_recv_ns": top.ts_recv_ns + offset_ns,
        "age_ms": round((now_ns - offset_ns - top.ts_recv_ns) / _MILLISECOND_NS, 1),
        "spread_bps": spread_bps,
        "reason": sync.reason,
        "messages": sync.counters.messages,
        "gaps": sync.counters.gaps,
        "resyncs": sync.counters.resyncs,
        "reserve": _reserve_body(market),
        "bbo_only": sync.mode == "bbo",
        "compared": sync.counters.audited,
        "mismatched": sync.counters.mismatches,
        "synthetic": synthetic,
    }


def _reserve_body(market: VenueMarket) -> dict[str, object] | None:
    """Best prices as ccxt tells them, while the venue's own streams are lost: to be shown, never traded on."""
    said = market.reserve
    if said is None or not isinstance(said.event, DepthSnapshot) or not (said.event.bids and said.event.asks):
        return None
    one, book = market.instrument, said.event
    return {
        "bid": str(one.price(book.bids[0][0])),
        "ask": str(one.price(book.asks[0][0])),
        "proved": said.proved,
        "reason": said.reason,
        "ts_ns": said.ts_ns,
    }


def symbol_series(market: VenueMarket, recorded_now_ns: int) -> list[list[object]]:
    """Metric series of one instrument; ``recorded_now_ns`` is now in the source's time."""
    symbol = {"symbol": market.instrument.instrument_id}
    counters = market.sync.counters
    age_ms = (recorded_now_ns - market.sync.book.ts_recv_ns) / _MILLISECOND_NS
    return [
        ["data_staleness_ms", "gauge", symbol, round(age_ms, 3)],
        ["book_gaps_total", "counter", symbol, counters.gaps],
        ["book_resyncs_total", "counter", symbol, counters.resyncs],
    ]


def market_quality(
    market: VenueMarket,
    gates: tuple[ClosedGate, ...],
    limit_ms: int,
    recorded_now_ns: int,
    *,
    rejected: int,
    dropped: int,
    synthetic: bool,
) -> QualityBody:
    """The quality of a market's data; ``rejected`` and ``dropped`` are of its whole venue."""
    counters, audit = market.sync.counters, market.audit
    return quality_body(
        market.instrument.instrument_id,
        market.instrument.venue,
        book=market.sync.state.value,
        reason=market.sync.reason,
        freshness_ms=(recorded_now_ns - market.last_ns) / _MILLISECOND_NS if market.last_ns else None,
        freshness_limit_ms=limit_ms,
        counts=DataCounts(
            messages=counters.messages,
            dropped=dropped,
            duplicates=counters.dropped_old,
            rejected=rejected,
            misses=market.misses,
            seq_gaps=counters.gaps,
            resyncs=counters.resyncs,
            checksums_ok=counters.checksums_ok,
            checksum_failures=counters.checksums_failed,
            shadow_checks=0 if audit is None else audit.counters.equal + audit.counters.different,
            shadow_mismatches=0 if audit is None else audit.counters.different,
        ),
        gates=gates,
        synthetic=synthetic,
    )


def market_liquidity(market: VenueMarket, now_ns: int, *, synthetic: bool) -> LiquidityBody:
    """Depth by distance from the mid, as far as the best 200 levels a side reach."""
    bids, asks = market.book.top(_DEEP)
    return liquidity_body(market.instrument, market.book.state, bids, asks, now_ns, synthetic=synthetic)
