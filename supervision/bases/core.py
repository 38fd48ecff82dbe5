"""The actor semantics of Thespian inside one thread: create, send, deliver, fail, exit.

Owns what happens to actors. Does not own who turns the crank: `loop.py` drives it live or virtually, `facade.py`
drives it for callers outside.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Hashable
from datetime import timedelta
from functools import partial
from itertools import repeat
from typing import Any

from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    InvalidActorAddress,
    NoCompatibleSystemForActor,
    PoisonMessage,
    Thespian_StatusReq,
    ValidatedSource,
    WakeupMessage,
)
from thespian.system.utilis import actualActorClass, withPossibleInitArgs

from adapters.clock import Clock
from supervision.bases.delivery import post
from supervision.bases.hosted import HostedActor
from supervision.bases.mailbox import (
    BoundedMailbox,
    MessageClass,
    OverflowPolicy,
    PlainMailbox,
)
from supervision.bases.scheduler import Scheduler
from supervision.bases.sources import SourceShelf
from supervision.bases.state import BaseState

NAME_REQUIREMENT = "propdesk.name"
ACTORS_MAX = 100_000
TIMERS_MAX = 1_000_000
_TYPES_MAX = 4_096

_log = logging.getLogger(__name__)


class BaseFullError(RuntimeError):
    """A limit of the base was reached: something creates actors or timers without end."""


class _SpecialTypes(dict[type, type | None]):
    """Which message types the base itself must look at; a miss classifies the type once."""

    def __missing__(self, kind: type) -> type | None:
        if len(self) >= _TYPES_MAX:
            self.clear()
        special = next((known for known in _SPECIAL if issubclass(kind, known)), None)
        self[kind] = special
        return special


_SPECIAL = (ActorExitRequest, ChildActorExited, Thespian_StatusReq, ValidatedSource)
_SILENT_WHEN_DEAD = (DeadEnvelope, ChildActorExited, WakeupMessage)


def period_ns(period: timedelta | float) -> int:
    """A Thespian time period (timedelta, or seconds) in nanoseconds, never negative."""
    if isinstance(period, timedelta):
        if period.days < 0:
            return 0
        return (period.days * 86_400 + period.seconds) * 1_000_000_000 + period.microseconds * 1_000
    return max(0, round(period * 1e9))


class ActorCore(BaseState):
    """What happens to the state: actors are created, talk, fail and exit. One thread at a time."""

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        scheduler: Scheduler | None,
        overflow: OverflowPolicy | None,
        capabilities: dict[str, Any],
    ) -> None:
        super().__init__(name=name, clock=clock, scheduler=scheduler, overflow=overflow, capabilities=capabilities)
        self.sources = SourceShelf(self)
        self._special = _SpecialTypes()
        self._system = self._internal(f"{name}/system", None)
        self._external = self._internal(f"{name}/external", self._system)
        self._external.receive = partial(self._dead_letter, self._external.address)

    # Creation.

    def create_child(
        self,
        parent: HostedActor,
        actor_class: type[Actor] | str,
        requirements: dict[str, Any] | None,
        global_name: str | None,
        source_hash: str | None,
    ) -> ActorAddress:
        """Create an actor below another one.

        A constructor that raises is told to the parent as `ChildActorExited`; a root's is raised to the caller.

        Raises:
            InvalidActorAddress: the wanted name belongs to a living actor.
            BaseFullError: too many actors.
        """
        if global_name and global_name in self._global_names:
            return self._global_names[global_name]
        hosted = HostedActor(self, self._new_name(parent, requirements), parent, self.clock)
        if (parent.exiting or not parent.alive) and not parent.internal:
            return hosted.address  # who is leaving gets no more children
        hosted.requirements = requirements
        hosted.source_hash = source_hash
        hosted.receive = hosted.handler = partial(self._dead_letter, hosted.address)
        hosted.globalName = global_name
        self._attach_mailbox(hosted)
        parent.children[hosted.name] = hosted
        try:
            actor = self._instantiate(actor_class, requirements, source_hash)
        except Exception as exc:
            if parent is self._system or isinstance(exc, ImportError):
                del parent.children[hosted.name]
                raise
            _log.warning("%s could not be created as %s", actor_class, hosted.name, exc_info=True)
            self._counts["failures"] += 1
            if self._on_failure is not None:
                self._on_failure(hosted.address, None, exc)
            self._enqueue(parent, ChildActorExited(hosted.address), self._system.address)
        else:
            self._bring_to_life(hosted, actor)
        return hosted.address

    def _new_name(self, parent: HostedActor, requirements: dict[str, Any] | None) -> str:
        wanted = requirements.get(NAME_REQUIREMENT) if isinstance(requirements, dict) else None
        if wanted:
            if wanted in self._actors:
                raise InvalidActorAddress(wanted, "the name of a living actor already")
            return str(wanted)
        if len(self._actors) >= ACTORS_MAX:
            raise BaseFullError(f"{self.name} holds {len(self._actors)} actors")
        self._born += 1  # base-wide, so that an address without a name is never used twice
        return f"{self.name if parent.internal else parent.name}~{self._born}"

    def _instantiate(
        self, actor_class: type[Actor] | str, requirements: dict[str, Any] | None, source_hash: str | None
    ) -> Actor:
        found = actualActorClass(actor_class, self.sources.loader(source_hash) if source_hash else None)
        if not self._is_capable_of(found, requirements):
            raise NoCompatibleSystemForActor(found, "No compatible ActorSystem could be found")
        actor: Actor = withPossibleInitArgs(capabilities=self.capabilities, requirements=requirements).create(found)
        return actor

    def _is_capable_of(self, actor_class: type[Any], requirements: dict[str, Any] | None) -> bool:
        check = getattr(actor_class, "actorSystemCapabilityCheck", None)
        return check is None or bool(check(self.capabilities, requirements or {}))

    def _bring_to_life(self, hosted: HostedActor, actor: Actor) -> None:
        actor._myRef = hosted  # noqa: SLF001 - Thespian's protocol between an actor and its base
        hosted.actor = actor
        hosted.actor_class = type(actor)
        if hasattr(actor, "_post_init_receiveMessage"):
            # thespian.initmsgs rebinds receiveMessage on the instance while it runs.
            hosted.receive = hosted.handler = partial(_receive_by_name, actor)
        else:
            hosted.receive = hosted.handler = actor.receiveMessage
        hosted.actor_send = self._sender_for(hosted)
        if getattr(type(actor), "send", None) is Actor.send:
            vars(actor)["send"] = hosted.actor_send  # saves one call per message
        hosted.alive = True
        self._actors[hosted.name] = hosted
        if hosted.globalName:
            self._global_names[hosted.globalName] = hosted.address

    def _attach_mailbox(self, hosted: HostedActor) -> None:
        if self._policy is not None and self._classifier is not None:
            hosted.mailbox = BoundedMailbox(
                hosted.address, self._policy, self._classifier, self._policy_counts, self._overflowed
            )
        elif self._scheduler is not None:
            hosted.mailbox = PlainMailbox()

    def _internal(self, name: str, parent: HostedActor | None) -> HostedActor:
        """A party that is no actor: the system itself, or a caller outside."""
        hosted = HostedActor(self, name, parent, self.clock)
        hosted.internal = hosted.alive = True
        hosted.receive = hosted.handler = _ignore
        hosted.actor_send = self._sender_for(hosted)
        self._attach_mailbox(hosted)
        self._actors[name] = hosted
        return hosted

    def _overflowed(self, address: ActorAddress, cls: MessageClass) -> None:
        if self._on_overflow is not None:
            self._on_overflow(address, cls)

    # Sending.

    def _sender_for(self, hosted: HostedActor) -> Callable[[ActorAddress, Any], None]:
        """The hot path of sending, with everything it needs bound."""
        address = hosted.address
        if self._scheduler is None:
            return post(self._ready, self._actors, address, self._wake, partial(self._address_away, address), False)
        find = self._actors.get
        add = self._scheduler.add

        def send_to_mailbox(targetAddr: ActorAddress, msg: Any) -> None:  # noqa: N803 - Thespian's name
            try:
                target = find(targetAddr._aaddr)  # noqa: SLF001 - two property calls cheaper
            except (AttributeError, TypeError):
                raise InvalidActorAddress(targetAddr, "not a valid ActorAddress for sending messages to") from None
            if target is None:
                self._send_away(targetAddr, msg, address)
                return
            if target.mailbox.put(msg, address):
                add(target)
            if self._ready.asleep:
                self._wake()

        return send_to_mailbox

    def speed_up(self, hosted: HostedActor) -> None:
        """Let the actor tell by name without looking addresses up, where messages wait in one queue."""
        if self._scheduler is None and hosted.actor is not None:
            away = partial(self._name_away, hosted.address)
            vars(hosted.actor)["tell"] = post(self._ready, self._actors, hosted.address, self._wake, away, True)

    def _address_away(self, sender: ActorAddress, to: Any, msg: Any) -> None:
        if not isinstance(getattr(to, "_aaddr", None), Hashable) or not isinstance(to, ActorAddress):
            raise InvalidActorAddress(to, "not a valid ActorAddress for sending messages to")
        self._send_away(to, msg, sender)

    def _name_away(self, sender: ActorAddress, to: str, msg: Any) -> None:
        self._send_away(ActorAddress(to), msg, sender)

    def _enqueue(self, target: HostedActor, msg: Any, sender: ActorAddress) -> None:
        if self._scheduler is None:
            self._ready.append(target, msg, sender)
        elif target.mailbox.put(msg, sender):
            self._scheduler.add(target)
        if self._ready.asleep:
            self._wake()

    def _post(self, to: ActorAddress | str, msg: Any, sender: ActorAddress) -> None:
        target = self._actors.get(to if isinstance(to, str) else to.actorAddressString)
        if target is None:
            self._send_away(ActorAddress(to) if isinstance(to, str) else to, msg, sender)
        else:
            self._enqueue(target, msg, sender)

    def _send_away(self, to: ActorAddress, msg: Any, sender: ActorAddress) -> None:
        """The address is not of a living actor here: another cell's, or a dead one's."""
        if self._router is not None and self._router(to.actorAddressString, sender, msg):
            self._counts["routed"] += 1
        else:
            self._dead_letter(to, msg, sender)

    def _dead_letter(self, to: ActorAddress, msg: Any, sender: ActorAddress) -> None:
        if isinstance(msg, _SILENT_WHEN_DEAD):
            return
        self._counts["dead_letters"] += 1
        if self._on_dead_letter is not None:
            self._on_dead_letter(to, msg)
        if self._dead_letter_box is not None:
            self._enqueue(self._dead_letter_box, DeadEnvelope(to, msg), sender)

    def send_later(self, sender: ActorAddress, to: str, msg: Any) -> None:
        """Send once what waits now was delivered; at once where no live loop turns."""
        self._post(to, msg, sender)

    def send_from_system(self, to: ActorAddress, msg: Any) -> None:
        """Send in the name of the system itself."""
        self._post(to, msg, self._system.address)

    def handle_dead_letters(self, hosted: HostedActor, enable: bool) -> None:
        """Make this actor the one receiver of dead letters, or stop being it."""
        if enable:
            self._dead_letter_box = hosted
        elif self._dead_letter_box is hosted:
            self._dead_letter_box = None

    def _wake(self) -> None:
        """Overridden by the live drive."""

    # Delivery.

    def _drain(self, limit: int) -> int:
        """Deliver up to ``limit`` waiting messages; returns how many."""
        nested, self._draining = self._draining, True
        try:
            if self._scheduler is None:
                return self._ready.drain(limit, self._special, self._deliver_special, self._retry)
            return self._drain_mailboxes(self._scheduler, limit)
        finally:
            self._draining = nested

    def _drain_mailboxes(self, scheduler: Scheduler, limit: int) -> int:
        pick = scheduler.pick
        special = self._special
        left = limit
        for _ in repeat(None, limit):
            try:
                target: Any = pick()  # only hosted actors are ever added
            except IndexError:
                break
            msg, sender = target.mailbox.take()
            left -= 1
            if special[type(msg)] is not None:
                self._deliver_special(target, msg, sender)
                continue
            target.handled += 1
            try:
                target.receive(msg, sender)
            except (Exception, SystemExit) as exc:  # noqa: BLE001 - Thespian's failure policy follows
                self._retry(target, msg, sender, exc)
        return limit - left

    def _retry(self, target: HostedActor, msg: Any, sender: ActorAddress, exc: BaseException) -> None:
        """A handler that raises is run once more; if it raises again, the sender gets the message back as poison."""
        self._failed(target, msg, exc)
        if isinstance(exc, SystemExit):
            self._begin_exit(target, recursive=True)  # sys.exit ends the actor, as it would end its process
            return
        try:
            target.receive(msg, sender)
        except SystemExit as second:
            self._failed(target, msg, second)
            self._begin_exit(target, recursive=True)
        except Exception as second:  # noqa: BLE001 - an actor's bug must not stop the other actors
            self._failed(target, msg, second)
            if not isinstance(msg, (PoisonMessage, ChildActorExited)):
                self._counts["poisoned"] += 1
                self._post(sender, PoisonMessage(msg, traceback.format_exc()), target.address)

    def _failed(self, target: HostedActor, msg: Any, exc: BaseException) -> None:
        self._counts["failures"] += 1
        _log.warning("%s failed on %s", target.name, type(msg).__name__, exc_info=exc)
        if self._on_failure is not None:
            self._on_failure(target.address, msg, exc)

    def _deliver_special(self, target: HostedActor, msg: Any, sender: ActorAddress) -> None:
        special = self._special[type(msg)]
        target.handled += 1
        if target.internal and special is not ValidatedSource:
            target.receive(msg, sender)
        elif not target.alive:
            self._dead_letter(target.address, msg, sender)
        elif special is ActorExitRequest:
            self._exit_requested(target, msg, sender)
        elif special is ChildActorExited:
            self._child_exited(target, msg, sender)
        elif special is Thespian_StatusReq:
            self._post(sender, self._status_of(target), target.address)
        elif target is self._system:
            self.sources.validated(msg)
        else:
            self._guarded(target, msg, sender)

    def _guarded(self, target: HostedActor, msg: Any, sender: ActorAddress) -> None:
        try:
            target.handler(msg, sender)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - Thespian's failure policy follows
            self._retry(target, msg, sender, exc)

    # Exit.

    def _exit_requested(self, target: HostedActor, msg: ActorExitRequest, sender: ActorAddress) -> None:
        if target.exiting:
            return
        try:
            target.handler(msg, sender)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - whoever was told to leave leaves
            self._failed(target, msg, exc)
        self._begin_exit(target, msg.isRecursive)

    def _begin_exit(self, target: HostedActor, recursive: bool) -> None:
        if target.exiting or not target.alive:
            return
        target.exiting = True
        target.receive = partial(self._dead_letter, target.address)
        if recursive and target.children:
            for child in target.children.values():
                if child.alive and not child.exiting:
                    self._enqueue(child, ActorExitRequest(), target.address)
        else:
            self._finish_exit(target)

    def _child_exited(self, parent: HostedActor, msg: ChildActorExited, sender: ActorAddress) -> None:
        name = msg.childAddress.actorAddressString
        child = parent.children.get(name)
        if child is not None and not child.alive:
            del parent.children[name]  # before the handler, which may create it again under the same name
        self._guarded(parent, msg, sender)
        if parent.exiting and not parent.children:
            self._finish_exit(parent)

    def _finish_exit(self, target: HostedActor) -> None:
        if not target.alive:
            return
        target.alive = False
        target.receive = target.handler = partial(self._dead_letter, target.address)
        target.actor_send = self._send_by_dead
        if target.actor is not None:
            if vars(target.actor).get("send") is not None:
                vars(target.actor)["send"] = self._send_by_dead
            for way in ("tell", "tell_later"):
                vars(target.actor).pop(way, None)
            target.actor = None
        self._handled_by_dead += target.handled
        self._counts["exited"] += 1
        if self._actors.get(target.name) is target:
            del self._actors[target.name]
        if target.globalName is not None and self._global_names.get(target.globalName) == target.address:
            del self._global_names[target.globalName]
        self.handle_dead_letters(target, enable=False)
        self.sources.notify(target.name, enable=False)
        parent = target.parent
        if parent is self._system:
            parent.children.pop(target.name, None)
            if self._on_root_exit is not None:
                self._on_root_exit(target.address)
        elif parent is not None and parent.alive:
            self._enqueue(parent, ChildActorExited(target.address), self._system.address)

    def _send_by_dead(self, _to: ActorAddress, _msg: Any) -> None:
        """What is left of an exited actor can no longer act: its sends are counted and go nowhere."""
        self._counts["sent_by_dead"] += 1

    def ask_everyone_to_exit(self) -> None:
        """Send an exit request to every root, and to orphans of parents that left without them."""
        for hosted in [hosted for hosted in self._living() if not self._is_under_actor(hosted)]:
            if not hosted.exiting:
                self._enqueue(hosted, ActorExitRequest(), self._system.address)

    def _abandon(self) -> list[str]:
        """Drop whatever still lives, without asking; returns the names."""
        names = [hosted.name for hosted in self._living()]
        for hosted in list(self._living()):
            hosted.children.clear()
            self._finish_exit(hosted)
        self._timers.clear()
        return names

    # Capabilities and status.

    def updateCapability(self, name: str, value: object = None) -> None:  # noqa: N802 - Thespian's name
        """Set a capability (None removes it); actors whose check now fails are asked to exit."""
        if value is None:
            self.capabilities.pop(name, None)
        else:
            self.capabilities[name] = value
        for hosted in list(self._living()):
            if not self._is_capable_of(hosted.actor_class, hosted.requirements):
                self._enqueue(hosted, ActorExitRequest(), self._system.address)

    # Timers.

    def wake_after(self, hosted: HostedActor, period: timedelta | float, payload: object) -> None:
        """Deliver a `WakeupMessage` to the actor once the period has passed on the injected clock.

        Raises:
            BaseFullError: too many wake-ups are pending.
        """
        self._check_timers()
        due_ns = self.clock.mono_ns() + period_ns(period)
        self._timers.push(due_ns, hosted, WakeupMessage(period, payload))
        if self._live:
            self._timer_added(due_ns)

    def waker(self, hosted: HostedActor) -> Callable[..., None]:
        """`wake_after` for one actor, in nanoseconds, with everything it needs bound: ``wake(delay_ns, payload)``.

        With a third argument the wake-up is asked, when it comes due, by how many nanoseconds that is early; 0, and it
        comes.
        """
        timers, mono_ns = self._timers, self.clock.mono_ns
        last_ns, last = 0, WakeupMessage(0.0, None)  # said again and again, the same message serves

        def wake_in(delay_ns: int, payload: object, early_ns: Callable[[], int] | None = None) -> None:
            nonlocal last_ns, last
            if len(timers) >= TIMERS_MAX:
                self._check_timers()
            due_ns = mono_ns() + delay_ns if delay_ns > 0 else mono_ns()
            if payload is not last.payload or delay_ns != last_ns:
                last_ns, last = delay_ns, WakeupMessage(delay_ns / 1e9, payload)
            timers.push(due_ns, hosted, last, early_ns)
            if self._live:
                self._timer_added(due_ns)

        return wake_in

    def _check_timers(self) -> None:
        if len(self._timers) >= TIMERS_MAX:
            raise BaseFullError(f"{self.name} holds {len(self._timers)} pending wake-ups")

    def next_timer_ns(self) -> int | None:
        """When the next wake-up is due on the monotonic clock; None without one."""
        return self._timers.next_ns()

    def _fire_due(self, mono_ns: int) -> int:
        """Queue every wake-up due by then, in order of due time and request; returns how many."""
        fired = 0
        take = self._timers.take
        while (due := take(mono_ns)) is not None:
            hosted, msg = due
            self._enqueue(hosted, msg, hosted.address)
            fired += 1
        self._counts["wakeups"] += fired
        return fired

    def _timer_added(self, due_ns: int) -> None:
        """Overridden by the live drive, and called while there is one."""


def _receive_by_name(actor: Actor, msg: Any, sender: ActorAddress) -> Any:
    """Look the handler up at every message."""
    return actor.receiveMessage(msg, sender)


def _ignore(_msg: Any, _sender: ActorAddress) -> None:
    """Messages to the system itself need no answer."""
