"""A backup of a desk: its journal as one file, what stands beside it, and a manifest that proves both.

Owns the manifest, the copy under load and the way back. A backup of a journal in PostgreSQL is the same file: it may be
restored to either store. Boards and locks are not saved: they speak of processes that are gone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.journal.base import SCHEMA_VERSION
from adapters.journal.headfile import head_path, read_head
from adapters.journal.reader import SqliteReader, is_url, open_journal
from adapters.journal.verify import VerifyReport, verify

MANIFEST = "manifest.json"
JOURNAL = "journal.db"
FORMAT = 1
BESIDE = ("brakes.msgpack", "universe", "paper", "reports", "account-kind", "journal.way", "other")
"""What of a data directory is state and not rebuilt. The journal is copied first: venues may know more, never less."""
DROP_COPIES = "dropcopy"
"""The venues' own records as they were read, and what people accepted of them. Copied before the journal: one that had
seen rows which the journal does not have would never look at those that come in their place."""
OPERATIONS = "operations.db"
"""The keys under which people and programs asked for something. Copied after the journal: what was asked before the
backup ended is not done once more because it is asked again."""
COPY_PAGES = 4_096
Progress = Callable[[str], None]


class BackupRefused(Exception):  # noqa: N818 - named for what happened
    """Why a backup was not made, or may not be restored, with the mend."""


class FileFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    bytes: int
    sha256: str


class JournalFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The journal's head, its last closed hour, and how many there are."""

    rows: int
    head_hash: str
    hours: int
    root_link: str
    schema: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backup holds. ``config_digest`` is of the configuration that the desk had."""

    format: int
    taken_at: str
    software: str
    source: str
    config_digest: str
    journal: JournalFacts
    files: dict[str, FileFacts]


def backup(
    where: Path | str,
    data: Path,
    target: Path,
    *,
    software: str,
    config_digest: str,
    now_ns: int,
    progress: Progress | None = None,
) -> Manifest:
    """Copy a desk that may be running to ``target``, a new or empty folder. The journal is one moment of its own.

    `BackupRefused` when the target is not empty or the journal is broken; ``OSError`` or ``sqlite3.Error`` for trouble
    outside. What was begun is removed.
    """
    say = progress or (lambda _: None)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupRefused(f"{target} is not empty; name a folder that is not there yet")
    expect = None if is_url(where) else read_head(Path(where))
    with closing(open_journal(where)) as journal:
        target.mkdir(parents=True, exist_ok=True)
        try:
            for path in sorted((data / DROP_COPIES).glob("*.db")):
                _copy_database(path, target / DROP_COPIES / path.name, f"drop copy of {path.stem}", say)
            with journal.snapshot():
                if isinstance(journal, SqliteReader):
                    _copy_file(journal.db, target / JOURNAL, "journal", say)
                else:
                    from adapters.journal.pour import into_file  # noqa: PLC0415 - a driver that most desks do not need

                    into_file(journal, target / JOURNAL, lambda row: say(f"journal: {row:,} rows"))
            say("journal: proving the copy")
            report = verify(target / JOURNAL, expect)
            if not report.ok:
                raise BackupRefused(f"the journal is broken ({report.text}): `propdesk journal verify` says where")
            for name in BESIDE:
                _copy_beside(data / name, target / name)
            if (data / OPERATIONS).exists():
                _copy_database(data / OPERATIONS, target / OPERATIONS, "keys of what was asked", say)
            manifest = Manifest(
                format=FORMAT,
                taken_at=datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="seconds"),
                software=software,
                source="postgresql" if is_url(where) else "sqlite",
                config_digest=config_digest,
                journal=_facts(report),
                files={name: _file_facts(target / name) for name in _files(target)},
            )
            _write(target / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
            _sync(target)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    return manifest


def check(source: Path, config_digest: str | None = None) -> Manifest:
    """Prove a backup against its manifest; `BackupRefused` names the first thing that is not as it was."""
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise BackupRefused(f"{source} has no {MANIFEST}: it is no backup, or one that did not end") from error
    except msgspec.DecodeError as error:
        raise BackupRefused(f"{source / MANIFEST} is damaged: {error}") from error
    if manifest.format != FORMAT:
        raise BackupRefused(f"{source / MANIFEST} is of format {manifest.format}, this code reads {FORMAT}")
    found = set(_files(source))
    for name in sorted(found ^ set(manifest.files)):
        raise BackupRefused(f"{name} is {'not in the manifest' if name in found else 'missing'}")
    for name, facts in manifest.files.items():
        if _file_facts(source / name) != facts:
            raise BackupRefused(f"{name} is not the file that was saved: its length or hash differs")
    report = verify(source / JOURNAL, (manifest.journal.rows, bytes.fromhex(manifest.journal.head_hash)))
    if not report.ok or msgspec.structs.replace(_facts(report), schema=manifest.journal.schema) != manifest.journal:
        raise BackupRefused(f"the journal is not the one that the manifest names: {report.text}")
    if config_digest is not None and manifest.config_digest != config_digest:
        raise BackupRefused(
            f"it was taken under another configuration ({manifest.config_digest[:12]}, this one is "
            f"{config_digest[:12]}): give that one with --config, or say --any-config"
        )
    return manifest


def restore(source: Path, to: Path, manifest: Manifest) -> None:
    """Lay a checked backup into the data directory ``to``, which has no journal. The caller holds the desk's locks."""
    if (to / JOURNAL).exists():
        raise BackupRefused(f"{to / JOURNAL} is there already; move it away first: nothing is overwritten")
    for name in manifest.files:
        if name != JOURNAL and (to / name).exists():
            raise BackupRefused(f"{to / name} is there already; move it away first: nothing is overwritten")
    # A head that the lost journal left behind would contradict the older one that comes back.
    head_path(to / JOURNAL).unlink(missing_ok=True)
    for name in sorted(manifest.files, key=lambda name: name == JOURNAL):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.with_name(f".{target.name}.restoring")
        shutil.copyfile(source / name, made)
        if _file_facts(made) != manifest.files[name]:
            made.unlink()
            raise BackupRefused(f"{name} changed while it was copied")
        _sync_file(made)
        made.replace(target)
        _sync_file(target.parent)


def _facts(report: VerifyReport) -> JournalFacts:
    return JournalFacts(
        rows=report.rows,
        head_hash=report.head_hash.hex(),
        hours=report.hours,
        root_link=report.root_link.hex(),
        schema=SCHEMA_VERSION,
    )


def _copy_database(path: Path, to: Path, name: str, say: Progress) -> None:
    """One moment of a file that others may be writing."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_master").fetchall()  # the moment that is copied begins
        _copy_file(db, to, name, say)


def _copy_file(db: sqlite3.Connection, to: Path, name: str, say: Progress) -> None:
    """SQLite's own backup; inside a reader's snapshot the writer goes on, and the copy does not begin anew."""

    def told(_status: int, left: int, pages: int) -> None:
        say(f"{name}: {pages - left:,} of {pages:,} pages")

    to.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(to, isolation_level=None)) as copy:
        db.backup(copy, pages=COPY_PAGES, progress=told)
        # One file, without a WAL beside it, that can be read from a medium that cannot be written.
        copy.execute("PRAGMA journal_mode=DELETE").fetchall()


def _copy_beside(source: Path, target: Path) -> None:
    """Files that grow or are replaced meanwhile are taken as they are; what goes away between two looks is left."""
    if source.is_dir():
        # Logs before what they continue: a log that is newer than its checkpoint is only longer than needed.
        for path in sorted((p for p in source.rglob("*") if p.is_file()), key=lambda p: p.name == "checkpoint"):
            if path.suffix not in {".tmp", ".lock"} and path.name != "lock":
                _copy_beside(path, target / path.relative_to(source))
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError:
            target.unlink(missing_ok=True)


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)


def _file_facts(path: Path) -> FileFacts:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(path.stat().st_size, digest)


def _write(path: Path, text: bytes) -> None:
    made = path.with_name(f".{path.name}.tmp")
    made.write_bytes(text + b"\n")
    _sync_file(made)
    made.replace(path)


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync_file(path)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
