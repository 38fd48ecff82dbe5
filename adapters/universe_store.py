"""Where the allow-list survives its process: one sealed file and an audit trail that only grows.

Owns files. Who may be in the list is `trading.universe.workflow`. A change is in the trail before it is in the file, so
that a crash between the two loses nothing. Whatever cannot be vouched for makes nothing tradable.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from trading.universe.workflow import UniverseChanged, UniverseEntry, UniverseState

SCHEMA: Final = 1
AUDIT_BYTES_MAX: Final = 4 * 1024 * 1024
AUDITS_KEPT: Final = 8
RECENT_KEPT: Final = 100
GENESIS: Final = "0" * 64


class UniverseBusyError(Exception):
    """Another process has the allow-list."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} belongs to another process: is another propdesk running?"


class UniverseDamagedError(Exception):
    """The list on disk cannot be vouched for; ``mend`` is what a person can do."""

    def __init__(self, path: Path, what: str, mend: str) -> None:
        super().__init__(path, what, mend)
        self.path = path
        self.what = what
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. Nothing is tradable until it is mended: {self.mend}"


class _Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: int
    revision: int
    audit_head: str
    entries: dict[str, UniverseEntry]


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    content: _Content
    sha256: str


class AuditRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the trail: what changed, by whom and when; ``hash`` is over the line before and this change."""

    prev: str
    changed: UniverseChanged
    hash: str


class _Schema(msgspec.Struct):
    content: _SchemaOnly


class _SchemaOnly(msgspec.Struct):
    schema: int


_sealed = msgspec.json.Decoder(_Sealed).decode
_row = msgspec.json.Decoder(AuditRow).decode
_schema = msgspec.json.Decoder(_Schema).decode
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError)


class UniverseStore:
    """``universe.json`` and ``universe-audit.jsonl`` in ``folder``, of one process at a time.

    ``state`` is what is on disk; ``trouble`` says why it is empty although a file is there, and is empty otherwise.
    Raises `UniverseBusyError`, and `OSError` when the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "universe.json"
        self.audit_path = folder / "universe-audit.jsonl"
        self.state = UniverseState()
        self.trouble = ""
        self.recent: deque[UniverseChanged] = deque(maxlen=RECENT_KEPT)
        """The newest changes, newest first."""
        self._head = GENESIS
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "universe.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise UniverseBusyError(self.path) from None
        try:
            self._load()
        except UniverseDamagedError as damage:
            self.state, self.trouble = UniverseState(), str(damage)

    def save(self, state: UniverseState, changed: UniverseChanged) -> None:
        """Make a change durable: trail, then file. It is on disk when this returns, and not there when it raises.

        ``OSError`` when the disk refuses, `UniverseDamagedError` while there is trouble: what is on disk stays for a
        person to look at.
        """
        if self.trouble:
            raise UniverseDamagedError(self.path, "it was damaged when it was read", "see the first error")
        if changed.revision != self.state.revision + 1 or state.revision != changed.revision:
            raise ValueError(f"revision {changed.revision} does not follow {self.state.revision}")
        self._rotate()
        row = AuditRow(prev=self._head, changed=changed, hash=_chained(self._head, changed))
        start = self._append(msgspec.json.encode(row) + b"\n")
        try:
            self._write(state, row.hash)
        except OSError:
            os.truncate(self.audit_path, start)
            raise
        self._head = row.hash
        self.state = state
        self.recent.appendleft(changed)

    def close(self) -> None:
        """Let another process have the list."""
        os.close(self._lock)

    def audit(self) -> Iterator[AuditRow]:
        """Every row of the current trail, oldest first; `UniverseDamagedError` at the first that is not as written."""
        prev: str | None = None
        data = self.audit_path.read_bytes() if self.audit_path.exists() else b""
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                row = _row(line)
            except _FAULTS as fault:
                raise self._bad_audit(number, str(fault)) from fault
            if prev is not None and row.prev != prev:
                raise self._bad_audit(number, "it does not follow from the line before")
            if row.hash != _chained(row.prev, row.changed):
                raise self._bad_audit(number, "it is not the line that was written")
            prev = row.hash
            yield row

    def _load(self) -> None:
        self._cut_torn_tail()
        rows = list(self.audit())
        if not self.path.exists():
            if rows:
                mend = "restore it from a backup, or move its audit away to begin with an empty list"
                raise UniverseDamagedError(self.path, "it is missing while its audit is here", mend)
            return
        content = self._read()
        state = UniverseState(revision=content.revision, entries=content.entries)
        head = content.audit_head
        newer = [row for row in rows if row.changed.revision > content.revision]
        older = [row for row in rows if row.changed.revision <= content.revision]
        if (older[-1].hash if older else newer[0].prev if newer else head) != head:
            mend = "restore both from one backup, or move both away to begin with an empty list"
            raise UniverseDamagedError(self.path, "its audit belongs to another list", mend)
        for row in newer:
            state, head = _redone(state, row.changed), row.hash
        self.state, self._head = state, head
        self.recent.extend(row.changed for row in reversed(rows[-RECENT_KEPT:]))
        if newer:
            self._write(state, head)

    def _read(self) -> _Content:
        data = self.path.read_bytes()
        mend = "restore it from a backup, or move it and its audit away to begin with an empty list"
        try:
            found = _schema(data).content.schema
            if found != SCHEMA:
                what = f"its schema is {found}, this propdesk reads {SCHEMA}"
                raise UniverseDamagedError(self.path, what, "run the propdesk that wrote it")
            sealed = _sealed(data)
        except _FAULTS as fault:
            raise UniverseDamagedError(self.path, f"it cannot be read ({str(fault)[:120]})", mend) from fault
        if sealed.sha256 != _sealed_hash(sealed.content):
            raise UniverseDamagedError(self.path, "its seal is broken: it was changed by other hands", mend)
        return sealed.content

    def _write(self, state: UniverseState, head: str) -> None:
        content = _Content(schema=SCHEMA, revision=state.revision, audit_head=head, entries=state.entries)
        data = msgspec.json.format(
            msgspec.json.encode(_Sealed(content=content, sha256=_sealed_hash(content))), indent=1
        )
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(data + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        self._sync_folder()

    def _append(self, line: bytes) -> int:
        """Add one line to the trail, whole or not at all; where it begins."""
        fd = os.open(self.audit_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            start = os.lseek(fd, 0, os.SEEK_END)
            try:
                left = memoryview(line)
                while left:
                    left = left[os.write(fd, left) :]
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, start)
                raise
        finally:
            os.close(fd)
        return start

    def _rotate(self) -> None:
        """Begin another trail when this one is long; the chain goes on, the oldest of nine is removed."""
        if not self.audit_path.exists() or self.audit_path.stat().st_size < AUDIT_BYTES_MAX:
            return
        self.audit_path.replace(self.audit_path.with_name(f"universe-audit-{self.state.revision:09d}.jsonl"))
        for old in sorted(self.audit_path.parent.glob("universe-audit-*.jsonl"))[:-AUDITS_KEPT]:
            old.unlink()

    def _cut_torn_tail(self) -> None:
        """A last line without its end was never confirmed to anybody."""
        if not self.audit_path.exists():
            return
        data = self.audit_path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.audit_path, whole)

    def _bad_audit(self, number: int, what: str) -> UniverseDamagedError:
        mend = "restore it and universe.json from one backup, or move both away to begin with an empty list"
        return UniverseDamagedError(self.audit_path, f"line {number}: {what[:120]}", mend)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _redone(state: UniverseState, changed: UniverseChanged) -> UniverseState:
    entries = dict(state.entries)
    if changed.after is None:
        entries.pop(changed.instrument_id, None)
    else:
        entries[changed.instrument_id] = changed.after
    return UniverseState(revision=changed.revision, entries=entries)


def _chained(prev: str, changed: UniverseChanged) -> str:
    return hashlib.sha256(prev.encode() + msgspec.json.encode(changed)).hexdigest()


def _sealed_hash(content: _Content) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
