"""LoopBase: a Thespian SystemBase that runs actors inside one event loop of one thread, or in virtual time.

Owns the two drives of the same core: live (asyncio or uvloop) and virtual (a `VirtualClock` moved timer by timer).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from thespian.actors import Actor, ActorAddress

from adapters.clock import Clock, PyVirtualClock, SystemClock, VirtualClock
from supervision.bases.core import BaseFullError
from supervision.bases.delivery import Drive
from supervision.bases.facade import Facade, apply_logging
from supervision.bases.mailbox import MessageClass, OverflowPolicy
from supervision.bases.scheduler import Scheduler
from supervision.bases.state import Router

BATCH = 256  # messages per turn of the loop: at ~1 us each, I/O waits a fraction of a millisecond
INBOX_MAX = 1_000_000
LATER_MAX = 10_000  # what waits for its turn beyond this is sent at once, and bounded by the mailboxes as all is
IDLE_LIMIT = 100_000_000

_log = logging.getLogger(__name__)


class LoopBase(Facade):
    """Actors in one thread, driven live by an event loop, virtually by a simulation, or by Thespian's `ActorSystem`.

    Built as `LoopBase.standalone(...)` for cells and simulations, or by Thespian itself, as a system base, for
    `ActorSystem`. Without a policy, the number of waiting messages is not bounded.
    """

    def __init__(self, system: Any = None, logDefs: Any = None) -> None:  # noqa: N803 - Thespian's protocol
        apply_logging(logDefs)
        self._setup(
            name="loop",
            clock=SystemClock(),
            scheduler=None,
            overflow=None,
            capabilities=system.capabilities if system is not None else {},
        )
        self._open_to_callers()

    @classmethod
    def standalone(
        cls,
        *,
        name: str,
        clock: Clock,
        scheduler: Scheduler | None = None,
        capabilities: dict[str, object] | None = None,
        overflow: OverflowPolicy | None = None,
    ) -> LoopBase:
        """A base without any `ActorSystem`.

        Args:
            name: begins the addresses of actors without a name; unique among bases that are linked.
            clock: injected; a `VirtualClock` for the virtual drive.
            scheduler: first in first out by default.
            capabilities: seen by `actorSystemCapabilityCheck`.
            overflow: the policy of bounded mailboxes; without one nothing is bounded, at no cost.
        """
        base = cls.__new__(cls)
        base._setup(  # noqa: SLF001 - its own
            name=name, clock=clock, scheduler=scheduler, overflow=overflow, capabilities=dict(capabilities or {})
        )
        return base

    def _setup(
        self,
        *,
        name: str,
        clock: Clock,
        scheduler: Scheduler | None,
        overflow: OverflowPolicy | None,
        capabilities: dict[str, Any],
    ) -> None:
        super().__init__(name=name, clock=clock, scheduler=scheduler, overflow=overflow, capabilities=capabilities)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer_handle: asyncio.TimerHandle | None = None
        self._timer_at_ns = 0
        self._inbox: deque[tuple[ActorAddress | str, Any, ActorAddress | None]] = deque()
        self._inbox_announced = False
        self._later: deque[tuple[str, Any, ActorAddress]] = deque()
        self._gone: asyncio.Future[None] | None = None
        self._stopping = False
        self._drive: Any = None
        self._speed_up_delivery()

    # What the integrator calls.

    def create_root(
        self, actor_class: type[Actor] | str, requirements: dict[str, object] | None = None
    ) -> ActorAddress:
        """Create a top-level actor; a constructor that raises is raised here."""
        return self.create_child(self._system, actor_class, requirements, None, None)

    def inject(self, to: ActorAddress | str, msg: Any, sender: ActorAddress | None = None) -> None:
        """Send from outside the actors, in the loop's thread."""
        self._counts["injected"] += 1
        if sender is None:
            sender = self._external.address
        target = self._actors.get(to) if type(to) is str and self._scheduler is None else None
        if target is None:
            self._post(to, msg, sender)
            return
        self._ready.append(target, msg, sender)
        if self._ready.asleep:
            self._wake()

    def inject_threadsafe(self, to: ActorAddress | str, msg: Any, sender: ActorAddress | None = None) -> None:
        """Send from any thread; taken over by the loop, or by the next virtual step.

        Raises:
            BaseFullError: the loop does not keep up with the threads.
        """
        if len(self._inbox) >= INBOX_MAX:
            raise BaseFullError(f"{self.name} has not taken over {INBOX_MAX} messages of other threads")
        self._inbox.append((to, msg, sender))
        loop = self._loop
        if loop is not None and not self._inbox_announced:
            self._inbox_announced = True
            try:
                loop.call_soon_threadsafe(self._take_over)
            except RuntimeError:  # the loop is closed: what is in the inbox is seen by whoever drives next
                self._inbox_announced = False

    def set_router(self, router: Router | None) -> None:
        """Install what takes messages to names that are not here: ``router(to_name, sender, msg) -> taken``."""
        self._router = router

    def set_observer(
        self,
        *,
        on_dead_letter: Callable[[ActorAddress, Any], None] | None = None,
        on_failure: Callable[[ActorAddress, Any, BaseException], None] | None = None,
        on_overflow: Callable[[ActorAddress, MessageClass], None] | None = None,
        on_root_exit: Callable[[ActorAddress], None] | None = None,
    ) -> None:
        """Install callbacks; they replace all earlier ones, run in the loop's thread, and must not raise.

        ``on_failure`` gets the message on which the handler raised, or None when the constructor did.
        """
        self._on_dead_letter = on_dead_letter
        self._on_failure = on_failure
        self._on_overflow = on_overflow
        self._on_root_exit = on_root_exit

    # Virtual drive.

    def run_until_idle(self, limit: int = IDLE_LIMIT) -> int:
        """Deliver everything that waits and everything that follows from it, without moving time.

        Returns:
            How many messages were delivered.

        Raises:
            RuntimeError: more than ``limit`` messages: actors that talk without end never become idle.
        """
        if self._inbox:
            self._absorb()
        delivered = self._drain(limit + 1)
        while delivered <= limit:
            if not self._inbox:
                return delivered
            self._absorb()
            delivered += self._drain(limit + 1 - delivered)
        raise RuntimeError(f"{self.name} is not idle after {limit} messages")

    def advance_to(self, mono_ns: int) -> int:
        """Move the virtual clock there timer by timer, draining at every stop; returns messages delivered."""
        clock = self.clock
        if not isinstance(clock, (VirtualClock, PyVirtualClock)):
            raise TypeError("only a VirtualClock can be moved")
        delivered = self.run_until_idle() if self._inbox or self._has_waiting() else 0
        next_ns = self._timers.next_ns
        while (due_ns := next_ns()) is not None and due_ns <= mono_ns:
            if due_ns > clock.mono_ns():
                clock.advance_to_mono(due_ns)
            if self._fire_due(due_ns):
                delivered += self.run_until_idle()
        if mono_ns > clock.mono_ns():
            clock.advance_to_mono(mono_ns)
        return delivered

    def deliver_at(self, mono_ns: int, to: str, msg: Any) -> None:
        """Move the virtual clock there, wake-ups on the way included; then deliver, and all that follows from it."""
        self.advance_to(mono_ns)
        self.inject(to, msg)
        self.run_until_idle()

    def _speed_up_delivery(self) -> None:
        """Let `deliver_at` run in C where messages wait in one queue; what is unusual comes back to its Python."""
        if Drive is None or self._scheduler is not None or type(self.clock) is not VirtualClock:
            return
        self._drive = vars(self)["deliver_at"] = Drive(
            self._ready,
            self._timers,
            self.clock,
            self._actors,
            self._inbox,
            self._special,
            self._deliver_special,
            self._retry,
            self._external.address,
            self.deliver_at,
            self.run_until_idle,
            IDLE_LIMIT,
        )

    def stats(self) -> dict[str, int]:
        """As of the state, with what went through C."""
        found = super().stats()
        if self._drive is not None:
            found["injected"] += self._drive.injected
            found["wakeups"] += self._drive.wakeups
        return found

    # Live drive.

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let this loop turn the crank from now on; call it in the loop's thread."""
        if self._loop is not None:
            raise RuntimeError(f"{self.name} is attached already")
        self._loop = loop
        self._live = True
        self._ready.asleep = True
        self._wake()
        self._arm()

    def detach(self) -> None:
        """Stop turning; what waits keeps waiting."""
        self._loop = None
        self._live = False
        self._ready.asleep = False
        if self._timer_handle is not None:
            self._timer_handle.cancel()
            self._timer_handle = None
        self._send_what_waited()

    async def run(self) -> None:
        """Attach to the running loop and stay until `stop` or `shutdown`, or until cancelled."""
        self.attach(asyncio.get_running_loop())
        try:
            await self._gone_future()
        finally:
            self.detach()

    async def stop(self, timeout_s: float) -> bool:
        """Ask every actor to exit, wait for it, detach; true when all of them did in time.

        Whoever did not is dropped without being asked, and logged.
        """
        if self._loop is None:
            self.attach(asyncio.get_running_loop())
        gone = self._gone_future()
        self._stopping = True
        self.ask_everyone_to_exit()
        self._wake()
        try:
            await asyncio.wait_for(asyncio.shield(gone), timeout_s)
        except TimeoutError:
            _log.error("%s: did not exit in %s s: %s", self.name, timeout_s, ", ".join(self._abandon()))
            return False
        finally:
            self._stopping = False
            self._everyone_is_gone()
            self.detach()
        return True

    def shutdown(self) -> None:
        """Ask every actor to exit and drain until they did; whoever is left is dropped."""
        self._absorb()
        super().shutdown()
        self._everyone_is_gone()
        self.detach()

    def _everyone_is_gone(self) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _gone_future(self) -> asyncio.Future[None]:
        if self._gone is None or self._gone.done():
            self._gone = asyncio.get_running_loop().create_future()
        return self._gone

    def _wake(self) -> None:
        if self._loop is not None:
            self._ready.asleep = False
            self._loop.call_soon(self._batch)

    def send_later(self, sender: ActorAddress, to: str, msg: Any) -> None:
        """In the loop's next turn: what a message sets off within its own turn comes first, input and output too."""
        later, loop = self._later, self._loop
        if loop is None or len(later) >= LATER_MAX:
            self._post(to, msg, sender)
            return
        if not later:
            loop.call_soon(self._send_what_waited)
        later.append((to, msg, sender))

    def _send_what_waited(self) -> None:
        later = self._later
        while later:
            self._post(*later.popleft())

    def _batch(self) -> None:
        """One turn: a bounded batch, then the loop gets its chance to do I/O."""
        loop = self._loop
        if loop is None:
            return
        try:
            self._drain(BATCH)
            if self._stopping and not any(self._living()):
                self._everyone_is_gone()
        finally:
            if self._has_waiting():
                loop.call_soon(self._batch)
            else:
                self._ready.asleep = True

    def _has_waiting(self) -> bool:
        return bool(self._ready) if self._scheduler is None else len(self._scheduler) > 0

    def _absorb(self) -> None:
        """Take over what other threads injected."""
        self._inbox_announced = False
        inbox = self._inbox
        for _ in range(len(inbox)):
            self.inject(*inbox.popleft())

    def _take_over(self) -> None:
        """A turn for what other threads injected: who slept is awake now, and need not wait for a turn of its own."""
        asleep = self._ready.asleep
        self._ready.asleep = False
        try:
            self._absorb()
        finally:
            if asleep:
                self._batch()

    def _timer_added(self, due_ns: int) -> None:
        if self._timer_handle is None or due_ns < self._timer_at_ns:
            self._arm()

    def _arm(self) -> None:
        due_ns = self.next_timer_ns()
        if self._timer_handle is not None:
            self._timer_handle.cancel()
            self._timer_handle = None
        if due_ns is None or self._loop is None:
            return
        self._timer_at_ns = due_ns
        # Whole milliseconds, rounded up: uvloop's timers are no finer, and a wake-up must not come early.
        delay_ms = max(0, -((self.clock.mono_ns() - due_ns) // 1_000_000))
        self._timer_handle = self._loop.call_later(delay_ms / 1_000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_handle = None
        self._fire_due(self.clock.mono_ns())
        self._arm()
