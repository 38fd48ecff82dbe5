"""How messages wait and reach their actors in a base without mailbox policies: in C where it was built, else here.

Owns the queue, its delivery and the way to send; the Python of this module is the reference. Decides nothing that is
unusual: special messages, unknown names and exceptions go back to the base.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import native

Send: TypeAlias = Callable[[Any, Any], None]
Entry: TypeAlias = tuple[Any, Any, Any]


class PyParty:
    """What a loop must know of an actor for every message: ``receive(msg, sender)`` and how many it ``handled``."""

    __slots__ = ("handled", "receive")

    receive: Callable[[Any, Any], Any]
    handled: int


class PyReady:
    """Messages that wait, first in first out, as (target, message, sender)."""

    __slots__ = ("asleep", "entries")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.asleep = False  # true while a live loop has nothing scheduled for us and must be told of new messages

    def append(self, target: Any, msg: Any, sender: Any) -> None:
        """Let a message wait."""
        self.entries.append((target, msg, sender))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def drain(
        self,
        limit: int,
        special: dict[type, Any],
        deliver_special: Callable[[Any, Any, Any], None],
        retry: Callable[[Any, Any, Any, BaseException], None],
    ) -> int:
        """Deliver up to ``limit`` messages; returns how many. ``special`` says which types are not an actor's own."""
        popleft = self.entries.popleft
        delivered = 0
        while delivered < limit:
            try:
                target, msg, sender = popleft()
            except IndexError:
                break
            delivered += 1
            if special[type(msg)] is not None:
                deliver_special(target, msg, sender)
                continue
            target.handled += 1
            try:
                target.receive(msg, sender)
            except (Exception, SystemExit) as exc:  # noqa: BLE001 - Thespian's failure policy follows
                retry(target, msg, sender, exc)
        return delivered


def py_post(  # noqa: PLR0917 - all of it is needed for every message
    ready: PyReady, actors: dict[str, Any], sender: Any, wake: Callable[[], None], away: Send, by_name: bool
) -> Send:
    """A way to send for one actor, to an address or a name; ``away`` takes what is for nobody here."""
    append = ready.entries.append
    find = actors.get

    def send(targetAddr: Any, msg: Any) -> None:  # noqa: N803 - Thespian's name
        try:
            target = find(targetAddr if by_name else targetAddr._aaddr)  # noqa: SLF001 - two property calls cheaper
        except (AttributeError, TypeError):
            target = None
        if target is None:
            away(targetAddr, msg)
            return
        append((target, msg, sender))
        if ready.asleep:
            wake()

    return send


if TYPE_CHECKING or native.actors is None:
    Party = PyParty
    Ready = PyReady
    post = py_post
else:
    Party = native.actors.Party
    Ready = native.actors.Ready
    post = native.actors.Post

Inbox: Any = getattr(native.actors, "Inbox", None)
"""The entry of an actor of ours, in C; None where messages go by ``receiveMessage``."""

Drive: Any = getattr(native.actors, "Drive", None)
"""`LoopBase.deliver_at` in C; None where messages are brought in Python."""
