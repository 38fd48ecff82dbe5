"""The journal's one writer thread: opportunistic group commit.

Whatever was submitted while the disk was busy becomes the next group. Callbacks run in the writer thread; whoever owns
a loop carries them there. After trouble that loses order the writer stops for good: no later row may overtake a lost
one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from adapters.journal.base import JournalFailed, JournalFailure, Prepared, TendedStore
from trading.orders.journal_rows import RowDraft

GROUP_ROWS_MAX = 1_000
QUEUE_ROWS_MAX = 100_000
IDLE_S = 0.05
CHECKPOINT_NAMES_MAX = 16

CommittedCallback = Callable[[list[int], int], None]
FailedCallback = Callable[[JournalFailed], None]


class JournalWriter:
    """Owns the store from construction to `close`.

    ``on_committed`` gets the ids of batches that are durable, in the order of submission, and the seq of the last row
    of their group; ``on_failed`` gets the error with the ids of batches that are not and never will be. Exactly one of
    the two speaks of every batch that `submit` took.
    """

    def __init__(self, store: TendedStore, on_committed: CommittedCallback, on_failed: FailedCallback) -> None:
        self._store = store
        self._on_committed = on_committed
        self._on_failed = on_failed
        self._queue: deque[tuple[int, Prepared]] = deque()
        self._queued_rows = 0
        self._checkpoints: dict[str, tuple[int, bytes, int]] = {}
        self._lock = threading.Lock()
        # A lock that is released to wake the thread: half the price of a condition, paid by every order.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._asleep = False
        self._closing = False
        self._drain = True
        self._failed: JournalFailed | None = None
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> JournalFailed | None:
        """Why the writer stopped by itself, if it did."""
        return self._failed

    def submit(self, batch_id: int, rows: Sequence[RowDraft]) -> None:
        """Queue one batch; it is committed whole. Encoding is done here, in the caller's thread, while the disk syncs.

        Raises ``JournalFailed`` when nothing can be taken: closed, failed before, too far behind, or rows that repeat
        each other.
        """
        prepared = Prepared(rows)
        with self._lock:
            if self._failed is not None:
                raise JournalFailed(self._failed.reason, self._failed.text, (batch_id,))
            if self._closing:
                raise JournalFailed(JournalFailure.CLOSED, "the writer is closed", (batch_id,))
            if self._queued_rows + prepared.count > QUEUE_ROWS_MAX:
                raise JournalFailed(JournalFailure.BUSY, f"{self._queued_rows} rows wait for the disk", (batch_id,))
            self._queue.append((batch_id, prepared))
            self._queued_rows += prepared.count
            asleep, self._asleep = self._asleep, False
        if asleep:
            self._bell.release()

    def save_checkpoint(self, name: str, seq: int, blob: bytes, taken_ns: int) -> None:
        """Keep a state after row ``seq`` when the disk is idle and the row is chained; a later one takes its place.

        ``ValueError`` for more names than anybody has.
        """
        with self._lock:
            if name not in self._checkpoints and len(self._checkpoints) >= CHECKPOINT_NAMES_MAX:
                raise ValueError(f"checkpoint {name!r}: {CHECKPOINT_NAMES_MAX} names wait already")
            self._checkpoints[name] = (seq, blob, taken_ns)

    def close(self, *, drain: bool = True) -> None:
        """Stop the thread and the store; with ``drain`` what is queued is committed first, else it fails as CLOSED."""
        with self._lock:
            self._closing = True
            self._drain = drain
            asleep, self._asleep = self._asleep, False
        if asleep:
            self._bell.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                if group:
                    self._commit(group)
                self._tend(idle=not group)
        except JournalFailed as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a thread that ends in silence leaves the desk waiting for commits
            self._fail(JournalFailed(JournalFailure.CORRUPT, f"{type(error).__name__}: {error}"))
        try:
            self._store.close()
        except JournalFailed as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(JournalFailed(JournalFailure.IO, f"{type(error).__name__}: {error}"))

    def _next_group(self) -> list[tuple[int, Prepared]] | None:
        self._wait()
        with self._lock:
            if self._closing and not self._drain and self._queue:
                raise JournalFailed(JournalFailure.CLOSED, "closed before these rows were written")
            if not self._queue:
                return None if self._closing else []
            group: list[tuple[int, Prepared]] = []
            rows = 0
            while self._queue and (not group or rows + self._queue[0][1].count <= GROUP_ROWS_MAX):
                group.append(self._queue.popleft())
                rows += group[-1][1].count
            self._queued_rows -= rows
            return group

    def _wait(self) -> None:
        """Until something is to be done, or for as long as an idle moment lasts."""
        with self._lock:
            if self._queue or self._closing:
                return
            self._asleep = True
        if self._bell.acquire(timeout=IDLE_S):
            return
        with self._lock:
            asleep, self._asleep = self._asleep, False
        if not asleep:
            # Somebody said so just then, and rings.
            self._bell.acquire()

    def _commit(self, group: list[tuple[int, Prepared]]) -> None:
        ids = [batch_id for batch_id, _ in group]
        try:
            _, last_seq = self._store.commit([prepared for _, prepared in group])
        except JournalFailed as error:
            if error.reason is JournalFailure.DUPLICATE and len(group) > 1:
                # One author's repetition must not take the others' rows with it.
                for item in group:
                    self._commit([item])
                return
            named = JournalFailed(error.reason, error.text, tuple(ids))
            if error.reason is JournalFailure.DUPLICATE:
                self._on_failed(named)
                return
            raise named from error
        self._on_committed(ids, last_seq)

    def _tend(self, *, idle: bool) -> None:
        while self._store.tend(idle=idle):
            with self._lock:
                if self._queue or self._closing:
                    return
        if idle:
            self._keep_checkpoints()

    def _keep_checkpoints(self) -> None:
        with self._lock:
            waiting = list(self._checkpoints.items())
        for name, state in waiting:
            if not self._store.save_checkpoint(name, *state):
                continue
            with self._lock:
                if self._checkpoints.get(name) == state:
                    del self._checkpoints[name]

    def _fail(self, error: JournalFailed) -> None:
        with self._lock:
            self._failed = self._failed or error
            ids = error.batch_ids + tuple(batch_id for batch_id, _ in self._queue)
            self._queue.clear()
            self._queued_rows = 0
        self._on_failed(JournalFailed(error.reason, error.text, ids))
