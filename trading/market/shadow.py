"""Whether a live book is what the venue itself says: a snapshot asked for beside it, compared at one update id.

Owns the comparison; the live book goes on meanwhile. Does not ask for snapshots, and condemns no book: the evidence of
a difference goes to `BookSync.on_snapshot`, whose audit does.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

from trading.market.book import Book, PyBook
from trading.market.events import BookState, DepthSnapshot, DepthUpdate, Level
from trading.market.stitch import SequenceRule

_MS = 1_000_000


class ShadowVerdict(Enum):
    """How an audit ended. NO_POINT: snapshot and diffs never met. ABANDONED: the live book lost its own proof."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NO_POINT = "no_point"
    ABANDONED = "abandoned"


class LevelDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One price at which the two books hold other quantities (lots; 0: none). ``depth`` 1 is the best price."""

    side: str
    depth: int
    price_ticks: int
    live_lots: int
    shadow_lots: int


class ShadowResult(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What one audit found at ``update_id``: levels compared on both sides, how many differ, the best that does.

    ``evidence`` is the shadow as a snapshot at the live book's update id, present when they differ.
    """

    instrument_id: str
    verdict: ShadowVerdict
    reason: str
    snapshot_id: int
    update_id: int = -1
    compared: int = 0
    differing: int = 0
    first: LevelDifference | None = None
    evidence: DepthSnapshot | None = None
    ts_ns: int


class ShadowCounters(msgspec.Struct):
    """Audits and their ends."""

    begun: int = 0
    equal: int = 0
    different: int = 0
    no_point: int = 0
    abandoned: int = 0


class ShadowAudit:
    """Audits of one live book, one at a time: `begin` when the snapshot is asked for, then feed both in any order.

    The snapshot is of an update id that the live book has left or not yet reached. So the diffs since `begin` are kept,
    at most ``diffs_max``; those that follow the snapshot by the venue's rule are applied to it until it is at the live
    book's id, and there the best ``levels`` a side are compared, as deep as the snapshot reaches. A diff that began
    before the snapshot and ended after it may be applied whole: its quantities are absolute.
    """

    __slots__ = ("_begun_ns", "_diffs", "_futures", "_levels", "_snapshot", "_snapshot_depth", "_wait_ns", "book",
                 "counters", "running")  # fmt: skip

    def __init__(
        self,
        book: PyBook,
        rule: SequenceRule,
        *,
        levels: int = 100,
        diffs_max: int = 2048,
        snapshot_depth: int = 1000,
        wait_ms_max: int = 10_000,
    ) -> None:
        """``snapshot_depth`` is how many levels a side were asked for: a side with as many is cut off there."""
        self.book = book
        self.running = False
        self.counters = ShadowCounters()
        self._futures = rule is SequenceRule.FUTURES
        self._levels = levels
        self._snapshot_depth = snapshot_depth
        self._wait_ns = wait_ms_max * _MS
        self._diffs: deque[DepthUpdate] = deque(maxlen=diffs_max)
        self._snapshot: DepthSnapshot | None = None
        self._begun_ns = 0

    def begin(self, now_ns: int) -> None:
        """A snapshot is being asked for; an audit that still runs begins anew."""
        self.running = True
        self.counters.begun += 1
        self._diffs.clear()
        self._snapshot = None
        self._begun_ns = now_ns

    def on_update(self, update: DepthUpdate) -> ShadowResult | None:
        """A diff that the live book has just applied. While no audit runs this is not needed."""
        if not self.running:
            return None
        if self.book.state is not BookState.SYNCED:
            return self._end(ShadowVerdict.ABANDONED, f"the live book is {self.book.state.value}", update.ts_recv_ns)
        self._diffs.append(update)
        return self._try(update.ts_recv_ns) if self._snapshot is not None else None

    def on_snapshot(self, snapshot: DepthSnapshot) -> ShadowResult | None:
        """The snapshot; the verdict comes with it, or with the diff that reaches its update id."""
        if not self.running:
            return None
        self._snapshot = snapshot
        if self.book.state is not BookState.SYNCED:
            return self._end(ShadowVerdict.ABANDONED, f"the live book is {self.book.state.value}", snapshot.ts_recv_ns)
        if snapshot.last_update_id < 0:
            return self._end(ShadowVerdict.NO_POINT, "the snapshot has no update id", snapshot.ts_recv_ns)
        return self._try(snapshot.ts_recv_ns)

    def on_snapshot_failed(self, reason: str, now_ns: int) -> ShadowResult | None:
        """The snapshot will not come."""
        return self._end(ShadowVerdict.NO_POINT, reason, now_ns) if self.running else None

    def on_tick(self, now_ns: int) -> ShadowResult | None:
        """End an audit that waits too long."""
        if not self.running or now_ns - self._begun_ns < self._wait_ns:
            return None
        return self._end(ShadowVerdict.NO_POINT, f"nothing to compare after {self._wait_ns // _MS} ms", now_ns)

    # --- The comparison ------------------------------------------------------------------------------

    def _try(self, now_ns: int) -> ShadowResult | None:
        snapshot, book = self._snapshot, self.book
        assert snapshot is not None
        last = snapshot.last_update_id
        if book.update_id < last:
            return None
        after = [diff for diff in self._diffs if diff.final_update_id > last]
        if book.update_id > last:
            if not after:
                return self._end(ShadowVerdict.NO_POINT, "the snapshot is older than the kept diffs", now_ns)
            first = after[0]
            # The venue's rule for the first diff after a snapshot; where the diff before it is kept, that joins them.
            joins = first.first_update_id <= last + 1 or (self._futures and first.prev_final_update_id <= last)
            if not joins:
                return self._end(ShadowVerdict.NO_POINT, f"no kept diff follows snapshot {last}", now_ns)
        shadow = Book(book.instrument_id, book.max_levels)
        shadow.apply_snapshot(snapshot, self._snapshot_depth)
        for diff in after:
            shadow.apply(diff)
        if shadow.update_id != book.update_id:
            return self._end(
                ShadowVerdict.NO_POINT, f"the shadow is at {shadow.update_id}, the book at {book.update_id}", now_ns
            )
        return self._compare(shadow, now_ns)

    def _compare(self, shadow: PyBook, now_ns: int) -> ShadowResult:
        live = self.book
        ours, theirs = live.top(self._levels), shadow.top(self._levels)
        low = max(_end_of(a, self._levels, b.bid_horizon) for a, b in ((ours[0], live), (theirs[0], shadow)))
        high = min(_end_of(a, self._levels, b.ask_horizon) for a, b in ((ours[1], live), (theirs[1], shadow)))
        bids, bids_apart = _differences("bid", _within(ours[0], low, high), _within(theirs[0], low, high))
        asks, asks_apart = _differences("ask", _within(ours[1], low, high), _within(theirs[1], low, high))
        compared, found = bids + asks, bids_apart + asks_apart
        if not found:
            return self._end(
                ShadowVerdict.EQUAL, f"{compared} levels agree", now_ns, update_id=live.update_id, compared=compared
            )
        first = min(found, key=lambda difference: difference.depth)
        text = (
            f"{len(found)} of {compared} levels differ, first {first.side} {first.depth} at {first.price_ticks}: "
            f"{first.live_lots} lots, the venue says {first.shadow_lots}"
        )
        return self._end(
            ShadowVerdict.DIFFERENT,
            text,
            now_ns,
            update_id=live.update_id,
            compared=compared,
            differing=len(found),
            first=first,
            evidence=self._evidence(shadow, now_ns),
        )

    def _evidence(self, shadow: PyBook, now_ns: int) -> DepthSnapshot:
        bids, asks = shadow.top(self.book.max_levels)
        return DepthSnapshot(
            instrument_id=shadow.instrument_id,
            last_update_id=shadow.update_id,
            bids=list(bids),
            asks=list(asks),
            ts_event_ns=shadow.ts_event_ns,
            ts_recv_ns=now_ns,
        )

    def _end(
        self,
        verdict: ShadowVerdict,
        reason: str,
        now_ns: int,
        *,
        update_id: int = -1,
        compared: int = 0,
        differing: int = 0,
        first: LevelDifference | None = None,
        evidence: DepthSnapshot | None = None,
    ) -> ShadowResult:
        counters = self.counters
        match verdict:
            case ShadowVerdict.EQUAL:
                counters.equal += 1
            case ShadowVerdict.DIFFERENT:
                counters.different += 1
            case ShadowVerdict.NO_POINT:
                counters.no_point += 1
            case ShadowVerdict.ABANDONED:
                counters.abandoned += 1
        snapshot = self._snapshot
        self.running = False
        self._diffs.clear()
        self._snapshot = None
        return ShadowResult(
            instrument_id=self.book.instrument_id,
            verdict=verdict,
            reason=reason,
            snapshot_id=-1 if snapshot is None else snapshot.last_update_id,
            update_id=update_id,
            compared=compared,
            differing=differing,
            first=first,
            evidence=evidence,
            ts_ns=now_ns,
        )


def _end_of(side: tuple[Level, ...], levels: int, horizon: int) -> int:
    """The last price at which a side can be compared: where it was cut off, or the book's own horizon."""
    return side[-1][0] if len(side) == levels else horizon


def _within(side: tuple[Level, ...], low: int, high: int) -> dict[int, int]:
    return {tick: lots for tick, lots in side if low <= tick <= high}


def _differences(side: str, live: dict[int, int], shadow: dict[int, int]) -> tuple[int, list[LevelDifference]]:
    """How many prices were compared, and those at which the quantities differ, best first."""
    ticks = sorted(live.keys() | shadow.keys(), reverse=side == "bid")
    return len(ticks), [
        LevelDifference(
            side=side,
            depth=depth,
            price_ticks=tick,
            live_lots=live.get(tick, 0),
            shadow_lots=shadow.get(tick, 0),
        )
        for depth, tick in enumerate(ticks, 1)
        if live.get(tick, 0) != shadow.get(tick, 0)
    ]
