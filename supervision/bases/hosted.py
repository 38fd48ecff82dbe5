"""One actor as its base sees it: what Thespian calls the actor's reference, `actor._myRef`.

Owns the actor's address, parentage and entry points; every decision belongs to the base.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from thespian.actors import Actor, ActorAddress

from adapters.clock import Clock
from supervision.bases.delivery import Inbox, Party
from supervision.bases.mailbox import Mailbox, PlainMailbox

if TYPE_CHECKING:
    from supervision.bases.core import ActorCore

Receive = Callable[[Any, ActorAddress], Any]


class ActorView(msgspec.Struct, frozen=True, kw_only=True):
    """An actor as an operator sees it; ``depth`` and ``handled`` are numbers of messages."""

    name: str
    class_name: str
    parent: str | None
    depth: int
    handled: int
    exiting: bool


class HostedActor(Party):
    """The reference that an actor holds as ``_myRef``; its camel case methods are Thespian's protocol.

    ``receive`` is what the drain loop calls: the actor's own handler while it lives, the dead letter box after.
    """

    __slots__ = (
        "actor",
        "actor_class",
        "actor_send",
        "address",
        "alive",
        "base",
        "children",
        "clock",
        "exiting",
        "globalName",
        "handler",
        "internal",
        "mailbox",
        "name",
        "parent",
        "requirements",
        "source_hash",
    )

    def __init__(self, base: ActorCore, name: str, parent: HostedActor | None, clock: Clock) -> None:
        self.base = base
        self.clock = clock
        self.name = name
        self.address = ActorAddress(name)
        self.parent = parent
        self.children: dict[str, HostedActor] = {}
        self.actor: Actor | None = None
        self.actor_class: type[Any] = type(None)
        self.handler: Receive
        self.actor_send: Callable[[ActorAddress, Any], None]
        self.mailbox: Mailbox = _NO_MAILBOX
        self.handled = 0
        self.alive = False
        self.exiting = False
        self.internal = False
        self.requirements: dict[str, Any] | None = None
        self.source_hash: str | None = None
        self.globalName: str | None = None

    def createActor(  # noqa: N802 - Thespian's name
        self,
        actor_class: type[Actor] | str,
        requirements: dict[str, Any] | None,
        global_name: str | None,
        source_hash: str | None = None,
    ) -> ActorAddress:
        """Create a child of this actor."""
        return self.base.create_child(self, actor_class, requirements, global_name, source_hash or self.source_hash)

    def wakeupAfter(self, period: timedelta | float, payload: object) -> None:  # noqa: N802 - Thespian's name
        """Ask for a `WakeupMessage` after a timedelta, or seconds."""
        self.base.wake_after(self, period, payload)

    def waker(self) -> Callable[..., None]:
        """`wakeupAfter` to the nanosecond, for those who know that their base is ours, see `ActorCore.waker`."""
        return self.base.waker(self)

    def later(self) -> Callable[[str, Any], None]:
        """A way to send by name behind all that waits, see `ActorCore.send_later`."""
        return partial(self.base.send_later, self.address)

    def go_direct(self, rare: frozenset[type], routes: dict[type, Callable[[Any], bool]]) -> None:
        """Let messages reach ``actor.on`` at once, but for ``rare`` types; ``actor.tell`` goes without detours too.

        The message of a type in ``routes`` goes there first: answered with True, it was handled as ``on`` would.
        """
        if Inbox is not None and self.actor is not None and self.receive == self.handler:
            self.receive = Inbox(self.actor, rare, routes)
            self.base.speed_up(self)

    def go_long(self) -> None:
        """From now on every message goes through ``actor.receiveMessage``."""
        if Inbox is not None and isinstance(self.receive, Inbox):
            self.receive.direct = False

    def handleDeadLetters(self, _address: ActorAddress, enable: bool) -> None:  # noqa: N802 - Thespian's name
        """Receive dead letters from now on, or no longer."""
        self.base.handle_dead_letters(self, enable)

    def updateCapability(self, name: str, value: object) -> None:  # noqa: N802 - Thespian's name
        """Change a capability of the whole base; None removes it."""
        self.base.updateCapability(name, value)

    def actorSystemShutdown(self) -> None:  # noqa: N802 - Thespian's name
        """Ask every actor of the base to exit."""
        self.base.ask_everyone_to_exit()

    def registerSourceAuthority(self, address: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """This actor validates sources before they are loaded."""
        self.base.sources.authority = address

    def notifyOnSourceAvailability(self, _address: ActorAddress, enable: bool) -> None:  # noqa: N802 - Thespian's name
        """Tell this actor of sources loaded and unloaded."""
        self.base.sources.notify(self.name, enable)

    def loadActorSource(self, source: Any) -> str:  # noqa: N802 - Thespian's name
        """Load a zip of actor code; its hash names it."""
        return self.base.sources.load(source)

    def unloadActorSource(self, source_hash: str) -> None:  # noqa: N802 - Thespian's name
        """Forget loaded actor code."""
        self.base.sources.unload(source_hash)

    def notifyOnSystemRegistrationChanges(self, _address: ActorAddress, _enable: bool) -> None:  # noqa: N802
        """Nothing to tell: a single base belongs to no convention."""

    def preRegisterRemoteSystem(self, _address: object, _capabilities: object) -> None:  # noqa: N802
        """Nothing to do: a single base belongs to no convention."""

    def deRegisterRemoteSystem(self, _address: object) -> None:  # noqa: N802
        """Nothing to do: a single base belongs to no convention."""


_NO_MAILBOX = PlainMailbox()  # bases without mailboxes never touch it
