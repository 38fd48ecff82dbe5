"""What every store of the order journal shares: its failures, its contract, prepared rows, keys that may come once.

Owns no file and no connection. SQLite is `store.py`, PostgreSQL `postgres.py`, virtual time `memory.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Protocol

import msgspec

from adapters.journal.keys import Key, describe
from adapters.journal.merkle import HourRoot, HourTree
from trading.orders.journal_rows import (
    JournalKind,
    JournalRow,
    RowDraft,
    chain_hash,
    decode_group,
    encode_rows,
    join_group,
)

SCHEMA_VERSION = 2
KEYS_IN_MEMORY = 20_000
UNINDEXED_FORCED_ROWS = KEYS_IN_MEMORY // 4
"""Rows bring two keys at most, and come in groups: what memory forgets is in the index by then."""
CHECKPOINTS_KEPT = 3
_NO_KEYS: frozenset[tuple[str, str, bool]] = frozenset()


class JournalFailure(Enum):
    """Why a row is not durable. BUSY is intermittent; the rest end the writer."""

    BUSY = "busy"
    DISK_FULL = "disk_full"
    IO = "io"
    CORRUPT = "corrupt"
    DUPLICATE = "duplicate"
    CLOSED = "closed"


class JournalFailed(Exception):  # noqa: N818 - an event's name: it is handed on as one
    """Rows that were not journalled. ``batch_ids`` are the writer's batches that must be taken as never written."""

    def __init__(self, reason: JournalFailure, text: str, batch_ids: tuple[int, ...] = ()) -> None:
        super().__init__(f"journal failed ({reason.value}): {text}")
        self.reason = reason
        self.text = text
        self.batch_ids = batch_ids

    def __reduce__(self) -> tuple[type[JournalFailed], tuple[JournalFailure, str, tuple[int, ...]]]:
        """Survive pickling with the facts."""
        return (JournalFailed, (self.reason, self.text, self.batch_ids))


class Head(tuple[int, bytes]):
    """(seq of the last row, chain hash there)."""

    __slots__ = ()

    @property
    def seq(self) -> int:
        """0 when the journal is empty."""
        return self[0]

    @property
    def hash(self) -> bytes:
        """GENESIS_HASH when the journal is empty."""
        return self[1]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A state after row ``seq``, to be continued with the journal's tail. ``hash`` is the chain's there."""

    name: str
    seq: int
    hash: bytes
    blob: bytes


class JournalStore(Protocol):
    """What replay and recovery need of a journal, wherever it lives."""

    def append(self, rows: Sequence[RowDraft]) -> tuple[int, int]:
        """Make the rows durable as one group; (first seq, last seq)."""
        ...

    def read(self, from_seq: int = 1) -> Iterator[JournalRow]:
        """Rows from ``from_seq`` on, in order."""
        ...

    def head(self) -> Head:
        """The last row's place and the chain's hash there."""
        ...

    def close(self) -> None:
        """Give everything back; further calls are errors."""
        ...


class TendedStore(JournalStore, Protocol):
    """What the writer thread needs besides: prepared rows in one group, and work for idle moments."""

    def commit(self, batches: Sequence[Prepared]) -> tuple[int, int]:
        """All batches as one group, one transaction, one sync; nothing is written when it raises `JournalFailed`."""
        ...

    def tend(self, *, idle: bool) -> bool:
        """Chain, index, close hours, tidy: a slice of it. True while there is more to do."""
        ...

    def save_checkpoint(self, name: str, seq: int, blob: bytes, taken_ns: int) -> bool:
        """Keep a state; False while row ``seq`` is not chained yet."""
        ...


class Prepared:
    """Rows made ready for a commit by whoever has the time: encoded, their keys taken. The order path then only syncs.

    Raises ``JournalFailed`` (DUPLICATE) when the rows repeat each other.
    """

    __slots__ = ("count", "keys", "rows")

    def __init__(self, rows: Sequence[RowDraft]) -> None:
        self.count = len(rows)
        self.keys = keys_of(rows)
        self.rows = encode_rows(rows)


def keys_of(rows: Sequence[RowDraft]) -> frozenset[Key]:
    """What these rows bring that may come once; ``JournalFailed`` when they repeat each other."""
    # `is` and not a set: an enum's hash is Python code, and this runs on the order path for every row.
    if len(rows) == 1:
        row = rows[0]
        if row.exec_id is None:
            placing = row.kind is JournalKind.PLACE or row.kind is JournalKind.REPLACE
            return frozenset(((row.venue, row.cl_ord_id, True),)) if placing else _NO_KEYS
    keys: list[Key] = []
    for row in rows:
        kind = row.kind
        if kind is JournalKind.PLACE or kind is JournalKind.REPLACE:
            keys.append((row.venue, row.cl_ord_id, True))
        if row.exec_id is not None:
            keys.append((row.venue, row.exec_id, False))
    fresh = frozenset(keys)
    if len(fresh) != len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise JournalFailed(JournalFailure.DUPLICATE, f"{describe(repeated)} in the same batch")
    return fresh


def joined(batches: Sequence[Prepared]) -> tuple[int, bytes]:
    """(rows, canonical bytes) of all batches as one group."""
    count = sum([batch.count for batch in batches])
    return count, join_group(count, [batch.rows for batch in batches])


IndexLine = tuple[int, int, int, str, str, str, str | None, str, int]
"""One line of the index: seq, first_seq, ts_ns, kind, venue, cl_ord_id, exec_id, parent_id, epoch."""


class Following(msgspec.Struct):
    """What is written after the groups, off the order path: lines of the index, links of the chain, roots of hours."""

    done: int
    link: bytes
    lines: list[IndexLine] = []
    links: list[tuple[int, int, bytes]] = []
    roots: list[HourRoot] = []

    def take(self, tree: HourTree, first_seq: int, group: bytes) -> None:
        """One more group, in order."""
        rows = decode_group(group)
        self.lines += [
            (first_seq + i, first_seq, r.ts_ns, r.kind.value, r.venue, r.cl_ord_id, r.exec_id, r.parent_id, r.epoch)
            for i, r in enumerate(rows)
        ]
        self.link = chain_hash(self.link, group)
        self.done = first_seq + len(rows) - 1
        self.links.append((first_seq, self.done, self.link))
        closed = tree.add(first_seq, len(rows), rows[0].ts_ns, group)
        if closed is not None:
            self.roots.append(closed)
