"""`propdesk backup` and `propdesk restore`: there and back, and refused where a desk runs or something differs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from adapters.journal.store import SqliteJournal
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body


@pytest.fixture
def data(traded_journal, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(traded_journal, folder / "journal.db")
    (folder / "brakes.msgpack").write_bytes(b"brakes")
    return folder


@pytest.mark.req("P-ORD-14")
def test_a_desk_that_runs_is_saved_and_comes_back_elsewhere(propdesk, data, tmp_path):
    with SqliteJournal(data / "journal.db") as journal:
        body = encode_body(NoteBody(text="the newest"))
        journal.append([RowDraft(1, JournalKind.EPOCH, "binance", "", None, "", 9, body)])
        code, out, _ = propdesk("backup", tmp_path / "saved", "--data-dir", data, "--json")
    report = json.loads(out)
    assert (code, report["done"]) == (0, True)
    head = report["manifest"]["journal"]["head_hash"]
    code, out, _ = propdesk("restore", tmp_path / "saved", "--to", tmp_path / "new")
    assert code == 0
    assert "rows of" in out
    code, out, _ = propdesk("journal", "verify", "--data-dir", tmp_path / "new", "--json")
    assert (code, json.loads(out)["head_hash"]) == (0, head)
    assert (tmp_path / "new" / "brakes.msgpack").read_bytes() == b"brakes"


def test_nothing_is_restored_over_a_running_desk_or_over_a_journal(propdesk, data, tmp_path):
    assert propdesk("backup", tmp_path / "saved", "--data-dir", data)[0] == 0
    code, out, _ = propdesk("restore", tmp_path / "saved", "--to", data)
    assert code == 1
    assert "journal.db is there already" in out
    new = tmp_path / "new"
    with SqliteJournal(_made(new) / "journal.db"):
        code, out, _ = propdesk("restore", tmp_path / "saved", "--to", new, "--json")
    assert code == 1
    assert "already has a writer" in json.loads(out)["text"]


def test_a_desk_that_has_no_journal_yet_is_still_a_running_desk(propdesk, data, tmp_path):
    assert propdesk("backup", tmp_path / "saved", "--data-dir", data)[0] == 0
    new = _made(tmp_path / "new")
    # A record lock belongs to a process: another one holds it, as a desk does.
    holder = "import fcntl,sys; f=open(sys.argv[1],'a+'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(new / "propdesk.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as desk:
        assert desk.stdout.readline() == b"1\n"
        code, out, _ = propdesk("restore", tmp_path / "saved", "--to", new)
        desk.communicate(b"\n")
    assert code == 1
    assert "a desk runs on" in out
    assert not (new / "journal.db").exists()


def test_another_configuration_is_refused_unless_it_is_meant(propdesk, data, tmp_path):
    assert propdesk("backup", tmp_path / "saved", "--data-dir", data, "--set", "risk.stale_ms=1300")[0] == 0
    code, out, _ = propdesk("restore", tmp_path / "saved", "--to", tmp_path / "new")
    assert code == 1
    assert "another configuration" in out
    assert propdesk("restore", tmp_path / "saved", "--to", tmp_path / "new", "--any-config")[0] == 0


def test_a_changed_backup_is_refused(propdesk, data, tmp_path):
    assert propdesk("backup", tmp_path / "saved", "--data-dir", data)[0] == 0
    (tmp_path / "saved" / "brakes.msgpack").write_bytes(b"other!")
    code, out, _ = propdesk("restore", tmp_path / "saved", "--to", tmp_path / "new")
    assert code == 1
    assert "brakes.msgpack" in out
    assert not (tmp_path / "new" / "journal.db").exists()


def test_without_a_journal_or_a_backup_it_says_so(propdesk, tmp_path):
    code, _, err = propdesk("backup", tmp_path / "saved", "--data-dir", tmp_path / "none")
    assert code == 2
    assert "never run" in err
    code, out, _ = propdesk("restore", tmp_path / "none", "--to", tmp_path / "new")
    assert code == 1
    assert "no backup" in out


def _made(folder):
    folder.mkdir()
    return folder
