"""Books of venues that put their snapshots into the stream: OKX and Bybit.

Owns what these venues do beyond numbered diffs; the machine, its states and its counters are `trading.market.stitch`'s.
Where it says `wants_snapshot`, the driver subscribes to the book's topic again (or fetches the REST book).

OKX v5, channels books, books-l2-tbt, books50-l2-tbt ("Order book channel", okx.com/docs-v5, read 2026-11): a diff
follows the book when its ``prevSeqId`` is the book's ``seqId``; ``seqId == prevSeqId`` with no levels says that nothing
changed for a minute; ``seqId < prevSeqId`` says that the venue began to number anew after maintenance. ``checksum`` is
of the best 25 levels; since 2026-06-23 it is 0 ("Order book channels checksum field deprecation", 2026-05-21), and then
the numbers alone prove the book. Recordings of 2022 have no numbers: then the checksum alone proves it, message by
message. The announced end of the first snapshot ("Delist initial snapshot", docs-v5/log_en, 2026-02-12) changes
nothing here: a book from REST is bridged by ``prevSeqId <= its seqId < seqId``.

Bybit v5, orderbook.{depth} ("Orderbook", bybit-exchange.github.io/docs/v5/websocket/public/orderbook, read 2026-11):
a delta's ``u`` is the last ``u`` + 1; a snapshot, or ``u == 1`` after a restart of the service, replaces the book at
once; ``seq`` never goes back. Depth 1 is snapshots only, repeated after 3 s with the same ``u``.

Numbers never go back (Bybit's ``seq``, OKX's ``seqId`` but for a reset), so a snapshot of the stream that is older than
what the stream has said is not believed, a few times in a row: a venue that numbers anew without a word is, after that.

How codecs fill `DepthUpdate`: OKX ``first_update_id = prevSeqId + 1``, ``final_update_id = seqId``,
``prev_final_update_id = prevSeqId`` (all -1 where there are no numbers); Bybit
``first_update_id = final_update_id = u`` and ``seq``. `BookTicker.update_id` is ``seqId`` of OKX's bbo-tbt and ``seq``
of Bybit's orderbook.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from trading.market.book import PyBook
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate
from trading.market.stitch import BookSync, SequenceRule, SyncEvent, SyncResult

ChecksumOf = Callable[[PyBook], int]
"""The venue's checksum of a book; it spells ticks and lots as the venue does."""

_APPLIED = SyncResult.APPLIED
_PROVED = frozenset({SyncResult.APPLIED, SyncResult.BRIDGED})
_OLD_IN_A_ROW = 3


class StreamSync(BookSync):
    """`BookSync` by the rules of OKX or Bybit.

    Both number diffs without holes (``first_update_id == previous final_update_id + 1``), so that a book of REST is
    bridged as on Binance spot. A snapshot of the stream makes the book SYNCED at once, and replaces a SYNCED one.
    ``checksum_of`` is None where the venue's checksum cannot be computed: numbered diffs are then believed without it.
    """

    __slots__ = ("_bybit", "_checksum_of", "_old_left", "_seq", "_ticker_seq")

    RULES: ClassVar[frozenset[SequenceRule]] = frozenset({SequenceRule.OKX, SequenceRule.BYBIT})

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
        checksum_of: ChecksumOf | None = None,
    ) -> None:
        super().__init__(
            instrument_id,
            rule,
            mode=mode,
            max_buffer=max_buffer,
            max_levels=max_levels,
            snapshot_depth=snapshot_depth,
            max_unaudited=max_unaudited,
        )
        self._bybit = rule is SequenceRule.BYBIT
        self._checksum_of = checksum_of
        self._seq = -1
        self._ticker_seq = -1
        self._old_left = _OLD_IN_A_ROW

    # --- What the feed says --------------------------------------------------------------------------

    def on_update(self, update: DepthUpdate) -> SyncResult:
        """One diff, by the venue's rules; a heartbeat is a diff of nothing."""
        if self._bybit:
            return self._on_delta(update)
        if update.final_update_id <= update.prev_final_update_id:
            self.counters.messages += 1
            if self._bbo or self.book.state is BookState.HALT:
                self.counters.ignored += 1
                return SyncResult.IGNORED
            return self._unnumbered(update) if update.final_update_id < 0 else self._without_progress(update)
        result = super().on_update(update)
        return self._verified(update, result) if update.checksum and result is _APPLIED else result

    def on_snapshot(self, snapshot: DepthSnapshot) -> SyncResult:
        """A snapshot of the stream is the book from now on; one of REST audits it or has to be bridged."""
        counters, book = self.counters, self.book
        if not snapshot.in_stream:
            if snapshot.last_update_id >= 0:
                return super().on_snapshot(snapshot)
            # OKX's REST book says its seqId since 2024 only: without it nothing says where in the stream it belongs.
            counters.ignored += 1
            return SyncResult.IGNORED
        counters.snapshots += 1
        was = book.state
        if self._bbo or was is BookState.HALT:
            counters.ignored += 1
            return SyncResult.IGNORED
        if self._is_old(snapshot):
            if was is BookState.SYNCED:
                counters.dropped_old += 1
                return SyncResult.DROPPED_OLD
            self._old_left -= 1
            self.wants_snapshot = True
            counters.snapshots_too_old += 1
            return SyncResult.SNAPSHOT_TOO_OLD
        self._old_left = _OLD_IN_A_ROW
        book.apply_snapshot(snapshot)
        book.partial = False
        self._restart()
        self.wants_snapshot = False
        book.left_edge = snapshot.last_update_id
        self._seq = snapshot.seq
        if book.crossed():
            return self._crossed(snapshot.ts_recv_ns)
        result = self._verified(snapshot, _APPLIED) if snapshot.checksum else _APPLIED
        if result is _APPLIED and was is not BookState.SYNCED:
            self._note_synced()
            self._move(SyncEvent.BRIDGED, f"snapshot {snapshot.last_update_id} of the stream", snapshot.ts_recv_ns)
            return SyncResult.BRIDGED
        return result

    def _is_old(self, snapshot: DepthSnapshot) -> bool:
        """Whether a snapshot of the stream is of a time before what the stream has said already."""
        if self._bybit:
            return snapshot.last_update_id != 1 and 0 <= snapshot.seq < self._seq and self._old_left > 0
        return 0 <= snapshot.last_update_id < self.book.update_id and self._old_left > 0

    def on_ticker(self, ticker: BookTicker) -> SyncResult:
        """The venue's best bid and ask; without an id (-1) it can be compared with nothing."""
        if self._bbo or not self._bybit:
            return SyncResult.IGNORED if ticker.update_id < 0 else super().on_ticker(ticker)
        # The u of orderbook.1 counts its own messages: only seq is common to all depths.
        self._ticker = ticker
        self._ticker_seq = ticker.update_id
        if 0 <= ticker.update_id == self._seq and self.book.state is BookState.SYNCED:
            return self._audit(SyncResult.AUDITED)
        return SyncResult.IGNORED

    def on_disconnected(self, now_ns: int) -> None:
        """The stream broke; numbers are compared within one life of a stream only."""
        self._old_left = 0
        super().on_disconnected(now_ns)

    # --- OKX -----------------------------------------------------------------------------------------

    def _without_progress(self, update: DepthUpdate) -> SyncResult:
        """``seqId <= prevSeqId``: nothing changed, or the venue numbers anew."""
        counters, last = self.counters, self.book.update_id
        final, prev = update.final_update_id, update.prev_final_update_id
        if final < prev:
            counters.resets += 1
            self._old_left = 0
            self._restart()
            self._move(SyncEvent.RESET, f"venue numbers anew: {final} after {prev}", update.ts_recv_ns)
            return SyncResult.RESET
        if self.book.state is not BookState.SYNCED:
            counters.ignored += 1
            return SyncResult.IGNORED
        if final < last:
            counters.dropped_old += 1
            return SyncResult.DROPPED_OLD
        if final > last or update.bids or update.asks:
            return self._hole(update, f"heartbeat {final} does not stand still at update {last}")
        counters.heartbeats += 1
        self.book.apply(update)
        return self._verified(update, _APPLIED) if update.checksum else _APPLIED

    def _unnumbered(self, update: DepthUpdate) -> SyncResult:
        """A diff of the years without seqId: only its checksum can prove it."""
        book = self.book
        if book.state is not BookState.SYNCED:
            self.counters.ignored += 1
            return SyncResult.IGNORED
        if book.update_id >= 0 or not update.checksum or self._checksum_of is None:
            return self._hole(update, "diff with neither number nor checksum proves nothing")
        book.apply(update)
        self.counters.applied += 1
        if book.crossed():
            return self._crossed(update.ts_recv_ns)
        return self._verified(update, _APPLIED)

    def _verified(self, message: DepthUpdate | DepthSnapshot, proved: SyncResult) -> SyncResult:
        """``proved``, unless the venue's checksum says that the book is not its own."""
        if self._checksum_of is None:
            return proved
        ours = self._checksum_of(self.book)
        if ours == message.checksum:
            self.counters.checksums_ok += 1
            return proved
        self.counters.checksums_failed += 1
        self._restart()
        self._move(SyncEvent.CHECKSUM, f"checksum {ours} is not the venue's {message.checksum}", message.ts_recv_ns)
        return SyncResult.CHECKSUM

    def _bridge(self, snapshot: DepthSnapshot, now_ns: int) -> SyncResult:
        newest = self._buffer[-1]
        result = super()._bridge(snapshot, now_ns)
        if result not in _PROVED:
            return result
        self._seq = newest.seq
        return self._verified(newest, result) if newest.checksum else result

    # --- Bybit ---------------------------------------------------------------------------------------

    def _on_delta(self, update: DepthUpdate) -> SyncResult:
        if update.final_update_id == 1:
            return self.on_snapshot(_restarted(update))
        seq, book = update.seq, self.book
        if seq < self._seq and book.state is BookState.SYNCED and update.final_update_id > book.update_id:
            self.counters.messages += 1
            return self._hole(update, f"sequence went back from {self._seq} to {seq}")
        result = super().on_update(update)
        if result is _APPLIED:
            self._seq = seq
            if seq == self._ticker_seq >= 0:
                return self._audit(_APPLIED)
        return result

    # --- Both ----------------------------------------------------------------------------------------

    def _hole(self, update: DepthUpdate, text: str) -> SyncResult:
        """A gap after a message that cannot be kept for a bridge."""
        self.counters.gaps += 1
        self._restart()
        self._move(SyncEvent.GAP, text, update.ts_recv_ns)
        return SyncResult.GAP


def _restarted(update: DepthUpdate) -> DepthSnapshot:
    """Bybit's delta of ``u == 1`` as the snapshot that it is."""
    return DepthSnapshot(
        instrument_id=update.instrument_id,
        last_update_id=1,
        bids=list(update.bids),
        asks=list(update.asks),
        ts_event_ns=update.ts_event_ns,
        ts_recv_ns=update.ts_recv_ns,
        seq=update.seq,
        in_stream=True,
    )
