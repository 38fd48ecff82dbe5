"""The proof that a book is right: snapshot and diffs stitched by the venue's own sequence rules.

Owns one book, its state and the reasons for it. Does not fetch snapshots: it says `wants_snapshot`, and whoever
drives it fetches one and answers with `on_snapshot` (or `on_snapshot_failed`).
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import ClassVar, Literal

import msgspec

from trading.market.book import Book
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate


class SequenceRule(Enum):
    """How a venue numbers its diffs.

    SPOT: Binance spot, "How to manage a local order book correctly", binance-spot-api-docs/web-socket-streams.md
    (read 2026-11): ignore ``u <= lastUpdateId``; the first applied diff covers ``lastUpdateId + 1``; then
    ``U == previous u + 1``.

    FUTURES: Binance USD-M and COIN-M, "How to manage a local order book correctly", developers.binance.com
    derivatives websocket market streams (read 2026-11): drop ``u < lastUpdateId``; the first applied diff has
    ``U <= lastUpdateId <= u``; then ``pu == previous u``.

    OKX and BYBIT put snapshots into the stream itself: `trading.market.stream_stitch` says their rules and keeps
    their books.
    """

    SPOT = "spot"
    FUTURES = "futures"
    OKX = "okx"
    BYBIT = "bybit"


class SyncEvent(Enum):
    """What can happen to a book's proof."""

    BRIDGED = "bridged"
    TICKED = "ticked"
    GAP = "gap"
    CROSSED = "crossed"
    MISMATCH = "mismatch"
    HORIZON = "horizon"
    CHECKSUM = "checksum"
    RESET = "reset"
    SNAPSHOT_REQUESTED = "snapshot_requested"
    DISCONNECTED = "disconnected"
    HALTED = "halted"
    RESUMED = "resumed"


class SyncResult(Enum):
    """What became of one message."""

    # Looked up for every message: the hash of their identity costs no call.
    __hash__ = object.__hash__

    APPLIED = "applied"
    BRIDGED = "bridged"
    BUFFERED = "buffered"
    DROPPED_OLD = "dropped_old"
    AUDITED = "audited"
    IGNORED = "ignored"
    GAP = "gap"
    CROSSED = "crossed"
    MISMATCH = "mismatch"
    HORIZON = "horizon"
    CHECKSUM = "checksum"
    RESET = "reset"
    SNAPSHOT_TOO_OLD = "snapshot_too_old"


TRANSITIONS: dict[tuple[BookState, SyncEvent], BookState] = {
    (BookState.RESYNC, SyncEvent.BRIDGED): BookState.SYNCED,
    (BookState.RESYNC, SyncEvent.TICKED): BookState.SYNCED,
    (BookState.RESYNC, SyncEvent.GAP): BookState.RESYNC,  # a hole among buffered diffs: nothing was vouched for yet
    (BookState.RESYNC, SyncEvent.CROSSED): BookState.SUSPECT,
    (BookState.RESYNC, SyncEvent.HORIZON): BookState.SUSPECT,
    (BookState.RESYNC, SyncEvent.CHECKSUM): BookState.SUSPECT,
    (BookState.RESYNC, SyncEvent.RESET): BookState.RESYNC,  # the numbers that were waited for will not come
    (BookState.RESYNC, SyncEvent.SNAPSHOT_REQUESTED): BookState.RESYNC,
    (BookState.RESYNC, SyncEvent.DISCONNECTED): BookState.RESYNC,
    (BookState.RESYNC, SyncEvent.HALTED): BookState.HALT,
    (BookState.SYNCED, SyncEvent.BRIDGED): BookState.SYNCED,  # a fresh snapshot, wider than the one before
    (BookState.SYNCED, SyncEvent.GAP): BookState.SUSPECT,
    (BookState.SYNCED, SyncEvent.CROSSED): BookState.SUSPECT,
    (BookState.SYNCED, SyncEvent.MISMATCH): BookState.SUSPECT,
    (BookState.SYNCED, SyncEvent.HORIZON): BookState.SUSPECT,
    (BookState.SYNCED, SyncEvent.CHECKSUM): BookState.SUSPECT,
    (BookState.SYNCED, SyncEvent.RESET): BookState.SUSPECT,
    (BookState.SYNCED, SyncEvent.DISCONNECTED): BookState.SUSPECT,
    (BookState.SYNCED, SyncEvent.HALTED): BookState.HALT,
    (BookState.SUSPECT, SyncEvent.BRIDGED): BookState.SYNCED,  # a snapshot that was under way before we asked
    (BookState.SUSPECT, SyncEvent.TICKED): BookState.SYNCED,  # each ticker is a whole best bid and ask
    (BookState.SUSPECT, SyncEvent.GAP): BookState.SUSPECT,
    (BookState.SUSPECT, SyncEvent.CROSSED): BookState.SUSPECT,
    (BookState.SUSPECT, SyncEvent.HORIZON): BookState.SUSPECT,
    (BookState.SUSPECT, SyncEvent.CHECKSUM): BookState.SUSPECT,
    (BookState.SUSPECT, SyncEvent.RESET): BookState.SUSPECT,
    (BookState.SUSPECT, SyncEvent.SNAPSHOT_REQUESTED): BookState.RESYNC,
    (BookState.SUSPECT, SyncEvent.DISCONNECTED): BookState.SUSPECT,
    (BookState.SUSPECT, SyncEvent.HALTED): BookState.HALT,
    (BookState.HALT, SyncEvent.RESUMED): BookState.RESYNC,
    (BookState.HALT, SyncEvent.HALTED): BookState.HALT,
    (BookState.HALT, SyncEvent.DISCONNECTED): BookState.HALT,
    (BookState.HALT, SyncEvent.SNAPSHOT_REQUESTED): BookState.HALT,
}


class SyncCounters(msgspec.Struct):
    """What was done with one book's messages; ``audited`` counts comparisons with the venue's own best prices.

    ``gaps`` are holes that the venue's numbers show; ``resets`` are where the venue itself began to number anew.
    """

    messages: int = 0
    applied: int = 0
    dropped_old: int = 0
    buffered: int = 0
    buffer_overflows: int = 0
    ignored: int = 0
    gaps: int = 0
    crossed: int = 0
    audited: int = 0
    mismatches: int = 0
    horizon_exits: int = 0
    snapshots: int = 0
    snapshots_too_old: int = 0
    resyncs: int = 0
    heartbeats: int = 0
    resets: int = 0
    checksums_ok: int = 0
    checksums_failed: int = 0


class SyncReason(msgspec.Struct, frozen=True):
    """Why a book changed its state. ``ts_recv_ns`` is that of the message that was the cause."""

    event: SyncEvent
    state: BookState
    text: str
    ts_recv_ns: int


# Looked up once: these are read for every diff.
_SYNCED = BookState.SYNCED
_APPLIED = SyncResult.APPLIED


class BookSync:
    """One book and the machine that vouches for it.

    ``mode`` "depth" stitches a REST snapshot and diffs; at most ``max_buffer`` diffs wait for the snapshot (the
    newest are kept). ``snapshot_depth`` is how many levels a side the snapshots are asked for: a side that comes with
    as many is cut off there. When a best price leaves that horizon the book is ``partial``, wants a fresh snapshot and
    stays SYNCED only while the venue's ticker vouches for the touch: after ``max_unaudited`` applied diffs without an
    agreeing ticker it is SUSPECT.

    ``mode`` "bbo" is for streams that have no snapshot: the book holds the venue's own best bid and ask from
    `on_ticker`, is flagged ``partial``, and diffs are ignored.

    What no venue rule can prove (a changed quantity inside a well-numbered diff) is audited: whenever a ticker and the
    book carry the same update id, their best prices and quantities must agree.
    """

    __slots__ = (
        "_audited_at",
        "_bbo",
        "_buffer",
        "_counters",
        "_futures",
        "_max_unaudited",
        "_pending",
        "_refreshing",
        "_snapshot_depth",
        "_synced_once",
        "_ticker",
        "_ticker_id",
        "book",
        "mode",
        "reasons",
        "wants_snapshot",
    )

    RULES: ClassVar[frozenset[SequenceRule]] = frozenset({SequenceRule.SPOT, SequenceRule.FUTURES})

    def __init__(
        self,
        instrument_id: str,
        rule: SequenceRule,
        *,
        mode: Literal["depth", "bbo"] = "depth",
        max_buffer: int = 1024,
        max_levels: int = 5000,
        snapshot_depth: int = 1000,
        max_unaudited: int = 1000,
    ) -> None:
        if rule not in self.RULES:
            raise ValueError(f"{type(self).__name__} does not keep books by the rule {rule.value!r}")
        self.book = Book(instrument_id, max_levels)
        self._counters = SyncCounters()
        self.reasons: deque[SyncReason] = deque(maxlen=32)
        self.mode = mode
        self.wants_snapshot = mode == "depth"
        self._bbo = mode == "bbo"
        self._futures = rule is SequenceRule.FUTURES
        self._snapshot_depth = snapshot_depth
        self._max_unaudited = max_unaudited
        self._audited_at = -max_unaudited
        # A SYNCED book that waits for a fresh snapshot keeps its newest diffs to bridge it.
        self._refreshing = False
        self._buffer: deque[DepthUpdate] = deque(maxlen=max_buffer)
        self._pending: DepthSnapshot | None = None
        self._synced_once = False
        self._ticker: BookTicker | None = None
        self._ticker_id = -1

    @property
    def state(self) -> BookState:
        """SYNCED, or the book may not be used."""
        return self.book.state

    @property
    def counters(self) -> SyncCounters:
        """What was done with the messages so far; read it anew for what is done later."""
        counters, book = self._counters, self.book
        followed = book.followed
        if followed:
            book.followed = 0
            counters.messages += followed
            counters.applied += followed
        return counters

    @property
    def reason(self) -> str:
        """Why the book is in its state, in words; empty before the first event."""
        return self.reasons[-1].text if self.reasons else ""

    # --- What the feed says --------------------------------------------------------------------------

    def on_update(self, update: DepthUpdate) -> SyncResult:
        """One diff. Applied only when it provably follows the book."""
        book = self.book
        if book.state is not _SYNCED or self._bbo:
            self._counters.messages += 1
            return self._update_unsynced(update)
        # A diff that follows is counted by the book, until somebody asks for the counters.
        sound = book.follow(update, self._futures)
        if sound and update.final_update_id != self._ticker_id and not self._refreshing:
            return _APPLIED
        if sound is None:
            return self._not_following(update)
        if not sound and book.crossed():
            return self._crossed(update.ts_recv_ns)
        if update.final_update_id == self._ticker_id and self._audit(SyncResult.APPLIED) is SyncResult.MISMATCH:
            return SyncResult.MISMATCH
        if self._refreshing or (not sound and book.beyond_horizon()):
            return self._applied_beyond_horizon(update)
        return _APPLIED

    def on_snapshot(self, snapshot: DepthSnapshot) -> SyncResult:
        """A snapshot, asked for or not: audits a SYNCED book, and replaces it only when it wanted a fresh one."""
        self.counters.snapshots += 1
        book = self.book
        if self._bbo or book.state is BookState.HALT:
            self.counters.ignored += 1
            return SyncResult.IGNORED
        if book.state is BookState.SYNCED and not self._refreshing:
            return self._audit_snapshot(snapshot)
        if self._pending is not None and snapshot.last_update_id <= self._pending.last_update_id:
            self.counters.ignored += 1
            return SyncResult.IGNORED
        self._pending = snapshot
        self.wants_snapshot = False
        return self._try_bridge(snapshot.ts_recv_ns)

    def on_ticker(self, ticker: BookTicker) -> SyncResult:
        """The venue's best bid and ask: the book itself in mode "bbo", an audit of it in mode "depth"."""
        book = self.book
        if not self._bbo:
            self._ticker = ticker
            self._ticker_id = ticker.update_id
            if ticker.update_id == book.update_id and book.state is BookState.SYNCED:
                return self._audit(SyncResult.AUDITED)
            return SyncResult.IGNORED
        counters, state, update_id = self.counters, book.state, ticker.update_id
        counters.messages += 1
        if state is BookState.HALT:
            counters.ignored += 1
            return SyncResult.IGNORED
        if update_id <= book.update_id:
            counters.dropped_old += 1
            return SyncResult.DROPPED_OLD
        sound = book.apply_ticker(ticker)
        counters.applied += 1
        if not sound and book.crossed():
            return self._crossed(ticker.ts_recv_ns)
        if state is not _SYNCED:
            self._note_synced()
            self._move(SyncEvent.TICKED, "best bid and ask from the venue's ticker only", ticker.ts_recv_ns)
        return _APPLIED

    # --- What the driver says ------------------------------------------------------------------------

    def on_snapshot_requested(self, now_ns: int) -> None:
        """A snapshot is under way: do not ask again."""
        self.wants_snapshot = False
        if self.book.state is not BookState.SYNCED:
            self._move(SyncEvent.SNAPSHOT_REQUESTED, "snapshot requested", now_ns)

    def on_snapshot_failed(self) -> None:
        """The snapshot will not come: ask again when you can."""
        unproved = self.book.state in {BookState.SUSPECT, BookState.RESYNC} or self._refreshing
        if not self._bbo and unproved and self._pending is None:
            self.wants_snapshot = True

    def on_disconnected(self, now_ns: int) -> None:
        """The stream broke: what was buffered proves nothing any more."""
        self._restart()
        self._move(SyncEvent.DISCONNECTED, "stream disconnected", now_ns)
        if self._bbo:
            # Update ids of a new connection may be compared with the old ones only within one venue session.
            self.book.update_id = -1

    def on_halt(self, reason: str, now_ns: int) -> None:
        """The venue stopped trading this instrument."""
        self._restart()
        self.wants_snapshot = False
        self._move(SyncEvent.HALTED, f"halted: {reason}", now_ns)

    def on_resume(self, now_ns: int) -> None:
        """The venue trades again: the book is rebuilt from nothing. Ignored unless halted."""
        if self.book.state is BookState.HALT:
            self.book.clear()
            self._restart()
            self._move(SyncEvent.RESUMED, "venue resumed, rebuilding", now_ns)

    # --- The machine ---------------------------------------------------------------------------------

    def _not_following(self, update: DepthUpdate) -> SyncResult:
        """What is inside of what the book holds is old; anything else is a hole."""
        book, edge, final = self.book, self._left(update), update.final_update_id
        self._counters.messages += 1
        if final <= book.update_id and edge <= book.left_edge:
            self._counters.dropped_old += 1
            return SyncResult.DROPPED_OLD
        return self._gap(update, f"diff {edge}..{final} does not follow update {book.update_id}")

    def _update_unsynced(self, update: DepthUpdate) -> SyncResult:
        if self._bbo or self.book.state is BookState.HALT:
            self.counters.ignored += 1
            return SyncResult.IGNORED
        buffer = self._buffer
        if buffer:
            tail = buffer[-1]
            if not self._follows(update, tail.final_update_id):
                if update.final_update_id <= tail.final_update_id and self._left(update) <= self._left(tail):
                    self.counters.dropped_old += 1
                    return SyncResult.DROPPED_OLD
                self.counters.gaps += 1
                buffer.clear()
                buffer.append(update)
                self._move(SyncEvent.GAP, f"hole among buffered diffs after {tail.final_update_id}", update.ts_recv_ns)
                return self._try_bridge(update.ts_recv_ns) if self._pending is not None else SyncResult.GAP
        if len(buffer) == buffer.maxlen:
            self.counters.buffer_overflows += 1
        buffer.append(update)
        self.counters.buffered += 1
        if self._pending is not None:
            return self._try_bridge(update.ts_recv_ns)
        return SyncResult.BUFFERED

    def _try_bridge(self, now_ns: int) -> SyncResult:
        snapshot = self._pending
        assert snapshot is not None
        last = snapshot.last_update_id
        buffer = self._buffer
        dropped = False
        while buffer and (buffer[0].final_update_id < last if self._futures else buffer[0].final_update_id <= last):
            buffer.popleft()
            self.counters.dropped_old += 1
            dropped = True
        if not buffer:
            return SyncResult.DROPPED_OLD if dropped else SyncResult.BUFFERED
        first = buffer[0]
        if first.first_update_id > (last if self._futures else last + 1):
            self._pending = None
            self.wants_snapshot = True
            self.counters.snapshots_too_old += 1
            return SyncResult.SNAPSHOT_TOO_OLD
        return self._bridge(snapshot, now_ns)

    def _bridge(self, snapshot: DepthSnapshot, now_ns: int) -> SyncResult:
        book = self.book
        book.apply_snapshot(snapshot, self._snapshot_depth)
        for update in self._buffer:
            book.apply(update)
        if book.state is not BookState.SYNCED:
            self.counters.applied += len(self._buffer)
        book.left_edge = self._left(self._buffer[-1])
        self._buffer.clear()
        self._pending = None
        if book.crossed():
            return self._crossed(now_ns)
        if book.beyond_horizon():
            return self._beyond_horizon(now_ns)
        self._refreshing = book.partial = False
        if book.state is not BookState.SYNCED:
            self._note_synced()
        self._move(SyncEvent.BRIDGED, f"snapshot {snapshot.last_update_id} bridged to {book.update_id}", now_ns)
        return self._audit(SyncResult.BRIDGED) if book.update_id == self._ticker_id else SyncResult.BRIDGED

    def _left(self, update: DepthUpdate) -> int:
        return update.prev_final_update_id if self._futures else update.first_update_id

    def _follows(self, update: DepthUpdate, last: int) -> bool:
        if update.final_update_id <= last:
            return False
        return update.prev_final_update_id == last if self._futures else update.first_update_id == last + 1

    def _gap(self, update: DepthUpdate, text: str) -> SyncResult:
        self.counters.gaps += 1
        self._restart()
        self._buffer.append(update)
        self._move(SyncEvent.GAP, text, update.ts_recv_ns)
        return SyncResult.GAP

    def _crossed(self, now_ns: int) -> SyncResult:
        self.counters.crossed += 1
        self._restart()
        self._move(SyncEvent.CROSSED, f"crossed: bid {self.book.best_bid()} ask {self.book.best_ask()}", now_ns)
        return SyncResult.CROSSED

    def _applied_beyond_horizon(self, update: DepthUpdate) -> SyncResult:
        """The touch left the snapshot's range: want a fresh one, and go on only while the ticker vouches."""
        if not self._refreshing:
            self._refreshing = self.book.partial = self.wants_snapshot = True
            self.counters.horizon_exits += 1
        if self.counters.applied - self._audited_at > self._max_unaudited and self.book.beyond_horizon():
            return self._beyond_horizon(update.ts_recv_ns)
        self._buffer.append(update)
        if self._pending is not None:
            self._try_bridge(update.ts_recv_ns)
        return SyncResult.APPLIED if self.book.state is BookState.SYNCED else SyncResult.CROSSED

    def _beyond_horizon(self, now_ns: int) -> SyncResult:
        self._restart()
        self._move(
            SyncEvent.HORIZON, "best price outside of the snapshot's range, and no ticker vouches for it", now_ns
        )
        return SyncResult.HORIZON

    def _audit(self, agreed: SyncResult) -> SyncResult:
        ticker = self._ticker
        assert ticker is not None
        self.counters.audited += 1
        ours = (self.book.best_bid(), self.book.best_ask())
        theirs = ((ticker.bid_ticks, ticker.bid_lots), (ticker.ask_ticks, ticker.ask_lots))
        if ours == theirs:
            self._audited_at = self.counters.applied
            return agreed
        self.counters.mismatches += 1
        self._restart()
        self._move(SyncEvent.MISMATCH, f"book {ours} is not ticker {theirs} at {ticker.update_id}", ticker.ts_recv_ns)
        return SyncResult.MISMATCH

    def _audit_snapshot(self, snapshot: DepthSnapshot) -> SyncResult:
        book = self.book
        if snapshot.last_update_id != book.update_id:
            self.counters.ignored += 1
            return SyncResult.IGNORED
        self.counters.audited += 1
        other = Book(book.instrument_id, book.max_levels)
        other.apply_snapshot(snapshot)
        if other.top(20) == book.top(20):
            return SyncResult.AUDITED
        self.counters.mismatches += 1
        self._restart()
        self._move(SyncEvent.MISMATCH, f"book is not snapshot {snapshot.last_update_id}", snapshot.ts_recv_ns)
        return SyncResult.MISMATCH

    def _restart(self) -> None:
        self._buffer.clear()
        self._pending = None
        self._refreshing = False
        self.wants_snapshot = not self._bbo

    def _note_synced(self) -> None:
        if self._synced_once:
            self.counters.resyncs += 1
        self._synced_once = True

    def _move(self, event: SyncEvent, text: str, now_ns: int) -> None:
        state = TRANSITIONS[self.book.state, event]
        self.book.state = state
        self.reasons.append(SyncReason(event, state, text, now_ns))
