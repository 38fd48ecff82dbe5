"""The statement of a day: its lines add up, the venue's figures stand beside them, and what deviates is named."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.ledger.portfolio import DAY_NS
from trading.orders.journal_rows import (
    FundingBody,
    JournalKind,
    JournalRow,
    NoteBody,
    ReconcileBody,
    ReportBody,
    encode_body,
)
from trading.orders.messages import Side
from trading.recon.books import Books
from trading.recon.daily import VenueFigures, day_of, day_start_ns, statement
from trading.recon.offline import DayReader
from trading.recon.report import markdown

from .conftest import ALL, INVERSE, LINEAR, SECOND, SPOT, VENUE, fill, funding, report

DAY = day_start_ns("2026-11-21")


def figures(books, venue, **fields):
    cash = books.portfolio.balances_by_venue().get(venue, {})
    held = {i: str(q.holding.qty) for i, q in books.portfolio.lines().items() if ALL[i].venue == venue}
    told = VenueFigures(
        read_ns=DAY + DAY_NS + 5 * SECOND,
        balances={a: str(q) for a, q in cash.items()},
        positions=held,
        booked=3,
        confirmed=3,
    )
    return msgspec.structs.replace(told, **fields)


@pytest.fixture
def books():
    made = Books(ALL)
    for one in ALL.values():
        made.opening(one.venue, {"USDT": Decimal(1_000), "BTC": Decimal(1)}, DAY)
    made.fold(fill(LINEAR, qty="0.100", px="50000", fee="1"))
    return made


def a_day(books):
    """What happens on the day, between its two snapshots."""
    start = books.snapshot(DAY)
    books.fold(fill(LINEAR, Side.SELL, "0.040", "51000", fee="-0.2"))
    books.fold(funding("-0.5"))
    books.fold(fill(SPOT, qty="0.010", px="50000", fee="0.00001", fee_asset="BTC"))
    books.fold(fill(INVERSE, qty="2", px="50000", fee="0.000001"))
    return start, books.snapshot(DAY + DAY_NS)


def made(books, **changes):
    start, end = a_day(books)
    told = {one.venue: figures(books, one.venue) for one in ALL.values()} | changes
    return statement(start, end, ALL, told, made_ns=DAY + DAY_NS + 6 * SECOND)


@pytest.mark.req("P-PNL-8")
def test_every_line_adds_up_by_venue_and_asset(books):
    found = made(books)
    assert found.clean
    assert not found.part
    lines = {(a.venue, a.asset): a for a in found.assets}
    usdt = lines[VENUE, "USDT"]
    told = (usdt.opening, usdt.trading, usdt.fees, usdt.rebates, usdt.funding)
    assert [Decimal(n) for n in told] == [Decimal(n) for n in ("999", "40", "0", "0.2", "-0.5")]
    assert Decimal(usdt.closing) == Decimal("1038.7") == Decimal(usdt.venue_says)
    assert {Decimal(line.residual) for line in found.assets} == {Decimal(0)}
    spot = lines[SPOT.venue, "BTC"]
    assert (spot.trading, spot.fees, spot.closing) == ("0.010", "0.00001", "1.00999")
    (line,) = [p for p in found.positions if p.instrument_id == LINEAR.instrument_id]
    told = (line.opening, line.bought, line.sold, line.closing)
    assert [Decimal(n) for n in told] == [Decimal(n) for n in ("0.1", "0", "0.04", "0.06")]
    assert line.fills == 1


@pytest.mark.req("P-PNL-8")
@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"deviations": {"USDT": "USDT: venue 1, ledger 2"}}, "USDT: venue 1, ledger 2"),
        ({"deviations": {LINEAR.instrument_id: "venue 1, ours 2"}}, "venue 1, ours 2"),
        ({"deviations": {"DOGE": "DOGE: venue 7, ledger 0"}, "balances": {"DOGE": "7"}}, "DOGE: venue 7, ledger 0"),
        ({"confirmed": 2}, "1 of 3 executions are in no list of the venue"),
    ],
)
def test_what_deviates_makes_the_day_unclean_and_is_named(books, change, trouble):
    found = made(books, **{VENUE: figures(books, VENUE, **change)})
    assert not found.clean
    assert any(t.startswith(f"{VENUE}: ") and trouble in t for t in found.troubles)
    assert found.venues_in_trouble() == (VENUE,)
    assert "NOT CLEAN" in markdown(found)
    assert trouble in markdown(found)


@pytest.mark.req("P-PNL-8")
def test_a_venue_that_was_not_read_after_the_end_is_no_clean_day(books):
    found = made(books, **{VENUE: None})
    assert found.troubles == (f"{VENUE}: its account was not read after the end",)


def row(seq, ts_ns, kind, body, venue=VENUE):
    return JournalRow(
        seq=seq, ts_ns=ts_ns, kind=kind, venue=venue, cl_ord_id="", exec_id=None, parent_id="", epoch=1,
        body=encode_body(body),
    )  # fmt: skip


def words(balance, *, ok=True, baseline=False):
    return ReconcileBody(ok=ok, text="", exec_seq=0, baseline=baseline, positions={}, balances={"USDT": balance})


def journal(*more):
    """Two days of one venue; the second is the one that is asked for."""
    first, second = fill(), fill(side=Side.SELL)
    rows = [
        (DAY - DAY_NS // 2, JournalKind.RECONCILE, words("1000", baseline=True)),
        (DAY - SECOND, JournalKind.FILL, ReportBody(report=report(first), legs=first.legs)),
        (DAY + SECOND, JournalKind.FILL, ReportBody(report=report(second), legs=second.legs)),
        (DAY + 2 * SECOND, JournalKind.FUNDING, FundingBody(funding=funding("-0.5"))),
        (DAY + 3 * SECOND, JournalKind.RECONCILE, words("999.3")),
        *more,
    ]
    return [row(n, *fields) for n, fields in enumerate(sorted(rows, key=lambda r: r[0]), 1)]


def read(rows, day=DAY):
    reader = DayReader(ALL, day)
    for one in rows:
        reader.read(one)
    return reader.statement(day + DAY_NS + 60 * SECOND)


def note(state, diff_class="unexplained"):
    facts = {"diff": f"{VENUE}:balance:USDT", "class": diff_class, "state": state, "action": "ask",
             "scope": f"venue:{VENUE}", "ours": "1", "theirs": "2", "evidence": ""}  # fmt: skip
    return NoteBody(text="USDT: venue 2, ledger 1", facts=facts)


@pytest.mark.req("P-PNL-8")
def test_the_journal_alone_tells_a_clean_day_from_its_first_row_to_its_last(books):
    found = read(journal())
    assert (found.day, found.clean) == (day_of(DAY), True)
    (usdt,) = found.assets
    assert (usdt.opening, usdt.paid_in, usdt.fees, usdt.funding, usdt.venue_says) == (
        "999.9",
        "0",
        "0.1",
        "-0.5",
        "999.3",
    )
    assert Decimal(usdt.closing) == Decimal("999.3")


@pytest.mark.req("P-PNL-8")
def test_a_difference_that_stood_at_the_end_makes_it_unclean_and_one_that_healed_does_not():
    stands = (DAY + 9 * SECOND, JournalKind.RECONCILE, note("braked"))
    healed = (DAY + 19 * SECOND, JournalKind.RECONCILE, note("healed"))
    assert not read(journal(stands)).clean
    assert read(journal(stands, healed)).clean
    yesterday = (DAY - 9 * SECOND, JournalKind.RECONCILE, note("braked"))
    assert not read(journal(yesterday)).clean
    assert [d["state"] for d in read(journal(stands, healed)).differences] == ["healed"]


@pytest.mark.req("P-PNL-8", "P-PNL-9")
def test_a_violation_that_was_not_healed_makes_it_unclean():
    def violation(state):
        return NoteBody(text="", facts={"invariant": "cash", "subject": "X", "state": state})

    violated = (DAY + 9 * SECOND, JournalKind.RECONCILE, violation("violated"))
    assert read(journal(violated)).troubles == ("desk: 1 invariants are violated",)
    assert read(journal(violated, (DAY + 10 * SECOND, JournalKind.RECONCILE, violation("healed")))).clean


def test_a_day_with_executions_and_no_word_of_the_venue_is_not_clean():
    rows = [one for one in journal() if one.ts_ns != DAY + 3 * SECOND]
    assert read(rows).troubles == (f"{VENUE}: its account was not read after the end",)
