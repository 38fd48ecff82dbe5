"""``reports/gaps_filled.md`` and its machine-readable twin: every hole that was found, and what became of it.

Says what the records say and no time of its own: the same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.recorder.backfill import Backfilled, HoleRecord
from adapters.recorder.manifest import replace_file

REPORT = "gaps_filled.md"
TWIN = "gaps_filled.json"
_HEAD = "| instrument | world | trade ids | missing | filled | absent | state | from (UTC) | to (UTC) | by | why |"
_RULE = "|---|---|---|---:|---:|---:|---|---|---|---|---|"


def write_report(folder: Path, done: Backfilled, records: Sequence[HoleRecord]) -> tuple[Path, Path]:
    """Write both files into ``folder``; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    report, twin = folder / REPORT, folder / TWIN
    facts = {name: value for name, value in msgspec.to_builtins(done).items() if name != "changed"}
    replace_file(report, "\n".join(_lines(facts, records)).encode() + b"\n")
    body = msgspec.json.encode({**facts, "records": records}, order="deterministic")
    replace_file(twin, msgspec.json.format(body, indent=1) + b"\n")
    return report, twin


def _lines(facts: dict[str, object], records: Sequence[HoleRecord]) -> list[str]:
    states = facts["states"]
    assert isinstance(states, dict)
    by_state = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
    return [
        "# Gaps in recorded trades",
        "",
        f"Holes found: {facts['holes']} ({by_state}).",
        f"Trades filled: {facts['trades_filled']}; known not to exist: {facts['trades_absent']}.",
        f"Ids that are missing in the data: {facts['still_missing']}.",
        "",
        _HEAD,
        _RULE,
        *(_row(record) for record in records),
    ]


def _row(record: HoleRecord) -> str:
    hole = record.hole
    cells = (
        hole.instrument_id,
        hole.world,
        f"{hole.from_id}-{hole.to_id}",
        str(hole.missing),
        str(record.filled),
        str(record.absent),
        record.state.value,
        _utc(hole.before_ns),
        _utc(hole.after_ns),
        record.fetcher,
        record.reason.replace("|", "/").replace("\n", " "),
    )
    return f"| {' | '.join(cells)} |"


def _utc(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
