"""What the order core finds in an account: each difference with its class, and a verdict no wider than what differs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.orders.core import Emit, Reconciled, SendToVenue
from trading.orders.messages import AccountState, AccountStateRequest, ExecType, OrderCancelRequest
from trading.recon.difference import AccountCompared, Action, DiffClass

VENUE = "BINANCEUSDM"
BTC = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
MS = 1_000_000


def account(seq, positions=None, executions=(), open_orders=()):
    return AccountState(
        venue=VENUE,
        exec_seq=seq,
        open_orders=tuple(open_orders),
        executions=tuple(executions),
        fundings=(),
        positions={name: Decimal(qty) for name, qty in (positions or {}).items()},
        balances={},
        cause="test",
        ts_init_ns=0,
    )


def compared(effects):
    (found,) = [e.message for e in effects if isinstance(e, Emit) and isinstance(e.message, AccountCompared)]
    return found


def verdicts(effects):
    return [(e.ok, e.instrument_ids) for e in effects if isinstance(e, Reconciled)]


def requests(effects):
    return [e.command for e in effects if isinstance(e, SendToVenue) and isinstance(e.command, AccountStateRequest)]


@pytest.fixture
def fill(report):
    return lambda name, seq, qty, cum: report(
        name, ExecType.TRADE, f"{VENUE}:{seq}", exec_seq=seq, last_qty=qty, cum_qty=cum, last_px="50000.0"
    )


@pytest.fixture
def trading(desk, approved, report):
    """A desk that was reconciled at event 10 of an empty account, and has an order at the venue."""
    desk.do(desk.core.begin_reconcile(VENUE, desk.now))
    assert verdicts(desk.venue(account(10))) == [(True, ())]
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW))
    return desk


def resting(report, name):
    return report(name, ExecType.ORDER_STATUS)


@pytest.mark.req("P-PNL-7", "C-EXEC-9")
def test_an_execution_that_only_the_venues_list_tells_is_booked_first_and_then_told_as_missing(trading, fill):
    lost = fill("pd1-1", 11, "0.004", "0.004")
    said = trading.venue(account(11, {BTC: "0.004"}, [lost]))
    (taken,) = compared(said).taken
    assert (taken.diff_class, taken.ref, taken.scope) == (DiffClass.MISSING_FILL, lost.exec_id, f"symbol:{BTC}")
    assert compared(said).standing == ()
    assert trading.rows[-1].exec_id == lost.exec_id  # the venue's own report is on record before anything is said
    assert trading.core.exposure()[BTC].position == Decimal("0.004")
    again = trading.venue(account(11, {BTC: "0.004"}, [lost]))
    assert [e for e in again if isinstance(e, Emit)] == []


@pytest.mark.req("P-PNL-7")
def test_an_orphan_with_our_mark_is_canceled_and_an_order_of_others_is_left(trading, report):
    listed = [resting(report, "pd1-1"), resting(report, "pd0-77"), resting(report, "web_1")]
    said = trading.venue(account(10, open_orders=listed))
    found = {d.ref: (d.diff_class, d.action) for d in compared(said).standing}
    assert found == {
        "pd0-77": (DiffClass.FOREIGN_ORDER, Action.CANCEL_ORPHAN),
        "web_1": (DiffClass.FOREIGN_ORDER, Action.LEAVE),
    }
    cancels = [e.command for e in said if isinstance(e, SendToVenue) and isinstance(e.command, OrderCancelRequest)]
    assert [c.orig_cl_ord_id for c in cancels] == ["pd0-77"]
    assert compared(trading.venue(account(10, open_orders=listed[:1]))).standing == ()


@pytest.mark.req("P-PNL-7")
def test_what_differs_in_one_instrument_holds_that_instrument_until_it_agrees(trading, report):
    listed = [resting(report, "pd1-1")]
    wrong = account(10, {BTC: "5"}, open_orders=listed)
    assert verdicts(trading.venue(wrong)) == []
    assert verdicts(trading.venue(wrong)) == [(False, (BTC,))]
    assert verdicts(trading.venue(wrong)) == []
    assert verdicts(trading.venue(account(10, open_orders=listed))) == [(True, ())]


@pytest.mark.req("P-PNL-7")
def test_what_turns_out_to_concern_more_is_held_wider(trading, report):
    listed = [resting(report, "pd1-1")]
    wrong = account(10, {BTC: "5"}, open_orders=listed)
    trading.venue(wrong)
    trading.venue(wrong)
    wider = account(10, {BTC: "5", "X:PERP:ETH-USDT:LINEAR": "1"}, open_orders=listed)
    assert verdicts(trading.venue(wider)) == [(False, (BTC, "X:PERP:ETH-USDT:LINEAR"))]


@pytest.mark.req("C-EXEC-9")
def test_a_look_back_reaches_as_far_as_asked_and_never_less_than_the_core_needs(trading, fill):
    trading.venue(fill("pd1-1", 11, "0.001", "0.001"))
    trading.venue(fill("pd1-1", 13, "0.001", "0.003"))  # 12 is missing
    back = trading.core.look_back(VENUE, "recon", trading.now, since_exec_seq=12)
    (request,) = requests(trading.do(back))
    assert (request.since_exec_seq, request.cause) == (11, "recon")
    (deep,) = requests(trading.do(trading.core.look_back(VENUE, "recon", trading.now, since_exec_seq=0)))
    assert deep.since_exec_seq == 10  # what was before the first day is nobody's
    (plain,) = requests(trading.do(trading.core.look_back(VENUE, "recon", trading.now)))
    assert plain.since_exec_seq == 11


def test_nobody_looks_back_while_the_account_is_reconciled(trading):
    trading.do(trading.core.begin_reconcile(VENUE, trading.now))
    assert trading.core.look_back(VENUE, "recon", trading.now, since_exec_seq=0) == []
