"""What has been built from what: one small file for each wire log, written last, so that it is the watermark.

Layout of a history: ``wire/<session>/*.dat.zst``, ``parquet/dt=/venue=/symbol=/kind=/<session>.<file>.parquet``,
``built/<session>/<file>.json``, ``fills/*.json``, ``reports/``. Owns the records, not the building.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from adapters.recorder.manifest import replace_file

WIRE = "wire"
PARQUET = "parquet"
BUILT = "built"
FILLS = "fills"
REPORTS = "reports"
BUILD_LOCK = "build.lock"


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file; ``path`` is relative to ``parquet``, ``line_sum`` the sum of its rows' line numbers."""

    path: str
    dt: str
    venue: str
    symbol: str
    kind: str
    instrument_id: str
    rows: int
    line_sum: int
    disk_bytes: int
    sha256: str


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """One wire log in Parquet. ``lines == silent + those with events``; ``rows`` is by kind, over all outputs.

    ``unreadable`` lines (a torn tail among them) are rows of kind reject. ``whole``: its recorder closed the log.
    """

    schema: int
    session: str
    source: str
    venue: str
    symbol: str
    sha256: str
    whole: bool
    lines: int
    silent: int
    events: int
    unreadable: int
    rows: dict[str, int]
    first_ns: int
    last_ns: int
    outputs: tuple[Output, ...]


class Catalog:
    """The records under ``<history>/built``."""

    def __init__(self, history: Path) -> None:
        self.history = history
        self.parquet = history / PARQUET
        self._folder = history / BUILT

    def find(self, session: str, source: str) -> Built | None:
        """The record of one wire log; None when there is none that can be read."""
        try:
            return msgspec.json.decode(self._path(session, source).read_bytes(), type=Built)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def put(self, built: Built) -> None:
        """Make a record durable."""
        path = self._path(built.session, built.source)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(msgspec.json.encode(built), indent=1) + b"\n")

    def all(self) -> Iterator[Built]:
        """Every record, by session and file."""
        for path in sorted(self._folder.glob("*/*.json")):
            found = self.find(path.parent.name, path.name.removesuffix(".json"))
            if found is not None:
                yield found

    def _path(self, session: str, source: str) -> Path:
        return self._folder / session / f"{source}.json"


@contextmanager
def building(history: Path) -> Iterator[None]:
    """Hold the right to change Parquet, and clear away what a killed build left; ``OSError`` when another holds it."""
    history.mkdir(parents=True, exist_ok=True)
    handle = os.open(history / BUILD_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OSError(error.errno, f"{history} is being built by another process") from error
        for left in (*history.glob(".build.*"), *history.glob(".fill.*")):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(handle)
