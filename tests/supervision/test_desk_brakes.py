"""HOLD reaches the wire whatever way it comes, and what was held trades again only when it may."""

from __future__ import annotations

import pytest

from trading.brakes import Level
from trading.orders.journal_rows import PLACING, decode_body
from trading.risk.limits import OPERATOR

HALF_TRIP_S = 0.06


@pytest.mark.req("P-SAFE-4", "P-SAFE-14")
@pytest.mark.parametrize("way", ["command", "board"])
def test_after_a_hold_nothing_leaves_and_what_rests_is_canceled(virtual_desk, way):
    desk = virtual_desk(20)
    desk.run_until(9)
    assert desk.open_at_venues()
    if way == "command":
        answer = desk.command("hold", cause="news at two")
        assert (answer.done, "HOLD" in answer.text, "news at two" in answer.text) == (True, True, True)
    else:
        desk.board.set("global", Level.HOLD, "news at two", "alice", desk.at(9))
    desk.run_until(12)
    assert desk.sent_between(9, 12) == []
    assert desk.open_at_venues() == []
    assert desk.base.actor("orders").core.open_orders() == []
    (brake,) = [b for (_, scope), b in desk.brakes().items() if scope == "global"]
    assert (brake.level, brake.cause, brake.set_by) == (Level.HOLD, "news at two", "alice")
    if way == "command":
        answer = desk.command("resume")
        assert (answer.done, "released" in answer.text) == (True, True)
    else:
        desk.board.clear("global", "alice", None, desk.at(12))
    desk.run_until(20)
    assert len(desk.sent_between(12, 20)) >= 4
    assert not any(scope == "global" for _, scope in desk.brakes())
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-SAFE-3", "P-SAFE-4")
def test_a_hold_of_one_venue_cancels_there_and_leaves_the_others_alone(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)
    desk.command("hold", scope="venue:binanceusdm")
    desk.run_until(13)
    assert desk.sent_between(9, 13, "binanceusdm") == []
    assert desk.sim("binanceusdm").state_now(0, "test", 0).open_orders == ()
    assert len(desk.sent_between(9, 13, "binancecoinm")) >= 2


@pytest.mark.req("P-SAFE-4")
def test_a_hold_of_one_strategy_is_obeyed_at_the_wire(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)
    desk.command("hold", scope="strategy:maker-usdm")
    desk.run_until(16)
    placed = {r.cl_ord_id: decode_body(r.body).approved.order for r in desk.rows() if r.kind in PLACING}
    late = {leg.strategy_id for name in desk.sent_between(9, 16) for leg in placed[name].legs}
    assert late
    assert "maker-usdm" not in late


@pytest.mark.req("P-SAFE-4", "P-SAFE-14")
def test_a_kill_needs_a_second_person_and_says_so(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(8)
    assert desk.command("kill", cause="enough").done
    answer = desk.command("resume", actor="alice")
    assert (answer.done, "second person" in answer.text) == (False, True)
    again = desk.command("resume", actor="alice")
    assert (again.done, "second person" in again.text) == (False, True)
    desk.run_until(9)
    placed = {r.cl_ord_id: decode_body(r.body).approved.order for r in desk.rows() if r.kind in PLACING}
    assert {leg.strategy_id for name in desk.sent_between(8, 9) for leg in placed[name].legs} <= {OPERATOR}
    assert desk.command("resume", actor="bob").done
    desk.run_until(17)
    assert desk.sent_between(9, 17)


@pytest.mark.req("P-SAFE-4")
def test_cancel_all_cancels_and_does_not_hold(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)
    before = set(desk.open_at_venues())
    assert desk.command("cancel_all").done
    desk.run_until(9 + HALF_TRIP_S)
    assert before
    assert not before & set(desk.open_at_venues())
    desk.run_until(14)
    assert desk.sent_between(9, 14)


@pytest.mark.req("P-SAFE-14")
def test_every_change_of_a_brake_is_told_with_its_cause_and_who_did_it(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(6)
    desk.command("pause", cause="lunch", actor="carol")
    desk.command("hold", cause="news", actor="alice")
    desk.command("resume", actor="bob")
    told = [text for _, text in desk.events("")][-8:]
    assert any("lunch" in text for text in told)
    assert any("news" in text for text in told)
    assert any(text.startswith("carol: ") for text in told)
    assert any(text.startswith("alice: ") for text in told)
    assert any(text.startswith("bob: ") for text in told)


@pytest.mark.req("P-SAFE-4")
def test_a_desk_whose_governor_is_gone_loses_its_permit(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)
    # As after a hang: the governor is there, its renewals are not.
    desk.base.actor("governor").on_tick = lambda tag: None
    desk.run_until(9.6)
    desk.run_until(14)
    assert desk.sent_between(9.6, 14) == []
    reasons = desk.base.actor("governor").denied
    assert reasons.get("permit_expired", 0) >= 1
    # Cancels go on: what was replaced or pulled meanwhile is gone at the venue.
    assert desk.base.stats()["failures"] == 0
