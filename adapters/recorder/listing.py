"""What a history holds, counted: its sessions and its partitions.

Reads manifests and build records only, so that it is quick on any history.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from adapters.recorder.catalog import WIRE, Catalog
from adapters.recorder.manifest import is_live, read_manifest, sessions_of


class SessionFact(msgspec.Struct, frozen=True, kw_only=True):
    """One session of wire logs; counts are of its closed files, ``built`` of them are in Parquet."""

    name: str
    synthetic: bool
    source: str
    venues: tuple[str, ...]
    live: bool
    files: int
    deleted: int
    built: int
    lines: int
    raw_bytes: int
    disk_bytes: int
    dropped_lines: int
    first_ns: int
    last_ns: int


class PartitionFact(msgspec.Struct, frozen=True, kw_only=True):
    """All days of one venue, symbol and kind. ``gaps`` is the same number for all kinds of a symbol."""

    venue: str
    symbol: str
    kind: str
    days: int
    first_dt: str
    last_dt: str
    files: int
    rows: int
    disk_bytes: int
    gaps: int


class HistoryListing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything; ``errors`` are sessions whose manifest cannot be read."""

    sessions: tuple[SessionFact, ...]
    partitions: tuple[PartitionFact, ...]
    errors: tuple[str, ...]


def list_history(history: Path) -> HistoryListing:
    """Count what is there."""
    built = list(Catalog(history).all())
    sessions: list[SessionFact] = []
    errors: list[str] = []
    for session in sessions_of(history / WIRE):
        try:
            manifest = read_manifest(session)
        except ValueError as error:
            errors.append(str(error))
            continue
        files = manifest.files
        sessions.append(
            SessionFact(
                name=manifest.name,
                synthetic=manifest.synthetic,
                source=manifest.source,
                venues=manifest.venues,
                live=is_live(session),
                files=len(files),
                deleted=len(manifest.deleted),
                built=sum(one.session == manifest.name for one in built),
                lines=sum(file.lines for file in files),
                raw_bytes=sum(file.raw_bytes for file in files),
                disk_bytes=sum(file.disk_bytes for file in files),
                dropped_lines=manifest.dropped_lines,
                first_ns=min((file.first_ns for file in files), default=manifest.started_ns),
                last_ns=max((file.last_ns for file in files), default=manifest.started_ns),
            )
        )
    outputs = [output for one in built for output in one.outputs]
    gaps: dict[tuple[str, str], int] = {}
    for output in outputs:
        if output.kind == "gap":
            gaps[output.venue, output.symbol] = gaps.get((output.venue, output.symbol), 0) + output.rows
    partitions = []
    for venue, symbol, kind in sorted({(one.venue, one.symbol, one.kind) for one in outputs}):
        mine = [one for one in outputs if (one.venue, one.symbol, one.kind) == (venue, symbol, kind)]
        days = sorted({one.dt for one in mine})
        partitions.append(
            PartitionFact(
                venue=venue,
                symbol=symbol,
                kind=kind,
                days=len(days),
                first_dt=days[0],
                last_dt=days[-1],
                files=len(mine),
                rows=sum(one.rows for one in mine),
                disk_bytes=sum(one.disk_bytes for one in mine),
                gaps=gaps.get((venue, symbol), 0),
            )
        )
    return HistoryListing(sessions=tuple(sessions), partitions=tuple(partitions), errors=tuple(errors))
