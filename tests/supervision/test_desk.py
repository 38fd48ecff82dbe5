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
from adapters.sources import SessionFacts
from supervision.replay import replay
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
        name: {"kind": "momentum", "instruments": [USDM], "params": {"warm_up_s": 3600}, "budget_usd": budget_usd}
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
    assert first["orders"] > 20
    assert first["fills"] > 5


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
    first, second = (json.loads(process.communicate(timeout=60)[0]) for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert {k: first[k] for k in SAME} == {k: second[k] for k in SAME}
    assert first["orders"] > 5


@pytest.mark.req("P-SIM-1")
def test_another_seed_of_the_market_is_another_session():
    def run(seed):
        config = load_config(overrides={"generator.seed": seed})
        from supervision.replay import synthetic_lines

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
    desk.inject("arbiter", target("basis-spot-usdm", SPOT, 300, desk.at(2)))
    desk.run_until(4)
    desk.inject("arbiter", target("basis-spot-usdm", SPOT, 100, desk.at(4), number=2))
    desk.run_until(6)
    desk.settle()
    assert len(desk.sim("binance").state_now(0, "test", 0).executions) >= 2
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-1", "P-SAFE-2", "P-HA-6")
def test_every_venue_is_held_from_the_start_until_it_is_reconciled(virtual_desk):
    desk = virtual_desk(config=quiet("one"))
    # Each venue that will trade is asked to at once: what it answers must wait for its reconciliation.
    desk.run_until(0.005)
    assert {scope for code, scope in desk.brakes() if code == "RECON"} == {f"venue:{v}" for v in desk.config.venues}
    assert all(b.level is Level.HOLD for (code, _), b in desk.brakes().items() if code == "RECON")
    desk.inject("arbiter", target("one", USDM, 2, desk.at(0)))
    desk.run_until(3)
    released = {text.split(": ")[0]: at for at, text in desk.events("RELEASED:RECON")}
    assert set(released) == {f"venue:{v}" for v in desk.config.venues}
    assert len(desk.sent()) > 0
    assert min(at for at, _ in desk.sent("binanceusdm")) > released["venue:binanceusdm"]


@pytest.mark.req("P-SAFE-2")
def test_a_venue_that_never_answers_is_never_traded_and_the_others_are(virtual_desk):
    desk = virtual_desk()
    desk.sim("binanceusdm").faults.lose_commands = 10_000
    desk.run_until(12)
    assert desk.brakes()["RECON", "venue:binanceusdm"].level is Level.HOLD
    assert desk.sent("binanceusdm") == []
    assert len(desk.sent("binancecoinm")) > 3


@pytest.mark.req("P-EXE-9")
def test_two_strategies_that_want_opposite_things_meet_inside_the_desk(virtual_desk):
    desk = virtual_desk(config=quiet("buyer", "seller"))
    desk.run_until(2)
    desk.base.inject("arbiter", target("buyer", USDM, 6, desk.at(2)))
    desk.run_until(3)
    before = len(desk.sent())
    # The second wants what the first has: both strategies change, nothing leaves.
    desk.base.inject("arbiter", target("buyer", USDM, 0, desk.at(3), number=2))
    desk.base.inject("arbiter", target("seller", USDM, 6, desk.at(3)))
    desk.run_until(5)
    desk.settle()
    portfolio = desk.base.actor("portfolio").core
    lots = {
        s: {i: p.qty for i, p in held.items() if p.qty} for s, held in portfolio.positions_by_strategy().items()
    }
    assert sum((held.get(USDM, 0) for held in lots.values()), Decimal(0)) == Decimal("0.006")
    assert desk.audit() == []
    assert before >= 1
    assert lots.get("seller", {}).get(USDM) == Decimal("0.006")


@pytest.mark.req("P-EXE-9")
def test_opposite_wishes_of_one_moment_make_no_order_at_all(virtual_desk):
    desk = virtual_desk(config=quiet("buyer", "seller"))
    desk.run_until(0.1)
    desk.command("hold", scope=f"symbol:{USDM}")
    desk.run_until(2)
    # While the symbol is held nothing can leave, so both wishes stand when it is released.
    desk.base.inject("arbiter", target("buyer", USDM, 4, desk.at(2)))
    desk.base.inject("arbiter", target("seller", USDM, -4, desk.at(2)))
    desk.run_until(5)
    arbiter = desk.base.actor("arbiter")
    assert arbiter.crosses == 1
    assert desk.sent() == []
    held = desk.base.actor("portfolio").core.positions_by_strategy()
    assert (held["buyer"][USDM].qty, held["seller"][USDM].qty) == (Decimal("0.004"), Decimal("-0.004"))
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
