"""`propdesk finance` on the journal of a desk that traded: it equals the ledger, and so does what it exports."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from contextlib import closing
from decimal import Decimal

import duckdb
import pytest

from adapters import finance
from adapters.journal.reader import open_journal, read_rows
from adapters.venue_codecs import KNOWN
from trading.ledger.ledger import Book
from trading.ledger.portfolio import Portfolio


@pytest.fixture(scope="module")
def ledger(traded_journal):
    """The ledger made of the same rows, by the desk's own projection."""
    portfolio = Portfolio(KNOWN)
    with closing(open_journal(traded_journal)) as journal:
        assert portfolio.rebuild(read_rows(journal)) > 3
    return portfolio


@pytest.fixture
def asked(propdesk, traded_journal):
    def ask(*words):
        code, out, err = propdesk("finance", *words, "--json", "--data-dir", traded_journal.parent)
        return code, json.loads(out), err

    return ask


@pytest.mark.req("P-PNL-6")
def test_a_desk_that_traded_is_told_as_its_ledger_has_it(asked, ledger):
    code, told, _ = asked()
    assert (code, told["done"], told["totals"]["ledger_residual"]) == (0, True, "0")
    cash = {v["venue"]: {b["asset"]: Decimal(b["amount"]) for b in v["balances"]} for v in told["venues"]}
    assert cash == ledger.balances_by_venue()
    for name, book, sign in (("realized", Book.REALIZED, -1), ("funding", Book.FUNDING, -1)):
        by_asset = defaultdict(Decimal)
        for (_, asset), amount in ledger.ledger.balances(book).items():
            by_asset[asset] += sign * amount
        assert {a: Decimal(f[name]) for a, f in told["flows"]["assets"].items() if Decimal(f[name])} == {
            asset: amount for asset, amount in by_asset.items() if amount
        }
    paid = sum(
        (amount for (_, asset), amount in ledger.ledger.balances(Book.FEES).items() if asset == "USDT"), Decimal(0)
    )
    flow = told["flows"]["assets"]["USDT"]
    assert Decimal(flow["fees"]) - Decimal(flow["rebates"]) == paid
    assert paid != 0
    held = {p["instrument_id"]: Decimal(p["qty"]) for v in told["venues"] for p in v["positions"]}
    assert held == {i: p.qty for i, p in ledger.positions().items()}
    assert sum(row["flows"]["fills"] for row in told["by_strategy"]) >= told["flows"]["fills"] > 0


@pytest.mark.req("P-PNL-6")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_exported_and_read_back_is_the_ledger(asked, ledger, tmp_path, ending):
    out = tmp_path / f"statement.{ending}"
    code, told, _ = asked("--export", out)
    if ending == "csv":
        with out.open(newline="") as file:
            lines = [
                (x["venue"], x["asset"], Decimal(x["amount"]), Decimal(x["balance"])) for x in csv.DictReader(file)
            ]
    else:
        with duckdb.connect() as db:
            lines = db.execute("SELECT venue, asset, amount, balance FROM read_parquet(?)", [str(out)]).fetchall()
    assert (code, told["lines"]) == (0, len(lines))
    cash = {}
    for venue, asset, amount, balance in lines:
        cash[venue, asset] = cash.get((venue, asset), Decimal(0)) + amount
        assert cash[venue, asset] == balance
    assert cash == {key: amount for key, amount in ledger.ledger.balances(Book.CASH).items() if amount}
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name]


def test_for_people_it_is_a_page(propdesk, traded_journal):
    code, out, _ = propdesk("finance", "--by", "month", "--venue", "binanceusdm", "--data-dir", traded_journal.parent)
    assert code == 0
    assert out.startswith("equity ")
    assert "maker-usdm" in out
    assert "from Monday" in out
    assert "binancecoinm" not in out


def test_prices_that_are_given_are_used(asked):
    name = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
    _, told, _ = asked("--mark", f"{name}=100000", "--leverage", "10")
    assert (told["marks"][name]["price"], told["leverage"]) == ("100000", "10")


def test_days_without_trades_are_empty_and_what_was_before_the_first_account_is_a_no(asked):
    code, told, _ = asked("--from", "2100-01-01")
    assert (code, told["flows"]["fills"], told["periods"]) == (0, 0, [])
    code, told, _ = asked("--to", "1999-12-31")
    assert (code, told["done"], told["venues"]) == (1, False, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "21.11.2026"), "--from: '21.11.2026' is no day: write YYYY-MM-DD"),
        (("--from", "2026-11-21", "--to", "2026-11-20"), "--to 2026-11-20 is before --from 2026-11-21"),
        (("--venue", "nowhere"), "--venue nowhere: it is one of binance,"),
        (("--mark", "BTC=1"), "'BTC' is no instrument"),
        (("--leverage", "0"), "--leverage: '0' is no number above 0"),
        (("--export", "a.xlsx"), "the ending is .csv or .parquet"),
        (("--export", "/no/such/folder/a.csv"), "--export: "),
    ],
)
def test_what_cannot_be_done_is_said(propdesk, traded_journal, words, said):
    code, _, err = propdesk("finance", *words, "--data-dir", traded_journal.parent)
    assert code == 2
    assert said in err


def test_a_file_that_is_there_is_not_written_over(propdesk, traded_journal, tmp_path):
    out = tmp_path / "kept.csv"
    out.write_text("mine")
    code, _, err = propdesk("finance", "--export", out, "--data-dir", traded_journal.parent)
    assert (code, out.read_text()) == (2, "mine")
    assert "is there already" in err


def test_more_digits_than_parquet_holds_are_refused_and_nothing_is_left(
    propdesk, traded_journal, tmp_path, monkeypatch
):
    monkeypatch.setattr(finance, "PLACES", 0)
    code, _, err = propdesk("finance", "--export", tmp_path / "a.parquet", "--data-dir", traded_journal.parent)
    assert code == 2
    assert "export CSV, which holds every digit" in err
    assert list(tmp_path.iterdir()) == []


def test_without_a_journal_it_cannot_run(propdesk, tmp_path):
    code, _, err = propdesk("finance", "--data-dir", tmp_path)
    assert code == 2
    assert "no journal" in err
