"""Reconciliation beside the portfolio: brakes and events of differences, invariants that heal, the day's statement."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from actors.messages import AccountWanted, AppendRows, BrakesStated, JournalHistory, ReadJournal, RowsCommitted
from actors.portfolio import PortfolioActor, PortfolioSetup
from actors.recon import DAY, DIFF, INVARIANT, START, ReconSetup
from trading.ledger.portfolio import DAY_NS
from trading.operators import CommandAnswered, CommandKind, OperatorCommand, Published, Topic
from trading.orders.journal_rows import (
    JournalKind,
    JournalRow,
    NoteBody,
    ReconcileBody,
    ReportBody,
    decode_body,
    encode_body,
)
from trading.orders.messages import (
    AccountState,
    ExecType,
    ExecutionReport,
    Leg,
    Liquidity,
    OrderFilled,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)
from trading.recon.config import ReconConfig
from trading.recon.core import CAUSE
from trading.recon.daily import day_of

VENUE, USDM = "binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"


class Desk:
    """A portfolio with its reconciliation, the journal that it reads, and what it said."""

    def __init__(self, bench, usdm, **config):
        self.bench = bench
        self.rows = []
        self.told = []
        self.usdt = Decimal(50_000)
        self.executions = []
        recon = ReconSetup(config=ReconConfig(**config), venues=(VENUE,), reports=bench.directory / "reports")
        setup = PortfolioSetup(instruments={USDM: usdm}, strategies=("a",), recon=recon)
        self.actor = bench.start("portfolio", PortfolioActor, setup)
        self.history()
        self.read()

    @property
    def now(self):
        return self.bench.clock.wall_ns()

    def history(self):
        assert self.bench.take(ReadJournal, to="journal")
        self.bench.tell("portfolio", JournalHistory(rows=list(self.rows)))

    def pass_s(self, seconds):
        """Time goes by; the journal answers and the venue is read whenever that is asked for."""
        until = self.bench.clock.mono_ns() + int(seconds * 1e9)
        while self.bench.clock.mono_ns() < until:
            self.bench.after_ms(500)
            self.answer()

    def answer(self):
        for wrote in self.bench.take(AppendRows, to="journal"):
            self.keep(wrote.rows)
            self.bench.tell("portfolio", RowsCommitted(commit_ids=(wrote.commit_id,)))
        for wanted in self.bench.take(AccountWanted, to="orders"):
            self.read(wanted.cause)

    def keep(self, drafts):
        for draft in drafts:
            fields = {name: getattr(draft, name) for name in draft.__struct_fields__}
            self.rows.append(JournalRow(seq=len(self.rows) + 1, **fields))

    def read(self, cause="audit", off="0"):
        state = AccountState(
            venue=VENUE,
            exec_seq=0,
            open_orders=(),
            executions=tuple(self.executions),
            fundings=(),
            positions={},
            balances={"USDT": self.usdt + Decimal(off)},
            cause=cause,
            ts_init_ns=self.now,
            numbered=False,
            asked_ns=self.now,
        )
        if not self.rows:
            body = ReconcileBody(
                ok=True, text="", exec_seq=0, baseline=True, positions={}, balances={"USDT": str(self.usdt)}
            )
            self.rows.append(self.row(JournalKind.RECONCILE, body))
        self.bench.tell("portfolio", state)

    def row(self, kind, body, exec_id=None):
        return JournalRow(
            seq=len(self.rows) + 1,
            ts_ns=self.now,
            kind=kind,
            venue=VENUE,
            cl_ord_id="",
            exec_id=exec_id,
            parent_id="",
            epoch=1,
            body=encode_body(body),
        )

    def fill(self, number, qty="0.004", *, listed=True):
        report = execution(number, qty, self.now)
        legs = (Leg(strategy_id="a", intent_id="i", qty=Decimal(qty)),)
        self.rows.append(self.row(JournalKind.FILL, ReportBody(report=report, legs=legs), report.exec_id))
        if listed:
            self.executions.append(report)
            self.usdt -= report.fee
        filled = OrderFilled(
            venue=VENUE,
            instrument_id=USDM,
            cl_ord_id=report.cl_ord_id,
            exec_id=report.exec_id,
            exec_seq=0,
            side=report.side,
            last_qty=report.last_qty,
            last_px=report.last_px,
            liquidity=report.liquidity,
            fee=report.fee,
            fee_asset="USDT",
            legs=legs,
            ts_event_ns=report.ts_event_ns,
            ts_init_ns=report.ts_init_ns,
        )
        self.told.append(filled)
        self.bench.tell("portfolio", filled)

    def brakes(self):
        """What is held now, as last stated."""
        stated = self.bench.take(BrakesStated, to="governor")
        if stated:
            self._brakes = {(b.code, b.scope) for b in stated[-1].brakes}
        return self._brakes

    def events(self):
        found = [m for m in self.bench.take(Published, to="ops") if m.topic in {Topic.EVENT, Topic.RECON}]
        self.bodies = {m.key: m.body for m in found if m.topic is Topic.RECON} or getattr(self, "bodies", {})
        return [str(m.body["code"]) for m in found if m.topic is Topic.EVENT]

    def notes(self, key):
        bodies = [decode_body(row.body) for row in self.rows]
        return [b.facts for b in bodies if isinstance(b, NoteBody) and key in b.facts]


def execution(number, qty, ts_ns):
    return ExecutionReport(
        venue=VENUE,
        instrument_id=USDM,
        cl_ord_id=f"order-{number}",
        orig_cl_ord_id=None,
        order_id=f"V{number}",
        exec_id=f"e{number}",
        exec_seq=0,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=Decimal(qty),
        price=Decimal(60_000),
        last_qty=Decimal(qty),
        last_px=Decimal(60_000),
        cum_qty=Decimal(qty),
        leaves_qty=Decimal(0),
        avg_px=Decimal(60_000),
        liquidity=Liquidity.MAKER,
        fee=Decimal("0.048"),
        fee_asset="USDT",
        text="",
        ts_event_ns=ts_ns,
        ts_init_ns=ts_ns,
    )


@pytest.fixture
def desk(bench, usdm):
    return Desk(bench, usdm)


@pytest.mark.req("P-PNL-7", "C-EXEC-9")
def test_the_account_is_asked_for_by_the_clock_and_what_agrees_holds_nothing(bench, desk):
    desk.fill(1)
    bench.after_ms(600)
    (wanted,) = bench.take(AccountWanted, to="orders")
    assert wanted.cause == CAUSE
    assert wanted.since_ns == desk.executions[0].ts_event_ns
    desk.read(wanted.cause)
    desk.pass_s(4)
    assert desk.brakes() == set()
    desk.events()
    assert desk.bodies["status"]["open"] == 0
    assert desk.bodies["status"]["venues"][VENUE]["confirmed"] == 1
    assert desk.bodies["invariants"]["violations_total"] == 0


@pytest.mark.req("P-PNL-7", "P-PNL-8")
def test_money_that_nobody_can_explain_holds_its_scope_until_it_is_back(bench, desk):
    desk.usdt -= 500
    desk.pass_s(40)
    assert desk.brakes() == {(DIFF, f"symbol:{USDM}")}
    codes = desk.events()
    assert {"DIFF_OPEN", "DIFF_BRAKED"} <= set(codes)
    assert [n["state"] for n in desk.notes("diff")] == ["open", "braked"]
    assert desk.bodies["diffs"]["open"][0]["class"] == "unexplained"
    desk.usdt += 500
    desk.pass_s(70)
    assert desk.brakes() == set()
    assert desk.notes("diff")[-1]["state"] == "healed"


@pytest.mark.req("P-PNL-9")
def test_books_that_were_tampered_with_are_made_anew_from_the_journal(bench, desk):
    desk.fill(1)
    desk.actor.core.lines()[USDM].holding.qty += 1
    bench.after_ms(1_600)
    desk.answer()
    desk.history()
    assert desk.actor.core.positions()[USDM].qty == Decimal("0.004")
    desk.pass_s(3)
    assert {n["state"] for n in desk.notes("invariant")} == {"violated", "healed"}
    assert {n["seen"] for n in desk.notes("invariant") if n["invariant"] == "position"} == {"1.004"}
    assert desk.brakes() == set()
    desk.events()
    assert desk.bodies["invariants"]["violations_total"] == desk.bodies["invariants"]["healed_total"] > 0


@pytest.mark.req("P-PNL-9")
def test_what_is_booked_while_the_books_are_made_anew_is_booked_once(bench, desk):
    desk.fill(1)
    desk.actor.core.lines()[USDM].holding.qty += 1
    bench.after_ms(1_600)
    desk.answer()
    desk.fill(2)
    desk.fill(3)
    desk.history()
    assert desk.actor.core.positions()[USDM].qty == Decimal("0.012")
    assert desk.actor.books.violations() == []


@pytest.mark.req("P-PNL-9")
def test_books_that_the_journal_does_not_heal_are_quarantined(bench, desk):
    desk.fill(1)
    rows = list(desk.rows)
    broken = decode_body(rows[-1].body)
    desk.rows[-1] = desk.row(
        JournalKind.FILL,
        ReportBody(report=broken.report, legs=(Leg(strategy_id="a", intent_id="i", qty=Decimal("0.003")),)),
        "e1",
    )
    desk.actor.core.lines()[USDM].holding.qty += 1
    bench.after_ms(1_600)
    desk.answer()
    desk.history()
    desk.pass_s(2)
    assert desk.brakes() == {(INVARIANT, f"symbol:{USDM}")}
    desk.rows[: len(rows)] = rows
    desk.pass_s(60)
    desk.history()
    desk.pass_s(2)
    assert desk.brakes() == set()


def to_midnight(bench, desk, *, before_s=5):
    left_ns = DAY_NS - desk.now % DAY_NS
    while left_ns > before_s * 10**9:
        step_ns = min(left_ns - before_s * 10**9, 600 * 10**9)
        bench.after_ms(step_ns / 1e6)
        desk.answer()
        left_ns = DAY_NS - desk.now % DAY_NS
    desk.pass_s(before_s + 6)


@pytest.mark.req("P-PNL-8")
def test_a_day_that_agrees_ends_with_a_clean_statement_in_file_journal_and_view(bench, desk):
    desk.fill(1)
    day = day_of(desk.now)
    to_midnight(bench, desk)
    assert desk.notes("statement") == [{"statement": day, "clean": "yes"}]
    page = (bench.directory / "reports" / f"recon_{day}.md").read_text()
    assert page.startswith(f"# Reconciliation of {day}: clean\n")
    facts = json.loads((bench.directory / "reports" / f"recon_{day}.json").read_bytes())
    (usdt,) = facts["assets"]
    assert (usdt["opening"], usdt["paid_in"], usdt["fees"], usdt["closing"]) == ("0", "50000", "0.048", "49999.952")
    assert (usdt["venue_says"], usdt["residual"]) == ("49999.952", "0.000")
    assert "RECON_DAY_CLEAN" in desk.events()
    assert desk.bodies["daily"]["last"]["day"] == day
    assert desk.brakes() == set()


@pytest.mark.req("P-PNL-8")
def test_a_day_that_deviates_is_told_and_held_until_it_is_mended(bench, desk):
    desk.fill(1)
    desk.fill(2, listed=False)  # booked, and neither listed nor paid at the venue
    to_midnight(bench, desk)
    assert [n["clean"] for n in desk.notes("statement")] == ["no"]
    assert (DAY, f"venue:{VENUE}") in desk.brakes()
    assert "RECON_DAY_DEVIATION" in desk.events()
    desk.executions.append(execution(2, "0.004", desk.executions[0].ts_event_ns))
    desk.usdt -= Decimal("0.048")
    desk.pass_s(130)
    assert [n["clean"] for n in desk.notes("statement")] == ["no", "yes"]
    assert desk.brakes() == set()


@pytest.mark.req("P-PNL-8")
def test_a_session_leaves_its_statement_behind(bench, desk):
    desk.fill(1)
    desk.pass_s(4)
    desk.actor.stop()
    (page,) = (bench.directory / "reports").glob("recon_*_session.md")
    assert "49999.952" in page.read_text()


@pytest.mark.req("P-PNL-7")
def test_what_was_executed_before_a_restart_is_still_looked_back_on(bench, usdm, desk):
    desk.fill(1)
    again = bench.start("portfolio2", PortfolioActor, PortfolioSetup(
        instruments={USDM: usdm}, recon=ReconSetup(config=ReconConfig(), venues=(VENUE,))))  # fmt: skip
    bench.tell("portfolio2", JournalHistory(rows=desk.rows))
    assert "e1" in again.recon.core.venues[VENUE].bookings
    assert again.books.violations() == []


@pytest.mark.req("P-PNL-8")
def test_an_operator_says_that_it_was_a_deposit_and_the_books_agree_again(bench, desk):
    desk.usdt += 500
    desk.pass_s(100)
    assert (DIFF, f"symbol:{USDM}") in desk.brakes()
    ask = OperatorCommand(
        command_id="c1",
        kind=CommandKind.ADOPT,
        scope=f"venue:{VENUE}",
        actor="alice",
        cause="a deposit",
        argument="",
        ts_ns=desk.now,
    )
    bench.tell("portfolio", ask, ask)
    first, second = bench.take(CommandAnswered, to="ops")
    assert (first.done, "+500 USDT" in first.text) == (True, True)
    assert not second.done
    assert desk.actor.core.balances_by_venue()[VENUE]["USDT"] == 50_000  # not before it is on record
    desk.pass_s(5)
    assert desk.actor.core.balances_by_venue()[VENUE]["USDT"] == 50_500
    assert desk.brakes() == set()
    assert desk.actor.books.violations() == []


@pytest.mark.req("P-SAFE-2")
def test_after_a_start_every_venue_is_held_until_its_balances_are_the_ledgers(bench, usdm, desk):
    desk.fill(1)
    desk.fill(2)
    bench.take(BrakesStated)
    recon = ReconSetup(config=ReconConfig(), venues=(VENUE,))
    bench.start("again", PortfolioActor, PortfolioSetup(instruments={USDM: usdm}, recon=recon))
    assert [b.code for m in bench.take(BrakesStated) for b in m.brakes] == [START]
    bench.tell("again", JournalHistory(rows=desk.rows[:-1]))  # the second was executed while nobody looked
    account = AccountState(
        venue=VENUE, exec_seq=0, open_orders=(), executions=tuple(desk.executions), fundings=(), positions={},
        balances={"USDT": desk.usdt}, cause="reconcile", ts_init_ns=desk.now, numbered=False, asked_ns=desk.now,
    )  # fmt: skip
    bench.tell("again", account)
    assert bench.take(BrakesStated) == []
    bench.tell("again", desk.told[-1])
    assert [m.brakes for m in bench.take(BrakesStated)] == [()]


@pytest.mark.req("P-PNL-8")
def test_a_day_that_ended_while_nobody_ran_is_stated_by_the_next_life(bench, usdm, desk):
    desk.fill(1)
    day = day_of(desk.now)
    rows = list(desk.rows)
    bench.after_ms((DAY_NS - desk.now % DAY_NS) / 1e6 + 60_000)
    desk.answer()
    bench.kept.clear()
    recon = ReconSetup(config=ReconConfig(), venues=(VENUE,), reports=bench.directory / "reports2")
    again = bench.start("again", PortfolioActor, PortfolioSetup(instruments={USDM: usdm}, recon=recon))
    bench.tell("again", JournalHistory(rows=rows))
    desk.executions.clear()
    again.recon.account(
        AccountState(
            venue=VENUE, exec_seq=0, open_orders=(), executions=(execution(1, "0.004", rows[-1].ts_ns),), fundings=(),
            positions={}, balances={"USDT": desk.usdt}, cause=CAUSE, ts_init_ns=desk.now, numbered=False,
            asked_ns=desk.now,
        ),
        desk.now,
        first=False,
    )  # fmt: skip
    bench.after_ms(4_000)
    assert [(s.day, s.clean) for s in again.recon.statements] == [(day, True)]
    assert (bench.directory / "reports2" / f"recon_{day}.md").exists()
