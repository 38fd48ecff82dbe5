"""The types of the extension; `supervision.bases` and `adapters.clock` say what they mean."""

from collections import deque
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
    """Hands a message to ``actor.on``; those of ``rare`` to ``actor.receiveMessage``, errors to ``actor._crash``.

    A type in ``routes`` is given to its route first: what that answers True for, it did as ``on`` would have.
    """

    direct: bool
    def __init__(self, actor: Any, rare: frozenset[type], routes: dict[type, Callable[[Any], bool]], /) -> None: ...
    def __call__(self, msg: Any, sender: Any, /) -> None: ...

class VirtualClock:
    """`adapters.clock.PyVirtualClock`."""

    def __init__(self, wall_ns: int, mono_ns: int = 0) -> None: ...
    def wall_ns(self) -> int: ...
    def mono_ns(self) -> int: ...
    def advance_to_mono(self, mono_ns: int, /) -> None: ...
    def advance_to_wall(self, wall_ns: int, /) -> None: ...

class Timers:
    """`supervision.bases.timers.PyTimers`."""

    def push(self, due_ns: int, target: Any, msg: Any, early_ns: Callable[[], int] | None = None, /) -> None: ...
    def next_ns(self) -> int | None: ...
    def take(self, now_ns: int, /) -> tuple[Any, Any] | None: ...
    def pending(self) -> list[tuple[int, int, Any]]: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...

class Drive:
    """`supervision.bases.loop.LoopBase.deliver_at`, where messages wait in one queue and the clock is ours."""

    injected: int
    wakeups: int
    def __init__(
        self,
        ready: Ready,
        timers: Timers,
        clock: VirtualClock,
        actors: dict[str, Any],
        inbox: deque[Any],
        special: dict[type, Any],
        deliver_special: Callable[[Any, Any, Any], None],
        retry: Callable[[Any, Any, Any, BaseException], None],
        sender: Any,
        unusual: Callable[[int, str, Any], None],
        idle: Callable[[], int],
        limit: int,
        /,
    ) -> None: ...
    def __call__(self, mono_ns: int, to: str, msg: Any, /) -> None: ...
