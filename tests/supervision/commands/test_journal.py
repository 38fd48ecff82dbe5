"""`propdesk journal`: whole or broken and where, and the newest rows."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from adapters.journal.store import SqliteJournal
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body


@pytest.fixture
def copy(traded_journal, tmp_path):
    shutil.copy(traded_journal, tmp_path / "journal.db")
    return tmp_path / "journal.db"


@pytest.mark.req("P-ORD-14")
def test_a_whole_journal_is_said_to_be_whole(propdesk, traded_journal):
    code, out, _ = propdesk("journal", "verify", "--data-dir", traded_journal.parent)
    assert code == 0
    assert "whole" in out
    code, out, _ = propdesk("journal", "verify", traded_journal, "--json")
    report = json.loads(out)
    assert (code, report["done"], report["first_bad_seq"]) == (0, True, None)
    assert report["rows"] > 20
    assert len(report["head_hash"]) == 64


@pytest.mark.req("P-ORD-14")
def test_a_changed_row_is_found_and_named(propdesk, copy):
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        # What guards against accidents does not stop somebody who means it: the chain does.
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE order_journal SET rows = zeroblob(length(rows)) WHERE first_seq = 7")
    code, out, _ = propdesk("journal", "verify", copy)
    assert code == 1
    assert "BROKEN" in out
    assert "first bad row is 7" in out
    assert (propdesk("journal", "verify", copy, "--json")[0]) == 1


def test_show_prints_the_newest_rows_oldest_first(propdesk, traded_journal):
    code, out, _ = propdesk("journal", "show", "--limit", 5, "--data-dir", traded_journal.parent)
    seqs = [int(line.split()[0]) for line in out.splitlines()]
    assert code == 0
    assert seqs == list(range(seqs[0], seqs[0] + 5))
    code, out, _ = propdesk("journal", "show", traded_journal, "--limit", 5, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["seq"] for row in rows] == seqs
    assert all(row["body"]["type"] for row in rows)


def test_show_works_beside_the_daemon_that_writes(propdesk, copy):
    with SqliteJournal(copy) as journal:
        body = encode_body(NoteBody(text="the newest"))
        journal.append([RowDraft(1, JournalKind.EPOCH, "binance", "", None, "", 9, body)])
        code, out, _ = propdesk("journal", "show", copy, "--limit", 1)
        assert code == 0
        assert "epoch" in out
        assert propdesk("journal", "verify", copy)[0] == 0


def test_without_a_journal_it_cannot_run(propdesk, tmp_path):
    for action in ("verify", "show"):
        code, _, err = propdesk("journal", action, "--data-dir", tmp_path)
        assert code == 2
        assert "no journal" in err


def test_a_limit_below_one_is_refused(propdesk, traded_journal):
    with pytest.raises(SystemExit) as refused:
        propdesk("journal", "show", traded_journal, "--limit", 0)
    assert refused.value.code == 2
