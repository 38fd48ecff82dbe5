"""An edited, truncated or reordered journal is found out."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from adapters.journal.headfile import head_path
from adapters.journal.merkle import HourTree, encode_open
from adapters.journal.store import JournalFailed, SqliteJournal
from adapters.journal.verify import verify
from trading.orders.journal_rows import decode_group, encode_group


@pytest.fixture
def path(tmp_path, row):
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as store:
        for start in (1, 4, 7):
            store.append([row(start), row(start + 1), row(start + 2)])
    return path


@pytest.fixture
def tamper(path):
    def change(*statements: tuple) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for table in ("order_journal", "order_row", "journal_chain"):
                for verb in ("update", "delete"):
                    db.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}")
            for statement in statements:
                db.execute(*statement)

    return change


def test_an_untouched_journal_is_whole(path) -> None:
    report = verify(path)
    assert (report.ok, report.rows, report.first_bad_seq) == (True, 9, None)


@pytest.mark.req("P-ORD-14")
def test_an_edited_row_is_found(path, tamper, row) -> None:
    with closing(sqlite3.connect(path)) as db:
        group = db.execute("SELECT rows FROM order_journal WHERE first_seq = 4").fetchone()[0]
    rows = decode_group(group)
    rows[1] = row(99)
    tamper(("UPDATE order_journal SET rows = ? WHERE first_seq = 4", (encode_group(rows),)))
    report = verify(path)
    assert (report.ok, report.first_bad_seq, report.rows) == (False, 4, 3)


@pytest.mark.req("P-ORD-14")
@pytest.mark.parametrize(
    ("statements", "first_bad_seq"),
    [
        ([("DELETE FROM order_journal WHERE first_seq = 7",)], 7),
        ([("DELETE FROM order_journal WHERE first_seq = 4",)], 4),
        (
            [
                ("UPDATE order_journal SET first_seq = 100 WHERE first_seq = 4",),
                ("UPDATE order_journal SET first_seq = 4 WHERE first_seq = 7",),
                ("UPDATE order_journal SET first_seq = 7 WHERE first_seq = 100",),
            ],
            4,
        ),
        ([("UPDATE order_journal SET rows = x'93' WHERE first_seq = 7",)], 7),
        ([("UPDATE order_row SET cl_ord_id = 'pd1-50' WHERE seq = 2",)], 1),
        ([("UPDATE journal_chain SET hash = zeroblob(32) WHERE first_seq = 7",)], 7),
    ],
)
def test_missing_reordered_and_broken_rows_are_found(path, tamper, statements, first_bad_seq) -> None:
    tamper(*statements)
    report = verify(path)
    assert (report.ok, report.first_bad_seq) == (False, first_bad_seq)


@pytest.mark.req("P-ORD-14")
def test_an_end_cut_off_with_all_that_knows_of_it_is_found_by_a_head_known_from_elsewhere(path, tamper) -> None:
    with closing(sqlite3.connect(path)) as db:
        groups = db.execute("SELECT first_seq, row_count, rows FROM order_journal WHERE first_seq < 7").fetchall()
    tree = HourTree()
    for first, count, group in groups:
        tree.add(first, count, 1, group)
    head = (9, verify(path).head_hash)
    tables = ("order_journal", "order_row", "journal_chain")
    tamper(*((f"DELETE FROM {table} WHERE first_seq >= 7",) for table in tables))
    report = verify(path)
    assert (report.ok, report.first_bad_seq) == (False, 7), "the file beside it knows better"
    head_path(path).unlink()
    assert not verify(path).ok, "the open hour knows better"
    tamper(("UPDATE journal_open_hour SET state = ?", (encode_open(tree.state),)))
    assert verify(path).ok
    report = verify(path, expect=head)
    assert (report.ok, report.first_bad_seq) == (False, 7)


@pytest.mark.req("P-ORD-14")
def test_damaged_bytes_on_disk_are_found(path) -> None:
    raw = bytearray(path.read_bytes())
    at = raw.index(b"row 5")
    raw[at : at + 5] = b"row 7"
    path.write_bytes(raw)
    report = verify(path)
    assert (report.ok, report.first_bad_seq) == (False, 4)
    path.write_bytes(raw[: len(raw) // 2])
    assert not verify(path).ok


def test_a_truncated_journal_is_not_written_to(path, tamper) -> None:
    tamper(("DELETE FROM order_journal WHERE first_seq = 7",))
    with pytest.raises(JournalFailed, match="ends at row 6"):
        SqliteJournal(path)


def test_no_journal_is_said_so(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no journal at"):
        verify(tmp_path / "none.db")
