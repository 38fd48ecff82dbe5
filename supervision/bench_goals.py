"""What each bench is held against: the goals, in one shape beside what was measured.

Owns the goals and the verdict on them. A number that was not taken (no peers, no recordings) is not a missed goal.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """``at`` is the number's place in the bench's result, its keys joined by dots; a list counts by its length."""

    at: str
    at_least: float | None = None
    at_most: float | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One goal beside its number; ``met`` None says that it was not measured."""

    name: str
    goal: str
    measured: float | None
    met: bool | None

    def __str__(self) -> str:
        """One line for a person."""
        if self.met is None:
            return f"{self.name}: {self.goal}: not measured"
        return f"{self.name}: {self.measured:g}, {self.goal}: {'met' if self.met else 'MISSED'}"


GOALS: Final[dict[str, tuple[Goal, ...]]] = {
    "actors": (Goal(at="loop_vs_multiproc", at_least=200), Goal(at="loop_vs_pykka_tell", at_least=2)),
    "wire-to-top": (
        Goal(at="total.nautilus.propdesk_is_faster_x", at_least=8),
        Goal(at="total.ccxt_pro.propdesk_is_faster_x", at_least=2.5),
        *(
            Goal(at=f"markets.{venue}.{peer}.propdesk_is_faster_x", at_least=ratio)
            for venue in ("okx", "bybit")
            for peer, ratio in (("nautilus", 8), ("ccxt_pro", 2.5))
        ),
        # Nobody is fast by being wrong.
        Goal(at="tops_that_differ", at_most=0),
    ),
    "journal": tuple(Goal(at=f"groups.{size}.ratio", at_least=0.7) for size in (1, 10, 100)),
    "tick-to-order": (
        Goal(at="ratio_p50", at_most=2),
        Goal(at="ratio_p99", at_most=4),
        Goal(at="without_commit_vs_nautilus_p50", at_most=1),
    ),
    "replay": (
        Goal(at="recording.times_real_time", at_least=20),
        Goal(at="quotes_vs_cython", at_least=1),
        Goal(at="depth_vs_cython", at_least=2),
    ),
    "rate-storm": (
        Goal(at="offered_x", at_least=10),
        Goal(at="bans", at_most=0),
        Goal(at="cancel_delay_ms.p99", at_most=250),
        # Nobody is safe by being mute.
        Goal(at="allowance_used", at_least=0.5),
    ),
    "memory": (Goal(at="total_mb_max", at_most=400),),
}


def judge(bench: str, result: dict[str, Any]) -> list[Outcome]:
    """Every goal of ``bench`` beside its number in ``result``."""
    return [_outcome(goal, _number(result, goal.at)) for goal in GOALS[bench]]


def missed(outcomes: list[Outcome]) -> bool:
    """Whether a goal that was measured is not met."""
    return any(outcome.met is False for outcome in outcomes)


def _outcome(goal: Goal, measured: float | None) -> Outcome:
    words = f"at least {goal.at_least:g}" if goal.at_least is not None else f"at most {goal.at_most:g}"
    met = None
    if measured is not None:
        low, high = goal.at_least, goal.at_most
        met = (low is None or measured >= low) and (high is None or measured <= high)
    return Outcome(name=goal.at, goal=words, measured=measured, met=met)


def _number(result: dict[str, Any], at: str) -> float | None:
    found: Any = result
    for key in at.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, list):
        return float(len(found))
    return None if found is None else float(found)
