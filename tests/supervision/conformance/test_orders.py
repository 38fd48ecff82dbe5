"""A few faults of orders against whole desks: the quick part of the matrix, and that its oracle can see."""

from __future__ import annotations

import asyncio
import json

import pytest

from supervision.cli import main
from supervision.conformance import order_guards as guards
from supervision.conformance import order_lists, order_matrix
from supervision.conformance import order_state_guards as memory
from supervision.conformance.errands import Errand
from supervision.conformance.markets import VENUES
from supervision.conformance.order_matrix import CASES, by_id, errands, report, run_errand

QUICK = (
    ("ORD-A-04", "binanceusdm"),
    ("ORD-A-05", "okx"),
    ("ORD-A-16", "binanceusdm"),
    ("ORD-B-09", "binance"),
    ("ORD-B-12", "binancecoinm"),
    ("ORD-C-04", "bybit"),
    ("ORD-F-08", "okx"),
)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """What must never be fails at once; a bound that was not kept, or a sign that never came, is tried again."""
    monkeypatch.setattr(order_matrix, "REPEATS_MAX", 12)
    monkeypatch.setattr(order_matrix, "_STALL_MS", 0)


def told(outcome):
    return outcome.case, outcome.venue, outcome.reason


@pytest.mark.req("P-ORD-1", "P-ORD-2", "P-ORD-4", "P-ORD-13", "P-VEN-2", "P-VEN-3")
async def test_each_venues_account_and_the_desk_tell_the_same_story_after_a_fault():
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in QUICK))
    assert [told(outcome) for outcome in found] == [(*one, "") for one in QUICK]
    assert sum(outcome.orders for outcome in found) >= len(QUICK)
    assert [outcome.sign for outcome in found[:2]] == ["order:unknown", "order:unknown"]
    assert report(found, [], 1.0).passed


@pytest.mark.req("P-ORD-11", "P-ORD-2", "P-VEN-2", "P-VEN-3")
async def test_an_order_that_is_amended_in_place_stays_one_order_whatever_is_executed_and_whatever_is_lost():
    cases = (("ORD-M-02", "bybit"), ("ORD-M-03", "okx"), ("ORD-M-08", "binanceusdm"))
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in cases))
    assert [told(outcome) for outcome in found] == [(*one, "") for one in cases]
    assert found[0].fills >= 2


@pytest.mark.req("P-VEN-13", "P-ORD-12", "P-ORD-13", "P-VEN-2")
async def test_what_the_websocket_left_unanswered_is_asked_about_and_orders_go_by_rest_meanwhile():
    cases = (("ORD-W-03", "binanceusdm"), ("ORD-W-07", "bybit"))
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in cases))
    assert [told(outcome) for outcome in found] == [(*one, "") for one in cases]
    assert [outcome.sign for outcome in found] == ["order:unknown", "ORDER_ENTRY"]
    again = await run_errand(Errand("ORD-W-03", "binanceusdm", guards.SAID_AGAIN.name))
    assert again.green, again.reason


@pytest.mark.req("P-ORD-10", "P-VEN-2", "P-VEN-3")
async def test_of_two_orders_that_close_a_position_one_cancels_the_other_through_crash_loss_and_race():
    cases = (("ORD-O-03", "bybit"), ("ORD-O-05", "okx"), ("ORD-O-07", "binanceusdm"))
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in cases))
    assert [told(outcome) for outcome in found] == [(*one, "") for one in cases]
    again = await run_errand(Errand("ORD-O-01", "binancecoinm", order_lists.NOBODY_CANCELS.name))
    assert again.green, again.reason


@pytest.mark.req("P-ORD-2", "P-VEN-2")
async def test_a_case_turns_red_without_the_guard_that_it_is_about():
    todo = (
        ("ORD-A-02", "okx", guards.NEW_ID),
        ("ORD-A-11", "binanceusdm", guards.DUPLICATE_IS_NO),
    )
    found = await asyncio.gather(*(run_errand(Errand(case, venue, mutant.name)) for case, venue, mutant in todo))
    assert [(outcome.case, outcome.green) for outcome in found] == [(case, True) for case, _, _ in todo]
    reasons = [outcome.reason for outcome in found]
    assert "not in the journal" in reasons[0]
    assert "rejected" in reasons[1] or "never came to be" in reasons[1]
    assert not report(found, [], 1.0).cases - len(todo)


@pytest.mark.req("P-VEN-4")
async def test_refused_cancels_storm_the_venue_without_their_pace():
    for _ in range(6):  # on a busy machine not many fit into the storm
        outcome = await run_errand(Errand("ORD-A-16", "binanceusdm", guards.CANCEL_STORM.name))
        if outcome.green and "was canceled" in outcome.reason:
            return
    pytest.fail(f"never a storm: {outcome.reason}")


@pytest.mark.req("P-ORD-1", "P-ORD-3", "P-ORD-4", "P-ORD-14", "P-PNL-7", "P-VEN-3")
async def test_what_a_desk_remembers_survives_its_disk_its_restart_and_what_it_is_told_twice():
    cases = (("ORD-H-02", "bybit"), ("ORD-H-04", "okx"), ("ORD-H-05", "binance"))
    cases += (("ORD-H-06", "binanceusdm"), ("ORD-H-10", "binancecoinm"))
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in cases))
    assert [told(outcome) for outcome in found] == [(*one, "") for one in cases]
    assert [outcome.sign for outcome in found[::2]] == ["BRAKE:JOURNAL_FAILED", "BRAKE:operator", "FUNDING"]


@pytest.mark.req("P-ORD-1", "P-ORD-3")
async def test_an_order_ahead_of_its_row_and_a_forgotten_word_are_seen():
    todo = (("ORD-H-02", "okx", memory.NOT_DURABLE), ("ORD-H-05", "bybit", memory.WORD_FORGOTTEN))
    found = await asyncio.gather(*(run_errand(Errand(case, venue, mutant.name)) for case, venue, mutant in todo))
    assert all(outcome.green for outcome in found)
    assert "not in the journal" in found[0].reason
    assert "HOLD by operator did not happen" in found[1].reason


def test_every_case_has_a_name_of_its_own_and_says_what_it_is_about():
    assert len({case.id for case in CASES}) == len(CASES) >= 30
    for case in CASES:
        assert all((case.title, case.expects, case.faults, case.spec)), case.id
        assert set(case.venues) <= set(VENUES), case.id
        assert case.strike.act or list(case.strike.faults(case.venues[0])), case.id


def test_every_incident_of_submits_fills_restarts_and_limits_that_a_venue_can_cause_has_a_case():
    wanted = {"F01", "F02", "F04", "F06", "F09", "F11", "F12", "F16", "F17", "F19", "F21", "F22", "F24", "F26", "F27"}
    wanted |= {"F32", "F34", "F37", "F39", "F42", "F44", "F46", "F47", "F49", "F66", "F69", "F72", "F74", "F76", "F79"}
    wanted |= {"F29", "F36", "F41", "F81", "F86", "F87", "F89"}
    assert wanted <= {fault for case in CASES for fault in case.faults}


def test_guards_are_taken_out_wherever_their_case_is_tried():
    case = by_id("ORD-A-02")
    todo = errands((), ("ORD-A-02",), mutate=True)
    assert len(case.venues) == 5
    assert {(one.venue, one.mutant) for one in todo} == {(v, m.name) for v in case.venues for m in case.mutants}
    spared = errands((), ("ORD-W-03",), mutate=True)
    assert {one.venue for one in spared} == {"binance", "binanceusdm", "binancecoinm"}


@pytest.mark.parametrize(
    "unknown", [["--venue", "mtgox"], ["--case", "ORD-X-99"], ["--case", "ORD-G-03", "--venue", "okx"]]
)
def test_what_is_not_there_could_not_run(capsys, unknown):
    assert main(["conformance", "orders", *unknown]) == 2
    assert "propdesk conformance: no" in capsys.readouterr().err


def test_the_command_prints_one_object_that_says_its_market_is_synthetic(capsys):
    assert main(["conformance", "orders", "--venue", "okx", "--case", "ORD-T-01", "--jobs", "1", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["synthetic"] is True
    assert out["passed"] is True
    assert (out["command"], out["cases"], out["red"]) == ("conformance orders", 1, 0)
    (result,) = out["results"]
    assert (result["case"], result["venue"], result["green"], result["sign"]) == (
        "ORD-T-01",
        "okx",
        True,
        "order:canceled",
    )
