"""When a book that came through ccxt may be traded on.

Pure. Owns the proof of one such book; asks for no snapshot itself (`wants_snapshot`). ccxt keeps a book by the venue's
messages but does not look for holes everywhere (of Gate.io's ``spot.obu`` it takes any newer message), so no sequence
of ours stands behind it. In its place stands the venue's own word, asked for beside the stream:

- **What proved means.** Two REST books in a row agreed with the live one: brought to one update number
  (`trading.market.shadow`), the best 40 levels a side, or all that both have, were equal to the lot. Each of the two
  had to say something new: a number that was not compared before, or the number at which the live book still stands.
  Then the book is SYNCED.
- **How long it lasts.** ``proof_ms`` (45 s) from the receipt of the last REST book that agreed; each further one renews
  it. Age is judged by the times of messages, live or REST. A silent stream is the gates' (BOOK_STALE), and after
  ``mute_ms`` the source's, who ends the connection.
- **What breaks it, at once:** a REST book that differs; a proof too old; a live book without a number, crossed, off the
  grid or unreadable; a number that comes twice with other levels, or that went back for good; a new connection. Then it
  is SUSPECT and has to be proved by two snapshots again. A REST book that cannot be compared (its number is older than
  what is kept, or the venue states none) says nothing, and renews nothing.

A level that changed and changed back between two messages of the stream, and was caught by REST in between, looks like
a difference: the book is SUSPECT for the seconds that two more snapshots take. On the generated market 4 of 195
comparisons were such with a stream that spoke every 100 ms, and 20 of 186 with a book polled every 150 ms (2026-11).
"""

from __future__ import annotations

from adapters.ccxt_venues.spec import PROOF_MS
from trading.market.book import Book
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate
from trading.market.shadow import ShadowAudit, ShadowResult, ShadowVerdict
from trading.market.stitch import BookSync, SequenceRule, SyncEvent, SyncReason, SyncResult

AGREEING = 2
LEVELS = 40
_SYNCED = BookState.SYNCED


class ShadowedSync(BookSync):
    """`BookSync` of a book through ccxt: proved by comparison alone, as the module says.

    Two books hold the same levels. ``_live`` is what ccxt says; snapshots are compared with it whether the desk may
    trade on it or not. ``book`` carries the desk's word in its state.
    """

    __slots__ = ("_agreed", "_compared_id", "_live", "_proved_ns", "_said_ns", "_shadow", "_valid_ns")

    def __init__(self, instrument_id: str, *, proof_ms: int = PROOF_MS, levels: int = LEVELS) -> None:
        super().__init__(instrument_id, SequenceRule.SPOT)
        self._live = Book(instrument_id)
        self._shadow = ShadowAudit(self._live, SequenceRule.SPOT, levels=levels)
        self._valid_ns = proof_ms * 1_000_000
        self._agreed = 0
        self._proved_ns = 0
        self._said_ns = 0
        self._compared_id = -1

    # --- What the feed says --------------------------------------------------------------------------

    def on_snapshot(self, snapshot: DepthSnapshot) -> SyncResult:
        """A live book that begins (``in_stream``), or one by REST to compare with."""
        self.counters.snapshots += 1
        if self.book.state is BookState.HALT:
            self.counters.ignored += 1
            return SyncResult.IGNORED
        return self._begin(snapshot) if snapshot.in_stream else self._compare(snapshot)

    def on_update(self, update: DepthUpdate) -> SyncResult:
        """What changed in the live book."""
        counters, live, now = self.counters, self._live, update.ts_recv_ns
        counters.messages += 1
        if live.state is not _SYNCED or self.book.state is BookState.HALT:
            counters.ignored += 1
            return SyncResult.IGNORED
        before, number = update.prev_final_update_id, update.final_update_id
        if before != live.update_id or number < before:
            return self._broken(f"update {before}..{number} does not follow {live.update_id}", now)
        if number == before and (update.bids or update.asks):
            return self._broken(f"two books are numbered {number}", now)
        for book in (live, self.book):
            book.apply(update)
        if number == before:
            counters.heartbeats += 1
        counters.applied += 1
        if self.book.crossed():
            return self._crossed(now)
        if self._is_too_old(now):
            return SyncResult.MISMATCH
        compared = self._shadow.on_update(update)
        if compared is not None:
            result = self._judge(compared, now)
            if result is not SyncResult.AUDITED:
                return result
        return SyncResult.APPLIED if self.book.state is _SYNCED else SyncResult.BUFFERED

    def on_ticker(self, ticker: BookTicker) -> SyncResult:
        """Tickers of ccxt have no number to be compared at."""
        return SyncResult.IGNORED

    # --- The proof -----------------------------------------------------------------------------------

    def _begin(self, snapshot: DepthSnapshot) -> SyncResult:
        was_synced, now = self.book.state is _SYNCED, snapshot.ts_recv_ns
        self.counters.messages += 1
        for book in (self._live, self.book):
            book.apply_snapshot(snapshot)
        self._restart()
        numbered = snapshot.last_update_id >= 0
        self._live.state = _SYNCED if numbered else BookState.RESYNC
        text = "the book began anew" if numbered else "the book has no number, nothing can be compared with it"
        if was_synced:
            self._move(SyncEvent.RESET, text, now)
            return SyncResult.RESET
        self._say(SyncEvent.RESET, text, now)
        return SyncResult.BUFFERED

    def _compare(self, snapshot: DepthSnapshot) -> SyncResult:
        if self._live.state is not _SYNCED:
            self.counters.ignored += 1
            self.wants_snapshot = True
            return SyncResult.IGNORED
        now = snapshot.ts_recv_ns
        expired = self._is_too_old(now)
        self._said_ns = now
        compared = self._shadow.on_snapshot(snapshot)
        if compared is not None:
            result = self._judge(compared, now)
            if result is not SyncResult.IGNORED or not expired:
                return result
        return SyncResult.MISMATCH if expired else SyncResult.BUFFERED

    def _judge(self, compared: ShadowResult, now_ns: int) -> SyncResult:
        """One comparison has ended; the next begins with the next snapshot."""
        self._shadow.begin(now_ns)
        match compared.verdict:
            case ShadowVerdict.EQUAL:
                return self._agrees(compared, now_ns)
            case ShadowVerdict.DIFFERENT:
                self.counters.audited += 1
                self.counters.mismatches += 1
                self._lose(compared.reason, now_ns)
                return SyncResult.MISMATCH
            case ShadowVerdict.NO_POINT | ShadowVerdict.ABANDONED:
                return self._says_nothing()

    def _agrees(self, compared: ShadowResult, now_ns: int) -> SyncResult:
        number = compared.snapshot_id
        if number <= self._compared_id and number != self._live.update_id:
            return self._says_nothing()
        self._compared_id = max(number, self._compared_id)
        self.counters.audited += 1
        if self._said_ns - self._proved_ns > self._valid_ns:
            self._agreed = 0
        self._proved_ns = self._said_ns
        self._agreed += 1
        if self.book.state is _SYNCED:
            return SyncResult.AUDITED
        text = f"{self._agreed} of {AGREEING} snapshots agree: {compared.reason} at {number}"
        if self._agreed < AGREEING:
            self.wants_snapshot = True
            self._say(SyncEvent.BRIDGED, text, now_ns)
            return SyncResult.BUFFERED
        self.wants_snapshot = False
        self._note_synced()
        self._move(SyncEvent.BRIDGED, text, now_ns)
        return SyncResult.BRIDGED

    def _says_nothing(self) -> SyncResult:
        self.counters.ignored += 1
        if self.book.state is not _SYNCED:
            self.wants_snapshot = True
        return SyncResult.IGNORED

    def _is_too_old(self, now_ns: int) -> bool:
        """Whether the proof ran out; the book is SUSPECT then."""
        if self.book.state is not _SYNCED or now_ns - self._proved_ns <= self._valid_ns:
            return False
        self._lose(f"no snapshot agreed for {(now_ns - self._proved_ns) / 1e9:.1f} s", now_ns)
        return True

    def _broken(self, text: str, now_ns: int) -> SyncResult:
        """The live book is no book any more, until a connection begins it anew."""
        self.counters.gaps += 1
        self._live.state = BookState.RESYNC
        self._restart()
        self._move(SyncEvent.GAP, text, now_ns)
        return SyncResult.GAP

    def _lose(self, text: str, now_ns: int) -> None:
        was_synced = self.book.state is _SYNCED
        self._restart()
        (self._move if was_synced else self._say)(SyncEvent.MISMATCH, text, now_ns)

    def _restart(self) -> None:
        super()._restart()
        self._agreed = 0
        self._proved_ns = 0
        self._shadow.begin(0)

    def _say(self, event: SyncEvent, text: str, now_ns: int) -> None:
        """Why it is as it is, where it stays so."""
        self.reasons.append(SyncReason(event, self.book.state, text, now_ns))
