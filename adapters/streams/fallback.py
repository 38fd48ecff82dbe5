"""The reserve of a native feed: ccxt.pro begins when no native connection has brought a book for too long.

Owns when it begins and ends. What it says is flagged and kept apart from the feed's frames: it may be shown; whoever
would trade on it has to ask `ReserveSaid.proved`, and by default nobody does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from adapters.clock import Clock
from adapters.streams.budget import ConnectionBudget
from adapters.streams.events import FallbackBegan, FallbackEnded
from adapters.streams.feed import Feed
from adapters.streams.reserve import Item, Reserve, ReserveSpec, ReserveStatus
from adapters.streams.topics import SECOND_NS

_LOOK_S = 0.2


FallbackItem = FallbackBegan | FallbackEnded | Item


class Fallback:
    """Watches a `Feed` and runs a `Reserve` while it is blind. Call from one loop only."""

    def __init__(
        self,
        feed: Feed,
        spec: ReserveSpec,
        clock: Clock,
        wake: Callable[[], None],
        *,
        budget: ConnectionBudget | None = None,
        after_ns: int = 10 * SECOND_NS,
        calm_ns: int = 5 * SECOND_NS,
    ) -> None:
        """``after_ns``: how long the feed has to be blind; ``calm_ns``: how long it has to see again."""
        self._feed = feed
        self._spec = spec
        self._clock = clock
        self._wake = wake
        self._budget = budget
        self._after_ns = after_ns
        self._calm_ns = calm_ns
        self._told: deque[FallbackItem] = deque()
        self._reserve: Reserve | None = None
        self._task: asyncio.Task[None] | None = None
        self._blind_ns = clock.mono_ns()
        self._seen_ns = 0
        self.begun = 0

    @property
    def active(self) -> bool:
        """Whether the reserve runs."""
        return self._reserve is not None

    def start(self) -> None:
        """Watch, on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def drain(self, max_items: int = 1000) -> list[FallbackItem]:
        """What the reserve said, between its beginning and its end."""
        out: list[FallbackItem] = []
        while self._told and not isinstance(self._told[0], FallbackEnded):
            out.append(self._told.popleft())
        if self._reserve is not None:
            out += self._reserve.drain(max_items)
        while self._told:
            out.append(self._told.popleft())
        return out

    def status(self) -> ReserveStatus | None:
        """The reserve's, while it runs."""
        return None if self._reserve is None else self._reserve.status()

    async def close(self) -> None:
        """End the watch and the reserve."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)
        if self._reserve is not None:
            await self._reserve.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._look()

    async def _look(self) -> None:
        now, reason = self._clock.mono_ns(), self._feed.blind()
        if reason:
            self._seen_ns = 0
            self._blind_ns = self._blind_ns or now
            if self._reserve is None and now - self._blind_ns >= self._after_ns:
                self.begun += 1
                self._tell(FallbackBegan(venue=self._spec.venue, reason=reason, ts_ns=self._clock.wall_ns()))
                self._reserve = Reserve(self._spec, self._clock, self._wake, self._budget)
                self._reserve.start()
            return
        self._seen_ns = self._seen_ns or now
        if self._reserve is None:
            self._blind_ns = 0
        elif now - self._seen_ns >= self._calm_ns:
            reserve = self._reserve
            await reserve.close()
            self._told.extend(reserve.drain())
            self._reserve = None
            took_ms = (now - self._blind_ns) / 1e6
            self._blind_ns = 0
            self._tell(FallbackEnded(venue=self._spec.venue, took_ms=took_ms, ts_ns=self._clock.wall_ns()))

    def _tell(self, item: FallbackItem) -> None:
        self._told.append(item)
        self._wake()
