"""What a supervisor decides when a child exits: OTP's words with OTP's meaning, as a pure core.

Owns restart, order, intensity, backoff and escalation. Does not own actors: the shell in ``supervision.supervisor``
(inside a cell) and the root (over processes) carry the decisions out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

import msgspec


class Restart(Enum):
    """Which exits of a child are mended: every exit, only abnormal ones, none."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(Enum):
    """Who else restarts with a failed child: nobody, those started after it, everybody."""

    ONE_FOR_ONE = "one_for_one"
    REST_FOR_ONE = "rest_for_one"
    ONE_FOR_ALL = "one_for_all"


class Beyond(Enum):
    """What follows beyond the intensity; the end of every escalation is HOLD."""

    ESCALATE = "escalate"  # the supervisor exits and its own supervisor decides
    HOLD_CHILD = "hold_child"  # the child stays stopped and its scope in HOLD until an operator resumes it


class ChildState(Enum):
    """Where a child is."""

    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    STOPPED = "stopped"
    HELD = "held"


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a supervisor's table.

    ``scope`` is the brake scope that stays in HOLD until the child is whole again.
    """

    id: str
    restart: Restart = Restart.PERMANENT
    shutdown_ms: int = 2_000
    scope: str | None = None


class SupervisorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's table: more than ``intensity`` restarts within ``period_ms`` go ``beyond``."""

    id: str
    strategy: Strategy
    children: tuple[ChildSpec, ...]
    intensity: int = 5
    period_ms: int = 30_000
    backoff_ms_min: int = 50
    backoff_ms_max: int = 5_000
    beyond: Beyond = Beyond.ESCALATE


class StartChild(msgspec.Struct, frozen=True, kw_only=True):
    """Start the child after ``delay_ms``."""

    id: str
    delay_ms: int


class StopChild(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the child to exit, and end it after ``shutdown_ms``."""

    id: str
    shutdown_ms: int


class HoldScope(msgspec.Struct, frozen=True, kw_only=True):
    """No new orders on ``scope`` until the child says it is whole (auto) or an operator resumes it (operator)."""

    id: str
    scope: str
    cause: str
    release: str


class Escalate(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor gives up."""

    cause: str


SupervisorEffect = StartChild | StopChild | HoldScope | Escalate


class _Child:
    __slots__ = ("restart_when_down", "restarts", "spec", "state", "streak")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.state = ChildState.STOPPED
        self.restarts = 0
        self.streak = 0
        self.restart_when_down = False


class SupervisorCore:
    """The pure core. Times are monotonic milliseconds."""

    def __init__(self, spec: SupervisorSpec) -> None:
        ids = [child.id for child in spec.children]
        if len(set(ids)) != len(ids):
            raise ValueError(f"supervisor {spec.id} names a child twice: {ids}")
        self.spec = spec
        self._children = {child.id: _Child(child) for child in spec.children}
        self._restarts: deque[int] = deque(maxlen=max(1, spec.intensity) + 1)
        self._pending: set[str] = set()
        self.gave_up = False
        self.stopping = False

    def start(self) -> list[SupervisorEffect]:
        """Start every child, left to right."""
        return [StartChild(id=child.spec.id, delay_ms=0) for child in self._children.values()]

    def started(self, child_id: str) -> None:
        """The shell started a child."""
        self._children[child_id].state = ChildState.RUNNING

    def ready(self, child_id: str) -> None:
        """The child says it is whole: its backoff starts anew."""
        child = self._children.get(child_id)
        if child is not None:
            child.streak = 0

    def exited(self, child_id: str, now_ms: int, *, normal: bool, cause: str) -> list[SupervisorEffect]:
        """A child is gone; what is to be done now."""
        child = self._children[child_id]
        wanted = child.restart_when_down
        asked = child.state is ChildState.STOPPING
        child.restart_when_down = False
        child.state = ChildState.STOPPED
        if self.stopping or self.gave_up:
            return []
        if asked:
            self._pending.discard(child_id)
            if wanted:
                child.state = ChildState.BACKOFF
            return self._restart_group() if not self._pending else []
        restart = child.spec.restart
        if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and normal):
            return []
        return self._failed(child, now_ms, cause)

    def _failed(self, child: _Child, now_ms: int, cause: str) -> list[SupervisorEffect]:
        self._restarts.append(now_ms)
        recent = [t for t in self._restarts if now_ms - t <= self.spec.period_ms]
        if len(recent) > self.spec.intensity:
            text = f"{child.spec.id} failed {len(recent)} times in {self.spec.period_ms} ms: {cause}"
            if self.spec.beyond is Beyond.HOLD_CHILD and child.spec.scope is not None:
                child.state = ChildState.HELD
                return [HoldScope(id=child.spec.id, scope=child.spec.scope, cause=text, release="operator")]
            self.gave_up = True
            return [Escalate(cause=text)]
        effects: list[SupervisorEffect] = []
        if child.spec.scope is not None:
            effects.append(HoldScope(id=child.spec.id, scope=child.spec.scope, cause=cause, release="auto"))
        child.restarts += 1
        child.streak += 1
        child.state = ChildState.BACKOFF
        for other in self._group(child)[::-1]:
            if other is not child and other.state is ChildState.RUNNING:
                other.state = ChildState.STOPPING
                other.restart_when_down = True
                self._pending.add(other.spec.id)
                effects.append(StopChild(id=other.spec.id, shutdown_ms=other.spec.shutdown_ms))
        if not self._pending:
            effects.extend(self._restart_group())
        return effects

    def _group(self, child: _Child) -> list[_Child]:
        children = list(self._children.values())
        match self.spec.strategy:
            case Strategy.ONE_FOR_ONE:
                return [child]
            case Strategy.REST_FOR_ONE:
                return children[children.index(child) :]
            case Strategy.ONE_FOR_ALL:
                return children

    def _restart_group(self) -> list[SupervisorEffect]:
        waiting = [child for child in self._children.values() if child.state is ChildState.BACKOFF]
        delay = max((self._backoff_ms(child) for child in waiting), default=0)
        return [StartChild(id=child.spec.id, delay_ms=delay) for child in waiting]

    def _backoff_ms(self, child: _Child) -> int:
        """Exponential with jitter of a quarter; the jitter is a function of the count, so that replays are exact."""
        if child.streak == 0:
            return 0
        base: int = min(self.spec.backoff_ms_max, self.spec.backoff_ms_min << min(child.streak - 1, 16))
        spread = base // 4
        return base - spread + (child.restarts * 2_654_435_761 % (2 * spread + 1) if spread else 0)

    def resume(self, child_id: str) -> list[SupervisorEffect]:
        """An operator lets a held child try again."""
        child = self._children.get(child_id)
        if child is None or child.state is not ChildState.HELD:
            return []
        self._restarts.clear()
        child.streak = 0
        child.state = ChildState.BACKOFF
        return [StartChild(id=child_id, delay_ms=0)]

    def stop(self) -> list[SupervisorEffect]:
        """Stop every child, right to left."""
        self.stopping = True
        effects: list[SupervisorEffect] = []
        for child in list(self._children.values())[::-1]:
            if child.state is ChildState.RUNNING:
                child.state = ChildState.STOPPING
                effects.append(StopChild(id=child.spec.id, shutdown_ms=child.spec.shutdown_ms))
        return effects

    def view(self) -> Sequence[dict[str, object]]:
        """One row a child: id, state, restarts."""
        return [
            {"id": child.spec.id, "state": child.state.value, "restarts": child.restarts}
            for child in self._children.values()
        ]
