"""How a test waits for what nobody announces: look, breathe, look again, under a deadline of its own.

Deadlines are for what never comes, not for what comes late: a machine that is busy with other things fails no test.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from adapters.clock import SystemClock

PATIENCE_S = 60.0
"""How long a condition that has to come may take on the slowest machine, while others have it too."""
_TURN_S = 0.01
_TURN_S_MAX = 0.025
_PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to whoever asks for any: nobody gets one of these by chance."""
_ASKED = count()


async def breath(seconds: float = 0.01) -> None:
    """Let the loop run for a moment. Only inside a loop over a condition, under a timeout."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


async def passed(seconds: float) -> None:
    """Let a stated wait of the venue's pass: the wait itself is what is tested."""
    await breath(seconds)


async def until(condition: Callable[[], object], what: str = "", seconds: float = PATIENCE_S) -> None:
    """Wait for a condition; fails when it never comes."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await breath(0.005)
    except TimeoutError:
        pytest.fail(f"{what or 'what was waited for'} did not come in {seconds} s")


class Stopwatch:
    """Measures what a loop could have done: turns of the loop that came late count no more than a turn.

    A time that is stated for an idle machine can be asserted with it on a busy one. On an idle machine it shows the
    time of the clock.
    """

    def __init__(self) -> None:
        self._counted = 0.0

    @property
    def seconds(self) -> float:
        return self._counted

    async def run(self) -> None:
        """Count until canceled."""
        before = SystemClock.mono_ns()
        while True:
            await breath(_TURN_S)
            now = SystemClock.mono_ns()
            self._counted += min((now - before) / 1e9, _TURN_S_MAX)
            before = now


@asynccontextmanager
async def stopwatch() -> AsyncIterator[Stopwatch]:
    """A stopwatch that runs."""
    watch = Stopwatch()
    running = asyncio.ensure_future(watch.run())
    try:
        yield watch
    finally:
        running.cancel()
        await asyncio.wait([running])


def waited_for_processors_s() -> float:
    """For how long so far, since this machine started, some task of it waited for a processor.

    Where the kernel does not say, it is as if somebody always had.
    """
    try:
        some = Path("/proc/pressure/cpu").read_text("ascii").splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError, IndexError):
        return SystemClock.mono_ns() / 1e9


def free_port() -> int:
    """A port of loopback on which nobody listens, and that the kernel gives to nobody by itself."""
    first = (os.getpid() * 61 + next(_ASKED) * 7) % len(_PORTS)
    for step in range(len(_PORTS)):
        port = _PORTS[(first + step) % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of loopback is free")
