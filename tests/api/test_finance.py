"""Finance over real HTTP, made of the journal of a desk that traded: the ledger's figures, refusals, and patience."""

from __future__ import annotations

import asyncio
import csv
import io
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.clock import SystemClock
from adapters.journal.reader import open_journal, read_rows
from adapters.journal.store import SqliteJournal
from adapters.telemetry import follow
from adapters.venue_codecs import KNOWN
from api import finance_desk
from api.finance_schemas import FinanceSummaryAnswer, StatementAnswer
from api.http import start_http
from api.projection import Projection
from tests.waiting import PATIENCE_S
from trading.ledger.ledger import Book
from trading.ledger.portfolio import Portfolio
from trading.operators import Published, Topic
from trading.orders.journal_rows import FundingBody, JournalKind, RowDraft, encode_body
from trading.orders.messages import FundingPayment

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
Ask = Callable[[str], Awaitable[tuple[int, Any]]]


@pytest.fixture
def copied(traded_journal: Path, tmp_path: Path) -> Path:
    """The journal again, to write to."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(traded_journal)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    return path


@pytest.fixture
async def ask(copied: Path, projection: Projection, bus: Any) -> AsyncIterator[Ask]:
    """GET of one of the endpoints: status and body."""
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=SystemClock(), journal=str(copied))
    async with aiohttp.ClientSession(base_url=server.url) as session:

        async def get(path: str) -> tuple[int, Any]:
            async with session.get(f"/api/ui/finance/{path}") as answer:
                if answer.content_type == "text/csv":
                    return answer.status, await answer.text()
                return answer.status, await answer.json()

        yield get
    await server.close()


def _cash(path: Path) -> dict[tuple[str, str], Decimal]:
    portfolio = Portfolio(KNOWN)
    with closing(open_journal(path)) as journal:
        portfolio.rebuild(read_rows(journal))
    return {key: amount for key, amount in portfolio.ledger.balances(Book.CASH).items() if amount}


def _spoil(path: Path) -> None:
    path.write_bytes(b"no database at all, only words" * 100)


def _told(body: Any) -> dict[tuple[str, str], Decimal]:
    return {(v["venue"], b["asset"]): Decimal(b["amount"]) for v in body["venues"] for b in v["balances"]}


@pytest.mark.req("P-PNL-6")
async def test_the_summary_is_the_ledgers_and_new_rows_are_in_the_next_one(
    ask: Ask, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finance_desk, "KEPT_NS", 0)
    status, before = await ask("summary")
    assert status == 200
    FinanceSummaryAnswer.model_validate(before)
    assert _told(before) == _cash(copied)
    assert (before["totals"]["ledger_residual"], before["flows"]["fills"]) == ("0", 1)
    at_ns = before["last_ns"] + 1
    paid = FundingPayment(
        venue="binanceusdm",
        instrument_id=USDM,
        funding_id="f1",
        exec_seq=9,
        rate=Decimal("0.0001"),
        position_qty=Decimal("0.005"),
        mark_price=Decimal(60_000),
        amount=Decimal("-0.03"),
        asset="USDT",
        ts_event_ns=at_ns,
        ts_init_ns=at_ns,
    )
    row = RowDraft(
        at_ns, JournalKind.FUNDING, "binanceusdm", "", "funding:f1", "", 1, encode_body(FundingBody(funding=paid))
    )
    with SqliteJournal(copied) as journal:
        journal.append([row])
    _, after = await ask("summary?by=month")
    assert (after["rows"], after["flows"]["funding_usd"]) == (before["rows"] + 1, "-0.03")
    assert _told(after) == _cash(copied) != _told(before)
    assert [period["label"] for period in after["periods"]] == ["2024-08"]


async def test_proved_books_are_the_marks_and_the_same_question_is_answered_once(
    ask: Ask, projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finance_desk, "KEPT_NS", 10**15)
    book: dict[str, object] = {"instrument_id": USDM, "state": "synced", "bid": "99999", "ask": "100001"}
    projection.apply(Published(topic=Topic.BOOK, key=USDM, body=book, ts_ns=7))
    _, body = await ask("summary")
    assert body["marks"][USDM] == {"price": "100000", "source": "book", "ts_ns": 7}
    assert Decimal(body["totals"]["unrealized_usd"]) > 100
    projection.apply(Published(topic=Topic.BOOK, key=USDM, body={**book, "state": "suspect"}, ts_ns=8))
    assert (await ask("summary"))[1]["marks"][USDM]["price"] == "100000"
    assert (await ask("summary?by=week"))[1]["marks"][USDM]["source"] == "execution"


@pytest.mark.req("P-PNL-6")
async def test_statement_and_export_are_the_same_lines_and_add_up(ask: Ask, copied: Path) -> None:
    status, text = await ask("export?format=csv")
    assert status == 200
    lines = list(csv.DictReader(io.StringIO(text)))
    cash: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        cash[line["venue"], line["asset"]] += Decimal(line["amount"])
    assert cash == _cash(copied)
    status, page = await ask("statement")
    assert status == 200
    StatementAnswer.model_validate(page)
    assert [int(line["seq"]) for line in reversed(lines)] == [line["seq"] for line in page["lines"]]
    status, fees = await ask("statement?kind=fee,rebate&venue=binanceusdm&limit=1")
    assert (status, fees["found"], [line["kind"] for line in fees["lines"]]) == (200, 1, ["fee"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("summary?from=yesterday", "from"),
        ("summary?to=2026-02-31", "to"),
        ("summary?from=2026-11-21&to=2026-11-20", "to"),
        ("summary?by=year", "by"),
        ("statement?kind=wages", "kind"),
        ("statement?limit=0", "limit"),
        ("export?format=xlsx", "format"),
    ],
)
async def test_what_makes_no_sense_is_said(ask: Ask, path: str, field: str) -> None:
    status, body = await ask(path)
    assert (status, body["error"]["field"]) == (400, field)
    assert body["error"]["mend"]


async def test_half_a_journal_is_no_answer_and_it_is_read_on_meanwhile(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "GROUPS_A_STEP", 30)
    monkeypatch.setattr(finance_desk, "BUDGET_NS", -1)
    status, body = await ask("summary")
    assert (status, body["error"]["message"]) == (503, "30 of 73 rows of the journal are read")
    async with asyncio.timeout(PATIENCE_S):
        while status == 503:
            status, body = await ask("summary")
    assert (status, body["rows"]) == (200, 73)


async def test_lines_that_are_not_kept_are_not_left_out_silently(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finance_desk, "LINES_KEPT", 2)
    assert (await ask("statement"))[1]["found"] == 2
    status, body = await ask("export")
    assert status == 413
    assert "propdesk finance --export" in body["error"]["mend"]
    assert (await ask("export?from=2100-01-01"))[0] == 200


async def test_too_many_questions_and_a_file_that_is_no_journal_are_troubles_outside(
    ask: Ask, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finance_desk, "ASKERS_MAX", 0)
    assert (await ask("summary"))[0] == 503
    monkeypatch.setattr(finance_desk, "ASKERS_MAX", 8)
    _spoil(copied)
    status, body = await ask("summary")
    assert (status, body["error"]["field"]) == (503, "journal")


async def test_without_a_journal_there_is_nothing(server: Any) -> None:
    async with (
        aiohttp.ClientSession(base_url=server.url) as client,
        client.get("/api/ui/finance/summary") as answer,
    ):
        assert (answer.status, (await answer.json())["rows"]) == (200, 0)
