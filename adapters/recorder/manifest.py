"""``session.json``: what a folder of wire logs is. Who was listened to, by which rules, which files are whole.

Owns the file's shape and its atomic replacement. A session whose recorder lives holds a lock on ``session.lock``; one
without is final, whatever its last file looks like.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from trading.instruments import Instrument

MANIFEST = "session.json"
LOCK = "session.lock"
FORMAT = 1
DROPS_MAX = 1000
_CHUNK_BYTES = 1 << 20


class WireFile(msgspec.Struct, frozen=True, kw_only=True):
    """One closed file. ``raw_bytes`` are those of its lines; ``symbol`` "" is what belongs to no one symbol."""

    name: str
    venue: str
    symbol: str
    first_ns: int
    last_ns: int
    lines: int
    raw_bytes: int
    disk_bytes: int
    sha256: str


class DroppedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that this session does not hold; times are receive times, UTC ns."""

    reason: str
    lines: int
    first_ns: int
    last_ns: int


class SessionManifest(msgspec.Struct, frozen=True, kw_only=True):
    """One session. ``instruments`` are whole, with their rules version: later readers use the grid of that day.

    ``dropped`` are the newest `DROPS_MAX` spans; ``dropped_lines`` counts all. ``deleted`` names the files that made
    room for newer ones: they stay in ``files``.
    """

    format: int = FORMAT
    name: str
    started_ns: int
    software: str
    source: str
    synthetic: bool
    venues: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    files: tuple[WireFile, ...] = ()
    dropped: tuple[DroppedSpan, ...] = ()
    dropped_lines: int = 0
    deleted: tuple[str, ...] = ()
    ended_ns: int | None = None


def read_manifest(session: Path) -> SessionManifest:
    """The manifest of a session's folder.

    Raises:
        ValueError: there is none, or it is not one.
    """
    path = session / MANIFEST
    try:
        found = msgspec.json.decode(path.read_bytes(), type=SessionManifest)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if found.format != FORMAT:
        raise ValueError(f"{path}: format {found.format}, this software reads {FORMAT}")
    return found


def write_manifest(session: Path, manifest: SessionManifest) -> None:
    """Replace the manifest atomically. Raises ``OSError`` and leaves the one before."""
    replace_file(session / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def replace_file(path: Path, body: bytes) -> None:
    """Write, sync, rename: a reader finds the old bytes or the new ones."""
    spare = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with spare.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        spare.replace(path)
    except OSError:
        spare.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def lock_session(session: Path) -> int:
    """Hold the lock of a session until the handle is closed; ``OSError`` when somebody else does."""
    handle = os.open(session / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def is_live(session: Path) -> bool:
    """Whether a recorder writes into this session at the moment."""
    try:
        handle = os.open(session / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def sessions_of(wire: Path) -> list[Path]:
    """The sessions under a folder, oldest first (their names are their times)."""
    if not wire.is_dir():
        return []
    return sorted(path for path in wire.iterdir() if (path / MANIFEST).is_file())


def venues_of(instruments: Iterable[Instrument]) -> tuple[str, ...]:
    """The venues of some instruments, each once, in order."""
    return tuple(sorted({one.venue for one in instruments}))
