"""What operators see of a governor: its pools, pauses and counts, in words and numbers of the Rate-Limit Monitor.

Owns the counts of this process and the views; changes nothing that decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from trading.limits.messages import Answer, FreezeView, Go, PoolView, Priority, PriorityView, Refusal, Refused, Wait
from trading.limits.pauses import Pause
from trading.limits.spec import MS_NS, Budget
from trading.limits.window import Pool


class Tally:
    """How often what was answered, by priority, and how often the venue said "too much"."""

    def __init__(self) -> None:
        self._gone = dict.fromkeys(Priority, 0)
        self._waited = dict.fromkeys(Priority, 0)
        self._refused: dict[Priority, dict[Refusal, int]] = {priority: {} for priority in Priority}
        self._statuses: dict[int, int] = {}

    def answered(self, priority: Priority, answer: Answer) -> None:
        """One answer of ours."""
        match answer:
            case Go():
                self._gone[priority] += 1
            case Wait():
                self._waited[priority] += 1
            case Refused():
                refused = self._refused[priority]
                refused[answer.reason] = refused.get(answer.reason, 0) + 1

    def told(self, status: int) -> None:
        """One answer of the venue that means a pause."""
        self._statuses[status] = self._statuses.get(status, 0) + 1

    def views(self) -> tuple[PriorityView, ...]:
        """By priority, the first that goes first."""
        return tuple(
            PriorityView(
                priority=priority.name.lower(),
                gone=self._gone[priority],
                waited=self._waited[priority],
                refused={reason.value: count for reason, count in self._refused[priority].items()},
            )
            for priority in Priority
        )

    def statuses(self) -> dict[str, int]:
        """By status."""
        return {str(status): count for status, count in sorted(self._statuses.items())}


def pool_view(name: str, budget: Budget, pool: Pool, terms: tuple[int, int, int], now_ns: int) -> PoolView:
    """One pool, advanced to ``now_ns``; ``terms`` are its limit, what is usable of it, and its patience in ns."""
    limit, usable, patience_ns = terms
    return PoolView(
        pool=name,
        scope=budget.scope.value,
        unit=budget.unit.value,
        limit=limit,
        usable=usable,
        used=pool.used,
        venue_used=pool.venue_used(now_ns),
        others=max(0, pool.others),
        window_ms=budget.window_ns // MS_NS,
        waiting_long=tuple(priority.name.lower() for priority, _ in pool.claims(patience_ns, now_ns)),
    )


def freeze_views(pauses: Mapping[str, Pause], now_ns: int) -> tuple[FreezeView, ...]:
    """The pauses that last."""
    return tuple(
        FreezeView(scope=name, kind=pause.kind.value, left_ms=(pause.until_ns - now_ns) / MS_NS, strikes=pause.strikes)
        for name, pause in sorted(pauses.items())
        if pause.until_ns > now_ns
    )
