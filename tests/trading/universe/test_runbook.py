"""The runbook's tables are those of the code."""

from __future__ import annotations

from pathlib import Path

from trading.universe.core import NOT_ALLOWED
from trading.universe.health import HealthLimits
from trading.universe.registry import MEANINGS
from trading.universe.workflow import STEPS

RUNBOOK = (Path(__file__).resolve().parents[3] / "runbooks" / "universe.md").read_text("utf-8")


def rows(head):
    lines = RUNBOOK[RUNBOOK.index(head) :].splitlines()[2:]
    taken = []
    for line in lines:
        if not line.startswith("|"):
            break
        taken.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return taken


def test_the_steps_are_those_of_the_workflow():
    assert rows("| status | step |") == [
        (before.value, step.value, after.value) for (before, step), after in STEPS.items()
    ]


def test_the_conditions_are_those_of_the_registry():
    assert rows("| condition | brake |") == [
        (condition.value, meaning.level.name, "yes" if meaning.routable else "no")
        for condition, meaning in MEANINGS.items()
    ]


def test_codes_and_marks_are_those_of_the_code():
    limits = HealthLimits()
    assert NOT_ALLOWED in RUNBOOK
    assert f"Below {limits.degraded_below:.0f} a venue is degraded, below {limits.quarantine_below:.0f}" in RUNBOOK
    assert f"above {limits.healthy_above:.0f}" in RUNBOOK
