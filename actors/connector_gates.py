"""When a connector doubts its data: what is looked at with which message, what time alone shows.

Owns the occasions; the conditions are `trading.market.gates`', and what follows from a gate is the governor's.
"""

from __future__ import annotations

from actors.connector_base import ConnectorBase
from actors.venue_market import VenueMarket
from adapters.streams.events import ServerTime
from trading.market.events import Aggressor, BookState, DepthUpdate, InstrumentStatus, Trade
from trading.market.shadow import ShadowAudit, ShadowResult

_CALM_NS = 100_000_000  # how often a closed gate is looked at
_LOOK_NS = 1_000_000_000  # the longest time between two looks at the age of data
_SYNCED = BookState.SYNCED
_UNPROVED = frozenset({BookState.SUSPECT, BookState.RESYNC})
_ANSWER_NS = 2_000_000_000  # how long a snapshot may take
_BRIDGE_NS = 5_000_000_000  # and how long the diffs that join it to the stream


class ConnectorGates(ConnectorBase):
    """The gates of one venue and its instruments."""

    def _moved(self, market: VenueMarket, event: DepthUpdate, ts_recv_ns: int) -> None:
        """A side that stands still while the other moves is not believed."""
        bids, asks = bool(event.bids), bool(event.asks)
        market.uneven = not (bids and asks)
        for change in market.gates.on_moved(bids, asks, ts_recv_ns):
            self._gate(change)

    def _printed(self, market: VenueMarket, event: Trade) -> None:
        """Whether a print is believed, and whether the book keeps up with it."""
        gates, now = market.gates, event.ts_recv_ns
        changes = gates.on_print(event.price_ticks, event.ts_event_ns, now)
        top = market.last_top
        if top is not None and top.bids and top.asks:
            taken = top.asks if event.aggressor is Aggressor.BUY else top.bids
            changes += gates.on_trade_through(event.aggressor, event.price_ticks, taken[0][0], now)
            market.uneven = True
        market.last_px = gates.prints.last_px
        for change in changes:
            self._gate(change)

    def _ruled(self, event: InstrumentStatus) -> None:
        """By which rules the venue trades it: a book that was built on others is not believed."""
        market = self._markets.get(event.instrument_id)
        if market is None:
            return
        if not market.rules_version:
            market.rules_version = event.rules_version
        for change in market.gates.on_rules(event.rules_version, market.rules_version, event.ts_recv_ns):
            self._gate(change)

    def _clocked(self, event: ServerTime) -> None:
        """The venue said what time it is there."""
        wall, mono = self.clock.wall_ns(), self.clock.mono_ns()
        offset = wall - mono
        self._clock_offset.on_reply(event.sent_ns - offset, event.server_ns, event.recv_ns - offset)
        verdict = self._clock_offset.verdict(wall, mono)
        if verdict is not None:
            self._gates.on_clock(verdict)
            self._check_venue(wall)

    def _audited(self, market: VenueMarket, result: ShadowResult | None, now: int) -> None:
        """A snapshot beside the live book was compared with it: what differs is no longer proved."""
        if result is None:
            return
        if result.evidence is not None:
            self._event("error", "BOOK_DIFFERS", f"{result.instrument_id}: {result.reason}")
            self._synced(market, market.sync.on_snapshot(result.evidence), now)

    def _check_gates(self) -> None:
        """What shows without any data: its age, and the calm after something. Again when that could next be so."""
        now = self.now_ns() - self._offset_ns
        self._looked_ns = now
        due = now + _LOOK_NS
        for market in self._markets.values():
            gates = market.gates
            at = market.last_ns + self._fresh_ns
            if market.book.state is not _SYNCED or market.sync.wants_snapshot:
                self._see_to_snapshot(market, now)
            tripped = gates.is_any_tripped()
            if tripped or market.marks:
                for change in gates.on_time(now):
                    self._gate(change)
                tripped = gates.is_any_tripped()
            if market.audit is not None:
                self._shadow(market, market.audit, now)
            if at < now or tripped:
                for change in gates.on_age(market.last_ns, now):
                    self._gate(change)
                if gates.is_any_tripped():
                    self._check_anchors(market, now)
                    at = now + _CALM_NS
            due = min(due, at)
        if self._gates.is_any_tripped():
            self._check_venue(now)
            due = min(due, now + _CALM_NS)
        self.wake_after(due - now + 1, "gates", self._gates_early_ns)

    def _gates_early_ns(self) -> int:
        """While data keep coming nothing shows by its absence: how long `_check_gates` has nothing to look at."""
        now = self.now_ns() - self._offset_ns
        due, fresh_ns = self._looked_ns + _LOOK_NS, self._fresh_ns
        if due <= now or self._gates.closed[0]:
            return 0
        for market in self._markets.values():
            at = market.last_ns + fresh_ns
            if at < now or market.book.state is not _SYNCED or market.gates.closed[0]:
                return 0
            if at < due:  # noqa: PLR1730 - asked again and again, where a call would cost
                due = at
        return due - now + 1

    def _see_to_snapshot(self, market: VenueMarket, now: int) -> None:
        """A book that waits for a snapshot asks for one, and again where the answer was lost or led nowhere."""
        sync, waited_ns = market.sync, now - market.asked_ns
        if market.book.state in _UNPROVED and not sync.wants_snapshot and self._source is not None:
            if waited_ns > _BRIDGE_NS:
                sync.on_disconnected(now)
            elif waited_ns > _ANSWER_NS:
                sync.on_snapshot_failed()
        if sync.wants_snapshot:
            self._want_snapshot(market)

    def _shadow(self, market: VenueMarket, audit: ShadowAudit, now: int) -> None:
        """Now and then ask for the book again and compare: the venue's numbers cannot show a changed quantity."""
        self._audited(market, audit.on_tick(now), now)
        if now >= market.audit_ns and market.book.state is _SYNCED and not audit.running:
            market.audit_ns = now + self._setup.audit_ns
            audit.begin(now)
            assert self._source is not None
            self._source.snapshot(market.instrument.symbol, now)

    def _check_anchors(self, market: VenueMarket, now: int) -> None:
        """Mid, mark and last trade against each other, at most once in ``gates_ns`` while all is well."""
        market.anchors_ns = now + self._setup.gates_ns
        top = market.last_top
        if top is not None and top.bids and top.asks:
            mid = (top.bids[0][0] + top.asks[0][0]) / 2
            changes = market.gates.on_anchors(mid, market.mark_px, market.last_px, now)
            if market.index_px is not None:
                changes += market.gates.on_index(mid, market.index_px, now)
            for change in changes:
                self._gate(change)

    def _check_venue(self, now: int) -> None:
        """The venue's clock and the holes in its stream, at most once in ``gates_ns`` while all is well."""
        self._gates_ns = now + self._setup.gates_ns
        for change in self._gates.check(now):
            self._gate(change)
