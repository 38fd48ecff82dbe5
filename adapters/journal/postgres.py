"""The order journal in PostgreSQL: the same groups, the same bytes, the same hashes as in SQLite, by SQLAlchemy Core.

One row of ``order_journal`` is one commit group, committed with ``synchronous_commit=on`` before anybody hears of it;
chain, hours and index follow off the order path. An advisory lock of the database sees to one writer, from whatever
host; when the connection is lost so is the lock, and the store is at its end. What is committed when the answer gets
lost is found by the next start, as after a kill. Owns no thread and decides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import SQLAlchemyError

from adapters.clock import SystemClock
from adapters.journal.base import (
    CHECKPOINTS_KEPT,
    KEYS_IN_MEMORY,
    SCHEMA_VERSION,
    UNINDEXED_FORCED_ROWS,
    Checkpoint,
    Following,
    Head,
    JournalFailed,
    JournalFailure,
    Prepared,
    joined,
    keys_of,
)
from adapters.journal.keys import JournalKeys, Key
from adapters.journal.merkle import HourTree, OpenHour, decode_open, encode_open
from adapters.journal.migrate import migrate, version_of
from adapters.journal.postgres_reader import PostgresReader, engine_of, failure_of
from adapters.journal.reader import newest_checkpoint, read_rows, rows_of
from adapters.journal.schema import (
    journal_chain,
    journal_checkpoint,
    journal_hour,
    journal_open_hour,
    order_journal,
    order_row,
)
from trading.orders.journal_rows import GENESIS_HASH, JournalRow, RowDraft, chain_hash, decode_group

LOCK_KEY = 0x70726F706465736B  # "propdesk"
VACUUM_EVERY_ROWS = 200_000
_WALL_NS = SystemClock().wall_ns
_INSERT_GROUP = insert(order_journal)
_STATE = ("hash", "taken_ns", "digest", "blob")


class PostgresJournal:
    """The durable store behind a URL. Not thread-safe: the writer thread owns it.

    Raises ``JournalFailed`` and nothing else for trouble outside. ``ValueError`` when the URL is none.
    """

    def __init__(
        self, url: str, *, keys_in_memory: int = KEYS_IN_MEMORY, wall_ns: Callable[[], int] = _WALL_NS
    ) -> None:
        self.url = url
        self._wall_ns = wall_ns
        self._last_seq = 0
        self._indexed_seq = 0
        self._indexed_hash = GENESIS_HASH
        self._tree = HourTree()
        self._unvacuumed_rows = 0
        self._known = JournalKeys(keys_in_memory, self._in_index)
        self._closed = False
        self._engine = engine_of(url, readonly=False)
        try:
            self._db = self._engine.connect()
        except SQLAlchemyError as error:
            raise failure_of(error) from error
        try:
            self._reader = PostgresReader(url, self._db)
            self._load()
        except SQLAlchemyError as error:
            self._let_go()
            raise failure_of(error) from error
        except BaseException:
            self._let_go()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def connection(self) -> Connection:
        """The writer's own connection, for pouring a whole journal in."""
        return self._db

    def append(self, rows: Sequence[RowDraft]) -> tuple[int, int]:
        """One group, one transaction, one sync; (first seq, last seq). Nothing is written when it raises."""
        return self.commit((Prepared(rows),))

    def commit(self, batches: Sequence[Prepared]) -> tuple[int, int]:
        """All batches as one group, one transaction, one sync; (first seq, last seq).

        Raises for rows that are not durable, or of which nobody can say: the connection, and the store, are gone then.
        """
        keys = [batch.keys for batch in batches]
        repeated = self._known.repeated(keys)
        if repeated is not None:
            raise JournalFailed(JournalFailure.DUPLICATE, repeated)
        count, group = joined(batches)
        first = self._last_seq + 1
        try:
            self._db.execute(_INSERT_GROUP, {"first_seq": first, "row_count": count, "rows": group})
        except SQLAlchemyError as error:
            failed = failure_of(error)
            if failed.reason is JournalFailure.DUPLICATE:
                raise JournalFailed(JournalFailure.CORRUPT, f"row {first} was written by somebody else") from error
            raise failed from error
        self._last_seq += count
        self._known.add(keys)
        return first, self._last_seq

    def read(self, from_seq: int = 1) -> Iterator[JournalRow]:
        """Rows from ``from_seq`` on, in order."""
        return read_rows(self._reader, from_seq)

    def rows_of(self, cl_ord_id: str) -> list[JournalRow]:
        """Every row of one order, in order."""
        return rows_of(self._reader, cl_ord_id)

    def head(self) -> Head:
        """The last row's place and the chain's hash there."""
        link = self._indexed_hash
        for _, _, group in self._reader.groups(self._indexed_seq + 1):
            link = chain_hash(link, group)
        return Head((self._last_seq, link))

    def tend(self, *, idle: bool) -> bool:
        """Off the order path: chain and index a slice, or tidy. True while there is more to do."""
        behind = self._last_seq - self._indexed_seq
        try:
            if behind > (0 if idle else UNINDEXED_FORCED_ROWS):
                self._index(limit_rows=500 if idle else 500 + behind - UNINDEXED_FORCED_ROWS)
            elif idle:
                self._tidy()
        except SQLAlchemyError as error:
            failed = failure_of(error)
            if idle and failed.reason is JournalFailure.BUSY and behind <= UNINDEXED_FORCED_ROWS:
                return False
            raise failed from error
        return idle and self._last_seq > self._indexed_seq

    def save_checkpoint(self, name: str, seq: int, blob: bytes, taken_ns: int) -> bool:
        """Keep a state after row ``seq``; of each name the newest three stay. False while that row is not chained."""
        try:
            link = self._reader.link_before(seq + 1)
            if link is None or link[0] != seq:
                return False
            row = {"name": name, "seq": seq, "hash": link[1], "taken_ns": taken_ns, "blob": blob}
            row["digest"] = hashlib.sha256(blob).digest()
            kept = (
                select(journal_checkpoint.c.seq)
                .where(journal_checkpoint.c.name == name)
                .order_by(journal_checkpoint.c.seq.desc())
                .limit(CHECKPOINTS_KEPT)
            )
            with self.transaction():
                self._db.execute(
                    upsert(journal_checkpoint)
                    .values(row)
                    .on_conflict_do_update(index_elements=["name", "seq"], set_={k: row[k] for k in _STATE})
                )
                self._db.execute(
                    delete(journal_checkpoint).where(
                        journal_checkpoint.c.name == name, journal_checkpoint.c.seq.not_in(kept)
                    )
                )
        except SQLAlchemyError as error:
            raise failure_of(error) from error
        return True

    def newest_checkpoint(self, name: str) -> Checkpoint | None:
        """The newest kept state that is whole and belongs to this very history; None: replay from the first row."""
        return newest_checkpoint(self._reader, name)

    def close(self) -> None:
        """Chain and index what is left, let go of the lock and the connection."""
        if self._closed:
            return
        self._closed = True
        try:
            while self._last_seq > self._indexed_seq and not self._db.invalidated:
                self._index(limit_rows=5_000)
        except SQLAlchemyError as error:
            raise failure_of(error) from error
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._db.close()
        self._engine.dispose()

    def _load(self) -> None:
        db = self._db
        if not db.execute(select(func.pg_try_advisory_lock(LOCK_KEY))).scalar_one():
            raise JournalFailed(JournalFailure.BUSY, "the database already has a writer of the journal")
        if db.execute(text("SHOW fsync")).scalar_one() != "on":
            raise JournalFailed(JournalFailure.IO, "PostgreSQL runs with fsync=off: nothing would be durable")
        with self.transaction():
            version = version_of(db)
            if version > SCHEMA_VERSION:
                words = f"schema {version}, this code writes {SCHEMA_VERSION}"
                raise JournalFailed(JournalFailure.CORRUPT, words)
            if version < SCHEMA_VERSION:
                migrate(db)
        known = self._reader.link_before(2**62)
        if known is not None:
            self._indexed_seq, self._indexed_hash = known
        for line in self._reader.lines(1):
            self._known.load_line(line[3], line[4], line[5], line[6])
        for _, _, group in self._reader.groups(self._indexed_seq + 1):
            self._known.load(keys_of(decode_group(group)))
        self._last_seq = self._reader.last_seq()
        if self._last_seq < self._indexed_seq:
            words = f"ends at row {self._last_seq}, but row {self._indexed_seq} was journalled before"
            raise JournalFailed(JournalFailure.CORRUPT, words)
        self._load_hours()

    def _load_hours(self) -> None:
        raw = self._reader.open_hour()
        try:
            self._tree = HourTree(decode_open(raw) if raw else OpenHour())
        except msgspec.DecodeError as error:
            raise JournalFailed(JournalFailure.CORRUPT, f"the open hour is unreadable: {error}") from error
        following = Following(done=self._tree.state.next_seq - 1, link=GENESIS_HASH)
        for first_seq, _, group in self._reader.groups(following.done + 1):
            if first_seq > self._indexed_seq:
                break
            following.take(self._tree, first_seq, group)
            following.lines.clear()
        if self._tree.state.next_seq != self._indexed_seq + 1:
            words = f"its hours end at row {self._tree.state.next_seq - 1}, its chain at row {self._indexed_seq}"
            raise JournalFailed(JournalFailure.CORRUPT, words)
        if following.links:
            following.links.clear()
            self._write(following)

    def _in_index(self, key: Key) -> bool:
        venue, name, placed = key
        named = order_row.c.cl_ord_id if placed else order_row.c.exec_id
        query = select(order_row.c.seq).where(order_row.c.venue == venue, named == name).limit(1)
        if placed:
            query = query.where(order_row.c.kind.in_(("place", "replace")))
        try:
            return self._db.execute(query).first() is not None
        except SQLAlchemyError as error:
            raise failure_of(error) from error

    def _index(self, limit_rows: int) -> None:
        following = Following(done=self._indexed_seq, link=self._indexed_hash)
        before = encode_open(self._tree.state)
        for first_seq, _, group in self._reader.groups(self._indexed_seq + 1):
            following.take(self._tree, first_seq, group)
            if len(following.lines) >= limit_rows:
                break
        self._follow(following, before)

    def _tidy(self) -> None:
        if self._tree.state.hour >= 0:
            following = Following(done=self._indexed_seq, link=self._indexed_hash)
            before = encode_open(self._tree.state)
            closed = self._tree.seal(self._wall_ns())
            if closed is not None:
                following.roots.append(closed)
                self._follow(following, before)
        if self._unvacuumed_rows >= VACUUM_EVERY_ROWS:
            self._unvacuumed_rows = 0
            # Rows are never changed, so there is little to clean: statistics for the planner, and the visibility map.
            self._db.execute(text("VACUUM (ANALYZE, SKIP_LOCKED) order_row, journal_open_hour, journal_checkpoint"))

    def _follow(self, following: Following, before: bytes) -> None:
        try:
            self._write(following)
        except SQLAlchemyError:
            self._tree = HourTree(decode_open(before))
            raise
        self._indexed_seq, self._indexed_hash = following.done, following.link
        self._unvacuumed_rows += len(following.lines)

    def _write(self, following: Following) -> None:
        state = encode_open(self._tree.state)
        with self.transaction():
            self._insert(order_row, following.lines)
            self._insert(journal_chain, following.links)
            self._insert(journal_hour, [(r.hour, r.first_seq, r.last_seq, r.root, r.link) for r in following.roots])
            self._db.execute(
                upsert(journal_open_hour)
                .values(id=1, state=state)
                .on_conflict_do_update(index_elements=["id"], set_={"state": state})
            )

    def _insert(self, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            names = table.columns.keys()
            self._db.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction on the connection that otherwise commits each statement."""
        self._db.execute(text("BEGIN"))
        try:
            yield
        except BaseException:
            if not self._db.invalidated:
                self._db.execute(text("ROLLBACK"))
            raise
        self._db.execute(text("COMMIT"))


def migrate_database(url: str, to: int) -> None:
    """A database's schema to version ``to``, up or down, where no desk writes; ``JournalFailed`` otherwise."""
    engine = engine_of(url, readonly=False)
    try:
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as db, db.begin():
            if not db.execute(select(func.pg_try_advisory_xact_lock(LOCK_KEY))).scalar_one():
                raise JournalFailed(JournalFailure.BUSY, "the database has a writer of the journal")
            migrate(db, to)
    except SQLAlchemyError as error:
        raise failure_of(error) from error
    finally:
        engine.dispose()
