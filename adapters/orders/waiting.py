"""Waiting for whatever comes first: events of a connection, or the task that hears it."""

from __future__ import annotations

import asyncio
from typing import Any


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
