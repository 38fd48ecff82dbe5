"""A storm of requests: ten times what the venue allows, beside another client of the same address, over real sockets.

Two processes of ours share one host file and want far more than there is; a third client knows nothing of us. The
venue is a loopback server with real intervals that bans. Measured: bans, what a cancel waits, and how much of the
allowance was used, since nobody is safe by being mute.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web

from adapters.clock import SystemClock
from adapters.limits.host_file import HostFile
from adapters.limits.limiter import Limiter
from supervision.storm_venue import Shape, StormVenue
from trading.limits.messages import Ask, Go, Priority, Refusal
from trading.limits.spec import MS_NS, SECOND_NS

FULL: Final = (Shape(weight=1000, orders=400, window_ns=10 * SECOND_NS), 45.0)
QUICK: Final = (Shape(weight=300, orders=120, window_ns=2 * SECOND_NS), 7.0)
PROCESSES: Final = 2
OFFERED_X: Final = 10.5
OTHER_SHARE: Final = 0.2
"""What the other client spends of the allowance."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request: how much of the whole weight offered, and how long it is of use."""

    priority: Priority
    endpoint: str
    share: float
    within_ms: int


LOADS: Final = (
    Load(priority=Priority.CANCEL, endpoint="DELETE /order", share=0.008, within_ms=5_000),
    Load(priority=Priority.HEDGE, endpoint="POST /order", share=0.092, within_ms=1_000),
    Load(priority=Priority.REPLACE, endpoint="PUT /order", share=0.10, within_ms=400),
    Load(priority=Priority.PLACE, endpoint="POST /order", share=0.25, within_ms=400),
    Load(priority=Priority.POLL, endpoint="GET /depth", share=0.55, within_ms=5_000),
)

_clock = SystemClock()


class Told(msgspec.Struct, kw_only=True):
    """What one of our processes did and saw."""

    offered_weight: int = 0
    sent: dict[str, int] = {}
    refused: dict[str, int] = {}
    statuses: dict[str, int] = {}
    cancel_delay_ms: list[float] = []
    cancels_refused: int = 0


def run(*, quick: bool = False) -> dict[str, Any]:
    """The storm; delays in milliseconds, ``allowance_used`` as a share of what the venue allows in the time."""
    shape, seconds = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="propdesk-storm-") as directory:
        return asyncio.run(_storm(shape, seconds, Path(directory)))


async def _storm(shape: Shape, seconds: float, directory: Path) -> dict[str, Any]:
    venue = StormVenue(shape)
    runner, port = await _serve(venue)
    children = _children(port, directory, seconds, shape)
    try:
        await _other(port, shape, seconds)
        outs = await asyncio.gather(*(asyncio.to_thread(child.communicate, timeout=seconds + 60) for child in children))
    finally:
        for child in children:
            child.kill()
        await runner.cleanup()
    return _result(shape, seconds, venue, [msgspec.json.decode(out, type=Told) for out, _ in outs])


def _children(port: int, directory: Path, seconds: float, shape: Shape) -> list[subprocess.Popen[bytes]]:
    rate = OFFERED_X * shape.weight * SECOND_NS / shape.window_ns / PROCESSES
    given = [str(port), str(directory), str(seconds), str(rate), msgspec.json.encode(shape).decode()]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "supervision.bench_rate_storm", str(seed), *given],
            cwd=Path(__file__).resolve().parents[1],
            stdout=subprocess.PIPE,
        )
        for seed in range(PROCESSES)
    ]


def _result(shape: Shape, seconds: float, venue: StormVenue, told: list[Told]) -> dict[str, Any]:
    delays = sorted(delay for one in told for delay in one.cancel_delay_ms)
    allowance = shape.weight * seconds * SECOND_NS / shape.window_ns
    served_for = max(shape.window_ns, venue.last_ns - venue.first_ns)  # who waits goes on after the last is offered
    return {
        "weight_limit": shape.weight,
        "window_s": shape.window_ns / SECOND_NS,
        "seconds": seconds,
        "offered_x": round(sum(one.offered_weight for one in told) / allowance, 2),
        "bans": venue.bans,
        "limited_429": {client: venue.limited.get(client, 0) for client in ("us", "other")},
        "cancels": len(delays),
        "cancels_refused": sum(one.cancels_refused for one in told),
        "cancel_delay_ms": {
            "p50": round(_at(delays, 0.5), 2),
            "p99": round(_at(delays, 0.99), 2),
            "max": round(_at(delays, 1.0), 2),
        },
        "allowance_used": round(sum(venue.served.values()) * shape.window_ns / shape.weight / served_for, 3),
        "served_weight": venue.served,
        "fullest_interval": round(venue.fullest, 3),
        "sent": _summed(one.sent for one in told),
        "refused": _summed(one.refused for one in told),
        "statuses": _summed(one.statuses for one in told),
        "synthetic": True,
    }


def _at(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("inf")


def _summed(tables: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for table in tables:
        for key, count in table.items():
            total[key] = total.get(key, 0) + count
    return total


async def _serve(venue: StormVenue) -> tuple[web.AppRunner, int]:
    async def answer(request: web.Request) -> web.Response:
        query = request.query
        status, headers = venue.answer(query["client"], int(query["weight"]), int(query["orders"]), _clock.wall_ns())
        return web.Response(status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def _other(port: int, shape: Shape, seconds: float) -> None:
    """Somebody else behind our address: steadily, and now and then a few at once."""
    dice = random.Random(1)
    rate = OTHER_SHARE * shape.weight * SECOND_NS / shape.window_ns
    url = f"http://127.0.0.1:{port}/other?client=other&weight=1&orders=0"
    async with aiohttp.ClientSession() as session:
        end = _clock.mono_ns() + round(seconds * SECOND_NS)
        while _clock.mono_ns() < end:
            burst = dice.choice((1, 1, 1, 5))
            for _ in range(burst):
                async with session.get(url):
                    pass
            await asyncio.sleep(dice.expovariate(rate / 2))  # two at a time on average


class _Client:
    """One process of ours."""

    def __init__(self, seed: int, port: int, directory: Path, shape: Shape) -> None:
        self.told = Told()
        self._dice = random.Random(seed)
        self._base = f"http://127.0.0.1:{port}"
        self._spec = shape.limits()
        self._file = HostFile(directory / "limits-storm.board", _clock)
        self._limiter = Limiter(self._spec, _clock, seed=seed, file=self._file)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float, rate: float) -> Told:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            end = _clock.mono_ns() + round(seconds * SECOND_NS)
            await asyncio.gather(*(self._offer(session, load, end, rate) for load in LOADS))
            await asyncio.gather(*tuple(self._tasks))
            await self._limiter.close()
        return self.told

    async def _offer(self, session: aiohttp.ClientSession, load: Load, end_ns: int, rate: float) -> None:
        """Requests at random times, at the load's share of ``rate`` weight a second."""
        weight = self._spec.costs[load.endpoint].weight
        per_s = load.share * rate / weight
        due = _clock.mono_ns() + self._dice.expovariate(per_s) * SECOND_NS
        while due < end_ns:
            await asyncio.sleep(max(0.0, (due - _clock.mono_ns()) / SECOND_NS))
            request = self._spec.ask(load.endpoint, load.priority, _clock.mono_ns() + load.within_ms * MS_NS)
            self.told.offered_weight += weight
            task = asyncio.get_running_loop().create_task(self._one(session, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += self._dice.expovariate(per_s) * SECOND_NS

    async def _one(self, session: aiohttp.ClientSession, request: Ask) -> None:
        asked = _clock.mono_ns()
        answer = await self._limiter.admit(request)
        name = request.priority.name.lower()
        if not isinstance(answer, Go):
            key = f"{name}:{answer.reason.value}"
            self.told.refused[key] = self.told.refused.get(key, 0) + 1
            if request.priority is Priority.CANCEL and answer.reason is not Refusal.CLOSED:
                self.told.cancels_refused += 1
                self.told.cancel_delay_ms.append(float(request.deadline_ns - asked) / MS_NS)
            return
        if request.priority is Priority.CANCEL:
            self.told.cancel_delay_ms.append((_clock.mono_ns() - asked) / MS_NS)
        self.told.sent[name] = self.told.sent.get(name, 0) + 1
        url = f"{self._base}/storm?client=us&weight={request.weight}&orders={request.orders}"
        status, headers = 0, {}
        try:
            async with session.get(url) as response:
                status, headers = response.status, dict(response.headers)
        except (aiohttp.ClientError, OSError):
            pass
        self.told.statuses[str(status)] = self.told.statuses.get(str(status), 0) + 1
        self._limiter.told(request.endpoint, status, headers, request=request)


def _child(arguments: list[str]) -> None:
    seed, port, directory, seconds, rate, shape = arguments
    client = _Client(int(seed), int(port), Path(directory), msgspec.json.decode(shape, type=Shape))
    told = asyncio.run(client.run(float(seconds), float(rate)))
    print(json.dumps(msgspec.to_builtins(told)))


if __name__ == "__main__":
    _child(sys.argv[1:])
