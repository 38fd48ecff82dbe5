"""The connector of one venue: bytes in, proved books and venue events out; bytes out to the venue.

In paper trading the simulated venue is the other end of the wire and lives here, beside the books it matches
against. Owns the books and the gates on them; knows no strategy and no position.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from actors.messages import BrakeCleared, BrakeSet, LinkUp, RawFrame, SnapshotFrame, VenueUp, WireOut
from actors.shell import Shell
from adapters.binance.codec import BinanceCodec
from adapters.binance.orders_codec import RequestKind, decode_order_request
from adapters.paper_store import PaperStore, restore
from adapters.sources import Frame, Source, SourceSpec, open_source
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import (
    BookState,
    BookTicker,
    BookTop,
    DepthSnapshot,
    DepthUpdate,
    MarkPrice,
    Trade,
    WireRejected,
)
from trading.market.gates import GateCleared, GateEvent, GateLevel, GateLimits, GateTripped, SymbolGates, VenueGates
from trading.market.stitch import BookSync, SequenceRule, SyncResult
from trading.operators import Published, Topic
from trading.orders.messages import AccountStateRequest, NewOrderSingle
from trading.sim.config import SimConfig
from trading.sim.matching import Market as MarketAtVenue
from trading.sim.venue import SimVenue

_MILLISECOND_NS = 1_000_000
_SECOND_NS = 1_000_000_000
_MAX_EVENTS_PER_S = 5
_FUNDING_HOURS = 8.0
_LEVELS = {GateLevel.SAFE: 1, GateLevel.PAUSE: 2, GateLevel.HOLD: 3}
_REFRESH_NS = 100_000_000
_CATCH_UP_NS = 1_000_000_000
_CALM_NS = 100_000_000  # how often a closed gate is looked at
_LOOK_NS = 1_000_000_000  # the longest time between two looks at the age of data
_APPLIED = SyncResult.APPLIED
_SYNCED = BookState.SYNCED
_UNCHANGED = frozenset({SyncResult.BUFFERED, SyncResult.DROPPED_OLD, SyncResult.AUDITED, SyncResult.IGNORED})


class ConnectorSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector is built from. ``source`` None: frames are injected (virtual time)."""

    venue: str
    instruments: dict[str, Instrument]
    sim: SimConfig
    sim_seed: int
    paper_dir: Path | None
    source: SourceSpec | None
    bbo_only: tuple[str, ...] = ()
    synthetic: bool = False
    incarnation: int = 0
    poll_ns: int = 5_000_000
    gates_ns: int = 500_000_000
    publish_ns: int = 250_000_000
    gates: GateLimits = GateLimits()
    top_levels: int = 5
    market: str = "market"
    orders: str = "orders"
    governor: str = "governor"
    ops: str = "ops"


class _Market:
    """One instrument's book, gates and counters."""

    __slots__ = (
        "anchors_ns",
        "at_venue",
        "book",
        "gates",
        "instrument",
        "last_ns",
        "last_px",
        "last_top",
        "mark_px",
        "marks",
        "sync",
        "told_ns",
        "trades",
    )

    def __init__(self, instrument: Instrument, bbo_only: bool, limits: GateLimits, at_venue: MarketAtVenue) -> None:
        self.instrument = instrument
        self.at_venue = at_venue
        rule = SequenceRule.SPOT if instrument.kind is InstrumentKind.SPOT else SequenceRule.FUTURES
        self.sync = BookSync(instrument.instrument_id, rule, mode="bbo" if bbo_only else "depth")
        self.book = self.sync.book
        self.last_top: BookTop | None = None
        self.trades = 0
        self.marks = 0
        self.gates = SymbolGates(instrument.instrument_id, limits)
        self.last_ns = 0
        self.told_ns = 0
        self.anchors_ns = 0
        self.last_px: float | None = None
        self.mark_px: float | None = None


class Connector(Shell):
    """Decode, prove, gate, publish; and carry commands to the venue."""

    def start(self, setup: ConnectorSetup) -> None:
        """Build codec, books and the simulated venue; restore its account; open the source."""
        self._setup = setup
        self._top_levels, self._synthetic, self._market = setup.top_levels, setup.synthetic, setup.market
        self._instruments = tuple(setup.instruments.values())
        self._by_symbol = {x.symbol: i for i, x in setup.instruments.items()}
        self._codec = BinanceCodec(setup.venue, list(setup.instruments.values()))
        self._gates = VenueGates(setup.venue, setup.gates)
        self._sim = SimVenue(setup.venue, list(setup.instruments.values()), setup.sim, setup.sim_seed)
        self._markets = {
            i: _Market(x, i in setup.bbo_only, setup.gates, self._sim.market(i)) for i, x in setup.instruments.items()
        }
        self._store: PaperStore | None = None
        if setup.paper_dir is not None:
            self._store = PaperStore(setup.paper_dir / f"{setup.venue}.wal")
            restore(self._sim, self._store)
        self._source: Source | None = None
        self._offset_ns = 0
        self._sim_due: int | None = None
        self._armed_ns: int | None = None
        self._catching_up = False
        self.frames = 0
        self.rejected = 0
        self._events_ns, self._events_left = self.mono_ns(), _MAX_EVENTS_PER_S
        self._last_frames = 0
        if setup.source is not None:
            self._source = open_source(setup.source, setup.venue, self.now_ns())
            self._offset_ns = self._source.offset_ns
            self.wake_after(0, "poll")
        self._gates_ns = 0
        self._fresh_ns = setup.gates.book_freshness_ms * _MILLISECOND_NS
        self.wake_after(_CALM_NS, "gates")
        self.wake_after(setup.publish_ns, "publish")
        self._say_up()

    def _say_up(self) -> None:
        """The desk reconciles with us anew whenever it, we or the link between us began again.

        What it believes about our books may be of another life, so they are told at once, proved or not.
        """
        setup = self._setup
        self.tell(setup.governor, VenueUp(venue=setup.venue, incarnation=setup.incarnation or self.mono_ns()))
        for market in self._markets.values():
            market.last_top = None
            self._publish_top(market)

    @property
    def markets(self) -> dict[str, _Market]:
        """For the replay's report."""
        return self._markets

    @property
    def skew_ms(self) -> float | None:
        """Our clock against the venue's; negative when ours is behind."""
        return self._gates.stream.skew_ms

    @property
    def sim(self) -> SimVenue:
        """For the replay's report: the venue's own account of us."""
        return self._sim

    def on(self, msg: Any) -> None:
        """A frame from the venue or bytes for it."""
        kind = type(msg)
        if kind is RawFrame:
            self._frame(msg.payload, msg.ts_recv_ns)
        elif kind is WireOut:
            self._out(msg)
        elif kind is SnapshotFrame:
            self._snapshot(msg.symbol, msg.payload, msg.ts_recv_ns)
            self._arm()
        elif kind is LinkUp:
            self._say_up()
        else:
            self.unknown(msg)

    # In.

    def _frame(self, payload: bytes, ts_recv_ns: int) -> None:
        self.frames += 1
        event = self._codec.decode(payload, ts_recv_ns)
        kind = type(event)
        now = ts_recv_ns + self._offset_ns
        if kind is DepthUpdate:
            self._gates.on_message(event.ts_event_ns, ts_recv_ns)  # type: ignore[union-attr]
            if ts_recv_ns >= self._gates_ns:
                self._check_venue(ts_recv_ns)
            market = self._markets[event.instrument_id]  # type: ignore[union-attr]
            market.last_ns = ts_recv_ns
            self._synced(market, market.sync.on_update(event), now)  # type: ignore[arg-type]
        elif kind is BookTicker:
            market = self._markets[event.instrument_id]  # type: ignore[union-attr]
            market.last_ns = ts_recv_ns
            self._synced(market, market.sync.on_ticker(event), now)  # type: ignore[arg-type]
        elif self._catching_up:
            if kind is DepthSnapshot:
                self._apply_snapshot(event, now)  # type: ignore[arg-type]
        elif kind is Trade:
            self._trade(event, now)  # type: ignore[arg-type]
        elif kind is MarkPrice:
            self._mark(event, now)  # type: ignore[arg-type]
        elif kind is WireRejected:
            self._reject(event)  # type: ignore[arg-type]
        elif kind is DepthSnapshot:
            self._apply_snapshot(event, now)  # type: ignore[arg-type]
        due = self._sim_due
        if due is not None:
            if due <= now:
                self._poll_sim(now)
            # What the venue says next may be due before the next frame comes.
            self._arm()

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

    def _apply_snapshot(self, event: DepthSnapshot, now: int) -> None:
        market = self._markets[event.instrument_id]
        self._synced(market, market.sync.on_snapshot(event), now)

    def _synced(self, market: _Market, result: SyncResult, now: int) -> None:
        """A message went through the book's proof: match against it, publish it, or ask for a snapshot."""
        if self._catching_up:
            return
        book = market.book
        if result is not _APPLIED and result in _UNCHANGED:
            if market.last_ns - market.told_ns >= _REFRESH_NS and book.state is _SYNCED:
                self._publish_top(market)
            return
        if book.state is _SYNCED:
            at_venue = market.at_venue
            if at_venue.busy or self._sim_due is not None or at_venue.book is not book:
                self._sim.on_book(book, now)
                self._sim_due = self._sim.next_due_ns()
        else:
            self._sim.on_book_lost(market.instrument.instrument_id)
            if market.sync.wants_snapshot:
                self._want_snapshot(market)
        self._publish_top(market)

    def _publish_top(self, market: _Market) -> None:
        book = market.book
        top = book.to_top(self._top_levels, self._synthetic, market.last_ns if book.state is _SYNCED else 0)
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
        for change in market.gates.on_top(top, now):
            self._gate(change)
        if now >= market.anchors_ns:
            self._check_anchors(market, now)
        if self._offset_ns:
            top = msgspec.structs.replace(
                top, ts_event_ns=top.ts_event_ns + self._offset_ns, ts_recv_ns=top.ts_recv_ns + self._offset_ns
            )
        self.tell(self._market, top)

    def _trade(self, event: Trade, now: int) -> None:
        market = self._markets[event.instrument_id]
        market.trades += 1
        market.last_px = event.price_ticks
        self._sim.on_trade(event, now)
        self._sim_due = self._sim.next_due_ns()
        self.tell(self._setup.market, self._rebased(event))

    def _mark(self, event: MarkPrice, now: int) -> None:
        market = self._markets[event.instrument_id]
        market.marks += 1
        market.mark_px = float(event.mark_price / market.instrument.tick_size)
        if event.funding_rate is not None:
            for change in market.gates.on_funding(float(event.funding_rate), _FUNDING_HOURS, event.ts_recv_ns):
                self._gate(change)
        rebased = self._rebased(event)
        self._sim.on_mark(rebased, now)
        self._sim_due = self._sim.next_due_ns()
        self.tell(self._setup.market, rebased)

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

    def _want_snapshot(self, market: _Market) -> None:
        if self._source is None:
            return
        now = self.now_ns()
        frame = self._source.snapshot(market.instrument.symbol, now)
        if frame is not None and frame.symbol is not None:
            market.sync.on_snapshot_requested(now - self._offset_ns)
            self._snapshot(frame.symbol, frame.payload, frame.ts_recv_ns)

    # Out.

    def _out(self, msg: WireOut) -> None:
        command = msg.command
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
        self._sim.on_command(command, now)
        self._sim_due = self._sim.next_due_ns()
        if type(command) is AccountStateRequest:
            self._poll_sim(now)
        self._arm()

    def _poll_sim(self, now: int) -> None:
        events = self._sim.poll(now)
        if self._store is not None:
            log = self._sim.drain_log()
            if log:
                self._store.append(log)
        orders = self._setup.orders
        for event in events:
            self.tell(orders, event)
        self._sim_due = self._sim.next_due_ns()

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
            case _:
                self.wake_after(self._setup.publish_ns, "publish")
                self._publish()

    def _poll_source(self) -> None:
        source = self._source
        assert source is not None
        self.wake_after(self._setup.poll_ns, "poll")
        frames = source.poll(self.now_ns())
        self._offset_ns = source.offset_ns
        recorded_now = self.now_ns() - self._offset_ns
        for frame in frames:
            if type(frame) is not Frame:
                self._reject(frame)  # type: ignore[arg-type]
                continue
            # After a restart the past only rebuilds the books: what traded then is not ours to be filled by.
            self._catching_up = recorded_now - frame.ts_recv_ns > _CATCH_UP_NS
            if frame.symbol is not None:
                self._snapshot(frame.symbol, frame.payload, frame.ts_recv_ns)
            else:
                self._frame(frame.payload, frame.ts_recv_ns)
        self._catching_up = False
        self._poll_sim(self.now_ns())
        self._arm()

    def _check_gates(self) -> None:
        """What shows without any data: its age, and the calm after something. Again when that could next be so."""
        now = self.now_ns() - self._offset_ns
        due = now + _LOOK_NS
        for market in self._markets.values():
            gates = market.gates
            at = market.last_ns + self._fresh_ns
            if at < now or gates.is_any_tripped():
                for change in gates.on_age(market.last_ns, now):
                    self._gate(change)
                if gates.is_any_tripped():
                    self._check_anchors(market, now)
                    at = now + _CALM_NS
            due = min(due, at)
        if self._gates.is_any_tripped():
            self._check_venue(now)
            due = min(due, now + _CALM_NS)
        self.wake_after(due - now + 1, "gates")

    def _check_anchors(self, market: _Market, now: int) -> None:
        """Mid, mark and last trade against each other, at most once in ``gates_ns`` while all is well."""
        market.anchors_ns = now + self._setup.gates_ns
        top = market.last_top
        if top is not None and top.bids and top.asks:
            mid = (top.bids[0][0] + top.asks[0][0]) / 2
            for change in market.gates.on_anchors(mid, market.mark_px, market.last_px, now):
                self._gate(change)

    def _check_venue(self, now: int) -> None:
        """The venue's clock and the holes in its stream, at most once in ``gates_ns`` while all is well."""
        self._gates_ns = now + self._setup.gates_ns
        for change in self._gates.check(now):
            self._gate(change)

    def _gate(self, change: GateEvent) -> None:
        code = change.code.value.upper()
        scope = f"{change.scope.value}:{change.target}"
        if type(change) is GateCleared:
            self.tell(self._setup.governor, BrakeCleared(code=code, scope=scope))
        elif type(change) is GateTripped:
            if change.level is GateLevel.NOTICE:
                self._event("warning", code, change.cause)
                return
            self.tell(
                self._setup.governor,
                BrakeSet(code=code, scope=scope, level=_LEVELS[change.level], cause=change.cause, release="auto"),
            )

    def _publish(self) -> None:
        setup = self._setup
        now = self.now_ns()
        for market in self._markets.values():
            self.tell(
                setup.ops,
                Published(
                    topic=Topic.BOOK, key=market.instrument.instrument_id, body=self._book_body(market, now), ts_ns=now
                ),
            )
        rate = (self.frames - self._last_frames) * 1e9 / setup.publish_ns
        self._last_frames = self.frames
        progress = self._source.progress() if self._source is not None else {}
        states = {m.sync.state for m in self._markets.values()}
        body: dict[str, object] = {
            "venue": setup.venue,
            "state": "synced" if states == {BookState.SYNCED} else "degraded",
            "source": self._source.name if self._source is not None else "injected",
            "synthetic": setup.synthetic,
            "connected": True,
            "msgs_per_s": round(rate, 1),
            "skew_ms": self.skew_ms,
            "progress": progress,
        }
        self.tell(setup.ops, Published(topic=Topic.VENUE, key=setup.venue, body=body, ts_ns=now))
        labels = {"venue": setup.venue}
        series: list[list[object]] = [
            ["ws_messages_total", "counter", labels, self.frames],
            ["wire_rejected_total", "counter", labels, self.rejected],
            ["clock_skew_ms", "gauge", labels, self.skew_ms or 0.0],
        ]
        for market in self._markets.values():
            symbol = {"symbol": market.instrument.instrument_id}
            age = (now - self._offset_ns - market.sync.book.ts_recv_ns) / _MILLISECOND_NS
            series.append(["data_staleness_ms", "gauge", symbol, round(age, 3)])
            series.append(["book_gaps_total", "counter", symbol, market.sync.counters.gaps])
            series.append(["book_resyncs_total", "counter", symbol, market.sync.counters.resyncs])
        self.tell(
            setup.ops,
            Published(topic=Topic.METRICS, key=f"venue.{setup.venue}", body={"series": series}, ts_ns=now),
        )

    def _book_body(self, market: _Market, now: int) -> dict[str, object]:
        sync = market.sync
        instrument = market.instrument
        top: BookTop = sync.book.to_top(self._setup.top_levels, synthetic=self._setup.synthetic)

        def side(levels: tuple[tuple[int, int], ...]) -> list[list[str]]:
            return [[str(instrument.price(t)), str(instrument.qty(q))] for t, q in levels]

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
            "ts_recv_ns": top.ts_recv_ns + self._offset_ns,
            "age_ms": round((now - self._offset_ns - top.ts_recv_ns) / _MILLISECOND_NS, 1),
            "skew_ms": self.skew_ms,
            "spread_bps": spread_bps,
            "reason": sync.reason,
            "messages": sync.counters.messages,
            "gaps": sync.counters.gaps,
            "resyncs": sync.counters.resyncs,
            "rejected": self.rejected,
            "bbo_only": sync.mode == "bbo",
            "compared": sync.counters.audited,
            "mismatched": sync.counters.mismatches,
            "synthetic": self._setup.synthetic,
        }

    def _event(self, level: str, code: str, text: str) -> None:
        now = self.now_ns()
        body: dict[str, object] = {
            "level": level,
            "code": code,
            "text": text,
            "ts_ns": now,
            "cell": f"venue.{self._setup.venue}",
        }
        self.tell(
            self._setup.ops,
            Published(topic=Topic.EVENT, key=f"{self._setup.venue}:{now}:{self.frames}", body=body, ts_ns=now),
        )

    def stop(self) -> None:
        """Checkpoint the paper account and let go of the files."""
        if self._store is not None:
            self._store.checkpoint(self._sim.dump())
            self._store.close()
            self._store = None
        if self._source is not None:
            self._source.close()
            self._source = None
