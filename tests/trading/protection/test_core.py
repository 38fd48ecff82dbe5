"""Exits one step at a time: rows before words, once, whatever is held and whoever restarts."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest

from trading.market.events import BookState
from trading.orders.journal_rows import ProtectEvent, decode_body
from trading.orders.messages import InternalCross, QuoteIntent, Side, Urgency
from trading.protection.effects import Stuck, Told
from trading.protection.leg import TRANSITIONS, ExitEvent, ExitStatus, InvalidExitTransition, ProtectedLeg
from trading.protection.policy import ExitPolicy, Watched

PERP, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCE:SPOT:BTC-USDT"
D = Decimal
S = ExitStatus


def events(bench):
    return [decode_body(r.body).event for r in bench.rows]


@pytest.mark.req("C-RISK-7")
def test_no_intent_passes_before_the_plan_of_its_exit_is_durable(bench):
    first = bench.wants(5)
    newer = bench.wants(8)
    assert (bench.said, bench.leg().status) == ([], S.PLANNING)
    bench.commit()
    assert bench.said == [newer]
    assert first not in bench.said
    assert events(bench) == [ProtectEvent.PLAN]
    bench.wants(9)
    assert len(bench.said) == 2, "one plan serves until it is outdated"
    assert bench.waiting == []


def test_an_intent_of_a_strategy_that_asked_for_nothing_passes(bench):
    assert bench.said == []
    intent = bench.wants(5, strategy="other")
    assert (bench.said, bench.waiting) == ([intent], [])


@pytest.mark.req("C-RISK-6")
def test_the_levels_follow_the_real_average_of_the_executions(bench):
    bench.enter("0.010", "50000")
    assert bench.leg().levels.stop_loss == D(49_000)
    bench.fill(Side.BUY, "0.030", "50400")
    assert bench.leg().levels.entry_px == D(50_300)
    assert bench.leg().levels.stop_loss == D("49294.0")
    before = bench.leg().levels
    bench.fill(Side.SELL, "0.020", "50500")
    assert bench.leg().levels is before, "taking away does not move what was paid"
    bench.commit()
    assert events(bench) == [ProtectEvent.PLAN, ProtectEvent.LEVELS, ProtectEvent.LEVELS]


@pytest.mark.req("C-RISK-7")
def test_the_exit_is_said_when_its_row_is_durable_and_only_one_is_ever_decided(bench):
    bench.enter()
    bench.mark("48000")
    bench.mark("47000")
    bench.mark("53000")
    assert (bench.exits(), bench.leg().status) == ([], S.TRIGGERING)
    bench.commit()
    (exit_,) = bench.exits()
    assert (exit_.target_lots, exit_.urgency, exit_.strategy_id) == (0, Urgency.AGGRESSIVE, "m1")
    assert "stop_loss: mark 48000 reached 49000" in exit_.reasons[0]
    bench.mark("46000")
    bench.commit()
    assert events(bench).count(ProtectEvent.TRIGGER) == 1


def test_an_exit_is_said_again_under_its_own_name_until_nothing_is_held(bench):
    bench.enter()
    bench.mark("48000")
    bench.commit()
    bench.later(1_000)
    bench.fill(Side.SELL, "0.004", "48000")
    bench.later(1_000)
    said = bench.exits()
    assert len(said) == 3
    assert {i.intent_id for i in said} == {"m1:exit:1"}
    bench.fill(Side.SELL, "0.006", "47990")
    assert bench.leg().status is S.COOLING
    bench.later(5_000)
    assert bench.exits() == []


def test_a_stopped_strategy_gets_its_last_wish_after_the_pause_if_it_is_still_fresh(bench):
    bench.enter()
    bench.mark("48000")
    bench.commit()
    bench.wants(10)
    bench.fill(Side.SELL, "0.010", "48000")
    fresh = bench.wants(12)
    bench.said.clear()
    bench.later(29_999)
    assert bench.said == []
    bench.later(1)
    assert bench.said == [fresh]
    assert bench.leg().blocked == 2

    bench.fill(Side.BUY, "0.012", "48000")
    bench.mark("40000")
    bench.commit()
    bench.wants(3, ttl_ms=1_000)
    bench.fill(Side.SELL, "0.012", "40000")
    bench.said.clear()
    bench.later(30_000)
    assert bench.said == [], "what it wanted is too old"


def test_a_late_fill_of_the_entry_during_the_pause_goes_the_same_way(bench):
    bench.enter()
    bench.mark("48000")
    bench.commit()
    bench.fill(Side.SELL, "0.010", "48000")
    bench.exits()
    bench.fill(Side.BUY, "0.002", "48000")
    assert bench.leg().status is S.EXITING
    assert len(bench.exits()) == 1
    bench.fill(Side.SELL, "0.002", "47990")
    assert bench.leg().status is S.COOLING


def test_the_quotes_of_a_strategy_are_pulled_before_its_position_is_closed(bench):
    quote = QuoteIntent("m1:q", "m1", PERP, 499_990, 5, 500_010, 5, 1.0, 60_000_000_000, (), "c", bench.now)
    bench.take(bench.core.on_intent(quote, bench.now))
    bench.commit()
    bench.fill(Side.BUY, "0.005", "50000")
    bench.mark("48000")
    bench.said.clear()
    bench.commit()
    pulled, exit_ = bench.exits()
    assert (type(pulled), pulled.bid_lots, pulled.ask_lots) == (QuoteIntent, 0, 0)
    assert exit_.target_lots == 0


def test_a_mark_that_went_mute_gives_way_to_the_price_at_which_it_could_be_closed(bench):
    bench.enter()
    bench.mark("50000")
    bench.top("48900", "49500")
    assert bench.leg().status is S.ARMED, "the mark is fresh and far from the level"
    bench.later(5_001)
    bench.top("48900", "49500", state=BookState.SUSPECT)
    assert bench.leg().status is S.ARMED, "a book that is not proved is no price"
    bench.top("48900", "49500")
    assert bench.leg().status is S.TRIGGERING
    assert "touch 48900" in bench.leg().why


def test_a_short_is_closed_at_the_price_it_would_have_to_pay(new_bench):
    bench = new_bench(ExitPolicy(watched=Watched.TOUCH))
    bench.enter(side=Side.SELL)
    assert bench.leg().levels.stop_loss == D(51_000)
    bench.top("50999.9", "50999.9")
    assert bench.leg().status is S.ARMED
    bench.top("50000", "51000")
    assert bench.leg().status is S.TRIGGERING


@pytest.mark.req("C-RISK-7")
def test_an_exit_that_is_not_done_in_five_minutes_is_told_once_and_stops_new_risk_there(bench):
    bench.enter()
    bench.mark("48000")
    bench.commit()
    bench.told.clear()
    bench.later(299_999)
    assert bench.told == []
    bench.later(1)
    bench.later(60_000)
    told, stuck = bench.told
    assert (told.code, told.level) == ("PROTECTIVE_EXIT_STUCK", "error")
    assert "0.010 still held; stop_loss" in told.text
    assert (stuck.instrument_id, stuck.on) == (PERP, True)
    bench.told.clear()
    bench.fill(Side.SELL, "0.010", "47000")
    done, released = bench.told
    assert isinstance(done, Told)
    assert done.code == "PROTECTIVE_EXIT_DONE"
    assert released == Stuck(instrument_id=PERP, on=False, text="closed")


def test_a_brake_stays_while_another_exit_on_the_instrument_is_stuck(bench):
    for strategy in ("m1", "m2"):
        bench.wants(10, strategy=strategy)
        bench.commit()
        bench.fill(Side.BUY, "0.010", "50000", strategy=strategy)
        bench.commit()
    bench.mark("48000")
    bench.commit()
    bench.later(300_000)
    bench.told.clear()
    bench.fill(Side.SELL, "0.010", "47000", strategy="m1")
    assert [t for t in bench.told if isinstance(t, Stuck)] == []
    bench.fill(Side.SELL, "0.010", "47000", strategy="m2")
    assert [t.on for t in bench.told if isinstance(t, Stuck)] == [False]


def test_what_a_fee_in_the_coin_leaves_behind_does_not_keep_an_exit_open(bench):
    bench.wants(1, instrument_id=SPOT)
    bench.commit()
    bench.fill(Side.BUY, "0.010", "50000", instrument_id=SPOT, fee="0.00001", fee_asset="BTC")
    leg = bench.leg(instrument_id=SPOT)
    assert (leg.status, leg.holding.qty) == (S.ARMED, D("0.00999"))
    assert leg.levels.entry_px == D(50_000)
    bench.commit()
    bench.top("48000", "48001", SPOT)
    bench.commit()
    bench.fill(Side.SELL, "0.009", "48000", instrument_id=SPOT)
    assert (leg.status, leg.holding.qty) == (S.COOLING, D("0.00099"))
    assert any("0.00099 is left, too little to sell" in t.text for t in bench.told)


def test_a_position_that_other_hands_closed_while_the_row_was_written_is_not_sold_again(bench):
    bench.enter()
    bench.mark("48000")
    bench.fill(Side.SELL, "0.010", "48000")
    bench.commit()
    assert bench.exits() == []
    assert bench.leg().status is S.COOLING


def test_an_internal_cross_moves_both_legs(bench):
    bench.enter()
    bench.wants(0, strategy="m2")
    bench.commit()
    cross = InternalCross(
        cross_id="x1",
        instrument_id=PERP,
        buyer_id="m2",
        seller_id="m1",
        qty=D("0.010"),
        price=D(50_100),
        cause="c",
        ts_init_ns=bench.now,
    )
    bench.take(bench.core.on_cross(cross, bench.now))
    assert (bench.leg("m1").status, bench.leg("m1").levels) == (S.READY, None)
    assert bench.leg("m2").levels.entry_px == D(50_100)


def test_a_plan_by_true_range_is_fixed_at_the_entry_and_renewed_for_the_next(new_bench):
    bench = new_bench(ExitPolicy(stop_loss_atr=D(2), take_profit_atr=D(2)))
    for _ in range(20):
        for price in (50_000, 50_100):
            bench.top(str(price), str(price + 0.2))
            bench.now += 30_000_000_000
    bench.wants(10)
    bench.commit()
    plan = bench.leg().plan
    assert plan.stop_loss_atr is not None
    assert abs(plan.stop_loss_atr - 200) < 5
    bench.fill(Side.BUY, "0.010", "50000")
    assert abs(bench.leg().levels.stop_loss - 49_800) < 5
    for _ in range(20):
        for price in (50_000, 50_300):
            bench.top(str(price), str(price + 0.2))
            bench.now += 30_000_000_000
    assert bench.leg().plan == plan, "what is held keeps its plan"


def test_the_error_tells_the_story_and_survives_pickling():
    leg = ProtectedLeg(strategy_id="m1", instrument_id=PERP)
    leg.apply(ExitEvent.PLANNED, 1)
    with pytest.raises(InvalidExitTransition) as caught:
        leg.apply(ExitEvent.REACHED, 2)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert "reached while planning" in str(again)
    assert "1 planned: unplanned -> planning" in str(again)


def test_only_a_held_and_planned_position_can_be_closed_and_only_through_a_row():
    assert [s for (s, e) in TRANSITIONS if e is ExitEvent.REACHED] == [S.ARMED]
    into_exit = {(s, e) for (s, e), after in TRANSITIONS.items() if after is S.EXITING and s is not S.EXITING}
    assert into_exit == {(S.TRIGGERING, ExitEvent.TRIGGER_DURABLE), (S.COOLING, ExitEvent.ENTERED)}
