"""Whatever order actors run in, whatever venues and our own bugs do: one order an intent, every fill booked once."""

from __future__ import annotations

import pytest

from actors.messages import DrillFault
from trading.brakes import Level
from trading.orders.journal_rows import PLACING, JournalKind
from trading.orders.messages import OrdStatus, TargetIntent, Urgency

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
CORE = ("journal", "governor", "orders", "portfolio", "arbiter", "market")


def finished(desk, until):
    """Feeds the rest, lets the desk come to rest under HOLD, and audits it."""
    desk.run_until(until)
    desk.command("hold", cause="the end of the test")
    desk.base.advance_to(desk._clock.mono_ns() + 8_000_000_000)
    assert desk.open_at_venues() == []
    return desk.audit()


@pytest.mark.req("P-ORD-1", "P-ORD-4", "P-PNL-9")
@pytest.mark.parametrize("seed", range(5))
def test_every_order_of_delivery_keeps_the_books_right(virtual_desk, seed):
    desk = virtual_desk(10, seed=seed)
    assert finished(desk, 10) == []
    assert len(desk.sent()) > 8


@pytest.mark.req("P-SIM-1")
def test_one_seed_of_the_schedule_is_one_story_and_another_seed_another(virtual_desk, tmp_path):
    def story(seed, name):
        desk = virtual_desk(10, seed=seed, directory=tmp_path / name)
        desk.run_until(10)
        return desk.memory.head(), desk.base.actor("arbiter").intents_sha256

    assert story(3, "a") == story(3, "b")
    assert story(3, "c") != story(4, "d")


@pytest.mark.req("P-ORD-2", "P-ORD-4")
@pytest.mark.parametrize(
    ("fault", "count", "unknown"),
    [
        ("drop_acks", 6, True),
        ("silence_orders", 6, True),
        ("lose_commands", 6, True),
        ("duplicate_exec_reports", 6, False),
        ("reject_next", "-2019 Margin is insufficient.", False),
    ],
)
@pytest.mark.parametrize("seed", [None, 1])
def test_a_venue_that_misbehaves_is_seen_through_by_evidence(virtual_desk, fault, count, unknown, seed):
    desk = virtual_desk(20, seed=seed)
    desk.run_until(9)
    for venue in ("binanceusdm", "binancecoinm"):
        setattr(desk.sim(venue).faults, fault, count)
    seen = set()
    for tenth in range(91, 160):
        desk.run_until(tenth / 10)
        orders = desk.base.actor("orders").core.open_orders()
        seen |= {o.cl_ord_id for o in orders if o.ord_status is OrdStatus.UNKNOWN}
        # What is unknown counts as if it were live.
        exposure = desk.base.actor("orders").core.exposure()
        for order in orders:
            if order.ord_status is OrdStatus.UNKNOWN and order.leaves_qty:
                assert exposure[order.proposed.instrument_id].unknown_leaves >= order.leaves_qty
    assert bool(seen) is unknown
    assert finished(desk, 20) == []
    assert desk.sim("binanceusdm").faults.duplicate_exec_reports < 6 or fault != "duplicate_exec_reports"
    if unknown:
        # Nobody's word but the venue's made them known: each has its answer in the journal.
        told = {r.cl_ord_id for r in desk.rows() if r.kind not in PLACING and r.kind is not JournalKind.UNKNOWN}
        assert seen <= told


@pytest.mark.req("P-HA-10", "P-EXE-19")
def test_a_strategy_that_raises_is_held_restarted_and_released_and_the_others_do_not_notice(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)
    desk.inject("strategy.maker-usdm", DrillFault(kind="raise", target="strategy.maker-usdm"))
    desk.run_until(9.05)
    brake = desk.brakes()["RESTART:strategy.maker-usdm", "strategy:maker-usdm"]
    assert (brake.level, "DrillError" in brake.cause) == (Level.HOLD, True)
    assert desk.base.actor("strategy.maker-usdm") is None
    assert {name for name in CORE if desk.base.actor(name) is None} == set()
    desk.run_until(10)
    assert desk.base.actor("strategy.maker-usdm") is not None
    assert not any(code.startswith("RESTART") for code, _ in desk.brakes())
    assert len(desk.sent_between(9, 12, "binancecoinm")) + len(desk.sent_between(9, 12)) > 2
    held = desk.base.actor("portfolio").core.positions_by_strategy().get("maker-usdm", {})
    restored = desk.base.actor("strategy.maker-usdm")._core.position_qty
    assert restored[USDM] == (held[USDM].qty if USDM in held else 0)
    assert finished(desk, 20) == []
    assert [text for _, text in desk.events("ACTOR_FAILED") if "strategy.maker-usdm" in text]


@pytest.mark.req("P-HA-10", "P-SAFE-4")
def test_a_strategy_that_never_stops_raising_stays_held_until_a_person_resumes_it(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(6)
    name, scope = "strategy.momentum-usdm", "strategy:momentum-usdm"
    for tenth in range(60, 130):
        if desk.base.actor(name) is not None:
            desk.inject(name, DrillFault(kind="raise", target=name))
        desk.run_until(tenth / 10)
    assert desk.base.actor(name) is None
    brake = desk.brakes()[f"RESTART:{name}", scope]
    assert (brake.level, brake.release.value) == (Level.HOLD, "operator")
    assert desk.sent_between(10, 13)
    answer = desk.command("resume", scope=scope)
    assert (answer.done, "released" in answer.text) == (True, True)
    desk.run_until(15)
    assert desk.base.actor(name) is not None
    assert not any(s == scope for _, s in desk.brakes())
    assert finished(desk, 20) == []


@pytest.mark.req("P-ORD-1", "P-ORD-3", "P-HA-6")
@pytest.mark.parametrize(
    ("name", "kind", "seed"),
    [
        *((name, "raise", None) for name in ("governor", "portfolio", "arbiter")),
        *((name, "raise_after_effect", None) for name in ("orders", "governor", "portfolio", "arbiter", "journal")),
        *((name, "raise_after_effect", 2) for name in ("orders", "governor", "journal")),
    ],
)
def test_a_bug_anywhere_in_the_core_restarts_it_whole_without_a_double_or_a_loss(virtual_desk, name, kind, seed):
    desk = virtual_desk(20, seed=seed)
    desk.run_until(9.3)
    epoch = desk.base.actor("orders").core.epoch
    before = len(desk.sent())
    desk.inject(name, DrillFault(kind=kind, target=name))
    desk.run_until(10)
    assert desk.base.actor("orders").core.epoch == epoch + 1
    recon = desk.events("BRAKE:RECON")
    assert len(recon) >= 2 * len(desk.config.venues)
    # An order whose answer was lost is waited for as long as the venue may hide it, 2 s.
    desk.run_until(13)
    assert not any(code == "RECON" for code, _ in desk.brakes())
    desk.run_until(19)
    assert len(desk.sent()) > before
    assert desk.sent_between(10, 19)
    positions = {i: p.qty for i, p in desk.base.actor("portfolio").core.positions().items()}
    known = {i: e.position for i, e in desk.base.actor("governor").core._exposures.items() if e.position}
    assert known == positions
    assert finished(desk, 20) == []


@pytest.mark.req("P-ORD-1", "P-ORD-3", "P-ORD-4")
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_an_order_that_fills_while_the_core_is_down_is_booked_once_when_it_is_back(virtual_desk, seed):
    desk = virtual_desk(20, seed=seed)
    desk.run_until(6)
    now = desk.at(6)
    wish = TargetIntent(
        intent_id="momentum-usdm:test:1",
        strategy_id="momentum-usdm",
        instrument_id=USDM,
        target_lots=5,
        urgency=Urgency.AGGRESSIVE,
        limit_ticks=None,
        confidence=1.0,
        ttl_ns=1_000_000_000,
        reasons=("a test",),
        cause="a test",
        ts_init_ns=now,
    )
    desk.inject("arbiter", wish)
    desk.run_until(6.005)
    (name,) = [n for at, n in desk.sent("binanceusdm") if at > now]
    desk.inject("orders", DrillFault(kind="raise", target="orders"))
    desk.run_until(6.07)
    assert desk.base.actor("orders") is None
    filled = [e.exec_id for e in desk.sim("binanceusdm").state_now(0, "test", 0).executions if e.cl_ord_id == name]
    assert filled
    assert not {r.exec_id for r in desk.rows()} & set(filled)
    desk.run_until(8)
    assert {r.exec_id for r in desk.rows()} >= set(filled)
    assert finished(desk, 20) == []


@pytest.mark.req("P-HA-10", "P-SAFE-4")
def test_a_core_that_never_stops_failing_ends_in_a_hold_and_not_in_a_crash_loop(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(6)
    for tenth in range(60, 200):
        if desk.base.actor("orders") is not None:
            desk.inject("orders", DrillFault(kind="raise", target="orders"))
        desk.run_until(tenth / 10)
    # In a cell the supervisor's end is the cell's, and the root's table decides; here it simply is gone.
    assert desk.base.actor("core") is None
    assert desk.base.actor("orders") is None
    assert desk.events("ESCALATION")
    assert desk.sent_between(19, 20) == []


@pytest.mark.req("P-ORD-1", "P-ORD-3", "P-HA-6", "P-HA-7")
def test_the_next_life_of_a_desk_cancels_what_the_last_one_left_and_knows_what_it_holds(virtual_desk, book_at):
    first = virtual_desk(20)
    died_s = 8.0
    left_open, held = [], {}
    while not (left_open and held) and died_s < 16:
        died_s += 0.25
        first.run_until(died_s)
        left_open = first.open_at_venues()
        held = {i: p.qty for i, p in first.base.actor("portfolio").core.positions().items()}
    assert (bool(left_open), bool(held)) == (True, True)
    names = {name for _, name in first.sent()}
    rows = len(first.rows())
    # The process dies: nobody is asked to leave. What was in flight is lost, the journal and the accounts are not.
    second = virtual_desk(20, journal=first.memory, start_s=died_s + 0.2)
    for instrument_id in second._wiring.instruments:
        second.snapshot(instrument_id, book_at(instrument_id, died_s + 0.2))
    assert second.base.actor("orders").core.epoch == 2
    second.run_until(died_s + 1.2)
    assert not set(left_open) & set(second.open_at_venues())
    released = {text.split(": ")[0]: at for at, text in second.events("RELEASED:RECON")}
    assert set(released) == {f"venue:{v}" for v in second.config.venues}
    assert second.rows()[:rows] == first.rows()[:rows]
    known = {i: e.position for i, e in second.base.actor("governor").core._exposures.items() if e.position}
    assert known == {i: p.qty for i, p in second.base.actor("portfolio").core.positions().items()}
    assert finished(second, 20) == []
    again = {name for _, name in second.sent()}
    assert again
    assert not again & names
    for venue in second.config.venues:
        early = [at for at, _ in second.sent(venue) if at <= released[f"venue:{venue}"]]
        assert early == []
