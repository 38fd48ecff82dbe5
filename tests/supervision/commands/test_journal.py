"""`propdesk journal`: whole or broken and where, and the newest rows."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from adapters.journal.store import SqliteJournal
from tests.waiting import PATIENCE_S
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body

ROOT = Path(__file__).resolve().parents[3]


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


def rows_of(out):
    return [json.loads(line) for line in out.splitlines()]


def test_tail_shows_what_was_asked_for(propdesk, traded_journal):
    rows = rows_of(propdesk("journal", "tail", traded_journal, "-n", 10_000, "--json")[1])
    kinds = {row["kind"] for row in rows}
    assert {"place", "ack"} <= kinds
    code, out, _ = propdesk("journal", "tail", traded_journal, "-n", 3, "--kind", "ack", "--kind", "place", "--json")
    wanted = [row["seq"] for row in rows if row["kind"] in {"ack", "place"}]
    assert (code, [row["seq"] for row in rows_of(out)]) == (0, wanted[-3:])
    order = next(row["cl_ord_id"] for row in rows if row["kind"] == "place")
    out = propdesk("journal", "tail", traded_journal, "--order", order, "--json")[1]
    assert [row["seq"] for row in rows_of(out)] == [row["seq"] for row in rows if row["cl_ord_id"] == order]
    assert propdesk("journal", "tail", traded_journal, "--venue", "nowhere")[1] == ""


@pytest.mark.process
def test_tail_follows_the_writer_and_ends_with_ctrl_c_or_when_nobody_reads(copy):
    def note(n, venue):
        return RowDraft(n, JournalKind.NOTE, venue, f"n-{n}", None, "", 1, encode_body(NoteBody(text="x")))

    command = [sys.executable, "-m", "supervision", "journal", "tail", str(copy), "-n", "1", "--follow", "--json"]
    with SqliteJournal(copy) as journal:
        for ending in ("ctrl-c", "reader"):
            with subprocess.Popen([*command, "--venue", "here"], stdout=subprocess.PIPE, cwd=ROOT) as tail:
                # Begun when it has shown what is there already.
                journal.append([note(journal.head().seq, "here")])
                seen = json.loads(tail.stdout.readline())["cl_ord_id"]
                journal.append([note(journal.head().seq, "there"), note(journal.head().seq + 1, "here")])
                assert json.loads(tail.stdout.readline())["cl_ord_id"] != seen
                if ending == "ctrl-c":
                    tail.send_signal(signal.SIGINT)
                else:
                    tail.stdout.close()
                assert tail.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_an_export_holds_every_row(propdesk, traded_journal, tmp_path, form):
    out = tmp_path / f"rows.{form}"
    code, text, _ = propdesk("journal", "export", traded_journal, "--out", out, "--json")
    count = json.loads(text)["rows"]
    assert code == 0
    assert count > 20
    with duckdb.connect() as db:
        read = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}[form]
        rows = db.execute(f"SELECT seq, kind, cl_ord_id, body FROM {read}('{out}') ORDER BY seq").fetchall()
    shown = rows_of(propdesk("journal", "show", traded_journal, "--limit", 10_000, "--json")[1])
    assert [(seq, kind, name or "") for seq, kind, name, _ in rows] == [
        (row["seq"], row["kind"], row["cl_ord_id"]) for row in shown
    ]
    place = next(body for _, kind, _, body in rows if kind == "place")
    assert "approved" in (place if isinstance(place, dict) else json.loads(place))
    assert [path.name for path in tmp_path.iterdir()] == [out.name], "nothing half-made is left"
    code, _, err = propdesk("journal", "export", traded_journal, "--out", out)
    assert code == 2
    assert "is there already" in err


def test_an_export_takes_the_same_filters(propdesk, traded_journal, tmp_path):
    out = tmp_path / "some.jsonl"
    assert propdesk("journal", "export", traded_journal, "--out", out, "--kind", "ack", "--from-seq", 5)[0] == 0
    rows = rows_of(out.read_text())
    assert rows
    assert all(row["kind"] == "ack" and row["seq"] >= 5 for row in rows)
    assert propdesk("journal", "export", traded_journal, "--out", tmp_path / "some.txt")[0] == 2
    assert propdesk("journal", "export", traded_journal)[0] == 2


@pytest.mark.req("P-ORD-14")
def test_a_head_kept_elsewhere_is_expected(propdesk, copy, tmp_path):
    shutil.copy(copy, tmp_path / "older.db")
    with SqliteJournal(copy) as journal:
        body = encode_body(NoteBody(text="the newest"))
        journal.append([RowDraft(1, JournalKind.EPOCH, "binance", "", None, "", 9, body)])
    facts = json.loads(propdesk("journal", "verify", copy, "--json")[1])
    head = f"{facts['rows']}:{facts['head_hash']}"
    assert propdesk("journal", "verify", copy, "--expect", head)[0] == 0
    code, out, _ = propdesk("journal", "verify", tmp_path / "older.db", "--expect", head)
    assert code == 1
    assert "more was written" in out


def test_the_schema_is_moved_only_where_no_desk_writes(propdesk, copy):
    with SqliteJournal(copy):
        code, _, err = propdesk("journal", "migrate", copy, "--to", 1)
        assert code == 2
        assert "stop the desk" in err
    for version in (1, 2):
        assert propdesk("journal", "migrate", copy, "--to", version)[0] == 0
        assert propdesk("journal", "verify", copy)[0] == 0
    assert propdesk("journal", "migrate", copy, "--to", 9)[0] == 2


def test_vacuum_gives_free_pages_back(propdesk, copy):
    with SqliteJournal(copy) as journal:
        seq = journal.head().seq
        while journal.tend(idle=True):
            pass
        assert journal.save_checkpoint("orders", seq, bytes(2_000_000), 1)
        assert journal.save_checkpoint("orders", seq, b"small", 1)
    code, out, _ = propdesk("journal", "vacuum", copy, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["bytes_after"] < facts["bytes_before"] - 1_500_000
    assert propdesk("journal", "verify", copy)[0] == 0


def test_a_database_that_does_not_answer_is_said_so(propdesk):
    code, _, err = propdesk("journal", "verify", "postgresql://nobody@127.0.0.1:1/none")
    assert code == 2
    assert "PostgreSQL" in err
