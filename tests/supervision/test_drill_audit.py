"""What a drill's audit finds where the venue's own account and the desk's journal differ."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.journal.store import SqliteJournal
from adapters.simserver.trading.statement import STATEMENT_BYTES_MAX, Statement
from supervision.desk_plan import INSTRUMENTS
from supervision.drill_audit import audit
from supervision.plan import paths_of
from tests.adapters.simserver.trading.test_statement import order
from trading.orders.messages import ExecType, ExecutionReport, OrdStatus, OrdType, Side, TimeInForce


def execution(number):
    return ExecutionReport(
        venue="okx",
        instrument_id=next(i for i, x in INSTRUMENTS.items() if x.venue == "okx"),
        cl_ord_id="pd1Za",
        orig_cl_ord_id=None,
        order_id="1",
        exec_id=f"okx-{number}",
        exec_seq=number,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=Decimal(1),
        price=Decimal(1),
        last_qty=Decimal(1),
        last_px=Decimal(1),
        cum_qty=Decimal(1),
        leaves_qty=Decimal(0),
        avg_px=Decimal(1),
        liquidity=None,
        fee=Decimal(0),
        fee_asset="USDT",
        text="",
        ts_event_ns=1,
        ts_init_ns=1,
    )


@pytest.fixture
def paths(tmp_path):
    found = paths_of(tmp_path)
    found.account("okx").mkdir(parents=True)
    SqliteJournal(found.journal).close()
    return found


def state(paths, orders, executions, limit_bytes=STATEMENT_BYTES_MAX):
    statement = Statement(paths.account("okx") / "statement.jsonl", limit_bytes)
    statement.note(orders, executions)
    statement.close()


def test_an_account_without_orders_and_an_empty_journal_agree(paths):
    found = audit(paths, ("okx",))
    assert (found.missing_fills, found.invented_fills, found.duplicated_orders, found.open_orders) == (0, 0, 0, 0)
    assert found.residual == 0


def test_an_execution_that_the_journal_never_heard_of_is_lost(paths):
    state(paths, [], [execution(1), execution(2)])
    assert audit(paths, ("okx",)).missing_fills == 2


def test_an_order_that_the_journal_does_not_know_and_one_that_the_venue_took_twice_are_counted(paths):
    state(paths, [order(1, "pd1Za"), order(2, "pd1Za")], [])
    found = audit(paths, ("okx",))
    assert found.duplicated_orders == 2
    assert found.detail["okx"]["strangers"] == ["pd1Za"]


def test_a_statement_that_is_not_whole_proves_nothing(paths):
    state(paths, [order(1)], [], limit_bytes=10)
    with pytest.raises(ValueError, match="not whole"):
        audit(paths, ("okx",))
