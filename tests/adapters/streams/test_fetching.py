"""How often one book's snapshot is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import aiohttp

from adapters.clock import SystemClock
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.streams.dialects import dialect_of
from adapters.streams.fetching import Fetching, _Want
from adapters.streams.rest import RestClient
from adapters.streams.topics import MS_NS, SECOND_NS

T0 = 10**12


async def test_twenty_snapshots_in_a_row_come_quickly_and_then_one_every_six_seconds() -> None:
    want = _Want()
    now, waits = T0, []
    for _ in range(30):
        waits.append(want.take_turn(now))
        now += waits[-1]
        want.answered_ns = now
    assert waits[0] == 0
    assert all(wait == 50 * MS_NS for wait in waits[1:19])
    assert sum(waits[20:]) > 9 * 5 * SECOND_NS
    now += 3600 * SECOND_NS
    assert want.take_turn(now) == 0  # an hour later all is forgotten


async def test_a_book_that_has_begun_anew_can_be_wanted_again_at_once() -> None:
    renewed: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    def spawn(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(work))
        return tasks[-1]

    dialect = dialect_of("okx", OKX_INSTRUMENTS[:1], None, "")
    symbol = OKX_INSTRUMENTS[0].symbol
    async with aiohttp.ClientSession() as session:
        rest = RestClient(dialect.pools, session, SystemClock())
        fetching = Fetching(dialect, rest, SystemClock(), put=print, spawn=spawn, renew=renewed.append)
        for _ in range(2):
            fetching.want(symbol)
            fetching.want(symbol)
        await asyncio.sleep(0)
        key = dialect.book_topic(symbol)
        assert renewed == [key]
        begins = b'{"arg":{"channel":"books","instId":"%s"},"action":"snapshot","data":[]}' % symbol.encode()
        fetching.on_book(begins, key)
        fetching.want(symbol)  # it was of no use, and the task that waited for it has not run yet
        await asyncio.sleep(0)
        assert renewed == [key, key]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
