"""The log of trades: each execution and each refusal of the journal once, whatever happens to whoever writes it."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from adapters.journal.store import SqliteJournal, open_reader, read_rows
from adapters.trades_log import TradesLog, TradesLogSpec
from trading.orders.journal_rows import DeniedBody, JournalKind, RowDraft, encode_body
from trading.orders.messages import DenyReason, OrderDenied

EXECUTED = {JournalKind.PARTIAL, JournalKind.FILL}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "trades.jsonl"


def all_of(log):
    while log.step():
        pass
    log.close()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(journal):
    with closing(open_reader(journal)) as db:
        return list(read_rows(db))


def denials(path, first, last):
    """A journal whose rows are refusals, ``first`` to ``last``."""
    with SqliteJournal(path) as journal:
        for number in range(first, last + 1):
            denied = OrderDenied(
                cl_ord_id=f"pd1-a-{number}",
                venue="binance",
                instrument_id="BINANCE:SPOT:BTC-USDT",
                reason=DenyReason.RATE_BUDGET,
                text="no room",
                legs=(),
                cause="a test",
                ts_init_ns=number,
            )
            body = encode_body(DeniedBody(denied=denied))
            journal.append([RowDraft(number, JournalKind.DENIED, "binance", denied.cl_ord_id, None, "", 1, body)])
    return path


@pytest.mark.req("L-EXEC-2")
def test_an_order_that_the_paper_venue_fills_is_a_line(traded_journal, path):
    all_of(TradesLog(traded_journal, TradesLogSpec(path=path)))
    executed = [row for row in rows(traded_journal) if row.kind in EXECUTED]
    told = lines(path)
    assert [
        (line["seq"], line["cl_ord_id"], line["exec_id"]) for line in told if line["status"] in {"fill", "partial"}
    ] == [(row.seq, row.cl_ord_id, row.exec_id) for row in executed]
    filled = next(line for line in told if line["status"] == "fill")
    assert filled["side"] in {"buy", "sell"}
    assert float(filled["qty"]) > 0
    assert float(filled["price"]) > 0
    assert filled["strategies"]


@pytest.mark.req("L-EXEC-2")
def test_what_was_refused_is_a_line_with_its_reason(tmp_path, path):
    all_of(TradesLog(denials(tmp_path / "journal.db", 1, 1), TradesLogSpec(path=path)))
    (line,) = lines(path)
    assert (line["status"], line["reason"], line["ts_ns"]) == ("denied", "rate_budget: no room", 1)


@pytest.mark.req("L-EXEC-2")
@pytest.mark.parametrize("cut", [0, 1, 20, 10_000])
def test_a_writer_that_died_anywhere_goes_on_without_a_hole_or_a_second_line(tmp_path, path, cut):
    journal = denials(tmp_path / "journal.db", 1, 30)
    all_of(TradesLog(journal, TradesLogSpec(path=path)))
    whole = path.read_bytes()
    assert len(lines(path)) == 30
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    all_of(TradesLog(journal, TradesLogSpec(path=path)))
    assert path.read_bytes() == whole


def test_a_journal_that_grows_is_followed_and_another_one_begins_a_file_of_its_own(tmp_path, path):
    journal = denials(tmp_path / "journal.db", 1, 7)
    log = TradesLog(journal, TradesLogSpec(path=path))
    all_of(log)
    denials(journal, 8, 20)
    all_of(log)
    assert [line["seq"] for line in lines(path)] == list(range(1, 21))
    all_of(TradesLog(denials(tmp_path / "other.db", 1, 5), TradesLogSpec(path=path)))
    assert [line["seq"] for line in lines(path)] == list(range(1, 6))
    assert len(lines(path.with_name("trades.jsonl.1"))) == 20


def test_it_takes_no_more_room_than_it_may(tmp_path, path):
    journal = tmp_path / "journal.db"
    for first, last in ((1, 3), (4, 6), (7, 9)):
        denials(journal, first, last)
        all_of(TradesLog(journal, TradesLogSpec(path=path, bytes_max=1, files_max=2)))
    all_of(TradesLog(journal, TradesLogSpec(path=path, bytes_max=1, files_max=2)))
    kept = [path.with_name("trades.jsonl.1"), path]
    assert [[line["seq"] for line in lines(file)] for file in kept] == [[4, 5, 6], [7, 8, 9]]
    assert sorted(path.parent.iterdir()) == sorted(kept)


def test_without_a_journal_there_is_no_file_and_no_trouble(tmp_path, path):
    log = TradesLog(tmp_path / "none.db", TradesLogSpec(path=path))
    assert not log.step()
    assert not path.exists()
