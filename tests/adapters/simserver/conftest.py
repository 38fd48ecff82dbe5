"""Servers on loopback, and clients that speak to them as anybody would."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

from adapters.clock import SystemClock
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.sources import SourceSpec
from tests.waiting import PATIENCE_S, until

INSTRUMENTS = {
    "binance": ("BINANCE:SPOT:BTC-USDT",),
    "binanceusdm": ("BINANCEUSDM:PERP:BTC-USDT:LINEAR",),
    "binancecoinm": ("BINANCECOINM:PERP:BTC-USD:INVERSE",),
    "okx": ("OKX:SPOT:BTC-USDT", "OKX:PERP:BTC-USDT:LINEAR", "OKX:PERP:BTC-USD:INVERSE"),
    "bybit": ("BYBIT:SPOT:BTC-USDT", "BYBIT:PERP:BTC-USDT:LINEAR", "BYBIT:PERP:BTC-USD:INVERSE"),
}


def spec_of(venue, *, seed=7, session=None, instruments=None, **source):
    anchor_ns = SystemClock.wall_ns()
    return SimServerSpec(
        venue=venue,
        source=SourceSpec(anchor_ns=anchor_ns, seed=11, session=session, **source),
        instruments=instruments or INSTRUMENTS[venue],
        seed=seed,
    )


@contextlib.asynccontextmanager
async def running(spec):
    server = SimServer(spec, SystemClock())
    await server.start()
    try:
        yield server
    finally:
        await server.close()


OPENED = []
"""Clients of the test that runs."""


class Client:
    """A WebSocket client that keeps what it is told."""

    def __init__(self, socket):
        self.socket = socket
        self.seen = []
        OPENED.append(self)

    async def say(self, text):
        await self.socket.send_str(text)

    async def until(self, condition, deadline_s=PATIENCE_S):
        """The first message from now on for which ``condition`` holds; all are kept in ``seen``."""
        async with asyncio.timeout(deadline_s):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(f"{message.type.name} {message.data!r}")
                payload = message.data.encode()
                self.seen.append(payload)
                if condition(payload):
                    return payload

    async def closed(self, deadline_s=PATIENCE_S):
        """The code with which the server ended the connection."""
        async with asyncio.timeout(deadline_s):
            while not self.socket.closed:
                message = await self.socket.receive()
                if message.type in {
                    aiohttp.WSMsgType.CLOSE,
                    aiohttp.WSMsgType.CLOSED,
                    aiohttp.WSMsgType.CLOSING,
                    aiohttp.WSMsgType.ERROR,
                }:
                    break
        return self.socket.close_code


async def wait_for(condition):
    await until(condition)


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session
        for client in OPENED:
            await client.socket.close()
        OPENED.clear()
