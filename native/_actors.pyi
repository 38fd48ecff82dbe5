"""The types of the extension; what they mean is said by `supervision.bases.delivery`."""

from collections.abc import Callable, Iterator
from typing import Any

REVISION: int

class Party:
    """What a loop must know of an actor for every message."""

    receive: Callable[[Any, Any], Any]
    handled: int

class Ready:
    """Messages that wait, first in first out."""

    asleep: bool
    def append(self, target: Party, msg: Any, sender: Any, /) -> None: ...
    def drain(
        self,
        limit: int,
        special: dict[type, Any],
        deliver_special: Callable[[Any, Any, Any], None],
        retry: Callable[[Any, Any, Any, BaseException], None],
        /,
    ) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[Any, Any, Any]: ...
    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]: ...

class Post:
    """Call it with (to, msg): to an `ActorAddress`, or with ``by_name`` an actor's name."""

    def __init__(
        self,
        ready: Ready,
        actors: dict[str, Any],
        sender: Any,
        wake: Callable[[], None],
        away: Callable[[Any, Any], None],
        by_name: bool,
        /,
    ) -> None: ...
    def __call__(self, to: Any, msg: Any) -> None: ...

class Inbox:
    """Hands a message to ``actor.on``; those of ``rare`` to ``actor.receiveMessage``, errors to ``actor._crash``."""

    direct: bool
    def __init__(self, actor: Any, rare: frozenset[type], /) -> None: ...
    def __call__(self, msg: Any, sender: Any, /) -> None: ...
