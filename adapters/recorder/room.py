"""Room on the disk: how much the wire logs take, how much is left to others, and which old file goes first.

Owns deletion and its trace in the manifests. Never touches an open file or a session of another living recorder.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from adapters.recorder.manifest import SessionManifest, is_live, read_manifest, sessions_of, write_manifest


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write there."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def held_bytes(wire: Path) -> int:
    """What all wire logs under ``wire`` take."""
    return sum(_size(path) for session in sessions_of(wire) for path in session.glob("*.dat.zst"))


def delete_oldest(wire: Path, own: Path) -> tuple[Path, int] | None:
    """Delete the oldest closed file of a session that is neither alive nor ``own``: its path and bytes.

    Other recorders may do the same at the same time: a file that is gone already counts nothing.
    """
    for session in sessions_of(wire):
        if session == own or is_live(session):
            continue
        manifest = _readable(session)
        found = None if manifest is None else oldest_closed(session, manifest)
        if manifest is None or found is None:
            continue
        write_manifest(session, msgspec.structs.replace(manifest, deleted=(*manifest.deleted, found.name)))
        size = _size(found)
        found.unlink(missing_ok=True)
        return found, size
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def oldest_closed(session: Path, manifest: SessionManifest) -> Path | None:
    """The oldest file of a session that is closed and still there."""
    for file in sorted(manifest.files, key=lambda file: (file.first_ns, file.name)):
        path = session / file.name
        if file.name not in manifest.deleted and path.is_file():
            return path
    return None


def _readable(session: Path) -> SessionManifest | None:
    try:
        return read_manifest(session)
    except ValueError:
        return None
