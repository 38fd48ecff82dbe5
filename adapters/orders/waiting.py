"""Tasks of a connection: waiting for whatever comes first, and ending those that are under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

ENDING_S = 2.0
FAULTS_MAX = 100


async def first(*what: asyncio.Event | asyncio.Task[Any], within_s: float | None = None) -> None:
    """Wait until an event of ``what`` is set or a task of it is done; at most ``within_s`` seconds. Tasks go on."""
    loop = asyncio.get_running_loop()
    waiters = {loop.create_task(one.wait()) for one in what if isinstance(one, asyncio.Event)}
    tasks = {one for one in what if isinstance(one, asyncio.Task)}
    try:
        await asyncio.wait(waiters | tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for them; who does not end within two seconds is left."""
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending, timeout=ENDING_S)


class Tasks:
    """Work of one owner under way. What one of them raises is a bug of ours: kept, newest last, and told ``failed``."""

    def __init__(self, failed: Callable[[BaseException], None] | None = None) -> None:
        self._failed = failed
        self._running: set[asyncio.Task[None]] = set()
        self.faults: deque[BaseException] = deque(maxlen=FAULTS_MAX)

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Begin it on the running loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """End all."""
        await end(self._running)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.faults.append(error)
            if self._failed is not None:
                self._failed(error)
