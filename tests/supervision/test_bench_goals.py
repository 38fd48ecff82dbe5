"""The benches' goals: one shape, and an exit code that says whether they are met."""

from __future__ import annotations

import json

import pytest

from supervision.bench_goals import GOALS, judge, missed
from supervision.cli import main
from supervision.commands.bench import NAMES, verdict

TICK = {"ratio_p50": 1.5, "ratio_p99": 4.0}

STREAMS = {
    "okx": {"nautilus": "not measured: why", "ccxt_pro": {"propdesk_is_faster_x": 2.49}},
    "bybit": {"nautilus": "not measured: why", "ccxt_pro": {"propdesk_is_faster_x": 2.5}},
}


def test_every_bench_has_goals():
    assert set(GOALS) == set(NAMES)


@pytest.mark.parametrize(
    ("bench", "result", "met"),
    [
        ("tick-to-order", TICK, [True, True, None]),
        ("tick-to-order", {**TICK, "ratio_p50": 2.01}, [False, True, None]),
        ("tick-to-order", {**TICK, "without_commit_vs_nautilus_p50": 1.01}, [True, True, False]),
        ("replay", {"recording": {"times_real_time": 19.9}, "quotes_vs_cython": 1.0}, [False, True, None]),
        ("journal", {"groups": {"1": {"ratio": 0.7}, "10": {"ratio": 0.69}}}, [True, False, None]),
        ("actors", {"loop_vs_multiproc": 200.0, "loop_vs_pykka_tell": None}, [True, None]),
        ("wire-to-top", {"total": {"propdesk": {}}, "tops_that_differ": []}, [*[None] * 6, True]),
        ("wire-to-top", {"total": {}, "tops_that_differ": ["spot/nautilus"]}, [*[None] * 6, False]),
        ("wire-to-top", {"markets": STREAMS}, [None, None, None, False, None, True, None]),
        ("memory", {"total_mb_max": 400.1}, [False]),
    ],
)
def test_a_number_meets_its_goal_misses_it_or_was_not_taken(bench, result, met):
    outcomes = judge(bench, result)
    assert [outcome.met for outcome in outcomes] == met
    assert missed(outcomes) is (False in met)
    words = {True: ": met", False: "MISSED", None: "not measured"}
    assert all(str(outcome).endswith(words[outcome.met]) for outcome in outcomes)


def test_one_missed_goal_of_one_bench_makes_the_answer_no():
    good = {**TICK, "goals": judge("tick-to-order", TICK)}
    slow = {"total_mb_max": 500, "goals": judge("memory", {"total_mb_max": 500})}
    unknown = {"goals": judge("memory", {})}
    assert verdict({"tick-to-order": good, "memory": unknown}) == 0
    assert verdict({"tick-to-order": good, "memory": slow}) == 1


def test_the_command_gives_goals_beside_numbers_and_answers_by_them(tmp_path, capsys):
    code = main(["bench", "journal", "--quick", "--json", "--disk", str(tmp_path)])
    found = json.loads(capsys.readouterr().out)
    assert [(g["name"], g["goal"]) for g in found["goals"]] == [
        (f"groups.{size}.ratio", "at least 0.7") for size in (1, 10, 100)
    ]
    for goal, size in zip(found["goals"], (1, 10, 100), strict=True):
        assert goal["measured"] == found["groups"][str(size)]["ratio"]
        assert goal["met"] is (goal["measured"] >= 0.7)
    assert code == (0 if all(goal["met"] for goal in found["goals"]) else 1)
