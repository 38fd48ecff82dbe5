"""Drills: a real desk is started, trades, is hurt, and is measured from outside.

What is measured comes from evidence that the hurt parts do not write: the sent logs of the gateways, the permit and
heartbeat boards, the simulated venues' own accounts, and the journal read back after the desk was stopped.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.messages import DrillFault
from adapters.config_model import SIMVENUE
from supervision.drill_backlog import backlog_config, run_backlog
from supervision.drill_desk import HURT_VENUE, MS, DrillDesk, DrillResult, finish
from supervision.root import alive
from trading.brakes import Level

_TRIALS = 50
_IN_FLIGHT_NS = 50 * MS
_VENUE_BACK_MS = 15_000
"""The exchange's own start, and the waits between attempts to reach it."""


class _Blow(msgspec.Struct):
    """What a drill did and what must follow."""

    hit_ns: int
    victims: list[int]
    venue: str | None = None
    scope: str | None = None
    name: str | None = None


def _kill(desk: DrillDesk, name: str, number: int = signal.SIGKILL) -> _Blow:
    pid = desk.pids()[name]
    hit = desk.clock.mono_ns()
    os.kill(pid, number)
    return _Blow(hit_ns=hit, victims=[pid], name=name)


def _kill_tree(desk: DrillDesk, name: str) -> _Blow:
    pids = desk.pids()
    blow = _kill(desk, name)
    blow.victims = list(pids.values())
    return blow


def _fault(desk: DrillDesk, cell: str, target: str, kind: str) -> _Blow:
    hit = desk.clock.mono_ns()
    desk.tell(cell, [(target, DrillFault(kind=kind, target=target))])
    return _Blow(hit_ns=hit, victims=[])


def _blow(drill: str, desk: DrillDesk) -> _Blow:
    cell = f"venue-{HURT_VENUE}"
    match drill:
        case "kill-venue":
            blow = _kill(desk, cell)
            blow.venue, blow.scope = HURT_VENUE, f"venue:{HURT_VENUE}"
        case "hang-venue":
            blow = _kill(desk, cell, signal.SIGSTOP)
            blow.venue, blow.scope = HURT_VENUE, f"venue:{HURT_VENUE}"
        case "kill-desk":
            blow = _kill(desk, "desk")
            blow.scope = "global"
        case "kill-ops":
            blow = _kill(desk, "ops")
        case "kill-root":
            blow = _kill_tree(desk, "root")
            blow.scope = "global"
        case "kill-admin":
            blow = _kill_tree(desk, "admin")
            blow.scope = "global"
        case "poison-strategy":
            blow = _fault(desk, "desk", "strategy.maker-usdm", "raise")
            blow.scope = "strategy:maker-usdm"
        case "raise-after-effect":
            blow = _fault(desk, "desk", "orders", "raise_after_effect")
            blow.scope = f"venue:{HURT_VENUE}"
        case _:
            raise ValueError(f"no drill {drill!r}; drills: {', '.join(DRILLS)}")
    return blow


DRILLS = (
    "kill-venue",
    "kill-desk",
    "kill-ops",
    "hang-venue",
    "kill-root",
    "kill-admin",
    "poison-strategy",
    "raise-after-effect",
    "kill-simvenue",
    "backlog-hold",
)


def run_drill(
    drill: str, say: Callable[[str], None], *, trials: int = _TRIALS, orders: str = "simulated"
) -> DrillResult:
    """Start a desk, wait until it trades, hurt it, measure, stop it, audit what it left behind.

    ``orders``: by which way they go, as ``execution.orders``; `backlog-hold` measures the desk, and not a wire.
    """
    if drill not in DRILLS:
        raise ValueError(f"no drill {drill!r}; drills: {', '.join(DRILLS)}, crash-campaign")
    with tempfile.TemporaryDirectory(prefix="propdesk-drill-") as directory:
        backlog = drill == "backlog-hold"
        desk = DrillDesk(Path(directory), more=backlog_config() if backlog else f"execution: {{orders: {orders}}}\n")
        desk.start()
        try:
            say("waiting until it trades")
            desk.wait_trading()
            if backlog:
                return run_backlog(desk, say, trials)
            if drill == "kill-simvenue":
                return _without_venues(drill, desk, say)
            return _measured(drill, desk, say)
        finally:
            if desk.process is not None and desk.process.poll() is None:
                desk.stop()


def _measured(drill: str, desk: DrillDesk, say: Callable[[str], None]) -> DrillResult:
    before = len(desk.sent())
    old = desk.pids()
    say(f"{drill}: now, after {before} orders")
    blow = _blow(drill, desk)

    def detected() -> bool:
        modes = desk.modes()
        if blow.scope is not None:
            # A desk that comes back within the old permit's life never shows a global HOLD: its venues are held anew.
            held = {scope for scope, level in modes.items() if level >= Level.HOLD}
            return bool(held) if blow.scope == "global" else bool(held & {blow.scope, "global"})
        assert blow.name is not None
        return desk.pids().get(blow.name) not in {None, old[blow.name]}

    detected_ms = desk.wait("detection", detected, 5.0)
    say(f"detected after {detected_ms:.0f} ms")
    desk.wait("recovery", desk.trading, 20.0)
    reconciled_ns = desk.clock.mono_ns()
    desk.wait("an order after recovery", lambda: desk.sent_after(blow.hit_ns, HURT_VENUE) > 0, 20.0)
    if blow.scope is not None and blow.scope != "strategy:maker-usdm":
        desk.wait("an order after reconciliation", lambda: desk.sent_after(reconciled_ns, blow.venue) > 0, 20.0)
    recovered_ms = (reconciled_ns - blow.hit_ns) / MS
    say(f"trading again after {recovered_ms:.0f} ms")
    left = 2.0 - (desk.clock.mono_ns() - blow.hit_ns) / 1e9
    if left > 0:
        threading.Event().wait(left)
    orphans = sum(1 for pid in blow.victims if alive(pid))
    detail = {"orders_before": before}
    return finish(drill, desk, detail, detected_ms=detected_ms, recovered_ms=recovered_ms, orphans=orphans)


def _without_venues(drill: str, desk: DrillDesk, say: Callable[[str], None]) -> DrillResult:
    """The process that all market data comes from is killed: not a part of the desk, but what it stands on."""
    before = len(desk.sent())
    old = desk.pids()[SIMVENUE]
    say(f"{drill}: now, after {before} orders")
    blow = _kill(desk, SIMVENUE)
    detected_ms = desk.wait("unproved books", lambda: bool(desk.book_states() & {"suspect", "resync"}), 5.0)
    say(f"books unproved after {detected_ms:.0f} ms")
    desk.wait("an exchange", lambda: desk.pids().get(SIMVENUE) not in {None, old}, 20.0)
    there_ns = desk.clock.mono_ns()
    blind = sum(1 for stamp, _ in desk.sent() if blow.hit_ns + _IN_FLIGHT_NS < stamp < there_ns)
    desk.wait("recovery", lambda: desk.trading() and desk.book_states() == {"synced"}, 40.0)
    back_ns = desk.clock.mono_ns()
    for venue in desk.config.venues:
        desk.wait(f"an order on {venue} after recovery", lambda venue=venue: desk.sent_after(there_ns, venue) > 0, 60.0)  # type: ignore[misc]
    recovered_ms = (back_ns - blow.hit_ns) / MS
    say(f"trading again after {recovered_ms:.0f} ms, {blind} orders while there was no exchange")
    result = finish(
        drill,
        desk,
        {"orders_before": before, "orders_without_exchange": blind},
        detected_ms=detected_ms,
        recovered_ms=recovered_ms,
        recovered_ms_max=_VENUE_BACK_MS,
        orphans=int(alive(old)),
    )
    result.passed = result.passed and blind == 0
    return result
