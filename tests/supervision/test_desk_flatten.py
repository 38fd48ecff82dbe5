"""KILL at the level of the whole desk: cancel, flatten, hold; and what PAUSE and SAFE still let through."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.config import load_config
from trading.brakes import Level
from trading.orders.journal_rows import PLACING, JournalKind, decode_body
from trading.orders.messages import TargetIntent, TimeInForce, Urgency
from trading.risk.limits import OPERATOR

USDM, COINM, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCECOINM:PERP:BTC-USD:INVERSE", "BINANCE:SPOT:BTC-USDT"
FLATTEN_S = 3.0


def target(strategy_id, instrument_id, lots, now_ns, *, number=1):
    return TargetIntent(
        intent_id=f"{strategy_id}:test:{number}",
        strategy_id=strategy_id,
        instrument_id=instrument_id,
        target_lots=lots,
        urgency=Urgency.AGGRESSIVE,
        limit_ticks=None,
        confidence=1.0,
        ttl_ns=60_000_000_000,
        reasons=("a test",),
        cause="a test",
        ts_init_ns=now_ns,
    )


@pytest.fixture
def holding_desk(virtual_desk):
    """A desk that trades, quotes, and holds something everywhere; at second 20."""

    def make(**options):
        desk = virtual_desk(30, **options)
        desk.run_until(17)
        desk.inject("arbiter", target("maker-usdm", USDM, 9, desk.at(17)))
        desk.inject("arbiter", target("maker-coinm", COINM, -5, desk.at(17)))
        desk.inject("arbiter", target("maker-spot", SPOT, 700, desk.at(17)))
        desk.run_until(20)
        assert set(held(desk)) == {USDM, COINM, SPOT}
        return desk

    return make


def held(desk):
    return {i: p.qty for i, p in desk.base.actor("portfolio").core.positions().items()}


def held_by(desk, strategy_id):
    shares = desk.base.actor("portfolio").core.positions_by_strategy()
    return {i: p.qty for i, p in shares.get(strategy_id, {}).items()}


def orders_sent(desk, start_s, end_s):
    """What was journalled of the orders that left in a stretch of time."""
    placed = {r.cl_ord_id: decode_body(r.body).approved.order for r in desk.rows() if r.kind in PLACING}
    return [placed[name] for name in desk.sent_between(start_s, end_s)]


@pytest.mark.req("P-SAFE-6", "P-SAFE-8", "P-SAFE-4")
@pytest.mark.parametrize("seed", [None, 11])
def test_a_kill_cancels_flattens_and_then_nothing_leaves_until_two_people_release_it(holding_desk, seed):
    desk = holding_desk(seed=seed)
    resting = set(desk.open_at_venues())
    assert desk.command("kill", cause="enough").done
    desk.run_until(20 + FLATTEN_S)
    assert resting
    assert desk.open_at_venues() == []
    closing = orders_sent(desk, 20, 20 + FLATTEN_S)
    assert {o.instrument_id for o in closing} == {USDM, COINM, SPOT}
    for order in closing:
        assert [leg.strategy_id for leg in order.legs] == [OPERATOR]
        assert (order.reduce_only, order.time_in_force) == (True, TimeInForce.IOC)
    for venue in desk.config.venues:
        assert not any(desk.sim(venue).state_now(0, "test", 0).positions.values())
    left = held(desk)
    assert set(left) <= {SPOT}
    # Below the venue's minimum of 5 USDT nobody can sell it, and nothing above that is left.
    assert abs(left.get(SPOT, Decimal(0))) * 70_000 < 6
    assert all(held_by(desk, name) == {} for name in desk.config.strategies)
    assert {text.split(": ")[0] for _, text in desk.events("FLATTENED")} == {USDM, COINM, SPOT}

    desk.run_until(26)
    assert desk.sent_between(20 + FLATTEN_S, 26) == []
    assert desk.audit() == []
    for _ in range(2):
        alone = desk.command("resume", actor="alice")
        assert (alone.done, "second person" in alone.text) == (False, True)
    assert desk.command("resume", actor="bob").done
    desk.run_until(30)
    assert desk.sent_between(26, 30)
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-6")
def test_a_kill_of_one_venue_flattens_there_and_the_others_go_on(holding_desk):
    desk = holding_desk()
    before = held(desk)[COINM]
    desk.command("kill", scope="venue:binanceusdm")
    desk.run_until(20 + FLATTEN_S)
    assert USDM not in held(desk)
    assert before
    assert desk.sim("binanceusdm").state_now(0, "test", 0).open_orders == ()
    desk.run_until(28)
    assert desk.sent_between(20 + FLATTEN_S, 28, "binanceusdm") == []
    assert desk.sent_between(20 + FLATTEN_S, 28, "binancecoinm")
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-6")
def test_a_kill_of_one_strategy_takes_its_positions_and_leaves_the_others_theirs(virtual_desk):
    silent = {"kind": "maker", "instruments": [USDM], "params": {"quote_notional_usd": 0}}
    desk = virtual_desk(20, config=load_config(overrides={"strategies": {"one": silent, "two": silent}}))
    desk.run_until(4)
    desk.inject("arbiter", target("one", USDM, 9, desk.at(4)))
    desk.run_until(5)
    desk.inject("arbiter", target("two", USDM, -3, desk.at(5)))
    desk.run_until(6)
    assert held(desk) == {USDM: Decimal("0.006")}
    desk.command("kill", scope="strategy:one")
    desk.run_until(6 + FLATTEN_S)
    assert held_by(desk, "one") == {}
    assert held_by(desk, "two") == {USDM: Decimal("-0.003")}
    # The other's short was covered by what was killed: that much stays, in the operator's name, and the desk is flat.
    assert held_by(desk, OPERATOR) == {USDM: Decimal("0.003")}
    assert held(desk) == {}
    desk.inject("arbiter", target("two", USDM, 0, desk.at(9), number=2))
    desk.run_until(12)
    assert (held(desk), held_by(desk, "two"), held_by(desk, OPERATOR)) == ({}, {}, {})
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-6", "P-MD-3")
def test_without_a_proved_book_the_flattening_waits_and_then_goes_on(holding_desk, book_at):
    desk = holding_desk()
    mute = {"on": True}

    def change(line):
        return None if mute["on"] and line.venue == "binanceusdm" else line

    desk.run_until(22, change)
    assert held(desk)[USDM]
    desk.command("kill")
    desk.run_until(24, change)
    assert desk.sent_between(22, 24, "binanceusdm") == []
    assert held(desk)[USDM]
    assert COINM not in held(desk)
    mute["on"] = False
    desk.run_until(24.5)
    desk.snapshot(USDM, book_at(USDM, 24.5))
    desk.run_until(29)
    assert set(held(desk)) <= {SPOT}
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-6")
def test_a_desk_that_starts_under_a_kill_finishes_it(holding_desk, virtual_desk, book_at, tmp_path):
    desk = holding_desk()
    desk.board.set("global", Level.KILL, "from outside", "alice", desk.at(20))
    before = held(desk)
    desk.base.shutdown()
    again = virtual_desk(30, directory=tmp_path / "desk", journal=desk.memory, start_s=20)
    again.run_until(21)
    assert held(again) == before
    for instrument_id in (USDM, COINM, SPOT):
        again.snapshot(instrument_id, book_at(instrument_id, 21))
    again.run_until(26)
    assert set(held(again)) <= {SPOT}
    again.settle()
    assert again.audit() == []


@pytest.mark.req("P-SAFE-14")
def test_a_pause_lets_only_reductions_out(holding_desk):
    desk = holding_desk()
    before = held(desk)
    desk.command("pause", cause="lunch")
    desk.inject("arbiter", target("maker-spot", SPOT, 100, desk.at(20), number=2))
    desk.inject("arbiter", target("maker-usdm", USDM, 30, desk.at(20), number=2))
    desk.run_until(24)
    placed = orders_sent(desk, 20, 24)
    assert placed
    assert all(order.reduce_only for order in placed)
    after = held(desk)
    assert after[SPOT] < before[SPOT] / 2, "spot is reduced in a pause too"
    assert all(abs(after.get(i, Decimal(0))) <= abs(qty) for i, qty in before.items())
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-14")
def test_safe_lets_only_small_resting_orders_out(virtual_desk):
    desk = virtual_desk(30)
    desk.run_until(8)
    desk.board.set("global", Level.SAFE, "careful", "alice", desk.at(8))
    desk.run_until(10)
    desk.inject("arbiter", target("momentum-usdm", USDM, 5, desk.at(10)))
    desk.run_until(24)
    placed = orders_sent(desk, 10, 24)
    assert len(placed) >= 5
    for order in placed:
        assert order.time_in_force is TimeInForce.GTX or order.reduce_only
        value = order.order_qty * (100 if order.instrument_id == COINM else order.price)
        quoted = all(leg.strategy_id.startswith("maker") for leg in order.legs)
        assert value <= (150 if quoted else 250), "half of what a maker quotes, half of what an order may be"
    denied = [r for r in desk.rows() if r.kind is JournalKind.DENIED and r.ts_ns > desk.at(10)]
    assert denied == [], "what a brake forbids is not even proposed"
    desk.settle()
    assert desk.audit() == []
