"""The root of the outer tree: starts the cells, hears their heartbeats, kills what hangs, restarts what dies.

Single-threaded, because its children are forked from it. When the root, the admin or the process that started them
is gone there is no supervision, and without supervision there is no trading: cells fence themselves.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from datetime import timedelta
from typing import Any

import msgspec
from thespian.actors import Actor, ActorAddress, ActorExitRequest, ChildActorExited, WakeupMessage

from adapters.board_file import BoardBusyError, BoardDamagedError
from adapters.clock import SystemClock
from adapters.heartbeat_board import HeartbeatBoard
from adapters.permit_board import OperatorBoard, PermitWriter
from supervision.liveness import CellWatch, Exited, HangWatch, Overdue, Patience
from supervision.plan import RootPlan, cell_plan, encode_cell_plan
from supervision.policy import (
    Beyond,
    ChildSpec,
    Escalate,
    HoldScope,
    StartChild,
    StopChild,
    Strategy,
    SupervisorCore,
    SupervisorEffect,
    SupervisorSpec,
)
from trading.brakes import GLOBAL, Level

_TICK_NS = 50_000_000
_TICK = timedelta(microseconds=_TICK_NS // 1_000)
_DRAIN_LIMIT_NS = 6_000_000_000
EXIT_UNSUPERVISED = 72


CELL = "supervision.cell_actor.Cell"
"""By name: the first cell imports the desk into the root, and every later one is forked with it already there."""


class StartCell(msgspec.Struct, frozen=True):
    """Root to cell: become this cell."""

    plan: bytes


class DrainCell(msgspec.Struct, frozen=True):
    """Root to cell: close intake, cancel, say `CellDrained`."""


class CellDrained(msgspec.Struct, frozen=True):
    """Cell to root."""

    cell: str
    open_orders: int


class StartRoot(msgspec.Struct, frozen=True):
    """The process that started the tree to the root: these are the cells."""

    plan: bytes


class DrainRoot(msgspec.Struct, frozen=True):
    """Stop in order: intake, orders, venues, desk, ops, self."""


class Root(Actor):
    """Supervises processes by the same table and policy that supervisors inside cells use."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = SystemClock()
        self._plan: RootPlan | None = None
        self._board: HeartbeatBoard | None = None
        self._addresses: dict[str, ActorAddress] = {}
        self._due: dict[str, int] = {}
        self._killed: dict[str, str] = {}
        self._held: set[str] = set()
        self._draining_until: int | None = None
        self._leaving = False

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """Nothing in here may raise: Thespian would run it again."""
        try:
            match msg:
                case StartRoot():
                    self._start(msg)
                case WakeupMessage():
                    self._tick()
                case ChildActorExited():
                    self._exited(msg.childAddress)
                case CellDrained():
                    self._leave()
                case DrainRoot():
                    self._drain()
                case ActorExitRequest():
                    pass
                case _:
                    self._say(f"unknown message {msg!r}")
        except Exception as error:  # noqa: BLE001 - a root that cannot supervise must not pretend to
            self._abandon(f"{type(error).__name__}: {error}")

    def _start(self, msg: StartRoot) -> None:
        self._plan = plan = msgspec.msgpack.decode(msg.plan, type=RootPlan)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Before the first heartbeat: this takes a second on a busy machine, and every cell is forked with it done.
        importlib.import_module(CELL.rpartition(".")[0])
        board = HeartbeatBoard(plan.paths.heartbeat)
        self._board = board
        self._slot = board.claim("root", os.getpid())
        self._slot.beat(self._clock.mono_ns())
        self._admin_pid = os.getppid()
        self._admin_slot = board.claim("admin", self._admin_pid)
        self._admin_slot.beat(self._clock.mono_ns())
        spec = SupervisorSpec(
            id="root",
            strategy=Strategy.ONE_FOR_ONE,
            children=tuple(ChildSpec(id=cell, scope="global") for cell in plan.placement),
            intensity=plan.intensity,
            period_ms=plan.period_ms,
            backoff_ms_min=plan.backoff_ms_min,
            backoff_ms_max=plan.backoff_ms_max,
            beyond=Beyond.HOLD_CHILD,
        )
        self._core = SupervisorCore(spec)
        self._patience = Patience(_TICK_NS)
        hangs = HangWatch(plan.hang_ms * 1_000_000, self._patience)
        self._watch = CellWatch(hangs, self._patience, boot_ms=plan.boot_ms)
        self._perform(self._core.start())
        self.wakeupAfter(_TICK, "tick")

    def _tick(self) -> None:
        assert self._plan is not None
        now = self._clock.mono_ns()
        self._slot.beat(now)
        self._patience.woke(now)
        self.wakeupAfter(_TICK, "tick")
        if not alive(self._admin_pid):
            self._abandon("the admin process is gone")
        # Thespian's admin knows no board: the root, its child, vouches that it is there.
        self._admin_slot.beat(now)
        if not alive(self._plan.starter_pid):
            self._abandon("the process that started the desk is gone")
        for cell, due in list(self._due.items()):
            if due <= now:
                del self._due[cell]
                self._start_cell(cell)
        self._reap(now)
        if self._held:
            self._resume_held()
        if self._draining_until is not None and now > self._draining_until:
            self._leave()

    def _reap(self, now: int) -> None:
        """Kill what hangs or never came up, and notice whose end nobody told us."""
        assert self._board is not None
        beats = {beat.name: beat for beat in self._board.read()}
        for cell in list(self._addresses):
            match self._watch.judge(cell, beats.get(cell), now, _is_our_child):
                case Overdue() if self._leaving and cell in self._killed:
                    pass  # it was asked to go, and has until the end of the drain
                case Overdue(pid=pid, why=why):
                    self._killed.setdefault(cell, why)
                    self._say(f"{cell} (pid {pid}) {why}: killing it")
                    if pid > 0:
                        _kill(pid)
                case Exited(pid=pid):
                    # Thespian forgets a child that dies while it is busy with another one's end.
                    self._say(f"{cell} (pid {pid}) is gone, and its end was not told")
                    self.send(self.myAddress, ChildActorExited(self._addresses[cell]))
                    self._gone(cell)
                case None:
                    pass

    def _exited(self, address: ActorAddress) -> None:
        # A child's address changes its text when the child tells its port: only equality knows both.
        cell = next((name for name, known in self._addresses.items() if known == address), None)
        if cell is not None:
            self._gone(cell)

    def _gone(self, cell: str) -> None:
        del self._addresses[cell]
        self._watch.ended(cell)
        cause = self._killed.pop(cell, "the process exited")
        if self._leaving:
            self._core.exited(cell, 0, normal=True, cause=cause)
            if not self._addresses:
                self.send(self.myAddress, ActorExitRequest())
            else:
                self._stop_next()
            return
        self._say(f"{cell} is down: {cause}")
        self._perform(
            self._core.exited(cell, self._clock.mono_ns() // 1_000_000, normal=False, cause=f"{cell}: {cause}")
        )

    def _perform(self, effects: list[SupervisorEffect]) -> None:
        for effect in effects:
            match effect:
                case StartChild():
                    if effect.delay_ms == 0:
                        self._start_cell(effect.id)
                    else:
                        self._due[effect.id] = self._clock.mono_ns() + effect.delay_ms * 1_000_000
                case StopChild():
                    self.send(self._addresses[effect.id], ActorExitRequest())
                case HoldScope():
                    if effect.release == "operator":
                        self._held.add(effect.id)
                        self._hold(effect.cause)
                case Escalate():
                    self._hold(effect.cause)

    def _hold(self, cause: str) -> None:
        """The end of every escalation: a HOLD that an operator must lift, written past every mailbox."""
        assert self._plan is not None
        self._say(f"HOLD: {cause}")
        OperatorBoard(self._plan.paths.board).set("global", Level.HOLD, cause, "root", self._clock.wall_ns())

    def _resume_held(self) -> None:
        """An operator who lifts the HOLD lets the cells that were given up try again."""
        assert self._plan is not None
        try:
            brakes = OperatorBoard(self._plan.paths.board).read()
        except (BoardDamagedError, OSError):
            return
        if self._draining_until is not None or any(b.scope == GLOBAL and b.level >= Level.HOLD for b in brakes):
            return
        for cell in sorted(self._held):
            self._say(f"{cell} was given up and may try again: the HOLD was lifted")
            self._perform(self._core.resume(cell))
        self._held.clear()

    def _start_cell(self, cell: str) -> None:
        assert self._plan is not None
        started_ns = self._clock.mono_ns()
        address = self.createActor(CELL)
        self._addresses[cell] = address
        self._watch.started(cell, self._pid_of(address), started_ns)
        self._core.started(cell)
        self.send(address, StartCell(plan=encode_cell_plan(cell_plan(self._plan, cell, os.getpid()))))

    def _pid_of(self, address: ActorAddress) -> int:
        """The process of a child just made; 0 when this Thespian does not keep it where ours does."""
        for child in reversed(getattr(self._myRef, "_child_procs", ())):
            if child.childAddr == address:
                return int(child.childProc.pid or 0)
        return 0

    # Leaving.

    def _drain(self) -> None:
        assert self._plan is not None
        if self._draining_until is not None:
            return
        self._draining_until = self._clock.mono_ns() + _DRAIN_LIMIT_NS
        desk = next((c for c, roles in self._plan.placement.items() if "desk" in roles), None)
        address = self._addresses.get(desk) if desk is not None else None
        if address is None:
            self._leave()
        else:
            self.send(address, DrainCell())

    def _leave(self) -> None:
        """Venues first, then the desk, then ops: nobody sends to whom has gone."""
        if self._leaving:
            return
        self._leaving = True
        self._due.clear()
        self._core.stopping = True
        self._draining_until = None
        if self._addresses:
            self._stop_next()
        else:
            self.send(self.myAddress, ActorExitRequest())

    def _stop_next(self) -> None:
        assert self._plan is not None
        order = sorted(self._addresses, key=lambda cell: _stop_rank(self._plan.placement[cell]))  # type: ignore[union-attr]
        rank = _stop_rank(self._plan.placement[order[0]])
        for cell in order:
            if _stop_rank(self._plan.placement[cell]) == rank and cell not in self._killed:
                self._killed[cell] = "asked to stop"
                self.send(self._addresses[cell], ActorExitRequest())

    def _abandon(self, why: str) -> None:
        """Supervision is broken: take the permit along, end the cells, end ourselves."""
        self._say(f"leaving at once: {why}")
        if self._plan is not None:
            try:
                PermitWriter(self._plan.paths.board, now_wall_ns=self._clock.wall_ns()).revoke()
            except (OSError, BoardBusyError) as error:
                self._say(f"the permit could not be revoked and will expire: {error}")
            for beat in self._board.read() if self._board is not None else ():
                if beat.name in self._plan.placement:
                    _kill(beat.pid)
            if os.getpgrp() == os.getsid(0):
                # The admin began a session of its own: admin, logger, cells and this process, nobody else.
                os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(EXIT_UNSUPERVISED)

    def _say(self, text: str) -> None:
        print(f"root: {text}", file=sys.stderr, flush=True)


def _stop_rank(roles: tuple[str, ...]) -> int:
    if "ops" in roles:
        return 3
    if "simvenue" in roles:
        return 2  # the venue outlives whoever trades on it
    return 1 if "desk" in roles else 0


def alive(pid: int, parent: int = 0) -> bool:
    """Whether a process exists and is no zombie; and, where ``parent`` is given, is a child of it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - every tick, keep it light
            fields = file.read().rpartition(b")")[2].split(None, 2)
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") and parent in {0, int(fields[1])}


def _is_our_child(pid: int) -> bool:
    """A number that the kernel has given to somebody else meanwhile is none of ours."""
    return alive(pid, os.getpid())


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
