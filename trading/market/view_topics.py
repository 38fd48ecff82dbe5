"""What of k copies of one topic goes on: each number at most once and in order, whichever copy brings it first.

Owns the numbering of one topic and the frames that wait, in bounded memory; does not own which view leads or is
believed (`trading.market.views`).
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

_MS = 1_000_000


class TopicRule(Enum):
    """How the copies of a topic may be merged.

    NEWEST: each message replaces the one before (tickers, marks, best bid and ask). The first copy of a number wins,
    and what is older than the newest is worth nothing. Where the venue does not number, ``ts_event_ns`` is the number.

    EVERY: each message counts and they are numbered without holes (trades: Binance ``t`` and ``a``). The first copy of
    a number wins; a hole waits for the other views, so that one view's loss is mended by another. The numbers are those
    of frames as they came: what a codec leaves out (Binance USD-M: the insurance fund's trades) is not a hole.

    CHAIN: messages that only mean something after the one before on the same connection: diffs of a book. Two
    connections of one venue need not cut the same changes into the same diffs (Binance batches by time, OKX chains
    ``prevSeqId`` per channel), so copies are never mixed: the leader's are delivered, the others' wait in rings, and a
    new leader's ring is replayed. The book's own sequence rule proves the seam, or asks for a snapshot.
    """

    NEWEST = "newest"
    EVERY = "every"
    CHAIN = "chain"


class Verdict(Enum):
    """What is to be done with a frame. A SPARE is kept here and comes back when it is to be delivered."""

    LEAD = "lead"
    SPARE = "spare"
    DUPLICATE = "duplicate"


class Spare(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that waits; ``payload`` is whatever the driver gave."""

    view: str
    topic: str
    seq: int
    ts_event_ns: int
    ts_recv_ns: int
    payload: object = None


class TopicCounters(msgspec.Struct):
    """What became of the frames of all topics; ``lost`` counts numbers that no view brought in time."""

    delivered: int = 0
    spares: int = 0
    duplicates: int = 0
    replayed: int = 0
    overflows: int = 0
    renumbered: int = 0
    holes: int = 0
    lost: int = 0


class Hole(msgspec.Struct, frozen=True):
    """Numbers ``first_seq``..``last_seq`` of a topic did not come and are not waited for any more."""

    topic: str
    first_seq: int
    last_seq: int


_LEAD, _SPARE, _DUPLICATE = Verdict.LEAD, Verdict.SPARE, Verdict.DUPLICATE


class TopicOrder:
    """One topic. At most ``frames_max`` frames wait per view (CHAIN) or in all (EVERY).

    A number at or below the last one whose venue time is more than ``renumber_ms`` after the last one's says that the
    venue began to number anew: a late copy is never younger than what it repeats.
    """

    __slots__ = ("_counters", "_frames_max", "_renumber_ns", "_rings", "_waiting", "hole_ns", "last_event_ns",
                 "last_seq", "name", "rule")  # fmt: skip

    def __init__(
        self, name: str, rule: TopicRule, counters: TopicCounters, *, frames_max: int, renumber_ms: int
    ) -> None:
        self.name = name
        self.rule = rule
        self.last_seq = -1
        self.last_event_ns = 0
        self.hole_ns = 0
        """Since when a hole waits to be filled (ours); 0 when there is none."""
        self._counters = counters
        self._frames_max = frames_max
        self._renumber_ns = renumber_ms * _MS
        self._rings: dict[str, deque[Spare]] = {}
        self._waiting: dict[int, Spare] = {}

    def offer(self, view: str, leads: bool, seq: int, event_ns: int, recv_ns: int, *, payload: object) -> Verdict:
        """One frame; ``leads``: its view is the leader. After a LEAD, what waited for it is `released`.

        A frame without a number (-1) is the leader's or nobody's: nothing tells copies of it apart.
        """
        if seq < 0:
            return self._counted(_LEAD if leads else _DUPLICATE)
        last = self.last_seq
        chain = self.rule is TopicRule.CHAIN
        if seq <= last:
            anew = seq < last and self.last_event_ns and event_ns - self.last_event_ns > self._renumber_ns
            if not anew or (chain and not leads):
                return self._counted(_DUPLICATE)
            self.restart()
            self._counters.renumbered += 1
            last = -1
        if chain and not leads:
            return self._keep_in_ring(view, seq, event_ns, recv_ns, payload)
        if seq == last + 1 or last < 0 or self.rule is not TopicRule.EVERY:
            return self._deliver(seq, event_ns)
        waiting = self._waiting
        if seq in waiting:
            return self._counted(_DUPLICATE)
        if not waiting:
            self.hole_ns = recv_ns
        waiting[seq] = self._spare(view, seq, event_ns, recv_ns, payload)
        self._counters.spares += 1
        return _SPARE

    def released(self) -> list[Spare]:
        """What waited (EVERY) and now follows the last one delivered, in order."""
        waiting = self._waiting
        found: list[Spare] = []
        while (spare := waiting.pop(self.last_seq + 1, None)) is not None:
            found.append(spare)
            self._advance(spare)
        if not waiting:
            self.hole_ns = 0
        elif found:
            self.hole_ns = min(spare.ts_recv_ns for spare in waiting.values())
        return found

    @property
    def is_waiting(self) -> bool:
        """Whether frames wait for a hole before them (EVERY)."""
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether more frames wait for a hole than may."""
        return len(self._waiting) > self._frames_max

    def give_up(self) -> Hole:
        """Do not wait for the oldest hole any longer; what it held up is then `released`. There must be one."""
        first = min(self._waiting)
        hole = Hole(self.name, self.last_seq + 1, first - 1)
        self._counters.holes += 1
        self._counters.lost += first - self.last_seq - 1
        self.last_seq = first - 1
        return hole

    def undelivered_since(self, view: str) -> int:
        """When the oldest frame came (ours) that ``view`` has and nobody delivered; 0 when there is none (CHAIN)."""
        ring = self._rings.get(view)
        if ring is None:
            return 0
        self._prune(ring)
        return ring[0].ts_recv_ns if ring else 0

    def replay(self, view: str) -> list[Spare]:
        """What ``view`` has and nobody delivered: delivered now, in order (CHAIN)."""
        ring = self._rings.pop(view, None)
        if ring is None:
            return []
        self._prune(ring)
        for spare in ring:
            self._advance(spare)
        return list(ring)

    def forget(self, view: str) -> None:
        """The connection of ``view`` is gone: what it kept has no continuation."""
        self._rings.pop(view, None)

    def restart(self) -> None:
        """Numbers begin anew; what waits belongs to the old ones."""
        self.last_seq = -1
        self.last_event_ns = 0
        self.hole_ns = 0
        self._rings.clear()
        self._waiting.clear()

    def kept(self) -> int:
        """How many frames wait."""
        return len(self._waiting) + sum(map(len, self._rings.values()))

    def _keep_in_ring(self, view: str, seq: int, event_ns: int, recv_ns: int, payload: object) -> Verdict:
        ring = self._rings.get(view)
        if ring is None:
            ring = self._rings[view] = deque(maxlen=self._frames_max)
        elif ring:
            if seq <= ring[-1].seq:
                return self._counted(_DUPLICATE)
            self._prune(ring)
        if len(ring) == self._frames_max:
            self._counters.overflows += 1
        ring.append(self._spare(view, seq, event_ns, recv_ns, payload))
        self._counters.spares += 1
        return _SPARE

    def _spare(self, view: str, seq: int, event_ns: int, recv_ns: int, payload: object) -> Spare:
        return Spare(view=view, topic=self.name, seq=seq, ts_event_ns=event_ns, ts_recv_ns=recv_ns, payload=payload)

    def _prune(self, ring: deque[Spare]) -> None:
        while ring and ring[0].seq <= self.last_seq:
            ring.popleft()

    def _deliver(self, seq: int, event_ns: int) -> Verdict:
        self.last_seq = seq
        if event_ns:
            self.last_event_ns = event_ns
        self._counters.delivered += 1
        return _LEAD

    def _advance(self, spare: Spare) -> None:
        self._deliver(spare.seq, spare.ts_event_ns)
        self._counters.replayed += 1

    def _counted(self, verdict: Verdict) -> Verdict:
        if verdict is _LEAD:
            self._counters.delivered += 1
        else:
            self._counters.duplicates += 1
        return verdict
