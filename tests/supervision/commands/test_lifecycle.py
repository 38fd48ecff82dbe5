"""`propdesk lifecycle`: how orders fared, from the journal file, whatever the daemon does."""

from __future__ import annotations

import json

import pytest

from adapters.journal.store import SqliteJournal
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body


@pytest.mark.req("P-ORD-11")
def test_latencies_of_placing_canceling_and_amending_are_told_by_venue(propdesk, traded_journal):
    code, out, _ = propdesk("lifecycle", "--json", "--data-dir", traded_journal.parent)
    report = json.loads(out)
    assert (code, report["done"]) == (0, True)
    venue = report["venues"]["binanceusdm"]
    assert {"place", "cancel", "replace"} <= set(venue["latency"])
    for facts in venue["latency"].values():
        assert 0 < facts["p50_us"] <= facts["p95_us"] <= facts["p99_us"] <= facts["p999_us"]
        assert facts["n"] > 0
    assert venue["executions"] > 0
    assert sum(venue["ends"].values()) + venue["open"] == venue["placed"]


def test_in_words_and_as_a_page(propdesk, traded_journal, tmp_path):
    page = tmp_path / "execution_lifecycle.md"
    code, out, _ = propdesk("lifecycle", traded_journal, "--out", page)
    assert code == 0
    assert "place -> ack" in out
    assert "p999" in out
    assert "| binanceusdm | replace -> replaced |" in page.read_text("utf-8")
    code, _, err = propdesk("lifecycle", traded_journal, "--out", tmp_path / "none" / "page.md")
    assert code == 2
    assert "--out" in err


def test_only_the_newest_hours_on_demand(propdesk, tmp_path):
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        for hour in range(4):
            body = encode_body(NoteBody(text="gone", facts={"event": "rejected"}))
            ts_ns = (500_000 + hour) * 3_600_000_000_000 + 200_000_000_000
            journal.append([RowDraft(ts_ns, JournalKind.REJECT, "okx", f"pd1-{hour}", None, "", 1, body)])
        while journal.tend(idle=True):
            pass
    rows = [json.loads(propdesk("lifecycle", path, "--json", "--hours", n)[1])["rows"] for n in (1, 2, 9)]
    assert rows == [1, 2, 4]


def test_without_a_journal_or_orders_it_says_so(propdesk, tmp_path):
    code, _, err = propdesk("lifecycle", "--data-dir", tmp_path)
    assert code == 2
    assert "no journal" in err
    with SqliteJournal(tmp_path / "journal.db"):
        pass
    code, out, _ = propdesk("lifecycle", "--data-dir", tmp_path)
    assert code == 1
    assert out == "no orders in this journal\n"
