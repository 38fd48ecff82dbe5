"""`propdesk why`: the story of an order from the journal file, whatever the daemon does."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from adapters.journal.store import open_reader
from trading.telemetry.ids import trace_id_of


@pytest.fixture
def filled(traded_journal):
    with closing(open_reader(traded_journal)) as db:
        row = db.execute("SELECT cl_ord_id FROM order_row WHERE kind = 'fill'").fetchone()
    return row[0]


@pytest.mark.req("P-ORD-15")
def test_a_filled_order_is_told_from_tick_to_ledger(propdesk, traded_journal, filled):
    code, out, _ = propdesk("why", filled, "--data-dir", traded_journal.parent)
    assert code == 0
    steps = ("tick", "intents", "netting", "risk", "journal", "sent", "fee", "ledger")
    at = [out.index(f"  {name}: ") for name in steps]
    assert at == sorted(at)


def test_as_json_it_is_one_object_with_its_steps(propdesk, traded_journal, filled):
    code, out, _ = propdesk("why", filled, "--json", "--data-dir", traded_journal.parent)
    story = json.loads(out)
    assert (code, story["done"], story["cl_ord_id"]) == (0, True, filled)
    assert [step["name"] for step in story["steps"]][:4] == ["tick", "intents", "netting", "risk"]
    assert story["trace_id"] == trace_id_of(filled)
    assert story["trace_id"] in story["text"].splitlines()[0]


def test_an_unknown_id_names_the_nearest_and_is_a_no(propdesk, traded_journal, filled):
    mistyped = filled[:-1] + "zz"
    code, out, _ = propdesk("why", mistyped, "--data-dir", traded_journal.parent)
    assert code == 1
    assert f"no order {mistyped}" in out
    assert filled[:-2] in out
    assert len(out.splitlines()) == 1
    code, out, _ = propdesk("why", mistyped, "--json", "--data-dir", traded_journal.parent)
    assert (code, json.loads(out)["done"], len(json.loads(out)["nearest"])) == (1, False, 5)


def test_without_a_journal_it_cannot_run(propdesk, tmp_path):
    code, _, err = propdesk("why", "pd1-x", "--data-dir", tmp_path)
    assert code == 2
    assert "no journal" in err


def test_a_file_that_is_no_journal_is_said_to_be_one(propdesk, tmp_path):
    (tmp_path / "journal.db").write_bytes(b"no database at all, only words" * 100)
    code, _, err = propdesk("why", "pd1-x", "--data-dir", tmp_path)
    assert code == 2
    assert "cannot be read" in err


def test_it_reads_beside_a_writer_in_the_middle_of_a_transaction(propdesk, traded_journal, filled):
    with closing(sqlite3.connect(traded_journal, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM order_row WHERE seq < 0")
        code, out, _ = propdesk("why", filled, "--data-dir", traded_journal.parent)
        writer.execute("ROLLBACK")
    assert code == 0
    assert filled in out
