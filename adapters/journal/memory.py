"""The journal without a disk, for virtual time: the same rows, the same hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.journal.base import (
    KEYS_IN_MEMORY,
    Checkpoint,
    Head,
    JournalFailed,
    JournalFailure,
    keys_of,
)
from adapters.journal.keys import Keys, describe
from trading.orders.journal_rows import (
    GENESIS_HASH,
    JournalKind,
    JournalRow,
    RowDraft,
    chain_hash,
    encode_group,
    numbered,
)

_PLACE = JournalKind.PLACE


class MemoryJournal:
    """The same journal without a disk, for virtual time.

    ``hashed=False`` skips the chain where a replay wants speed.
    """

    def __init__(self, *, hashed: bool = True) -> None:
        self._hashed = hashed
        self._groups: list[tuple[int, Sequence[RowDraft]]] = []
        # As on disk, the chain is written off the order path: the link before each group that has one, and the last.
        self._links: list[bytes] = [GENESIS_HASH]
        self._known = Keys(KEYS_IN_MEMORY)
        self._last_seq = 0
        self._checkpoints: dict[str, Checkpoint] = {}

    def append(self, rows: Sequence[RowDraft]) -> tuple[int, int]:
        """One group; (first seq, last seq)."""
        count = len(rows)
        if count == 1 and (row := rows[0]).kind is _PLACE and row.exec_id is None:
            # What `keys_of` would say of nearly every group, without a set for one key.
            duplicate = self._known.take_one((row.venue, row.cl_ord_id, True))
        else:
            keys = keys_of(rows)
            duplicate = self._known.take(keys) if keys else None
        if duplicate is not None:
            raise JournalFailed(JournalFailure.DUPLICATE, describe(duplicate))
        last = self._last_seq
        first = last + 1
        self._groups.append((first, tuple(rows)))
        self._last_seq = last = last + count
        return first, last

    def read(self, from_seq: int = 1) -> Iterator[JournalRow]:
        """Rows from ``from_seq`` on, in order."""
        links = self._chain()
        for index, (first, rows) in enumerate(self._groups):
            if first + len(rows) <= from_seq:
                continue
            prev_hash, link = (links[index], links[index + 1]) if self._hashed else (GENESIS_HASH, GENESIS_HASH)
            yield from (row for row in numbered(first, rows, prev_hash, link) if row.seq >= from_seq)

    def rows_of(self, cl_ord_id: str) -> list[JournalRow]:
        """Every row of one order, in order."""
        return [row for row in self.read() if row.cl_ord_id == cl_ord_id]

    def head(self) -> Head:
        """The last row's place and the chain's hash there."""
        return Head((self._last_seq, self._chain()[-1]))

    def save_checkpoint(self, name: str, seq: int, blob: bytes, taken_ns: int) -> bool:
        """Keep a state after row ``seq``; the newest of each name stays."""
        self._checkpoints[name] = Checkpoint(name=name, seq=seq, hash=GENESIS_HASH, blob=blob)
        return True

    def newest_checkpoint(self, name: str) -> Checkpoint | None:
        """The newest kept state of a name."""
        return self._checkpoints.get(name)

    def _chain(self) -> list[bytes]:
        links = self._links
        if self._hashed:
            for _, rows in self._groups[len(links) - 1 :]:
                links.append(chain_hash(links[-1], encode_group(rows)))
        return links

    def close(self) -> None:
        """Nothing to give back."""
