"""What a base knows: its actors, what waits for them, their timers and its counters; and how it is looked at.

Owns the state and the views of it. Does not own what happens to it (`core.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from thespian.actors import ActorAddress, Thespian_ActorStatus
from thespian.system.timing import ExpirationTimer

from adapters.clock import Clock
from supervision.bases.delivery import Ready
from supervision.bases.hosted import ActorView, HostedActor
from supervision.bases.mailbox import Classifier, MessageClass, OverflowPolicy, PolicyCounts
from supervision.bases.scheduler import FifoScheduler, Scheduler
from supervision.bases.timers import Timers

Router: TypeAlias = Callable[[str, ActorAddress, Any], bool]


class BaseState:
    """Actors, what waits for them, and their timers."""

    _system: HostedActor  # both are made by the core, which gives them their entry points
    _external: HostedActor

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        scheduler: Scheduler | None,
        overflow: OverflowPolicy | None,
        capabilities: dict[str, Any],
    ) -> None:
        self.name = name
        self.clock = clock
        self.capabilities = capabilities
        self._router: Router | None = None
        self._on_dead_letter: Callable[[ActorAddress, Any], None] | None = None
        self._on_failure: Callable[[ActorAddress, Any, BaseException], None] | None = None
        self._on_overflow: Callable[[ActorAddress, MessageClass], None] | None = None
        self._on_root_exit: Callable[[ActorAddress], None] | None = None

        self._actors: dict[str, HostedActor] = {}
        self._global_names: dict[str, ActorAddress] = {}
        self._born = 0
        self._ready = Ready()
        self._timers = Timers()
        self._dead_letter_box: HostedActor | None = None
        self._draining = False
        self._live = False

        self._policy = overflow
        self._policy_counts = PolicyCounts()
        self._classifier = Classifier(overflow.classify) if overflow is not None else None
        self._scheduler: Scheduler | None = None
        if overflow is not None or (scheduler is not None and not isinstance(scheduler, FifoScheduler)):
            self._scheduler = scheduler if scheduler is not None else FifoScheduler()

        self._counts: dict[str, int] = dict.fromkeys(
            ("dead_letters", "failures", "poisoned", "wakeups", "routed", "injected", "sent_by_dead", "exited"), 0
        )
        self._handled_by_dead = 0

    def lookup(self, name: str) -> ActorAddress | None:
        """The address of the living actor of this name."""
        hosted = self._actors.get(name)
        return hosted.address if hosted is not None and not hosted.internal else None

    def actor(self, name: str) -> Any:
        """The living actor of this name itself, or None: for the reports of virtual runs, where nobody else runs."""
        hosted = self._actors.get(name)
        return hosted.actor if hosted is not None and not hosted.internal else None

    def tree(self) -> list[ActorView]:
        """Every living actor, parents before children."""
        depths = self._depths()
        found: list[ActorView] = []
        pending = [hosted for hosted in self._living() if hosted.parent is None or not self._is_under_actor(hosted)]
        pending.reverse()
        while pending:
            hosted = pending.pop()
            found.append(self._view(hosted, depths))
            pending.extend(reversed([child for child in hosted.children.values() if child.alive]))
        return found

    def children(self, of: ActorAddress | str | None = None) -> list[ActorView]:
        """The living children of an actor, or the roots."""
        depths = self._depths()
        if of is None:
            return [self._view(hosted, depths) for hosted in self._living() if hosted.parent is self._system]
        parent = self._actors.get(of if isinstance(of, str) else of.actorAddressString)
        if parent is None:
            return []
        return [self._view(child, depths) for child in parent.children.values() if child.alive]

    def stats(self) -> dict[str, int]:
        """Counters since the start, and the present numbers of actors, waiting messages and timers."""
        living = list(self._living())
        return {
            "handled": self._handled_by_dead + sum(hosted.handled for hosted in living),
            "actors": len(living),
            "waiting": self._waiting(),
            "timers": len(self._timers),
            **self._counts,
            "conflated": self._policy_counts.conflated,
            "dropped": self._policy_counts.dropped,
            "beyond_limit": self._policy_counts.beyond_limit,
        }

    def _living(self) -> Iterator[HostedActor]:
        return (hosted for hosted in self._actors.values() if not hosted.internal)

    def _is_under_actor(self, hosted: HostedActor) -> bool:
        parent = hosted.parent
        return parent is not None and parent.alive and not parent.internal

    def _view(self, hosted: HostedActor, depths: Counter[str]) -> ActorView:
        return ActorView(
            name=hosted.name,
            class_name=hosted.actor_class.__name__,
            parent=hosted.parent.name if hosted.parent is not None and not hosted.parent.internal else None,
            depth=depths[hosted.name],
            handled=hosted.handled,
            exiting=hosted.exiting,
        )

    def _depths(self) -> Counter[str]:
        if self._scheduler is None:
            return Counter(entry[0].name for entry in self._ready if entry[0].alive)
        return Counter({hosted.name: len(hosted.mailbox) for hosted in self._actors.values()})

    def _waiting(self) -> int:
        if self._scheduler is None:
            return len(self._ready)
        return sum(len(hosted.mailbox) for hosted in self._actors.values())

    def _status_of(self, target: HostedActor) -> Thespian_ActorStatus:
        status = Thespian_ActorStatus(
            target.address,
            target.actor_class.__name__,
            self._system.address,
            target.parent.address if target.parent is not None else None,
            target.source_hash,
            target.exiting,
        )
        for child in target.children.values():
            if child.alive:
                status.addChild(child.address)
        now_ns = self.clock.mono_ns()
        status.addWakeups(
            [
                (target.address, ExpirationTimer((due_ns - now_ns) / 1e9))
                for due_ns, _, hosted in self._timers.pending()
                if hosted is target
            ]
        )
        if self._scheduler is None:
            for hosted, msg, sender in self._ready:
                if hosted is target:
                    status.addPendingMessage(sender, target.address, msg)
        status.addReceived(target.handled)
        return status
