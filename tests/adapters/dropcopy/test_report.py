"""The copy of a record that is kept, and the report that compares it with a journal offline."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from decimal import Decimal

import msgspec
import pytest

from adapters.clock import SystemClock
from adapters.dropcopy.booked import JournalTail
from adapters.dropcopy.report import UNSETTLED_NS, report
from adapters.dropcopy.store import DAY_NS, DropCopyStore, Entry
from adapters.journal.store import SqliteJournal
from supervision.cli import main
from tests.trading.dropcopy.test_core import fill
from trading.dropcopy.core import Difference, Turn
from trading.dropcopy.execution import DifferenceKind, funding_of
from trading.orders.journal_rows import FundingBody, JournalKind, ReconcileBody, ReportBody, RowDraft, encode_body
from trading.orders.messages import ExecType, ExecutionReport, FundingPayment, OrdStatus, OrdType, TimeInForce

VENUE = "binance"
NOW = SystemClock.wall_ns()
S = 1_000_000_000


def at(name, ago_s, **changes):
    return fill(name, ts_event_ns=NOW - ago_s * S, **changes)


def row(one, kind=JournalKind.FILL):
    report_ = ExecutionReport(
        venue=VENUE,
        instrument_id=one.instrument_id,
        cl_ord_id=one.cl_ord_id,
        orig_cl_ord_id=None,
        order_id=one.order_id,
        exec_id=one.exec_id,
        exec_seq=0,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED,
        side=one.side,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=one.last_qty,
        price=one.last_px,
        last_qty=one.last_qty,
        last_px=one.last_px,
        cum_qty=one.last_qty,
        leaves_qty=Decimal(0),
        avg_px=one.last_px,
        liquidity=None,
        fee=one.fee,
        fee_asset=one.fee_asset,
        text="",
        ts_event_ns=one.ts_event_ns,
        ts_init_ns=one.ts_event_ns,
    )
    body = encode_body(ReportBody(report=report_))
    return RowDraft(one.ts_event_ns, kind, VENUE, one.cl_ord_id, one.exec_id, "", 1, body)


def first_day(asked_ns):
    body = ReconcileBody(
        ok=True, text="baseline", exec_seq=0, baseline=True, positions={}, balances={}, asked_ns=asked_ns
    )
    return RowDraft(asked_ns, JournalKind.RECONCILE, VENUE, "", None, "", 1, encode_body(body))


@pytest.fixture
def data(tmp_path):
    (tmp_path / "dropcopy").mkdir()
    return tmp_path


def copy_at(data, **settings):
    return contextlib.closing(DropCopyStore(data / "dropcopy" / f"{VENUE}.db", **settings))


def entry(turn, **more):
    told = {"from_ns": NOW - 9 * DAY_NS, "until_ns": NOW, "journal_seq": 5, "before_ns": 0, "at_ns": NOW} | more
    return Entry(turn=turn, **told)


def filled(data, listed, booked, *, rows=()):
    with copy_at(data) as store:
        store.keep(entry(Turn(matched=list(listed))))
    with SqliteJournal(data / "journal.db") as journal:
        for one in (*rows, *(row(one) for one in booked)):
            journal.append([one])


def told(data, days=7):
    return report(data / "journal.db", data / "dropcopy" / f"{VENUE}.db", VENUE, NOW - days * DAY_NS)


@pytest.mark.req("P-VEN-10")
def test_a_week_in_which_both_sides_agree_is_clean_day_by_day(data):
    both = [at(f"x{n}", 3_600 * 20 * n + 600) for n in range(8)]
    filled(data, both, reversed(both), rows=[first_day(NOW - 9 * DAY_NS)])
    found = told(data)
    assert found.clean
    assert (found.listed, found.booked, found.matched, sum(found.differing.values())) == (8, 8, 8, 0)
    assert sum(day.listed for day in found.days) == 8
    assert len(found.days) >= 6
    assert told(data, days=1).listed == 2


def payment(name, ago_s, amount="-1.25"):
    return FundingPayment(
        venue=VENUE,
        instrument_id="I",
        funding_id=name,
        exec_seq=0,
        rate=Decimal(0),
        position_qty=Decimal(0),
        mark_price=Decimal(0),
        amount=Decimal(amount),
        asset="USDT",
        ts_event_ns=NOW - ago_s * S,
        ts_init_ns=NOW,
    )


@pytest.mark.req("P-VEN-10")
def test_funding_is_compared_by_its_own_id_and_amount(data):
    paid = [payment("same", 900), payment("other", 800), payment("ghost", 700), payment("new", 120)]
    listed = [payment("same", 900), payment("other", 800, "1.25"), payment("lost", 600)]
    with copy_at(data) as store:
        store.keep(entry(Turn(matched=[funding_of(one) for one in listed])))
    with SqliteJournal(data / "journal.db") as journal:
        for one in paid:
            body = encode_body(FundingBody(funding=one))
            row_ = RowDraft(one.ts_event_ns, JournalKind.FUNDING, VENUE, "", one.funding_id, "", 1, body)
            journal.append([row_])
    found = told(data)
    assert (found.listed, found.booked, found.matched, found.unsettled) == (3, 4, 2, 1)
    assert {line.exec_id: line.kind for line in found.lines} == {
        "funding:other": "fee",
        "funding:ghost": "ghost",
        "funding:lost": "unbooked",
    }


@pytest.mark.req("P-VEN-10")
def test_every_kind_of_difference_is_named_and_what_is_too_new_is_not_judged(data):
    same = at("same", 900)
    listed = [same, at("lost", 800), at("qty", 700), at("fee", 600), at("new1", 5), at("early", 86_400)]
    booked = [
        same,
        at("twice", 900),
        at("ghost", 500, order_id="99"),
        at("qty", 700, last_qty=Decimal(9)),
        at("fee", 600, fee=Decimal(9)),
        at("new2", 5),
    ]
    filled(data, listed, booked, rows=[first_day(NOW - 80_000 * S)])
    found = told(data)
    wanted = dict.fromkeys(("unbooked", "ghost", "duplicate", "qty", "fee"), 1) | {"price": 0}
    assert found.differing == wanted
    assert (found.unsettled, found.clean) == (2, False)
    assert [line.kind for line in found.lines] == ["duplicate", "unbooked", "qty", "fee", "ghost"]
    assert UNSETTLED_NS == 60 * S


@pytest.mark.req("P-VEN-10")
def test_the_command_says_what_differs_and_takes_down_who_lives_with_it(data, capsys):
    lost = at("lost", 900)
    both = at("same", 900)
    filled(data, [both, lost], [both])
    with copy_at(data) as store:
        difference = Difference(
            kind=DifferenceKind.UNBOOKED, exec_id=lost.exec_id, listed=lost, booked=None, since_ns=NOW - 800 * S
        )
        store.keep(entry(Turn(opened=[difference])))
    asked = ["dropcopy", "--data-dir", str(data), "--json"]
    assert main(asked) == 1
    body = json.loads(capsys.readouterr().out)
    assert (body["recon_gap"], body["venues"][0]["differing"]["unbooked"]) == (1, 1)
    assert "not booked" in body["text"]
    assert main([*asked, "--accept", "nothing", "--actor", "alice", "so"]) == 1
    assert main([*asked, "--accept", lost.exec_id, "--actor", "alice"]) == 2  # without a why
    capsys.readouterr()
    assert main([*asked, "--accept", lost.exec_id, "--actor", "alice", "the venue mended it"]) == 0
    capsys.readouterr()
    assert main(asked) == 0
    assert "(accepted by alice)" in json.loads(capsys.readouterr().out)["text"]
    assert main(["dropcopy", "--data-dir", str(data / "nowhere")]) == 2


@pytest.mark.req("P-VEN-10")
def test_the_copy_is_kept_for_its_days_and_its_rows_and_what_waits_is_never_dropped(data):
    with copy_at(data, days=8, rows_max=10) as store:
        old, waits = [at(f"o{n}", 9 * 86_400 + n) for n in range(5)], at("w", 10 * 86_400)
        fresh = [at(f"n{n}", 100 - n) for n in range(14)]
        store.keep(entry(Turn(matched=[*old, *fresh], listed=[waits], booked=[at("g", 50)])))
        assert store.prune(NOW) > 0
        while store.prune(NOW):
            pass
        kept = [one.exec_id for _, one in store.executions(0, NOW)]
        assert kept[0] == waits.exec_id
        assert len(kept) <= 11
        assert fresh[-1].exec_id in kept
        assert store.span()[0] > NOW - 100 * S
        assert store.known([fresh[-1].exec_id, waits.exec_id, "nothing"]) == {fresh[-1].exec_id}
    with copy_at(data) as store:
        again = store.load()
        assert (again.listed, again.booked, again.journal_seq) == ((waits,), (at("g", 50),), 5)


def test_a_look_is_written_down_whole_or_not_at_all(data):
    with copy_at(data) as store:
        broken = entry(Turn(matched=[at("x", 5)], gone=[object()]))
        with pytest.raises(sqlite3.Error):
            store.keep(broken)
        assert store.load().journal_seq == 0
        store.keep(entry(Turn(matched=[at("x", 5)])))
        assert store.known([at("x", 5).exec_id])


@pytest.mark.req("P-VEN-10")
def test_the_tail_reads_what_is_new_whatever_becomes_of_the_journal(tmp_path):
    path = tmp_path / "journal.db"
    tail = JournalTail(path, VENUE, 0)
    assert (tail.end(), tail.look().executions, tail.look().trouble) == (0, (), "")
    with SqliteJournal(path) as journal:
        journal.append([first_day(NOW), row(at("a", 5)), row(at("b", 4), JournalKind.PARTIAL)])
        look = tail.look()
        assert ([one.exec_id for one in look.executions], look.before_ns) == (
            [at("a", 5).exec_id, at("b", 4).exec_id],
            NOW,
        )
        journal.append([msgspec.structs.replace(row(at("c", 3)), venue="okx")])
        assert (tail.look().executions, tail.seq) == ((), 4)
        journal.append([row(at("d", 2))])
        assert [one.exec_id for one in tail.look().executions] == [at("d", 2).exec_id]
    tail.close()
    path.write_bytes(b"this is no journal any more" * 400)
    for beside in tmp_path.glob("journal.db-*"):
        beside.unlink()
    assert "DatabaseError" in tail.look().trouble
    tail.close()
