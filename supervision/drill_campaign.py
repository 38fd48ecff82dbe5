"""The crash campaign: a real desk trades over the venues' wire, and its processes are killed again and again.

Owns who dies, when and how often, and the sums. The desk's cell and the venues' cells die by SIGKILL at random moments,
now and then two of them at once, and, by traps (`actors.crash_points`), at every named boundary of an order's life;
each time the desk must trade again by itself before the next blow. Every 50 kills the desk is stopped in order and all
that it did is compared with what the venues say of themselves (`drill_audit`); the next 50 begin with an empty
directory, because a journal of hours would be read again at every start. The venues themselves are not killed: they
stand for the outside, and are the truth.
"""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.crash_points import CRASH, Boundary
from actors.messages import DrillFault
from supervision.drill_audit import Audit, audit
from supervision.drill_desk import MS, DrillDesk, DrillFailed
from supervision.drill_flow import USUAL, Flow, flow_config, lanes_of
from supervision.root import alive

CAMPAIGN: Final = "crash-campaign"
KILLS_PER_DESK: Final = 50
ORDERS_PER_S: Final = 50
RANDOM: Final = "random"
DESK: Final = "desk"
_FLOW_NS: Final = 1_000 * MS
_START_S: Final = 40.0
_TRAP_S: Final = 10.0
_RECOVERY_S: Final = 100.0
"""What a venue allows in a minute may be used up by so many restarts: then a minute has to pass."""
_SLOW_S: Final = 10.0
_WAIT_MAX_S: Final = 2.0
"""So many kills a minute that what each restart asks a venue still fits into the venue's minute."""
_TOGETHER: Final = 0.25
"""How many of the random blows hit two cells at the same moment: their supervisor hears of both ends at once."""
_BASIS: Final = 0.1
"""A calm market: what holds the desk here should be the blows."""
_SELF_ENDED: Final = "drill: this process ends itself"
_TWICE: Final = frozenset({Boundary.BEFORE_CLEAN, Boundary.AFTER_CLEAN})
"""A reconciliation is made to happen by killing a venue's cell first: these take two kills."""

_VENUE_SIDE: Final = frozenset({Boundary.BEFORE_SEND})
_EITHER_SIDE: Final = frozenset({Boundary.AFTER_SEND})
_DESK_ACTOR: Final = {
    Boundary.BEFORE_COMMIT: "journal",
    Boundary.AFTER_COMMIT: "journal",
    Boundary.AFTER_CLEAN: "governor",
    Boundary.BEFORE_CHECKPOINT: "journal",
    Boundary.AFTER_CHECKPOINT: "journal",
}
"""Elsewhere in the desk it is the order core."""


class CampaignResult(msgspec.Struct, kw_only=True):
    """The sums over all desks. All that is counted under ``duplicates`` to ``ledger_residual`` must be 0.

    ``orders_per_s`` is what had left in the second before a blow, the median; ``recovery_ms`` is from the blow until
    everything lives, nothing is held and an order has left from what was killed. ``not_reached`` counts traps into
    which nothing walked: the process was then killed anyway, as at random. ``unplanned_restarts`` are processes that
    ended by themselves.
    """

    drill: str = CAMPAIGN
    kills: int = 0
    duplicates: int = 0
    lost_fills: int = 0
    invented_fills: int = 0
    unknown_unresolved: int = 0
    ledger_residual: str = "0"
    recovery_ms_p50: float = 0.0
    recovery_ms_p99: float = 0.0
    recovery_ms_max: float = 0.0
    orders_per_s: float = 0.0
    orders_per_s_min: float = 0.0
    kills_by_boundary: dict[str, int] = {}
    kills_by_cell: dict[str, int] = {}
    not_reached: int = 0
    unplanned_restarts: int = 0
    orphans: int = 0
    orders: int = 0
    fills: int = 0
    audits: int = 0
    seconds: float = 0.0
    passed: bool = False
    synthetic: bool = True
    detail: list[dict[str, Any]] = []


class _Sums:
    """What adds up over the desks."""

    def __init__(self) -> None:
        self.boundaries: Counter[str] = Counter()
        self.cells: Counter[str] = Counter()
        self.recovery_ms: list[float] = []
        self.flow: list[float] = []
        self.residual = Decimal(0)
        self.result = CampaignResult()

    @property
    def kills(self) -> int:
        """Blows so far."""
        return self.boundaries.total()

    def blow(self, boundary: str, cell: str) -> None:
        """One more process is dead."""
        self.boundaries[boundary] += 1
        self.cells[cell] += 1

    def audited(self, found: Audit, sent: list[tuple[int, str]]) -> None:
        """A desk is at its end."""
        r = self.result
        again = sum(n - 1 for n in Counter(cl_ord_id for _, cl_ord_id in sent).values() if n > 1)
        r.duplicates += found.duplicated_orders + again
        r.lost_fills += found.missing_fills
        r.invented_fills += found.invented_fills
        still_open = sum(venue["still_open"] for venue in found.detail.values())
        r.unknown_unresolved += found.open_orders + still_open
        self.residual += found.residual
        r.orders += len(sent)
        r.fills += found.fills
        r.audits += 1
        r.detail.append({**found.detail, "orders": len(sent), "kills_before": self.kills})

    def total(self, seconds: float, wanted: int) -> CampaignResult:
        """The result."""
        r = self.result
        r.kills = self.kills
        r.kills_by_boundary = dict(sorted(self.boundaries.items()))
        r.kills_by_cell = dict(sorted(self.cells.items()))
        r.ledger_residual = "0" if not self.residual else str(self.residual)
        r.recovery_ms_p50, r.recovery_ms_p99 = _rank(self.recovery_ms, 0.5), _rank(self.recovery_ms, 0.99)
        r.recovery_ms_max = _rank(self.recovery_ms, 1.0)
        r.orders_per_s, r.orders_per_s_min = _rank(self.flow, 0.5), min(self.flow, default=0.0)
        r.seconds = round(seconds, 1)
        zeros = (r.duplicates, r.lost_fills, r.invented_fills, r.unknown_unresolved, r.orphans, self.residual)
        r.passed = not any(zeros) and r.kills >= wanted and r.orders_per_s_min >= ORDERS_PER_S
        return r


def _rank(values: list[float], share: float) -> float:
    ordered = sorted(values) or [0.0]
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)


def _deck(dice: random.Random) -> Iterator[Boundary | None]:
    """For ever: every boundary once and as many random moments, shuffled anew each time."""
    while True:
        cards: list[Boundary | None] = [*Boundary, *(None for _ in Boundary)]
        dice.shuffle(cards)
        yield from cards


def run_campaign(
    kills: int,
    say: Callable[[str], None],
    *,
    seed: int = 1,
    kills_per_desk: int = KILLS_PER_DESK,
    venues: tuple[str, ...] = USUAL,
) -> CampaignResult:
    """Kill ``kills`` times or once more, where the last needs two. ``seed`` deals victims and moments.

    Raises:
        DrillFailed: when a desk does not come up, or does not come back.
        ValueError: for a number of kills that is none, and for venues that have no part in it.
    """
    if kills < 1:
        raise ValueError(f"--kills {kills}: must be at least 1")
    lanes_of(venues)
    campaign = _Campaign(kills, venues, say, seed)
    sums = campaign.sums
    began_ns = 0
    while sums.kills < kills:
        with tempfile.TemporaryDirectory(prefix="propdesk-campaign-") as directory:
            desk_seed = campaign.dice.randrange(1, 1_000_000)
            desk = DrillDesk(Path(directory), seed=desk_seed, more=flow_config(venues), basis=_BASIS)
            began_ns = began_ns or desk.clock.mono_ns()
            leg = _Leg(desk, campaign, min(kills, sums.kills + kills_per_desk))
            try:
                leg.run()
            finally:
                leg.close()
            ended_ns = desk.clock.mono_ns()
    return sums.total((ended_ns - began_ns) / 1e9, kills)


class _Campaign:
    """What goes on from desk to desk."""

    def __init__(self, kills: int, venues: tuple[str, ...], say: Callable[[str], None], seed: int) -> None:
        self.wanted = kills
        self.venues = venues
        self.say = say
        self.dice = random.Random(seed)
        self.deck = _deck(self.dice)
        self.sums = _Sums()


class _Leg:
    """One desk and its blows, until ``upto`` kills were counted."""

    def __init__(self, desk: DrillDesk, campaign: _Campaign, upto: int) -> None:
        self._desk = desk
        self._sums = campaign.sums
        self._dice = campaign.dice
        self._deck = campaign.deck
        self._say = campaign.say
        self._upto = upto
        self._wanted = campaign.wanted
        self._venues = venues = campaign.venues
        self._tails = {venue: _Tail(desk.paths.sent(venue)) for venue in venues}
        self._flow = Flow(desk, venues)
        self._ended_themselves = 0
        self._pause = threading.Event()

    def run(self) -> None:
        """Start, kill, stop, audit."""
        desk, sums = self._desk, self._sums
        desk.start()
        took_ms = desk.wait("trading", desk.trading, _START_S)
        self._say(f"a desk trades after {took_ms / 1e3:.1f} s; orders by wire to {', '.join(self._venues)}")
        self._flow.start()
        while sums.kills < self._upto:
            self._until_flowing()
            before = desk.pids()
            boundary = next(self._deck)
            cells, hit_ns, how = self._random(before) if boundary is None else self._at(boundary, before)
            took_ms = self._recovery(cells, before, hit_ns)
            sums.recovery_ms.append(took_ms)
            self._count_unplanned(before, set(cells))
            if self._wanted <= 2 * KILLS_PER_DESK or sums.kills % 10 == 0:
                rate = f"{sums.flow[-1]:.0f} orders/s before it"
                who = " and ".join(cells)
                self._say(f"{sums.kills} of {self._wanted}: {who} {how}, back after {took_ms:.0f} ms ({rate})")
        self._end()

    def close(self) -> None:
        """Whatever happened: nothing goes on."""
        self._flow.stop()
        desk = self._desk
        if desk.process is not None and desk.process.poll() is None:
            desk.stop()

    # --- Blows ---------------------------------------------------------------------------------------

    def _until_flowing(self) -> None:
        """Until 50 orders left within a second, and nothing is held."""
        desk = self._desk

        def flowing() -> bool:
            return self._sent_since(desk.clock.mono_ns() - _FLOW_NS) >= ORDERS_PER_S and desk.trading()

        desk.wait(f"{ORDERS_PER_S} orders a second", flowing, _RECOVERY_S)
        self._pause.wait(self._dice.uniform(0, _WAIT_MAX_S))
        desk.wait(f"{ORDERS_PER_S} orders a second", flowing, _RECOVERY_S)
        self._sums.flow.append(float(self._sent_since(desk.clock.mono_ns() - _FLOW_NS)))

    def _random(self, before: dict[str, int]) -> tuple[tuple[str, ...], int, str]:
        venues = [f"venue-{venue}" for venue in self._venues]
        cells: tuple[str, ...] = (self._dice.choice([DESK, DESK, *venues]),)
        if self._dice.random() < _TOGETHER:
            cells += (self._dice.choice([cell for cell in (DESK, *venues) if cell not in cells]),)
        hit_ns = min([self._kill(before[cell]) for cell in cells])
        for cell in cells:
            self._sums.blow(RANDOM, cell)
        return cells, hit_ns, "at random"

    def _at(self, boundary: Boundary, before: dict[str, int]) -> tuple[tuple[str, ...], int, str]:
        """Lay the trap and wait until the process has walked into it; else end it as at random."""
        cell, actor = self._place(boundary)
        self._desk.tell(cell, [(actor, DrillFault(kind=f"{CRASH}{boundary.value}", target=actor))])
        if boundary in _TWICE:
            first = f"venue-{self._dice.choice(self._venues)}"
            self._kill(before[first])
            self._sums.blow(RANDOM, first)
            before[first] = 0
        clock, pid = self._desk.clock, before[cell]
        deadline_ns = clock.mono_ns() + int(_TRAP_S * 1e9)
        while alive(pid) and clock.mono_ns() < deadline_ns:
            self._pause.wait(0.001)
        hit_ns = clock.mono_ns()
        if alive(pid):
            self._sums.result.not_reached += 1
            hit_ns = self._kill(pid)
            self._sums.blow(RANDOM, cell)
            return (cell,), hit_ns, f"at random ({boundary.value} did not come)"
        if not self._ended_itself():
            raise DrillFailed(f"{cell} (pid {pid}) ended, and not {boundary.value}; the desk said:\n{self._log()}")
        self._sums.blow(boundary.value, cell)
        return (cell,), hit_ns, boundary.value

    def _place(self, boundary: Boundary) -> tuple[str, str]:
        """The cell and the actor in which the trap is laid."""
        venue = self._dice.choice(self._venues)
        in_venue = boundary in _VENUE_SIDE or (boundary in _EITHER_SIDE and self._dice.random() < 0.5)
        if in_venue:
            return f"venue-{venue}", f"gateway.{venue}"
        return DESK, _DESK_ACTOR.get(boundary, "orders")

    def _kill(self, pid: int) -> int:
        hit_ns = self._desk.clock.mono_ns()
        os.kill(pid, signal.SIGKILL)
        return hit_ns

    def _recovery(self, cells: tuple[str, ...], before: dict[str, int], hit_ns: int) -> float:
        """Milliseconds from the blow until the cells are back, nothing is held, and an order has left through each."""
        desk, who = self._desk, " and ".join(cells)
        through = [self._venues if cell == DESK else (cell.removeprefix("venue-"),) for cell in cells]
        desk.wait(f"a new {who}", lambda: self._are_new(cells, before), _RECOVERY_S)
        there_ns = desk.clock.mono_ns()

        def trades() -> bool:
            return all(self._sent_since(there_ns, venues) for venues in through) and desk.trading()

        try:
            desk.wait(f"an order through the new {who}", trades, _SLOW_S)
        except DrillFailed:
            missing = sorted({*desk.config.placement} - desk.pids().keys())
            self._say(
                f"{who} is not back after {_SLOW_S:.0f} s: {desk.reasons()}; without a process: {missing}; "
                f"failures: {self._failures()}"
            )
            desk.wait(f"an order through the new {who}", trades, _RECOVERY_S - _SLOW_S)
        return (desk.clock.mono_ns() - hit_ns) / MS

    def _are_new(self, cells: tuple[str, ...], before: dict[str, int]) -> bool:
        now = self._desk.pids()
        return all(now.get(cell) not in {None, before[cell]} for cell in cells)

    def _count_unplanned(self, before: dict[str, int], killed: set[str]) -> None:
        now = self._desk.pids()
        gone = [cell for cell, pid in before.items() if pid and cell not in killed and now.get(cell) != pid]
        self._sums.result.unplanned_restarts += len(gone)
        if gone:
            self._say(f"{', '.join(gone)} began anew without having been killed")

    # --- Looking -------------------------------------------------------------------------------------

    def _sent_since(self, mono_ns: int, venues: tuple[str, ...] = ()) -> int:
        venues = venues or self._venues
        for venue in venues:
            self._tails[venue].read()
        return sum(self._tails[venue].since(mono_ns) for venue in venues)

    def _failures(self) -> list[str]:
        """The newest failures that the page knows of."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._desk.port}/api/ui/events", timeout=2) as answer:
                events = json.load(answer)["events"]
            return [str(event["text"]) for event in events if event["level"] == "error"][:5]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return [f"the page does not say: {error!r}"]

    def _log(self) -> str:
        self._desk.log.flush()
        return (self._desk.directory / "desk.log").read_text(errors="replace")[-1_500:]

    def _ended_itself(self) -> bool:
        count = (self._desk.directory / "desk.log").read_text(errors="replace").count(_SELF_ENDED)
        is_new = count > self._ended_themselves
        self._ended_themselves = count
        return is_new

    def _end(self) -> None:
        """Let it finish what it does, stop it in order, compare."""
        desk, sums = self._desk, self._sums
        desk.wait("trading at the end", desk.trading, _RECOVERY_S)
        self._flow.stop()
        pids = desk.pids()
        stop_s = desk.stop()
        sums.result.orphans += sum(1 for pid in pids.values() if alive(pid))
        found = audit(desk.paths, self._venues)
        sums.audited(found, desk.sent())
        r = sums.result
        self._say(
            f"audit after {sums.kills} kills (stopped in {stop_s:.1f} s): {r.orders} orders, {r.fills} fills, "
            f"{r.duplicates} duplicates, {r.lost_fills} lost and {r.invented_fills} invented fills, "
            f"{r.unknown_unresolved} unresolved, residual {sums.residual}"
        )


class _Tail:
    """A sent log as it grows: only what is new is read. The log of one desk is shorter than its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._stamps: list[int] = []

    def read(self) -> None:
        """Take the whole lines that were added."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        self._stamps += [int(line.split(b" ", 1)[0]) for line in data[:end].splitlines()]

    def since(self, mono_ns: int) -> int:
        """How many left after a moment; stamps ascend but for the order in which processes write."""
        count = 0
        for stamp in reversed(self._stamps):
            if stamp <= mono_ns:
                break
            count += 1
        return count
