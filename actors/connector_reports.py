"""What a connector tells operators: books and counters often, the quality of the data every second. Decides nothing."""

from __future__ import annotations

import msgspec

from actors.connector_gates import ConnectorGates
from actors.messages import BrakesStated, VenuePulse
from actors.venue_market import book_body, market_liquidity, market_quality, symbol_series
from adapters.recorder.events import LinesDropped, RecorderMoved
from trading.brakes import Level
from trading.market.events import BookState
from trading.market.gate_levels import BRAKE_LEVELS
from trading.market.gates import GateCode, GateLevel
from trading.operators import Published, Topic
from trading.universe.report import published

MAINTENANCE = "MAINTENANCE"
_UP = frozenset({"live", "rotating", "degraded"})


class ConnectorReports(ConnectorGates):
    """The operators' view of one venue's data."""

    def _publish(self) -> None:
        setup = self._setup
        now = self.now_ns()
        for market in self._markets.values():
            body = book_body(market, now, self._offset_ns, levels=setup.top_levels, synthetic=setup.synthetic)
            body |= {"skew_ms": self.skew_ms, "rejected": self.rejected}
            key = market.instrument.instrument_id
            self.tell(setup.ops, Published(topic=Topic.BOOK, key=key, body=body, ts_ns=now))
        rate = (self.frames - self._last_frames) * 1e9 / setup.publish_ns
        self._last_frames = self.frames
        progress = self._source.progress() if self._source is not None else {}
        states = {m.sync.state for m in self._markets.values()}
        body = {
            "venue": setup.venue,
            "state": "synced" if states == {BookState.SYNCED} else "degraded",
            "source": self._source.name if self._source is not None else "injected",
            "synthetic": setup.synthetic,
            "connected": True,
            "reserve": self._feed is not None and self._feed.on_reserve,
            "msgs_per_s": round(rate, 1),
            "skew_ms": self.skew_ms,
            "progress": progress,
            "orders": {"backend": setup.backend, "reason": setup.backend_reason},
        }
        self.tell(setup.ops, Published(topic=Topic.VENUE, key=setup.venue, body=body, ts_ns=now))
        labels = {"venue": setup.venue}
        series: list[list[object]] = [
            ["ws_messages_total", "counter", labels, self.frames],
            ["wire_rejected_total", "counter", labels, self.rejected],
            ["clock_skew_ms", "gauge", labels, self.skew_ms or 0.0],
        ]
        if self._tape is not None:
            stats = self._tape.stats()
            series.append(["recorder_lines_total", "counter", labels, stats.written])
            series.append(["recorder_dropped_total", "counter", labels, sum(stats.dropped.values())])
            series.append(["recorder_bytes_total", "counter", labels, stats.disk_bytes])
            for event in self._tape.poll_events():
                if type(event) is LinesDropped or type(event) is RecorderMoved:
                    self._event("warning", "RECORDER", str(event)[:300])
        for market in self._markets.values():
            series.extend(symbol_series(market, now - self._offset_ns))
        self.tell(
            setup.ops,
            Published(topic=Topic.METRICS, key=f"venue.{setup.venue}", body={"series": series}, ts_ns=now),
        )

    def _tell_quality(self) -> None:
        """How good the data is, for operators."""
        setup, now = self._setup, self.now_ns()
        skew, limits = self.skew_ms, setup.gates
        self._course.take(skew, GateCode.CLOCK_STEP in self._gates.tripped, now)
        clock = self._course.body(
            setup.venue,
            skew,
            notice_ms=limits.notice_clock_skew_ms,
            limit_ms=limits.max_clock_skew_ms,
            synthetic=setup.synthetic,
        )
        facts: list[tuple[Topic, str, msgspec.Struct]] = [(Topic.CLOCK, setup.venue, clock)]
        status = self._source.status() if self._source is not None else None
        dropped = 0
        if status is not None and self._feed_report is not None:
            dropped = status.dropped
            feeds = self._feed_report.feeds(status, self.rejected, now)
            facts.extend((Topic.FEED, key, body) for key, body in feeds)
            facts.append((Topic.QUORUM, setup.venue, self._feed_report.quorum(status)))
        for name, market in self._markets.items():
            gates = self._closed_gates.of(name, setup.venue)
            quality = market_quality(
                market,
                gates,
                limits.book_freshness_ms,
                now - self._offset_ns,
                rejected=self.rejected,
                dropped=dropped,
                synthetic=setup.synthetic,
            )
            depth = market_liquidity(market, now, synthetic=setup.synthetic)
            facts += [(Topic.QUALITY, name, quality), (Topic.LIQUIDITY, name, depth)]
        for topic, key, body in facts:
            self.tell(setup.ops, published(topic, key, body, now))
        self._state_brakes()
        self._still_up()
        rest = None if status is None else status.rest
        self.tell(
            setup.universe,
            VenuePulse(
                venue=setup.venue,
                connected=status is None or any(c.status in _UP for c in status.connections),
                messages=self.frames,
                dropped=dropped,
                gaps=sum(market.sync.counters.gaps for market in self._markets.values()),
                requests=0 if rest is None else rest.requests,
                requests_failed=0 if rest is None else rest.failures,
            ),
        )

    def _state_brakes(self) -> None:
        """Say which brakes hold: a governor may have begun anew, and so may we, who cannot take back what we forgot."""
        held = [
            self._held(gate.code.upper(), f"{gate.scope}:{gate.target}", level, gate.cause)
            for gate in self._closed_gates.of(*self._markets, self._setup.venue)
            if (level := BRAKE_LEVELS.get(GateLevel(gate.level))) is not None
        ]
        if self._maintenance:
            held.append(self._held(MAINTENANCE, f"venue:{self._setup.venue}", int(Level.HOLD), self._maintenance))
        self.tell(self._setup.governor, BrakesStated(owner=self.name, brakes=tuple(held)))
