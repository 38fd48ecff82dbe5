"""Reconciliation and invariants for operators: GETs made of what the desk published.

Owns these endpoints and the shapes of their answers. Decides nothing and asks nobody; bodies come from `actors.recon`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from api.openapi import Endpoint
from api.projection import Projection
from api.schemas import Answer, Body
from trading.operators import Topic


class ReconStatusAnswer(Answer):
    """How every venue stands; ``known`` False: the desk has not told it yet. Times are UTC nanoseconds."""

    known: bool
    venues: dict[str, Body]
    open: int
    totals: dict[str, int]
    repairs: dict[str, int]
    held: dict[str, str]
    interval_s: float
    lookback_h: float
    age_ms: int
    ts_ns: int


class ReconDiffsAnswer(Answer):
    """Differences that are open, accepted as dust, and closed (newest first)."""

    known: bool
    open: list[Body]
    dust: list[Body]
    closed: list[Body]
    age_ms: int
    ts_ns: int


class ReconDailyAnswer(Answer):
    """The newest statements, newest first, and the last one whole; null before the first midnight."""

    known: bool
    statements: list[Body]
    last: Body | None
    age_ms: int
    ts_ns: int


class InvariantsAnswer(Answer):
    """What must be true of the books, whether it is, and what was violated and healed."""

    known: bool
    checks: int
    violations_total: int
    healed_total: int
    invariants: dict[str, Body]
    standing: list[Body]
    history: list[Body]
    age_ms: int
    ts_ns: int


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/ui/recon/status", "recon_status", "Accounts against the venues'", ReconStatusAnswer),
    Endpoint("GET", "/api/ui/recon/diffs", "recon_diffs", "Differences, open and closed", ReconDiffsAnswer),
    Endpoint("GET", "/api/ui/recon/daily", "recon_daily", "Statements of days", ReconDailyAnswer),
    Endpoint("GET", "/api/ui/ops/invariants", "invariants", "Invariants of the books", InvariantsAnswer),
)

_EMPTY: Final[dict[str, dict[str, object]]] = {
    "status": {
        "venues": {}, "open": 0, "totals": {}, "repairs": {}, "held": {}, "interval_s": 0.0, "lookback_h": 0.0
    },
    "diffs": {"open": [], "dust": [], "closed": []},
    "daily": {"statements": [], "last": None},
    "invariants": {
        "checks": 0, "violations_total": 0, "healed_total": 0, "invariants": {}, "standing": [], "history": []
    },
}  # fmt: skip


class Recon:
    """The handlers, one for each row of ENDPOINTS; ``answer`` makes a JSON answer."""

    def __init__(self, projection: Projection, answer: Callable[[object], web.Response]) -> None:
        self._projection = projection
        self._answer = answer

    def handler(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The function of one row."""
        key = name.removeprefix("recon_")

        async def serve(_: web.Request) -> web.Response:
            return self._answer(self.body(key))

        return serve

    def body(self, key: str) -> dict[str, object]:
        """The newest fact of a kind; where the desk told none, an empty one that says so."""
        entry = self._projection.get(Topic.RECON, key)
        told: dict[str, object] = {} if entry is None else entry.body
        return {
            **_EMPTY[key],
            **told,
            "known": entry is not None,
            "age_ms": 0 if entry is None else self._projection.age_ms(entry),
            "ts_ns": self._projection.clock.wall_ns(),
        }
