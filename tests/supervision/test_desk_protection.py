"""Protective exits at the level of the whole desk: planned before the entry, fired once, whatever restarts between."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.config import load_config
from trading.market.events import MarkPrice
from trading.orders.journal_rows import PLACING, JournalKind, ProtectEvent, decode_body
from trading.orders.messages import Side, TargetIntent, Urgency
from trading.protection.leg import ExitStatus

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"


def wants(lots, now_ns, *, number=1):
    return TargetIntent(
        intent_id=f"m1:test:{number}",
        strategy_id="m1",
        instrument_id=USDM,
        target_lots=lots,
        urgency=Urgency.AGGRESSIVE,
        limit_ticks=None,
        confidence=1.0,
        ttl_ns=5_000_000_000,
        reasons=("a test",),
        cause="a test",
        ts_init_ns=now_ns,
    )


def config(**exits):
    spoken = {
        "kind": "maker",
        "instruments": [USDM],
        "params": {"quote_notional_usd": 0},
        "protective_exits": True,
    }
    given = {"cooldown_s": 4, **exits}
    return load_config(overrides={"strategies": {"m1": spoken}, "risk": {"protective_exits": given}})


@pytest.fixture
def holding(virtual_desk):
    """A desk whose strategy entered six lots at second 12; the desk and the average entry."""

    def make(**options):
        desk = virtual_desk(40, config=options.pop("config", None) or config(), **options)
        desk.run_until(12)
        desk.inject("protection", wants(6, desk.at(12)))
        desk.run_until(14)
        (leg,) = desk.base.actor("protection").core.legs()
        assert (leg.status, leg.holding.qty) == (ExitStatus.ARMED, Decimal("0.006"))
        return desk, leg.levels

    return make


def mark(desk, price):
    now = desk._clock.wall_ns()
    desk.inject(
        "market",
        MarkPrice(
            instrument_id=USDM,
            mark_price=price,
            index_price=None,
            funding_rate=None,
            next_funding_ns=None,
            ts_event_ns=now,
            ts_recv_ns=now,
        ),
    )


def protect_rows(desk):
    return [decode_body(r.body) for r in desk.rows() if r.kind is JournalKind.PROTECT]


def placed(desk):
    return [decode_body(r.body).approved.order for r in desk.rows() if r.kind in PLACING]


@pytest.mark.req("C-RISK-7")
@pytest.mark.req("C-RISK-6")
def test_the_plan_of_the_exit_is_durable_before_the_entry_is_even_proposed(holding):
    desk, levels = holding()
    rows = desk.rows()
    kinds = [r.kind for r in rows]
    assert kinds.index(JournalKind.PROTECT) < kinds.index(JournalKind.PLACE)
    assert protect_rows(desk)[0].event is ProtectEvent.PLAN
    fills = [decode_body(r.body).report for r in rows if r.kind in {JournalKind.FILL, JournalKind.PARTIAL}]
    average = sum(f.last_qty * f.last_px for f in fills) / sum(f.last_qty for f in fills)
    assert abs(levels.entry_px - average) < Decimal("0.0001")
    assert abs(levels.stop_loss - average * Decimal("0.98")) <= Decimal("0.1")
    assert abs(levels.take_profit - average * Decimal("1.04")) <= Decimal("0.1")
    assert desk.audit() == []


@pytest.mark.req("C-RISK-7")
def test_a_price_through_the_stop_sells_once_and_nothing_is_bought_back_during_the_pause(holding):
    desk, levels = holding()
    bought = len(placed(desk))
    mark(desk, levels.stop_loss - 700)  # a gap: the level itself never traded
    desk.inject("protection", wants(6, desk.at(14), number=2))
    desk.run_until(16)
    closing = placed(desk)[bought:]
    assert desk.base.actor("portfolio").core.positions() == {}
    assert {o.side for o in closing} == {Side.SELL}
    assert sum(leg.qty for o in closing for leg in o.legs) == Decimal("0.006") or len(closing) > 1
    assert all(o.reduce_only for o in closing)
    assert [b.event for b in protect_rows(desk)].count(ProtectEvent.TRIGGER) == 1
    mark(desk, levels.entry_px)
    desk.inject("protection", wants(6, desk._clock.wall_ns(), number=3))
    desk.run_until(21)
    assert desk.base.actor("portfolio").core.positions() != {}  # the pause is over, its last wish was still fresh
    assert [b.event for b in protect_rows(desk)].count(ProtectEvent.TRIGGER) == 1
    assert desk.audit() == []


@pytest.mark.req("C-RISK-7")
@pytest.mark.parametrize("crash_at", ["before the price", "with the trigger's row", "with the exit on its way"])
def test_a_restart_keeps_the_exits_and_sells_what_is_held_once(holding, virtual_desk, book_at, crash_at):
    desk, levels = holding()
    if crash_at != "before the price":
        mark(desk, levels.stop_loss - 1)
        desk.run_until(14 + (0.0005 if crash_at == "with the trigger's row" else 0.004))
    # The process dies: nobody is asked to leave. What was in flight is lost, the journal and the accounts are not.
    died_s = desk.now_s
    again = virtual_desk(40, config=config(), journal=desk.memory, start_s=died_s + 0.2)
    for instrument_id in again._wiring.instruments:
        again.snapshot(instrument_id, book_at(instrument_id, died_s + 0.2))
    again.run_until(died_s + 3)
    (leg,) = again.base.actor("protection").core.legs()
    if crash_at == "before the price":
        assert (leg.status, leg.levels) == (ExitStatus.ARMED, levels)
        mark(again, levels.stop_loss - 1)
    again.run_until(again.now_s + 4)
    assert again.base.actor("portfolio").core.positions() == {}
    sold = [decode_body(r.body).report for r in again.rows() if r.kind in {JournalKind.FILL, JournalKind.PARTIAL}]
    assert sum(f.last_qty for f in sold if f.side is Side.SELL) == Decimal("0.006")
    assert [b.event for b in protect_rows(again)].count(ProtectEvent.TRIGGER) == 1
    assert again.audit() == []


def test_a_desk_without_protected_strategies_has_no_such_actor(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(3)
    assert desk.base.actor("protection") is None
    assert desk.base.actor("orders")._setup.protection is None
