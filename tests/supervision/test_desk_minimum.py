"""A strategy that wants less than a venue takes: the whole desk in virtual time."""

from __future__ import annotations

import pytest

from adapters.config import load_config
from trading.orders.journal_rows import JournalKind, decode_body

SPOT = "BINANCE:SPOT:BTC-USDT"


def config(**strategy):
    params = {"position_notional_usd": 6, "fee_coverage": 0, "entry_score": 0.1, "warm_up_s": 2, "cool_off_s": 0}
    small = {"kind": "momentum", "instruments": [SPOT], "params": params, **strategy}
    return load_config(env={}, overrides={"strategies": {"small": small}})


def entries(desk):
    """What each buy of the strategy was worth, USD."""
    orders = [decode_body(row.body).approved.order for row in desk.rows() if row.kind is JournalKind.PLACE]
    return [order.price * order.order_qty for order in orders if order.side.value == "buy"]


@pytest.mark.req("L-EXEC-5")
def test_an_order_of_six_dollars_reaches_the_venue_as_one_of_eleven(virtual_desk):
    desk = virtual_desk(20, config=config())
    desk.run_until(20)
    worth = entries(desk)
    assert worth
    assert all(11 <= usd < 13 for usd in worth)
    assert desk.audit() == []


@pytest.mark.req("L-EXEC-5")
def test_a_strategy_that_says_exact_keeps_its_six(virtual_desk):
    desk = virtual_desk(20, config=config(exact_sizes=True))
    desk.run_until(20)
    worth = entries(desk)
    assert worth
    assert all(usd < 7 for usd in worth)


@pytest.mark.req("L-EXEC-5")
def test_what_may_not_be_made_larger_is_told_and_stays(virtual_desk):
    desk = virtual_desk(20, config=config(budget_usd=8))
    desk.run_until(20)
    assert all(usd < 8 for usd in entries(desk))
    view = desk.base.actor("strategy.small")._minimum
    assert view.refused > 0
    assert "too small" in view.words
