"""`propdesk recon`: a day's statement out of a real desk's journal, and an exit code that says whether it is clean."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal

import pytest

from adapters.journal.reader import open_journal, read_rows
from adapters.journal.store import SqliteJournal
from supervision.desk_plan import INSTRUMENTS
from trading.orders.journal_rows import JournalKind, NoteBody, ReconcileBody, RowDraft, encode_body
from trading.recon.books import Books
from trading.recon.daily import day_of


@pytest.fixture
def journal(traded_journal, tmp_path):
    """A copy, in which every venue spoke at the end."""
    shutil.copy(traded_journal, tmp_path / "journal.db")
    return tmp_path


def rows_of(folder):
    journal = open_journal(folder / "journal.db")
    try:
        return list(read_rows(journal))
    finally:
        journal.close()


def write(folder, venue, body):
    last = rows_of(folder)[-1].ts_ns
    with SqliteJournal(folder / "journal.db") as journal:
        journal.append([RowDraft(last + 1, JournalKind.RECONCILE, venue, "", None, "", 1, encode_body(body))])


def spoke(folder, off="0"):
    """Every venue tells the balances that the books have, one of them something else."""
    books = Books(INSTRUMENTS)
    books.rebuild(rows_of(folder))
    for venue, cash in books.portfolio.balances_by_venue().items():
        told = {asset: str(amount + Decimal(off)) for asset, amount in cash.items()}
        write(
            folder,
            venue,
            ReconcileBody(ok=True, text="compared", exec_seq=0, baseline=False, positions={}, balances=told),
        )


@pytest.mark.req("P-PNL-8")
def test_a_day_that_agrees_is_clean_and_its_page_says_so(propdesk, journal):
    spoke(journal)
    code, out, _ = propdesk("recon", "--data-dir", journal)
    assert code == 0, out
    assert out.startswith(f"# Reconciliation of {day_of(rows_of(journal)[-1].ts_ns)}: clean")
    code, out, _ = propdesk("recon", "--json", "--data-dir", journal)
    told = json.loads(out)
    assert (code, told["clean"]) == (0, True)
    assert {Decimal(a["residual"]) for a in told["assets"]} == {Decimal(0)}
    assert sum(v["booked"] for v in told["venues"]) > 0


@pytest.mark.req("P-PNL-8")
def test_a_difference_that_stands_is_exit_code_1(propdesk, journal):
    spoke(journal)
    facts = {"diff": "binance:balance:USDT", "class": "unexplained", "state": "braked", "action": "ask",
             "scope": "venue:binance", "ours": "1", "theirs": "2", "evidence": ""}  # fmt: skip
    write(journal, "binance", NoteBody(text="USDT on binance: venue 2, ledger 1", facts=facts))
    code, out, _ = propdesk("recon", "--data-dir", journal)
    assert code == 1
    assert "NOT CLEAN" in out
    assert "venue 2, ledger 1" in out


@pytest.mark.req("P-PNL-8")
def test_a_balance_that_the_books_never_had_is_found_though_the_desk_did_not_say_so(propdesk, journal):
    spoke(journal, off="-7")
    code, out, _ = propdesk("recon", "--json", "--data-dir", journal)
    assert code == 1
    assert all("venue" in trouble and "ledger" in trouble for trouble in json.loads(out)["troubles"])


def test_what_cannot_be_told_is_exit_code_2_with_a_mend(propdesk, journal, tmp_path):
    assert propdesk("recon", "--day", "yesterday", "--data-dir", journal)[0] == 2
    assert "YYYY-MM-DD" in propdesk("recon", "--day", "21.11.2026", "--data-dir", journal)[2]
    assert "holds no rows of 1999-01-01" in propdesk("recon", "--day", "1999-01-01", "--data-dir", journal)[2]
    assert "has never run" in propdesk("recon", "--data-dir", tmp_path / "nowhere")[2]
