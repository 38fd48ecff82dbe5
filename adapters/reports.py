"""Reports of a desk as files: a page and its facts, written whole or not at all, the newest of each kind kept."""

from __future__ import annotations

import os
from pathlib import Path

FILES_MAX = 800
"""Of one kind, pages and facts together: a year of days, and as many sessions again."""


def write_report(folder: Path, kind: str, name: str, page: str, facts: bytes) -> Path:
    """``<kind>_<name>.md`` and ``.json`` beside it; the page's path. ``OSError`` when the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{kind}_{name}.md"
    _write(target.with_suffix(".json"), facts)
    _write(target, page.encode())
    kept = sorted(folder.glob(f"{kind}_*"), key=lambda path: path.stat().st_mtime_ns)
    for old in kept[: max(0, len(kept) - FILES_MAX)]:
        old.unlink(missing_ok=True)
    return target


def _write(path: Path, blob: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
