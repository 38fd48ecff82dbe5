"""The whole desk in virtual time: one session gives one result, books of account balance, nothing leaves too early."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest

from adapters.config import load_config
from adapters.wirelog import SessionFacts
from supervision.replay import replay, synthetic_lines
from trading.brakes import Level
from trading.market.events import BookState
from trading.orders.messages import TargetIntent, Urgency

USDM, COINM, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCECOINM:PERP:BTC-USD:INVERSE", "BINANCE:SPOT:BTC-USDT"
SAME = ("intents_sha256", "journal_head", "journal_rows", "orders", "fills", "pnl", "books", "venues", "notices")


def target(strategy_id, instrument_id, lots, now_ns, *, urgency=Urgency.AGGRESSIVE, number=1):
    return TargetIntent(
        intent_id=f"{strategy_id}:test:{number}",
        strategy_id=strategy_id,
        instrument_id=instrument_id,
        target_lots=lots,
        urgency=urgency,
        limit_ticks=None,
        confidence=1.0,
        ttl_ns=60_000_000_000,
        reasons=("a test",),
        cause="a test",
        ts_init_ns=now_ns,
    )


def quiet(*names, budget_usd=1_000):
    """A configuration whose strategies never act by themselves: the test speaks for them."""
    spoken = {
        name: {"kind": "maker", "instruments": [USDM], "params": {"quote_notional_usd": 0}, "budget_usd": budget_usd}
        for name in names
    }
    return load_config(overrides={"strategies": spoken})


@pytest.mark.req("P-SIM-1")
def test_two_runs_of_one_session_are_equal(session_lines):
    config = load_config()
    first, second = (
        msgspec.to_builtins(replay(config, SessionFacts(), session_lines(20), name="default", left_out=[]))
        for _ in range(2)
    )
    assert {k: first[k] for k in SAME} == {k: second[k] for k in SAME}
    assert first["orders"] > 10
    assert first["fills"] >= 1


@pytest.mark.req("P-SIM-1")
@pytest.mark.process
def test_the_hash_seed_of_the_interpreter_changes_nothing(project):
    command = [sys.executable, "-m", "supervision", "replay", "--session", "default", "--duration", "8", "--json"]
    running = [
        subprocess.Popen(
            command, cwd=project, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
        )
        for seed in ("1", "2")
    ]
    first, second = (json.loads(process.communicate(timeout=240)[0]) for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert {k: first[k] for k in SAME} == {k: second[k] for k in SAME}
    assert first["orders"] > 2


@pytest.mark.req("P-SIM-1")
def test_another_seed_of_the_market_is_another_session():
    def run(seed):
        config = load_config(overrides={"generator.seed": seed})
        return replay(config, SessionFacts(), synthetic_lines(config, 6), name="default", left_out=[])

    assert run(1).books != run(2).books


@pytest.mark.req("P-PNL-9")
def test_the_ledger_balances_and_equals_the_venues_own_balances(session_lines):
    result = replay(load_config(), SessionFacts(), session_lines(20), name="default", left_out=[])
    assert Decimal(result.ledger_residual) == 0
    assert {v: Decimal(row["ledger_difference"]) for v, row in result.venues.items()} == dict.fromkeys(result.venues, 0)
    assert sum(row["executions"] for row in result.venues.values()) == result.fills
    assert {row["state"] for row in result.books.values()} == {"synced"}
    assert result.unknown_messages == 0
    assert result.synthetic


@pytest.mark.req("P-PNL-9")
def test_spot_inventory_and_its_fee_are_in_the_ledger_as_they_are_at_the_venue(virtual_desk):
    desk = virtual_desk()
    desk.run_until(2)
    desk.inject("arbiter", target("maker-spot", SPOT, 300, desk.at(2)))
    desk.run_until(4)
    desk.inject("arbiter", target("maker-spot", SPOT, 100, desk.at(4), number=2))
    desk.run_until(6)
    desk.settle()
    assert len(desk.sim("binance").state_now(0, "test", 0).executions) >= 2
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-1", "P-SAFE-2", "P-HA-6")
def test_every_venue_is_held_from_the_start_until_it_is_reconciled(virtual_desk):
    desk = virtual_desk(config=quiet("one"), slow={"binanceusdm": 800_000_000})
    held = {text.split(" ")[0] for _, text in desk.events("BRAKE:RECON")}
    assert held == {f"venue:{v}" for v in desk.config.venues}
    assert set(desk.brakes()) >= {("RECON", "venue:binanceusdm")}
    desk.run_until(0.1)
    desk.inject("arbiter", target("one", USDM, 2, desk.at(0.1)))
    desk.run_until(8)
    released = {text.split(": ")[0]: at for at, text in desk.events("RELEASED:RECON")}
    assert set(released) == {f"venue:{v}" for v in desk.config.venues}
    assert desk.at(0.5) < released["venue:binanceusdm"] < min(at for at, _ in desk.sent("binanceusdm"))


@pytest.mark.req("P-SAFE-2", "P-SAFE-3")
def test_a_venue_that_never_answers_is_never_traded_and_the_others_are(virtual_desk):
    desk = virtual_desk(slow={"binanceusdm": 3_600_000_000_000})
    desk.run_until(12)
    assert desk.brakes()["RECON", "venue:binanceusdm"].level is Level.HOLD
    assert desk.sent("binanceusdm") == []
    assert len(desk.sent("binancecoinm")) > 3


@pytest.mark.req("P-EXE-9")
def test_what_one_strategy_gives_up_another_takes_without_an_order(virtual_desk):
    desk = virtual_desk(config=quiet("buyer", "seller"))
    desk.run_until(2)
    desk.inject("arbiter", target("buyer", USDM, 6, desk.at(2)))
    desk.run_until(4)
    before = len(desk.sent())
    desk.base.inject("arbiter", target("buyer", USDM, 0, desk.at(4), urgency=Urgency.PASSIVE, number=2))
    desk.base.inject("arbiter", target("seller", USDM, 6, desk.at(4)))
    desk.run_until(8)
    held = desk.base.actor("portfolio").core.positions_by_strategy()
    assert before >= 1
    assert {s: {i: p.qty for i, p in rows.items()} for s, rows in held.items()} == {"seller": {USDM: Decimal("0.006")}}
    assert desk.base.actor("arbiter").conflicts >= 1
    assert desk.audit() == []


@pytest.mark.req("P-EXE-9")
def test_opposite_wishes_of_one_moment_make_no_order_at_all(virtual_desk):
    desk = virtual_desk(config=quiet("buyer", "seller"))
    # No book is proved yet, so both wishes stand when the first one is.
    desk.base.inject("arbiter", target("buyer", USDM, 4, desk.at(0)))
    desk.base.inject("arbiter", target("seller", USDM, -4, desk.at(0)))
    desk.run_until(3)
    assert desk.base.actor("arbiter").crosses == 1
    assert desk.sent() == []
    held = desk.base.actor("portfolio").core.positions_by_strategy()
    assert (held["buyer"][USDM].qty, held["seller"][USDM].qty) == (Decimal("0.004"), Decimal("-0.004"))
    assert desk.base.actor("portfolio").core.positions() == {}
    assert desk.audit() == []


@pytest.mark.req("P-RSK-2", "P-EXE-9")
def test_strategies_together_stay_inside_the_limit_of_the_symbol(virtual_desk):
    desk = virtual_desk(config=quiet("one", "two", "three", budget_usd=2_000))
    desk.run_until(2)
    for name in ("one", "two", "three"):
        desk.base.inject("arbiter", target(name, USDM, 30, desk.at(2)))
    most = Decimal(0)
    mid = Decimal(0)
    for tenth in range(21, 150):
        desk.run_until(tenth / 10)
        positions = desk.base.actor("portfolio").core.positions()
        if USDM in positions:
            mid = positions[USDM].mark_px
            most = max(most, abs(positions[USDM].qty) * mid)
    cap = desk.config.risk.notional_caps.symbol(USDM)
    assert cap * Decimal("0.7") < most <= cap
    assert desk.audit() == []


def test_books_stay_proved_and_every_actor_knows_its_messages(virtual_desk):
    desk = virtual_desk()
    desk.run_until(10)
    assert {desk.book(i).state for i in (SPOT, USDM, COINM)} == {BookState.SYNCED}
    assert desk.unknown() == {}
    assert desk.base.stats()["failures"] == 0
