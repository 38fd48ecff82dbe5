"""How a test waits for what nobody announces: look, breathe, look again, under a deadline of its own."""

from __future__ import annotations

import asyncio


async def breath(seconds: float = 0.01) -> None:
    """Let the loop run for a moment. Only inside a loop over a condition, under a timeout."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


async def passed(seconds: float) -> None:
    """Let a stated wait of the venue's pass: the wait itself is what is tested."""
    await breath(seconds)
