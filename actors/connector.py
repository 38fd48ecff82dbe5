"""The connector of one venue: bytes in, proved books and venue events out; bytes out to the venue.

In paper trading the simulated venue is the other end of the wire and lives here, beside the books it matches
against. Owns the books and the gates on them; knows no strategy and no position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from actors.connector_base import ConnectorSetup, TapeSetup
from actors.connector_reports import MAINTENANCE, ConnectorReports
from actors.messages import (
    BookProof,
    BrakeCleared,
    LinkUp,
    ListingRead,
    ListingWanted,
    RawFrame,
    SnapshotFrame,
    WireOut,
)
from actors.venue_market import VenueMarket
from adapters.binance.orders_codec import RequestKind, decode_order_request
from adapters.book_topics import book_symbol_of
from adapters.recorder.drive import keep
from adapters.recorder.wire import WireRecorder
from adapters.sources import AWAITED, Frame, FramesReady, Origin, SourceSpec, open_feed, open_source
from adapters.streams.events import (
    Connected,
    FallbackBegan,
    FallbackEnded,
    FeedEvent,
    MaintenanceBegan,
    MaintenanceEnded,
    Polled,
    ReserveSaid,
    ServerTime,
    ViewChanged,
)
from adapters.streams.news import news_of
from trading.instruments import InstrumentKind
from trading.market.events import (
    BookState,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    InstrumentStatus,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    VenueEvent,
    VenueNotice,
    WireRejected,
)
from trading.market.shadow import ShadowAudit
from trading.market.stitch import SequenceRule, SyncResult
from trading.orders.messages import AccountStateRequest, NewOrderSingle

__all__ = ["Connector", "ConnectorSetup", "TapeSetup"]

if TYPE_CHECKING:
    from adapters.streams.fallback import FallbackItem

_SECOND_NS = 1_000_000_000
_TAPE_CLOSE_S = 2.0
_MAX_EVENTS_PER_S = 5
_FUNDING_HOURS = 8.0
_REFRESH_NS = 100_000_000
_CATCH_UP_NS = 1_000_000_000
_APPLIED = SyncResult.APPLIED
_SYNCED = BookState.SYNCED
_SHOWN = frozenset({OpenInterest, Liquidation, LongShortRatio, Ticker})
_UNCHANGED = frozenset({SyncResult.BUFFERED, SyncResult.DROPPED_OLD, SyncResult.AUDITED, SyncResult.IGNORED})


class Connector(ConnectorReports):
    """Decode, prove, gate, publish; and carry commands to the venue."""

    def _open(self, spec: SourceSpec) -> None:
        """Open the source, and the tape; a feed wakes us, all others are polled."""
        self._open_tape(spec)
        venue, clock = self._setup.venue, self.clock
        if spec.session is not None or spec.origin is Origin.EMBEDDED:
            self._source = open_source(spec, venue, clock.wall_ns())
            self._offset_ns = self._source.offset_ns
            self.wake_after(0, "poll")
            return
        inject, name = self.loop_tell(), self.name
        self._source = source = open_feed(spec, venue, self._instruments, clock, lambda: inject(name, FramesReady()))
        self._feed = source
        self._feed_report = source.report()
        if source.rest_snapshots:
            for market in self._markets.values():
                is_spot = market.instrument.kind is InstrumentKind.SPOT
                market.audit = ShadowAudit(market.book, SequenceRule.SPOT if is_spot else SequenceRule.FUTURES)
                market.audit_ns = clock.wall_ns() + self._setup.audit_ns

    def _open_tape(self, spec: SourceSpec) -> None:
        """Record what comes in. Without a tape trading goes on, and operators are told."""
        setup = self._setup
        if setup.tape is None:
            return
        try:
            self._tape = WireRecorder(
                setup.tape.wire,
                started_ns=self.now_ns(),
                source=f"{setup.venue} {spec.origin.value}",
                synthetic=setup.synthetic,
                software=setup.tape.software,
                instruments=self._instruments,
                limits=setup.tape.limits,
            )
        except OSError as error:
            self._event("error", "NOT_RECORDED", f"{setup.tape.wire}: {error}")

    def on(self, msg: Any) -> None:
        """A frame from the venue or bytes for it."""
        kind = type(msg)
        if kind is RawFrame:
            self._take_frame(msg.payload, msg.ts_recv_ns)
        elif kind is FramesReady:
            self._read_source()
        elif kind is WireOut:
            self._out(msg)
        elif kind is SnapshotFrame:
            self._snapshot(msg.symbol, msg.payload, msg.ts_recv_ns)
            self._arm()
        elif kind is LinkUp:
            self._say_up()
            if not self._setup.takes_orders:
                self.tell(self._gateway, msg)
        elif kind is ListingWanted:
            if self._listing is not None:
                self.tell(self._setup.universe, ListingRead(listing=self._listing))
        else:
            self.unknown(msg)

    # In.

    def _frame(self, payload: bytes, ts_recv_ns: int) -> None:
        self.frames += 1
        event = self._codec.decode(payload, ts_recv_ns)
        kind = type(event)
        now = ts_recv_ns + self._offset_ns
        if kind is DepthUpdate:
            self._take_depth(event, ts_recv_ns, now)  # type: ignore[arg-type]
        elif kind is BookTicker:
            self._ticked(self._markets[event.instrument_id], event, now)  # type: ignore[union-attr,arg-type]
        elif kind is tuple or kind is list:
            for one in event:  # type: ignore[union-attr]
                if type(one) is WireRejected:
                    self._refused(one, payload)
                else:
                    self._fact(one, ts_recv_ns, now)
        elif kind is WireRejected:
            self._refused(event, payload)  # type: ignore[arg-type]
        elif event is not None:
            self._fact(event, ts_recv_ns, now)  # type: ignore[arg-type]
        due = self._sim_due
        if due is not None:
            if due <= now:
                self._poll_sim(now)
            # What the venue says next may be due before the next frame comes.
            self._arm()

    def _depth(self, event: DepthUpdate, ts_recv_ns: int, now: int) -> None:
        self._gates.on_message(event.ts_event_ns, ts_recv_ns)
        if ts_recv_ns >= self._gates_ns:
            self._check_venue(ts_recv_ns)
            for change in self._gates.on_event_time(event.instrument_id, event.ts_event_ns, ts_recv_ns):
                self._gate(change)
        market = self._markets[event.instrument_id]
        market.last_ns = ts_recv_ns
        result = market.sync.on_update(event)
        self._synced(market, result, now)
        if market.uneven or not (event.bids and event.asks):
            self._moved(market, event, ts_recv_ns)
        audit = market.audit
        if audit is not None and audit.running:
            self._audited(market, audit.on_update(event), now)

    def _fact(self, event: VenueEvent, ts_recv_ns: int, now: int) -> None:
        """Anything that a venue can say. What only shows how the market is, is counted by its kind."""
        kind = type(event)
        if kind is BookTicker:
            self._ticked(self._markets[event.instrument_id], event, now)  # type: ignore[union-attr,arg-type]
        elif kind is DepthUpdate:
            self._depth(event, ts_recv_ns, now)  # type: ignore[arg-type]
        elif kind is DepthSnapshot:
            self._apply_snapshot(event, now)  # type: ignore[arg-type]
        elif self._catching_up:
            pass
        elif kind is Trade:
            self._trade(event, now)  # type: ignore[arg-type]
        elif kind is MarkPrice:
            self._mark(event, now)  # type: ignore[arg-type]
        elif kind is FundingRate:
            market = self._markets.get(event.instrument_id)  # type: ignore[union-attr]
            if market is not None:
                market.funding = event  # type: ignore[assignment]
            self._shown(self._rebased(event))
        elif kind in _SHOWN:
            self._shown(self._rebased(event))
        elif kind is IndexPrice:
            self._indexed(event)  # type: ignore[arg-type]
        elif kind is InstrumentStatus:
            self._ruled(event)  # type: ignore[arg-type]
        elif kind is VenueNotice:
            self.tell(self._setup.universe, event)
        elif kind is WireRejected:
            self._reject(event)  # type: ignore[arg-type]

    def _ticked(self, market: VenueMarket, event: BookTicker, now: int) -> None:
        """The venue's best prices: a word on how fresh the book is only where the book holds that update already."""
        if market.sync.mode == "bbo" or event.update_id <= market.book.update_id:
            market.last_ns = event.ts_recv_ns
        self._synced(market, market.sync.on_ticker(event), now)

    def _indexed(self, event: IndexPrice) -> None:
        """An index belongs to every instrument of its pair."""
        for market in self._markets.values():
            one = market.instrument
            if event.instrument_id == f"{one.venue.upper()}:INDEX:{one.base}-{one.quote}":
                market.index_px = float(event.index_price / one.tick_size)
        self._shown(self._rebased(event))

    def _shown(self, event: VenueEvent) -> None:
        """Tell those who look on: features and the operators' reports. Whoever acts on it comes first."""
        for name in self._watchers:
            self.tell_later(name, event)

    def _snapshot(self, symbol: str, payload: bytes, ts_recv_ns: int) -> None:
        instrument_id = self._by_symbol.get(symbol)
        if instrument_id is None:
            self._reject(
                WireRejected(
                    venue=self._setup.venue,
                    reason=f"snapshot of unknown symbol {symbol}",
                    excerpt=payload[:200].decode("utf-8", "replace"),
                    ts_recv_ns=ts_recv_ns,
                )
            )
            return
        event = self._codec.decode_snapshot(payload, instrument_id, ts_recv_ns)
        if type(event) is DepthSnapshot:
            self._apply_snapshot(event, ts_recv_ns + self._offset_ns)
        elif type(event) is WireRejected:
            self._reject(event)
            self._markets[instrument_id].sync.on_snapshot_failed()

    def _apply_snapshot(self, event: DepthSnapshot, now: int) -> None:
        market = self._markets[event.instrument_id]
        if event.in_stream:
            market.last_ns = event.ts_recv_ns
        elif market.audit is not None and market.audit.running:
            self._audited(market, market.audit.on_snapshot(event), now)
            return
        self._synced(market, market.sync.on_snapshot(event), now)

    def _synced(self, market: VenueMarket, result: SyncResult, now: int) -> None:
        """A message went through the book's proof: match against it, publish it, or ask for a snapshot."""
        if self._catching_up:
            return
        book = market.book
        if result is not _APPLIED and result in _UNCHANGED:
            if book.state is _SYNCED:
                if market.last_ns - market.told_ns >= _REFRESH_NS:
                    self._publish_top(market)
            elif market.sync.wants_snapshot:
                self._want_snapshot(market)
            return
        if book.state is _SYNCED:
            at_venue = market.at_venue
            if at_venue is not None and (at_venue.busy or self._sim_due is not None or at_venue.book is not book):
                if at_venue.orders or self._sim_due is not None or at_venue.book is not book:
                    sim = self.sim
                    sim.on_book(book, now)
                    self._sim_due = sim.next_due_ns()
                else:
                    at_venue.settle()  # all that `on_book` does where nothing of ours rests and nothing is due
        else:
            if self._sim is not None:
                self._sim.on_book_lost(market.instrument.instrument_id)
            if market.sync.wants_snapshot:
                self._want_snapshot(market)
        self._tell_top(market)

    def _publish_top(self, market: VenueMarket) -> None:
        book = market.book
        proved = book.state is _SYNCED
        if proved is not market.proved:
            # The gateway hears it before anybody else: what waits for the journal may have been approved on this book.
            market.proved = proved
            self.tell(self._gateway, BookProof(market.instrument.instrument_id, proved))
        top = book.to_top(self._top_levels, self._synthetic, market.last_ns if proved else 0)
        now = top.ts_recv_ns
        last = market.last_top
        if (
            last is not None
            and top.bids == last.bids
            and top.asks == last.asks
            and top.state is last.state
            and now - market.told_ns < _REFRESH_NS
        ):
            return  # A quiet book is not a stale one: now and then the desk must see that data still comes.
        market.last_top = top
        market.told_ns = now
        gates = market.gates
        if not gates.is_calm(top.bids, top.asks, now) or gates.closed[0]:
            for change in gates.judge_top(top, now):
                self._gate(change)
        if now >= market.anchors_ns:
            self._check_anchors(market, now)
        if self._offset_ns:
            top = msgspec.structs.replace(
                top, ts_event_ns=top.ts_event_ns + self._offset_ns, ts_recv_ns=top.ts_recv_ns + self._offset_ns
            )
        self.tell(self._market, top)
        for name in self._watchers:
            self.tell_later(name, top)

    def _trade(self, event: Trade, now: int) -> None:
        market = self._markets[event.instrument_id]
        market.trades += 1
        self._printed(market, event)
        if self._sim is not None:
            self._sim.on_trade(event, now)
            self._sim_due = self._sim.next_due_ns()
        event = self._rebased(event)
        self.tell(self._setup.market, event)
        self._shown(event)

    def _mark(self, event: MarkPrice, now: int) -> None:
        market = self._markets[event.instrument_id]
        market.marks += 1
        event = market.with_funding(event)
        tick = market.instrument.tick_size
        market.mark_px = float(event.mark_price / tick)
        if event.index_price is not None:
            market.index_px = float(event.index_price / tick)
        if event.next_funding_ns is not None:
            for change in market.gates.on_funding_time(event.next_funding_ns, event.ts_recv_ns):
                self._gate(change)
        if event.funding_rate is not None:
            for change in market.gates.on_funding(float(event.funding_rate), _FUNDING_HOURS, event.ts_recv_ns):
                self._gate(change)
        rebased = self._rebased(event)
        if self._sim is not None:
            self._sim.on_mark(rebased, now)
            self._sim_due = self._sim.next_due_ns()
        self.tell(self._setup.market, rebased)
        self._shown(rebased)

    def _rebased(self, event: Any) -> Any:
        """The event in the desk's time: a recording that is played live is as old as its offset."""
        offset = self._offset_ns
        if not offset:
            return event
        if type(event) is MarkPrice and event.next_funding_ns is not None:
            event = msgspec.structs.replace(event, next_funding_ns=event.next_funding_ns + offset)
        return msgspec.structs.replace(
            event, ts_event_ns=event.ts_event_ns + offset, ts_recv_ns=event.ts_recv_ns + offset
        )

    def _reject(self, event: WireRejected) -> None:
        """Count it, and tell the first few of every second."""
        self.rejected += 1
        now = self.mono_ns()
        if now - self._events_ns >= _SECOND_NS:
            self._events_ns, self._events_left = now, _MAX_EVENTS_PER_S
        if self._events_left > 0:
            self._events_left -= 1
            self._event("warning", "WIRE_REJECTED", f"{event.venue}: {event.reason}: {event.excerpt}")

    def _refused(self, event: WireRejected, payload: bytes) -> None:
        """A message could not be read. Where it was a book's, that is begun anew, if it can be.

        Where it cannot, the venue's numbers show at the next message whether anything was lost.
        """
        self._reject(event)
        if self._source is not None and self._source.has_snapshots:
            symbol = book_symbol_of(payload, self._by_symbol)
            if symbol is not None:
                self._lose((symbol,))

    def _want_snapshot(self, market: VenueMarket) -> None:
        if self._source is None:
            return
        now = self.now_ns()
        frame = self._source.snapshot(market.instrument.symbol, now)
        market.asked_ns = now - self._offset_ns
        if frame is AWAITED:
            market.sync.on_snapshot_requested(now)
        elif type(frame) is Frame and frame.symbol is not None:
            market.sync.on_snapshot_requested(now - self._offset_ns)
            self._snapshot(frame.symbol, frame.payload, frame.ts_recv_ns)

    # What a feed says of itself.

    def _told(self, event: FeedEvent) -> None:
        news = news_of(event)
        if news is not None:
            self._event(news.level, news.code, news.text)
            if news.lost:
                self._lose(news.lost)
        match event:
            case Connected():
                self._codec.on_connected()
            case MaintenanceBegan():
                self._maintenance = f"the venue is in maintenance: {event.reason}"
                self._brake(MAINTENANCE, self._maintenance)
            case MaintenanceEnded():
                self._maintenance = ""
                self.tell(self._setup.governor, BrakeCleared(code=MAINTENANCE, scope=f"venue:{self._setup.venue}"))
            case Polled():
                self._polled(event)
            case ServerTime():
                self._clocked(event)
            case ViewChanged() if event.failover_ms is not None and self._feed_report is not None:
                self._feed_report.failed_over(event.failover_ms)
            case _:
                pass

    def _polled(self, event: Polled) -> None:
        """What has no stream."""
        if event.channel == "instruments":
            listing = self._listings.take(event.symbol, event.payload, event.ts_ns)
            if listing is not None:
                self._listing = listing
                self.tell(self._setup.universe, ListingRead(listing=listing))
        name = self._by_symbol.get(event.symbol, event.symbol)
        for fact in self._codec.decode_polled(event.channel, event.payload, name, event.ts_ns):
            self._fact(fact, event.ts_ns, event.ts_ns)

    def _lose(self, symbols: tuple[str, ...]) -> None:
        """What was built from a stream that broke proves nothing any more."""
        now = self.now_ns()
        for symbol in symbols:
            market = self._markets.get(self._by_symbol.get(symbol, ""))
            if market is None:
                continue
            market.sync.on_disconnected(now)
            if self._sim is not None:
                self._sim.on_book_lost(market.instrument.instrument_id)
            self._publish_top(market)
            if market.sync.wants_snapshot:
                self._want_snapshot(market)

    # Out.

    def _out(self, msg: WireOut) -> None:
        command, sim = msg.command, self._sim
        if sim is None:
            self.unknown(msg)
            return
        if type(command) is NewOrderSingle:
            # What the venue acts on is what the bytes say.
            read = decode_order_request(
                msg.payload,
                venue=self._setup.venue,
                kind=RequestKind.NEW,
                instruments=self._instruments,
                ts_init_ns=command.ts_init_ns,
            )
            if type(read) is not NewOrderSingle:
                self._event("error", "REQUEST_UNREADABLE", f"{command.cl_ord_id}: {read}")
                return
            command = read
        now = self.now_ns()
        sim.on_command(command, now)
        self._sim_due = sim.next_due_ns()
        if type(command) is AccountStateRequest:
            self._poll_sim(now)
        self._arm()

    def _poll_sim(self, now: int) -> None:
        sim = self._sim
        if sim is None:
            return
        events = sim.poll(now)
        if self._store is not None:
            log = sim.drain_log()
            if log:
                self._store.append(log)
        orders = self._setup.orders
        for event in events:
            self.tell(orders, event)
        self._sim_due = sim.next_due_ns()

    def _arm(self) -> None:
        """Wake for the simulated venue's next event; one wake-up at a time, for they cannot be taken back."""
        due = self._sim_due
        if due is not None and (self._armed_ns is None or due < self._armed_ns):
            self._armed_ns = due
            self.wake_after(max(0, due - self.now_ns()), "sim")

    # Time.

    def on_tick(self, tag: str) -> None:
        """Read the source, run the simulated venue, look at the gates, tell the operators."""
        if tag == "gates":
            self._check_gates()
            return
        match tag:
            case "poll":
                self._poll_source()
            case "sim":
                self._armed_ns = None
                now = self.now_ns()
                if self._sim_due is not None and self._sim_due <= now:
                    self._poll_sim(now)
                self._arm()
            case "report":
                self.wake_after(self._setup.report_ns, "report")
                self._tell_quality()
            case _:
                self.wake_after(self._setup.publish_ns, "publish")
                self._publish()

    def _poll_source(self) -> None:
        self.wake_after(self._setup.poll_ns, "poll")
        self._read_source()

    def _read_source(self) -> None:
        """Everything that has come in, in order."""
        source = self._source
        assert source is not None
        frames = source.poll(self.now_ns())
        if self._tape is not None:
            keep(self._tape, self._setup.venue, frames, self._taped)
        self._offset_ns = source.offset_ns
        recorded_now = self.now_ns() - self._offset_ns
        for frame in frames:
            if type(frame) is Frame:
                # After a restart the past only rebuilds the books: what traded then is not ours to be filled by.
                self._catching_up = recorded_now - frame.ts_recv_ns > _CATCH_UP_NS
                if frame.symbol is not None:
                    self._snapshot(frame.symbol, frame.payload, frame.ts_recv_ns)
                else:
                    self._frame(frame.payload, frame.ts_recv_ns)
            elif type(frame) is WireRejected:
                self._reject(frame)
            else:
                self._told(frame)  # type: ignore[arg-type]
        self._catching_up = False
        if self._feed is not None:
            for item in self._feed.reserve():
                self._from_reserve(item)
        self._poll_sim(self.now_ns())
        self._arm()

    def _from_reserve(self, item: FallbackItem) -> None:
        """What comes through ccxt is shown, flagged, and never traded on."""
        if isinstance(item, FallbackBegan):
            self._event("error", "RESERVE_BEGAN", f"the venue's own streams are lost, ccxt shows it: {item.reason}")
        elif isinstance(item, FallbackEnded):
            self._event("warning", "RESERVE_ENDED", f"the venue's own streams are back after {item.took_ms:.0f} ms")
            for market in self._markets.values():
                market.reserve = None
        elif isinstance(item, ReserveSaid) and isinstance(item.event, DepthSnapshot):
            market = self._markets[item.event.instrument_id]
            market.reserve = item
        elif not isinstance(item, ReserveSaid):
            self._event("warning", "RESERVE", str(item)[:300])

    def stop(self) -> None:
        """Checkpoint the paper account and let go of the files."""
        if self._store is not None and self._sim is not None:
            self._store.checkpoint(self._sim.dump())
            self._store.close()
            self._store = None
        if self._source is not None:
            self._source.close()
            self._source = self._feed = None
        if self._tape is not None:
            self._tape.close(_TAPE_CLOSE_S)
            self._tape = None
