"""A link to a loopback server that speaks Gate.io's or MEXC's private REST, and dialects without any network."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec

from adapters.ccxt_orders.dialect import CcxtOrders
from adapters.ccxt_venues.instruments import INSTRUMENTS
from adapters.clock import SystemClock
from adapters.limits.limiter import Limiter
from adapters.orders.client import Outcome
from adapters.orders.link import LinkState, OrderLink, OrderLinkSpec
from adapters.orders.user_stream import CaughtUp, Pushed
from adapters.orders.wire import Credentials, OrderEndpoints
from adapters.simserver.spot_server import SpotServer, SpotServerSpec
from adapters.simserver.trading.account import AccountSpec
from adapters.simserver.trading.keys import Credentials as ServerKeys
from tests.waiting import until
from trading.limits.venues import limits_of

VENUES = ("gateio", "mexc")
SERVER_KEYS = ServerKeys(api_key="paper-key-0001", secret="paper-secret")
KEY = Credentials(api_key=SERVER_KEYS.api_key, secret=SERVER_KEYS.secret)
NOWHERE = OrderEndpoints(rest="http://127.0.0.1:1", ws="")


def of(venue):
    return tuple(one for one in INSTRUMENTS if one.venue == venue)


_DIALECTS: dict[str, CcxtOrders] = {}


def dialect(venue):
    """One for all tests: making it costs ccxt's import and tables."""
    if venue not in _DIALECTS:
        _DIALECTS[venue] = CcxtOrders(venue, of(venue), NOWHERE)
    return _DIALECTS[venue]


class Wire:
    """A link, and everything that came out of it."""

    def __init__(self, server, **spec):
        self.server = server
        self.btc = server.spec.instruments[0]
        self.items = []
        settings = {"venue": server.spec.venue, "instruments": server.spec.instruments, "credentials": KEY}
        self.link = OrderLink(
            OrderLinkSpec(rest=server.base_http, ws="", **(settings | {"key_vouched": True} | spec)),
            SystemClock(),
            lambda: asyncio.get_running_loop().call_soon(lambda: self.items.extend(self.link.drain())),
            lambda: True,
            # A key that was refused is not left alone for five seconds here: tests do not wait.
            Limiter(msgspec.structs.replace(limits_of(settings["venue"]), rules=()), SystemClock()),
        )

    def of(self, kind):
        return [item for item in self.items if isinstance(item, kind)]

    def outcomes(self, cl_ord_id):
        return [item for item in self.of(Outcome) if getattr(item.command, "cl_ord_id", "") == cl_ord_id]

    def executions(self):
        return [one for item in self.of(CaughtUp) for one in item.state.executions]

    def statuses(self, cl_ord_id):
        """What was pushed of an order that a reading did not show any more."""
        return [
            item.event.report.ord_status
            for item in self.of(Pushed)
            if item.event.cl_ord_id == cl_ord_id and item.event.report is not None
        ]

    async def until(self, condition):
        await until(condition)

    async def until_live(self):
        await self.until(lambda: self.link.state is LinkState.LIVE)


@asynccontextmanager
async def server_of(venue, **account):
    spec = SpotServerSpec(venue=venue, instruments=of(venue), account=AccountSpec(credentials=SERVER_KEYS, **account))
    server = SpotServer(spec, SystemClock())
    await server.start()
    try:
        for one in spec.instruments:
            server.set_book(one.symbol, [("59999.9", "1")], [("60000.1", "1")])
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def wired(venue, *, live=True, **spec):
    async with server_of(venue) as server:
        wire = Wire(server, **spec)
        wire.link.start()
        try:
            if live:
                await wire.until_live()
            yield wire
        finally:
            await wire.link.close()
            assert not (wire.link.faults)
            assert not (wire.link._client.faults)
            assert not wire.link._stream.faults
