"""The one base class of our actors: the only mailbox, the only place where an exception out of a core is caught.

Order of work, said once: decide, journal, commit, act. A handler that raises is a bug of ours: it is reported to
the supervisor once, and the actor exits; Thespian never sees the exception, so it never runs the handler again.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    WakeupMessage,
)

from actors.crash_points import CRASH, CrashTrap
from actors.messages import ActorFailed, DrillFault, Flood, StartActor, Tick
from adapters.clock import Clock, SystemClock

_STORY_CHARS = 2_000


class Shell(Actor):
    """A named actor around a pure core.

    Subclasses implement `start` (build the core from the setup), `on` (one message) and, if they own resources,
    `stop`. They talk by name: `tell("orders", message)`. Names are resolved by the system base, so an actor class
    does not know whether its peer lives in its own cell.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.clock: Clock = SystemClock()
        self._supervisor: str | None = None
        self._addresses: dict[str, ActorAddress] = {}
        self._generation: dict[str, int] = {}
        self._each: dict[str, Tick] = {}
        # By type, what can do in C what `on` would: it answers True where it did.
        self._routes: dict[type, Callable[[Any], bool]] = {}
        self._wake_in: Callable[..., None] | None = None
        self._failed = False
        self._fault: str | None = None
        self._trap: CrashTrap | None = None
        self.unknown_messages = 0

    # What subclasses implement.

    def start(self, setup: Any) -> None:
        """Build the core. Called once, with the setup of `StartActor`."""

    def on(self, msg: Any) -> None:
        """Handle one message of the actor's inbox; unknown ones go to `unknown`."""
        self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """A wake-up asked for with `wake_after` came due."""

    def on_child_exited(self, address: ActorAddress) -> None:
        """A child is gone."""

    def stop(self) -> None:
        """Let go of resources; called once before the actor leaves."""

    # What subclasses use.

    def now_ns(self) -> int:
        """UTC nanoseconds of the injected clock."""
        return self.clock.wall_ns()

    def mono_ns(self) -> int:
        """Monotonic nanoseconds of the injected clock."""
        return self.clock.mono_ns()

    def tell(self, to: str, msg: object) -> None:
        """Send to an actor by its well-known name."""
        address = self._addresses.get(to)
        if address is None:
            address = self._addresses[to] = ActorAddress(to)
        self.send(address, msg)

    def tell_later(self, to: str, msg: object) -> None:
        """Send by name to who only looks on: at once here; ours is the base that knows how to let it wait.

        There it goes behind all that this turn of the loop sets off, in order with what else was told so.
        """
        self.tell(to, msg)

    def wake_after(self, delay_ns: int, tag: str, early_ns: Callable[[], int] | None = None) -> None:
        """Ask for `on_tick(tag)`; a later call with the same tag replaces the earlier.

        ``early_ns`` is a hint: a base that knows it asks it when the time has come, and waits for as many nanoseconds
        more. It must not raise.
        """
        generation = self._generation.get(tag, 0) + 1
        self._generation[tag] = generation
        if self._wake_in is not None:
            tick = Tick(tag=tag, generation=generation)
            if early_ns is None:
                self._wake_in(delay_ns, tick)
            else:
                # One that was replaced comes at once, and is dropped.
                self._wake_in(delay_ns, tick, lambda: early_ns() if self._generation[tag] == generation else 0)
            return
        self._myRef.wakeupAfter(_period(delay_ns), Tick(tag=tag, generation=generation))

    def wake_each(self, delay_ns: int, tag: str) -> None:
        """As `wake_after`, but every call counts: none takes the place of an earlier one. For tags of their own."""
        tick = self._each.get(tag)
        if tick is None:
            self._generation[tag] = 0
            tick = self._each[tag] = Tick(tag=tag, generation=0)
        if self._wake_in is not None:
            self._wake_in(delay_ns, tick)
        else:
            self._myRef.wakeupAfter(_period(delay_ns), tick)

    def threadsafe_tell(self) -> Callable[[str, object], None]:
        """A function that other threads may call to send a message by name."""
        inject = self._myRef.base.inject_threadsafe

        def tell(to: str, msg: object) -> None:
            inject(to, msg)

        return tell

    def loop_tell(self) -> Callable[[str, object], None]:
        """A function that callbacks of the loop's own thread may call to send a message by name."""
        inject: Callable[[str, object], None] = self._myRef.base.inject
        return inject

    def unknown(self, msg: object) -> None:
        """Count and report a message nobody expected; it is never dropped in silence."""
        self.unknown_messages += 1
        self._report(type(msg).__name__, "unknown message (reported, actor goes on)")

    # The mailbox.

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """Thespian's entry: dispatch, and turn any exception into one report and an exit."""
        if self._failed:
            return
        try:
            kind = type(msg)
            if kind is WakeupMessage:
                tick = msg.payload
                if type(tick) is Tick and self._generation.get(tick.tag) == tick.generation:
                    self.on_tick(tick.tag)
            elif kind in _RARE:
                self._rare(msg)
            elif self._fault is None:
                self.on(msg)
            else:
                self._on_drilled(msg)
        except Exception as exc:  # noqa: BLE001 - the one place: a bug becomes a report and an exit
            self._crash(msg, exc)

    def _on_drilled(self, msg: Any) -> None:
        if self._trap is not None:
            self._trap.around(msg, self.on)
            return
        if self._fault == "raise_after_effect":
            self.on(msg)
        raise DrillError(f"drill: {self.name} was told to {self._fault}")

    def _rare(self, msg: Any) -> None:
        match msg:
            case StartActor():
                self.name = msg.name
                self._supervisor = msg.supervisor
                self.clock = getattr(self._myRef, "clock", None) or self.clock
                # The same, one call shorter.
                vars(self)["now_ns"], vars(self)["mono_ns"] = self.clock.wall_ns, self.clock.mono_ns
                waker = getattr(self._myRef, "waker", None)
                self._wake_in = None if waker is None else waker()
                later = getattr(self._myRef, "later", None)
                if later is not None:
                    vars(self)["tell_later"] = later()
                self.start(msg.setup)
                direct = getattr(self._myRef, "go_direct", None)
                if direct is not None:
                    direct(_LONG_WAY, self._routes)
            case ActorExitRequest():
                self.stop()
            case ChildActorExited():
                self.on_child_exited(msg.childAddress)
            case DrillFault():
                self._fault = msg.kind
                self._trap = CrashTrap(msg.kind) if msg.kind.startswith(CRASH) else None
                self._go_long()
            case Flood():
                pass
            case PoisonMessage():
                self.unknown(msg.poisonMessage)
            case DeadEnvelope():
                self.unknown(msg)
            case _:
                self.unknown(msg)

    def _go_long(self) -> None:
        """What is unusual about this actor must be looked at with every message."""
        go_long = getattr(self._myRef, "go_long", None)
        if go_long is not None:
            go_long()

    def _crash(self, msg: object, exc: Exception) -> None:
        self._failed = True
        self._go_long()
        story = "".join(traceback.format_exception(exc))[-_STORY_CHARS:]
        self._report(type(msg).__name__, f"{type(exc).__name__}: {exc}", story)
        try:
            self.stop()
        except Exception as stop_error:  # noqa: BLE001 - leaving must not fail
            self._report("stop", str(stop_error))
        self.send(self.myAddress, ActorExitRequest())

    def _report(self, message_type: str, error: str, story: str = "") -> None:
        """Tell the supervisor, where there is one."""
        if self._supervisor is not None:
            failed = ActorFailed(
                name=self.name, message_type=message_type, error=error, story=story, ts_ns=self.now_ns()
            )
            self.tell(self._supervisor, failed)
        else:
            # A top has nobody above it: its last words would be nobody's.
            sys.stderr.write(f"{self.name}: {error} on {message_type}\n{story}\n")
            sys.stderr.flush()


def _period(delay_ns: int) -> timedelta:
    """Thespian counts microseconds: rounded up, so that a wake-up never comes before its time."""
    return timedelta(0, 0, -(-delay_ns // 1_000) if delay_ns > 0 else 0)


class DrillError(RuntimeError):
    """Raised on purpose by a drill."""


_RARE = frozenset({StartActor, ActorExitRequest, ChildActorExited, DrillFault, Flood, PoisonMessage, DeadEnvelope})
_LONG_WAY = _RARE | {WakeupMessage}
