"""The order journal's actor: rows in, commits out. The disk is waited for in a writer thread, never in the loop."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import (
    AppendRows,
    BrakeSet,
    JournalFailed,
    JournalHistory,
    ReadJournal,
    RowsCommitted,
    SaveCheckpoint,
)
from actors.shell import Shell
from adapters.journal import base
from adapters.journal.memory import MemoryJournal
from adapters.journal.reader import newest_checkpoint, open_journal, read_rows
from adapters.journal.store import SqliteJournal
from adapters.journal.writer import JournalWriter


class JournalSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Rows go to the file at ``path``; with ``url`` to PostgreSQL; without both to ``memory``, in virtual time only.

    ``memory`` is made by whoever starts the actor, because like a disk it must outlive it; it takes a stated latency.
    """

    path: Path | None
    url: str | None = None
    memory: MemoryJournal | None = None
    memory_commit_ns: int = 400_000
    governor: str = "governor"


class Journal(Shell):
    """One writer. A failed commit is a HOLD and the actor's end: what is not durable may not be spoken."""

    def start(self, setup: JournalSetup) -> None:
        """Open the store; start the writer thread where there is a disk."""
        self._setup = setup
        self._waiting: dict[int, str] = {}
        self._writer: JournalWriter | None = None
        self._memory = setup.memory
        self._due: deque[AppendRows] = deque()
        # Bound once: to find a method of an actor costs more than to call it.
        self._wake_each = self.wake_each
        if self._memory is not None:
            return
        tell = self.threadsafe_tell()
        name = self.name
        try:
            store = _opened(setup)
        except base.JournalFailed as error:
            self._brake(str(error))
            raise
        self._writer = JournalWriter(
            store,
            on_committed=lambda ids, last_seq: tell(name, RowsCommitted(tuple(ids), last_seq)),
            on_failed=lambda error: tell(name, JournalFailed(text=str(error))),
        )

    def on(self, msg: Any) -> None:
        """Append, acknowledge, read."""
        kind = type(msg)
        if kind is AppendRows:
            if self._memory is not None:
                # As with a disk, the store has them when they are durable.
                self._due.append(msg)
                self._wake_each(self._setup.memory_commit_ns, "commit")
            else:
                assert self._writer is not None
                self._waiting[msg.commit_id] = msg.reply_to
                try:
                    self._writer.submit(msg.commit_id, msg.rows)
                except base.JournalFailed as error:
                    self._brake(str(error))
                    raise
        elif kind is RowsCommitted:
            if len(msg.commit_ids) == 1:
                self.tell(self._waiting.pop(msg.commit_ids[0]), msg)
                return
            by_reply: dict[str, list[int]] = {}
            for commit_id in msg.commit_ids:
                by_reply.setdefault(self._waiting.pop(commit_id), []).append(commit_id)
            for reply_to, ids in by_reply.items():
                self.tell(reply_to, RowsCommitted(tuple(ids), msg.last_seq))
        elif kind is ReadJournal:
            self.tell(msg.reply_to, self._history(msg.checkpoint))
        elif kind is SaveCheckpoint:
            if self._memory is not None:
                self._memory.save_checkpoint(msg.name, msg.seq, msg.blob, msg.taken_ns)
            else:
                assert self._writer is not None
                self._writer.save_checkpoint(msg.name, msg.seq, msg.blob, msg.taken_ns)
        elif kind is JournalFailed:
            self._brake(msg.text)
            raise OSError(f"the order journal could not commit: {msg.text}")
        else:
            self.unknown(msg)

    def _brake(self, cause: str) -> None:
        self.tell(
            self._setup.governor,
            BrakeSet(code="JOURNAL_FAILED", scope="global", level=3, cause=cause, release="operator"),
        )

    def on_tick(self, tag: str) -> None:
        """In virtual time a commit takes its stated latency."""
        # All of them take as long, so the oldest comes first.
        due = self._due.popleft()
        assert self._memory is not None
        _, last_seq = self._memory.append(due.rows)  # type: ignore[arg-type]
        self._durable(due, last_seq)

    def _durable(self, due: AppendRows, last_seq: int) -> None:
        self.tell(due.reply_to, RowsCommitted((due.commit_id,), last_seq))

    def _history(self, name: str) -> JournalHistory:
        """What is asked for; of a name without a checkpoint that belongs to this history, every row."""
        if self._memory is not None:
            kept = self._memory.newest_checkpoint(name)
            rows = list(self._memory.read(1 if kept is None else kept.seq + 1))
            return JournalHistory(rows=rows, checkpoint=None if kept is None else kept.blob)
        with closing(open_journal(_where(self._setup))) as journal:
            kept = newest_checkpoint(journal, name) if name else None
            rows = list(read_rows(journal, 1 if kept is None else kept.seq + 1))
        return JournalHistory(rows=rows, checkpoint=None if kept is None else kept.blob)

    def head(self) -> tuple[int, str]:
        """Rows and the hash of the newest, for the report of a virtual run."""
        if self._memory is None:
            return 0, ""
        head = self._memory.head()
        return head.seq, head.hash.hex()

    def stop(self) -> None:
        """Write what is queued, then close."""
        if self._writer is not None:
            self._writer.close(drain=True)
            self._writer = None


def _where(setup: JournalSetup) -> Path | str:
    where = setup.url or setup.path
    if where is None:
        raise ValueError("a journal needs a path, a URL or a memory")
    return where


def _opened(setup: JournalSetup) -> base.TendedStore:
    where = _where(setup)
    if isinstance(where, str):
        from adapters.journal.postgres import PostgresJournal  # noqa: PLC0415 - a driver that most desks do not need

        return PostgresJournal(where)
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise base.JournalFailed(base.JournalFailure.IO, str(error)) from error
    return SqliteJournal(where)
