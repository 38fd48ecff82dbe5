"""The quality of one market's data as operators see it: the body of QUALITY.

Owns the shape, the ratios and which gates are closed since when. Does not own the gates (`trading.market.gates`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from trading.market.gates import GateEvent, GateTripped

GATES_KEPT: Final = 64


class ClosedGate(msgspec.Struct, frozen=True, kw_only=True):
    """A gate that is closed: its code, the level that it asks for, why, and since when (UTC ns)."""

    code: str
    level: str
    scope: str
    target: str
    cause: str
    since_ns: int


class DataCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one market since the process began.

    ``messages`` were taken; ``dropped`` were lost here (queues, bounds); ``duplicates`` and ``late`` were left out on
    purpose; ``rejected`` could not be read; ``misses`` are episodes in which data was older than it may be;
    ``seq_gaps`` are holes in the venue's numbers; ``shadow_mismatches`` are snapshots that differ from the live book.
    """

    messages: int = 0
    dropped: int = 0
    duplicates: int = 0
    late: int = 0
    rejected: int = 0
    misses: int = 0
    seq_gaps: int = 0
    resyncs: int = 0
    checksums_ok: int = 0
    checksum_failures: int = 0
    shadow_checks: int = 0
    shadow_mismatches: int = 0


class QualityBody(msgspec.Struct, frozen=True, kw_only=True):
    """QUALITY, key instrument_id.

    ``freshness_ms`` is the age of the newest data, None before any; ``freshness_limit_ms`` what the gate allows.
    ``drop_ratio`` is dropped / (messages + dropped). ``book`` is the book's state. ``ready`` is whether it may be
    traded on: a proved book, fresh data, no gate closed.
    """

    instrument_id: str
    venue: str
    book: str
    reason: str
    freshness_ms: float | None
    freshness_limit_ms: int
    p99_age_ms: float | None
    drop_ratio: float
    counts: DataCounts
    gates: tuple[ClosedGate, ...]
    ready: bool
    synthetic: bool = False


class ClosedGates:
    """Which gates are closed, by target, from the events that they send."""

    def __init__(self) -> None:
        self._closed: dict[tuple[str, str], ClosedGate] = {}

    def take(self, event: GateEvent) -> None:
        """A gate closed or opened."""
        key = (event.target, event.code.value)
        if isinstance(event, GateTripped):
            self._closed[key] = ClosedGate(
                code=event.code.value,
                level=event.level.value,
                scope=event.scope.value,
                target=event.target,
                cause=event.cause,
                since_ns=event.ts_ns,
            )
        else:
            self._closed.pop(key, None)

    def of(self, *targets: str) -> tuple[ClosedGate, ...]:
        """The gates closed on any of ``targets`` (an instrument_id, its venue), oldest first, at most 64."""
        found = [gate for (target, _), gate in self._closed.items() if target in targets]
        return tuple(sorted(found, key=lambda gate: (gate.since_ns, gate.code))[:GATES_KEPT])


def quality_body(
    instrument_id: str,
    venue: str,
    *,
    book: str,
    reason: str,
    freshness_ms: float | None,
    freshness_limit_ms: int,
    counts: DataCounts,
    gates: tuple[ClosedGate, ...],
    p99_age_ms: float | None = None,
    synthetic: bool = False,
) -> QualityBody:
    """The body of QUALITY for one market. Gates that only give notice do not make it unready."""
    handled = counts.messages + counts.dropped
    fresh = freshness_ms is not None and freshness_ms <= freshness_limit_ms
    return QualityBody(
        instrument_id=instrument_id,
        venue=venue,
        book=book,
        reason=reason,
        freshness_ms=None if freshness_ms is None else round(freshness_ms, 1),
        freshness_limit_ms=freshness_limit_ms,
        p99_age_ms=p99_age_ms,
        drop_ratio=round(counts.dropped / handled, 6) if handled else 0.0,
        counts=counts,
        gates=gates,
        ready=book == "synced" and fresh and all(gate.level == "notice" for gate in gates),
        synthetic=synthetic,
    )
