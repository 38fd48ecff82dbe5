"""Which paper account a data directory's journal is of: the one inside the venues' cells, or the loopback servers'.

Each has orders and executions of its own, under ids of its own: a journal that is compared with the other one would
hold every venue for good. So the journal of the way that is not used waits in ``other/<way>`` until it is used again.
Called by the one process that holds the directory's lock, before any other of the desk begins; light, as that one is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

SIMULATED: Final = "simulated"
LOOPBACK: Final = "loopback"
"""Values of `adapters.execution_backend.Backend`. Real accounts and test networks are not this module's."""
_WORDS: Final = {
    SIMULATED: "filled inside the venues' cells",
    LOOPBACK: "sent over the wire of the loopback servers",
}
_MARK: Final = "journal.way"
_JOURNAL: Final = "journal.db"
_FILES: Final = (_JOURNAL, f"{_JOURNAL}-wal", f"{_JOURNAL}-shm", f"{_JOURNAL}.head")
_OUT, _IN = "out", "in"


def held_way(data: Path) -> str:
    """By which way the journal in ``data`` was filled; "" when there is none yet."""
    words = _mark(data)
    if words:
        return words[-1]
    paper = data / "paper"
    if any(paper.glob("*.account")):
        return LOOPBACK
    return SIMULATED if any(paper.glob("*.wal")) or (data / _JOURNAL).exists() else ""


def foreign_journal(data: Path, way: str) -> str:
    """What speaks against a journal that cannot be put aside, such as a database; "" when nothing does."""
    held = held_way(data)
    if way not in _WORDS or held in {"", way}:
        return ""
    return f"it holds orders that were {_WORDS[held]}, and those of this run are {_WORDS[way]}"


def settle_journal(data: Path, way: str) -> str:
    """Put the journal of ``way`` in place, and the other one aside; what was done, in words, "" where it was there.

    A kill in the middle is made good by the next call.
    """
    if way not in _WORDS:
        return ""
    words, held = _mark(data), held_way(data)
    if len(words) < 2 and held in {"", way}:
        if not words:
            _say(data, way)
        return ""
    step, old, new = words if len(words) == 3 else (_OUT, held, way)
    if step == _OUT:
        _say(data, f"{_OUT} {old} {new}")
        _move(data, data / "other" / old)
        _say(data, f"{_IN} {old} {new}")
    _move(data / "other" / new, data)
    _say(data, new)
    if new != way:
        return settle_journal(data, way)
    return f"orders are {_WORDS[way]} and have a journal of their own; the other one waits in {data / 'other' / old}"


def _mark(data: Path) -> list[str]:
    """The way; or, while files are being moved: the step, from which way, to which."""
    try:
        return (data / _MARK).read_text("ascii").split()
    except FileNotFoundError:
        return []


def _say(data: Path, words: str) -> None:
    part = data / f"{_MARK}.part"
    with part.open("w", encoding="ascii") as file:
        file.write(f"{words}\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(data / _MARK)
    _sync(data)


def _move(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        if (source / name).exists():
            (source / name).replace(target / name)
    _sync(target)
    if source.exists():
        _sync(source)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
