"""Hourly roots: each hour's groups in one tree, each root linked to the one before, any change found and named."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.journal.headfile import head_path
from adapters.journal.merkle import (
    HOUR_NS,
    SEAL_AFTER_NS,
    HourTree,
    decode_open,
    encode_open,
    hour_link,
    hour_name,
    leaf_hash,
)
from adapters.journal.reader import SqliteReader, connect, open_journal
from adapters.journal.store import SqliteJournal
from adapters.journal.verify import verify
from trading.orders.journal_rows import GENESIS_HASH, JournalKind, chain_hash, decode_group, encode_group

T0 = 497_222 * HOUR_NS  # a full hour of 2026
GROUPS = 24
HOURS = 6


def rfc6962(leaves):
    """The tree's definition, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + rfc6962(leaves[:k]) + rfc6962(leaves[k:])).digest()


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.integers(0, 39))
def test_a_root_is_that_of_rfc_6962_wherever_the_tree_was_stored_in_between(groups, stored_at):
    tree = HourTree()
    for i, group in enumerate(groups):
        if i == stored_at:
            tree = HourTree(decode_open(encode_open(tree.state)))
        assert tree.add(i + 1, 1, T0 + i, group) is None
    closed = tree.seal(T0 + HOUR_NS + SEAL_AFTER_NS)
    root = rfc6962([leaf_hash(i + 1, group) for i, group in enumerate(groups)])
    link = hour_link(GENESIS_HASH, T0 // HOUR_NS, 1, len(groups), root)
    assert (closed.root, closed.first_seq, closed.last_seq, closed.link) == (root, 1, len(groups), link)


def test_an_hour_is_closed_by_a_later_row_or_by_the_clock_and_late_rows_go_to_the_next():
    tree = HourTree()
    hour = T0 // HOUR_NS
    assert tree.add(1, 1, T0, b"a") is None
    assert tree.add(2, 2, T0 - HOUR_NS, b"the clock went back") is None
    first = tree.add(4, 1, T0 + HOUR_NS, b"b")
    assert (first.hour, first.first_seq, first.last_seq) == (hour, 1, 3)
    assert tree.seal(T0 + 2 * HOUR_NS + SEAL_AFTER_NS - 1) is None
    second = tree.seal(T0 + 2 * HOUR_NS + SEAL_AFTER_NS)
    assert (second.hour, second.first_seq, second.last_seq) == (hour + 1, 4, 4)
    assert tree.seal(2**62) is None
    tree.add(5, 1, T0 + HOUR_NS, b"late")
    third = tree.add(6, 1, T0 + 9 * HOUR_NS, b"c")
    assert (third.hour, third.first_seq, third.last_seq) == (hour + 2, 5, 5)
    with pytest.raises(ValueError, match="group 9 after row 6"):
        tree.add(9, 1, T0, b"d")


def test_a_store_closes_an_idle_hour_by_the_clock(place, open_store, row):
    now = [T0]
    store = open_store(place, wall_ns=lambda: now[0])
    store.append([row(1, ts_ns=T0)])
    while store.tend(idle=True):
        pass
    store.tend(idle=True)
    assert verify(place).hours == 0
    now[0] += HOUR_NS + SEAL_AFTER_NS
    store.tend(idle=True)
    report = verify(place)
    assert (report.ok, report.hours) == (True, 1)
    with closing(open_journal(place)) as journal:
        (root,) = journal.hours()
    assert report.root_link == root.link
    store.append([row(2, ts_ns=T0)])
    store.close()
    assert verify(place).ok


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A real journal of six hours, twenty-four groups; closed, so that it is one file."""
    from trading.orders.journal_rows import NoteBody, RowDraft, encode_body  # noqa: PLC0415

    path = tmp_path_factory.mktemp("history") / "journal.db"
    number = 0
    with SqliteJournal(path) as store:
        for group in range(GROUPS):
            rows = []
            for _ in range(1 + group % 3):
                number += 1
                body = encode_body(NoteBody(text=f"row {number}", facts={"filler": "x" * (40 * (number % 5))}))
                ts_ns = T0 + group * HOUR_NS * HOURS // GROUPS + number
                kind, exec_id = (JournalKind.FILL, f"x{number}") if number % 3 == 0 else (JournalKind.PLACE, None)
                rows.append(RowDraft(ts_ns, kind, "BINANCE", f"pd1-{number}", exec_id, f"i-{number}", 1, body))
            store.append(rows)
    head_path(path).unlink()  # the file alone must tell
    assert verify(path).hours == HOURS - 1
    return path


def content(path):
    """Everything that is history, or None when it cannot be read."""
    try:
        with closing(connect(path)) as db:
            journal = SqliteReader(db)
            return (
                list(journal.groups(-(2**62))),
                list(journal.links(-(2**62))),
                list(journal.lines(-(2**62))),
                list(journal.hours()),
                journal.open_hour(),
            )
    except (sqlite3.Error, TypeError, ValueError):
        return None


@pytest.mark.req("P-ORD-7")
@pytest.mark.req("P-ORD-14")
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_of_the_file_is_found_or_touched_no_history(history, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "flipped.db"
    raw = bytearray(history.read_bytes())
    used = [i for i in range(0, len(raw), 16) if any(raw[i : i + 16])]
    at = data.draw(st.sampled_from(used)) + data.draw(st.integers(0, 15))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    report = verify(path)
    if report.ok:
        # Free space and counters of SQLite's own: what can be read is what was written, byte for byte.
        assert content(path) == content(history)
    else:
        assert report.text
        assert report.first_bad_seq is not None


@pytest.mark.req("P-ORD-7")
@pytest.mark.req("P-ORD-14")
def test_every_byte_of_every_group_counts_and_the_row_and_its_hour_are_named(history, tmp_path):
    """Each group in turn has a byte flipped, in the file itself."""
    raw = history.read_bytes()
    for first, _, group in content(history)[0]:
        at = raw.index(group) + len(group) // 2
        path = tmp_path / "flipped.db"
        path.write_bytes(raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :])
        report = verify(path)
        assert (report.ok, report.first_bad_seq) == (False, first)
        hour = decode_group(group)[0].ts_ns // HOUR_NS
        assert report.bad_hour in {hour_name(hour), hour_name(hour - 1)}
    cuts = range(512, len(raw), len(raw) // 16)
    for cut in cuts:
        path.write_bytes(raw[:cut])
        assert not verify(path).ok


@pytest.fixture
def hurt(history, tmp_path):
    """Changes a copy as somebody with every right would; what verify says of it."""

    def change(*statements):
        path = tmp_path / "journal.db"
        shutil.copy(history, path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                statement(db) if callable(statement) else db.execute(statement)
        return verify(path)

    return change


def swap(table, a, b, key="first_seq"):
    return [
        f"UPDATE {table} SET {key} = -1 WHERE {key} = {a}",
        f"UPDATE {table} SET {key} = {a} WHERE {key} = {b}",
        f"UPDATE {table} SET {key} = {b} WHERE {key} = -1",
    ]


@pytest.mark.req("P-ORD-7")
@pytest.mark.req("P-ORD-14")
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_dropped_swapped_or_moved_are_found_in_any_table(history, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "moved.db"
    shutil.copy(history, path)
    table, key = data.draw(
        st.sampled_from(
            [
                ("order_journal", "first_seq"),
                ("journal_chain", "first_seq"),
                ("order_row", "seq"),
                ("journal_hour", "hour"),
            ]
        )
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        keys = [row[0] for row in db.execute(f"SELECT {key} FROM {table} ORDER BY 1")]
        a = data.draw(st.sampled_from(keys))
        b = data.draw(st.sampled_from([other for other in keys if other != a]))
        if data.draw(st.booleans()):
            db.execute(f"DELETE FROM {table} WHERE {key} = {a}")
        else:
            for statement in swap(table, a, b, key):
                db.execute(statement)
    report = verify(path)
    assert not report.ok
    assert report.first_bad_seq is not None


@pytest.mark.req("P-ORD-7")
def test_a_chain_made_to_fit_a_changed_row_does_not_fit_the_hours_root(hurt):
    """Somebody who rewrites a row, its index and the whole chain still has the roots against them."""

    def rewrite(db):
        link = GENESIS_HASH
        for first, count, group in db.execute(
            "SELECT first_seq, row_count, rows FROM order_journal ORDER BY first_seq"
        ).fetchall():
            rows = decode_group(group)
            if first == 7:
                rows[0] = msgspec.structs.replace(rows[0], cl_ord_id="forged")
                group = encode_group(rows)  # noqa: PLW2901
                db.execute("UPDATE order_journal SET rows = ? WHERE first_seq = ?", (group, first))
                db.execute("UPDATE order_row SET cl_ord_id = 'forged' WHERE seq = ?", (first,))
            link = chain_hash(link, group)
            db.execute("UPDATE journal_chain SET hash = ? WHERE first_seq = ?", (link, first))
            assert count == len(rows)

    report = hurt(rewrite)
    assert not report.ok
    assert "do not give this hour's root" in report.text
    assert report.bad_hour == hour_name(T0 // HOUR_NS)


@pytest.mark.req("P-ORD-7")
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM journal_hour WHERE hour = (SELECT max(hour) FROM journal_hour)", "missing"),
        ("DELETE FROM journal_hour WHERE hour = (SELECT min(hour) FROM journal_hour)", "does not follow"),
        ("UPDATE journal_hour SET root = zeroblob(32) WHERE first_seq = 1", "was changed"),
        ("DELETE FROM journal_open_hour", "missing"),
        ("DROP TABLE journal_hour", "gone"),
    ],
)
def test_roots_that_are_changed_or_gone_are_missed(hurt, statement, words):
    report = hurt(statement)
    assert not report.ok
    assert words in report.text


def test_a_head_that_is_newer_than_the_journal_is_believed(tmp_path, row):
    """An older copy in the place of the journal: whole in itself, and still not what was written."""
    path, older = tmp_path / "journal.db", tmp_path / "older.db"
    with SqliteJournal(path) as store:
        store.append([row(1)])
    shutil.copy(path, older)
    with SqliteJournal(path) as store:
        store.append([row(2)])
    assert verify(path).ok
    shutil.copy(older, path)
    report = verify(path)
    assert (report.ok, report.first_bad_seq) == (False, 2)
    head_path(path).write_text("nonsense\n")
    assert "damaged" in verify(path).text
